/* SPDX-License-Identifier: MIT */
/* Workloads of shards: calls, channels, collective operations, and the end of a
 * run at any moment. Each checks what the guarantees say at its end. */
#include "sim.h"

#include <pthread.h>

#define SHARDS 4
#define CALLERS 8
#define DEPTH 4

struct mini_options sim_options;

/* ---- a run ---- */

struct trial {
    struct mini_future future;
    struct mini_future *main;
};

static MINI_POLL(trial) {
    struct trial *self = MINI_SELF(struct trial);
    MINI_BEGIN;
    sim_is_calm = false;
    sim_owner = SIM_RUN;
    MINI_AWAIT(self->main);
    sim_owner = SIM_SOMEBODY;
    MINI_END(MINI_RESULT);
}

long sim_run(struct mini_future *main) {
    struct trial frame = MINI_FRAME(struct trial, trial, .main = main);
    sim_options.shards = 1 + sim_random(SHARDS);
    sim_options.ring_capacity = 2u << sim_random(3);
    sim_options.shuffle_seed = sim_chance(2) ? 1 + sim_random(1000) : 0;
#if STAGE >= 5
    sim_options.spin = sim_chance(4) ? sim_random(10000) : 0;
#endif
    sim_is_calm = !sim_chance(8);
    sim_owner = SIM_SOMEBODY;
    long result = mini_run(&frame.future, &sim_options);
    sim_owner = SIM_NOBODY;
    if (!frame.future.resume)
        SIM_CHECK(result < 0 && !sim_is_calm, "no start: %ld", result);
    else
        SIM_CHECK(frame.future.resume == MINI_DONE || result == -EDEADLK,
            "main has not ended, and the result is %ld", result);
    return frame.future.resume ? result : -ENXIO; /* it could not start */
}

/* ---- calls ---- */

/* A hop of a call to shard after shard: the next one's frame is behind it. */
struct hop {
    struct mini_future future;
    struct mini_remote remote;
    struct mini_sleep sleep;
    unsigned left;
    long sum;
    bool runs;
};

static unsigned hops_running;

static MINI_POLL(hop) {
    struct hop *self = MINI_SELF(struct hop);
    MINI_BEGIN;
    self->runs = true;
    hops_running++;
    if (sim_chance(4)) MINI_YIELD();
    if (sim_chance(4)) MINI_AWAIT(mini_sleep(&self->sleep, sim_random(400000)));
    if (self->left > 0) {
        MINI_AWAIT(mini_spawn_on(&self->remote, sim_random(mini_shard_count()),
            MINI_CALL(struct hop, self + 1, hop, .left = self->left - 1)));
        SIM_CHECK(!self[1].runs, "a call is READY, but still runs there");
        self->sum = MINI_RESULT < 0 ? MINI_RESULT : MINI_RESULT + self->left;
    }
    if (sim_chance(8))
        MINI_AWAIT_SHIELDED(mini_sleep(&self->sleep, sim_random(200000)));
    hops_running--;
    self->runs = false;
    MINI_END(self->sum);
}

/* A plain call: how often it ran, and its place in line. */
struct plain {
    unsigned from, to, number;
    unsigned ran;
};

static unsigned sent[SHARDS][SHARDS], came[SHARDS][SHARDS];

static long run_plain(void *arg) {
    struct plain *self = arg;
    unsigned *last = &came[self->from][self->to];
    SIM_CHECK(mini_this_shard() == self->to, "a call on the wrong shard");
    SIM_CHECK(self->ran++ == 0, "a call ran twice");
    SIM_CHECK(sim_options.shuffle_seed || self->number > *last,
        "call %u came after call %u", self->number, *last);
    *last = self->number;
    return (long)self->number;
}

/* Whoever makes calls, one after the other, and cancels some. */
struct caller {
    struct mini_future future;
    struct mini_remote start; /* main's: to bring it to its shard */
    struct mini_call call;
    struct mini_remote remote;
    struct mini_timeout timeout;
    struct mini_select select;
    struct mini_sleep sleep;
    struct mini_future *both[2];
    struct hop hops[DEPTH + 1];
    struct plain plain;
    unsigned left;
};

