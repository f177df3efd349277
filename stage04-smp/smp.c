/* SPDX-License-Identifier: MIT */
/* The life of shards: they start together, fall idle, and meet three times at
 * the end. See smp.h. */
#include "smp.h"

#include <string.h>

#define RING_CAPACITY 256
#define WOKEN (UINT64_C(1) << 32) /* one in the high half of smp->idle */

/* The shard that this thread was made for; NULL outside mini_run. */
static _Thread_local struct mini_shard *made_for;

void mini_smp_tell_all(struct mini_smp *smp) {
    atomic_fetch_add(&smp->news, 1); /* what a second look will find */
    for (unsigned i = 0; i < smp->count; i++)
        mini_parker_ring(smp->shards[i].parker);
}

/* ---- idle for good? ---- */

void mini_smp_not_idle(struct mini_shard *here) {
    if (here->is_idle) atomic_fetch_add(&here->smp->idle, WOKEN - 1);
    here->is_idle = false;
}

static bool nothing_on_the_way(struct mini_smp *smp) {
    unsigned news = atomic_load(&smp->news); /* counts as a message, too */
    for (unsigned i = 0; i < smp->count * smp->count; i++)
        if (mini_spsc_count(&smp->lanes[i].ring) > 0 ||
            atomic_load(&smp->shards[i / smp->count].news_seen) != news)
            return false;
    return true;
}

/* Nothing but a message can wake this shard. If that is so for every shard,
 * and no message is on its way, none will ever come. The last shard to go idle
 * sees that all are; the high half of the word tells it whether one was awake
 * while it looked at the rings. In the same step it takes itself out of the
 * count: else another could see the same before the news of it is out. */
static void look_for_deadlock(struct mini_shard *here) {
    struct mini_smp *smp = here->smp;
    if (!here->is_idle) atomic_fetch_add(&smp->idle, 1);
    here->is_idle = true;
    uint64_t before = atomic_load(&smp->idle);
    if (before % WOKEN != smp->count || !nothing_on_the_way(smp) ||
        !atomic_compare_exchange_strong(
            &smp->idle, &before, before + WOKEN - 1))
        return;
    here->is_idle = false;
    if (atomic_fetch_add(&smp->deadlocks, 1) + 1 == 2)
        atomic_store(&smp->stop, true);
    mini_smp_tell_all(smp);
}

static uint64_t next(struct mini_executor *executor, uint64_t until) {
    struct mini_shard *here = executor->shard;
    if (until != MINI_NEVER) return until;
    unsigned limit = here->index == 0 && !executor->stopping ? 1 : 3;
    if (atomic_load(&here->smp->deadlocks) >= limit) return MINI_NEVER;
    look_for_deadlock(here);
    return MINI_SOMEDAY;
}

/* ---- the meetings ---- */

/* Spins until all shards have come here TIMES times: they are on their way. */
static void meet(struct mini_smp *smp, unsigned times) {
    atomic_fetch_add(&smp->met, 1);
    while (atomic_load(&smp->met) < times * smp->count) sched_yield();
}

void mini_stop(void) {
    struct mini_smp *smp = mini_self->shard->smp;
    if (!atomic_exchange(&smp->stop, true)) mini_smp_tell_all(smp);
}

static void dump(struct mini_executor *executor) {
    flockfile(stderr); /* other shards' lines stay apart */
    fprintf(stderr, "shard %u: %zu task(s)\n", executor->shard->index,
        mini_alive(executor));
    mini_dump(stderr);
    funlockfile(stderr);
}

void mini_dump_all(void) {
    atomic_fetch_add(&mini_self->shard->smp->dumps, 1);
    mini_smp_tell_all(mini_self->shard->smp);
}

unsigned mini_smp_look(struct mini_executor *executor) {
    struct mini_shard *here = executor->shard;
    unsigned news = atomic_load(&here->smp->news);
    if (news == atomic_load(&here->news_seen)) return 0;
    mini_smp_not_idle(here); /* before it counts as having heard the news */
    atomic_store(&here->news_seen, news);
    /* in a dead-lock mini_run names shard 0's tasks */
    unsigned dumps = here->index > 0 && atomic_load(&here->smp->deadlocks) > 0;
    dumps += atomic_load(&here->smp->dumps);
    for (; here->dumps != dumps; here->dumps++) dump(executor);
    if (atomic_load(&here->smp->stop)) mini_cancel(&executor->root.task);
    return 1;
}

