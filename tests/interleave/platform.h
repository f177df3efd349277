/* SPDX-License-Identifier: MIT */
/* The platform of all scenarios: bells, sleep, threads. */
#pragma once

#include "checker.h"

#include "executor.h"

/* Of the checker and not of the program: these accesses are not looked at. */
#define UNSEEN __attribute__((no_sanitize("thread")))

/* How often each thread has parked, and was rung. */
extern int rings[THREADS], parks[THREADS];

/* The thread that gets no bell; -1: none. */
extern int bell_missing;

/* Whether to ring a bell and to clear it order memory, as two system calls at
 * one descriptor do. The parking protocol must not need that. */
extern bool bells_order;

/* For a scenario's setup: no bell was rung, nobody has parked. */
void platform_reset(void);
