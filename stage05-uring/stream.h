/* SPDX-License-Identifier: MIT */
/**
 * @file
 * Streams: one request to the kernel, many results: connections, or what comes
 * over one.
 *
 * A multishot accept or recv goes on while the program is busy; its results
 * wait in the stream. At a high-water mark the stream stops it, and starts it
 * again when the results are used up: what a slow program does not take stays
 * in the backlog of the listening socket, or in the socket's own buffer. Each
 * result takes a request of its own where there is no multishot, while a peer
 * fills whole buffers (stream.c says why), and once it has hung up.
 *
 * - The stream is the caller's; await mini_accept_end() or mini_recv_end()
 *   before its memory goes.
 * - One task at a time awaits it. A cancelled wait (-ECANCELED) loses nothing:
 *   what has come, or still will, stays in the stream.
 * - Owner shard's thread only.
 *
 * Source: io_uring's multishot requests.
 */
#pragma once

#include "lease.h"

/** Connections that wait in a stream before it stops taking more. */
#define MINI_STREAM_HIGH 64
/** Buffers that wait in a stream before it stops receiving more. */
#define MINI_STREAM_HIGH_BUFFERS 8

/** A stream of connections. */
struct mini_accept_stream {
    struct mini_io io; /**< the multishot accept; its future awaits a result */
    int *fds; /**< the connections that wait, the oldest first */
};

/** Makes SLOT a stream of the listening socket FD's connections. */
void mini_accept_stream(struct mini_accept_stream *slot, int fd);
/** Waits for the next connection. Result: its descriptor, the caller's and
 * closed on exec, or -ENOMEM, or the errno of accept(2), such as -EMFILE. After
 * an error the stream goes on when asked again. */
struct mini_future *mini_accept_next(struct mini_accept_stream *stream);
/** Ends the stream, closes the connections that wait in it, frees its memory,
 * even if cancelled. Result: 0. The listening socket stays open. */
struct mini_future *mini_accept_end(struct mini_accept_stream *stream);

/** A stream of what comes over a connection, in leased buffers. */
struct mini_recv_stream {
    struct mini_io io; /**< the multishot recv; its future awaits a result */
    struct mini_buffer *lease; /**< the buffer given out last; at first NULL */
};

/** Makes SLOT a stream of what the socket FD receives. */
void mini_recv_stream(struct mini_recv_stream *slot, int fd);
/** Waits for the next bytes. Result: how many, and STREAM->lease holds them,
 * the caller's until mini_lease_return(); 0 at the end, or the errno of
 * recv(2): nothing more comes after either. -ENOMEM: no memory for the shard's
 * buffers. */
struct mini_future *mini_recv_next(struct mini_recv_stream *stream);
/** Ends the stream and gives back the buffers that wait in it, whose bytes are
 * lost, even if cancelled. Result: 0. The socket stays open. */
struct mini_future *mini_recv_end(struct mini_recv_stream *stream);
