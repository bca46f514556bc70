#!/usr/bin/env python3
"""meshsub-peer against go-libp2p-pubsub over gossipsub 1.0 to 1.2 and, through the gossipsub router, floodsub.

usage: gossipsub_go.py PATH OF meshsub-peer [WORD...]     (or environment MESHSUB_PEER)
With words, only the cases whose names hold one of them. Exit status as interop_go.py.
"""

import contextlib
import itertools
import sys
import time

from control import Node
from interop_go import OTHER, Pair, exactly_once, killed, reconnect, superseded
from transfer import KIB, Link, check, run_program

FLOODSUB, V10, V11, V12 = "/floodsub/1.0.0", "/meshsub/1.0.0", "/meshsub/1.1.0", "/meshsub/1.2.0"
VERSIONS = (V10, V11, V12)
SIDES = ("ours", "go")
TOPIC = "bench"
BEAT = 300  # ms of a heartbeat: most of what is tested happens at one
WITHIN = 60  # s for whatever has to happen, on a machine that does much else
LONG_BEAT = 20000  # so that what lasts for some heartbeats outlasts the test
NO_MESH = {"D": 0, "Dlo": 0, "Dhi": 0, "Dout": 0, "Dscore": 0}


def gossipsub(protocols=None, **more):
    cfg = {"router": "gossipsub", "heartbeat_ms": BEAT, "trace": True, **more}
    return {**cfg, "protocols": protocols} if protocols else cfg


def wait(what, condition):
    """Until the condition gives something; returns that."""
    end = time.monotonic() + WITHIN
    while True:
        got = condition()
        if got:
            return got
        check(time.monotonic() < end, f"not within {WITHIN} s: {what() if callable(what) else what}")
        time.sleep(0.02)


class Net(contextlib.ExitStack):
    """Nodes by name: the first word of a name is the side. A cfg may be a function of those started before."""

    def __init__(self, binaries, **cfgs):
        super().__init__()
        self.nodes, self.logs = {}, {}
        try:
            for name, cfg in cfgs.items():
                node = self.enter_context(Node(name, binaries[name.split("_")[0]], timeout=WITHIN))
                self.nodes[name] = node
                self.logs[name] = []
                node.start(topics=[TOPIC], **{"rpc_log": 10000, **gossipsub(**(cfg(self) if callable(cfg) else cfg))})
        except BaseException:
            self.close()
            raise

    def __getitem__(self, name):
        return self.nodes[name]

    def subscribe(self, *names):
        for name in names or self.nodes:
            self[name].request("subscribe")

    def link(self, a, b):
        self[a].request("dial", addr=self[b].addr())

    def mesh(self, name):
        return self[name].request("mesh")

    def in_mesh(self, name, *others):
        wanted = {self[other].peer for other in others}
        wait(lambda: f"mesh of {name}: {self.mesh(name)}", lambda: set(self.mesh(name)["mesh_peers"]) == wanted)

    def meshed(self, a, b):
        self.in_mesh(a, b)
        self.in_mesh(b, a)

    def subscribers(self, name, n):
        wait(f"{name} knows {n} subscribers", lambda: self.mesh(name)["subs"] == n)

    def knows(self, name, peer):
        """The peer has announced the topic, which name itself need not have joined."""
        self.find(name, peer, "a subscription", lambda r: any(s["on"] for s in r["subs"]))

    def counters(self, name, way, kind):
        return self[name].request("counters")[way][kind]

    def counted(self, name, way, kind, least=1):
        wait(f"{name} has {way} {least} {kind}", lambda: self.counters(name, way, kind) >= least)

    def rpcs(self, name, peer=None, incoming=True):
        """All that were written down since the start, of one peer and direction."""
        reply = self[name].request("rpcs")
        check(reply["dropped"] == 0, f"{name}: the log of RPCs is full")
        self.logs[name] += reply["rpcs"]
        return [r for r in self.logs[name] if r["in"] == incoming and (peer is None or r["peer"] == self[peer].peer)]

    def find(self, name, peer, what, test, incoming=True):
        """Waits for an RPC that passes; returns it."""
        return wait(f"{name}: {what}", lambda: next((r for r in self.rpcs(name, peer, incoming) if test(r)), None))

    def delivered(self, name, ids):
        """Waits until these (and no others) have been delivered since the last call, each once."""
        got = []

        def complete():
            messages, dropped = self[name].take_inbox()
            got.extend(m["id"] for m in messages if m["received_from"] not in ("", self[name].peer))
            check(dropped == 0, f"{name}: {dropped} messages did not fit the inbox")
            return set(got) >= set(ids)

        wait(lambda: f"{name} got {len(set(got) & set(ids))} of {len(ids)}", complete)
        check(sorted(got) == sorted(ids), f"{name}: {len(got)} messages instead of {len(ids)}")


