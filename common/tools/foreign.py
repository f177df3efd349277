# SPDX-License-Identifier: MIT
"""foreign.py: cmocka for another architecture, for `make matrix`.

    foreign.py i386 arm64

Debian's own packages, taken with apt-get and unpacked into
tests/build/cmocka-<architecture>/, with lists of their own: nothing of this
machine is changed, and it needs no rights. On other systems it says that it
cannot, and the cells of the matrix that want it are skipped.
"""

import glob
import os
import shutil
import subprocess
import sys

sys.dont_write_bytecode = True

from ladderlib import ROOT

PACKAGES = ["libcmocka0", "libcmocka-dev"]


def fetch(architecture):
    """The directory that now holds it; raises OSError with the reason."""
    home = ROOT / "tests" / "build" / f"cmocka-{architecture}"
    if (home / "usr/include/cmocka.h").is_file():
        return home
    apt = home / "apt"
    for part in ("lists/partial", "cache/archives/partial"):
        os.makedirs(apt / part, exist_ok=True)
    (apt / "status").touch()
    (apt / "apt.conf").write_text(
        f'APT::Architecture "{architecture}";\n'
        f'APT::Architectures {{ "{architecture}"; }};\n'
        f'Dir::State::Lists "{apt}/lists";\n'
        f'Dir::State::Status "{apt}/status";\n'
        f'Dir::Cache "{apt}/cache";\n'
        'APT::Sandbox::User "root";\n')
    environment = {**os.environ, "APT_CONFIG": str(apt / "apt.conf")}
    # a source that is not for this architecture is no reason to stop
    subprocess.run(["apt-get", "-q", "update"], cwd=apt, env=environment,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    result = subprocess.run(["apt-get", "-q", "download", *PACKAGES], cwd=apt,
                            env=environment, text=True, capture_output=True)
    if result.returncode != 0:
        raise OSError((result.stderr.strip().splitlines() or ["?"])[-1])
    for package in glob.glob(f"{apt}/*.deb"):
        subprocess.run(["dpkg", "-x", package, home], check=True)
    shutil.rmtree(apt)
    return home


def main():
    for architecture in sys.argv[1:]:
        try:
            print(f"cmocka for {architecture}: {fetch(architecture)}")
        except (OSError, subprocess.CalledProcessError) as error:
            print(f"cmocka for {architecture}: not to be had ({error})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
