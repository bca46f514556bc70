#!/usr/bin/env python3
"""Trace files of meshsub-peer read by go-libp2p-pubsub's own decoders.

usage: trace_go.py PATH OF meshsub-peer     (or environment MESHSUB_PEER)
A star of go peers around a node of ours, as in go's trace tests: a mesh too small for all, messages both ways, copies, a message that we
reject, an end. One run writes every format at once. Exit status as interop_go.py.
"""

import base64
import collections
import gzip
import json
import os
import subprocess
import sys
import tempfile

from control import Node
from gopeer import go_peer
from gossipsub_go import WITHIN, gossipsub, wait
from transfer import check

TOPIC = "bench"
TYPES = ["publish", "reject", "duplicate", "deliver", "add_peer", "remove_peer", "recv_rpc", "send_rpc", "drop_rpc", "join", "leave", "graft",
         "prune"]
B58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def base58(data):
    n, out = int.from_bytes(data, "big"), ""
    while n:
        n, digit = divmod(n, 58)
        out = B58[digit] + out
    return "1" * (len(data) - len(data.lstrip(b"\0"))) + out


def read_by_go(go, path):
    run = subprocess.run([go, "read-trace", path], capture_output=True, timeout=WITHIN, check=False)
    check(run.returncode == 0, f"{os.path.basename(path)}: {run.stderr.decode()}")
    return [json.loads(line) for line in run.stdout.splitlines()]


def small_mesh(**more):
    return gossipsub(signed=True, D=3, Dlo=2, Dhi=4, Dout=0, Dscore=1, **more)


def scene(ours, go, files):
    """Returns the counts that the node gave when it closed its files, and the ids of the peers."""
    with Node("ours", ours, timeout=WITHIN) as hub:
        hub.start(topics=[TOPIC], trace_files=files, score=True, **small_mesh())
        peers = [Node(f"go_{i}", go, timeout=WITHIN) for i in range(5)]
        try:
            hub.request("subscribe")
            for p in peers:
                p.start(topics=[TOPIC], **gossipsub(signed=p is not peers[-1]))  # the last one does not sign
                p.request("subscribe")
                hub.request("dial", addr=p.addr())
            for i, p in enumerate(peers):
                for other in peers[:i]:
                    p.request("dial", addr=other.addr())  # beside the star, so that copies come
            wait("all peers in our topic", lambda: hub.request("mesh")["subs"] == len(peers))
            wait("the mesh has lost somebody again", lambda: hub.request("counters")["sent"]["prune"] > 0)
            for i in range(20):
                for p in [hub, *peers]:
                    p.request("send", data=f"{i} of {p.name}".encode().hex())
            wait("everything has come", lambda: hub.request("counters")["delivered"] >= 20 * len(peers))
            wait("what is not signed was rejected", lambda: hub.request("counters")["engine"]["rejected"] > 0)
            wait("gossip", lambda: sum(hub.request("counters")[way]["ihave"] for way in ("sent", "received")) > 0)
            wait("and copies of it", lambda: hub.request("counters")["duplicates"] > 0)
            ids = {p.peer for p in peers}

            def agrees():
                """State, mesh and metrics of one node say the same (between two heartbeats)."""
                state, mesh, numbers = hub.request("state"), hub.request("mesh"), hub.request("metrics")["metrics"]
                topic = next(t for t in state["topics"] if t["topic"] == TOPIC)
                inside = {p["peer"] for p in topic["peers"] if "mesh" in p["roles"]}
                check({s["peer"] for s in state["sessions"]} == ids == {s["peer"] for s in state["scores"]}, f"sessions and scores: {state}")
                check(all(set(s["queued"]) == {"control", "own", "forward", "gossip"} for s in state["sessions"]), "queues")
                check(topic["announced"] == len(ids) == numbers["gossipsub_topic_peers_counts"][TOPIC], "subscribers")
                return inside == set(mesh["mesh_peers"]) and numbers["gossipsub_mesh_peer_counts"][TOPIC] == len(inside)

            wait("state, mesh and metrics agree", agrees)
            peers.pop().kill()
            wait("somebody has left", lambda: hub.request("mesh")["subs"] == len(peers))
            hub.request("unsubscribe")
            return hub.request("trace")["files"], hub.peer, ids
        finally:
            for p in peers:
                p.kill()




