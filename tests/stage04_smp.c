/* SPDX-License-Identifier: MIT
 *
 * Tests of stage 4: shards, calls between them, collectives, start and stop
 * (G4.1 to G4.8, and what G1 says about more than one shard).
 *
 * What runs inside mini_run uses EXPECT; cmocka's assertions stand where the
 * other threads have been joined. Nothing here depends on how fast a thread
 * is. Most runs have `blink` in front of every sleep, so that a shard which
 * looks too little before it sleeps misses something soon.
 */
#include "faults.h"
#include "harness.h"

#include "miniss.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define SANITIZED (MINI_TEST_TSAN || MINI_TEST_ASAN)
#define SLOW (SANITIZED ? 5 : 1) /* how many times less such a build does */
#define LENGTH(array) (sizeof(array) / sizeof *(array))
#define MOST 8 /* shards of one run */

static const unsigned shard_counts[] = {2, 3, 4, 8};
static const unsigned capacities[] = {2, 4, 256};

/* ---- expectations on any thread ----------------------------------------- */

static atomic_int first_wrong; /* the line of the first that was not met */

#define EXPECT(condition) ((condition) ? (void)0 : note_wrong(__LINE__))

static void note_wrong(int line) {
    int none = 0;

    atomic_compare_exchange_strong(&first_wrong, &none, line);
}

/* On the main thread, when the others have been joined. */
static void assert_as_expected(void) {
    int line = atomic_exchange(&first_wrong, 0);

    if (line != 0) fail_msg("the EXPECT in line %d was not met", line);
}

/* ---- threads ------------------------------------------------------------ */

/* Lets through as many as it has been opened for. */
struct gate {
    pthread_mutex_t mutex;
    pthread_cond_t opened;
    unsigned times;
};

#define GATE_CLOSED \
    { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0 }

static void gate_open(struct gate *gate) {
    pthread_mutex_lock(&gate->mutex);
    gate->times++;
    pthread_cond_signal(&gate->opened);
    pthread_mutex_unlock(&gate->mutex);
}

static void gate_pass(struct gate *gate) {
    pthread_mutex_lock(&gate->mutex);
    while (gate->times == 0) pthread_cond_wait(&gate->opened, &gate->mutex);
    gate->times--;
    pthread_mutex_unlock(&gate->mutex);
}

