/* SPDX-License-Identifier: MIT */
/**
 * @file
 * Signals as futures, graceful shutdown, and the dump of all tasks.
 *
 * While mini_run runs:
 * - SIGINT, SIGTERM and SIGHUP are delivered to the tasks that wait for them,
 *   which then decide whether the run ends; if none waits, mini_shutdown() is
 *   called. A second SIGINT or SIGTERM kills the process, unless a task waits
 *   for it again.
 * - SIGUSR1 prints every task of every shard to stderr.
 * - SIGPIPE ends nothing: writing to a closed peer is -EPIPE.
 * - SIGPIPE, SIGUSR1, SIGUSR2 and SIGCHLD are also kept for a task that waits
 *   for them later. Other signals, and any that were ignored before (as SIGHUP
 *   is under nohup(1)), do what they did until a task waits for them; from then
 *   to the end of the run they are kept, too.
 *
 * A handler notes the signal's number and rings shard 0's doorbell, as any
 * other sender does. We do not block signals for a signalfd: a blocked mask
 * would be inherited by children through exec, a handler is not; a handler sees
 * another thread's raise(), too; and it works wherever there is POSIX.
 *
 * Signals belong to the process, so only one mini_run at a time has them: the
 * first. A second one, on another thread, runs without them: mini_signal_wait
 * gives -EBUSY there.
 *
 * Source: Bernstein's self-pipe trick; the pipe is the doorbell.
 *
 * @guarantee{G6.1} A waited-for signal is delivered to every waiter of its set,
 * one that came before the wait was called included.
 *
 * @guarantee{G6.2} SIGINT or SIGTERM: no new work, what is in flight ends or is
 * cancelled at the drain deadline, all shards stop, exit status 0.
 *
 * @guarantee{G6.3} A second SIGINT/SIGTERM ends the process at once, with the
 * status a shell expects.
 *
 * @guarantee{G6.4} Writing to a closed peer is -EPIPE, never the death of the
 * process.
 *
 * @guarantee{G6.5} SIGUSR1 prints every live task with its chain of awaits,
 * without stopping or disturbing them.
 *
 * @guarantee{G6.6} Signal masks and dispositions are as before when mini_run
 * has returned; children do not inherit the blocked mask.
 */
#pragma once

#include "call.h"
#include "sync.h"

#include <signal.h>

/** A wait for a signal, under way. */
struct mini_signal_wait {
    struct mini_remote remote; /**< to shard 0, where signals come in */
    struct mini_wait wait; /**< on shard 0 */
    uint64_t set; /**< bit n - 1: signal n */
};

/** The row that takes signals in. */
extern const struct mini_poller mini_signal_poller;

/** Waits for one of the signals in SET (copied). Result: its number. A signal
 * that came when nobody waited goes to the first wait for it. Any shard.
 * -EINVAL if none of SET can be waited for: SIGKILL, SIGSTOP and what a fault
 * raises, like SIGSEGV, cannot. -EBUSY if the signals belong to another
 * mini_run, -ESHUTDOWN after the stop. Cancel: -ECANCELED. */
struct mini_future *mini_signal_wait(
    struct mini_signal_wait *slot, const sigset_t *set);

/** Any shard: ends the run gracefully. Every main is cancelled; other tasks
 * have options.drain ns to end by themselves, then they are cancelled. They may
 * spawn and call meanwhile. A second call has no effect. */
void mini_shutdown(void);

/** For mini_run, when main has ended: after mini_shutdown(), gives the other
 * tasks that time. */
void mini_linger(struct mini_executor *executor);