def main():
    ours = sys.argv[1] if len(sys.argv) > 1 else os.environ["MESHSUB_PEER"]
    go = go_peer()
    with tempfile.TemporaryDirectory() as d:
        files = [os.path.join(d, name) for name in ("a.pb.gz", "a.pb", "a.json", "a.jsonl.gz")]
        counts, self_id, peers = scene(ours, go, files)
        for name, c in zip(files, counts):
            check(c["whole"] and c["lost"] == 0 and c["bytes"] == os.path.getsize(name), f"{name}: {c}")

        packed = read_by_go(go, files[0])
        check(packed == read_by_go(go, files[1]), "compressed and plain records differ")
        by_type = collections.Counter(TYPES[e["type"]] for e in packed)
        told = {k: n for k, n in counts[0]["kinds"].items() if n}
        check(dict(by_type) == told, f"go counts {dict(by_type)}, we counted {told}")
        print(f"{len(packed)} events: {dict(by_type)}")
        for kind in ("publish", "reject", "duplicate", "deliver", "add_peer", "remove_peer", "recv_rpc", "send_rpc", "join", "leave", "graft", "prune"):
            check(by_type[kind] > 0, f"no event of kind {kind}")

        # What go's JSON tracer would write of these events is what we write ourselves.
        with open(files[2], encoding="utf-8") as f:
            lines = [json.loads(line) for line in f]
        check(len(lines) == len(packed), "lines of JSON and records: not as many")
        for ours_, theirs in zip(lines, packed):
            check(ours_ == theirs, f"JSON differs:\n{ours_}\n{theirs}")
        check(read_by_go(go, files[2]) == packed, "go reads our JSON as something else")

        # Our own names say the same, and more.
        with gzip.open(files[3], "rt", encoding="utf-8") as f:
            flat = [json.loads(line) for line in f]
        flat = [e for e in flat if e["ev"] in TYPES]
        check(len(flat) == len(packed), "our own lines and records: not as many")
        details = ["publishMessage", "rejectMessage", "duplicateMessage", "deliverMessage", "onNewOutboundStream", "onClosedOutboundStream", "recvRPC",
                   "sendRPC", "dropRPC", "join", "leave", "graft", "prune"]
        control = collections.Counter()
        for own, e in zip(flat, packed):
            d = e[details[e["type"]]]
            check(TYPES[e["type"]] == own["ev"] and e["timestamp"] == own["ns"], f"{own} is not {e}")
            check(base58(base64.b64decode(e["peerID"])) == own["node"] == self_id, f"node: {own}")
            check(own.get("topic") == d.get("topic"), f"topic: {own} {e}")
            peer = d.get("receivedFrom") or d.get("sendTo") or d.get("peerID")
            if peer:
                check(base58(base64.b64decode(peer)) == own["peer"] and own["peer"] in peers | {self_id}, f"peer: {own}")
            if own["ev"] == "reject":
                check(d["reason"] == own["why"] == "missing signature" and own["reason"] == "FORBIDDEN_FIELD", f"reason: {own}")
            if "messageID" in d:
                check(base64.b64decode(d["messageID"]).hex() == own["id"], f"id: {own} {e}")
            meta, rpc = d.get("meta", {}), own.get("rpc", {})
            check([base64.b64decode(m.get("messageID", "")).hex() for m in meta.get("messages", [])] == [m.get("id", "") for m in rpc.get("messages", [])], "ids")
            check(len(meta.get("subscription", [])) == len(rpc.get("subscriptions", [])), "subscriptions")
            for kind, entries in meta.get("control", {}).items():
                control[kind] += len(entries)
                check(len(entries) == len(rpc["control"][kind]), f"{kind}: {own}")
        print(f"control entries: {dict(control)}")
        check(control["graft"] > 0 and control["prune"] > 0 and control["ihave"] > 0, f"control entries: {dict(control)}")

        # A message has the same id wherever it is mentioned: in the frame that brought it, when delivered, in the RPC that forwards it.
        came = {m.get("id") for e in flat if e["ev"] == "recv_rpc" for m in e.get("rpc", {}).get("messages", [])}
        delivered = {e["id"] for e in flat if e["ev"] == "deliver"}
        published = {e["id"] for e in flat if e["ev"] == "publish"}
        check(delivered and delivered <= came | published, "delivered what never came")
    print("ok")


if __name__ == "__main__":
    main()
