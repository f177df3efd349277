/* SPDX-License-Identifier: MIT */
/* Helper threads. See offload.h. */
#include "offload.h"

#include "spsc.h"

#include <pthread.h>
#include <stdlib.h>

struct mini_helper {
    struct mini_spsc jobs; /* to the helper; NULL: end */
    struct mini_spsc done; /* from the helper */
    struct mini_bell bell; /* rung for each job */
    struct mini_parker *owner; /* where its shard sleeps */
    pthread_t thread;
    bool busy; /* it has a job; only the shard looks */
};

/* ---- on a helper's thread ---- */

/* A helper that is given a job has none, so it sleeps, or is about to: its bell
 * is rung each time. It clears the bell before it looks for the job, so a ring
 * that comes later is not lost. */
static void *help(void *argument) {
    struct mini_helper *self = argument;
    struct pollfd bell = {.fd = self->bell.wait_fd, .events = POLLIN};
    void *job;
    for (;;) {
        while (!mini_spsc_pop(&self->jobs, &job)) {
            mini_poll_fds(&bell, 1, MINI_FOREVER);
            mini_bell_clear(&self->bell);
        }
        struct mini_io *operation = job;
        if (!operation) return NULL;
        operation->future.result = mini_io_call(operation);
        mini_spsc_push(&self->done, operation);
        mini_spsc_announce(&self->done.tail);
        mini_parker_ring(self->owner);
    }
}

/* ---- on the shard's ---- */

static void hand(struct mini_helper *helper, void *job) {
    mini_spsc_push(&helper->jobs, job);
    mini_spsc_announce(&helper->jobs.tail); /* stored before the bell rings */
    mini_bell_ring(&helper->bell);
}

static void free_helper(struct mini_helper *helper) {
    mini_spsc_destroy(&helper->jobs);
    mini_spsc_destroy(&helper->done);
    mini_bell_close(&helper->bell);
    free(helper);
}

static int add_helper(struct mini_io_shard *io) {
    struct mini_helper *helper = aligned_alloc(MINI_CACHE_LINE, sizeof *helper);
    if (!helper) return -ENOMEM;
    *helper = (struct mini_helper){.owner = &io->executor->parker};
    int error = mini_bell_open(&helper->bell);
    if (error < 0) {
        free(helper);
        return error;
    }
    error = mini_spsc_init(&helper->jobs, 1);
    if (mini_spsc_init(&helper->done, 1) < 0) error = -ENOMEM;
    if (error == 0)
        error = -pthread_create(&helper->thread, NULL, help, helper);
    if (error < 0)
        free_helper(helper);
    else
        io->helpers[io->helper_count++] = helper;
    return error;
}

static struct mini_helper *idle_helper(struct mini_io_shard *io) {
    for (unsigned i = 0; i < io->helper_count; i++)
        if (!io->helpers[i]->busy) return io->helpers[i];
    return NULL;
}

static void hand_out(struct mini_io_shard *io) {
    struct mini_helper *helper;
    while (!mini_list_empty(&io->jobs) && (helper = idle_helper(io))) {
        struct mini_list *next = mini_list_pop(&io->jobs);
        helper->busy = true;
        hand(helper, MINI_CONTAINER(next, struct mini_io, link));
    }
}

void mini_offload_start(struct mini_io_shard *io, struct mini_io *operation) {
    int error = 0;
    if (!idle_helper(io) && io->helper_count < MINI_HELPERS)
        error = add_helper(io);
    if (io->helper_count == 0) {
        mini_io_complete(operation, error, false);
        return;
    }
    operation->offloaded = true;
    mini_self->stats.offloads++;
    mini_list_push(&io->jobs, &operation->link);
    hand_out(io);
}

void mini_offload_stop(struct mini_io *operation) {
    if (!mini_list_linked(&operation->link)) return; /* it runs */
    mini_list_remove(&operation->link);
    mini_io_complete(operation, -ECANCELED, false);
}

unsigned mini_offload_turn(struct mini_io_shard *io) {
    unsigned completed = 0;
    void *job = NULL;
    for (unsigned i = 0; i < io->helper_count; i++) {
        if (mini_spsc_count(&io->helpers[i]->done) == 0) continue;
        mini_spsc_pop(&io->helpers[i]->done, &job);
        struct mini_io *operation = job;
        io->helpers[i]->busy = false;
        mini_io_complete(operation, operation->future.result, false);
        completed++;
    }
    hand_out(io);
    return completed;
}

void mini_offload_destroy(struct mini_io_shard *io) {
    for (unsigned i = 0; i < io->helper_count; i++) {
        hand(io->helpers[i], NULL);
        pthread_join(io->helpers[i]->thread, NULL);
        free_helper(io->helpers[i]);
    }
}
