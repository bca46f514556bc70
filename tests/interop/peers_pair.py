#!/usr/bin/env python3
"""meshsub-peer against one of the foreign peers, with what every gossipsub node can do and nothing that only one driver offers: what a
foreign peer sends is seen in our log of RPCs.

usage: peers_pair.py go|rust|js PATH OF meshsub-peer [WORD...]
With words, only the cases whose names hold one of them. Exit status: 0 all passed, 1 a case failed, 77 the peer cannot be built here.
"""

import itertools
import os
import sys
import time

from gossipsub_go import FLOODSUB, NO_MESH, V10, V11, V12, WITHIN, Net, payload, position, send, wait
from gopeer import peer
from interop_go import KEYS
from transfer import KIB, Link, check, run_cases
from control import Node

V13 = "/meshsub/1.3.0"
NEWEST = {"go": V13, "rust": V13, "js": V12}
VERSIONS = {"go": (V10, V11, V12, V13), "rust": (V10, V11, V12, V13), "js": (V10, V11, V12)}
TOPIC = "bench"
LONG_BEAT = 20000


def small(net, pub, sub, numbers):
    """Messages of one byte, which the benchmark's loop cannot make."""
    net[sub].take_inbox()
    for n in numbers:
        net[pub].request("send", topic=TOPIC, data=f"{n:02x}")
    got = []

    def arrived():
        messages, dropped = net[sub].take_inbox(data=True)
        got.extend(m for m in messages if m["received_from"] == net[pub].peer)
        check(dropped == 0, f"{sub}: {dropped} messages did not fit the inbox")
        return len(got) >= len(numbers)

    wait(lambda: f"{sub} got {len(got)} of {len(numbers)} one-byte messages", arrived)
    time.sleep(0.05)
    arrived()
    check(sorted(m["data"] for m in got) == sorted(f"{n:02x}" for n in numbers), f"{sub} got {[m.get('data') for m in got]}")


def joined(net, a, b, protocol=None):
    net.subscribe()
    net.link(a, b)
    net.meshed(a, b)
    if protocol:
        for name in (a, b):
            (other,) = net[name].request("peers")["peers"]
            check(other["protocol"] == protocol, f"{name} speaks {other['protocol']}")


def sizes(binaries, kind, signed, dialer):
    other = kind if dialer == "ours" else "ours"
    with Net(binaries, **{name: {"signed": signed} for name in ("ours", kind)}) as net:
        joined(net, dialer, other)
        link = Link(signed)
        for i, (a, b) in enumerate(itertools.permutations(("ours", kind))):
            small(net, a, b, range(1 + 16 * i, 9 + 16 * i))
            for count, size in ((300, KIB), (20, 64 * KIB), (6, 900 * KIB)):
                link.transfer(net[a], net[b], count, size, window=16, timeout=WITHIN)


def version(binaries, kind, protocol, dialer):
    """Ours speaks one version only."""
    other = kind if dialer == "ours" else "ours"
    with Net(binaries, **{"ours": {"protocols": [protocol], "signed": True}, kind: {"signed": True}}) as net:
        joined(net, dialer, other, protocol)
        link = Link(True)
        link.both_ways(net["ours"], net[kind], 200, KIB)
        link.both_ways(net["ours"], net[kind], 5, 200 * KIB)
        told = net.counters("ours", "received", "idontwant")
        check(protocol in (V12, V13) or told == 0, f"{told} IDONTWANT over {protocol}")


def newest(binaries, kind, dialer):
    """Both offer all they know."""
    other = kind if dialer == "ours" else "ours"
    with Net(binaries, **{"ours": {}, kind: {}}) as net:
        joined(net, dialer, other, NEWEST[kind])
        Link(False).both_ways(net["ours"], net[kind], 100, KIB)


