/* SPDX-License-Identifier: MIT */
/* The limit of timers: a bare wheel of the same shape as the runtime's. It does
 * not count, does not know who is in it, and never clears a bit of a slot before
 * it comes there. */
#include "timers.h"

#define LEVELS 8
#define DIGIT 6

struct node {
    struct node *next, *prev;
};

struct timer {
    struct node link;
    uint64_t tick;
    void (*run)(void);
};

static struct node slots[LEVELS][1 << DIGIT];
static uint64_t occupied[LEVELS];
static uint64_t now, wheel_tick;
static struct timer *timers;

static void timers_init(unsigned count) {
    timers = calloc(count, sizeof *timers);
    if (!timers) exit(1);
    for (unsigned i = 0; i < count; i++) timers[i].run = timers_expired;
    for (int level = 0; level < LEVELS; level++)
        for (int slot = 0; slot < 1 << DIGIT; slot++)
            slots[level][slot].next = slots[level][slot].prev =
                &slots[level][slot];
}

static inline void insert(struct timer *timer) {
    uint64_t differs = (timer->tick ^ wheel_tick) | 1;
    int level = (63 ^ __builtin_clzll(differs)) / DIGIT;
    uint64_t slot = timer->tick >> (level * DIGIT) & ((1 << DIGIT) - 1);
    struct node *head = &slots[level][slot];
    timer->link.next = head;
    timer->link.prev = head->prev;
    head->prev->next = &timer->link;
    head->prev = &timer->link;
    occupied[level] |= UINT64_C(1) << slot;
}

static inline void timers_insert(unsigned i, uint64_t ns) {
    timers[i].tick = ((now + ns) >> 16) + 1;
    insert(&timers[i]);
}

static inline void timers_cancel(unsigned i) {
    struct node *link = &timers[i].link;
    link->next->prev = link->prev;
    link->prev->next = link->next;
}

/* All of the slot that comes next; those of level 0 are due. */
static bool advance(uint64_t tick) {
    int level = 0;
    while (level < LEVELS && !occupied[level]) level++;
    if (level == LEVELS) return false;
    int shift = level * DIGIT;
    uint64_t slot = (uint64_t)__builtin_ctzll(occupied[level]);
    uint64_t next = (wheel_tick >> shift >> DIGIT << DIGIT | slot) << shift;
    if (next > tick) return false;
    struct node *head = &slots[level][slot];
    struct node *node = head->next;
    occupied[level] &= occupied[level] - 1;
    wheel_tick = next;
    head->next = head->prev = head;
    while (node != head) {
        struct timer *timer = (struct timer *)(void *)node;
        node = node->next;
        if (level == 0)
            timer->run();
        else
            insert(timer);
    }
    return true;
}

static inline void timers_pass(uint64_t ns) {
    now += ns;
    while (advance(now >> 16)) continue;
    wheel_tick = now >> 16;
}

int main(int argc, char **argv) { return timers_main(argc, argv); }
