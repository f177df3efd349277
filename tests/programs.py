#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs the example programs as a user would, and the echo server as peers do.

    tests/programs.py stage06-signals/build [PART]

Every example program of that build must say what it promises and end well. The
servers are looked at from outside only: what they print, what they send back
to many peers at once and to bad ones, on every I/O backend, with both accept
policies, with io_uring forbidden, and how they take signals and bad options.
With PART only the checks whose names have it.

A line a check; the last line is "N passed, N failed, N skipped". The exit
status is 0 if none failed, 1 if some did, 2 if there is nothing to run. Every
wait has a limit, and every process that is started is ended.
"""

import contextlib
import ctypes
import errno
import fcntl
import os
import platform
import random
import re
import resource
import select
import selectors
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))), "common", "tools"))
sys.dont_write_bytecode = True

import doctor

SECONDS = 20  # what a program or a conversation may take
DRAIN = 1  # what the server gives its connections on SIGTERM
HOST = "127.0.0.1"
WITHOUT_RING = "--without-io-uring"  # see run_without_ring
NO_FILTER = 99  # its exit status if that cannot be had
NOBODY = 65534


class Failure(Exception):
    """A check does not hold."""


class Ended(Failure):
    """A connection has ended too early. What had come until then must be right
    all the same, for who knows what it should be."""

    def __init__(self, what, came):
        super().__init__(what)
        self.came = came


class Skip(Exception):
    """A check cannot be made here."""


def require(condition, what):
    if not condition:
        raise Failure(what)


# --- io_uring, forbidden -----------------------------------------------------


def run_without_ring(command):
    """Becomes COMMAND, for whom io_uring_setup(2) fails with EPERM."""
    class Program(ctypes.Structure):
        _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_char_p)]

    load, jump_if_equal, answer = 0x20, 0x15, 0x06  # <linux/bpf_common.h>
    io_uring_setup = 425  # on every architecture but Alpha
    refuse, allow = 0x00050000 | errno.EPERM, 0x7FFF0000
    code = b"".join(struct.pack("=HBBI", *line) for line in (
        (load, 0, 0, 0), (jump_if_equal, 0, 1, io_uring_setup),
        (answer, 0, 0, refuse), (answer, 0, 0, allow)))
    no_new_privileges, seccomp, by_filter = 38, 22, 2
    libc = ctypes.CDLL(None)
    filter_ = Program(4, code)
    if (libc.prctl(no_new_privileges, 1, 0, 0, 0) != 0
            or libc.prctl(seccomp, by_filter, ctypes.byref(filter_)) != 0):
        sys.exit(NO_FILTER)
    os.execv(command[0], command)


# --- processes ---------------------------------------------------------------


RUNNING = set()
LACKS = re.compile(r"^miniss: io_uring lacks .*\n", re.MULTILINE)


def environment(mini_io):
    """A clean one: nothing of the caller's but where programs are."""
    env = {"PATH": os.environ.get("PATH", os.defpath),
           # what was freed is kept up to here: what grows more is a leak
           "ASAN_OPTIONS": "quarantine_size_mb=1"}
    if mini_io in ("uring", "poll", "fast"):
        env["MINI_IO"] = mini_io
    return env


def command(program, arguments, forbidden):
    line = [os.path.join(BUILD, program), *map(str, arguments)]
    if forbidden:
        line = [sys.executable, os.path.abspath(__file__), WITHOUT_RING, *line]
    return line


class Process:
    """One that runs; what it says on stderr goes to a file. BACKEND is what
    MINI_IO is to be, or "forbidden": io_uring is, and MINI_IO is not set."""

    def __init__(self, program, *arguments, backend=None, forbidden=False,
                 **more):
        forbidden = forbidden or backend == "forbidden"
        self.said = tempfile.TemporaryFile()
        # we read what it shares with us: its writes go to the end all the same
        fcntl.fcntl(self.said, fcntl.F_SETFL, os.O_APPEND)
        try:
            self.process = subprocess.Popen(
                command(program, arguments, forbidden),
                env=environment(backend), stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=self.said, **more)
        except PermissionError as error:
            raise Skip(f"cannot run it: {error}") from error
        RUNNING.add(self)

    def errors(self):
        """What it has said, but for what an older kernel lacks: G5.6."""
        self.said.seek(0)
        return LACKS.sub("", self.said.read().decode(errors="replace"))

    def line(self):
        """The next line of its output, "" at the end or when it takes long."""
        text = b""
        limit = time.monotonic() + SECONDS
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            while not text.endswith(b"\n"):
                if not selector.select(max(0, limit - time.monotonic())):
                    return ""
                part = os.read(self.process.stdout.fileno(), 1)
                if not part:
                    break
                text += part
        return text.decode(errors="replace")

    def send(self, number):
        self.process.send_signal(number)

    def end(self, seconds=SECONDS):
        """Waits for its end; the exit status, -N if signal N was its end."""
        try:
            status = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Failure(f"it still runs after {seconds} s") from None
        self.close()
        return status

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()
        RUNNING.discard(self)


def run(program, *arguments, **more):
    """Runs one to its end: its status, output and errors."""
    process = Process(program, *arguments, **more)
    try:
        output = process.process.communicate(timeout=SECONDS)[0].decode()
    except subprocess.TimeoutExpired:
        raise Failure(f"{program} still runs after {SECONDS} s") from None
    finally:
        process.close()
    return process.process.returncode, output, process.errors()


# --- servers -----------------------------------------------------------------


LISTENING = re.compile(
    r"listening on ([\w.]+|\[[\w.:]+\]):(\d+) \((\w+)[^;]*; (\d+) shards?\)")


class Server:
    """A server that takes connections, or datagrams."""

    def __init__(self, backend, *arguments, program="echo", **more):
        self.process = Process(program, "--port", 0, *arguments,
                               backend=backend, **more)
        said = self.process.line()
        match = LISTENING.fullmatch(said.rstrip("\n"))
        if not match:
            status = self.process.end()
            errors = self.process.errors()
            if status == NO_FILTER:
                raise Skip("no seccomp filter can be had")
            if os.strerror(errno.ENOPROTOOPT) in errors:
                raise Skip(errors.strip())
            raise Failure(f"it says {said!r} and {errors!r}")
        self.host, self.port = match[1].strip("[]"), int(match[2])
        self.backend, self.shards = match[3], int(match[4])

    def stop(self):
        """SIGTERM; it must be gone soon, with status 0."""
        self.process.send(signal.SIGTERM)
        status = self.process.end(DRAIN + SECONDS)
        require(status == 0, f"status {status}: {self.process.errors()}")
        return self.process.errors()


@contextlib.contextmanager
def server(backend, *arguments, **more):
    it = Server(backend, *arguments, **more)
    try:
        yield it
    finally:
        it.process.close()


# --- peers -------------------------------------------------------------------


