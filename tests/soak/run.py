#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Soaks the servers: httpd, echo and forward under bad peers, for minutes.

    tests/soak/run.py [--minutes 10] [--seed N] [--only poll/asan]

Builds the servers of stage 6, plain and with AddressSanitizer and UBSan. The
three run side by side, on each backend and in both builds, one after the other;
forward forwards to echo. Peers come without end: good ones that compare every
byte, slow ones, some that vanish half-way, end their direction early, send and
never read, send nonsense, or come by the hundred. In between all of them go,
and the servers must be as before: as many sockets and files, about as much
memory, no work. SIGTERM comes in the middle of it all.

What must hold:
- an answer is right to the last byte, and every request has one; what is cut
  short, by httpd's patience or by SIGTERM, is right as far as it came;
- descriptors come back; memory stays flat once warm; an idle server is idle;
- at the end every lease has been returned (leases.c counts them);
- after SIGTERM the exit status is 0, within the drain time and some seconds;
- no sanitizer has anything to say.

One line while it runs, on a terminal; the last line says what was done. Exit
status 0: all of it held.
"""

import argparse
import contextlib
import errno
import os
import random
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))

import programs
from programs import (Answers, Ended, Failure, HOST, Server, connect, request,
                      require, set_linger)

PEERS = 32  # that come at the same time
PATIENCE = 2  # seconds that httpd waits for a head
ROUNDS = 4  # of load, each with a rest behind it; after the first all is warm
WARM = 8  # seconds that the first takes at least; two of them go to the crowd
REST = 20  # seconds in which a server must have let go of everything
# By so much may RssAnon grow after the first round: the allocators' slack. An
# ASan build keeps what was freed, for a while.
GROWTH = {"plain": 1 << 20, "asan": 6 << 20}
REPORT = re.compile(r"ERROR: \w+Sanitizer|runtime error:|SUMMARY: |soak: ")
STAGE = os.path.join(os.path.dirname(os.path.dirname(HERE)), "stage06-signals")


# --- peers -------------------------------------------------------------------


class GivenUp(Failure):
    """httpd has lost its patience: 408, where that is no answer to expect."""


def is_an_end(error):
    """What comes of a connection's end, and of nothing else. No wrong byte is."""
    return (isinstance(error, (ConnectionError, Ended))
            or isinstance(error, OSError) and error.errno == errno.ENOTCONN)


class Peers:
    """All peers of one group of servers. Those of a kind differ by RNG."""

    def __init__(self, backend, ports, root, files, seed):
        self.backend, self.ports, self.root = backend, ports, root
        self.files, self.seed = files, seed
        self.turning = [os.urandom(50000), os.urandom(70000)]
        self.pause, self.ending, self.over = (threading.Event()
                                              for _ in range(3))
        self.resting = threading.Semaphore(0)
        self.go = threading.Barrier(PEERS + 1)
        self.count, self.late, self.cut, self.trouble = 0, 0, 0, []
        self.threads = [threading.Thread(target=self.live, args=(n,),
                                         daemon=True) for n in range(PEERS)]
        for thread in self.threads:
            thread.start()

    def live(self, number):
        rng = random.Random(f"{self.seed}/{number}")
        self.go.wait()
        self.crowd(rng)
        while not self.over.is_set():
            while not (self.pause.is_set() or self.over.is_set()):
                self.meet(rng)
            self.resting.release()
            self.go.wait()

    def crowd(self, rng):
        """All at once do what takes the most memory, so that what comes later
        needs no more: with a buffer ring the kernel fills any number of buffers
        before it hears that this is enough."""
        for name in ("echo", "forward") if self.backend == "uring" else ():
            try:
                never_reads(self, rng, self.ports[name], 2)
            except (Failure, OSError) as error:
                self.trouble.append(f"in the crowd ({name}): {error}")

    def meet(self, rng):
        kind, name = rng.choices(KINDS, WEIGHTS)[0]
        port = self.ports[rng.choice(name.split())]
        started = time.monotonic()
        try:
            kind(self, rng, port)
        except Exception as error:  # a ValueError comes of a wrong byte, too
            took = time.monotonic() - started
            # Where the machine is slower than httpd's patience, it gives up.
            is_late = (name == "httpd" and kind is not silent
                       and took > PATIENCE * 0.7)
            if is_late and (isinstance(error, GivenUp) or is_an_end(error)):
                self.late += 1
            elif self.ending.is_set() and is_an_end(error):
                self.cut += 1
                self.hold(0.05)  # nobody is there any more
                return
            else:
                self.trouble.append(
                    f"{kind.__name__} ({name}) after {took:.1f} s: "
                    f"{type(error).__name__}: {error}")
        self.count += 1

    def hold(self, seconds):
        """Waits, but not longer than there is load."""
        self.pause.wait(seconds)

    def load(self, until, least, each_second):
        """Until then, and LEAST seconds; then nobody is there."""
        self.begin()
        until = max(until, time.monotonic() + least)
        while time.monotonic() < until and not self.trouble:
            time.sleep(min(1, max(0, until - time.monotonic())))
            each_second()
        self.rest()

    def begin(self):
        self.pause.clear()
        self.go.wait()

    def rest(self):
        self.pause.set()
        for _ in range(PEERS):
            require(self.resting.acquire(timeout=60), "a peer waits for ever")

    def end(self):
        self.over.set()
        with contextlib.suppress(threading.BrokenBarrierError):
            self.go.wait(60)


