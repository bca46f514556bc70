#!/usr/bin/env python3
"""IPNS over pubsub measured: ours, Kubo and Helia, among themselves and with each other, in one run.

usage: bench/ipns.py --ours PATH OF meshsub-peer [--arm WRITER-READER ...] [--nodes 2 8 32] [--rtt 0 50 100 200] [--times 15] [--slow] [--names 300]
                     [--meshsub PATH OF meshsub] [--json FILE]

One node writes, the others have dialled it. Of each arm, number of nodes and injected round trip time (milliseconds; with one, distance.py holds back every packet
between namespaces, and it needs root):
  cold          a name that was never asked for, over a connection that is long there; cold-in: by the clock of the node itself, where it tells
  warm          the same name again, past any cache; warm-in
  dial          not connected: connection, TCP's included, and first resolve
  publish       the publish call itself; ours is durable when it answers, the others' are not
  update        from the start of the publish call to the first answer with the new value at one of the readers
  update-after  the same from the end of the call; 0: it was there before
  update-in     from the commit to the change at that reader, by the clocks of the nodes, where they tell
  update-all    from its start to the last reader
  late          a node that knows a reader only: connection and first resolve
  restart       a reader that was killed: its start, connection and resolve of a name that it followed before
  writer        with --slow, of two nodes, no delay: the writer is killed, from its start to the first answer it gives a stranger (Kubo: more than a minute; Helia to Helia:
                never, as far as was waited)
  found         ours, two nodes and a rendezvous point that both are connected to: resolve without a connection to the holder, by the node's clock
  memory        with --names, of two nodes, no delay, last: anonymous memory of the reader, KiB a name that it has resolved and is subscribed to
  kept          the same for names that are kept and not subscribed (ours alone can)
Arms take turns, the smallest number of nodes first. With --meshsub `meshsub ipns serve` is asked over its socket for a name that it follows, 2,000 times (socket).
Exit status: 0, or 1 when something was not resolved at all, 77 a peer cannot be built here.
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
sys.path.insert(1, str(pathlib.Path(__file__).resolve().parent.parent / "tests" / "unit"))

import cli_socket  # noqa: E402
from distance import Distance  # noqa: E402
from nodes import NodeError, NotResolved, eventually, make, value  # noqa: E402
from served import Served  # noqa: E402

from gopeer import peer  # noqa: E402
from transfer import CheckFailed, check  # noqa: E402

ARMS = ("ours-ours", "kubo-kubo", "helia-helia", "ours-kubo", "kubo-ours", "ours-helia", "helia-ours")
WITHIN = 15  # seconds for one resolve
RETURNS = 150  # seconds that a writer has to be of use again
numbers = itertools.count(1)


def timed(work):
    begin = time.monotonic()
    work()
    return time.monotonic() - begin


class Arm(contextlib.ExitStack):
    def __init__(self, binaries, writer, reader, nodes, rtt):
        super().__init__()
        self.binaries, self.kind, self.samples, self.notes, self.labels = binaries, reader, {}, [], itertools.count(1)
        try:
            self.distance = self.enter_context(Distance(rtt))
            self.writer = self.enter_context(make(binaries, writer, "writer", place=self.distance.place()))
            self.readers = [self.add() for _ in range(nodes - 1)]
            for r in self.readers:
                self.link(r, self.writer)
            self.turns = itertools.cycle(self.readers)
        except BaseException:
            self.close()
            raise

    def add(self):
        return self.enter_context(make(self.binaries, self.kind, "reader", place=self.distance.place()))

    def link(self, dialer, listener):
        dialer.connect(listener.addr())
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
        got = node.resolve(name, within=WITHIN)
        check(got == path, f"{node.kind}: another value")
        return got

    def keep_resolve(self, what, node, name, path):
        """One by the driver's clock, which has the way to the node in it, and by the node's own."""
        begin = time.monotonic()
        got = self.resolve(node, name, path)
        self.keep(what, time.monotonic() - begin)
        if got.ns is not None:
            self.keep(f"{what}-in", got.ns / 1e9)

    def first_and_again(self):
        reader = next(self.turns)
        _, name, path = self.name()
        time.sleep(0.05)
        self.keep_resolve("cold", reader, name, path)
        self.keep_resolve("warm", reader, name, path)

    def dial(self):
        reader = next(self.turns)
        reader.disconnect(self.writer.peer)
        eventually("disconnected", lambda: reader.peer not in self.writer.connected())
        _, name, path = self.name()
        time.sleep(0.2)

        def both():
            reader.connect(self.writer.addr())
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
            said = self.writer.publish(label, path)
            call.extend((time.monotonic() - begin, (said or {}).get("at_ns")))

        def shows(node):
            while (got := node.resolve(name, within=WITHIN)) != path:
                check(time.monotonic() < begin + WITHIN, f"an update is not seen by {node.kind}")
                time.sleep(0.001)
            return got

        asks = threading.Thread(target=publish)
        asks.start()
        got = shows(reader)
        seen = time.monotonic() - begin
        for r in self.readers:
            shows(r)
        every = time.monotonic() - begin
        asks.join()
        check(call, "the publish call failed")
        for what, seconds in (("publish", call[0]), ("update", seen), ("update-after", max(0, seen - call[0])), ("update-all", every)):
            self.keep(what, seconds)
        if call[1] is not None and got.changed_ns is not None:
            self.keep("update-in", (got.changed_ns - call[1]) / 1e9)
        time.sleep(0.05)

    def late(self, names):
        """names: those that the first reader has."""
        first = self.readers[0]
        node = self.add()
        addr = first.addr()

        def both():
            node.connect(addr)
            self.resolve(node, *names)

        self.keep("late", timed(both))
        node.kill()

    def restart(self, names):
        reader, addr = self.readers[0], self.writer.addr()
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
        stranger.connect(self.writer.addr())
        while True:
            try:
                self.resolve(stranger, name, path)
                break
            except NotResolved:
                if time.monotonic() > begin + RETURNS:
                    self.notes.append(f"writer: not within {RETURNS} s")
                    return
        self.keep("writer", time.monotonic() - begin)

    def found(self, times):
        with contextlib.ExitStack() as nodes:
            def node(name, **rendezvous):
                return nodes.enter_context(make(self.binaries, "ours", name, place=self.distance.place(), rendezvous=rendezvous))

            point = node("point", point=True)
            holder = node("holder", points=[point.addr()])
            self.link(holder, point)
            name, path = holder.key("k"), value(next(numbers))
            holder.publish("k", path)
            time.sleep(1)  # registered
            for _ in range(times):
                seeker = node("seeker", points=[point.addr()])
                self.link(seeker, point)
                time.sleep(1)
                self.keep("found", self.resolve(seeker, name, path).ns / 1e9)
                seeker.kill()

    def memory(self, count):
        """In KiB a name; the first ones are for what grows once."""
        reader, begin = self.readers[0], None
        for i in range(count + count // 10):
            if i == count // 10:
                begin = anonymous(reader)
            _, name, path = self.name()
            self.resolve(reader, name, path)
        self.samples["memory"] = [(anonymous(reader) - begin) / count]
        if reader.kind != "ours":
            return
        names = []
        for _ in range(2 * count):  # a node of ours has a thousand keys at most
            label, name, path = self.name()
            names.append((name, self.writer.record(name)))
        stranger = self.add()  # beside the topics of the reader
        for i, (name, record) in enumerate(names):
            if i == count // 3:
                begin = anonymous(stranger)
            stranger.put(name, record)
            stranger.keep(name)
        self.samples["kept"] = [(anonymous(stranger) - begin) / (len(names) - count // 3)]

    def run(self, times, slow, names):
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
        if (self.writer.kind, self.kind, len(self.readers)) == ("ours", "ours", 1):
            self.found(max(1, times // 3))
        if names:
            self.memory(names)
        if slow:
            self.writer_restart()


def anonymous(node):
    """Anonymous memory of a node's process in KiB."""
    process = node.process if node.kind == "kubo" else node.node.process
    return int(next(line for line in pathlib.Path(f"/proc/{process.pid}/status").read_text().splitlines() if line.startswith("RssAnon")).split()[1])


