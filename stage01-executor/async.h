/* SPDX-License-Identifier: MIT */
/**
 * @file
 * Futures and async functions: what a compiler makes of `async` and `await`,
 * written by hand.
 *
 * Interface:
 * - A future is a value in its owner's memory with one function, poll. It is
 *   polled until it is READY, and not again after that.
 * - An async function is a frame, a struct whose first member is a future, and
 *   a poll function written between MINI_BEGIN and MINI_END.
 * - Locals that live across an await are members of the frame; so are the
 *   futures awaited. A frame may be moved until its first poll, never after.
 * - A function that returns a future fills a slot of the caller's. The slot
 *   must stay where it is until the future is READY, and so must everything
 *   that the function was given.
 * - All polls of a future are on one thread, that of the task awaiting it.
 *
 * Cancel is a way of being polled; it never frees: `cx.cancel` says "wind
 * down", holds for every future below and stays set. A leaf (it awaits no other
 * future) answers -ECANCELED at once if it has not started; if it is waiting,
 * it first lets go of what it waits for; if it already has a result, it reports
 * that. An async function goes on, with the leaf's answer in MINI_RESULT. So no
 * frame is freed while somebody may still write to it, and no result is lost.
 *
 * Sources: Rust's Future::poll and Pin; the switch is Duff's device as in
 * Adam Dunkels' protothreads.
 */
#pragma once

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

/** What a poll answers: wait to be woken, or the result is there. */
typedef enum mini_poll { MINI_PENDING, MINI_READY } mini_poll;

/** Passed down by value with every poll. */
struct mini_context {
    struct mini_task *task; /**< to be woken when a poll makes sense again */
    bool cancel; /**< wind down; once true, true in every later poll */
};

/** A result that may not be there yet. */
struct mini_future {
    /** Makes progress; NULL once mini_drive has seen it READY. */
    mini_poll (*poll)(struct mini_future *self, struct mini_context cx);
    const char *name; /**< for the backtrace, up to a comma; not NULL */
    struct mini_future *child; /**< what it awaits now: a backtrace for free */
    long result; /**< once READY: ≥ 0, or a negative errno */
    unsigned resume; /**< where to go on: 0 not started, MINI_DONE finished */
};

/** The resume point of a future that is finished. */
#define MINI_DONE UINT_MAX

/** Head of a poll function; the macros below rely on the parameters' names. */
#define MINI_POLL(function) \
    mini_poll function(struct mini_future *future, struct mini_context cx)

/** The initial value of a leaf with poll function FN; WHAT is its name in a
 * dump, a string that must outlive it. */
#define MINI_FUTURE(fn, what) \
    ((struct mini_future){.poll = (fn), .name = (what)})

/** For constructors: fills *SLOT and returns its future, which is named after
 * the constructor: `MINI_MAKE(slot, sleep_poll)`, or with members of the slot,
 * `MINI_MAKE(slot, sleep_poll, .deadline = deadline)`. Evaluates SLOT twice. */
#define MINI_MAKE(slot, ...) \
    (*(slot) = (__typeof__(*(slot))){.future.name = __func__, \
         .future.poll = __VA_ARGS__}, \
        &(slot)->future)

/** 0, or a compile error: TYPE must begin with its future. */
#define MINI_BEGINS_WITH_FUTURE(type) \
    (0 * sizeof(struct { \
        int unused; \
        _Static_assert(offsetof(type, future) == 0, \
            "the first member must be `struct mini_future future`"); \
    }))

/** A frame of TYPE before its first poll: `MINI_FRAME(struct conn, serve)`, or
 * `MINI_FRAME(struct conn, serve, .fd = fd)`. */
#define MINI_FRAME(type, ...) \
    ((type){.future.resume = MINI_BEGINS_WITH_FUTURE(type), \
        .future.name = #__VA_ARGS__, \
        .future.poll = __VA_ARGS__})

/** Fills *SLOT with MINI_FRAME(TYPE, ...); its value is the future to await:
 * `MINI_AWAIT(MINI_CALL(struct work, &self->work, work, .n = 3))`. Evaluates
 * SLOT twice. */
#define MINI_CALL(type, slot, ...) \
    (*(slot) = MINI_FRAME(type, __VA_ARGS__), &(slot)->future)

/** In a poll function: the frame, of TYPE, whose first member is `future`. */
#define MINI_SELF(type) ((type *)(void *)future)

/** Opens the body of an async function whose parameters are named `future` and
 * `cx`: jumps to the await at which the last poll ended. */
#define MINI_BEGIN \
    switch (future->resume) { \
    default: mini_bad_resume(future); \
    case 0:

/** Waits until the future AWAITED is READY; MINI_RESULT is its result. Cancel
 * is passed down to it. Not inside a `switch` of your own, and one per line. */
#define MINI_AWAIT(awaited) MINI_AWAIT_WITH(awaited, cx)

/** MINI_AWAIT for clean-up that must run to its end: cancel is not passed down.
 * @guarantee{G1.7} Shielded clean-up runs to its end after a cancel. */
#define MINI_AWAIT_SHIELDED(awaited) \
    MINI_AWAIT_WITH(awaited, ((struct mini_context){cx.task, false}))

/** What MINI_AWAIT and MINI_AWAIT_SHIELDED are made of. */
#define MINI_AWAIT_WITH(awaited, context) \
    do { \
        future->child = (awaited); \
        future->resume = __LINE__; \
        __attribute__((fallthrough)); \
    case __LINE__: \
        if (mini_await(future, context) == MINI_PENDING) return MINI_PENDING; \
    } while (0)

/** The result of the last MINI_AWAIT. */
#define MINI_RESULT (future->result)

/** Ends the async function with a result. */
#define MINI_RETURN(value) return mini_ready(future, (value))

/** Closes MINI_BEGIN; the async function ends with VALUE. */
#define MINI_END(value) \
    MINI_RETURN(value); \
    }

/** Panics: FUTURE was polled after READY, or awaits in a user's own switch. */
_Noreturn void mini_bad_resume(const struct mini_future *future);

/** True if too many awaits of TASK, which is cancelled, have failed in this
 * poll; then wakes it, so that it goes on in its next poll (G1.10). */
bool mini_overrun(struct mini_task *task);

/** Counts a failed await of TASK, which is cancelled. */
void mini_count_refusal(struct mini_task *task);

/** Finishes a future: `return mini_ready(future, result);`. */
static inline mini_poll mini_ready(struct mini_future *future, long result) {
    future->result = result;
    future->resume = MINI_DONE;
    return MINI_READY;
}

/** Polls FUTURE's child; takes over its result when it is READY. */
static inline mini_poll mini_await(
    struct mini_future *future, struct mini_context cx) {
    struct mini_future *child = future->child;
    if (cx.cancel && mini_overrun(cx.task)) return MINI_PENDING;
    if (child->poll(child, cx) == MINI_PENDING) return MINI_PENDING;
    future->result = child->result;
    future->child = NULL;
    if (cx.cancel && future->result < 0) mini_count_refusal(cx.task);
    return MINI_READY;
}

/** For polling several futures over and over: polls FUTURE unless it is
 * finished; true if it is finished now. */
static inline bool mini_drive(
    struct mini_future *future, struct mini_context cx) {
    if (future->poll && future->poll(future, cx) == MINI_READY)
        future->poll = NULL;
    return !future->poll;
}