def old_peer(binaries, kind, protocol):
    """The peer speaks one version only."""
    with Net(binaries, **{"ours": {}, kind: {"protocols": [protocol]}}) as net:
        joined(net, "ours", kind, protocol)
        Link(False).both_ways(net["ours"], net[kind], 100, KIB)


def floodsub(binaries, kind):
    """Ours floods; the peer serves it beside its mesh."""
    with Net(binaries, **{"ours": {"router": "floodsub", "protocols": [FLOODSUB]}, kind: {"router": "floodsub"}}) as net:
        net.subscribe()
        net.link("ours", kind)
        for name in ("ours", kind):
            net.subscribers(name, 1)
        Link(False).both_ways(net["ours"], net[kind], 200, KIB)


def reconnect(binaries, kind, closer):
    other = kind if closer == "ours" else "ours"
    with Net(binaries, **{"ours": {"signed": True, "key": KEYS["ours"]}, kind: {"signed": True, "key": KEYS["go"]}}) as net:
        joined(net, "ours", kind)
        link = Link(True)
        for _ in range(2):
            link.both_ways(net["ours"], net[kind], 50, KIB)
            net[closer].request("disconnect", peer=net[other].peer)
            for name in ("ours", kind):
                net[name].wait_mesh(timeout=WITHIN, subs=0, conns=0)
            net.link("ours", kind)
            net.meshed("ours", kind)
        link.both_ways(net["ours"], net[kind], 50, KIB)


def killed(binaries, kind, victim):
    """The victim dies, the same peer comes back and dials."""
    stayer = kind if victim == "ours" else "ours"
    keys = {"ours": KEYS["ours"], kind: KEYS["go"]}
    with Net(binaries, **{name: {"key": keys[name]} for name in keys}) as net:
        joined(net, "ours", kind)
        link = Link(False)
        link.both_ways(net["ours"], net[kind], 50, KIB)
        net[victim].kill()
        net[stayer].wait_mesh(timeout=WITHIN, conns=0)
        again = net.enter_context(Node(victim, binaries[victim], timeout=WITHIN))
        net.nodes[victim] = again
        again.start(topics=[TOPIC], router="gossipsub", heartbeat_ms=300, trace=True, rpc_log=10000, key=keys[victim])
        again.request("subscribe")
        net.link(victim, stayer)
        net.meshed("ours", kind)
        Link(False).both_ways(net["ours"], net[kind], 50, KIB)


def gossiped(binaries, kind, publisher, ids):
    """Ours keeps out of the mesh: everything comes by IHAVE and IWANT, either way, which both sides understand only when they make
    the same ids."""
    receiver = kind if publisher == "ours" else "ours"
    cfg = {"signed": True} if ids == "author" else {"msgid": ids}
    nodes = {"ours": {**cfg, **NO_MESH}, kind: cfg}
    if publisher != "ours":  # a mesh of one, and that one is another: to fewer than D it would send at once
        nodes |= {kind: {**cfg, "D": 2 if kind == "go" else 1, "Dlo": 1, "Dhi": 2, "Dout": 0, "Dscore": 0}, "ours_other": cfg}
    with Net(binaries, **nodes) as net:
        net.subscribe()
        if publisher != "ours":
            net.link("ours_other", kind)
            net.in_mesh(kind, "ours_other")
        net.link("ours", kind)
        for name in ("ours", kind):
            net.subscribers(name, 1 if name == "ours" or publisher == "ours" else 2)
        if publisher == "ours":
            net.counted("ours", "sent", "prune")
        net.in_mesh("ours")
        net.in_mesh(kind, *(["ours_other"] if publisher != "ours" else []))
        sent = [payload(i, KIB if i < 40 else 200 * KIB) for i in range(44)]
        for data in sent:
            net[publisher].request("send", topic=TOPIC, data=data.hex())
        got = []

        def complete():
            messages, dropped = net[receiver].take_inbox()
            got.extend(m for m in messages if m["received_from"] == net[publisher].peer)
            check(dropped == 0, f"{dropped} messages did not fit the inbox")
            return len({m["id"] for m in got}) >= len(sent)

        wait(lambda: f"{receiver} got {len(got)} of {len(sent)}", complete)
        check(len(got) == len(sent), f"{receiver} got {len(got)} of {len(sent)}")
        incoming, known = receiver == "ours", {m["id"] for m in got}
        offered = {i for r in net.rpcs("ours", kind, incoming) for e in r["ihave"] for i in e["ids"]}
        asked = {i for r in net.rpcs("ours", kind, not incoming) for i in r["iwant"]}
        check(offered >= known, f"{len(offered & known)} of {len(known)} were offered by IHAVE")
        check(asked >= known, f"{len(asked & known)} of {len(known)} were asked for by IWANT")


