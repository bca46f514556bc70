#!/usr/bin/env python3
"""`meshsub sub news` and `meshsub pub news hello` in two network namespaces: over IPv4, over IPv6 and by name (what the system's resolver is
told, and a name server of one's own), signed with each type of key, on either transport.

usage: cli_namespaces.py PATH OF meshsub [WORD...]
Exit status: 0 all passed, 1 a case failed, 77 namespaces cannot be made here (not root).
"""

import ctypes
import itertools
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import threading

from namespaces import HUB, Network, ip4, ip6
from transfer import check, run_cases

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
from names import A, AAAA, Names

KEYS = ("ed25519", "secp256k1", "ecdsa", "rsa")
TRANSPORTS = ("epoll", "nng")
PORT = 4001
WITHIN = 20
SERVER = f"{HUB}:53"
WAYS = {  # where the subscriber listens, what the publisher is told
    "IPv4": ("/ip4/0.0.0.0", f"/ip4/{ip4(0)}"),
    "IPv6": ("/ip6/::", f"/ip6/{ip6(0)}"),
    "dns4": ("/ip4/0.0.0.0", "/dns4/sub.test"),
    "dns6": ("/ip6/::", "/dns6/sub.test"),
    "dns": ("/ip4/0.0.0.0", "/dns/sub.test"),
    "dns, a server of one's own": ("/ip6/::", "/dns/sub.test", "--dns-server", SERVER),
}
ZONE = {("sub.test", A): [socket.inet_aton(ip4(0))], ("sub.test", AAAA): [socket.inet_pton(socket.AF_INET6, ip6(0))]}


def socket_in(namespace, address):
    """A UDP socket of another namespace: a thread goes there, makes it and ends."""
    made = []

    def make():
        with open(f"/run/netns/{namespace}") as f:
            if ctypes.CDLL(None, use_errno=True).setns(f.fileno(), 0):
                raise OSError(ctypes.get_errno(), "setns")
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.bind(address)
        made.append(s)

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    check(made, f"no socket in {namespace}")
    return made[0]


class Setting:
    """Two namespaces, a name server between them that the system's resolver asks, an identity of each type for either side."""

    def __init__(self, meshsub, folder):
        self.meshsub, self.folder, self.net = meshsub, folder, Network(2, six=True)
        self.peers = {}
        try:
            self.names = Names(socket_in(Network.ns("hub"), (HUB, 53)), ZONE)
            (folder / "resolv.conf").write_text(f"nameserver {HUB}\n")
            for side, kind in itertools.product(("sub", "pub"), KEYS):
                made = subprocess.run([meshsub, "key", "new", folder / f"{side}-{kind}", "--type", kind], check=True, capture_output=True, text=True)
                self.peers[side, kind] = made.stdout.strip()
        except BaseException:
            self.net.close()
            raise

    def start(self, i, *words):
        """meshsub in a namespace, whose mounts are its own as well: there the resolver's file is ours."""
        inside = 'mount --bind "$1" /etc/resolv.conf && shift && exec "$@"'
        command = ["ip", "netns", "exec", Network.ns(i), "unshare", "--mount", "sh", "-c", inside, "sh", self.folder / "resolv.conf", self.meshsub, *words]
        return subprocess.Popen(list(map(str, command)), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def common(self, side, kind, transport):
        return ["--key", self.folder / f"{side}-{kind}", "--transport", transport]


def hello(setting, way, kind, transport):
    listen, there, *more = WAYS[way]
    while not setting.names.asked.empty():
        setting.names.asked.get()
    sub = setting.start(0, "sub", "news", "--count", 1, "--timeout", f"{WITHIN}s", "--json", "--listen", f"{listen}/tcp/{PORT}", *setting.common("sub", kind, transport))
    try:
        line = sub.stderr.readline()
        check(f"listening on {listen.split('/0.0')[0].split('/::')[0]}/" in line, f"meshsub sub said {line!r}")
        to = f"{there}/tcp/{PORT}/p2p/{setting.peers['sub', kind]}"
        pub = setting.start(1, "pub", "news", "hello", "--connect", to, "--timeout", f"{WITHIN}s", *setting.common("pub", kind, transport), *more)
        try:
            _, err = pub.communicate(timeout=2 * WITHIN)
        finally:
            pub.kill()
        check(pub.returncode == 0, f"meshsub pub ended with {pub.returncode}: {err[-600:]}")
        out, err = sub.communicate(timeout=2 * WITHIN)
        check(sub.returncode == 0, f"meshsub sub ended with {sub.returncode}: {err[-600:]}")
    finally:
        sub.kill()
    (line,) = out.splitlines()
    got = json.loads(line)
    check((got["topic"], got["data"]) == ("news", "hello"), line)
    check(got["from"] == got["received_from"] == setting.peers["pub", kind] and got["seqno"], f"not signed by {setting.peers['pub', kind]}: {line}")
    check(there.startswith("/dns") == (not setting.names.asked.empty()), f"the name server was asked {setting.names.asked.qsize()} times")


def main():
    if len(sys.argv) < 2 or not os.access(sys.argv[1], os.X_OK):
        print(__doc__.strip(), file=sys.stderr)
        return 2
    if not Network.possible(six=True):
        return 77
    with tempfile.TemporaryDirectory() as folder:
        setting = Setting(os.path.abspath(sys.argv[1]), pathlib.Path(folder))
        with setting.net:
            cases = [(f"{way}, {kind}, {transport}", lambda a=(way, kind, transport): hello(setting, *a))
                     for way, kind, transport in itertools.product(WAYS, KEYS, TRANSPORTS)]
            return 0 if run_cases([c for c in cases if not sys.argv[2:] or any(w in c[0] for w in sys.argv[2:])]) else 1


if __name__ == "__main__":
    sys.exit(main())
