#!/usr/bin/env python3
"""Over WebSocket with js-libp2p on node: it dials us, we dial it, messages of all sizes go both ways.

usage: ws_js.py PATH OF meshsub
Exit code 77: the js peer cannot be built here.
"""

import atexit
import json
import os
import queue
import re
import subprocess
import sys
import threading

from gopeer import peer

WITHIN = 30
SIZES = [2, 1024, 65536, 900000]


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
    meshsub, js = sys.argv[1], os.path.join(os.path.dirname(peer("js")), "msub-js-ws")
    node = [meshsub, "node", "--json", "--publish", "news"]
    ours = Program(*node, "--listen", "/ip4/127.0.0.1/tcp/0/ws", feed=True)
    address = ours.event("listening")["addr"]
    assert re.match(r"/ip4/127\.0\.0\.1/tcp/[0-9]+/ws/p2p/", address), address
    theirs = Program(js, "dial", address)
    event = ours.event("connected")
    assert not event["outbound"] and "/ws" in event["addr"], event
    both_ways(ours, theirs)
    theirs.stop()
    ours.event("disconnected")
    ours.stop()
    theirs = Program(js, "listen")
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
