#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""How fast is the last stage? Beside the limit, and beside others.

    run.py                     everything, in under ten minutes
    run.py yield               the rows with "yield" in their name
    run.py feature             what each feature of the ring's gives; only so
    run.py --rounds 15         more rounds: narrower figures
    run.py --list              only the names of the rows

Each row has our program, one or two limits (bare loops that do only what
cannot be avoided) and peers, as far as they are installed. They run in turn,
round by round, on the same CPUs; a ratio is taken within a round, and the
tables have medians of the rounds. Absolute figures are this machine's, now:
compare the ratios.

Before each row the machine has to be quiet: a program spins on the CPUs until
it finds no gaps. How long is waited for that is limited, and the last lines
say if it was in vain. Writes bench.json and bench.svg into tests/bench/build/.

The exit status is 0 unless something cannot be built or one of our programs
fails: a machine that is slow or busy makes no failure.
"""

import argparse
import fnmatch
import json
import os
import platform
import re
import resource
import shutil
import statistics
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.dont_write_bytecode = True

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
STAGE = ROOT / "stage06-signals"
BUILD = HERE / "build"
LIBRARY = STAGE / "build" / "libminiss.a"
sys.path.insert(0, str(HERE))

import plot
import rows
from rows import EXAMPLES, GROWTH, SOURCES, Run, Server

MAKE = os.environ.get("MAKE") or shutil.which("gmake") or "make"
CC = os.environ.get("CC") or ("gcc" if shutil.which("gcc") else "cc")
CXX = os.environ.get("CXX") or ("g++" if shutil.which("g++") else "c++")
FLAGS = "-O2 -g -Wall -Wextra -Wpedantic -Werror -pthread -D_GNU_SOURCE".split()

QUIET = 2.0  # percent of its time that a CPU may lose
PATIENCE = 0.15  # of the time for everything that may be waited for quiet
LOST = 5.0  # percent of its time that a load generator may lose
PROGRAM_SECONDS = 60  # what one program may take
SLOW = f"takes over {PROGRAM_SECONDS} s here"


# a server for all users, nginx for instance, is not in the path of one
os.environ["PATH"] += ":/usr/sbin"


def stop(message):
    sys.exit(f"bench: {message}")


def progress(text):
    if sys.stderr.isatty():
        width = shutil.get_terminal_size().columns - 1
        print("\r" + text[:width].ljust(width), end="\r", file=sys.stderr)


def program(name):
    return str((STAGE / "build" if name in EXAMPLES else BUILD) / name)


def names_of(one):
    """Of a Run or a Server: the programs it takes."""
    return {one.program, getattr(one, "generator", one.program)}


def command(one):
    """Of a Run or a Server: the words to start it with."""
    file = SOURCES[one.program].file if one.program in SOURCES else ""
    first = ([sys.executable, str(HERE / file)] if file.endswith(".py")
             else [program(one.program)])
    return [*first, *one.arguments]


# --- building ----------------------------------------------------------------


def compiler(source):
    if source.file.endswith(".cpp"):
        return [*CXX.split(), "-std=c++17"]
    return [*CC.split(), "-std=c11"]


def is_there(source):
    """Is the command or the header there, and the compiler for it?"""
    if source.file.endswith(".py"):
        return bool(shutil.which(source.needs))
    if not source.needs:
        return True
    try:
        done = subprocess.run(
            [*compiler(source), "-E", "-x",
             "c++" if source.file.endswith(".cpp") else "c", "-"],
            input=f"#include <{source.needs}>\n", text=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    except OSError:
        return False
    return done.returncode == 0


def is_new(target, source):
    """Was it made of what is there now?"""
    if not target.exists():
        return False
    made = target.stat().st_mtime
    of = [HERE / source.file, LIBRARY, Path(__file__), HERE / "rows.py",
          *HERE.glob("*.h")]
    return all(path.stat().st_mtime < made for path in of)


def build_one(name):
    source, target = SOURCES[name], BUILD / name
    if source.file.endswith(".py") or is_new(target, source):
        return None
    ours = [str(LIBRARY)] if name.endswith("_mini") else []
    uring = ["-luring"] if ours and has_liburing() else []
    done = subprocess.run(
        [*compiler(source), *FLAGS, f"-I{STAGE}", str(HERE / source.file),
         *ours, *source.link, *uring, "-o", str(target)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.stdout if done.returncode else None


def has_liburing():
    done = subprocess.run(["nm", "-u", str(LIBRARY)], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True)
    return "io_uring_queue" in done.stdout


def build(names):
    """Builds what the rows need; says who is left out. The names that are."""
    progress("building stage 6")
    made = subprocess.run([MAKE, "-s", "-C", str(STAGE)],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True)
    if made.returncode:
        stop(f"{STAGE.name} does not build:\n{made.stdout}")
    BUILD.mkdir(exist_ok=True)
    missing = [n for n in names if not is_there(SOURCES[n])]
    for whose in sorted({SOURCES[n].whose for n in missing}):
        print(f"left out: {whose} is not here ('make deps-bench' installs it)")
    names = [n for n in names if n not in missing]
    progress("building the programs")
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for name, error in zip(names, pool.map(build_one, names)):
            if error:
                stop(f"{SOURCES[name].file} does not compile:\n{error}")
    return set(missing)


# --- running -----------------------------------------------------------------


class Machine:
    """The CPUs, and whether they are quiet."""

    def __init__(self, seconds):
        self.all = sorted(os.sched_getaffinity(0))
        self.pair = [self.all[0], self.all[len(self.all) // 2]]
        self.patience = seconds * PATIENCE
        self.waited, self.noisy, self.checks = 0.0, 0, 0

    def start(self, command, cpus, **options):
        """A process that has been on these CPUs from its beginning."""
        os.sched_setaffinity(0, cpus)
        try:
            return subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                text=True, **options)
        finally:
            os.sched_setaffinity(0, self.all)

    def output(self, command, cpus):
        """(the words that a program prints, None), or (None, why not)."""
        process = self.start(command, cpus)
        try:
            out, error = process.communicate(timeout=PROGRAM_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            return None, SLOW
        if process.returncode:
            return None, error.strip() or f"status {process.returncode}"
        return out.split(), None

    def under_load(self, server):
        """What the load generator prints of a server: (a dict, None)."""
        process = self.start(command(server),
                             self.pair if server.wide else self.pair[1:])
        limit = threading.Timer(2 * PROGRAM_SECONDS, process.kill)
        limit.start()
        try:
            match = re.match(r"listening on \S+:(\d+)",
                             process.stdout.readline())
            if not match:
                return None, process.stderr.read().strip() or "no port"
            kind, *load = server.load
            words, error = self.output(
                command(Run(server.generator,
                            [kind, match[1], str(process.pid), *load])),
                self.pair[:1])
            if error:
                return None, error
            return dict(zip(words[::2], map(float, words[1::2]))), None
        finally:
            limit.cancel()
            process.kill()
            process.communicate()

    def wait_until_quiet(self, measurements_left):
        """For at most this measurement's share of what patience is left."""
        began = time.monotonic()
        limit = min(5, 3 * self.patience / max(3, measurements_left))
        self.checks += 1
        while True:
            out, error = self.output([str(BUILD / "quiet")], self.pair)
            spent = time.monotonic() - began
            if error is None and float(out[0]) <= QUIET:
                break
            if spent > limit:
                self.noisy += 1
                break
            time.sleep(0.02)
        self.patience -= max(0, spent - 0.03)
        self.waited += max(0, spent - 0.03)


