/* SPDX-License-Identifier: MIT */
/* Futures made of futures. See combine.h.
 *
 * A task is woken as a whole, so these poll all children that are not finished
 * each time: simple, and right for the few children a select has. */
#include "combine.h"

#include "executor.h"

static MINI_POLL(yield_poll) {
    MINI_BEGIN;
    if (cx.cancel) MINI_RETURN(-ECANCELED);
    MINI_YIELD();
    MINI_END(0);
}

struct mini_future *mini_yield(struct mini_yield *slot) {
    return MINI_MAKE(slot, yield_poll);
}

/* Polls those that are not finished; true if some still are not: the first of
 * these is the child that a dump shows. The first to finish is the winner;
 * after a cancel, the first with a result other than -ECANCELED. */
static bool drive_all(struct mini_select *self, struct mini_context cx) {
    self->future.child = NULL;
    for (size_t i = 0; i < self->count; i++) {
        struct mini_future *one = self->futures[i];
        if (!mini_drive(one, cx)) {
            if (!self->future.child) self->future.child = one;
        } else if (self->winner < 0 &&
            !(cx.cancel && one->result == -ECANCELED)) {
            self->winner = (long)i;
        }
    }
    return self->future.child;
}

static MINI_POLL(select_poll) {
    struct mini_select *self = MINI_SELF(struct mini_select);
    if (self->count == 0) return mini_ready(future, -EINVAL);
    if (self->winner < 0 && drive_all(self, cx) && self->winner < 0)
        return MINI_PENDING;
    cx.cancel = true; /* for the losers, if there are any */
    if (drive_all(self, cx)) return MINI_PENDING;
    return mini_ready(future, self->winner < 0 ? -ECANCELED : self->winner);
}

struct mini_future *mini_select(
    struct mini_select *slot, struct mini_future **futures, size_t count) {
    return MINI_MAKE(
        slot, select_poll, .futures = futures, .count = count, .winner = -1);
}

static MINI_POLL(join_all_poll) {
    struct mini_select *self = MINI_SELF(struct mini_select);
    if (drive_all(self, cx)) return MINI_PENDING;
    for (size_t i = 0; i < self->count; i++)
        if (self->futures[i]->result < 0)
            return mini_ready(future, self->futures[i]->result);
    return mini_ready(future, 0);
}

struct mini_future *mini_join_all(
    struct mini_select *slot, struct mini_future **futures, size_t count) {
    return MINI_MAKE(slot, join_all_poll, .futures = futures, .count = count);
}