def set_linger(connection):
    """Its close will be a reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                          struct.pack("ii", 1, 0))


class Peer:
    """Sends messages and wants each one back. Some are no good: ROLE is
    "steady", "trickle" (a byte at a time), "half" (ends its own direction
    before it reads) or "reset" (goes in the middle of a message)."""

    def __init__(self, number, role, rounds, size):
        self.number, self.role, self.rounds, self.size = (
            number, role, rounds, size)
        self.round, self.connected, self.done = 0, False, False
        self.socket = socket.socket()
        self.socket.setblocking(False)
        self.unsent, self.wanted = b"", b""

    def connect(self, port):
        problem = self.socket.connect_ex((HOST, port))
        if problem not in (0, errno.EINPROGRESS):
            raise Failure(f"connect: {os.strerror(problem)}")

    def events(self):
        if not self.connected:
            return selectors.EVENT_WRITE
        return selectors.EVENT_READ | (
            selectors.EVENT_WRITE if self.unsent else 0)

    def next_message(self):
        """No two of them are alike."""
        word = f"{self.number}.{self.round}.".encode()
        self.unsent = (word * (self.size // len(word) + 1))[:self.size]
        self.wanted = self.unsent
        self.round += 1

    def send(self):
        if not self.connected:
            problem = self.socket.getsockopt(
                socket.SOL_SOCKET, socket.SO_ERROR)
            if problem:
                raise Failure(f"connect: {os.strerror(problem)}")
            self.connected = True
            self.next_message()
        part = self.unsent[:1] if self.role == "trickle" else self.unsent
        if part:
            self.unsent = self.unsent[self.socket.send(part):]
        if self.role == "reset" and self.round == self.rounds:
            set_linger(self.socket)
            self.finish()
        elif (self.role == "half" and not self.unsent
              and self.round == self.rounds):
            self.socket.shutdown(socket.SHUT_WR)

    def receive(self):
        part = self.socket.recv(65536)
        ended = self.role == "half" and self.round == self.rounds
        if not part:
            require(ended and not self.wanted, "the connection has ended early")
            self.finish()
            return
        require(self.wanted.startswith(part), f"wrong bytes: {part[:40]!r}")
        self.wanted = self.wanted[len(part):]
        if self.wanted or ended:
            return
        if self.round < self.rounds:
            self.next_message()
        else:
            self.finish()

    def finish(self):
        self.socket.close()
        self.done = True


def role_of(number, mixed):
    if not mixed:
        return "steady"
    return ("steady", "half", "steady", "reset", "trickle")[number % 5]


def serve_peer(peer, mask):
    """What an event asks for; says whether the peer is done."""
    try:
        if mask & selectors.EVENT_WRITE:
            peer.send()
        if not peer.done and mask & selectors.EVENT_READ:
            peer.receive()
    except BlockingIOError:
        pass
    except OSError as error:
        raise Failure(f"a peer ({peer.role}): {error}") from error
    return peer.done


def converse(port, count, rounds=3, size=200, mixed=False):
    """COUNT peers at once, all of them to the end."""
    peers = []
    limit = time.monotonic() + SECONDS
    with selectors.DefaultSelector() as selector:
        try:
            for number in range(count):
                role = role_of(number, mixed)
                peer = Peer(number, role, rounds,
                            20 if role == "trickle" else size)
                peers.append(peer)
                peer.connect(port)
                selector.register(peer.socket, peer.events(), peer)
            while selector.get_map():
                require(time.monotonic() < limit,
                        f"{len(selector.get_map())} of {count} peers wait")
                for key, mask in selector.select(1):
                    if serve_peer(key.data, mask):
                        selector.unregister(key.fd)
                    else:
                        selector.modify(key.fd, key.data.events(), key.data)
        finally:
            for peer in peers:
                peer.socket.close()


def connect(port, host=HOST):
    connection = socket.create_connection((host, port), SECONDS)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def echoes(connection, message=b"are you there?"):
    connection.sendall(message)
    back = b""
    while len(back) < len(message):
        part = connection.recv(65536)
        if not part:
            return False
        back += part
    return back == message


# --- which checks there are --------------------------------------------------


CHECKS = []


def check(name):
    def register(function):
        CHECKS.append((name, function))
        return function
    return register


def expect_output(program, *patterns, tries=1):
    """Its output must have these, in this order, and nothing on stderr."""
    for left in reversed(range(tries)):
        status, output, errors = run(program)
        found = re.search(".*".join(patterns), output, re.DOTALL)
        if status == 0 and found and not errors:
            return found
    raise Failure(f"status {status}, says {output!r} and {errors!r}")


@check("hello")
def _():
    expect_output("hello", "line 1\n", "line 2\n", "line 3\n", "42\n$")


@check("pingpong")
def _():
    expect_output("pingpong", *(f"p{v}ng {n}\n" for n in (1, 2, 3)
                                for v in "io"), "6 strokes\n$")


@check("select")
def _():
    expect_output("select", "hare is through", "tortoise is cancelled",
                  "tortoise has cleaned up", "winner: number 1\n$")


@check("timers")
def _():
    found = expect_output(
        "timers", r"slept 50 ms: (\d+) ms\n", r"\(in time\)\n", "timed out\n",
        *(rf"tick {n} at (\d+) ms\n" for n in range(1, 6)), "$", tries=3)
    slept, *ticks = map(int, found.groups())
    require(slept >= 50, f"a sleep of 50 ms took {slept}")
    require(ticks == sorted(ticks), f"ticks at {ticks}")


@check("periodic")
def _():
    expect_output("periodic", "final count: 5\n$", tries=3)


@check("threads")
def _():
    expect_output("threads", "1000000 items", "500000500000\n$")


@check("threads: SIGTERM ends both")
def _():
    caught = re.compile(r"SigCgt:\s+(\w+)")
    for _ in range(10):
        process = Process("threads")
        handled = 0
        while not handled & 1 << signal.SIGTERM - 1:
            try:
                with open(f"/proc/{process.process.pid}/status") as file:
                    handled = int(caught.search(file.read())[1], 16)
            except OSError:
                raise Skip("no /proc here") from None
            if process.process.poll() is not None:
                break
        process.send(signal.SIGTERM)
        status = process.end()
        require(status in (0, 1, -signal.SIGTERM), f"status {status}")


@check("shards")
def _():
    found = expect_output(
        "shards", r"^(\d+) shards; shard (\d+) says it is (\d+)\n",
        r"(\d+) callers, (\d+) calls each: (\d+)\n$")
    shards, last, says, callers, calls, total = map(int, found.groups())
    require(last == says == shards - 1 and callers == shards
            and total == shards * calls > 0, found[0])


@check("graceful: SIGTERM and SIGINT end it, and it says which")
def _():
    for name, said in (("SIGTERM", "SIGTERM"), ("SIGINT", "SIGINT"),
                       ("SIGHUP", "a shutdown")):
        process = Process("graceful")
        require(process.line(), "it says nothing")
        process.send(getattr(signal, name))
        lines = [process.line() for _ in range(3)]
        require(process.end() == 0 and f"stopped by {said}\n" in lines,
                f"{name}: {lines}")


@check("graceful: the second SIGINT kills")
def _():
    for _ in range(20):  # within its 100 ms of clean-up, on a busy machine, too
        process = Process("graceful")
        require(process.line(), "it says nothing")
        process.send(signal.SIGINT)
        require("cleaning up" in process.line(), "it does not clean up")
        process.send(signal.SIGINT)
        status = process.end()
        if status == -signal.SIGINT:
            return
    raise Failure(f"status {status}")


# --- the server on every backend ---------------------------------------------


def each_server(checks):
    """Registers CHECKS, a function of backend, policy and shards."""
    for backend in ("uring", "poll", "forbidden"):
        for policy in ("spread", "reuseport"):
            for shards in (1, 2):
                def run_it(backend=backend, policy=policy, shards=shards):
                    needs(backend)
                    checks(backend, policy, shards)
                CHECKS.append(
                    (f"echo: {backend}, {policy}, {shards} shard(s)", run_it))


def needs(backend):
    if backend == "uring" and RING_MISSES:
        raise Skip(RING_MISSES)
    if backend == "forbidden" and platform.system() != "Linux":
        raise Skip("seccomp is Linux's")


def conversations(backend, policy, shards):
    with server(backend, "--accept", policy, "--shards", shards) as it:
        expected = "uring" if backend == "uring" else "poll"
        require((it.host, it.backend, it.shards) == (HOST, expected, shards),
                f"it says {it.host}, {it.backend}, {it.shards}")
        converse(it.port, 1, rounds=20)
        converse(it.port, 1, rounds=2, size=1 << 20)
        converse(it.port, 50, rounds=10)
        converse(it.port, 50, mixed=True)
        converse(it.port, 500, mixed=True)
        converse(it.port, 50)  # still as good as new
        said = it.stop()
    falls_back = backend == "forbidden"
    require(len(said.splitlines()) == falls_back
            and ("io_uring" in said) == falls_back, f"it says {said!r}")


each_server(conversations)


def needs_connections(count):
    """To be had from one address, by one process, and by another."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if files != resource.RLIM_INFINITY and files < count + 100:
        raise Skip(f"a process may have {files} files only")
    with contextlib.suppress(OSError), open(
            "/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as file:
        first, last = map(int, file.read().split())
        if last - first < count + 1000:
            raise Skip(f"there are {last - first} ports only")


def all_at_once(it, count):
    """COUNT connections, idle at first; each has an echo, some of them at the
    same time; then all reset."""
    peers = []
    try:
        for _ in range(count):
            peers.append(connect(it.port))
        for at in range(0, count, 200):
            some = list(enumerate(peers))[at:at + 200]
            for n, peer in some:
                peer.send(f"number {n}".encode())
            for n, peer in some:
                require(peer.recv(100) == f"number {n}".encode(),
                        f"connection {n}: another echo")
    finally:
        for peer in peers:
            set_linger(peer)
            peer.close()


def memory(process):
    """Bytes of its own, 0 where nobody says."""
    with contextlib.suppress(OSError), open(
            f"/proc/{process.process.pid}/status", encoding="ascii") as file:
        found = re.search(r"RssAnon:\s+(\d+) kB", file.read())
        return int(found[1]) << 10 if found else 0
    return 0


def open_files(process):
    """How many; 0 where nobody says."""
    with contextlib.suppress(OSError):
        return len(os.listdir(f"/proc/{process.process.pid}/fd"))
    return 0


def has_let_go(process, files):
    limit = time.monotonic() + SECONDS
    while open_files(process) > files and time.monotonic() < limit:
        time.sleep(0.05)
    return open_files(process) <= files


def ten_thousand(backend, shards):
    """Each shard accepts for itself: to hand so many over takes as many turns
    of two shards, and their poll(2) is long."""
    needs(backend)
    needs_connections(10000)
    with server(backend, "--shards", shards, "--accept", "reuseport") as it:
        files = open_files(it.process)
        all_at_once(it, 10000)
        require(has_let_go(it.process, files), "descriptors are left")
        before = memory(it.process)
        all_at_once(it, 10000)  # a lease of each would be 40 MB
        require(has_let_go(it.process, files), "descriptors are left, later")
        grown = memory(it.process) - before
        require(grown < 4 << 20, f"it has grown by {grown} bytes")
        converse(it.port, 50)
        it.stop()


for which in ("uring", "poll"):
    for several in (1, 2):
        CHECKS.append((f"echo: {which}, 10000 at once on {several} shard(s)",
                       lambda backend=which, shards=several:
                       ten_thousand(backend, shards)))


@check("echo_client against echo")
def _():
    with server(None) as it:
        cpus = {os.cpu_count()}
        if hasattr(os, "sched_getaffinity"):
            cpus.add(len(os.sched_getaffinity(0)))
        require(it.shards in cpus, f"{it.shards} shards")
        status, output, errors = run(
            "echo_client", "--port", it.port, "--connections", 40,
            "--messages", 25, "--size", 3000)
        require(status == 0 and "40 of 40 connections" in output,
                f"status {status}: {output}{errors}")
        status, output, errors = run(  # the longest there are
            "echo_client", "--port", it.port, "--connections", 4,
            "--messages", 2, "--size", 65536)
        require(status == 0, f"status {status}: {output}{errors}")
        it.stop()
        status, output, errors = run("echo_client", "--port", it.port)
        require(status == 1 and "refused" in errors,
                f"without a server: status {status}, {errors!r}")
    for bad in (["--port", "x"], ["--port", " 5"], [], ["-z"],
                ["--port", "1", "--host", "no"],
                ["--port", "1", "--size", "65537"]):
        status, output, errors = run("echo_client", *bad)
        require(status == 2 and errors.count("\n") == 1,
                f"{bad}: {status}, {errors!r}")


@check("echo: --host with a name, and another address")
def _():
    with server(None, "--host", "localhost", "--shards", 1) as it:
        require(it.host == "localhost", f"it says {it.host}")
        with connect(it.port, it.host) as peer:  # maybe over IPv6
            require(echoes(peer), "no echo")
    if platform.system() == "Linux":  # has all of 127.0.0.0/8
        with server(None, "--host", "127.0.0.2", "--shards", 1) as it:
            with contextlib.suppress(ConnectionRefusedError):
                connect(it.port).close()
                raise Failure("it listens on 127.0.0.1, too")


# --- signals -----------------------------------------------------------------


def backends():
    return [b for b in ("uring", "poll") if b == "poll" or not RING_MISSES]


def policies():
    try:
        with server("poll", "--shards", 1, "--accept", "reuseport") as it:
            it.stop()
        return ["spread", "reuseport"]
    except Skip:
        return ["spread"]


def idle_end(backend, number):
    """Seconds from the signal to the end of a server without connections."""
    with server(backend, "--shards", 2) as it:
        started = time.monotonic()
        it.process.send(number)
        status = it.process.end()
        took = time.monotonic() - started
        require(status == 0, f"{backend}, signal {number}: status {status}")
        require(not it.process.errors(), it.process.errors())
        return took


@check("echo: SIGTERM, SIGINT and SIGHUP end an idle server at once")
def _():
    for backend in backends():
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            took = min(idle_end(backend, number) for _ in range(3))
            require(took < DRAIN, f"{backend}: it took {took:.1f} s")


@check("echo: SIGTERM with open connections ends it after its drain time")
def _():
    for backend in backends():
        with server(backend, "--shards", 2) as it:
            peers = [connect(it.port) for _ in range(20)]
            require(all(echoes(peer) for peer in peers), "no echo")
            started = time.monotonic()
            it.process.send(signal.SIGTERM)
            status = it.process.end(DRAIN + SECONDS)
            took = time.monotonic() - started
            require(status == 0, f"{backend}: status {status}")
            require(took >= DRAIN, f"{backend}: it waited {took:.2f} s only")
            for peer in peers:
                require(peer.recv(1) == b"", "a connection is still open")
                peer.close()


def drains(backend):
    """Whether it refused new peers in good time; then an old one goes on."""
    with server(backend, "--shards", 2) as it:
        peer = connect(it.port)
        require(echoes(peer), "no echo")
        it.process.send(signal.SIGTERM)
        refused = False
        limit = time.monotonic() + DRAIN / 2
        while not refused and time.monotonic() < limit:
            try:
                connect(it.port).close()
            except ConnectionError:
                refused = True
        good = refused and echoes(peer)
        peer.close()
        late = time.monotonic() > limit
        require(good or late, f"{backend}: no echo")
        require(it.process.end() == 0, "its status is not 0")
        return good


@check("echo: a connection goes on while the server drains")
def _():
    for backend in backends():  # within half of its time, if not each time
        require(any(drains(backend) for _ in range(5)),
                f"{backend}: it takes new peers while it drains")


def talk_until_the_end(port, talks, trouble):
    """Four peers that never stop; that it ends on them is no trouble."""
    with contextlib.ExitStack() as stack:
        try:
            peers = [stack.enter_context(connect(port)) for _ in range(4)]
            while True:
                message = os.urandom(random.randrange(1, 5000))
                for peer in peers:
                    peer.sendall(message)
                for peer in peers:
                    back = b""
                    while len(back) < len(message):
                        part = peer.recv(65536)
                        if not part:
                            return
                        back += part
                        if not message.startswith(back):
                            trouble.append("wrong bytes")
                            return
                talks.append(len(message))
        except ConnectionError:
            return
        except OSError as error:
            trouble.append(str(error))


@check("echo: SIGTERM under load ends it with status 0")
def _():
    for backend in backends():
        for policy in policies():
            talks, trouble = [], []
            with server(backend, "--shards", 2, "--accept", policy) as it:
                threads = [threading.Thread(target=talk_until_the_end,
                                            args=(it.port, talks, trouble))
                           for _ in range(8)]
                for thread in threads:
                    thread.start()
                limit = time.monotonic() + SECONDS
                while len(talks) < 80 and time.monotonic() < limit:
                    time.sleep(0.01)
                it.process.send(signal.SIGTERM)
                status = it.process.end(DRAIN + SECONDS)
            for thread in threads:
                thread.join(SECONDS)
            require(status == 0, f"{backend}, {policy}: status {status}")
            require(not trouble, f"{backend}, {policy}: {trouble}")
            require(len(talks) >= 80, f"{backend}, {policy}: no load")


@check("echo: a second SIGTERM kills")
def _():
    for backend in backends():
        for _ in range(4):  # within the drain time, on a busy machine, too
            with server(backend, "--shards", 2) as it:
                with connect(it.port) as peer:
                    require(echoes(peer), "no echo")
                    it.process.send(signal.SIGTERM)
                    time.sleep(0.1)
                    it.process.send(signal.SIGTERM)
                    status = it.process.end()
            if status == -signal.SIGTERM:
                break
        require(status == -signal.SIGTERM, f"{backend}: status {status}")


def dump(it, tasks):
    """What SIGUSR1 has it print, with that many tasks."""
    before = len(it.process.errors())
    it.process.send(signal.SIGUSR1)
    limit = time.monotonic() + SECONDS
    while time.monotonic() < limit:
        said = it.process.errors()[before:]
        if said.count("\n  task ") == tasks and said.endswith("\n"):
            return said
        time.sleep(0.01)
    raise Failure(f"not {tasks} tasks: {said!r}")


@check("echo: SIGUSR1 prints the tasks of all shards")
def _():
    for backend in backends():
        with server(backend, "--shards", 2) as it:
            with contextlib.ExitStack() as stack:
                peers = [stack.enter_context(connect(it.port))
                         for _ in range(4)]
                require(all(echoes(peer) for peer in peers), "no echo")
                for _ in range(20):  # we may have an echo before it knows
                    said = dump(it, 4 + 2 + 8)  # peers, mains, acceptors
                    if said.count("> mini_recv_next\n") == 4:
                        break
                for part in ("shard 0: ", "shard 1: ", "acceptor_poll > "):
                    require(part in said, f"no {part!r} in {said!r}")
                require(said.count("> echo > mini_recv_next\n") == 4, said)
                require(all(echoes(peer) for peer in peers), "no echo after")
            it.stop()


# --- what goes wrong ---------------------------------------------------------


def send_all_it_takes(connection):
    try:
        while connection.send(bytes(65536)):
            pass
    except BlockingIOError:
        pass


@check("echo: peers that send and never read do not stall others")
def _():
    for backend in backends():
        with contextlib.ExitStack() as stack:
            it = stack.enter_context(server(backend, "--shards", "1"))
            floods = [stack.enter_context(connect(it.port))
                      for _ in range(200)]
            for flood in floods:
                flood.setblocking(False)
            for _ in range(50):  # buffers grow while there is more to send
                for flood in floods:
                    send_all_it_takes(flood)
                time.sleep(0.02)
            with connect(it.port) as other:
                require(echoes(other), "no answer")


def refused(*arguments, statuses=(1, 2), words=(), program="echo", **more):
    """It must say why in one line, and end."""
    status, output, errors = run(program, *arguments, **more)
    if status == NO_FILTER:
        raise Skip("no seccomp filter can be had")
    what = f"{arguments}: status {status}, {output!r}, {errors!r}"
    require(status in statuses and not output, what)
    require(errors.count("\n") == 1 and errors.endswith("\n"), what)
    require(all(word in errors for word in words), what)


@check("echo: a bad option is told in one line")
def _():
    refused("--port", "x", words=["port", "x"])
    refused("--port", "65536", words=["port", "65536"])
    refused("--port", "-1", words=["port"])
    refused("--port", "", words=["port"])
    refused("--port", "80 ", words=["port"])
    refused("--shards", "-3", words=["shards"])
    refused("--shards", "99999999999999999999", words=["shards"])
    refused("--accept", "both", words=["accept", "both"])
    refused("--port")
    refused("--bogus")
    refused("-x")
    refused("more")


@check("echo: a busy port is told in one line")
def _():
    with server(None, "--shards", 1) as it:
        for policy in ("spread", "reuseport"):
            refused("--port", it.port, "--accept", policy, statuses=[1],
                    words=[str(it.port), "take another --port"])
        converse(it.port, 5)


@check("echo: an unknown host is told in one line")
def _():
    name = "x" * 70  # longer than a label may be: nobody is asked
    refused("--host", name, statuses=[1], words=[name])
    refused("--host", "192.0.2.1", statuses=[1],
            words=["192.0.2.1", "address of this machine"])


@check("echo: a privileged port is told in one line")
def _():
    first = 1024
    with contextlib.suppress(OSError), open(
            "/proc/sys/net/ipv4/ip_unprivileged_port_start",
            encoding="ascii") as file:
        first = int(file.read())
    if first <= 79:
        raise Skip(f"every port from {first} on is free for all here")
    more = {}
    if os.geteuid() == 0:
        if sys.version_info < (3, 9):
            raise Skip("this Python cannot run it as nobody")
        more = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
    refused("--port", 79, statuses=[1], words=["79", "from 1024 on"], **more)


@check("echo: a backend that is not there is told in one line")
def _():
    refused("--port", 0, backend="fast", statuses=[1],
            words=["MINI_IO", "fast"])


@check("echo: io_uring forced where it is forbidden is told in one line")
def _():
    needs("forbidden")
    refused("--port", 0, "--shards", 2, backend="uring", forbidden=True,
            statuses=[1], words=["io_uring"])


def few_files(most):
    """What makes a process have MOST descriptors at most."""
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


@check("too few descriptors to start are told, and what to do")
def _():
    for program, most, *arguments in (
            ("echo", 8, "--port", 0, "--shards", 8),  # not all shards start
            ("echo", 8, "--port", 0, "--shards", 1),  # no socket that listens
            ("httpd", 8, "--port", 0, "--root", "/"),
            ("forward", 8, "--port", 0, "--to", f"{HOST}:1"),
            ("udp-echo", 4, "--port", 0), ("copy", 4, "x", "y"),
            ("shards", 4)):
        refused(*arguments, statuses=[1], words=["ulimit -n"],
                program=program, backend="poll", preexec_fn=few_files(most))


@check("echo_client: more connections than descriptors are told")
def _():
    with server(None) as it:
        status, _, errors = run(
            "echo_client", "--port", it.port, "--connections", 40,
            backend="poll", preexec_fn=few_files(20))
        require(status == 1 and errors.count("\n") == 1
                and "ulimit -n" in errors, f"status {status}, {errors!r}")
        it.stop()


def pidfd(call, *arguments):
    """A descriptor from pidfd_open(2) or pidfd_getfd(2), by their numbers."""
    found = ctypes.CDLL(None, use_errno=True).syscall(call, *arguments, 0)
    if found < 0:
        raise Skip("no other process's socket can be had: "
                   + os.strerror(ctypes.get_errno()))
    return found


def shut_listeners(process):
    """As if the sockets it listens on had broken."""
    pid = process.process.pid
    folder = f"/proc/{pid}/fd"
    one = pidfd(434, pid)
    sockets = [socket.socket(fileno=pidfd(438, one, int(fd)))
               for fd in os.listdir(folder)
               if os.readlink(f"{folder}/{fd}").startswith("socket:")]
    os.close(one)
    for it in sockets:  # several may be the same
        with it:
            if it.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                it.shutdown(socket.SHUT_RDWR)


@check("a server whose sockets all break says so, and ends")
def _():
    if platform.system() != "Linux":
        raise Skip("no other process's socket can be had")
    for backend in backends():
        for program, *arguments in (
                ("echo",), ("forward", "--to", f"{HOST}:1"),
                *(("echo", "--accept", policy) for policy in policies())):
            with server(backend, "--shards", 2, *arguments,
                        program=program) as it:
                shut_listeners(it.process)
                status, said = it.process.end(), it.process.errors()
                what = f"{backend}, {program}: status {status}, {said!r}"
                require(status == 1 and said.count("\n") == 1, what)
                require(all(word in said for word in (
                    program, "stops listening", f"{HOST}:{it.port}",
                    os.strerror(errno.EINVAL))), what)


# --- httpd -------------------------------------------------------------------


@contextlib.contextmanager
def site():
    """A directory of things to ask for, and some not to be had."""
    with tempfile.TemporaryDirectory() as folder:
        def path(name):
            return os.path.join(folder, "root", name)

        os.makedirs(path("sub/deep"))
        os.mkdir(path("bare"))
        files = {"index.html": b"<p>top</p>\n", "sub/index.html": b"<p>sub</p>",
                 "sub/deep/a b.txt": b"a space", "empty.css": b"",
                 "ten.txt": b"0123456789", "data": b"no extension",
                 "small.js": os.urandom(2304),
                 "more.json": os.urandom(2305),
                 "big.bin": os.urandom((3 << 20) + 7),
                 "../secret.txt": b"secret"}
        for name, content in files.items():
            with open(path(name), "wb") as file:
                file.write(content)
        os.symlink("../secret.txt", path("link.txt"))
        os.symlink("..", path("up"))
        os.symlink("/", path("sub/slash"))
        os.mkfifo(path("fifo"))
        yield path(""), files


@contextlib.contextmanager
def web(backend, *arguments, **more):
    """httpd for a site: the server, and the site's files."""
    with site() as (root, files):
        with server(backend, "--root", root, *arguments, program="httpd",
                    **more) as it:
            yield it, files


class Answers:
    """Reads answers off a connection, one after the other."""

    def __init__(self, connection):
        self.connection, self.rest = connection, b""

    def more(self):
        part = self.connection.recv(1 << 16)
        self.rest += part
        return part

    def next(self, head=False):
        """(status, fields, body); HEAD: it was asked for without a body."""
        while b"\r\n\r\n" not in self.rest:
            if not self.more():
                raise Ended(f"the end instead of an answer: {self.rest!r}", b"")
        text, self.rest = self.rest.split(b"\r\n\r\n", 1)
        first, *lines = text.decode("ascii").split("\r\n")
        match = re.fullmatch(r"HTTP/1\.1 (\d{3}) [A-Z][\w ]+", first)
        require(match, f"the answer begins with {first!r}")
        fields = dict(line.split(": ", 1) for line in lines)
        length = 0 if head else int(fields["Content-Length"])
        parts, have = [self.rest], len(self.rest)
        while have < length:
            parts.append(self.connection.recv(1 << 20))
            have += len(parts[-1])
            if not parts[-1]:
                raise Ended(f"{have} of {length} bytes", b"".join(parts))
        body = b"".join(parts)
        self.rest = body[length:]
        return int(match[1]), fields, body[:length]

    def at_end(self):
        return not self.rest and not self.more()


def request(target, *fields, method="GET", version="1.1"):
    if isinstance(target, bytes):
        target = target.decode("latin-1")
    lines = [f"{method} {target} HTTP/{version}", "Host: here", *fields]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def ask(port, data, head=False):
    """What one request gets on a connection of its own."""
    with connect(port) as connection:
        connection.sendall(data)
        return Answers(connection).next(head)


def status_of(port, data):
    """The answer's status, and whether the connection ends behind it; if so,
    the answer must say it."""
    with connect(port) as connection:
        connection.sendall(data + request("/hello"))
        answers = Answers(connection)
        status, fields, _ = answers.next()
        ends = fields.get("Connection") == "close"
        if ends:
            require(answers.at_end(), f"{data[:60]!r}: more than the last one")
        else:
            require(answers.next()[2] == b"hello\n", f"{data[:60]!r}: lost")
        return status, ends


def on_each_backend(name):
    """Registers a check of a backend for both of them."""
    def register(function):
        def run_it(backend):
            needs(backend)
            function(backend)
        for which in ("uring", "poll"):
            CHECKS.append((f"{name} ({which})",
                           lambda backend=which: run_it(backend)))
        return function
    return register


@on_each_backend("httpd: files")
def _(backend):
    with web(backend, "--shards", 2) as (it, files):
        require((it.host, it.backend, it.shards) == (HOST, backend, 2),
                f"it says {it.host}, {it.backend}, {it.shards}")
        wanted = {"/" + name: (files[name], kind) for name, kind in (
            ("index.html", "text/html"), ("empty.css", "text/css"),
            ("ten.txt", "text/plain"), ("data", "application/octet-stream"),
            ("small.js", "text/javascript"), ("more.json", "application/json"),
            ("big.bin", "application/octet-stream"))}
        top, sub = files["index.html"], files["sub/index.html"]
        wanted.update({
            "/": (top, "text/html"), "/?a=/../b": (top, "text/html"),
            "/sub/": (sub, "text/html"), "/sub": (sub, "text/html"),
            "//sub/./": (sub, "text/html"),
            "http://here/sub": (sub, "text/html"),
            "http://here": (top, "text/html"),
            "/sub/deep/a%20b.txt": (b"a space", "text/plain"),
            "/t%65n%2Etxt": (files["ten.txt"], "text/plain"),
            "/hello": (b"hello\n", "text/plain")})
        with connect(it.port) as kept:
            answers = Answers(kept)
            for target, (content, kind) in wanted.items():
                for method in ("GET", "HEAD"):
                    kept.sendall(request(target, method=method))
                    status, fields, body = answers.next(method == "HEAD")
                    require(status == 200, f"{method} {target}: {status}")
                    require(body == (content if method == "GET" else b""),
                            f"{method} {target}: wrong body")
                    require((int(fields["Content-Length"]),
                             fields["Content-Type"]) == (len(content), kind),
                            f"{method} {target}: {fields}")
                    require(re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} [\d:]{8} "
                                         "GMT", fields["Date"]), str(fields))
        it.stop()


