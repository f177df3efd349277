# SPDX-License-Identifier: MIT
"""The small ways in which mutants.py breaks a file of C.

mutants_of(path) gives all of them, each as a Mutant: one place, what stands
there instead, and its kind. Read with the lexer of ladderlib, not compiled: a
few do not compile, and count as none. Only code is touched: bodies of functions
and of macros with parameters, and tables; no declaration, no constant.

    condition   negated, or without one of its parts; a wrong comparison
    bound       one more or one less; less for more
    statement   left out: a call, an assignment, a jump, a member of a table
    wake, free  left out, and what it was for was waking, or giving back
    result      another value than the one returned or stored
    arguments   two neighbours of a call swapped
    order       an atomic operation with a weaker memory order
"""

import bisect
import re
from collections import namedtuple

import ladderlib

Mutant = namedtuple("Mutant", "file where kind start end text old new line")
Mark = namedtuple("Mark", "text kind start end")

COMPARISONS = {
    "==": [("condition", "!=")],
    "!=": [("condition", "==")],
    "<": [("bound", "<="), ("condition", ">=")],
    "<=": [("bound", "<"), ("condition", ">")],
    ">": [("bound", ">="), ("condition", "<=")],
    ">=": [("bound", ">"), ("condition", "<")],
}
OTHERS = {
    "&&": [("condition", "||")],
    "||": [("condition", "&&")],
    "++": [("bound", "--")],
    "--": [("bound", "++")],
    "+=": [("bound", "-=")],
    "-=": [("bound", "+=")],
    "|=": [("bound", "=")],
    "&=": [("bound", "=")],
    "<<": [("bound", ">>")],
    ">>": [("bound", "<<")],
    "true": [("result", "false")],
    "false": [("result", "true")],
}
BINARY = {"+": "-", "-": "+", "&": "|", "|": "&"}
OPERATORS = (
    "... <<= >>= -> ++ -- << >> <= >= == != && || += -= *= /= %= &= |= ^="
).split()
ASSIGNMENTS = "= += -= *= /= %= &= |= ^= <<= >>=".split()
# A statement never begins with these, or is not one to leave out.
NO_STATEMENT = set(
    "if for while do switch case default goto else MINI_BEGIN MINI_END"
    " _Static_assert __attribute__ static const struct union enum return break"
    " continue sizeof".split()
)
NO_CALL = set(
    "if for while switch return sizeof _Alignas __attribute__ case offsetof"
    " _Static_assert _Atomic printf fprintf snprintf fputc fputs".split()
)
WAKES = re.compile(r"wake|ring(?!s)|notify|tell|serve\b|signal|announce")
FREES = re.compile(
    r"free|close|destroy|return|release|unmap|join\(|unpin|detach"
)
# seq_cst, which is what these have without saying so; then weaker ones.
WEAKER = {
    "load": ["acquire", "relaxed"],
    "store": ["release", "relaxed"],
    "exchange": ["acq_rel", "relaxed"],
    "fetch_add": ["acq_rel", "relaxed"],
    "fetch_sub": ["acq_rel", "relaxed"],
    "fetch_or": ["acq_rel", "relaxed"],
    "flag_test_and_set": ["acq_rel", "relaxed"],
    "compare_exchange_weak": ["acq_rel acquire", "relaxed relaxed"],
    "compare_exchange_strong": ["acq_rel acquire", "relaxed relaxed"],
}


def merged(tokens):
    """Marks of (offset, token) pairs, with operators of more than one sign."""
    marks, at = [], 0
    while at < len(tokens):
        start, token = tokens[at]
        text, n = token.text, 1
        for operator in OPERATORS if token.kind == "punct" else ():
            part = tokens[at : at + len(operator)]
            if "".join(t.text for _, t in part) == operator and (
                part[-1][0] == start + len(operator) - 1
            ):
                text, n = operator, len(operator)
                break
        marks.append(Mark(text, token.kind, start, start + len(text)))
        at += n
    return marks


def bodies(text):
    """What there is to break: (name, marks, is it a function's or macro's)."""
    placed, at = [], 0
    for token in ladderlib.tokens(text):
        if token.kind not in ("space", "comment"):
            placed.append((at, token))
        at += len(token.text)
    plain = [p for p in placed if not p[1].directive]
    at = 0
    for part, brace in ladderlib.segments(text):
        mine, at = plain[at : at + len(part)], at + len(part)
        if brace is None:
            continue
        head = [t.text for t in part[:brace]]
        name = ladderlib.function_name(part[:brace])
        if name == "MINI_POLL":
            name = head[head.index(name) + 2]
        if name:
            yield name, merged(mine[brace:]), True
        elif "=" in head:
            words = [w for w in head[: head.index("=")] if w[0].isalpha()]
            yield words[-1], merged(mine[brace:]), False
    directives = [p for p in placed if p[1].directive]
    starts = [n for n, p in enumerate(directives) if p[1].text == "#"]
    for first, last in zip(starts, starts[1:] + [len(directives)]):
        part = directives[first:last]
        if len(part) < 4 or part[1][1].text != "define":
            continue
        name, opening = part[2], part[3]
        if opening[1].text == "(" and (
            opening[0] == name[0] + len(name[1].text)
        ):
            marks = merged(part[3:])
            close = pairs(marks)[0]
            yield name[1].text, marks[close + 1 :], True


