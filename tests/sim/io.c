/* SPDX-License-Identifier: MIT */
/* Workloads of I/O and of signals. See sim.h. */
#include "sim.h"

#include <netinet/in.h>
#include <signal.h>
#include <unistd.h>

#if STAGE >= 5
#define CLIENTS 6
#define BYTES 300 /* most that a client sends */

/* A short wait for some; who goes on after it must have lost nothing. */
static struct mini_future *patiently(
    struct mini_timeout *slot, struct mini_future *inner) {
    return sim_chance(3) ? mini_timeout(slot, inner, sim_random(200000))
                         : inner;
}

static bool is_terminated; /* the run ends by a signal */

static bool is_broken(long result) {
    if (is_terminated) return true;
    return sim_faults > 0 &&
        (result == 0 || result == -ECONNRESET || result == -EPIPE ||
            result == -ECONNREFUSED || result == -ENOTCONN);
}

/* When a shard has ended, each of its buffers is free or lent to the kernel;
 * what is not was leased and never given back. */
void __real_mini_buffers_destroy(struct mini_io_shard *io);
void __wrap_mini_buffers_destroy(struct mini_io_shard *io);
void __wrap_mini_buffers_destroy(struct mini_io_shard *io) {
    const struct mini_buffers *buffers = io->buffers;
    unsigned out = buffers ? buffers->used - buffers->lent : 0;
    if (buffers) out -= buffers->free_count;
    SIM_CHECK(out == 0, "%u leases were not given back", out);
    __real_mini_buffers_destroy(io);
}

/* ---- the server's side of a connection ---- */

struct conn {
    struct mini_future future;
    struct mini_recv_stream stream;
    struct mini_timeout timeout;
    struct mini_io io;
    struct mini_sleep sleep;
    int fd;
    bool zero_copy;
    size_t got;
    char data[40];
};

static unsigned serving;

/* What the runtime is to get over by itself is not a result. */
static bool is_the_end(long result) {
    SIM_CHECK(result >= 0 || result == -ECONNRESET || result == -EPIPE ||
            result == -ECANCELED,
        "a connection of the server's ends with %ld", result);
    return result <= 0;
}

static MINI_POLL(serve_leases) {
    struct conn *self = MINI_SELF(struct conn);
    MINI_BEGIN;
    mini_recv_stream(&self->stream, self->fd);
    serving++;
    for (;;) {
        MINI_AWAIT(patiently(&self->timeout, mini_recv_next(&self->stream)));
        if (MINI_RESULT == -ETIMEDOUT) continue;
        if (is_the_end(MINI_RESULT)) break;
        if (sim_chance(4))
            MINI_AWAIT(mini_sleep(&self->sleep, sim_random(200000)));
        MINI_AWAIT(mini_send_all(&self->stream.lease->io, self->fd,
            self->stream.lease->data, self->stream.lease->length));
        mini_lease_return(self->stream.lease);
        if (is_the_end(MINI_RESULT)) break;
    }
    MINI_AWAIT_SHIELDED(mini_recv_end(&self->stream));
    serving--;
    MINI_END(0);
}

static MINI_POLL(serve_copies) {
    struct conn *self = MINI_SELF(struct conn);
    MINI_BEGIN;
    serving++;
    for (;;) {
        MINI_AWAIT(patiently(&self->timeout,
            mini_recv(&self->io, self->fd, self->data, sizeof self->data)));
        if (MINI_RESULT == -ETIMEDOUT) continue;
        if (is_the_end(MINI_RESULT)) break;
        self->got = (size_t)MINI_RESULT;
        while (self->zero_copy && self->got > 0 && MINI_RESULT > 0) {
            MINI_AWAIT(
                mini_send_zc(&self->io, self->fd, self->data, self->got));
            if (MINI_RESULT > 0)
                memmove(self->data, self->data + MINI_RESULT,
                    self->got -= (size_t)MINI_RESULT);
        }
        if (self->got > 0 && MINI_RESULT > 0)
            MINI_AWAIT(
                mini_send_all(&self->io, self->fd, self->data, self->got));
        if (is_the_end(MINI_RESULT)) break;
    }
    serving--;
    MINI_END(0);
}

