#!/usr/bin/env python3
"""Peer scores between meshsub-peer and go-libp2p-pubsub: ten honest nodes, five of each, keep score of one another with the same
parameters, and nobody's score is ever below zero; who misbehaves is below zero at either kind.

usage: scores_go.py PATH OF meshsub-peer [--seconds N] [WORD...]     (or environment MESHSUB_PEER)
With words, only the cases whose names hold one of them. Exit status as interop_go.py.
"""

import collections
import os
import sys
import time

from control import Node, NodeError
from gopeer import go_peer
from gossipsub_go import Net, TOPIC, WITHIN, wait
from interop_go import OTHER
from transfer import check, run_cases

S = 1_000_000_000
PARAMS = {
    "topic_score_cap": 50.0,
    "app_specific_weight": 1.0,
    "ip_colocation_factor_weight": -10.0,
    "ip_colocation_factor_threshold": 1,
    "ip_colocation_factor_whitelist": ["127.0.0.0/8"],
    "behaviour_penalty_weight": -1.0,
    "behaviour_penalty_threshold": 1.0,
    "behaviour_penalty_decay": 0.9,
    "decay_interval": S,
    "decay_to_zero": 0.01,
    "retain_score": 600 * S,
}
THRESHOLDS = {"gossip": -10.0, "publish": -20.0, "graylist": -40.0, "accept_px": 10.0, "opportunistic_graft": 1.0}
# A member of the mesh brings at least what it publishes itself, ten messages a second, whoever else was faster with the rest: its
# counter tends to 100 of them. The threshold is a tenth of that.
OF_TOPIC = {
    "topic_weight": 1.0,
    "time_in_mesh_weight": 0.1,
    "time_in_mesh_quantum": S,
    "time_in_mesh_cap": 30.0,
    "first_message_deliveries_weight": 0.1,
    "first_message_deliveries_decay": 0.9,
    "first_message_deliveries_cap": 50.0,
    "mesh_message_deliveries_weight": -1.0,
    "mesh_message_deliveries_decay": 0.9,
    "mesh_message_deliveries_cap": 100.0,
    "mesh_message_deliveries_threshold": 10.0,
    "mesh_message_deliveries_window": 2 * S,
    "mesh_message_deliveries_activation": 10 * S,
    "mesh_failure_penalty_weight": -1.0,
    "mesh_failure_penalty_decay": 0.9,
    "invalid_message_deliveries_weight": -100.0,
    "invalid_message_deliveries_decay": 0.9,
}
SCORES = {"score": True, "score_params": PARAMS, "score_thresholds": THRESHOLDS, "topic_score_params": {TOPIC: OF_TOPIC}}
NODES, RATE = 10, 100  # messages a second, of all nodes together
# Smaller than the number of nodes, so that there are prunes, gossip and its promises.
MESH = {"D": 4, "Dlo": 3, "Dhi": 6, "Dout": 1, "Dscore": 2, "Dlazy": 4, "heartbeat_ms": 1000}
SMALL, LARGE = 64, 1500  # with and without IDONTWANT


