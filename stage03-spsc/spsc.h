/* SPDX-License-Identifier: MIT */
/**
 * @file
 * A ring for one producer thread and one consumer thread: lock-free, bounded,
 * first in first out.
 *
 * - Items are pointers, or NULL; the ring does not own what they point to.
 * - Only the producer may call the `push` forms, only the consumer the `pop`
 *   forms. Neither ever waits.
 * - A slot itself says whether it is empty. So an item and the news of it share
 *   a cache line, and while both sides are busy neither reads the other's
 *   index: only the line with the item moves from core to core.
 *
 * Source: Giacomoni, Moseley and Vachharajani, "FastForward" (2008).
 *
 * @guarantee{G3.1} Every item arrives exactly once and in order, across
 * wrap-around of the indices.
 *
 * @guarantee{G3.3} What the producer wrote before a push is visible after the
 * pop (data-race free under ThreadSanitizer).
 */
#pragma once

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/** Bytes that move between cores as one. */
#define MINI_CACHE_LINE 64

/** The ring. Three cache lines: one that both sides read, the producer's, the
 * consumer's. */
struct mini_spsc {
    /** As many as the capacity, on cache lines of their own. An empty one holds
     * the address of the array itself, which nobody sends. */
    _Atomic(void *) *slots;
    size_t mask; /**< capacity - 1 */
    /** Items pushed so far, masked at use; stored by the producer. */
    _Alignas(MINI_CACHE_LINE) atomic_size_t tail;
    /** Items popped so far, masked at use; stored by the consumer. */
    _Alignas(MINI_CACHE_LINE) atomic_size_t head;
};

/** Makes RING an empty one of CAPACITY slots, a power of two from 1 up, before
 * either thread uses it. 0, -EINVAL (not a power of two), or -ENOMEM. */
static inline int mini_spsc_init(struct mini_spsc *ring, size_t capacity) {
    size_t bytes = capacity * sizeof *ring->slots;
    *ring = (struct mini_spsc){.mask = capacity - 1};
    if (capacity == 0 || (capacity & ring->mask) != 0) return -EINVAL;
    if (capacity > PTRDIFF_MAX / sizeof *ring->slots) return -ENOMEM;
    ring->slots = aligned_alloc(
        MINI_CACHE_LINE, bytes < MINI_CACHE_LINE ? MINI_CACHE_LINE : bytes);
    for (size_t i = 0; ring->slots && i < capacity; i++)
        atomic_init(&ring->slots[i], ring->slots);
    return ring->slots ? 0 : -ENOMEM;
}

/** Frees the slots; nobody uses the ring any more. */
static inline void mini_spsc_destroy(struct mini_spsc *ring) {
    free(ring->slots);
}

/** Producer: pushes up to COUNT items, from the first on; returns how many. */
static inline size_t mini_spsc_push_many(
    struct mini_spsc *ring, void *const *items, size_t count) {
    /* relaxed: nobody else stores tail */
    size_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    size_t done = 0;
    for (; done < count; done++) {
        _Atomic(void *) *slot = &ring->slots[(tail + done) & ring->mask];
        /* acquire, release: pair with the store and the load of slots in
         * mini_spsc_pop_many */
        if (atomic_load_explicit(slot, memory_order_acquire) != ring->slots)
            break;
        atomic_store_explicit(slot, items[done], memory_order_release);
    }
    if (done == 0) return 0; /* who spins stores nothing */
    /* release: pairs with the load of tail in mini_spsc_count */
    atomic_store_explicit(&ring->tail, tail + done, memory_order_release);
    return done;
}

/** Consumer: pops up to COUNT items; returns how many. */
static inline size_t mini_spsc_pop_many(
    struct mini_spsc *ring, void **items, size_t count) {
    /* relaxed: nobody else stores head */
    size_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    size_t done = 0;
    for (; done < count; done++) {
        _Atomic(void *) *slot = &ring->slots[(head + done) & ring->mask];
        /* acquire, release: pair with the store and the load of slots in
         * mini_spsc_push_many */
        void *item = atomic_load_explicit(slot, memory_order_acquire);
        if (item == ring->slots) break;
        items[done] = item;
        atomic_store_explicit(slot, ring->slots, memory_order_release);
    }
    if (done == 0) return 0;
    /* release: pairs with the load of head in mini_spsc_count */
    atomic_store_explicit(&ring->head, head + done, memory_order_release);
    return done;
}

/** Producer: pushes one; false if the ring is full. */
static inline bool mini_spsc_push(struct mini_spsc *ring, void *item) {
    return mini_spsc_push_many(ring, &item, 1);
}

/** Consumer: pops one; false if the ring is empty. */
static inline bool mini_spsc_pop(struct mini_spsc *ring, void **item) {
    return mini_spsc_pop_many(ring, item, 1);
}

/** True if there is an item in the slot at the calling side's own INDEX: at
 * `head` the consumer can pop it, at `tail` the ring is full. */
static inline bool mini_spsc_holds(
    struct mini_spsc *ring, atomic_size_t *index) {
    /* relaxed: nobody else stores INDEX; acquire: as in the loops above */
    size_t at = atomic_load_explicit(index, memory_order_relaxed) & ring->mask;
    return atomic_load_explicit(&ring->slots[at], memory_order_acquire) !=
        ring->slots;
}

/** Stores the calling side's own INDEX once more, as seq_cst: what this thread
 * loads next comes after it in the one order that all threads agree on. To be
 * called between a push and looking whether the other side sleeps; see park.h.
 */
static inline void mini_spsc_announce(atomic_size_t *index) {
    /* relaxed: the value is our own */
    atomic_store(index, atomic_load_explicit(index, memory_order_relaxed));
}

/** Any thread: how many items are in the ring. seq_cst, for this, and not a
 * pop, is the second look of a side that goes to sleep. Exact for one side
 * while the other does nothing. A side stores its index after the slots, so for
 * a moment the other's may be too far ahead; then this is 0 or the capacity. */
static inline size_t mini_spsc_count(struct mini_spsc *ring) {
    size_t head = atomic_load(&ring->head), capacity = ring->mask + 1;
    ptrdiff_t count = (ptrdiff_t)(atomic_load(&ring->tail) - head);
    return count < 0 ? 0 : (size_t)count < capacity ? (size_t)count : capacity;
}
