/* SPDX-License-Identifier: MIT */
/**
 * @file
 * Going to sleep and being woken by another thread, without a lost wake-up.
 *
 *     sleeper                              sender
 *     1. sleeping = true                   1. the ring's tail = new
 *     2. look at every ring again          2. sleeping? then ring the bell
 *     3. wait for the bell
 *
 * Steps 1 and 2 are seq_cst on both sides. In the one order of all seq_cst
 * operations either the sender's store comes before the sleeper's look, which
 * then finds the item, or the sleeper's store comes before the sender's look,
 * and the sender rings. With weaker orders each could look before the other's
 * store is visible (Dekker's pattern; x86 does this in its store buffer), and
 * both would sleep. There are no fences, because ThreadSanitizer cannot see
 * what they order.
 *
 * @guarantee{G3.4} No wake-up is lost: no interleaving leaves an item in the
 * ring and both sides asleep.
 *
 * @guarantee{G3.5} An awake consumer is never rung: a busy channel makes no
 * system calls.
 */
#pragma once

#include "../common/platform.h"
#include "spsc.h"

struct mini_executor;

/** Where one thread sleeps. On a cache line of its own: other threads look at
 * it often, and the owner's other stores must not take it away from them. */
struct mini_parker {
    /** Stored by the owner; cleared by whoever rings. */
    _Alignas(MINI_CACHE_LINE) atomic_bool sleeping;
    struct mini_bell bell; /**< rung by whoever finds it sleeping */
    int uring; /**< rung in its place: the owner's io_uring; 0: there is none */
};

/** The row that sleeps until the bell rings. */
extern const struct mini_poller mini_park_poller;

/** Any thread, after it has stored what the sleeper is to find: rings the bell
 * if PARKER's owner sleeps. Only as long as the owner's run lasts. */
void mini_parker_ring(struct mini_parker *parker);

/** Owner: says that it is going to sleep, and takes the second look, which is a
 * turn. False if there was something to do after all. */
bool mini_park_begin(struct mini_executor *executor);
/** Owner: says that it is awake again, or will not sleep after all; no effect
 * if it is awake. */
void mini_park_end(struct mini_executor *executor);

/** For tests, shared by all threads: called between the store of `sleeping` and
 * the second look, where an unlucky sender strikes. NULL: nothing is called. */
extern void (*mini_park_hook)(void);
