#!/usr/bin/env python3
"""Ten nodes of four implementations in one mesh under load, one random node killed each 10 s and back as another peer: every message
reaches every node that lived through it, once, and memory and descriptors of ours end where they were.

usage: soak.py PATH OF meshsub-peer [--seconds 1800] [--rate 200] [--kill-every 10] [--victims ours go rust js] [--seed 1]
Exit status as peers_pair.py. ours_1 is never killed: its memory and descriptors are those that are compared. Each node publishes on a
clock of its own and says in each message who it is, how many it has said, and when; here it is only read what they received.
"""

import argparse
import collections
import heapq
import os
import random
import sys
import threading
import time

from control import Node
from gopeer import peer
from mixed import CFG, TOPIC, Mixed
from transfer import HEADER, check, run_cases

NAMES = ("ours_1", "ours_2", "ours_3", "ours_4", "go_1", "go_2", "rust_1", "rust_2", "js_1", "js_2")
KINDS = ("ours", "go", "rust", "js")
SIZE = 256
WITHIN = 20  # s after which a message should be everywhere; where it is not, it is counted as slow
LOST = 120  # s after which it is lost: a starved node reads what it was sent much later
SILENT = 60  # s after which a node that does not answer is taken for stuck
FIRST = 60  # s after which memory is looked at first; earlier in a short run
DEAD = 2  # s a killed node stays away
JOIN = 10  # s in which a node that returns finds a mesh; when all it knows are full they refuse, and gossip brings it everything
PAUSE = 0.5  # s between two looks into an inbox
PORTION = 512
LOOK = 5  # s in which memory is looked at, first and last: the least of it, because what just arrived is no leak
MARGIN = 0.05
CONNECTIONS = 2  # descriptors: one more or less is no leak
# seen_ms: full before memory is looked at first, and more than WITHIN; older messages may be delivered again. history: a node that comes asks each of its peers for all of it.
MORE = {"inbox": 32768, "seen_ms": 50000, "history": 10, "gossip_history": 8, "rpc_log": 0, "trace": False}


class Life:
    """A node from the moment it had joined until it was killed, and what it was given meanwhile."""

    count = 0

    def __init__(self, name, node):
        Life.count += 1
        self.name, self.node, self.seed, self.since, self.ended = name, node, Life.count, time.monotonic(), None
        self.got = {}  # seed of another -> a byte for each of its messages
        self.known = bytearray()  # of its own, which anybody has
        self.judged = 0  # of its own, up to which it was looked whether anybody has them
        self.request, self.asked, self.collected, self.next, self.start = None, 0, self.since, self.since, None

    @staticmethod
    def mark(has, number):
        """False when it is there already."""
        if len(has) <= number:
            has.extend(bytes(number + 64 - len(has)))
        was, has[number] = has[number], 1
        return not was

    def has(self, seed, number):
        return self.got.get(seed, b"")[number:number + 1] == b"\1"


