#!/usr/bin/env python3
"""A network that stands still for a minute (a suspended machine, SIGSTOP): connections, meshes, scores and backoffs are what they were,
and messages flow again at once.

usage: stopped.py PATH OF meshsub-peer [--seconds N]
"""

import sys
import time

from gossipsub_go import Net, TOPIC, wait
from transfer import check

NODES = [f"ours_{i}" for i in range(5)]
BACKOFF = 300  # seconds; longer than all of this takes
COUNT = 20


def state(net, name):
    mesh = net.mesh(name)
    return {"peers": sorted(p["peer"] for p in net[name].request("peers")["peers"]), "mesh": sorted(mesh["mesh_peers"]),
            "scores": net[name].request("scores")["scores"], "backoffs": mesh["backoff_ms"]}


def publish(net, seed):
    """One node after the other; everybody gets everything, its own too."""
    for i, name in enumerate(NODES):
        net[name].request("publish", seed=seed + i, count=COUNT, size=200, window=0, rate=100, receivers=0)
    for i, name in enumerate(NODES):
        done = net[name].event("published", 30, seed=seed + i)
        check(done["n"] == COUNT, f"{name} published {done['n']}")
    got = {name: 0 for name in NODES}

    def all_of_it():
        for name in NODES:
            messages, dropped = net[name].take_inbox(max=1024)
            check(dropped == 0, f"{name}: {dropped} dropped")
            got[name] += len(messages)
        return all(n >= COUNT * len(NODES) for n in got.values())

    wait(lambda: f"everything everywhere: {got}", all_of_it)
    check(all(n == COUNT * len(NODES) for n in got.values()), f"something came twice: {got}")


def main():
    args = sys.argv[1:]
    seconds = 60
    if "--seconds" in args:
        at = args.index("--seconds")
        seconds = int(args[at + 1])
        del args[at:at + 2]
    if len(args) != 1:
        print(__doc__.strip(), file=sys.stderr)
        return 2
    cfg = {"score": True, "signed": True, "raw": True, "inbox": 4096, "D": 4, "Dlo": 2, "Dhi": 6, "Dout": 1, "Dscore": 2}
    with Net({"ours": args[0]}, **{name: cfg for name in NODES}) as net:
        for i, a in enumerate(NODES):
            for b in NODES[:i]:
                net.link(a, b)
        net.subscribe()
        for name in NODES:
            net.subscribers(name, len(NODES) - 1)
        wait("a mesh at each node", lambda: all(net.mesh(name)["mesh"] >= 2 for name in NODES))
        # a backoff that has to outlast it
        a, b = NODES[0], NODES[1]
        net[a].request("control", peer=net[b].peer, prune=[{"topic": TOPIC, "backoff": BACKOFF}])
        wait("a long backoff", lambda: net.mesh(b)["backoff_ms"].get(net[a].peer, 0) > 1000 * (BACKOFF - 30))
        publish(net, 1)
        time.sleep(3)  # the next heartbeats have settled what the prune left
        before = {name: state(net, name) for name in NODES}
        began = time.monotonic()
        for name in NODES:
            net[name].freeze()
        time.sleep(seconds)
        for name in NODES:
            net[name].thaw()
        stood = time.monotonic() - began
        publish(net, 101)
        after = {name: state(net, name) for name in NODES}
        for name in NODES:
            old, new = before[name], after[name]
            check(new["peers"] == old["peers"], f"{name}: {len(new['peers'])} peers of {len(old['peers'])} after {stood:.1f} s")
            check(set(new["mesh"]) >= set(old["mesh"]), f"{name}: the mesh lost {set(old['mesh']) - set(new['mesh'])}")
            check(set(new["scores"]) == set(old["scores"]), f"{name} forgot a score")
            check(all(s >= 0 for s in new["scores"].values()), f"{name} blames somebody: {new['scores']}")
        left = after[b]["backoffs"].get(net[a].peer, 0)
        passed = 1000 * (time.monotonic() - began)
        check(left > 0, f"{b} forgot its backoff")
        check(abs(before[b]["backoffs"][net[a].peer] - left - passed) < 5000, f"the backoff went by {before[b]['backoffs'][net[a].peer] - left} ms in {passed:.0f}")
    print(f"ok: {len(NODES)} nodes stood still for {stood:.1f} s: all connections, meshes, scores and backoffs are there")
    return 0


if __name__ == "__main__":
    sys.exit(main())