def late(binaries, kind, publisher):
    """Subscribes when all is said; another one was there in time, so that there was something to say it to."""
    sub = f"{kind}_late" if publisher == "ours" else "ours_late"
    pub, other = f"{publisher}_pub", "ours_other"
    cfg = {"history": 30, "gossip_history": 30}
    with Net(binaries, **{pub: {**cfg, **(NO_MESH if publisher == "ours" else {})}, other: {}, sub: NO_MESH if publisher != "ours" else {}}) as net:
        net.link(other, pub)
        net.link(sub, pub)
        net.subscribe(pub, other)
        net.subscribers(pub, 1)
        if publisher != "ours":
            net.in_mesh(pub, other)
        said = [send(net[pub], i, KIB) for i in range(20)]
        net.delivered(other, said)
        net.subscribe(sub)
        net.delivered(sub, said)


def unwanted(binaries, kind):
    """Ours - peer - ours: the peer says IDONTWANT before it sends, and does not send what the end does not want."""
    source, middle, end = "ours_source", kind, "ours_end"
    cfg = {"heartbeat_ms": 1000, "idontwant_min": 1000}
    with Net(binaries, **{middle: cfg, source: cfg, end: {**cfg, "raw": True}}) as net:
        for name in (source, end):
            net.link(name, middle)
        net.subscribe()
        net.in_mesh(middle, source, end)
        net.in_mesh(source, middle)
        net.in_mesh(end, middle)
        refused = payload(1, 200 * KIB)[:16].hex()
        net[end].request("control", peer=net[middle].peer, idontwant=[refused])
        time.sleep(0.2)  # the peer does not tell when it has read it
        said = [send(net[source], 1, 200 * KIB), send(net[source], 2, 100), send(net[source], 3, 200 * KIB)]
        net.delivered(middle, said)
        net.delivered(end, said[1:])
        heard = net.rpcs(end, middle)
        check(position(heard, "messages", refused) is None, "the message that was not wanted was sent")
        check(position(heard, "idontwant", said[1]) is None, "IDONTWANT for a small message")
        told, sent = position(heard, "idontwant", said[2]), position(heard, "messages", said[2])
        check(told is not None and told < sent, f"IDONTWANT in RPC {told}, message in RPC {sent}")


def pushed(binaries, kind):
    """What a node serves or where it listens changes: it says so by identify's push."""
    with Net(binaries, **{"ours": {}, kind: {}}) as net:
        joined(net, "ours", kind)

        def known():
            (there,) = net["ours"].request("peers")["peers"]
            return there["protocols"]

        wait("identify", known)
        if kind == "rust":  # its protocols are fixed, and where it listens does not show in ours; it knows when its push was taken
            check(net[kind].request("pushes")["pushes"] == 0, "a push before anything changed")
            net[kind].request("listen", addr="/ip4/127.0.0.1/tcp/0")
            wait("a push", lambda: net[kind].request("pushes")["pushes"] >= 1)
        else:
            check("/msub-test/1" not in known(), f"{known()}")
            net[kind].request("handle", protocol="/msub-test/1")
            wait(lambda: f"ours knows {known()}", lambda: "/msub-test/1" in known())
        check(FLOODSUB in known() or any(p.startswith("/meshsub/") for p in known()), f"ours knows {known()}")
        Link(False).both_ways(net["ours"], net[kind], 50, KIB)


