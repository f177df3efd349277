/* SPDX-License-Identifier: MIT
 *
 * stage02_timers.c: the guarantees of stage 2: the wheel, sleep, timeout,
 * interval, periodic tasks, idle sleep.
 *
 * How to read it: a test plays a scene, an async function that is the main of
 * one mini_run, nearly always with the virtual clock: then time stands still
 * while anything is runnable, and a scene that sleeps lets all others do what
 * they can. What happens is noted in `trace` with the millisecond in which it
 * happens: "a7@20 " for the result 7 of what is called a, x instead of a number
 * for -ECANCELED and t for -ETIMEDOUT.
 */
#include "faults.h"
#include "harness.h"

#include "miniss.h"

#include "../common/platform.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

typedef mini_poll poll_function(struct mini_future *, struct mini_context);

#define TICK (UINT64_C(1) << MINI_TICK_BITS)
#define HOUR (3600 * MINI_SECOND)
#define DAY (24 * HOUR)
#define YEAR (365 * DAY)

/* The first tick at or after a deadline. */
static uint64_t up(uint64_t ns) { return (ns + TICK - 1) / TICK * TICK; }

/* ---- what scenes are made of -------------------------------------------- */

static char trace[4096];

static void note(char letter, long result) {
    size_t length = strlen(trace);
    char number[24];

    snprintf(number, sizeof number, "%ld", result);
    snprintf(trace + length, sizeof trace - length, "%c%s@%d ", letter,
        result == -ECANCELED       ? "x"
            : result == -ETIMEDOUT ? "t"
                                   : number,
        (int)(mini_now() / MINI_MS));
}

/* A future in the hands of the test: pending until it is told to finish, or
 * has been polled with cancel more often than it lingers. */
struct probe {
    struct mini_future future;
    struct mini_task *task; /* who polled it last */
    bool finish; /* READY at the next poll, with this value */
    long value;
    int linger;
    long answer; /* to a cancel */
    int polls, cancels; /* how often it was polled, with cancel */
    bool misused; /* polled after READY, or a cancel was taken back */
};

static MINI_POLL(probe_poll) {
    struct probe *self = MINI_SELF(struct probe);

    self->misused |= future->resume == MINI_DONE;
    self->misused |= self->cancels > 0 && !cx.cancel;
    self->task = cx.task;
    self->polls++;
    self->cancels += cx.cancel;
    if (self->finish) return mini_ready(future, self->value);
    if (self->cancels > self->linger) return mini_ready(future, self->answer);
    return MINI_PENDING;
}

/* Awaits any future as a task of its own; notes the result. */
struct watch {
    struct mini_future future;
    struct mini_future *inner;
    char letter;
};

static MINI_POLL(watch) {
    struct watch *self = MINI_SELF(struct watch);
    MINI_BEGIN;
    MINI_AWAIT(self->inner);
    note(self->letter, MINI_RESULT);
    MINI_END(MINI_RESULT);
}

static struct mini_task *spawn_watch(char letter, struct mini_future *inner) {
    return MINI_SPAWN(struct watch, watch, .inner = inner, .letter = letter);
}

/* The frame of every scene; a test may look at it when the run has ended. */
struct scene {
    struct mini_future future;
    struct mini_yield yield;
    struct mini_sleep sleep, sleeps[4];
    struct mini_timeout timeout, outer;
    struct mini_interval interval;
    struct mini_tick tick;
    struct mini_join join;
    struct mini_event event;
    struct mini_wait wait;
    struct mini_task *task;
    struct mini_timer timer;
    struct probe probe;
    struct watch watch;
    struct mini_stats stats; /* as they were at some point */
    uint64_t start, now;
    int i;
    long count;
};

static struct scene scene;
static uint32_t seed; /* of every mini_run; 0: no shuffle */
static bool real_clock; /* of the next one */

static void set_scene(poll_function *poll) {
    scene = (struct scene){.future = MINI_FUTURE(poll, "scene")};
    scene.probe.future = MINI_FUTURE(probe_poll, "probe");
    scene.probe.answer = -ECANCELED;
    mini_event_init(&scene.event);
    trace[0] = '\0';
}

static long play(poll_function *poll) {
    static char said[1 << 14];
    struct mini_options options = mini_defaults;
    long before = mini_test_live_allocs();

    mini_self = NULL; /* should a test have failed in the middle of a run */
    options.virtual_clock = !real_clock;
    if (seed) options.shuffle_seed = seed;
    set_scene(poll);
    alarm(MINI_TEST_SECONDS / 4); /* longer, and it hangs */
    mini_test_capture_begin();
    long result = mini_run(&scene.future, &options);
    mini_test_capture_end(said, sizeof said);
    assert_int_equal(mini_test_live_allocs(), before);
    assert_false(scene.probe.misused);
    if (result != -EDEADLK) assert_null(strstr(said, "task(s)"));
    return result;
}

static long play_in_real_time(poll_function *poll) {
    real_clock = true;
    long result = play(poll);
    real_clock = false;
    return result;
}

/* Runs a scene in a child, which must end in a panic that says WORDS. */
static void assert_panics(poll_function *poll, const char *words) {
    char said[1024];
    int status = 0;

    fflush(stdout);
    mini_test_capture_begin();
    pid_t child = fork();
    if (child == 0) {
        struct rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        signal(SIGALRM, SIG_DFL);
        alarm(20);
        set_scene(poll);
        mini_run(&scene.future, NULL);
        _exit(0);
    }
    waitpid(child, &status, 0);
    mini_test_capture_end(said, sizeof said);
    assert_true(child > 0);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
    assert_memory_equal(said, "miniss: ", 8);
    assert_non_null(strstr(said, words));
}

static void finish(struct probe *probe, long value) {
    probe->finish = true;
    probe->value = value;
    if (probe->task) mini_wake(probe->task);
}

static uint64_t wall_clock(void) {
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * MINI_SECOND + (uint64_t)now.tv_nsec;
}

static void spin(uint64_t ns) {
    uint64_t start = wall_clock();

    while (wall_clock() - start < ns)
        ;
}

static uint64_t random_state;

static uint64_t random_bits(int bits) {
    random_state ^= random_state << 13; /* Marsaglia's xorshift64 */
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return bits ? random_state * UINT64_C(2685821657736338717) >> (64 - bits)
                : 0;
}

/* ---- G2.1: never early --------------------------------------------------- */

static MINI_POLL(sleeps_in_real_time) {
    struct scene *self = MINI_SELF(struct scene);
    MINI_BEGIN;
    for (self->i = 0; self->i < 3; self->i++) {
        mini_now();
        spin(2 * MINI_MS); /* the turn began long ago */
        self->start = wall_clock();
        MINI_AWAIT(mini_sleep(&self->sleep, 3 * MINI_MS));
        if (MINI_RESULT != 0) MINI_RETURN(MINI_RESULT);
        if (wall_clock() - self->start < 3 * MINI_MS) MINI_RETURN(1);
        self->start = mini_now() + MINI_MS;
        MINI_AWAIT(mini_sleep_until(&self->sleep, self->start));
        if (wall_clock() < self->start) MINI_RETURN(2);
        if (mini_now() < self->start) MINI_RETURN(3);
    }
    MINI_END(0);
}

static void g2_1_real_sleep_is_not_early(void **state) {
    (void)state;
    uint64_t start = wall_clock();
    assert_int_equal(play_in_real_time(sleeps_in_real_time), 0);
    assert_in_range(wall_clock() - start, 18 * MINI_MS, 5 * MINI_SECOND);
}

static MINI_POLL(prepares_a_sleep) {
    struct scene *self = MINI_SELF(struct scene);
    MINI_BEGIN;
    mini_sleep(&self->sleeps[0], 5 * MINI_SECOND);
    MINI_AWAIT(mini_sleep(&self->sleep, 3 * MINI_SECOND));
    MINI_AWAIT(&self->sleeps[0].future); /* counts from here */
    MINI_END((long)(mini_now() - up(up(3 * MINI_SECOND) + 5 * MINI_SECOND)));
}

static void g2_1_a_sleep_counts_from_its_first_poll(void **state) {
    (void)state;
    assert_int_equal(play(prepares_a_sleep), 0);
}

/* A wait that the system cuts short is taken up again, once for each time. */
static bool main_has_begun;

static MINI_POLL(sleeps_thrice) {
    struct scene *self = MINI_SELF(struct scene);
    MINI_BEGIN;
    main_has_begun = true;
    for (self->i = 0; self->i < 3; self->i++) {
        self->start = wall_clock();
        MINI_AWAIT(mini_sleep(&self->sleep, MINI_MS / 4));
        if (MINI_RESULT != 0) MINI_RETURN(1);
        if (wall_clock() < self->start + MINI_MS / 4) MINI_RETURN(2);
    }
    MINI_END(mini_stats()->waits > 8 ? 3 : 0);
}

static long sleep_thrice(void) {
    main_has_begun = false;
    return play_in_real_time(sleeps_thrice);
}

