/* SPDX-License-Identifier: MIT */
/* The simulated machine: threads, time, signals. See sim.h. */
#include "sim.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#define FIBERS 40
#define STACK (256 * 1024)
#define STEPS 3000000 /* more than any seed needs: it goes round in circles */
#define SIGNALS 4 /* that are on the way */
#define WEAK 4 /* stores of a thread that are not visible yet */

void *__real_malloc(size_t size);

/* Variables of threads: the Makefile puts them into this section. */
extern char __start_sim_thread[], __stop_sim_thread[];
#define LOCALS ((size_t)(__stop_sim_thread - __start_sim_thread))

struct fiber {
    ucontext_t context;
    char *stack;
    const char *name; /* NULL: this one is free */
    bool hardware, ended;
    void *(*run)(void *);
    void *arg;
    bool asleep; /* until READY(ARG) or this time */
    bool (*ready)(void *);
    void *ready_arg;
    uint64_t until;
    const char *at; /* its last step */
    int error; /* its errno */
    char locals[256]; /* its variables while others run */
    struct {
        volatile void *address;
        uint64_t value;
        size_t size;
    } weak[WEAK];
    unsigned weak_count;
};

static struct fiber fibers[FIBERS], *current;
static uint64_t seed, state, steps;
static bool tracing, in_handler;
static const char *workload;
uint64_t sim_now;
bool sim_is_calm;
unsigned sim_faults;
enum sim_owner sim_owner;

/* How mean this seed is. */
static struct {
    uint32_t slice; /* steps that a thread goes on, about */
    uint32_t cost; /* ns a step */
    uint32_t stall; /* one in so many slices ends with a long sleep; 0: none */
    uint32_t faults; /* one in so many; 0: none */
    uint32_t weak; /* one in so many stores is late; 0: none */
    uint32_t late; /* about so many slices */
} mean;
static uint32_t slice_left, threads;

/* ---- chance ---- */

