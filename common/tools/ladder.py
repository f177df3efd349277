# SPDX-License-Identifier: MIT
"""make ladder: check the rules of the ladder and print each step's figures.

A step is what stage N+1 changes of stage N. A reader must be able to hold it
in the head, so: old files stay as they are, changes in them are insertions,
the public API only grows, and the chapter names every old file it changes.

    ladder.py             the table; exit 1 with a line per broken rule
    ladder.py --json      the same figures for another program
    ladder.py --summary   a line a stage: NN, lines added, removed, runtime LOC

A figure may be exceeded where keeping it would force worse code. That takes
a line `03-04 touched: reason` in common/ladder-exceptions.txt; see FIGURES
for the names. It is printed every time, and more than two are an error. The
size of the last stage is excepted by `06 size 2900: reason`: 2900 takes the
limit's place, so that it cannot grow unseen.
"""

import argparse
import json
import re
import sys
import textwrap
from collections import namedtuple

sys.dont_write_bytecode = True

import ladderlib
from ladderlib import ROOT, number, read

RUNTIME_LIMIT = 2000
EXCEPTIONS = ROOT / "common" / "ladder-exceptions.txt"

# The figures with a limit: what an exception calls them, what they may be,
# and what mends them. `at least` figures are shares that must not be lower.
Figure = namedtuple("Figure", "label sign limit remedy")
FIGURES = {
    "identical": Figure(
        "  byte-identical, %", ">=", 70,
        "let the new subsystem hook in through fewer old files"),
    "insertions": Figure(
        "  pure insertions, %", ">=", 80,
        "place the seam in the earlier stage (make lift), so that this"
        " stage only adds lines"),
    "space": Figure(
        "  only white space", "<=", 0,
        "take them back, or make them in every stage (make lift)"),
    "comments": Figure(
        "  only comments", "<=", 0,
        "take them back, or word the comment in every stage so that it"
        " holds for all (make lift)"),
    "changed": Figure(
        "lines changed in old files", "<=", 60,
        "move code into the new files"),
    "deletions": Figure(
        "deletions, % of the step", "<=", 5,
        "add to the old lines instead of replacing them"),
    "touched": Figure(
        "  touched, %", "<=", 14,
        "extend one seam instead of many functions"),
}


def share(part, whole):
    """A percentage; of nothing, all is as it should be."""
    return 100.0 * part / whole if whole else None


def compare(step):
    """What the functions and headers of a step's two stages have to say."""
    touched, total, problems = [], 0, []
    for name, path in step.before.items():
        if not path.suffix:
            continue
        old = ladderlib.functions(read(path))
        total += len(old)
        if name not in step.changed:
            continue  # the same, or gone: that is another message
        new = ladderlib.functions(read(step.after[name]))
        touched += compare_functions(name, old, new, problems)
    problems += compare_api(step)
    return touched, total, problems


def compare_functions(name, old, new, problems):
    left, touched, order = list(new), [], []
    for function in old:
        names = [f.name for f in left]
        if function.name not in names:
            problems.append(
                f"rule 2: {name}: function {function.name} is gone (renamed,"
                " moved or removed): put it back under its old name"
            )
            continue
        twin = left.pop(names.index(function.name))
        if twin.source != function.source:
            touched.append((name, function.name))
        order.append((twin.line, function.name))
    for before, after in zip(order, order[1:]):
        if before[0] > after[0]:
            problems.append(
                f"rule 2: {name}: {after[1]} now stands before {before[1]}:"
                " keep the functions in the old order"
            )
    return touched


def headers(files):
    api = {}
    for name, path in files.items():
        if path.suffix == ".h" and "/" not in name:
            for key, signature in ladderlib.declarations(read(path)).items():
                api[key] = (signature, name)
    return api


def compare_api(step):
    old, new = headers(step.before), headers(step.after)
    for key, (signature, name) in old.items():
        what = " ".join(map(str, key))
        if key not in new:
            yield (
                f"rule 3: {name}: {what} is no longer declared: the public"
                " API only grows, so declare it again"
            )
        elif new[key][0] != signature:
            yield (
                f"rule 3: {new[key][1]}: {what} changed from `{signature}`"
                f" to `{new[key][0]}`: keep it and add a new one beside it"
            )


def chapter(stage):
    """What a README says on changes: its sections headed so, or all of it."""
    path = stage / "README.md"
    text = read(path) if path.is_file() else ""
    picked, level = [], 0
    for line in text.split("\n"):
        heading = re.match(r"(#+) (.*)", line)
        if heading and len(heading.group(1)) <= (level or 9):
            here = re.search("chang", heading.group(2), re.I)
            level = len(heading.group(1)) if here else 0
        if level:
            picked.append(line)
    return "\n".join(picked) or text


