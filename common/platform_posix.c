/* SPDX-License-Identifier: MIT */
/* The platform layer of any POSIX.1-2008 system: pipe, poll, no pinning. */
#include "platform.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/socket.h>
#include <unistd.h>

int mini_poll_fds(struct pollfd *fds, nfds_t count, uint64_t ns) {
    uint64_t ms = ns / 1000000u + (ns % 1000000u != 0); /* up: never early */
    int limit = ns == MINI_FOREVER ? -1 : ms > INT_MAX ? INT_MAX : (int)ms;
    int ready = poll(fds, count, limit);
    return ready < 0 ? -errno : ready;
}

static void set_flags(int fd, int status) {
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    if (status) fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | status);
}

int mini_bell_open(struct mini_bell *bell) {
    int ends[2];
    if (pipe(ends) < 0) return -errno;
    set_flags(ends[0], O_NONBLOCK);
    set_flags(ends[1], O_NONBLOCK);
    *bell = (struct mini_bell){.wait_fd = ends[0], .ring_fd = ends[1]};
    return 0;
}

void mini_bell_close(struct mini_bell *bell) {
    close(bell->wait_fd);
    close(bell->ring_fd);
}

void mini_bell_ring(struct mini_bell *bell) {
    ssize_t written = write(bell->ring_fd, "!", 1);
    (void)written; /* a full pipe is a rung bell, too */
}

void mini_bell_clear(struct mini_bell *bell) {
    char rings[64];
    while (read(bell->wait_fd, rings, sizeof rings) == (ssize_t)sizeof rings)
        ;
}

unsigned mini_cpu_count(void) {
    long count = sysconf(_SC_NPROCESSORS_ONLN);
    return count < 1 ? 1 : (unsigned)count;
}

void mini_pin(unsigned index) { (void)index; }

void mini_unpin(void) {}

int mini_accept_fd(int listener) {
    int fd = accept(listener, NULL, NULL);
    if (fd >= 0) set_flags(fd, 0);
    return fd;
}

long mini_sendfile(int out, int file, int64_t offset, size_t length) {
    char part[16384];
    ssize_t got =
        pread(file, part, length < sizeof part ? length : sizeof part, offset);
    return got <= 0 ? got : send(out, part, (size_t)got, MSG_NOSIGNAL);
}

const int mini_reuseport = -1;
