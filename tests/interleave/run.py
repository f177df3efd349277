#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Try every interleaving of small scenarios with the runtime's own code.

    run.py                     the scenarios, then every weakening in turn
    run.py --quick             some of both, in ten seconds
    run.py --hold              the scenarios alone; --only park,again: these
    run.py --weak announce     one weakening, and what it leads to, step by step
    run.py --list              the names of all
    run.py --stage DIR         the code in DIR, with the scenarios for it

The code is that of stage 3, with scenarios.c, that of stage 4, with shards.c,
that of stage 5's helper threads, with helpers.c, and that of stage 6's signals,
with handlers.c. A weakening is a deliberate
mistake: a memory order made weaker, a step left out, two steps exchanged. The
code must hold in every scenario, and with each weakening it must not; an order
that may be weaker stands in tests/equivalent/, with the reason. checker.h says
how it works, and what it leaves out.

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
sys.path.insert(0, str(ROOT / "common/tools"))
from breakages import mutants_of
from mutants import equivalents, reason

CC = "gcc"  # clang's calls have other names
# Scenarios of some seconds, tried last.
SLOW = ["both", "refused", "bells", "closer", "call", "end", "jobs", "two"]

# name: file, what stands there, what is put in its place.
RING_MISTAKES = {
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
    "stay-awake": ("park.c", "    if (executor->first) mini_park_end(executor);",
                   "    (void)executor;"),
    "bell-not-cleared": ("park.c", "mini_bell_clear(bell);", "(void)bell;"),
    "put-anyway": (
        "spsc.h",
        "        if (atomic_load_explicit(slot, memory_order_acquire) != "
        "ring->slots)\n            break;\n", ""),
    "take-and-leave": (
        "spsc.h",
        "        atomic_store_explicit(slot, ring->slots, "
        "memory_order_release);\n", ""),
    "relaxed-put": (
        "spsc.h",
        "atomic_store_explicit(slot, items[done], memory_order_release)",
        "atomic_store_explicit(slot, items[done], memory_order_relaxed)"),
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
SHARD_MISTAKES = {
    "not-told": (
        "smp.c", "smp->count)\n        mini_smp_tell_all(here->smp);",
        "smp->count)\n        (void)here;"),
    "tell-then-change": (
        "smp.c",
        "    atomic_fetch_add(&smp->news, 1); "
        "/* what a second look will find */\n"
        "    for (unsigned i = 0; i < smp->count; i++)\n"
        "        mini_parker_ring(smp->shards[i].parker);",
        "    for (unsigned i = 0; i < smp->count; i++)\n"
        "        mini_parker_ring(smp->shards[i].parker);\n"
        "    atomic_fetch_add(&smp->news, 1);"),
    "heard-then-not-idle": (
        "smp.c",
        "    mini_smp_not_idle(here); "
        "/* before it counts as having heard the news */\n"
        "    atomic_store(&here->news_seen, news);",
        "    atomic_store(&here->news_seen, news);\n"
        "    mini_smp_not_idle(here);"),
    "popped-then-not-idle": (
        "message.c",
        "        mini_smp_not_idle(here);\n"
        "        unsigned count = 0;\n"
        "        for (; count < BATCH && mini_spsc_pop(ring, &item); count++) "
        "{\n",
        "        unsigned count = 0;\n"
        "        for (; count < BATCH && mini_spsc_pop(ring, &item); count++) "
        "{\n"
        "            mini_smp_not_idle(here);\n"),
    "idle-then-look": (
        "smp.c", "!nothing_on_the_way(smp) ||", ""),
    "counted-once": (
        "smp.c",
        "!atomic_compare_exchange_strong(\n"
        "            &smp->idle, &before, before + WOKEN - 1))\n"
        "        return;",
        "atomic_fetch_add(&smp->idle, WOKEN - 1) % WOKEN == 0)\n"
        "        return;"),
    "stays-counted": (
        "smp.c",
        "!atomic_compare_exchange_strong(\n"
        "            &smp->idle, &before, before + WOKEN - 1))\n"
        "        return;\n"
        "    here->is_idle = false;",
        "atomic_load(&smp->idle) != before)\n"
        "        return;"),
    "slot-in-second-look": (
        "message.c", "executor->parks ? mini_spsc_count(ring) == 0\n"
        "                            : ", ""),
    "announce-message": (
        "message.c", "mini_spsc_announce(&lane->ring.tail);", ""),
    "no-last-meeting": ("smp.c", "meet(smp, 2);", ""),
}
HELPER_MISTAKES = {
    "release-result": (
        "offload.c", "atomic_store(&self->job, NULL);",
        "atomic_store_explicit(&self->job, NULL, memory_order_release);"),
    "ring-then-say": (
        "offload.c",
        "        atomic_store(&self->job, NULL); "
        "/* what the shard's second look finds */\n"
        "        mini_parker_ring(self->owner);\n",
        "        mini_parker_ring(self->owner);\n"
        "        atomic_store(&self->job, NULL);\n"),
    "say-then-do": (
        "offload.c",
        "        operation->future.result = mini_io_call(operation);\n"
        "        atomic_store(&self->job, NULL);",
        "        atomic_store(&self->job, NULL);\n"
        "        operation->future.result = mini_io_call(operation);"),
    "look-then-clear-bell": (
        "offload.c",
        "            mini_poll_fds(&bell, 1, MINI_FOREVER);\n"
        "            mini_bell_clear(&self->bell);\n",
        "            mini_bell_clear(&self->bell);\n"
        "            mini_poll_fds(&bell, 1, MINI_FOREVER);\n"),
    "ring-then-hand": (
        "offload.c",
        "    atomic_store(&helper->job, job); /* before the bell rings */\n"
        "    mini_bell_ring(&helper->bell);\n",
        "    mini_bell_ring(&helper->bell);\n"
        "    atomic_store(&helper->job, job);\n"),
}
SIGNAL_MISTAKES = {
    "not-rung": ("signals.c", "mini_bell_ring(&owner->parker.bell);", ""),
    "ring-then-note": (
        "signals.c",
        "        atomic_fetch_or(&signals.came, BIT(signal));\n"
        "        mini_bell_ring(&owner->parker.bell);\n",
        "        mini_bell_ring(&owner->parker.bell);\n"
        "        atomic_fetch_or(&signals.came, BIT(signal));\n"),
    "look-then-clear": (
        "signals.c", "came = atomic_exchange(&signals.came, 0), claimed = 0;",
        "came = atomic_load(&signals.came), claimed = 0;\n"
        "    atomic_store(&signals.came, 0);"),
    "end-in-haste": (
        "signals.c",
        "    while (atomic_load(&signals.inside) > 0) sched_yield();\n", ""),
    "wait-then-disown": (
        "signals.c",
        "    atomic_store(&signals.owner, NULL); "
        "/* before it looks who is inside */\n"
        "    while (atomic_load(&signals.inside) > 0) sched_yield();\n",
        "    while (atomic_load(&signals.inside) > 0) sched_yield();\n"
        "    atomic_store(&signals.owner, NULL);\n"),
    "look-then-enter": (
        "signals.c",
        "    atomic_fetch_add(&signals.inside, 1); "
        "/* before it looks at the owner */\n"
        "    struct mini_executor *owner = atomic_load(&signals.owner);\n",
        "    struct mini_executor *owner = atomic_load(&signals.owner);\n"
        "    atomic_fetch_add(&signals.inside, 1);\n"),
    "standard-for-late": (
        "signals.c", "if (owner) sigaction(", "sigaction("),
}


class Trouble(Exception):
    """It cannot be tried."""


class Part:
    """What is tried of one stage."""

    def __init__(self, stage, scenarios, mistakes, quick, files, without=()):
        self.stage = ROOT / stage
        self.scenarios = scenarios  # the file that has them
        self.mistakes = mistakes
        self.quick = quick  # tried in `make check`, in the scenario that shows
        self.files = files  # whose orders are tried, or those of a function
        self.without = without  # what the scenarios do not link, or include

    def names(self):
        text = (HERE / self.scenarios).read_text()
        names = re.findall(r'^    \{"(\w+)", "', text, re.MULTILINE)
        return sorted(names, key=lambda name: name in SLOW)

    def weakenings(self):
        """name: (file, its changed text, line of code, why it does no harm)."""
        found = {}
        for name, (file, old, new) in self.mistakes.items():
            text = (self.stage / file).read_text()
            if text.count(old) != 1:
                raise Trouble(f"{name} does not apply: {file} has changed")
            found[name] = (file, text.replace(old, new), "", None)
        harmless = equivalents(self.stage.name[5:7])
        for file in self.files:
            file, _, function = file.partition(": ")
            text = (self.stage / file).read_text()
            for mutant in mutants_of(self.stage / file):
                if mutant.kind == "order" and function in ("", mutant.where):
                    order = ORDER.search(mutant.text)[1]
                    name = f"{file}:{mutant.line}:{order}"
                    while name in found:
                        name += "'"
                    changed = (text[:mutant.start] + mutant.text
                               + text[mutant.end:])
                    found[name] = (file, changed, mutant.old,
                                   reason(harmless, mutant))
        return found


ORDER = re.compile(r"memory_order_(\w+)(?:, memory_order_\w+)?\)?\s*$")
PARTS = [
    Part("stage03-spsc", "scenarios.c", RING_MISTAKES,
         {"announce": "park", "second-look": "park", "relaxed-put": "ring1",
          "put-anyway": "ring1", "leave-in-haste": "park",
          "notify-once": "closer"}, ["spsc.h", "park.c", "channel.c"]),
    Part("stage04-smp", "shards.c", SHARD_MISTAKES,
         {"tell-then-change": "wait", "no-last-meeting": "end"},
         ["smp.c", "spsc.h: mini_spsc_holds"]),
    Part("stage05-uring", "helpers.c", HELPER_MISTAKES,
         {"release-result": "job"}, ["offload.c"],
         "collective combine file io io_poll io_uring lease offload pollers"
         " server stream udp".split()),
    Part("stage06-signals", "handlers.c", SIGNAL_MISTAKES,
         {"end-in-haste": "late"}, ["signals.c"],
         "collective combine file io io_poll io_uring lease offload pollers"
         " server signals stream udp".split()),
]


class Workshop:
    """Compiles the stage with the checker, and what is changed again."""

    def __init__(self, part, folder):
        self.stage, self.folder = part.stage, Path(folder) / part.stage.name
        self.scenarios = [part.scenarios, "platform.c"]
        self.sources = sorted(
            s for s in self.stage.glob("*.c") if s.stem not in part.without
        ) + [HERE / s for s in self.scenarios]
        self.original = self.folder / "original"
        self.original.mkdir(parents=True)
        self.compile(self.original, self.stage, self.sources)
        self.checker = Path(folder) / "checker"  # the same for all parts
        if not self.checker.exists():
            self.checker.mkdir()
            others = {p.scenarios for p in PARTS} | {"platform.c"}
            self.compile(self.checker, self.stage, [
                s for s in HERE.glob("*.c") if s.name not in others])
        self.link(self.original, self.checker, self.original)

    def compile(self, build, stage, sources):
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for done in pool.map(lambda s: self.object(build, stage, s),
                                 sources):
                if done.returncode:
                    raise Trouble(done.stdout)

    def object(self, build, stage, source):
        flags = ["-std=gnu11", "-D_GNU_SOURCE", "-g", "-fno-pie", "-w", "-MMD",
                 f"-I{stage}", f"-I{HERE}"]
        if source.parent == HERE and source.name not in self.scenarios:
            flags += ["-O2"]  # the checker
        else:
            # -O1: no two accesses are made one. Memory that does not depend
            # on the order of threads; variables of a thread that can be
            # exchanged for another's.
            flags += ["-O1", "-Dabort=model_abort",
                      '-D_Thread_local=__attribute__((section("mini_locals")))']
            flags += [f"-D{f}=model_{f}" for f in (
                "malloc", "calloc", "aligned_alloc", "free", "pthread_create",
                "pthread_join", "sched_yield")]
            # the wheel has hundreds of slots, and is one thread's
            flags += [] if source.name == "wheel.c" else ["-fsanitize=thread"]
        return subprocess.run(
            [CC, *flags, "-c", source, "-o", build / f"{source.stem}.o"],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def link(self, build, *folders):
        objects = {o.name: o for f in folders for o in f.glob("*.o")}
        done = subprocess.run([CC, "-no-pie", *objects.values(), "-o",
                               build / "interleave"])
        if done.returncode:
            raise Trouble("it does not link")

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
        self.link(build, self.checker, self.original, build)
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
    line, harmless = weakening[2:]
    if failing:
        print(f"{name:26} fails in {failing}: "
              + printed.strip().splitlines()[-1].strip()[:200])
        if harmless:
            print(f"{'':26} BUT is said to do no harm: {harmless}")
    elif harmless:
        print(f"{name:26} does no harm: {harmless}")
    else:
        print(f"{name:26} NOT NOTICED: {line}")
    sys.stdout.flush()
    return bool(failing) != bool(harmless)


def try_part(part, options, folder):
    """The scenarios, then the weakenings; True if all is as it should be."""
    names = part.names()
    if options.quick:
        names = [n for n in names if n not in SLOW]
    if options.only:
        names = [n for n in names if n in options.only.split(",")]
    if not names and not options.only:
        raise Trouble(f"{part.scenarios} has no scenario")
    workshop = Workshop(part, folder)
    for scenario in names:
        status, printed = run(workshop.original / "interleave", [scenario])
        print(printed, end="", flush=True)
        if status:
            return False
    if options.hold or options.only:
        return True
    weak = part.weakenings()
    if options.quick:
        weak = {n: weak[n] for n in part.quick}
    good = True
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for name, result in zip(weak, pool.map(
                lambda n: try_weakening(
                    workshop, n, weak[n],
                    [part.quick[n]] if options.quick else names), weak)):
            good = verdict(name, weak[name], *result) and good
    return good


def try_one(parts, name):
    """One weakening, step by step; the exit status."""
    for part in parts:
        weak = part.weakenings()
        if name not in weak:
            continue
        with tempfile.TemporaryDirectory() as folder:
            failing, printed = try_weakening(
                Workshop(part, folder), name, weak[name], part.names())
        print(printed or "it holds in every scenario\n", end="")
        return 0 if failing else 1
    raise Trouble(f"no weakening {name}; see --list")


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
    parts = PARTS
    if options.stage:
        has = [(options.stage / header).exists()
               for header in ("smp.h", "offload.h", "signals.h")]
        parts = PARTS[sum(has):][:1]
        parts[0].stage = options.stage.resolve()
    if options.list:
        for part in parts:
            print(f"{part.stage.name}: scenarios:", *part.names())
            print("weakenings:", *part.weakenings(), sep="\n  ")
        return 0
    if options.weak:
        return try_one(parts, options.weak)
    unknown = set((options.only or "").split(",")) - {""} - {
        name for part in parts for name in part.names()}
    if unknown:
        raise Trouble(f"no scenario {', '.join(sorted(unknown))}; see --list")
    with tempfile.TemporaryDirectory() as folder:
        good = all([try_part(part, options, folder) for part in parts])
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