/* Called when this shard has no tasks. */
static bool quiesced(struct mini_executor *executor) {
    struct mini_shard *here = executor->shard;
    mini_stop();
    if (!here->is_quiet &&
        atomic_fetch_add(&here->smp->quiet, 1) + 1 == here->smp->count)
        mini_smp_tell_all(here->smp);
    here->is_quiet = true;
    return atomic_load(&here->smp->quiet) == here->smp->count;
}

/* ---- start and stop ---- */

static void destroy(struct mini_smp *smp) {
    for (unsigned i = 0; i < smp->count * smp->count; i++)
        mini_spsc_destroy(&smp->lanes[i].ring);
    free(smp);
    made_for = NULL;
}

/* Makes all shards' memory; this thread becomes shard 0. */
static int create(const struct mini_options *options) {
    unsigned count = options->shards ? options->shards : mini_cpu_count();
    size_t capacity =
        options->ring_capacity ? options->ring_capacity : RING_CAPACITY;
    size_t bytes = sizeof(struct mini_smp) + count * sizeof(struct mini_shard) +
        (size_t)count * count * sizeof(struct mini_lane);
    if (count > MINI_SHARDS_MAX) return -EINVAL;
    struct mini_smp *smp = aligned_alloc(MINI_CACHE_LINE, bytes);
    if (!smp) return -ENOMEM;
    memset(smp, 0, bytes);
    made_for = smp->shards;
    smp->options = *options;
    smp->count = count;
    smp->lanes = (struct mini_lane *)&smp->shards[count];
    int error = 0;
    for (unsigned i = 0; i < count * count && error == 0; i++) {
        smp->shards[i / count].smp = smp;
        smp->shards[i / count].index = i / count;
        mini_list_init(&smp->lanes[i].outbox);
        error = mini_spsc_init(&smp->lanes[i].ring, capacity);
    }
    if (error < 0) destroy(smp);
    return error;
}

/* The main of shards other than 0: waits for the stop. */
static MINI_POLL(idle_main) {
    return cx.cancel ? mini_ready(future, 0) : MINI_PENDING;
}

/* A shard that cannot run counts as having come to both meetings. So another
 * may go on before all have started; but then it sees the error, and stops. */
static void absent(struct mini_smp *smp, int error) {
    atomic_store(&smp->error, error);
    atomic_fetch_add(&smp->met, 2);
}

static void *shard_thread(void *argument) {
    struct mini_shard *shard = made_for = argument;
    struct mini_future main = MINI_FUTURE(idle_main, "idle_main");
    mini_pin(shard->index);
    long result = mini_run(&main, &shard->smp->options);
    if (!shard->parker) absent(shard->smp, (int)result);
    return NULL;
}

static void stop(struct mini_executor *executor) {
    struct mini_smp *smp = executor->shard->smp;
    meet(smp, 2);
    if (executor->shard->index > 0) return;
    mini_unpin();
    for (unsigned i = 1; i < smp->count; i++)
        if (smp->shards[i].thread) pthread_join(smp->shards[i].thread, NULL);
    destroy(smp);
}

static int start(struct mini_executor *executor) {
    int error = made_for ? 0 : create(&executor->options);
    if (error < 0) return error;
    struct mini_shard *here = executor->shard = made_for;
    struct mini_smp *smp = here->smp;
    here->parker = &executor->parker;
    for (unsigned i = 1; i < smp->count && here->index == 0; i++) {
        struct mini_shard *shard = &smp->shards[i];
        error = -pthread_create(&shard->thread, NULL, shard_thread, shard);
        if (error < 0) shard->thread = 0, absent(smp, error);
    }
    meet(smp, 1);
    error = atomic_load(&smp->error);
    if (error < 0)
        stop(executor);
    else if (here->index == 0 && smp->count > 1)
        mini_pin(0);
    return error;
}

const struct mini_poller mini_smp_poller = {
    .start = start, .stop = stop, .next = next, .drained = quiesced};
