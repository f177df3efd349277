# SPDX-License-Identifier: MIT
"""make tour: shows what each of the six stages can do, in order.

Runs the examples that are new in a stage, checks how they end and what they
say, and closes with the stage-6 server on all cores, driven by real TCP
clients, on both I/O backends. The stages must be built (`make all`).

The exit status is 0 only if all that was shown went well. What this machine
forbids (io_uring, in many containers) is left out, and said.
"""

import http.client
import os
import re
import resource
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import namedtuple
from pathlib import Path

sys.dont_write_bytecode = True

import doctor
import guarantees
import ladderlib
from ladderlib import ROOT, number

SECONDS = 60  # what one program may take
BUILD = "build/portable" if os.environ.get("PORTABLE") == "1" else "build"
PLAIN = ("MINI_IO", "MAKEFLAGS", "MFLAGS", "MAKELEVEL")
ENVIRONMENT = {k: v for k, v in os.environ.items() if k not in PLAIN}

# What stage NN adds, in the fewest words, and what a newcomer should see.
Stage = namedtuple("Stage", "adds shows")
STAGES = {
    "01": Stage(
        "tasks and futures",
        "many tasks take turns on one thread, and can be cancelled"),
    "02": Stage(
        "time",
        "tasks sleep, time out and repeat; an idle program really sleeps"),
    "03": Stage(
        "a channel between threads",
        "two executors on two threads, no lock, and no wake-up lost"),
    "04": Stage(
        "a shard on every core",
        "shards share nothing; they call each other by messages"),
    "05": Stage(
        "sockets and files",
        "one program, two ways to the kernel: io_uring and poll(2)"),
    "06": Stage(
        "signals, a graceful end",
        "a server on all cores that can be looked into, and stopped"),
}

# An example: what it shows, and what its output must have, in this order.
# Those that depend on the time may have a second try, on a busy machine.
Example = namedtuple("Example", "name shows output timed", defaults=[False])
EXAMPLES = {
    "01": [
        Example("hello", "one async function, run to its end",
                ["hello, line 1", "hello, line 3", "result is 42"]),
        Example("pingpong", "two tasks take turns through two semaphores",
                ["ping 1", "pong 1", "ping 3", "pong 3", "6 strokes"]),
        Example("select", "the first of two wins; the loser cleans up",
                ["the hare is through", "the tortoise is cancelled",
                 "the tortoise has cleaned up", "winner: number 1"]),
    ],
    "02": [
        Example("timers", "a sleep, two timeouts, an interval",
                ["slept 50 ms", "in time", "timed out", "tick 5 at"], True),
        Example("periodic", "every 100 ms, cancelled after 550 ms",
                ["beat 1", "beat 5", "final count: 5"], True),
    ],
    "03": [
        Example("threads", "a million items from thread to thread",
                ["received 1000000 items, their sum is 500000500000"]),
    ],
    "04": [
        Example("shards", "a call to another shard, all-to-all, map-reduce",
                [r"shard (\d+) says it is \1", r"10000 calls each: \d+"]),
    ],
}


class Failure(Exception):
    """One line that says what did not go well."""


def bold(text):
    plain = os.environ.get("NO_COLOR") or not sys.stdout.isatty()
    return text if plain else f"\033[1m{text}\033[m"


def say(text, indent=6):
    for line in text.rstrip("\n").split("\n"):
        print(" " * indent + line.rstrip(), flush=True)


def program(stage, name):
    path = stage / BUILD / name
    if not os.access(path, os.X_OK):
        raise Failure(
            f"{path.relative_to(ROOT)} is not there: run `make"
            f" stage{number(stage)}`")
    return str(path.relative_to(ROOT))


def status(code):
    """How a program ended, in words."""
    if code < 0:
        return f"was killed by {signal.Signals(-code).name}"
    return f"ended with status {code}"


