#!/usr/bin/env python3
"""meshsub node --store and meshsub store: what is kept, and what stops them, word for word.

usage: cli_store.py PATH OF meshsub [PATH OF fail_sync]
Without fail_sync the case of a disk that fails is left out.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request

from cli_words import WITHIN, expect, in_a_folder, run, small_disk


FAIL_SYNC = os.path.abspath(sys.argv[2]) if len(sys.argv) > 2 else None


class Node:
    """A node that runs until it is stopped; its address is read."""

    def __init__(self, binary, *arguments, env=None):
        self.process = subprocess.Popen([binary, "node", "--quiet", *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        env={**os.environ, **(env or {})})
        self.address = self.process.stdout.readline().decode().strip()

    def stop(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        _, said = self.process.communicate(timeout=WITHIN)
        return self.process.returncode, said.decode()


def keys(binary, store="s"):
    code, said, out = run(binary, "store", "dump", store, "--json")
    expect("dump", (code, said), (0, ""))
    return [json.loads(line) for line in out.splitlines()]


def kept(binary):
    """A peer that was met stands in the store; a node that is killed leaves a store that is whole."""
    other = Node(binary)
    node = Node(binary, "--store", "s", "--connect", other.address)
    held = f"s: process {node.process.pid} has it open; end that one first, or name another folder"
    expect("held", run(binary, "node", "--store", "s"), (1, f"meshsub node: --store {held}\n", ""))
    for command in "check", "dump", "compact":
        expect(f"held: {command}", run(binary, "store", command, "s"), (1, f"meshsub store {command}: {held}\n", ""))
    expect("held: JSON", run(binary, "store", "check", "s", "--json"), (1, "", json.dumps({"dir": "s", "ok": False, "error": held}, separators=(",", ":")) + "\n"))
    code, said, out = run(binary, "node", "--store", "s", "--store-or-memory", "--seconds", "1", "--quiet")
    expect("in memory", (code, said, out.count("\n")), (0, f"meshsub node: --store {held}; going on without it\n", 1))
    time.sleep(1)
    expect("stopped", node.stop(), (0, ""))
    there = keys(binary)
    expect("the peer that was met", [k.get("key", "") for k in there if other.address.rsplit("/", 1)[1] in k.get("key", "") or "key_hex" in k] != [], True)
    code, said, out = run(binary, "store", "check", "s")
    expect("check", (code, said, out.startswith(f"whole: {len(there)} keys in "), out.endswith(" bytes, 0 records\n")), (0, "", True, True))
    node = Node(binary, "--store", "s")
    expect("killed", node.stop(signal.SIGKILL), (-9, ""))
    node = Node(binary, "--store", "s")
    expect("taken over", node.stop(), (0, ""))
    code, said, out = run(binary, "store", "dump", "s", "--prefix", "no such key")
    expect("no key begins so", (code, said, out), (0, "", ""))
    code, said, out = run(binary, "store", "compact", "s", "--json")
    expect("compact", (code, said, sorted(json.loads(out))), (0, "", ["after", "before"]))
    expect("nothing was lost", {json.dumps(k) for k in there} <= {json.dumps(k) for k in keys(binary)} or len(keys(binary)) >= len(there), True)
    other.stop()


def numbered(binary):
    """Sequence numbers are reserved in the store before they are used, and the identity stays the same."""
    def seqno():
        node = Node(binary, "--store", "n", "--topic", "t", "--listen", "/ip4/127.0.0.1/tcp/0", "--socket", "n.sock")
        sub = subprocess.Popen([binary, "sub", "t", "--json", "--count", "1", "--connect", node.address], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        expect("published", run(binary, "pub", "t", "x", "--socket", "n.sock", "--wait", "1")[0], 0)
        message = json.loads(sub.communicate(timeout=WITHIN)[0])
        expect("killed", node.stop(signal.SIGKILL)[0], -9)
        return message["from"], int(message["seqno"], 16)
    first, second = seqno(), seqno()
    expect("the same author", first[0], second[0])
    expect("a higher number", second[1] >= first[1] + 65536, True)
    there = json.loads(run(binary, "store", "dump", "n", "--json", "--prefix", "msub/seqno")[2])
    expect("reserved", there["key"], "msub/seqno")


def with_config(binary):
    with open("n.yaml", "w", encoding="utf-8") as f:
        f.write("store: c\nlisten: [/ip4/127.0.0.1/tcp/0]\n")
    node = Node(binary, "--config", "n.yaml")
    expect("a store of the file", node.stop(), (0, ""))
    expect("check", run(binary, "store", "check", "c")[0], 0)


def failing_disk(binary):
    """A sync that fails stops the writing, which is said, shown and counted; SIGHUP tries again, in vain and then not."""
    if not FAIL_SYNC:
        return
    other = Node(binary)
    node = Node(binary, "--store", "f", "--socket", "f.sock", "--metrics", "127.0.0.1:0", env={"LD_PRELOAD": FAIL_SYNC, "MESHSUB_FAIL_SYNC": os.path.abspath("fail")})
    err = node.process.stderr
    at = err.readline().decode().split()[-1]

    def counts():
        text = urllib.request.urlopen(at, timeout=WITHIN).read().decode()
        return [int(re.search(rf"^{name} (\d+)$", text, re.M).group(1)) for name in ("store_broken", "store_retried_total")]

    def state():
        code, said, out = run(binary, "state", "--socket", "f.sock")
        expect("state", (code, said), (0, ""))
        return json.loads(out)["store"]
    expect("whole", (counts(), state()), ([0, 0], {"broken": False, "why": ""}))
    write_nothing("fail")
    code, said, _ = run(binary, "connect", other.address, "--socket", "f.sock")
    expect("connect", (code, said), (0, ""))
    why = "f: Input/output error: nothing is written any more; look after the disk, then try again: what was told as durable is there"
    expect("said", err.readline().decode(), f"meshsub node: --store {why}; SIGHUP tries again\n")
    expect("broken", (counts(), state()), ([1, 0], {"broken": True, "why": why}))
    os.remove("fail")
    node.process.send_signal(signal.SIGHUP)
    expect("again", err.readline().decode(), "meshsub node: --store: it is whole, and written again\n")
    expect("whole again", (counts(), state()), ([0, 1], {"broken": False, "why": ""}))
    another = Node(binary)
    code, said, _ = run(binary, "connect", another.address, "--socket", "f.sock")
    expect("connect again", (code, said), (0, ""))
    expect("stopped", node.stop(), (0, ""))
    expect("whole afterwards", run(binary, "store", "check", "f")[0], 0)
    expect("the peer that was met then", keys(binary, "f") != [], True)
    other.stop()
    another.stop()


def write_nothing(path):
    with open(path, "w", encoding="utf-8"):
        pass


def damaged(binary):
    def say(what, text, code=1, commands=("node --store",)):
        for command in commands:
            program = "meshsub node: --store " if command == "node --store" else f"meshsub store {command.split()[-1]}: "
            wanted = 1 if command == "node --store" else code
            expect(f"{what}: {command}", run(binary, *command.split(), "d"), (wanted, f"{program}{text}\n", ""))
    expect("usage", run(binary, "store", "check"), (2, 'meshsub store check: DIR is missing; name the folder of a store\nusage: meshsub store check DIR [options]\nRun "meshsub store check --help" for the options.\n', ""))
    expect("usage", run(binary, "store", "mend", "d")[0], 2)
    say("none", "d: no store: there is no such folder", commands=("store check", "store dump", "store compact"))
    os.mkdir("d")
    say("none", 'd: no store: it has no file "version"', commands=("store check", "store dump", "store compact"))
    with open("d/letters.txt", "w", encoding="utf-8") as f:
        f.write("Dear")
    say("other files", 'd: no store, and not empty: it has "letters.txt"; name a folder that is empty or not there yet')
    expect("nothing was made", os.listdir("d"), ["letters.txt"])
    shutil.rmtree("d")
    shutil.copytree("s", "d")
    with open("d/version", "w", encoding="utf-8") as f:
        f.write("meshsub store 9\n")
    say("another version", "d: a store of version 9, and this program knows version 1; use the release that wrote it",
        commands=("node --store", "store check", "store dump", "store compact"))
    with open("d/version", "w", encoding="utf-8") as f:
        f.write("meshsub store 1\n")
    expect("whole again", run(binary, "store", "check", "d")[0], 0)
    os.truncate("d/data.mdb", 8192)
    code, said, _ = run(binary, "store", "check", "d")
    expect("cut short", (code, said.startswith("meshsub store check: d/data.mdb: cut short: page "),
                         said.endswith("; nothing was changed: put the folder back from a copy, or name another one\n")), (3, True, True))
    code, said, out = run(binary, "node", "--store", "d")
    expect("cut short: node", (code, said.startswith("meshsub node: --store d/data.mdb: cut short: page "), out), (1, True, ""))
    expect("as it was", os.stat("d/data.mdb").st_size, 8192)
    os.unlink("d/data.mdb")
    say("no keys", "d/data.mdb: missing or empty, and this is a store: put the folder back from a copy", 3, ("node --store", "store check"))
    expect("no folder above", run(binary, "node", "--store", "x/y"), (1, "meshsub node: --store x/y: No such file or directory: make the folder above it first\n", ""))
    expect("a file", run(binary, "node", "--store", "n.yaml"), (1, "meshsub node: --store n.yaml: Not a directory: name a folder\n", ""))


def full_disk(binary):
    """A file system of a few pages, or that cannot be written, in a mount namespace of its own."""
    on_disk = small_disk(binary, "m")
    if not on_disk:
        return
    full = "No space left on device: make room and start again; what was stored is intact"
    fill = "dd if=/dev/zero of=m/fill bs=4096 count=64 2>/dev/null;"
    expect("no room for a folder", on_disk("nr_inodes=1", '"$1" node --store m/s'), (1, f"meshsub node: --store m/s: {full}\n", ""))
    expect("no room for a lock", on_disk("nr_inodes=2", '"$1" node --store m/s'), (1, f"meshsub node: --store m/s/lock: {full}\n", ""))
    expect("no room for a byte", on_disk("size=4k", '{ mkdir m/s; ' + fill + ' "$1" node --store m/s; }'), (1, f"meshsub node: --store m/s/lock: {full}\n", ""))
    code, said, out = on_disk("size=20k", '{ "$1" node --store m/s; code=$?; rm -f m/fill; exit $code; }')
    expect("no room for the keys", (code, said.startswith("meshsub node: --store m/s/data.mdb: "), out), (1, True, ""))
    code, said, out = on_disk("size=1m", '{ cp -r s m/s; mount -o remount,ro m; "$1" store check m/s; "$1" node --store m/s; }')
    expect("read-only", (code, said, out.startswith("whole: ")),
           (1, "meshsub node: --store m/s/lock: Read-only file system: it can only be opened to be read\n", True))


if __name__ == "__main__":
    sys.exit(in_a_folder(sys.argv[1], kept, numbered, with_config, failing_disk, damaged, full_disk))