def payload(number, size):
    head = b"msg" + number.to_bytes(13, "big")
    return (head * (size // len(head) + 1))[:size]


def send(node, number, size):
    """Publishes; returns the message's id."""
    data = payload(number, size)
    node.request("send", topic=TOPIC, data=data.hex())
    return data[:16].hex()


def position(rpcs, kind, ident):
    return next((i for i, r in enumerate(rpcs) if ident in r[kind]), None)


# ---- every version, each direction ----


def version(binaries, protocol, signed, dialer):
    with Pair(binaries, signed, dialer, gossipsub([protocol])) as pair:
        for side, node in pair.nodes.items():
            (peer,) = node.request("peers")["peers"]
            check(peer["protocol"] == protocol, f"{side} speaks {peer['protocol']}")
        for side in SIDES:
            pair.transfer(side, 1000, KIB)
            pair.transfer(side, 20, 200 * KIB)
        for side, node in pair.nodes.items():
            sent = node.request("counters")["sent"]
            check((sent["idontwant"] > 0) == (protocol == V12), f"{side} sent {sent['idontwant']} IDONTWANT")


def newest_common(binaries, limited, protocol):
    """One side offers all that it speaks, the other only this one."""
    cfg = {side: gossipsub([protocol] if side == limited else None) for side in SIDES}
    with Pair(binaries, True, OTHER[limited], cfg) as pair:
        for side, node in pair.nodes.items():
            (peer,) = node.request("peers")["peers"]
            check(peer["protocol"] == protocol, f"{side} speaks {peer['protocol']}")
        pair.both_ways()


def floodsub_peer(binaries, flooder, signed):
    """A floodsub node at a gossipsub node: served beside the mesh."""
    cfg = {flooder: {"router": "floodsub"}, OTHER[flooder]: gossipsub()}
    with Pair(binaries, signed, flooder, cfg, mesh=None) as pair:
        for side, node in pair.nodes.items():
            (peer,) = node.request("peers")["peers"]
            check(peer["protocol"] == FLOODSUB, f"{side} speaks {peer['protocol']}")
        for side in SIDES:
            pair.transfer(side, 1000, KIB)
            pair.transfer(side, 20, 200 * KIB)
        sent = pair.nodes[OTHER[flooder]].request("counters")["sent"]
        said = [kind for kind in ("graft", "prune", "ihave", "iwant", "idontwant") if sent[kind]]
        check(not said, f"{OTHER[flooder]} said {said}")


# ---- mesh: GRAFT, PRUNE, backoff, peer exchange, direct peers ----


def backoff(binaries):
    """Who leaves a topic and comes back at once is not in the mesh before its backoff is over, on either side."""
    pairs = {"ours": ("ours_leaver", "go_stayer"), "go": ("go_leaver", "ours_stayer")}
    with Net(binaries, **{name: {} for names in pairs.values() for name in names}) as net:
        net.subscribe()
        began = {}
        for leaver, stayer in pairs.values():
            net.link(leaver, stayer)
            net.meshed(leaver, stayer)
        for leaver, stayer in pairs.values():
            began[leaver] = time.monotonic()
            net[leaver].request("unsubscribe")
            net.in_mesh(leaver)
            net.in_mesh(stayer)
            rpc = net.find(stayer, leaver, "a PRUNE", lambda r: r["prune"])
            (prune,) = rpc["prune"]
            check(prune["backoff"] == 10 and not prune["px"], f"{leaver} says {prune}")
            net[leaver].request("subscribe")
        for leaver, stayer in pairs.values():
            net.meshed(leaver, stayer)
            passed = time.monotonic() - began[leaver]
            check(passed >= 10, f"{leaver} is in the mesh again after {passed:.1f} s")
            Link(False).both_ways(net[leaver], net[stayer], 50, KIB)


def early_graft(binaries, early):
    """A GRAFT before the backoff is over is answered by a PRUNE with a new one."""
    a, b = f"{early}_early", f"{OTHER[early]}_strict"
    with Net(binaries, **{a: {"raw": True}, b: {}}) as net:
        net.subscribe()
        net.link(a, b)
        net.meshed(a, b)
        net[a].request("unsubscribe")
        net.in_mesh(b)
        net[a].request("subscribe")
        net.subscribers(b, 1)
        before = len(net.rpcs(a, b))
        net[a].request("control", peer=net[b].peer, graft=[TOPIC])
        wait("an answer", lambda: any(r["prune"] for r in net.rpcs(a, b)[before:]))
        (prune,) = next(r["prune"] for r in net.rpcs(a, b)[before:] if r["prune"])
        check(prune["backoff"] == 60 and not prune["px"], f"{b} says {prune}")
        net.in_mesh(b)


def bare_prune(binaries, leaver):
    """A PRUNE to a peer of 1.0 has no backoff."""
    a, b = f"{leaver}_leaver", f"{OTHER[leaver]}_old"
    with Net(binaries, **{a: {}, b: {"protocols": [V10]}}) as net:
        net.subscribe()
        net.link(b, a)
        net.meshed(a, b)
        net[a].request("unsubscribe")
        (prune,) = net.find(b, a, "a PRUNE", lambda r: r["prune"])["prune"]
        check(prune["backoff"] is None and not prune["px"], f"{a} says {prune}")


def full_mesh(binaries, full):
    """A mesh that is full refuses the GRAFT of one that dialled, and is cut down to D when it holds too many."""
    hub, leaves = f"{full}_hub", [f"{side}_{i}" for i in range(3) for side in SIDES]
    small = {"D": 3, "Dlo": 2, "Dhi": 4, "Dout": 0, "Dscore": 1}
    with Net(binaries, **{hub: small, **{name: {} for name in leaves}}) as net:
        net.subscribe()
        for name in leaves:
            net.link(name, hub)
        net.subscribers(hub, len(leaves))

        def settled():
            inside = {name for name in leaves if net[hub].peer in net.mesh(name)["mesh_peers"]}
            mesh = set(net.mesh(hub)["mesh_peers"])
            return len(mesh) <= 3 and mesh == {net[name].peer for name in inside} and all(
                name in inside or net.counters(name, "received", "prune") for name in leaves)

        wait(lambda: f"mesh of {hub}: {net.mesh(hub)}", settled)
        ids = [send(net[hub], i, KIB) for i in range(20)]
        for name in leaves:  # those outside hear of them by gossip
            net.delivered(name, ids)


def peer_exchange(binaries, hub_side):
    """The hub leaves: its PRUNE names the listener with its signed record, and the lonely one, to which nobody can
    dial, connects to it."""
    hub, listener, lonely = f"{hub_side}_hub", f"{hub_side}_listener", f"{OTHER[hub_side]}_lonely"
    with Net(binaries, **{hub: {"px": True}, listener: {}, lonely: {"listen": None}}) as net:
        net.subscribe()
        for name in (listener, lonely):
            net.link(name, hub)
        net.in_mesh(hub, listener, lonely)
        for name in (listener, lonely):
            net.in_mesh(name, hub)
        wait("the hub knows who they are", lambda: all(p["agent"] for p in net[hub].request("peers")["peers"]))
        net[hub].request("unsubscribe")
        (prune,) = net.find(lonely, hub, "a PRUNE", lambda r: r["prune"])["prune"]
        check(prune["backoff"] == 10, f"{hub} says {prune}")
        named = [p["peer"] for p in prune["px"] if p["record"]]
        check(named == [net[listener].peer], f"{hub} says {prune}")

        def connection():
            return [p for p in net[lonely].request("peers")["peers"] if p["peer"] == net[listener].peer]

        (peer,) = wait("a connection", connection)
        check(not peer["inbound"], "it was not dialled by the lonely one")
        net.meshed(lonely, listener)
        Link(False).both_ways(net[lonely], net[listener], 100, KIB)


def direct_peers(binaries, first):
    """They get everything, and neither grafts the other. One knows it from the start, the other is told."""
    with Net(binaries, **{first: {}, OTHER[first]: lambda net: {"direct": [net[first].addr()]}}) as net:
        net[first].request("connect_direct", addr=net[OTHER[first]].addr())
        net.subscribe()
        for side in SIDES:
            net.subscribers(side, 1)
        link = Link(False)
        for side in SIDES:
            link.transfer(net[side], net[OTHER[side]], 500, KIB)
            link.transfer(net[side], net[OTHER[side]], 5, 200 * KIB)
        for side in SIDES:
            check(net.counters(side, "sent", "graft") == 0, f"{side} grafted a direct peer")
            net.in_mesh(side)


# ---- gossip ----


def repair(binaries, publisher):
    """A node outside the mesh hears what there is by IHAVE and asks for it by IWANT."""
    pub, sub = f"{publisher}_pub", f"{OTHER[publisher]}_outside"
    with Net(binaries, **{pub: {}, sub: NO_MESH}) as net:
        net.subscribe()
        net.link(pub, sub)
        net.counted(sub, "sent", "prune")
        net.counted(pub, "received", "prune")
        net.in_mesh(pub)
        net.in_mesh(sub)
        ids = [send(net[pub], i, KIB) for i in range(40)] + [send(net[pub], 100 + i, 200 * KIB) for i in range(4)]
        net.delivered(sub, ids)
        offered = {i for r in net.rpcs(sub, pub) for e in r["ihave"] for i in e["ids"]}
        asked = {i for r in net.rpcs(sub, pub, incoming=False) for i in r["iwant"]}
        check(offered >= set(ids), f"{len(offered & set(ids))} of {len(ids)} were offered by IHAVE")
        check(asked >= set(ids), f"{len(asked & set(ids))} of {len(ids)} were asked for by IWANT")


# ---- IDONTWANT ----


def idontwant(binaries, middle):
    """Source - middle - end. The middle says IDONTWANT before it sends, and does not send what the end does not
    want."""
    source, end = f"{OTHER[middle]}_source", f"{OTHER[middle]}_end"
    cfg = {"heartbeat_ms": LONG_BEAT}
    with Net(binaries, **{middle: cfg, source: cfg, end: {**cfg, "raw": True}}) as net:
        net.link(source, middle)
        net.link(end, middle)
        net.subscribe(source, end)
        for name in (source, end):  # they are known: the middle grafts both when it joins
            net.knows(middle, name)
        net.subscribe(middle)
        net.in_mesh(middle, source, end)
        net.in_mesh(source, middle)
        net.in_mesh(end, middle)
        unwanted = payload(1, 200 * KIB)[:16].hex()
        net[end].request("control", peer=net[middle].peer, idontwant=[unwanted])
        net.find(middle, end, "the IDONTWANT", lambda r: unwanted in r["idontwant"])
        ids = [send(net[source], 1, 200 * KIB), send(net[source], 2, 100), send(net[source], 3, 200 * KIB)]
        net.delivered(middle, ids)
        net.delivered(end, ids[1:])
        heard = net.rpcs(end, middle)
        check(position(heard, "messages", unwanted) is None, "the message that was not wanted was sent")
        check(position(heard, "idontwant", ids[1]) is None, "IDONTWANT for a small message")
        told, sent = position(heard, "idontwant", ids[2]), position(heard, "messages", ids[2])
        check(told is not None and told < sent, f"IDONTWANT in RPC {told}, message in RPC {sent}")
        heard = net.rpcs(middle, source)
        for i in (0, 2):  # an own message is not wanted back either
            told, sent = position(heard, "idontwant", ids[i]), position(heard, "messages", ids[i])
            check(told is not None and told < sent, f"source: IDONTWANT in RPC {told}, message in RPC {sent}")


def triangle(binaries, source):
    """All three in each other's mesh: both receivers say IDONTWANT for each message, and get each once."""
    names = [f"{source}_source", "ours", "go"]
    with Net(binaries, **{name: {} for name in names}) as net:
        net.subscribe()
        for a, b in itertools.combinations(names, 2):
            net.link(a, b)
        for name in names:
            net.in_mesh(name, *(other for other in names if other != name))
        count, size, pub = 20, 200 * KIB, net[names[0]]
        for name in SIDES:
            net[name].request("reset", seed=1, size=size, expect=count, ack_every=1, credit=pub.credit, lat=False)
        pub.request("publish", seed=1, count=count, size=size, window=1, rate=0, receivers=2)
        for name in SIDES:
            net[name].event("done", WITHIN, seed=1)
            messages, dropped = net[name].take_inbox(max=4)
            ids = {m["id"] for m in messages}
            check(len(messages) == len(ids) == count and not dropped,
                  f"{name}: {len(messages)} messages, {len(ids)} ids")
            said = {i for r in net.rpcs(name, incoming=False) for i in r["idontwant"]}
            check(said >= ids, f"{name} said IDONTWANT for {len(said & ids)} of {count}")


# ---- more than two ----


def network(binaries):
    """Six nodes in a ring with chords, each publishes: everybody gets everything once, over the mesh or by gossip."""
    names = [f"{side}_{i}" for i in range(3) for side in SIDES]
    cfg = {"D": 3, "Dlo": 2, "Dhi": 6, "Dout": 0, "Dscore": 1}  # nobody is put out of a mesh
    with Net(binaries, **{name: cfg for name in names}) as net:
        net.subscribe()
        for i, name in enumerate(names):
            for step in (1, 2):
                net.link(name, names[(i + step) % len(names)])
        by_peer = {net[name].peer: name for name in names}

        def settled():
            meshes = {name: {by_peer[p] for p in net.mesh(name)["mesh_peers"]} for name in names}
            return all(len(m) >= 2 and all(a in meshes[b] for b in m) for a, m in meshes.items())

        wait("meshes of two or more on both ends", settled)
        sent = {name: [send(net[name], 1000 * k + i, KIB if i < 30 else 100 * KIB) for i in range(33)]
                for k, name in enumerate(names)}
        for name in names:
            net.delivered(name, [i for other in names if other != name for i in sent[other]])


def cases(binaries):
    both = itertools.product(SIDES, SIDES)
    for protocol, signed, dialer in itertools.product(VERSIONS, (True, False), SIDES):
        yield f"{protocol}, {'signed' if signed else 'unsigned'}, {dialer} dials", version, (protocol, signed, dialer)
    for limited, protocol in itertools.product(SIDES, (V10, V11)):
        yield f"{limited} speaks only {protocol}", newest_common, (limited, protocol)
    for flooder, signed in itertools.product(SIDES, (True, False)):
        yield f"floodsub, {'signed' if signed else 'unsigned'}, {flooder} floods", floodsub_peer, (flooder, signed)
    for dialer, closer in both:
        yield f"{dialer} dials, {closer} disconnects, reconnect", reconnect, (True, dialer, closer)
    for side in SIDES:
        yield f"{side} killed and back at once", killed, (True, side)
        yield f"{side} back before its old connection ends", superseded, (True, side)
    yield "backoff after leaving, seen by both", backoff, ()
    for side in SIDES:
        yield f"early GRAFT of {side} is refused", early_graft, (side,)
        yield f"bare PRUNE of {side} to 1.0", bare_prune, (side,)
        yield f"full mesh of {side}", full_mesh, (side,)
        yield f"peer exchange, {side} prunes, {OTHER[side]} dials", peer_exchange, (side,)
        yield f"direct peers, {OTHER[side]} from the start", direct_peers, (side,)
        yield f"IHAVE and IWANT, {side} publishes", repair, (side,)
        yield f"IDONTWANT, {side} between", idontwant, (side,)
        yield f"IDONTWANT, triangle, {side} publishes", triangle, (side,)
    yield "three and three", network, ()


if __name__ == "__main__":
    sys.exit(run_program(__doc__, cases, lambda case: {"cfg": gossipsub()} if case in (reconnect, killed, superseded) else {}))
