#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Says, a line each, what this machine has and lacks for the workbook, and what
to do about it: ok, warn (works, but not everything or not as well) or FAIL
(cannot be built). The exit status is 1 if anything failed.
"""

import ctypes
import errno
import os
import platform
import re
import resource
import shutil
import struct
import subprocess
import sys

# These have the same numbers on every architecture Linux has but Alpha.
IO_URING_SETUP, IO_URING_ENTER, IO_URING_REGISTER = 425, 426, 427
REGISTER_PROBE, SETUP_CQSIZE = 8, 8
SQ_ENTRIES, CQ_ENTRIES = 256, 4096  # as in io_uring.c
# What stage 5 makes use of, by the operation that came with it; see probe() in
# io_uring.c.
FEATURES = {45: "multishot", 47: "buffer ring and send_zc", 30: "splice"}

OK, WARN, FAIL = "ok", "warn", "FAIL"
COMPILER = os.environ.get("CC") or ("gcc" if shutil.which("gcc") else "cc")
RING_BYTES = 92 << 10  # a shard's ring and its buffer ring
DEPS = "run 'make deps'"


def output_of(*command, text=""):
    """What a command prints, or None if it cannot be run or fails."""
    try:
        result = subprocess.run(command, input=text, capture_output=True,
                                text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return result.stdout.strip()


def version(command, *options):
    """The first line of what a command says of its version, or None."""
    text = output_of(command, *(options or ("--version",)))
    return text.splitlines()[0] if text else None


def preprocess(source):
    return output_of(*COMPILER.split(), "-E", "-P", "-", text=source)


def read(path):
    try:
        with open(path, encoding="utf-8") as file:
            return file.read().strip()
    except OSError:
        return None


# --- the checks: each returns how it is, what it found, and the remedy --------


def check_system():
    name = platform.system()
    found = f"{name} {platform.release()} ({platform.machine()})"
    if name != "Linux":
        return WARN, found, "everything runs with poll(2): io_uring is Linux's"
    release = re.match(r"(\d+)\.(\d+)", platform.release())
    if (int(release[1]), int(release[2])) < (6, 1):
        return WARN, found, ("from 6.1 io_uring has all stage 5 uses; below, "
                             "features fall back one by one")
    return OK, found, ""


def check_cpus():
    try:
        mine = len(os.sched_getaffinity(0))
    except AttributeError:
        mine = os.cpu_count() or 1
    found = f"{mine} of {os.cpu_count()} for this process"
    quota = (read("/sys/fs/cgroup/cpu.max") or "max").split()
    if quota[0] != "max":
        limit = int(quota[0]) / int(quota[1])
        found += f", of which the container may use {limit:.1f}"
    if mine < 2:
        return WARN, found, "shards take turns: allow it 2 CPUs or more"
    return OK, found, ""


def check_compiler():
    found = version(*COMPILER.split()[:1])
    if found is None:
        return FAIL, f"{COMPILER} is missing", DEPS
    if preprocess("#include <stdatomic.h>\n#include <stdio.h>\n") is None:
        return FAIL, found + ", but libc's headers are missing", DEPS
    return OK, found, ""


def check_make():
    found = version("make")
    if found is None or "GNU" not in found:
        return FAIL, found or "missing", "install GNU make"
    return OK, found, ""


def check_liburing():
    source = "#include <liburing.h>\nIORING_SETUP_DEFER_TASKRUN\n"
    text = preprocess(source)
    remedy = f"{DEPS}; until then stages 5 and 6 have poll(2) alone"
    if text is None:
        return WARN, "no headers", remedy
    found = output_of("pkg-config", "--modversion", "liburing") or "found"
    if text.endswith("IORING_SETUP_DEFER_TASKRUN"):
        return WARN, found + ", too old", (
            "2.3 is the oldest that will do; until then stages 5 and 6 have "
            "poll(2) alone")
    return OK, found, ""


def try_io_uring():
    """Sets up a ring as large as the runtime's, uses and closes it: 0 or the
    errno, and what it lacks."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    parameters = ctypes.create_string_buffer(120)
    struct.pack_into("=III", parameters, 0, 0, CQ_ENTRIES, SETUP_CQSIZE)
    fd = libc.syscall(ctypes.c_long(IO_URING_SETUP), ctypes.c_long(SQ_ENTRIES),
                      parameters)
    if fd < 0:
        return ctypes.get_errno(), []
    # struct io_uring_probe, its first 16 bytes; behind them 8 an operation
    probe = ctypes.create_string_buffer(16 + 8 * 256)
    libc.syscall(ctypes.c_long(IO_URING_REGISTER), ctypes.c_long(fd),
                 ctypes.c_long(REGISTER_PROBE), probe, ctypes.c_long(256))
    # A filter may let a ring be made and forbid its use.
    used = libc.syscall(ctypes.c_long(IO_URING_ENTER), ctypes.c_long(fd),
                        ctypes.c_long(0), ctypes.c_long(0), ctypes.c_long(0),
                        None, ctypes.c_long(0))
    error = ctypes.get_errno() if used < 0 else 0
    os.close(fd)
    if error:
        return error, []
    lacking = [name for operation, name in FEATURES.items()
               if not probe.raw[16 + 8 * operation + 2] & 1]
    return 0, lacking


