/* SPDX-License-Identifier: MIT */
/**
 * @file
 * Files as futures; and from a file to a socket without copying in user space.
 *
 * mini_read, mini_write and mini_close (io.h) are for files, too. poll(2) knows
 * nothing of files: with it, helper threads do whatever may block, except
 * mini_send_file().
 *
 * - Paths and buffers are the caller's and must stay until READY.
 * - DIR is a directory's descriptor, or AT_FDCWD.
 * - Results, threads and cancel are as in io.h.
 * - A fixed buffer or descriptor is one that the kernel has looked up once and
 *   for all: each operation on it is cheaper. Where the kernel does not offer
 *   that, the operations work all the same.
 *
 * Sources: splice(2), sendfile(2).
 *
 * @guarantee{G5.8} The zero-copy paths copy nothing in user space; their
 * buffers stay untouched until the kernel's last notification.
 */
#pragma once

#include "executor.h"

/** Opens PATH; FLAGS (add O_CLOEXEC) and MODE as for openat(2). Result: the
 * descriptor, even after a cancel if that came too late: then close it. */
static inline struct mini_future *mini_openat(
    struct mini_io *slot, int dir, const char *path, int flags, unsigned mode) {
    return MINI_IO(slot, MINI_OP_OPENAT, dir, path, mode, flags);
}

/** Waits until what was written to FD is on the disk. Result: 0. */
static inline struct mini_future *mini_fsync(struct mini_io *slot, int fd) {
    return MINI_IO(slot, MINI_OP_FSYNC, fd, NULL, 0, 0);
}

/** Reads at OFFSET until there are LENGTH bytes. Result: LENGTH, less at the
 * end of the file, or an errno; SLOT->done says how many were read. If
 * cancelled after the first byte, the result is that count. OFFSET -1 as for
 * mini_read. */
static inline struct mini_future *mini_read_exact(
    struct mini_io *slot, int fd, void *buffer, size_t length, int64_t offset) {
    return MINI_IO(slot, MINI_OP_READ, fd, buffer, length, offset, .all = true);
}

/** Writes all LENGTH bytes at OFFSET. Result: LENGTH, or an errno (-ENOSPC: the
 * disk is full); SLOT->done says how many were written. If cancelled after the
 * first byte, the result is that count. OFFSET -1 as for mini_write. */
static inline struct mini_future *mini_write_all(struct mini_io *slot, int fd,
    const void *buffer, size_t length, int64_t offset) {
    return MINI_IO(
        slot, MINI_OP_WRITE, fd, buffer, length, offset, .all = true);
}

/** mini_read into part of the buffer that mini_fix_buffer() has registered. A
 * part outside of it may give -EFAULT. */
static inline struct mini_future *mini_read_fixed(
    struct mini_io *slot, int fd, void *buffer, size_t length, int64_t offset) {
    return MINI_IO(
        slot, MINI_OP_READ, fd, buffer, length, offset, .fixed = true);
}

/** mini_write from part of that buffer. */
static inline struct mini_future *mini_write_fixed(struct mini_io *slot, int fd,
    const void *buffer, size_t length, int64_t offset) {
    return MINI_IO(
        slot, MINI_OP_WRITE, fd, buffer, length, offset, .fixed = true);
}

/** Makes the BYTES bytes at BASE the calling shard's fixed buffer in place of
 * an earlier one; BASE NULL: no buffer. The memory is the caller's and must
 * stay until it is replaced or the run ends. No fixed operation may be under
 * way. 0, or an errno (-ENOMEM: more than RLIMIT_MEMLOCK), and then there is no
 * fixed buffer. */
int mini_fix_buffer(void *base, size_t bytes);

/** Makes FD one of the calling shard's fixed descriptors (ON), or takes that
 * back: do so before close(2); mini_close() does it for you. 0, -EBADF, -EMFILE
 * (with io_uring, if FD is 1024 or more), or another errno. */
int mini_fix_file(int fd, bool on);

/** A look at a file, and what it found. */
struct mini_statx {
    struct mini_io io; /**< the operation */
    uint64_t size; /**< bytes */
    struct timespec modified; /**< when, since 1970 */
    uint32_t mode; /**< kind and permissions, as in struct stat */
    uint64_t raw[32]; /**< io_uring's answer */
};

/** Looks at the file PATH (through symbolic links), or at DIR itself if PATH is
 * "". Result: 0, and SLOT has the answer. */
struct mini_future *mini_statx(
    struct mini_statx *slot, int dir, const char *path);
/** The same at once, on the calling thread; for backends. */
long mini_statx_call(struct mini_io *operation);

/** A file on its way to a socket. */
struct mini_send_file {
    struct mini_future future;
    struct mini_io io; /**< the part under way */
    int socket, file; /**< the caller's */
    int ends[2]; /**< of a pipe between them, for splice(2) */
    int64_t offset; /**< in the file */
    size_t length; /**< bytes to be sent */
    size_t taken; /**< bytes taken from the file so far */
    size_t sent; /**< bytes sent so far; the others are in the pipe */
};

/** Sends LENGTH bytes of FILE from OFFSET on to SOCKET, within the kernel.
 * Result: LENGTH, less at the end of the file, or an errno; SLOT->sent says how
 * many went out. If cancelled after the first byte, the result is that count.
 * After an error or a cancel the stream may lack bytes, so close SOCKET.
 * Writing to a closed peer raises SIGPIPE, which must be ignored (stage 6 does
 * that). Without splice(2) SOCKET becomes non-blocking, and a FILE that is not
 * in memory delays the shard. */
struct mini_future *mini_send_file(struct mini_send_file *slot, int socket,
    int file, int64_t offset, size_t length);