class Results:
    """Values by row and who, a list of rounds each, None where there is none."""

    def __init__(self):
        self.values = {}
        self.details = {}  # (row, who): all that a load generator said
        self.failed = {}  # (row, who): why
        self.dropped = 0
        self.unclean = False  # some have no round that was not dropped

    def add(self, row, who, number, value):
        rounds = self.values.setdefault((row.name, who), [])
        rounds += [None] * (number + 1 - len(rounds))
        rounds[number] = value

    def add_details(self, row, who, number, details):
        """Of a server; to be dropped if the load generator lost time, and not
        to the server."""
        if row.runs[who].wide:
            details["lost"] = 0
        self.details.setdefault((row.name, who), []).append(details)
        lost = details["lost"] > LOST
        self.dropped += lost
        self.add(row, who, number,
                 None if lost else details[row.runs[who].value])

    def good_details(self, row, who):
        there = self.details.get((row.name, who), [])
        return [d for d in there if d["lost"] <= LOST] or there

    def settle(self, chosen):
        """Where all rounds were dropped, all count."""
        for row in chosen:
            for who in row.runs:
                there = self.details.get((row.name, who), [])
                if there and not self.of(row, who):
                    self.unclean = True
                    self.values[row.name, who] = [
                        details[row.runs[who].value] for details in there]

    def of(self, row, who):
        return [v for v in self.values.get((row.name, who), [])
                if v is not None]

    def median(self, row, who):
        return statistics.median(self.of(row, who))

    def best(self, row, among):
        """Who of these has the best median, None if nobody has one."""
        there = [who for who in among if self.of(row, who)]
        choose = max if row.rate else min
        return choose(there, key=lambda who: self.median(row, who),
                      default=None)

    def ratio(self, row, who):
        """Ours to theirs, round by round; the median of those."""
        ours = self.values.get((row.name, "ours"), [])
        theirs = self.values.get((row.name, who), [])
        ratios = [a / b for a, b in zip(ours, theirs) if a and b]
        if not ratios and self.of(row, who) and self.median(row, who):
            return self.median(row, "ours") / self.median(row, who)
        return statistics.median(ratios) if ratios else None


