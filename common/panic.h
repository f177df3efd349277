/* SPDX-License-Identifier: MIT */
/**
 * @file
 * Executable invariants: a misuse that no caller could handle stops the
 * program with one line that names the call.
 *
 * MINI_CHECK stays on in every build. It is for programmers' mistakes only; an
 * error the system can produce is a negative errno, never a panic.
 */
#pragma once

#include <stdio.h>
#include <stdlib.h>

/** Prints "miniss: MESSAGE" to stderr and aborts; any thread. */
static inline _Noreturn void mini_panic(const char *message) {
    fprintf(stderr, "miniss: %s\n", message);
    abort();
}

/** Panics unless CONDITION holds; MESSAGE names the misused call. */
#define MINI_CHECK(condition, message) \
    ((condition) ? (void)0 : mini_panic(message))
