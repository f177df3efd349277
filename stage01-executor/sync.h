/* SPDX-License-Identifier: MIT */
/**
 * @file
 * Tasks of one shard waiting for each other: an event and a semaphore.
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

/** Happens once; the promise to as many futures as wait for it. */
struct mini_event {
    struct mini_list waiters; /**< who waits for it, in line */
    bool set; /**< it has happened */
    long value; /**< with this */
};

/** Units that tasks take and give back. */
struct mini_semaphore {
    struct mini_list waiters; /**< who waits for units, in line */
    size_t units; /**< that nobody has */
};

/** A place in a line of those who wait for something. */
struct mini_wait {
    struct mini_future future;
    struct mini_list link; /**< zero: not in line yet, or served */
    struct mini_task *task; /**< woken when served */
    void *target; /**< what it waits for */
    size_t units; /**< how many of it */
};

/** For a poll function, when WAIT cannot have at once what it asks for, and in
 * all later polls: it stands in LINE until it is served or cancelled
 * (-ECANCELED). */
mini_poll mini_wait_in(
    struct mini_list *line, struct mini_wait *wait, struct mini_context cx);
/** Serves WAIT, which is in a line: it will be READY with RESULT. */
void mini_wait_serve(struct mini_wait *wait, long result);
/** The first in LINE; NULL: nobody. */
struct mini_wait *mini_wait_first(struct mini_list *line);

/** Makes EVENT one that has not happened. */
void mini_event_init(struct mini_event *event);
/** It happens, with VALUE for all who wait or will. 0; -EALREADY if it had. */
int mini_event_set(struct mini_event *event, long value);
/** Waits until EVENT has happened; the result is its value. */
struct mini_future *mini_event_wait(
    struct mini_wait *slot, struct mini_event *event);

/** Makes SEMAPHORE one of UNITS units. */
void mini_semaphore_init(struct mini_semaphore *semaphore, size_t units);
/** Waits for UNITS units, behind those who came before; 0. */
struct mini_future *mini_semaphore_wait(
    struct mini_wait *slot, struct mini_semaphore *semaphore, size_t units);
/** Gives UNITS units: to the first in line, then the next, as far as they
 * go. */
void mini_semaphore_signal(struct mini_semaphore *semaphore, size_t units);
