# SPDX-License-Identifier: MIT
"""The rows of the benchmark: what is measured, beside what, and what would be
good. run.py does what stands here.

A new row is one more Row below. A program is a source file of this directory,
named by its stem, and prints "VALUE OPERATIONS". A server prints "listening on
HOST:PORT", and a load generator is run against it, which prints "NAME VALUE"
pairs.
"""

import os
from collections import namedtuple
from pathlib import Path

# A source file, the header without which it is left out, what to link, and the
# package that has it (the word that `make deps-bench` knows it by). A .py is run
# as it is, and needs a command instead of the header.
Source = namedtuple("Source", "file needs link whose", defaults=("", (), ""))

SOURCES = {
    source.file.split(".")[0]: source
    for source in [
        Source("quiet.c"),
        Source("tasks_limit.c"),
        Source("tasks_mini.c"),
        Source("tasks_asio.cpp", "boost/asio.hpp", (), "Boost.Asio"),
        Source("tasks_uv.c", "uv.h", ("-luv",), "libuv"),
        Source("timers_limit.c"),
        Source("timers_mini.c"),
        Source("timers_ev.c", "ev.h", ("-lev",), "libev"),
        Source("timers_uv.c", "uv.h", ("-luv",), "libuv"),
        Source("rings_flag.c"),
        Source("rings_cached.c"),
        Source("rings_mini.c"),
        Source("rings_boost.cpp", "boost/lockfree/spsc_queue.hpp", (),
               "Boost.Lockfree"),
        Source("calls_mini.c"),
        Source("calls_asio.cpp", "boost/asio.hpp", (), "Boost.Asio"),
        Source("calls_uv.c", "uv.h", ("-luv",), "libuv"),
        Source("wake_eventfd.c"),
        Source("wake_msg_ring.c", "liburing.h", ("-luring",), "liburing"),
        Source("load.c"),
        Source("echo_uring.c", "liburing.h", ("-luring",), "liburing"),
        Source("echo_epoll.c"),
        Source("echo_uv.c", "uv.h", ("-luv",), "libuv"),
        Source("echo_asio.cpp", "boost/asio.hpp", (), "Boost.Asio"),
        Source("echo_spin_mini.c"),
        Source("echo_turn_mini.c"),
        Source("load_wrk.py", "wrk", (), "wrk"),
        Source("http_uring.c", "liburing.h", ("-luring",), "liburing"),
        Source("http_nginx.py", "nginx", (), "nginx"),
        Source("files_uring.c", "liburing.h", ("-luring",), "liburing"),
        Source("files_mini.c"),
        Source("files_pread.c"),
        Source("files_uv.c", "uv.h", ("-luv",), "libuv"),
        Source("files_fio.py", "fio", (), "fio"),
        Source("features_send_mini.c"),
        Source("features_recv_mini.c"),
        Source("memory_limit.c"),
        Source("memory_mini.c"),
    ]
}

# What the programs read that read a file; the first one makes it.
FILE = Path(__file__).resolve().parent / "build" / "pattern"

# What is run: a program and its arguments.
Run = namedtuple("Run", "program arguments")

# A server, the load generator that is run against it with the words of LOAD
# before and behind the port and the server's process number, and which of the
# values that it prints is the row's. WIDE: it gets the load generator's CPU, too.
Server = namedtuple("Server", "program arguments generator load value wide",
                    defaults=(False,))

# Programs that are not built here: stage 6 has them.
EXAMPLES = {"echo", "httpd"}

# A goal: the ratio to the limit, the ratio to the best peer, or the value
# itself shall be at most (of a rate: at least) BOUND.
Goal = namedtuple("Goal", "of bound")


class Row:
    """One line of the table. LIMITS and PEERS: names to runs; the best of each
    counts. CPUS: how many the programs get. RATE: the programs' nanoseconds
    are turned into millions a second, and more is better."""

    def __init__(self, name, unit, ours, limits, peers=None, goals=(), cpus=1,
                 rate=False, seldom=()):
        self.name = name
        self.unit = unit
        self.runs = {"ours": ours, **limits, **(peers or {})}
        self.limits = list(limits)
        self.peers = list(peers or {})
        self.goals = goals
        self.cpus = cpus
        self.rate = rate
        self.seldom = seldom  # slow ones: every third round is enough

    def value(self, ns):
        return 1000 / ns if self.rate else ns


