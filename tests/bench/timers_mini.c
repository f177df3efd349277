/* SPDX-License-Identifier: MIT */
/* Timers of the runtime, in a run with a virtual clock, which is moved by hand;
 * expired by the row that does so in every turn. */
#include "miniss.h"

#include "timers.h"

static struct mini_timer *timers;

static void timers_init(unsigned count) {
    timers = calloc(count, sizeof *timers);
    if (!timers) exit(1);
}

static inline void timers_insert(unsigned i, uint64_t ns) {
    mini_timer_start(mini_self, &timers[i], mini_self->now + ns);
}

static inline void timers_cancel(unsigned i) { mini_wheel_cancel(&timers[i]); }

static inline void timers_pass(uint64_t ns) {
    mini_self->now += ns;
    timers_due += mini_timer_poller.turn(mini_self);
}

struct program {
    struct mini_future future;
    int argc;
    char **argv;
};

static MINI_POLL(program) {
    struct program *self = MINI_SELF(struct program);
    (void)cx;
    return mini_ready(future, timers_main(self->argc, self->argv));
}

int main(int argc, char **argv) {
    struct mini_options options = {.virtual_clock = true, .shards = 1};
    struct program frame;
    return (int)mini_run(
        MINI_CALL(struct program, &frame, program, .argc = argc, .argv = argv),
        &options);
}
