/* SPDX-License-Identifier: MIT */
/* Futures over the wheel, and the clock. See timer.h. */
#include "timer.h"

#include "../common/platform.h"

/* ---- the clock ---- */

/* Reads the clock afresh: a deadline counted from the time at the turn's start
 * would be early by as much as the turn has taken so far. */
static uint64_t read_clock(struct mini_executor *executor) {
    if (!executor->options.virtual_clock) executor->now = mini_clock();
    executor->now_is_fresh = true;
    return executor->now;
}

uint64_t mini_now(void) {
    return mini_self->now_is_fresh ? mini_self->now : read_clock(mini_self);
}

uint64_t mini_time_left(struct mini_executor *executor, uint64_t until) {
    if (until == MINI_SOMEDAY) return MINI_FOREVER;
    if (executor->options.virtual_clock && until > executor->now)
        executor->now = until; /* so there is nothing left */
    uint64_t now = read_clock(executor);
    return until > now ? until - now : 0;
}

/* ---- the poller ---- */

static int start(struct mini_executor *executor) {
    mini_wheel_init(&executor->wheel);
    return 0;
}

static unsigned expire(struct mini_executor *executor) {
    unsigned expired = 0;
    struct mini_timer *timer;
    executor->now_is_fresh = false;
    if (!executor->wheel.used) return 0;
    uint64_t tick = read_clock(executor) >> MINI_TICK_BITS;
    while ((timer = mini_wheel_expire(&executor->wheel, tick))) {
        if (timer->task) mini_wake(timer->task);
        expired++;
    }
    return expired;
}

static uint64_t next(struct mini_executor *executor, uint64_t until) {
    uint64_t tick = mini_wheel_next(&executor->wheel);
    return tick <= until >> MINI_TICK_BITS ? tick << MINI_TICK_BITS : until;
}

static void wait(struct mini_executor *executor, uint64_t until) {
    mini_poll_fds(NULL, 0, mini_time_left(executor, until));
}

const struct mini_poller mini_timer_poller = {
    .start = start, .turn = expire, .next = next, .wait = wait};

/* ---- futures ---- */

uint64_t mini_from_now(uint64_t ns) {
    uint64_t now = read_clock(mini_self);
    return ns > UINT64_MAX - now ? UINT64_MAX : now + ns;
}

static MINI_POLL(sleep_poll) {
    struct mini_sleep *self = MINI_SELF(struct mini_sleep);
    if (future->resume && !mini_list_linked(&self->timer.link))
        return mini_ready(future, 0);
    if (cx.cancel) {
        mini_wheel_cancel(&self->timer);
        return mini_ready(future, -ECANCELED);
    }
    if (!future->resume)
        mini_timer_start(mini_self, &self->timer, self->deadline);
    future->resume = 1;
    self->timer.task = cx.task;
    return MINI_PENDING;
}

/* The first poll of a sleep whose DEADLINE is a duration yet. */
static MINI_POLL(first_poll) {
    struct mini_sleep *self = MINI_SELF(struct mini_sleep);
    self->deadline = mini_from_now(self->deadline);
    future->poll = sleep_poll;
    return sleep_poll(future, cx);
}

struct mini_future *mini_sleep_until(
    struct mini_sleep *slot, uint64_t deadline) {
    return MINI_MAKE(slot, sleep_poll, .deadline = deadline);
}

struct mini_future *mini_sleep(struct mini_sleep *slot, uint64_t ns) {
    return MINI_MAKE(slot, first_poll, .deadline = ns);
}

/* When the time is up, INNER is polled once more before it is cancelled: a
 * result that is ready wins. */
static MINI_POLL(timeout_poll) {
    struct mini_timeout *self = MINI_SELF(struct mini_timeout);
    struct mini_context cancel = {cx.task, true};
    bool finished = mini_drive(future->child, self->expired ? cancel : cx);
    bool due = mini_drive(&self->sleep.future, finished ? cancel : cx);
    if (!finished && due && !cx.cancel && !self->expired) {
        self->expired = true;
        finished = mini_drive(future->child, cancel);
    }
    if (!finished) return MINI_PENDING;
    bool ours = self->expired && future->child->result == -ECANCELED;
    return mini_ready(future, ours ? -ETIMEDOUT : future->child->result);
}

struct mini_future *mini_timeout(
    struct mini_timeout *slot, struct mini_future *inner, uint64_t ns) {
    (void)MINI_MAKE(slot, timeout_poll, .future.child = inner);
    mini_sleep(&slot->sleep, ns);
    return &slot->future;
}

void mini_interval_start(struct mini_interval *interval, uint64_t period) {
    MINI_CHECK(period > 0, "mini_interval_start: a period of 0");
    interval->period = period;
    interval->next = mini_from_now(period);
}

static MINI_POLL(tick_poll) {
    struct mini_tick *self = MINI_SELF(struct mini_tick);
    struct mini_interval *interval = self->interval;
    MINI_BEGIN;
    MINI_AWAIT(mini_sleep_until(&self->sleep, interval->next));
    if (MINI_RESULT < 0) MINI_RETURN(MINI_RESULT);
    uint64_t periods = (mini_now() - interval->next) / interval->period + 1;
    interval->next += periods * interval->period;
    MINI_END((long)periods);
}

struct mini_future *mini_tick(
    struct mini_tick *slot, struct mini_interval *interval) {
    return MINI_MAKE(slot, tick_poll, .interval = interval);
}

/* ---- periodic tasks ---- */

struct periodic {
    struct mini_future future;
    struct mini_interval interval;
    struct mini_tick tick;
    struct mini_future *(*fn)(void *arg);
    void *arg;
    long runs;
};

static MINI_POLL(periodic) {
    struct periodic *self = MINI_SELF(struct periodic);
    MINI_BEGIN;
    for (;;) {
        MINI_AWAIT(mini_tick(&self->tick, &self->interval));
        if (MINI_RESULT < 0) break;
        self->runs++;
        struct mini_future *work = self->fn(self->arg);
        if (work) MINI_AWAIT(work);
    }
    MINI_END(self->runs);
}

struct mini_task *mini_spawn_periodic(
    uint64_t period, struct mini_future *(*fn)(void *arg), void *arg) {
    struct mini_interval interval;
    mini_interval_start(&interval, period);
    return MINI_SPAWN(
        struct periodic, periodic, .interval = interval, .fn = fn, .arg = arg);
}
