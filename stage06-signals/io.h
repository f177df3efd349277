/* SPDX-License-Identifier: MIT */
/**
 * @file
 * I/O as futures: an operation is a value, a backend carries it out.
 *
 * - A slot holds one operation; it and its buffer are the backend's from the
 *   first poll until READY, whatever happens: a cancelled operation is READY
 *   only when the kernel has let go of both.
 * - The result is the system call's: a count, a descriptor, 0, or a negative
 *   errno. Short counts are normal; mini_send_all continues until all is sent.
 * - Cancel asks the kernel to stop. If the operation finishes first, you get
 *   its real result, never -ECANCELED: no byte and no descriptor is lost.
 * - Descriptors are the caller's, including those that are results; several
 *   shards may use the same one. The poll backend makes sockets that accept or
 *   connect non-blocking. With it, a pipe that several operations read or write
 *   at a time must be so, too: else who comes too late blocks the shard.
 * - Call these functions inside mini_run, on the shard that does the operation.
 *   Lengths are in bytes.
 *
 * The backend is io_uring where the kernel allows it, else poll(2).
 * MINI_IO=uring or MINI_IO=poll in the environment forces one; mini_run fails
 * if that one cannot be used.
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

#include "../common/list.h"
#include "async.h"
#include "park.h"

#include <sys/socket.h>
#include <sys/types.h>

struct mini_buffer;
struct mini_io_shard;

/** The most helper threads that a shard has. */
#define MINI_HELPERS 4

/** The kinds of operation. They stand in groups, so that a comparison tells
 * which group one is in: those that wait for input, those that wait for room,
 * those that do not wait, those that may block on a disk, and the one that a
 * helper thread does whatever the backend. */
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

/** What a kernel may lack and poll(2) always lacks; there is a way round each
 * of them. If the kernel lacks one, the process says so once, on stderr. */
enum mini_io_feature {
    MINI_MULTISHOT = 1, /**< accept that completes many times: from 5.19 */
    MINI_BUFFER_RING = 2, /**< recv of that kind into leased buffers: 6.0 */
    MINI_ZERO_COPY = 4, /**< send_zc: 6.0 */
    MINI_SPLICE = 8, /**< splice: 5.7 */
    MINI_FEATURES = 15, /**< all of them */
    /** Any thread wakes a ring without a bell: 6.13. It is not missed. */
    MINI_MSG_RING = 16
};

/** An operation. It has the four operands of a request in io_uring: descriptor,
 * address, length, offset. With `all`, after a short count, they are those of
 * what is left. */
struct mini_io {
    struct mini_future future;
    struct mini_task *task; /**< woken at the end */
    /** Called for each completion, instead of waking TASK; must not block. */
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
        int64_t offset; /**< in a file, -1: its own position; else: flags */
        long (*call)(void *); /**< for a helper thread */
        long error; /**< of a stream: to be reported next; of one that
                     * receives: its last result, 1 while there is none */
    };
    size_t length; /**< of the buffer or address; of openat: the mode */
    size_t done; /**< bytes dealt with; of a stream: results that wait */
    int fd; /**< the descriptor */
    uint8_t op; /**< what is to be done: an enum mini_op */
    bool all : 1; /**< go on until all of the buffer is dealt with */
    bool multishot : 1; /**< completes many times */
    bool active : 1; /**< the backend has it */
    bool cancelled : 1; /**< the backend was asked to stop it */
    bool armed : 1; /**< io_uring: waits until the descriptor is ready; poll:
                     * connect(2) has begun */
    bool offloaded : 1; /**< a helper thread has it, or will */
    bool fixed : 1; /**< the buffer is part of the registered one */
    bool copied : 1; /**< of send_zc: the kernel has copied after all */
    bool starved : 1; /**< of a stream: waits for a buffer */
    bool watched : 1; /**< of a stream: io_uring waits for its end as well */
    bool hung_up : 1; /**< of a stream: that end has come, or cannot be seen */
};

/** Carries out operations: five functions, and three more for what can be
 * registered with the kernel. All are called on the shard's thread. */
