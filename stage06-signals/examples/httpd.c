/* SPDX-License-Identifier: MIT */
/* A web server for the files below a directory, on all shards:
 *     httpd --root DIR --port P --shards N [--host H]
 *           [--accept spread|reuseport] [--timeout S]
 * GET and HEAD; connections stay open, many requests may come at once, and each
 * may ask for a range. `GET /hello` is answered from memory, to measure the
 * rest.
 * http.h reads a request, this file answers it. */
#include "http.h"
#include "service.h"

#include "file.h"
#include "stream.h"
#include "timer.h"

#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define IN_BYTES 4096 /* the longest head */
#define OUT_BYTES 6912 /* answers that leave together */
#define HEAD_BYTES 512 /* the longest head of an answer */
#define SMALL (OUT_BYTES - HEAD_BYTES) /* the most that leaves with its head */
#define HANG_UP (2 * MINI_SECOND) /* for a peer to read our last words */

/* Set before the shards start, then only read. */
static int root; /* the directory */
static uint64_t patience = 10 * MINI_SECOND; /* for a head, and between two */

/* ---- a file below the root ---- */

struct opening {
    struct mini_future future;
    struct mini_statx look; /* what is open; its operation also opens */
    int file; /* what has been opened so far */
    int flags;
    char *name, *rest; /* of the path: to be opened now, and later */
    const char *last; /* name of what is open */
    bool index; /* it was a directory: now its index.html */
};

/* Cuts the next name off the path; false at its end. A name followed by a slash
 * must be a directory's. Any other may be a FIFO whose other end nobody opens:
 * O_NONBLOCK does not wait for that. */
static bool next_name(struct opening *self) {
    self->name = self->rest + strspn(self->rest, "/");
    self->rest = self->name + strcspn(self->name, "/");
    self->flags = O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW |
        (*self->rest ? O_DIRECTORY : O_NONBLOCK);
    if (*self->rest) *self->rest++ = '\0';
    return *self->name;
}

/* Opens a regular file for reading. Result: its descriptor. It goes down one
 * name at a time and follows no link and no "..": so nobody can lead it out of
 * the root by renaming things meanwhile. */
static MINI_POLL(open_below) {
    static char index[] = "index.html"; /* no slash: nobody writes to it */
    struct opening *self = MINI_SELF(struct opening);
    MINI_BEGIN;
    self->file = root;
    for (;;) {
        while (next_name(self)) {
            if (strcmp(self->name, ".") == 0) continue;
            future->result = -ENOENT;
            if (strcmp(self->name, "..") != 0)
                MINI_AWAIT(mini_openat(
                    &self->look.io, self->file, self->name, self->flags, 0));
            if (self->file != root) close(self->file); /* does not block */
            if (MINI_RESULT < 0) MINI_RETURN(MINI_RESULT);
            self->file = (int)MINI_RESULT;
            self->last = self->name;
        }
        MINI_AWAIT(mini_statx(&self->look, self->file, ""));
        if (MINI_RESULT < 0 || !S_ISDIR(self->look.mode) || self->index) break;
        self->index = true;
        self->rest = index;
    }
    if (MINI_RESULT == 0 && S_ISREG(self->look.mode)) {
        fcntl(self->file, F_SETFL, 0); /* reads may wait again */
        MINI_RETURN(self->file);
    }
    if (self->file != root) close(self->file);
    MINI_END(MINI_RESULT < 0 ? MINI_RESULT : -ENOENT);
}

/* ---- a connection ---- */

/* A wait that ends at a deadline, as one of mini_timeout does. But its alarm
 * stays set when the wait is over, and when it goes off, perhaps the deadline
 * of a later wait is still to come. For most waits are short: to set and stop
 * an alarm for each takes as long as to read a request. */
struct limit {
    struct mini_future future; /* its child is what is waited for */
    struct mini_sleep alarm; /* at the deadline or before */
    uint64_t deadline;
};

/* An answer out of a file, under way. */
struct answer {
    struct mini_future future;
    struct conn *conn;
    const char *type;
    int status, file;
    uint64_t size, first, length; /* of the file; of the part to be sent */
};

