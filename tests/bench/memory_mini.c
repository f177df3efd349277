/* SPDX-License-Identifier: MIT */
/* Memory of the runtime's tasks; see memory_limit.c.
 *     memory_mini empty N    N tasks with nothing in their frames, not yet run
 *     memory_mini sleep N    N tasks that sleep
 *     memory_mini life N     N tasks from spawn over a sleep to the end: prints
 *                            the CPU time of one */
#include "miniss.h"

#include "memory.h"

static unsigned count;
static struct bench bench;

struct empty {
    struct mini_future future;
};

static MINI_POLL(empty) {
    (void)cx;
    return mini_ready(future, 0);
}

struct sleeper {
    struct mini_future future;
    struct mini_sleep sleep;
};

static MINI_POLL(sleeper) {
    struct sleeper *self = MINI_SELF(struct sleeper);
    MINI_BEGIN;
    MINI_AWAIT(mini_sleep(&self->sleep, MINI_SECOND));
    MINI_END(MINI_RESULT);
}

struct program {
    struct mini_future future;
    struct mini_yield yield;
    struct mini_sleep sleep;
    size_t before;
    unsigned n;
};

static MINI_POLL(all_empty) {
    size_t before = memory_resident();
    (void)cx;
    for (unsigned i = 0; i < count; i++)
        if (mini_detach(MINI_SPAWN(struct empty, empty)) < 0) exit(1);
    memory_print(before, count);
    return mini_ready(future, 0);
}

static MINI_POLL(all_asleep) {
    struct program *self = MINI_SELF(struct program);
    MINI_BEGIN;
    self->before = memory_resident();
    for (unsigned i = 0; i < count; i++)
        if (mini_detach(MINI_SPAWN(struct sleeper, sleeper)) < 0) exit(1);
    MINI_AWAIT(mini_yield(&self->yield));
    memory_print(self->before, count);
    MINI_END(0);
}

static MINI_POLL(lives) {
    struct program *self = MINI_SELF(struct program);
    MINI_BEGIN;
    while (bench_more(&bench)) {
        bench_start(&bench);
        for (self->n = 0; self->n < 1000000 / count; self->n++) {
            for (unsigned i = 0; i < count; i++)
                if (mini_detach(MINI_SPAWN(struct sleeper, sleeper)) < 0)
                    exit(1);
            MINI_AWAIT(mini_sleep(&self->sleep, 2 * MINI_SECOND));
        }
        bench_stop(&bench, (uint64_t)count * self->n);
    }
    bench_print(&bench);
    MINI_END(0);
}

int main(int argc, char **argv) {
    struct mini_options options = {.virtual_clock = true, .shards = 1};
    struct program frame;
    count = bench_number(argc, argv, 2);
    bench_init(&bench, CLOCK_THREAD_CPUTIME_ID);
    struct mini_future *main;
    if (bench_case(argc, argv, "empty"))
        main = MINI_CALL(struct program, &frame, all_empty);
    else if (bench_case(argc, argv, "sleep"))
        main = MINI_CALL(struct program, &frame, all_asleep);
    else
        main = MINI_CALL(struct program, &frame, lives);
    return mini_run(main, &options) < 0;
}
