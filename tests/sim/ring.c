/* SPDX-License-Identifier: MIT */
/* The simulated kernel's io_uring: what of liburing is not inline, and a thread
 * of the hardware's that completes requests, in any order.
 *
 * Until its completion a request's buffer is the kernel's, and is written to:
 * who has freed it in the meantime is found. */
#include "kernel.h"

#include <errno.h>

#if STAGE >= 5 && SIM_URING
#include <liburing.h>
#include <stdarg.h>

#define REQUESTS 1024
#define ANY (POLLERR | POLLHUP)

void *__real_malloc(size_t size);
void __real_free(void *block);

struct request {
    struct io_uring_sqe sqe;
    struct object *file;
    bool cancelled;
    int refused; /* an errno that it completes with: try again */
    bool sent; /* of a send_zc: its second completion is to come */
    long sum; /* of what it has sent */
    long count;
    unsigned rings; /* of a multishot poll: its bell's that it has told of */
};

struct ring {
    struct ring *next;
    struct io_uring *user;
    struct request *requests[REQUESTS];
    unsigned count;
    struct {
        uint64_t user_data;
        int result;
        unsigned flags;
    } done[4 * REQUESTS]; /* completions that are not in the CQ yet */
    unsigned done_count;
    struct io_uring_buf_ring *buffers;
    uint16_t buffers_mask, buffers_head;
    unsigned index[4]; /* the heads and tails of both queues */
    unsigned flags;
};

static struct ring *rings;
static int ring_fds; /* the next one's number */
/* 0: there is no io_uring; 1 to 5: as in Linux 5.11, 5.19, 6.0, 6.1, 6.13. */
static unsigned version;

static struct ring *ring_of(struct io_uring *user) { return user->sq.ring_ptr; }

/* ---- completion ---- */

/* Completions go into the CQ as far as there is room. */
static void flush(struct ring *ring) {
    struct io_uring_cq *cq = &ring->user->cq;
    unsigned moved = 0;
    for (;
         moved < ring->done_count && *cq->ktail - *cq->khead < cq->ring_entries;
         moved++) {
        struct io_uring_cqe *cqe = &cq->cqes[(*cq->ktail)++ & cq->ring_mask];
        cqe->user_data = ring->done[moved].user_data;
        cqe->res = ring->done[moved].result;
        cqe->flags = ring->done[moved].flags;
    }
    ring->done_count -= moved;
    memmove(
        ring->done, ring->done + moved, ring->done_count * sizeof *ring->done);
    ring->flags = ring->done_count == 0 ? 0 : IORING_SQ_CQ_OVERFLOW;
}

static void post(
    struct ring *ring, struct request *q, long result, unsigned flags) {
    sim_trace("completes: opcode %d of %d, %ld, flags %x", q->sqe.opcode,
        q->sqe.fd, result, flags);
    SIM_CHECK(ring->done_count < 4 * REQUESTS, "completions are not reaped");
    ring->done[ring->done_count].user_data = q->sqe.user_data;
    ring->done[ring->done_count].result = (int)result;
    ring->done[ring->done_count++].flags = flags;
    if (version >= 4)
        ring->flags |= IORING_SQ_TASKRUN; /* it has to come for it */
    else
        flush(ring);
}

static void finish(
    struct ring *ring, struct request *q, long result, unsigned flags) {
    unsigned i = 0;
    post(ring, q, result, flags);
    if (q->file) q->file->users--;
    while (ring->requests[i] != q) i++;
    ring->requests[i] = ring->requests[--ring->count];
    __real_free(q);
}

/* ---- carrying out a request ---- */

static void *buffer_of(struct request *q) {
    return (void *)(uintptr_t)q->sqe.addr;
}

/* A multishot poll tells of what is there at first, then of each ring. */
static bool goes_on(struct request *q) {
    switch (q->sqe.opcode) {
    case IORING_OP_ACCEPT: return q->sqe.ioprio & IORING_ACCEPT_MULTISHOT;
    case IORING_OP_RECV: return q->sqe.ioprio & IORING_RECV_MULTISHOT;
    case IORING_OP_POLL_ADD: return q->sqe.len & IORING_POLL_ADD_MULTI;
    default: return false;
    }
}

static bool is_ready(struct request *q) {
    if (q->refused) return true;
    switch (q->sqe.opcode) {
    case IORING_OP_POLL_ADD:
        if (goes_on(q) && q->rings == q->file->rings) return false;
        return sim_events(q->file) & (short)(q->sqe.poll32_events | ANY);
    case IORING_OP_ACCEPT:
    case IORING_OP_RECV: return sim_events(q->file) & (POLLIN | ANY);
    case IORING_OP_SEND:
    case IORING_OP_SEND_ZC:
        return q->sent || sim_events(q->file) & (POLLOUT | ANY);
    default: return true;
    }
}

