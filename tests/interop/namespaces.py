"""Network namespaces on a common bridge. They need root."""

import contextlib
import os
import subprocess

PREFIX = f"msi{os.getpid()}"
HUB = "10.91.0.254"


def ip(*args):
    subprocess.run(["ip", *args], check=True, capture_output=True, text=True)


def ip4(i):
    return f"10.91.0.{i + 1}"


def ip6(i):
    return f"fd91::{i + 1:x}"


class Network(contextlib.ExitStack):
    """A bridge in a namespace of its own, and a namespace for each node."""

    def __init__(self, n, six=False, four=True):
        super().__init__()
        try:
            self.add("hub")
            ip("-n", self.ns("hub"), "link", "add", "hub0", "type", "bridge")
            ip("-n", self.ns("hub"), "link", "set", "hub0", "up")
            ip("-n", self.ns("hub"), "addr", "add", f"{HUB}/24", "dev", "hub0")
            for i in range(n):
                self.add(i)
                ip("-n", self.ns("hub"), "link", "add", f"v{i}", "type", "veth", "peer", "name", "eth", "netns", self.ns(i))
                ip("-n", self.ns("hub"), "link", "set", f"v{i}", "master", "hub0", "up")
                if four:
                    ip("-n", self.ns(i), "addr", "add", f"{ip4(i)}/24", "dev", "eth")
                if six:
                    ip("-n", self.ns(i), "addr", "add", f"{ip6(i)}/64", "dev", "eth", "nodad")
                ip("-n", self.ns(i), "link", "set", "eth", "up")
                ip("-n", self.ns(i), "link", "set", "lo", "up")
        except BaseException:
            self.close()
            raise

    @staticmethod
    def ns(name):
        return f"{PREFIX}-{name}"

    def add(self, name):
        ip("netns", "add", self.ns(name))
        self.callback(subprocess.run, ["ip", "netns", "del", self.ns(name)], capture_output=True)

    @staticmethod
    def possible(six=False):
        """False, and the reason is printed, where they cannot be made."""
        if os.geteuid() != 0:
            print("skipped: network namespaces need root", flush=True)
            return False
        try:
            with Network(1, six):
                return True
        except (OSError, subprocess.CalledProcessError) as e:
            print(f"skipped: network namespaces cannot be made: {getattr(e, 'stderr', '') or e}", flush=True)
            return False
