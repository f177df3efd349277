/* SPDX-License-Identifier: MIT */
/**
 * @file
 * What differs between operating systems and teaches nothing. One of
 * platform_linux.c and platform_posix.c is linked, so no stage has an `#ifdef`.
 *
 * - Times are nanoseconds; MINI_FOREVER as a time to wait means no limit.
 * - Any thread may call. A function that can fail returns a negative errno,
 *   unless its comment says otherwise.
 */
#pragma once

#include <poll.h>
#include <stdint.h>
#include <time.h>

/** As a time to wait: until something happens. */
#define MINI_FOREVER UINT64_MAX

/** Nanoseconds of the monotonic clock; any thread. */
static inline uint64_t mini_clock(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/** poll(2) with a limit of NS nanoseconds, never rounded down (at most 24 days
 * where there is only POSIX). Returns how many of FDS are ready; 0: the time is
 * up; -EINTR: a signal came. */
int mini_poll_fds(struct pollfd *fds, nfds_t count, uint64_t ns);

/** A doorbell: an eventfd, or the two ends of a non-blocking pipe. */
struct mini_bell {
    int wait_fd; /**< readable while the bell has been rung and not cleared */
    int ring_fd; /**< written to by any thread */
};

/** Opens a bell; 0 or a negative errno (-EMFILE: too few descriptors). */
int mini_bell_open(struct mini_bell *bell);
/** Closes it; nobody may ring it any more. */
void mini_bell_close(struct mini_bell *bell);
/** Rings it; any thread, also in a signal handler; never blocks. */
void mini_bell_ring(struct mini_bell *bell);
/** Clears all rings so far; the owner only; never blocks. */
void mini_bell_clear(struct mini_bell *bell);

/** How many CPUs this process may use, at least 1. */
unsigned mini_cpu_count(void);
/** Pins the calling thread to the INDEX-th CPU it may use, modulo their number;
 * no effect where threads cannot be pinned. */
void mini_pin(unsigned index);
/** Undoes the calling thread's mini_pin; no effect without one. */
void mini_unpin(void);

/** The option SO_REUSEPORT of setsockopt(2): other sockets may bind to the same
 * port. Where there is none: -1, which is -ENOPROTOOPT. */
extern const int mini_reuseport;
/** Sends up to LENGTH bytes of FILE, from OFFSET on, to the non-blocking socket
 * OUT. Returns how many, 0 at the file's end, or -1 with errno. Waits for the
 * disk if need be. */
long mini_sendfile(int out, int file, int64_t offset, size_t length);
/** accept(2): a descriptor that is closed on exec, or -1 with errno. */
int mini_accept_fd(int listener);
