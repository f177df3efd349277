/* SPDX-License-Identifier: MIT
 *
 * stage06_signals.c: signals as futures, graceful shutdown, the dump.
 *
 * How to read it: what a signal does, it does to a whole process, so each test
 * runs its runtime in a child process of its own, where every signal has its
 * standard disposition; the parent looks at how the child has ended, and at
 * what it said on stderr. A failed check ends the child with status 1.
 *
 * Where time plays a part the clock is virtual, or the child would be killed by
 * its alarm long before a test that waits in vain was done.
 */
#include "faults.h"
#include "harness.h"

#include "miniss.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define COUNT_OF(array) (sizeof(array) / sizeof(array)[0])
#define HOUR (3600 * MINI_SECOND)

enum { MAX_SHARDS = 4, SIGNALS = 64 };

/* ---- checks in a child -------------------------------------------------- */

static void check_that(bool holds, const char *what, long found, int line) {
    if (holds) return;
    fprintf(stderr, "%s:%d: %s %ld\n", __FILE__, line, what, found);
    _exit(1);
}

static void check_value(long found, long wanted, const char *what, int line) {
    check_that(found == wanted, what, found, line);
}

#define check(condition) check_that((condition), #condition, 0, __LINE__)
#define check_equal(value, expected) \
    check_value((long)(value), (long)(expected), \
        #value " is not " #expected " but", __LINE__)

/* ---- notes: what a main has seen ---------------------------------------- */

static long noted[64];
static size_t notes;

static void note(long value) {
    if (notes < COUNT_OF(noted)) noted[notes++] = value;
}

#define NOTE(value) note(value)
/* Awaits, and notes the result. */
#define STEP(awaited) \
    do { \
        MINI_AWAIT(awaited); \
        NOTE(MINI_RESULT); \
    } while (0)

static void check_notes(const long *expected, size_t count, int line) {
    check_value((long)notes, (long)count, "the number of notes is", line);
    for (size_t i = 0; i < count; i++)
        check_value(noted[i], expected[i], "one of the notes is", line);
}

#define check_noted(...) \
    check_notes((const long[]){__VA_ARGS__}, \
        sizeof((const long[]){__VA_ARGS__}) / sizeof(long), __LINE__)

/* ---- children ----------------------------------------------------------- */

static unsigned shards; /* what a body is to try, see with_shards */
static int first_signal, second_signal;

static mini_poll ends_soon(struct mini_future *future, struct mini_context cx) {
    (void)cx;
    return mini_ready(future, 0);
}

/* What I/O lacks here is said once for the process: so it has been said. */
static void say_what_is_lacking(void) {
    static bool done;
    struct mini_future main = MINI_FUTURE(ends_soon, "ends_soon");
    char text[256];

    if (done) return;
    done = true;
    mini_test_capture_begin();
    mini_run(&main, NULL);
    mini_test_capture_end(text, sizeof text);
}

/* Runs BODY in a child; the status that it ended with. What it said goes to
 * TEXT, if that is not NULL. */
static int run_child(void (*body)(void), char *text, size_t size) {
    struct sigaction standard = {.sa_handler = SIG_DFL};
    sigset_t none;
    int status = -1;

    fflush(NULL);
    say_what_is_lacking();
    if (text) mini_test_capture_begin();
    pid_t child = fork();

    if (child == 0) {
        for (int signal = 1; signal <= SIGNALS; signal++)
            if ((signal < 32 || signal >= SIGRTMIN) && signal != SIGALRM)
                sigaction(signal, &standard, NULL);
        sigemptyset(&none);
        pthread_sigmask(SIG_SETMASK, &none, NULL);
        alarm(MINI_TEST_SECONDS - 20);
        body();
        _exit(0);
    }
    bool waited = child > 0 && waitpid(child, &status, 0) == child;

    if (text) mini_test_capture_end(text, size);
    assert_true(waited);
    return status;
}

static void assert_good(void (*body)(void)) {
    assert_int_equal(run_child(body, NULL, 0), 0);
}

/* The same, with what it said. */
static void assert_good_saying(void (*body)(void), char *text, size_t size) {
    int status = run_child(body, text, size);

    if (status != 0) print_error("%s", text);
    assert_int_equal(status, 0);
}

static void assert_good_with_shards(void (*body)(void)) {
    for (shards = 1; shards <= MAX_SHARDS; shards *= 2) assert_good(body);
}

static void assert_dies(void (*body)(void), int signal) {
    int status = run_child(body, NULL, 0);

    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), signal);
}

static struct mini_options real_clock(void) {
    struct mini_options options = mini_defaults;

    options.shards = shards ? shards : 1;
    options.drain = HOUR; /* for ever, as an alarm is concerned */
    return options;
}

static struct mini_options virtual_clock(void) {
    struct mini_options options = mini_defaults;

    options.shards = 1;
    options.virtual_clock = true;
    return options;
}

static int open_files(void) {
    int count = 0;

    for (int fd = 0; fd < 1024; fd++) count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

/* Runs a main; its descriptors and memory must come back. */
static long run(struct mini_future *main, struct mini_options options) {
    long blocks = mini_test_live_allocs();
    int files = open_files();

    notes = 0;
    long result = mini_run(main, &options);

    check_equal(open_files(), files);
    check_equal(mini_test_live_allocs(), blocks);
    return result;
}

/* ---- tasks -------------------------------------------------------------- */

struct script {
    struct mini_future future;
    struct mini_signal_wait wait, other;
    struct mini_sleep sleep;
    struct mini_timeout timeout;
    struct mini_yield yield;
    struct mini_join join;
    struct mini_task *task[4];
    struct mini_event event;
    struct mini_wait forever;
    struct mini_io io;
    struct mini_remote remote;
    struct mini_call call;
    sigset_t set;
    pthread_t thread;
    int fd[2];
    long i, sum;
    char byte;
};

struct background {
    struct mini_future future;
    struct mini_future *inner;
};

static mini_poll background_poll(
    struct mini_future *future, struct mini_context cx) {
    struct background *self = MINI_SELF(struct background);

    MINI_BEGIN;
    MINI_AWAIT(self->inner);
    MINI_END(MINI_RESULT);
}

static struct mini_task *background(struct mini_future *inner) {
    return MINI_SPAWN(struct background, background_poll, .inner = inner);
}

#define SETTLE(script) MINI_AWAIT(mini_sleep(&(script)->sleep, 2 * MINI_MS))

static sigset_t set_of(int first, int second) {
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, first);
    if (second) sigaddset(&set, second);
    return set;
}

/* Copied by mini_signal_wait, as its contract says. */
static struct mini_future *wait_for(
    struct mini_signal_wait *slot, int first, int second) {
    sigset_t set = set_of(first, second);

    return mini_signal_wait(slot, &set);
}

static void send_self(int signal) { kill(getpid(), signal); }

#if MINI_TEST_TSAN
/* ThreadSanitizer keeps a signal until the thread that has it calls a function
 * that it knows; io_uring_enter(2), where ours sleeps, is none. */
static void send_from_a_thread(int signal) { raise(signal); }
#else
static void send_from_a_thread(int signal) { kill(getpid(), signal); }
#endif

static void pause_ms(long ms) {
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
}

static long nothing(void *arg) {
    (void)arg;
    return 0;
}

/* ---- G6.1: delivery ----------------------------------------------------- */

/* Three who wait on one shard, two of them for SIGUSR2. */
struct waiters {
    struct mini_future future;
    struct mini_signal_wait wait[3];
    struct mini_task *task[3];
    struct mini_yield yield;
    struct mini_call call;
    struct mini_join join;
    atomic_uint *ready;
    long good;
};

static mini_poll waiters(struct mini_future *future, struct mini_context cx) {
    struct waiters *self = MINI_SELF(struct waiters);

    MINI_BEGIN;
    self->task[0] = background(wait_for(&self->wait[0], SIGUSR2, 0));
    self->task[1] = background(wait_for(&self->wait[1], SIGWINCH, SIGUSR2));
    self->task[2] = background(wait_for(&self->wait[2], SIGWINCH, SIGURG));
    MINI_AWAIT(mini_yield(&self->yield));
    /* this comes to shard 0 behind them: then all of them wait there */
    MINI_AWAIT(mini_submit_to(&self->call, 0, nothing, NULL));
    atomic_fetch_add(self->ready, 1);
    MINI_AWAIT(mini_join(&self->join, self->task[0]));
    self->good += MINI_RESULT == SIGUSR2;
    MINI_AWAIT(mini_join(&self->join, self->task[1]));
    self->good += MINI_RESULT == SIGUSR2;
    mini_cancel(self->task[2]);
    MINI_AWAIT(mini_join(&self->join, self->task[2]));
    self->good += MINI_RESULT == -ECANCELED;
    MINI_END(self->good);
}

struct everywhere {
    struct mini_future future;
    struct waiters there[MAX_SHARDS];
    struct mini_remote remote[MAX_SHARDS];
    struct mini_task *task[MAX_SHARDS];
    struct mini_sleep sleep;
    struct mini_join join;
    void (*send)(void);
    atomic_uint ready;
    unsigned i;
    long good;
};

static mini_poll everywhere(
    struct mini_future *future, struct mini_context cx) {
    struct everywhere *self = MINI_SELF(struct everywhere);

    MINI_BEGIN;
    for (self->i = 0; self->i < mini_shard_count(); self->i++) {
        self->there[self->i] =
            MINI_FRAME(struct waiters, waiters, .ready = &self->ready);
        self->task[self->i] = background(mini_spawn_on(
            &self->remote[self->i], self->i, &self->there[self->i].future));
    }
    while (self->ready < mini_shard_count())
        MINI_AWAIT(mini_sleep(&self->sleep, MINI_MS));
    self->send();
    for (self->i = 0; self->i < mini_shard_count(); self->i++) {
        MINI_AWAIT(mini_join(&self->join, self->task[self->i]));
        self->good += MINI_RESULT;
    }
    MINI_END(self->good);
}

static void by_kill(void) { send_self(SIGUSR2); }

static void by_raise(void) { raise(SIGUSR2); }

static void *raise_it(void *arg) {
    (void)arg;
    raise(SIGUSR2);
    return NULL;
}

static void by_another_threads_raise(void) {
    pthread_t thread;

    check_equal(pthread_create(&thread, NULL, raise_it, NULL), 0);
    pthread_join(thread, NULL);
}

static void by_another_process(void) {
    pid_t child = fork();

    if (child == 0) {
        kill(getppid(), SIGUSR2);
        _exit(0);
    }
    waitpid(child, NULL, 0);
}

static void deliver_everywhere(void) {
    void (*const ways[])(void) = {by_kill, by_raise, by_another_threads_raise};

    for (size_t i = 0; i < COUNT_OF(ways); i++) {
        struct everywhere self = {
            .future = MINI_FUTURE(everywhere, "everywhere"), .send = ways[i]};

        check_equal(run(&self.future, real_clock()), 3 * shards);
    }
}

static void g6_1_every_waiter_on_every_shard_gets_it(void **state) {
    (void)state;
    assert_good_with_shards(deliver_everywhere);
}

static void from_another_process(void) {
    struct everywhere self = {.future = MINI_FUTURE(everywhere, "everywhere"),
        .send = by_another_process};

    check_equal(run(&self.future, real_clock()), 3);
}

static void g6_1_a_signal_from_another_process(void **state) {
    (void)state;
    shards = 1;
    assert_good(from_another_process);
}

