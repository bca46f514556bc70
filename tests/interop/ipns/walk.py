#!/usr/bin/env python3
"""The walk-through of docs/ipns.md with the two commands, `meshsub` and `ipfs`, as somebody types them: each resolves what the other has published, and a
node of ours that was killed still serves both names when the publisher is gone.

usage: walk.py PATH OF meshsub
Exit status: 0, 1 a step failed, 77 Kubo cannot be built here.
"""

import contextlib
import os
import subprocess
import sys

from nodes import STARTS, Kubo, eventually, value
from served import Served

from gopeer import peer
from transfer import check, run_cases


def walk(ipfs, meshsub):
    with contextlib.ExitStack() as stack:
        kubo = stack.enter_context(Kubo(ipfs, "the publisher"))
        ours = stack.enter_context(Served(meshsub, "--connect", kubo.addr()))
        eventually("connected", lambda: ours.peer in kubo.connected())

        # Kubo publishes a name, `meshsub ipns resolve` prints it.
        theirs, there = kubo.command("key", "gen", "--type=ed25519", "site").decode().strip(), value(1)
        kubo.command("name", "publish", "--key=site", "--allow-offline", "--resolve=false", there)
        check(ours.meshsub("ipns", "resolve", theirs) == there, "Kubo's name has another value here")
        check(meshsub_alone(meshsub, "ipns", "resolve", theirs, "--connect", ours.addr) == there, "and another one without a node")

        # Ours publishes, `ipfs name resolve` prints it; an update, too.
        mine = ours.meshsub("ipns", "key", "new", "site")
        for here in (value(2), value(3)):
            ours.meshsub("ipns", "publish", "site", here)
            eventually("ours at Kubo", lambda: kubo.command("name", "resolve", "--nocache", mine).decode().strip() == here)

        # Our node is killed and restarted, Kubo's publisher is stopped, a fresh Kubo resolves the names from ours.
        ours.meshsub("ipns", "keep", theirs)
        ours.kill()
        kubo.stop()
        ours.start()
        fresh = stack.enter_context(Kubo(ipfs, "the fresh one"))
        fresh.command("swarm", "connect", ours.addr)
        for name, path in ((theirs, there), (mine, here)):
            got = fresh.command("name", "resolve", "--nocache", name).decode().strip()
            check(got == path, f"{name} is {got} instead of {path}")


def meshsub_alone(meshsub, *args):
    done = subprocess.run([meshsub, *args], capture_output=True, text=True, timeout=STARTS, env={k: v for k, v in os.environ.items() if k != "MESHSUB_SOCKET"})
    check(done.returncode == 0, f"meshsub {' '.join(args)}: {done.stderr.strip()}")
    return done.stdout.strip()


def main():
    if len(sys.argv) != 2 or not os.access(sys.argv[1], os.X_OK):
        print(__doc__.strip(), file=sys.stderr)
        return 2
    ipfs = peer("kubo")
    return 0 if run_cases([("the walk-through of docs/ipns.md", lambda: walk(ipfs, sys.argv[1]))]) else 1


if __name__ == "__main__":
    sys.exit(main())
