/* SPDX-License-Identifier: MIT */
/* Timers of libuv. It counts in milliseconds; its heap does not mind. */
#include "clock.h"
#include "timers.h"

#include <uv.h>

static uv_loop_t *loop;
static uv_timer_t *timers;

static void timers_init(unsigned count) {
    loop = uv_default_loop();
    timers = calloc(count, sizeof *timers);
    if (!timers) exit(1);
    for (unsigned i = 0; i < count; i++) uv_timer_init(loop, &timers[i]);
}

static void expired(uv_timer_t *timer) {
    (void)timer;
    timers_expired();
}

static inline void timers_insert(unsigned i, uint64_t ns) {
    uv_timer_start(&timers[i], expired, ns / 1000000, 0);
}

static inline void timers_cancel(unsigned i) { uv_timer_stop(&timers[i]); }

static inline void timers_pass(uint64_t ns) {
    clock_now += ns;
    uv_run(loop, UV_RUN_NOWAIT);
}

int main(int argc, char **argv) { return timers_main(argc, argv); }
