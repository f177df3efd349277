/* SPDX-License-Identifier: MIT */
/* Free lists by size class, filled from chunks. See slab.h. */
#include "slab.h"

#include <stdlib.h>

#define CHUNK_BYTES 65536

/* Memory from malloc: this link, and behind it many blocks or one large one. It
 * begins a cache line, so that a block of whole lines can begin one, too. */
struct chunk {
    _Alignas(64) struct mini_list link;
};

void mini_slab_init(struct mini_slab *slab) {
    *slab = (struct mini_slab){0};
    mini_list_init(&slab->chunks);
}

static void *new_chunk(struct mini_slab *slab, size_t bytes) {
    /* aligned_alloc wants a multiple of 64 */
    struct chunk *chunk = aligned_alloc(64, sizeof *chunk + (bytes | 63) + 1);
    if (!chunk) return NULL;
    mini_list_push(&slab->chunks, &chunk->link);
    return chunk + 1;
}

/* Gives out a chunk from its end; a rest too small for this block is lost. */
void *mini_slab_more(struct mini_slab *slab, size_t size) {
    size_t bytes = mini_slab_class(size) * MINI_SLAB_STEP;
    if (bytes == 0) return new_chunk(slab, size);
    if (slab->fresh_bytes < bytes) {
        void *chunk = new_chunk(slab, CHUNK_BYTES);
        if (!chunk) return NULL;
        slab->fresh = chunk;
        slab->fresh_bytes = CHUNK_BYTES;
    }
    slab->fresh_bytes -= bytes;
    return slab->fresh + slab->fresh_bytes;
}

void mini_slab_free_large(void *block) {
    struct chunk *chunk = (struct chunk *)block - 1;
    mini_list_remove(&chunk->link);
    free(chunk);
}

void mini_slab_destroy(struct mini_slab *slab) {
    struct mini_list *link;
    while ((link = mini_list_pop(&slab->chunks)))
        free(MINI_CONTAINER(link, struct chunk, link));
}
