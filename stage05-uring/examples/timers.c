/* SPDX-License-Identifier: MIT */
/* A sleep, one in time for its timeout, one that is not, and an interval. */
#include "miniss.h"

#include <inttypes.h>
#include <stdio.h>

struct timers {
    struct mini_future future;
    struct mini_sleep sleep;
    struct mini_timeout timeout;
    struct mini_interval interval;
    struct mini_tick tick;
    uint64_t start;
    int ticks;
};

static uint64_t elapsed_ms(const struct timers *self) {
    return (mini_now() - self->start) / MINI_MS;
}

static mini_poll timers(struct mini_future *future, struct mini_context cx) {
    struct timers *self = MINI_SELF(struct timers);
    MINI_BEGIN;
    self->start = mini_now();
    MINI_AWAIT(mini_sleep(&self->sleep, 50 * MINI_MS));
    printf("slept 50 ms: %" PRIu64 " ms\n", elapsed_ms(self));

    MINI_AWAIT(mini_timeout(
        &self->timeout, mini_sleep(&self->sleep, 20 * MINI_MS), 60 * MINI_MS));
    printf("20 ms within 60 ms: %ld (in time)\n", MINI_RESULT);
    MINI_AWAIT(mini_timeout(
        &self->timeout, mini_sleep(&self->sleep, 60 * MINI_MS), 20 * MINI_MS));
    printf("60 ms within 20 ms: %s\n",
        MINI_RESULT == -ETIMEDOUT ? "timed out" : "in time");

    mini_interval_start(&self->interval, 30 * MINI_MS);
    for (self->ticks = 1; self->ticks <= 5; self->ticks++) {
        MINI_AWAIT(mini_tick(&self->tick, &self->interval));
        printf("tick %d at %" PRIu64 " ms\n", self->ticks, elapsed_ms(self));
    }
    MINI_END(0);
}

int main(void) {
    struct timers frame;
    return (int)mini_run(MINI_CALL(struct timers, &frame, timers), NULL);
}
