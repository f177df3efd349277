/* SPDX-License-Identifier: MIT */
/**
 * @file
 * The executor: runs tasks on one thread, in turns, until its main future is
 * finished.
 *
 * Interface:
 * - mini_run() is the way in; every other function is called from inside it,
 *   on its thread.
 * - A task is a future the executor owns. Whoever spawned it joins it (once) or
 *   detaches it.
 * - A waker is the task's pointer, valid until the task's future is READY.
 *
 * One turn asks each row of mini_pollers for work, in order; when no row had
 * any, the executor waits for the first thing that can wake it. A later stage
 * adds a row to that table, and leaves the loop alone.
 *
 * Sources: Seastar's reactor with its pollers; Rust's Waker.
 *
 * @guarantee{G1.1} A task is polled until READY; its result reaches its joiner
 * exactly once; a detached task's memory goes when it ends.
 *
 * @guarantee{G1.2} The run queue is first in, first out; a task that yields
 * goes behind every task already runnable.
 *
 * @guarantee{G1.3} Waking is idempotent: woken any number of times before it
 * runs, a task is polled once; woken while it runs, it is polled once more.
 *
 * @guarantee{G1.4} A pending task that nobody wakes costs nothing: it is not
 * polled again.
 *
 * @guarantee{G1.5} A program that nothing can ever wake is reported (-EDEADLK,
 * with the waiting tasks named), not hung.
 *
 * @guarantee{G1.6} Cancel reaches everything the task awaits, arrives even if
 * asked for before the first poll, is idempotent, and does nothing to a
 * finished task.
 *
 * @guarantee{G1.10} When mini_run returns, no task and no byte of the runtime's
 * is left: those still alive were cancelled and awaited; one that ignores
 * cancel is named after a limit, not waited for silently for ever.
 *
 * @guarantee{G1.11} Out of memory at any allocation gives -ENOMEM to the
 * caller; what already runs goes on.
 *
 * @guarantee{G1.12} A million live tasks work; the cost of a switch does not
 * grow with their number, cache misses aside.
 *
 * @guarantee{G1.13} With a shuffle seed, everything above but G1.2 still holds.
 */
#pragma once

#include "../common/list.h"
#include "../common/panic.h"
#include "async.h"
#include "slab.h"

#include <stdint.h>
#include <stdio.h>

/** Never: nothing to wait for. */
#define MINI_NEVER UINT64_MAX
/** Nobody knows when: somebody outside this thread may wake us. */
#define MINI_SOMEDAY (UINT64_MAX - 1)

/** How to run. Zero is a good value of every field. */
struct mini_options {
    uint32_t shuffle_seed; /**< not 0: run runnable tasks in a random order */
};

/** What one executor has done since mini_run. */
struct mini_stats {
    uint64_t turns; /**< rounds through the table of pollers */
    uint64_t polls; /**< polls of tasks */
    uint64_t spawns; /**< tasks made */
    uint64_t waits; /**< times it had nothing to do */
};

/** What a task is up to. */
enum mini_task_state {
    MINI_WAITING, /**< for somebody to wake it */
    MINI_QUEUED, /**< in the run queue, or woken while it runs */
    MINI_RUNNING, /**< is being polled, and has not been woken meanwhile */
    MINI_ENDED /**< its future was READY */
};

/** A future that the executor polls. The frame follows it in memory. */
struct mini_task {
    /** The next in the run queue. Aligned so that the frame behind the task is
     * aligned to 16, even where a pointer has 4 bytes. */
    _Alignas(16) struct mini_task *next;
    struct mini_executor *executor; /**< the only one that may touch it */
    struct mini_task *joiner; /**< woken at the end */
    uint32_t bytes; /**< of its block; 0: it is a guest */
    uint8_t state; /**< a mini_task_state */
    uint8_t refusals; /**< failed awaits in this poll, once cancelled */
    bool cancel; /**< what cx.cancel is from the next poll on */
    bool detached; /**< nobody will join it */
};

