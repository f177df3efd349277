/* SPDX-License-Identifier: MIT */
/* As much of HTTP/1.1 (RFC 9110, RFC 9112) as httpd needs to read a request.
 *
 * It is strict on purpose. If two readers of the same bytes, a proxy and the
 * server behind it, see different requests, somebody can hide one in another.
 * So anything not exactly as it should be gets a 400, and nothing after it is
 * read. Nor is anything after a request with a body: httpd has no use for
 * one. */
#pragma once

#include <ctype.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define TARGET_MAX 1024

/* What a head says. Its strings lie in the head itself. */
struct request {
    int status; /* 0, or what is wrong with it */
    bool head; /* HEAD, not GET */
    bool old; /* HTTP/1.0 */
    bool keep; /* the connection stays open after it */
    char *path; /* decoded, begins with a slash */
    char *range; /* value of that field, or NULL */
    char *path_end, *range_end; /* where they are cut, once all is there */
    bool bad, other_version, other_method, long_target, body; /* its faults */
    bool close, keep_alive, if_range; /* what its fields say */
    unsigned hosts, lengths; /* how many Host and Content-Length it has */
};

enum { BLOCK = 16 };

/* Notes in FOUND where a block has control characters. No early exit: so the
 * compiler makes a few vector instructions of it. */
static inline void note_controls(unsigned char *found, const char *block) {
    for (int i = 0; i < BLOCK; i++)
        found[i] |= ((unsigned char)block[i] < ' ') | (block[i] == 127);
}

/* No control character but a tab: so no NUL and no CR. */
static inline bool is_text(const char *text, size_t length) {
    static const unsigned char none[BLOCK];
    unsigned char found[BLOCK] = {0};
    const char *at = text, *last = text + length - BLOCK;
    if (length >= BLOCK) {
        for (; at < last; at += BLOCK) note_controls(found, at);
        note_controls(found, last); /* may overlap */
        if (memcmp(found, none, BLOCK) == 0) return true;
    }
    for (at = text; at < text + length; at++)
        if (((unsigned char)*at < ' ' && *at != '\t') || *at == 127)
            return false;
    return true;
}

/* ---- a line: it is text, and ends in CR, where every search stops ---- */

/* What a token is made of; a range of indices is an extension of C. */
__extension__ static const bool in_token[256] = {['0' ... '9'] = true,
    ['A' ... 'Z'] = true,
    ['a' ... 'z'] = true,
    ['!'] = true,
    ['#'] = true,
    ['$'] = true,
    ['%'] = true,
    ['&'] = true,
    ['\''] = true,
    ['*'] = true,
    ['+'] = true,
    ['-'] = true,
    ['.'] = true,
    ['^'] = true,
    ['_'] = true,
    ['`'] = true,
    ['|'] = true,
    ['~'] = true};

/* The end of the token, perhaps an empty one, that begins at AT. */
static inline char *token_end(char *at) {
    while (in_token[(unsigned char)*at]) at++;
    return at;
}

/* WORD is in small letters. Most others differ from it in length. (In a token
 * only a capital letter becomes another character with the space's bit.) */
static inline bool is_named(
    const char *token, const char *end, const char *word) {
    if ((size_t)(end - token) != strlen(word)) return false;
    while (token < end && (*token | ' ') == *word) token++, word++;
    return token == end;
}

/* Blanks are few: counting them is quicker than calling strspn(3). */
static inline char *skip_blanks(char *at) {
    while (*at == ' ' || *at == '\t') at++;
    return at;
}

static inline bool is_digit(char c) { return c >= '0' && c <= '9'; }

static inline void read_request_line(
    struct request *self, char *line, char *cr) {
    char *end = token_end(line);
    size_t length = (size_t)(end - line);
    bool alone = end == cr; /* then there is nothing behind the method */
    self->head =
        (alone || *end == ' ') && length == 4 && memcmp(line, "HEAD", 4) == 0;
    self->other_method =
        !self->head && (length != 3 || memcmp(line, "GET", 3) != 0);
    self->path = end + 1;
    self->path_end =
        *end == ' ' ? memchr(end + 1, ' ', (size_t)(cr - end - 1)) : NULL;
    const char *version = self->path_end ? self->path_end + 1 : cr;
    self->bad = length == 0 || cr - version != 8 ||
        memcmp(version, "HTTP/", 5) != 0 || !is_digit(version[5]) ||
        version[6] != '.' || !is_digit(version[7]);
    if (self->bad) return;
    self->other_version = version[5] != '1';
    self->old = version[7] == '0';
    self->long_target = self->path_end - self->path > TARGET_MAX;
}

/* A list of words, separated by commas. */
static inline void read_connection(struct request *self, char *word) {
    for (;; word++) {
        word = skip_blanks(word);
        char *end = token_end(word), *behind = skip_blanks(end);
        if (*behind == ',' || *behind == '\r') {
            self->close |= is_named(word, end, "close");
            self->keep_alive |= is_named(word, end, "keep-alive");
        }
        for (word = behind; *word != ','; word++)
            if (*word == '\r') return;
    }
}

