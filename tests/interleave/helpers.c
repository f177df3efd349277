/* SPDX-License-Identifier: MIT */
/* A shard and a helper thread: jobs go to it, what they gave comes back. Of
 * stage 5 the offload and, without its I/O, what a shard needs. */
#include "platform.h"

#include "channel.h"
#include "io.h"
#include "smp.h"
#include "timer.h"

#include <unistd.h>

/* A helper's bell: to ring it and to clear it order memory, as two system calls
 * at one descriptor do. The shard's is that of the platform, which does not. */
static atomic_int helper_rung;
static int open_bell(struct mini_bell *bell);
static void close_bell(struct mini_bell *bell) { (void)bell; }
static void ring_bell(struct mini_bell *bell) {
    (void)bell;
    atomic_exchange_explicit(&helper_rung, 1, memory_order_acq_rel);
}
static void clear_bell(struct mini_bell *bell) {
    (void)bell;
    atomic_exchange_explicit(&helper_rung, 0, memory_order_acq_rel);
}
static int wait_for_bell(struct pollfd *fds, nfds_t count, uint64_t ns) {
    (void)fds;
    model_require(count == 1 && ns == MINI_FOREVER, "a sleep without a bell");
    model_wait(&helper_rung, 1);
    return 1;
}

#define mini_bell_open open_bell
#define mini_bell_close close_bell
#define mini_bell_ring ring_bell
#define mini_bell_clear clear_bell
#define mini_poll_fds wait_for_bell
#include "offload.c"

static int open_bell(struct mini_bell *bell) {
    struct mini_helper *helper = MINI_CONTAINER(bell, struct mini_helper, bell);
    model_name(&helper_rung, "helper's bell");
    model_name(&helper->job, "helper's job");
    bell->wait_fd = bell->ring_fd = 0;
    return 0;
}

/* ---- the platform's threads: to start and to join one orders memory ---- */

static void *(*run_helper)(void *);
static void *argument_of_it;
static atomic_int started, ended;

static void wait_for(atomic_int *word) {
    model_wait(word, 1);
    (void)atomic_load_explicit(word, memory_order_acquire);
}

int model_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
    void *(*run)(void *), void *argument) {
    (void)attributes;
    if (run_helper) return EAGAIN; /* one helper is enough */
    run_helper = run;
    argument_of_it = argument;
    *thread = 1;
    atomic_store_explicit(&started, 1, memory_order_release);
    return 0;
}

int model_pthread_join(pthread_t thread, void **result) {
    (void)thread, (void)result;
    wait_for(&ended);
    return 0;
}

static void other_thread(void) {
    wait_for(&started);
    run_helper(argument_of_it);
    atomic_store_explicit(&ended, 1, memory_order_release);
}

int model_sched_yield(void) { return 0; }
unsigned mini_cpu_count(void) { return 1; }
void mini_pin(unsigned index) { (void)index; }
void mini_unpin(void) {}

/* ---- in place of io.c ---- */

void mini_io_complete(struct mini_io *operation, long result, bool more) {
    (void)more;
    operation->active = false;
    operation->future.result = result;
    mini_self->outside--;
    mini_wake(operation->task);
}

long mini_io_call(struct mini_io *operation) {
    return operation->call(operation->buffer);
}

static int start_offload(struct mini_executor *executor) {
    mini_list_init(&executor->io.jobs);
    return 0;
}
static void stop_offload(struct mini_executor *executor) {
    mini_offload_destroy(&executor->io);
}
static unsigned turn_offload(struct mini_executor *executor) {
    return mini_offload_turn(&executor->io);
}
static const struct mini_poller offload_poller = {
    .start = start_offload, .stop = stop_offload, .turn = turn_offload};

const struct mini_options mini_defaults = {.shards = 1};
const struct mini_poller *const mini_pollers[] = {
    &mini_timer_poller,
    &mini_inbox_poller,
    &mini_channel_poller,
    &mini_park_poller,
    &mini_task_poller,
    &mini_outbox_poller,
    &mini_smp_poller,
    &offload_poller,
    NULL,
};

/* ---- the shard's main ---- */

struct errand {
    struct mini_future future;
    struct mini_io io;
    int times, i;
    long sum, number; /* the helper's while it has the job */
};
static struct errand errand;
static long result;

static long add(void *argument) {
    long *number = argument;
    return ++*number;
}

static MINI_POLL(io_poll) {
    struct mini_io *self = MINI_SELF(struct mini_io);
    self->task = cx.task;
    if (future->resume && !self->active)
        return mini_ready(future, future->result);
    if (future->resume) return MINI_PENDING;
    future->resume = 1;
    self->active = true;
    mini_self->outside++;
    mini_offload_start(&mini_self->io, self);
    return MINI_PENDING;
}

static MINI_POLL(errands) {
    struct errand *self = MINI_SELF(struct errand);
    MINI_BEGIN;
    for (; self->i < self->times; self->i++) {
        self->io = (struct mini_io){.future = MINI_FUTURE(io_poll, "job"),
            .op = MINI_OP_CALL,
            .buffer = &self->number,
            .call = add};
        MINI_AWAIT(&self->io.future);
        self->sum += MINI_RESULT;
    }
    MINI_END(self->sum + self->number);
}

static void set_up(void) {
    platform_reset();
    run_helper = NULL;
    helper_rung = started = ended = 0;
    result = 0;
}

static void go(int times) {
    static const struct mini_options one_shard = {
        .shards = 1, .ring_capacity = 1, .virtual_clock = true};
    result = mini_run(
        MINI_CALL(struct errand, &errand, errands, .times = times), &one_shard);
}
static void goes_once(void) { go(1); }
static void goes_twice(void) { go(2); }

static void got_one(void) {
    model_require(result == 2, "G2.8: what a helper did is lost");
}
static void got_two(void) {
    model_require(result == 5, "G2.8: what a helper did is lost");
}

const struct scenario scenarios[] = {
    {"job", "a helper's result wakes the shard, which goes home with it",
        set_up, {{"shard 0", goes_once}, {"helper", other_thread}}, got_one},
    {"jobs", "and so does the next one's", set_up,
        {{"shard 0", goes_twice}, {"helper", other_thread}}, got_two},
    {0},
};
