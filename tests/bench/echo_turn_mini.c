/* SPDX-License-Identifier: MIT */
/* One request of an echo server, to count instructions: a task that sends 64
 * bytes and receives them, and one that receives and sends them back as the
 * example echo does, over a TCP connection, W of those.
 *     echo_turn_mini W */
#include "miniss.h"

#include "bench.h"

#include <netinet/in.h>
#include <sys/socket.h>

#define SIZE 64

static struct bench bench;
static bool running = true;
static uint64_t echoes, per_slice;
static unsigned pairs;

struct server {
    struct mini_future future;
    struct mini_recv_stream stream;
    int fd;
};

static MINI_POLL(server) {
    struct server *self = MINI_SELF(struct server);
    struct mini_recv_stream *stream = &self->stream;
    MINI_BEGIN;
    mini_recv_stream(stream, self->fd);
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

struct client {
    struct mini_future future;
    struct mini_io io;
    int fd;
    char buffer[SIZE];
};

static MINI_POLL(client) {
    struct client *self = MINI_SELF(struct client);
    MINI_BEGIN;
    while (running) {
        MINI_AWAIT(mini_send_all(&self->io, self->fd, self->buffer, SIZE));
        if (MINI_RESULT != SIZE) exit(1);
        MINI_AWAIT(mini_recv(&self->io, self->fd, self->buffer, SIZE));
        if (MINI_RESULT != SIZE) exit(1);
        if (++echoes % per_slice == 0) running = bench_lap(&bench, per_slice);
    }
    MINI_END(0);
}

struct program {
    struct mini_future future;
    struct mini_join join;
    struct mini_task **tasks;
    unsigned i;
    int listener;
};

static int connection(int listener) {
    struct sockaddr_in address;
    socklen_t length = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (getsockname(listener, (struct sockaddr *)&address, &length) < 0 ||
        connect(fd, (struct sockaddr *)&address, length) < 0)
        exit(1);
    return fd;
}

static MINI_POLL(program) {
    struct program *self = MINI_SELF(struct program);
    MINI_BEGIN;
    bench_start(&bench);
    for (unsigned i = 0; i < pairs; i++) {
        int fd = connection(self->listener);
        self->tasks[i] = MINI_SPAWN(struct client, client, .fd = fd);
        fd = accept(self->listener, NULL, NULL);
        if (fd < 0) exit(1);
        mini_detach(MINI_SPAWN(struct server, server, .fd = fd));
    }
    for (self->i = 0; self->i < pairs; self->i++)
        MINI_AWAIT(mini_join(&self->join, self->tasks[self->i]));
    MINI_END(0);
}

int main(int argc, char **argv) {
    struct program frame;
    pairs = bench_number(argc, argv, 1);
    per_slice = 2000;
    struct mini_task **tasks = calloc(pairs, sizeof *tasks);
    if (!tasks) return 1;
    bench_init(&bench, CLOCK_THREAD_CPUTIME_ID);
    if (mini_run(MINI_CALL(struct program, &frame, program, .tasks = tasks,
                     .listener = mini_listen("127.0.0.1", 0, false)),
            NULL) < 0)
        return 1;
    bench_print(&bench);
    return 0;
}
