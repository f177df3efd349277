/* SPDX-License-Identifier: MIT */
/* The hierarchical timing wheel. See wheel.h.
 *
 * In every level all slots with timers lie ahead of the wheel's own digit, and
 * all of a lower level lie before those of a higher one. So the first such slot
 * of the lowest level that has one comes next: no search, no wrap-around. A
 * cancel only unlinks: the bit of a slot that it emptied is cleared by who looks
 * for the first one, once. */
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
    wheel->count -= mini_list_linked(&timer->link);
    mini_list_remove(&timer->link);
}

/* The first slot that has timers, and the tick at which it begins; NULL: none.
 * The bits of slots that it finds empty are cleared on the way. */
static struct mini_list *first_slot(struct mini_wheel *wheel, uint64_t *tick) {
    for (int level = 0; level < MINI_WHEEL_LEVELS; level++)
        while (wheel->occupied[level]) {
            int shift = level * DIGIT;
            uint64_t slot = (uint64_t)__builtin_ctzll(wheel->occupied[level]);
            *tick = (wheel->tick >> shift >> DIGIT << DIGIT | slot) << shift;
            struct mini_list *list = &wheel->slots[level][slot];
            if (!mini_list_empty(list)) return list;
            wheel->occupied[level] &= wheel->occupied[level] - 1;
        }
    *tick = UINT64_MAX;
    return NULL;
}

uint64_t mini_wheel_next(struct mini_wheel *wheel) {
    uint64_t tick;
    first_slot(wheel, &tick);
    return tick;
}

struct mini_timer *mini_wheel_expire(struct mini_wheel *wheel, uint64_t tick) {
    struct mini_list *slot;
    uint64_t next;
    while ((slot = first_slot(wheel, &next)) && next <= tick) {
        wheel->tick = next;
        while (!mini_list_empty(slot)) { /* all of it, into lower levels */
            struct mini_timer *timer =
                MINI_CONTAINER(slot->next, struct mini_timer, link);
            mini_wheel_cancel(wheel, timer);
            if (slot < wheel->slots[1]) return timer; /* level 0: it is due */
            mini_wheel_insert(wheel, timer);
        }
    }
    if (tick > wheel->tick) wheel->tick = tick;
    return NULL;
}
