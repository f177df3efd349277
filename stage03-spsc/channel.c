/* SPDX-License-Identifier: MIT */
/* The channel: a ring, and who to ring. See channel.h and park.h.
 *
 * A side that waits stores its parker into its end; the other side, after each
 * push or pop, looks there. While it rings it holds the end as BUSY, so that
 * the waiter, and with it the parker, cannot leave under its hands. */
#include "channel.h"

#include "../common/panic.h"

static struct mini_parker busy;
#define BUSY (&busy)

int mini_channel_init(struct mini_channel *channel, size_t capacity) {
    *channel = (struct mini_channel){0};
    return mini_spsc_init(&channel->ring, capacity);
}

void mini_channel_destroy(struct mini_channel *channel) {
    mini_spsc_destroy(&channel->ring);
}

static void notify(struct mini_channel_end *end) {
    /* seq_cst: after our index or `closed`, before we can say nobody waits */
    struct mini_parker *waiter = atomic_load(&end->waiter);
    if (!waiter || waiter == BUSY ||
        !atomic_compare_exchange_strong(&end->waiter, &waiter, BUSY))
        return; /* BUSY: another thread is ringing, for a close */
    mini_parker_ring(waiter);
    atomic_store(&end->waiter, waiter);
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

static mini_poll send_poll(struct mini_future *, struct mini_context);

static bool is_send(const struct mini_channel_wait *self) {
    return self->future.poll == send_poll;
}

static struct mini_channel_end *end_of(struct mini_channel_wait *self) {
    return is_send(self) ? &self->channel->sender : &self->channel->receiver;
}

static void arrive(struct mini_channel_wait *self, struct mini_task *task) {
    struct mini_parker *nobody = NULL;
    self->task = task;
    if (mini_list_linked(&self->link)) return;
    mini_list_push(&task->executor->channel_waits, &self->link);
    MINI_CHECK(atomic_compare_exchange_strong(
                   &end_of(self)->waiter, &nobody, &task->executor->parker),
        "mini_channel: two tasks wait at the same end");
}

static void leave(struct mini_channel_wait *self, struct mini_task *task) {
    struct mini_parker *self_parked = &task->executor->parker;
    if (!mini_list_linked(&self->link)) return;
    mini_list_remove(&self->link);
    while (!atomic_compare_exchange_weak(
        &end_of(self)->waiter, &self_parked, NULL))
        self_parked = &task->executor->parker; /* BUSY for one ring's time */
}

/* What both kinds of wait do with what the try form said. */
static mini_poll settle(
    struct mini_channel_wait *self, int answer, struct mini_context cx) {
    if (answer == -EAGAIN && !cx.cancel) {
        arrive(self, cx.task);
        return MINI_PENDING;
    }
    leave(self, cx.task);
    return mini_ready(&self->future, answer == -EAGAIN ? -ECANCELED : answer);
}

static mini_poll send_poll(struct mini_future *future, struct mini_context cx) {
    struct mini_channel_wait *self = MINI_SELF(struct mini_channel_wait);
    bool try = !cx.cancel; /* a cancelled send has not sent */
    return settle(self,
        try ? mini_channel_try_send(self->channel, self->item) : -EAGAIN, cx);
}

static mini_poll recv_poll(struct mini_future *future, struct mini_context cx) {
    struct mini_channel_wait *self = MINI_SELF(struct mini_channel_wait);
    bool try = !cx.cancel;
    return settle(self,
        try ? mini_channel_try_recv(self->channel, &self->item) : -EAGAIN, cx);
}

struct mini_future *mini_channel_send(
    struct mini_channel_wait *slot, struct mini_channel *channel, void *item) {
    *slot = (struct mini_channel_wait){
        .future = MINI_FUTURE(send_poll, "mini_channel_send"),
        .channel = channel,
        .item = item};
    return &slot->future;
}

struct mini_future *mini_channel_recv(
    struct mini_channel_wait *slot, struct mini_channel *channel) {
    *slot = (struct mini_channel_wait){
        .future = MINI_FUTURE(recv_poll, "mini_channel_recv"),
        .channel = channel};
    return &slot->future;
}

/* ---- the poller ---- */

static int start(
    struct mini_executor *executor, const struct mini_options *options) {
    (void)options;
    mini_list_init(&executor->channel_waits);
    return 0;
}

static bool can_go_on(struct mini_channel_wait *self) {
    struct mini_spsc *ring = &self->channel->ring;
    size_t count = mini_spsc_count(ring);
    return atomic_load(&self->channel->closed) ||
        (is_send(self) ? count <= ring->mask : count > 0);
}

static unsigned look(struct mini_executor *executor) {
    unsigned woken = 0;
    MINI_LIST_EACH (link, &executor->channel_waits) {
        struct mini_channel_wait *wait =
            MINI_CONTAINER(link, struct mini_channel_wait, link);
        if (can_go_on(wait)) {
            mini_wake(wait->task);
            woken++;
        }
    }
    return woken;
}

static uint64_t next(struct mini_executor *executor, uint64_t until) {
    if (until < MINI_SOMEDAY || mini_list_empty(&executor->channel_waits))
        return until;
    return MINI_SOMEDAY;
}

const struct mini_poller mini_channel_poller = {
    .start = start, .turn = look, .next = next};
