/* SPDX-License-Identifier: MIT */
/* Operations as futures, and the choice of a backend. See io.h. */
#include "io.h"

#include "lease.h"
#include "offload.h"
#include "timer.h"

#include <stdlib.h>
#include <string.h>

/* ---- an operation's life ---- */

/* That the doorbell is watched is no reason to wait. */
void mini_io_start(struct mini_io *operation) {
    struct mini_io_shard *io = &mini_self->io;
    operation->active = true;
    operation->cancelled = operation->offloaded = false;
    mini_self->outside += operation != &io->bell;
    mini_self->stats.operations++;
    if (operation->op == MINI_OP_CALL)
        mini_offload_start(io, operation);
    else
        io->backend->start(io, operation);
    if (operation->op >= MINI_OP_READ && !operation->offloaded)
        io->skipped = 15; /* see turn */
}

void mini_io_stop(struct mini_io *operation) {
    if (operation->cancelled) return;
    operation->cancelled = true;
    if (operation->offloaded)
        mini_offload_stop(operation);
    else
        mini_self->io.backend->stop(&mini_self->io, operation);
}

void mini_io_complete(struct mini_io *operation, long result, bool more) {
    if (!more) {
        operation->active = false;
        mini_self->outside -= operation != &mini_self->io.bell;
    }
    if (operation->notify) {
        operation->notify(operation, result);
        return;
    }
    operation->future.result = result;
    mini_wake(operation->task);
}

/* A part of SELF is done: true if there is more to do, else the result becomes
 * that of the whole. */
static bool goes_on(struct mini_io *self, bool cancel) {
    bool moves = self->op == MINI_OP_READ || self->op == MINI_OP_WRITE;
    long *result = &self->future.result;
    if (*result == -ESPIPE && moves && self->offset >= 0)
        return self->offset = -1, !cancel; /* FD cannot seek: again, without */
    if (!self->all) return false;
    if (*result > 0) {
        self->done += (size_t)*result;
        self->length -= (size_t)*result;
        self->buffer = (char *)self->buffer + *result;
        if (self->offset >= 0) self->offset += *result;
        if (self->length > 0 && !cancel) return true;
    }
    if (*result >= 0 || (*result == -ECANCELED && self->done > 0))
        *result = (long)self->done;
    return false;
}

MINI_POLL(mini_io_step) {
    struct mini_io *self = MINI_SELF(struct mini_io);
    self->task = cx.task;
    if (!future->resume && cx.cancel) return mini_ready(future, -ECANCELED);
    if (self->active && cx.cancel) mini_io_stop(self);
    if (self->active) return MINI_PENDING;
    if (future->resume && !goes_on(self, cx.cancel))
        return mini_ready(future, future->result);
    future->resume = 1;
    mini_io_start(self);
    return MINI_PENDING; /* even if it is done: others wait for their turn */
}

/* ---- the doorbell ---- */

/* With a multishot poll each ring completes it, so it need not be cleared. */
static void bell_rang(struct mini_io *bell, long result) {
    if (result >= 0 && !bell->active) mini_bell_clear(&mini_self->parker.bell);
}

static void watch_bell(struct mini_io_shard *io) {
    if (io->bell.active) return;
    mini_readable(&io->bell, mini_self->parker.bell.wait_fd);
    io->bell.notify = bell_rang;
    mini_io_start(&io->bell);
}

/* ---- the poller ---- */

static const struct mini_io_backend *const backends[] = {
    &mini_io_uring, &mini_io_poll};

unsigned mini_io_without;

/* The first backend that works here; if MINI_IO is set, that one or none. */
static int choose_backend(struct mini_io_shard *io) {
    static atomic_flag said = ATOMIC_FLAG_INIT; /* by one shard for all */
    const char *wish = getenv("MINI_IO");
    bool forced = wish && *wish;
    int error = 0;
    for (size_t i = 0; i < sizeof backends / sizeof *backends; i++) {
        if (forced && strcmp(wish, backends[i]->name) != 0) continue;
        io->backend = backends[i];
        if ((error = backends[i]->init(io)) == 0) return 0;
        if (forced || !atomic_flag_test_and_set(&said))
            fprintf(stderr, "miniss: io_uring cannot be used (%s); %s\n",
                strerror(-error),
                forced ? "unset MINI_IO for poll(2)" : "using poll(2)");
    }
    if (error < 0) return error;
    fprintf(stderr, "miniss: MINI_IO is '%s', not 'uring' or 'poll'\n", wish);
    return -EINVAL;
}

static int start(struct mini_executor *executor) {
    unsigned buffers = executor->options.buffers;
    if (buffers > 32768 || (buffers & (buffers - 1)) != 0) return -EINVAL;
    if (buffers == 0) executor->options.buffers = MINI_BUFFERS;
    mini_list_init(&executor->io.jobs);
    return choose_backend(&executor->io);
}

static void stop(struct mini_executor *executor) {
    struct mini_io_shard *io = &executor->io;
    if (io->bell.active) mini_io_stop(&io->bell);
    while (io->bell.active) io->backend->turn(io, MINI_FOREVER);
    mini_offload_destroy(io);
    io->backend->fini(io);
    mini_buffers_destroy(io);
}

/* If there is nothing to do, the wait that follows submits and completes in one
 * system call, so this does not; but no wait follows in a shard that spins. And
 * while messages keep coming there is none: so it does in every 16th turn. What
 * waits for no peer, such as a send or a read from memory, is done once it is
 * submitted: for that, nobody need get ready to sleep. */
static unsigned turn(struct mini_executor *executor) {
    unsigned work = 0;
    if (executor->io.helper_count) work += mini_offload_turn(&executor->io);
    if (executor->io.buffers) work += mini_buffers_lend(&executor->io);
    if (!executor->first && work == 0 && !executor->options.virtual_clock &&
        !executor->options.spin && ++executor->io.skipped % 16 != 0)
        return work;
    return work + executor->io.backend->turn(&executor->io, 0);
}

/* Looks for work for some time before the shard sleeps: while awake it need not
 * be rung or woken or counted as idle, each of which takes longer. 0, which is
 * now, if it found some; else UNTIL. */
static uint64_t spin(struct mini_executor *executor, uint64_t until) {
    if (!executor->options.spin || executor->options.virtual_clock)
        return until;
    uint64_t end = mini_from_now(executor->options.spin), now = mini_now();
    unsigned work = 0;
    for (; now < end && now < until && work == 0; now = mini_clock())
        work = mini_turn(executor);
    return work > 0 ? 0 : until;
}

static void wait(struct mini_executor *executor, uint64_t until) {
    struct mini_io_shard *io = &executor->io;
    if (until == 0) return; /* spin() found work */
    if (mini_park_begin(executor)) {
        io->skipped = 0;
        watch_bell(io); /* with a full SQ this reaps: it may wake tasks */
        uint64_t ns = executor->first ? 0 : mini_time_left(executor, until);
        io->backend->turn(io, io->bell.active ? ns : 0);
    }
    mini_park_end(executor);
}

const struct mini_poller mini_io_poller = {
    .start = start, .stop = stop, .turn = turn, .next = spin, .wait = wait};

const char *mini_io_name(void) { return mini_self->io.backend->name; }

const char *mini_io_describe(void) {
    static const char *const names[] = {
        "multishot", "buffer ring", "send_zc", "splice"};
    static _Thread_local char line[80];
    strcpy(line, mini_io_name());
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
        if (mini_self->io.features & 1u << i)
            strcat(strcat(line, strchr(line, ':') ? ", " : ": "), names[i]);
    return line;
}