def measure(machine, row, who, results, number):
    one = row.runs[who]
    cpus = machine.pair[-1:] if row.cpus == 1 else machine.pair
    if isinstance(one, Server):
        details, error = machine.under_load(one)
        if error is None:
            results.add_details(row, who, number, details)
    else:
        words, error = machine.output(command(one), cpus)
        if error is None:
            results.add(row, who, number, row.value(float(words[0])))
    if error is None:
        return
    if who == "ours" and error != SLOW:
        stop(f"{one.program} {' '.join(one.arguments)}: {error}")
    results.failed[row.name, who] = error


def run_rounds(chosen, missing, options):
    machine, results = Machine(options.minutes * 60), Results()
    began, longest, number = time.monotonic(), 0, 0
    while number < options.rounds:
        started = time.monotonic()
        if started - began + longest > options.minutes * 60:
            break
        for n, row in enumerate(chosen):
            left = (options.rounds - number) * len(chosen) - n
            machine.wait_until_quiet(left)
            # each begins once, so that none always follows the same one
            order = [who for who in row.runs
                     if not names_of(row.runs[who]) & missing
                     and (row.name, who) not in results.failed
                     and (number % 3 == 0 or who not in row.seldom)]
            turn = number % max(1, len(order))
            for who in order[turn:] + order[:turn]:
                progress(f"round {number + 1} of {options.rounds}: "
                         f"{row.name}: {who}")
                measure(machine, row, who, results, number)
        longest = max(longest, time.monotonic() - started)
        number += 1
    progress("")
    results.settle(chosen)
    return machine, results, number


# --- reporting ---------------------------------------------------------------


def figure(value):
    if value is None:
        return "-"
    if value >= 999.5:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value < 99.95 else f"{value:.0f}"


def details_of(chosen, results):
    """Every program's figures; of servers, also what the load has seen."""
    yield ("row", "unit", "who", "median", "min", "max", "requests/s",
           "p50, us", "p99, us", "p99.9, us")
    for row in chosen:
        for who in row.runs:
            values = results.of(row, who)
            if not values:
                continue
            load = results.good_details(row, who)
            yield (row.name, row.unit, who,
                   *(figure(f(values)) for f in (statistics.median, min, max)),
                   *(figure(statistics.median(d[key] for d in load))
                     if load and key in load[0] else ""
                     for key in ("rate", "p50", "p99", "p999")))


def goals_of(row, results, limit, peer):
    """The goals as text, each with whether it was reached."""
    parts = []
    for goal in row.goals:
        value = {"limit": lambda: limit and results.ratio(row, limit),
                 "peer": lambda: peer and results.ratio(row, peer),
                 "value": lambda: results.median(row, "ours")}[goal.of]()
        if value is None:
            continue
        met = value >= goal.bound if row.rate else value <= goal.bound
        sign = ">=" if row.rate else "<="
        unit = {"limit": " x", "peer": " x peer",
                "value": f" {row.unit}"}[goal.of]
        parts.append(f"{sign} {goal.bound:g}{unit} "
                     f"{'met' if met else 'MISSED'}")
    return ", ".join(parts)


def summary_of(chosen, results):
    yield ("row", "unit", "ours", "limit", "", "best peer", "", "x limit",
           "x peer", "goal")
    for row in chosen:
        limit = results.best(row, row.limits)
        peer = results.best(row, row.peers)
        to_limit = limit and results.ratio(row, limit)
        to_peer = peer and results.ratio(row, peer)
        yield (row.name, row.unit, figure(results.median(row, "ours")),
               figure(limit and results.median(row, limit)), limit or "",
               figure(peer and results.median(row, peer)), peer or "",
               f"{to_limit:.2f}" if to_limit else "-",
               f"{to_peer:.2f}" if to_peer else "-",
               goals_of(row, results, limit, peer))


