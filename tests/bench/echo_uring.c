/* SPDX-License-Identifier: MIT */
/* The limit of an echo server.
 *     echo_uring           sleeps until something comes
 *     echo_uring spin      looks for it all the time */
#include "uring_server.h"

static const char *answer(unsigned fd, char *data, unsigned *length) {
    (void)fd;
    (void)length;
    return data;
}

int main(int argc, char **argv) {
    serve(argc > 1 && strcmp(argv[1], "spin") == 0);
}
