/* SPDX-License-Identifier: MIT */
/* The limit of an echo server.
 *     echo_uring           sleeps until something comes
 *     echo_uring spin      looks for it all the time
 *     echo_uring pair      sleeps, on two threads */
#include "uring_server.h"

static const char *answer(unsigned fd, char *data, unsigned *length) {
    (void)fd;
    (void)length;
    return data;
}

int main(int argc, char **argv) {
    spins = bench_case(argc, argv, "spin");
    serve(bench_case(argc, argv, "pair") ? 2 : 1);
}
