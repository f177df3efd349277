/* SPDX-License-Identifier: MIT */
/**
 * @file
 * Shards: one executor per thread, per core, that share nothing but rings.
 *
 * mini_run starts them all or none (-EAGAIN: no thread; -ENOMEM). MAIN runs on
 * shard 0; every other shard runs an empty main that ends when the run stops.
 * The way to the end has three meetings, and every shard keeps turning until
 * the last:
 *
 * 1. stop: main has ended, or somebody has called mini_stop. Every shard ends
 *    its main, refuses new work with -ESHUTDOWN and cancels its tasks.
 * 2. quiesce: a shard without tasks has no message under way, for each message
 *    lives in a task's frame. When no shard has tasks, there is none anywhere.
 * 3. exit: every shard has seen this, and nobody will ring any more. Then the
 *    threads are joined and the memory is freed.
 *
 * What shards share: the rings, the atomics below, and what is constant after
 * the start.
 *
 * Source: Seastar's smp and its shards.
 *
 * @guarantee{G4.5} Shards share no mutable memory but the rings and the
 * documented atomics (ThreadSanitizer over the whole suite).
 *
 * @guarantee{G4.6} Stop is orderly from any shard: accepted messages are
 * answered, tasks end, threads are joined, in any order of events.
 *
 * @guarantee{G4.7} Idle shards sleep; a message to a sleeping shard wakes it.
 */
#pragma once

#include "message.h"

#include <pthread.h>

/** More shards than this are -EINVAL. */
#define MINI_SHARDS_MAX 1024

/** One shard. Only its own thread touches it, unless a field says otherwise. */
struct mini_shard {
    struct mini_smp *smp; /**< what all shards share */
    unsigned index; /**< its number */
    pthread_t thread; /**< not set for shard 0 */
    size_t unsent; /**< messages in outboxes */
    unsigned dumps; /**< how often it has printed its tasks */
    bool is_quiet, is_idle; /**< counted in smp->quiet, in smp->idle */
    /** How much of smp->news it has seen. From here on other shards read, too:
     * hence a cache line of its own. */
    _Alignas(MINI_CACHE_LINE) atomic_uint news_seen;
    /** To wake it. Not atomic: it is stored before all meet at the start. */
    struct mini_parker *parker;
};

/** What all shards of one mini_run share. */
struct mini_smp {
    struct mini_options options; /**< for each shard's mini_run */
    unsigned count; /**< shards */
    struct mini_lane *lanes; /**< count * count, by sender and receiver */
    atomic_int error; /**< why a shard could not start */
    atomic_uint met; /**< arrivals at the start, and then at meeting 3 */
    atomic_uint news; /**< changes below that all shards must look at */
    atomic_bool stop; /**< meeting 1 is called; never goes back to false */
    atomic_uint quiet; /**< meeting 2: shards without tasks */
    /** How often all stood still for good. 1: shard 0 ends its main, -EDEADLK;
     * 2: that did not help, so all end theirs; 3: nor did that: all give up. */
    atomic_uint deadlocks;
    /** Low 32 bits: shards that only a message can wake. High 32 bits: how
     * often one of them has been woken, which shows whether one was awake
     * between two looks at this word. */
    atomic_uint_least64_t idle;
    atomic_uint dumps; /**< how often all shards are to print their tasks */
    struct mini_shard shards[]; /**< count of them */
};

/** The row that starts, stops and counts shards. It stands behind the rows that
 * other shards reach: those start before all shards meet, and stop after. */
extern const struct mini_poller mini_smp_poller;

/** The calling shard's number, from 0; inside mini_run. */
static inline unsigned mini_this_shard(void) { return mini_self->shard->index; }
/** How many shards there are. */
static inline unsigned mini_shard_count(void) {
    return mini_self->shard->smp->count;
}
/** Any shard, any number of times: ends the run as if main had ended. Every
 * main is cancelled; mini_run gives the result of shard 0's. */
void mini_stop(void);
/** Any shard: all shards print their tasks to stderr, as mini_dump does, each
 * in its next turn. */
void mini_dump_all(void);

/** The way from shard FROM to shard TO. By numbers: the shards' own fields are
 * stored too often to be read by others. */
static inline struct mini_lane *mini_lane(
    struct mini_smp *smp, unsigned from, unsigned to) {
    return &smp->lanes[from * smp->count + to];
}
/** Any shard, after it has changed what all look at: counts that as news, and
 * rings all shards, this one too. */
void mini_smp_tell_all(struct mini_smp *smp);
/** Owner: HERE has been sent something, so it no longer counts as idle. */
void mini_smp_not_idle(struct mini_shard *here);
/** Owner: looks whether mini_smp_tell_all has told news, and acts on it: a stop
 * cancels main. 1 if there was any, else 0. */
unsigned mini_smp_look(struct mini_executor *executor);