@on_each_backend("httpd: what lies outside of its root is not there")
def _(backend):
    with web(backend, "--shards", 1) as (it, _):
        for target in (
                "/nothing", "/sub/nothing", "/nothing/", "/ten.txt/",
                "/ten.txt/x", "/bare", "/bare/", "/fifo", "/link.txt", "/up",
                "/up/", "/up/secret.txt", "/sub/slash/etc/passwd",
                "/..", "/../secret.txt", "/%2e%2e/secret.txt", "/%2E./x",
                "/sub/../../secret.txt", "/sub/../ten.txt",
                "/..%2fsecret.txt", "/..%2Fsecret.txt", "/sub/%2e%2e/ten.txt",
                "/" + "x" * 300, "/a/" * 100, "/" + "../" * 300):
            status, fields, body = ask(it.port, request(target))
            require(status == 404 and b"secret" not in body,
                    f"{target}: {status}, {body!r}")
            require("Connection" not in fields, f"{target}: {fields}")
        it.stop()


@on_each_backend("httpd: bad requests")
def _(backend):
    good, fields = request("/hello"), "Host: here\r\n"
    bad = [b"GET\r\n\r\n", b"GET /hello\r\n\r\n", b"\x16\x03\x01 x y\r\n\r\n"]
    bad += [good.replace(b" ", b"  ", 1), good.replace(b"GET", b"G(T"),
            good.replace(b"1.1", b"1.x"), good.replace(b"1.1", b"1.10"),
            good.replace(b"HTTP", b"http"), good.replace(b" /", b" "),
            good.replace(b"Host", b"Host "), good.replace(b"Host", b" Host"),
            good.replace(b"Host: here", b"Host here"),
            good.replace(b"Host: here\r\n", b""),
            good.replace(b"Host: here", b": here"),
            good.replace(b"\r\n\r\n", b"\r\n" + fields.encode() + b"\r\n"),
            good.replace(b"\r\nHost", b"\nHost"),
            good.replace(b"\r\n\r\n", b"\n\n"),
            good.replace(b"here", b"he\rre"), good.replace(b"here", b"he\0re")]
    bad += [request(target) for target in (
        "/%", "/%4", "/%zz", "/%00", "/x%00y", "*", "here", "/a b")]
    bad += [request("/", *lines) for lines in (
        ("Content-Length: x",), ("Content-Length: -1",), ("Content-Length:",),
        ("Content-Length: 0", "Content-Length: 0"), ("Content-Length: 1, 1",),
        ("A: b", " folded"), ("Transfer-Encoding : chunked",))]
    with web(backend, "--shards", 1) as (it, _):
        def expect(status, ends, *requests):
            for data in requests:
                found = status_of(it.port, data)
                require(found == (status, ends),
                        f"{data[:80]!r}: {found} is not {status}, {ends}")

        expect(400, True, *bad)
        expect(405, False, *(request("/", method=m) for m in (
            "POST", "PUT", "DELETE", "OPTIONS", "get")),
            request("*", method="OPTIONS"), request("/%", method="TRACE"))
        expect(405, True, request("/", "Content-Length: 3", method="POST"))
        expect(413, True,
               request("/hello", "Content-Length: 5"),
               request("/hello", f"Content-Length: {len(good)}") + good,
               request("/hello", "Content-Length: 99999999999999999999"),
               request("/hello", "Transfer-Encoding: chunked"),
               request("/hello", "Transfer-Encoding: chunked",
                       "Content-Length: 0"),
               request("/hello", "Content-Length: 1", "Expect: 100-continue"))
        expect(200, False, request("/hello", "Content-Length: 0"),
               b"\r\n\r\n" + good)
        expect(414, True, request("/" + "a" * 1024), request("/" + "a" * 5000),
               request("/" + "a" * 100000))
        expect(431, True, request("/", "A: " + "b" * 4096),
               request("/", *("A: b" for _ in range(2000))))
        expect(404, False, request("/" + "a" * 1023))
        expect(505, True, request("/hello", version="2.0"))
        # who sends all of a body first is told, and not reset while it sends
        expect(405, True, request("/", f"Content-Length: {4 << 20}",
                                  method="PUT") + bytes(4 << 20))
        _, said, _ = ask(it.port, request("/", method="PUT"))
        require(said["Allow"] == "GET, HEAD", str(said))
        it.stop()


