// SPDX-License-Identifier: MIT
// Switching and spawning with Boost.Asio: a handler is a task, post() queues
// it. One thread, and told so: no locks. See tasks_limit.c.
#include "bench.h"

#include <boost/asio.hpp>

namespace asio = boost::asio;

static asio::io_context context(BOOST_ASIO_CONCURRENCY_HINT_UNSAFE);
static struct bench bench;
static uint64_t rounds, per_slice;
static unsigned count, left;
static bool running = true;

struct follow {
    void operator()() const {
        if (running) asio::post(context, *this);
    }
};

struct lead {
    void operator()() const {
        if (++rounds % per_slice == 0)
            running = bench_lap(&bench, per_slice * count);
        if (running) asio::post(context, *this);
    }
};

struct parent {
    void operator()() const;
};

struct child {
    void operator()() const {
        if (--left == 0) asio::post(context, parent());
    }
};

void parent::operator()() const {
    if (rounds && rounds % per_slice == 0)
        running = bench_lap(&bench, per_slice * count);
    rounds++;
    if (!running) return;
    left = count;
    for (unsigned i = 0; i < count; i++) asio::post(context, child());
}

int main(int argc, char **argv) {
    count = bench_number(argc, argv, 2);
    bench_init(&bench, CLOCK_THREAD_CPUTIME_ID);
    if (bench_case(argc, argv, "yield")) {
        per_slice = 200000 / count + 1;
        asio::post(context, lead());
        for (unsigned i = 1; i < count; i++) asio::post(context, follow());
    } else {
        per_slice = 100000 / count + 1;
        asio::post(context, parent());
    }
    bench_start(&bench);
    context.run();
    bench_print(&bench);
}
