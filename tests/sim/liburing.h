/* SPDX-License-Identifier: MIT */
/* Found before liburing's own, which it is but for the barriers: the simulated
 * kernel runs in the same thread, and the program's plain loads of what it has
 * stored must find it. kernel.c has the functions. */
#pragma GCC system_header
#define LIBURING_BARRIER_H
#define IO_URING_READ_ONCE(var) (var)
#define IO_URING_WRITE_ONCE(var, value) ((var) = (value))
#define io_uring_smp_load_acquire(p) (*(p))
#define io_uring_smp_store_release(p, v) ((void)(*(p) = (v)))
#define io_uring_smp_mb() ((void)0)
#include_next <liburing.h>