@on_each_backend("httpd: connections that are kept, and not")
def _(backend):
    old = b"GET /hello HTTP/1.0\r\n"
    with web(backend, "--shards", 1) as (it, _):
        for data, ends in (
                (request("/hello"), False),
                (request("/hello", "Connection: close"), True),
                (request("/hello", "Connection: x, CLOSE , y"), True),
                (request("/hello", "Connection: closed, enclose"), False),
                (old + b"\r\n", True),
                (old + b"Connection: Keep-Alive\r\n\r\n", False),
                (old + b"Connection: keep-alive, close\r\n\r\n", True)):
            found = status_of(it.port, data)
            require(found == (200, ends), f"{data!r}: {found}")
        _, said, _ = ask(it.port, old + b"Connection: keep-alive\r\n\r\n")
        require(said["Connection"] == "keep-alive", str(said))
        with connect(it.port) as peer:  # its own direction ends first
            peer.sendall(request("/hello") + request("/big.bin"))
            peer.shutdown(socket.SHUT_WR)
            answers = Answers(peer)
            require(answers.next()[2] == b"hello\n", "no answer")
            require(answers.next()[0] == 200 and answers.at_end(), "no end")
        it.stop()


@on_each_backend("httpd: ranges")
def _(backend):
    with web(backend, "--shards", 1) as (it, files):
        def part(name, value, *more, method="GET"):
            return ask(it.port, request(f"/{name}", f"Range: {value}", *more,
                                        method=method), method == "HEAD")

        ten, big = files["ten.txt"], files["big.bin"]
        size = len(big)
        for name, value, first, last in (
                ("ten.txt", "bytes=0-0", 0, 0), ("ten.txt", "bytes=2-4", 2, 4),
                ("ten.txt", "bytes=7-", 7, 9), ("ten.txt", "bytes=-3", 7, 9),
                ("ten.txt", "bytes=-30", 0, 9), ("ten.txt", "BYTES=9-90", 9, 9),
                ("ten.txt", f"bytes=0-{1 << 70}", 0, 9),
                ("big.bin", "bytes=1-2500000", 1, 2500000),
                ("big.bin", "bytes=-1000000", size - 1000000, size - 1),
                ("big.bin", f"bytes={size - 1}-", size - 1, size - 1)):
            status, said, body = part(name, value)
            content = files[name]
            require(status == 206 and body == content[first:last + 1],
                    f"{value}: {status}, {len(body)} bytes")
            require(said["Content-Range"] ==
                    f"bytes {first}-{last}/{len(content)}", f"{value}: {said}")
        for name, value, length in (
                ("ten.txt", "bytes=10-", 10), ("ten.txt", "bytes=-0", 10),
                ("ten.txt", f"bytes={1 << 70}-", 10),
                ("empty.css", "bytes=0-", 0), ("empty.css", "bytes=-1", 0)):
            status, said, _ = part(name, value)
            require(status == 416 and
                    said["Content-Range"] == f"bytes */{length}",
                    f"{name}, {value}: {status}, {said}")
        for value in ("bytes=4-2", "bytes=0-1,3-4", "lines=1-2", "bytes=", "x",
                      "bytes=-", "bytes=a-b", "bytes=1", "bytes=0x1-2"):
            status, _, body = part("ten.txt", value)
            require(status == 200 and body == ten, f"{value}: {status}")
        require(part("ten.txt", "bytes=1-2", "If-Range: x")[0] == 200,
                "a range of what may be another file")
        require(part("ten.txt", "bytes=1-2", method="HEAD")[0] == 200,
                "HEAD takes no range")
        it.stop()