struct mini_io_backend {
    const char *name; /**< as in MINI_IO */
    /** 0, or a negative errno: why it cannot work here. */
    int (*init)(struct mini_io_shard *io);
    /** Takes an operation; it completes later, or at once. */
    void (*start)(struct mini_io_shard *io, struct mini_io *operation);
    /** Asks an operation to stop; it completes later, or at once. If it is not
     * active but watched: asks the watch to stop. */
    void (*stop)(struct mini_io_shard *io, struct mini_io *operation);
    /** Submits what was started and completes what is done; if nothing is,
     * waits up to NS ns for the first completion. Says how many there were. */
    unsigned (*turn)(struct mini_io_shard *io, uint64_t ns);
    /** Frees what init made; no operation is active. */
    void (*fini)(struct mini_io_shard *io);
    /** With MINI_BUFFER_RING: gives BUFFER to the kernel. */
    void (*lend)(struct mini_io_shard *io, struct mini_buffer *buffer);
    /** Registers FD (ON) or takes that back; NULL: the backend has no use for
     * it. */
    int (*fix_file)(struct mini_io_shard *io, int fd, bool on);
    /** Registers the one buffer that `fixed` operations use; NULL: the same. */
    int (*fix_buffer)(struct mini_io_shard *io, void *base, size_t bytes);
};

/** A helper thread; see offload.h. */
struct mini_helper {
    /** The job it was given last; only the shard looks. */
    struct mini_io *given;
    /** The same until it is done, then NULL; the address of this struct: end. */
    _Atomic(void *) job;
    struct mini_bell bell; /**< rung for each job */
    struct mini_parker *owner; /**< where its shard sleeps */
    pthread_t thread; /**< its own */
};

/** One shard's I/O. */
struct mini_io_shard {
    const struct mini_io_backend *backend; /**< the one that was chosen */
    void *state; /**< the backend's own */
    struct mini_io bell; /**< watches the doorbell while the shard sleeps */
    unsigned features; /**< of enum mini_io_feature */
    unsigned skipped; /**< turns in a row in which it did not look for any */
    struct mini_list jobs; /**< operations that wait for a helper thread */
    struct mini_helper helpers[MINI_HELPERS]; /**< started as needed */
    unsigned helper_count; /**< how many of them were */
    struct mini_buffers *buffers; /**< to be leased; NULL: not made yet */
};

/** io_uring(7). */
extern const struct mini_io_backend mini_io_uring;
/** poll(2). */
extern const struct mini_io_backend mini_io_poll;
/** The row that submits, completes and waits. */
extern const struct mini_poller mini_io_poller;

/** Tests set this before mini_run: features not to use even if the kernel has
 * them. */
extern unsigned mini_io_without;

/** The calling shard's backend, "uring" or "poll". */
const char *mini_io_name(void);
/** What the calling shard's backend can use, for the line that a server prints:
 * "uring: multishot, buffer ring, send_zc, splice". Valid until the next
 * call. */
const char *mini_io_describe(void);

/** Any thread: wakes whoever waits in the io_uring whose descriptor is RING, at
 * once. False: that is not possible, here or now. */
bool mini_uring_wake(int ring);

/** The poll function of every operation. */
MINI_POLL(mini_io_step);

/** For constructors: fills *SLOT with an operation and gives its future. Other
 * members may follow the operands: `MINI_IO(slot, MINI_OP_READ, fd, buffer,
 * length, offset, .all = true)`. */
#define MINI_IO(slot, operation, descriptor, address, bytes, ...) \
    MINI_MAKE(slot, mini_io_step, .op = (operation), .fd = (descriptor), \
        .from = (address), .length = (bytes), .offset = __VA_ARGS__)

/** Takes a connection off the listening socket FD. Result: its descriptor,
 * closed on exec. */
static inline struct mini_future *mini_accept(struct mini_io *slot, int fd) {
    return MINI_IO(slot, MINI_OP_ACCEPT, fd, NULL, 0, 0);
}

/** Connects FD to ADDRESS, which must stay until READY. Result: 0. After a
 * cancel the kernel may still be connecting: close FD. */
static inline struct mini_future *mini_connect(struct mini_io *slot, int fd,
    const struct sockaddr *address, socklen_t length) {
    return MINI_IO(slot, MINI_OP_CONNECT, fd, address, length, 0);
}