def must_have(name, output, wanted):
    """All patterns, one behind the other."""
    at = 0
    for pattern in wanted:
        match = re.compile(pattern).search(output, at)
        if not match:
            raise Failure(f"{name} did not say '{pattern}'")
        at = match.end()


# --- one program, run to its end ------------------------------------------


def run(command, wanted, **environment):
    """Run a program, show its output, check both."""
    name = os.path.basename(command[0])
    say("$ " + " ".join([f"{k}={v}" for k, v in environment.items()] + command))
    try:
        done = subprocess.run(
            command, cwd=ROOT, env={**ENVIRONMENT, **environment},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, timeout=SECONDS)
    except subprocess.TimeoutExpired as late:
        say((late.stdout or b"").decode(errors="replace"))
        raise Failure(f"{name} still ran after {SECONDS} s") from None
    output = done.stdout.decode(errors="replace")
    if output:
        say(output)
    if done.returncode != 0:
        raise Failure(f"{name} {status(done.returncode)}")
    must_have(name, output, wanted)


def show(stage, example):
    say(f"{example.name}: {example.shows}", 2)
    command = [program(stage, example.name)]
    try:
        run(command, example.output)
    except Failure as failure:
        if not example.timed:
            raise
        say(f"once more, for this machine may be busy: {failure}")
        run(command, example.output)


# --- one program, run until it is sent SIGTERM -----------------------------


class Service:
    """A program that runs beside us; its output is shown as it comes."""

    def __init__(self, command, **environment):
        self.name = os.path.basename(command[0])
        words = [f"{k}={v}" for k, v in environment.items()] + command
        say("$ " + " ".join(words) + " &")
        self.process = subprocess.Popen(
            command, cwd=ROOT, env={**ENVIRONMENT, **environment},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT)
        self.output, self.shown = b"", 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()  # no effect if it has ended
        self.process.wait()
        self.process.stdout.close()

    def more(self, seconds):
        """Show the lines that it says next, within a time; False at its end."""
        pipe = self.process.stdout.fileno()
        if not select.select([pipe], [], [], max(seconds, 0))[0]:
            return True
        part = os.read(pipe, 65536)
        self.output += part
        end = self.output.rfind(b"\n") + 1 if part else len(self.output)
        if end > self.shown:
            say(self.output[self.shown:end].decode(errors="replace"))
            self.shown = end
        return bool(part)

    def wait_for(self, pattern, words):
        """Its output up to the line that has the pattern, which is what WORDS
        are for people; the match."""
        limit = time.monotonic() + SECONDS
        while time.monotonic() < limit:
            lines = self.output[: self.output.rfind(b"\n") + 1]
            match = re.search(pattern, lines.decode(errors="replace"))
            if match:
                return match
            if not self.more(limit - time.monotonic()):
                how = status(self.process.wait())
                raise Failure(f"{self.name} {how} before it said {words}")
        raise Failure(f"{self.name} did not say {words} in {SECONDS} s")

    def end(self, expected):
        """Send SIGTERM; the exit status must be the expected one."""
        say("$ kill -TERM %1")
        self.process.send_signal(signal.SIGTERM)
        limit = time.monotonic() + SECONDS
        while time.monotonic() < limit:
            if not self.more(limit - time.monotonic()):
                break
        try:
            code = self.process.wait(1)
        except subprocess.TimeoutExpired:
            raise Failure(f"{self.name} did not end on SIGTERM") from None
        if code != expected:
            raise Failure(f"{self.name} {status(code)} on SIGTERM")


# --- stages 5 and 6 ----------------------------------------------------------