static inline void read_field(struct request *self, char *name, char *cr) {
    char *colon = token_end(name), *value = skip_blanks(colon + 1), *end = cr;
    if (colon == name || *colon != ':') { /* also a folded line: it begins with
                                           * a space */
        self->bad = true;
        return;
    }
    while (end > value && (end[-1] == ' ' || end[-1] == '\t')) end--;
    if (is_named(name, colon, "host")) {
        self->hosts++;
    } else if (is_named(name, colon, "content-length")) {
        self->lengths++;
        self->bad |= value == end || value + strspn(value, "0123456789") != end;
        self->body |= value + strspn(value, "0") != end;
    } else if (is_named(name, colon, "transfer-encoding")) {
        self->body = true;
    } else if (is_named(name, colon, "connection")) {
        read_connection(self, value);
    } else if (is_named(name, colon, "range")) {
        self->range = value;
        self->range_end = end;
    } else if (is_named(name, colon, "if-range")) {
        self->if_range = true;
    }
}

/* ---- a head ---- */

static inline int hex(char c) {
    static const char digits[] = "0123456789abcdef";
    const char *at = strchr(digits, tolower((unsigned char)c));
    return c && at ? (int)(at - digits) : -1;
}

/* Makes %41 an A. False: no hexadecimal, or a NUL, which would end the path. */
static inline bool decode(char *text) {
    char *to = strchr(text, '%');
    if (!to) return true;
    for (const char *from = to; *from; from++) {
        *to = *from;
        if (*from == '%') {
            int high = hex(from[1]), low = high < 0 ? -1 : hex(from[2]);
            if (low < 0 || high + low == 0) return false;
            *to = (char)(high * 16 + low);
            from += 2;
        }
        to++;
    }
    *to = '\0';
    return true;
}

/* Makes a path of the target. */
static inline bool read_target(struct request *self) {
    *self->path_end = '\0';
    char *query = strchr(self->path, '?');
    if (query) *query = '\0'; /* a file takes no parameters */
    if (*self->path != '/' && strncasecmp(self->path, "http://", 7) == 0) {
        /* the form that a proxy gets */
        char *slash = strchr(self->path + 7, '/');
        self->path = slash ? slash : strcpy(self->path, "/");
    }
    return *self->path == '/' && decode(self->path);
}

/* All lines have been read: what does the head come to? */
static inline void judge(struct request *self) {
    self->bad |= self->hosts > 1 || self->lengths > 1 ||
        (self->hosts == 0 && !self->old);
    if (!self->bad && !self->other_method) self->bad = !read_target(self);
    self->status = self->bad  ? 400
        : self->other_version ? 505
        : self->long_target   ? 414
        : self->other_method  ? 405
        : self->body          ? 413
                              : 0;
    self->keep = !self->close && !self->body &&
        (self->status == 0 || self->status == 405) &&
        (self->keep_alive || !self->old);
    if (self->range) *self->range_end = '\0';
    if (self->head || self->if_range) /* we have nothing to compare with */
        self->range = NULL;
}

static inline void read_line(
    struct request *self, char *line, char *cr, bool first) {
    if (self->bad) return; /* what else it says does not matter */
    if (!is_text(line, (size_t)(cr - line)))
        self->bad = true;
    else if (first)
        read_request_line(self, line, cr);
    else
        read_field(self, line, cr);
}

/* Reads the head that LENGTH bytes at TEXT begin with. Returns its length, empty
 * line included; 0: it is not complete, and nothing has been changed; -1: one of
 * its lines ends in LF alone. */
static inline long read_request(
    struct request *self, char *text, size_t length) {
    char *end = text + length, *line = text;
    *self = (struct request){0};
    do {
        char *lf = memchr(line, '\n', (size_t)(end - line));
        if (!lf) return 0;
        if (lf == line || lf[-1] != '\r') return -1;
        read_line(self, line, lf - 1, line == text);
        line = lf + 1;
    } while (end - line < 2 || memcmp(line, "\r\n", 2) != 0);
    judge(self);
    return line + 2 - text;
}

/* ---- a range ---- */

static inline bool read_digits(const char **text, uint64_t *value) {
    if (!is_digit(**text)) return false;
    char *end;
    *value =
        strtoull(*text, &end, 10); /* too many digits: the greatest value */
    *text = end;
    return true;
}

/* What the field Range asks for of SIZE bytes. 206: LENGTH bytes from FIRST on;
 * 416: only bytes that are not there; 200: all, since a Range that is not
 * understood is ignored. */
static inline int read_range(
    const char *text, uint64_t size, uint64_t *first, uint64_t *length) {
    uint64_t from = 0, to = 0;
    *first = 0;
    *length = size;
    if (!text || strncasecmp(text, "bytes=", 6) != 0) return 200;
    text += 6;
    bool has_from = read_digits(&text, &from);
    if (*text++ != '-') return 200;
    bool has_to = read_digits(&text, &to);
    if (*text || !(has_from || has_to) || (has_from && has_to && to < from))
        return 200;
    if (!has_from) /* the last TO bytes */
        from = to < size ? size - to : 0;
    if (from >= size || (!has_from && to == 0)) return 416;
    if (!has_from || !has_to || to >= size) to = size - 1;
    *first = from;
    *length = to - from + 1;
    return 206;
}
