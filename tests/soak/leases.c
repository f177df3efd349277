/* SPDX-License-Identifier: MIT */
/* Linked into the servers that run.py soaks, with --wrap=mini_buffers_destroy:
 * when a shard has ended, are all its buffers there? Each is free or lent to
 * the kernel; what is not was leased and never given back. */
#include "lease.h"

#include <stdio.h>

void __real_mini_buffers_destroy(struct mini_io_shard *io);
void __wrap_mini_buffers_destroy(struct mini_io_shard *io);

void __wrap_mini_buffers_destroy(struct mini_io_shard *io) {
    const struct mini_buffers *buffers = io->buffers;
    unsigned out = buffers ? buffers->used - buffers->lent : 0;
    if (buffers) out -= buffers->free_count;
    if (out != 0)
        fprintf(stderr, "soak: %d of %u leases were not returned\n", (int)out,
            buffers->used);
    __real_mini_buffers_destroy(io);
}