def pipeline(files):
    """Requests, and what each is to get."""
    names = ("ten.txt", "small.js", "more.json", "big.bin", "empty.css")
    wanted = [(200, b"hello\n"), *((200, files[name]) for name in names),
              (404, b"Not Found\n"), (405, b"Method Not Allowed\n")]
    data = request("/hello") + b"".join(request("/" + n) for n in names)
    data += request("/none") + request("/", method="POST")
    return data, wanted


@on_each_backend("httpd: pipelines, also in single bytes")
def _(backend):
    with web(backend, "--shards", 1) as (it, files):
        with connect(it.port) as peer:
            answers = Answers(peer)
            peer.sendall(request("/hello") * 20)
            answers.more()  # answers of one turn leave together
            require(answers.rest.count(b"\r\n\r\nhello\n") == 20,
                    f"{answers.rest.count(b'HTTP')} of 20 answers at once")
            for _ in range(20):
                require(answers.next()[2] == b"hello\n", "wrong answer")
            data, wanted = pipeline(files)
            peer.sendall(data * 20)
            for n, (status, content) in enumerate(wanted * 20):
                found = answers.next()
                require((found[0], found[2]) == (status, content),
                        f"answer {n}: {found[0]}, {len(found[2])} bytes")
            for n in range(len(data)):
                peer.sendall(data[n:n + 1])
            for status, content in wanted:
                found = answers.next()
                require((found[0], found[2]) == (status, content),
                        f"in single bytes: {found[0]}")
            for size in (7, 100, 1000):
                for n in range(0, len(data), size):
                    peer.sendall(data[n:n + size])
                for status, content in wanted:
                    found = answers.next()
                    require((found[0], found[2]) == (status, content),
                            f"in {size} bytes: {found[0]}")
        it.stop()


@on_each_backend("httpd: slow, silent and resetting peers")
def _(backend):
    with web(backend, "--shards", 1, "--timeout", 1) as (it, files):
        require(ask(it.port, request("/ten.txt"))[0] == 200, "no answer")
        before = open_files(it.process) + 16  # helpers' bells
        with contextlib.ExitStack() as stack:
            silent, late, deaf = (
                stack.enter_context(connect(it.port)) for _ in range(3))
            late.sendall(request("/hello") + b"GET /hel")
            deaf.sendall(request("/big.bin"))
            for _ in range(40):
                reset = connect(it.port)
                set_linger(reset)
                reset.sendall(request("/big.bin"))
                require(reset.recv(1000), "no answer")
                reset.close()  # in the middle of the body
            slow = stack.enter_context(connect(it.port))
            started = time.monotonic()
            with contextlib.suppress(ConnectionError):
                for byte in request("/hello", "A: " + "b" * 1000):
                    slow.sendall(bytes([byte]))
                    time.sleep(0.02)
                    if select.select([slow], [], [], 0)[0]:
                        break
            took = time.monotonic() - started
            require(0.9 < took < SECONDS, f"a slow head took {took:.1f} s")
            status, said, _ = Answers(slow).next()
            require((status, said["Connection"]) == (408, "close"),
                    f"to a slow peer: {status}")
            answers = Answers(late)
            require(answers.next()[0] == 200 and answers.next()[0] == 408,
                    "to a late peer")
            require(silent.recv(1) == b"", "words to a silent peer")
            require(ask(it.port, request("/big.bin"))[2] == files["big.bin"],
                    "others wait")
            require(Answers(deaf).next()[2] == files["big.bin"],
                    "a peer may take its time")
        require(has_let_go(it.process, before), "descriptors are left")
        it.stop()


