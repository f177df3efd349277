# SPDX-License-Identifier: MIT
"""Reads of a file with fio, as files.h says, with all that makes it cheaper:
registered buffers and file, the same batches, no look at the clock.

    files_fio.py PATH [direct]

The time, of the CPU or by the clock, is what fio's own report has. It compares
nothing."""

import json
import subprocess
import sys

SECONDS = 0.4
DIRECT = len(sys.argv) > 2

report = json.loads(subprocess.run(
    ["fio", "--name=files", f"--filename={sys.argv[1]}", "--readonly",
     "--thread", "--rw=randread", "--bs=4k", "--ioengine=io_uring",
     "--iodepth=32", "--iodepth_batch_submit=32",
     "--iodepth_batch_complete_min=1", "--iodepth_batch_complete_max=32",
     "--registerfiles=1", "--fixedbufs=1", "--nonvectored=1", "--invalidate=0",
     "--norandommap", "--randrepeat=0", "--gtod_reduce=1", "--time_based",
     f"--direct={DIRECT:d}", f"--runtime={1000 * SECONDS:.0f}ms", "--output-format=json"],
    stdout=subprocess.PIPE, check=True, text=True).stdout)
job = report["jobs"][0]
if job["error"] or not job["read"]["total_ios"]:
    sys.exit(f"files_fio: error {job['error']}")
percent, reads = job["usr_cpu"] + job["sys_cpu"], job["read"]["total_ios"]
percent = 100 if DIRECT else percent
print(f"{percent / 100 * job['job_runtime'] * 1e6 / reads:.4f} {reads}")
