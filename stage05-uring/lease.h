/* SPDX-License-Identifier: MIT */
/**
 * @file
 * Buffers that are leased: memory for what was received, chosen when it comes.
 *
 * A connection that waits needs no buffer. The shard has some; with io_uring
 * the kernel takes one from a ring when data is there. Who is given a buffer
 * uses it in place and gives it back, in any order. There are options.buffers
 * of them: peers that send but never read may hold as many. The address space
 * for all is had at once; the system gives the memory of each when it is first
 * used.
 *
 * - A buffer comes with an operation slot, to send what is in it: so an idle
 *   connection pays for neither.
 * - Owner shard's thread only: a buffer goes back where it came from.
 *
 * Source: io_uring's rings of buffers, io_uring_register_buf_ring(3).
 *
 * @guarantee{G5.4} An exhausted buffer ring delays receivers; all go on when
 * buffers come back, none starve, no buffer leaks.
 */
#pragma once

#include "io.h"

/** Bytes that a buffer holds. */
#define MINI_BUFFER_BYTES 4096
/** Most buffers of a shard, without options.buffers. */
#define MINI_BUFFERS 16384
/** Most of them that the kernel has at a time. */
#define MINI_BUFFERS_LENT 512

/** A buffer. */
struct mini_buffer {
    struct mini_io io; /**< for whoever has it */
    struct mini_buffer *next; /**< in a stream, or among those that are free */
    uint32_t length; /**< bytes received */
    uint32_t id; /**< its index among all of the shard */
    char data[MINI_BUFFER_BYTES]; /**< what was received */
};

/** All buffers of one shard. */
struct mini_buffers {
    unsigned most; /**< how many there are */
    unsigned used; /**< how many, from the first on, were ever needed */
    unsigned lent; /**< how many the kernel has, with a buffer ring */
    struct mini_buffer *free; /**< used ones that nobody has, nor the kernel */
    struct mini_list starved; /**< streams that found none */
    struct mini_buffer all[]; /**< the buffers */
};

/** Gives BUFFER back, whose operation is not under way; streams that found none
 * try again in the next turn. */
void mini_lease_return(struct mini_buffer *buffer);

/** Makes the shard's buffers, if it has none yet. 0 or -ENOMEM. */
int mini_buffers_need(struct mini_io_shard *io);
/** Frees them, if there are any. */
void mini_buffers_destroy(struct mini_io_shard *io);
/** Once a turn: with a buffer ring lends free buffers to the kernel, at most
 * half of all: if as much comes for one stream, the kernel fills what it has
 * before that can be stopped. If there are some, streams that found none try
 * again; says how many. */
unsigned mini_buffers_lend(struct mini_io_shard *io);
/** A free buffer, or NULL. */
struct mini_buffer *mini_buffer_take(struct mini_io_shard *io);
/** Backends: LENGTH bytes in BUFFER have come for OPERATION, which is about to
 * complete. */
void mini_buffer_filled(
    struct mini_io *operation, struct mini_buffer *buffer, size_t length);