KINDS, WEIGHTS = [], []


def kind(servers, weight):
    """Registers a kind of peer: of SERVERS, one of which is chosen."""
    def register(function):
        KINDS.append((function, servers))
        WEIGHTS.append(weight)
        return function
    return register


def a_request(peers, rng):
    """One that is right: its bytes, and (status, body, without a body)."""
    name = rng.choice(list(peers.files))
    content, word = peers.files[name], rng.random()
    if word < 0.3:
        return request("/hello"), (200, b"hello\n", False)
    if word < 0.4:
        return request("/none"), (404, b"Not Found\n", False)
    if word < 0.5:
        return request(f"/{name}", method="HEAD"), (200, b"", True)
    if word < 0.6:
        return request("/", method="PUT"), (405, b"Method Not Allowed\n", False)
    if word < 0.8 and content:
        first = rng.randrange(len(content))
        last = rng.randrange(first, len(content))
        return (request(f"/{name}", f"Range: bytes={first}-{last}"),
                (206, content[first:last + 1], False))
    return request(f"/{name}"), (200, content, False)


def send_in_pieces(connection, data, rng):
    while data:
        size = rng.choice((1, 7, 100, 1000, len(data)))
        connection.sendall(data[:size])
        data = data[size:]


def expect_status(found, *wanted):
    if found == 408 and found not in wanted:
        raise GivenUp("408")
    require(found in wanted, f"{found} is not {wanted}")


def expect_part(came, *contents):
    require(any(content.startswith(came) for content in contents),
            "wrong bytes, and then the end")


def expect_answers(answers, wanted):
    for n, (status, content, head) in enumerate(wanted):
        try:
            found = answers.next(head)
        except Ended as end:
            expect_part(end.came, content)
            raise
        expect_status(found[0], status)
        require(found[2] == content, f"answer {n}: wrong bytes")


@kind("httpd", 10)
def good(peers, rng, port):
    """A connection that is kept."""
    with connect(port) as connection:
        answers = Answers(connection)
        for _ in range(rng.randrange(1, 12)):
            data, wanted = a_request(peers, rng)
            send_in_pieces(connection, data, rng)
            expect_answers(answers, [wanted])


@kind("httpd", 6)
def pipeline(peers, rng, port):
    """Many requests at once; half of these peers then end their direction."""
    with connect(port) as connection:
        several = [a_request(peers, rng) for _ in range(rng.randrange(2, 9))]
        connection.sendall(b"".join(data for data, _ in several))
        half = rng.random() < 0.5
        if half:
            connection.shutdown(socket.SHUT_WR)
        answers = Answers(connection)
        expect_answers(answers, [wanted for _, wanted in several])
        require(not half or answers.at_end(), "more than was asked for")


@kind("httpd", 2)
def slow_bytes(peers, rng, port):
    with connect(port) as connection:
        for byte in request("/hello"):
            connection.sendall(bytes([byte]))
            time.sleep(rng.random() * 0.01)
        expect_answers(Answers(connection), [(200, b"hello\n", False)])


