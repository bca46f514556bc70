#!/usr/bin/env python3
"""What the meshsub command does: keys, one-shot publishers, subscribers, nodes.

usage: cli_flow.py PATH OF meshsub
"""

import base64
import contextlib
import hashlib
import json
import os
import select
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
import traceback

LOOPBACK = "/ip4/127.0.0.1/tcp/0"


WITHIN = 20  # seconds for whatever is awaited, on a machine that does much else


class Late(Exception):
    """What was awaited did not come."""


class Lines:
    """A pipe of a child, read line by line; every wait has a deadline."""

    def __init__(self, pipe, what):
        self.fd = pipe.fileno()
        self.what = what
        self.bytes = b""

    def line(self, wanted, deadline=None):
        """The next line with its newline; what is left at the end, then b""."""
        end = deadline or time.monotonic() + WITHIN
        while b"\n" not in self.bytes:
            ready, _, _ = select.select([self.fd], [], [], max(0, end - time.monotonic()))
            if not ready:
                raise Late(f"no {wanted} on {self.what} in time; the line so far: {self.bytes[:200]!r}")
            more = os.read(self.fd, 1 << 16)
            if not more:
                rest, self.bytes = self.bytes, b""
                return rest
            self.bytes += more
        line, _, self.bytes = self.bytes.partition(b"\n")
        return line + b"\n"


class Command:
    """The command as a child process with an address to connect to; killed at the end of the block."""

    def __init__(self, binary, *arguments, stdin=subprocess.DEVNULL):
        self.name = f"meshsub {arguments[0]}"
        self.process = subprocess.Popen([binary, *arguments], stdin=stdin, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, bufsize=0)
        self.out = Lines(self.process.stdout, f"{self.name}'s stdout")
        self.err = Lines(self.process.stderr, f"{self.name}'s stderr")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe:
                with contextlib.suppress(OSError):
                    pipe.close()

    def listening(self):
        """A subscriber says on stderr where it listens."""
        line = self.err.line("address").decode()
        assert ": listening on /ip4/" in line, f"stderr: {line!r}"
        return line.split()[-1]

    def line(self, wanted):
        line = self.out.line(wanted).decode()
        assert line, f"{self.name} ended before its {wanted}"
        return line.rstrip("\n")

    def feed(self, data):
        """Writes to stdin from a thread, then closes it; a child that ends early is noticed elsewhere."""
        pipe, self.process.stdin = self.process.stdin, None

        def write():
            with contextlib.suppress(OSError), open(pipe.fileno(), "wb", closefd=False) as f:
                f.write(data)
            with contextlib.suppress(OSError):
                pipe.close()

        threading.Thread(target=write, daemon=True).start()

    def end(self, code=0, within=WITHIN):
        """Waits for its end; what it wrote on stdout and nobody has read."""
        try:
            out, err = self.process.communicate(timeout=within)
        except subprocess.TimeoutExpired as e:
            wrote = {"stdout": self.out.bytes + (e.stdout or b""), "stderr": self.err.bytes + (e.stderr or b"")}
            raise Late(f"{self.name} did not end within {within} s; " +
                       ", ".join(f"{k}: {len(v)} bytes ending in {v[-100:]!r}" for k, v in wrote.items())) from None
        err = self.err.bytes + err
        assert self.process.returncode == code, f"{self.name}: exit code {self.process.returncode}, stderr: {err.decode()!r}"
        return self.out.bytes + out