static void slept(long result, const struct mini_test_fault *fault) {
    assert_int_equal(result, main_has_begun ? 0 : -fault->error);
}

static void g2_1_a_wait_that_fails_is_not_the_end_of_it(void **state) {
    (void)state;
    long failed = mini_test_each_fault(sleep_thrice, slept);

    if (failed == 0) skip(); /* where no call can be made to fail */
    assert_in_range(failed, 6, 1000);
}

/* A wake before its time is no reason to end. */
static MINI_POLL(wakes_a_sleeper) {
    struct scene *self = MINI_SELF(struct scene);
    MINI_BEGIN;
    self->task = spawn_watch('a', mini_sleep(&self->sleeps[0], 10 * MINI_MS));
    for (self->i = 0; self->i < 3; self->i++) {
        MINI_AWAIT(mini_sleep(&self->sleep, 2 * MINI_MS));
        mini_wake(self->task);
    }
    MINI_AWAIT(mini_join(&self->join, self->task));
    MINI_END((long)(mini_now() - up(10 * MINI_MS)));
}

static void g2_1_woken_early_it_sleeps_on(void **state) {
    (void)state;
    assert_int_equal(play(wakes_a_sleeper), 0);
    assert_string_equal(trace, "a0@10 ");
}

/* ---- G2.2: nor late ------------------------------------------------------ */

static MINI_POLL(sleeps_exactly) {
    static const uint64_t times[] = {1, TICK - 1, TICK, TICK + 1, 0, 63 * TICK,
        64 * TICK, 64 * TICK + 1, 65 * TICK, 10 * MINI_MS, MINI_SECOND, 1,
        4096 * TICK - 1, HOUR, 7, DAY, 64 * TICK - 1, YEAR, 0, MINI_US};
    struct scene *self = MINI_SELF(struct scene);
    MINI_BEGIN;
    if (mini_now() != 0) MINI_RETURN(-1);
    for (self->i = 0; self->i < (int)(sizeof times / sizeof *times);
         self->i++) {
        self->start = mini_now();
        MINI_AWAIT(mini_sleep(&self->sleep, times[self->i]));
        if (MINI_RESULT != 0) MINI_RETURN(-2);
        if (mini_now() != up(self->start + times[self->i]))
            MINI_RETURN(self->i + 1);
        self->start = mini_now() + times[self->i];
        MINI_AWAIT(mini_sleep_until(&self->sleep, self->start));
        if (MINI_RESULT != 0) MINI_RETURN(-3);
        if (mini_now() != up(self->start)) MINI_RETURN(self->i + 101);
    }
    MINI_AWAIT(mini_sleep_until(&self->sleep, 5)); /* long ago */
    if (MINI_RESULT != 0 || mini_now() != up(self->start)) MINI_RETURN(-4);
    MINI_END(0);
}

static void g2_2_virtual_sleep_is_exact(void **state) {
    (void)state;
    assert_int_equal(play(sleeps_exactly), 0);
}

/* What is past is no reason to keep the thread: it takes a turn. */
static MINI_POLL(sleeps_until_the_past) {
    struct scene *self = MINI_SELF(struct scene);
    MINI_BEGIN;
    for (self->i = 0; self->i < 10; self->i++) {
        self->stats = *mini_stats();
        self->now = self->i % 2 ? mini_now() : 0;
        MINI_AWAIT(mini_sleep_until(&self->sleep, self->now));
        self->count += (long)(mini_stats()->turns - self->stats.turns);
    }
    MINI_END(self->count);
}

static void g2_2_what_is_past_takes_a_turn(void **state) {
    (void)state;
    assert_int_equal(play(sleeps_until_the_past), 10);
    /* in real time now is seldom a tick: those five wait for the next */
    assert_in_range(play_in_real_time(sleeps_until_the_past), 10, 1000);
}

static MINI_POLL(works_while_one_sleeps) {
    struct scene *self = MINI_SELF(struct scene);
    MINI_BEGIN;
    self->task = spawn_watch('s', mini_sleep(&self->sleeps[0], TICK));
    for (self->i = 0; self->i < 5000; self->i++) {
        MINI_AWAIT(mini_yield(&self->yield));
        if (mini_now() != 0) MINI_RETURN(1);
    }
    if (trace[0]) MINI_RETURN(2);
    MINI_AWAIT(mini_join(&self->join, self->task));
    MINI_END((long)(mini_now() - TICK));
}

static void g2_2_virtual_time_waits_for_work(void **state) {
    (void)state;
    assert_int_equal(play(works_while_one_sleeps), 0);
}

/* Read once a turn, and anew in the next. */
static MINI_POLL(reads_the_time) {
    struct scene *self = MINI_SELF(struct scene);
    MINI_BEGIN;
    self->start = wall_clock();
    self->now = mini_now();
    if (self->now < self->start) MINI_RETURN(1);
    spin(200 * MINI_US);
    if (mini_now() != self->now) MINI_RETURN(2);
    if (wall_clock() < self->now) MINI_RETURN(3);
    for (self->i = 0; self->i < 1000; self->i++)
        MINI_AWAIT(mini_yield(&self->yield));
    if (mini_now() < self->start + 200 * MINI_US) MINI_RETURN(4);
    MINI_END(0);
}

static void g2_2_time_is_read_once_a_turn(void **state) {
    (void)state;
    assert_int_equal(play_in_real_time(reads_the_time), 0);
}

static MINI_POLL(asks_what_is_left) {
    struct scene *self = MINI_SELF(struct scene);
    MINI_BEGIN;
    (void)cx;
    (void)self;
    if (mini_time_left(mini_self, MINI_SOMEDAY) != UINT64_MAX) MINI_RETURN(1);
    if (mini_time_left(mini_self, 5 * TICK) != 0) MINI_RETURN(2);
    if (mini_now() != 5 * TICK) MINI_RETURN(3);
    if (mini_time_left(mini_self, TICK) != 0) MINI_RETURN(4);
    MINI_END((long)(mini_now() - 5 * TICK)); /* never back */
}

static MINI_POLL(asks_what_is_really_left) {
    struct scene *self = MINI_SELF(struct scene);
    MINI_BEGIN;
    (void)cx;
    self->start = mini_now();
    if (mini_time_left(mini_self, MINI_SOMEDAY) != UINT64_MAX) MINI_RETURN(1);
    spin(MINI_MS);
    self->now = mini_time_left(mini_self, self->start + HOUR);
    if (self->now > HOUR - MINI_MS) MINI_RETURN(2);
    if (self->now < HOUR - 100 * MINI_SECOND) MINI_RETURN(3);
    if (mini_time_left(mini_self, self->start) != 0) MINI_RETURN(4);
    MINI_END(0);
}

static void g2_2_what_is_left_until_then(void **state) {
    (void)state;
    assert_int_equal(play(asks_what_is_left), 0);
    assert_int_equal(play_in_real_time(asks_what_is_really_left), 0);
}

/* ---- G2.3: the order of deadlines ---------------------------------------- */

static struct mini_wheel wheel;

/* The wheel comes to each timer at its tick, in few steps. */
static void assert_comes_to_all(struct mini_timer *timers, int count) {
    uint64_t last = wheel.tick;
    int steps = 0, came = 0;

    for (uint64_t next; (next = mini_wheel_next(&wheel)) != UINT64_MAX;) {
        struct mini_timer *timer;
        assert_true(next >= last);
        last = next;
        steps++;
        while ((timer = mini_wheel_expire(&wheel, next))) {
            assert_true(timer >= timers && timer < timers + count);
            assert_int_equal(timer->tick, next);
            assert_false(mini_list_linked(&timer->link));
            came++;
        }
        assert_int_equal(wheel.tick, next);
    }
    assert_int_equal(came, count);
    assert_in_range(steps, 0, count * MINI_WHEEL_LEVELS);
}

/* On, before and behind every slot's edge, seen from some tick. */
static void fill_all_levels(uint64_t from) {
    static struct mini_timer timers[MINI_WHEEL_LEVELS * 9 * 3];
    int count = 0;

    mini_wheel_init(&wheel);
    assert_null(mini_wheel_expire(&wheel, from));
    for (int level = 0; level < MINI_WHEEL_LEVELS; level++)
        for (uint64_t digit = 1; digit <= 64; digit = digit * 2 + digit % 2)
            for (int edge = -1; edge <= 1; edge++) {
                uint64_t ahead = (digit << 6 * level) + (uint64_t)edge;
                if (ahead > MINI_TICK_MAX - from) continue;
                timers[count] = (struct mini_timer){.tick = from + ahead};
                mini_wheel_insert(&wheel, &timers[count++]);
            }
    assert_true(count > 3 * MINI_WHEEL_LEVELS);
    assert_comes_to_all(timers, count);
}

