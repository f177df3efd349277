/* SPDX-License-Identifier: MIT
 *
 * harness.c: the main of the test programs, the watchdog, failing allocations
 * and the capture of standard error. harness.h says how to use them.
 */
#include "harness.h"

#include "../common/platform.h"
#include "executor.h"
#include "faults.h"

#include <dirent.h>
#include <errno.h>
#include <fnmatch.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* ---- allocations that fail ---------------------------------------------- */

static atomic_long live_blocks;
static atomic_bool has_failed;

#ifdef __APPLE__ /* its linker has no --wrap */

void mini_test_fail_alloc_after(long successes) {
    if (successes >= 0) skip();
}

#else

static atomic_long until_failure = -1; /* below 0: none is to fail */

void mini_test_fail_alloc_after(long successes) {
    has_failed = false;
    until_failure = successes;
}

/* The linker's --wrap=malloc sends the program's calls of malloc to
 * __wrap_malloc and names the real one, a sanitizer's too, __real_malloc. */
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *block, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
int __real_posix_memalign(void **block, size_t alignment, size_t size);
void __real_free(void *block);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *block, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
int __wrap_posix_memalign(void **block, size_t alignment, size_t size);
void __wrap_free(void *block);

/* Threads that allocate at the same time each take a number; one gets 0. */
static bool must_fail(void) {
    if (until_failure < 0 || atomic_fetch_sub(&until_failure, 1) != 0)
        return false;
    has_failed = true;
    errno = ENOMEM;
    return true;
}

static void *counted(void *block) {
    if (block != NULL) live_blocks++;
    return block;
}

void *__wrap_malloc(size_t size) {
    return must_fail() ? NULL : counted(__real_malloc(size));
}

void *__wrap_calloc(size_t count, size_t size) {
    return must_fail() ? NULL : counted(__real_calloc(count, size));
}

void *__wrap_realloc(void *block, size_t size) {
    void *moved = must_fail() ? NULL : __real_realloc(block, size);

    return block == NULL ? counted(moved) : moved;
}

void *__wrap_aligned_alloc(size_t alignment, size_t size) {
    return must_fail() ? NULL : counted(__real_aligned_alloc(alignment, size));
}

int __wrap_posix_memalign(void **block, size_t alignment, size_t size) {
    int error = ENOMEM;

    if (!must_fail()) error = __real_posix_memalign(block, alignment, size);
    if (error == 0) live_blocks++;
    return error;
}

void __wrap_free(void *block) {
    if (block != NULL) live_blocks--;
    __real_free(block);
}

#endif

bool mini_test_alloc_failed(void) { return has_failed; }

long mini_test_live_allocs(void) { return live_blocks; }

/* ---- what the process has ----------------------------------------------- */

int mini_test_descriptors(void) {
    DIR *listing = opendir("/proc/self/fd");
    int count = 0;

    if (listing == NULL) return 0;
    while (readdir(listing) != NULL) count++;
    closedir(listing);
    return count;
}

/* Private ones are not counted: they are libc's, a sanitizer's, or blocks. */
int mini_test_shared_mappings(void) {
    FILE *maps = fopen("/proc/self/maps", "r");
    int count = 0;
    char flag;

    if (maps == NULL) return 0;
    while (fscanf(maps, "%*s %*3c%c%*[^\n]", &flag) == 1) count += flag == 's';
    fclose(maps);
    return count;
}

/* ---- standard error, captured ------------------------------------------- */

static FILE *captured; /* where it goes meanwhile, or NULL */
static int real_stderr = -1; /* and the descriptor to put back */

void mini_test_capture_begin(void) {
    assert_null(captured);
    fflush(stderr);
    captured = tmpfile();
    assert_non_null(captured);
    real_stderr = dup(STDERR_FILENO);
    assert_true(real_stderr >= 0);
    assert_true(dup2(fileno(captured), STDERR_FILENO) >= 0);
}

static void restore_stderr(void) {
    fflush(stderr);
    dup2(real_stderr, STDERR_FILENO);
    close(real_stderr);
}

size_t mini_test_capture_end(char *text, size_t size) {
    assert_non_null(captured);
    restore_stderr();

    off_t length = lseek(fileno(captured), 0, SEEK_END);
    ssize_t copied = pread(fileno(captured), text, size - 1, 0);

    fclose(captured);
    captured = NULL;
    assert_true(length >= 0 && copied >= 0);
    text[copied] = '\0';
    return (size_t)length;
}

/* What a test that failed in between had caught is shown, not lost. Safe in a
 * signal handler. */
static void show_captured(void) {
    char part[512];
    off_t at = 0;
    ssize_t n;

    while ((n = pread(fileno(captured), part, sizeof part, at)) > 0) {
        if (write(real_stderr, part, (size_t)n) != n) break;
        at += n;
    }
}

/* ---- one test ----------------------------------------------------------- */

/* cmocka catches these and carries on, on whichever thread it was: nothing
 * that follows would mean anything. tests/run.py goes on in a new process. */
static const int crashes[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGSYS};
enum { CRASHES = sizeof crashes / sizeof crashes[0] };

static struct sigaction before_cmocka[CRASHES];
static const struct CMUnitTest *current;
static unsigned seconds = MINI_TEST_SECONDS; /* how long one may take */
static pid_t test_process; /* a test's children are none of our business */

static void say(const char *text) {
    int fd = captured != NULL ? real_stderr : STDERR_FILENO;

    if (write(fd, text, strlen(text)) < 0) _exit(2);
}

/* What waits for what, of the thread that had the alarm. Not for a handler to
 * do; but nothing is left to lose, and a second alarm ends that, too. */
