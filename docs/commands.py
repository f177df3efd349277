#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs the commands that the pages show, and compares what they print.

    commands.py [FILE...]     all ```console blocks; those of README.md, the
                              stages' README.md and docs/*.md by default

In such a block `$ command` is a command and the lines that follow are what it
prints; `...` stands for anything. A command with nothing below it may print
what it likes. A block is one shell session, in the top directory. What takes
long or installs something stands in ```sh blocks, which are not run.
"""

import contextlib
import os
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"(?ms)^```console\n(.*?)^```$")
MARK = "--- end of a command ---"
SECONDS = 120


def steps(block):
    """The (command, expected output) pairs of a block."""
    for part in re.split(r"(?m)^\$ ", block)[1:]:
        command, _, expected = part.partition("\n")
        yield command, expected.strip("\n")


class Session:
    """A shell that is told one command after the other."""

    def __init__(self):
        script, self.pipe = os.pipe()
        self.shell = subprocess.Popen(
            ["bash", f"/dev/fd/{script}"], cwd=ROOT, pass_fds=[script],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, start_new_session=True)
        os.close(script)
        self.text, self.limit = "", time.monotonic() + SECONDS

    def tell(self, line):
        with contextlib.suppress(BrokenPipeError):  # a command has ended it
            os.write(self.pipe, line.encode() + b"\n")

    def read(self, enough, seconds):
        """Reads until ENOUGH says of the text that it is, and whether it did
        before SECONDS were over, or all was."""
        limit = min(self.limit, time.monotonic() + seconds)
        while not enough(self.text):
            left = max(0, limit - time.monotonic())
            if not select.select([self.shell.stdout], [], [], left)[0]:
                return False
            part = os.read(self.shell.stdout.fileno(), 1 << 16)
            if not part:
                break
            self.text += part.decode(errors="replace")
        return True

    def run(self, command, expected):
        """What it prints. What goes on in the background has said what it has
        to say when there are as many lines as are expected of it."""
        self.tell(command)
        if command.endswith("&") and expected:
            lines = expected.count("\n") + 1
            self.read(lambda text: text.count("\n") >= lines, SECONDS / 4)
        self.tell(f"echo; echo '{MARK}'")
        if not self.read(lambda text: f"\n{MARK}\n" in text, SECONDS):
            os.killpg(self.shell.pid, signal.SIGKILL)
            self.text += "\n(took too long)"
        output, _, self.text = self.text.partition(f"\n{MARK}\n")
        return output.strip("\n")

    def end(self):
        self.tell("kill $(jobs -p) 2>/dev/null; wait")  # what still listens
        os.close(self.pipe)
        try:
            self.shell.wait(SECONDS / 4)
        except subprocess.TimeoutExpired:
            os.killpg(self.shell.pid, signal.SIGKILL)
            self.shell.wait()
        self.shell.stdout.close()


def run_session(pairs):
    """What each of the commands prints, all in one shell."""
    session = Session()
    outputs = [session.run(command, expected) for command, expected in pairs]
    session.end()
    return outputs


def matches(expected, output):
    pattern = ".*?".join(re.escape(part) for part in expected.split("..."))
    return re.fullmatch(pattern, output, re.S)


def faults(page):
    text = page.read_text(encoding="utf-8")
    for block in BLOCK.finditer(text):
        line = text.count("\n", 0, block.start()) + 1
        pairs = list(steps(block[1]))
        for (command, expected), output in zip(pairs, run_session(pairs)):
            if expected and not matches(expected, output):
                yield (f"{page.relative_to(ROOT)}:{line}: `{command}` printed\n"
                       f"{output}\ninstead of\n{expected}")


def main():
    pages = [Path(name).resolve() for name in sys.argv[1:]] or [
        ROOT / "README.md", *sorted(ROOT.glob("stage0*/README.md")),
        *sorted(ROOT.glob("docs/*.md"))]
    found = [fault for page in pages for fault in faults(page)]
    for fault in found:
        print(f"commands: {fault}", file=sys.stderr)
    print(f"commands: {len(pages)} pages, {len(found) or 'no'} faults")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
