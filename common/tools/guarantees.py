# SPDX-License-Identifier: MIT
"""make guarantees: every promise has a test, and every test names a promise.

A header promises with ` * @guarantee{G1.2} text`; the text goes on to a blank
comment line, the next @command or the comment's end. Group n (Gn.1, Gn.2, ...)
belongs to stage n; later stages keep the promise, word for word. A promise
that is not made yet stands as ` * @planned{G5.4} text`, so that its number is
taken. A test of tests/stageNN_*.c is a function g1_2_some_words that stands in
the file's CMUnitTest table and asserts something, itself or through a helper.

The column `run on` has the stages on which tests/run.py has last seen all of a
promise's tests pass, on this machine and with these sources; `-` is none.

    guarantees.py        the table; exit 1 with a line per fault
    guarantees.py -v     the names of the tests, too
"""

import argparse
import re
import sys
from collections import defaultdict, namedtuple

sys.dont_write_bytecode = True

import ladderlib
from ladderlib import ROOT, number, read

Promise = namedtuple("Promise", "id kind text stage header")
Test = namedtuple("Test", "id name file stage")

MARK = re.compile(
    r"[@\\](guarantee|planned)\b(?:\{(G[1-9]\d*\.[1-9]\d*)\})?"
    r"(.*?)(?=\n[ \t]*(?:\n|[@\\]\w)|\Z)",
    re.S,
)
TEST = re.compile(r"g([1-9]\d*)_([1-9]\d*)_\w+")
# skip() passes nothing: a test that calls it is counted as skipped, aloud
ASSERTION = re.compile(
    r"assert_\w+|expect_\w+|check_expected\w*|fail(_msg)?|skip"
)


def order(promise):
    """G1.10 comes after G1.9."""
    return tuple(map(int, promise[1:].split(".")))


def stage_number(promise):
    return f"{order(promise)[0]:02}"


# --- promises ------------------------------------------------------------


def promises_of(stage, faults):
    """What one stage's headers promise, by identifier."""
    found = {}
    for path in sorted(stage.glob("*.h")):
        for token in ladderlib.tokens(read(path)):
            if token.kind != "comment":
                continue
            body = re.sub(r"(?m)^[ \t]*(/?\*+(?!/)|///?)[ \t]?", "", token.text)
            for kind, name, text in MARK.findall(body.replace("*/", "")):
                promise = Promise(
                    name, kind, " ".join(text.split()), stage, path.name
                )
                where = f"{stage.name}/{path.name}:{token.line}"
                if not name or not promise.text:
                    faults.append(
                        f"{where}: write @{kind}{{G1.2}} and then its text"
                    )
                elif name in found:
                    faults.append(
                        f"{where}: {name} stands in {found[name].header}"
                        " already: a promise is made in one place"
                    )
                else:
                    found[name] = promise
    return found


def check_ladder(by_stage, faults):
    """Later stages keep the promises of earlier ones, word for word."""
    for (old, before), (new, after) in zip(by_stage, by_stage[1:]):
        for name, promise in before.items():
            if name not in after:
                faults.append(
                    f"{new.name} drops {name} of {old.name}/{promise.header}:"
                    " a promise holds on every later stage"
                )
                continue
            for part in ("text", "header", "kind"):
                was, now = (getattr(p, part) for p in (promise, after[name]))
                if was != now:
                    faults.append(
                        f"{new.name}/{after[name].header}: the {part} of"
                        f" {name} is `{now}`, but `{was}` in {old.name}: make"
                        " them the same (make lift)"
                    )
        for name, promise in after.items():
            if name not in before and stage_number(name) != number(new):
                faults.append(
                    f"{new.name}/{promise.header}: {name} comes too late: it"
                    f" belongs to stage {stage_number(name)}, so promise it"
                    " there or give it a number of this stage's group"
                )


def check_first(stage, promises, faults):
    for name, promise in promises.items():
        if stage_number(name) != number(stage):
            faults.append(
                f"{stage.name}/{promise.header}: {name} is not of this stage's"
                " group: give it another number"
            )