static struct mini_future *serve(void *frame, int fd, void *arg) {
    struct conn *conn = frame;
    (void)arg;
    return sim_chance(2) ? MINI_CALL(struct conn, conn, serve_leases, .fd = fd)
                         : MINI_CALL(struct conn, conn, serve_copies, .fd = fd,
                               .zero_copy = sim_chance(2));
}

/* ---- a client ---- */

struct half { /* sends, or receives, all bytes of a client */
    struct mini_future future;
    struct mini_io io;
    struct mini_timeout timeout;
    struct client *client;
    size_t done;
    char data[BYTES];
};

struct client {
    struct mini_future future;
    struct mini_remote remote;
    struct mini_io io;
    struct mini_sleep sleep;
    struct half sends, receives;
    struct mini_future *both[2];
    struct mini_select select;
    struct sockaddr_in address;
    size_t bytes;
    int fd;
    bool gives_up; /* closes in the middle of it */
};

static char byte_at(struct client *self, size_t i) {
    return (char)(i * 7 + self->bytes);
}

static MINI_POLL(send_half) {
    struct half *self = MINI_SELF(struct half);
    MINI_BEGIN;
    for (size_t i = 0; i < self->client->bytes; i++)
        self->data[i] = byte_at(self->client, i);
    while (self->done < self->client->bytes) {
        MINI_AWAIT(patiently(&self->timeout,
            mini_send(&self->io, self->client->fd, self->data + self->done,
                1 + sim_random((uint32_t)(self->client->bytes - self->done)))));
        if (MINI_RESULT == -ETIMEDOUT) continue;
        if (MINI_RESULT < 0) MINI_RETURN(MINI_RESULT);
        self->done += (size_t)MINI_RESULT;
    }
    MINI_AWAIT(mini_shutdown_socket(&self->io, self->client->fd, SHUT_WR));
    MINI_END(MINI_RESULT);
}

static MINI_POLL(recv_half) {
    struct half *self = MINI_SELF(struct half);
    MINI_BEGIN;
    for (;;) {
        MINI_AWAIT(patiently(&self->timeout,
            mini_recv(&self->io, self->client->fd, self->data, BYTES)));
        if (MINI_RESULT == -ETIMEDOUT) continue;
        if (MINI_RESULT <= 0) break;
        for (long i = 0; i < MINI_RESULT; i++, self->done++)
            SIM_CHECK(self->done < self->client->bytes &&
                    self->data[i] == byte_at(self->client, self->done),
                "byte %zu of the echo is not what was sent", self->done);
    }
    MINI_END(MINI_RESULT);
}

static MINI_POLL(client) {
    struct client *self = MINI_SELF(struct client);
    MINI_BEGIN;
    while ((self->fd = socket(AF_INET, SOCK_STREAM, 0)) < 0) {
        SIM_CHECK(errno == EMFILE && sim_faults, "socket: %d", errno);
        MINI_AWAIT(mini_sleep(&self->sleep, 1000000));
        if (MINI_RESULT < 0) MINI_RETURN(MINI_RESULT);
    }
    MINI_AWAIT(mini_connect(&self->io, self->fd,
        (struct sockaddr *)&self->address, sizeof self->address));
    if (MINI_RESULT == 0) {
        self->both[0] = &self->sends.future;
        self->both[1] = &self->receives.future;
        (void)MINI_CALL(struct half, &self->sends, send_half, .client = self);
        (void)MINI_CALL(
            struct half, &self->receives, recv_half, .client = self);
        if (self->gives_up) {
            self->both[0] = mini_sleep(&self->sleep, sim_random(500000));
            MINI_AWAIT(mini_select(&self->select, self->both, 2));
            future->result = -ECANCELED;
        } else {
            MINI_AWAIT(mini_join_all(&self->select, self->both, 2));
        }
    }
    bool all = MINI_RESULT == 0 && self->receives.done == self->bytes;
    SIM_CHECK(all || MINI_RESULT == -ECANCELED || is_broken(MINI_RESULT),
        "a client gives %ld after %zu of %zu bytes", MINI_RESULT,
        self->receives.done, self->bytes);
    MINI_AWAIT_SHIELDED(mini_close(&self->io, self->fd));
    MINI_END(0);
}

