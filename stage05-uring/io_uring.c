/* SPDX-License-Identifier: MIT */
/* The io_uring backend. See io.h for the five functions, io_uring(7) for what
 * lies below.
 *
 * What is done about errors of the ring itself, and about those of an operation
 * that are not simply its result:
 * - SQ full: until there is room, submit what is there, and reap, so that a
 *   full CQ cannot stop that. Cancels do the same.
 * - EBUSY, EAGAIN from submitting: the entries stay in the SQ; reap, and submit
 *   again in the next turn.
 * - EINTR, ETIME from waiting: reap what there is; the caller looks again.
 * - CQ overflow: the kernel keeps the completions; a turn that begins with room
 *   fetches them.
 * - EAGAIN of an operation (its descriptor is O_NONBLOCK): wait until that is
 *   ready, start the operation again. EINTR of one: start it again; except
 *   close, which has closed all the same.
 * - ECANCELED of one that nobody cancelled: it needs a worker thread of the
 *   kernel's, which could not make one: a signal came each time, or there are
 *   too many. Start it again; this does not spin, for the kernel tries for some
 *   time before it says so.
 * - ENOBUFS of a stream: pass it on; lease.c starts it again when a buffer is
 *   back. EMFILE of an accept: pass it on; server.c pauses.
 * - EINVAL, EOPNOTSUPP, ENOMEM of a send_zc: start it again as a send. */
#include "io.h"

#include "file.h"
#include "lease.h"

#include <liburing.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SQ_ENTRIES 256
#define CQ_ENTRIES 4096
#define FIXED_FILES 1024 /* descriptors below this can be registered */
#define ERESTARTSYS 512 /* splice's EINTR: the kernel forgets to translate it */
#define DIRECT 2
#define PAGE 4096
#define REPORT_USAGE 8 /* IORING_SEND_ZC_REPORT_USAGE, from liburing 2.4 on */
#define SEND_MSG_RING 31 /* IORING_REGISTER_SEND_MSG_RING, from 2.8 on */

struct uring {
    struct io_uring ring;
    bool has_files; /* a table of them is registered */
    bool has_buffer; /* for fixed reads and writes */
    uint8_t fixed[FIXED_FILES]; /* by descriptor; DIRECT: has O_DIRECT */
    /* With MINI_BUFFER_RING: the ring of buffers lent to the kernel. */
    _Alignas(PAGE) struct io_uring_buf lent[MINI_BUFFERS_LENT];
};

/* ---- set up ---- */

/* Rings count as locked memory, of which a user has little; closed ones still
 * count for a moment: so it is worth waiting, for up to a second. */
static bool comes_back(int error, int *tries) {
    return error == -ENOMEM && (*tries)++ < 100 && poll(NULL, 0, 10) <= 0;
}

/* Tries what the newest kernels offer, then less, down to what the first did.
 * Without EXT_ARG (5.11) there is no shutdown operation either: then poll(2) is
 * better. A filter may allow a ring to be made but not to be used, so it is
 * used once. */
static int open_ring(struct io_uring *ring) {
    static const unsigned flags[] = {IORING_SETUP_SINGLE_ISSUER |
            IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG |
            IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE,
        IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG |
            IORING_SETUP_CQSIZE,
        0};
    int error = -EINVAL, tries = 0;
    for (size_t i = 0; error == -EINVAL && i < 3; i++) {
        struct io_uring_params params = {
            .flags = flags[i], .cq_entries = CQ_ENTRIES};
        do error = io_uring_queue_init_params(SQ_ENTRIES, ring, &params);
        while (comes_back(error, &tries));
        if (error < 0) continue;
        do error = io_uring_submit_and_get_events(ring);
        while (error == -EINTR || error == -EAGAIN || error == -EBUSY);
        if (!(params.features & IORING_FEAT_EXT_ARG)) error = -ENOSYS;
        if (error < 0) io_uring_queue_exit(ring);
    }
    return error;
}

/* The kernel does not say which flags it knows, but which operations: so one
 * that came with the same version stands for the flag. */
