#!/usr/bin/env python3
"""meshsub node --trace-to a collector in Go: it gets every event, in order, as the file says that is written beside.

usage: collector_go.py [PATH OF meshsub]     (or environment MESHSUB_CLI)
Exit status as interop_go.py.
"""

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time

from gopeer import go_peer
from transfer import check, run_cases

WITHIN = 30


class Program:
    """A child whose stdout is read line by line; killed at the end of the block."""

    def __init__(self, *command):
        self.name, self.bytes = command[1], b""
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    def line(self):
        end = time.monotonic() + WITHIN
        while b"\n" not in self.bytes:
            check(select.select([self.process.stdout], [], [], max(0, end - time.monotonic()))[0], f"{self.name}: nothing more within {WITHIN} s")
            more = os.read(self.process.stdout.fileno(), 1 << 16)
            check(more, f"{self.name} ended")
            self.bytes += more
        line, _, self.bytes = self.bytes.partition(b"\n")
        return line.decode()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        check(self.process.wait(WITHIN) == 0, f"{self.name}: exit code {self.process.returncode}")


def gather(collector):
    """Batches until the stream ends; what it ended with."""
    batches = []
    while True:
        said = json.loads(collector.line())
        if "end" in said:
            return batches, said["end"]
        batches.append(said["batch"])


def scene(ours, go, messages):
    with tempfile.TemporaryDirectory() as d, Program(go, "collect-trace") as collector:
        path = os.path.join(d, "all.json")
        to = json.loads(collector.line())["addr"]
        with Program(ours, "node", "--publish", "news", f"--trace={path}", "--trace-to", to, "--quiet") as node:
            address = node.line()
            with Program(ours, "sub", "news", "--connect", address) as sub:
                for i in range(messages):
                    node.process.stdin.write(b"%d %s\n" % (i, b"x" * (i % 500)))
                for _ in range(100):  # until the subscriber is in the mesh
                    node.process.stdin.write(b"last\n")
                    if select.select([sub.process.stdout], [], [], 0.2)[0]:
                        break
                while sub.line() != "last":
                    pass
            time.sleep(1.5)  # a second is how long a few events wait
            node.stop()
        batches, end = gather(collector)
        check(end == "", f"the stream ended with {end!r}")
        got = [e for b in batches for e in b]
        with open(path, encoding="utf-8") as f:
            wrote = [json.loads(line) for line in f]
        check(len(got) > messages and max(len(b) for b in batches) >= 16, f"{len(got)} events in {len(batches)} batches")
        # What happens while the stream ends, and after, is in the file alone; all of it is the end of connections.
        check(got == wrote[:len(got)] and len(wrote) - len(got) <= 8, f"{len(got)} events came, {len(wrote)} were written")
        print(f"{len(got)} events in {len(batches)} batches")


def again(ours, go):
    """A collector that is killed: the node goes on, and ends in time."""
    with Program(go, "collect-trace") as collector:
        to = json.loads(collector.line())["addr"]
        with Program(ours, "node", "--topic", "news", "--trace-to", to, "--quiet") as node:
            address = node.line()
            check(json.loads(collector.line())["batch"], "no first batch")
            collector.process.kill()
            with Program(ours, "sub", "news", "--connect", address):
                time.sleep(1)
            node.stop()


def main():
    ours = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("MESHSUB_CLI")
    if not ours:
        print(__doc__.strip(), file=sys.stderr)
        return 2
    go = go_peer()
    chosen = [(f"{n} messages", lambda n=n: scene(ours, go, n)) for n in (20, 3000)]
    return 0 if run_cases([*chosen, ("a collector that is gone", lambda: again(ours, go))]) else 1


if __name__ == "__main__":
    sys.exit(main())
