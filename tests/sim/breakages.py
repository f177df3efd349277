#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Breaks the runtime on purpose, and says after how many seeds the simulated
machine has noticed. One that it does not notice fails, unless it is known.

    breakages.py [PATTERN] [--seeds N]
    breakages.py --list                only looks if each still applies
"""

import argparse
import fnmatch
import os
import re
import shutil
import subprocess
import sys
import tempfile

TOP = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))

# What is broken, the stage, the file, what stands there, what is put there.
BREAKAGES = [
    ("no second look before the sleep", 4, "park.c",
     "return mini_turn(executor) == 0;", "return true;"),
    ("the second look comes before `sleeping` is set", 4, "park.c",
     "    atomic_store(&executor->parker.sleeping, true);\n"
     "    if (mini_park_hook) mini_park_hook();\n"
     "    return mini_turn(executor) == 0;",
     "    bool idle = mini_turn(executor) == 0;\n"
     "    atomic_store(&executor->parker.sleeping, true);\n"
     "    return idle;"),
    ("a push is not announced: its store may be late", 4, "message.c",
     "        mini_spsc_announce(&lane->ring.tail);\n", ""),
    ("a channel's push is not announced", 4, "channel.c",
     "    mini_spsc_announce(&channel->ring.tail);\n", ""),
    ("a channel's end is not BUSY while it is being rung", 4, "channel.c",
     "        waiter == BUSY || !atomic_compare_exchange_weak(end, &waiter, BUSY)"
     ");\n    mini_parker_ring(waiter);\n    atomic_store(end, waiter);",
     "        waiter == BUSY);\n    mini_parker_ring(waiter);"),
    ("a wait leaves a channel while it is being rung", 4, "channel.c",
     "    while (!atomic_compare_exchange_weak(self->end, &ours, NULL))\n"
     "        ours = &mini_self->parker; /* BUSY, for the time of one ring */",
     "    (void)ours;\n    atomic_store(self->end, NULL);"),
    ("a close is looked for after the ring, not before", 4, "channel.c",
     "    bool closed = atomic_load(&channel->closed); "
     "/* before the last look */\n"
     "    if (!mini_spsc_pop(&channel->ring, item)) "
     "return closed ? -EPIPE : -EAGAIN;",
     "    if (!mini_spsc_pop(&channel->ring, item))\n"
     "        return atomic_load(&channel->closed) ? -EPIPE : -EAGAIN;"),
    ("a call does not wait for its cancel to come back", 4, "call.c",
     "        future->resume++;\n", ""),
    ("a cancel does not wait for the other side", 4, "call.c",
     "    if (answer == MINI_PENDING && cx.cancel && !self->cancelled) {",
     "    if (answer == MINI_PENDING && cx.cancel) {\n"
     "        return mini_ready(future, -ECANCELED);"),
    ("a full ring is not looked at again", 4, "message.c",
     "return soon < until ? soon : until;", "return (void)soon, until;"),
    ("a stopping shard takes calls as before", 4, "call.c",
     "    if (mini_self->stopping) return mini_ready(future, -ESHUTDOWN);\n", ""),
    ("shards are rung before there is news", 4, "smp.c",
     "    atomic_fetch_add(&smp->news, 1); /* what a second look will find */\n"
     "    for (unsigned i = 0; i < smp->count; i++)\n"
     "        mini_parker_ring(smp->shards[i].parker);",
     "    for (unsigned i = 0; i < smp->count; i++)\n"
     "        mini_parker_ring(smp->shards[i].parker);\n"
     "    atomic_fetch_add(&smp->news, 1);"),
    ("a dead-lock may be said twice", 4, "smp.c",
     "before + WOKEN - 1))\n        return;\n    here->is_idle = false;",
     "before + WOKEN))\n        return;"),
    ("that a shard was woken is not counted", 4, "smp.c",
     "atomic_fetch_add(&here->smp->idle, WOKEN - 1)",
     "atomic_fetch_sub_explicit(&here->smp->idle, 1, memory_order_seq_cst)"),
    ("rings are not looked at before a dead-lock is said", 4, "smp.c",
     "|| !nothing_on_the_way(smp) ||", "|| (0 && !nothing_on_the_way(smp)) ||"),
    ("the second meeting is left out: memory goes too early", 4, "smp.c",
     "    meet(smp, 2);\n", ""),
    ("a shard without tasks does not wait for the others", 4, "smp.c",
     "    return atomic_load(&here->smp->quiet) == here->smp->count;",
     "    return true;"),
    ("a thread that did not start is not counted as absent", 4, "smp.c",
     "shard->thread = 0, absent(smp, error);", "shard->thread = 0;"),
    ("a cancelled operation is READY before the kernel is done", 5, "io.c",
     "    if (self->active && cx.cancel) mini_io_stop(self);\n",
     "    if (self->active && cx.cancel)\n        return mini_io_stop(self), "
     "mini_ready(future, -ECANCELED);\n"),
    ("a late completion is dropped for the cancel", 5, "io.c",
     "        return mini_ready(future, future->result);\n    future->resume",
     "        return mini_ready(\n"
     "            future, cx.cancel ? -ECANCELED : future->result);\n"
     "    future->resume"),
    ("the doorbell is not cleared", 5, "io.c",
     "    if (result >= 0 && !bell->active) mini_bell_clear"
     "(&mini_self->parker.bell);",
     "    (void)bell, (void)result;"),
    ("the doorbell is not watched again when its watch has ended", 5, "io.c",
     "    if (io->bell.active) return;\n",
     "    if (io->bell.op == MINI_OP_READABLE) return;\n"),
    ("a shard whose ring cannot be woken is not rung", 5, "park.c",
     "mini_uring_wake(parker->uring)) return;",
     "(mini_uring_wake(parker->uring) || true)) return;"),
    ("a full submission queue is not submitted", 5, "io_uring.c",
     "        io_uring_submit(&uring->ring);\n        reap(io);",
     "        break;"),
    ("EAGAIN of an operation is its result", 5, "io_uring.c",
     "    else if (result == -EAGAIN)\n"
     "        wait_until_ready(io, operation);\n", ""),
    ("a cancelled operation that says EAGAIN is armed again", 5, "io_uring.c",
     "operation->cancelled && (again || result == -EAGAIN)",
     "operation->cancelled && again"),
    ("EINTR of an operation is its result", 5, "io_uring.c",
     "        (result == -EINTR && operation->op != MINI_OP_CLOSE) ||\n", ""),
    ("send_zc is READY before the kernel's notification", 5, "io_uring.c",
     "    return !(cqe->flags & IORING_CQE_F_MORE);\n",
     "    return !(cqe->flags & IORING_CQE_F_NOTIF);\n"),
    ("EOPNOTSUPP of a send_zc is passed on", 5, "io_uring.c",
     "        again = must_copy(operation, result) ||",
     "        (void)must_copy, again ="),
    ("a buffer that came with no bytes is not taken back", 5, "lease.c",
     "        mini_lease_return(buffer);\n        return;\n", "        return;\n"),
    ("the end of a stream does not give its leases back", 5, "stream.c",
     "    while (self->io.done > 0) mini_lease_return(take_oldest(&self->io));\n",
     ""),
    ("the end of a stream does not close its connections", 5, "stream.c",
     "    while (self->io.done > 0) close(self->fds[--self->io.done]);\n", ""),
    ("a starved stream does not try again", 5, "lease.c",
     "    return try_again(&buffers->starved, buffers->lent);",
     "    return (void)try_again, 0;"),
    ("a stream that ends while it starves stays in line", 5, "stream.c",
     "    if (io->starved) mini_list_remove(&io->link);\n", ""),
    ("a server ends when it is out of descriptors", 5, "server.c",
     "return error == -ECANCELED ||",
     "return error == -EMFILE || error == -ECANCELED ||"),
    ("an acceptor that never began leaves its socket open", 6, "server.c",
     "            close(self->acceptors[i].listener);\n", "            {}\n"),
    ("a connection that no shard will have is not closed", 5, "server.c",
     "        if (MINI_RESULT < 0) close(self->fd);\n", ""),
    ("who takes a freed place in the poll set is not told", 5, "io_poll.c",
     "    set->operations[operation->index]->index = operation->index;\n", ""),
    ("a helper is not rung", 5, "offload.c",
     "    mini_bell_ring(&helper->bell);\n", ""),
    ("a job's end is not announced", 5, "offload.c",
     "atomic_store(&self->job, NULL);",
     "atomic_store_explicit(&self->job, NULL, memory_order_release);"),
    ("a job in line is not withdrawn, but said to be", 5, "offload.c",
     "    mini_list_remove(&operation->link);\n    mini_io_complete",
     "    mini_io_complete"),
    ("the signal's handler does not ring", 6, "signals.c",
     "        mini_bell_ring(&owner->parker.bell);\n", ""),
    ("a second SIGTERM does not kill", 6, "signals.c",
     "        (BIT(signal) & DEADLY && atomic_exchange(&signals.ending, true))",
     "        (BIT(signal) & DEADLY & 0)"),
    ("a SIGHUP before anybody waits for it kills", 6, "signals.c",
     "    (ENDING | BIT(SIGUSR1)", "    (DEADLY | BIT(SIGUSR1)"),
    ("a signal that comes while one is looked at is lost", 6, "signals.c",
     "    uint64_t came = atomic_exchange(&signals.came, 0), claimed = 0;",
     "    uint64_t came = atomic_load(&signals.came), claimed = 0;\n"
     "    atomic_store(&signals.came, 0);"),
    ("only the first who waits for a signal gets it", 6, "signals.c",
     "        mini_wait_serve(&waiter->wait, __builtin_ctzll(there) + 1);\n",
     "        mini_wait_serve(&waiter->wait, __builtin_ctzll(there) + 1);\n"
     "        break;\n"),
    ("the drain has no limit", 6, "signals.c",
     "!mini_drained(executor) && mini_list_linked(&limit.link)",
     "!mini_drained(executor)"),
]


# This only the stage's tests notice: those of G5.5.
KNOWN = ("a server ends when it is out of descriptors",)


def stage_dir(stage):
    return next(d for d in os.listdir(TOP) if d.startswith(f"stage{stage:02d}-"))


def broken(top, stage, name, old, new):
    """The text of a file of TOP's with the breakage in it."""
    with open(os.path.join(top, stage_dir(stage), name)) as f:
        text = f.read()
    if text.count(old) != 1:
        sys.exit(f"{name}: not there once: {old!r}")
    return text.replace(old, new)


