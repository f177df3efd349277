/* SPDX-License-Identifier: MIT
 *
 * faults_uring.c: the wrappers of liburing's calls, which say a negative errno,
 * and of the operations in its ring. See faults.h.
 */
#include "faults.h"

#include <errno.h>
#include <liburing.h>
#include <stdarg.h>
#include <unistd.h>

#define MUST_FAIL(call, ...) \
    mini_test_must_fail(call, (const int[]){__VA_ARGS__}, \
        sizeof((const int[]){__VA_ARGS__}) / sizeof(int))

#define WRAP(name, parameters, arguments, ...) \
    int __wrap_##name parameters; \
    int __wrap_##name parameters { \
        int error = MUST_FAIL(#name, __VA_ARGS__); \
        return error ? -error : name arguments; \
    }

WRAP(io_uring_queue_init_params,
    (unsigned entries, struct io_uring *ring, struct io_uring_params *params),
    (entries, ring, params), EINVAL, ENOSYS, EPERM, ENOMEM, EMFILE)
WRAP(io_uring_register_buf_ring,
    (struct io_uring * ring, struct io_uring_buf_reg *buffers, unsigned flags),
    (ring, buffers, flags), EINVAL, ENOMEM)
WRAP(io_uring_register_buffers,
    (struct io_uring * ring, const struct iovec *buffers, unsigned count),
    (ring, buffers, count), ENOMEM, EFAULT)
WRAP(io_uring_register_files_sparse, (struct io_uring * ring, unsigned count),
    (ring, count), EMFILE, EINVAL)
WRAP(io_uring_register_files_update,
    (struct io_uring * ring, unsigned first, const int *files, unsigned count),
    (ring, first, files, count), ENOMEM)

struct io_uring_probe *__wrap_io_uring_get_probe_ring(struct io_uring *ring);
struct io_uring_probe *__wrap_io_uring_get_probe_ring(struct io_uring *ring) {
    if (MUST_FAIL("io_uring_get_probe_ring", ENOMEM)) return NULL;
    struct io_uring_probe *probe = io_uring_get_probe_ring(ring);

    if (probe && mini_test_unknown >= 0)
        probe->ops[mini_test_unknown].flags = 0;
    return probe;
}

/* The one that liburing 2.3 has no function for. It rings, as a bell does, and
 * has four arguments. */
long __wrap_syscall(long number, ...);
long __wrap_syscall(long number, ...) {
    va_list list;
    va_start(list, number);
    int ring = va_arg(list, int);
    int what = va_arg(list, int);
    void *message = va_arg(list, void *);
    int count = va_arg(list, int);

    va_end(list);
    mini_test_wake_tries += ((struct io_uring_sqe *)message)->fd >= 0;
    errno = MUST_FAIL("syscall", EINVAL, EOVERFLOW);
    if (errno) return -1;
    long result = syscall(number, ring, what, message, count);

    mini_test_wakes += result == 0;
    mini_test_bell_rings += result == 0; /* else the bell is rung */
    return result;
}

/* ---- operations --------------------------------------------------------- */

/* From Linux 6.10 on a no-op has the result that one gives it. An older kernel
 * says EINVAL, as it does to an operation that it does not know. */
enum { NOP_INJECT_RESULT = 1, NO_OPERATION = 255 };

static bool can_inject(void) {
    static int can = -1;
    struct io_uring ring;
    struct io_uring_cqe *cqe;

    if (can >= 0) return can;
    can = 0;
    if (io_uring_queue_init(2, &ring, 0) < 0) return false;
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);

    io_uring_prep_nop(sqe);
    sqe->rw_flags = NOP_INJECT_RESULT;
    sqe->len = (unsigned)-EIO;
    if (io_uring_submit_and_wait(&ring, 1) == 1 &&
        io_uring_peek_cqe(&ring, &cqe) == 0)
        can = cqe->res == -EIO;
    io_uring_queue_exit(&ring);
    return can;
}

/* The errno of this operation, if it is to fail. Not of cancel and close, whose
 * failure would be one of the runtime's: there is nothing that it may do. */
