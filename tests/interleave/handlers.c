/* SPDX-License-Identifier: MIT */
/* A run of one shard, and signals that other threads of the process take: a
 * handler that strikes between any two steps, at the end above all. Of stage 6
 * without its I/O, for the bell is all that a handler knows of that. */
#include "platform.h"

#include "channel.h"
#include "smp.h"

#include <signal.h>
#include <unistd.h>

static int errnos[THREADS];
#undef errno
#define errno errnos[model_thread()]
#define getpid() 1
#define raise(signal) (raised[model_thread()] = true)
#define sigaction(signal, new, old) model_sigaction(signal, new, old)
static bool raised[THREADS]; /* blocked until the handler returns */
static int model_sigaction(
    int signal, const struct sigaction *new, struct sigaction *old);

#include "signals.c" /* what it keeps is set anew for each execution */

const struct mini_options mini_defaults = {.shards = 1};
const struct mini_poller *const mini_pollers[] = {
    &mini_timer_poller,
    &mini_inbox_poller,
    &mini_channel_poller,
    &mini_park_poller,
    &mini_task_poller,
    &mini_outbox_poller,
    &mini_smp_poller,
    &mini_signal_poller,
    NULL,
};

unsigned mini_cpu_count(void) { return 1; }
void mini_pin(unsigned index) { (void)index; }
void mini_unpin(void) {}
int model_sched_yield(void) { return 0; }
int model_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
    void *(*run)(void *), void *argument) {
    (void)thread, (void)attributes, (void)run, (void)argument;
    return EAGAIN;
}
int model_pthread_join(pthread_t thread, void **result) {
    (void)thread, (void)result;
    return 0;
}

/* ---- the system's part: a lock of its own orders memory ---- */

static const int watched[] = {SIGUSR2, SIGCHLD};
static _Atomic(uintptr_t) dispositions[2]; /* a handler for each */
static atomic_int is_caught[2];

static void own(int signal) { (void)signal; } /* the program's own handler */

static int model_sigaction(
    int signal, const struct sigaction *new, struct sigaction *old) {
    for (int i = 0; i < 2; i++) {
        if (signal != watched[i]) continue;
        if (old) old->sa_handler = own;
        if (!new) continue; /* who only asks changes nothing */
        atomic_exchange_explicit(&dispositions[i], (uintptr_t) new->sa_handler,
            memory_order_acq_rel);
        if (new->sa_handler == handle)
            atomic_store_explicit(&is_caught[i], 1, memory_order_relaxed);
    }
    return 0;
}

/* This thread takes the signal of number I. */
static void take(int i) {
    do {
        raised[model_thread()] = false;
        void (*does)(int) = (void (*)(int))atomic_fetch_add_explicit(
            &dispositions[i], 0, memory_order_acq_rel);
        does(watched[i]);
    } while (raised[model_thread()]);
}

/* ---- mains ---- */

static long result, second_result;

static void set_up(void) {
    platform_reset();
    bells_order = true;
    memset(&signals, 0, sizeof signals);
    result = second_result = 0;
    for (int i = 0; i < 2; i++) {
        dispositions[i] = (uintptr_t)own;
        is_caught[i] = 0;
        model_name(&dispositions[i], i == 0 ? "SIGUSR2" : "SIGCHLD");
    }
    for (int i = 0; i < THREADS; i++) raised[i] = false;
    model_name(&signals.owner, "owner");
    model_name(&signals.came, "came");
    model_name(&signals.inside, "inside");
    model_name(&signals.pid, "pid");
    model_name(&signals.ending, "ending");
}

struct waiting {
    struct mini_future future;
    struct mini_signal_wait wait;
    long first;
};

static MINI_POLL(wait_for_both) {
    struct waiting *self = MINI_SELF(struct waiting);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    sigaddset(&set, SIGCHLD);
    MINI_BEGIN;
    MINI_AWAIT(mini_signal_wait(&self->wait, &set));
    self->first = MINI_RESULT;
    MINI_AWAIT(mini_signal_wait(&self->wait, &set));
    MINI_END(self->first + MINI_RESULT);
}

static MINI_POLL(wait_for_one) {
    struct waiting *self = MINI_SELF(struct waiting);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    MINI_BEGIN;
    MINI_AWAIT(mini_signal_wait(&self->wait, &set));
    MINI_END(MINI_RESULT);
}

static MINI_POLL(end_at_once) { return mini_ready(future, 7); }

static const struct mini_options one_shard = {
    .shards = 1, .ring_capacity = 1, .virtual_clock = true};

static void waits(void) {
    struct waiting waiting;
    result =
        mini_run(MINI_CALL(struct waiting, &waiting, wait_for_one), &one_shard);
}
static void waits_twice(void) {
    struct waiting waiting;
    result = mini_run(
        MINI_CALL(struct waiting, &waiting, wait_for_both), &one_shard);
}
static void ends(void) {
    struct mini_future main = MINI_FUTURE(end_at_once, "end_at_once");
    result = mini_run(&main, &one_shard);
}
static void runs_twice(void) {
    ends();
    struct mini_future main = MINI_FUTURE(end_at_once, "end_at_once");
    second_result = mini_run(&main, &one_shard);
}

/* ---- the other threads ---- */

static void take_any_time(void) { take(0); }
static void take_first(void) {
    model_wait(&is_caught[0], 1);
    take(0);
}
static void take_second(void) {
    model_wait(&is_caught[1], 1);
    take(1);
}

/* ---- checks ---- */

static void as_before(void) {
    for (int i = 0; i < 2; i++)
        model_require(dispositions[i] == (uintptr_t)own,
            "G6.6: a disposition is not as before");
}
static void got_it(void) {
    model_require(result == SIGUSR2, "G6.1: a signal is lost");
    as_before();
}
static void got_both(void) {
    model_require(result == SIGUSR2 + SIGCHLD, "G6.1: a signal is lost");
    as_before();
}
static void ended(void) {
    model_require(result == 7, "the run does not end");
    as_before();
}
static void ended_twice(void) {
    model_require(second_result == 7, "the second run does not end");
    ended();
}

const struct scenario scenarios[] = {
    {"signal", "G6.1: who waits for a signal gets it", set_up,
        {{"shard 0", waits}, {"other", take_first}}, got_it},
    {"two", "G6.1: two threads take one each", set_up,
        {{"shard 0", waits_twice}, {"other", take_first},
            {"third", take_second}},
        got_both},
    {"late", "G6.6: a handler while the run ends", set_up,
        {{"shard 0", ends}, {"other", take_any_time}}, ended},
    {"next", "G6.6: and while the next one begins", set_up,
        {{"shard 0", runs_twice}, {"other", take_any_time}}, ended_twice},
    {0},
};
