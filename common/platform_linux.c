/* SPDX-License-Identifier: MIT */
/* The platform layer of Linux: eventfd, ppoll, accept4, CPU affinity. */
#include "platform.h"

#include <errno.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

int mini_poll_fds(struct pollfd *fds, nfds_t count, uint64_t ns) {
    struct timespec limit = {.tv_sec = (time_t)(ns / 1000000000u),
        .tv_nsec = (long)(ns % 1000000000u)};
    int ready = ppoll(fds, count, ns == MINI_FOREVER ? NULL : &limit, NULL);
    return ready < 0 ? -errno : ready;
}

int mini_bell_open(struct mini_bell *bell) {
    bell->wait_fd = bell->ring_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return bell->wait_fd < 0 ? -errno : 0;
}

void mini_bell_close(struct mini_bell *bell) { close(bell->wait_fd); }

void mini_bell_ring(struct mini_bell *bell) {
    eventfd_write(bell->ring_fd, 1); /* a full counter is a rung bell, too */
}

void mini_bell_clear(struct mini_bell *bell) {
    eventfd_t rings;
    eventfd_read(bell->wait_fd, &rings);
}

static _Thread_local cpu_set_t before_pin;

unsigned mini_cpu_count(void) {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) < 0)
        return 1; /* more CPUs than a cpu_set_t can name */
    return (unsigned)CPU_COUNT(&set);
}

void mini_pin(unsigned index) {
    cpu_set_t one;
    size_t cpu = 0;
    if (sched_getaffinity(0, sizeof before_pin, &before_pin) < 0) return;
    index %= (unsigned)CPU_COUNT(&before_pin);
    while (!CPU_ISSET(cpu, &before_pin) || index-- > 0) cpu++;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    sched_setaffinity(0, sizeof one, &one);
}

void mini_unpin(void) {
    /* without a pin the set is empty, and the call is refused */
    sched_setaffinity(0, sizeof before_pin, &before_pin);
    CPU_ZERO(&before_pin);
}

int mini_accept_fd(int listener) {
    return accept4(listener, NULL, NULL, SOCK_CLOEXEC);
}

long mini_sendfile(int out, int file, int64_t offset, size_t length) {
    off_t at = offset;
    return sendfile(out, file, &at, length);
}

const int mini_reuseport = SO_REUSEPORT;
