/* SPDX-License-Identifier: MIT */
/**
 * @file
 * Calls to other shards, as futures: a plain function, or a future.
 *
 * - The slot is the caller's and is itself the message: it stays until READY.
 * - A shard number out of range gives -EINVAL; a call that begins or arrives
 *   after the stop, -ESHUTDOWN; one that is cancelled before its first poll,
 *   -ECANCELED. In each case nothing has run on the other shard.
 * - A call to one's own shard goes the same way.
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

#include "message.h"

/** A call of a function on another shard, under way. */
struct mini_call {
    struct mini_future future; /**< resume: 0, or messages under way and 1 */
    struct mini_message message; /**< out: call FN; back: FN has returned */
    struct mini_task *caller; /**< woken when it is back */
    unsigned from, to; /**< shards */
    long (*fn)(void *arg); /**< called over there */
    void *arg; /**< with this */
    long result; /**< FN's; apart from the future, whose line stays here */
};

/** Calls FN(ARG) on SHARD when the message arrives; what FN returns is the
 * result. FN must not block and cannot await. Cancel does not reach it: its
 * result is awaited all the same. ARG is the other shard's until READY. */
struct mini_future *mini_submit_to(
    struct mini_call *slot, unsigned shard, long (*fn)(void *arg), void *arg);

/** A future that runs on another shard, under way: a call that comes back when
 * INNER has ended. */
struct mini_remote {
    union {
        struct mini_future future;
        struct mini_call call; /**< without FN and ARG */
    };
    struct mini_message cancel; /**< out: cancel; back: has been cancelled */
    bool cancelled; /**< CANCEL has been sent */
    struct mini_guest guest; /**< the other shard's, until it has ended; awaits
                              * INNER */
};

/** Runs INNER, a future not yet started, as a task of SHARD, in the memory
 * where it is. That memory belongs to SHARD until the returned future is READY;
 * the result is INNER's. Cancel crosses over, and INNER's answer is awaited. */
struct mini_future *mini_spawn_on(
    struct mini_remote *slot, unsigned shard, struct mini_future *inner);
