/* SPDX-License-Identifier: MIT */
/* A bare ring, one of the two limits: a flag per slot. The item itself is the
 * flag, NULL is an empty slot; no index is shared. (Giacomoni, Moseley and
 * Vachharajani, "FastForward", 2008.) */
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#define CAPACITY 1024

typedef struct ring {
    _Alignas(64) size_t tail; /* the producer's */
    _Alignas(64) size_t head; /* the consumer's */
    _Alignas(64) _Atomic(void *) slots[CAPACITY];
} ring;

static inline void ring_init(ring *r) { (void)r; }

static inline bool ring_push(ring *r, void *item) {
    _Atomic(void *) *slot = &r->slots[r->tail % CAPACITY];
    if (atomic_load_explicit(slot, memory_order_acquire)) return false;
    atomic_store_explicit(slot, item, memory_order_release);
    r->tail++;
    return true;
}

static inline bool ring_pop(ring *r, void **item) {
    _Atomic(void *) *slot = &r->slots[r->head % CAPACITY];
    *item = atomic_load_explicit(slot, memory_order_acquire);
    if (!*item) return false;
    atomic_store_explicit(slot, NULL, memory_order_release);
    r->head++;
    return true;
}

static inline size_t ring_push_many(ring *r, void *const *items, size_t count) {
    size_t done = 0;
    while (done < count && ring_push(r, items[done])) done++;
    return done;
}

static inline size_t ring_pop_many(ring *r, void **items, size_t count) {
    size_t done = 0;
    while (done < count && ring_pop(r, &items[done])) done++;
    return done;
}

#include "rings.h"

int main(int argc, char **argv) { return rings_main(argc, argv); }
