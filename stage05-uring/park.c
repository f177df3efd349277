/* SPDX-License-Identifier: MIT */
/* The sleeper's and the sender's half of the parking protocol. See park.h. */
#include "park.h"

#include "executor.h"
#include "timer.h"

void (*mini_park_hook)(void);

void mini_parker_ring(struct mini_parker *parker) {
    /* the exchange: of many senders only one rings */
    if (!atomic_load(&parker->sleeping) ||
        !atomic_exchange(&parker->sleeping, false))
        return;
    if (mini_self) mini_self->stats.rings++;
    if (parker->uring && mini_uring_wake(parker->uring)) return;
    mini_bell_ring(&parker->bell);
}

bool mini_park_begin(struct mini_executor *executor) {
    executor->parks = true;
    atomic_store(&executor->parker.sleeping, true);
    if (mini_park_hook) mini_park_hook();
    return mini_turn(executor) == 0; /* the second look */
}

void mini_park_end(struct mini_executor *executor) {
    if (!executor->parks) return;
    executor->parks = false;
    atomic_store(&executor->parker.sleeping, false);
}

static int start(struct mini_executor *executor) {
    return mini_bell_open(&executor->parker.bell);
}

static void stop(struct mini_executor *executor) {
    mini_bell_close(&executor->parker.bell);
}

static void wait(struct mini_executor *executor, uint64_t until) {
    struct mini_bell *bell = &executor->parker.bell;
    struct pollfd fd = {.fd = bell->wait_fd, .events = POLLIN};
    if (mini_park_begin(executor) &&
        mini_poll_fds(&fd, 1, mini_time_left(executor, until)) > 0)
        mini_bell_clear(bell);
    mini_park_end(executor);
}

/* If the second look found a task, nobody need ring us while that runs. */
static unsigned stay_awake(struct mini_executor *executor) {
    if (executor->first) mini_park_end(executor);
    return 0;
}

const struct mini_poller mini_park_poller = {
    .start = start, .stop = stop, .turn = stay_awake, .wait = wait};
