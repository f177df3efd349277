/* SPDX-License-Identifier: MIT */
/* Found before the compiler's own: each atomic operation of the runtime is a
 * step of the simulated machine, after which another thread may go on.
 *
 * There is only one real thread, so plain accesses do. What the orders mean is
 * in machine.c: a store that is not seq_cst may become visible later. */
#pragma GCC system_header
#include_next <stdatomic.h>

#include <stdbool.h>
#include <stddef.h>

/** A step: others may run now. WHAT is for the trace. */
void sim_point(const char *what);
/** Before a seq_cst store: what this thread has stored becomes visible. */
void sim_drain(void);
/** A load of SIZE bytes into VALUE: what this thread has stored there last, even
 * if no other sees that yet. */
void sim_load(const volatile void *address, void *value, size_t size);
/** A weak store of SIZE bytes: visible now, or later. */
void sim_store(volatile void *address, const void *value, size_t size);
/** Whether a weak compare-exchange fails for no reason. */
bool sim_spurious(void);

#undef atomic_init
#undef atomic_load_explicit
#undef atomic_load
#undef atomic_store_explicit
#undef atomic_store
#undef atomic_exchange
#undef atomic_compare_exchange_strong
#undef atomic_compare_exchange_weak
#undef atomic_fetch_add
#undef atomic_fetch_add_explicit
#undef atomic_fetch_sub_explicit
#undef atomic_fetch_or

#define atomic_init(p, v) ((void)(*(p) = (v))) /* nobody else has it yet */
#define atomic_load_explicit(p, order) \
    __extension__({ \
        __typeof__((void)0, *(p)) sim_loaded_; \
        sim_point("load " #p); \
        sim_load(p, &sim_loaded_, sizeof sim_loaded_); \
        sim_loaded_; \
    })
#define atomic_load(p) atomic_load_explicit(p, memory_order_seq_cst)
#define atomic_store_explicit(p, v, order) \
    __extension__({ \
        __typeof__((void)0, *(p)) sim_value_ = (v); \
        __typeof__(p) sim_to_ = (p); \
        sim_point("store " #p " = " #v); \
        if ((order) == memory_order_seq_cst) \
            sim_drain(), *sim_to_ = sim_value_; \
        else \
            sim_store(sim_to_, &sim_value_, sizeof *sim_to_); \
    })
#define atomic_store(p, v) atomic_store_explicit(p, v, memory_order_seq_cst)
#define SIM_RMW(p, what, change) \
    __extension__({ \
        __typeof__(p) sim_p_ = (p); \
        sim_point(what " " #p); \
        sim_drain(); \
        __typeof__((void)0, *sim_p_) sim_old_ = *sim_p_; \
        change; \
        sim_old_; \
    })
#define atomic_exchange(p, v) SIM_RMW(p, "exchange", *sim_p_ = (v))
#define atomic_fetch_add(p, v) SIM_RMW(p, "add to", *sim_p_ += (v))
#define atomic_fetch_add_explicit(p, v, order) atomic_fetch_add(p, v)
#define atomic_fetch_sub_explicit(p, v, order) \
    SIM_RMW(p, "subtract from", *sim_p_ -= (v))
#define atomic_fetch_or(p, v) SIM_RMW(p, "or into", *sim_p_ |= (v))
#define atomic_compare_exchange_strong(p, e, v) \
    __extension__({ \
        __typeof__(p) sim_p_ = (p); \
        __typeof__(e) sim_e_ = (e); \
        sim_point("compare and exchange " #p); \
        sim_drain(); \
        bool sim_same_ = *sim_p_ == *sim_e_; \
        if (sim_same_) \
            *sim_p_ = (v); \
        else \
            *sim_e_ = *sim_p_; \
        sim_same_; \
    })
#define atomic_compare_exchange_weak(p, e, v) \
    (sim_spurious() ? (*(e) = atomic_load(p), false) \
                    : atomic_compare_exchange_strong(p, e, v))
