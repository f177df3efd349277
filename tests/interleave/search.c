/* SPDX-License-Identifier: MIT */
/* The search: threads as coroutines, and every order of their steps. See
 * checker.h. */
#include "model.h"

#define CHOICES 128 /* at one step */
#define SIMPLE 8 /* deviations: with more it is not simple */

struct choice {
    uint8_t thread, message, cost;
    bool quiet; /* nobody else can tell when it is made */
};

/* An atomic, as seen in all executions so far: bits for threads. */
struct habit {
    const void *address;
    unsigned readers, writers;
    unsigned quiet_readers, quiet_writers; /* whose steps were taken as quiet */
};

const struct scenario *scenario;
struct thread threads[THREADS];
int thread_count;
struct thread *current;
struct step steps[STEPS];
int step_count;
bool calm;
unsigned executions;
char failure[300];
_Alignas(64) char stacks[THREADS][STACK];

static jmp_buf search; /* where the search goes on */

static struct {
    uint8_t chosen, count;
} path[STEPS]; /* the choices of this execution */
static int depth; /* how many of them are prescribed */
static unsigned completed, states;
static uint64_t *seen; /* hashes of states; 0: free */
static size_t room; /* for so many, a power of two */
static struct habit habits[PLACES];
static bool mistaken; /* a step was taken as quiet that is not */
static int bound = -1; /* deviations allowed; -1: any number */

/* The linker makes these, around the section of the _Thread_local variables. */
extern char __start_mini_locals[], __stop_mini_locals[];

_Noreturn void fail(void) {
    current = NULL;
    _longjmp(search, 1);
}

void model_require(bool condition, const char *what) {
    if (condition) return;
    snprintf(failure, sizeof failure, "%s", what);
    fail();
}

void model_calm(bool on) { calm = on; }

int model_thread(void) { return (int)(current - threads); }

/* ---- coroutines ---- */

static void thread_main(int index) {
    scenario->threads[index].run();
    check_end(stacks[index], stacks[index] + STACK);
    current->done = true;
    _longjmp(search, 1);
}

/* Lets THREAD run until it is about to make its next step, or has ended. */
static void resume(struct thread *thread, bool first) {
    size_t bytes = (size_t)(__stop_mini_locals - __start_mini_locals);
    memcpy(__start_mini_locals, thread->locals, bytes);
    current = thread;
    if (_setjmp(search) == 0) {
        if (first)
            setcontext(&thread->begin);
        else
            _longjmp(thread->at, 1);
    }
    current = NULL;
    memcpy(thread->locals, __start_mini_locals, bytes);
}

/* In a thread: its next step; comes back when it has been made. */
uint64_t operate(struct operation next) {
    if (!current) { /* setup and check are alone */
        uint64_t old = 0;
        memcpy(&old, next.address, next.bytes);
        uint64_t new = stored(&next, old);
        if (next.kind != LOAD && (next.kind != COMPARE || old == next.expected))
            memcpy((void *)(uintptr_t)next.address, &new, next.bytes);
        return old;
    }
    current->next = next;
    if (_setjmp(current->at) == 0) _longjmp(search, 1);
    check_access(next.address, next.pc);
    return current->result;
}

void model_wait(const void *word, int value) {
    operate((struct operation){.kind = WAIT,
        .address = word,
        .bytes = 4,
        .operand = (uint64_t)value,
        .pc = __builtin_return_address(0)});
}

/* ---- the search ---- */

static uint64_t *slot_of(uint64_t hash) {
    size_t i = (size_t)(hash >> 32) % room;
    while (seen[i] && seen[i] != hash) i = (i + 1) % room;
    return &seen[i];
}

static void make_room(size_t new_room) {
    uint64_t *old = seen;
    size_t count = old ? room : 0;
    room = new_room;
    seen = calloc(room, sizeof *seen);
    if (!seen) abort();
    for (size_t i = 0; i < count; i++)
        if (old[i]) *slot_of(old[i]) = old[i];
    free(old);
}

