/* SPDX-License-Identifier: MIT */
/* A call to another shard and back, counters all-to-all, and map-reduce. */
#include "miniss.h"

#include <stdio.h>
#include <string.h>

#define CALLS 10000

static _Thread_local long counter; /* each shard's own: nothing is shared */

static long whoami(void *arg) {
    (void)arg;
    return mini_this_shard();
}

static long count_up(void *arg) {
    (void)arg;
    return ++counter;
}

static long read_counter(void *arg) {
    (void)arg;
    return counter;
}

static long add(long so_far, long next) { return so_far + next; }

/* Runs on every shard: calls every shard in turn. */
struct caller {
    struct mini_future future;
    struct mini_call call;
    unsigned n;
};

static mini_poll caller(struct mini_future *future, struct mini_context cx) {
    struct caller *self = MINI_SELF(struct caller);
    MINI_BEGIN;
    for (self->n = 0; self->n < CALLS; self->n++)
        MINI_AWAIT(mini_submit_to(
            &self->call, self->n % mini_shard_count(), count_up, NULL));
    MINI_END(0);
}

#define MAX_SHARDS 64

struct demo {
    struct mini_future future;
    struct mini_call call;
    struct mini_broadcast sum;
    struct mini_remote remotes[MAX_SHARDS];
    struct caller callers[MAX_SHARDS];
    struct mini_future *all[MAX_SHARDS];
    struct mini_select join;
    unsigned last;
};

static mini_poll demo(struct mini_future *future, struct mini_context cx) {
    struct demo *self = MINI_SELF(struct demo);
    MINI_BEGIN;
    self->last = mini_shard_count() - 1;
    MINI_AWAIT(mini_submit_to(&self->call, self->last, whoami, NULL));
    printf("%u shards; shard %u says it is %ld\n", mini_shard_count(),
        self->last, MINI_RESULT);
    for (unsigned i = 0; i < mini_shard_count(); i++)
        self->all[i] = mini_spawn_on(&self->remotes[i], i,
            MINI_CALL(struct caller, &self->callers[i], caller));
    MINI_AWAIT(mini_join_all(&self->join, self->all, mini_shard_count()));
    MINI_AWAIT(mini_map_reduce(&self->sum, read_counter, NULL, add, 0));
    printf("%u callers, %d calls each: %ld\n", mini_shard_count(), CALLS,
        MINI_RESULT);
    MINI_END(MINI_RESULT == (long)mini_shard_count() * CALLS ? 0 : -EIO);
}

int main(void) {
    static struct demo frame;
    unsigned cpus = mini_cpu_count();
    struct mini_options options = {.shards = cpus < 2 ? 2
            : cpus > MAX_SHARDS                       ? MAX_SHARDS
                                                      : cpus};
    long result = mini_run(MINI_CALL(struct demo, &frame, demo), &options);
    if (result < 0 && frame.future.resume == 0) /* it has not begun */
        fprintf(stderr, "shards: cannot start: %s%s\n", strerror((int)-result),
            result == -EMFILE ? "; allow more with ulimit -n" : "");
    return result == 0 ? 0 : 1;
}
