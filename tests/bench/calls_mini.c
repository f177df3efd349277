/* SPDX-License-Identifier: MIT */
/* Calls from shard 0 to shard 1 and back.
 *     calls_mini awake W     W on the way at a time; a task on each shard keeps
 *                            it awake
 *     calls_mini asleep 1    one at a time; both shards sleep in between
 *     calls_mini self W      on one shard, to itself: to count instructions */
#include "miniss.h"

#include "bench.h"

/* run.py sets it if a shard can be told to poll for a while before it sleeps:
 * then nothing else must keep it awake. */
#ifdef BENCH_SPIN
#define SPIN true
#define OPTIONS .shards = target + 1, .spin = awake ? MINI_SECOND : 0
#else
#define SPIN false
#define OPTIONS .shards = target + 1
#endif

static struct bench bench;
static bool running = true; /* shard 0's */
static uint64_t calls, per_slice;
static unsigned window, target = 1;
static bool awake;

static long nothing(void *arg) {
    (void)arg;
    return 1;
}

/* ---- who keeps a shard awake, until the run stops ---- */

/* With a call to the shard itself: one a turn. A task that yields would be run
 * many times a turn, and hold up the messages. */
struct waker {
    struct mini_future future;
    struct mini_call call;
};

static MINI_POLL(stay_awake) {
    struct waker *self = MINI_SELF(struct waker);
    MINI_BEGIN;
    while (!cx.cancel)
        MINI_AWAIT(
            mini_submit_to(&self->call, mini_this_shard(), nothing, NULL));
    MINI_END(0);
}

struct remote_waker {
    struct mini_future future;
    struct mini_remote remote;
    struct waker waker;
};

static MINI_POLL(stay_awake_there) {
    struct remote_waker *self = MINI_SELF(struct remote_waker);
    MINI_BEGIN;
    MINI_AWAIT(mini_spawn_on(
        &self->remote, 1, MINI_CALL(struct waker, &self->waker, stay_awake)));
    MINI_END(0);
}

/* ---- who calls ---- */

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
    if (awake && !SPIN) {
        mini_detach(MINI_SPAWN(struct waker, stay_awake));
        mini_detach(MINI_SPAWN(struct remote_waker, stay_awake_there));
    }
    bench_start(&bench);
    for (unsigned i = 0; i < window; i++)
        self->tasks[i] = MINI_SPAWN(struct caller, caller);
    for (self->i = 0; self->i < window; self->i++)
        MINI_AWAIT(mini_join(&self->join, self->tasks[self->i]));
    MINI_END(0);
}

int main(int argc, char **argv) {
    window = bench_number(argc, argv, 2);
    awake = bench_case(argc, argv, "awake");
    target = !bench_case(argc, argv, "self");
    struct mini_options options = {OPTIONS};
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