static void g2_3_the_wheel_comes_to_every_level(void **state) {
    (void)state;
    fill_all_levels(0);
    fill_all_levels(63);
    fill_all_levels(YEAR / TICK);
    fill_all_levels(123 * YEAR / TICK + 4095);
    fill_all_levels(MINI_TICK_MAX / 2);
}

static void g2_3_the_last_tick_there_is(void **state) {
    static struct mini_timer timers[3];

    (void)state;
    mini_wheel_init(&wheel);
    for (int i = 0; i < 3; i++) {
        timers[i] = (struct mini_timer){.tick = MINI_TICK_MAX - (uint64_t)i};
        mini_wheel_insert(&wheel, &timers[i]);
    }
    assert_null(mini_wheel_expire(&wheel, MINI_TICK_MAX - 3));
    assert_ptr_equal(mini_wheel_expire(&wheel, MINI_TICK_MAX), &timers[2]);
    assert_ptr_equal(mini_wheel_expire(&wheel, MINI_TICK_MAX), &timers[1]);
    assert_ptr_equal(mini_wheel_expire(&wheel, MINI_TICK_MAX), &timers[0]);
    assert_null(mini_wheel_expire(&wheel, MINI_TICK_MAX));
    mini_wheel_insert(&wheel, &timers[0]);
    assert_int_equal(mini_wheel_next(&wheel), MINI_TICK_MAX);
    assert_ptr_equal(mini_wheel_expire(&wheel, MINI_TICK_MAX), &timers[0]);
    assert_int_equal(mini_wheel_next(&wheel), UINT64_MAX);
    assert_null(mini_wheel_expire(&wheel, UINT64_MAX)); /* past all there are */
}

static void g2_3_what_is_past_is_due_now(void **state) {
    struct mini_timer late = {.tick = 7}, now = {.tick = 1000};

    (void)state;
    mini_wheel_init(&wheel);
    assert_int_equal(mini_wheel_next(&wheel), UINT64_MAX);
    assert_null(mini_wheel_expire(&wheel, 1000));
    assert_int_equal(wheel.tick, 1000);
    assert_null(mini_wheel_expire(&wheel, 10)); /* it never turns back */
    assert_int_equal(wheel.tick, 1000);
    mini_wheel_insert(&wheel, &late);
    assert_int_equal(mini_wheel_next(&wheel), 1000);
    assert_null(mini_wheel_expire(&wheel, 999));
    assert_ptr_equal(mini_wheel_expire(&wheel, 1000), &late);
    assert_null(mini_wheel_expire(&wheel, 1000));
    mini_wheel_insert(&wheel, &now);
    assert_ptr_equal(mini_wheel_expire(&wheel, UINT64_MAX - 1), &now);
    assert_null(mini_wheel_expire(&wheel, 2000));
}

/* The same operations on the wheel and on an array that is searched. */
enum { MODEL = 250 };
static struct mini_timer model[MODEL];
static uint64_t due[MODEL]; /* when model[i] is; UINT64_MAX: it is not in */

static uint64_t earliest(void) {
    uint64_t first = UINT64_MAX;

    for (int i = 0; i < MODEL; i++)
        if (due[i] < first) first = due[i];
    return first;
}

static void model_insert(int i) {
    uint64_t ahead = random_bits((int)random_bits(6) % 48);

    if (due[i] != UINT64_MAX) return;
    if (ahead > MINI_TICK_MAX - wheel.tick) ahead = random_bits(8);
    model[i].tick = wheel.tick + ahead;
    if (random_bits(5) == 0) model[i].tick = random_bits(40); /* may be past */
    due[i] = model[i].tick > wheel.tick ? model[i].tick : wheel.tick;
    mini_wheel_insert(&wheel, &model[i]);
}

static void model_cancel(int i) {
    mini_wheel_cancel(&model[i]); /* no effect if it is not in */
    assert_false(mini_list_linked(&model[i].link));
    due[i] = UINT64_MAX;
}

static void model_advance(uint64_t tick) {
    uint64_t last = 0;
    struct mini_timer *timer;

    while ((timer = mini_wheel_expire(&wheel, tick))) {
        assert_in_range(timer - model, 0, MODEL - 1);
        uint64_t mine = due[timer - model];
        assert_int_equal(mine, earliest());
        assert_true(mine >= last && mine <= tick);
        last = mine;
        due[timer - model] = UINT64_MAX;
    }
    assert_true(earliest() > tick);
    assert_int_equal(wheel.tick, tick);
}

static void assert_next_fits(void) {
    uint64_t next = mini_wheel_next(&wheel), first = earliest();

    assert_true(next <= first && next >= wheel.tick);
    if (first >> 6 == wheel.tick >> 6 || first == UINT64_MAX)
        assert_int_equal(next, first); /* nothing to move before it */
}

static void g2_3_random_deadlines_against_a_model(void **state) {
    static const uint64_t starts[] = {0, YEAR / TICK, 200 * YEAR / TICK};

    (void)state;
    random_state = 88172645463325252;
    for (int run = 0; run < 9; run++) {
        mini_wheel_init(&wheel);
        memset(model, 0, sizeof model);
        for (int i = 0; i < MODEL; i++) due[i] = UINT64_MAX;
        model_advance(starts[run % 3]);
        for (int step = 0; step < 4000; step++) {
            int which = (int)(random_bits(16) % MODEL);
            uint64_t jump = wheel.tick + random_bits((int)random_bits(5));
            switch (random_bits(3)) {
            case 0: model_cancel(which); break;
            case 1:
                if (mini_wheel_next(&wheel) != UINT64_MAX)
                    model_advance(mini_wheel_next(&wheel));
                break;
            case 2:
                if (jump < earliest() || random_bits(2) == 0)
                    model_advance(jump < MINI_TICK_MAX ? jump : wheel.tick);
                break;
            default: model_insert(which);
            }
            assert_next_fits();
        }
        for (int i = 0; i < MODEL; i += 2) model_cancel(i);
        model_advance(MINI_TICK_MAX);
        assert_int_equal(mini_wheel_next(&wheel), UINT64_MAX);
    }
}

/* Sleeps of all lengths at once, from 1 ns to 146 years, in a shuffled order. */
enum { SLEEPERS = 62 };

struct sleeper {
    struct mini_future future;
    struct mini_sleep sleep;
    int power;
};

static MINI_POLL(sleeper) {
    struct sleeper *self = MINI_SELF(struct sleeper);
    MINI_BEGIN;
    MINI_AWAIT(mini_sleep(&self->sleep, UINT64_C(1) << self->power));
    if (mini_now() != up(scene.start + (UINT64_C(1) << self->power)))
        scene.count += 1000;
    if (mini_now() < scene.now) scene.count += 1000;
    scene.now = mini_now();
    scene.count++;
    MINI_END(0);
}

static MINI_POLL(sleeps_all_lengths) {
    struct scene *self = MINI_SELF(struct scene);
    MINI_BEGIN;
    MINI_AWAIT(mini_sleep(&self->sleep, scene.start));
    self->start = mini_now();
    for (int i = 0; i < SLEEPERS; i++)
        MINI_SPAWN(struct sleeper, sleeper, .power = i * 29 % SLEEPERS);
    MINI_AWAIT(mini_sleep(&self->sleep, UINT64_C(1) << SLEEPERS));
    MINI_END(self->count);
}

static MINI_POLL(after_a_year) {
    scene.start = YEAR;
    future->poll = sleeps_all_lengths;
    return sleeps_all_lengths(future, cx);
}

static void g2_3_sleeps_of_all_lengths(void **state) {
    (void)state;
    assert_int_equal(play(sleeps_all_lengths), SLEEPERS);
    assert_int_equal(play(after_a_year), SLEEPERS);
}

/* Deadlines past the end of time are at its end. */
static MINI_POLL(sleeps_for_ever) {
    struct scene *self = MINI_SELF(struct scene);
    MINI_BEGIN;
    MINI_AWAIT(mini_sleep(&self->sleep, MINI_SECOND));
    spawn_watch('a', mini_sleep(&self->sleeps[0], UINT64_MAX));
    spawn_watch('b', mini_sleep(&self->sleeps[1], UINT64_MAX - MINI_SECOND));
    spawn_watch('c', mini_sleep_until(&self->sleeps[2], UINT64_MAX));
    spawn_watch('d', mini_sleep_until(&self->sleeps[3], UINT64_MAX - TICK + 2));
    MINI_AWAIT(mini_sleep(&self->sleep, 500 * YEAR));
    note('m', 0);
    if (mini_now() != up(up(MINI_SECOND) + 500 * YEAR)) MINI_RETURN(1);
    MINI_AWAIT(mini_sleep_until(&self->sleep, UINT64_MAX));
    if (mini_now() < UINT64_MAX - TICK) MINI_RETURN(2);
    MINI_END(0);
}

static void g2_3_longer_than_there_is_time(void **state) {
    (void)state;
    assert_int_equal(play(sleeps_for_ever), 0);
    assert_int_equal(trace[0], 'm');
    assert_non_null(strstr(trace, "a0@"));
    assert_non_null(strstr(trace, "b0@"));
    assert_non_null(strstr(trace, "c0@"));
    assert_non_null(strstr(trace, "d0@"));
}

