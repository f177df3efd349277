/* SPDX-License-Identifier: MIT */
/* Fuzzing of httpd, which reads what anybody may send; run.py runs it.
 *
 * An input is what a peer sends on one connection. httpd.c serves it as it is,
 * but the runtime below it is this file: its operations are carried out on a
 * socket that has the input to give and a directory that is a table. So a
 * connection takes microseconds, and the same input does the same.
 *
 * Each input is served four times: as one piece; a byte (or a few) at a time;
 * in pieces of any size, with every operation waited for; and with something
 * that goes wrong on the way. What must hold:
 *
 * - What is sent back is what expected.h says, whatever the pieces are; also up
 *   to the moment of a timeout or a cancel.
 * - What is opened is one name, no "..", for reading; no link is followed.
 * - Only what lies within a file, and within a buffer, is read.
 * - At the end nothing is open, and every buffer has been given back. */
#include "expected.h"

#include <fcntl.h>
#include <time.h>
#include <unistd.h>

static int close_node(int fd);

/* What httpd.c does without the runtime. Only as calls: "close" is a member,
 * too. */
#define close(fd) close_node(fd)
#define fcntl(fd, command, value) ((void)(fd))
#define time(result) ((time_t)784111777)
#define main httpd_main
#include "../../stage05-uring/examples/httpd.c"
#undef main

/* ---- a connection ---- */

enum way { WHOLE, BYTES, PIECES, TROUBLE };
enum trouble { FAULT, TIMEOUT, CANCEL };

static struct wire {
    struct text data; /* what the peer has yet to send */
    size_t most; /* bytes that it sends at a time */
    struct output output; /* what it was sent */
    enum way way;
    enum trouble trouble;
    unsigned steps, when; /* operations begun; the one that goes wrong */
    bool alarm; /* it is now */
    bool faulty; /* an answer is another than it would have been */
    bool ended; /* the peer has been told that nothing more comes */
    bool stopped; /* what is received has been ended */
    bool sleeps; /* an alarm is set */
    unsigned leases; /* buffers that are out */
    uint64_t random, now;
    struct conn *conn;
} wire;

/* Made of the input, so that it does the same again. */
static uint64_t hash(const uint8_t *data, size_t size) {
    uint64_t value = 0xcbf29ce484222325;
    while (size-- > 0) value = (value ^ *data++) * 0x100000001b3;
    return value | 1;
}

static unsigned draw(unsigned below) {
    wire.random ^= wire.random << 13;
    wire.random ^= wire.random >> 7;
    wire.random ^= wire.random << 17;
    return (unsigned)(wire.random >> 20) % below;
}

/* ---- what operations do ---- */

enum { FIRST_FD = 1000, FDS = 8 };

static const struct node *opened[FDS];

static const struct node *node_of(int fd) {
    CHECK(fd >= FIRST_FD && fd < FIRST_FD + FDS && opened[fd - FIRST_FD]);
    return opened[fd - FIRST_FD];
}

static int open_node(const struct node *node) {
    int i = 0;
    for (; opened[i]; i++) CHECK(i + 1 < FDS);
    opened[i] = node;
    return FIRST_FD + i;
}

static int close_node(int fd) {
    (void)node_of(fd);
    CHECK(fd != root);
    opened[fd - FIRST_FD] = NULL;
    return 0;
}

static long open_at(int dir, const char *name, int64_t flags) {
    const struct node *in = node_of(dir);
    CHECK(flags & O_NOFOLLOW && (flags & O_ACCMODE) == O_RDONLY);
    CHECK(!(flags & (O_CREAT | O_TRUNC)));
    CHECK(*name && !strchr(name, '/'));
    CHECK(strcmp(name, ".") && strcmp(name, ".."));
    if (!S_ISDIR(in->mode)) return -ENOTDIR;
    const struct node *node = find_node(in, name, strlen(name));
    if (!node) return -ENOENT;
    if (S_ISLNK(node->mode)) return -ELOOP;
    if (flags & O_DIRECTORY && !S_ISDIR(node->mode)) return -ENOTDIR;
    CHECK(flags & (O_NONBLOCK | O_DIRECTORY)); /* a FIFO would wait */
    return open_node(node);
}