struct conn {
    struct mini_future future;
    struct limit limit;
    struct mini_io io;
    struct mini_recv_stream stream;
    int fd;
    bool late; /* a head has taken too long */
    bool last; /* no request is answered after this one */
    uint64_t deadline; /* for the head that has begun */
    char *in; /* what has come: in a leased buffer, or PART */
    char *part; /* memory for a head that came in several, once one did */
    size_t at, have; /* bytes of IN: read as requests, received */
    size_t filled; /* bytes of OUT */
    struct request request;
    struct answer answer;
    union { /* the answer's, one after the other; not cleared for each */
        struct opening opening;
        struct mini_send_file sending;
    };
    char out[OUT_BYTES];
};

/* ---- how long a peer may take ---- */

/* Whether the deadline has come; if not, the alarm is set. */
static bool is_due(struct limit *self, struct mini_context cx) {
    while (mini_drive(&self->alarm.future, cx)) { /* not set, or gone off */
        if (mini_now() >= self->deadline) return true;
        mini_sleep_until(&self->alarm, self->deadline);
    }
    return false;
}

/* The deadline has come: cancels the child. */
static MINI_POLL(give_up) {
    struct mini_future *child = future->child;
    struct mini_context cancel = {cx.task, true};
    if (child->poll(child, cancel) == MINI_PENDING) return MINI_PENDING;
    bool ours = child->result == -ECANCELED;
    return mini_ready(future, ours ? -ETIMEDOUT : child->result);
}

static MINI_POLL(limited) {
    struct mini_future *child = future->child;
    if (child->poll(child, cx) == MINI_READY)
        return mini_ready(future, child->result);
    if (cx.cancel || !is_due(MINI_SELF(struct limit), cx)) return MINI_PENDING;
    future->poll = give_up;
    return give_up(future, cx);
}

static void stop_alarm(struct limit *self) {
    (void)mini_drive(&self->alarm.future, (struct mini_context){NULL, true});
}

/* Waits for INNER until DEADLINE; then cancels it, and the result is
 * -ETIMEDOUT. */
static struct mini_future *limit(
    struct conn *conn, struct mini_future *inner, uint64_t deadline) {
    struct limit *self = &conn->limit;
    if (self->alarm.deadline > deadline) stop_alarm(self);
    self->future = MINI_FUTURE(limited, "limited");
    self->future.child = inner;
    self->deadline = deadline;
    return &self->future;
}

/* Sends OUT. It does not wait for ever for a peer that does not read. */
static struct mini_future *flush(struct conn *self) {
    return limit(self,
        mini_send_all(&self->io, self->fd, self->out, self->filled),
        mini_now() + patience);
}

/* What came of flush. A result of only part of OUT is an error: a peer that got
 * part of an answer must not take the next one for the rest of it. */
static long flushed(struct conn *self, long result) {
    bool all = result == (long)self->filled;
    self->filled = 0;
    return all || result < 0 ? result : -EIO;
}

/* ---- the head of an answer ---- */

/* Its three digits, a space, and WORDS that may be the body as well. */
#define WORDS(status) (status_line(status) + 4)

static const char *status_line(int status) {
    switch (status) {
    case 200: return "200 OK";
    case 206: return "206 Partial Content";
    case 400: return "400 Bad Request";
    case 404: return "404 Not Found";
    case 405: return "405 Method Not Allowed";
    case 408: return "408 Request Timeout";
    case 413: return "413 Content Too Large";
    case 414: return "414 URI Too Long";
    case 416: return "416 Range Not Satisfiable";
    case 431: return "431 Request Header Fields Too Large";
    case 503: return "503 Service Unavailable";
    default: return "505 HTTP Version Not Supported";
    }
}

static const char *type_of(const char *path) {
    static const char *const types[][2] = {{".html", "text/html"},
        {".css", "text/css"}, {".js", "text/javascript"},
        {".json", "application/json"}, {".txt", "text/plain"},
        {".md", "text/markdown"}, {".svg", "image/svg+xml"},
        {".png", "image/png"}, {".jpg", "image/jpeg"}, {".gif", "image/gif"},
        {".pdf", "application/pdf"}, {".wasm", "application/wasm"}};
    const char *dot = strrchr(path, '.');
    for (size_t i = 0; dot && i < sizeof types / sizeof *types; i++)
        if (strcasecmp(dot, types[i][0]) == 0) return types[i][1];
    return "application/octet-stream";
}