def check_numbers(promises, faults):
    """No number is left out, and no stage promises nothing."""
    groups = defaultdict(set)
    for name in promises:
        group, item = order(name)
        groups[group].add(item)
    for stage in ladderlib.stages():
        group = int(number(stage))
        if not groups[group]:
            faults.append(f"{stage.name}: its headers make no promise G{group}")
        for item in sorted(set(range(1, max(groups[group], default=0)))):
            if item not in groups[group]:
                faults.append(
                    f"{stage.name}: G{group}.{item} is missing: promise it"
                    " with @guarantee, or @planned if it comes later"
                )


def check_chapters(promises, faults):
    for name, promise in promises.items():
        path = promise.stage / "README.md"
        text = read(path) if path.is_file() else ""
        if promise.kind == "guarantee" and not re.search(
            rf"\b{re.escape(name)}(?!\d)", text
        ):
            faults.append(
                f"{promise.stage.name}/README.md: does not name {name}, which"
                f" {promise.header} promises: name it in the chapter"
            )
    for stage in ladderlib.stages():
        path = stage / "README.md"
        text = read(path) if path.is_file() else ""
        for name in sorted(set(re.findall(r"\bG[1-9]\d*\.[1-9]\d*", text))):
            if name not in promises:
                faults.append(
                    f"{stage.name}/README.md: names {name}, which no header"
                    " promises"
                )


# --- tests ---------------------------------------------------------------


def calls(tokens):
    """(all words, whether an assertion of cmocka's is called)."""
    asserts = any(
        ASSERTION.fullmatch(here.text) and after.text == "("
        for here, after in zip(tokens, tokens[1:])
    )
    return {token.text for token in tokens if token.kind == "word"}, asserts


def definitions(text):
    """The words and the assertions in each function and macro of a file."""
    found = {f.name: calls(f.body) for f in ladderlib.functions(text)}
    macro = r"(?m)^[ \t]*#[ \t]*define[ \t]+(\w+)((?:.*\\\n)*.*)"
    for name, body in re.findall(macro, ladderlib.strip(text)):
        found[name] = calls(ladderlib.code(body, directives=True))
    return found


def asserting(known):
    """The names that assert, themselves or through another of the names."""
    found = {name for name, (_, asserts) in known.items() if asserts}
    while True:
        more = {name for name, (words, _) in known.items() if words & found}
        if more <= found:
            return found
        found |= more


def tables(text):
    """The words in a file's CMUnitTest tables, and the tests they register."""
    tokens, depth, inside = ladderlib.code(text), 0, False
    words, registered = set(), []
    for at, token in enumerate(tokens):
        inside = inside or token.text == "CMUnitTest"
        depth += {"{": 1, "}": -1}.get(token.text, 0) if inside else 0
        if inside and depth and token.kind == "word":
            words.add(token.text)
            if token.text.startswith("cmocka_unit_test"):
                registered.append(tokens[at + 2])
        inside = inside and not (depth == 0 and token.text in ";)")
    return words, registered


def tests_of(path, shared, faults):
    """The tests of one file, checked."""
    text, where = read(path), f"tests/{path.name}"
    known = {**shared, **definitions(text)}
    assert_names = asserting(known)
    in_table, registered = tables(text)
    for token in registered:
        if not TEST.fullmatch(token.text):
            faults.append(
                f"{where}:{token.line}: {token.text} names no promise: call"
                " it g1_2_what_it_shows"
            )
    for function in ladderlib.functions(text):
        match = TEST.fullmatch(function.name)
        if not match:
            continue
        spot = f"{where}:{function.line}: {function.name}"
        if function.name not in in_table:
            faults.append(f"{spot} never runs: add it to the CMUnitTest table")
        if function.name not in assert_names:
            faults.append(f"{spot} asserts nothing: assert what it promises")
        promise = "G{}.{}".format(*match.groups())
        yield Test(promise, function.name, path, path.name[5:7])


def all_tests(faults):
    paths = sorted((ROOT / "tests").glob("*.[ch]"))
    own = [p for p in paths if re.match(r"stage\d\d_.*\.c$", p.name)]
    if not own:
        faults.append("tests/: no stageNN_*.c file to examine")
    shared = {}
    for path in paths:
        if path not in own:
            shared.update(definitions(read(path)))
    return [test for path in own for test in tests_of(path, shared, faults)]