/* Says whether HASH is new, and remembers it. */
static bool is_new(uint64_t hash) {
    hash += hash == 0;
    uint64_t *slot = slot_of(hash);
    if (*slot) return false;
    *slot = hash;
    if (++states > room / 2) make_room(2 * room);
    return true;
}

static struct habit *habit_of(const void *address) {
    int i = 0;
    while (habits[i].address && habits[i].address != address) i++;
    limit(i < PLACES - 1, "PLACES");
    habits[i].address = address;
    return &habits[i];
}

/* Is THREAD's next step of no concern to the others? None writes there, and
 * none reads what it writes. */
static bool is_quiet(int thread) {
    const struct operation *next = &threads[thread].next;
    struct habit *habit = habit_of(next->address);
    unsigned me = 1u << thread;
    bool reads = next->kind == LOAD;
    if (next->kind == WAIT || (habit->writers & ~me) != 0 ||
        (!reads && (habit->readers & ~me) != 0))
        return false;
    *(reads ? &habit->quiet_readers : &habit->quiet_writers) |= me;
    return true;
}

/* Notes what THREAD does there. If that is of concern to one whose step was
 * taken as quiet, then all begins anew, and knows it. */
static void note(int thread, const struct operation *next) {
    struct habit *habit = habit_of(next->address);
    unsigned me = 1u << thread;
    bool reads = next->kind == LOAD || next->kind == WAIT;
    if ((habit->quiet_writers & ~me) != 0 ||
        (!reads && (habit->quiet_readers & ~me) != 0))
        mistaken = true;
    *(reads ? &habit->readers : &habit->writers) |= me;
}

/* All that can happen next; a quiet step alone, for when it comes makes no
 * difference. To stay with the thread that ran LAST, and to take the newest
 * message, costs nothing; all else is a deviation. */
static int list_choices(struct choice *choices, int last, int spent) {
    int count = 0;
    bool can_stay = false;
    for (int n = 0; n < thread_count; n++) {
        int t = (last + n) % thread_count;
        uint8_t messages[MESSAGES];
        if (threads[t].done) continue;
        int found = alternatives(&threads[t], messages);
        if (found > 0 && (calm || (found == 1 && is_quiet(t)))) {
            choices[0] = (struct choice){(uint8_t)t, messages[0], 0, true};
            return 1;
        }
        for (int i = 0; i < found && count < CHOICES; i++) {
            uint8_t cost = (uint8_t)((i > 0) + (n > 0 && can_stay));
            if (bound < 0 || spent + cost <= bound)
                choices[count++] =
                    (struct choice){(uint8_t)t, messages[i], cost, false};
        }
        can_stay = can_stay || (n == 0 && found > 0);
    }
    return count;
}

static void dead_lock(void) {
    int length = snprintf(failure, sizeof failure, "nobody can go on:");
    for (int t = 0; t < thread_count; t++) {
        const struct operation *next = &threads[t].next;
        if (!threads[t].done && length < (int)sizeof failure)
            length += snprintf(failure + length,
                sizeof failure - (size_t)length, " %s waits for %s, @%lx;",
                threads[t].name, name_of(next->address), line_of(next->pc));
    }
}

static void begin(void) {
    executions++;
    place_count = step_count = 0;
    forget_names();
    forget_blocks();
    failure[0] = '\0';
    calm = false;
    memset(__start_mini_locals, 0,
        (size_t)(__stop_mini_locals - __start_mini_locals));
    scenario->setup();
    for (int t = 0; t < thread_count; t++) {
        struct thread *thread = &threads[t];
        void *locals = thread->locals;
        *thread = (struct thread){.name = scenario->threads[t].name,
            .locals = locals,
            .last_place = -1};
        thread->view.clock[t] = 1;
        memcpy(locals, __start_mini_locals,
            (size_t)(__stop_mini_locals - __start_mini_locals));
        getcontext(&thread->begin);
        thread->begin.uc_stack.ss_sp = stacks[t];
        thread->begin.uc_stack.ss_size = STACK;
        makecontext(&thread->begin, (void (*)(void))thread_main, 1, t);
    }
    for (int t = 0; t < thread_count && !failure[0]; t++)
        resume(&threads[t], true);
}

