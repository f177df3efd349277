/* SPDX-License-Identifier: MIT */
/* A client for echo: C connections at once, M messages of S bytes on each. It
 * checks every byte that comes back.
 *     echo_client --port P [--host H] [--connections C] [--messages M]
 *                 [--size S] */
#include "service.h"

#include <arpa/inet.h>
#include <getopt.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

/* The client sends a whole message before it reads: sockets must hold it. */
#define SIZE_MOST (64 * 1024)

static struct sockaddr_in server = {.sin_family = AF_INET};
static unsigned connections = 10, messages = 100, size = 64;
static const char *failure, *advice; /* the first one, and what to do */

struct client {
    struct mini_future future;
    struct mini_io io;
    unsigned number, message, got;
    int fd;
    bool ok;
    char *sent, *received;
};

/* Bytes that tell one message of one connection from all others. */
static void fill(struct client *self) {
    for (unsigned i = 0; i < size; i++)
        self->sent[i] =
            (char)(self->number * 31 + self->message * 7 + i * 13 + i / 251);
}

static mini_poll client(struct mini_future *future, struct mini_context cx) {
    struct client *self = MINI_SELF(struct client);
    MINI_BEGIN;
    self->sent = malloc(size);
    self->received = malloc(size);
    self->fd = socket(AF_INET, SOCK_STREAM, 0);
    future->result = -errno;
    if (self->fd < 0 || !self->sent || !self->received) goto end;
    setsockopt(self->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    MINI_AWAIT(mini_connect(
        &self->io, self->fd, (const struct sockaddr *)&server, sizeof server));
    if (MINI_RESULT < 0) goto end;
    for (self->message = 0; self->message < messages; self->message++) {
        fill(self);
        MINI_AWAIT(mini_send_all(&self->io, self->fd, self->sent, size));
        for (self->got = 0; MINI_RESULT >= 0 && self->got < size;) {
            MINI_AWAIT(mini_recv(&self->io, self->fd,
                self->received + self->got, size - self->got));
            if (MINI_RESULT <= 0) goto end;
            self->got += (unsigned)MINI_RESULT;
        }
        if (MINI_RESULT < 0 || memcmp(self->sent, self->received, size) != 0)
            goto end;
    }
    self->ok = true;
end:
    if (!self->ok && !failure) {
        failure = MINI_RESULT < 0 ? strerror((int)-MINI_RESULT)
                                  : "not all came back, or something else";
        advice = remedy(MINI_RESULT);
    }
    if (self->fd >= 0) MINI_AWAIT_SHIELDED(mini_close(&self->io, self->fd));
    free(self->sent);
    free(self->received);
    MINI_END(self->ok);
}

struct program {
    struct mini_future future;
    struct mini_task **tasks;
    struct mini_join join;
    unsigned n, good;
    uint64_t start;
};

static mini_poll program(struct mini_future *future, struct mini_context cx) {
    struct program *self = MINI_SELF(struct program);
    MINI_BEGIN;
    self->start = mini_now();
    for (self->n = 0; self->n < connections; self->n++)
        self->tasks[self->n] =
            MINI_SPAWN(struct client, client, .number = self->n);
    for (self->n = 0; self->n < connections; self->n++) {
        MINI_AWAIT(mini_join(&self->join, self->tasks[self->n]));
        self->good += MINI_RESULT == 1;
    }
    printf("%u of %u connections: %u messages of %u bytes echoed on each "
           "(%s, %" PRIu64 " ms)\n",
        self->good, connections, messages, size, mini_io_name(),
        (mini_now() - self->start) / MINI_MS);
    if (failure) fprintf(stderr, "echo_client: %s%s\n", failure, advice);
    MINI_END(self->good == connections ? 0 : -EIO);
}

static unsigned number(const char *option, const char *text, unsigned max) {
    char *end;
    long value = strtol(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || value < 1 || value > (long)max) {
        fprintf(stderr, "echo_client: --%s takes 1 to %u, not '%s'\n", option,
            max, text);
        exit(2);
    }
    return (unsigned)value;
}

static void usage(void) {
    fputs("usage: echo_client --port P [--host IPv4] [--connections C] "
          "[--messages M] [--size S]\n",
        stderr);
    exit(2);
}

int main(int argc, char **argv) {
    static const struct option names[] = {{"port", required_argument, 0, 'p'},
        {"host", required_argument, 0, 'h'},
        {"connections", required_argument, 0, 'c'},
        {"messages", required_argument, 0, 'm'},
        {"size", required_argument, 0, 's'}, {0}};
    const char *host = "127.0.0.1";
    struct program frame;
    opterr = 0; /* one line says it all: usage */
    for (int c; (c = getopt_long(argc, argv, "", names, NULL)) != -1;) {
        if (c == 'p')
            server.sin_port = htons((uint16_t)number("port", optarg, 65535));
        else if (c == 'h')
            host = optarg;
        else if (c == 'c')
            connections = number("connections", optarg, 100000);
        else if (c == 'm')
            messages = number("messages", optarg, 1000000000);
        else if (c == 's')
            size = number("size", optarg, SIZE_MOST);
        else
            usage();
    }
    if (server.sin_port == 0 || optind < argc ||
        inet_pton(AF_INET, host, &server.sin_addr) != 1)
        usage();
    struct mini_task **tasks = calloc(connections, sizeof *tasks);
    if (!tasks) return 1;
    int status = run_program("echo_client",
        MINI_CALL(struct program, &frame, program, .tasks = tasks), NULL);
    free(tasks);
    return status;
}
