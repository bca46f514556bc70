#!/usr/bin/env python3
"""Two Go peers against each other through the harness: proves driver and harness, not our node."""

import sys
import time

from control import Node
from gopeer import go_peer
from transfer import KIB, Link, check, run_cases


def pair(binary, **cfg):
    pub, sub = Node("go-1", binary), Node("go-2", binary)
    for node in (pub, sub):
        node.start(topics=["bench"], **cfg)
        node.request("subscribe")
    sub.request("dial", addr=pub.addr())
    for node in (pub, sub):
        node.wait_mesh(subs=1, mesh=1, conns=1)
    return pub, sub


def exactly_once(binary, router, signed):
    a, b = pair(binary, router=router, signed=signed)
    with a, b:
        link = Link(signed)
        for pub, sub in ((a, b), (b, a)):
            link.transfer(pub, sub, 1000, KIB, window=64)
            link.transfer(pub, sub, 20, 200 * KIB, window=64)
        drops = a.request("counters")["drops"]
        check(not any(drops.values()), f"drops: {drops}")


def open_loop(binary):
    pub, sub = pair(binary, router="floodsub")
    with pub, sub:
        count, rate = 500, 500
        before = pub.request("stats")["cpu_us"]
        sub.request("reset", seed=9, size=KIB, expect=count, ack_every=1, credit=None, lat=True)
        pub.request("publish", seed=9, count=count, size=KIB, rate=rate)
        done = sub.event("done", seed=9)
        published = pub.event("published", seed=9)
        used = pub.request("stats")["cpu_us"] - before
        lat = sub.request("lat")
        check(lat["n"] == count and 0 < lat["p50"] <= lat["p99"] <= lat["max"], f"latencies: {lat}")
        check(abs(done["ns"] / 1e9 - (count - 1) / rate) < 0.2, f"{count} messages took {done['ns']} ns")
        check(published["late_ns"] < 500e6, f"late by {published['late_ns']} ns")
        check(used < 0.7 * count / rate * 1e6, f"{used} us of CPU in 1 s: the pacer spins")


def membership(binary):
    a, b = pair(binary, router="gossipsub", protocols=["/meshsub/1.1.0"])
    with a, b:
        (peer,) = a.request("peers")["peers"]
        check(peer["peer"] == b.peer and peer["inbound"], f"peers: {peer}")
        check(peer["protocol"] == "/meshsub/1.1.0", f"protocol {peer['protocol']}")
        check("/meshsub/1.1.0" in peer["protocols"] and peer["agent"] == "msub-go-peer", f"identify: {peer}")
        check(a.request("topics")["topics"]["bench"] == [b.peer], "topics")
        b.request("unsubscribe")
        a.wait_mesh(subs=0, mesh=0, conns=1)
        b.request("disconnect", peer=a.peer)
        a.wait_mesh(conns=0)
        stats = a.request("stats", gc=True)
        check(stats["rss"] > 0 and stats["hwm"] >= stats["rss"] and stats["heap"] > 0, f"stats: {stats}")


def inbox_of_one(node):
    """The count is told before the message is in the inbox."""
    for _ in range(250):
        messages, _ = node.take_inbox()
        if messages:
            return messages
        time.sleep(0.02)
    return []


def policies(binary):
    """What each policy puts on the wire, seen by a peer that takes anything."""
    expected = {  # author and seqno present
        "strict_sign": True, "lax_sign": True, "lax_no_sign": True, "go_no_sign": True, "strict_no_sign": False,
    }
    for policy, authored in expected.items():
        with Node("pub", binary) as pub, Node("any", binary) as sub:
            pub.start(router="floodsub", policy=policy)
            sub.start(router="floodsub", policy="lax_no_sign")
            sub.request("subscribe")
            sub.request("dial", addr=pub.addr())
            pub.wait_mesh(subs=1)
            sub.request("reset", seed=1, size=64, expect=1, ack_every=1, credit=pub.credit, lat=False)
            pub.request("publish", seed=1, count=1, size=64, window=1, rate=0, receivers=1)
            sub.event("done", seed=1)
            messages = inbox_of_one(sub)
            check(len(messages) == 1, f"{policy}: {len(messages)} messages in the inbox after 5 s")
            (message,) = messages
            check(bool(message["from"]) == authored and bool(message["seqno"]) == authored, f"{policy}: {message}")


def several_nodes(binary):
    with Node("hub", binary) as hub, Node("many", binary) as many:
        hub.start()
        hub.request("subscribe")
        many.start(nodes=5, listen=None)
        many.request("subscribe")
        many.request("dial", addr=hub.addr())
        hub.wait_mesh(conns=5, subs=5)


def main():
    binary = go_peer()
    cases = [
        (f"{router} {'signed' if signed else 'unsigned'}",
         lambda router=router, signed=signed: exactly_once(binary, router, signed))
        for router in ("floodsub", "gossipsub")
        for signed in (False, True)
    ]
    cases += [
        (case.__name__.replace("_", " "), lambda case=case: case(binary))
        for case in (open_loop, membership, policies, several_nodes)
    ]
    return 0 if run_cases(cases) else 1


if __name__ == "__main__":
    sys.exit(main())
