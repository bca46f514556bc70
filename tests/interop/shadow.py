#!/usr/bin/env python3
"""meshsub-interop as a node of the gossipsub-interop experiments, each node in a network namespace of its own with its own host name:
eight of ours, and four of ours with four go nodes, on the experiments' scripts and by their acceptance checks.

usage: shadow.py PATH OF meshsub-interop [WORD...]
Exit status: 0 all passed, 1 a case failed, 77 namespaces cannot be made here (not root).
"""

import contextlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import shadow_script as script
from gopeer import peer
from namespaces import Network, ip4
from transfer import check, run_cases

NODES = 8


def run(binaries, params, nodes):
    """Outputs of the nodes, each of which must end with status 0."""
    n = len(nodes)
    with tempfile.TemporaryDirectory() as folder, Network(n), contextlib.ExitStack() as stack:
        path = pathlib.Path(folder)
        (path / "params.json").write_text(json.dumps(params))
        (path / "hosts").write_text("127.0.0.1 localhost\n" + "".join(f"{ip4(i)} node{i}\n" for i in range(n)))
        # The namespace's mounts are its own as well: there the hosts file is ours, and with its own UTS namespace so is the name.
        inside = 'mount --bind "$1" /etc/hosts && hostname "$2" && exec "$3" --params "$4"'
        running = []
        for i, kind in enumerate(nodes):
            command = ["ip", "netns", "exec", Network.ns(i), "unshare", "--uts", "--mount", "sh", "-c", inside, "sh",
                       path / "hosts", f"node{i}", binaries[kind], path / "params.json"]
            out, err = (stack.enter_context(open(path / f"{i}.{x}", "w+")) for x in ("out", "err"))
            p = subprocess.Popen(list(map(str, command)), stdout=out, stderr=err)
            stack.callback(p.wait)
            stack.callback(p.kill)
            running.append(p)
        codes = [p.wait(timeout=120) for p in running]
        outputs = [(path / f"{i}.out").read_text() for i in range(n)]
        errors = [(path / f"{i}.err").read_text() for i in range(n)]
    for i, code in enumerate(codes):
        check(code == 0, f"node{i} ({nodes[i]}) ended with {code}: {errors[i][-600:]}")
        first = json.loads(outputs[i].splitlines()[0])
        check(first["msg"] == "PeerID" and int(first["node_id"]) == i, f"node{i} begins with {first}")
    return outputs


def blob(binaries, nodes):
    reached = script.reach(run(binaries, script.subnet_blob_msg(len(nodes)), nodes))
    check(sorted(reached) == list(range(4, 16)), f"messages {sorted(reached)}")
    check(all(r >= 1 for r in reached.values()), f"reach {reached}")


def whole(binaries, nodes, params, count, but=()):
    outputs = run(binaries, params, nodes)
    got = {i: script.whole_groups(o) for i, o in enumerate(outputs) if i not in but}
    check(all(n >= count for n in got.values()), f"groups that are whole, by node: {got}, of {count}")


def cases(kinds):
    alone = ["ours"] * NODES
    mixed = ["ours", "go"] * (NODES // 2)
    for text, nodes in (("ours alone", alone), ("ours and go", mixed)):
        if not set(nodes) <= kinds:
            continue
        yield f"subnet-blob-msg, {text}", blob, (nodes,)
        yield f"partial-messages, {text}", whole, (nodes, script.partial_messages(NODES), 1)
        yield f"partial-messages-chain, {text}", whole, (nodes, script.partial_messages_chain(NODES), 16)
        yield f"partial-messages-fanout, {text}", whole, (nodes, script.partial_messages_fanout(NODES), 1)


def main():
    if len(sys.argv) < 2 or not os.access(sys.argv[1], os.X_OK):
        print(__doc__.strip(), file=sys.stderr)
        return 2
    if not Network.possible():
        return 77
    binaries = {"ours": sys.argv[1], "go": peer("go")}
    words = sys.argv[2:]
    chosen = [(n, lambda f=f, a=a: f(binaries, *a)) for n, f, a in cases(set(binaries)) if not words or any(w in n for w in words)]
    return 0 if run_cases(chosen) else 1


if __name__ == "__main__":
    sys.exit(main())
