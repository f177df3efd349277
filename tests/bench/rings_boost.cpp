// SPDX-License-Identifier: MIT
// The ring of Boost.Lockfree, its capacity fixed at compile time.
#include <boost/lockfree/spsc_queue.hpp>

typedef boost::lockfree::spsc_queue<void *, boost::lockfree::capacity<1024>>
    ring;

static inline void ring_init(ring *) {}

static inline bool ring_push(ring *r, void *item) { return r->push(item); }

static inline bool ring_pop(ring *r, void **item) { return r->pop(*item); }

static inline size_t ring_push_many(ring *r, void *const *items, size_t count) {
    return r->push(items, count);
}

static inline size_t ring_pop_many(ring *r, void **items, size_t count) {
    return r->pop(items, count);
}

#include "rings.h"

int main(int argc, char **argv) { return rings_main(argc, argv); }