/* Into a buffer of its own, which is gone when it is given back. */
static long receive_some(struct mini_buffer **lease) {
    struct text *data = &wire.data;
    size_t part = data->length;
    if (part > MINI_BUFFER_BYTES) part = MINI_BUFFER_BYTES;
    if (part > wire.most) part = wire.most;
    if (part > 1 && wire.way > BYTES)
        part = 1 + draw(draw(4) ? (unsigned)part : 8) % part;
    if (part == 0) return 0;
    *lease = malloc(offsetof(struct mini_buffer, data) + part);
    CHECK(*lease);
    (*lease)->length = (uint32_t)part;
    memcpy((*lease)->data, data->at, part);
    data->at += part;
    data->length -= part;
    wire.leases++;
    return (long)part;
}

static long send_out(const char *from, size_t length) {
    CHECK(from == wire.conn->out && length > 0 && length <= OUT_BYTES);
    CHECK(!wire.ended);
    put(&wire.output, from, length);
    return (long)length;
}

static long read_node(struct mini_io *self) {
    const struct node *node = node_of(self->fd);
    char *to = self->buffer, *out = wire.conn->out;
    CHECK(self->offset >= 0 && self->length <= node->size);
    CHECK((uint64_t)self->offset <= node->size - self->length);
    CHECK(to >= out && to + self->length <= out + OUT_BYTES);
    fill(to, node, (uint64_t)self->offset, self->length);
    return (long)self->length;
}

static long carry_out(struct mini_io *self) {
    switch (self->op) {
    case MINI_OP_SEND: return send_out(self->from, self->length);
    case MINI_OP_OPENAT: return open_at(self->fd, self->from, self->offset);
    case MINI_OP_READ: return read_node(self);
    default: CHECK(self->op == MINI_OP_SHUTDOWN);
    }
    wire.ended = true;
    return 0;
}

static long fault(uint8_t op) {
    static const int of_files[] = {EMFILE, ENOMEM, EIO, EACCES},
                     of_sockets[] = {ECONNRESET, EPIPE, ENOBUFS};
    wire.faulty |= op == MINI_OP_OPENAT || op == MINI_OP_STATX;
    if (op == MINI_OP_READ) return draw(2) ? -EIO : 0; /* is shorter by now */
    return wire.faulty ? -of_files[draw(4)] : -of_sockets[draw(3)];
}

/* ---- a runtime ---- */

/* True: the operation is to be carried out now. Else it waits, or the future
 * has a result. Who is cancelled while it waits may be done all the same. */
static bool goes_on(
    struct mini_future *future, struct mini_context cx, uint8_t op) {
    bool begun = future->resume == 1;
    if (cx.cancel && (!begun || draw(2))) {
        mini_ready(future, -ECANCELED);
        return false;
    }
    if (begun) return true;
    future->resume = 1;
    wire.steps++;
    if (wire.way == TROUBLE && wire.steps == wire.when) {
        wire.alarm = wire.trouble != FAULT;
        if (!wire.alarm) mini_ready(future, fault(op));
        return false;
    }
    return wire.way < PIECES;
}

static mini_poll state_of(const struct mini_future *future) {
    return future->resume == MINI_DONE ? MINI_READY : MINI_PENDING;
}

MINI_POLL(mini_io_step) {
    struct mini_io *self = MINI_SELF(struct mini_io);
    bool begun = future->resume == 1;
    if (goes_on(future, cx, self->op))
        return mini_ready(future, carry_out(self));
    /* part of it may have gone out before the cancel */
    if (begun && self->op == MINI_OP_SEND && future->resume == MINI_DONE &&
        self->length > 1 && draw(2))
        future->result =
            send_out(self->from, 1 + draw((unsigned)self->length - 1));
    return state_of(future);
}

