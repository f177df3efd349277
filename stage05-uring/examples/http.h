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
    const char *range; /* value of that field, or NULL */
    bool bad, other_version, other_method, long_target, body; /* its faults */
    bool close, keep_alive, if_range; /* what its fields say */
    unsigned hosts, lengths; /* how many Host and Content-Length it has */
};

/* The length of the head that TEXT begins with, empty line included; 0: it is
 * not complete; -1: one of its lines ends in LF alone. */
static inline long head_length(const char *text, size_t length) {
    const char *end = text + length, *at = text, *lf;
    for (; (lf = memchr(at, '\n', (size_t)(end - at))); at = lf + 1) {
        if (lf == text || lf[-1] != '\r') return -1;
        if (lf == at + 1 && at > text) return lf + 1 - text;
    }
    return 0;
}

enum { BLOCK = 16 };

/* No early exit: so the compiler makes a few vector instructions of it. */
static inline bool is_plain_block(const char *block) {
    unsigned char found = 0;
    for (int i = 0; i < BLOCK; i++)
        found |= ((unsigned char)block[i] < ' ') | (block[i] == 127);
    return !found;
}

/* No control character but a tab: so no NUL, which would end a C string, and no
 * CR. */
static inline bool is_text(const char *text, size_t length) {
    const char *at = text, *end = text + length;
    while (end - at >= BLOCK && is_plain_block(at)) at += BLOCK;
    if (length >= BLOCK && end - at < BLOCK && is_plain_block(end - BLOCK))
        return true; /* the last block may overlap */
    for (; at < end; at++)
        if (((unsigned char)*at < ' ' && *at != '\t') || *at == 127)
            return false;
    return true;
}

static inline bool is_token(const char *text) {
    const char *at = text;
    while (*at == '-' || isalnum((unsigned char)*at) ||
        (*at && strchr("!#$%&'*+.^_`|~", *at)))
        at++;
    return at > text && !*at;
}

/* WORD is in small letters. Most names differ from it in the first one. */
static inline bool is_named(const char *name, const char *word) {
    return (*name | ' ') == *word && strcasecmp(name, word) == 0;
}

/* Blanks are few: counting them is quicker than calling strspn(3). */
static inline size_t blanks(const char *text) {
    size_t count = 0;
    while (text[count] == ' ' || text[count] == '\t') count++;
    return count;
}

/* Ends TEXT at the first C and returns what follows; NULL: there is no C. */
static inline char *cut(char *text, char c) {
    char *at = text ? strchr(text, c) : NULL;
    if (at) *at++ = '\0';
    return at;
}

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

static inline void read_request_line(struct request *self, char *line) {
    char *target = cut(line, ' '), *version = cut(target, ' ');
    self->head = strcmp(line, "HEAD") == 0;
    self->other_method = !self->head && strcmp(line, "GET") != 0;
    self->bad = !version || (self->other_method && !is_token(line)) ||
        strncmp(version, "HTTP/", 5) != 0 ||
        !isdigit((unsigned char)version[5]) || version[6] != '.' ||
        !isdigit((unsigned char)version[7]) || version[8];
    if (self->bad) return;
    self->other_version = version[5] != '1';
    self->old = version[7] == '0';
    self->long_target = strlen(target) > TARGET_MAX;
    cut(target, '?'); /* a file takes no parameters */
    if (*target != '/' && strncasecmp(target, "http://", 7) == 0) {
        /* the form that a proxy gets */
        target = strchr(target + 7, '/');
        self->path = target ? target : strcpy(line, "/");
    } else {
        self->path = target;
    }
    self->bad =
        !self->other_method && (*self->path != '/' || !decode(self->path));
}

/* Whether WORD is in a list of words, separated by commas. */
static inline bool has_word(const char *list, const char *word) {
    size_t length = strlen(word);
    for (;; list++) {
        list += blanks(list);
        if (strncasecmp(list, word, length) == 0) {
            const char *behind = list + length + blanks(list + length);
            if (!*behind || *behind == ',') return true;
        }
        list = strchr(list, ',');
        if (!list) return false;
    }
}

static inline void read_field(struct request *self, char *name) {
    char *value = cut(name, ':');
    if (!value) {
        self->bad = true;
        return;
    }
    value += blanks(value);
    for (char *end = value + strlen(value);
         end > value && (end[-1] == ' ' || end[-1] == '\t');)
        *--end = '\0';
    if (is_named(name, "host")) {
        self->hosts++;
    } else if (is_named(name, "content-length")) {
        self->lengths++;
        self->bad |= !*value || value[strspn(value, "0123456789")];
        self->body |= value[strspn(value, "0")] != '\0';
    } else if (is_named(name, "transfer-encoding")) {
        self->body = true;
    } else if (is_named(name, "connection")) {
        self->close |= has_word(value, "close");
        self->keep_alive |= has_word(value, "keep-alive");
    } else if (is_named(name, "range")) {
        self->range = value;
    } else if (is_named(name, "if-range")) {
        self->if_range = true;
    } else if (!is_token(name)) {
        self->bad = true; /* also a folded line: it begins with a space */
    }
}

/* Reads the head of LENGTH bytes at TEXT, and changes it on the way. */
static inline void read_request(
    struct request *self, char *text, size_t length) {
    char *end = text + length - 2, *lf; /* the empty line */
    *self = (struct request){0};
    for (char *line = text; line < end && !self->bad; line = lf + 1) {
        lf = memchr(line, '\n', (size_t)(end - line));
        lf[-1] = '\0';
        if (!is_text(line, (size_t)(lf - 1 - line)))
            self->bad = true;
        else if (line == text)
            read_request_line(self, line);
        else
            read_field(self, line);
    }
    self->bad |= self->hosts > 1 || self->lengths > 1 ||
        (self->hosts == 0 && !self->old);
    self->status = self->bad  ? 400
        : self->other_version ? 505
        : self->long_target   ? 414
        : self->other_method  ? 405
        : self->body          ? 413
                              : 0;
    self->keep = !self->close && !self->body &&
        (self->status == 0 || self->status == 405) &&
        (self->keep_alive || !self->old);
    if (self->head || self->if_range) /* we have nothing to compare with */
        self->range = NULL;
}

static inline bool read_digits(const char **text, uint64_t *value) {
    if (!isdigit((unsigned char)**text)) return false;
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
