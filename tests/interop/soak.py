#!/usr/bin/env python3
"""Ten nodes of four implementations in one mesh under load, one random node killed each 10 s and back as another peer: every message
reaches every node that lived through it, and memory and descriptors of ours end where they were.

usage: soak.py PATH OF meshsub-peer [--seconds 1800] [--rate 200] [--kill-every 10] [--seed 1]
Exit status as peers_pair.py. ours_1 is never killed: its memory and descriptors are those that are compared.
"""

import argparse
import hashlib
import os
import random
import sys
import threading
import time

from control import Node
from gopeer import peer
from mixed import CFG, TOPIC, Mixed
from transfer import check, run_cases

NAMES = ("ours_1", "ours_2", "ours_3", "ours_4", "go_1", "go_2", "rust_1", "rust_2", "js_1", "js_2")
WITHIN = 20  # s after which a message must be everywhere
FIRST = 60  # s after which memory is looked at first; earlier in a short run
DEAD = 2  # s a killed node stays away
BURST = 200
INBOX = 32768
SEEN_MS = 30000  # full before memory is looked at first
MARGIN = 0.05
SLACK = 1 << 20  # bytes; and 2 descriptors: a connection more or less is no leak


class Life:
    """A node from the moment it was in a mesh until it was killed; what it was given meanwhile."""

    def __init__(self, name, node, since):
        self.name, self.node, self.since, self.got = name, node, since, {}