/* ---- G2.4: insert and cancel --------------------------------------------- */

static void g2_4_the_wheel_forgets_what_is_cancelled(void **state) {
    static const uint64_t ticks[] = {0, 5, 5, 63, 64, 70, 4096, 5000, 5000,
        262144, 300000, 20000000, MINI_TICK_MAX / 64, MINI_TICK_MAX};
    enum { COUNT = sizeof ticks / sizeof *ticks };
    struct mini_timer timers[COUNT];

    (void)state;
    mini_wheel_init(&wheel);
    for (int from = 0; from < COUNT; from++) {
        memset(timers, 0, sizeof timers);
        for (int i = 0; i < COUNT; i++) {
            timers[i].tick = ticks[i];
            mini_wheel_insert(&wheel, &timers[i]);
        }
        for (int i = 0; i < COUNT; i++) { /* in this order and in others */
            int which = (from + i * 3) % COUNT;
            assert_int_not_equal(mini_wheel_next(&wheel), UINT64_MAX);
            mini_wheel_cancel(&timers[which]);
            mini_wheel_cancel(&timers[which]); /* no effect */
            assert_false(mini_list_linked(&timers[which].link));
        }
        assert_true(wheel.used);
        assert_int_equal(mini_wheel_next(&wheel), UINT64_MAX);
        assert_false(wheel.used); /* a turn need not look any more */
    }
    assert_null(mini_wheel_expire(&wheel, MINI_TICK_MAX));
    mini_wheel_init(&wheel);
    timers[0].tick = timers[1].tick = 5; /* two of one slot */
    mini_wheel_insert(&wheel, &timers[0]);
    mini_wheel_insert(&wheel, &timers[1]);
    mini_wheel_cancel(&timers[0]);
    assert_int_equal(mini_wheel_next(&wheel), 5);
    assert_ptr_equal(mini_wheel_expire(&wheel, 5), &timers[1]);
    mini_wheel_cancel(&timers[1]); /* it has expired: no effect */
    assert_null(mini_wheel_expire(&wheel, 5));
}

static void g2_4_a_million_timers(void **state) {
    enum { MILLION = 1000000 };
    struct mini_timer *timers = calloc(MILLION, sizeof *timers);
    uint64_t last = 0;
    int came = 0;

    (void)state;
    assert_non_null(timers);
    random_state = 1;
    mini_wheel_init(&wheel);
    for (int i = 0; i < MILLION; i++) {
        timers[i].tick = random_bits(i % 44);
        mini_wheel_insert(&wheel, &timers[i]);
    }
    for (int i = 0; i < MILLION; i += 2)
        mini_wheel_cancel(&timers[(i * 7) % MILLION]);
    for (struct mini_timer *timer;
         (timer = mini_wheel_expire(&wheel, MINI_TICK_MAX)); came++) {
        if (timer->tick < last || (timer - timers) % 2 == 0) fail();
        last = timer->tick;
    }
    assert_int_equal(came, MILLION / 2);
    free(timers);
}

static MINI_POLL(has_many_sleepers) {
    struct scene *self = MINI_SELF(struct scene);
    MINI_BEGIN;
    for (int i = 0; i < 100000; i++) {
        struct mini_task *task = mini_task_new(sizeof(struct mini_sleep));
        if (!task) MINI_RETURN(-1);
        mini_sleep(
            (struct mini_sleep *)(task + 1), i % 2 ? HOUR : (uint64_t)i * 997);
        mini_detach(task);
    }
    MINI_AWAIT(mini_sleep(&self->sleep, MINI_SECOND));
    MINI_END((long)mini_stats()->polls); /* half of them still sleep */
}

static void g2_4_a_hundred_thousand_sleepers(void **state) {
    (void)state;
    assert_int_equal(play(has_many_sleepers), 2 + 100000 + 50000);
}

/* Nothing is left to wait for then; and time has not moved. */
static MINI_POLL(cancels_a_sleep) {
    struct scene *self = MINI_SELF(struct scene);
    MINI_BEGIN;
    MINI_AWAIT(mini_sleep(&self->sleep, 5 * MINI_MS));
    self->task = spawn_watch('a', mini_sleep(&self->sleeps[0], HOUR));
    MINI_AWAIT(mini_sleep(&self->sleep, 5 * MINI_MS));
    mini_cancel(self->task);
    MINI_AWAIT(mini_join(&self->join, self->task));
    self->task = spawn_watch('b', mini_sleep(&self->sleeps[0], 0));
    mini_cancel(self->task); /* before it starts */
    MINI_AWAIT(mini_join(&self->join, self->task));
    self->task = spawn_watch('c', mini_sleep_until(&self->sleeps[0], 0));
    mini_cancel(self->task);
    MINI_AWAIT(mini_join(&self->join, self->task));
    MINI_AWAIT(mini_event_wait(&self->wait, &self->event));
    note('m', MINI_RESULT);
    MINI_END(0);
}

static void g2_4_a_cancelled_sleep_is_gone(void **state) {
    (void)state;
    assert_int_equal(play(cancels_a_sleep), -EDEADLK);
    assert_string_equal(trace, "ax@10 bx@10 cx@10 mx@10 ");
}

/* Its time had come before the cancel did: the result stands. */
static MINI_POLL(cancels_a_sleep_that_is_over) {
    struct scene *self = MINI_SELF(struct scene);
    MINI_BEGIN;
    self->task = spawn_watch('a', mini_sleep(&self->sleeps[0], 5 * MINI_MS));
    MINI_AWAIT(mini_sleep(&self->sleep, 5 * MINI_MS)); /* is woken first */
    note('m', MINI_RESULT);
    mini_cancel(self->task);
    MINI_AWAIT(mini_join(&self->join, self->task));
    MINI_END(MINI_RESULT);
}

static void g2_4_a_sleep_that_is_over_is_not_cancelled(void **state) {
    (void)state;
    assert_int_equal(play(cancels_a_sleep_that_is_over), 0);
    assert_string_equal(trace, "m0@5 a0@5 ");
}

/* A timer of the runtime's own, that wakes nobody. */
static MINI_POLL(starts_a_timer) {
    struct scene *self = MINI_SELF(struct scene);
    MINI_BEGIN;
    mini_timer_start(mini_self, &self->timer, 2 * TICK);
    MINI_AWAIT(mini_sleep_until(&self->sleep, TICK + 1));
    note('l', mini_list_linked(&self->timer.link)); /* both at tick 2 */
    mini_timer_start(mini_self, &self->timer, 2 * TICK + 1);
    MINI_AWAIT(mini_sleep_until(&self->sleep, 2 * TICK));
    note('l', mini_list_linked(&self->timer.link));
    MINI_AWAIT(mini_sleep_until(&self->sleep, 3 * TICK));
    note('l', mini_list_linked(&self->timer.link));
    MINI_END((long)(mini_now() - 3 * TICK));
}

static void g2_4_a_timer_may_wake_nobody(void **state) {
    (void)state;
    assert_int_equal(play(starts_a_timer), 0);
    assert_string_equal(trace, "l0@0 l1@0 l0@0 ");
}

/* ---- G2.5: timeout ------------------------------------------------------- */

static MINI_POLL(times_out) {
    struct scene *self = MINI_SELF(struct scene);
    MINI_BEGIN;
    MINI_AWAIT(mini_timeout(&self->timeout,
        mini_sleep(&self->sleeps[0], 20 * MINI_MS), 60 * MINI_MS));
    note('a', MINI_RESULT); /* in time */
    MINI_AWAIT(mini_timeout(&self->timeout,
        mini_sleep(&self->sleeps[0], 60 * MINI_MS), 20 * MINI_MS));
    note('b', MINI_RESULT); /* not in time */
    note('i', self->sleeps[0].future.result);
    MINI_AWAIT(mini_timeout(&self->timeout,
        mini_sleep(&self->sleeps[0], 20 * MINI_MS), 20 * MINI_MS));
    note('c', MINI_RESULT); /* both at once: it is there, so it wins */
    MINI_AWAIT(
        mini_timeout(&self->timeout, mini_sleep(&self->sleeps[0], HOUR), 0));
    note('d', MINI_RESULT);
    MINI_AWAIT(mini_timeout(
        &self->timeout, mini_sleep(&self->sleeps[0], MINI_SECOND), UINT64_MAX));
    note('e', MINI_RESULT);
    finish(&self->probe, 7); /* READY at its first poll */
    MINI_AWAIT(mini_timeout(&self->timeout, &self->probe.future, 0));
    note('f', MINI_RESULT);
    MINI_AWAIT(mini_event_wait(&self->wait, &self->event));
    note('m', MINI_RESULT); /* no timer was left to wait for */
    MINI_END(0);
}

