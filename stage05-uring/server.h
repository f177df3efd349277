/* SPDX-License-Identifier: MIT */
/**
 * @file
 * A TCP server over all shards: listening sockets, and who takes connections.
 *
 * - MINI_ACCEPT_SPREAD: the calling shard accepts, and hands each connection to
 *   the shard with the fewest. The shares are even, whatever the peers do.
 * - MINI_ACCEPT_REUSEPORT: each shard has a listening socket of its own, and
 *   the kernel chooses one by a hash of the addresses. Nothing is handed over,
 *   but the shares are not even.
 *
 * A function of the program makes the future that serves a connection; it runs
 * as a task of the connection's shard. The descriptor is closed when that
 * future is READY.
 *
 * Sources: Seastar's listening sockets, which do both; SO_REUSEPORT of
 * socket(7).
 *
 * @guarantee{G5.5} Accept runs out of descriptors (EMFILE) without spinning or
 * dying, and goes on when there are some.
 *
 * @guarantee{G5.9} Peers that send one byte at a time, never read, half-close,
 * or reset do not stall others.
 */
#pragma once

#include "call.h"
#include "stream.h"

/** Who takes connections. */
enum mini_accept_policy { MINI_ACCEPT_SPREAD, MINI_ACCEPT_REUSEPORT };

/** How to serve. */
struct mini_server_options {
    const char *host; /**< a name or address to listen on; NULL: 127.0.0.1 */
    unsigned port; /**< 0: one that is free */
    enum mini_accept_policy accept; /**< who takes connections */
    size_t frame; /**< bytes of a connection's frame */
    /** Called on the shard that will serve: makes FRAME (not cleared) a future,
     * as MINI_CALL does, that serves the connection FD and does not close it.
     * The future's result is ignored. */
    struct mini_future *(*serve)(void *frame, int fd, void *arg);
    void *arg; /**< passed to SERVE, on all shards at once: read only */
};

/** A server. */
struct mini_server {
    struct mini_future future;
    struct mini_server_options options; /**< a copy */
    unsigned port; /**< the port it listens on, once it is open */
    unsigned count; /**< acceptors */
    struct mini_acceptor *acceptors; /**< they take the connections */
};

/** Opens a listening socket on the first address of HOST (NULL: 127.0.0.1) that
 * this machine has, and on PORT (0: a free one); its connections have
 * TCP_NODELAY. Any thread, also outside mini_run; blocks while it looks up a
 * name. Returns a descriptor, the caller's and closed on exec, or a negative
 * errno, such as -EADDRINUSE, -EACCES, -EMFILE, -EADDRNOTAVAIL (also for a name
 * that is not known), -EINVAL (a PORT above 65535), or -ENOPROTOOPT (REUSEPORT,
 * which POSIX alone does not offer). */
int mini_listen(const char *host, unsigned port, bool reuseport);
/** The same for a socket of TYPE SOCK_STREAM or SOCK_DGRAM, without
 * listen(2). */
int mini_bind(const char *host, unsigned port, int type, bool reuseport);
/** The port that the socket FD is bound to, or a negative errno. Any thread. */
int mini_port_of(int fd);

/** Opens the listening sockets, so that SERVER->port is known and peers can
 * connect. Blocks as mini_listen does. 0, -ENOMEM, or a negative errno as from
 * mini_listen. A server that was opened must be served. */
int mini_server_open(
    struct mini_server *server, const struct mini_server_options *options);
/** Takes connections until cancelled (-ECANCELED), or until each listening
 * socket has proved to be none (-EBADF, -EINVAL or -ENOTSOCK; the result is the
 * first one's); then closes them and frees what mini_server_open has made.
 * Connections go on: they are tasks of their shards. */
struct mini_future *mini_serve(struct mini_server *server);