/* A timeout of virtual time: nothing will come. */
#define WAIT(first, second) \
    mini_timeout(&self->timeout, wait_for(&self->wait, first, second), \
        10 * MINI_SECOND)

static mini_poll early_script(
    struct mini_future *future, struct mini_context cx) {
    struct script *self = MINI_SELF(struct script);

    MINI_BEGIN;
    send_self(SIGUSR2);
    STEP(WAIT(SIGUSR2, 0)); /* it came just before */
    STEP(WAIT(SIGUSR2, 0)); /* and once only */
    send_self(SIGUSR2);
    SETTLE(self); /* turns see it, nobody waits */
    STEP(WAIT(SIGCHLD, SIGWINCH));
    STEP(WAIT(SIGCHLD, SIGUSR2));
    send_self(SIGCHLD); /* two of a set, one after the other */
    send_self(SIGUSR2);
    send_self(SIGUSR2);
    SETTLE(self);
    STEP(WAIT(SIGCHLD, SIGUSR2));
    STEP(WAIT(SIGCHLD, SIGUSR2));
    STEP(WAIT(SIGCHLD, SIGUSR2));
    self->task[0] = background(wait_for(&self->other, SIGUSR2, SIGCHLD));
    SETTLE(self);
    send_self(SIGUSR2); /* both at once: the first that is seen counts */
    send_self(SIGCHLD);
    STEP(mini_join(&self->join, self->task[0]));
    STEP(WAIT(SIGUSR2, SIGCHLD)); /* the other is not lost */
    STEP(WAIT(SIGUSR2, SIGCHLD));
    send_self(SIGCHLD);
    SETTLE(self);
    send_self(SIGUSR2); /* another turn's, which the first one outlives */
    SETTLE(self);
    STEP(WAIT(SIGCHLD, 0));
    STEP(WAIT(SIGUSR2, 0));
    MINI_END(0);
}

static void early(void) {
    struct script self;

    check_equal(run(MINI_CALL(struct script, &self, early_script, .i = 0),
                    virtual_clock()),
        0);
    check_noted(SIGUSR2, -ETIMEDOUT, -ETIMEDOUT, SIGUSR2, SIGUSR2, SIGCHLD,
        -ETIMEDOUT, SIGUSR2, SIGCHLD, -ETIMEDOUT, SIGCHLD, SIGUSR2);
}

static void g6_1_a_signal_waits_for_who_will_wait_for_it(void **state) {
    (void)state;
    assert_good(early);
}

/* Two signals that one turn sees, each with its own waiter. */
static mini_poll two_script(
    struct mini_future *future, struct mini_context cx) {
    struct script *self = MINI_SELF(struct script);
    static struct mini_signal_wait third;

    MINI_BEGIN;
    self->task[0] = background(wait_for(&third, SIGCHLD, 0));
    self->task[1] = background(wait_for(&self->other, SIGUSR2, 0));
    SETTLE(self);
    send_self(SIGCHLD);
    send_self(SIGUSR2);
    STEP(mini_join(&self->join, self->task[0]));
    STEP(mini_join(&self->join, self->task[1]));
    STEP(WAIT(SIGCHLD, SIGUSR2)); /* neither comes again */
    MINI_END(0);
}

static void two(void) {
    struct script self;

    check_equal(run(MINI_CALL(struct script, &self, two_script, .i = 0),
                    virtual_clock()),
        0);
    check_noted(SIGCHLD, SIGUSR2, -ETIMEDOUT);
}

static void g6_1_two_at_once_each_go_to_their_own_waiter(void **state) {
    (void)state;
    assert_good(two);
}

static mini_poll sets_script(
    struct mini_future *future, struct mini_context cx) {
    struct script *self = MINI_SELF(struct script);
    static struct mini_signal_wait third;

    MINI_BEGIN;
    self->task[0] = background(wait_for(&self->wait, SIGWINCH, 0));
    self->task[1] = background(wait_for(&self->other, SIGUSR2, 0));
    self->task[2] = background(wait_for(&third, SIGWINCH, SIGUSR2));
    SETTLE(self);
    send_self(SIGWINCH);
    STEP(mini_join(&self->join, self->task[0]));
    STEP(mini_join(&self->join, self->task[2]));
    STEP(mini_timeout(&self->timeout, mini_join(&self->join, self->task[1]),
        MINI_SECOND)); /* not its signal */
    self->task[1] = background(wait_for(&self->other, SIGUSR2, 0));
    SETTLE(self);
    send_self(SIGUSR2);
    STEP(mini_join(&self->join, self->task[1]));
    self->task[1] = background(wait_for(&self->other, SIGUSR2, 0));
    SETTLE(self);
    send_self(SIGHUP); /* nobody's: it ends the run */
    STEP(mini_join(&self->join, self->task[1]));
    MINI_END(0);
}

static void sets(void) {
    struct script self;

    check_equal(run(MINI_CALL(struct script, &self, sets_script, .i = 0),
                    virtual_clock()),
        0);
    check_noted(SIGWINCH, SIGWINCH, -ETIMEDOUT, SIGUSR2, -ECANCELED);
}

static void g6_1_who_waits_gets_the_signals_of_his_set_only(void **state) {
    (void)state;
    assert_good(sets);
}

/* Of two that come at once, one of which ends the run, the other comes, too. */
static mini_poll beside_script(
    struct mini_future *future, struct mini_context cx) {
    struct script *self = MINI_SELF(struct script);

    MINI_BEGIN;
    self->task[0] = background(mini_timeout(
        &self->timeout, wait_for(&self->wait, second_signal, 0), HOUR));
    SETTLE(self);
    send_self(first_signal);
    send_self(second_signal); /* no turn has seen the first */
    MINI_AWAIT_SHIELDED(mini_join(&self->join, self->task[0]));
    NOTE(MINI_RESULT);
    NOTE(cx.cancel);
    MINI_END(0);
}

static void beside(void) {
    static const int pairs[][2] = {
        {SIGHUP, SIGUSR2}, {SIGTERM, SIGCHLD}, {SIGTERM, SIGUSR2}};

    for (size_t i = 0; i < COUNT_OF(pairs); i++) {
        struct script self = {
            .future = MINI_FUTURE(beside_script, "beside_script")};

        first_signal = pairs[i][0];
        second_signal = pairs[i][1];
        check_equal(run(&self.future, virtual_clock()), 0);
        check_noted(second_signal, true);
    }
}

static void g6_1_what_comes_beside_an_ending_one_comes_too(void **state) {
    (void)state;
    assert_good(beside);
}

/* The second look before a sleep may find a signal, which is no task yet: the
 * shard stays awake for it all the same, and does not ring itself. */
static void signal_before_sleep(void) {
    mini_park_hook = NULL;
    send_self(SIGUSR2);
}

static mini_poll second_look_script(
    struct mini_future *future, struct mini_context cx) {
    struct script *self = MINI_SELF(struct script);

    MINI_BEGIN;
    mini_park_hook = signal_before_sleep;
    STEP(wait_for(&self->wait, SIGUSR2, 0));
    NOTE(mini_stats()->rings);
    MINI_END(0);
}

static void second_look(void) {
    struct script self = {
        .future = MINI_FUTURE(second_look_script, "second_look_script")};

    check_equal(run(&self.future, real_clock()), 0);
    check_noted(SIGUSR2, 0);
}

static void g3_5_a_second_look_that_finds_a_signal_is_awake(void **state) {
    (void)state;
    shards = 1;
    assert_good(second_look);
}

static mini_poll all_signals_script(
    struct mini_future *future, struct mini_context cx) {
    struct script *self = MINI_SELF(struct script);
    static const int some[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1,
        SIGUSR2, SIGCHLD, SIGPIPE, SIGCONT, SIGTSTP, SIGURG};

    MINI_BEGIN;
    for (self->i = 0; self->i < (long)COUNT_OF(some); self->i++) {
        self->task[0] = background(wait_for(&self->wait, some[self->i], 0));
        SETTLE(self);
        send_self(some[self->i]);
        MINI_AWAIT(mini_join(&self->join, self->task[0]));
        self->sum += MINI_RESULT == some[self->i];
    }
    for (self->i = SIGRTMIN; self->i <= SIGRTMAX; self->i++) {
        self->task[0] = background(wait_for(&self->wait, (int)self->i, 0));
        SETTLE(self);
        send_self((int)self->i);
        MINI_AWAIT(mini_join(&self->join, self->task[0]));
        self->sum += MINI_RESULT == self->i;
        send_self((int)self->i); /* nobody waits for that one yet */
        SETTLE(self);
        MINI_AWAIT(WAIT((int)self->i, 0));
        self->sum -= MINI_RESULT != self->i;
    }
    MINI_END(self->sum - (long)COUNT_OF(some));
}

static void all_signals(void) {
    struct script self;

    check_equal(run(MINI_CALL(struct script, &self, all_signals_script, .i = 0),
                    virtual_clock()),
        SIGRTMAX - SIGRTMIN + 1);
}

static void g6_1_any_signal_can_be_waited_for(void **state) {
    char text[4096];

    (void)state;
    assert_good_saying(all_signals, text, sizeof text);
}

/* Others do what they did before. */
static mini_poll only_one_script(
    struct mini_future *future, struct mini_context cx) {
    struct script *self = MINI_SELF(struct script);

    MINI_BEGIN;
    STEP(WAIT(SIGWINCH, 0));
    send_self(SIGWINCH); /* which would have been ignored */
    STEP(WAIT(SIGWINCH, 0));
    raise(SIGQUIT);
    MINI_END(0);
}

static void only_one(void) {
    struct script self;

    run(MINI_CALL(struct script, &self, only_one_script, .i = 0),
        virtual_clock());
}

static void only_that_one(void) {
    struct sigaction ignore = {.sa_handler = SIG_IGN};

    sigaction(SIGQUIT, &ignore, NULL);
    only_one();
    check_noted(-ETIMEDOUT, SIGWINCH);
}

static void g6_1_signals_nobody_waits_for_are_left_alone(void **state) {
    (void)state;
    assert_dies(only_one, SIGQUIT);
    assert_good(only_that_one);
}

/* A signal may come to any thread; what that one is at goes on. */
static void *reads_a_byte(void *arg) {
    char byte;

    return (void *)(intptr_t)read(*(int *)arg, &byte, 1);
}

static mini_poll interrupting_script(
    struct mini_future *future, struct mini_context cx) {
    struct script *self = MINI_SELF(struct script);
    void *got;

    MINI_BEGIN;
    check_equal(pipe(self->fd), 0);
    check_equal(
        pthread_create(&self->thread, NULL, reads_a_byte, &self->fd[0]), 0);
    for (; self->i < 5; self->i++) {
        self->task[0] = background(wait_for(&self->wait, SIGUSR2, 0));
        MINI_AWAIT(mini_sleep(&self->sleep, 5 * MINI_MS));
        pthread_kill(self->thread, SIGUSR2);
        MINI_AWAIT(mini_join(&self->join, self->task[0]));
        self->sum += MINI_RESULT == SIGUSR2;
    }
    check_equal(write(self->fd[1], "x", 1), 1);
    pthread_join(self->thread, &got);
    close(self->fd[0]);
    close(self->fd[1]);
    NOTE((long)(intptr_t)got);
    MINI_END(self->sum);
}

static void interrupting(void) {
    struct script self;

    check_equal(
        run(MINI_CALL(struct script, &self, interrupting_script, .i = 0),
            real_clock()),
        5);
    check_noted(1);
}

