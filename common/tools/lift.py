# SPDX-License-Identifier: MIT
"""make lift FROM=NN: carry an edit made in stage NN up through the later ones.

    lift.py NN             carry it, a line per file; exit 1 at a conflict
    lift.py NN --dry-run   say what would be carried, write nothing
    lift.py NN --check     the same, and exit 1 if something is not carried yet
    lift.py NN --base REV  the edit is what changed since REV, not since HEAD
    lift.py NN --readme    carry README.md too (the chapters differ on purpose)

For each source file of stage NN and each later stage MM:

    git merge-file  ours:   MM's file as it lies in the work tree
                    base:   NN's file as it was committed
                    theirs: NN's file as it lies in the work tree

Why this base works: between base and theirs lies the edit and nothing else,
between base and ours lies what the stages NN+1 to MM added and nothing else.
The merge is the sum of the two. Uncommitted work in MM is part of ours, so
it is kept. A second lift finds the edit on both sides and changes nothing.

That holds until a line that was lifted is edited again, or a conflict was
resolved by hand: then the committed file is no longer the newest version that
both sides share. So each lift notes in the git directory what it carried
where, and the next one merges against that. A note is void once NN's file is
committed, or when MM's file was put back to what it was without the edit.

At a conflict the file keeps git's markers and the lift stops. Resolve it and
give the same command again: it goes on, and carries the resolution, not the
first edit, to the stages above (they differ from MM less than from NN).
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections import namedtuple
from pathlib import Path

sys.dont_write_bytecode = True

import ladderlib
from ladderlib import ROOT, stop

MARKERS = re.compile(rb"^(<{7}|>{7}) ", re.M)


def git(*command, data=None):
    """Run git in the workbook; its output, or None if it says no."""
    done = subprocess.run(
        ["git", *command], cwd=ROOT, input=data,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )
    return done.stdout if done.returncode == 0 else None


def merge(base, ours, theirs, labels):
    """(the merged text, whether it is free of conflicts)."""
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for name, text in (("ours", ours), ("base", base), ("theirs", theirs)):
            paths.append(Path(folder, name))
            paths[-1].write_bytes(text)
        options = [part for label in labels for part in ("-L", label)]
        done = subprocess.run(
            ["git", "merge-file", "-p", *options, *map(str, paths)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
    if done.returncode > 127:
        stop(f"git merge-file failed: {done.stderr.decode().strip()}")
    return done.stdout, done.returncode == 0


class Tree:
    """The work tree and the committed files; writes nothing in a dry run."""

    def __init__(self, revision, dry):
        self.revision, self.dry = revision, dry
        self.pending = {}

    def read(self, stage, name):
        """A file as it is now, or None."""
        path = stage / name
        if path in self.pending:
            return self.pending[path]
        return path.read_bytes() if path.is_file() else None

    def write(self, stage, name, text):
        path = stage / name
        if self.dry:
            self.pending[path] = text
        elif text is None:
            path.unlink()
        else:
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(text)

    def committed(self, stage, name):
        spot = f"{self.revision}:./{stage.name}/{name}"
        return git("cat-file", "blob", spot)

    def names(self, stage, readme):
        """Every source file that the stage has or had."""
        folder = f"{stage.name}/"
        listing = git("ls-tree", "-rz", "--name-only", self.revision, folder)
        had = {part[len(folder) :] for part in listing.decode().split("\0")}
        names = set(filter(ladderlib.is_source, had))
        names.update(ladderlib.sources(stage), ["README.md"] if readme else [])
        return sorted(names)


Note = namedtuple("Note", "carried before by_hand")


class Notes:
    """What was carried where since the last commit; see the top."""

    def __init__(self):
        path = git("rev-parse", "--git-path", "ladder-lift.json")
        self.path = ROOT / path.decode().strip()
        self.all = {}
        if self.path.is_file():
            self.all = json.loads(self.path.read_text())

    @staticmethod
    def blob(text):
        """Keep a text in git's object store; its name there."""
        if text is None:
            return None
        return git("hash-object", "-w", "--stdin", data=text).decode().strip()

    @staticmethod
    def text(blob):
        return None if blob is None else git("cat-file", "blob", blob)

    def find(self, key, committed, tree, target, name):
        """The note on one file pair, if it still stands."""
        note = self.all.get(key)
        if not note or note["committed"] != self.blob(committed):
            return None
        carried, before = self.text(note["carried"]), self.text(note["before"])
        without = (before, tree.committed(target, name))
        if carried is None or tree.read(target, name) in without:
            return None
        return Note(carried, before, note["by_hand"])

    def keep(self, key, committed, note):
        self.all[key] = {
            "committed": self.blob(committed),
            "carried": self.blob(note.carried),
            "before": self.blob(note.before),
            "by_hand": note.by_hand,
        }
        self.path.write_text(json.dumps(self.all, indent=1))


