/* SPDX-License-Identifier: MIT */
/* A model checker for threads that share memory: it runs a scenario again and
 * again, until every order of the threads' steps, and every value that a weak
 * memory may show them, has been tried.
 *
 * How it gets into the code: the runtime is compiled as it is, but with
 * -fsanitize=thread. That makes the compiler call a function at each access to
 * memory: __tsan_atomic64_load(address, order) for an atomic one,
 * __tsan_write8(address) before a plain one. ThreadSanitizer's library has
 * these functions; here we have our own. Threads are coroutines, so nothing
 * happens between two atomic steps but what we let happen.
 *
 * The memory (memory.c): each atomic has the list of all values that were
 * ever stored in it, its messages. A thread has a view: how far in each list it
 * has come. A load may take any message that is not behind its view, so an old
 * one, too; which is what weak memory is. A release store sends the thread's
 * view along, an acquire load adds it to its own. A read-modify-write takes
 * the newest message and passes the view on that came with it. All seq_cst
 * operations have one order, which agrees with who knows of whom, and with the
 * order of the messages that they store and take; a seq_cst load may take what
 * leaves such an order possible. This is the C11 model as repaired by Lahav and
 * others (RC11, PLDI 2017) and in C++20, except:
 * - nothing is read before it is written (no "load buffering"), and stores to
 *   one atomic are ordered as they are executed;
 * - a weak compare-exchange fails only for a reason; there are no fences.
 *
 * Plain accesses are not steps. If one is not ordered, by views, after the
 * other thread's last access to the same address, that is a data race, in
 * whatever order they ran: reported.
 *
 * The search: a choice is which thread makes its next step, and which message
 * it takes. An execution is a list of choices, made again from the start; the
 * last one that has an alternative is changed for the next execution. Two lists
 * that gave every thread the same messages in the same order have led to the
 * same state, for a thread is a function of what it has read: so a state is
 * known by a hash of that, and is left when it has been seen before. (A plain
 * access without a race has one value that it can read.) A step that no other
 * thread could notice is made at once, without a choice.
 *
 * A thread that loads the same message again at the same place spins; it goes
 * on when there is a newer one. When no thread can go on, they are dead-locked.
 *
 * Ideas: stateless search by VeriSoft (Godefroid 1997) and CHESS; messages and
 * views by CDSChecker, the "promising" model and GenMC; a runtime's real code
 * under it by Relacy (C++) and Loom (Rust).
 *
 * A scenario (scenarios.c) is made anew for each execution: SETUP, the threads,
 * CHECK. All of it must be deterministic, and what it keeps set by SETUP. */
#pragma once

#include <stdbool.h>

/* Most threads of a scenario. */
#define THREADS 4

struct thread_of_scenario {
    const char *name;
    void (*run)(void);
};

struct scenario {
    const char *name, *promise; /* what it shows */
    void (*setup)(void); /* before the threads begin */
    struct thread_of_scenario threads[THREADS];
    void (*check)(void); /* when all have ended */
};

/* The scenarios there are; one without a name ends them. */
extern const struct scenario scenarios[];

/* Any time: what is at ADDRESS is called NAME when it is printed. */
void model_name(const void *address, const char *name);
/* This execution shows a mistake, WHAT, unless CONDITION. */
void model_require(bool condition, const char *what);
/* In a thread: waits until the atomic *WORD is VALUE; orders nothing. */
void model_wait(const void *word, int value);
/* While it is ON there is one order only: a thread goes on until it cannot, and
 * each load takes the newest message. For what is not the scenario's concern;
 * these steps are not printed. */
void model_calm(bool on);
/* In a thread: which one it is, from 0. */
int model_thread(void);
