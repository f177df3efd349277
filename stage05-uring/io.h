/* SPDX-License-Identifier: MIT */
/**
 * @file
 * I/O as futures: an operation is a value, a backend carries it out.
 *
 * - A slot holds one operation; it and its buffer are the backend's from the
 *   first poll until READY, whatever happens: a cancelled operation is READY
 *   only when the kernel has let go of both.
 * - The result is the system call's: a count, a descriptor, 0, or a negative
 *   errno. Short counts are normal; mini_send_all goes on by itself.
 * - Cancel asks the kernel to stop. If the operation was faster, its real
 *   result comes, never -ECANCELED: no byte and no descriptor is lost.
 * - Descriptors stay the caller's; one used by two shards is used by two. On
 *   the poll backend sockets that accept or connect become non-blocking.
 *
 * The backend is io_uring where the kernel lets us, else poll(2). MINI_IO=uring
 * or MINI_IO=poll in the environment forces one.
 *
 * @guarantee{G5.1} Every operation's result is the system call's: byte count,
 * descriptor or negative errno; short reads, end of file, resets included.
 *
 * @guarantee{G5.2} A cancelled operation touches its buffer no more once it is
 * READY; a completed one reports its real result, never -ECANCELED: no byte and
 * no descriptor is lost.
 *
 * @guarantee{G5.3} No operation is lost when the submission queue is full, the
 * completion queue overflows, or the kernel says EAGAIN, EBUSY or EINTR.
 *
 * @guarantee{G5.6} Where io_uring is refused or lacks a feature, the same
 * program works and says so once.
 *
 * @guarantee{G5.10} Under load, system calls are batched: fewer than one
 * io_uring_enter per request at 50 busy connections.
 *
 * @planned{G5.7} 10,000 connections open, work and close with no leak of memory
 * or descriptors, memory per idle connection stated and held.
 *
 * @planned{G5.8} The zero-copy paths copy nothing in user space; their buffers
 * stay untouched until the kernel's last notification.
 */
#pragma once

#include "executor.h"

#include <sys/socket.h>
#include <sys/types.h>

/** What a backend can do. */
enum mini_op {
    MINI_OP_ACCEPT,
    MINI_OP_CONNECT,
    MINI_OP_RECV,
    MINI_OP_SEND,
    MINI_OP_SHUTDOWN,
    MINI_OP_CLOSE,
    MINI_OP_READ,
    MINI_OP_WRITE,
    MINI_OP_READABLE
};

/** An operation. */
struct mini_io {
    struct mini_future future;
    struct mini_task *task; /**< woken at the end */
    /** Called instead, for each completion: must not block. */
    void (*notify)(struct mini_io *self, long result);
    union {
        void *buffer; /**< to be filled */
        const void *from; /**< to be sent, or the address to connect to */
    };
    size_t length; /**< of the buffer, or of the address */
    size_t done; /**< bytes of it that are dealt with, for send_all */
    int64_t offset; /**< in a file, -1: where it stands; for shutdown: how */
    int fd; /**< the descriptor */
    enum mini_op op; /**< what is to be done */
    bool all : 1; /**< go on until all of the buffer is dealt with */
    bool multishot : 1; /**< completes many times */
    bool background : 1; /**< no reason to wait for it: the doorbell */
    bool active; /**< the backend has it */
    bool cancelled; /**< the backend was asked to stop it */
    bool armed; /**< io_uring: waits until the descriptor is ready */
    size_t index; /**< poll: place in the poll set */
};

/** Carries out operations; five functions. All on the shard's thread. */
struct mini_io_backend {
    const char *name; /**< as in MINI_IO */
    /** 0, or the negative errno for which it cannot work here. */
    int (*init)(struct mini_io_shard *io);
    /** Takes an operation; it completes later, or at once. */
    void (*start)(struct mini_io_shard *io, struct mini_io *operation);
    /** Asks for its end; it completes later, or at once. */
    void (*stop)(struct mini_io_shard *io, struct mini_io *operation);
    /** Submits and completes; waits NS ns for the first completion if there is
     * none. Says how many there were. */
    unsigned (*turn)(struct mini_io_shard *io, uint64_t ns);
    /** Frees what init made; no operation is active. */
    void (*fini)(struct mini_io_shard *io);
};

/** One shard's I/O. */
struct mini_io_shard {
    const struct mini_io_backend *backend; /**< the one that was chosen */
    void *state; /**< the backend's own */
    struct mini_executor *executor; /**< whose I/O it is */
    size_t active; /**< operations under way, background ones not counted */
    struct mini_io bell; /**< sees the doorbell while the shard sleeps */
    bool single_shot; /**< the kernel has no multishot accept */
};

