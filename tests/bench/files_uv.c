/* SPDX-License-Identifier: MIT */
/* Reads of a file with libuv, as files.h says: its helper threads read. */
#include "files.h"

#include <uv.h>

static uv_fs_t requests[FILES_DEPTH];
static uint64_t offsets[FILES_DEPTH];
static _Alignas(FILES_BLOCK) char memory[FILES_DEPTH][FILES_BLOCK];
static bool running = true;
static int fd;

static void start(long i);

static void came(uv_fs_t *request) {
    long i = request - requests, result = (long)request->result;
    uv_fs_req_cleanup(request);
    running = running && files_came(memory[i], offsets[i], result);
    if (running) start(i);
}

static void start(long i) {
    uv_buf_t buffer = uv_buf_init(memory[i], FILES_BLOCK);
    offsets[i] = files_offset();
    if (uv_fs_read(uv_default_loop(), &requests[i], fd, &buffer, 1,
            (int64_t)offsets[i], came) < 0)
        exit(1);
}

int main(int argc, char **argv) {
    if (argc != 2) return 2;
    fd = files_open(argv[1], false);
    bench_start(&files_bench);
    for (long i = 0; i < FILES_DEPTH; i++) start(i);
    uv_run(uv_default_loop(), UV_RUN_DEFAULT);
    bench_print(&files_bench);
    return 0;
}
