/* SPDX-License-Identifier: MIT */
/* The simulated kernel: descriptors, bells, sockets; poll(2) and the system
 * calls of the poll backend. ring.c has io_uring. See kernel.h. */
#include "kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>

void *__real_malloc(size_t size); /* not counted: it is not the program's */
void __real_free(void *block);

static struct object *table[DESCRIPTORS], *objects;
static unsigned is_open, limit, ports;

/* ---- descriptors ---- */

static struct object *new_object(enum kind kind) {
    struct object *object = __real_malloc(sizeof *object);
    *object = (struct object){.kind = kind, .next = objects};
    object->room = 1 + sim_random(sim_chance(4) ? sizeof object->bytes : 100);
    return objects = object;
}

static int new_fd(struct object *object) {
    int fd = 3;
    if (sim_fault("no descriptor: EMFILE")) return -EMFILE;
    if (is_open >= limit) return sim_faults++, -EMFILE;
    while (table[fd]) fd++;
    SIM_CHECK(++is_open < DESCRIPTORS - 3, "out of descriptors");
    table[fd] = object;
    return fd;
}

struct object *sim_object(int fd) {
    SIM_CHECK(fd >= 0 && fd < DESCRIPTORS && table[fd],
        "descriptor %d is used, but is not open", fd);
    return table[fd];
}

void sim_kernel_limit(unsigned count) { limit = is_open + count; }

void sim_kernel_start(void) {
    while (objects) {
        struct object *next = objects->next;
        __real_free(objects);
        objects = next;
    }
    memset(table, 0, sizeof table);
    is_open = ports = 0;
    limit = DESCRIPTORS;
    sim_rings_start();
}

void sim_kernel_check(void) {
    for (int fd = 0; fd < DESCRIPTORS; fd++)
        SIM_CHECK(!table[fd], "descriptor %d is left open", fd);
}

/* ---- what can be done with them ---- */

static bool is_gone(struct object *end) {
    return !end->peer || end->peer->closed;
}

short sim_events(struct object *o) {
    bool in = o->count > 0, out = false;
    if (o->kind == STREAM) {
        in |= o->end || o->reset;
        out = o->error || o->shut || o->reset || is_gone(o) ||
            o->peer->count < o->peer->room;
    }
    return (short)((in ? POLLIN : 0) | (out ? POLLOUT : 0) |
        (o->reset ? POLLERR | POLLHUP : 0));
}

static size_t some_of(size_t length) {
    return length > 1 && sim_fault("short transfer")
        ? 1 + sim_random((uint32_t)length - 1)
        : length;
}

long sim_recv(struct object *o, char *buffer, size_t length) {
    if (o->reset) return -ECONNRESET;
    if (o->count == 0) return o->end ? 0 : -EAGAIN;
    length = some_of(length < o->count ? length : o->count);
    for (size_t i = 0; i < length; i++) buffer[i] = o->bytes[i];
    memmove(o->bytes, o->bytes + length, o->count -= length);
    return (long)length;
}

long sim_send(struct object *o, const char *buffer, size_t length) {
    if (o->reset) return -ECONNRESET;
    if (o->shut || is_gone(o)) return -EPIPE;
    size_t room = o->peer->room - o->peer->count;
    if (room == 0) return -EAGAIN;
    if (sim_fault("the network resets a connection")) {
        o->reset = o->peer->reset = true;
        return -ECONNRESET;
    }
    length = some_of(length < room ? length : room);
    memcpy(o->peer->bytes + o->peer->count, buffer, length);
    o->peer->count += length;
    return (long)length;
}

static void hang_up(struct object *o) {
    o->closed = true;
    if (o->kind != STREAM || !o->peer) return;
    o->peer->end = true;
    o->peer->reset |= o->count > 0; /* what nobody will read */
}

