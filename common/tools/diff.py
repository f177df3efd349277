# SPDX-License-Identifier: MIT
"""make diff-NN: what stage NN changed from the stage before, to be read.

    diff.py NN           new files by name, then the changes of old files
    diff.py NN --full    the new files' text as well
    diff.py NN --stat    figures only

Examples come last; README.md and Makefile are left out. On a terminal the
output is paged ($PAGER, else less) and coloured (unless NO_COLOR is set).
"""

import argparse
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys

sys.dont_write_bytecode = True

import ladderlib
from ladderlib import ROOT, read


def purpose(path):
    """The first sentence of a file's top comment, SPDX line and tags aside."""
    text = ""
    for token in ladderlib.tokens(read(path)):
        if token.kind == "comment":
            text += token.text + "\n\n"
        elif token.kind != "space":
            break
    text = re.sub(r"(?m)^[ \t]*(/\*[*!]*|//[/!]*|\*+/?)[ \t]?|\*/", "", text)
    text = re.sub(r"(?m)^.*(SPDX-|Copyright).*$", "", text)
    text = re.sub(r"[@\\]file\b[ \t]*(\S+\.[ch]\b)?|[@\\]brief\b", "", text)
    paragraph = re.split(r"\n[ \t]*\n", text.strip())[0]
    line = " ".join(paragraph.split())
    line = re.sub(rf"^{re.escape(path.name)}\s*[:,–—-]+\s*", "", line)
    return re.split(r"(?<=[.])\s", line)[0] or "(no comment says what for)"


def in_order(names):
    """The stage's own files, then its examples; the Makefile left out."""
    names = [name for name in names if name != "Makefile"]
    return sorted(names, key=lambda name: ("/" in name, name))


def bold(text, colour):
    return f"\033[1m{text}\033[m" if colour else text


def git_diff(old, new, colour):
    paint = f"--color={'always' if colour else 'never'}"
    paths = [os.path.relpath(p, ROOT) if p else os.devnull for p in (old, new)]
    done = subprocess.run(
        ["git", "diff", "--no-index", "--no-prefix", "--no-ext-diff", paint,
         "--", *paths],
        cwd=ROOT, stdout=subprocess.PIPE,
    )
    text = done.stdout.decode("utf-8", "replace")
    noise = r"(\033\[\d*m)*(diff --git|index|new file mode) .*\n"
    return re.sub(rf"(?m)^{noise}", "", text)


def new_file_list(step, colour):
    for name in in_order(step.new_files):
        lines = f"{step.new_files[name]} lines"
        yield f"{bold(name, colour)}  {lines}\n    {purpose(step.after[name])}"


def as_text(step, full, colour):
    """The whole page."""
    title = f"{step.new.name} is the first stage: all of it is new"
    if step.old:
        title = f"What {step.new.name} adds to {step.old.name}"
    changed = in_order(step.changed)
    parts = [bold(title, colour), "", bold("New files", colour), ""]
    parts += list(new_file_list(step, colour)) or ["none"]
    parts += ["", bold("Changed files", colour), ""]
    for name in changed:
        parts.append("{}  +{} -{}".format(name, *step.changed_in(name)))
    parts += [] if changed else ["none"]
    parts += [f"{name}  removed" for name in in_order(step.gone)]
    parts.append("")
    for name in in_order(step.after):
        if name in changed:
            old, new = step.before[name], step.after[name]
            parts.append(git_diff(old, new, colour))
        elif full and name in step.new_files:
            parts.append(git_diff(None, step.after[name], colour))
    return "\n".join(parts).rstrip("\n") + "\n"


def stat_line(step, name):
    added, removed = step.new_files.get(name, 0), 0
    if name in step.changed:
        added, removed = step.changed_in(name)
    mark = "new" if name in step.new_files else "   "
    return f"{name:<36} {mark} {f'+{added}':>6} {f'-{removed}':>7}"


def as_figures(step):
    """Per file the lines added and removed, then what there is to read."""
    names = in_order([*step.new_files, *step.changed])
    yield f"{step.new.name:<36}      added removed"
    for name in names:
        yield stat_line(step, name)
    for name in in_order(step.gone):
        yield f"{name:<36} removed"
    example = {name for name in names if "/" in name}
    for label, some in (
        ("the stage", [n for n in names if n not in example]),
        ("examples", example),
        ("one sitting", names),
    ):
        new = sum(step.new_files.get(name, 0) for name in some)
        changed = [step.changed_in(n) for n in some if n in step.changed]
        added, removed = (sum(side) for side in zip(*changed, (0, 0)))
        yield (
            f"{label}: {new + added + removed} lines to read = {new} in new"
            f" files, +{added} -{removed} in {len(changed)} old ones"
        )


def show(text, page):
    """Print the text, through the pager when it is to be paged."""
    pager = shlex.split(os.environ.get("PAGER", "")) or ["less", "-R"]
    if not page or not shutil.which(pager[0]):
        sys.stdout.write(text)
        return
    environment = {"LESS": "FRX", **os.environ}
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is the pager's
    subprocess.run(pager, input=text.encode(), env=environment, check=False)


def main():
    parser = argparse.ArgumentParser(description="show a step of the ladder")
    parser.add_argument("stage", help="the later stage of the step: 03")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--stat", action="store_true")
    options = parser.parse_args()
    all_stages = ladderlib.stages()
    new = ladderlib.stage_of(options.stage)
    at = all_stages.index(new)
    step = ladderlib.Step(all_stages[at - 1] if at else None, new)
    terminal = sys.stdout.isatty()
    colour = terminal and not os.environ.get("NO_COLOR")
    if options.stat:
        show("\n".join(as_figures(step)) + "\n", False)
    else:
        show(as_text(step, options.full, colour), terminal)


if __name__ == "__main__":
    try:
        main()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