static void g6_1_other_threads_are_not_interrupted(void **state) {
    (void)state;
    if (MINI_TEST_TSAN) skip(); /* it keeps a signal until read(2) returns */
    shards = 1;
    assert_good(interrupting);
}

/* A signal and a cancel in every order and distance: it is delivered once. */
static mini_poll race_script(
    struct mini_future *future, struct mini_context cx) {
    struct script *self = MINI_SELF(struct script);

    MINI_BEGIN;
    for (self->i = 0; self->i < 120; self->i++) {
        self->task[0] = background(wait_for(&self->wait, SIGUSR2, 0));
        if (self->i % 3) MINI_AWAIT(mini_sleep(&self->sleep, 1));
        if (self->i % 3 == 2) SETTLE(self);
        if (self->i % 2) send_self(SIGUSR2);
        if (self->i / 6 % 3) MINI_AWAIT(mini_sleep(&self->sleep, 1));
        if (self->i / 6 % 3 == 2) SETTLE(self);
        mini_cancel(self->task[0]);
        if (self->i % 2 == 0) send_self(SIGUSR2);
        MINI_AWAIT(mini_join(&self->join, self->task[0]));
        if (MINI_RESULT == -ECANCELED) {
            MINI_AWAIT(WAIT(SIGUSR2, 0));
            NOTE(1);
        }
        self->sum += MINI_RESULT == SIGUSR2;
    }
    STEP(WAIT(SIGUSR2, 0));
    MINI_END(self->sum);
}

static void race(void) {
    struct script self;

    check_equal(run(MINI_CALL(struct script, &self, race_script, .i = 0),
                    virtual_clock()),
        120);
    check(notes > 1 && notes < COUNT_OF(noted));
    check_equal(noted[notes - 1], -ETIMEDOUT);
}

static void g6_1_cancel_races_with_a_signal_and_none_is_lost(void **state) {
    (void)state;
    assert_good(race);
}

/* Cancelled on its way to shard 0, before it looks at what there is. */
static mini_poll short_script(
    struct mini_future *future, struct mini_context cx) {
    struct script *self = MINI_SELF(struct script);

    MINI_BEGIN;
    send_self(SIGUSR2);
    SETTLE(self); /* nobody waits */
    self->task[0] = background(wait_for(&self->other, SIGUSR2, 0));
    MINI_AWAIT(mini_yield(&self->yield));
    mini_cancel(self->task[0]);
    STEP(mini_join(&self->join, self->task[0]));
    STEP(WAIT(SIGUSR2, 0));
    MINI_END(0);
}

static void short_wait(void) {
    struct script self;

    check_equal(run(MINI_CALL(struct script, &self, short_script, .i = 0),
                    virtual_clock()),
        0);
    check_noted(-ECANCELED, SIGUSR2);
}

static void g6_1_a_wait_that_is_cancelled_early_takes_no_signal(void **state) {
    (void)state;
    assert_good(short_wait);
}

/* From another shard, where a cancel is a message. */
static mini_poll far_script(
    struct mini_future *future, struct mini_context cx) {
    struct script *self = MINI_SELF(struct script);

    MINI_BEGIN;
    for (self->i = 0; self->i < 60; self->i++) {
        self->task[0] = background(wait_for(&self->wait, SIGUSR2, 0));
        if (self->i % 3) MINI_AWAIT(mini_sleep(&self->sleep, 1));
        if (self->i % 2) send_self(SIGUSR2);
        if (self->i / 6 % 3) MINI_AWAIT(mini_sleep(&self->sleep, 1));
        mini_cancel(self->task[0]);
        if (self->i % 2 == 0) send_self(SIGUSR2);
        MINI_AWAIT(mini_join(&self->join, self->task[0]));
        if (MINI_RESULT == -ECANCELED)
            MINI_AWAIT(wait_for(&self->wait, SIGUSR2, 0));
        self->sum += MINI_RESULT == SIGUSR2;
    }
    MINI_END(self->sum);
}

static mini_poll elsewhere(struct mini_future *future, struct mini_context cx) {
    struct script *self = MINI_SELF(struct script);
    static struct script far;

    MINI_BEGIN;
    MINI_AWAIT(mini_spawn_on(&self->remote, mini_shard_count() - 1,
        MINI_CALL(struct script, &far, far_script, .i = 0)));
    MINI_END(MINI_RESULT);
}

static void race_elsewhere(void) {
    struct script self;

    check_equal(
        run(MINI_CALL(struct script, &self, elsewhere, .i = 0), real_clock()),
        60);
}

static void g6_1_a_wait_on_another_shard_is_cancelled(void **state) {
    (void)state;
    assert_good_with_shards(race_elsewhere);
}

static void *late_sender(void *arg) {
    pause_ms(30);
    send_from_a_thread(*(int *)arg);
    return NULL;
}

static long answer_seven(void *arg) {
    (void)arg;
    return 7;
}

/* Nothing but a signal can wake any shard: that is no dead-lock, nor is it one
 * when the signal has come, and what it wakes waits for another shard. */
static mini_poll lonely_script(
    struct mini_future *future, struct mini_context cx) {
    struct script *self = MINI_SELF(struct script);
    static int which = SIGUSR2;

    MINI_BEGIN;
    check_equal(pthread_create(&self->thread, NULL, late_sender, &which), 0);
    STEP(wait_for(&self->wait, SIGUSR2, 0));
    pthread_join(self->thread, NULL);
    STEP(mini_submit_to(
        &self->call, mini_shard_count() - 1, answer_seven, NULL));
    mini_event_init(&self->event);
    MINI_AWAIT(mini_event_wait(&self->forever, &self->event));
    MINI_END(0);
}

static void lonely(void) {
    struct script self;

    check_equal(run(MINI_CALL(struct script, &self, lonely_script, .i = 0),
                    real_clock()),
        -EDEADLK);
    check_noted(SIGUSR2, 7);
}

static void g6_1_who_waits_for_a_signal_is_no_deadlock(void **state) {
    char text[4096];

    (void)state;
    for (shards = 1; shards <= MAX_SHARDS; shards *= 2) {
        assert_good_saying(lonely, text, sizeof text);
        assert_non_null(strstr(text, "lonely_script"));
    }
}

/* Nor is one beside who waits for another thread. */
static struct mini_channel channel;

static void *late_item(void *argument) {
    pause_ms(30);
    mini_channel_try_send(&channel, argument);
    return NULL;
}

static mini_poll beside_a_channel_script(
    struct mini_future *future, struct mini_context cx) {
    struct script *self = MINI_SELF(struct script);
    static struct mini_channel_wait wait;

    MINI_BEGIN;
    self->task[0] = background(wait_for(&self->wait, SIGUSR2, 0));
    check_equal(pthread_create(&self->thread, NULL, late_item, NULL), 0);
    STEP(mini_channel_recv(&wait, &channel));
    pthread_join(self->thread, NULL);
    send_self(SIGUSR2);
    STEP(mini_join(&self->join, self->task[0]));
    MINI_END(0);
}

static void beside_a_channel(void) {
    struct script self;

    check_equal(mini_channel_init(&channel, 1), 0);
    check_equal(
        run(MINI_CALL(struct script, &self, beside_a_channel_script, .i = 0),
            real_clock()),
        0);
    check_noted(0, SIGUSR2);
    mini_channel_destroy(&channel);
}

static void g6_1_waits_for_signals_and_channels_are_no_deadlock(void **state) {
    (void)state;
    shards = 1;
    assert_good(beside_a_channel);
}

/* So all is well afterwards, with shard 0 waiting for another one. */
static mini_poll not_so_lonely_script(
    struct mini_future *future, struct mini_context cx) {
    struct script *self = MINI_SELF(struct script);
    static int which = SIGUSR2;

    MINI_BEGIN;
    check_equal(pthread_create(&self->thread, NULL, late_sender, &which), 0);
    STEP(wait_for(&self->wait, SIGUSR2, 0));
    pthread_join(self->thread, NULL);
    MINI_AWAIT(mini_spawn_on(&self->remote, mini_shard_count() - 1,
        mini_sleep(&self->sleep, 5 * MINI_MS)));
    MINI_END(MINI_RESULT);
}

static void not_so_lonely(void) {
    struct script self;

    check_equal(
        run(MINI_CALL(struct script, &self, not_so_lonely_script, .i = 0),
            real_clock()),
        0);
    check_noted(SIGUSR2);
}

static void g6_1_a_wait_for_a_signal_leaves_no_deadlock_behind(void **state) {
    char text[4096];

    (void)state;
    for (shards = 1; shards <= MAX_SHARDS; shards *= 2) {
        assert_good_saying(not_so_lonely, text, sizeof text);
        assert_string_equal(text, "");
    }
}

/* The other shards turn all the while, and must not take what is shard 0's. */
struct spinner {
    struct mini_future future;
    struct mini_yield yield;
    atomic_bool *stop;
};

static mini_poll spinner(struct mini_future *future, struct mini_context cx) {
    struct spinner *self = MINI_SELF(struct spinner);

    MINI_BEGIN;
    while (!*self->stop) MINI_AWAIT(mini_yield(&self->yield));
    MINI_END(0);
}

struct among_spinners {
    struct mini_future future;
    struct spinner there[MAX_SHARDS];
    struct mini_remote remote[MAX_SHARDS];
    struct mini_signal_wait wait;
    struct mini_sleep sleep;
    struct mini_task *waiter;
    struct mini_join join;
    atomic_bool stop;
    long i, good;
};

static mini_poll among_spinners(
    struct mini_future *future, struct mini_context cx) {
    struct among_spinners *self = MINI_SELF(struct among_spinners);

    MINI_BEGIN;
    for (unsigned i = 1; i < mini_shard_count(); i++) {
        self->there[i] =
            MINI_FRAME(struct spinner, spinner, .stop = &self->stop);
        mini_detach(background(
            mini_spawn_on(&self->remote[i], i, &self->there[i].future)));
    }
    for (; self->i < 300; self->i++) {
        self->waiter = background(wait_for(&self->wait, SIGUSR2, 0));
        if (self->i % 2) /* it waits there by then */
            MINI_AWAIT(mini_sleep(&self->sleep, 100 * MINI_US));
        send_self(SIGUSR2);
        MINI_AWAIT(mini_join(&self->join, self->waiter));
        self->good += MINI_RESULT == SIGUSR2;
    }
    self->stop = true;
    MINI_END(self->good);
}

static void keep_apart(void) {
    struct among_spinners self = {
        .future = MINI_FUTURE(among_spinners, "among_spinners")};

    check_equal(run(&self.future, real_clock()), 300);
}

static void g6_1_busy_shards_leave_signals_to_the_first(void **state) {
    (void)state;
    for (shards = 2; shards <= 3; shards++) assert_good(keep_apart);
}

/* ---- G6.1: whose signals ------------------------------------------------ */

static mini_poll guest_script(
    struct mini_future *future, struct mini_context cx) {
    struct script *self = MINI_SELF(struct script);

    MINI_BEGIN;
    MINI_AWAIT(wait_for(&self->wait, SIGUSR2, 0));
    MINI_END(MINI_RESULT);
}

static void *second_run(void *arg) {
    struct mini_options options = real_clock();
    struct script self;

    (void)arg;
    return (void *)(intptr_t)mini_run(
        MINI_CALL(struct script, &self, guest_script, .i = 0), &options);
}

