#!/usr/bin/env python3
"""A node that publishes names is killed again and again, at work, while it opens its store and while the store is compacted: each answer that it gave holds, no
sequence goes back, and nobody has seen a record that it does not have any more.

usage: names_killed.py PATH OF meshsub [--kills 15] [--seed N]
"""

import argparse
import contextlib
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "unit"))
import cli_flow  # noqa: E402
import cli_socket  # noqa: E402

KEYS = 4
WRITERS = 3
AT_WORK = 0.25  # s at most until a kill


class Run:
    def __init__(self, binary, rng):
        self.binary, self.rng, self.lock = binary, rng, threading.Lock()
        self.names = [self.command("ipns", "key", "new", f"k{i}", "--store", "s").strip() for i in range(KEYS)]
        self.answered = {}  # name -> (sequence, value), the newest that was answered
        self.answers = self.count = self.unanswered = 0
        self.stop = False

    def command(self, *arguments):
        done = subprocess.run([self.binary, *arguments], capture_output=True, timeout=cli_flow.WITHIN, stdin=subprocess.DEVNULL, check=False)
        assert done.returncode == 0, (arguments, done.returncode, done.stderr.decode())
        return done.stdout.decode()

    def start(self, *more):
        return cli_flow.Command(self.binary, "ipns", "serve", "--listen", cli_flow.LOOPBACK, *more)

    def work(self, number):
        with contextlib.suppress(OSError, AssertionError), cli_socket.Raw() as c:
            while not self.stop:
                with self.lock:
                    self.count += 1
                    value = f"/ipfs/v{self.count}"
                key = number % KEYS if self.count % 2 else self.rng.randrange(KEYS)
                c.send(json.dumps({"id": "x", "op": "ipns_publish", "key": self.names[key], "value": value}).encode())
                with self.lock:
                    self.unanswered += 1
                said = c.frame()
                if said is None:
                    return
                with self.lock:
                    self.unanswered -= 1
                    assert said["ok"], said
                    self.answers += 1
                    if said["sequence"] >= self.answered.get(said["name"], (-1, ""))[0]:
                        self.answered[said["name"]] = (said["sequence"], said["value"])

    @staticmethod
    def held(path):
        with cli_socket.Raw(path) as c:
            return {n["name"]: (n["sequence"], n["value"]) for n in c.ask({"op": "ipns_names"})["names"] if "sequence" in n}

    @staticmethod
    def drain(command):
        """It tells of each change, and waits for whoever is to hear it."""
        def read():
            with contextlib.suppress(OSError, ValueError):
                while os.read(command.out.fd, 1 << 16):
                    pass
        threading.Thread(target=read, daemon=True).start()

    def check(self, seen):
        held = self.held("n.sock")
        for name in self.names:
            have = held.get(name, (-1, ""))
            for who, (sequence, value) in ("answered", self.answered.get(name, (-1, ""))), ("seen by another node", seen.get(name, (-1, ""))):
                assert have[0] >= sequence, f"{name}: sequence {sequence} was {who}, and {have[0]} is there"
                assert have[0] != sequence or have[1] == value, f"{name}: {value} was {who} with sequence {sequence}, and {have[1]} is there"

    def life(self, follower, seen):
        if self.rng.random() < 0.3:  # while it opens the store
            with self.start("--store", "s"):
                time.sleep(self.rng.uniform(0, 0.03))
        with self.start("--store", "s", "--socket", "n.sock", "--connect", follower) as node:
            node.line("address")
            self.drain(node)
            self.check(seen)
            self.stop = False
            writers = [threading.Thread(target=self.work, args=(i,)) for i in range(WRITERS)]
            for w in writers:
                w.start()
            time.sleep(self.rng.uniform(0.02, AT_WORK))
            node.process.kill()
            node.process.wait()
            self.stop = True
            for w in writers:
                w.join()

    def between(self):
        if self.rng.random() < 0.3:
            with cli_flow.Command(self.binary, "store", "compact", "s"):
                time.sleep(self.rng.uniform(0, 0.02))
        if self.rng.random() < 0.3:
            self.command("store", "check", "s")

    def all(self, kills):
        with self.start("--socket", "f.sock") as f:
            address = f.line("address")
            self.drain(f)
            with cli_socket.Raw("f.sock") as c:
                for name in self.names:
                    assert c.ask({"op": "ipns_follow", "name": name})["ok"]
            for _ in range(kills):
                self.life(address, self.held("f.sock"))
                self.between()
            seen = self.held("f.sock")
            with self.start("--store", "s", "--socket", "n.sock") as node:
                node.line("address")
                self.check(seen)
            assert self.answers > kills and len(seen) == KEYS, f"{self.answers} answers, {len(seen)} names seen"
            print(f"{kills} kills at work, {self.answers} answers, each of them holds; {self.unanswered} publishes were cut off", flush=True)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("meshsub")
    p.add_argument("--kills", type=int, default=15)
    p.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "big"))
    args = p.parse_args()
    binary = os.path.abspath(args.meshsub)
    os.environ.pop("MESHSUB_SOCKET", None)
    print(f"seed {args.seed}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            Run(binary, random.Random(args.seed)).all(args.kills)
        finally:
            os.chdir("/")
    return 0


if __name__ == "__main__":
    sys.exit(main())
