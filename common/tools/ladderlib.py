# SPDX-License-Identifier: MIT
"""What the ladder's tools share: the stages, their files, a C lexer, a step.

- stages(), stage_of("03"), number(stage): the stage directories, in order.
- sources(stage): its source files by name; README.md and build/ are none.
- tokens(text), strip(text), loc(text): C read well enough to tell code from
  comments; loc() counts the lines that are neither blank nor comment only.
- functions(text), declarations(text): what a file defines, what a header says.
- Step(old, new): the figures of the step between two stages.
"""

import re
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def stop(message):
    """End the tool: something is wrong that is not a finding of the check."""
    tool = Path(sys.argv[0]).stem
    sys.exit(f"{tool}: {message}")


# --- stages and files ----------------------------------------------------


def stages():
    found = sorted(p for p in ROOT.glob("stage[0-9][0-9]-*") if p.is_dir())
    if not found:
        stop(f"no stageNN-name directory in {ROOT}: run me inside the workbook")
    return found


def number(stage):
    return stage.name[5:7]


def stage_of(text):
    """The stage directory for '3', '03' or 'stage03-spsc'."""
    digits = re.match(r"(?:stage)?0*(\d+)", text)
    for stage in stages():
        if digits and int(number(stage)) == int(digits.group(1)):
            return stage
    known = " ".join(number(stage) for stage in stages())
    stop(f"there is no stage '{text}': choose one of {known}")


def is_source(name):
    """Is this name, relative to a stage, one of the stage's source files?"""
    return re.fullmatch(r"Makefile|(examples/)?[^./][^/]*\.[ch]", name)


def sources(stage):
    """A stage's source files, name -> path: .c, .h, Makefile, the examples."""
    paths = [*stage.glob("*"), *stage.glob("examples/*")]
    names = {p.relative_to(stage).as_posix(): p for p in paths if p.is_file()}
    return {name: names[name] for name in sorted(names) if is_source(name)}


def runtime(stage):
    """The stage's own .c and .h outside examples/."""
    files = sources(stage).items()
    return [p for name, p in files if p.suffix and "/" not in name]


def common_runtime():
    """The C code in common/ that a stage links on Linux."""
    others = ("platform_posix.c", "io_uring_none.c")
    paths = sorted((ROOT / "common").glob("*.[ch]"))
    return [p for p in paths if p.name not in others]


def read(path):
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        stop(f"{path} is not UTF-8: save it as UTF-8")


# --- C, as far as the checks need it -------------------------------------

Token = namedtuple("Token", "kind text line directive")

LEXER = re.compile(
    r"""(?P<space>   \s+ | \\\r?\n )
      | (?P<comment> /\*.*?(?:\*/|\Z) | //(?:\\\r?\n|[^\n])* )
      | (?P<string>  (?:u8|[uUL])?"(?:\\.|[^"\\\n])*"
                   | [uUL]?'(?:\\.|[^'\\\n])*' )
      | (?P<word>    [A-Za-z_]\w* )
      | (?P<number>  \.?\d(?:[eEpP][+-]|[\w.])* )
      | (?P<punct>   . )""",
    re.X | re.S,
)


def tokens(text):
    """Every token, comments and white space too; joined they are the text."""
    line, line_start, directive = 1, True, False
    for match in LEXER.finditer(text):
        kind, part = match.lastgroup, match.group()
        if kind == "space" and "\n" in part and part[0] != "\\":
            line_start, directive = True, False
        elif kind not in ("space", "comment"):
            directive = directive or (line_start and part == "#")
            line_start = False
        yield Token(kind, part, line, directive)
        line += part.count("\n")


def code(text, directives=False):
    """The tokens that mean something to the compiler."""
    return [
        token
        for token in tokens(text)
        if token.kind not in ("space", "comment")
        and (directives or not token.directive)
    ]


def strip(text):
    """The text with every comment blanked out, lines and columns kept."""
    return "".join(
        re.sub(r"[^\n]", " ", t.text) if t.kind == "comment" else t.text
        for t in tokens(text)
    )


def loc(text):
    return sum(1 for line in strip(text).splitlines() if line.strip())


def loc_of(paths):
    return sum(loc(read(path)) for path in paths)


Function = namedtuple("Function", "name line body source")
NESTING = {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}
NOT_NAMES = ("__attribute__", "_Alignas", "_Static_assert", "__declspec")


def function_name(head):
    """The name a declaration up to its '{' or ';' gives a function, or None."""
    depth = 0
    for at, token in enumerate(head):
        if depth == 0 and token.text in ("=", "typedef"):
            return None
        opens = [t.text for t in head[at + 1 : at + 3]]
        if depth == 0 and token.kind == "word" and opens[:1] == ["("]:
            if token.text not in NOT_NAMES and opens[1:] != ["*"]:
                return token.text
        depth += NESTING.get(token.text, 0)
    return None


def segments(text):
    """The declarations at file scope: (tokens, index of their first '{')."""
    start, depth, brace, found = 0, 0, None, []
    marks = code(text)
    for at, token in enumerate(marks):
        if token.text == "{":
            brace = at if brace is None else brace
            depth += 1
        elif token.text == "}":
            depth = max(depth - 1, 0)
        if depth or token.text not in (";", "}"):
            continue
        if token.text == "}" and not function_name(marks[start:brace]):
            continue  # a struct or an initialiser: it goes on to its ';'
        head = None if brace is None else brace - start
        found.append((marks[start : at + 1], head))
        start, brace = at + 1, None
    return found