/* Each user has its own sequence: Marsaglia's xorshift32. */
static unsigned next_random(unsigned *state) {
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

/* ---- the moment before sleep -------------------------------------------- */

/* What this thread does, once, between the store of `sleeping` and the second
 * look; NULL: it blinks. */
static _Thread_local void (*before_sleep)(void);

/* Takes the store back for a moment. Who sends something meanwhile does not
 * ring: it is as if they had looked before this thread decided to sleep. So
 * all that can wake a shard must be found by its second look. */
static void blink(void) {
    static _Thread_local unsigned seed;

    if (seed == 0) seed = mini_this_shard() + 1;
    atomic_store(&mini_self->parker.sleeping, false);
    for (unsigned n = next_random(&seed) % 4; n > 0; n--) sched_yield();
    atomic_store(&mini_self->parker.sleeping, true);
}

static void on_park(void) {
    void (*strike)(void) = before_sleep != NULL ? before_sleep : blink;

    before_sleep = NULL;
    strike();
}

/* To stop a thread there. */
static struct gate is_parked = GATE_CLOSED;
static struct gate may_go_on = GATE_CLOSED;

static void stop_there(void) {
    gate_open(&is_parked);
    gate_pass(&may_go_on);
}

/* For each test: with that hook, and without. */
static int with_hook(void **state) {
    (void)state;
    first_wrong = 0;
    mini_park_hook = on_park;
    return 0;
}

static int without_hook(void **state) {
    (void)state;
    mini_park_hook = NULL;
    before_sleep = NULL;
    is_parked.times = may_go_on.times = 0;
    assert_as_expected(); /* also where the test did not look */
    return 0;
}

/* ---- running ------------------------------------------------------------ */

/* What the async functions below await; each takes what it needs. */
struct kit {
    struct mini_future future;
    struct mini_call call;
    struct mini_remote remote;
    struct mini_yield yield;
    struct mini_sleep sleep;
    struct mini_timeout timeout;
    struct mini_join join;
    struct mini_select all;
    struct mini_broadcast broadcast;
    struct mini_barrier_wait barrier;
    struct mini_event event;
    struct mini_wait wait;
    struct mini_future *pending;
    struct mini_task *task;
    void *argument;
    unsigned shard;
    long i, n, result;
};

typedef mini_poll poll_function(struct mini_future *, struct mini_context);

static struct mini_options options_of(unsigned shards, unsigned capacity) {
    struct mini_options options = mini_defaults;

    options.shards = shards;
    options.ring_capacity = capacity;
    return options;
}

/* Runs a main whose frame is a kit. */
static long run_with(
    poll_function *poll, void *argument, const struct mini_options *options) {
    static struct kit main;

    main = (struct kit){
        .future = MINI_FUTURE(poll, "main_of_test"), .argument = argument};
    return mini_run(&main.future, options);
}

static long run(poll_function *poll, unsigned shards) {
    struct mini_options options = options_of(shards, 0);

    return run_with(poll, NULL, &options);
}

/* Polls a future as a task that is cancelled would. */
static bool drive_cancelled(
    struct mini_future *future, struct mini_context cx) {
    cx.cancel = true;
    return mini_drive(future, cx);
}

/* ---- functions to submit ------------------------------------------------- */

static atomic_long calls; /* of the functions here */

static long which_shard(void *argument) {
    (void)argument;
    calls++;
    return (long)mini_this_shard();
}

static long say_it_back(void *argument) {
    calls++;
    return *(long *)argument;
}

static long stop_all(void *argument) {
    (void)argument;
    mini_stop();
    return 0;
}

static long turns_so_far(void *argument) {
    (void)argument;
    return (long)mini_stats()->turns;
}

static long waits_so_far(void *argument) {
    (void)argument;
    return (long)mini_stats()->waits;
}

static long messages_so_far(void *argument) {
    (void)argument;
    return (long)mini_stats()->messages;
}

static long add(long so_far, long next) { return so_far + next; }

static MINI_POLL(count_all) {
    struct kit *self = MINI_SELF(struct kit);

    MINI_BEGIN;
    MINI_AWAIT(mini_map_reduce(&self->broadcast, which_shard, NULL, add, 0));
    EXPECT(MINI_RESULT ==
        (long)mini_shard_count() * (long)(mini_shard_count() - 1) / 2);
    MINI_END(mini_shard_count());
}

/* ---- G4.1: calls -------------------------------------------------------------- */

/* Its address tells one thread from another. */
static _Thread_local char this_thread;

static long which_thread(void *argument) {
    (void)argument;
    calls++;
    return (long)(intptr_t)&this_thread;
}

static MINI_POLL(ask_all_shards) {
    struct kit *self = MINI_SELF(struct kit);
    static long threads[MOST];

    MINI_BEGIN;
    EXPECT(mini_this_shard() == 0);
    for (self->n = 0; self->n < 3; self->n++) {
        for (self->i = 0; self->i < (long)mini_shard_count(); self->i++) {
            MINI_AWAIT(mini_submit_to(&self->call, self->i, which_shard, NULL));
            EXPECT(MINI_RESULT == self->i && mini_this_shard() == 0);
            MINI_AWAIT(
                mini_submit_to(&self->call, self->i, which_thread, NULL));
            EXPECT(self->n == 0 || threads[self->i] == MINI_RESULT);
            threads[self->i] = MINI_RESULT;
            for (long other = 0; other < self->i; other++)
                EXPECT(threads[other] != MINI_RESULT);
        }
    }
    EXPECT(threads[0] == (long)(intptr_t)&this_thread);
    MINI_END((long)mini_shard_count());
}

static void g4_1_a_call_runs_on_the_targets_thread_once(void **state) {
    (void)state;
    for (unsigned shards = 1; shards <= MOST; shards++) {
        calls = 0;
        assert_int_equal(run(ask_all_shards, shards), shards);
        assert_int_equal(calls, 6 * shards);
        assert_as_expected();
    }
}

/* Results of all kinds come back unchanged; errors are results, too. */
static const long results[] = {0, 1, -1, -EIO, -ECANCELED, -EAGAIN, -ETIMEDOUT,
    -ESHUTDOWN, INT_MAX, INT_MIN, LONG_MAX, LONG_MIN};

struct job { /* runs on another shard; nothing in it is atomic */
    struct mini_future future;
    struct mini_yield yield;
    struct mini_sleep sleep;
    long yields, answer;
    long doubled; /* its own result beside the answer */
    unsigned shard;
    int polls;
};

static MINI_POLL(job) {
    struct job *self = MINI_SELF(struct job);

    self->polls++;
    MINI_BEGIN;
    self->shard = mini_this_shard();
    for (; self->yields > 0; self->yields--) {
        MINI_AWAIT(mini_yield(&self->yield));
        if (MINI_RESULT < 0) MINI_RETURN(MINI_RESULT);
    }
    self->doubled = self->answer / 2 * 2;
    MINI_END(self->answer);
}

static MINI_POLL(fetch_results) {
    struct kit *self = MINI_SELF(struct kit);
    static struct job jobs[LENGTH(results)];

    MINI_BEGIN;
    for (self->i = 0; self->i < (long)LENGTH(results); self->i++) {
        for (self->shard = 0; self->shard < 2; self->shard++) {
            MINI_AWAIT(mini_submit_to(&self->call, self->shard, say_it_back,
                (void *)(intptr_t)&results[self->i]));
            EXPECT(MINI_RESULT == results[self->i]);
            jobs[self->i] = MINI_FRAME(struct job, job,
                .answer = results[self->i], .yields = self->i % 3, .shard = 99);
            MINI_AWAIT(mini_spawn_on(
                &self->remote, self->shard, &jobs[self->i].future));
            EXPECT(MINI_RESULT == results[self->i]);
            EXPECT(jobs[self->i].future.result == results[self->i]);
            EXPECT(jobs[self->i].doubled == results[self->i] / 2 * 2);
            EXPECT(jobs[self->i].shard == self->shard);
            EXPECT(jobs[self->i].polls == self->i % 3 + 1);
            EXPECT(mini_this_shard() == 0);
        }
    }
    MINI_END(0);
}

static void g4_1_results_and_errors_come_back(void **state) {
    (void)state;
    calls = 0;
    assert_int_equal(run(fetch_results, 2), 0);
    assert_int_equal(calls, 2 * LENGTH(results));
    assert_as_expected();
}

/* Any future can be asked for: here one of the runtime's own. */
static MINI_POLL(sleep_elsewhere) {
    struct kit *self = MINI_SELF(struct kit);

    MINI_BEGIN;
    MINI_AWAIT(
        mini_spawn_on(&self->remote, 1, mini_sleep(&self->sleep, MINI_MS)));
    EXPECT(MINI_RESULT == 0);
    MINI_AWAIT(mini_spawn_on(&self->remote, 1, mini_yield(&self->yield)));
    EXPECT(MINI_RESULT == 0);
    MINI_AWAIT(mini_spawn_on(
        &self->remote, 1, mini_submit_to(&self->call, 0, which_shard, NULL)));
    EXPECT(MINI_RESULT == 0); /* there and back, and there again */
    MINI_END(3);
}

static void g4_1_any_future_runs_on_any_shard(void **state) {
    (void)state;
    assert_int_equal(run(sleep_elsewhere, 2), 3);
    assert_as_expected();
}

/* A call to one's own shard takes the same way: not at once. */
static MINI_POLL(call_own_shard) {
    struct kit *self = MINI_SELF(struct kit);

    if (future->resume == 0) {
        future->resume = 1;
        self->pending = mini_submit_to(&self->call, 0, which_shard, NULL);
        EXPECT(!mini_drive(self->pending, cx));
        EXPECT(calls == 0);
        return MINI_PENDING;
    }
    if (!mini_drive(self->pending, cx)) return MINI_PENDING;
    EXPECT(calls == 1 && self->pending->result == 0);
    return mini_ready(future, 0);
}

static void g4_1_a_call_to_ones_own_shard_is_a_message_too(void **state) {
    (void)state;
    for (unsigned shards = 1; shards <= 2; shards++) {
        calls = 0;
        assert_int_equal(run(call_own_shard, shards), 0);
        assert_as_expected();
    }
}

static MINI_POLL(take_over) {
    struct kit *self = MINI_SELF(struct kit);

    if (!mini_drive(self->pending, cx)) return MINI_PENDING;
    return mini_ready(future, self->pending->result);
}

/* Both have new owners before the messages go out, at the end of the turn. */
static MINI_POLL(hand_calls_on) {
    struct kit *self = MINI_SELF(struct kit);

    MINI_BEGIN;
    mini_submit_to(&self->call, 1, which_shard, NULL);
    mini_spawn_on(&self->remote, 1, mini_yield(&self->yield));
    EXPECT(!mini_drive(&self->call.future, cx));
    EXPECT(!mini_drive(&self->remote.future, cx));
    self->task =
        MINI_SPAWN(struct kit, take_over, .pending = &self->call.future);
    self->argument =
        MINI_SPAWN(struct kit, take_over, .pending = &self->remote.future);
    MINI_AWAIT(mini_join(&self->join, self->task));
    EXPECT(MINI_RESULT == 1);
    MINI_AWAIT(mini_join(&self->join, self->argument));
    MINI_END(MINI_RESULT);
}

/* The task that polls it last is the one to be woken. */
static void g4_1_a_call_may_change_hands(void **state) {
    (void)state;
    assert_int_equal(run(hand_calls_on, 2), 0);
    assert_as_expected();
}

/* ---- G4.2: the order --------------------------------------------------------- */

/* Written on shard TO alone: the number of the last message from each. */
static long last_number[MOST][MOST];

struct letter {
    unsigned from;
    long number;
};

static long read_letter(void *argument) {
    const struct letter *letter = argument;
    long *last = &last_number[mini_this_shard()][letter->from];

    EXPECT(letter->number == *last + 1);
    return *last = letter->number;
}

/* More calls in one turn than fit into a ring or into a batch. */
#define LETTERS 300

static struct writer { /* one for each pair of shards */
    struct mini_future future;
    struct mini_select all;
    struct letter letters[LETTERS];
    struct mini_call calls[LETTERS];
    struct mini_future *futures[LETTERS];
    struct mini_remote remote;
    unsigned to;
    long round;
} writers[MOST][MOST];

static MINI_POLL(writer) {
    struct writer *self = MINI_SELF(struct writer);

    MINI_BEGIN;
    for (self->round = 0; self->round < 3; self->round++) {
        for (long i = 0; i < LETTERS; i++) {
            self->letters[i] = (struct letter){
                mini_this_shard(), self->round * LETTERS + i + 1};
            self->futures[i] = mini_submit_to(
                &self->calls[i], self->to, read_letter, &self->letters[i]);
        }
        MINI_AWAIT(mini_join_all(&self->all, self->futures, LETTERS));
        EXPECT(MINI_RESULT == 0);
        for (long i = 0; i < LETTERS; i++)
            EXPECT(self->futures[i]->result == self->letters[i].number);
    }
    MINI_END(0);
}

static MINI_POLL(write_to_all) {
    struct kit *self = MINI_SELF(struct kit);
    static struct mini_future *futures[MOST * MOST];
    unsigned count = mini_shard_count();

    MINI_BEGIN;
    memset(last_number, 0, sizeof last_number);
    for (unsigned i = 0; i < count * count; i++) {
        struct writer *pair = &writers[i / count][i % count];
        *pair = MINI_FRAME(struct writer, writer, .to = i % count);
        futures[i] = mini_spawn_on(&pair->remote, i / count, &pair->future);
    }
    MINI_AWAIT(mini_join_all(&self->all, futures, count * count));
    EXPECT(MINI_RESULT == 0);
    for (unsigned i = 0; i < count * count; i++)
        EXPECT(last_number[i / count][i % count] == 3 * LETTERS);
    MINI_END(0);
}

static void g4_2_calls_between_two_shards_keep_their_order(void **state) {
    (void)state;
    for (size_t i = 0; i < LENGTH(capacities); i++) {
        struct mini_options options = options_of(3, capacities[i]);

        assert_int_equal(run_with(write_to_all, NULL, &options), 0);
        assert_as_expected();
    }
}

/* The same with bare messages, around the sizes of rings and batches. */
static struct note {
    struct mini_message message;
    long number;
} notes[1000];

static long notes_there, notes_back, notes_sent;
static struct mini_event *all_back; /* shard 0's */

static void note_is_back(struct mini_message *message) {
    struct note *note = (struct note *)message;

    EXPECT(mini_this_shard() == 0 && note->number == ++notes_back);
    if (notes_back == notes_sent) mini_event_set(all_back, notes_back);
}

static void note_arrives(struct mini_message *message) {
    struct note *note = (struct note *)message;

    EXPECT(mini_this_shard() == 1 && note->number == ++notes_there);
    mini_message_send(message, 0, note_is_back);
}

static MINI_POLL(send_notes) {
    static const long sizes[] = {
        1, 2, 3, 4, 5, 63, 64, 65, 127, 128, 129, 255, 256, 257, 1000};
    struct kit *self = MINI_SELF(struct kit);

    MINI_BEGIN;
    for (self->i = 0; self->i < (long)LENGTH(sizes); self->i++) {
        notes_there = notes_back = 0;
        notes_sent = sizes[self->i];
        mini_event_init(&self->event);
        all_back = &self->event;
        for (long n = 0; n < notes_sent; n++) {
            notes[n].number = n + 1;
            mini_message_send(&notes[n].message, 1, note_arrives);
        }
        MINI_AWAIT(mini_event_wait(&self->wait, &self->event));
        EXPECT(MINI_RESULT == sizes[self->i]);
        EXPECT(notes_there == sizes[self->i]);
    }
    MINI_END(0);
}

static void g4_2_messages_keep_their_order(void **state) {
    (void)state;
    for (size_t i = 0; i < LENGTH(capacities); i++) {
        struct mini_options options = options_of(2, capacities[i]);

        assert_int_equal(run_with(send_notes, NULL, &options), 0);
        assert_as_expected();
    }
}

/* What a shard tells all comes before what it sends after that, even to one
 * that takes in messages meanwhile: shard 2, which stands in one of shard 0's
 * until shard 1 has told all to print their tasks, and has sent it another. */
static struct gate is_busy = GATE_CLOSED;
static struct gate is_sent = GATE_CLOSED;

static void is_back_too(struct mini_message *message) {
    (void)message;
    if (++notes_back == 2) mini_event_set(all_back, 0);
}

static void stand_still(struct mini_message *message) {
    gate_open(&is_busy);
    gate_pass(&is_sent);
    mini_message_send(message, 0, is_back_too);
}

static void say_so(struct mini_message *message) {
    fputs("a later message\n", stderr);
    mini_message_send(message, 0, is_back_too);
}

static long tell_and_send(void *argument) {
    (void)argument;
    gate_pass(&is_busy);
    mini_dump_all();
    mini_message_send(&notes[1].message, 2, say_so);
    return 0;
}

static long let_it_go_on(void *argument) {
    (void)argument;
    gate_open(&is_sent);
    return 0;
}

static MINI_POLL(tell_before_sending) {
    struct kit *self = MINI_SELF(struct kit);

    MINI_BEGIN;
    notes_back = 0;
    mini_event_init(&self->event);
    all_back = &self->event;
    mini_message_send(&notes[0].message, 2, stand_still);
    MINI_AWAIT(mini_submit_to(&self->call, 1, tell_and_send, NULL));
    MINI_AWAIT(mini_submit_to(&self->call, 1, let_it_go_on, NULL));
    MINI_AWAIT(mini_event_wait(&self->wait, &self->event));
    MINI_END(0);
}

static void g4_2_news_come_before_what_is_sent_after_them(void **state) {
    char text[4000];

    (void)state;
    for (int round = 0; round < 10; round++) {
        mini_test_capture_begin();
        long result = run(tell_before_sending, 3);
        mini_test_capture_end(text, sizeof text);
        assert_int_equal(result, 0);
        char *news = strstr(text, "shard 2:");
        char *message = strstr(text, "a later message");
        assert_non_null(news);
        assert_non_null(message);
        assert_true(news < message);
        assert_null(strstr(news + 1, "shard 2:")); /* and each once */
    }
}

/* ---- G4.3: storms ------------------------------------------------------------ */

/* A shard that has got many messages runs tasks before it has seen the last. */
#define MANY 200

static MINI_POLL(send_many_to_itself) {
    struct kit *self = MINI_SELF(struct kit);

    MINI_BEGIN;
    notes_back = 0;
    notes_sent = 1; /* sets the event */
    mini_event_init(&self->event);
    all_back = &self->event;
    for (long n = 0; n < MANY; n++) {
        notes[n].number = n + 1;
        mini_message_send(&notes[n].message, 0, note_is_back);
    }
    MINI_AWAIT(mini_event_wait(&self->wait, &self->event));
    EXPECT(notes_back < MANY);
    while (notes_back < MANY) MINI_AWAIT(mini_yield(&self->yield));
    MINI_END(0);
}

static void g4_3_tasks_run_between_many_messages(void **state) {
    struct mini_options options = options_of(1, 256);

    (void)state;
    assert_int_equal(run_with(send_many_to_itself, NULL, &options), 0);
    assert_as_expected();
}

/* A call that goes on to another shard, and comes back all the way. At each
 * step it calls back the shard it has come from. */
#define DEPTH 10

struct hop {
    struct mini_future future;
    struct mini_remote remote;
    struct mini_call call;
    unsigned from, path, left; /* steps to go */
};

static MINI_POLL(hop) {
    struct hop *self = MINI_SELF(struct hop);

    MINI_BEGIN;
    MINI_AWAIT(mini_submit_to(&self->call, self->from, which_shard, NULL));
    if (MINI_RESULT < 0 || self->left == 0)
        MINI_RETURN(MINI_RESULT < 0 ? MINI_RESULT : 0);
    EXPECT(MINI_RESULT == (long)self->from);
    self[1] = MINI_FRAME(struct hop, hop, .from = mini_this_shard(),
        .path = self->path / 3 + 7 * self->left, .left = self->left - 1);
    MINI_AWAIT(mini_spawn_on(
        &self->remote, self->path % mini_shard_count(), &self[1].future));
    MINI_END(MINI_RESULT < 0 ? MINI_RESULT : MINI_RESULT + 1);
}

/* What every shard does in a storm: to each shard CALLS calls at once, and at
 * the same time paths of hops. */
#define CALLS 20
#define PATHS 4

struct storm {
    struct mini_future future;
    struct mini_remote remote;
    struct mini_select all;
    struct mini_call calls[MOST * CALLS];
    struct mini_remote starts[PATHS];
    struct hop hops[PATHS][DEPTH + 1];
    struct mini_future *futures[MOST * CALLS + PATHS];
    long counters[MOST]; /* each counted up by the shard that is called */
    long answered[MOST]; /* how many of those calls came back with a result */
    long rounds, round;
    unsigned seed;
};

static struct storm storms[MOST];

static long count_up(void *argument) {
    struct storm *storm = argument;

    return ++storm->counters[mini_this_shard()];
}

static size_t prepare_storm(struct storm *self) {
    unsigned shards = mini_shard_count();
    size_t n = 0;

    for (unsigned i = 0; i < shards * CALLS; i++, n++)
        self->futures[n] =
            mini_submit_to(&self->calls[n], i % shards, count_up, self);
    for (unsigned i = 0; i < PATHS; i++, n++) {
        self->hops[i][0] =
            MINI_FRAME(struct hop, hop, .from = mini_this_shard(),
                .path = next_random(&self->seed), .left = DEPTH);
        self->futures[n] = mini_spawn_on(&self->starts[i],
            next_random(&self->seed) % shards, &self->hops[i][0].future);
    }
    return n;
}

static MINI_POLL(storm) {
    struct storm *self = MINI_SELF(struct storm);

    MINI_BEGIN;
    for (self->round = 0; self->round < self->rounds; self->round++) {
        MINI_AWAIT(
            mini_join_all(&self->all, self->futures, prepare_storm(self)));
        for (unsigned i = 0; i < mini_shard_count() * CALLS; i++)
            self->answered[i % mini_shard_count()] +=
                self->futures[i]->result > 0;
        if (MINI_RESULT < 0) MINI_RETURN(MINI_RESULT);
        for (unsigned i = 0; i < PATHS; i++)
            EXPECT(
                self->futures[mini_shard_count() * CALLS + i]->result == DEPTH);
    }
    MINI_END(0);
}

/* Fills FUTURES with a storm on every shard. */
static unsigned all_storms(struct mini_future **futures, long rounds) {
    unsigned shards = mini_shard_count();

    for (unsigned i = 0; i < shards; i++) {
        storms[i] =
            MINI_FRAME(struct storm, storm, .rounds = rounds, .seed = i + 1);
        futures[i] = mini_spawn_on(&storms[i].remote, i, &storms[i].future);
    }
    return shards;
}

static void expect_storms_counted(long rounds) {
    unsigned shards = mini_shard_count();

    for (unsigned i = 0; i < shards * shards; i++)
        EXPECT(storms[i / shards].counters[i % shards] == rounds * CALLS);
}

static MINI_POLL(weather) {
    struct kit *self = MINI_SELF(struct kit);
    static struct mini_future *futures[MOST];
    long rounds = *(long *)self->argument;

    MINI_BEGIN;
    MINI_AWAIT(mini_join_all(&self->all, futures, all_storms(futures, rounds)));
    EXPECT(MINI_RESULT == 0);
    expect_storms_counted(rounds);
    MINI_END(0);
}

static void g4_3_storms_end_with_every_ring_and_every_count(void **state) {
    uint64_t start = mini_clock();
    long rounds = 10;

    (void)state;
    for (size_t i = 0; i < LENGTH(shard_counts); i++)
        for (size_t k = 0; k < LENGTH(capacities); k++) {
            /* each hop waits for a processor, and others may have it */
            if (mini_clock() - start > 10 * MINI_SECOND) rounds = 1;
            struct mini_options options =
                options_of(shard_counts[i], capacities[k]);

            assert_int_equal(run_with(weather, &rounds, &options), 0);
            assert_as_expected();
        }
}

static void g4_3_storms_end_with_a_shuffled_run_queue(void **state) {
    long rounds = 5;

    (void)state;
    for (uint32_t seed = 1; seed <= 5; seed++) {
        struct mini_options options = options_of(3, 4);

        options.shuffle_seed = seed;
        assert_int_equal(run_with(weather, &rounds, &options), 0);
        assert_as_expected();
    }
}

/* All frames are there when a storm begins, so that it needs no memory. A shard
 * may allocate when it sleeps for the first time, which is no matter of
 * messages: so of so many storms one must do without. */
static MINI_POLL(storm_without_memory) {
    struct kit *self = MINI_SELF(struct kit);
    static struct mini_future *futures[MOST];

    MINI_BEGIN;
    for (self->i = 0; self->i < 2 * MOST + 1; self->i++) {
        mini_test_fail_alloc_after(0);
        MINI_AWAIT(mini_join_all(&self->all, futures, all_storms(futures, 3)));
        EXPECT(MINI_RESULT == 0);
        if (!mini_test_alloc_failed()) break;
    }
    mini_test_fail_alloc_after(-1);
    EXPECT(self->i < 2 * MOST + 1);
    MINI_END(0);
}

static void g4_3_no_allocation_on_the_way(void **state) {
    (void)state;
    mini_test_fail_alloc_after(LONG_MAX); /* skips where that cannot be had */
    for (size_t i = 0; i < LENGTH(shard_counts); i++) {
        struct mini_options options = options_of(shard_counts[i], 2);

        assert_int_equal(run_with(storm_without_memory, NULL, &options), 0);
        assert_as_expected();
    }
}

/* ---- G4.4: cancel ------------------------------------------------------------ */

/* Waits for what never comes; when it is cancelled, it cleans up for a while. */
struct patient {
    struct mini_future future;
    struct mini_event never;
    struct mini_wait wait;
    struct mini_yield yield;
    struct mini_sleep sleep;
    int yields;
    bool sleeps;
    bool waits, cancelled, cleaned; /* how far it is */
    unsigned shard;
};

static atomic_int patients_cleaned;

static MINI_POLL(patient) {
    struct patient *self = MINI_SELF(struct patient);

    MINI_BEGIN;
    self->shard = mini_this_shard();
    mini_event_init(&self->never);
    self->waits = !cx.cancel;
    MINI_AWAIT(mini_event_wait(&self->wait, &self->never));
    EXPECT(MINI_RESULT == -ECANCELED);
    self->cancelled = true;
    for (self->yields = 0; self->yields < 5; self->yields++)
        MINI_AWAIT_SHIELDED(mini_yield(&self->yield));
    if (self->sleeps) MINI_AWAIT_SHIELDED(mini_sleep(&self->sleep, MINI_MS));
    EXPECT(mini_this_shard() == self->shard);
    self->cleaned = true;
    patients_cleaned++;
    MINI_END(-ECANCELED);
}

static long is_waiting(void *argument) {
    return ((struct patient *)argument)->waits;
}

static struct patient there; /* on shard 1, in most tests */

/* A task that runs THERE on shard 1. */
static MINI_POLL(call_patient) {
    struct kit *self = MINI_SELF(struct kit);

    MINI_BEGIN;
    MINI_AWAIT(mini_spawn_on(&self->remote, 1, &there.future));
    EXPECT(there.cleaned); /* it returns when the other side has let go */
    MINI_END(MINI_RESULT);
}

static MINI_POLL(cancel_a_patient) {
    struct kit *self = MINI_SELF(struct kit);

    MINI_BEGIN;
    there = MINI_FRAME(struct patient, patient, .sleeps = true);
    self->task = MINI_SPAWN(struct kit, call_patient);
    do MINI_AWAIT(mini_submit_to(&self->call, 1, is_waiting, &there));
    while (MINI_RESULT == 0);
    EXPECT(!there.cancelled);
    mini_cancel(self->task);
    mini_cancel(self->task);
    MINI_AWAIT(mini_join(&self->join, self->task));
    EXPECT(MINI_RESULT == -ECANCELED);
    EXPECT(there.cancelled && there.cleaned && there.shard == 1);
    MINI_END(0);
}

static void g4_4_cancel_reaches_the_remote_task(void **state) {
    (void)state;
    for (int i = 0; i < 20; i++) {
        assert_int_equal(run(cancel_a_patient, 2), 0);
        assert_as_expected();
    }
}

/* Cancelled before it was sent, nothing is sent. */
static MINI_POLL(call_counter) {
    struct kit *self = MINI_SELF(struct kit);

    MINI_BEGIN;
    MINI_AWAIT(mini_submit_to(&self->call, 1, which_shard, NULL));
    MINI_END(MINI_RESULT);
}

static MINI_POLL(call_barrier_member) {
    struct kit *self = MINI_SELF(struct kit);

    MINI_BEGIN;
    MINI_AWAIT(mini_barrier_await(&self->barrier, self->argument));
    MINI_END(MINI_RESULT);
}

static MINI_POLL(call_everybody) {
    struct kit *self = MINI_SELF(struct kit);

    MINI_BEGIN;
    MINI_AWAIT(mini_submit_all(&self->broadcast, which_shard, NULL));
    MINI_END(MINI_RESULT);
}

static MINI_POLL(cancel_before_sending) {
    static poll_function *const callers[] = {
        call_patient, call_counter, call_barrier_member, call_everybody};
    struct kit *self = MINI_SELF(struct kit);
    static struct mini_barrier barrier;

    MINI_BEGIN;
    there = MINI_FRAME(struct patient, patient, .cleaned = true);
    mini_barrier_init(&barrier, 2);
    MINI_AWAIT(mini_submit_to(&self->call, 1, messages_so_far, NULL));
    self->n = MINI_RESULT;
    for (self->i = 0; self->i < (long)LENGTH(callers); self->i++) {
        self->task =
            MINI_SPAWN(struct kit, callers[self->i], .argument = &barrier);
        mini_cancel(self->task);
        MINI_AWAIT(mini_join(&self->join, self->task));
        EXPECT(MINI_RESULT == -ECANCELED);
    }
    MINI_AWAIT(mini_submit_to(&self->call, 1, messages_so_far, NULL));
    EXPECT(MINI_RESULT == self->n + 1); /* this call, and no other */
    EXPECT(!there.waits && !there.cancelled && calls == 0);
    MINI_END(0);
}

static void g4_4_cancelled_before_it_is_sent(void **state) {
    (void)state;
    calls = 0;
    assert_int_equal(run(cancel_before_sending, 2), 0);
    assert_as_expected();
}

/* Cancelled in the turn in which it is sent, several times: the cancel goes
 * after it, once, and finds a task that has not begun; unless the other shard
 * is awake and looks between the two. A function's call has nothing that could
 * be cancelled. */
static MINI_POLL(cancel_at_once) {
    struct kit *self = MINI_SELF(struct kit);

    if (future->resume == 0) {
        future->resume = 1;
        self->pending = self->argument
            ? mini_submit_to(&self->call, 1, say_it_back, self->argument)
            : mini_spawn_on(&self->remote, 1, &there.future);
        EXPECT(!mini_drive(self->pending, cx));
        for (int i = 0; i < 3; i++) EXPECT(!drive_cancelled(self->pending, cx));
    }
    if (!drive_cancelled(self->pending, cx)) return MINI_PENDING;
    return mini_ready(future, self->pending->result);
}

static MINI_POLL(cancel_in_flight) {
    struct kit *self = MINI_SELF(struct kit);
    static struct kit hand;

    MINI_BEGIN;
    MINI_AWAIT(mini_submit_to(&self->call, 1, messages_so_far, NULL));
    self->n = MINI_RESULT;
    there = MINI_FRAME(struct patient, patient);
    MINI_AWAIT(MINI_CALL(struct kit, &hand, cancel_at_once));
    EXPECT(MINI_RESULT == -ECANCELED);
    EXPECT(there.cleaned);
    MINI_AWAIT(mini_submit_to(&self->call, 1, messages_so_far, NULL));
    EXPECT(MINI_RESULT == self->n + 3); /* a start, a cancel, and this call */
    MINI_AWAIT(MINI_CALL(struct kit, &hand, cancel_at_once,
        .argument = (void *)(intptr_t)&results[LENGTH(results) - 1]));
    EXPECT(MINI_RESULT == LONG_MIN);
    MINI_AWAIT(mini_submit_to(&self->call, 1, messages_so_far, NULL));
    EXPECT(MINI_RESULT == self->n + 5); /* a call, and this one */
    MINI_END(0);
}

static void g4_4_a_cancel_overtakes_nothing(void **state) {
    (void)state;
    for (size_t i = 0; i < LENGTH(capacities); i++) {
        struct mini_options options = options_of(2, capacities[i]);
        bool had_begun = true;

        for (int tries = 0; tries < 50 && had_begun; tries++) {
            assert_int_equal(run_with(cancel_in_flight, NULL, &options), 0);
            assert_as_expected();
            had_begun = there.waits;
        }
        assert_false(had_begun);
    }
}

/* A cancel that races with the end: what the caller gets is what the remote
 * task has said; and a function has been called if and only if it has a
 * result. */
static struct job raced;

static MINI_POLL(call_raced) {
    struct kit *self = MINI_SELF(struct kit);

    MINI_BEGIN;
    raced = MINI_FRAME(struct job, job, .answer = 7, .yields = self->n);
    MINI_AWAIT(mini_spawn_on(&self->remote, 1, &raced.future));
    EXPECT(MINI_RESULT == 7 || MINI_RESULT == -ECANCELED);
    EXPECT(raced.polls == 0 || MINI_RESULT == raced.future.result);
    EXPECT(raced.doubled == (MINI_RESULT == 7 ? 6 : 0));
    MINI_END(MINI_RESULT);
}

static MINI_POLL(race_with_the_end) {
    struct kit *self = MINI_SELF(struct kit);
    static poll_function *const callers[] = {call_raced, call_counter};

    MINI_BEGIN;
    for (self->n = 0; self->n < 2000 / SLOW; self->n++) {
        calls = 0;
        self->task =
            MINI_SPAWN(struct kit, callers[self->n % 2], .n = self->n / 2 % 9);
        for (self->i = self->n / 18 % 9; self->i > 0; self->i--)
            MINI_AWAIT(mini_yield(&self->yield));
        mini_cancel(self->task);
        MINI_AWAIT(mini_join(&self->join, self->task));
        if (self->n % 2) {
            EXPECT(MINI_RESULT == 1 || MINI_RESULT == -ECANCELED);
            EXPECT(calls == (MINI_RESULT == 1));
        }
    }
    MINI_END(0);
}

static void g4_4_a_cancel_races_with_the_end(void **state) {
    (void)state;
    assert_int_equal(run(race_with_the_end, 2), 0);
    assert_as_expected();
}

static MINI_POLL(time_out_remote_calls) {
    struct kit *self = MINI_SELF(struct kit);
    bool is_virtual = self->argument;
    uint64_t limit = is_virtual ? 3600 * MINI_SECOND : 2 * MINI_MS;

    MINI_BEGIN;
    there = MINI_FRAME(struct patient, patient, .sleeps = true);
    MINI_AWAIT(mini_timeout(
        &self->timeout, mini_spawn_on(&self->remote, 1, &there.future), limit));
    EXPECT(MINI_RESULT == -ETIMEDOUT);
    EXPECT(there.cleaned);
    EXPECT(!is_virtual || mini_now() >= 3600 * MINI_SECOND);
    /* virtual time may jump while the other shard works: either is right */
    raced = MINI_FRAME(struct job, job, .answer = 7, .yields = 3);
    MINI_AWAIT(mini_timeout(&self->timeout,
        mini_spawn_on(&self->remote, 1, &raced.future), 3600 * MINI_SECOND));
    EXPECT(MINI_RESULT == 7 || (is_virtual && MINI_RESULT == -ETIMEDOUT));
    EXPECT(raced.doubled == (MINI_RESULT == 7 ? 6 : 0));
    calls = 0;
    MINI_AWAIT(mini_timeout(&self->timeout,
        mini_submit_to(&self->call, 1, which_shard, NULL), 3600 * MINI_SECOND));
    EXPECT(MINI_RESULT == 1 || (is_virtual && MINI_RESULT == -ETIMEDOUT));
    EXPECT(calls == (MINI_RESULT == 1));
    MINI_END(0);
}

static void g4_4_timeouts_over_remote_calls(void **state) {
    (void)state;
    for (int i = 0; i < 20; i++) {
        struct mini_options options = options_of(2, 0);

        options.virtual_clock = i % 2;
        assert_int_equal(
            run_with(time_out_remote_calls, i % 2 ? &options : NULL, &options),
            0);
        assert_as_expected();
    }
}

/* A shielded call goes on while its caller is cancelled, on any shard. */
static struct job cleaning;
static bool tidied;

static MINI_POLL(tidy) {
    struct kit *self = MINI_SELF(struct kit);

    MINI_BEGIN;
    there.waits = true;
    mini_event_init(&self->event);
    MINI_AWAIT(mini_event_wait(&self->wait, &self->event));
    EXPECT(MINI_RESULT == -ECANCELED && cx.cancel);
    cleaning = MINI_FRAME(struct job, job, .answer = 7, .yields = 5);
    MINI_AWAIT_SHIELDED(mini_spawn_on(&self->remote, 2, &cleaning.future));
    EXPECT(MINI_RESULT == 7 && cx.cancel && mini_this_shard() == 1);
    MINI_AWAIT_SHIELDED(mini_submit_to(&self->call, 0, which_shard, NULL));
    EXPECT(MINI_RESULT == 0);
    tidied = true;
    MINI_END(5);
}

static MINI_POLL(call_tidy) {
    struct kit *self = MINI_SELF(struct kit);
    static struct kit frame;

    MINI_BEGIN;
    MINI_AWAIT(
        mini_spawn_on(&self->remote, 1, MINI_CALL(struct kit, &frame, tidy)));
    EXPECT(tidied);
    MINI_END(MINI_RESULT);
}

static MINI_POLL(cancel_tidy) {
    struct kit *self = MINI_SELF(struct kit);

    MINI_BEGIN;
    there.waits = tidied = false;
    self->task = MINI_SPAWN(struct kit, call_tidy);
    do MINI_AWAIT(mini_submit_to(&self->call, 1, is_waiting, &there));
    while (MINI_RESULT == 0);
    mini_cancel(self->task);
    MINI_AWAIT(mini_join(&self->join, self->task));
    EXPECT(MINI_RESULT == 5);
    MINI_END(0);
}

static void g4_4_shielded_calls_clean_up_elsewhere(void **state) {
    (void)state;
    for (int i = 0; i < 20; i++) {
        assert_int_equal(run(cancel_tidy, 3), 0);
        assert_as_expected();
    }
}

/* ---- G4.5 --------------------------------------------------------------------- */

/* A plain counter on each shard, used by calls alone, from all sides: with
 * ThreadSanitizer this proves that a call's function is ordered with what its
 * caller did before and does after. */
static struct {
    long value;
    char rest[MINI_CACHE_LINE];
} tallies[MOST];

static long add_to_tally(void *argument) {
    return tallies[mini_this_shard()].value += *(long *)argument;
}

static MINI_POLL(tally) {
    struct kit *self = MINI_SELF(struct kit);

    MINI_BEGIN;
    for (self->i = 0; self->i < 300; self->i++) {
        self->n = self->i; /* not atomic either */
        MINI_AWAIT(mini_submit_to(
            &self->call, self->i % mini_shard_count(), add_to_tally, &self->n));
        EXPECT(MINI_RESULT >= self->i);
        self->n = -1;
    }
    MINI_END(0);
}

static MINI_POLL(tally_on_all) {
    struct kit *self = MINI_SELF(struct kit);
    static struct mini_future *futures[MOST];
    static struct mini_remote starts[MOST];
    static struct kit kits[MOST];
    long sum = 0;

    MINI_BEGIN;
    memset(tallies, 0, sizeof tallies);
    for (unsigned i = 0; i < mini_shard_count(); i++) {
        kits[i] = MINI_FRAME(struct kit, tally);
        futures[i] = mini_spawn_on(&starts[i], i, &kits[i].future);
    }
    MINI_AWAIT(mini_join_all(&self->all, futures, mini_shard_count()));
    for (unsigned i = 0; i < mini_shard_count(); i++) sum += tallies[i].value;
    EXPECT(sum == (long)mini_shard_count() * 299 * 300 / 2);
    MINI_END(0);
}

static void g4_5_calls_order_what_shards_do(void **state) {
    (void)state;
    for (size_t i = 0; i < LENGTH(shard_counts); i++) {
        assert_int_equal(run(tally_on_all, shard_counts[i]), 0);
        assert_as_expected();
    }
}

/* ---- G4.6: the end ------------------------------------------------------------ */

/* Leaves two tasks on this shard that never end by themselves. */
static long leave_patients(void *argument) {
    (void)argument;
    return mini_detach(MINI_SPAWN(struct patient, patient, .sleeps = true)) +
        mini_detach(MINI_SPAWN(struct patient, patient));
}

static MINI_POLL(end_with_tasks_alive) {
    struct kit *self = MINI_SELF(struct kit);

    MINI_BEGIN;
    MINI_AWAIT(mini_submit_all(&self->broadcast, leave_patients, NULL));
    EXPECT(MINI_RESULT == 0);
    MINI_END(7);
}

static void g4_6_main_ends_while_tasks_live_everywhere(void **state) {
    (void)state;
    for (int round = 0; round < 5; round++)
        for (unsigned shards = 1; shards <= MOST; shards++) {
            patients_cleaned = 0;
            assert_int_equal(run(end_with_tasks_alive, shards), 7);
            assert_int_equal(patients_cleaned, 2 * shards);
            assert_as_expected();
        }
}

/* A main that a stop from shard ARGUMENT ends; elsewhere live tasks. */
static MINI_POLL(wait_for_stop) {
    struct kit *self = MINI_SELF(struct kit);

    MINI_BEGIN;
    MINI_AWAIT(mini_submit_all(&self->broadcast, leave_patients, NULL));
    EXPECT(MINI_RESULT == 0);
    MINI_AWAIT_SHIELDED(mini_submit_to(
        &self->call, *(unsigned *)self->argument, stop_all, NULL));
    EXPECT(MINI_RESULT == 0); /* a stop answers what was accepted */
    mini_event_init(&self->event);
    MINI_AWAIT(mini_event_wait(&self->wait, &self->event));
    EXPECT(MINI_RESULT == -ECANCELED && cx.cancel);
    MINI_END(5);
}

static void g4_6_any_shard_may_stop_the_run(void **state) {
    (void)state;
    for (size_t i = 0; i < LENGTH(shard_counts); i++)
        for (unsigned from = 0; from < shard_counts[i]; from++) {
            struct mini_options options = options_of(shard_counts[i], 2);

            patients_cleaned = 0;
            assert_int_equal(run_with(wait_for_stop, &from, &options), 5);
            assert_int_equal(patients_cleaned, 2 * shard_counts[i]);
            assert_as_expected();
        }
}

/* Before anything else, and from all shards at once. */
static MINI_POLL(stop_first_of_all) {
    struct kit *self = MINI_SELF(struct kit);

    MINI_BEGIN;
    mini_stop();
    mini_stop();
    mini_event_init(&self->event);
    MINI_AWAIT(mini_event_wait(&self->wait, &self->event));
    EXPECT(MINI_RESULT == -ECANCELED);
    MINI_END(4);
}

static MINI_POLL(all_stop) {
    struct kit *self = MINI_SELF(struct kit);

    MINI_BEGIN;
    MINI_AWAIT(mini_submit_all(&self->broadcast, stop_all, NULL));
    mini_event_init(&self->event);
    MINI_AWAIT(mini_event_wait(&self->wait, &self->event));
    EXPECT(MINI_RESULT == -ECANCELED);
    MINI_END(6);
}

static void g4_6_stop_before_anything_and_from_all_at_once(void **state) {
    (void)state;
    for (int round = 0; round < 10; round++)
        for (unsigned shards = 1; shards <= MOST; shards += 2) {
            assert_int_equal(run(stop_first_of_all, shards), 4);
            assert_int_equal(run(all_stop, shards), 6);
            assert_as_expected();
        }
}

/* In the middle of storms: what was accepted is answered, and nothing else has
 * been done. */
static MINI_POLL(stop_after_a_while) {
    struct kit *self = MINI_SELF(struct kit);

    MINI_BEGIN;
    for (self->i = 0; self->i < self->n; self->i++) {
        MINI_AWAIT(mini_yield(&self->yield));
        if (MINI_RESULT < 0) MINI_RETURN(0);
    }
    mini_stop();
    MINI_END(0);
}

static long stop_later(void *argument) {
    return mini_detach(
        MINI_SPAWN(struct kit, stop_after_a_while, .n = *(long *)argument));
}

static MINI_POLL(stopped_weather) {
    struct kit *self = MINI_SELF(struct kit);
    static struct mini_future *futures[MOST];
    long round = *(long *)self->argument;

    MINI_BEGIN;
    self->n = round * 7; /* yields until the stop */
    MINI_AWAIT(mini_submit_to(
        &self->call, round % mini_shard_count(), stop_later, &self->n));
    if (round % 3 == 0) /* or from all shards, or from one more */
        MINI_AWAIT(mini_submit_all(&self->broadcast, stop_later, &self->n));
    MINI_AWAIT(
        mini_join_all(&self->all, futures, all_storms(futures, 1000000)));
    EXPECT(MINI_RESULT == -ECANCELED || MINI_RESULT == -ESHUTDOWN);
    for (unsigned i = 0; i < mini_shard_count(); i++)
        for (unsigned k = 0; k < mini_shard_count(); k++)
            EXPECT(storms[i].counters[k] == storms[i].answered[k]);
    MINI_END(8);
}

static void g4_6_a_stop_in_the_middle_of_storms(void **state) {
    (void)state;
    for (long round = 0; round < 30; round++) {
        struct mini_options options =
            options_of(shard_counts[round % 4], capacities[round % 3]);

        assert_int_equal(run_with(stopped_weather, &round, &options), 8);
        assert_as_expected();
    }
}

/* In the clean-up of a run that has been stopped, nothing new begins. */
static atomic_int refused;

static MINI_POLL(try_after_the_stop) {
    struct kit *self = MINI_SELF(struct kit);

    MINI_BEGIN;
    mini_event_init(&self->event);
    MINI_AWAIT(mini_event_wait(&self->wait, &self->event));
    EXPECT(MINI_RESULT == -ECANCELED);
    for (self->shard = 0; self->shard < 2; self->shard++) {
        MINI_AWAIT_SHIELDED(
            mini_submit_to(&self->call, self->shard, which_shard, NULL));
        EXPECT(MINI_RESULT == -ESHUTDOWN);
        MINI_AWAIT_SHIELDED(mini_spawn_on(
            &self->remote, self->shard, mini_yield(&self->yield)));
        EXPECT(MINI_RESULT == -ESHUTDOWN);
    }
    MINI_AWAIT_SHIELDED(mini_submit_to(&self->call, 2, which_shard, NULL));
    EXPECT(MINI_RESULT == -EINVAL);
    MINI_AWAIT_SHIELDED(mini_submit_all(&self->broadcast, which_shard, NULL));
    EXPECT(MINI_RESULT == -ESHUTDOWN);
    EXPECT(calls == 0);
    MINI_AWAIT_SHIELDED(
        mini_join(&self->join, MINI_SPAWN(struct kit, call_counter)));
    EXPECT(MINI_RESULT == -ESHUTDOWN);
    EXPECT(mini_detach(MINI_SPAWN(struct kit, call_counter)) == -ESHUTDOWN);
    mini_stop(); /* once more does no harm */
    refused++;
    MINI_END(0);
}

static long leave_tries(void *argument) {
    (void)argument;
    return mini_detach(MINI_SPAWN(struct kit, try_after_the_stop));
}

static MINI_POLL(end_with_tries) {
    struct kit *self = MINI_SELF(struct kit);

    MINI_BEGIN;
    MINI_AWAIT(mini_submit_all(&self->broadcast, leave_tries, NULL));
    MINI_END(0);
}

static void g4_6_after_the_stop_nothing_begins(void **state) {
    (void)state;
    for (int round = 0; round < 20; round++) {
        calls = 0;
        refused = 0;
        assert_int_equal(run(end_with_tries, 2), 0);
        assert_int_equal(refused, 2);
        assert_as_expected();
    }
}

/* A shard that stops refuses what still comes to it, from one that does not:
 * main has not ended, and shields its calls. A cancel that comes after such a
 * call finds nothing, and comes back. */
static MINI_POLL(call_one_that_stops) {
    struct kit *self = MINI_SELF(struct kit);
    static struct job late;
    static struct kit hand;

    MINI_BEGIN;
    mini_stop();
    do {
        late = MINI_FRAME(struct job, job, .answer = 7, .yields = 1);
        MINI_AWAIT_SHIELDED(mini_spawn_on(&self->remote, 1, &late.future));
    } while (MINI_RESULT == 7);
    /* the last one to begin may have been cancelled by the stop */
    if (MINI_RESULT == -ECANCELED) {
        late = MINI_FRAME(struct job, job, .answer = 7);
        MINI_AWAIT_SHIELDED(mini_spawn_on(&self->remote, 1, &late.future));
    }
    EXPECT(MINI_RESULT == -ESHUTDOWN && late.polls == 0);
    calls = 0;
    MINI_AWAIT_SHIELDED(mini_submit_to(&self->call, 1, which_shard, NULL));
    EXPECT(MINI_RESULT == -ESHUTDOWN && calls == 0);
    there = MINI_FRAME(struct patient, patient);
    MINI_AWAIT_SHIELDED(MINI_CALL(struct kit, &hand, cancel_at_once));
    EXPECT(MINI_RESULT == -ESHUTDOWN && there.future.resume == 0);
    MINI_END(2);
}

static void g4_6_a_shard_that_stops_refuses_what_comes(void **state) {
    (void)state;
    for (int round = 0; round < 20; round++) {
        assert_int_equal(run(call_one_that_stops, 2), 2);
        assert_as_expected();
    }
}

/* A shard that has ended its tasks turns on while others have not: that is no
 * task which ignores cancel, however long it takes. Each message makes it turn;
 * more of them than its patience has turns. */
#define TURNS_WITHOUT_A_TASK 1200

static MINI_POLL(outlive_the_stop) {
    struct kit *self = MINI_SELF(struct kit);

    MINI_BEGIN;
    mini_stop();
    notes_there = notes_back = 0;
    for (self->i = 1; self->i <= TURNS_WITHOUT_A_TASK; self->i++) {
        notes[0].number = notes_sent = self->i;
        mini_event_init(&self->event);
        all_back = &self->event;
        mini_message_send(&notes[0].message, 1, note_arrives);
        MINI_AWAIT_SHIELDED(mini_event_wait(&self->wait, &self->event));
    }
    MINI_END(notes_back);
}

static void g1_10_who_has_no_task_complains_of_none(void **state) {
    char text[1000];
    long result;

    (void)state;
    mini_test_capture_begin();
    result = run(outlive_the_stop, 2);
    mini_test_capture_end(text, sizeof text);
    assert_int_equal(result, TURNS_WITHOUT_A_TASK);
    assert_string_equal(text, "");
    assert_as_expected();
}

/* ---- what a run leaves behind ---- */

static int open_descriptors(void) {
    int count = 0;

    for (int fd = 0; fd < 1024; fd++) count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

/* -1 where there is no /proc. */
static int threads_of_process(void) {
    DIR *tasks = opendir("/proc/self/task");
    int count = 0;

    if (tasks == NULL) return -1;
    while (readdir(tasks) != NULL) count++;
    closedir(tasks);
    return count;
}

static struct {
    int descriptors, threads;
    long blocks;
} before;

static void remember_what_there_is(void) {
    run(count_all, 2); /* libc or a sanitizer may keep something at first */
    before.descriptors = open_descriptors();
    before.threads = threads_of_process();
    before.blocks = mini_test_live_allocs();
}

/* A thread that was joined may be seen for a moment more. */
static void assert_nothing_left(void) {
    for (int i = 0; i < 5000 && threads_of_process() > before.threads; i++)
        mini_poll_fds(NULL, 0, MINI_MS);
    assert_true(threads_of_process() <= before.threads);
    assert_int_equal(open_descriptors(), before.descriptors);
    assert_int_equal(mini_test_live_allocs(), before.blocks);
}

/* Destructors of thread-specific data run when a thread ends: who has joined it
 * knows that they have. */
static pthread_key_t on_exit_of_thread;
static atomic_int threads_ended;

static void thread_ends(void *argument) {
    (void)argument;
    threads_ended++;
}

static long watch_this_thread(void *argument) {
    (void)argument;
    if (mini_this_shard() > 0) /* shard 0's is our own, and stays */
        pthread_setspecific(on_exit_of_thread, &threads_ended);
    return 0;
}

static MINI_POLL(watch_threads) {
    struct kit *self = MINI_SELF(struct kit);

    MINI_BEGIN;
    MINI_AWAIT(mini_submit_all(&self->broadcast, watch_this_thread, NULL));
    MINI_END(MINI_RESULT);
}

static void g4_6_two_hundred_runs_leave_nothing_behind(void **state) {
    (void)state;
    assert_int_equal(pthread_key_create(&on_exit_of_thread, thread_ends), 0);
    remember_what_there_is();
    for (int round = 0; round < 200; round++) {
        threads_ended = 0;
        assert_int_equal(run(watch_threads, 3), 0);
        assert_int_equal(threads_ended, 2);
    }
    assert_nothing_left();
    pthread_key_delete(on_exit_of_thread);
}

/* Two runs on two threads have nothing to do with each other. */
struct other_run {
    struct kit main;
    struct mini_options options;
    long result;
};

static void *other_run(void *argument) {
    struct other_run *self = argument;

    self->result = mini_run(&self->main.future, &self->options);
    return NULL;
}

static MINI_POLL(call_all_often) {
    struct kit *self = MINI_SELF(struct kit);

    MINI_BEGIN;
    EXPECT(mini_shard_count() == self->shard);
    for (self->n = 0; self->n < 100; self->n++) {
        MINI_AWAIT(mini_submit_to(
            &self->call, self->n % self->shard, which_shard, NULL));
        EXPECT(MINI_RESULT == self->n % (long)self->shard);
        EXPECT(mini_this_shard() == 0);
    }
    MINI_END(self->shard);
}

static void g4_6_two_runs_at_the_same_time(void **state) {
    struct other_run runs[2];
    pthread_t threads[2];

    (void)state;
    for (int round = 0; round < 10; round++) {
        for (unsigned i = 0; i < 2; i++) {
            runs[i].main =
                MINI_FRAME(struct kit, call_all_often, .shard = 2 + i);
            runs[i].options = options_of(2 + i, 0);
            assert_int_equal(
                pthread_create(&threads[i], NULL, other_run, &runs[i]), 0);
        }
        for (unsigned i = 0; i < 2; i++) {
            pthread_join(threads[i], NULL);
            assert_int_equal(runs[i].result, 2 + i);
        }
        assert_as_expected();
    }
}

static long run_inside(void *argument) {
    static const struct mini_options *const none = NULL;
    struct mini_future never = MINI_FUTURE(stop_first_of_all, "never");

    (void)argument;
    return mini_run(&never, none);
}

static MINI_POLL(runs_inside) {
    struct kit *self = MINI_SELF(struct kit);

    MINI_BEGIN;
    for (self->shard = 0; self->shard < 2; self->shard++) {
        MINI_AWAIT(mini_submit_to(&self->call, self->shard, run_inside, NULL));
        EXPECT(MINI_RESULT == -EINVAL);
        EXPECT(mini_this_shard() == 0);
    }
    MINI_END(0);
}

static void g4_6_no_run_inside_of_a_run(void **state) {
    (void)state;
    assert_int_equal(run(runs_inside, 2), 0);
    assert_as_expected();
}

/* ---- G4.7: sleep ------------------------------------------------------------ */

/* While one shard works and then sleeps, the others do nothing at all. */
static MINI_POLL(leave_others_idle) {
    struct kit *self = MINI_SELF(struct kit);

    MINI_BEGIN;
    for (self->shard = 1; self->shard < mini_shard_count(); self->shard++) {
        MINI_AWAIT(
            mini_submit_to(&self->call, self->shard, turns_so_far, NULL));
        self->n = MINI_RESULT;
        for (self->i = 0; self->i < 20000; self->i++)
            MINI_AWAIT(mini_yield(&self->yield));
        MINI_AWAIT(mini_sleep(&self->sleep, 20 * MINI_MS));
        MINI_AWAIT(
            mini_submit_to(&self->call, self->shard, turns_so_far, NULL));
        EXPECT(MINI_RESULT > self->n && MINI_RESULT <= self->n + 60);
        MINI_AWAIT(
            mini_submit_to(&self->call, self->shard, waits_so_far, NULL));
        EXPECT(MINI_RESULT >= 1 && MINI_RESULT <= 60);
    }
    EXPECT(mini_stats()->waits <= 60 * mini_shard_count());
    MINI_END(0);
}

static void g4_7_idle_shards_sleep(void **state) {
    (void)state;
    assert_int_equal(run(leave_others_idle, 3), 0);
    assert_as_expected();
}

/* A shard in front of its sleep is rung once, by whatever number of messages
 * that come in one turn. */
static long stop_before_sleep(void *argument) {
    (void)argument;
    before_sleep = stop_there;
    return 0;
}

static bool sleeps(unsigned shard) {
    struct mini_shard *there = &mini_self->shard->smp->shards[shard];

    return atomic_load(&there->parker->sleeping);
}

/* Until it stands there. This very call's ring, if its sender is late, finds the
 * shard about to sleep and takes that back: then once more. */
#define STOP_BEFORE_SLEEP(self, shard) \
    for (;;) { \
        MINI_AWAIT( \
            mini_submit_to(&(self)->call, shard, stop_before_sleep, NULL)); \
        gate_pass(&is_parked); \
        if (sleeps(shard)) break; \
        gate_open(&may_go_on); \
    }

static struct job flock[100];
static struct mini_remote flock_calls[LENGTH(flock)];

static size_t call_flock(struct mini_future **futures, struct mini_context cx) {
    for (size_t i = 0; i < LENGTH(flock); i++) {
        flock[i] = MINI_FRAME(struct job, job, .answer = 1);
        futures[i] = mini_spawn_on(&flock_calls[i], 1, &flock[i].future);
        mini_drive(futures[i], cx);
    }
    return LENGTH(flock);
}

static MINI_POLL(ring_once) {
    static struct mini_future *futures[LENGTH(flock)];
    struct kit *self = MINI_SELF(struct kit);

    MINI_BEGIN;
    for (self->i = 0; self->i < 20; self->i++) {
        STOP_BEFORE_SLEEP(self, 1);
        self->n = (long)mini_stats()->rings;
        call_flock(futures, cx);
        do /* until the turn that sends them is over */
            MINI_AWAIT(mini_yield(&self->yield));
        while (mini_stats()->rings == (uint64_t)self->n);
        for (self->shard = 0; self->shard < 300; self->shard++)
            MINI_AWAIT(mini_yield(&self->yield));
        EXPECT(mini_stats()->rings == (uint64_t)self->n + 1);
        gate_open(&may_go_on);
        MINI_AWAIT(mini_join_all(&self->all, futures, LENGTH(flock)));
        EXPECT(MINI_RESULT == 0);
    }
    MINI_END(0);
}

static void g4_7_a_sleeping_shard_is_rung_once(void **state) {
    (void)state;
    for (size_t i = 0; i < LENGTH(capacities); i++) {
        struct mini_options options = options_of(2, capacities[i]);

        assert_int_equal(run_with(ring_once, NULL, &options), 0);
        assert_as_expected();
    }
}

/* Who is woken by a message is told the time of that turn, and not what the
 * shard read before it went to sleep. */
static long tell_the_time(void *argument) {
    *(uint64_t *)argument = mini_now();
    return 0;
}

static MINI_POLL(ask_the_time) {
    static uint64_t asked, told;
    struct kit *self = MINI_SELF(struct kit);

    MINI_BEGIN;
    self->pending = mini_spawn_on(
        &self->remote, 1, mini_sleep(&self->sleep, 3600 * MINI_SECOND));
    mini_drive(self->pending, cx); /* so that it reads the clock each turn */
    STOP_BEFORE_SLEEP(self, 1);
    self->n = (long)mini_stats()->rings;
    asked = mini_clock();
    while (mini_clock() == asked) sched_yield();
    asked = mini_clock();
    mini_submit_to(&self->call, 1, tell_the_time, &told);
    mini_drive(&self->call.future, cx);
    do /* until the turn that sends it is over */
        MINI_AWAIT(mini_yield(&self->yield));
    while (mini_stats()->rings == (uint64_t)self->n);
    gate_open(&may_go_on);
    MINI_AWAIT(&self->call.future);
    EXPECT(told >= asked);
    while (!drive_cancelled(self->pending, cx))
        MINI_AWAIT(mini_yield(&self->yield));
    MINI_END(0);
}

static void g2_1_who_is_woken_is_told_the_time_of_its_turn(void **state) {
    (void)state;
    assert_int_equal(run(ask_the_time, 2), 0);
    assert_as_expected();
}

/* The same, as if it was awake until then: who sends something does not ring. */
static void stop_there_awake(void) {
    atomic_store(&mini_self->parker.sleeping, false);
    stop_there();
    atomic_store(&mini_self->parker.sleeping, true);
}

static long stop_awake(void *argument) {
    (void)argument;
    before_sleep = stop_there_awake;
    return 0;
}

/* A shard that is awake is not rung: nor one that was about to sleep, and has
 * found something in its second look. */
static long keep_busy(void *argument) {
    (void)argument;
    gate_open(&is_busy);
    gate_pass(&is_sent);
    return 0;
}

static MINI_POLL(ring_nobody) {
    static struct mini_future *futures[LENGTH(flock)];
    struct kit *self = MINI_SELF(struct kit);

    MINI_BEGIN;
    MINI_AWAIT(mini_submit_to(&self->call, 1, stop_awake, NULL));
    gate_pass(&is_parked);
    self->pending = mini_submit_to(&self->call, 1, keep_busy, NULL);
    mini_drive(self->pending, cx);
    for (self->i = 0; self->i < 300; self->i++)
        MINI_AWAIT(mini_yield(&self->yield));
    gate_open(&may_go_on);
    gate_pass(&is_busy);
    self->n = (long)mini_stats()->rings;
    call_flock(futures, cx);
    for (self->i = 0; self->i < 300; self->i++)
        MINI_AWAIT(mini_yield(&self->yield));
    EXPECT(mini_stats()->rings == (uint64_t)self->n);
    gate_open(&is_sent);
    MINI_AWAIT(mini_join_all(&self->all, futures, LENGTH(flock)));
    EXPECT(MINI_RESULT == 0);
    MINI_AWAIT(self->pending);
    MINI_END(0);
}

static void g4_7_an_awake_shard_is_not_rung(void **state) {
    (void)state;
    assert_int_equal(run(ring_nobody, 2), 0);
    assert_as_expected();
}

/* Nor is one that is sent nothing, while a third is: it goes on sleeping. */
static MINI_POLL(call_past_a_sleeper) {
    struct kit *self = MINI_SELF(struct kit);

    MINI_BEGIN;
    STOP_BEFORE_SLEEP(self, 1);
    for (self->i = 0; self->i < 10; self->i++) {
        MINI_AWAIT(mini_submit_to(&self->call, 2, which_shard, NULL));
        EXPECT(MINI_RESULT == 2 && sleeps(1));
    }
    gate_open(&may_go_on);
    MINI_END(0);
}

static void g4_7_who_is_sent_nothing_is_not_rung(void **state) {
    (void)state;
    assert_int_equal(run(call_past_a_sleeper, 3), 0);
    assert_as_expected();
}

/* A stop wakes a shard that would have slept for an hour. */
static MINI_POLL(sleep_for_an_hour) {
    struct kit *self = MINI_SELF(struct kit);

    MINI_BEGIN;
    MINI_AWAIT(mini_sleep(&self->sleep, 3600 * MINI_SECOND));
    EXPECT(MINI_RESULT == -ECANCELED);
    patients_cleaned++;
    MINI_END(0);
}

static long leave_sleeper(void *argument) {
    (void)argument;
    return mini_detach(MINI_SPAWN(struct kit, sleep_for_an_hour));
}

static MINI_POLL(end_before_the_hour) {
    struct kit *self = MINI_SELF(struct kit);

    MINI_BEGIN;
    MINI_AWAIT(mini_submit_all(&self->broadcast, leave_sleeper, NULL));
    EXPECT(MINI_RESULT == 0);
    MINI_AWAIT(mini_sleep(&self->sleep, MINI_MS));
    MINI_END(1);
}

static void g4_7_the_end_wakes_all_sleepers(void **state) {
    (void)state;
    for (int round = 0; round < 20; round++) {
        patients_cleaned = 0;
        assert_int_equal(run(end_before_the_hour, 4), 1);
        assert_int_equal(patients_cleaned, 4);
        assert_as_expected();
    }
}

/* Nobody rings when a full ring has room again. So the row that could not send
 * all of it says that it is to be asked again, but not at once. */
static MINI_POLL(asks_the_outbox) {
    const struct mini_poller *row = &mini_outbox_poller;
    uint64_t now = mini_now(), tick = UINT64_C(1) << MINI_TICK_BITS;
    size_t unsent = mini_self->shard->unsent;
    bool good = row->next(mini_self, MINI_NEVER) == MINI_NEVER;

    (void)cx;
    mini_self->shard->unsent = 1;
    good = good && row->next(mini_self, MINI_NEVER) == now + tick;
    good = good && row->next(mini_self, now + tick - 1) == now + tick - 1;
    mini_self->shard->unsent = unsent;
    return mini_ready(future, good);
}

static void g4_7_an_unsent_message_is_looked_at_a_tick_later(void **state) {
    struct mini_future main = MINI_FUTURE(asks_the_outbox, "main");

    (void)state;
    assert_int_equal(mini_run(&main, NULL), 1);
}

/* ---- G4.8: numbers of shards -------------------------------------------------- */

static MINI_POLL(call_where_no_shard_is) {
    static const unsigned bad[] = {2, 3, 255, 256, INT_MAX, UINT_MAX};
    struct kit *self = MINI_SELF(struct kit);

    MINI_BEGIN;
    there = MINI_FRAME(struct patient, patient);
    for (self->i = 0; self->i < (long)LENGTH(bad); self->i++) {
        MINI_AWAIT(
            mini_submit_to(&self->call, bad[self->i], which_shard, NULL));
        EXPECT(MINI_RESULT == -EINVAL);
        MINI_AWAIT(mini_spawn_on(&self->remote, bad[self->i], &there.future));
        EXPECT(MINI_RESULT == -EINVAL);
    }
    EXPECT(there.future.resume == 0);
    MINI_AWAIT(mini_submit_to(&self->call, 1, which_shard, NULL));
    EXPECT(MINI_RESULT == 1);
    MINI_END(0);
}

static void g4_8_a_bad_shard_is_refused(void **state) {
    (void)state;
    calls = 0;
    assert_int_equal(run(call_where_no_shard_is, 2), 0);
    assert_int_equal(calls, 1);
    assert_as_expected();
}

static void g4_8_more_shards_than_cpus(void **state) {
    (void)state;
    for (unsigned shards = 1; shards <= 64; shards *= 2) {
        calls = 0;
        assert_int_equal(run(count_all, shards), shards);
        assert_int_equal(calls, shards);
        assert_as_expected();
    }
}

static void g4_8_no_options_is_one_shard_and_0_is_one_a_cpu(void **state) {
    (void)state;
    assert_int_equal(run_with(count_all, NULL, NULL), 1);
    assert_int_equal(run_with(count_all, NULL, &mini_defaults), 1);
    assert_int_equal(run(count_all, 0), mini_cpu_count());
    assert_as_expected();
}

/* The options of the run are those of each shard; a seed changes as it is used.
 */
static long capacity_if_shuffled(void *argument) {
    (void)argument;
    return mini_self->options.shuffle_seed
        ? (long)mini_self->options.ring_capacity
        : -1;
}

static MINI_POLL(add_up_capacities) {
    struct kit *self = MINI_SELF(struct kit);

    MINI_BEGIN;
    MINI_AWAIT(
        mini_map_reduce(&self->broadcast, capacity_if_shuffled, NULL, add, 0));
    MINI_END(MINI_RESULT);
}

static void g4_8_options_hold_on_every_shard(void **state) {
    struct mini_options options = options_of(3, 8);

    (void)state;
    options.shuffle_seed = 7;
    assert_int_equal(run_with(add_up_capacities, NULL, &options), 3 * 8);
}

/* As many as there may be would be allowed, were there memory for them: a later
 * stage has something to allocate before that. */
static void g4_8_more_shards_than_there_may_be(void **state) {
    static const unsigned bad[] = {MINI_SHARDS_MAX + 1, 2 * MINI_SHARDS_MAX - 1,
        2 * MINI_SHARDS_MAX, 2 * MINI_SHARDS_MAX + 1, 3 * MINI_SHARDS_MAX,
        64 * MINI_SHARDS_MAX, UINT_MAX / 2 + 2, UINT_MAX};
    long successes = -1;

    (void)state;
    for (size_t i = 0; i < LENGTH(bad); i++) {
        long result = -ENOMEM;

        for (successes = -1; result == -ENOMEM && successes < 9;) {
            mini_test_fail_alloc_after(++successes);
            result = run(count_all, bad[i]);
        }
        assert_int_equal(result, -EINVAL);
    }
    mini_test_fail_alloc_after(successes);
    assert_int_equal(run(count_all, MINI_SHARDS_MAX), -ENOMEM);
    mini_test_fail_alloc_after(-1);
}

static void g4_8_bad_options_are_refused(void **state) {
    static const unsigned bad[] = {3, 5, 6, 7, 100, 255, UINT_MAX};

    (void)state;
    remember_what_there_is();
    for (size_t i = 0; i < LENGTH(bad); i++) {
        struct mini_options options = options_of(2, bad[i]);

        assert_int_equal(run_with(count_all, NULL, &options), -EINVAL);
    }
    assert_nothing_left();
    for (unsigned capacity = 1; capacity <= 4096; capacity *= 8) {
        struct mini_options options = options_of(3, capacity);

        assert_int_equal(run_with(count_all, NULL, &options), 3);
    }
    assert_as_expected();
}

/* ---- broadcast and map-reduce ---------------------------------------------- */

static long times_shard(void *argument) {
    calls++;
    return *(long *)argument * mini_this_shard();
}

static long by_shard(void *argument) {
    calls++;
    return ((long *)argument)[mini_this_shard()];
}

/* Not commutative: tells the order. On the shard that asked. */
static unsigned reducer;
static long reductions;

static long append(long so_far, long next) {
    reductions++;
    EXPECT(mini_this_shard() == reducer);
    EXPECT(next >= 0); /* an error is none of its business */
    return 10 * so_far + next;
}

static MINI_POLL(fold) {
    static long digits[] = {4, 0, 7, 1};
    static long errors[][4] = {{0, 0, 0, 0}, {5, 6, 7, 8}, {0, -EIO, -EPERM, 0},
        {-EIO, 1, 1, -EPERM}, {1, 1, 1, -EPERM}, {LONG_MIN, 1, -1, 1}};
    static const long first_errors[] = {0, 0, -EIO, -EIO, -EPERM, LONG_MIN};
    static const long before_them[] = {4, 4, 1, 0, 3, 0};
    static long three = 3;
    struct kit *self = MINI_SELF(struct kit);

    MINI_BEGIN;
    reducer = mini_this_shard();
    calls = 0;
    MINI_AWAIT(mini_map_reduce(&self->broadcast, by_shard, digits, append, 9));
    EXPECT(MINI_RESULT == 94071 && calls == 4);
    MINI_AWAIT(
        mini_map_reduce(&self->broadcast, times_shard, &three, append, 0));
    EXPECT(MINI_RESULT == 369 && calls == 8);
    for (self->i = 0; self->i < (long)LENGTH(first_errors); self->i++) {
        MINI_AWAIT(
            mini_submit_all(&self->broadcast, by_shard, errors[self->i]));
        EXPECT(MINI_RESULT == first_errors[self->i]);
        reductions = 0;
        MINI_AWAIT(mini_map_reduce(
            &self->broadcast, by_shard, errors[self->i], append, 0));
        EXPECT(MINI_RESULT ==
            (self->i == 0          ? 0
                    : self->i == 1 ? 5678
                                   : first_errors[self->i]));
        EXPECT(reductions == before_them[self->i]);
    }
    EXPECT(calls == 8 + 8 * (long)LENGTH(first_errors));
    MINI_END(0);
}

static MINI_POLL(fold_here_and_there) {
    struct kit *self = MINI_SELF(struct kit);
    static struct kit frame;

    MINI_BEGIN;
    for (self->shard = 0; self->shard < 4; self->shard++) {
        MINI_AWAIT(mini_spawn_on(
            &self->remote, self->shard, MINI_CALL(struct kit, &frame, fold)));
        EXPECT(MINI_RESULT == 0);
    }
    MINI_END(0);
}

static void g4_1_broadcast_and_reduce_in_the_order_of_shards(void **state) {
    (void)state;
    remember_what_there_is();
    assert_int_equal(run(fold_here_and_there, 4), 0);
    assert_as_expected();
    assert_nothing_left();
}

/* Cancelled after it was sent: each shard was called or was not, and it says
 * -ECANCELED only if one was not. */
static MINI_POLL(cancel_broadcasts) {
    struct kit *self = MINI_SELF(struct kit);

    MINI_BEGIN;
    for (self->n = 0; self->n < 500 / SLOW; self->n++) {
        calls = 0;
        self->task = MINI_SPAWN(struct kit, call_everybody);
        for (self->i = 0; self->i < self->n % 10; self->i++)
            MINI_AWAIT(mini_yield(&self->yield));
        mini_cancel(self->task);
        MINI_AWAIT(mini_join(&self->join, self->task));
        EXPECT(MINI_RESULT == (calls == 4 ? 0 : -ECANCELED));
    }
    MINI_END(0);
}

static void g4_4_a_cancel_races_with_a_broadcast(void **state) {
    (void)state;
    remember_what_there_is();
    assert_int_equal(run(cancel_broadcasts, 4), 0);
    assert_as_expected();
    assert_nothing_left();
}

static MINI_POLL(broadcast_without_memory) {
    struct kit *self = MINI_SELF(struct kit);

    MINI_BEGIN;
    calls = 0;
    mini_test_fail_alloc_after(0);
    MINI_AWAIT(mini_submit_all(&self->broadcast, which_shard, NULL));
    EXPECT(MINI_RESULT == -ENOMEM);
    mini_test_fail_alloc_after(0);
    MINI_AWAIT(mini_map_reduce(&self->broadcast, which_shard, NULL, add, 0));
    EXPECT(MINI_RESULT == -ENOMEM);
    EXPECT(calls == 0);
    mini_test_fail_alloc_after(-1);
    MINI_AWAIT(mini_map_reduce(&self->broadcast, which_shard, NULL, add, 0));
    EXPECT(MINI_RESULT == 3 && calls == 3); /* and all goes on */
    MINI_END(0);
}

static void g1_11_a_broadcast_without_memory(void **state) {
    (void)state;
    mini_test_fail_alloc_after(LONG_MAX); /* skips where that cannot be had */
    remember_what_there_is();
    assert_int_equal(run(broadcast_without_memory, 3), 0);
    assert_as_expected();
    assert_nothing_left();
}

/* ---- the barrier ------------------------------------------------------------- */

static struct mini_barrier barrier;

static long make_barrier(void *argument) {
    mini_barrier_init(&barrier, *(unsigned *)argument);
    return 0;
}

#define ROUNDS 50

/* Counted up before the wait: after it all must have come. */
static atomic_uint came[ROUNDS];

static struct member {
    struct mini_future future;
    struct mini_remote remote;
    struct mini_barrier_wait wait;
    struct mini_yield yield;
    unsigned parties, seed;
    long round, i, last; /* how often it was the last */
} members[2 * MOST];

static MINI_POLL(member) {
    struct member *self = MINI_SELF(struct member);

    MINI_BEGIN;
    for (self->round = 0; self->round < ROUNDS; self->round++) {
        for (self->i = next_random(&self->seed) % 4; self->i > 0; self->i--)
            MINI_AWAIT(mini_yield(&self->yield));
        came[self->round]++;
        MINI_AWAIT(mini_barrier_await(&self->wait, &barrier));
        EXPECT(MINI_RESULT == 0 || MINI_RESULT == 1);
        EXPECT(came[self->round] == self->parties);
        self->last += MINI_RESULT;
    }
    MINI_END(0);
}

static MINI_POLL(meet_at_barrier) {
    static struct mini_future *futures[LENGTH(members)];
    struct kit *self = MINI_SELF(struct kit);
    unsigned shards = mini_shard_count();
    long last = 0;

    MINI_BEGIN;
    self->n = *(unsigned *)self->argument;
    MINI_AWAIT(
        mini_submit_to(&self->call, shards - 1, make_barrier, self->argument));
    for (int i = 0; i < self->n; i++) {
        members[i] = MINI_FRAME(
            struct member, member, .parties = self->n, .seed = i + 1);
        futures[i] =
            mini_spawn_on(&members[i].remote, i % shards, &members[i].future);
    }
    MINI_AWAIT(mini_join_all(&self->all, futures, self->n));
    EXPECT(MINI_RESULT == 0);
    for (int i = 0; i < self->n; i++) last += members[i].last;
    EXPECT(last == ROUNDS); /* one in each round */
    MINI_END(0);
}

static void g4_1_a_barrier_opens_when_all_have_come(void **state) {
    (void)state;
    for (unsigned shards = 1; shards <= MOST; shards *= 2)
        for (unsigned parties = 1; parties <= 2 * shards; parties++) {
            struct mini_options options = options_of(shards, 2);

            for (int i = 0; i < ROUNDS; i++) came[i] = 0;
            assert_int_equal(run_with(meet_at_barrier, &parties, &options), 0);
            assert_as_expected();
        }
}

/* Three must come; some that wait are cancelled. All from shard 1, so that a
 * call after them says that they are there. */
#define WAITING 99

static long outcomes[5];

static MINI_POLL(waiting_member) {
    struct kit *self = MINI_SELF(struct kit);

    MINI_BEGIN;
    outcomes[self->n] = WAITING;
    MINI_AWAIT(mini_barrier_await(&self->barrier, &barrier));
    outcomes[self->n] = MINI_RESULT;
    MINI_END(MINI_RESULT);
}

static struct mini_task *new_member(long n) {
    return MINI_SPAWN(struct kit, waiting_member, .n = n);
}

static bool outcomes_are(long a, long b, long c, long d, long e) {
    const long expected[] = {a, b, c, d, e};

    return memcmp(outcomes, expected, sizeof expected) == 0;
}

static MINI_POLL(leave_barrier) {
    static struct mini_task *tasks[5];
    struct kit *self = MINI_SELF(struct kit);

    MINI_BEGIN;
    for (self->i = 0; self->i < 20; self->i++) {
        memset(outcomes, 0, sizeof outcomes);
        for (int n = 0; n < 2; n++) tasks[n] = new_member(n);
        MINI_AWAIT(mini_yield(&self->yield));
        MINI_AWAIT(mini_submit_to(&self->call, 0, which_shard, NULL));
        EXPECT(outcomes_are(WAITING, WAITING, 0, 0, 0));
        mini_cancel(tasks[self->i % 2]); /* one that waits */
        tasks[2] = new_member(2);
        mini_cancel(tasks[2]); /* and one that has not come yet */
        MINI_AWAIT(mini_join(&self->join, tasks[self->i % 2]));
        EXPECT(MINI_RESULT == -ECANCELED);
        MINI_AWAIT(mini_join(&self->join, tasks[2]));
        EXPECT(MINI_RESULT == -ECANCELED);
        tasks[3] = new_member(3);
        MINI_AWAIT(mini_yield(&self->yield));
        MINI_AWAIT(mini_submit_to(&self->call, 0, which_shard, NULL));
        if (self->i % 2)
            EXPECT(outcomes_are(WAITING, -ECANCELED, -ECANCELED, WAITING, 0));
        else
            EXPECT(outcomes_are(-ECANCELED, WAITING, -ECANCELED, WAITING, 0));
        tasks[4] = new_member(4);
        MINI_AWAIT(mini_join(&self->join, tasks[4]));
        EXPECT(MINI_RESULT == 1);
        MINI_AWAIT(mini_join(&self->join, tasks[3]));
        EXPECT(MINI_RESULT == 0);
        MINI_AWAIT(mini_join(&self->join, tasks[1 - self->i % 2]));
        EXPECT(MINI_RESULT == 0);
    }
    MINI_END(0);
}

static MINI_POLL(leave_from_elsewhere) {
    static unsigned three = 3;
    static struct kit frame;
    struct kit *self = MINI_SELF(struct kit);

    MINI_BEGIN;
    make_barrier(&three);
    MINI_AWAIT(mini_spawn_on(
        &self->remote, 1, MINI_CALL(struct kit, &frame, leave_barrier)));
    EXPECT(MINI_RESULT == 0);
    MINI_END(0);
}

static void g4_4_who_is_cancelled_leaves_the_barrier(void **state) {
    (void)state;
    assert_int_equal(run(leave_from_elsewhere, 2), 0);
    assert_as_expected();
}

/* A cancel and the last member in one turn: who comes first counts. */
static MINI_POLL(cancel_as_the_last_comes) {
    static struct mini_task *tasks[3];
    struct kit *self = MINI_SELF(struct kit);

    MINI_BEGIN;
    for (self->i = 0; self->i < 20; self->i++) {
        for (int n = 0; n < 2; n++) tasks[n] = new_member(n);
        MINI_AWAIT(mini_yield(&self->yield));
        MINI_AWAIT(mini_submit_to(&self->call, 0, which_shard, NULL));
        EXPECT(outcomes[0] == WAITING && outcomes[1] == WAITING);
        if (self->i % 2) mini_cancel(tasks[0]);
        tasks[2] = new_member(2);
        mini_cancel(self->i % 2 ? NULL : tasks[0]);
        MINI_AWAIT(mini_join(&self->join, tasks[0]));
        EXPECT(MINI_RESULT == (self->i % 2 ? -ECANCELED : 0));
        if (self->i % 2) { /* one more is needed */
            tasks[0] = new_member(0);
            MINI_AWAIT(mini_join(&self->join, tasks[0]));
            EXPECT(MINI_RESULT == 1);
        }
        MINI_AWAIT(mini_join(&self->join, tasks[1]));
        EXPECT(MINI_RESULT == 0);
        MINI_AWAIT(mini_join(&self->join, tasks[2]));
        EXPECT(MINI_RESULT == (self->i % 2 ? 0 : 1));
    }
    MINI_END(0);
}

static MINI_POLL(last_from_elsewhere) {
    static unsigned three = 3;
    static struct kit frame;
    struct kit *self = MINI_SELF(struct kit);

    MINI_BEGIN;
    make_barrier(&three);
    MINI_AWAIT(mini_spawn_on(&self->remote, 1,
        MINI_CALL(struct kit, &frame, cancel_as_the_last_comes)));
    EXPECT(MINI_RESULT == 0);
    MINI_END(0);
}

static void g4_4_a_cancel_meets_the_last_at_the_barrier(void **state) {
    (void)state;
    assert_int_equal(run(last_from_elsewhere, 2), 0);
    assert_as_expected();
}

/* Who is cancelled on the way to the barrier has not come. */
static MINI_POLL(leave_on_the_way) {
    struct kit *self = MINI_SELF(struct kit);

    if (future->resume == 0) {
        future->resume = 1;
        self->pending = mini_barrier_await(&self->barrier, &barrier);
        EXPECT(!mini_drive(self->pending, cx));
    }
    if (!drive_cancelled(self->pending, cx)) return MINI_PENDING;
    return mini_ready(future, self->pending->result);
}

static MINI_POLL(come_after_one_that_left) {
    static unsigned two = 2;
    static struct mini_task *tasks[2];
    static struct kit hand;
    struct kit *self = MINI_SELF(struct kit);

    MINI_BEGIN;
    MINI_AWAIT(mini_submit_to(&self->call, 1, make_barrier, &two));
    MINI_AWAIT(MINI_CALL(struct kit, &hand, leave_on_the_way));
    EXPECT(MINI_RESULT == -ECANCELED);
    tasks[0] = new_member(0);
    MINI_AWAIT(mini_yield(&self->yield));
    MINI_AWAIT(mini_submit_to(&self->call, 1, which_shard, NULL));
    EXPECT(outcomes[0] == WAITING);
    tasks[1] = new_member(1);
    MINI_AWAIT(mini_join(&self->join, tasks[1]));
    EXPECT(MINI_RESULT == 1);
    MINI_AWAIT(mini_join(&self->join, tasks[0]));
    EXPECT(MINI_RESULT == 0);
    MINI_END(0);
}

static void g4_4_who_is_cancelled_on_the_way_has_not_come(void **state) {
    (void)state;
    for (int round = 0; round < 20; round++) {
        assert_int_equal(run(come_after_one_that_left, 2), 0);
        assert_as_expected();
    }
}

/* A barrier is on the shard that has made it: others hear nothing of it. */
static MINI_POLL(meet_at_home) {
    static unsigned one = 1;
    struct kit *self = MINI_SELF(struct kit);

    MINI_BEGIN;
    make_barrier(&one);
    MINI_AWAIT(mini_submit_to(&self->call, 0, messages_so_far, NULL));
    self->n = MINI_RESULT;
    for (self->i = 0; self->i < 10; self->i++) {
        MINI_AWAIT(mini_barrier_await(&self->barrier, &barrier));
        EXPECT(MINI_RESULT == 1);
    }
    MINI_AWAIT(mini_submit_to(&self->call, 0, messages_so_far, NULL));
    EXPECT(MINI_RESULT == self->n + 1); /* this call, and no other */
    MINI_END(0);
}

static MINI_POLL(meet_elsewhere) {
    static struct kit frame;
    struct kit *self = MINI_SELF(struct kit);

    MINI_BEGIN;
    MINI_AWAIT(mini_spawn_on(
        &self->remote, 1, MINI_CALL(struct kit, &frame, meet_at_home)));
    EXPECT(MINI_RESULT == 0);
    MINI_END(0);
}

static void g4_1_a_barrier_is_on_its_own_shard(void **state) {
    (void)state;
    assert_int_equal(run(meet_elsewhere, 2), 0);
    assert_as_expected();
}

/* ---- G1.5: nothing can come any more ---------------------------------------- */

static size_t occurrences(const char *text, const char *word) {
    size_t count = 0;

    while ((text = strstr(text, word)) != NULL) {
        text += strlen(word);
        count++;
    }
    return count;
}

/* Runs MAIN, which nothing can end; what it says goes to TEXT. */
static long run_stuck(
    poll_function *main, unsigned shards, char *text, size_t size) {
    mini_test_capture_begin();
    long result = run(main, shards);
    mini_test_capture_end(text, size);
    assert_as_expected();
    return result;
}

/* Every shard waits for the next: a task of each is in a call to another, which
 * waits for an event that nobody will ever set. */
static MINI_POLL(stuck_here) {
    struct patient *self = MINI_SELF(struct patient);

    MINI_BEGIN;
    mini_event_init(&self->never);
    MINI_AWAIT(mini_event_wait(&self->wait, &self->never));
    EXPECT(MINI_RESULT == -ECANCELED);
    for (self->yields = 0; self->yields < 3; self->yields++)
        MINI_AWAIT_SHIELDED(mini_yield(&self->yield));
    patients_cleaned++;
    MINI_END(-ECANCELED);
}

static MINI_POLL(call_stuck) {
    struct kit *self = MINI_SELF(struct kit);
    static struct patient frames[MOST];
    struct patient *frame = &frames[mini_this_shard()];

    MINI_BEGIN;
    *frame = MINI_FRAME(struct patient, stuck_here);
    MINI_AWAIT(mini_spawn_on(&self->remote,
        (mini_this_shard() + 1) % mini_shard_count(), &frame->future));
    EXPECT(MINI_RESULT == -ECANCELED);
    MINI_END(MINI_RESULT);
}

static MINI_POLL(all_stuck) {
    static struct mini_future *futures[MOST];
    static struct mini_remote starts[MOST];
    static struct kit kits[MOST];
    struct kit *self = MINI_SELF(struct kit);

    MINI_BEGIN;
    for (unsigned i = 0; i < mini_shard_count(); i++) {
        kits[i] = MINI_FRAME(struct kit, call_stuck);
        futures[i] = mini_spawn_on(&starts[i], i, &kits[i].future);
    }
    MINI_AWAIT(mini_join_all(&self->all, futures, mini_shard_count()));
    EXPECT(MINI_RESULT == -ECANCELED);
    MINI_END(0);
}

/* Each shard's tasks, once; shard 0's under another title. */
static bool all_are_named(const char *text, unsigned shards) {
    bool good = occurrences(text, "stuck_here > mini_event_wait") == shards &&
        occurrences(text, "call_stuck > mini_spawn_on") == shards;
    char title[20];

    for (unsigned i = 0; i < shards; i++) {
        snprintf(title, sizeof title, "shard %u:", i);
        good = good && occurrences(text, title) == (i > 0);
    }
    return good;
}

static void g1_5_shards_that_wait_for_each_other_are_named(void **state) {
    char text[20000];
    int complete[MOST + 1] = {0};

    (void)state;
    for (int round = 0; round < 20; round++)
        for (unsigned shards = 1; shards <= MOST; shards++) {
            patients_cleaned = 0;
            assert_int_equal(
                run_stuck(all_stuck, shards, text, sizeof text), -EDEADLK);
            assert_int_equal(patients_cleaned, shards);
            assert_true(occurrences(text, "stuck_here > mini_event_wait") >= 1);
            assert_true(occurrences(text, "call_stuck > mini_spawn_on") >= 1);
            assert_non_null(strstr(text, "EDEADLK"));
            assert_non_null(strstr(text, "main_of_test"));
            complete[shards] += all_are_named(text, shards);
        }
    /* not always so: shard 0 may hear of it first, and cancel some */
    for (unsigned shards = 1; shards <= MOST; shards++)
        assert_true(complete[shards] > 0);
}

/* If that is not the end of it, since a task waits for what another's clean-up
 * will do, that one is ended, too: here shard 1's, as shard 0 is at its end. */
static struct mini_event is_tidy; /* shard 1's */

static MINI_POLL(tidies_in_the_end) {
    struct patient *self = MINI_SELF(struct patient);

    MINI_BEGIN;
    mini_event_init(&self->never);
    MINI_AWAIT(mini_event_wait(&self->wait, &self->never));
    mini_event_set(&is_tidy, 6);
    MINI_END(0);
}

static long leave_tidier(void *argument) {
    (void)argument;
    mini_event_init(&is_tidy);
    return mini_detach(MINI_SPAWN(struct patient, tidies_in_the_end));
}

static MINI_POLL(waits_until_it_is_tidy) {
    struct kit *self = MINI_SELF(struct kit);

    MINI_BEGIN;
    MINI_AWAIT_SHIELDED(mini_event_wait(&self->wait, &is_tidy));
    MINI_END(MINI_RESULT);
}

static MINI_POLL(await_anothers_end) {
    static struct kit frame;
    struct kit *self = MINI_SELF(struct kit);

    MINI_BEGIN;
    MINI_AWAIT(mini_submit_to(&self->call, 1, leave_tidier, NULL));
    MINI_AWAIT(mini_spawn_on(&self->remote, 1,
        MINI_CALL(struct kit, &frame, waits_until_it_is_tidy)));
    EXPECT(MINI_RESULT == 6);
    calls++;
    MINI_END(0);
}

static void g1_5_a_second_deadlock_ends_what_the_first_has_not(void **state) {
    char text[4000];

    (void)state;
    for (unsigned shards = 2; shards <= 4; shards++) {
        calls = 0;
        assert_int_equal(
            run_stuck(await_anothers_end, shards, text, sizeof text), -EDEADLK);
        assert_int_equal(calls, 1);
        assert_non_null(strstr(text, "waits_until_it_is_tidy"));
        assert_int_equal(occurrences(text, "EDEADLK"), 1); /* is main's */
        assert_null(strstr(text, "given up"));
    }
}

/* Before that, the first ends shard 0's main alone: other shards' tasks are
 * cancelled only as far as it waits for them. A turn has room for many yields. */
static MINI_POLL(looks_round_when_cancelled) {
    struct patient *self = MINI_SELF(struct patient);

    MINI_BEGIN;
    mini_event_init(&self->never);
    MINI_AWAIT(mini_event_wait(&self->wait, &self->never));
    for (self->yields = 0; self->yields < 1000; self->yields++)
        MINI_AWAIT_SHIELDED(mini_yield(&self->yield));
    EXPECT(!is_tidy.set);
    MINI_END(6);
}

static MINI_POLL(await_who_looks_round) {
    static struct patient frame;
    struct kit *self = MINI_SELF(struct kit);

    MINI_BEGIN;
    MINI_AWAIT(mini_submit_to(&self->call, 1, leave_tidier, NULL));
    MINI_AWAIT(mini_spawn_on(&self->remote, 1,
        MINI_CALL(struct patient, &frame, looks_round_when_cancelled)));
    EXPECT(MINI_RESULT == 6);
    MINI_END(0);
}

static void g1_5_the_first_deadlock_ends_shard_0s_main_alone(void **state) {
    char text[4000];

    (void)state;
    for (int round = 0; round < 20; round++)
        assert_int_equal(
            run_stuck(await_who_looks_round, 2, text, sizeof text), -EDEADLK);
}

/* Whoever comes out of the count of those that wait is counted, too: else one
 * that looks at it twice would not see that somebody was awake in between. */
static uint64_t woken_so_far(void) {
    return atomic_load(&mini_self->shard->smp->idle) >> 32;
}

static MINI_POLL(count_who_wakes) {
    struct kit *self = MINI_SELF(struct kit);

    MINI_BEGIN;
    MINI_AWAIT(mini_submit_to(&self->call, 1, which_shard, NULL));
    self->n = (long)woken_so_far();
    mini_event_init(&self->event);
    MINI_AWAIT(mini_event_wait(&self->wait, &self->event));
    EXPECT(MINI_RESULT == -ECANCELED);
    EXPECT(woken_so_far() > (uint64_t)self->n);
    MINI_END(0);
}

static void g1_5_who_wakes_is_counted(void **state) {
    char text[4000];

    (void)state;
    for (int round = 0; round < 20; round++)
        assert_int_equal(
            run_stuck(count_who_wakes, 2, text, sizeof text), -EDEADLK);
}

/* A clean-up that nothing can end does not hang the run either: it is given up,
 * and said. ARGUMENT is the shard. */
static MINI_POLL(stuck_in_cleanup) {
    struct patient *self = MINI_SELF(struct patient);

    MINI_BEGIN;
    mini_event_init(&self->never);
    MINI_AWAIT_SHIELDED(mini_event_wait(&self->wait, &self->never));
    EXPECT(false);
    MINI_END(0);
}

static long leave_stuck(void *argument) {
    (void)argument;
    return mini_detach(MINI_SPAWN(struct patient, stuck_in_cleanup));
}

static unsigned stuck_shard;

static MINI_POLL(end_with_stuck) {
    struct kit *self = MINI_SELF(struct kit);

    MINI_BEGIN;
    MINI_AWAIT(mini_submit_to(&self->call, stuck_shard, leave_stuck, NULL));
    EXPECT(MINI_RESULT == 0);
    MINI_END(9);
}

static void g1_5_a_cleanup_that_cannot_end_is_given_up(void **state) {
    char text[4000];

    (void)state;
    remember_what_there_is();
    for (int round = 0; round < 10; round++)
        for (stuck_shard = 0; stuck_shard < 3; stuck_shard++) {
            assert_int_equal(
                run_stuck(end_with_stuck, 3, text, sizeof text), 9);
            assert_non_null(strstr(text, "stuck_in_cleanup"));
            assert_non_null(strstr(text, "given up"));
            assert_null(strstr(text, " 0 task(s) given up"));
        }
    assert_nothing_left();
}

/* One number goes round; all but one shard wait for nothing but a message. */
static struct kit runners[MOST];
static const long laps = 300;

static MINI_POLL(pass_on) {
    struct kit *self = MINI_SELF(struct kit);
    unsigned next = (mini_this_shard() + 1) % mini_shard_count();

    MINI_BEGIN;
    MINI_AWAIT(mini_submit_to(&self->call, next, which_shard, NULL));
    EXPECT(MINI_RESULT == (long)next);
    MINI_END(0);
}

static MINI_POLL(relay) {
    struct kit *self = MINI_SELF(struct kit);

    MINI_BEGIN;
    for (self->n = 0; self->n < laps / SLOW; self->n++)
        for (self->shard = 0; self->shard < mini_shard_count(); self->shard++) {
            runners[self->shard] = MINI_FRAME(struct kit, pass_on);
            MINI_AWAIT(mini_spawn_on(
                &self->remote, self->shard, &runners[self->shard].future));
            EXPECT(MINI_RESULT == 0);
        }
    MINI_END(0);
}

static void g1_5_one_message_under_way_is_no_deadlock(void **state) {
    (void)state;
    for (size_t i = 0; i < LENGTH(shard_counts); i++) {
        assert_int_equal(run(relay, shard_counts[i]), 0);
        assert_as_expected();
    }
}

/* A timer on one shard, or a channel to another thread, may still end it. */
static MINI_POLL(wait_for_a_timer) {
    struct kit *self = MINI_SELF(struct kit);

    MINI_BEGIN;
    for (self->shard = 0; self->shard < 3; self->shard++) {
        MINI_AWAIT(mini_spawn_on(
            &self->remote, self->shard, mini_sleep(&self->sleep, 3 * MINI_MS)));
        EXPECT(MINI_RESULT == 0);
    }
    MINI_END(0);
}

static void g1_5_a_timer_anywhere_is_no_deadlock(void **state) {
    (void)state;
    for (int round = 0; round < 5; round++) {
        struct mini_options options = options_of(3, 0);

        options.virtual_clock = round % 2;
        assert_int_equal(run_with(wait_for_a_timer, NULL, &options), 0);
        assert_as_expected();
    }
}

static struct mini_channel channel;
static struct mini_channel_wait channel_wait;

static void *send_when_parked(void *argument) {
    for (int shard = 0; shard < 3; shard++) {
        gate_pass(&is_parked);
        gate_open(&may_go_on);
        EXPECT(mini_channel_try_send(&channel, argument) == 0);
    }
    return NULL;
}

static MINI_POLL(wait_for_a_thread) {
    struct kit *self = MINI_SELF(struct kit);

    MINI_BEGIN;
    for (self->shard = 0; self->shard < 3; self->shard++) {
        MINI_AWAIT(
            mini_submit_to(&self->call, self->shard, stop_before_sleep, NULL));
        MINI_AWAIT(mini_spawn_on(&self->remote, self->shard,
            mini_channel_recv(&channel_wait, &channel)));
        EXPECT(MINI_RESULT == 0 && channel_wait.item == &channel);
    }
    MINI_END(0);
}

static void g1_5_a_channel_anywhere_is_no_deadlock(void **state) {
    pthread_t thread;

    (void)state;
    assert_int_equal(mini_channel_init(&channel, 4), 0);
    assert_int_equal(
        pthread_create(&thread, NULL, send_when_parked, &channel), 0);
    assert_int_equal(run(wait_for_a_thread, 3), 0);
    pthread_join(thread, NULL);
    assert_as_expected();
    mini_channel_destroy(&channel);
}

/* ---- starts that fail --------------------------------------------------------- */

static int mains_begun;

static MINI_POLL(begin_and_end) {
    (void)cx;
    mains_begun++;
    return mini_ready(future, 0);
}

/* All shards or none. */
static void assert_did_not_start(long result, long error) {
    assert_int_equal(result, error);
    assert_int_equal(mains_begun, 0);
}

static void g1_11_a_start_without_memory(void **state) {
    char text[4000];

    (void)state;
    for (unsigned shards = 1; shards <= 4; shards++) {
        bool failed = true;

        remember_what_there_is();
        for (long n = 0; failed; n++) {
            mains_begun = 0;
            mini_test_capture_begin(); /* a backend may say that it cannot */
            mini_test_fail_alloc_after(n);
            long result = run(begin_and_end, shards);
            failed = mini_test_alloc_failed();
            mini_test_fail_alloc_after(-1);
            mini_test_capture_end(text, sizeof text);
            if (result != 0) assert_did_not_start(result, -ENOMEM);
            assert_true(result == 0 || failed);
            assert_true(n > 0 || failed);
        }
        assert_nothing_left();
    }
}

/* A little of all that shards do. */
struct rounds {
    struct mini_future future;
    struct mini_call call;
    struct mini_remote remote;
    struct mini_timeout timeout;
    struct mini_sleep sleep;
    unsigned shard, wrong;
};

static long where_am_i(void *argument) {
    (void)argument;
    return mini_this_shard();
}

static MINI_POLL(makes_rounds) {
    struct rounds *self = MINI_SELF(struct rounds);
    MINI_BEGIN;
    mains_begun++;
    for (self->shard = 0; self->shard < mini_shard_count(); self->shard++) {
        MINI_AWAIT(mini_submit_to(&self->call, self->shard, where_am_i, NULL));
        self->wrong += MINI_RESULT != (long)self->shard;
        MINI_AWAIT(mini_timeout(&self->timeout,
            mini_spawn_on(&self->remote, self->shard,
                mini_sleep(&self->sleep, 3600 * MINI_SECOND)),
            1));
        self->wrong += MINI_RESULT != -ETIMEDOUT;
    }
    MINI_END(self->wrong);
}

static long make_rounds(void) {
    static struct rounds self;
    struct mini_options options = options_of(3, 0);
    char text[4000];

    self = (struct rounds){.future = MINI_FUTURE(makes_rounds, "rounds")};
    mains_begun = 0;
    mini_test_capture_begin();
    long result = mini_run(&self.future, &options);

    mini_test_capture_end(text, sizeof text);
    return result;
}

static void began_and_went_on(
    long result, const struct mini_test_fault *fault) {
    if (mains_begun == 0)
        assert_did_not_start(result, -fault->error);
    else
        assert_int_equal(result, 0);
}

static void g4_6_any_system_call_may_fail(void **state) {
    (void)state;
    long failed = mini_test_each_fault(make_rounds, began_and_went_on);

    if (failed == 0) skip(); /* where no call can be made to fail */
    assert_in_range(failed, 10, 10000);
}

/* With each number of descriptors from too few to enough. */
static void g4_6_a_start_without_descriptors(void **state) {
    struct rlimit limit, low;
    char text[4000];
    int failures = 0;
    long result;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    remember_what_there_is();
    low = limit;
    low.rlim_cur = 3;
    do {
        mains_begun = 0;
        mini_test_capture_begin();
        setrlimit(RLIMIT_NOFILE, &low);
        result = run(begin_and_end, 4);
        setrlimit(RLIMIT_NOFILE, &limit);
        mini_test_capture_end(text, sizeof text);
        if (result != 0) assert_did_not_start(result, -EMFILE);
        failures += result != 0;
        assert_nothing_left();
    } while (result != 0 && ++low.rlim_cur < 1000);
    assert_int_equal(result, 0);
    assert_true(failures >= 4); /* each shard has at least one */
}

/* A thread that cannot be made: pthread_create is ours here. */
#if defined(__GLIBC__) && defined(_GNU_SOURCE) && !SANITIZED
#include <dlfcn.h>

static int threads_allowed = -1;

/* One that takes its time to begin; it would notice if main did not wait. */
static struct {
    int in; /* is the one after as many more; below 0: none */
    void *(*body)(void *);
    atomic_bool begun, main_begun;
} late = {.in = -1};

static void *begin_late(void *argument) {
    for (int i = 0; i < 20 && !late.main_begun; i++)
        mini_poll_fds(NULL, 0, MINI_MS);
    late.begun = true;
    return late.body(argument);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
    void *(*body)(void *), void *argument) {
    static int (*real)(
        pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);

    if (threads_allowed == 0) return EAGAIN;
    threads_allowed -= threads_allowed > 0;
    if (late.in >= 0 && late.in-- == 0) {
        late.body = body;
        body = begin_late;
    }
    if (real == NULL)
        *(void **)(void *)&real = dlsym(RTLD_NEXT, "pthread_create");
    return real(thread, attributes, body, argument);
}

static void g4_6_a_start_without_threads(void **state) {
    (void)state;
    remember_what_there_is();
    for (int round = 0; round < 10; round++)
        for (int allowed = 0; allowed < 4; allowed++) {
            mains_begun = 0;
            threads_allowed = allowed;
            long result = run(begin_and_end, 4);
            threads_allowed = -1;
            if (allowed < 3)
                assert_did_not_start(result, -EAGAIN);
            else
                assert_int_equal(result, 0);
        }
    assert_nothing_left();
}

static MINI_POLL(begin_after_all) {
    (void)cx;
    late.main_begun = true;
    return mini_ready(future, late.begun);
}

static void g4_6_main_begins_when_all_have_started(void **state) {
    (void)state;
    for (int i = 0; i < 3; i++) {
        late.begun = late.main_begun = false;
        late.in = i;
        assert_int_equal(run(begin_after_all, 4), 1);
    }
}

#else
static void g4_6_a_start_without_threads(void **state) {
    (void)state;
    skip();
}

static void g4_6_main_begins_when_all_have_started(void **state) {
    (void)state;
    skip();
}
#endif

/* ---- where shards run ----------------------------------------------------------- */

#if defined(__linux__) && defined(_GNU_SOURCE)

static cpu_set_t at_first;

/* The CPU this thread may use, by its place among those of the process; -1 if
 * it may use more than one, -3 if it is none of those. */
static long place_of_this_thread(void *argument) {
    cpu_set_t here;
    long place = 0;

    (void)argument;
    if (sched_getaffinity(0, sizeof here, &here) != 0) return -2;
    if (CPU_COUNT(&here) != 1) return -1;
    int cpu = 0;

    for (; !CPU_ISSET(cpu, &here); cpu++)
        place += CPU_ISSET(cpu, &at_first) != 0;
    return CPU_ISSET(cpu, &at_first) ? place : -3;
}

static MINI_POLL(look_where_shards_are) {
    struct kit *self = MINI_SELF(struct kit);

    MINI_BEGIN;
    for (self->i = 0; self->i < (long)mini_shard_count(); self->i++) {
        MINI_AWAIT(
            mini_submit_to(&self->call, self->i, place_of_this_thread, NULL));
        if (mini_shard_count() > 1)
            EXPECT(MINI_RESULT == self->i % CPU_COUNT(&at_first));
        else
            EXPECT(CPU_COUNT(&at_first) == 1 || MINI_RESULT == -1);
    }
    MINI_END(0);
}

static void g4_6_the_callers_cpus_are_as_before(void **state) {
    cpu_set_t in_the_end;
    char text[4000];

    (void)state;
    assert_int_equal(sched_getaffinity(0, sizeof at_first, &at_first), 0);
    for (unsigned shards = 0; shards <= 5; shards++) {
        assert_int_equal(run(look_where_shards_are, shards), 0);
        assert_as_expected();
        sched_getaffinity(0, sizeof in_the_end, &in_the_end);
        assert_true(CPU_EQUAL(&at_first, &in_the_end));
    }
    mini_test_capture_begin();
    mini_test_fail_alloc_after(2);
    long result = run(begin_and_end, 3);
    mini_test_fail_alloc_after(-1);
    mini_test_capture_end(text, sizeof text);
    assert_int_not_equal(result, 0);
    sched_getaffinity(0, sizeof in_the_end, &in_the_end);
    assert_true(CPU_EQUAL(&at_first, &in_the_end));
}

/* One a CPU that this process may use; if it cannot know, that is one. */
static int cpus_to_use;

static long count_cpus(void) { return mini_cpu_count(); }

static void counted_them(long result, const struct mini_test_fault *fault) {
    assert_int_equal(result, fault->call ? 1 : cpus_to_use);
}

static void g4_8_one_shard_a_cpu_that_may_be_used(void **state) {
    (void)state;
    assert_int_equal(sched_getaffinity(0, sizeof at_first, &at_first), 0);
    cpus_to_use = CPU_COUNT(&at_first);
    assert_int_equal(mini_test_each_fault(count_cpus, counted_them), 1);
}

/* To one CPU alone, whatever has been on the stack before. */
static unsigned char soil_stack(void) {
    volatile unsigned char dirt[8192];

    for (size_t i = 0; i < sizeof dirt; i++) dirt[i] = 0xff;
    return dirt[0];
}

static void g4_8_a_pin_is_to_one_cpu(void **state) {
    unsigned char (*volatile soil)(void) = soil_stack; /* not inlined */

    (void)state;
    assert_int_equal(sched_getaffinity(0, sizeof at_first, &at_first), 0);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(soil(), 0xff);
        mini_pin(i);
        long place = place_of_this_thread(NULL);
        mini_unpin();
        assert_int_equal(place, i % (unsigned)CPU_COUNT(&at_first));
    }
}

/* One that the caller may not use is not used, and not given back to it. */
static void g4_8_shards_stay_on_the_callers_cpus(void **state) {
    cpu_set_t all, in_the_end;
    int last = CPU_SETSIZE - 1;

    (void)state;
    assert_int_equal(sched_getaffinity(0, sizeof all, &all), 0);
    mini_pin(0);
    mini_unpin();
    while (!CPU_ISSET(last, &all)) last--;
    CPU_ZERO(&at_first);
    CPU_SET(last, &at_first);
    assert_int_equal(sched_setaffinity(0, sizeof at_first, &at_first), 0);
    unsigned count = mini_cpu_count();

    run(begin_and_end, 1);
    sched_getaffinity(0, sizeof in_the_end, &in_the_end);
    long result = run(look_where_shards_are, 3);

    assert_int_equal(sched_setaffinity(0, sizeof all, &all), 0);
    assert_int_equal(count, 1);
    assert_int_equal(result, 0);
    assert_true(CPU_EQUAL(&in_the_end, &at_first));
    assert_as_expected();
}

#else
static void g4_8_one_shard_a_cpu_that_may_be_used(void **state) {
    (void)state;
    skip();
}

static void g4_8_a_pin_is_to_one_cpu(void **state) {
    (void)state;
    skip();
}

static void g4_8_shards_stay_on_the_callers_cpus(void **state) {
    (void)state;
    skip();
}

static void g4_6_the_callers_cpus_are_as_before(void **state) {
    (void)state;
    skip();
}
#endif

/* ---- all of them ------------------------------------------------------------- */

#define TEST(name) \
    cmocka_unit_test_setup_teardown(name, with_hook, without_hook)

static const struct CMUnitTest tests[] = {
    /* these come first: a thread that stays pinned is that for all that follow */
    TEST(g4_6_the_callers_cpus_are_as_before),
    TEST(g4_8_one_shard_a_cpu_that_may_be_used),
    TEST(g4_8_a_pin_is_to_one_cpu),
    TEST(g4_8_shards_stay_on_the_callers_cpus),
    TEST(g4_1_a_call_runs_on_the_targets_thread_once),
    TEST(g4_1_results_and_errors_come_back),
    TEST(g4_1_any_future_runs_on_any_shard),
    TEST(g4_1_a_call_to_ones_own_shard_is_a_message_too),
    TEST(g4_1_a_call_may_change_hands),
    TEST(g4_2_calls_between_two_shards_keep_their_order),
    TEST(g4_2_messages_keep_their_order),
    TEST(g4_2_news_come_before_what_is_sent_after_them),
    TEST(g4_3_tasks_run_between_many_messages),
    TEST(g4_3_storms_end_with_every_ring_and_every_count),
    TEST(g4_3_storms_end_with_a_shuffled_run_queue),
    TEST(g4_3_no_allocation_on_the_way),
    TEST(g4_4_cancel_reaches_the_remote_task),
    TEST(g4_4_cancelled_before_it_is_sent),
    TEST(g4_4_a_cancel_overtakes_nothing),
    TEST(g4_4_a_cancel_races_with_the_end),
    TEST(g4_4_timeouts_over_remote_calls),
    TEST(g4_4_shielded_calls_clean_up_elsewhere),
    TEST(g4_5_calls_order_what_shards_do),
    TEST(g4_6_main_ends_while_tasks_live_everywhere),
    TEST(g4_6_any_shard_may_stop_the_run),
    TEST(g4_6_stop_before_anything_and_from_all_at_once),
    TEST(g4_6_a_stop_in_the_middle_of_storms),
    TEST(g4_6_after_the_stop_nothing_begins),
    TEST(g4_6_a_shard_that_stops_refuses_what_comes),
    TEST(g1_10_who_has_no_task_complains_of_none),
    TEST(g4_6_two_hundred_runs_leave_nothing_behind),
    TEST(g4_6_two_runs_at_the_same_time),
    TEST(g4_6_no_run_inside_of_a_run),
    TEST(g4_7_idle_shards_sleep),
    TEST(g4_7_a_sleeping_shard_is_rung_once),
    TEST(g2_1_who_is_woken_is_told_the_time_of_its_turn),
    TEST(g4_7_an_awake_shard_is_not_rung),
    TEST(g4_7_who_is_sent_nothing_is_not_rung),
    TEST(g4_7_the_end_wakes_all_sleepers),
    TEST(g4_7_an_unsent_message_is_looked_at_a_tick_later),
    TEST(g4_8_a_bad_shard_is_refused),
    TEST(g4_8_more_shards_than_cpus),
    TEST(g4_8_no_options_is_one_shard_and_0_is_one_a_cpu),
    TEST(g4_8_options_hold_on_every_shard),
    TEST(g4_8_more_shards_than_there_may_be),
    TEST(g4_8_bad_options_are_refused),
    TEST(g4_1_broadcast_and_reduce_in_the_order_of_shards),
    TEST(g4_4_a_cancel_races_with_a_broadcast),
    TEST(g1_11_a_broadcast_without_memory),
    TEST(g4_1_a_barrier_opens_when_all_have_come),
    TEST(g4_4_who_is_cancelled_leaves_the_barrier),
    TEST(g4_4_a_cancel_meets_the_last_at_the_barrier),
    TEST(g4_4_who_is_cancelled_on_the_way_has_not_come),
    TEST(g4_1_a_barrier_is_on_its_own_shard),
    TEST(g1_5_shards_that_wait_for_each_other_are_named),
    TEST(g1_5_a_second_deadlock_ends_what_the_first_has_not),
    TEST(g1_5_the_first_deadlock_ends_shard_0s_main_alone),
    TEST(g1_5_who_wakes_is_counted),
    TEST(g1_5_a_cleanup_that_cannot_end_is_given_up),
    TEST(g1_5_one_message_under_way_is_no_deadlock),
    TEST(g1_5_a_timer_anywhere_is_no_deadlock),
    TEST(g1_5_a_channel_anywhere_is_no_deadlock),
    TEST(g1_11_a_start_without_memory),
    TEST(g4_6_any_system_call_may_fail),
    TEST(g4_6_a_start_without_descriptors),
    TEST(g4_6_a_start_without_threads),
    TEST(g4_6_main_begins_when_all_have_started),
};

MINI_TEST_MAIN(tests)
