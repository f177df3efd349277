/* SPDX-License-Identifier: MIT */
/* What httpd must answer: a second reader of the same bytes, which shares no
 * line with the first one. It has all of them at once and all the time it
 * wants, changes nothing, and says what the connection sends, byte for byte. */
#pragma once

#include "directory.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <strings.h>

struct text {
    const char *at; /* NULL: there is none */
    size_t length;
};

/* ---- what is sent ---- */

struct output {
    char *bytes;
    size_t length, room;
};

/* LENGTH bytes more, to be filled. */
static char *grow(struct output *to, size_t length) {
    to->length += length;
    if (to->length > to->room || to->room == 0) {
        to->room = 2 * to->length + 4096;
        to->bytes = realloc(to->bytes, to->room);
        CHECK(to->bytes);
    }
    return to->bytes + to->length - length;
}

static void put(struct output *to, const char *bytes, size_t length) {
    memcpy(grow(to, length), bytes, length);
}

__attribute__((format(printf, 2, 3))) static void say(
    struct output *to, const char *format, ...) {
    char line[200];
    va_list arguments;
    va_start(arguments, format);
    put(to, line, (size_t)vsnprintf(line, sizeof line, format, arguments));
    va_end(arguments);
}

static void put_file(struct output *to, const struct node *node, uint64_t first,
    uint64_t length) {
    fill(grow(to, length), node, first, length);
}

/* ---- pieces of text ---- */

/* What is before MARK; REST is what is behind, NULL if there is no MARK. */
static struct text before(struct text *rest, const char *mark) {
    size_t length = strlen(mark);
    struct text all = *rest;
    *rest = (struct text){0};
    for (size_t i = 0; i + length <= all.length; i++) {
        if (memcmp(all.at + i, mark, length) != 0) continue;
        *rest = (struct text){all.at + i + length, all.length - i - length};
        return (struct text){all.at, i};
    }
    return all;
}

static bool is(struct text text, const char *word) {
    return text.length == strlen(word) &&
        memcmp(text.at, word, text.length) == 0;
}

static bool is_word(struct text text, const char *word) {
    return text.length == strlen(word) &&
        strncasecmp(text.at, word, text.length) == 0;
}

static bool is_blank(char c) { return c == ' ' || c == '\t'; }

static struct text trim(struct text text) {
    while (text.length > 0 && is_blank(text.at[0])) text.at++, text.length--;
    while (text.length > 0 && is_blank(text.at[text.length - 1])) text.length--;
    return text;
}

static bool all_of(struct text text, const char *set) {
    for (size_t i = 0; i < text.length; i++)
        if (!text.at[i] || !strchr(set, text.at[i])) return false;
    return text.length > 0;
}

#define DIGITS "0123456789"
#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

static bool is_name(struct text text) {
    return all_of(text, DIGITS LETTERS "!#$%&'*+-.^_`|~");
}

/* ---- a request ---- */

struct expected {
    bool plain, good; /* its bytes; all of it */
    bool get, head, old, other_version, long_target;
    bool body, close, keep_alive, if_range;
    int hosts, lengths;
    char path[1200];
    struct text range;
};

/* Decodes TARGET into PATH. */
static bool decode_path(struct expected *self, struct text target) {
    static const char digits[] = "0123456789abcdefABCDEF";
    size_t length = 0;
    struct text path = before(&target, "?"), rest = path;
    if (path.length >= 7 && strncasecmp(path.at, "http://", 7) == 0) {
        rest = (struct text){path.at + 7, path.length - 7};
        (void)before(&rest, "/");
        path = rest.at ? (struct text){rest.at - 1, rest.length + 1}
                       : (struct text){"/", 1};
    }
    if (path.length == 0 || path.at[0] != '/') return false;
    for (size_t i = 0; i < path.length; i++) {
        unsigned c = (unsigned char)path.at[i];
        if (c == '%') {
            char number[3] = {0};
            if (i + 2 >= path.length) return false;
            memcpy(number, path.at + i + 1, 2);
            if (!all_of((struct text){number, 2}, digits)) return false;
            c = (unsigned)strtoul(number, NULL, 16);
            if (c == 0) return false;
            i += 2;
        }
        if (length < sizeof self->path - 1) self->path[length++] = (char)c;
    }
    self->path[length] = '\0';
    return true;
}

