/* SPDX-License-Identifier: MIT */
/**
 * @file
 * All shards at once: broadcast, map-reduce, barrier.
 *
 * Slots are the caller's and stay until READY. Any shard may call. A broadcast
 * allocates memory for one call per shard; it gives -ENOMEM if there is none,
 * and -ESHUTDOWN after the stop. Cancelled before its first poll, it gives
 * -ECANCELED and calls nothing; cancelled later, it still awaits all results.
 *
 * Source: Seastar's invoke_on_all and map_reduce.
 */
#pragma once

#include "call.h"
#include "combine.h"
#include "sync.h"

/** A broadcast under way. */
struct mini_broadcast {
    struct mini_future future;
    struct mini_select all; /**< awaits the calls */
    struct mini_call *calls; /**< one per shard */
    long (*map)(void *arg); /**< called on every shard */
    void *arg; /**< with this */
    /** Called here, for each result that precedes an error; may be NULL. */
    long (*reduce)(long so_far, long next);
    long so_far; /**< what REDUCE has returned so far */
};

/** Calls FN(ARG) on every shard: 0, or the first negative result in the order
 * of shards. All shards use ARG at once, so they must only read it. */
struct mini_future *mini_submit_all(
    struct mini_broadcast *slot, long (*fn)(void *arg), void *arg);

/** Calls MAP(ARG) on every shard and folds the results here, in the order of
 * shards: REDUCE(REDUCE(INITIAL, first), second) … A negative result of MAP is
 * an error; the first one is the result then. */
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

/** Any shard: waits until PARTIES tasks wait; 1 for the last to come, 0 for the
 * others. A wait that is cancelled leaves the barrier again: -ECANCELED. */
struct mini_future *mini_barrier_await(
    struct mini_barrier_wait *slot, struct mini_barrier *barrier);
