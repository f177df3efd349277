// SPDX-License-Identifier: MIT
// Calls from one io_context to another and back: a post() there, a post() back.
//     calls_asio awake W     W on the way at a time; both threads poll
//     calls_asio asleep 1    one at a time; both threads sleep in run()
#include "bench.h"

#include <atomic>
#include <boost/asio.hpp>
#include <thread>

namespace asio = boost::asio;

static asio::io_context here(1), there(1);
static struct bench bench;
static uint64_t calls, per_slice;
static std::atomic<bool> running(true);

static void call() {
    asio::post(there, [] {
        asio::post(here, [] {
            if (++calls % per_slice == 0 && !bench_lap(&bench, per_slice)) {
                running = false;
                here.stop();
                there.stop();
            }
            if (running) call();
        });
    });
}

static void serve(asio::io_context *context, bool awake) {
    auto work = asio::make_work_guard(*context);
    if (!awake)
        context->run();
    else
        while (running) context->poll();
}

int main(int argc, char **argv) {
    unsigned window = bench_number(argc, argv, 2);
    bool awake = bench_case(argc, argv, "awake");
    per_slice = !awake ? 100 : window == 1 ? 2000 : 20000;
    bench_init(&bench, CLOCK_MONOTONIC);
    std::thread other([awake] {
        bench_pin(1);
        serve(&there, awake);
    });
    bench_pin(0);
    bench_start(&bench);
    while (window--) call();
    serve(&here, awake);
    other.join();
    bench_print(&bench);
}
