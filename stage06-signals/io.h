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
 * - Descriptors stay the caller's, also those that are results; several shards
 *   may use one. On the poll backend sockets that accept or connect become
 *   non-blocking.
 * - All is called on the shard that it is for, inside mini_run. Lengths are in
 *   bytes.
 *
 * The backend is io_uring where the kernel lets us, else poll(2). MINI_IO=uring
 * or MINI_IO=poll in the environment forces one: mini_run fails where it cannot
 * be had.
 *
 * Sources: io_uring(7); TigerBeetle, for operations in their owner's memory.
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
 * @guarantee{G5.7} 10,000 connections open, work and close with no leak of
 * memory or descriptors, memory per idle connection stated and held.
 */
#pragma once

#include "executor.h"

#include <sys/socket.h>
#include <sys/types.h>

struct mini_buffer;
struct mini_helper;

/** Most helper threads of a shard. */
#define MINI_HELPERS 4

/** What can be done. In groups, so that a comparison says which one it is in:
 * those that wait for input, those that wait for room, those that do not wait,
 * those that may block on a disk; and what helper threads do for any
 * backend. */
enum mini_op {
    MINI_OP_ACCEPT,
    MINI_OP_RECV,
    MINI_OP_RECV_LEASE, /**< recv into a buffer chosen when data comes */
    MINI_OP_RECVMSG,
    MINI_OP_READABLE,
    MINI_OP_READ,
    MINI_OP_WRITE,
    MINI_OP_CONNECT,
    MINI_OP_SEND,
    MINI_OP_SEND_ZC, /**< send from the buffer itself */
    MINI_OP_SENDMSG,
    MINI_OP_SENDFILE, /**< from SOURCE at OFFSET; io_uring: splice(2) */
    MINI_OP_SHUTDOWN,
    MINI_OP_CLOSE,
    MINI_OP_FSYNC,
    MINI_OP_OPENAT,
    MINI_OP_STATX,
    MINI_OP_CALL /**< CALL(BUFFER) */
};

/** What a kernel may lack, and poll(2) does; all have a way round them. That
 * there are not all of them is said on stderr, once. */
enum mini_io_feature {
    MINI_MULTISHOT = 1, /**< accept that completes many times: from 5.19 */
    MINI_BUFFER_RING = 2, /**< recv of that kind into leased buffers: 6.0 */
    MINI_ZERO_COPY = 4, /**< send_zc: 6.0 */
    MINI_SPLICE = 8, /**< splice: 5.7 */
    MINI_FEATURES = 15 /**< all of them */
};

/** An operation. It has the four operands of a request in io_uring: descriptor,
 * address, length, offset. They move on with what has been done. */
struct mini_io {
    struct mini_future future;
    struct mini_task *task; /**< woken at the end */
    /** Called instead, for each completion: must not block. */
    void (*notify)(struct mini_io *self, long result);
    union {
        struct mini_list link; /**< among those that wait for a helper thread,
                                * or for a buffer */
        size_t index; /**< poll: place in the poll set */
    };
    union {
        void *buffer; /**< to be filled */
        const void *from; /**< to be sent; a socket's address; a path */
        struct mini_buffer *newest; /**< of a stream: what came last */
        int source; /**< of sendfile: the file */
    };
    union {
        int64_t offset; /**< in a file, -1: where it stands; else: flags */
        long (*call)(void *); /**< for a helper thread */
        long error; /**< of a stream: to be told next */
    };
    size_t length; /**< of the buffer or address; of openat: the mode */
    size_t done; /**< bytes dealt with; of a stream: results that wait */
    int fd; /**< the descriptor */
    uint8_t op; /**< what is to be done: an enum mini_op */
    bool all : 1; /**< go on until all of the buffer is dealt with */
    bool multishot : 1; /**< completes many times */
    bool background : 1; /**< no reason to wait for it: the doorbell */
    bool active : 1; /**< the backend has it */
    bool cancelled : 1; /**< the backend was asked to stop it */
    bool armed : 1; /**< io_uring: waits until the descriptor is ready; poll:
                     * connect(2) has begun */
    bool offloaded : 1; /**< a helper thread has it, or will */
    bool fixed : 1; /**< the buffer lies in the one that is registered */
    bool copied : 1; /**< of send_zc: the kernel has copied all the same */
    bool starved : 1; /**< of a stream: waits for a buffer */
    bool ended : 1; /**< of a stream: ERROR is its last result */
};

