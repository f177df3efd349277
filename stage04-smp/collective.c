/* SPDX-License-Identifier: MIT */
/* Broadcast, map-reduce and barrier, made of calls. See collective.h. */
#include "collective.h"

#include "smp.h"

#include <stdlib.h>

/* ---- broadcast and map-reduce ---- */

static MINI_POLL(broadcast_poll) {
    struct mini_broadcast *self = MINI_SELF(struct mini_broadcast);
    unsigned count = mini_shard_count(), pending = 0;
    long error = 0;
    if (!self->calls && !(self->calls = malloc(count * sizeof *self->calls)))
        return mini_ready(future, -ENOMEM);
    for (unsigned i = 0; i < count; i++) {
        struct mini_call *call = &self->calls[i];
        if (!future->resume) mini_submit_to(call, i, self->map, self->arg);
        pending += !mini_drive(&call->future, cx);
    }
    future->resume = 1;
    if (pending > 0) return MINI_PENDING;
    for (unsigned i = 0; i < count && error == 0; i++) {
        long result = self->calls[i].future.result;
        if (result < 0) error = result;
        if (self->reduce && error == 0)
            self->so_far = self->reduce(self->so_far, result);
    }
    free(self->calls);
    return mini_ready(future, error < 0 ? error : self->so_far);
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
