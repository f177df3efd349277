/* SPDX-License-Identifier: MIT */
/* What the parts of the checker share. Read checker.h first, then memory.c,
 * plain.c and search.c; calls.c and report.c are its ends. */
#pragma once

#include "checker.h"

#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#define PLACES 64 /* atomics that one execution uses */
#define MESSAGES 100 /* stores to one of them */
#define STEPS 512 /* steps of one execution: more is no end in sight */
#define STACK (64 << 10) /* bytes of a thread's stack */

enum order { RELAXED, CONSUME, ACQUIRE, RELEASE, ACQ_REL, SEQ_CST };
enum kind { LOAD, STORE, SWAP, ADD, OR, COMPARE, WAIT };

/* A set of steps. */
struct set {
    uint64_t words[STEPS / 64];
};

/* What somebody knows: of the messages, and of the threads' plain accesses. */
struct view {
    uint8_t message[PLACES]; /* no older ones can be read */
    uint16_t clock[THREADS]; /* each thread's steps that come before */
    struct set seq_cst; /* and those that are seq_cst */
};

struct message {
    uint64_t value;
    struct view view; /* for who acquires it */
    int seq_cst; /* the step that stored it if that is seq_cst, or -1 */
};

struct place {
    const void *address;
    int newest; /* index of its last message */
    struct set seq_cst; /* steps at it */
    uint16_t accessed[THREADS]; /* by each thread, by its clock */
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

struct step { /* one that was made, for the report */
    int thread, message, newest;
    struct operation operation;
    uint64_t read, written, newest_value;
    bool reads, writes, calm;
};

/* The execution under way. */
extern const struct scenario *scenario;
extern struct thread threads[THREADS];
extern int thread_count;
extern struct thread *current; /* NULL: setup, check, or the search */
extern struct place places[PLACES];
extern int place_count;
extern struct step steps[STEPS];
extern int step_count;
extern bool calm; /* see model_calm */
extern unsigned executions; /* so far */
extern char failure[300]; /* why it is wrong; "" it is not */
extern char stacks[THREADS][STACK];

/* Of memory.c: which messages THREAD's next operation can take, newest first;
 * and the step with one of them. */
int alternatives(struct thread *thread, uint8_t *messages);
void make_step(struct thread *thread, int message);
uint64_t mix(uint64_t hash, uint64_t value);
/* What an operation that finds OLD stores, if it does. */
uint64_t stored(const struct operation *operation, uint64_t old);

/* Of plain.c. The first is for an atomic access. */
void check_access(const void *address, const void *pc);
void plain_access(const void *address, bool writes, const void *pc);
void check_end(const char *start, const char *end); /* of this memory */
void forget_plain(void);
void forget_blocks(void);

/* Of search.c. */
uint64_t operate(struct operation next);
_Noreturn void fail(void);

/* Of report.c. */
void forget_names(void);
const char *name_of(const void *address);
void print_steps(void);
/* A limit of this checker's: no verdict. */
void limit(bool condition, const char *what);

/* An address in the program as the report has it; run.py finds its line. */
static inline unsigned long line_of(const void *pc) {
    return (unsigned long)(uintptr_t)pc - 1;
}