/** Carries out operations; five functions, and three for what can be registered
 * with a kernel. All on the shard's thread. */
struct mini_io_backend {
    const char *name; /**< as in MINI_IO */
    /** 0, or the negative errno for which it cannot work here. */
    int (*init)(struct mini_io_shard *io);
    /** Takes an operation; it completes later, or at once. */
    void (*start)(struct mini_io_shard *io, struct mini_io *operation);
    /** Asks for its end; it completes later, or at once. */
    void (*stop)(struct mini_io_shard *io, struct mini_io *operation);
    /** Submits and completes; waits up to NS ns for the first completion if
     * there is none. Says how many there were. */
    unsigned (*turn)(struct mini_io_shard *io, uint64_t ns);
    /** Frees what init made; no operation is active. */
    void (*fini)(struct mini_io_shard *io);
    /** With MINI_BUFFER_RING: gives BUFFER to the kernel. */
    void (*lend)(struct mini_io_shard *io, struct mini_buffer *buffer);
    /** Registers a descriptor, ON, or takes that back; NULL: of no use. */
    int (*fix_file)(struct mini_io_shard *io, int fd, bool on);
    /** Registers the one buffer of `fixed` operations; NULL: of no use. */
    int (*fix_buffer)(struct mini_io_shard *io, void *base, size_t bytes);
};

/** One shard's I/O. */
struct mini_io_shard {
    const struct mini_io_backend *backend; /**< the one that was chosen */
    void *state; /**< the backend's own */
    struct mini_executor *executor; /**< whose I/O it is */
    struct mini_io bell; /**< sees the doorbell while the shard sleeps */
    unsigned features; /**< of enum mini_io_feature */
    bool spins; /**< looks for completions although it could wait for them */
    unsigned skipped; /**< turns in a row in which it did not look for any */
    struct mini_list jobs; /**< operations that wait for a helper thread */
    struct mini_helper *helpers[MINI_HELPERS]; /**< those there are */
    unsigned helper_count; /**< how many that is */
    struct mini_buffers *buffers; /**< to be leased, once there are any */
};

/** io_uring(7). */
extern const struct mini_io_backend mini_io_uring;
/** poll(2). */
extern const struct mini_io_backend mini_io_poll;
/** The row that submits, completes and waits. */
extern const struct mini_poller mini_io_poller;

/** For tests, before mini_run: features to do without, although the kernel has
 * them. */
extern unsigned mini_io_without;

/** The calling shard's backend, "uring" or "poll". */
const char *mini_io_name(void);
/** What the calling shard's backend can use, for the line that a server prints:
 * "uring: multishot, buffer ring, send_zc, splice". Good until the next
 * call. */
const char *mini_io_describe(void);

/** The poll function of every operation. */
MINI_POLL(mini_io_step);

/** For constructors: fills *SLOT with an operation and gives its future. Behind
 * the operands there may be members: `MINI_IO(slot, MINI_OP_READ, fd, buffer,
 * length, offset, .all = true)`. */
#define MINI_IO(slot, operation, descriptor, address, bytes, ...) \
    MINI_MAKE(slot, mini_io_step, .op = (operation), .fd = (descriptor), \
        .from = (address), .length = (bytes), .offset = __VA_ARGS__)

/** Takes a connection off the listening socket FD; its descriptor, closed on
 * exec. */
static inline struct mini_future *mini_accept(struct mini_io *slot, int fd) {
    return MINI_IO(slot, MINI_OP_ACCEPT, fd, NULL, 0, 0);
}

/** Connects FD to ADDRESS, which stays until READY; 0. After a cancel the
 * kernel may go on with it: close FD. */
