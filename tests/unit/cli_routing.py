#!/usr/bin/env python3
"""Names over HTTP: every status, the headers for caches and browsers, and how it is bounded.

usage: cli_routing.py PATH OF meshsub, ipns.json, PATH OF docs/operations.md
"""

import contextlib
import email.utils
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import cli_ipns_nodes as nodes  # noqa: E402

WITHIN = nodes.WITHIN
TYPE = "application/vnd.ipfs.ipns-record"
NOBODY = "k51qzi5uqu5dgt3qd5u9jx0v1yr49ydyhpvpjvrhuduyb481b9v52cqzwd9unt"


class Routing(nodes.Names):
    @contextlib.contextmanager
    def web(self, *more):
        with self.node("--routing", "127.0.0.1:0", *more) as node:
            line = node.err.line("address of the names").decode()
            said = re.fullmatch(r"meshsub ipns serve: names at (http://127\.0\.0\.1:(\d+)/routing/v1/ipns/)\n", line)
            assert said, line
            node.url, node.port = said[1], int(said[2])
            yield node

    def raw(self, node, text, more=b""):
        """Status, headers by lower-case name, body."""
        with socket.create_connection(("127.0.0.1", node.port), timeout=WITHIN) as s:
            s.sendall(text)
            with contextlib.suppress(OSError):
                s.sendall(more)
            got = b""
            while part := s.recv(65536):
                got += part
        head, _, body = got.partition(b"\r\n\r\n")
        if head.startswith(b"HTTP/1.1 100"):
            head, _, body = body.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(": ")
            assert name.lower() not in headers, f"{name} twice"
            headers[name.lower()] = value
        status = int(re.fullmatch(r"HTTP/1\.1 (\d{3}) .+", lines[0])[1])
        assert headers["access-control-allow-origin"] == "*" and "PUT" in headers["access-control-allow-methods"], lines
        assert headers["vary"] == "Accept" and headers["connection"] == "close" and headers["x-content-type-options"] == "nosniff", lines
        if status in (204, 304):
            assert body == b"" and "content-length" not in headers, lines
        else:
            assert int(headers["content-length"]) == len(body) or body == b"", (lines, len(body))
        if status >= 400:
            assert headers["content-type"] == "text/plain; charset=utf-8" and (body == b"" or body.endswith(b"\n")), (lines, body)
        return status, headers, body

    def ask(self, node, method="GET", name=NOBODY, headers=None, body=None, path="/routing/v1/ipns/"):
        given = {"Host": "x", **(headers or {})}
        if body is not None:
            given.setdefault("Content-Length", str(len(body)))
        lines = "".join(f"{k}: {v}\r\n" for k, v in given.items())
        return self.raw(node, f"{method} {path}{name} HTTP/1.1\r\n{lines}\r\n".encode(), body or b"")

    def put(self, node, name, record, **headers):
        return self.ask(node, "PUT", name, {"Content-Type": TYPE, **headers}, record)

    def get(self):
        """What a record looks like, how long it may be cached, and when it need not be sent again."""
        with self.web("--store", "a", "--socket", "a.sock") as node:
            name = self.key("site", "--socket", "a.sock")
            began = time.time()
            said = json.loads(self.run("ipns", "publish", "site", "/ipfs/bafkqaaa", "--socket", "a.sock", "--json"))
            status, headers, record = self.ask(node, name=name, headers={"Accept": TYPE})
            assert status == 200 and headers["content-type"] == TYPE, headers
            with open("r", "wb") as f:
                f.write(record)
            assert self.run("ipns", "verify", "r", "--name", name) == f"valid until {said['valid_until']}, sequence 0\n"
            assert headers["content-disposition"] == f'attachment; filename="{name}.ipns-record"'
            assert headers["etag"] == f'"{hashlib.sha256(record).hexdigest()[:32]}"'
            age, stale, error = map(int, re.fullmatch(r"public, max-age=(\d+), stale-while-revalidate=(\d+), stale-if-error=(\d+)", headers["cache-control"]).groups())
            assert age == 300 and stale == error and 48 * 3600 - 300 - WITHIN <= stale <= 48 * 3600 - 300, headers
            ends = email.utils.parsedate_to_datetime(headers["expires"]).timestamp()
            assert abs(ends - began - 48 * 3600) < WITHIN, headers
            assert abs(email.utils.parsedate_to_datetime(headers["last-modified"]).timestamp() - began) < WITHIN, headers
            for accept in "*/*", "application/*", "text/html, */*;q=0.1", f"{TYPE};v=1", TYPE.upper(), "", None, f'text/plain;x="a,b", {TYPE}':
                assert self.ask(node, name=name, headers={} if accept is None else {"Accept": accept})[2] == record, accept
            for accept in "application/json", "text/*", f"{TYPE};q=0", f"*/*, {TYPE};q=0.0", "application/vnd.ipfs.ipns-record2":
                status, _, body = self.ask(node, name=name, headers={"Accept": accept})
                assert status == 406 and f"Accept: {TYPE}".encode() in body, (accept, status)
            for form in self.forms(name):
                if not form.startswith("/"):
                    assert self.ask(node, name=form)[2] == record, form
            assert self.ask(node, name=name + "?x=1")[2] == record
            status, alike, body = self.ask(node, "HEAD", name)
            assert status == 200 and body == b"" and alike["content-length"] == str(len(record)) and alike["etag"] == headers["etag"]
            for tags in headers["etag"], "W/" + headers["etag"], f'"x", {headers["etag"]}', "*":
                status, alike, _ = self.ask(node, name=name, headers={"If-None-Match": tags})
                assert status == 304 and alike["etag"] == headers["etag"] and alike["cache-control"].startswith("public, max-age=300"), tags
            assert self.ask(node, name=name, headers={"If-None-Match": '"x"'})[0] == 200
            self.run("ipns", "publish", "site", "/ipfs/bafkqabb", "--socket", "a.sock", "--lifetime", "20s", "--ttl", "10m")
            status, newer, _ = self.ask(node, name=name, headers={"If-None-Match": headers["etag"]})
            age = int(re.match(r"public, max-age=(\d+), stale-while-revalidate=0,", newer["cache-control"])[1])
            assert status == 200 and newer["etag"] != headers["etag"] and 10 < age <= 20, "never longer than it is valid"
            self.run("ipns", "publish", "site", "/ipfs/bafkqacc", "--socket", "a.sock", "--lifetime", "1s")
            time.sleep(1.1)
            status, headers, body = self.ask(node, name=name)
            assert status == 404 and body.startswith(b"expired since ") and headers["cache-control"] == "public, max-age=15", (status, body)

    def put_all(self):
        """Every vector; what is older, the same, of another name, or with an end in the past."""
        with self.web("--store", "a") as node:
            best = {}
            for x in self.vectors.values():
                if x["reason"] == "bad_name":
                    continue
                record = bytes.fromhex(x["record"])
                status, _, body = self.put(node, x["name"], record)
                if x["expected"] == "valid":
                    assert status in (200, 409), (x["id"], status, body)
                    got = self.ask(node, name=x["name"])
                    assert got[0] == 200 and (got[2] == record) == (status == 200), x["id"]
                    best[x["name"]] = got[2]
                elif x["reason"] == "too_large":
                    assert status == 413 and body == b"a record has at most 10,240 bytes\n", (x["id"], status)
                elif x["reason"] != "expired" or time.time() > 1767225600:
                    assert status == 400 and len(body) > 5, (x["id"], status, body)
            assert len(best) >= 4
            for name, record in best.items():
                assert self.put(node, name, record)[0] == 200, "the same again"
                other = next(r for n, r in best.items() if n != name)
                status, _, body = self.put(node, name, other)
                assert status == 400 and body in (b"signed by another key, or changed since\n", b"its public key is of another name\n",
                                                  b"the name is a hash, and the record does not bring the key\n"), body
                assert self.ask(node, name=name)[2] == record
            node.process.kill()
            node.process.wait()
        with self.web("--store", "a") as node:
            for name, record in best.items():
                assert self.ask(node, name=name)[2] == record, "what was answered with 200 outlives a kill"

    def through(self):
        """A name is handed in at one node, and another one that follows it, another one's page, and a third by HTTP have it; the older one is refused."""
        name = self.key("site", "--store", "keys")
        records = []
        with self.web("--store", "keys") as signer:
            pass
        for value in "/ipfs/bafkqaaa", "/ipfs/bafkqabb":
            self.run("ipns", "publish", "site", value, "--store", "keys")
            with self.web("--store", "keys") as signer:
                records.append(self.ask(signer, name=name)[2])
        with self.web("--store", "a") as a, self.web("--connect", a.addr) as b:
            assert self.put(a, name, records[0])[0] == 200
            status, _, body = self.ask(b, name=name)
            assert (status, body) == (200, records[0]), "looked for among the peers"
            assert self.put(b, name, records[1])[0] == 200
            end = time.monotonic() + WITHIN
            while self.ask(a, name=name)[2] != records[1]:
                assert time.monotonic() < end, "by pubsub"
                time.sleep(0.02)
            status, _, body = self.put(a, name, records[0])
            assert status == 409 and body.startswith(b"older than the one that is kept here, which has sequence 1 and is valid until "), body
            if shutil.which("curl"):
                with open("r", "wb") as f:
                    f.write(records[1])
                got = subprocess.run(["curl", "-sSf", "-H", f"Accept: {TYPE}", a.url + name], capture_output=True, check=True, timeout=WITHIN)
                assert got.stdout == records[1]
                for more in ["--data-binary", "@r", "-X", "PUT"], ["-T", "r"], ["-T", "r", "-H", "Expect: 100-continue"]:
                    subprocess.run(["curl", "-sSf", "-H", f"Content-Type: {TYPE}", *more, a.url + name], capture_output=True, check=True, timeout=WITHIN)

    def statuses(self):
        with self.web() as node:
            def wanted(status, text, *arguments, **more):
                got, headers, body = self.ask(node, *arguments, **more)
                assert (got, body.decode()) == (status, text + "\n"), (arguments, more, got, body)
                return headers
            for path in "/", "/metrics", "/routing/v1", "/routing/v1/ipn/", "/routing/v2/ipns/":
                wanted(400, "there is /routing/v1/ipns/{name}", name="", path=path)
            for path in "/routing/v1/providers/", "/routing/v1/peers/":
                wanted(501, "names only are served here", name="bafkqaaa", path=path)
            for name in "", "x", "/ipns/" + NOBODY, NOBODY + "/x", "%6b51", "bafkqaaa", "k" * 200:
                wanted(400, "not a name; write k51..., a CIDv1 of codec libp2p-key", name=name)
            for method in "POST", "DELETE", "PATCH", "get":
                wanted(501, "there are GET, HEAD, PUT and OPTIONS", method)
            status, headers, _ = self.ask(node, "OPTIONS", headers={"Origin": "https://page.example", "Access-Control-Request-Method": "PUT",
                                                                  "Access-Control-Request-Headers": "content-type"})
            assert status == 204 and "Content-Type" in headers["access-control-allow-headers"] and headers["access-control-max-age"] == "86400", headers
            assert "access-control-allow-private-network" not in headers
            headers = self.ask(node, "OPTIONS", headers={"Access-Control-Request-Private-Network": "true"})[1]
            assert headers["access-control-allow-private-network"] == "true"
            again = f"records are taken as they are; send it again with Content-Type: {TYPE}"
            for kind in "application/json", "", f"x{TYPE}":
                wanted(406, again, "PUT", headers={"Content-Type": kind}, body=b"x")
            wanted(406, again, "PUT", body=b"x")
            sends = {"Content-Type": TYPE}
            wanted(415, "records are taken uncompressed; send it again without Content-Encoding", "PUT", headers={**sends, "Content-Encoding": "gzip"}, body=b"x")
            wanted(411, "say in Content-Length how long the record is", "PUT", headers=sends)
            wanted(411, "say in Content-Length how long the record is", "PUT", headers={**sends, "Transfer-Encoding": "chunked"}, body=b"1\r\nx\r\n0\r\n\r\n")
            for length in "-1", "1x", "", "0x10", "99999999999999999999":
                wanted(400, "the Content-Length is no number, or stands twice", "PUT", headers={**sends, "Content-Length": length})
            wanted(400, "its protobuf is malformed", "PUT", headers=sends, body=b"\xff" * 10239)
            wanted(400, "its protobuf is malformed", "PUT", headers=sends, body=b"\xff" * 10240)
            # Refused by what it says, before a byte of it is read; the answer arrives though the client goes on sending.
            wanted(413, "a record has at most 10,240 bytes", "PUT", headers={**sends, "Content-Length": "10241"})
            wanted(413, "a record has at most 10,240 bytes", "PUT", headers=sends, body=b"x" * 1000000)
            for text in b"\r\n\r\n", b"GET /x\r\n\r\n", b"GET /x HTTP/2\r\n\r\n", b"\x16\x03\x01\n\n":
                assert self.raw(node, text)[0] == 400, text
            start = f"GET /routing/v1/ipns/x HTTP/1.1\r\nX: "
            for n, status in (8191, 400), (8192, 400), (8193, 431), (50000, 431):
                assert self.raw(node, (start + "x" * (n - len(start) - 4) + "\r\n\r\n").encode())[0] == status, n
            # A name that nobody has: looked for as long as it takes, then "not found" for a short time.
            began = time.monotonic()
            status, headers, body = self.ask(node)
            assert status == 404 and headers["cache-control"] == "public, max-age=15" and body.startswith(b"nothing found within "), body
            assert time.monotonic() - began < 15

    def pieces(self):
        """A request in pieces, one that ends in the middle, two in one connection; clients that go away while their name is looked for."""
        record = bytes.fromhex(self.vectors["js-v1v2-ed_a"]["record"])
        name = self.vectors["js-v1v2-ed_a"]["name"]
        with self.web() as node:
            text = f"PUT /routing/v1/ipns/{name} HTTP/1.1\r\nHost: x\r\nContent-Type: {TYPE}\r\nContent-Length: {len(record)}\r\n\r\n".encode() + record
            with socket.create_connection(("127.0.0.1", node.port), timeout=WITHIN) as s:
                for i in range(0, len(text), 50):
                    s.sendall(text[i:i + 50])
                    time.sleep(0.005)
                assert s.recv(100).startswith(b"HTTP/1.1 200 OK\r\n")
            with socket.create_connection(("127.0.0.1", node.port), timeout=WITHIN) as s:
                s.sendall(text[:-1])
                s.shutdown(socket.SHUT_WR)
                assert s.recv(100) == b""
            get = f"GET /routing/v1/ipns/{name} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
            status, _, body = self.raw(node, get + get)
            assert status == 200 and body == record, "a connection carries one request"
            with socket.create_connection(("127.0.0.1", node.port), timeout=WITHIN) as s:
                s.sendall(f"GET /routing/v1/ipns/{NOBODY} HTTP/1.1\r\n\r\n".encode())
                s.shutdown(socket.SHUT_WR)  # no more questions, but this one is answered
                assert s.recv(100).startswith(b"HTTP/1.1 404 ")
            for _ in range(40):
                with socket.create_connection(("127.0.0.1", node.port), timeout=WITHIN) as s:
                    s.sendall(f"GET /routing/v1/ipns/{NOBODY} HTTP/1.1\r\n\r\n".encode())
            end = time.monotonic() + WITHIN
            while True:
                with contextlib.suppress(OSError, TypeError):
                    if self.raw(node, get)[0] == 200:
                        break
                assert time.monotonic() < end
                time.sleep(0.1)

    @staticmethod
    def metrics_port(node):
        return int(re.search(r":(\d+)/metrics", node.err.line("address of the metrics").decode())[1])

    @staticmethod
    def counts(port):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=WITHIN) as got:
            return dict(re.findall(r"^((?:routing|ipns)_[a-z_]+) (\d+)$", got.read().decode(), re.M))

    def gone(self):
        """A client that goes away takes its question along, by HTTP and by the socket; what it handed in is kept, and told to nobody else."""
        record, name = bytes.fromhex(self.vectors["js-v1v2-ed_a"]["record"]), self.vectors["js-v1v2-ed_a"]["name"]

        def until(port, resolving):
            end = time.monotonic() + WITHIN / 4  # before the ten seconds of a resolve
            while (now := self.counts(port)["ipns_resolving"]) != str(resolving):
                assert time.monotonic() < end, f"{now} names are looked for, not {resolving}"
                time.sleep(0.01)

        def reset(s):
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            s.close()

        with self.web("--store", "a", "--socket", "a.sock", "--metrics", "127.0.0.1:0") as node:
            port = self.metrics_port(node)
            with nodes.cli_socket.Raw("a.sock") as c:
                for i in range(3):
                    c.send(json.dumps({"op": "ipns_resolve", "name": NOBODY, "timeout_ns": 600 * 10**9, "id": i}).encode())
                until(port, 3)
                web = [socket.create_connection(("127.0.0.1", node.port), timeout=WITHIN) for _ in range(4)]
                for s in web:
                    s.sendall(f"GET /routing/v1/ipns/{NOBODY} HTTP/1.1\r\n\r\n".encode())
                until(port, 7)
                for s in web:
                    reset(s)
                until(port, 3)
            until(port, 0)
            with socket.create_connection(("127.0.0.1", node.port), timeout=WITHIN) as idle:
                node.process.send_signal(signal.SIGSTOP)
                s = socket.create_connection(("127.0.0.1", node.port), timeout=WITHIN)
                s.sendall(f"PUT /routing/v1/ipns/{name} HTTP/1.1\r\nContent-Type: {TYPE}\r\nContent-Length: {len(record)}\r\n\r\n".encode() + record)
                reset(s)
                node.process.send_signal(signal.SIGCONT)
                self.until_kept("a.sock", name)
                idle.sendall(f"GET /routing/v1/ipns/{name} HTTP/1.1\r\n\r\n".encode())
                got = b""
                while part := idle.recv(65536):
                    got += part
                assert got.startswith(b"HTTP/1.1 200 OK\r\n") and got.endswith(record), got
            with nodes.cli_socket.Raw("a.sock") as c:
                for i in range(3):
                    c.send(json.dumps({"op": "ipns_resolve", "name": NOBODY, "timeout_ns": 600 * 10**9, "id": i}).encode())
                until(port, 3)
                node.process.send_signal(signal.SIGTERM)  # with three that wait
                node.end()

    def counted(self):
        with self.web("--metrics", "127.0.0.1:0") as node:
            port = self.metrics_port(node)
            self.ask(node, name="x")
            self.ask(node, "OPTIONS")
            self.ask(node, "POST")
            self.put(node, self.vectors["js-v1v2-ed_a"]["name"], bytes.fromhex(self.vectors["js-v1v2-ed_a"]["record"]))
            self.ask(node, name=self.vectors["js-v1v2-ed_a"]["name"])
            values = self.counts(port)
            for name, n in ("malformed", 1), ("preflights", 1), ("unknown", 1), ("puts", 1), ("taken", 1), ("gets", 1), ("found", 1), ("clients_accepted", 5):
                assert values[f"routing_{name}_total"] == str(n), (name, values)
            assert values["ipns_by_put_total"] == "1" and values["ipns_names"] == "1", values
            with open(self.manual, encoding="utf-8") as f:
                manual = f.read()
            for name in values:
                assert f"`{name}`" in manual, f"{name} is not in docs/operations.md"

    def where(self):
        def refused(code, said, *arguments):
            done = subprocess.run([self.binary, "ipns", "serve", *arguments], capture_output=True, timeout=WITHIN, stdin=subprocess.DEVNULL)
            assert (done.returncode, done.stderr.decode().split("\n")[0], done.stdout) == (code, f"meshsub ipns serve: {said}", b""), (arguments, done)
        for address in "0.0.0.0:0", "[::]:0", "192.0.2.1:9090":
            refused(2, f'--routing "{address}": can be reached from the network, by anybody; write 127.0.0.1:PORT, or --routing-open-to-network if that is meant',
                    "--routing", address)
        refused(2, '--routing "9090": not an address; write 127.0.0.1:9090 or [::1]:9090', "--routing", "9090")
        refused(2, "--routing-open-to-network is for --routing IP:PORT; give that as well", "--routing-open-to-network")
        with self.web() as node:
            refused(1, f'--routing "127.0.0.1:{node.port}": Address already in use', "--routing", f"127.0.0.1:{node.port}")

    def slow(self):
        """Who says nothing, or half a request, is gone after thirty seconds; 32 of them, and one more is refused; the names go on."""
        with self.web("--socket", "a.sock", "--store", "a") as node, contextlib.ExitStack() as stack:
            began = time.monotonic()
            held = [stack.enter_context(socket.create_connection(("127.0.0.1", node.port), timeout=2 * WITHIN)) for _ in range(32)]
            for s in held[:16]:
                s.sendall(f"PUT /routing/v1/ipns/{NOBODY} HTTP/1.1\r\nContent-Type: {TYPE}\r\nContent-Length: 10240\r\n\r\nx".encode())
            time.sleep(0.3)
            with socket.create_connection(("127.0.0.1", node.port), timeout=WITHIN) as more:
                with contextlib.suppress(ConnectionResetError):
                    assert more.recv(1) == b""
            name = self.key("site", "--socket", "a.sock")
            self.run("ipns", "publish", "site", "/ipfs/bafkqaaa", "--socket", "a.sock")
            assert self.run("ipns", "resolve", name, "--connect", node.addr) == "/ipfs/bafkqaaa\n"
            for s in held:
                with contextlib.suppress(ConnectionResetError):
                    assert s.recv(1) == b""
            assert 29 < time.monotonic() - began < 36
            assert self.ask(node, name=name)[0] == 200


def main():
    os.environ.pop("MESHSUB_SOCKET", None)
    r = Routing(os.path.abspath(sys.argv[1]))
    with open(sys.argv[2], encoding="utf-8") as f:
        r.vectors = {x["id"]: x for x in json.load(f)["vectors"]}
    r.manual = os.path.abspath(sys.argv[3])
    wanted = sys.argv[4:] or ["get", "put_all", "through", "statuses", "pieces", "gone", "counted", "where"]
    return nodes.cli_flow.run_parts([r.get, r.put_all, r.through, r.statuses, r.pieces, r.gone, r.counted, r.where, r.slow], wanted)


if __name__ == "__main__":
    sys.exit(main())
