/* SPDX-License-Identifier: MIT */
/* Two runners race; the loser is cancelled, cleans up, and is finished. */
#include "miniss.h"

#include <stdio.h>

struct runner {
    struct mini_future future;
    struct mini_yield yield;
    const char *name;
    int step, length;
};

static mini_poll runner(struct mini_future *future, struct mini_context cx) {
    struct runner *self = MINI_SELF(struct runner);
    MINI_BEGIN;
    for (self->step = 0; self->step < self->length; self->step++) {
        MINI_AWAIT(mini_yield(&self->yield));
        if (MINI_RESULT < 0) { /* cancel looks like any other error */
            printf("%s is cancelled after %d steps\n", self->name, self->step);
            MINI_AWAIT_SHIELDED(mini_yield(&self->yield));
            printf("%s has cleaned up\n", self->name);
            MINI_RETURN(-ECANCELED);
        }
    }
    printf("%s is through after %d steps\n", self->name, self->step);
    MINI_END(self->step);
}

struct race {
    struct mini_future future;
    struct runner hare, tortoise;
    struct mini_future *both[2];
    struct mini_select select;
};

static mini_poll race(struct mini_future *future, struct mini_context cx) {
    struct race *self = MINI_SELF(struct race);
    MINI_BEGIN;
    self->both[0] = MINI_CALL(struct runner, &self->tortoise, runner,
        .name = "the tortoise", .length = 9);
    self->both[1] = MINI_CALL(
        struct runner, &self->hare, runner, .name = "the hare", .length = 4);
    MINI_AWAIT(mini_select(&self->select, self->both, 2));
    printf("winner: number %ld\n", MINI_RESULT);
    MINI_END(MINI_RESULT);
}

int main(void) {
    struct race frame;
    long winner = mini_run(MINI_CALL(struct race, &frame, race), NULL);
    return winner == 1 ? 0 : 1;
}
