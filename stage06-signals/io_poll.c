/* SPDX-License-Identifier: MIT */
/* The poll(2) backend: POSIX alone. See io.h for the five functions.
 *
 * An operation waits in the poll set until poll(2) says that its descriptor is
 * ready; then a system call that does not block carries it out. If that says
 * EAGAIN all the same, the operation goes on waiting. Nothing is ever under way
 * in the kernel (except a connect, which is begun first), so a cancel just
 * takes the operation out of the set.
 *
 * poll(2) is no help with files: they are always ready, and block all the same.
 * So operations on files go to a helper thread. */
#include "io.h"

#include "../common/platform.h"
#include "file.h"
#include "lease.h"
#include "offload.h"
#include "timer.h"

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct poll_set {
    struct pollfd *fds;
    struct mini_io **operations; /* one for each of fds */
    size_t count, room;
};

static int make_room(struct poll_set *set) {
    if (set->count < set->room) return 0;
    size_t room = set->room ? set->room * 2 : 64;
    void *fds = realloc(set->fds, room * sizeof *set->fds);
    if (fds) set->fds = fds;
    void *operations =
        realloc(set->operations, room * sizeof(struct mini_io *));
    if (operations) set->operations = operations;
    if (!fds || !operations) return -ENOMEM;
    set->room = room;
    return 0;
}

static void fini(struct mini_io_shard *io) {
    struct poll_set *set = io->state;
    free(set->fds);
    free(set->operations);
    free(set);
}

static int init(struct mini_io_shard *io) {
    io->state = calloc(1, sizeof(struct poll_set));
    if (io->state && make_room(io->state) == 0) return 0; /* for the doorbell */
    if (io->state) fini(io);
    return -ENOMEM;
}

/* ---- carrying out an operation ---- */

/* The first call begins to connect; a later one, once FD is ready, says what
 * came of it. An EAGAIN of connect(2) means that it has not begun: the peer's
 * queue is full (AF_UNIX). */