static unsigned probe(struct io_uring *ring) {
    struct io_uring_probe *probe = io_uring_get_probe_ring(ring);
    unsigned features = 0;
    if (!probe) return 0;
    if (io_uring_opcode_supported(probe, IORING_OP_SOCKET))
        features |= MINI_MULTISHOT;
    if (io_uring_opcode_supported(probe, IORING_OP_SEND_ZC))
        features |= MINI_BUFFER_RING | MINI_ZERO_COPY;
    if (io_uring_opcode_supported(probe, IORING_OP_SPLICE))
        features |= MINI_SPLICE;
    io_uring_free_probe(probe);
    return features & ~mini_io_without;
}

/* If the kernel refuses it, the shard does without. */
static void open_buffer_ring(struct mini_io_shard *io, struct uring *uring) {
    struct io_uring_buf_reg registration = {
        .ring_addr = (uintptr_t)uring->lent, .ring_entries = MINI_BUFFERS_LENT};
    int error, tries = 0;
    do error = io_uring_register_buf_ring(&uring->ring, &registration, 0);
    while (comes_back(error, &tries));
    if (error < 0) io->features &= ~(unsigned)MINI_BUFFER_RING;
}

static void fini(struct mini_io_shard *io) {
    io_uring_queue_exit(&((struct uring *)io->state)->ring);
    free(io->state);
}

static int init(struct mini_io_shard *io) {
    static atomic_flag said = ATOMIC_FLAG_INIT; /* by one shard for all */
    struct uring *uring = io->state = aligned_alloc(PAGE, sizeof *uring);
    if (!uring) return -ENOMEM;
    memset(uring, 0, sizeof *uring);
    int error = open_ring(&uring->ring);
    if (error < 0) return free(uring), error;
    /* a kernel that can wake a ring says that -1 is none */
    if (!mini_uring_wake(-1) && errno == EBADF &&
        !(mini_io_without & MINI_MSG_RING))
        mini_self->parker.uring = uring->ring.ring_fd;
    io->features = probe(&uring->ring);
    open_buffer_ring(io, uring);
    if (~(io->features | mini_io_without) & MINI_FEATURES &&
        !atomic_flag_test_and_set(&said))
        fprintf(stderr, "miniss: io_uring lacks features here; used is %s\n",
            mini_io_describe());
    return 0;
}

/* ---- what is registered ---- */

static void lend(struct mini_io_shard *io, struct mini_buffer *buffer) {
    struct uring *uring = io->state;
    struct io_uring_buf_ring *ring = (void *)uring->lent;
    io_uring_buf_ring_add(ring, buffer->data, MINI_BUFFER_BYTES,
        (unsigned short)(buffer - io->buffers->all),
        io_uring_buf_ring_mask(MINI_BUFFERS_LENT), 0);
    io_uring_buf_ring_advance(ring, 1);
}

/* A descriptor's place in the table is its number. */
static int fix_file(struct mini_io_shard *io, int fd, bool on) {
    struct uring *uring = io->state;
    int value = on ? fd : -1, error = 0;
    if (fd >= FIXED_FILES) return -EMFILE;
    if (!uring->has_files)
        error = io_uring_register_files_sparse(&uring->ring, FIXED_FILES);
    if (error < 0) return error;
    uring->has_files = true;
    error =
        io_uring_register_files_update(&uring->ring, (unsigned)fd, &value, 1);
    if (error >= 0 || !on) /* or its close would fail */
        uring->fixed[fd] = on && fcntl(fd, F_GETFL) & O_DIRECT ? DIRECT : on;
    return error < 0 ? error : 0;
}

static bool is_fixed(struct uring *uring, int fd) {
    return (unsigned)fd < FIXED_FILES && uring->fixed[fd];
}

static int fix_buffer(struct mini_io_shard *io, void *base, size_t bytes) {
    struct uring *uring = io->state;
    struct iovec buffer = {.iov_base = base, .iov_len = bytes};
    if (uring->has_buffer) io_uring_unregister_buffers(&uring->ring);
    int error = base ? io_uring_register_buffers(&uring->ring, &buffer, 1) : 0;
    uring->has_buffer = base && error == 0;
    return error;
}

/* ---- waking another shard ---- */

