#!/usr/bin/env python3
"""The meshsub command against go-libp2p-pubsub over floodsub: 10,000 messages each way, none lost, none twice.

usage: cli_go.py [PATH OF meshsub]     (or environment MESHSUB_CLI)
Exit status: 0 all passed, 1 a case failed, 77 the Go peer cannot be built here.
"""

import base64
import contextlib
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

from control import Node
from gopeer import go_peer
from transfer import HEADER, KIB, check, run_cases

COUNT, WINDOW, SEED = 10000, 256, 7
WITHIN = 30  # seconds without anything new
TOPIC = "bench"


class Command:
    """meshsub as a child; its stderr goes to a file, which a failure quotes. Killed at the end of the block."""

    def __init__(self, binary, *arguments, stdin=subprocess.DEVNULL):
        self.name = f"meshsub {arguments[0]}"
        self.stderr = tempfile.TemporaryFile()
        self.bytes = b""
        self.process = subprocess.Popen([binary, *arguments], stdin=stdin, stdout=subprocess.PIPE, stderr=self.stderr,
                                        bufsize=0)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.stderr.close()

    def said(self):
        self.stderr.seek(0)
        return self.stderr.read().decode("utf-8", "replace")

    def address(self):
        end = time.monotonic() + WITHIN
        while True:
            lines = self.said().splitlines(keepends=True)
            if lines and lines[0].endswith("\n"):
                check(": listening on /ip4/" in lines[0], f"stderr: {lines[0]!r}")
                return lines[0].split()[-1]
            check(self.process.poll() is None and time.monotonic() < end, f"{self.name} says no address: {self.said()!r}")
            time.sleep(0.01)

    def lines(self, wanted):
        """The whole lines that are there, at least one."""
        while b"\n" not in self.bytes:
            ready, _, _ = select.select([self.process.stdout], [], [], WITHIN)
            check(ready, f"{self.name} printed no {wanted} for {WITHIN} s; its stderr: {self.said()!r}")
            more = os.read(self.process.stdout.fileno(), 1 << 16)
            check(more, f"{self.name} ended before {wanted}; its stderr: {self.said()!r}")
            self.bytes += more
        whole, _, self.bytes = self.bytes.rpartition(b"\n")
        return whole.split(b"\n")

    def end(self):
        """Its output that nobody has read; the exit status must be 0."""
        try:
            out, _ = self.process.communicate(timeout=WITHIN)
        except subprocess.TimeoutExpired:
            check(False, f"{self.name} did not end within {WITHIN} s; its stderr: {self.said()!r}")
        check(self.process.returncode == 0, f"{self.name}: exit status {self.process.returncode}: {self.said()!r}")
        return self.bytes + out


def go_node(binary, signed):
    node = Node("go", binary)
    node.start(router="floodsub", protocols=["/floodsub/1.0.0"], topics=[TOPIC], signed=signed, msgid="sha256_20",
               queue=2 * COUNT, inbox=2 * COUNT)
    node.request("subscribe")
    return node


def options(signed):
    return [] if signed else ["--unsigned"]


def payload_of(message):
    return message["data"].encode() if "data" in message else base64.b64decode(message["data_base64"])


def received(ours, binary, signed):
    """The subscriber's output is read here, and the Go publisher is told by its credit channel how far we are."""
    with Command(ours, "sub", TOPIC, "--json", "--listen", "/ip4/127.0.0.1/tcp/0", *options(signed)) as sub:
        with go_node(binary, signed) as pub, contextlib.ExitStack() as stack:
            pub.request("dial", addr=sub.address())
            pub.wait_mesh(subs=1, conns=1)
            host, port = pub.credit.rsplit(":", 1)
            credit = stack.enter_context(socket.create_connection((host, int(port)), timeout=WITHIN))
            pub.request("publish", seed=SEED, count=COUNT, size=KIB, window=WINDOW, rate=0, receivers=1)
            messages = []
            while len(messages) < COUNT:
                messages += [json.loads(line) for line in sub.lines(f"message {len(messages) + 1} of {COUNT}")]
                credit.sendall(struct.pack("<QQ", SEED, len(messages)))
            pub.event("published", timeout=WITHIN, seed=SEED)
            marker = b"the last one"
            pub.request("send", topic=TOPIC, data=marker.hex())
            while payload_of(messages[-1]) != marker:
                messages += [json.loads(line) for line in sub.lines("marker")]
            time.sleep(0.1)  # signed messages pass parallel verifiers, which may overtake each other
            sub.process.send_signal(signal.SIGINT)
            messages += [json.loads(line) for line in sub.end().splitlines()]
            author = pub.peer if signed else ""
            check(all(m["from"] == author and m["received_from"] == pub.peer for m in messages), "a strange author or peer")
    payloads = [p for p in map(payload_of, messages) if p != marker]
    check(len(messages) == COUNT + 1, f"{len(messages) - 1} of {COUNT} messages")
    check(len({m["id"] for m in messages}) == COUNT + 1, "an id came twice")
    check(all(len(p) == KIB for p in payloads), "a payload of another size")
    heads = [HEADER.unpack_from(p) for p in payloads]
    check({h[0] for h in heads} == {SEED}, "a payload of another run")
    check(sorted(h[1] for h in heads) == list(range(COUNT)), "not each number once")


def published(ours, binary, signed):
    """The publisher ends behind its last line; what it sent arrives all the same."""
    lines = [b"%06d %s" % (i, b"x" * 100) for i in range(COUNT)]
    with go_node(binary, signed) as sub:
        with tempfile.TemporaryFile() as text:
            text.write(b"\n".join(lines))
            text.seek(0)
            with Command(ours, "pub", TOPIC, "-", "--connect", sub.addr(), *options(signed), stdin=text) as pub:
                said = pub.end()
        check(said == b"published %d messages to 1 peer\n" % COUNT, f"pub says {said!r}")
        messages, end = [], time.monotonic() + WITHIN
        while len(messages) < COUNT:
            more, dropped = sub.take_inbox(max=1000, data=True)
            messages += more
            check(dropped == 0, f"{dropped} messages did not fit the inbox")
            check(time.monotonic() < end, f"{len(messages)} of {COUNT} messages within {WITHIN} s")
            time.sleep(0 if more else 0.02)
        time.sleep(0.1)
        messages += sub.take_inbox(max=1000, data=True)[0]
    check(sorted(bytes.fromhex(m["data"]) for m in messages) == lines, "not each line once")


def main():
    ours = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("MESHSUB_CLI")
    if not ours or len(sys.argv) > 2:
        print(__doc__.strip(), file=sys.stderr)
        return 2
    binary = go_peer()
    cases = [(f"{what.__name__}, {'signed' if signed else 'unsigned'}",
              lambda what=what, signed=signed: what(ours, binary, signed))
             for what in (received, published) for signed in (True, False)]
    return 0 if run_cases(cases) else 1


if __name__ == "__main__":
    sys.exit(main())
