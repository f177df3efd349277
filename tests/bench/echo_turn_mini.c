/* SPDX-License-Identifier: MIT */
/* One request of an echo server, to count instructions: a task that sends 64
 * bytes and receives them, and one that receives and sends them back, over a
 * pair of sockets, W of such pairs.
 *     echo_turn_mini W */
#include "miniss.h"

#include "bench.h"

#define SIZE 64

static struct bench bench;
static bool running = true;
static uint64_t echoes, per_slice;
static unsigned pairs;

struct peer {
    struct mini_future future;
    struct mini_io io;
    int fd;
    char buffer[4096];
};

static MINI_POLL(server) {
    struct peer *self = MINI_SELF(struct peer);
    MINI_BEGIN;
    for (;;) {
        MINI_AWAIT(
            mini_recv(&self->io, self->fd, self->buffer, sizeof self->buffer));
        if (MINI_RESULT <= 0) break;
        MINI_AWAIT(mini_send_all(
            &self->io, self->fd, self->buffer, (size_t)MINI_RESULT));
        if (MINI_RESULT < 0) break;
    }
    MINI_END(0);
}

static MINI_POLL(client) {
    struct peer *self = MINI_SELF(struct peer);
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
};

static MINI_POLL(program) {
    struct program *self = MINI_SELF(struct program);
    MINI_BEGIN;
    bench_start(&bench);
    for (unsigned i = 0; i < pairs; i++) {
        int fds[2];
        if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) < 0) exit(1);
        mini_detach(MINI_SPAWN(struct peer, server, .fd = fds[0]));
        self->tasks[i] = MINI_SPAWN(struct peer, client, .fd = fds[1]);
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
    if (mini_run(MINI_CALL(struct program, &frame, program, .tasks = tasks),
            NULL) < 0)
        return 1;
    bench_print(&bench);
    return 0;
}
