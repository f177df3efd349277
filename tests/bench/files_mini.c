/* SPDX-License-Identifier: MIT */
/* Reads of a file, as files.h says.
 *     files_mini PATH plain|buffer|file|both|direct
 * The kernel has to look up the buffer and the descriptor each time, or one of
 * the two is registered, or both; direct: both, too. */
#include "miniss.h"

#include "file.h"
#include "files.h"

static char *memory; /* a block for each reader */
static int fd;
static bool fixed_buffer, fixed_file;
static bool running = true;

struct reader {
    struct mini_future future;
    struct mini_io io;
    uint64_t offset;
    char *block;
};

static MINI_POLL(reader) {
    struct reader *self = MINI_SELF(struct reader);
    MINI_BEGIN;
    while (running) {
        self->offset = files_offset();
        MINI_AWAIT((fixed_buffer ? mini_read_fixed : mini_read)(
            &self->io, fd, self->block, FILES_BLOCK, (int64_t)self->offset));
        /* others may have come to the end meanwhile, and this is not counted */
        running = running && files_came(self->block, self->offset, MINI_RESULT);
    }
    MINI_END(0);
}

struct program {
    struct mini_future future;
    struct mini_join join;
    struct mini_task *tasks[FILES_DEPTH];
    unsigned i;
};

static MINI_POLL(program) {
    struct program *self = MINI_SELF(struct program);
    MINI_BEGIN;
    if ((fixed_buffer && mini_fix_buffer(memory, FILES_DEPTH * FILES_BLOCK)) ||
        (fixed_file && mini_fix_file(fd, true)))
        MINI_RETURN(-ENOTSUP);
    bench_start(&files_bench);
    for (unsigned i = 0; i < FILES_DEPTH; i++)
        self->tasks[i] = MINI_SPAWN(
            struct reader, reader, .block = memory + i * FILES_BLOCK);
    for (self->i = 0; self->i < FILES_DEPTH; self->i++)
        MINI_AWAIT(mini_join(&self->join, self->tasks[self->i]));
    MINI_END(0);
}

int main(int argc, char **argv) {
    struct program frame;
    const char *what = argc == 3 ? argv[2] : "";
    if (argc != 3) return 2;
    bool direct = strcmp(what, "direct") == 0;
    bool both = strcmp(what, "both") == 0 || direct;
    fixed_buffer = strcmp(what, "buffer") == 0 || both;
    fixed_file = strcmp(what, "file") == 0 || both;
    memory = aligned_alloc(FILES_BLOCK, FILES_DEPTH * FILES_BLOCK);
    if (!memory) return 1;
    fd = files_open(argv[1], direct);
    long result = mini_run(MINI_CALL(struct program, &frame, program), NULL);
    if (result < 0) {
        fprintf(stderr, "files_mini: %s\n", strerror((int)-result));
        return 1;
    }
    bench_print(&files_bench);
    return 0;
}
