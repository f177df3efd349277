/* SPDX-License-Identifier: MIT */
/* Two tasks take turns through two semaphores; main joins both. */
#include "miniss.h"

#include <stdio.h>

struct player {
    struct mini_future future;
    struct mini_wait wait;
    struct mini_semaphore *mine, *theirs;
    const char *says;
    int round;
};

static mini_poll player(struct mini_future *future, struct mini_context cx) {
    struct player *self = MINI_SELF(struct player);
    MINI_BEGIN;
    for (self->round = 1; self->round <= 3; self->round++) {
        MINI_AWAIT(mini_semaphore_wait(&self->wait, self->mine, 1));
        printf("%s %d\n", self->says, self->round);
        mini_semaphore_signal(self->theirs, 1);
    }
    MINI_END(self->round - 1);
}

struct game {
    struct mini_future future;
    struct mini_semaphore ping, pong;
    struct mini_task *first, *second;
    struct mini_join join;
    long rounds;
};

static mini_poll game(struct mini_future *future, struct mini_context cx) {
    struct game *self = MINI_SELF(struct game);
    MINI_BEGIN;
    mini_semaphore_init(&self->ping, 1); /* ping begins */
    mini_semaphore_init(&self->pong, 0);
    self->first = MINI_SPAWN(struct player, player, .says = "ping",
        .mine = &self->ping, .theirs = &self->pong);
    self->second = MINI_SPAWN(struct player, player, .says = "        pong",
        .mine = &self->pong, .theirs = &self->ping);
    MINI_AWAIT(mini_join(&self->join, self->first));
    self->rounds = MINI_RESULT;
    MINI_AWAIT(mini_join(&self->join, self->second));
    MINI_END(self->rounds + MINI_RESULT);
}

int main(void) {
    struct game frame;
    long rounds = mini_run(MINI_CALL(struct game, &frame, game), NULL);
    printf("%ld strokes\n", rounds);
    return rounds == 6 ? 0 : 1;
}
