/* SPDX-License-Identifier: MIT */
/**
 * @file
 * A TCP server over all shards: listening sockets, and who takes connections.
 *
 * - MINI_ACCEPT_SPREAD: the calling shard accepts and hands each connection to
 *   the shard with the fewest. Even, whatever the peers do.
 * - MINI_ACCEPT_REUSEPORT: each shard has a listening socket of its own, and the
 *   kernel chooses by a hash of the addresses. No hand-over, but not even.
 *
 * A connection is served by a future that a function of the program's makes, as
 * a task of its shard; the descriptor is closed when that future is READY.
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
    /** On the shard that will serve: makes FRAME (not cleared) a future, as
     * MINI_CALL does, that serves the connection FD and does not close it. */
    struct mini_future *(*serve)(void *frame, int fd, void *arg);
    void *arg; /**< for SERVE, on all shards */
};

/** A server. */
struct mini_server {
    struct mini_future future;
    struct mini_server_options options; /**< a copy */
    unsigned port; /**< the port it listens on, once it is open */
    unsigned count; /**< acceptors */
    struct mini_acceptor *acceptors; /**< who take connections */
};

/** Opens a listening socket on HOST (NULL: 127.0.0.1) and PORT (0: a free one).
 * Blocks while it looks up a name. A descriptor, or a negative errno:
 * -EADDRINUSE, -EACCES, -EADDRNOTAVAIL (also for a name that is not known). */
int mini_listen(const char *host, unsigned port, bool reuseport);
/** The same for a socket of TYPE SOCK_STREAM or SOCK_DGRAM, without listen(2). */
int mini_bind(const char *host, unsigned port, int type, bool reuseport);
/** The port that a socket is bound to, or a negative errno. */
int mini_port_of(int fd);

/** Opens the listening sockets, so that SERVER->port is known and peers can
 * connect. 0, or a negative errno as from mini_listen. A server that was opened
 * must be served. */
int mini_server_open(
    struct mini_server *server, const struct mini_server_options *options);
/** Takes connections until cancelled (-ECANCELED) or an error that does not
 * pass, then closes the listening sockets and frees what mini_server_open has
 * made. Connections go on: they are tasks of their shards. */
struct mini_future *mini_serve(struct mini_server *server);
