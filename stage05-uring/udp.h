/* SPDX-License-Identifier: MIT */
/**
 * @file
 * Datagrams as futures.
 *
 * - The addresses and headers live in the slot: only the buffer is the
 *   caller's. The slot points into itself, so it must not be moved once it is
 *   made.
 * - Threads and cancel are as in io.h.
 * - IPv4 and IPv6; mini_bind() (server.h) opens a socket of either.
 */
#pragma once

#include "io.h"

/** A datagram on its way. */
struct mini_datagram {
    struct mini_io io; /**< the operation */
    /** What the system call is given, and what it gives back: once received,
     * `msg_namelen` is the length of PEER, and `msg_flags & MSG_TRUNC` says
     * that the datagram was longer than the buffer. */
    struct msghdr header;
    struct iovec part; /**< the buffer */
    struct sockaddr_storage peer; /**< from whom, or to whom */
};

/** Receives a datagram into BUFFER. Result: how many bytes (0: it was empty).
 * SLOT->peer and header describe it; what did not fit is lost. */
struct mini_future *mini_recv_from(
    struct mini_datagram *slot, int fd, void *buffer, size_t length);

/** Sends a datagram to ADDRESS, which is copied. Result: LENGTH; -EINVAL for an
 * address that is too long. */
struct mini_future *mini_send_to(struct mini_datagram *slot, int fd,
    const void *buffer, size_t length, const struct sockaddr *address,
    socklen_t address_length);
