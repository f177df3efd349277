/* SPDX-License-Identifier: MIT */
/* Copies a file, with many reads and writes under way at once:
 *     copy SRC DST [--direct]
 * --direct bypasses the kernel's cache of files. On a terminal it shows how far
 * it is. If it fails, it removes a DST that was not there before. */
#include "file.h"
#include "service.h"
#include "timer.h"

#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

#define SLOTS 16
#define BLOCK (128 * 1024)
/* With O_DIRECT all buffers, offsets and lengths are multiples of this. */
#define ALIGN 4096
#define PROGRESS (100 * MINI_MS)

/* What all slots work on. */
struct copy {
    const char *from, *to; /* paths */
    int source, target; /* and descriptors, or -1 */
    bool made; /* DST was not there before */
    bool regular; /* it is a file, not a device */
    bool read_direct, write_direct; /* with O_DIRECT */
    bool stop; /* no more blocks: the end, or an error */
    int64_t next; /* offset of the next block to be copied */
    int64_t end; /* of what has been written */
    uint64_t size, done; /* of SRC, to be shown */
    mode_t mode; /* of SRC */
    bool terminal; /* somebody watches */
    uint64_t shown; /* when that was last shown */
    long error; /* the first one */
};

/* Says what went wrong, unless something has before. */
static long fail(
    struct copy *self, const char *doing, const char *path, long error) {
    bool full = error == -ENOSPC || error == -EDQUOT;
    if (self->error < 0) return self->error;
    if (self->shown) fputc('\n', stderr);
    if (error == -ECANCELED)
        fprintf(stderr, "copy: stopped before %s was complete\n", self->to);
    else
        fprintf(stderr, "copy: cannot %s %s: %s%s\n", doing, path,
            strerror((int)-error),
            full ? "; make room there, then copy again" : remedy(error));
    self->stop = true;
    return self->error = error;
}

static void show(struct copy *self, bool last) {
    if (!self->terminal || (!last && mini_now() - self->shown < PROGRESS))
        return;
    self->shown = mini_now();
    fprintf(stderr, "\r%s: %" PRIu64 " of %" PRIu64 " KiB%s", self->to,
        self->done / 1024, self->size / 1024, last ? "\n" : "");
}

/* ---- a slot: a buffer that goes back and forth ---- */

struct slot {
    struct mini_future future;
    struct mini_io io;
    struct copy *copy;
    char *buffer; /* BLOCK bytes */
    struct mini_statx look;
    int64_t offset; /* of the block in the file */
    size_t got; /* bytes, by the last read */
    size_t have, length, written; /* bytes read, to be written, written */
};

/* O_DIRECT would refuse to read on from where SELF is. */
static bool is_ragged(struct slot *self) {
    return self->copy->read_direct && self->have % ALIGN != 0;
}

/* If SELF is ragged, but not at the end of the file, a read has given less than
 * there is: the next one begins at the last multiple of ALIGN. False if this one
 * began there, too, so that there is no progress. */
static bool can_go_on(struct slot *self) {
    size_t ragged = self->have % ALIGN;
    if ((uint64_t)self->offset + self->have >= self->look.size) {
        self->got = 0; /* as at any end */
        return true;
    }
    self->have -= ragged;
    self->got -= ragged;
    return self->got > 0;
}

/* The tail is written with zeros behind it, which are cut off at the end. */
static void pad(struct slot *self) {
    self->length = self->have;
    if (self->copy->write_direct)
        self->length = (self->have + ALIGN - 1) / ALIGN * ALIGN;
    memset(self->buffer + self->have, 0, self->length - self->have);
}

static void written(struct slot *self) {
    struct copy *copy = self->copy;
    int64_t end = self->offset + (int64_t)self->have;
    copy->done += self->have;
    /* a block beyond the end of SRC is empty, but has an offset */
    if (self->have > 0 && end > copy->end) copy->end = end;
    show(copy, false);
}

/* A read may give less than there is, and a write may take less: so both are
 * repeated. */