static mini_poll host_script(
    struct mini_future *future, struct mini_context cx) {
    struct script *self = MINI_SELF(struct script);
    struct mini_options options = real_clock();
    struct script nested;

    MINI_BEGIN;
    for (; self->i < 2; self->i++) { /* the second run, and another */
        void *result;

        check_equal(pthread_create(&self->thread, NULL, second_run, NULL), 0);
        pthread_join(self->thread, &result);
        NOTE((long)(intptr_t)result);
    }
    NOTE(mini_run(
        MINI_CALL(struct script, &nested, guest_script, .i = 0), &options));
    send_self(SIGUSR2); /* is still ours */
    STEP(wait_for(&self->wait, SIGUSR2, 0));
    MINI_END(0);
}

static void first_run_has_them(void) {
    struct script self;

    for (int i = 0; i < 2; i++) { /* and the next one, when that is over */
        check_equal(run(MINI_CALL(struct script, &self, host_script, .i = 0),
                        real_clock()),
            0);
        check_noted(-EBUSY, -EBUSY, -EINVAL, SIGUSR2);
    }
}

static void g6_1_a_second_run_at_the_same_time_is_ebusy(void **state) {
    (void)state;
    for (shards = 1; shards <= 2; shards++) assert_good(first_run_has_them);
}

/* What came to one run is not told to the next. */
static mini_poll leave_pending(
    struct mini_future *future, struct mini_context cx) {
    struct script *self = MINI_SELF(struct script);

    MINI_BEGIN;
    send_self(SIGUSR2);
    if (self->i) SETTLE(self);
    MINI_END(0);
}

static mini_poll wait_in_vain(
    struct mini_future *future, struct mini_context cx) {
    struct script *self = MINI_SELF(struct script);

    MINI_BEGIN;
    STEP(WAIT(SIGUSR2, 0));
    MINI_END(0);
}

static void two_runs(void) {
    struct script self;

    for (int i = 0; i < 2; i++) {
        check_equal(run(MINI_CALL(struct script, &self, leave_pending, .i = i),
                        virtual_clock()),
            0);
        check_equal(run(MINI_CALL(struct script, &self, wait_in_vain, .i = 0),
                        virtual_clock()),
            0);
        check_noted(-ETIMEDOUT);
    }
}

static void g6_1_each_run_begins_without_signals(void **state) {
    (void)state;
    assert_good(two_runs);
}

/* Not even with one that came behind the last turn: what a run says when it
 * gives up goes to a pipe that nobody reads. */
static mini_poll stuck_script(
    struct mini_future *future, struct mini_context cx) {
    struct script *self = MINI_SELF(struct script);

    MINI_BEGIN;
    mini_event_init(&self->event);
    MINI_AWAIT_SHIELDED(mini_event_wait(&self->forever, &self->event));
    MINI_END(0);
}

static mini_poll nothing_left_script(
    struct mini_future *future, struct mini_context cx) {
    struct script *self = MINI_SELF(struct script);

    MINI_BEGIN;
    STEP(mini_timeout(
        &self->timeout, wait_for(&self->wait, SIGPIPE, 0), MINI_SECOND));
    MINI_END(0);
}

static void signal_at_the_end(void) {
    struct script self;
    int ends[2];

    check_equal(pipe(ends), 0);
    close(ends[0]);
    dup2(ends[1], STDERR_FILENO);
    check_equal(run(MINI_CALL(struct script, &self, stuck_script, .i = 0),
                    virtual_clock()),
        -EDEADLK);
    check_equal(
        run(MINI_CALL(struct script, &self, nothing_left_script, .i = 0),
            virtual_clock()),
        0);
    check_noted(-ETIMEDOUT);
}

static void g6_1_what_comes_at_the_very_end_is_not_the_next_runs(void **state) {
    (void)state;
    assert_good(signal_at_the_end);
}

/* Those that the system keeps, and those that a fault raises: a handler would
 * return to it. Among others they are left out, and as they were. */
static mini_poll refused_script(
    struct mini_future *future, struct mini_context cx) {
    static const int refused[] = {
        SIGKILL, SIGSTOP, SIGSEGV, SIGBUS, SIGFPE, SIGILL};
    static struct sigaction before, after;
    struct script *self = MINI_SELF(struct script);

    MINI_BEGIN;
    for (; self->i < (long)COUNT_OF(refused); self->i++) {
        STEP(wait_for(&self->wait, refused[self->i], 0));
        sigaction(refused[self->i], NULL, &before);
        send_self(SIGUSR2);
        STEP(wait_for(&self->wait, refused[self->i], SIGUSR2));
        sigaction(refused[self->i], NULL, &after);
        check(before.sa_handler == after.sa_handler);
    }
    MINI_END(0);
}

static void refuse(void) {
    struct script self;

    check_equal(run(MINI_CALL(struct script, &self, refused_script, .i = 0),
                    real_clock()),
        0);
    check_equal(notes, 12);
    for (unsigned i = 0; i < notes; i++)
        check_equal(noted[i], i % 2 ? SIGUSR2 : -EINVAL);
}

static void g6_1_what_cannot_be_waited_for_is_refused(void **state) {
    (void)state;
    assert_good(refuse);
}

/* ---- G6.2: a graceful end ----------------------------------------------- */

/* A task at work: how it came to its end, and when. */
struct work {
    struct mini_future future;
    struct mini_sleep sleep;
    uint64_t time; /* that the work takes */
    uint64_t clean; /* that the clean-up takes */
    struct work_log *log;
    atomic_uint *begun; /* how many are at work, if not NULL */
};

struct work_log {
    atomic_long result, ended, cleaned; /* ms */
};

static mini_poll work(struct mini_future *future, struct mini_context cx) {
    struct work *self = MINI_SELF(struct work);

    MINI_BEGIN;
    if (self->begun) atomic_fetch_add(self->begun, 1);
    MINI_AWAIT(mini_sleep(&self->sleep, self->time));
    self->log->result = MINI_RESULT;
    self->log->ended = (long)(mini_now() / MINI_MS);
    MINI_AWAIT_SHIELDED(mini_sleep(&self->sleep, self->clean));
    self->log->cleaned = (long)(mini_now() / MINI_MS);
    MINI_END(0);
}

struct ending {
    struct mini_future future;
    struct mini_event event;
    struct mini_wait wait;
    struct work_log quick, slow;
    long told; /* ms */
    int signal; /* 0: mini_shutdown */
};

static mini_poll ending(struct mini_future *future, struct mini_context cx) {
    struct ending *self = MINI_SELF(struct ending);

    MINI_BEGIN;
    mini_detach(MINI_SPAWN(struct work, work, .log = &self->quick,
        .time = 500 * MINI_MS, .clean = MINI_MS));
    mini_detach(MINI_SPAWN(
        struct work, work, .log = &self->slow, .time = HOUR, .clean = HOUR));
    mini_event_init(&self->event);
    if (self->signal)
        send_self(self->signal);
    else
        mini_shutdown();
    STEP(mini_event_wait(&self->wait, &self->event));
    self->told = (long)(mini_now() / MINI_MS);
    MINI_END(7);
}

/* The clock is virtual, and counts the ms. */
static void drain(void) {
    static const long drains[] = {200, 600, 3000, 0};

    for (size_t i = 0; i < COUNT_OF(drains); i++) {
        struct ending self = {
            .future = MINI_FUTURE(ending, "ending"), .signal = first_signal};
        struct mini_options options = virtual_clock();
        long limit = drains[i] ? drains[i] : 1000; /* a second is the default */

        options.drain = (uint64_t)drains[i] * MINI_MS;
        check_equal(run(&self.future, options), 7);
        check_noted(-ECANCELED);
        check_equal(self.told, 0);
        check_equal(self.quick.result, limit < 500 ? -ECANCELED : 0);
        check_equal(self.quick.ended, limit < 500 ? limit : 500);
        check_equal(self.slow.result, -ECANCELED);
        check_equal(self.slow.ended, limit);
        check_equal(self.slow.cleaned, limit + 3600 * 1000);
    }
}

static void g6_2_tasks_have_the_drain_time_to_end(void **state) {
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP, 0};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(signals); i++) {
        first_signal = signals[i];
        assert_good(drain);
    }
}

/* As long as there is, from whenever on. */
static struct work_log without_end;

static mini_poll late_ending(
    struct mini_future *future, struct mini_context cx) {
    struct script *self = MINI_SELF(struct script);

    MINI_BEGIN;
    STEP(mini_sleep(&self->sleep, MINI_MS));
    mini_detach(MINI_SPAWN(struct work, work, .log = &without_end, .time = HOUR,
        .clean = MINI_MS));
    mini_shutdown();
    mini_event_init(&self->event);
    STEP(mini_event_wait(&self->forever, &self->event));
    MINI_END(0);
}

static void drain_for_ever(void) {
    struct mini_options options = virtual_clock();
    struct script self;

    options.drain = UINT64_MAX;
    without_end.result = 1;
    check_equal(
        run(MINI_CALL(struct script, &self, late_ending, .i = 0), options), 0);
    check_noted(0, -ECANCELED);
    check_equal(without_end.result, 0);
}

static void g6_2_the_drain_time_may_be_without_end(void **state) {
    (void)state;
    assert_good(drain_for_ever);
}

/* The same on all shards. The real clock shows only that nobody waits longer
 * than he must. */
struct far_ending {
    struct mini_future future;
    struct ending ending; /* signal, and logs that are not used */
    struct work there[MAX_SHARDS];
    struct mini_remote remote[MAX_SHARDS];
    struct work_log log[MAX_SHARDS];
    atomic_uint begun;
    struct mini_event event;
    struct mini_wait wait;
    struct mini_sleep sleep;
    uint64_t time;
    unsigned i;
    int teller; /* the shard that says so, if it is no signal */
    struct mini_call call;
};

static long shut_down(void *arg) {
    (void)arg;
    mini_shutdown();
    return 0;
}

static mini_poll far_ending(
    struct mini_future *future, struct mini_context cx) {
    struct far_ending *self = MINI_SELF(struct far_ending);

    MINI_BEGIN;
    for (unsigned i = 0; i < mini_shard_count(); i++) {
        self->there[i] = MINI_FRAME(struct work, work, .time = self->time,
            .clean = MINI_MS, .log = &self->log[i], .begun = &self->begun);
        mini_detach(background(
            mini_spawn_on(&self->remote[i], i, &self->there[i].future)));
    }
    while (self->begun < mini_shard_count())
        MINI_AWAIT(mini_sleep(&self->sleep, MINI_MS));
    if (self->ending.signal)
        send_self(self->ending.signal);
    else
        MINI_AWAIT(mini_submit_to(
            &self->call, mini_shard_count() - 1, shut_down, NULL));
    mini_event_init(&self->event);
    MINI_AWAIT(mini_event_wait(&self->wait, &self->event));
    NOTE(MINI_RESULT);
    MINI_END(0);
}

static void drain_all(void) {
    for (int i = 0; i < 4; i++) {
        bool in_time = i % 2;
        struct far_ending self = {
            .future = MINI_FUTURE(far_ending, "far_ending"),
            .time = in_time ? 60 * MINI_MS : 2 * HOUR,
            .ending.signal = i < 2 ? SIGTERM : 0};
        struct mini_options options = real_clock();

        options.drain = in_time ? HOUR : 20 * MINI_MS;
        check_equal(run(&self.future, options), 0);
        check_noted(-ECANCELED);
        for (unsigned j = 0; j < shards; j++) {
            check_equal(self.log[j].result, in_time ? 0 : -ECANCELED);
            check(self.log[j].cleaned > 0);
        }
    }
}