def io_uring_missing(stage):
    """Why the io_uring backend cannot be shown here, or None."""
    make = shutil.which("gmake") or "make"
    done = subprocess.run(
        [make, "-s", "-C", str(stage), "backends"], env=ENVIRONMENT,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if b"uring" not in done.stdout.split():
        return ("this is the portable build" if "portable" in BUILD else
                "built without liburing 2.3 (`make deps` installs it)")
    state, found, why = doctor.check_io_uring()
    return None if state == doctor.OK else f"{found}; {why}"


def on_each_backend(stage, shown):
    """Show something on both backends; what was left out, or None."""
    missing = io_uring_missing(stage)
    if missing:
        say(f"io_uring: skipped: {missing}", 2)
    else:
        shown(stage, "uring")
    shown(stage, "poll")
    return "uring skipped" if missing else None


LISTENING = r"listening on ([\d.]+):(\d+) \((\w+)[^;]*; (\d+) shards?\)"


def serve(stage, backend, name, *options):
    """Start a server; it, and its port."""
    service = Service(
        [program(stage, name), "--port", "0", *options], MINI_IO=backend)
    try:
        match = service.wait_for(LISTENING, "where it listens")
        if match[3] != backend:
            raise Failure(f"{name} runs on {match[3]} in spite of MINI_IO")
    except BaseException:
        service.__exit__()
        raise
    return service, match[2]


def load(stage, backend, port, connections, messages, size):
    client = [program(stage, "echo_client"), "--port", port]
    client += ["--connections", connections, "--messages", messages]
    run(client + ["--size", size], [f"{connections} of {connections} conn"],
        MINI_IO=backend)


def echo_small(stage, backend):
    say(f"echo over {backend}: a server and ten clients", 2)
    service, port = serve(stage, backend, "echo", "--shards", "2")
    with service:
        load(stage, backend, port, "10", "100", "64")
        service.end(-signal.SIGTERM)
    say("(killed: what to do with a signal comes in stage 6)")


def copy(stage, backend):
    say(f"copy over {backend}: many reads and writes in flight", 2)
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "from"), Path(folder, "to")
        source.write_bytes(os.urandom(5_000_001))
        run([program(stage, "copy"), str(source), str(target)], [],
            MINI_IO=backend)
        if source.read_bytes() != target.read_bytes():
            raise Failure("the copy is not like what was copied")
    say("(5,000,001 bytes, all the same)")


def datagrams(stage, backend):
    say(f"udp-echo over {backend}: a datagram there and back", 2)
    service, port = serve(stage, backend, "udp-echo")
    with service, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(SECONDS)
        client.connect(("127.0.0.1", int(port)))
        client.send(b"are you there?")
        got = client.recv(100)
        say(f"it answers '{got.decode(errors='replace')}'")
        if got != b"are you there?":
            raise Failure("udp-echo did not send back what it got")
        service.end(-signal.SIGTERM)


def sockets_and_files(stage, backend):
    echo_small(stage, backend)
    datagrams(stage, backend)
    copy(stage, backend)


def echo_to(port, count):
    """COUNT connections from here, which the server has answered on."""
    sockets = []
    for n in range(count):
        one = socket.create_connection(("127.0.0.1", int(port)), SECONDS)
        sockets.append(one)
        sent = f"from connection {n}".encode()
        one.sendall(sent)
        got = b""
        while len(got) < len(sent):
            part = one.recv(len(sent) - len(got))
            if not part:
                raise Failure(f"connection {n} was closed instead of answered")
            got += part
        if got != sent:
            raise Failure(f"connection {n} got {got!r} instead of {sent!r}")
    return sockets


def echo_full(stage, backend):
    say(f"echo over {backend}: on all cores, under load, looked into, stopped",
        2)
    service, port = serve(stage, backend, "echo", "--shards", "0")
    with service:
        load(stage, backend, port, "500", "200", "512")
        sockets = echo_to(port, 2)
        say("$ kill -USR1 %1    # two connections are open: what waits where?")
        service.process.send_signal(signal.SIGUSR1)
        service.wait_for(r"(?s)(?=.*> mini_serve)(?=.*> echo.*> echo)",
                         "what the server and both connections wait for")
        for one in sockets:
            one.close()
        service.end(0)
    say("(ended gracefully, status 0)")


