/* SPDX-License-Identifier: MIT
 *
 * faults.h: each system call of the runtime made to fail, one at a time.
 *
 * Interface:
 * - mini_test_each_fault runs a program again and again, and lets another call
 *   fail each time, with an errno that it may have.
 *
 * - mini_test_before_call comes in before some calls that cannot fail.
 *
 * Only the runtime's calls fail: it is linked to one object, in which they go
 * through faults.c (see common/stage.mk); the tests' own do not. With io_uring
 * the operations in its ring are calls like any other.
 */
#ifndef MINI_TEST_FAULTS_H
#define MINI_TEST_FAULTS_H

#include "harness.h"

#include <stdatomic.h>

/** What was made to fail. */
struct mini_test_fault {
    const char *call; /**< its name, or NULL: none was left to fail */
    int error; /**< its errno */
};

/**
 * Calls PLAY with the first call of the runtime's failing, then with the second,
 * and so on until none is left to fail; then all of that with the next errno
 * that such a call may have. JUDGE is told what PLAY returned and what has
 * failed. Whatever that was: no block, descriptor or thread may be left.
 *
 * @return how many calls failed; 0 where the linker cannot wrap (macOS).
 */
long mini_test_each_fault(long (*play)(void),
    void (*judge)(long result, const struct mini_test_fault *fault));

/** The same for one call in EVERY, others with each errno. */
long mini_test_some_faults(long every, long (*play)(void),
    void (*judge)(long result, const struct mini_test_fault *fault));

/** Not NULL: called before each getpid and sched_yield of the runtime's, with
 * that name, on any thread and in signal handlers, too. Not where the linker
 * cannot wrap (macOS). */
extern void (*mini_test_before_call)(const char *call);

/**
 * If not NULL: is shown each completion of the ring before the runtime sees it,
 * and may make another of it. OPERATION is the struct mini_io that it is of, or
 * NULL. For what no kernel here says, but one may.
 */
extern void (*mini_test_completion)(
    void *operation, int *result, uint32_t *flags);

/** From 0 on: multishot receives wait for this descriptor, which nothing comes
 * over, and not for their own: as those do that have missed the news. */
extern int mini_test_deaf_fd;

/** An operation that the ring says it does not know when it is asked what it
 * knows; below 0: it says how it is. */
extern int mini_test_unknown;

/** System calls of the runtime's that can be made to fail here, so far; and
 * rings of doorbells, which cannot. 0 where the linker cannot wrap (macOS). */
extern atomic_long mini_test_calls, mini_test_bell_rings;

/** Of these, those of a shard that was woken in its ring, without a bell. */
extern atomic_long mini_test_wakes;

/** Tries to wake a shard in a ring, whether there was one or not. */
extern atomic_long mini_test_wake_tries;

/** Calls of ppoll(2) so far. */
extern atomic_long mini_test_polls;

/** Calls of the runtime's that may enter the kernel for the ring, so far. */
extern atomic_long mini_test_ring_calls;

/** The longest time, in ns, that one of them was to wait; but not for ever. */
extern atomic_llong mini_test_longest_wait;

/** For the harness: says which call had failed, if a test ends meanwhile. */
void mini_test_show_fault(void (*say)(const char *text));

/** For the harness: nothing is to fail any more, nor is there a completion shown
 * or an operation unknown. */
void mini_test_no_fault(void);

/** For faults_uring.c: whether this call must fail, and with which errno, of
 * those that ERRORS (COUNT of them) lists. */
int mini_test_must_fail(const char *call, const int *errors, size_t count);

#endif
