"""Where the {kind} peer comes from: built once into the cache, or a reason why it cannot be had."""

import pathlib
import subprocess
import sys

SKIP = 77
WITHIN = 1700  # seconds; less than the build's own test has


def go_peer():
    return peer("go")


def peer(kind):
    """Path of the binary. Ends the program with 77 where no toolchain is to be had, else with 1."""
    script = pathlib.Path(__file__).parent / "peers" / kind / "build.sh"
    try:
        done = subprocess.run([str(script)], stdout=subprocess.PIPE, text=True, timeout=WITHIN)
    except subprocess.TimeoutExpired:
        print(f"not ok: the {kind} peer was not built within {WITHIN} s", flush=True)
        sys.exit(1)
    if done.returncode == SKIP:
        print(f"skipped: the {kind} peer cannot be built here", flush=True)
        sys.exit(SKIP)
    if done.returncode != 0:
        print(f"not ok build of the {kind} peer", flush=True)
        sys.exit(1)
    return done.stdout.strip()
