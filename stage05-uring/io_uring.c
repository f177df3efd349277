/* SPDX-License-Identifier: MIT */
/* The io_uring backend. See io.h for the five functions, io_uring(7) for what
 * lies below.
 *
 * What is done about an errno of the ring itself (not of an operation, whose
 * errno is its result):
 * - SQ full: submit what is there; if it stays full, the operation waits in the
 *   backlog and goes first in the next turn. Cancels go the same way.
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

struct uring {
    struct io_uring ring;
    struct mini_list backlog; /* to be submitted, or to be cancelled */
};

/* ---- set up ---- */

static bool has_all_operations(struct io_uring *ring) {
    static const int needed[] = {IORING_OP_ACCEPT, IORING_OP_CONNECT,
        IORING_OP_RECV, IORING_OP_SEND, IORING_OP_SHUTDOWN, IORING_OP_CLOSE,
        IORING_OP_READ, IORING_OP_WRITE, IORING_OP_POLL_ADD,
        IORING_OP_ASYNC_CANCEL};
    struct io_uring_probe *probe = io_uring_get_probe_ring(ring);
    bool all = probe != NULL;
    for (size_t i = 0; all && i < sizeof needed / sizeof *needed; i++)
        all = io_uring_opcode_supported(probe, needed[i]);
    io_uring_free_probe(probe);
    return all;
}

/* From what the newest kernels have down to what the first had. */
static int set_up_ring(struct io_uring *ring) {
    static const unsigned flags[] = {IORING_SETUP_SINGLE_ISSUER |
            IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG |
            IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE,
        IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG |
            IORING_SETUP_CQSIZE,
        0};
    int error = 0;
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        struct io_uring_params params = {
            .flags = flags[i], .cq_entries = CQ_ENTRIES};
        error = io_uring_queue_init_params(SQ_ENTRIES, ring, &params);
        if (error != -EINVAL) /* else: a flag that this kernel does not know */
            break;
    }
    return error;
}

static int init(struct mini_io_shard *io) {
    struct uring *uring = calloc(1, sizeof *uring);
    if (!uring) return -ENOMEM;
    int error = set_up_ring(&uring->ring);
    if (error == 0 && !has_all_operations(&uring->ring)) {
        io_uring_queue_exit(&uring->ring);
        error = -ENOSYS;
    }
    if (error < 0) free(uring);
    mini_list_init(&uring->backlog);
    io->state = uring;
    return error;
}

static void fini(struct mini_io_shard *io) {
    struct uring *uring = io->state;
    io_uring_queue_exit(&uring->ring);
    free(uring);
}

/* ---- submission ---- */

static void prepare(struct io_uring_sqe *sqe, struct mini_io *io) {
    char *buffer = (char *)io->buffer + io->done;
    unsigned length = (unsigned)(io->length - io->done);
    uint64_t offset = (uint64_t)io->offset;
    switch (io->op) {
    case MINI_OP_ACCEPT:
        if (io->multishot)
            io_uring_prep_multishot_accept(
                sqe, io->fd, NULL, NULL, SOCK_CLOEXEC);
        else
            io_uring_prep_accept(sqe, io->fd, NULL, NULL, SOCK_CLOEXEC);
        break;
    case MINI_OP_CONNECT:
        io_uring_prep_connect(sqe, io->fd, io->buffer, (socklen_t)io->length);
        break;
    case MINI_OP_RECV:
        io_uring_prep_recv(sqe, io->fd, buffer, length, 0);
        break;
    case MINI_OP_SEND:
        io_uring_prep_send(sqe, io->fd, buffer, length, MSG_NOSIGNAL);
        break;
    case MINI_OP_SHUTDOWN: io_uring_prep_shutdown(sqe, io->fd, io->how); break;
    case MINI_OP_CLOSE: io_uring_prep_close(sqe, io->fd); break;
    case MINI_OP_READ:
        io_uring_prep_read(sqe, io->fd, buffer, length, offset);
        break;
    case MINI_OP_WRITE:
        io_uring_prep_write(sqe, io->fd, buffer, length, offset);
        break;
    case MINI_OP_READABLE: io_uring_prep_poll_add(sqe, io->fd, POLLIN); break;
    }
    io_uring_sqe_set_data(sqe, io);
}