def print_table(lines, left):
    """The columns LEFT begin, the others end below each other. What is the same
    as in the line above is left out in the first two."""
    lines, above = list(lines), None
    widths = [max(map(len, column)) for column in zip(*lines)]
    for line in lines:
        same = above is not None and line[:2] == above[:2]
        shown = ("", "", *line[2:]) if same else line
        print("  ".join(
            text.ljust(width) if n in left else text.rjust(width)
            for n, (text, width) in enumerate(zip(shown, widths))).rstrip())
        above = line


def print_growth(chosen, results):
    by_name = {row.name: row for row in chosen}
    for growth in GROWTH:
        if growth.small not in by_name or growth.large not in by_name:
            continue
        small, large = by_name[growth.small], by_name[growth.large]
        ours = results.median(large, "ours") / results.median(small, "ours")
        text = f"growth to '{large.name}': ours {ours:.2f}"
        limit = results.best(large, large.limits)
        if limit and results.of(small, limit):
            theirs = (results.median(large, limit)
                      / results.median(small, limit))
            met = "met" if ours / theirs <= growth.bound else "MISSED"
            text += (f", {limit} {theirs:.2f}, ratio {ours / theirs:.2f} "
                     f"(goal <= {growth.bound:g}: {met})")
        print(text)


def print_remarks(machine, results, rounds, options):
    for (row, who), why in sorted(results.failed.items()):
        print(f"left out: {who} of '{row}': {why.splitlines()[-1]}")
    if rounds < options.rounds:
        print(f"{rounds} of {options.rounds} rounds: {options.minutes:g} "
              "minutes were over (--minutes)")
    if results.dropped:
        print(f"dropped: {results.dropped} measurements of servers, in which "
              f"the load generator lost over {LOST:g} % of its time"
              + ("; where that was all of them, they count" *
                 results.unclean))
    if machine.noisy:
        print(f"noise: {machine.noisy} of {machine.checks} measurements began "
              f"on a machine that was not quiet, after {machine.waited:.0f} s "
              "of waiting: look at the ratios, and at min and max")


def write_json(chosen, results, rounds):
    data = {
        "system": f"{platform.system()} {platform.release()} "
                  f"({platform.machine()})",
        "rounds": rounds,
        "rows": [{
            "name": row.name,
            "unit": row.unit,
            "limits": row.limits,
            "peers": row.peers,
            "values": {who: results.values.get((row.name, who), [])
                       for who in row.runs},
            "details": {who: results.details[row.name, who]
                        for who in row.runs
                        if (row.name, who) in results.details},
            "ratios": {who: results.ratio(row, who) for who in row.runs
                       if who != "ours"},
        } for row in chosen],
    }
    text = json.dumps(data, indent=1, ensure_ascii=False) + "\n"
    (BUILD / "bench.json").write_text(text, encoding="utf-8")
    return data


def chosen_rows(pattern):
    if not pattern:
        return list(rows.rows())
    every = [*rows.rows(), *rows.features()]
    wild = pattern.lower() if "*" in pattern else f"*{pattern.lower()}*"
    found = [r for r in every if fnmatch.fnmatch(r.name.lower(), wild)]
    if not found:
        stop(f"no row matches '{pattern}': --list shows their names")
    return found


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pattern", nargs="?", help="a part of a row's name")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--minutes", type=float, default=9,
                        help="no round begins that would end later")
    parser.add_argument("--list", action="store_true", help="run nothing")
    options = parser.parse_args()
    if options.rounds < 1:
        stop("--rounds must be 1 or more")
    return options


def main():
    options = arguments()
    if not hasattr(os, "sched_setaffinity"):
        stop("pinning programs to CPUs needs Linux")
    if options.list:
        options.pattern = options.pattern or "*"
    chosen = chosen_rows(options.pattern)
    if options.list:
        print("\n".join(row.name for row in chosen))
        return 0
    if len(os.sched_getaffinity(0)) < 2:
        print("left out: what needs two CPUs; this process may use one")
        chosen = [row for row in chosen if row.cpus == 1]
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    names = {"quiet"}.union(*(names_of(one) for row in chosen
                              for one in row.runs.values()))
    missing = build(sorted(names - EXAMPLES))
    machine, results, rounds = run_rounds(chosen, missing, options)
    if rounds == 0:
        stop("no time for a round: --minutes must be more")
    chosen = [row for row in chosen if results.of(row, "ours")]
    print_table(details_of(chosen, results), {0, 1, 2})
    print()
    print_table(summary_of(chosen, results), {0, 1, 4, 6, 9})
    print_growth(chosen, results)
    print_remarks(machine, results, rounds, options)
    plot.write(BUILD / "bench.svg", write_json(chosen, results, rounds))
    print(f"{rounds} rounds; also in {os.path.relpath(BUILD)}: "
          "bench.json, bench.svg")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
