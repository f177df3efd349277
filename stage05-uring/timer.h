/* SPDX-License-Identifier: MIT */
/**
 * @file
 * Time as futures: sleep, timeout, interval, periodic tasks; and a wait that
 * lasts until the next deadline.
 *
 * - All times are nanoseconds: a duration, or a point on the clock of
 *   mini_now(). With options.virtual_clock that clock starts at 0 and jumps to
 *   the next deadline when nothing is runnable: a test of an hour takes no time
 *   and is exact.
 * - Deadlines are rounded up to a tick of 65.5 us: they are late by up to that,
 *   and by whatever else is runnable, but never early.
 * - Slots are the caller's and stay until the future is READY. Cancel takes
 *   the timer out of the wheel at once and answers -ECANCELED.
 * - Use all of it inside mini_run; each thread has its own clock and wheel.
 *
 * Source: timerfd_create(2), for ticks that say how many periods went by.
 *
 * @guarantee{G2.1} Never early: a sleep of d finishes no sooner than d.
 *
 * @guarantee{G2.2} With the virtual clock, never late: it finishes at the first
 * tick at or after its deadline.
 *
 * @guarantee{G2.5} timeout gives -ETIMEDOUT only when it was what cancelled; a
 * result that was ready wins; the inner future is always finished.
 *
 * @guarantee{G2.6} An interval does not drift: its n-th tick belongs to
 * start + n * period; a late tick says how many periods went by.
 *
 * @guarantee{G2.7} A periodic task runs once a period, never overlaps itself,
 * and stops for good when cancelled.
 *
 * @guarantee{G2.8} An idle runtime sleeps until its next deadline: no polling
 * (counted in system calls, not in time).
 */
#pragma once

#include "executor.h"

#define MINI_US UINT64_C(1000) /**< a microsecond in ns */
#define MINI_MS UINT64_C(1000000) /**< a millisecond in ns */
#define MINI_SECOND UINT64_C(1000000000) /**< a second in ns */

/** The row that expires timers. */
extern const struct mini_poller mini_timer_poller;

/** The time as last read in this turn, or read now if it was not. */
uint64_t mini_now(void);
/** The time NS nanoseconds from now; UINT64_MAX if it would be beyond that. */
uint64_t mini_from_now(uint64_t ns);

/** A sleep under way. */
struct mini_sleep {
    struct mini_future future;
    struct mini_timer timer; /**< in the wheel while it waits */
    uint64_t deadline; /**< on the clock of mini_now; before the first poll of
                        * mini_sleep, a duration */
};

/** Waits until NS nanoseconds have passed since its first poll; the result is
 * 0. */
struct mini_future *mini_sleep(struct mini_sleep *slot, uint64_t ns);
/** Waits until the clock shows DEADLINE; the result is 0. If that time is past
 * already, waits until the next turn. */
struct mini_future *mini_sleep_until(
    struct mini_sleep *slot, uint64_t deadline);

/** A timeout under way. */
struct mini_timeout {
    struct mini_future future;
    struct mini_sleep sleep; /**< the time INNER has */
    bool expired; /**< the time is up, so INNER is cancelled */
};

/** Waits for INNER, and gives its result if that comes within NS nanoseconds of
 * the first poll. Else INNER is cancelled and awaited; if it answers -ECANCELED
 * the result is -ETIMEDOUT, otherwise INNER's own. So a timeout is late by the
 * time that cancelling INNER takes. If the timeout itself is cancelled, it
 * cancels INNER, and the result is INNER's. */
struct mini_future *mini_timeout(
    struct mini_timeout *slot, struct mini_future *inner, uint64_t ns);

/** Points in time, a fixed distance apart. */
struct mini_interval {
    uint64_t next; /**< deadline of the next tick */
    uint64_t period; /**< ns from tick to tick */
};

/** Starts an interval now; its first tick is one PERIOD away (in ns; 0 panics).
 */
void mini_interval_start(struct mini_interval *interval, uint64_t period);

/** A wait for a tick, under way. */
struct mini_tick {
    struct mini_future future;
    struct mini_sleep sleep; /**< until the tick */
    struct mini_interval *interval; /**< whose tick it is */
};

/** Waits for INTERVAL's next tick; the result is how many periods went by since
 * the last one: 1, or more if nobody waited in time. Run your work once to skip
 * the missed ones, or that many times to make up for them. A cancelled wait
 * uses up no tick. */
struct mini_future *mini_tick(
    struct mini_tick *slot, struct mini_interval *interval);

/** Spawns a task that calls FN(ARG) once every PERIOD ns. If FN returns a
 * future, not NULL, the task awaits it before the next call, and skips the
 * periods that go by meanwhile. It ends when cancelled; its result is the
 * number of calls. Join or detach it; NULL as from MINI_SPAWN. */
struct mini_task *mini_spawn_periodic(
    uint64_t period, struct mini_future *(*fn)(void *arg), void *arg);

/** Starts TIMER, which is in no wheel: it wakes TIMER->task (if not NULL) at
 * DEADLINE, ns on the clock of mini_now. mini_wheel_cancel stops it. */
static inline void mini_timer_start(struct mini_executor *executor,
    struct mini_timer *timer, uint64_t deadline) {
    uint64_t up =
        deadline + (UINT64_C(1) << MINI_TICK_BITS) - 1; /* never early */
    timer->tick = up < deadline ? MINI_TICK_MAX : up >> MINI_TICK_BITS;
    mini_wheel_insert(&executor->wheel, timer);
}

/** For a row's `wait`: how many ns from now until UNTIL; MINI_FOREVER if UNTIL
 * is MINI_SOMEDAY. A virtual clock jumps to UNTIL, so that 0 is left. */
uint64_t mini_time_left(struct mini_executor *executor, uint64_t until);