static bool is_plain(struct text text) {
    for (size_t i = 0; i < text.length; i++) {
        unsigned char c = (unsigned char)text.at[i];
        if (c == '\r' && (i + 1 == text.length || text.at[i + 1] != '\n'))
            return false;
        if ((c < 32 && c != '\t' && c != '\r' && c != '\n') || c == 127)
            return false;
    }
    return true;
}

static bool expect_line(struct expected *self, struct text line) {
    bool plain = is_plain(line); /* else it is nothing at all */
    struct text method = before(&line, " ");
    self->head = plain && is(method, "HEAD");
    self->get = is(method, "GET");
    if (!line.at || !is_name(method)) return false;
    struct text target = before(&line, " "), version = line;
    if (!version.at || version.length != 8) return false;
    if (memcmp(version.at, "HTTP/", 5) != 0 || version.at[6] != '.' ||
        !all_of((struct text){version.at + 5, 1}, DIGITS) ||
        !all_of((struct text){version.at + 7, 1}, DIGITS))
        return false;
    self->other_version = version.at[5] != '1';
    self->old = version.at[7] == '0';
    self->long_target = target.length > 1024;
    return (!self->get && !self->head) || decode_path(self, target);
}

static void expect_connection(struct expected *self, struct text list) {
    while (list.at) {
        struct text word = trim(before(&list, ","));
        self->close |= is_word(word, "close");
        self->keep_alive |= is_word(word, "keep-alive");
    }
}

static bool expect_field(struct expected *self, struct text line) {
    struct text name = before(&line, ":"), value = trim(line);
    if (!line.at || !is_name(name)) return false;
    self->hosts += is_word(name, "host");
    if (is_word(name, "transfer-encoding")) self->body = true;
    if (is_word(name, "content-length")) {
        self->lengths++;
        if (!all_of(value, DIGITS)) return false;
        self->body |= !all_of(value, "0");
    }
    if (is_word(name, "connection")) expect_connection(self, value);
    if (is_word(name, "range")) self->range = value;
    if (is_word(name, "if-range")) self->if_range = true;
    return true;
}

/* HEAD has its last empty line, and no line that ends in LF alone. */
static struct expected expect_request(struct text head) {
    struct expected self = {.plain = is_plain(head)};
    head.length -= 2;
    self.good = expect_line(&self, before(&head, "\r\n"));
    while (head.length > 0 && self.good)
        self.good = expect_field(&self, before(&head, "\r\n"));
    self.good &= self.plain && self.lengths < 2 && self.hosts < 2;
    self.good &= self.hosts == 1 || self.old;
    return self;
}

/* ---- an answer ---- */

static const struct node *resolve(const char *path) {
    const struct node *at = nodes;
    while (*path) {
        size_t length = strcspn(path, "/");
        bool more = path[length] == '/';
        if (length > 0 && !(length == 1 && *path == '.'))
            at = find_node(at, path, length);
        if (!at || (more && !S_ISDIR(at->mode))) return NULL;
        path += length + more;
    }
    if (S_ISDIR(at->mode)) at = find_node(at, "index.html", 10);
    return at && S_ISREG(at->mode) ? at : NULL;
}

static uint64_t number_of(struct text text) {
    uint64_t value = 0;
    for (size_t i = 0; i < text.length; i++) {
        unsigned digit = (unsigned)(text.at[i] - '0');
        if (value > (UINT64_MAX - digit) / 10) return UINT64_MAX;
        value = value * 10 + digit;
    }
    return value;
}

/* 200, 206 or 416; the part is *FIRST to *LAST. */
static int expect_range(
    struct text value, uint64_t size, uint64_t *first, uint64_t *last) {
    if (value.length < 6 || strncasecmp(value.at, "bytes=", 6) != 0) return 200;
    struct text to = {value.at + 6, value.length - 6}, from = before(&to, "-");
    if (!to.at || (from.length == 0 && to.length == 0)) return 200;
    if (from.length > 0 && !all_of(from, DIGITS)) return 200;
    if (to.length > 0 && !all_of(to, DIGITS)) return 200;
    *first = number_of(from);
    *last = number_of(to);
    if (from.length == 0) { /* the last ones */
        if (*last == 0 || size == 0) return 416;
        *first = *last < size ? size - *last : 0;
        *last = size - 1;
        return 206;
    }
    if (to.length > 0 && *last < *first) return 200;
    if (*first >= size) return 416;
    if (to.length == 0 || *last >= size) *last = size - 1;
    return 206;
}

