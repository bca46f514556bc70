#!/usr/bin/env python3
"""Three of ours with two go, two rust and two js peers in one mesh: each publishes in turn, everybody gets everything; the same while
peers are killed and come back.

usage: mixed.py PATH OF meshsub-peer [WORD...]     Exit status as peers_pair.py.
"""

import hashlib
import os
import random
import sys

from control import Node
from gopeer import peer
from gossipsub_go import Net, payload, wait
from transfer import KIB, check, run_cases

TOPIC = "bench"
NAMES = ("ours_1", "ours_2", "ours_3", "go_1", "go_2", "rust_1", "rust_2", "js_1", "js_2")
CFG = {"signed": True, "heartbeat_ms": 500, "D": 4, "Dlo": 3, "Dhi": 6, "Dout": 1, "Dscore": 2, "history": 20, "gossip_history": 20}


class Mixed(Net):
    def __init__(self, binaries, names=NAMES, **more):
        self.binaries, self.cfg = binaries, {**CFG, **more}
        super().__init__(binaries, **{name: self.cfg for name in names})
        self.got = {name: {} for name in names}  # id -> times delivered in this life
        self.subscribe()
        # Each dials the next three in a ring: a connected graph even without any two that are not side by side.
        for i, name in enumerate(names):
            for step in (1, 2, 3):
                self.link(name, names[(i + step) % len(names)])
        self.settled()

    def settled(self):
        wait(lambda: f"meshes {[self.mesh(n)['mesh'] for n in self.nodes]}", lambda: all(self.mesh(n)["mesh"] >= 3 for n in self.nodes))

    def collect(self, *names):
        for name in names or self.nodes:
            if not self[name].alive():
                continue
            messages, dropped = self[name].take_inbox()
            check(dropped == 0, f"{name}: {dropped} messages did not fit the inbox")
            for m in messages:
                self.got[name][m["sha256"]] = self.got[name].get(m["sha256"], 0) + 1

    def once(self, names, digests):
        """These nodes have, or get, each of these, once."""
        def missing():
            self.collect(*names)
            return {n: len(set(digests) - self.got[n].keys()) for n in names if set(digests) - self.got[n].keys()}

        wait(lambda: f"missing: {missing()}", lambda: not missing())
        for name in names:
            twice = [d for d, n in self.got[name].items() if n > 1]
            check(not twice, f"{name}: {len(twice)} delivered twice")

    def publish(self, name, number, size):
        data = payload(number, size)
        self[name].request("send", topic=TOPIC, data=data.hex())
        return hashlib.sha256(data).hexdigest()

    def kill(self, name):
        self[name].kill()

    def back(self, name):
        """A new life, and a new peer: what the others remember of the old one must not matter."""
        node = self.enter_context(Node(name, self.binaries[name.split("_")[0]], timeout=60))
        self.nodes[name] = node
        node.start(topics=[TOPIC], router="gossipsub", **self.cfg)
        self.got[name] = {}
        node.request("subscribe")
        alive = [n for n in self.nodes if n != name and self[n].alive()]
        for other in random.sample(alive, min(4, len(alive))):
            self.link(name, other)
        wait(lambda: f"mesh of {name}", lambda: self.mesh(name)["mesh"] >= 2)


def in_turn(binaries):
    with Mixed(binaries) as net:
        said = {}
        for k, name in enumerate(NAMES):
            said[name] = [net.publish(name, 1000 * k + i, KIB if i < 10 else 64 * KIB) for i in range(12)]
        for name in NAMES:
            net.once([name], [d for other in NAMES if other != name for d in said[other]])


def with_kills(binaries):
    """One of each kind dies and comes back while the others publish: every message reaches all that lived through it."""
    random.seed(1)
    with Mixed(binaries) as net:
        number = 0
        for victim in ("ours_2", "go_1", "rust_2", "js_1", "ours_3"):
            stayers = [n for n in NAMES if n != victim]
            said = {n: [] for n in stayers}
            for phase in range(3):
                for name in stayers:
                    said[name].append(net.publish(name, number, KIB))
                    number += 1
                if phase == 0:
                    net.kill(victim)
                if phase == 1:
                    net.back(victim)
            for name in stayers:
                net.once([name], [d for other in stayers if other != name for d in said[other]])
            after = [net.publish(victim, number + i, KIB) for i in range(3)]
            number += 3
            net.once(stayers, after)


def main():
    if len(sys.argv) < 2 or not os.access(sys.argv[1], os.X_OK):
        print(__doc__.strip(), file=sys.stderr)
        return 2
    binaries = {"ours": sys.argv[1]} | {kind: peer(kind) for kind in ("go", "rust", "js")}
    cases = [("each publishes in turn", in_turn), ("peers are killed and come back", with_kills)]
    words = sys.argv[2:]
    return 0 if run_cases([(n, lambda f=f: f(binaries)) for n, f in cases if not words or any(w in n for w in words)]) else 1


if __name__ == "__main__":
    sys.exit(main())