@on_each_backend("httpd: deadlines that come later, or sooner, than the last")
def _(backend):
    with web(backend, "--shards", 1, "--timeout", 1) as (it, _):
        with connect(it.port) as patient:
            answers = Answers(patient)
            for _ in range(4):  # each is in time, all of them take longer
                time.sleep(0.6)
                patient.sendall(request("/hello"))
                require(answers.next()[0] == 200, "no answer")
            started = time.monotonic()
            require(answers.at_end(), "words to a silent peer")
            took = time.monotonic() - started
            require(0.9 < took < 2, f"a silent peer had {took:.1f} s")
        it.stop()
    with web(backend, "--shards", 1, "--timeout", 60) as (it, _):
        require(ask(it.port, request("/ten.txt"))[0] == 200, "no answer")
        before = open_files(it.process)
        with connect(it.port) as silent:  # it does not hang up
            silent.sendall(request("/hello", "Connection: close"))
            answers = Answers(silent)
            require(answers.next()[0] == 200 and answers.at_end(), "no end")
            require(has_let_go(it.process, before), "not closed")
        it.stop()


@on_each_backend("httpd: no answer follows one that was cut short")
def _(backend):
    with web(backend, "--shards", 1, "--timeout", 1) as (it, files):
        with connect(it.port) as peer:
            unsent = request("/small.js") * 8000  # more than sockets hold
            limit = time.monotonic() + 1.5
            peer.setblocking(False)
            with contextlib.suppress(ConnectionError):
                while time.monotonic() < limit:
                    with contextlib.suppress(BlockingIOError):
                        unsent = unsent[peer.send(unsent):]
                    time.sleep(0.01)
            peer.settimeout(SECONDS)
            answers = Answers(peer)
            with contextlib.suppress(ConnectionError):
                while answers.more():
                    pass
            came = answers.rest.split(b"HTTP/1.1 ")
            require(10 < len(came) < 8000, f"{len(came)} answers of 8000")
            for answer in came[1:-1]:
                require(answer.partition(b"\r\n\r\n")[2] == files["small.js"],
                        "another answer in the middle of one")
        it.stop()


@on_each_backend("httpd: many at once")
def _(backend):
    trouble = []

    def talk(port, files):
        data, wanted = pipeline(files)
        try:
            for _ in range(5):
                with connect(port) as peer:
                    peer.sendall(data * 3)
                    answers = Answers(peer)
                    for status, content in wanted * 3:
                        found = answers.next()
                        require((found[0], found[2]) == (status, content),
                                f"{found[0]}, {len(found[2])} bytes")
        except (Failure, OSError) as error:
            trouble.append(str(error))

    with web(backend, "--shards", 2) as (it, files):
        threads = [threading.Thread(target=talk, args=(it.port, files))
                   for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(2 * SECONDS)
        require(not trouble, str(trouble[:1]))
        it.stop()


@on_each_backend("httpd: SIGTERM, idle and in the middle of large bodies")
def _(backend):
    with web(backend, "--shards", 2) as (it, _):
        started = time.monotonic()
        it.stop()
        require(time.monotonic() - started < SECONDS / 2, "it took its time")
    for policy in policies():
        with web(backend, "--shards", 2, "--accept", policy) as (it, _):
            with contextlib.ExitStack() as stack:
                for target in ("/hello", "/big.bin", "/big.bin") * 5:
                    peer = stack.enter_context(connect(it.port))
                    peer.sendall(request(target))
                    require(peer.recv(100), "no answer")
                it.stop()


@check("httpd: io_uring forbidden")
def _():
    needs("forbidden")
    with web("forbidden", "--shards", 2) as (it, files):
        require(it.backend == "poll", f"it runs on {it.backend}")
        for name in ("big.bin", "ten.txt"):
            require(ask(it.port, request("/" + name))[2] == files[name], name)
        said = it.stop()
    require(said.count("\n") == 1 and "io_uring" in said, f"it says {said!r}")


@check("httpd: bad options, no root, a busy port are told in one line")
def _():
    root = os.path.dirname(os.path.abspath(__file__))
    bad = [([], 2), (["--port", 0], 2), (["--root"], 2), (["--bogus"], 2),
           (["--root", root, "more"], 2), (["--root", "/nowhere/at/all"], 1),
           (["--root", __file__], 1), (["--root", ""], 1),
           (["--root", root, "--port", "x"], 2),
           (["--root", root, "--shards", "-1"], 2),
           (["--root", root, "--timeout", "0"], 2),
           (["--root", root, "--accept", "all"], 2)]
    for arguments, status in bad:
        refused(*arguments, statuses=[status], program="httpd",
                words=["httpd"])
    with server(None, "--shards", 1) as it:
        refused("--root", root, "--port", it.port, statuses=[1],
                words=[str(it.port)], program="httpd", backend="poll")


def outcome_of(tool, *arguments, **more):
    """Runs somebody else's program: its status and output."""
    path = shutil.which(tool)
    if not path:
        raise Skip(f"no {tool} here")
    done = subprocess.run([path, *map(str, arguments)], timeout=2 * SECONDS,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          **more)
    return done.returncode, done.stdout


@on_each_backend("httpd: ApacheBench")
def _(backend):
    with web(backend, "--shards", 2) as (it, _):
        for name, *options in (("hello", "-k"), ("hello",), ("small.js", "-k"),
                               ("big.bin", "-k", "-n", 100)):
            status, said = outcome_of(
                "ab", "-q", "-n", 2000, "-c", 50, *options,
                f"http://{HOST}:{it.port}/{name}")
            said = said.decode()
            require(status == 0 and re.search(r"Failed requests: +0\n", said)
                    and "Non-2xx" not in said, f"{name} {options}: {said}")
        it.stop()


@on_each_backend("httpd: wrk")
def _(backend):
    with web(backend, "--shards", 2) as (it, _):
        status, said = outcome_of("wrk", "-t", 1, "-c", 20, "-d", "1s",
                                  f"http://{HOST}:{it.port}/more.json")
        said = said.decode()
        require(status == 0 and re.search(r"[1-9]\d* requests in", said)
                and "Non-2xx" not in said and "errors" not in said, said)
        it.stop()


@on_each_backend("httpd: curl")
def _(backend):
    with web(backend, "--shards", 2) as (it, files):
        def curl(*arguments):
            status, said = outcome_of("curl", "-s", *arguments)
            require(status == 0, f"{arguments}: status {status}")
            return said

        at, big = f"http://{HOST}:{it.port}", files["big.bin"]
        code = ("-o", os.devnull, "-w", "%{http_code} %{num_connects}\n")
        require(curl(f"{at}/big.bin") == big, "other bytes")
        require(curl("-0", f"{at}/big.bin") == big, "other bytes, HTTP/1.0")
        require(curl("-r", "100-", f"{at}/big.bin") == big[100:], "no range")
        require(curl("-r", "-7", f"{at}/ten.txt") == b"3456789", "no last ones")
        require(b"200 OK" in curl("-I", f"{at}/ten.txt"), "no head")
        require(curl("--path-as-is", *code, f"{at}/../secret.txt",
                     *code, f"{at}/sub/") == b"404 1\n200 0\n",
                "two connections, or other answers")
        require(curl("-T", __file__, *code, f"{at}/new") == b"405 1\n",
                "it takes a file, or does not say 405")
        it.stop()


# --- copy --------------------------------------------------------------------


def write_file(path, content, mode=0o644):
    with open(path, "wb") as file:
        file.write(content)
    os.chmod(path, mode)


def read_file(path):
    with open(path, "rb") as file:
        return file.read()


def copies(backend, source, target, *options):
    """Copies, and looks whether it did; what it says."""
    status, output, errors = run("copy", source, target, *options,
                                 backend=backend)
    require(status == 0 and not output, f"{source}: {status}, {errors!r}")
    require(read_file(source) == read_file(target),
            f"{source} {options}: the copy is another")
    return errors


def fails_to_copy(backend, source, target, *words, options=()):
    status, output, errors = run("copy", source, target, *options,
                                 backend=backend)
    errors = "".join(line for line in errors.splitlines(True)
                     if "no --direct" not in line)
    what = f"{source}, {target}: {status}, {errors!r}"
    require(status == 1 and not output and errors.count("\n") == 1, what)
    require(all(word in errors for word in words), what)


@on_each_backend("copy: files of all sizes, new and over others")
def _(backend):
    block, random_sizes = 128 * 1024, [random.randrange(1 << 22)
                                       for _ in range(5)]
    with tempfile.TemporaryDirectory() as folder:
        source, target = f"{folder}/from", f"{folder}/to"
        for size in (0, 1, 4095, 4096, 4097, block - 1, block, block + 1,
                     16 * block, *random_sizes, 9999999):
            for options in ((), ("--direct",)):
                mode = random.choice((0o600, 0o640, 0o755, 0o444))
                write_file(source, os.urandom(size), mode)
                for before in (None, 0, size + 100000):
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(target)
                    if before is not None:  # shorter, longer
                        write_file(target, b"x" * before)
                    said = copies(backend, source, target, *options)
                    require(not said or (options and "--direct" in said
                                         and said.count("\n") < 3), said)
                    found = os.stat(target).st_mode & 0o7777
                    require(found == mode, f"mode {found:o}, not {mode:o}")
                os.unlink(source)


@on_each_backend("copy: --direct where the file system has no such thing")
def _(backend):
    if not os.path.exists("/proc/version"):
        raise Skip("no /proc here")
    with tempfile.TemporaryDirectory() as folder:
        said = copies(backend, "/proc/version", f"{folder}/to", "--direct")
        require("no --direct for /proc/version" in said, f"it says {said!r}")


READS_LESS = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>
ssize_t pread(int fd, void *buffer, size_t length, off_t at) {
    ssize_t got = syscall(SYS_pread64, fd, buffer, length, at);
    long most = atol(getenv("MOST"));
    return (fcntl(fd, F_GETFL) & O_DIRECT) && got > most ? most : got;
}
"""


@check("copy: --direct, and reads that give less than there is")
def _():
    compiler = shutil.which("gcc") or shutil.which("cc")
    if platform.system() != "Linux" or not compiler:
        raise Skip("no read can be made shorter")
    with tempfile.TemporaryDirectory() as folder:
        source, target = f"{folder}/from", f"{folder}/to"
        shorter = f"{folder}/shorter.so"
        subprocess.run(
            [compiler, "-shared", "-fPIC", "-xc", "-", "-o", shorter],
            input=READS_LESS.encode(), check=True)

        def copy(size, most):
            write_file(source, os.urandom(size))
            status, _, errors = run(
                "/usr/bin/env", f"LD_PRELOAD={shorter}", f"MOST={most}",
                os.path.join(BUILD, "copy"), source, target, "--direct",
                backend="poll")
            if "no --direct for" in errors:
                raise Skip(errors.splitlines()[0])
            return status, errors

        for size in (4097, 1 << 20, (1 << 20) + 100):
            for most in (4097, 5000, 65536, 100000):
                status, errors = copy(size, most)
                require(status == 0 and not errors
                        and read_file(source) == read_file(target),
                        f"{size}, {most}: {status}, {errors!r}")
        status, errors = copy(1 << 20, 4095)  # never comes to the next sector
        require(status == 1 and errors.count("\n") == 1 and source in errors
                and "--direct" in errors, f"status {status}, {errors!r}")


@on_each_backend("copy: what cannot be copied is told, and is as before")
def _(backend):
    with tempfile.TemporaryDirectory() as folder:
        one, other = f"{folder}/one", f"{folder}/other"
        write_file(one, b"one")
        os.symlink("one", f"{folder}/link")
        os.link(one, f"{folder}/name")
        for same in ("one", "./one", "link", "name"):
            fails_to_copy(backend, one, f"{folder}/{same}", "same file")
            fails_to_copy(backend, f"{folder}/{same}", one, "same file",
                          options=["--direct"])
        require(read_file(one) == b"one", "it is another")
        nowhere = f"{folder}/nowhere"
        fails_to_copy(backend, nowhere, other, nowhere, "No such file")
        fails_to_copy(backend, one, f"{nowhere}/x", f"{nowhere}/x",
                      "No such file")
        fails_to_copy(backend, one, folder, folder, "directory")
        fails_to_copy(backend, folder, other, folder, "regular file")
        fails_to_copy(backend, "/dev/null", other, "/dev/null", "regular file")
        os.mkfifo(f"{folder}/fifo")
        reader = os.open(f"{folder}/fifo", os.O_RDONLY | os.O_NONBLOCK)
        fails_to_copy(backend, one, f"{folder}/fifo", "order", "to a file")
        os.close(reader)
        require(not os.path.exists(other), "something is left")
        for bad in ([], [one], [one, other, "x"], [one, other, "--fast"]):
            status, _, errors = run("copy", *bad)
            require(status == 2 and errors.count("\n") == 1,
                    f"{bad}: {status}, {errors!r}")


@check("copy: over somebody else's file, whose mode stays")
def _():
    if os.geteuid() != 0:
        raise Skip("nobody else's file can be made")
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(os.path.join(BUILD, "copy"), folder)
        source, target = f"{folder}/from", f"{folder}/to"
        write_file(source, b"new", 0o644)
        write_file(target, b"older", 0o666)
        os.chmod(folder, 0o755)
        status, _, errors = run(f"{folder}/copy", source, target, user=NOBODY)
        require(status == 0, f"status {status}, {errors!r}")
        require(read_file(target) == b"new", "the copy is another")
        require(os.stat(target).st_mode & 0o777 == 0o666, "another mode")


@on_each_backend("copy: a full disk is told")
def _(backend):
    if not os.path.exists("/dev/full"):
        raise Skip("no /dev/full here")
    with tempfile.TemporaryDirectory() as folder:
        source = f"{folder}/from"
        write_file(source, os.urandom(1 << 20))
        fails_to_copy(backend, source, "/dev/full", "/dev/full",
                      "No space left", "make room")
    require(os.path.exists("/dev/full"), "/dev/full is gone")


@on_each_backend("copy: a full file system keeps what was there")
def _(backend):
    with tempfile.TemporaryDirectory() as folder:
        source, small = f"{folder}/from", f"{folder}/small"
        write_file(source, os.urandom(3 << 20))
        os.mkdir(small)
        if os.geteuid() != 0 or subprocess.run(
                ["mount", "-t", "tmpfs", "-o", "size=1m", "none", small],
                stderr=subprocess.DEVNULL).returncode:
            raise Skip("no file system can be mounted")
        try:
            for options in ((), ("--direct",)):
                write_file(f"{small}/old", b"old")
                fails_to_copy(backend, source, f"{small}/new", f"{small}/new",
                              "No space left", options=options)
                require(os.listdir(small) == ["old"], str(os.listdir(small)))
                fails_to_copy(backend, source, f"{small}/old", f"{small}/old",
                              "No space left", options=options)
                require(os.listdir(small) == ["old"], str(os.listdir(small)))
        finally:
            subprocess.run(["umount", small], check=True)


def is_stopped(backend):
    """Whether SIGTERM came before it was done; then it must say so."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = f"{folder}/from", f"{folder}/to"
        with open(source, "wb") as file:
            file.truncate(400 << 20)
        process = Process("copy", source, target, backend=backend)
        limit = time.monotonic() + SECONDS
        while not os.path.exists(target) and time.monotonic() < limit:
            time.sleep(0.001)
        process.send(signal.SIGTERM)
        status, said = process.end(), process.errors()
        require((status, os.path.exists(target)) in ((0, True), (1, False)),
                f"status {status}, {os.listdir(folder)}")
        require(status == 0 or "stopped" in said, f"it says {said!r}")
        return status == 1


@on_each_backend("copy: SIGTERM stops it, and says so")
def _(backend):
    require(any(is_stopped(backend) for _ in range(10)),
            "it goes on to the end each time")


@check("copy: a terminal is shown how far it is")
def _():
    with tempfile.TemporaryDirectory() as folder:
        source = f"{folder}/from"
        write_file(source, os.urandom(100 * 1024))
        ours, theirs = os.openpty()
        try:
            status = subprocess.run(
                [f"{BUILD}/copy", source, f"{folder}/to"], stderr=theirs,
                timeout=SECONDS).returncode
            said = os.read(ours, 10000).decode()
        finally:
            os.close(ours)
            os.close(theirs)
        require(status == 0 and "100 of 100 KiB" in said, f"it says {said!r}")


@check("copy: io_uring forbidden")
def _():
    needs("forbidden")
    with tempfile.TemporaryDirectory() as folder:
        write_file(f"{folder}/from", os.urandom(1 << 20))
        said = copies("forbidden", f"{folder}/from", f"{folder}/to")
        require(said.count("\n") == 1 and "io_uring" in said, said)


# --- udp-echo ----------------------------------------------------------------


def udp(host):
    """A socket for datagrams to and from HOST."""
    one = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET,
                        socket.SOCK_DGRAM)
    one.settimeout(SECONDS)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    return one


