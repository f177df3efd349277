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
 * The memory (model below): each atomic has the list of all values that were
 * ever stored in it, its messages. A thread has a view: how far in each list it
 * has come. A load may take any message that is not behind its view, so an old
 * one, too; which is what weak memory is. A release store sends the thread's
 * view along, an acquire load adds it to its own. A read-modify-write takes
 * the newest message and passes the view on that came with it. A seq_cst load
 * takes nothing older than the newest seq_cst store. This is the C11 model as
 * repaired by Lahav and others (RC11, PLDI 2017), also C++20's, except:
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
 * known by a hash of that, and is left when it has been seen before.
 *
 * A thread that loads the same message again at the same place spins; it goes
 * on when there is a newer one. When no thread can go on, they are dead-locked.
 *
 * Ideas: stateless search by VeriSoft (Godefroid 1997) and CHESS; messages and
 * views by CDSChecker, the "promising" model and GenMC; a runtime's real code
 * under it by Relacy (C++) and Loom (Rust). */
#include "checker.h"

#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#define PLACES 64 /* atomics that one execution uses */
#define MESSAGES 100 /* stores to one of them */
#define STEPS 1000 /* steps of one execution: more is no end in sight */
#define CHOICES 128 /* at one step */
#define STACK (64 << 10)
#define HEAP (96 << 10)
#define PLAIN (1 << 15) /* plain addresses that are accessed */
#define SEEN (1u << 26) /* states: at most */
#define BLOCKS 64

enum order { RELAXED, CONSUME, ACQUIRE, RELEASE, ACQ_REL, SEQ_CST };
enum kind { LOAD, STORE, SWAP, ADD, COMPARE, WAIT };

/* What somebody knows: of the messages, and of the threads' plain accesses. */
struct view {
    uint8_t message[PLACES]; /* no older ones can be read */
    uint16_t clock[THREADS]; /* each thread's steps that come before */
};

struct message {
    uint64_t value;
    struct view view; /* for who acquires it */
};

struct place {
    const void *address;
    int newest; /* index of its last message */
    int newest_seq_cst;
    struct message messages[MESSAGES];
};

struct operation {
    enum kind kind;
    enum order order, failure; /* of a compare-exchange that fails */
    const void *address, *pc;
    unsigned bytes;
    uint64_t operand, expected;
};

struct thread {
    const char *name;
    struct operation next; /* what it is about to do */
    struct view view;
    uint64_t result; /* what its last step has read */
    uint64_t history; /* hash of all that it has read and written */
    const void *last_pc; /* to see that it spins */
    int last_place, last_message;
    bool done;
    size_t allocated;
    ucontext_t begin;
    jmp_buf at;
    void *locals; /* its copy of the _Thread_local variables */
};

struct step { /* for the report */
    int thread, message, newest;
    struct operation operation;
    uint64_t read, written;
    bool reads, writes;
};

struct plain { /* who last accessed it, and when by his clock */
    uintptr_t address;
    unsigned execution; /* else it is from an earlier one */
    int writer;
    uint16_t written, read[THREADS];
    const void *written_pc, *read_pc[THREADS];
};

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

struct block {
    const char *start, *end;
};

static const struct scenario *scenario;
static struct thread threads[THREADS];
static int thread_count;
static struct thread *current; /* NULL: setup, check, or the search */
static struct place places[PLACES];
static int place_count;
static struct step steps[STEPS];
static int step_count;
static struct plain plains[PLAIN];
static struct block freed[BLOCKS];
static int freed_count;
static struct {
    const void *address;
    const char *name;
} names[PLACES];
static int name_count;
static char failure[300]; /* why this execution is wrong; "" it is not */

static _Alignas(64) char stacks[THREADS][STACK];
static _Alignas(64) char heaps[THREADS + 1][HEAP]; /* the last: setup's */
static size_t setup_allocated;
static jmp_buf search; /* where the search goes on */

static struct {
    uint8_t chosen, count;
} path[STEPS]; /* the choices of this execution */
static int depth; /* how many of them are prescribed */
static unsigned executions, completed, states;
static uint64_t *seen;
static struct habit habits[PLACES];
static bool mistaken; /* a step was taken as quiet that is not */
static int bound = -1; /* deviations allowed; -1: any number */

