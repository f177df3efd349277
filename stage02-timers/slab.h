/* SPDX-License-Identifier: MIT */
/**
 * @file
 * Memory for tasks: blocks of a few size classes from one executor's free
 * lists. All blocks of a chunk have one size, so that they can be walked.
 *
 * - Only the owner's thread may call; nothing is locked.
 * - A freed block is the next one of its class to be given out, while its cache
 *   lines are still warm. Until then it keeps what was in it, but for the address
 *   of another at its beginning.
 * - The memory of blocks that have a class is freed in mini_slab_destroy(), all
 *   at once.
 *
 * Source: Bonwick, "The Slab Allocator" (1994), of which only the free lists by
 * size are left here.
 */
#pragma once

#include "../common/list.h"

#include <stddef.h>

/** Bytes between two classes. */
#define MINI_SLAB_STEP 16
/** Blocks above this many bytes come from malloc one by one. */
#ifndef MINI_SLAB_MAX /* tests/sim wants all of them to */
#define MINI_SLAB_MAX 8192
#endif

/** How many classes there are. Class 0 is for blocks too large for another. */
#define MINI_SLAB_CLASSES (MINI_SLAB_MAX / MINI_SLAB_STEP + 1)

/** Memory from malloc: this, and behind it many blocks or one large one. */
struct mini_chunk {
    _Alignas(16) struct mini_list link; /**< among the slab's chunks */
    size_t bytes; /**< of a block */
    size_t count; /**< blocks that have been given out, even if free now */
};

/** One executor's store of blocks. */
struct mini_slab {
    /** The free blocks of each class; a block begins with the next one's
     * address. Class 0 has none. */
    void *free[MINI_SLAB_CLASSES];
    /** Of each class the chunk from which fresh blocks come. Class 0 has none:
     * a chunk with a large block has no more. */
    struct mini_chunk *newest[MINI_SLAB_CLASSES];
    struct mini_list chunks; /**< all that came from malloc */
};

/** Makes SLAB an empty store. */
void mini_slab_init(struct mini_slab *slab);

/** The class of blocks of SIZE; 0: they have none and come from malloc. */
static inline size_t mini_slab_class(size_t size) {
    size_t class = (size + MINI_SLAB_STEP - 1) / MINI_SLAB_STEP;
    return size <= MINI_SLAB_MAX ? class : 0;
}

/** For mini_slab_alloc: a block of SIZE that does not come from a free list. */
void *mini_slab_more(struct mini_slab *slab, size_t size);
/** For mini_slab_free: frees BLOCK, which has no class. */
void mini_slab_free_large(void *block);

/** SIZE bytes aligned to 16, not cleared; NULL if there is no memory. */
static inline void *mini_slab_alloc(struct mini_slab *slab, size_t size) {
    void **list = &slab->free[mini_slab_class(size)], **block = *list;
    if (!block) return mini_slab_more(slab, size);
    *list = *block;
    return block;
}

/** Takes back BLOCK, which was allocated with the same SIZE. */
static inline void mini_slab_free(
    struct mini_slab *slab, void *block, size_t size) {
    size_t class = mini_slab_class(size);
    if (class) {
        *(void **)block = slab->free[class];
        slab->free[class] = block;
    } else
        mini_slab_free_large(block);
}

/** Block number I of CHUNK, free or not. */
static inline void *mini_slab_block(struct mini_chunk *chunk, size_t i) {
    return (char *)(chunk + 1) + i * chunk->bytes;
}

/** Frees every block, even those still in use. */
void mini_slab_destroy(struct mini_slab *slab);