static inline struct mini_future *mini_connect(struct mini_io *slot, int fd,
    const struct sockaddr *address, socklen_t length) {
    return MINI_IO(slot, MINI_OP_CONNECT, fd, address, length, 0);
}

/** Receives up to LENGTH bytes; how many, 0 at the end of the stream. */
static inline struct mini_future *mini_recv(
    struct mini_io *slot, int fd, void *buffer, size_t length) {
    return MINI_IO(slot, MINI_OP_RECV, fd, buffer, length, 0);
}

/** Sends up to LENGTH bytes; how many. -EPIPE instead of SIGPIPE. */
static inline struct mini_future *mini_send(
    struct mini_io *slot, int fd, const void *buffer, size_t length) {
    return MINI_IO(slot, MINI_OP_SEND, fd, buffer, length, 0);
}

/** Sends all of LENGTH bytes: LENGTH, or an errno; SLOT->done says how many
 * went out. Cancelled after the first byte it gives that count, also where
 * mini_timeout() cancels: less than LENGTH is then a failure. */
static inline struct mini_future *mini_send_all(
    struct mini_io *slot, int fd, const void *buffer, size_t length) {
    return MINI_IO(slot, MINI_OP_SEND, fd, buffer, length, 0, .all = true);
}

/** shutdown(2): HOW is SHUT_RD, SHUT_WR or SHUT_RDWR; 0. */
static inline struct mini_future *mini_shutdown_socket(
    struct mini_io *slot, int fd, int how) {
    return MINI_IO(slot, MINI_OP_SHUTDOWN, fd, NULL, 0, how);
}

/** Closes FD; 0. Nothing may be under way on it. Await it shielded: cancelled
 * before its first poll it closes nothing. */
static inline struct mini_future *mini_close(struct mini_io *slot, int fd) {
    return MINI_IO(slot, MINI_OP_CLOSE, fd, NULL, 0, 0);
}

/** Reads up to LENGTH bytes at OFFSET, -1: where FD stands (a pipe wants that);
 * how many, 0 at the end. */
static inline struct mini_future *mini_read(
    struct mini_io *slot, int fd, void *buffer, size_t length, int64_t offset) {
    return MINI_IO(slot, MINI_OP_READ, fd, buffer, length, offset);
}

/** Writes up to LENGTH bytes at OFFSET, -1: where FD stands; how many. */
static inline struct mini_future *mini_write(struct mini_io *slot, int fd,
    const void *buffer, size_t length, int64_t offset) {
    return MINI_IO(slot, MINI_OP_WRITE, fd, buffer, length, offset);
}

/** Sends up to LENGTH bytes without copying them: READY when the kernel is done
 * with them, which may be when the peer has them all. How many went out;
 * SLOT->copied says whether it has copied them after all, as it always does on
 * loopback, on a kernel before 6.2, and with poll(2). */
static inline struct mini_future *mini_send_zc(
    struct mini_io *slot, int fd, const void *buffer, size_t length) {
    return MINI_IO(slot, MINI_OP_SEND_ZC, fd, buffer, length, 0);
}

/** Waits until FD has something to read, or an error or its end; 0. */
static inline struct mini_future *mini_readable(struct mini_io *slot, int fd) {
    return MINI_IO(slot, MINI_OP_READABLE, fd, NULL, 0, 0);
}

/** Hands OPERATION, which has a task or a notify, to the backend; that may
 * complete it at once. */
void mini_io_start(struct mini_io *operation);
/** Asks the backend, once, to stop OPERATION, which is active; it may complete
 * at once. */
void mini_io_stop(struct mini_io *operation);
/** Backends: OPERATION has come to RESULT; MORE: and goes on. */
void mini_io_complete(struct mini_io *operation, long result, bool more);
/** Whether OPERATION waits for its descriptor to have input; else: for room. */
static inline bool mini_io_receives(const struct mini_io *operation) {
    return operation->op <= MINI_OP_READ;
}
/** Carries out OPERATION with a system call, on the calling thread; -EAGAIN:
 * its descriptor is not ready. */
long mini_io_call(struct mini_io *operation);