@kind("httpd", 2)
def slow_reader(peers, rng, port):
    with socket.socket() as connection:
        connection.settimeout(programs.SECONDS)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        connection.connect((HOST, port))
        connection.sendall(request("/big"))
        answers = Answers(connection)
        for _ in range(rng.randrange(1, 20)):
            answers.rest += connection.recv(2000)
            time.sleep(rng.random() * 0.02)
        if rng.random() < 0.5:
            expect_part(answers.rest.partition(b"\r\n\r\n")[2],
                        peers.files["big"])
            set_linger(connection)
            return
        expect_answers(answers, [(200, peers.files["big"], False)])


@kind("httpd", 8)
def vanishes(peers, rng, port):
    """In the middle of a request, or of its answer."""
    for _ in range(rng.randrange(1, 20)):
        with connect(port) as connection:
            data, _ = a_request(peers, rng)
            if rng.random() < 0.4:
                connection.sendall(data[:rng.randrange(len(data))])
            else:
                connection.sendall(request("/big") * rng.randrange(1, 4))
                if rng.random() < 0.7:
                    connection.recv(rng.choice((1, 1000, 1 << 20)))
            if rng.random() < 0.8:
                set_linger(connection)


@kind("httpd", 1)
def deaf(peers, rng, port):
    """Asks for much and reads nothing, for longer than httpd has patience."""
    with connect(port) as connection:
        connection.sendall(request("/big") * rng.randrange(1, 20))
        peers.hold(rng.uniform(0, 2 * PATIENCE))
        if rng.random() < 0.5:
            set_linger(connection)


@kind("httpd", 1)
def silent(peers, rng, port):
    """Says nothing, or half of a head: the connection must end."""
    with connect(port) as connection:
        head = request("/hello")[:rng.choice((0, 0, 1, 20))]
        connection.sendall(head)
        limit = time.monotonic() + PATIENCE + programs.SECONDS
        while not select.select([connection], [], [], 0.1)[0]:
            require(time.monotonic() < limit, "it waits for ever")
            if peers.pause.is_set():
                return
        answers = Answers(connection)
        if head:
            require(answers.next()[0] == 408, "a slow head is no 408")
        require(answers.at_end(), "words to a silent peer")


@kind("httpd", 2)
def huge_head(peers, rng, port):
    data = request("/" + "a" * rng.choice((1, 5000)),
                   "A: " + "b" * rng.choice((4100, 100000)))
    with connect(port) as connection, contextlib.suppress(ConnectionError):
        connection.sendall(data)
        answers = Answers(connection)
        expect_status(answers.next()[0], 414, 431)
        require(answers.at_end(), "more than the last answer")


@kind("httpd", 5)
def nonsense(peers, rng, port):
    """Whatever it is, it gets an answer or none, and then the end."""
    data = bytearray(b"".join(a_request(peers, rng)[0] for _ in range(3)))
    for _ in range(rng.randrange(1, 8)):
        at = rng.randrange(len(data))
        data[at:at + rng.randrange(3)] = rng.choice(
            (b"", b"\0", b"\n", b"\r\n", b" ", b":", b"/../", b"%00", b"\xff",
             bytes([rng.randrange(256)]) * rng.choice((1, 5000))))
    with connect(port) as connection, contextlib.suppress(ConnectionError):
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        first = connection.recv(9)
        require(first in (b"", b"HTTP/1.1 "), f"it begins with {first!r}")
        while connection.recv(1 << 16):
            pass


@kind("httpd", 1)
def turning(peers, rng, port):
    """A file that is replaced by another while it is asked for."""
    if rng.random() < 0.3:
        new = os.path.join(peers.root, f"new{threading.get_ident()}")
        programs.write_file(new, rng.choice(peers.turning))
        os.replace(new, os.path.join(peers.root, "turning"))
    with connect(port) as connection:
        connection.sendall(request("/turning"))
        try:
            status, _, body = Answers(connection).next()
        except Ended as end:
            expect_part(end.came, *peers.turning)
            raise
        expect_status(status, 200)
        require(body in peers.turning, "it is neither")


