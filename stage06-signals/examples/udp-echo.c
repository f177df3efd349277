/* SPDX-License-Identifier: MIT */
/* Sends every datagram back to where it came from:
 *     udp-echo --port P [--host H]
 * With --port 0 it takes a free port. When datagrams can reach it, it prints
 * where it listens. */
#include "service.h"
#include "timer.h"
#include "udp.h"

#include <getopt.h>
#include <unistd.h>

#define BYTES 65536 /* more than a datagram can have */
#define ECHOES 8 /* datagrams that are dealt with at once */
#define PAUSE (10 * MINI_MS)

struct echo {
    struct mini_future future;
    struct mini_datagram in, out;
    struct mini_sleep pause;
    int fd;
    char buffer[BYTES];
};

/* Nobody promises that a datagram arrives. So one that cannot be sent back is
 * lost, and no reason to end; nor is a lack of memory, which passes. */
static MINI_POLL(echo) {
    struct echo *self = MINI_SELF(struct echo);
    MINI_BEGIN;
    for (;;) {
        MINI_AWAIT(mini_recv_from(&self->in, self->fd, self->buffer, BYTES));
        if (MINI_RESULT == -ECANCELED) break;
        if (MINI_RESULT < 0)
            MINI_AWAIT(mini_sleep(&self->pause, PAUSE));
        else
            MINI_AWAIT(mini_send_to(&self->out, self->fd, self->buffer,
                (size_t)MINI_RESULT, (const struct sockaddr *)&self->in.peer,
                self->in.header.msg_namelen));
    }
    MINI_END(0);
}

struct program {
    struct mini_future future;
    const char *host;
    unsigned port, n;
    int fd;
    struct mini_task *echoes[ECHOES];
    struct mini_join join;
};

static MINI_POLL(program) {
    struct program *self = MINI_SELF(struct program);
    MINI_BEGIN;
    self->fd = mini_bind(self->host, self->port, SOCK_DGRAM, false);
    if (self->fd < 0)
        MINI_RETURN(
            cannot_listen("udp-echo", self->host, self->port, self->fd));
    say_listening(self->host, (unsigned)mini_port_of(self->fd));
    for (self->n = 0; self->n < ECHOES; self->n++)
        self->echoes[self->n] = MINI_SPAWN(struct echo, echo, .fd = self->fd);
    for (self->n = 0; self->n < ECHOES; self->n++)
        MINI_AWAIT(mini_join(&self->join, self->echoes[self->n]));
    close(self->fd);
    MINI_END(MINI_RESULT);
}

static void usage(void) {
    fputs("usage: udp-echo [--port P (0: a free one)] [--host H]\n", stderr);
    exit(2);
}

int main(int argc, char **argv) {
    static const struct option names[] = {{"port", required_argument, 0, 'p'},
        {"host", required_argument, 0, 'h'}, {0}};
    struct program frame;
    const char *host = "127.0.0.1";
    unsigned port = 0;
    opterr = 0; /* one line says it all: usage */
    for (int c; (c = getopt_long(argc, argv, "", names, NULL)) != -1;) {
        if (c == 'p')
            port = option_number("udp-echo", "port", optarg, 65535);
        else if (c == 'h')
            host = optarg;
        else
            usage();
    }
    if (optind < argc) usage();
    return run_program("udp-echo",
        MINI_CALL(struct program, &frame, program, .host = host, .port = port),
        NULL);
}
