/* SPDX-License-Identifier: MIT */
/**
 * @file
 * Files as futures; and from a file to a socket without a copy of ours.
 *
 * mini_read, mini_write and mini_close (io.h) are for files, too. With poll(2),
 * which knows nothing of files, helper threads do what may block, all but
 * mini_send_file().
 *
 * - Paths and buffers are the caller's and stay until READY.
 * - DIR is a directory's descriptor, or AT_FDCWD.
 * - Results, threads and cancel are as in io.h.
 * - A fixed buffer or descriptor is one that the kernel has looked up once and
 *   for all: cheaper for each operation on it. Where that is not to be had,
 *   these work as without.
 *
 * Sources: splice(2), sendfile(2).
 *
 * @guarantee{G5.8} The zero-copy paths copy nothing in user space; their
 * buffers stay untouched until the kernel's last notification.
 */
#pragma once

#include "io.h"

/** Opens PATH; FLAGS and MODE as for openat(2), O_CLOEXEC is a good one. The
 * descriptor. If cancelled too late, it is the result all the same. */
static inline struct mini_future *mini_openat(
    struct mini_io *slot, int dir, const char *path, int flags, unsigned mode) {
    return MINI_IO(slot, MINI_OP_OPENAT, dir, path, mode, flags);
}

/** Waits until what was written to FD is on the disk; 0. */
static inline struct mini_future *mini_fsync(struct mini_io *slot, int fd) {
    return MINI_IO(slot, MINI_OP_FSYNC, fd, NULL, 0, 0);
}

/** Reads at OFFSET until there are LENGTH bytes: LENGTH, or less at the end of
 * the file, or an errno; SLOT->done says how many. Cancelled after the first
 * byte it gives that count. OFFSET -1 as for mini_read. */
static inline struct mini_future *mini_read_exact(
    struct mini_io *slot, int fd, void *buffer, size_t length, int64_t offset) {
    return MINI_IO(slot, MINI_OP_READ, fd, buffer, length, offset, .all = true);
}

/** Writes all of LENGTH bytes at OFFSET: LENGTH, or an errno (-ENOSPC: the disk
 * is full); SLOT->done says how many. Cancelled after the first byte it gives
 * that count. OFFSET -1 as for mini_write. */
static inline struct mini_future *mini_write_all(struct mini_io *slot, int fd,
    const void *buffer, size_t length, int64_t offset) {
    return MINI_IO(
        slot, MINI_OP_WRITE, fd, buffer, length, offset, .all = true);
}

/** mini_read into part of the buffer that mini_fix_buffer() has registered.
 * What lies outside of that may be -EFAULT. */
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

/** Makes BYTES from BASE on the calling shard's fixed buffer, instead of one it
 * had; NULL: none. It stays the caller's, and there, until then or to the end
 * of the run. No fixed operation may be under way. 0, or an errno (-ENOMEM:
 * more than RLIMIT_MEMLOCK), and then there is none. */
int mini_fix_buffer(void *base, size_t bytes);

/** Makes FD a fixed one of the calling shard's (ON), or takes that back: before
 * close(2); mini_close() does it by itself. 0, -EBADF, -EMFILE (io_uring, and
 * its number is 1024 or more), or another errno. */
int mini_fix_file(int fd, bool on);

/** A look at a file, under way and done. */
struct mini_statx {
    struct mini_io io; /**< the operation */
    uint64_t size; /**< bytes */
    struct timespec modified; /**< when, since 1970 */
    uint32_t mode; /**< kind and permissions, as in struct stat */
    uint64_t raw[32]; /**< io_uring's answer */
};

/** Looks at the file PATH (of a symbolic link, where it leads), or with PATH ""
 * at DIR itself; 0, and SLOT has it. */
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
    size_t sent; /**< bytes that have been */
    size_t piped; /**< bytes in the pipe */
};

/** Sends LENGTH bytes of FILE from OFFSET on to SOCKET, within the kernel:
 * LENGTH, less at the end of the file, or an errno; SLOT->sent says how many.
 * Cancelled after the first byte it gives that count. After an error or a
 * cancel the stream may lack bytes, so close it. Writing to a closed peer
 * raises SIGPIPE, which must be ignored (stage 6 does). Without splice(2)
 * SOCKET becomes non-blocking, and a FILE that is not in memory delays the
 * shard. */
struct mini_future *mini_send_file(struct mini_send_file *slot, int socket,
    int file, int64_t offset, size_t length);
