/* SPDX-License-Identifier: MIT */
/* The limit of reading a file, as files.h says: a loop over io_uring by hand, a
 * registered buffer and a registered file, and one system call a turn; past the
 * page cache one for eight reads, so that the device begins sooner. */
#include "files.h"

#include <liburing.h>

static struct io_uring ring;
static char *memory;
static uint64_t offsets[FILES_DEPTH];
static bool direct;

static void start(unsigned i) {
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
    offsets[i] = files_offset();
    io_uring_prep_read_fixed(
        sqe, 0, memory + i * FILES_BLOCK, FILES_BLOCK, offsets[i], 0);
    sqe->flags |= IOSQE_FIXED_FILE;
    sqe->user_data = i;
}

/* Takes what has come and starts as many; false: that was enough. */
static bool turn(void) {
    struct io_uring_cqe *cqe;
    unsigned head, count = 0;
    bool more = true;
    io_uring_submit_and_wait(&ring, 1);
    io_uring_for_each_cqe(&ring, head, cqe) {
        unsigned i = (unsigned)cqe->user_data;
        count++;
        more =
            more && files_came(memory + i * FILES_BLOCK, offsets[i], cqe->res);
        start(i);
        if (direct && count % 8 == 0) io_uring_submit(&ring);
    }
    io_uring_cq_advance(&ring, count);
    return more;
}

int main(int argc, char **argv) {
    struct io_uring_params params = {.flags = IORING_SETUP_SINGLE_ISSUER |
            IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SUBMIT_ALL};
    size_t bytes = FILES_DEPTH * FILES_BLOCK;
    if (argc < 2) return 2;
    direct = argc == 3;
    int fd = files_open(argv[1], direct);
    memory = aligned_alloc(FILES_BLOCK, bytes);
    if (!memory) return 1;
    if (io_uring_queue_init_params(2 * FILES_DEPTH, &ring, &params) < 0 ||
        io_uring_register_files(&ring, &fd, 1) < 0 ||
        io_uring_register_buffers(&ring, &(struct iovec){memory, bytes}, 1) <
            0) {
        fputs("this kernel's io_uring is too old\n", stderr);
        return 1;
    }
    io_uring_register_ring_fd(&ring);
    bench_start(&files_bench);
    for (unsigned i = 0; i < FILES_DEPTH; i++) start(i);
    while (turn()) continue;
    bench_print(&files_bench);
    return 0;
}
