/* SPDX-License-Identifier: MIT */
/*
 * A machine that is simulated in one thread: its threads are fibers, its clock
 * is a number, its kernel is kernel.c. Whatever could go one way or another on
 * a real machine is decided by one stream of random numbers, so a run is a
 * function of its seed: one that fails will fail again, and can be watched.
 *
 *   machine.c   threads, time, signals; the loop over seeds
 *   memory.c    malloc and free
 *   kernel.c    descriptors, sockets, poll(2)
 *   ring.c      io_uring
 *   calls.c     workloads of shards: calls, channels, barriers, stop
 *   io.c        workloads of I/O and of signals
 *
 * The runtime is compiled unchanged, against stdatomic.h and liburing.h of this
 * directory and linked with --wrap: it is what runs on the real machine.
 *
 * Sources: FoundationDB's simulation; TigerBeetle's VOPR. That each seed also
 * chooses how mean to be, and in what (swarm testing): Groce and others, 2012.
 */
#pragma once

#include "miniss.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- chance ---- */

/** A random number below LIMIT. */
uint32_t sim_random(uint32_t limit);
/** True once in ONE_IN times. */
static inline bool sim_chance(uint32_t one_in) {
    return sim_random(one_in) == 0;
}
/** True if a fault is to happen here; in some seeds none ever does. */
bool sim_fault(const char *what);
/** How many have. */
extern unsigned sim_faults;
/** While true no fault happens: the set up of a workload. */
extern bool sim_is_calm;

/* ---- threads and time ---- */

/** Nanoseconds since the seed's start. */
extern uint64_t sim_now;
/** A step: others may run now. */
void sim_point(const char *what);
/** Lets others run until READY(ARG), if there is one, or NS ns have passed. */
void sim_wait(const char *what, bool (*ready)(void *), void *arg, uint64_t ns);
/** Starts a thread; one of the hardware's need not end. */
int sim_go(const char *name, bool hardware, void *(*run)(void *), void *arg);
/** Delivers SIGNAL after NS ns, on whatever thread runs then. Fails if it would
 * end the process and should not, or the other way. */
void sim_signal_after(int signal, uint64_t ns);
/** Whose the signals are: nobody's, so they kill; a run's that begins or ends,
 * so they may; a run's, so only a second SIGINT or SIGTERM kills. */
extern enum sim_owner { SIM_NOBODY, SIM_SOMEBODY, SIM_RUN } sim_owner;

/* ---- the verdict ---- */

/** A line of the trace, if there is one. */
void sim_trace(const char *format, ...) __attribute__((format(printf, 1, 2)));
/** The seed has failed: says why, and how to see it again. */
_Noreturn void sim_fail(const char *format, ...)
    __attribute__((format(printf, 1, 2)));
/** Fails unless CONDITION. */
#define SIM_CHECK(condition, ...) \
    ((condition) ? (void)0 : sim_fail(__VA_ARGS__))

/** Fails if memory is left, or was written to after it was freed. */
void sim_memory_check(void);

/* ---- the kernel ---- */

/** Begins with no descriptor. */
void sim_kernel_start(void);
/** Fails if a descriptor is still open or a request under way. */
void sim_kernel_check(void);
/** At most COUNT more descriptors from now on. */
void sim_kernel_limit(unsigned count);

/* ---- workloads ---- */

/** What a seed does. */
struct sim_workload {
    const char *name;
    void (*run)(void);
};
/** All of a stage's; a name of NULL ends them. */
extern const struct sim_workload sim_calls[], sim_io[];

/** Runs MAIN with random options, and checks what all runs must come to. Its
 * result; -ENXIO if the runtime could not start, because of a fault. */
long sim_run(struct mini_future *main);
/** What sim_run begins with; a workload may set more. */
extern struct mini_options sim_options;