def names():
    return [f"{side}_{i}" for side in ("ours", "go") for i in range(NODES // 2)]


class Seen:
    """What a node has delivered, by author."""

    def __init__(self):
        self.seqnos = collections.defaultdict(set)

    def take(self, node, authors):
        messages, dropped = node.take_inbox(max=1024)
        check(dropped == 0, f"{node.name}: {dropped} messages did not fit the inbox")
        for m in messages:
            check(m["from"] in authors, f"{node.name}: an author that is none of us: {m['from']}")
            known, seqno = self.seqnos[m["from"]], int(m["seqno"], 16)
            check(seqno not in known, f"{node.name}: {m['id']} twice")
            known.add(seqno)


def honest(binaries, seconds):
    cfg = {**SCORES, **MESH, "signed": True, "inbox": 1 << 16}
    with Net(binaries, **{name: cfg for name in names()}) as net:
        for i, a in enumerate(names()):
            for b in names()[:i]:
                net.link(a, b)
        net.subscribe()
        for name in names():
            net.subscribers(name, NODES - 1)
        wait("a mesh at each node", lambda: all(net.mesh(name)["mesh"] >= 2 for name in names()))
        peers = {net[name].peer: name for name in names()}
        for name in names():
            wait(f"{name} keeps score of everybody", lambda: set(net[name].request("scores")["scores"]) == set(peers) - {net[name].peer})
        count = seconds * RATE // NODES
        for seed, name in enumerate(names(), 1):
            net[name].request("publish", seed=seed, count=count, size=SMALL if seed % 2 else LARGE, window=0,
                              rate=RATE / NODES, receivers=0)
        seen = {name: Seen() for name in names()}
        samples, last, highest = 0, {}, 0.0
        good = dict.fromkeys(names(), 0)
        begin = time.monotonic()
        while time.monotonic() - begin < seconds - 0.5:
            for name in names():
                last[name] = net[name].request("scores")["scores"]
                check(set(last[name]) == set(peers) - {net[name].peer}, f"{name} keeps score of {len(last[name])} peers")
                for peer, score in last[name].items():
                    check(score >= 0, f"{name} gives {peers[peer]} {score:.3f} after {time.monotonic() - begin:.1f} s")
                    highest = max(highest, score)
                good[name] = max(good[name], sum(score > 1 for score in last[name].values()))
                seen[name].take(net[name], peers)
            samples += 1
            time.sleep(0.3)
        for seed, name in enumerate(names(), 1):
            done = net[name].event("published", seconds + WITHIN, seed=seed)
            check(done["n"] == count, f"{name} published {done['n']} of {count}")

        def complete():
            for name in names():
                seen[name].take(net[name], peers)
            return all(len(seen[name].seqnos[peer]) >= count for name in names() for peer in peers if peer != net[name].peer)

        wait(lambda: "everything everywhere: " + str([sum(map(len, seen[n].seqnos.values())) for n in names()]), complete)
        for peer, author in peers.items():
            made = {name: seen[name].seqnos[peer] for name in names() if name != author}
            first = next(iter(made.values()))
            check(len(first) == count, f"{author}: {len(first)} messages of {count}")
            check(all(s == first for s in made.values()), f"{author}: not the same messages everywhere")
        # The rule would hold as well if nobody kept score. In the last sample a member may be new, and others of the mesh just gone.
        check(samples >= 5, f"{samples} samples")
        for name in names():
            check(good[name] >= MESH["Dlo"], f"{name}: never more than {good[name]} peers had a score above 1, now {sorted(last[name].values())}")
        print(f"# {samples} samples of {NODES * (NODES - 1)} scores, none below zero, highest {highest:.2f}; "
              f"{NODES * count} messages at {NODES - 1} peers each", flush=True)


def misbehaving(binaries, side):
    """GRAFTs during the backoff that a PRUNE has just begun: P7 of the one who sends them, at the other."""
    other = OTHER[side]
    cfg = {**SCORES, "raw": True}
    with Net(binaries, ours=cfg, go=cfg) as net:
        net.link("ours", "go")
        net.subscribe()
        net.meshed("ours", "go")
        score = lambda: net[other].request("scores")["scores"].get(net[side].peer)
        wait(f"{other} keeps score of {side}", lambda: score() is not None)
        check(score() >= 0, f"{side} has {score()} before it did anything")
        to = net[other].peer
        net[side].request("control", peer=to, prune=[{"topic": TOPIC, "backoff": 60}])
        for _ in range(4):
            net[side].request("control", peer=to, graft=[TOPIC])
        wait(lambda: f"a score below zero: {score()}", lambda: score() < 0)
        blamed = lambda: net[side].request("scores")["scores"].get(to)
        wait(f"{side} keeps score of {other}", lambda: blamed() is not None)
        check(blamed() >= 0, f"{side} blames {other} for its own behaviour")


def refused(binaries, side):
    """A parameter that is misspelt, or out of range, is no parameter of a test."""
    for bad in ({"score_params": {**PARAMS, "decay": 0.5}}, {"score_params": {**PARAMS, "decay_to_zero": 1.5}},
                {"score_thresholds": {**THRESHOLDS, "publish": -1.0}},
                {"topic_score_params": {TOPIC: {**OF_TOPIC, "time_in_mesh_quantum": 0}}}):
        with Node(side, binaries[side]) as node:
            try:
                node.start(topics=[TOPIC], router="gossipsub", **{**SCORES, **bad})
            except NodeError as e:
                check("refused" in str(e), str(e))
            else:
                check(False, f"{side} takes {bad}")


def cases(binaries, seconds):
    for side in ("ours", "go"):
        yield f"parameters that {side} refuses", refused, (binaries, side)
        yield f"{side} misbehaves", misbehaving, (binaries, side)
    yield f"honest, {NODES // 2} and {NODES // 2}, {seconds} s", honest, (binaries, seconds)


def main():
    args = sys.argv[1:]
    seconds = 60
    if "--seconds" in args:
        at = args.index("--seconds")
        seconds = int(args[at + 1])
        del args[at:at + 2]
    ours = os.environ.get("MESHSUB_PEER") or (args.pop(0) if args else None)
    if not ours:
        print(__doc__.strip(), file=sys.stderr)
        return 2
    if not os.access(ours, os.X_OK):
        print(f"not ok: {ours} is no program", flush=True)
        return 1
    binaries = {"ours": ours, "go": go_peer()}
    chosen = [(name, lambda f=f, a=a: f(*a)) for name, f, a in cases(binaries, seconds) if not args or any(w in name for w in args)]
    return 0 if run_cases(chosen) else 1


if __name__ == "__main__":
    sys.exit(main())
