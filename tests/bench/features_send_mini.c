/* SPDX-License-Identifier: MIT */
/* What does it give to send without a copy? CPU time of BYTES sent to a peer:
 *     features_send_mini send|send_zc BYTES             from memory
 *     features_send_mini copy|splice|sendfile BYTES     from a file
 * copy is mini_read_exact and mini_send_all, with a buffer of 64 KiB; the other
 * two are mini_send_file, with splice(2) or without. */
#include "features.h"

#include "file.h"
#include "io.h"

#define CHUNK 65536u

static bool zero_copy, from_file, copies;
static int file;
static int ours[FEATURES_SOCKETS], theirs[FEATURES_SOCKETS];

struct sender {
    struct mini_future future;
    struct mini_io io;
    struct mini_send_file sending;
    int fd;
    uint64_t sent; /* from memory: so far */
    unsigned at, part; /* from a file: of this time */
    char buffer[CHUNK];
};

static MINI_POLL(send_memory) {
    struct sender *self = MINI_SELF(struct sender);
    MINI_BEGIN;
    while (features_running) {
        MINI_AWAIT((zero_copy ? mini_send_zc : mini_send)(&self->io, self->fd,
            features_pattern + self->sent % FEATURES_PERIOD, features_bytes));
        features_expect(MINI_RESULT > 0, "send", MINI_RESULT);
        self->sent += (uint64_t)MINI_RESULT;
        features_note((uint64_t)MINI_RESULT, features_bytes);
    }
    MINI_END(0);
}

static MINI_POLL(send_copies) {
    struct sender *self = MINI_SELF(struct sender);
    MINI_BEGIN;
    while (features_running) {
        self->part = features_bytes - self->at;
        if (self->part > CHUNK) self->part = CHUNK;
        MINI_AWAIT(mini_read_exact(
            &self->io, file, self->buffer, self->part, self->at));
        features_expect(MINI_RESULT == (long)self->part, "read", MINI_RESULT);
        MINI_AWAIT(
            mini_send_all(&self->io, self->fd, self->buffer, self->part));
        features_expect(MINI_RESULT == (long)self->part, "send", MINI_RESULT);
        self->at = (self->at + self->part) % features_bytes;
        features_note(self->part, features_bytes);
    }
    MINI_END(0);
}

static MINI_POLL(send_file) {
    struct sender *self = MINI_SELF(struct sender);
    MINI_BEGIN;
    while (features_running) {
        MINI_AWAIT(
            mini_send_file(&self->sending, self->fd, file, 0, features_bytes));
        features_expect(
            MINI_RESULT == (long)features_bytes, "send_file", MINI_RESULT);
        features_note(features_bytes, features_bytes);
    }
    MINI_END(0);
}

struct program {
    struct mini_future future;
    struct mini_join join;
    struct mini_task *tasks[FEATURES_SOCKETS];
    unsigned i;
};

static MINI_POLL(program) {
    struct program *self = MINI_SELF(struct program);
    MINI_BEGIN;
    bench_start(&features_bench);
    for (unsigned i = 0; i < FEATURES_SOCKETS; i++)
        self->tasks[i] = MINI_SPAWN(struct sender,
            !from_file   ? send_memory
                : copies ? send_copies
                         : send_file,
            .fd = ours[i]);
    for (self->i = 0; self->i < FEATURES_SOCKETS; self->i++)
        MINI_AWAIT(mini_join(&self->join, self->tasks[self->i]));
    if (zero_copy)
        fprintf(stderr, "copied all the same: %llu of %llu\n",
            (unsigned long long)mini_stats()->copies,
            (unsigned long long)(mini_stats()->copies +
                mini_stats()->zero_copies));
    MINI_END(0);
}

/* The other end: compares what comes, from each socket as much in turn. */
static void receive(void *unused) {
    static char buffer[FEATURES_MOST];
    (void)unused;
    for (unsigned i = 0;; i = (i + 1) % FEATURES_SOCKETS) {
        close(ours[i]);
        long count = recv(theirs[i], buffer, CHUNK, MSG_WAITALL);
        features_expect(
            count == CHUNK && memcmp(buffer, features_pattern, CHUNK) == 0,
            "recv", count);
    }
}

/* A file without a name, and in memory. */
static int make_file(void) {
    FILE *made = tmpfile();
    if (!made ||
        fwrite(features_pattern, 1, FEATURES_MOST, made) != FEATURES_MOST ||
        fflush(made))
        features_expect(false, "a temporary file", -errno);
    return fileno(made);
}

int main(int argc, char **argv) {
    struct program frame;
    features_bytes = bench_number(argc, argv, 2);
    zero_copy = bench_case(argc, argv, "send_zc");
    copies = bench_case(argc, argv, "copy");
    from_file = !zero_copy && !bench_case(argc, argv, "send");
    if (bench_case(argc, argv, "sendfile")) mini_io_without |= MINI_SPLICE;
    features_slice = UINT64_C(8) << 20;
    features_init();
    file = make_file();
    features_pairs(ours, theirs);
    pid_t other = features_fork(receive, NULL);
    return features_run(MINI_CALL(struct program, &frame, program), other);
}
