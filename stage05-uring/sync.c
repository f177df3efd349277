/* SPDX-License-Identifier: MIT */
/* Event and semaphore. See sync.h. A waiter that is served leaves the line
 * before it is woken; so being out of the line is what tells it. */
#include "sync.h"

#include "executor.h"

static void stand_in_line(struct mini_list *line, struct mini_wait *self) {
    if (!self->future.resume) mini_list_push(line, &self->link);
    self->future.resume = 1;
}

static struct mini_wait *first_of(struct mini_list *line) {
    if (mini_list_empty(line)) return NULL;
    return MINI_CONTAINER(line->next, struct mini_wait, link);
}

static void serve(struct mini_wait *waiter) {
    mini_list_remove(&waiter->link);
    mini_wake(waiter->task);
}

void mini_event_init(struct mini_event *event) {
    *event = (struct mini_event){0};
    mini_list_init(&event->waiters);
}

int mini_event_set(struct mini_event *event, long value) {
    struct mini_wait *waiter;
    if (event->set) return -EALREADY;
    event->set = true;
    event->value = value;
    while ((waiter = first_of(&event->waiters))) serve(waiter);
    return 0;
}

static mini_poll event_poll(
    struct mini_future *future, struct mini_context cx) {
    struct mini_wait *self = MINI_SELF(struct mini_wait);
    struct mini_event *event = self->target;
    if (event->set && (future->resume || !cx.cancel))
        return mini_ready(future, event->value);
    if (cx.cancel) {
        mini_list_remove(&self->link);
        return mini_ready(future, -ECANCELED);
    }
    self->task = cx.task;
    stand_in_line(&event->waiters, self);
    return MINI_PENDING;
}

struct mini_future *mini_event_wait(
    struct mini_wait *slot, struct mini_event *event) {
    *slot = (struct mini_wait){
        .future = MINI_FUTURE(event_poll, "mini_event_wait"), .target = event};
    return &slot->future;
}

void mini_semaphore_init(struct mini_semaphore *semaphore, size_t units) {
    mini_list_init(&semaphore->waiters);
    semaphore->units = units;
}

void mini_semaphore_signal(struct mini_semaphore *semaphore, size_t units) {
    struct mini_wait *waiter;
    semaphore->units += units;
    while ((waiter = first_of(&semaphore->waiters)) &&
        waiter->units <= semaphore->units) {
        semaphore->units -= waiter->units;
        serve(waiter);
    }
}

static mini_poll semaphore_poll(
    struct mini_future *future, struct mini_context cx) {
    struct mini_wait *self = MINI_SELF(struct mini_wait);
    struct mini_semaphore *semaphore = self->target;
    if (future->resume && !mini_list_linked(&self->link))
        return mini_ready(future, 0); /* served */
    if (cx.cancel) {
        mini_list_remove(&self->link);
        mini_semaphore_signal(semaphore, 0); /* those behind may fit now */
        return mini_ready(future, -ECANCELED);
    }
    if (!future->resume && mini_list_empty(&semaphore->waiters) &&
        self->units <= semaphore->units) {
        semaphore->units -= self->units;
        return mini_ready(future, 0);
    }
    self->task = cx.task;
    stand_in_line(&semaphore->waiters, self);
    return MINI_PENDING;
}

struct mini_future *mini_semaphore_wait(
    struct mini_wait *slot, struct mini_semaphore *semaphore, size_t units) {
    *slot = (struct mini_wait){
        .future = MINI_FUTURE(semaphore_poll, "mini_semaphore_wait"),
        .target = semaphore,
        .units = units};
    return &slot->future;
}