def told(binaries, kind):
    """The same the other way: what we serve, no longer serve, and where we listen."""
    with Net(binaries, **{"ours": {}, kind: {}}) as net:
        joined(net, "ours", kind)

        def known(what):
            (there,) = net[kind].request("peers")["peers"]
            return there[what]

        wait("identify", lambda: any(p.startswith("/meshsub/") for p in known("protocols")))
        check("/msub-test/1" not in known("protocols"), f"{known('protocols')}")
        first = net["ours"].addr()
        net["ours"].request("handle", protocol="/msub-test/1")
        wait(lambda: f"{kind} knows {known('protocols')}", lambda: "/msub-test/1" in known("protocols"))
        # All this in one push, ten seconds after the first.
        net["ours"].request("handle", protocol="/msub-test/1", on=False)
        net["ours"].request("handle", protocol="/msub-test/2")
        _, second = net["ours"].request("listen", addr="/ip4/127.0.0.1/tcp/0")["addrs"]
        plain = {a.split("/p2p/")[0] for a in (first, second)}
        check(len(plain) == 2, f"one address, {first}")
        wait(lambda: f"{kind} knows {known('protocols')}", lambda: "/msub-test/2" in known("protocols"))
        check("/msub-test/1" not in known("protocols"), f"{kind} still knows {known('protocols')}")
        check(any(p.startswith("/meshsub/") for p in known("protocols")), f"{kind} forgot {known('protocols')}")
        wait(lambda: f"{kind} knows {known('addrs')}", lambda: plain <= {a.split("/p2p/")[0] for a in known("addrs")})
        check(net["ours"].request("counters")["host"]["pushes"] == 2, "not one push for what changes together")
        Link(False).both_ways(net["ours"], net[kind], 50, KIB)


def cases(kind):
    sides = ("ours", kind)
    for signed, dialer in itertools.product((True, False), sides):
        yield f"{'signed' if signed else 'unsigned'}, {dialer} dials, all sizes", sizes, (signed, dialer)
    for protocol, dialer in itertools.product(VERSIONS[kind], sides):
        yield f"{protocol}, {dialer} dials", version, (protocol, dialer)
    for dialer in sides:
        yield f"newest version, {dialer} dials", newest, (dialer,)
    for protocol in () if kind == "js" else (V10, V11):  # the library offers all it knows, always
        yield f"{kind} speaks only {protocol}", old_peer, (protocol,)
    yield "floodsub", floodsub, ()
    for side in sides:
        yield f"{side} disconnects, reconnect", reconnect, (side,)
        yield f"{side} killed and back", killed, (side,)
        for ids in ("author", "header16", "sha256_20"):
            yield f"IHAVE and IWANT, ids by {ids}, {side} publishes", gossiped, (side, ids)
        yield f"late subscriber, {side} publishes", late, (side,)
    yield f"identify push of {kind}", pushed, ()
    yield f"identify push to {kind}", told, ()
    yield f"IDONTWANT, {kind} between", unwanted, ()


def main():
    if len(sys.argv) < 3 or sys.argv[1] not in NEWEST:
        print(__doc__.strip(), file=sys.stderr)
        return 2
    kind, ours, words = sys.argv[1], sys.argv[2], sys.argv[3:]
    if not os.access(ours, os.X_OK):
        print(f"not ok: {ours} is no program", flush=True)
        return 1
    binaries = {"ours": ours, kind: peer(kind)}
    chosen = [(name, lambda f=f, a=a: f(binaries, kind, *a)) for name, f, a in cases(kind) if not words or any(w in name for w in words)]
    return 0 if run_cases(chosen) else 1


if __name__ == "__main__":
    sys.exit(main())
