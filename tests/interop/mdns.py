#!/usr/bin/env python3
"""Peers found on the local network by multicast DNS: meshsub-peer with the peers of other implementations and with its own kind, each in a network namespace of
its own on one bridge.

usage: mdns.py PATH OF meshsub-peer go|rust|ours... [WORD...]
With words, only the cases whose names hold one of them. Exit status: 0 all passed, 1 a case failed, 77 namespaces or a peer cannot be made here.
"""

import contextlib
import os
import sys

from control import Node
from gopeer import peer
from gossipsub_go import TOPIC, WITHIN, gossipsub, wait
from namespaces import Network, ip4, ip6
from transfer import check, run_cases


class Nodes(contextlib.ExitStack):
    """One in each namespace, listening at all its addresses: (name, binary, cfg). six: on a network of IPv6 alone."""

    def __init__(self, *nodes, six=False):
        super().__init__()
        listen = "/ip6/::/tcp/0" if six else "/ip4/0.0.0.0/tcp/0"
        try:
            self.enter_context(Network(len(nodes), six=True, four=not six))
            self.nodes = [self.enter_context(Node(name, ["ip", "netns", "exec", Network.ns(i), binary], timeout=WITHIN)) for i, (name, binary, _) in enumerate(nodes)]
            for node, (_, _, cfg) in zip(self.nodes, nodes):
                node.start(topics=[TOPIC], listen=listen, **gossipsub(**cfg))
        except BaseException:
            self.close()
            raise


def connection(node, other):
    """What node says of its connection to the other; None."""
    return next((p for p in node.request("peers")["peers"] if p["peer"] == other.peer), None)


def found(node, other):
    """The addresses at which a foreign peer has found the other."""
    return node.request("mdns")["found"].get(other.peer)


def port(node):
    return node.addr().split("/tcp/")[1].split("/")[0]


def counts(node):
    return node.request("counters")["host"]


def talk(a, b):
    """A message each way; the benchmark's loop would need one loopback for both."""
    for i, (one, other) in enumerate(((a, b), (b, a))):
        one.request("send", topic=TOPIC, data=f"a{i}")
        got = []

        def arrived(other=other, got=got, wanted=f"a{i}"):
            messages, _ = other.take_inbox(data=True)
            got.extend(m["data"] for m in messages)
            return wanted in got
        wait(lambda got=got: f"a message of {one.name} at {other.name}: {got}", arrived)


def at(i, six):
    return f"/ip6/{ip6(i)}" if six else f"/ip4/{ip4(i)}"


def theirs_cfg(kind, how, six):
    """rust speaks one family: IPv4, unless it is told otherwise."""
    return {"mdns": how, **({"mdns_ipv6": True} if six and kind == "rust" else {})}


def they_find_us(binaries, kind, six=False):
    """Ours joins nothing, so it looks for nobody; the other dials whom it finds."""
    with Nodes(("ours", binaries["ours"], {"mdns": True}), (kind, binaries[kind], theirs_cfg(kind, "connect", six)), six=six) as net:
        ours, theirs = net.nodes
        wait(f"{kind} finds ours", lambda: found(theirs, ours))
        wait(f"{kind} is connected", lambda: connection(ours, theirs))
        check(connection(ours, theirs)["inbound"], "ours has dialled")
        addr = f"{at(0, six)}/tcp/{port(ours)}"
        check(any(a.removesuffix("/p2p/" + ours.peer) == addr for a in found(theirs, ours)), f"{addr} is not in {found(theirs, ours)}")
        wait("ours hears of it", lambda: counts(ours)["mdns_heard"] > 0)
        now = counts(ours)
        check(now["mdns_answered"] > 0 and now["mdns_malformed"] == 0, f"{now}")


def we_find_them(binaries, kind, six=False):
    """The other dials nobody; ours has a topic with too few peers."""
    with Nodes(("ours", binaries["ours"], {"mdns": True}), (kind, binaries[kind], theirs_cfg(kind, "find", six)), six=six) as net:
        ours, theirs = net.nodes
        wait("ours has heard of it", lambda: counts(ours)["mdns_heard"] > 0)
        check(connection(ours, theirs) is None, "connected before anybody was wanted")
        for node in net.nodes:
            node.request("subscribe")
        wait("in one mesh", lambda: ours.request("mesh")["mesh_peers"] == [theirs.peer] and theirs.request("mesh")["mesh_peers"] == [ours.peer])
        check(not connection(ours, theirs)["inbound"], f"{kind} has dialled")
        check(connection(ours, theirs)["addr"].startswith(f"{at(1, six)}/tcp/{port(theirs)}"), f"{connection(ours, theirs)}")
        talk(ours, theirs)


def ours_alone(binaries, six=False):
    """Three of ours in three namespaces, each joined after the one before."""
    with Nodes(*((f"ours_{i}", binaries["ours"], {"mdns": True}) for i in range(3)), six=six) as net:
        for i, node in enumerate(net.nodes):
            node.request("subscribe")
            others = {n.peer for n in net.nodes[:i]}
            wait("one mesh", lambda node=node, others=others: others <= set(node.request("mesh")["mesh_peers"]))
        talk(net.nodes[0], net.nodes[2])
        for node in net.nodes:
            wait("it hears of both", lambda node=node: counts(node)["mdns_heard"] >= 2)
            now = counts(node)
            check(now["mdns_malformed"] == 0 and now["mdns_dropped"] == 0, f"{now}")


def cases(kinds):
    for kind in kinds:
        if kind == "ours":
            yield "ours alone", ours_alone, ()
            yield "ours alone over IPv6", ours_alone, (True,)
            continue
        yield f"{kind} finds ours", they_find_us, (kind,)
        yield f"ours finds {kind}", we_find_them, (kind,)
        yield f"{kind} finds ours over IPv6", they_find_us, (kind, True)
        yield f"ours finds {kind} over IPv6", we_find_them, (kind, True)


def main():
    if len(sys.argv) < 3 or not os.access(sys.argv[1], os.X_OK):
        print(__doc__.strip(), file=sys.stderr)
        return 2
    kinds = [a for a in sys.argv[2:] if a in ("go", "rust", "ours")]
    words = [a for a in sys.argv[2:] if a not in kinds]
    if not Network.possible(six=True):
        return 77
    binaries = {kind: peer(kind) for kind in kinds if kind != "ours"} | {"ours": os.path.abspath(sys.argv[1])}
    chosen = [(name, lambda f=f, a=a: f(binaries, *a)) for name, f, a in cases(kinds) if not words or any(w in name for w in words)]
    return 0 if run_cases(chosen) else 1


if __name__ == "__main__":
    sys.exit(main())
