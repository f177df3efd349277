#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Builds and runs the test matrix, and counts.

    tests/run.py                         every stage, plain
    tests/run.py 03                      the tests of stages 1 to 3 on stage 3
    tests/run.py 03 --match g3_4         those with g3_4 in their name
    tests/run.py --variants plain,asan   also under AddressSanitizer and UBSan
    tests/run.py --also 'name=command'   a check that counts as one more test

The tests of stage N run on every stage from N on; on stages that have I/O once
for each backend (MINI_IO). Under tsan only the tests of stage 3 and later run:
the earlier ones have one thread; under valgrind only these. m32 and arm64 are
for the stages without I/O, 1 to 4. A variant that cannot be built here counts
as skipped. A test that fails is shown with the text of
the guarantee it is named after. A program that crashes or hangs fails the test
it was in, and a new process runs those that follow.

The last line is "N passed, N failed, N skipped"; the exit status is 0 if none
failed, 1 if some did and 2 if there was nothing to run.
"""

import argparse
import concurrent.futures
import fnmatch
import glob
import os
import platform
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "common", "tools"))
sys.dont_write_bytecode = True

import doctor

PROGRAM_SECONDS = 300  # the whole of one program; a test alone has 120
SLOW_SECONDS = 3000  # the same where each instruction is interpreted
MAKE = os.environ.get("MAKE") or shutil.which("gmake") or "make"
CPUS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2

PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"
OUTCOMES = {"OK": PASSED, "FAILED": FAILED, "ERROR": FAILED,
            "SKIPPED": SKIPPED}


class Count:
    """How many tests passed, failed and were skipped."""

    def __init__(self, **counts):
        self.counts = {PASSED: 0, FAILED: 0, SKIPPED: 0, **counts}

    def add(self, other):
        for outcome, n in other.counts.items():
            self.counts[outcome] += n

    def __getitem__(self, outcome):
        return self.counts[outcome]

    def __str__(self):
        return ", ".join(f"{n} {outcome}" for outcome, n in self.counts.items())

    def cell(self):
        """For the table: only what is worth a word."""
        parts = [str(self[PASSED])]
        parts += [f"{self[o]} {o}" for o in (FAILED, SKIPPED) if self[o]]
        return ", ".join(parts)


class Program:
    """One test program, to be run once: tests of one stage on one stage."""

    def __init__(self, stage, tests, variant, backend):
        self.stage = stage  # "03": the one whose runtime is tested
        self.tests = tests  # "01": the one whose tests these are
        self.variant = variant
        self.backend = backend  # "uring", "poll", or "" where there is no I/O
        build = "" if variant == "plain" else variant + "/"
        self.path = f"{directory(stage)}/build/{build}test-stage{tests}"
        self.expected = []  # the names of its tests that are to run
        self.outcome = {}  # test name: PASSED, FAILED or SKIPPED
        self.output = ""
        self.fate = {}  # test name: why it has no outcome of its own
        self.trouble = None  # what went wrong after the last test
        self.seconds = 0.0

    def title(self):
        return (f"stage{self.stage}  tests of {self.tests}  "
                f"{self.variant:<13}  {self.backend:<5}")

    def count(self):
        result = Count()
        for name in self.expected:
            result.counts[self.outcome.get(name, FAILED)] += 1
        if self.trouble and not result[FAILED]:
            result.counts[FAILED] += 1
        return result


def directory(stage):
    found = glob.glob(f"{ROOT}/stage{stage}-*")
    return os.path.relpath(found[0], ROOT) if found else f"stage{stage}"


# --- what this machine can do ------------------------------------------------


def io_uring_works():
    """Asks the kernel for a ring, as the runtime would."""
    return platform.system() == "Linux" and doctor.try_io_uring()[0] == 0


def raise_open_files():
    """Thousands of connections take thousands of descriptors."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for wanted in (65536, hard):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE,
                               (wanted, max(wanted, hard)))
            return
        except (ValueError, OSError):
            continue


def fixed_addresses():
    """The start of a command line that switches off address randomisation:
    where the kernel randomises much, gcc's ThreadSanitizer refuses to start."""
    command = ["setarch", platform.machine(), "-R"]
    try:
        ok = subprocess.run(command + ["true"], stderr=subprocess.DEVNULL)
        return command if ok.returncode == 0 else []
    except OSError:
        return []


