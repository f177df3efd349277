/* SPDX-License-Identifier: MIT */
/* A call is a message that lives in the caller's frame. See call.h. */
#include "call.h"

#include "smp.h"

/* Why a call to SHARD may not begin; 0 if it may. */
static int refusal(unsigned shard, struct mini_context cx) {
    if (shard >= mini_shard_count()) return -EINVAL;
    if (cx.cancel) return -ECANCELED;
    return cx.task->executor->stopping ? -ESHUTDOWN : 0;
}

/* ---- a function ---- */

static void call_is_back(struct mini_message *message) {
    struct mini_call *call = MINI_CONTAINER(message, struct mini_call, message);
    call->back = true;
    mini_wake(call->caller);
}

static void call_arrives(struct mini_message *message) {
    struct mini_call *call = MINI_CONTAINER(message, struct mini_call, message);
    call->answer = call->fn(call->arg);
    mini_message_send(message, call->from, call_is_back);
}

static mini_poll call_poll(struct mini_future *future, struct mini_context cx) {
    struct mini_call *self = MINI_SELF(struct mini_call);
    self->caller = cx.task;
    if (future->resume)
        return self->back ? mini_ready(future, self->answer) : MINI_PENDING;
    int error = refusal(self->to, cx);
    if (error < 0) return mini_ready(future, error);
    future->resume = 1;
    self->from = mini_this_shard();
    mini_message_send(&self->message, self->to, call_arrives);
    return MINI_PENDING;
}

struct mini_future *mini_submit_to(
    struct mini_call *slot, unsigned shard, long (*fn)(void *arg), void *arg) {
    *slot =
        (struct mini_call){.future = MINI_FUTURE(call_poll, "mini_submit_to"),
            .to = shard,
            .fn = fn,
            .arg = arg};
    return &slot->future;
}

/* ---- a future ---- */

_Static_assert(offsetof(struct mini_remote, runner) ==
        offsetof(struct mini_remote, task) + sizeof(struct mini_task),
    "the executor finds a task's future right behind it");

static void remote_is_back(struct mini_message *message) {
    struct mini_remote *self =
        MINI_CONTAINER(message, struct mini_remote, message);
    self->under_way--;
    mini_wake(self->caller);
}

static void cancel_is_back(struct mini_message *message) {
    struct mini_remote *self =
        MINI_CONTAINER(message, struct mini_remote, cancel);
    self->under_way--;
    mini_wake(self->caller);
}

static void answer(struct mini_remote *self, long result) {
    self->answer = result;
    mini_message_send(&self->message, self->from, remote_is_back);
}

/* Runs over there. The message goes out at the end of the turn, when the task
 * has ended and nobody there looks at it any more. */
static mini_poll runner_poll(
    struct mini_future *future, struct mini_context cx) {
    struct mini_remote *self =
        MINI_CONTAINER(future, struct mini_remote, runner);
    if (self->inner->poll(self->inner, cx) == MINI_PENDING) return MINI_PENDING;
    answer(self, self->inner->result);
    return mini_ready(future, 0);
}

static void remote_arrives(struct mini_message *message) {
    struct mini_remote *self =
        MINI_CONTAINER(message, struct mini_remote, message);
    if (mini_self->stopping) {
        self->task.done = true; /* nothing for a cancel to find */
        answer(self, -ESHUTDOWN);
        return;
    }
    self->runner = MINI_FUTURE(runner_poll, "mini_spawn_on");
    self->runner.child = self->inner;
    mini_task_start(mini_self, &self->task);
}

static void cancel_arrives(struct mini_message *message) {
    struct mini_remote *self =
        MINI_CONTAINER(message, struct mini_remote, cancel);
    mini_cancel(&self->task);
    mini_message_send(message, self->from, cancel_is_back);
}

static mini_poll remote_poll(
    struct mini_future *future, struct mini_context cx) {
    struct mini_remote *self = MINI_SELF(struct mini_remote);
    self->caller = cx.task;
    if (!future->resume) {
        int error = refusal(self->to, cx);
        if (error < 0) return mini_ready(future, error);
        future->resume = 1;
        self->from = mini_this_shard();
        self->under_way = 1;
        mini_message_send(&self->message, self->to, remote_arrives);
    } else if (self->under_way == 0) {
        return mini_ready(future, self->answer);
    } else if (cx.cancel && !self->cancelled) {
        self->cancelled = true;
        self->under_way++;
        mini_message_send(&self->cancel, self->to, cancel_arrives);
    }
    return MINI_PENDING;
}

struct mini_future *mini_spawn_on(
    struct mini_remote *slot, unsigned shard, struct mini_future *inner) {
    *slot = (struct mini_remote){
        .future = MINI_FUTURE(remote_poll, "mini_spawn_on"),
        .to = shard,
        .inner = inner};
    return &slot->future;
}