def over_socket(binaries, meshsub, asked=2000):
    """Milliseconds of each answer of a node to a program beside it, about a name that it follows."""
    with make(binaries, "ours", "writer") as writer, Served(meshsub) as served:
        name, path = writer.key("k"), value(next(numbers))
        writer.connect(served.addr)
        eventually("a connection", lambda: served.peer in writer.connected())
        writer.publish("k", path)
        with cli_socket.Raw(str(served.socket)) as program:
            check(program.ask({"op": "ipns_follow", "name": name})["ok"], "it does not follow")

            def ask():
                check(program.ask({"op": "ipns_resolve", "name": name})["value"] == path, "another value")

            ask()
            return [timed(ask) * 1000 for _ in range(asked)]


class Results:
    """What is printed, and one line of JSON each."""

    def __init__(self, path):
        self.out = open(path, "w") if path else None
        print("milliseconds (memory, kept: KiB): median / p90 / p99 / max (n)")

    def keep(self, samples, what, **of):
        s = sorted(samples)
        at = lambda percent: s[-(-percent * len(s) // 100) - 1]  # noqa: E731
        r = {"n": len(s), "median": statistics.median(s), "p90": at(90), "p99": at(99), "max": s[-1]}
        print(f"  {what:13} {r['median']:9.2f} {r['p90']:9.2f} {r['p99']:9.2f} {r['max']:9.2f}  ({r['n']})", flush=True)
        if self.out:
            self.out.write(json.dumps({"bench": "ipns", **of, "what": what, **r, "samples": samples}) + "\n")
            self.out.flush()


def main():
    p = argparse.ArgumentParser(usage=__doc__)
    p.add_argument("--ours")
    p.add_argument("--arm", nargs="+", choices=ARMS, default=ARMS)
    p.add_argument("--nodes", nargs="+", type=int, default=[2, 8, 32])
    p.add_argument("--rtt", nargs="+", type=int, default=[0, 50, 100, 200])
    p.add_argument("--times", type=int, default=15)
    p.add_argument("--slow", action="store_true")
    p.add_argument("--names", type=int, default=0)
    p.add_argument("--meshsub")
    p.add_argument("--json")
    args = p.parse_args()
    arms = [a for a in args.arm if args.ours or "ours" not in a]
    binaries = {kind: args.ours if kind == "ours" else peer(kind) for kind in sorted({k for a in arms for k in a.split("-")})}
    failed, results = False, Results(args.json)
    if args.meshsub and args.ours:
        results.keep(over_socket(binaries, args.meshsub), "socket")
    for nodes, rtt in itertools.product(args.nodes, args.rtt):
        for arm in arms:
            print(f"{arm}, {nodes} nodes, round trip {rtt} ms", flush=True)
            try:
                with Arm(binaries, *arm.split("-"), nodes, rtt) as a:
                    error = None
                    try:
                        a.run(args.times, args.slow and nodes == 2 and not rtt, args.names if nodes == 2 and not rtt else 0)
                    except (CheckFailed, NodeError, NotResolved) as e:
                        error = str(e)
            except (CheckFailed, NodeError, NotResolved) as e:
                a, error = None, str(e)
            for what, samples in a.samples.items() if a else ():
                results.keep(samples, what, arm=arm, nodes=nodes, rtt_ms=rtt)
            for note in a.notes if a else ():
                print(f"  {note}", flush=True)
            if error:
                failed = True
                print(f"  failed: {error}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
