#!/usr/bin/env python3
"""Batches between meshsub-peer and go-libp2p-pubsub: what one publishes together, each peer of either kind delivers, once and whole.

usage: batch_go.py PATH OF meshsub-peer [WORD...]     (or environment MESHSUB_PEER)
With words, only the cases whose names hold one of them. Exit status as interop_go.py.
"""

import collections
import hashlib
import sys
import time

from gossipsub_go import Net, SIDES, TOPIC, payload, wait
from transfer import KIB, check, run_program

NAMES = ("ours", "ours_2", "go", "go_2")
# Messages and their size: pieces below and above what IDONTWANT is sent for, many and few.
BATCHES = ((1, 100), (100, 500), (100, KIB), (16, 64 * KIB))


def delivered(net, name, digests, others):
    """Waits until these have been delivered, each once, and from a peer."""
    got = collections.Counter()

    def take():
        messages, dropped = net[name].take_inbox(max=16)
        check(dropped == 0, f"{name}: {dropped} messages did not fit the inbox")
        for m in messages:
            check(m["received_from"] in others, f"{name}: received from {m['received_from']}")
            got[m["sha256"]] += 1
        return set(got) >= digests

    wait(lambda: f"{name} got {len(set(got) & digests)} of {len(digests)}", take)
    time.sleep(0.05)  # for a second copy that was on its way
    take()
    check(set(got) == digests and max(got.values()) == 1, f"{name}: {sum(got.values())} messages instead of {len(digests)}")


def batch(binaries, publisher, signed):
    with Net(binaries, **{name: {"signed": signed} for name in NAMES}) as net:
        for i, a in enumerate(NAMES):
            for b in NAMES[:i]:
                net.link(a, b)
        net.subscribe()
        for name in NAMES:
            net.in_mesh(name, *(other for other in NAMES if other != name))
        number = 0
        for count, size in BATCHES:
            messages = [payload(number + i, size) for i in range(count)]
            number += count
            net[publisher].request("batch", topic=TOPIC, messages=[m.hex() for m in messages])
            digests = {hashlib.sha256(m).hexdigest() for m in messages}
            for name in NAMES:
                if name != publisher:
                    delivered(net, name, digests, {net[other].peer for other in NAMES if other != name})
            net[publisher].take_inbox(max=16)


def cases(binaries):
    for side in SIDES:
        for signed in (True, False):
            yield f"{side} publishes, {'signed' if signed else 'unsigned'}", batch, (side, signed)


if __name__ == "__main__":
    sys.exit(run_program(__doc__, cases))
