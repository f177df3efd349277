/* SPDX-License-Identifier: MIT */
/* The shards' life: collective start, idling, the three meetings of the end.
 * See smp.h. */
#include "smp.h"

#include <sched.h>

#define RING_CAPACITY 256
#define WOKEN (UINT64_C(1) << 32) /* one in the high half of smp->idle */

/* The shard that this thread was made for; NULL in shard 0's until it starts. */
static _Thread_local struct mini_shard *made_for;

unsigned mini_this_shard(void) { return mini_self->shard->index; }

unsigned mini_shard_count(void) { return mini_self->shard->smp->count; }

/* ---- ringing ---- */

void mini_smp_ring(struct mini_shard *there) {
    struct mini_parker *parker = atomic_load(&there->parker);
    if (parker) /* NULL: it could not start */
        mini_parker_ring(parker);
}

void mini_smp_ring_all(struct mini_smp *smp) {
    for (unsigned i = 0; i < smp->count; i++) mini_smp_ring(&smp->shards[i]);
}

/* ---- idle for good? ---- */

void mini_smp_not_idle(struct mini_shard *here) {
    if (!here->is_idle) return;
    here->is_idle = false;
    atomic_fetch_add(&here->smp->idle, WOKEN - 1);
}

static bool all_rings_empty(struct mini_smp *smp) {
    for (unsigned i = 0; i < smp->count; i++)
        for (unsigned from = 0; from < smp->count; from++)
            if (mini_spsc_count(&smp->shards[i].inbox[from]) > 0) return false;
    return true;
}

/* A shard that sleeps has not heard of a stop yet: that will wake it. */
static bool stop_unheard(struct mini_smp *smp) {
    return atomic_load(&smp->stop) && atomic_load(&smp->stop_seen) < smp->count;
}

/* Nothing but a message can wake this shard. If that is so for every shard,
 * and none is on its way, none will ever come. The last shard to go idle sees
 * that all are; that none was awake while it looked at the rings it knows from
 * the high half of the word. */
static void look_for_deadlock(struct mini_shard *here) {
    struct mini_smp *smp = here->smp;
    if (!here->is_idle) {
        here->is_idle = true;
        atomic_fetch_add(&smp->idle, 1);
    }
    uint64_t before = atomic_load(&smp->idle);
    if (before % WOKEN != smp->count || stop_unheard(smp) ||
        !all_rings_empty(smp) || atomic_load(&smp->idle) != before)
        return;
    atomic_store(&smp->deadlock, atomic_load(&smp->stop) ? 2 : 1);
    mini_stop();
    mini_smp_ring_all(smp);
}

/* ---- the meetings ---- */

void mini_stop(void) {
    struct mini_smp *smp = mini_self->shard->smp;
    if (!atomic_exchange(&smp->stop, true)) mini_smp_ring_all(smp);
}

unsigned mini_smp_look(struct mini_executor *executor) {
    struct mini_shard *here = executor->shard;
    if (!atomic_load(&here->smp->stop) || here->stop_seen) return 0;
    mini_smp_not_idle(here);
    here->stop_seen = true;
    atomic_fetch_add(&here->smp->stop_seen, 1);
    if (atomic_load(&here->smp->deadlock)) {
        if (here->index == 0) /* mini_step will find it, and mini_run say it */
            return 0;
        mini_dump(stderr);
    }
    if (!executor->root->done) mini_cancel(executor->root);
    return 1;
}

/* Called when this shard has no tasks. */
static bool quiesced(struct mini_executor *executor) {
    struct mini_shard *here = executor->shard;
    mini_stop();
    if (!here->is_quiet) {
        here->is_quiet = true;
        if (atomic_fetch_add(&here->smp->quiet, 1) + 1 == here->smp->count)
            mini_smp_ring_all(here->smp);
    }
    return atomic_load(&here->smp->quiet) == here->smp->count;
}

static uint64_t next(struct mini_executor *executor, uint64_t until) {
    struct mini_shard *here = executor->shard;
    if (here->smp->count == 1 || until != MINI_NEVER) return until;
    look_for_deadlock(here);
    int found = atomic_load(&here->smp->deadlock);
    bool mine =
        found == 2 || (found == 1 && here->index == 0 && !executor->stopping);
    return mine ? MINI_NEVER : MINI_SOMEDAY;
}

static void leave(struct mini_smp *smp) {
    atomic_fetch_add(&smp->leaving, 1);
    while (atomic_load(&smp->leaving) < smp->count)
        sched_yield(); /* all are awake and on their way here */
}

/* ---- memory ---- */

static void destroy(struct mini_smp *smp) {
    for (unsigned i = 0; smp->shards && i < smp->count; i++) {
        struct mini_shard *shard = &smp->shards[i];
        for (unsigned from = 0; shard->inbox && from < smp->count; from++)
            mini_spsc_destroy(&shard->inbox[from]);
        free(shard->inbox);
        free(shard->outbox);
    }
    free(smp->shards);
    free(smp);
}

