/* SPDX-License-Identifier: MIT */
/**
 * @file
 * Streams: one operation of the kernel's, many results. Here, connections.
 *
 * A multishot accept keeps taking connections while the program is busy; they
 * wait in the stream. At MINI_STREAM_HIGH of them it stops, and starts again
 * when they are used up: so a slow program leaves the rest to the backlog of
 * the listening socket. Where there is no multishot, each one is asked for.
 *
 * - The stream is the caller's; mini_accept_end() before its memory goes.
 * - One task at a time awaits it.
 *
 * @planned{G5.4} An exhausted buffer ring delays receivers; all go on when
 * buffers come back, none starve, no buffer leaks.
 */
#pragma once

#include "io.h"

/** Connections that wait in a stream before it stops taking more. */
#define MINI_STREAM_HIGH 64

/** A stream of connections. */
struct mini_accept_stream {
    struct mini_io io; /**< the multishot accept */
    struct mini_future future; /**< the wait for one, or for the end */
    struct mini_task *task; /**< who waits; NULL: nobody */
    int *fds; /**< connections that nobody has asked for yet */
    size_t first, count, room; /**< of fds: next to be given out, end, space */
    long error; /**< to be told next */
};

/** Makes SLOT a stream of the listening socket FD's connections. */
void mini_accept_stream(struct mini_accept_stream *slot, int fd);
/** Waits for the next connection; its descriptor, closed on exec, or the errno
 * of accept(2), -EMFILE for instance: the stream goes on when asked again.
 * Cancel leaves connections in the stream. */
struct mini_future *mini_accept_next(struct mini_accept_stream *stream);
/** Ends the stream, closes what nobody has asked for, frees its memory; 0. It
 * does so even if cancelled. The listening socket stays open. */
struct mini_future *mini_accept_end(struct mini_accept_stream *stream);