/* With one system call and no ring of our own. The completion that this puts
 * into the other one has no user data: so nobody is told, but who waits there
 * wakes. An eventfd would have to tell its poll request first. */
bool mini_uring_wake(int ring) {
    struct io_uring_sqe message = {.opcode = IORING_OP_MSG_RING, .fd = ring};
    return syscall(SYS_io_uring_register, -1, SEND_MSG_RING, &message, 1) == 0;
}

/* ---- submission ---- */

static unsigned reap(struct mini_io_shard *io);

/* DATA is what its completion will come with. */
static struct io_uring_sqe *get_sqe(struct mini_io_shard *io, void *data) {
    struct uring *uring = io->state;
    struct io_uring_sqe *sqe;
    while (!(sqe = io_uring_get_sqe(&uring->ring))) {
        mini_self->stats.enters++;
        io_uring_submit(&uring->ring);
        reap(io); /* only notes results and wakes */
    }
    io_uring_sqe_set_data(sqe, data); /* which preparing it leaves alone */
    return sqe;
}

/* Whether we wait for its descriptor, then do it by a system call ourselves. */
static bool waits_first(struct mini_io_shard *io, struct mini_io *operation) {
    return operation->op == MINI_OP_READABLE ||
        (operation->op == MINI_OP_RECV_LEASE &&
            !(io->features & MINI_BUFFER_RING)) ||
        (operation->op == MINI_OP_SENDFILE && !(io->features & MINI_SPLICE));
}

static void wait_until_ready(
    struct mini_io_shard *io, struct mini_io *operation) {
    struct io_uring_sqe *sqe = get_sqe(io, operation);
    io_uring_prep_poll_add(
        sqe, operation->fd, mini_io_receives(operation) ? POLLIN : POLLOUT);
    if (operation == &io->bell && io->features & MINI_MULTISHOT)
        sqe->len = IORING_POLL_ADD_MULTI;
    operation->armed = true;
}

/* A multishot receive that learns of the last bytes and of a reset at once may
 * take the bytes and then wait for ever; with AF_UNIX the same goes for the end
 * of the stream (liburing's issue 1549). So a second request, the watch, waits
 * for the peer to hang up. Its user data is the operation's address plus 1. */
static void watch(struct mini_io_shard *io, struct mini_io *operation) {
    if (operation->watched || operation->hung_up) return;
    struct io_uring_sqe *sqe = get_sqe(io, (char *)operation + 1);
    io_uring_prep_poll_add(sqe, operation->fd, POLLRDHUP); /* and ERR, HUP */
    operation->watched = true;
    mini_self->outside++;
}

/* From now on each buffer is asked for: that way the end is not missed. */
static void watch_ended(struct mini_io *operation) {
    mini_self->outside--;
    operation->watched = false;
    operation->hung_up = true;
    if (operation->active)
        mini_io_stop(operation);
    else if (operation->task)
        mini_wake(operation->task);
}

