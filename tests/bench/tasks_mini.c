/* SPDX-License-Identifier: MIT */
/* Switching and spawning with the runtime; see tasks_limit.c. */
#include "miniss.h"

#include "bench.h"

static struct bench bench;
static uint64_t rounds, per_slice;
static unsigned count;
static bool running = true;

/* ---- yield ---- */

struct yielder {
    struct mini_future future;
};

static MINI_POLL(follow) {
    MINI_BEGIN;
    while (running) MINI_YIELD();
    MINI_END(0);
}

static MINI_POLL(lead) {
    MINI_BEGIN;
    bench_start(&bench);
    while (running) {
        MINI_YIELD();
        if (++rounds % per_slice == 0)
            running = bench_lap(&bench, per_slice * count);
    }
    MINI_END(0);
}

struct program {
    struct mini_future future;
    struct mini_join join;
    struct mini_task **tasks;
    unsigned i;
};

static MINI_POLL(yield) {
    struct program *self = MINI_SELF(struct program);
    MINI_BEGIN;
    per_slice = 200000 / count + 1;
    self->tasks[0] = MINI_SPAWN(struct yielder, lead);
    for (unsigned i = 1; i < count; i++)
        self->tasks[i] = MINI_SPAWN(struct yielder, follow);
    for (self->i = 0; self->i < count; self->i++)
        MINI_AWAIT(mini_join(&self->join, self->tasks[self->i]));
    MINI_END(0);
}

/* ---- yield, while the others wait ---- */

static MINI_POLL(idle) {
    return cx.cancel ? mini_ready(future, 0) : MINI_PENDING;
}

static MINI_POLL(among) {
    struct program *self = MINI_SELF(struct program);
    MINI_BEGIN;
    for (unsigned i = 1; i < count; i++) MINI_SPAWN(struct yielder, idle);
    count = 1;
    per_slice = 200000;
    self->tasks[0] = MINI_SPAWN(struct yielder, lead);
    MINI_AWAIT(mini_join(&self->join, self->tasks[0]));
    MINI_END(0);
}

/* ---- spawn ---- */

struct child {
    struct mini_future future;
};

static MINI_POLL(child) {
    (void)cx;
    return mini_ready(future, 1);
}

static MINI_POLL(spawn) {
    struct program *self = MINI_SELF(struct program);
    MINI_BEGIN;
    per_slice = 100000 / count + 1;
    bench_start(&bench);
    while (running) {
        for (unsigned i = 0; i < count; i++)
            self->tasks[i] = MINI_SPAWN(struct child, child);
        for (self->i = 0; self->i < count; self->i++) {
            MINI_AWAIT(mini_join(&self->join, self->tasks[self->i]));
            if (MINI_RESULT != 1) abort();
        }
        if (++rounds % per_slice == 0)
            running = bench_lap(&bench, per_slice * count);
    }
    MINI_END(0);
}

int main(int argc, char **argv) {
    struct program program;
    count = bench_number(argc, argv, 2);
    struct mini_task **tasks = calloc(count, sizeof *tasks);
    if (!tasks) return 1;
    bench_init(&bench, CLOCK_THREAD_CPUTIME_ID);
    struct mini_future *main =
        MINI_CALL(struct program, &program, yield, .tasks = tasks);
    if (bench_case(argc, argv, "spawn"))
        main = MINI_CALL(struct program, &program, spawn, .tasks = tasks);
    if (bench_case(argc, argv, "among"))
        main = MINI_CALL(struct program, &program, among, .tasks = tasks);
    if (mini_run(main, NULL) < 0) return 1;
    bench_print(&bench);
    return 0;
}