static void g2_5_timeout_in_time_or_not(void **state) {
    (void)state;
    assert_int_equal(play(times_out), -EDEADLK);
    assert_string_equal(
        trace, "a0@20 bt@40 ix@40 c0@60 dt@60 e0@1060 f7@1060 mx@1060 ");
}

static MINI_POLL(times_out_exactly) {
    struct scene *self = MINI_SELF(struct scene);
    MINI_BEGIN;
    MINI_AWAIT(mini_sleep(&self->sleep, HOUR));
    self->start = mini_now();
    MINI_AWAIT(mini_timeout(&self->timeout, &self->probe.future, TICK + 1));
    if (MINI_RESULT != -ETIMEDOUT) MINI_RETURN(1);
    if (mini_list_linked(&self->timeout.sleep.timer.link)) MINI_RETURN(2);
    MINI_END((long)(mini_now() - self->start - 2 * TICK));
}

static void g2_5_timeout_comes_at_its_tick(void **state) {
    (void)state;
    assert_int_equal(play(times_out_exactly), 0);
    assert_int_equal(scene.probe.cancels, 1);
    assert_int_equal(scene.probe.future.result, -ECANCELED);
}

/* A timeout of 20 ms around the probe, watched by a task. */
static void start_timeout(struct scene *self) {
    self->task = spawn_watch(
        't', mini_timeout(&self->timeout, &self->probe.future, 20 * MINI_MS));
}

static MINI_POLL(answers_itself) {
    struct scene *self = MINI_SELF(struct scene);
    MINI_BEGIN;
    self->probe.answer = -EIO; /* no -ETIMEDOUT: that would be lost */
    start_timeout(self);
    MINI_AWAIT(mini_join(&self->join, self->task));
    note('j', MINI_RESULT == -EIO);
    self->probe = (struct probe){
        .future = MINI_FUTURE(probe_poll, "probe"), .answer = 12};
    start_timeout(self);
    MINI_AWAIT(mini_join(&self->join, self->task));
    MINI_END(MINI_RESULT);
}

static void g2_5_an_answer_of_its_own_wins(void **state) {
    (void)state;
    assert_int_equal(play(answers_itself), 12);
    assert_string_equal(trace, "t-5@20 j1@20 t12@40 ");
}

/* Finished by somebody else in the turn in which the time is over. */
static MINI_POLL(finishes_just_in_time) {
    struct scene *self = MINI_SELF(struct scene);
    MINI_BEGIN;
    start_timeout(self);
    MINI_AWAIT(mini_sleep(&self->sleep, 20 * MINI_MS)); /* is woken first */
    note('m', MINI_RESULT);
    finish(&self->probe, 4);
    MINI_AWAIT(mini_join(&self->join, self->task));
    MINI_END(MINI_RESULT);
}

static void g2_5_a_result_that_was_ready_wins(void **state) {
    (void)state;
    assert_int_equal(play(finishes_just_in_time), 4);
    assert_string_equal(trace, "m0@20 t4@20 ");
    assert_int_equal(scene.probe.cancels, 0);
}

static MINI_POLL(winds_down_slowly) {
    struct scene *self = MINI_SELF(struct scene);
    MINI_BEGIN;
    self->probe.linger = 2;
    start_timeout(self);
    MINI_AWAIT(mini_sleep(&self->sleep, 5 * MINI_MS));
    mini_wake(self->task); /* not yet */
    MINI_AWAIT(mini_sleep(&self->sleep, 25 * MINI_MS));
    note('c', self->probe.cancels);
    mini_wake(self->task);
    MINI_AWAIT(mini_sleep(&self->sleep, 10 * MINI_MS));
    note('c', self->probe.cancels);
    if (self->i)
        mini_cancel(self->task); /* too late to be what cancelled */
    else
        mini_wake(self->task);
    MINI_AWAIT(mini_join(&self->join, self->task));
    MINI_END(self->probe.polls);
}

static MINI_POLL(is_cancelled_meanwhile) {
    scene.i = 1;
    future->poll = winds_down_slowly;
    return winds_down_slowly(future, cx);
}

static void g2_5_the_inner_future_is_finished(void **state) {
    (void)state;
    assert_int_equal(play(winds_down_slowly), 6);
    assert_string_equal(trace, "c1@30 c2@40 tt@40 ");
    assert_int_equal(play(is_cancelled_meanwhile), 6);
    assert_string_equal(trace, "c1@30 c2@40 tt@40 ");
}

static MINI_POLL(cancels_a_timeout) {
    struct scene *self = MINI_SELF(struct scene);
    MINI_BEGIN;
    start_timeout(self);
    MINI_AWAIT(mini_sleep(&self->sleep, 5 * MINI_MS));
    mini_cancel(self->task);
    MINI_AWAIT(mini_join(&self->join, self->task));
    MINI_AWAIT(mini_event_wait(&self->wait, &self->event));
    note('m', MINI_RESULT); /* its timer is gone */
    MINI_END(0);
}

static MINI_POLL(cancels_a_timeout_early) {
    struct scene *self = MINI_SELF(struct scene);
    MINI_BEGIN;
    self->probe.linger = self->i;
    start_timeout(self);
    mini_cancel(self->task);
    MINI_AWAIT(mini_sleep(&self->sleep, 50 * MINI_MS));
    if (self->i) mini_wake(self->task);
    MINI_AWAIT(mini_join(&self->join, self->task));
    MINI_END(self->probe.cancels);
}

static MINI_POLL(cancels_a_slow_timeout_early) {
    scene.i = 1;
    future->poll = cancels_a_timeout_early;
    return cancels_a_timeout_early(future, cx);
}

static MINI_POLL(cancels_a_slow_timeout) {
    struct scene *self = MINI_SELF(struct scene);
    MINI_BEGIN;
    self->probe.linger = 1;
    start_timeout(self);
    MINI_AWAIT(mini_sleep(&self->sleep, 5 * MINI_MS));
    mini_cancel(self->task); /* its timer goes at once */
    MINI_AWAIT(mini_sleep(&self->sleep, 50 * MINI_MS)); /* its time passes */
    note('c', self->probe.cancels);
    mini_wake(self->task);
    MINI_AWAIT(mini_join(&self->join, self->task));
    MINI_END(self->probe.cancels);
}

static MINI_POLL(cancels_a_timeout_that_is_due) {
    struct scene *self = MINI_SELF(struct scene);
    MINI_BEGIN;
    start_timeout(self);
    MINI_AWAIT(mini_sleep(&self->sleep, 20 * MINI_MS)); /* is woken first */
    mini_cancel(self->task);
    MINI_AWAIT(mini_join(&self->join, self->task));
    MINI_END(self->probe.cancels);
}

static void g2_5_a_cancel_from_outside_is_no_timeout(void **state) {
    (void)state;
    assert_int_equal(play(cancels_a_timeout), -EDEADLK);
    assert_string_equal(trace, "tx@5 mx@5 ");
    assert_int_equal(scene.probe.cancels, 1);
    assert_int_equal(play(cancels_a_timeout_early), 1);
    assert_string_equal(trace, "tx@0 ");
    assert_int_equal(scene.probe.polls, 1);
    assert_int_equal(play(cancels_a_slow_timeout_early), 2);
    assert_string_equal(trace, "tx@50 ");
    assert_int_equal(play(cancels_a_slow_timeout), 2);
    assert_string_equal(trace, "c1@55 tx@55 ");
    assert_int_equal(play(cancels_a_timeout_that_is_due), 1);
    assert_string_equal(trace, "tx@20 ");
}

/* Nor is an end as cancelled that comes by itself, in time. */
static MINI_POLL(ends_as_cancelled) {
    struct scene *self = MINI_SELF(struct scene);
    MINI_BEGIN;
    start_timeout(self);
    MINI_AWAIT(mini_sleep(&self->sleep, 5 * MINI_MS));
    finish(&self->probe, -ECANCELED);
    MINI_AWAIT(mini_join(&self->join, self->task));
    MINI_END(MINI_RESULT);
}

static void g2_5_who_was_cancelled_by_others_did_not_time_out(void **state) {
    (void)state;
    assert_int_equal(play(ends_as_cancelled), -ECANCELED);
    assert_string_equal(trace, "tx@5 ");
    assert_int_equal(scene.probe.cancels, 0);
}

static MINI_POLL(nests_timeouts) {
    struct scene *self = MINI_SELF(struct scene);
    MINI_BEGIN;
    for (self->i = 10; self->i <= 30; self->i += 10) {
        MINI_AWAIT(mini_timeout(&self->outer,
            mini_timeout(
                &self->timeout, mini_sleep(&self->sleep, HOUR), 20 * MINI_MS),
            (uint64_t)self->i * MINI_MS));
        note('i', self->timeout.future.result);
        note('o', MINI_RESULT);
    }
    MINI_END(0);
}

static void g2_5_timeouts_nest(void **state) {
    (void)state;
    assert_int_equal(play(nests_timeouts), 0);
    /* at the same tick, the inner one's result was there first */
    assert_string_equal(trace, "ix@10 ot@10 it@30 ot@30 it@50 ot@50 ");
}

