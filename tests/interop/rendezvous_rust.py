#!/usr/bin/env python3
"""The rendezvous protocol between meshsub-peer and libp2p-rendezvous, each as the point and as the one that asks.

usage: rendezvous_rust.py PATH OF meshsub-peer [WORD...]
With words, only the cases whose names hold one of them. Exit status: 0 all passed, 1 a case failed, 77 the rust peer cannot be built here.
"""

import os
import sys
import time

from control import NodeError
from gopeer import peer
from gossipsub_go import TOPIC, Net, wait
from transfer import KIB, Link, check, run_cases

NS = "floodsub:" + TOPIC


def refused(node, op, why, **fields):
    try:
        node.request(op, **fields)
    except NodeError as e:
        check(f"refused: {why}" in str(e), f"{op} {fields}: {e}")
        return
    check(False, f"{op} {fields} was not refused")


def found(node, point, ns=NS, **fields):
    """The peers that a rust node finds, each once, with an address that is theirs."""
    got = node.request("rendezvous_discover", point=point.peer, ns=ns, **fields)["found"]
    check(all(r["ns"] == ns and r["addrs"] and r["ttl"] > 0 for r in got), f"{got}")
    check(len({r["peer"] for r in got}) == len(got), f"twice: {got}")
    return sorted(r["peer"] for r in got)


def counts(node, what="point"):
    return node.request("rendezvous")[what]


def our_point(binaries):
    """rust asks: register, discover (a part, all, and what is new by the cookie), unregister, end of the time, and everything that is refused."""
    meet = {"rendezvous": {"meet": True}}
    with Net(binaries, ours={"rendezvous": {"point": True, "min_ttl_s": 2, "max_ttl_s": 7200}}, rust=meet, rust_b=meet, rust_c=meet) as net:
        point, a, b, c = (net[n] for n in ("ours", "rust", "rust_b", "rust_c"))
        for n in "rust", "rust_b", "rust_c":
            net.link(n, "ours")
        check(found(c, point) == [], "somebody is there")
        check(a.request("rendezvous_register", point=point.peer, ns=NS)["ttl"] == 7200, "another ttl")
        check(b.request("rendezvous_register", point=point.peer, ns=NS, ttl=600)["ttl"] == 600, "another ttl")
        b.request("rendezvous_register", point=point.peer, ns="other")
        both = sorted((a.peer, b.peer))
        check(found(c, point) == both and found(c, point, "other") == [b.peer], "found others")
        (only,) = found(c, point, ns="other")
        check(only == b.peer, "found others")
        # By the cookie: one, then the rest, then what is new.
        first = found(c, point, limit=1)
        rest = found(c, point, go_on=True)
        check(sorted(first + rest) == both and len(first) == 1, f"{first} {rest}")
        check(found(c, point, go_on=True) == [], "something new")
        check(c.request("rendezvous_register", point=point.peer, ns=NS)["ttl"] == 7200, "another ttl")
        check(found(c, point, go_on=True) == [c.peer], "not what is new")
        # The address is the one that it listens on.
        (one,) = [r for r in c.request("rendezvous_discover", point=point.peer, ns=NS)["found"] if r["peer"] == a.peer]
        check([f"{x}/p2p/{a.peer}" if "/p2p/" not in x else x for x in one["addrs"]] == [a.addr()], f"{one} {a.addr()}")
        # Taken back; a cookie of another namespace; what is wrong with a registration.
        a.request("rendezvous_unregister", point=point.peer, ns=NS)
        wait("unregistered", lambda: counts(point)["unregistered"] == 1)
        check(found(c, point) == sorted((b.peer, c.peer)), "it is still there")
        refused(c, "rendezvous_discover", "InvalidCookie", point=point.peer, ns="other", go_on=True)
        refused(c, "rendezvous_discover", "InvalidNamespace", point=point.peer)
        refused(a, "rendezvous_register", "InvalidNamespace", point=point.peer, ns="")
        refused(a, "rendezvous_register", "InvalidTtl", point=point.peer, ns=NS, ttl=1)
        refused(a, "rendezvous_register", "InvalidTtl", point=point.peer, ns=NS, ttl=7201)
        a.request("rendezvous_register", point=point.peer, ns="n" * 255)
        check(found(c, point, "n" * 255) == [a.peer], "the longest namespace")
        # Its time.
        a.request("rendezvous_register", point=point.peer, ns="short", ttl=2)
        check(found(c, point, "short") == [a.peer], "not registered")
        time.sleep(2.2)
        check(found(c, point, "short") == [], "its time is over")
        now = counts(point)
        check(now["expired"] == 1 and now["registrations"] == 4 and now["registered"] == 6 and now["malformed"] == 0 and now["refused_record"] == 0, f"{now}")
        check((now["refused_namespace"], now["refused_ttl"], now["refused_cookie"]) == (2, 2, 1), f"{now}")


def too_often(binaries):
    """rust registers more often than a peer may: E_UNAVAILABLE, and the rest of it is served."""
    with Net(binaries, ours={"rendezvous": {"point": True}}, rust={"rendezvous": {"meet": True}}) as net:
        net.link("rust", "ours")
        point, a = net["ours"], net["rust"]
        for _ in range(300):
            try:
                a.request("rendezvous_register", point=point.peer, ns=NS)
            except NodeError as e:
                check("refused: Unavailable" in str(e), str(e))
                break
        else:
            check(False, "300 were taken")
        now = counts(point)
        check(now["registered"] >= 256 and now["refused_peer_rate"] == 1, f"{now}")
        check(found(a, point) == [a.peer], "not served")


def events(node, kept):
    kept += node.request("rendezvous_events")["events"]
    return kept