static int init_shard(struct mini_smp *smp, unsigned index) {
    struct mini_shard *shard = &smp->shards[index];
    size_t capacity = smp->options.ring_capacity;
    shard->smp = smp;
    shard->index = index;
    shard->outbox = calloc(smp->count, sizeof *shard->outbox);
    shard->inbox =
        aligned_alloc(MINI_CACHE_LINE, smp->count * sizeof *shard->inbox);
    int error = shard->outbox && shard->inbox ? 0 : -ENOMEM;
    for (unsigned i = 0; shard->inbox && i < smp->count; i++) {
        int failed = mini_spsc_init(
            &shard->inbox[i], capacity ? capacity : RING_CAPACITY);
        error = error ? error : failed;
    }
    for (unsigned i = 0; shard->outbox && i < smp->count; i++)
        mini_list_init(&shard->outbox[i]);
    return error;
}

static int create(
    const struct mini_options *options, struct mini_smp **result) {
    struct mini_smp *smp = calloc(1, sizeof *smp);
    int error = 0;
    if (!smp) return -ENOMEM;
    smp->options = *options;
    smp->count = options->shards ? options->shards : mini_cpu_count();
    smp->shards = calloc(smp->count, sizeof *smp->shards);
    if (!smp->shards) error = -ENOMEM;
    for (unsigned i = 0; i < smp->count && error == 0; i++)
        error = init_shard(smp, i);
    if (error < 0) destroy(smp);
    *result = smp;
    return error;
}

/* ---- start and stop ---- */

/* The main of shards other than 0: waits for the stop. */
static mini_poll idle_main(struct mini_future *future, struct mini_context cx) {
    return cx.cancel ? mini_ready(future, 0) : MINI_PENDING;
}

static void arrive(struct mini_smp *smp) {
    atomic_fetch_add(&smp->arrived, 1);
    mini_smp_ring(&smp->shards[0]);
}

/* A shard that does not run counts as one that has done its part. */
static void absent(struct mini_smp *smp, int error) {
    atomic_store(&smp->error, error);
    atomic_fetch_add(&smp->quiet, 1);
    atomic_fetch_add(&smp->leaving, 1);
    arrive(smp);
}

static void *shard_thread(void *argument) {
    struct mini_shard *shard = argument;
    struct mini_smp *smp = shard->smp;
    struct mini_future main = MINI_FUTURE(idle_main, "idle_main");
    made_for = shard;
    mini_pin(shard->index);
    long result = mini_run(&main, &smp->options);
    if (!atomic_load(&shard->parker)) absent(smp, (int)result);
    return NULL;
}

/* Waits until every thread has arrived; the bell says when to look. */
static void wait_for_all(struct mini_executor *executor, struct mini_smp *smp) {
    struct mini_bell *bell = &executor->parker.bell;
    struct pollfd fd = {.fd = bell->wait_fd, .events = POLLIN};
    for (;;) {
        atomic_store(&executor->parker.sleeping, true);
        if (atomic_load(&smp->arrived) == smp->count) break;
        if (mini_poll_fds(&fd, 1, MINI_FOREVER) > 0) mini_bell_clear(bell);
    }
    mini_park_end(executor);
}

static void join_all(struct mini_smp *smp, unsigned threads) {
    mini_unpin();
    for (unsigned i = 1; i <= threads; i++)
        pthread_join(smp->shards[i].thread, NULL);
    destroy(smp);
}

static int start_all(
    struct mini_executor *executor, const struct mini_options *options) {
    struct mini_smp *smp;
    unsigned threads = 0;
    int error = create(options, &smp);
    if (error < 0) return error;
    executor->shard = &smp->shards[0];
    atomic_store(&smp->shards[0].parker, &executor->parker);
    arrive(smp);
    while (threads + 1 < smp->count && error == 0) {
        struct mini_shard *shard = &smp->shards[threads + 1];
        error = -pthread_create(&shard->thread, NULL, shard_thread, shard);
        threads += error == 0;
    }
    for (unsigned i = threads + 1; i < smp->count; i++) absent(smp, error);
    wait_for_all(executor, smp);
    error = atomic_load(&smp->error);
    if (error == 0) {
        if (smp->count > 1) mini_pin(0);
        return 0;
    }
    quiesced(executor);
    leave(smp);
    join_all(smp, threads);
    return error;
}

static int start(
    struct mini_executor *executor, const struct mini_options *options) {
    if (!made_for) return start_all(executor, options);
    executor->shard = made_for;
    atomic_store(&made_for->parker, &executor->parker);
    arrive(made_for->smp);
    return 0;
}

static void stop(struct mini_executor *executor) {
    struct mini_smp *smp = executor->shard->smp;
    quiesced(executor); /* for a run that has given up, or never began */
    leave(smp);
    if (!made_for) join_all(smp, smp->count - 1);
}

const struct mini_poller mini_smp_poller = {
    .start = start, .stop = stop, .next = next, .drained = quiesced};