/* Sleeps 50 ms whatever comes, then 50 more if it may. */
static MINI_POLL(shielded) {
    struct sleeper *self = MINI_SELF(struct sleeper);
    MINI_BEGIN;
    MINI_AWAIT_SHIELDED(mini_sleep(&self->sleep, 50 * MINI_MS));
    note('s', MINI_RESULT);
    MINI_AWAIT(mini_sleep(&self->sleep, 50 * MINI_MS));
    note('s', MINI_RESULT);
    MINI_END(self->power ? self->power : MINI_RESULT);
}

static MINI_POLL(times_out_the_shielded) {
    static struct sleeper inner;
    struct scene *self = MINI_SELF(struct scene);
    MINI_BEGIN;
    MINI_AWAIT(mini_timeout(&self->timeout,
        MINI_CALL(struct sleeper, &inner, shielded), 20 * MINI_MS));
    note('a', MINI_RESULT);
    MINI_AWAIT(mini_timeout(&self->timeout,
        MINI_CALL(struct sleeper, &inner, shielded, .power = 9), 20 * MINI_MS));
    note('b', MINI_RESULT);
    MINI_AWAIT(mini_timeout(&self->timeout,
        MINI_CALL(struct sleeper, &inner, shielded), 120 * MINI_MS));
    note('c', MINI_RESULT);
    MINI_END(0);
}

static void g2_5_a_timeout_waits_for_shielded_work(void **state) {
    (void)state;
    assert_int_equal(play(times_out_the_shielded), 0);
    assert_string_equal(
        trace, "s0@50 sx@50 at@50 s0@100 sx@100 b9@100 s0@150 s0@200 c0@200 ");
}

static MINI_POLL(times_out_a_task) {
    struct scene *self = MINI_SELF(struct scene);
    MINI_BEGIN;
    self->task = spawn_watch('w', &self->probe.future);
    MINI_AWAIT(mini_timeout(
        &self->timeout, mini_join(&self->join, self->task), 20 * MINI_MS));
    note('m', MINI_RESULT);
    MINI_END(0);
}

static void g2_5_a_timeout_cancels_a_joined_task(void **state) {
    (void)state;
    assert_int_equal(play(times_out_a_task), 0);
    assert_string_equal(trace, "wx@20 mt@20 ");
}

/* The task that polls it last is the one to be woken. */
static MINI_POLL(passes_sleep_and_timeout_on) {
    struct scene *self = MINI_SELF(struct scene);
    MINI_BEGIN;
    mini_sleep(&self->sleeps[0], 10 * MINI_MS);
    mini_timeout(&self->timeout, &self->probe.future, 20 * MINI_MS);
    if (mini_drive(&self->sleeps[0].future, cx)) MINI_RETURN(1);
    if (mini_drive(&self->timeout.future, cx)) MINI_RETURN(2);
    spawn_watch('a', &self->sleeps[0].future);
    spawn_watch('b', &self->timeout.future);
    MINI_AWAIT(mini_event_wait(&self->wait, &self->event));
    MINI_END(0);
}

static void g2_5_a_wait_may_change_hands(void **state) {
    (void)state;
    assert_int_equal(play(passes_sleep_and_timeout_on), -EDEADLK);
    assert_string_equal(trace, "a0@10 bt@20 ");
}

/* ---- G2.6: intervals ------------------------------------------------------ */

static MINI_POLL(ticks_often) {
    static const uint64_t period = 3 * MINI_MS + 7;
    struct scene *self = MINI_SELF(struct scene);
    MINI_BEGIN;
    MINI_AWAIT(mini_sleep(&self->sleep, 12345));
    self->start = mini_now();
    mini_interval_start(&self->interval, period);
    for (self->i = 1; self->i <= 10000; self->i++) {
        MINI_AWAIT(mini_tick(&self->tick, &self->interval));
        if (MINI_RESULT != 1) MINI_RETURN(MINI_RESULT);
        if (mini_now() != up(self->start + (uint64_t)self->i * period))
            MINI_RETURN(-self->i);
    }
    MINI_END(0);
}

static void g2_6_an_interval_does_not_drift(void **state) {
    (void)state;
    assert_int_equal(play(ticks_often), 0);
}

static MINI_POLL(ticks_late) {
    struct scene *self = MINI_SELF(struct scene);
    MINI_BEGIN;
    mini_interval_start(&self->interval, 100 * TICK);
    MINI_AWAIT(mini_tick(&self->tick, &self->interval));
    note('a', MINI_RESULT);
    MINI_AWAIT(mini_sleep(&self->sleep, 99 * TICK)); /* to just before 2 */
    MINI_AWAIT(mini_tick(&self->tick, &self->interval));
    note('b', MINI_RESULT);
    MINI_AWAIT(mini_sleep(&self->sleep, 100 * TICK)); /* to 3 */
    MINI_AWAIT(mini_tick(&self->tick, &self->interval));
    note('c', MINI_RESULT);
    MINI_AWAIT(mini_sleep(&self->sleep, 199 * TICK)); /* to just before 5 */
    MINI_AWAIT(mini_tick(&self->tick, &self->interval));
    note('d', MINI_RESULT); /* only 4 went by */
    MINI_AWAIT(mini_tick(&self->tick, &self->interval));
    note('e', MINI_RESULT);
    MINI_AWAIT(mini_sleep(&self->sleep, 200 * TICK)); /* to 7 */
    MINI_AWAIT(mini_tick(&self->tick, &self->interval));
    note('f', MINI_RESULT);
    MINI_AWAIT(mini_sleep(&self->sleep, 1250 * TICK)); /* to 19.5 */
    MINI_AWAIT(mini_tick(&self->tick, &self->interval));
    note('g', MINI_RESULT);
    MINI_AWAIT(mini_tick(&self->tick, &self->interval));
    note('h', MINI_RESULT);
    MINI_END((long)(mini_now() - 2000 * TICK));
}

static void g2_6_a_late_tick_counts_what_it_missed(void **state) {
    (void)state;
    assert_int_equal(play(ticks_late), 0);
    assert_string_equal(
        trace, "a1@6 b1@13 c1@19 d1@32 e1@32 f2@45 g12@127 h1@131 ");
}

/* Shorter than the wheel's ticks: none is lost. */
static MINI_POLL(ticks_fast) {
    struct scene *self = MINI_SELF(struct scene);
    MINI_BEGIN;
    mini_interval_start(&self->interval, 999);
    for (self->i = 0; self->i < 1000; self->i++) {
        MINI_AWAIT(mini_tick(&self->tick, &self->interval));
        self->count += MINI_RESULT;
        if (self->count != (long)(mini_now() / 999)) MINI_RETURN(self->i + 1);
        if (mini_now() != (uint64_t)(self->i + 1) * TICK) MINI_RETURN(-1);
    }
    MINI_END(0);
}

static MINI_POLL(ticks_each_ns) {
    struct scene *self = MINI_SELF(struct scene);
    MINI_BEGIN;
    mini_interval_start(&self->interval, 1);
    MINI_AWAIT(mini_tick(&self->tick, &self->interval));
    MINI_END(MINI_RESULT - (long)TICK);
}

static void g2_6_short_periods_are_all_counted(void **state) {
    (void)state;
    assert_int_equal(play(ticks_fast), 0);
    assert_int_equal(play(ticks_each_ns), 0);
}

static MINI_POLL(cancels_a_tick) {
    struct scene *self = MINI_SELF(struct scene);
    MINI_BEGIN;
    mini_interval_start(&self->interval, 10 * MINI_MS);
    MINI_AWAIT(mini_timeout(
        &self->timeout, mini_tick(&self->tick, &self->interval), 4 * MINI_MS));
    note('a', MINI_RESULT);
    MINI_AWAIT(mini_tick(&self->tick, &self->interval)); /* keeps the phase */
    note('b', MINI_RESULT);
    self->task = spawn_watch('c', mini_tick(&self->tick, &self->interval));
    mini_cancel(self->task);
    MINI_AWAIT(mini_join(&self->join, self->task));
    MINI_AWAIT(mini_sleep_until(&self->sleep, 25 * MINI_MS));
    self->task = spawn_watch('d', mini_tick(&self->tick, &self->interval));
    MINI_AWAIT(mini_join(&self->join, self->task));
    MINI_AWAIT(mini_tick(&self->tick, &self->interval));
    note('e', MINI_RESULT);
    MINI_END(0);
}

static void g2_6_a_cancelled_tick_is_not_counted(void **state) {
    (void)state;
    assert_int_equal(play(cancels_a_tick), 0);
    assert_string_equal(trace, "at@4 b1@10 cx@10 d1@25 e1@30 ");
}

static MINI_POLL(starts_an_endless_interval) {
    struct scene *self = MINI_SELF(struct scene);
    MINI_BEGIN;
    (void)cx;
    mini_interval_start(&self->interval, 0);
    MINI_END(0);
}

