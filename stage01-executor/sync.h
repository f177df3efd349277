/* SPDX-License-Identifier: MIT */
/**
 * @file
 * Tasks of one shard waiting for each other: an event and a semaphore.
 *
 * - Same thread only; nothing is atomic, nothing is allocated.
 * - Waiters are served in the order they came. Cancel takes one out of the
 *   line: -ECANCELED, unless it had been served already.
 * - An event or semaphore must stay until nobody waits for it.
 */
#ifndef MINI_SYNC_H
#define MINI_SYNC_H

#include "../common/list.h"
#include "async.h"

/** Happens once; the promise to as many futures as wait for it. */
struct mini_event {
    struct mini_list waiters;
    bool set;
    long value;
};

/** Units that tasks take and give back. */
struct mini_semaphore {
    struct mini_list waiters;
    size_t units;
};

/** A wait for either of them, under way. */
struct mini_wait {
    struct mini_future future;
    struct mini_list link;
    struct mini_task *task;
    void *target;
    size_t units;
};

/** Makes EVENT one that has not happened. */
void mini_event_init(struct mini_event *event);
/** It happens, with VALUE for all who wait or will. 0; -EALREADY if it had. */
int mini_event_set(struct mini_event *event, long value);
/** Waits for it; its VALUE. */
struct mini_future *mini_event_wait(
    struct mini_wait *slot, struct mini_event *event);

/** Makes SEMAPHORE one of UNITS units. */
void mini_semaphore_init(struct mini_semaphore *semaphore, size_t units);
/** Waits for UNITS units, behind those who came before; 0. */
struct mini_future *mini_semaphore_wait(
    struct mini_wait *slot, struct mini_semaphore *semaphore, size_t units);
/** Gives UNITS units, to the first in line as far as they go. */
void mini_semaphore_signal(struct mini_semaphore *semaphore, size_t units);

#endif