/* ---- names, and what goes wrong ---- */

void model_name(const void *address, const char *name) {
    for (int i = 0; i < name_count; i++)
        if (names[i].address == address) return;
    if (name_count == PLACES) return;
    names[name_count].address = address;
    names[name_count++].name = name;
}

static const char *name_of(const void *address) {
    static char buffers[4][40];
    static int turn;
    char *text = buffers[turn++ % 4];
    for (int i = 0; i < name_count; i++)
        if (names[i].address == address) return names[i].name;
    snprintf(text, sizeof buffers[0], "%p", (void *)(uintptr_t)address);
    return text;
}

static _Noreturn void fail(void) {
    current = NULL;
    _longjmp(search, 1);
}

/* A limit of this checker's: no verdict. */
static void limit(bool condition, const char *what) {
    if (condition) return;
    fprintf(stderr, "checker: %s is too small\n", what);
    exit(2);
}

void model_require(bool condition, const char *what) {
    if (condition) return;
    snprintf(failure, sizeof failure, "%s", what);
    fail();
}

int model_thread(void) { return (int)(current - threads); }

/* ---- what else the code calls ---- */

void *model_alloc(size_t bytes) {
    size_t *used = current ? &current->allocated : &setup_allocated;
    char *heap = heaps[current ? current - threads : THREADS];
    char *block = heap + *used + 64; /* before it: its size */
    limit(*used + bytes + 128 <= HEAP, "HEAP");
    *(size_t *)(void *)(block - sizeof(size_t)) = bytes;
    *used += (bytes + 127) / 64 * 64;
    return block;
}
void *model_calloc(size_t count, size_t bytes) {
    return memset(model_alloc(count * bytes), 0, count * bytes);
}
void *model_aligned_alloc(size_t alignment, size_t bytes) {
    (void)alignment; /* it is 64, or smaller */
    return model_alloc(bytes);
}

/* Freed memory is not used again, so whoever still accesses it is found. */
void model_free(void *block) {
    if (!block || !current) return;
    limit(freed_count < BLOCKS, "BLOCKS");
    freed[freed_count++] = (struct block){
        block, (char *)block + *(size_t *)(void *)((char *)block - 8)};
}

_Noreturn void model_abort(void) {
    model_require(false, "a MINI_CHECK of the runtime's (see stderr)");
    abort();
}

/* ---- plain memory ---- */

/* The linker makes these, around the section of the _Thread_local variables. */
extern char __start_mini_locals[], __stop_mini_locals[];

static bool is_stack_of(const struct thread *thread, const char *address) {
    const char *stack = stacks[thread - threads];
    return address >= stack && address < stack + STACK;
}

static void check_alive(const void *address, const void *pc) {
    const char *at = address;
    bool dead = false;
    for (int i = 0; i < freed_count; i++)
        dead = dead || (at >= freed[i].start && at < freed[i].end);
    for (int i = 0; i < thread_count; i++)
        dead = dead || (threads[i].done && is_stack_of(&threads[i], at));
    if (!dead) return;
    snprintf(failure, sizeof failure,
        "%s uses %s, whose memory is no more: @%lx", current->name,
        name_of(address), (unsigned long)(uintptr_t)pc - 1);
    fail();
}

static void race(const void *address, int other, const char *did,
    const void *its_pc, const void *pc) {
    snprintf(failure, sizeof failure,
        "data race on %s: %s %s it, @%lx; %s comes to it, @%lx; and nothing "
        "orders the two",
        name_of(address), threads[other].name, did,
        (unsigned long)(uintptr_t)its_pc - 1, current->name,
        (unsigned long)(uintptr_t)pc - 1);
    fail();
}

static struct plain *plain_at(const void *address) {
    uintptr_t key = (uintptr_t)address;
    unsigned i = (unsigned)(key / 4 % PLAIN); /* neighbours stay so */
    while (plains[i].execution == executions && plains[i].address != key)
        i = (i + 1) % PLAIN;
    if (plains[i].execution != executions)
        plains[i] = (struct plain){.address = key, .execution = executions};
    return &plains[i];
}

/* No access, atomic or plain, but after the last plain write. */
static struct plain *check_access(const void *address, const void *pc) {
    struct plain *plain = plain_at(address);
    check_alive(address, pc);
    if (plain->written > current->view.clock[plain->writer])
        race(address, plain->writer, "wrote", plain->written_pc, pc);
    return plain;
}

