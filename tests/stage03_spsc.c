/* SPDX-License-Identifier: MIT
 *
 * Tests of stage 3: the ring, the channel between two executors, and parking
 * (G3.1 to G3.7).
 *
 * What runs on a second thread, or inside mini_run, uses EXPECT; cmocka's
 * assertions stand where only the main thread is left. Nothing here depends on
 * how fast a thread is: a test that wants a thread asleep, or just about to
 * be, stops it in mini_park_hook.
 */
#include "faults.h"
#include "harness.h"

#include "miniss.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* How many times less than in an hour's soak is done: threads that take turns
 * on one CPU, since the others are busy, need a time slice for each hand-over. */
#define SLOW (MINI_TEST_LESS * (MINI_TEST_TSAN || MINI_TEST_ASAN ? 40 : 20))

#define LENGTH(array) (sizeof(array) / sizeof *(array))

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

static pthread_t start_thread(void *(*body)(void *), void *argument) {
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, body, argument), 0);
    return thread;
}

/* A mini_run on a thread of its own. */
struct run {
    struct mini_future *main;
    pthread_t thread;
    long result;
};

static void *run_body(void *argument) {
    struct run *run = argument;

    run->result = mini_run(run->main, NULL);
    return NULL;
}

static void run_begin(struct run *run, struct mini_future *main) {
    run->main = main;
    run->thread = start_thread(run_body, run);
}

static long run_end(struct run *run) {
    pthread_join(run->thread, NULL);
    return run->result;
}