static bool may_refuse; /* the run may stop while calls are made */

static void check(long result, long wanted, bool may_cancel) {
    SIM_CHECK(result == wanted || (may_cancel && result == -ECANCELED) ||
            (may_cancel && result == -ETIMEDOUT) ||
            (may_refuse && (result == -ESHUTDOWN || result == -ECANCELED)),
        "a call gives %ld, not %ld", result, wanted);
}

static long sum_to(unsigned depth) { return depth * (depth + 1) / 2; }

static struct mini_future *nested(struct caller *self) {
    unsigned depth = sim_random(DEPTH + 1);
    return mini_spawn_on(&self->remote, sim_random(mini_shard_count()),
        MINI_CALL(struct hop, self->hops, hop, .left = depth));
}

static MINI_POLL(caller) {
    struct caller *self = MINI_SELF(struct caller);
    MINI_BEGIN;
    while (self->left-- > 0) {
        if (sim_chance(3)) {
            unsigned from = mini_this_shard();
            unsigned to = sim_random(mini_shard_count());
            self->plain =
                (struct plain){.from = from, .to = to, ++sent[from][to], 0};
            MINI_AWAIT(
                mini_submit_to(&self->call, to, run_plain, &self->plain));
            check(MINI_RESULT, (long)self->plain.number, false);
            SIM_CHECK(self->plain.ran == (MINI_RESULT > 0),
                "a call with result %ld ran %u times", MINI_RESULT,
                self->plain.ran);
        } else if (sim_chance(3)) {
            MINI_AWAIT(
                mini_timeout(&self->timeout, nested(self), sim_random(300000)));
            check(MINI_RESULT, sum_to(self->hops[0].left), true);
        } else if (sim_chance(3)) {
            self->both[0] = nested(self);
            self->both[1] = mini_sleep(&self->sleep, sim_random(200000));
            MINI_AWAIT(mini_select(&self->select, self->both, 2));
            check(MINI_RESULT, MINI_RESULT > 0, true);
        } else {
            MINI_AWAIT(nested(self));
            check(MINI_RESULT, sum_to(self->hops[0].left), false);
        }
        SIM_CHECK(!self->hops[0].runs, "the other side has not let go");
    }
    if (mini_self->stopping) {
        MINI_AWAIT_SHIELDED(
            mini_submit_to(&self->call, 0, run_plain, &self->plain));
        SIM_CHECK(MINI_RESULT == -ESHUTDOWN, "a call after the stop gives %ld",
            MINI_RESULT);
    }
    MINI_END(7);
}

struct calls {
    struct mini_future future;
    struct mini_select all;
    struct mini_future *starts[CALLERS];
    struct caller callers[CALLERS];
    unsigned count;
    unsigned stopper; /* the shard that stops all; SHARDS: nobody does */
    struct mini_sleep sleep;
    struct mini_remote remote;
    struct mini_wait never;
    struct mini_event event;
    bool hangs;
};

static MINI_POLL(stop_all) {
    if (mini_await(future, cx) == MINI_PENDING) return MINI_PENDING;
#if STAGE >= 6
    if (sim_chance(2)) mini_shutdown();
#endif
    mini_stop();
    return mini_ready(future, 0);
}

static struct mini_future stopper;

static MINI_POLL(calls) {
    struct calls *self = MINI_SELF(struct calls);
    MINI_BEGIN;
    for (unsigned i = 0; i < self->count; i++) {
        struct caller *one = &self->callers[i];
        (void)MINI_CALL(struct caller, one, caller, .left = 1 + sim_random(6));
        self->starts[i] = mini_spawn_on(
            &one->start, sim_random(mini_shard_count()), &one->future);
    }
    if (self->stopper < SHARDS) {
        stopper = MINI_FUTURE(stop_all, "stop_all");
        stopper.child = mini_sleep(&self->sleep, sim_random(1000000));
        self->starts[self->count++] = mini_spawn_on(
            &self->remote, self->stopper % mini_shard_count(), &stopper);
    }
    MINI_AWAIT(mini_join_all(&self->all, self->starts, self->count));
    for (unsigned i = 0; i < self->count; i++)
        check(self->starts[i]->result, self->starts[i]->result ? 7 : 0, false);
    if (self->hangs) MINI_AWAIT(mini_event_wait(&self->never, &self->event));
    MINI_END(11);
}

