#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Fuzzes what reads bytes from the network: httpd (see httpd.c).

    tests/fuzz/run.py --seconds 60      with libFuzzer, for a minute
    tests/fuzz/run.py --replay          only the inputs that are there
    tests/fuzz/run.py FILE...           these inputs, one after the other

With AddressSanitizer and UBSan. Starts from the inputs in corpus/, which are
read only, and from what earlier runs have found, in build/found/. An input that
fails is left in build/, to be given as FILE. Where clang has no libFuzzer, gcc
builds what replays corpus/: each input, and many of its beginnings; that is no
fuzzing, so the last line begins with "skipped". Debian has libFuzzer in
libclang-rt-14-dev.

One line while it runs, on a terminal; the last line says what was done. The
exit status is 0 if nothing failed, 1 if something did, or if no input was
tried.
"""

import argparse
import glob
import os
import re
import shutil
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BUILD = os.path.join(HERE, "build")
FOUND = os.path.join(BUILD, "found")
TARGET = os.path.join(HERE, "httpd.c")
FLAGS = ["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-g", "-O1",
         "-D_GNU_SOURCE", "-I", os.path.join(ROOT, "stage05-uring"),
         "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"]
LONGEST = 6000  # more than the longest head, and what may follow it


def has_fuzzer():
    """Whether clang is here, and the library that comes with it."""
    if not shutil.which("clang"):
        return False
    try:
        program = os.path.join(BUILD, "probe")
        return subprocess.run(
            ["clang", "-fsanitize=fuzzer", "-x", "c", "-", "-o", program],
            input=b"int LLVMFuzzerTestOneInput(void *a, long b)"
                  b" { (void)a; (void)b; return 0; }",
            stderr=subprocess.DEVNULL).returncode == 0
    finally:
        if os.path.exists(os.path.join(BUILD, "probe")):
            os.unlink(os.path.join(BUILD, "probe"))


def build(fuzzer):
    """The program that was built; ends this one if that fails."""
    program = os.path.join(BUILD, "httpd" if fuzzer else "replay")
    if fuzzer:
        command = ["clang", *FLAGS, "-fsanitize=fuzzer,address,undefined",
                   TARGET]
    else:
        command = [os.environ.get("CC", "cc"), *FLAGS,
                   "-fsanitize=address,undefined", TARGET,
                   os.path.join(HERE, "replay.c")]
    if subprocess.run([*command, "-o", program]).returncode:
        sys.exit("fuzz: the build FAILED")
    return program


def environment():
    return {**os.environ, "ASAN_OPTIONS": "detect_leaks=1:abort_on_error=1",
            "UBSAN_OPTIONS": "print_stacktrace=1:abort_on_error=1"}


def replay(program, files):
    done = subprocess.run([program, *files], env=environment(), text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode:
        print(done.stdout, end="")
    return done


def fuzz(program, seconds, seed):
    """Runs libFuzzer; its status, how many inputs and how many edges."""
    os.makedirs(FOUND, exist_ok=True)
    process = subprocess.Popen(
        [program, f"-max_total_time={seconds}", f"-max_len={LONGEST}",
         f"-dict={HERE}/httpd.dict", "-timeout=20", f"-seed={seed}",
         "-print_final_stats=1", f"-artifact_prefix={BUILD}/",
         FOUND, os.path.join(HERE, "corpus")],
        env=environment(), text=True, errors="replace",
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    inputs = edges = 0
    started, other = time.monotonic(), []
    for line in process.stderr:
        match = re.match(r"#(\d+)\s.*\bcov: (\d+)", line)
        if not match:
            other.append(line)
            continue
        inputs, edges = map(int, match.groups())
        if sys.stdout.isatty():
            print(f"\r{time.monotonic() - started:.0f} of {seconds} s: "
                  f"{inputs} inputs, {edges} edges ", end="", flush=True)
    if sys.stdout.isatty():
        print("\r\x1b[K", end="")
    status = process.wait()
    if status:
        print("".join(line for line in other if "DE:" not in line), end="")
    return status, inputs, edges


def main():
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("files", nargs="*", metavar="FILE")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--replay", action="store_true")
    options = parser.parse_args()
    os.makedirs(BUILD, exist_ok=True)
    fuzzer = has_fuzzer()
    program = build(fuzzer)
    if options.files:
        done = replay(program, options.files)
        print(f"fuzz: {len(options.files)} inputs: "
              + ("FAILED" if done.returncode else "ok"))
        return 1 if done.returncode else 0
    corpus = sorted(glob.glob(f"{HERE}/corpus/*"))
    if not corpus:
        sys.exit("fuzz: FAILED: there is nothing in corpus/")
    if options.replay or not fuzzer:
        program = program if not fuzzer else build(False)
        done = replay(program, corpus)
        what = f"{done.stdout.strip()} replayed, without a fault"
        print("fuzz: FAILED" if done.returncode else
              f"fuzz: {what}" if options.replay else
              f"skipped: no clang with libFuzzer here; only {what}")
        return 1 if done.returncode else 0
    status, inputs, edges = fuzz(program, options.seconds, options.seed)
    if not status and inputs <= len(corpus):
        sys.exit(f"fuzz: FAILED: {inputs} inputs, none that is new")
    if status:
        print(f"fuzz: FAILED with seed {options.seed}; the input is in "
              f"{os.path.relpath(BUILD, os.getcwd())}/")
        return 1
    print(f"fuzz: {inputs} inputs in {options.seconds} s, {edges} edges, "
          f"seed {options.seed}, without a fault")
    return 0


if __name__ == "__main__":
    sys.exit(main())
