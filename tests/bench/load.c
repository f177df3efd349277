/* SPDX-License-Identifier: MIT */
/* Loads an echo server, and looks at what that costs it.
 *     load echo PORT PID CONNECTIONS MS    a message of 64 bytes under way on
 *                                          each connection, for so long
 *     load spin PORT PID CONNECTIONS MS    the same, and never sleeps
 *     load idle PORT PID CONNECTIONS       one message on each, then silence
 *
 * Every byte that comes back is compared with what was sent; no two messages
 * are alike. PID is the server's: its CPU time, of all its threads, is what the
 * system has noted of it at the beginning and at the end.
 *
 * Prints "NAME VALUE" pairs. echo: cpu, ns of the server's time a request; rate,
 * requests a second; p50, p99, p999 in us; lost, percent of the time that the
 * load generator wanted to run and could not. idle: bytes a connection, in the
 * server's resident memory. */
#include "bench.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>

#define SIZE 64
#define WARM_UP_NS 150000000u
#define GAP_NS 500000u /* between two readings of the clock in one batch */
#define DEEP 256 /* buckets for each doubling: 0.4 % or finer */

struct connection {
    int fd;
    unsigned number, message, got;
    uint64_t sent_at;
    unsigned char sent[SIZE], came[SIZE];
};

static struct connection *all;
static unsigned connections, port, pid;
static bool spins;
static uint64_t histogram[64 * DEEP], requests, gaps;
static uint64_t clock_read; /* the last reading */

