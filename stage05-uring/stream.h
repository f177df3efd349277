/* SPDX-License-Identifier: MIT */
/**
 * @file
 * Streams: one operation of the kernel's, many results. Connections, or what
 * comes over one.
 *
 * A multishot accept or recv goes on while the program is busy; what it has
 * brought waits in the stream. At its high-water mark it stops, and starts
 * again when that is used up: so a slow program leaves the rest to the backlog
 * of the listening socket, or to the socket's own buffer. Where there is no
 * multishot, each result is asked for; so is what a peer sends that fills whole
 * buffers.
 *
 * - The stream is the caller's; its end is to be awaited before its memory
 *   goes.
 * - One task at a time awaits it. Cancel of a wait (-ECANCELED) leaves in the
 *   stream what has come, or will.
 * - Owner shard's thread only.
 *
 * Source: io_uring's multishot requests.
 */
#pragma once

#include "lease.h"

/** Connections that a stream takes before it stops until they are used up. */
#define MINI_STREAM_HIGH 64
/** Buffers that wait in a stream before it stops receiving more. */
#define MINI_STREAM_HIGH_BUFFERS 8

/** A stream of connections. */
struct mini_accept_stream {
    struct mini_io io; /**< the multishot accept; its future: a wait for one */
    int *fds; /**< connections that nobody has asked for, and older ones */
    size_t first, room; /**< of fds: next to be given out, space */
};

/** Makes SLOT a stream of the listening socket FD's connections. */
void mini_accept_stream(struct mini_accept_stream *slot, int fd);
/** Waits for the next connection; its descriptor, the caller's and closed on
 * exec, or the errno of accept(2), -EMFILE for instance, or -ENOMEM: the stream
 * goes on when asked again. */
struct mini_future *mini_accept_next(struct mini_accept_stream *stream);
/** Ends the stream, closes what nobody has asked for, frees its memory; 0. It
 * does so even if cancelled. The listening socket stays open. */
struct mini_future *mini_accept_end(struct mini_accept_stream *stream);

/** A stream of what comes over a connection, in leased buffers. */
struct mini_recv_stream {
    struct mini_io io; /**< the multishot recv; its future: a wait for one */
    struct mini_buffer *lease; /**< the buffer given out last; at first NULL */
};

/** Makes SLOT a stream of what the socket FD receives. */
void mini_recv_stream(struct mini_recv_stream *slot, int fd);
/** Waits for the next bytes: how many, and STREAM->lease holds them, the
 * caller's until mini_lease_return(); 0 at the end, or the errno of recv(2),
 * and then nothing more comes. -ENOMEM: no memory for the shard's buffers. */
struct mini_future *mini_recv_next(struct mini_recv_stream *stream);
/** Ends the stream, gives back the buffers that nobody has asked for, with what
 * is in them; 0. It does so even if cancelled. The socket stays open. */
struct mini_future *mini_recv_end(struct mini_recv_stream *stream);