def seccomp_filters():
    return "Seccomp:\t2" in (read("/proc/self/status") or "")


def check_io_uring():
    if platform.system() != "Linux":
        return OK, "not on this system", "the poll backend serves"
    error, lacking = try_io_uring()
    if error == 0 and lacking:
        return OK, "a ring can be set up, without " + ", ".join(lacking), (
            "a newer kernel has it; stage 5 does it another way here")
    if error == 0:
        return OK, "a ring can be set up, with " + ", ".join(
            FEATURES.values()), ""
    found = f"refused: {os.strerror(error)} ({errno.errorcode[error]})"
    disabled = read("/proc/sys/kernel/io_uring_disabled")
    if error == errno.EPERM and disabled in ("1", "2"):
        why = (f"the sysctl kernel.io_uring_disabled is {disabled}: an "
               "administrator may set it to 0")
    elif error in (errno.EPERM, errno.EACCES) and seccomp_filters():
        why = ("a seccomp filter forbids it, as Docker's default one does: "
               "start the container with --security-opt seccomp=unconfined")
    elif error in (errno.EPERM, errno.EACCES):
        why = "a security module forbids it: ask who administers this machine"
    elif error == errno.ENOSYS:
        why = ("a seccomp filter hides it, or this kernel was built without: "
               "try another container profile or kernel")
    elif error == errno.ENOMEM:
        why = "too little locked memory: raise memlock, see below"
    else:
        why = "no known reason"
    return WARN, found, why + ". All works without, on the poll backend"


def human(limit, unit=""):
    if limit == resource.RLIM_INFINITY:
        return "unlimited"
    if unit and limit >= 1024:
        return f"{limit // 1024} K{unit}"
    return f"{limit} {unit}".rstrip()


def check_memlock():
    soft, hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    found = f"{human(soft, 'B')} (at most {human(hard, 'B')})"
    if 0 <= soft < max(1 << 20, 2 * RING_BYTES * (os.cpu_count() or 1)):
        return WARN, found, ("some kernels, old and new, count a shard's ring "
                             f"as {RING_BYTES >> 10} KiB of it: 'ulimit -l "
                             "8192', or memlock in /etc/security/limits.conf")
    return OK, found, ""


def check_open_files():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    found = f"{human(soft)} (at most {human(hard)})"
    if 0 <= soft < 4096:
        if hard < 0 or hard >= 4096:
            return WARN, found, ("the tests raise it themselves; for "
                                 "thousands of clients 'ulimit -n 20000'")
        return WARN, found, ("few connections at a time: raise nofile in "
                             "/etc/security/limits.conf")
    return OK, found, ""


def check_cmocka():
    flags = (output_of("pkg-config", "--cflags", "cmocka") or "").split()
    header = output_of(*COMPILER.split(), "-E", *flags, "-",
                       text="#include <cmocka.h>\n")
    if header is None:
        return FAIL, "no headers: the tests cannot be built", DEPS
    return OK, output_of("pkg-config", "--modversion", "cmocka") or "found", ""


def optional(command, use, remedy):
    """A check for a program one can do without."""
    def check():
        found = version(command)
        return (OK, found, "") if found else (
            WARN, "missing", f"only {use}; {remedy}")
    return check


CHECKS = [
    ("system", check_system),
    ("CPUs", check_cpus),
    ("compiler", check_compiler),
    ("make", check_make),
    ("liburing", check_liburing),
    ("io_uring", check_io_uring),
    ("locked memory", check_memlock),
    ("open files", check_open_files),
    ("cmocka", check_cmocka),
    ("git", optional("git", "'make lift' wants it", DEPS)),
    ("Doxygen", optional("doxygen", "'make docs' wants it",
                         "run 'make deps-docs'")),
    ("clang", optional("clang", "a second opinion in 'make check'",
                       "install the package clang")),
    ("clang-format", optional("clang-format", "for who changes the sources",
                              "install the package clang-format")),
]


def main():
    failed = False
    for name, check in CHECKS:
        state, found, remedy = check()
        failed = failed or state == FAIL
        print(f"{state:<4}  {name:<13}  {found}"
              + (f" -- {remedy}" if remedy else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