def run(program, *arguments):
    return Run(program, [str(argument) for argument in arguments])


def servers(*load, value):
    """Our echo server, the limits and the peers, under the same load."""
    def server(program, *arguments):
        return Server(program, arguments, "load",
                      [str(word) for word in load], value)
    return (
        server("echo", "--port", "0", "--shards", "1"),
        {"io_uring loop": server("echo_uring")},
        {"epoll loop": server("echo_epoll"), "libuv": server("echo_uv"),
         "Asio": server("echo_asio")},
    )


def pairs(connections):
    """Our echo server and the limit on both CPUs, one of which is the load
    generator's, and our server with 50 connections on the other CPU alone."""
    def server(program, *arguments, connections=connections, wide=True):
        return Server(program, arguments, "load",
                      ["echo", str(connections), "700"], "cpu", wide)
    return (
        server("echo", "--port", "0", "--shards", "2"),
        {"io_uring loop": server("echo_uring", "pair")},
        {"one shard": server("echo", "--port", "0", "--shards", "1",
                             connections=50, wide=False)},
    )


def web_servers(*load):
    """Our web server, the limit and nginx, under the same load."""
    def server(program, *arguments):
        return Server(program, arguments, "load_wrk",
                      ["hello", *map(str, load)], "cpu")
    return (
        server("httpd", "--root", str(FILE.parent), "--port", "0",
               "--shards", "1"),
        {"io_uring loop": server("http_uring")},
        {"nginx": server("http_nginx")},
    )


def can_go_direct():
    """Does this file system read past the page cache?"""
    FILE.parent.mkdir(exist_ok=True)
    probe = FILE.parent / "direct"
    try:
        os.close(os.open(probe, os.O_RDWR | os.O_CREAT | os.O_DIRECT))
    except (OSError, AttributeError):
        return False
    finally:
        probe.unlink(missing_ok=True)
    return True


def count(n):
    return f"{n:,}"


