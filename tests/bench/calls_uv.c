/* SPDX-License-Identifier: MIT */
/* Two loops of libuv that wake each other with uv_async_send, one at a time. */
#include "bench.h"

#include <uv.h>

static struct bench bench;
static uint64_t trips;
static uv_async_t here, there;
static uv_loop_t loops[2];
static volatile bool running = true;

static void on_there(uv_async_t *async) {
    if (!running) uv_stop(async->loop);
    uv_async_send(&here);
}

static void on_here(uv_async_t *async) {
    if (++trips % 100 == 0 && !bench_lap(&bench, 100)) {
        running = false;
        uv_stop(async->loop);
    }
    uv_async_send(&there);
}

static void *serve(void *loop) {
    bench_pin(1);
    uv_run(loop, UV_RUN_DEFAULT);
    return NULL;
}

int main(void) {
    pthread_t other;
    uv_loop_init(&loops[0]);
    uv_loop_init(&loops[1]);
    uv_async_init(&loops[0], &here, on_here);
    uv_async_init(&loops[1], &there, on_there);
    bench_init(&bench, CLOCK_MONOTONIC);
    pthread_create(&other, NULL, serve, &loops[1]);
    bench_pin(0);
    bench_start(&bench);
    uv_async_send(&there);
    uv_run(&loops[0], UV_RUN_DEFAULT);
    pthread_join(other, NULL);
    bench_print(&bench);
    return 0;
}
