/* SPDX-License-Identifier: MIT */
/**
 * @file
 * The timer wheel: 8 levels of 64 slots, in ticks of 2^16 ns (65.5 us).
 *
 * A timer's slot follows from the highest digit, in base 64, in which its tick
 * differs from the wheel's: level 0 holds timers due within the current block
 * of 64 ticks, level 1 those within the current block of 64 * 64, and so on.
 * When the wheel comes to a slot of level n > 0, its timers move to lower
 * levels: at most 7 moves in a timer's life. 8 * 6 bits of the tick and 16 bits
 * of ns within it make 64: every possible time has a slot, so there is no list
 * of "later" timers.
 *
 * - Insert and cancel are O(1); the next slot is found in one word per level.
 * - Only the owner's thread may call. A timer's memory is the caller's.
 *
 * Source: Varghese and Lauck, "Hashed and Hierarchical Timing Wheels" (1987).
 *
 * @guarantee{G2.3} Expiry follows deadlines across all levels of the wheel,
 * from 0 ns to beyond 100 years, also after a year of uptime.
 *
 * @guarantee{G2.4} Insert and cancel take constant time, with one timer or a
 * million; a cancelled timer is gone at once.
 */
#pragma once

#include "../common/list.h"

#include <stdint.h>

#define MINI_TICK_BITS 16 /**< a tick is 2^16 ns */
#define MINI_WHEEL_LEVELS 8 /**< digits of a tick, in base 64 */
#define MINI_WHEEL_DIGIT 6 /**< bits of a digit */
#define MINI_WHEEL_SLOTS 64 /**< in a level */
/** The last tick there is, 584 years after 0. */
#define MINI_TICK_MAX (UINT64_MAX >> MINI_TICK_BITS)

/** A deadline; a zero one (`{0}`) is in no wheel. */
struct mini_timer {
    struct mini_list link; /**< in its slot */
    uint64_t tick; /**< due when the wheel comes here */
    struct mini_task *task; /**< whom to wake; not the wheel's concern */
};

/** All deadlines of one executor. */
struct mini_wheel {
    uint64_t tick; /**< where it stands; no slot before it has timers */
    bool used; /**< false: it has none at all */
    uint64_t occupied[MINI_WHEEL_LEVELS]; /**< bit n clear: slot n is empty */
    /** The timers, level by level. (In one array: a slot is found sooner.) */
    struct mini_list slots[MINI_WHEEL_LEVELS * MINI_WHEEL_SLOTS];
};

/** Makes WHEEL an empty one that stands at tick 0. */
void mini_wheel_init(struct mini_wheel *wheel);

/** Inserts TIMER, which is in no wheel: due at TIMER->tick, which becomes the
 * wheel's if that is past it. (63 ^ n is 63 - n, and with clz one instruction.) */
static inline void mini_wheel_insert(
    struct mini_wheel *wheel, struct mini_timer *timer) {
    if (timer->tick < wheel->tick) timer->tick = wheel->tick;
    uint64_t tick = timer->tick;
    uint64_t differs = (tick ^ wheel->tick) | 1; /* clz of 0 is undefined */
    unsigned level =
        (63 ^ (unsigned)__builtin_clzll(differs)) / MINI_WHEEL_DIGIT;
    uint64_t slot = (tick >> (level * MINI_WHEEL_DIGIT)) % MINI_WHEEL_SLOTS;
    mini_list_push(
        &wheel->slots[level * MINI_WHEEL_SLOTS + slot], &timer->link);
    wheel->occupied[level] |= UINT64_C(1) << slot;
    wheel->used = true;
}

/** Takes TIMER out of its wheel; no effect if it is in none. */
static inline void mini_wheel_cancel(struct mini_timer *timer) {
    mini_list_remove(&timer->link);
}

/** Takes out and returns one timer that is due at TICK or before, the earliest
 * first; NULL if there is none: then the wheel stands at TICK, or was past it. */
struct mini_timer *mini_wheel_expire(struct mini_wheel *wheel, uint64_t tick);

/** The tick at which the wheel has something to do: when the first timer is
 * due, or has to move to a lower level; UINT64_MAX if the wheel is empty. */
uint64_t mini_wheel_next(struct mini_wheel *wheel);
