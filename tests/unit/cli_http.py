#!/usr/bin/env python3
"""The metrics endpoint: what it serves, whom it serves, and how it is bounded.

usage: cli_http.py PATH OF meshsub, PATH OF docs/operations.md
"""

import contextlib
import os
import re
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import cli_flow  # noqa: E402

WITHIN = cli_flow.WITHIN


class Http(cli_flow.Flow):
    @contextlib.contextmanager
    def node(self, *more, listen="127.0.0.1:0"):
        with self.start("node", "--topic", "t", "--metrics", listen, *more) as node:
            line = node.err.line("address of the metrics").decode()
            said = re.fullmatch(r"meshsub node: metrics at http://(\S+):(\d+)/metrics\n", line)
            assert said, line
            node.port, node.host = int(said[2]), said[1]
            node.addr = node.line("address")
            yield node

    def raw(self, node, text, host="127.0.0.1"):
        with socket.create_connection((host, node.port), timeout=WITHIN) as s:
            with contextlib.suppress(OSError):  # it may have answered and closed before all was sent
                s.sendall(text)
            got = b""
            with contextlib.suppress(ConnectionResetError):
                while more := s.recv(65536):
                    got += more
        head, _, body = got.partition(b"\r\n\r\n")
        return head.decode(), body

    def get(self, node, path="/metrics", host=None, method="GET", more=""):
        name = f"127.0.0.1:{node.port}" if host is None else host
        return self.raw(node, f"{method} {path} HTTP/1.1\r\nHost: {name}\r\n{more}\r\n".encode())

    def text(self):
        """The format, every counter under a documented name, and the numbers."""
        with tempfile.TemporaryDirectory() as folder, self.node("--socket", f"{folder}/s", "--topic", 'a"b\\c\n', "--topic", "\u00fc") as node:
            self.run("pub", "t", "hello", "--connect", node.addr)
            self.run("pub", "t", "hello", "--socket", f"{folder}/s", "--wait", "0")
            end = time.monotonic() + WITHIN
            while True:
                head, body = self.get(node)
                if b"host_connections 0" in body:
                    break
                assert time.monotonic() < end
                time.sleep(0.05)
            lines = head.split("\r\n")
            assert lines[0] == "HTTP/1.1 200 OK" and "Content-Type: text/plain; version=0.0.4; charset=utf-8" in lines, head
            assert f"Content-Length: {len(body)}" in lines and "Connection: close" in lines and "Cache-Control: no-store" in lines, head
            types, values = {}, {}
            for line in body.decode().splitlines():
                if line.startswith("#"):
                    name, kind = re.fullmatch(r"# TYPE ([a-z_]+) (counter|gauge)", line).groups()
                    assert name not in types, f"{name} twice"
                    types[name] = kind
                    continue
                name, label, value = re.fullmatch(r'([a-z_]+)(\{[a-z]+="(?:[^"\\\n]|\\["\\n])*"\})? (\d+)', line).groups()
                assert name in types and (types[name] == "counter") == name.endswith("_total"), line
                assert (name, label) not in values, f"{name}{label} twice"
                values[name, label] = int(value)
            assert values["gossipsub_delivered_total", None] == 2 and values["gossipsub_published_total", None] == 1
            assert values["gossipsub_topic_msg_recv_counts_total", '{topic="t"}'] == 1
            assert values["gossipsub_topic_msg_published_total", '{topic="t"}'] == 1
            assert ("gossipsub_topic_peers_counts", '{topic="a\\"b\\\\c\\n"}') in values and ("gossipsub_topic_peers_counts", '{topic="\u00fc"}') in values
            assert values["host_accepted_total", None] == 1 and values["host_connections_closed_total", None] == 1
            closed = [v for (name, _), v in values.items() if name == "host_disconnects_total"]
            assert len(closed) == 16 and sum(closed) == 1 and values["host_disconnects_total", '{reason="closed"}'] == 1, closed
            assert values["socket_requests_total", None] == 2 and values["http_requests_total", None] >= 1
            manual = open(self.manual, encoding="utf-8").read()
            rows = set(re.findall(r"^\| `([^`]+)` \|", manual, re.M))
            for name in types:
                if types[name] == "counter":
                    assert name in rows or f"`{name}{{reason}}`" in manual, f"{name} is not in docs/operations.md"
                else:
                    assert name in manual or "`" + name.replace("gossipsub", "", 1) + "`" in manual, f"{name} is not in docs/operations.md"
            assert self.get(node, method="HEAD")[1] == b"" and self.get(node, "/metrics?x=1")[0].startswith("HTTP/1.1 200")

    def refused(self):
        with self.node("--metrics-host", "metrics.example") as node:
            ours = [f"127.0.0.1:{node.port}", "127.0.0.1", "localhost", f"LocalHost:{node.port}", "[::1]", f"[::1]:{node.port}", "metrics.example",
                    f"Metrics.Example:{node.port}"]
            for host in ours:
                assert self.get(node, host=host)[0].startswith("HTTP/1.1 200"), host
            others = ["evil.example", f"evil.example:{node.port}", "127.0.0.1:1", "localhost.evil.example", "", "127.0.0.1:", f"127.0.0.1:0{node.port}9",
                      "metrics.example.", "a" * 300]
            for host in others:
                head, body = self.get(node, host=host)
                assert head.startswith("HTTP/1.1 421") and b"gossipsub" not in body, (host, head)
            assert self.raw(node, b"GET /metrics HTTP/1.1\r\n\r\n")[0].startswith("HTTP/1.1 421")
            assert self.get(node, more="Host: localhost\r\n")[0].startswith("HTTP/1.1 421"), "two of them"
            assert self.raw(node, b"GET /metrics HTTP/1.0\nHost: localhost\n\n")[0].startswith("HTTP/1.1 200")
            for path in "/", "/metrics/", "/Metrics", "/metric", "/../metrics":
                assert self.get(node, path)[0].startswith("HTTP/1.1 404"), path
            for method in "POST", "PUT", "DELETE", "OPTIONS", "get", "XGET":
                head = self.get(node, method=method)[0]
                assert head.startswith("HTTP/1.1 405") and "Allow: GET, HEAD" in head, method
            bad = [b"\r\n\r\n", b"GET\r\n\r\n", b"GET /metrics\r\n\r\n", b"GET  HTTP/1.1\r\n\r\n", b"GET metrics HTTP/1.1\r\nHost: localhost\r\n\r\n",
                   b"GET /metrics HTTP/2\r\nHost: localhost\r\n\r\n", b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nX: \0\r\n\r\n", b"\x16\x03\x01\n\n"]
            for text in bad:
                assert self.raw(node, text)[0].startswith("HTTP/1.1 400"), text
            start = f"GET /metrics HTTP/1.1\r\nHost: localhost\r\nX: "
            for n, code in (8191, "200"), (8192, "200"), (8193, "431"), (100000, "431"):
                text = start + "x" * (n - len(start) - 4) + "\r\n\r\n"
                assert len(text) == n and self.raw(node, text.encode())[0].startswith(f"HTTP/1.1 {code}"), n
            body = self.get(node)[1].decode()
            for name, n in ("hosts_refused", len(others) + 2), ("not_found", 5), ("requests_malformed", len(bad) + 6), ("requests_too_long", 2):
                assert f"\nhttp_{name}_total {n}\n" in body, (name, re.findall(r"\nhttp_.*", body))

    def slow(self):
        """Who says nothing, or reads nothing, is gone after ten seconds; 32 of them, and one more is refused; the node runs on."""
        with self.node() as node, contextlib.ExitStack() as stack:
            began = time.monotonic()
            held = [stack.enter_context(socket.create_connection(("127.0.0.1", node.port), timeout=WITHIN)) for _ in range(32)]
            for s in held[:16]:
                s.sendall(b"GET /met")
            time.sleep(0.3)
            with socket.create_connection(("127.0.0.1", node.port), timeout=WITHIN) as more:
                with contextlib.suppress(ConnectionResetError):
                    assert more.recv(1) == b""
            self.run("pub", "t", "meanwhile", "--connect", node.addr)
            for s in held:
                assert s.recv(1) == b""
            assert 9 < time.monotonic() - began < 15
            body = self.get(node)[1].decode()
            assert "\nhttp_late_total 32\n" in body and re.search(r"\nhttp_clients_refused_total [1-9]", body), body[-600:]

    def where(self):
        """On loopback, unless told otherwise in so many words."""
        def refused(code, said, *arguments):
            done = subprocess.run([self.binary, "node", *arguments], capture_output=True, timeout=WITHIN, stdin=subprocess.DEVNULL)
            text = done.stderr.decode()
            if code == 2:
                said += '\nusage: meshsub node [options]\nRun "meshsub node --help" for the options.'
            assert (done.returncode, text, done.stdout) == (code, f"meshsub node: {said}\n", b""), (arguments, done.returncode, text)
        open_it = "or --metrics-open-to-network if that is meant"
        for address in "0.0.0.0:0", "[::]:0", "192.0.2.1:9090", "128.0.0.1:1", "[::ffff:127.0.0.1]:1":
            refused(2, f'--metrics "{address}": can be reached from the network, by anybody; write 127.0.0.1:PORT, {open_it}', "--metrics", address)
        for address in "9090", "localhost:9090", ":9090", "127.0.0.1", "127.0.0.1:65536", "127.0.0.1:x", "::1:1", "[::1]", "[127.0.0.1]:1", "1.2.3.4.5:1":
            refused(2, f'--metrics "{address}": not an address; write 127.0.0.1:9090 or [::1]:9090', "--metrics", address)
        for option in ["--metrics-host", "x"], ["--metrics-open-to-network"]:
            refused(2, f"{option[0]} is for --metrics IP:PORT; give that as well", *option)
        with open("n.yaml", "w") as f:
            f.write("metrics:\n  listen: 0.0.0.0:0\n")
        refused(1, f'"n.yaml", line 2: metrics.listen "0.0.0.0:0": can be reached from the network, by anybody; write 127.0.0.1:PORT, {open_it}',
                "--config", "n.yaml")
        with self.node("--metrics-open-to-network", listen="0.0.0.0:0") as node:
            assert self.get(node)[0].startswith("HTTP/1.1 200")
            done = subprocess.run([self.binary, "node", "--metrics", f"127.0.0.1:{node.port}"], capture_output=True, timeout=WITHIN)
            assert (done.returncode, done.stderr.decode()) == (1, f'meshsub node: --metrics "127.0.0.1:{node.port}": Address already in use\n'), done
        with contextlib.suppress(OSError), socket.create_server(("::1", 0), family=socket.AF_INET6):
            with self.node(listen="[::1]:0") as node:
                assert node.host == "[::1]"
                assert self.raw(node, b"GET /metrics HTTP/1.1\r\nHost: [::1]\r\n\r\n", "::1")[0].startswith("HTTP/1.1 200")


def main():
    h = Http(os.path.abspath(sys.argv[1]))
    h.manual = os.path.abspath(sys.argv[2])
    return cli_flow.run_parts([h.text, h.refused, h.where, h.slow], sys.argv[3:])


if __name__ == "__main__":
    sys.exit(main())
