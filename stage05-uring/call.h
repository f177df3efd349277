/* SPDX-License-Identifier: MIT */
/**
 * @file
 * Calls to other shards, as futures: a plain function, or a future.
 *
 * - The slot is the caller's and is itself the message: it stays until READY.
 * - A shard number out of range gives -EINVAL; a call that arrives or begins
 *   after the stop gives -ESHUTDOWN; one cancelled before its first poll,
 *   -ECANCELED. Nothing has run there then.
 * - A call to one's own shard takes the same way.
 *
 * Source: Seastar's smp::submit_to.
 *
 * @guarantee{G4.1} A submitted function runs on the target's thread, once; the
 * result comes back to the caller's shard, once; errors too.
 *
 * @guarantee{G4.4} Cancelling a remote call reaches the remote task; the caller
 * returns only when the remote side has let go.
 *
 * @guarantee{G4.8} A bad shard number is -EINVAL; more shards than CPUs work.
 */
#pragma once

#include "executor.h"
#include "message.h"

/** A future that runs on another shard, under way. */
struct mini_remote {
    struct mini_future future;
    struct mini_message message; /**< there: start; back: it has ended */
    struct mini_message cancel; /**< there: cancel; back: done that */
    struct mini_task *caller; /**< woken when something has come back */
    unsigned from, to; /**< shards */
    unsigned under_way; /**< messages that have not come back */
    struct mini_task task; /**< the other shard's, until it has ended */
    struct mini_future runner; /**< follows the task it is of; awaits INNER */
};

/** Runs INNER, a future not yet started, as a task of SHARD, in the memory
 * where it is: it belongs to that shard until this future is READY, with
 * INNER's result. Cancel crosses over, and INNER's answer to it is awaited. */
struct mini_future *mini_spawn_on(
    struct mini_remote *slot, unsigned shard, struct mini_future *inner);

/** A call of a function on another shard, under way. */
struct mini_call {
    struct mini_future future;
    struct mini_message message; /**< there: to be called; back: it was */
    struct mini_task *caller; /**< woken when it is back */
    unsigned from, to; /**< shards */
    long (*fn)(void *arg); /**< called over there */
    void *arg; /**< with this */
    long result; /**< FN's; not in the future, whose cache line stays here */
};

/** Calls FN(ARG) on SHARD, when the message arrives: it must not block and
 * cannot await; its return value is the result. Cancel does not reach it, and
 * its result is awaited. ARG is the other shard's until READY. */
struct mini_future *mini_submit_to(
    struct mini_call *slot, unsigned shard, long (*fn)(void *arg), void *arg);
