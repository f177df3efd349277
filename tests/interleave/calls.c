/* SPDX-License-Identifier: MIT */
/* What the compiler calls for each access of code that it compiles with
 * -fsanitize=thread: a step, or a look at plain memory. Under names of our own,
 * since gcc knows theirs. */
#include "model.h"

#define CALLED(type, name, symbol, ...) \
    type name(__VA_ARGS__) __asm__("__tsan_" symbol); \
    type name(__VA_ARGS__)
#define PC .pc = __builtin_return_address(0)
#define MODIFIES(bits, name, symbol, kind, operand_) \
    CALLED(uint##bits##_t, name##bits, "atomic" #bits "_" symbol, \
        const void *address, uint##bits##_t value, int order) { \
        return (uint##bits##_t)operate((struct operation){kind, order, \
            RELAXED, address, PC, .bytes = bits / 8, .operand = operand_}); \
    }
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
    MODIFIES(bits, swap, "exchange", SWAP, value) \
    MODIFIES(bits, add, "fetch_add", ADD, value) \
    MODIFIES(bits, sub, "fetch_sub", ADD, (uint##bits##_t) - value) \
    MODIFIES(bits, or, "fetch_or", OR, value) \
    static int compare##bits(const void *address, uint##bits##_t *expected, \
        uint##bits##_t value, int order, int failing, const void *pc) { \
        uint##bits##_t old = (uint##bits##_t)operate( \
            (struct operation){COMPARE, order, failing, address, pc, \
                .bytes = bits / 8, .operand = value, .expected = *expected}); \
        bool equal = old == *expected; \
        *expected = old; \
        return equal; \
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
