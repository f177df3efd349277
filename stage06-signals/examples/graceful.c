/* SPDX-License-Identifier: MIT */
/* Works in a loop until SIGINT or SIGTERM, cleans up for 100 ms, says which
 * signal it was, and exits with 0. */
#include "miniss.h"

#include <stdio.h>

struct worker {
    struct mini_future future;
    struct mini_sleep sleep;
    long steps;
};

static mini_poll worker(struct mini_future *future, struct mini_context cx) {
    struct worker *self = MINI_SELF(struct worker);
    MINI_BEGIN;
    for (;;) {
        MINI_AWAIT(mini_sleep(&self->sleep, 10 * MINI_MS));
        if (MINI_RESULT < 0) break;
        self->steps++;
    }
    printf("cleaning up\n");
    MINI_AWAIT_SHIELDED(mini_sleep(&self->sleep, 100 * MINI_MS));
    MINI_END(self->steps);
}

struct program {
    struct mini_future future;
    struct worker work;
    struct mini_signal_wait wait;
    struct mini_future *both[2];
    struct mini_select select;
};

static mini_poll program(struct mini_future *future, struct mini_context cx) {
    struct program *self = MINI_SELF(struct program);
    MINI_BEGIN;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    self->both[0] = MINI_CALL(struct worker, &self->work, worker);
    self->both[1] = mini_signal_wait(&self->wait, &set);
    printf("working; stop me with SIGINT or SIGTERM\n");
    MINI_AWAIT(mini_select(&self->select, self->both, 2));
    long which = self->both[1]->result;
    printf("stopped by %s\n",
        which == SIGINT        ? "SIGINT"
            : which == SIGTERM ? "SIGTERM"
                               : "a shutdown"); /* SIGHUP is not waited for */
    MINI_END(0);
}

int main(void) {
    struct program frame;
    setvbuf(stdout, NULL, _IOLBF, 0); /* line by line, even into a pipe */
    return (int)mini_run(MINI_CALL(struct program, &frame, program), NULL);
}