static MINI_POLL(copy_blocks) {
    struct slot *self = MINI_SELF(struct slot);
    struct copy *copy = self->copy;
    MINI_BEGIN;
    while (!copy->stop) {
        self->offset = copy->next;
        copy->next += BLOCK;
        self->have = self->written = 0;
        do {
            MINI_AWAIT(mini_read_fixed(&self->io, copy->source,
                self->buffer + self->have, BLOCK - self->have,
                self->offset + (int64_t)self->have));
            if (MINI_RESULT < 0)
                MINI_RETURN(fail(copy, "read", copy->from, MINI_RESULT));
            self->got = (size_t)MINI_RESULT;
            self->have += self->got;
            if (!is_ragged(self)) continue;
            MINI_AWAIT(mini_statx(&self->look, copy->source, ""));
            if (MINI_RESULT == 0 && !can_go_on(self)) future->result = -EIO;
            if (MINI_RESULT < 0)
                MINI_RETURN(
                    fail(copy, "read with --direct", copy->from, MINI_RESULT));
        } while (self->got > 0 && self->have < BLOCK);
        if (self->have < BLOCK) copy->stop = true;
        for (pad(self); self->written < self->length;) {
            MINI_AWAIT(mini_write_fixed(&self->io, copy->target,
                self->buffer + self->written, self->length - self->written,
                self->offset + (int64_t)self->written));
            if (MINI_RESULT <= 0)
                MINI_RETURN(fail(copy, "write", copy->to,
                    MINI_RESULT < 0 ? MINI_RESULT : -EIO));
            self->written += (size_t)MINI_RESULT;
        }
        written(self);
    }
    MINI_END(0);
}

/* ---- before and after ---- */

/* Looks at what has been opened. */
static long inspect(struct copy *self) {
    struct stat from, to;
    if (fstat(self->source, &from) < 0 || fstat(self->target, &to) < 0)
        return fail(self, "look at", self->from, -errno);
    if (from.st_dev == to.st_dev && from.st_ino == to.st_ino) {
        fprintf(stderr,
            "copy: %s and %s are the same file; copy to another one\n",
            self->from, self->to);
        return self->error = -EINVAL;
    }
    if (!S_ISREG(from.st_mode)) {
        fprintf(stderr,
            "copy: %s is not a regular file; only those are copied\n",
            self->from);
        return self->error = -EINVAL;
    }
    if (lseek(self->target, 0, SEEK_CUR) < 0) {
        fprintf(stderr,
            "copy: %s takes what comes in order, and blocks do not; copy to a "
            "file\n",
            self->to);
        return self->error = -EINVAL;
    }
    self->regular = S_ISREG(to.st_mode);
    self->mode = from.st_mode & 0777;
    self->size = (uint64_t)from.st_size;
    return 0;
}

/* Switches O_DIRECT on; where that is impossible, says so; false. */
static bool go_direct(int fd, const char *path) {
#ifdef O_DIRECT /* Linux has it, POSIX does not */
    if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_DIRECT) == 0) return true;
#else
    (void)fd;
    errno = ENOTSUP;
#endif
    fprintf(stderr, "copy: no --direct for %s (%s); going on without\n", path,
        strerror(errno));
    return false;
}

/* On a helper thread: calls that have no future of their own. Only now may
 * others read DST, if they may read SRC. That we may not set its mode (it is
 * somebody else's, or the file system has none) is no error. */
static long complete(void *arg) {
    struct copy *self = arg;
    if (!self->regular) return 0;
    if (ftruncate(self->target, self->end) < 0 ||
        (fchmod(self->target, self->mode) < 0 && errno != EPERM))
        return -errno;
    return 0;
}

struct program {
    struct mini_future future;
    struct copy copy;
    bool direct;
    struct mini_io io;
    struct mini_join join;
    struct mini_task *slots[SLOTS];
    unsigned n;
    char *buffers; /* all slots' */
};