def unnamed(step):
    """Rule 1: the chapter lists each changed old file."""
    text = chapter(step.new)
    for name in step.changed:
        short = name.rsplit("/", 1)[-1]
        if not re.search(rf"(?<![\w.-]){re.escape(short)}(?![\w-])", text):
            yield (
                f"rule 1: {short} is changed, and README.md does not say so:"
                " name it with the reason where the chapter lists its changes"
            )


def foreign_includes(stage):
    """A stage includes its own files, ../common/ and system headers."""
    allowed = [stage.resolve(), (ROOT / "common").resolve()]
    include = r'^[ \t]*#[ \t]*include[ \t]*(?:"([^"]+)"|<([^>]+)>)'
    for name, path in ladderlib.sources(stage).items():
        text = ladderlib.strip(read(path)) if path.suffix else ""
        for quoted, angled in re.findall(include, text, re.M):
            if angled and ".." not in angled and "stage" not in angled:
                continue
            places = [path.parent, stage, ROOT / "common", ROOT]
            found = [p / (quoted or angled) for p in places]
            found = [p.resolve() for p in found if p.is_file()]
            if any(top in p.parents for p in found for top in allowed):
                continue
            what = "is not a file of this stage or of common/"
            yield (
                f"include: {stage.name}/{name} includes"
                f" {quoted or angled}, which {what}: a stage stands alone"
            )


def measure(step):
    """A step's figures, and its broken rules that are no figure."""
    touched, total, problems = compare(step)
    kinds = [hunk.kind for hunk in step.hunks]
    pure = [hunk for hunk in step.hunks if hunk.removed == 0]
    figures = {
        "carried": len(step.carried),
        "identical": share(
            len(step.carried) - len(step.changed), len(step.carried)
        ),
        "hunks": len(step.hunks),
        "insertions": share(len(pure), len(step.hunks)),
        "space": kinds.count("space"),
        "comments": kinds.count("comment"),
        "changed": step.old_added + step.old_removed,
        "deletions": share(step.removed, step.added + step.removed),
        "old_deletions": share(
            step.old_removed, step.old_added + step.old_removed
        ),
        "functions": total,
        "touched": share(len(touched), total),
        "new_files": len(step.new_files),
        "added": step.added,
        "removed": step.removed,
    }
    for name in step.gone:
        problems.append(
            f"rule 2: {name} is gone (renamed, moved or removed):"
            " put it back under its old name"
        )
    problems += unnamed(step)
    spots = {
        "identical": step.changed,
        "insertions": [ladderlib.where(h) for h in step.hunks if h.removed],
        "space": [ladderlib.where(h) for h in step.hunks if h.kind == "space"],
        "comments": [
            ladderlib.where(h) for h in step.hunks if h.kind == "comment"
        ],
        "changed": [
            "{} +{} -{}".format(name, *step.changed_in(name))
            for name in step.changed
        ],
        "deletions": [ladderlib.where(h) for h in step.hunks if h.removed],
        "touched": ["{}:{}".format(*pair) for pair in touched],
    }
    return figures, spots, problems


def broken(figures):
    """The names of the figures that exceed their limits."""
    for name, figure in FIGURES.items():
        value = figures[name]
        low = figure.sign == ">="
        if value is not None and (
            value < figure.limit if low else value > figure.limit
        ):
            yield name


def read_exceptions():
    """{(step, figure): reason}, and what is wrong with the file itself."""
    found, problems = {}, []
    text = read(EXCEPTIONS) if EXCEPTIONS.is_file() else ""
    for at, line in enumerate(text.split("\n"), 1):
        if not line.strip() or line.startswith("#"):
            continue
        size = re.fullmatch(r"(\d\d) size (\d+): (\S.*)", line.strip())
        if size:
            found[size.group(1), f"size {size.group(2)}"] = size.group(3)
            continue
        match = re.fullmatch(r"(\d\d)->?(\d\d) (\w+): (\S.*)", line.strip())
        if match and match.group(3) in FIGURES:
            step = f"{match.group(1)}-{match.group(2)}"
            found[step, match.group(3)] = match.group(4)
        else:
            problems.append(
                f"{EXCEPTIONS.name}:{at}: write `03-04 figure: reason`, the"
                f" figure one of {', '.join(FIGURES)}"
            )
    if len(found) > 2:
        problems.append(
            f"{EXCEPTIONS.name}: {len(found)} exceptions; two in all are the"
            " most: mend the code of the others"
        )
    return found, problems


def runtime_sizes():
    """{'01': lines of code, ...} and the lines of common/ a stage links."""
    own = {
        number(stage): ladderlib.loc_of(ladderlib.runtime(stage))
        for stage in ladderlib.stages()
    }
    return own, ladderlib.loc_of(ladderlib.common_runtime())


