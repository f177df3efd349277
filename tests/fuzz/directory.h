/* SPDX-License-Identifier: MIT */
/* The directory that httpd serves while it is fuzzed: a table. */
#pragma once

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define CHECK(condition) \
    ((condition) ? (void)0 : fail(#condition, __FILE__, __LINE__))

static _Noreturn void fail(const char *what, const char *file, int line) {
    fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, what);
    abort();
}

struct node {
    const char *name;
    int parent; /* of the table; the first is the root, and has none */
    uint32_t mode;
    unsigned size;
    const char *type; /* as the answer names it */
};

static const struct node nodes[] = {{"", -1, S_IFDIR, 0, NULL},
    {"index.html", 0, S_IFREG, 11, "text/html"},
    {"ten.txt", 0, S_IFREG, 10, "text/plain"},
    {"empty.css", 0, S_IFREG, 0, "text/css"},
    {"small.js", 0, S_IFREG, 2304, "text/javascript"}, /* with its head */
    {"more.json", 0, S_IFREG, 2305, "application/json"}, /* not */
    {"data", 0, S_IFREG, 5000, "application/octet-stream"},
    {"link", 0, S_IFLNK, 0, NULL}, {"fifo", 0, S_IFIFO, 0, NULL},
    {"bare", 0, S_IFDIR, 0, NULL}, {"odd", 0, S_IFDIR, 0, NULL},
    {"index.html", 10, S_IFDIR, 0, NULL}, {"a", 0, S_IFDIR, 0, NULL},
    {"index.html", 12, S_IFREG, 12, "text/html"}, {"b", 12, S_IFDIR, 0, NULL},
    {"c d%.txt", 14, S_IFREG, 13, "text/plain"},
    {"index.html", 11, S_IFREG, 14, "text/html"}};

/* What it holds of that name, LENGTH bytes long; NULL: nothing. */
static const struct node *find_node(
    const struct node *in, const char *name, size_t length) {
    for (size_t i = 1; i < sizeof nodes / sizeof *nodes; i++)
        if (nodes[i].parent == in - nodes && strlen(nodes[i].name) == length &&
            memcmp(nodes[i].name, name, length) == 0)
            return &nodes[i];
    return NULL;
}

/* LENGTH bytes of a file, from FIRST on. */
static void fill(
    char *to, const struct node *node, uint64_t first, uint64_t length) {
    static char pattern[8192];
    for (size_t i = 0; !pattern[sizeof pattern - 1]; i++)
        pattern[i] = (char)('!' + i * i % 89);
    memcpy(to, pattern + node->size % 89 + first, length);
}