static long prepare(struct program *self) {
    struct copy *copy = &self->copy;
    self->buffers = aligned_alloc(ALIGN, SLOTS * BLOCK);
    if (!self->buffers) return fail(copy, "copy", copy->from, -ENOMEM);
    /* The kernel looks these pages up once, not for each operation. If it
     * refuses, say for a limit on locked memory, all works without. */
    mini_fix_buffer(self->buffers, SLOTS * BLOCK);
    if (self->direct) {
        copy->read_direct = go_direct(copy->source, copy->from);
        copy->write_direct = copy->regular && go_direct(copy->target, copy->to);
    }
    return 0;
}

static MINI_POLL(program) {
    struct program *self = MINI_SELF(struct program);
    struct copy *copy = &self->copy;
    MINI_BEGIN;
    MINI_AWAIT(
        mini_openat(&self->io, AT_FDCWD, copy->from, O_RDONLY | O_CLOEXEC, 0));
    copy->source = (int)MINI_RESULT;
    if (MINI_RESULT < 0) fail(copy, "open", copy->from, MINI_RESULT);
    if (copy->error < 0) goto end;
    MINI_AWAIT(mini_openat(&self->io, AT_FDCWD, copy->to,
        O_WRONLY | O_CLOEXEC | O_CREAT | O_EXCL, 0600));
    copy->made = MINI_RESULT >= 0;
    if (MINI_RESULT == -EEXIST) /* not emptied: it might be SRC */
        MINI_AWAIT(mini_openat(
            &self->io, AT_FDCWD, copy->to, O_WRONLY | O_CLOEXEC, 0));
    copy->target = (int)MINI_RESULT;
    if (MINI_RESULT < 0) fail(copy, "open", copy->to, MINI_RESULT);
    if (copy->error < 0 || inspect(copy) < 0 || prepare(self) < 0) goto end;
    for (self->n = 0; self->n < SLOTS; self->n++)
        self->slots[self->n] = MINI_SPAWN(struct slot, copy_blocks,
            .copy = copy, .buffer = self->buffers + self->n * BLOCK);
    for (self->n = 0; self->n < SLOTS; self->n++) {
        MINI_AWAIT(mini_join(&self->join, self->slots[self->n]));
        if (MINI_RESULT < 0) fail(copy, "copy", copy->from, MINI_RESULT);
    }
    if (copy->error < 0) goto end;
    MINI_AWAIT(mini_offload(&self->io, complete, copy));
    if (MINI_RESULT >= 0) MINI_AWAIT(mini_fsync(&self->io, copy->target));
    if (MINI_RESULT < 0 && (copy->regular || MINI_RESULT != -EINVAL))
        fail(copy, "write", copy->to, MINI_RESULT);
end:
    if (copy->source >= 0)
        MINI_AWAIT_SHIELDED(mini_close(&self->io, copy->source));
    if (copy->target >= 0) {
        MINI_AWAIT_SHIELDED(mini_close(&self->io, copy->target));
        if (MINI_RESULT < 0) fail(copy, "write", copy->to, MINI_RESULT);
    }
    if (copy->error < 0 && copy->made) unlink(copy->to);
    if (copy->error == 0) show(copy, true);
    mini_fix_buffer(NULL, 0); /* all slots have ended */
    free(self->buffers);
    MINI_END(copy->error);
}

static void usage(void) {
    fputs("usage: copy SRC DST [--direct]\n", stderr);
    exit(2);
}

int main(int argc, char **argv) {
    struct program frame;
    const char *paths[2];
    bool direct = false;
    int count = 0;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--direct") == 0)
            direct = true;
        else if (*argv[i] == '-' || count == 2)
            usage();
        else
            paths[count++] = argv[i];
    }
    if (count < 2) usage();
    struct copy copy = {.from = paths[0],
        .to = paths[1],
        .source = -1,
        .target = -1,
        .terminal = isatty(STDERR_FILENO)};
    return run_program("copy",
        MINI_CALL(
            struct program, &frame, program, .copy = copy, .direct = direct),
        NULL);
}