/* Returns where the next text goes, as the next ones do. Inline, so that a
 * literal's length is known and its copy is a few stores. */
static inline char *add(char *to, const char *text) {
    size_t length = strlen(text);
    memcpy(to, text, length);
    return to + length;
}

/* Made anew when the second changes; always of the same length. */
static inline char *add_date(char *to) {
    static _Thread_local char text[] = "Thu, 01 Jan 1970 00:00:00 GMT";
    static _Thread_local time_t shown;
    time_t now = time(NULL);
    struct tm tm;
    if (now != shown && gmtime_r(&now, &tm))
        strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &tm);
    shown = now;
    memcpy(to, text, sizeof text - 1);
    return to + sizeof text - 1;
}

static char *add_number(char *to, uint64_t number) {
    char digits[20]; /* the last one first */
    int count = 0;
    do {
        digits[count++] = (char)('0' + number % 10);
    } while ((number /= 10) > 0);
    while (count > 0) *to++ = digits[--count];
    return to;
}

/* The lines that every answer begins with. By hand: with printf it took ten
 * times as long, as long as the rest of the program. */
static char *begin_head(char *to, int status) {
    to = add(to, "HTTP/1.1 ");
    to = add(to, status_line(status));
    to = add_date(add(to, "\r\nDate: "));
    return add(to, "\r\nContent-Type: ");
}

static char *end_head(char *to, const struct conn *conn) {
    if (conn->last)
        to = add(to, "Connection: close\r\n");
    else if (conn->request.old)
        to = add(to, "Connection: keep-alive\r\n");
    return add(to, "\r\n");
}

static char *add_range(char *to, const struct answer *answer) {
    to = add(to, "Content-Range: bytes ");
    if (answer->status == 206) {
        to = add_number(to, answer->first);
        to = add(to, "-");
        to = add_number(to, answer->first + answer->length - 1);
    } else {
        to = add(to, "*");
    }
    to = add(to, "/");
    to = add_number(to, answer->size);
    return add(to, "\r\n");
}

/* ---- an answer ---- */

/* Whether OUT has room for a head, with a body of WORDS or of LENGTH bytes. */
static bool has_room(const struct conn *self, uint64_t length) {
    return self->filled + HEAD_BYTES + (length <= SMALL ? length : 0) <=
        OUT_BYTES;
}

/* Adds an answer from memory to OUT; REFUSED is NULL, or the answer to a range
 * that the file does not have. */
static inline void add_words(struct conn *self, int status, const char *words,
    const struct answer *refused) {
    char *to = begin_head(self->out + self->filled, status);
    to = add(to, "text/plain\r\nContent-Length: ");
    to = add(add_number(to, strlen(words) + 1), "\r\n");
    if (refused) to = add_range(to, refused);
    if (status == 405) to = add(to, "Allow: GET, HEAD\r\n");
    to = end_head(to, self);
    if (!self->request.head) to = add(add(to, words), "\n");
    self->filled = (size_t)(to - self->out);
}

static void add_file_head(struct conn *self, const struct answer *answer) {
    char *to = begin_head(self->out + self->filled, answer->status);
    to = add(add(to, answer->type), "\r\nContent-Length: ");
    to = add(add_number(to, answer->length), "\r\nAccept-Ranges: bytes\r\n");
    if (answer->status == 206) to = add_range(to, answer);
    self->filled = (size_t)(end_head(to, self) - self->out);
}

/* What came of open_below. True: there is a file, or part of one, to be sent;
 * else words are added to OUT. */
static bool found(struct answer *self, long result) {
    struct conn *conn = self->conn;
    bool shortage = result == -EMFILE || result == -ENFILE ||
        result == -ENOMEM || result == -EAGAIN;
    self->file = (int)result;
    self->status = shortage ? 503 : 404;
    if (result >= 0) {
        self->size = conn->opening.look.size;
        self->type = type_of(conn->opening.last);
        self->status = read_range(
            conn->request.range, self->size, &self->first, &self->length);
        if (self->status != 416) return true;
        close(self->file);
    }
    add_words(conn, self->status, WORDS(self->status),
        self->status == 416 ? self : NULL);
    return false;
}

