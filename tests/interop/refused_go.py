#!/usr/bin/env python3
"""Peers with which nothing can be agreed: TLS only, mplex only, one that half-closes. The answer is clean, counted, and nobody else notices.

usage: refused_go.py PATH OF meshsub-peer     Exit status as peers_pair.py.
"""

import socket
import struct
import sys
import time

from control import NodeError
from gossipsub_go import Net, wait
from transfer import KIB, Link, check, run_program

MULTISTREAM = b"\x13/multistream/1.0.0\n"


def host_counts(net):
    return net["ours"].request("metrics")["metrics"]


def total(metrics, name):
    return metrics[f"host_{name}_total"]


def counted(net, before, name):
    wait(lambda: f"{name}: {total(host_counts(net), name)}, was {total(before, name)}",
         lambda: total(host_counts(net), name) == total(before, name) + 1)


def still_serves(net, kind="go_good"):
    net.link(kind, "ours")
    net.meshed("ours", kind)
    Link(False).both_ways(net["ours"], net[kind], 50, KIB)


def odd(binaries, cfg, dialer):
    with Net(binaries, **{"ours": {}, "go_odd": cfg, "go_good": {}}) as net:
        net.subscribe()
        before = host_counts(net)
        other = "go_odd" if dialer == "ours" else "ours"
        begin = time.monotonic()
        try:
            net.link(dialer, other)
        except NodeError as e:
            reason = str(e)
        else:
            raise AssertionError("they are connected")
        check(time.monotonic() - begin < 12, f"refused only after {time.monotonic() - begin:.1f} s")
        check("refused:" in reason and "no reply" not in reason, reason)
        counted(net, before, "dial_failed" if dialer == "ours" else "handshakes_failed")
        check(net.mesh("ours")["conns"] == 0, "a connection is left")
        still_serves(net)


def half_closed(binaries, sent):
    """It says what it says, then that it will say no more, and waits for our end."""
    with Net(binaries, **{"ours": {}, "go_good": {}}) as net:
        net.subscribe()
        before = host_counts(net)
        port = int(net["ours"].addr().split("/")[4])
        with socket.create_connection(("127.0.0.1", port), timeout=20) as s:
            s.sendall(sent)
            s.shutdown(socket.SHUT_WR)
            heard = b""
            while more := s.recv(4096):  # ends: it was closed; a reset would be an exception
                heard += more
        check(heard in (b"", MULTISTREAM) or heard.startswith(MULTISTREAM), f"heard {heard!r}")
        counted(net, before, "handshakes_failed")
        still_serves(net)


def cases(binaries):
    for dialer in ("ours", "go"):
        yield f"TLS only, {dialer} dials", odd, ({"security": "tls"}, dialer if dialer == "ours" else "go_odd")
        yield f"mplex only, {dialer} dials", odd, ({"muxer": "/mplex/6.7.0"}, dialer if dialer == "ours" else "go_odd")
    noise = b"\x07/noise\n"
    yield "half-closed at once", half_closed, (b"",)
    yield "half-closed after multistream", half_closed, (MULTISTREAM,)
    yield "half-closed in the first Noise message", half_closed, (MULTISTREAM + noise + struct.pack(">H", 32) + bytes(10),)


if __name__ == "__main__":
    sys.exit(run_program(__doc__, cases))
