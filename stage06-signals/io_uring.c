/* SPDX-License-Identifier: MIT */
/* The io_uring backend. See io.h for the five functions, io_uring(7) for what
 * lies below.
 *
 * What is done about an errno of the ring itself (not of an operation, whose
 * errno is its result):
 * - SQ full: submit what is there, and reap, so that a full CQ cannot stop that;
 *   until there is room. Cancels take the same way.
 * - EBUSY, EAGAIN from submitting: the entries stay in the SQ; reap, and submit
 *   again in the next turn.
 * - EINTR, ETIME from waiting: reap what there is; the caller looks again.
 * - CQ overflow: the kernel keeps the completions and io_uring_peek_cqe fetches
 *   them when there is room.
 * - EAGAIN of an operation (its descriptor is O_NONBLOCK): wait until it is
 *   ready, start the operation again. */
#include "io.h"

#include <liburing.h>
#include <stdlib.h>

#define SQ_ENTRIES 256
#define CQ_ENTRIES 4096

/* ---- set up ---- */

/* From what the newest kernels have down to what the first had. Without
 * EXT_ARG (5.11) there is no shutdown either: poll(2) is better then. */
static int init(struct mini_io_shard *io) {
    static const unsigned flags[] = {IORING_SETUP_SINGLE_ISSUER |
            IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG |
            IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE,
        IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG |
            IORING_SETUP_CQSIZE,
        0};
    struct io_uring *ring = io->state = calloc(1, sizeof *ring);
    int error = ring ? -EINVAL : -ENOMEM;
    for (size_t i = 0; error == -EINVAL && i < 3; i++) {
        struct io_uring_params params = {
            .flags = flags[i], .cq_entries = flags[i] ? CQ_ENTRIES : 0};
        error = io_uring_queue_init_params(SQ_ENTRIES, ring, &params);
        if (error == 0 && !(params.features & IORING_FEAT_EXT_ARG)) {
            io_uring_queue_exit(ring);
            error = -ENOSYS;
        }
    }
    if (error < 0) free(ring);
    return error;
}

static void fini(struct mini_io_shard *io) {
    io_uring_queue_exit(io->state);
    free(io->state);
}

/* ---- submission ---- */

static unsigned reap(struct io_uring *ring);

static struct io_uring_sqe *get_sqe(struct io_uring *ring) {
    struct io_uring_sqe *sqe;
    while (!(sqe = io_uring_get_sqe(ring))) {
        mini_self->stats.enters++;
        io_uring_submit(ring);
        reap(ring); /* only notes results and wakes */
    }
    return sqe;
}

static void start(struct mini_io_shard *io, struct mini_io *operation) {
    struct io_uring_sqe *sqe = get_sqe(io->state);
    int fd = operation->fd;
    char *buffer = (char *)operation->buffer + operation->done;
    unsigned length = (unsigned)(operation->length - operation->done);
    uint64_t offset = (uint64_t)operation->offset;
    switch (operation->op) {
    case MINI_OP_ACCEPT:
        io_uring_prep_accept(sqe, fd, NULL, NULL, SOCK_CLOEXEC);
        if (operation->multishot) sqe->ioprio |= IORING_ACCEPT_MULTISHOT;
        break;
    case MINI_OP_CONNECT:
        io_uring_prep_connect(sqe, fd, operation->from, length);
        break;
    case MINI_OP_RECV: io_uring_prep_recv(sqe, fd, buffer, length, 0); break;
    case MINI_OP_SEND:
        io_uring_prep_send(sqe, fd, buffer, length, MSG_NOSIGNAL);
        break;
    case MINI_OP_SHUTDOWN: io_uring_prep_shutdown(sqe, fd, (int)offset); break;
    case MINI_OP_CLOSE: io_uring_prep_close(sqe, fd); break;
    case MINI_OP_READ:
        io_uring_prep_read(sqe, fd, buffer, length, offset);
        break;
    case MINI_OP_WRITE:
        io_uring_prep_write(sqe, fd, buffer, length, offset);
        break;
    case MINI_OP_READABLE: io_uring_prep_poll_add(sqe, fd, POLLIN); break;
    }
    operation->armed = operation->op == MINI_OP_READABLE;
    io_uring_sqe_set_data(sqe, operation);
}

/* Its descriptor is O_NONBLOCK and was not ready. */
static void wait_until_ready(struct io_uring *ring, struct mini_io *operation) {
    bool input = operation->op == MINI_OP_ACCEPT ||
        operation->op == MINI_OP_RECV || operation->op == MINI_OP_READ;
    struct io_uring_sqe *sqe = get_sqe(ring);
    io_uring_prep_poll_add(sqe, operation->fd, input ? POLLIN : POLLOUT);
    io_uring_sqe_set_data(sqe, operation);
    operation->armed = true;
}

static void stop(struct mini_io_shard *io, struct mini_io *operation) {
    struct io_uring_sqe *sqe = get_sqe(io->state);
    io_uring_prep_cancel(sqe, operation, 0);
    io_uring_sqe_set_data(
        sqe, NULL); /* nobody waits for the cancel's own end */
}

/* ---- completion ---- */

static void complete(
    struct io_uring *ring, struct mini_io *operation, int result, bool more) {
    bool ready = operation->armed && result >= 0;
    if (operation->op == MINI_OP_READABLE)
        mini_io_complete(operation, ready ? 0 : result, false);
    else if ((ready || result == -EAGAIN) && operation->cancelled)
        mini_io_complete(operation, -ECANCELED, false);
    else if (ready)
        start(mini_self->io, operation);
    else if (result == -EAGAIN && !more)
        wait_until_ready(ring, operation);
    else
        mini_io_complete(operation, result, more);
}

static unsigned reap(struct io_uring *ring) {
    struct io_uring_cqe *entry;
    unsigned count = 0;
    for (; io_uring_peek_cqe(ring, &entry) == 0; count++) {
        struct io_uring_cqe cqe = *entry; /* what follows may reuse its place */
        io_uring_cqe_seen(ring, entry);
        if (cqe.user_data)
            complete(ring, io_uring_cqe_get_data(&cqe), cqe.res,
                cqe.flags & IORING_CQE_F_MORE);
    }
    return count;
}

static unsigned turn(struct mini_io_shard *io, uint64_t ns) {
    struct io_uring *ring = io->state;
    struct io_uring_cqe *first;
    struct __kernel_timespec limit = {.tv_sec = (long long)(ns / 1000000000u),
        .tv_nsec = (long long)(ns % 1000000000u)};
    bool kernel_has_work =
        *ring->sq.kflags & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW);
    mini_self->stats.enters +=
        ns > 0 || kernel_has_work || io_uring_sq_ready(ring) > 0;
    if (ns > 0)
        io_uring_submit_and_wait_timeout(
            ring, &first, 1, ns == MINI_FOREVER ? NULL : &limit, NULL);
    else if (kernel_has_work || io_uring_sq_ready(ring) > 0)
        io_uring_submit_and_get_events(ring);
    return reap(ring);
}

const struct mini_io_backend mini_io_uring = {.name = "uring",
    .init = init,
    .start = start,
    .stop = stop,
    .turn = turn,
    .fini = fini};
