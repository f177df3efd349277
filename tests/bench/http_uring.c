/* SPDX-License-Identifier: MIT */
/* The limit of a web server: sends what does not change, as long as what our
 * example answers to GET /hello, once for each request. It takes all of those to
 * be as long as the first, and does not read them. */
#include "uring_server.h"

#define ANSWER \
    "HTTP/1.1 200 OK\r\n" \
    "Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n" \
    "Content-Type: text/plain\r\n" \
    "Content-Length: 6\r\n" \
    "\r\n" \
    "hello\n"
#define MOST 512 /* requests in a buffer: none is shorter than 8 bytes */

static char answer_bytes[MOST * (sizeof ANSWER - 1)];
static unsigned request; /* bytes */
static unsigned parts[FILES]; /* bytes of a request that is not complete yet */

static unsigned first_length(const char *data, unsigned length) {
    const char *end = memmem(data, length, "\r\n\r\n", 4);
    return end ? (unsigned)(end + 4 - data) : length;
}

static const char *answer(unsigned fd, char *data, unsigned *length) {
    if (!request) request = first_length(data, *length);
    unsigned came = parts[fd] + *length;
    parts[fd] = came % request;
    *length = came / request * (unsigned)(sizeof ANSWER - 1);
    return answer_bytes;
}

int main(void) {
    for (unsigned i = 0; i < MOST; i++)
        memcpy(
            answer_bytes + i * (sizeof ANSWER - 1), ANSWER, sizeof ANSWER - 1);
    serve(1);
}