static void g6_2_all_shards_end_gracefully(void **state) {
    (void)state;
    assert_good_with_shards(drain_all);
}

/* One shard is still at its clean-up long after the others are done, and after
 * the drain time, too. */
static mini_poll late_script(
    struct mini_future *future, struct mini_context cx) {
    struct script *self = MINI_SELF(struct script);
    static struct work_log log;
    static struct work there;

    MINI_BEGIN;
    there = MINI_FRAME(
        struct work, work, .time = HOUR, .clean = 120 * MINI_MS, .log = &log);
    mini_detach(background(
        mini_spawn_on(&self->remote, mini_shard_count() - 1, &there.future)));
    SETTLE(self);
    mini_shutdown();
    MINI_END(0);
}

static void late(void) {
    struct mini_options options = real_clock();
    struct script self;

    options.drain = 30 * MINI_MS;
    check_equal(
        run(MINI_CALL(struct script, &self, late_script, .i = 0), options), 0);
}

static void g6_2_shards_that_are_done_wait_for_the_others(void **state) {
    (void)state;
    assert_good_with_shards(late);
}

/* Who has no tasks left serves those of the others until all are done, and what
 * they leave with it, too. */
struct straggler {
    struct mini_future future;
    struct mini_sleep sleep, there;
    struct mini_call call;
    struct mini_remote remote;
    unsigned i;
};

static long leave_behind(void *arg);

static mini_poll straggler(struct mini_future *future, struct mini_context cx) {
    struct straggler *self = MINI_SELF(struct straggler);

    MINI_BEGIN;
    while (atomic_load(&mini_self->shard->smp->quiet) < shards - 1)
        MINI_AWAIT(mini_sleep(&self->sleep, MINI_MS));
    for (; self->i < shards - 1; self->i++) {
        STEP(mini_submit_to(&self->call, self->i, answer_seven, NULL));
        STEP(mini_spawn_on(
            &self->remote, self->i, mini_sleep(&self->there, MINI_MS)));
    }
    if (mini_this_shard() > 0)
        STEP(mini_submit_to(&self->call, 0, leave_behind, NULL));
    MINI_END(0);
}

/* Calls the shard that has left it here when that is done, and a while later:
 * that while it has for going on without this one. */
static mini_poll left_behind(
    struct mini_future *future, struct mini_context cx) {
    struct straggler *self = MINI_SELF(struct straggler);

    MINI_BEGIN;
    MINI_AWAIT(mini_sleep(&self->sleep, 5 * MINI_MS));
    while (atomic_load(&mini_self->shard->smp->quiet) < shards - 1)
        MINI_AWAIT(mini_sleep(&self->sleep, MINI_MS));
    STEP(mini_submit_to(&self->call, shards - 1, answer_seven, NULL));
    MINI_END(0);
}

static long leave_behind(void *arg) {
    (void)arg;
    return mini_detach(MINI_SPAWN(struct straggler, left_behind, .i = 0));
}

static long straggle(void *arg) {
    (void)arg;
    return mini_detach(MINI_SPAWN(struct straggler, straggler, .i = 0));
}

static mini_poll done_script(
    struct mini_future *future, struct mini_context cx) {
    struct script *self = MINI_SELF(struct script);

    MINI_BEGIN;
    MINI_AWAIT(mini_submit_to(&self->call, shards - 1, straggle, NULL));
    mini_shutdown();
    MINI_END(MINI_RESULT);
}

/* One shard after the other; then what was left with shard 0. */
static void done_early(void) {
    struct mini_options options = real_clock();
    struct script self;

    options.drain = HOUR;
    check_equal(
        run(MINI_CALL(struct script, &self, done_script, .i = 0), options), 0);
    check_equal(notes, 2 * (shards - 1) + 2);
    for (unsigned i = 0; i < 2 * (shards - 1); i++)
        check_equal(noted[i], i % 2 ? 0 : 7);
    check_equal(noted[notes - 2], 0);
    check_equal(noted[notes - 1], 7);
}

static void g6_2_who_is_done_early_still_serves_the_others(void **state) {
    (void)state;
    for (shards = 2; shards <= MAX_SHARDS; shards *= 2) assert_good(done_early);
}

/* All shards are asleep in their I/O when it comes. */
static mini_poll asleep_script(
    struct mini_future *future, struct mini_context cx) {
    struct script *self = MINI_SELF(struct script);
    static int which = SIGTERM;

    MINI_BEGIN;
    check_equal(pthread_create(&self->thread, NULL, late_sender, &which), 0);
    STEP(mini_recv(&self->io, self->fd[0], &self->byte, 1));
    pthread_join(self->thread, NULL);
    MINI_END(0);
}

static void asleep(void) {
    struct script self;
    int fd[2];

    check_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
    check_equal(run(MINI_CALL(struct script, &self, asleep_script,
                        .fd = {fd[0], fd[1]}),
                    real_clock()),
        0);
    check_noted(-ECANCELED);
}

static void g6_2_a_sleeping_runtime_ends(void **state) {
    (void)state;
    assert_good_with_shards(asleep);
}

/* Who waits for the signal has it, and the run goes on. */
static mini_poll claimed_script(
    struct mini_future *future, struct mini_context cx) {
    struct script *self = MINI_SELF(struct script);
    static const int ends[] = {SIGTERM, SIGINT, SIGHUP};

    MINI_BEGIN;
    for (; self->i < (long)COUNT_OF(ends); self->i++) {
        self->task[0] = background(wait_for(&self->wait, ends[self->i], 0));
        SETTLE(self);
        send_self(ends[self->i]);
        STEP(mini_join(&self->join, self->task[0]));
        STEP(mini_sleep(&self->sleep, 5 * MINI_SECOND));
    }
    MINI_END(5);
}

static void claimed(void) {
    struct script self;

    check_equal(run(MINI_CALL(struct script, &self, claimed_script, .i = 0),
                    virtual_clock()),
        5);
    check_noted(SIGTERM, 0, SIGINT, 0, SIGHUP, 0);
}

static void g6_2_a_signal_that_is_waited_for_ends_nothing(void **state) {
    (void)state;
    assert_good(claimed);
}

/* In its clean-up main can still ask which signal it was. */
static mini_poll which_script(
    struct mini_future *future, struct mini_context cx) {
    struct script *self = MINI_SELF(struct script);

    MINI_BEGIN;
    send_self((int)self->i);
    STEP(mini_sleep(&self->sleep, HOUR));
    MINI_AWAIT_SHIELDED(wait_for(&self->wait, SIGTERM, SIGINT));
    MINI_END(MINI_RESULT);
}

static void which(void) {
    struct script self;

    check_equal(run(MINI_CALL(struct script, &self, which_script, .i = SIGINT),
                    virtual_clock()),
        SIGINT);
    check_noted(-ECANCELED);
}

static void g6_2_main_can_ask_which_signal_ended_it(void **state) {
    (void)state;
    assert_good(which);
}

/* ---- G6.2: a server ends ------------------------------------------------ */

struct session {
    struct mini_future future;
    struct mini_io io;
    int fd;
    char buffer[64];
};

static mini_poll session(struct mini_future *future, struct mini_context cx) {
    struct session *self = MINI_SELF(struct session);

    MINI_BEGIN;
    for (;;) {
        MINI_AWAIT(
            mini_recv(&self->io, self->fd, self->buffer, sizeof self->buffer));
        if (MINI_RESULT <= 0) break;
        MINI_AWAIT(mini_send_all(
            &self->io, self->fd, self->buffer, (size_t)MINI_RESULT));
    }
    MINI_END(0);
}

static struct mini_future *serve(void *frame, int fd, void *arg) {
    struct session *self = frame;

    (void)arg;
    *self =
        (struct session){.future = MINI_FUTURE(session, "session"), .fd = fd};
    return &self->future;
}

static int try_connect(unsigned port) {
    struct sockaddr_in address = {.sin_family = AF_INET,
        .sin_port = htons((uint16_t)port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    close(fd);
    return -1;
}

static bool echoes(int fd) {
    char back = 0;

    return write(fd, "x", 1) == 1 && read(fd, &back, 1) == 1 && back == 'x';
}

static unsigned server_port;

/* A peer, on a thread of its own: its conversation goes on while the server
 * takes no new ones. */
static void *peer(void *arg) {
    int fds[8], other;

    (void)arg;
    for (size_t i = 0; i < COUNT_OF(fds); i++) {
        fds[i] = try_connect(server_port);
        check(fds[i] >= 0 && echoes(fds[i]));
    }
    send_from_a_thread(SIGTERM);
    while ((other = try_connect(server_port)) >= 0) {
        close(other);
        pause_ms(1);
    }
    for (size_t i = 0; i < COUNT_OF(fds); i++) {
        check(echoes(fds[i]));
        close(fds[i]);
    }
    return NULL;
}

struct server {
    struct mini_future future;
    struct mini_server server;
    struct mini_server_options options;
    pthread_t thread;
};

static mini_poll server(struct mini_future *future, struct mini_context cx) {
    struct server *self = MINI_SELF(struct server);

    MINI_BEGIN;
    int error = mini_server_open(&self->server, &self->options);
    if (error < 0) MINI_RETURN(error);
    server_port = self->server.port;
    check_equal(pthread_create(&self->thread, NULL, peer, NULL), 0);
    MINI_AWAIT(mini_serve(&self->server));
    MINI_END(MINI_RESULT);
}

static enum mini_accept_policy accept_policy;

static void end_server(void) {
    struct server self = {.future = MINI_FUTURE(server, "server"),
        .options = {.accept = accept_policy,
            .frame = sizeof(struct session),
            .serve = serve}};
    struct mini_options options = real_clock();
    long result = mini_run(&self.future, &options);

    if (result == -ENOPROTOOPT) _exit(0); /* there is no SO_REUSEPORT */
    check_equal(result, -ECANCELED);
    pthread_join(self.thread, NULL);
}

static void g6_2_a_server_takes_no_more_and_finishes_its_work(void **state) {
    (void)state;
    for (int i = 0; i < 2; i++) {
        accept_policy = i ? MINI_ACCEPT_REUSEPORT : MINI_ACCEPT_SPREAD;
        assert_good_with_shards(end_server);
    }
}

/* ---- G6.3: the second one ----------------------------------------------- */

/* A main that does not care; says when it was cancelled. */
static atomic_bool is_busy, cancelled;

static mini_poll stubborn_script(
    struct mini_future *future, struct mini_context cx) {
    struct script *self = MINI_SELF(struct script);

    MINI_BEGIN;
    is_busy = true;
    MINI_AWAIT(mini_sleep(&self->sleep, HOUR));
    cancelled = true;
    MINI_AWAIT_SHIELDED(mini_sleep(&self->sleep, HOUR));
    MINI_END(0);
}

static void *two_signals(void *arg) {
    (void)arg;
    while (!is_busy) pause_ms(1);
    pause_ms(5);
    send_from_a_thread(first_signal);
    while (!cancelled) pause_ms(1);
    send_from_a_thread(second_signal);
    return NULL;
}

static void stubborn(void) {
    struct mini_options options = real_clock();
    struct script self;
    pthread_t thread;

    check_equal(pthread_create(&thread, NULL, two_signals, NULL), 0);
    mini_run(
        MINI_CALL(struct script, &self, stubborn_script, .i = 0), &options);
}

static void g6_3_the_second_signal_kills(void **state) {
    (void)state;
    for (int i = 0; i < 4; i++) {
        first_signal = i & 1 ? SIGTERM : SIGINT;
        second_signal = i & 2 ? SIGTERM : SIGINT;
        shards = 1 + (unsigned)i % 3;
        assert_dies(stubborn, second_signal);
    }
}

/* The loop never comes round to see a signal. */
static mini_poll busy_script(
    struct mini_future *future, struct mini_context cx) {
    struct timespec now;

    (void)future;
    (void)cx;
    is_busy = true;
    while (is_busy) clock_gettime(CLOCK_MONOTONIC, &now);
    return MINI_PENDING;
}

static void *impatient(void *arg) {
    while (!is_busy) pause_ms(1);
    send_self(first_signal);
    pause_ms(30);
    fprintf(stderr, "still there\n");
    for (;;) { /* until one is not merged with the first, still pending */
        send_from_a_thread(*(int *)arg);
        pause_ms(100);
    }
    return NULL;
}

static void busy(void) {
    struct mini_future main = MINI_FUTURE(busy_script, "busy_script");
    struct mini_options options = real_clock();
    pthread_t thread;

    check_equal(pthread_create(&thread, NULL, impatient, &second_signal), 0);
    mini_run(&main, &options);
}

static void g6_3_it_kills_even_if_a_task_is_stuck(void **state) {
    char text[4096];

    (void)state;
    for (shards = 1; shards <= 2; shards++) {
        first_signal = second_signal = shards == 1 ? SIGTERM : SIGINT;
        int status = run_child(busy, text, sizeof text);

        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), second_signal);
        assert_string_equal(text, "still there\n"); /* the first did not */
    }
}