long sim_accept(struct object *o) {
    SIM_CHECK(o->kind == LISTENER, "accept on what does not listen");
    if (o->count == 0) return -EAGAIN;
    int fd = new_fd(o->backlog[0]);
    if (fd < 0) return fd;
    memmove(o->backlog, o->backlog + 1, --o->count * sizeof *o->backlog);
    if (!sim_fault("a connection is aborted")) return fd;
    hang_up(table[fd]);
    table[fd] = NULL;
    is_open--;
    return -ECONNABORTED;
}

long sim_connect(struct object *o, const void *address) {
    struct sockaddr_in to;
    struct object *listener = NULL;
    memcpy(&to, address, sizeof to);
    for (struct object *any = objects; any; any = any->next)
        if (any->kind == LISTENER && !any->closed && any->count < BACKLOG &&
            any->port == ntohs(to.sin_port) && (!listener || sim_chance(2)))
            listener = any;
    if (!listener) return -ECONNREFUSED;
    o->peer = listener->backlog[listener->count++] = new_object(STREAM);
    o->peer->peer = o;
    return 0;
}

long sim_shutdown(struct object *o) {
    o->shut = true;
    if (o->peer) o->peer->end = true;
    return o->peer ? 0 : -ENOTCONN;
}

long sim_close(int fd) {
    struct object *o = sim_object(fd);
    SIM_CHECK(o->users == 0 || o->others > 0,
        "closed while a request is under way: %d", fd);
    table[fd] = NULL;
    is_open--;
    if (o->others > 0) return o->others--, 0;
    hang_up(o);
    for (; o->kind == LISTENER && o->count > 0; o->count--)
        o->backlog[o->count - 1]->count = 1, hang_up(o->backlog[o->count - 1]);
    return 0;
}

/* ---- the platform, in place of platform_linux.c ---- */

struct polled {
    struct pollfd *fds;
    nfds_t count;
};

static bool is_any_ready(void *arg) {
    struct polled *set = arg;
    bool any = false;
    for (nfds_t i = 0; i < set->count; i++) {
        struct pollfd *fd = &set->fds[i];
        fd->revents =
            sim_events(sim_object(fd->fd)) & (fd->events | POLLERR | POLLHUP);
        any |= fd->revents != 0;
    }
    return any;
}

int mini_poll_fds(struct pollfd *fds, nfds_t count, uint64_t ns) {
    struct polled set = {fds, count};
    int ready = 0;
    if (sim_fault("poll: EINTR")) return -EINTR;
    if (ns > 0)
        sim_wait("poll", is_any_ready, &set, ns);
    else
        sim_point("poll");
    is_any_ready(&set);
    for (nfds_t i = 0; i < count; i++) ready += fds[i].revents != 0;
    return ready;
}

int mini_bell_open(struct mini_bell *bell) {
    bell->wait_fd = bell->ring_fd = new_fd(new_object(BELL));
    return bell->wait_fd < 0 ? bell->wait_fd : 0;
}

void mini_bell_close(struct mini_bell *bell) { sim_close(bell->wait_fd); }

void mini_bell_ring(struct mini_bell *bell) {
    sim_point("ring the bell");
    sim_object(bell->ring_fd)->count = 1;
    sim_object(bell->ring_fd)->rings++;
}

void mini_bell_clear(struct mini_bell *bell) {
    sim_point("clear the bell");
    sim_object(bell->wait_fd)->count = 0;
}

unsigned mini_cpu_count(void) { return 2; }
void mini_pin(unsigned index) { (void)index; }
void mini_unpin(void) {}
const int mini_reuseport = SO_REUSEPORT;

static int as_call(const char *name, int fd, long result) {
    sim_trace("%s of %d: %ld", name, fd, result);
    sim_point(name);
    if (result < 0) errno = (int)-result;
    return result < 0 ? -1 : (int)result;
}

int mini_accept_fd(int listener) {
    if (sim_fault("accept: EINTR")) return as_call("accept", listener, -EINTR);
    return as_call("accept", listener, sim_accept(sim_object(listener)));
}

