/* SPDX-License-Identifier: MIT */
/* Tasks, the run queue and the loop. See executor.h.
 *
 * Read mini_run first, then mini_step, then run_tasks: that is the way down
 * from the whole run to one poll of one task. */
#include "executor.h"

#include "signals.h"

#include <string.h>

/* Polls after which a turn polls no task again: enough to make its own cost
 * small, few enough that a task which always yields does not keep timers and I/O
 * waiting. */
#define BATCH 128
/* Failed awaits in one poll of a cancelled task before it must yield. */
#define REFUSALS 64
/* Turns from the cancel of all tasks until those still alive are named. */
#define PATIENCE 1000

_Thread_local struct mini_executor *mini_self;

static struct mini_future *future_of(struct mini_task *task) {
    return (struct mini_future *)(task + 1);
}

/* ---- the run queue ---- */

static inline struct mini_task *dequeue(struct mini_executor *executor) {
    struct mini_task *task = executor->first;
    executor->first = task->next;
    return task;
}

/* Sends some of the first tasks to the back: as many as the next number of
 * Marsaglia's xorshift32 has ones at its low end. Cold: out of the way of runs
 * that do not shuffle. */
__attribute__((cold)) static void shuffle(struct mini_executor *executor) {
    uint32_t *random = &executor->options.shuffle_seed;
    *random ^= *random << 13;
    *random ^= *random >> 17;
    *random ^= *random << 5;
    for (uint32_t ones = *random; ones & 1; ones >>= 1)
        mini_enqueue(executor, dequeue(executor));
}

static inline void wake(struct mini_task *task) {
    if (task->state == MINI_WAITING) mini_enqueue(task->executor, task);
    task->state = MINI_QUEUED; /* if it runs, run_first will see it */
}

void mini_wake(struct mini_task *task) {
    MINI_CHECK(task->state != MINI_ENDED, "mini_wake: the task has ended");
    MINI_CHECK(task->executor == mini_self,
        "mini_wake: the task belongs to another thread; send it a message");
    wake(task);
}

/* ---- tasks ---- */

void mini_guest_start(struct mini_guest *guest) {
    mini_list_push(&mini_self->guests, &guest->link);
    mini_task_start(mini_self, &guest->task, 0);
}

static inline void free_task(struct mini_task *task) {
    mini_slab_free(&task->executor->slab, task, task->bytes);
}

static void end_task(struct mini_task *task) {
    task->state = MINI_ENDED;
    task->executor->ended++;
    if (task->joiner) wake(task->joiner); /* it waits, on this thread */
    if (!task->detached) return;
    if (task->bytes)
        free_task(task);
    else
        mini_list_remove(&MINI_CONTAINER(task, struct mini_guest, task)->link);
}

/* Calls VISIT for each task that is alive. Each block that the slab has ever
 * given out holds a task; one that has ended says so even when it is free. */
static void each_task(struct mini_executor *executor,
    void (*visit)(struct mini_task *task, void *arg), void *arg) {
    MINI_LIST_EACH (at, &executor->guests)
        visit(&MINI_CONTAINER(at, struct mini_guest, link)->task, arg);
    MINI_LIST_EACH (at, &executor->slab.chunks) {
        struct mini_chunk *chunk = MINI_CONTAINER(at, struct mini_chunk, link);
        for (size_t i = 0; i < chunk->count; i++) {
            struct mini_task *task = mini_slab_block(chunk, i);
            if (task->state != MINI_ENDED) visit(task, arg);
        }
    }
}

MINI_POLL(mini_join_poll) {
    struct mini_join *self = MINI_SELF(struct mini_join);
    struct mini_task *task = self->task;
    if (!task) return mini_ready(future, mini_detach(NULL));
    MINI_CHECK(!task->detached, "mini_join: the task is detached");
    MINI_CHECK(!task->joiner || future->resume, "mini_join: joined already");
    task->joiner = cx.task; /* stays behind: a later join finds it */
    if (task->state == MINI_ENDED) {
        mini_ready(future, future_of(task)->result);
        free_task(task);
        return MINI_READY;
    }
    future->resume = 1;
    if (cx.cancel) mini_cancel(task);
    return MINI_PENDING;
}

int mini_detach(struct mini_task *task) {
    if (!task) return mini_self->stopping ? -ESHUTDOWN : -ENOMEM;
    MINI_CHECK(!task->joiner && !task->detached, "mini_detach: not yours");
    task->detached = true;
    if (task->state == MINI_ENDED) free_task(task);
    return 0;
}

void mini_cancel(struct mini_task *task) {
    if (!task || task->state == MINI_ENDED || task->cancel) return;
    task->cancel = true;
    mini_wake(task);
}

/* ---- what the macros of async.h call ---- */

void mini_bad_resume(const struct mini_future *future) {
    mini_panic(future->resume == MINI_DONE
            ? "a future was polled after it was READY"
            : "MINI_AWAIT inside a switch: use if, or a function");
}

bool mini_overrun(struct mini_task *task) {
    if (task->refusals < REFUSALS) return false;
    mini_wake(task);
    return true;
}

void mini_count_refusal(struct mini_task *task) { task->refusals++; }

/* ---- a turn ---- */

