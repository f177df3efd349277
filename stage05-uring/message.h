/* SPDX-License-Identifier: MIT */
/**
 * @file
 * Messages between shards: a node in the sender's frame that goes there and
 * comes back.
 *
 * - A message is its sender's memory until it has come back: sending allocates
 *   nothing, and what is in flight is bounded by the frames that wait for it.
 * - mini_message_send() puts it into the outbox for that shard; at the end of
 *   the turn the outbox goes into the pair's ring, which is announced once, and
 *   the other shard is rung if it sleeps. What finds the ring full stays
 *   in the outbox until the next turn.
 * - Every turn takes in what has come. So a shard whose rings out are full still
 *   empties its rings in, and no cycle of full rings can stand still.
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
    /** Called on the shard it reaches, between its tasks: must not block. */
    void (*deliver)(struct mini_message *);
};

/** The way from one shard to another. */
struct mini_lane {
    struct mini_spsc ring; /**< what is on the way */
    _Alignas(MINI_CACHE_LINE) struct mini_list outbox; /**< the sender's only */
};

/** The row that takes messages in. */
extern const struct mini_poller mini_inbox_poller;
/** The row that sends what the outboxes hold. */
extern const struct mini_poller mini_outbox_poller;

/** Any shard: sends MESSAGE to SHARD (a valid number, may be this one), where
 * DELIVER will be called with it. Not cancellable; it comes back when DELIVER,
 * there, sends it back. Until then MESSAGE stays, and a task that is alive
 * waits for it: the end of a run counts tasks, not messages. */
void mini_message_send(struct mini_message *message, unsigned shard,
    void (*deliver)(struct mini_message *));
