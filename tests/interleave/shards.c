/* SPDX-License-Identifier: MIT */
/* Runs of two shards, from start to end: in each scenario one part of it in
 * every order, and the rest in one; see model_calm. */
#include "platform.h"

#include "call.h"
#include "smp.h"

/* ---- the platform's threads: to start and to join one orders memory ---- */

static struct {
    void *(*run)(void *);
    void *argument;
} starts[THREADS];
static atomic_int started[THREADS], ended[THREADS];
static int thread_missing; /* the one that cannot be had */

static void name_all(struct mini_smp *smp) {
    static const char *const heads[] = {
        "head 0>0", "head 0>1", "head 1>0", "head 1>1"};
    static const char *const tails[] = {
        "tail 0>0", "tail 0>1", "tail 1>0", "tail 1>1"};
    static const char *const parkers[] = {"parker 0", "parker 1"};
    static const char *const seen[] = {"news_seen 0", "news_seen 1"};
    model_name(&smp->met, "met");
    model_name(&smp->news, "news");
    model_name(&smp->stop, "stop");
    model_name(&smp->quiet, "quiet");
    model_name(&smp->deadlocks, "deadlocks");
    model_name(&smp->idle, "idle");
    for (int i = 0; i < 4 && smp->count == 2; i++) {
        model_name(&smp->lanes[i].ring.head, heads[i]);
        model_name(&smp->lanes[i].ring.tail, tails[i]);
    }
    for (int i = 0; i < 2; i++) {
        model_name(&smp->shards[i].news_seen, seen[i]);
        model_name(&smp->shards[i].parker, parkers[i]);
    }
}

int model_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
    void *(*run)(void *), void *argument) {
    int i = 1;
    (void)attributes;
    name_all(((struct mini_shard *)argument)->smp);
    while (i < thread_missing && starts[i].run) i++;
    if (i == thread_missing) return EAGAIN;
    starts[i].run = run;
    starts[i].argument = argument;
    *thread = (pthread_t)i;
    atomic_store_explicit(&started[i], 1, memory_order_release);
    return 0;
}

static void wait_for(atomic_int *word) {
    model_wait(word, 1);
    (void)atomic_load_explicit(word, memory_order_acquire);
}

static void other_shard(void) {
    int i = model_thread();
    wait_for(&started[i]);
    starts[i].run(starts[i].argument);
    atomic_store_explicit(&ended[i], 1, memory_order_release);
}

int model_pthread_join(pthread_t thread, void **result) {
    (void)result;
    wait_for(&ended[thread]);
    return 0;
}

int model_sched_yield(void) { return 0; }
unsigned mini_cpu_count(void) { return 2; }
void mini_pin(unsigned index) { (void)index; }
void mini_unpin(void) {}

/* ---- mains of shard 0 ---- */

static long result;

static void setup(void) {
    platform_reset();
    result = 0;
    thread_missing = THREADS;
    for (int i = 0; i < THREADS; i++) {
        started[i] = ended[i] = 0;
        starts[i].run = NULL;
    }
}

static void run_shards(struct mini_future *main, unsigned count) {
    const struct mini_options options = {
        .shards = count, .ring_capacity = 2, .virtual_clock = true};
    result = mini_run(main, &options);
}

static MINI_POLL(end_calmly) {
    model_calm(true);
    return mini_ready(future, 7);
}
static void start(void) {
    struct mini_future main = MINI_FUTURE(end_calmly, "end_calmly");
    run_shards(&main, 2);
}
static void start_three(void) {
    struct mini_future main = MINI_FUTURE(end_calmly, "end_calmly");
    run_shards(&main, 3);
}

static MINI_POLL(end_now) {
    model_calm(false);
    return mini_ready(future, 7);
}
static void end(void) {
    struct mini_future main = MINI_FUTURE(end_now, "end_now");
    model_calm(true);
    run_shards(&main, 2);
}

struct caller {
    struct mini_future future;
    struct mini_call call;
};
static long seven_there(void *argument) {
    (void)argument;
    return mini_this_shard() == 1 ? 7 : 0;
}
static MINI_POLL(calling) {
    struct caller *self = MINI_SELF(struct caller);
    MINI_BEGIN;
    model_calm(false);
    MINI_AWAIT(mini_submit_to(&self->call, 1, seven_there, NULL));
    model_calm(true);
    MINI_END(MINI_RESULT);
}
static void call(void) {
    struct caller caller;
    model_calm(true);
    run_shards(MINI_CALL(struct caller, &caller, calling), 2);
}

static MINI_POLL(waiting) {
    model_calm(cx.cancel);
    return cx.cancel ? mini_ready(future, 7) : MINI_PENDING;
}
static void wait(void) {
    struct mini_future main = MINI_FUTURE(waiting, "waiting");
    model_calm(true);
    run_shards(&main, 2);
}

static void no_thread(void) {
    setup();
    thread_missing = 2;
}
static void no_bell(void) {
    setup();
    bell_missing = 1;
}

/* ---- checks ---- */

static void is_7(void) {
    model_require(result == 7, "G4.1: the result is lost");
}
static void is_deadlock(void) {
    model_require(result == -EDEADLK, "G1.5: the dead-lock is not reported");
}
static void is_error(void) {
    model_require(result == (bell_missing == 1 ? -EMFILE : -EAGAIN),
        "smp.h: all shards start, or none");
}

const struct scenario scenarios[] = {
    {"start", "G4.6: all meet at the start", setup,
        {{"shard 0", start}, {"shard 1", other_shard}}, is_7},
    {"thread", "G4.6: shard 2 of 3 gets no thread", no_thread,
        {{"shard 0", start_three}, {"shard 1", other_shard}}, is_error},
    {"bell", "G4.6: shard 1 gets no bell", no_bell,
        {{"shard 0", start}, {"shard 1", other_shard}}, is_error},
    {"wait", "G1.5, G4.7: a dead-lock", setup,
        {{"shard 0", wait}, {"shard 1", other_shard}}, is_deadlock},
    {"call", "G4.1, G4.7: a call, and no dead-lock", setup,
        {{"shard 0", call}, {"shard 1", other_shard}}, is_7},
    {"end", "G4.6: all meet at the end", setup,
        {{"shard 0", end}, {"shard 1", other_shard}}, is_7},
    {0},
};
