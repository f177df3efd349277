/* SPDX-License-Identifier: MIT */
/* Buffers to be leased. See lease.h. */
#include "lease.h"

#include <stdlib.h>

#define SHORT_LINE 64 /* streams; a line of no more tries again as a whole */

int mini_buffers_need(struct mini_io_shard *io) {
    size_t most = mini_self->options.buffers;
    if (io->buffers) return 0;
    io->buffers = calloc(1,
        sizeof(struct mini_buffers) +
            most * (sizeof(struct mini_buffer) + sizeof(struct mini_buffer *)));
    if (!io->buffers) return -ENOMEM;
    io->buffers->free = (struct mini_buffer **)(io->buffers->all + most);
    mini_list_init(&io->buffers->starved);
    return 0;
}

void mini_buffers_destroy(struct mini_io_shard *io) { free(io->buffers); }

struct mini_buffer *mini_buffer_take(struct mini_io_shard *io) {
    struct mini_buffers *buffers = io->buffers;
    if (buffers->free_count > 0) return buffers->free[--buffers->free_count];
    if (buffers->used == mini_self->options.buffers) return NULL;
    return &buffers->all[buffers->used++];
}

/* A stream's buffers are linked in a ring: the newest one's next is the
 * oldest. */
void mini_buffer_filled(
    struct mini_io *operation, struct mini_buffer *buffer, long length) {
    struct mini_buffer *newest = operation->newest;
    if (length <= 0) {
        mini_lease_return(buffer);
        return;
    }
    buffer->length = (size_t)length;
    buffer->next = newest ? newest->next : buffer;
    if (newest) newest->next = buffer;
    operation->newest = buffer;
    operation->done++;
    mini_self->stats.leases++;
}

void mini_lease_return(struct mini_buffer *buffer) {
    struct mini_buffers *buffers = mini_self->io.buffers;
    buffers->free[buffers->free_count++] = buffer;
}

/* As many streams in LINE as there are buffers in the ring, LENT, since more
 * would ask in vain; but of a short line all, for the first ones may have
 * nothing to receive, or may have to wait until they are ready. A stream that
 * finds none again goes to the end of the line, behind LAST. */
static unsigned try_again(struct mini_list *line, unsigned lent) {
    struct mini_list *last = line->prev, *link = NULL;
    unsigned count = 0, most = lent > SHORT_LINE ? lent : SHORT_LINE;
    for (; count < most && link != last && !mini_list_empty(line); count++) {
        link = mini_list_pop(line);
        struct mini_io *stream = MINI_CONTAINER(link, struct mini_io, link);
        stream->starved = false;
        mini_io_start(stream);
    }
    return count;
}

unsigned mini_buffers_lend(struct mini_io_shard *io) {
    struct mini_buffers *buffers = io->buffers;
    struct mini_buffer *buffer;
    while (io->features & MINI_BUFFER_RING &&
        buffers->lent < MINI_BUFFERS_LENT &&
        buffers->lent < (mini_self->options.buffers + 1) / 2 &&
        (buffer = mini_buffer_take(io))) {
        io->backend->lend(io, buffer);
        buffers->lent++;
    }
    if (buffers->lent + buffers->free_count == 0) return 0; /* all are in use */
    return try_again(&buffers->starved, buffers->lent);
}
