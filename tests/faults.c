/* SPDX-License-Identifier: MIT
 *
 * faults.c: the wrappers of the runtime's system calls. faults.h says how to
 * use them; faults_uring.c has those of liburing.
 *
 * Left out are calls that cannot fail, or whose failure says that what they
 * are for is done already: the clock, fcntl, sigaction, and the ring of a
 * doorbell, which is only counted.
 */
#include "faults.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static atomic_long until_failure = -1; /* below 0: none is to fail */
static unsigned kind; /* which of its errnos a call fails with */
static struct mini_test_fault fault; /* what has failed */
static atomic_int threads; /* of the runtime's, not joined yet */

void (*mini_test_before_call)(const char *call);
atomic_long mini_test_calls, mini_test_bell_rings, mini_test_wakes;
atomic_long mini_test_ring_calls, mini_test_wake_tries, mini_test_polls;
atomic_llong mini_test_longest_wait;

void (*mini_test_completion)(void *operation, int *result, uint32_t *flags);
int mini_test_unknown = -1;
int mini_test_deaf_fd = -1;

int mini_test_must_fail(const char *call, const int *errors, size_t count) {
    mini_test_calls++;
    if (until_failure < 0 || kind >= count ||
        atomic_fetch_sub(&until_failure, 1) != 0)
        return 0;
    fault = (struct mini_test_fault){.call = call, .error = errors[kind]};
    return fault.error;
}

void mini_test_no_fault(void) {
    mini_test_completion = NULL;
    mini_test_unknown = mini_test_deaf_fd = -1;
    until_failure = -1;
    fault = (struct mini_test_fault){0};
}

void mini_test_show_fault(void (*say)(const char *text)) {
    if (!fault.call) return;
    say("what failed was ");
    say(fault.call);
    say(": ");
    say(strerror(fault.error));
    say("\n");
}

long mini_test_some_faults(long every, long (*play)(void),
    void (*judge)(long result, const struct mini_test_fault *fault)) {
    bool failed = true;
    long failures = 0;

    judge(play(), &fault); /* libc keeps something at first */
    long blocks = mini_test_live_allocs();
    int descriptors = mini_test_descriptors();

    for (kind = 0; kind < 8; kind++, failed = true)
        for (long n = (long)kind % every; failed; n += every) {
            assert_in_range(n, 0, 10000);
            until_failure = n;
            long result = play();

            until_failure = -1;
            failed = fault.call != NULL;
            failures += failed;
            judge(result, &fault);
            assert_int_equal(mini_test_live_allocs(), blocks);
            assert_int_equal(mini_test_descriptors(), descriptors);
            assert_int_equal(threads, 0);
            mini_test_no_fault();
        }
    return failures;
}

long mini_test_each_fault(long (*play)(void),
    void (*judge)(long result, const struct mini_test_fault *fault)) {
    return mini_test_some_faults(1, play, judge);
}

#ifndef __APPLE__ /* its linker has no --wrap */

/* ---- the wrappers ------------------------------------------------------- */

/* The errno of this call, if it is to fail, else 0. */
#define MUST_FAIL(call, ...) \
    mini_test_must_fail(call, (const int[]){__VA_ARGS__}, \
        sizeof((const int[]){__VA_ARGS__}) / sizeof(int))

/* A call that says -1 and errno; the errnos are the last arguments. */
#define WRAP(type, name, parameters, arguments, ...) \
    type __wrap_##name parameters; \
    type __wrap_##name parameters { \
        int error = MUST_FAIL(#name, __VA_ARGS__); \
        if (error) return errno = error, -1; \
        return name arguments; \
    }

/* What is tried again, what a peer or a device does, what is used up. */
WRAP(int, accept, (int fd, struct sockaddr *address, socklen_t *size),
    (fd, address, size), EINTR, EAGAIN, ECONNABORTED, EMFILE, ENOBUFS)
WRAP(int, bind, (int fd, const struct sockaddr *address, socklen_t size),
    (fd, address, size), EADDRINUSE, EACCES)