/* The peer must take at least a thousand bytes a second. */
static struct mini_future *send_file(struct answer *self) {
    struct conn *conn = self->conn;
    return limit(conn,
        mini_send_file(&conn->sending, conn->fd, self->file,
            (int64_t)self->first, (size_t)self->length),
        mini_now() + patience + self->length * MINI_MS);
}

/* Adds the answer to OUT; sends OUT only if there is no room for all of it. */
static MINI_POLL(answer) {
    struct answer *self = MINI_SELF(struct answer);
    struct conn *conn = self->conn;
    MINI_BEGIN;
    MINI_AWAIT(MINI_CALL(struct opening, &conn->opening, open_below,
        .rest = conn->request.path));
    if (MINI_RESULT == -ECANCELED) MINI_RETURN(MINI_RESULT);
    if (!found(self, MINI_RESULT)) MINI_RETURN(0);
    future->result = 0;
    if (!has_room(conn, self->length)) {
        MINI_AWAIT(flush(conn));
        future->result = flushed(conn, MINI_RESULT);
    }
    if (MINI_RESULT < 0) goto end;
    add_file_head(conn, self);
    if (conn->request.head) goto end;
    if (self->length <= SMALL) {
        MINI_AWAIT(
            mini_read_exact(&conn->io, self->file, conn->out + conn->filled,
                (size_t)self->length, (int64_t)self->first));
        conn->filled += (size_t)self->length;
    } else {
        MINI_AWAIT(flush(conn));
        future->result = flushed(conn, MINI_RESULT);
        if (MINI_RESULT >= 0) MINI_AWAIT(send_file(self));
    }
    if (MINI_RESULT >= 0 && MINI_RESULT != (long)self->length)
        future->result = -EIO; /* the file is shorter than we have said */
end:
    close(self->file); /* only read: does not block */
    MINI_END(MINI_RESULT < 0 ? MINI_RESULT : 0);
}

/* Adds to OUT what needs no file; false: the request asks for one. */
static bool answers_at_once(struct conn *self) {
    int status = self->request.status;
    if (status != 0)
        add_words(self, status, WORDS(status), NULL);
    else if (memcmp(self->request.path, "/hello", sizeof "/hello") == 0)
        add_words(self, 200, "hello", NULL);
    else
        return false;
    return true;
}

/* ---- a connection's life ---- */

/* Reads the next request in IN; false: none is complete, or wrong, yet. */
static bool next_request(struct conn *self) {
    struct request *request = &self->request;
    while (self->have - self->at >= 2 &&
        memcmp(self->in + self->at, "\r\n", 2) == 0)
        self->at += 2; /* old clients send one more after a request */
    size_t left = self->have - self->at;
    if (left == 0) return false;
    char *head = self->in + self->at;
    bool full = left >= IN_BYTES;
    size_t bytes = full ? IN_BYTES : left;
    long length = read_request(request, head, bytes);
    if (length == 0 && !full && !self->late) return false;
    if (length > 0)
        self->at += (size_t)length;
    else
        *request = (struct request){.status = length < 0 ? 400
                : !full                                  ? 408
                : memchr(head, '\n', bytes)              ? 431
                                                         : 414};
    self->last = !request->keep;
    return true;
}

/* While nothing comes, a connection has no buffer. */
static void give_back(struct conn *self) {
    if (self->stream.lease) mini_lease_return(self->stream.lease);
    self->stream.lease = NULL;
}

/* What is left of IN is the beginning of a head: moves it to PART, where the
 * rest can follow. False: there is no memory. */
static bool keep_rest(struct conn *self) {
    if (self->at > 0 || self->have == 0) /* none of it was there before */
        self->deadline = mini_now() + patience;
    self->have -= self->at;
    if (self->have > 0 && !self->part)
        self->part = malloc(IN_BYTES + MINI_BUFFER_BYTES);
    if (self->have > 0 && !self->part) return false;
    if (self->have > 0) memmove(self->part, self->in + self->at, self->have);
    self->in = self->part;
    self->at = 0;
    give_back(self);
    return true;
}

/* Waits for something to come: the rest of a head, or a new one. */
static struct mini_future *receive(struct conn *self) {
    return limit(self, mini_recv_next(&self->stream), self->deadline);
}

