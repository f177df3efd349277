# SPDX-License-Identifier: MIT
"""Break a stage's runtime in small ways and see which breakages its tests miss.

    mutants.py                     all stages, one after the other
    mutants.py 03                  30 breakages of what stage 3 is the first to
                                   have; the rest was broken in stage 1 and 2
    mutants.py 03 --whole          of all of its files
    mutants.py 03 --count 0        each of them; takes hours
    mutants.py 03 --only spsc.h    those of one file
    mutants.py 03 --kind order     those of some kinds: see breakages.py
    mutants.py 03 --seed 7         other ones
    mutants.py 03 --list           only says what it would break
    mutants.py 03 --equivalent     tries those that are said to be equivalent

A breakage (a mutant) changes one place of one file: a condition is negated, a
bound moved by one, a statement or a wake left out, a memory order made weaker.
The stage is copied to a directory of its own, so nothing here is touched; each
mutant is built there, and the tests run: those of the stage that has the file
first, then the others, on every I/O backend there is; if all is well, with
AddressSanitizer, too. A mutant is noticed if a test fails, crashes, or takes
many times as long as on the original.

A weaker memory order is another matter: on one machine it may never show. So
it is put before ThreadSanitizer, and before tests/interleave where that is, not
before the plain tests, which would notice it by luck.

Which mutants are tried depends on the seed alone, not on the day; an edit of
one line changes only that line's. Not counted is a mutant that does not
compile, or to the very same code, and one in tests/equivalent/NN.txt, with the
reason why no test could notice it. An entry there that is of no mutant any more
is an error.

The exit status is 0 if at least --rate per cent were noticed (95).
"""

import argparse
import hashlib
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.dont_write_bytecode = True

import ladderlib
from breakages import mutants_of, squeezed
from ladderlib import ROOT, read, stop

sys.path.insert(0, str(ROOT / "tests"))
import run as suite

# quick to build; a mutant's warnings are let pass, wrong types are not
CFLAGS = ("-O1 -Wno-error -Werror=int-conversion"
          " -Werror=incompatible-pointer-types")
ONE_TEST = 60  # seconds that one test may take, a sanitizer's twice that
MEMORY = 16 << 30  # bytes of address space: a mutant may ask for all there is
# by tests/interleave
INTERLEAVED = ("spsc.h", "park.c", "channel.c", "message.c", "smp.c",
               "offload.c", "signals.c")
NOTICED, MISSED, EQUIVALENT = "noticed", "missed", "equivalent"
SAME, NO_PROGRAM = "the same code", "do not compile"
FATES = (NOTICED, MISSED, EQUIVALENT, SAME, NO_PROGRAM)


# --- what to break ---------------------------------------------------------


def key(mutant):
    """What it is, wherever its line stands."""
    return mutant.file.name, mutant.where, mutant.old, mutant.new


def used_common(stage):
    """Mutants of what is in common/, as far as this stage's files name it."""
    words = set()
    for path in ladderlib.runtime(stage):
        words.update(re.findall(r"\w+", ladderlib.strip(read(path))))
    every = [m for p in ladderlib.common_runtime() for m in mutants_of(p)]
    return [m for m in every if m.where in words]


def mutants_in(stage):
    mine = [m for path in ladderlib.runtime(stage) for m in mutants_of(path)]
    return mine + used_common(stage)


def new_in(stage):
    """Those that no former stage has, or has no use for."""
    before = [s for s in ladderlib.stages() if s < stage]
    known = {key(m) for s in before[-1:] for m in mutants_in(s)}
    put_off = {}
    for s in before:
        put_off.update(equivalents(ladderlib.number(s)))
    now = f"stage {ladderlib.number(stage)}:"
    return [
        m for m in mutants_in(stage)
        if key(m) not in known or (reason(put_off, m) or "").startswith(now)
    ]


def drawn(mutants, count, seed):
    """COUNT of them, by a hash of each one's own text."""
    def lot(mutant):
        text = "\0".join((str(seed),) + key(mutant) + (mutant.text,))
        return hashlib.sha256(text.encode()).digest()

    chosen = sorted(mutants, key=lot)[: count or None]
    return [m for m in mutants if m in set(chosen)]


def describe(mutant):
    place = f"{mutant.file.relative_to(ROOT)}:{mutant.line}"
    return (f"{place}: {mutant.where} ({mutant.kind})\n"
            f"    - {mutant.old}\n    + {mutant.new}")


