/* SPDX-License-Identifier: MIT */
/**
 * @file
 * Calls that block, on helper threads: a name look-up, a library's function;
 * with poll(2), files too.
 *
 * - A shard has up to 4 helpers, each started when it is needed. Each runs one
 *   call at a time; further calls wait in line.
 * - A job is put into its helper's one place for it, which the helper empties
 *   when it has done it. A helper without a job sleeps until its doorbell is
 *   rung. The shard may be awake, so helpers ring it by the protocol of park.h.
 * - Cancel takes a call that waits out of the line: -ECANCELED. One that runs
 *   cannot be stopped: its result is awaited.
 *
 * Source: libuv's and Seastar's (syscall_work_queue) helper threads.
 */
#pragma once

#include "executor.h"

/** Calls FN(ARG) on a helper thread, where it may block. Result: FN's. ARG is
 * the helper's until READY. FN must not call the runtime. -EAGAIN, -EMFILE or
 * -ENOMEM if there is no helper and none can be started: FN was not called. */
static inline struct mini_future *mini_offload(
    struct mini_io *slot, long (*fn)(void *arg), void *arg) {
    return MINI_MAKE(
        slot, mini_io_step, .op = MINI_OP_CALL, .call = fn, .buffer = arg);
}

/** For backends: has a helper carry out OPERATION, which would block here. */
void mini_offload_start(struct mini_io_shard *io, struct mini_io *operation);
/** Withdraws OPERATION if no helper has it yet. */
void mini_offload_stop(struct mini_io *operation);
/** Completes the operations that helpers have done, and gives them those that
 * wait; says how many were done. */
unsigned mini_offload_turn(struct mini_io_shard *io);
/** Ends the helpers, which must be idle. */
void mini_offload_destroy(struct mini_io_shard *io);
