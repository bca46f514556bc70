#!/usr/bin/env python3
"""Two nodes that find each other by name: a name server of the test's own, and the system's /etc/hosts.

usage: cli_names.py PATH OF meshsub
"""

import pathlib
import queue
import socket
import subprocess
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
from names import A, AAAA, TXT, Names

WITHIN = 30


class Node:
    def __init__(self, program, *options):
        self.process = subprocess.Popen([program, "node", "--topic", "news", *options], stdout=subprocess.PIPE, text=True)
        self.lines = queue.Queue()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            self.lines.put(line.rstrip("\n"))

    def wait(self, start):
        while True:
            line = self.lines.get(timeout=WITHIN)
            if line.startswith(start):
                return line

    def stop(self):
        self.process.terminate()
        assert self.process.wait(timeout=WITHIN) == 0


def text(value):
    return bytes([len(value)]) + value.encode()


def main():
    program = sys.argv[1]
    names = Names()
    node = Node(program, "--listen", "/ip4/127.0.0.1/tcp/0")
    address = node.wait("/ip4/")
    port, peer = address.split("/")[4], address.split("/")[6]
    wildcard = Node(program, "--listen", "/ip6/::1/tcp/0") if socket.has_ipv6 else None
    names.zone = {
        ("node.test", A): [b"\x7f\0\0\1"],
        ("_dnsaddr.net.test", TXT): [text("dnsaddr=/dns4/node.test/tcp/%s/p2p/%s" % (port, peer)), text("dnsaddr=/ip4/192.0.2.1/udp/1/quic-v1")],
    }
    ways = ["/dns4/node.test/tcp/" + port, "/dns/node.test/tcp/%s/p2p/%s" % (port, peer), "/dnsaddr/net.test", "/dnsaddr/net.test/p2p/" + peer]
    if wildcard:
        six = wildcard.wait("/ip6/").split("/")
        names.zone[("six.test", AAAA)] = [bytes(15) + b"\1"]
        ways.append("/dns6/six.test/tcp/" + six[4])
    for way in ways:
        other = Node(program, "--connect", way, "--dns-server", names.address)
        other.wait("connected ")
        other.wait("joined ")
        other.stop()
    asked = set()
    while not names.asked.empty():
        asked.add(names.asked.get())
    assert {("node.test", A), ("node.test", AAAA), ("_dnsaddr.net.test", TXT)} <= asked, asked
    # The system's own names, and one that does not exist.
    other = Node(program, "--connect", "/dns4/localhost/tcp/" + port)
    other.wait("connected ")
    other.stop()
    other = Node(program, "--connect", "/dns4/gone.test/tcp/" + port, "--dns-server", names.address)
    line = other.wait("cannot connect")
    assert line == "cannot connect to /dns4/gone.test/tcp/%s: no such name; trying again" % port, line
    names.zone[("gone.test", A)] = [b"\x7f\0\0\1"]
    other.wait("connected ")
    other.stop()
    # Found when the topic has too few peers.
    other = Node(program, "--discover", "/dnsaddr/net.test", "--dns-server", names.address)
    other.wait("connected ")
    other.stop()
    # A filter.
    other = Node(program, "--connect", "/dns4/node.test/tcp/" + port, "--dns-server", names.address, "--filter", "deny dial 127.0.0.0/8")
    line = other.wait("cannot connect")
    assert "none of its addresses may be dialled now" in line, line
    other.stop()
    node.stop()
    if wildcard:
        wildcard.stop()
    print("cli_names: %d ways" % (len(ways) + 1))


if __name__ == "__main__":
    main()
