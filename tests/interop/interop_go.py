#!/usr/bin/env python3
"""meshsub-peer against go-libp2p-pubsub over floodsub: exactly once, both ways, across reconnects and kills.
What gossipsub adds is in gossipsub_go.py.

usage: interop_go.py [PATH OF meshsub-peer]     (or environment MESHSUB_PEER)
Exit status: 0 all passed, 1 a case failed, 77 the Go peer cannot be built here.
"""

import contextlib
import itertools
import os
import sys

from control import Node
from gopeer import go_peer
from transfer import KIB, Link, run_cases

# The two Ed25519 keys of RFC 8032, section 7.1, tests 1 and 2, as libp2p private-key protobufs:
# a restarted node must be the same peer.
KEYS = {
    "ours": "08011240" "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"
                       "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
    "go": "08011240" "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"
                     "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
}
OTHER = {"ours": "go", "go": "ours"}
FLOODSUB = {"router": "floodsub", "protocols": ["/floodsub/1.0.0"]}


class Pair(contextlib.ExitStack):
    """One node of each kind, connected and subscribed, by the name of its side. cfg: of both, or by side; mesh: how
    many the meshes are to hold, None where there is none."""

    def __init__(self, binaries, signed, dialer, cfg=FLOODSUB, mesh=1):
        super().__init__()
        self.mesh = {} if mesh is None else {"mesh": mesh}
        self.binaries, self.signed, self.dialer = binaries, signed, dialer
        self.cfg = cfg if set(cfg) == set(binaries) else {side: cfg for side in binaries}
        self.link = Link(signed)
        self.nodes = {}
        try:
            for side in binaries:
                self.nodes[side] = self.launch(side)
            self.dial(dialer)
        except BaseException:
            self.close()
            raise

    def launch(self, side):
        node = self.enter_context(Node(side, self.binaries[side]))
        node.start(topics=["bench"], signed=self.signed, key=KEYS[side], **self.cfg[side])
        node.request("subscribe")
        return node

    def dial(self, side):
        self.nodes[side].request("dial", addr=self.nodes[OTHER[side]].addr())
        self.wait(subs=1, conns=1, **self.mesh)

    def wait(self, timeout=None, **want):
        for node in self.nodes.values():
            node.wait_mesh(timeout=timeout, **want)

    def transfer(self, publisher, count, size, **more):
        self.link.transfer(self.nodes[publisher], self.nodes[OTHER[publisher]], count, size, **more)

    def both_ways(self, count=200):
        for side in self.nodes:
            self.transfer(side, count, KIB)
            self.transfer(side, 5, 200 * KIB)


def exactly_once(binaries, signed, dialer, publisher, **more):
    with Pair(binaries, signed, dialer, **more) as pair:
        pair.transfer(publisher, 1000, KIB, window=64)
        pair.transfer(publisher, 20, 200 * KIB, window=64)


def reconnect(binaries, signed, dialer, closer, **more):
    with Pair(binaries, signed, dialer, **more) as pair:
        pair.both_ways()
        for _ in range(2):
            pair.nodes[closer].request("disconnect", peer=pair.nodes[OTHER[closer]].peer)
            pair.wait(subs=0, conns=0)
            pair.dial(dialer)
            pair.both_ways()


def killed(binaries, signed, victim, **more):
    """The victim's next life is started beforehand, so that it dials in the moment of the kill: the
    survivor learns of the end of the old connection and of the new one at the same time."""
    with Pair(binaries, signed, victim, **more) as pair:
        pair.both_ways()
        address = pair.nodes[OTHER[victim]].addr()
        successor = pair.launch(victim)
        pair.nodes[victim].kill()
        pair.nodes[victim] = successor
        successor.request("dial", addr=address)
        pair.wait(subs=1, mesh=1, conns=1)
        pair.both_ways()


def superseded(binaries, signed, victim, **more):
    """The victim stops without a word (its connection stays open), its next life connects, and only
    then is the old one killed: the survivor holds two connections of one peer for a while.

    go-libp2p-pubsub 0.19, as the survivor, may then forget the new connection's subscriptions: the end
    of the old outbound stream clears what the new inbound stream announced. It opens a new stream
    afterwards, so a peer that announces again when that stream comes is heard; Go's own does not, and
    gets help here."""
    with Pair(binaries, signed, victim, **more) as pair:
        pair.both_ways()
        address = pair.nodes[OTHER[victim]].addr()
        successor = pair.launch(victim)
        old = pair.nodes[victim]
        old.freeze()
        pair.nodes[victim] = successor
        successor.request("dial", addr=address)
        successor.wait_mesh(conns=1)
        old.kill()
        pair.wait(conns=1)
        if all(node.hello["impl"] == "go" for node in pair.nodes.values()):
            successor.wait_mesh(subs=1)
            successor.request("unsubscribe")
            successor.request("subscribe")
        pair.wait(subs=1, mesh=1)
        pair.both_ways()


def cases(binaries):
    sides = ("ours", "go")
    for signed in (True, False):
        mode = "signed" if signed else "unsigned"
        for dialer, publisher in itertools.product(sides, sides):
            yield (f"{mode}, {dialer} dials, {publisher} publishes",
                   lambda s=signed, d=dialer, p=publisher: exactly_once(binaries, s, d, p))
        for dialer, closer in itertools.product(sides, sides):
            yield (f"{mode}, {dialer} dials, {closer} disconnects, reconnect",
                   lambda s=signed, d=dialer, c=closer: reconnect(binaries, s, d, c))
        for victim in sides:
            yield (f"{mode}, {victim} killed and back at once",
                   lambda s=signed, v=victim: killed(binaries, s, v))
            yield (f"{mode}, {victim} back before its old connection ends",
                   lambda s=signed, v=victim: superseded(binaries, s, v))


def main():
    ours = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("MESHSUB_PEER")
    if not ours or len(sys.argv) > 2:
        print(__doc__.strip(), file=sys.stderr)
        return 2
    if not os.access(ours, os.X_OK):
        print(f"not ok: {ours} is no program", flush=True)
        return 1
    binaries = {"ours": ours, "go": go_peer()}
    return 0 if run_cases(list(cases(binaries))) else 1


if __name__ == "__main__":
    sys.exit(main())