/** A task in memory that is not the executor's: part of somebody's frame. */
struct mini_guest {
    struct mini_list link; /**< among the executor's guests, while alive */
    struct mini_task task; /**< counts as detached */
    struct mini_future future; /**< the task's, so right behind it */
};

/** One thread's runtime. */
struct mini_executor {
    struct mini_task *first; /**< the run queue: next to run */
    struct mini_task *last; /**< and the last to run */
    struct mini_guest root; /**< runs main */
    struct mini_list guests; /**< tasks whose memory is not in the slab */
    uint64_t ended; /**< how many tasks have ended */
    size_t outside; /**< waits that somebody outside this thread may end */
    struct mini_slab slab; /**< memory of tasks */
    struct mini_options options; /**< a copy; each shuffle changes its seed */
    bool stopping; /**< main has ended: no new tasks */
    struct mini_stats stats; /**< what it has done so far */
};

/** How many of EXECUTOR's tasks have not ended. */
static inline size_t mini_alive(const struct mini_executor *executor) {
    return (size_t)(executor->stats.spawns - executor->ended);
}

/** A subsystem's share of a turn. Unused functions are NULL; all are called on
 * the executor's own thread. */
struct mini_poller {
    /** Before the first turn; 0, or a negative errno that ends mini_run: then
     * it must leave nothing behind, for its own stop is not called. */
    int (*start)(struct mini_executor *);
    /** After the last turn, in reverse order of start. */
    void (*stop)(struct mini_executor *);
    /** Does what can be done without waiting; returns how much that was. */
    unsigned (*turn)(struct mini_executor *);
    /** The time until which there is nothing to do: UNTIL, or sooner. */
    uint64_t (*next)(struct mini_executor *, uint64_t until);
    /** Waits until UNTIL or until woken; the last row that has this does it. */
    void (*wait)(struct mini_executor *, uint64_t until);
    /** Once main has ended: false while the row has something under way. */
    bool (*drained)(struct mini_executor *);
};

/** The rows, in the order of a turn; NULL ends them. */
extern const struct mini_poller *const mini_pollers[];
/** What mini_run does without options. */
extern const struct mini_options mini_defaults;
/** The row that runs tasks. */
extern const struct mini_poller mini_task_poller;

/** The executor of the calling thread, NULL outside mini_run. */
extern _Thread_local struct mini_executor *mini_self;

/** Runs MAIN, not yet polled, and what it spawns, on the calling thread. When
 * MAIN is READY, the tasks still alive are cancelled and awaited. MAIN stays
 * the caller's. OPTIONS are copied; NULL: mini_defaults.
 * @return MAIN's result; -EDEADLK if nothing can wake what waits; -EINVAL for
 * a bad option or inside another mini_run; another negative errno if the
 * runtime could not start. */
long mini_run(struct mini_future *main, const struct mini_options *options);

/** Spawns a task: `MINI_SPAWN(struct conn, serve, .fd = fd)`. NULL if there is
 * no memory or the run is stopping: then the frame's values are not evaluated;
 * mini_join and mini_detach take that NULL and say which it was. (The frame is
 * made in place: a copy from the stack would have to wait for the stores.) */
#define MINI_SPAWN(type, ...) \
    __extension__({ \
        _Static_assert(_Alignof(type) <= 16, "no frame is aligned to more"); \
        struct mini_task *mini_new = mini_task_new(sizeof(type)); \
        if (mini_new) *(type *)(mini_new + 1) = MINI_FRAME(type, __VA_ARGS__); \
        mini_new; \
    })

/** Puts TASK, which is not in it, at the end of the run queue. */
static inline void mini_enqueue(
    struct mini_executor *executor, struct mini_task *task) {
    task->next = NULL;
    if (executor->first)
        executor->last->next = task;
    else
        executor->first = task;
    executor->last = task;
}

