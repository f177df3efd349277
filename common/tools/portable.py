# SPDX-License-Identifier: MIT
"""Prove that the portable profile is POSIX alone (part of `make check`).

Every .c file that `make PORTABLE=1` compiles is preprocessed and checked with
-D_POSIX_C_SOURCE=200809L. A file of ours may include files of ours and the
headers of POSIX.1-2008 and C11, nothing else; what a system header includes
in its turn is the system's business. A function POSIX does not have is
undeclared then, which is an error. In the objects of a portable build, if
there are any, no Linux system call may be left to link.

    CC=clang portable.py    with another compiler than cc
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

sys.dont_write_bytecode = True

import ladderlib
from ladderlib import ROOT, read, stop

CC = shlex.split(os.environ.get("CC", "")) or [shutil.which("cc") or "gcc"]
FLAGS = "-std=c11 -D_POSIX_C_SOURCE=200809L -pthread".split()
UNDECLARED = "-Werror=implicit-function-declaration"

C11 = """assert complex ctype errno fenv float inttypes iso646 limits locale
    math setjmp signal stdalign stdarg stdatomic stdbool stddef stdint stdio
    stdlib stdnoreturn string tgmath threads time uchar wchar wctype"""
POSIX = """aio arpa/inet cpio dirent dlfcn fcntl fmtmsg fnmatch ftw glob grp
    iconv langinfo libgen monetary mqueue ndbm net/if netdb netinet/in
    netinet/tcp nl_types poll pthread pwd regex sched search semaphore spawn
    strings stropts sys/ipc sys/mman sys/msg sys/resource sys/select sys/sem
    sys/shm sys/socket sys/stat sys/statvfs sys/time sys/times sys/types
    sys/uio sys/un sys/utsname sys/wait syslog tar termios trace ulimit unistd
    utime utmpx wordexp"""
BEYOND = "getopt"  # getopt_long: not POSIX, but in glibc, musl, macOS, BSD
ALLOWED = {f"{name}.h" for name in f"{C11} {POSIX} {BEYOND}".split()}

LINUX_CALLS = re.compile(
    r"_?(eventfd(_read|_write)?|signalfd|epoll_\w+|timerfd_\w+|inotify_\w+"
    r"|accept4|pipe2|ppoll|(sched|pthread)_[sg]etaffinity\w*|io_uring_\w+"
    r"|splice|tee|vmsplice|sendfile(64)?|copy_file_range|statx|prctl|gettid"
    r"|futex|syscall)"
)
WIDENING = r"^[ \t]*#[ \t]*define[ \t]+(_(?:GNU|DEFAULT|BSD|ALL)_SOURCE)"
MARKER = re.compile(r'# (\d+) "(.*)"')
INCLUDE = re.compile(r'[ \t]*#[ \t]*include[ \t]*["<](.*)[">]')


def ours(path):
    return ROOT in path.parents


def named(path):
    return str(path.relative_to(ROOT))


def compiler(stage, path, *options):
    """Run the compiler on one file; (its output, its errors or None)."""
    done = subprocess.run(
        [*CC, *FLAGS, *options, f"-I{stage}", str(path)], cwd=stage,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )
    error = done.stderr.decode(errors="replace") if done.returncode else None
    return done.stdout.decode(errors="replace"), error


def check_file(stage, path):
    """The breaches in one .c file and in the headers of ours it includes."""
    text, error = compiler(stage, path, "-E", "-dI")
    if error is None:
        _, error = compiler(stage, path, "-fsyntax-only", UNDECLARED)
    if error:
        lines = [line for line in error.split("\n") if "error:" in line]
        message = (lines or error.split("\n"))[0]
        return [f"{named(path)} does not compile with POSIX alone: {message}"]
    breaches, here, seen = [], path, {path}
    for line in text.split("\n"):
        marker, include = MARKER.match(line), INCLUDE.match(line)
        if marker:
            here = (stage / marker.group(2)).resolve()
            if ours(here):
                seen.add(here)
        elif include and ours(here):
            name = include.group(1)
            places = [here.parent, stage, ROOT / "common"]
            if name in ALLOWED or any((p / name).is_file() for p in places):
                continue
            breaches.append(
                f"{named(here)} includes {name}, which is no header of"
                " POSIX.1-2008 or C11: move that to common/platform_linux.c"
            )
    for source in sorted(p for p in seen if p.is_file()):
        for macro in re.findall(WIDENING, ladderlib.strip(read(source)), re.M):
            breaches.append(f"{named(source)} defines {macro}: leave it out")
    return breaches


def check_objects(stage):
    """(how many objects a portable build left, the breaches in them)."""
    folder, breaches = stage / "build" / "portable", []
    objects = sorted([*folder.glob("*.o"), *folder.glob("examples/*.o")])
    for path in objects:
        try:
            done = subprocess.run(
                ["nm", "-u", str(path)], stdout=subprocess.PIPE, check=True
            )
        except (OSError, subprocess.CalledProcessError) as error:
            stop(f"cannot read {named(path)}: {error}")
        for line in done.stdout.decode().split("\n"):
            symbol = (line.split() or [""])[-1].split("@")[0]
            if LINUX_CALLS.fullmatch(symbol):
                breaches.append(
                    f"{named(path)} calls {symbol}, which POSIX does not have:"
                    " move that to common/platform_linux.c"
                )
    return len(objects), breaches


def check_stage(stage):
    """(files examined, objects examined, breaches) of one stage."""
    files = {p for p in ladderlib.sources(stage).values() if p.suffix == ".c"}
    breaches = []
    if not any(path.parent == stage for path in files):
        breaches.append(f"{stage.name}: no .c file to examine")
    common = [ROOT / "common" / "platform_posix.c"]
    if stage / "io_uring.c" in files:  # as common/stage.mk does
        files.remove(stage / "io_uring.c")
        common.append(ROOT / "common" / "io_uring_none.c")
    for path in common:
        if path.is_file():
            files.add(path)
        else:
            breaches.append(f"{named(path)} is missing: restore it")
    with ThreadPoolExecutor() as pool:
        for found in pool.map(check_file, [stage] * len(files), sorted(files)):
            breaches += found
    count, found = check_objects(stage)
    return len(files), count, breaches + found


def main():
    try:
        subprocess.run([*CC, "--version"], stdout=subprocess.DEVNULL)
    except OSError:
        stop(f"there is no compiler {CC[0]}: run `make deps`")
    told = set()
    for stage in ladderlib.stages():
        files, objects, breaches = check_stage(stage.resolve())
        built = f"{objects} objects" if objects else "no objects built"
        verdict = "POSIX alone" if not breaches else "BREACH"
        print(f"{stage.name:<20}{files:>4} files, {built}: {verdict}")
        for breach in sorted(set(breaches) - told):
            print(f"portable: {breach}")
        told.update(breaches)
    return int(bool(told))


if __name__ == "__main__":
    sys.exit(main())
