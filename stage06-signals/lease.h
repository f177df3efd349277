/* SPDX-License-Identifier: MIT */
/**
 * @file
 * Buffers on lease: memory for what is received, chosen when it comes.
 *
 * A connection that waits needs no buffer. The shard has the buffers; with
 * io_uring the kernel takes one from a ring when data is there. Whoever gets a
 * buffer uses it in place and gives it back; the order does not matter. A shard
 * has options.buffers of them; peers that send but never read may hold them
 * all. Their address space is reserved at once; the system provides the memory
 * of each when it is first used.
 *
 * - A buffer comes with the operation slot that sends its content, so an idle
 *   connection pays for neither.
 * - Owner shard's thread only: a buffer goes back to the shard it came from.
 *
 * Source: io_uring's rings of buffers, io_uring_register_buf_ring(3).
 *
 * @guarantee{G5.4} An exhausted buffer ring delays receivers; all go on when
 * buffers come back, none starve, no buffer leaks.
 */
#pragma once

#include "executor.h"

/** Bytes that a buffer holds. */
#define MINI_BUFFER_BYTES 4096
/** Buffers of a shard if options.buffers is 0. */
#define MINI_BUFFERS 16384
/** The most of them that the kernel has at a time. */
#define MINI_BUFFERS_LENT 512

/** A buffer. */
struct mini_buffer {
    struct mini_io io; /**< for whoever has it */
    struct mini_buffer *next; /**< in a stream */
    size_t length; /**< bytes received */
    char data[MINI_BUFFER_BYTES]; /**< what was received */
};

/** All buffers of one shard. */
struct mini_buffers {
    unsigned used; /**< how many, from the first on, were ever needed */
    unsigned lent; /**< how many the kernel has, with a buffer ring */
    unsigned free_count; /**< how many of them are neither lent nor leased */
    /** Those, the last to be taken first. Not linked: to give a buffer back and
     * to lend it again touches nothing of it, and its cache line is gone. */
    struct mini_buffer **free;
    struct mini_list starved; /**< streams that wait for one */
    struct mini_buffer all[]; /**< the buffers; FREE's memory is behind them */
};

/** Gives BUFFER back; its operation must not be under way. Streams that wait
 * for a buffer try again in the next turn. */
void mini_lease_return(struct mini_buffer *buffer);

/** Makes the shard's buffers, if it has none yet. 0 or -ENOMEM. */
int mini_buffers_need(struct mini_io_shard *io);
/** Frees them, if there are any. */
void mini_buffers_destroy(struct mini_io_shard *io);
/** Once a turn: with a buffer ring lends free buffers to the kernel, but at
 * most half of all, for a flood on one stream may fill all that the kernel has
 * before the stream can be stopped. Unless all buffers are in use, streams that
 * wait for one try again, as many as may find one; says how many. */
unsigned mini_buffers_lend(struct mini_io_shard *io);
/** A free buffer, or NULL. */
struct mini_buffer *mini_buffer_take(struct mini_io_shard *io);
/** For backends: BUFFER now holds LENGTH bytes for OPERATION, which is about to
 * complete; if that is not above 0, BUFFER is free again. */
void mini_buffer_filled(
    struct mini_io *operation, struct mini_buffer *buffer, long length);
