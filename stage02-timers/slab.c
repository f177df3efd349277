/* SPDX-License-Identifier: MIT */
/* Free lists by size class, filled from chunks. See slab.h. */
#include "slab.h"

#include <stdlib.h>

#define STEP ((size_t)32)
#define SMALL (512 * STEP)
#define CHUNK ((size_t)65536)

struct mini_block {
    struct mini_block *next;
};

/* The class of SIZE, and how many bytes its blocks have. */
static size_t class_of(size_t size, size_t *bytes) {
    if (size <= SMALL) {
        *bytes = (size + STEP - 1) / STEP * STEP;
        return *bytes / STEP;
    }
    int bits = 64 - __builtin_clzll(size - 1);
    *bytes = (size_t)1 << bits;
    return 512 + (size_t)bits - 14;
}

static void *take(struct mini_slab *slab, size_t bytes) {
    if (slab->fresh_bytes < bytes) { /* the rest of the old chunk is given up */
        size_t size = bytes > CHUNK ? bytes : CHUNK;
        struct mini_block *chunk = malloc(STEP + size);
        if (!chunk) return NULL;
        chunk->next = slab->chunks;
        slab->chunks = chunk;
        slab->fresh = (char *)chunk + STEP;
        slab->fresh_bytes = size;
    }
    void *block = slab->fresh;
    slab->fresh += bytes;
    slab->fresh_bytes -= bytes;
    return block;
}

void *mini_slab_alloc(struct mini_slab *slab, size_t size) {
    size_t bytes, class = class_of(size, &bytes);
    struct mini_block *block = slab->free[class];
    if (!block) return take(slab, bytes);
    slab->free[class] = block->next;
    return block;
}

void mini_slab_free(struct mini_slab *slab, void *memory, size_t size) {
    struct mini_block *block = memory;
    size_t bytes, class = class_of(size, &bytes);
    block->next = slab->free[class];
    slab->free[class] = block;
}

void mini_slab_destroy(struct mini_slab *slab) {
    for (struct mini_block *next, *chunk = slab->chunks; chunk; chunk = next) {
        next = chunk->next;
        free(chunk);
    }
}
