/* SPDX-License-Identifier: MIT */
/* Helper threads. See offload.h. */
#include "offload.h"

#include <pthread.h>

/* ---- on a helper's thread ---- */

/* A helper that is given a job has none, so it sleeps, or is about to: its bell
 * is rung each time. It clears the bell before it looks for the job, so a ring
 * that comes later is not lost. */
static void *help(void *argument) {
    struct mini_helper *self = argument;
    struct pollfd bell = {.fd = self->bell.wait_fd, .events = POLLIN};
    struct mini_io *operation;
    for (;;) {
        while (!(operation = atomic_load(&self->job))) {
            mini_poll_fds(&bell, 1, MINI_FOREVER);
            mini_bell_clear(&self->bell);
        }
        if ((void *)operation == self) return NULL;
        operation->future.result = mini_io_call(operation);
        atomic_store(&self->job, NULL); /* what the shard's second look finds */
        mini_parker_ring(self->owner);
    }
}

/* ---- on the shard's ---- */

static void hand(struct mini_helper *helper, void *job) {
    atomic_store(&helper->job, job); /* before the bell rings */
    mini_bell_ring(&helper->bell);
}

static int add_helper(struct mini_io_shard *io) {
    struct mini_helper *helper = &io->helpers[io->helper_count];
    int error = mini_bell_open(&helper->bell);
    if (error < 0) return error;
    helper->owner = &mini_self->parker;
    error = -pthread_create(&helper->thread, NULL, help, helper);
    if (error < 0)
        mini_bell_close(&helper->bell);
    else
        io->helper_count++;
    return error;
}

unsigned mini_offload_turn(struct mini_io_shard *io) {
    unsigned completed = 0;
    for (unsigned i = 0; i < io->helper_count; i++) {
        struct mini_helper *helper = &io->helpers[i];
        struct mini_io *done = helper->given;
        if (atomic_load(&helper->job)) continue; /* it is at work */
        struct mini_list *next = mini_list_pop(&io->jobs);
        helper->given =
            next ? MINI_CONTAINER(next, struct mini_io, link) : NULL;
        if (next) hand(helper, helper->given);
        if (!done) continue;
        mini_io_complete(done, done->future.result, false);
        completed++;
    }
    return completed;
}

void mini_offload_start(struct mini_io_shard *io, struct mini_io *operation) {
    int error = 0;
    mini_list_push(&io->jobs, &operation->link);
    mini_offload_turn(io);
    if (mini_list_linked(&operation->link) && io->helper_count < MINI_HELPERS) {
        error = add_helper(io);
        mini_offload_turn(io);
    }
    if (io->helper_count == 0) {
        mini_list_remove(&operation->link);
        mini_io_complete(operation, error, false);
        return;
    }
    operation->offloaded = true;
    mini_self->stats.offloads++;
}

void mini_offload_stop(struct mini_io *operation) {
    if (!mini_list_linked(&operation->link)) return; /* it runs */
    mini_list_remove(&operation->link);
    mini_io_complete(operation, -ECANCELED, false);
}

void mini_offload_destroy(struct mini_io_shard *io) {
    for (unsigned i = 0; i < io->helper_count; i++) {
        struct mini_helper *helper = &io->helpers[i];
        hand(helper, helper);
        pthread_join(helper->thread, NULL);
        mini_bell_close(&helper->bell);
    }
}
