#!/usr/bin/env python3
"""meshsub-peer against go-libp2p-pubsub over gossipsub 1.3: extensions, the test extension, partial messages.

usage: partial_go.py PATH OF meshsub-peer [WORD...]     (or environment MESHSUB_PEER)
With words, only the cases whose names hold one of them. Exit status as interop_go.py.
"""

import itertools
import sys
import time

from gossipsub_go import BEAT, KIB, NO_MESH, SIDES, V12, Net, send, wait
from interop_go import OTHER
from transfer import check, run_program

V13 = "/meshsub/1.3.0"
ALL = 255
PARTIAL = {"partial": True, "test_extension": True}


def state(net, name):
    s = net[name].request("partial_state")
    check(s["wrong"] == 0 and s["refused"] == 0, f"{name}: {s}")
    return s["groups"]


def has(net, name, group, parts):
    wait(lambda: f"{name} has {state(net, name)} instead of {group}: {parts}", lambda: state(net, name).get(str(group), 0) == parts)


def own(net, name, group, parts):
    net[name].request("partial_add", group=group, parts=parts)


def publish(net, name, group):
    net[name].request("partial_publish", group=group)


def settle(beats=3):
    time.sleep(beats * BEAT / 1000)


def versions(binaries, ours, go, dialer):
    """1.3 is spoken when both can, and whatever is announced, whole messages go both ways."""
    with Net(binaries, ours={**ours}, go={**go}) as net:
        net.subscribe()
        net.link(dialer, OTHER[dialer])
        net.meshed("ours", "go")
        newest = V13 if V12 not in (ours.get("protocols") or [V13]) + (go.get("protocols") or [V13]) else V12
        for name in SIDES:
            peer = next(p for p in net[name].request("peers")["peers"] if p["peer"] == net[OTHER[name]].peer)
            check(peer["protocol"] == newest, f"{name} speaks {peer['protocol']}")
        for name in SIDES:
            net.delivered(OTHER[name], [send(net[name], SIDES.index(name), 3 * KIB)])


def test_extension(binaries, dialer):
    """Each side sends the one empty RPC, and the other one notices; nobody is charged for it."""
    with Net(binaries, ours={"test_extension": True}, go={"test_extension": True}) as net:
        net.subscribe()
        net.link(dialer, OTHER[dialer])
        net.meshed("ours", "go")
        for name in SIDES:
            wait(f"the test extension at {name}", lambda: net[name].request("partial_state")["tests"] > 0)
        settle()
        check(net["ours"].request("partial_state")["tests"] == 1, "more than one test RPC of go")
        check(net["ours"].request("counters")["engine"]["extensions_late"] == 0, "a late announcement of go")


def halves(binaries, first, modes):
    """Both own half of a group; each fills the other's holes, whoever publishes first."""
    cfg = {side: {**PARTIAL, "partial_mode": mode} for side, mode in zip(SIDES, modes)}
    with Net(binaries, **cfg) as net:
        net.subscribe()
        net.link("ours", "go")
        net.meshed("ours", "go")
        for group, parts in ((1, (0x0f, 0xf0)), (2, (0x55, 0xaa)), (3, (ALL, 0)), (4, (0, ALL)), (5, (0x3c, 0x3c))):
            for side, mine in zip(SIDES, parts):
                own(net, side, group, mine)
            for side in (first, OTHER[first]):
                publish(net, side, group)
            for side, mine, theirs, mode in zip(SIDES, parts, reversed(parts), modes):
                has(net, side, group, mine | theirs if mode == "requests" else mine)


def one_publishes(binaries, side):
    """Only one side publishes; the other learns of the group from it and asks for what it lacks."""
    with Net(binaries, ours=PARTIAL, go=PARTIAL) as net:
        net.subscribe()
        net.link(side, OTHER[side])
        net.meshed("ours", "go")
        for group in range(10):
            own(net, side, group, 0xc3)
            publish(net, side, group)
            has(net, OTHER[side], group, 0xc3)
        own(net, OTHER[side], 3, ALL)
        publish(net, OTHER[side], 3)
        has(net, side, 3, ALL)


