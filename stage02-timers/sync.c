/* SPDX-License-Identifier: MIT */
/* Event and semaphore. See sync.h. A waiter that is served leaves the line
 * before it is woken; so one that has started and is in no line was served. */
#include "sync.h"

#include "executor.h"

mini_poll mini_wait_in(
    struct mini_list *line, struct mini_wait *wait, struct mini_context cx) {
    struct mini_future *future = &wait->future;
    if (future->resume && !mini_list_linked(&wait->link))
        return mini_ready(future, future->result);
    if (cx.cancel) {
        mini_list_remove(&wait->link);
        return mini_ready(future, -ECANCELED);
    }
    if (!future->resume) mini_list_push(line, &wait->link);
    future->resume = 1;
    wait->task = cx.task;
    return MINI_PENDING;
}

void mini_wait_serve(struct mini_wait *wait, long result) {
    wait->future.result = result;
    mini_list_remove(&wait->link);
    mini_wake(wait->task);
}

struct mini_wait *mini_wait_first(struct mini_list *line) {
    if (mini_list_empty(line)) return NULL;
    return MINI_CONTAINER(line->next, struct mini_wait, link);
}

void mini_event_init(struct mini_event *event) {
    *event = (struct mini_event){0};
    mini_list_init(&event->waiters);
}

int mini_event_set(struct mini_event *event, long value) {
    struct mini_wait *wait;
    if (event->set) return -EALREADY;
    event->set = true;
    event->value = value;
    while ((wait = mini_wait_first(&event->waiters)))
        mini_wait_serve(wait, value);
    return 0;
}

static MINI_POLL(event_poll) {
    struct mini_wait *self = MINI_SELF(struct mini_wait);
    struct mini_event *event = self->target;
    if (!future->resume && !cx.cancel && event->set)
        return mini_ready(future, event->value);
    return mini_wait_in(&event->waiters, self, cx);
}

struct mini_future *mini_event_wait(
    struct mini_wait *slot, struct mini_event *event) {
    return MINI_MAKE(slot, event_poll, .target = event);
}

void mini_semaphore_init(struct mini_semaphore *semaphore, size_t units) {
    mini_list_init(&semaphore->waiters);
    semaphore->units = units;
}

void mini_semaphore_signal(struct mini_semaphore *semaphore, size_t units) {
    struct mini_wait *wait;
    semaphore->units += units;
    while ((wait = mini_wait_first(&semaphore->waiters)) &&
        wait->units <= semaphore->units) {
        semaphore->units -= wait->units;
        mini_wait_serve(wait, 0);
    }
}

static MINI_POLL(semaphore_poll) {
    struct mini_wait *self = MINI_SELF(struct mini_wait);
    struct mini_semaphore *semaphore = self->target;
    if (!future->resume && !cx.cancel && self->units <= semaphore->units &&
        mini_list_empty(&semaphore->waiters)) {
        semaphore->units -= self->units;
        return mini_ready(future, 0);
    }
    mini_poll answer = mini_wait_in(&semaphore->waiters, self, cx);
    if (cx.cancel)
        mini_semaphore_signal(semaphore, 0); /* the next one may fit */
    return answer;
}

struct mini_future *mini_semaphore_wait(
    struct mini_wait *slot, struct mini_semaphore *semaphore, size_t units) {
    return MINI_MAKE(slot, semaphore_poll, .target = semaphore, .units = units);
}