@kind("httpd", 1)
def storm_of_requests(peers, rng, port):
    for _ in range(100):
        if peers.pause.is_set():
            return
        with connect(port) as connection:
            if rng.random() < 0.2:
                set_linger(connection)
                continue
            connection.sendall(request("/hello", "Connection: close"))
            answers = Answers(connection)
            expect_answers(answers, [(200, b"hello\n", False)])
            require(answers.at_end(), "more than the last answer")


# --- peers of echo, also behind forward --------------------------------------


def exchange(connection, data, size):
    """Sends DATA in pieces of SIZE, and reads as much: it must be the same."""
    back, sent = bytearray(), 0
    connection.setblocking(False)
    limit = time.monotonic() + programs.SECONDS
    while len(back) < len(data):
        require(time.monotonic() < limit, "an echo takes too long")
        ready = select.select([connection], [connection] if sent < len(data)
                              else [], [], 1)
        with contextlib.suppress(BlockingIOError):
            if ready[1]:
                sent += connection.send(data[sent:sent + size])
        with contextlib.suppress(BlockingIOError):
            if ready[0]:
                part = connection.recv(1 << 16)
                require(data.startswith(part, len(back)), "wrong bytes")
                if not part:
                    raise Ended("the end instead of bytes", bytes(back))
                back += part
    connection.settimeout(programs.SECONDS)


def expect_bytes(connection, data):
    """The next ones it sends."""
    try:
        require(programs.receive(connection, len(data)) == data, "wrong bytes")
    except Ended as end:
        expect_part(end.came, data)
        raise