/* ---- a server and its clients ---- */

struct echo {
    struct mini_future future;
    struct mini_server server;
    struct mini_task *task;
    struct mini_join join;
    struct client clients[CLIENTS];
    struct mini_future *all[CLIENTS];
    struct mini_select select;
    unsigned count;
};

struct server_task {
    struct mini_future future;
    struct mini_server *server;
};

static MINI_POLL(server_task) {
    struct server_task *self = MINI_SELF(struct server_task);
    MINI_BEGIN;
    MINI_AWAIT(mini_serve(self->server));
    MINI_END(MINI_RESULT);
}

static MINI_POLL(echo) {
    struct echo *self = MINI_SELF(struct echo);
    struct mini_server_options options = {.frame = sizeof(struct conn),
        .serve = serve,
        .accept = sim_chance(2) ? MINI_ACCEPT_SPREAD : MINI_ACCEPT_REUSEPORT};
    MINI_BEGIN;
    long error = mini_server_open(&self->server, &options);
    if (error < 0) MINI_RETURN(error);
    self->task =
        MINI_SPAWN(struct server_task, server_task, .server = &self->server);
    /* one each, and at least one for the server */
    if (sim_chance(4)) sim_kernel_limit(self->count + 1 + sim_random(4));
    for (unsigned i = 0; i < self->count; i++) {
        struct client *one = &self->clients[i];
        (void)MINI_CALL(struct client, one, client,
            .address = {.sin_family = AF_INET,
                .sin_port = htons((uint16_t)self->server.port)},
            .bytes = 1 + sim_random(BYTES), .gives_up = sim_chance(4));
        self->all[i] = mini_spawn_on(
            &one->remote, sim_random(mini_shard_count()), &one->future);
    }
    MINI_AWAIT(mini_join_all(&self->select, self->all, self->count));
    if (sim_chance(2))
        mini_cancel(self->task);
    else
        self->task = (mini_detach(self->task), NULL);
    if (self->task) MINI_AWAIT(mini_join(&self->join, self->task));
    MINI_END(14);
}

static void run_echo(void) {
    struct echo *main = malloc(sizeof *main);
    sim_options.buffers = 1u << sim_random(4);
    serving = 0;
    (void)MINI_CALL(struct echo, main, echo, .count = 1 + sim_random(CLIENTS));
    long result = sim_run(&main->future);
    SIM_CHECK(result == 14 || result == -ENXIO ||
            ((sim_faults || is_terminated) && result < 0),
        "main gives %ld", result);
    SIM_CHECK(serving == 0, "%u connections have not ended", serving);
    free(main);
}

static void untroubled_echo(void) {
    is_terminated = false;
    run_echo();
}

/* ---- helper threads ---- */

struct job {
    struct mini_future future;
    struct mini_remote remote;
    struct mini_io io;
    struct mini_timeout timeout;
    unsigned ran;
};

static long blocks(void *arg) {
    struct job *self = arg;
    if (sim_chance(2)) sim_wait("what blocks", NULL, NULL, sim_random(300000));
    return 100 + ++self->ran;
}

static MINI_POLL(job) {
    struct job *self = MINI_SELF(struct job);
    MINI_BEGIN;
    MINI_AWAIT(
        patiently(&self->timeout, mini_offload(&self->io, blocks, self)));
    SIM_CHECK(MINI_RESULT == 101 ? self->ran == 1
                                 : self->ran == 0 &&
                (MINI_RESULT == -ETIMEDOUT ||
                    (sim_faults &&
                        (MINI_RESULT == -EAGAIN || MINI_RESULT == -EMFILE))),
        "a call on a helper gives %ld, and ran %u times", MINI_RESULT,
        self->ran);
    MINI_END(0);
}

struct jobs {
    struct mini_future future;
    unsigned count;
    struct job jobs[12];
    struct mini_future *all[12];
    struct mini_select select;
};

