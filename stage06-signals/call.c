/* SPDX-License-Identifier: MIT */
/* A call is a message that lives in the caller's frame. See call.h. */
#include "call.h"

#include "smp.h"

/* ---- here: what has come back ---- */

static void is_back(struct mini_call *self) {
    self->future.resume--;
    mini_wake(self->caller);
}

static void call_is_back(struct mini_message *message) {
    is_back(MINI_CONTAINER(message, struct mini_call, message));
}

static void cancel_is_back(struct mini_message *message) {
    is_back(&MINI_CONTAINER(message, struct mini_remote, cancel)->call);
}

/* ---- over there ---- */

/* A function that cannot wait needs no task. */
static void call_arrives(struct mini_message *message) {
    struct mini_call *self = MINI_CONTAINER(message, struct mini_call, message);
    self->result = mini_self->stopping ? -ESHUTDOWN : self->fn(self->arg);
    mini_message_send(message, self->from, call_is_back);
}

static void remote_arrives(struct mini_message *message) {
    struct mini_remote *self =
        MINI_CONTAINER(message, struct mini_remote, call.message);
    if (mini_self->stopping)
        call_arrives(message);
    else
        mini_guest_start(&self->guest);
}

/* The message goes out at the end of the turn, when the task has ended and
 * nobody on this shard looks at it any more. */
static MINI_POLL(runner_poll) {
    struct mini_remote *self =
        MINI_CONTAINER(future, struct mini_remote, guest.future);
    if (mini_await(future, cx) == MINI_PENDING) return MINI_PENDING;
    self->call.result = future->result;
    mini_message_send(&self->call.message, self->call.from, call_is_back);
    return MINI_READY;
}

static void cancel_arrives(struct mini_message *message) {
    struct mini_remote *self =
        MINI_CONTAINER(message, struct mini_remote, cancel);
    mini_cancel(&self->guest.task);
    mini_message_send(message, self->call.from, cancel_is_back);
}

/* ---- here: a call ---- */

/* Begins SELF, to which ARRIVES happens over there, or waits for it. */
static mini_poll step(struct mini_call *self, struct mini_context cx,
    void (*arrives)(struct mini_message *)) {
    struct mini_future *future = &self->future;
    self->caller = cx.task;
    if (future->resume == 1) return mini_ready(future, self->result);
    if (future->resume) return MINI_PENDING;
    if (self->to >= mini_shard_count()) return mini_ready(future, -EINVAL);
    if (cx.cancel) return mini_ready(future, -ECANCELED);
    if (mini_self->stopping) return mini_ready(future, -ESHUTDOWN);
    future->resume = 2;
    self->from = mini_this_shard();
    mini_message_send(&self->message, self->to, arrives);
    return MINI_PENDING;
}

static MINI_POLL(call_poll) {
    return step(MINI_SELF(struct mini_call), cx, call_arrives);
}

static MINI_POLL(remote_poll) {
    struct mini_remote *self = MINI_SELF(struct mini_remote);
    mini_poll answer = step(&self->call, cx, remote_arrives);
    if (answer == MINI_PENDING && cx.cancel && !self->cancelled) {
        self->cancelled = true;
        future->resume++;
        mini_message_send(&self->cancel, self->call.to, cancel_arrives);
    }
    return answer;
}

struct mini_future *mini_spawn_on(
    struct mini_remote *slot, unsigned shard, struct mini_future *inner) {
    /* until the guest has started, a cancel finds nothing to do */
    (void)MINI_MAKE(slot, remote_poll, .guest.task.state = MINI_ENDED,
        .guest.future = {
            .poll = runner_poll, .name = __func__, .child = inner});
    slot->call.to = shard;
    return &slot->future;
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