_Noreturn static void fail(const char *what) {
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static uint64_t read_clock(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return clock_read =
               (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ---- what the system knows ---- */

/* The first two numbers of a thread's schedstat: ns on a CPU, and waiting for
 * one. */
static bool thread_times(const char *path, uint64_t *ran, uint64_t *waited) {
    unsigned long long a, b;
    FILE *file = fopen(path, "r");
    if (!file) return false;
    bool read = fscanf(file, "%llu %llu", &a, &b) == 2;
    fclose(file);
    if (!read) return false;
    *ran += a;
    *waited += b;
    return true;
}

/* CPU time of all of the server's threads, those of the kernel's for its ring
 * included. */
static uint64_t server_time(void) {
    char path[600];
    uint64_t ran = 0, waited = 0;
    snprintf(path, sizeof path, "/proc/%u/task", pid);
    DIR *threads = opendir(path);
    if (!threads) fail("cannot read the server's CPU time");
    for (struct dirent *entry; (entry = readdir(threads));) {
        if (entry->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "/proc/%u/task/%s/schedstat", pid,
            entry->d_name);
        thread_times(path, &ran, &waited);
    }
    closedir(threads);
    return ran;
}

static uint64_t own_waiting(void) {
    uint64_t ran = 0, waited = 0;
    if (!thread_times("/proc/self/schedstat", &ran, &waited))
        fail("cannot read /proc/self/schedstat");
    return waited;
}

static size_t server_memory(void) {
    char path[64];
    unsigned long pages;
    snprintf(path, sizeof path, "/proc/%u/statm", pid);
    FILE *file = fopen(path, "r");
    if (!file || fscanf(file, "%*u %lu", &pages) != 1)
        fail("cannot read the server's memory");
    fclose(file);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

/* ---- one connection ---- */

static void open_connection(struct connection *self, unsigned number) {
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    self->number = number;
    self->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (self->fd < 0) fail("socket");
    setsockopt(self->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    if (connect(self->fd, (void *)&address, sizeof address) < 0)
        fail("connect");
}

static void send_next(struct connection *self) {
    uint64_t state = ((uint64_t)self->number << 32 | ++self->message) *
        UINT64_C(0x9e3779b97f4a7c15);
    for (unsigned i = 0; i < SIZE; i += 8) {
        bench_random(&state);
        memcpy(self->sent + i, &state, 8);
    }
    self->got = 0;
    self->sent_at = read_clock();
    if (send(self->fd, self->sent, SIZE, MSG_NOSIGNAL) != SIZE) fail("send");
}

static void check(const struct connection *self) {
    if (memcmp(self->sent, self->came, SIZE) == 0) return;
    unsigned i = 0;
    while (self->sent[i] == self->came[i]) i++;
    fprintf(stderr, "load: byte %u of message %u on connection %u is wrong\n",
        i, self->message, self->number);
    exit(1);
}

/* True if all of the answer is there. */
static bool receive(struct connection *self) {
    ssize_t count =
        recv(self->fd, self->came + self->got, SIZE - self->got, MSG_DONTWAIT);
    if (count == 0) {
        fputs("load: the server has closed a connection\n", stderr);
        exit(1);
    }
    if (count < 0) {
        if (errno != EAGAIN) fail("recv");
        return false;
    }
    self->got += (unsigned)count;
    if (self->got < SIZE) return false;
    check(self);
    return true;
}

/* ---- latencies ---- */

static void note(uint64_t ns) {
    unsigned high = 63 - (unsigned)__builtin_clzll(ns | DEEP);
    unsigned shift = high - 8; /* DEEP is 2^8 */
    histogram[shift * DEEP + (ns >> shift)]++;
    requests++;
}

/* In us: the middle of the bucket below which PART of all requests are. */
static double percentile(double part) {
    uint64_t left = (uint64_t)(part * (double)requests);
    for (unsigned i = 0; i < sizeof histogram / sizeof *histogram; i++) {
        if (left < histogram[i]) {
            unsigned shift = i < 2 * DEEP ? 0 : i / DEEP - 1;
            double low = (double)((uint64_t)(i - shift * DEEP) << shift);
            return (low + (double)(UINT64_C(1) << shift) / 2) / 1000;
        }
        left -= histogram[i];
    }
    return 0;
}

/* ---- all connections ---- */

static void serve_events(int epoll, uint64_t until) {
    struct epoll_event events[512];
    while (clock_read < until) {
        int count = epoll_wait(epoll, events, 512, spins ? 0 : 100);
        if (count < 0 && errno != EINTR) fail("epoll_wait");
        uint64_t before = read_clock();
        for (int i = 0; i < count; i++) {
            struct connection *self = events[i].data.ptr;
            if (!receive(self)) continue;
            uint64_t now = read_clock();
            if (now - before > GAP_NS) gaps += now - before;
            before = now;
            note(now - self->sent_at);
            send_next(self);
        }
    }
}

static void load_echo(uint64_t ns) {
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    for (unsigned i = 0; i < connections; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &all[i]};
        epoll_ctl(epoll, EPOLL_CTL_ADD, all[i].fd, &event);
        send_next(&all[i]);
    }
    serve_events(epoll, read_clock() + WARM_UP_NS);
    memset(histogram, 0, sizeof histogram);
    requests = gaps = 0;
    uint64_t start = read_clock(), cpu = server_time(), waited = own_waiting();
    serve_events(epoll, start + ns);
    cpu = server_time() - cpu;
    waited = own_waiting() - waited;
    double seconds = (double)(clock_read - start) / 1e9;
    uint64_t lost = waited > gaps ? waited : gaps; /* one may be of the other */
    if (requests == 0) fail("the server does not answer");
    printf("cpu %.1f rate %.0f p50 %.2f p99 %.2f p999 %.2f lost %.2f\n",
        (double)cpu / (double)requests, (double)requests / seconds,
        percentile(.5), percentile(.99), percentile(.999),
        100 * (double)lost / 1e9 / seconds);
}

static void one_message_each(unsigned first, unsigned last) {
    for (unsigned i = first; i < last; i++) {
        open_connection(&all[i], i);
        send_next(&all[i]);
        while (!receive(&all[i])) continue;
    }
}

/* The first half make room for what a server keeps for all: once they are done,
 * it has used each of its buffers. */
static void load_idle(void) {
    unsigned first = connections / 2;
    one_message_each(0, first);
    size_t before = server_memory();
    one_message_each(first, connections);
    printf("bytes %.1f lost 0\n",
        (double)(server_memory() - before) / (connections - first));
}

int main(int argc, char **argv) {
    bool idle = bench_case(argc, argv, "idle");
    spins = bench_case(argc, argv, "spin");
    port = bench_number(argc, argv, 2);
    pid = bench_number(argc, argv, 3);
    connections = bench_number(argc, argv, 4);
    all = calloc(connections, sizeof *all);
    if (!all) return 1;
    if (idle) {
        load_idle();
        return 0;
    }
    for (unsigned i = 0; i < connections; i++) open_connection(&all[i], i);
    load_echo(bench_number(argc, argv, 5) * UINT64_C(1000000));
    return 0;
}
