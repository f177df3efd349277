/* SPDX-License-Identifier: MIT */
/* A bare ring, the other of the two limits: two indices, and each side has a
 * copy of the other's, which it renews only when it must. */
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#define CAPACITY 1024

typedef struct ring {
    _Alignas(64) atomic_size_t tail; /* stored by the producer */
    size_t head_seen;
    _Alignas(64) atomic_size_t head; /* stored by the consumer */
    size_t tail_seen;
    _Alignas(64) void *slots[CAPACITY];
} ring;

static inline void ring_init(ring *r) { (void)r; }

static inline size_t ring_push_many(ring *r, void *const *items, size_t count) {
    size_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
    size_t room = CAPACITY - (tail - r->head_seen);
    if (room < count) {
        r->head_seen = atomic_load_explicit(&r->head, memory_order_acquire);
        room = CAPACITY - (tail - r->head_seen);
        if (room < count) count = room;
        if (count == 0) return 0;
    }
    for (size_t i = 0; i < count; i++)
        r->slots[(tail + i) % CAPACITY] = items[i];
    atomic_store_explicit(&r->tail, tail + count, memory_order_release);
    return count;
}

static inline size_t ring_pop_many(ring *r, void **items, size_t count) {
    size_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
    size_t there = r->tail_seen - head;
    if (there < count) {
        r->tail_seen = atomic_load_explicit(&r->tail, memory_order_acquire);
        there = r->tail_seen - head;
        if (there < count) count = there;
        if (count == 0) return 0;
    }
    for (size_t i = 0; i < count; i++)
        items[i] = r->slots[(head + i) % CAPACITY];
    atomic_store_explicit(&r->head, head + count, memory_order_release);
    return count;
}

static inline bool ring_push(ring *r, void *item) {
    return ring_push_many(r, &item, 1) == 1;
}

static inline bool ring_pop(ring *r, void **item) {
    return ring_pop_many(r, item, 1) == 1;
}

#include "rings.h"

int main(int argc, char **argv) { return rings_main(argc, argv); }
