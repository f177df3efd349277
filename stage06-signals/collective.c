/* SPDX-License-Identifier: MIT */
/* Broadcast, map-reduce and barrier, made of calls. See collective.h. */
#include "collective.h"

#include "smp.h"

#include <stdlib.h>

/* ---- broadcast and map-reduce ---- */

static int make_calls(struct mini_broadcast *self) {
    unsigned count = mini_shard_count();
    self->calls = malloc(count * sizeof *self->calls);
    if (!self->calls) return -ENOMEM;
    for (unsigned i = 0; i < count; i++)
        mini_submit_to(&self->calls[i], i, self->map, self->arg);
    return 0;
}

static long first_error(long so_far, long next) {
    return so_far < 0 ? so_far : next < 0 ? next : 0;
}

static mini_poll broadcast_poll(
    struct mini_future *future, struct mini_context cx) {
    struct mini_broadcast *self = MINI_SELF(struct mini_broadcast);
    unsigned pending = 0;
    int error = self->calls ? 0 : make_calls(self);
    if (error < 0) return mini_ready(future, error);
    for (unsigned i = 0; i < mini_shard_count(); i++)
        pending += !mini_drive(&self->calls[i].future, cx);
    if (pending > 0) return MINI_PENDING;
    bool refused = !self->calls[0].back; /* then all were, in the same poll */
    long result = self->calls[0].future.result;
    for (unsigned i = 0; i < mini_shard_count() && !refused; i++)
        self->so_far = self->reduce(self->so_far, self->calls[i].future.result);
    free(self->calls);
    return mini_ready(future, refused ? result : self->so_far);
}

struct mini_future *mini_map_reduce(struct mini_broadcast *slot,
    long (*map)(void *arg), void *arg, long (*reduce)(long, long),
    long initial) {
    *slot = (struct mini_broadcast){
        .future = MINI_FUTURE(broadcast_poll, "mini_map_reduce"),
        .map = map,
        .arg = arg,
        .reduce = reduce,
        .so_far = initial};
    return &slot->future;
}

struct mini_future *mini_submit_all(
    struct mini_broadcast *slot, long (*fn)(void *arg), void *arg) {
    mini_map_reduce(slot, fn, arg, first_error, 0);
    slot->future.name = "mini_submit_all";
    return &slot->future;
}

/* ---- barrier ---- */

void mini_barrier_init(struct mini_barrier *barrier, unsigned parties) {
    *barrier =
        (struct mini_barrier){.home = mini_this_shard(), .parties = parties};
    mini_list_init(&barrier->waiters);
}

/* On the barrier's own shard. Who leaves the list is through. */
static mini_poll at_home_poll(
    struct mini_future *future, struct mini_context cx) {
    struct mini_barrier_wait *self =
        MINI_CONTAINER(future, struct mini_barrier_wait, at_home);
    struct mini_barrier *barrier = self->barrier;
    if (future->resume && !mini_list_linked(&self->link))
        return mini_ready(future, 0);
    if (cx.cancel) {
        barrier->arrived -= future->resume != 0;
        mini_list_remove(&self->link);
        return mini_ready(future, -ECANCELED);
    }
    self->task = cx.task;
    if (future->resume) return MINI_PENDING;
    if (barrier->arrived + 1 == barrier->parties) {
        struct mini_list *link;
        while ((link = mini_list_pop(&barrier->waiters)))
            mini_wake(
                MINI_CONTAINER(link, struct mini_barrier_wait, link)->task);
        barrier->arrived = 0;
        return mini_ready(future, 1);
    }
    barrier->arrived++;
    mini_list_push(&barrier->waiters, &self->link);
    future->resume = 1;
    return MINI_PENDING;
}

static mini_poll barrier_poll(
    struct mini_future *future, struct mini_context cx) {
    struct mini_barrier_wait *self = MINI_SELF(struct mini_barrier_wait);
    MINI_BEGIN;
    MINI_AWAIT(
        mini_spawn_on(&self->remote, self->barrier->home, &self->at_home));
    MINI_END(MINI_RESULT);
}

struct mini_future *mini_barrier_await(
    struct mini_barrier_wait *slot, struct mini_barrier *barrier) {
    *slot = (struct mini_barrier_wait){
        .future = MINI_FUTURE(barrier_poll, "mini_barrier_await"),
        .at_home = MINI_FUTURE(at_home_poll, "at_home"),
        .barrier = barrier};
    return &slot->future;
}