# --- those that are said to be equivalent ------------------------------------


def equivalents(number):
    """The entries of tests/equivalent/NN.txt, key -> reason. An entry is

        file.c: function
        - the line as it is
        + the line as the mutant has it
          why nothing can tell them apart

    with an empty line behind it; a line that begins with # says nothing. If the
    reason begins with "stage 03:" it is the first that has a use for the line;
    the mutant is tried there. "+ ..." stands for all mutants of a line,
    "+ ... order" for those of a kind."""
    path = ROOT / f"tests/equivalent/{number}.txt"
    entries = {}
    for block in re.split(r"\n\s*\n", read(path)) if path.exists() else ():
        lines = [n for n in block.splitlines() if n and n[0] != "#"]
        if not lines:
            continue
        head = re.fullmatch(r"(\S+): (\S+)", lines[0])
        if not head or len(lines) < 4 or (
            [n[:2] for n in lines[1:4]] != ["- ", "+ ", "  "]
        ):
            stop(f"{path.relative_to(ROOT)}: this is no entry:\n{block}")
        old, new = (squeezed(n[2:]) for n in lines[1:3])
        entries[head[1], head[2], old, new] = squeezed(" ".join(lines[3:]))
    return entries


def keys(mutant):
    """What an entry for it may be."""
    exact = key(mutant)
    line = exact[:3]
    return exact, line + ("...",), line + (f"... {mutant.kind}",)


def reason(entries, mutant):
    """Why nothing notices it, if an entry says so."""
    return next((entries[k] for k in keys(mutant) if k in entries), None)


def check_entries(number, entries, mutants):
    stale = set(entries) - {k for m in mutants for k in keys(m)}
    for file, where, old, new in sorted(stale):
        print(f"tests/equivalent/{number}.txt: no mutant is\n"
              f"{file}: {where}\n- {old}\n+ {new}")
    if stale:
        stop(f"{len(stale)} entries to mend or to delete")


# --- trying one ------------------------------------------------------------


class Program:
    """One test program, on one backend."""

    def __init__(self, path, backend):
        self.path, self.backend = path, backend
        self.seconds = None  # how long it may take


