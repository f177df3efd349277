/* SPDX-License-Identifier: MIT */
/* Streams over multishot operations. See stream.h. */
#include "stream.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- what both have ---- */

/* A completion has come, and what it brought is noted. */
static void tell(struct mini_io *io, size_t high) {
    if (io->active && io->done >= high) mini_io_stop(io);
    if (io->task) mini_wake(io->task);
}

static mini_poll finish(struct mini_io *io, long result) {
    io->task = NULL;
    return mini_ready(&io->future, result);
}

static mini_poll wait_for_more(struct mini_io *io, struct mini_context cx) {
    io->task = cx.task;
    if (!io->active && !io->starved) mini_io_start(io);
    return MINI_PENDING;
}

/* Whether the kernel has let go. */
static bool is_stopped(struct mini_io *io, struct mini_context cx) {
    io->task = cx.task;
    if (io->active)
        mini_io_stop(io); /* may reap, so IO may be starved now */
    else if (io->watched)
        mini_self->io.backend->stop(&mini_self->io, io);
    if (io->starved) mini_list_remove(&io->link);
    io->starved = false;
    return !io->active && !io->watched;
}

/* ---- connections ---- */

/* Completions that follow a cancel must not be lost, so room is made for as
 * many as come; each is a descriptor, and their number is limited. */
static void accepted(struct mini_io *io, long result) {
    struct mini_accept_stream *stream =
        MINI_CONTAINER(io, struct mini_accept_stream, io);
    int *fds = realloc(stream->fds, (io->done + 1) * sizeof *fds);
    if (fds) stream->fds = fds;
    if (!fds && result >= 0) {
        close((int)result); /* the peer sees a reset, we see the reason */
        result = -ENOMEM;
    }
    if (result >= 0)
        fds[io->done++] = (int)result;
    else if (result != -ECANCELED)
        io->error = result;
    tell(io, MINI_STREAM_HIGH);
}

static MINI_POLL(accept_poll) {
    struct mini_accept_stream *self = MINI_SELF(struct mini_accept_stream);
    long error = self->io.error;
    if (cx.cancel) return finish(&self->io, -ECANCELED);
    if (self->io.done > 0) {
        int first = self->fds[0];
        memmove(self->fds, self->fds + 1, --self->io.done * sizeof first);
        return finish(&self->io, first);
    }
    self->io.multishot = mini_self->io.features & MINI_MULTISHOT;
    if (error == 0) return wait_for_more(&self->io, cx);
    self->io.error = 0;
    return finish(&self->io, error);
}

static MINI_POLL(accept_end_poll) {
    struct mini_accept_stream *self = MINI_SELF(struct mini_accept_stream);
    if (!is_stopped(&self->io, cx)) return MINI_PENDING;
    while (self->io.done > 0) close(self->fds[--self->io.done]);
    free(self->fds);
    mini_accept_stream(self, self->io.fd);
    return finish(&self->io, 0);
}

void mini_accept_stream(struct mini_accept_stream *slot, int fd) {
    (void)MINI_IO(
        &slot->io, MINI_OP_ACCEPT, fd, NULL, 0, 0, .notify = accepted);
    slot->fds = NULL;
}

struct mini_future *mini_accept_next(struct mini_accept_stream *stream) {
    stream->io.future = MINI_FUTURE(accept_poll, "mini_accept_next");
    return &stream->io.future;
}

struct mini_future *mini_accept_end(struct mini_accept_stream *stream) {
    stream->io.future = MINI_FUTURE(accept_end_poll, "mini_accept_end");
    return &stream->io.future;
}

/* ---- what is received ---- */

static void starve(struct mini_io *io) {
    io->starved = true;
    mini_self->stats.starved++;
    mini_list_push(&mini_self->io.buffers->starved, &io->link);
}

/* The backend has already put the buffer, if there is one, into the stream. A
 * stream that has buffers does not wait in line for more: others have none. A
 * stream whose peer fills them gets one at a time, not multishot, so that a
 * flood does not take them all: the kernel would fill any number of them before
 * it hears that this is enough. */
static void received(struct mini_io *io, long result) {
    if (result == -ENOBUFS && io->done == 0) {
        starve(io);
    } else if (result <= 0 && result != -ECANCELED && result != -ENOBUFS) {
        io->error = result;
    } else if (result > 0) {
        io->multishot = result < MINI_BUFFER_BYTES;
    }
    tell(io, io->multishot ? MINI_STREAM_HIGH_BUFFERS : 1);
}

static struct mini_buffer *take_oldest(struct mini_io *io) {
    struct mini_buffer *newest = io->newest, *oldest = newest->next;
    newest->next = oldest->next;
    if (--io->done == 0) io->newest = NULL;
    return oldest;
}

static MINI_POLL(recv_poll) {
    struct mini_recv_stream *self = MINI_SELF(struct mini_recv_stream);
    if (cx.cancel) return finish(&self->io, -ECANCELED);
    if (self->io.done > 0) {
        self->lease = take_oldest(&self->io);
        return finish(&self->io, self->lease->length);
    }
    if (self->io.error <= 0) return finish(&self->io, self->io.error);
    if (mini_buffers_need(&mini_self->io) < 0)
        return finish(&self->io, -ENOMEM);
    if (!self->io.active && !self->io.starved &&
        !mini_list_empty(&mini_self->io.buffers->starved))
        starve(&self->io); /* others have come first */
    return wait_for_more(&self->io, cx);
}

static MINI_POLL(recv_end_poll) {
    struct mini_recv_stream *self = MINI_SELF(struct mini_recv_stream);
    if (!is_stopped(&self->io, cx)) return MINI_PENDING;
    while (self->io.done > 0) mini_lease_return(take_oldest(&self->io));
    return finish(&self->io, 0);
}

void mini_recv_stream(struct mini_recv_stream *slot, int fd) {
    (void)MINI_IO(
        &slot->io, MINI_OP_RECV_LEASE, fd, NULL, 0, 1, .notify = received);
    slot->lease = NULL;
}

struct mini_future *mini_recv_next(struct mini_recv_stream *stream) {
    stream->io.future = MINI_FUTURE(recv_poll, "mini_recv_next");
    return &stream->io.future;
}

struct mini_future *mini_recv_end(struct mini_recv_stream *stream) {
    stream->io.future = MINI_FUTURE(recv_end_poll, "mini_recv_end");
    return &stream->io.future;
}
