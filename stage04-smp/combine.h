/* SPDX-License-Identifier: MIT */
/**
 * @file
 * Futures made of futures: yield, the first of several, all of several.
 *
 * - Constructors fill a slot that the caller owns and that must stay until the
 *   future is READY; so must the futures given to them, and their array.
 * - All run on the thread of the task that awaits; nothing is allocated.
 *
 * Source: Rust's select and join_all; but in Rust, select drops the losers.
 *
 * @guarantee{G1.8} select returns the first to finish; every loser is finished,
 * not abandoned, and its result can be read.
 *
 * @guarantee{G1.9} join_all finishes when all have; a cancel of it reaches all.
 */
#pragma once

#include "async.h"

/** A yield under way. */
struct mini_yield {
    struct mini_future future;
};

/** Lets every task that is runnable now run once; then the result is 0, even if
 * it was cancelled meanwhile. */
struct mini_future *mini_yield(struct mini_yield *slot);

/** A select or a join_all under way. */
struct mini_select {
    struct mini_future future;
    struct mini_future **futures; /**< the caller's */
    size_t count; /**< how many */
    long winner; /**< index of the first to finish; -1 until one has */
};

/** Polls all COUNT futures until one is READY (of several at once, the first in
 * the array wins), then polls the others with cancel until they are, too. The
 * result is the winner's index; every future still holds its own result. If the
 * select is cancelled: the index of the first to finish with a result other
 * than -ECANCELED; if none did, -ECANCELED. No futures: -EINVAL. */
struct mini_future *mini_select(
    struct mini_select *slot, struct mini_future **futures, size_t count);

/** Waits for all COUNT futures: 0, or the first negative result in the array's
 * order. Cancel is passed on to all. No futures: 0. */
struct mini_future *mini_join_all(
    struct mini_select *slot, struct mini_future **futures, size_t count);