static void scribble(struct request *q) {
    if (q->sqe.opcode == IORING_OP_RECV &&
        !(q->sqe.flags & IOSQE_BUFFER_SELECT))
        memset(buffer_of(q), (int)sim_random(256), q->sqe.len);
}

static long sum_of(struct request *q, long count) {
    long sum = 0;
    for (long i = 0; i < count; i++)
        sum = sum * 31 + ((unsigned char *)buffer_of(q))[i];
    return sum;
}

/* A send without a copy: its result, and later that its buffer is free. */
static void send_zc(struct ring *ring, struct request *q) {
    if (q->sent) {
        SIM_CHECK(sum_of(q, q->count) == q->sum,
            "a buffer was changed before send_zc was done with it");
        finish(ring, q, sim_chance(2) ? INT32_MIN : 0, IORING_CQE_F_NOTIF);
        return;
    }
    long result = sim_fault("send_zc: EOPNOTSUPP")
        ? -EOPNOTSUPP
        : sim_send(q->file, buffer_of(q), q->sqe.len);
    if (result < 0 && sim_chance(2)) {
        finish(ring, q, result, 0);
        return;
    }
    q->sent = true;
    q->count = result < 0 ? 0 : result;
    q->sum = sum_of(q, q->count);
    post(ring, q, result, IORING_CQE_F_MORE);
}

/* Into the next buffer that was lent. Flags for the completion. */
static long recv_buffer(struct ring *ring, struct request *q, unsigned *flags) {
    if (!ring->buffers || ring->buffers_head == ring->buffers->tail)
        return -ENOBUFS;
    struct io_uring_buf *buffer =
        &ring->buffers->bufs[ring->buffers_head & ring->buffers_mask];
    long result =
        sim_recv(q->file, (void *)(uintptr_t)buffer->addr, buffer->len);
    if (result > 0 || (result == 0 && sim_chance(2))) {
        *flags |= IORING_CQE_F_BUFFER |
            (unsigned)buffer->bid << IORING_CQE_BUFFER_SHIFT;
        ring->buffers_head++;
    }
    return result;
}

static long perform(struct ring *ring, struct request *q, unsigned *flags) {
    switch (q->sqe.opcode) {
    case IORING_OP_POLL_ADD:
        return sim_events(q->file) & (short)(q->sqe.poll32_events | ANY);
    case IORING_OP_ACCEPT: return sim_accept(q->file);
    case IORING_OP_CONNECT: return sim_connect(q->file, buffer_of(q));
    case IORING_OP_RECV:
        return q->sqe.flags & IOSQE_BUFFER_SELECT
            ? recv_buffer(ring, q, flags)
            : sim_recv(q->file, buffer_of(q), q->sqe.len);
    case IORING_OP_SEND: return sim_send(q->file, buffer_of(q), q->sqe.len);
    case IORING_OP_SHUTDOWN: return sim_shutdown(q->file);
    case IORING_OP_CLOSE: return sim_close(q->sqe.fd);
    case IORING_OP_ASYNC_CANCEL: return 0;
    default: sim_fail("a request that is not simulated: %d", q->sqe.opcode);
    }
}

/* One step of one request. A cancel may be late: then its real result comes. */
static void step(struct ring *ring, struct request *q) {
    if (q->cancelled && !q->sent && (!is_ready(q) || sim_chance(2))) {
        scribble(q);
        finish(ring, q, goes_on(q) || sim_chance(2) ? -ECANCELED : -EINTR, 0);
        return;
    }
    if (q->sqe.opcode == IORING_OP_SEND_ZC) {
        send_zc(ring, q);
        return;
    }
    unsigned flags = 0;
    long result = q->refused ? q->refused : perform(ring, q, &flags);
    if (q->file) q->rings = q->file->rings;
    if (goes_on(q) && result > 0 && !sim_fault("a multishot ends"))
        post(ring, q, result, flags | IORING_CQE_F_MORE);
    else
        finish(ring, q, result, flags);
}

static bool is_any_request_ready(void *unused) {
    (void)unused;
    for (struct ring *ring = rings; ring; ring = ring->next)
        for (unsigned i = 0; i < ring->count; i++)
            if (ring->requests[i]->cancelled || is_ready(ring->requests[i]))
                return true;
    return false;
}

