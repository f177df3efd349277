/* SPDX-License-Identifier: MIT */
/* Timers of libev. */
#include "clock.h"
#include "timers.h"

#define EV_MULTIPLICITY 1
#include <ev.h>

static struct ev_loop *loop;
static ev_timer *timers;

static void expired(struct ev_loop *in, ev_timer *timer, int events) {
    (void)in, (void)timer, (void)events;
    timers_expired();
}

static void timers_init(unsigned count) {
    loop = ev_default_loop(0);
    timers = calloc(count, sizeof *timers);
    if (!loop || !timers) exit(1);
    for (unsigned i = 0; i < count; i++) ev_init(&timers[i], expired);
}

static inline void timers_insert(unsigned i, uint64_t ns) {
    ev_timer_set(&timers[i], (double)ns / 1e9, 0.);
    ev_timer_start(loop, &timers[i]);
}

static inline void timers_cancel(unsigned i) {
    ev_timer_stop(loop, &timers[i]);
}

static inline void timers_pass(uint64_t ns) {
    clock_now += ns;
    ev_run(loop, EVRUN_NOWAIT);
}

int main(int argc, char **argv) { return timers_main(argc, argv); }
