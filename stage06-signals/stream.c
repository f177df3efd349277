/* SPDX-License-Identifier: MIT */
/* Streams of connections over multishot accept. See stream.h. */
#include "stream.h"

#include <stdlib.h>
#include <unistd.h>

/* The completions that follow a cancel are not to be lost, so room is made for
 * as many as come; each is a descriptor, so there is a limit to that. */
static bool keep(struct mini_accept_stream *stream, int fd) {
    if (stream->first == stream->count) stream->first = stream->count = 0;
    if (stream->count == stream->room) {
        size_t room = stream->room ? stream->room * 2 : MINI_STREAM_HIGH;
        int *fds = realloc(stream->fds, room * sizeof *fds);
        if (!fds) return false;
        stream->fds = fds;
        stream->room = room;
    }
    stream->fds[stream->count++] = fd;
    return true;
}

static void accepted(struct mini_io *io, long result) {
    struct mini_accept_stream *stream =
        MINI_CONTAINER(io, struct mini_accept_stream, io);
    if (result >= 0 && !keep(stream, (int)result)) {
        close((int)result); /* the peer sees a reset, we see the reason */
        stream->error = -ENOMEM;
    } else if (result == -EINVAL && io->multishot) {
        mini_self->io->single_shot = true; /* a kernel before 5.19 */
    } else if (result < 0 && result != -ECANCELED) {
        stream->error = result;
    }
    if (io->active && stream->count - stream->first >= MINI_STREAM_HIGH)
        mini_io_stop(io);
    if (stream->task) mini_wake(stream->task);
}

static mini_poll finish(struct mini_accept_stream *stream, long result) {
    stream->task = NULL;
    return mini_ready(&stream->future, result);
}

static MINI_POLL(next_poll) {
    struct mini_accept_stream *self =
        MINI_CONTAINER(future, struct mini_accept_stream, future);
    if (cx.cancel) return finish(self, -ECANCELED);
    if (self->first < self->count)
        return finish(self, self->fds[self->first++]);
    if (self->error < 0) {
        long error = self->error;
        self->error = 0;
        return finish(self, error);
    }
    self->task = cx.task;
    self->io.multishot = !mini_self->io->single_shot;
    if (!self->io.active) mini_io_start(&self->io);
    return MINI_PENDING;
}

static MINI_POLL(end_poll) {
    struct mini_accept_stream *self =
        MINI_CONTAINER(future, struct mini_accept_stream, future);
    self->task = cx.task;
    if (self->io.active) mini_io_stop(&self->io);
    if (self->io.active) return MINI_PENDING;
    while (self->first < self->count) close(self->fds[self->first++]);
    free(self->fds);
    self->fds = NULL;
    self->first = self->count = self->room = 0;
    return finish(self, 0);
}

void mini_accept_stream(struct mini_accept_stream *slot, int fd) {
    *slot = (struct mini_accept_stream){0};
    mini_accept(&slot->io, fd);
    slot->io.notify = accepted;
}

struct mini_future *mini_accept_next(struct mini_accept_stream *stream) {
    stream->future = MINI_FUTURE(next_poll, "mini_accept_next");
    return &stream->future;
}

struct mini_future *mini_accept_end(struct mini_accept_stream *stream) {
    stream->future = MINI_FUTURE(end_poll, "mini_accept_end");
    return &stream->future;
}
