/* SPDX-License-Identifier: MIT */
/* The TCP server: listen, accept, hand over. See server.h. */
#include "server.h"

#include "smp.h"
#include "timer.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

#define BACKLOG 4096
/* With MINI_ACCEPT_SPREAD this many connections at a time are on their way to a
 * shard: each takes as long as that shard needs to wake up. */
#define ACCEPTORS 8
/* After an error that may pass, such as EMFILE: look again after this. */
#define PAUSE (10 * MINI_MS)

/* ---- listening ---- */

static int bind_to(const struct addrinfo *to, bool reuseport) {
    int on = 1, fd = socket(to->ai_family, to->ai_socktype, 0);
    if (fd >= 0 && fcntl(fd, F_SETFD, FD_CLOEXEC) == 0 &&
        (to->ai_socktype != SOCK_STREAM ||
            setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0) &&
        (!reuseport ||
            setsockopt(fd, SOL_SOCKET, mini_reuseport, &on, sizeof on) == 0) &&
        bind(fd, to->ai_addr, to->ai_addrlen) == 0)
        return fd;
    int error = -errno;
    if (fd >= 0) close(fd);
    return error;
}

int mini_bind(const char *host, unsigned port, int type, bool reuseport) {
    struct addrinfo hints = {.ai_socktype = type}, *found;
    char service[16];
    int fd = -EADDRNOTAVAIL;
    if (port > 65535) return -EINVAL;
    snprintf(service, sizeof service, "%u", port);
    if (getaddrinfo(host ? host : "127.0.0.1", service, &hints, &found) != 0)
        return fd;
    for (struct addrinfo *next = found; next; next = next->ai_next)
        if (fd == -EADDRNOTAVAIL || fd == -EAFNOSUPPORT)
            fd = bind_to(next, reuseport);
    freeaddrinfo(found);
    return fd;
}

int mini_listen(const char *host, unsigned port, bool reuseport) {
    int on = 1, fd = mini_bind(host, port, SOCK_STREAM, reuseport);
    if (fd < 0) return fd;
    /* inherited by the connections */
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0 &&
        listen(fd, BACKLOG) == 0)
        return fd;
    int error = -errno;
    close(fd);
    return error;
}

int mini_port_of(int fd) {
    struct sockaddr_in6 address; /* its port is where IPv4's is */
    socklen_t length = sizeof address;
    if (getsockname(fd, (struct sockaddr *)&address, &length) < 0)
        return -errno;
    return ntohs(address.sin6_port);
}

/* ---- a connection ---- */

struct connection {
    struct mini_future future; /* awaits the program's, from the start on */
    int fd;
}; /* the program's frame follows */

static MINI_POLL(connection) {
    struct mini_future *child = future->child;
    if (child->poll(child, cx) == MINI_PENDING) return MINI_PENDING;
    close(MINI_SELF(struct connection)->fd); /* a socket's: does not block */
    atomic_fetch_sub(&mini_self->shard->connections, 1);
    return mini_ready(future, 0);
}

/* ---- accepting ---- */

/* Takes connections from a listening socket, one after the other. */
struct mini_acceptor {
    struct mini_future future;
    struct mini_remote remote; /* the shard that it runs on */
    const struct mini_server_options *options;
    int listener;
    struct mini_accept_stream stream;
    struct mini_sleep pause;
    struct mini_call call;
    int fd; /* the connection that is handed over */
};

/* On the shard that will serve it. */
static long adopt(void *arg) {
    struct mini_acceptor *from = arg;
    const struct mini_server_options *options = from->options;
    struct mini_task *task =
        mini_task_new(sizeof(struct connection) + options->frame);
    if (task) {
        struct connection *here = (struct connection *)(task + 1);
        (void)MINI_CALL(struct connection, here, connection, .fd = from->fd);
        here->future.child = options->serve(here + 1, from->fd, options->arg);
    } else {
        atomic_fetch_sub(&mini_self->shard->connections, 1);
    }
    return mini_detach(task);
}

/* The shard for the next connection, which counts there from now on. */
static unsigned choose_shard(struct mini_acceptor *self) {
    struct mini_smp *smp = mini_self->shard->smp;
    struct mini_shard *best = mini_self->shard;
    if (self->options->accept == MINI_ACCEPT_SPREAD)
        for (unsigned i = 0; i < smp->count; i++)
            if (atomic_load(&smp->shards[i].connections) <
                atomic_load(&best->connections))
                best = &smp->shards[i];
    atomic_fetch_add(&best->connections, 1);
    return best->index;
}

