#!/usr/bin/env python3
"""Nodes that know a rendezvous point and nothing else of each other.

usage: cli_rendezvous.py PATH OF meshsub
"""

import contextlib
import os
import re
import signal
import sys
import time
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import cli_flow  # noqa: E402

LOOPBACK = cli_flow.LOOPBACK


class Rendezvous(cli_flow.Flow):
    def wait(self, node, start):
        while True:
            line = node.line(start)
            if line.startswith(start):
                return line

    def metric(self, at, name):
        text = urllib.request.urlopen(at, timeout=cli_flow.WITHIN).read().decode()
        found = re.search(rf"^{name} (\d+)$", text, re.M)
        return int(found.group(1)) if found else None

    def meet(self):
        """Found through the point, a message passes, the counters say so; an option of the file is as good as one of the command line."""
        with contextlib.ExitStack() as stack:
            point = stack.enter_context(self.start("node", "--rendezvous-point", "--metrics", "127.0.0.1:0"))
            point_at = point.err.line("address of the metrics").decode().split()[-1]
            to = point.line("address")
            ear = stack.enter_context(self.start("node", "--topic", "news", "--rendezvous", to, "--listen", LOOPBACK, "--metrics", "127.0.0.1:0"))
            ear_at = ear.err.line("address of the metrics").decode().split()[-1]
            mine = ear.line("address").split("/")[-1]
            with open("n.yaml", "w", encoding="utf-8") as f:
                f.write(f"topics: [news]\nlisten: [{LOOPBACK}]\nrendezvous: [{to}]\n")
            mouth = stack.enter_context(self.start("node", "--config", "n.yaml", "--publish", "news", stdin=cli_flow.subprocess.PIPE))
            self.wait(mouth, f"joined {mine}")
            self.wait(ear, "joined ")
            mouth.process.stdin.write(b"hello\n")
            assert "hello" in self.wait(ear, "message from ")
            assert self.metric(point_at, "rendezvous_point_registrations") == 2
            assert self.metric(point_at, "rendezvous_point_registered_total") == 2
            assert self.metric(point_at, "rendezvous_found_total") is None
            assert self.metric(ear_at, "rendezvous_registered_total") == 1
            assert self.metric(ear_at, "rendezvous_point_registered_total") is None
            # Both live on without the point, and it is missed.
            point.process.send_signal(signal.SIGTERM)
            point.process.wait(cli_flow.WITHIN)
            self.wait(ear, "disconnected ")
            mouth.process.stdin.write(b"again\n")
            assert "again" in self.wait(ear, "message from ")
            for node in ear, mouth:
                node.process.send_signal(signal.SIGTERM)
                assert node.process.wait(cli_flow.WITHIN) == 0

    def end(self):
        """A node that is told to stop takes all its registrations back, and does not wait for a point that does not answer."""
        topics = [x for i in range(30) for x in ("--topic", f"t{i}")]
        with self.start("node", "--rendezvous-point", "--metrics", "127.0.0.1:0") as point:
            point_at = point.err.line("address of the metrics").decode().split()[-1]
            to = point.line("address")
            for frozen in False, True:
                with self.start("node", *topics, "--rendezvous", to, "--listen", LOOPBACK) as node:
                    self.wait(node, "connected ")
                    while self.metric(point_at, "rendezvous_point_registrations") != 30:
                        time.sleep(0.02)
                    if frozen:
                        point.process.send_signal(signal.SIGSTOP)
                    began = time.monotonic()
                    node.process.send_signal(signal.SIGTERM)
                    assert node.process.wait(cli_flow.WITHIN) == 0
                    took = time.monotonic() - began
                    if frozen:
                        assert took < 5, took  # a second, on a machine that has other things to do
                        point.process.send_signal(signal.SIGCONT)
                    else:
                        assert self.metric(point_at, "rendezvous_point_unregistered_total") == 30
                        assert self.metric(point_at, "rendezvous_point_registrations") == 0

    def refused(self):
        ours = "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN"
        for arguments, said in (
                (["--rendezvous", "/ip4/127.0.0.1/tcp/1"], '--rendezvous "/ip4/127.0.0.1/tcp/1": no /p2p/ID at its end; a point is known by its id'),
                (["--rendezvous", "localhost:1"], '--rendezvous "localhost:1": not a multiaddress; write /ip4/HOST/tcp/PORT or /ip6/HOST/tcp/PORT'),
                (["--rendezvous", f"/ip4/127.0.0.1/tcp/0/p2p/{ours}"],
                 f'--rendezvous "/ip4/127.0.0.1/tcp/0/p2p/{ours}": port 0 cannot be connected to; write the port that the node listens on')):
            with self.start("node", *arguments) as node:
                node.process.wait(cli_flow.WITHIN)
                assert node.process.returncode == 2
                line = node.err.line("error").decode()
                assert line == f"meshsub node: {said}\n", line

    def points(self):
        """Eight points, each under several addresses; a ninth is one too many."""
        ids = []
        for i in range(9):
            ids.append(self.run("key", "new", f"{i}.key").split()[-1])
        several = [x for i in ids[:8] for port in (1, 2) for x in ("--rendezvous", f"/ip4/127.0.0.1/tcp/{port}/p2p/{i}")]
        with self.start("node", "--listen", LOOPBACK, *several) as node:
            self.wait(node, "cannot connect to ")
            node.process.send_signal(signal.SIGTERM)
            assert node.process.wait(cli_flow.WITHIN) == 0
        with self.start("node", *several, "--rendezvous", f"/ip4/127.0.0.1/tcp/1/p2p/{ids[8]}") as node:
            assert node.process.wait(cli_flow.WITHIN) == 2
            assert node.err.line("error").decode() == "meshsub node: --rendezvous: more than 8 points\n"


def main():
    flow = Rendezvous(os.path.abspath(sys.argv[1]))
    return cli_flow.run_parts([flow.meet, flow.end, flow.refused, flow.points], sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
