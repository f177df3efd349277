/* SPDX-License-Identifier: MIT */
/* What the timer programs have in common: N timers are pending, due at random
 * within a minute.
 *     ... cancel N    takes one out and puts it in with another deadline: all in
 *                     turn, as connections do whose timeouts start again
 *     ... expire N    puts all in, then time passes, in jumps, until all are due
 *
 * Each program defines, before it includes this:
 *     timers_init(n)           makes N timers, none of them pending
 *     timers_insert(i, ns)     timer I is due NS from now
 *     timers_cancel(i)         timer I is not pending any more
 *     timers_pass(ns)          NS go by; calls timers_expired for what is due
 * The minute passes at once: the clocks of all programs are their own. */
#pragma once

#include "bench.h"

#define TIMERS_RANGE UINT64_C(60000000000) /* ns */

static struct bench timers_bench;
static uint64_t timers_random = 88172645463325252u;
static uint64_t timers_due;

static inline void timers_expired(void) { timers_due++; }

static void timers_init(unsigned count);
static inline void timers_insert(unsigned i, uint64_t ns);
static inline void timers_cancel(unsigned i);
static inline void timers_pass(uint64_t ns);

static inline uint64_t timers_delay(void) {
    /* no division: it would take longer than what is measured */
    return (bench_random(&timers_random) >> 40) * TIMERS_RANGE >> 24;
}

static inline void timers_case_cancel(unsigned count) {
    unsigned next = 0, ops = count < 20000 ? 20000 : count;
    for (unsigned i = 0; i < count; i++) timers_insert(i, timers_delay());
    while (bench_more(&timers_bench)) {
        bench_start(&timers_bench);
        for (unsigned i = 0; i < ops; i++) {
            timers_cancel(next);
            timers_insert(next, timers_delay());
            next = next + 1 < count ? next + 1 : 0;
        }
        bench_stop(&timers_bench, ops);
    }
    for (unsigned i = 0; i < count; i++) timers_cancel(i);
}

static inline void timers_case_expire(unsigned count) {
    unsigned jumps = count >= 64000 ? 64 : count / 1000 + 1;
    unsigned repeat = count < 20000 ? 20000 / count + 1 : 1;
    while (bench_more(&timers_bench)) {
        bench_start(&timers_bench);
        timers_due = 0;
        for (unsigned n = 0; n < repeat; n++) {
            for (unsigned i = 0; i < count; i++)
                timers_insert(i, timers_delay());
            for (unsigned i = 0; i < jumps; i++)
                timers_pass(TIMERS_RANGE / jumps + 2000000);
        }
        bench_stop(&timers_bench, (uint64_t)count * repeat);
        if (timers_due != (uint64_t)count * repeat) abort();
    }
}

static inline int timers_main(int argc, char **argv) {
    unsigned count = bench_number(argc, argv, 2);
    timers_init(count);
    bench_init(&timers_bench, CLOCK_THREAD_CPUTIME_ID);
    if (bench_case(argc, argv, "cancel"))
        timers_case_cancel(count);
    else if (bench_case(argc, argv, "expire"))
        timers_case_expire(count);
    else
        return 2;
    bench_print(&timers_bench);
    return 0;
}
