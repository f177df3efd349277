# SPDX-License-Identifier: MIT
"""nginx, as a server that answers GET /hello as our example does: one process,
no log, all of its files in a directory of its own."""

import os
import socket
import time
from pathlib import Path

CONFIGURATION = """
daemon off;
master_process off;
pid {directory}/pid;
error_log stderr crit;
events {{ worker_connections 4096; multi_accept on; }}
http {{
    access_log off;
    server_tokens off;
    tcp_nodelay on;
    keepalive_requests 1000000000;
    default_type text/plain;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    server {{
        listen 127.0.0.1:{port};
        location = /hello {{ return 200 "hello\\n"; }}
    }}
}}
"""

directory = Path(__file__).resolve().parent / "build" / "nginx"
directory.mkdir(parents=True, exist_ok=True)
with socket.create_server(("127.0.0.1", 0)) as free:
    port = free.getsockname()[1]
configuration = directory / "nginx.conf"
configuration.write_text(
    CONFIGURATION.format(directory=directory, port=port), encoding="utf-8")
if os.fork() == 0:  # it says when nginx does listen, which becomes of us
    for _ in range(500):
        time.sleep(0.01)
        if socket.socket().connect_ex(("127.0.0.1", port)) == 0:
            print(f"listening on 127.0.0.1:{port}", flush=True)
            break
    os._exit(0)
os.execvp("nginx", ["nginx", "-p", str(directory), "-c", str(configuration),
                    "-e", "stderr"])
