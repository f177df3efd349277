/* SPDX-License-Identifier: MIT */
/* The example echo, on one shard that looks for work for a second before it
 * sleeps: for the latency of a server that has a CPU to itself. */
#include "examples/service.h"

struct conn {
    struct mini_future future;
    struct mini_recv_stream stream;
};

static MINI_POLL(echo) {
    struct conn *self = MINI_SELF(struct conn);
    struct mini_recv_stream *stream = &self->stream;
    MINI_BEGIN;
    for (;;) {
        MINI_AWAIT(mini_recv_next(stream));
        if (MINI_RESULT <= 0) break;
        MINI_AWAIT(mini_send_all(&stream->lease->io, stream->io.fd,
            stream->lease->data, stream->lease->length));
        mini_lease_return(stream->lease);
        if (MINI_RESULT < 0) break;
    }
    MINI_AWAIT_SHIELDED(mini_recv_end(stream));
    MINI_END(0);
}

static struct mini_future *serve(void *frame, int fd, void *arg) {
    struct conn *conn = frame;
    (void)arg;
    mini_recv_stream(&conn->stream, fd);
    return MINI_CALL(struct conn, conn, echo, .stream = conn->stream);
}

int main(void) {
    struct mini_options run = {.shards = 1, .spin = MINI_SECOND};
    struct mini_server_options server = {
        .host = "127.0.0.1", .frame = sizeof(struct conn), .serve = serve};
    struct service frame;
    return run_program("echo_spin_mini",
        MINI_CALL(struct service, &frame, service, .program = "echo_spin_mini",
            .options = server),
        &run);
}