def functions(text):
    """The functions a file defines, in order; source is their whole text."""
    lines, found = text.split("\n"), []
    for part, brace in segments(text):
        name = brace is not None and function_name(part[:brace])
        if name:
            first, last = part[0].line, part[-1].line
            source = "\n".join(lines[first - 1 : last])
            found.append(Function(name, first, part[brace:], source))
    return found


def spell(part):
    return " ".join(token.text for token in part if token.text != "extern")


def declarations(text):
    """What a header declares: ("function", "mini_run") -> its signature."""
    found = {}
    for part, brace in segments(text):
        head = part[:brace] if brace is not None else part[:-1]
        name = function_name(head)
        if name:
            found["function", name] = spell(head)
            continue
        for at, token in enumerate(part):
            if token.text not in ("struct", "union", "enum"):
                continue
            tag, opens = part[at + 1], part[at + 1 : at + 3]
            if tag.kind == "word" and opens[-1].text == "{":
                found[token.text, tag.text] = ""
            if token.text == "enum" and "{" in (t.text for t in opens):
                found.update(enumerators(part[at:]))
        kind = {"typedef": "typedef", "extern": "variable"}.get(part[0].text)
        if kind:
            flat = re.sub(r"\{.*\}|\[.*\]", "", spell(part))
            pointer = re.search(r"\( \* (\w+) \)", flat)
            name = pointer or re.search(r"(\w+)\s*;", flat)
            found[kind, name and name.group(1)] = flat
    macro = r"^[ \t]*#[ \t]*define[ \t]+(\w+)(\([^)]*\))?"
    for name, parameters in re.findall(macro, strip(text), re.M):
        found["macro", name] = re.sub(r"[\s\\]", "", parameters)
    return found


def enumerators(part):
    """The constants of an enum whose tokens begin here."""
    depth, found = 0, {}
    for before, token in zip(part, part[1:]):
        depth += NESTING.get(before.text, 0)
        if before.text == "}" and depth == 0:
            break
        if depth == 1 and before.text in "{," and token.kind == "word":
            found["enumerator", token.text] = ""
    return found


# --- a step: what one stage changes of the stage before ------------------

Hunk = namedtuple("Hunk", "file old removed new added kind")
HUNK = re.compile(r"^@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@", re.M)


def where(hunk):
    """A hunk as git prints it, so that it can be found in `make diff-NN`."""
    return (
        f"{hunk.file} @@ -{hunk.old},{hunk.removed} "
        f"+{hunk.new},{hunk.added} @@"
    )


def raw_hunks(old, new):
    """The hunks of git diff -U0, whatever the user's configuration says."""
    done = subprocess.run(
        "git diff --no-index --no-color --no-ext-diff --no-textconv -U0"
        " --inter-hunk-context=0 --diff-algorithm=myers --indent-heuristic"
        " --".split() + [str(old), str(new)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )
    if done.returncode > 1:
        stop(f"git diff failed: {done.stderr.decode(errors='replace').strip()}")
    text = done.stdout.decode("utf-8", "replace")
    for match in HUNK.finditer(text):
        yield [1 if part is None else int(part) for part in match.groups()]


def meaning(path, first, count):
    """(the code, all that is not white space) on some lines of a file."""
    if count == 0:
        return [], ""
    text, lines = read(path), range(first, first + count)
    raw = "\n".join(text.split("\n")[first - 1 : first - 1 + count])
    if path.suffix:
        marks = [t.text for t in code(text, True) if t.line in lines]
    else:  # a Makefile
        marks = re.sub(r"(?m)(?<!\\)#.*$", "", raw).split()
    return marks, "".join(raw.split())


def hunks(name, old, new):
    """The changes of one file, each `code`, `space` or `comment`."""
    for before, removed, after, added in raw_hunks(old, new):
        was = meaning(old, before, removed)
        now = meaning(new, after, added)
        kind = "code"
        if was[0] == now[0]:
            kind = "space" if was[1] == now[1] else "comment"
        yield Hunk(name, before, removed, after, added, kind)


def lines_of(path):
    text = read(path)
    return text.count("\n") + (text[-1:] not in ("", "\n"))


class Step:
    """The difference between two adjacent stages; old None: all is new."""

    def __init__(self, old, new):
        self.old, self.new = old, new
        before, after = sources(old) if old else {}, sources(new)
        self.before, self.after = before, after
        self.carried = [name for name in before if name in after]
        self.gone = [name for name in before if name not in after]
        self.changed = [
            name
            for name in self.carried
            if before[name].read_bytes() != after[name].read_bytes()
        ]
        self.new_files = {
            name: lines_of(path)
            for name, path in after.items()
            if name not in before
        }
        self.hunks = [
            hunk
            for name in self.changed
            for hunk in hunks(name, before[name], after[name])
        ]
        gone = sum(lines_of(before[name]) for name in self.gone)
        self.old_added = sum(hunk.added for hunk in self.hunks)
        self.old_removed = sum(hunk.removed for hunk in self.hunks) + gone
        self.added = self.old_added + sum(self.new_files.values())
        self.removed = self.old_removed

    def changed_in(self, name):
        """(lines added, lines removed) in one carried file."""
        mine = [hunk for hunk in self.hunks if hunk.file == name]
        return sum(h.added for h in mine), sum(h.removed for h in mine)


def steps():
    """Every step between neighbours, in order."""
    all_stages = stages()
    return [Step(old, new) for old, new in zip(all_stages, all_stages[1:])]