/* Each thread has its own sequence: Marsaglia's xorshift32. */
static unsigned next_random(unsigned *state) {
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

static void *number(size_t n) { return (void *)(intptr_t)n; }

/* ---- the moment before sleep -------------------------------------------- */

/* What this thread does, once, between the store of `sleeping` and the second
 * look. */
static _Thread_local void (*before_sleep)(void);

static void on_park(void) {
    void (*strike)(void) = before_sleep;

    before_sleep = NULL;
    if (strike != NULL) strike();
}

/* To stop a thread there. */
static struct gate is_parked = GATE_CLOSED;
static struct gate may_go_on = GATE_CLOSED;

static void stop_there(void) {
    gate_open(&is_parked);
    gate_pass(&may_go_on);
}

static int with_hook(void **state) {
    (void)state;
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

/* Stores that miss the cache, many of them: what this thread stores next waits
 * behind them in the store buffer, and all other threads see it late. On a
 * machine that re-orders (x86 does so with a store and a later load) this is
 * what a wake-up needs to get lost if the stores of park.h are too weak. */
static void clog_store_buffer(unsigned *state) {
    static _Atomic unsigned char memory[1 << 24];

    for (int i = 0; i < 64; i++)
        atomic_store_explicit(&memory[next_random(state) % sizeof memory],
            (unsigned char)i, memory_order_relaxed);
}

/* ---- one future that does everything in its first poll ------------------- */

/* Runs SCRIPT, once, as the main of an executor of its own. */
static long run_script(
    mini_poll (*script)(struct mini_future *, struct mini_context)) {
    struct mini_future main = MINI_FUTURE(script, "script");

    return mini_run(&main, NULL);
}

/* Polls a future as a task that is cancelled would. */
static bool drive_cancelled(
    struct mini_future *future, struct mini_context cx) {
    cx.cancel = true;
    return mini_drive(future, cx);
}

/* ---- G3.1, G3.2: the ring on one thread ----------------------------------- */

/* Where indices start: 0, and so that they pass SIZE_MAX after some items. */
static const size_t starts[] = {
    0, SIZE_MAX, SIZE_MAX - 1, SIZE_MAX - 7, SIZE_MAX - 1000, SIZE_MAX / 2};

static void ring_init(struct mini_spsc *ring, size_t capacity, size_t start) {
    assert_int_equal(mini_spsc_init(ring, capacity), 0);
    ring->head = ring->tail = start;
}

static void fill_and_drain(size_t capacity, size_t start) {
    struct mini_spsc ring;
    void *item = NULL;

    ring_init(&ring, capacity, start);
    assert_false(mini_spsc_pop(&ring, &item));
    for (size_t i = 0; i < capacity; i++) {
        assert_int_equal(mini_spsc_count(&ring), i);
        assert_int_equal(mini_spsc_holds(&ring, &ring.head), i > 0);
        assert_false(mini_spsc_holds(&ring, &ring.tail)); /* there is room */
        assert_true(mini_spsc_push(&ring, number(i)));
    }
    assert_true(mini_spsc_holds(&ring, &ring.head));
    assert_true(mini_spsc_holds(&ring, &ring.tail));
    assert_int_equal(mini_spsc_count(&ring), capacity);
    assert_false(mini_spsc_push(&ring, number(7777)));
    assert_false(mini_spsc_push(&ring, number(8888)));
    assert_int_equal(mini_spsc_count(&ring), capacity);
    /* round and round, always full */
    for (size_t i = 0; i < 3 * capacity; i++) {
        assert_true(mini_spsc_pop(&ring, &item));
        assert_ptr_equal(item, number(i));
        assert_true(mini_spsc_push(&ring, number(capacity + i)));
        assert_false(mini_spsc_push(&ring, number(9999)));
    }
    for (size_t i = 0; i < capacity; i++) {
        assert_true(mini_spsc_pop(&ring, &item));
        assert_ptr_equal(item, number(3 * capacity + i));
    }
    assert_false(mini_spsc_pop(&ring, &item));
    assert_int_equal(mini_spsc_count(&ring), 0);
    assert_false(mini_spsc_holds(&ring, &ring.head));
    mini_spsc_destroy(&ring);
}

static void g3_2_a_ring_holds_its_capacity_exactly(void **state) {
    (void)state;
    for (size_t capacity = 1; capacity <= 1024; capacity *= 2)
        for (size_t i = 0; i < LENGTH(starts); i++)
            fill_and_drain(capacity, starts[i]);
}

static void g3_2_a_batch_takes_what_fits(void **state) {
    void *in[20], *out[20] = {NULL};
    struct mini_spsc ring;

    (void)state;
    for (size_t i = 0; i < LENGTH(in); i++) in[i] = number(i + 1);
    ring_init(&ring, 8, SIZE_MAX - 2);
    assert_int_equal(mini_spsc_push_many(&ring, in, 0), 0);
    assert_int_equal(mini_spsc_pop_many(&ring, out, 20), 0);
    assert_int_equal(mini_spsc_push_many(&ring, in, 5), 5);
    assert_int_equal(mini_spsc_pop_many(&ring, out, 0), 0);
    assert_int_equal(mini_spsc_push_many(&ring, in + 5, 15), 3); /* partial */
    assert_int_equal(mini_spsc_push_many(&ring, in + 8, 12), 0);
    assert_int_equal(mini_spsc_pop_many(&ring, out, 6), 6);
    assert_int_equal(mini_spsc_push_many(&ring, in + 8, 6), 6); /* exact */
    assert_int_equal(mini_spsc_pop_many(&ring, out + 6, 14), 8); /* partial */
    assert_int_equal(mini_spsc_pop_many(&ring, out + 14, 6), 0);
    for (size_t i = 0; i < 14; i++) assert_ptr_equal(out[i], in[i]);
    for (size_t i = 14; i < 20; i++) /* nothing written behind the last */
        assert_null(out[i]);
    mini_spsc_destroy(&ring);
}

/* Any sequence of batches, against the simplest queue: two counters. */
static void random_batches(size_t capacity, size_t start, unsigned seed) {
    struct mini_spsc ring;
    void *items[80];
    size_t pushed = 0, popped = 0;

    ring_init(&ring, capacity, start);
    for (int round = 0; round < 400; round++) {
        size_t want = next_random(&seed) % LENGTH(items);
        size_t room = capacity - (pushed - popped);

        for (size_t i = 0; i < want; i++) items[i] = number(pushed + i);
        size_t n = mini_spsc_push_many(&ring, items, want);
        assert_int_equal(n, want < room ? want : room);
        pushed += n;
        assert_int_equal(mini_spsc_count(&ring), pushed - popped);
        want = next_random(&seed) % LENGTH(items);
        n = mini_spsc_pop_many(&ring, items, want);
        assert_int_equal(n, want < pushed - popped ? want : pushed - popped);
        for (size_t i = 0; i < n; i++)
            assert_ptr_equal(items[i], number(popped + i));
        popped += n;
        assert_int_equal(mini_spsc_count(&ring), pushed - popped);
    }
    mini_spsc_destroy(&ring);
}

static void g3_1_batches_agree_with_a_plain_queue(void **state) {
    (void)state;
    for (size_t capacity = 1; capacity <= 1024; capacity *= 2)
        for (size_t i = 0; i < LENGTH(starts); i++)
            random_batches(capacity, starts[i], (unsigned)(capacity + i));
}

/* A side stores its index after the slots: for a moment the other's is ahead of
 * it. What is counted then is never more than there is room for. */
static void g3_2_an_index_that_is_late_counts_nothing_that_is_not(
    void **state) {
    struct mini_spsc ring;
    void *item = NULL;

    (void)state;
    for (size_t i = 0; i < LENGTH(starts); i++) {
        ring_init(&ring, 2, starts[i]);
        _Atomic(void *) *first = &ring.slots[starts[i] & ring.mask];

        assert_true(mini_spsc_push(&ring, number(1)));
        assert_true(mini_spsc_push(&ring, number(2)));
        atomic_store(first, ring.slots); /* half a pop */
        assert_true(mini_spsc_push(&ring, number(3)));
        assert_int_equal(mini_spsc_count(&ring), 2);
        mini_spsc_destroy(&ring);
        ring_init(&ring, 2, starts[i]);
        first = &ring.slots[starts[i] & ring.mask];
        atomic_store(first, number(1)); /* and half a push */
        assert_true(mini_spsc_pop(&ring, &item));
        assert_int_equal(mini_spsc_count(&ring), 0);
        mini_spsc_destroy(&ring);
    }
}

static void g3_2_a_capacity_is_a_power_of_two(void **state) {
    static const size_t bad[] = {
        0, 3, 5, 6, 7, 9, 12, 255, 257, 1000, SIZE_MAX, SIZE_MAX - 1};
    long before = mini_test_live_allocs();
    struct mini_channel channel;
    struct mini_spsc ring;

    (void)state;
    for (size_t i = 0; i < LENGTH(bad); i++) {
        assert_int_equal(mini_spsc_init(&ring, bad[i]), -EINVAL);
        assert_int_equal(mini_channel_init(&channel, bad[i]), -EINVAL);
    }
    assert_int_equal(mini_test_live_allocs(), before);
}

static void g1_11_rings_and_channels_without_memory(void **state) {
    /* called so that no compiler leaves out a block that nobody looks into */
    int (*volatile ring_init)(struct mini_spsc *, size_t) = mini_spsc_init;
    long before = mini_test_live_allocs();
    struct mini_channel channel;
    struct mini_spsc ring;

    (void)state;
    mini_test_fail_alloc_after(0);
    assert_int_equal(ring_init(&ring, 8), -ENOMEM);
    assert_true(mini_test_alloc_failed());
    mini_spsc_destroy(&ring); /* allowed */
    mini_test_fail_alloc_after(0);
    assert_int_equal(mini_channel_init(&channel, 8), -ENOMEM);
    assert_true(mini_test_alloc_failed());
    /* more bytes than a size_t can count */
    assert_int_equal(ring_init(&ring, SIZE_MAX / 2 + 1), -ENOMEM);
    mini_spsc_destroy(&ring);
    assert_int_equal(mini_test_live_allocs(), before);
    assert_int_equal(ring_init(&ring, 8), 0);
    assert_int_equal(mini_channel_init(&channel, 8), 0);
    assert_int_equal(mini_test_live_allocs(), before + 2);
    mini_spsc_destroy(&ring);
    mini_channel_destroy(&channel);
    assert_int_equal(mini_test_live_allocs(), before);
}

/* ---- the bell -------------------------------------------------------------- */

static int events_of(const struct mini_bell *bell) {
    struct pollfd fd = {.fd = bell->wait_fd, .events = POLLIN};

    return mini_poll_fds(&fd, 1, 0);
}

static void assert_a_good_bell(struct mini_bell *bell) {
    const int ends[] = {bell->wait_fd, bell->ring_fd};

    for (size_t i = 0; i < LENGTH(ends); i++) {
        assert_true(fcntl(ends[i], F_GETFD) & FD_CLOEXEC);
        assert_true(fcntl(ends[i], F_GETFL) & O_NONBLOCK);
    }
    assert_int_equal(events_of(bell), 0); /* a new one has not been rung */
    mini_bell_clear(bell); /* does not wait */
    for (int i = 0; i < 100; i++) mini_bell_ring(bell);
    assert_int_equal(events_of(bell), 1);
    mini_bell_clear(bell);
    mini_bell_ring(bell);
    mini_bell_clear(bell);
    assert_int_equal(events_of(bell), 0);
    mini_bell_close(bell);
}

static void g3_4_a_bell_says_whether_it_was_rung(void **state) {
    struct mini_bell bell;

    (void)state;
    assert_int_equal(mini_bell_open(&bell), 0);
    assert_a_good_bell(&bell);
}

/* A process may have closed its standard input: 0 is a descriptor, too. */
static void g3_4_descriptor_0_is_a_bell_as_well(void **state) {
    int input = dup(STDIN_FILENO); /* -1: it is closed */
    struct mini_bell bell;

    (void)state;
    close(STDIN_FILENO);
    errno = EIO;
    int result = mini_bell_open(&bell);
    if (result == 0) assert_int_equal(bell.wait_fd, 0);
    if (result == 0) assert_a_good_bell(&bell);
    if (input >= 0) dup2(input, STDIN_FILENO);
    if (input >= 0) close(input);
    assert_int_equal(result, 0);
}

static MINI_POLL(ends_well) {
    (void)cx;
    return mini_ready(future, 0);
}

/* The bell takes the first descriptor; without one there is no run. */
static void g1_11_no_descriptor_for_the_bell(void **state) {
    struct rlimit before, few;
    int lowest = dup(STDERR_FILENO);

    (void)state;
    close(lowest);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    few = before;
    few.rlim_cur = (rlim_t)lowest;
    setrlimit(RLIMIT_NOFILE, &few);
    long result = run_script(ends_well);
    setrlimit(RLIMIT_NOFILE, &before);
    assert_int_equal(result, -EMFILE);
    assert_null(mini_self);
    assert_int_equal(run_script(ends_well), 0);
}

/* ---- G3.1, G3.3: the ring between two threads ----------------------------- */

struct transfer {
    struct mini_spsc ring;
    size_t total;
    size_t batch; /* at most so many at once */
    atomic_bool done;
};

static void *produce(void *argument) {
    struct transfer *transfer = argument;
    unsigned seed = 1;
    void *items[100];

    for (size_t sent = 0; sent < transfer->total;) {
        size_t left = transfer->total - sent;
        size_t n = 1 + next_random(&seed) % transfer->batch;

        n = n < left ? n : left;
        for (size_t i = 0; i < n; i++) items[i] = number(sent + i);
        size_t pushed = n == 1 ? mini_spsc_push(&transfer->ring, items[0])
                               : mini_spsc_push_many(&transfer->ring, items, n);
        EXPECT(pushed <= n);
        sent += pushed;
        if (pushed == 0) sched_yield();
    }
    return NULL;
}

static void *consume(void *argument) {
    struct transfer *transfer = argument;
    unsigned seed = 2;
    void *items[100];

    for (size_t got = 0; got < transfer->total;) {
        size_t n = 1 + next_random(&seed) % transfer->batch;
        size_t popped = n == 1 ? mini_spsc_pop(&transfer->ring, items)
                               : mini_spsc_pop_many(&transfer->ring, items, n);

        EXPECT(popped <= n && popped <= transfer->total - got);
        for (size_t i = 0; i < popped; i++) EXPECT(items[i] == number(got + i));
        got += popped;
        if (popped == 0) sched_yield();
    }
    return NULL;
}

/* A third thread may count at any time; what it reads may be old, but never
 * less than nothing, nor more than there is room for. */
static void *observe(void *argument) {
    struct transfer *transfer = argument;

    while (!atomic_load(&transfer->done)) {
        EXPECT(mini_spsc_count(&transfer->ring) <= transfer->ring.mask + 1);
        sched_yield();
    }
    return NULL;
}

static void transfer(size_t capacity, size_t batch, size_t total) {
    struct transfer transfer = {.total = total / SLOW, .batch = batch};

    ring_init(&transfer.ring, capacity, SIZE_MAX - total / SLOW / 2);
    pthread_t consumer = start_thread(consume, &transfer);
    pthread_t observer = start_thread(observe, &transfer);
    pthread_t producer = start_thread(produce, &transfer);
    pthread_join(producer, NULL);
    pthread_join(consumer, NULL);
    atomic_store(&transfer.done, true);
    pthread_join(observer, NULL);
    assert_as_expected();
    assert_int_equal(mini_spsc_count(&transfer.ring), 0);
    mini_spsc_destroy(&transfer.ring);
}

static void g3_1_two_threads_pass_millions_in_order(void **state) {
    (void)state;
    transfer(1, 1, 20000);
    transfer(2, 3, 50000);
    transfer(4, 100, 100000);
    transfer(8, 1, 100000);
    transfer(64, 100, 1000000);
    transfer(1024, 100, 4000000);
}

/* The same four blocks go round: what is written there before a push must be
 * there after the pop, and what the consumer does with a block must be over
 * before the producer has it back. */
struct round_trip {
    struct mini_spsc there, back;
    long total;
};

struct payload {
    long values[4];
};

static void *fill_payloads(void *argument) {
    struct round_trip *trip = argument;
    void *item;

    for (long i = 1; i <= trip->total; i++) {
        while (!mini_spsc_pop(&trip->back, &item)) sched_yield();
        struct payload *payload = item;
        for (int k = 0; k < 4; k++) {
            EXPECT(payload->values[k] == 0);
            payload->values[k] = i;
        }
        EXPECT(mini_spsc_push(&trip->there, item));
    }
    return NULL;
}

static void *empty_payloads(void *argument) {
    struct round_trip *trip = argument;
    void *item;

    for (long i = 1; i <= trip->total; i++) {
        while (!mini_spsc_pop(&trip->there, &item)) sched_yield();
        struct payload *payload = item;
        for (int k = 0; k < 4; k++) {
            EXPECT(payload->values[k] == i);
            payload->values[k] = 0;
        }
        EXPECT(mini_spsc_push(&trip->back, item));
    }
    return NULL;
}

static void g3_3_what_was_written_before_a_push_is_there(void **state) {
    struct round_trip trip = {.total = 200000 / SLOW};
    struct payload payloads[4] = {{{0}}};

    (void)state;
    ring_init(&trip.there, 4, 0);
    ring_init(&trip.back, 4, 0);
    for (size_t i = 0; i < LENGTH(payloads); i++)
        assert_true(mini_spsc_push(&trip.back, &payloads[i]));
    pthread_t filler = start_thread(fill_payloads, &trip);
    pthread_t emptier = start_thread(empty_payloads, &trip);
    pthread_join(filler, NULL);
    pthread_join(emptier, NULL);
    assert_as_expected();
    mini_spsc_destroy(&trip.there);
    mini_spsc_destroy(&trip.back);
}

/* ---- G3.4: the bare pattern ----------------------------------------------- */

/* Two threads each store to their own word, then load the other's. In the one
 * order of all seq_cst operations one of the stores is first, so one of the
 * loads must see it.
 *
 * To see why park.h insists on that order, make these release and acquire: on
 * a PC with two idle cores thousands of the rounds then end with neither thread
 * having seen the other's store. Each is a wake-up lost: a sleeper who has not
 * seen the item, and a sender who has not seen that it sleeps. */
#define LITMUS_STORE memory_order_seq_cst
#define LITMUS_LOAD memory_order_seq_cst

/* Rounds count in which both threads ran at the same time; where the machine has
 * too much else to do for that, a second of trying must be enough. */
#define LITMUS_OVERLAPS 20000
#define LITMUS_ROUNDS ((size_t)200000)

struct litmus_word {
    _Alignas(MINI_CACHE_LINE) atomic_size_t value;
};

struct litmus {
    struct litmus_word words[2];
    struct litmus_word arrived; /* threads, in all rounds so far */
    struct litmus_word rounds; /* that both do; lowered when it is enough */
    struct mini_spsc *ring; /* its tail instead of the first word, or NULL */
    bool *seen[2]; /* by each thread in each round */
};

/* Waits for the other, then for a moment that differs. False if the other kept
 * it waiting for so long that they did not run at the same time. */
static bool litmus_meet(struct litmus *litmus, size_t round, unsigned *seed) {
    int spins = 0;

    atomic_fetch_add(&litmus->arrived.value, 1);
    while (atomic_load(&litmus->arrived.value) < 2 * round + 2)
        if (++spins > 10000) sched_yield();
    for (unsigned n = next_random(seed) % 200; n > 0; n--)
        atomic_load_explicit(&litmus->arrived.value, memory_order_relaxed);
    if (next_random(seed) % 4 == 0) clog_store_buffer(seed);
    return spins <= 10000;
}

static void *litmus_sender(void *argument) {
    uint64_t end = mini_clock() + MINI_SECOND;
    struct litmus *litmus = argument;
    size_t overlaps = 0;
    unsigned seed = 3;

    for (size_t i = 0; i < atomic_load(&litmus->rounds.value); i++) {
        overlaps += litmus_meet(litmus, i, &seed);
        if (litmus->ring != NULL) {
            mini_spsc_push(litmus->ring, number(i));
            mini_spsc_announce(&litmus->ring->tail);
        } else {
            atomic_store_explicit(&litmus->words[0].value, i + 1, LITMUS_STORE);
        }
        litmus->seen[0][i] =
            atomic_load_explicit(&litmus->words[1].value, LITMUS_LOAD) > i;
        if (atomic_load(&litmus->rounds.value) == LITMUS_ROUNDS &&
            i + 2 < LITMUS_ROUNDS &&
            (overlaps >= LITMUS_OVERLAPS || mini_clock() > end))
            atomic_store(&litmus->rounds.value, i + 2); /* one more */
    }
    return NULL;
}

static void *litmus_sleeper(void *argument) {
    struct litmus *litmus = argument;
    unsigned seed = 4;

    for (size_t i = 0; i < atomic_load(&litmus->rounds.value); i++) {
        litmus_meet(litmus, i, &seed);
        atomic_store_explicit(&litmus->words[1].value, i + 1, LITMUS_STORE);
        litmus->seen[1][i] = litmus->ring != NULL
            ? mini_spsc_count(litmus->ring) > i
            : atomic_load_explicit(&litmus->words[0].value, LITMUS_LOAD) > i;
    }
    return NULL;
}

/* In how many rounds did neither see the other? */
static size_t litmus_failures(struct mini_spsc *ring) {
    static struct litmus litmus;
    size_t failures = 0;

    memset(&litmus, 0, sizeof litmus);
    litmus.ring = ring;
    litmus.rounds.value = LITMUS_ROUNDS;
    litmus.seen[0] = calloc(LITMUS_ROUNDS, sizeof(bool));
    litmus.seen[1] = calloc(LITMUS_ROUNDS, sizeof(bool));
    assert_non_null(litmus.seen[0]);
    assert_non_null(litmus.seen[1]);
    pthread_t sender = start_thread(litmus_sender, &litmus);
    pthread_t sleeper = start_thread(litmus_sleeper, &litmus);
    pthread_join(sender, NULL);
    pthread_join(sleeper, NULL);
    for (size_t i = 0; i < litmus.rounds.value; i++)
        failures += !litmus.seen[0][i] && !litmus.seen[1][i];
    free(litmus.seen[0]);
    free(litmus.seen[1]);
    return failures;
}

static void g3_4_litmus_of_two_stores_and_two_loads(void **state) {
    (void)state;
    if (MINI_TEST_EMULATED) skip();
    assert_int_equal(litmus_failures(NULL), 0);
}

/* The same with what the runtime has for it: an announced push, and a count. */
static void g3_4_litmus_of_an_announced_push(void **state) {
    struct mini_spsc ring;

    (void)state;
    if (MINI_TEST_EMULATED) skip();
    ring_init(&ring, 1 << 18, 0);
    assert_int_equal(litmus_failures(&ring), 0);
    mini_spsc_destroy(&ring);
}

/* ---- G3.2, G3.6, G3.7: every state of a channel, on one thread ------------ */

static struct mini_channel channel; /* of most tests below */

static void channel_init(size_t capacity) {
    assert_int_equal(mini_channel_init(&channel, capacity), 0);
}

/* Receives without waiting what must be FIRST to LAST, then nothing. */
static void expect_numbers(size_t first, size_t last) {
    void *item = NULL;

    for (size_t n = first; n <= last; n++) {
        EXPECT(mini_channel_try_recv(&channel, &item) == 0);
        EXPECT(item == number(n));
    }
    EXPECT(mini_channel_try_recv(&channel, &item) < 0);
}

static MINI_POLL(try_script) {
    void *item = NULL;

    (void)cx;
    for (size_t round = 0; round < 3; round++) {
        EXPECT(mini_channel_try_recv(&channel, &item) == -EAGAIN);
        for (size_t n = 1; n <= 4; n++)
            EXPECT(mini_channel_try_send(&channel, number(n)) == 0);
        EXPECT(mini_channel_try_send(&channel, number(5)) == -EAGAIN);
        expect_numbers(1, 4);
    }
    EXPECT(mini_channel_try_send(&channel, NULL) == 0); /* NULL is an item */
    EXPECT(mini_channel_try_send(&channel, number(2)) == 0);
    mini_channel_close(&channel);
    EXPECT(mini_channel_try_send(&channel, number(3)) == -EPIPE);
    item = &item;
    EXPECT(mini_channel_try_recv(&channel, &item) == 0 && item == NULL);
    EXPECT(mini_channel_try_recv(&channel, &item) == 0 && item == number(2));
    EXPECT(mini_channel_try_recv(&channel, &item) == -EPIPE);
    mini_channel_close(&channel); /* any number of times */
    EXPECT(mini_channel_try_recv(&channel, &item) == -EPIPE);
    EXPECT(mini_channel_try_send(&channel, number(3)) == -EPIPE);
    return mini_ready(future, (long)mini_stats()->rings);
}

static void g3_2_try_forms_refuse_when_full_and_when_empty(void **state) {
    (void)state;
    channel_init(4);
    assert_int_equal(run_script(try_script), 0);
    assert_as_expected();
    mini_channel_destroy(&channel);
}

/* The try forms need no executor. */
static void g3_2_try_forms_work_outside_of_a_run(void **state) {
    void *item = NULL;

    (void)state;
    channel_init(1);
    assert_int_equal(mini_channel_try_send(&channel, number(1)), 0);
    assert_int_equal(mini_channel_try_send(&channel, number(2)), -EAGAIN);
    assert_int_equal(mini_channel_try_recv(&channel, &item), 0);
    assert_ptr_equal(item, number(1));
    assert_int_equal(mini_channel_try_recv(&channel, &item), -EAGAIN);
    mini_channel_close(&channel);
    assert_int_equal(mini_channel_try_recv(&channel, &item), -EPIPE);
    mini_channel_destroy(&channel);
}

/* Futures driven by hand: a send waits for room and for nothing else. */
static MINI_POLL(waits_script) {
    struct mini_channel_wait send, recv;
    void *item = NULL;

    for (size_t n = 1; n <= 4; n++) {
        EXPECT(mini_drive(mini_channel_send(&send, &channel, number(n)), cx));
        EXPECT(send.future.result == 0);
    }
    mini_channel_send(&send, &channel, number(5));
    EXPECT(!mini_drive(&send.future, cx));
    EXPECT(!mini_drive(&send.future, cx)); /* polled for nothing: no harm */
    EXPECT(mini_channel_try_recv(&channel, &item) == 0 && item == number(1));
    EXPECT(mini_drive(&send.future, cx) && send.future.result == 0);
    EXPECT(mini_channel_try_send(&channel, number(6)) == -EAGAIN);
    for (size_t n = 2; n <= 5; n++) {
        EXPECT(mini_drive(mini_channel_recv(&recv, &channel), cx));
        EXPECT(recv.future.result == 0 && recv.item == number(n));
    }
    EXPECT(!mini_drive(mini_channel_recv(&recv, &channel), cx));
    EXPECT(!mini_drive(&recv.future, cx));
    EXPECT(mini_channel_try_send(&channel, number(6)) == 0);
    EXPECT(mini_drive(&recv.future, cx));
    EXPECT(recv.future.result == 0 && recv.item == number(6));
    return mini_ready(future, (long)mini_stats()->rings);
}

static void g3_2_send_and_recv_wait_only_when_they_must(void **state) {
    (void)state;
    channel_init(4);
    assert_int_equal(run_script(waits_script), 0);
    assert_as_expected();
    mini_channel_destroy(&channel);
}

/* Cancelled in every state: before it began, while it waits, and while it
 * waits for what has come in the meantime. */
static MINI_POLL(cancel_recv_script) {
    struct mini_channel_wait recv;

    EXPECT(drive_cancelled(mini_channel_recv(&recv, &channel), cx));
    EXPECT(recv.future.result == -ECANCELED);
    EXPECT(mini_channel_try_send(&channel, number(1)) == 0);
    EXPECT(drive_cancelled(mini_channel_recv(&recv, &channel), cx));
    EXPECT(recv.future.result == -ECANCELED); /* though there was one */
    expect_numbers(1, 1);
    for (int i = 0; i < 3; i++) { /* its place is free for the next each time */
        EXPECT(!mini_drive(mini_channel_recv(&recv, &channel), cx));
        EXPECT(drive_cancelled(&recv.future, cx));
        EXPECT(recv.future.result == -ECANCELED);
    }
    EXPECT(!mini_drive(mini_channel_recv(&recv, &channel), cx));
    EXPECT(mini_channel_try_send(&channel, number(2)) == 0);
    EXPECT(drive_cancelled(&recv.future, cx));
    if (recv.future.result == 0) { /* it says that it took it */
        EXPECT(recv.item == number(2));
        expect_numbers(1, 0);
    } else {
        EXPECT(recv.future.result == -ECANCELED);
        expect_numbers(2, 2);
    }
    EXPECT(!mini_drive(mini_channel_recv(&recv, &channel), cx));
    EXPECT(mini_channel_try_send(&channel, number(3)) == 0);
    EXPECT(mini_drive(&recv.future, cx) && recv.item == number(3));
    return mini_ready(future, 0);
}

static MINI_POLL(cancel_send_script) {
    struct mini_channel_wait send;
    void *item = NULL;

    EXPECT(drive_cancelled(mini_channel_send(&send, &channel, number(9)), cx));
    EXPECT(send.future.result == -ECANCELED); /* though there was room */
    expect_numbers(1, 0);
    EXPECT(mini_channel_try_send(&channel, number(1)) == 0);
    EXPECT(mini_channel_try_send(&channel, number(2)) == 0);
    EXPECT(drive_cancelled(mini_channel_send(&send, &channel, number(9)), cx));
    EXPECT(send.future.result == -ECANCELED);
    for (int i = 0; i < 3; i++) {
        EXPECT(!mini_drive(mini_channel_send(&send, &channel, number(9)), cx));
        EXPECT(drive_cancelled(&send.future, cx));
        EXPECT(send.future.result == -ECANCELED);
    }
    EXPECT(!mini_drive(mini_channel_send(&send, &channel, number(3)), cx));
    EXPECT(mini_channel_try_recv(&channel, &item) == 0 && item == number(1));
    EXPECT(drive_cancelled(&send.future, cx)); /* and there is room again */
    EXPECT(send.future.result == 0 || send.future.result == -ECANCELED);
    if (send.future.result == 0)
        expect_numbers(2, 3);
    else
        expect_numbers(2, 2);
    EXPECT(mini_drive(mini_channel_send(&send, &channel, number(4)), cx));
    EXPECT(send.future.result == 0);
    expect_numbers(4, 4);
    return mini_ready(future, 0);
}

static void g3_7_a_cancel_in_every_state_of_a_recv(void **state) {
    (void)state;
    channel_init(2);
    assert_int_equal(run_script(cancel_recv_script), 0);
    assert_as_expected();
    mini_channel_destroy(&channel);
}

static void g3_7_a_cancel_in_every_state_of_a_send(void **state) {
    (void)state;
    channel_init(2);
    assert_int_equal(run_script(cancel_send_script), 0);
    assert_as_expected();
    mini_channel_destroy(&channel);
}

/* The receiver drains what is in flight; the sender stops at once. */
static MINI_POLL(close_script) {
    struct mini_channel_wait send, recv;

    for (size_t n = 1; n <= 2; n++)
        EXPECT(mini_channel_try_send(&channel, number(n)) == 0);
    EXPECT(!mini_drive(mini_channel_send(&send, &channel, number(3)), cx));
    mini_channel_close(&channel);
    EXPECT(mini_drive(&send.future, cx) && send.future.result == -EPIPE);
    EXPECT(mini_drive(mini_channel_recv(&recv, &channel), cx));
    EXPECT(recv.future.result == 0 && recv.item == number(1));
    /* there is room now, but it is closed */
    EXPECT(mini_drive(mini_channel_send(&send, &channel, number(4)), cx));
    EXPECT(send.future.result == -EPIPE);
    EXPECT(mini_drive(mini_channel_recv(&recv, &channel), cx));
    EXPECT(recv.future.result == 0 && recv.item == number(2));
    for (int i = 0; i < 2; i++) {
        EXPECT(mini_drive(mini_channel_recv(&recv, &channel), cx));
        EXPECT(recv.future.result == -EPIPE);
    }
    return mini_ready(future, 0);
}

static MINI_POLL(close_empty_script) {
    struct mini_channel_wait recv;

    EXPECT(!mini_drive(mini_channel_recv(&recv, &channel), cx));
    mini_channel_close(&channel);
    EXPECT(mini_drive(&recv.future, cx) && recv.future.result == -EPIPE);
    return mini_ready(future, 0);
}

static void g3_6_the_receiver_drains_what_is_in_flight(void **state) {
    (void)state;
    channel_init(2);
    assert_int_equal(run_script(close_script), 0);
    mini_channel_destroy(&channel);
    channel_init(2);
    assert_int_equal(run_script(close_empty_script), 0);
    mini_channel_destroy(&channel);
    assert_as_expected();
}

/* ---- tasks over a channel -------------------------------------------------- */

/* Sends the numbers NEXT to LAST, then closes if it is to. */
struct sender {
    struct mini_future future;
    struct mini_channel_wait send;
    struct mini_channel *channel;
    size_t next, last;
    bool closes;
    void (*strike)(void); /* before its first sleep, or NULL */
    struct mini_stats stats; /* of its executor, in the end */
};

static MINI_POLL(sender) {
    struct sender *self = MINI_SELF(struct sender);

    MINI_BEGIN;
    before_sleep = self->strike;
    for (; self->next <= self->last; self->next++) {
        MINI_AWAIT(
            mini_channel_send(&self->send, self->channel, number(self->next)));
        if (MINI_RESULT < 0) break;
    }
    if (self->closes) mini_channel_close(self->channel);
    self->stats = *mini_stats();
    MINI_END(MINI_RESULT);
}

static struct mini_future *send_to(
    struct sender *slot, struct mini_channel *to, size_t last) {
    return MINI_CALL(
        struct sender, slot, sender, .channel = to, .next = 1, .last = last);
}

/* Receives 1, 2, 3 and so on until the channel is closed; how many. */
struct receiver {
    struct mini_future future;
    struct mini_channel_wait recv;
    struct mini_channel *channel;
    size_t next;
    void (*strike)(void);
    struct mini_stats stats;
};

static MINI_POLL(receiver) {
    struct receiver *self = MINI_SELF(struct receiver);

    MINI_BEGIN;
    before_sleep = self->strike;
    for (;; self->next++) {
        MINI_AWAIT(mini_channel_recv(&self->recv, self->channel));
        if (MINI_RESULT < 0) break;
        EXPECT(MINI_RESULT == 0 && self->recv.item == number(self->next));
    }
    self->stats = *mini_stats();
    if (MINI_RESULT != -EPIPE) MINI_RETURN(MINI_RESULT);
    MINI_END((long)self->next - 1);
}

static struct mini_future *receive_from(
    struct receiver *slot, struct mini_channel *from) {
    return MINI_CALL(
        struct receiver, slot, receiver, .channel = from, .next = 1);
}

/* A main that takes one item at a time, and looks how far the sender comes when
 * it has all the time that it wants. */
struct watcher {
    struct mini_future future;
    struct mini_sleep sleep;
    struct mini_join join;
    struct mini_task *task;
    size_t received;
};

static struct sender *watched; /* the task's frame */

static MINI_POLL(watched_sender) {
    watched = MINI_SELF(struct sender);
    return sender(future, cx);
}

static MINI_POLL(watcher) {
    struct watcher *self = MINI_SELF(struct watcher);
    void *item;

    MINI_BEGIN;
    self->task = MINI_SPAWN(struct sender, watched_sender, .channel = &channel,
        .next = 1, .last = 20);
    for (self->received = 0; self->received < 20; self->received++) {
        MINI_AWAIT(mini_sleep(&self->sleep, MINI_SECOND));
        if (self->received < 16) /* it waits with the next in its hand */
            EXPECT(watched->next == self->received + 5);
        EXPECT(mini_channel_try_recv(&channel, &item) == 0);
        EXPECT(item == number(self->received + 1));
    }
    EXPECT(mini_channel_try_recv(&channel, &item) == -EAGAIN);
    MINI_AWAIT(mini_join(&self->join, self->task));
    EXPECT(mini_stats()->rings == 0);
    MINI_END(MINI_RESULT);
}

static void g3_2_a_sender_is_capacity_items_ahead(void **state) {
    struct mini_options options = mini_defaults;
    struct watcher main;

    (void)state;
    options.virtual_clock = true;
    channel_init(4);
    assert_int_equal(
        mini_run(MINI_CALL(struct watcher, &main, watcher), &options), 0);
    assert_as_expected();
    mini_channel_destroy(&channel);
}

/* Both ends in one executor: nobody is ever asleep when the other acts. */
struct both_ends {
    struct mini_future future;
    struct mini_yield yield;
    struct mini_join join;
    struct mini_task *sender;
    struct receiver receiver;
    size_t count;
};

static MINI_POLL(both_ends) {
    struct both_ends *self = MINI_SELF(struct both_ends);

    MINI_BEGIN;
    self->sender = MINI_SPAWN(struct sender, sender, .channel = &channel,
        .next = 1, .last = self->count, .closes = true);
    MINI_AWAIT(receive_from(&self->receiver, &channel));
    EXPECT(MINI_RESULT == (long)self->count);
    MINI_AWAIT(mini_join(&self->join, self->sender));
    EXPECT(mini_stats()->rings == 0 && mini_stats()->waits == 0);
    MINI_END(MINI_RESULT);
}

static void g3_5_both_ends_in_one_thread_ring_nobody(void **state) {
    struct mini_options options = mini_defaults;
    struct both_ends main;

    (void)state;
    mini_test_bell_rings = 0;
    for (size_t capacity = 1; capacity <= 256; capacity *= 4)
        for (uint32_t seed = 0; seed < 3; seed++) {
            channel_init(capacity);
            options.shuffle_seed = seed;
            main = MINI_FRAME(struct both_ends, both_ends, .count = 5000);
            assert_int_equal(mini_run(&main.future, &options), 0);
            assert_as_expected();
            mini_channel_destroy(&channel);
        }
    assert_int_equal(mini_test_bell_rings, 0);
}

/* ---- G3.1, G3.5: two executors --------------------------------------------- */

static void stream(size_t capacity, size_t count) {
    struct receiver receiver;
    struct sender sender;
    struct run run;

    channel_init(capacity);
    run_begin(&run, receive_from(&receiver, &channel));
    send_to(&sender, &channel, count);
    sender.closes = true;
    assert_int_equal(mini_run(&sender.future, NULL), 0);
    assert_int_equal(run_end(&run), count);
    assert_as_expected();
    /* rung once a sleep at the most */
    assert_true(sender.stats.rings <= receiver.stats.waits);
    assert_true(receiver.stats.rings <= sender.stats.waits);
    mini_channel_destroy(&channel);
}

static void g3_1_two_executors_pass_all_in_order(void **state) {
    (void)state;
    stream(1, 5000 / SLOW);
    stream(2, 10000 / SLOW);
    stream(8, 50000 / SLOW);
    stream(256, 500000 / SLOW);
}

/* Both sides look again and again instead of waiting: nobody is rung. */
struct busy {
    struct mini_future future;
    struct mini_yield yield;
    size_t next, last;
    bool receives;
};

static MINI_POLL(busy) {
    struct busy *self = MINI_SELF(struct busy);
    void *item;
    int result;

    MINI_BEGIN;
    while (self->next <= self->last) {
        result = self->receives
            ? mini_channel_try_recv(&channel, &item)
            : mini_channel_try_send(&channel, number(self->next));
        EXPECT(result == 0 || result == -EAGAIN);
        if (result == 0) {
            EXPECT(!self->receives || item == number(self->next));
            self->next++;
        } else {
            sched_yield(); /* the other may need this CPU */
            MINI_AWAIT(mini_yield(&self->yield));
        }
    }
    EXPECT(mini_stats()->rings == 0 && mini_stats()->waits == 0);
    MINI_END(0);
}

static void g3_5_sides_that_are_busy_ring_nobody(void **state) {
    size_t count = 100000 / SLOW;
    struct busy frames[2];
    struct run run;

    (void)state;
    channel_init(16);
    frames[0] = MINI_FRAME(struct busy, busy, .next = 1, .last = count);
    frames[1] = MINI_FRAME(
        struct busy, busy, .next = 1, .last = count, .receives = true);
    mini_test_bell_rings = 0;
    run_begin(&run, &frames[1].future);
    assert_int_equal(mini_run(&frames[0].future, NULL), 0);
    assert_int_equal(run_end(&run), 0);
    assert_int_equal(mini_test_bell_rings, 0);
    assert_as_expected();
    mini_channel_destroy(&channel);
}

/* A number goes back and forth, so that each side sleeps all the time. */
struct ball {
    struct mini_future future;
    struct mini_channel_wait wait;
    struct mini_channel *in, *out;
    size_t round;
    uint64_t end; /* of who serves: the round that has begun by then is the last
                   * one */
    unsigned seed; /* not 0: strike at random moments, stores held back */
    bool serves;
    struct mini_stats stats;
};

static atomic_size_t rounds; /* that are played */

static void pause_at_random(unsigned *seed) {
    for (unsigned n = next_random(seed) % 3000; n > 0; n--)
        atomic_load_explicit(&first_wrong, memory_order_relaxed);
    if (next_random(seed) % 2 == 0) clog_store_buffer(seed);
}

static MINI_POLL(ball) {
    struct ball *self = MINI_SELF(struct ball);

    MINI_BEGIN;
    /* relaxed: news of the last round comes with its ball */
    for (self->round = 0;
         self->round < atomic_load_explicit(&rounds, memory_order_relaxed);
         self->round++) {
        if (self->serves && mini_clock() > self->end)
            atomic_store(&rounds, self->round + 1);
        if (!self->serves || self->round > 0) {
            MINI_AWAIT(mini_channel_recv(&self->wait, self->in));
            EXPECT(MINI_RESULT == 0);
            EXPECT(self->wait.item == number(self->round + !self->serves));
        }
        if (self->seed != 0) pause_at_random(&self->seed);
        MINI_AWAIT(
            mini_channel_send(&self->wait, self->out, number(self->round + 1)));
        EXPECT(MINI_RESULT == 0);
    }
    self->stats = *mini_stats();
    MINI_END(0);
}

/* COUNT rounds, or what is done in 20 s: on a busy machine each hand-over takes
 * a time slice of everybody else. */
static void play(size_t count, unsigned seed) {
    struct mini_channel back;
    struct ball here, there;
    struct run run;

    channel_init(1);
    assert_int_equal(mini_channel_init(&back, 1), 0);
    rounds = count;
    here = MINI_FRAME(struct ball, ball, .in = &back, .out = &channel,
        .end = mini_clock() + 20 * MINI_SECOND, .seed = seed, .serves = true);
    there = MINI_FRAME(
        struct ball, ball, .in = &channel, .out = &back, .seed = 2 * seed);
    mini_test_bell_rings = 0;
    run_begin(&run, &there.future);
    assert_int_equal(mini_run(&here.future, NULL), 0);
    assert_int_equal(run_end(&run), 0);
    assert_as_expected();
    /* no others than those that are counted */
    assert_in_range(
        mini_test_bell_rings, 0, here.stats.rings + there.stats.rings);
    assert_true(here.stats.rings <= there.stats.waits);
    assert_true(there.stats.rings <= here.stats.waits);
    mini_channel_destroy(&channel);
    mini_channel_destroy(&back);
}

static void g3_5_sleepers_wake_each_other(void **state) {
    (void)state;
    play(20000 / SLOW, 0);
}

static void g3_4_a_sender_may_strike_at_any_moment(void **state) {
    (void)state;
    play(20000 / SLOW, 7);
}

/* ---- G3.4, G3.5: forced interleavings ---------------------------------------
 *
 * on_park stands where an unlucky sender strikes. One that has looked before
 * `sleeping` was stored does not ring: for it mini_park_end takes the store
 * back, so that only the second look can find what it left. */

static void send_unseen(void) {
    mini_park_end(mini_self);
    EXPECT(mini_channel_try_send(&channel, number(1)) == 0);
}

static void send_seen(void) {
    EXPECT(mini_channel_try_send(&channel, number(1)) == 0);
}

static void receive_unseen(void) {
    void *item = NULL;

    mini_park_end(mini_self);
    EXPECT(mini_channel_try_recv(&channel, &item) == 0 && item == number(8));
}

static void receive_seen(void) {
    void *item = NULL;

    EXPECT(mini_channel_try_recv(&channel, &item) == 0 && item == number(8));
}

static void close_unseen(void) {
    mini_park_end(mini_self);
    mini_channel_close(&channel);
}

static void close_seen(void) { mini_channel_close(&channel); }

struct struck {
    struct mini_future future;
    struct mini_channel_wait wait;
    struct mini_sleep sleep;
    void (*strike)(void);
    bool sends; /* else receives */
    uint64_t rings; /* that the strike should have made */
    long result;
};

static MINI_POLL(struck) {
    struct struck *self = MINI_SELF(struct struck);

    MINI_BEGIN;
    before_sleep = self->strike;
    MINI_AWAIT(self->sends ? mini_channel_send(&self->wait, &channel, number(9))
                           : mini_channel_recv(&self->wait, &channel));
    self->result = MINI_RESULT;
    EXPECT(before_sleep == NULL); /* it did strike */
    EXPECT(mini_stats()->rings == self->rings);
    /* a bell that was rung for nothing must not keep it awake */
    MINI_AWAIT(mini_sleep(&self->sleep, 5 * MINI_MS));
    EXPECT(mini_stats()->waits <= 20);
    MINI_END(self->result);
}

/* A receiver finds the channel empty, a sender finds it full of 8 and 8. */
static long strike(void (*strike)(void), bool sends, uint64_t rings) {
    struct struck main;

    channel_init(2);
    if (sends) {
        mini_channel_try_send(&channel, number(8));
        mini_channel_try_send(&channel, number(8));
    }
    long result =
        mini_run(MINI_CALL(struct struck, &main, struck, .strike = strike,
                     .sends = sends, .rings = rings),
            NULL);
    mini_channel_destroy(&channel);
    assert_as_expected();
    if (result == 0 && !sends) assert_ptr_equal(main.wait.item, number(1));
    return result;
}

static void g3_4_the_second_look_finds_what_came_in_between(void **state) {
    (void)state;
    assert_int_equal(strike(send_unseen, false, 0), 0);
    assert_int_equal(strike(receive_unseen, true, 0), 0);
    assert_int_equal(strike(close_unseen, false, 0), -EPIPE);
    assert_int_equal(strike(close_unseen, true, 0), -EPIPE);
}

/* Who strikes after the store sees it, and rings, once. */
static void g3_4_who_comes_after_the_store_rings(void **state) {
    (void)state;
    assert_int_equal(strike(send_seen, false, 1), 0);
    assert_int_equal(strike(receive_seen, true, 1), 0);
    assert_int_equal(strike(close_seen, false, 1), -EPIPE);
    assert_int_equal(strike(close_seen, true, 1), -EPIPE);
}

/* The same at the worst of all moments a thousand times, from the other end of
 * a stream: the receiver is in front of every sleep. */
struct unlucky {
    struct mini_future future;
    struct mini_channel_wait recv;
    size_t round;
};

static size_t unlucky_number;

static void send_next_unseen(void) {
    mini_park_end(mini_self);
    EXPECT(mini_channel_try_send(&channel, number(++unlucky_number)) == 0);
}

static MINI_POLL(unlucky) {
    struct unlucky *self = MINI_SELF(struct unlucky);

    MINI_BEGIN;
    for (self->round = 1; self->round <= 1000; self->round++) {
        before_sleep = send_next_unseen;
        MINI_AWAIT(mini_channel_recv(&self->recv, &channel));
        EXPECT(MINI_RESULT == 0 && self->recv.item == number(self->round));
    }
    EXPECT(mini_stats()->rings == 0);
    MINI_END(0);
}

static void g3_4_every_sleep_meets_a_sender(void **state) {
    struct unlucky main;

    (void)state;
    unlucky_number = 0;
    channel_init(1);
    assert_int_equal(
        mini_run(MINI_CALL(struct unlucky, &main, unlucky), NULL), 0);
    assert_as_expected();
    mini_channel_destroy(&channel);
}

/* What the second look finds to run is run by an executor that is awake, so
 * that what runs rings nobody, itself least of all. */
static struct mini_task *to_wake;

static void wake_it(void) { mini_wake(to_wake); }

static MINI_POLL(send_when_woken) {
    to_wake = cx.task;
    if (future->resume++ == 0) return MINI_PENDING;
    EXPECT(mini_channel_try_send(&channel, number(1)) == 0);
    return mini_ready(future, 0);
}

struct second_look {
    struct mini_future future;
    struct mini_channel_wait recv;
};

struct only_future {
    struct mini_future future;
};

static MINI_POLL(second_look) {
    struct second_look *self = MINI_SELF(struct second_look);

    MINI_BEGIN;
    mini_detach(MINI_SPAWN(struct only_future, send_when_woken));
    before_sleep = wake_it;
    MINI_AWAIT(mini_channel_recv(&self->recv, &channel));
    EXPECT(self->recv.item == number(1));
    EXPECT(mini_stats()->rings == 0);
    MINI_END(MINI_RESULT);
}

static void g3_5_a_second_look_that_finds_work_is_awake(void **state) {
    struct second_look main;

    (void)state;
    channel_init(2);
    assert_int_equal(
        mini_run(MINI_CALL(struct second_look, &main, second_look), NULL), 0);
    assert_as_expected();
    mini_channel_destroy(&channel);
}

/* A thread that stands in front of its sleep is rung by the first of ten
 * sends; in the next round, again. */
#define SLEEPS 50

struct sleeper {
    struct mini_future future;
    struct mini_channel_wait recv;
    size_t next;
};

static MINI_POLL(sleeper) {
    struct sleeper *self = MINI_SELF(struct sleeper);

    MINI_BEGIN;
    for (self->next = 0; self->next < 10 * SLEEPS; self->next++) {
        if (self->next % 10 == 0) before_sleep = stop_there;
        MINI_AWAIT(mini_channel_recv(&self->recv, &channel));
        EXPECT(MINI_RESULT == 0 && self->recv.item == number(self->next));
    }
    MINI_END(0);
}

static MINI_POLL(ring_sleeper) {
    size_t n = 0;

    (void)cx;
    for (uint64_t sleeps = 1; sleeps <= SLEEPS; sleeps++) {
        gate_pass(&is_parked);
        for (int i = 0; i < 10; i++)
            EXPECT(mini_channel_try_send(&channel, number(n++)) == 0);
        EXPECT(mini_stats()->rings == sleeps);
        gate_open(&may_go_on);
    }
    return mini_ready(future, 0);
}

static void g3_5_a_sleeper_is_rung_once_a_sleep(void **state) {
    struct sleeper main;
    struct run run;

    (void)state;
    channel_init(16);
    run_begin(&run, MINI_CALL(struct sleeper, &main, sleeper));
    assert_int_equal(run_script(ring_sleeper), 0);
    assert_int_equal(run_end(&run), 0);
    assert_as_expected();
    mini_channel_destroy(&channel);
}

/* Of two threads that find it asleep, one rings. */
struct two_inputs {
    struct mini_future future;
    struct mini_channel_wait waits[2];
    struct mini_future *futures[2];
    struct mini_select all;
};

static struct mini_channel second_channel;

static MINI_POLL(two_inputs) {
    struct two_inputs *self = MINI_SELF(struct two_inputs);

    MINI_BEGIN;
    before_sleep = stop_there;
    self->futures[0] = mini_channel_recv(&self->waits[0], &channel);
    self->futures[1] = mini_channel_recv(&self->waits[1], &second_channel);
    MINI_AWAIT(mini_join_all(&self->all, self->futures, 2));
    EXPECT(self->waits[0].item == number(1));
    EXPECT(self->waits[1].item == number(2));
    MINI_END(MINI_RESULT);
}

static MINI_POLL(send_to_first) {
    (void)cx;
    EXPECT(mini_channel_try_send(&channel, number(1)) == 0);
    return mini_ready(future, (long)mini_stats()->rings);
}

static MINI_POLL(send_to_second) {
    (void)cx;
    EXPECT(mini_channel_try_send(&second_channel, number(2)) == 0);
    return mini_ready(future, (long)mini_stats()->rings);
}

static void g3_5_of_two_senders_one_rings(void **state) {
    (void)state;
    for (int round = 0; round < 100; round++) {
        struct mini_future first = MINI_FUTURE(send_to_first, "first");
        struct mini_future second = MINI_FUTURE(send_to_second, "second");
        struct two_inputs main;
        struct run runs[3];

        channel_init(1);
        assert_int_equal(mini_channel_init(&second_channel, 1), 0);
        run_begin(&runs[0], MINI_CALL(struct two_inputs, &main, two_inputs));
        gate_pass(&is_parked);
        run_begin(&runs[1], &first);
        run_begin(&runs[2], &second);
        assert_int_equal(run_end(&runs[1]) + run_end(&runs[2]), 1);
        gate_open(&may_go_on);
        assert_int_equal(run_end(&runs[0]), 0);
        assert_as_expected();
        mini_channel_destroy(&channel);
        mini_channel_destroy(&second_channel);
    }
}

/* A receiver that waits at the channel, on a thread that is busy with other
 * things: nobody rings; when it is idle it finds what has come. */
static struct gate is_busy = GATE_CLOSED;
static struct gate is_sent = GATE_CLOSED;

static MINI_POLL(keep_thread_busy) {
    (void)cx;
    gate_open(&is_busy);
    gate_pass(&is_sent);
    return mini_ready(future, 0);
}

static MINI_POLL(wait_on_busy_thread) {
    struct second_look *self = MINI_SELF(struct second_look);

    MINI_BEGIN;
    mini_detach(MINI_SPAWN(struct only_future, keep_thread_busy));
    MINI_AWAIT(mini_channel_recv(&self->recv, &channel));
    EXPECT(self->recv.item == number(1));
    MINI_END(MINI_RESULT);
}

static MINI_POLL(send_to_busy) {
    (void)cx;
    gate_pass(&is_busy);
    EXPECT(mini_channel_try_send(&channel, number(1)) == 0);
    EXPECT(mini_channel_try_send(&channel, number(2)) == 0);
    EXPECT(mini_stats()->rings == 0);
    gate_open(&is_sent);
    return mini_ready(future, 0);
}

static void g3_5_a_busy_thread_is_not_rung(void **state) {
    struct second_look main;
    struct run run;

    (void)state;
    channel_init(2);
    run_begin(&run, MINI_CALL(struct second_look, &main, wait_on_busy_thread));
    assert_int_equal(run_script(send_to_busy), 0);
    assert_int_equal(run_end(&run), 0);
    assert_as_expected();
    mini_channel_destroy(&channel);
}

/* A thread that sleeps, but not at this channel any more, is not rung for it:
 * what waited there has been cancelled. */
struct gone {
    struct mini_future future;
    struct mini_timeout timeout;
    struct mini_channel_wait wait, other;
    bool sends;
};

static MINI_POLL(gone) {
    struct gone *self = MINI_SELF(struct gone);

    MINI_BEGIN;
    MINI_AWAIT(mini_timeout(&self->timeout,
        self->sends ? mini_channel_send(&self->wait, &channel, number(9))
                    : mini_channel_recv(&self->wait, &channel),
        MINI_US));
    EXPECT(MINI_RESULT == -ETIMEDOUT);
    before_sleep = stop_there;
    MINI_AWAIT(mini_channel_recv(&self->other, &second_channel));
    MINI_END(MINI_RESULT);
}

static MINI_POLL(act_without_ringing) {
    void *item;

    (void)cx;
    gate_pass(&is_parked);
    while (mini_channel_try_recv(&channel, &item) == 0)
        ;
    EXPECT(mini_channel_try_send(&channel, number(1)) == 0);
    EXPECT(mini_stats()->rings == 0);
    EXPECT(mini_channel_try_send(&second_channel, number(2)) == 0);
    EXPECT(mini_stats()->rings == 1);
    gate_open(&may_go_on);
    return mini_ready(future, 0);
}

static void g3_5_who_has_left_is_not_rung(void **state) {
    (void)state;
    for (int sends = 0; sends < 2; sends++) {
        struct gone main;
        struct run run;

        channel_init(1);
        assert_int_equal(mini_channel_init(&second_channel, 1), 0);
        if (sends) mini_channel_try_send(&channel, number(1));
        run_begin(&run, MINI_CALL(struct gone, &main, gone, .sends = sends));
        assert_int_equal(run_script(act_without_ringing), 0);
        assert_int_equal(run_end(&run), 0);
        assert_as_expected();
        mini_channel_destroy(&channel);
        mini_channel_destroy(&second_channel);
    }
}

/* Rung, it wakes, once; and then it sleeps again until it is rung again. */
struct light_sleeper {
    struct mini_future future;
    struct mini_channel_wait recv;
    size_t next;
};

static MINI_POLL(light_sleeper) {
    struct light_sleeper *self = MINI_SELF(struct light_sleeper);

    MINI_BEGIN;
    for (self->next = 1; self->next <= 5; self->next++) {
        MINI_AWAIT(mini_channel_recv(&self->recv, &channel));
        EXPECT(MINI_RESULT == 0 && self->recv.item == number(self->next));
    }
    /* a sleep for each item, and few that were cut short */
    EXPECT(mini_stats()->waits <= 20);
    EXPECT(mini_stats()->turns <= 100);
    MINI_END(0);
}

struct slow_sender {
    struct mini_future future;
    struct mini_sleep sleep;
    size_t next;
};

static MINI_POLL(slow_sender) {
    struct slow_sender *self = MINI_SELF(struct slow_sender);

    MINI_BEGIN;
    for (self->next = 1; self->next <= 5; self->next++) {
        MINI_AWAIT(mini_sleep(&self->sleep, 5 * MINI_MS));
        EXPECT(mini_channel_try_send(&channel, number(self->next)) == 0);
    }
    MINI_END(0);
}

static void g3_5_an_idle_receiver_sleeps(void **state) {
    struct light_sleeper receiving;
    struct slow_sender sending;
    struct run run;

    (void)state;
    channel_init(8);
    run_begin(&run, MINI_CALL(struct light_sleeper, &receiving, light_sleeper));
    assert_int_equal(
        mini_run(MINI_CALL(struct slow_sender, &sending, slow_sender), NULL),
        0);
    assert_int_equal(run_end(&run), 0);
    assert_as_expected();
    mini_channel_destroy(&channel);
}

/* ---- G3.6: close, and two threads ------------------------------------------ */

/* A third thread closes two channels: at one waits a receiver, at the other a
 * sender. STOPS: both are in front of their sleep then. */
static void close_two(bool stops) {
    struct receiver receiver;
    struct sender sender;
    struct run runs[2];

    channel_init(4);
    assert_int_equal(mini_channel_init(&second_channel, 1), 0);
    receive_from(&receiver, &channel);
    send_to(&sender, &second_channel, 2);
    receiver.strike = sender.strike = stops ? stop_there : NULL;
    run_begin(&runs[0], &receiver.future);
    run_begin(&runs[1], &sender.future);
    for (int i = 0; stops && i < 2; i++) gate_pass(&is_parked);
    mini_channel_close(&channel);
    mini_channel_close(&second_channel);
    for (int i = 0; stops && i < 2; i++) gate_open(&may_go_on);
    assert_int_equal(run_end(&runs[0]), 0); /* none received */
    assert_int_equal(run_end(&runs[1]), -EPIPE);
    for (size_t n = 1; n < sender.next; n++) {
        void *item = NULL;

        assert_int_equal(mini_channel_try_recv(&second_channel, &item), 0);
        assert_ptr_equal(item, number(n));
    }
    assert_true(sender.next <= 2);
    assert_as_expected();
    mini_channel_destroy(&channel);
    mini_channel_destroy(&second_channel);
}

static void g3_6_close_wakes_both_sides(void **state) {
    (void)state;
    for (int round = 0; round < 50; round++) close_two(round % 2);
}

/* Close at any moment of a stream: the sender knows exactly what it has sent,
 * and that is what arrives. What slipped in while it was closed is left in the
 * channel, for whoever destroys it. */
static void *close_soon(void *argument) {
    unsigned *seed = argument;

    for (unsigned n = next_random(seed) % 40; n > 0; n--) sched_yield();
    mini_channel_close(&channel);
    mini_channel_close(&channel);
    return NULL;
}

static void close_while_streaming(size_t capacity, unsigned *seed) {
    struct receiver receiver;
    struct sender sender;
    struct run runs[2];
    void *item = NULL;

    channel_init(capacity);
    run_begin(&runs[0], receive_from(&receiver, &channel));
    run_begin(&runs[1], send_to(&sender, &channel, SIZE_MAX - 1));
    pthread_t closer = start_thread(close_soon, seed);
    assert_int_equal(run_end(&runs[1]), -EPIPE);
    size_t received = (size_t)run_end(&runs[0]);
    pthread_join(closer, NULL);
    while (mini_channel_try_recv(&channel, &item) == 0)
        assert_ptr_equal(item, number(++received));
    assert_int_equal(received, sender.next - 1);
    assert_as_expected();
    mini_channel_destroy(&channel);
}

static void g3_6_close_at_any_moment_loses_nothing(void **state) {
    unsigned seed = 5;

    (void)state;
    for (int round = 0; round < 400 / SLOW + 20; round++)
        close_while_streaming((size_t)1 << round % 4, &seed);
}

/* A receiver may end, and its executor with it, while those who rang it are on
 * their way out; and the next may wait at the same end. */
static void *send_one(void *argument) {
    EXPECT(mini_channel_try_send(&channel, argument) == 0);
    return NULL;
}

struct receive_one {
    struct mini_future future;
    struct mini_channel_wait recv;
};

static MINI_POLL(receive_one) {
    struct receive_one *self = MINI_SELF(struct receive_one);

    MINI_BEGIN;
    MINI_AWAIT(mini_channel_recv(&self->recv, &channel));
    MINI_END(MINI_RESULT);
}

static MINI_POLL(nothing_script) {
    (void)cx;
    return mini_ready(future, 0);
}

static void g3_6_executors_come_and_go_at_one_channel(void **state) {
    (void)state;
    channel_init(2);
    for (size_t round = 1; round <= 1000 / SLOW + 50; round++) {
        struct receive_one main;
        pthread_t thread = start_thread(send_one, number(round));

        assert_int_equal(
            mini_run(MINI_CALL(struct receive_one, &main, receive_one), NULL),
            0);
        assert_ptr_equal(main.recv.item, number(round));
        run_script(nothing_script); /* the next executor, at the same place */
        pthread_join(thread, NULL);
        assert_as_expected();
    }
    mini_channel_destroy(&channel);
}

/* A run that ends takes out those of its tasks that still wait. */
static MINI_POLL(leave_waiting) {
    struct both_ends *self = MINI_SELF(struct both_ends);

    MINI_BEGIN;
    mini_detach(MINI_SPAWN(struct receive_one, receive_one));
    MINI_AWAIT(mini_yield(&self->yield));
    MINI_AWAIT(mini_yield(&self->yield));
    MINI_END(5);
}

static void g3_7_the_end_of_a_run_leaves_no_wait_behind(void **state) {
    struct receive_one receiving;
    struct both_ends main;

    (void)state;
    channel_init(2);
    for (int i = 0; i < 3; i++)
        assert_int_equal(
            mini_run(MINI_CALL(struct both_ends, &main, leave_waiting), NULL),
            5);
    assert_int_equal(mini_channel_try_send(&channel, number(1)), 0);
    assert_int_equal(
        mini_run(MINI_CALL(struct receive_one, &receiving, receive_one), NULL),
        0);
    assert_ptr_equal(receiving.recv.item, number(1));
    mini_channel_destroy(&channel);
}

/* ---- G3.7: time-outs that race with what they wait for ------------------- */

/* Each side gives up after a moment and tries again with the same number: one
 * that was sent or taken by a wait that says it was not would be seen twice,
 * or never. */
struct hasty {
    struct mini_future future;
    struct mini_timeout timeout;
    struct mini_channel_wait wait;
    struct mini_sleep sleep;
    size_t next, last, timeouts;
    unsigned seed;
    bool sends;
};

static MINI_POLL(hasty) {
    struct hasty *self = MINI_SELF(struct hasty);

    MINI_BEGIN;
    while (self->next <= self->last) {
        if (next_random(&self->seed) % 4 == 0)
            MINI_AWAIT(mini_sleep(
                &self->sleep, next_random(&self->seed) % 200 * MINI_US));
        MINI_AWAIT(mini_timeout(&self->timeout,
            self->sends
                ? mini_channel_send(&self->wait, &channel, number(self->next))
                : mini_channel_recv(&self->wait, &channel),
            next_random(&self->seed) % 150 * MINI_US));
        EXPECT(MINI_RESULT == 0 || MINI_RESULT == -ETIMEDOUT);
        if (MINI_RESULT == 0) {
            EXPECT(self->wait.item == number(self->next));
            self->next++;
        } else {
            EXPECT(self->wait.future.result == -ECANCELED);
            self->timeouts++;
        }
    }
    MINI_END((long)self->timeouts);
}

static void g3_7_timeouts_race_with_arrivals(void **state) {
    size_t count = 500;
    struct hasty frames[2];
    struct run run;
    void *item;

    (void)state;
    for (size_t capacity = 1; capacity <= 4; capacity *= 4) {
        channel_init(capacity);
        frames[0] = MINI_FRAME(struct hasty, hasty, .next = 1, .last = count,
            .seed = 11, .sends = true);
        frames[1] = MINI_FRAME(
            struct hasty, hasty, .next = 1, .last = count, .seed = 12);
        run_begin(&run, &frames[1].future);
        long timeouts = mini_run(&frames[0].future, NULL);
        timeouts += run_end(&run);
        assert_true(timeouts > 0); /* else this has tested nothing */
        assert_as_expected();
        assert_int_equal(mini_channel_try_recv(&channel, &item), -EAGAIN);
        mini_channel_destroy(&channel);
    }
}

/* Two streams, one receiver that selects: a wait that loses may have received
 * all the same, and says so. */
struct chooser {
    struct mini_future future;
    struct mini_select select;
    struct mini_channel_wait waits[2];
    struct mini_future *futures[2];
    size_t next[2];
    size_t last;
};

static void take_choice(struct chooser *self, int i) {
    struct mini_channel_wait *wait = &self->waits[i];

    EXPECT(wait->future.result == 0 || wait->future.result == -ECANCELED);
    if (wait->future.result == 0) EXPECT(wait->item == number(self->next[i]++));
}

static MINI_POLL(chooser) {
    struct chooser *self = MINI_SELF(struct chooser);

    MINI_BEGIN;
    while (self->next[0] + self->next[1] < 2 * self->last + 2) {
        self->futures[0] = mini_channel_recv(&self->waits[0], &channel);
        self->futures[1] = mini_channel_recv(&self->waits[1], &second_channel);
        MINI_AWAIT(mini_select(&self->select, self->futures, 2));
        EXPECT(MINI_RESULT == 0 || MINI_RESULT == 1);
        EXPECT(self->waits[MINI_RESULT].future.result == 0);
        take_choice(self, 0);
        take_choice(self, 1);
    }
    EXPECT(self->next[0] == self->last + 1 && self->next[1] == self->last + 1);
    MINI_END(0);
}

static void g3_7_select_over_two_channels(void **state) {
    size_t count = 10000 / SLOW;
    struct chooser main =
        MINI_FRAME(struct chooser, chooser, .next = {1, 1}, .last = count);
    struct sender senders[2];
    struct run runs[2];

    (void)state;
    channel_init(1);
    assert_int_equal(mini_channel_init(&second_channel, 4), 0);
    run_begin(&runs[0], send_to(&senders[0], &channel, count));
    run_begin(&runs[1], send_to(&senders[1], &second_channel, count));
    assert_int_equal(mini_run(&main.future, NULL), 0);
    assert_int_equal(run_end(&runs[0]), 0);
    assert_int_equal(run_end(&runs[1]), 0);
    assert_as_expected();
    mini_channel_destroy(&channel);
    mini_channel_destroy(&second_channel);
}

/* In virtual time a wait for the other thread is limited exactly. */
struct in_time {
    struct mini_future future;
    struct mini_timeout timeout;
    struct mini_channel_wait recv;
};

static MINI_POLL(in_time) {
    struct in_time *self = MINI_SELF(struct in_time);

    MINI_BEGIN;
    MINI_AWAIT(mini_timeout(&self->timeout,
        mini_channel_recv(&self->recv, &channel), 3600 * MINI_SECOND));
    EXPECT(MINI_RESULT == -ETIMEDOUT);
    EXPECT(mini_now() >= 3600 * MINI_SECOND);
    EXPECT(mini_now() < 3600 * MINI_SECOND + MINI_MS);
    EXPECT(mini_channel_try_send(&channel, number(1)) == 0);
    MINI_AWAIT(mini_timeout(&self->timeout,
        mini_channel_recv(&self->recv, &channel), 0)); /* what is there wins */
    EXPECT(MINI_RESULT == 0 && self->recv.item == number(1));
    EXPECT(mini_now() < 3600 * MINI_SECOND + MINI_MS);
    MINI_END(0);
}

static void g3_7_timeout_of_a_recv_in_virtual_time(void **state) {
    struct mini_options options = mini_defaults;
    struct in_time main;

    (void)state;
    options.virtual_clock = true;
    channel_init(1);
    assert_int_equal(
        mini_run(MINI_CALL(struct in_time, &main, in_time), &options), 0);
    assert_as_expected();
    mini_channel_destroy(&channel);
}

/* But to wait for it takes no virtual time: only a deadline does. */
static void send_at_last(void) {
    EXPECT(mini_channel_try_send(&channel, number(7)) == 0);
}

static void ring_for_nothing(void) {
    mini_bell_ring(&mini_self->parker.bell); /* it has slept by then, once */
    before_sleep = send_at_last;
}

static MINI_POLL(timeless) {
    struct in_time *self = MINI_SELF(struct in_time);

    MINI_BEGIN;
    before_sleep = ring_for_nothing;
    MINI_AWAIT(mini_channel_recv(&self->recv, &channel));
    EXPECT(MINI_RESULT == 0 && self->recv.item == number(7));
    EXPECT(mini_stats()->waits == 2);
    EXPECT(mini_now() == 0);
    MINI_END(0);
}

static void g2_2_virtual_time_does_not_jump_without_a_deadline(void **state) {
    struct mini_options options = mini_defaults;
    struct in_time main;

    (void)state;
    options.virtual_clock = true;
    channel_init(1);
    assert_int_equal(
        mini_run(MINI_CALL(struct in_time, &main, timeless), &options), 0);
    assert_as_expected();
    mini_channel_destroy(&channel);
}

/* Who polled it last is who is woken. */
struct heir {
    struct mini_future future;
    struct mini_channel_wait *wait;
    struct mini_join join;
    struct mini_task *task;
    struct mini_yield yield;
};

static MINI_POLL(inherits) {
    struct heir *self = MINI_SELF(struct heir);

    MINI_BEGIN;
    MINI_AWAIT(&self->wait->future);
    MINI_END(MINI_RESULT);
}

static MINI_POLL(bequeaths) {
    struct heir *self = MINI_SELF(struct heir);
    static struct mini_channel_wait wait;
    void *item = NULL;

    MINI_BEGIN;
    EXPECT(!mini_drive(mini_channel_recv(&wait, &channel), cx));
    self->task = MINI_SPAWN(struct heir, inherits, .wait = &wait);
    MINI_AWAIT(mini_yield(&self->yield)); /* it waits */
    EXPECT(mini_channel_try_send(&channel, number(1)) == 0);
    MINI_AWAIT(mini_join(&self->join, self->task));
    EXPECT(MINI_RESULT == 0 && wait.item == number(1));
    EXPECT(mini_channel_try_send(&channel, number(2)) == 0);
    EXPECT(!mini_drive(mini_channel_send(&wait, &channel, number(3)), cx));
    self->task = MINI_SPAWN(struct heir, inherits, .wait = &wait);
    MINI_AWAIT(mini_yield(&self->yield));
    EXPECT(mini_channel_try_recv(&channel, &item) == 0 && item == number(2));
    MINI_AWAIT(mini_join(&self->join, self->task));
    EXPECT(MINI_RESULT == 0);
    EXPECT(mini_channel_try_recv(&channel, &item) == 0 && item == number(3));
    EXPECT(!mini_drive(mini_channel_recv(&wait, &channel), cx));
    self->task = MINI_SPAWN(struct heir, inherits, .wait = &wait);
    MINI_AWAIT(mini_yield(&self->yield));
    mini_channel_close(&channel);
    MINI_AWAIT(mini_join(&self->join, self->task));
    EXPECT(MINI_RESULT == -EPIPE);
    MINI_END(0);
}

static void g3_6_a_wait_may_change_hands(void **state) {
    struct heir main;

    (void)state;
    channel_init(1);
    assert_int_equal(
        mini_run(MINI_CALL(struct heir, &main, bequeaths), NULL), 0);
    assert_as_expected();
    mini_channel_destroy(&channel);
}

/* Who yields for ever keeps no channel waiting. */
static MINI_POLL(yields_beside) {
    struct heir *self = MINI_SELF(struct heir);
    static struct mini_channel_wait wait;
    static int yields;

    MINI_BEGIN;
    mini_channel_recv(&wait, &channel);
    self->task = MINI_SPAWN(struct heir, inherits, .wait = &wait);
    MINI_AWAIT(mini_yield(&self->yield)); /* it waits */
    EXPECT(mini_channel_try_send(&channel, number(1)) == 0);
    for (yields = 0; yields < 1000 && self->task->state != MINI_ENDED; yields++)
        MINI_AWAIT(mini_yield(&self->yield));
    EXPECT(self->task->state == MINI_ENDED && wait.item == number(1));
    MINI_AWAIT(mini_join(&self->join, self->task));
    MINI_END(0);
}

static void g1_2_yielding_does_not_stop_channels(void **state) {
    struct heir main;

    (void)state;
    channel_init(1);
    assert_int_equal(
        mini_run(MINI_CALL(struct heir, &main, yields_beside), NULL), 0);
    assert_as_expected();
    mini_channel_destroy(&channel);
}

/* ---- what can never come, and what may come from outside ------------------- */

/* A wait at a channel may be ended by another thread: no dead-lock. One that
 * was cancelled may not. */
struct stuck {
    struct mini_future future;
    struct mini_timeout timeout;
    struct mini_channel_wait wait;
    struct mini_event never;
    struct mini_wait event;
    bool sends;
};

static MINI_POLL(stuck) {
    struct stuck *self = MINI_SELF(struct stuck);

    MINI_BEGIN;
    mini_event_init(&self->never);
    MINI_AWAIT(mini_timeout(&self->timeout,
        self->sends ? mini_channel_send(&self->wait, &channel, number(9))
                    : mini_channel_recv(&self->wait, &channel),
        MINI_US));
    EXPECT(MINI_RESULT == -ETIMEDOUT);
    MINI_AWAIT(mini_event_wait(&self->event, &self->never));
    MINI_END(0);
}

static void g1_5_a_cancelled_wait_is_nothing_to_wait_for(void **state) {
    char text[1000];

    (void)state;
    channel_init(1);
    mini_channel_try_send(&channel, number(1));
    for (int sends = 0; sends < 2; sends++) {
        struct stuck main;
        void *item;

        if (!sends)
            mini_channel_try_recv(&channel, &item);
        else
            mini_channel_try_send(&channel, number(1));
        main = MINI_FRAME(struct stuck, stuck, .sends = sends);
        mini_test_capture_begin();
        long result = mini_run(&main.future, NULL);
        mini_test_capture_end(text, sizeof text);
        assert_int_equal(result, -EDEADLK);
        assert_non_null(strstr(text, "stuck > mini_event_wait"));
        assert_as_expected();
    }
    mini_channel_destroy(&channel);
}

static void g1_5_a_wait_at_a_channel_is_no_deadlock(void **state) {
    struct receiver receiver;
    struct sender sender;
    struct run runs[2];
    void *item = NULL;

    (void)state;
    channel_init(1);
    assert_int_equal(mini_channel_init(&second_channel, 1), 0);
    receive_from(&receiver, &channel);
    send_to(&sender, &second_channel, 2);
    receiver.strike = sender.strike = stop_there;
    run_begin(&runs[0], &receiver.future);
    run_begin(&runs[1], &sender.future);
    for (int i = 0; i < 2; i++) { /* both have decided to sleep */
        gate_pass(&is_parked);
        gate_open(&may_go_on);
    }
    assert_int_equal(mini_channel_try_send(&channel, number(1)), 0);
    assert_int_equal(mini_channel_try_recv(&second_channel, &item), 0);
    assert_ptr_equal(item, number(1));
    mini_channel_close(&channel);
    assert_int_equal(run_end(&runs[0]), 1);
    assert_int_equal(run_end(&runs[1]), 0);
    assert_as_expected();
    mini_channel_destroy(&channel);
    mini_channel_destroy(&second_channel);
}

/* ---- misuse ------------------------------------------------------------------ */

/* Two tasks at the same end would each think that the other's item is theirs:
 * the runtime stops the program and says why. */
struct crowd {
    struct mini_future future;
    struct mini_channel_wait waits[2];
    bool send;
};

static MINI_POLL(crowd) {
    struct crowd *self = MINI_SELF(struct crowd);

    for (int i = 0; i < 2; i++)
        mini_drive(self->send
                ? mini_channel_send(&self->waits[i], &channel, number(9))
                : mini_channel_recv(&self->waits[i], &channel),
            cx);
    return MINI_READY;
}

static void two_at_one_end(bool send) {
    char text[1000];
    int status = 0;

    channel_init(1);
    if (send) mini_channel_try_send(&channel, number(1));
    mini_test_capture_begin();
    pid_t child = fork();
    if (child == 0) {
        struct crowd main;

        mini_run(MINI_CALL(struct crowd, &main, crowd, .send = send), NULL);
        _exit(0);
    }
    waitpid(child, &status, 0);
    mini_test_capture_end(text, sizeof text);
    assert_true(child > 0);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
    assert_non_null(strstr(text, "miniss: mini_channel"));
    mini_channel_destroy(&channel);
}

static void g3_2_two_tasks_at_one_end_are_a_panic(void **state) {
    (void)state;
    two_at_one_end(false);
    two_at_one_end(true);
}

/* ---- all of them ------------------------------------------------------------- */

#define TEST(name) cmocka_unit_test(name)
#define TEST_WITH_HOOK(name) \
    cmocka_unit_test_setup_teardown(name, with_hook, without_hook)

/* ---- G3.4 when the system refuses ---------------------------------------- */

/* Two executors, a channel between them; whoever ends closes it. */
struct courier {
    struct mini_future future;
    struct mini_channel_wait wait;
    struct mini_yield yield;
    bool began; /* the run has started */
    int count;
};

static struct mini_channel road;
enum { PARCELS = 5 };

static MINI_POLL(sends_parcels) {
    struct courier *self = MINI_SELF(struct courier);
    MINI_BEGIN;
    self->began = true;
    for (self->count = 0; self->count < PARCELS; self->count++) {
        MINI_AWAIT(mini_channel_send(
            &self->wait, &road, number((size_t)self->count + 1)));
        if (MINI_RESULT < 0) break;
    }
    MINI_END(MINI_RESULT);
}

static MINI_POLL(takes_parcels) {
    struct courier *self = MINI_SELF(struct courier);
    MINI_BEGIN;
    self->began = true;
    for (;;) {
        MINI_AWAIT(mini_channel_recv(&self->wait, &road));
        if (MINI_RESULT < 0) break;
        EXPECT(self->wait.item == number((size_t)++self->count));
    }
    MINI_END(MINI_RESULT);
}

static struct courier origin, target;

static void *receive_parcels(void *result) {
    *(long *)result = mini_run(&target.future, NULL);
    mini_channel_close(&road);
    return NULL;
}

static char couriers_said[4096];

/* 0: all has arrived; else the error of who could not start. */
static long send_parcels(void) {
    long sent, received = 0;

    mini_test_capture_begin(); /* a backend may say that it cannot */
    EXPECT(mini_channel_init(&road, 2) == 0);
    origin = (struct courier){.future = MINI_FUTURE(sends_parcels, "sender")};
    target = (struct courier){.future = MINI_FUTURE(takes_parcels, "receiver")};
    pthread_t thread = start_thread(receive_parcels, &received);

    sent = mini_run(&origin.future, NULL);
    mini_channel_close(&road);
    pthread_join(thread, NULL);
    mini_channel_destroy(&road);
    mini_test_capture_end(couriers_said, sizeof couriers_said);
    if (!origin.began) return sent;
    if (!target.began) return received;
    EXPECT(sent == 0 && received == -EPIPE);
    EXPECT(target.count == PARCELS);
    return 0;
}

static void all_has_arrived(long result, const struct mini_test_fault *fault) {
    assert_as_expected();
    assert_int_equal(result, origin.began && target.began ? 0 : -fault->error);
}

static void g3_4_a_wait_that_fails_loses_no_wake_up(void **state) {
    (void)state;
    long failed = mini_test_each_fault(send_parcels, all_has_arrived);

    if (failed == 0) skip(); /* where no call can be made to fail */
    assert_in_range(failed, 4, 10000);
}

static const struct CMUnitTest tests[] = {
    TEST(g3_2_a_ring_holds_its_capacity_exactly),
    TEST(g3_2_a_batch_takes_what_fits),
    TEST(g3_1_batches_agree_with_a_plain_queue),
    TEST(g3_2_an_index_that_is_late_counts_nothing_that_is_not),
    TEST(g3_2_a_capacity_is_a_power_of_two),
    TEST(g1_11_rings_and_channels_without_memory),
    TEST(g3_4_a_bell_says_whether_it_was_rung),
    TEST(g3_4_descriptor_0_is_a_bell_as_well),
    TEST(g1_11_no_descriptor_for_the_bell),
    TEST(g3_2_try_forms_refuse_when_full_and_when_empty),
    TEST(g3_2_try_forms_work_outside_of_a_run),
    TEST(g3_2_send_and_recv_wait_only_when_they_must),
    TEST(g3_7_a_cancel_in_every_state_of_a_recv),
    TEST(g3_7_a_cancel_in_every_state_of_a_send),
    TEST(g3_6_the_receiver_drains_what_is_in_flight),
    TEST(g3_2_a_sender_is_capacity_items_ahead),
    TEST(g3_5_both_ends_in_one_thread_ring_nobody),
    TEST(g3_5_sleepers_wake_each_other),
    TEST(g3_4_a_sender_may_strike_at_any_moment),
    TEST_WITH_HOOK(g3_4_the_second_look_finds_what_came_in_between),
    TEST_WITH_HOOK(g3_4_who_comes_after_the_store_rings),
    TEST_WITH_HOOK(g3_4_every_sleep_meets_a_sender),
    TEST(g3_4_a_wait_that_fails_loses_no_wake_up),
    TEST_WITH_HOOK(g3_5_a_second_look_that_finds_work_is_awake),
    TEST_WITH_HOOK(g3_5_a_sleeper_is_rung_once_a_sleep),
    TEST_WITH_HOOK(g3_5_of_two_senders_one_rings),
    TEST(g3_5_a_busy_thread_is_not_rung),
    TEST_WITH_HOOK(g3_5_who_has_left_is_not_rung),
    TEST(g3_5_an_idle_receiver_sleeps),
    TEST_WITH_HOOK(g3_6_close_wakes_both_sides),
    TEST(g3_6_executors_come_and_go_at_one_channel),
    TEST(g3_7_the_end_of_a_run_leaves_no_wait_behind),
    TEST(g3_7_select_over_two_channels),
    TEST(g3_7_timeout_of_a_recv_in_virtual_time),
    TEST_WITH_HOOK(g2_2_virtual_time_does_not_jump_without_a_deadline),
    TEST(g3_6_a_wait_may_change_hands),
    TEST(g1_2_yielding_does_not_stop_channels),
    TEST(g1_5_a_cancelled_wait_is_nothing_to_wait_for),
    TEST_WITH_HOOK(g1_5_a_wait_at_a_channel_is_no_deadlock),
    TEST(g3_2_two_tasks_at_one_end_are_a_panic),
    /* threads that meet by chance: they take longer, so they come last */
    TEST(g3_1_two_threads_pass_millions_in_order),
    TEST(g3_3_what_was_written_before_a_push_is_there),
    TEST(g3_4_litmus_of_two_stores_and_two_loads),
    TEST(g3_4_litmus_of_an_announced_push),
    TEST(g3_1_two_executors_pass_all_in_order),
    TEST(g3_5_sides_that_are_busy_ring_nobody),
    TEST(g3_6_close_at_any_moment_loses_nothing),
    TEST(g3_7_timeouts_race_with_arrivals),
};

MINI_TEST_MAIN(tests)
