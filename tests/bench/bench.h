/* SPDX-License-Identifier: MIT */
/* How every program here measures, whatever it measures: in C and in C++.
 *
 * A program repeats the same work in slices of a millisecond or so and prints
 * the median of a slice: "NANOSECONDS OPERATIONS", for one operation and how
 * many a slice has. The first slice warms up and does not count.
 *
 * - What one thread does is measured in its own CPU time, so what others do on
 *   the CPU in between does not count. Two threads need the time of day.
 * - BENCH_SLICES=N in the environment makes it exactly N slices, for counting
 *   instructions: run.py takes the difference of two such runs. */
#pragma once

#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define BENCH_SLICES_MAX 2000
#define BENCH_SLICES_MIN 3 /* the first of them does not count */
#define BENCH_NS 120000000u /* how long it goes on if slices are short */

struct bench {
    clockid_t clock;
    uint64_t started, spent, ops;
    unsigned count, exactly;
    double ns[BENCH_SLICES_MAX];
};

/* Not clock_gettime(): some of the programs replace that, for their peer. */
static inline uint64_t bench_clock(clockid_t clock) {
    struct timespec now;
    syscall(SYS_clock_gettime, clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static inline void bench_init(struct bench *bench, clockid_t clock) {
    const char *slices = getenv("BENCH_SLICES");
    memset(bench, 0, sizeof *bench);
    bench->clock = clock;
    bench->exactly = slices ? (unsigned)atoi(slices) : 0;
}

/* Is there another slice to be measured? */
static inline bool bench_more(const struct bench *bench) {
    if (bench->exactly) return bench->count < bench->exactly;
    if (bench->count < BENCH_SLICES_MIN) return true;
    return bench->count < BENCH_SLICES_MAX && bench->spent < BENCH_NS;
}

static inline void bench_start(struct bench *bench) {
    bench->started = bench_clock(bench->clock);
}

static inline void bench_stop(struct bench *bench, uint64_t ops) {
    uint64_t spent = bench_clock(bench->clock) - bench->started;
    if (bench->count == BENCH_SLICES_MAX) return;
    bench->spent += spent;
    bench->ops = ops;
    bench->ns[bench->count++] = (double)spent / (double)ops;
}

/* For loops that go on by themselves: a slice ends, and the next begins. */
static inline bool bench_lap(struct bench *bench, uint64_t ops) {
    bench_stop(bench, ops);
    bench_start(bench);
    return bench_more(bench);
}

static inline int bench_compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static inline void bench_print(struct bench *bench) {
    unsigned count = bench->count - 1;
    if (bench->count < 2) exit(1);
    qsort(bench->ns + 1, count, sizeof *bench->ns, bench_compare);
    printf("%.4f %llu\n", bench->ns[1 + count / 2],
        (unsigned long long)bench->ops);
}

/* The CPUs the program may use: read before a thread is pinned. The first thread
 * has then one, and who asked for the process's would be told that. */
static cpu_set_t bench_cpus;

__attribute__((constructor)) static void bench_read_cpus(void) {
    sched_getaffinity(0, sizeof bench_cpus, &bench_cpus);
}

/* Pins the calling thread to the INDEX-th of them. */
static inline void bench_pin(int index) {
    cpu_set_t one;
    CPU_ZERO(&one);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &bench_cpus) && index-- == 0) CPU_SET(cpu, &one);
    if (CPU_COUNT(&one))
        pthread_setaffinity_np(pthread_self(), sizeof one, &one);
}

static inline uint64_t bench_random(uint64_t *state) {
    *state ^= *state << 13; /* Marsaglia's xorshift64 */
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* The number on the command line at INDEX. */
static inline unsigned bench_number(int argc, char **argv, int index) {
    long value = index < argc ? atol(argv[index]) : 0;
    if (value > 0) return (unsigned)value;
    fprintf(stderr, "%s: argument %d must be a number\n", argv[0], index);
    exit(2);
}

/* Is the command line's first word this one? */
static inline bool bench_case(int argc, char **argv, const char *name) {
    return argc > 1 && strcmp(argv[1], name) == 0;
}
