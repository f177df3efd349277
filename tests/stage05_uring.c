/* SPDX-License-Identifier: MIT
 *
 * stage05_uring.c: operations as futures, streams and servers, on the backend
 * that MINI_IO names. Every test is about both, and expects the same of both.
 *
 * How to read it: a test's main is an async function that notes results with
 * NOTE or STEP; the test compares them with assert_notes after the run, for an
 * assertion of cmocka's leaves by longjmp and would leave the runtime half way.
 * run() also compares descriptors and memory before and after.
 *
 * With the virtual clock a sleep ends when nothing else can happen any more, so
 * settling is exact on pipes and AF_UNIX sockets, where the kernel delivers at
 * once. TCP delivers when it likes: tests over it use the real clock and wait
 * for what they expect.
 *
 * What the kernel rarely says (EBUSY, an old kernel's EINVAL) is made to happen
 * by a seccomp filter, in a child process; where there is none those tests are
 * skipped.
 */
#include "faults.h"
#include "harness.h"

#include "miniss.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#if defined(__linux__) && defined(_GNU_SOURCE)
#define HAS_SECCOMP 1
#include <linux/filter.h>
#include <linux/io_uring.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#define SOME_OPERATION IORING_OP_SPLICE /* that a kernel may lack */
#else
#define HAS_SECCOMP 0
#define SOME_OPERATION (-1)
#endif

#define COUNT_OF(array) (sizeof(array) / sizeof(array)[0])

/* ---- checks ------------------------------------------------------------- */

static char variant[64]; /* of the test that runs, for its failures */
static uint32_t test_seed; /* of what it does at random, if not 0 */
static bool in_child;

/* As cmocka's, but good in a child process, too, which ends. */
static void check_that(bool holds, const char *what, long found, int line) {
    if (holds) return;
    unsigned lacks = mini_io_without;

    mini_io_without = 0; /* for the tests that follow */
    if (in_child) {
        fprintf(stderr, "%s:%d: %s [%s; without %u; seed %u] %ld\n", __FILE__,
            line, what, variant, lacks, test_seed, found);
        _exit(1);
    }
    print_error("%s:%d: %s [%s; without %u; seed %u] %ld\n", __FILE__, line,
        what, variant, lacks, test_seed, found);
    fail();
}

#define check(condition) check_that((condition), #condition, 0, __LINE__)
#define check_equal(value, expected) \
    check_value((long)(value), (long)(expected), \
        #value " is not " #expected " but", __LINE__)

static void check_value(long found, long wanted, const char *what, int line) {
    check_that(found == wanted, what, found, line);
}

static pid_t fork_child(void) {
    fflush(NULL);
    pid_t child = fork();

    check(child >= 0);
    if (child != 0) return child;
    in_child = true;
    alarm(MINI_TEST_SECONDS - 20);
    return child;
}

/* ---- notes -------------------------------------------------------------- */

static long noted[64];
static size_t notes;

static void note(long value) {
    if (notes < COUNT_OF(noted)) noted[notes++] = value;
}

#define NOTE(value) note(value)
/* Awaits, and notes the result. */
#define STEP(awaited) \
    do { \
        MINI_AWAIT(awaited); \
        NOTE(MINI_RESULT); \
    } while (0)

static void list(char *text, size_t size, const long *values, size_t count) {
    int at = snprintf(text, size, "%s:", variant);

    for (size_t i = 0; i < count && at >= 0 && (size_t)at < size; i++)
        at += snprintf(text + at, size - (size_t)at, " %ld", values[i]);
}

static void check_notes(const long *expected, size_t count, int line) {
    char wanted[1024], found[1024];

    list(wanted, sizeof wanted, expected, count);
    list(found, sizeof found, noted, notes);
    if (strcmp(found, wanted) == 0) return;
    fprintf(stderr, "wanted %s\nfound  %s\n", wanted, found);
    check_that(false, "other notes", 0, line);
}

#define assert_notes(...) \
    check_notes((const long[]){__VA_ARGS__}, \
        sizeof((const long[]){__VA_ARGS__}) / sizeof(long), __LINE__)

/* ---- a run -------------------------------------------------------------- */

static int open_files(void) {
    long limit = sysconf(_SC_OPEN_MAX);
    int count = mini_test_descriptors();

    if (count > 0) return count;
    if (limit < 0 || limit > 16384) limit = 16384;
    for (int fd = 0; fd < (int)limit; fd++) count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

/* Deadlines are exact and cost nothing, see above. */
static struct mini_options virtual_clock(void) {
    struct mini_options options = mini_defaults;

    options.shards = 1;
    options.virtual_clock = true;
    return options;
}

static struct mini_options real_clock(unsigned shards) {
    struct mini_options options = mini_defaults;

    options.shards = shards;
    return options;
}

/* Runs a test's main. What it opened, it must have closed. */
static long run(struct mini_future *main, struct mini_options options) {
    long blocks = mini_test_live_allocs();
    int files = open_files();

    notes = 0;
    long result = mini_run(main, &options);

    check_equal(open_files(), files);
    check_equal(mini_test_live_allocs(), blocks);
    return result;
}

static mini_poll note_name(struct mini_future *future, struct mini_context cx) {
    (void)cx;
    return mini_ready(future, strcmp(mini_io_name(), "uring") == 0);
}

/* ---- tasks -------------------------------------------------------------- */

/* What most mains need. */
enum { SLOTS = 4 };
struct script {
    struct mini_future future;
    struct mini_io io[SLOTS];
    struct mini_sleep sleep;
    struct mini_yield yield;
    struct mini_timeout timeout;
    struct mini_join join;
    struct mini_task *task[SLOTS];
    struct mini_accept_stream stream;
    int fd[SLOTS];
    struct sockaddr_in address;
    bool flag;
    long i, j, sum;
    char buffer[256];
};

struct background {
    struct mini_future future;
    struct mini_future *inner;
};

static mini_poll background_poll(
    struct mini_future *future, struct mini_context cx) {
    struct background *self = MINI_SELF(struct background);

    MINI_BEGIN;
    MINI_AWAIT(self->inner);
    MINI_END(MINI_RESULT);
}

/* A task that awaits INNER and has its result. */
static struct mini_task *background(struct mini_future *inner) {
    return MINI_SPAWN(struct background, background_poll, .inner = inner);
}

static bool ended(const struct mini_future *future) {
    return future->resume == MINI_DONE;
}

/* A turn or two go by, with all that comes of it. */
#define A_TURN(script) MINI_AWAIT(mini_sleep(&(script)->sleep, 1))
/* What is runnable runs; with the virtual clock, until nothing can happen. */
#define SETTLE(script) MINI_AWAIT(mini_sleep(&(script)->sleep, 2 * MINI_MS))

/* ---- descriptors -------------------------------------------------------- */

enum kind { UNIX_SOCKETS, TCP_SOCKETS, PIPE };
static const char *const kind_names[] = {"unix", "tcp", "pipe"};

/* In tests' mains and threads, where cmocka cannot be called. */
static void must(bool condition, const char *what) {
    if (condition) return;
    fprintf(stderr, "the test itself failed: %s (errno %d)\n", what, errno);
    abort();
}

static void set_nonblocking(int fd, bool on) {
    int flags = fcntl(fd, F_GETFL);

    must(flags >= 0, "F_GETFL");
    flags = on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
    must(fcntl(fd, F_SETFL, flags) == 0, "F_SETFL");
}

static struct sockaddr_in loopback(unsigned port) {
    struct sockaddr_in address = {.sin_family = AF_INET,
        .sin_port = htons((uint16_t)port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

    return address;
}

/* Bound to a free port, which goes to *ADDRESS; listens if BACKLOG >= 0. */
static int bound_socket(int backlog, struct sockaddr_in *address) {
    socklen_t size = sizeof *address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    *address = loopback(0);
    must(fd >= 0 && bind(fd, (struct sockaddr *)address, size) == 0, "bind");
    must(backlog < 0 || listen(fd, backlog) == 0, "listen");
    must(getsockname(fd, (struct sockaddr *)address, &size) == 0, "name");
    return fd;
}

static int raw_connect(const struct sockaddr_in *address) {
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    int failed = connect(fd, (const struct sockaddr *)address, sizeof *address);

    must(fd >= 0 && failed == 0, "connect");
    return fd;
}

static void raw_send(int fd, const char *bytes, size_t count) {
    must(write(fd, bytes, count) == (ssize_t)count, "write");
}

/* Waits for a connection no longer than it takes on a loaded machine. */
static int raw_accept(int listener) {
    struct pollfd ready = {.fd = listener, .events = POLLIN};

    while (poll(&ready, 1, 10000) < 0) must(errno == EINTR, "poll");
    must(ready.revents != 0, "nobody connects");
    int fd = accept(listener, NULL, NULL);

    must(fd >= 0, "accept");
    return fd;
}

/* Accepts CLIENT's connection. A peer of another process' may come, too, if that
 * has had a listener at this port before. */
static int accept_from(int listener, int client) {
    struct sockaddr_in peer;

    for (;;) {
        int fd = raw_accept(listener);
        socklen_t length = sizeof peer;

        if (getpeername(fd, (struct sockaddr *)&peer, &length) == 0 &&
            ntohs(peer.sin_port) == mini_port_of(client))
            return fd;
        close(fd);
    }
}

/* The peer sees a reset. */
static void reset(int fd) {
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};

    setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(fd);
}

/* What is written to fd[1] is read from fd[0]. */
static void open_pair(enum kind kind, bool nonblocking, int fd[2]) {
    struct sockaddr_in address;

    if (kind == PIPE) {
        must(pipe(fd) == 0, "pipe");
    } else if (kind == UNIX_SOCKETS) {
        must(socketpair(AF_UNIX, SOCK_STREAM, 0, fd) == 0, "socketpair");
    } else {
        int listener = bound_socket(1, &address), on = 1, small = 65536;

        fd[1] = raw_connect(&address);
        fd[0] = accept_from(listener, fd[1]);
        for (int i = 0; i < 2; i++) {
            setsockopt(fd[i], IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
            setsockopt(fd[i], SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
            setsockopt(fd[i], SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
        }
        close(listener);
    }
    set_nonblocking(fd[0], nonblocking);
    set_nonblocking(fd[1], nonblocking);
    snprintf(variant, sizeof variant, "%s%s", kind_names[kind],
        nonblocking ? ", O_NONBLOCK" : "");
}

static void close_pair(const int fd[2]) {
    close(fd[0]);
    close(fd[1]);
}

typedef void pair_test(enum kind kind, bool nonblocking);

static void each_socket(pair_test *test) {
    for (int i = 0; i < 4; i++)
        test(i < 2 ? UNIX_SOCKETS : TCP_SOCKETS, i % 2 == 1);
}

static void each_pair(pair_test *test) {
    each_socket(test);
    test(PIPE, false);
    test(PIPE, true);
}

/* mini_recv or mini_send of a socket, mini_read or mini_write of a pipe. */
static struct mini_future *receive(
    enum kind kind, struct mini_io *slot, int fd, void *buffer, size_t length) {
    return kind == PIPE ? mini_read(slot, fd, buffer, length, -1)
                        : mini_recv(slot, fd, buffer, length);
}

static struct mini_future *transmit(enum kind kind, struct mini_io *slot,
    int fd, const void *buffer, size_t length) {
    return kind == PIPE ? mini_write(slot, fd, buffer, length, -1)
                        : mini_send(slot, fd, buffer, length);
}

static struct mini_options clock_for(enum kind kind) {
    return kind == TCP_SOCKETS ? real_clock(1) : virtual_clock();
}

/* The byte at POSITION of an endless stream. */
static char pattern(size_t position) {
    return (char)(position * 31 + (position >> 8) * 7 + 1);
}

/* Takes out all that can be read at once; how much. Checks that it goes on from
 * POSITION, where a number is given. */
static size_t drain(int fd, long position) {
    char part[4096];
    size_t total = 0;
    bool was = fcntl(fd, F_GETFL) & O_NONBLOCK;
    ssize_t got;

    set_nonblocking(fd, true);
    while ((got = read(fd, part, sizeof part)) > 0) {
        for (ssize_t i = 0; i < got && position >= 0; i++)
            must(part[i] == pattern((size_t)position++), "a wrong byte");
        total += (size_t)got;
    }
    set_nonblocking(fd, was);
    return total;
}

/* Writes until not one byte more goes in; how many did, all of them FILLER. */
static size_t fill_up(int fd, char filler) {
    char part[4096];
    size_t total = 0;
    bool was = fcntl(fd, F_GETFL) & O_NONBLOCK;

    memset(part, filler, sizeof part);
    set_nonblocking(fd, true);
    for (size_t size = sizeof part; size > 0; size /= 2) {
        ssize_t done;

        while ((done = write(fd, part, size)) > 0) total += (size_t)done;
    }
    set_nonblocking(fd, was);
    return total;
}

/* The same of TCP, which makes room by sending. */
static void fill_up_tcp(int fd) {
    for (int quiet = 0; quiet < 5; quiet++) {
        if (fill_up(fd, 'f') > 0) quiet = 0;
        nanosleep(&(struct timespec){0, 2000000}, NULL);
    }
}

/* How many connections wait to be accepted; takes them off. There should be
 * WANTED: one whose connect(2) has returned may come to the listening socket a
 * little later. */
static int waiting_connections(int listener, int wanted) {
    struct pollfd ready = {.fd = listener, .events = POLLIN};
    int count = 0;

    while (poll(&ready, 1, count < wanted ? 10000 : 0) == 1) {
        close(raw_accept(listener));
        count++;
    }
    return count;
}

/* ---- G5.1: results ------------------------------------------------------ */

static mini_poll recv_script(
    struct mini_future *future, struct mini_context cx) {
    struct script *self = MINI_SELF(struct script);

    MINI_BEGIN;
    STEP(mini_send(&self->io[0], self->fd[1], "hello", 5));
    STEP(mini_recv(&self->io[0], self->fd[0], self->buffer, 3));
    STEP(mini_recv(&self->io[0], self->fd[0], self->buffer, 0));
    STEP(mini_recv(&self->io[0], self->fd[0], self->buffer + 3, 60));
    STEP(mini_send(&self->io[0], self->fd[1], "", 0));
    self->task[0] =
        background(mini_recv(&self->io[1], self->fd[0], self->buffer + 5, 60));
    SETTLE(self);
    NOTE(ended(&self->io[1].future)); /* there is nothing */
    STEP(mini_send(&self->io[0], self->fd[1], "!", 1));
    STEP(mini_join(&self->join, self->task[0]));
    STEP(mini_shutdown_socket(&self->io[0], self->fd[1], SHUT_WR));
    STEP(mini_recv(&self->io[0], self->fd[0], self->buffer + 6, 60));
    STEP(mini_recv(&self->io[0], self->fd[0], self->buffer + 6, 60));
    /* besides these, at most the doorbell's */
    NOTE(mini_stats()->operations >= 10 && mini_stats()->operations <= 12);
    MINI_END(7);
}

static void recv_and_send(enum kind kind, bool nonblocking) {
    struct script self;
    int fd[2];

    open_pair(kind, nonblocking, fd);
    check_equal(run(MINI_CALL(struct script, &self, recv_script,
                        .fd = {fd[0], fd[1]}, .buffer = "----------"),
                    clock_for(kind)),
        7);
    assert_notes(5, 3, 0, 2, 0, 0, 1, 1, 0, 0, 0, 1);
    check(strcmp(self.buffer, "hello!----") == 0);
    close_pair(fd);
}

/* A count of 4 GiB is no count of 0. */
static mini_poll recv_with_much_room(
    struct mini_future *future, struct mini_context cx) {
    static char byte;
    struct script *self = MINI_SELF(struct script);

    MINI_BEGIN;
    raw_send(self->fd[1], "x", 1);
    MINI_AWAIT(mini_recv(&self->io[0], self->fd[0], &byte, SIZE_MAX / 2 + 1));
    MINI_END(MINI_RESULT);
}

static void g5_1_room_for_more_than_a_call_can_take(void **state) {
    struct script self = MINI_FRAME(struct script, recv_with_much_room);

    (void)state;
    if (SIZE_MAX <= UINT32_MAX) skip();
    open_pair(UNIX_SOCKETS, false, self.fd);
    check_equal(run(&self.future, virtual_clock()), 1);
    close_pair(self.fd);
}

static void g5_1_recv_and_send_say_how_much(void **state) {
    (void)state;
    each_socket(recv_and_send);
}

static mini_poll pipe_script(
    struct mini_future *future, struct mini_context cx) {
    struct script *self = MINI_SELF(struct script);

    MINI_BEGIN;
    STEP(mini_write(&self->io[0], self->fd[1], "hello", 5, -1));
    STEP(mini_read(&self->io[0], self->fd[0], self->buffer, 3, -1));
    STEP(mini_read(&self->io[0], self->fd[0], self->buffer, 0, -1));
    STEP(mini_read(&self->io[0], self->fd[0], self->buffer + 3, 60, -1));
    STEP(mini_write(&self->io[0], self->fd[1], "", 0, -1));
    self->task[0] = background(
        mini_read(&self->io[1], self->fd[0], self->buffer + 5, 60, -1));
    SETTLE(self);
    NOTE(ended(&self->io[1].future));
    STEP(mini_write(&self->io[0], self->fd[1], "!", 1, -1));
    STEP(mini_join(&self->join, self->task[0]));
    self->task[0] = background(
        mini_read(&self->io[1], self->fd[0], self->buffer + 6, 60, -1));
    SETTLE(self);
    STEP(mini_close(&self->io[0], self->fd[1]));
    STEP(mini_join(&self->join, self->task[0]));
    STEP(mini_read(&self->io[0], self->fd[0], self->buffer + 6, 60, -1));
    self->fd[1] = dup(self->fd[2]); /* for run's count */
    MINI_END(7);
}

static void g5_1_read_and_write_of_a_pipe(void **state) {
    struct script self;
    int fd[2];

    (void)state;
    for (int nonblocking = 0; nonblocking < 2; nonblocking++) {
        open_pair(PIPE, nonblocking, fd);
        check_equal(
            run(MINI_CALL(struct script, &self, pipe_script,
                    .fd = {fd[0], fd[1], fd[0]}, .buffer = "----------"),
                virtual_clock()),
            7);
        assert_notes(5, 3, 0, 2, 0, 0, 1, 1, 0, 0, 0);
        check(strcmp(self.buffer, "hello!----") == 0);
        close(fd[0]);
        close(self.fd[1]);
    }
}

static long no_seek(void *arg) {
    (void)arg;
    return -ESPIPE;
}

/* What cannot seek does not look at an offset. */
static mini_poll no_place_script(
    struct mini_future *future, struct mini_context cx) {
    enum { MUCH = 300000 };
    static char much[MUCH], back[MUCH];
    struct script *self = MINI_SELF(struct script);

    MINI_BEGIN;
    for (size_t i = 0; i < MUCH; i++) much[i] = pattern(i);
    STEP(mini_write(&self->io[0], self->fd[1], "hello", 5, 7));
    STEP(mini_read(&self->io[0], self->fd[0], self->buffer, 2, 0));
    STEP(mini_read(&self->io[0], self->fd[0], self->buffer + 2, 60, 99));
    self->task[0] =
        background(mini_read(&self->io[1], self->fd[0], self->buffer, 60, 1));
    SETTLE(self);
    NOTE(ended(&self->io[1].future));
    STEP(mini_write_all(&self->io[0], self->fd[1], "HE", 2, 1));
    STEP(mini_join(&self->join, self->task[0]));
    self->task[0] =
        background(mini_write_all(&self->io[1], self->fd[1], much, MUCH, 3));
    MINI_AWAIT(mini_read_exact(&self->io[0], self->fd[0], back, MUCH, 5));
    NOTE(MINI_RESULT == MUCH && memcmp(back, much, MUCH) == 0);
    MINI_AWAIT(mini_join(&self->join, self->task[0]));
    NOTE(MINI_RESULT == MUCH);
    STEP(mini_offload(&self->io[0], no_seek, NULL)); /* a result like others */
    MINI_END(0);
}

/* Cancelled between the kernel's refusal and the second try. */
static mini_poll no_second_try_script(
    struct mini_future *future, struct mini_context cx) {
    struct script *self = MINI_SELF(struct script);
    struct mini_future *read = &self->io[1].future;

    MINI_BEGIN;
    raw_send(self->fd[1], "!", 1);
    STEP(mini_readable(&self->io[0], self->fd[0]));
    mini_read(&self->io[1], self->fd[0], self->buffer, 1, 7);
    NOTE(read->poll(read, cx));
    for (; self->i < 3; self->i++) A_TURN(self);
    NOTE(read->poll(read, (struct mini_context){cx.task, true}));
    NOTE(read->result);
    MINI_END(0);
}

static void no_second_try(enum kind kind, bool nonblocking) {
    struct script self = MINI_FRAME(struct script, no_second_try_script);

    open_pair(kind, nonblocking, self.fd);
    check_equal(run(&self.future, clock_for(kind)), 0);
    assert_notes(0, MINI_PENDING, MINI_READY, -ESPIPE);
    close_pair(self.fd);
}

static void no_place(enum kind kind, bool nonblocking) {
    struct script self;
    int fd[2];

    open_pair(kind, nonblocking, fd);
    check_equal(run(MINI_CALL(struct script, &self, no_place_script,
                        .fd = {fd[0], fd[1]}),
                    clock_for(kind)),
        0);
    assert_notes(5, 2, 3, 0, 2, 2, 1, 1, -ESPIPE);
    check(strcmp(self.buffer, "HEllo") == 0);
    close_pair(fd);
}

static void g5_1_read_and_write_at_an_offset_of_what_has_none(void **state) {
    (void)state;
    each_pair(no_place);
    each_socket(no_second_try);
}

#define FAR (INT64_C(5) << 30) /* an offset that needs more than 32 bits */

static mini_poll file_script(
    struct mini_future *future, struct mini_context cx) {
    struct script *self = MINI_SELF(struct script);

    MINI_BEGIN;
    STEP(mini_write(&self->io[0], self->fd[0], "abcdef", 6, 0));
    STEP(mini_write(&self->io[0], self->fd[0], "XY", 2, 2));
    STEP(mini_read(&self->io[0], self->fd[0], self->buffer, 60, 1));
    STEP(mini_read(&self->io[0], self->fd[0], self->buffer + 5, 60, 6));
    STEP(mini_read(&self->io[0], self->fd[0], self->buffer + 5, 0, 0));
    STEP(mini_read(&self->io[0], self->fd[0], self->buffer + 5, 2, -1));
    STEP(mini_read(&self->io[0], self->fd[0], self->buffer + 7, 2, -1));
    STEP(mini_write(&self->io[0], self->fd[0], "!", 1, -1));
    STEP(mini_read(&self->io[0], self->fd[0], self->buffer + 9, 60, -1));
    STEP(mini_read(&self->io[0], self->fd[0], self->buffer + 10, 1, 4));
    STEP(mini_write(&self->io[0], self->fd[0], "far", 3, FAR));
    STEP(mini_read(&self->io[0], self->fd[0], self->buffer + 11, 60, FAR + 1));
    STEP(mini_read(&self->io[0], self->fd[0], self->buffer + 13, 1, 0));
    STEP(mini_read(&self->io[0], self->fd[0], self->buffer + 14, 9, FAR + 3));
    NOTE((long)lseek(self->fd[0], 0, SEEK_CUR));
    MINI_END(0);
}

static void g5_1_read_and_write_of_a_file_at_an_offset(void **state) {
    FILE *file = tmpfile();
    struct script self;

    (void)state;
    check(file != NULL);
    check_equal(
        run(MINI_CALL(struct script, &self, file_script, .fd = {fileno(file)}),
            virtual_clock()),
        0);
    snprintf(variant, sizeof variant, "file");
    assert_notes(6, 2, 5, 0, 0, 2, 2, 1, 1, 1, 3, 2, 1, 0, 6);
    assert_string_equal(self.buffer, "bXYefabXYf!ara");
    fclose(file);
}

/* Of the negative offsets one means something. */
static mini_poll bad_offset_script(
    struct mini_future *future, struct mini_context cx) {
    struct script *self = MINI_SELF(struct script);

    MINI_BEGIN;
    STEP(mini_write(&self->io[0], self->fd[0], "abc", 3, 0));
    STEP(mini_read(&self->io[0], self->fd[0], self->buffer, 1, -2));
    STEP(mini_write(&self->io[0], self->fd[0], "x", 1, INT64_MIN));
    STEP(mini_read(&self->io[0], self->fd[0], self->buffer, 9, -1));
    MINI_END(0);
}

static void g5_1_an_offset_before_the_file_is_einval(void **state) {
    FILE *file = tmpfile();
    struct script self;

    (void)state;
    check(file != NULL);
    check_equal(run(MINI_CALL(struct script, &self, bad_offset_script,
                        .fd = {fileno(file)}),
                    real_clock(1)),
        0);
    assert_notes(3, -EINVAL, -EINVAL, 3);
    fclose(file);
}

/* Any operation, as far as a wrong descriptor concerns it. */
static struct mini_future *operation(
    struct mini_io *slot, enum mini_op op, int fd) {
    static const struct sockaddr_in nowhere = {.sin_family = AF_INET};
    static struct mini_datagram datagram;
    static struct mini_statx statx;
    static char byte[1];

    switch (op) {
    case MINI_OP_ACCEPT: return mini_accept(slot, fd);
    case MINI_OP_CONNECT:
        return mini_connect(
            slot, fd, (const struct sockaddr *)&nowhere, sizeof nowhere);
    case MINI_OP_RECV: return mini_recv(slot, fd, byte, 1);
    case MINI_OP_SEND: return mini_send(slot, fd, byte, 1);
    case MINI_OP_SHUTDOWN: return mini_shutdown_socket(slot, fd, SHUT_RDWR);
    case MINI_OP_CLOSE: return mini_close(slot, fd);
    case MINI_OP_READ: return mini_read(slot, fd, byte, 1, -1);
    case MINI_OP_WRITE: return mini_write(slot, fd, byte, 1, -1);
    case MINI_OP_READABLE: return mini_readable(slot, fd);
    case MINI_OP_RECVMSG: return mini_recv_from(&datagram, fd, byte, 1);
    case MINI_OP_SENDMSG:
        return mini_send_to(&datagram, fd, byte, 1,
            (const struct sockaddr *)&nowhere, sizeof nowhere);
    case MINI_OP_SEND_ZC: return mini_send_zc(slot, fd, byte, 1);
    case MINI_OP_OPENAT: return mini_openat(slot, fd, "x", O_RDONLY, 0);
    case MINI_OP_FSYNC: return mini_fsync(slot, fd);
    case MINI_OP_STATX: return mini_statx(&statx, fd, "");
    case MINI_OP_RECV_LEASE: /* of streams */
    case MINI_OP_SENDFILE:
    case MINI_OP_CALL: break;
    }
    return NULL;
}

static const enum mini_op all_operations[] = {MINI_OP_ACCEPT, MINI_OP_CONNECT,
    MINI_OP_RECV, MINI_OP_SEND, MINI_OP_SHUTDOWN, MINI_OP_CLOSE, MINI_OP_READ,
    MINI_OP_WRITE, MINI_OP_READABLE, MINI_OP_RECVMSG, MINI_OP_SENDMSG,
    MINI_OP_SEND_ZC, MINI_OP_OPENAT, MINI_OP_FSYNC, MINI_OP_STATX};

/* An operation that hangs notes -ETIMEDOUT. */
#define WITHIN(awaited) mini_timeout(&self->timeout, awaited, 3 * MINI_SECOND)

static mini_poll bad_descriptor_script(
    struct mini_future *future, struct mini_context cx) {
    struct script *self = MINI_SELF(struct script);

    MINI_BEGIN;
    for (self->i = 0; self->i < (long)COUNT_OF(all_operations); self->i++)
        STEP(WITHIN(
            operation(&self->io[0], all_operations[self->i], self->fd[0])));
    MINI_END(0);
}

static void bad_descriptor(const char *what, int fd) {
    struct script self;

    snprintf(variant, sizeof variant, "%s", what);
    check_equal(
        run(MINI_CALL(struct script, &self, bad_descriptor_script, .fd = {fd}),
            real_clock(1)),
        0);
    check_equal(notes, COUNT_OF(all_operations));
    for (size_t i = 0; i < notes; i++) check_equal(noted[i], -EBADF);
}

static void g5_1_a_descriptor_that_is_not_open_is_ebadf(void **state) {
    (void)state;
    bad_descriptor("number 9999", 9999);
}

static void g5_1_a_negative_descriptor_is_ebadf(void **state) {
    (void)state;
    bad_descriptor("number -1", -1);
}

static mini_poll wrong_descriptor_script(
    struct mini_future *future, struct mini_context cx) {
    struct script *self = MINI_SELF(struct script);

    MINI_BEGIN;
    for (self->i = 0; self->i < 5; self->i++) /* accept to shutdown of a pipe */
        STEP(WITHIN(
            operation(&self->io[0], all_operations[self->i], self->fd[0])));
    STEP(WITHIN(mini_read(&self->io[0], self->fd[2], self->buffer, 9, 0)));
    STEP(WITHIN(mini_write(&self->io[0], self->fd[2], "no", 2, 0)));
    STEP(WITHIN(mini_accept(&self->io[0], self->fd[3])));
    STEP(WITHIN(mini_recv(&self->io[0], self->fd[3], self->buffer, 9)));
    STEP(WITHIN(mini_send(&self->io[0], self->fd[3], "no", 2)));
    STEP(WITHIN(mini_shutdown_socket(&self->io[0], self->fd[3], SHUT_WR)));
    STEP(WITHIN(mini_shutdown_socket(&self->io[0], self->fd[3], 99)));
    MINI_END(0);
}

static void g5_1_a_descriptor_of_the_wrong_kind(void **state) {
    int directory = open("/", O_RDONLY);
    int unconnected = socket(AF_INET, SOCK_STREAM, 0);
    struct script self;
    int fd[2];

    (void)state;
    open_pair(PIPE, false, fd);
    check_equal(run(MINI_CALL(struct script, &self, wrong_descriptor_script,
                        .fd = {fd[0], fd[1], directory, unconnected}),
                    real_clock(1)),
        0);
    assert_notes(-ENOTSOCK, -ENOTSOCK, -ENOTSOCK, -ENOTSOCK, -ENOTSOCK, -EISDIR,
        -EBADF, -EINVAL, -ENOTCONN, -EPIPE, -ENOTCONN, -EINVAL);
    close_pair(fd);
    close(directory);
    close(unconnected);
}

static mini_poll wrong_end_script(
    struct mini_future *future, struct mini_context cx) {
    struct script *self = MINI_SELF(struct script);

    MINI_BEGIN;
    STEP(WITHIN(mini_read(&self->io[0], self->fd[1], self->buffer, 1, -1)));
    STEP(WITHIN(mini_write(&self->io[0], self->fd[0], "x", 1, -1)));
    STEP(WITHIN(mini_read(&self->io[0], self->fd[0], self->buffer, 0, -1)));
    MINI_END(0);
}

static void g5_1_the_wrong_end_of_a_pipe(void **state) {
    struct script self;
    int fd[2];

    (void)state;
    for (int nonblocking = 0; nonblocking < 2; nonblocking++) {
        open_pair(PIPE, nonblocking, fd);
        check_equal(run(MINI_CALL(struct script, &self, wrong_end_script,
                            .fd = {fd[0], fd[1]}),
                        real_clock(1)),
            0);
        assert_notes(-EBADF, -EBADF, 0);
        close_pair(fd);
    }
}

static mini_poll accept_script(
    struct mini_future *future, struct mini_context cx) {
    struct script *self = MINI_SELF(struct script);

    MINI_BEGIN;
    self->task[0] = background(mini_accept(&self->io[0], self->fd[0]));
    SETTLE(self);
    NOTE(ended(&self->io[0].future)); /* nobody has connected */
    self->fd[1] = raw_connect(&self->address);
    MINI_AWAIT(mini_join(&self->join, self->task[0]));
    self->fd[2] = (int)MINI_RESULT;
    self->fd[3] = raw_connect(&self->address);
    MINI_AWAIT(mini_accept(&self->io[0], self->fd[0])); /* already waiting */
    NOTE(MINI_RESULT >= 0 && MINI_RESULT != self->fd[2]);
    NOTE(fcntl((int)MINI_RESULT, F_GETFD) & FD_CLOEXEC);
    NOTE(fcntl(self->fd[2], F_GETFD) & FD_CLOEXEC);
    close((int)MINI_RESULT);
    close(self->fd[3]);
    STEP(mini_send(&self->io[0], self->fd[2], "it", 2));
    STEP(mini_recv(&self->io[0], self->fd[1], self->buffer, 9));
    STEP(mini_send(&self->io[0], self->fd[1], "you", 3));
    STEP(mini_recv(&self->io[0], self->fd[2], self->buffer + 2, 9));
    STEP(mini_close(&self->io[0], self->fd[1]));
    STEP(mini_recv(&self->io[0], self->fd[2], self->buffer, 9));
    STEP(mini_close(&self->io[0], self->fd[2]));
    STEP(mini_close(&self->io[0], self->fd[2]));
    MINI_END(0);
}

static void g5_1_accept_gives_a_descriptor(void **state) {
    struct sockaddr_in address;
    struct script self;

    (void)state;
    for (int nonblocking = 0; nonblocking < 2; nonblocking++) {
        int listener = bound_socket(8, &address);

        set_nonblocking(listener, nonblocking);
        check_equal(run(MINI_CALL(struct script, &self, accept_script,
                            .fd = {listener}, .address = address),
                        real_clock(1)),
            0);
        assert_notes(0, 1, FD_CLOEXEC, FD_CLOEXEC, 2, 2, 3, 3, 0, 0, 0, -EBADF);
        assert_string_equal(self.buffer, "ityou");
        close(listener);
    }
}

static mini_poll connect_script(
    struct mini_future *future, struct mini_context cx) {
    struct script *self = MINI_SELF(struct script);

    MINI_BEGIN;
    STEP(mini_connect(&self->io[0], self->fd[0],
        (struct sockaddr *)&self->address, sizeof self->address));
    STEP(mini_send(&self->io[0], self->fd[0], "hi", 2));
    self->fd[2] = raw_accept(self->fd[1]);
    STEP(mini_recv(&self->io[0], self->fd[2], self->buffer, 9));
    close(self->fd[2]);
    /* once it may be told that it has come to an end, but not twice */
    MINI_AWAIT(mini_connect(&self->io[0], self->fd[0],
        (struct sockaddr *)&self->address, sizeof self->address));
    STEP(mini_connect(&self->io[0], self->fd[0],
        (struct sockaddr *)&self->address, sizeof self->address));
    STEP(mini_connect(
        &self->io[0], self->fd[3], (struct sockaddr *)&self->address, 2));
    /* to a port that is bound, but where nobody listens */
    getsockname(self->fd[3], (struct sockaddr *)&self->address,
        &(socklen_t){sizeof self->address});
    self->fd[2] = socket(AF_INET, SOCK_STREAM, 0);
    set_nonblocking(self->fd[2], self->flag);
    STEP(mini_connect(&self->io[0], self->fd[2],
        (struct sockaddr *)&self->address, sizeof self->address));
    close(self->fd[2]);
    MINI_END(0);
}

static void g5_1_connect_and_its_errors(void **state) {
    struct sockaddr_in address, closed;
    struct script self;

    (void)state;
    for (int nonblocking = 0; nonblocking < 2; nonblocking++) {
        int listener = bound_socket(8, &address);
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        int unused = bound_socket(-1, &closed);

        snprintf(variant, sizeof variant, "O_NONBLOCK: %d", nonblocking);
        set_nonblocking(fd, nonblocking);
        check_equal(run(MINI_CALL(struct script, &self, connect_script,
                            .fd = {fd, listener, -1, unused},
                            .address = address, .flag = nonblocking),
                        real_clock(1)),
            0);
        assert_notes(0, 2, 2, -EISCONN, -EINVAL, -ECONNREFUSED);
        close(listener);
        close(fd);
        close(unused);
    }
}

static mini_poll unix_connect_script(
    struct mini_future *future, struct mini_context cx) {
    struct script *self = MINI_SELF(struct script);
    static struct sockaddr_un address;

    MINI_BEGIN;
    getsockname(
        self->fd[1], (struct sockaddr *)&address, &(socklen_t){sizeof address});
    STEP(mini_connect(&self->io[0], self->fd[0], (struct sockaddr *)&address,
        sizeof address));
    STEP(mini_send(&self->io[0], self->fd[0], "hi", 2));
    close(self->fd[1]);
    STEP(mini_connect(&self->io[0], self->fd[2], (struct sockaddr *)&address,
        sizeof address));
    unlink(address.sun_path);
    STEP(mini_connect(&self->io[0], self->fd[3], (struct sockaddr *)&address,
        sizeof address));
    self->fd[1] = dup(self->fd[0]); /* for run's count */
    MINI_END(0);
}

static void g5_1_connect_of_unix_sockets(void **state) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char folder[] = "/tmp/miniss-test-XXXXXX";
    struct script self;

    (void)state;
    check(mkdtemp(folder) != NULL);
    snprintf(address.sun_path, sizeof address.sun_path, "%s/socket", folder);
    for (int nonblocking = 0; nonblocking < 2; nonblocking++) {
        int fd[4];

        for (int i = 0; i < 4; i++) {
            fd[i] = socket(AF_UNIX, SOCK_STREAM, 0);
            check(fd[i] >= 0);
            set_nonblocking(fd[i], nonblocking);
        }
        check_equal(
            bind(fd[1], (struct sockaddr *)&address, sizeof address), 0);
        check_equal(listen(fd[1], 1), 0);
        check_equal(run(MINI_CALL(struct script, &self, unix_connect_script,
                            .fd = {fd[0], fd[1], fd[2], fd[3]}),
                        real_clock(1)),
            0);
        assert_notes(0, 2, -ECONNREFUSED, -ENOENT);
        for (int i = 0; i < 4; i++) close(self.fd[i]);
    }
    rmdir(folder);
}

/* A queue that is full: who connects waits until somebody is taken off, or is
 * told, as by connect(2) of a socket that does not block. */
static mini_poll full_queue_script(
    struct mini_future *future, struct mini_context cx) {
    struct script *self = MINI_SELF(struct script);
    static struct sockaddr_un address;

    MINI_BEGIN;
    getsockname(
        self->fd[1], (struct sockaddr *)&address, &(socklen_t){sizeof address});
    MINI_AWAIT(mini_connect(&self->io[0], self->fd[0],
        (struct sockaddr *)&address, sizeof address));
    MINI_AWAIT(mini_connect(&self->io[0], self->fd[2],
        (struct sockaddr *)&address, sizeof address));
    self->task[0] = background(mini_connect(&self->io[1], self->fd[3],
        (struct sockaddr *)&address, sizeof address));
    SETTLE(self);
    NOTE(ended(&self->io[1].future) && self->io[1].future.result == 0);
    close(raw_accept(self->fd[1]));
    MINI_AWAIT(mini_join(&self->join, self->task[0]));
    NOTE(MINI_RESULT == 0 || MINI_RESULT == -EAGAIN);
    MINI_END(0);
}

static void g5_1_connect_to_a_queue_that_is_full(void **state) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char folder[] = "/tmp/miniss-test-XXXXXX";
    struct script self;

    (void)state;
    check(mkdtemp(folder) != NULL);
    snprintf(address.sun_path, sizeof address.sun_path, "%s/socket", folder);
    for (int nonblocking = 0; nonblocking < 2; nonblocking++) {
        int fd[4];

        for (int i = 0; i < 4; i++) {
            fd[i] = socket(AF_UNIX, SOCK_STREAM, 0);
            check(fd[i] >= 0);
            set_nonblocking(fd[i], nonblocking);
        }
        check_equal(
            bind(fd[1], (struct sockaddr *)&address, sizeof address), 0);
        check_equal(listen(fd[1], 1), 0);
        check_equal(run(MINI_CALL(struct script, &self, full_queue_script,
                            .fd = {fd[0], fd[1], fd[2], fd[3]}),
                        real_clock(1)),
            0);
        assert_notes(0, 1);
        for (int i = 0; i < 4; i++) close(fd[i]);
        unlink(address.sun_path);
    }
    rmdir(folder);
}

static mini_poll reset_script(
    struct mini_future *future, struct mini_context cx) {
    struct script *self = MINI_SELF(struct script);
    static char much[1 << 20];

    MINI_BEGIN;
    self->task[0] =
        background(mini_recv(&self->io[0], self->fd[0], self->buffer, 9));
    SETTLE(self);
    reset(self->fd[1]);
    STEP(mini_join(&self->join, self->task[0]));
    STEP(mini_recv(&self->io[0], self->fd[0], self->buffer, 9));
    STEP(mini_send(&self->io[0], self->fd[0], "late", 4));
    STEP(mini_send_all(&self->io[0], self->fd[0], "late", 4));
    self->task[0] =
        background(mini_send_all(&self->io[0], self->fd[2], much, sizeof much));
    SETTLE(self);
    NOTE(ended(&self->io[0].future)); /* its buffer is full */
    reset(self->fd[3]);
    STEP(mini_join(&self->join, self->task[0]));
    self->fd[1] = dup(self->fd[0]);
    self->fd[3] = dup(self->fd[0]);
    MINI_END(0);
}

static void g5_1_a_reset_is_told(void **state) {
    struct script self;
    int a[2], b[2];

    (void)state;
    for (int nonblocking = 0; nonblocking < 2; nonblocking++) {
        open_pair(TCP_SOCKETS, nonblocking, a);
        open_pair(TCP_SOCKETS, nonblocking, b);
        fill_up_tcp(b[0]);
        check_equal(run(MINI_CALL(struct script, &self, reset_script,
                            .fd = {a[0], a[1], b[0], b[1]}),
                        real_clock(1)),
            0);
        assert_notes(-ECONNRESET, 0, -EPIPE, -EPIPE, 0, -ECONNRESET);
        for (int i = 0; i < 4; i++) close(self.fd[i]);
    }
}

static mini_poll broken_pipe_script(
    struct mini_future *future, struct mini_context cx) {
    struct script *self = MINI_SELF(struct script);

    MINI_BEGIN;
    STEP(mini_send(&self->io[0], self->fd[0], "x", 1));
    STEP(mini_send_all(&self->io[0], self->fd[0], "x", 1));
    sigset_t pending;
    sigpending(&pending);
    NOTE(sigismember(&pending, SIGPIPE));
    STEP(mini_write(&self->io[0], self->fd[1], "x", 1, -1));
    MINI_END(0);
}

/* The signal is blocked, so that one that was sent can be seen. */
static void g5_1_a_closed_peer_is_epipe_without_sigpipe(void **state) {
    struct sigaction standard = {.sa_handler = SIG_DFL}, before;
    struct script self;
    sigset_t pipe_signal, mask;
    int a[2], b[2];

    (void)state;
    sigemptyset(&pipe_signal);
    sigaddset(&pipe_signal, SIGPIPE);
    sigaction(SIGPIPE, &standard, &before);
    pthread_sigmask(SIG_BLOCK, &pipe_signal, &mask);
    open_pair(PIPE, false, b);
    open_pair(UNIX_SOCKETS, false, a);
    close(a[1]);
    close(b[0]);
    long result = run(
        MINI_CALL(struct script, &self, broken_pipe_script, .fd = {a[0], b[1]}),
        virtual_clock());

    standard.sa_handler = SIG_IGN; /* drops the one that write has raised */
    sigaction(SIGPIPE, &standard, NULL);
    pthread_sigmask(SIG_SETMASK, &mask, NULL);
    sigaction(SIGPIPE, &before, NULL);
    check_equal(result, 0);
    assert_notes(-EPIPE, -EPIPE, 0, -EPIPE);
    close(a[0]);
    close(b[1]);
}

static mini_poll shutdown_script(
    struct mini_future *future, struct mini_context cx) {
    struct script *self = MINI_SELF(struct script);

    MINI_BEGIN;
    STEP(mini_shutdown_socket(&self->io[0], self->fd[0], SHUT_WR));
    STEP(mini_recv(&self->io[0], self->fd[1], self->buffer, 9));
    STEP(mini_send(&self->io[0], self->fd[1], "still", 5));
    STEP(mini_recv(&self->io[0], self->fd[0], self->buffer, 9));
    STEP(mini_send(&self->io[0], self->fd[0], "no", 2));
    STEP(mini_shutdown_socket(&self->io[0], self->fd[2], SHUT_RD));
    STEP(mini_recv(&self->io[0], self->fd[2], self->buffer, 9));
    STEP(mini_send(&self->io[0], self->fd[2], "yes", 3));
    STEP(mini_recv(&self->io[0], self->fd[3], self->buffer, 9));
    self->task[0] =
        background(mini_recv(&self->io[1], self->fd[3], self->buffer, 9));
    SETTLE(self);
    STEP(mini_shutdown_socket(&self->io[0], self->fd[2], SHUT_RDWR));
    STEP(mini_join(&self->join, self->task[0]));
    STEP(mini_send(&self->io[0], self->fd[2], "no", 2));
    MINI_END(0);
}

static void g5_1_shutdown_of_one_or_both_directions(void **state) {
    struct script self;
    int a[2], b[2];

    (void)state;
    for (int nonblocking = 0; nonblocking < 2; nonblocking++) {
        open_pair(UNIX_SOCKETS, nonblocking, a);
        open_pair(UNIX_SOCKETS, nonblocking, b);
        check_equal(run(MINI_CALL(struct script, &self, shutdown_script,
                            .fd = {a[0], a[1], b[0], b[1]}),
                        virtual_clock()),
            0);
        assert_notes(0, 0, 5, 5, -EPIPE, 0, 0, 3, 3, 0, 0, -EPIPE);
        close_pair(a);
        close_pair(b);
    }
}

static mini_poll close_script(
    struct mini_future *future, struct mini_context cx) {
    struct script *self = MINI_SELF(struct script);

    MINI_BEGIN;
    STEP(mini_close(&self->io[0], self->fd[1]));
    NOTE(fcntl(self->fd[1], F_GETFD));
    NOTE(fcntl(self->fd[0], F_GETFD) >= 0);
    STEP(mini_recv(&self->io[0], self->fd[0], self->buffer, 9));
    STEP(mini_close(&self->io[0], self->fd[1]));
    self->fd[1] = dup(self->fd[0]);
    MINI_END(0);
}

static void g5_1_close_closes_that_descriptor(void **state) {
    struct script self;
    int fd[2];

    (void)state;
    open_pair(UNIX_SOCKETS, false, fd);
    check_equal(
        run(MINI_CALL(struct script, &self, close_script, .fd = {fd[0], fd[1]}),
            virtual_clock()),
        0);
    assert_notes(0, -1, 1, 0, -EBADF);
    close(fd[0]);
    close(self.fd[1]);
}

static mini_poll readable_script(
    struct mini_future *future, struct mini_context cx) {
    struct script *self = MINI_SELF(struct script);

    MINI_BEGIN;
    self->task[0] = background(mini_readable(&self->io[0], self->fd[0]));
    SETTLE(self);
    NOTE(ended(&self->io[0].future));
    raw_send(self->fd[1], "data", 4);
    STEP(mini_join(&self->join, self->task[0]));
    STEP(mini_readable(&self->io[0], self->fd[0]));
    NOTE((long)drain(self->fd[0], -1)); /* it took nothing */
    self->task[0] = background(mini_readable(&self->io[0], self->fd[0]));
    SETTLE(self);
    NOTE(ended(&self->io[0].future));
    close(self->fd[1]);
    STEP(mini_join(&self->join, self->task[0])); /* the end, too */
    self->fd[1] = dup(self->fd[0]);
    MINI_END(0);
}

static void readable(enum kind kind, bool nonblocking) {
    struct script self;
    int fd[2];

    open_pair(kind, nonblocking, fd);
    check_equal(run(MINI_CALL(struct script, &self, readable_script,
                        .fd = {fd[0], fd[1]}),
                    clock_for(kind)),
        0);
    assert_notes(0, 0, 0, 4, 0, 0);
    close(fd[0]);
    close(self.fd[1]);
}

static void g5_1_readable_waits_and_takes_nothing(void **state) {
    (void)state;
    each_pair(readable);
}

static mini_poll full_script(
    struct mini_future *future, struct mini_context cx) {
    struct script *self = MINI_SELF(struct script);
    enum kind kind = (enum kind)self->j;

    MINI_BEGIN;
    self->sum = (long)fill_up(self->fd[1], 'f');
    for (self->i = 0; self->i < 100; self->i++)
        self->buffer[self->i] = pattern((size_t)self->i);
    self->task[0] = background(
        transmit(kind, &self->io[0], self->fd[1], self->buffer, 100));
    SETTLE(self);
    NOTE(ended(&self->io[0].future));
    NOTE(self->sum - (long)drain(self->fd[0], -1));
    STEP(mini_join(&self->join, self->task[0]));
    NOTE((long)drain(self->fd[0], 0));
    MINI_END(0);
}

static void full(enum kind kind, bool nonblocking) {
    struct script self;
    int fd[2];

    open_pair(kind, nonblocking, fd);
    check_equal(run(MINI_CALL(struct script, &self, full_script,
                        .fd = {fd[0], fd[1]}, .j = (long)kind),
                    virtual_clock()),
        0);
    assert_notes(0, 0, 100, 100);
    close_pair(fd);
}

static void g5_1_sending_waits_for_room(void **state) {
    (void)state;
    full(UNIX_SOCKETS, false);
    full(UNIX_SOCKETS, true);
    full(PIPE, false);
    full(PIPE, true);
}

/* A writer in parts and a reader in other parts, of an endless stream. */
enum { STREAM_BYTES = 1 << 20 };
struct writer {
    struct mini_future future;
    struct mini_io io;
    enum kind kind;
    int fd;
    size_t sent;
    char *bytes; /* STREAM_BYTES of them */
};

static mini_poll writer(struct mini_future *future, struct mini_context cx) {
    struct writer *self = MINI_SELF(struct writer);

    MINI_BEGIN;
    while (self->sent < STREAM_BYTES) {
        MINI_AWAIT(transmit(self->kind, &self->io, self->fd,
            self->bytes + self->sent, STREAM_BYTES - self->sent));
        if (MINI_RESULT <= 0) break;
        self->sent += (size_t)MINI_RESULT;
    }
    MINI_END((long)self->sent);
}

struct reader {
    struct mini_future future;
    struct mini_io io;
    struct mini_join join;
    struct mini_task *writer;
    enum kind kind;
    int fd[2];
    size_t got, wrong;
    char *bytes, part[8192];
};

static mini_poll reader(struct mini_future *future, struct mini_context cx) {
    struct reader *self = MINI_SELF(struct reader);

    MINI_BEGIN;
    self->writer = MINI_SPAWN(struct writer, writer, .kind = self->kind,
        .fd = self->fd[1], .bytes = self->bytes);
    while (self->got < STREAM_BYTES) {
        MINI_AWAIT(receive(self->kind, &self->io, self->fd[0], self->part,
            1 + self->got % sizeof self->part));
        if (MINI_RESULT <= 0) break;
        self->wrong += memcmp(self->part, self->bytes + self->got,
                           (size_t)MINI_RESULT) != 0;
        self->got += (size_t)MINI_RESULT;
    }
    STEP(mini_join(&self->join, self->writer));
    NOTE((long)self->got);
    NOTE((long)self->wrong);
    MINI_END(0);
}

static void transfer(enum kind kind, bool nonblocking) {
    static struct reader self;
    char *bytes = malloc(STREAM_BYTES);
    int fd[2];

    check(bytes != NULL);
    for (size_t i = 0; i < STREAM_BYTES; i++) bytes[i] = pattern(i);
    open_pair(kind, nonblocking, fd);
    check_equal(run(MINI_CALL(struct reader, &self, reader, .kind = kind,
                        .fd = {fd[0], fd[1]}, .bytes = bytes),
                    real_clock(1)),
        0);
    assert_notes(STREAM_BYTES, STREAM_BYTES, 0);
    close_pair(fd);
    free(bytes);
}

static void g5_1_a_megabyte_arrives_in_order(void **state) {
    (void)state;
    each_pair(transfer);
}

/* ---- send_all ----------------------------------------------------------- */

static mini_poll send_all_script(
    struct mini_future *future, struct mini_context cx) {
    struct reader *self = MINI_SELF(struct reader);
    static struct mini_io all;

    MINI_BEGIN;
    self->writer =
        background(mini_send_all(&all, self->fd[1], self->bytes, STREAM_BYTES));
    while (self->got < STREAM_BYTES) {
        MINI_AWAIT(mini_recv(&self->io, self->fd[0], self->part,
            1 + self->got % sizeof self->part));
        if (MINI_RESULT <= 0) break;
        self->wrong += memcmp(self->part, self->bytes + self->got,
                           (size_t)MINI_RESULT) != 0;
        self->got += (size_t)MINI_RESULT;
    }
    STEP(mini_join(&self->join, self->writer));
    NOTE((long)all.done);
    NOTE((long)self->got);
    NOTE((long)self->wrong);
    STEP(mini_send_all(&self->io, self->fd[1], "", 0));
    MINI_END(0);
}

static void send_all(enum kind kind, bool nonblocking) {
    static struct reader self;
    char *bytes = malloc(STREAM_BYTES);
    int fd[2];

    check(bytes != NULL);
    for (size_t i = 0; i < STREAM_BYTES; i++) bytes[i] = pattern(i);
    open_pair(kind, nonblocking, fd);
    check_equal(run(MINI_CALL(struct reader, &self, send_all_script,
                        .fd = {fd[0], fd[1]}, .bytes = bytes),
                    real_clock(1)),
        0);
    assert_notes(STREAM_BYTES, STREAM_BYTES, STREAM_BYTES, 0, 0);
    close_pair(fd);
    free(bytes);
}

static void g5_1_send_all_goes_on_until_all_is_sent(void **state) {
    (void)state;
    each_socket(send_all);
}

struct big {
    struct script script;
    char *bytes;
};

/* The peer reads what there is, then closes. */
static mini_poll send_all_broken_script(
    struct mini_future *future, struct mini_context cx) {
    struct big *self = MINI_SELF(struct big);

    MINI_BEGIN;
    self->script.task[0] = background(mini_send_all(
        &self->script.io[0], self->script.fd[0], self->bytes, STREAM_BYTES));
    MINI_AWAIT(mini_sleep(&self->script.sleep, MINI_MS));
    self->script.sum = (long)drain(self->script.fd[1], 0);
    MINI_AWAIT(mini_sleep(&self->script.sleep, MINI_MS));
    self->script.sum += (long)drain(self->script.fd[1], self->script.sum);
    close(self->script.fd[1]);
    STEP(mini_join(&self->script.join, self->script.task[0]));
    NOTE(self->script.sum - (long)self->script.io[0].done);
    NOTE(self->script.sum > 0);
    self->script.fd[1] = dup(self->script.fd[0]);
    MINI_END(0);
}

static void g5_1_send_all_says_how_much_went_out_before_an_error(void **state) {
    struct big self;
    int fd[2];

    (void)state;
    for (int nonblocking = 0; nonblocking < 2; nonblocking++) {
        char *bytes = malloc(STREAM_BYTES);

        check(bytes != NULL);
        for (size_t i = 0; i < STREAM_BYTES; i++) bytes[i] = pattern(i);
        open_pair(UNIX_SOCKETS, nonblocking, fd);
        self.script.future = MINI_FUTURE(send_all_broken_script, "broken");
        self.script.fd[0] = fd[0];
        self.script.fd[1] = fd[1];
        self.bytes = bytes;
        check_equal(run(&self.script.future, virtual_clock()), 0);
        assert_notes(-EPIPE, 0, 1);
        close(fd[0]);
        close(self.script.fd[1]);
        free(bytes);
    }
}

/* ---- listening ---------------------------------------------------------- */

static void g5_1_listen_and_its_errors(void **state) {
    char too_long[80];

    (void)state;
    memset(too_long, 'x', sizeof too_long - 1);
    too_long[sizeof too_long - 1] = '\0';
    int fd = mini_listen(NULL, 0, false);

    check(fd >= 0);
    check_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    int port = mini_port_of(fd), files = open_files();

    assert_in_range(port, 1, 65535);
    struct sockaddr_in address = loopback((unsigned)port);
    int peer = raw_connect(&address);

    close(peer);
    check_equal(waiting_connections(fd, 1), 1);
    check_equal(mini_listen(NULL, (unsigned)port, false), -EADDRINUSE);
    int last = mini_listen(NULL, 65535, false); /* is one, if a busy one */

    check(last >= 0 || last == -EADDRINUSE);
    if (last >= 0) close(last);
    check_equal(mini_listen("127.0.0.1", 65536, false), -EINVAL);
    check_equal(mini_listen("127.0.0.1", UINT_MAX, false), -EINVAL);
    check_equal(mini_listen(too_long, 0, false), -EADDRNOTAVAIL);
    check_equal(mini_listen("192.0.2.1", 0, false), -EADDRNOTAVAIL);
    check_equal(mini_port_of(-1), -EBADF);
    check_equal(mini_port_of(STDIN_FILENO), -ENOTSOCK);
    check_equal(open_files(), files);
    close(fd);
    fd = mini_listen("localhost", (unsigned)port, false); /* free again */
    check(fd >= 0);
    check_equal(mini_port_of(fd), port);
    close(fd);
}

/* Though connections of the server before are still being closed; and a socket
 * that gets no port goes, whatever its number. */
static void g5_1_a_port_is_free_again_at_once(void **state) {
    int fd = mini_listen(NULL, 0, false), on = 0;
    socklen_t length = sizeof on;

    (void)state;
    check(fd >= 0);
    check_equal(getsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, &length), 0);
    check(on);
    int kept = dup(STDIN_FILENO);

    close(STDIN_FILENO);
    check_equal(
        mini_listen(NULL, (unsigned)mini_port_of(fd), false), -EADDRINUSE);
    check_equal(fcntl(STDIN_FILENO, F_GETFD), -1);
    dup2(kept, STDIN_FILENO);
    close(kept);
    close(fd);
}

/* Two sockets of one number would have each other's datagrams. */
static void g5_1_datagrams_of_a_port_have_one_owner(void **state) {
    int fd = mini_bind(NULL, 0, SOCK_DGRAM, false);

    (void)state;
    check(fd >= 0);
    unsigned port = (unsigned)mini_port_of(fd);

    check_equal(mini_bind(NULL, port, SOCK_DGRAM, false), -EADDRINUSE);
    close(fd);
}

#ifdef __GLIBC__
/* Its first address is not this machine's: that of another one, or of a kind
 * that it has not, as ::1 of localhost may be. tests/faults.c knows the name. */
static void g5_1_listens_on_the_first_address_there_is(void **state) {
    int files = open_files(), fd = mini_listen("three.example", 0, false);

    (void)state;
    check(fd >= 0);
    unsigned port = (unsigned)mini_port_of(fd);
    struct sockaddr_in address = loopback(port);
    int peer = raw_connect(&address);

    close(peer);
    check_equal(waiting_connections(fd, 1), 1);
    /* it is busy there: no reason to go on, to the next */
    check_equal(mini_listen("three.example", port, false), -EADDRINUSE);
    close(fd);
    check_equal(open_files(), files);
}
#endif

/* A process may have closed its standard input: 0 is a descriptor, too. */
static void g5_1_descriptor_0_listens_as_well(void **state) {
    int input = dup(STDIN_FILENO); /* -1: it is closed */
    int on = 0;
    socklen_t size = sizeof on;

    (void)state;
    close(STDIN_FILENO);
    int fd = mini_listen(NULL, 0, false);
    int result = getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &size);

    close(fd);
    if (input >= 0) dup2(input, STDIN_FILENO);
    if (input >= 0) close(input);
    assert_int_equal(fd, 0);
    assert_int_equal(result, 0);
    assert_int_not_equal(on, 0);
}

/* Whether there is SO_REUSEPORT here; that is all that may be wrong with it. */
static bool are_ports_shared(void) {
    int fd = mini_listen(NULL, 0, true);

    check(fd >= 0 || fd == -ENOPROTOOPT);
    if (fd >= 0) close(fd);
    return fd >= 0;
}

/* Where there is SO_REUSEPORT, all who share a port must ask for it. */
static void g5_1_listen_may_share_a_port(void **state) {
    int first = mini_listen(NULL, 0, true);

    (void)state;
    if (first == -ENOPROTOOPT) skip();
    check(first >= 0);
    unsigned port = (unsigned)mini_port_of(first);
    int second = mini_listen(NULL, port, true);

    check(second >= 0);
    check_equal(mini_port_of(second), port);
    check_equal(mini_listen(NULL, port, false), -EADDRINUSE);
    close(first);
    close(second);
}

static void g5_1_listen_on_ipv6(void **state) {
    int fd = mini_listen("::1", 0, false);

    (void)state;
    if (fd == -EADDRNOTAVAIL || fd == -EAFNOSUPPORT) skip();
    check(fd >= 0);
    struct sockaddr_in6 address;
    socklen_t size = sizeof address;

    check_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    check_equal(address.sin6_family, AF_INET6);
    check_equal(mini_port_of(fd), ntohs(address.sin6_port));
    close(fd);
}

/* ---- G5.2: cancel ------------------------------------------------------- */

/* Operations that wait, each with its buffer. */
enum {
    WAITING_RECV,
    WAITING_READ,
    WAITING_READABLE,
    WAITING_SEND,
    WAITING_SEND_ALL,
    WAITING_WRITE,
    WAITING_ACCEPT,
    WAITING_CONNECT,
    WAITING_COUNT
};
static const char *const waiting_names[] = {"recv", "read", "readable", "send",
    "send_all", "write", "accept", "connect"};

struct waiting {
    struct script script;
    int what;
    enum { BY_CANCEL, BY_CANCEL_AT_ONCE, BY_TIMEOUT, WAYS } way;
};

static struct mini_future *wait_for(
    struct waiting *self, struct mini_io *slot) {
    struct script *s = &self->script;

    switch (self->what) {
    case WAITING_RECV: return mini_recv(slot, s->fd[0], s->buffer, 200);
    case WAITING_READ: return mini_read(slot, s->fd[0], s->buffer, 200, -1);
    case WAITING_READABLE: return mini_readable(slot, s->fd[0]);
    case WAITING_SEND: return mini_send(slot, s->fd[1], s->buffer, 200);
    case WAITING_SEND_ALL: return mini_send_all(slot, s->fd[1], s->buffer, 200);
    case WAITING_WRITE: return mini_write(slot, s->fd[1], s->buffer, 200, -1);
    case WAITING_ACCEPT: return mini_accept(slot, s->fd[0]);
    default:
        return mini_connect(
            slot, s->fd[1], (struct sockaddr *)&s->address, sizeof s->address);
    }
}

static mini_poll waiting_script(
    struct mini_future *future, struct mini_context cx) {
    struct waiting *self = MINI_SELF(struct waiting);
    struct script *s = &self->script;

    MINI_BEGIN;
    if (self->way == BY_TIMEOUT) {
        STEP(mini_timeout(&s->timeout, wait_for(self, &s->io[0]), 2 * MINI_MS));
        MINI_RETURN(s->io[0].future.result);
    }
    s->task[0] = background(wait_for(self, &s->io[0]));
    if (self->way == BY_CANCEL_AT_ONCE)
        MINI_AWAIT(mini_yield(&s->yield)); /* it has begun in this turn */
    else
        SETTLE(s);
    NOTE(ended(&s->io[0].future));
    mini_cancel(s->task[0]);
    mini_cancel(s->task[0]);
    STEP(mini_join(&s->join, s->task[0]));
    /* what comes now is not for it */
    if (self->what <= WAITING_READABLE) {
        raw_send(s->fd[1], "late", 4);
        SETTLE(s);
        MINI_AWAIT(mini_readable(&s->io[1], s->fd[0]));
        NOTE((long)drain(s->fd[0], -1));
    }
    MINI_END(s->io[0].future.result);
}

static void cancel_waiting(
    int what, enum kind kind, bool nonblocking, int way) {
    struct waiting self = {.script.future = MINI_FUTURE(waiting_script, "it"),
        .what = what,
        .way = way};
    bool by_timeout = way == BY_TIMEOUT;
    size_t filled = 0;
    int fd[2];

    open_pair(kind, nonblocking, fd);
    snprintf(variant + strlen(variant), sizeof variant - strlen(variant),
        ", %s, way %d", waiting_names[what], way);
    memset(self.script.buffer, 'c', sizeof self.script.buffer);
    memcpy(self.script.fd, fd, sizeof fd);
    if (what >= WAITING_SEND) filled = fill_up(fd[1], 'f');
    /* by mini_timeout the clock is virtual on every kind: nothing arrives */
    check_equal(run(&self.script.future,
                    by_timeout ? virtual_clock() : clock_for(kind)),
        -ECANCELED);
    if (by_timeout)
        assert_notes(-ETIMEDOUT);
    else if (what <= WAITING_READABLE)
        assert_notes(0, -ECANCELED, 4);
    else
        assert_notes(0, -ECANCELED);
    for (size_t i = 0; i < sizeof self.script.buffer; i++)
        check_equal(self.script.buffer[i], 'c');
    if (what >= WAITING_SEND) { /* not a byte of it went out */
        check_equal(drain(fd[0], -1), filled);
        check_equal(self.script.io[0].done, 0);
    }
    close_pair(fd);
}

static void cancel_each(bool nonblocking, int way) {
    cancel_waiting(WAITING_RECV, UNIX_SOCKETS, nonblocking, way);
    cancel_waiting(WAITING_RECV, TCP_SOCKETS, nonblocking, way);
    cancel_waiting(WAITING_READ, UNIX_SOCKETS, nonblocking, way);
    cancel_waiting(WAITING_READ, PIPE, nonblocking, way);
    cancel_waiting(WAITING_READABLE, PIPE, nonblocking, way);
    cancel_waiting(WAITING_SEND, UNIX_SOCKETS, nonblocking, way);
    cancel_waiting(WAITING_SEND_ALL, UNIX_SOCKETS, nonblocking, way);
    cancel_waiting(WAITING_WRITE, PIPE, nonblocking, way);
}

static void g5_2_cancel_of_an_operation_that_waits(void **state) {
    (void)state;
    for (int way = 0; way < WAYS; way++) {
        cancel_each(false, way);
        cancel_each(true, way);
    }
}

static void g5_2_cancel_of_an_accept_that_waits(void **state) {
    (void)state;
    for (int i = 0; i < 2 * WAYS; i++) {
        struct waiting self = {
            .script.future = MINI_FUTURE(waiting_script, "it"),
            .what = WAITING_ACCEPT,
            .way = i / 2};
        int listener = bound_socket(8, &self.script.address);

        set_nonblocking(listener, i & 1);
        self.script.fd[0] = listener;
        check_equal(run(&self.script.future, virtual_clock()), -ECANCELED);
        if (self.way == BY_TIMEOUT)
            assert_notes(-ETIMEDOUT);
        else
            assert_notes(0, -ECANCELED);
        close(raw_connect(&self.script.address));
        check_equal(waiting_connections(listener, 1), 1);
        close(listener);
    }
}

/* A listening socket whose queue is full leaves connects waiting. Not if it is a
 * system that queues more than it was told. */
struct full_queue {
    struct sockaddr_in address;
    int listener, queue[8];
    size_t queued;
    bool full;
};

static struct full_queue open_full_queue(void) {
    struct full_queue q = {.full = false};

    q.listener = bound_socket(0, &q.address);
    while (!q.full && q.queued < COUNT_OF(q.queue)) {
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        struct pollfd done = {.fd = fd, .events = POLLOUT};

        set_nonblocking(fd, true);
        connect(fd, (struct sockaddr *)&q.address, sizeof q.address);
        q.full = poll(&done, 1, 500) == 0; /* or it is just late */
        q.queue[q.queued++] = fd;
    }
    return q;
}

static void close_full_queue(struct full_queue *q) {
    while (q->queued > 0) close(q->queue[--q->queued]);
    close(q->listener);
    if (!q->full) skip();
}

static void g5_2_cancel_of_a_connect_that_waits(void **state) {
    (void)state;
    struct full_queue q = open_full_queue();

    for (int i = 0; q.full && i < 2 * WAYS; i++) {
        struct waiting self = {
            .script.future = MINI_FUTURE(waiting_script, "it"),
            .script.address = q.address,
            .what = WAITING_CONNECT,
            .way = i / 2};

        self.script.fd[1] = socket(AF_INET, SOCK_STREAM, 0);
        set_nonblocking(self.script.fd[1], i & 1);
        long result = run(&self.script.future, virtual_clock());

        close(self.script.fd[1]);
        check_equal(result, -ECANCELED);
        if (self.way == BY_TIMEOUT)
            assert_notes(-ETIMEDOUT);
        else
            assert_notes(0, -ECANCELED);
    }
    close_full_queue(&q);
}

/* Nobody should do this: when what has waited can go on, its descriptor is no
 * socket any more. io_uring knows the socket itself. */
static mini_poll no_socket_script(
    struct mini_future *future, struct mini_context cx) {
    struct script *self = MINI_SELF(struct script);

    MINI_BEGIN;
    self->task[0] = background(mini_connect(&self->io[0], self->fd[2],
        (struct sockaddr *)&self->address, sizeof self->address));
    SETTLE(self);
    NOTE(ended(&self->io[0].future));
    must(dup2(self->fd[1], self->fd[2]) >= 0, "dup2");
    STEP(mini_join(&self->join, self->task[0]));
    MINI_END(0);
}

static void g5_1_a_connect_that_cannot_be_asked_about_says_so(void **state) {
    (void)state;
    if (!getenv("MINI_IO") || strcmp(getenv("MINI_IO"), "poll") != 0) skip();
    struct full_queue q = open_full_queue();
    struct script self =
        MINI_FRAME(struct script, no_socket_script, .address = q.address);

    open_pair(PIPE, false, self.fd);
    self.fd[2] = socket(AF_INET, SOCK_STREAM, 0);
    if (q.full) {
        check_equal(run(&self.future, virtual_clock()), 0);
        assert_notes(0, -ENOTSOCK);
    }
    close(self.fd[2]);
    close_pair(self.fd);
    close_full_queue(&q);
}

/* A backend that takes its time to stop what it is asked to. */
static const struct mini_io_backend *prompt_backend;
static long times_asked;

static void ask_to_stop(struct mini_io_shard *io, struct mini_io *operation) {
    (void)io;
    (void)operation;
    times_asked++;
}

/* It is polled again and again meanwhile. */
static mini_poll asked_once_script(
    struct mini_future *future, struct mini_context cx) {
    struct script *self = MINI_SELF(struct script);
    static struct mini_io_backend slow_backend;

    MINI_BEGIN;
    prompt_backend = mini_self->io.backend;
    slow_backend = *prompt_backend;
    slow_backend.stop = ask_to_stop;
    for (; self->i < 2; self->i++) { /* nor has it forgotten the next time */
        self->task[0] =
            background(mini_recv(&self->io[0], self->fd[0], self->buffer, 9));
        A_TURN(self);
        times_asked = 0;
        mini_self->io.backend = &slow_backend;
        mini_cancel(self->task[0]);
        for (self->j = 0; self->j < 3; self->j++) {
            MINI_AWAIT(mini_yield(&self->yield));
            NOTE(times_asked);
            mini_wake(self->task[0]);
        }
        NOTE(ended(&self->io[0].future));
        mini_self->io.backend = prompt_backend;
        prompt_backend->stop(&mini_self->io, &self->io[0]);
        STEP(mini_join(&self->join, self->task[0]));
    }
    MINI_END(0);
}

static void g5_2_a_backend_is_asked_once_to_stop(void **state) {
    struct script self = MINI_FRAME(struct script, asked_once_script, .i = 0);

    (void)state;
    open_pair(UNIX_SOCKETS, false, self.fd);
    check_equal(run(&self.future, virtual_clock()), 0);
    close_pair(self.fd);
    assert_notes(1, 1, 1, 0, -ECANCELED, 1, 1, 1, 0, -ECANCELED);
}

static mini_poll early_script(
    struct mini_future *future, struct mini_context cx) {
    struct script *self = MINI_SELF(struct script);

    MINI_BEGIN;
    raw_send(self->fd[1], "data", 4);
    self->task[0] =
        background(mini_recv(&self->io[0], self->fd[0], self->buffer, 9));
    self->task[1] = background(mini_send(&self->io[1], self->fd[0], "no", 2));
    self->task[2] = background(mini_close(&self->io[2], self->fd[0]));
    mini_cancel(self->task[0]);
    mini_cancel(self->task[1]);
    mini_cancel(self->task[2]);
    STEP(mini_join(&self->join, self->task[0]));
    STEP(mini_join(&self->join, self->task[1]));
    STEP(mini_join(&self->join, self->task[2]));
    SETTLE(self);
    NOTE((long)drain(self->fd[0], -1));
    NOTE((long)drain(self->fd[1], -1));
    MINI_END(0);
}

static void g5_2_cancelled_before_its_first_poll_it_never_starts(void **state) {
    struct script self;
    int fd[2];

    (void)state;
    open_pair(UNIX_SOCKETS, false, fd);
    check_equal(
        run(MINI_CALL(struct script, &self, early_script, .fd = {fd[0], fd[1]}),
            virtual_clock()),
        0);
    assert_notes(-ECANCELED, -ECANCELED, -ECANCELED, 4, 0);
    close_pair(fd);
}

/* Two operations end in the same turn; who is polled first cancels the other,
 * which has its result already. */
struct rival {
    struct mini_future future;
    struct mini_io io;
    int fd;
    struct mini_task **other;
    char byte;
};

static mini_poll rival(struct mini_future *future, struct mini_context cx) {
    struct rival *self = MINI_SELF(struct rival);

    MINI_BEGIN;
    MINI_AWAIT(mini_recv(&self->io, self->fd, &self->byte, 1));
    if (!*self->other) MINI_RETURN(MINI_RESULT);
    mini_cancel(*self->other);
    *self->other = NULL; /* cancel once: by whoever is first */
    MINI_END(MINI_RESULT + 10);
}

static mini_poll rivals_script(
    struct mini_future *future, struct mini_context cx) {
    struct script *self = MINI_SELF(struct script);
    static struct mini_task *cancels[2]; /* whom the first, the second */

    MINI_BEGIN;
    self->task[0] = MINI_SPAWN(
        struct rival, rival, .fd = self->fd[0], .other = &cancels[0]);
    self->task[1] = MINI_SPAWN(
        struct rival, rival, .fd = self->fd[2], .other = &cancels[1]);
    cancels[0] = self->task[1];
    cancels[1] = self->task[0];
    SETTLE(self);
    raw_send(self->fd[1], "a", 1);
    raw_send(self->fd[3], "b", 1);
    MINI_AWAIT(mini_join(&self->join, self->task[0]));
    self->sum = MINI_RESULT;
    MINI_AWAIT(mini_join(&self->join, self->task[1]));
    NOTE(self->sum % 10); /* 1: its byte */
    NOTE(MINI_RESULT % 10);
    NOTE((long)drain(self->fd[0], -1));
    NOTE((long)drain(self->fd[2], -1));
    MINI_END(0);
}

static void g5_2_a_result_that_is_there_wins(void **state) {
    struct script self;
    int a[2], b[2];

    (void)state;
    for (int nonblocking = 0; nonblocking < 2; nonblocking++) {
        open_pair(UNIX_SOCKETS, nonblocking, a);
        open_pair(UNIX_SOCKETS, nonblocking, b);
        check_equal(run(MINI_CALL(struct script, &self, rivals_script,
                            .fd = {a[0], a[1], b[0], b[1]}),
                        virtual_clock()),
            0);
        assert_notes(1, 1, 0, 0);
        close_pair(a);
        close_pair(b);
    }
}

/* Data and cancel in every order and distance: a byte is either received or
 * still there. */
enum { ROUNDS = 600 };
struct race {
    struct script script;
    enum kind kind;
    struct mini_future *inner;
    int yields;
    long received, left, wrong;
    char byte;
};

static mini_poll race_script(
    struct mini_future *future, struct mini_context cx) {
    struct race *self = MINI_SELF(struct race);
    struct script *s = &self->script;

    MINI_BEGIN;
    for (s->i = 0; s->i < ROUNDS; s->i++) {
        self->byte = '?';
        s->task[0] = background(
            receive(self->kind, &s->io[0], s->fd[0], &self->byte, 1));
        for (s->j = s->i / 2 % 3; s->j > 0; s->j--) A_TURN(s);
        if (s->i % 2) raw_send(s->fd[1], &(char){pattern((size_t)s->i)}, 1);
        for (s->j = s->i / 6 % 3; s->j > 0; s->j--) A_TURN(s);
        if (s->i / 18 % 2) MINI_AWAIT(mini_yield(&s->yield)); /* same turn */
        mini_cancel(s->task[0]);
        if (s->i % 2 == 0)
            raw_send(s->fd[1], &(char){pattern((size_t)s->i)}, 1);
        MINI_AWAIT(mini_join(&s->join, s->task[0]));
        self->received += MINI_RESULT == 1;
        self->wrong += MINI_RESULT == 1 ? self->byte != pattern((size_t)s->i)
                                        : MINI_RESULT != -ECANCELED;
        if (MINI_RESULT == 1) continue;
        MINI_AWAIT(mini_readable(&s->io[1], s->fd[0]));
        self->left += (long)drain(s->fd[0], s->i);
        self->wrong += self->byte != '?';
    }
    MINI_END(self->received + self->left);
}

static void race(enum kind kind, bool nonblocking) {
    struct race self = {
        .script.future = MINI_FUTURE(race_script, "race"), .kind = kind};
    int fd[2];

    open_pair(kind, nonblocking, fd);
    memcpy(self.script.fd, fd, sizeof fd);
    check_equal(run(&self.script.future, real_clock(1)), ROUNDS);
    check_equal(self.wrong, 0);
    check_equal(drain(fd[0], -1), 0);
    check(self.received > 0 && self.left > 0);
    close_pair(fd);
}

static void g5_2_cancel_races_with_data_and_no_byte_is_lost(void **state) {
    (void)state;
    each_pair(race);
}

static mini_poll accept_race_script(
    struct mini_future *future, struct mini_context cx) {
    struct script *self = MINI_SELF(struct script);

    MINI_BEGIN;
    for (self->i = 0; self->i < 300; self->i++) {
        self->task[0] = background(mini_accept(&self->io[0], self->fd[0]));
        for (self->j = self->i / 2 % 3; self->j > 0; self->j--) A_TURN(self);
        if (self->i % 2) reset(raw_connect(&self->address));
        for (self->j = self->i / 6 % 3; self->j > 0; self->j--) A_TURN(self);
        if (self->i / 18 % 2) MINI_AWAIT(mini_yield(&self->yield));
        mini_cancel(self->task[0]);
        if (self->i % 2 == 0) reset(raw_connect(&self->address));
        MINI_AWAIT(mini_join(&self->join, self->task[0]));
        if (MINI_RESULT >= 0) {
            self->sum++;
            close((int)MINI_RESULT);
        } else if (MINI_RESULT != -ECANCELED) {
            NOTE(MINI_RESULT);
        }
    }
    MINI_END(self->sum);
}

static void g5_2_cancel_of_accept_loses_no_connection(void **state) {
    struct script self;

    (void)state;
    for (int nonblocking = 0; nonblocking < 2; nonblocking++) {
        struct sockaddr_in address;
        int listener = bound_socket(1000, &address);

        set_nonblocking(listener, nonblocking);
        long accepted = run(MINI_CALL(struct script, &self, accept_race_script,
                                .fd = {listener}, .address = address),
            real_clock(1));

        snprintf(variant, sizeof variant, "accept");
        check_notes(NULL, 0, __LINE__);
        check(accepted > 0);
        int left = 300 - (int)accepted;

        check_equal(waiting_connections(listener, left), left);
        close(listener);
    }
}

/* Timeouts of a tick while another thread sends when it likes. */
struct sender {
    int fd;
    size_t messages, sent;
};

static void *sender(void *argument) {
    struct sender *self = argument;
    char part[8];

    for (size_t i = 0; i < self->messages; i++) {
        size_t size = 1 + i % sizeof part;

        for (size_t at = 0; at < size; at++) part[at] = pattern(self->sent++);
        raw_send(self->fd, part, size);
        if (i % 3 == 0) nanosleep(&(struct timespec){0, 40000}, NULL);
    }
    shutdown(self->fd, SHUT_WR);
    return NULL;
}

static mini_poll timeouts_script(
    struct mini_future *future, struct mini_context cx) {
    struct script *self = MINI_SELF(struct script);

    MINI_BEGIN;
    for (;;) {
        MINI_AWAIT(mini_timeout(&self->timeout,
            mini_recv(
                &self->io[0], self->fd[0], self->buffer, sizeof self->buffer),
            10 * MINI_US));
        if (MINI_RESULT == -ETIMEDOUT) continue;
        if (MINI_RESULT <= 0) break;
        for (self->j = 0; self->j < MINI_RESULT; self->j++)
            self->i += self->buffer[self->j] != pattern((size_t)self->sum++);
    }
    NOTE(MINI_RESULT);
    NOTE(self->i);
    MINI_END(self->sum);
}

static void timeouts(enum kind kind, bool nonblocking) {
    struct script self;
    pthread_t thread;
    int fd[2];

    open_pair(kind, nonblocking, fd);
    set_nonblocking(fd[1], false);
    struct sender other = {.fd = fd[1], .messages = 2000};

    check_equal(pthread_create(&thread, NULL, sender, &other), 0);
    long sum =
        run(MINI_CALL(struct script, &self, timeouts_script, .fd = {fd[0]}),
            real_clock(1));

    pthread_join(thread, NULL);
    check_equal(sum, other.sent);
    assert_notes(0, 0);
    close_pair(fd);
}

static void g5_2_timeouts_race_with_a_sender_and_no_byte_is_lost(void **state) {
    (void)state;
    each_socket(timeouts);
}

static mini_poll in_time_script(
    struct mini_future *future, struct mini_context cx) {
    struct script *self = MINI_SELF(struct script);

    MINI_BEGIN;
    STEP(WITHIN(mini_send(&self->io[0], self->fd[1], "hello", 5)));
    STEP(WITHIN(mini_recv(&self->io[0], self->fd[0], self->buffer, 9)));
    STEP(WITHIN(mini_write(&self->io[0], self->fd[1], "you", 3, -1)));
    STEP(WITHIN(mini_readable(&self->io[0], self->fd[0])));
    STEP(WITHIN(mini_read(&self->io[0], self->fd[0], self->buffer, 9, -1)));
    STEP(WITHIN(mini_send_all(&self->io[0], self->fd[1], "all", 3)));
    STEP(WITHIN(mini_shutdown_socket(&self->io[0], self->fd[1], SHUT_WR)));
    STEP(WITHIN(mini_close(&self->io[0], self->fd[1])));
    self->fd[1] = dup(self->fd[0]);
    MINI_END(0);
}

static void g5_2_a_timeout_leaves_a_result_in_time_alone(void **state) {
    struct script self;
    int fd[2];

    (void)state;
    open_pair(UNIX_SOCKETS, false, fd);
    check_equal(run(MINI_CALL(struct script, &self, in_time_script,
                        .fd = {fd[0], fd[1]}),
                    real_clock(1)),
        0);
    assert_notes(5, 5, 3, 0, 3, 3, 0, 0);
    close(fd[0]);
    close(self.fd[1]);
}

/* ---- G5.2: cancel of send_all ------------------------------------------- */

static mini_poll cut_short_script(
    struct mini_future *future, struct mini_context cx) {
    struct big *self = MINI_SELF(struct big);
    struct script *s = &self->script;

    MINI_BEGIN;
    s->task[0] = background(
        mini_send_all(&s->io[0], s->fd[1], self->bytes, STREAM_BYTES * 16));
    for (s->i = 0; s->i < s->j; s->i++) { /* more than one part */
        MINI_AWAIT(mini_sleep(&s->sleep, MINI_MS));
        MINI_AWAIT(mini_readable(&s->io[1], s->fd[0]));
        s->sum += (long)drain(s->fd[0], s->sum);
    }
    MINI_AWAIT(mini_sleep(&s->sleep, MINI_MS));
    MINI_AWAIT(mini_readable(&s->io[1], s->fd[0])); /* there is room again */
    NOTE(ended(&s->io[0].future));
    mini_cancel(s->task[0]);
    MINI_AWAIT(mini_join(&s->join, s->task[0]));
    NOTE(MINI_RESULT > s->sum);
    NOTE(MINI_RESULT - (long)s->io[0].done);
    MINI_END(MINI_RESULT);
}

/* The peer gets what the result says. Of TCP some of it may still be on its
 * way, so the peer reads to the end. */
static void cut_short(enum kind kind, bool nonblocking) {
    struct big self = {0};
    long parts[] = {0, 1, 3};
    int fd[2];

    self.bytes = malloc(STREAM_BYTES * 16);
    check(self.bytes != NULL);
    for (size_t i = 0; i < STREAM_BYTES * 16; i++) self.bytes[i] = pattern(i);
    for (size_t i = 0; i < COUNT_OF(parts); i++) {
        open_pair(kind, nonblocking, fd);
        self.script = (struct script){
            .future = MINI_FUTURE(cut_short_script, "cut_short"),
            .fd = {fd[0], fd[1]},
            .j = parts[i]};
        long result = run(&self.script.future, clock_for(kind));

        assert_notes(0, 1, 0);
        struct pollfd ready = {.fd = fd[0], .events = POLLIN};

        close(fd[1]);
        do { /* the end, when it comes, is an event, too */
            check_equal(poll(&ready, 1, 10000), 1);
            size_t more = drain(fd[0], self.script.sum);

            self.script.sum += (long)more;
            if (more == 0) break;
        } while (true);
        check_equal(self.script.sum, result);
        close(fd[0]);
    }
    free(self.bytes);
}

static void g5_2_a_cancelled_send_all_counts_every_byte(void **state) {
    (void)state;
    each_socket(cut_short);
}

static mini_poll timed_send_all_script(
    struct mini_future *future, struct mini_context cx) {
    struct big *self = MINI_SELF(struct big);
    struct script *s = &self->script;

    MINI_BEGIN;
    MINI_AWAIT(mini_timeout(&s->timeout,
        mini_send_all(&s->io[0], s->fd[1], self->bytes, STREAM_BYTES),
        MINI_SECOND));
    NOTE(MINI_RESULT - (long)drain(s->fd[0], 0));
    NOTE(MINI_RESULT > 0);
    NOTE(mini_now() >= MINI_SECOND);
    MINI_END(0);
}

static void g5_2_a_timeout_of_send_all_gives_the_count(void **state) {
    struct big self = {0};
    int fd[2];

    (void)state;
    self.bytes = malloc(STREAM_BYTES);
    check(self.bytes != NULL);
    for (size_t i = 0; i < STREAM_BYTES; i++) self.bytes[i] = pattern(i);
    for (int nonblocking = 0; nonblocking < 2; nonblocking++) {
        open_pair(UNIX_SOCKETS, nonblocking, fd);
        self.script = (struct script){
            .future = MINI_FUTURE(timed_send_all_script, "timed"),
            .fd = {fd[0], fd[1]}};
        check_equal(run(&self.script.future, virtual_clock()), 0);
        assert_notes(0, 1, 1);
        close_pair(fd);
    }
    free(self.bytes);
}

/* One byte is a count as good as any. */
static mini_poll one_byte_script(
    struct mini_future *future, struct mini_context cx) {
    struct script *self = MINI_SELF(struct script);

    MINI_BEGIN;
    for (self->i = 0; self->i < 3; self->i++) { /* so many have come */
        for (self->j = 0; self->j < self->i; self->j++)
            raw_send(self->fd[1], "x", 1);
        self->task[0] = background(
            mini_read_exact(&self->io[0], self->fd[0], self->buffer, 9, -1));
        SETTLE(self);
        NOTE(ended(&self->io[0].future));
        mini_cancel(self->task[0]);
        STEP(mini_join(&self->join, self->task[0]));
    }
    /* it comes as the cancel does: we run before the reader, which it woke */
    self->task[0] = background(
        mini_read_exact(&self->io[0], self->fd[0], self->buffer, 9, -1));
    SETTLE(self);
    raw_send(self->fd[1], "x", 1);
    while (self->io[0].active) MINI_YIELD();
    mini_cancel(self->task[0]);
    STEP(mini_join(&self->join, self->task[0]));
    MINI_END(0);
}

static void one_byte(enum kind kind, bool nonblocking) {
    struct script self = MINI_FRAME(struct script, one_byte_script, .i = 0);

    open_pair(kind, nonblocking, self.fd);
    check_equal(run(&self.future, virtual_clock()), 0);
    close_pair(self.fd);
    assert_notes(0, -ECANCELED, 0, 1, 0, 2, 1);
}

static void g5_2_a_cancel_counts_even_one_byte(void **state) {
    (void)state;
    one_byte(UNIX_SOCKETS, false);
    one_byte(PIPE, true);
}

/* ---- G5.2: many that wait, some cancelled ------------------------------- */

enum { CROWD = 200 };
struct crowd {
    struct script script;
    int fd[CROWD][2];
    struct mini_io io[CROWD];
    struct mini_task *task[CROWD];
    char byte[CROWD];
};

/* Each third, in an order that is neither theirs nor its reverse. */
static int victim(long i) { return (int)(i * 77 % CROWD) / 3 * 3; }

static mini_poll crowd_script(
    struct mini_future *future, struct mini_context cx) {
    struct crowd *self = MINI_SELF(struct crowd);
    struct script *s = &self->script;

    MINI_BEGIN;
    for (int i = 0; i < CROWD; i++)
        self->task[i] = background(
            mini_recv(&self->io[i], self->fd[i][0], &self->byte[i], 1));
    MINI_AWAIT(mini_sleep(&s->sleep, MINI_MS));
    for (int i = 0; i < CROWD; i++) mini_cancel(self->task[victim(i)]);
    MINI_AWAIT(mini_sleep(&s->sleep, MINI_MS));
    for (int i = CROWD; i-- > 0;) raw_send(self->fd[i][1], &(char){(char)i}, 1);
    for (s->i = 0; s->i < CROWD; s->i++) {
        MINI_AWAIT(mini_join(&s->join, self->task[s->i]));
        if (s->i % 3 == 0) {
            s->sum += MINI_RESULT == -ECANCELED && self->byte[s->i] == '?';
            s->sum += drain(self->fd[s->i][0], -1) == 1;
        } else {
            s->sum += MINI_RESULT == 1 && self->byte[s->i] == (char)s->i;
            s->sum += drain(self->fd[s->i][0], -1) == 0;
        }
    }
    MINI_END(s->sum);
}

static void cancel_among_crowd(void) {
    static struct crowd self;

    self = (struct crowd){.script.future = MINI_FUTURE(crowd_script, "crowd")};
    for (int i = 0; i < CROWD; i++) open_pair(UNIX_SOCKETS, i % 2, self.fd[i]);
    memset(self.byte, '?', sizeof self.byte);
    check_equal(run(&self.script.future, virtual_clock()), 2 * CROWD);
    for (int i = 0; i < CROWD; i++) close_pair(self.fd[i]);
}

static void g5_2_cancels_among_many_hit_the_right_ones(void **state) {
    (void)state;
    cancel_among_crowd();
}

static mini_poll select_script(
    struct mini_future *future, struct mini_context cx) {
    struct script *self = MINI_SELF(struct script);
    static struct mini_future *either[2];
    static struct mini_select select;

    MINI_BEGIN;
    either[0] = mini_recv(&self->io[0], self->fd[0], self->buffer, 9);
    either[1] = mini_recv(&self->io[1], self->fd[2], self->buffer + 9, 9);
    self->task[0] = background(mini_select(&select, either, 2));
    SETTLE(self);
    raw_send(self->fd[3], "second", 6);
    STEP(mini_join(&self->join, self->task[0]));
    NOTE(self->io[0].future.result);
    NOTE(self->io[1].future.result);
    raw_send(self->fd[1], "first", 5);
    STEP(mini_recv(&self->io[0], self->fd[0], self->buffer + 20, 9));
    MINI_END(0);
}

static void g5_2_the_loser_of_a_select_takes_nothing(void **state) {
    struct script self;
    int a[2], b[2];

    (void)state;
    open_pair(UNIX_SOCKETS, false, a);
    open_pair(UNIX_SOCKETS, true, b);
    check_equal(run(MINI_CALL(struct script, &self, select_script,
                        .fd = {a[0], a[1], b[0], b[1]}),
                    virtual_clock()),
        0);
    assert_notes(1, -ECANCELED, 6, 5);
    assert_string_equal(self.buffer + 9, "second");
    assert_string_equal(self.buffer + 20, "first");
    check_equal(self.buffer[0], 0);
    close_pair(a);
    close_pair(b);
}

/* The run ends while operations wait: they are cancelled, their tasks end. */
struct left_over {
    struct mini_future future;
    struct mini_io io, clean;
    int fd;
    enum mini_op op;
    atomic_int *started, *cancelled;
};

static mini_poll left_over(struct mini_future *future, struct mini_context cx) {
    struct left_over *self = MINI_SELF(struct left_over);

    MINI_BEGIN;
    atomic_fetch_add(self->started, 1);
    MINI_AWAIT(operation(&self->io, self->op, self->fd));
    if (MINI_RESULT == -ECANCELED) atomic_fetch_add(self->cancelled, 1);
    MINI_AWAIT_SHIELDED(mini_send(&self->clean, self->fd, "bye", 3));
    MINI_END(MINI_RESULT);
}

enum { LEFT = 4 };
struct leaving {
    struct mini_future future;
    struct mini_sleep sleep;
    struct mini_remote remote[LEFT];
    struct left_over frame[LEFT];
    atomic_int started, cancelled;
};

/* Ends while its tasks wait, on every shard. */
static mini_poll leaving(struct mini_future *future, struct mini_context cx) {
    struct leaving *self = MINI_SELF(struct leaving);

    MINI_BEGIN;
    for (unsigned i = 0; i < LEFT; i++)
        mini_detach(background(mini_spawn_on(
            &self->remote[i], i % mini_shard_count(), &self->frame[i].future)));
    while (self->started < LEFT) MINI_AWAIT(mini_sleep(&self->sleep, MINI_MS));
    MINI_END(3);
}

static void g5_2_the_end_of_a_run_cancels_what_waits(void **state) {
    (void)state;
    for (unsigned shards = 1; shards <= 4; shards *= 2) {
        struct leaving self = {.future = MINI_FUTURE(leaving, "leaving")};
        int fd[LEFT][2];
        char text[9];

        for (int i = 0; i < LEFT; i++) {
            open_pair(UNIX_SOCKETS, i % 2, fd[i]);
            self.frame[i] =
                MINI_FRAME(struct left_over, left_over, .fd = fd[i][0],
                    .started = &self.started, .cancelled = &self.cancelled,
                    .op = i % 2 ? MINI_OP_READ : MINI_OP_RECV);
        }
        check_equal(run(&self.future, real_clock(shards)), 3);
        check_equal(self.cancelled, LEFT);
        for (int i = 0; i < LEFT; i++) {
            check_equal(read(fd[i][1], text, sizeof text), 3);
            close_pair(fd[i]);
        }
    }
}

/* ---- G5.3: more at once than a queue holds ------------------------------ */

enum { THOUSAND = 1000 };
struct many {
    struct script script;
    struct mini_io *io;
    struct mini_future **futures;
    struct mini_select all;
    size_t count;
    int (*fd)[2];
    char *bytes;
};

static void make_many(struct many *self,
    mini_poll (*poll)(struct mini_future *, struct mini_context),
    size_t count) {
    *self = (struct many){.script.future = MINI_FUTURE(poll, "many"),
        .count = count,
        .io = calloc(count, sizeof(struct mini_io)),
        .futures = calloc(count, sizeof(struct mini_future *)),
        .bytes = calloc(count, 1)};
    check(self->io && self->futures && self->bytes);
}

static void free_many(struct many *self) {
    free(self->io);
    free(self->futures);
    free(self->bytes);
}

/* How many of the results are WANTED. */
static long with_result(const struct many *self, long wanted) {
    long count = 0;

    for (size_t i = 0; i < self->count; i++)
        count += self->futures[i]->result == wanted;
    return count;
}

/* All start in one poll, and end in one turn. */
static mini_poll burst_script(
    struct mini_future *future, struct mini_context cx) {
    struct many *self = MINI_SELF(struct many);
    struct script *s = &self->script;

    MINI_BEGIN;
    s->j = (long)mini_stats()->enters;
    for (size_t i = 0; i < self->count; i++)
        self->futures[i] = mini_readable(&self->io[i], s->fd[0]);
    s->task[0] =
        background(mini_join_all(&self->all, self->futures, self->count));
    MINI_AWAIT(mini_sleep(&s->sleep, MINI_MS));
    for (size_t i = 0; i < self->count; i++)
        s->sum += ended(&self->io[i].future);
    NOTE(s->sum);
    raw_send(s->fd[1], "!", 1);
    STEP(mini_join(&s->join, s->task[0]));
    NOTE(with_result(self, 0));
    NOTE((long)drain(s->fd[0], -1));
    /* and again, so that nothing of it has stayed behind */
    for (size_t i = 0; i < self->count; i++)
        self->futures[i] =
            mini_write(&self->io[i], s->fd[1], &self->bytes[i], 1, -1);
    STEP(mini_join_all(&self->all, self->futures, self->count));
    NOTE(with_result(self, 1));
    NOTE((long)drain(s->fd[0], -1));
    /* the ring takes 256 at a time */
    NOTE((long)mini_stats()->enters - s->j >= (long)self->count / 128 ||
        strcmp(mini_io_name(), "poll") == 0);
    MINI_END(0);
}

static void g5_3_six_thousand_operations_end_at_once(void **state) {
    struct many self;

    (void)state;
    make_many(&self, burst_script, 6000);
    open_pair(PIPE, false, self.script.fd);
    check_equal(run(&self.script.future, virtual_clock()), 0);
    assert_notes(0, 0, 6000, 1, 0, 6000, 6000, 1);
    close_pair(self.script.fd);
    free_many(&self);
}

static rlim_t limit_files(rlim_t most) {
    struct rlimit files;

    must(getrlimit(RLIMIT_NOFILE, &files) == 0, "getrlimit");
    rlim_t before = files.rlim_cur;

    files.rlim_cur = most;
    must(setrlimit(RLIMIT_NOFILE, &files) == 0, "setrlimit");
    return before;
}

/* One of many, at place I, waits for another descriptor than the rest. */
static mini_poll over_limit_script(
    struct mini_future *future, struct mini_context cx) {
    struct many *self = MINI_SELF(struct many);
    struct script *s = &self->script;
    static rlim_t usual;

    MINI_BEGIN;
    for (long i = 0; i < (long)self->count; i++)
        self->futures[i] =
            mini_readable(&self->io[i], s->fd[i == s->i ? 2 : 0]);
    s->task[0] =
        background(mini_join_all(&self->all, self->futures, self->count));
    usual = limit_files(0); /* waits in vain */
    SETTLE(s);
    limit_files((rlim_t)s->j);
    SETTLE(s);
    NOTE(mini_stats()->turns < 1000);
    raw_send(s->fd[3], "!", 1);
    SETTLE(s);
    NOTE(ended(&self->io[s->i].future));
    for (size_t i = 0; i < self->count; i++)
        s->sum += ended(&self->io[i].future);
    raw_send(s->fd[1], "!", 1);
    STEP(mini_join(&s->join, s->task[0]));
    limit_files(usual);
    NOTE(with_result(self, 0));
    MINI_END(s->sum);
}

/* poll(2) takes only as many entries as the process may have descriptors; but
 * several operations may wait for the same. */
static void g5_3_more_operations_than_descriptors(void **state) {
    static const long limits[] = {1, 2, 3, 64, 199, 200, 201};
    static const long places[] = {0, 1, 99, 100, 198, 199};
    struct many self;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(limits) * COUNT_OF(places); i++) {
        make_many(&self, over_limit_script, 200);
        self.script.i = places[i % COUNT_OF(places)];
        self.script.j = limits[i / COUNT_OF(places)];
        open_pair(PIPE, false, self.script.fd);
        open_pair(PIPE, false, self.script.fd + 2);
        snprintf(variant, sizeof variant, "limit %ld, place %ld", self.script.j,
            self.script.i);
        check_equal(run(&self.script.future, virtual_clock()), 1);
        assert_notes(1, 1, 0, 200);
        close_pair(self.script.fd);
        close_pair(self.script.fd + 2);
        free_many(&self);
    }
}

/* The shard sleeps meanwhile, but not for long: it looks at one part of them and
 * waits for another. */
static mini_poll slumber_script(
    struct mini_future *future, struct mini_context cx) {
    struct many *self = MINI_SELF(struct many);
    struct script *s = &self->script;
    static rlim_t usual;

    MINI_BEGIN;
    for (size_t i = 0; i < self->count; i++)
        self->futures[i] = mini_readable(&self->io[i], s->fd[i ? 0 : 2]);
    s->task[0] = background(self->futures[0]);
    s->task[1] = background(
        mini_join_all(&self->all, self->futures + 1, self->count - 1));
    usual = limit_files(64);
    s->j = (long)mini_stats()->turns;
    MINI_AWAIT(mini_sleep(&s->sleep, 20 * MINI_MS));
    NOTE((long)mini_stats()->turns - s->j < 200);
    STEP(mini_join(&s->join, s->task[0])); /* by a thread */
    raw_send(s->fd[1], "!", 1);
    STEP(mini_join(&s->join, s->task[1]));
    limit_files(usual);
    MINI_END(with_result(self, 0));
}

static void *late_sender(void *argument) {
    nanosleep(&(struct timespec){0, 30000000}, NULL);
    raw_send(*(int *)argument, "!", 1);
    return NULL;
}

static void g5_3_who_waits_for_more_than_descriptors_sleeps(void **state) {
    struct many self;
    pthread_t thread;
    int fd[4];

    (void)state;
    make_many(&self, slumber_script, 200);
    open_pair(PIPE, false, fd);
    open_pair(PIPE, false, fd + 2);
    memcpy(self.script.fd, fd, sizeof fd);
    check_equal(pthread_create(&thread, NULL, late_sender, &fd[3]), 0);
    check_equal(run(&self.script.future, real_clock(1)), 200);
    pthread_join(thread, NULL);
    assert_notes(1, 0, 0);
    close_pair(fd);
    close_pair(fd + 2);
    free_many(&self);
}

static mini_poll crowded_script(
    struct mini_future *future, struct mini_context cx) {
    struct many *self = MINI_SELF(struct many);
    struct script *s = &self->script;

    MINI_BEGIN;
    for (size_t i = 0; i < self->count; i++)
        self->futures[i] =
            mini_recv(&self->io[i], self->fd[i][0], &self->bytes[i], 1);
    s->task[0] =
        background(mini_join_all(&self->all, self->futures, self->count));
    MINI_AWAIT(mini_sleep(&s->sleep, MINI_MS));
    for (size_t i = self->count; i-- > 0;)
        raw_send(self->fd[i][1], &(char){pattern(i)}, 1);
    STEP(mini_join(&s->join, s->task[0]));
    NOTE(with_result(self, 1));
    for (size_t i = 0; i < self->count; i++)
        s->sum += self->bytes[i] == pattern(i);
    MINI_END(s->sum);
}

/* As many operations as the ring takes and no more, then a sleep: to watch the
 * doorbell takes room, and making room brings the completions. Who wakes then
 * must not wait for what comes next. */
struct brim {
    struct mini_future future;
    struct mini_select join;
    struct mini_io io[260];
    struct mini_future *all[260];
    int count;
    int fd[2];
};

static mini_poll brim_body(struct mini_future *future, struct mini_context cx) {
    struct brim *self = MINI_SELF(struct brim);

    MINI_BEGIN;
    for (int i = 0; i < self->count; i++)
        self->all[i] = mini_send(&self->io[i], self->fd[0], "x", 1);
    MINI_AWAIT(mini_join_all(&self->join, self->all, (size_t)self->count));
    MINI_END(self->io[self->count - 1].future.result);
}

/* Without a deadline: who waits, waits for ever. A deadline would not do, since
 * the wheel wakes its shard on the way to a far one. */
static void g5_3_a_ring_that_is_just_full_before_a_sleep(void **state) {
    static struct brim self;

    (void)state;
    for (int count = 254; count <= 258; count++) {
        self = MINI_FRAME(struct brim, brim_body, .count = count);
        open_pair(UNIX_SOCKETS, false, self.fd);
        snprintf(variant, sizeof variant, "%d operations", count);
        check_equal(run(&self.future, real_clock(1)), 1);
        close_pair(self.fd);
    }
}

/* As many connections as the limit on open files allows. */
static void g5_3_six_thousand_sockets_receive_at_once(void **state) {
    struct rlimit files, more;
    struct many self;

    (void)state;
    check_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
    more = files;
    more.rlim_cur = files.rlim_max < 13000 ? files.rlim_max : 13000;
    if (files.rlim_cur < more.rlim_cur) setrlimit(RLIMIT_NOFILE, &more);
    getrlimit(RLIMIT_NOFILE, &more);
    size_t count = more.rlim_cur < 13000 ? (more.rlim_cur - 200) / 2 : 6000;

    make_many(&self, crowded_script, count);
    self.fd = calloc(count, sizeof *self.fd);
    check(self.fd != NULL);
    for (size_t i = 0; i < count; i++)
        open_pair(UNIX_SOCKETS, i % 2, self.fd[i]);
    check_equal(run(&self.script.future, virtual_clock()), count);
    assert_notes(0, (long)count);
    for (size_t i = 0; i < count; i++) close_pair(self.fd[i]);
    free(self.fd);
    free_many(&self);
    setrlimit(RLIMIT_NOFILE, &files);
}

static mini_poll cancel_many_script(
    struct mini_future *future, struct mini_context cx) {
    struct many *self = MINI_SELF(struct many);
    struct script *s = &self->script;

    MINI_BEGIN;
    /* cancelled when they wait in the kernel */
    for (size_t i = 0; i < self->count; i++)
        self->futures[i] =
            mini_read(&self->io[i], s->fd[0], &self->bytes[i], 1, -1);
    STEP(mini_timeout(&s->timeout,
        mini_join_all(&self->all, self->futures, self->count), MINI_MS));
    NOTE(with_result(self, -ECANCELED));
    /* cancelled when they have just been asked for */
    for (size_t i = 0; i < self->count; i++)
        self->futures[i] =
            mini_read(&self->io[i], s->fd[0], &self->bytes[i], 1, -1);
    s->task[0] =
        background(mini_join_all(&self->all, self->futures, self->count));
    MINI_AWAIT(mini_yield(&s->yield));
    mini_cancel(s->task[0]);
    STEP(mini_join(&s->join, s->task[0]));
    NOTE(with_result(self, -ECANCELED));
    raw_send(s->fd[1], "data", 4);
    MINI_AWAIT(mini_sleep(&s->sleep, MINI_MS));
    for (size_t i = 0; i < self->count; i++) s->sum += self->bytes[i];
    NOTE(s->sum);
    NOTE((long)drain(s->fd[0], -1));
    MINI_END(0);
}

static void g5_3_a_thousand_cancels_at_once(void **state) {
    struct many self;

    (void)state;
    for (int nonblocking = 0; nonblocking < 2; nonblocking++) {
        make_many(&self, cancel_many_script, THOUSAND);
        open_pair(PIPE, nonblocking, self.script.fd);
        check_equal(run(&self.script.future, virtual_clock()), 0);
        assert_notes(-ETIMEDOUT, THOUSAND, -ECANCELED, THOUSAND, 0, 4);
        close_pair(self.script.fd);
        free_many(&self);
    }
}

/* A thousand readers of one pipe that a writer feeds byte by byte: most tries
 * find it empty again. */
static mini_poll hungry_script(
    struct mini_future *future, struct mini_context cx) {
    struct many *self = MINI_SELF(struct many);
    struct script *s = &self->script;

    MINI_BEGIN;
    for (size_t i = 0; i < self->count; i++)
        self->futures[i] =
            mini_read(&self->io[i], s->fd[0], &self->bytes[i], 1, -1);
    s->task[0] =
        background(mini_join_all(&self->all, self->futures, self->count));
    while (s->sum < (long)self->count) {
        MINI_AWAIT(mini_sleep(&s->sleep, MINI_MS));
        for (s->i = 1 + s->sum % 7; s->i > 0 && s->sum < (long)self->count;
             s->i--, s->sum++)
            raw_send(s->fd[1], "!", 1);
    }
    STEP(mini_join(&s->join, s->task[0]));
    NOTE(with_result(self, 1));
    NOTE((long)drain(s->fd[0], -1));
    MINI_END(0);
}

static void hungry_readers(void) {
    struct many self;

    make_many(&self, hungry_script, 300);
    open_pair(PIPE, true, self.script.fd);
    check_equal(run(&self.script.future, virtual_clock()), 0);
    assert_notes(0, 300, 0);
    close_pair(self.script.fd);
    free_many(&self);
}

static void g5_3_readers_that_find_nothing_wait_again(void **state) {
    (void)state;
    hungry_readers();
}

/* ---- G5.3: interrupted system calls ------------------------------------- */

static void ignore_signal(int signal) { (void)signal; }

struct pest {
    pthread_t target;
    atomic_bool stop;
};

static void *pest(void *argument) {
    struct pest *self = argument;

    while (!self->stop) {
        pthread_kill(self->target, SIGURG);
        nanosleep(&(struct timespec){0, 50000}, NULL);
    }
    return NULL;
}

/* A signal of no concern. Its handler asks for system calls to be restarted, but
 * io_uring_enter(2) and poll(2) never are. */
static void g5_3_signals_interrupt_nothing(void **state) {
    struct sigaction handler = {.sa_handler = ignore_signal,
                         .sa_flags = SA_RESTART},
                     before;
    struct pest self = {.target = pthread_self()};
    pthread_t thread;

    (void)state;
    sigaction(SIGURG, &handler, &before);
    check_equal(pthread_create(&thread, NULL, pest, &self), 0);
    for (int i = 0; i < 2; i++) {
        recv_and_send(TCP_SOCKETS, i);
        race(UNIX_SOCKETS, i);
        timeouts(UNIX_SOCKETS, i);
        transfer(TCP_SOCKETS, i);
        transfer(PIPE, i);
    }
    self.stop = true;
    pthread_join(thread, NULL);
    sigaction(SIGURG, &before, NULL);
}

/* ---- streams of connections --------------------------------------------- */

enum { QUEUE = 400 };
struct queue {
    struct script script;
    int peer[QUEUE];
    size_t count;
};

static void connect_peers(struct queue *self, size_t count) {
    for (size_t i = 0; i < count; i++)
        self->peer[self->count++] = raw_connect(&self->script.address);
}

/* How many connections the listening socket has; a connect(2) may return before
 * it has that one. */
static size_t queued(int listener) {
#if defined(__linux__) && defined(_GNU_SOURCE)
    struct tcp_info info = {0};
    socklen_t size = sizeof info;

    must(
        getsockopt(listener, IPPROTO_TCP, TCP_INFO, &info, &size) == 0, "info");
    return info.tcpi_unacked;
#else
    (void)listener;
    return SIZE_MAX; /* nobody says so */
#endif
}

static unsigned port_of_peer(int fd) {
    struct sockaddr_in address;
    socklen_t size = sizeof address;

    if (getpeername(fd, (struct sockaddr *)&address, &size) != 0) return 0;
    return ntohs(address.sin_port);
}

/* Whether FD is the INDEX-th peer's connection, as accept has to give it. */
static bool is_connection_of(const struct queue *self, long index, long fd) {
    return fd >= 0 &&
        (int)port_of_peer((int)fd) == mini_port_of(self->peer[index]) &&
        fcntl((int)fd, F_GETFD) == FD_CLOEXEC;
}

static void make_queue(struct queue *self,
    mini_poll (*poll)(struct mini_future *, struct mini_context),
    bool nonblocking) {
    *self = (struct queue){.script.future = MINI_FUTURE(poll, "queue")};
    self->script.fd[0] = bound_socket(2 * QUEUE, &self->script.address);
    set_nonblocking(self->script.fd[0], nonblocking);
}

static void free_queue(struct queue *self) {
    while (self->count > 0) reset(self->peer[--self->count]);
    close(self->script.fd[0]);
}

/* Connections that wait, then those that come while it waits, then both. */
static mini_poll stream_script(
    struct mini_future *future, struct mini_context cx) {
    struct queue *self = MINI_SELF(struct queue);
    struct script *s = &self->script;

    MINI_BEGIN;
    mini_accept_stream(&s->stream, s->fd[0]);
    for (s->i = 0; s->i < QUEUE; s->i++) {
        if (s->i == 5 || s->i == 15) connect_peers(self, 10);
        if (s->i == 30) connect_peers(self, 200);
        if (s->i < (long)self->count) {
            MINI_AWAIT(mini_accept_next(&s->stream));
        } else {
            s->task[0] = background(mini_accept_next(&s->stream));
            for (s->j = s->i % 3; s->j > 0; s->j--) A_TURN(s);
            connect_peers(self, 1);
            MINI_AWAIT(mini_join(&s->join, s->task[0]));
        }
        s->sum += is_connection_of(self, s->i, MINI_RESULT);
        if (MINI_RESULT >= 0) close((int)MINI_RESULT);
    }
    STEP(mini_accept_end(&s->stream));
    while (self->count > 0) reset(self->peer[--self->count]);
    MINI_END(s->sum);
}

static void g5_1_a_stream_gives_connections_in_order(void **state) {
    static struct queue self;

    (void)state;
    for (int nonblocking = 0; nonblocking < 2; nonblocking++) {
        make_queue(&self, stream_script, nonblocking);
        check_equal(run(&self.script.future, real_clock(1)), QUEUE);
        assert_notes(0);
        free_queue(&self);
    }
}

/* One operation takes them all, where the kernel has multishot accept. */
static mini_poll thrifty_script(
    struct mini_future *future, struct mini_context cx) {
    struct queue *self = MINI_SELF(struct queue);
    struct script *s = &self->script;

    MINI_BEGIN;
    mini_accept_stream(&s->stream, s->fd[0]);
    s->sum = (long)mini_stats()->operations;
    for (; s->i < 100; s->i++) {
        if (s->i % 2) connect_peers(self, 2);
        s->task[0] = background(mini_accept_next(&s->stream));
        if (s->i % 2 == 0) connect_peers(self, s->i == 0);
        MINI_AWAIT(mini_join(&s->join, s->task[0]));
        if (MINI_RESULT >= 0) close((int)MINI_RESULT);
    }
    s->sum = (long)mini_stats()->operations - s->sum;
    /* those of the doorbell are as many as there were waits */
    NOTE(s->sum > 0 && s->sum < 40);
    NOTE(!(mini_self->io.features & MINI_MULTISHOT) ||
        strcmp(mini_io_name(), "poll") == 0);
    STEP(mini_accept_end(&s->stream));
    while (self->count > 0) reset(self->peer[--self->count]);
    MINI_END(0);
}

static void g5_10_one_accept_takes_many_connections(void **state) {
    static struct queue self;

    (void)state;
    for (int without = 0; without < 2; without++) {
        mini_io_without = without ? MINI_MULTISHOT : 0;
        make_queue(&self, thrifty_script, false);
        check_equal(run(&self.script.future, real_clock(1)), 0);
        mini_io_without = 0;
        check(noted[0] != noted[1]);
        free_queue(&self);
    }
}

/* A stream that nobody asks holds what it has and takes no more. */
static mini_poll high_water_script(
    struct mini_future *future, struct mini_context cx) {
    struct queue *self = MINI_SELF(struct queue);
    struct script *s = &self->script;

    MINI_BEGIN;
    connect_peers(self, 1 + 2 * MINI_STREAM_HIGH);
    while (queued(s->fd[0]) < self->count) SETTLE(s);
    mini_accept_stream(&s->stream, s->fd[0]);
    MINI_AWAIT(mini_accept_next(&s->stream));
    NOTE(is_connection_of(self, 0, MINI_RESULT));
    close((int)MINI_RESULT);
    for (s->i = 0; s->i < 20; s->i++) A_TURN(s);
    s->sum = open_files();
    connect_peers(self, 100);
    for (s->i = 0; s->i < 20; s->i++) A_TURN(s);
    NOTE(open_files() - s->sum); /* the peers' own */
    s->sum = 0;
    for (s->i = 1; s->i < (long)self->count; s->i++) {
        MINI_AWAIT(mini_accept_next(&s->stream));
        s->sum += is_connection_of(self, s->i, MINI_RESULT);
        close((int)MINI_RESULT);
    }
    NOTE(s->sum);
    STEP(mini_accept_end(&s->stream));
    while (self->count > 0) reset(self->peer[--self->count]);
    MINI_END(0);
}

static void g5_2_a_stream_at_its_high_water_mark_takes_no_more(void **state) {
    static struct queue self;

    (void)state;
    make_queue(&self, high_water_script, false);
    check_equal(run(&self.script.future, real_clock(1)), 0);
    assert_notes(1, 100, 2 * MINI_STREAM_HIGH + 100, 0);
    free_queue(&self);
}

/* They come one after the other; it is exact about when it has enough. */
static mini_poll mark_script(
    struct mini_future *future, struct mini_context cx) {
    struct queue *self = MINI_SELF(struct queue);
    struct script *s = &self->script;

    MINI_BEGIN;
    mini_accept_stream(&s->stream, s->fd[0]);
    connect_peers(self, 1);
    MINI_AWAIT(mini_accept_next(&s->stream));
    close((int)MINI_RESULT);
    s->sum = open_files();
    for (; s->i < 100; s->i++) {
        s->j = open_files() + 1; /* that of the peer */
        connect_peers(self, 1);
        while (open_files() == s->j && queued(s->fd[0]) == 0) A_TURN(s);
        for (s->j = 0; s->j < 4; s->j++) A_TURN(s);
    }
    s->sum = open_files() - 100 - s->sum; /* the peers' own do not count */
    STEP(mini_accept_end(&s->stream));
    while (self->count > 0) reset(self->peer[--self->count]);
    MINI_END(s->sum);
}

static void g5_2_a_stream_takes_just_as_much(void **state) {
    static struct queue self;
    bool exact = false;

    (void)state;
    for (int i = 0; i < 5 && !exact; i++) { /* TCP may bring two at a time */
        make_queue(&self, mark_script, false);
        long taken = run(&self.script.future, real_clock(1));

        /* without multishot none or one: what had been asked for */
        check(taken <= 1 || taken >= MINI_STREAM_HIGH);
        exact = taken <= MINI_STREAM_HIGH;
        free_queue(&self);
    }
    check(exact);
}

/* One is always left: what was given out makes room for what comes. */
static mini_poll never_empty_script(
    struct mini_future *future, struct mini_context cx) {
    struct queue *self = MINI_SELF(struct queue);
    struct script *s = &self->script;

    MINI_BEGIN;
    mini_accept_stream(&s->stream, s->fd[0]);
    connect_peers(self, 1);
    for (; s->i < 300; s->i++) {
        connect_peers(self, 1);
        /* with multishot, for as long as it takes more */
        while (s->stream.io.active && s->stream.io.done < 2) A_TURN(s);
        MINI_AWAIT(mini_accept_next(&s->stream));
        s->sum += is_connection_of(self, s->i, MINI_RESULT);
        if (MINI_RESULT >= 0) close((int)MINI_RESULT);
    }
    NOTE(s->stream.io.done <= 1); /* nothing is kept of what was given out */
    STEP(mini_accept_end(&s->stream));
    while (self->count > 0) reset(self->peer[--self->count]);
    MINI_END(s->sum);
}

static void g5_7_a_stream_that_is_never_empty_does_not_grow(void **state) {
    static struct queue self;

    (void)state;
    make_queue(&self, never_empty_script, false);
    check_equal(run(&self.script.future, real_clock(1)), 300);
    assert_notes(1, 0);
    free_queue(&self);
}

/* What the stream has taken is closed at its end; the rest stays with the
 * listening socket. Peers see the one as an end or a reset, the other not. */
static mini_poll stream_end_script(
    struct mini_future *future, struct mini_context cx) {
    struct queue *self = MINI_SELF(struct queue);
    struct script *s = &self->script;

    MINI_BEGIN;
    connect_peers(self, (size_t)s->j);
    mini_accept_stream(&s->stream, s->fd[0]);
    MINI_AWAIT(mini_accept_next(&s->stream));
    close((int)MINI_RESULT);
    connect_peers(self, (size_t)s->j);
    if (s->flag) {
        s->task[0] = background(mini_accept_end(&s->stream));
        mini_cancel(s->task[0]); /* does not matter */
        STEP(mini_join(&s->join, s->task[0]));
    } else {
        STEP(mini_accept_end(&s->stream));
    }
    connect_peers(self, 1);
    for (s->i = 0; s->i < 5; s->i++) SETTLE(s);
    s->sum = waiting_connections(s->fd[0], 1);
    for (size_t i = 0; i < self->count; i++) {
        struct pollfd end = {.fd = self->peer[i], .events = POLLIN};

        must(poll(&end, 1, 10000) == 1, "a connection is left open");
        close(self->peer[i]);
    }
    NOTE(s->sum >= 1);
    self->count = 0;
    MINI_END(0);
}

static void g5_2_the_end_of_a_stream_closes_what_it_has_taken(void **state) {
    static struct queue self;

    (void)state;
    for (int i = 0; i < 6; i++) {
        make_queue(&self, stream_end_script, i % 2);
        self.script.flag = i < 3;
        self.script.j = i / 2 * 60 + 1;
        check_equal(run(&self.script.future, real_clock(1)), 0);
        assert_notes(0, 1);
        free_queue(&self);
    }
}

static mini_poll stream_again_script(
    struct mini_future *future, struct mini_context cx) {
    struct queue *self = MINI_SELF(struct queue);
    struct script *s = &self->script;

    MINI_BEGIN;
    mini_accept_stream(&s->stream, s->fd[0]);
    STEP(mini_accept_end(&s->stream)); /* before it has begun */
    for (; s->i < 3; s->i++) {
        connect_peers(self, 3);
        MINI_AWAIT(mini_accept_next(&s->stream));
        NOTE(MINI_RESULT >= 0 && close((int)MINI_RESULT) == 0);
        STEP(mini_accept_end(&s->stream));
        STEP(mini_accept_end(&s->stream));
    }
    while (self->count > 0) reset(self->peer[--self->count]);
    MINI_END(0);
}

static void g5_2_a_stream_that_was_ended_can_go_on(void **state) {
    static struct queue self;

    (void)state;
    make_queue(&self, stream_again_script, false);
    check_equal(run(&self.script.future, real_clock(1)), 0);
    assert_notes(0, 1, 0, 0, 1, 0, 0, 1, 0, 0);
    free_queue(&self);
}

static mini_poll stream_cancel_script(
    struct mini_future *future, struct mini_context cx) {
    struct queue *self = MINI_SELF(struct queue);
    struct script *s = &self->script;

    MINI_BEGIN;
    mini_accept_stream(&s->stream, s->fd[0]);
    for (s->i = 0; s->sum < 200;) {
        s->task[0] = background(mini_accept_next(&s->stream));
        for (s->j = s->i % 3; s->j > 0; s->j--) A_TURN(s);
        if (s->i < 200) connect_peers(self, 1);
        for (s->j = s->i / 3 % 3; s->j > 0; s->j--) A_TURN(s);
        if (s->i++ < 200) mini_cancel(s->task[0]);
        MINI_AWAIT(mini_join(&s->join, s->task[0]));
        if (MINI_RESULT == -ECANCELED) continue;
        if (!is_connection_of(self, s->sum, MINI_RESULT)) break;
        s->sum++;
        close((int)MINI_RESULT);
    }
    NOTE(s->i > 200); /* some waits were cancelled */
    STEP(mini_accept_end(&s->stream));
    NOTE(waiting_connections(s->fd[0], 0));
    while (self->count > 0) reset(self->peer[--self->count]);
    MINI_END(s->sum);
}

static void g5_2_a_cancelled_wait_leaves_connections_in_the_stream(
    void **state) {
    static struct queue self;

    (void)state;
    make_queue(&self, stream_cancel_script, false);
    check_equal(run(&self.script.future, real_clock(1)), 200);
    assert_notes(1, 0, 0);
    free_queue(&self);
}

/* Also from who is there already: it is for who asks next. */
static mini_poll stream_kept_script(
    struct mini_future *future, struct mini_context cx) {
    struct queue *self = MINI_SELF(struct queue);
    struct script *s = &self->script;

    MINI_BEGIN;
    connect_peers(self, 1);
    mini_accept_stream(&s->stream, s->fd[0]);
    s->task[0] = background(mini_accept_next(&s->stream));
    MINI_AWAIT(mini_yield(&s->yield)); /* it begins */
    mini_cancel(s->task[0]);
    STEP(mini_join(&s->join, s->task[0]));
    while (s->stream.io.active && s->stream.io.done == 0) A_TURN(s);
    s->task[0] = background(mini_accept_next(&s->stream));
    mini_cancel(s->task[0]);
    STEP(mini_join(&s->join, s->task[0]));
    MINI_AWAIT(mini_timeout(
        &s->timeout, mini_accept_next(&s->stream), 10 * MINI_SECOND));
    NOTE(is_connection_of(self, 0, MINI_RESULT));
    if (MINI_RESULT >= 0) close((int)MINI_RESULT);
    STEP(mini_accept_end(&s->stream));
    while (self->count > 0) reset(self->peer[--self->count]);
    MINI_END(0);
}

static void g5_2_a_connection_that_is_there_stays_with_a_cancel(void **state) {
    static struct queue self;

    (void)state;
    make_queue(&self, stream_kept_script, false);
    check_equal(run(&self.script.future, real_clock(1)), 0);
    assert_notes(-ECANCELED, -ECANCELED, 1, 0);
    free_queue(&self);
}

/* Nor is an error left in it that nobody has been told. */
static mini_poll stream_anew_script(
    struct mini_future *future, struct mini_context cx) {
    struct script *self = MINI_SELF(struct script);

    MINI_BEGIN;
    mini_accept_stream(&self->stream, self->fd[0]);
    self->task[0] = background(mini_accept_next(&self->stream));
    MINI_AWAIT(mini_yield(&self->yield)); /* it begins */
    mini_cancel(self->task[0]);
    STEP(mini_join(&self->join, self->task[0]));
    while (self->stream.io.active) A_TURN(self);
    STEP(mini_accept_end(&self->stream));
    must(listen(self->fd[0], 1) == 0, "listen");
    self->fd[1] = raw_connect(&self->address);
    MINI_AWAIT(mini_accept_next(&self->stream));
    NOTE(MINI_RESULT >= 0 && close((int)MINI_RESULT) == 0);
    STEP(mini_accept_end(&self->stream));
    reset(self->fd[1]);
    MINI_END(0);
}

static void g5_2_a_stream_that_was_ended_has_no_error(void **state) {
    struct script self = MINI_FRAME(struct script, stream_anew_script, .i = 0);

    (void)state;
    self.fd[0] = bound_socket(-1, &self.address); /* does not listen yet */
    check_equal(run(&self.future, real_clock(1)), 0);
    close(self.fd[0]);
    assert_notes(-ECANCELED, 0, 1, 0);
}

/* Errors are told, once for each time that it is asked; other streams go on. A
 * socket that does not listen gives EINVAL, as an old kernel does to multishot:
 * from then on this shard's streams do without. */
static mini_poll stream_error_script(
    struct mini_future *future, struct mini_context cx) {
    struct queue *self = MINI_SELF(struct queue);
    struct script *s = &self->script;
    static struct mini_accept_stream good;

    MINI_BEGIN;
    mini_accept_stream(&good, s->fd[0]);
    connect_peers(self, 3);
    for (; s->i < 3; s->i++) {
        MINI_AWAIT(mini_accept_next(&good));
        s->sum += is_connection_of(self, s->i, MINI_RESULT);
        close((int)MINI_RESULT);
    }
    mini_accept_stream(&s->stream, s->fd[1]); /* bound, does not listen */
    STEP(mini_accept_next(&s->stream));
    STEP(mini_accept_next(&s->stream));
    STEP(mini_accept_end(&s->stream));
    mini_accept_stream(&s->stream, s->fd[2]); /* a pipe */
    STEP(mini_timeout(
        &s->timeout, mini_accept_next(&s->stream), 5 * MINI_SECOND));
    STEP(mini_accept_end(&s->stream));
    mini_accept_stream(&s->stream, 9999);
    STEP(mini_accept_next(&s->stream));
    STEP(mini_accept_end(&s->stream));
    for (; s->i < 150; s->i++) {
        if (s->i % 10 == 3) connect_peers(self, 10);
        MINI_AWAIT(mini_accept_next(&good));
        s->sum += is_connection_of(self, s->i, MINI_RESULT);
        close((int)MINI_RESULT);
    }
    STEP(mini_accept_end(&good));
    while (self->count > 0) reset(self->peer[--self->count]);
    MINI_END(s->sum);
}

static void g5_6_a_stream_without_multishot_and_its_errors(void **state) {
    static struct queue self;
    struct sockaddr_in address;
    int fd[2];

    (void)state;
    open_pair(PIPE, false, fd);
    make_queue(&self, stream_error_script, false);
    self.script.fd[1] = bound_socket(-1, &address);
    self.script.fd[2] = fd[0];
    check_equal(run(&self.script.future, real_clock(1)), 150);
    assert_notes(-EINVAL, -EINVAL, 0, -ENOTSOCK, 0, -EBADF, 0, 0);
    close(self.script.fd[1]);
    close_pair(fd);
    free_queue(&self);
}

/* No memory to keep a connection: that one is closed, the next is not. */
static mini_poll stream_memory_script(
    struct mini_future *future, struct mini_context cx) {
    struct queue *self = MINI_SELF(struct queue);
    struct script *s = &self->script;

    MINI_BEGIN;
    connect_peers(self, 1);
    mini_accept_stream(&s->stream, s->fd[0]);
    /* what the backend allocates it has now */
    MINI_AWAIT(mini_readable(&s->io[0], s->fd[0]));
    mini_test_fail_alloc_after(0);
    STEP(mini_accept_next(&s->stream));
    mini_test_fail_alloc_after(-1);
    struct pollfd end = {.fd = self->peer[0], .events = POLLIN};
    NOTE(poll(&end, 1, 10000)); /* its peer hears of it */
    connect_peers(self, 1);
    MINI_AWAIT(mini_accept_next(&s->stream));
    NOTE(is_connection_of(self, 1, MINI_RESULT));
    close((int)MINI_RESULT);
    STEP(mini_accept_end(&s->stream));
    mini_accept_stream(&s->stream, 9999); /* no connection lacks memory here */
    mini_test_fail_alloc_after(0);
    STEP(mini_accept_next(&s->stream));
    mini_test_fail_alloc_after(-1);
    STEP(mini_accept_end(&s->stream));
    while (self->count > 0) reset(self->peer[--self->count]);
    MINI_END(0);
}

static void g1_11_a_stream_without_memory_goes_on(void **state) {
    static struct queue self;

    (void)state;
    make_queue(&self, stream_memory_script, false);
    check_equal(run(&self.script.future, real_clock(1)), 0);
    assert_notes(-ENOMEM, 1, 1, 0, -EBADF, 0);
    free_queue(&self);
}

/* ---- servers ------------------------------------------------------------ */

enum { MAX_SHARDS = 4 };
static atomic_int nodelay; /* connections that have TCP_NODELAY */

/* Says which shard it is on, then sends back what it gets. */
struct session {
    struct mini_future future;
    struct mini_io io;
    int fd;
    char hello, buffer[1024];
};

static mini_poll session(struct mini_future *future, struct mini_context cx) {
    struct session *self = MINI_SELF(struct session);

    MINI_BEGIN;
    self->hello = (char)mini_this_shard();
    MINI_AWAIT(mini_send_all(&self->io, self->fd, &self->hello, 1));
    while (MINI_RESULT > 0) {
        MINI_AWAIT(
            mini_recv(&self->io, self->fd, self->buffer, sizeof self->buffer));
        if (MINI_RESULT <= 0) break;
        MINI_AWAIT(mini_send_all(
            &self->io, self->fd, self->buffer, (size_t)MINI_RESULT));
    }
    MINI_END(0);
}

static struct mini_future *serve(void *frame, int fd, void *arg) {
    struct session *self = frame;
    socklen_t size = sizeof(int);
    int on = 0;

    must(fcntl(fd, F_GETFD) >= 0, "a connection that is none");
    if (arg) atomic_fetch_add((atomic_int *)arg, 1);
    getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, &size);
    nodelay += on != 0;
    *self =
        (struct session){.future = MINI_FUTURE(session, "session"), .fd = fd};
    return &self->future;
}

/* A server for as long as BODY takes. */
struct server_run {
    struct mini_future future;
    struct mini_server server;
    struct mini_server_options options;
    struct mini_future *body, *both[2];
    struct mini_select select;
};

static unsigned server_port;

static mini_poll server_run(
    struct mini_future *future, struct mini_context cx) {
    struct server_run *self = MINI_SELF(struct server_run);

    MINI_BEGIN;
    int error = mini_server_open(&self->server, &self->options);
    if (error != 0) MINI_RETURN(error);
    server_port = self->server.port;
    self->both[0] = mini_serve(&self->server);
    self->both[1] = self->body;
    MINI_AWAIT(mini_select(&self->select, self->both, 2));
    if (MINI_RESULT < 0) MINI_RETURN(MINI_RESULT);
    NOTE(self->both[0]->result);
    MINI_END(self->both[1]->result);
}

static struct server_run make_server(
    struct mini_future *body, enum mini_accept_policy policy) {
    return MINI_FRAME(struct server_run, server_run, .body = body,
        .options = {
            .accept = policy, .frame = sizeof(struct session), .serve = serve});
}

/* Connects, and gives the number of the shard that serves. */
struct visit {
    struct mini_future future;
    struct mini_io io;
    struct sockaddr_in to;
    int fd;
    char shard;
};

static mini_poll visit(struct mini_future *future, struct mini_context cx) {
    struct visit *self = MINI_SELF(struct visit);

    MINI_BEGIN;
    self->to = loopback(server_port);
    self->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (self->fd < 0) MINI_RETURN(-errno);
    MINI_AWAIT(mini_connect(&self->io, self->fd,
        (const struct sockaddr *)&self->to, sizeof self->to));
    if (MINI_RESULT < 0) MINI_RETURN(MINI_RESULT);
    MINI_AWAIT(mini_recv(&self->io, self->fd, &self->shard, 1));
    if (MINI_RESULT != 1) MINI_RETURN(MINI_RESULT < 0 ? MINI_RESULT : -EPIPE);
    MINI_END(self->shard);
}

/* Ends the connection, and waits until the other side has closed it. */
struct leave {
    struct mini_future future;
    struct mini_io io;
    int fd;
    char byte;
};

static mini_poll leave(struct mini_future *future, struct mini_context cx) {
    struct leave *self = MINI_SELF(struct leave);

    MINI_BEGIN;
    MINI_AWAIT(mini_shutdown_socket(&self->io, self->fd, SHUT_WR));
    MINI_AWAIT(mini_recv(&self->io, self->fd, &self->byte, 1));
    close(self->fd);
    MINI_END(MINI_RESULT);
}

/* Sends and gets back, ROUNDS times; how often what came was right. */
struct chat {
    struct mini_future future;
    struct mini_io io;
    int fd;
    long rounds, round;
    size_t size, got;
    char sent[1500], received[1500];
};

static mini_poll chat(struct mini_future *future, struct mini_context cx) {
    struct chat *self = MINI_SELF(struct chat);

    MINI_BEGIN;
    for (self->round = 0; self->round < self->rounds; self->round++) {
        for (size_t i = 0; i < self->size; i++)
            self->sent[i] = pattern(i + (size_t)(self->round + self->fd) * 99);
        MINI_AWAIT(mini_send_all(&self->io, self->fd, self->sent, self->size));
        for (self->got = 0; self->got < self->size;) {
            MINI_AWAIT(mini_recv(&self->io, self->fd,
                self->received + self->got, self->size - self->got));
            if (MINI_RESULT <= 0) MINI_RETURN(MINI_RESULT);
            self->got += (size_t)MINI_RESULT;
        }
        if (memcmp(self->sent, self->received, self->size) != 0) break;
    }
    MINI_END(self->round);
}

/* ---- who serves --------------------------------------------------------- */

static long nothing(void *arg) {
    (void)arg;
    return 0;
}

enum { EACH = 8 };
struct spread {
    struct mini_future future;
    struct visit visit[MAX_SHARDS * EACH];
    struct leave leave;
    struct mini_call call;
    struct server_run *run;
    int i, n, where, load[MAX_SHARDS], uneven;
};

static void count_visit(struct spread *self, long shard) {
    int most = 0, least = INT_MAX;

    if (shard < 0 || shard >= (long)mini_shard_count()) {
        NOTE(shard);
        return;
    }
    self->load[shard]++;
    for (unsigned i = 0; i < mini_shard_count(); i++) {
        if (self->load[i] > most) most = self->load[i];
        if (self->load[i] < least) least = self->load[i];
    }
    self->uneven += most - least > 1;
}

static mini_poll spread_body(
    struct mini_future *future, struct mini_context cx) {
    struct spread *self = MINI_SELF(struct spread);

    MINI_BEGIN;
    self->n = EACH * (int)mini_shard_count();
    for (self->i = 0; self->i < self->n; self->i++) {
        MINI_AWAIT(
            MINI_CALL(struct visit, &self->visit[self->i], visit, .fd = -1));
        count_visit(self, MINI_RESULT);
    }
    NOTE(self->uneven);
    /* all but one of a shard's leave: it gets the next ones */
    for (self->where = 0; self->where < (int)mini_shard_count();
         self->where++) {
        for (self->i = 0; self->i < self->n; self->i++) {
            if (self->visit[self->i].shard != self->where ||
                self->load[self->where] == 1)
                continue;
            MINI_AWAIT(MINI_CALL(struct leave, &self->leave, leave,
                .fd = self->visit[self->i].fd));
            self->visit[self->i].fd = -1;
            self->load[self->where]--;
        }
        MINI_AWAIT(
            mini_submit_to(&self->call, (unsigned)self->where, nothing, NULL));
        for (self->i = 0; self->i < self->n; self->i++) {
            if (self->visit[self->i].fd >= 0) continue;
            MINI_AWAIT(MINI_CALL(
                struct visit, &self->visit[self->i], visit, .fd = -1));
            if (MINI_RESULT != self->where) NOTE(MINI_RESULT);
            self->load[self->where]++;
        }
    }
    NOTE(self->load[0]);
    for (self->i = 0; self->i < self->n; self->i++)
        reset(self->visit[self->i].fd);
    MINI_END(self->n);
}

static void g5_5_spread_gives_each_shard_as_much(void **state) {
    static struct spread body;

    (void)state;
    for (unsigned shards = 1; shards <= MAX_SHARDS; shards *= 2) {
        body = MINI_FRAME(struct spread, spread_body, .i = 0);
        struct server_run self = make_server(&body.future, MINI_ACCEPT_SPREAD);
        atomic_int served = 0;

        snprintf(variant, sizeof variant, "%u shards", shards);
        self.options.arg = &served;
        nodelay = 0;
        check_equal(run(&self.future, real_clock(shards)), EACH * shards);
        assert_notes(0, EACH, -ECANCELED);
        check_equal(served, EACH * shards + shards * (EACH - 1));
#ifdef __linux__
        check_equal(nodelay, served);
#endif
    }
}

/* Those on their way to their shard count there, though they come at once. */
enum { THRONG = 12 };
struct throng {
    struct mini_future future;
    struct mini_io io;
    struct server_run *run;
    int i, fd[THRONG], load[2];
    char shard;
};

static mini_poll throng_body(
    struct mini_future *future, struct mini_context cx) {
    struct throng *self = MINI_SELF(struct throng);

    MINI_BEGIN;
    /* it has a copy */
    memset(&self->run->options, 0, sizeof self->run->options);
    struct sockaddr_in address = loopback(server_port);
    for (int i = 0; i < THRONG; i++) self->fd[i] = raw_connect(&address);
    for (; self->i < THRONG; self->i++) {
        MINI_AWAIT(mini_recv(&self->io, self->fd[self->i], &self->shard, 1));
        if (MINI_RESULT == 1) self->load[self->shard == 1]++;
    }
    for (int i = 0; i < THRONG; i++) reset(self->fd[i]);
    NOTE(self->load[0]);
    NOTE(self->load[1]);
    MINI_END(0);
}

static void g5_5_spread_of_those_that_come_at_once(void **state) {
    struct throng body = MINI_FRAME(struct throng, throng_body, .i = 0);
    struct server_run self = make_server(&body.future, MINI_ACCEPT_SPREAD);

    (void)state;
    body.run = &self;
    check_equal(run(&self.future, real_clock(2)), 0);
    assert_notes(THRONG / 2, THRONG / 2, -ECANCELED);
}

struct elsewhere {
    struct mini_future future;
    struct mini_remote remote;
    struct mini_future *inner;
};

static mini_poll elsewhere(struct mini_future *future, struct mini_context cx) {
    struct elsewhere *self = MINI_SELF(struct elsewhere);

    MINI_BEGIN;
    MINI_AWAIT(mini_spawn_on(&self->remote, 1, self->inner));
    MINI_END(MINI_RESULT);
}

static void g5_5_spread_from_another_shard_than_the_first(void **state) {
    static struct spread body;

    (void)state;
    body = MINI_FRAME(struct spread, spread_body, .i = 0);
    struct server_run server = make_server(&body.future, MINI_ACCEPT_SPREAD);
    struct elsewhere self =
        MINI_FRAME(struct elsewhere, elsewhere, .inner = &server.future);

    snprintf(variant, sizeof variant, "opened by shard 1 of 2");
    check_equal(run(&self.future, real_clock(2)), EACH * 2);
    assert_notes(0, EACH, -ECANCELED);
}

enum { GUESTS = 64 };
struct guests {
    struct mini_future future;
    struct visit visit[GUESTS];
    struct chat chat;
    int i, load[MAX_SHARDS];
};

static mini_poll guests_body(
    struct mini_future *future, struct mini_context cx) {
    struct guests *self = MINI_SELF(struct guests);

    MINI_BEGIN;
    for (self->i = 0; self->i < GUESTS; self->i++) {
        MINI_AWAIT(
            MINI_CALL(struct visit, &self->visit[self->i], visit, .fd = -1));
        if (MINI_RESULT < 0) MINI_RETURN(MINI_RESULT);
        self->load[MINI_RESULT]++;
    }
    for (self->i = 0; self->i < GUESTS; self->i++) {
        MINI_AWAIT(MINI_CALL(struct chat, &self->chat, chat,
            .fd = self->visit[self->i].fd, .rounds = 3, .size = 700));
        if (MINI_RESULT != 3) NOTE(MINI_RESULT);
        reset(self->visit[self->i].fd);
    }
    MINI_END(0);
}

/* The kernel chooses; that it never chose one of four among 64 has a chance of
 * one in 25 millions. */
static void g5_5_reuseport_has_all_shards_accept(void **state) {
    static struct guests body;

    (void)state;
    for (unsigned shards = 1; shards <= MAX_SHARDS; shards *= 2) {
        body = MINI_FRAME(struct guests, guests_body, .i = 0);
        struct server_run self =
            make_server(&body.future, MINI_ACCEPT_REUSEPORT);
        long result = run(&self.future, real_clock(shards));

        if (!HAS_SECCOMP && result == -ENOPROTOOPT)
            skip(); /* on Linux it works */
        snprintf(variant, sizeof variant, "%u shards", shards);
        check_equal(result, 0);
        assert_notes(-ECANCELED);
        for (unsigned i = 0; i < shards; i++) check(body.load[i] > 0);
    }
}

/* Two servers cannot have one port, and the second leaves nothing behind. */
static mini_poll taken_body(
    struct mini_future *future, struct mini_context cx) {
    struct script *self = MINI_SELF(struct script);
    static struct mini_server second;
    struct mini_server_options options = {.port = server_port,
        .accept = (enum mini_accept_policy)self->i,
        .frame = sizeof(struct session),
        .serve = serve};

    (void)cx;
    self->sum = open_files();
    NOTE(mini_server_open(&second, &options));
    options.host = "192.0.2.1"; /* nobody has this address */
    NOTE(mini_server_open(&second, &options));
    options.host = "localhost";
    options.port = 65536;
    NOTE(mini_server_open(&second, &options));
    NOTE(open_files() - self->sum);
    return mini_ready(future, 0);
}

static void g5_1_a_server_says_why_it_cannot_listen(void **state) {
    struct script body;

    (void)state;
    body = MINI_FRAME(struct script, taken_body, .i = MINI_ACCEPT_SPREAD);
    struct server_run self = make_server(&body.future, MINI_ACCEPT_SPREAD);

    check_equal(run(&self.future, real_clock(2)), 0);
    assert_notes(-EADDRINUSE, -EADDRNOTAVAIL, -EINVAL, 0, -ECANCELED);
}

/* A child that calls exec must not get them: the port would stay taken. */
static mini_poll looks_at_sockets(
    struct mini_future *future, struct mini_context cx) {
    struct script *self = MINI_SELF(struct script);

    (void)cx;
    for (int fd = 0; fd < 1000; fd++) {
        struct sockaddr_in address;
        socklen_t size = sizeof address;

        if (getsockname(fd, (struct sockaddr *)&address, &size) < 0 ||
            address.sin_family != AF_INET ||
            ntohs(address.sin_port) != server_port)
            continue;
        self->i++;
        self->sum += fcntl(fd, F_GETFD) != FD_CLOEXEC;
    }
    NOTE(self->i > 1);
    NOTE(self->sum);
    return mini_ready(future, 0);
}

static void g5_1_no_child_inherits_a_servers_sockets(void **state) {
    struct script body = MINI_FRAME(struct script, looks_at_sockets);
    struct server_run self = make_server(&body.future, MINI_ACCEPT_SPREAD);

    (void)state;
    check_equal(run(&self.future, real_clock(1)), 0);
    assert_notes(1, 0, -ECANCELED);
}

/* Lets this process have only so many MORE. */
static void allow_files(long more, struct rlimit *before) {
    struct rlimit few;
    int limit = 0;

    for (; more >= 0; limit++) more -= fcntl(limit, F_GETFD) < 0;
    getrlimit(RLIMIT_NOFILE, before);
    few = *before;
    few.rlim_cur = (rlim_t)limit - 1;
    must(setrlimit(RLIMIT_NOFILE, &few) == 0, "setrlimit");
}

/* One descriptor is left, but each shard wants one. */
static mini_poll too_few_files(
    struct mini_future *future, struct mini_context cx) {
    static struct mini_server server;
    struct mini_server_options options = {.accept = MINI_ACCEPT_REUSEPORT,
        .frame = sizeof(struct session),
        .serve = serve};
    struct rlimit files;

    (void)cx;
    allow_files(1, &files);
    NOTE(mini_server_open(&server, &options));
    setrlimit(RLIMIT_NOFILE, &files);
    return mini_ready(future, open_files());
}

static void g5_5_a_server_that_cannot_listen_on_all_shards(void **state) {
    struct mini_future main = MINI_FUTURE(too_few_files, "too_few_files");

    (void)state;
    if (!are_ports_shared()) skip();
    run(&main, real_clock(2));
    snprintf(variant, sizeof variant, "one descriptor");
    assert_notes(-EMFILE);
}

/* The acceptors are refused before their first poll: who closes what they were
 * to listen on? */
static mini_poll never_begun(
    struct mini_future *future, struct mini_context cx) {
    static struct mini_server server;
    struct script *self = MINI_SELF(struct script);
    struct mini_server_options options = {
        .accept = (enum mini_accept_policy)self->i,
        .frame = sizeof(struct session),
        .serve = serve};
    struct mini_context cancel = {cx.task, true};
    long before = open_files();

    NOTE(mini_server_open(&server, &options));
    NOTE(mini_serve(&server)->poll(&server.future, cancel));
    NOTE(server.future.result);
    NOTE(open_files() - before);
    return mini_ready(future, 0);
}

static void g5_7_a_server_that_never_began_leaves_no_listener(void **state) {
    int shared = mini_listen(NULL, 0, true);

    (void)state;
    for (int policy = MINI_ACCEPT_SPREAD; policy <= MINI_ACCEPT_REUSEPORT;
         policy++) {
        struct script self =
            MINI_FRAME(struct script, never_begun, .i = policy);

        if (policy == MINI_ACCEPT_REUSEPORT && shared == -ENOPROTOOPT) break;
        check_equal(run(&self.future, real_clock(2)), 0);
        assert_notes(0, MINI_READY, -ECANCELED, 0);
    }
    if (shared >= 0) close(shared);
}

/* Where standard input is closed the first listener is descriptor 0: it is one
 * like any other, and goes like any other. */
static mini_poll server_on_0(
    struct mini_future *future, struct mini_context cx) {
    static struct mini_server server;
    struct mini_server_options options = {
        .frame = sizeof(struct session), .serve = serve};
    struct mini_context cancel = {cx.task, true};
    int input = dup(STDIN_FILENO); /* -1: it is closed */

    close(STDIN_FILENO);
    NOTE(mini_server_open(&server, &options));
    NOTE(mini_port_of(STDIN_FILENO) == (int)server.port);
    NOTE(mini_serve(&server)->poll(&server.future, cancel));
    NOTE(fcntl(STDIN_FILENO, F_GETFD));
    if (input >= 0) dup2(input, STDIN_FILENO);
    if (input >= 0) close(input);
    return mini_ready(future, 0);
}

static void g5_1_a_server_listens_on_descriptor_0_as_well(void **state) {
    struct mini_future main = MINI_FUTURE(server_on_0, "server_on_0");

    (void)state;
    check_equal(run(&main, real_clock(1)), 0);
    assert_notes(0, 1, MINI_READY, -1);
}

/* ---- the end of a server ------------------------------------------------ */

struct farewell {
    struct mini_future future;
    struct server_run server;
    struct visit first, second;
    struct chat chat;
};

static mini_poll farewell(struct mini_future *future, struct mini_context cx) {
    struct farewell *self = MINI_SELF(struct farewell);

    MINI_BEGIN;
    self->first = MINI_FRAME(struct visit, visit, .fd = -1);
    self->server = make_server(
        &self->first.future, (enum mini_accept_policy)self->chat.rounds);
    STEP(&self->server.future);
    STEP(MINI_CALL(struct visit, &self->second, visit, .fd = -1));
    close(self->second.fd);
    STEP(MINI_CALL(struct chat, &self->chat, chat, .fd = self->first.fd,
        .rounds = 20, .size = 1500));
    reset(self->first.fd);
    MINI_END(0);
}

static void g5_9_connections_outlive_their_server(void **state) {
    static struct farewell self;

    (void)state;
    for (unsigned shards = 1; shards <= 2; shards++) {
        self = (struct farewell){.future = MINI_FUTURE(farewell, "farewell")};
        check_equal(run(&self.future, real_clock(shards)), 0);
        snprintf(variant, sizeof variant, "%u shards", shards);
        assert_notes(-ECANCELED, 0, -ECONNREFUSED, 20);
    }
}

static int find_listener(void) {
    for (int fd = 3; fd < 1000; fd++) {
        socklen_t size = sizeof(int);
        int listens = 0;

        if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) == 0 &&
            listens && mini_port_of(fd) == (int)server_port)
            return fd;
    }
    return -1;
}

static mini_poll pull_the_plug(
    struct mini_future *future, struct mini_context cx) {
    struct script *self = MINI_SELF(struct script);

    MINI_BEGIN;
    SETTLE(self);
    shutdown(find_listener(), SHUT_RDWR);
    MINI_AWAIT(mini_sleep(&self->sleep, 20 * MINI_SECOND));
    MINI_END(MINI_RESULT);
}

static void g5_5_an_error_that_does_not_pass_ends_the_server(void **state) {
    (void)state;
#ifdef __linux__ /* others do not allow to shut down a listening socket */
    for (unsigned shards = 1; shards <= 2; shards++) {
        struct script body = MINI_FRAME(struct script, pull_the_plug, .i = 0);
        struct server_run self = make_server(&body.future, MINI_ACCEPT_SPREAD);

        check_equal(run(&self.future, real_clock(shards)), -ECANCELED);
        assert_notes(-EINVAL);
    }
#else
    skip();
#endif
}

/* Where each ends in its own way it is the first listener's end that is told:
 * it has become a socket that does not listen; the last is closed, and the
 * others are no sockets at all. */
static mini_poll own_ends_script(
    struct mini_future *future, struct mini_context cx) {
    struct script *self = MINI_SELF(struct script);
    static struct mini_server server;
    struct mini_server_options options = {
        .frame = sizeof(struct session), .serve = serve};
    int deaf, listener;

    MINI_BEGIN;
    NOTE(mini_server_open(&server, &options));
    server_port = server.port;
    deaf = mini_bind(NULL, 0, SOCK_STREAM, false);
    must(dup2(deaf, find_listener()) >= 0, "dup2");
    close(deaf);
    for (; (listener = find_listener()) >= 0; self->sum = listener)
        must(dup2(self->fd[0], listener) >= 0, "dup2");
    must(self->sum > 0 && close((int)self->sum) == 0, "close");
    STEP(mini_serve(&server));
    MINI_END(0);
}

static void g5_5_the_first_listeners_end_is_the_servers(void **state) {
    struct script self = MINI_FRAME(struct script, own_ends_script, .i = 0);

    (void)state;
    open_pair(PIPE, false, self.fd);
    check_equal(run(&self.future, real_clock(1)), 0);
    close_pair(self.fd);
    assert_notes(0, -EINVAL);
}

/* ---- G5.5: out of descriptors ------------------------------------------- */

static mini_poll emfile_script(
    struct mini_future *future, struct mini_context cx) {
    struct queue *self = MINI_SELF(struct queue);
    struct script *s = &self->script;
    static struct rlimit files;

    MINI_BEGIN;
    connect_peers(self, 4);
    mini_accept_stream(&s->stream, s->fd[0]);
    s->fd[1] = -1;
    allow_files(0, &files);
    STEP(mini_accept(&s->io[0], s->fd[0]));
    STEP(mini_accept(&s->io[0], s->fd[0]));
    STEP(mini_accept_next(&s->stream));
    s->sum = (long)mini_stats()->operations;
    SETTLE(s);
    /* only when it is asked; the other may be the doorbell's */
    NOTE((long)mini_stats()->operations - s->sum <= 1);
    STEP(mini_accept_next(&s->stream));
    setrlimit(RLIMIT_NOFILE, &files);
    MINI_AWAIT(mini_accept(&s->io[0], s->fd[0]));
    NOTE(is_connection_of(self, 0, MINI_RESULT));
    close((int)MINI_RESULT);
    allow_files(2, &files);
    MINI_AWAIT(mini_accept_next(&s->stream));
    NOTE(is_connection_of(self, 1, MINI_RESULT));
    s->fd[1] = (int)MINI_RESULT;
    MINI_AWAIT(mini_accept_next(&s->stream));
    NOTE(is_connection_of(self, 2, MINI_RESULT));
    s->fd[2] = (int)MINI_RESULT;
    STEP(mini_accept_next(&s->stream));
    close(s->fd[1]);
    close(s->fd[2]);
    MINI_AWAIT(mini_accept_next(&s->stream));
    NOTE(is_connection_of(self, 3, MINI_RESULT));
    close((int)MINI_RESULT);
    STEP(mini_accept_end(&s->stream));
    setrlimit(RLIMIT_NOFILE, &files);
    while (self->count > 0) reset(self->peer[--self->count]);
    MINI_END(0);
}

static void g5_5_accept_without_descriptors_is_emfile_and_goes_on(
    void **state) {
    static struct queue self;

    (void)state;
    for (int nonblocking = 0; nonblocking < 2; nonblocking++) {
        make_queue(&self, emfile_script, nonblocking);
        check_equal(run(&self.script.future, real_clock(1)), 0);
        assert_notes(
            -EMFILE, -EMFILE, -EMFILE, 1, -EMFILE, 1, 1, 1, -EMFILE, 1, 0);
        free_queue(&self);
    }
}

/* A server that may have TABLE connections, in a process of its own; it says on
 * request how many turns its shards have taken. */
enum { TABLE = 10, CALLERS = 35 };
struct cramped {
    struct mini_future future;
    struct mini_io io;
    struct mini_broadcast count;
    int in, out;
    char request;
};

static long turns_here(void *arg) {
    (void)arg;
    return (long)(mini_stats()->turns + mini_stats()->enters);
}

static long add(long so_far, long next) { return so_far + next; }

static mini_poll cramped_body(
    struct mini_future *future, struct mini_context cx) {
    struct cramped *self = MINI_SELF(struct cramped);
    struct rlimit files;

    MINI_BEGIN;
    allow_files(TABLE, &files);
    must(write(self->out, &(long){server_port}, sizeof(long)) > 0, "say");
    for (;;) {
        MINI_AWAIT(mini_read(&self->io, self->in, &self->request, 1, -1));
        if (MINI_RESULT != 1 || self->request == 'q') break;
        MINI_AWAIT(mini_map_reduce(&self->count, turns_here, NULL, add, 0));
        must(write(self->out, &MINI_RESULT, sizeof(long)) > 0, "say");
    }
    MINI_END(0);
}

static void cramped_server(
    int in, int out, enum mini_accept_policy policy, unsigned shards) {
    struct cramped body =
        MINI_FRAME(struct cramped, cramped_body, .in = in, .out = out);
    struct server_run self = make_server(&body.future, policy);
    struct mini_options options = real_clock(shards);

    _exit(mini_run(&self.future, &options) == 0 ? 0 : 1);
}

static long ask(int to, int from) {
    long answer = -1;

    if (to >= 0) check_equal(write(to, "?", 1), 1);
    check_equal(read(from, &answer, sizeof answer), sizeof answer);
    return answer;
}

static double seconds(void) {
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Who of FDS has been greeted by now; waits WAIT ms for the first. */
static int greeted(int *fds, bool *was, int wait) {
    struct pollfd ready[CALLERS];
    int count = 0;
    char byte;

    for (int i = 0; i < CALLERS; i++)
        ready[i] =
            (struct pollfd){.fd = was[i] ? -1 : fds[i], .events = POLLIN};
    poll(ready, CALLERS, wait);
    for (int i = 0; i < CALLERS; i++)
        if (ready[i].revents && read(fds[i], &byte, 1) == 1) {
            was[i] = true;
            count++;
        }
    return count;
}

static void cramped(enum mini_accept_policy policy, unsigned shards) {
    bool was[CALLERS] = {false}, closed[CALLERS] = {false};
    int up[2], down[2], fds[CALLERS], status, count = 0;

    check(pipe(up) == 0 && pipe(down) == 0);
    pid_t child = fork_child();

    if (child == 0) {
        close(down[1]);
        close(up[0]);
        cramped_server(down[0], up[1], policy, shards);
    }
    close(down[0]);
    close(up[1]);
    long port = ask(-1, up[0]);
    struct sockaddr_in address = loopback((unsigned)port);
    double limit = seconds() + 60;

    for (int i = 0; i < CALLERS; i++) fds[i] = raw_connect(&address);
    while (count < TABLE && seconds() < limit) count += greeted(fds, was, 100);
    check_equal(count, TABLE);
    double began = seconds(); /* before the first count, for it may be late */
    long turns = ask(down[1], up[0]);

    check_equal(greeted(fds, was, 300), 0);
    turns = ask(down[1], up[0]) - turns;
    double ms = (seconds() - began) * 1000;

    /* eight who try every 10 ms: up to 4 turns a ms, if each try has turns of
     * its own; who spins takes 30 and more, even with a sanitizer */
    check((double)turns < 100 + 10 * ms * shards);
    while (count < CALLERS && seconds() < limit) {
        for (int i = 0; i < CALLERS; i++)
            if (was[i] && !closed[i]) closed[i] = close(fds[i]) == 0;
        count += greeted(fds, was, 100);
    }
    check_equal(count, CALLERS);
    check_equal(write(down[1], "q", 1), 1);
    check_equal(waitpid(child, &status, 0), child);
    check_equal(status, 0);
    for (int i = 0; i < CALLERS; i++)
        if (!closed[i]) close(fds[i]);
    close(up[0]);
    close(down[1]);
}

static void g5_5_a_server_out_of_descriptors_waits_and_goes_on(void **state) {
    (void)state;
    cramped(MINI_ACCEPT_SPREAD, 1);
    cramped(MINI_ACCEPT_SPREAD, 2);
    if (are_ports_shared()) cramped(MINI_ACCEPT_REUSEPORT, 1);
}

/* A cancel that finds it waiting for descriptors is its end, not their lack. */
static mini_poll shortage_body(
    struct mini_future *future, struct mini_context cx) {
    struct script *self = MINI_SELF(struct script);
    static struct rlimit files;

    MINI_BEGIN;
    self->address = loopback(server_port);
    self->fd[0] = raw_connect(&self->address);
    allow_files(0, &files);
    for (; self->i < 50; self->i++) A_TURN(self);
    setrlimit(RLIMIT_NOFILE, &files);
    reset(self->fd[0]);
    MINI_END(0);
}

static void g5_5_a_server_that_waits_for_descriptors_is_cancelled(
    void **state) {
    struct script body = MINI_FRAME(struct script, shortage_body, .i = 0);
    struct server_run self = make_server(&body.future, MINI_ACCEPT_SPREAD);

    (void)state;
    check_equal(run(&self.future, virtual_clock()), 0);
    assert_notes(-ECANCELED);
}

/* Where standard input is closed a connection may be descriptor 0: no lack of
 * descriptors, so the server does not pause. */
static mini_poll connection_on_0(
    struct mini_future *future, struct mini_context cx) {
    struct script *self = MINI_SELF(struct script);

    MINI_BEGIN;
    self->address = loopback(server_port);
    self->fd[0] = socket(AF_INET, SOCK_STREAM, 0);
    self->fd[1] = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0);
    self->sum = (long)mini_now();
    close(STDIN_FILENO);
    must(connect(self->fd[0], (struct sockaddr *)&self->address,
             sizeof self->address) == 0,
        "connect");
    MINI_AWAIT(mini_recv(&self->io[0], self->fd[0], self->buffer, 1));
    NOTE((long)mini_now() - self->sum);
    NOTE(fcntl(STDIN_FILENO, F_GETFD) >= 0);
    reset(self->fd[0]);
    MINI_END(MINI_RESULT);
}

static void g5_5_a_connection_may_be_descriptor_0(void **state) {
    struct script body =
        MINI_FRAME(struct script, connection_on_0, .fd = {-1, -1});
    struct server_run self = make_server(&body.future, MINI_ACCEPT_SPREAD);

    (void)state;
    if (fcntl(STDIN_FILENO, F_GETFD) < 0) skip(); /* it would be the shard's */
    long result = run(&self.future, virtual_clock());

    if (body.fd[1] >= 0) dup2(body.fd[1], STDIN_FILENO);
    if (body.fd[1] >= 0) close(body.fd[1]);
    check_equal(result, 1);
    assert_notes(0, 1, -ECANCELED);
}

/* ---- G5.9: bad peers ---------------------------------------------------- */

struct bad_peers {
    struct mini_future future;
    struct visit slow, deaf, half, gone, good;
    struct chat trickle, chat;
    struct mini_io io;
    struct mini_join join;
    struct mini_task *task;
    char buffer[200];
    size_t got;
};

static mini_poll bad_peers(struct mini_future *future, struct mini_context cx) {
    struct bad_peers *self = MINI_SELF(struct bad_peers);

    MINI_BEGIN;
    MINI_AWAIT(MINI_CALL(struct visit, &self->slow, visit, .fd = -1));
    MINI_AWAIT(MINI_CALL(struct visit, &self->deaf, visit, .fd = -1));
    MINI_AWAIT(MINI_CALL(struct visit, &self->half, visit, .fd = -1));
    MINI_AWAIT(MINI_CALL(struct visit, &self->gone, visit, .fd = -1));
    MINI_AWAIT(MINI_CALL(struct visit, &self->good, visit, .fd = -1));
    /* one byte at a time, all the while */
    self->task = background(MINI_CALL(struct chat, &self->trickle, chat,
        .fd = self->slow.fd, .rounds = 300, .size = 1));
    /* sends, and never reads */
    for (self->got = 0; self->got < 20; self->got++) {
        fill_up(self->deaf.fd, 'd');
        MINI_AWAIT(MINI_CALL(struct chat, &self->chat, chat,
            .fd = self->good.fd, .rounds = 2, .size = 1500));
        if (MINI_RESULT != 2) NOTE(MINI_RESULT);
    }
    /* has said all it has to say, and still gets its answer */
    raw_send(self->half.fd, self->buffer, 200);
    shutdown(self->half.fd, SHUT_WR);
    /* goes without a word, in the middle of one */
    raw_send(self->gone.fd, self->buffer, 200);
    reset(self->gone.fd);
    STEP(MINI_CALL(struct chat, &self->chat, chat, .fd = self->good.fd,
        .rounds = 200, .size = 1500));
    for (self->got = 0; self->got < 200;) {
        MINI_AWAIT(mini_recv(
            &self->io, self->half.fd, self->buffer, sizeof self->buffer));
        if (MINI_RESULT <= 0) break;
        self->got += (size_t)MINI_RESULT;
    }
    NOTE((long)self->got);
    STEP(mini_recv(&self->io, self->half.fd, self->buffer, 1));
    STEP(mini_join(&self->join, self->task));
    reset(self->slow.fd);
    reset(self->deaf.fd);
    close(self->half.fd);
    reset(self->good.fd);
    MINI_END(0);
}

static void g5_9_bad_peers_do_not_stall_a_good_one(void **state) {
    static struct bad_peers body;

    (void)state;
    for (unsigned shards = 1; shards <= 2; shards++) {
        body = MINI_FRAME(struct bad_peers, bad_peers, .got = 0);
        struct server_run self = make_server(&body.future, MINI_ACCEPT_SPREAD);

        snprintf(variant, sizeof variant, "%u shards", shards);
        check_equal(run(&self.future, real_clock(shards)), 0);
        assert_notes(200, 200, 0, 300, -ECANCELED);
    }
}

/* ---- G5.10: system calls ------------------------------------------------ */

enum { BUSY = 50, REQUESTS = 100 };
struct busy {
    struct mini_future future;
    struct visit visit[BUSY];
    struct chat chat[BUSY];
    struct mini_future *futures[BUSY];
    struct mini_task *task[BUSY];
    struct mini_join join;
    uint64_t enters;
    int i;
};

static mini_poll busy_body(struct mini_future *future, struct mini_context cx) {
    struct busy *self = MINI_SELF(struct busy);

    MINI_BEGIN;
    for (self->i = 0; self->i < BUSY; self->i++)
        MINI_AWAIT(
            MINI_CALL(struct visit, &self->visit[self->i], visit, .fd = -1));
    self->enters = mini_stats()->enters;
    for (int i = 0; i < BUSY; i++)
        self->task[i] = background(MINI_CALL(struct chat, &self->chat[i], chat,
            .fd = self->visit[i].fd, .rounds = REQUESTS, .size = 64));
    for (self->i = 0; self->i < BUSY; self->i++) {
        MINI_AWAIT(mini_join(&self->join, self->task[self->i]));
        if (MINI_RESULT != REQUESTS) NOTE(MINI_RESULT);
        reset(self->visit[self->i].fd);
    }
    MINI_END((long)(mini_stats()->enters - self->enters));
}

/* Server and clients are one shard, so that who is faster plays no part: an
 * enter serves all that are ready, here about a hundred operations. */
static void g5_10_fifty_busy_connections_share_system_calls(void **state) {
    static struct busy body;
    long enters = LONG_MAX;

    (void)state;
    /* where TCP brings them one by one there is nothing to share: once more */
    for (int i = 0; i < 5 && enters >= BUSY * REQUESTS / 2; i++) {
        body = MINI_FRAME(struct busy, busy_body, .i = 0);
        struct server_run self = make_server(&body.future, MINI_ACCEPT_SPREAD);

        enters = run(&self.future, real_clock(1));
        snprintf(variant, sizeof variant, "busy");
        assert_notes(-ECANCELED);
    }
    check(enters > 0 && enters < BUSY * REQUESTS / 2);
}

/* That is only as good as the counter is. */
static mini_poll count_script(
    struct mini_future *future, struct mini_context cx) {
    struct script *self = MINI_SELF(struct script);

    MINI_BEGIN;
    SETTLE(self);
    self->sum = (long)mini_stats()->enters;
    self->j = (long)mini_stats()->turns;
    for (self->i = 0; self->i < 50000; self->i++)
        MINI_AWAIT(mini_yield(&self->yield));
    NOTE((long)mini_stats()->turns - self->j > 300);
    NOTE((long)mini_stats()->enters - self->sum);
    self->sum = (long)mini_stats()->enters;
    for (self->i = 0; self->i < 10; self->i++)
        MINI_AWAIT(mini_sleep(&self->sleep, MINI_MS));
    NOTE((long)mini_stats()->enters - self->sum);
    /* to submit is one as well, without a wait */
    self->sum = (long)mini_stats()->enters;
    self->task[0] = background(mini_recv(
        &self->io[0], self->fd[0], self->buffer, sizeof self->buffer));
    while (!ended(&self->io[0].future)) MINI_AWAIT(mini_yield(&self->yield));
    NOTE((long)mini_stats()->enters - self->sum);
    MINI_AWAIT(mini_join(&self->join, self->task[0]));
    NOTE((long)mini_stats()->enters - mini_test_ring_calls);
    MINI_END(strcmp(mini_io_name(), "uring") == 0);
}

static void g5_10_enters_are_counted(void **state) {
    struct script self = MINI_FRAME(struct script, count_script, .i = 0);

    (void)state;
    open_pair(UNIX_SOCKETS, false, self.fd);
    close(self.fd[1]);
    mini_test_ring_calls = 0;
    long uring = run(&self.future, real_clock(1));

    close(self.fd[0]);
    check_equal(noted[0], true);
    if (uring) check_equal(noted[1], 0); /* it had none to make */
    check(noted[2] >= 10 && noted[2] <= 20); /* to wait is one, a look none */
    check(noted[3] >= uring); /* poll(2) may have received at once */
    if (uring) check_equal(noted[4], -1); /* one tried the ring out */
}

/* To send takes a turn, and no wait: the turn that starts it also ends it. */
static mini_poll sends_on(struct mini_future *future, struct mini_context cx) {
    struct script *self = MINI_SELF(struct script);

    MINI_BEGIN;
    SETTLE(self);
    self->sum = (long)mini_stats()->turns;
    for (self->i = 0; self->i < 20 && MINI_RESULT >= 0; self->i++)
        MINI_AWAIT(mini_send(&self->io[0], self->fd[0], "!", 1));
    NOTE(self->i);
    NOTE((long)mini_stats()->turns - self->sum <= 20);
    MINI_END(0);
}

static void g5_10_to_send_takes_a_turn(void **state) {
    struct script self = MINI_FRAME(struct script, sends_on, .i = 0);

    (void)state;
    open_pair(UNIX_SOCKETS, false, self.fd);
    check_equal(run(&self.future, real_clock(1)), 0);
    assert_notes(20, true);
    close_pair(self.fd);
}

/* A second and more is asked for at once (the wheel looks in between, at most
 * every 4.3 s): a thread writes as soon as that is so. */
static void *writes_then(void *arg) {
    for (int ms = 0; ms < 3000 && mini_test_longest_wait < 1000000000; ms++)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    raw_send(*(int *)arg, "!", 1);
    return NULL;
}

static mini_poll waits_for_long(
    struct mini_future *future, struct mini_context cx) {
    struct script *self = MINI_SELF(struct script);

    MINI_BEGIN;
    MINI_AWAIT(mini_timeout(&self->timeout,
        mini_recv(&self->io[0], self->fd[0], self->buffer, 1),
        5 * MINI_SECOND));
    NOTE(MINI_RESULT);
    NOTE(mini_test_polls <= (long)mini_stats()->enters);
    MINI_END(1);
}

static void g5_10_a_long_wait_is_one_system_call(void **state) {
    struct script self = MINI_FRAME(struct script, waits_for_long, .i = 0);
    pthread_t thread;

    (void)state;
    if (!HAS_SECCOMP) skip(); /* poll(2) itself is not looked at here */
    open_pair(UNIX_SOCKETS, false, self.fd);
    mini_test_longest_wait = 0;
    mini_test_polls = 0;
    check_equal(pthread_create(&thread, NULL, writes_then, &self.fd[1]), 0);
    check_equal(run(&self.future, real_clock(1)), 1);
    pthread_join(thread, NULL);
    close_pair(self.fd);
    assert_notes(1, true);
    check(mini_test_longest_wait >= 1000000000);
}

/* Somebody is always runnable, or a message on its way, so nobody waits for I/O;
 * it goes on all the same, one operation after the other. */
static mini_poll beside_script(
    struct mini_future *future, struct mini_context cx) {
    struct script *self = MINI_SELF(struct script);
    static struct mini_call call;

    MINI_BEGIN;
    for (self->i = 0; self->i < 6; self->i++) {
        if (self->i % 2 == 0) raw_send(self->fd[1], "!", 1);
        self->task[0] =
            background(mini_recv(&self->io[0], self->fd[0], self->buffer, 1));
        for (self->j = 0; self->j < 5000; self->j++) {
            if (ended(&self->io[0].future)) break;
            if (self->i % 2 && self->j == 1000) raw_send(self->fd[1], "!", 1);
            MINI_AWAIT(self->flag ? mini_submit_to(&call, 0, nothing, NULL)
                                  : mini_yield(&self->yield));
        }
        self->sum += ended(&self->io[0].future);
        STEP(mini_join(&self->join, self->task[0]));
    }
    MINI_END(self->sum);
}

static void io_goes_on(bool calls) {
    for (int nonblocking = 0; nonblocking < 2; nonblocking++) {
        struct script self =
            MINI_FRAME(struct script, beside_script, .flag = calls);

        open_pair(UNIX_SOCKETS, nonblocking, self.fd);
        check_equal(run(&self.future, real_clock(1)), 6);
        close_pair(self.fd);
        assert_notes(1, 1, 1, 1, 1, 1);
    }
}

/* It is looked for in each turn in which somebody runs, with system calls that
 * are counted. */
static mini_poll prompt_script(
    struct mini_future *future, struct mini_context cx) {
    struct script *self = MINI_SELF(struct script);
    static uint64_t turns, enters;

    MINI_BEGIN;
    for (; self->i < 20; self->i++) {
        self->task[0] =
            background(mini_recv(&self->io[0], self->fd[0], self->buffer, 1));
        for (self->j = 0; self->j < 300; self->j++)
            MINI_AWAIT(mini_yield(&self->yield));
        turns = mini_stats()->turns;
        enters = mini_stats()->enters;
        raw_send(self->fd[1], "!", 1);
        while (!ended(&self->io[0].future))
            MINI_AWAIT(mini_yield(&self->yield));
        self->sum += mini_stats()->turns - turns <= 3;
        /* before Linux 5.19 it comes by itself */
        self->sum += mini_stats()->enters > enters ||
            !(mini_self->io.features & MINI_MULTISHOT);
        MINI_AWAIT(mini_join(&self->join, self->task[0]));
    }
    MINI_END(self->sum);
}

static void g5_1_who_is_busy_looks_in_each_turn(void **state) {
    struct script self = {.future = MINI_FUTURE(prompt_script, "prompt")};

    (void)state;
    open_pair(UNIX_SOCKETS, false, self.fd);
    check_equal(run(&self.future, real_clock(1)), 40);
    close_pair(self.fd);
}

static void g5_1_io_goes_on_beside_a_busy_task(void **state) {
    (void)state;
    io_goes_on(false);
}

static void g5_1_io_goes_on_beside_calls(void **state) {
    (void)state;
    io_goes_on(true);
}

struct idler {
    struct mini_future future;
    struct mini_remote remote;
    struct mini_io io, here;
    struct mini_future *inner;
    struct mini_broadcast count;
    struct mini_sleep sleep;
    int fd[2];
    char byte[2];
    long turns;
};

static mini_poll idler(struct mini_future *future, struct mini_context cx) {
    struct idler *self = MINI_SELF(struct idler);

    MINI_BEGIN;
    mini_recv(&self->io, self->fd[0], &self->byte[0], 1);
    self->inner =
        mini_spawn_on(&self->remote, mini_shard_count() - 1, &self->io.future);
    mini_detach(background(self->inner));
    mini_detach(
        background(mini_recv(&self->here, self->fd[1], &self->byte[1], 1)));
    MINI_AWAIT(mini_sleep(&self->sleep, 20 * MINI_MS));
    MINI_AWAIT(mini_map_reduce(&self->count, turns_here, NULL, add, 0));
    self->turns = MINI_RESULT;
    MINI_AWAIT(mini_sleep(&self->sleep, 100 * MINI_MS));
    MINI_AWAIT(mini_map_reduce(&self->count, turns_here, NULL, add, 0));
    MINI_END(MINI_RESULT - self->turns);
}

/* Shards that wait for their peers, and one for a time, too. */
static void g2_8_a_shard_that_waits_for_io_sleeps(void **state) {
    (void)state;
    for (unsigned shards = 1; shards <= 4; shards *= 2) {
        struct idler self = {.future = MINI_FUTURE(idler, "idler")};
        int fd[2];

        open_pair(UNIX_SOCKETS, shards == 2, fd);
        memcpy(self.fd, fd, sizeof fd);
        long turns = run(&self.future, real_clock(shards));

        check(turns > 0 && turns < 30 * (long)shards);
        close_pair(fd);
    }
}

/* ---- shards and I/O ----------------------------------------------------- */

struct doorbell {
    struct mini_future future;
    struct mini_remote remote;
    struct mini_io io;
    struct mini_call call;
    struct mini_sleep sleep;
    struct mini_task *task;
    struct mini_join join;
    int fd, peer;
    char byte;
    long i, answers;
};

static long answer(void *arg) {
    return *(const long *)arg * 10 + (long)mini_this_shard();
}

/* The other shard sleeps in its I/O: at times surely, at times just about. */
static mini_poll doorbell(struct mini_future *future, struct mini_context cx) {
    struct doorbell *self = MINI_SELF(struct doorbell);

    MINI_BEGIN;
    mini_recv(&self->io, self->fd, &self->byte, 1);
    self->task = background(mini_spawn_on(&self->remote, 1, &self->io.future));
    for (; self->i < 300; self->i++) {
        if (self->i % 30 == 0)
            MINI_AWAIT(mini_sleep(&self->sleep, 3 * MINI_MS));
        MINI_AWAIT(mini_submit_to(&self->call, 1, answer, &self->i));
        self->answers += MINI_RESULT == self->i * 10 + 1;
    }
    mini_cancel(self->task); /* crosses over to what waits there */
    STEP(mini_join(&self->join, self->task));
    MINI_END(self->answers);
}

static void g4_7_a_message_wakes_a_shard_that_waits_for_io(void **state) {
    struct doorbell self = {.future = MINI_FUTURE(doorbell, "doorbell")};
    int fd[2];

    (void)state;
    open_pair(UNIX_SOCKETS, false, fd);
    self.fd = fd[0];
    check_equal(run(&self.future, real_clock(2)), 300);
    assert_notes(-ECANCELED);
    close_pair(fd);
}

static long operations(void *unused) {
    (void)unused;
    return (long)mini_stats()->operations;
}

/* Calls the other shard until it has had to be woken often enough. */
static mini_poll rings_often(
    struct mini_future *future, struct mini_context cx) {
    struct doorbell *self = MINI_SELF(struct doorbell);

    MINI_BEGIN;
    MINI_AWAIT(mini_submit_to(&self->call, 1, operations, NULL));
    self->answers = MINI_RESULT;
    while (mini_stats()->rings < 20 && self->i++ < 100000)
        MINI_AWAIT(mini_submit_to(&self->call, 1, operations, NULL));
    self->answers = MINI_RESULT - self->answers;
    NOTE(mini_stats()->rings >= 20);
    NOTE(self->answers > 1 && mini_self->io.features & MINI_MULTISHOT);
    MINI_END(self->answers);
}

static void g5_10_one_request_waits_for_all_rings(void **state) {
    struct doorbell self = {.future = MINI_FUTURE(rings_often, "rings_often")};

    (void)state;
    check(run(&self.future, real_clock(2)) >= 0);
    assert_notes(1, 0);
}

/* Who looks for work all the time need not be told of it. */
static mini_poll spinner(struct mini_future *future, struct mini_context cx) {
    struct doorbell *self = MINI_SELF(struct doorbell);

    MINI_BEGIN;
    for (; self->i < 300; self->i++) {
        MINI_AWAIT(mini_submit_to(&self->call, 1, answer, &self->i));
        self->answers += MINI_RESULT == self->i * 10 + 1;
    }
    NOTE((long)mini_stats()->rings);
    mini_recv(&self->io, self->fd, &self->byte, 1);
    self->task = background(&self->io.future); /* I/O is seen, too */
    MINI_AWAIT(mini_sleep(&self->sleep, MINI_MS));
    raw_send(self->peer, "!", 1);
    STEP(mini_join(&self->join, self->task));
    MINI_END(self->answers);
}

static void g3_5_who_spins_is_not_rung(void **state) {
    struct doorbell self = {.future = MINI_FUTURE(spinner, "spinner")};
    struct mini_options options = real_clock(2);
    int fd[2];

    (void)state;
    options.spin = UINT64_MAX;
    open_pair(UNIX_SOCKETS, false, fd);
    self.fd = fd[0];
    self.peer = fd[1];
    check_equal(run(&self.future, options), 300);
    assert_notes(0, 1);
    close_pair(fd);
}

/* A microsecond is some turns, a thousand of them would be hundreds. */
static struct mini_stats of_the_sleep;

static mini_poll sleeps_once(
    struct mini_future *future, struct mini_context cx) {
    struct script *self = MINI_SELF(struct script);

    MINI_BEGIN;
    MINI_AWAIT(mini_sleep(&self->sleep, 20 * MINI_MS));
    of_the_sleep = *mini_stats();
    MINI_END((long)mini_stats()->turns);
}

static void g2_8_who_spins_gives_up_after_its_time(void **state) {
    struct script self = {.future = MINI_FUTURE(sleeps_once, "sleeps_once")};
    struct mini_options options = real_clock(1);

    (void)state;
    options.spin = MINI_US;
    check(run(&self.future, options) < 200);
}

/* Who spins does so to see what comes as soon as it can: in each turn. Only
 * poll(2) is a system call then, and counted. */
static void g2_8_who_spins_looks_in_each_turn(void **state) {
    struct script self = {.future = MINI_FUTURE(sleeps_once, "sleeps_once")};
    struct mini_options options = real_clock(1);

    (void)state;
    if (!getenv("MINI_IO") || strcmp(getenv("MINI_IO"), "poll") != 0) skip();
    options.spin = MINI_SECOND;
    check(run(&self.future, options) > 0);
    check(of_the_sleep.enters > of_the_sleep.turns * 3 / 4);
}

/* Each shard serves a descriptor of its own at the same time. */
static void g4_5_shards_do_io_at_the_same_time(void **state) {
    static struct guests body;

    (void)state;
    for (unsigned shards = 2; shards <= 4; shards += 2) {
        body = MINI_FRAME(struct guests, guests_body, .i = 0);
        struct server_run self = make_server(&body.future, MINI_ACCEPT_SPREAD);

        check_equal(run(&self.future, real_clock(shards)), 0);
        assert_notes(-ECANCELED);
    }
}

/* ---- dead-lock ---------------------------------------------------------- */

struct stuck {
    struct mini_future future;
    struct mini_event event;
    struct mini_wait wait;
    struct mini_io io;
    struct mini_remote remote;
    struct mini_task *task;
    struct mini_join join;
    int fd[2];
    char byte;
};

static mini_poll stuck(struct mini_future *future, struct mini_context cx) {
    struct stuck *self = MINI_SELF(struct stuck);

    MINI_BEGIN;
    mini_event_init(&self->event);
    mini_recv(&self->io, self->fd[0], &self->byte, 1);
    self->task = background(
        mini_spawn_on(&self->remote, mini_shard_count() - 1, &self->io.future));
    STEP(mini_join(&self->join, self->task)); /* somebody may send */
    STEP(mini_event_wait(&self->wait, &self->event)); /* nobody will */
    MINI_END(0);
}

static void g1_5_what_waits_for_io_is_no_deadlock(void **state) {
    char text[4096];

    (void)state;
    for (unsigned shards = 1; shards <= 2; shards++) {
        struct stuck self = {.future = MINI_FUTURE(stuck, "stuck")};
        pthread_t thread;
        int fd[2];

        open_pair(UNIX_SOCKETS, false, fd);
        memcpy(self.fd, fd, sizeof fd);
        check_equal(pthread_create(&thread, NULL, late_sender, &fd[1]), 0);
        mini_test_capture_begin();
        long result = run(&self.future, real_clock(shards));

        mini_test_capture_end(text, sizeof text);
        pthread_join(thread, NULL);
        snprintf(variant, sizeof variant, "%u shards", shards);
        check_equal(result, -EDEADLK);
        assert_notes(1, -ECANCELED);
        check(strstr(text, "stuck") && strstr(text, "mini_event_wait"));
        close_pair(fd);
    }
}

/* ---- the virtual clock -------------------------------------------------- */

static mini_poll jump_script(
    struct mini_future *future, struct mini_context cx) {
    struct script *self = MINI_SELF(struct script);
    static struct mini_future *either[2];
    static struct mini_select select;

    MINI_BEGIN;
    raw_send(self->fd[1], "x", 1);
    either[0] = mini_sleep(&self->sleep, MINI_US);
    either[1] = mini_recv(&self->io[0], self->fd[0], self->buffer, 9);
    STEP(mini_select(&select, either, 2)); /* what is there comes first */
    NOTE((long)mini_now());
    either[0] = mini_sleep(&self->sleep, 3600 * MINI_SECOND);
    either[1] = mini_recv(&self->io[0], self->fd[0], self->buffer, 9);
    STEP(mini_select(&select, either, 2));
    NOTE((long)(mini_now() / (3600 * MINI_SECOND)));
    NOTE(self->io[0].future.result);
    MINI_END(0);
}

static void g2_2_virtual_time_passes_when_io_has_nothing(void **state) {
    struct script self;
    int fd[2];

    (void)state;
    open_pair(UNIX_SOCKETS, false, fd);
    check_equal(
        run(MINI_CALL(struct script, &self, jump_script, .fd = {fd[0], fd[1]}),
            virtual_clock()),
        0);
    assert_notes(1, 0, 0, 1, -ECANCELED);
    close_pair(fd);
}

/* It has no hurry: who waits for I/O sleeps, whatever time there is to spin. */
static mini_poll patient(struct mini_future *future, struct mini_context cx) {
    struct script *self = MINI_SELF(struct script);

    MINI_BEGIN;
    STEP(mini_recv(&self->io[0], self->fd[0], self->buffer, 1));
    MINI_END((long)mini_stats()->turns);
}

static void g2_8_a_virtual_clock_does_not_spin(void **state) {
    struct script self = {.future = MINI_FUTURE(patient, "patient")};
    struct mini_options options = virtual_clock();
    pthread_t thread;

    (void)state;
    options.spin = 60 * MINI_SECOND;
    open_pair(UNIX_SOCKETS, false, self.fd);
    check_equal(pthread_create(&thread, NULL, late_sender, &self.fd[1]), 0);
    long turns = run(&self.future, options);

    pthread_join(thread, NULL);
    close_pair(self.fd);
    assert_notes(1);
    check(turns < 50);
}

/* Without a deadline it waits, as long as it takes in real time. */
static void g2_2_virtual_time_waits_for_io(void **state) {
    struct stuck self = {.future = MINI_FUTURE(stuck, "stuck")};
    char text[4096];
    pthread_t thread;
    int fd[2];

    (void)state;
    open_pair(UNIX_SOCKETS, false, fd);
    memcpy(self.fd, fd, sizeof fd);
    check_equal(pthread_create(&thread, NULL, late_sender, &fd[1]), 0);
    mini_test_capture_begin();
    long result = run(&self.future, virtual_clock());

    mini_test_capture_end(text, sizeof text);
    pthread_join(thread, NULL);
    check_equal(result, -EDEADLK);
    assert_notes(1, -ECANCELED);
    close_pair(fd);
}

/* ---- out of memory ------------------------------------------------------ */

struct frugal {
    struct mini_future future;
    struct visit visit;
    struct chat chat;
};

static mini_poll frugal(struct mini_future *future, struct mini_context cx) {
    struct frugal *self = MINI_SELF(struct frugal);

    MINI_BEGIN;
    self->visit.fd = -1;
    MINI_AWAIT(MINI_CALL(struct visit, &self->visit, visit, .fd = -1));
    if (MINI_RESULT >= 0)
        MINI_AWAIT(MINI_CALL(struct chat, &self->chat, chat,
            .fd = self->visit.fd, .rounds = 2, .size = 100));
    if (self->visit.fd >= 0) reset(self->visit.fd);
    MINI_END(MINI_RESULT);
}

/* Fails each allocation of a whole run in turn. */
static void out_of_memory(enum mini_accept_policy policy) {
    long n = 0, refused = 0;
    bool failed = true;
    char text[65536];

    for (; failed; n++) {
        static struct frugal body;

        body = MINI_FRAME(struct frugal, frugal, .visit.fd = -1);
        struct server_run self = make_server(&body.future, policy);

        self.options.frame = 5000; /* beyond the slab: one allocation each */
        mini_test_capture_begin();
        mini_test_fail_alloc_after(n);
        long result = run(&self.future, real_clock(2));

        failed = mini_test_alloc_failed();
        mini_test_fail_alloc_after(-1);
        mini_test_capture_end(text, sizeof text);
        if (policy == MINI_ACCEPT_REUSEPORT && result == -ENOPROTOOPT) return;
        snprintf(variant, sizeof variant, "allocation %ld", n);
        /* the peer sees its connection's end when the server had no memory */
        if (failed && result != 2)
            check(result == -ENOMEM || result == 0 || result == -EPIPE ||
                result == -ECONNRESET);
        else
            check_equal(result, 2);
        refused += result != 2;
    }
    check(n > 10 && refused > 5);
}

/* poll(2)'s set is full, and the doorbell would need more memory: so the shard
 * looks for what comes, and does not sleep where nobody could wake it. */
enum { SET = 64 }; /* operations that there is room for at first */
static struct deaf {
    struct mini_future future;
    struct mini_io io[SET], call;
    struct mini_yield yield;
    struct mini_join join;
    struct mini_task *tasks[SET], *task;
    int fd;
    int i;
} deaf;

static long comes_late(void *arg) {
    (void)arg;
    /* on a helper thread: the shard sleeps by then */
    nanosleep(&(struct timespec){0, 20000000}, NULL);
    return 7;
}

static mini_poll deaf_script(
    struct mini_future *future, struct mini_context cx) {
    struct deaf *self = MINI_SELF(struct deaf);

    MINI_BEGIN;
    for (int i = 0; i < SET; i++)
        self->tasks[i] = background(mini_readable(&self->io[i], self->fd));
    self->task = background(mini_offload(&self->call, comes_late, NULL));
    MINI_AWAIT(mini_yield(&self->yield));
    mini_test_fail_alloc_after(0);
    MINI_AWAIT(mini_join(&self->join, self->task));
    NOTE(mini_test_alloc_failed() || strcmp(mini_io_name(), "poll") != 0);
    NOTE(MINI_RESULT);
    mini_test_fail_alloc_after(-1);
    for (; self->i < SET; self->i++) {
        mini_cancel(self->tasks[self->i]);
        MINI_AWAIT(mini_join(&self->join, self->tasks[self->i]));
    }
    MINI_END(0);
}

static void g1_11_a_shard_without_memory_for_its_bell_does_not_sleep(
    void **state) {
    int fd[2];

    (void)state;
    deaf = (struct deaf){.future = MINI_FUTURE(deaf_script, "deaf")};
    open_pair(UNIX_SOCKETS, false, fd);
    deaf.fd = fd[0];
    check_equal(run(&deaf.future, real_clock(1)), 0);
    close_pair(fd);
    assert_notes(1, 7);
}

static void g1_11_io_without_memory_is_enomem(void **state) {
    (void)state;
    out_of_memory(MINI_ACCEPT_SPREAD);
    out_of_memory(MINI_ACCEPT_REUSEPORT);
}

/* No memory for one connection: it is closed, and counts no longer. */
static mini_poll unlucky_body(
    struct mini_future *future, struct mini_context cx) {
    struct spread *self = MINI_SELF(struct spread);

    MINI_BEGIN;
    STEP(MINI_CALL(struct visit, &self->visit[0], visit, .fd = -1));
    for (self->i = 0; self->i < 3; self->i++) {
        /* the stream's; twice that of the task, on its shard */
        mini_test_fail_alloc_after(self->i > 0);
        MINI_AWAIT(MINI_CALL(struct visit, &self->visit[1], visit, .fd = -1));
        mini_test_fail_alloc_after(-1);
        NOTE(MINI_RESULT == -EPIPE || MINI_RESULT == -ECONNRESET);
        close(self->visit[1].fd);
    }
    STEP(MINI_CALL(struct visit, &self->visit[1], visit, .fd = -1));
    STEP(MINI_CALL(struct visit, &self->visit[2], visit, .fd = -1));
    STEP(MINI_CALL(struct visit, &self->visit[3], visit, .fd = -1));
    for (self->i = 0; self->i < 4; self->i++) reset(self->visit[self->i].fd);
    MINI_END(0);
}

static void g1_11_a_server_without_memory_goes_on(void **state) {
    static struct spread body;

    (void)state;
    body = MINI_FRAME(struct spread, unlucky_body, .i = 0);
    struct server_run self = make_server(&body.future, MINI_ACCEPT_SPREAD);

    self.options.frame = 5000;
    check_equal(run(&self.future, real_clock(2)), 0);
    assert_notes(0, 1, 1, 1, 1, 0, 1, -ECANCELED);
}

/* The set of those that wait cannot grow: the one that is new is refused. */
static mini_poll grow_script(
    struct mini_future *future, struct mini_context cx) {
    struct many *self = MINI_SELF(struct many);
    struct script *s = &self->script;

    MINI_BEGIN;
    for (size_t i = 0; i < self->count; i++)
        self->futures[i] = mini_readable(&self->io[i], s->fd[0]);
    s->task[0] =
        background(mini_join_all(&self->all, self->futures, self->count));
    mini_test_fail_alloc_after(s->j);
    MINI_AWAIT(mini_sleep(&s->sleep, MINI_MS));
    s->flag = mini_test_alloc_failed();
    mini_test_fail_alloc_after(-1);
    raw_send(s->fd[1], "!", 1);
    MINI_AWAIT(mini_join(&s->join, s->task[0]));
    NOTE(with_result(self, -ENOMEM));
    NOTE(with_result(self, 0));
    MINI_END(0);
}

static void g1_11_an_operation_without_memory_is_refused_alone(void **state) {
    struct many self;
    bool failed = true;
    long j = 0;

    (void)state;
    for (; failed; j++) {
        make_many(&self, grow_script, 200);
        self.script.j = j;
        open_pair(PIPE, false, self.script.fd);
        check_equal(run(&self.script.future, virtual_clock()), 0);
        failed = self.script.flag;
        snprintf(variant, sizeof variant, "allocation %ld", j);
        assert_notes(failed, 200 - failed);
        close_pair(self.script.fd);
        free_many(&self);
    }
    check(j >= 1);
}

/* However many wait: who finds what it wants at once needs no room among them,
 * and what it has taken is not lost. */
static mini_poll at_once_script(
    struct mini_future *future, struct mini_context cx) {
    struct many *self = MINI_SELF(struct many);
    struct script *s = &self->script;

    MINI_BEGIN;
    for (; s->i < (long)self->count; s->i++) {
        mini_detach(background(mini_readable(&self->io[s->i], s->fd[0])));
        A_TURN(s);
        raw_send(s->fd[3], "!", 1);
        mini_test_fail_alloc_after(0);
        MINI_AWAIT(mini_recv(&s->io[0], s->fd[2], s->buffer, 1));
        mini_test_fail_alloc_after(-1);
        s->sum += MINI_RESULT == 1;
    }
    raw_send(s->fd[1], "!", 1);
    SETTLE(s);
    for (size_t i = 0; i < self->count; i++)
        s->sum += ended(&self->io[i].future);
    MINI_END(s->sum);
}

static void g1_11_what_need_not_wait_needs_no_memory(void **state) {
    struct many self;

    (void)state;
    make_many(&self, at_once_script, 200);
    open_pair(PIPE, false, self.script.fd);
    open_pair(UNIX_SOCKETS, false, self.script.fd + 2);
    check_equal(run(&self.script.future, virtual_clock()), 400);
    close_pair(self.script.fd);
    close_pair(self.script.fd + 2);
    free_many(&self);
}

/* ---- G5.6: which backend ------------------------------------------------ */

static size_t lines(const char *text) {
    size_t count = 0;

    for (; *text; text++) count += *text == '\n';
    return count;
}

static struct guests workload_body;

/* A server and its guests; 0 if all went well. */
static long workload(unsigned shards) {
    workload_body = MINI_FRAME(struct guests, guests_body, .i = 0);
    struct server_run self =
        make_server(&workload_body.future, MINI_ACCEPT_SPREAD);

    return run(&self.future, real_clock(shards));
}

enum { SKIPPED = 77 }; /* a child's exit status */

/* Runs BODY in a process of its own; what it said on stderr goes to TEXT. */
static void in_fresh_process(void (*body)(void), char *text, size_t size) {
    int status;

    mini_test_capture_begin();
    pid_t child = fork_child();

    if (child == 0) {
        body();
        _exit(0);
    }
    pid_t waited = waitpid(child, &status, 0);

    mini_test_capture_end(text, size);
    check_equal(waited, child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED) skip();
    if (status != 0) print_error("the child said: %s\n", text);
    check_equal(status, 0);
}

/* What a ring lacks is said once for the process: so it has been said here. */
static void say_what_is_lacking(void) {
    static bool done;
    struct mini_future main = MINI_FUTURE(note_name, "note_name");
    struct mini_options options = real_clock(1);
    const char *wish = getenv("MINI_IO");
    char before[16], text[256];

    if (done) return;
    done = true;
    snprintf(before, sizeof before, "%s", wish ? wish : "");
    setenv("MINI_IO", "uring", 1); /* so that a refusal is not said for good */
    mini_test_unknown = SOME_OPERATION;
    mini_test_capture_begin();
    mini_run(&main, &options);
    mini_test_capture_end(text, sizeof text);
    mini_test_unknown = -1;
    wish ? setenv("MINI_IO", before, 1) : unsetenv("MINI_IO");
}

/* The same, of one that does not say what its kernel lacks. */
static void in_child_process(void (*body)(void), char *text, size_t size) {
    say_what_is_lacking();
    in_fresh_process(body, text, size);
}

static void bad_name(void) {
    struct mini_future main = MINI_FUTURE(note_name, "note_name");

    setenv("MINI_IO", "epoll", 1);
    check_equal(run(&main, real_clock(1)), -EINVAL);
    check_equal(run(&main, real_clock(2)), -EINVAL);
}

static void g5_6_an_unknown_backend_is_refused(void **state) {
    char text[4096];

    (void)state;
    in_child_process(bad_name, text, sizeof text);
    check(strstr(text, "MINI_IO") && strstr(text, "'epoll'"));
    check_equal(lines(text), 2);
}

static void named_poll(void) {
    struct mini_future main = MINI_FUTURE(note_name, "note_name");

    setenv("MINI_IO", "poll", 1);
    check_equal(run(&main, real_clock(1)), false);
    check_equal(workload(2), 0);
}

static void g5_6_poll_can_be_asked_for(void **state) {
    char text[4096];

    (void)state;
    in_child_process(named_poll, text, sizeof text);
    assert_string_equal(text, "");
}

static void default_backend(void) {
    struct mini_future main = MINI_FUTURE(note_name, "note_name");
    struct mini_options options = real_clock(1);

    setenv("MINI_IO", "uring", 1);
    if (mini_run(&main, &options) < 0) _exit(SKIPPED); /* there is none here */
    check_equal(run(&main, real_clock(1)), true);
    unsetenv("MINI_IO");
    check_equal(run(&main, real_clock(1)), true);
    setenv("MINI_IO", "", 1); /* as good as unset */
    check_equal(run(&main, real_clock(1)), true);
    check_equal(workload(2), 0);
}

static void g5_6_io_uring_is_the_default_where_there_is_one(void **state) {
    char text[4096];

    (void)state;
    in_child_process(default_backend, text, sizeof text);
    assert_string_equal(text, "");
}

static bool on_uring(void) {
    struct mini_future main = MINI_FUTURE(note_name, "note_name");

    return run(&main, real_clock(1)) == 1;
}

/* ---- G5.6: io_uring refused --------------------------------------------- */

#if HAS_SECCOMP

/* From now on a system call of one of these NUMBERS comes to ACTION, in this
 * thread and those it makes. A negative errno, or what seccomp(2) returns. */
static int install_filter(
    const int *numbers, size_t count, unsigned action, unsigned flags) {
    struct sock_filter code[32];
    unsigned short n = 0;

    code[n++] = (struct sock_filter)BPF_STMT(
        BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (size_t i = 0; i < count; i++) {
        code[n++] = (struct sock_filter)BPF_JUMP(
            BPF_JMP | BPF_JEQ | BPF_K, (unsigned)numbers[i], 0, 1);
        code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, action);
    }
    code[n++] =
        (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog program = {.len = n, .filter = code};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return -errno;
    long result =
        syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);

    return result < 0 ? -errno : (int)result;
}

static int refusal;
static bool refuses_its_use; /* and lets a ring be made */

static void refuse(void) {
    int number = refuses_its_use ? SYS_io_uring_enter : SYS_io_uring_setup;
    unsigned action = SECCOMP_RET_ERRNO | (unsigned)refusal;

    if (install_filter(&number, 1, action, 0) < 0) _exit(SKIPPED);
}

#else

static int refusal;
static bool refuses_its_use;

/* A build without io_uring needs no refusal. */
static void refuse(void) {
    struct mini_future main = MINI_FUTURE(note_name, "note_name");
    struct mini_options options = real_clock(1);

    int said = dup(STDERR_FILENO), nowhere = open("/dev/null", O_WRONLY);

    setenv("MINI_IO", "uring", 1);
    dup2(nowhere, STDERR_FILENO); /* what it says of that */
    if (mini_run(&main, &options) != -ENOSYS) _exit(SKIPPED);
    dup2(said, STDERR_FILENO);
    close(said);
    close(nowhere);
    refusal = ENOSYS;
}

#endif

static void falls_back(void) {
    struct mini_future main = MINI_FUTURE(note_name, "note_name");

    refuse();
    unsetenv("MINI_IO");
    check_equal(workload(2), 0);
    check_equal(workload(1), 0);
    check_equal(run(&main, real_clock(4)), false);
}

static void fall_back(int error, bool its_use) {
    char text[4096];

    refusal = error;
    refuses_its_use = its_use;
    in_child_process(falls_back, text, sizeof text);
    snprintf(variant, sizeof variant, "errno %d", error);
    check(strstr(text, "io_uring") && strstr(text, "poll"));
    check_equal(lines(text), 1);
}

static void g5_6_where_io_uring_is_refused_poll_is_used_and_said(void **state) {
    static const int errors[] = {ENOSYS, EACCES, EINVAL, EPERM};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(errors); i++) fall_back(errors[i], false);
}

/* Memory that is short may come back: it waits for that, but not for long. */
static void no_memory(void) {
    struct mini_future main = MINI_FUTURE(note_name, "note_name");

    refuse();
    unsetenv("MINI_IO");
    check_equal(run(&main, real_clock(1)), false);
}

static void g5_6_where_memory_for_a_ring_stays_short_poll_is_used_and_said(
    void **state) {
    char text[4096];

    (void)state;
    refusal = ENOMEM;
    refuses_its_use = false;
    in_child_process(no_memory, text, sizeof text);
    check(strstr(text, "io_uring") && strstr(text, "poll"));
    check(strstr(text, strerror(HAS_SECCOMP ? ENOMEM : ENOSYS)) != NULL);
    check_equal(lines(text), 1);
}

static void g5_6_where_a_ring_cannot_be_used_poll_is_used_and_said(
    void **state) {
    static const int errors[] = {ENOSYS, EACCES, EINVAL, EPERM};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(errors); i++) fall_back(errors[i], true);
}

static void forced(void) {
    struct mini_future main = MINI_FUTURE(note_name, "note_name");

    refuse();
    setenv("MINI_IO", "uring", 1);
    check_equal(run(&main, real_clock(1)), -refusal);
    check_equal(run(&main, real_clock(2)), -refusal);
    setenv("MINI_IO", "poll", 1); /* says nothing */
    check_equal(run(&main, real_clock(1)), false);
}

static void g5_6_where_io_uring_is_refused_it_cannot_be_forced(void **state) {
    static const int errors[] = {ENOSYS, EPERM};
    char text[4096];

    (void)state;
    refuses_its_use = false;
    for (size_t i = 0; i < COUNT_OF(errors); i++) {
        refusal = errors[i];
        in_child_process(forced, text, sizeof text);
        check(strstr(text, "io_uring") && strstr(text, "MINI_IO"));
        check(strstr(text, strerror(HAS_SECCOMP ? errors[i] : ENOSYS)) != NULL);
        check_equal(lines(text), 2);
    }
}

/* ---- chance --------------------------------------------------------------- */

static uint32_t random_state;

static uint32_t random_below(uint32_t limit) {
    random_state = random_state * 1664525u + 1013904223u;
    return (random_state >> 8) % limit;
}

/* Begins with another number each time, which a failure names; with that in
 * MINI_TEST_SEED all is as it was. */
static void take_chances(void) {
    const char *wish = getenv("MINI_TEST_SEED");

    test_seed = wish ? (uint32_t)atol(wish) : (uint32_t)time(NULL);
    random_state = test_seed;
}

/* ---- G5.3, G5.6: system calls that fail now and then -------------------- */

#if HAS_SECCOMP

/* A thread that decides about each system call of the filter's. */
struct judge {
    atomic_int listener; /* of seccomp_unotify(2); -1 until there is one */
    unsigned first; /* so many fail, */
    unsigned every; /* and then each of so many, if not 0 */
    int errors[3]; /* in turn */
    bool hurry; /* what would wait gets EAGAIN */
    bool shorten; /* what has a length gets a shorter one */
    uint16_t without; /* flags that send_zc loses, */
    uint16_t with; /* or gets */
    int registration; /* an opcode of io_uring_register(2), to be refused */
    bool aged; /* io_uring_setup(2) lacks what came with 5.11 */
    atomic_uint count;
    unsigned flags[4], completions[4]; /* that the first rings were to have */
};

#define STANDS_STILL __attribute__((no_sanitize("thread")))

/* Has it fail with EAGAIN rather than wait: what older kernels do if its
 * descriptor is O_NONBLOCK. */
STANDS_STILL static void hurry(struct io_uring_sqe *sqe) {
    switch (sqe->opcode) {
    case IORING_OP_RECV:
    case IORING_OP_SEND:
    case IORING_OP_SEND_ZC:
    case IORING_OP_RECVMSG:
    case IORING_OP_SENDMSG: sqe->msg_flags |= MSG_DONTWAIT; break;
    case IORING_OP_READ:
    case IORING_OP_WRITE: sqe->rw_flags |= RWF_NOWAIT; break;
    }
}

/* Has it deal with some part of its bytes. */
STANDS_STILL static void shorten(struct io_uring_sqe *sqe) {
    static uint32_t random;

    if (sqe->len < 2 || sqe->flags & IOSQE_BUFFER_SELECT) return;
    switch (sqe->opcode) {
    case IORING_OP_RECV:
    case IORING_OP_SEND:
    case IORING_OP_SEND_ZC:
    case IORING_OP_READ:
    case IORING_OP_READ_FIXED:
    case IORING_OP_WRITE:
    case IORING_OP_WRITE_FIXED:
    case IORING_OP_SPLICE:
        if (random == 0) random = test_seed;
        random = random * 1664525u + 1013904223u;
        sqe->len = 1 + (random >> 8) % sqe->len;
    }
}

/* Meddles with the submission queue of the ring FD, whose thread stands still
 * meanwhile; that of another shard may be written to. ThreadSanitizer does not
 * see why nothing moves. */
STANDS_STILL static void meddle(const struct judge *judge, int fd) {
    enum { ENTRIES = 256 }; /* SQ_ENTRIES of io_uring.c */
    struct io_uring_sqe *sqes = mmap(NULL, ENTRIES * sizeof *sqes,
        PROT_READ | PROT_WRITE, MAP_SHARED, fd, IORING_OFF_SQES);

    if (sqes == MAP_FAILED) abort();
    for (struct io_uring_sqe *sqe = sqes; sqe < sqes + ENTRIES; sqe++) {
        if (judge->hurry) hurry(sqe);
        if (judge->shorten) shorten(sqe);
        if (sqe->opcode != IORING_OP_SEND_ZC) continue;
        sqe->ioprio &= (uint16_t)~judge->without;
        sqe->ioprio |= judge->with;
    }
    munmap(sqes, ENTRIES * sizeof *sqes);
}

/* Makes the ring in its place, and says less of it. */
static void set_up_aged(
    const struct seccomp_data *call, struct seccomp_notif_resp *answer) {
    struct io_uring_params *params = (void *)(uintptr_t)call->args[1];

    answer->val = syscall(SYS_io_uring_setup, call->args[0], params);
    if (answer->val < 0) answer->error = -errno;
    params->features &= ~(unsigned)IORING_FEAT_EXT_ARG;
}

static void *judge(void *argument) {
    struct judge *self = argument;

    while (self->listener < 0) sched_yield();
    for (;;) {
        struct seccomp_notif call;
        struct seccomp_notif_resp answer = {0};

        memset(&call, 0, sizeof call);
        if (ioctl(self->listener, SECCOMP_IOCTL_NOTIF_RECV, &call) != 0)
            continue; /* it was interrupted */
        unsigned n = self->count++;
        int sent;

        if (call.data.nr == SYS_io_uring_setup && n < COUNT_OF(self->flags)) {
            struct io_uring_params *params =
                (void *)(uintptr_t)call.data.args[1];

            self->flags[n] = params->flags;
            self->completions[n] = params->cq_entries;
        }

        if (self->hurry || self->shorten || self->without || self->with)
            meddle(self, (int)call.data.args[0]);
        answer.id = call.id;
        if (self->aged)
            set_up_aged(&call.data, &answer);
        else if (n < self->first || (self->every && n % self->every == 0) ||
            (call.data.nr == SYS_io_uring_register &&
                (int)call.data.args[1] == self->registration))
            answer.error = -self->errors[n % COUNT_OF(self->errors)];
        else
            answer.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
        do sent = ioctl(self->listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
        while (sent != 0 && errno == EINTR); /* or it waits for ever */
        if (sent == 0) continue;
        self->count--; /* interrupted: that call comes again, */
        if (self->aged && answer.val >= 0) close((int)answer.val);
    }
    return NULL;
}

static struct judge the_judge;

/* A judge stops the process at every system call: a tenfold time there, and what
 * it is about concerns one thread. The same work runs without a judge, too. */
static void skip_under_tsan(void) {
    if (MINI_TEST_TSAN) skip();
}

static void appoint(const int *numbers, size_t count) {
    pthread_t thread;

    the_judge.listener = -1;
    check_equal(pthread_create(&thread, NULL, judge, &the_judge), 0);
    int listener = install_filter(numbers, count, SECCOMP_RET_USER_NOTIF,
        SECCOMP_FILTER_FLAG_NEW_LISTENER);

    if (listener < 0) _exit(SKIPPED);
    the_judge.listener = listener;
}

/* A bit of everything. */
static void mixed_work(void) {
    struct many many;

    recv_and_send(UNIX_SOCKETS, true);
    recv_and_send(TCP_SOCKETS, false);
    race(UNIX_SOCKETS, false);
    race(PIPE, true);
    cut_short(UNIX_SOCKETS, false);
    cancel_among_crowd();
    for (int i = 0; i < 2; i++) {
        make_many(&many, i ? cancel_many_script : burst_script, 2 * THOUSAND);
        open_pair(PIPE, i, many.script.fd);
        check_equal(run(&many.script.future, virtual_clock()), 0);
        close_pair(many.script.fd);
        check_equal(noted[1], i ? 2 * THOUSAND : 0);
        check_equal(noted[2], i ? -ECANCELED : 2 * THOUSAND);
        free_many(&many);
    }
    check_equal(workload(1), 0);
    check_equal(workload(2), 0);
}

static void interrupted(void) {
    static const int uring[] = {SYS_io_uring_enter};
    static const int poll[] = {
        SYS_ppoll, SYS_recvfrom, SYS_sendto, SYS_accept4};

    if (on_uring()) {
        appoint(uring, COUNT_OF(uring));
    } else {
        the_judge.errors[1] = the_judge.errors[2] = EINTR;
        appoint(poll, COUNT_OF(poll));
    }
    mixed_work();
}

static void g5_3_a_kernel_that_says_ebusy_eagain_or_eintr(void **state) {
    static const unsigned every[] = {2, 3, 7};
    char text[4096];

    (void)state;
    skip_under_tsan();
    for (size_t i = 0; i < COUNT_OF(every); i++) {
        the_judge =
            (struct judge){.every = every[i], .errors = {EINTR, EAGAIN, EBUSY}};
        in_child_process(interrupted, text, sizeof text);
        assert_string_equal(text, "");
    }
}

static void hurried(void) {
    static const int enter[] = {SYS_io_uring_enter};

    if (!on_uring()) _exit(SKIPPED); /* it does not wait in operations */
    appoint(enter, COUNT_OF(enter));
    for (int way = 0; way < WAYS; way++) {
        cancel_each(false, way);
        cancel_each(true, way);
    }
    full(UNIX_SOCKETS, true);
    full(PIPE, false);
    transfer(PIPE, true);
    transfer(UNIX_SOCKETS, true);
    send_all(UNIX_SOCKETS, false);
    race(TCP_SOCKETS, false);
    hungry_readers();
    mixed_work();
}

static void g5_3_operations_that_find_nothing_are_tried_again(void **state) {
    char text[4096];

    (void)state;
    skip_under_tsan();
    the_judge = (struct judge){.hurry = true};
    in_child_process(hurried, text, sizeof text);
    assert_string_equal(text, "");
}

/* With what came in Linux 6.1, 5.19 and from the first on, in the numbers of
 * linux/io_uring.h, which may be an older one: a single issuer (12) gets its
 * completions when it asks for them (13), or without a signal (8), and sees that
 * there are some (9); one bad entry does not hold up those behind it (7); and
 * there is room for as many completions as one says (3). */
static const unsigned ring_flags[] = {
    1 << 12 | 1 << 13 | 1 << 9 | 1 << 7 | 1 << 3, 1 << 8 | 1 << 9 | 1 << 3, 0};

static void on_old_kernel(void) {
    static const int set_up[] = {SYS_io_uring_setup};
    struct mini_future main = MINI_FUTURE(note_name, "note_name");

    unsetenv("MINI_IO");
    if (!on_uring()) _exit(SKIPPED);
    appoint(set_up, COUNT_OF(set_up));
    /* the first run, of one shard, meets the refusals */
    check_equal(run(&main, real_clock(1)), the_judge.first < 3);
    check_equal(the_judge.count, the_judge.first < 3 ? the_judge.first + 1 : 3);
    for (unsigned i = 0; i < the_judge.count; i++) {
        check_equal(the_judge.flags[i], ring_flags[i]);
        if (i < 2) check_equal(the_judge.completions[i], 4096);
    }
    the_judge.count = 0;
    recv_and_send(TCP_SOCKETS, false);
    the_judge.count = 0;
    race(TCP_SOCKETS, true);
    the_judge.count = 0;
    cancel_among_crowd();
    the_judge.count = 0;
    check_equal(workload(1), 0);
    the_judge.count = 0;
    mixed_work();
}

/* Such as do not know the newer ways to set up a ring. */
static void g5_6_older_kernels_get_the_ring_they_know(void **state) {
    char text[4096];

    (void)state;
    skip_under_tsan();
    for (unsigned refusals = 0; refusals <= 3; refusals++) {
        the_judge = (struct judge){
            .first = refusals, .errors = {EINVAL, EINVAL, EINVAL}};
        in_child_process(on_old_kernel, text, sizeof text);
        if (refusals < 3)
            check_equal(lines(text), 0);
        else
            check(strstr(text, "io_uring") && lines(text) == 1);
    }
}

static void troubled_server(void) {
    static const int accepts[] = {SYS_accept4};

    setenv("MINI_IO", "poll", 1); /* a ring accepts by itself */
    appoint(accepts, 1);
    check_equal(workload(1), 0);
    check_equal(workload(2), 0);
}

/* Connections that are gone before they are accepted, want of memory, and what
 * accept(2) passes on of the network's. */
static void g5_5_errors_that_pass_end_no_server(void **state) {
    static const int errors[][3] = {{ECONNABORTED, EPROTO, EPERM},
        {ENFILE, ENOBUFS, ENOMEM}, {ENETDOWN, EHOSTDOWN, ENONET},
        {EHOSTUNREACH, ENETUNREACH, ENOPROTOOPT}, {EOPNOTSUPP, ENFILE, EPERM}};
    char text[4096];

    (void)state;
    skip_under_tsan();
    for (size_t i = 0; i < COUNT_OF(errors); i++) {
        the_judge = (struct judge){.every = 2};
        memcpy(the_judge.errors, errors[i], sizeof errors[i]);
        in_child_process(troubled_server, text, sizeof text);
        assert_string_equal(text, "");
    }
}

/* What peers do costs no pause, in which others would wait. */
struct unmoved {
    struct mini_future future;
    struct visit visit;
    uint64_t start;
};

static mini_poll unmoved_body(
    struct mini_future *future, struct mini_context cx) {
    struct unmoved *self = MINI_SELF(struct unmoved);

    MINI_BEGIN;
    self->start = mini_now();
    STEP(MINI_CALL(struct visit, &self->visit, visit, .fd = -1));
    NOTE((long)(mini_now() - self->start));
    reset(self->visit.fd);
    MINI_END(0);
}

static void deserted_server(void) {
    static const int accepts[] = {SYS_accept4};
    struct unmoved body = MINI_FRAME(struct unmoved, unmoved_body, .start = 0);
    struct server_run self = make_server(&body.future, MINI_ACCEPT_SPREAD);

    setenv("MINI_IO", "poll", 1);
    appoint(accepts, 1);
    check_equal(run(&self.future, virtual_clock()), 0);
    assert_notes(0, 0, -ECANCELED);
}

static void g5_5_connections_that_are_gone_hold_up_no_other(void **state) {
    char text[4096];

    (void)state;
    skip_under_tsan();
    the_judge =
        (struct judge){.first = 30, .errors = {ECONNABORTED, EPROTO, EPERM}};
    in_child_process(deserted_server, text, sizeof text);
    assert_string_equal(text, "");
}

/* One that has a ring, but no way to wait for it with a limit. */
static void on_aged_kernel(void) {
    static const int set_up[] = {SYS_io_uring_setup};
    struct mini_future main = MINI_FUTURE(note_name, "note_name");

    unsetenv("MINI_IO");
    if (!on_uring()) _exit(SKIPPED);
    appoint(set_up, COUNT_OF(set_up));
    check_equal(run(&main, real_clock(1)), false); /* and leaves no ring */
    recv_and_send(TCP_SOCKETS, false);
}

static void g5_6_a_ring_that_cannot_wait_with_a_limit_is_not_used(
    void **state) {
    char text[4096];

    (void)state;
    skip_under_tsan();
    the_judge = (struct judge){.aged = true};
    in_child_process(on_aged_kernel, text, sizeof text);
    check(strstr(text, strerror(ENOSYS)) && strstr(text, "using poll(2)"));
    check_equal(lines(text), 1);
}

#else

static void g5_5_connections_that_are_gone_hold_up_no_other(void **state) {
    (void)state;
    skip();
}

static void g5_5_errors_that_pass_end_no_server(void **state) {
    (void)state;
    skip();
}

static void g5_6_a_ring_that_cannot_wait_with_a_limit_is_not_used(
    void **state) {
    (void)state;
    skip();
}

static void g5_3_a_kernel_that_says_ebusy_eagain_or_eintr(void **state) {
    (void)state;
    skip();
}

static void g5_3_operations_that_find_nothing_are_tried_again(void **state) {
    (void)state;
    skip();
}

static void g5_6_older_kernels_get_the_ring_they_know(void **state) {
    (void)state;
    skip();
}

#endif

/* ---- without what a kernel may lack ------------------------------------- */

/* The newest and the oldest: for what takes long. */
static void two_kernels(void (*test)(void)) {
    test();
    mini_io_without = MINI_FEATURES | MINI_MSG_RING;
    test();
    mini_io_without = 0;
}

/* Runs TEST with each set of features that a kernel may have; poll(2) has none
 * of them anyway. */
static void each_kernel(void (*test)(void)) {
    static const unsigned lacks[] = {0, MINI_BUFFER_RING,
        MINI_MULTISHOT | MINI_BUFFER_RING, MINI_ZERO_COPY | MINI_MSG_RING,
        MINI_SPLICE, MINI_FEATURES | MINI_MSG_RING};
    const char *backend = getenv("MINI_IO");
    bool once = backend && strcmp(backend, "poll") == 0;

    for (size_t i = 0; i < (once ? 1 : COUNT_OF(lacks)); i++) {
        mini_io_without = lacks[i];
        variant[0] = '\0';
        test();
    }
    mini_io_without = 0;
}

/* ---- G5.6: what there is ------------------------------------------------ */

static char description[80];

static mini_poll describe(struct mini_future *future, struct mini_context cx) {
    (void)cx;
    strcpy(description, mini_io_describe());
    return mini_ready(future, (long)mini_self->io.features);
}

static void check_described(unsigned lacks, const char *wanted) {
    struct mini_future main = MINI_FUTURE(describe, "describe");

    mini_io_without = lacks;
    run(&main, real_clock(1));
    check(strcmp(description, wanted) == 0);
}

#if HAS_SECCOMP

/* With all features, or without one, which only a process without it says. */
static void works_again_and_again(void) {
    struct mini_future main = MINI_FUTURE(describe, "describe");
    bool lacks = mini_test_unknown >= 0;

    unsetenv("MINI_IO");
    for (unsigned shards = 1; shards <= 3; shards++) {
        long features = run(&main, real_clock(1));

        if (strncmp(description, "uring", 5) != 0) _exit(SKIPPED);
        if (!lacks && (features | mini_io_without) != MINI_FEATURES)
            _exit(SKIPPED); /* an old kernel's */
        check_equal(features & MINI_SPLICE, lacks ? 0 : MINI_SPLICE);
        check_equal(workload(shards), 0);
        mini_io_without = MINI_ZERO_COPY; /* that the kernel does not lack */
    }
}

static void g5_6_what_the_kernel_lacks_is_said_once(void **state) {
    char text[4096];

    (void)state;
    mini_test_unknown = SOME_OPERATION;
    in_fresh_process(works_again_and_again, text, sizeof text);
    check(strstr(text, "io_uring lacks") != NULL);
    check(strstr(text, "used is uring") && !strstr(text, "splice"));
    check_equal(lines(text), 1);
}

static void g5_6_where_nothing_lacks_nothing_is_said(void **state) {
    char text[4096];

    (void)state;
    in_fresh_process(works_again_and_again, text, sizeof text);
    assert_string_equal(text, "");
}

/* An operation tells of what came with it. */
static void g5_6_what_the_kernel_does_not_know_is_done_without(void **state) {
    static const struct {
        int operation;
        unsigned missing;
    } each[] = {{IORING_OP_SOCKET, MINI_MULTISHOT},
        {IORING_OP_SEND_ZC, MINI_BUFFER_RING | MINI_ZERO_COPY},
        {IORING_OP_SPLICE, MINI_SPLICE}, {IORING_OP_NOP, 0}};
    struct mini_future main = MINI_FUTURE(describe, "describe");
    long all = run(&main, real_clock(1));

    (void)state;
    if (all == 0) skip(); /* of poll(2), or a kernel that is too old */
    for (size_t i = 0; i < COUNT_OF(each); i++) {
        snprintf(variant, sizeof variant, "operation %d", each[i].operation);
        mini_test_unknown = each[i].operation;
        check_equal(run(&main, real_clock(1)), all & ~(long)each[i].missing);
    }
}

#else

static void g5_6_what_the_kernel_lacks_is_said_once(void **state) {
    (void)state;
    skip();
}

static void g5_6_where_nothing_lacks_nothing_is_said(void **state) {
    (void)state;
    skip();
}

static void g5_6_what_the_kernel_does_not_know_is_done_without(void **state) {
    (void)state;
    skip();
}

#endif

static void g5_6_what_a_backend_has_is_described(void **state) {
    struct mini_future main = MINI_FUTURE(describe, "describe");
    long all = run(&main, real_clock(1));

    (void)state;
    if (strncmp(description, "poll", 4) == 0) {
        assert_string_equal(description, "poll");
        return;
    }
    struct utsname kernel;

    uname(&kernel);
    if (atoi(kernel.release) < 6) skip();
    check_equal(all, 15);
    check_described(0, "uring: multishot, buffer ring, send_zc, splice");
    check_described(MINI_MULTISHOT, "uring: buffer ring, send_zc, splice");
    check_described(MINI_SPLICE, "uring: multishot, buffer ring, send_zc");
    check_described(~(unsigned)MINI_ZERO_COPY, "uring: send_zc");
    check_described(~0u, "uring");
    mini_io_without = 0;
}

/* ---- G5.6: waking a shard in its ring ----------------------------------- */

/* Since Linux 6.13; an older one says EINVAL. */
static bool kernel_wakes_rings(void) {
#if HAS_SECCOMP
    enum { SEND_MSG_RING = 31 };
    struct io_uring_sqe message = {.opcode = IORING_OP_MSG_RING, .fd = -1};
    const char *wish = getenv("MINI_IO");

    return wish && strcmp(wish, "uring") == 0 &&
        syscall(SYS_io_uring_register, -1, SEND_MSG_RING, &message, 1) < 0 &&
        errno == EBADF;
#else
    return false;
#endif
}

static long until_it_sleeps(void *arg) {
    struct mini_parker *parker = arg;

    while (!atomic_load(&parker->sleeping)) sched_yield();
    return 0;
}

/* Jobs for a helper, which comes back as the shard goes to sleep, until it has
 * rung three times. It is itself rung for each job. */
static mini_poll rung_script(
    struct mini_future *future, struct mini_context cx) {
    struct script *self = MINI_SELF(struct script);

    MINI_BEGIN;
    for (; self->i < 10000 && mini_test_bell_rings < self->i + 3; self->i++) {
        MINI_AWAIT(
            mini_offload(&self->io[0], until_it_sleeps, &mini_self->parker));
        if (MINI_RESULT < 0) MINI_RETURN(MINI_RESULT);
    }
    NOTE(mini_self->parker.uring != 0);
    MINI_END(0);
}

/* How many of the rings woke the shard in its ring of io_uring. */
static long wakes_without(unsigned lacks) {
    struct script self = MINI_FRAME(struct script, rung_script, .i = 0);

    mini_io_without = lacks;
    mini_test_bell_rings = mini_test_wakes = mini_test_wake_tries = 0;
    check_equal(run(&self.future, real_clock(1)), 0);
    if (!noted[0]) check_equal(mini_test_wake_tries, 0);
    /* no bell beside the ring, but for the helper's: for each job, and to end */
    if (noted[0]) check(mini_test_bell_rings - mini_test_wakes <= self.i + 1);
    mini_io_without = 0;
    return mini_test_wakes;
}

static void g5_6_a_shard_is_woken_in_its_ring_or_by_its_bell(void **state) {
    long wakes = wakes_without(0);

    (void)state;
    if (mini_test_bell_rings == 0) skip(); /* the linker cannot wrap */
    check(noted[0] || !kernel_wakes_rings());
    check(noted[0] ? wakes >= 3 : wakes == 0);
    check_equal(wakes_without(MINI_MSG_RING), 0);
    check_equal(noted[0], 0);
    wakes_without(MINI_MULTISHOT);
    check_equal(wakes_without(MINI_MSG_RING | MINI_MULTISHOT), 0);
}

/* How often, after a job, the bell that has rung was no longer readable. */
static mini_poll rung_and_not_read(
    struct mini_future *future, struct mini_context cx) {
    struct script *self = MINI_SELF(struct script);

    MINI_BEGIN;
    for (; self->i < 10000 && mini_test_bell_rings < self->i + 6; self->i++) {
        MINI_AWAIT(
            mini_offload(&self->io[0], until_it_sleeps, &mini_self->parker));
        if (MINI_RESULT < 0) MINI_RETURN(MINI_RESULT);
        struct pollfd bell = {mini_self->parker.bell.wait_fd, POLLIN, 0};
        /* one for the helper for each job, and two of its own */
        if (mini_test_bell_rings > self->i + 2)
            self->sum += poll(&bell, 1, 0) == 0;
    }
    MINI_END(mini_self->io.features & MINI_MULTISHOT ? self->sum : -ENOSYS);
}

/* A multishot poll tells of each ring: to read the bell would be in vain. */
static void g5_10_a_multishot_bell_is_not_read(void **state) {
    struct script self = MINI_FRAME(struct script, rung_and_not_read, .i = 0);

    (void)state;
    mini_io_without = MINI_MSG_RING;
    mini_test_bell_rings = 0;
    long result = run(&self.future, real_clock(1));

    mini_io_without = 0;
    if (mini_test_bell_rings == 0 || result == -ENOSYS) skip();
    check_equal(result, 0);
}

static long be_rung(void) {
    struct script self = MINI_FRAME(struct script, rung_script, .i = 0);
    char text[4096];

    mini_test_bell_rings = 0;
    mini_test_capture_begin(); /* a backend may say that it cannot */
    long result = run(&self.future, real_clock(1));

    mini_test_capture_end(text, sizeof text);
    return result;
}

static bool a_wake_has_failed, no_ring_is_woken;

static void look_at_the_rings(
    long result, const struct mini_test_fault *fault) {
    if (!fault->call || strcmp(fault->call, "syscall") != 0) return;
    a_wake_has_failed |= noted[0];
    no_ring_is_woken |= !noted[0]; /* the first one asks whether it can */
    check_equal(result, 0);
}

/* Whatever the kernel says to the one or the other: nobody sleeps on. */
static void g5_6_the_bell_rings_when_a_ring_cannot_be_woken(void **state) {
    (void)state;
    a_wake_has_failed = no_ring_is_woken = false;
    wakes_without(0);
    bool has_ring = noted[0];

    mini_test_each_fault(be_rung, look_at_the_rings);
    if (!has_ring) skip();
    check(a_wake_has_failed && no_ring_is_woken);
}

/* ---- G5.1: files -------------------------------------------------------- */

enum { FILE_BYTES = 200000 };
struct files {
    struct mini_future future;
    struct mini_io io;
    struct mini_statx look;
    int dir, fd, other;
    char *bytes, *back; /* FILE_BYTES and more of each */
};

static char folder_name[64];

/* A new directory's descriptor. */
static int make_folder(void) {
    strcpy(folder_name, "/tmp/miniss-test-XXXXXX");
    must(mkdtemp(folder_name) != NULL, "mkdtemp");
    int dir = open(folder_name, O_RDONLY);

    must(dir >= 0, "open a directory");
    return dir;
}

static void remove_folder(int dir) {
    close(dir);
    rmdir(folder_name);
}

static char *patterned(size_t size) {
    char *bytes = malloc(size);

    must(bytes != NULL, "malloc");
    for (size_t i = 0; i < size; i++) bytes[i] = pattern(i);
    return bytes;
}

/* A file in DIR with SIZE bytes of the pattern; open for reading, and with no
 * name any more. */
static int make_file(int dir, size_t size) {
    char *bytes = patterned(size + 1);
    int fd = openat(dir, "made", O_RDWR | O_CREAT | O_TRUNC, 0600);

    must(fd >= 0 && write(fd, bytes, size) == (ssize_t)size, "make a file");
    must(unlinkat(dir, "made", 0) == 0, "unlink");
    free(bytes);
    return fd;
}

static atomic_long parks;

static void count_parks(void) { parks++; }

/* What waits for no peer: a send, and a read of what a file has. */
static mini_poll needs_no_peer(
    struct mini_future *future, struct mini_context cx) {
    struct script *self = MINI_SELF(struct script);

    MINI_BEGIN;
    parks = 0;
    MINI_AWAIT(mini_send_all(&self->io[0], self->fd[0], "abc", 3));
    NOTE(parks);
    MINI_AWAIT(mini_read(&self->io[0], self->fd[2], self->buffer, 3, 0));
    NOTE(parks);
    NOTE(MINI_RESULT);
    MINI_AWAIT(mini_recv(&self->io[0], self->fd[1], self->buffer, 3));
    NOTE(parks); /* but who waits for one does */
    MINI_END(MINI_RESULT);
}

static void g5_10_who_waits_for_no_peer_does_not_park(void **state) {
    struct script self = MINI_FRAME(struct script, needs_no_peer, .i = 0);
    const char *wish = getenv("MINI_IO");

    (void)state;
    if (!wish || strcmp(wish, "uring") != 0) skip();
    open_pair(UNIX_SOCKETS, false, self.fd);
    int folder = make_folder();
    self.fd[2] = make_file(folder, 3);
    mini_park_hook = count_parks;
    check_equal(run(&self.future, real_clock(1)), 3);
    mini_park_hook = NULL;
    close(self.fd[2]);
    remove_folder(folder);
    close_pair(self.fd);
    assert_notes(0, 0, 3, 1);
}

static mini_poll files_script(
    struct mini_future *future, struct mini_context cx) {
    struct files *self = MINI_SELF(struct files);

    MINI_BEGIN;
    MINI_AWAIT(mini_openat(&self->io, self->dir, "new",
        O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0640));
    self->fd = (int)MINI_RESULT;
    NOTE(fcntl(self->fd, F_GETFD));
    STEP(mini_write_all(&self->io, self->fd, self->bytes, FILE_BYTES, 0));
    NOTE((long)self->io.done);
    STEP(mini_read_exact(&self->io, self->fd, self->back, FILE_BYTES, 0));
    NOTE((long)self->io.done);
    NOTE(memcmp(self->back, self->bytes, FILE_BYTES));
    STEP(mini_read_exact(
        &self->io, self->fd, self->back, FILE_BYTES, FILE_BYTES - 7));
    NOTE((long)self->io.done);
    NOTE(memcmp(self->back, self->bytes + FILE_BYTES - 7, 7));
    STEP(mini_read_exact(&self->io, self->fd, self->back, 5, FILE_BYTES));
    STEP(mini_read_exact(&self->io, self->fd, self->back, 5, FAR));
    STEP(mini_read_exact(&self->io, self->fd, self->back, 0, 0));
    /* none of these has moved where it stands; these do */
    STEP(mini_read_exact(&self->io, self->fd, self->back, 10, -1));
    STEP(mini_read_exact(&self->io, self->fd, self->back + 10, FILE_BYTES, -1));
    NOTE(memcmp(self->back, self->bytes, FILE_BYTES));
    STEP(mini_write_all(&self->io, self->fd, self->bytes, 9000, -1));
    STEP(mini_read_exact(&self->io, self->fd, self->back, 9999, FILE_BYTES));
    NOTE(memcmp(self->back, self->bytes, 9000));
    STEP(mini_fsync(&self->io, self->fd));
    STEP(mini_close(&self->io, self->fd));
    NOTE(fcntl(self->fd, F_GETFD));
    MINI_END(0);
}

static void write_and_read_files(void) {
    struct files self = {.future = MINI_FUTURE(files_script, "files"),
        .dir = make_folder(),
        .bytes = patterned(FILE_BYTES),
        .back = malloc(FILE_BYTES + 10)};

    check_equal(run(&self.future, virtual_clock()), 0);
    assert_notes(FD_CLOEXEC, FILE_BYTES, FILE_BYTES, FILE_BYTES, FILE_BYTES, 0,
        7, 7, 0, 0, 0, 0, 10, FILE_BYTES - 10, 0, 9000, 9000, 0, 0, 0, -1);
    struct stat status;
    mode_t mask = umask(0);

    umask(mask);
    check_equal(fstatat(self.dir, "new", &status, 0), 0);
    check_equal(status.st_mode, S_IFREG | (0640 & ~mask));
    check_equal(unlinkat(self.dir, "new", 0), 0);
    remove_folder(self.dir);
    free(self.bytes);
    free(self.back);
}

static void g5_1_files_are_written_and_read_to_the_end(void **state) {
    (void)state;
    each_kernel(write_and_read_files);
}

/* Each of these may block on a disk, which poll(2) says nothing about. */
static mini_poll helped_script(
    struct mini_future *future, struct mini_context cx) {
    struct files *self = MINI_SELF(struct files);
    static struct mini_io io;

    MINI_BEGIN;
    STEP(mini_write(&self->io, self->fd, "text", 4, 0));
    NOTE((long)mini_stats()->offloads);
    STEP(mini_read(&self->io, self->fd, self->back, 9, 0));
    NOTE((long)mini_stats()->offloads);
    STEP(mini_fsync(&self->io, self->fd));
    NOTE((long)mini_stats()->offloads);
    STEP(mini_statx(&self->look, self->fd, ""));
    NOTE((long)mini_stats()->offloads);
    MINI_AWAIT(mini_openat(&self->io, self->dir, ".", O_RDONLY, 0));
    NOTE((long)mini_stats()->offloads);
    /* and none of these */
    STEP(mini_close(&self->io, (int)MINI_RESULT));
    STEP(mini_write(&self->io, self->other, "!", 1, -1));
    STEP(mini_readable(&io, self->other));
    STEP(mini_read(&self->io, self->other, self->back, 1, -1));
    NOTE((long)mini_stats()->offloads);
    MINI_END(0);
}

static void g5_1_files_never_block_the_shard(void **state) {
    struct files self = {.future = MINI_FUTURE(helped_script, "helped"),
        .dir = make_folder(),
        .back = malloc(9)};
    struct mini_future main = MINI_FUTURE(note_name, "note_name");
    long helpers = run(&main, real_clock(1)) == 0;
    int pair[2];

    (void)state;
    self.fd = make_file(self.dir, 0);
    open_pair(UNIX_SOCKETS, false, pair);
    self.other = pair[0];
    raw_send(pair[1], "?", 1);
    check_equal(run(&self.future, virtual_clock()), 0);
    remove_folder(self.dir);
    close(self.fd);
    close_pair(pair);
    free(self.back);
    assert_notes(4, helpers, 4, 2 * helpers, 0, 3 * helpers, 0, 4 * helpers,
        5 * helpers, 0, 1, 0, 1, 5 * helpers);
}

/* Whether LOOK says what fstat(2) says. */
static bool looks_like(const struct mini_statx *look, int fd) {
    struct stat status;

    must(fstat(fd, &status) == 0, "fstat");
    return look->size == (uint64_t)status.st_size &&
        look->mode == status.st_mode &&
        look->modified.tv_sec == status.st_mtim.tv_sec &&
        look->modified.tv_nsec == status.st_mtim.tv_nsec;
}

static mini_poll statx_script(
    struct mini_future *future, struct mini_context cx) {
    struct files *self = MINI_SELF(struct files);

    MINI_BEGIN;
    STEP(mini_statx(&self->look, self->dir, "it"));
    NOTE((long)self->look.size);
    NOTE(self->look.mode == (S_IFREG | 0640));
    NOTE(self->look.modified.tv_sec == 1234567890 &&
        self->look.modified.tv_nsec == 987654321);
    self->look.size = 99;
    STEP(mini_statx(&self->look, self->fd, ""));
    NOTE(looks_like(&self->look, self->fd));
    STEP(mini_statx(&self->look, self->dir, ""));
    NOTE(looks_like(&self->look, self->dir));
    STEP(mini_statx(&self->look, AT_FDCWD, folder_name));
    NOTE(looks_like(&self->look, self->dir));
    STEP(mini_statx(&self->look, AT_FDCWD, "")); /* where we are */
    NOTE(looks_like(&self->look, self->other));
    STEP(mini_statx(&self->look, self->dir, "link")); /* what it points to */
    NOTE(looks_like(&self->look, self->fd));
    self->look.size = 99;
    STEP(mini_statx(&self->look, self->dir, "none"));
    STEP(mini_statx(&self->look, self->dir, "it/none"));
    NOTE((long)self->look.size);
    MINI_END(0);
}

static void look_at_files(void) {
    struct files self = {.future = MINI_FUTURE(statx_script, "statx"),
        .dir = make_folder(),
        .other = open(".", O_RDONLY)};
    struct timespec times[2] = {{111, 222}, {1234567890, 987654321}};

    self.fd = openat(self.dir, "it", O_RDWR | O_CREAT, 0600);
    check_equal(fchmod(self.fd, 0640), 0);
    check_equal(ftruncate(self.fd, 12345), 0);
    check_equal(futimens(self.fd, times), 0);
    check_equal(symlinkat("it", self.dir, "link"), 0);
    check_equal(run(&self.future, virtual_clock()), 0);
    unlinkat(self.dir, "it", 0);
    unlinkat(self.dir, "link", 0);
    remove_folder(self.dir);
    close(self.fd);
    close(self.other);
    assert_notes(
        0, 12345, 1, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, -ENOENT, -ENOTDIR, 99);
}

static mini_poll date_script(
    struct mini_future *future, struct mini_context cx) {
    struct files *self = MINI_SELF(struct files);

    MINI_BEGIN;
    MINI_AWAIT(mini_statx(&self->look, self->fd, ""));
    MINI_END(MINI_RESULT);
}

/* Also of those that nanoseconds in 64 bits do not reach; not all file systems
 * keep them. */
static void g5_1_statx_of_all_times(void **state) {
    static const int64_t times[] = {0, INT64_C(9223372036), INT64_C(9300000000),
        INT64_C(-1), INT64_C(-9300000000)};
    int dir = make_folder(), fd = make_file(dir, 0);

    (void)state;
    for (size_t i = 0; i < COUNT_OF(times); i++) {
        struct timespec to[2] = {{0, 0}, {(time_t)times[i], 999999999}};
        struct files self = {
            .future = MINI_FUTURE(date_script, "date"), .fd = fd};

        check_equal(futimens(fd, to), 0);
        check_equal(run(&self.future, virtual_clock()), 0);
        check(looks_like(&self.look, fd));
    }
    close(fd);
    remove_folder(dir);
}

static void g5_1_statx_by_path_and_by_descriptor(void **state) {
    (void)state;
    each_kernel(look_at_files);
}

static mini_poll file_errors_script(
    struct mini_future *future, struct mini_context cx) {
    struct files *self = MINI_SELF(struct files);

    MINI_BEGIN;
    STEP(mini_openat(&self->io, self->dir, "none", O_RDONLY, 0));
    STEP(mini_openat(&self->io, self->dir, ".", O_WRONLY, 0));
    STEP(mini_openat(&self->io, self->dir, "it", O_RDWR | O_CREAT | O_EXCL, 0));
    STEP(mini_openat(&self->io, self->dir, "it/x", O_RDONLY, 0));
    STEP(mini_openat(&self->io, -1, "it", O_RDONLY, 0));
    STEP(mini_openat(&self->io, self->fd, "it", O_RDONLY, 0));
    MINI_AWAIT(mini_openat(&self->io, self->dir, "it", O_RDONLY, 0));
    self->other = (int)MINI_RESULT;
    STEP(mini_write_all(&self->io, self->other, "no", 2, 0));
    NOTE((long)self->io.done);
    STEP(mini_write_all(&self->io, self->other, "no", 2, -1));
    STEP(mini_close(&self->io, self->other));
    self->other = 9999; /* that number may be somebody else's by now */
    STEP(mini_close(&self->io, self->other));
    STEP(mini_read_exact(&self->io, self->dir, self->back, 5, 0));
    STEP(mini_fsync(&self->io, self->other));
    /* a limit in the midst of it: a part, and then an error */
    STEP(mini_write_all(&self->io, self->fd, self->bytes, FILE_BYTES, 1000));
    NOTE((long)self->io.done);
    STEP(mini_write(&self->io, self->fd, self->bytes, 9, FILE_BYTES));
    MINI_END(0);
}

static void refused_files(void) {
    struct files self = {.future = MINI_FUTURE(file_errors_script, "errors"),
        .dir = make_folder(),
        .bytes = patterned(FILE_BYTES),
        .back = malloc(FILE_BYTES)};
    struct sigaction ignore = {.sa_handler = SIG_IGN}, handler;
    struct rlimit before, limit;

    self.fd = openat(self.dir, "it", O_RDWR | O_CREAT, 0600);
    sigaction(SIGXFSZ, &ignore, &handler);
    getrlimit(RLIMIT_FSIZE, &before);
    limit = before;
    limit.rlim_cur = 100000;
    setrlimit(RLIMIT_FSIZE, &limit);
    long result = run(&self.future, virtual_clock());

    setrlimit(RLIMIT_FSIZE, &before);
    sigaction(SIGXFSZ, &handler, NULL);
    unlinkat(self.dir, "it", 0);
    close(self.fd);
    remove_folder(self.dir);
    free(self.bytes);
    free(self.back);
    check_equal(result, 0);
    assert_notes(-ENOENT, -EISDIR, -EEXIST, -ENOTDIR, -EBADF, -ENOTDIR, -EBADF,
        0, -EBADF, 0, -EBADF, -EISDIR, -EBADF, -EFBIG, 99000, -EFBIG);
}

static void g5_1_what_files_refuse_is_told(void **state) {
    (void)state;
    each_kernel(refused_files);
}

static mini_poll full_disk_script(
    struct mini_future *future, struct mini_context cx) {
    struct files *self = MINI_SELF(struct files);

    MINI_BEGIN;
    STEP(mini_write_all(&self->io, self->fd, self->bytes, FILE_BYTES, 0));
    NOTE((long)self->io.done);
    STEP(mini_write_all(&self->io, self->fd, "x", 1, -1));
    STEP(mini_write(&self->io, self->fd, "x", 1, -1));
    STEP(
        mini_read_exact(&self->io, self->fd, self->back, 100, -1)); /* zeroes */
    MINI_END(self->back[0] | self->back[99]);
}

static void full_disk(void) {
    struct files self = {.future = MINI_FUTURE(full_disk_script, "full"),
        .fd = open("/dev/full", O_RDWR),
        .bytes = patterned(FILE_BYTES),
        .back = malloc(100)};

    long result = self.fd < 0 ? 0 : run(&self.future, virtual_clock());

    free(self.bytes);
    free(self.back);
    if (self.fd < 0) skip();
    close(self.fd);
    check_equal(result, 0);
    assert_notes(-ENOSPC, 0, -ENOSPC, -ENOSPC, 100);
}

static void g5_1_a_full_disk_is_enospc(void **state) {
    (void)state;
    each_kernel(full_disk);
}

/* ---- G5.2: files -------------------------------------------------------- */

enum { FILES = 8 };
struct opening {
    struct script script;
    struct mini_io io[FILES];
    struct mini_statx look;
    struct mini_task *task[FILES];
    long opened, cancelled, other;
    char byte;
};

static mini_poll no_start_script(
    struct mini_future *future, struct mini_context cx) {
    struct opening *self = MINI_SELF(struct opening);
    struct script *s = &self->script;

    MINI_BEGIN;
    self->task[0] = background(
        mini_openat(&self->io[0], s->fd[0], "new", O_RDWR | O_CREAT, 0600));
    self->task[1] =
        background(mini_write_all(&self->io[1], s->fd[1], "no", 2, 0));
    self->task[2] =
        background(mini_read_exact(&self->io[2], s->fd[1], s->buffer, 9, -1));
    self->task[3] = background(mini_fsync(&self->io[3], s->fd[1]));
    self->task[4] = background(mini_statx(&self->look, s->fd[0], ""));
    for (s->i = 0; s->i < 5; s->i++) mini_cancel(self->task[s->i]);
    for (s->i = 0; s->i < 5; s->i++)
        STEP(mini_join(&s->join, self->task[s->i]));
    SETTLE(s);
    NOTE(faccessat(s->fd[0], "new", F_OK, 0));
    NOTE((long)lseek(s->fd[1], 0, SEEK_CUR));
    NOTE((long)lseek(s->fd[1], 0, SEEK_END));
    MINI_END(0);
}

static void cancelled_files_never_start(void) {
    struct opening self = {
        .script.future = MINI_FUTURE(no_start_script, "no_start")};
    int dir = make_folder();

    self.script.fd[0] = dir;
    self.script.fd[1] = make_file(dir, 0);
    check_equal(run(&self.script.future, virtual_clock()), 0);
    close(self.script.fd[1]);
    remove_folder(dir);
    assert_notes(
        -ECANCELED, -ECANCELED, -ECANCELED, -ECANCELED, -ECANCELED, -1, 0, 0);
}

static void g5_2_a_file_operation_cancelled_early_never_starts(void **state) {
    (void)state;
    each_kernel(cancelled_files_never_start);
}

/* More than there are helpers, so that some wait in line. */
static mini_poll opening_script(
    struct mini_future *future, struct mini_context cx) {
    struct opening *self = MINI_SELF(struct opening);
    struct script *s = &self->script;

    MINI_BEGIN;
    for (s->i = 0; s->i < 300; s->i++) {
        for (int i = 0; i < FILES; i++)
            self->task[i] = background(
                mini_openat(&self->io[i], s->fd[0], i % 2 ? "." : "new",
                    i % 2 ? O_RDONLY : O_RDWR | O_CREAT, 0600));
        for (s->j = s->i % 4; s->j > 0; s->j--) A_TURN(s);
        if (s->i / 4 % 2) MINI_AWAIT(mini_yield(&s->yield));
        while (s->i % 10 == 9 && !ended(&self->io[0].future)) A_TURN(s);
        for (int i = 0; i < FILES; i++) mini_cancel(self->task[i]);
        for (s->j = 0; s->j < FILES; s->j++) {
            MINI_AWAIT(mini_join(&s->join, self->task[s->j]));
            if (MINI_RESULT >= 0) {
                self->opened++;
                must(close((int)MINI_RESULT) == 0, "no descriptor");
            } else {
                self->cancelled += MINI_RESULT == -ECANCELED;
                self->other += MINI_RESULT != -ECANCELED;
            }
        }
        unlinkat(s->fd[0], "new", 0);
    }
    MINI_END(self->other);
}

static void cancelled_opens(void) {
    struct opening self = {
        .script.future = MINI_FUTURE(opening_script, "opening")};
    int dir = make_folder();

    self.script.fd[0] = dir;
    check_equal(run(&self.script.future, real_clock(1)), 0); /* counts, too */
    remove_folder(dir);
    check_equal(self.opened + self.cancelled, 300 * FILES);
    check(self.opened > 0 && self.cancelled > 0);
}

static void g5_2_cancel_races_with_openat_and_no_descriptor_is_lost(
    void **state) {
    (void)state;
    each_kernel(cancelled_opens);
}

/* A cancelled write_all says how many bytes of it are in the file. */
static mini_poll cancelled_write_script(
    struct mini_future *future, struct mini_context cx) {
    struct opening *self = MINI_SELF(struct opening);
    struct script *s = &self->script;
    static char many[1 << 16];

    MINI_BEGIN;
    for (s->i = 0; s->i < 200; s->i++) {
        must(ftruncate(s->fd[1], 0) == 0, "ftruncate");
        memset(many, 'w', sizeof many);
        self->task[0] = background(
            mini_write_all(&self->io[0], s->fd[1], many, sizeof many, 0));
        for (s->j = s->i % 4; s->j > 0; s->j--) A_TURN(s);
        if (s->i / 4 % 2) MINI_AWAIT(mini_yield(&s->yield));
        while (s->i % 10 == 9 && !ended(&self->io[0].future)) A_TURN(s);
        mini_cancel(self->task[0]);
        MINI_AWAIT(mini_join(&s->join, self->task[0]));
        memset(many, '?', sizeof many); /* ours again */
        s->sum = (long)lseek(s->fd[1], 0, SEEK_END);
        self->opened += MINI_RESULT > 0;
        self->other +=
            MINI_RESULT == -ECANCELED ? s->sum != 0 : MINI_RESULT != s->sum;
        self->other += s->sum != (long)self->io[0].done;
        if (s->sum == 0) continue;
        must(pread(s->fd[1], &self->byte, 1, s->sum - 1) == 1, "pread");
        self->other += self->byte != 'w';
    }
    MINI_END(self->other);
}

static void cancelled_writes(void) {
    struct opening self = {
        .script.future = MINI_FUTURE(cancelled_write_script, "writing")};
    int dir = make_folder();

    self.script.fd[1] = make_file(dir, 0);
    check_equal(run(&self.script.future, real_clock(1)), 0);
    close(self.script.fd[1]);
    remove_folder(dir);
    check(self.opened > 0);
}

static void g5_2_a_cancelled_write_says_what_is_in_the_file(void **state) {
    (void)state;
    each_kernel(cancelled_writes);
}

/* ---- G5.1: datagrams ---------------------------------------------------- */

/* Two sockets of a family, or connected ones of AF_UNIX. */
struct post {
    struct mini_future future;
    struct mini_datagram out, in;
    struct mini_io readable;
    struct mini_sleep sleep;
    struct mini_yield yield;
    struct mini_timeout timeout;
    struct mini_join join;
    struct mini_task *task;
    int fd[3];
    struct sockaddr_storage address[3];
    socklen_t size;
    char buffer[256];
    long i, j, got, wrong;
};

static bool is_from(const struct post *self, int who) {
    return self->in.header.msg_namelen == self->size &&
        memcmp(&self->in.peer, &self->address[who], self->size) == 0;
}

static bool is_cut(const struct post *self) {
    return self->in.header.msg_flags & MSG_TRUNC;
}

/* By who is 0 to who is 1. */
static struct mini_future *send_post(
    struct post *self, const char *text, size_t length) {
    return mini_send_to(&self->out, self->fd[0], text, length,
        (struct sockaddr *)&self->address[1], self->size);
}

static struct mini_future *receive_post(struct post *self, size_t length) {
    return mini_recv_from(&self->in, self->fd[1], self->buffer, length);
}

static mini_poll post_script(
    struct mini_future *future, struct mini_context cx) {
    struct post *self = MINI_SELF(struct post);
    static char large[70000];

    MINI_BEGIN;
    STEP(send_post(self, "hello", 5));
    STEP(receive_post(self, 200));
    NOTE(is_cut(self));
    NOTE(is_from(self, 0));
    STEP(send_post(self, "", 0)); /* an empty one is one, too */
    self->in.header.msg_namelen = 99;
    STEP(receive_post(self, 200));
    NOTE(is_cut(self));
    NOTE(is_from(self, 0));
    STEP(send_post(self, "cut short", 9)); /* what does not fit is lost */
    STEP(send_post(self, "next", 4));
    STEP(receive_post(self, 3));
    NOTE(is_cut(self));
    NOTE(is_from(self, 0));
    STEP(receive_post(self, 4));
    NOTE(is_cut(self));
    STEP(send_post(self, "all of it", 9));
    STEP(receive_post(self, 0));
    NOTE(is_cut(self));
    NOTE(memcmp(self->buffer, "next", 4) == 0);
    /* one that waits, and the answer to it */
    self->task = background(receive_post(self, 200));
    MINI_AWAIT(mini_sleep(&self->sleep, MINI_MS));
    NOTE(ended(&self->in.io.future));
    STEP(send_post(self, "ping", 4));
    STEP(mini_join(&self->join, self->task));
    STEP(mini_send_to(&self->out, self->fd[1], "pong", 4,
        (struct sockaddr *)&self->in.peer, self->in.header.msg_namelen));
    STEP(mini_recv_from(&self->in, self->fd[0], self->buffer, 200));
    NOTE(is_from(self, 1));
    NOTE(memcmp(self->buffer, "pong", 4) == 0);
    STEP(send_post(self, large, sizeof large));
    STEP(mini_send_to(&self->out, self->fd[0], "no", 2,
        (struct sockaddr *)&self->address[1], 1));
    MINI_END(0);
}

static void post(const char *host) {
    struct post self = {.future = MINI_FUTURE(post_script, "post")};

    for (int i = 0; i < 2; i++) {
        self.size = sizeof self.address[i];
        self.fd[i] = mini_bind(host, 0, SOCK_DGRAM, false);
        if (self.fd[i] < 0) { /* there is no IPv6 here */
            check(i == 0 && strcmp(host, "::1") == 0);
            return;
        }
        set_nonblocking(self.fd[i], i);
        check_equal(getsockname(self.fd[i], (struct sockaddr *)&self.address[i],
                        &self.size),
            0);
    }
    snprintf(variant, sizeof variant, "%s", host);
    check_equal(run(&self.future, real_clock(1)), 0);
    close_pair(self.fd);
    assert_notes(5, 5, 0, 1, 0, 0, 0, 1, 9, 4, 3, 1, 1, 4, 0, 9, 0, 1, 1, 0, 4,
        4, 4, 4, 1, 1, -EMSGSIZE, -EINVAL);
}

static void post_by_ipv4(void) { post("127.0.0.1"); }
static void post_by_ipv6(void) { post("::1"); }

static void g5_1_datagrams_and_whom_they_are_from(void **state) {
    (void)state;
    each_kernel(post_by_ipv4);
    each_kernel(post_by_ipv6);
}

/* Whom it goes to is noted at once: the caller's address may go before it does. */
static mini_poll copied_post_script(
    struct mini_future *future, struct mini_context cx) {
    struct post *self = MINI_SELF(struct post);

    MINI_BEGIN;
    self->address[2] = self->address[1];
    future->child = mini_send_to(&self->out, self->fd[0], "hello", 5,
        (struct sockaddr *)&self->address[2], self->size);
    memset(&self->address[2], 0, sizeof self->address[2]);
    STEP(future->child);
    STEP(mini_timeout(
        &self->timeout, receive_post(self, 200), 10 * MINI_SECOND));
    NOTE(is_from(self, 0));
    MINI_END(0);
}

static void copied_post(void) {
    struct post self = {.future = MINI_FUTURE(copied_post_script, "copied")};

    for (int i = 0; i < 2; i++) {
        self.size = sizeof self.address[i];
        self.fd[i] = mini_bind(NULL, 0, SOCK_DGRAM, false);
        check(self.fd[i] >= 0);
        getsockname(
            self.fd[i], (struct sockaddr *)&self.address[i], &self.size);
    }
    check_equal(run(&self.future, real_clock(1)), 0);
    close_pair(self.fd);
    assert_notes(5, 5, 1);
}

static void g5_1_the_address_of_a_datagram_is_copied(void **state) {
    (void)state;
    each_kernel(copied_post);
}

/* Of AF_UNIX, and connected: to nobody by name, but with an address of a size
 * that none can have to nobody at all. */
static mini_poll odd_post_script(
    struct mini_future *future, struct mini_context cx) {
    struct post *self = MINI_SELF(struct post);
    static char large[sizeof(struct sockaddr_storage) + 100];

    MINI_BEGIN;
    STEP(mini_send_to(
        &self->out, self->fd[0], "hello", 5, (struct sockaddr *)large, 0));
    STEP(receive_post(self, 200));
    NOTE(is_cut(self));
    NOTE(self->in.header.msg_namelen <= sizeof(sa_family_t)); /* has no name */
    memcpy(large, &self->address[1], self->size);
    STEP(mini_send_to(&self->out, self->fd[0], "no", 2,
        (struct sockaddr *)large, sizeof(struct sockaddr_storage) + 1));
    STEP(mini_send_to(&self->out, self->fd[0], "no", 2,
        (struct sockaddr *)large, sizeof large));
    STEP(mini_send_to(
        &self->out, self->fd[0], "no", 2, (struct sockaddr *)large, UINT_MAX));
    NOTE((long)drain(self->fd[1], -1));
    /* of IPv4: just as large as any may be; and the same, connected */
    STEP(mini_send_to(&self->out, self->fd[2], "ok", 2,
        (struct sockaddr *)large, sizeof(struct sockaddr_storage)));
    STEP(mini_send_to(&self->out, self->fd[2], "no", 2,
        (struct sockaddr *)large, sizeof(struct sockaddr_storage) + 1));
    MINI_END(0);
}

static void odd_post(void) {
    struct post self = {.future = MINI_FUTURE(odd_post_script, "odd_post")};
    int to = mini_bind(NULL, 0, SOCK_DGRAM, false);

    check_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, self.fd), 0);
    self.fd[2] = mini_bind(NULL, 0, SOCK_DGRAM, false);
    self.size = sizeof self.address[1];
    check(to >= 0 && self.fd[2] >= 0);
    getsockname(to, (struct sockaddr *)&self.address[1], &self.size);
    check_equal(
        connect(self.fd[2], (struct sockaddr *)&self.address[1], self.size), 0);
    check_equal(run(&self.future, real_clock(1)), 0);
    size_t arrived = drain(to, -1);

    close_pair(self.fd);
    close(self.fd[2]);
    close(to);
    assert_notes(5, 5, 0, 1, -EINVAL, -EINVAL, -EINVAL, 0, 2, -EINVAL);
    check_equal(arrived, 2);
}

static void g5_1_datagrams_to_an_address_too_large_go_nowhere(void **state) {
    (void)state;
    each_kernel(odd_post);
}

/* AF_UNIX has room for a few; who sends more waits, and the shard goes on. */
static mini_poll full_post_script(
    struct mini_future *future, struct mini_context cx) {
    struct post *self = MINI_SELF(struct post);

    MINI_BEGIN;
    self->got = (long)fill_up(self->fd[0], 'f') / 4096;
    self->task = background(mini_send_to(&self->out, self->fd[0], "late", 4,
        (struct sockaddr *)self->address, 0));
    MINI_AWAIT(mini_sleep(&self->sleep, MINI_MS));
    NOTE(ended(&self->out.io.future));
    for (; self->i <= self->got && !ended(&self->out.io.future); self->i++) {
        MINI_AWAIT(receive_post(self, 200));
        MINI_AWAIT(mini_sleep(&self->sleep, MINI_MS));
    }
    STEP(mini_join(&self->join, self->task));
    while (recv(self->fd[1], self->buffer, 200, MSG_DONTWAIT) > 4) continue;
    NOTE(memcmp(self->buffer, "late", 4));
    /* to nobody: -EPIPE, and no signal */
    shutdown(self->fd[0], SHUT_WR);
    STEP(mini_send_to(
        &self->out, self->fd[0], "no", 2, (struct sockaddr *)self->address, 0));
    MINI_END(0);
}

static void full_post(void) {
    for (int nonblocking = 0; nonblocking < 2; nonblocking++) {
        struct post self = {.future = MINI_FUTURE(full_post_script, "full")};

        check_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, self.fd), 0);
        set_nonblocking(self.fd[0], nonblocking);
        check_equal(run(&self.future, virtual_clock()), 0);
        close_pair(self.fd);
        assert_notes(0, 4, 0, -EPIPE);
    }
}

static void g5_1_a_datagram_waits_for_room(void **state) {
    (void)state;
    each_kernel(full_post);
}

/* ---- G5.2: datagrams ---------------------------------------------------- */

static mini_poll cancelled_post_script(
    struct mini_future *future, struct mini_context cx) {
    struct post *self = MINI_SELF(struct post);

    MINI_BEGIN;
    memset(self->buffer, 'c', sizeof self->buffer);
    for (; self->i < 2; self->i++) { /* when it waits, and in the same turn */
        self->task = background(receive_post(self, 200));
        if (self->i == 0) MINI_AWAIT(mini_sleep(&self->sleep, MINI_MS));
        if (self->i == 1) MINI_AWAIT(mini_yield(&self->yield));
        NOTE(ended(&self->in.io.future));
        mini_cancel(self->task);
        STEP(mini_join(&self->join, self->task));
    }
    STEP(mini_timeout(&self->timeout, receive_post(self, 200), MINI_MS));
    self->task = background(receive_post(self, 200)); /* before it starts */
    mini_cancel(self->task);
    STEP(mini_join(&self->join, self->task));
    raw_send(self->fd[0], "late", 4);
    MINI_AWAIT(mini_sleep(&self->sleep, MINI_MS));
    for (self->j = 0; self->j < 200; self->j++)
        self->wrong += self->buffer[self->j] != 'c';
    NOTE(self->wrong);
    STEP(receive_post(self, 200));
    MINI_END(0);
}

static void cancelled_post(void) {
    for (int nonblocking = 0; nonblocking < 2; nonblocking++) {
        struct post self = {
            .future = MINI_FUTURE(cancelled_post_script, "post")};

        check_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, self.fd), 0);
        set_nonblocking(self.fd[1], nonblocking);
        check_equal(run(&self.future, virtual_clock()), 0);
        close_pair(self.fd);
        assert_notes(
            0, -ECANCELED, 0, -ECANCELED, -ETIMEDOUT, -ECANCELED, 0, 4);
    }
}

static void g5_2_a_cancelled_recv_from_leaves_the_datagram(void **state) {
    (void)state;
    each_kernel(cancelled_post);
}

/* AF_UNIX loses none by itself: its sender waits. Each says which it is, and
 * has a length of its own. */
enum { LETTERS = 2000 };

static void *post_sender(void *argument) {
    int fd = *(int *)argument;

    for (int i = 0; i < LETTERS; i++) {
        char text[256] = {0};

        memcpy(text, &i, sizeof i);
        raw_send(fd, text, sizeof i + (size_t)i % 200);
        if (i % 3 == 0) nanosleep(&(struct timespec){0, 40000}, NULL);
    }
    raw_send(fd, "", 0);
    return NULL;
}

static mini_poll timed_post_script(
    struct mini_future *future, struct mini_context cx) {
    struct post *self = MINI_SELF(struct post);

    MINI_BEGIN;
    for (;;) {
        MINI_AWAIT(mini_timeout(&self->timeout,
            receive_post(self, sizeof self->buffer), 10 * MINI_US));
        if (MINI_RESULT == -ETIMEDOUT) continue;
        if (MINI_RESULT <= 0) break;
        int which;
        memcpy(&which, self->buffer, sizeof which);
        self->wrong += which != self->got ||
            MINI_RESULT != (long)sizeof which + which % 200;
        self->got++;
    }
    NOTE(MINI_RESULT);
    NOTE(self->wrong);
    MINI_END(self->got);
}

static void timed_post(void) {
    for (int nonblocking = 0; nonblocking < 2; nonblocking++) {
        struct post self = {.future = MINI_FUTURE(timed_post_script, "post")};
        pthread_t thread;

        check_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, self.fd), 0);
        set_nonblocking(self.fd[1], nonblocking);
        check_equal(pthread_create(&thread, NULL, post_sender, &self.fd[0]), 0);
        long got = run(&self.future, real_clock(1));

        pthread_join(thread, NULL);
        close_pair(self.fd);
        assert_notes(0, 0);
        check_equal(got, LETTERS);
    }
}

static void g5_2_timeouts_race_with_datagrams_and_none_is_lost(void **state) {
    (void)state;
    each_kernel(timed_post);
}

/* ---- G5.1: helper threads ----------------------------------------------- */

/* A gate that calls wait at, on helper threads; open for good. */
struct gate {
    pthread_mutex_t lock;
    pthread_cond_t opened;
    bool open;
    atomic_int waiting; /* calls that have come to it */
};

#define CLOSED_GATE \
    { .lock = PTHREAD_MUTEX_INITIALIZER, .opened = PTHREAD_COND_INITIALIZER }

static void open_gate(struct gate *gate) {
    pthread_mutex_lock(&gate->lock);
    gate->open = true;
    pthread_cond_broadcast(&gate->opened);
    pthread_mutex_unlock(&gate->lock);
}

/* A call for a helper. */
struct errand {
    struct mini_io io;
    struct gate *gate; /* NULL: it does not wait */
    long result;
    pthread_t thread; /* it ran on */
    int runs;
    struct mini_task *task;
};

static long go(void *argument) {
    struct errand *self = argument;

    self->runs++;
    self->thread = pthread_self();
    errno = ENOENT; /* of no concern */
    if (!self->gate) return self->result;
    self->gate->waiting++;
    pthread_mutex_lock(&self->gate->lock);
    while (!self->gate->open)
        pthread_cond_wait(&self->gate->opened, &self->gate->lock);
    pthread_mutex_unlock(&self->gate->lock);
    return self->result;
}

static struct mini_future *send_out(struct errand *errand) {
    return mini_offload(&errand->io, go, errand);
}

enum { ERRANDS = 40, HELPERS = 4 };
struct office {
    struct mini_future future;
    struct mini_sleep sleep;
    struct mini_yield yield;
    struct mini_timeout timeout;
    struct mini_join join;
    struct mini_select select;
    struct mini_remote remote[2];
    struct mini_future *futures[ERRANDS];
    struct mini_task *task;
    struct gate *gate;
    struct errand errand[ERRANDS];
    long i, wrong, blocks;
};

/* All helpers have a call that waits at the gate. */
#define UNTIL_WAITING(office, count) \
    while ((office)->gate->waiting < (count)) \
    MINI_AWAIT(mini_sleep(&(office)->sleep, MINI_MS))

static mini_poll results_script(
    struct mini_future *future, struct mini_context cx) {
    struct office *self = MINI_SELF(struct office);
    static const long results[] = {
        0, 7, -1, -EAGAIN, -EINTR, -ECANCELED, LONG_MAX, LONG_MIN};

    MINI_BEGIN;
    for (; self->i < (long)COUNT_OF(results); self->i++) {
        self->errand[self->i].result = results[self->i];
        STEP(send_out(&self->errand[self->i]));
        if (self->i == 0) self->blocks = mini_test_live_allocs();
        self->wrong += self->errand[self->i].runs != 1 ||
            pthread_equal(self->errand[self->i].thread, pthread_self());
    }
    /* one after the other needs no more than one, nor starts more */
    NOTE(mini_test_live_allocs() - self->blocks);
    for (; self->i-- > 1;)
        self->wrong += !pthread_equal(
            self->errand[self->i].thread, self->errand[0].thread);
    NOTE((long)mini_stats()->offloads);
    MINI_END(self->wrong);
}

static void errands_have_results(void) {
    static struct office self;

    self = (struct office){.future = MINI_FUTURE(results_script, "results")};
    check_equal(run(&self.future, virtual_clock()), 0);
    assert_notes(
        0, 7, -1, -EAGAIN, -EINTR, -ECANCELED, LONG_MAX, LONG_MIN, 0, 8);
}

static void g5_1_a_call_on_a_helper_thread_has_its_own_result(void **state) {
    (void)state;
    each_kernel(errands_have_results);
}

/* The shard goes on meanwhile; all calls are made once, on few threads. */
static mini_poll many_errands_script(
    struct mini_future *future, struct mini_context cx) {
    struct office *self = MINI_SELF(struct office);
    pthread_t threads[HELPERS];
    int count = 0;

    MINI_BEGIN;
    for (int i = 0; i < ERRANDS; i++) {
        self->errand[i] = (struct errand){.gate = self->gate, .result = i};
        self->futures[i] = send_out(&self->errand[i]);
    }
    self->task =
        background(mini_join_all(&self->select, self->futures, ERRANDS));
    UNTIL_WAITING(self, HELPERS);
    for (; self->i < 100; self->i++) MINI_AWAIT(mini_yield(&self->yield));
    NOTE(self->gate->waiting);
    open_gate(self->gate);
    STEP(mini_join(&self->join, self->task));
    for (int i = 0; i < ERRANDS; i++) {
        int known = 0;

        self->wrong += self->futures[i]->result != i;
        self->wrong += self->errand[i].runs != 1;
        while (known < count &&
            !pthread_equal(threads[known], self->errand[i].thread))
            known++;
        if (known == count && count < HELPERS)
            threads[count++] = self->errand[i].thread;
        else
            self->wrong += known == count;
    }
    NOTE(self->wrong);
    MINI_END(count);
}

static void many_errands(void) {
    static struct office self;
    struct gate gate = CLOSED_GATE;

    self = (struct office){
        .future = MINI_FUTURE(many_errands_script, "many"), .gate = &gate};
    check_equal(run(&self.future, real_clock(1)), HELPERS);
    assert_notes(HELPERS, 0, 0);
}

static void g5_1_more_calls_than_helpers_wait_in_line(void **state) {
    (void)state;
    each_kernel(many_errands);
}

/* It asks the kernel once for its next job, and not over and over. */
static mini_poll idle_helper_script(
    struct mini_future *future, struct mini_context cx) {
    struct office *self = MINI_SELF(struct office);

    MINI_BEGIN;
    for (; self->i < 2; self->i++) {
        self->errand[0] = (struct errand){.result = 7};
        STEP(send_out(&self->errand[0]));
        self->blocks = mini_test_calls;
        MINI_AWAIT(mini_sleep(&self->sleep, 20 * MINI_MS));
        NOTE(mini_test_calls - self->blocks < 100);
    }
    MINI_END(0);
}

static void g5_1_a_helper_without_a_job_sleeps(void **state) {
    static struct office self;

    (void)state;
    self = (struct office){.future = MINI_FUTURE(idle_helper_script, "idle")};
    check_equal(run(&self.future, real_clock(1)), 0);
    assert_notes(7, 1, 7, 1);
}

static long meet_at(void *argument) {
    struct errand *self = argument;

    self->runs++;
    self->thread = pthread_self();
    self->gate->waiting++;
    while (self->gate->waiting < 2) sched_yield();
    return self->result;
}

struct branch {
    struct mini_future future;
    struct mini_remote remote[2];
    struct mini_future *both[2];
    struct mini_select select;
    struct errand errand[2];
};

static mini_poll branch(struct mini_future *future, struct mini_context cx) {
    struct branch *self = MINI_SELF(struct branch);

    MINI_BEGIN;
    for (unsigned i = 0; i < 2; i++)
        self->both[i] = mini_spawn_on(&self->remote[i], i,
            mini_offload(&self->errand[i].io, meet_at, &self->errand[i]));
    /* each waits until the other's is there, too */
    STEP(mini_join_all(&self->select, self->both, 2));
    NOTE(self->both[0]->result);
    NOTE(self->both[1]->result);
    NOTE(pthread_equal(self->errand[0].thread, self->errand[1].thread) != 0);
    MINI_END(0);
}

static void two_branches(void) {
    struct gate gate = CLOSED_GATE;
    struct branch self = {.future = MINI_FUTURE(branch, "branch"),
        .errand = {
            {.gate = &gate, .result = 11}, {.gate = &gate, .result = -22}}};

    check_equal(run(&self.future, real_clock(2)), 0);
    assert_notes(-22, 11, -22, 0);
}

static void g5_1_each_shard_has_helpers_of_its_own(void **state) {
    (void)state;
    each_kernel(two_branches);
}

/* ---- G5.2: helper threads ----------------------------------------------- */

static mini_poll cancelled_errands_script(
    struct mini_future *future, struct mini_context cx) {
    struct office *self = MINI_SELF(struct office);

    MINI_BEGIN;
    for (int i = 0; i < HELPERS + 4; i++) {
        self->errand[i] = (struct errand){.gate = self->gate, .result = 50 + i};
        self->errand[i].task = background(send_out(&self->errand[i]));
    }
    mini_cancel(self->errand[HELPERS + 3].task); /* before it starts */
    UNTIL_WAITING(self, HELPERS);
    mini_cancel(self->errand[HELPERS].task); /* the first in line */
    mini_cancel(self->errand[HELPERS + 2].task); /* the last */
    STEP(mini_join(&self->join, self->errand[HELPERS].task));
    STEP(mini_join(&self->join, self->errand[HELPERS + 2].task));
    STEP(mini_join(&self->join, self->errand[HELPERS + 3].task));
    mini_cancel(self->errand[1].task); /* one that runs */
    for (; self->i < 20; self->i++) MINI_AWAIT(mini_yield(&self->yield));
    NOTE(ended(&self->errand[1].io.future));
    open_gate(self->gate);
    STEP(mini_join(&self->join, self->errand[1].task));
    for (self->i = 0; self->i < HELPERS + 4; self->i++) {
        if (self->i == 1 || self->i == HELPERS || self->i > HELPERS + 1)
            continue;
        STEP(mini_join(&self->join, self->errand[self->i].task));
    }
    for (self->i = 0; self->i < HELPERS + 4; self->i++)
        NOTE(self->errand[self->i].runs);
    MINI_END(0);
}

static void cancelled_errands(void) {
    static struct office self;
    struct gate gate = CLOSED_GATE;

    self = (struct office){
        .future = MINI_FUTURE(cancelled_errands_script, "cancelled"),
        .gate = &gate};
    check_equal(run(&self.future, real_clock(1)), 0);
    assert_notes(-ECANCELED, -ECANCELED, -ECANCELED, 0, 51, 50, 52, 53, 55, 1,
        1, 1, 1, 0, 1, 0, 0);
}

static void g5_2_a_call_in_line_can_be_cancelled_one_that_runs_not(
    void **state) {
    (void)state;
    each_kernel(cancelled_errands);
}

/* Opens the gate when it is cancelled, or after a time. */
struct porter {
    struct mini_future future;
    struct mini_sleep sleep;
    struct gate *gate;
    uint64_t ns;
};

static mini_poll porter(struct mini_future *future, struct mini_context cx) {
    struct porter *self = MINI_SELF(struct porter);

    MINI_BEGIN;
    MINI_AWAIT(mini_sleep(&self->sleep, self->ns));
    open_gate(self->gate);
    MINI_END(0);
}

static mini_poll prompt(struct mini_future *future, struct mini_context cx) {
    (void)cx;
    return mini_ready(future, 0);
}

static mini_poll hasty_script(
    struct mini_future *future, struct mini_context cx) {
    struct office *self = MINI_SELF(struct office);
    static struct mini_future first;

    MINI_BEGIN;
    /* no helper is there yet, but it gets one: it runs when it has lost */
    first = MINI_FUTURE(prompt, "prompt");
    self->futures[0] = send_out(&self->errand[0]);
    self->futures[1] = &first;
    STEP(mini_select(&self->select, self->futures, 2));
    NOTE(self->errand[0].runs);
    self->errand[0] = (struct errand){.gate = self->gate, .result = 5};
    mini_detach(MINI_SPAWN(
        struct porter, porter, .gate = self->gate, .ns = 20 * MINI_MS));
    /* it runs, so its result is awaited, long after the time is up */
    STEP(mini_timeout(&self->timeout, send_out(&self->errand[0]), MINI_MS));
    NOTE(self->gate->open);
    /* select: all of them run and are awaited */
    for (int i = 0; i < 3; i++) {
        self->errand[i] = (struct errand){.result = 10 + i};
        self->futures[i] = send_out(&self->errand[i]);
    }
    MINI_AWAIT(mini_select(&self->select, self->futures, 3));
    NOTE(MINI_RESULT >= 0 && MINI_RESULT < 3);
    for (int i = 0; i < 3; i++) {
        self->wrong += self->errand[i].runs != 1;
        self->wrong += self->futures[i]->result != 10 + i;
    }
    MINI_END(self->wrong);
}

static void hasty(void) {
    static struct office self;
    struct gate gate = CLOSED_GATE;

    self = (struct office){
        .future = MINI_FUTURE(hasty_script, "hasty"), .gate = &gate};
    check_equal(run(&self.future, real_clock(1)), 0);
    assert_notes(1, 1, 5, 1, 1);
}

static void g5_2_a_call_that_runs_outlives_its_timeout(void **state) {
    (void)state;
    each_kernel(hasty);
}

/* More than there are helpers: one is the first, others are still in line or run
 * at the gate, which opens when the losers have been cancelled. */
static mini_poll choice_script(
    struct mini_future *future, struct mini_context cx) {
    struct office *self = MINI_SELF(struct office);

    MINI_BEGIN;
    for (int i = 0; i < HELPERS + 6; i++) {
        self->errand[i] = (struct errand){
            .gate = i == 1 ? NULL : self->gate, .result = 10 + i};
        self->futures[i] = send_out(&self->errand[i]);
    }
    self->task =
        background(mini_select(&self->select, self->futures, HELPERS + 6));
    UNTIL_WAITING(self, HELPERS); /* the fourth takes the winner's place */
    for (; self->i < 20; self->i++) MINI_AWAIT(mini_yield(&self->yield));
    open_gate(self->gate);
    STEP(mini_join(&self->join, self->task));
    for (int i = 0; i < HELPERS + 6; i++) {
        bool ran = i <= HELPERS;

        self->wrong += self->errand[i].runs != ran;
        self->wrong += self->futures[i]->result != (ran ? 10 + i : -ECANCELED);
    }
    MINI_END(self->wrong);
}

static void choice(void) {
    static struct office self;
    struct gate gate = CLOSED_GATE;

    self = (struct office){
        .future = MINI_FUTURE(choice_script, "choice"), .gate = &gate};
    check_equal(run(&self.future, real_clock(1)), 0);
    assert_notes(1);
}

static void g5_2_losers_of_a_select_on_helper_threads_are_awaited(
    void **state) {
    (void)state;
    each_kernel(choice);
}

static mini_poll abandoned_script(
    struct mini_future *future, struct mini_context cx) {
    struct office *self = MINI_SELF(struct office);

    MINI_BEGIN;
    for (int i = 0; i < HELPERS + 2; i++) {
        self->errand[i] = (struct errand){.gate = self->gate, .result = 1};
        mini_detach(background(send_out(&self->errand[i])));
    }
    mini_detach(MINI_SPAWN(
        struct porter, porter, .gate = self->gate, .ns = 3600 * MINI_SECOND));
    UNTIL_WAITING(self, HELPERS);
    MINI_END(3);
}

static void abandoned(void) {
    static struct office self;
    struct gate gate = CLOSED_GATE;

    self = (struct office){
        .future = MINI_FUTURE(abandoned_script, "abandoned"), .gate = &gate};
    check_equal(run(&self.future, real_clock(1)), 3);
    for (int i = 0; i < HELPERS + 2; i++) {
        check_equal(self.errand[i].runs, i < HELPERS);
        check_equal(
            self.errand[i].io.future.result, i < HELPERS ? 1 : -ECANCELED);
    }
}

static void g5_2_the_end_of_a_run_awaits_calls_that_run(void **state) {
    (void)state;
    each_kernel(abandoned);
}

/* Cancels at every distance. */
static mini_poll errand_race_script(
    struct mini_future *future, struct mini_context cx) {
    struct office *self = MINI_SELF(struct office);
    static long round;

    MINI_BEGIN;
    for (round = 0; round < 300; round++) {
        for (int i = 0; i < 10; i++) {
            self->errand[i] = (struct errand){.result = 10 + i};
            self->errand[i].task = background(send_out(&self->errand[i]));
        }
        for (self->i = round % 4; self->i > 0; self->i--)
            MINI_AWAIT(mini_sleep(&self->sleep, 1));
        if (round / 4 % 2) MINI_AWAIT(mini_yield(&self->yield));
        for (int i = 0; i < 10; i++) mini_cancel(self->errand[i].task);
        for (self->i = 0; self->i < 10; self->i++) {
            MINI_AWAIT(mini_join(&self->join, self->errand[self->i].task));
            self->wrong += self->errand[self->i].runs == 1
                ? MINI_RESULT != 10 + self->i
                : MINI_RESULT != -ECANCELED;
        }
    }
    MINI_END(self->wrong);
}

static void errand_race(void) {
    static struct office self;

    self = (struct office){.future = MINI_FUTURE(errand_race_script, "race")};
    check_equal(run(&self.future, real_clock(1)), 0);
}

static void g5_2_cancel_races_with_calls_and_no_result_is_lost(void **state) {
    (void)state;
    each_kernel(errand_race);
}

/* ---- G1.11: helper threads and files ------------------------------------ */

/* A helper thread needs no memory of the runtime's. */
static mini_poll poor_script(
    struct mini_future *future, struct mini_context cx) {
    struct office *self = MINI_SELF(struct office);
    static struct mini_io io;
    static long fd;

    MINI_BEGIN;
    mini_test_fail_alloc_after(0);
    STEP(send_out(&self->errand[0]));
    MINI_AWAIT(mini_openat(&io, AT_FDCWD, "/dev/null", O_RDWR, 0));
    fd = MINI_RESULT;
    STEP(mini_write_all(&io, (int)fd, "text", 4, -1));
    NOTE(mini_test_alloc_failed());
    mini_test_fail_alloc_after(-1);
    close((int)fd);
    MINI_END(self->errand[0].runs);
}

static void poor(void) {
    static struct office self;

    self = (struct office){
        .future = MINI_FUTURE(poor_script, "poor"), .errand = {{.result = 8}}};
    check_equal(run(&self.future, virtual_clock()), 1);
    check_equal(notes, 3);
    check_equal(noted[0], 8);
    check_equal(noted[1], 4);
    check_equal(noted[2], false); /* nothing was asked for */
}

static void g1_11_helper_threads_need_no_memory(void **state) {
    (void)state;
    each_kernel(poor);
}

/* ---- helpers that cannot start, or have nothing to do -------------------- */

#if defined(__GLIBC__) && defined(_GNU_SOURCE)

/* Whether a thread can be made from now on: none has so large a stack. */
static void allow_threads(bool allow) {
    static size_t usual;
    pthread_attr_t attributes;

    must(pthread_getattr_default_np(&attributes) == 0, "default attributes");
    if (usual == 0) pthread_attr_getstacksize(&attributes, &usual);
    pthread_attr_setstacksize(&attributes, allow ? usual : SIZE_MAX / 4);
    must(pthread_setattr_default_np(&attributes) == 0, "a size of stacks");
    pthread_attr_destroy(&attributes);
}

static mini_poll helpless_script(
    struct mini_future *future, struct mini_context cx) {
    struct office *self = MINI_SELF(struct office);
    struct rlimit files;

    MINI_BEGIN;
    allow_files(0, &files); /* too few for a doorbell */
    MINI_AWAIT(send_out(&self->errand[0]));
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = (rlim_t)self->wrong;
    setrlimit(RLIMIT_NOFILE, &files);
    NOTE(MINI_RESULT);
    allow_threads(false);
    STEP(send_out(&self->errand[0]));
    NOTE(self->errand[0].runs);
    NOTE((long)mini_stats()->offloads);
    allow_threads(true);
    STEP(send_out(&self->errand[0]));
    /* with one, the next call waits for it rather than for a second */
    allow_threads(false);
    for (int i = 1; i < 3; i++) {
        self->errand[i] = (struct errand){.gate = self->gate, .result = 8 + i};
        self->errand[i].task = background(send_out(&self->errand[i]));
    }
    UNTIL_WAITING(self, 1);
    for (; self->i < 20; self->i++) MINI_AWAIT(mini_yield(&self->yield));
    NOTE(self->errand[2].runs);
    open_gate(self->gate);
    STEP(mini_join(&self->join, self->errand[1].task));
    STEP(mini_join(&self->join, self->errand[2].task));
    allow_threads(true);
    MINI_END(pthread_equal(self->errand[1].thread, self->errand[2].thread));
}

static void g1_11_helpers_that_cannot_start_are_done_without(void **state) {
    static struct office self;
    struct gate gate = CLOSED_GATE;
    struct rlimit files;

    (void)state;
    getrlimit(RLIMIT_NOFILE, &files);
    self = (struct office){.future = MINI_FUTURE(helpless_script, "helpless"),
        .gate = &gate,
        .errand = {{.result = 8}},
        .wrong = (long)files.rlim_cur};
    check(run(&self.future, real_clock(1)) != 0);
    assert_notes(-EMFILE, -EAGAIN, 0, 0, 8, 0, 9, 10);
}

#else

static void g1_11_helpers_that_cannot_start_are_done_without(void **state) {
    (void)state;
    skip();
}

#endif

static long microseconds_of(pthread_t thread) {
    struct timespec used;
    clockid_t clock;

    must(pthread_getcpuclockid(thread, &clock) == 0, "a thread's clock");
    must(clock_gettime(clock, &used) == 0, "its time");
    return used.tv_sec * 1000000 + used.tv_nsec / 1000;
}

static mini_poll bored_script(
    struct mini_future *future, struct mini_context cx) {
    struct office *self = MINI_SELF(struct office);

    MINI_BEGIN;
    for (; self->i < 3; self->i++) { /* rung, too */
        MINI_AWAIT(send_out(&self->errand[0]));
        MINI_AWAIT(mini_sleep(&self->sleep, 5 * MINI_MS));
    }
    self->wrong = microseconds_of(self->errand[0].thread);
    MINI_AWAIT(mini_sleep(&self->sleep, 100 * MINI_MS));
    MINI_END(microseconds_of(self->errand[0].thread) - self->wrong);
}

/* Of its own time, so it does not matter what else the machine does. */
static void g2_8_a_helper_without_work_sleeps(void **state) {
    static struct office self;

    (void)state;
    self = (struct office){.future = MINI_FUTURE(bored_script, "bored")};
    check(run(&self.future, real_clock(1)) < 4000);
}

/* ---- streams of bytes --------------------------------------------------- */

static struct mini_options few_buffers(unsigned buffers, bool virtual_clock) {
    struct mini_options options = mini_defaults;

    options.virtual_clock = virtual_clock;
    options.buffers = buffers;
    return options;
}

/* One that sends SIZE bytes of the pattern from a thread, in parts of random
 * sizes, and then ends or resets the connection. */
struct source {
    int fd;
    size_t size;
    uint32_t seed;
    bool resets;
};

static void *source(void *argument) {
    struct source *self = argument;
    char part[9000];
    size_t sent = 0;
    uint32_t random = self->seed;

    while (sent < self->size) {
        random = random * 1664525u + 1013904223u;
        size_t size = 1 + (random >> 8) % (random & 64 ? sizeof part : 50);

        if (size > self->size - sent) size = self->size - sent;
        for (size_t i = 0; i < size; i++) part[i] = pattern(sent + i);
        for (size_t at = 0; at < size;) {
            ssize_t done = write(self->fd, part + at, size - at);

            must(done > 0 || errno == EINTR, "write");
            if (done > 0) at += (size_t)done;
        }
        sent += size;
        if (random % 7 == 0) sched_yield();
    }
    shutdown(self->fd, SHUT_WR);
    return NULL;
}

/* A stream and what came over it. */
struct sink {
    struct mini_future future;
    struct mini_recv_stream stream;
    struct mini_sleep sleep;
    struct mini_yield yield;
    struct mini_join join;
    struct mini_timeout timeout;
    struct mini_task *task;
    struct mini_io io;
    struct mini_buffer *kept[64];
    int fd[2];
    long i, j;
    size_t got, wrong, held;
    bool flag;
};

/* Counts what LEASE holds and whether it goes on where the last has ended. */
static void take_lease(struct sink *self, struct mini_buffer *lease) {
    self->wrong += lease->length == 0 || lease->length > MINI_BUFFER_BYTES;
    for (uint32_t i = 0; i < lease->length; i++)
        self->wrong += lease->data[i] != pattern(self->got++);
}

static mini_poll sink_script(
    struct mini_future *future, struct mini_context cx) {
    struct sink *self = MINI_SELF(struct sink);

    MINI_BEGIN;
    mini_recv_stream(&self->stream, self->fd[0]);
    for (;;) {
        MINI_AWAIT(mini_recv_next(&self->stream));
        if (MINI_RESULT <= 0) break;
        self->wrong += MINI_RESULT != (long)self->stream.lease->length;
        take_lease(self, self->stream.lease);
        /* in any order: some are kept for a while */
        self->kept[self->held++] = self->stream.lease;
        if (self->held < 5) continue;
        mini_lease_return(self->kept[self->got % self->held]);
        self->kept[self->got % self->held] = self->kept[self->held - 1];
        self->held--;
    }
    NOTE(MINI_RESULT);
    STEP(mini_recv_next(&self->stream)); /* and nothing more comes */
    while (self->held > 0) mini_lease_return(self->kept[--self->held]);
    STEP(mini_recv_end(&self->stream));
    NOTE((long)self->wrong);
    MINI_END((long)self->got);
}

static void stream_of(enum kind kind, bool nonblocking, size_t size) {
    struct sink self = {.future = MINI_FUTURE(sink_script, "sink")};
    pthread_t thread;
    int fd[2];

    open_pair(kind, nonblocking, fd);
    set_nonblocking(fd[1], false);
    self.fd[0] = fd[0];
    struct source other = {.fd = fd[1], .size = size, .seed = (uint32_t)size};

    check_equal(pthread_create(&thread, NULL, source, &other), 0);
    long got = run(&self.future, few_buffers(256, false));

    pthread_join(thread, NULL);
    close_pair(fd);
    assert_notes(0, 0, 0, 0);
    check_equal(got, size);
}

static void streams_in_order(void) {
    enum { LONG = MINI_TEST_TSAN ? 1 << 18 : 1 << 20 }; /* it takes longer */
    static const size_t sizes[] = {0, 1, MINI_BUFFER_BYTES - 1,
        MINI_BUFFER_BYTES, MINI_BUFFER_BYTES + 1, 100000, LONG};

    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        stream_of(UNIX_SOCKETS, i % 2, sizes[i]);
        stream_of(TCP_SOCKETS, i % 2, sizes[i]);
    }
    stream_of(UNIX_SOCKETS, true, LONG);
    stream_of(TCP_SOCKETS, false, 50000);
}

static void g5_1_a_stream_gives_bytes_in_order_to_the_end(void **state) {
    (void)state;
    each_kernel(streams_in_order);
}

/* Whether the peer's kernel has all that was sent. Where nobody says so, it
 * does: loopback is fast, most of the time. */
static bool is_acknowledged(int fd) {
    int left = 0;

#ifdef __linux__
    must(ioctl(fd, TIOCOUTQ, &left) == 0, "TIOCOUTQ");
#endif
    (void)fd;
    return left == 0;
}

/* What has come before a reset is given first: in one buffer or, with FLAG, in
 * many. */
static mini_poll reset_stream_script(
    struct mini_future *future, struct mini_context cx) {
    struct sink *self = MINI_SELF(struct sink);

    MINI_BEGIN;
    mini_recv_stream(&self->stream, self->fd[0]);
    raw_send(self->fd[1], &(char){pattern(0)}, 1);
    STEP(mini_recv_next(&self->stream));
    take_lease(self, self->stream.lease);
    mini_lease_return(self->stream.lease);
    for (self->i = 1; self->i < 9; self->i++) {
        raw_send(self->fd[1], &(char){pattern((size_t)self->i)}, 1);
        if (self->flag) SETTLE(self);
    }
    while (!is_acknowledged(self->fd[1])) SETTLE(self); /* a reset drops it */
    reset(self->fd[1]);
    SETTLE(self);
    while (self->got < 9) {
        MINI_AWAIT(mini_recv_next(&self->stream));
        if (MINI_RESULT <= 0) break;
        take_lease(self, self->stream.lease);
        mini_lease_return(self->stream.lease);
    }
    NOTE((long)self->got);
    NOTE((long)self->wrong);
    STEP(mini_recv_next(&self->stream));
    STEP(mini_recv_next(&self->stream));
    STEP(mini_recv_end(&self->stream));
    self->fd[1] = dup(self->fd[0]); /* for run's count */
    MINI_END(0);
}

static void resets_of_streams(void) {
    for (int i = 0; i < 4; i++) {
        struct sink self = {
            .future = MINI_FUTURE(reset_stream_script, "reset"), .flag = i / 2};

        open_pair(TCP_SOCKETS, i % 2, self.fd);
        check_equal(run(&self.future, few_buffers(64, false)), 0);
        close_pair(self.fd);
        assert_notes(1, 9, 0, -ECONNRESET, -ECONNRESET, 0);
    }
}

static void g5_1_a_stream_tells_a_reset_after_the_bytes(void **state) {
    (void)state;
    each_kernel(resets_of_streams);
}

/* A multishot receive that hears nothing any more: once it has got the first
 * bytes, it is made to wait for another descriptor. */
static mini_poll missed_end_script(
    struct mini_future *future, struct mini_context cx) {
    struct sink *self = MINI_SELF(struct sink);

    MINI_BEGIN;
    mini_recv_stream(&self->stream, self->fd[0]);
    raw_send(self->fd[1], &(char){pattern(0)}, 1);
    STEP(mini_recv_next(&self->stream));
    take_lease(self, self->stream.lease);
    mini_lease_return(self->stream.lease);
    self->task = background(mini_recv_next(&self->stream));
    SETTLE(self);
    raw_send(self->fd[1], &(char){pattern(1)}, 1);
    if (self->flag) { /* a reset, not an end */
        while (!is_acknowledged(self->fd[1])) SETTLE(self);
        reset(self->fd[1]);
        self->fd[1] = dup(self->fd[0]); /* for run's count */
    } else {
        shutdown(self->fd[1], SHUT_WR);
    }
    STEP(mini_timeout(
        &self->timeout, mini_join(&self->join, self->task), 30 * MINI_SECOND));
    if (MINI_RESULT > 0) {
        take_lease(self, self->stream.lease);
        mini_lease_return(self->stream.lease);
    }
    NOTE((long)self->wrong);
    STEP(mini_recv_next(&self->stream));
    STEP(mini_recv_end(&self->stream));
    NOTE((long)mini_self->outside); /* nothing is left under way */
    MINI_END(0);
}

static void missed_ends(void) {
    int silent[2];

    must(socketpair(AF_UNIX, SOCK_STREAM, 0, silent) == 0, "socketpair");
    for (int i = 0; i < 3; i++) {
        struct sink self = {
            .future = MINI_FUTURE(missed_end_script, "deaf"), .flag = i == 2};

        open_pair(i == 0 ? UNIX_SOCKETS : TCP_SOCKETS, false, self.fd);
        mini_test_deaf_fd = silent[0];
        check_equal(run(&self.future, real_clock(1)), 0);
        mini_test_deaf_fd = -1;
        close_pair(self.fd);
        assert_notes(1, 1, 0, i == 2 ? -ECONNRESET : 0, 0, 0);
    }
    close_pair(silent);
}

static void g5_1_a_multishot_receive_that_misses_the_end(void **state) {
    (void)state;
    each_kernel(missed_ends);
}

/* The memory may be that of a connection before it. */
static void g5_4_a_new_stream_has_no_lease(void **state) {
    struct mini_recv_stream stream;

    (void)state;
    memset(&stream, 0xbe, sizeof stream);
    mini_recv_stream(&stream, 0);
    assert_null(stream.lease);
}

static mini_poll wrong_stream_script(
    struct mini_future *future, struct mini_context cx) {
    struct sink *self = MINI_SELF(struct sink);

    MINI_BEGIN;
    for (; self->i < 4; self->i++) {
        mini_recv_stream(&self->stream,
            self->i == 0       ? -1
                : self->i == 1 ? 9999
                               : self->fd[self->i - 2]);
        STEP(mini_timeout(
            &self->timeout, mini_recv_next(&self->stream), MINI_SECOND));
        STEP(mini_timeout(
            &self->timeout, mini_recv_next(&self->stream), MINI_SECOND));
        STEP(mini_recv_end(&self->stream));
    }
    MINI_END(0);
}

static void wrong_streams(void) {
    struct sink self = {.future = MINI_FUTURE(wrong_stream_script, "wrong")};

    open_pair(PIPE, false, self.fd);
    close(self.fd[1]);
    self.fd[1] = socket(AF_INET, SOCK_STREAM, 0);
    check_equal(run(&self.future, real_clock(1)), 0);
    close_pair(self.fd);
    assert_notes(-EBADF, -EBADF, 0, -EBADF, -EBADF, 0, -ENOTSOCK, -ENOTSOCK, 0,
        -ENOTCONN, -ENOTCONN, 0);
}

static void g5_1_a_stream_of_what_is_no_connection(void **state) {
    (void)state;
    each_kernel(wrong_streams);
}

/* One operation brings them all, where the kernel can. It goes on, then, after
 * what it has brought. */
static mini_poll thrifty_sink_script(
    struct mini_future *future, struct mini_context cx) {
    struct sink *self = MINI_SELF(struct sink);

    MINI_BEGIN;
    mini_recv_stream(&self->stream, self->fd[0]);
    for (; self->i < 100; self->i++) { /* with no wait, so no doorbell */
        raw_send(self->fd[1], &(char){pattern((size_t)self->i)}, 1);
        MINI_AWAIT(mini_recv_next(&self->stream));
        self->j += self->stream.io.active;
        take_lease(self, self->stream.lease);
        mini_lease_return(self->stream.lease);
    }
    /* the first one, one that goes on, and not many more; or each its own */
    if (mini_self->io.features & MINI_BUFFER_RING)
        NOTE(self->j > 90 && mini_stats()->operations < 50);
    else
        NOTE(self->j == 0 && mini_stats()->operations >= 100);
    NOTE((long)mini_stats()->leases);
    NOTE((long)mini_stats()->starved); /* there was a buffer each time */
    STEP(mini_recv_end(&self->stream));
    MINI_END((long)self->wrong);
}

static void thrifty_sink(void) {
    for (int tcp = 0; tcp < 2; tcp++) {
        struct sink self = {
            .future = MINI_FUTURE(thrifty_sink_script, "thrifty")};
        enum kind kind = tcp ? TCP_SOCKETS : UNIX_SOCKETS;

        open_pair(kind, false, self.fd);
        check_equal(run(&self.future, clock_for(kind)), 0);
        close_pair(self.fd);
        assert_notes(1, 100, 0, 0);
    }
}

static void g5_10_one_recv_brings_many_parts(void **state) {
    (void)state;
    each_kernel(thrifty_sink);
}

/* ---- G5.4: leased buffers ----------------------------------------------- */

/* All buffers of the shard are free: all can be leased at the same time, and then
 * no more. A socket pair feeds them one byte at a time. */
struct census {
    struct mini_future future;
    struct mini_recv_stream stream;
    struct mini_timeout timeout;
    struct mini_buffer *all[MINI_BUFFERS + 1];
    bool seen[MINI_BUFFERS];
    int fd[2];
    unsigned count, leased;
};

static mini_poll census(struct mini_future *future, struct mini_context cx) {
    struct census *self = MINI_SELF(struct census);

    MINI_BEGIN;
    must(socketpair(AF_UNIX, SOCK_STREAM, 0, self->fd) == 0, "socketpair");
    mini_recv_stream(&self->stream, self->fd[0]);
    for (; self->leased <= self->count; self->leased++) {
        raw_send(self->fd[1], "!", 1);
        MINI_AWAIT(mini_timeout(&self->timeout, mini_recv_next(&self->stream),
            self->leased < self->count ? 10 * MINI_SECOND : MINI_MS));
        if (MINI_RESULT <= 0) break;
        self->all[self->leased] = self->stream.lease;
        ptrdiff_t index = self->stream.lease - mini_self->io.buffers->all;
        if (index < 0 || index >= (ptrdiff_t)COUNT_OF(self->seen) ||
            self->seen[index])
            MINI_RETURN(-EEXIST); /* one that was given out twice */
        self->seen[index] = true;
    }
    MINI_AWAIT(mini_recv_end(&self->stream));
    for (unsigned i = 0; i < self->leased; i++) mini_lease_return(self->all[i]);
    close_pair(self->fd);
    MINI_END((long)self->leased - (long)self->count);
}

/* 0 if all COUNT are free. */
#define CENSUS(slot, buffers) \
    MINI_CALL(struct census, slot, census, .count = (buffers))

static struct census the_census;

/* Senders whose sockets are full all the while, and few buffers. */
enum { SENDERS = 20, EACH_SENDS = 16 * MINI_BUFFER_BYTES };
struct eater {
    struct mini_future future;
    struct mini_recv_stream stream;
    struct mini_sleep sleep;
    int fd, who;
    long i;
    size_t got;
};

struct feast {
    struct mini_future future;
    struct mini_join join;
    struct mini_task *task[SENDERS];
    struct mini_sleep sleep;
    int fd[SENDERS][2];
    size_t fed[SENDERS], got[SENDERS], sent[SENDERS];
    long i, wrong, finished;
    size_t least; /* what anybody had when the first had all */
    unsigned buffers;
};

static struct feast the_feast;

/* As much of its bytes as fits into the socket now. */
static void feed(int who) {
    char part[4096];

    for (;;) {
        size_t left = EACH_SENDS - the_feast.sent[who];
        size_t size = left < sizeof part ? left : sizeof part;

        if (size == 0) return;
        for (size_t i = 0; i < size; i++)
            part[i] = pattern(the_feast.sent[who] + i);
        ssize_t done = write(the_feast.fd[who][1], part, size);

        if (done <= 0) return;
        the_feast.sent[who] += (size_t)done;
        if (the_feast.sent[who] == EACH_SENDS)
            shutdown(the_feast.fd[who][1], SHUT_WR);
    }
}

static void has_finished(void) {
    if (the_feast.finished++ > 0) return;
    the_feast.least = EACH_SENDS;
    for (int i = 0; i < SENDERS; i++)
        if (the_feast.got[i] < the_feast.least)
            the_feast.least = the_feast.got[i];
}

static mini_poll eater(struct mini_future *future, struct mini_context cx) {
    struct eater *self = MINI_SELF(struct eater);

    MINI_BEGIN;
    mini_recv_stream(&self->stream, self->fd);
    for (;;) {
        MINI_AWAIT(mini_recv_next(&self->stream));
        if (MINI_RESULT <= 0) break;
        for (uint32_t i = 0; i < self->stream.lease->length; i++)
            the_feast.wrong +=
                self->stream.lease->data[i] != pattern(self->got++);
        the_feast.got[self->who] = self->got;
        for (self->i = 0; self->i < 2; self->i++)
            A_TURN(self); /* keeps it while others wait */
        mini_lease_return(self->stream.lease);
    }
    has_finished();
    the_feast.wrong += MINI_RESULT != 0;
    MINI_AWAIT(mini_recv_end(&self->stream));
    MINI_END((long)self->got);
}

static mini_poll feast_script(
    struct mini_future *future, struct mini_context cx) {
    struct feast *self = MINI_SELF(struct feast);

    MINI_BEGIN;
    for (int i = 0; i < SENDERS; i++) {
        feed(i);
        struct pollfd fed = {.fd = self->fd[i][0], .events = POLLIN};
        must(poll(&fed, 1, 10000) == 1, "nothing arrives");
        self->task[i] =
            MINI_SPAWN(struct eater, eater, .fd = self->fd[i][0], .who = i);
    }
    while (self->finished < SENDERS) {
        MINI_AWAIT(mini_sleep(&self->sleep, MINI_MS));
        for (int i = 0; i < SENDERS; i++) feed(i);
    }
    for (; self->i < SENDERS; self->i++) {
        MINI_AWAIT(mini_join(&self->join, self->task[self->i]));
        if (MINI_RESULT != EACH_SENDS) NOTE(MINI_RESULT);
    }
    NOTE(self->wrong);
    NOTE(mini_stats()->starved > 0);
    NOTE(mini_stats()->leases >= SENDERS * 16);
    STEP(CENSUS(&the_census, self->buffers));
    MINI_END((long)self->least);
}

static void feast_of(enum kind kind, unsigned buffers) {
    memset(&the_feast, 0, sizeof the_feast);
    the_feast.future = MINI_FUTURE(feast_script, "feast");
    the_feast.buffers = buffers;
    for (int i = 0; i < SENDERS; i++) {
        open_pair(kind, i % 2, the_feast.fd[i]);
        set_nonblocking(the_feast.fd[i][1], true);
    }
    snprintf(
        variant, sizeof variant, "%s, %u buffers", kind_names[kind], buffers);
    long least = run(&the_feast.future, few_buffers(buffers, false));

    for (int i = 0; i < SENDERS; i++) close_pair(the_feast.fd[i]);
    assert_notes(0, 1, 1, 0);
    /* when the first had all it wanted, nobody had nothing */
    check(least > 0);
}

static void feasts(void) {
    for (unsigned buffers = 1; buffers <= 4; buffers *= 2)
        feast_of(UNIX_SOCKETS, buffers);
    feast_of(TCP_SOCKETS, 2);
}

static void g5_4_twenty_senders_share_few_buffers_and_none_starves(
    void **state) {
    (void)state;
    each_kernel(feasts);
}

/* All that is there would fill sixteen, but it is given one buffer at a time, for
 * the others are for other streams. */
static mini_poll flooded_script(
    struct mini_future *future, struct mini_context cx) {
    static const char full[MINI_BUFFER_BYTES];
    struct sink *self = MINI_SELF(struct sink);

    MINI_BEGIN;
    mini_recv_stream(&self->stream, self->fd[0]);
    for (; self->i < 16; self->i++) raw_send(self->fd[1], full, sizeof full);
    for (self->i = 1; self->i <= 8; self->i++) {
        MINI_AWAIT(mini_recv_next(&self->stream));
        self->wrong += MINI_RESULT != MINI_BUFFER_BYTES;
        mini_lease_return(self->stream.lease);
        SETTLE(self);
        self->wrong += mini_stats()->leases != (uint64_t)self->i;
    }
    MINI_AWAIT(mini_recv_end(&self->stream));
    MINI_END((long)self->wrong);
}

/* What a multishot receive brings is counted as it comes: the first buffer that
 * is full ends it. */
static mini_poll swelling_script(
    struct mini_future *future, struct mini_context cx) {
    static const char full[MINI_BUFFER_BYTES];
    struct sink *self = MINI_SELF(struct sink);

    MINI_BEGIN;
    mini_recv_stream(&self->stream, self->fd[0]);
    raw_send(self->fd[1], "!", 1);
    STEP(mini_recv_next(&self->stream));
    mini_lease_return(self->stream.lease);
    self->task = background(mini_recv_next(&self->stream));
    for (; self->i < 3; self->i++) {
        SETTLE(self);
        raw_send(self->fd[1], full, sizeof full);
    }
    SETTLE(self);
    STEP(mini_join(&self->join, self->task));
    mini_lease_return(self->stream.lease);
    NOTE((long)mini_stats()->leases);
    STEP(mini_recv_next(&self->stream)); /* nor does it go on then */
    mini_lease_return(self->stream.lease);
    SETTLE(self);
    NOTE((long)mini_stats()->leases);
    STEP(mini_recv_end(&self->stream));
    MINI_END(0);
}

static void floods(void) {
    struct sink self = {.future = MINI_FUTURE(flooded_script, "flooded")};

    open_pair(UNIX_SOCKETS, false, self.fd);
    check_equal(run(&self.future, virtual_clock()), 0);
    close_pair(self.fd);
    self = (struct sink){.future = MINI_FUTURE(swelling_script, "swelling")};
    open_pair(UNIX_SOCKETS, false, self.fd);
    check_equal(run(&self.future, virtual_clock()), 0);
    close_pair(self.fd);
    assert_notes(1, MINI_BUFFER_BYTES, 2, MINI_BUFFER_BYTES, 3, 0);
}

static void g5_4_a_flood_is_given_one_buffer_at_a_time(void **state) {
    (void)state;
    each_kernel(floods);
}

/* Leases that are held while others wait: they wait as long as that, and all go
 * on when one comes back, also those that are first in line but have nothing to
 * receive. */
struct line {
    struct mini_future future;
    struct mini_join join;
    struct mini_sleep sleep;
    struct mini_recv_stream stream[6];
    struct mini_buffer *lease[2];
    struct mini_task *task[6];
    int fd[6][2];
    long i, sum;
};

static mini_poll line_script(
    struct mini_future *future, struct mini_context cx) {
    struct line *self = MINI_SELF(struct line);

    MINI_BEGIN;
    for (int i = 0; i < 6; i++)
        mini_recv_stream(&self->stream[i], self->fd[i][0]);
    for (; self->i < 2; self->i++) { /* the first two take both buffers */
        raw_send(self->fd[self->i][1], "held", 4);
        STEP(mini_recv_next(&self->stream[self->i]));
        self->lease[self->i] = self->stream[self->i].lease;
    }
    for (int i = 2; i < 6; i++)
        self->task[i] = background(mini_recv_next(&self->stream[i]));
    SETTLE(self);
    raw_send(self->fd[5][1], "last", 4); /* the others have nothing */
    SETTLE(self);
    NOTE(ended(&self->stream[5].io.future));
    mini_lease_return(self->lease[1]);
    STEP(mini_join(&self->join, self->task[5]));
    NOTE(memcmp(self->stream[5].lease->data, "last", 4));
    NOTE(memcmp(self->lease[0]->data, "held", 4));
    raw_send(self->fd[3][1], "then", 4);
    raw_send(self->fd[2][1], "others", 6);
    SETTLE(self);
    NOTE(ended(&self->stream[2].io.future) + ended(&self->stream[3].io.future));
    mini_lease_return(self->stream[5].lease);
    SETTLE(self);
    NOTE(ended(&self->stream[2].io.future) + ended(&self->stream[3].io.future));
    mini_lease_return(self->lease[0]);
    STEP(mini_join(&self->join, self->task[2]));
    STEP(mini_join(&self->join, self->task[3]));
    mini_lease_return(self->stream[2].lease);
    mini_lease_return(self->stream[3].lease);
    mini_cancel(self->task[4]);
    STEP(mini_join(&self->join, self->task[4]));
    for (self->i = 0; self->i < 6; self->i++) {
        MINI_AWAIT(mini_recv_end(&self->stream[self->i]));
        self->sum += MINI_RESULT;
    }
    STEP(CENSUS(&the_census, 2));
    MINI_END(self->sum);
}

static void line(void) {
    static struct line self;

    self = (struct line){.future = MINI_FUTURE(line_script, "line")};
    for (int i = 0; i < 6; i++) open_pair(UNIX_SOCKETS, i % 2, self.fd[i]);
    check_equal(run(&self.future, few_buffers(2, true)), 0);
    for (int i = 0; i < 6; i++) close_pair(self.fd[i]);
    assert_notes(4, 4, 0, 4, 0, 0, 0, 1, 6, 4, -ECANCELED, 0);
}

static void g5_4_a_buffer_that_comes_back_goes_to_who_can_use_it(void **state) {
    (void)state;
    each_kernel(line);
}

/* A future that counts how often it is asked. */
struct witness {
    struct mini_future future;
    long asked;
};

static mini_poll witness(struct mini_future *future, struct mini_context cx) {
    struct witness *self = MINI_SELF(struct witness);

    self->asked++;
    return cx.cancel ? mini_ready(future, 0) : MINI_PENDING;
}

/* A task whose wait is over, cancelled or not, is not woken by what comes later:
 * another one may have its memory. */
static mini_poll over_script(
    struct mini_future *future, struct mini_context cx) {
    struct script *self = MINI_SELF(struct script);
    static struct mini_recv_stream stream;
    static struct witness other;

    MINI_BEGIN;
    mini_recv_stream(&stream, self->fd[0]);
    mini_accept_stream(&self->stream, self->fd[2]);
    self->task[0] = background(self->i % 2 ? mini_accept_next(&self->stream)
                                           : mini_recv_next(&stream));
    SETTLE(self);
    if (self->i / 2) {
        mini_cancel(self->task[0]);
    } else {
        self->fd[3] = raw_connect(&self->address);
        raw_send(self->fd[1], "!", 1);
    }
    MINI_AWAIT(mini_join(&self->join, self->task[0]));
    NOTE(self->i == 1 ? close((int)MINI_RESULT) + 1 : MINI_RESULT);
    other = (struct witness){.future = MINI_FUTURE(witness, "witness")};
    self->task[0] = background(&other.future);
    SETTLE(self);
    close(self->fd[3]);
    self->fd[3] = raw_connect(&self->address);
    raw_send(self->fd[1], "!", 1);
    for (self->j = 0; self->j < 5; self->j++) SETTLE(self);
    NOTE(other.asked);
    mini_cancel(self->task[0]);
    STEP(mini_join(&self->join, self->task[0]));
    if (self->i == 0) mini_lease_return(stream.lease);
    STEP(mini_accept_end(&self->stream));
    STEP(mini_recv_end(&stream));
    close(self->fd[3]);
    MINI_END(0);
}

static void waits_that_are_over(void) {
    for (int i = 0; i < 4; i++) {
        struct script self = {
            .future = MINI_FUTURE(over_script, "over"), .i = i};

        open_pair(UNIX_SOCKETS, false, self.fd);
        self.fd[2] = bound_socket(8, &self.address);
        self.fd[3] = -1;
        check_equal(run(&self.future, real_clock(1)), 0);
        close_pair(self.fd);
        close(self.fd[2]);
        assert_notes(i / 2 ? -ECANCELED : 1, 1, 0, 0, 0);
    }
}

static void g1_4_a_wait_that_is_over_wakes_nobody(void **state) {
    (void)state;
    each_kernel(waits_that_are_over);
}

/* Who waits for a buffer and is asked again, since its task was woken, waits as
 * before: once, and behind those that were there before. */
struct patience {
    struct mini_future future;
    struct mini_join join;
    struct mini_sleep sleep, naps[3];
    struct mini_select both[3];
    struct mini_future *futures[3][2];
    struct mini_recv_stream stream[5];
    struct mini_buffer *lease;
    struct mini_task *task[4];
    int fd[5][2];
    long i;
};

/* Waits for a stream and, so that it is asked again, for some time. */
static struct mini_task *wait_patiently(
    struct patience *self, int i, struct mini_recv_stream *stream) {
    self->futures[i][0] = mini_recv_next(stream);
    self->futures[i][1] = mini_sleep(&self->naps[i], 5 * MINI_MS);
    return background(mini_join_all(&self->both[i], self->futures[i], 2));
}

static mini_poll patience_script(
    struct mini_future *future, struct mini_context cx) {
    struct patience *self = MINI_SELF(struct patience);

    MINI_BEGIN;
    for (int i = 0; i < 5; i++)
        mini_recv_stream(&self->stream[i], self->fd[i][0]);
    self->task[2] = wait_patiently(self, 2, &self->stream[4]); /* for data */
    MINI_AWAIT(mini_sleep(&self->sleep, MINI_MS));
    raw_send(self->fd[0][1], "held", 4);
    STEP(mini_recv_next(&self->stream[0]));
    self->lease = self->stream[0].lease;
    for (int i = 0; i < 2; i++) {
        raw_send(self->fd[i + 1][1], "late", 4);
        self->task[i] = wait_patiently(self, i, &self->stream[i + 1]);
    }
    MINI_AWAIT(mini_sleep(&self->sleep, 20 * MINI_MS)); /* asked again */
    NOTE(ended(self->futures[0][1]) + ended(self->futures[1][1]) +
        ended(self->futures[2][1]));
    NOTE(ended(self->futures[0][0]) + ended(self->futures[1][0]));
    NOTE((long)mini_stats()->starved);
    /* who ends meanwhile leaves the line, and can go on later */
    self->task[3] = background(mini_recv_next(&self->stream[3]));
    MINI_AWAIT(mini_sleep(&self->sleep, MINI_MS));
    mini_cancel(self->task[3]);
    STEP(mini_join(&self->join, self->task[3]));
    STEP(mini_recv_end(&self->stream[3]));
    mini_lease_return(self->lease);
    for (; self->i < 2; self->i++) {
        STEP(mini_join(&self->join, self->task[self->i]));
        NOTE(self->futures[self->i][0]->result);
        mini_lease_return(self->stream[self->i + 1].lease);
    }
    raw_send(self->fd[3][1], "again", 5);
    STEP(mini_recv_next(&self->stream[3]));
    mini_lease_return(self->stream[3].lease);
    raw_send(self->fd[4][1], "at last", 7);
    STEP(mini_join(&self->join, self->task[2]));
    NOTE(self->futures[2][0]->result);
    mini_lease_return(self->stream[4].lease);
    for (self->i = 0; self->i < 5; self->i++)
        STEP(mini_recv_end(&self->stream[self->i]));
    STEP(CENSUS(&the_census, 1));
    MINI_END(0);
}

static void asked_again(void) {
    static struct patience self;

    self =
        (struct patience){.future = MINI_FUTURE(patience_script, "patience")};
    for (int i = 0; i < 5; i++) open_pair(UNIX_SOCKETS, i % 2, self.fd[i]);
    check_equal(run(&self.future, few_buffers(1, true)), 0);
    for (int i = 0; i < 5; i++) close_pair(self.fd[i]);
    assert_notes(
        4, 3, 0, 2, -ECANCELED, 0, 0, 4, 0, 4, 5, 0, 7, 0, 0, 0, 0, 0, 0);
}

static void g5_4_who_waits_for_a_buffer_and_is_asked_again(void **state) {
    (void)state;
    each_kernel(asked_again);
}

/* More of them than the submission queue holds: to start those behind, it has
 * to be reaped, and who finds no buffer then is in the line again. That is no
 * reason to go on for ever. */
enum { HUNGRY = 600 };
static struct {
    struct mini_recv_stream stream[HUNGRY];
    struct mini_task *task[HUNGRY];
} hungry_line;

static mini_poll long_line_script(
    struct mini_future *future, struct mini_context cx) {
    struct sink *self = MINI_SELF(struct sink);

    MINI_BEGIN;
    mini_recv_stream(&self->stream, self->fd[0]);
    for (; self->held < 2; self->held++) {
        raw_send(self->fd[1], "held", 4);
        STEP(mini_recv_next(&self->stream));
        self->kept[self->held] = self->stream.lease;
    }
    STEP(mini_recv_end(&self->stream));
    raw_send(self->fd[1], "waits", 5);
    for (int i = 0; i < HUNGRY; i++) {
        mini_recv_stream(&hungry_line.stream[i], self->fd[0]);
        hungry_line.task[i] =
            background(mini_recv_next(&hungry_line.stream[i]));
    }
    SETTLE(self);
    mini_lease_return(self->kept[0]);
    SETTLE(self);
    for (int i = 0; i < HUNGRY; i++) mini_cancel(hungry_line.task[i]);
    for (self->i = 0; self->i < HUNGRY; self->i++) {
        MINI_AWAIT(mini_join(&self->join, hungry_line.task[self->i]));
        self->got += MINI_RESULT == 5;
        self->wrong += MINI_RESULT != 5 && MINI_RESULT != -ECANCELED;
        if (MINI_RESULT > 0)
            mini_lease_return(hungry_line.stream[self->i].lease);
        MINI_AWAIT(mini_recv_end(&hungry_line.stream[self->i]));
    }
    NOTE((long)self->got);
    NOTE((long)self->wrong);
    mini_lease_return(self->kept[1]);
    STEP(CENSUS(&the_census, 2));
    MINI_END(0);
}

static void long_line(void) {
    struct sink self = {.future = MINI_FUTURE(long_line_script, "long line")};

    open_pair(UNIX_SOCKETS, false, self.fd);
    check_equal(run(&self.future, few_buffers(2, true)), 0);
    close_pair(self.fd);
    assert_notes(4, 4, 0, 1, 0, 0);
}

static void g5_4_a_line_longer_than_the_queue_ends(void **state) {
    (void)state;
    each_kernel(long_line);
}

/* Each has something to receive. Those for whom there is no buffer wait in line
 * once, and ask again when there is one, not all of them each time. */
enum { DINERS = 400, SEATS = 128 };
static int crowd_fd[DINERS][2];

static mini_poll one_of_crowd(
    struct mini_future *future, struct mini_context cx) {
    struct eater *self = MINI_SELF(struct eater);

    MINI_BEGIN;
    mini_recv_stream(&self->stream, self->fd);
    MINI_AWAIT(mini_recv_next(&self->stream));
    mini_lease_return(self->stream.lease);
    self->got = (size_t)MINI_RESULT;
    MINI_AWAIT(mini_recv_end(&self->stream));
    MINI_END((long)self->got);
}

static mini_poll all_at_once_script(
    struct mini_future *future, struct mini_context cx) {
    struct sink *self = MINI_SELF(struct sink);

    MINI_BEGIN;
    for (int i = 0; i < DINERS; i++) {
        raw_send(crowd_fd[i][1], "x", 1);
        hungry_line.task[i] =
            MINI_SPAWN(struct eater, one_of_crowd, .fd = crowd_fd[i][0]);
    }
    for (; self->i < DINERS; self->i++) {
        MINI_AWAIT(mini_join(&self->join, hungry_line.task[self->i]));
        self->got += MINI_RESULT == 1;
    }
    NOTE((long)self->got);
    self->held = mini_stats()->starved;
    if (!(mini_self->io.features & MINI_BUFFER_RING)) self->held = 0;
    NOTE(self->held <= DINERS + SEATS);
    STEP(CENSUS(&the_census, SEATS));
    MINI_END(0);
}

static void all_at_once(void) {
    struct sink self = {.future = MINI_FUTURE(all_at_once_script, "at once")};

    for (int i = 0; i < DINERS; i++)
        open_pair(UNIX_SOCKETS, false, crowd_fd[i]);
    check_equal(run(&self.future, few_buffers(SEATS, false)), 0);
    for (int i = 0; i < DINERS; i++) close_pair(crowd_fd[i]);
    assert_notes(DINERS, 1, 0);
}

static void g5_4_who_waits_for_a_buffer_does_not_ask_in_vain(void **state) {
    (void)state;
    each_kernel(all_at_once);
}

/* The end of a stream with buffers that nobody has asked for; of one that has
 * not begun; twice; cancelled. */
static mini_poll ends_script(
    struct mini_future *future, struct mini_context cx) {
    struct sink *self = MINI_SELF(struct sink);

    MINI_BEGIN;
    for (; self->i < 2; self->i++) {
        mini_recv_stream(&self->stream, self->fd[0]);
        if (self->i == 0) STEP(mini_recv_end(&self->stream));
        raw_send(self->fd[1], "unread", 6);
        STEP(mini_recv_next(&self->stream));
        mini_lease_return(self->stream.lease);
        self->task = background(mini_recv_next(&self->stream));
        SETTLE(self);
        mini_cancel(self->task);
        STEP(mini_join(&self->join, self->task));
        for (self->j = 0; self->j < 3; self->j++) {
            raw_send(self->fd[1], "unread", 6);
            SETTLE(self);
        }
        NOTE(self->stream.io.done > 0);
        self->task = background(mini_recv_end(&self->stream));
        if (self->i == 1) mini_cancel(self->task);
        STEP(mini_join(&self->join, self->task));
        STEP(mini_recv_end(&self->stream));
        drain(self->fd[0], -1); /* what it has left in the socket */
        STEP(CENSUS(&the_census, 4));
    }
    MINI_END(0);
}

/* Of one that waits for a buffer, or has just asked for one, or gets one when
 * nobody awaits it any more. */
static mini_poll starved_end_script(
    struct mini_future *future, struct mini_context cx) {
    struct sink *self = MINI_SELF(struct sink);
    static struct mini_recv_stream holder;

    MINI_BEGIN;
    mini_recv_stream(&holder, self->fd[0]);
    for (; self->i < 2; self->i++) {
        raw_send(self->fd[1], "held", 4);
        STEP(mini_recv_next(&holder));
        self->kept[self->i] = holder.lease;
    }
    STEP(mini_recv_end(&holder));
    raw_send(self->fd[1], "waits", 5);
    for (self->i = 0; self->i < 3; self->i++) {
        mini_recv_stream(&self->stream, self->fd[0]);
        self->task = background(mini_recv_next(&self->stream));
        if (self->i == 1)
            MINI_AWAIT(mini_yield(&self->yield));
        else
            SETTLE(self);
        NOTE(ended(&self->stream.io.future));
        mini_cancel(self->task);
        STEP(mini_join(&self->join, self->task));
        if (self->i == 2) mini_lease_return(self->kept[1]);
        if (self->i == 2) SETTLE(self);
        STEP(mini_recv_end(&self->stream));
    }
    mini_lease_return(self->kept[0]);
    STEP(CENSUS(&the_census, 2));
    MINI_END(0);
}

static void ends_of_streams(void) {
    for (int nonblocking = 0; nonblocking < 2; nonblocking++) {
        struct sink self = {.future = MINI_FUTURE(ends_script, "ends")};

        open_pair(UNIX_SOCKETS, nonblocking, self.fd);
        check_equal(run(&self.future, few_buffers(4, true)), 0);
        close_pair(self.fd);
        assert_notes(0, 6, -ECANCELED, 1, 0, 0, 0, 6, -ECANCELED, 1, 0, 0, 0);
        self =
            (struct sink){.future = MINI_FUTURE(starved_end_script, "starved")};
        open_pair(UNIX_SOCKETS, nonblocking, self.fd);
        check_equal(run(&self.future, few_buffers(2, true)), 0);
        close_pair(self.fd);
        assert_notes(
            4, 4, 0, 0, -ECANCELED, 0, 0, -ECANCELED, 0, 0, -ECANCELED, 0, 0);
    }
}

static void g5_4_the_end_of_a_stream_gives_its_buffers_back(void **state) {
    (void)state;
    each_kernel(ends_of_streams);
}

/* The submission queue is full when a stream is ended: room is made by reaping,
 * and that tells the stream that there is no buffer for it. It is to wait for none
 * when it has ended. */
enum { QUEUE_FULL = 260 };
static struct {
    struct mini_io io[QUEUE_FULL];
    struct mini_future *futures[QUEUE_FULL];
    struct mini_select all;
} full_queue;

static mini_poll crowded_end_script(
    struct mini_future *future, struct mini_context cx) {
    struct sink *self = MINI_SELF(struct sink);
    static struct mini_recv_stream holder;

    MINI_BEGIN;
    mini_recv_stream(&holder, self->fd[0]);
    for (self->i = 0; self->i < 2; self->i++) {
        raw_send(self->fd[1], "held", 4);
        MINI_AWAIT(mini_recv_next(&holder));
        self->kept[self->i] = holder.lease;
    }
    MINI_AWAIT(mini_recv_end(&holder));
    for (self->i = 250; self->i < QUEUE_FULL; self->i++) {
        mini_recv_stream(&self->stream, self->fd[0]);
        self->task = background(mini_recv_next(&self->stream));
        SETTLE(self);
        mini_cancel(self->task);
        MINI_AWAIT(mini_join(&self->join, self->task));
        raw_send(self->fd[1], "late", 4);
        for (long i = 0; i < self->i; i++)
            full_queue.futures[i] =
                mini_shutdown_socket(&full_queue.io[i], -1, SHUT_RD);
        mini_join_all(&full_queue.all, full_queue.futures, (size_t)self->i)
            ->poll(&full_queue.all.future, cx);
        if (mini_recv_end(&self->stream)->poll(&self->stream.io.future, cx) ==
            MINI_PENDING)
            MINI_AWAIT(mini_recv_end(&self->stream));
        self->wrong += !mini_list_empty(&mini_self->io.buffers->starved);
        MINI_AWAIT(&full_queue.all.future);
        drain(self->fd[0], -1);
    }
    NOTE((long)self->wrong);
    mini_lease_return(self->kept[0]);
    mini_lease_return(self->kept[1]);
    STEP(CENSUS(&the_census, 2));
    MINI_END(0);
}

static void ends_in_a_crowd(void) {
    struct sink self = {.future = MINI_FUTURE(crowded_end_script, "crowd")};

    open_pair(UNIX_SOCKETS, false, self.fd);
    check_equal(run(&self.future, few_buffers(2, true)), 0);
    close_pair(self.fd);
    assert_notes(0, 0);
}

static void g5_4_a_stream_that_has_ended_waits_for_no_buffer(void **state) {
    (void)state;
    each_kernel(ends_in_a_crowd);
}

/* A cancelled wait leaves in the stream what has come, or will. */
static mini_poll cancelled_stream_script(
    struct mini_future *future, struct mini_context cx) {
    struct sink *self = MINI_SELF(struct sink);

    MINI_BEGIN;
    mini_recv_stream(&self->stream, self->fd[0]);
    for (; self->got < 200; self->i++) {
        self->task = background(mini_recv_next(&self->stream));
        for (self->j = self->i % 3; self->j > 0; self->j--) A_TURN(self);
        if (self->i < 200)
            raw_send(self->fd[1], &(char){pattern((size_t)self->i)}, 1);
        for (self->j = self->i / 3 % 3; self->j > 0; self->j--) A_TURN(self);
        if (self->i / 9 % 2) MINI_AWAIT(mini_yield(&self->yield));
        if (self->i < 200) mini_cancel(self->task);
        MINI_AWAIT(mini_join(&self->join, self->task));
        if (MINI_RESULT == -ECANCELED) continue;
        if (MINI_RESULT <= 0) break;
        take_lease(self, self->stream.lease);
        mini_lease_return(self->stream.lease);
    }
    NOTE((long)self->wrong);
    STEP(mini_recv_end(&self->stream));
    STEP(CENSUS(&the_census, 8));
    MINI_END((long)self->got);
}

static void cancelled_stream(enum kind kind, bool nonblocking) {
    struct sink self = {
        .future = MINI_FUTURE(cancelled_stream_script, "cancelled")};

    open_pair(kind, nonblocking, self.fd);
    check_equal(run(&self.future, few_buffers(8, false)), 200);
    close_pair(self.fd);
    assert_notes(0, 0, 0);
}

static void cancelled_streams(void) { each_socket(cancelled_stream); }

static void g5_2_a_cancelled_wait_leaves_bytes_in_the_stream(void **state) {
    (void)state;
    two_kernels(cancelled_streams);
}

/* Timeouts around the wait, and a sender that sends when it likes. */
static mini_poll timed_stream_script(
    struct mini_future *future, struct mini_context cx) {
    struct sink *self = MINI_SELF(struct sink);

    MINI_BEGIN;
    mini_recv_stream(&self->stream, self->fd[0]);
    for (;;) {
        MINI_AWAIT(mini_timeout(
            &self->timeout, mini_recv_next(&self->stream), 10 * MINI_US));
        if (MINI_RESULT == -ETIMEDOUT) continue;
        if (MINI_RESULT <= 0) break;
        take_lease(self, self->stream.lease);
        mini_lease_return(self->stream.lease);
    }
    NOTE(MINI_RESULT);
    NOTE((long)self->wrong);
    STEP(mini_recv_end(&self->stream));
    STEP(CENSUS(&the_census, 2));
    MINI_END((long)self->got);
}

static void timed_stream(enum kind kind, bool nonblocking, size_t messages) {
    struct sink self = {.future = MINI_FUTURE(timed_stream_script, "timed")};
    pthread_t thread;

    open_pair(kind, nonblocking, self.fd);
    set_nonblocking(self.fd[1], false);
    struct sender other = {.fd = self.fd[1], .messages = messages};

    check_equal(pthread_create(&thread, NULL, sender, &other), 0);
    long got = run(&self.future, few_buffers(2, false));

    pthread_join(thread, NULL);
    close_pair(self.fd);
    assert_notes(0, 0, 0, 0);
    check_equal(got, other.sent);
}

static void timed_streams(void) {
    timed_stream(UNIX_SOCKETS, true, 2000);
    timed_stream(TCP_SOCKETS, false, 2000);
}

static void g5_2_timeouts_of_a_stream_lose_no_byte(void **state) {
    (void)state;
    each_kernel(timed_streams);
}

/* Who is not read from does not take all buffers. */
static mini_poll high_buffers_script(
    struct mini_future *future, struct mini_context cx) {
    struct sink *self = MINI_SELF(struct sink);

    MINI_BEGIN;
    mini_recv_stream(&self->stream, self->fd[0]);
    for (; self->i < 2; self->i++) { /* the second one goes on */
        raw_send(self->fd[1], &(char){pattern((size_t)self->i)}, 1);
        MINI_AWAIT(mini_recv_next(&self->stream));
        take_lease(self, self->stream.lease);
        mini_lease_return(self->stream.lease);
    }
    for (; self->i < 200; self->i++) { /* one buffer each */
        raw_send(self->fd[1], &(char){pattern((size_t)self->i)}, 1);
        SETTLE(self);
    }
    self->held = mini_stats()->leases - 2;
    NOTE(self->held <= MINI_STREAM_HIGH_BUFFERS);
    /* as many as that are taken: so is the rest, by somebody else */
    STEP(CENSUS(&the_census, (unsigned)(self->j - (long)self->held)));
    while (self->got < 200) {
        MINI_AWAIT(mini_recv_next(&self->stream));
        if (MINI_RESULT <= 0) break;
        take_lease(self, self->stream.lease);
        mini_lease_return(self->stream.lease);
    }
    NOTE((long)self->wrong);
    STEP(mini_recv_end(&self->stream));
    NOTE((long)mini_self->outside); /* nothing is left under way */
    STEP(CENSUS(&the_census, (unsigned)self->j));
    MINI_END((long)self->got);
}

/* The same when much comes at once. */
static mini_poll flood_script(
    struct mini_future *future, struct mini_context cx) {
    struct sink *self = MINI_SELF(struct sink);

    MINI_BEGIN;
    mini_recv_stream(&self->stream, self->fd[0]);
    for (; self->i < 2; self->i++) { /* the second one goes on */
        raw_send(self->fd[1], &(char){pattern((size_t)self->i)}, 1);
        MINI_AWAIT(mini_recv_next(&self->stream));
        take_lease(self, self->stream.lease);
        mini_lease_return(self->stream.lease);
    }
    for (self->i = 0; self->i < 20; self->i++) {
        fill_up(self->fd[1], 'f');
        SETTLE(self);
    }
    self->held = mini_stats()->leases - 2;
    NOTE(self->held <= (size_t)self->j / 2);
    STEP(CENSUS(&the_census, (unsigned)(self->j - (long)self->held)));
    STEP(mini_recv_end(&self->stream));
    NOTE((long)mini_self->outside); /* nothing is left under way */
    STEP(CENSUS(&the_census, (unsigned)self->j));
    MINI_END(0);
}

static void high_buffers(void) {
    struct sink self;

    for (unsigned buffers = 4; buffers <= 64; buffers *= 16) {
        self = (struct sink){.future = MINI_FUTURE(high_buffers_script, "high"),
            .j = (long)buffers};
        open_pair(UNIX_SOCKETS, false, self.fd);
        check_equal(run(&self.future, few_buffers(buffers, true)), 200);
        close_pair(self.fd);
        assert_notes(1, 0, 0, 0, 0, 0);
    }
    for (unsigned buffers = 16; buffers <= 512; buffers *= 32) {
        self = (struct sink){
            .future = MINI_FUTURE(flood_script, "flood"), .j = (long)buffers};
        open_pair(UNIX_SOCKETS, true, self.fd);
        setsockopt(
            self.fd[1], SOL_SOCKET, SO_SNDBUF, &(int){4000000}, sizeof(int));
        check_equal(run(&self.future, few_buffers(buffers, true)), 0);
        close_pair(self.fd);
        assert_notes(1, 0, 0, 0, 0);
    }
}

static void g5_4_a_stream_that_is_not_read_leaves_buffers_to_others(
    void **state) {
    (void)state;
    each_kernel(high_buffers);
}

/* ---- G5.4: how many buffers --------------------------------------------- */

static mini_poll count_buffers_script(
    struct mini_future *future, struct mini_context cx) {
    struct sink *self = MINI_SELF(struct sink);

    MINI_BEGIN;
    STEP(CENSUS(&the_census, (unsigned)self->i));
    STEP(CENSUS(&the_census, (unsigned)self->i));
    A_TURN(self);
    MINI_END(mini_self->io.buffers->lent);
}

static void numbers_of_buffers(void) {
    static const unsigned bad[] = {
        3, 5, 6, 48, 32769, 65536, 1u << 31, UINT_MAX};
    struct mini_future main = MINI_FUTURE(note_name, "note_name");
    struct mini_future look = MINI_FUTURE(describe, "describe");

    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct mini_options options = few_buffers(bad[i], true);

        snprintf(variant, sizeof variant, "%u buffers", bad[i]);
        check_equal(run(&main, options), -EINVAL);
        options = few_buffers(bad[i], false);
        options.shards = 2;
        check_equal(run(&main, options), -EINVAL);
    }
    for (unsigned count = 1; count <= 2048; count *= count < 32 ? 2 : 64) {
        struct sink self = {
            .future = MINI_FUTURE(count_buffers_script, "count"),
            .i = (long)count};

        snprintf(variant, sizeof variant, "%u buffers", count);
        long lent = run(&self.future, few_buffers(count, true));

        assert_notes(0, 0);
        /* half of them, but one at least and no more than there is room for */
        if (run(&look, real_clock(1)) & MINI_BUFFER_RING)
            check_equal(lent, count == 1 ? 1 : count < 1024 ? count / 2 : 512);
        else
            check_equal(lent, 0);
    }
    /* all that there may be, without using them */
    check(run(&main, few_buffers(32768, true)) >= 0);
    check(run(&main, few_buffers(0, true)) >= 0);
}

static void g5_4_so_many_buffers_as_were_asked_for(void **state) {
    (void)state;
    each_kernel(numbers_of_buffers);
}

/* The memory of a buffer that came back serves again, before one that was never
 * needed. */
static mini_poll used_again_script(
    struct mini_future *future, struct mini_context cx) {
    struct sink *self = MINI_SELF(struct sink);

    MINI_BEGIN;
    mini_recv_stream(&self->stream, self->fd[0]);
    for (; self->i < 120; self->i++) {
        if (self->i == 20) self->held = mini_self->io.buffers->used;
        raw_send(self->fd[1], "x", 1);
        MINI_AWAIT(mini_recv_next(&self->stream));
        mini_lease_return(self->stream.lease);
    }
    NOTE((long)(mini_self->io.buffers->used - self->held));
    STEP(mini_recv_end(&self->stream));
    MINI_END(0);
}

static void use_again(void) {
    struct sink self = {.future = MINI_FUTURE(used_again_script, "again")};

    open_pair(UNIX_SOCKETS, false, self.fd);
    check_equal(run(&self.future, few_buffers(4096, true)), 0);
    close_pair(self.fd);
    assert_notes(0, 0);
}

static void g5_7_a_buffer_that_came_back_is_used_again(void **state) {
    (void)state;
    each_kernel(use_again);
}

/* The only buffer is held by the one who waits for another. */
static mini_poll buffer_deadlock_script(
    struct mini_future *future, struct mini_context cx) {
    struct sink *self = MINI_SELF(struct sink);
    static struct mini_recv_stream other;

    MINI_BEGIN;
    raw_send(self->fd[1], "one", 3);
    mini_recv_stream(&self->stream, self->fd[0]);
    mini_recv_stream(&other, self->fd[1]);
    STEP(mini_recv_next(&self->stream));
    STEP(mini_recv_end(&self->stream)); /* nobody else may send something */
    raw_send(self->fd[0], "two", 3);
    STEP(mini_recv_next(&other));
    mini_lease_return(self->stream.lease);
    STEP(mini_recv_end(&other));
    MINI_END(7);
}

static void buffer_deadlock(void) {
    struct sink self = {.future = MINI_FUTURE(buffer_deadlock_script, "dead")};
    char text[4096];

    open_pair(UNIX_SOCKETS, false, self.fd);
    mini_test_capture_begin();
    long result = run(&self.future, few_buffers(1, true));

    mini_test_capture_end(text, sizeof text);
    close_pair(self.fd);
    check_equal(result, -EDEADLK);
    assert_notes(3, 0, -ECANCELED, 0);
    check(strstr(text, "mini_recv_next") != NULL);
}

static void g1_5_who_holds_the_last_buffer_and_waits_is_a_deadlock(
    void **state) {
    (void)state;
    each_kernel(buffer_deadlock);
}

/* No memory for the buffers: the wait is refused, and not when asked again. */
static mini_poll poor_stream_script(
    struct mini_future *future, struct mini_context cx) {
    struct sink *self = MINI_SELF(struct sink);

    MINI_BEGIN;
    raw_send(self->fd[1], "text", 4);
    mini_recv_stream(&self->stream, self->fd[0]);
    mini_test_fail_alloc_after(0);
    STEP(mini_recv_next(&self->stream));
    NOTE(mini_test_alloc_failed());
    mini_test_fail_alloc_after(-1);
    STEP(mini_recv_next(&self->stream));
    mini_lease_return(self->stream.lease);
    STEP(mini_recv_end(&self->stream));
    STEP(CENSUS(&the_census, 16));
    MINI_END(0);
}

static void poor_stream(void) {
    struct sink self = {.future = MINI_FUTURE(poor_stream_script, "poor")};

    open_pair(UNIX_SOCKETS, false, self.fd);
    check_equal(run(&self.future, few_buffers(16, true)), 0);
    close_pair(self.fd);
    assert_notes(-ENOMEM, 1, 4, 0, 0);
}

static void g1_11_a_stream_without_memory_for_buffers(void **state) {
    (void)state;
    each_kernel(poor_stream);
}

/* ---- G5.8: send_zc ------------------------------------------------------ */

/* Sends by send_zc and spoils its buffer as soon as it may, while a reader takes
 * its time. */
struct zero {
    struct mini_future future;
    struct mini_io io;
    struct mini_join join;
    struct mini_sleep sleep;
    struct mini_task *task, *reader;
    int fd[2];
    size_t size, sent, got;
    long i, wrong, all, counted;
    char *bytes, part[7000];
};

enum { ZERO_PART = 30000 };
static char zero_bytes[ZERO_PART];

static mini_poll zero_writer(
    struct mini_future *future, struct mini_context cx) {
    struct zero *self = MINI_SELF(struct zero);

    MINI_BEGIN;
    while (self->sent < STREAM_BYTES) {
        self->size = 1 + self->sent * 7 % ZERO_PART;
        if (self->size > STREAM_BYTES - self->sent)
            self->size = STREAM_BYTES - self->sent;
        for (size_t i = 0; i < self->size; i++)
            zero_bytes[i] = pattern(self->sent + i);
        self->counted =
            (long)(mini_stats()->copies + mini_stats()->zero_copies);
        self->all = (long)mini_stats()->zero_copies;
        MINI_AWAIT(
            mini_send_zc(&self->io, self->fd[1], zero_bytes, self->size));
        memset(zero_bytes, '?', ZERO_PART);
        if (MINI_RESULT <= 0) MINI_RETURN(MINI_RESULT);
        self->sent += (size_t)MINI_RESULT;
        /* that it may be spoiled is known from the kernel's last word */
        self->counted =
            (long)(mini_stats()->copies + mini_stats()->zero_copies) -
            self->counted;
        self->wrong +=
            self->counted != ((mini_self->io.features & MINI_ZERO_COPY) != 0);
        self->wrong +=
            self->io.copied == ((long)mini_stats()->zero_copies > self->all);
    }
    shutdown(self->fd[1], SHUT_WR);
    MINI_END(self->wrong);
}

static mini_poll zero_script(
    struct mini_future *future, struct mini_context cx) {
    struct zero *self = MINI_SELF(struct zero);

    MINI_BEGIN;
    self->task =
        MINI_SPAWN(struct zero, zero_writer, .fd = {self->fd[0], self->fd[1]});
    for (;;) {
        MINI_AWAIT(mini_recv(&self->io, self->fd[0], self->part,
            1 + self->got % sizeof self->part));
        if (MINI_RESULT <= 0) break;
        for (long i = 0; i < MINI_RESULT; i++)
            self->wrong += self->part[i] != pattern(self->got++);
        if (++self->i % 100 == 0) MINI_AWAIT(mini_sleep(&self->sleep, MINI_MS));
    }
    STEP(mini_join(&self->join, self->task));
    NOTE(self->wrong);
    MINI_END((long)self->got);
}

static void zero_copies(void) {
    for (int nonblocking = 0; nonblocking < 2; nonblocking++) {
        struct zero self = {.future = MINI_FUTURE(zero_script, "zero")};

        open_pair(TCP_SOCKETS, nonblocking, self.fd);
        check_equal(run(&self.future, real_clock(1)), STREAM_BYTES);
        close_pair(self.fd);
        assert_notes(0, 0);
    }
}

static void g5_8_send_zc_lets_go_of_its_buffer_only_when_ready(void **state) {
    (void)state;
    each_kernel(zero_copies);
}

/* Where there is no such thing it is a send: of AF_UNIX, and with poll(2). */
static mini_poll copy_script(
    struct mini_future *future, struct mini_context cx) {
    struct script *self = MINI_SELF(struct script);

    MINI_BEGIN;
    STEP(mini_send_zc(&self->io[0], self->fd[1], "hello", 5));
    NOTE(self->io[0].copied);
    STEP(mini_recv(&self->io[0], self->fd[0], self->buffer, 60));
    STEP(mini_send_zc(&self->io[0], self->fd[1], "", 0));
    /* when there is no room it waits */
    self->sum = (long)fill_up(self->fd[1], 'f');
    self->task[0] =
        background(mini_send_zc(&self->io[0], self->fd[1], "late", 4));
    SETTLE(self);
    NOTE(ended(&self->io[0].future));
    NOTE(self->sum - (long)drain(self->fd[0], -1));
    STEP(mini_join(&self->join, self->task[0]));
    NOTE(self->io[0].copied);
    STEP(mini_recv(&self->io[0], self->fd[0], self->buffer + 5, 60));
    /* and can be cancelled */
    self->sum = (long)fill_up(self->fd[1], 'f');
    self->task[0] =
        background(mini_send_zc(&self->io[0], self->fd[1], "never", 5));
    SETTLE(self);
    mini_cancel(self->task[0]);
    STEP(mini_join(&self->join, self->task[0]));
    NOTE(self->sum - (long)drain(self->fd[0], -1));
    close(self->fd[0]);
    STEP(mini_send_zc(&self->io[0], self->fd[1], "no", 2));
    STEP(mini_send_zc(&self->io[0], self->fd[2], "no", 2));
    self->fd[0] = dup(self->fd[1]);
    MINI_END(0);
}

static void copied_sends(void) {
    for (int nonblocking = 0; nonblocking < 2; nonblocking++) {
        struct script self = MINI_FRAME(struct script, copy_script, .i = 0);
        int fd[2];

        open_pair(PIPE, false, fd);
        self.fd[2] = fd[1];
        open_pair(UNIX_SOCKETS, nonblocking, self.fd);
        check_equal(run(&self.future, virtual_clock()), 0);
        close_pair(self.fd);
        close_pair(fd);
        assert_notes(
            5, 1, 5, 0, 0, 0, 4, 1, 4, -ECANCELED, 0, -EPIPE, -ENOTSOCK);
        assert_string_equal(self.buffer, "hellolate");
    }
}

static void g5_8_send_zc_is_a_send_where_it_must_be(void **state) {
    (void)state;
    each_kernel(copied_sends);
}

/* Of TCP, full: a wait for room, cancelled; a peer that resets. */
static mini_poll full_zero_script(
    struct mini_future *future, struct mini_context cx) {
    struct script *self = MINI_SELF(struct script);

    MINI_BEGIN;
    for (; self->i < 3; self->i++) {
        fill_up_tcp(self->fd[1]);
        self->task[0] = background(mini_send_zc(
            &self->io[0], self->fd[1], self->buffer, sizeof self->buffer));
        if (self->i == 0) SETTLE(self);
        if (self->i == 1) MINI_AWAIT(mini_yield(&self->yield));
        if (self->i == 2) {
            SETTLE(self);
            reset(self->fd[0]);
        } else {
            mini_cancel(self->task[0]);
        }
        /* of TCP there may be room again at any time; then the bytes are the
         * kernel's until the peer has them */
        while (self->i < 2 && !ended(&self->io[0].future)) {
            drain(self->fd[0], -1);
            MINI_AWAIT(mini_sleep(&self->sleep, MINI_MS));
        }
        MINI_AWAIT(mini_join(&self->join, self->task[0]));
        NOTE(MINI_RESULT == (long)sizeof self->buffer ||
            MINI_RESULT == (self->i == 2 ? -ECONNRESET : -ECANCELED));
    }
    MINI_AWAIT(mini_readable(&self->io[1], self->fd[1])); /* it has come */
    MINI_AWAIT(mini_send_zc(&self->io[0], self->fd[1], "no", 2));
    NOTE(MINI_RESULT == -EPIPE || MINI_RESULT == -ECONNRESET);
    self->fd[0] = dup(self->fd[1]);
    MINI_END(0);
}

static void full_zero_copies(void) {
    for (int nonblocking = 0; nonblocking < 2; nonblocking++) {
        struct script self =
            MINI_FRAME(struct script, full_zero_script, .i = 0);

        open_pair(TCP_SOCKETS, nonblocking, self.fd);
        check_equal(run(&self.future, real_clock(1)), 0);
        close_pair(self.fd);
        assert_notes(1, 1, 1, 1);
    }
}

static void g5_2_a_send_zc_that_waits_is_cancelled_or_reset(void **state) {
    (void)state;
    each_kernel(full_zero_copies);
}

/* ---- G5.8: from file to socket ------------------------------------------ */

struct courier {
    struct mini_future future;
    struct mini_send_file out;
    struct mini_io io;
    struct mini_join join;
    struct mini_sleep sleep;
    struct mini_yield yield;
    struct mini_task *task;
    int fd[2], file;
    size_t file_size, offset, length, got;
    long i, j, wrong, partial;
    uint64_t spliced;
    char part[8192];
};

static struct mini_future *send_part(struct courier *self) {
    return mini_send_file(&self->out, self->fd[1], self->file,
        (int64_t)self->offset, self->length);
}

/* As much of the part as there is in the file. */
static size_t part_size(const struct courier *self) {
    size_t there =
        self->offset < self->file_size ? self->file_size - self->offset : 0;

    return self->length < there ? self->length : there;
}

static void check_part(struct courier *self, long size) {
    for (long i = 0; i < size; i++)
        self->wrong += self->part[i] != pattern(self->offset + self->got++);
}

/* Takes what is there now; of TCP, what has come by now. */
static void drain_part(struct courier *self) {
    ssize_t got;

    while ((got = recv(self->fd[0], self->part, sizeof self->part,
                MSG_DONTWAIT)) > 0 ||
        (got < 0 && errno == EINTR))
        check_part(self, (long)got);
}

static mini_poll courier_script(
    struct mini_future *future, struct mini_context cx) {
    struct courier *self = MINI_SELF(struct courier);

    MINI_BEGIN;
    self->task = background(send_part(self));
    while (self->got < part_size(self)) {
        MINI_AWAIT(mini_recv(&self->io, self->fd[0], self->part,
            1 + self->got * 3 % sizeof self->part));
        if (MINI_RESULT <= 0) break;
        check_part(self, MINI_RESULT);
    }
    STEP(mini_join(&self->join, self->task));
    NOTE((long)self->out.sent);
    drain_part(self); /* nothing else */
    NOTE((long)self->got);
    NOTE(self->wrong);
    NOTE(mini_self->io.features & MINI_SPLICE
            ? (long)(mini_stats()->spliced - self->got)
            : (long)mini_stats()->spliced);
    NOTE((long)lseek(self->file, 0, SEEK_CUR) == (long)self->file_size);
    MINI_END(0);
}

static void deliver(enum kind kind, bool nonblocking, size_t size,
    size_t offset, size_t length) {
    struct courier self = {.future = MINI_FUTURE(courier_script, "courier"),
        .file_size = size,
        .offset = offset,
        .length = length};
    int dir = make_folder();

    self.file = make_file(dir, size);
    remove_folder(dir);
    open_pair(kind, nonblocking, self.fd);
    snprintf(variant, sizeof variant, "%s: %zu from %zu of %zu",
        kind_names[kind], length, offset, size);
    check_equal(run(&self.future, real_clock(1)), 0);
    close_pair(self.fd);
    close(self.file);
    long all = (long)part_size(&self);

    assert_notes(all, all, all, 0, 0, 1);
}

static void deliveries(void) {
    deliver(UNIX_SOCKETS, false, 0, 0, 10);
    deliver(UNIX_SOCKETS, true, 10, 0, 0);
    deliver(UNIX_SOCKETS, false, 10, 3, 1);
    deliver(UNIX_SOCKETS, false, 65536, 0, 65536);
    deliver(TCP_SOCKETS, true, 65537, 1, 65536);
    deliver(TCP_SOCKETS, false, 100, 100, 1);
    deliver(TCP_SOCKETS, false, 100, 5000, 100);
    deliver(UNIX_SOCKETS, true, 200000, 7, SIZE_MAX); /* to its end */
    for (int i = 0; i < 8; i++) {
        size_t size = random_below(300001);

        deliver(random_below(2) ? UNIX_SOCKETS : TCP_SOCKETS, random_below(2),
            size, random_below((uint32_t)size + 2), random_below(300001));
    }
}

static void g5_8_parts_of_files_are_sent(void **state) {
    (void)state;
    take_chances();
    each_kernel(deliveries);
}

/* To a peer that reads a little now and then; the shard goes on meanwhile. */
static mini_poll slow_peer_script(
    struct mini_future *future, struct mini_context cx) {
    struct courier *self = MINI_SELF(struct courier);

    MINI_BEGIN;
    self->task = background(send_part(self));
    while (self->got < self->length) {
        MINI_AWAIT(mini_sleep(&self->sleep, 2 * MINI_MS));
        ssize_t got =
            recv(self->fd[0], self->part, sizeof self->part, MSG_DONTWAIT);
        if (got > 0) check_part(self, (long)got);
        self->i++;
        if (self->out.sent > 0 && self->out.ends[0] >= 0) /* not for children */
            for (int i = 0; i < 2 && !ended(&self->out.future); i++)
                self->wrong += fcntl(self->out.ends[i], F_GETFD) != FD_CLOEXEC;
        /* what the socket holds is far less: it cannot have sent it all */
        if (self->got < 8192) self->partial += ended(&self->out.future);
    }
    STEP(mini_join(&self->join, self->task));
    NOTE(self->wrong);
    NOTE(self->i >= 100);
    NOTE(self->partial);
    MINI_END((long)self->got);
}

static void slow_peers(void) {
    for (int nonblocking = 0; nonblocking < 2; nonblocking++) {
        struct courier self = {
            .future = MINI_FUTURE(slow_peer_script, "slow_peer"),
            .file_size = 900000,
            .length = 900000};
        int dir = make_folder();

        self.file = make_file(dir, self.file_size);
        remove_folder(dir);
        open_pair(UNIX_SOCKETS, nonblocking, self.fd);
        check_equal(run(&self.future, virtual_clock()), 900000);
        close_pair(self.fd);
        close(self.file);
        assert_notes(900000, 0, 1, 0);
    }
}

static void g5_8_a_file_to_a_slow_peer_does_not_stall_the_shard(void **state) {
    (void)state;
    each_kernel(slow_peers);
}

static mini_poll reset_peer_script(
    struct mini_future *future, struct mini_context cx) {
    struct courier *self = MINI_SELF(struct courier);

    MINI_BEGIN;
    self->task = background(send_part(self));
    while (self->out.sent == 0) MINI_AWAIT(mini_sleep(&self->sleep, MINI_MS));
    NOTE(ended(&self->out.future));
    reset(self->fd[0]);
    MINI_AWAIT(mini_join(&self->join, self->task));
    NOTE(MINI_RESULT == -EPIPE || MINI_RESULT == -ECONNRESET);
    NOTE(self->out.sent > 0 && self->out.sent < self->length);
    MINI_AWAIT(send_part(self)); /* and another one, from the start */
    NOTE(MINI_RESULT == -EPIPE || MINI_RESULT == -ECONNRESET);
    NOTE((long)self->out.sent);
    self->fd[0] = dup(self->fd[1]);
    MINI_END(0);
}

static void reset_peers(void) {
    for (int nonblocking = 0; nonblocking < 2; nonblocking++) {
        struct courier self = {
            .future = MINI_FUTURE(reset_peer_script, "reset_peer"),
            .length = 5000000};
        int dir = make_folder();

        self.file = make_file(dir, self.length);
        remove_folder(dir);
        open_pair(TCP_SOCKETS, nonblocking, self.fd);
        check_equal(run(&self.future, real_clock(1)), 0);
        close_pair(self.fd);
        close(self.file);
        assert_notes(0, 1, 1, 1, 0);
    }
}

static void g5_8_a_file_to_a_peer_that_resets(void **state) {
    struct sigaction ignore = {.sa_handler = SIG_IGN}, before;

    (void)state;
    sigaction(SIGPIPE, &ignore, &before);
    each_kernel(reset_peers);
    sigaction(SIGPIPE, &before, NULL);
}

#if defined(__linux__) && defined(_GNU_SOURCE)

/* Each system call on the way fails in turn: so that is how it goes. */
static mini_poll way_script(
    struct mini_future *future, struct mini_context cx) {
    struct courier *self = MINI_SELF(struct courier);

    MINI_BEGIN;
    MINI_AWAIT(send_part(self));
    drain_part(self);
    MINI_END(MINI_RESULT);
}

static struct courier on_its_way;
static bool is_in_the_kernel;

static long go_the_way(void) {
    char text[4096];

    on_its_way.future = MINI_FUTURE(way_script, "way");
    on_its_way.got = 0;
    mini_test_capture_begin(); /* a backend may say that it cannot */
    long result = run(&on_its_way.future, virtual_clock());

    mini_test_capture_end(text, sizeof text);
    return result;
}

static void look_at_the_way(long result, const struct mini_test_fault *fault) {
    static const char *const others[] = {"read", "pread", "recv", "write",
        "send", "read in the ring", "write in the ring", "send in the ring"};
    const char *call = fault->call ? fault->call : "";

    for (size_t i = 0; i < COUNT_OF(others); i++)
        check(strcmp(call, others[i]) != 0);
    is_in_the_kernel |= strcmp(call, "sendfile") == 0 ||
        strcmp(call, "splice in the ring") == 0;
    if (!fault->call) check_equal(result, on_its_way.length);
}

static void ways(void) {
    int dir = make_folder();

    on_its_way = (struct courier){.file_size = 9000, .length = 9000};
    on_its_way.file = make_file(dir, on_its_way.file_size);
    remove_folder(dir);
    open_pair(UNIX_SOCKETS, false, on_its_way.fd);
    is_in_the_kernel = false;
    if (mini_test_each_fault(go_the_way, look_at_the_way) > 0)
        check(is_in_the_kernel);
    close_pair(on_its_way.fd);
    close(on_its_way.file);
    check_equal(on_its_way.wrong, 0);
}

static void g5_8_a_file_goes_by_way_of_the_kernel_alone(void **state) {
    (void)state;
    each_kernel(ways);
}

#else

static void g5_8_a_file_goes_by_way_of_the_kernel_alone(void **state) {
    (void)state;
    skip(); /* POSIX has no such call */
}

#endif

static mini_poll file_errors_to_socket(
    struct mini_future *future, struct mini_context cx) {
    struct courier *self = MINI_SELF(struct courier);
    struct rlimit files;

    MINI_BEGIN;
    STEP(mini_send_file(&self->out, self->fd[1], -1, 0, 10));
    STEP(mini_send_file(&self->out, self->fd[1], 9999, 0, 10));
    STEP(mini_send_file(&self->out, -1, self->file, 0, 10));
    STEP(mini_send_file(&self->out, 9999, self->file, 0, 10));
    allow_files(1, &files); /* too few for a pipe */
    MINI_AWAIT(mini_send_file(&self->out, self->fd[1], self->file, 0, 10));
    NOTE(MINI_RESULT == 10 || MINI_RESULT == -EMFILE);
    self->length = MINI_RESULT > 0 ? 10 : 0;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    self->partial = LONG_MAX;
    for (; self->j < 4; self->j++) { /* the doorbell's may be among them */
        self->i = (long)mini_stats()->operations;
        STEP(mini_send_file(&self->out, self->fd[1], self->file, 0, 10));
        self->i = (long)mini_stats()->operations - self->i;
        if (self->i < self->partial) self->partial = self->i;
    }
    NOTE(self->partial == (mini_self->io.features & MINI_SPLICE ? 2 : 1));
    drain_part(self);
    NOTE((long)(self->got - self->length));
    /* cancelled before it starts */
    self->length = 10;
    self->task = background(send_part(self));
    mini_cancel(self->task);
    STEP(mini_join(&self->join, self->task));
    NOTE((long)self->out.sent);
    MINI_END(0);
}

static void refused_deliveries(void) {
    struct courier self = {.future = MINI_FUTURE(file_errors_to_socket, "no")};
    struct rlimit files;
    int dir = make_folder();

    self.file = make_file(dir, 100);
    remove_folder(dir);
    getrlimit(RLIMIT_NOFILE, &files);
    open_pair(UNIX_SOCKETS, false, self.fd);
    long result = run(&self.future, virtual_clock());

    setrlimit(RLIMIT_NOFILE, &files);
    close_pair(self.fd);
    close(self.file);
    check_equal(result, 0);
    assert_notes(-EBADF, -EBADF, -EBADF, -EBADF, 1, 10, 10, 10, 10, 1, 40,
        -ECANCELED, 0);
}

static void g5_8_what_cannot_be_sent_from_a_file_is_told(void **state) {
    (void)state;
    each_kernel(refused_deliveries);
}

/* What the peer gets is what it says that it has sent. */
static mini_poll cut_courier_script(
    struct mini_future *future, struct mini_context cx) {
    struct courier *self = MINI_SELF(struct courier);

    MINI_BEGIN;
    for (; self->i < 60; self->i++) {
        self->got = 0;
        self->offset = (size_t)self->i * 11;
        self->length = self->i % 2 ? 400000 : 20000;
        self->task = background(send_part(self));
        for (self->j = self->i / 2 % 5; self->j > 0; self->j--) {
            MINI_AWAIT(mini_sleep(&self->sleep, 1));
            if (self->i % 7 == 0) drain_part(self);
        }
        if (self->i % 3 == 0) MINI_AWAIT(mini_yield(&self->yield));
        if (self->i % 5 == 0) MINI_AWAIT(mini_sleep(&self->sleep, MINI_MS));
        while (self->i % 10 == 9 && self->out.sent == 0)
            MINI_AWAIT(mini_sleep(&self->sleep, 1));
        mini_cancel(self->task);
        MINI_AWAIT(mini_join(&self->join, self->task));
        drain_part(self);
        if (MINI_RESULT == -ECANCELED)
            self->wrong += self->out.sent != 0 || self->got != 0;
        else
            self->wrong += MINI_RESULT != (long)self->out.sent ||
                self->out.sent != self->got;
        self->partial += MINI_RESULT > 0 && MINI_RESULT < (long)self->length;
    }
    NOTE(self->partial > 0);
    MINI_END(self->wrong);
}

static void cut_couriers(void) {
    for (int nonblocking = 0; nonblocking < 2; nonblocking++) {
        struct courier self = {
            .future = MINI_FUTURE(cut_courier_script, "cut")};
        int dir = make_folder();

        self.file = make_file(dir, 500000);
        remove_folder(dir);
        open_pair(UNIX_SOCKETS, nonblocking, self.fd);
        check_equal(run(&self.future, real_clock(1)), 0);
        close_pair(self.fd);
        close(self.file);
        assert_notes(1);
    }
}

/* One byte has gone, and its sender, whom that wakes, runs after us. */
static mini_poll one_byte_courier_script(
    struct mini_future *future, struct mini_context cx) {
    struct courier *self = MINI_SELF(struct courier);

    MINI_BEGIN;
    self->task = background(send_part(self));
    do MINI_AWAIT(mini_yield(&self->yield));
    while (self->out.io.active || self->out.io.fd != self->fd[1]);
    NOTE((long)self->out.sent);
    mini_cancel(self->task);
    STEP(mini_join(&self->join, self->task));
    drain_part(self);
    MINI_END((long)self->got);
}

static void one_byte_couriers(void) {
    struct courier self = {
        .future = MINI_FUTURE(one_byte_courier_script, "one byte"),
        .length = 10};
    int dir = make_folder();

    self.file = make_file(dir, 1);
    remove_folder(dir);
    open_pair(UNIX_SOCKETS, false, self.fd);
    check_equal(run(&self.future, virtual_clock()), 1);
    close_pair(self.fd);
    close(self.file);
    assert_notes(0, 1);
}

static void g5_2_a_cancelled_send_file_counts_every_byte(void **state) {
    (void)state;
    each_kernel(cut_couriers);
    each_kernel(one_byte_couriers);
}

/* ---- G5.8: fixed buffers and descriptors -------------------------------- */

enum { FIXED_BYTES = 65536 };
struct fixture {
    struct mini_future future;
    struct mini_io io;
    struct mini_statx look;
    struct mini_recv_stream stream;
    struct mini_join join;
    struct mini_sleep sleep;
    struct mini_task *task;
    struct mini_send_file out;
    struct mini_timeout timeout;
    struct sockaddr_in address;
    int dir, file, fd[2], other[2], listener;
    char *fixed,
        *loose; /* FIXED_BYTES each; behind FIXED as many that are not */
    struct mini_task *readers[8];
    long before;
    int i, at, count, round;
};

/* How many operations have used the registered buffer since; with poll(2), as
 * many as would have. */
static long fixed_since(struct fixture *self, uint64_t counter, long expected) {
    long count = (long)counter - self->before;

    self->before = (long)counter;
    return strcmp(mini_io_name(), "uring") == 0 ? count : expected;
}

#define FIXED_BUFFERS(count) \
    NOTE(fixed_since(self, mini_stats()->fixed_buffers, (count)))
#define FIXED_FILES(count) \
    NOTE(fixed_since(self, mini_stats()->fixed_files, (count)))

static bool has_pattern(const char *bytes, size_t size, size_t from) {
    for (size_t i = 0; i < size; i++)
        if (bytes[i] != pattern(from + i)) return false;
    return true;
}

static mini_poll fixed_buffer_script(
    struct mini_future *future, struct mini_context cx) {
    struct fixture *self = MINI_SELF(struct fixture);

    MINI_BEGIN;
    STEP(mini_read_fixed(&self->io, self->file, self->fixed, 100, 0));
    FIXED_BUFFERS(0); /* there is none yet */
    NOTE(mini_fix_buffer(self->fixed, FIXED_BYTES));
    STEP(mini_read_fixed(&self->io, self->file, self->fixed + 99, 50000, 50));
    NOTE(has_pattern(self->fixed + 99, 50000, 50));
    STEP(mini_write_fixed(
        &self->io, self->file, self->fixed + 99, 50000, 100000));
    STEP(mini_read(&self->io, self->file, self->loose, 50000, 100000));
    NOTE(has_pattern(self->loose, 50000, 50));
    STEP(mini_read_fixed(
        &self->io, self->file, self->fixed, FIXED_BYTES, 149990));
    STEP(mini_read_fixed(&self->io, self->file, self->fixed, 9, 150000));
    FIXED_BUFFERS(4);
    /* outside, and half outside: io_uring refuses what is not in the buffer */
    MINI_AWAIT(mini_read_fixed(&self->io, self->file, self->loose, 100, 7));
    NOTE(strcmp(mini_io_name(), "poll") == 0
            ? MINI_RESULT == 100 && has_pattern(self->loose, 100, 7)
            : MINI_RESULT == -EFAULT);
    MINI_AWAIT(mini_write_fixed(
        &self->io, self->file, self->fixed + FIXED_BYTES - 50, 100, 300000));
    NOTE(MINI_RESULT == (strcmp(mini_io_name(), "poll") == 0 ? 100 : -EFAULT));
    self->before = (long)mini_stats()->fixed_buffers;
    /* instead of it, another one */
    NOTE(mini_fix_buffer(self->loose, FIXED_BYTES));
    STEP(mini_read_fixed(&self->io, self->file, self->loose, 1000, 3));
    NOTE(has_pattern(self->loose, 1000, 3));
    FIXED_BUFFERS(1);
    /* of a socket, too */
    raw_send(self->fd[1], "hello", 5);
    STEP(mini_read_fixed(&self->io, self->fd[0], self->loose, 60, -1));
    STEP(mini_write_fixed(&self->io, self->fd[1], self->loose, 5, -1));
    NOTE((long)drain(self->fd[0], -1));
    FIXED_BUFFERS(2);
    /* none */
    NOTE(mini_fix_buffer(NULL, 0));
    NOTE(mini_fix_buffer(NULL, 0));
    STEP(mini_read_fixed(&self->io, self->file, self->loose, 1000, 30));
    NOTE(has_pattern(self->loose, 1000, 30));
    FIXED_BUFFERS(0);
    /* one that cannot be, after one that can: none */
    NOTE(mini_fix_buffer(self->fixed, FIXED_BYTES));
    NOTE(mini_fix_buffer((void *)8, FIXED_BYTES) <= 0);
    STEP(mini_read_fixed(&self->io, self->file, self->fixed, 1000, 60));
    NOTE(has_pattern(self->fixed, 1000, 60));
    NOTE(mini_fix_buffer(self->fixed, FIXED_BYTES)); /* one at the end */
    MINI_END(0);
}

static struct fixture make_fixture(
    mini_poll (*poll)(struct mini_future *, struct mini_context)) {
    struct fixture self = {.future = MINI_FUTURE(poll, "fixture"),
        .dir = make_folder(),
        .fixed = aligned_alloc(4096, 2 * FIXED_BYTES),
        .loose = aligned_alloc(4096, FIXED_BYTES)};

    check(self.fixed && self.loose);
    self.file = make_file(self.dir, 100000);
    self.listener = bound_socket(8, &self.address);
    open_pair(UNIX_SOCKETS, false, self.fd);
    open_pair(UNIX_SOCKETS, false, self.other);
    return self;
}

static void free_fixture(struct fixture *self) {
    remove_folder(self->dir);
    close(self->file);
    close(self->listener);
    close_pair(self->fd);
    close_pair(self->other);
    free(self->fixed);
    free(self->loose);
}

static void fixed_buffers(void) {
    struct fixture self = make_fixture(fixed_buffer_script);

    check_equal(run(&self.future, virtual_clock()), 0);
    free_fixture(&self);
    assert_notes(100, 0, 0, 50000, 1, 50000, 50000, 1, 10, 0, 4, 1, 1, 0, 1000,
        1, 1, 5, 5, 5, 2, 0, 0, 1000, 1, 0, 0, 1, 1000, 1, 0);
}

static void g5_8_fixed_buffers_are_used_and_given_up(void **state) {
    (void)state;
    each_kernel(fixed_buffers);
}

static mini_poll fixed_file_script(
    struct mini_future *future, struct mini_context cx) {
    struct fixture *self = MINI_SELF(struct fixture);

    MINI_BEGIN;
    NOTE(mini_fix_file(-1, true));
    NOTE(mini_fix_file(9999, true));
    NOTE(mini_fix_file(9999, false));
    NOTE(mini_fix_file(self->fd[0], false)); /* it is not */
    STEP(mini_send(&self->io, self->fd[1], "a", 1));
    FIXED_FILES(0);
    NOTE(mini_fix_file(self->fd[0], true));
    NOTE(mini_fix_file(self->fd[1], true));
    NOTE(mini_fix_file(self->fd[1], true)); /* once more */
    STEP(mini_send(&self->io, self->fd[1], "b", 1));
    STEP(mini_readable(&self->io, self->fd[0])); /* may be one, or not */
    self->before = (long)mini_stats()->fixed_files - 1;
    STEP(mini_recv(&self->io, self->fd[0], self->loose, 60));
    STEP(mini_send_zc(&self->io, self->fd[1], "zc", 2));
    STEP(mini_read(&self->io, self->fd[0], self->loose, 60, -1));
    NOTE((long)mini_stats()->fixed_files - self->before >= 4 ||
        strcmp(mini_io_name(), "poll") == 0);
    /* what waits can be cancelled */
    self->task = background(mini_recv(&self->io, self->fd[0], self->loose, 60));
    SETTLE(self);
    mini_cancel(self->task);
    STEP(mini_join(&self->join, self->task));
    /* a stream, a part of a file */
    mini_recv_stream(&self->stream, self->fd[0]);
    STEP(mini_send_file(&self->out, self->fd[1], self->file, 10, 3000));
    STEP(mini_recv_next(&self->stream));
    NOTE(has_pattern(self->stream.lease->data, self->stream.lease->length, 10));
    mini_lease_return(self->stream.lease);
    STEP(mini_recv_end(&self->stream));
    /* files, directories, a listening socket */
    NOTE(mini_fix_file(self->file, true));
    NOTE(mini_fix_file(self->dir, true));
    NOTE(mini_fix_file(self->listener, true));
    STEP(mini_write_all(&self->io, self->file, "text", 4, 0));
    STEP(mini_read_exact(&self->io, self->file, self->loose, 4, 0));
    STEP(mini_fsync(&self->io, self->file));
    STEP(mini_statx(&self->look, self->file, ""));
    NOTE((long)self->look.size);
    STEP(mini_openat(&self->io, self->dir, "none", O_RDONLY, 0));
    self->i = raw_connect(&self->address);
    MINI_AWAIT(mini_accept(&self->io, self->listener));
    NOTE(MINI_RESULT >= 0 && close((int)MINI_RESULT) == 0);
    close(self->i);
    /* no longer */
    NOTE(mini_fix_file(self->fd[1], false));
    NOTE(mini_fix_file(self->fd[1], false));
    self->before = (long)mini_stats()->fixed_files;
    STEP(mini_send(&self->io, self->fd[1], "c", 1));
    FIXED_FILES(0);
    STEP(mini_recv(&self->io, self->fd[0], self->loose, 60));
    FIXED_FILES(1);
    /* closed, its peer is told; then another has its number */
    self->i = self->fd[0];
    STEP(mini_close(&self->io, self->fd[0]));
    NOTE(fcntl(self->i, F_GETFD));
    STEP(mini_recv(&self->io, self->fd[1], self->loose, 60));
    STEP(mini_recv(&self->io, self->i, self->loose, 60));
    NOTE(mini_fix_file(self->i, false));
    must(dup2(self->other[0], self->i) == self->i, "dup2");
    raw_send(self->other[1], "new", 3);
    self->before = (long)mini_stats()->fixed_files;
    STEP(mini_recv(&self->io, self->i, self->loose, 60));
    FIXED_FILES(0);
    NOTE(mini_fix_file(self->i, true));
    raw_send(self->other[1], "newer", 5);
    STEP(mini_recv(&self->io, self->i, self->loose, 60));
    FIXED_FILES(1);
    MINI_END(0);
}

static void fixed_files(void) {
    struct fixture self = make_fixture(fixed_file_script);

    check_equal(run(&self.future, virtual_clock()), 0);
    free_fixture(&self);
    assert_notes(-EBADF, -EBADF, -EBADF, 0, 1, 0, 0, 0, 0, 1, 0, 2, 2, 2, 1,
        -ECANCELED, 3000, 3000, 1, 0, 0, 0, 0, 4, 4, 0, 0, 100000, -ENOENT, 1,
        0, 0, 1, 0, 1, 1, 0, -1, 0, -EBADF, -EBADF, 3, 0, 0, 5, 1);
}

static void g5_8_fixed_descriptors_are_used_and_given_up(void **state) {
    (void)state;
    each_kernel(fixed_files);
}

/* It is the table's entry that is used and no look-up of the number: it still
 * reads from what has lost that, by a close(2) too early. */
static mini_poll entry_script(
    struct mini_future *future, struct mini_context cx) {
    struct fixture *self = MINI_SELF(struct fixture);

    MINI_BEGIN;
    self->i = fcntl(self->other[0], F_DUPFD_CLOEXEC, 0);
    NOTE(mini_fix_file(self->i, true));
    close(self->i);
    raw_send(self->other[1], "hello", 5);
    MINI_AWAIT(mini_recv(&self->io, self->i, self->loose, 60));
    NOTE(MINI_RESULT ==
        (strcmp(mini_io_name(), "poll") == 0 ? (long)-EBADF : 5));
    MINI_END(0);
}

static void entries(void) {
    struct fixture self = make_fixture(entry_script);

    check_equal(run(&self.future, virtual_clock()), 0);
    free_fixture(&self);
    assert_notes(0, 1);
}

static void g5_8_a_fixed_descriptor_is_not_looked_up(void **state) {
    (void)state;
    each_kernel(entries);
}

/* A number beyond io_uring's table is refused, and works all the same. */
static mini_poll high_file_script(
    struct mini_future *future, struct mini_context cx) {
    struct fixture *self = MINI_SELF(struct fixture);

    MINI_BEGIN;
    self->i = mini_fix_file(self->other[0], true);
    NOTE(self->i ==
        (self->other[0] < 1024 || strcmp(mini_io_name(), "poll") == 0
                ? 0
                : -EMFILE));
    raw_send(self->other[1], "hello", 5);
    STEP(mini_recv(&self->io, self->other[0], self->loose, 60));
    NOTE(mini_fix_file(self->other[0], false) == self->i);
    raw_send(self->other[1], "you", 3);
    STEP(mini_recv(&self->io, self->other[0], self->loose, 60));
    MINI_END(0);
}

static void high_files(void) {
    static const int numbers[] = {1000, 1023, 1024, 1025, 1040};

    for (size_t i = 0; i < COUNT_OF(numbers); i++) {
        struct fixture self = make_fixture(high_file_script);
        int high = fcntl(self.other[0], F_DUPFD, numbers[i]);

        if (high >= 0) {
            close(self.other[0]);
            self.other[0] = high;
        }
        check_equal(run(&self.future, virtual_clock()), 0);
        free_fixture(&self);
        if (high < 0) return;
        assert_notes(1, 5, 1, 3);
    }
}

static void g5_8_a_descriptor_beyond_the_table_works_unfixed(void **state) {
    struct rlimit before, more;

    (void)state;
    getrlimit(RLIMIT_NOFILE, &before);
    more = before;
    if (more.rlim_cur < 1200 && more.rlim_max >= 1200) more.rlim_cur = 1200;
    setrlimit(RLIMIT_NOFILE, &more);
    two_kernels(high_files);
    setrlimit(RLIMIT_NOFILE, &before);
}

/* ---- G5.1: the lowest descriptor ----------------------------------------- */

/* 0 is free meanwhile: it is accepted, opened, the end of a pipe. */
static mini_poll lowest_script(
    struct mini_future *future, struct mini_context cx) {
    struct queue *self = MINI_SELF(struct queue);
    struct script *s = &self->script;
    static struct mini_send_file out;

    MINI_BEGIN;
    connect_peers(self, 2);
    MINI_AWAIT(mini_offload(&s->io[0], nothing, NULL)); /* has its helper */
    close(0);
    STEP(mini_accept(&s->io[0], s->fd[0]));
    NOTE(mini_fix_file(0, true));
    raw_send(self->peer[0], "hello", 5);
    STEP(mini_readable(&s->io[0], 0));
    STEP(mini_recv(&s->io[0], 0, s->buffer, 60));
    STEP(mini_send(&s->io[0], 0, "you", 3));
    NOTE(mini_stats()->fixed_files >= 2 || strcmp(mini_io_name(), "poll") == 0);
    STEP(mini_close(&s->io[0], 0));
    STEP(mini_recv(&s->io[0], self->peer[0], s->buffer, 60));
    STEP(mini_timeout(&s->timeout, /* the ring keeps it open no longer */
        mini_recv(&s->io[0], self->peer[0], s->buffer, 60), 5 * MINI_SECOND));
    mini_accept_stream(&s->stream, s->fd[0]);
    mini_test_fail_alloc_after(0); /* so it is closed again */
    STEP(mini_accept_next(&s->stream));
    mini_test_fail_alloc_after(-1);
    STEP(mini_accept_end(&s->stream));
    NOTE(open("/dev/null", O_RDONLY));
    connect_peers(self, 1);
    close(0);
    STEP(mini_accept_next(&s->stream));
    close(0);
    STEP(mini_accept_end(&s->stream));
    STEP(mini_send_file(&out, s->fd[2], s->fd[3], 0, 10));
    NOTE((long)drain(s->fd[1], -1));
    STEP(mini_openat(&s->io[0], AT_FDCWD, "/dev/null", O_RDWR, 0));
    while (self->count > 0) reset(self->peer[--self->count]);
    MINI_END(0);
}

/* FIRST is the listening socket's, or else the connection's. */
struct lowest_server {
    struct script script;
    struct server_run server;
    bool first;
};

static mini_poll lowest_body(
    struct mini_future *future, struct mini_context cx) {
    struct lowest_server *self = (struct lowest_server *)(void *)future;
    struct script *s = &self->script;

    MINI_BEGIN;
    s->address = loopback(server_port);
    s->fd[0] = raw_connect(&s->address);
    if (!self->first) close(0);
    STEP(mini_recv(&s->io[0], s->fd[0], s->buffer, 1));
    NOTE(fcntl(0, F_GETFD) >= 0);
    reset(s->fd[0]);
    while (!self->first && fcntl(0, F_GETFD) >= 0) A_TURN(s);
    if (!self->first) NOTE(open("/dev/null", O_RDONLY));
    MINI_END(0);
}

static void lowest_descriptor(void) {
    static struct queue self;
    int dir = make_folder();

    make_queue(&self, lowest_script, false);
    self.script.fd[3] = make_file(dir, 10);
    remove_folder(dir);
    open_pair(UNIX_SOCKETS, false, self.script.fd + 1);
    check_equal(run(&self.script.future, real_clock(1)), 0);
    assert_notes(0, 0, 0, 5, 3, 1, 0, 3, 0, -ENOMEM, 0, 0, 0, 0, 10, 10, 0);
    free_queue(&self);
    close(0); /* now it is the runtime's own */
    check_equal(workload(2), 0);
    check_equal(open("/dev/null", O_RDONLY), 0);
    for (int first = 0; first < 2; first++) {
        static struct lowest_server server;

        server = (struct lowest_server){.first = first};
        server.script.future = MINI_FUTURE(lowest_body, "lowest");
        server.server = make_server(&server.script.future, MINI_ACCEPT_SPREAD);
        if (first) close(0);
        check_equal(run(&server.server.future, real_clock(1)), 0);
        if (first)
            assert_notes(1, 1, -ECANCELED);
        else
            assert_notes(1, 1, 0, -ECANCELED);
    }
}

static void g5_1_the_lowest_descriptor_is_as_good_as_any(void **state) {
    char text[4096];

    (void)state;
    in_child_process(lowest_descriptor, text, sizeof text);
    assert_string_equal(text, "");
}

#ifdef O_DIRECT

struct direct_read {
    struct mini_future future;
    struct mini_io io;
    char *block;
    int fd;
};

static mini_poll direct_read(
    struct mini_future *future, struct mini_context cx) {
    struct direct_read *self = MINI_SELF(struct direct_read);

    MINI_BEGIN;
    MINI_AWAIT(mini_read_fixed(&self->io, self->fd, self->block, 4096, 0));
    MINI_END(MINI_RESULT);
}

/* How often the kernel was entered since; with poll(2), as often as it should.
 */
static long entered_since(struct fixture *self, long expected) {
    long count = (long)mini_stats()->enters - self->before;

    return strcmp(mini_io_name(), "uring") == 0 ? count : expected;
}

static mini_poll direct_script(
    struct mini_future *future, struct mini_context cx) {
    struct fixture *self = MINI_SELF(struct fixture);

    MINI_BEGIN;
    MINI_AWAIT(mini_openat(
        &self->io, self->dir, "direct", O_RDWR | O_CREAT | O_DIRECT, 0600));
    NOTE(MINI_RESULT >= 0 || MINI_RESULT == -EINVAL);
    self->i = (int)MINI_RESULT;
    if (self->i < 0) MINI_RETURN(1);
    NOTE(mini_fix_buffer(self->fixed, FIXED_BYTES));
    NOTE(mini_fix_file(self->i, true));
    for (size_t i = 0; i < FIXED_BYTES; i++) self->fixed[i] = pattern(i);
    STEP(mini_write_fixed(&self->io, self->i, self->fixed, FIXED_BYTES, 0));
    STEP(mini_write_all(&self->io, self->i, self->fixed, 8192, FIXED_BYTES));
    memset(self->fixed, 0, FIXED_BYTES);
    STEP(mini_read_fixed(&self->io, self->i, self->fixed + 4096, 16384, 4096));
    NOTE(has_pattern(self->fixed + 4096, 16384, 4096));
    STEP(mini_read_exact(
        &self->io, self->i, self->loose, FIXED_BYTES, FIXED_BYTES));
    NOTE(has_pattern(self->loose, 8192, 0));
    NOTE(mini_fix_file(self->file, true));
    /* of eight the device knows before the turn ends; of seven, and of eight
     * from the page cache, the kernel does not */
    for (self->round = 0; self->round < 3; self->round++) {
        self->before = (long)mini_stats()->enters;
        self->count = self->round == 0 ? 7 : 8;
        for (int i = 0; i < self->count; i++)
            self->readers[i] = MINI_SPAWN(struct direct_read, direct_read,
                .block = self->fixed + i * 4096,
                .fd = self->round < 2 ? self->i : self->file);
        MINI_YIELD();
        NOTE(entered_since(self, self->round == 1));
        for (self->at = 0; self->at < self->count; self->at++)
            STEP(mini_join(&self->join, self->readers[self->at]));
    }
    STEP(mini_fsync(&self->io, self->i));
    STEP(mini_close(&self->io, self->i));
    MINI_END(0);
}

static bool has_direct;

static void direct_files(void) {
    struct fixture self = make_fixture(direct_script);
    long result = run(&self.future, virtual_clock());

    unlinkat(self.dir, "direct", 0);
    free_fixture(&self);
    has_direct = result == 0;
    if (!has_direct) return;
    assert_notes(1, 0, 0, FIXED_BYTES, 8192, 16384, 1, 8192, 1, /* fixed */ 0,
        /* seven */ 0, 4096, 4096, 4096, 4096, 4096, 4096, 4096,
        /* eight */ 1, 4096, 4096, 4096, 4096, 4096, 4096, 4096, 4096,
        /* cached */ 0, 4096, 4096, 4096, 4096, 4096, 4096, 4096, 4096, 0, 0);
}

static void g5_8_files_past_the_page_cache(void **state) {
    (void)state;
    each_kernel(direct_files);
    if (!has_direct) skip(); /* not on this file system */
}

#else

static void g5_8_files_past_the_page_cache(void **state) {
    (void)state;
    skip();
}

#endif

/* ---- G5.3: streams and files with a kernel that makes difficulties ------ */

/* Two streams get something in the same turn; who is polled first cancels the
 * other's wait, whose bytes stay in the stream. */
struct stream_rival {
    struct mini_future future;
    struct mini_recv_stream *stream;
    struct mini_task **other;
};

static mini_poll stream_rival(
    struct mini_future *future, struct mini_context cx) {
    struct stream_rival *self = MINI_SELF(struct stream_rival);

    MINI_BEGIN;
    MINI_AWAIT(mini_recv_next(self->stream));
    if (!*self->other) MINI_RETURN(MINI_RESULT);
    mini_cancel(*self->other);
    *self->other = NULL;
    MINI_END(MINI_RESULT);
}

static mini_poll stream_rivals_script(
    struct mini_future *future, struct mini_context cx) {
    struct script *self = MINI_SELF(struct script);
    static struct mini_recv_stream stream[2];
    static struct mini_task *cancels[2];

    MINI_BEGIN;
    for (self->i = 0; self->i < 2; self->i++) {
        mini_recv_stream(&stream[self->i], self->fd[2 * self->i]);
        self->task[self->i] = MINI_SPAWN(struct stream_rival, stream_rival,
            .stream = &stream[self->i], .other = &cancels[self->i]);
        cancels[1 - self->i] = self->task[self->i];
    }
    SETTLE(self);
    raw_send(self->fd[1], "aa", 2);
    raw_send(self->fd[3], "bb", 2);
    for (self->i = 0; self->i < 2; self->i++) {
        MINI_AWAIT(mini_join(&self->join, self->task[self->i]));
        self->sum += MINI_RESULT == -ECANCELED;
        if (MINI_RESULT == -ECANCELED)
            MINI_AWAIT(mini_recv_next(&stream[self->i]));
        NOTE(MINI_RESULT);
        NOTE(stream[self->i].lease->data[0]);
        mini_lease_return(stream[self->i].lease);
        STEP(mini_recv_end(&stream[self->i]));
    }
    MINI_END(self->sum);
}

static void stream_rivals(void) {
    struct script self =
        MINI_FRAME(struct script, stream_rivals_script, .i = 0);

    open_pair(UNIX_SOCKETS, false, self.fd);
    open_pair(UNIX_SOCKETS, true, self.fd + 2);
    check_equal(run(&self.future, virtual_clock()), 1);
    close_pair(self.fd);
    close_pair(self.fd + 2);
    assert_notes(2, 'a', 0, 2, 'b', 0);
}

static void g5_2_bytes_that_come_with_a_cancel_stay_in_the_stream(
    void **state) {
    (void)state;
    each_kernel(stream_rivals);
}

#if HAS_SECCOMP

/* What does not depend on what a turn brings. */
static void newer_work(void) {
    stream_of(UNIX_SOCKETS, false, 200000);
    stream_of(TCP_SOCKETS, true, 100000);
    feast_of(UNIX_SOCKETS, 2);
    cancelled_stream(UNIX_SOCKETS, true);
    cancelled_stream(TCP_SOCKETS, false);
    timed_stream(UNIX_SOCKETS, false, 300); /* a judge takes long */
    cancelled_post();
    timed_post();
    zero_copies();
    full_zero_copies();
    for (int i = 0; i < 5; i++)
        deliver(i % 2 ? UNIX_SOCKETS : TCP_SOCKETS, i / 2, 70000, 10, 60000);
    cut_couriers();
}

static void newer_files(void) {
    write_and_read_files();
    look_at_files();
    cancelled_writes();
    cancelled_opens();
    errand_race();
    fixed_buffers();
    fixed_files();
}

static void newer_work_interrupted(void) {
    static const int uring[] = {SYS_io_uring_enter};
    static const int poll[] = {SYS_ppoll, SYS_recvfrom, SYS_sendto, SYS_recvmsg,
        SYS_sendmsg, SYS_sendfile, SYS_fsync, SYS_pwrite64};

    if (on_uring()) {
        appoint(uring, COUNT_OF(uring));
    } else {
        the_judge.errors[1] = the_judge.errors[2] = EINTR;
        appoint(poll, COUNT_OF(poll));
    }
    two_kernels(newer_work);
    two_kernels(newer_files);
}

static void g5_3_streams_and_files_with_ebusy_eagain_or_eintr(void **state) {
    static const unsigned every[] = {2, 5};
    char text[4096];

    (void)state;
    skip_under_tsan();
    for (size_t i = 0; i < COUNT_OF(every); i++) {
        the_judge =
            (struct judge){.every = every[i], .errors = {EINTR, EAGAIN, EBUSY}};
        in_child_process(newer_work_interrupted, text, sizeof text);
        assert_string_equal(text, "");
    }
}

/* ---- what can be registered is refused ---- */

static mini_poll unregistered_script(
    struct mini_future *future, struct mini_context cx) {
    struct fixture *self = MINI_SELF(struct fixture);

    MINI_BEGIN;
    NOTE(mini_fix_buffer(self->fixed, FIXED_BYTES));
    NOTE(mini_fix_file(self->file, true));
    STEP(mini_write_fixed(&self->io, self->file, self->fixed, 99, 7));
    STEP(mini_read_fixed(&self->io, self->file, self->fixed, 100, 0));
    NOTE((long)mini_stats()->fixed_buffers);
    NOTE((long)mini_stats()->fixed_files);
    MINI_END((long)mini_self->io.features);
}

static long all_features;

static void unregistered(void) {
    static const int set_up[] = {SYS_io_uring_register};

    if (!on_uring()) _exit(SKIPPED);
    struct mini_future main = MINI_FUTURE(describe, "describe");

    all_features = run(&main, real_clock(1));
    appoint(set_up, COUNT_OF(set_up));
    struct fixture self = make_fixture(unregistered_script);
    long features = run(&self.future, virtual_clock());
    int refused = the_judge.registration;
    bool buffer = refused != IORING_REGISTER_BUFFERS;
    bool file = refused != IORING_REGISTER_FILES2 &&
        refused != IORING_REGISTER_FILES_UPDATE;

    free_fixture(&self);
    assert_notes(buffer ? 0 : -EINVAL, file ? 0 : -EINVAL, 99, 100, 2 * buffer,
        2 * file);
    if (refused == IORING_REGISTER_PROBE) all_features = 0;
    if (refused == IORING_REGISTER_PBUF_RING) all_features &= ~MINI_BUFFER_RING;
    check_equal(features, all_features);
    stream_of(UNIX_SOCKETS, true, 50000);
    feast_of(UNIX_SOCKETS, 2);
    check_equal(workload(1), 0);
}

static void g5_6_what_cannot_be_registered_is_done_without(void **state) {
    static const int registrations[] = {IORING_REGISTER_PROBE,
        IORING_REGISTER_PBUF_RING, IORING_REGISTER_BUFFERS,
        IORING_REGISTER_FILES2, IORING_REGISTER_FILES_UPDATE};
    char text[4096];

    (void)state;
    skip_under_tsan();
    for (size_t i = 0; i < COUNT_OF(registrations); i++) {
        the_judge = (struct judge){.registration = registrations[i],
            .errors = {EINVAL, EINVAL, EINVAL}};
        in_child_process(unregistered, text, sizeof text);
        assert_string_equal(text, "");
    }
}

/* A place in the table that cannot be given up is not used any more: the number
 * may be another descriptor's. */
static mini_poll kept_place_script(
    struct mini_future *future, struct mini_context cx) {
    struct fixture *self = MINI_SELF(struct fixture);

    MINI_BEGIN;
    NOTE(mini_fix_file(self->fd[0], true));
    the_judge.registration = IORING_REGISTER_FILES_UPDATE;
    NOTE(mini_fix_file(self->fd[1], true));
    NOTE(mini_fix_file(self->fd[0], false));
    the_judge.registration = -1;
    must(dup2(self->other[0], self->fd[0]) == self->fd[0], "dup2");
    raw_send(self->other[1], "other", 5);
    STEP(WITHIN(mini_recv(&self->io, self->fd[0], self->loose, 60)));
    NOTE((long)mini_stats()->fixed_files);
    MINI_END(0);
}

static void kept_place(void) {
    static const int registers[] = {SYS_io_uring_register};

    if (!on_uring()) _exit(SKIPPED);
    appoint(registers, 1);
    struct fixture self = make_fixture(kept_place_script);

    check_equal(run(&self.future, virtual_clock()), 0);
    free_fixture(&self);
    assert_notes(0, -EINVAL, -EINVAL, 5, 0);
}

static void g5_8_a_place_that_cannot_be_given_up_is_not_used(void **state) {
    char text[4096];

    (void)state;
    skip_under_tsan();
    the_judge =
        (struct judge){.registration = -1, .errors = {EINVAL, EINVAL, EINVAL}};
    in_child_process(kept_place, text, sizeof text);
    assert_string_equal(text, "");
}

/* ---- send_zc where nothing is copied, and where it is unknown ---- */

static void zero_work(void) {
    static const int enter[] = {SYS_io_uring_enter};

    if (!on_uring()) _exit(SKIPPED);
    appoint(enter, COUNT_OF(enter));
    if (the_judge.without) zero_copies();
    if (the_judge.with) copied_sends();
}

static void g5_8_send_zc_says_whether_it_has_copied(void **state) {
    static const uint16_t report = 8; /* IORING_SEND_ZC_REPORT_USAGE */
    char text[4096];

    (void)state;
    skip_under_tsan();
    /* unasked, the kernel does not say that it has copied */
    the_judge = (struct judge){.without = report};
    in_child_process(zero_work, text, sizeof text);
    assert_string_equal(text, "");
    /* a flag that it does not know is -EINVAL */
    the_judge = (struct judge){.with = 1 << 15};
    in_child_process(zero_work, text, sizeof text);
    assert_string_equal(text, "");
}

static void newer_work_hurried(void) {
    static const int enter[] = {SYS_io_uring_enter};

    if (!on_uring()) _exit(SKIPPED);
    appoint(enter, COUNT_OF(enter));
    two_kernels(newer_work);
}

static void g5_3_streams_and_datagrams_that_find_nothing(void **state) {
    char text[4096];

    (void)state;
    skip_under_tsan();
    the_judge = (struct judge){.hurry = true};
    in_child_process(newer_work_hurried, text, sizeof text);
    assert_string_equal(text, "");
}

static void shortened_work(void) {
    write_and_read_files();
    refused_files();
    cancelled_writes();
    full_disk();
    send_all(UNIX_SOCKETS, false);
    send_all(TCP_SOCKETS, true);
    transfer(PIPE, false);
    cut_short(UNIX_SOCKETS, false);
    stream_of(UNIX_SOCKETS, false, 100000);
    zero_copies();
    for (int i = 0; i < 5; i++)
        deliver(i % 2 ? UNIX_SOCKETS : TCP_SOCKETS, i / 2, 70000, 10, 60000);
    cut_couriers();
    slow_peers();
}

static void work_shortened(void) {
    static const int enter[] = {SYS_io_uring_enter};

    if (!on_uring()) _exit(SKIPPED);
    appoint(enter, COUNT_OF(enter));
    two_kernels(shortened_work);
}

static void g5_3_short_transfers_are_gone_on_with(void **state) {
    char text[4096];

    (void)state;
    skip_under_tsan();
    take_chances();
    the_judge = (struct judge){.shorten = true};
    in_child_process(work_shortened, text, sizeof text);
    assert_string_equal(text, "");
}

#else

static void g5_6_what_cannot_be_registered_is_done_without(void **state) {
    (void)state;
    skip();
}

static void g5_8_a_place_that_cannot_be_given_up_is_not_used(void **state) {
    (void)state;
    skip();
}

static void g5_8_send_zc_says_whether_it_has_copied(void **state) {
    (void)state;
    skip();
}

static void g5_3_streams_and_files_with_ebusy_eagain_or_eintr(void **state) {
    (void)state;
    skip();
}

static void g5_3_streams_and_datagrams_that_find_nothing(void **state) {
    (void)state;
    skip();
}

static void g5_3_short_transfers_are_gone_on_with(void **state) {
    (void)state;
    skip();
}

#endif

/* ---- completions that are rare ------------------------------------------ */

/* Of linux/io_uring.h, which is not there to be included everywhere. */
enum { CQE_BUFFER = 1, CQE_MORE = 2 };

/* The kernel may take a buffer from the ring and then have nothing to put into
 * it: the connection has ended. Which kernels do differs. */
static void empty_the_buffer(void *operation, int *result, uint32_t *flags) {
    struct mini_io *io = operation;

    if (io && io->op == MINI_OP_RECV_LEASE && *flags & CQE_BUFFER &&
        !(*flags & CQE_MORE))
        *result = 0;
}

static mini_poll empty_buffers_script(
    struct mini_future *future, struct mini_context cx) {
    struct sink *self = MINI_SELF(struct sink);

    MINI_BEGIN;
    for (; self->i < 8; self->i++) { /* more of them than there are buffers */
        mini_recv_stream(&self->stream, self->fd[0]);
        raw_send(self->fd[1], "x", 1);
        mini_test_completion = empty_the_buffer;
        STEP(mini_recv_next(&self->stream));
        mini_test_completion = NULL;
        STEP(mini_recv_end(&self->stream));
    }
    STEP(CENSUS(&the_census, 4));
    MINI_END((long)mini_stats()->leases);
}

static void g5_4_a_buffer_that_comes_empty_goes_back(void **state) {
    struct sink self = {.future = MINI_FUTURE(empty_buffers_script, "empty")};
    struct mini_future main = MINI_FUTURE(describe, "describe");

    (void)state;
    if (!(run(&main, real_clock(1)) & MINI_BUFFER_RING)) skip();
    open_pair(UNIX_SOCKETS, false, self.fd);
    check_equal(run(&self.future, few_buffers(4, true)), 4);
    close_pair(self.fd);
    assert_notes(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
}

/* Results that the next completions of an operation of this kind are to have. */
enum { CQE_NOTIF = 8, RESTART = 512 /* ERESTARTSYS, of the kernel's own */ };
static struct {
    enum mini_op op;
    int results[3];
    size_t count, seen;
} forgery;

static void forge(void *operation, int *result, uint32_t *flags) {
    struct mini_io *io = operation;

    if (!io || io->op != forgery.op || *flags & CQE_NOTIF) return;
    if (forgery.seen < forgery.count) *result = forgery.results[forgery.seen];
    forgery.seen++;
}

#define FORGE(kind, ...) \
    do { \
        static const int forged[] = {__VA_ARGS__}; \
        forgery.op = (kind); \
        forgery.seen = 0; \
        forgery.count = COUNT_OF(forged); \
        memcpy(forgery.results, forged, sizeof forged); \
    } while (0)

static mini_poll tried_again_script(
    struct mini_future *future, struct mini_context cx) {
    struct script *self = MINI_SELF(struct script);

    MINI_BEGIN;
    mini_test_completion = forge;
    FORGE(MINI_OP_READ, -EINTR, -RESTART);
    STEP(mini_read(&self->io[0], self->fd[2], self->buffer, 60, 0));
    NOTE((long)forgery.seen);
    FORGE(MINI_OP_READ, -EAGAIN); /* then waits until it is ready */
    STEP(mini_read(&self->io[0], self->fd[2], self->buffer, 60, 0));
    NOTE((long)forgery.seen);
    /* the kernel found no thread for it */
    FORGE(MINI_OP_READ, -ECANCELED, -ECANCELED);
    STEP(mini_read(&self->io[0], self->fd[2], self->buffer, 60, 0));
    NOTE((long)forgery.seen);
    FORGE(MINI_OP_CLOSE, -ECANCELED); /* is not true: it was closed */
    STEP(mini_close(&self->io[0], dup(self->fd[2])));
    NOTE((long)forgery.seen);
    FORGE(MINI_OP_RECV, -EINVAL); /* that is all that there is to say */
    raw_send(self->fd[1], "x", 1);
    STEP(WITHIN(mini_recv(&self->io[0], self->fd[0], self->buffer, 1)));
    NOTE((long)forgery.seen);
    mini_test_completion = NULL;
    MINI_END(0);
}

static void g5_3_what_is_interrupted_or_not_ready_is_tried_again(void **state) {
    struct script self = MINI_FRAME(struct script, tried_again_script, .i = 0);
    FILE *file = tmpfile();

    (void)state;
    if (!on_uring()) skip();
    check(file != NULL);
    check(fputs("hello", file) >= 0 && fflush(file) == 0);
    open_pair(UNIX_SOCKETS, false, self.fd);
    self.fd[2] = fileno(file);
    check_equal(run(&self.future, virtual_clock()), 0);
    close_pair(self.fd);
    fclose(file);
    assert_notes(5, 3, 5, 3, 5, 3, -EBADF, 2, -EINVAL, 1);
}

/* What the kernel leaves to a thread of its own it gives up, as if cancelled, if
 * it cannot make one: for signals that keep coming, or a limit. */
static struct rlimit processes;
static int given_up;

static void lift_the_limit(void *operation, int *result, uint32_t *flags) {
    struct mini_io *io = operation;

    (void)flags;
    if (!io || io->op != MINI_OP_SHUTDOWN || *result != -ECANCELED) return;
    if (++given_up == 3)
        must(setrlimit(RLIMIT_NPROC, &processes) == 0, "limit");
}

static mini_poll without_threads_script(
    struct mini_future *future, struct mini_context cx) {
    struct script *self = MINI_SELF(struct script);

    MINI_BEGIN;
    self->task[0] =
        background(mini_shutdown_socket(&self->io[1], self->fd[1], SHUT_WR));
    A_TURN(self);
    mini_cancel(self->task[0]);
    STEP(mini_join(&self->join, self->task[0]));
    STEP(mini_shutdown_socket(&self->io[0], self->fd[1], SHUT_WR));
    STEP(mini_recv(&self->io[0], self->fd[0], self->buffer, 1));
    MINI_END(0);
}

/* From now on this process has a limit, which root would not have; a user whom
 * nobody else is, for what all of a user's processes have counts together. */
static void have_a_limit(int resource, rlim_t most) {
    struct rlimit limit;

    if (geteuid() == 0 && setuid(20000 + (uid_t)getpid() % 40000) != 0)
        _exit(SKIPPED);
    must(getrlimit(resource, &limit) == 0, "getrlimit");
    if (limit.rlim_max < most) most = limit.rlim_max;
    limit.rlim_cur = most;
    must(setrlimit(resource, &limit) == 0, "setrlimit");
}

static void without_threads(void) {
    struct script self =
        MINI_FRAME(struct script, without_threads_script, .i = 0);

    if (!on_uring()) _exit(SKIPPED);
    open_pair(UNIX_SOCKETS, false, self.fd);
    must(getrlimit(RLIMIT_NPROC, &processes) == 0, "getrlimit");
    have_a_limit(RLIMIT_NPROC, 0);
    mini_test_completion = lift_the_limit;
    check_equal(run(&self.future, real_clock(1)), 0);
    if (given_up < 3) _exit(SKIPPED); /* there was no limit to this process */
    assert_notes(-ECANCELED, 0, 0);
}

static void g5_3_what_has_no_thread_in_the_kernel_waits_for_one(void **state) {
    char text[4096];

    (void)state;
    in_child_process(without_threads, text, sizeof text);
    assert_string_equal(text, "");
}

/* Memory that a ring may lock is short for some time after another was closed. */
static long run_once(void) {
    struct mini_future main = MINI_FUTURE(describe, "describe");
    char text[4096];

    mini_test_capture_begin();
    long features = run(&main, real_clock(1));

    mini_test_capture_end(text, sizeof text);
    return features;
}

static int shortages;

static void comes_back(long features, const struct mini_test_fault *fault) {
    static long all;

    if (!fault->call) {
        all = features;
    } else if (fault->error == ENOMEM &&
        (strcmp(fault->call, "io_uring_queue_init_params") == 0 ||
            strcmp(fault->call, "io_uring_register_buf_ring") == 0)) {
        check_equal(features, all);
        shortages++;
    }
}

static void g5_6_memory_that_was_short_for_a_moment_changes_nothing(
    void **state) {
    (void)state;
    if (!on_uring()) skip();
    shortages = 0;
    if (mini_test_each_fault(run_once, comes_back) == 0) skip();
    check_equal(shortages, 2);
}

/* But not once it is to be stopped. */
static mini_poll not_again_script(
    struct mini_future *future, struct mini_context cx) {
    struct script *self = MINI_SELF(struct script);

    MINI_BEGIN;
    mini_test_completion = forge;
    for (self->i = 0; self->i < 3; self->i++) {
        if (self->i == 0) FORGE(MINI_OP_RECV, -EINTR);
        if (self->i == 1) FORGE(MINI_OP_RECV, -RESTART);
        if (self->i == 2) FORGE(MINI_OP_RECV, -EAGAIN);
        self->task[0] =
            background(mini_recv(&self->io[0], self->fd[0], self->buffer, 9));
        SETTLE(self);
        mini_cancel(self->task[0]);
        SETTLE(self);
        NOTE(ended(&self->io[0].future));
        raw_send(self->fd[1], "x", 1);
        STEP(mini_join(&self->join, self->task[0]));
        NOTE((long)drain(self->fd[0], -1));
    }
    mini_test_completion = NULL;
    MINI_END(0);
}

static void g5_2_what_is_to_be_stopped_is_not_tried_again(void **state) {
    struct script self = MINI_FRAME(struct script, not_again_script, .i = 0);

    (void)state;
    if (!on_uring()) skip();
    open_pair(UNIX_SOCKETS, false, self.fd);
    check_equal(run(&self.future, virtual_clock()), 0);
    close_pair(self.fd);
    assert_notes(1, -ECANCELED, 1, 1, -ECANCELED, 1, 1, -ECANCELED, 1);
}

/* Who cannot send without a copy sends with one; that may fail for good. */
static mini_poll copied_once_script(
    struct mini_future *future, struct mini_context cx) {
    struct script *self = MINI_SELF(struct script);

    MINI_BEGIN;
    mini_test_completion = forge;
    for (self->i = 0; self->i < 3; self->i++) {
        if (self->i == 0) FORGE(MINI_OP_SEND_ZC, -EOPNOTSUPP, -EINVAL);
        if (self->i == 1) FORGE(MINI_OP_SEND_ZC, -EINVAL, -EOPNOTSUPP);
        if (self->i == 2) FORGE(MINI_OP_SEND_ZC, -ENOMEM, -ENOMEM);
        STEP(mini_send_zc(&self->io[0], self->fd[1], "x", 1));
        NOTE(self->io[0].copied);
        NOTE((long)forgery.seen);
    }
    mini_test_completion = NULL;
    drain(self->fd[0], -1);
    MINI_END(0);
}

/* What is sent without a copy is locked meanwhile. */
static mini_poll too_much_script(
    struct mini_future *future, struct mini_context cx) {
    static char bytes[1 << 20];
    struct script *self = MINI_SELF(struct script);

    MINI_BEGIN;
    self->task[0] = background(
        mini_send_zc(&self->io[0], self->fd[1], bytes, sizeof bytes));
    while (!ended(&self->io[0].future)) {
        self->sum += (long)drain(self->fd[0], -1);
        A_TURN(self);
    }
    MINI_AWAIT(mini_join(&self->join, self->task[0]));
    NOTE(MINI_RESULT == self->sum + (long)drain(self->fd[0], -1));
    NOTE(self->io[0].copied);
    MINI_END(0);
}

enum { LOCKED = 300 << 10 }; /* three rings */

static void too_much(void) {
    struct script self = MINI_FRAME(struct script, too_much_script, .i = 0);

    if (!on_uring() || geteuid() != 0) _exit(SKIPPED);
    have_a_limit(RLIMIT_MEMLOCK, LOCKED);
    open_pair(TCP_SOCKETS, false, self.fd);
    check_equal(run(&self.future, real_clock(1)), 0);
    assert_notes(1, 1);
}

static void g5_8_send_zc_of_more_than_may_be_locked_copies(void **state) {
    char text[4096];

    (void)state;
    in_child_process(too_much, text, sizeof text);
    assert_string_equal(text, "");
}

/* What the kernel says at the end: of whether it has copied, in the highest bit;
 * and of what has failed, too. */
static int last_word;

static void say_at_the_end(void *operation, int *result, uint32_t *flags) {
    forge(operation, result, flags);
    struct mini_io *io = operation;

    if (io && io->op == MINI_OP_SEND_ZC && *flags & CQE_NOTIF)
        *result = last_word;
}

static mini_poll last_word_script(
    struct mini_future *future, struct mini_context cx) {
    struct script *self = MINI_SELF(struct script);

    MINI_BEGIN;
    mini_test_completion = say_at_the_end;
    for (self->i = 0; self->i < 5; self->i++) {
        forgery.count = 0;
        if (self->i == 2) FORGE(MINI_OP_SEND_ZC, -ECONNRESET);
        last_word = self->i == 0 ? 0 : self->i > 2 ? 1 : INT_MIN;
        STEP(mini_send_zc(&self->io[0], self->fd[1], "x", self->i < 4));
        NOTE(self->io[0].copied);
        NOTE((long)mini_stats()->zero_copies);
        NOTE((long)mini_stats()->copies);
    }
    mini_test_completion = NULL;
    MINI_END(0);
}

static void g5_8_send_zc_copies_once_and_believes_the_last_word(void **state) {
    struct mini_future main = MINI_FUTURE(describe, "describe");
    struct script self = MINI_FRAME(struct script, copied_once_script, .i = 0);

    (void)state;
    if (!(run(&main, real_clock(1)) & MINI_ZERO_COPY)) skip();
    open_pair(UNIX_SOCKETS, false, self.fd);
    check_equal(run(&self.future, virtual_clock()), 0);
    close_pair(self.fd);
    assert_notes(-EINVAL, 1, 2, -EOPNOTSUPP, 1, 2, -ENOMEM, 1, 2);
    self = MINI_FRAME(struct script, last_word_script, .i = 0);
    open_pair(TCP_SOCKETS, false, self.fd);
    check_equal(run(&self.future, real_clock(1)), 0);
    close_pair(self.fd);
    assert_notes(
        1, 0, 1, 0, 1, 1, 1, 1, -ECONNRESET, 0, 1, 1, 1, 0, 2, 1, 0, 0, 3, 1);
}

/* Who hears EINTR of close has closed. The number may be another's by then. */
static int reopened;

static void interrupt_close(void *operation, int *result, uint32_t *flags) {
    struct mini_io *io = operation;

    (void)flags;
    if (!io || io->op != MINI_OP_CLOSE || reopened >= 0) return;
    *result = -EINTR;
    reopened = dup(STDERR_FILENO); /* gets that number */
}

static mini_poll interrupted_close_script(
    struct mini_future *future, struct mini_context cx) {
    struct script *self = MINI_SELF(struct script);

    MINI_BEGIN;
    reopened = -1;
    mini_test_completion = interrupt_close;
    STEP(mini_close(&self->io[0], self->fd[0]));
    mini_test_completion = NULL;
    NOTE(reopened - self->fd[0]);
    NOTE(fcntl(self->fd[0], F_GETFD) >= 0);
    MINI_END(0);
}

static void g5_1_an_interrupted_close_is_not_done_again(void **state) {
    struct script self =
        MINI_FRAME(struct script, interrupted_close_script, .i = 0);

    (void)state;
    if (!on_uring()) skip(); /* with poll(2) it is one of the calls that fail */
    open_pair(UNIX_SOCKETS, false, self.fd);
    check_equal(run(&self.future, virtual_clock()), 0);
    assert_notes(-EINTR, 0, 1);
    close_pair(self.fd);
}

/* ---- each system call fails in turn ------------------------------------- */

/* Errands that have nothing in common, at the same time: the call that fails
 * spoils one of them, which is told so, and none of the others. */
enum {
    PLAIN_TALK,
    STREAM_TALK,
    CONNECTIONS,
    FILE_WORK,
    DATAGRAMS,
    CALLS,
    CANCELS,
    CHORES
};
enum { CHORE_BYTES = 64 };

struct chore {
    struct mini_future future;
    struct mini_io io;
    struct mini_accept_stream accepts;
    struct mini_recv_stream receives;
    struct mini_datagram out, in;
    struct mini_send_file send_file;
    struct mini_statx look;
    struct mini_timeout timeout;
    struct mini_join join;
    struct mini_task *task;
    struct sockaddr_in address;
    struct chore *partner;
    int kind, fd[3], i;
    size_t got;
    long result;
    char bytes[CHORE_BYTES], back[CHORE_BYTES];
};

/* Awaits what must not fail, or ends with its error. */
#define DO(awaited) \
    do { \
        MINI_AWAIT(awaited); \
        if (MINI_RESULT < 0) MINI_RETURN(MINI_RESULT); \
    } while (0)

static bool came_back(struct chore *self) {
    return memcmp(self->bytes, self->back, CHORE_BYTES) == 0;
}

/* Gives back what comes; by way of leased buffers, without a copy. */
static mini_poll answers(struct mini_future *future, struct mini_context cx) {
    struct chore *self = MINI_SELF(struct chore);
    struct mini_recv_stream *stream = &self->receives;

    MINI_BEGIN;
    mini_recv_stream(stream, self->fd[1]);
    for (;;) {
        if (self->kind == PLAIN_TALK) {
            DO(mini_recv(&self->io, self->fd[1], self->back, CHORE_BYTES));
            if (MINI_RESULT == 0) break;
            DO(mini_send_all(
                &self->io, self->fd[1], self->back, (size_t)MINI_RESULT));
            continue;
        }
        MINI_AWAIT(mini_recv_next(stream));
        if (MINI_RESULT <= 0) break;
        MINI_AWAIT(mini_send_zc(&stream->lease->io, self->fd[1],
            stream->lease->data, stream->lease->length));
        mini_lease_return(stream->lease);
        if (MINI_RESULT < 0) break;
    }
    self->result = MINI_RESULT;
    MINI_AWAIT_SHIELDED(mini_recv_end(stream));
    MINI_END(self->result);
}

/* Whoever ends shuts the connection, so that the other one does, too. */
static mini_poll answer_and_shut(
    struct mini_future *future, struct mini_context cx) {
    struct chore *self = MINI_SELF(struct chore);

    MINI_BEGIN;
    MINI_AWAIT(MINI_CALL(struct chore, self->partner, answers,
        .kind = self->kind, .fd = {self->fd[0], self->fd[1]}));
    shutdown(self->fd[1], SHUT_RDWR);
    MINI_END(MINI_RESULT);
}

static mini_poll asks(struct mini_future *future, struct mini_context cx) {
    struct chore *self = MINI_SELF(struct chore);

    MINI_BEGIN;
    for (self->i = 0; self->i < 2; self->i++) {
        memset(self->bytes, 'a' + self->i, CHORE_BYTES);
        DO(mini_send_all(&self->io, self->fd[0], self->bytes, CHORE_BYTES));
        for (self->got = 0; self->got < CHORE_BYTES;) {
            DO(mini_recv(&self->io, self->fd[0], self->back + self->got,
                CHORE_BYTES - self->got));
            if (MINI_RESULT == 0) MINI_RETURN(-EPIPE);
            self->got += (size_t)MINI_RESULT;
        }
        if (!came_back(self)) MINI_RETURN(-EBADMSG);
    }
    DO(mini_shutdown_socket(&self->io, self->fd[0], SHUT_WR));
    DO(mini_recv(&self->io, self->fd[0], self->back, 1));
    MINI_END(MINI_RESULT);
}

static mini_poll talk(struct mini_future *future, struct mini_context cx) {
    struct chore *self = MINI_SELF(struct chore);
    static struct chore asker[2], answerer[2];

    MINI_BEGIN;
    self->task = MINI_SPAWN(struct chore, answer_and_shut, .kind = self->kind,
        .fd = {self->fd[0], self->fd[1]}, .partner = &answerer[self->kind]);
    MINI_AWAIT(MINI_CALL(struct chore, &asker[self->kind], asks,
        .fd = {self->fd[0], self->fd[1]}));
    self->result = MINI_RESULT;
    shutdown(self->fd[0], SHUT_RDWR);
    MINI_AWAIT(mini_join(&self->join, self->task));
    MINI_END(self->result < 0 ? self->result : MINI_RESULT);
}

/* A connection that could not be taken is there to be taken the next time. */
static mini_poll connections(
    struct mini_future *future, struct mini_context cx) {
    struct chore *self = MINI_SELF(struct chore);

    MINI_BEGIN;
    self->fd[0] = mini_listen(NULL, 0, false);
    if (self->fd[0] < 0) MINI_RETURN(self->fd[0]);
    int port = mini_port_of(self->fd[0]);
    if (port < 0) MINI_RETURN(port);
    self->address = loopback((unsigned)port);
    self->fd[1] = socket(AF_INET, SOCK_STREAM, 0);
    DO(mini_connect(&self->io, self->fd[1],
        (const struct sockaddr *)&self->address, sizeof self->address));
    mini_accept_stream(&self->accepts, self->fd[0]);
    for (; self->i < 2; self->i++) {
        MINI_AWAIT(mini_accept_next(&self->accepts));
        if (MINI_RESULT >= 0) break;
    }
    self->fd[2] = (int)MINI_RESULT;
    MINI_AWAIT_SHIELDED(mini_accept_end(&self->accepts));
    if (self->fd[2] < 0) MINI_RETURN(self->fd[2]);
    DO(mini_shutdown_socket(&self->io, self->fd[2], SHUT_WR));
    DO(mini_recv(&self->io, self->fd[1], self->back, 1));
    self->i = self->fd[2];
    self->fd[2] = -1;
    MINI_AWAIT_SHIELDED(mini_close(&self->io, self->i));
    MINI_END(MINI_RESULT);
}

/* In memory, where there is that: fsync takes long on a disk. */
static char chore_file[64];

static mini_poll file_work(struct mini_future *future, struct mini_context cx) {
    struct chore *self = MINI_SELF(struct chore);

    MINI_BEGIN;
    memset(self->bytes, 'f', CHORE_BYTES);
    DO(mini_openat(
        &self->io, AT_FDCWD, chore_file, O_RDWR | O_CREAT | O_EXCL, 0600));
    self->fd[2] = (int)MINI_RESULT;
    unlink(chore_file);
    DO(mini_write_all(&self->io, self->fd[2], self->bytes, CHORE_BYTES, 0));
    DO(mini_fsync(&self->io, self->fd[2]));
    DO(mini_statx(&self->look, self->fd[2], ""));
    if (self->look.size != CHORE_BYTES) MINI_RETURN(-EBADMSG);
    DO(mini_read_exact(&self->io, self->fd[2], self->back, CHORE_BYTES, 0));
    if (!came_back(self)) MINI_RETURN(-EBADMSG);
    memset(self->back, 0, CHORE_BYTES);
    DO(mini_send_file(
        &self->send_file, self->fd[0], self->fd[2], 0, CHORE_BYTES));
    DO(mini_read_exact(&self->io, self->fd[1], self->back, CHORE_BYTES, -1));
    if (!came_back(self)) MINI_RETURN(-EBADMSG);
    future->result = mini_fix_file(self->fd[2], true);
    if (MINI_RESULT == 0)
        future->result = mini_fix_buffer(self->back, CHORE_BYTES);
    if (MINI_RESULT < 0) MINI_RETURN(MINI_RESULT);
    MINI_AWAIT(
        mini_read_fixed(&self->io, self->fd[2], self->back, CHORE_BYTES, 0));
    mini_fix_buffer(NULL, 0);
    if (MINI_RESULT < 0) MINI_RETURN(MINI_RESULT);
    self->i = self->fd[2];
    self->fd[2] = -1;
    MINI_AWAIT_SHIELDED(mini_close(&self->io, self->i));
    MINI_END(MINI_RESULT);
}

static mini_poll datagrams(struct mini_future *future, struct mini_context cx) {
    struct chore *self = MINI_SELF(struct chore);
    socklen_t size = sizeof self->address;

    MINI_BEGIN;
    memset(self->bytes, 'd', CHORE_BYTES);
    self->fd[0] = mini_bind(NULL, 0, SOCK_DGRAM, false);
    if (self->fd[0] < 0) MINI_RETURN(self->fd[0]);
    getsockname(self->fd[0], (struct sockaddr *)&self->address, &size);
    DO(mini_send_to(&self->out, self->fd[0], self->bytes, CHORE_BYTES,
        (const struct sockaddr *)&self->address, sizeof self->address));
    DO(mini_recv_from(&self->in, self->fd[0], self->back, CHORE_BYTES));
    MINI_END(came_back(self) ? 0 : -EBADMSG);
}

static long seven(void *argument) {
    (void)argument;
    return 7;
}

static mini_poll calls(struct mini_future *future, struct mini_context cx) {
    struct chore *self = MINI_SELF(struct chore);

    MINI_BEGIN;
    DO(mini_offload(&self->io, seven, NULL));
    MINI_END(MINI_RESULT == 7 ? 0 : -EBADMSG);
}

/* What is cancelled has taken nothing. */
static mini_poll cancels(struct mini_future *future, struct mini_context cx) {
    struct chore *self = MINI_SELF(struct chore);

    MINI_BEGIN;
    MINI_AWAIT(mini_timeout(&self->timeout,
        mini_recv(&self->io, self->fd[0], self->back, CHORE_BYTES), MINI_MS));
    if (MINI_RESULT != -ETIMEDOUT) MINI_RETURN(MINI_RESULT);
    raw_send(self->fd[1], "!", 1);
    DO(mini_recv(&self->io, self->fd[0], self->back, CHORE_BYTES));
    MINI_END(MINI_RESULT == 1 ? 0 : -EBADMSG);
}

static struct household {
    struct mini_future future;
    struct chore chores[CHORES];
    struct mini_task *tasks[CHORES];
    struct mini_join join;
    long results[CHORES];
    int i;
    bool begun;
} household;

static mini_poll keep_house(
    struct mini_future *future, struct mini_context cx) {
    static mini_poll (*const polls[])(
        struct mini_future *, struct mini_context) = {
        talk, talk, connections, file_work, datagrams, calls, cancels};
    struct household *self = MINI_SELF(struct household);

    MINI_BEGIN;
    self->begun = true;
    for (int i = 0; i < CHORES; i++) {
        struct chore *chore = &self->chores[i];

        *chore =
            MINI_FRAME(struct chore, polls[i], .kind = i, .fd = {-1, -1, -1});
        if (i != CONNECTIONS && i != DATAGRAMS)
            open_pair(UNIX_SOCKETS, false, chore->fd);
        self->tasks[i] = background(&chore->future);
    }
    for (self->i = 0; self->i < CHORES; self->i++) {
        MINI_AWAIT(mini_join(&self->join, self->tasks[self->i]));
        self->results[self->i] = MINI_RESULT;
    }
    for (int i = 0; i < CHORES; i++)
        for (int j = 0; j < 3; j++)
            if (self->chores[i].fd[j] >= 0) close(self->chores[i].fd[j]);
    MINI_END(0);
}

static long keep_a_house(void) {
    char text[4096];

    household =
        (struct household){.future = MINI_FUTURE(keep_house, "keep_house")};
    snprintf(chore_file, sizeof chore_file, "%s/miniss-test-%ld",
        access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp", (long)getpid());
    mini_test_capture_begin();
    long result = run(&household.future, few_buffers(64, true));

    mini_test_capture_end(text, sizeof text);
    return result;
}

/* Nobody hears of what is tried again; but close has closed, and there may be
 * no thread to be had. */
static bool is_tried_again(const struct mini_test_fault *fault) {
    if (!fault->call || strcmp(fault->call, "close") == 0 ||
        strcmp(fault->call, "pthread_create") == 0)
        return false;
    return fault->error == EINTR || fault->error == EAGAIN ||
        fault->error == EBUSY || fault->error == ECANCELED;
}

static void one_chore_at_most(
    long result, const struct mini_test_fault *fault) {
    int spoiled = 0;

    check_equal(result, household.begun ? 0 : -fault->error);
    for (int i = 0; i < CHORES; i++) {
        long error = household.results[i];

        snprintf(variant, sizeof variant, "chore %d", i);
        if (i <= STREAM_TALK && error == -EPIPE)
            error = -fault->error; /* what one side makes of the other's */
        check_equal(error, error == 0 ? 0 : -fault->error);
        spoiled += error != 0;
    }
    check(spoiled <= !is_tried_again(fault));
    if (fault->call && strcmp(fault->call, "getsockopt") == 0)
        check_equal(spoiled, 1); /* nobody knows whether it is connected */
}

static void g5_1_any_system_call_may_fail_for_one(void **state) {
    (void)state;
    long every = MINI_TEST_TSAN ? 7 : 1; /* its threads take long to start */
    long failed = mini_test_some_faults(every, keep_a_house, one_chore_at_most);

    if (failed == 0) skip(); /* where no call can be made to fail */
    check(failed > 50 / every);
}

/* Without MINI_IO, whatever the ring says when it is set up. */
static long run_without_a_wish(void) {
    struct mini_future main = MINI_FUTURE(note_name, "note_name");

    return run(&main, virtual_clock());
}

static void ring_or_poll(long result, const struct mini_test_fault *fault) {
    bool is_the_rings =
        !fault->call || strncmp(fault->call, "io_uring", 8) == 0;

    if (is_the_rings)
        check(result == 0 || result == 1);
    else
        check(result >= 0 || result == -fault->error);
}

/* In a process of its own, which alone has said then that it uses poll(2). */
static void refused_in_turn(void) {
    unsetenv("MINI_IO");
    long failed = mini_test_each_fault(run_without_a_wish, ring_or_poll);

    if (failed == 0) _exit(SKIPPED); /* where no call can be made to fail */
    check(failed >= 2);
}

static void g5_6_whatever_the_ring_refuses_there_is_poll(void **state) {
    char text[4096];

    (void)state;
    in_child_process(refused_in_turn, text, sizeof text);
    check(strstr(text, "using poll(2)") != NULL);
    check_equal(lines(text), 1); /* however often it falls back */
}

/* A server, and a client that tries again once: also if it hears nothing. Who
 * connects just when the listener closes may be connected to nobody, and if it
 * only waits to receive, no reset tells it so (seen on Linux 6.18). */
static enum mini_accept_policy fault_policy;
static long server_ended;

struct persistent {
    struct mini_future future;
    struct visit visit;
    struct mini_timeout limit;
    struct chore chore;
};

static mini_poll persistent(
    struct mini_future *future, struct mini_context cx) {
    struct persistent *self = MINI_SELF(struct persistent);
    static bool again;

    MINI_BEGIN;
    household.begun = true;
    for (again = false;; again = true) {
        self->visit.fd = -1;
        MINI_AWAIT(mini_timeout(&self->limit,
            MINI_CALL(struct visit, &self->visit, visit, .fd = -1),
            10 * MINI_SECOND));
        if (MINI_RESULT >= 0)
            MINI_AWAIT(MINI_CALL(
                struct chore, &self->chore, asks, .fd = {self->visit.fd}));
        if (self->visit.fd >= 0) reset(self->visit.fd);
        if (again || MINI_RESULT == 0) break;
    }
    MINI_END(MINI_RESULT);
}

static long serve_the_persistent(void) {
    static struct persistent body;
    char text[4096];

    body = MINI_FRAME(struct persistent, persistent, .visit.fd = -1);
    struct server_run self = make_server(&body.future, fault_policy);

    household.begun = false;
    mini_test_capture_begin();
    long result = run(&self.future, real_clock(2));

    mini_test_capture_end(text, sizeof text);
    server_ended = notes > 0 ? noted[0] : 0;
    return result;
}

/* EINVAL of an accept is not of the kind that passes. */
static void server_goes_on(long result, const struct mini_test_fault *fault) {
    snprintf(variant, sizeof variant, "server's end %ld", server_ended);
    if (!household.begun)
        check_equal(result, -fault->error);
    else if (fault->error != EINVAL || server_ended != -EINVAL)
        check_equal(result, 0);
}

static void g5_5_any_system_call_may_fail_for_one_connection(void **state) {
    (void)state;
    fault_policy = MINI_ACCEPT_SPREAD;
    if (mini_test_each_fault(serve_the_persistent, server_goes_on) == 0) skip();
    if (!are_ports_shared()) return;
    fault_policy = MINI_ACCEPT_REUSEPORT;
    check(mini_test_each_fault(serve_the_persistent, server_goes_on) > 20);
}

/* ---- G5.7: ten thousand connections ------------------------------------- */

/* Echoes; it costs this much while it waits, for no buffer is its own. */
struct quiet {
    struct mini_future future;
    struct mini_recv_stream stream;
};

static atomic_int quiet_begun, quiet_ended;

static mini_poll quiet(struct mini_future *future, struct mini_context cx) {
    struct quiet *self = MINI_SELF(struct quiet);

    MINI_BEGIN;
    atomic_fetch_add(&quiet_begun, 1);
    for (;;) {
        MINI_AWAIT(mini_recv_next(&self->stream));
        if (MINI_RESULT <= 0) break;
        MINI_AWAIT(mini_send_all(&self->stream.lease->io, self->stream.io.fd,
            self->stream.lease->data, (size_t)MINI_RESULT));
        mini_lease_return(self->stream.lease);
        if (MINI_RESULT < 0) break;
    }
    MINI_AWAIT_SHIELDED(mini_recv_end(&self->stream));
    atomic_fetch_add(&quiet_ended, 1);
    MINI_END(0);
}

static struct mini_future *serve_quietly(void *frame, int fd, void *arg) {
    struct quiet *self = frame;

    (void)arg;
    self->future = MINI_FUTURE(quiet, "quiet");
    self->future.resume = 0;
    mini_recv_stream(&self->stream, fd);
    return &self->future;
}

/* The other process connects in groups, so that no queue is too short, and then
 * says what it is told to. */
enum { GROUP = 500, BYTES_A_CONNECTION = 256, CHUNK = 65536 + 32 };

static void visit_quietly(int in, int out, int count) {
    int *fds = calloc((size_t)count, sizeof *fds);
    char byte;

    check(fds != NULL);
    struct sockaddr_in address = loopback((unsigned)ask(-1, in));

    for (int i = 0; i < count; i++) {
        fds[i] = raw_connect(&address);
        if ((i + 1) % GROUP == 0) check_equal(read(in, &byte, 1), 1);
    }
    check_equal(read(in, &byte, 1), 1); /* all have been idle */
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < count; i++)
            raw_send(fds[i], &(char){(char)(i + round)}, 1);
        for (int i = 0; i < count; i++) {
            check_equal(read(fds[i], &byte, 1), 1);
            check_equal(byte, (char)(i + round));
        }
    }
    for (int i = 0; i < count; i++) reset(fds[i]);
    check_equal(write(out, "!", 1), 1);
    _exit(0);
}

struct masses {
    struct mini_future future;
    struct mini_io io;
    struct mini_sleep sleep;
    struct mini_broadcast broadcast;
    struct mini_remote remote[2];
    struct census census[2];
    int in, out, count, groups;
    long chunks;
    unsigned i;
    char byte;
};

static long chunks_here(void *arg) {
    long count = 0;

    (void)arg;
    MINI_LIST_EACH (link, &mini_self->slab.chunks) count++;
    return count;
}

static long leases_here(void *arg) {
    (void)arg;
    return (long)mini_stats()->leases;
}

static mini_poll masses_body(
    struct mini_future *future, struct mini_context cx) {
    struct masses *self = MINI_SELF(struct masses);

    MINI_BEGIN;
    MINI_AWAIT(mini_map_reduce(&self->broadcast, chunks_here, NULL, add, 0));
    self->chunks = MINI_RESULT;
    must(write(self->out, &(long){server_port}, sizeof(long)) > 0, "say");
    while (quiet_begun < self->count) {
        MINI_AWAIT(mini_sleep(&self->sleep, MINI_MS));
        for (; self->groups < quiet_begun / GROUP; self->groups++)
            must(write(self->out, "!", 1) == 1, "say");
    }
    MINI_AWAIT(mini_map_reduce(&self->broadcast, chunks_here, NULL, add, 0));
    self->chunks = MINI_RESULT - self->chunks;
    MINI_AWAIT(mini_map_reduce(&self->broadcast, leases_here, NULL, add, 0));
    NOTE(MINI_RESULT); /* none of them has had a buffer */
    must(write(self->out, "!", 1) == 1, "say");
    STEP(mini_read(&self->io, self->in, &self->byte, 1, -1));
    while (quiet_ended < self->count)
        MINI_AWAIT(mini_sleep(&self->sleep, MINI_MS));
    for (self->i = 0; self->i < mini_shard_count(); self->i++)
        STEP(mini_spawn_on(&self->remote[self->i], self->i,
            CENSUS(&self->census[self->i], MINI_BUFFERS)));
    MINI_END(self->chunks);
}

static void ten_thousand(unsigned shards, int count) {
    static struct masses body;
    enum mini_accept_policy accept = MINI_ACCEPT_SPREAD;
    int up[2], down[2], status;

    snprintf(variant, sizeof variant, "%d on %u shards", count, shards);
    /* a shard that sleeps in a poll(2) of thousands wakes slowly: too slowly to
     * be handed thousands of connections */
    if (!on_uring() && shards > 1) {
        bool shared = are_ports_shared();

        if (shared) accept = MINI_ACCEPT_REUSEPORT;
        if (!shared && count > 2000) count = 2000;
    }
    check(pipe(up) == 0 && pipe(down) == 0);
    pid_t child = fork_child();

    if (child == 0) {
        close(down[1]);
        close(up[0]);
        visit_quietly(down[0], up[1], count);
    }
    close(down[0]);
    close(up[1]);
    quiet_begun = quiet_ended = 0;
    body = MINI_FRAME(struct masses, masses_body, .in = up[0], .out = down[1],
        .count = count);
    struct server_run self = make_server(&body.future, accept);

    self.options.frame = sizeof(struct quiet);
    self.options.serve = serve_quietly;
    long chunks = run(&self.future, real_clock(shards));

    check_equal(waitpid(child, &status, 0), child);
    check_equal(status, 0);
    close(up[0]);
    close(down[1]);
    if (shards == 1)
        assert_notes(0, 1, 0, -ECANCELED);
    else
        assert_notes(0, 1, 0, 0, -ECANCELED);
    check(chunks >= 0);
    check(chunks * CHUNK <=
        (long)count * BYTES_A_CONNECTION + (long)shards * CHUNK);
}

static int many_connections;

static void many_on_one_shard(void) { ten_thousand(1, many_connections); }

static void g5_7_ten_thousand_connections_open_work_and_close(void **state) {
    struct rlimit before, more;
    int count = MINI_TEST_TSAN || MINI_TEST_ASAN ? 1000 : 10000;

    (void)state;
    getrlimit(RLIMIT_NOFILE, &before);
    more = before;
    if (more.rlim_cur < (rlim_t)count + 200)
        more.rlim_cur = more.rlim_max < (rlim_t)count + 200
            ? more.rlim_max
            : (rlim_t)count + 200;
    setrlimit(RLIMIT_NOFILE, &more);
    if (more.rlim_cur < (rlim_t)count + 200) {
        count = (int)more.rlim_cur - 200;
        print_message("no more than %d descriptors: %d connections\n",
            (int)more.rlim_cur, count);
    }
    if (count < GROUP) skip();
    ten_thousand(2, count);
    ten_thousand(1, count);
    many_connections = GROUP;
    each_kernel(many_on_one_shard);
    setrlimit(RLIMIT_NOFILE, &before);
}

static const struct CMUnitTest tests[] = {
    /* first, while this process has not said yet what it says once */
    cmocka_unit_test(g5_6_what_the_kernel_lacks_is_said_once),
    cmocka_unit_test(g5_6_where_nothing_lacks_nothing_is_said),
    cmocka_unit_test(g5_6_whatever_the_ring_refuses_there_is_poll),
    cmocka_unit_test(g5_1_recv_and_send_say_how_much),
    cmocka_unit_test(g5_1_room_for_more_than_a_call_can_take),
    cmocka_unit_test(g5_1_read_and_write_of_a_pipe),
    cmocka_unit_test(g5_1_read_and_write_at_an_offset_of_what_has_none),
    cmocka_unit_test(g5_1_read_and_write_of_a_file_at_an_offset),
    cmocka_unit_test(g5_1_an_offset_before_the_file_is_einval),
    cmocka_unit_test(g5_1_a_descriptor_that_is_not_open_is_ebadf),
    cmocka_unit_test(g5_1_a_negative_descriptor_is_ebadf),
    cmocka_unit_test(g5_1_a_descriptor_of_the_wrong_kind),
    cmocka_unit_test(g5_1_the_wrong_end_of_a_pipe),
    cmocka_unit_test(g5_1_accept_gives_a_descriptor),
    cmocka_unit_test(g5_1_connect_and_its_errors),
    cmocka_unit_test(g5_1_connect_of_unix_sockets),
    cmocka_unit_test(g5_1_connect_to_a_queue_that_is_full),
    cmocka_unit_test(g5_1_a_reset_is_told),
    cmocka_unit_test(g5_1_a_closed_peer_is_epipe_without_sigpipe),
    cmocka_unit_test(g5_1_shutdown_of_one_or_both_directions),
    cmocka_unit_test(g5_1_close_closes_that_descriptor),
    cmocka_unit_test(g5_1_readable_waits_and_takes_nothing),
    cmocka_unit_test(g5_1_sending_waits_for_room),
    cmocka_unit_test(g5_1_a_megabyte_arrives_in_order),
    cmocka_unit_test(g5_1_send_all_goes_on_until_all_is_sent),
    cmocka_unit_test(g5_1_send_all_says_how_much_went_out_before_an_error),
    cmocka_unit_test(g5_1_listen_and_its_errors),
    cmocka_unit_test(g5_1_a_port_is_free_again_at_once),
    cmocka_unit_test(g5_1_datagrams_of_a_port_have_one_owner),
#ifdef __GLIBC__
    cmocka_unit_test(g5_1_listens_on_the_first_address_there_is),
#endif
    cmocka_unit_test(g5_1_descriptor_0_listens_as_well),
    cmocka_unit_test(g5_1_listen_may_share_a_port),
    cmocka_unit_test(g5_1_listen_on_ipv6),
    cmocka_unit_test(g5_2_cancel_of_an_operation_that_waits),
    cmocka_unit_test(g5_2_cancel_of_an_accept_that_waits),
    cmocka_unit_test(g5_2_cancel_of_a_connect_that_waits),
    cmocka_unit_test(g5_1_a_connect_that_cannot_be_asked_about_says_so),
    cmocka_unit_test(g5_2_a_backend_is_asked_once_to_stop),
    cmocka_unit_test(g5_2_cancelled_before_its_first_poll_it_never_starts),
    cmocka_unit_test(g5_2_a_result_that_is_there_wins),
    cmocka_unit_test(g5_2_cancel_races_with_data_and_no_byte_is_lost),
    cmocka_unit_test(g5_2_cancel_of_accept_loses_no_connection),
    cmocka_unit_test(g5_2_timeouts_race_with_a_sender_and_no_byte_is_lost),
    cmocka_unit_test(g5_2_a_timeout_leaves_a_result_in_time_alone),
    cmocka_unit_test(g5_2_a_cancelled_send_all_counts_every_byte),
    cmocka_unit_test(g5_2_a_timeout_of_send_all_gives_the_count),
    cmocka_unit_test(g5_2_a_cancel_counts_even_one_byte),
    cmocka_unit_test(g5_2_cancels_among_many_hit_the_right_ones),
    cmocka_unit_test(g5_2_the_loser_of_a_select_takes_nothing),
    cmocka_unit_test(g5_2_the_end_of_a_run_cancels_what_waits),
    cmocka_unit_test(g5_3_six_thousand_operations_end_at_once),
    cmocka_unit_test(g5_3_more_operations_than_descriptors),
    cmocka_unit_test(g5_3_who_waits_for_more_than_descriptors_sleeps),
    cmocka_unit_test(g5_3_six_thousand_sockets_receive_at_once),
    cmocka_unit_test(g5_3_a_ring_that_is_just_full_before_a_sleep),
    cmocka_unit_test(g5_3_a_thousand_cancels_at_once),
    cmocka_unit_test(g5_3_readers_that_find_nothing_wait_again),
    cmocka_unit_test(g5_3_signals_interrupt_nothing),
    cmocka_unit_test(g5_1_a_stream_gives_connections_in_order),
    cmocka_unit_test(g5_10_one_accept_takes_many_connections),
    cmocka_unit_test(g5_2_a_stream_at_its_high_water_mark_takes_no_more),
    cmocka_unit_test(g5_2_a_stream_takes_just_as_much),
    cmocka_unit_test(g5_7_a_stream_that_is_never_empty_does_not_grow),
    cmocka_unit_test(g5_2_the_end_of_a_stream_closes_what_it_has_taken),
    cmocka_unit_test(g5_2_a_stream_that_was_ended_can_go_on),
    cmocka_unit_test(g5_2_a_stream_that_was_ended_has_no_error),
    cmocka_unit_test(g5_2_a_cancelled_wait_leaves_connections_in_the_stream),
    cmocka_unit_test(g5_2_a_connection_that_is_there_stays_with_a_cancel),
    cmocka_unit_test(g5_6_a_stream_without_multishot_and_its_errors),
    cmocka_unit_test(g1_11_a_stream_without_memory_goes_on),
    cmocka_unit_test(g5_5_spread_gives_each_shard_as_much),
    cmocka_unit_test(g5_5_spread_of_those_that_come_at_once),
    cmocka_unit_test(g5_5_spread_from_another_shard_than_the_first),
    cmocka_unit_test(g5_5_reuseport_has_all_shards_accept),
    cmocka_unit_test(g5_1_a_server_says_why_it_cannot_listen),
    cmocka_unit_test(g5_1_no_child_inherits_a_servers_sockets),
    cmocka_unit_test(g5_5_a_server_that_cannot_listen_on_all_shards),
    cmocka_unit_test(g5_9_connections_outlive_their_server),
    cmocka_unit_test(g5_5_an_error_that_does_not_pass_ends_the_server),
    cmocka_unit_test(g5_5_the_first_listeners_end_is_the_servers),
    cmocka_unit_test(g5_7_a_server_that_never_began_leaves_no_listener),
    cmocka_unit_test(g5_1_a_server_listens_on_descriptor_0_as_well),
    cmocka_unit_test(g5_5_accept_without_descriptors_is_emfile_and_goes_on),
    cmocka_unit_test(g5_5_a_server_out_of_descriptors_waits_and_goes_on),
    cmocka_unit_test(g5_5_a_server_that_waits_for_descriptors_is_cancelled),
    cmocka_unit_test(g5_5_a_connection_may_be_descriptor_0),
    cmocka_unit_test(g5_9_bad_peers_do_not_stall_a_good_one),
    cmocka_unit_test(g5_10_fifty_busy_connections_share_system_calls),
    cmocka_unit_test(g5_10_enters_are_counted),
    cmocka_unit_test(g5_10_to_send_takes_a_turn),
    cmocka_unit_test(g5_10_a_long_wait_is_one_system_call),
    cmocka_unit_test(g5_10_who_waits_for_no_peer_does_not_park),
    cmocka_unit_test(g5_1_who_is_busy_looks_in_each_turn),
    cmocka_unit_test(g5_1_io_goes_on_beside_a_busy_task),
    cmocka_unit_test(g5_1_io_goes_on_beside_calls),
    cmocka_unit_test(g2_8_a_shard_that_waits_for_io_sleeps),
    cmocka_unit_test(g4_7_a_message_wakes_a_shard_that_waits_for_io),
    cmocka_unit_test(g5_10_one_request_waits_for_all_rings),
    cmocka_unit_test(g3_5_who_spins_is_not_rung),
    cmocka_unit_test(g2_8_who_spins_gives_up_after_its_time),
    cmocka_unit_test(g2_8_who_spins_looks_in_each_turn),
    cmocka_unit_test(g4_5_shards_do_io_at_the_same_time),
    cmocka_unit_test(g1_5_what_waits_for_io_is_no_deadlock),
    cmocka_unit_test(g2_2_virtual_time_passes_when_io_has_nothing),
    cmocka_unit_test(g2_2_virtual_time_waits_for_io),
    cmocka_unit_test(g2_8_a_virtual_clock_does_not_spin),
    cmocka_unit_test(g1_11_io_without_memory_is_enomem),
    cmocka_unit_test(g1_11_a_shard_without_memory_for_its_bell_does_not_sleep),
    cmocka_unit_test(g1_11_a_server_without_memory_goes_on),
    cmocka_unit_test(g1_11_an_operation_without_memory_is_refused_alone),
    cmocka_unit_test(g1_11_what_need_not_wait_needs_no_memory),
    cmocka_unit_test(g5_6_an_unknown_backend_is_refused),
    cmocka_unit_test(g5_6_poll_can_be_asked_for),
    cmocka_unit_test(g5_6_io_uring_is_the_default_where_there_is_one),
    cmocka_unit_test(g5_6_where_io_uring_is_refused_poll_is_used_and_said),
    cmocka_unit_test(g5_6_where_a_ring_cannot_be_used_poll_is_used_and_said),
    cmocka_unit_test(
        g5_6_where_memory_for_a_ring_stays_short_poll_is_used_and_said),
    cmocka_unit_test(g5_6_where_io_uring_is_refused_it_cannot_be_forced),
    cmocka_unit_test(g5_3_a_kernel_that_says_ebusy_eagain_or_eintr),
    cmocka_unit_test(g5_3_operations_that_find_nothing_are_tried_again),
    cmocka_unit_test(g5_5_errors_that_pass_end_no_server),
    cmocka_unit_test(g5_5_connections_that_are_gone_hold_up_no_other),
    cmocka_unit_test(g5_6_older_kernels_get_the_ring_they_know),
    cmocka_unit_test(g5_6_a_ring_that_cannot_wait_with_a_limit_is_not_used),
    cmocka_unit_test(g5_6_what_a_backend_has_is_described),
    cmocka_unit_test(g5_6_a_shard_is_woken_in_its_ring_or_by_its_bell),
    cmocka_unit_test(g5_10_a_multishot_bell_is_not_read),
    cmocka_unit_test(g5_6_the_bell_rings_when_a_ring_cannot_be_woken),
    cmocka_unit_test(g5_6_what_the_kernel_does_not_know_is_done_without),
    cmocka_unit_test(g5_1_files_are_written_and_read_to_the_end),
    cmocka_unit_test(g5_1_files_never_block_the_shard),
    cmocka_unit_test(g5_1_statx_by_path_and_by_descriptor),
    cmocka_unit_test(g5_1_statx_of_all_times),
    cmocka_unit_test(g5_1_what_files_refuse_is_told),
    cmocka_unit_test(g5_1_a_full_disk_is_enospc),
    cmocka_unit_test(g5_2_a_file_operation_cancelled_early_never_starts),
    cmocka_unit_test(g5_2_cancel_races_with_openat_and_no_descriptor_is_lost),
    cmocka_unit_test(g5_2_a_cancelled_write_says_what_is_in_the_file),
    cmocka_unit_test(g5_1_datagrams_and_whom_they_are_from),
    cmocka_unit_test(g5_1_the_address_of_a_datagram_is_copied),
    cmocka_unit_test(g5_1_datagrams_to_an_address_too_large_go_nowhere),
    cmocka_unit_test(g5_1_a_datagram_waits_for_room),
    cmocka_unit_test(g5_2_a_cancelled_recv_from_leaves_the_datagram),
    cmocka_unit_test(g5_2_timeouts_race_with_datagrams_and_none_is_lost),
    cmocka_unit_test(g5_1_a_call_on_a_helper_thread_has_its_own_result),
    cmocka_unit_test(g5_1_more_calls_than_helpers_wait_in_line),
    cmocka_unit_test(g5_1_a_helper_without_a_job_sleeps),
    cmocka_unit_test(g5_1_each_shard_has_helpers_of_its_own),
    cmocka_unit_test(g5_2_a_call_in_line_can_be_cancelled_one_that_runs_not),
    cmocka_unit_test(g5_2_a_call_that_runs_outlives_its_timeout),
    cmocka_unit_test(g5_2_losers_of_a_select_on_helper_threads_are_awaited),
    cmocka_unit_test(g5_2_the_end_of_a_run_awaits_calls_that_run),
    cmocka_unit_test(g5_2_cancel_races_with_calls_and_no_result_is_lost),
    cmocka_unit_test(g1_11_helper_threads_need_no_memory),
    cmocka_unit_test(g1_11_helpers_that_cannot_start_are_done_without),
    cmocka_unit_test(g2_8_a_helper_without_work_sleeps),
    cmocka_unit_test(g5_1_a_stream_gives_bytes_in_order_to_the_end),
    cmocka_unit_test(g5_1_a_stream_tells_a_reset_after_the_bytes),
    cmocka_unit_test(g5_1_a_multishot_receive_that_misses_the_end),
    cmocka_unit_test(g5_1_a_stream_of_what_is_no_connection),
    cmocka_unit_test(g5_10_one_recv_brings_many_parts),
    cmocka_unit_test(g5_4_a_new_stream_has_no_lease),
    cmocka_unit_test(g5_4_twenty_senders_share_few_buffers_and_none_starves),
    cmocka_unit_test(g5_4_a_flood_is_given_one_buffer_at_a_time),
    cmocka_unit_test(g5_4_a_buffer_that_comes_back_goes_to_who_can_use_it),
    cmocka_unit_test(g1_4_a_wait_that_is_over_wakes_nobody),
    cmocka_unit_test(g5_4_who_waits_for_a_buffer_and_is_asked_again),
    cmocka_unit_test(g5_4_a_line_longer_than_the_queue_ends),
    cmocka_unit_test(g5_4_who_waits_for_a_buffer_does_not_ask_in_vain),
    cmocka_unit_test(g5_4_the_end_of_a_stream_gives_its_buffers_back),
    cmocka_unit_test(g5_4_a_stream_that_has_ended_waits_for_no_buffer),
    cmocka_unit_test(g5_2_a_cancelled_wait_leaves_bytes_in_the_stream),
    cmocka_unit_test(g5_2_timeouts_of_a_stream_lose_no_byte),
    cmocka_unit_test(g5_4_a_stream_that_is_not_read_leaves_buffers_to_others),
    cmocka_unit_test(g5_4_so_many_buffers_as_were_asked_for),
    cmocka_unit_test(g5_7_a_buffer_that_came_back_is_used_again),
    cmocka_unit_test(g1_5_who_holds_the_last_buffer_and_waits_is_a_deadlock),
    cmocka_unit_test(g1_11_a_stream_without_memory_for_buffers),
    cmocka_unit_test(g5_8_send_zc_lets_go_of_its_buffer_only_when_ready),
    cmocka_unit_test(g5_8_send_zc_is_a_send_where_it_must_be),
    cmocka_unit_test(g5_2_a_send_zc_that_waits_is_cancelled_or_reset),
    cmocka_unit_test(g5_8_parts_of_files_are_sent),
    cmocka_unit_test(g5_8_a_file_to_a_slow_peer_does_not_stall_the_shard),
    cmocka_unit_test(g5_8_a_file_to_a_peer_that_resets),
    cmocka_unit_test(g5_8_a_file_goes_by_way_of_the_kernel_alone),
    cmocka_unit_test(g5_8_what_cannot_be_sent_from_a_file_is_told),
    cmocka_unit_test(g5_2_a_cancelled_send_file_counts_every_byte),
    cmocka_unit_test(g5_8_fixed_buffers_are_used_and_given_up),
    cmocka_unit_test(g5_8_fixed_descriptors_are_used_and_given_up),
    cmocka_unit_test(g5_8_a_fixed_descriptor_is_not_looked_up),
    cmocka_unit_test(g5_8_a_descriptor_beyond_the_table_works_unfixed),
    cmocka_unit_test(g5_1_the_lowest_descriptor_is_as_good_as_any),
    cmocka_unit_test(g5_8_files_past_the_page_cache),
    cmocka_unit_test(g5_2_bytes_that_come_with_a_cancel_stay_in_the_stream),
    cmocka_unit_test(g5_3_streams_and_files_with_ebusy_eagain_or_eintr),
    cmocka_unit_test(g5_6_what_cannot_be_registered_is_done_without),
    cmocka_unit_test(g5_8_a_place_that_cannot_be_given_up_is_not_used),
    cmocka_unit_test(g5_8_send_zc_says_whether_it_has_copied),
    cmocka_unit_test(g5_3_streams_and_datagrams_that_find_nothing),
    cmocka_unit_test(g5_3_short_transfers_are_gone_on_with),
    cmocka_unit_test(g5_4_a_buffer_that_comes_empty_goes_back),
    cmocka_unit_test(g5_3_what_is_interrupted_or_not_ready_is_tried_again),
    cmocka_unit_test(g5_3_what_has_no_thread_in_the_kernel_waits_for_one),
    cmocka_unit_test(g5_6_memory_that_was_short_for_a_moment_changes_nothing),
    cmocka_unit_test(g5_2_what_is_to_be_stopped_is_not_tried_again),
    cmocka_unit_test(g5_8_send_zc_copies_once_and_believes_the_last_word),
    cmocka_unit_test(g5_8_send_zc_of_more_than_may_be_locked_copies),
    cmocka_unit_test(g5_1_an_interrupted_close_is_not_done_again),
    cmocka_unit_test(g5_1_any_system_call_may_fail_for_one),
    cmocka_unit_test(g5_5_any_system_call_may_fail_for_one_connection),
    cmocka_unit_test(g5_7_ten_thousand_connections_open_work_and_close),
};

MINI_TEST_MAIN(tests)
