/* SPDX-License-Identifier: MIT */
/* Buffers to be leased. See lease.h. */
#include "lease.h"

#include <stdlib.h>

int mini_buffers_init(struct mini_io_shard *io, unsigned count) {
    if (count == 0) count = MINI_BUFFERS;
    if (count > 32768 || (count & (count - 1)) != 0) return -EINVAL;
    io->buffers = calloc(1, sizeof *io->buffers);
    if (!io->buffers) return -ENOMEM;
    io->buffers->count = count;
    mini_list_init(&io->buffers->starved);
    return 0;
}

void mini_buffers_destroy(struct mini_io_shard *io) {
    if (io->buffers) free(io->buffers->all);
    free(io->buffers);
}

void mini_buffer_put(struct mini_io_shard *io, struct mini_buffer *buffer) {
    buffer->next = io->buffers->free;
    io->buffers->free = buffer;
}

int mini_buffers_need(struct mini_io_shard *io) {
    struct mini_buffers *buffers = io->buffers;
    if (buffers->all) return 0;
    buffers->all = malloc(buffers->count * sizeof *buffers->all);
    if (!buffers->all) return -ENOMEM;
    for (unsigned i = 0; i < buffers->count; i++) {
        buffers->all[i].id = i;
        mini_buffer_put(io, &buffers->all[i]);
    }
    mini_buffers_lend(io);
    return 0;
}

struct mini_buffer *mini_buffer_take(struct mini_io_shard *io) {
    struct mini_buffer *buffer = io->buffers->free;
    if (buffer) io->buffers->free = buffer->next;
    return buffer;
}

/* A stream's buffers are a ring of links: its newest, behind that the oldest. */
void mini_buffer_filled(
    struct mini_io *operation, struct mini_buffer *buffer, size_t length) {
    struct mini_buffer *newest = operation->newest;
    buffer->length = (uint32_t)length;
    buffer->next = newest ? newest->next : buffer;
    if (newest) newest->next = buffer;
    operation->newest = buffer;
    operation->done++;
    mini_self->stats.leases++;
}

/* All that found none, not one for each buffer: the first may have nothing to
 * receive by now, and would keep it from the next. Who finds none again goes to
 * the end of the line, behind the last of now. */
static void try_again(struct mini_list *line) {
    struct mini_list *last = line->prev, *link;
    if (mini_list_empty(line)) return;
    do {
        link = mini_list_pop(line);
        struct mini_io *stream = MINI_CONTAINER(link, struct mini_io, link);
        stream->starved = false;
        mini_io_start(stream);
    } while (link != last);
}

void mini_buffers_lend(struct mini_io_shard *io) {
    struct mini_buffers *buffers = io->buffers;
    bool ring = io->features & MINI_BUFFER_RING;
    while (ring && buffers->free && buffers->lent < (buffers->count + 1) / 2) {
        io->backend->lend(io, mini_buffer_take(io));
        buffers->lent++;
    }
    if (buffers->lent > 0 || buffers->free) try_again(&buffers->starved);
}

void mini_lease_return(struct mini_buffer *buffer) {
    mini_buffer_put(mini_self->io, buffer);
    mini_buffers_lend(mini_self->io);
}
