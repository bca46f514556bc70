"""Nodes at a distance from each other: IP packets between network namespaces that are held back for half of a round trip, TCP's handshake among them.

  namespace of a node           this process                 namespace of another
    far 10.93.0.2 ──TUN──▶ packet, due in rtt / 2 ──TUN──▶ far 10.93.0.3
                    ▲ whoever drives the nodes is at 10.93.255.254, at no distance

An address that is not a node's own is reached through here alone, so nobody finds a shorter way. Packets of one way keep their order and none is lost. It needs root."""

import collections
import contextlib
import fcntl
import os
import select
import struct
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "tests", "interop", "ipns"))
from nodes import HERE, Place  # noqa: E402

from namespaces import ip  # noqa: E402

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
PREFIX = f"msd{os.getpid()}"
DRIVER = (255 << 8) | 254


def address(i):
    return f"10.93.{i >> 8}.{i & 255}"


class Distance(contextlib.ExitStack):
    """place() is a new one. Without a round trip to hold back all are on loopback."""

    def __init__(self, rtt_ms):
        super().__init__()
        self.half, self.count, self.ends, self.stop = rtt_ms / 2000, 1, {}, False
        if self.half == 0:
            return
        self.wake_read, self.wake = os.pipe()
        self.thread = threading.Thread(target=self.carry, daemon=True)
        self.thread.start()
        self.callback(self.end)
        try:
            self.tun(f"{PREFIX}d", DRIVER)
            ip("link", "set", f"{PREFIX}d", "up")
            ip("addr", "add", f"{address(DRIVER)}/16", "dev", f"{PREFIX}d")
        except BaseException:
            self.close()
            raise

    def tun(self, device, i):
        fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        self.ends[i] = fd  # closed when nobody reads any more
        fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", device.encode(), IFF_TUN | IFF_NO_PI))

    def place(self):
        if self.half == 0:
            return HERE
        self.count += 1
        i, name = self.count, f"{PREFIX}-{self.count}"
        ip("netns", "add", name)
        self.callback(subprocess.run, ["ip", "netns", "del", name], capture_output=True)
        device = f"{PREFIX}{i}"
        self.tun(device, i)
        ip("link", "set", device, "netns", name, "name", "far")  # the descriptor stays
        ip("-n", name, "link", "set", "lo", "up")
        ip("-n", name, "link", "set", "far", "up")
        ip("-n", name, "addr", "add", f"{address(i)}/16", "dev", "far")
        os.write(self.wake, b".")
        return Place(address(i), ("ip", "netns", "exec", name))

    def carry(self):
        """Until the end: what has come is handed on when its time is up."""
        waiting = collections.deque()  # every packet waits equally long, so they are in order
        while not self.stop:
            rest = max(0, waiting[0][0] - time.monotonic()) if waiting else None
            readable, _, _ = select.select([self.wake_read, *list(self.ends.values())], [], [], rest)
            now = time.monotonic()
            for fd in readable:
                if fd == self.wake_read:
                    os.read(fd, 64)
                    continue
                with contextlib.suppress(OSError):  # nothing more to read; or not a device yet, or down
                    while True:
                        packet = os.read(fd, 65536)
                        if packet[0] >> 4 != 4:
                            continue
                        source, to = (struct.unpack_from("!H", packet, at)[0] for at in (14, 18))
                        if DRIVER in (source, to):
                            self.hand(packet, to)
                        else:
                            waiting.append((now + self.half, packet, to))
            now = time.monotonic()
            while waiting and waiting[0][0] <= now:
                self.hand(*waiting.popleft()[1:])

    def hand(self, packet, to):
        with contextlib.suppress(OSError):  # nobody there any more: TCP tries again
            if to in self.ends:
                os.write(self.ends[to], packet)

    def end(self):
        self.stop = True
        os.write(self.wake, b".")
        self.thread.join(10)
        for fd in (*self.ends.values(), self.wake_read, self.wake):
            os.close(fd)
