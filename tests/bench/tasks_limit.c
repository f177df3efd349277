/* SPDX-License-Identifier: MIT */
/* The limit of switching and spawning: an intrusive queue of function pointers,
 * in blocks of a cache line from a free list, and nothing else.
 *     tasks_limit yield N     N of them, each queues itself again
 *     tasks_limit spawn N     makes N, runs them, is queued by the last, frees
 */
#include "bench.h"

struct item {
    _Alignas(64) struct item *next;
    void (*run)(struct item *);
    struct item *joiner;
    long result;
};

static struct item *first, *last, *unused;
static struct bench bench;
static uint64_t rounds, per_slice;
static unsigned count, left;
static bool running = true;

static void enqueue(struct item *item) {
    item->next = NULL;
    if (first)
        last->next = item;
    else
        first = item;
    last = item;
}

static void run_all(void) {
    while (running && first) {
        struct item *item = first;
        first = item->next;
        item->run(item);
    }
}

/* ---- yield ---- */

static void follow(struct item *self) { enqueue(self); }

static void lead(struct item *self) {
    enqueue(self);
    if (++rounds % per_slice == 0)
        running = bench_lap(&bench, per_slice * count);
}

static void yield(struct item *items) {
    per_slice = 200000 / count + 1;
    for (unsigned i = 0; i < count; i++) {
        items[i].run = i ? follow : lead;
        enqueue(&items[i]);
    }
    bench_start(&bench);
    run_all();
}

/* ---- spawn ---- */

static void child(struct item *self) {
    self->result = 1;
    if (--left == 0) enqueue(self->joiner);
}

static struct item **children;

static void spawn_all(struct item *parent) {
    for (left = 0; left < count; left++) {
        struct item *item = unused;
        unused = item->next;
        item->run = child;
        item->joiner = parent;
        children[left] = item;
        enqueue(item);
    }
}

static void parent(struct item *self) {
    for (unsigned i = 0; rounds && i < count; i++) {
        if (children[i]->result != 1) abort();
        children[i]->next = unused;
        unused = children[i];
    }
    if (rounds && rounds % per_slice == 0)
        running = bench_lap(&bench, per_slice * count);
    rounds++;
    spawn_all(self);
}

static void spawn(struct item *items) {
    static struct item root = {.run = parent};
    children = calloc(count, sizeof *children);
    per_slice = 100000 / count + 1;
    for (unsigned i = 0; i < count; i++) {
        items[i].next = unused;
        unused = &items[i];
    }
    enqueue(&root);
    bench_start(&bench);
    run_all();
}

int main(int argc, char **argv) {
    count = bench_number(argc, argv, 2);
    struct item *items = aligned_alloc(64, count * sizeof *items);
    if (!items) return 1;
    memset(items, 0, count * sizeof *items);
    bench_init(&bench, CLOCK_THREAD_CPUTIME_ID);
    if (bench_case(argc, argv, "yield"))
        yield(items);
    else if (bench_case(argc, argv, "spawn"))
        spawn(items);
    else
        return 2;
    bench_print(&bench);
    return 0;
}