static void expect_head(struct output *to, int status, const char *reason,
    const char *type, uint64_t length) {
    say(to, "HTTP/1.1 %d %s\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n", status,
        reason);
    say(to, "Content-Type: %s\r\nContent-Length: %" PRIu64 "\r\n", type,
        length);
}

static void expect_end(struct output *to, bool keep, bool old) {
    if (!keep) say(to, "Connection: close\r\n");
    if (keep && old) say(to, "Connection: keep-alive\r\n");
    say(to, "\r\n");
}

static void expect_words(struct output *to, const struct expected *it,
    int status, const char *words, bool keep) {
    expect_head(to, status, status == 200 ? "OK" : words, "text/plain",
        strlen(words) + 1);
    if (status == 405) say(to, "Allow: GET, HEAD\r\n");
    expect_end(to, keep, it->old);
    if (!it->head) say(to, "%s\n", words);
}

static void expect_file(struct output *to, const struct expected *it,
    const struct node *node, bool keep) {
    static const char none[] = "Range Not Satisfiable";
    uint64_t first = 0, last = 0, length = node->size;
    bool whole = it->head || it->if_range;
    int status =
        whole ? 200 : expect_range(it->range, node->size, &first, &last);
    if (status == 416) {
        expect_head(to, 416, none, "text/plain", sizeof none);
        say(to, "Content-Range: bytes */%u\r\n", node->size);
        expect_end(to, keep, it->old);
        say(to, "%s\n", none);
        return;
    }
    if (status == 200)
        first = 0;
    else
        length = last - first + 1;
    expect_head(to, status, status == 200 ? "OK" : "Partial Content",
        node->type, length);
    say(to, "Accept-Ranges: bytes\r\n");
    if (status == 206)
        say(to, "Content-Range: bytes %" PRIu64 "-%" PRIu64 "/%u\r\n", first,
            last, node->size);
    expect_end(to, keep, it->old);
    if (!it->head) put_file(to, node, first, length);
}

/* Says whether the connection goes on. */
static bool expect_answer(struct output *to, struct text head) {
    struct expected it = expect_request(head);
    bool other_method = !it.get && !it.head;
    int status = !it.good  ? 400
        : it.other_version ? 505
        : it.long_target   ? 414
        : other_method     ? 405
        : it.body          ? 413
                           : 200;
    const char *words = status == 400 ? "Bad Request"
        : status == 505               ? "HTTP Version Not Supported"
        : status == 414               ? "URI Too Long"
        : status == 405               ? "Method Not Allowed"
        : status == 413               ? "Content Too Large"
                                      : "Not Found";
    bool keep = (status == 200 || status == 405) && !it.body && !it.close &&
        (it.keep_alive || !it.old);
    const struct node *node = NULL;
    if (status == 200 && strcmp(it.path, "/hello") == 0)
        words = "hello";
    else if (status == 200 && !(node = resolve(it.path)))
        status = 404;
    if (node)
        expect_file(to, &it, node, keep);
    else
        expect_words(to, &it, status, words, keep);
    return keep;
}

/* ---- a connection ---- */

#define MOST 4096 /* the longest head */

/* The bytes of the head that REST begins with; 0: it does not end; -1: one of
 * its lines ends in LF alone; -2: it is too long. */
static long expect_head_length(struct text rest) {
    for (size_t i = 0; i < rest.length && i < MOST; i++) {
        if (rest.at[i] != '\n') continue;
        if (i == 0 || rest.at[i - 1] != '\r') return -1;
        if (i >= 3 && memcmp(rest.at + i - 3, "\r\n", 2) == 0)
            return (long)i + 1;
    }
    return rest.length >= MOST ? -2 : 0;
}

/* All that is sent to a peer that sends DATA, and then ends its direction. */
static void expect(struct output *to, struct text data) {
    static const struct expected unread;
    while (data.length > 0) {
        if (data.length >= 2 && memcmp(data.at, "\r\n", 2) == 0) {
            data.at += 2;
            data.length -= 2;
            continue;
        }
        long length = expect_head_length(data);
        if (length == 0) return;
        if (length == -1)
            expect_words(to, &unread, 400, "Bad Request", false);
        else if (length == -2 && memchr(data.at, '\n', MOST))
            expect_words(
                to, &unread, 431, "Request Header Fields Too Large", false);
        else if (length == -2)
            expect_words(to, &unread, 414, "URI Too Long", false);
        if (length < 0) return;
        struct text head = {data.at, (size_t)length};
        if (!expect_answer(to, head)) return;
        data.at += length;
        data.length -= (size_t)length;
    }
}
