#!/usr/bin/env python3
"""IPNS over pubsub measured: ours, Kubo and Helia, among themselves and with each other, in one run.

usage: bench/ipns.py --ours PATH OF meshsub-peer [--arm WRITER-READER ...] [--nodes 2 8 32] [--rtt 0 50 100 200] [--times 15] [--slow] [--json FILE]

One node writes, the others have dialled it. Of each arm, number of nodes and injected round trip time (milliseconds; tests/interop/ipns/relay.py stands
between any two nodes, so the round trip of TCP's own handshake is not in it):
  cold          a name that was never asked for, over a connection that is long there
  warm          the same name again, past any cache
  dial          not connected: connection and first resolve
  publish       the publish call itself; ours is durable when it answers, the others' are not
  update        from the start of the publish call to the first answer with the new value at one of the readers
  update-after  the same from the end of the call; 0: it was there before
  update-all    from its start to the last reader
  late          a node that knows a reader only: connection and first resolve
  restart       a reader that was killed: its start, connection and resolve of a name that it followed before
  writer        with --slow, of two nodes: the writer is killed, from its start to the first answer it gives a stranger (Kubo: more than a minute)
Arms take turns, the smallest number of nodes first. Exit status: 0, or 1 when something was not resolved at all, 77 a peer cannot be built here.
"""

import argparse
import contextlib
import itertools
import json
import pathlib
import statistics
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests" / "interop" / "ipns"))

from nodes import NodeError, NotResolved, eventually, make, value  # noqa: E402
from relay import Relay  # noqa: E402

from gopeer import peer  # noqa: E402
from transfer import CheckFailed, check  # noqa: E402

ARMS = ("ours-ours", "kubo-kubo", "helia-helia", "ours-kubo", "kubo-ours", "ours-helia", "helia-ours")
WITHIN = 15  # seconds for one resolve
numbers = itertools.count(1)


def timed(work):
    begin = time.monotonic()
    work()
    return time.monotonic() - begin


