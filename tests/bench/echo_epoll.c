/* SPDX-License-Identifier: MIT */
/* An echo server as a loop over epoll by hand: two system calls a request, and
 * a third for all that are ready. */
#include "listener.h"

#include <errno.h>
#include <sys/epoll.h>

struct connection {
    int fd;
    size_t first, last; /* of the buffer: what is still to be sent */
    char buffer[BUFFER];
};

static int epoll;

static void watch(struct connection *self, int how, unsigned events) {
    struct epoll_event event = {.events = events, .data.ptr = self};
    epoll_ctl(epoll, how, self->fd, &event);
}

static void accept_all(int listener) {
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >=
        0) {
        struct connection *self = malloc(sizeof *self);
        if (!self) exit(1);
        self->fd = fd;
        self->first = self->last = 0;
        watch(self, EPOLL_CTL_ADD, EPOLLIN);
    }
}

static void end(struct connection *self) {
    close(self->fd);
    free(self);
}

/* What does not go out at once goes when there is room. */
static void send_rest(struct connection *self) {
    size_t before = self->first;
    ssize_t count = send(self->fd, self->buffer + self->first,
        self->last - self->first, MSG_NOSIGNAL);
    if (count < 0 && errno != EAGAIN) {
        end(self);
        return;
    }
    if (count > 0) self->first += (size_t)count;
    if (self->first < self->last)
        watch(self, EPOLL_CTL_MOD, EPOLLOUT);
    else if (before > 0)
        watch(self, EPOLL_CTL_MOD, EPOLLIN);
}

static void echo(struct connection *self) {
    ssize_t count = recv(self->fd, self->buffer, sizeof self->buffer, 0);
    if (count < 0 && errno == EAGAIN) return;
    if (count <= 0) {
        end(self);
        return;
    }
    self->first = 0;
    self->last = (size_t)count;
    send_rest(self);
}

int main(void) {
    struct epoll_event events[512];
    struct connection listener = {.fd = open_listener(SOCK_NONBLOCK)};
    epoll = epoll_create1(EPOLL_CLOEXEC);
    watch(&listener, EPOLL_CTL_ADD, EPOLLIN);
    for (;;) {
        int count = epoll_wait(epoll, events, 512, -1);
        for (int i = 0; i < count; i++) {
            struct connection *self = events[i].data.ptr;
            if (self == &listener)
                accept_all(listener.fd);
            else if (events[i].events & EPOLLOUT)
                send_rest(self);
            else
                echo(self);
        }
    }
}
