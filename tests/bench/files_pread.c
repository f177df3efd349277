/* SPDX-License-Identifier: MIT */
/* Reads of a file, as files.h says, but one after the other: a system call for
 * each, and nothing else goes on meanwhile. */
#include "files.h"

int main(int argc, char **argv) {
    _Alignas(FILES_BLOCK) static char block[FILES_BLOCK];
    uint64_t offset;
    if (argc < 2) return 2;
    int fd = files_open(argv[1], argc == 3);
    bench_start(&files_bench);
    do offset = files_offset();
    while (files_came(
        block, offset, pread(fd, block, FILES_BLOCK, (off_t)offset)));
    bench_print(&files_bench);
    return 0;
}
