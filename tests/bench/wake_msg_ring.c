/* SPDX-License-Identifier: MIT */
/* A limit of waking: two threads that sleep in a ring of io_uring each, and send
 * a completion to the other's (IORING_OP_MSG_RING, Linux 5.18). */
#include "bench.h"

#include <liburing.h>

static struct bench bench;
static struct io_uring rings[2];
static pthread_barrier_t both;
static volatile bool running = true;

static void open_ring(int index) {
    struct io_uring_params params = {
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN};
    bench_pin(index);
    if (io_uring_queue_init_params(8, &rings[index], &params) < 0) exit(1);
    pthread_barrier_wait(&both);
}

/* Sends one and waits for one, in one system call. */
static void send_and_wait(int from, int to) {
    struct io_uring_sqe *sqe = io_uring_get_sqe(&rings[from]);
    struct io_uring_cqe *cqe;
    bool came = false;
    io_uring_prep_msg_ring(sqe, rings[to].ring_fd, 0, 1, 0);
    io_uring_sqe_set_data64(sqe, 0);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    io_uring_submit_and_wait(&rings[from], 1);
    while (!came && io_uring_wait_cqe(&rings[from], &cqe) == 0) {
        if (cqe->res < 0) exit(1); /* this kernel cannot */
        came = io_uring_cqe_get_data64(cqe) == 1;
        io_uring_cqe_seen(&rings[from], cqe);
    }
}

static void *echo(void *arg) {
    struct io_uring_cqe *cqe;
    open_ring(1);
    io_uring_wait_cqe(&rings[1], &cqe);
    io_uring_cqe_seen(&rings[1], cqe);
    while (running) send_and_wait(1, 0);
    return arg;
}

int main(void) {
    pthread_t other;
    pthread_barrier_init(&both, NULL, 2);
    bench_init(&bench, CLOCK_MONOTONIC);
    pthread_create(&other, NULL, echo, NULL);
    open_ring(0);
    bench_start(&bench);
    do {
        for (int i = 0; i < 100; i++) send_and_wait(0, 1);
    } while (bench_lap(&bench, 100));
    bench_print(&bench);
    return 0; /* the other thread waits for ever: it ends with the process */
}
