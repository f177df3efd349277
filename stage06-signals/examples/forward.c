/* SPDX-License-Identifier: MIT */
/* Forwards every connection to another address, both directions at once:
 *     forward --port P --to HOST:PORT [--shards N] [--host H]
 *             [--accept spread|reuseport]
 * When one side ends its direction (EOF), the forwarder does the same towards
 * the other side, and the opposite direction goes on: a half-close stays one.
 * When one side resets, the other sees a reset, too. */
#include "offload.h"
#include "service.h"
#include "timer.h"

#include <fcntl.h>
#include <getopt.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

#define PATIENCE (10 * MINI_SECOND) /* for an address to answer */

/* ---- the target ---- */

/* Looked up once, by program; then only read, by all shards. */
static struct target {
    char *host, *port;
    int error; /* of getaddrinfo */
    struct addrinfo *addresses;
} target;

/* On a helper thread: a name server may take its time. */
static long look_up(void *arg) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct target *self = arg;
    self->error = getaddrinfo(self->host, self->port, &hints, &self->addresses);
    return 0;
}

/* ---- a connection ---- */

/* One direction. */
struct pump {
    struct mini_future future;
    struct mini_recv_stream from;
    int to;
    struct mini_io io;
    long end; /* why it ended: 0, or an errno */
};

/* It asks for more only when all has been sent, so a slow reader slows down the
 * sender. */
static MINI_POLL(pump) {
    struct pump *self = MINI_SELF(struct pump);
    struct mini_recv_stream *from = &self->from;
    MINI_BEGIN;
    for (;;) {
        MINI_AWAIT(mini_recv_next(from));
        if (MINI_RESULT <= 0) break;
        MINI_AWAIT(mini_send_all(&from->lease->io, self->to, from->lease->data,
            from->lease->length));
        mini_lease_return(from->lease);
        if (MINI_RESULT < 0) break;
    }
    self->end = MINI_RESULT;
    MINI_AWAIT_SHIELDED(mini_recv_end(from));
    if (self->end == 0)
        MINI_AWAIT(mini_shutdown_socket(&self->io, self->to, SHUT_WR));
    MINI_END(self->end);
}

/* Both directions. */
struct pair {
    struct mini_future future;
    struct pump pumps[2];
    bool failed; /* one of them */
};

/* Runs until both have ended; if one fails, the other is cancelled. It polls
 * each twice, so that the first is cancelled at once when the second fails. */
static MINI_POLL(pump_both) {
    struct pair *self = MINI_SELF(struct pair);
    int ended = 0;
    for (int i = 0; i < 4; i++) {
        struct pump *it = &self->pumps[i % 2];
        struct mini_context now = {cx.task, cx.cancel || self->failed};
        if (i == 2) ended = 0;
        if (!mini_drive(&it->future, now)) continue;
        ended++;
        self->failed |= it->end < 0;
    }
    if (ended < 2) return MINI_PENDING;
    return mini_ready(future, self->failed ? -EIO : 0);
}

struct conn {
    struct mini_future future;
    int client, server;
    const struct addrinfo *address; /* the one being tried */
    union { /* first to connect, then to pump */
        struct {
            struct mini_io io;
            struct mini_timeout timeout;
        };
        struct pair pair;
    };
};