def udp_hosts():
    with contextlib.suppress(OSError), udp("::1") as one:
        one.bind(("::1", 0))
        return [HOST, "::1"]
    return [HOST]


@on_each_backend("udp-echo: datagrams of all sizes, over IPv4 and IPv6")
def _(backend):
    for host in udp_hosts():
        with server(backend, "--host", host, program="udp-echo") as it:
            require((it.host, it.backend, it.shards) == (host, backend, 1),
                    f"it says {it.host}, {it.backend}, {it.shards}")
            with udp(host) as one, udp(host) as other:
                for size in (0, 1, 2, 1472, 1473, 0, 9000, 65506, 65507, 0):
                    sent = os.urandom(size)
                    one.sendto(sent, (host, it.port))
                    other.sendto(sent[::-1], (host, it.port))
                    back, sender = one.recvfrom(1 << 17)
                    require(back == sent, f"{host}: {size} bytes: {len(back)}")
                    require(sender[:2] == (host, it.port), f"from {sender}")
                    require(other.recv(1 << 17) == sent[::-1], "not its own")
                for _ in range(100):  # several at once; no order is promised
                    sent = [os.urandom(20) for _ in range(10)]
                    for message in sent:
                        one.sendto(message, (host, it.port))
                    require(sorted(one.recv(100) for _ in sent)
                            == sorted(sent), f"{host}: not what was sent")
            with udp(host) as gone:  # nobody is there when it answers
                gone.sendto(b"x", (host, it.port))
            with udp(host) as one:
                one.sendto(b"still there?", (host, it.port))
                require(one.recv(100) == b"still there?", "no echo")
            it.stop()


@check("udp-echo: io_uring forbidden, bad options, a busy port")
def _():
    needs("forbidden")
    with server("forbidden", program="udp-echo") as it, udp(HOST) as one:
        one.sendto(b"hello", (HOST, it.port))
        require(one.recv(100) == b"hello", "no echo")
        refused("--port", it.port, statuses=[1], words=[str(it.port)],
                program="udp-echo", backend="poll")
        require(it.stop().count("\n") == 1, "it does not say so once")
    for bad in (["--port", "x"], ["--port"], ["more"], ["--shards", 2]):
        refused(*bad, statuses=[2], program="udp-echo")
    refused("--host", "x" * 70, statuses=[1], words=["x" * 70],
            program="udp-echo", backend="poll")


# --- forward -----------------------------------------------------------------


@contextlib.contextmanager
def listener(host=HOST):
    """A socket that listens: what is to be forwarded to."""
    with socket.socket(socket.AF_INET6 if ":" in host else
                       socket.AF_INET) as one:
        one.settimeout(SECONDS)
        one.bind((host, 0))
        one.listen(100)
        yield one


