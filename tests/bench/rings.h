/* SPDX-License-Identifier: MIT */
/* What the ring programs have in common: two threads, a CPU each, and rings of
 * pointers between them. Nobody sleeps.
 *     ... items 1        items from one thread to the other, one by one
 *     ... items B        the same in batches of B
 *     ... trip W         there and back again, W on the way at a time
 *     ... alone B        one thread pushes B and pops them: to count instructions
 *
 * Each program defines, before it includes this, the type `ring` and
 *     ring_init(r)            makes R, which is zero, an empty ring
 *     ring_push(r, item)      false if it is full
 *     ring_pop(r, &item)      false if it is empty
 *     ring_push_many(r, items, count), ring_pop_many(r, items, count)
 *                             as many as there is room for, or as there are
 * The receiver checks that every item arrives once and in order. */
#pragma once

#include "bench.h"

#define RINGS_BATCH_MAX 64

static ring rings_there, rings_back;
static struct bench rings_bench;
static unsigned rings_batch;
static volatile bool rings_stop;

static inline void *rings_item(uintptr_t number) {
    return (void *)(number % 0xffffffu + 1); /* never NULL */
}

static inline void rings_check(void *item, uintptr_t number) {
    if (item == rings_item(number)) return;
    fputs("an item was lost, or came out of order\n", stderr);
    exit(1);
}

/* ---- items ---- */

static void *rings_produce(void *arg) {
    uintptr_t number = 0;
    bench_pin(1);
    while (!rings_stop) {
        while (ring_push(&rings_there, rings_item(number))) number++;
    }
    return arg;
}

static void *rings_produce_many(void *arg) {
    void *items[RINGS_BATCH_MAX];
    uintptr_t number = 0;
    bench_pin(1);
    while (!rings_stop) {
        for (unsigned i = 0; i < rings_batch; i++)
            items[i] = rings_item(number + i);
        for (unsigned done = 0; done < rings_batch && !rings_stop;)
            done += (unsigned)ring_push_many(
                &rings_there, items + done, rings_batch - done);
        number += rings_batch;
    }
    return arg;
}

static void rings_consume(void) {
    uintptr_t number = 0;
    const unsigned ops = 400000;
    bench_start(&rings_bench);
    do {
        for (unsigned i = 0; i < ops; i++) {
            void *item;
            while (!ring_pop(&rings_there, &item)) continue;
            rings_check(item, number++);
        }
    } while (bench_lap(&rings_bench, ops));
}

static void rings_consume_many(void) {
    uintptr_t number = 0;
    const unsigned ops = 400000;
    bench_start(&rings_bench);
    do {
        for (unsigned got = 0; got < ops;) {
            void *items[RINGS_BATCH_MAX];
            unsigned want = ops - got < rings_batch ? ops - got : rings_batch;
            unsigned count = (unsigned)ring_pop_many(&rings_there, items, want);
            for (unsigned i = 0; i < count; i++)
                rings_check(items[i], number++);
            got += count;
        }
    } while (bench_lap(&rings_bench, ops));
}

/* ---- there and back ---- */

static void *rings_echo(void *arg) {
    void *item;
    bench_pin(1);
    while (!rings_stop)
        while (ring_pop(&rings_there, &item))
            while (!ring_push(&rings_back, item)) continue;
    return arg;
}

static void rings_trip(unsigned window) {
    uintptr_t sent = 0, came = 0;
    const unsigned ops = 10000;
    while (sent < window) ring_push(&rings_there, rings_item(sent++));
    bench_start(&rings_bench);
    do {
        for (unsigned i = 0; i < ops; i++) {
            void *item;
            while (!ring_pop(&rings_back, &item)) continue;
            rings_check(item, came++);
            ring_push(&rings_there, rings_item(sent++));
        }
    } while (bench_lap(&rings_bench, ops));
}

/* ---- one thread ---- */

static void rings_alone(void) {
    void *items[RINGS_BATCH_MAX], *came[RINGS_BATCH_MAX];
    const unsigned ops = 100000;
    for (unsigned i = 0; i < rings_batch; i++) items[i] = rings_item(i);
    bench_start(&rings_bench);
    do {
        for (unsigned i = 0; i < ops; i += rings_batch) {
            ring_push_many(&rings_there, items, rings_batch);
            ring_pop_many(&rings_there, came, rings_batch);
            rings_check(came[0], 0);
        }
    } while (bench_lap(&rings_bench, ops));
}

static inline int rings_main(int argc, char **argv) {
    pthread_t other;
    bool trip = bench_case(argc, argv, "trip");
    rings_batch = bench_number(argc, argv, 2);
    bool many = rings_batch > 1;
    if (rings_batch > RINGS_BATCH_MAX) return 2;
    ring_init(&rings_there);
    ring_init(&rings_back);
    bench_init(&rings_bench, CLOCK_MONOTONIC);
    if (bench_case(argc, argv, "alone")) {
        rings_alone();
        bench_print(&rings_bench);
        return 0;
    }
    if (!trip && !bench_case(argc, argv, "items")) return 2;
    pthread_create(&other, NULL,
        trip       ? rings_echo
            : many ? rings_produce_many
                   : rings_produce,
        NULL);
    bench_pin(0);
    if (trip)
        rings_trip(rings_batch);
    else if (many)
        rings_consume_many();
    else
        rings_consume();
    rings_stop = true;
    pthread_join(other, NULL);
    bench_print(&rings_bench);
    return 0;
}
