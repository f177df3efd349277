/* SPDX-License-Identifier: MIT */
/**
 * @file
 * Memory for tasks: blocks of a few sizes from one shard's free lists.
 *
 * - Only the owner shard's thread may call; nothing is locked.
 * - A block freed is the next one given out: its cache lines are still warm.
 * - Memory goes back to the system in mini_slab_destroy(), all at once.
 */
#pragma once

#include <stddef.h>

/** Size classes: steps of 32 bytes up to 16 KiB, then powers of two. */
#define MINI_SLAB_CLASSES (512 + 1 + 50)

/** One shard's store of blocks. Zero is an empty one. */
struct mini_slab {
    struct mini_block *free[MINI_SLAB_CLASSES]; /**< one list a class */
    struct mini_block *chunks; /**< what malloc gave */
    char *fresh; /**< the rest of the newest chunk */
    size_t fresh_bytes;
};

/** SIZE bytes aligned to 16, not cleared; NULL if there is no memory. */
void *mini_slab_alloc(struct mini_slab *slab, size_t size);
/** Takes back a block that was asked for with the same SIZE. */
void mini_slab_free(struct mini_slab *slab, void *block, size_t size);
/** Frees every block, those still in use as well. */
void mini_slab_destroy(struct mini_slab *slab);