@kind("echo forward", 10)
def talks(peers, rng, port):
    with connect(port) as connection:
        for _ in range(rng.randrange(1, 10)):
            data = rng.randbytes(rng.choice((1, 100, 5000, 300000)))
            size = max(1, len(data) // rng.randrange(1, 20))
            exchange(connection, data, size)


@kind("echo forward", 3)
def half_closes(peers, rng, port):
    data = rng.randbytes(rng.randrange(100000))
    with connect(port) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        expect_bytes(connection, data)
        require(connection.recv(1) == b"", "no end")


@kind("echo forward", 8)
def resets(peers, rng, port):
    """In the middle of what it sends, and has sent back."""
    for _ in range(rng.randrange(1, 30)):
        with connect(port) as connection:
            data = rng.randbytes(rng.choice((0, 1, 5000, 100000)))
            connection.sendall(data)
            if data and rng.random() < 0.5:
                require(data.startswith(connection.recv(rng.choice((1, 5000)))),
                        "wrong bytes")
            set_linger(connection)


@kind("echo forward", 1)
def never_reads(peers, rng, port, seconds=None):
    """Sends all that is taken, and goes; or reads it after all."""
    sent, block = 0, rng.randbytes(1 << 16)
    with connect(port) as connection:
        connection.setblocking(False)
        until = time.monotonic() + (seconds or rng.uniform(0.1, 2))
        while time.monotonic() < until and (seconds
                                            or not peers.pause.is_set()):
            try:
                sent += connection.send(block[sent % len(block):])
            except BlockingIOError:
                time.sleep(0.01)
        if rng.random() < 0.5:
            set_linger(connection)
            return
        connection.settimeout(programs.SECONDS)
        connection.shutdown(socket.SHUT_WR)
        for at in range(0, sent, len(block)):
            expect_bytes(connection, block[:min(len(block), sent - at)])
        require(connection.recv(1) == b"", "no end")


@kind("echo forward", 1)
def storm_of_connections(peers, rng, port):
    for _ in range(100):
        if peers.pause.is_set():
            return
        with connect(port) as connection:
            word = rng.random()
            if word < 0.4:
                exchange(connection, b"are you there?", 14)
            elif word < 0.7:
                set_linger(connection)


def without_dumps(errors):
    """What else was said, and not too much of it."""
    return "".join(line for line in errors.splitlines(True)
                   if not line.startswith(("shard ", "  task ")))[:5000]


# --- servers -----------------------------------------------------------------


class Group:
    """The three servers, and what they looked like before."""

    def __init__(self, backend, root):
        self.servers, self.before = {}, {}
        self.warm = {}  # how much memory each had after the first round
        try:
            for name in ("httpd", "echo", "forward"):
                self.servers[name] = Server(
                    backend, "--shards", 2, *self.options(name, root),
                    program=name)
        except BaseException:
            self.close()
            raise
        self.before = {name: self.descriptors(name) for name in self.servers}

    def options(self, name, root):
        if name == "httpd":
            return ["--root", root, "--timeout", PATIENCE]
        if name == "forward":
            return ["--to", f"{HOST}:{self.servers['echo'].port}"]
        return []

    def pid(self, name):
        return self.servers[name].process.process.pid

    def descriptors(self, name):
        """How many sockets and files, and how many of the runtime's own."""
        folder, outside, own = f"/proc/{self.pid(name)}/fd", 0, 0
        for number in os.listdir(folder):
            with contextlib.suppress(FileNotFoundError):
                target = os.readlink(f"{folder}/{number}")
                if target.startswith(("pipe:", "anon_inode:")):
                    own += 1
                else:
                    outside += 1
        return outside, own

    def memory(self, name):
        """Bytes of its own."""
        with open(f"/proc/{self.pid(name)}/status", encoding="ascii") as file:
            return int(re.search(r"RssAnon:\s+(\d+) kB", file.read())[1]) << 10

    def cpu(self, name):
        """Seconds of CPU time."""
        with open(f"/proc/{self.pid(name)}/stat", encoding="ascii") as file:
            words = file.read().rsplit(")", 1)[1].split()
        return sum(map(int, words[11:13])) / os.sysconf("SC_CLK_TCK")

    def is_well(self, name):
        process = self.servers[name].process
        status = process.process.poll()
        require(status is None, f"{name} has ended, with status {status}: "
                f"{without_dumps(process.errors())}")
        require(not REPORT.search(process.errors()),
                f"{name}: {without_dumps(process.errors())}")

    def all_well(self):
        for name in self.servers:
            self.is_well(name)

    def dump(self):
        """A dump of all tasks while they run: a reader of everything."""
        for it in self.servers.values():
            it.process.send(signal.SIGUSR1)

    def is_back(self, name):
        """Whether it holds what it held before its peers."""
        outside, own = self.descriptors(name)
        was_outside, was_own = self.before[name]
        helpers = 2 * 4  # at most, made when they are needed: a bell each
        return outside == was_outside and own <= was_own + helpers

    def rest(self, most):
        """All peers have gone: what is left? Says how memory has grown."""
        until = time.monotonic() + REST
        for name in self.servers:
            while not self.is_back(name) and time.monotonic() < until:
                time.sleep(0.05)
            require(self.is_back(name), f"{name} holds {self.descriptors(name)}"
                    f" sockets and others; before {self.before[name]}")
        used = {name: self.cpu(name) for name in self.servers}
        time.sleep(0.5)
        grown = {}
        for name in self.servers:
            self.is_well(name)
            used[name] = self.cpu(name) - used[name]
            require(used[name] < 0.25,
                    f"{name} is idle and takes {used[name]:.2f} s in 0.5 s")
            memory = self.memory(name)
            warm = self.warm.setdefault(name, memory)
            grown[name] = memory - warm
            require(grown[name] <= most, f"{name} has grown by "
                    f"{grown[name] >> 10} KiB from {warm >> 10}")
        return grown

    def stop(self, rng):
        for name in rng.sample(sorted(self.servers), len(self.servers)):
            self.servers[name].process.send(signal.SIGTERM)
            time.sleep(rng.choice((0, 0.1)))
        for name, it in self.servers.items():
            status = it.process.end(programs.DRAIN + 2 * programs.SECONDS)
            errors = it.process.errors()
            require(status == 0, f"{name}: status {status} after SIGTERM: "
                    f"{without_dumps(errors)}")
            require(not REPORT.search(errors),
                    f"{name}: {without_dumps(errors)}")

    def close(self):
        for it in self.servers.values():
            it.process.close()


# --- the whole ---------------------------------------------------------------


def make_site(root):
    files = {"empty": b"", "ten": b"0123456789", "small": os.urandom(2304),
             "more": os.urandom(2305), "page": os.urandom(70000),
             "big": os.urandom((3 << 20) + 7)}
    for name, content in files.items():
        programs.write_file(os.path.join(root, name), content)
    programs.write_file(os.path.join(root, "turning"), os.urandom(1))
    return files


class Progress:
    def __init__(self, seconds):
        self.started, self.seconds = time.monotonic(), seconds
        self.terminal = sys.stdout.isatty()

    def show(self, text):
        if self.terminal:
            spent = time.monotonic() - self.started
            print(f"\r\x1b[K{spent:.0f} of about {self.seconds:.0f} s: {text}",
                  end="", flush=True)

    def say(self, text):
        print(("\r\x1b[K" if self.terminal else "") + text, flush=True)


def soak(variant, backend, seconds, seed, progress):
    """One build on one backend; how many peers there were."""
    rng, title = random.Random(seed), f"{backend}/{variant}"
    with tempfile.TemporaryDirectory() as root:
        files = make_site(root)
        group = Group(backend, root)
        ports = {name: it.port for name, it in group.servers.items()}
        peers = Peers(backend, ports, root, files, seed)
        programs.write_file(os.path.join(root, "turning"), peers.turning[0])

        def each_second():
            group.all_well()
            group.dump()
            progress.show(f"{title}: {peers.count} peers")
        started = time.monotonic()
        try:
            for n in range(1, ROUNDS + 1):
                peers.load(started + seconds * n / ROUNDS - 3,
                           WARM if n == 1 else 1, each_second)
                require(not peers.trouble, "; ".join(peers.trouble[:3]))
                grown = group.rest(GROWTH[variant])
            peers.begin()
            time.sleep(rng.uniform(0.3, 1))
            peers.ending.set()
            group.stop(rng)
            peers.rest()
            require(not peers.trouble, "; ".join(peers.trouble[:3]))
            require(peers.late <= peers.count // 4,
                    f"{peers.late} of {peers.count} peers were late")
        finally:
            peers.pause.set()
            peers.end()
            group.close()
    progress.say(f"{title:<12} {peers.count} peers, {peers.late} were late, "
                 f"{peers.cut} cut short by SIGTERM; "
                 "grown by " + ", ".join(f"{name} {n >> 10} KiB"
                                         for name, n in grown.items()))
    return peers.count


def build(variant):
    """The servers, each with leases.c; where they are."""
    folder = f"build/soak-{variant}"
    done = subprocess.run(
        [os.environ.get("MAKE", "make"), "-s", "-C", STAGE,
         f"VARIANT={'asan' if variant == 'asan' else ''}", f"BUILD={folder}",
         f"LDFLAGS=-I. {HERE}/leases.c -Wl,--wrap=mini_buffers_destroy",
         *(f"{folder}/{name}" for name in ("httpd", "echo", "forward"))],
        env={k: v for k, v in os.environ.items() if k != "MAKEFLAGS"})
    if done.returncode:
        sys.exit("soak: the build FAILED")
    return os.path.join(STAGE, folder)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--minutes", type=float, default=1)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    programs.raise_open_files()
    builds = {variant: build(variant) for variant in ("plain", "asan")}
    programs.RING_MISSES = ""
    programs.BUILD = builds["plain"]
    ring_misses = programs.why_no_ring()
    runs = [(backend, variant) for variant in builds
            for backend in ("uring", "poll")
            if options.only in f"{backend}/{variant}"]
    seconds = options.minutes * 60 / len(runs)
    progress = Progress(options.minutes * 60)
    print(f"seed {options.seed}", flush=True)
    total = skipped = 0
    for backend, variant in runs:
        if backend == "uring" and ring_misses:
            progress.say(f"{backend}/{variant} skipped: {ring_misses}")
            skipped += 1
            continue
        programs.BUILD = builds[variant]
        try:
            total += soak(variant, backend, seconds, options.seed, progress)
        except (Failure, programs.Skip, OSError) as error:
            progress.say(f"{backend}/{variant}: {error}\n"
                         f"soak: FAILED, seed {options.seed}")
            return 1
    progress.say(f"soak: {total} peers in {options.minutes:g} min, seed "
                 f"{options.seed}: all held"
                 + (f", {skipped} of {len(runs)} runs skipped" if skipped
                    else ""))
    return 0


if __name__ == "__main__":
    sys.exit(main())
