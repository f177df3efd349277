/* SPDX-License-Identifier: MIT */
/* The shards' life: collective start, idling, the three meetings of the end.
 * See smp.h. */
#include "smp.h"

#include <sched.h>
#include <string.h>

#define RING_CAPACITY 256
#define WOKEN (UINT64_C(1) << 32) /* one in the high half of smp->idle */

/* The shard that this thread was made for; NULL in shard 0's. */
static _Thread_local struct mini_shard *made_for;

unsigned mini_this_shard(void) { return mini_self->shard->index; }

unsigned mini_shard_count(void) { return mini_self->shard->smp->count; }

struct mini_lane *mini_lane(struct mini_shard *from, unsigned to) {
    return &from->smp->lanes[from->index * from->smp->count + to];
}

void mini_smp_ring(struct mini_shard *there) {
    struct mini_parker *parker = atomic_load(&there->parker);
    if (parker) mini_parker_ring(parker); /* NULL: it could not start */
}

void mini_smp_tell_all(struct mini_smp *smp) {
    atomic_fetch_add(&smp->news, 1); /* what a second look will find */
    for (unsigned i = 0; i < smp->count; i++) mini_smp_ring(&smp->shards[i]);
}

/* ---- idle for good? ---- */

void mini_smp_not_idle(struct mini_shard *here) {
    if (here->is_idle) atomic_fetch_add(&here->smp->idle, WOKEN - 1);
    here->is_idle = false;
}

static bool nothing_on_the_way(struct mini_smp *smp) {
    for (unsigned i = 0; i < smp->count * smp->count; i++)
        if (mini_spsc_count(&smp->lanes[i].ring) > 0) return false;
    for (unsigned i = 0; i < smp->count; i++) /* news are a message, too */
        if (atomic_load(&smp->shards[i].news_seen) != atomic_load(&smp->news))
            return false;
    return true;
}

/* Nothing but a message can wake this shard. If that is so for every shard,
 * and none is on its way, none will ever come. The last shard to go idle sees
 * that all are; that none was awake while it looked at the rings it knows from
 * the high half of the word. */
static void look_for_deadlock(struct mini_shard *here) {
    struct mini_smp *smp = here->smp;
    if (!here->is_idle) atomic_fetch_add(&smp->idle, 1);
    here->is_idle = true;
    uint64_t before = atomic_load(&smp->idle);
    if (before % WOKEN != smp->count || !nothing_on_the_way(smp) ||
        atomic_load(&smp->idle) != before)
        return;
    if (!atomic_load(&smp->deadlock))
        atomic_store(&smp->deadlock, 1); /* shard 0 ends its main with it */
    else if (!atomic_exchange(&smp->stop, true))
        ; /* that did not help: now all shards end theirs */
    else
        atomic_store(&smp->deadlock, 2); /* nor did that: all give up */
    mini_smp_tell_all(smp);
}

static uint64_t next(struct mini_executor *executor, uint64_t until) {
    struct mini_shard *here = executor->shard;
    if (here->smp->count == 1 || until != MINI_NEVER) return until;
    if (here->index == 0 && !executor->stopping &&
        atomic_load(&here->smp->deadlock) == 1)
        return MINI_NEVER;
    look_for_deadlock(here);
    return atomic_load(&here->smp->deadlock) == 2 ? MINI_NEVER : MINI_SOMEDAY;
}

/* ---- the meetings ---- */

/* Waits for the threads that are all on their way here. */
static void meet(atomic_uint *place, unsigned count) {
    atomic_fetch_add(place, 1);
    while (atomic_load(place) < count) sched_yield();
}

void mini_stop(void) {
    struct mini_smp *smp = mini_self->shard->smp;
    if (!atomic_exchange(&smp->stop, true)) mini_smp_tell_all(smp);
}