static MINI_POLL(recv_poll) {
    struct mini_recv_stream *self = MINI_SELF(struct mini_recv_stream);
    CHECK(!wire.stopped);
    if (!goes_on(future, cx, MINI_OP_RECV_LEASE)) return state_of(future);
    return mini_ready(future, receive_some(&self->lease));
}

static MINI_POLL(recv_end_poll) {
    (void)cx;
    wire.stopped = true;
    return mini_ready(future, 0);
}

void mini_recv_stream(struct mini_recv_stream *slot, int fd) {
    slot->io = (struct mini_io){.fd = fd}; /* as the runtime: not LEASE */
}

struct mini_future *mini_recv_next(struct mini_recv_stream *stream) {
    stream->io.future = MINI_FUTURE(recv_poll, "mini_recv_next");
    return &stream->io.future;
}

struct mini_future *mini_recv_end(struct mini_recv_stream *stream) {
    stream->io.future = MINI_FUTURE(recv_end_poll, "mini_recv_end");
    return &stream->io.future;
}

void mini_lease_return(struct mini_buffer *buffer) {
    CHECK(wire.leases > 0);
    wire.leases--;
    free(buffer);
}

static MINI_POLL(statx_poll) {
    struct mini_statx *self = MINI_SELF(struct mini_statx);
    if (!goes_on(future, cx, MINI_OP_STATX)) return state_of(future);
    self->mode = node_of(self->io.fd)->mode;
    self->size = node_of(self->io.fd)->size;
    return mini_ready(future, 0);
}

struct mini_future *mini_statx(
    struct mini_statx *slot, int dir, const char *path) {
    CHECK(*path == '\0');
    *slot = (struct mini_statx){.io.fd = dir, .io.future.poll = statx_poll};
    return &slot->io.future;
}

static MINI_POLL(send_file_poll) {
    struct mini_send_file *self = MINI_SELF(struct mini_send_file);
    const struct node *node = node_of(self->file);
    if (!goes_on(future, cx, MINI_OP_SENDFILE)) return state_of(future);
    CHECK(self->offset >= 0 && self->length <= node->size);
    CHECK((uint64_t)self->offset <= node->size - self->length);
    CHECK(!wire.ended);
    put_file(&wire.output, node, (uint64_t)self->offset, self->length);
    return mini_ready(future, (long)self->length);
}

struct mini_future *mini_send_file(struct mini_send_file *slot, int socket,
    int file, int64_t offset, size_t length) {
    return MINI_MAKE(slot, send_file_poll, .socket = socket, .file = file,
        .offset = offset, .length = length);
}

/* Goes off only when it is what goes wrong. */
static MINI_POLL(sleep_poll) {
    struct mini_sleep *self = MINI_SELF(struct mini_sleep);
    CHECK(cx.cancel || wire.now < self->deadline);
    wire.sleeps = false;
    if (cx.cancel) return mini_ready(future, -ECANCELED);
    if (wire.alarm && wire.trouble == TIMEOUT) {
        wire.alarm = false;
        wire.now = self->deadline;
        return mini_ready(future, 0);
    }
    wire.sleeps = true;
    return MINI_PENDING;
}

struct mini_future *mini_sleep_until(
    struct mini_sleep *slot, uint64_t deadline) {
    return MINI_MAKE(slot, sleep_poll, .deadline = deadline);
}

uint64_t mini_now(void) { return wire.now; }
void mini_bad_resume(const struct mini_future *future) {
    fail(future->name, "bad resume", 0);
}
bool mini_overrun(struct mini_task *task) {
    (void)task;
    return false;
}
void mini_count_refusal(struct mini_task *task) { (void)task; }

/* httpd's main is not called. */
long mini_run(struct mini_future *main, const struct mini_options *options) {
    (void)main, (void)options;
    abort();
}
int mini_server_open(
    struct mini_server *server, const struct mini_server_options *options) {
    (void)server, (void)options;
    abort();
}
struct mini_future *mini_serve(struct mini_server *server) {
    (void)server;
    abort();
}
const char *mini_io_describe(void) { abort(); }