static struct mini_future *count_runs(void *runs) {
    ++*(long *)runs;
    note('r', *(long *)runs);
    return NULL;
}

static MINI_POLL(spawns_an_endless_periodic) {
    struct scene *self = MINI_SELF(struct scene);
    MINI_BEGIN;
    (void)cx;
    mini_spawn_periodic(0, count_runs, &self->count);
    MINI_END(0);
}

static void g2_6_a_period_of_nothing_panics(void **state) {
    (void)state;
    assert_panics(starts_an_endless_interval, "mini_interval_start");
    assert_panics(spawns_an_endless_periodic, "mini_interval_start");
}

/* ---- G2.7: periodic tasks -------------------------------------------------- */

static MINI_POLL(runs_periodically) {
    struct scene *self = MINI_SELF(struct scene);
    MINI_BEGIN;
    MINI_AWAIT(mini_sleep(&self->sleep, 50 * MINI_MS));
    self->task = mini_spawn_periodic(100 * MINI_MS, count_runs, &self->count);
    MINI_AWAIT(mini_sleep(&self->sleep, 550 * MINI_MS));
    mini_cancel(self->task);
    MINI_AWAIT(mini_sleep(&self->sleep, MINI_SECOND)); /* no more runs */
    MINI_AWAIT(mini_join(&self->join, self->task));
    note('j', MINI_RESULT);
    self->task = mini_spawn_periodic(100 * MINI_MS, count_runs, &self->count);
    mini_cancel(self->task); /* before its first poll */
    MINI_AWAIT(mini_join(&self->join, self->task));
    note('j', MINI_RESULT);
    MINI_AWAIT(mini_event_wait(&self->wait, &self->event));
    note('m', MINI_RESULT); /* and no timer */
    MINI_END(0);
}

static void g2_7_runs_once_a_period_until_cancelled(void **state) {
    (void)state;
    assert_int_equal(play(runs_periodically), -EDEADLK);
    assert_string_equal(
        trace, "r1@150 r2@250 r3@350 r4@450 r5@550 j5@1600 j0@1600 mx@1600 ");
}

/* Work that takes as long as its number says, and ends with an error. */
struct work {
    struct mini_future future;
    struct mini_sleep sleep;
    bool shielded;
    uint64_t ms;
};

static struct work work;
static bool work_runs, work_overlaps;

static MINI_POLL(work_poll) {
    struct work *self = MINI_SELF(struct work);
    MINI_BEGIN;
    if (self->shielded)
        MINI_AWAIT_SHIELDED(mini_sleep(&self->sleep, self->ms * MINI_MS));
    else
        MINI_AWAIT(mini_sleep(&self->sleep, self->ms * MINI_MS));
    note('e', MINI_RESULT);
    work_runs = false;
    MINI_END(-EIO);
}

static struct mini_future *start_work(void *argument) {
    struct scene *self = argument;

    work_overlaps |= work_runs;
    work_runs = true;
    note('s', ++self->count);
    work = MINI_FRAME(struct work, work_poll, .shielded = self->i,
        .ms = self->count == 1 ? 230 : 30);
    return &work.future;
}

static MINI_POLL(works_periodically) {
    struct scene *self = MINI_SELF(struct scene);
    MINI_BEGIN;
    self->task = mini_spawn_periodic(100 * MINI_MS, start_work, self);
    MINI_AWAIT(mini_sleep(&self->sleep, 515 * MINI_MS)); /* in the fourth */
    mini_cancel(self->task);
    MINI_AWAIT(mini_join(&self->join, self->task));
    note('j', MINI_RESULT);
    MINI_AWAIT(mini_sleep(&self->sleep, MINI_SECOND));
    MINI_END(work_overlaps);
}

static MINI_POLL(works_undisturbed) {
    scene.i = true;
    future->poll = works_periodically;
    return works_periodically(future, cx);
}

static void g2_7_never_overlaps_itself(void **state) {
    (void)state;
    work_runs = work_overlaps = false;
    assert_int_equal(play(works_periodically), 0);
    assert_string_equal(trace,
        "s1@100 e0@330 s2@330 e0@360 s3@400 e0@430 s4@500 ex@515 j4@515 ");
    assert_int_equal(play(works_undisturbed), 0);
    assert_string_equal(trace,
        "s1@100 e0@330 s2@330 e0@360 s3@400 e0@430 s4@500 e0@530 j4@530 ");
}

static MINI_POLL(spawns_late) {
    struct scene *self = MINI_SELF(struct scene);
    MINI_BEGIN;
    MINI_AWAIT(mini_sleep(&self->sleep, HOUR));
    note('m', MINI_RESULT); /* it is wound down: too late for anything new */
    self->task = mini_spawn_periodic(MINI_MS, count_runs, &self->count);
    if (self->task) MINI_RETURN(-1);
    note('d', mini_detach(self->task) == -ESHUTDOWN);
    MINI_END(0);
}

static MINI_POLL(leaves_a_late_spawner) {
    static struct scene other;
    struct scene *self = MINI_SELF(struct scene);
    MINI_BEGIN;
    other.future = MINI_FUTURE(spawns_late, "late");
    spawn_watch('o', &other.future);
    mini_spawn_periodic(MINI_MS, count_runs, &self->count);
    MINI_AWAIT(mini_sleep(&self->sleep, 1500 * MINI_US));
    MINI_END(5);
}

static void g2_7_ends_with_the_run(void **state) {
    (void)state;
    assert_int_equal(play(leaves_a_late_spawner), 5);
    assert_string_equal(trace, "r1@1 mx@1 d1@1 o0@1 ");
}

static MINI_POLL(has_no_memory) {
    struct scene *self = MINI_SELF(struct scene);
    MINI_BEGIN;
    mini_test_fail_alloc_after(0);
    self->task = mini_spawn_periodic(MINI_MS, count_runs, &self->count);
    note('d', mini_detach(self->task) == -ENOMEM);
    MINI_AWAIT(mini_sleep(&self->sleep, 10 * MINI_MS)); /* needs none */
    MINI_AWAIT(mini_timeout(&self->timeout, &self->probe.future, MINI_MS));
    note('t', MINI_RESULT);
    self->task = mini_spawn_periodic(MINI_MS, count_runs, &self->count);
    MINI_END(mini_detach(self->task));
}

static void g1_11_timers_need_no_memory(void **state) {
    (void)state;
    assert_int_equal(play(has_no_memory), 0);
    assert_string_equal(trace, "d1@0 tt@11 ");
}

/* ---- G2.8: idle means asleep ----------------------------------------------- */

static MINI_POLL(sleeps_a_while) {
    struct scene *self = MINI_SELF(struct scene);
    MINI_BEGIN;
    spawn_watch('a', mini_sleep(&self->sleeps[0], HOUR));
    spawn_watch('b', mini_sleep(&self->sleeps[1], HOUR));
    MINI_AWAIT(mini_yield(&self->yield));
    self->stats = *mini_stats();
    self->count = mini_test_calls;
    MINI_AWAIT(mini_sleep(&self->sleep, 100 * MINI_MS));
    self->count = mini_test_calls - self->count;
    self->stats.waits = mini_stats()->waits - self->stats.waits;
    self->stats.turns = mini_stats()->turns - self->stats.turns;
    self->stats.polls = mini_stats()->polls - self->stats.polls;
    MINI_END(0);
}

static void g2_8_an_idle_runtime_sleeps(void **state) {
    (void)state;
    for (int real = 0; real <= 1; real++) {
        int result = (int)(real ? play_in_real_time : play)(sleeps_a_while);
        assert_int_equal(result, 0);
        /* a wake-up for each level that the timer comes down, at the most */
        assert_in_range(scene.stats.waits, 1, 3);
        assert_in_range(scene.stats.turns, 1, 12);
        assert_in_range(scene.stats.polls, 1, 3); /* the others' first */
        /* to wait is one call, and so may be to look, once a turn */
        assert_in_range(
            scene.count, 0, scene.stats.waits + scene.stats.turns + 2);
    }
}

static MINI_POLL(waits_for_one_deadline) {
    struct scene *self = MINI_SELF(struct scene);
    MINI_BEGIN;
    MINI_AWAIT(mini_sleep(&self->sleep, 20 * TICK)); /* of the lowest level */
    self->stats = *mini_stats();
    MINI_END(0);
}

static void g2_8_one_wait_for_one_deadline(void **state) {
    (void)state;
    assert_int_equal(play(waits_for_one_deadline), 0);
    assert_int_equal(scene.stats.waits, 1);
    assert_int_equal(scene.stats.polls, 2);
}

/* What the wait is made of; a signal ends it before its time. */
static void on_tick(int number) { (void)number; }