static int open_socket(const struct addrinfo *address) {
    int on = 1, fd = socket(address->ai_family, SOCK_STREAM, 0);
    if (fd < 0) return -errno;
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

static struct mini_future *begin_pair(struct conn *self) {
    struct pair *pair = &self->pair;
    int ends[2] = {self->client, self->server};
    (void)MINI_CALL(struct pair, pair, pump_both);
    for (int i = 0; i < 2; i++) {
        (void)MINI_CALL(struct pump, &pair->pumps[i], pump, .to = ends[1 - i]);
        mini_recv_stream(&pair->pumps[i].from, ends[i]);
    }
    return &pair->future;
}

/* Makes the close of FD a reset: a peer that has not been sent everything must
 * not think that it has. */
static void make_reset(int fd) {
    struct linger none = {.l_onoff = 1, .l_linger = 0};
    if (fd >= 0) setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
}

static MINI_POLL(forward) {
    struct conn *self = MINI_SELF(struct conn);
    MINI_BEGIN;
    for (self->address = target.addresses; self->address;
         self->address = self->address->ai_next) {
        self->server = open_socket(self->address);
        future->result = self->server;
        if (self->server >= 0)
            MINI_AWAIT(mini_timeout(&self->timeout,
                mini_connect(&self->io, self->server, self->address->ai_addr,
                    self->address->ai_addrlen),
                PATIENCE));
        if (MINI_RESULT == 0 || MINI_RESULT == -ECANCELED) break;
        if (self->server >= 0) close(self->server);
        self->server = -1;
    }
    if (MINI_RESULT == 0)
        MINI_AWAIT(begin_pair(self));
    else if (MINI_RESULT != -ECANCELED)
        fprintf(stderr, "forward: cannot connect to %s:%s: %s%s\n", target.host,
            target.port, strerror((int)-MINI_RESULT), remedy(MINI_RESULT));
    if (MINI_RESULT < 0) {
        make_reset(self->client);
        make_reset(self->server);
    }
    if (self->server >= 0) close(self->server); /* of a socket: no wait */
    MINI_END(0);
}

static struct mini_future *serve(void *frame, int fd, void *arg) {
    struct conn *conn = frame;
    (void)arg;
    return MINI_CALL(struct conn, conn, forward, .client = fd, .server = -1);
}

/* ---- the program ---- */

struct program {
    struct mini_future future;
    struct mini_io io;
    struct mini_server_options options;
    struct service service;
};

static MINI_POLL(program) {
    struct program *self = MINI_SELF(struct program);
    MINI_BEGIN;
    MINI_AWAIT(mini_offload(&self->io, look_up, &target));
    if (MINI_RESULT == -ECANCELED) MINI_RETURN(0);
    if (MINI_RESULT < 0 || target.error) {
        fprintf(stderr, "forward: cannot look up %s: %s\n", target.host,
            target.error ? gai_strerror(target.error)
                         : strerror((int)-MINI_RESULT));
        MINI_RETURN(-EADDRNOTAVAIL);
    }
    MINI_AWAIT(MINI_CALL(struct service, &self->service, service,
        .program = "forward", .options = self->options));
    MINI_END(MINI_RESULT);
}

static void usage(void) {
    fputs("usage: forward --to HOST:PORT [--port P (0: a free one)] [--shards "
          "N (0: one a CPU)] [--host H] [--accept spread|reuseport]\n",
        stderr);
    exit(2);
}

/* HOST:PORT, or [HOST]:PORT where HOST has colons itself. */
static void split(char *text) {
    char *colon = strrchr(text, ':');
    if (!colon || colon == text) usage();
    target.host = text;
    target.port = colon + 1;
    option_number("forward", "to HOST:PORT", target.port, 65535);
    if (*text == '[' && colon[-1] == ']') {
        target.host++;
        colon--;
    }
    *colon = '\0';
}

int main(int argc, char **argv) {
    static const struct option names[] = {{"to", required_argument, 0, 't'},
        {"port", required_argument, 0, 'p'},
        {"shards", required_argument, 0, 's'},
        {"host", required_argument, 0, 'h'},
        {"accept", required_argument, 0, 'a'}, {0}};
    struct mini_options run = {0};
    struct mini_server_options server = {
        .host = "127.0.0.1", .frame = sizeof(struct conn), .serve = serve};
    struct program frame;
    opterr = 0; /* one line says it all: usage */
    for (int c; (c = getopt_long(argc, argv, "", names, NULL)) != -1;) {
        if (c == 't')
            split(optarg);
        else if (c == 'p')
            server.port = option_number("forward", "port", optarg, 65535);
        else if (c == 's')
            run.shards = option_number("forward", "shards", optarg, 1024);
        else if (c == 'h')
            server.host = optarg;
        else if (c == 'a')
            server.accept = option_accept("forward", optarg);
        else
            usage();
    }
    if (!target.host || optind < argc) usage();
    int status = run_program("forward",
        MINI_CALL(struct program, &frame, program, .options = server), &run);
    if (target.addresses) freeaddrinfo(target.addresses);
    return status;
}
