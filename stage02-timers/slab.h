/* SPDX-License-Identifier: MIT */
/**
 * @file
 * Memory for tasks: blocks of a few size classes from one shard's free lists.
 *
 * - Only the owner shard's thread may call; nothing is locked.
 * - A block freed is the next one given out: its cache lines are still warm.
 * - All memory goes back at once in mini_slab_destroy().
 */
#pragma once

#include "../common/list.h"

#include <stddef.h>

/** Bytes between two classes. */
#define MINI_SLAB_STEP 32
/** Blocks above this many bytes come from malloc one by one. */
#define MINI_SLAB_MAX 8192

/** One shard's store of blocks. */
struct mini_slab {
    /** The free blocks of each class; a block begins with the next one's address. */
    void *free[MINI_SLAB_MAX / MINI_SLAB_STEP + 1];
    char *fresh; /**< the newest chunk */
    size_t fresh_bytes; /**< of it, from its start, that are not given out */
    struct mini_list chunks; /**< all that came from malloc */
};

/** Makes SLAB an empty store. */
void mini_slab_init(struct mini_slab *slab);

/** SIZE bytes aligned to 16, not cleared; NULL if there is no memory. */
void *mini_slab_alloc(struct mini_slab *slab, size_t size);
/** Takes back a block that was asked for with the same SIZE. */
void mini_slab_free(struct mini_slab *slab, void *block, size_t size);
/** Frees every block, those still in use as well. */
void mini_slab_destroy(struct mini_slab *slab);