/* Who waits again gets the next one, too. */
static mini_poll again_script(
    struct mini_future *future, struct mini_context cx) {
    struct script *self = MINI_SELF(struct script);

    MINI_BEGIN;
    for (; self->i < 6; self->i++) {
        self->task[0] = background(wait_for(&self->wait,
            self->i % 2 ? SIGTERM : SIGINT, self->i % 3 ? SIGUSR2 : 0));
        SETTLE(self);
        send_self(self->i % 2 ? SIGTERM : SIGINT);
        MINI_AWAIT(mini_join(&self->join, self->task[0]));
        check_equal(MINI_RESULT, self->i % 2 ? SIGTERM : SIGINT);
    }
    fprintf(stderr, "had six\n");
    self->task[0] = background(wait_for(&self->wait, SIGUSR2, SIGHUP));
    SETTLE(self);
    send_self(second_signal); /* that was not waited for */
    MINI_AWAIT(mini_sleep(&self->sleep, HOUR));
    MINI_END(0);
}

static void again(void) {
    struct mini_options options = virtual_clock();
    struct script self;

    mini_run(MINI_CALL(struct script, &self, again_script, .i = 0), &options);
}

static void g6_3_waiting_again_takes_the_next_one(void **state) {
    char text[4096];

    (void)state;
    second_signal = SIGTERM;
    int status = run_child(again, text, sizeof text);

    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGTERM);
    assert_string_equal(text, "had six\n");
}

/* SIGHUP ends the run as well, but a second one is not that impatient. */
static mini_poll hang_up_script(
    struct mini_future *future, struct mini_context cx) {
    struct script *self = MINI_SELF(struct script);

    MINI_BEGIN;
    send_self(SIGHUP);
    STEP(mini_sleep(&self->sleep, HOUR));
    send_self(SIGHUP);
    SETTLE(self);
    send_self(SIGHUP);
    send_self(SIGTERM); /* the first of its kind */
    MINI_AWAIT_SHIELDED(mini_sleep(&self->sleep, MINI_SECOND));
    MINI_END(3);
}

static void hang_up(void) {
    struct script self;

    for (int i = 0; i < 2; i++) { /* a new run counts from the start */
        check_equal(run(MINI_CALL(struct script, &self, hang_up_script, .i = 0),
                        virtual_clock()),
            3);
        check_noted(-ECANCELED);
    }
}

static void g6_3_sighup_does_not_count(void **state) {
    (void)state;
    assert_good(hang_up);
}

/* ---- G6.4: closed peers ------------------------------------------------- */

struct closed {
    struct mini_future future;
    struct mini_io io;
    int socket, pipe;
    long results[4];
};

static mini_poll closed(struct mini_future *future, struct mini_context cx) {
    struct closed *self = MINI_SELF(struct closed);

    MINI_BEGIN;
    MINI_AWAIT(mini_send(&self->io, self->socket, "x", 1));
    self->results[0] = MINI_RESULT;
    MINI_AWAIT(mini_send_all(&self->io, self->socket, "x", 1));
    self->results[1] = MINI_RESULT;
    MINI_AWAIT(mini_write(&self->io, self->pipe, "x", 1, -1));
    self->results[2] = MINI_RESULT;
    self->results[3] = write(self->socket, "x", 1) == -1 ? -errno : 0;
    MINI_END(0);
}

struct closed_everywhere {
    struct mini_future future;
    struct closed closed;
    struct mini_remote remote;
    unsigned i;
    long good;
};

static mini_poll closed_everywhere(
    struct mini_future *future, struct mini_context cx) {
    struct closed_everywhere *self = MINI_SELF(struct closed_everywhere);

    MINI_BEGIN;
    for (; self->i < mini_shard_count(); self->i++) {
        self->closed.future = MINI_FUTURE(closed, "closed");
        MINI_AWAIT(mini_spawn_on(&self->remote, self->i, &self->closed.future));
        for (int i = 0; i < 4; i++)
            self->good += self->closed.results[i] == -EPIPE;
    }
    MINI_END(self->good);
}

static void closed_peers(void) {
    int sockets[2], ends[2];

    check(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) == 0);
    check(pipe(ends) == 0);
    close(sockets[1]);
    close(ends[0]);
    struct closed_everywhere self = {
        .future = MINI_FUTURE(closed_everywhere, "closed_everywhere"),
        .closed = {.socket = sockets[0], .pipe = ends[1]}};

    check_equal(run(&self.future, real_clock()), 4 * shards);
}

static void g6_4_writing_to_a_closed_peer_is_epipe(void **state) {
    (void)state;
    assert_good_with_shards(closed_peers);
}

static void closed_peer_afterwards(void) {
    int ends[2];

    closed_peers();
    check(pipe(ends) == 0);
    close(ends[0]);
    check(write(ends[1], "x", 1) == 1);
}

/* It was the runtime that kept it alive, and only while it ran. */
static void g6_4_after_the_run_sigpipe_is_as_before(void **state) {
    (void)state;
    shards = 2;
    assert_dies(closed_peer_afterwards, SIGPIPE);
}

/* ---- G6.5: the dump ----------------------------------------------------- */

static atomic_int leaf_polls;

/* A future that counts how often it is polled. */
static mini_poll counting_leaf(
    struct mini_future *future, struct mini_context cx) {
    atomic_fetch_add(&leaf_polls, 1);
    if (!cx.cancel) return MINI_PENDING;
    return mini_ready(future, -ECANCELED);
}

struct inner_work {
    struct mini_future future;
    struct mini_future leaf;
    int number;
};

static mini_poll inner_work(
    struct mini_future *future, struct mini_context cx) {
    struct inner_work *self = MINI_SELF(struct inner_work);

    MINI_BEGIN;
    self->leaf = MINI_FUTURE(counting_leaf, "counting_leaf");
    MINI_AWAIT(&self->leaf);
    MINI_END(self->number);
}

struct outer_work {
    struct mini_future future;
    struct inner_work inner;
};

static mini_poll outer_work(
    struct mini_future *future, struct mini_context cx) {
    struct outer_work *self = MINI_SELF(struct outer_work);

    MINI_BEGIN;
    MINI_AWAIT(
        MINI_CALL(struct inner_work, &self->inner, inner_work, .number = 5));
    MINI_END(MINI_RESULT);
}

struct dumping {
    struct mini_future future;
    struct outer_work outer[MAX_SHARDS];
    struct mini_remote remote[MAX_SHARDS];
    struct mini_task *task[MAX_SHARDS];
    struct mini_broadcast all;
    struct mini_signal_wait wait;
    struct mini_sleep sleep;
    struct mini_join join;
    struct mini_io io;
    struct mini_task *reader;
    int fd;
    char byte;
    unsigned i;
};

enum { DUMPS = 3 };

static mini_poll dumping(struct mini_future *future, struct mini_context cx) {
    struct dumping *self = MINI_SELF(struct dumping);

    MINI_BEGIN;
    for (unsigned i = 0; i < mini_shard_count(); i++) {
        self->outer[i] =
            MINI_FRAME(struct outer_work, outer_work, .inner.number = 5);
        self->task[i] = background(
            mini_spawn_on(&self->remote[i], i, &self->outer[i].future));
    }
    self->reader = background(mini_recv(&self->io, self->fd, &self->byte, 1));
    while (leaf_polls < (int)mini_shard_count())
        MINI_AWAIT(mini_sleep(&self->sleep, MINI_MS));
    MINI_AWAIT(mini_sleep(&self->sleep, MINI_MS));
    for (self->i = 0; self->i < DUMPS; self->i++) {
        send_self(SIGUSR1);
        STEP(wait_for(&self->wait, SIGUSR1, 0));
        /* each shard takes part in a turn after it has heard of it, twice */
        MINI_AWAIT(mini_submit_all(&self->all, nothing, NULL));
        MINI_AWAIT(mini_submit_all(&self->all, nothing, NULL));
        MINI_AWAIT(mini_submit_all(&self->all, nothing, NULL));
    }
    NOTE(leaf_polls - (int)mini_shard_count()); /* nobody was disturbed */
    for (self->i = 0; self->i < mini_shard_count(); self->i++) {
        mini_cancel(self->task[self->i]);
        MINI_AWAIT(mini_join(&self->join, self->task[self->i]));
        if (MINI_RESULT != 5) NOTE(MINI_RESULT);
    }
    mini_cancel(self->reader);
    STEP(mini_join(&self->join, self->reader));
    MINI_END(0);
}

static void dump(void) {
    struct dumping self = {.future = MINI_FUTURE(dumping, "dumping")};
    int fd[2];

    leaf_polls = 0;
    check_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
    self.fd = fd[0];
    check_equal(run(&self.future, real_clock()), 0);
    check_noted(SIGUSR1, SIGUSR1, SIGUSR1, 0, -ECANCELED);
}

static unsigned occurrences(const char *text, const char *what) {
    unsigned count = 0;

    while ((text = strstr(text, what))) {
        count++;
        text += strlen(what);
    }
    return count;
}

static void g6_5_sigusr1_prints_the_tasks_of_all_shards(void **state) {
    static char text[65536];
    char line[64];

    (void)state;
    for (shards = 1; shards <= MAX_SHARDS; shards *= 2) {
        assert_good_saying(dump, text, sizeof text);
        for (unsigned i = 0; i < shards; i++) {
            snprintf(line, sizeof line, "shard %u: ", i);
            assert_int_equal(occurrences(text, line), DUMPS);
        }
        assert_int_equal(occurrences(text,
                             "outer_work > inner_work > "
                             "counting_leaf"),
            DUMPS * shards);
        assert_int_equal(occurrences(text, "> mini_recv\n"), DUMPS);
        assert_true(occurrences(text, "dumping") >= DUMPS);
        assert_null(strchr(text, ',')); /* names, no initial values */
        assert_null(strstr(text, "cancelled"));
        /* a line a shard and one a task: each shard has its own main and the
         * outer; shard 0 the caller's tasks, the reader and the wait */
        assert_int_equal(occurrences(text, "\n"),
            occurrences(text, "  task ") + DUMPS * shards);
    }
}