class Flow:
    def __init__(self, binary):
        self.binary = binary

    def start(self, *arguments, **more):
        return Command(self.binary, *arguments, **more)

    def run(self, *arguments, code=0, stdin=b""):
        try:
            done = subprocess.run([self.binary, *arguments], input=stdin, capture_output=True, timeout=WITHIN)
        except subprocess.TimeoutExpired as e:
            raise Late(f"meshsub {' '.join(arguments)[:80]} did not end within {WITHIN} s, stderr: {e.stderr!r}") from None
        assert done.returncode == code, f"{arguments[:2]}: exit code {done.returncode}: {done.stderr.decode()!r}"
        return done.stdout.decode()

    def keys(self):
        peer = self.run("key", "new", "a.key").strip()
        assert stat.S_IMODE(os.stat("a.key").st_mode) == 0o600
        with open("a.key", "rb") as f:
            before = f.read()
        self.run("key", "new", "a.key", code=1)
        with open("a.key", "rb") as f:
            assert f.read() == before, "the key was overwritten"
        shown = json.loads(self.run("key", "show", "--json", "a.key"))
        assert shown["peer"] == peer and shown["type"] == "ed25519", shown
        assert shown["public_key"].startswith("08011220") and len(shown["public_key"]) == 72, shown
        assert peer in self.run("key", "show", "a.key")
        raw = subprocess.run([self.binary, "key", "new", "--stdout"], capture_output=True, check=True,
                             timeout=WITHIN).stdout
        assert raw.startswith(b"\x08\x01\x12\x40") and len(raw) == 68, raw
        with open("secret", "w") as f:
            f.write("a passphrase\nand more\n")
        for kind in ("ed25519", "secp256k1", "ecdsa", "rsa"):
            peer = self.run("key", "new", "--type", kind, "--bits", "2048", f"{kind}.key").strip()
            pem = self.run("key", "export", f"{kind}.key", "-")
            assert pem.startswith("-----BEGIN PRIVATE KEY-----\n"), pem
            self.run("key", "export", f"{kind}.key", f"{kind}.pem", "--passphrase", "secret")
            assert stat.S_IMODE(os.stat(f"{kind}.pem").st_mode) == 0o600
            self.run("key", "export", f"{kind}.key", f"{kind}.pem", code=1)  # never overwritten
            self.run("key", "import", f"{kind}.pem", f"{kind}-2.key", code=1)  # no passphrase
            again = json.loads(self.run("key", "import", f"{kind}.pem", f"{kind}-2.key", "--passphrase", "secret", "--json"))
            assert again["peer"] == peer and again["type"] == kind, again
            with open(f"{kind}.key", "rb") as a, open(f"{kind}-2.key", "rb") as b:
                assert a.read() == b.read()

    def text(self):
        with self.start("sub", "news", "--listen", LOOPBACK, "--count", "2") as sub:
            to = sub.listening()
            said = self.run("pub", "news", "h\u00e9llo\t\"x\"", "--connect", to)
            assert said == "published 1 message to 1 peer\n", said
            self.run("pub", "--connect", to, "news", "")
            lines = sub.end().decode().split("\n")
            assert lines == [r"h\xc3\xa9llo\x09\"x\"", "", ""], lines

    def signed_json(self):
        peer = self.run("key", "new", "pub.key").strip()
        data = [b"one", b"", "z\u00fcrich".encode(), b"\xff\x00\xfe", b"one"]
        with self.start("sub", "news", "other", "--json", "--listen", LOOPBACK, f"--count={len(data)}") as sub:
            to = sub.listening()
            said = json.loads(self.run("pub", "news", "-", "--key", "pub.key", "--connect", to, "--json",
                                       stdin=b"\n".join(data)))
            assert said == {"topic": "news", "published": len(data), "recipients": 1}, said
            messages = [json.loads(line) for line in sub.end().splitlines()]
        got = [m["data"].encode() if "data" in m else base64.b64decode(m["data_base64"]) for m in messages]
        assert sorted(got) == sorted(data), got  # signatures are verified in parallel
        assert [("data_base64" in m) for m in messages] == [b"\xff" in d for d in got]
        assert len({m["id"] for m in messages}) == len(data)
        for m in messages:
            assert m["topic"] == "news" and m["from"] == peer and m["received_from"] == peer, m
            assert m["id"].endswith(m["seqno"]) and len(m["seqno"]) == 16, m
            assert abs(m["ns"] / 1e9 - time.time()) < 60, m

    def batch(self):
        """Batches of stdin's lines: full ones, a rest, long lines, and what is there when nothing follows."""
        for lines, batch in (([f"{i:05}".encode() for i in range(1000)], "64"), ([b"x", b"", b"y"], "4096"), ([b"%d" % i * 300000 for i in range(12)], "10")):
            with self.start("sub", "news", "--json", "--listen", LOOPBACK, "--count", str(len(lines))) as sub:
                with self.start("pub", "news", "-", "--batch", batch, "--json", "--connect", sub.listening(), stdin=subprocess.PIPE) as pub:
                    pub.feed(b"\n".join(lines))
                    got = [json.loads(line)["data"].encode() for line in sub.end().splitlines()]
                    said = json.loads(pub.end())
                assert said == {"topic": "news", "published": len(lines), "recipients": 1}, said
                assert sorted(got) == sorted(lines), f"batches of {batch}: {len(got)} of {len(lines)} lines"
        with self.start("sub", "news", "--listen", LOOPBACK, "--count", "3") as sub:
            with self.start("pub", "news", "-", "--batch", "100", "--connect", sub.listening(), stdin=subprocess.PIPE) as pub:
                for line in (b"one\n", b"two\n"):
                    pub.process.stdin.write(line)
                    assert sub.out.line("message") == line  # though the batch is not full
                pub.feed(b"three\n")
                assert sub.end() == b"three\n"
                assert pub.end() == b"published 3 messages to 1 peer\n"

    def gater(self):
        """A node with the gater forwards as usual while there is room."""
        with self.start("node", "--topic", "t", "--gater=threshold=0.1,quiet=10s,retain=1m,reject_weight=20", "--trace") as node:
            to = node.line("address").strip()
            with self.start("sub", "t", "--connect", to, "--count", "1") as sub:
                while not node.line("mesh").startswith("grafted "):
                    pass
                self.run("pub", "t", "x", "--connect", to)
                assert sub.end() == b"x\n"

    def anonymous(self):
        with self.start("sub", "news", "--json", "--unsigned", "--listen", LOOPBACK, "--count", "1") as sub:
            self.run("pub", "news", "hello", "--unsigned", "--connect", sub.listening())
            m = json.loads(sub.end())
        assert m["from"] == "" and m["seqno"] == "", m
        assert m["id"] == hashlib.sha256(b"hello").hexdigest(), m

    def slow_reader(self):
        """A subscriber whose stdout nobody reads for a while loses nothing."""
        count = 20000
        text = b"".join(b"%06d %s\n" % (i, b"x" * 1000) for i in range(count))
        with self.start("sub", "flood", "--listen", LOOPBACK, "--count", str(count)) as sub:
            to = sub.listening()
            with self.start("pub", "flood", "-", "--timeout", "30s", "--connect", to, stdin=subprocess.PIPE) as pub:
                pub.feed(text)
                time.sleep(1.5)
                end = time.monotonic() + 2 * WITHIN
                got = [False] * count
                for i in range(count):
                    line = sub.out.line(f"line {i + 1} of {count}", end)
                    assert line, f"the subscriber ended after {i} of {count} lines"
                    assert not got[int(line[:6])], f"line {line[:6]!r} came twice"
                    got[int(line[:6])] = True
                assert pub.end() == b"published %d messages to 1 peer\n" % count
            assert sub.end() == b""

    def last_words(self):
        """What a publisher sent before it ended arrives, although the subscriber was busy and verifies it late."""
        count = 6000  # more than are verified at a time; their text fits a pipe
        with self.start("sub", "t", "--listen", LOOPBACK, f"--count={count}") as sub:
            with self.start("pub", "t", "-", "--connect", sub.listening(), stdin=subprocess.PIPE) as pub:
                time.sleep(0.5)  # they connect
                sub.process.send_signal(signal.SIGSTOP)
                pub.feed(b"".join(b"%06d\n" % i for i in range(count)))
                time.sleep(0.5)
                sub.process.send_signal(signal.SIGCONT)
                end = time.monotonic() + WITHIN
                numbers = sorted(int(sub.out.line(f"line {i + 1} of {count}", end)[:6]) for i in range(count))
                assert numbers == list(range(count)), "not each line once"
                assert pub.end() == b"published %d messages to 1 peer\n" % count
            assert sub.end() == b""

    def relay(self):
        """Lines from a node's stdin pass another node to a subscriber; both nodes run on until SIGTERM."""
        with contextlib.ExitStack() as stack:
            middle = stack.enter_context(self.start("node", "--topic", "t", "--json", "--trace"))
            listening = json.loads(middle.line("address"))
            assert listening["ev"] == "listening" and listening["addr"].endswith("/p2p/" + listening["peer"])
            to = listening["addr"]
            sub = stack.enter_context(self.start("sub", "t", "--connect", to, "--count", "50"))
            while json.loads(middle.line("graft"))["ev"] != "graft":  # from here on the mesh carries messages on
                pass
            first = stack.enter_context(self.start("node", "--publish", "t", "--connect", to, stdin=subprocess.PIPE))
            assert first.line("peer id").startswith("/p2p/12D3")
            while not first.line("subscription").startswith("joined "):
                pass
            first.feed(b"".join(b"line %d\n" % i for i in range(50)))
            assert sorted(sub.end().split(b"\n")[:-1]) == sorted(b"line %d" % i for i in range(50))
            events = []
            while len([e for e in events if e["ev"] == "message"]) < 50:
                events.append(json.loads(middle.line("message")))
            assert {"connected", "pubsub", "topic_join"} <= {e["ev"] for e in events}, events
            time.sleep(0.2)
            for node in (first, middle):
                assert node.process.poll() is None, "the node ended by itself"
                began = time.monotonic()
                node.process.send_signal(signal.SIGTERM)
                node.end()
                assert time.monotonic() - began < 2, "SIGTERM took longer than 2 s"

    def relay_only(self):
        """A node passes a topic on without printing it, and keeps of what peers announce only what is allowed."""
        with contextlib.ExitStack() as stack:
            middle = stack.enter_context(self.start("node", "--relay", "t", "--json", "--trace", "--topics-allow", "t", "--topics-regex", "u[0-9]"))
            to = json.loads(middle.line("address"))["addr"]
            sub = stack.enter_context(self.start("sub", "t", "x", "u1", "--connect", to, "--count", "20"))
            events = [json.loads(middle.line("event"))]
            while events[-1]["ev"] != "graft":  # from here on the mesh carries messages on
                events.append(json.loads(middle.line("graft")))
            assert {e["topic"] for e in events if "topic" in e} == {"t"}, events
            text = "".join(f"line {i}\n" for i in range(20)).encode()
            said = self.run("pub", "t", "-", "--connect", to, stdin=text)
            assert said == "published 20 messages to 1 peer\n", said
            assert sorted(sub.end().split(b"\n")[:-1]) == sorted(b'"t": line %d' % i for i in range(20))
            middle.process.send_signal(signal.SIGTERM)
            events += [json.loads(line) for line in middle.end().splitlines()]
            assert not [e for e in events if e["ev"] == "message"], events

    def patience(self):
        """A publisher waits for a subscriber that comes later; a subscriber finds a node that starts later."""
        with self.start("pub", "t", "late", "--listen", LOOPBACK) as pub:
            to = pub.listening()
            time.sleep(0.3)
            assert self.run("sub", "t", "--connect", to, "--count", "1") == "late\n"
            assert pub.end() == b"published 1 message to 1 peer\n"
        port = to.split("/")[4]
        with self.start("sub", "t", "--connect", f"/ip4/127.0.0.1/tcp/{port}", "--count", "1") as sub:
            assert b"trying again" in sub.err.line("failed connection")
            self.run("pub", "t", "x", "--listen", f"/ip4/127.0.0.1/tcp/{port}")
            assert sub.end() == b"x\n"

    def limits(self):
        with self.start("sub", "t", "--listen", LOOPBACK) as sub:
            to = sub.listening()
            self.run("pub", "t", "-", "--connect", to, code=1, stdin=b"y" * (1 << 20) + b"yy\n")
            with self.start("pub", "t", "-", "--connect", to, stdin=subprocess.PIPE) as pub:
                pub.feed(b"y" * 1000000)
                assert len(sub.out.line("long line")) == 1000001
                pub.end()
            sub.process.send_signal(signal.SIGINT)
            sub.end()
        began = time.monotonic()
        self.run("node", "--seconds", "1")
        assert 0.9 < time.monotonic() - began < 3


    def mesh(self):
        """A node with a peer in its mesh, a floodsub peer and a direct one: who is grafted, and that all get all."""
        with contextlib.ExitStack() as stack:
            peers = [self.run("key", "new", f"{name}.key").strip() for name in ("mesh", "flood", "direct")]
            with socket.socket() as s:
                s.bind(("127.0.0.1", 0))
                port = s.getsockname()[1]
            listen = f"/ip4/127.0.0.1/tcp/{port}"
            node = stack.enter_context(self.start(
                "node", "--topic", "t", "--trace", "--json", "--d", "2", "--dlo=1", "--dhi=3", "--heartbeat", "100ms",
                "--px", "--listen", LOOPBACK, "--direct", f"{listen}/p2p/{peers[2]}"))
            to = json.loads(node.process.stdout.readline())["addr"]
            subs = [stack.enter_context(self.start("sub", "t", "--count", "3", "--key", *more)) for more in (
                ["mesh.key", "--connect", to],
                ["flood.key", "--connect", to, "--router=floodsub"],
                ["direct.key", "--listen", listen, "--direct", to])]
            joined, grafted = set(), set()
            while joined != set(peers) or peers[0] not in grafted:
                e = json.loads(node.process.stdout.readline())
                if e["ev"] in ("topic_join", "graft"):
                    (joined if e["ev"] == "topic_join" else grafted).add(e["peer"])
            assert grafted == {peers[0]}, f"{grafted} of {peers}"
            for text, more in (("one", []), ("two", ["--router", "floodsub"]), ("three", ["--router", "randomsub", "--network", "9"])):
                self.run("pub", "t", text, "--connect", to, *more)
            for sub in subs:
                assert sorted(sub.end(0, 30).split()) == [b"one", b"three", b"two"]
            while True:
                e = json.loads(node.process.stdout.readline())
                assert e["ev"] != "graft", e
                if e["ev"] == "prune":
                    break
            assert e["peer"] == peers[0] and e["topic"] == "t", e
            node.process.send_signal(signal.SIGTERM)
            node.end()

    def trace_file(self):
        """Everything that happens goes into the file, and not onto stdout."""
        with contextlib.ExitStack() as stack:
            node = stack.enter_context(self.start("node", "--topic", "t", "--json", "--trace=a.jsonl"))
            to = json.loads(node.line("address"))["addr"]
            pub = stack.enter_context(self.start("pub", "t", "text", "--connect", to))
            pub.end()
            while json.loads(node.line("message"))["ev"] != "message":
                pass
            node.process.send_signal(signal.SIGTERM)
            assert b'"graft"' not in node.end()
        with open("a.jsonl", encoding="utf-8") as f:
            events = [json.loads(line) for line in f]
        kinds = [e["ev"] for e in events]
        assert kinds[0] == "join" and {"add_peer", "recv_rpc", "send_rpc", "deliver"} <= set(kinds), kinds
        assert events[0]["topic"] == "t" and len({e["node"] for e in events}) == 1


def run_parts(parts, wanted=()):
    """Each in a folder of its own. The exit status."""
    failed = 0
    for part in parts:
        if wanted and part.__name__ not in wanted:
            continue
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            began = time.monotonic()
            try:
                part()
                print(f"ok {part.__name__} ({time.monotonic() - began:.2f} s)", flush=True)
            except Exception as e:  # the others still run
                failed += 1
                line = traceback.extract_tb(e.__traceback__)[-1].lineno
                print(f"not ok {part.__name__}: line {line}: {type(e).__name__}: {str(e)[:1200]}", flush=True)
            os.chdir("/")
    return 1 if failed else 0


def main():
    flow = Flow(os.path.abspath(sys.argv[1]))
    return run_parts([flow.keys, flow.text, flow.signed_json, flow.batch, flow.gater, flow.anonymous, flow.relay, flow.relay_only, flow.patience,
                      flow.limits, flow.last_words, flow.slow_reader, flow.mesh, flow.trace_file], sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