static void show_tasks(void) {
    signal(SIGALRM, SIG_DFL);
    alarm(5);
    if (mini_self != NULL) mini_dump(stderr);
}

/* Whether it was slow, or waited. */
static void say_cpu_time(void) {
    struct timespec used = {0};
    char text[] = "0000000000 s of CPU time\n", *at = strchr(text, ' ');

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    do *--at = (char)('0' + used.tv_sec % 10);
    while ((used.tv_sec /= 10) > 0 && at > text);
    say(" after ");
    say(at);
}

static void on_alarm(int number) {
    if (getpid() != test_process) { /* a child, whose parent waits for it */
        show_tasks();
        say("watchdog: a child of the test's has no end");
        say_cpu_time();
        raise(number);
        return;
    }
    show_tasks();
    say("\nwatchdog: no end in sight of ");
    say(current->name);
    say(", the program is stopped");
    say_cpu_time();
    mini_test_show_fault(say);
    abort();
}

/* Also where an assertion of the runtime or a sanitizer's report ends. */
static void on_abort(int number) {
    (void)number;
    if (captured != NULL && getpid() == test_process) show_captured();
}

static int set_up(void **state) {
    current = *state;
    *state = current->initial_state;
    mini_test_fail_alloc_after(-1);
    alarm(seconds);
    return current->setup_func != NULL ? current->setup_func(state) : 0;
}

static void run(void **state) {
    for (int i = 0; i < CRASHES; i++)
        sigaction(crashes[i], &before_cmocka[i], NULL);
    int descriptors = mini_test_descriptors();
    int mappings = mini_test_shared_mappings();
    long blocks = mini_test_live_allocs();
    unsigned cpus = mini_cpu_count();

    current->test_func(state);
    assert_int_equal(mini_test_descriptors(), descriptors);
    assert_int_equal(mini_test_shared_mappings(), mappings);
    assert_int_equal(mini_test_live_allocs(), blocks);
    assert_int_equal(mini_cpu_count(), cpus);
}

static int tear_down(void **state) {
    alarm(0);
    mini_test_fail_alloc_after(-1);
    mini_test_show_fault(say);
    mini_test_no_fault();
    if (captured != NULL) {
        show_captured();
        restore_stderr();
        fclose(captured);
        captured = NULL;
    }
    return current->teardown_func != NULL ? current->teardown_func(state) : 0;
}

/* ---- all tests ---------------------------------------------------------- */

static bool fits(const char *name, const char *pattern) {
    char wide[256];

    if (strpbrk(pattern, "*?[") == NULL) {
        snprintf(wide, sizeof wide, "*%s*", pattern);
        pattern = wide;
    }
    return fnmatch(pattern, name, 0) == 0;
}

/* Copies to @p chosen, wrapped, what follows @p after and fits @p pattern. */
static size_t choose(struct CMUnitTest *chosen, const struct CMUnitTest *tests,
    size_t count, const char *after, const char *pattern) {
    size_t first = 0, n = 0;

    for (size_t i = 0; i < count; i++)
        if (strcmp(tests[i].name, after) == 0) first = i + 1;
    for (size_t i = first; i < count; i++)
        if (fits(tests[i].name, pattern))
            chosen[n++] = (struct CMUnitTest){
                .name = tests[i].name,
                .test_func = run,
                .setup_func = set_up,
                .teardown_func = tear_down,
                .initial_state = (void *)&tests[i],
            };
    return n;
}

static void install_handlers(void) {
    struct sigaction alarmed = {.sa_handler = on_alarm};
    struct sigaction aborted = {.sa_handler = on_abort};

    test_process = getpid();
    sigaction(SIGALRM, &alarmed, NULL);
    sigaction(SIGABRT, &aborted, NULL);
    for (int i = 0; i < CRASHES; i++)
        sigaction(crashes[i], NULL, &before_cmocka[i]);
}

/* @p at_once is how many cmocka gets to run: it does not stop at a failure. */
static int run_chosen(const char *program, const struct CMUnitTest *chosen,
    size_t n, size_t at_once) {
    int failed = 0;

    setvbuf(stdout, NULL, _IOLBF, 0);
    install_handlers();
    for (size_t i = 0; i < n && failed == 0; i += at_once)
        failed =
            _cmocka_run_group_tests(program, chosen + i, at_once, NULL, NULL);
    return failed;
}

int mini_test_main(
    int argc, char **argv, const struct CMUnitTest *tests, size_t count) {
    struct CMUnitTest *chosen = calloc(count, sizeof *chosen);
    bool list = argc > 1 && strcmp(argv[1], "--list") == 0;
    bool skipping = argc > 2 && strcmp(argv[1], "--after") == 0;
    bool stopping = argc > 2 && strcmp(argv[1], "--until-failure") == 0;
    int used = 1 + (list ? 1 : skipping || stopping ? 2 : 0);
    const char *pattern = argc > used ? argv[used] : "*";
    int status = 2;

    if (chosen == NULL) return 2;
    size_t n = choose(chosen, tests, count, skipping ? argv[2] : "", pattern);

    if (stopping) seconds = (unsigned)atoi(argv[2]);
    if (n > 0 && !list)
        status = run_chosen(argv[0], chosen, n, stopping ? 1 : n);
    else if (n == 0)
        fprintf(stderr, "no test fits '%s': see %s --list\n", pattern, argv[0]);
    else
        status = 0;
    for (size_t i = 0; list && i < n; i++) puts(chosen[i].name);
    free(chosen);
    return status;
}
