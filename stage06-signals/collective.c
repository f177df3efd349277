/* SPDX-License-Identifier: MIT */
/* Broadcast, map-reduce and barrier, made of calls. See collective.h. */
#include "collective.h"

#include "smp.h"

#include <stdlib.h>

/* ---- broadcast and map-reduce ---- */

static MINI_POLL(broadcast_poll) {
    struct mini_broadcast *self = MINI_SELF(struct mini_broadcast);
    unsigned count = mini_shard_count();
    MINI_BEGIN;
    self->calls =
        malloc(count * (sizeof *self->calls + sizeof *self->all.futures));
    if (!self->calls) MINI_RETURN(-ENOMEM);
    struct mini_future **futures = (void *)(self->calls + count);
    for (unsigned i = 0; i < count; i++)
        futures[i] = mini_submit_to(&self->calls[i], i, self->map, self->arg);
    MINI_AWAIT(mini_join_all(&self->all, futures, count));
    for (unsigned i = 0; self->reduce && i < count; i++) {
        if (self->calls[i].future.result < 0) break;
        self->so_far = self->reduce(self->so_far, self->calls[i].future.result);
    }
    free(self->calls);
    MINI_END(MINI_RESULT < 0 ? MINI_RESULT : self->so_far);
}

struct mini_future *mini_map_reduce(struct mini_broadcast *slot,
    long (*map)(void *arg), void *arg, long (*reduce)(long, long),
    long initial) {
    return MINI_MAKE(slot, broadcast_poll, .map = map, .arg = arg,
        .reduce = reduce, .so_far = initial);
}

struct mini_future *mini_submit_all(
    struct mini_broadcast *slot, long (*fn)(void *arg), void *arg) {
    return mini_map_reduce(slot, fn, arg, NULL, 0);
}

/* ---- barrier ---- */

void mini_barrier_init(struct mini_barrier *barrier, unsigned parties) {
    *barrier =
        (struct mini_barrier){.home = mini_this_shard(), .parties = parties};
    mini_list_init(&barrier->waiters);
}

/* Runs on the barrier's own shard. */
static MINI_POLL(barrier_poll) {
    struct mini_wait *self = MINI_SELF(struct mini_wait), *other;
    struct mini_barrier *barrier = self->target;
    if (!future->resume && !cx.cancel &&
        ++barrier->arrived == barrier->parties) {
        barrier->arrived = 0;
        while ((other = mini_wait_first(&barrier->waiters)))
            mini_wait_serve(other, 0);
        return mini_ready(future, 1);
    }
    if (cx.cancel && mini_list_linked(&self->link)) barrier->arrived--;
    return mini_wait_in(&barrier->waiters, self, cx);
}

struct mini_future *mini_barrier_await(
    struct mini_barrier_wait *slot, struct mini_barrier *barrier) {
    struct mini_future *inner =
        MINI_MAKE(&slot->wait, barrier_poll, .target = barrier);
    return mini_spawn_on(&slot->remote, barrier->home, inner);
}
