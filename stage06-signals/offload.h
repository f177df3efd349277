/* SPDX-License-Identifier: MIT */
/**
 * @file
 * What blocks, on helper threads: a name look-up, a library's call; with
 * poll(2), files too.
 *
 * - A shard has up to 4 helpers, each started when it is needed. One call each:
 *   further ones wait in line.
 * - A job goes to its helper through stage 3's ring and comes back through
 *   another. A helper without one sleeps until its doorbell is rung; the shard
 *   may be awake, so helpers ring it by the protocol of park.h.
 * - Cancel takes a call that waits out of the line: -ECANCELED. One that runs
 *   cannot be stopped: its result is awaited.
 *
 * Source: libuv's and Seastar's (syscall_work_queue) helper threads.
 */
#pragma once

#include "io.h"

/** Calls FN(ARG) on a helper thread, where it may block; its result. ARG is the
 * helper's until READY. FN must not call the runtime. -EAGAIN, -EMFILE or
 * -ENOMEM if there is no helper and none can be started: FN was not called. */
static inline struct mini_future *mini_offload(
    struct mini_io *slot, long (*fn)(void *arg), void *arg) {
    return MINI_MAKE(
        slot, mini_io_step, .op = MINI_OP_CALL, .call = fn, .buffer = arg);
}

/** A backend's: has a helper carry out OPERATION, which would block here. */
void mini_offload_start(struct mini_io_shard *io, struct mini_io *operation);
/** Withdraws OPERATION if no helper has it yet. */
void mini_offload_stop(struct mini_io *operation);
/** Completes what helpers have done; how many that were. */
unsigned mini_offload_turn(struct mini_io_shard *io);
/** Ends the helpers, which have nothing to do. */
void mini_offload_destroy(struct mini_io_shard *io);
