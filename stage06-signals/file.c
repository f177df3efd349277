/* SPDX-License-Identifier: MIT */
/* Files. See file.h. */
#include "file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

int mini_fix_buffer(void *base, size_t bytes) {
    struct mini_io_shard *io = &mini_self->io;
    return io->backend->fix_buffer ? io->backend->fix_buffer(io, base, bytes)
                                   : 0;
}

int mini_fix_file(int fd, bool on) {
    struct mini_io_shard *io = &mini_self->io;
    if (fcntl(fd, F_GETFD) < 0) return -EBADF;
    return io->backend->fix_file ? io->backend->fix_file(io, fd, on) : 0;
}

struct mini_future *mini_statx(
    struct mini_statx *slot, int dir, const char *path) {
    return MINI_IO(&slot->io, MINI_OP_STATX, dir, path, 0, 0);
}

long mini_statx_call(struct mini_io *operation) {
    struct mini_statx *slot = MINI_CONTAINER(operation, struct mini_statx, io);
    const char *path = operation->from;
    struct stat status;
    if (!*path && operation->fd == AT_FDCWD) path = ".";
    int result = *path ? fstatat(operation->fd, path, &status, 0)
                       : fstat(operation->fd, &status);
    if (result < 0) return -1;
    slot->size = (uint64_t)status.st_size;
    slot->mode = status.st_mode;
    slot->modified = status.st_mtim;
    return 0;
}

/* ---- from a file to a socket ---- */

/* From the file to the socket; with a pipe, first into that, then out of it. */
static struct mini_future *next_part(struct mini_send_file *self) {
    bool drains = self->taken > self->sent, fills = self->ends[0] >= 0;
    size_t end = drains ? self->taken : self->length;
    size_t left = end - (drains ? self->sent : self->taken);
    return MINI_MAKE(&self->io, mini_io_step, .op = MINI_OP_SENDFILE,
        .fd = fills && !drains ? self->ends[1] : self->socket,
        .source = drains ? self->ends[0] : self->file,
        .offset = drains ? -1 : self->offset + (int64_t)self->taken,
        .length = left < INT_MAX ? left : INT_MAX); /* more is -EINVAL */
}

static void note(struct mini_send_file *self, size_t bytes) {
    if (self->io.fd == self->socket) self->sent += bytes;
    if (self->io.source == self->file)
        self->taken += bytes;
    else
        mini_self->stats.spliced += bytes;
}

/* splice(2) wants a pipe on one side; sendfile(2), a socket that does not
 * block.
 */
static int open_way(struct mini_send_file *self) {
    int flags = fcntl(self->socket, F_GETFL);
    if (!(mini_self->io.features & MINI_SPLICE))
        return fcntl(self->socket, F_SETFL, flags | O_NONBLOCK) < 0 ? -errno
                                                                    : 0;
    if (pipe(self->ends) < 0) return -errno;
    for (int i = 0; i < 2; i++) fcntl(self->ends[i], F_SETFD, FD_CLOEXEC);
    return 0;
}

static MINI_POLL(send_file_poll) {
    struct mini_send_file *self = MINI_SELF(struct mini_send_file);
    MINI_BEGIN;
    future->result = open_way(self);
    while (MINI_RESULT >= 0 && self->sent < self->length) {
        MINI_AWAIT(next_part(self));
        if (MINI_RESULT <= 0) break;
        note(self, (size_t)MINI_RESULT);
    }
    if (self->ends[0] >= 0) close(self->ends[0]), close(self->ends[1]);
    if (MINI_RESULT == -ECANCELED && self->sent > 0) future->result = 0;
    MINI_END(MINI_RESULT < 0 ? MINI_RESULT : (long)self->sent);
}

struct mini_future *mini_send_file(struct mini_send_file *slot, int socket,
    int file, int64_t offset, size_t length) {
    return MINI_MAKE(slot, send_file_poll, .socket = socket, .file = file,
        .ends = {-1}, .offset = offset, .length = length);
}