def rows():
    for n in (1, 100, 1000, 10000, 1000000):
        yield Row(
            f"yield, {count(n)} task{'s' * (n > 1)}", "ns",
            run("tasks_mini", "yield", n),
            {"bare queue": run("tasks_limit", "yield", n)},
            {"Asio": run("tasks_asio", "yield", n),
             "libuv": run("tasks_uv", "yield", n)},
            [Goal("limit", 1.8)] if n <= 10000 else [],
        )
    for n, bound in ((1, 2.5), (1000, 2.0)):
        yield Row(
            f"spawn, run, join, {count(n)} at a time", "ns",
            run("tasks_mini", "spawn", n),
            {"bare slab": run("tasks_limit", "spawn", n)},
            {"Asio": run("tasks_asio", "spawn", n)},
            [Goal("limit", bound)],
        )
    for case, what in (("cancel", "insert, cancel"),
                       ("expire", "insert, expire")):
        for n in (1000, 100000, 1000000):
            best = 1.0 if case == "expire" and n == 1000000 else 1.2
            yield Row(
                f"timer {what}, {count(n)} pending", "ns",
                run("timers_mini", case, n),
                {"bare wheel": run("timers_limit", case, n)},
                {"libev": run("timers_ev", case, n),
                 "libuv": run("timers_uv", case, n)},
                [Goal("limit", best)],
                seldom=("libuv", "libev") if n == 1000000 else (),
            )
    for n in (1, 32):
        yield Row(
            "ring, one by one" if n == 1 else f"ring, batches of {n}", "M/s",
            run("rings_mini", "items", n),
            {"flag per slot": run("rings_flag", "items", n),
             "cached indices": run("rings_cached", "items", n)},
            {"Boost": run("rings_boost", "items", n)},
            [Goal("limit", 0.9)], cpus=2, rate=True,
        )
    trips = {n: {"flag per slot": run("rings_flag", "trip", n),
                 "cached indices": run("rings_cached", "trip", n)}
             for n in (1, 64)}
    yield Row(
        "ring, there and back", "ns", run("rings_mini", "trip", 1), trips[1],
        {"Boost": run("rings_boost", "trip", 1)}, [Goal("limit", 1.1)], cpus=2,
    )
    for n, bound in ((1, 500), (64, 50)):
        yield Row(
            f"submit_to there and back, {n} on the way", "ns",
            run("calls_mini", "awake", n), trips[n],
            {"Asio": run("calls_asio", "awake", n)},
            [Goal("value", bound)], cpus=2,
        )
    yield Row(
        "wake a sleeping shard, there and back", "ns",
        run("calls_mini", "asleep", 1),
        {"eventfd": run("wake_eventfd"), "MSG_RING": run("wake_msg_ring")},
        {"Asio": run("calls_asio", "asleep", 1), "libuv": run("calls_uv")},
        [Goal("limit", 1.1)], cpus=2,
    )
    for n in (50, 500, 10000):
        yield Row(
            f"TCP echo, {count(n)} connections, CPU a request", "ns",
            *servers("echo", n, 700, value="cpu"),
            [Goal("limit", 1.03), Goal("peer", 1.0)] if n <= 500 else [],
            cpus=2, seldom=("epoll loop", "libuv", "Asio") if n > 500 else (),
        )
    for connections, what in ((50, "50 connections"),
                              (100, "50 connections a shard")):
        yield Row(f"TCP echo, {what}, two shards, CPU a request", "ns",
                  *pairs(connections), [Goal("peer", 1.05)], cpus=2)
    yield Row(
        "TCP echo, 1 connection, half of all within", "us",
        *servers("echo", 1, 700, value="p50"), [Goal("limit", 1.03)], cpus=2,
    )
    yield Row(
        "TCP echo, 1 connection, half of all within, none sleeps", "us",
        Server("echo_spin_mini", [], "load", ["spin", "1", "700"], "p50"),
        {"io_uring loop": Server("echo_uring", ["spin"], "load",
                                 ["spin", "1", "700"], "p50")},
        goals=[Goal("limit", 1.03)], cpus=2,
    )
    yield Row(
        "HTTP hello, 64 connections, CPU a request", "ns",
        *web_servers(64, 1), [Goal("limit", 1.04), Goal("peer", 0.9)], cpus=2,
    )
    yield Row(
        "HTTP hello, 64 connections, 16 at once, CPU a request", "ns",
        *web_servers(64, 16), [Goal("peer", 0.5)], cpus=2,
    )
    for what, name in (("plain", "as they come"),
                       ("both", "registered buffer, file")):
        yield Row(
            f"read 4 KiB of a file at random, {name}", "ns",
            run("files_mini", FILE, what),
            {"io_uring loop": run("files_uring", FILE)},
            {"pread": run("files_pread", FILE),
             "libuv": run("files_uv", FILE), "fio": run("files_fio", FILE)},
            [Goal("limit", 1.04)] if what == "both" else [],
        )
    if can_go_direct():
        yield Row(
            "read 4 KiB of a file at random, O_DIRECT, by the clock", "ns",
            run("files_mini", FILE, "direct"),
            {"io_uring loop": run("files_uring", FILE, "direct")},
            {"pread": run("files_pread", FILE, "direct"),
             "fio": run("files_fio", FILE, "direct")},
            [Goal("limit", 1.03)],
        )
    yield Row(
        "memory of an idle TCP connection", "B",
        *servers("idle", 2000, value="bytes"), [Goal("value", 256)], cpus=2,
    )
    for case, what, bound in (("empty", "an empty task", 96),
                              ("sleep", "a sleeping task", 200)):
        yield Row(
            f"memory of {what}, 1,000,000", "B",
            run("memory_mini", case, 1000000),
            {"bare blocks": run("memory_limit", case, 1000000)},
            goals=[Goal("value", bound)],
        )
    for n in (1000, 1000000):
        yield Row(
            f"spawn, sleep, end, {count(n)} at a time", "ns",
            run("memory_mini", "life", n), {},
        )


