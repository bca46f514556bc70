#!/usr/bin/env python3
"""Nodes on one network that know nothing of each other, in a network namespace of their own: it takes root.

usage: cli_mdns.py PATH OF meshsub
"""

import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../unit"))
import cli_flow  # noqa: E402

ANY = "/ip4/0.0.0.0/tcp/0"


class Mdns(cli_flow.Flow):
    def wait(self, node, start):
        while True:
            line = node.line(start)
            if line.startswith(start):
                return line

    def node(self):
        """By the option, and by the file."""
        with open("n.yaml", "w", encoding="utf-8") as f:
            f.write(f"topics: [news]\nlisten: [{ANY}]\nmdns: true\n")
        with self.start("node", "--topic", "news", "--mdns", "--listen", ANY) as ear, self.start(
                "node", "--config", "n.yaml", "--publish", "news", stdin=subprocess.PIPE) as mouth:
            self.wait(ear, "joined ")
            self.wait(mouth, "joined ")
            mouth.process.stdin.write(b"hello\n")
            assert "hello" in self.wait(ear, "message from ")

    def sub_and_pub(self):
        with self.start("sub", "news", "--mdns", "--listen", ANY) as ear:
            ear.listening()
            self.run("pub", "news", "hello", "--mdns")
            assert ear.line("message") == "hello"

    def off(self):
        """Who does not ask for it hears and says nothing."""
        with self.start("node", "--topic", "news", "--mdns", "--listen", ANY) as loud, self.start("node", "--topic", "news", "--listen", ANY, "--seconds", "3") as quiet:
            self.wait(loud, "/ip4/")
            out = quiet.end().decode()
            assert "connected" not in out, out


def main():
    if "--inside" not in sys.argv:
        inside = "ip link set lo up multicast on && ip addr add 10.9.8.7/24 dev lo && exec \"$0\" \"$@\""
        if subprocess.run(["unshare", "-n", "true"], capture_output=True).returncode != 0:
            print("skipped: a network namespace takes root")
            return 77
        return subprocess.run(["unshare", "-n", "sh", "-c", inside, sys.executable, os.path.abspath(__file__), os.path.abspath(sys.argv[1]), "--inside"]).returncode
    flow = Mdns(sys.argv[1])
    return cli_flow.run_parts([flow.node, flow.sub_and_pub, flow.off], [])


if __name__ == "__main__":
    sys.exit(main())
