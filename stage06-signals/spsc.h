/* SPDX-License-Identifier: MIT */
/**
 * @file
 * A ring for one producer thread and one consumer thread: lock-free, bounded,
 * first in first out.
 *
 * - Items are pointers; the ring does not own what they point to.
 * - `push` forms: the producer only. `pop` forms: the consumer only. Neither
 *   ever waits.
 * - Each side keeps a copy of the other's index and reads the real one only
 *   when the copy says full or empty: while both are busy, the other's cache
 *   line moves once per lap and not once per item.
 *
 * Indices run on for ever and are masked at use, so full (tail - head ==
 * capacity) and empty (tail == head) differ without a wasted slot.
 *
 * Sources: Lamport (1977) for the ring; Lee, Bu and Chandranmenon, "MCRingBuffer"
 * (2010) for the cached indices.
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
#include <stdlib.h>

/** Bytes that cores pass to and fro as one. */
#define MINI_CACHE_LINE 64

/** The ring. Three cache lines: read by both, the producer's, the consumer's. */
struct mini_spsc {
    void **slots; /**< capacity of them */
    size_t mask; /**< capacity - 1 */
    /** Items pushed so far; stored by the producer. */
    _Alignas(MINI_CACHE_LINE) atomic_size_t tail;
    size_t head_seen; /**< the producer's copy of head */
    /** Items popped so far; stored by the consumer. */
    _Alignas(MINI_CACHE_LINE) atomic_size_t head;
    size_t tail_seen; /**< the consumer's copy of tail */
};

/** Makes RING an empty one of CAPACITY slots, a power of two from 1 up. 0,
 * -EINVAL, or -ENOMEM. */
static inline int mini_spsc_init(struct mini_spsc *ring, size_t capacity) {
    *ring = (struct mini_spsc){.mask = capacity - 1};
    if (capacity == 0 || (capacity & (capacity - 1)) != 0) return -EINVAL;
    ring->slots = calloc(capacity, sizeof *ring->slots);
    return ring->slots ? 0 : -ENOMEM;
}

/** Frees the slots; nobody uses the ring any more. */
static inline void mini_spsc_destroy(struct mini_spsc *ring) {
    free(ring->slots);
}

/** Producer: pushes the first of COUNT items that there is room for; how many.
 * One store publishes them all. */
static inline size_t mini_spsc_push_many(
    struct mini_spsc *ring, void *const *items, size_t count) {
    /* relaxed: nobody else stores tail */
    size_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    if (ring->mask + 1 - (tail - ring->head_seen) < count) {
        /* pairs with the store of head in mini_spsc_pop_many: the slots it
         * frees have been read; seq_cst for mini_spsc_announce */
        ring->head_seen = atomic_load(&ring->head);
        size_t room = ring->mask + 1 - (tail - ring->head_seen);
        count = room < count ? room : count;
    }
    for (size_t i = 0; i < count; i++)
        ring->slots[(tail + i) & ring->mask] = items[i];
    /* release: the items come before it. Pairs with the load of tail in
     * mini_spsc_pop_many */
    atomic_store_explicit(&ring->tail, tail + count, memory_order_release);
    return count;
}

/** Consumer: pops up to COUNT items; how many. */
static inline size_t mini_spsc_pop_many(
    struct mini_spsc *ring, void **items, size_t count) {
    /* relaxed: nobody else stores head */
    size_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    if (ring->tail_seen - head < count) {
        /* pairs with the store of tail in mini_spsc_push_many: the items are
         * there; seq_cst for mini_spsc_announce */
        ring->tail_seen = atomic_load(&ring->tail);
        size_t there = ring->tail_seen - head;
        count = there < count ? there : count;
    }
    for (size_t i = 0; i < count; i++)
        items[i] = ring->slots[(head + i) & ring->mask];
    /* release: the slots have been read before it. Pairs with the load of head
     * in mini_spsc_push_many */
    atomic_store_explicit(&ring->head, head + count, memory_order_release);
    return count;
}

/** Producer: pushes one; false if the ring is full. */
static inline bool mini_spsc_push(struct mini_spsc *ring, void *item) {
    return mini_spsc_push_many(ring, &item, 1) == 1;
}

/** Consumer: pops one; false if the ring is empty. */
static inline bool mini_spsc_pop(struct mini_spsc *ring, void **item) {
    return mini_spsc_pop_many(ring, item, 1) == 1;
}

/** Makes this side's INDEX (its own one) seq_cst: what this thread loads next
 * comes after it in the one order that all threads agree on. Between a push and
 * the look whether the other side sleeps; see park.h. */
static inline void mini_spsc_announce(atomic_size_t *index) {
    /* relaxed: the value is our own */
    atomic_store(index, atomic_load_explicit(index, memory_order_relaxed));
}

/** Any thread: how many items are in it; seq_cst. Exact for a thread while the
 * other side is still. */
static inline size_t mini_spsc_count(struct mini_spsc *ring) {
    size_t head = atomic_load(&ring->head);
    return atomic_load(&ring->tail) - head;
}
