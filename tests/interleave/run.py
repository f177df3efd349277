#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Try every interleaving of small scenarios with the runtime's own code.

    run.py                     the scenarios, then every weakening in turn
    run.py --quick             some of both, in ten seconds
    run.py --hold              the scenarios alone; --only park,again: these
    run.py --weak announce     one weakening, and what it leads to, step by step
    run.py --list              the names of all
    run.py --stage DIR         the code in DIR, not that of stage 3

A weakening is a deliberate mistake: a memory order made weaker, a step left
out, two steps exchanged. The code must hold in every scenario, and with each
weakening it must not; one that changes nothing is named as redundant below,
with the reason. checker.h says how it works, and what it leaves out.

The exit status is 0 if all is so, 1 if not, 2 if it could not be tried.
"""

import argparse
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SUBJECTS = ["spsc.h", "park.c", "channel.c"]  # whose memory orders are tried
CC = "gcc"  # clang's calls have other names
SLOW = ["both", "refused", "bells", "closer"]  # scenarios of some seconds

# name: file, what stands there, what is put in its place.
MISTAKES = {
    "announce": ("channel.c", "mini_spsc_announce(&channel->ring.tail);", ""),
    "announce-head": (
        "channel.c", "mini_spsc_announce(&channel->ring.head);", ""),
    "second-look": (
        "park.c", "return mini_turn(executor) == 0;", "return true;"),
    "look-then-store": (
        "park.c",
        "    atomic_store(&executor->parker.sleeping, true);\n"
        "    if (mini_park_hook) mini_park_hook();\n"
        "    return mini_turn(executor) == 0;",
        "    bool nothing = mini_turn(executor) == 0;\n"
        "    if (mini_park_hook) mini_park_hook();\n"
        "    atomic_store(&executor->parker.sleeping, true);\n"
        "    return nothing;"),
    "no-exchange": (
        "park.c", "!atomic_exchange(&parker->sleeping, false)",
        "(atomic_store(&parker->sleeping, false), false)"),
    "stay-awake": ("park.c", "        mini_park_end(executor);\n    return 0;",
                   "        (void)executor;\n    return 0;"),
    "bell-not-cleared": ("park.c", "mini_bell_clear(bell);", "(void)bell;"),
    "put-anyway": (
        "spsc.h", "    if (atomic_load_explicit(slot, memory_order_acquire) != "
        "ring->slots)\n        return false;\n", ""),
    "take-and-leave": (
        "spsc.h",
        "    atomic_store_explicit(slot, ring->slots, memory_order_release);\n",
        ""),
    "relaxed-put": (
        "spsc.h", "atomic_store_explicit(slot, item, memory_order_release)",
        "atomic_store_explicit(slot, item, memory_order_relaxed)"),
    "notify-once": ("channel.c", "        if (!waiter) return;",
                    "        if (!waiter || waiter == BUSY) return;"),
    "notify-not-busy": (
        "channel.c",
        "waiter == BUSY || !atomic_compare_exchange_weak(end, &waiter, BUSY)",
        "waiter == BUSY"),
    "leave-in-haste": (
        "channel.c",
        "while (!atomic_compare_exchange_weak(self->end, &ours, NULL))",
        "for (atomic_store(self->end, NULL); false;)"),
    "close-then-say": (
        "channel.c",
        "    atomic_store(&channel->closed, true);\n"
        "    notify(&channel->sender);\n    notify(&channel->receiver);",
        "    notify(&channel->sender);\n    notify(&channel->receiver);\n"
        "    atomic_store(&channel->closed, true);"),
    "closed-looked-at-last": (
        "channel.c",
        "    bool closed = atomic_load(&channel->closed); "
        "/* before the last look */\n"
        "    if (!mini_spsc_pop(&channel->ring, item)) "
        "return closed ? -EPIPE : -EAGAIN;",
        "    if (!mini_spsc_pop(&channel->ring, item))\n"
        "        return atomic_load(&channel->closed) ? -EPIPE : -EAGAIN;"),
    "cancel-takes": (
        "channel.c", "    if (answer == -EAGAIN) {",
        "    if (cx.cancel && !self->sends)\n"
        "        mini_channel_try_recv(self->channel, &self->item);\n"
        "    if (answer == -EAGAIN) {"),
}
# Tried in `make check`, each in the scenario that shows it.
QUICK = {"announce": "park", "second-look": "park", "relaxed-put": "ring1",
         "put-anyway": "ring1", "leave-in-haste": "park",
         "notify-once": "closer"}

# Where a weaker order would do: its line of code, the orders, the reason. They
# stay seq_cst in the code, for that is the order one need not argue about.
REDUNDANT = {
    "if (atomic_load_explicit(slot, memory_order_acquire) != ring->slots)": (
        "relaxed", "all that is taken over is the slot itself, and to one "
        "place each side's accesses are in order"),
    "atomic_store_explicit(slot, ring->slots, memory_order_release);": (
        "relaxed", "the same, seen from the other side"),
    "!atomic_exchange(&parker->sleeping, false))": (
        "acq_rel relaxed",
        "the load before it is the look; this decides who of many rings"),
    "atomic_store(&executor->parker.sleeping, false);": (
        "release relaxed",
        "who still reads true finds false by the exchange, and does not ring"),
    "waiter == BUSY || !atomic_compare_exchange_weak(end, &waiter, BUSY));": (
        "acq_rel relaxed",
        "the load before it is the look; a waiter found asleep is known by "
        "that"),
    "atomic_store(end, waiter);": (
        "release", "who looks meanwhile finds BUSY, and looks again"),
    "if (atomic_load(&channel->closed)) return -EPIPE;": (
        "acquire relaxed", "a sender about to sleep looks again, in look()"),
    "bool closed = atomic_load(&channel->closed); /* before the last look */": (
        "acquire", "so does a receiver; but what came before the close must "
        "be seen"),
    "while (!atomic_compare_exchange_weak(self->end, &ours, NULL))": (
        "acq_rel", "whoever still finds a waiter there must exchange it, and "
        "cannot"),
}

OPERATION = re.compile(r"\batomic_(load|store|exchange|fetch_add|"
                       r"compare_exchange_(?:weak|strong))(_explicit)?\(")
LOAD, STORE, BOTH = ["acquire"], ["release"], ["acq_rel"]
WEAKER = {"load": LOAD, "store": STORE}


def closing(text, start):
    """Where the parenthesis closes that opens before START."""
    depth = 1
    for i in range(start, len(text)):
        depth += {"(": 1, ")": -1}.get(text[i], 0)
        if depth == 0:
            return i
    raise ValueError("unbalanced parentheses")


def blank(text):
    return re.sub(r"/\*.*?\*/", lambda m: re.sub(r"[^\n]", " ", m[0]), text,
                  flags=re.DOTALL)


def weaker_orders(stage, name):
    """Every atomic operation of a file with each weaker memory order."""
    text = (stage / name).read_text()
    code = blank(text)
    found = {}
    for match in OPERATION.finditer(code):
        operation, explicit = match[1], match[2]
        end = closing(code, match.end())
        inside = text[match.end():end]
        order = "seq_cst"
        if explicit:
            order = re.search(r"memory_order_(\w+)\s*$", inside)[1]
            inside = inside[:inside.rindex(",")]
        middle = WEAKER.get(operation, BOTH)
        orders = {"seq_cst": middle + ["relaxed"], "relaxed": []}.get(
            order, ["relaxed"])
        line = code.count("\n", 0, match.start()) + 1
        for weaker in orders:
            orders_given = f", memory_order_{weaker}"
            if operation.startswith("compare"):
                fails = "acquire" if weaker == "acq_rel" else "relaxed"
                orders_given += f", memory_order_{fails}"
            changed = (text[:match.start()]
                       + f"atomic_{operation}_explicit({inside}{orders_given}"
                       + text[end:])
            key = f"{name}:{line}:{weaker}"
            while key in found:
                key += "'"
            found[key] = (name, changed, text.splitlines()[line - 1].strip(),
                          weaker)
    return found


def weakenings(stage):
    """name: (file, its changed text, line of code, order)."""
    found = {}
    for name, (file, old, new) in MISTAKES.items():
        text = (stage / file).read_text()
        if text.count(old) == 1:
            found[name] = (file, text.replace(old, new), "", name)
        else:
            print(f"{name:22} does not apply: {file} has changed")
    for file in SUBJECTS:
        found.update(weaker_orders(stage, file))
    return found


class Trouble(Exception):
    """It cannot be tried."""


class Workshop:
    """Compiles the stage with the checker, and what is changed again."""

    def __init__(self, stage, folder):
        self.stage, self.folder = stage, Path(folder)
        self.sources = sorted(stage.glob("*.c")) + sorted(HERE.glob("*.c"))
        self.original = self.folder / "original"
        self.original.mkdir()
        self.compile(self.original, stage, self.sources)
        self.link(self.original, self.original)

    def compile(self, build, stage, sources):
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for done in pool.map(lambda s: self.object(build, stage, s),
                                 sources):
                if done.returncode:
                    raise Trouble(done.stdout)

    def object(self, build, stage, source):
        flags = ["-std=gnu11", "-D_GNU_SOURCE", "-g", "-fno-pie", "-w", "-MMD",
                 f"-I{stage}", f"-I{HERE}"]
        if source.parent == HERE and source.name != "scenarios.c":
            flags += ["-O2"]  # the checker
        else:
            # -O1: no two accesses are made one. Memory that does not depend
            # on the order of threads; variables of a thread that can be
            # exchanged for another's.
            flags += ["-O1", "-Dabort=model_abort",
                      '-D_Thread_local=__attribute__((section("mini_locals")))']
            flags += [f"-D{f}=model_{n}" for f, n in (
                ("malloc", "alloc"), ("calloc", "calloc"), ("free", "free"),
                ("aligned_alloc", "aligned_alloc"))]
            # the wheel has hundreds of slots, and is one thread's
            flags += [] if source.name == "wheel.c" else ["-fsanitize=thread"]
        return subprocess.run(
            [CC, *flags, "-c", source, "-o", build / f"{source.stem}.o"],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def link(self, build, *folders):
        objects = {o.name: o for f in folders for o in f.glob("*.o")}
        subprocess.run([CC, "-no-pie", *objects.values(), "-o",
                        build / "interleave"], check=True)

    def weaken(self, name, file, text):
        """Builds a program in which FILE has TEXT; its path."""
        build = self.folder / re.sub(r"\W", "-", name)
        copy = build / "stage"
        shutil.copytree(self.stage, copy,
                        ignore=shutil.ignore_patterns("build", "examples"))
        (build / "common").symlink_to(self.stage.parent / "common")
        (copy / file).write_text(text)
        changed = [s for s in self.sources if s.name == file or re.search(
            rf"[/ ]{re.escape(file)}\b",
            (self.original / f"{s.stem}.d").read_text())]
        self.compile(build, copy, [
            copy / s.name if s.parent == self.stage else s for s in changed])
        self.link(build, self.original, build)
        return build / "interleave"


def run(program, scenarios):
    """The status of PROGRAM and what it prints, with places in the source."""
    done = subprocess.run([program, *scenarios], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True)
    if done.returncode == 2:
        raise Trouble(done.stderr)
    if done.returncode < 0:
        return 1, f"the program crashes: signal {-done.returncode}\n"
    return done.returncode, with_places(program, done.stdout)


def with_places(program, text):
    addresses = sorted(set(re.findall(r"@([0-9a-f]+)", text)))
    places = {}
    if addresses:
        lines = subprocess.run(
            ["addr2line", "-s", "-e", program, *addresses], text=True,
            stdout=subprocess.PIPE).stdout.splitlines()
        places = {a: l.split(" ")[0] for a, l in zip(addresses, lines)}
        symbols = subprocess.run(["nm", program], text=True,
                                 stdout=subprocess.PIPE).stdout.split("\n")
        for parts in map(str.split, symbols):
            if len(parts) == 3:
                places["0x" + parts[0].lstrip("0")] = parts[2]
    text = re.sub(r"@([0-9a-f]+)", lambda m: places.get(m[1], m[0]), text)
    text = re.sub(r"0x[0-9a-f]+", lambda m: places.get(m[0], m[0]), text)
    return re.sub(r"(?m)^( *\d+  \w+ +)(.*?) +([a-z_]+)  (\S+)$",
                  lambda m: f"{m[1]}{m[2]:<40} {m[3]:<7}  {m[4]}", text)


def all_scenarios():
    text = (HERE / "scenarios.c").read_text()
    names = re.findall(r'^    \{"(\w+)", "', text, re.MULTILINE)
    return sorted(names, key=lambda name: name in SLOW)


def try_weakening(workshop, name, weakening, scenarios):
    """What it leads to: the scenario that fails, "" if none does."""
    file, text = weakening[:2]
    program = workshop.weaken(name, file, text)
    for scenario in scenarios:
        status, printed = run(program, [scenario])
        if status:
            shutil.rmtree(program.parent)
            return scenario, printed
    return "", ""


def verdict(name, weakening, failing, printed):
    """Prints a line; True if all is as it should be."""
    line, order = weakening[2:]
    orders, reason = REDUNDANT.get(line, ("", ""))
    reason = reason if order in orders.split() else ""
    what = f"{name:26}"
    if failing:
        print(f"{what} fails in {failing}: "
              + printed.strip().splitlines()[-1].strip()[:200])
        if reason:
            print(f"{'':26} BUT is said to be redundant: {reason}")
    elif reason:
        print(f"{what} redundant: {reason}")
    else:
        print(f"{what} NOT NOTICED: {line}")
    sys.stdout.flush()
    return bool(failing) != bool(reason)


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--hold", action="store_true")
    parser.add_argument("--only", metavar="NAME,NAME")
    parser.add_argument("--weak", metavar="NAME")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--stage", metavar="DIR", type=Path)
    return parser.parse_args()


def main():
    options = arguments()
    if platform.system() != "Linux" or not all(
            map(shutil.which, (CC, "addr2line", "nm"))):
        print("skipped: it takes Linux, gcc and binutils")
        return 0
    own = ROOT / "stage03-spsc"
    stage = (options.stage or own).resolve()
    scenarios = all_scenarios()
    if options.quick:
        scenarios = [s for s in scenarios if s not in SLOW]
    if options.only:
        scenarios = options.only.split(",")
    weak = weakenings(stage)
    if options.list:
        print("scenarios:", *scenarios)
        print("weakenings:", *weak, sep="\n  ")
        return 0
    if options.weak and options.weak not in weak:
        raise Trouble(f"no weakening {options.weak}; there are:\n  "
                      + "\n  ".join(weak))
    with tempfile.TemporaryDirectory() as folder:
        workshop = Workshop(stage, folder)
        if options.weak:
            failing, printed = try_weakening(
                workshop, options.weak, weak[options.weak], scenarios)
            print(printed or "it holds in every scenario\n", end="")
            return 0 if failing else 1
        # our own code has all that is to be changed
        good = stage != own or set(MISTAKES) <= set(weak)
        for scenario in scenarios:
            status, printed = run(workshop.original / "interleave", [scenario])
            print(printed, end="", flush=True)
            good = good and status == 0
            if not good and options.hold:
                return 1
        if options.hold or options.only or not good:
            return 0 if good else 1
        names = [n for n in weak if not options.quick or n in QUICK]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for name, result in zip(names, pool.map(
                    lambda n: try_weakening(
                        workshop, n, weak[n],
                        [QUICK[n]] if options.quick else scenarios), names)):
                good = verdict(name, weak[name], *result) and good
    print("all is as it should be" if good else "NOT all is as it should be")
    return 0 if good else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Trouble as trouble:
        print(f"interleave: {trouble}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