/* One execution, along PATH and then wherever is new; false: it is wrong. */
static bool execute(void) {
    struct choice choices[CHOICES];
    int last = 0, spent = 0;
    begin();
    while (!failure[0]) {
        int count = list_choices(choices, last, spent);
        if (step_count == STEPS - 1)
            strcpy(failure, "no end in sight: somebody runs for ever");
        if (step_count == depth) {
            uint64_t hash =
                bound < 0 ? 0 : mix((uint64_t)spent, (unsigned)last);
            for (int t = 0; t < thread_count; t++)
                hash = mix(hash, threads[t].history);
            if (!is_new(hash)) return true;
            if (count == 0 || failure[0]) break;
            path[depth].chosen = 0;
            path[depth++].count = (uint8_t)count;
        }
        struct choice choice = choices[path[step_count].chosen];
        struct thread *thread = &threads[choice.thread];
        last = choice.quiet ? last : choice.thread;
        spent += choice.cost;
        note(choice.thread, &thread->next);
        if (mistaken) return true;
        make_step(thread, choice.message);
        if (!failure[0]) resume(thread, false);
    }
    if (failure[0]) return false;
    completed++;
    for (int t = 0; t < thread_count; t++)
        if (!threads[t].done && bound < 0) return dead_lock(), false;
    for (int t = 0; t < thread_count; t++)
        if (!threads[t].done) { /* was it only the bound? */
            int allowed = bound;
            bound = -1;
            int count = list_choices(choices, last, spent);
            bound = allowed;
            if (count > 0) return true;
            return dead_lock(), false;
        }
    if (_setjmp(search) == 0 && scenario->check) scenario->check();
    return !failure[0];
}

static void start_anew(void) {
    depth = 0;
    executions = completed = states = 0;
    mistaken = false;
    forget_plain();
    free(seen);
    seen = NULL;
    make_room(1024);
    for (int i = 0; i < PLACES; i++)
        habits[i].quiet_readers = habits[i].quiet_writers = 0;
}

/* True if all executions are right. */
static bool explore(void) {
    start_anew();
    for (;;) {
        if (!execute()) return false;
        if (mistaken) {
            start_anew();
            continue;
        }
        while (depth > 0 && path[depth - 1].chosen + 1 == path[depth - 1].count)
            depth--;
        if (depth == 0) return true;
        path[depth - 1].chosen++;
    }
}

static bool run(void) {
    thread_count = 0;
    while (thread_count < THREADS && scenario->threads[thread_count].name)
        thread_count++;
    for (int t = 0; t < thread_count; t++)
        threads[t].locals =
            malloc((size_t)(__stop_mini_locals - __start_mini_locals) + 1);
    bound = -1;
    memset(habits, 0, sizeof habits);
    if (explore()) {
        printf("%-10s holds: %u states, %u executions, %u to the end\n",
            scenario->name, states, executions, completed);
        fflush(stdout);
        return true;
    }
    unsigned until_found = executions;
    for (bound = 0; bound <= SIMPLE && explore();) bound++; /* the simplest */
    printf("%-10s FAILS in execution %u; ", scenario->name, until_found);
    if (bound <= SIMPLE) {
        printf(
            "the simplest has %d deviation%s:\n", bound, bound == 1 ? "" : "s");
    } else {
        bound = -1;
        explore();
        printf("this is the first:\n");
    }
    print_steps();
    printf("     %s\n", failure);
    fflush(stdout);
    return false;
}

int main(int argc, char **argv) {
    bool all_hold = true;
    for (scenario = scenarios; scenario->name; scenario++) {
        bool wanted = argc == 1;
        for (int i = 1; i < argc; i++)
            wanted = wanted || strcmp(argv[i], scenario->name) == 0;
        if (wanted && !run()) all_hold = false;
    }
    return all_hold ? 0 : 1;
}