static void plain_access(const void *address, bool writes, const void *pc) {
    const char *at = address;
    if (!current || (at >= __start_mini_locals && at < __stop_mini_locals))
        return;
    struct plain *plain = check_access(address, pc);
    int self = model_thread();
    for (int t = 0; writes && t < thread_count; t++)
        if (t != self && plain->read[t] > current->view.clock[t])
            race(address, t, "read", plain->read_pc[t], pc);
    if (writes) {
        plain->writer = self;
        plain->written = current->view.clock[self];
        plain->written_pc = pc;
    } else {
        plain->read[self] = current->view.clock[self];
        plain->read_pc[self] = pc;
    }
}

/* ---- the model of atomic memory ---- */

static uint64_t memory_at(const void *address, unsigned bytes) {
    uint64_t value = 0;
    memcpy(&value, address, bytes); /* little-endian */
    return value;
}

static int place_of(const struct operation *next) {
    int i = 0;
    uint64_t value = memory_at(next->address, next->bytes);
    while (i < place_count && places[i].address != next->address) i++;
    limit(i < PLACES, "PLACES");
    struct place *place = &places[i];
    if (i == place_count) {
        place_count++;
        *place = (struct place){.address = next->address, .newest = -1};
    } else if (place->messages[place->newest].value == value) {
        return i;
    } /* else it was plainly initialised again */
    place->messages[++place->newest] = (struct message){.value = value};
    return i;
}

static void join(struct view *view, const struct view *other) {
    for (int i = 0; i < place_count; i++)
        if (other->message[i] > view->message[i])
            view->message[i] = other->message[i];
    for (int i = 0; i < thread_count; i++)
        if (other->clock[i] > view->clock[i]) view->clock[i] = other->clock[i];
}

static bool acquires(enum order order) {
    return order != RELAXED && order != RELEASE;
}
static bool releases(enum order order) { return order >= RELEASE; }

/* Which messages can THREAD's next operation take? Newest first. */
static int alternatives(struct thread *thread, uint8_t *messages) {
    const struct operation *next = &thread->next;
    int index = place_of(next), count = 0;
    const struct place *place = &places[index];
    int oldest = thread->view.message[index], newest = place->newest;
    uint64_t value = place->messages[newest].value;
    enum order order = next->kind == COMPARE ? next->failure : next->order;
    if (next->kind == STORE || next->kind == SWAP || next->kind == ADD ||
        (next->kind == COMPARE && value == next->expected) ||
        (next->kind == WAIT && value == next->operand))
        messages[count++] = (uint8_t)newest;
    if (next->kind != LOAD && next->kind != COMPARE) return count;
    if (order == SEQ_CST && place->newest_seq_cst > oldest)
        oldest = place->newest_seq_cst;
    if (thread->last_pc == next->pc && thread->last_place == index &&
        thread->last_message >= oldest)
        oldest = thread->last_message + 1; /* it spins */
    for (int i = newest; i >= oldest; i--)
        if (next->kind == LOAD || place->messages[i].value != next->expected)
            messages[count++] = (uint8_t)i;
    return count;
}

static uint64_t mix(uint64_t hash, uint64_t value) {
    hash = (hash ^ value) * 0x9E3779B97F4A7C15u;
    return hash ^ hash >> 29;
}

