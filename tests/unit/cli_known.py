#!/usr/bin/env python3
"""A node that is started again finds peers of before by its store alone: nobody names one, and it waits for nobody.

usage: cli_known.py PATH OF meshsub
"""

import os
import signal
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import cli_flow  # noqa: E402


class Known(cli_flow.Flow):
    def node(self, *more):
        command = self.start("node", *more)
        command.addr = command.line("address")
        return command

    def connected(self, node, peer):
        """The next connection of the node is to that peer."""
        end = time.monotonic() + cli_flow.WITHIN
        while not (line := node.line("connection")).startswith("connected "):
            assert time.monotonic() < end, line
        assert line.split()[1] == peer.addr.split("/p2p/")[1], line
        return line

    def again(self):
        """By its address after an end in order; after a kill as far as it was written."""
        with self.node("--listen", cli_flow.LOOPBACK) as peer:
            with self.node("--store", "s", "--listen", cli_flow.LOOPBACK, "--connect", peer.addr) as node:
                self.connected(node, peer)
                while not node.line("agent").startswith("identified "):
                    pass
                node.process.send_signal(signal.SIGTERM)
                node.end()
            for how in signal.SIGKILL, signal.SIGTERM:
                with self.node("--store", "s", "--listen", cli_flow.LOOPBACK, "--min-peers", "1") as node:
                    assert " to " + peer.addr.split("/p2p/")[0] in self.connected(node, peer)
                    node.process.send_signal(how)
                    node.process.wait()
        with self.node("--store", "other", "--listen", cli_flow.LOOPBACK, "--min-peers", "1", "--seconds", "3") as node:
            assert node.end() == b"", "a store of its own knows nobody"


def main():
    k = Known(os.path.abspath(sys.argv[1]))
    return cli_flow.run_parts([k.again], sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
