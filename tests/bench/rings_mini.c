/* SPDX-License-Identifier: MIT */
/* The runtime's ring. */
#include "spsc.h"

#define CAPACITY 1024

typedef struct mini_spsc ring;

static inline void ring_init(ring *r) {
    if (mini_spsc_init(r, CAPACITY) < 0) exit(1);
}

static inline bool ring_push(ring *r, void *item) {
    return mini_spsc_push(r, item);
}

static inline bool ring_pop(ring *r, void **item) {
    return mini_spsc_pop(r, item);
}

static inline size_t ring_push_many(ring *r, void *const *items, size_t count) {
    return mini_spsc_push_many(r, items, count);
}

static inline size_t ring_pop_many(ring *r, void **items, size_t count) {
    return mini_spsc_pop_many(r, items, count);
}

#include "rings.h"

int main(int argc, char **argv) { return rings_main(argc, argv); }
