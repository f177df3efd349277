/* SPDX-License-Identifier: MIT */
/* Futures made of futures. See combine.h.
 *
 * A task is woken as a whole, so these poll all children that are not finished
 * each time: simple, and right for the few children a select has. */
#include "combine.h"

#include "executor.h"

static mini_poll yield_poll(
    struct mini_future *future, struct mini_context cx) {
    if (future->resume) return mini_ready(future, 0);
    if (cx.cancel) return mini_ready(future, -ECANCELED);
    future->resume = 1;
    mini_wake(cx.task);
    return MINI_PENDING;
}

struct mini_future *mini_yield(struct mini_yield *slot) {
    slot->future = MINI_FUTURE(yield_poll, "mini_yield");
    return &slot->future;
}

/* Polls what is not finished; returns how many still are not, and leaves the
 * first of them as the child that a dump shows. */
static size_t drive_all(struct mini_select *self, struct mini_context cx) {
    size_t pending = 0;
    self->future.child = NULL;
    for (size_t i = 0; i < self->count; i++) {
        if (mini_drive(self->futures[i], cx)) {
            if (self->winner < 0) self->winner = (long)i;
        } else if (pending++ == 0) {
            self->future.child = self->futures[i];
        }
    }
    return pending;
}

/* Nothing that came to its end may be lost to a cancel. */
static long cancelled_winner(const struct mini_select *self) {
    for (size_t i = 0; i < self->count; i++)
        if (self->futures[i]->result != -ECANCELED) return (long)i;
    return -ECANCELED;
}

static mini_poll select_poll(
    struct mini_future *future, struct mini_context cx) {
    struct mini_select *self = MINI_SELF(struct mini_select);
    if (self->count == 0) return mini_ready(future, -EINVAL);
    bool lost = self->winner >= 0; /* by those not finished by now */
    if (!lost && cx.cancel)
        future->resume = 1; /* it was the cancel that ended it */
    size_t pending =
        drive_all(self, (struct mini_context){cx.task, cx.cancel || lost});
    if (pending > 0 && !lost && self->winner >= 0)
        pending = drive_all(self, (struct mini_context){cx.task, true});
    if (pending > 0) return MINI_PENDING;
    return mini_ready(
        future, future->resume ? cancelled_winner(self) : self->winner);
}

struct mini_future *mini_select(
    struct mini_select *slot, struct mini_future **futures, size_t count) {
    *slot =
        (struct mini_select){.future = MINI_FUTURE(select_poll, "mini_select"),
            .futures = futures,
            .count = count,
            .winner = -1};
    return &slot->future;
}

static mini_poll join_all_poll(
    struct mini_future *future, struct mini_context cx) {
    struct mini_select *self = MINI_SELF(struct mini_select);
    if (drive_all(self, cx) > 0) return MINI_PENDING;
    for (size_t i = 0; i < self->count; i++)
        if (self->futures[i]->result < 0)
            return mini_ready(future, self->futures[i]->result);
    return mini_ready(future, 0);
}

struct mini_future *mini_join_all(
    struct mini_select *slot, struct mini_future **futures, size_t count) {
    mini_select(slot, futures, count);
    slot->future = MINI_FUTURE(join_all_poll, "mini_join_all");
    return &slot->future;
}
