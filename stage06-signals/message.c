/* SPDX-License-Identifier: MIT */
/* Outboxes, rings, inboxes. See message.h. */
#include "message.h"

#include "smp.h"
#include "timer.h"

#define BATCH 64 /* messages that one turn takes out of a ring */

void mini_message_send(struct mini_message *message, unsigned shard,
    void (*deliver)(struct mini_message *)) {
    struct mini_shard *here = mini_self->shard;
    message->deliver = deliver;
    mini_list_push(
        &mini_lane(here->smp, here->index, shard)->outbox, &message->link);
    here->unsent++;
}

/* Returns how much has come: the messages, and 1 if there was news. */
static unsigned take_in(struct mini_executor *executor) {
    struct mini_shard *here = executor->shard;
    unsigned taken = mini_smp_look(executor);
    for (unsigned from = 0; from < here->smp->count; from++) {
        struct mini_spsc *ring = &mini_lane(here->smp, from, here->index)->ring;
        void *item;
        /* The second look before sleep has to be at the index: see park.h. A
         * shard that is awake looks at the slot: it needs that anyway, and
         * leaves the index to the sender's core. */
        if (executor->parks ? mini_spsc_count(ring) == 0
                            : !mini_spsc_holds(ring, &ring->head))
            continue;
        mini_park_end(executor); /* it need not be rung from now on */
        mini_smp_look(executor); /* news first */
        if (here->is_quiet) atomic_fetch_sub(&here->smp->quiet, 1);
        here->is_quiet = false; /* it may have tasks again */
        mini_smp_not_idle(here);
        unsigned count = 0;
        for (; count < BATCH && mini_spsc_pop(ring, &item); count++) {
            struct mini_message *message = item;
            message->deliver(message);
        }
        executor->stats.messages += count;
        taken += count;
    }
    return taken;
}

const struct mini_poller mini_inbox_poller = {.turn = take_in};

/* Sends what fits, with one announcement per ring. From its push on, a message
 * is the other shard's. That is no work of this turn's: whoever has put it into
 * the outbox counts. */
static unsigned send_all(struct mini_executor *executor) {
    struct mini_shard *here = executor->shard;
    for (unsigned to = 0; here->unsent > 0 && to < here->smp->count; to++) {
        struct mini_lane *lane = mini_lane(here->smp, here->index, to);
        if (mini_list_empty(&lane->outbox)) continue;
        struct mini_list *link;
        while (!mini_spsc_holds(&lane->ring, &lane->ring.tail) &&
            (link = mini_list_pop(&lane->outbox))) {
            mini_spsc_push(
                &lane->ring, MINI_CONTAINER(link, struct mini_message, link));
            here->unsent--;
        }
        mini_spsc_announce(&lane->ring.tail);
        mini_parker_ring(here->smp->shards[to].parker);
    }
    return 0;
}

/* A ring was full: nobody rings when it has room again, so look in a tick. */
static uint64_t next(struct mini_executor *executor, uint64_t until) {
    if (executor->shard->unsent == 0) return until;
    uint64_t soon = mini_now() + (UINT64_C(1) << MINI_TICK_BITS);
    return soon < until ? soon : until;
}

const struct mini_poller mini_outbox_poller = {.turn = send_all, .next = next};
