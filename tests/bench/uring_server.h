/* SPDX-License-Identifier: MIT */
/* The limit of a server: a loop over io_uring by hand, with the least that the
 * kernel lets one do. One multishot accept; one multishot receive for each
 * connection, into buffers that all share; descriptors that only the ring knows;
 * and one system call a turn. Or, told to spin, one as soon as there is
 * something to be done.
 *
 * With two threads each has all of this for itself; the first one accepts, and
 * hands every other connection to the second.
 *
 * A program defines, before it includes this:
 *     answer(fd, data, &length)    what to send for LENGTH bytes that have come:
 *                                  DATA itself, or what always stays; 0 bytes is
 *                                  nothing */
#pragma once

#include "bench.h"
#include "listener.h"

#include <liburing.h>

#define ENTRIES 1024
#define BUFFERS 2048
#define FILES 16384

enum kind { ACCEPT, HAND_OVER, TAKE_OVER, RECEIVE, SEND, CLOSE };

/* What a completion belongs to, in its 64 bits. */
union tag {
    struct {
        uint8_t kind;
        uint8_t unused;
        uint16_t buffer;
        uint16_t fd; /* an index of the ring's files */
        uint16_t offset; /* sent so far */
    } is;
    uint64_t bits;
};

static const char *answer(unsigned fd, char *data, unsigned *length);

static _Thread_local struct io_uring ring;
static _Thread_local struct io_uring_buf_ring *buffers;
static _Thread_local char (*memory)[BUFFER];
static _Thread_local const char *answers[BUFFERS]; /* to what came in each */
static _Thread_local unsigned lengths[BUFFERS];

static int second = -1; /* the second thread's ring */
static bool spins;
static pthread_barrier_t both;

static struct io_uring_sqe *get_sqe(void) {
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
    if (sqe) return sqe;
    io_uring_submit(&ring);
    return io_uring_get_sqe(&ring);
}

static void give_back(unsigned buffer) {
    io_uring_buf_ring_add(buffers, memory[buffer], BUFFER,
        (unsigned short)buffer, io_uring_buf_ring_mask(BUFFERS), 0);
    io_uring_buf_ring_advance(buffers, 1);
}

static void start_accept(int listener) {
    struct io_uring_sqe *sqe = get_sqe();
    io_uring_prep_multishot_accept_direct(sqe, listener, NULL, NULL, 0);
    sqe->user_data = (union tag){.is = {.kind = ACCEPT}}.bits;
}