static void run_calls(bool stops, bool hangs) {
    struct calls *main = malloc(sizeof *main);
    memset(sent, 0, sizeof sent);
    memset(came, 0, sizeof came);
    hops_running = 0;
    may_refuse = stops;
    (void)MINI_CALL(struct calls, main, calls,
        .count = 1 + sim_random(CALLERS - 1),
        .stopper = stops ? sim_random(SHARDS) : SHARDS, .hangs = hangs);
    mini_event_init(&main->event);
    long result = sim_run(&main->future);
    SIM_CHECK(result == (hangs ? -EDEADLK : 11) || result == -ENXIO,
        "main gives %ld", result);
    SIM_CHECK(hops_running == 0, "%u hops have not ended", hops_running);
    free(main);
}

static void all_to_all(void) { run_calls(false, false); }
static void stop_at_any_moment(void) { run_calls(true, false); }
static void deadlock(void) { run_calls(false, true); }

/* ---- channels ---- */

struct side {
    struct mini_future future;
    struct mini_remote remote;
    struct mini_channel_wait wait;
    struct mini_timeout timeout;
    struct mini_channel *channel;
    bool sends;
    uintptr_t count; /* sent, or received */
    uintptr_t limit;
};

static struct mini_future *patiently(
    struct side *self, struct mini_future *inner) {
    return sim_chance(3)
        ? mini_timeout(&self->timeout, inner, sim_random(200000))
        : inner;
}

static MINI_POLL(send_side) {
    struct side *self = MINI_SELF(struct side);
    MINI_BEGIN;
    while (self->count < self->limit) {
        MINI_AWAIT(patiently(self,
            mini_channel_send(
                &self->wait, self->channel, (void *)(self->count + 1))));
        if (MINI_RESULT == -EPIPE) break;
        SIM_CHECK(MINI_RESULT == 0 || MINI_RESULT == -ETIMEDOUT,
            "a send gives %ld", MINI_RESULT);
        if (MINI_RESULT == 0) self->count++;
        if (sim_chance(4)) MINI_YIELD();
    }
    mini_channel_close(self->channel);
    MINI_END(0);
}

static MINI_POLL(recv_side) {
    struct side *self = MINI_SELF(struct side);
    MINI_BEGIN;
    for (;;) {
        MINI_AWAIT(
            patiently(self, mini_channel_recv(&self->wait, self->channel)));
        if (MINI_RESULT == -EPIPE) break;
        SIM_CHECK(MINI_RESULT == 0 || MINI_RESULT == -ETIMEDOUT,
            "a receive gives %ld", MINI_RESULT);
        if (MINI_RESULT == 0)
            SIM_CHECK((uintptr_t)self->wait.item == ++self->count,
                "item %p came, not %p", self->wait.item, (void *)self->count);
        if (sim_chance(4)) MINI_YIELD();
    }
    MINI_END(0);
}

static MINI_POLL(close_side) {
    struct side *self = MINI_SELF(struct side);
    MINI_BEGIN;
    while (self->limit-- > 0) MINI_YIELD();
    mini_channel_close(self->channel);
    MINI_END(0);
}

struct channels {
    struct mini_future future;
    struct mini_channel channel;
    struct side sides[3]; /* the last one closes, if it is used */
    struct mini_future *all[3];
    unsigned count;
    struct mini_select join;
};

static MINI_POLL(channels) {
    struct channels *self = MINI_SELF(struct channels);
    MINI_BEGIN;
    for (unsigned i = 0; i < self->count; i++)
        self->all[i] = mini_spawn_on(&self->sides[i].remote,
            sim_random(mini_shard_count()), &self->sides[i].future);
    MINI_AWAIT(mini_join_all(&self->join, self->all, self->count));
    MINI_END(12);
}

static void *run_side(void *future) {
    mini_run(future, NULL);
    return NULL;
}