static void *complete_requests(void *unused) {
    for (;;) {
        struct ring *ring_chosen = NULL;
        struct request *chosen = NULL;
        uint32_t ready = 0;
        sim_wait("for requests", is_any_request_ready, NULL, MINI_FOREVER);
        for (struct ring *ring = rings; ring; ring = ring->next)
            for (unsigned i = 0; i < ring->count; i++)
                if ((ring->requests[i]->cancelled ||
                        is_ready(ring->requests[i])) &&
                    sim_chance(++ready))
                    chosen = ring->requests[i], ring_chosen = ring;
        if (chosen) step(ring_chosen, chosen);
        if (sim_chance(4))
            sim_wait("for its time", NULL, NULL, sim_random(100000));
    }
    return unused;
}

/* ---- submission ---- */

/* Looked up at once, so that it cannot hit a later request of the same name;
 * what comes of it is up to step(). */
static void cancel(struct ring *ring, uint64_t name) {
    for (unsigned i = 0; i < ring->count; i++)
        if (ring->requests[i]->sqe.user_data == name)
            ring->requests[i]->cancelled = true;
}

static int submit(struct io_uring *user) {
    struct ring *ring = ring_of(user);
    int count = 0;
    sim_point("io_uring_enter");
    if (version < 2) flush(ring); /* as much as there is room for */
    if (ring->flags & IORING_SQ_CQ_OVERFLOW && version < 2) return -EBUSY;
    if (sim_fault("io_uring_enter: EAGAIN")) return -EAGAIN;
    for (; *user->sq.khead != user->sq.sqe_tail; count++) {
        struct request *q = __real_malloc(sizeof *q);
        unsigned at = (*user->sq.khead)++ & user->sq.ring_mask;
        *q = (struct request){.sqe = user->sq.sqes[at]};
        if (q->sqe.opcode == IORING_OP_ASYNC_CANCEL) {
            cancel(ring, q->sqe.addr);
        } else if (q->sqe.opcode != IORING_OP_CLOSE) {
            q->file = sim_object(q->sqe.fd);
            q->file->users++;
        }
        bool may_wait = q->sqe.opcode == IORING_OP_ACCEPT ||
            q->sqe.opcode == IORING_OP_RECV || q->sqe.opcode == IORING_OP_SEND;
        if (may_wait && sim_fault("a request says EAGAIN or EINTR"))
            q->refused = sim_chance(2) ? -EAGAIN : -EINTR;
        SIM_CHECK(ring->count < REQUESTS, "too many requests");
        ring->requests[ring->count++] = q;
        sim_trace("submits: opcode %d of %d", q->sqe.opcode, q->sqe.fd);
        scribble(q);
    }
    return count;
}

int io_uring_submit(struct io_uring *user) { return submit(user); }

int io_uring_submit_and_get_events(struct io_uring *user) {
    int result = submit(user);
    flush(ring_of(user));
    return result;
}

static bool has_completions(void *arg) {
    struct ring *ring = arg;
    return ring->done_count > 0 ||
        *ring->user->cq.ktail != *ring->user->cq.khead;
}

int io_uring_submit_and_wait_timeout(struct io_uring *user,
    struct io_uring_cqe **first, unsigned count,
    struct __kernel_timespec *limit, sigset_t *mask) {
    struct ring *ring = ring_of(user);
    (void)first, (void)count, (void)mask;
    int result = submit(user);
    if (result < 0) return result;
    if (sim_fault("io_uring_enter: EINTR")) return -EINTR;
    sim_wait("io_uring_enter", has_completions, ring,
        limit ? (uint64_t)limit->tv_sec * 1000000000 + (uint64_t)limit->tv_nsec
              : MINI_FOREVER);
    flush(ring);
    return has_completions(ring) ? 0 : -ETIME;
}

int __io_uring_get_cqe(struct io_uring *user, struct io_uring_cqe **entry,
    unsigned submitted, unsigned count, sigset_t *mask) {
    (void)submitted, (void)count, (void)mask;
    if (ring_of(user)->flags) flush(ring_of(user));
    struct io_uring_cq *cq = &user->cq;
    if (*cq->ktail == *cq->khead) return -EAGAIN;
    *entry = &cq->cqes[*cq->khead & cq->ring_mask];
    return 0;
}

/* Puts a completion into another's ring: the one call without a function of
 * liburing 2.3's. */
