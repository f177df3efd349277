/* SPDX-License-Identifier: MIT */
/* The channel: a ring, and whom to ring. See channel.h and park.h.
 *
 * A side that waits stores its parker into its end; the other side, after each
 * push or pop, looks there. While it rings, it keeps the end BUSY, so that the
 * waiter, and the parker with it, cannot go away meanwhile. */
#include "channel.h"

static struct mini_parker busy;
#define BUSY (&busy)

int mini_channel_init(struct mini_channel *channel, size_t capacity) {
    *channel = (struct mini_channel){0};
    return mini_spsc_init(&channel->ring, capacity);
}

void mini_channel_destroy(struct mini_channel *channel) {
    mini_spsc_destroy(&channel->ring);
}

/* BUSY means that a third thread, which closes, rings for its own change. That
 * is not enough for ours: it may have found the waiter awake, which may since
 * have taken its second look, before our change. So we ring after it. */
static void notify(_Atomic(struct mini_parker *) *end) {
    struct mini_parker *waiter;
    do {
        /* seq_cst: comes after our store of the index or of `closed` */
        waiter = atomic_load(end);
        if (!waiter) return;
    } while (
        waiter == BUSY || !atomic_compare_exchange_weak(end, &waiter, BUSY));
    mini_parker_ring(waiter);
    atomic_store(end, waiter);
}

void mini_channel_close(struct mini_channel *channel) {
    atomic_store(&channel->closed, true);
    notify(&channel->sender);
    notify(&channel->receiver);
}

int mini_channel_try_send(struct mini_channel *channel, void *item) {
    if (atomic_load(&channel->closed)) return -EPIPE;
    if (!mini_spsc_push(&channel->ring, item)) return -EAGAIN;
    mini_spsc_announce(&channel->ring.tail);
    notify(&channel->receiver);
    return 0;
}

int mini_channel_try_recv(struct mini_channel *channel, void **item) {
    bool closed = atomic_load(&channel->closed); /* before the last look */
    if (!mini_spsc_pop(&channel->ring, item)) return closed ? -EPIPE : -EAGAIN;
    mini_spsc_announce(&channel->ring.head);
    notify(&channel->sender);
    return 0;
}

/* ---- waiting ---- */

static void arrive(struct mini_channel_wait *self, struct mini_task *task) {
    struct mini_parker *nobody = NULL;
    self->task = task;
    if (mini_list_linked(&self->link)) return;
    mini_list_push(&mini_self->channel_waits, &self->link);
    mini_self->outside++;
    MINI_CHECK(
        atomic_compare_exchange_strong(self->end, &nobody, &mini_self->parker),
        "mini_channel: two tasks wait at the same end");
}

static void leave(struct mini_channel_wait *self) {
    struct mini_parker *ours = &mini_self->parker;
    if (!mini_list_linked(&self->link)) return;
    mini_list_remove(&self->link);
    mini_self->outside--;
    while (!atomic_compare_exchange_weak(self->end, &ours, NULL))
        ours = &mini_self->parker; /* BUSY, for the time of one ring */
}

static MINI_POLL(channel_poll) {
    struct mini_channel_wait *self = MINI_SELF(struct mini_channel_wait);
    int answer = -ECANCELED; /* a cancelled wait has neither sent nor taken */
    if (!cx.cancel)
        answer = self->sends
            ? mini_channel_try_send(self->channel, self->item)
            : mini_channel_try_recv(self->channel, &self->item);
    if (answer == -EAGAIN) {
        arrive(self, cx.task);
        return MINI_PENDING;
    }
    leave(self);
    return mini_ready(future, answer);
}

struct mini_future *mini_channel_send(
    struct mini_channel_wait *slot, struct mini_channel *channel, void *item) {
    return MINI_MAKE(slot, channel_poll, .channel = channel,
        .end = &channel->sender, .sends = true, .item = item);
}

struct mini_future *mini_channel_recv(
    struct mini_channel_wait *slot, struct mini_channel *channel) {
    return MINI_MAKE(
        slot, channel_poll, .channel = channel, .end = &channel->receiver);
}

/* ---- the poller ---- */

static int start(struct mini_executor *executor) {
    mini_list_init(&executor->channel_waits);
    return 0;
}

/* Whom it wakes runs in the same turn, and counts as its work then. */
static unsigned look(struct mini_executor *executor) {
    MINI_LIST_EACH (link, &executor->channel_waits) {
        struct mini_channel_wait *wait =
            MINI_CONTAINER(link, struct mini_channel_wait, link);
        struct mini_channel *channel = wait->channel;
        size_t stuck = wait->sends ? channel->ring.mask + 1 : 0;
        if (mini_spsc_count(&channel->ring) != stuck ||
            atomic_load(&channel->closed))
            mini_wake(wait->task);
    }
    return 0;
}

const struct mini_poller mini_channel_poller = {.start = start, .turn = look};
