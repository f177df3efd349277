/* SPDX-License-Identifier: MIT */
/* A TCP echo server on all shards:
 *     echo --port P --shards N [--host H] [--accept spread|reuseport]
 * With --port 0 it takes a free port. When peers can connect, it prints where
 * it listens. In stage 6, SIGTERM and SIGINT end it gracefully. */
#include "service.h"

#include <getopt.h>

struct conn {
    struct mini_future future;
    struct mini_recv_stream stream;
};

/* What has come lies in a leased buffer, which includes the operation that
 * sends it back: while nothing comes, a connection has neither. */
static mini_poll echo(struct mini_future *future, struct mini_context cx) {
    struct conn *self = MINI_SELF(struct conn);
    struct mini_recv_stream *stream = &self->stream;
    MINI_BEGIN;
    for (;;) {
        MINI_AWAIT(mini_recv_next(stream));
        if (MINI_RESULT <= 0)
            break; /* the end of the stream, a reset, or cancelled */
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

static void usage(void) {
    fputs("usage: echo [--port P (0: a free one)] [--shards N (0: one a CPU)] "
          "[--host H] [--accept spread|reuseport]\n",
        stderr);
    exit(2);
}

int main(int argc, char **argv) {
    static const struct option names[] = {{"port", required_argument, 0, 'p'},
        {"shards", required_argument, 0, 's'},
        {"host", required_argument, 0, 'h'},
        {"accept", required_argument, 0, 'a'}, {0}};
    struct mini_options run = {0};
    struct mini_server_options server = {
        .host = "127.0.0.1", .frame = sizeof(struct conn), .serve = serve};
    struct service frame;
    opterr = 0; /* one line says it all: usage */
    for (int c; (c = getopt_long(argc, argv, "", names, NULL)) != -1;) {
        if (c == 'p')
            server.port = option_number("echo", "port", optarg, 65535);
        else if (c == 's')
            run.shards = option_number("echo", "shards", optarg, 1024);
        else if (c == 'h')
            server.host = optarg;
        else if (c == 'a')
            server.accept = option_accept("echo", optarg);
        else
            usage();
    }
    if (optind < argc) usage();
    return run_program("echo",
        MINI_CALL(struct service, &frame, service, .program = "echo",
            .options = server),
        &run);
}
