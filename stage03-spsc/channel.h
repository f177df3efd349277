/* SPDX-License-Identifier: MIT */
/**
 * @file
 * A bounded channel between the executors of two threads: one sends, one
 * receives, both await.
 *
 * - Items are pointers; the receiver owns what it has received. The channel
 *   is made before either thread uses it and outlives their use.
 * - One task at a time sends, one at a time receives. The try_ forms need no
 *   executor: a thread without one may be either side.
 * - Either side, or a third thread, may close it. A cancelled wait that got
 *   nothing gives -ECANCELED; one that did send or receive says so, even then.
 *
 * Source: pipe(7), with its two ends and its EPIPE.
 *
 * @guarantee{G3.2} Full and empty are exact: capacity items fit, the next is
 * refused (try_) or waits (send).
 *
 * @guarantee{G3.6} Close: the receiver gets what is in flight, then -EPIPE; a
 * sender gets -EPIPE at once; a waiting one is woken.
 *
 * @guarantee{G3.7} A cancelled send did not send, a cancelled recv did not
 * take, or the result says that it did.
 */
#pragma once

#include "executor.h"
#include "spsc.h"

/** The channel. Each end holds the parker of the thread that waits there; NULL
 * if none does. */
struct mini_channel {
    struct mini_spsc ring; /**< the items */
    /** The end where a sender waits for room. */
    _Alignas(MINI_CACHE_LINE) _Atomic(struct mini_parker *) sender;
    /** The end where a receiver waits for items. */
    _Alignas(MINI_CACHE_LINE) _Atomic(struct mini_parker *) receiver;
    atomic_bool closed; /**< never goes back to false */
};

/** A send or a receive under way. */
struct mini_channel_wait {
    struct mini_future future;
    struct mini_list link; /**< among the executor's channel waits */
    struct mini_channel *channel; /**< where it wants to send or receive */
    _Atomic(struct mini_parker *) *end; /**< the end where it waits */
    bool sends; /**< false: receives */
    struct mini_task *task; /**< woken when it can go on */
    void *item; /**< what to send, or what was received */
};

/** The row that looks after waiting sends and receives. */
extern const struct mini_poller mini_channel_poller;

/** Makes an open, empty channel for CAPACITY items, a power of two. 0, -EINVAL
 * (not a power of two), or -ENOMEM. */
int mini_channel_init(struct mini_channel *channel, size_t capacity);
/** Frees its memory, when both sides are done with it. Items still in it are
 * the caller's: receive them first. */
void mini_channel_destroy(struct mini_channel *channel);
/** Closes it; any thread, any number of times. */
void mini_channel_close(struct mini_channel *channel);

/** Sends without waiting: 0, -EAGAIN if full, -EPIPE if closed. */
int mini_channel_try_send(struct mini_channel *channel, void *item);
/** Receives without waiting: 0, -EAGAIN if empty, -EPIPE if closed and empty.
 */
int mini_channel_try_recv(struct mini_channel *channel, void **item);

/** Sends ITEM, and waits for room if there is none: 0, -EPIPE, or -ECANCELED. A
 * second waiter at the same end panics. */
struct mini_future *mini_channel_send(
    struct mini_channel_wait *slot, struct mini_channel *channel, void *item);
/** Receives into SLOT->item, and waits if there is nothing: 0, -EPIPE, or
 * -ECANCELED. A second waiter at the same end panics. As long as there is
 * something, it does not wait, so no other task runs: a receiver that may never
 * find the channel empty should do MINI_YIELD() now and then. */
struct mini_future *mini_channel_recv(
    struct mini_channel_wait *slot, struct mini_channel *channel);
