# SPDX-License-Identifier: MIT
"""Break a stage's runtime in small ways and see which breakages its tests miss.

    mutants.py 03                  30 breakages of stage 3, drawn by chance
    mutants.py 03 --count 0        all of them; takes hours on the later stages
    mutants.py 03 --only spsc.h    those of one file
    mutants.py 03 --seed 7         the same ones again
    mutants.py 03 --list           only says what it would break

A breakage (a mutant) changes one place of one file: a condition is negated, a
bound moved by one, a statement dropped, a memory order made weaker. The stage
is copied to a directory of its own, so nothing here is touched; each mutant is
built there, and the tests of the stage that has the file run first, then those
of the others. A mutant is noticed if a test fails, crashes or hangs. One that
does not compile counts as none.

The last line is "N noticed, N missed, N do not compile"; the exit status is 0
if none was missed and 1 otherwise. A missed one is either a test that is not
there yet, or means the same as the original: that is for a reader to decide.
"""

import argparse
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import namedtuple
from pathlib import Path

sys.dont_write_bytecode = True

import ladderlib
from ladderlib import ROOT, read, stop

Mutant = namedtuple("Mutant", "file start end text line")

# What is found in the code, and what stands there instead.
SWAPS = [
    (r"==", "!="),
    (r"!=", "=="),
    (r"(?<=\s)<(?=\s)", "<="),
    (r"<=(?=\s)", "<"),
    (r"(?<=\s)>(?=\s)", ">="),
    (r">=(?=\s)", ">"),
    (r"&&", "||"),
    (r"\|\|", "&&"),
    (r"(?<=\s)\+(?=\s)", "-"),
    (r"(?<=\s)-(?=\s)", "+"),
    (r"\+\+", "--"),
    (r"--", "++"),
    (r"\+=", "-="),
    (r"-=", "+="),
    (r"\btrue\b", "false"),
    (r"\bfalse\b", "true"),
    (r"!(?=[\w(])", ""),
    (r"\b0\b(?=[,;)\s])", "1"),
    (r"\b1\b(?=[,;)\s])", "2"),
    (r"memory_order_(?:release|acquire)", "memory_order_relaxed"),
]
# A statement that can be left out: a call or an assignment, on lines of its
# own, that neither declares nor jumps.
STATEMENT = re.compile(
    r"(?<=[;{}\n])[ ]+((?!return|break|continue|case|default|else|goto|static"
    r"|struct|MINI_CHECK|MINI_BEGIN|MINI_END|_Static_assert)"
    r"(?:\*?[\w.>\[\]()-]+ (?:[|&^+-]|<<|>>)?= [^;{}]*|\w[\w.>-]*\([^;{}]*\)"
    r"|[\w.>-]+(?:\+\+|--)));"
)


def blank(text):
    """The text with comments, strings and directives blanked, offsets kept."""
    parts = []
    for token in ladderlib.tokens(text):
        hidden = token.kind in ("comment", "string") or token.directive
        parts.append(
            re.sub(r"[^\n]", " ", token.text) if hidden else token.text
        )
    return "".join(parts)


def mutants_of(path):
    text = blank(read(path))
    found = [
        Mutant(path, match.start(), match.end(), new, 0)
        for old, new in SWAPS
        for match in re.finditer(old, text)
    ]
    found += [
        Mutant(path, match.start(1), match.end(1), "", 0)
        for match in STATEMENT.finditer(text)
    ]
    return [
        m._replace(line=text.count("\n", 0, m.start) + 1)
        for m in sorted(found, key=lambda m: (m.start, m.end))
    ]


def describe(mutant):
    old = " ".join(read(mutant.file)[mutant.start : mutant.end].split())
    what = f"'{old}' -> '{mutant.text}'" if mutant.text else f"without '{old}'"
    return f"{mutant.file.relative_to(ROOT)}:{mutant.line}: {what}"


def introduced(stage, name):
    """The number of the stage that has a file of this name first."""
    return next(
        ladderlib.number(s)
        for s in ladderlib.stages()
        if name in ladderlib.sources(s) or s == stage
    )


