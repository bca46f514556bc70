"""Where the Go peer comes from: built once into the cache, or a reason why it cannot be had."""

import pathlib
import subprocess
import sys

SKIP = 77
WITHIN = 1700  # seconds; less than the build's own test has


def go_peer():
    """Path of the binary. Ends the program with 77 where no toolchain is to be had, else with 1."""
    script = pathlib.Path(__file__).parent / "go" / "build.sh"
    try:
        done = subprocess.run([str(script)], stdout=subprocess.PIPE, text=True, timeout=WITHIN)
    except subprocess.TimeoutExpired:
        print(f"not ok: the Go peer was not built within {WITHIN} s", flush=True)
        sys.exit(1)
    if done.returncode == SKIP:
        print("skipped: the Go peer cannot be built here", flush=True)
        sys.exit(SKIP)
    if done.returncode != 0:
        print("not ok build of the Go peer", flush=True)
        sys.exit(1)
    return done.stdout.strip()