long __wrap_syscall(long number, ...);
long __wrap_syscall(long number, ...) {
    va_list list;
    va_start(list, number);
    (void)va_arg(list, int), (void)va_arg(list, int);
    struct request message = {.sqe = *va_arg(list, struct io_uring_sqe *)};
    va_end(list);
    sim_point("wake a ring");
    struct ring *ring = rings;
    while (ring && ring->user->ring_fd != message.sqe.fd) ring = ring->next;
    SIM_CHECK(ring || message.sqe.fd < 0, "the ring to be woken is closed");
    errno = version < 5 ? EINVAL : !ring ? EBADF : 0;
    if (!errno && sim_fault("a ring cannot be woken")) errno = EOVERFLOW;
    if (errno) return -1;
    post(ring, &message, 0, 0);
    return 0;
}

/* ---- set up ---- */

void sim_rings_start(void) {
    rings = NULL;
    ring_fds = 1000000; /* no object's */
    version = sim_random(6) * !sim_chance(3);
    if (version > 0) sim_go("kernel", true, complete_requests, NULL);
}

int io_uring_queue_init_params(
    unsigned entries, struct io_uring *user, struct io_uring_params *params) {
    if (version == 0) return -ENOSYS;
    if ((params->flags & IORING_SETUP_DEFER_TASKRUN && version < 4) ||
        (params->flags && version < 2))
        return -EINVAL;
    struct ring *ring = __real_malloc(sizeof *ring);
    entries = 4u << sim_random(5); /* fewer: so that they are full at times */
    *ring = (struct ring){.next = rings, .user = user};
    *user = (struct io_uring){.flags = params->flags,
        .ring_fd = ring_fds++,
        .sq = {.khead = &ring->index[0],
            .kflags = &ring->flags,
            .sqes = __real_malloc(entries * sizeof(struct io_uring_sqe)),
            .ring_ptr = ring,
            .ring_mask = entries - 1,
            .ring_entries = entries},
        .cq = {.khead = &ring->index[2],
            .ktail = &ring->index[3],
            .cqes = __real_malloc(2 * entries * sizeof(struct io_uring_cqe)),
            .ring_mask = 2 * entries - 1,
            .ring_entries = 2 * entries}};
    user->features = params->features = IORING_FEAT_EXT_ARG;
    rings = ring;
    return 0;
}

void io_uring_queue_exit(struct io_uring *user) {
    struct ring *ring = ring_of(user), **link = &rings;
    for (unsigned i = 0; i < ring->count; i++)
        SIM_CHECK(ring->requests[i]->sqe.opcode == IORING_OP_ASYNC_CANCEL,
            "a request is under way when its ring is closed");
    while (*link != ring) link = &(*link)->next;
    *link = ring->next;
    while (ring->count > 0) __real_free(ring->requests[--ring->count]);
    __real_free(user->sq.sqes);
    __real_free(user->cq.cqes);
    __real_free(ring);
}

struct io_uring_probe *io_uring_get_probe_ring(struct io_uring *user) {
    static struct io_uring_probe_op memory[IORING_OP_LAST + 4];
    struct io_uring_probe *probe = (void *)memory;
    (void)user;
    probe->last_op = IORING_OP_LAST - 1;
    for (int i = 0; i < IORING_OP_LAST; i++)
        probe->ops[i].flags = (i != IORING_OP_SOCKET || version >= 2) &&
                (i != IORING_OP_SEND_ZC || version >= 3)
            ? IO_URING_OP_SUPPORTED
            : 0;
    return probe;
}

void io_uring_free_probe(struct io_uring_probe *probe) { (void)probe; }

int io_uring_register_buf_ring(
    struct io_uring *user, struct io_uring_buf_reg *reg, unsigned flags) {
    struct ring *ring = ring_of(user);
    (void)flags;
    if (sim_fault("no buffer ring")) return -EINVAL;
    ring->buffers = (void *)(uintptr_t)reg->ring_addr;
    ring->buffers_mask = (uint16_t)(reg->ring_entries - 1);
    return 0;
}

int io_uring_register_files_sparse(struct io_uring *user, unsigned count) {
    (void)user, (void)count;
    return -EINVAL;
}

int io_uring_register_files_update(
    struct io_uring *user, unsigned at, const int *files, unsigned count) {
    (void)user, (void)at, (void)files, (void)count;
    return -EINVAL;
}

int io_uring_register_buffers(
    struct io_uring *user, const struct iovec *buffers, unsigned count) {
    (void)user, (void)buffers, (void)count;
    return -EINVAL;
}

int io_uring_unregister_buffers(struct io_uring *user) {
    (void)user;
    return -EINVAL;
}
#else
void sim_rings_start(void) {}
#endif