static MINI_POLL(jobs) {
    struct jobs *self = MINI_SELF(struct jobs);
    MINI_BEGIN;
    for (unsigned i = 0; i < self->count; i++) {
        struct job *one = &self->jobs[i];
        (void)MINI_CALL(struct job, one, job);
        self->all[i] = mini_spawn_on(
            &one->remote, sim_random(mini_shard_count()), &one->future);
    }
    MINI_AWAIT(mini_join_all(&self->select, self->all, self->count));
    MINI_END(15 + MINI_RESULT);
}

static void offload(void) {
    struct jobs *main = malloc(sizeof *main);
    (void)MINI_CALL(struct jobs, main, jobs, .count = 1 + sim_random(12));
    long result = sim_run(&main->future);
    SIM_CHECK(result == 15 || result == -ENXIO, "main gives %ld", result);
    free(main);
}
#endif

/* ---- signals ---- */

#if STAGE >= 6
/* In the middle of it all, and with a task that would go on for a minute. */
static void terminate(void) {
    uint64_t start = sim_now;
    is_terminated = true;
    sim_options.drain = 1 + sim_random(5000000);
    sim_signal_after(sim_chance(4) ? SIGHUP : SIGTERM, sim_random(1000000));
    if (sim_chance(2)) sim_signal_after(SIGUSR1, sim_random(1000000));
    if (sim_chance(2)) /* the second; on a real machine it would be the end */
        sim_signal_after(sim_chance(2) ? SIGINT : SIGTERM, sim_random(2000000));
    run_echo();
    SIM_CHECK(sim_now - start < MINI_SECOND, "the drain took too long");
}

#define WAITERS 5

struct waiter {
    struct mini_future future;
    struct mini_remote remote;
    struct mini_signal_wait wait;
    struct mini_timeout timeout;
    int signal;
};

static MINI_POLL(waiter) {
    struct waiter *self = MINI_SELF(struct waiter);
    sigset_t set;
    MINI_BEGIN;
    do {
        sigemptyset(&set);
        sigaddset(&set, self->signal);
        sigaddset(&set, SIGHUP);
        MINI_AWAIT(
            patiently(&self->timeout, mini_signal_wait(&self->wait, &set)));
    } while (MINI_RESULT == -ETIMEDOUT);
    SIM_CHECK(MINI_RESULT == self->signal || MINI_RESULT == SIGHUP,
        "a wait for signal %d gives %ld", self->signal, MINI_RESULT);
    MINI_END(0);
}

struct waiters {
    struct mini_future future;
    struct waiter waiters[WAITERS];
    struct mini_future *all[WAITERS];
    struct mini_select select;
};

static MINI_POLL(waiters) {
    struct waiters *self = MINI_SELF(struct waiters);
    MINI_BEGIN;
    for (unsigned i = 0; i < WAITERS; i++) {
        struct waiter *one = &self->waiters[i];
        (void)MINI_CALL(struct waiter, one, waiter,
            .signal = sim_chance(2) ? SIGUSR2 : SIGTERM);
        self->all[i] = mini_spawn_on(
            &one->remote, sim_random(mini_shard_count()), &one->future);
    }
    sim_signal_after(SIGUSR2, MINI_SECOND); /* when all wait for it */
    sim_signal_after(SIGHUP, MINI_SECOND + sim_random(5000));
    MINI_AWAIT(mini_join_all(&self->select, self->all, WAITERS));
    MINI_END(16 + MINI_RESULT);
}

static void wait_for_signals(void) {
    struct waiters *main = malloc(sizeof *main);
    (void)MINI_CALL(struct waiters, main, waiters);
    long result = sim_run(&main->future);
    SIM_CHECK(result == 16 || result == -ENXIO, "main gives %ld", result);
    free(main);
}
#endif

const struct sim_workload sim_io[] = {
#if STAGE >= 5
    {"echo", untroubled_echo}, {"echo", untroubled_echo},
    {"helper threads", offload},
#endif
#if STAGE >= 6
    {"a signal at any moment", terminate},
    {"waiting for signals", wait_for_signals},
#endif
    {NULL, NULL}};