@contextlib.contextmanager
def forwarded(backend, *arguments):
    """A forwarder, and both ends of a connection through it."""
    with listener() as target, server(
            backend, "--to", f"{HOST}:{target.getsockname()[1]}", *arguments,
            program="forward") as it:
        it.target = target
        with connect(it.port) as near, target.accept()[0] as far:
            far.settimeout(SECONDS)
            yield it, near, far


def receive(connection, length):
    parts = []
    while length > 0:
        parts.append(connection.recv(min(length, 1 << 20)))
        if not parts[-1]:
            raise Ended("the end instead of bytes", b"".join(parts))
        length -= len(parts[-1])
    return b"".join(parts)


def carries(sender, receiver, data):
    """All of DATA, while it is sent."""
    thread = threading.Thread(target=sender.sendall, args=(data,))
    thread.start()
    same = receive(receiver, len(data)) == data
    thread.join(SECONDS)
    return same


@on_each_backend("forward: an echo server behind it, many peers")
def _(backend):
    with server("poll", "--shards", 1) as target:
        for policy in policies():
            with server(backend, "--to", f"{HOST}:{target.port}", "--shards",
                        2, "--accept", policy, program="forward") as it:
                require((it.host, it.backend, it.shards) == (HOST, backend, 2),
                        f"it says {it.host}, {it.backend}, {it.shards}")
                converse(it.port, 1, rounds=2, size=1 << 20)
                converse(it.port, 50, rounds=10)
                converse(it.port, 200, mixed=True)
                converse(it.port, 50)
                it.stop()


@on_each_backend("forward: a half-close stays one, in both directions")
def _(backend):
    data = os.urandom(3 << 20)
    with forwarded(backend) as (it, near, far):
        for first, second in ((near, far), (far, near)):
            require(carries(first, second, data), "other bytes")
        near.shutdown(socket.SHUT_WR)
        require(far.recv(1) == b"", "no end at the target")
        require(carries(far, near, data), "the other direction has ended, too")
        far.close()
        require(near.recv(1) == b"", "no end")
        it.stop()
    with forwarded(backend) as (it, near, far):
        far.sendall(data[:1000])
        far.shutdown(socket.SHUT_WR)
        require(receive(near, 1000) == data[:1000] and near.recv(1) == b"",
                "no end at the peer")
        require(carries(near, far, data), "the other direction has ended, too")
        near.close()
        require(far.recv(1) == b"", "no end")
        it.stop()


def is_reset(connection):
    try:
        while connection.recv(1 << 16):
            pass
        return False
    except ConnectionError:
        return True


@on_each_backend("forward: a reset goes on as one")
def _(backend):
    for ends in (lambda near, far: (near, far), lambda near, far: (far, near)):
        with forwarded(backend) as (it, near, far):
            first, second = ends(near, far)
            require(carries(first, second, b"hello"), "nothing comes")
            set_linger(first)
            first.close()
            require(is_reset(second), "an end like any other")
            it.stop()


@on_each_backend("forward: who reads slowly slows down who sends")
def _(backend):
    with forwarded(backend, "--shards", 1) as (it, near, far):
        near.settimeout(1)
        sent, block = 0, os.urandom(1 << 16)
        with contextlib.suppress(socket.timeout):
            while sent < 1 << 28:
                sent += near.send(block[sent % len(block):])
        require(sent < 1 << 28, "it takes all there is")
        with connect(it.port) as other, it.target.accept()[0] as behind:
            require(carries(other, behind, b"hello"), "others wait")
        near.settimeout(SECONDS)
        near.shutdown(socket.SHUT_WR)
        got = receive(far, sent)
        require(all(block.startswith(got[n:n + len(block)])
                    for n in range(0, sent, len(block))), "other bytes")
        require(far.recv(1) == b"", "no end")
        it.stop()


@on_each_backend("forward: a target that is down, and comes back")
def _(backend):
    with listener() as target:
        port = target.getsockname()[1]
    with server(backend, "--to", f"{HOST}:{port}", program="forward") as it:
        for _ in range(3):
            with contextlib.suppress(ConnectionError), connect(it.port) as peer:
                require(is_reset(peer), "an end like any other")
        said = it.process.errors()
        require(said.count("\n") == 3 and f"{HOST}:{port}" in said, said)
        with socket.socket() as target:
            target.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            target.bind((HOST, port))
            target.listen(1)
            with connect(it.port) as near, target.accept()[0] as far:
                require(carries(near, far, b"hello"), "nothing comes")
        it.stop()


@on_each_backend("forward: SIGTERM, idle and with connections")
def _(backend):
    with forwarded(backend, "--shards", 2) as (it, near, far):
        require(carries(far, near, b"hello"), "nothing comes")
        it.process.send(signal.SIGTERM)
        require(carries(near, far, b"still there"), "it does not drain")
        status = it.process.end(DRAIN + SECONDS)
        require(status == 0, f"status {status}: {it.process.errors()}")
        require(is_reset(near) and is_reset(far), "an end like any other")
    with server(backend, "--to", f"{HOST}:1", program="forward") as it:
        started = time.monotonic()
        it.stop()
        require(time.monotonic() - started < SECONDS / 2, "it took its time")


@on_each_backend("forward: socat and nc")
def _(backend):
    data = os.urandom(1 << 20)
    with listener() as target, server(
            backend, "--to", f"{HOST}:{target.getsockname()[1]}",
            program="forward") as it, tempfile.TemporaryFile() as file:
        def serve():
            """Has all of it before it sends all of it back."""
            with contextlib.suppress(OSError), target.accept()[0] as far:
                far.settimeout(SECONDS)
                parts = []
                while not parts or parts[-1]:
                    parts.append(far.recv(1 << 20))
                far.sendall(b"".join(parts))

        file.write(data)
        half = "-N" if b"-N" in outcome_of("nc", "-h")[1] else "-q20"
        for tool, *arguments in (
                ("socat", "-t20", "-", f"TCP:{HOST}:{it.port}"),
                ("nc", half, HOST, it.port)):
            file.seek(0)
            thread = threading.Thread(target=serve, daemon=True)
            thread.start()
            status, said = outcome_of(tool, *arguments, stdin=file)
            require(status == 0 and said == data,
                    f"{tool}: status {status}, {len(said)} bytes")
            thread.join(SECONDS)
        it.stop()


@check("forward: names and IPv6 addresses to forward to")
def _():
    for host in udp_hosts():
        name = f"[{host}]" if ":" in host else "localhost"
        with listener(host) as target, server(
                None, "--to", f"{name}:{target.getsockname()[1]}",
                program="forward") as it:
            with connect(it.port) as near, target.accept()[0] as far:
                require(carries(near, far, b"hello"), f"{name}: nothing comes")
            it.stop()


@check("forward: io_uring forbidden, bad options, an unknown host, a busy port")
def _():
    needs("forbidden")
    with forwarded("forbidden") as (it, near, far):
        require(carries(near, far, b"hello"), "nothing comes")
        refused("--to", "localhost:1", "--port", it.port, statuses=[1],
                words=[str(it.port)], program="forward", backend="poll")
        require(it.stop().count("\n") == 1, "it does not say so once")
    for bad in ([], ["--to"], ["--to", "x"], ["--to", ":1"], ["--to", "x:"],
                ["--to", "x:y"], ["--to", "x:65536"], ["--to", "x:1", "more"],
                ["--to", "x:1", "--accept", "all"],
                ["--to", "x:1", "--port", "x"]):
        refused(*bad, statuses=[2], program="forward")
    refused("--to", "x" * 70 + ":1", statuses=[1], words=["x" * 70],
            program="forward", backend="poll")


# --- the whole ---------------------------------------------------------------


def raise_open_files():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 20000 if hard == resource.RLIM_INFINITY else min(hard, 20000)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def why_no_ring():
    """Why the io_uring backend cannot be used here; "" if it can, or should: the
    kernel gives a ring, and this build has what it takes."""
    try:
        with server("uring", "--shards", 1) as it:
            it.stop()
        return ""
    except (Failure, Skip) as reason:
        given = platform.system() == "Linux" and doctor.try_io_uring()[0] == 0
        if given and os.strerror(errno.ENOSYS) not in str(reason):
            return ""
        return f"io_uring cannot be used: {reason}"


def run_checks():
    """Makes them all, whatever comes; how many of each outcome."""
    count = {"ok": 0, "FAILED": 0, "skipped": 0}
    for name, function in CHECKS:
        if PART not in name:
            continue
        outcome, why = "ok", ""
        try:
            function()
        except Skip as reason:
            outcome, why = "skipped", f": {reason}"
        except (Failure, OSError, ValueError) as reason:
            outcome, why = "FAILED", f": {reason}"
        finally:
            for process in list(RUNNING):
                process.close()
        count[outcome] += 1
        print(f"{outcome:<8} {name}{why}", flush=True)
    return count


def main():
    raise_open_files()
    for number in (signal.SIGINT, signal.SIGHUP):  # if we run under nohup(1),
        if signal.getsignal(number) == signal.SIG_IGN:  # programs do not
            signal.signal(number, lambda *_: None)
    count = run_checks()
    if not any(count.values()):
        print(f"there is no check with '{PART}' in its name", file=sys.stderr)
        return 2
    print(f"{count['ok']} passed, {count['FAILED']} failed, "
          f"{count['skipped']} skipped")
    return 1 if count["FAILED"] else 0


if __name__ == "__main__":
    if sys.argv[1:2] == [WITHOUT_RING]:
        run_without_ring(sys.argv[2:])
    if len(sys.argv) not in (2, 3) or not os.path.exists(f"{sys.argv[1]}/echo"):
        print(__doc__.strip(), file=sys.stderr)
        sys.exit(2)
    BUILD = os.path.abspath(sys.argv[1])
    PART = (sys.argv + [""])[2]
    RING_MISSES = why_no_ring()
    sys.exit(main())
