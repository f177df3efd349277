/* SPDX-License-Identifier: MIT */
/* What is tried in every order: the ring, going to sleep beside it, the
 * channel with both ends waiting, a close by a third thread, a cancel. As few
 * items and as small rings as still show everything: full, empty, and round. */
#include "platform.h"

#include "channel.h"
#include "combine.h"

#include <stdio.h>

/* ---- items: what a push publishes, and a pop may read ---- */

#define ITEMS 4
static struct item { int payload; } items[ITEMS + 1]; /* 1 to ITEMS */
static int pushed, popped; /* how many; each one side's */

static void *make_item(void) {
    items[pushed + 1].payload = pushed + 1;
    return &items[pushed + 1];
}

static void take_item(const void *pointer) {
    const struct item *item = pointer;
    model_require(item == &items[popped + 1],
        "G3.1: an item is lost, doubled, or out of order");
    model_require(item->payload == popped + 1,
        "G3.3: what was written before the push is not there");
    popped++;
}

static void reset(void) {
    pushed = popped = 0;
    for (int i = 0; i <= ITEMS; i++) items[i].payload = 0;
    platform_reset();
}

/* ---- G3.1, G3.2, G3.3: the ring alone ---- */

static struct mini_spsc ring;

static void name_slots(const struct mini_spsc *of) {
    static const char *const slots[] = {"slot 0", "slot 1"};
    for (size_t i = 0; i <= of->mask; i++) model_name(&of->slots[i], slots[i]);
}

static void ring_setup(size_t capacity) {
    reset();
    mini_spsc_init(&ring, capacity);
    model_name(&ring.tail, "tail");
    model_name(&ring.head, "head");
    name_slots(&ring);
}
static void ring_of_1(void) { ring_setup(1); }
static void ring_of_2(void) { ring_setup(2); }

static void push_three(void) {
    for (int i = 0; i < 4 && pushed < 3; i++)
        if (mini_spsc_push(&ring, make_item())) pushed++;
}

static void pop_three(void) {
    void *item;
    for (int i = 0; i < 4; i++)
        if (mini_spsc_pop(&ring, &item)) take_item(item);
}

/* What is counted can be had: so a count is as good as a look at the slots. */
static void push_pairs(void) {
    for (int i = 0; i < 3 && pushed < 3; i++) {
        void *pair[2] = {make_item(), NULL};
        size_t room = 2 - mini_spsc_count(&ring);
        pushed++;
        pair[1] = make_item();
        size_t count = mini_spsc_push_many(&ring, pair, 2);
        model_require(count >= room, "G3.2: there is less room than counted");
        pushed += (int)count - 1;
    }
}

static void pop_pairs(void) {
    for (int i = 0; i < 3; i++) {
        void *pair[2];
        size_t there = mini_spsc_count(&ring);
        size_t count = mini_spsc_pop_many(&ring, pair, 2);
        model_require(count >= there, "G3.2: there are less than counted");
        for (size_t n = 0; n < count; n++) take_item(pair[n]);
    }
}

/* Nothing is left behind, and then it takes its capacity, exactly. */
static void ring_check(void) {
    void *item;
    size_t capacity = ring.mask + 1;
    model_require(mini_spsc_count(&ring) == (size_t)(pushed - popped),
        "G3.2: the count is wrong");
    while (mini_spsc_pop(&ring, &item)) take_item(item);
    model_require(popped == pushed, "G3.1: an item is lost");
    for (size_t i = 0; i <= capacity; i++)
        model_require(mini_spsc_push(&ring, &ring) == (i < capacity),
            "G3.2: it does not take its capacity");
}

/* ---- G3.4 to G3.7: channels between executors and threads without one ---- */

static struct mini_channel channel;

static void channel_setup(size_t capacity) {
    reset();
    mini_channel_init(&channel, capacity);
    model_name(&channel.ring.tail, "tail");
    model_name(&channel.ring.head, "head");
    name_slots(&channel.ring);
    model_name(&channel.sender, "channel.sender");
    model_name(&channel.receiver, "channel.receiver");
    model_name(&channel.closed, "closed");
}
static void channel_of_1(void) { channel_setup(1); }
static void channel_of_2(void) { channel_setup(2); }

static void full_channel(void) {
    channel_setup(1);
    mini_channel_try_send(&channel, make_item());
    pushed++;
}

/* The main of an executor: sends or receives COUNT items, or until the end. */
struct side {
    struct mini_future future;
    struct mini_channel_wait wait;
    struct mini_task *task;
    struct mini_join join;
    int count;
};

static void name_executor(bool sends) {
    model_name(&mini_self->parker.sleeping,
        sends ? "sender.sleeping" : "receiver.sleeping");
}

static UNSEEN bool says_it_sleeps(void) {
    return *(volatile bool *)&mini_self->parker.sleeping;
}

static void must_be_awake(void) {
    model_require(
        !says_it_sleeps(), "G3.5: a task runs, and its thread can be rung");
}

static MINI_POLL(sending) {
    struct side *self = MINI_SELF(struct side);
    MINI_BEGIN;
    name_executor(true);
    for (; self->count > 0; self->count--) {
        MINI_AWAIT(mini_channel_send(&self->wait, &channel, make_item()));
        must_be_awake();
        if (MINI_RESULT < 0) break;
        pushed++;
    }
    MINI_END(MINI_RESULT);
}

static MINI_POLL(receiving) {
    struct side *self = MINI_SELF(struct side);
    MINI_BEGIN;
    name_executor(false);
    for (; self->count > 0; self->count--) {
        MINI_AWAIT(mini_channel_recv(&self->wait, &channel));
        must_be_awake();
        if (MINI_RESULT < 0) break;
        take_item(self->wait.item);
    }
    MINI_END(MINI_RESULT);
}

