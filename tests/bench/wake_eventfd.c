/* SPDX-License-Identifier: MIT */
/* A limit of waking: two threads that sleep in read() of an eventfd each, and
 * write to the other's. */
#include "bench.h"

#include <sys/eventfd.h>

static struct bench bench;
static int bells[2];
static volatile bool running = true;

static void ring(int fd) { (void)!write(fd, &(uint64_t){1}, 8); }

static void wait_for(int fd) {
    uint64_t rings;
    (void)!read(fd, &rings, sizeof rings);
}

static void *echo(void *arg) {
    bench_pin(1);
    while (running) {
        wait_for(bells[1]);
        ring(bells[0]);
    }
    return arg;
}

int main(void) {
    pthread_t other;
    bells[0] = eventfd(0, EFD_CLOEXEC);
    bells[1] = eventfd(0, EFD_CLOEXEC);
    bench_init(&bench, CLOCK_MONOTONIC);
    pthread_create(&other, NULL, echo, NULL);
    bench_pin(0);
    bench_start(&bench);
    do {
        for (int i = 0; i < 100; i++) {
            ring(bells[1]);
            wait_for(bells[0]);
        }
    } while (bench_lap(&bench, 100));
    running = false;
    ring(bells[1]);
    pthread_join(other, NULL);
    bench_print(&bench);
    return 0;
}