/* Notes what has come, or that nothing came in time; false if it is the end. */
static bool received(struct conn *self, long result) {
    self->late = result == -ETIMEDOUT && self->have > 0;
    if (result <= 0) return self->late;
    if (self->have == 0) {
        self->deadline = mini_now() + patience;
        self->in = self->stream.lease->data;
    } else {
        memcpy(self->in + self->have, self->stream.lease->data, (size_t)result);
        give_back(self);
    }
    self->have += (size_t)result;
    return true;
}

static MINI_POLL(converse) {
    struct conn *self = MINI_SELF(struct conn);
    MINI_BEGIN;
    do {
        while (!self->last && next_request(self)) {
            if (!has_room(self, 0)) {
                MINI_AWAIT(flush(self));
                future->result = flushed(self, MINI_RESULT);
                if (MINI_RESULT < 0) goto end;
            }
            if (answers_at_once(self)) continue;
            MINI_AWAIT(
                MINI_CALL(struct answer, &self->answer, answer, .conn = self));
            if (MINI_RESULT < 0) goto end;
        }
        if (self->filled > 0) {
            MINI_AWAIT(flush(self));
            future->result = flushed(self, MINI_RESULT);
        }
        if (MINI_RESULT < 0) goto end;
        if (self->last) break;
        if (!keep_rest(self)) goto end;
        MINI_AWAIT(receive(self));
    } while (received(self, MINI_RESULT));
    if (!self->last) goto end;
    /* Closing with something unread would be a reset, which may reach the peer
     * before it has read what we have sent: so let the peer close first. */
    self->deadline = mini_now() + HANG_UP;
    MINI_AWAIT(mini_shutdown_socket(&self->io, self->fd, SHUT_WR));
    do {
        give_back(self);
        MINI_AWAIT(limit(self, mini_recv_next(&self->stream), self->deadline));
    } while (MINI_RESULT > 0);
end:
    give_back(self);
    free(self->part);
    MINI_AWAIT_SHIELDED(mini_recv_end(&self->stream));
    stop_alarm(&self->limit);
    MINI_END(0);
}

static struct mini_future *serve(void *frame, int fd, void *arg) {
    struct conn *conn = frame;
    (void)arg;
    (void)MINI_CALL(struct conn, conn, converse, .fd = fd); /* clears it */
    mini_recv_stream(&conn->stream, fd);
    return &conn->future;
}

/* ---- the program ---- */

static void usage(void) {
    fputs("usage: httpd --root DIR [--port P (0: a free one)] [--shards N (0: "
          "one a CPU)] [--host H] [--accept spread|reuseport] [--timeout S (1 "
          "to 3600)]\n",
        stderr);
    exit(2);
}

int main(int argc, char **argv) {
    static const struct option names[] = {{"root", required_argument, 0, 'r'},
        {"port", required_argument, 0, 'p'},
        {"shards", required_argument, 0, 's'},
        {"host", required_argument, 0, 'h'},
        {"accept", required_argument, 0, 'a'},
        {"timeout", required_argument, 0, 't'}, {0}};
    const char *directory = NULL;
    struct mini_options run = {0};
    struct mini_server_options server = {
        .host = "127.0.0.1", .frame = sizeof(struct conn), .serve = serve};
    struct service frame;
    opterr = 0; /* one line says it all: usage */
    for (int c; (c = getopt_long(argc, argv, "", names, NULL)) != -1;) {
        if (c == 'r')
            directory = optarg;
        else if (c == 'p')
            server.port = option_number("httpd", "port", optarg, 65535);
        else if (c == 's')
            run.shards = option_number("httpd", "shards", optarg, 1024);
        else if (c == 'h')
            server.host = optarg;
        else if (c == 'a')
            server.accept = option_accept("httpd", optarg);
        else if (c == 't')
            patience =
                option_number("httpd", "timeout", optarg, 3600) * MINI_SECOND;
        else
            usage();
    }
    if (!directory || optind < argc || patience == 0) usage();
    root = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root < 0) {
        fprintf(stderr, "httpd: cannot serve the directory %s: %s\n", directory,
            strerror(errno));
        return 1;
    }
    /* mini_send_file may write to a peer that has gone. In stage 6 the runtime
     * sees to this. */
    signal(SIGPIPE, SIG_IGN);
    return run_program("httpd",
        MINI_CALL(struct service, &frame, service, .program = "httpd",
            .options = server),
        &run);
}
