/* SPDX-License-Identifier: MIT */
/* Free lists by size class, filled from chunks. See slab.h. */
#include "slab.h"

#include <stdlib.h>

#define CHUNK_BYTES 65536

/* What malloc gave: many blocks, or one large one, behind this link. */
struct chunk {
    _Alignas(max_align_t) struct mini_list link;
};

void mini_slab_init(struct mini_slab *slab) {
    *slab = (struct mini_slab){0};
    mini_list_init(&slab->chunks);
}

static void *new_chunk(struct mini_slab *slab, size_t bytes) {
    struct chunk *chunk = malloc(sizeof *chunk + bytes);
    if (!chunk) return NULL;
    mini_list_push(&slab->chunks, &chunk->link);
    return chunk + 1;
}

static size_t class_of(size_t size) {
    return (size + MINI_SLAB_STEP - 1) / MINI_SLAB_STEP;
}

/* From its end on; what is left and too small for this block is given up. */
static void *carve(struct mini_slab *slab, size_t bytes) {
    if (slab->fresh_bytes < bytes) {
        void *chunk = new_chunk(slab, CHUNK_BYTES);
        if (!chunk) return NULL;
        slab->fresh = chunk;
        slab->fresh_bytes = CHUNK_BYTES;
    }
    slab->fresh_bytes -= bytes;
    return slab->fresh + slab->fresh_bytes;
}

void *mini_slab_alloc(struct mini_slab *slab, size_t size) {
    if (size > MINI_SLAB_MAX) return new_chunk(slab, size);
    void **list = &slab->free[class_of(size)], **block = *list;
    if (!block) return carve(slab, class_of(size) * MINI_SLAB_STEP);
    *list = *block;
    return block;
}

void mini_slab_free(struct mini_slab *slab, void *memory, size_t size) {
    if (size > MINI_SLAB_MAX) {
        struct chunk *chunk = (struct chunk *)memory - 1;
        mini_list_remove(&chunk->link);
        free(chunk);
        return;
    }
    *(void **)memory = slab->free[class_of(size)];
    slab->free[class_of(size)] = memory;
}

void mini_slab_destroy(struct mini_slab *slab) {
    struct mini_list *link;
    while ((link = mini_list_pop(&slab->chunks)))
        free(MINI_CONTAINER(link, struct chunk, link));
}