def web(stage, backend):
    """A browser's request takes the way through two of our servers."""
    say(f"httpd over {backend}: this project's files, seen through forward", 2)
    there, port = serve(stage, backend, "httpd", "--root", ".")
    with there:
        here, gate = serve(
            stage, backend, "forward", "--to", f"127.0.0.1:{port}")
        with here:
            client = http.client.HTTPConnection(
                "127.0.0.1", int(gate), timeout=SECONDS)
            client.request("GET", "/README.md")
            answer = client.getresponse()
            say(f"GET /README.md: {answer.status}, {answer.length} bytes")
            if answer.read() != (ROOT / "README.md").read_bytes():
                raise Failure("the file is not what httpd was to send")
            client.close()
            here.end(0)
        there.end(0)


def servers(stage, backend):
    echo_full(stage, backend)
    web(stage, backend)


def graceful(stage):
    say("graceful: work until SIGTERM, then 100 ms of clean-up", 2)
    with Service([program(stage, "graceful")]) as service:
        service.wait_for("working; stop me", "that it works")
        service.end(0)
        must_have("graceful", service.output.decode(errors="replace"),
                  ["cleaning up", "stopped by SIGTERM"])


# --- the tour ----------------------------------------------------------------


def tour_of(stage):
    """Show one stage; a remark for the table, or None."""
    for example in EXAMPLES.get(number(stage), []):
        show(stage, example)
    if number(stage) == "05":
        return on_each_backend(stage, sockets_and_files)
    if number(stage) == "06":
        graceful(stage)
        return on_each_backend(stage, servers)
    return None


def visit(stage):
    """Show one stage; what came of it, in a word or two."""
    title = f"Stage {int(number(stage))}, {stage.name[8:]}"
    print(f"\n{bold(title)}: {STAGES[number(stage)].shows}", flush=True)
    try:
        remark = tour_of(stage)
    except BrokenPipeError:
        raise  # nobody reads what we show
    except (Failure, OSError) as failure:
        sys.stdout.flush()
        print(f"tour: {stage.name}: {failure}", file=sys.stderr, flush=True)
        return "FAILED"
    return f"ok ({remark})" if remark else "ok"


def lines_changed(old, new):
    """(lines added, lines removed) by a stage, as the table shows them."""
    if old and not shutil.which("git"):
        return "no git", ""
    step = ladderlib.Step(old, new)
    return str(step.added), str(step.removed) if old else ""


def promises_of(stage):
    """How many guarantees a stage adds."""
    promises = guarantees.promises_of(stage, []).values()
    return sum(
        promise.kind == "guarantee"
        and guarantees.stage_number(promise.id) == number(stage)
        for promise in promises)


def summary(results):
    row = "{:<18}{:<26}{:>8}{:>8}{:>11}  {}".format
    print("\n" + bold(row("stage", "what it added", "lines +", "lines -",
                          "guarantees", "result")))
    old = None
    for stage, result in results:
        added, removed = lines_changed(old, stage)
        print(row(stage.name, STAGES[number(stage)].adds, added, removed,
                  promises_of(stage), result))
        old = stage


def raise_file_limit():
    """500 clients here, 500 connections there: more than some shells allow."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = hard == resource.RLIM_INFINITY
    if soft != resource.RLIM_INFINITY and soft < 2048:
        wanted = 2048 if unlimited else min(2048, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def main():
    start = time.monotonic()
    raise_file_limit()
    results = [(stage, visit(stage)) for stage in ladderlib.stages()]
    summary(results)
    failed = sum(result == "FAILED" for _, result in results)
    seconds = time.monotonic() - start
    if failed:
        print(f"\n{failed} of {len(results)} stages FAILED: see the lines that"
              " begin with `tour:` above; `make doctor` may know why")
        return 1
    print(f"\nAll {len(results)} stages work here ({seconds:.0f} s). Next:"
          " `make check` runs the tests;\nthen open"
          f" {results[0][0].name}/README.md.")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit("\ntour: interrupted")
