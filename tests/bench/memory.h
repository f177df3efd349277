/* SPDX-License-Identifier: MIT */
/* Resident memory of the process. */
#pragma once

#include "bench.h"

static inline size_t memory_resident(void) {
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file || fscanf(file, "%*u %lu", &pages) != 1) exit(1);
    fclose(file);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static inline void memory_print(size_t before, unsigned count) {
    printf("%.2f %u\n", (double)(memory_resident() - before) / count, count);
}