/** io_uring(7). */
extern const struct mini_io_backend mini_io_uring;
/** poll(2). */
extern const struct mini_io_backend mini_io_poll;
/** The row that submits, completes and waits. */
extern const struct mini_poller mini_io_poller;

/** The calling shard's backend, "uring" or "poll". */
const char *mini_io_name(void);

/** The poll function of every operation. */
MINI_POLL(mini_io_step);

/** Takes a connection off the listening socket FD; its descriptor, closed on
 * exec. */
static inline struct mini_future *mini_accept(struct mini_io *slot, int fd) {
    return MINI_MAKE(slot, mini_io_step, .op = MINI_OP_ACCEPT, .fd = fd);
}

/** Connects FD to ADDRESS, which stays until READY; 0. */
static inline struct mini_future *mini_connect(struct mini_io *slot, int fd,
    const struct sockaddr *address, socklen_t length) {
    return MINI_MAKE(slot, mini_io_step, .op = MINI_OP_CONNECT, .fd = fd,
        .from = address, .length = length);
}

/** Receives up to LENGTH bytes; how many, 0 at the end of the stream. */
static inline struct mini_future *mini_recv(
    struct mini_io *slot, int fd, void *buffer, size_t length) {
    return MINI_MAKE(slot, mini_io_step, .op = MINI_OP_RECV, .fd = fd,
        .buffer = buffer, .length = length);
}

/** Sends up to LENGTH bytes; how many. -EPIPE instead of SIGPIPE. */
static inline struct mini_future *mini_send(
    struct mini_io *slot, int fd, const void *buffer, size_t length) {
    return MINI_MAKE(slot, mini_io_step, .op = MINI_OP_SEND, .fd = fd,
        .from = buffer, .length = length);
}

/** Sends all of LENGTH bytes: LENGTH, or an errno; SLOT->done says how many went
 * out. Cancelled after the first byte it gives that count. */
static inline struct mini_future *mini_send_all(
    struct mini_io *slot, int fd, const void *buffer, size_t length) {
    return MINI_MAKE(slot, mini_io_step, .op = MINI_OP_SEND, .fd = fd,
        .from = buffer, .length = length, .all = true);
}

/** shutdown(2): HOW is SHUT_RD, SHUT_WR or SHUT_RDWR; 0. */
static inline struct mini_future *mini_shutdown_socket(
    struct mini_io *slot, int fd, int how) {
    return MINI_MAKE(
        slot, mini_io_step, .op = MINI_OP_SHUTDOWN, .fd = fd, .offset = how);
}

/** Closes FD; 0. Nothing may be under way on it. Await it shielded: cancelled
 * before its first poll it closes nothing. */
static inline struct mini_future *mini_close(struct mini_io *slot, int fd) {
    return MINI_MAKE(slot, mini_io_step, .op = MINI_OP_CLOSE, .fd = fd);
}

/** Reads up to LENGTH bytes at OFFSET, -1: where FD stands; how many. */
static inline struct mini_future *mini_read(
    struct mini_io *slot, int fd, void *buffer, size_t length, int64_t offset) {
    return MINI_MAKE(slot, mini_io_step, .op = MINI_OP_READ, .fd = fd,
        .buffer = buffer, .length = length, .offset = offset);
}

/** Writes up to LENGTH bytes at OFFSET, -1: where FD stands; how many. */
static inline struct mini_future *mini_write(struct mini_io *slot, int fd,
    const void *buffer, size_t length, int64_t offset) {
    return MINI_MAKE(slot, mini_io_step, .op = MINI_OP_WRITE, .fd = fd,
        .from = buffer, .length = length, .offset = offset);
}

/** Waits until FD has something to read, or an error or its end; 0. */
static inline struct mini_future *mini_readable(struct mini_io *slot, int fd) {
    return MINI_MAKE(slot, mini_io_step, .op = MINI_OP_READABLE, .fd = fd);
}

/** Hands OPERATION, which has a task or a notify, to the backend. */
void mini_io_start(struct mini_io *operation);
/** Asks the backend, once, to stop OPERATION, which is active. */
void mini_io_stop(struct mini_io *operation);
/** For a row's stop: stops OPERATION and waits until the backend has let go. */
void mini_io_finish(struct mini_io *operation);
/** Backends: OPERATION has come to RESULT; MORE: and goes on. */
void mini_io_complete(struct mini_io *operation, long result, bool more);