/* It does so as well when somebody waits for it. */
static mini_poll waits_for_dump(
    struct mini_future *future, struct mini_context cx) {
    struct script *self = MINI_SELF(struct script);

    MINI_BEGIN;
    self->task[0] = background(wait_for(&self->wait, SIGUSR1, 0));
    SETTLE(self);
    send_self(SIGUSR1);
    STEP(mini_join(&self->join, self->task[0]));
    SETTLE(self);
    MINI_END(0);
}

static void dump_for_a_waiter(void) {
    struct script self = {
        .future = MINI_FUTURE(waits_for_dump, "waits_for_dump")};

    check_equal(run(&self.future, virtual_clock()), 0);
    check_noted(SIGUSR1);
}

static void g6_5_sigusr1_prints_also_for_who_waits_for_it(void **state) {
    static char text[4096];

    (void)state;
    assert_good_saying(dump_for_a_waiter, text, sizeof text);
    assert_int_equal(occurrences(text, "shard 0: "), 1);
    assert_int_equal(occurrences(text, "main > waits_for_dump"), 1);
}

/* Nobody waits for it: it prints, and changes nothing. */
static mini_poll unasked_script(
    struct mini_future *future, struct mini_context cx) {
    struct script *self = MINI_SELF(struct script);

    MINI_BEGIN;
    send_self(SIGUSR1);
    STEP(mini_sleep(&self->sleep, HOUR));
    NOTE((long)(mini_now() / HOUR));
    STEP(WAIT(SIGUSR1, 0)); /* it is kept, too */
    MINI_END(1);
}

static void unasked(void) {
    struct script self;

    check_equal(run(MINI_CALL(struct script, &self, unasked_script, .i = 0),
                    virtual_clock()),
        1);
    check_noted(0, 1, SIGUSR1);
}

static void g6_5_a_dump_disturbs_nobody(void **state) {
    char text[4096];

    (void)state;
    assert_good_saying(unasked, text, sizeof text);
    assert_int_equal(occurrences(text, "shard 0: 1 task"), 1);
    assert_int_equal(occurrences(text, "unasked_script > mini_sleep\n"), 1);
}

/* At once, before anybody has looked: of signals that makes one or more; of
 * calls, each. */
static mini_poll at_once_script(
    struct mini_future *future, struct mini_context cx) {
    struct script *self = MINI_SELF(struct script);

    MINI_BEGIN;
    for (int i = 0; i < 3; i++)
        if (self->i > 0)
            mini_dump_all();
        else
            send_self(SIGUSR1);
    if (self->i == 0) STEP(WAIT(SIGUSR1, 0));
    STEP(mini_sleep(&self->sleep, MINI_MS));
    MINI_END(0);
}

static void signals_at_once(void) {
    struct script self;

    check_equal(run(MINI_CALL(struct script, &self, at_once_script, .i = 0),
                    virtual_clock()),
        0);
    check_noted(SIGUSR1, 0);
}

static void calls_at_once(void) {
    struct script self;

    check_equal(run(MINI_CALL(struct script, &self, at_once_script, .i = 1),
                    virtual_clock()),
        0);
    check_noted(0);
}

static void g6_5_dumps_that_are_asked_for_at_once(void **state) {
    char text[4096];

    (void)state;
    assert_good_saying(signals_at_once, text, sizeof text);
    assert_in_range(occurrences(text, "shard 0: "), 1, 3);
    assert_good_saying(calls_at_once, text, sizeof text);
    assert_int_equal(occurrences(text, "shard 0: "), 3);
    assert_int_equal(occurrences(text, "at_once_script > mini_sleep\n"), 3);
}

/* ---- G6.6: as before ---------------------------------------------------- */

static void mine(int signal) { (void)signal; }

static const int all_flags =
    SA_RESTART | SA_SIGINFO | SA_NOCLDSTOP | SA_NODEFER | SA_RESETHAND;

static bool is_usable(int signal) {
    return (signal < 32 || signal >= SIGRTMIN) && signal != SIGKILL &&
        signal != SIGSTOP && signal != SIGALRM;
}

static void check_same(int signal, const struct sigaction *before) {
    struct sigaction now;

    check_equal(sigaction(signal, NULL, &now), 0);
    check(now.sa_handler == before->sa_handler);
    check_equal(now.sa_flags & all_flags, before->sa_flags & all_flags);
    for (int i = 1; i <= SIGNALS; i++)
        if (is_usable(i))
            check_equal(
                sigismember(&now.sa_mask, i), sigismember(&before->sa_mask, i));
}

static long mask_here(void *arg) {
    const sigset_t *before = arg;
    sigset_t now;

    pthread_sigmask(SIG_SETMASK, NULL, &now);
    for (int i = 1; i <= SIGNALS; i++)
        if (is_usable(i) && sigismember(&now, i) != sigismember(before, i))
            return -i;
    return 0;
}

struct as_before {
    struct mini_future future;
    struct mini_broadcast all;
    struct mini_signal_wait wait;
    struct mini_timeout timeout;
    sigset_t mask;
    bool waits;
};

static mini_poll as_before(struct mini_future *future, struct mini_context cx) {
    struct as_before *self = MINI_SELF(struct as_before);

    MINI_BEGIN;
    STEP(mini_submit_all(&self->all, mask_here, &self->mask));
    if (self->waits) {
        sigset_t many;

        sigemptyset(&many);
        for (int i = 1; i <= SIGNALS; i++)
            if (is_usable(i)) sigaddset(&many, i);
        MINI_AWAIT(mini_timeout(
            &self->timeout, mini_signal_wait(&self->wait, &many), MINI_MS));
    }
    MINI_END(0);
}

/* Dispositions of every kind, and a mask. */
static void set_up_signals(struct sigaction *before) {
    struct sigaction action;
    sigset_t mask = set_of(SIGURG, SIGTTIN);

    for (int signal = 1; signal <= SIGNALS; signal++) {
        if (!is_usable(signal)) continue;
        memset(&action, 0, sizeof action);
        sigemptyset(&action.sa_mask);
        action.sa_handler = SIG_DFL;
        if (signal % 3 == 0) action.sa_handler = SIG_IGN;
        if (signal % 3 == 1) {
            action.sa_handler = mine;
            sigaddset(&action.sa_mask, SIGTERM);
            action.sa_flags = signal % 2 ? SA_RESTART : SA_NODEFER;
        }
        sigaction(signal, &action, NULL);
        sigaction(signal, NULL, &before[signal - 1]);
    }
    pthread_sigmask(SIG_BLOCK, &mask, NULL);
}

static void dispositions(void) {
    static struct sigaction before[SIGNALS];

    set_up_signals(before);
    for (int i = 0; i < 3; i++) {
        struct as_before self = {
            .future = MINI_FUTURE(as_before, "as_before"), .waits = i < 2};
        struct mini_options options = real_clock();

        pthread_sigmask(SIG_SETMASK, NULL, &self.mask);
        options.ring_capacity = i < 2 ? 0 : 3; /* that is none: -EINVAL */
        check_equal(run(&self.future, options), i < 2 ? 0 : -EINVAL);
        if (i < 2) check_noted(0);
        for (int signal = 1; signal <= SIGNALS; signal++)
            if (is_usable(signal)) check_same(signal, &before[signal - 1]);
        check_equal(mask_here(&self.mask), 0);
    }
}

static void g6_6_masks_and_dispositions_are_as_before(void **state) {
    (void)state;
    assert_good_with_shards(dispositions);
}

/* Who was started with signals ignored, by nohup(1) say, goes on ignoring them,
 * but for one that somebody waits for. */
static mini_poll ignoring_script(
    struct mini_future *future, struct mini_context cx) {
    struct script *self = MINI_SELF(struct script);

    MINI_BEGIN;
    send_self(SIGHUP);
    send_self(SIGINT);
    send_self(SIGTERM);
    send_self(SIGTERM);
    STEP(mini_sleep(&self->sleep, MINI_MS));
    self->task[0] = background(wait_for(&self->wait, SIGINT, SIGUSR2));
    SETTLE(self);
    send_self(SIGHUP);
    send_self(SIGINT);
    STEP(mini_join(&self->join, self->task[0]));
    MINI_END(0);
}

static void ignoring(void) {
    static const int ignored[] = {SIGHUP, SIGINT, SIGTERM};
    struct sigaction now;
    struct script self;

    for (size_t i = 0; i < COUNT_OF(ignored); i++) signal(ignored[i], SIG_IGN);
    check_equal(run(MINI_CALL(struct script, &self, ignoring_script, .i = 0),
                    real_clock()),
        0);
    check_noted(0, SIGINT);
    for (size_t i = 0; i < COUNT_OF(ignored); i++) {
        sigaction(ignored[i], NULL, &now);
        check(now.sa_handler == SIG_IGN);
    }
}

static void g6_6_what_was_ignored_stays_so(void **state) {
    (void)state;
    assert_good_with_shards(ignoring);
}

/* ---- G6.6: children of a run -------------------------------------------- */

static int wait_child(pid_t child) {
    int status;

    while (waitpid(child, &status, 0) < 0) check_equal(errno, EINTR);
    return status;
}

/* A program that sends itself a signal: the status it ends with. */
static int exec_and_signal(const char *name) {
    char command[64];
    pid_t child = fork();

    snprintf(command, sizeof command, "kill -%s $$; exit 3", name);
    if (child == 0) {
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(99);
    }
    check(child > 0);
    return wait_child(child);
}

static const struct {
    const char *name;
    int signal;
} fatal[] = {{"TERM", SIGTERM}, {"INT", SIGINT}, {"HUP", SIGHUP},
    {"USR1", SIGUSR1}, {"USR2", SIGUSR2}, {"PIPE", SIGPIPE}, {"QUIT", SIGQUIT}};

static mini_poll parent_script(
    struct mini_future *future, struct mini_context cx) {
    struct script *self = MINI_SELF(struct script);

    MINI_BEGIN;
    self->task[0] = background(wait_for(&self->other, SIGQUIT, 0));
    SETTLE(self);
    for (size_t i = 0; i < COUNT_OF(fatal); i++) {
        int status = exec_and_signal(fatal[i].name);

        NOTE(WIFSIGNALED(status) && WTERMSIG(status) == fatal[i].signal);
    }
    STEP(mini_sleep(&self->sleep, MINI_MS)); /* nobody has meant us */
    STEP(WAIT(SIGCHLD, SIGTERM)); /* but that it has ended, we hear */
    MINI_END(0);
}

static void children_inherit_nothing(void) {
    struct script self;

    check_equal(run(MINI_CALL(struct script, &self, parent_script, .i = 0),
                    real_clock()),
        0);
    check_noted(1, 1, 1, 1, 1, 1, 1, 0, SIGCHLD);
}

static void g6_6_a_program_that_is_started_inherits_nothing(void **state) {
    (void)state;
    for (shards = 1; shards <= 2; shards++)
        assert_good(children_inherit_nothing);
}