/* THREAD makes its next step, and takes MESSAGE. */
static void make_step(struct thread *thread, int message) {
    const struct operation *next = &thread->next;
    int index = place_of(next);
    struct place *place = &places[index];
    const struct message *taken = &place->messages[message];
    bool fails = next->kind == COMPARE && taken->value != next->expected;
    bool reads = next->kind != STORE;
    bool writes = next->kind != LOAD && next->kind != WAIT && !fails;
    enum order order = fails ? next->failure : next->order;
    struct view *view = &thread->view;
    uint64_t value =
        next->kind == ADD ? taken->value + next->operand : next->operand;
    if (next->bytes < 8) value &= (UINT64_C(1) << 8 * next->bytes) - 1;
    steps[step_count++] = (struct step){(int)(thread - threads), message,
        place->newest, *next, taken->value, value, reads, writes};
    if (reads && message > view->message[index])
        view->message[index] = (uint8_t)message;
    if (reads && acquires(order)) join(view, &taken->view);
    if (writes) {
        limit(place->newest + 1 < MESSAGES, "MESSAGES");
        struct message *sent = &place->messages[++place->newest];
        *sent = (struct message){.value = value};
        view->message[index] = (uint8_t)place->newest;
        if (releases(order)) sent->view = *view;
        if (reads) join(&sent->view, &taken->view); /* release sequence */
        if (order == SEQ_CST) place->newest_seq_cst = place->newest;
        memcpy((void *)(uintptr_t)next->address, &value, next->bytes);
    }
    view->clock[thread - threads]++;
    thread->result = taken->value;
    thread->last_pc = writes ? NULL : next->pc;
    thread->last_place = index;
    thread->last_message = message;
    thread->history = mix(thread->history, (uintptr_t)next->address);
    thread->history = mix(thread->history,
        (uint64_t)(writes ? place->newest + MESSAGES : message));
}

/* ---- coroutines ---- */