class Workshop:
    """A copy of what a stage is built from, where it can be broken."""

    def __init__(self, stage, folder):
        self.root = Path(folder)
        self.stage = self.root / stage.name
        ignore = shutil.ignore_patterns("build", "__pycache__")
        for name in (stage.name, "common", "tests"):
            shutil.copytree(ROOT / name, self.root / name, ignore=ignore)
        known = [ladderlib.number(s) for s in ladderlib.stages()]
        self.numbers = known[: known.index(ladderlib.number(stage)) + 1]
        self.limits = {}  # seconds a test program may take, by stage number

    def make(self):
        # quick to build, with the warnings that a mutant brings let pass
        return subprocess.run(
            ["make", "-s", f"-j{os.cpu_count()}", "-C", self.stage, "tests",
             "CFLAGS=-O1 -Wno-error"],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )

    def passes(self, number, seconds):
        """Runs one test program in a group of its own, which ends with it."""
        process = subprocess.Popen(
            [self.stage / f"build/test-stage{number}"], cwd=self.stage,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, start_new_session=True,
        )
        try:
            return process.wait(seconds) == 0
        except subprocess.TimeoutExpired:
            return False
        finally:
            try:
                os.killpg(process.pid, 9)
            except OSError:
                pass
            process.wait()

    def prepare(self):
        """Builds the original, and takes the time that its tests take."""
        built = self.make()
        if built.returncode != 0:
            stop(f"{self.stage.name} does not build:\n{built.stdout}")
        for number in self.numbers:
            started = time.monotonic()
            if not self.passes(number, 600):
                stop(f"the tests of stage {number} fail on the original")
            self.limits[number] = 10 + 5 * (time.monotonic() - started)

    def notices(self, mutant):
        """The stage whose tests notice it, "" for none, None: no program."""
        target = self.root / mutant.file.relative_to(ROOT)
        original = read(target)
        try:
            target.write_text(
                original[: mutant.start] + mutant.text + original[mutant.end :]
            )
            if self.make().returncode != 0:
                return None
            first = introduced(
                ladderlib.stage_of(self.stage.name), mutant.file.name
            )
            order = sorted(self.numbers, key=lambda n: (n < first, n))
            return next(
                (n for n in order if not self.passes(n, self.limits[n])), ""
            )
        finally:
            target.write_text(original)


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("stage", help="01 to 06")
    parser.add_argument("--count", type=int, default=30, help="0: all")
    parser.add_argument("--seed", type=int, help="to draw the same ones again")
    parser.add_argument("--only", metavar="FILE", help="a file's name")
    parser.add_argument("--list", action="store_true", help="break nothing")
    return parser.parse_args()


def main():
    options = arguments()
    stage = ladderlib.stage_of(options.stage)
    seed = random.randrange(10**6) if options.seed is None else options.seed
    chosen = [
        mutant
        for path in ladderlib.runtime(stage)
        if not options.only or path.name == options.only
        for mutant in mutants_of(path)
    ]
    if not chosen:
        stop(f"nothing to break: {stage.name} has no code in {options.only}")
    total = len(chosen)
    if options.count and options.count < total:
        chosen = random.Random(seed).sample(chosen, options.count)
    print(f"{stage.name}: {len(chosen)} of {total} mutants, seed {seed}")
    if options.list:
        print("\n".join(describe(mutant) for mutant in chosen))
        return 0
    count = {"noticed": 0, "missed": 0, "do not compile": 0}
    with tempfile.TemporaryDirectory() as folder:
        workshop = Workshop(stage, folder)
        workshop.prepare()
        for n, mutant in enumerate(chosen, 1):
            by = workshop.notices(mutant)
            fate = "do not compile" if by is None else (
                "noticed" if by else "missed"
            )
            count[fate] += 1
            if sys.stderr.isatty():
                print(f"{n} of {len(chosen)} ", end="\r", file=sys.stderr)
            if fate == "missed":
                print(f"missed   {describe(mutant)}", flush=True)
    print(", ".join(f"{n} {what}" for what, n in count.items()))
    return 1 if count["missed"] else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