/* A child that does not call exec has our handlers, but is not meant by them. */
static mini_poll forking_script(
    struct mini_future *future, struct mini_context cx) {
    struct script *self = MINI_SELF(struct script);
    static const int sent[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2};

    MINI_BEGIN;
    for (size_t i = 0; i < COUNT_OF(sent); i++) {
        pid_t child = fork();

        if (child == 0)
            for (;;) pause_ms(1000);
        kill(child, sent[i]);
        int status = wait_child(child);

        NOTE(WIFSIGNALED(status) && WTERMSIG(status) == sent[i]);
    }
    STEP(mini_sleep(&self->sleep, MINI_MS));
    STEP(mini_timeout(
        &self->timeout, wait_for(&self->wait, SIGUSR2, SIGTERM), 20 * MINI_MS));
    MINI_END(0);
}

static void forked(void) {
    struct script self;

    check_equal(run(MINI_CALL(struct script, &self, forking_script, .i = 0),
                    real_clock()),
        0);
    check_noted(1, 1, 1, 1, 1, 0, -ETIMEDOUT);
}

static void g6_6_a_forked_child_is_not_meant(void **state) {
    (void)state;
    shards = 1;
    assert_good(forked);
}

/* What a handler interrupts finds errno as it was, even if the bell cannot be
 * rung once more. */
static mini_poll errno_script(
    struct mini_future *future, struct mini_context cx) {
    struct script *self = MINI_SELF(struct script);
    int bell = mini_self->parker.bell.ring_fd;
    uint64_t most = UINT64_MAX - 1;

    MINI_BEGIN;
    while (write(bell, &most, sizeof most) > 0) continue;
    while (write(bell, &most, 1) > 0) continue; /* if it is a pipe */
    errno = 77;
    raise(SIGUSR2);
    NOTE(errno);
    STEP(wait_for(&self->wait, SIGUSR2, 0));
    MINI_END(0);
}

static void errno_kept(void) {
    struct script self;

    check_equal(run(MINI_CALL(struct script, &self, errno_script, .i = 0),
                    real_clock()),
        0);
    check_noted(77, SIGUSR2);
}

static void g6_6_a_handler_leaves_errno_alone(void **state) {
    (void)state;
    shards = 1;
    assert_good(errno_kept);
}

/* A handler on another thread may have begun when the run has just ended: it
 * does what the signal does without one. */
static void (*our_handler)(int);

static mini_poll handler_script(
    struct mini_future *future, struct mini_context cx) {
    struct sigaction ours;

    (void)cx;
    sigaction(SIGUSR2, NULL, &ours);
    our_handler = ours.sa_handler;
    return mini_ready(future, 0);
}

static void late_handler(void) {
    struct mini_future main = MINI_FUTURE(handler_script, "main");

    check_equal(run(&main, real_clock()), 0);
    our_handler(SIGUSR2);
}

static void g6_6_a_handler_that_is_late_is_as_none(void **state) {
    (void)state;
    assert_dies(late_handler, SIGUSR2);
}

/* The program's own handler comes then, and stays. */
static int own_count;

static void own_handler(int signal) { own_count += signal == SIGUSR2; }

static void late_handler_before_ours(void) {
    struct mini_future main = MINI_FUTURE(handler_script, "main");
    struct sigaction own = {.sa_handler = own_handler};

    sigaction(SIGUSR2, &own, NULL);
    check_equal(run(&main, real_clock()), 0);
    our_handler(SIGUSR2);
    check_equal(own_count, 1);
    sigaction(SIGUSR2, NULL, &own);
    check(own.sa_handler == own_handler);
}

static void g6_6_a_late_handler_leaves_the_programs_own(void **state) {
    (void)state;
    assert_good(late_handler_before_ours);
}

/* One that still runs on a thread of the program's uses the bell. It is held
 * there until somebody waits for it, or the run has ended without it. */
static sem_t is_inside, may_go;
static atomic_bool waited_for;

static void hold_handler(const char *call) {
    if (strcmp(call, "getpid") == 0) {
        sem_post(&is_inside);
        while (sem_wait(&may_go) < 0) continue;
    } else if (!atomic_exchange(&waited_for, true)) {
        sem_post(&may_go);
    }
}

static mini_poll ends_with_a_handler_inside(
    struct mini_future *future, struct mini_context cx) {
    struct script *self = MINI_SELF(struct script);

    (void)cx;
    mini_test_before_call = hold_handler;
    check_equal(pthread_create(&self->thread, NULL, raise_it, NULL), 0);
    while (sem_wait(&is_inside) < 0) continue;
    return mini_ready(future, 0);
}

static void handler_inside(void) {
    struct script self;
    struct mini_options options = real_clock();

    sem_init(&is_inside, 0, 0);
    sem_init(&may_go, 0, 0);
    check_equal(mini_run(MINI_CALL(struct script, &self,
                             ends_with_a_handler_inside, .i = 0),
                    &options),
        0);
    bool waited = atomic_load(&waited_for);

    sem_post(&may_go);
    pthread_join(self.thread, NULL);
    check(waited);
}

static void g6_6_the_end_waits_for_handlers_on_other_threads(void **state) {
    (void)state;
#ifdef __APPLE__
    skip();
#endif
    assert_good(handler_inside);
}

/* ---- G6.2 when the system refuses ---------------------------------------- */

/* Waits for one signal, on another shard; another one ends it. */
static struct signalled {
    struct mini_future future;
    struct mini_signal_wait wait;
    struct mini_remote remote;
    struct mini_sleep sleep;
    sigset_t set;
    bool begun;
} signalled;

static mini_poll waits_and_ends(
    struct mini_future *future, struct mini_context cx) {
    struct signalled *self = MINI_SELF(struct signalled);

    MINI_BEGIN;
    self->begun = true;
    raise(SIGUSR2);
    MINI_AWAIT(mini_spawn_on(
        &self->remote, 1, mini_signal_wait(&self->wait, &self->set)));
    if (MINI_RESULT != SIGUSR2) MINI_RETURN(-EIO);
    raise(SIGTERM);
    MINI_AWAIT(mini_sleep(&self->sleep, HOUR));
    MINI_END(MINI_RESULT == -ECANCELED ? 0 : -EIO);
}

static long wait_and_end(void) {
    struct mini_options options = real_clock();
    char text[4096];

    options.shards = 2;
    signalled =
        (struct signalled){.future = MINI_FUTURE(waits_and_ends, "waits")};
    sigemptyset(&signalled.set);
    sigaddset(&signalled.set, SIGUSR2);
    mini_test_capture_begin();
    long result = mini_run(&signalled.future, &options);

    mini_test_capture_end(text, sizeof text);
    return result;
}

static struct sigaction before[32];

static void ended_in_order(long result, const struct mini_test_fault *fault) {
    struct sigaction now;

    assert_int_equal(result, signalled.begun ? 0 : -fault->error);
    for (int signal = 1; signal < 32; signal++) {
        sigaction(signal, NULL, &now);
        assert_true(now.sa_handler == before[signal].sa_handler);
    }
}

static void g6_2_any_system_call_may_fail(void **state) {
    (void)state;
    for (int signal = 1; signal < 32; signal++)
        sigaction(signal, NULL, &before[signal]);
    long failed = mini_test_each_fault(wait_and_end, ended_in_order);

    if (failed == 0) skip(); /* where no call can be made to fail */
    assert_in_range(failed, 10, 10000);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(g6_1_every_waiter_on_every_shard_gets_it),
    cmocka_unit_test(g6_1_what_cannot_be_waited_for_is_refused),
    cmocka_unit_test(g6_1_a_signal_from_another_process),
    cmocka_unit_test(g6_1_a_signal_waits_for_who_will_wait_for_it),
    cmocka_unit_test(g6_1_two_at_once_each_go_to_their_own_waiter),
    cmocka_unit_test(g6_1_who_waits_gets_the_signals_of_his_set_only),
    cmocka_unit_test(g6_1_what_comes_beside_an_ending_one_comes_too),
    cmocka_unit_test(g3_5_a_second_look_that_finds_a_signal_is_awake),
    cmocka_unit_test(g6_1_any_signal_can_be_waited_for),
    cmocka_unit_test(g6_1_signals_nobody_waits_for_are_left_alone),
    cmocka_unit_test(g6_1_other_threads_are_not_interrupted),
    cmocka_unit_test(g6_1_cancel_races_with_a_signal_and_none_is_lost),
    cmocka_unit_test(g6_1_a_wait_that_is_cancelled_early_takes_no_signal),
    cmocka_unit_test(g6_1_a_wait_on_another_shard_is_cancelled),
    cmocka_unit_test(g6_1_who_waits_for_a_signal_is_no_deadlock),
    cmocka_unit_test(g6_1_waits_for_signals_and_channels_are_no_deadlock),
    cmocka_unit_test(g6_1_a_wait_for_a_signal_leaves_no_deadlock_behind),
    cmocka_unit_test(g6_1_busy_shards_leave_signals_to_the_first),
    cmocka_unit_test(g6_1_a_second_run_at_the_same_time_is_ebusy),
    cmocka_unit_test(g6_1_each_run_begins_without_signals),
    cmocka_unit_test(g6_1_what_comes_at_the_very_end_is_not_the_next_runs),
    cmocka_unit_test(g6_2_tasks_have_the_drain_time_to_end),
    cmocka_unit_test(g6_2_the_drain_time_may_be_without_end),
    cmocka_unit_test(g6_2_all_shards_end_gracefully),
    cmocka_unit_test(g6_2_shards_that_are_done_wait_for_the_others),
    cmocka_unit_test(g6_2_who_is_done_early_still_serves_the_others),
    cmocka_unit_test(g6_2_a_sleeping_runtime_ends),
    cmocka_unit_test(g6_2_a_signal_that_is_waited_for_ends_nothing),
    cmocka_unit_test(g6_2_main_can_ask_which_signal_ended_it),
    cmocka_unit_test(g6_2_a_server_takes_no_more_and_finishes_its_work),
    cmocka_unit_test(g6_3_the_second_signal_kills),
    cmocka_unit_test(g6_3_it_kills_even_if_a_task_is_stuck),
    cmocka_unit_test(g6_3_waiting_again_takes_the_next_one),
    cmocka_unit_test(g6_3_sighup_does_not_count),
    cmocka_unit_test(g6_4_writing_to_a_closed_peer_is_epipe),
    cmocka_unit_test(g6_4_after_the_run_sigpipe_is_as_before),
    cmocka_unit_test(g6_5_sigusr1_prints_the_tasks_of_all_shards),
    cmocka_unit_test(g6_5_sigusr1_prints_also_for_who_waits_for_it),
    cmocka_unit_test(g6_5_a_dump_disturbs_nobody),
    cmocka_unit_test(g6_5_dumps_that_are_asked_for_at_once),
    cmocka_unit_test(g6_6_masks_and_dispositions_are_as_before),
    cmocka_unit_test(g6_6_what_was_ignored_stays_so),
    cmocka_unit_test(g6_6_a_program_that_is_started_inherits_nothing),
    cmocka_unit_test(g6_6_a_forked_child_is_not_meant),
    cmocka_unit_test(g6_6_a_handler_leaves_errno_alone),
    cmocka_unit_test(g6_6_a_handler_that_is_late_is_as_none),
    cmocka_unit_test(g6_6_a_late_handler_leaves_the_programs_own),
    cmocka_unit_test(g6_6_the_end_waits_for_handlers_on_other_threads),
    cmocka_unit_test(g6_2_any_system_call_may_fail),
};

MINI_TEST_MAIN(tests)
