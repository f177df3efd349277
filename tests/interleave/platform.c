/* SPDX-License-Identifier: MIT */
/* See platform.h. */
#include "platform.h"

#include <stdatomic.h>

int rings[THREADS], parks[THREADS], bell_missing;
bool bells_order;

/* A bell is a flag that orders no memory, unless it shall. */
static const char *const bells[THREADS] = {
    "bell 0", "bell 1", "bell 2", "bell 3"};
static atomic_int rung[THREADS];

static UNSEEN void count(int *counter) { ++*counter; }
static void park_hook(void) {
    static const char *const names[THREADS] = {
        "sleeping 0", "sleeping 1", "sleeping 2", "sleeping 3"};
    count(&parks[model_thread()]);
    model_name(&mini_self->parker.sleeping, names[model_thread()]);
}

void platform_reset(void) {
    for (int i = 0; i < THREADS; i++) rung[i] = rings[i] = parks[i] = 0;
    bell_missing = -1;
    bells_order = false;
    mini_park_hook = park_hook;
}

int mini_bell_open(struct mini_bell *bell) {
    /* the compiler tells of no struct that is cleared: here the parker was */
    volatile void *parker = MINI_CONTAINER(bell, struct mini_parker, bell);
    *(volatile bool *)parker = false;
    if (model_thread() == bell_missing) return -EMFILE;
    bell->wait_fd = bell->ring_fd = model_thread();
    model_name(&rung[bell->wait_fd], bells[bell->wait_fd]);
    return 0;
}
bool mini_uring_wake(int ring); /* from stage 5 on; here all have bells */
bool mini_uring_wake(int ring) {
    (void)ring;
    return false;
}
void mini_bell_close(struct mini_bell *bell) { bell->ring_fd = -1; }
void mini_bell_ring(struct mini_bell *bell) {
    count(&rings[bell->ring_fd]);
    if (bells_order)
        atomic_exchange_explicit(&rung[bell->ring_fd], 1, memory_order_acq_rel);
    else
        atomic_exchange_explicit(&rung[bell->ring_fd], 1, memory_order_relaxed);
}
void mini_bell_clear(struct mini_bell *bell) {
    if (bells_order)
        atomic_exchange_explicit(&rung[bell->wait_fd], 0, memory_order_acq_rel);
    else
        atomic_exchange_explicit(&rung[bell->wait_fd], 0, memory_order_relaxed);
}
int mini_poll_fds(struct pollfd *fds, nfds_t count, uint64_t ns) {
    model_require(count == 1 && ns == MINI_FOREVER, "a sleep without a bell");
    model_wait(&rung[fds->fd], 1);
    return 1;
}