static void run_channel(bool own_runs) {
    static mini_poll (*const fns[])(struct mini_future *,
        struct mini_context) = {send_side, recv_side, close_side};
    struct channels *main = malloc(sizeof *main);
    pthread_t threads[3];
    void *item;
    (void)MINI_CALL(
        struct channels, main, channels, .count = 2 + sim_random(2));
    SIM_CHECK(mini_channel_init(&main->channel, 1u << sim_random(3)) == 0,
        "mini_channel_init");
    for (unsigned i = 0; i < 3; i++)
        main->sides[i] = (struct side){.future = MINI_FUTURE(fns[i], "side"),
            .channel = &main->channel,
            .limit = sim_random(30)};
    sim_is_calm = own_runs; /* they are to start */
    for (unsigned i = 0; i < main->count && own_runs; i++)
        pthread_create(&threads[i], NULL, run_side, &main->sides[i].future);
    for (unsigned i = 0; i < main->count && own_runs; i++)
        pthread_join(threads[i], NULL);
    long result = own_runs ? 12 : sim_run(&main->future);
    SIM_CHECK(result == 12 || result == -ENXIO, "main gives %ld", result);
    uintptr_t *sent = &main->sides[0].count, *received = &main->sides[1].count;
    while (
        main->count == 3 && mini_channel_try_recv(&main->channel, &item) == 0)
        SIM_CHECK((uintptr_t)item == ++*received, "out of order");
    SIM_CHECK(result != 12 || *sent == *received, "%zu sent, %zu received",
        (size_t)*sent, (size_t)*received);
    mini_channel_destroy(&main->channel);
    free(main);
}

static void channel(void) { run_channel(false); }
static void channel_between_runs(void) { run_channel(true); }

/* ---- collective operations ---- */

struct member {
    struct mini_future future;
    struct mini_remote remote;
    struct mini_barrier_wait wait;
    struct mini_broadcast broadcast;
    unsigned round;
};

static struct mini_barrier barrier;
static unsigned rounds, arrived[8], members;

static long index_plus_one(void *unused) {
    (void)unused;
    return (long)mini_this_shard() + 1;
}

static long add(long a, long b) { return a + b; }

static MINI_POLL(member) {
    struct member *self = MINI_SELF(struct member);
    MINI_BEGIN;
    for (; self->round < rounds; self->round++) {
        MINI_AWAIT(
            mini_map_reduce(&self->broadcast, index_plus_one, NULL, add, 0));
        SIM_CHECK(MINI_RESULT == sum_to(mini_shard_count()),
            "map_reduce gives %ld", MINI_RESULT);
        arrived[self->round]++;
        MINI_AWAIT(mini_barrier_await(&self->wait, &barrier));
        SIM_CHECK(MINI_RESULT >= 0 && arrived[self->round] == members,
            "the barrier opened at %u of %u", arrived[self->round], members);
    }
    MINI_END(0);
}

struct together {
    struct mini_future future;
    struct member members[CALLERS];
    struct mini_future *all[CALLERS];
    struct mini_select join;
};

static MINI_POLL(together) {
    struct together *self = MINI_SELF(struct together);
    MINI_BEGIN;
    mini_barrier_init(&barrier, members);
    for (unsigned i = 0; i < members; i++) {
        struct member *one = &self->members[i];
        (void)MINI_CALL(struct member, one, member);
        self->all[i] = mini_spawn_on(
            &one->remote, sim_random(mini_shard_count()), &one->future);
    }
    MINI_AWAIT(mini_join_all(&self->join, self->all, members));
    MINI_END(13 + MINI_RESULT);
}

static void collective(void) {
    struct together *main = malloc(sizeof *main);
    memset(arrived, 0, sizeof arrived);
    rounds = 1 + sim_random(4);
    members = 1 + sim_random(CALLERS);
    (void)MINI_CALL(struct together, main, together);
    long result = sim_run(&main->future);
    SIM_CHECK(result == 13 || result == -ENXIO, "main gives %ld", result);
    free(main);
}

const struct sim_workload sim_calls[] = {{"all to all", all_to_all},
    {"stop at any moment", stop_at_any_moment}, {"deadlock", deadlock},
    {"channel", channel}, {"channel between runs", channel_between_runs},
    {"collective", collective}, {NULL, NULL}};