long mini_sendfile(int out, int file, int64_t offset, size_t length) {
    (void)out, (void)file, (void)offset, (void)length;
    return as_call("sendfile", out, -ENOSYS);
}

/* ---- the system calls that the runtime makes by itself ---- */

ssize_t __wrap_recv(int fd, void *buffer, size_t length, int flags) {
    (void)flags;
    if (sim_fault("recv: EINTR")) return as_call("recv", fd, -EINTR);
    if (sim_fault("recv: EAGAIN")) return as_call("recv", fd, -EAGAIN);
    return as_call("recv", fd, sim_recv(sim_object(fd), buffer, length));
}

ssize_t __wrap_send(int fd, const void *buffer, size_t length, int flags) {
    (void)flags;
    if (sim_fault("send: EINTR")) return as_call("send", fd, -EINTR);
    if (sim_fault("send: EAGAIN")) return as_call("send", fd, -EAGAIN);
    return as_call("send", fd, sim_send(sim_object(fd), buffer, length));
}

/* Of a socket that does not block: the answer may come later. */
int __wrap_connect(int fd, const struct sockaddr *address, socklen_t length) {
    (void)length;
    long result = sim_connect(sim_object(fd), address);
    if (sim_chance(2)) return as_call("connect", fd, result);
    sim_object(fd)->error = (int)-result;
    return as_call("connect", fd, -EINPROGRESS);
}

int __wrap_getsockopt(
    int fd, int level, int option, void *value, socklen_t *length) {
    (void)level, (void)option;
    memcpy(value, &sim_object(fd)->error, *length);
    return as_call("getsockopt", fd, 0);
}

int __wrap_shutdown(int fd, int how) {
    (void)how;
    return as_call("shutdown", fd, sim_shutdown(sim_object(fd)));
}

int __wrap_close(int fd) { return as_call("close", fd, sim_close(fd)); }

int __wrap_fcntl(int fd, int command, ...) {
    struct object *o = sim_object(fd);
    if (command != F_DUPFD_CLOEXEC) return command == F_GETFL ? O_RDWR : 0;
    int other = new_fd(o);
    if (other >= 0) o->others++;
    return as_call("dup", fd, other);
}

int __wrap_socket(int domain, int type, int protocol) {
    (void)domain, (void)type, (void)protocol;
    return as_call("socket", -1, new_fd(new_object(STREAM)));
}

int __wrap_setsockopt(
    int fd, int level, int option, const void *value, socklen_t length) {
    (void)level, (void)option, (void)value, (void)length;
    return sim_object(fd) ? 0 : -1;
}

int __wrap_bind(int fd, const struct sockaddr *address, socklen_t length) {
    struct sockaddr_in to;
    memcpy(&to, address, length);
    sim_object(fd)->port = to.sin_port ? ntohs(to.sin_port) : 1000 + ++ports;
    return 0;
}

int __wrap_listen(int fd, int backlog) {
    (void)backlog;
    sim_object(fd)->kind = LISTENER;
    return 0;
}

int __wrap_getsockname(int fd, struct sockaddr *address, socklen_t *length) {
    struct sockaddr_in here = {.sin_family = AF_INET,
        .sin_port = htons((uint16_t)sim_object(fd)->port)};
    memcpy(address, &here, *length = sizeof here);
    return 0;
}

int __wrap_getaddrinfo(const char *host, const char *service,
    const struct addrinfo *hints, struct addrinfo **found) {
    static struct sockaddr_in address;
    static struct addrinfo answer = {.ai_family = AF_INET,
        .ai_addr = (struct sockaddr *)&address,
        .ai_addrlen = sizeof address};
    (void)host, (void)hints;
    address.sin_port = htons((uint16_t)atoi(service));
    *found = &answer;
    return 0;
}

void __wrap_freeaddrinfo(struct addrinfo *found) { (void)found; }
