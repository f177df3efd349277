/* SPDX-License-Identifier: MIT */
/* Is the machine quiet? Spins on each CPU the program may use for 20 ms, and
 * prints how much of that time it did not get, in percent: the worst of the
 * CPUs. Sees what the kernel does not report: a virtual CPU that stands still. */
#include "bench.h"

#define SPIN_NS 20000000u
#define GAP_NS 100000u /* a tick of the kernel's is shorter, even in a guest */
#define CPUS 64

static double lost[CPUS];

static void *spin(void *index) {
    bench_pin((int)(intptr_t)index);
    struct timespec now;
    uint64_t start = bench_clock(CLOCK_MONOTONIC), before = start, gaps = 0;
    while (before - start < SPIN_NS) {
        clock_gettime(CLOCK_MONOTONIC, &now);
        uint64_t ns =
            (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
        if (ns - before > GAP_NS) gaps += ns - before;
        before = ns;
    }
    lost[(intptr_t)index] = 100.0 * (double)gaps / (double)(before - start);
    return NULL;
}

int main(void) {
    cpu_set_t all;
    pthread_t threads[CPUS];
    double worst = 0;
    sched_getaffinity(0, sizeof all, &all);
    int count = CPU_COUNT(&all) < CPUS ? CPU_COUNT(&all) : CPUS;
    for (intptr_t i = 0; i < count; i++)
        pthread_create(&threads[i], NULL, spin, (void *)i);
    for (int i = 0; i < count; i++) {
        pthread_join(threads[i], NULL);
        if (lost[i] > worst) worst = lost[i];
    }
    printf("%.1f\n", worst);
    return 0;
}
