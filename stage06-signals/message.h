/* SPDX-License-Identifier: MIT */
/**
 * @file
 * Messages between shards: a message is a node in the sender's frame, which
 * goes to the other shard and comes back.
 *
 * - A message is its sender's memory until it has come back: sending allocates
 *   nothing, and the waiting frames bound how many messages are in flight.
 * - mini_message_send() puts it into the outbox for the other shard; at the end
 *   of the turn the outbox goes into the pair's ring, which is announced once,
 *   and that shard is rung if it sleeps. What finds no room in the ring stays
 *   in the outbox until the next turn.
 * - Every turn takes in what has come. So a shard whose outgoing rings are full
 *   still empties the incoming ones, and no cycle of full rings can lock up.
 *
 * Source: Seastar's smp_message_queue; the node in the caller's frame is ours.
 *
 * @guarantee{G4.2} Between one pair of shards, messages are handled in the
 * order sent.
 *
 * @guarantee{G4.3} All-to-all storms, nested calls and call-backs finish with
 * every ring capacity from 2 up: no dead-lock, no allocation on the way.
 */
#pragma once

#include "executor.h"
#include "spsc.h"

/** Something to be done on another shard. */
struct mini_message {
    struct mini_list link; /**< in an outbox */
    /** Called on the shard it reaches, between two tasks; must not block. */
    void (*deliver)(struct mini_message *);
};

/** The way from one shard to another. */
struct mini_lane {
    struct mini_spsc ring; /**< what is on the way */
    struct mini_list outbox; /**< sender only */
};

/** The row that takes messages in. */
extern const struct mini_poller mini_inbox_poller;
/** The row that sends what the outboxes hold. */
extern const struct mini_poller mini_outbox_poller;

/** Any shard: sends MESSAGE to SHARD (a valid number, may be this one), where
 * DELIVER will be called with it. Not cancellable; it is back only when it has
 * been sent back from there. Until then MESSAGE must stay, and a live task must
 * wait for it: the end of a run counts tasks, not messages. */
void mini_message_send(struct mini_message *message, unsigned shard,
    void (*deliver)(struct mini_message *));
