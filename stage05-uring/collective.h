/* SPDX-License-Identifier: MIT */
/**
 * @file
 * All shards at once: broadcast, map-reduce, barrier.
 *
 * Slots are the caller's and stay until READY. Any shard may call. A broadcast
 * allocates memory for a call a shard, -ENOMEM if it cannot; -ESHUTDOWN after
 * the stop. Cancelled before its first poll it is -ECANCELED and calls nothing;
 * later it awaits the results all the same.
 *
 * Source: Seastar's invoke_on_all and map_reduce.
 */
#pragma once

#include "call.h"
#include "sync.h"

/** A broadcast under way. */
struct mini_broadcast {
    struct mini_future future;
    struct mini_call *calls; /**< one a shard */
    long (*map)(void *arg); /**< called on every shard */
    void *arg; /**< with this */
    /** Called here, for each result before an error; NULL: nothing is. */
    long (*reduce)(long so_far, long next);
    long so_far; /**< what REDUCE has come to */
};

/** Calls FN(ARG) on every shard: 0, or the first negative result in the order
 * of shards. ARG is used by all shards at once: read only. */
struct mini_future *mini_submit_all(
    struct mini_broadcast *slot, long (*fn)(void *arg), void *arg);

/** Calls MAP(ARG) on every shard and folds the results, in the order of shards,
 * here: REDUCE(REDUCE(INITIAL, first), second) … A negative result of MAP is an
 * error: the first one is the result, then. */
struct mini_future *mini_map_reduce(struct mini_broadcast *slot,
    long (*map)(void *arg), void *arg, long (*reduce)(long, long),
    long initial);

/** Where a number of tasks, of any shards, wait for each other. */
struct mini_barrier {
    unsigned home; /**< the shard whose memory this is */
    unsigned parties; /**< tasks that must come */
    unsigned arrived; /**< tasks that have */
    struct mini_list waiters; /**< tasks that wait, in line */
};

/** A wait at a barrier, under way. */
struct mini_barrier_wait {
    struct mini_remote remote; /**< to the barrier's shard */
    struct mini_wait wait; /**< on the barrier's shard */
};

/** Makes BARRIER one for PARTIES tasks, on the calling shard; it must stay
 * until all waits are READY. It can be used again and again. */
void mini_barrier_init(struct mini_barrier *barrier, unsigned parties);

/** Waits until PARTIES tasks wait: 0, and 1 for the last. Any shard. Cancel of
 * one that waits takes it out again: -ECANCELED. */
struct mini_future *mini_barrier_await(
    struct mini_barrier_wait *slot, struct mini_barrier *barrier);
