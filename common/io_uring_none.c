/* SPDX-License-Identifier: MIT */
/* Stands in for a stage's io_uring.c where it cannot be built: without liburing
 * and in the portable profile. The poll backend is used then. */
#include "io.h"

static int init(struct mini_io_shard *io) {
    (void)io;
    return -ENOSYS;
}

bool mini_uring_wake(int ring) {
    (void)ring;
    return false;
}

const struct mini_io_backend mini_io_uring = {.name = "uring", .init = init};