/** For mini_task_new and mini_guest_start: makes TASK and queues it. (It has a
 * value for each field: so the compiler clears none before it stores them.) */
static inline void mini_task_start(
    struct mini_executor *executor, struct mini_task *task, uint32_t bytes) {
    *task = (struct mini_task){
        NULL, executor, NULL, bytes, MINI_QUEUED, 0, false, bytes == 0};
    executor->stats.spawns++;
    mini_enqueue(executor, task);
}

/** A new task, runnable, with BYTES bytes for its frame, aligned to 16 and not
 * cleared: the caller fills them before it returns to the executor. It is for
 * frames whose size or function the compiler does not know. NULL as from
 * MINI_SPAWN; 2 GiB count as more memory than there is. (Inline: in MINI_SPAWN
 * the compiler knows BYTES, and so the class and half of the task.) */
static inline struct mini_task *mini_task_new(size_t bytes) {
    struct mini_executor *executor = mini_self;
    size_t block = sizeof(struct mini_task) + bytes;
    MINI_CHECK(executor, "MINI_SPAWN: not inside mini_run");
    /* sums with BYTES must fit into task->bytes and a size_t of 32 bits */
    if (executor->stopping || bytes > INT32_MAX) return NULL;
    struct mini_task *task = mini_slab_alloc(&executor->slab, block);
    if (task) mini_task_start(executor, task, (uint32_t)block);
    return task;
}

/** Starts GUEST, whose future is made. Its memory must stay until the turn in
 * which it ends is over. */
void mini_guest_start(struct mini_guest *guest);

/** A join under way. */
struct mini_join {
    struct mini_future future;
    struct mini_task *task; /**< whose end it waits for */
};

/** What mini_join() fills a slot with. */
mini_poll mini_join_poll(struct mini_future *future, struct mini_context cx);

/** Waits for TASK's end and frees it; the result is TASK's. Panics if another
 * join is waiting for TASK, or if TASK is detached; also if it was joined
 * before, as long as no other task has its memory. Cancel is passed on to TASK,
 * whose end is still awaited. If TASK is NULL: -ENOMEM, or -ESHUTDOWN if the
 * run is stopping. */
static inline struct mini_future *mini_join(
    struct mini_join *slot, struct mini_task *task) {
    return MINI_MAKE(slot, mini_join_poll, .task = task);
}

/** Nobody will join TASK: it is freed when it ends. Panics if it is joined or
 * detached already. @return 0; if TASK is NULL -ENOMEM, or -ESHUTDOWN if the
 * run is stopping. */
int mini_detach(struct mini_task *task);

/** Asks TASK to wind down; it is polled with cx.cancel from now on. No effect
 * on NULL and on a task that has ended but is not joined. */
void mini_cancel(struct mini_task *task);

/** Makes TASK runnable. Panics on a thread other than its own (others send
 * messages), and for a task that has ended. */
void mini_wake(struct mini_task *task);

/** In an async function, does what MINI_AWAIT(mini_yield(...)) does, but there
 * is no future to make and poll, and no result: cx.cancel says whether the task
 * has been cancelled. */
#define MINI_YIELD() \
    do { \
        future->resume = __LINE__; \
        cx.task->state = MINI_QUEUED; /* it runs now: run_first will see */ \
        return MINI_PENDING; \
    case __LINE__:; \
    } while (0)

/** Counters of the calling thread's executor, valid until mini_run returns. */
const struct mini_stats *mini_stats(void);

/** Prints to OUT a line for each of this thread's live tasks, with the chain of
 * what it awaits; changes nothing. */
void mini_dump(FILE *out);

/** One round through the pollers; returns how much work was done. */
unsigned mini_turn(struct mini_executor *executor);

/** Once main has ended: true if no task is left, and no row has anything under
 * way. */
bool mini_drained(struct mini_executor *executor);

/** A turn, and a wait if there was nothing to do. @return 0, or -EDEADLK if
 * there is nothing to wait for. */
int mini_step(struct mini_executor *executor);