/* Polls the first task of the queue, and says which it was. */
static struct mini_task *run_first(struct mini_executor *executor) {
    if (executor->options.shuffle_seed) shuffle(executor);
    struct mini_task *task = dequeue(executor);
    struct mini_future *future = future_of(task);
    executor->stats.polls++;
    task->state = MINI_RUNNING;
    task->refusals = 0;
    mini_poll answer =
        future->poll(future, (struct mini_context){task, task->cancel});
    if (answer == MINI_READY)
        end_task(task);
    else if (task->state == MINI_QUEUED)
        mini_enqueue(executor, task);
    else
        task->state = MINI_WAITING;
    return task;
}

/* Rounds, in each of which all tasks that are in the queue get their poll. To
 * look at timers and I/O within a round would gain nothing: whom they wake has
 * to wait for its end. But more would come in than the tasks can deal with, and
 * the queue, and what they hold meanwhile, would grow. */
static unsigned run_tasks(struct mini_executor *executor) {
    unsigned polls = 0;
    while (executor->first && polls < BATCH) {
        const struct mini_task *last = executor->last;
        do polls++;
        while (run_first(executor) != last);
    }
    return polls;
}

const struct mini_poller mini_task_poller = {.turn = run_tasks};

unsigned mini_turn(struct mini_executor *executor) {
    unsigned work = 0;
    executor->stats.turns++;
    for (int i = 0; mini_pollers[i]; i++)
        if (mini_pollers[i]->turn) work += mini_pollers[i]->turn(executor);
    return work;
}

int mini_step(struct mini_executor *executor) {
    const struct mini_poller *waiter = NULL;
    uint64_t until = executor->outside > 0 ? MINI_SOMEDAY : MINI_NEVER;
    if (mini_turn(executor)) return 0;
    for (int i = 0; mini_pollers[i]; i++) {
        if (mini_pollers[i]->next)
            until = mini_pollers[i]->next(executor, until);
        if (mini_pollers[i]->wait) waiter = mini_pollers[i];
    }
    if (until == MINI_NEVER) return -EDEADLK;
    executor->stats.waits++;
    waiter->wait(executor, until);
    return 0;
}

/* ---- a run ---- */

static void name_tasks(struct mini_executor *executor, const char *what) {
    size_t alive = mini_alive(executor);
    if (alive == 0) return; /* stage 4: only others have tasks */
    fprintf(stderr, "miniss: %zu task(s) %s:\n", alive, what);
    mini_dump(stderr);
}

bool mini_drained(struct mini_executor *executor) {
    if (mini_alive(executor) > 0) return false;
    for (int i = 0; mini_pollers[i]; i++)
        if (mini_pollers[i]->drained && !mini_pollers[i]->drained(executor))
            return false;
    return true;
}

static void cancel_task(struct mini_task *task, void *unused) {
    (void)unused;
    mini_cancel(task);
}

/* Cancels every task and waits for all to end. Those that nothing can wake any
 * more are given up: nobody outside this thread knows them. */
static void drain(struct mini_executor *executor) {
    size_t turns = 0, patience = PATIENCE + mini_alive(executor);
    executor->stopping = true;
    each_task(executor, cancel_task, NULL);
    while (!mini_drained(executor)) {
        if (mini_step(executor) < 0) {
            name_tasks(executor, "given up: nothing can wake their clean-up");
            return;
        }
        if (++turns == patience) {
            name_tasks(executor, "ignore cancel");
            patience *= 2;
        }
    }
}

/* The root's: adds nothing of its own, main's result stays in main. */
static MINI_POLL(root_poll) { return future->child->poll(future->child, cx); }

static long run_main(struct mini_executor *executor) {
    struct mini_guest *root = &executor->root;
    int error = 0;
    mini_guest_start(root);
    while (root->task.state != MINI_ENDED && error == 0)
        error = mini_step(executor);
    if (error < 0)
        name_tasks(executor, "wait for what can never come (EDEADLK)");
    mini_linger(executor);
    drain(executor);
    return error < 0 ? error : root->future.child->result;
}

/* Starts ROW and those behind it, runs main, and stops them, last one first. */
static long run_in(
    const struct mini_poller *const *row, struct mini_executor *executor) {
    if (!*row) return run_main(executor);
    int error = (*row)->start ? (*row)->start(executor) : 0;
    if (error < 0) return error;
    long result = run_in(row + 1, executor);
    if ((*row)->stop) (*row)->stop(executor);
    return result;
}

long mini_run(struct mini_future *main, const struct mini_options *options) {
    struct mini_executor executor = {
        .options = options ? *options : mini_defaults,
        .root.future = {.poll = root_poll, .name = "main", .child = main}};
    if (mini_self) return -EINVAL;
    mini_self = &executor;
    mini_list_init(&executor.guests);
    mini_slab_init(&executor.slab);
    long result = run_in(mini_pollers, &executor);
    mini_slab_destroy(&executor.slab);
    mini_self = NULL;
    return result;
}

/* ---- looking at it ---- */

const struct mini_stats *mini_stats(void) { return &mini_self->stats; }

static void dump_task(struct mini_task *task, void *out) {
    const char *before = task->cancel ? " (cancelled):" : ":";
    fprintf(out, "  task %p", (void *)task);
    for (struct mini_future *f = future_of(task); f; f = f->child) {
        int length = (int)strcspn(f->name, ","); /* the function's name */
        fprintf(out, "%s %.*s", before, length, f->name);
        before = " >";
    }
    fputc('\n', out);
}

void mini_dump(FILE *out) {
    flockfile(out); /* other threads' lines stay apart */
    each_task(mini_self, dump_task, out);
    funlockfile(out);
}