static struct io_uring_sqe *get_sqe(struct uring *uring) {
    struct io_uring_sqe *sqe = io_uring_get_sqe(&uring->ring);
    if (sqe) return sqe;
    mini_self->stats.enters++;
    io_uring_submit(&uring->ring);
    return io_uring_get_sqe(&uring->ring);
}

static bool wants_input(const struct mini_io *io) {
    return io->op == MINI_OP_ACCEPT || io->op == MINI_OP_RECV ||
        io->op == MINI_OP_READ;
}

/* Puts into the SQ what OPERATION needs next; false if it is full. */
static bool submit(struct uring *uring, struct mini_io *operation) {
    struct io_uring_sqe *sqe = get_sqe(uring);
    if (!sqe) return false;
    if (operation->cancelled) {
        io_uring_prep_cancel(sqe, operation, 0);
        io_uring_sqe_set_data(sqe, NULL);
    } else if (operation->armed) {
        io_uring_prep_poll_add(
            sqe, operation->fd, wants_input(operation) ? POLLIN : POLLOUT);
        io_uring_sqe_set_data(sqe, operation);
    } else {
        prepare(sqe, operation);
    }
    return true;
}

static void submit_or_queue(struct uring *uring, struct mini_io *operation) {
    if (!mini_list_empty(&uring->backlog) || !submit(uring, operation))
        mini_list_push(&uring->backlog, &operation->link);
}

static void submit_backlog(struct uring *uring) {
    while (!mini_list_empty(&uring->backlog)) {
        struct mini_list *link = uring->backlog.next;
        if (!submit(uring, MINI_CONTAINER(link, struct mini_io, link))) return;
        mini_list_remove(link);
    }
}

static void start(struct mini_io_shard *io, struct mini_io *operation) {
    operation->armed = false;
    submit_or_queue(io->state, operation);
}

static void stop(struct mini_io_shard *io, struct mini_io *operation) {
    if (mini_list_linked(&operation->link)) { /* the kernel has not seen it */
        mini_list_remove(&operation->link);
        mini_io_complete(operation, -ECANCELED, false);
        return;
    }
    submit_or_queue(io->state, operation);
}

/* ---- completion ---- */

static void complete(
    struct uring *uring, struct mini_io *operation, int result, bool more) {
    if (!more) /* a cancel of it that still waits comes too late */
        mini_list_remove(&operation->link);
    if (operation->op == MINI_OP_READABLE && result > 0)
        result = 0; /* it was the mask of events */
    bool retry = operation->armed ? result >= 0 : result == -EAGAIN;
    if (!retry || more || operation->cancelled) {
        mini_io_complete(operation, retry && !more ? -ECANCELED : result, more);
        return;
    }
    operation->armed = !operation->armed; /* wait until ready, or try again */
    mini_list_push(&uring->backlog, &operation->link);
}

static unsigned reap(struct uring *uring) {
    struct io_uring_cqe *entry;
    unsigned count = 0;
    while (io_uring_peek_cqe(&uring->ring, &entry) == 0) {
        struct io_uring_cqe cqe = *entry; /* what follows may reuse its place */
        io_uring_cqe_seen(&uring->ring, entry);
        count++;
        if (cqe.user_data) /* else it is a cancel's own */
            complete(uring, io_uring_cqe_get_data(&cqe), cqe.res,
                cqe.flags & IORING_CQE_F_MORE);
    }
    return count;
}

static bool kernel_has_work(struct io_uring *ring) {
    return *ring->sq.kflags & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW);
}

static unsigned turn(struct mini_io_shard *io, uint64_t ns) {
    struct uring *uring = io->state;
    struct io_uring *ring = &uring->ring;
    struct io_uring_cqe *first;
    submit_backlog(uring);
    if (ns > 0 && mini_list_empty(&uring->backlog)) {
        struct __kernel_timespec limit = {
            .tv_sec = (long long)(ns / 1000000000u),
            .tv_nsec = (long long)(ns % 1000000000u)};
        io_uring_submit_and_wait_timeout(
            ring, &first, 1, ns == MINI_FOREVER ? NULL : &limit, NULL);
        mini_self->stats.enters++;
    } else if (io_uring_sq_ready(ring) > 0 || kernel_has_work(ring)) {
        io_uring_submit_and_get_events(ring);
        mini_self->stats.enters++;
    }
    return reap(uring);
}

const struct mini_io_backend mini_io_uring = {.name = "uring",
    .init = init,
    .start = start,
    .stop = stop,
    .turn = turn,
    .fini = fini};