WRAP(int, connect, (int fd, const struct sockaddr *address, socklen_t size),
    (fd, address, size), ECONNREFUSED, EADDRNOTAVAIL)
WRAP(int, fstat, (int fd, struct stat *status), (fd, status), EIO, ENOMEM)
WRAP(int, fstatat, (int dir, const char *path, struct stat *status, int flags),
    (dir, path, status, flags), ENOENT, ENOMEM)
WRAP(int, fsync, (int fd), (fd), EINTR, EIO, ENOSPC)
WRAP(int, getsockname, (int fd, struct sockaddr *address, socklen_t *size),
    (fd, address, size), ENOBUFS)
WRAP(int, getsockopt,
    (int fd, int level, int name, void *value, socklen_t *size),
    (fd, level, name, value, size), ENOBUFS)
WRAP(int, listen, (int fd, int backlog), (fd, backlog), EADDRINUSE)
WRAP(int, pipe, (int ends[2]), (ends), EMFILE, ENFILE)
WRAP(int, poll, (struct pollfd * fds, nfds_t count, int ms), (fds, count, ms),
    EINTR, EAGAIN, ENOMEM)
WRAP(ssize_t, pread, (int fd, void *buffer, size_t size, off_t offset),
    (fd, buffer, size, offset), EINTR, EIO)
WRAP(ssize_t, pwrite, (int fd, const void *buffer, size_t size, off_t offset),
    (fd, buffer, size, offset), EINTR, EIO, ENOSPC)
WRAP(ssize_t, read, (int fd, void *buffer, size_t size), (fd, buffer, size),
    EINTR, EAGAIN, EIO)
WRAP(ssize_t, recv, (int fd, void *buffer, size_t size, int flags),
    (fd, buffer, size, flags), EINTR, EAGAIN, ECONNRESET, ENOMEM)
WRAP(ssize_t, recvmsg, (int fd, struct msghdr *message, int flags),
    (fd, message, flags), EINTR, EAGAIN, ECONNREFUSED, ENOMEM)
WRAP(ssize_t, send, (int fd, const void *buffer, size_t size, int flags),
    (fd, buffer, size, flags), EINTR, EAGAIN, EPIPE, ENOBUFS)
WRAP(ssize_t, sendmsg, (int fd, const struct msghdr *message, int flags),
    (fd, message, flags), EINTR, EAGAIN, ECONNREFUSED, ENOBUFS)
WRAP(int, setsockopt,
    (int fd, int level, int name, const void *value, socklen_t size),
    (fd, level, name, value, size), ENOBUFS, ENOPROTOOPT)
WRAP(int, shutdown, (int fd, int how), (fd, how), ENOTCONN)
WRAP(int, socket, (int domain, int type, int protocol),
    (domain, type, protocol), EMFILE, ENFILE, ENOBUFS)

/* Whoever hears this must not close it again: it is closed. */
int __wrap_close(int fd);
int __wrap_close(int fd) {
    int error = MUST_FAIL("close", EINTR, EIO), result = close(fd);

    return error ? errno = error, -1 : result;
}

/* One byte is a doorbell's ring: EAGAIN means that it has been rung. */
ssize_t __wrap_write(int fd, const void *buffer, size_t size);
ssize_t __wrap_write(int fd, const void *buffer, size_t size) {
    int error = size > 1 ? MUST_FAIL("write", EINTR, EAGAIN, EIO, ENOSPC) : 0;

    mini_test_bell_rings += size == 1;
    return error ? errno = error, -1 : write(fd, buffer, size);
}

int __wrap_openat(int dir, const char *path, int flags, ...);
int __wrap_openat(int dir, const char *path, int flags, ...) {
    int error = MUST_FAIL("openat", EINTR, EMFILE, ENOENT, ENOMEM);
    va_list arguments;

    if (error) return errno = error, -1;
    va_start(arguments, flags);
    mode_t mode = (mode_t)va_arg(arguments, unsigned);

    va_end(arguments);
    return openat(dir, path, flags, mode);
}

/* These say their error instead of errno. */
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
    void *(*start)(void *), void *argument);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
    void *(*start)(void *), void *argument) {
    int error = MUST_FAIL("pthread_create", EAGAIN);

    if (!error) error = pthread_create(thread, attributes, start, argument);
    threads += error == 0;
    return error;
}