def seeds_until_red(stage, name, old, new, most):
    with tempfile.TemporaryDirectory() as top:
        here = stage_dir(stage)
        for part in ("common", here, "tests/sim"):
            shutil.copytree(os.path.join(TOP, part), os.path.join(top, part),
                            ignore=shutil.ignore_patterns("build"))
        text = broken(top, stage, name, old, new)
        with open(os.path.join(top, here, name), "w") as f:
            f.write(text)
        sim = os.path.join(top, "tests/sim")
        made = subprocess.run(["make", "-sC", sim, f"STAGE={stage:02d}"],
                              capture_output=True, text=True)
        if made.returncode:
            sys.exit(f"{name}: does not build\n{made.stderr}")
        out = subprocess.run([os.path.join(top, here, "build/sim/sim"), "1",
                              str(most)], capture_output=True, text=True).stdout
    found = re.match(r"seed (\d+) \(stage \d+, ([^)]*)\) failed: (.*)", out)
    return found and (int(found[1]), found[2], found[3])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("pattern", nargs="?", default="*")
    parser.add_argument("--seeds", type=int, default=30000)
    parser.add_argument("--list", action="store_true")
    arguments = parser.parse_args()
    missed = 0
    for what, stage, name, old, new in BREAKAGES:
        if not fnmatch.fnmatch(f"{stage:02d} {name} {what}",
                               f"*{arguments.pattern}*"):
            continue
        if arguments.list:
            broken(TOP, stage, name, old, new)
            print(f"{stage:02d} {name:11} {what}")
            continue
        found = seeds_until_red(stage, name, old, new, arguments.seeds)
        missed += not found and what not in KNOWN
        how = "%6d  %s: %s" % found if found else "     -  NOT NOTICED"
        print(f"{stage:02d} {name:11} {what}\n    {how}", flush=True)
    if missed:
        sys.exit(f"{missed} not noticed in {arguments.seeds} seeds")


if __name__ == "__main__":
    main()
