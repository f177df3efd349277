/* SPDX-License-Identifier: MIT */
/* Helper threads. See offload.h. */
#include "offload.h"

#include "spsc.h"

#include <pthread.h>
#include <string.h>

#define HELPERS 4

struct helper {
    struct mini_spsc jobs; /* to it; NULL: go home */
    struct mini_spsc done; /* from it */
    struct mini_bell bell; /* rung for each job */
    struct mini_parker *owner; /* where its shard sleeps */
    pthread_t thread;
    bool busy; /* the shard's: it has a job */
};

struct mini_offload {
    struct mini_list line; /* operations that wait for a helper */
    unsigned count; /* helpers that there are */
    struct helper helpers[HELPERS];
};

/* ---- on a helper's thread ---- */

/* Who is given a job has none, so it sleeps, or is about to: its bell is rung
 * each time. It is cleared before the look: a ring that comes later stays. */
static void *help(void *argument) {
    struct helper *self = argument;
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

static void hand(struct helper *helper, void *job) {
    mini_spsc_push(&helper->jobs, job);
    mini_bell_ring(&helper->bell);
}

static void close_helper(struct helper *helper) {
    mini_spsc_destroy(&helper->jobs);
    mini_spsc_destroy(&helper->done);
    mini_bell_close(&helper->bell);
}

static int add_helper(struct mini_io_shard *io) {
    struct helper *helper = &io->offload->helpers[io->offload->count];
    int error = mini_bell_open(&helper->bell);
    if (error < 0) return error;
    helper->owner = &io->executor->parker;
    error = mini_spsc_init(&helper->jobs, 1);
    if (mini_spsc_init(&helper->done, 1) < 0) error = -ENOMEM;
    if (error == 0)
        error = -pthread_create(&helper->thread, NULL, help, helper);
    if (error < 0)
        close_helper(helper);
    else
        io->offload->count++;
    return error;
}

static struct helper *idle_helper(struct mini_offload *offload) {
    for (unsigned i = 0; i < offload->count; i++)
        if (!offload->helpers[i].busy) return &offload->helpers[i];
    return NULL;
}

static void hand_out(struct mini_offload *offload) {
    struct helper *helper;
    while (
        !mini_list_empty(&offload->line) && (helper = idle_helper(offload))) {
        helper->busy = true;
        struct mini_list *next = mini_list_pop(&offload->line);
        hand(helper, MINI_CONTAINER(next, struct mini_io, link));
    }
}

static int create(struct mini_io_shard *io) {
    if (io->offload) return 0;
    io->offload = aligned_alloc(MINI_CACHE_LINE, sizeof *io->offload);
    if (!io->offload) return -ENOMEM;
    memset(io->offload, 0, sizeof *io->offload);
    mini_list_init(&io->offload->line);
    return 0;
}

void mini_offload_start(struct mini_io_shard *io, struct mini_io *operation) {
    int error = create(io);
    if (error == 0 && io->offload->count < HELPERS && !idle_helper(io->offload))
        error = add_helper(io);
    if (!io->offload || io->offload->count == 0) {
        mini_io_complete(operation, error, false);
        return;
    }
    operation->offloaded = true;
    operation->link = (struct mini_list){0};
    mini_self->stats.offloads++;
    mini_list_push(&io->offload->line, &operation->link);
    hand_out(io->offload);
}

void mini_offload_stop(struct mini_io *operation) {
    if (!mini_list_linked(&operation->link)) return; /* it runs */
    mini_list_remove(&operation->link);
    mini_io_complete(operation, -ECANCELED, false);
}

unsigned mini_offload_turn(struct mini_io_shard *io) {
    unsigned completed = 0;
    void *job = NULL;
    for (unsigned i = 0; i < io->offload->count; i++)
        if (mini_spsc_count(&io->offload->helpers[i].done) > 0) {
            mini_spsc_pop(&io->offload->helpers[i].done, &job);
            struct mini_io *operation = job;
            io->offload->helpers[i].busy = false;
            mini_io_complete(operation, operation->future.result, false);
            completed++;
        }
    if (completed > 0) hand_out(io->offload);
    return completed;
}

void mini_offload_destroy(struct mini_io_shard *io) {
    for (unsigned i = 0; io->offload && i < io->offload->count; i++) {
        struct helper *helper = &io->offload->helpers[i];
        hand(helper, NULL);
        pthread_join(helper->thread, NULL);
        close_helper(helper);
    }
    free(io->offload);
}