static void g2_8_a_wait_is_as_long_as_asked(void **state) {
    struct sigaction ticks = {.sa_handler = on_tick}, before;
    struct itimerval often = {{0, 20000}, {0, 20000}}, never = {{0, 0}, {0, 0}};

    (void)state;
    errno = EIO; /* of something else */
    assert_int_equal(mini_poll_fds(NULL, 0, 0), 0);
    alarm(0); /* which may be the same clock */
    sigaction(SIGALRM, &ticks, &before);
    setitimer(ITIMER_REAL, &often, NULL);
    int seconds = mini_poll_fds(NULL, 0, 7 * MINI_SECOND);
    int for_ever = mini_poll_fds(NULL, 0, MINI_FOREVER);
    setitimer(ITIMER_REAL, &never, NULL);
    sigaction(SIGALRM, &before, NULL);
    assert_int_equal(seconds, -EINTR);
    assert_int_equal(for_ever, -EINTR);
}

/* The row's side of the bargain with the executor; see struct mini_poller. */
static MINI_POLL(asks_the_row) {
    const struct mini_poller *row = &mini_timer_poller;
    struct scene *self = MINI_SELF(struct scene);
    (void)cx;
    if (row->next(mini_self, 7 * TICK) != 7 * TICK)
        return mini_ready(future, 1);
    mini_timer_start(mini_self, &self->timer, 5 * TICK);
    if (row->next(mini_self, 3 * TICK) != 3 * TICK)
        return mini_ready(future, 2);
    if (row->next(mini_self, 7 * TICK) != 5 * TICK)
        return mini_ready(future, 3);
    if (row->turn(mini_self) != 0) return mini_ready(future, 4);
    mini_self->now = 5 * TICK;
    if (row->turn(mini_self) != 1) return mini_ready(future, 5);
    return mini_ready(future, row->turn(mini_self));
}

static void g2_8_the_row_says_what_it_did_and_until_when(void **state) {
    static struct mini_executor other;

    (void)state;
    assert_int_equal(play(asks_the_row), 0);
    assert_int_equal(mini_timer_poller.start(&other), 0);
}

/* ---- what stage 1 promised, with timers ------------------------------------ */

/* Whoever yields for ever does not keep the timers waiting. */
static MINI_POLL(yields_until_it_is_time) {
    struct scene *self = MINI_SELF(struct scene);
    MINI_BEGIN;
    spawn_watch('s', mini_sleep(&self->sleeps[0], MINI_MS));
    while (!trace[0]) MINI_AWAIT(mini_yield(&self->yield));
    self->stats = *mini_stats();
    MINI_END(0);
}

static void g1_2_yielding_does_not_stop_time(void **state) {
    (void)state;
    assert_int_equal(play_in_real_time(yields_until_it_is_time), 0);
    assert_int_equal(scene.stats.waits, 0);
}

static MINI_POLL(dumps_timers) {
    struct scene *self = MINI_SELF(struct scene);
    FILE *out;
    MINI_BEGIN;
    mini_interval_start(&self->interval, HOUR);
    spawn_watch('a', mini_sleep(&self->sleeps[0], HOUR));
    spawn_watch('b', mini_sleep_until(&self->sleeps[1], HOUR));
    spawn_watch('c', mini_timeout(&self->timeout, &self->probe.future, HOUR));
    spawn_watch('d', mini_tick(&self->tick, &self->interval));
    mini_spawn_periodic(HOUR, count_runs, &self->count);
    MINI_AWAIT(mini_sleep(&self->sleep, 1));
    out = fmemopen(trace, sizeof trace, "w");
    mini_dump(out);
    fclose(out);
    self->i = strstr(trace, ": watch > mini_sleep\n") &&
        strstr(trace, ": watch > mini_sleep_until\n") &&
        strstr(trace, ": watch > mini_timeout > probe\n") &&
        strstr(trace, ": watch > mini_tick > mini_sleep_until\n") &&
        strstr(trace, ": periodic > mini_tick > mini_sleep_until\n");
    MINI_END(0);
}

static void g1_5_the_dump_names_timers(void **state) {
    (void)state;
    assert_int_equal(play(dumps_timers), 0);
    assert_true(scene.i);
}

/* What holds whatever the order. */
static void (*const in_any_order[])(void **) = {
    g2_1_a_sleep_counts_from_its_first_poll,
    g2_1_woken_early_it_sleeps_on,
    g2_2_virtual_sleep_is_exact,
    g2_2_virtual_time_waits_for_work,
    g2_3_sleeps_of_all_lengths,
    g2_4_a_cancelled_sleep_is_gone,
    g2_5_timeout_in_time_or_not,
    g2_5_the_inner_future_is_finished,
    g2_5_timeouts_nest,
    g2_5_a_timeout_waits_for_shielded_work,
    g2_5_a_wait_may_change_hands,
    g2_6_an_interval_does_not_drift,
    g2_6_a_late_tick_counts_what_it_missed,
    g2_6_a_cancelled_tick_is_not_counted,
    g2_7_runs_once_a_period_until_cancelled,
    g2_7_never_overlaps_itself,
};

static void g1_13_timers_in_any_order(void **state) {
    for (uint32_t n = 1; n <= 10; n++) {
        seed = n * 2654435761u;
        for (size_t i = 0; i < sizeof in_any_order / sizeof *in_any_order; i++)
            in_any_order[i](state);
    }
    seed = 0;
    assert_int_equal(play(times_out), -EDEADLK);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(g2_1_real_sleep_is_not_early),
    cmocka_unit_test(g2_1_a_sleep_counts_from_its_first_poll),
    cmocka_unit_test(g2_1_a_wait_that_fails_is_not_the_end_of_it),
    cmocka_unit_test(g2_1_woken_early_it_sleeps_on),
    cmocka_unit_test(g2_2_virtual_sleep_is_exact),
    cmocka_unit_test(g2_2_what_is_past_takes_a_turn),
    cmocka_unit_test(g2_2_virtual_time_waits_for_work),
    cmocka_unit_test(g2_2_time_is_read_once_a_turn),
    cmocka_unit_test(g2_2_what_is_left_until_then),
    cmocka_unit_test(g2_3_the_wheel_comes_to_every_level),
    cmocka_unit_test(g2_3_the_last_tick_there_is),
    cmocka_unit_test(g2_3_what_is_past_is_due_now),
    cmocka_unit_test(g2_3_random_deadlines_against_a_model),
    cmocka_unit_test(g2_3_sleeps_of_all_lengths),
    cmocka_unit_test(g2_3_longer_than_there_is_time),
    cmocka_unit_test(g2_4_the_wheel_forgets_what_is_cancelled),
    cmocka_unit_test(g2_4_a_million_timers),
    cmocka_unit_test(g2_4_a_hundred_thousand_sleepers),
    cmocka_unit_test(g2_4_a_cancelled_sleep_is_gone),
    cmocka_unit_test(g2_4_a_sleep_that_is_over_is_not_cancelled),
    cmocka_unit_test(g2_4_a_timer_may_wake_nobody),
    cmocka_unit_test(g2_5_timeout_in_time_or_not),
    cmocka_unit_test(g2_5_timeout_comes_at_its_tick),
    cmocka_unit_test(g2_5_an_answer_of_its_own_wins),
    cmocka_unit_test(g2_5_a_result_that_was_ready_wins),
    cmocka_unit_test(g2_5_the_inner_future_is_finished),
    cmocka_unit_test(g2_5_a_cancel_from_outside_is_no_timeout),
    cmocka_unit_test(g2_5_who_was_cancelled_by_others_did_not_time_out),
    cmocka_unit_test(g2_5_timeouts_nest),
    cmocka_unit_test(g2_5_a_timeout_waits_for_shielded_work),
    cmocka_unit_test(g2_5_a_timeout_cancels_a_joined_task),
    cmocka_unit_test(g2_5_a_wait_may_change_hands),
    cmocka_unit_test(g2_6_an_interval_does_not_drift),
    cmocka_unit_test(g2_6_a_late_tick_counts_what_it_missed),
    cmocka_unit_test(g2_6_short_periods_are_all_counted),
    cmocka_unit_test(g2_6_a_cancelled_tick_is_not_counted),
    cmocka_unit_test(g2_6_a_period_of_nothing_panics),
    cmocka_unit_test(g2_7_runs_once_a_period_until_cancelled),
    cmocka_unit_test(g2_7_never_overlaps_itself),
    cmocka_unit_test(g2_7_ends_with_the_run),
    cmocka_unit_test(g2_8_an_idle_runtime_sleeps),
    cmocka_unit_test(g2_8_one_wait_for_one_deadline),
    cmocka_unit_test(g2_8_a_wait_is_as_long_as_asked),
    cmocka_unit_test(g2_8_the_row_says_what_it_did_and_until_when),
    cmocka_unit_test(g1_2_yielding_does_not_stop_time),
    cmocka_unit_test(g1_5_the_dump_names_timers),
    cmocka_unit_test(g1_11_timers_need_no_memory),
    cmocka_unit_test(g1_13_timers_in_any_order),
};

MINI_TEST_MAIN(tests)
