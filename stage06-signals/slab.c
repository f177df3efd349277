/* SPDX-License-Identifier: MIT */
/* Free lists by size class, filled from chunks. See slab.h. */
#include "slab.h"

#include <stdlib.h>

#define CHUNK_BYTES 65536

void mini_slab_init(struct mini_slab *slab) {
    *slab = (struct mini_slab){0};
    mini_list_init(&slab->chunks);
}

void *mini_slab_more(struct mini_slab *slab, size_t size) {
    size_t class = mini_slab_class(size);
    size_t bytes = class ? class * MINI_SLAB_STEP : size;
    struct mini_chunk *chunk = slab->newest[class];
    if (!chunk || (chunk->count + 1) * bytes > CHUNK_BYTES) {
        chunk = malloc(sizeof *chunk + (class ? CHUNK_BYTES : size));
        if (!chunk) return NULL;
        *chunk = (struct mini_chunk){.bytes = bytes};
        mini_list_push(&slab->chunks, &chunk->link);
        if (class) slab->newest[class] = chunk;
    }
    return mini_slab_block(chunk, chunk->count++);
}

void mini_slab_free_large(void *block) {
    struct mini_chunk *chunk = (struct mini_chunk *)block - 1;
    mini_list_remove(&chunk->link);
    free(chunk);
}

void mini_slab_destroy(struct mini_slab *slab) {
    struct mini_list *link;
    while ((link = mini_list_pop(&slab->chunks)))
        free(MINI_CONTAINER(link, struct mini_chunk, link));
}