/* ---- an input ---- */

/* Ends a connection whose peer was too slow. */
static const char late[] =
    "HTTP/1.1 408 Request Timeout\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
    "Content-Type: text/plain\r\nContent-Length: 16\r\n"
    "Connection: close\r\n\r\nRequest Timeout\n";

static void compare(const struct output *expected) {
    struct output *sent = &wire.output;
    if (wire.way == TROUBLE) {
        size_t words = sizeof late - 1;
        if (wire.faulty) return;
        if (wire.trouble == TIMEOUT && sent->length >= words &&
            memcmp(sent->bytes + sent->length - words, late, words) == 0)
            sent->length -= words;
        CHECK(sent->length <= expected->length);
    } else {
        CHECK(sent->length == expected->length);
    }
    CHECK(sent->length == 0 ||
        memcmp(sent->bytes, expected->bytes, sent->length) == 0);
}

static void serve_input(const uint8_t *data, size_t size, enum way way,
    const struct output *expected) {
    static struct conn conn;
    struct mini_context cx = {0};
    struct output output = wire.output; /* its memory */
    wire = (struct wire){.data = {(const char *)data, size},
        .way = way,
        .random = hash(data, size),
        .conn = &conn,
        .output = output};
    wire.output.length = 0;
    wire.most = way == BYTES ? 1 + size / 512 : size; /* httpd looks again at
                                                       * all that has come */
    wire.trouble = (enum trouble)draw(3);
    wire.when = 1 + draw(draw(2) ? 8 : 64);
    root = open_node(nodes);
    memset(&conn, 0xa5, sizeof conn); /* a frame is not cleared */
    struct mini_future *future = serve(&conn, 7, NULL);
    while (future->poll(future, cx) == MINI_PENDING) cx.cancel |= wire.alarm;
    for (int i = 0; i < FDS; i++) CHECK(!opened[i] || i == root - FIRST_FD);
    opened[root - FIRST_FD] = NULL;
    CHECK(conn.filled <= OUT_BYTES && conn.at <= conn.have);
    CHECK(wire.stopped && !wire.sleeps && wire.leases == 0);
    compare(expected);
}

/* Of a file of SIZE bytes. */
static void read_range_alone(const char *range, uint64_t size) {
    struct text value = {range, strlen(range)};
    uint64_t from = 0, to = 0, first, length;
    int status = read_range(range, size, &first, &length);
    CHECK(status == expect_range(value, size, &from, &to));
    if (status == 200) CHECK(first == 0 && length == size);
    if (status == 206) CHECK(first == from && length == to - from + 1);
    if (status == 206) CHECK(length > 0 && first <= size - length);
}

/* Without the rest of httpd, in memory that ends where the text does, and for
 * files that end where the range does, or nearly. */
static void read_alone(const uint8_t *data, size_t size) {
    size_t length = size < IN_BYTES ? size : IN_BYTES;
    char *text = malloc(length + !length);
    struct request request = {0};
    CHECK(text);
    if (length > 0) memcpy(text, data, length);
    long head = read_request(&request, text, length);
    CHECK(head == -1 || (head >= 0 && (size_t)head <= length));
    if (head == 0) CHECK(length == 0 || memcmp(text, data, length) == 0);
    if (head > 0) {
        text = realloc(text, (size_t)head);
        CHECK(text);
        memcpy(text, data, (size_t)head);
        CHECK(read_request(&request, text, (size_t)head) == head);
    }
    const char *at = head > 0 ? request.range : NULL;
    while (at && *at) {
        uint64_t number;
        if (!read_digits(&at, &number)) {
            at++;
            continue;
        }
        for (uint64_t i = 0; i < 3; i++)
            read_range_alone(request.range, number - 1 + i);
    }
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct output expected;
    expected.length = 0;
    expect(&expected, (struct text){(const char *)data, size});
    for (enum way way = WHOLE; way <= TROUBLE; way++)
        serve_input(data, size, way, &expected);
    read_alone(data, size);
    return 0;
}
