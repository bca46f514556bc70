#!/usr/bin/env python3
"""meshsub-peer against go-libp2p-pubsub over randomsub, alone and with peers of floodsub.

usage: randomsub_go.py PATH OF meshsub-peer [WORD...]     (or environment MESHSUB_PEER)
With words, only the cases whose names hold one of them. Exit status as interop_go.py.
"""

import contextlib
import itertools
import os
import sys
import time

from control import Node
from gopeer import go_peer
from interop_go import FLOODSUB, exactly_once, reconnect
from transfer import check, run_cases

SIDES = ("ours", "go")
OTHER = {"ours": "go", "go": "ours"}
TOPIC = "bench"
PROTOCOLS = {"randomsub": "/randomsub/1.0.0", "floodsub": "/floodsub/1.0.0"}
WITHIN = 60  # s for whatever has to happen
LEAST = 6  # randomsub peers that get a message, of a network of up to 36


def randomsub(network=16):
    return {"router": "randomsub", "network_size": network}


class Star(contextlib.ExitStack):
    """A centre with leaves that are connected with nobody else. leaves: (side, cfg) each."""

    def __init__(self, binaries, centre, cfg, leaves):
        super().__init__()
        try:
            self.centre = self.launch(binaries, centre, cfg, "centre")
            self.leaves = [self.launch(binaries, side, c, f"leaf {i}") for i, (side, c) in enumerate(leaves)]
            for leaf in self.leaves:
                leaf.request("dial", addr=self.centre.addr())
                leaf.wait_mesh(subs=1, timeout=WITHIN)
            self.centre.wait_mesh(subs=len(leaves), conns=len(leaves), timeout=WITHIN)
        except BaseException:
            self.close()
            raise

    def launch(self, binaries, side, cfg, name):
        node = self.enter_context(Node(f"{side}, {name}", binaries[side], timeout=WITHIN))
        node.start(topics=[TOPIC], **cfg)
        node.request("subscribe")
        return node

    def publish(self, node, first, count):
        """Messages with these numbers; their ids."""
        data = [b"msg" + number.to_bytes(13, "big") + bytes(84) for number in range(first, first + count)]
        for d in data:
            node.request("send", topic=TOPIC, data=d.hex())
        return [d[:16].hex() for d in data]


def got(node, ids, enough):
    """What the node received of them, by id, until there is enough of it and a moment more; each at most once."""
    times = dict.fromkeys(ids, 0)
    end, late = time.monotonic() + WITHIN, None
    while late is None or time.monotonic() < late:
        messages, dropped = node.take_inbox()
        check(dropped == 0, f"{node.name}: {dropped} messages did not fit the inbox")
        for m in messages:
            if m["received_from"] not in ("", node.peer):
                check(m["id"] in times, f"{node.name}: {m['id']} was not published")
                times[m["id"]] += 1
        if late is None and enough(times):
            late = time.monotonic() + 0.3
        check(time.monotonic() < end, f"{node.name}: {sum(times.values())} of {len(ids)} messages within {WITHIN} s")
        time.sleep(0.02)
    check(max(times.values()) <= 1, f"{node.name}: a message came twice")
    return [i for i in ids if times[i]]


def everything(times):
    return all(times.values())


def protocol(binaries, dialer):
    """Both offer /randomsub/1.0.0 first and agree on it."""
    with Star(binaries, OTHER[dialer], randomsub(), [(dialer, randomsub())]) as star:
        for node in (star.centre, star.leaves[0]):
            (peer,) = node.request("peers")["peers"]
            check(peer["protocol"] == PROTOCOLS["randomsub"], f"{node.name} speaks {peer['protocol']}")


def mixed(binaries, centre):
    """A randomsub node between peers of both kinds from both sides: what each of them publishes reaches all the others."""
    leaves = [(side, cfg) for side in SIDES for cfg in (randomsub(), FLOODSUB)]
    with Star(binaries, centre, randomsub(), leaves) as star:
        spoken = sorted(p["protocol"] for p in star.centre.request("peers")["peers"])
        check(spoken == 2 * [PROTOCOLS["floodsub"]] + 2 * [PROTOCOLS["randomsub"]], f"{star.centre.name}: {spoken}")
        nodes = [star.centre, *star.leaves]
        for number, publisher in enumerate(nodes):
            ids = star.publish(publisher, 1000 * number, 50)
            for node in nodes:
                if node is not publisher:
                    got(node, ids, everything)


def chosen(binaries, centre):
    """Nine peers of randomsub and one of floodsub: a message goes to six of the nine, to others each time, and to the one."""
    leaves = 9 * [(OTHER[centre], randomsub())] + [(OTHER[centre], FLOODSUB)]
    with Star(binaries, centre, randomsub(), leaves) as star:
        ids = star.publish(star.centre, 0, 60)
        check(len(got(star.leaves[9], ids, everything)) == len(ids), "floodsub peers get everything")
        by_leaf = [set(got(leaf, ids, any_of)) for leaf in star.leaves[:9]]
        for i in ids:
            n = sum(i in messages for messages in by_leaf)
            check(n == LEAST, f"{i} went to {n} of nine")
        counts = [len(messages) for messages in by_leaf]
        check(min(counts) > 20 and max(counts) < 60, f"not by lot: {counts}")


def any_of(times):
    return any(times.values())


def cases(binaries):
    both = {"cfg": randomsub()}
    for dialer in SIDES:
        yield f"protocol, {dialer} dials", lambda d=dialer: protocol(binaries, d)
    for signed, (dialer, publisher) in itertools.product((True, False), itertools.product(SIDES, SIDES)):
        mode = "signed" if signed else "unsigned"
        yield (f"{mode}, {dialer} dials, {publisher} publishes",
               lambda s=signed, d=dialer, p=publisher: exactly_once(binaries, s, d, p, **both))
    for closer in SIDES:
        yield f"{closer} disconnects, reconnect", lambda c=closer: reconnect(binaries, True, "ours", c, **both)
    for side in SIDES:
        yield f"with floodsub on one side: {side} is floodsub", lambda s=side: exactly_once(
            binaries, True, s, OTHER[s], cfg={s: FLOODSUB, OTHER[s]: randomsub()})
    for centre in SIDES:
        yield f"mixed with floodsub, {centre} in the middle", lambda c=centre: mixed(binaries, c)
        yield f"chosen by {centre}", lambda c=centre: chosen(binaries, c)


def main():
    args = sys.argv[1:]
    ours = args.pop(0) if args else os.environ.get("MESHSUB_PEER")
    if not ours:
        print(__doc__.strip(), file=sys.stderr)
        return 2
    if not os.access(ours, os.X_OK):
        print(f"not ok: {ours} is no program", flush=True)
        return 1
    binaries = {"ours": ours, "go": go_peer()}
    wanted = [(name, case) for name, case in cases(binaries) if not args or any(word in name for word in args)]
    return 0 if run_cases(wanted) else 1


if __name__ == "__main__":
    sys.exit(main())