static void thread_main(int index) {
    scenario->threads[index].run();
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
static uint64_t operate(struct operation next) {
    if (!current) { /* setup and check are alone */
        uint64_t old = memory_at(next.address, next.bytes);
        uint64_t new = next.kind == ADD ? old + next.operand : next.operand;
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

/* Says whether HASH is new, and remembers it. */
static bool is_new(uint64_t hash) {
    unsigned i = (unsigned)(hash >> 32) % SEEN;
    hash += hash == 0;
    while (seen[i] && seen[i] != hash) i = (i + 1) % SEEN;
    if (seen[i]) return false;
    seen[i] = hash;
    limit(++states < SEEN / 4 * 3, "SEEN");
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
        if (found == 1 && is_quiet(t)) {
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
                threads[t].name, name_of(next->address),
                (unsigned long)(uintptr_t)next->pc - 1);
    }
}

static void begin(void) {
    executions++;
    place_count = step_count = name_count = freed_count = 0;
    setup_allocated = 0;
    failure[0] = '\0';
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
        resume(thread, false);
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
    memset(plains, 0, sizeof plains);
    free(seen);
    seen = calloc(SEEN, sizeof *seen); /* pages come when they are used */
    if (!seen) abort();
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

/* ---- the report ---- */

static const char *value_name(uint64_t value, unsigned bytes) {
    static char buffers[4][40];
    static int turn;
    char *text = buffers[turn++ % 4];
    if (bytes == 1) return value ? "true" : "false";
    if (bytes == 8 && value > 0x400000 && value < UINT64_MAX / 2)
        snprintf(text, sizeof buffers[0], "&%s",
            name_of((const void *)(uintptr_t)value));
    else
        snprintf(text, sizeof buffers[0], "%lld", (long long)value);
    return text;
}

static void print_step(int number, const struct step *step) {
    static const char *const orders[] = {
        "relaxed", "consume", "acquire", "release", "acq_rel", "seq_cst"};
    const struct operation *what = &step->operation;
    const struct place *place = &places[place_of(what)];
    char text[200];
    const char *name = name_of(what->address);
    const char *read = value_name(step->read, what->bytes);
    const char *written = value_name(step->written, what->bytes);
    enum order order =
        what->kind == COMPARE && !step->writes ? what->failure : what->order;
    if (what->kind == WAIT)
        snprintf(text, sizeof text, "has waited for %s", name);
    else if (step->writes && step->reads)
        snprintf(text, sizeof text, "%s: %s -> %s", name, read, written);
    else if (step->writes)
        snprintf(text, sizeof text, "%s = %s", name, written);
    else if (what->kind == COMPARE)
        snprintf(text, sizeof text, "%s is %s, not %s", name, read,
            value_name(what->expected, what->bytes));
    else
        snprintf(text, sizeof text, "%s is %s", name, read);
    if (step->message < step->newest && !step->writes)
        snprintf(text + strlen(text), sizeof text - strlen(text),
            ", not yet %s",
            value_name(place->messages[step->newest].value, what->bytes));
    printf("%3d  %-8s  %-40s %-7s  @%lx\n", number, threads[step->thread].name,
        text, what->kind == WAIT ? "" : orders[order],
        (unsigned long)(uintptr_t)what->pc - 1);
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
    for (bound = 0; explore(); bound++) continue; /* the simplest of them */
    printf("%-10s FAILS in execution %u; the simplest has %d deviation%s:\n",
        scenario->name, until_found, bound, bound == 1 ? "" : "s");
    for (int i = 0; i < step_count; i++) print_step(i + 1, &steps[i]);
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

/* ---- what the compiler calls ---- */

/* Under names of our own, since gcc knows theirs. */
#define CALLED(type, name, symbol, ...) \
    type name(__VA_ARGS__) __asm__("__tsan_" symbol); \
    type name(__VA_ARGS__)
#define PC .pc = __builtin_return_address(0)
#define ATOMIC(bits) \
    CALLED(uint##bits##_t, load##bits, "atomic" #bits "_load", \
        const void *address, int order) { \
        return (uint##bits##_t)operate((struct operation){ \
            LOAD, order, RELAXED, address, PC, .bytes = bits / 8}); \
    } \
    CALLED(void, store##bits, "atomic" #bits "_store", const void *address, \
        uint##bits##_t value, int order) { \
        operate((struct operation){STORE, order, RELAXED, address, PC, \
            .bytes = bits / 8, .operand = value}); \
    } \
    CALLED(uint##bits##_t, swap##bits, "atomic" #bits "_exchange", \
        const void *address, uint##bits##_t value, int order) { \
        return (uint##bits##_t)operate((struct operation){SWAP, order, \
            RELAXED, address, PC, .bytes = bits / 8, .operand = value}); \
    } \
    CALLED(uint##bits##_t, add##bits, "atomic" #bits "_fetch_add", \
        const void *address, uint##bits##_t value, int order) { \
        return (uint##bits##_t)operate((struct operation){ADD, order, RELAXED, \
            address, PC, .bytes = bits / 8, .operand = value}); \
    } \
    static int compare##bits(const void *address, uint##bits##_t *expected, \
        uint##bits##_t value, int order, int failing, const void *pc) { \
        uint##bits##_t old = (uint##bits##_t)operate( \
            (struct operation){COMPARE, order, failing, address, pc, \
                .bytes = bits / 8, .operand = value, .expected = *expected}); \
        bool equal = old == *expected; \
        *expected = old; \
        return equal; \
    } \
    CALLED(uint##bits##_t, value##bits, \
        "atomic" #bits "_compare_exchange_val", const void *address, \
        uint##bits##_t expected, uint##bits##_t value, int order, \
        int failing) { /* what clang calls */ \
        compare##bits(address, &expected, value, order, failing, \
            __builtin_return_address(0)); \
        return expected; \
    } \
    CALLED(int, strong##bits, "atomic" #bits "_compare_exchange_strong", \
        const void *address, uint##bits##_t *expected, uint##bits##_t value, \
        int order, int failing) { \
        return compare##bits(address, expected, value, order, failing, \
            __builtin_return_address(0)); \
    } \
    CALLED(int, weak##bits, "atomic" #bits "_compare_exchange_weak", \
        const void *address, uint##bits##_t *expected, uint##bits##_t value, \
        int order, int failing) { \
        return compare##bits(address, expected, value, order, failing, \
            __builtin_return_address(0)); \
    }
ATOMIC(8)
ATOMIC(32)
ATOMIC(64)

#define ACCESS(bytes) \
    CALLED(void, read##bytes, "read" #bytes, const void *address) { \
        plain_access(address, false, __builtin_return_address(0)); \
    } \
    CALLED(void, write##bytes, "write" #bytes, const void *address) { \
        plain_access(address, true, __builtin_return_address(0)); \
    }
ACCESS(1)
ACCESS(2)
ACCESS(4)
ACCESS(8)
ACCESS(16)

CALLED(void, init, "init", void) {}
CALLED(void, entry, "func_entry", void *caller) { (void)caller; }
CALLED(void, leave, "func_exit", void) {}
#define RANGE(name, writes) \
    CALLED(void, name##_range, #name "_range", const char *address, \
        unsigned long bytes) { \
        for (unsigned long i = 0; i < bytes && bytes <= 1024; i += 8) \
            plain_access(address + i, writes, __builtin_return_address(0)); \
    }
RANGE(read, false)
RANGE(write, true)