static long connect_socket(struct mini_io *io) {
    int error = 0;
    socklen_t size = sizeof error;
    if (!io->armed) {
        if (connect(io->fd, io->from, (socklen_t)io->length) == 0) return 0;
        io->armed = errno == EINPROGRESS;
        return errno = io->armed ? EAGAIN : errno, -1;
    }
    if (getsockopt(io->fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0) return -1;
    return errno = error, error ? -1 : 0;
}

/* Into a leased buffer, if there is one. */
static long recv_lease(struct mini_io *io) {
    struct mini_buffer *buffer = mini_buffer_take(&mini_self->io);
    if (!buffer) return errno = ENOBUFS, -1;
    ssize_t got = recv(io->fd, buffer->data, MINI_BUFFER_BYTES, MSG_DONTWAIT);
    mini_buffer_filled(io, buffer, got);
    return got;
}

static long call(struct mini_io *io) {
    size_t length = io->length;
    bool here = io->offset == -1; /* at the descriptor's own position */
    switch ((enum mini_op)io->op) {
    case MINI_OP_ACCEPT: return mini_accept_fd(io->fd);
    case MINI_OP_CONNECT: return connect_socket(io);
    case MINI_OP_RECV: return recv(io->fd, io->buffer, length, MSG_DONTWAIT);
    case MINI_OP_RECV_LEASE: return recv_lease(io);
    case MINI_OP_RECVMSG: return recvmsg(io->fd, io->buffer, MSG_DONTWAIT);
    case MINI_OP_SENDMSG:
        return sendmsg(io->fd, io->from, MSG_DONTWAIT | MSG_NOSIGNAL);
    case MINI_OP_SENDFILE:
        return mini_sendfile(io->fd, io->source, io->offset, length);
    case MINI_OP_SEND_ZC: io->copied = true; /* fall through */
    case MINI_OP_SEND:
        return send(io->fd, io->buffer, length, MSG_DONTWAIT | MSG_NOSIGNAL);
    case MINI_OP_SHUTDOWN: return shutdown(io->fd, (int)io->offset);
    case MINI_OP_CLOSE: return close(io->fd);
    case MINI_OP_READ:
        return here ? read(io->fd, io->buffer, length)
                    : pread(io->fd, io->buffer, length, io->offset);
    case MINI_OP_WRITE: /* of a blocking pipe, ready means room for PIPE_BUF */
        if (here && length > PIPE_BUF) length = PIPE_BUF;
        return here ? write(io->fd, io->buffer, length)
                    : pwrite(io->fd, io->buffer, length, io->offset);
    case MINI_OP_READABLE: return 0;
    case MINI_OP_OPENAT:
        return openat(io->fd, io->from, (int)io->offset, (mode_t)length);
    case MINI_OP_FSYNC: return fsync(io->fd);
    case MINI_OP_STATX: return mini_statx_call(io);
    case MINI_OP_CALL: break;
    }
    return io->call(io->buffer);
}

/* The result as io_uring gives it: a negative errno in place of -1. */
long mini_io_call(struct mini_io *io) {
    if (io->op == MINI_OP_CALL) return call(io); /* FN's result as it is */
    long result;
    do result = call(io);
    while (result < 0 && errno == EINTR && io->op != MINI_OP_CLOSE);
    return result < 0 ? -errno : result;
}

/* ---- the set ---- */

/* The last operation takes the place of this one. */
static void finish(
    struct poll_set *set, struct mini_io *operation, long result) {
    size_t last = --set->count;
    set->fds[operation->index] = set->fds[last];
    set->operations[operation->index] = set->operations[last];
    set->operations[operation->index]->index = operation->index;
    mini_io_complete(operation, result, false);
}

/* Whether it may block on a disk. */
static bool is_of_files(struct mini_io *io) {
    struct stat status;
    if (io->op == MINI_OP_READ || io->op == MINI_OP_WRITE)
        return fstat(io->fd, &status) == 0 &&
            (S_ISREG(status.st_mode) || S_ISBLK(status.st_mode));
    return io->op >= MINI_OP_FSYNC;
}

/* Tries at once what does not block. A read or write may block, so it waits for
 * poll(2) first; unless its descriptor can never be ready for it: then the call
 * says why. */
static long begin(struct mini_io *io) {
    if (io->op == MINI_OP_ACCEPT || io->op == MINI_OP_CONNECT)
        fcntl(io->fd, F_SETFL, fcntl(io->fd, F_GETFL) | O_NONBLOCK);
    if (io->op < MINI_OP_READABLE || io->op > MINI_OP_WRITE)
        return mini_io_call(io);
    int flags = fcntl(io->fd, F_GETFL);
    if (flags < 0) return -errno;
    int never = io->op == MINI_OP_WRITE ? O_RDONLY : O_WRONLY;
    bool moves = io->length > 0 && (flags & O_ACCMODE) != never;
    return moves || io->op == MINI_OP_READABLE ? -EAGAIN : mini_io_call(io);
}

static void start(struct mini_io_shard *io, struct mini_io *operation) {
    struct poll_set *set = io->state;
    if (is_of_files(operation)) {
        mini_offload_start(io, operation);
        return;
    }
    long result = begin(operation);
    if (result != -EAGAIN || (result = make_room(set)) < 0) {
        mini_io_complete(operation, result, false);
        return;
    }
    operation->index = set->count;
    set->operations[set->count] = operation;
    set->fds[set->count++] = (struct pollfd){.fd = operation->fd,
        .events = mini_io_receives(operation) ? POLLIN : POLLOUT};
}

static void stop(struct mini_io_shard *io, struct mini_io *operation) {
    finish(io->state, operation, -ECANCELED);
}

/* poll(2) refuses more entries than the process may have descriptors. Then it is
 * asked about one half, and waits for the other, but a millisecond at most. */
static int look(struct pollfd *fds, size_t count, uint64_t ns) {
    int ready = mini_poll_fds(fds, (nfds_t)count, ns);
    if (ready != -EINVAL || count < 2) return ready;
    ready = look(fds, count / 2, 0);
    ns = ready > 0 ? 0 : ns < MINI_MS ? ns : MINI_MS;
    int rest = look(fds + count / 2, count - count / 2, ns);
    return ready < 0 || rest < 0 ? -EINTR : ready + rest; /* look again */
}

static unsigned turn(struct mini_io_shard *io, uint64_t ns) {
    struct poll_set *set = io->state;
    size_t before = set->count;
    int ready = look(set->fds, before, ns);
    mini_self->stats.enters++;
    /* from the end: what moves into a freed place has been looked at already */
    for (size_t i = ready > 0 ? before : 0; i-- > 0;) {
        if (set->fds[i].revents == 0) continue;
        struct mini_io *operation = set->operations[i];
        long result = mini_io_call(operation);
        if (result != -EAGAIN) finish(set, operation, result);
    }
    return (unsigned)(before - set->count);
}

const struct mini_io_backend mini_io_poll = {.name = "poll",
    .init = init,
    .start = start,
    .stop = stop,
    .turn = turn,
    .fini = fini};
