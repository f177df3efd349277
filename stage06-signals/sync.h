/* SPDX-License-Identifier: MIT */
/**
 * @file
 * Tasks of one thread waiting for each other: an event and a semaphore.
 *
 * - Same thread only; nothing is atomic, nothing is allocated.
 * - Waiters are served in the order they came. Cancel takes one out of the
 *   line: -ECANCELED, unless it had been served already.
 * - An event or semaphore must stay until nobody waits for it.
 *
 * Sources: Dijkstra's semaphore; Seastar's, whose waits are futures.
 */
#pragma once

#include "../common/list.h"
#include "async.h"

/** Something that happens once: the promise behind any number of futures. */
struct mini_event {
    struct mini_list waiters; /**< those who wait for it, in line */
    bool set; /**< it has happened */
    long value; /**< what it happened with */
};

/** Units that tasks take and give back. */
struct mini_semaphore {
    struct mini_list waiters; /**< those who wait for units, in line */
    size_t units; /**< how many are left */
};

/** A place in a line of waiters. */
struct mini_wait {
    struct mini_future future;
    struct mini_list link; /**< zero: not in line yet, or served */
    struct mini_task *task; /**< woken when served */
    void *target; /**< what it waits for */
    size_t units; /**< how many units of it */
};

/** A poll function calls this when WAIT cannot have at once what it asks for,
 * and in all later polls: WAIT stands in LINE until it is served or cancelled
 * (-ECANCELED). */
mini_poll mini_wait_in(
    struct mini_list *line, struct mini_wait *wait, struct mini_context cx);
/** Serves WAIT, which is in a line: it will be READY with RESULT. */
void mini_wait_serve(struct mini_wait *wait, long result);
/** The first in LINE; NULL if nobody waits. */
struct mini_wait *mini_wait_first(struct mini_list *line);

/** Makes EVENT one that has not happened. */
void mini_event_init(struct mini_event *event);
/** Makes EVENT happen, with VALUE for all who wait now or later. 0, or
 * -EALREADY if it has happened before. */
int mini_event_set(struct mini_event *event, long value);
/** Waits until EVENT has happened; the result is its value. */
struct mini_future *mini_event_wait(
    struct mini_wait *slot, struct mini_event *event);

/** Makes SEMAPHORE one with UNITS units. */
void mini_semaphore_init(struct mini_semaphore *semaphore, size_t units);
/** Waits for UNITS units, behind those who came before; the result is 0. */
struct mini_future *mini_semaphore_wait(
    struct mini_wait *slot, struct mini_semaphore *semaphore, size_t units);
/** Gives UNITS units: to the first in line, then the next, as far as they
 * go. */
void mini_semaphore_signal(struct mini_semaphore *semaphore, size_t units);