unsigned mini_smp_look(struct mini_executor *executor) {
    struct mini_shard *here = executor->shard;
    unsigned news = atomic_load(&here->smp->news);
    if (news == atomic_load(&here->news_seen)) return 0;
    mini_smp_not_idle(here); /* before it counts as having heard them */
    atomic_store(&here->news_seen, news);
    bool stop = atomic_load(&here->smp->stop);
    bool deadlock = atomic_load(&here->smp->deadlock);
    if (deadlock && !here->deadlock_seen && here->index > 0)
        mini_dump(stderr); /* shard 0's are named by mini_run */
    here->deadlock_seen = deadlock;
    if (!stop || here->stop_seen) return 1;
    here->stop_seen = true;
    if (!executor->root->done) mini_cancel(executor->root);
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
    for (unsigned i = 0; smp->lanes && i < smp->count * smp->count; i++)
        mini_spsc_destroy(&smp->lanes[i].ring);
    free(smp->lanes);
    free(smp->shards);
    free(smp);
}

static int create(
    const struct mini_options *options, struct mini_smp **result) {
    struct mini_smp *smp = *result = calloc(1, sizeof *smp);
    if (!smp) return -ENOMEM;
    if (options->shards > MINI_SHARDS_MAX) return free(smp), -EINVAL;
    unsigned count = options->shards ? options->shards : mini_cpu_count();
    size_t capacity =
        options->ring_capacity ? options->ring_capacity : RING_CAPACITY;
    size_t bytes = (size_t)count * count * sizeof *smp->lanes;
    smp->options = *options;
    smp->count = count;
    smp->shards = calloc(count, sizeof *smp->shards);
    smp->lanes = aligned_alloc(MINI_CACHE_LINE, bytes);
    int error = smp->shards && smp->lanes ? 0 : -ENOMEM;
    if (smp->lanes) memset(smp->lanes, 0, bytes);
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

/* A shard that does not run counts as one that has done its part. */
static void absent(struct mini_smp *smp, int error) {
    atomic_store(&smp->error, error);
    atomic_fetch_add(&smp->quiet, 1);
    atomic_fetch_add(&smp->leaving, 1);
    atomic_fetch_add(&smp->arrived, 1);
}

static void *shard_thread(void *argument) {
    struct mini_shard *shard = made_for = argument;
    struct mini_future main = MINI_FUTURE(idle_main, "idle_main");
    mini_pin(shard->index);
    long result = mini_run(&main, &shard->smp->options);
    if (!atomic_load(&shard->parker)) absent(shard->smp, (int)result);
    return NULL;
}

static void stop(struct mini_executor *executor) {
    struct mini_smp *smp = executor->shard->smp;
    quiesced(executor); /* for a run that has given up, or never began */
    meet(&smp->leaving, smp->count);
    if (made_for) return;
    mini_unpin();
    for (unsigned i = 1; i < smp->count; i++)
        if (smp->shards[i].thread) pthread_join(smp->shards[i].thread, NULL);
    destroy(smp);
}

static int start(
    struct mini_executor *executor, const struct mini_options *options) {
    struct mini_smp *smp;
    int error = made_for ? 0 : create(options, &smp);
    if (error < 0) return error;
    executor->shard = made_for ? made_for : smp->shards;
    smp = executor->shard->smp;
    atomic_store(&executor->shard->parker, &executor->parker);
    for (unsigned i = 1; i < smp->count && !made_for; i++) {
        struct mini_shard *shard = &smp->shards[i];
        error = -pthread_create(&shard->thread, NULL, shard_thread, shard);
        if (error < 0) shard->thread = 0, absent(smp, error);
    }
    meet(&smp->arrived, smp->count);
    error = made_for ? 0 : atomic_load(&smp->error);
    if (error < 0) stop(executor);
    if (error == 0 && !made_for && smp->count > 1) mini_pin(0);
    return error;
}

const struct mini_poller mini_smp_poller = {
    .start = start, .stop = stop, .next = next, .drained = quiesced};