def pairs(marks):
    """Where each bracket's partner is."""
    stack, found = [], {}
    for n, mark in enumerate(marks):
        if mark.text in ("(", "[", "{") and mark.kind == "punct":
            stack.append(n)
        elif mark.text in (")", "]", "}") and mark.kind == "punct" and stack:
            found[stack.pop()] = n
    found.update({close: opening for opening, close in found.items()})
    return found


class Body:
    """One function, macro or table."""

    def __init__(self, text, name, marks, is_code):
        self.text, self.name, self.marks = text, name, marks
        self.is_code = is_code
        self.pair = pairs(marks)
        self.found = []  # (kind, start, end, what stands there instead)

    def add(self, kind, first, last, new):
        """Instead of the marks FIRST to LAST, both included."""
        self.found.append(
            (kind, self.marks[first].start, self.marks[last].end, new)
        )

    def source(self, first, last):
        return self.text[self.marks[first].start : self.marks[last].end]

    def at(self, n):
        return self.marks[n].text if 0 <= n < len(self.marks) else ""

    def is_operand(self, n):
        """Does an operand end here, so that a sign behind it is binary?"""
        if not 0 <= n < len(self.marks):
            return False
        mark = self.marks[n]
        return mark.text in (")", "]") or (
            mark.kind in ("word", "number", "string") and mark.text != "return"
        )

    def reach(self, n, step, stops):
        """The last mark from N on (exclusive) before one of STOPS, or before
        the bracket that encloses N."""
        at = n + step
        while 0 <= at < len(self.marks):
            text = self.at(at)
            if text in ("([{" if step < 0 else ")]}"):
                return at - step
            if text in (")]}" if step < 0 else "([{") and at in self.pair:
                at = self.pair[at] + step
                continue
            if text in stops:
                return at - step
            at += step
        return at - step

    def everything(self):
        for n, mark in enumerate(self.marks):
            if mark.kind == "string":
                continue
            self.operators(n, mark)
            self.number(n, mark)
            if mark.text in ("if", "while") and self.at(n + 1) == "(":
                self.negate(n + 2, self.pair[n + 1] - 1)
            if mark.text == "?" and self.is_code:
                stops = {";", ",", "return", ":", "?", *ASSIGNMENTS}
                self.negate(self.reach(n, -1, stops), n - 1)
            if mark.kind == "word" and self.at(n + 1) == "(":
                self.call(n)
            if mark.text == "." and self.at(n - 1) in ("{", ",", "("):
                self.member(n)
            if mark.text == "&" and not self.is_code and (
                self.at(n - 1) in ("{", ",")
            ):
                self.member(n)
            if mark.kind == "word" and mark.text.startswith("memory_order_"):
                if not mark.text.endswith("relaxed"):
                    self.add("order", n, n, "memory_order_relaxed")
        if self.is_code:
            self.statements()
        return self.found

    def operators(self, n, mark):
        for kind, new in {**COMPARISONS, **OTHERS}.get(mark.text, ()):
            self.add(kind, n, n, new)
        if mark.text in BINARY and self.is_operand(n - 1):
            self.add("bound", n, n, BINARY[mark.text])
        if mark.text == "!":
            self.add("condition", n, n, "")
        if mark.text == "-" and not self.is_operand(n - 1):
            if re.fullmatch(r"E[A-Z0-9]+", self.at(n + 1)):
                self.add("result", n, n + 1, "0")
        if mark.text in ("&&", "||"):
            self.operands(n, mark.text)

    def operands(self, n, operator):
        """Without what is on its right; without what is on its left."""
        stops = {",", ";", "?", ":", "return", operator, *ASSIGNMENTS}
        if operator == "&&":
            stops.add("||")
        self.add("condition", n, self.reach(n, 1, stops), "")
        left = self.reach(n, -1, stops)
        if self.at(left - 1) != operator:
            self.add("condition", left, n, "")

    def number(self, n, mark):
        if mark.kind != "number" or not self.is_code:
            return
        if self.at(n - 1) == "{" and self.at(n + 1) == "}":
            return
        # any resume point that is not 0 says that it has begun
        resume = self.at(n - 2) == "resume" and self.at(n - 1) == "="
        if mark.text == "0":
            self.add("bound", n, n, "1")
        elif mark.text == "1":
            self.add("bound", n, n, "0")
            if not resume:
                self.add("bound", n, n, "2")
        elif mark.text.isdigit() and len(mark.text) < 6:
            self.add("bound", n, n, str(int(mark.text) + 1))
            self.add("bound", n, n, str(int(mark.text) - 1))

    def negate(self, first, last):
        """A condition that no other breakage negates."""
        depth, operators = 0, []
        for n in range(first, last + 1):
            depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(self.at(n), 0)
            if depth == 0:
                operators.append(self.at(n))
        if first > last or any(o in COMPARISONS for o in operators):
            return
        if "&&" in operators or "||" in operators or operators[0] == "!":
            return
        if self.source(first, last) in ("0", "1"):
            return
        self.add("condition", first, last, f"!({self.source(first, last)})")

    def call(self, n):
        name = self.at(n)
        if name in NO_CALL or not self.is_code:
            return
        close = self.pair.get(n + 1)
        if close is None or close == n + 2:
            return
        parts, first = [], n + 2
        while first <= close:
            last = self.reach(first - 1, 1, {","})
            parts.append((first, last))
            first = last + 2
        atomic = re.fullmatch(r"atomic_(\w+?)", name)
        for order in WEAKER.get(atomic[1], ()) if atomic else ():
            names = "".join(f", memory_order_{o}" for o in order.split())
            source = self.source(n + 1, close - 1)
            self.add("order", n, close, f"{name}_explicit{source}{names})")
        if name.startswith("MINI_") and name != "MINI_SPAWN":
            return
        for (a, b), (c, d) in zip(parts, parts[1:]):
            one, other = self.source(a, b), self.source(c, d)
            if one != other and "." not in (one[:1], other[:1]):
                self.add("arguments", a, d, f"{other}, {one}")

    def member(self, n):
        """`.member = value` or `&row`, in a list of them."""
        last = self.reach(n, 1, {","})
        if self.at(last + 1) == ",":
            self.add("statement", n, last + 1, "")
        elif self.at(n - 1) == ",":
            self.add("statement", n - 1, last, "")

    def statements(self):
        depth = 0
        for n, mark in enumerate(self.marks):
            depth += {"(": 1, ")": -1}.get(mark.text, 0)
            if depth:
                continue
            before = self.at(n)
            guarded = before == "else" or (
                before == ")"
                and n in self.pair
                and self.at(self.pair[n] - 1) in ("if", "while", "for")
            )
            label = before == ":" and (
                self.at(n - 1) == "default" or self.at(n - 2) == "case"
            )
            if before in (";", "{", "}") or label or guarded:
                self.statement(n + 1, guarded)

    def statement(self, n, guarded):
        if n >= len(self.marks):
            return
        first, second = self.marks[n], self.at(n + 1)
        end = self.reach(n, 1, {";"})
        if self.at(end + 1) != ";" or first.text in ("}", ";", "{"):
            return
        if first.text in ("break", "continue"):
            self.add("statement", n, end, "")
        elif first.text == "return":
            if guarded or self.at(end + 2) == "}" and (
                end + 2 < len(self.marks) - 1
            ):
                self.add("statement", n, end, "")
        elif first.text not in NO_STATEMENT and (
            first.kind != "word" or not re.match(r"\w|\*", second)
        ):
            if self.source(n, end) == "future->resume = __LINE__":
                return
            called = " ".join(
                self.at(m) + "(" for m in range(n, end)
                if self.at(m + 1) == "("
            )
            kind = "wake" if WAKES.search(called) else (
                "free" if FREES.search(called) else "statement"
            )
            self.add(kind, n, end, "")


def squeezed(text):
    return " ".join(text.replace("\\\n", " ").split())


def mutants_of(path):
    text = ladderlib.read(path)
    lines = [0] + [m.end() for m in re.finditer("\n", text)]
    found = {}
    for name, marks, is_code in bodies(text):
        for kind, start, end, new in Body(
            text, name, marks, is_code
        ).everything():
            removed = text[start:end]
            # as many lines as before, for __LINE__ and for the eye
            breaks = removed.count("\n") - new.count("\n")
            new += ("\\\n" if "\\\n" in removed else "\n") * breaks
            line = bisect.bisect_right(lines, start)
            first = lines[line - 1]
            last = text.find("\n", end)
            found.setdefault(
                (start, end, new),
                Mutant(
                    path, name, kind, start, end, new,
                    squeezed(text[first:last]),
                    squeezed(text[first:start] + new + text[end:last]), line,
                ),
            )
    return [found[key] for key in sorted(found)]