static uint64_t next_random(void) { /* Steele and others' splitmix64 */
    uint64_t z = state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

uint32_t sim_random(uint32_t limit) {
    return (uint32_t)((next_random() >> 32) * limit >> 32);
}

bool sim_fault(const char *what) {
    if (sim_is_calm || mean.faults == 0 || !sim_chance(mean.faults))
        return false;
    sim_trace("fault: %s", what);
    sim_faults++;
    return true;
}

bool sim_spurious(void) { return sim_fault("spurious failure of a weak CAS"); }

static uint32_t one_of(size_t count, const uint32_t *values) {
    return values[sim_random((uint32_t)count)];
}
#define ONE_OF(...) \
    one_of(sizeof((uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t), \
        (uint32_t[]){__VA_ARGS__})

static void choose_means(void) {
    mean.slice = ONE_OF(1, 3, 10, 30, 100, 1000);
    mean.cost = ONE_OF(10, 50, 200, 2000);
    mean.stall = ONE_OF(0, 0, 10, 100);
    mean.faults = ONE_OF(0, 3, 10, 50);
    mean.weak = ONE_OF(0, 1, 3);
    mean.late = ONE_OF(2, 50);
}

/* ---- the verdict ---- */

void sim_trace(const char *format, ...) {
    va_list arguments;
    if (!tracing) return;
    printf("%12.3f us  %-10s ", (double)sim_now / 1000, current->name);
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
}

static void end_failed(void) {
    printf("  after %llu steps, at %llu ns; threads, and their last steps:\n",
        (unsigned long long)steps, (unsigned long long)sim_now);
    for (int i = 0; i < FIBERS; i++)
        if (fibers[i].name && !fibers[i].ended)
            printf("    %-10s %s%s%s\n", fibers[i].name,
                &fibers[i] == current ? "runs: " : "",
                fibers[i].asleep ? "sleeps: " : "", fibers[i].at);
    printf("  to see it again: make sim STAGE=%02d SEED=%llu\n", STAGE,
        (unsigned long long)seed);
    fflush(stdout);
    _exit(1);
}

void sim_fail(const char *format, ...) {
    va_list arguments;
    printf("seed %llu (stage %02d, %s) failed: ", (unsigned long long)seed,
        STAGE, workload);
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
    end_failed();
    abort();
}

static void crashed(int signal) {
    sim_fail("%s", strsignal(signal)); /* MINI_CHECK's words are on stderr */
}

/* ---- signals ---- */

static struct sigaction actions[65], first_actions[65];
static unsigned killed; /* by signals whose action was to end the process */
static bool is_ending; /* a SIGINT or SIGTERM was caught: the next one kills */
static struct {
    int signal; /* 0: none */
    uint64_t at;
} coming[SIGNALS];

int __wrap_sigaction(
    int signal, const struct sigaction *action, struct sigaction *before) {
    if (before) *before = actions[signal];
    if (action) actions[signal] = *action;
    return 0;
}

int __wrap_raise(int signal) {
    sim_trace("signal %d", signal);
    if (actions[signal].sa_handler == SIG_DFL)
        killed++;
    else
        actions[signal].sa_handler(signal);
    return 0;
}

void sim_signal_after(int signal, uint64_t ns) {
    int i = 0;
    while (coming[i].signal) i++;
    coming[i].signal = signal;
    coming[i].at = sim_now + ns;
}

static void judge(int signal, enum sim_owner before, bool has_killed) {
    bool deadly = signal == SIGINT || signal == SIGTERM, kills = has_killed;
    if (deadly && is_ending)
        kills = true;
    else if (before == sim_owner && before != SIM_SOMEBODY)
        kills = before == SIM_NOBODY;
    SIM_CHECK(has_killed == kills, "signal %d %s", signal,
        kills ? "does not kill" : "kills in the middle of a run");
    is_ending |= deadly && !has_killed;
}

/* On the thread that runs, or sleeps; not in a handler, which blocks all. */
static void take_signals(void) {
    for (int i = 0; i < SIGNALS && !in_handler; i++) {
        if (!coming[i].signal || coming[i].at > sim_now) continue;
        int signal = coming[i].signal;
        bool asleep = current->asleep;
        coming[i].signal = 0;
        current->asleep = false;
        enum sim_owner owner = sim_owner;
        unsigned before = killed;
        in_handler = true;
        __wrap_raise(signal);
        in_handler = false;
        judge(signal, owner, killed > before);
        current->asleep = asleep;
    }
}

/* ---- threads ---- */

static void publish_one(struct fiber *f) {
    memcpy((void *)f->weak[0].address, &f->weak[0].value, f->weak[0].size);
    memmove(f->weak, f->weak + 1, --f->weak_count * sizeof *f->weak);
}

void sim_drain(void) {
    while (current->weak_count > 0) publish_one(current);
}

/* As a store buffer does it: the youngest one is passed on to the load, and
 * still no other thread sees it. */
void sim_load(const volatile void *address, void *value, size_t size) {
    unsigned i = current->weak_count;
    while (i > 0 && current->weak[i - 1].address != address) i--;
    memcpy(value, i > 0 ? &current->weak[i - 1].value : (const void *)address,
        size);
}

void sim_store(volatile void *address, const void *value, size_t size) {
    if (current->weak_count == WEAK) publish_one(current);
    unsigned last = current->weak_count++;
    current->weak[last].address = address;
    current->weak[last].size = size;
    memcpy(&current->weak[last].value, value, size);
    if (mean.weak == 0 || !sim_chance(mean.weak)) sim_drain();
}

static void go_to(struct fiber *next) {
    struct fiber *from = current;
    if (next == from) return;
    from->error = errno;
    memcpy(from->locals, __start_sim_thread, LOCALS);
    memcpy(__start_sim_thread, next->locals, LOCALS);
    current = next;
    errno = next->error;
    swapcontext(&from->context, &next->context);
}

static bool is_runnable(struct fiber *f) {
    if (!f->name || f->ended) return false;
    return !f->asleep || f->until <= sim_now ||
        (f->ready && f->ready(f->ready_arg));
}

/* Any thread that can run; if none can, time goes on to when one can. */
static void schedule(void) {
    slice_left = 1 + sim_random(2 * mean.slice);
    for (;;) {
        struct fiber *found[FIBERS];
        uint32_t count = 0;
        uint64_t next = UINT64_MAX;
        for (struct fiber *f = fibers; f < fibers + FIBERS; f++) {
            if (is_runnable(f))
                found[count++] = f;
            else if (f->name && !f->ended && f->until < next)
                next = f->until;
        }
        if (count > 0) {
            go_to(found[sim_random(count)]);
            return;
        }
        for (int i = 0; i < SIGNALS; i++)
            if (coming[i].signal && coming[i].at < next) next = coming[i].at;
        if (next == UINT64_MAX)
            sim_fail("all threads sleep for ever: a wake-up is lost");
        sim_now = next + sim_random(mean.cost);
        take_signals();
    }
}

void sim_wait(const char *what, bool (*ready)(void *), void *arg, uint64_t ns) {
    current->at = what;
    sim_drain();
    current->ready = ready;
    current->ready_arg = arg;
    current->until = ns > UINT64_MAX - sim_now ? UINT64_MAX : sim_now + ns;
    current->asleep = true;
    sim_trace("sleeps: %s", what);
    schedule();
    current->asleep = false;
}

void sim_point(const char *what) {
    sim_now += mean.cost;
    current->at = what;
    sim_trace("%s", what);
    take_signals();
    if (++steps > STEPS) sim_fail("no end after so many steps");
    if (--slice_left > 0) return;
    if (current->weak_count > 0 && sim_chance(mean.late)) publish_one(current);
    if (mean.stall && !in_handler && sim_chance(mean.stall))
        sim_wait("stalled", NULL, NULL, sim_random(500000));
    else
        schedule();
}

static void begin_fiber(void) {
    current->run(current->arg);
    sim_drain();
    current->ended = true;
    for (;;) schedule();
}

int sim_go(const char *name, bool hardware, void *(*run)(void *), void *arg) {
    struct fiber *f = fibers;
    while (f->name) SIM_CHECK(++f < fibers + FIBERS, "too many threads");
    char *stack = f->stack ? f->stack : __real_malloc(STACK);
    *f = (struct fiber){.stack = stack,
        .name = name,
        .hardware = hardware,
        .run = run,
        .arg = arg,
        .at = "its start"};
    getcontext(&f->context);
    f->context.uc_stack.ss_sp = stack;
    f->context.uc_stack.ss_size = STACK;
    makecontext(&f->context, begin_fiber, 0);
    return (int)(f - fibers);
}

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
    void *(*run)(void *), void *arg) {
    (void)attributes;
    if (sim_fault("no thread: EAGAIN")) return EAGAIN;
    sim_drain(); /* the new thread sees all of it */
    static const char *const names[] = {"thread 1", "thread 2", "thread 3",
        "thread 4", "thread 5", "thread 6", "thread 7", "thread 8"};
    *thread = (pthread_t)sim_go(names[threads++ % 8], false, run, arg);
    sim_point("pthread_create");
    return 0;
}

static bool has_ended(void *fiber) { return ((struct fiber *)fiber)->ended; }

int __wrap_pthread_join(pthread_t thread, void **result) {
    (void)result;
    while (!fibers[thread].ended)
        sim_wait("pthread_join", has_ended, &fibers[thread], MINI_FOREVER);
    fibers[thread].name = NULL;
    return 0;
}

int __wrap_sched_yield(void) {
    sim_wait("sched_yield", NULL, NULL, 1000);
    return 0;
}

int __wrap_clock_gettime(clockid_t clock, struct timespec *now) {
    (void)clock;
    sim_point("clock_gettime");
    now->tv_sec = (time_t)(sim_now / 1000000000);
    now->tv_nsec = (long)(sim_now % 1000000000);
    return 0;
}

/* ---- seeds ---- */

static void interrupted(void) { sim_point("the second look comes next"); }

static void *play(void *arg) {
    (void)arg;
    const struct sim_workload *all[32];
    uint32_t count = 0;
    for (const struct sim_workload *w = sim_calls; w->name; w++)
        all[count++] = w;
    for (const struct sim_workload *w = sim_io; w->name; w++) all[count++] = w;
    uint32_t chosen = sim_random(count);
    workload = all[chosen]->name;
    sim_trace("workload %s", workload);
    all[chosen]->run();
    for (int i = 0; i < FIBERS; i++)
        SIM_CHECK(!fibers[i].name || fibers[i].ended || fibers[i].hardware ||
                &fibers[i] == current,
            "a thread is left: %s", fibers[i].name);
    sim_kernel_check();
    sim_memory_check();
    SIM_CHECK(memcmp(actions, first_actions, sizeof actions) == 0,
        "the signals' actions are not as before");
    return NULL;
}

static bool is_over(void *fiber) { return ((struct fiber *)fiber)->ended; }

static void run_seed(uint64_t number) {
    alarm(60); /* a loop without a step */
    state = seed = number;
    next_random();
    steps = sim_now = killed = sim_faults = 0;
    sim_owner = SIM_NOBODY;
    threads = 0;
    in_handler = is_ending = sim_is_calm = false;
    memset(coming, 0, sizeof coming);
    memset(actions, 0, sizeof actions);
    for (int i = 1; i < FIBERS; i++) fibers[i].name = NULL;
    memset(__start_sim_thread, 0, LOCALS);
    mini_park_hook = interrupted;
    workload = "start";
    choose_means();
    sim_kernel_start();
    int player = sim_go("main", false, play, NULL);
    while (!fibers[player].ended)
        sim_wait("the seed's end", is_over, &fibers[player], MINI_FOREVER);
}

/* sim SEED: that one, with its trace; sim SEED COUNT: so many from it on. */
int main(int argc, char **argv) {
    uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 10) : 1, total = 0;
    tracing = argc == 2;
    signal(SIGSEGV, crashed);
    signal(SIGABRT, crashed);
    signal(SIGALRM, crashed);
    if (!tracing && !freopen("/dev/null", "w", stderr)) return 2;
    fibers[0] = (struct fiber){.name = "seeds", .hardware = true};
    current = &fibers[0];
    for (uint64_t i = 0; i < count; i++, total += steps) run_seed(first + i);
    double minutes = (double)clock() / CLOCKS_PER_SEC / 60;
    uint64_t last = state;
    if (!tracing) run_seed(seed);
    SIM_CHECK(state == last, "it was not the same twice");
    printf("stage %02d: %llu seeds from %llu passed: %llu steps, %.0f seeds a "
           "minute of CPU time%s\n",
        STAGE, (unsigned long long)count, (unsigned long long)first,
        (unsigned long long)total, (double)count / minutes,
        STAGE < 5 || SIM_URING ? "" : "; no liburing 2.3 here: poll(2) alone");
    return 0;
}
