/* SPDX-License-Identifier: MIT */
/* The simulated machine's memory: counted, and not given out again at once. See
 * sim.h. */
#include "sim.h"

#include <malloc.h>

void *__real_malloc(size_t size);
void __real_free(void *block);

static long live_blocks; /* 0 between seeds */

/* What is freed is filled, and kept for a while: who writes to it is found, and
 * who reads it finds nothing that he could use. */
#define FREED 0xdd
static struct {
    unsigned char *block;
    size_t size;
} freed[512];
static size_t freed_next;

static void let_go(size_t i) {
    for (size_t at = 0; at < freed[i].size; at++)
        if (freed[i].block[at] != FREED)
            sim_fail("written to %zu bytes of memory after they were freed",
                freed[i].size);
    __real_free(freed[i].block);
    freed[i].block = NULL;
    freed[i].size = 0;
}

void __wrap_free(void *block) {
    size_t i = freed_next++ % (sizeof freed / sizeof *freed);
    if (!block) return;
    sim_drain(); /* what it has stored there comes first */
    live_blocks--;
    let_go(i);
    freed[i].block = block;
    freed[i].size = malloc_usable_size(block);
    memset(block, FREED, freed[i].size);
}

static void *made(void *block, size_t size, int fill) {
    live_blocks++;
    return memset(block, fill, size);
}

void *__wrap_malloc(size_t size) {
    return made(__real_malloc(size), size, 0xaa);
}

void *__wrap_calloc(size_t count, size_t size) {
    return made(__real_malloc(count * size), count * size, 0);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size) {
    return made(memalign(alignment, size), size, 0xaa);
}

void *__wrap_realloc(void *block, size_t size) {
    void *larger = __wrap_malloc(size);
    size_t old = block ? malloc_usable_size(block) : 0;
    if (block) memcpy(larger, block, old < size ? old : size);
    __wrap_free(block);
    return larger;
}

void sim_memory_check(void) {
    SIM_CHECK(live_blocks == 0, "%ld block(s) of memory are left", live_blocks);
    for (size_t i = 0; i < sizeof freed / sizeof *freed; i++) let_go(i);
}