/** Receives up to LENGTH bytes. Result: how many; 0 at the stream's end. */
static inline struct mini_future *mini_recv(
    struct mini_io *slot, int fd, void *buffer, size_t length) {
    return MINI_IO(slot, MINI_OP_RECV, fd, buffer, length, 0);
}

/** Sends up to LENGTH bytes. Result: how many; -EPIPE instead of a SIGPIPE. */
static inline struct mini_future *mini_send(
    struct mini_io *slot, int fd, const void *buffer, size_t length) {
    return MINI_IO(slot, MINI_OP_SEND, fd, buffer, length, 0);
}

/** Sends all LENGTH bytes. Result: LENGTH, or an errno; SLOT->done says how
 * many went out. If cancelled after the first byte, the result is that count,
 * also if mini_timeout() cancels: less than LENGTH is then a failure. */
static inline struct mini_future *mini_send_all(
    struct mini_io *slot, int fd, const void *buffer, size_t length) {
    return MINI_IO(slot, MINI_OP_SEND, fd, buffer, length, 0, .all = true);
}

/** shutdown(2): HOW is SHUT_RD, SHUT_WR or SHUT_RDWR. Result: 0. */
static inline struct mini_future *mini_shutdown_socket(
    struct mini_io *slot, int fd, int how) {
    return MINI_IO(slot, MINI_OP_SHUTDOWN, fd, NULL, 0, how);
}

/** Closes FD. Result: 0. Nothing may be under way on it. Await it shielded: if
 * cancelled before its first poll, it closes nothing. */
static inline struct mini_future *mini_close(struct mini_io *slot, int fd) {
    return MINI_IO(slot, MINI_OP_CLOSE, fd, NULL, 0, 0);
}

/** Reads up to LENGTH bytes at OFFSET; -1: at FD's own position. What cannot
 * seek, such as a pipe, is read regardless of OFFSET. Result: how many, 0 at
 * the end. */
static inline struct mini_future *mini_read(
    struct mini_io *slot, int fd, void *buffer, size_t length, int64_t offset) {
    return MINI_IO(slot, MINI_OP_READ, fd, buffer, length, offset);
}

/** Writes up to LENGTH bytes at OFFSET, which means what it does for mini_read.
 * Result: how many. */
static inline struct mini_future *mini_write(struct mini_io *slot, int fd,
    const void *buffer, size_t length, int64_t offset) {
    return MINI_IO(slot, MINI_OP_WRITE, fd, buffer, length, offset);
}

/** Sends up to LENGTH bytes without copying them: READY when the kernel needs
 * BUFFER no more, perhaps only when the peer has all of it. Result: how many
 * went out. SLOT->copied says whether they were copied after all, as they
 * always are on loopback, before Linux 6.2, and with poll(2). */
static inline struct mini_future *mini_send_zc(
    struct mini_io *slot, int fd, const void *buffer, size_t length) {
    return MINI_IO(slot, MINI_OP_SEND_ZC, fd, buffer, length, 0);
}

/** Waits until FD has something to read, an error, or its end. Result: 0. */
static inline struct mini_future *mini_readable(struct mini_io *slot, int fd) {
    return MINI_IO(slot, MINI_OP_READABLE, fd, NULL, 0, 0);
}

/** Hands OPERATION, whose task or notify is set, to the backend, which may
 * complete it at once. */
void mini_io_start(struct mini_io *operation);
/** Asks the backend to stop OPERATION, which is active and may complete at
 * once. A second call has no effect. */
void mini_io_stop(struct mini_io *operation);
/** For backends: OPERATION has completed with RESULT; MORE: and goes on. */
void mini_io_complete(struct mini_io *operation, long result, bool more);
/** Whether OPERATION waits until its descriptor has input; else until it has
 * room. */
static inline bool mini_io_receives(const struct mini_io *operation) {
    return operation->op <= MINI_OP_READ;
}
/** Carries out OPERATION with a system call, on the calling thread; -EAGAIN:
 * its descriptor is not ready. */
long mini_io_call(struct mini_io *operation);