def features():
    """What each gives: the same work with it, as "ours", and without, as peers.
    Only run if they are asked for."""
    def row(name, program, with_it, without, argument, *more, cpus=2):
        def one(case):
            words = (case, argument) if program != "files_mini" else (
                argument, case)
            return run(program, *words)
        return Row(f"feature: {name}", "ns", one(with_it), {},
                   {what: one(case) for what, case in (without, *more)},
                   cpus=cpus)

    def size(n):
        for unit, bytes_ in (("MiB", 1 << 20), ("KiB", 1 << 10)):
            if n >= bytes_:
                return f"{n // bytes_} {unit}"
        return f"{n} B"

    for n in (16384, 65536):
        yield row(f"send_zc, {size(n)}", "features_send_mini", "send_zc",
                  ("send", "send"), n)
    for n in (4096, 65536, 1048576):
        yield row(f"send_file with splice, {size(n)}", "features_send_mini",
                  "splice", ("read, send", "copy"), n)
        yield row(f"send_file with sendfile(2), {size(n)}",
                  "features_send_mini", "sendfile", ("read, send", "copy"), n)
    for what, case in (("buffer", "buffer"), ("file", "file"),
                       ("buffer and file", "both")):
        yield row(f"registered {what}, read 4 KiB", "files_mini", case,
                  ("neither", "plain"), FILE, cpus=1)
    for n in (64, 4096):
        yield row(f"recv_stream with a buffer ring, {size(n)}",
                  "features_recv_mini", "ring", ("recv", "recv"), n)
        yield row(f"recv_stream without one, {size(n)}",
                  "features_recv_mini", "stream", ("recv", "recv"), n)
    yield row("multishot accept", "features_recv_mini", "multishot",
              ("one by one", "accept"), 1)


# From the first row to the second, our figure shall grow by no more than BOUND
# times what the limit's does: what is left is our own doing.
Growth = namedtuple("Growth", "small large bound")

GROWTH = [
    Growth("yield, 1,000 tasks", "yield, 1,000,000 tasks", 1.1),
    Growth("timer insert, cancel, 1,000 pending",
           "timer insert, cancel, 1,000,000 pending", 1.1),
    Growth("timer insert, expire, 1,000 pending",
           "timer insert, expire, 1,000,000 pending", 1.1),
    Growth("TCP echo, 50 connections, CPU a request",
           "TCP echo, 10,000 connections, CPU a request", 1.1),
    Growth("TCP echo, 50 connections, CPU a request",
           "TCP echo, 50 connections, two shards, CPU a request", 1.05),
    Growth("TCP echo, 50 connections, CPU a request",
           "TCP echo, 50 connections a shard, two shards, CPU a request", 1.05),
    Growth("spawn, sleep, end, 1,000 at a time",
           "spawn, sleep, end, 1,000,000 at a time", None),
]


# Hot paths whose instructions are counted: a name, and what does it over and
# over, with the environment it needs.
Path = namedtuple("Path", "name program arguments environment", defaults=({},))

PATHS = [
    Path("yield, 1 task", "tasks_mini", ["yield", "1"]),
    Path("yield, 100 tasks", "tasks_mini", ["yield", "100"]),
    Path("yield, 1 task among 1,000,000 that wait", "tasks_mini",
         ["among", "1000000"]),
    Path("spawn, run, join, 1 at a time", "tasks_mini", ["spawn", "1"]),
    Path("spawn, run, join, 1,000 at a time", "tasks_mini", ["spawn", "1000"]),
    Path("timer insert, cancel", "timers_mini", ["cancel", "1000"]),
    Path("timer insert, expire", "timers_mini", ["expire", "1000"]),
    Path("ring push, pop", "rings_mini", ["alone", "1"]),
    Path("ring push, pop in batches of 32", "rings_mini", ["alone", "32"]),
    Path("submit_to, own shard", "calls_mini", ["self", "1"]),
    Path("echo and its client, io_uring, 50 at once", "echo_turn_mini", ["50"],
         {"MINI_IO": "uring"}),
    Path("echo and its client, poll, 50 at once", "echo_turn_mini", ["50"],
         {"MINI_IO": "poll"}),
]
