#!/usr/bin/env python3
"""The router of register sets between meshsub-peers on sockets: the last writer wins, and whoever comes late has the winner at once.

usage: registers.py PATH OF meshsub-peer [WORD...]
With words, only the cases whose names hold one of them. Exit status: 0 all passed, 1 a case failed.
"""

import contextlib
import sys
import time

from control import Node, NodeError
from gossipsub_go import WITHIN, wait
from transfer import check, run_cases

CFG = {"router": "lww", "topics": ["unused"]}
AT_ONCE = 0.5  # s, far below a heartbeat: what comes so soon came at once
BEAT = {"heartbeat_ms": 20000}


class Nodes(contextlib.ExitStack):
    def __init__(self, binary, *names, **cfg):
        super().__init__()
        self.binary, self.cfg, self.all = binary, {**CFG, **cfg}, {}
        for name in names:
            self.add(name)

    def add(self, name, **cfg):
        node = self.enter_context(Node(name, [self.binary], timeout=WITHIN))
        node.start(**{**self.cfg, **cfg})
        self.all[name] = node
        return node

    def __getitem__(self, name):
        return self.all[name]

    def join(self, topic, *names):
        for name in names or self.all:
            self[name].request("register_join", topic=topic)

    def link(self, a, b):
        self[a].request("dial", addr=self[b].addr())

    def counter(self, name, topic):
        return self[name].request("register_get", topic=topic).get("counter")

    def have(self, topic, counter, *names):
        for name in names or self.all:
            wait(lambda name=name: f"{name} has {self.counter(name, topic)} instead of {counter}", lambda name=name: self.counter(name, topic) == counter)


def refused(node, why, **put):
    try:
        got = node.request("register_put", **put)
    except NodeError as e:
        check(why in str(e), f"{node.name}: {e}")
    else:
        check(False, f"{node.name} took it: {got['outcome']}")


def topic_of(node):
    return f"registers/{node.peer}"


def chain(binary):
    """Through a node in between; an older one changes nothing, anywhere."""
    with Nodes(binary, "a", "b", "c") as net:
        topic = topic_of(net["a"])
        net.join(topic)
        net.link("a", "b")
        net.link("b", "c")
        old = net["a"].request("register_put", topic=topic, counter=1, value="one")
        check(old["outcome"] == "taken", f"{old}")
        net.have(topic, 1)
        net["a"].request("register_put", topic=topic, counter=7, value="seven")
        net.have(topic, 7)
        for name in "abc":
            refused(net[name], "the winner is better", topic=topic, record=old["record"])
        check(net["a"].request("register_put", topic=topic, counter=7, value="seven")["outcome"] == "same", "the same once more")
        time.sleep(1)
        for name in "abc":
            got = net[name].request("register_get", topic=topic)
            check((got["counter"], got["value"]) == (7, "seven"), f"{name}: {got}")


def late(binary):
    """Who connects, and who joins, has the winner long before the next heartbeat."""
    with Nodes(binary, "a", "b", "c", **BEAT) as net:
        topic = topic_of(net["a"])
        net.join(topic, "a", "b")
        net["a"].request("register_put", topic=topic, counter=3, value="three")
        begin = time.monotonic()
        net.link("b", "a")
        net.have(topic, 3, "b")
        check(time.monotonic() - begin < AT_ONCE, f"{time.monotonic() - begin:.3f} s after the dial")
        net.link("c", "b")
        time.sleep(0.2)
        begin = time.monotonic()
        net.join(topic, "c")
        net.have(topic, 3, "c")
        check(time.monotonic() - begin < AT_ONCE, f"{time.monotonic() - begin:.3f} s after the join")


def partition(binary):
    """Two sides with different winners agree when they meet, and the author learns from others what it had written."""
    with Nodes(binary, "a", "b", "c") as net:
        topic = topic_of(net["a"])
        net.join(topic)
        first = net["a"].request("register_put", topic=topic, counter=1, value="one")["record"]
        second = net["a"].request("register_put", topic=topic, counter=2, value="two")["record"]
        check(net["b"].request("register_put", topic=topic, record=first)["outcome"] == "taken", "b")
        check(net["c"].request("register_put", topic=topic, record=second)["outcome"] == "taken", "c")
        net.link("b", "c")
        net.have(topic, 2, "b", "c")
        check(net["c"].request("register_get", topic=topic)["record"] == second, "the bytes are the author's")
        forger = topic_of(net["b"])
        net.join(forger, "a")
        refused(net["a"], "no record of the topic", topic=forger, counter=9, value="not mine")


CASES = (chain, late, partition)
if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__.strip())
    binary, words = sys.argv[1], sys.argv[2:]
    chosen = [(case.__name__, lambda case=case: case(binary)) for case in CASES if not words or any(w in case.__name__ for w in words)]
    sys.exit(0 if run_cases(chosen) else 1)