def check_tests(promises, by_stage, tests, faults):
    at_stage = {number(stage): made for stage, made in by_stage}
    for test in tests:
        spot = f"tests/{test.file.name}: {test.name}"
        promise = promises.get(test.id)
        if promise is None or test.id not in at_stage.get(test.stage, {}):
            faults.append(
                f"{spot} tests {test.id}, which no header of stage"
                f" {test.stage} promises"
            )
        elif promise.kind == "planned":
            faults.append(
                f"{spot} tests a planned promise: make it @guarantee in"
                f" {promise.header}"
            )
    tested = {test.id for test in tests}
    for name, promise in promises.items():
        if promise.kind == "guarantee" and name not in tested:
            faults.append(
                f"{promise.stage.name}/{promise.header}: {name} has no test:"
                f" write one in tests/stage{stage_number(name)}_*.c"
            )


# --- where they were run -------------------------------------------------


def newest(paths):
    return max((path.stat().st_mtime for path in paths), default=0)


def passes():
    """By stage, the tests that have passed and not failed on it since its
    sources, or theirs, were changed."""
    passed, failed = defaultdict(set), defaultdict(set)
    for path in (ROOT / "tests" / "build" / "ran").glob("*-*-*-*"):
        stage, tests = path.name.split("-")[:2]
        sources = [*ROOT.glob(f"stage{stage}-*/*.[ch]"),
                   *ROOT.glob(f"tests/stage{tests}_*.c")]
        if path.stat().st_mtime < newest(sources):
            continue
        for line in read(path).splitlines():
            name, outcome = line.split()
            {"passed": passed, "failed": failed}.get(
                outcome, defaultdict(set))[stage].add(name)
    return {stage: passed[stage] - failed[stage] for stage in passed}


def stages_of(tests, passed):
    """In short: 03-06, or 03,05."""
    names = {test.name for test in tests}
    stages = [s for s in sorted(passed) if names and names <= passed[s]]
    if len(stages) > 2 and len(stages) == int(stages[-1]) - int(stages[0]) + 1:
        return f"{stages[0]}-{stages[-1]}"
    return ",".join(stages) or "-"


# --- the table -----------------------------------------------------------


def shorten(text, width):
    return text if len(text) <= width else text[: width - 3].rstrip() + "..."


def print_table(promises, tests, last, names):
    passed = passes()
    print(f"{'promise':<8}{'text':<42}{'header':<14}{'tests':>6}  stages run on")
    for name in sorted(promises, key=order):
        promise = promises[name]
        mine = [test for test in tests if test.id == name]
        stages, count = "planned", "-"
        if promise.kind == "guarantee":
            first = min((t.stage for t in mine), default=stage_number(name))
            stages, count = f"{first}-{last}", len(mine)
        print(
            f"{name:<8}{shorten(promise.text, 41):<42}{promise.header:<14}"
            f"{count:>6}  {stages:<6} {stages_of(mine, passed)}"
        )
        for test in mine if names else ():
            print(f"{'':<8}{test.name}")


def main():
    parser = argparse.ArgumentParser(description="promises and their tests")
    parser.add_argument("-v", "--verbose", action="store_true")
    options = parser.parse_args()
    faults, promises = [], {}
    by_stage = [(s, promises_of(s, faults)) for s in ladderlib.stages()]
    for _, made in reversed(by_stage):
        promises.update(made)  # ends with the stage that makes it first
    check_first(*by_stage[0], faults)
    check_ladder(by_stage, faults)
    check_numbers(promises, faults)
    check_chapters(promises, faults)
    tests = all_tests(faults)
    check_tests(promises, by_stage, tests, faults)
    last = number(by_stage[-1][0])
    print_table(promises, tests, last, options.verbose)
    made = sum(p.kind == "guarantee" for p in promises.values())
    print(
        f"\nguarantees: {made} promises, {len(promises) - made} planned,"
        f" {len(tests)} tests"
    )
    for fault in faults:
        print(f"guarantees: {fault}")
    print(f"guarantees: faults: {len(faults) or 'none'}")
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
