/* SPDX-License-Identifier: MIT */
/* Futures made of futures. See combine.h.
 *
 * A task is woken as a whole, so these poll all children that are not finished
 * each time: simple, and right for the few children a select has. */
#include "combine.h"

#include "executor.h"

static MINI_POLL(yield_poll) {
    if (future->resume) return mini_ready(future, 0);
    if (cx.cancel) return mini_ready(future, -ECANCELED);
    future->resume = 1;
    mini_wake(cx.task);
    return MINI_PENDING;
}

struct mini_future *mini_yield(struct mini_yield *slot) {
    return MINI_MAKE(struct mini_yield, slot, yield_poll, "mini_yield");
}

/* Polls what is not finished; says how many still are not, and leaves the first
 * of them as the child that a dump shows. */
static size_t drive_all(
    struct mini_select *self, struct mini_task *task, bool cancel) {
    struct mini_context cx = {task, cancel};
    size_t pending = 0;
    self->future.child = NULL;
    for (size_t i = 0; i < self->count; i++)
        if (!mini_drive(self->futures[i], cx)) {
            if (pending++ == 0) self->future.child = self->futures[i];
        } else if (self->winner < 0) {
            self->winner = (long)i;
        }
    return pending;
}

static MINI_POLL(select_poll) {
    struct mini_select *self = MINI_SELF(struct mini_select);
    bool won = self->winner >= 0;
    if (self->count == 0) return mini_ready(future, -EINVAL);
    if (!won && cx.cancel) future->resume = 1; /* it is a cancel that ends it */
    size_t pending = drive_all(self, cx.task, cx.cancel || won);
    if (pending > 0 && !won && self->winner >= 0)
        pending = drive_all(self, cx.task, true);
    if (pending > 0) return MINI_PENDING;
    if (!future->resume) return mini_ready(future, self->winner);
    for (size_t i = 0; i < self->count; i++) /* what came to an end all the same
                                              * must not be lost to the cancel */
        if (self->futures[i]->result != -ECANCELED)
            return mini_ready(future, (long)i);
    return mini_ready(future, -ECANCELED);
}

struct mini_future *mini_select(
    struct mini_select *slot, struct mini_future **futures, size_t count) {
    return MINI_MAKE(struct mini_select, slot, select_poll, "mini_select",
        .futures = futures, .count = count, .winner = -1);
}

static MINI_POLL(join_all_poll) {
    struct mini_select *self = MINI_SELF(struct mini_select);
    if (drive_all(self, cx.task, cx.cancel) > 0) return MINI_PENDING;
    for (size_t i = 0; i < self->count; i++)
        if (self->futures[i]->result < 0)
            return mini_ready(future, self->futures[i]->result);
    return mini_ready(future, 0);
}

struct mini_future *mini_join_all(
    struct mini_select *slot, struct mini_future **futures, size_t count) {
    return MINI_MAKE(struct mini_select, slot, join_all_poll, "mini_join_all",
        .futures = futures, .count = count);
}
