/* SPDX-License-Identifier: MIT */
/**
 * @file
 * Shards: one executor per thread, per core, that share nothing but rings.
 *
 * mini_run starts them all or none. MAIN runs on shard 0; every other shard
 * runs an empty main that ends when the run stops. The way to the end has
 * three meetings, and every shard keeps turning until the last:
 *
 * 1. stop: main has ended, or somebody has called mini_stop. Every shard ends
 *    its main, refuses new work with -ESHUTDOWN and cancels its tasks.
 * 2. quiesce: a shard without tasks has no message under way, for each lives
 *    in a task's frame. When all are without tasks, none is anywhere.
 * 3. exit: every shard has seen that, and nobody will ring any more. Then the
 *    threads are joined and the memory freed.
 *
 * Written by the owner alone, read by others: the rings and the atomics below.
 *
 * @guarantee{G4.5} Shards share no mutable memory but the rings and the
 * documented atomics (ThreadSanitizer over the whole suite).
 *
 * @guarantee{G4.6} Stop is orderly from any shard: accepted messages are
 * answered, tasks end, threads are joined, in any order of events.
 *
 * @guarantee{G4.7} Idle shards sleep; a message to a sleeping shard wakes it.
 */
#ifndef MINI_SMP_H
#define MINI_SMP_H

#include "executor.h"
#include "message.h"
#include "spsc.h"

#include <pthread.h>

/** What all shards of one mini_run share. */
struct mini_smp {
    unsigned count; /**< shards */
    struct mini_shard *shards;
    struct mini_options options; /**< for each shard's mini_run */
    atomic_bool stop; /**< meeting 1 is called; never goes back */
    atomic_uint stop_seen; /**< shards that know it */
    atomic_int deadlock; /**< 1: found while it ran, 2: and in clean-up, too */
    atomic_int error; /**< why a shard could not start */
    atomic_uint arrived; /**< shards that have started, or failed to */
    atomic_uint quiet; /**< meeting 2: shards without tasks */
    atomic_uint leaving; /**< meeting 3: shards that ring nobody any more */
    /** Low 32 bits: shards that only a message can wake. High 32 bits: how often
     * one has been woken; so that who counts them all sees if one was awake in
     * the meantime. */
    atomic_uint_least64_t idle;
};

/** One shard. */
struct mini_shard {
    struct mini_smp *smp;
    unsigned index;
    pthread_t thread;
    struct mini_spsc *inbox; /**< a ring from each shard; popped by this one */
    struct mini_list *outbox; /**< messages to each shard; this one's only */
    size_t unsent; /**< messages in outboxes; this one's only */
    bool stop_seen; /**< counted in smp->stop_seen; this one's only */
    bool is_idle; /**< counted in smp->idle; this one's only */
    bool is_quiet; /**< counted in smp->quiet; this one's only */
    /** To ring it by; stored once, before the shard has arrived. */
    _Atomic(struct mini_parker *) parker;
    /** Connections it serves; relaxed: a hint for those who accept. */
    atomic_uint connections;
};

/** The row that starts, stops and counts shards; the last, so that the others
 * stand when the shards meet. */
extern const struct mini_poller mini_smp_poller;

/** The calling shard's number, from 0. */
unsigned mini_this_shard(void);
/** How many there are. */
unsigned mini_shard_count(void);
/** Any shard: ends the run as if main had ended; main is cancelled. */
void mini_stop(void);

/** Any shard: rings THERE if it sleeps. */
void mini_smp_ring(struct mini_shard *there);
/** Any shard: rings all, this one too. */
void mini_smp_ring_all(struct mini_smp *smp);
/** Owner: HERE has been sent something. */
void mini_smp_not_idle(struct mini_shard *here);
/** Owner: looks whether a stop was called, and obeys; says if it did. */
unsigned mini_smp_look(struct mini_executor *executor);

#endif
