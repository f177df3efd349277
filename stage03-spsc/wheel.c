/* SPDX-License-Identifier: MIT */
/* The hierarchical timing wheel. See wheel.h.
 *
 * In every level all occupied slots lie ahead of the wheel's own digit, and all
 * of a lower level lie before those of a higher one. So the first occupied slot
 * of the lowest occupied level comes next: no search, no wrap-around. */
#include "wheel.h"

#define DIGIT 6 /* bits: log2 of MINI_WHEEL_SLOTS */

void mini_wheel_init(struct mini_wheel *wheel) {
    *wheel = (struct mini_wheel){0};
    for (int level = 0; level < MINI_WHEEL_LEVELS; level++)
        for (int slot = 0; slot < MINI_WHEEL_SLOTS; slot++)
            mini_list_init(&wheel->slots[level][slot]);
}

void mini_wheel_insert(struct mini_wheel *wheel, struct mini_timer *timer) {
    uint64_t tick = timer->tick < wheel->tick ? wheel->tick : timer->tick;
    uint64_t differs = (tick ^ wheel->tick) | 1; /* of 0 there is no clz */
    int level = (63 - __builtin_clzll(differs)) / DIGIT;
    uint64_t slot = (tick >> (level * DIGIT)) % MINI_WHEEL_SLOTS;
    mini_list_push(&wheel->slots[level][slot], &timer->link);
    wheel->occupied[level] |= UINT64_C(1) << slot;
    wheel->count++;
}

void mini_wheel_cancel(struct mini_wheel *wheel, struct mini_timer *timer) {
    struct mini_list *other = timer->link.next;
    if (!mini_list_linked(&timer->link)) return;
    mini_list_remove(&timer->link);
    wheel->count--;
    if (mini_list_empty(other)) { /* alone in its slot: OTHER is the head */
        ptrdiff_t index = other - wheel->slots[0];
        wheel->occupied[index / MINI_WHEEL_SLOTS] &=
            ~(UINT64_C(1) << index % MINI_WHEEL_SLOTS);
    }
}

/* The lowest occupied level, -1 if all are empty. */
static int lowest_level(const struct mini_wheel *wheel) {
    for (int level = 0; level < MINI_WHEEL_LEVELS; level++)
        if (wheel->occupied[level]) return level;
    return -1;
}

/* The tick at which the first occupied slot of LEVEL begins. */
static uint64_t begins(const struct mini_wheel *wheel, int level) {
    int shift = level * DIGIT;
    uint64_t slot = (uint64_t)__builtin_ctzll(wheel->occupied[level]);
    return (wheel->tick >> shift >> DIGIT << DIGIT | slot) << shift;
}

uint64_t mini_wheel_next(const struct mini_wheel *wheel) {
    int level = lowest_level(wheel);
    return level < 0 ? UINT64_MAX : begins(wheel, level);
}

static struct mini_timer *take_first(
    struct mini_wheel *wheel, struct mini_list *slot) {
    struct mini_timer *timer =
        MINI_CONTAINER(slot->next, struct mini_timer, link);
    mini_wheel_cancel(wheel, timer);
    return timer;
}

struct mini_timer *mini_wheel_expire(struct mini_wheel *wheel, uint64_t tick) {
    for (;;) {
        int level = lowest_level(wheel);
        uint64_t next = level < 0 ? UINT64_MAX : begins(wheel, level);
        if (level < 0 || next > tick) {
            wheel->tick = tick > wheel->tick ? tick : wheel->tick;
            return NULL;
        }
        struct mini_list *slot =
            &wheel->slots[level][__builtin_ctzll(wheel->occupied[level])];
        wheel->tick = next;
        if (level == 0) return take_first(wheel, slot);
        while (!mini_list_empty(slot)) /* all of it, into lower levels */
            mini_wheel_insert(wheel, take_first(wheel, slot));
    }
}
