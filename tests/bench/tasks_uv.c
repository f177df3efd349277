/* SPDX-License-Identifier: MIT */
/* Switching with libuv: N idle handles, each called once a turn of the loop. */
#include "bench.h"

#include <uv.h>

static struct bench bench;
static uint64_t rounds, per_slice;
static unsigned count;

static void follow(uv_idle_t *handle) { (void)handle; }

static void lead(uv_idle_t *handle) {
    if (++rounds % per_slice == 0 && !bench_lap(&bench, per_slice * count))
        uv_stop(handle->loop);
}

int main(int argc, char **argv) {
    uv_loop_t *loop = uv_default_loop();
    count = bench_number(argc, argv, 2);
    per_slice = 200000 / count + 1;
    uv_idle_t *handles = calloc(count, sizeof *handles);
    if (!handles) return 1;
    for (unsigned i = 0; i < count; i++) {
        uv_idle_init(loop, &handles[i]);
        uv_idle_start(&handles[i], i ? follow : lead);
    }
    bench_init(&bench, CLOCK_THREAD_CPUTIME_ID);
    bench_start(&bench);
    uv_run(loop, UV_RUN_DEFAULT);
    bench_print(&bench);
    return 0;
}
