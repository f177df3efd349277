/* SPDX-License-Identifier: MIT */
/* Outboxes, rings, inboxes. See message.h. */
#include "message.h"

#include "smp.h"
#include "timer.h"

#define BURST 64 /* messages taken from or put into one ring at once */

void mini_message_send(struct mini_message *message, unsigned shard,
    void (*deliver)(struct mini_message *)) {
    struct mini_shard *here = mini_self->shard;
    message->deliver = deliver;
    mini_list_push(&here->outbox[shard], &message->link);
    here->unsent++;
}

static unsigned take_in(struct mini_executor *executor) {
    struct mini_shard *here = executor->shard;
    void *messages[BURST];
    unsigned taken = 0;
    for (unsigned from = 0; from < here->smp->count; from++) {
        struct mini_spsc *ring = &here->inbox[from];
        if (mini_spsc_count(ring) == 0) continue;
        mini_smp_not_idle(here);
        size_t count = mini_spsc_pop_many(ring, messages, BURST);
        for (size_t i = 0; i < count; i++) {
            struct mini_message *message = messages[i];
            message->deliver(message);
        }
        taken += (unsigned)count;
    }
    executor->stats.messages += taken;
    return taken + mini_smp_look(executor);
}

const struct mini_poller mini_inbox_poller = {.turn = take_in};

/* Moves what fits from the outbox for TO into its ring, as one batch. */
static unsigned send_to(struct mini_shard *here, unsigned to) {
    struct mini_shard *there = &here->smp->shards[to];
    struct mini_spsc *ring = &there->inbox[here->index];
    void *batch[BURST];
    size_t count = 0;
    if (mini_list_empty(&here->outbox[to])) return 0;
    size_t room = ring->mask + 1 - mini_spsc_count(ring);
    while (count < BURST && count < room && !mini_list_empty(&here->outbox[to]))
        batch[count++] = MINI_CONTAINER(
            mini_list_pop(&here->outbox[to]), struct mini_message, link);
    if (count == 0) return 0;
    mini_spsc_push_many(ring, batch, count); /* from here on theirs */
    mini_spsc_announce(&ring->tail);
    mini_smp_ring(there);
    return (unsigned)count;
}

static unsigned send_all(struct mini_executor *executor) {
    struct mini_shard *here = executor->shard;
    unsigned sent = 0;
    for (unsigned to = 0; sent < here->unsent && to < here->smp->count; to++)
        sent += send_to(here, to);
    here->unsent -= sent;
    return sent;
}

/* A full ring: nobody rings when there is room again, so look in a tick. */
static uint64_t next(struct mini_executor *executor, uint64_t until) {
    if (executor->shard->unsent == 0) return until;
    uint64_t soon = mini_now() + (UINT64_C(1) << MINI_TICK_BITS);
    return soon < until ? soon : until;
}

const struct mini_poller mini_outbox_poller = {.turn = send_all, .next = next};
