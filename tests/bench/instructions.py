#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Counts the instructions of the last stage's hot paths, and compares them with
the table in instructions.txt. Noise does not touch them.

    instructions.py                    fails if one has grown by more than 3 %
    instructions.py --update REASON    writes the table anew; lines that change
                                       get the reason

A count is that of one operation, everything included that the turn does for
it; the kernel's part is not. It is the difference between two runs of a
benchmark program under Valgrind's callgrind, one of which does more.

Another compiler makes other instructions: then the table does not apply, and
this says "skipped". So it does where there is no Valgrind.
"""

import argparse
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.dont_write_bytecode = True

import run
from rows import PATHS, SOURCES

TABLE = Path(__file__).resolve().parent / "instructions.txt"
TABLE_NAME = os.path.relpath(TABLE, run.ROOT)
GROWTH = 0.03
FEW, MANY = 2, 3  # slices of the two runs


def output_of(*command):
    try:
        return subprocess.run(command, stdout=subprocess.PIPE, check=True,
                              text=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return ""


def compiler():
    """What the counts depend on: 'gcc 12 for x86_64-linux-gnu, glibc 2.36'."""
    words = run.CC.split()
    kind = "clang" if "clang" in output_of(*words, "--version") else "gcc"
    major = output_of(*words, "-dumpversion").strip().split(".")[0]
    machine = output_of(*words, "-dumpmachine").strip()
    libc = " ".join(os.confstr("CS_GNU_LIBC_VERSION").split())
    return f"{kind} {major} for {machine}, {libc}"


def callgrind(path, slices):
    """(instructions, operations of a slice)."""
    done = subprocess.run(
        ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null",
         run.program(path.program), *path.arguments],
        env={**os.environ, **path.environment, "BENCH_SLICES": str(slices)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    count = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode or not count:
        return None
    return int(count[1]), int(done.stdout.split()[1])


def count(path):
    """Instructions of one operation; None if it does not run here."""
    few, many = callgrind(path, FEW), callgrind(path, MANY)
    if not few or not many:
        return None
    return (many[0] - few[0]) / ((MANY - FEW) * many[1])


def count_again(counts, table):
    """Those that have grown: a kernel that was busy hands over in more parts,
    and the lesser count is what the path takes."""
    for path in PATHS:
        first, before = counts[path.name], table.get(path.name, (None,))[0]
        if first and before and first > before * (1 + GROWTH):
            counts[path.name] = min(first, count(path) or first)


def read_table():
    """(whose it is, {name: (count, reason)})."""
    whose, lines = "", {}
    text = TABLE.read_text(encoding="utf-8") if TABLE.exists() else ""
    for line in text.splitlines():
        if line.startswith("# for "):
            whose = line[6:]
        elif line and line[0] != "#":
            name, number, reason = (part.strip() for part in line.split("|"))
            lines[name] = (float(number), reason)
    return whose, lines


def write_table(counts, old, reason):
    lines = [
        "# SPDX-License-Identifier: MIT",
        "# Instructions of one operation on the hot paths of the last stage, and"
        " why the",
        "# count last changed. `make bench-instructions` compares;"
        " WHY='a reason' writes.",
        f"# for {compiler()}",
        "",
    ]
    for path in PATHS:
        number = counts[path.name]
        before, why = old.get(path.name, (None, ""))
        if number is None:
            if before is None:
                continue
            number = before
        elif before is None or abs(number - before) > 0.001 * before:
            why = reason
        else:
            number = before
        lines.append(f"{path.name:42} | {number:8.1f} | {why}")
    TABLE.write_text("\n".join(lines) + "\n", encoding="utf-8")


def compare(counts, table):
    """Prints a line for each; how many have grown too much, are not in the
    table, or do not run though every machine can: only a ring of io_uring may be
    forbidden."""
    grown = 0
    for path in PATHS:
        number = counts[path.name]
        before = table.get(path.name, (None,))[0]
        if number is None:
            grown += path.environment.get("MINI_IO") != "uring"
            print(f"{path.name:42} not counted: it does not run here")
        elif before is None:
            grown += 1
            print(f"{path.name:42} {number:8.1f} is not in the table")
        else:
            change = number / before - 1
            grown += change > GROWTH
            mark = "GROWN" if change > GROWTH else (
                "less: put it in the table" if change < -GROWTH else "")
            print(f"{path.name:42} {number:8.1f} {100 * change:+6.1f} % {mark}"
                  .rstrip())
    return grown


def main():
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--update", metavar="REASON")
    options = parser.parse_args()
    if not output_of("valgrind", "--version"):
        print("skipped: no Valgrind here ('make deps-bench' installs it)")
        return 0
    whose, table = read_table()
    if not options.update and whose != compiler():
        print(f"skipped: {TABLE_NAME} is for {whose or 'nobody yet'}; "
              f"this is {compiler()}")
        return 0
    run.build(sorted({path.program for path in PATHS} & set(SOURCES)))
    run.progress("counting")
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        counts = dict(zip((path.name for path in PATHS),
                          pool.map(count, PATHS)))
    count_again(counts, table)
    run.progress("")
    grown = compare(counts, table)
    if options.update:
        write_table(counts, table, options.update)
        print(f"written: {TABLE_NAME}")
        return 0
    if grown:
        print(f"bench: {grown} of the hot paths do not run, are new, or take over "
              f"{GROWTH:.0%} more instructions than the table says: make them "
              "cheaper, or, if that is worth it, put the new counts and the "
              f"reason into the table: make bench-instructions WHY='...' ({TABLE_NAME})",
              file=sys.stderr)
        return 1
    print(f"instructions: {len(PATHS)} hot paths, none has grown")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