def their_point(binaries):
    """Ours ask a rust point: two find each other, and messages pass; a registration is renewed, taken back, and ends with its node."""
    def ours(net):
        return {"rendezvous": {"points": [net["rust"].addr()], "ttl_s": 2, "find_ms": 200}}

    with Net(binaries, rust={"rendezvous": {"point": True, "min_ttl_s": 1, "max_ttl_s": 7200}}, ours=ours, ours_b=ours) as net:
        point, kept = net["rust"], []
        for name in "ours", "ours_b":
            net.link(name, "rust")
        net.subscribe("ours", "ours_b")
        net.meshed("ours", "ours_b")
        Link(False).both_ways(net["ours"], net["ours_b"], 50, KIB)
        ids = sorted(net[n].peer for n in ("ours", "ours_b"))
        time.sleep(1.5)
        events(point, kept)
        for peer_id in ids:  # registered, and renewed when half of the time is over
            mine = [e for e in kept if e["event"] == "registered" and e["of"]["peer"] == peer_id]
            check(len(mine) >= 2 and all(e["of"]["ns"] == NS and e["of"]["ttl"] == 2 for e in mine), f"{kept}")
        asked = [e["n"] for e in kept if e["event"] == "discovered"]
        check(asked and max(asked) >= 1, f"{asked}")
        check(not [e for e in kept if e["event"] in ("refused", "not_discovered")], f"{kept}")
        for name in "ours", "ours_b":
            now = counts(net[name], "meet")
            check(now["registered"] >= 2 and now["bad"] == 0 and now["refused"] == 0 and now["failed"] == 0, f"{now}")
        # One leaves the topic, the other is gone.
        net["ours"].request("unsubscribe")
        wait("unregistered", lambda: [e for e in events(point, kept) if e["event"] == "unregistered" and e["peer"] == net["ours"].peer and e["ns"] == NS])
        gone = net["ours_b"].peer
        net["ours_b"].kill()
        wait("expired", lambda: [e for e in events(point, kept) if e["event"] == "expired" and e["of"]["peer"] == gone])


def their_point_and_the_end(binaries):
    """Ours stops in order: all its registrations are taken back before it goes, also more topics than streams at a time."""
    ours = lambda net: {"rendezvous": {"points": [net["rust"].addr()], "ttl_s": 7200}}  # noqa: E731
    with Net(binaries, rust={"rendezvous": {"point": True, "min_ttl_s": 1, "max_ttl_s": 7200}}, ours=ours) as net:
        net.link("ours", "rust")
        kept, others = [], [f"more {i}" for i in range(9)]
        net["ours"].request("subscribe", topics=[TOPIC, *others])
        namespaces = {NS} | {"floodsub:" + t for t in others}

        def all_of(event, of):
            return {of(e)["ns"] for e in events(net["rust"], kept) if e["event"] == event} == namespaces
        wait("registered", lambda: all_of("registered", lambda e: e["of"]))
        mine = net["ours"].peer
        net["ours"].stop()
        wait("unregistered", lambda: all_of("unregistered", lambda e: e))
        check(all(e["peer"] == mine for e in kept if e["event"] == "unregistered"), f"{kept}")


def their_refusal(binaries):
    """A rust point takes nothing under two hours by default: ours is told so and counts it."""
    ours = lambda net: {"rendezvous": {"points": [net["rust"].addr()], "ttl_s": 7199}}  # noqa: E731
    with Net(binaries, rust={"rendezvous": {"point": True}}, ours=ours) as net:
        net.link("ours", "rust")
        net.subscribe("ours")
        wait("refused", lambda: counts(net["ours"], "meet")["refused"] == 1)
        kept = events(net["rust"], [])
        check([(e["event"], e["error"]) for e in kept if e["event"] == "refused"] == [("refused", "InvalidTtl")], f"{kept}")
        check(counts(net["ours"], "meet")["registered"] == 0, "registered all the same")


def mixed(binaries, kind):
    """A rust node and ours meet at a point of either kind, and a message passes."""
    ours = lambda net: {"rendezvous": {"points": [net["point"].addr()], "find_ms": 200}}  # noqa: E731
    with Net({**binaries, "point": binaries[kind]}, point={"rendezvous": {"point": True}}, rust={"rendezvous": {"meet": True}}, ours=ours) as net:
        for name in "ours", "rust":
            net.link(name, "point")
        net["rust"].request("rendezvous_register", point=net["point"].peer, ns=NS)
        net.subscribe("ours", "rust")
        net.meshed("ours", "rust")  # ours has found and dialled it
        Link(False).both_ways(net["ours"], net["rust"], 50, KIB)
        wait("both are found", lambda: found(net["rust"], net["point"]) == sorted((net["ours"].peer, net["rust"].peer)))


CASES = {"our_point": (our_point,), "too_often": (too_often,), "their_point": (their_point,), "their_point_and_the_end": (their_point_and_the_end,), "their_refusal": (their_refusal,),
         "mixed_our_point": (mixed, "ours"), "mixed_their_point": (mixed, "rust")}


def main():
    if len(sys.argv) < 2:
        print(__doc__.strip(), file=sys.stderr)
        return 2
    ours, words = sys.argv[1], sys.argv[2:]
    if not os.access(ours, os.X_OK):
        print(f"not ok: {ours} is no program", flush=True)
        return 1
    rust = peer("rust")
    binaries = {"ours": ours, "rust": rust}
    chosen = [(name, lambda f=f, a=a: f(binaries, *a)) for name, (f, *a) in CASES.items() if not words or any(w in name for w in words)]
    return 0 if run_cases(chosen) else 1


if __name__ == "__main__":
    sys.exit(main())
