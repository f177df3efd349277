/* SPDX-License-Identifier: MIT */
/* Runs a scenario of a few threads in every order and with every value that
 * the memory model lets them see. How: see checker.c.
 *
 * A scenario is made anew for each execution: SETUP, the threads, CHECK. All
 * of it must be deterministic, and what it keeps must be set by SETUP. */
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
/* In a thread: which one it is, from 0. */
int model_thread(void);
