/* SPDX-License-Identifier: MIT */
/* A periodic task every 100 ms, cancelled after 550 ms: five runs. */
#include "miniss.h"

#include <stdio.h>

static struct mini_future *beat(void *arg) {
    int *count = arg;
    printf("beat %d\n", ++*count);
    return NULL; /* or a future, to be awaited before the next beat */
}

struct demo {
    struct mini_future future;
    struct mini_sleep sleep;
    struct mini_join join;
    struct mini_task *task;
    int count;
};

static mini_poll demo(struct mini_future *future, struct mini_context cx) {
    struct demo *self = MINI_SELF(struct demo);
    MINI_BEGIN;
    self->task = mini_spawn_periodic(100 * MINI_MS, beat, &self->count);
    MINI_AWAIT(mini_sleep(&self->sleep, 550 * MINI_MS));
    mini_cancel(self->task);
    MINI_AWAIT(mini_join(&self->join, self->task));
    printf("final count: %ld\n", MINI_RESULT);
    MINI_END(MINI_RESULT);
}

int main(void) {
    struct demo frame;
    long runs = mini_run(MINI_CALL(struct demo, &frame, demo), NULL);
    return runs == 5 ? 0 : 1;
}
