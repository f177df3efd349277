/* SPDX-License-Identifier: MIT */
/* The limit of memory: N blocks with nothing in them but what a task cannot do
 * without, from one large array: a link, a function, a result, where to go on,
 * and, if it sleeps, two links and a deadline.
 *     memory_limit empty N
 *     memory_limit sleep N
 * Prints bytes of a task in the process's resident memory. */
#include "memory.h"

struct empty {
    void *next;
    void (*run)(struct empty *);
    long result;
    long resume;
};

struct sleeping {
    struct empty task;
    void *links[2];
    uint64_t deadline;
};

int main(int argc, char **argv) {
    unsigned count = bench_number(argc, argv, 2);
    size_t size = bench_case(argc, argv, "sleep") ? sizeof(struct sleeping)
                                                  : sizeof(struct empty);
    size_t before = memory_resident();
    char *all = malloc(count * size);
    if (!all) return 1;
    for (size_t i = 0; i < count; i++) memset(all + i * size, 1, size);
    memory_print(before, count);
    return all[count] == 2;
}