def cell(value):
    if value is None:
        return "-"
    return f"{value:.1f}" if isinstance(value, float) else str(value)


def print_table(steps):
    """Every figure, a column a step, in less than 80 columns."""

    def row(label, key=None, limit=""):
        values = [cell(figures[key]) for figures in steps.values()]
        print(f"{label:<30}{limit:>6}" + "".join(f"{v:>8}" for v in values))

    def limited(key):
        figure = FIGURES[key]
        row(figure.label, key, f"{figure.sign}{figure.limit}")

    print(f"{'step':<30}{'limit':>6}" + "".join(f"{s:>8}" for s in steps))
    row("files carried", "carried")
    limited("identical")
    row("hunks in them", "hunks")
    for key in ("insertions", "space", "comments", "changed", "deletions"):
        limited(key)
    row("deletions, % in old files", "old_deletions")
    row("functions before", "functions")
    limited("touched")
    row("new files", "new_files")
    row("lines added", "added")
    row("lines removed", "removed")


def print_sizes(own, common):
    last = max(own)
    print(f"\n{'runtime, lines of code':<30}", end="")
    print("".join(f"{stage:>8}" for stage in own))
    print(f"{'  the stage':<30}" + "".join(f"{n:>8}" for n in own.values()))
    print(f"{'  common/ beside it':<30}{common:>8}")
    total = own[last] + common
    print(f"{f'  {last} with common/, <={RUNTIME_LIMIT}':<30}{total:>8}\n")


def check():
    """({step: figures}, sizes, exceptions that hold, problems)."""
    exceptions, problems = read_exceptions()
    table, unused = {}, set(exceptions)
    for stage in ladderlib.stages():
        problems += foreign_includes(stage)
        if not ladderlib.runtime(stage):
            problems.append(f"{stage.name}: no .c or .h file to examine")
        seen = set(ladderlib.sources(stage).values())
        for path in sorted(set(stage.rglob("*.[ch]")) - seen):
            if "build" not in path.relative_to(stage).parts:
                problems.append(
                    f"{path.relative_to(ROOT)} is not checked: a stage is"
                    " flat, but for examples/ and build/"
                )
    for step in ladderlib.steps():
        name = f"{number(step.old)}-{number(step.new)}"
        if not ladderlib.runtime(step.new):
            continue  # said above
        figures, spots, others = measure(step)
        table[name] = figures
        problems += [f"{step.new.name}: {text}" for text in others]
        for key in broken(figures):
            unused.discard((name, key))
            if (name, key) not in exceptions:
                problems.append(explain(step, key, figures[key], spots[key]))
    sizes = own, common = runtime_sizes()
    total, limit = own[max(own)] + common, RUNTIME_LIMIT
    for name, key in sorted(unused):
        if key.startswith("size ") and name == max(own) and total > limit:
            unused.discard((name, key))
            limit = int(key.split()[1])
    for name, key in sorted(unused):
        problems.append(
            f"{EXCEPTIONS.name}: {name} {key} is not needed (any more):"
            " delete the line"
        )
    if total > limit:
        problems.append(
            f"rule 6: stage {max(own)}'s runtime has {total} lines of code,"
            f" the limit is {limit}: find something simpler"
        )
    return table, sizes, exceptions, problems


def explain(step, key, value, spots):
    figure = FIGURES[key]
    at = ", ".join(spots[:6]) + (" ..." if len(spots) > 6 else "")
    return (
        f"{step.new.name}: rule 2: figure {key} is {cell(value)}, must be"
        f" {figure.sign} {figure.limit}: {figure.remedy}; see {at}"
    )


def summary():
    """A line a stage, for `make tour` to read."""
    all_stages = ladderlib.stages()
    own, _ = runtime_sizes()
    for old, new in zip([None] + all_stages, all_stages):
        step = ladderlib.Step(old, new)
        print(number(new), step.added, step.removed, own[number(new)])


def main():
    parser = argparse.ArgumentParser(description="check the ladder's rules")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--summary", action="store_true")
    options = parser.parse_args()
    if options.summary:
        return summary()
    table, (own, common), exceptions, problems = check()
    if not table:
        ladderlib.stop("one stage alone has no step to check")
    if options.json:
        report = {
            "steps": table,
            "runtime": own,
            "common": common,
            "exceptions": [[*key, why] for key, why in exceptions.items()],
            "problems": problems,
        }
        print(json.dumps(report, indent=2))
        return int(bool(problems))
    print_table(table)
    print_sizes(own, common)
    for (step, key), why in exceptions.items():
        text = f"exception {step} {key}: {why}"
        print(textwrap.fill(text, 78, subsequent_indent="  "))
    for problem in problems:
        print(f"ladder: {problem}")
    print(f"ladder: broken rules: {len(problems) or 'none'}")
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