static void send_items(int count) {
    struct side side;
    mini_run(MINI_CALL(struct side, &side, sending, .count = count), NULL);
}
static void receive_items(int count) {
    struct side side;
    mini_run(MINI_CALL(struct side, &side, receiving, .count = count), NULL);
}
static void send_1(void) { send_items(1); }
static void send_2(void) { send_items(2); }
static void receive_1(void) { receive_items(1); }
static void receive_2(void) { receive_items(2); }
static void receive_1_twice(void) { /* two executors at the same address */
    receive_items(1);
    receive_items(1);
}
static void receive_all(void) { receive_items(ITEMS); }

/* Threads without an executor: they never wait. */
static void try_send_one(void) {
    if (mini_channel_try_send(&channel, make_item()) == 0) pushed++;
}
static void try_send_two(void) {
    try_send_one();
    try_send_one();
}
static void try_receive_one(void) {
    void *item;
    if (mini_channel_try_recv(&channel, &item) == 0) take_item(item);
}
static void send_and_close(void) {
    try_send_one();
    mini_channel_close(&channel);
}
static void close_it(void) { mini_channel_close(&channel); }

/* A waiting receive, and a task beside it that cancels it after a moment. */
static MINI_POLL(receiving_or_cancelled) {
    struct side *self = MINI_SELF(struct side);
    MINI_BEGIN;
    self->task = MINI_SPAWN(struct side, receiving, .count = 1);
    MINI_YIELD();
    MINI_YIELD();
    mini_cancel(self->task);
    MINI_AWAIT(mini_join(&self->join, self->task));
    MINI_END(0);
}

static void receive_or_cancel(void) {
    struct side side;
    mini_run(MINI_CALL(struct side, &side, receiving_or_cancelled), NULL);
}

/* One executor at two channels: who sends into either rings the same bell. */
static struct mini_channel second;

struct both {
    struct mini_future future;
    struct mini_channel_wait waits[2];
    struct mini_future *futures[2];
    struct mini_select all;
};

static MINI_POLL(receiving_both) {
    struct both *self = MINI_SELF(struct both);
    MINI_BEGIN;
    name_executor(false);
    self->futures[0] = mini_channel_recv(&self->waits[0], &channel);
    self->futures[1] = mini_channel_recv(&self->waits[1], &second);
    MINI_AWAIT(mini_join_all(&self->all, self->futures, 2));
    must_be_awake();
    MINI_END(0);
}

static void receive_both(void) {
    struct both both;
    mini_run(MINI_CALL(struct both, &both, receiving_both), NULL);
}
static void send_second(void) { mini_channel_try_send(&second, items); }

static void two_channels(void) {
    channel_setup(1);
    mini_channel_init(&second, 1);
    model_name(&second.ring.tail, "second.tail");
    model_name(&second.receiver, "second.receiver");
}

static void rung_check(void) {
    for (int i = 0; i < THREADS; i++)
        model_require(
            rings[i] <= parks[i], "G3.5: it is rung more often than it sleeps");
}

/* All that was sent was received, or is still in the ring. */
static void channel_check(void) {
    void *item;
    while (mini_channel_try_recv(&channel, &item) == 0) take_item(item);
    model_require(popped == pushed, "G3.1: an item is lost");
    rung_check();
}

/* Nothing but what was sent before the close. */
static void close_check(void) {
    model_require(pushed == popped,
        "G3.6: the receiver has not got what was sent before the close");
    channel_check();
}

/* ---- the table ---- */

const struct scenario scenarios[] = {
    {"ring1", "G3.1 to G3.3, one slot", ring_of_1,
        {{"producer", push_three}, {"consumer", pop_three}}, ring_check},
    {"ring2", "G3.1 to G3.3, two slots, in pairs", ring_of_2,
        {{"producer", push_pairs}, {"consumer", pop_pairs}}, ring_check},
    {"park", "G3.4, G3.5: a receiver goes to sleep", channel_of_1,
        {{"sender", try_send_one}, {"receiver", receive_1}}, channel_check},
    {"again", "G3.4, G3.5: and once more", channel_of_2,
        {{"sender", try_send_two}, {"receiver", receive_2}}, channel_check},
    {"next", "G3.4, G3.6: executors come and go", channel_of_2,
        {{"sender", try_send_two}, {"receiver", receive_1_twice}},
        channel_check},
    {"room", "G3.4, G3.5: a sender waits for room", full_channel,
        {{"sender", send_1}, {"receiver", try_receive_one}}, channel_check},
    {"both", "G3.4, G3.5: both may sleep", channel_of_1,
        {{"sender", send_2}, {"receiver", receive_1}}, channel_check},
    {"bells", "G3.5: two ring one sleeper", two_channels,
        {{"sender", try_send_one}, {"receiver", receive_both},
            {"second", send_second}},
        rung_check},
    {"close", "G3.6: the sender closes", channel_of_1,
        {{"sender", send_and_close}, {"receiver", receive_all}}, close_check},
    {"closer", "G3.6: a third closes", channel_of_1,
        {{"sender", try_send_one}, {"receiver", receive_all},
            {"closer", close_it}},
        channel_check},
    {"refused", "G3.6: a third closes under a waiting sender", full_channel,
        {{"sender", send_1}, {"receiver", try_receive_one},
            {"closer", close_it}},
        channel_check},
    {"cancel", "G3.7: a cancel and an item meet", channel_of_1,
        {{"sender", try_send_one}, {"receiver", receive_or_cancel}},
        channel_check},
    {0},
};
