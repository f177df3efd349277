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

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"(?ms)^```console\n(.*?)^```$")
MARK = "--- end of command {} ---"
SECONDS = 120


def steps(block):
    """The (command, expected output) pairs of a block."""
    for part in re.split(r"(?m)^\$ ", block)[1:]:
        command, _, expected = part.partition("\n")
        yield command, expected.strip("\n")


def run_session(commands):
    """What each of the commands prints, all in one shell."""
    script = ["exec 2>&1"]
    for n, command in enumerate(commands):
        script.append(command)
        if command.endswith("&"):
            script.append("sleep 0.5")  # as long as a reader takes, at least
        script.append(f"echo; echo '{MARK.format(n)}'")
    script.append("kill $(jobs -p) 2>/dev/null")  # what still listens
    shell = subprocess.Popen(
        ["bash", "-c", "\n".join(script)], cwd=ROOT, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        start_new_session=True)
    try:
        text, outputs = shell.communicate(timeout=SECONDS)[0], []
    except subprocess.TimeoutExpired:
        os.killpg(shell.pid, signal.SIGKILL)
        text, outputs = shell.communicate()[0] + "\n(took too long)", []
    for n in range(len(commands)):
        output, _, text = text.partition("\n" + MARK.format(n) + "\n")
        outputs.append(output.strip("\n"))
    return outputs


def matches(expected, output):
    pattern = ".*?".join(re.escape(part) for part in expected.split("..."))
    return re.fullmatch(pattern, output, re.S)


def faults(page):
    text = page.read_text(encoding="utf-8")
    for block in BLOCK.finditer(text):
        line = text.count("\n", 0, block.start()) + 1
        pairs = list(steps(block[1]))
        outputs = run_session([command for command, _ in pairs])
        for (command, expected), output in zip(pairs, outputs):
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
