#!/usr/bin/env python3
"""Signature policies between meshsub-peer and go-libp2p-pubsub, in both directions: who takes whose messages.

usage: signing_go.py PATH OF meshsub-peer [WORD...]     (or environment MESHSUB_PEER)
With words, only the cases whose names hold one of them. Exit status as interop_go.py.
"""

import sys

from gossipsub_go import SIDES, TOPIC, Net, wait
from interop_go import OTHER
from transfer import check, run_program

SIGNED = ("strict_sign", "lax_sign")
AUTHORED = ("lax_no_sign", "go_no_sign")  # author and number, no signature
PUBLISHERS = (*SIGNED, *AUTHORED)
TAKES = {"strict_sign": SIGNED, "strict_no_sign": (), "lax_sign": PUBLISHERS, "lax_no_sign": PUBLISHERS}


def rejected(node):
    """Messages that were refused; go counts by reason."""
    counters = node.request("counters")
    return counters["engine"]["rejected"] if "engine" in counters else sum(n for reason, n in counters["drops"].items() if "signature" in reason or "auth" in reason)


def direction(binaries, publisher, said, wanted):
    """Several messages with one policy to a node with another."""
    with Net(binaries, **{publisher: {"policy": said}, OTHER[publisher]: {"policy": wanted}}) as net:
        pub, sub = net[publisher], net[OTHER[publisher]]
        net.subscribe()
        net.link(OTHER[publisher], publisher)
        net.meshed("ours", "go")
        data = [f"{i:016} {said} to {wanted}" for i in range(8)]  # the id is the first 16 bytes
        for text in data:
            pub.request("send", topic=TOPIC, data=text.encode().hex())
        got = []

        def come():
            messages, _ = sub.take_inbox()
            got.extend(messages)
            return len(got) >= len(data) if said in TAKES[wanted] else rejected(sub) >= len(data)

        wait(lambda: f"{len(got)} of {len(data)} delivered, {rejected(sub)} rejected", come)
        if said not in TAKES[wanted]:
            check(not got, f"{len(got)} messages delivered that the policy forbids")
            return
        check(rejected(sub) == 0 and len(got) == len(data), f"{len(got)} delivered, {rejected(sub)} rejected")
        for message in got:
            check(message["from"] == pub.peer and message["seqno"] and message["received_from"] == pub.peer, f"{message}")


def through(binaries, middle, policy):
    """A lax node passes on what it takes as it is: a strict one behind it verifies a signature, a lax one takes both."""
    side = OTHER[middle]
    names = {f"{side}_signs": {"policy": "strict_sign"}, f"{side}_does_not": {"policy": "lax_no_sign"}, middle: {"policy": policy},
             f"{side}_strict": {"policy": "strict_sign"}, f"{side}_lax": {"policy": "lax_sign"}}
    with Net(binaries, **names) as net:
        net.subscribe()
        for name in names:
            if name != middle:
                net.link(name, middle)
        net.in_mesh(middle, *(name for name in names if name != middle))
        for name in (f"{side}_signs", f"{side}_does_not"):
            net[name].request("send", topic=TOPIC, data=f"{name:>16}".encode().hex())
        authors = {}

        def come(name, count):
            messages, _ = net[name].take_inbox()
            authors.setdefault(name, set()).update(m["from"] for m in messages)
            return len(authors[name]) >= count

        both = {net[f"{side}_signs"].peer, net[f"{side}_does_not"].peer}
        wait(f"both at {side}_lax", lambda: come(f"{side}_lax", 2))
        wait(f"the signed one at {side}_strict", lambda: come(f"{side}_strict", 1) and rejected(net[f"{side}_strict"]) > 0)
        check(authors[f"{side}_lax"] == both, f"{authors}")
        check(authors[f"{side}_strict"] == {net[f"{side}_signs"].peer}, f"{authors}")


def cases(binaries):
    for publisher in SIDES:
        for wanted in ("lax_sign", "lax_no_sign"):
            for said in PUBLISHERS:
                yield f"{publisher} {said}, {OTHER[publisher]} {wanted}", direction, (publisher, said, wanted)
        for said in ("lax_sign", "lax_no_sign"):
            for wanted in ("strict_sign", "strict_no_sign"):
                yield f"{publisher} {said}, {OTHER[publisher]} {wanted}", direction, (publisher, said, wanted)
        for policy in ("lax_sign", "lax_no_sign"):
            yield f"through {publisher} {policy}", through, (publisher, policy)


if __name__ == "__main__":
    sys.exit(run_program(__doc__, cases))