def chain(binaries, middle):
    """Parts pass through a node that had none of them."""
    names = [f"{OTHER[middle]}_a", middle, f"{OTHER[middle]}_b"]
    with Net(binaries, **{name: PARTIAL for name in names}) as net:
        net.subscribe()
        net.link(names[0], middle)
        net.link(middle, names[2])
        net.in_mesh(middle, names[0], names[2])
        own(net, names[0], 7, 0x0f)
        own(net, names[2], 7, 0xf0)
        for name in (names[0], names[2]):
            publish(net, name, 7)
        for name in names:
            has(net, name, 7, ALL)


def gossip(binaries, side):
    """Without a mesh between them the heartbeat's gossip tells of the group."""
    with Net(binaries, ours={**PARTIAL, **NO_MESH}, go={**PARTIAL, **NO_MESH}) as net:
        net.subscribe()
        net.link(side, OTHER[side])
        net.subscribers("ours", 1)
        net.subscribers("go", 1)
        settle()

        def told():
            own(net, side, 9, 0x81)
            publish(net, side, 9)
            settle(1)
            return state(net, OTHER[side]).get("9") == 0x81

        wait(f"{OTHER[side]} hears of the group", told)


def whole_messages(binaries, sender, mode):
    """Whoever requests parts gets no whole message from one that sends parts; anybody else does."""
    cfg = {sender: {**PARTIAL, "partial_mode": "supports"}, OTHER[sender]: {**PARTIAL, "partial_mode": mode}}
    plain = f"{OTHER[sender]}_plain"
    with Net(binaries, **cfg, **{plain: {}}) as net:
        net.subscribe()
        for name in (OTHER[sender], plain):
            net.link(sender, name)
        net.in_mesh(sender, OTHER[sender], plain)
        sent = [send(net[sender], i, 3 * KIB) for i in range(5)]
        net.delivered(plain, sent)
        if mode == "requests":
            settle()
            messages, _ = net[OTHER[sender]].take_inbox()
            check(not messages, f"{OTHER[sender]} got {len(messages)} whole messages")
        else:
            net.delivered(OTHER[sender], sent)


def crowd(binaries):
    """Three of each; every node owns one or two parts of each of sixteen groups."""
    names = [f"{side}_{i}" for i in range(3) for side in SIDES]
    with Net(binaries, **{name: PARTIAL for name in names}) as net:
        net.subscribe()
        for a, b in itertools.combinations(names, 2):
            net.link(a, b)
        for name in names:
            wait(f"a mesh of {name}", lambda: net.mesh(name)["mesh"] >= 3)
        settle()
        for group in range(100, 116):
            for i in range(8):
                own(net, names[(i + group) % len(names)], group, 1 << i)
            for name in names:
                publish(net, name, group)
        for group in range(100, 116):
            for name in names:
                has(net, name, group, ALL)


def cases(binaries):
    plain, test, partial = {}, {"test_extension": True}, {"partial": True, "partial_mode": "none"}
    old = {"protocols": [V12]}
    for (a, ours), (b, go) in itertools.product((("nothing", plain), ("the test", test), ("parts", partial)), repeat=2):
        yield f"ours announces {a}, go {b}", versions, (ours, go, "ours")
    for dialer in SIDES:
        yield f"go speaks 1.2, {dialer} dials", versions, (test, {**test, **old}, dialer)
        yield f"ours speaks 1.2, {dialer} dials", versions, ({**partial, **old}, partial, dialer)
        yield f"test extension, {dialer} dials", test_extension, (dialer,)
    for first, modes in itertools.product(SIDES, (("requests", "requests"), ("requests", "supports"), ("supports", "requests"))):
        yield f"halves, ours {modes[0]}, go {modes[1]}, {first} first", halves, (first, modes)
    for side in SIDES:
        yield f"parts, only {side} publishes", one_publishes, (side,)
        yield f"parts through {side}", chain, (side,)
        yield f"gossip of {side}", gossip, (side,)
        for mode in ("requests", "supports", "none"):
            yield f"whole messages of {side}, {OTHER[side]} {mode}", whole_messages, (side, mode)
    yield "parts, three and three", crowd, ()


if __name__ == "__main__":
    sys.exit(run_program(__doc__, cases))
