/* SPDX-License-Identifier: MIT */
/* Two threads, each with its own executor, and one channel between them. */
#include "miniss.h"

#include <pthread.h>
#include <stdio.h>

#define ITEMS 1000000

static struct mini_channel channel;

struct sender {
    struct mini_future future;
    struct mini_channel_wait send;
    intptr_t next;
};

static mini_poll sender(struct mini_future *future, struct mini_context cx) {
    struct sender *self = MINI_SELF(struct sender);
    MINI_BEGIN;
    for (self->next = 1; self->next <= ITEMS; self->next++) {
        MINI_AWAIT(
            mini_channel_send(&self->send, &channel, (void *)self->next));
        if (MINI_RESULT < 0) break; /* cancelled, or nobody receives */
    }
    mini_channel_close(&channel);
    MINI_END(0);
}

struct receiver {
    struct mini_future future;
    struct mini_channel_wait recv;
    long count, sum;
};

static mini_poll receiver(struct mini_future *future, struct mini_context cx) {
    struct receiver *self = MINI_SELF(struct receiver);
    MINI_BEGIN;
    for (;;) {
        MINI_AWAIT(mini_channel_recv(&self->recv, &channel));
        if (MINI_RESULT < 0) break; /* -EPIPE: closed, and nothing left in it */
        self->count++;
        self->sum += (intptr_t)self->recv.item;
    }
    mini_channel_close(&channel); /* if cancelled: so the sender ends, too */
    printf("received %ld items, their sum is %ld\n", self->count, self->sum);
    MINI_END(self->count);
}

static void *run_sender(void *arg) {
    struct sender frame;
    mini_run(MINI_CALL(struct sender, &frame, sender), NULL);
    return arg;
}

int main(void) {
    struct receiver frame;
    pthread_t thread;
    if (mini_channel_init(&channel, 256) < 0 ||
        pthread_create(&thread, NULL, run_sender, NULL) != 0)
        return 1;
    long count = mini_run(MINI_CALL(struct receiver, &frame, receiver), NULL);
    pthread_join(thread, NULL);
    mini_channel_destroy(&channel);
    return count == ITEMS ? 0 : 1;
}
