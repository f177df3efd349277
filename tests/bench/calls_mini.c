/* SPDX-License-Identifier: MIT */
/* Calls from shard 0 to shard 1 and back.
 *     calls_mini awake W     W on the way at a time; no shard sleeps
 *     calls_mini asleep 1    one at a time; both shards sleep in between
 *     calls_mini self W      on one shard, to itself: to count instructions */
#include "miniss.h"

#include "bench.h"

static struct bench bench;
static bool running = true; /* shard 0's */
static uint64_t calls, per_slice;
static unsigned window, target = 1;

static long nothing(void *arg) {
    (void)arg;
    return 1;
}

struct caller {
    struct mini_future future;
    struct mini_call call;
};

static MINI_POLL(caller) {
    struct caller *self = MINI_SELF(struct caller);
    MINI_BEGIN;
    while (running) {
        MINI_AWAIT(mini_submit_to(&self->call, target, nothing, NULL));
        if (MINI_RESULT != 1) abort();
        if (++calls % per_slice == 0) running = bench_lap(&bench, per_slice);
    }
    MINI_END(0);
}

struct program {
    struct mini_future future;
    struct mini_join join;
    struct mini_task **tasks;
    unsigned i;
};

static MINI_POLL(program) {
    struct program *self = MINI_SELF(struct program);
    MINI_BEGIN;
    bench_start(&bench);
    for (unsigned i = 0; i < window; i++)
        self->tasks[i] = MINI_SPAWN(struct caller, caller);
    for (self->i = 0; self->i < window; self->i++)
        MINI_AWAIT(mini_join(&self->join, self->tasks[self->i]));
    MINI_END(0);
}

int main(int argc, char **argv) {
    window = bench_number(argc, argv, 2);
    target = !bench_case(argc, argv, "self");
    struct mini_options options = {.shards = target + 1,
        .spin = bench_case(argc, argv, "awake") ? MINI_SECOND : 0};
    struct program frame;
    per_slice = bench_case(argc, argv, "asleep") ? 100
        : window == 1                            ? 2000
                                                 : 20000;
    struct mini_task **tasks = calloc(window, sizeof *tasks);
    if (!tasks) return 1;
    bench_init(&bench, CLOCK_MONOTONIC);
    if (mini_run(MINI_CALL(struct program, &frame, program, .tasks = tasks),
            &options) < 0)
        return 1;
    bench_print(&bench);
    return 0;
}
