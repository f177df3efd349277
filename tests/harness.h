/* SPDX-License-Identifier: MIT
 *
 * harness.h: what every test program of tests/ has besides cmocka.
 *
 * Interface:
 * - MINI_TEST_MAIN(tests) as the last line, without a semicolon, gives the
 *   program its main: see mini_test_main for what it takes.
 * - mini_test_fail_alloc_after makes one later allocation fail.
 * - mini_test_capture_begin and _end catch what a piece of code says on
 *   standard error.
 * - faults.h makes system calls fail.
 *
 * A test is a function g<section>_<number>_<words>(void **state), for example
 * g1_2_yield_goes_behind: the name says which guarantee (G1.2) it holds the
 * runtime to. A test that runs longer than MINI_TEST_SECONDS ends the program
 * with a message that names it; so does a crash. Each test begins with no
 * failing allocation set and nothing captured, and must end with as many
 * descriptors, shared mappings, blocks of memory and CPUs as there were.
 */
#ifndef MINI_TEST_HARNESS_H
#define MINI_TEST_HARNESS_H

/* cmocka.h wants the first four, in this order. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>

#include <cmocka.h>

#include <stdbool.h>

/** Whether this build is instrumented; gcc says it one way, clang another. */
#if defined(__SANITIZE_THREAD__)
#define MINI_TEST_TSAN 1
#elif defined(__SANITIZE_ADDRESS__)
#define MINI_TEST_ASAN 1
#elif defined(__has_feature)
#define MINI_TEST_TSAN __has_feature(thread_sanitizer)
#define MINI_TEST_ASAN __has_feature(address_sanitizer)
#endif
#ifndef MINI_TEST_TSAN
#define MINI_TEST_TSAN 0
#endif
#ifndef MINI_TEST_ASAN
#define MINI_TEST_ASAN 0
#endif

/** How many times less than usual is done by threads that only pass the time to
 * each other: more than 1 where a test program is run hundreds of times. */
#ifndef MINI_TEST_LESS
#define MINI_TEST_LESS 1
#endif

/** Whether QEMU runs this. On x86 it lets a seq_cst load of AArch64 overtake a
 * seq_cst store before it (seen with 7.2: LDAR behind STLR, in a program of ten
 * lines), so nothing can be said there of what needs that order. */
#ifndef MINI_TEST_EMULATED
#define MINI_TEST_EMULATED 0
#endif

/** How long one test may take, in seconds. */
#ifndef MINI_TEST_SECONDS
#define MINI_TEST_SECONDS 120
#endif

/**
 * Runs the tests whose name fits the arguments.
 *
 *   PROGRAM                  all of them
 *   PROGRAM g1_2             those with g1_2 in their name
 *   PROGRAM 'g1_*_cancel?'   those a shell pattern fits
 *   PROGRAM --list [PATTERN] their names, one a line; runs none
 *   PROGRAM --after NAME [PATTERN]   those that follow NAME
 *   PROGRAM --until-failure SECONDS [PATTERN]   stops at the first that
 *                            fails or takes longer
 *
 * @return the exit status: 0, the number of tests that failed, or 2 with a
 *         message if no test's name fits.
 */
int mini_test_main(
    int argc, char **argv, const struct CMUnitTest *tests, size_t count);

#define MINI_TEST_MAIN(tests) \
    int main(int argc, char **argv) { \
        return mini_test_main( \
            argc, argv, (tests), sizeof(tests) / sizeof((tests)[0])); \
    }

/**
 * Lets @p successes more allocations succeed and makes the one after them
 * fail, once: 0 is the very next one. -1 takes it back. Counted are malloc,
 * calloc, realloc, aligned_alloc and posix_memalign, called on any thread by
 * the runtime or a test, not by libc or another library. To try every
 * allocation of a piece of code, raise @p successes from 0 until
 * mini_test_alloc_failed() says that none was left to fail. Skips the test
 * where the linker cannot wrap (macOS).
 */
void mini_test_fail_alloc_after(long successes);

/** Whether the failure that was last asked for has happened. */
bool mini_test_alloc_failed(void);

/**
 * How many blocks, allocated by the functions above, have not been freed. Take
 * it before and after: libc's own blocks, freed by a test, count as -1.
 */
long mini_test_live_allocs(void);

/** How many descriptors this process has, and how many mappings of memory that
 * it shares with the kernel or others, such as a ring. 0 where there is no
 * /proc. */
int mini_test_descriptors(void);
int mini_test_shared_mappings(void);

/**
 * From here to mini_test_capture_end standard error (descriptor 2) goes into a
 * temporary file, that of child processes too. Only one at a time; assert
 * after the end, not before. Should the process die meanwhile, what was caught
 * is shown.
 */
void mini_test_capture_begin(void);

/**
 * Puts standard error back and copies what was caught, cut to @p size - 1
 * bytes and ended with a NUL, into @p text.
 *
 * @return how many bytes were caught, those cut off included.
 */
size_t mini_test_capture_end(char *text, size_t size);

#endif