class Lift:
    """One run: carries the files of one stage to the stages above it."""

    def __init__(self, tree, start):
        self.tree, self.notes = tree, Notes()
        self.again = f"make lift FROM={ladderlib.number(start)}"
        self.carried = self.failed = 0

    def put(self, stage, name, text, what):
        self.carried += 1
        self.tree.write(stage, name, text)
        print(f"{stage.name}/{name}: {what}", flush=True)

    def fail(self, stage, name, what):
        self.failed += 1
        print(f"lift: {stage.name}/{name} {what}", file=sys.stderr)

    def file(self, source, later, name):
        """Carry one file up; False at a conflict that stops the lift."""
        committed = self.tree.committed(source, name)
        for target in later:
            note, clean = self.step(source, target, name, committed)
            if not clean:
                return False
            if note and note.by_hand:  # from here on carry the resolution
                source, committed = target, committed and note.before
        return True

    def step(self, source, target, name, committed):
        """Carry one file to one stage: (the note that stands, no conflict)."""
        theirs = self.tree.read(source, name)
        ours = self.tree.read(target, name)
        for stage, text in (source, theirs), (target, ours):
            if MARKERS.search(text or b""):
                self.fail(stage, name, f"still has conflict marks: resolve"
                          f" them, then run `{self.again}` again")
                return None, False
        key = f"{source.name}/{name} > {target.name}"
        note = self.notes.find(key, committed, self.tree, target, name)
        base = note.carried if note else committed
        if theirs in (base, ours):
            return note, True
        if theirs is None or (ours is None and base is not None):
            self.gone(source, target, name, base, ours)
            return None, True
        labels = (
            target.name,
            f"{source.name} without the edit",
            f"{source.name} with the edit",
        )
        text, clean = merge(base or b"", ours or b"", theirs, labels)
        if text == ours:
            return note, True
        before = note.before if note else ours
        by_hand = not clean or bool(note and note.by_hand)
        note = Note(theirs, before, by_hand)
        if not self.tree.dry:
            self.notes.keep(key, committed, note)
        if clean:
            self.put(target, name, text, "added" if ours is None else "merged")
        else:
            self.tree.write(target, name, text)
            self.fail(target, name, f"conflicts with the edit of"
                      f" {source.name}: resolve the <<<<<<< marks in it, then"
                      f" run `{self.again}` again")
        return note, clean

    def gone(self, source, target, name, base, ours):
        """The file is missing in one of the two stages."""
        if ours is None:
            self.fail(target, name, f"is missing, so the edit of"
                      f" {source.name} has no place: restore it")
        elif ours == base:
            self.put(target, name, None, "removed")
        else:
            self.fail(target, name, f"differs from the file {source.name}"
                      " deleted: delete or keep it by hand")


def main():
    parser = argparse.ArgumentParser(description="carry an edit up the ladder")
    parser.add_argument("stage", nargs="?", help="the one edited: 01")
    parser.add_argument("--dry-run", action="store_true")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--readme", action="store_true")
    parser.add_argument("--base", default="HEAD", metavar="REV")
    options = parser.parse_args()
    if not options.stage:
        stop("say which stage was edited: make lift FROM=03")
    start = ladderlib.stage_of(options.stage)
    later = [stage for stage in ladderlib.stages() if stage > start]
    if not later:
        stop(f"{start.name} is the last stage: nothing to carry it to")
    if git("rev-parse", "-q", "--verify", f"{options.base}^{{commit}}") is None:
        stop(
            f"there is no commit {options.base} here: a lift needs the"
            " committed files (git clone, or commit before you edit)"
        )
    dry = options.dry_run or options.check
    tree = Tree(options.base, dry)
    lift = Lift(tree, start)
    for name in tree.names(start, options.readme):
        if not lift.file(start, later, name) and not dry:
            break
    if lift.carried + lift.failed == 0:
        print(
            f"lift: nothing to carry: the later stages have every edit made"
            f" in {start.name} since the commit {options.base}"
            " (an edit that is committed already: add BASE=HEAD~1)"
        )
    elif dry:
        print(f"lift: {lift.carried} files to write, {lift.failed} to mend")
    elif not lift.failed:
        print(f"lift: {lift.carried} files written; now: make ladder check")
    return int(lift.failed > 0 or (options.check and lift.carried > 0))


if __name__ == "__main__":
    sys.exit(main())
