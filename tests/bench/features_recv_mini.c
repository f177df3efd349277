/* SPDX-License-Identifier: MIT */
/* What do operations give that complete many times? CPU time of a message of
 * BYTES that comes, or of a connection that is taken and closed:
 *     features_recv_mini recv|stream|ring BYTES
 *     features_recv_mini accept|multishot 1
 * recv is mini_recv, into a buffer of the task's; the others are streams: ring
 * and multishot are what the kernel can do, stream and accept ask each time. */
#include "features.h"

#include "stream.h"

static bool leases;
static int listener;
static struct sockaddr_in address;
static int ours[FEATURES_SOCKETS], theirs[FEATURES_SOCKETS];

struct receiver {
    struct mini_future future;
    struct mini_io io;
    struct mini_recv_stream stream;
    int fd;
    unsigned number, got;
    char buffer[MINI_BUFFER_BYTES];
};

/* LENGTH bytes more of the message; then the peer may send the next. */
static void came(struct receiver *self, const char *data, long length) {
    features_expect(length > 0 &&
            memcmp(data, features_pattern + self->got, (size_t)length) == 0,
        "recv", length);
    self->got += (unsigned)length;
    if (self->got < features_bytes) return;
    self->got = 0;
    atomic_fetch_add_explicit(&features_count[self->number], 1,
        memory_order_release); /* pairs with the load in send_messages */
    features_note(1, 1);
}

static MINI_POLL(receive) {
    struct receiver *self = MINI_SELF(struct receiver);
    MINI_BEGIN;
    mini_recv_stream(&self->stream, self->fd);
    while (features_running && !leases) {
        MINI_AWAIT(mini_recv(&self->io, self->fd, self->buffer + self->got,
            features_bytes - self->got));
        came(self, self->buffer + self->got, MINI_RESULT);
    }
    while (features_running && leases) {
        MINI_AWAIT(mini_recv_next(&self->stream));
        features_expect(MINI_RESULT > 0, "recv", MINI_RESULT);
        came(self, self->stream.lease->data, MINI_RESULT);
        mini_lease_return(self->stream.lease);
    }
    MINI_AWAIT_SHIELDED(mini_recv_end(&self->stream));
    MINI_END(0);
}

struct acceptor {
    struct mini_future future;
    struct mini_accept_stream stream;
};

static MINI_POLL(take_connections) {
    struct acceptor *self = MINI_SELF(struct acceptor);
    MINI_BEGIN;
    mini_accept_stream(&self->stream, listener);
    while (features_running) {
        MINI_AWAIT(mini_accept_next(&self->stream));
        features_expect(MINI_RESULT >= 0, "accept", MINI_RESULT);
        close((int)MINI_RESULT);
        atomic_fetch_add_explicit(&features_count[0], 1,
            memory_order_release); /* pairs with the load in connect_all */
        features_note(1, 1);
    }
    MINI_AWAIT_SHIELDED(mini_accept_end(&self->stream));
    MINI_END(0);
}

struct program {
    struct mini_future future;
    struct mini_join join;
    struct mini_task *tasks[FEATURES_SOCKETS];
    unsigned i, count;
};

static MINI_POLL(program) {
    struct program *self = MINI_SELF(struct program);
    MINI_BEGIN;
    bench_start(&features_bench);
    self->count = listener ? 1 : FEATURES_SOCKETS;
    for (unsigned i = 0; i < self->count; i++)
        self->tasks[i] = listener
            ? MINI_SPAWN(struct acceptor, take_connections)
            : MINI_SPAWN(struct receiver, receive, .fd = ours[i], .number = i);
    for (self->i = 0; self->i < self->count; self->i++)
        MINI_AWAIT(mini_join(&self->join, self->tasks[self->i]));
    MINI_END(0);
}

/* ---- the other process ---- */

/* One message under way on each socket. */
static void send_messages(void *unused) {
    unsigned sent[FEATURES_SOCKETS] = {0};
    (void)unused;
    for (unsigned i = 0;; i = (i + 1) % FEATURES_SOCKETS) {
        if (atomic_load_explicit(&features_count[i], memory_order_acquire) !=
            sent[i])
            continue;
        sent[i]++;
        features_expect(send(theirs[i], features_pattern, features_bytes,
                            MSG_NOSIGNAL) == features_bytes,
            "send", -errno);
    }
}

/* As many at a time; a reset at the end leaves no port behind that waits. */
static void connect_all(void *unused) {
    struct linger reset = {.l_onoff = 1};
    (void)unused;
    for (unsigned made = 0;;) {
        for (unsigned i = 0; i < FEATURES_SOCKETS; i++, made++)
            theirs[i] = features_connect(&address);
        while (atomic_load_explicit(&features_count[0], memory_order_acquire) !=
            made)
            continue;
        for (unsigned i = 0; i < FEATURES_SOCKETS; i++) {
            setsockopt(theirs[i], SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
            close(theirs[i]);
        }
    }
}

int main(int argc, char **argv) {
    struct program frame;
    bool accepts =
        bench_case(argc, argv, "accept") || bench_case(argc, argv, "multishot");
    features_bytes = bench_number(argc, argv, 2);
    leases = !bench_case(argc, argv, "recv");
    if (bench_case(argc, argv, "stream")) mini_io_without |= MINI_BUFFER_RING;
    if (bench_case(argc, argv, "accept")) mini_io_without |= MINI_MULTISHOT;
    features_slice = accepts ? 256 : 2048;
    features_init();
    if (accepts)
        listener = features_listen(&address);
    else
        features_pairs(ours, theirs);
    pid_t other = features_fork(accepts ? connect_all : send_messages, NULL);
    return features_run(MINI_CALL(struct program, &frame, program), other);
}