def environment():
    """Ours without the make that called us, with the sanitizers' options: a
    report ends the program, through abort so that the harness sees it."""
    env = {k: v for k, v in os.environ.items()
           if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "PORTABLE",
                        "VARIANT", "MINI_IO")}
    common = "abort_on_error=1:halt_on_error=1"
    env["ASAN_OPTIONS"] = (common + ":handle_segv=2:detect_leaks=1"
                           ":print_legend=0:detect_stack_use_after_return=1"
                           ":allocator_may_return_null=1")
    env["UBSAN_OPTIONS"] = common + ":print_stacktrace=1"
    env["TSAN_OPTIONS"] = common + ":second_deadlock_stack=1"
    return env


ENVIRONMENT = environment()


# --- building ----------------------------------------------------------------


def make(stage, variant, *targets):
    variable = "" if variant == "plain" else variant
    return subprocess.run(
        [MAKE, "-s", f"-j{CPUS}", "-C", directory(stage),
         f"VARIANT={variable}", *targets],
        cwd=ROOT, env=ENVIRONMENT, text=True, errors="replace",
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def build(stage, variant, programs):
    """Builds a stage's test programs; plain ones with all examples, too."""
    targets = [os.path.relpath(p.path, directory(stage)) for p in programs]
    if variant in ("plain", "portable"):
        targets.append("all")
    started = time.monotonic()
    result = make(stage, variant, *dict.fromkeys(targets))
    spent = time.monotonic() - started
    if result.returncode == 0:
        if not options.brief:
            print(f"stage{stage}  built        {variant:<13} {spent:30.1f} s",
                  flush=True)
        return True
    print(f"stage{stage}  {variant}: the build FAILED\n{result.stdout}",
          flush=True)
    return False


def reason_against(variant, stage):
    """Why this machine cannot build and run a variant, or None: also where make
    fails, for then the build will, and that is no reason but a failure."""
    runner = emulator(variant)
    if runner and not shutil.which(runner[0]):
        return f"no {runner[0]} here"
    if re.fullmatch("(plain|portable|asan|tsan|-)+", variant):
        return None  # if these cannot be built that is a failure
    result = make(stage, variant, "usable")
    lines = result.stdout.splitlines() or ["nothing was said"]
    if result.returncode != 0 or lines[-1] == "yes":
        return None
    telling = [line for line in lines
               if "error" in line or "cannot" in line or "no " in line]
    return (telling or lines)[0].strip()


def backends(stage, variant):
    """The backends this build has, and whether it ought to have the ring. None
    if it does not say: nothing of it may be left out for that."""
    result = make(stage, variant, "backends")
    words = result.stdout.split()
    has_io = os.path.exists(f"{ROOT}/{directory(stage)}/io_poll.c")
    if result.returncode != 0 or has_io != ("poll" in words):
        print(f"stage{stage}  {variant}: which backends it has is not known: "
              f"FAILED\n{result.stdout}", flush=True)
        return [], None
    has = [word for word in ("uring", "poll") if word in words]
    wants_ring = has and "portable" not in variant
    if wants_ring and platform.system() == "Linux" and "uring" not in has:
        return ["uring"] + has, "this build has no liburing: run 'make deps'"
    return has or [""], None


# --- running -----------------------------------------------------------------


RUNNING = set()  # processes: each leads a group of its own


# What runs the program. Valgrind ends it with the first error, so that the
# test in which that was fails; run() goes on with the next.
EMULATORS = {
    "valgrind": ["valgrind", "-q", "--error-exitcode=99",
                 "--exit-on-first-error=yes", "--leak-check=full",
                 "--show-leak-kinds=definite",
                 "--errors-for-leak-kinds=definite"],
    "arm64": ["qemu-aarch64", "-L", "/usr/aarch64-linux-gnu"],
}


def emulator(variant):
    for word in variant.split("-"):
        if word in EMULATORS:
            return EMULATORS[word]
    return []


def command(program, *arguments):
    start = FIXED_ADDRESSES if program.variant.endswith("tsan") else []
    start = start + emulator(program.variant)
    return start + ["./" + program.path, *arguments]


def kill_group(process):
    """Also takes away what a test's crash left behind."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except OSError:
        pass  # there is none left


def execute(program, arguments, seconds):
    """One process: its output, status and, if it did not just exit, its fate.
    The output goes to a file: a pipe's end would wait for all who hold it."""
    env = dict(ENVIRONMENT)
    if program.backend:
        env["MINI_IO"] = program.backend
    fate = None
    with tempfile.TemporaryFile("w+", errors="replace") as output:
        process = subprocess.Popen(
            command(program, *arguments), cwd=ROOT, env=env, stdout=output,
            stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
            start_new_session=True)
        RUNNING.add(process)
        try:
            status = process.wait(seconds)
            if status < 0:
                fate = f"was ended by {signal.Signals(-status).name}"
        except subprocess.TimeoutExpired:
            fate = f"was killed: not done after {seconds:.0f} s"
        kill_group(process)
        status = process.wait()
        RUNNING.discard(process)
        output.seek(0)
        return output.read(), status, fate


def read_results(program, output):
    """Enters what cmocka says; returns the test it was in at the end."""
    running = None
    lines = re.findall(r"\[ +(RUN|OK|FAILED|ERROR|SKIPPED) +\] (\w+)$", output,
                       re.MULTILINE)
    for mark, name in lines:
        if name not in program.expected:
            continue
        if mark == "RUN":
            running = name
        elif running == name:
            program.outcome[name] = OUTCOMES[mark]
            running = None
    return running


def run(program, pattern):
    """Runs a program to its end, in more than one process if it crashes."""
    started = time.monotonic()
    limit = SLOW_SECONDS if emulator(program.variant) else PROGRAM_SECONDS
    after = []
    while True:
        left = limit - (time.monotonic() - started)
        output, status, fate = execute(
            program, after + [pattern or "*"], max(left, 1))
        program.output += output
        running = read_results(program, output)
        if running is None:
            break
        program.outcome[running] = FAILED
        program.fate[running] = (
            f"the program {fate or f'ended here with status {status}'}")
        after = ["--after", running]
        if running == program.expected[-1] or left <= 0:
            break
    if running is None and (fate or (
            status and FAILED not in program.outcome.values())):
        program.trouble = fate or f"ended with status {status}"
    program.seconds = time.monotonic() - started
    return program


def list_tests(program):
    """The names of a program's tests; none if it cannot even say them."""
    try:
        result = subprocess.run(
            command(program, "--list"), cwd=ROOT, env=ENVIRONMENT, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            timeout=PROGRAM_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return result.stdout.split() if result.returncode == 0 else []


# --- telling -----------------------------------------------------------------


def guarantees(stage):
    """The stage's promises by identifier, as its headers word them."""
    texts = {}
    for header in sorted(glob.glob(f"{ROOT}/{directory(stage)}/*.h")):
        with open(header, encoding="utf-8") as file:
            source = file.read()
        for match in re.finditer(
                r"@guarantee\{(G\d+\.\d+)\}(.*?)(?=\n[ *]*\n|\n[ *]*@|\*/)",
                source, re.DOTALL):
            lines = re.split(r"\n[ \t]*\*?", match.group(2))
            texts[match.group(1)] = " ".join(" ".join(lines).split())
    return texts


def part_of_output(program, name):
    """What the program printed while it ran one test."""
    match = re.search(
        rf"^.*\[ +RUN +\] {name}$\n(?P<text>.*?)(?=^\[ +RUN +\] |^\[=+\]|\Z)",
        program.output, re.DOTALL | re.MULTILINE)
    return match["text"] if match else ""


def explain(program):
    """Everything about a program's failures."""
    promises = guarantees(program.stage)
    backend = program.backend and f", {program.backend}"
    variable = program.backend and f"MINI_IO={program.backend} "
    for name in program.expected:
        if program.outcome.get(name, FAILED) != FAILED:
            continue
        number = re.match(r"g(\d+)_(\d+)_", name)
        promise = f"G{number[1]}.{number[2]}" if number else "?"
        print(f"\n  FAILED {name} (stage{program.stage}, {program.variant}"
              f"{backend})")
        print(f"  {promise}: {promises.get(promise, 'is in no header')}")
        show(part_of_output(program, name))
        if name not in program.outcome:
            print("  it did not run")
        elif name in program.fate:
            print("  " + program.fate[name])
        again = " ".join([*emulator(program.variant), program.path, name])
        print(f"  again: {variable}{again}")
    if program.trouble:
        print(f"\n  FAILED after its tests: the program {program.trouble}")
        show(program.output.rpartition("\n[=====")[2].partition("\n")[2])
    print(flush=True)


def show(text):
    for line in text.rstrip().splitlines():
        print("    | " + line)


def record(program):
    """For `make guarantees`, which says where each promise was seen to hold."""
    folder = f"{ROOT}/tests/build/ran"
    path = (f"{folder}/{program.stage}-{program.tests}-{program.variant}-"
            f"{program.backend or 'none'}")
    os.makedirs(folder, exist_ok=True)
    outcomes = {}
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            outcomes = dict(line.split() for line in file)
    outcomes.update(program.outcome)
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(f"{name} {outcome}\n"
                        for name, outcome in outcomes.items())


def report(program):
    count = program.count()
    if not options.brief:
        print(f"{program.title()}  {count.cell():<24} {program.seconds:6.1f} s",
              flush=True)
    if count[FAILED]:
        explain(program)


def print_table(rows, columns, cells):
    widths = {c: max([len(c)] + [len(cells[key].cell()) for key in cells
                                 if key[1] == c]) for c in columns}
    print("\n" + " " * 9
          + "  ".join(c.ljust(widths[c]) for c in columns).rstrip())
    for row in rows:
        line = [cells[row, c].cell() if (row, c) in cells else "-"
                for c in columns]
        print(f"stage{row}  " + "  ".join(
            text.ljust(widths[c]) for text, c in zip(line, columns)).rstrip())


# --- the whole ---------------------------------------------------------------


def run_check(check):
    """One of the --also commands."""
    name, _, command = check.partition("=")
    started = time.monotonic()
    result = subprocess.run(
        command, shell=True, cwd=ROOT, text=True, errors="replace",
        env={**os.environ, "MAKEFLAGS": "", "MFLAGS": ""},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    last = (result.stdout.strip().splitlines() or [""])[-1]
    if result.returncode != 0:
        outcome = FAILED
    else:
        outcome = SKIPPED if last.startswith("skipped") else PASSED
    return name, command, result.stdout, outcome, time.monotonic() - started


def run_checks(checks):
    """The --also commands, two at a time; each counts as one test."""
    total = Count()
    with concurrent.futures.ThreadPoolExecutor(min(CPUS, 2)) as pool:
        for name, command, output, outcome, took in pool.map(run_check, checks):
            total.add(Count(**{outcome: 1}))
            print(f"--- {name}: {command}\n{output}"
                  f"--- {name}: {outcome.upper()} in {took:.0f} s\n", flush=True)
    return total


def plan(stages, variants):
    """All programs of the matrix, by (variant, stage), before any is built."""
    matrix = {}
    for variant in variants:
        for stage in stages:
            first = 3 if variant.endswith("tsan") else 1
            last = 2 if "valgrind" in variant else int(stage)
            if int(stage) > 4 and re.search("m32|arm64", variant):
                continue
            numbers = [f"{n:02}" for n in range(first, last + 1)
                       if n <= int(stage)]
            programs = [Program(stage, n, variant, "") for n in numbers
                        if glob.glob(f"{ROOT}/tests/stage{n}_*.c")]
            if programs:
                matrix[variant, stage] = programs
    return matrix


def spread(programs, ring_refused, total):
    """One program for each backend; those that cannot run count as skipped."""
    stage, variant = programs[0].stage, programs[0].variant
    names, why = backends(stage, variant)
    if not names:
        total.add(Count(failed=len(programs)))
    ready = []
    for backend in names:
        refusal = (why or ring_refused) if backend == "uring" else None
        for program in programs:
            if not refusal:
                copy = Program(stage, program.tests, variant, backend)
                copy.expected = program.expected
                ready.append(copy)
                continue
            n = len(program.expected)
            total.add(Count(skipped=n))
            program.backend = backend
            print(f"{program.title()}  {n} SKIPPED: {refusal}", flush=True)
    return ready


def run_variant(variant, matrix, pattern, ring_refused, cells):
    """Builds and runs one variant on all stages; returns the names it has."""
    ready, known = [], {}
    for (of, stage), programs in matrix.items():
        if of != variant:
            continue
        cell = cells[stage, variant] = Count()
        why = reason_against(variant, stage)
        if why:
            print(f"stage{stage}  {variant:<13}  SKIPPED: {why}", flush=True)
            cell.add(Count(skipped=1))
            continue
        if not build(stage, variant, programs):
            cell.add(Count(failed=len(programs)))
            continue
        for program in programs:
            names = list_tests(program)
            known.update(dict.fromkeys(names))
            program.expected = [n for n in names if fits(n, pattern)]
            if not names:
                print(f"{program.title()}  FAILED: it lists no test")
                cell.add(Count(failed=1))
        chosen = [p for p in programs if p.expected]
        if chosen:
            ready += spread(chosen, ring_refused, cell)
    alone = [p for p in ready if wants_all_cpus(p)]
    run_programs([p for p in ready if p not in alone], 2, pattern, cells)
    run_programs(alone, 1, pattern, cells)
    for stage in sorted({p.stage for p in ready} if options.brief else ()):
        seconds = sum(p.seconds for p in ready if p.stage == stage)
        print(f"stage{stage}  {variant:<13} {cells[stage, variant].cell():<24}"
              f" {seconds:6.1f} s", flush=True)
    return known


def wants_all_cpus(program):
    """Two at once do not disturb each other much; but threads that only pass
    the time to each other would (stage 3's tests without I/O, and shards under
    tsan): beside another program they take ten times as long."""
    if program.variant.endswith("tsan"):
        return program.tests in ("03", "04")
    return program.tests == "03" and not program.backend


def run_programs(programs, jobs, pattern, cells):
    """Runs them, JOBS at a time, and adds up what came of them."""
    with concurrent.futures.ThreadPoolExecutor(min(CPUS, jobs)) as pool:
        try:
            for program in pool.map(lambda p: run(p, pattern), programs):
                cells[program.stage, program.variant].add(program.count())
                record(program)
                report(program)
        except BaseException:  # Ctrl-C above all
            pool.shutdown(wait=False, cancel_futures=True)
            for process in list(RUNNING):
                kill_group(process)
            raise


def fits(name, pattern):
    """As the programs themselves decide it: see mini_test_main."""
    if not pattern:
        return True
    wild = any(c in pattern for c in "*?[")
    return fnmatch.fnmatchcase(name, pattern if wild else f"*{pattern}*")


TRAITS = set("plain portable asan tsan clang O0 O2 O3 lto m32 arm64 "
             "valgrind".split())  # what stage.mk knows


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stages", nargs="*", metavar="STAGE",
                        help="01 to 06; all if none is given")
    parser.add_argument("--variants", default="plain", metavar="V,V",
                        help="plain, asan, tsan, clang, portable, O0, O3, "
                        "lto, m32, arm64, valgrind, or a pair such as "
                        "portable-asan")
    parser.add_argument("--brief", action="store_true",
                        help="one line for each stage and variant, failures, "
                        "and how long all took")
    parser.add_argument("--match", metavar="PATTERN",
                        help="only tests whose name has, or fits, PATTERN")
    parser.add_argument("--also", action="append", default=[],
                        metavar="NAME=COMMAND",
                        help="a check to run first; it passes with status 0, "
                        "and is skipped if its last line begins so")
    options = parser.parse_args()
    unknown = set(re.split("[,-]", options.variants)) - TRAITS
    if unknown:
        parser.error(f"there is no variant {', '.join(sorted(unknown))}; "
                     f"known are {' '.join(sorted(TRAITS))}")
    return options


def main():
    started = time.monotonic()
    stages = [s.zfill(2) for s in options.stages]
    stages = stages or [f"{n:02}" for n in range(1, 7)]
    variants = options.variants.split(",")
    raise_open_files()
    ring_refused = None if io_uring_works() else (
        "io_uring is refused here: 'make doctor' says why")

    total = run_checks(options.also)
    matrix, cells, known = plan(stages, variants), {}, {}
    for variant in variants:
        known.update(run_variant(variant, matrix, options.match, ring_refused,
                                 cells))
    for cell in cells.values():
        total.add(cell)
    if not any(total.counts.values()):
        what = f"fits '{options.match}'" if options.match else "runs so"
        print(f"no test {what}; there are:", file=sys.stderr)
        print("  " + "\n  ".join(known or ["none"]), file=sys.stderr)
        return 2
    print_table(stages, variants, cells)
    if options.brief:
        print(f"this took {(time.monotonic() - started) / 60:.0f} minutes")
    print(total)
    return 1 if total[FAILED] else 0


FIXED_ADDRESSES = fixed_addresses()

if __name__ == "__main__":
    options = arguments()
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
