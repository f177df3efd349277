/* SPDX-License-Identifier: MIT */
/* What the programs have in common that show what a feature gives: the same work
 * with it and without it, over loopback. The other end is a process of its own,
 * on the other CPU; its time does not count.
 *
 * All that is sent repeats every FEATURES_PERIOD bytes, and is compared. */
#pragma once

#include "miniss.h"

#include "bench.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define FEATURES_PERIOD 4096u
#define FEATURES_SOCKETS 16u
#define FEATURES_MOST (1u << 20) /* bytes of an operation */

static struct bench features_bench;
static bool features_running = true;
static char *features_pattern; /* FEATURES_MOST from any place in a period */
static unsigned features_bytes; /* of an operation */
static uint64_t features_done, features_slice; /* in bytes, or operations */

/* How many operations are done, by socket; both processes have it. */
static _Atomic unsigned *features_count;

/* Of this process, or of the other one, which then ends. */
static inline void features_expect(bool right, const char *what, long result) {
    if (right) return;
    fprintf(stderr, "%s: %s (%ld)\n", what,
        result < 0 ? strerror((int)-result) : "a byte is wrong", result);
    exit(1);
}

/* COUNT more, of which an operation has SIZE; a slice may end. */
static inline void features_note(uint64_t count, uint64_t size) {
    features_done += count;
    if (features_done < features_slice || !features_running) return;
    features_running = bench_lap(&features_bench, features_done / size);
    features_done = 0;
}

static inline void features_init(void) {
    features_pattern = malloc(FEATURES_MOST + FEATURES_PERIOD);
    features_count = mmap(NULL, FEATURES_SOCKETS * sizeof *features_count,
        PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (!features_pattern || features_count == MAP_FAILED) exit(1);
    uint64_t state = 88172645463325252u;
    for (unsigned i = 0; i < FEATURES_PERIOD; i++)
        features_pattern[i] = (char)bench_random(&state);
    for (unsigned i = 0; i < FEATURES_MOST; i++)
        features_pattern[FEATURES_PERIOD + i] = features_pattern[i];
    bench_init(&features_bench, CLOCK_PROCESS_CPUTIME_ID);
}

/* A listening socket on a port of 127.0.0.1, and its address. */
static inline int features_listen(struct sockaddr_in *address) {
    socklen_t length = sizeof *address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    memset(address, 0, sizeof *address);
    address->sin_family = AF_INET;
    address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || bind(fd, (struct sockaddr *)address, length) < 0 ||
        listen(fd, 1024) < 0 ||
        getsockname(fd, (struct sockaddr *)address, &length) < 0)
        features_expect(false, "listen", -errno);
    return fd;
}

static inline int features_connect(const struct sockaddr_in *address) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 ||
        connect(fd, (const struct sockaddr *)address, sizeof *address) < 0)
        features_expect(false, "connect", -errno);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    return fd;
}

/* Connected pairs: ours and theirs. */
static inline void features_pairs(int *ours, int *theirs) {
    struct sockaddr_in address;
    int listener = features_listen(&address);
    for (unsigned i = 0; i < FEATURES_SOCKETS; i++) {
        theirs[i] = features_connect(&address);
        ours[i] = accept(listener, NULL, NULL);
        features_expect(ours[i] >= 0, "accept", -errno);
    }
    close(listener);
}

/* The other process; it ends with this one. */
static inline pid_t features_fork(void (*other)(void *), void *arg) {
    pid_t pid = fork();
    features_expect(pid >= 0, "fork", -errno);
    bench_pin(pid == 0);
    if (pid > 0) return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    other(arg);
    exit(1);
}

/* Runs MAIN against the other process; prints what an operation has taken. */
static inline int features_run(struct mini_future *main, pid_t other) {
    struct mini_options options = {.shards = 1};
    long result = mini_run(main, &options);
    features_expect(result >= 0, "mini_run", result);
    features_expect(
        waitpid(other, NULL, WNOHANG) == 0, "the other process", -EPIPE);
    kill(other, SIGKILL);
    waitpid(other, NULL, 0);
    bench_print(&features_bench);
    return 0;
}
