#!/usr/bin/env python3
"""The matrix: peer x who dials x transport x protocol version x key type x signed x size, messages both ways.

usage: matrix.py PATH OF meshsub-peer [--peer go|rust|js] [--full] [--list]
Without --full, the rows of a covering array for each peer: each two values that can meet do so in one of its rows.
Exit status: 0 all passed, 1 a row failed, 77 the peer cannot be built here.
"""

import argparse
import itertools
import sys

import covering
from gopeer import peer
from keys import RSA
from peers_pair import VERSIONS, V10, V11, V12, V13, WITHIN, small
from gossipsub_go import Net
from transfer import KIB, Link, check, run_cases

FACTORS = {
    "peer": ("go", "rust", "js"),
    "dialer": ("ours", "theirs"),
    "transport": ("epoll", "nng", "ws"),
    "version": (V10, V11, V12, V13),
    "key": ("ed25519", "secp256k1", "ecdsa", "rsa"),
    "signed": (True, False),
    "size": (1, KIB, 64 * KIB, 900 * KIB),
}
COUNTS = {KIB: 60, 64 * KIB: 10, 900 * KIB: 3}


def allowed(row):
    """js-libp2p knows no ECDSA peer ids and no version 1.3."""
    return row["version"] in VERSIONS[row["peer"]] and not (row["peer"] == "js" and row["key"] == "ecdsa")


def config(row, side):
    cfg = {"signed": row["signed"], "key_type": row["key"], "heartbeat_ms": 200}
    if row["transport"] == "ws":
        cfg["listen"] = "/ip4/127.0.0.1/tcp/0/ws"
    if row["key"] == "rsa" and side == "rust":
        cfg["key"] = RSA  # it makes none itself
    if side == "ours":
        cfg["protocols"] = [row["version"]]
        if row["transport"] != "ws":  # carried by NNG, whatever TCP is carried by
            cfg["transport"] = row["transport"]
    return cfg


def run(binaries, row, sizes):
    kind = row["peer"]
    dialer, listener = ("ours", kind) if row["dialer"] == "ours" else (kind, "ours")
    with Net(binaries, **{side: config(row, side) for side in ("ours", kind)}) as net:
        net.subscribe()
        net.link(dialer, listener)
        net.meshed(dialer, listener)
        for side in ("ours", kind):
            (other,) = net[side].request("peers")["peers"]
            check(other["protocol"] == row["version"], f"{side} speaks {other['protocol']}")
            check((row["transport"] == "ws") == ("/ws" in other["addr"]), f"{side} is connected to {other['addr']}")
        link = Link(row["signed"])
        for i, (a, b) in enumerate(itertools.permutations(("ours", kind))):
            for size in sizes:
                if size == 1:
                    small(net, a, b, range(1 + 16 * i, 9 + 16 * i))
                else:
                    link.transfer(net[a], net[b], COUNTS[size], size, window=16, timeout=WITHIN)


def name(row):
    size = row.get("size")
    return ", ".join([
        row["peer"], f"{row['dialer']} dial", row["transport"], row["version"], row["key"], "signed" if row["signed"] else "unsigned",
        f"{size} B" if size else "all sizes"])


def main():
    p = argparse.ArgumentParser()
    p.add_argument("ours")
    p.add_argument("--peer", choices=FACTORS["peer"])
    p.add_argument("--full", action="store_true")
    p.add_argument("--list", action="store_true")
    a = p.parse_args()
    if a.full:  # one connection serves all sizes
        rows = list(covering.product({k: v for k, v in FACTORS.items() if k != "size"}, allowed))
    else:
        rows = [r for kind in FACTORS["peer"] for r in covering.array({**FACTORS, "peer": (kind,)}, allowed)]
        seen = set().union(*map(covering.pairs, rows))
        every = set().union(*map(covering.pairs, covering.product(FACTORS, allowed)))
        check(seen == every, f"{len(every - seen)} pairs are missing")
    rows = [r for r in rows if a.peer in (None, r["peer"])]
    if a.list:
        print("\n".join(map(name, rows)))
        return 0
    kinds = {r["peer"] for r in rows}
    binaries = {"ours": a.ours} | {kind: peer(kind) for kind in kinds}
    cases = [(name(r), lambda r=r: run(binaries, r, (r["size"],) if "size" in r else FACTORS["size"])) for r in rows]
    return 0 if run_cases(cases) else 1


if __name__ == "__main__":
    sys.exit(main())
