/* SPDX-License-Identifier: MIT */
/* The hierarchical timing wheel. See wheel.h.
 *
 * In every level all slots with timers lie ahead of the wheel's own digit, and
 * all slots of a lower level come before those of a higher one. So the first
 * slot with timers in the lowest level that has any comes next: no search, no
 * wrap-around. Whatever empties a slot leaves its bit: that is cleared later,
 * once, by first_slot. */
#include "wheel.h"

#define DIGIT MINI_WHEEL_DIGIT

void mini_wheel_init(struct mini_wheel *wheel) {
    *wheel = (struct mini_wheel){0};
    for (int i = 0; i < MINI_WHEEL_LEVELS * MINI_WHEEL_SLOTS; i++)
        mini_list_init(&wheel->slots[i]);
}

/* The first slot that has timers, and in *TICK where it begins; NULL if there
 * is none. Clears the bits of slots that it finds empty on the way. */
static inline struct mini_list *first_slot(
    struct mini_wheel *wheel, uint64_t *tick) {
    for (int level = 0; level < MINI_WHEEL_LEVELS; level++)
        while (wheel->occupied[level]) {
            int shift = level * DIGIT;
            uint64_t slot = (uint64_t)__builtin_ctzll(wheel->occupied[level]);
            *tick = (wheel->tick >> shift >> DIGIT << DIGIT | slot) << shift;
            struct mini_list *list =
                &wheel->slots[level * MINI_WHEEL_SLOTS + slot];
            if (!mini_list_empty(list)) return list;
            wheel->occupied[level] &= wheel->occupied[level] - 1;
        }
    wheel->used = false;
    *tick = UINT64_MAX;
    return NULL;
}

uint64_t mini_wheel_next(struct mini_wheel *wheel) {
    uint64_t tick;
    first_slot(wheel, &tick);
    return tick;
}

/* Moves all timers of SLOT, to which the wheel has come, to lower levels. They
 * lie anywhere in memory, and only a timer that has come from there says where
 * the next one is. So AHEAD goes to meet LINK from the other end: two timers
 * come at a time. Past the middle it finds what LINK has just moved. */
static void cascade(struct mini_wheel *wheel, struct mini_list *slot) {
    struct mini_list *link = slot->next, *ahead = slot->prev;
    mini_list_init(slot);
    while (link != slot) {
        struct mini_timer *timer =
            MINI_CONTAINER(link, struct mini_timer, link);
        link = link->next;
        ahead = ahead->prev;
        __builtin_prefetch(ahead);
        mini_wheel_insert(wheel, timer);
    }
}

struct mini_timer *mini_wheel_expire(struct mini_wheel *wheel, uint64_t tick) {
    uint64_t next;
    struct mini_list *slot;
    while ((slot = first_slot(wheel, &next)) && next <= tick) {
        wheel->tick = next;
        if (slot < wheel->slots + MINI_WHEEL_SLOTS) { /* level 0: it is due */
            struct mini_timer *timer =
                MINI_CONTAINER(slot->next, struct mini_timer, link);
            mini_wheel_cancel(timer);
            return timer;
        }
        cascade(wheel, slot);
    }
    if (tick > wheel->tick) wheel->tick = tick;
    return NULL;
}