class Soak:
    def __init__(self, binaries, net, args):
        self.binaries, self.net, self.args = binaries, net, args
        self.lives = {name: Life(name, net[name], time.monotonic()) for name in NAMES}
        self.addrs = {name: net[name].addr() for name in NAMES}
        self.coming = []  # lives that threads have made ready
        self.pending = []  # (when published, digest, publisher's life, request), oldest first
        self.ended = {}  # life -> when it was killed
        self.checked = self.kills = self.exempt = self.refused = 0
        self.failure = None

    def publish(self, number):
        life = random.choice(list(self.lives.values()))
        data = b"soak" + number.to_bytes(12, "big") + bytes(240)
        ident = life.node.post("send", topic=TOPIC, data=data.hex())
        self.pending.append((time.monotonic(), hashlib.sha256(data).hexdigest(), life, ident))

    def collect(self):
        for life in self.lives.values():
            messages, dropped = life.node.take_inbox()
            check(dropped == 0, f"{life.name}: {dropped} messages did not fit the inbox")
            for m in messages:
                life.got[m["sha256"]] = life.got.get(m["sha256"], 0) + 1
                check(life.got[m["sha256"]] == 1, f"{life.name}: a message delivered twice")

    def judge(self, now):
        """Looks at what has had its time. A publisher that was killed at once may take a message with it, but then nobody has it."""
        while self.pending and now - self.pending[0][0] > WITHIN:
            at, digest, publisher, ident = self.pending.pop(0)
            if ident in publisher.node.refused:
                check("NoPeers" in publisher.node.refused[ident], f"{publisher.name}: {publisher.node.refused[ident]}")
                self.refused += 1
                continue
            witnesses = [l for l in self.lives.values() if l is not publisher and l.since < at]
            have = [l for l in witnesses if l.got.pop(digest, 0)]
            publisher.got.pop(digest, None)
            if not have and self.ended.get(publisher, now) - at < 2:
                self.exempt += 1
                continue
            missing = [l.name for l in witnesses if l not in have]
            check(not missing, f"a message of {publisher.name} ({'killed' if publisher in self.ended else 'alive'}, {self.ended.get(publisher, now) - at:.1f} s later), "
                               f"{now - at:.0f} s old, is missing at {missing}, not at {[l.name for l in have]}")
            self.checked += 1

    def kill(self):
        name = random.choice([n for n in self.lives if n != "ours_1"])
        life = self.lives.pop(name)
        life.node.kill()
        self.ended[life] = time.monotonic()
        self.kills += 1
        others = random.sample([self.addrs[n] for n in self.lives], min(6, len(self.lives)))
        threading.Thread(target=self.back, args=(name, others), daemon=True).start()

    def back(self, name, addrs):
        """In a thread, which speaks with the new node only."""
        try:
            time.sleep(DEAD)
            node = Node(name, self.binaries[name.split("_")[0]], timeout=60)
            self.net.enter_context(node)
            node.start(topics=[TOPIC], router="gossipsub", inbox=INBOX, **{**CFG, "seen_ms": SEEN_MS})
            node.request("subscribe")
            for addr in addrs:
                try:
                    node.request("dial", addr=addr)
                except Exception:
                    pass  # killed meanwhile
            end = time.monotonic() + 30
            while node.request("mesh")["mesh"] < 1:  # full ones may refuse a GRAFT; then gossip brings the rest
                check(time.monotonic() < end, f"{name} is in no mesh 30 s after its return")
                time.sleep(0.1)
            self.coming.append((name, node, node.addr()))
        except Exception as e:
            self.failure = e

    def arrivals(self):
        while self.coming:
            name, node, addr = self.coming.pop()
            self.lives[name], self.addrs[name] = Life(name, node, time.monotonic()), addr
            self.net.nodes[name] = node

    def footprint(self):
        node = self.lives["ours_1"].node
        return node.request("stats", gc=True)["rss"], len(os.listdir(f"/proc/{node.process.pid}/fd"))

    def run(self):
        a, begin, number, first = self.args, time.monotonic(), 0, None
        kill_at, collect_at, first_at = begin + a.kill_every, begin, begin + min(FIRST, a.seconds / 3)
        while (now := time.monotonic()) < begin + a.seconds:
            burst = min(int((now - begin) * a.rate) - number, BURST)  # what is behind is made up for, but not at the cost of the rest
            for _ in range(burst):
                self.publish(number)
                number += 1
            self.arrivals()
            if self.failure:
                raise self.failure
            if now >= kill_at:
                kill_at += a.kill_every
                self.kill()
            if now >= collect_at:
                collect_at = now + 0.5
                self.collect()
                self.judge(now)
            if first is None and now >= first_at:
                first = self.footprint()
            time.sleep(0.002)
        end = time.monotonic() + WITHIN + 1
        while self.pending:
            time.sleep(0.2)
            self.arrivals()
            self.collect()
            self.judge(time.monotonic())
            check(time.monotonic() < end + 5, "the run does not end")
        last = self.footprint()
        took = end - WITHIN - 1 - begin
        print(f"{number} messages, {number / took:.0f} a second, {self.checked} checked at all who lived through them, {self.exempt} died with their publisher, {self.refused} refused, "
              f"{self.kills} kills; rss {first[0] >> 10} to {last[0] >> 10} KiB, descriptors {first[1]} to {last[1]}", flush=True)
        check(number >= 0.95 * a.rate * a.seconds, f"only {number} messages in {a.seconds:g} s")
        check(self.exempt <= self.kills * a.rate * 0.1, f"{self.exempt} messages died with their publisher")
        if a.seconds >= 3 * FIRST:  # before that the caches still fill
            check(last[0] <= first[0] * (1 + MARGIN) + SLACK, f"rss grew from {first[0]} to {last[0]}")
        check(last[1] <= first[1] * (1 + MARGIN) + 2, f"descriptors grew from {first[1]} to {last[1]}")


def main():
    p = argparse.ArgumentParser()
    p.add_argument("ours")
    p.add_argument("--seconds", type=float, default=1800)
    p.add_argument("--rate", type=float, default=200)
    p.add_argument("--kill-every", type=float, default=10)
    p.add_argument("--seed", type=int, default=1)
    args = p.parse_args()
    random.seed(args.seed)
    binaries = {"ours": args.ours} | {kind: peer(kind) for kind in ("go", "rust", "js")}

    def case():
        with Mixed(binaries, NAMES, inbox=INBOX, seen_ms=SEEN_MS) as net:
            Soak(binaries, net, args).run()

    return 0 if run_cases([(f"{args.seconds:g} s, {args.rate:g} msg/s, a kill each {args.kill_every:g} s", case)]) else 1


if __name__ == "__main__":
    sys.exit(main())