static bool is_the_peers(long error) {
    return error == -ECONNABORTED || error == -EPROTO || error == -EPERM;
}

/* Only these are final. For the rest accept(2) may report a lack of descriptors
 * or memory, or whatever is wrong with the network: all that may pass. */
static bool is_final(long error) {
    return error == -ECANCELED || error == -EBADF || error == -EINVAL ||
        error == -ENOTSOCK;
}

static MINI_POLL(acceptor_poll) {
    struct mini_acceptor *self = MINI_SELF(struct mini_acceptor);
    MINI_BEGIN;
    mini_accept_stream(&self->stream, self->listener);
    for (;;) {
        MINI_AWAIT(mini_accept_next(&self->stream));
        self->fd = (int)MINI_RESULT;
        if (is_final(MINI_RESULT)) break;
        if (MINI_RESULT < 0 && !is_the_peers(MINI_RESULT))
            MINI_AWAIT(mini_sleep(&self->pause, PAUSE));
        if (self->fd < 0) continue;
        MINI_AWAIT_SHIELDED(
            mini_submit_to(&self->call, choose_shard(self), adopt, self));
        if (MINI_RESULT < 0) close(self->fd);
    }
    MINI_AWAIT_SHIELDED(mini_accept_end(&self->stream));
    close(self->listener);
    MINI_END(self->fd);
}

/* ---- the server ---- */

/* For the next acceptor: a socket of its own, or a duplicate of the first: with
 * more entries than a process may have descriptors poll(2) is slower. */
static int open_listener(struct mini_server *server) {
    bool reuseport = server->options.accept == MINI_ACCEPT_REUSEPORT;
    if (reuseport || server->count == 0)
        return mini_listen(server->options.host, server->port, reuseport);
    int fd = fcntl(server->acceptors[0].listener, F_DUPFD_CLOEXEC, 0);
    return fd < 0 ? -errno : fd;
}

static int open_acceptor(struct mini_server *server, unsigned shard) {
    struct mini_acceptor *acceptor = &server->acceptors[server->count];
    int fd = open_listener(server);
    if (fd < 0) return fd;
    (void)MINI_CALL(struct mini_acceptor, acceptor, acceptor_poll,
        .options = &server->options, .listener = fd);
    mini_spawn_on(&acceptor->remote, shard, &acceptor->future);
    server->port = (unsigned)mini_port_of(fd); /* the next ones take the same */
    server->count++; /* even if the port is an errno: the caller closes FD */
    return (int)server->port < 0 ? (int)server->port : 0;
}

int mini_server_open(
    struct mini_server *server, const struct mini_server_options *options) {
    bool spread = options->accept == MINI_ACCEPT_SPREAD;
    unsigned count = spread ? ACCEPTORS : mini_shard_count();
    *server = (struct mini_server){.options = *options, .port = options->port};
    server->acceptors = calloc(count, sizeof *server->acceptors);
    int error = server->acceptors ? 0 : -ENOMEM;
    while (error == 0 && server->count < count)
        error =
            open_acceptor(server, spread ? mini_this_shard() : server->count);
    if (error == 0) return 0;
    while (server->count-- > 0)
        close(server->acceptors[server->count].listener);
    free(server->acceptors);
    return error;
}

static MINI_POLL(serve_poll) {
    struct mini_server *self = MINI_SELF(struct mini_server);
    unsigned pending = 0;
    for (unsigned i = 0; i < self->count; i++)
        pending += !mini_drive(&self->acceptors[i].remote.future, cx);
    if (pending > 0) return MINI_PENDING;
    for (unsigned i = 0; i < self->count; i++)
        if (!self->acceptors[i].future.resume) /* refused: it never began */
            close(self->acceptors[i].listener);
    long result = self->acceptors[0].remote.future.result;
    free(self->acceptors);
    return mini_ready(future, result);
}

struct mini_future *mini_serve(struct mini_server *server) {
    server->future = MINI_FUTURE(serve_poll, "mini_serve");
    return &server->future;
}