class Arm(contextlib.ExitStack):
    def __init__(self, binaries, writer, reader, nodes, rtt):
        super().__init__()
        self.binaries, self.kind, self.samples, self.labels = binaries, reader, {}, itertools.count(1)
        try:
            self.relay = self.enter_context(Relay(rtt))
            self.writer = self.enter_context(make(binaries, writer, "writer"))
            self.readers = [self.add() for _ in range(nodes - 1)]
            for r in self.readers:
                self.link(r, self.writer)
            self.turns = itertools.cycle(self.readers)
        except BaseException:
            self.close()
            raise

    def add(self):
        return self.enter_context(make(self.binaries, self.kind, "reader"))

    def link(self, dialer, listener):
        dialer.connect(self.relay.behind(listener.addr()))
        eventually("a connection at both ends", lambda: dialer.peer in listener.connected(), pause=0.001)

    def keep(self, what, seconds):
        self.samples.setdefault(what, []).append(seconds * 1000)

    def name(self):
        """A new name with a value: label, name, path."""
        label, path = f"k{next(self.labels)}", value(next(numbers))
        name = self.writer.key(label)
        if self.writer.kind == "helia":  # else it is not in the topic of its own name
            self.writer.follow(name)
        self.writer.publish(label, path)
        return label, name, path

    def resolve(self, node, name, path):
        check(node.resolve(name, within=WITHIN) == path, f"{node.kind}: another value")

    def first_and_again(self):
        reader = next(self.turns)
        _, name, path = self.name()
        time.sleep(0.05)
        self.keep("cold", timed(lambda: self.resolve(reader, name, path)))
        self.keep("warm", timed(lambda: self.resolve(reader, name, path)))

    def dial(self):
        reader = next(self.turns)
        reader.disconnect(self.writer.peer)
        eventually("disconnected", lambda: reader.peer not in self.writer.connected())
        _, name, path = self.name()
        time.sleep(0.2)

        def both():
            reader.connect(self.relay.behind(self.writer.addr()))
            self.resolve(reader, name, path)

        self.keep("dial", timed(both))

    def updates(self, times):
        label, name, path = self.name()
        for r in self.readers:
            self.resolve(r, name, path)
        time.sleep(1.5)  # meshes
        for _ in range(times):
            self.update(label, name, next(self.turns))

    def update(self, label, name, reader):
        path, call = value(next(numbers)), []
        begin = time.monotonic()

        def publish():
            self.writer.publish(label, path)
            call.append(time.monotonic() - begin)

        def shows(node):
            while node.resolve(name, within=WITHIN) != path:
                check(time.monotonic() < begin + WITHIN, f"an update is not seen by {node.kind}")
                time.sleep(0.001)

        asks = threading.Thread(target=publish)
        asks.start()
        shows(reader)
        seen = time.monotonic() - begin
        for r in self.readers:
            shows(r)
        every = time.monotonic() - begin
        asks.join()
        check(call, "the publish call failed")
        for what, seconds in (("publish", call[0]), ("update", seen), ("update-after", max(0, seen - call[0])), ("update-all", every)):
            self.keep(what, seconds)
        time.sleep(0.05)

    def late(self, names):
        """names: those that the first reader has."""
        first = self.readers[0]
        node = self.add()
        addr = self.relay.behind(first.addr())

        def both():
            node.connect(addr)
            self.resolve(node, *names)

        self.keep("late", timed(both))
        node.kill()

    def restart(self, names):
        reader, addr = self.readers[0], self.relay.behind(self.writer.addr())
        reader.kill()

        def back():
            reader.start()
            reader.connect(addr)
            self.resolve(reader, *names)

        self.keep("restart", timed(back))

    def writer_restart(self):
        _, name, path = self.name()
        self.resolve(self.readers[0], name, path)
        stranger = self.add()
        self.writer.kill()
        for r in self.readers:
            r.kill()
        begin = time.monotonic()
        self.writer.start()
        stranger.connect(self.relay.behind(self.writer.addr()))
        while True:
            try:
                self.resolve(stranger, name, path)
                break
            except NotResolved:
                check(time.monotonic() < begin + 150, "the writer does not come back")
        self.keep("writer", time.monotonic() - begin)

    def run(self, times, slow):
        for _ in range(times):
            self.first_and_again()
        for _ in range(times):
            self.dial()
        self.updates(times)
        _, name, path = self.name()
        self.resolve(self.readers[0], name, path)
        for _ in range(max(1, times // 3)):
            self.late((name, path))
        for _ in range(max(1, times // 3)):
            self.restart((name, path))
        if slow:
            self.writer_restart()


def summary(samples):
    s = sorted(samples)
    return {"n": len(s), "median": statistics.median(s), "p90": s[min(len(s) - 1, -(-9 * len(s) // 10) - 1)], "max": s[-1]}


def main():
    p = argparse.ArgumentParser(usage=__doc__)
    p.add_argument("--ours")
    p.add_argument("--arm", nargs="+", choices=ARMS, default=ARMS)
    p.add_argument("--nodes", nargs="+", type=int, default=[2, 8, 32])
    p.add_argument("--rtt", nargs="+", type=int, default=[0, 50, 100, 200])
    p.add_argument("--times", type=int, default=15)
    p.add_argument("--slow", action="store_true")
    p.add_argument("--json")
    args = p.parse_args()
    arms = [a for a in args.arm if args.ours or "ours" not in a]
    binaries = {kind: args.ours if kind == "ours" else peer(kind) for kind in sorted({k for a in arms for k in a.split("-")})}
    failed, out = False, open(args.json, "w") if args.json else None
    print("milliseconds: median / p90 / max (n)")
    for nodes, rtt in itertools.product(args.nodes, args.rtt):
        for arm in arms:
            print(f"{arm}, {nodes} nodes, round trip {rtt} ms", flush=True)
            try:
                with Arm(binaries, *arm.split("-"), nodes, rtt) as a:
                    error = None
                    try:
                        a.run(args.times, args.slow and nodes == 2)
                    except (CheckFailed, NodeError, NotResolved) as e:
                        error = str(e)
            except (CheckFailed, NodeError, NotResolved) as e:
                a, error = None, str(e)
            for what, samples in a.samples.items() if a else ():
                s = summary(samples)
                print(f"  {what:13} {s['median']:9.2f} {s['p90']:9.2f} {s['max']:9.2f}  ({s['n']})", flush=True)
                if out:
                    out.write(json.dumps({"bench": "ipns", "arm": arm, "nodes": nodes, "rtt_ms": rtt, "what": what, **s, "samples": samples}) + "\n")
                    out.flush()
            if error:
                failed = True
                print(f"  failed: {error}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
