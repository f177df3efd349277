/* SPDX-License-Identifier: MIT */
/* What the programs have in common that read a file at random: 4096 bytes at a
 * time, 32 reads under way, out of the page cache.
 *     ... PATH           a file that is made if it is not there
 *     ... PATH direct    past the page cache, and by the clock: what counts then
 *                        is how many reads there are, not what they cost
 *
 * Every eight bytes of the file tell where they stand. In the first slice, which
 * warms up, all that was read is compared; later the first and the last eight,
 * which costs all programs the same. */
#pragma once

#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#define FILES_BYTES (UINT64_C(64) << 20) /* more than a CPU's own caches hold */
#define FILES_BLOCK 4096u
#define FILES_DEPTH 32u
#define FILES_SLICE 4096u /* reads */

static struct bench files_bench;
static uint64_t files_random = 88172645463325252u;
static uint64_t files_reads;

_Noreturn static inline void files_fail(const char *what) {
    perror(what);
    exit(1);
}

static inline uint64_t files_word(uint64_t offset) {
    return offset * UINT64_C(0x9e3779b97f4a7c15);
}

/* So that nobody finds half of it, it gets its name last. */
static inline void files_make(const char *path) {
    static uint64_t block[FILES_BLOCK / 8];
    char unfinished[4096];
    snprintf(unfinished, sizeof unfinished, "%s.%d", path, (int)getpid());
    FILE *file = fopen(unfinished, "w");
    if (!file) files_fail(unfinished);
    for (uint64_t offset = 0; offset < FILES_BYTES; offset += FILES_BLOCK) {
        for (unsigned i = 0; i < FILES_BLOCK / 8; i++)
            block[i] = files_word(offset + 8 * i);
        fwrite(block, 1, FILES_BLOCK, file);
    }
    if (fflush(file) || fsync(fileno(file)) || fclose(file) ||
        rename(unfinished, path))
        files_fail(unfinished);
}

/* Opens the file; without DIRECT it reads all of it, so that it is in memory. */
static inline int files_open(const char *path, bool direct) {
    static char buffer[1 << 20];
    struct stat status;
    if (stat(path, &status) < 0 || status.st_size != (off_t)FILES_BYTES)
        files_make(path);
    int fd = open(path, O_RDONLY | O_CLOEXEC | (direct ? O_DIRECT : 0));
    if (fd < 0) files_fail(path);
    /* helper threads of the kernel's and of a library's count, too */
    bench_init(
        &files_bench, direct ? CLOCK_MONOTONIC : CLOCK_PROCESS_CPUTIME_ID);
    if (direct) return fd;
    while (read(fd, buffer, sizeof buffer) > 0) continue;
    posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
    return fd;
}

/* Where to read next. */
static inline uint64_t files_offset(void) {
    return bench_random(&files_random) % (FILES_BYTES / FILES_BLOCK) *
        FILES_BLOCK;
}

/* BLOCK is what was read at OFFSET, RESULT bytes; false: that was enough. */
static inline bool files_came(const void *block, uint64_t offset, long result) {
    const uint64_t *words = block;
    unsigned step = files_bench.count == 0 ? 1 : FILES_BLOCK / 8 - 1;
    bool right = result == FILES_BLOCK;
    for (unsigned i = 0; right && i < FILES_BLOCK / 8; i += step)
        right = words[i] == files_word(offset + 8 * i);
    if (!right) {
        fprintf(stderr, "what was read at %llu is wrong (%ld)\n",
            (unsigned long long)offset, result);
        exit(1);
    }
    return ++files_reads % FILES_SLICE != 0 ||
        bench_lap(&files_bench, FILES_SLICE);
}