static void start(struct mini_io_shard *io, struct mini_io *operation) {
    struct uring *uring = io->state;
    if (waits_first(io, operation)) {
        wait_until_ready(io, operation);
        return;
    }
    if (operation->op == MINI_OP_RECV_LEASE && operation->multishot)
        watch(io, operation);
    struct io_uring_sqe *sqe = get_sqe(io, operation);
    int64_t at = operation->offset;
    int fd = operation->fd, flags = (int)at;
    void *buffer = operation->buffer;
    size_t size = operation->length;
    unsigned length = size > INT_MAX ? INT_MAX : (unsigned)size;
    switch ((enum mini_op)operation->op) {
    case MINI_OP_ACCEPT:
        io_uring_prep_accept(sqe, fd, NULL, NULL, SOCK_CLOEXEC);
        if (operation->multishot) sqe->ioprio = IORING_ACCEPT_MULTISHOT;
        break;
    case MINI_OP_RECV: io_uring_prep_recv(sqe, fd, buffer, length, 0); break;
    case MINI_OP_RECV_LEASE:
        io_uring_prep_recv(sqe, fd, NULL, 0, 0); /* as much as fits */
        if (operation->multishot && operation->watched)
            sqe->ioprio = IORING_RECV_MULTISHOT;
        sqe->flags = IOSQE_BUFFER_SELECT; /* from group 0 */
        break;
    case MINI_OP_RECVMSG: io_uring_prep_recvmsg(sqe, fd, buffer, 0); break;
    case MINI_OP_READ: io_uring_prep_read(sqe, fd, buffer, length, at); break;
    case MINI_OP_WRITE: io_uring_prep_write(sqe, fd, buffer, length, at); break;
    case MINI_OP_CONNECT: io_uring_prep_connect(sqe, fd, buffer, length); break;
    case MINI_OP_SEND_ZC:
        if (!(io->features & MINI_ZERO_COPY)) operation->copied = true;
        if (!operation->copied) {
            io_uring_prep_send_zc(
                sqe, fd, buffer, length, MSG_NOSIGNAL, REPORT_USAGE);
            break;
        } /* fall through */
    case MINI_OP_SEND:
        io_uring_prep_send(sqe, fd, buffer, length, MSG_NOSIGNAL);
        break;
    case MINI_OP_SENDMSG:
        io_uring_prep_sendmsg(sqe, fd, buffer, MSG_NOSIGNAL);
        break;
    case MINI_OP_SENDFILE:
        io_uring_prep_splice(
            sqe, operation->source, at, fd, -1, length, SPLICE_F_MOVE);
        break;
    case MINI_OP_SHUTDOWN: io_uring_prep_shutdown(sqe, fd, flags); break;
    case MINI_OP_CLOSE:
        if (is_fixed(uring, fd)) fix_file(io, fd, false);
        io_uring_prep_close(sqe, fd);
        break;
    case MINI_OP_FSYNC: io_uring_prep_fsync(sqe, fd, 0); break;
    case MINI_OP_OPENAT:
        io_uring_prep_openat(sqe, fd, buffer, flags, length);
        break;
    case MINI_OP_STATX:
        io_uring_prep_statx(sqe, fd, buffer, AT_EMPTY_PATH, STATX_BASIC_STATS,
            (void *)((struct mini_statx *)(void *)operation)->raw);
        break;
    case MINI_OP_READABLE:
    case MINI_OP_CALL: break; /* do not come here */
    }
    if (operation->fixed && uring->has_buffer) { /* which is buffer 0 */
        bool reads = operation->op == MINI_OP_READ;
        sqe->opcode = reads ? IORING_OP_READ_FIXED : IORING_OP_WRITE_FIXED;
        mini_self->stats.fixed_buffers++;
    }
    operation->armed = false;
    if (operation->op < MINI_OP_OPENAT && is_fixed(uring, fd)) {
        sqe->flags |= IOSQE_FIXED_FILE;
        mini_self->stats.fixed_files++;
        /* with eight a device may begin, while we get others ready */
        if (uring->fixed[fd] == DIRECT && io_uring_sq_ready(&uring->ring) >= 8)
            mini_self->stats.enters++, io_uring_submit(&uring->ring);
    }
}

static void stop(struct mini_io_shard *io, struct mini_io *operation) {
    /* nobody waits for the cancel itself */
    struct io_uring_sqe *sqe = get_sqe(io, NULL);
    io_uring_prep_cancel(sqe, (char *)operation + !operation->active, 0);
}

/* ---- completion ---- */

static void take_statx(struct mini_io *operation) {
    struct mini_statx *slot = MINI_CONTAINER(operation, struct mini_statx, io);
    struct statx *st = (struct statx *)slot->raw;
    slot->size = st->stx_size;
    slot->mode = st->stx_mode;
    slot->modified.tv_sec = st->stx_mtime.tv_sec;
    slot->modified.tv_nsec = st->stx_mtime.tv_nsec;
}

static void take_buffer(struct mini_io_shard *io, struct mini_io *operation,
    struct io_uring_cqe *cqe) {
    struct mini_buffer *buffer =
        &io->buffers->all[cqe->flags >> IORING_CQE_BUFFER_SHIFT];
    io->buffers->lent--; /* the next turn lends another one */
    mini_buffer_filled(operation, buffer, cqe->res);
}

