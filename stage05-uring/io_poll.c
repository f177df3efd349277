/* SPDX-License-Identifier: MIT */
/* The poll(2) backend: POSIX alone. See io.h for the five functions.
 *
 * An operation is tried at once; if it would block, its descriptor joins the
 * poll set, and it is tried again when poll(2) says that it is ready. read and
 * write wait for that first, for the descriptor may be a blocking one. Nothing
 * is ever under way in the kernel, so a cancel just takes it out of the set. */
#include "io.h"

#include "../common/platform.h"

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

struct poll_set {
    struct pollfd *fds;
    struct mini_io **operations; /* one for each of fds */
    size_t count, room;
};

static int init(struct mini_io_shard *io) {
    io->state = calloc(1, sizeof(struct poll_set));
    return io->state ? 0 : -ENOMEM;
}

static void fini(struct mini_io_shard *io) {
    struct poll_set *set = io->state;
    free(set->fds);
    free(set->operations);
    free(set);
}

/* ---- trying an operation ---- */

static int flags_of(int fd) {
    int flags = fcntl(fd, F_GETFL);
    return flags < 0 ? 0 : flags;
}

static long connect_step(struct mini_io *io) {
    int error = 0;
    socklen_t size = sizeof error;
    if (!io->armed) { /* the first step */
        int done = connect(io->fd, io->buffer, (socklen_t)io->length);
        return done == 0 ? 0 : errno == EINPROGRESS ? -EAGAIN : -errno;
    }
    if (getsockopt(io->fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
        return -errno;
    return -error;
}

/* A blocking pipe that is ready takes PIPE_BUF bytes and no more for sure. */
static size_t safe_length(const struct mini_io *io) {
    bool any = io->length < PIPE_BUF || io->offset >= 0 ||
        flags_of(io->fd) & O_NONBLOCK;
    return any ? io->length : PIPE_BUF;
}

static long call_once(struct mini_io *io) {
    char *buffer = (char *)io->buffer + io->done;
    size_t length = io->length - io->done;
    switch (io->op) {
    case MINI_OP_ACCEPT: return mini_accept_fd(io->fd);
    case MINI_OP_CONNECT: return connect_step(io);
    case MINI_OP_RECV: return recv(io->fd, buffer, length, MSG_DONTWAIT);
    case MINI_OP_SEND:
        return send(io->fd, buffer, length, MSG_DONTWAIT | MSG_NOSIGNAL);
    case MINI_OP_SHUTDOWN: return shutdown(io->fd, io->how);
    case MINI_OP_CLOSE: return close(io->fd);
    case MINI_OP_READ:
        return io->offset < 0 ? read(io->fd, buffer, length)
                              : pread(io->fd, buffer, length, io->offset);
    case MINI_OP_WRITE:
        length = safe_length(io);
        return io->offset < 0 ? write(io->fd, buffer, length)
                              : pwrite(io->fd, buffer, length, io->offset);
    case MINI_OP_READABLE: return 0;
    }
    return -EINVAL;
}

/* The result as the other backend has it; -EAGAIN: wait until it is ready. */
static long try(struct mini_io *io) {
    bool waits_first = io->op == MINI_OP_READ || io->op == MINI_OP_WRITE ||
        io->op == MINI_OP_READABLE;
    long result;
    if (waits_first && !io->armed) return -EAGAIN;
    do {
        errno = 0;
        result = call_once(io);
    } while (result == -EINTR ||
        (result == -1 && errno == EINTR && io->op != MINI_OP_CLOSE));
    if (result == -1 && errno != 0)
        result = errno == EWOULDBLOCK ? -EAGAIN : -errno;
    return result;
}

/* ---- the set ---- */

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

static void add(struct poll_set *set, struct mini_io *operation) {
    bool output = operation->op == MINI_OP_CONNECT ||
        operation->op == MINI_OP_SEND || operation->op == MINI_OP_WRITE;
    operation->armed = true;
    operation->index = set->count;
    set->operations[set->count] = operation;
    set->fds[set->count++] = (struct pollfd){
        .fd = operation->fd, .events = output ? POLLOUT : POLLIN};
}

/* The last one takes its place. */
static void take_out(struct poll_set *set, struct mini_io *operation) {
    size_t last = --set->count;
    set->fds[operation->index] = set->fds[last];
    set->operations[operation->index] = set->operations[last];
    set->operations[operation->index]->index = operation->index;
}

static void start(struct mini_io_shard *io, struct mini_io *operation) {
    struct poll_set *set = io->state;
    operation->armed = false;
    if (operation->op == MINI_OP_ACCEPT || operation->op == MINI_OP_CONNECT)
        fcntl(operation->fd, F_SETFL, flags_of(operation->fd) | O_NONBLOCK);
    long result = try(operation);
    if (result == -EAGAIN && make_room(set) < 0) result = -ENOMEM;
    if (result == -EAGAIN)
        add(set, operation);
    else
        mini_io_complete(operation, result, false);
}

static void stop(struct mini_io_shard *io, struct mini_io *operation) {
    take_out(io->state, operation);
    mini_io_complete(operation, -ECANCELED, false);
}

static unsigned turn(struct mini_io_shard *io, uint64_t ns) {
    struct poll_set *set = io->state;
    unsigned completed = 0;
    int ready = mini_poll_fds(set->fds, (nfds_t)set->count, ns);
    mini_self->stats.enters++;
    /* from the end: who takes a freed place has been looked at already */
    for (size_t i = set->count; i-- > 0 && ready > 0;) {
        if (i >= set->count || set->fds[i].revents == 0) continue;
        struct mini_io *operation = set->operations[i];
        ready--;
        set->fds[i].revents = 0;
        long result = try(operation);
        if (result == -EAGAIN) continue;
        take_out(set, operation);
        mini_io_complete(operation, result, false);
        completed++;
    }
    return completed;
}

const struct mini_io_backend mini_io_poll = {.name = "poll",
    .init = init,
    .start = start,
    .stop = stop,
    .turn = turn,
    .fini = fini};