static void start_receive(unsigned fd) {
    struct io_uring_sqe *sqe = get_sqe();
    io_uring_prep_recv_multishot(sqe, (int)fd, NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT | IOSQE_FIXED_FILE;
    sqe->buf_group = 0;
    sqe->user_data =
        (union tag){.is = {.kind = RECEIVE, .fd = (uint16_t)fd}}.bits;
}

static void start_send(union tag tag) {
    struct io_uring_sqe *sqe = get_sqe();
    unsigned buffer = tag.is.buffer, offset = tag.is.offset;
    io_uring_prep_send(sqe, tag.is.fd, answers[buffer] + offset,
        (size_t)lengths[buffer] - offset, MSG_NOSIGNAL);
    sqe->flags |= IOSQE_FIXED_FILE;
    tag.is.kind = SEND;
    sqe->user_data = tag.bits;
}

static void start_close(unsigned fd) {
    struct io_uring_sqe *sqe = get_sqe();
    io_uring_prep_close_direct(sqe, fd);
    sqe->user_data = (union tag){.is = {.kind = CLOSE}}.bits;
}

static void accepted(unsigned fd) {
    static unsigned count;
    if (second < 0 || count++ % 2 == 0) {
        start_receive(fd);
        return;
    }
    struct io_uring_sqe *sqe = get_sqe();
    io_uring_prep_msg_ring(
        sqe, second, 0, (union tag){.is = {.kind = TAKE_OVER}}.bits, 0);
    sqe->addr = IORING_MSG_SEND_FD;
    sqe->addr3 = fd;
    sqe->file_index = IORING_FILE_INDEX_ALLOC;
    sqe->user_data =
        (union tag){.is = {.kind = HAND_OVER, .fd = (uint16_t)fd}}.bits;
}

static void received(struct io_uring_cqe *cqe, union tag tag) {
    if (cqe->res > 0) {
        unsigned buffer = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
        tag.is.buffer = (uint16_t)buffer;
        tag.is.offset = 0;
        lengths[buffer] = (unsigned)cqe->res;
        answers[buffer] = answer(tag.is.fd, memory[buffer], &lengths[buffer]);
        if (lengths[buffer] > 0)
            start_send(tag);
        else
            give_back(buffer);
        if (!(cqe->flags & IORING_CQE_F_MORE)) start_receive(tag.is.fd);
    } else if (cqe->res == -ENOBUFS)
        start_receive(tag.is.fd);
    else
        start_close(tag.is.fd);
}

static void sent(struct io_uring_cqe *cqe, union tag tag) {
    if (cqe->res > 0) {
        tag.is.offset = (uint16_t)(tag.is.offset + cqe->res);
        if (tag.is.offset < lengths[tag.is.buffer]) {
            start_send(tag);
            return;
        }
    }
    give_back(tag.is.buffer);
}

static void init(void) {
    struct io_uring_params params = {.flags = IORING_SETUP_SINGLE_ISSUER |
            IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SUBMIT_ALL |
            IORING_SETUP_CQSIZE | IORING_SETUP_TASKRUN_FLAG,
        .cq_entries = 4096};
    struct io_uring_buf_reg reg = {.ring_entries = BUFFERS};
    size_t bytes = BUFFERS * sizeof(struct io_uring_buf);
    buffers = aligned_alloc((size_t)sysconf(_SC_PAGESIZE), bytes);
    memory = malloc(BUFFERS * sizeof *memory);
    if (!buffers || !memory) exit(1);
    reg.ring_addr = (uintptr_t)buffers;
    if (io_uring_queue_init_params(ENTRIES, &ring, &params) < 0 ||
        io_uring_register_files_sparse(&ring, FILES) < 0 ||
        io_uring_register_buf_ring(&ring, &reg, 0) < 0) {
        fputs("this kernel's io_uring is too old\n", stderr);
        exit(1);
    }
    io_uring_register_ring_fd(&ring);
    io_uring_buf_ring_init(buffers);
    memset(memory, 0,
        BUFFERS * sizeof *memory); /* all there before it is counted */
    for (unsigned i = 0; i < BUFFERS; i++) give_back(i);
}

static void complete(struct io_uring_cqe *cqe, int listener) {
    union tag tag = {.bits = cqe->user_data};
    if (tag.is.kind == RECEIVE)
        received(cqe, tag);
    else if (tag.is.kind == SEND)
        sent(cqe, tag);
    else if (tag.is.kind == ACCEPT) {
        if (cqe->res >= 0) accepted((unsigned)cqe->res);
        if (!(cqe->flags & IORING_CQE_F_MORE)) start_accept(listener);
    } else if (tag.is.kind == HAND_OVER)
        start_close(tag.is.fd); /* the second thread has it, too */
    else if (tag.is.kind == TAKE_OVER && cqe->res >= 0)
        start_receive((unsigned)cqe->res);
}

static void wait_or_spin(void) {
    if (!spins)
        io_uring_submit_and_wait(&ring, 1);
    else if (io_uring_sq_ready(&ring) > 0 ||
        IO_URING_READ_ONCE(*ring.sq.kflags) &
            (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW))
        io_uring_submit_and_get_events(&ring);
}

_Noreturn static void loop(int listener) {
    for (;;) {
        struct io_uring_cqe *cqe;
        unsigned head, count = 0;
        wait_or_spin();
        io_uring_for_each_cqe(&ring, head, cqe) {
            count++;
            complete(cqe, listener);
        }
        io_uring_cq_advance(&ring, count);
    }
}

static void *second_thread(void *arg) {
    bench_pin(1);
    init();
    second = ring.ring_fd;
    pthread_barrier_wait(&both);
    loop(-1);
    return arg;
}

static void start_second(void) {
    pthread_t thread;
    bench_pin(0);
    pthread_barrier_init(&both, NULL, 2);
    if (pthread_create(&thread, NULL, second_thread, NULL) != 0) exit(1);
    pthread_barrier_wait(&both);
}

_Noreturn static void serve(unsigned threads) {
    if (threads > 1) start_second();
    init();
    int listener = open_listener(0);
    start_accept(listener);
    loop(listener);
}