/* A send_zc has two completions: its result and, later, the kernel's word that
 * it uses the buffer no more. False until both have come. */
static bool is_sent(struct mini_io *operation, struct io_uring_cqe *cqe) {
    if (cqe->flags & IORING_CQE_F_NOTIF) {
        bool copied = cqe->res < 0; /* the highest bit */
        cqe->res = (int)operation->future.result;
        if (cqe->res >= 0) { /* after an error it says "copied", too */
            operation->copied = copied;
            mini_self->stats.copies += copied;
            mini_self->stats.zero_copies += !copied;
        }
    }
    operation->future.result = cqe->res;
    return !(cqe->flags & IORING_CQE_F_MORE);
}

/* The kernel cannot send without a copy: not at all, not on this kind of
 * socket, or not that much, since the memory has to be locked. */
static bool must_copy(struct mini_io *operation, long result) {
    if (operation->op != MINI_OP_SEND_ZC || operation->copied ||
        (result != -EINVAL && result != -EOPNOTSUPP && result != -ENOMEM))
        return false;
    operation->copied = true;
    return true;
}

static void complete(struct mini_io_shard *io, struct mini_io *operation,
    struct io_uring_cqe *cqe) {
    bool again = operation->armed && cqe->res >= 0;
    if (cqe->flags & IORING_CQE_F_BUFFER) take_buffer(io, operation, cqe);
    if (operation->op == MINI_OP_SEND_ZC && !is_sent(operation, cqe)) return;
    long result = cqe->res;
    if (again && waits_first(io, operation))
        result = mini_io_call(operation), again = false;
    if (operation->op == MINI_OP_STATX && result == 0) take_statx(operation);
    if (result < 0) /* is it only to be started again? */
        again = must_copy(operation, result) || result == -ERESTARTSYS ||
            (result == -EINTR && operation->op != MINI_OP_CLOSE) ||
            (result == -ECANCELED && !operation->cancelled);
    if (operation->cancelled && (again || result == -EAGAIN))
        mini_io_complete(operation, -ECANCELED, false);
    else if (again)
        start(io, operation);
    else if (result == -EAGAIN)
        wait_until_ready(io, operation);
    else
        mini_io_complete(operation, result, cqe->flags & IORING_CQE_F_MORE);
}

/* Only what is there: peek alone would enter the kernel for more, while what
 * these wake could be submitted. */
static unsigned reap(struct mini_io_shard *io) {
    struct io_uring *ring = &((struct uring *)io->state)->ring;
    struct io_uring_cqe *entry;
    unsigned count = 0;
    for (; io_uring_cq_ready(ring) && !io_uring_peek_cqe(ring, &entry);
         count++) {
        struct io_uring_cqe cqe = *entry; /* what follows may reuse its place */
        io_uring_cqe_seen(ring, entry);
        if (cqe.user_data & 1)
            watch_ended((struct mini_io *)(uintptr_t)(cqe.user_data - 1));
        else if (cqe.user_data)
            complete(io, io_uring_cqe_get_data(&cqe), &cqe);
    }
    return count;
}

static unsigned turn(struct mini_io_shard *io, uint64_t ns) {
    struct io_uring *ring = &((struct uring *)io->state)->ring;
    struct io_uring_cqe *first;
    struct __kernel_timespec limit = {.tv_sec = (long long)(ns / 1000000000u),
        .tv_nsec = (long long)(ns % 1000000000u)};
    bool due = io_uring_sq_ready(ring) > 0 ||
        *ring->sq.kflags & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW);
    mini_self->stats.enters += ns > 0 || due;
    if (ns > 0)
        io_uring_submit_and_wait_timeout(
            ring, &first, 1, ns == MINI_FOREVER ? NULL : &limit, NULL);
    else if (due)
        io_uring_submit_and_get_events(ring);
    return reap(io);
}

const struct mini_io_backend mini_io_uring = {.name = "uring",
    .init = init,
    .start = start,
    .stop = stop,
    .turn = turn,
    .fini = fini,
    .lend = lend,
    .fix_file = fix_file,
    .fix_buffer = fix_buffer};
