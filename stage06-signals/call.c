/* SPDX-License-Identifier: MIT */
/* A call is a message that lives in the caller's frame. See call.h. */
#include "call.h"

#include "smp.h"

_Static_assert(offsetof(struct mini_remote, runner) ==
        offsetof(struct mini_remote, guest) + sizeof(struct mini_guest),
    "the executor finds a task's future right behind it");

/* ---- here: what has come back ---- */

static void is_back(struct mini_remote *self) {
    self->under_way--;
    mini_wake(self->caller);
}

static void remote_is_back(struct mini_message *message) {
    is_back(MINI_CONTAINER(message, struct mini_remote, message));
}

static void cancel_is_back(struct mini_message *message) {
    is_back(MINI_CONTAINER(message, struct mini_remote, cancel));
}

/* ---- over there ---- */

/* The message goes out at the end of the turn, when the task has ended and
 * nobody on this shard looks at it any more. */
static MINI_POLL(runner_poll) {
    struct mini_remote *self =
        MINI_CONTAINER(future, struct mini_remote, runner);
    if (!mini_drive(future->child, cx)) return MINI_PENDING;
    mini_message_send(&self->message, self->from, remote_is_back);
    return mini_ready(future, 0);
}

static void remote_arrives(struct mini_message *message) {
    struct mini_remote *self =
        MINI_CONTAINER(message, struct mini_remote, message);
    if (mini_self->stopping) { /* it has ended before it began */
        self->runner.child->result = -ESHUTDOWN;
        self->runner.child->poll = NULL;
    }
    mini_guest_start(&self->guest);
}

static void cancel_arrives(struct mini_message *message) {
    struct mini_remote *self =
        MINI_CONTAINER(message, struct mini_remote, cancel);
    mini_cancel(&self->guest.task);
    mini_message_send(message, self->from, cancel_is_back);
}

/* ---- here: a call ---- */

/* Why a call may not begin; 0 if it may. */
static int refusal(unsigned shard, struct mini_context cx) {
    if (shard >= mini_shard_count()) return -EINVAL;
    if (cx.cancel) return -ECANCELED;
    return mini_self->stopping ? -ESHUTDOWN : 0;
}

static MINI_POLL(remote_poll) {
    struct mini_remote *self = MINI_SELF(struct mini_remote);
    self->caller = cx.task;
    if (future->resume && self->under_way == 0)
        return mini_ready(future, self->runner.child->result);
    if (!future->resume) {
        int error = refusal(self->to, cx);
        if (error < 0) return mini_ready(future, error);
        future->resume = self->under_way = 1; /* 2: cancelled, too */
        self->from = mini_this_shard();
        mini_message_send(&self->message, self->to, remote_arrives);
    } else if (cx.cancel && future->resume == 1) {
        future->resume = 2;
        self->under_way++;
        mini_message_send(&self->cancel, self->to, cancel_arrives);
    }
    return MINI_PENDING;
}

struct mini_future *mini_spawn_on(
    struct mini_remote *slot, unsigned shard, struct mini_future *inner) {
    return MINI_MAKE(slot, remote_poll, .to = shard, .runner.poll = runner_poll,
        .runner.name = "mini_spawn_on", .runner.child = inner);
}

/* ---- a plain function ---- */

static void call_is_back(struct mini_message *message) {
    struct mini_call *self = MINI_CONTAINER(message, struct mini_call, message);
    self->future.resume = 2;
    mini_wake(self->caller);
}

/* A function that cannot wait needs no task. */
static void call_arrives(struct mini_message *message) {
    struct mini_call *self = MINI_CONTAINER(message, struct mini_call, message);
    self->result = mini_self->stopping ? -ESHUTDOWN : self->fn(self->arg);
    mini_message_send(message, self->from, call_is_back);
}

static MINI_POLL(call_poll) {
    struct mini_call *self = MINI_SELF(struct mini_call);
    self->caller = cx.task;
    if (future->resume == 2) return mini_ready(future, self->result);
    if (future->resume == 1) return MINI_PENDING;
    int error = refusal(self->to, cx);
    if (error < 0) return mini_ready(future, error);
    future->resume = 1;
    self->from = mini_this_shard();
    mini_message_send(&self->message, self->to, call_arrives);
    return MINI_PENDING;
}

struct mini_future *mini_submit_to(
    struct mini_call *slot, unsigned shard, long (*fn)(void *arg), void *arg) {
    /* The rest is stored before it is read: to clear it would take longer. */
    slot->future = MINI_FUTURE(call_poll, "mini_submit_to");
    slot->to = shard;
    slot->fn = fn;
    slot->arg = arg;
    return &slot->future;
}
