/* SPDX-License-Identifier: MIT */
/* Plain memory: races, and memory that is no more. */
#include "model.h"

#define HEAP (96 << 10) /* bytes that a thread may allocate */
#define BLOCKS 64 /* of them freed */
#define PLAIN (1 << 15) /* plain addresses that are accessed */

struct plain { /* who last accessed it, and when by his clock */
    uintptr_t address;
    unsigned execution; /* else it is from an earlier one */
    int writer;
    uint16_t written, read[THREADS];
    const void *written_pc, *read_pc[THREADS];
};

static struct plain plains[PLAIN];
static struct { const char *start, *end; } freed[BLOCKS];
static int freed_count;
static _Alignas(64) char heaps[THREADS + 1][HEAP]; /* the last: setup's */
static size_t setup_allocated;

/* ---- what else the code calls ---- */

void *model_malloc(size_t bytes) {
    size_t *used = current ? &current->allocated : &setup_allocated;
    char *heap = heaps[current ? current - threads : THREADS];
    char *block = heap + *used + 64; /* before it: its size */
    limit(*used + bytes + 128 <= HEAP, "HEAP");
    *(size_t *)(void *)(block - sizeof(size_t)) = bytes;
    *used += (bytes + 127) / 64 * 64;
    return block;
}
void *model_calloc(size_t count, size_t bytes) {
    return memset(model_malloc(count * bytes), 0, count * bytes);
}
void *model_aligned_alloc(size_t alignment, size_t bytes) {
    (void)alignment; /* it is 64, or smaller */
    return model_malloc(bytes);
}

/* No atomic in memory that ends may be accessed but before that. */
void check_end(const char *start, const char *end) {
    for (int i = 0; i < place_count; i++) {
        const char *at = places[i].address;
        for (int t = 0; t < thread_count && at >= start && at < end; t++)
            if (&threads[t] != current &&
                places[i].accessed[t] > current->view.clock[t]) {
                snprintf(failure, sizeof failure,
                    "%s gives back %s, and nothing says that %s is done with "
                    "it",
                    current->name, name_of(at), threads[t].name);
                fail();
            }
    }
}

/* Freed memory is not used again, so whoever still accesses it is found. */
void model_free(void *block) {
    if (!block || !current) return;
    const char *end =
        (char *)block + *(size_t *)(void *)((char *)block - sizeof(size_t));
    check_end(block, end);
    limit(freed_count < BLOCKS, "BLOCKS");
    freed[freed_count].start = block;
    freed[freed_count++].end = end;
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
        name_of(address), line_of(pc));
    fail();
}

static void race(const void *address, int other, const char *did,
    const void *its_pc, const void *pc) {
    snprintf(failure, sizeof failure,
        "data race on %s: %s %s it, @%lx; %s comes to it, @%lx; and nothing "
        "orders the two",
        name_of(address), threads[other].name, did, line_of(its_pc),
        current->name, line_of(pc));
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
static struct plain *ordered(const void *address, const void *pc) {
    struct plain *plain = plain_at(address);
    check_alive(address, pc);
    if (plain->written > current->view.clock[plain->writer])
        race(address, plain->writer, "wrote", plain->written_pc, pc);
    return plain;
}

void check_access(const void *address, const void *pc) {
    if (current) ordered(address, pc);
}

void plain_access(const void *address, bool writes, const void *pc) {
    const char *at = address;
    if (!current || (at >= __start_mini_locals && at < __stop_mini_locals))
        return;
    struct plain *plain = ordered(address, pc);
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

void forget_plain(void) { memset(plains, 0, sizeof plains); }

void forget_blocks(void) {
    freed_count = 0;
    setup_allocated = 0;
}