static int error_of(const struct io_uring_sqe *sqe) {
    switch (sqe->opcode) {
    case IORING_OP_ACCEPT:
        return MUST_FAIL("accept in the ring", EINTR, EAGAIN, ECONNABORTED,
            EMFILE, ENOBUFS, EINVAL);
    case IORING_OP_CONNECT:
        return MUST_FAIL("connect in the ring", ECONNREFUSED, ENOMEM);
    case IORING_OP_RECV:
        return MUST_FAIL(
            "recv in the ring", EINTR, EAGAIN, ECONNRESET, ENOMEM, ENOBUFS);
    case IORING_OP_RECVMSG:
        return MUST_FAIL(
            "recvmsg in the ring", EINTR, EAGAIN, ECONNREFUSED, ENOMEM);
    case IORING_OP_SEND:
        return MUST_FAIL("send in the ring", EINTR, EAGAIN, EPIPE, ENOBUFS);
    case IORING_OP_SEND_ZC:
        return MUST_FAIL("send_zc in the ring", EINTR, EAGAIN, EPIPE, ENOBUFS,
            EINVAL, EOPNOTSUPP, ENOMEM);
    case IORING_OP_SENDMSG:
        return MUST_FAIL("sendmsg in the ring", EINTR, EAGAIN, ECONNREFUSED);
    case IORING_OP_SPLICE:
        return MUST_FAIL(
            "splice in the ring", EINTR, EAGAIN, EIO, ENOMEM, ECANCELED);
    case IORING_OP_SHUTDOWN:
        return MUST_FAIL("shutdown in the ring", ENOTCONN, ECANCELED);
    case IORING_OP_READ:
    case IORING_OP_READ_FIXED:
        return MUST_FAIL("read in the ring", EINTR, EAGAIN, EIO, ENOMEM);
    case IORING_OP_WRITE:
    case IORING_OP_WRITE_FIXED:
        return MUST_FAIL("write in the ring", EINTR, EAGAIN, EIO, ENOSPC);
    case IORING_OP_OPENAT:
        return MUST_FAIL(
            "openat in the ring", EINTR, EMFILE, ENOENT, ENOMEM, ECANCELED);
    case IORING_OP_FSYNC:
        return MUST_FAIL("fsync in the ring", EINTR, EIO, ENOSPC, ECANCELED);
    case IORING_OP_STATX:
        return MUST_FAIL("statx in the ring", ENOENT, ENOMEM, ECANCELED);
    case IORING_OP_POLL_ADD: return MUST_FAIL("poll in the ring", ENOMEM);
    default: return 0;
    }
}

static void spoil(struct io_uring_sq *sq) {
    for (unsigned at = sq->sqe_head; at != sq->sqe_tail; at++) {
        struct io_uring_sqe *sqe = &sq->sqes[at & sq->ring_mask];

        if (mini_test_deaf_fd >= 0 && sqe->opcode == IORING_OP_RECV &&
            sqe->ioprio & IORING_RECV_MULTISHOT)
            sqe->fd = mini_test_deaf_fd;
        int error = error_of(sqe);
        uint64_t user_data = sqe->user_data;

        if (!error) continue;
        io_uring_prep_nop(sqe);
        sqe->user_data = user_data;
        if (can_inject())
            sqe->rw_flags = NOP_INJECT_RESULT, sqe->len = (unsigned)-error;
        else
            sqe->opcode = NO_OPERATION;
    }
}

/* ---- submitting --------------------------------------------------------- */

/* What has been completed; the runtime has reaped what was there before. */
static int show(struct io_uring *ring, int result) {
    struct io_uring_cq *cq = &ring->cq;
    unsigned at = *cq->khead, end = io_uring_smp_load_acquire(cq->ktail);

    for (; mini_test_completion && at != end; at++) {
        struct io_uring_cqe *cqe = &cq->cqes[at & cq->ring_mask];

        /* an odd one is that of a watch */
        mini_test_completion(
            cqe->user_data & 1 ? NULL : io_uring_cqe_get_data(cqe), &cqe->res,
            &cqe->flags);
    }
    return result;
}

int __wrap_io_uring_submit(struct io_uring *ring);
int __wrap_io_uring_submit(struct io_uring *ring) {
    int error = MUST_FAIL("io_uring_submit", EINTR, EAGAIN, EBUSY);

    mini_test_ring_calls++;
    spoil(&ring->sq);
    return error ? -error : show(ring, io_uring_submit(ring));
}

int __wrap_io_uring_submit_and_get_events(struct io_uring *ring);
int __wrap_io_uring_submit_and_get_events(struct io_uring *ring) {
    int error =
        MUST_FAIL("io_uring_submit_and_get_events", EINTR, EAGAIN, EBUSY);

    mini_test_ring_calls++;
    spoil(&ring->sq);
    return error ? -error : show(ring, io_uring_submit_and_get_events(ring));
}

int __wrap_io_uring_submit_and_wait_timeout(struct io_uring *ring,
    struct io_uring_cqe **cqe, unsigned count, struct __kernel_timespec *limit,
    sigset_t *mask);
int __wrap_io_uring_submit_and_wait_timeout(struct io_uring *ring,
    struct io_uring_cqe **cqe, unsigned count, struct __kernel_timespec *limit,
    sigset_t *mask) {
    int error = MUST_FAIL(
        "io_uring_submit_and_wait_timeout", EINTR, EAGAIN, EBUSY, ENOMEM);
    long long ns = limit ? limit->tv_sec * 1000000000LL + limit->tv_nsec : 0;

    mini_test_ring_calls++;
    if (ns > mini_test_longest_wait) mini_test_longest_wait = ns;
    spoil(&ring->sq);
    if (error) return -error;
    return show(
        ring, io_uring_submit_and_wait_timeout(ring, cqe, count, limit, mask));
}
