/* SPDX-License-Identifier: MIT */
/* A TCP echo server on all shards:
 *     echo --port P --shards N [--host H] [--accept spread|reuseport]
 * With --port 0 it takes a free port. It says where it listens when peers can
 * connect. In stage 6, SIGTERM and SIGINT end it gracefully. */
#include "miniss.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct conn {
    struct mini_future future;
    struct mini_recv_stream stream;
};

/* What has come lies in a leased buffer, which has room for the operation that
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

struct program {
    struct mini_future future;
    struct mini_server server;
    struct mini_server_options options;
    bool runs; /* the runtime has started */
};

static mini_poll program(struct mini_future *future, struct mini_context cx) {
    struct program *self = MINI_SELF(struct program);
    MINI_BEGIN;
    self->runs = true;
    int error = mini_server_open(&self->server, &self->options);
    if (error < 0) {
        fprintf(stderr, "echo: cannot listen on %s:%u: %s\n",
            self->options.host, self->options.port, strerror(-error));
        MINI_RETURN(error);
    }
    printf("listening on %s:%u (%s; %u shards)\n", self->options.host,
        self->server.port, mini_io_describe(), mini_shard_count());
    fflush(stdout);
    MINI_AWAIT(mini_serve(&self->server));
    MINI_END(MINI_RESULT == -ECANCELED ? 0 : MINI_RESULT);
}

static unsigned number(const char *option, const char *text, unsigned max) {
    char *end;
    long value = strtol(text, &end, 10);
    if (end == text || *end || value < 0 || value > (long)max) {
        fprintf(stderr, "echo: --%s takes a number from 0 to %u, not '%s'\n",
            option, max, text);
        exit(2);
    }
    return (unsigned)value;
}

static enum mini_accept_policy policy(const char *text) {
    if (strcmp(text, "spread") == 0) return MINI_ACCEPT_SPREAD;
    if (strcmp(text, "reuseport") == 0) return MINI_ACCEPT_REUSEPORT;
    fprintf(stderr, "echo: --accept is spread or reuseport, not '%s'\n", text);
    exit(2);
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
    struct program frame;
    opterr = 0; /* one line says it all: usage */
    for (int c; (c = getopt_long(argc, argv, "", names, NULL)) != -1;) {
        if (c == 'p')
            server.port = number("port", optarg, 65535);
        else if (c == 's')
            run.shards = number("shards", optarg, 1024);
        else if (c == 'h')
            server.host = optarg;
        else if (c == 'a')
            server.accept = policy(optarg);
        else
            usage();
    }
    if (optind < argc) usage();
    long result = mini_run(
        MINI_CALL(struct program, &frame, program, .options = server), &run);
    if (result < 0 && !frame.runs && result != -EPERM && result != -ENOSYS &&
        result != -EINVAL) /* of the I/O backend, which has said why */
        fprintf(stderr, "echo: cannot start: %s\n", strerror((int)-result));
    return result == 0 ? 0 : 1;
}