int __wrap_pthread_join(pthread_t thread, void **result);
int __wrap_pthread_join(pthread_t thread, void **result) {
    threads--;
    return pthread_join(thread, result);
}

int __wrap_getaddrinfo(const char *host, const char *service,
    const struct addrinfo *hints, struct addrinfo **found);
int __wrap_getaddrinfo(const char *host, const char *service,
    const struct addrinfo *hints, struct addrinfo **found) {
    int error = MUST_FAIL("getaddrinfo", EADDRNOTAVAIL);

    if (error) return EAI_AGAIN;
#ifdef __GLIBC__ /* each is a block of its own there, and freed by itself */
    if (strcmp(host, "three.example") == 0) {
        /* RFC 5737: nobody's */
        getaddrinfo("192.0.2.1", service, hints, found);
        found = &(*found)->ai_next;
        getaddrinfo("192.0.2.1", service, hints, found);
        (*found)->ai_family = AF_UNSPEC; /* no machine has these */
        found = &(*found)->ai_next;
        getaddrinfo("127.0.0.1", service, hints, found);
        return getaddrinfo("127.0.0.2", service, hints, &(*found)->ai_next);
    }
#endif
    return getaddrinfo(host, service, hints, found);
}

/* Those that cannot fail. */
pid_t __wrap_getpid(void);
pid_t __wrap_getpid(void) {
    if (mini_test_before_call) mini_test_before_call("getpid");
    return getpid();
}

int __wrap_sched_yield(void);
int __wrap_sched_yield(void) {
    if (mini_test_before_call) mini_test_before_call("sched_yield");
    return sched_yield();
}

#if defined(__linux__) && defined(_GNU_SOURCE)
#include <sys/eventfd.h>
#include <sys/sendfile.h>

WRAP(int, accept4,
    (int fd, struct sockaddr *address, socklen_t *size, int flags),
    (fd, address, size, flags), EINTR, EAGAIN, ECONNABORTED, EMFILE, ENOBUFS)
WRAP(int, eventfd, (unsigned count, int flags), (count, flags), EMFILE, ENFILE,
    ENOMEM)
WRAP(int, eventfd_read, (int fd, eventfd_t *value), (fd, value), EAGAIN)
int __wrap_eventfd_write(int fd, eventfd_t value);
int __wrap_eventfd_write(int fd, eventfd_t value) {
    mini_test_bell_rings++;
    return eventfd_write(fd, value);
}
int __wrap_ppoll(struct pollfd *fds, nfds_t count, const struct timespec *limit,
    const sigset_t *mask);
int __wrap_ppoll(struct pollfd *fds, nfds_t count, const struct timespec *limit,
    const sigset_t *mask) {
    int error = MUST_FAIL("ppoll", EINTR, EAGAIN, ENOMEM);
    long long ns = limit ? limit->tv_sec * 1000000000LL + limit->tv_nsec : 0;

    mini_test_polls++;
    if (ns > mini_test_longest_wait) mini_test_longest_wait = ns;
    return error ? errno = error, -1 : ppoll(fds, count, limit, mask);
}
WRAP(int, sched_getaffinity, (pid_t process, size_t size, cpu_set_t *set),
    (process, size, set), EINVAL)
/* A pin that cannot be taken back is: the tests that follow want all CPUs. */
int __wrap_sched_setaffinity(pid_t process, size_t size, const cpu_set_t *set);
int __wrap_sched_setaffinity(pid_t process, size_t size, const cpu_set_t *set) {
    int error = MUST_FAIL("sched_setaffinity", EINVAL, EPERM);
    int result = 0;
    if (!error || CPU_COUNT(set) > 1)
        result = sched_setaffinity(process, size, set);
    return error ? errno = error, -1 : result;
}
WRAP(ssize_t, sendfile, (int out, int in, off_t *offset, size_t count),
    (out, in, offset, count), EINTR, EAGAIN, EIO, ENOMEM)
#endif

#endif