class Soak:
    def __init__(self, binaries, net, args):
        self.binaries, self.net, self.args = binaries, net, args
        self.each = args.rate / (len(NAMES) - 1)  # one of them is away
        self.all = {}  # seed -> life
        self.lives = {name: self.live(name, net[name]) for name in NAMES}
        self.addrs = {name: net[name].addr() for name in NAMES}
        self.coming = []  # (name, node, its address, mesh) that threads have made ready
        self.pending = []  # (when published, seed, number), a heap
        self.overdue = []  # (when published, seed, number, the lives that do not have it)
        self.slow = collections.Counter()  # kind that got a message later than it should
        self.looks = {"first": [], "last": []}  # (rss, descriptors)
        self.late = collections.Counter()  # kind that sent a message again which the receiver need not remember any more
        self.messages = self.checked = self.kills = self.died = self.alone = 0
        self.failure = None

    def live(self, name, node):
        life = Life(name, node)
        self.all[life.seed] = life
        return life

    def publish(self, life, seconds):
        if seconds > 0:
            life.start = life.node.ask("publish", seed=life.seed, count=max(1, int(seconds * self.each)), size=SIZE, rate=self.each, window=1, receivers=0)

    # What came.

    def collect(self, life, now):
        """Never waits: a slow node must not hold up the others."""
        if life.start is not None and life.node.answer(life.start):
            life.start = None
        if life.request is None:
            if now >= life.next:
                life.request, life.asked = life.node.ask("inbox", max=PORTION, data=True), now
            return
        reply = life.node.answer(life.request)
        if reply is None:
            check(now - life.asked < SILENT, f"{life.name} has not answered for {SILENT} s")
            return
        check(reply["dropped"] == 0, f"{life.name}: {reply['dropped']} messages did not fit the inbox")
        for m in reply["messages"]:
            self.came(life, now, m["received_from"], *HEADER.unpack_from(bytes.fromhex(m["data"][:2 * HEADER.size])))
        if len(reply["messages"]) == PORTION:  # there are more
            life.request = life.node.ask("inbox", max=PORTION, data=True)
        else:
            life.request, life.collected, life.next = None, life.asked, now + PAUSE

    def came(self, life, now, source, seed, number, stamp):
        if seed == life.seed:
            return  # some deliver to themselves
        if not Life.mark(life.got.setdefault(seed, bytearray()), number):
            sender = next((l.name for l in self.all.values() if l.node.peer == source), source)
            age = now - stamp / 1e9
            check(age * 1000 > MORE["seen_ms"], f"{life.name}: message {number} of {self.all[seed].name} delivered twice, again {age:.1f} s old, by {sender}")
            self.late[sender.split("_")[0]] += 1
        if Life.mark(self.all[seed].known, number):
            self.messages += 1
            heapq.heappush(self.pending, (stamp / 1e9, seed, number))

    # What should have come.

    def gone(self, publisher, at):
        """The publisher was killed so soon that what it said may be gone with it, and with the one it told."""
        return publisher.ended is not None and publisher.ended - at < 2

    def judge(self, now):
        while self.pending and self.pending[0][0] < now - WITHIN:
            at, seed, number = self.pending[0]
            publisher = self.all[seed]
            witnesses = [l for l in self.lives.values() if l.seed != seed and l.since < at]
            if any(l.collected < at + WITHIN for l in witnesses):
                return  # it may be there, unread
            heapq.heappop(self.pending)
            for n in range(publisher.judged, number):
                if not publisher.known[n]:
                    check(self.gone(publisher, at), f"message {n} of {publisher.name} reached nobody")
                    self.died += 1
            publisher.judged = max(publisher.judged, number + 1)
            self.checked += 1
            missing = [l for l in witnesses if not l.has(seed, number)]
            if len(missing) == len(witnesses) and self.gone(publisher, at):
                self.died += 1
            elif missing:
                self.overdue.append((at, seed, number, missing))
                self.slow.update(l.name.split("_")[0] for l in missing)
        rest = []
        for at, seed, number, missing in self.overdue:
            missing = [l for l in missing if l.ended is None and not l.has(seed, number)]
            lost = [l for l in missing if l.collected > at + LOST]
            check(not lost, lost and self.report(self.all[seed], number, at, now, lost))
            if missing:
                rest.append((at, seed, number, missing))
        self.overdue = rest

    def report(self, publisher, number, at, now, missing):
        state = f"killed {publisher.ended - at:.1f} s later" if publisher.ended else "alive"
        where = [f"{l.name}, {at - l.since:.0f} s old" for l in missing]
        return f"message {number} of {publisher.name}, {at - publisher.since:.0f} s old, {state}, is missing {now - at:.0f} s later at {where}"

    # Who comes and goes.

    def kill(self):
        names = [n for n in self.lives if n != "ours_1" and n.split("_")[0] in self.args.victims]
        if not names:
            return  # all away
        name = random.choice(names)
        life = self.lives.pop(name)
        life.node.kill()
        life.ended = time.monotonic()
        life.got = {}
        self.kills += 1
        others = random.sample([self.addrs[n] for n in self.lives], min(6, len(self.lives)))
        threading.Thread(target=self.back, args=(name, others), daemon=True).start()

    def back(self, name, addrs):
        """In a thread, which speaks with the new node only. It joins when it has dialled: js needs seconds for a dial while it has messages to check."""
        try:
            time.sleep(DEAD)
            node = Node(name, self.binaries[name.split("_")[0]], timeout=60)
            self.net.enter_context(node)
            node.start(topics=[TOPIC], router="gossipsub", **{**CFG, **MORE})
            for addr in addrs:
                try:
                    node.request("dial", addr=addr)
                except Exception:
                    pass  # killed meanwhile
            node.request("subscribe")
            end = time.monotonic() + JOIN
            while not (mesh := node.request("mesh"))["mesh"] and time.monotonic() < end:
                time.sleep(0.1)
            self.coming.append((name, node, node.addr(), mesh["mesh"]))
        except Exception as e:
            self.failure = e

    def arrivals(self, until):
        while self.coming:
            name, node, addr, mesh = self.coming.pop()
            self.lives[name], self.addrs[name] = self.live(name, node), addr
            self.net.nodes[name] = node
            self.alone += not mesh
            self.publish(self.lives[name], until - time.monotonic())
        if self.failure:
            raise self.failure

    def turn(self, until):
        self.arrivals(until)
        now = time.monotonic()
        for life in self.lives.values():
            self.collect(life, now)
        self.judge(now)
        time.sleep(0.01)

    def look(self, which):
        node = self.lives["ours_1"].node
        self.looks[which].append((node.request("stats", gc=True)["rss"], len(os.listdir(f"/proc/{node.process.pid}/fd"))))

    def run(self):
        a, begin = self.args, time.monotonic()
        until = begin + a.seconds
        for life in self.lives.values():
            self.publish(life, a.seconds)
        kill_at, look_at = begin + a.kill_every, begin + min(FIRST, a.seconds / 3)
        while (now := time.monotonic()) < until:
            if now >= kill_at:
                kill_at += a.kill_every
                self.kill()
            if now >= look_at:
                which = "first" if now < until - LOOK else "last"
                self.look(which)
                look_at = now + 0.5 if which == "last" or len(self.looks[which]) < 2 * LOOK else until - LOOK
            self.turn(until)
        first, last = (tuple(map(min, zip(*self.looks[which]))) for which in ("first", "last"))
        rest = until + LOST + SILENT
        while self.pending or self.overdue or min(l.collected for l in self.lives.values()) < until + WITHIN:
            check(time.monotonic() < rest, "the run does not end")
            self.turn(until)
        for kind, n in self.slow.items():
            print(f"{n} messages came to {kind} later than {WITHIN} s", flush=True)
        for kind, n in self.late.items():
            print(f"{n} messages came again from {kind} when they were {MORE['seen_ms'] // 1000} s old", flush=True)
        print(f"{self.messages} messages, {self.messages / a.seconds:.0f} a second, {self.checked} checked at all who lived through them, {self.died} died with their publisher; "
              f"{self.kills} kills, {self.alone} came back into full meshes; rss {first[0] >> 10} to {last[0] >> 10} KiB, descriptors {first[1]} to {last[1]}", flush=True)
        check(self.messages >= 0.95 * a.rate * a.seconds, f"only {self.messages} messages in {a.seconds:g} s")
        check(self.died <= self.kills * self.each * 2, f"{self.died} messages died with their publisher")
        if a.seconds >= 3 * FIRST:  # before that the caches still fill
            check(last[0] <= first[0] * (1 + MARGIN), f"rss grew from {first[0]} to {last[0]}")
        check(last[1] <= first[1] * (1 + MARGIN) + CONNECTIONS, f"descriptors grew from {first[1]} to {last[1]}")


def main():
    p = argparse.ArgumentParser()
    p.add_argument("ours")
    p.add_argument("--seconds", type=float, default=1800)
    p.add_argument("--rate", type=float, default=200)
    p.add_argument("--kill-every", type=float, default=10)
    p.add_argument("--victims", nargs="+", choices=KINDS, default=KINDS)
    p.add_argument("--seed", type=int, default=1)
    args = p.parse_args()
    random.seed(args.seed)
    binaries = {"ours": args.ours} | {kind: peer(kind) for kind in KINDS if kind != "ours"}

    def case():
        with Mixed(binaries, NAMES, **MORE) as net:
            Soak(binaries, net, args).run()

    return 0 if run_cases([(f"{args.seconds:g} s, {args.rate:g} msg/s, a kill each {args.kill_every:g} s", case)]) else 1


if __name__ == "__main__":
    sys.exit(main())