class Workshop:
    """A copy of what a stage is built from, where it can be broken."""

    def __init__(self, stage, folder):
        self.root = Path(folder)
        self.original = stage
        self.stage = self.root / stage.name
        ignore = shutil.ignore_patterns("build", "__pycache__")
        for name in (stage.name, "common", "tests"):
            shutil.copytree(ROOT / name, self.root / name, ignore=ignore)
        known = [ladderlib.number(s) for s in ladderlib.stages()]
        self.numbers = known[: known.index(ladderlib.number(stage)) + 1]
        self.programs = {}  # by variant and stage number
        self.code = {}

    def make(self, variant="", *targets):
        return subprocess.run(
            ["make", "-s", f"-j{suite.CPUS}", "-C", self.stage,
             f"VARIANT={variant}", f"CFLAGS={CFLAGS}",
             "CPPFLAGS=-DMINI_TEST_LESS=10", *targets],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env=suite.ENVIRONMENT,
        )

    def objects(self):
        """The code that was built."""
        build = self.stage / "build"
        paths = [*build.glob("*.o"), *build.glob("tests/*.o")]
        return {p.name: hashlib.sha256(p.read_bytes()).digest() for p in paths}

    def passes(self, program, seconds, output=subprocess.DEVNULL):
        """Runs a test program in a group of its own, which ends with it."""
        sanitized = program.path.parent.name in ("asan", "tsan")
        env = dict(suite.ENVIRONMENT)
        if program.backend:
            env["MINI_IO"] = program.backend

        def limit():
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            if not sanitized:
                resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))

        process = subprocess.Popen(
            (suite.FIXED_ADDRESSES if sanitized else [])
            + [program.path, "--until-failure",
               str(ONE_TEST * (1 + sanitized))],
            cwd=self.root, env=env, stdin=subprocess.DEVNULL,
            stdout=output, stderr=subprocess.STDOUT,
            start_new_session=True, preexec_fn=limit,
        )
        try:
            return process.wait(seconds) == 0
        except subprocess.TimeoutExpired:
            return False
        finally:
            suite.kill_group(process)
            process.wait()

    def prepare(self, variant):
        """Builds the original, and takes the time that its tests take."""
        built = self.make(variant, "tests")
        if built.returncode != 0:
            stop(f"{self.original.name} does not build:\n{built.stdout}")
        said = self.make(variant, "backends")
        if said.returncode != 0:
            stop(f"{self.original.name}: which backends has it?\n{said.stdout}")
        words = said.stdout.split()
        ring = suite.io_uring_works()
        backends = [w for w in words if ring or w != "uring"] or [""]
        backends.sort(reverse=True)  # the ring first
        for number in self.numbers:
            if variant == "tsan" and number < "03":
                continue
            path = self.stage / "build" / variant / f"test-stage{number}"
            programs = [Program(path, b) for b in backends]
            for program in programs:
                started = time.monotonic()
                with tempfile.TemporaryFile("w+", errors="replace") as output:
                    if not self.passes(program, 900, output):
                        output.seek(0)
                        print("".join(output.readlines()[-9:]))
                        stop(f"{path.name} {program.backend} fails on what "
                             "is not broken")
                program.seconds = 5 + 5 * (time.monotonic() - started)
            self.programs[variant, number] = programs
        if variant == "":
            self.code = self.objects()

    def run_tests(self, variant, first):
        """Who notices: the stage whose tests fail; "" for none."""
        if (variant, self.numbers[-1]) not in self.programs:
            return ""
        numbers = sorted(self.numbers, key=lambda n: (n < first, n))
        if variant == "tsan":  # who came before does not meet it on two threads
            numbers = [n for n in numbers if n >= first]
        for number in numbers:
            for program in self.programs.get((variant, number), ()):
                if not self.passes(program, program.seconds):
                    return f"tests of stage {number} {variant}".strip()
        return ""

    def interleavings(self, mutant):
        """Whether all interleavings of the small scenarios still hold."""
        program = self.root / "tests/interleave/run.py"
        if not program.exists() or mutant.file.name not in INTERLEAVED:
            return True
        process = subprocess.Popen(
            [sys.executable, program, "--stage", self.stage, "--hold"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env=suite.ENVIRONMENT, start_new_session=True)
        try:
            return process.wait(600) != 1
        except subprocess.TimeoutExpired:
            return True  # that is no counter-example
        finally:
            suite.kill_group(process)
            process.wait()

    def try_one(self, mutant, first):
        """Its fate, and by whom it was noticed."""
        target = self.root / mutant.file.relative_to(ROOT)
        original = read(target)
        try:
            target.write_text(
                original[: mutant.start] + mutant.text + original[mutant.end :]
            )
            if mutant.kind == "order":
                return self.try_order(mutant, first)
            if self.make("", "tests").returncode != 0:
                return NO_PROGRAM, ""
            if self.objects() == self.code:
                return SAME, ""
            by = self.run_tests("", first)
            if not by and not self.interleavings(mutant):
                by = "interleavings"
            if not by:
                by = self.try_memory(target, original, first)
            return (NOTICED if by else MISSED), by
        finally:
            target.write_text(original)

    def try_memory(self, target, original, first):
        """Whether it touches memory that it should not: few do, so
        AddressSanitizer's turn comes last, and only if it is needed."""
        if ("asan", self.numbers[-1]) not in self.programs:
            broken = read(target)
            target.write_text(original)
            self.prepare("asan")
            target.write_text(broken)
        if self.make("asan", "tests").returncode != 0:
            return ""
        return self.run_tests("asan", first)

    def try_order(self, mutant, first):
        if not self.interleavings(mutant):
            return NOTICED, "interleavings"
        if ("tsan", self.numbers[-1]) not in self.programs:
            return MISSED, ""
        if self.make("tsan", "tests").returncode != 0:
            return NO_PROGRAM, ""
        by = self.run_tests("tsan", first)
        return (NOTICED if by else MISSED), by


# --- the whole -------------------------------------------------------------


def introduced(stage, mutant):
    """The number of the stage whose tests are the likeliest to notice."""
    for other in ladderlib.stages():
        path = other / mutant.file.name
        if other == stage or path.exists() and mutant.where in read(path):
            return ladderlib.number(other)


class Progress:
    """One line on a terminal, over and over."""

    def __init__(self, name, total):
        self.name, self.total, self.done = name, total, 0
        self.started = time.monotonic()
        self.shown = sys.stderr.isatty()

    def step(self, count):
        self.done += 1
        spent = time.monotonic() - self.started
        left = spent / self.done * (self.total - self.done)
        if self.shown:
            print(f"\r{self.name}: {self.done} of {self.total}: "
                  f"{count[NOTICED]} noticed, {count[MISSED]} missed, "
                  f"{left / 60:.0f} min left \x1b[K", end="", file=sys.stderr)

    def clear(self):
        if self.shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def choose(options, stage):
    """What is to be tried, and the entries of the equivalent ones."""
    number = ladderlib.number(stage)
    fresh = new_in(stage)
    entries = equivalents(number)
    check_entries(number, entries, fresh)
    mutants = fresh
    if options.whole:
        mutants = mutants_in(stage)
        for other in ladderlib.stages():
            if other < stage:
                entries.update(equivalents(ladderlib.number(other)))
        entries = {
            k: why for k, why in entries.items()
            if not (why.startswith("stage ") and why[6:8] <= number)
        }
    if options.equivalent:
        said = [
            m for m in mutants
            if not (reason(entries, m) or "stage ").startswith("stage ")
        ]
        return said, {}, len(mutants)
    fits = [
        m for m in mutants
        if (not options.only or m.file.name == options.only)
        and (not options.kind or m.kind in options.kind.split(","))
    ]
    if not fits:
        stop(f"nothing to break: {stage.name} is not the first to have such "
             "code; --whole breaks all that it has")
    return drawn(fits, options.count, options.seed), entries, len(fits)


def try_stage(options, stage):
    """The fates of the chosen mutants, counted."""
    chosen, entries, total = choose(options, stage)
    print(f"{stage.name}: {len(chosen)} of {total} mutants, seed "
          f"{options.seed}", flush=True)
    if options.list:
        print("\n".join(describe(mutant) for mutant in chosen))
        return Counter()
    count, progress = Counter(), Progress(stage.name, len(chosen))
    with tempfile.TemporaryDirectory() as folder:
        workshop = Workshop(stage, folder)
        kinds = {m.kind for m in chosen if not reason(entries, m)}
        if kinds - {"order"}:
            workshop.prepare("")
        if "order" in kinds and ladderlib.number(stage) >= "03":
            workshop.prepare("tsan")
        for mutant in chosen:
            if reason(entries, mutant):
                fate, by = EQUIVALENT, ""
            else:
                fate, by = workshop.try_one(mutant, introduced(stage, mutant))
            count[fate] += 1
            if fate == MISSED or options.verbose or options.equivalent:
                progress.clear()
                print(f"{fate}{by and ' by '}{by}: {describe(mutant)}",
                      flush=True)
            progress.step(count)
    progress.clear()
    return count


def tell(name, count):
    tried = count[NOTICED] + count[MISSED]
    rate = 100 * count[NOTICED] / tried if tried else 0  # that proves nothing
    fates = ", ".join(f"{count[fate]} {fate}" for fate in FATES)
    print(f"{name}: {fates}: "
          + (f"{rate:.1f} % noticed" if tried else "none could be tried"),
          flush=True)
    return rate


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("stages", nargs="*", metavar="STAGE", help="01 to 06")
    parser.add_argument("--count", type=int, default=30, help="0: all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", metavar="FILE", help="a file's name")
    parser.add_argument("--kind", metavar="KIND,KIND",
                        help="condition, bound, wake, ...")
    parser.add_argument("--whole", action="store_true",
                        help="also what a former stage has")
    parser.add_argument("--equivalent", action="store_true",
                        help="those listed as equivalent: none is noticed")
    parser.add_argument("--rate", type=float, default=95, metavar="PERCENT")
    parser.add_argument("--list", action="store_true", help="break nothing")
    parser.add_argument("--verbose", action="store_true",
                        help="also those noticed, and by whom")
    return parser.parse_args()


def main():
    options = arguments()
    stages = [ladderlib.stage_of(s) for s in options.stages]
    suite.raise_open_files()
    worst = 100
    for stage in stages or ladderlib.stages():
        count = try_stage(options, stage)
        if options.list:
            continue
        rate = tell(stage.name, count)
        if options.equivalent:
            rate = 0 if count[NOTICED] else 100
        worst = min(worst, rate)
    return 0 if worst >= options.rate else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (KeyboardInterrupt, BrokenPipeError):
        sys.exit(130)
