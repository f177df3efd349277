/* SPDX-License-Identifier: MIT */
/* The smallest program: run one async function to its end. */
#include "miniss.h"

#include <stdio.h>

struct hello {
    struct mini_future future;
    struct mini_yield yield;
    int line;
};

static mini_poll hello(struct mini_future *future, struct mini_context cx) {
    struct hello *self = MINI_SELF(struct hello);
    MINI_BEGIN;
    for (self->line = 1; self->line <= 3; self->line++) {
        printf("hello, line %d\n", self->line);
        MINI_AWAIT(mini_yield(&self->yield)); /* and come back here */
    }
    MINI_END(42);
}

int main(void) {
    struct hello frame;
    long result = mini_run(MINI_CALL(struct hello, &frame, hello), NULL);
    printf("the future's result is %ld\n", result);
    return result == 42 ? 0 : 1;
}
