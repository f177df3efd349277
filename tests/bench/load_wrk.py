# SPDX-License-Identifier: MIT
"""Loads a web server with wrk, and looks at what that costs it.

    load_wrk.py hello PORT PID CONNECTIONS DEPTH

GET /hello on CONNECTIONS that are kept, DEPTH requests at once on each. Before,
one answer is compared; of what wrk receives, the status of each and the bytes of
all. PID is the server's. Prints the "NAME VALUE" pairs that `load echo` does."""

import re
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

SECONDS = 1
SCRIPT = """
init = function(args)
    local one = wrk.format("GET", "/hello")
    all = string.rep(one, {depth})
end
request = function() return all end
done = function(summary, latency)
    local errors = summary.errors
    print(string.format("done %d %d %d %d %.3f %.3f %.3f", summary.requests,
        summary.bytes, summary.duration, errors.connect + errors.read +
        errors.write + errors.status + errors.timeout,
        latency:percentile(50), latency:percentile(99),
        latency:percentile(99.9)))
end
"""


def cpu_and_waiting(pid):
    """ns that all threads of a process ran, and waited for a CPU."""
    ran = waited = 0
    for file in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        try:
            a, b = file.read_text().split()[:2]
        except OSError:
            continue  # it has ended
        ran, waited = ran + int(a), waited + int(b)
    return ran, waited


def compared_answer(port):
    """The bytes of an answer, which must be the right one."""
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.sendall(b"GET /hello HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n"
                           % port)
        answer = b""
        while not answer.endswith(b"\r\n\r\nhello\n"):
            more = connection.recv(4096)
            if not more:
                sys.exit(f"load_wrk: a wrong answer: {answer!r}")
            answer += more
    if not answer.startswith(b"HTTP/1.1 200 OK\r\n"):
        sys.exit(f"load_wrk: a wrong answer: {answer!r}")
    return len(answer)


def main():
    port, pid, connections, depth = map(int, sys.argv[2:])
    length = compared_answer(port)
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(SCRIPT.format(depth=depth))
        script.flush()
        before, _ = cpu_and_waiting(pid)
        wrk = subprocess.Popen(
            ["wrk", "-t1", f"-c{connections}", f"-d{SECONDS}s", "-s",
             script.name, f"http://127.0.0.1:{port}/hello"],
            stdout=subprocess.PIPE, text=True)
        waiting = []  # just before its end, when it can still be read
        timer = threading.Timer(
            SECONDS * 0.9,
            lambda: waiting.append(cpu_and_waiting(wrk.pid)[1]))
        timer.start()
        output = wrk.communicate()[0]
        timer.join()
        after, _ = cpu_and_waiting(pid)
    found = re.search(r"^done (.*)$", output, re.M)
    if wrk.returncode or not found:
        sys.exit(f"load_wrk: wrk has failed: {output}")
    requests, received, microseconds, errors, *latencies = map(
        float, found[1].split())
    under_way = connections * depth * length
    if errors or not 0 <= received - requests * length <= under_way:
        sys.exit(f"load_wrk: {errors:.0f} errors; {received:.0f} bytes for "
                 f"{requests:.0f} answers of {length}")
    values = {"cpu": (after - before) / requests,
              "rate": requests / microseconds * 1e6,
              "lost": waiting[0] / (SECONDS * 0.9) / 1e7}
    if depth == 1:  # of many at once it takes the time of the last only
        values.update(zip(("p50", "p99", "p999"), latencies))
    print(*(f"{name} {value:.2f}" for name, value in values.items()))


main()
