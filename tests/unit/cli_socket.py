#!/usr/bin/env python3
"""The local application socket: the protocol by a raw client and by the example, and the subcommands that use it.

usage: cli_socket.py PATH OF meshsub, FOLDER OF examples
"""

import contextlib
import json
import os
import re
import signal
import socket
import stat
import struct
import subprocess
import sys
import time
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import cli_flow  # noqa: E402  the children, with deadlines

WITHIN = cli_flow.WITHIN


class Raw:
    """A client that sends whatever it is told to."""

    def __init__(self, path="n.sock", hello=True):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(WITHIN)
        self.socket.connect(path)
        self.stream = self.socket.makefile("rb")
        self.greeting = self.frame() if hello is not None else None
        if hello:
            assert self.ask({"op": "hello", "version": 1})["ok"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stream.close()
        self.socket.close()

    def frame(self):
        head = self.stream.read(4)
        if not head:
            return None
        text = self.stream.read(struct.unpack(">I", head)[0])
        return json.loads(text)

    def send(self, text):
        self.socket.sendall(struct.pack(">I", len(text)) + text)

    def ask(self, request, events=None):
        self.send(json.dumps({"id": "x", **request}).encode())
        while True:
            frame = self.frame()
            assert frame is not None, f"closed, instead of an answer to {request}"
            if frame.get("id") == "x":
                return frame
            if events is not None:
                events.append(frame)

    def event(self, wanted):
        while True:
            frame = self.frame()
            assert frame is not None, f"closed, instead of {wanted}"
            if frame.get("ev") == wanted:
                return frame

    def ended(self):
        return self.stream.read() == b""


class Socket(cli_flow.Flow):
    def __init__(self, binary, examples):
        super().__init__(binary)
        self.examples = examples

    def node(self, *more, path="n.sock"):
        command = self.start("node", "--quiet", "--socket", path, *more)
        command.addr = command.line("address")
        return command

    def until(self, what, check):
        end = time.monotonic() + WITHIN
        while not check():
            assert time.monotonic() < end, f"not in time: {what}"
            time.sleep(0.05)

    def refused(self, code, said, *arguments):
        done = subprocess.run([self.binary, *arguments], capture_output=True, timeout=WITHIN, stdin=subprocess.DEVNULL)
        text = done.stderr.decode()
        assert (done.returncode, text, done.stdout) == (code, said, b""), (arguments, done.returncode, text, done.stdout)

    def one_holder(self):
        """Mode 0600; a second process is refused with the first one's pid; what a killed one left is taken over; nothing is left behind."""
        for umask in (0o000, 0o077):
            before = os.umask(umask)
            with self.node() as node:
                os.umask(before)
                mode = os.stat("n.sock").st_mode
                assert stat.S_ISSOCK(mode) and stat.S_IMODE(mode) == 0o600, oct(mode)
                self.refused(1, f'meshsub node: --socket "n.sock": held by process {node.process.pid}; stop it, or choose another path\n',
                             "node", "--socket", "n.sock")
                with Raw() as c:
                    assert c.greeting["pid"] == node.process.pid
                node.process.kill()
                node.process.wait()
                assert os.path.exists("n.sock"), "a killed process cleans nothing up"
            with self.node() as node:
                with Raw() as c:
                    assert c.greeting["pid"] == node.process.pid
                node.process.send_signal(signal.SIGTERM)
                node.end()
            assert not os.path.exists("n.sock") and not os.path.exists("n.sock.lock")

    def other_things_there(self):
        open("file", "w").close()
        self.refused(1, 'meshsub node: --socket "file": exists and is no socket; take it away, or choose another path\n', "node", "--socket", "file")
        assert os.path.exists("file") and not os.path.exists("file.lock")
        with socket.socket(socket.AF_UNIX) as other:
            other.bind("other.sock")
            other.listen()
            self.refused(1, f'meshsub node: --socket "other.sock": held by process {os.getpid()}; stop it, or choose another path\n',
                         "node", "--socket", "other.sock")
        os.unlink("other.sock")
        self.refused(1, 'meshsub node: --socket "no/such/folder": its lock cannot be made: No such file or directory\n', "node", "--socket", "no/such/folder")
        long = "x" * 108
        self.refused(1, f'meshsub node: --socket "{long}": a socket\'s path has 1 to 107 bytes; choose a shorter one\n', "node", "--socket", long)
        self.refused(1, 'meshsub peers: --socket "gone.sock": no node serves it (No such file or directory); start one with "meshsub node --socket PATH"\n',
                     "peers", "--socket", "gone.sock")
        self.refused(2, 'meshsub peers: --socket PATH is missing: the one that "meshsub node --socket PATH" serves\nusage: meshsub peers [options]\n'
                     'Run "meshsub peers --help" for the options.\n', "peers")

    def greeting_and_errors(self):
        with self.node() as node:
            with Raw(hello=False) as c:
                g = c.greeting
                assert g["ev"] == "hello" and g["versions"] == [1] and g["peer"].startswith("12D3") and g["max_frame"] == 2 << 20, g
                answer = c.ask({"op": "peers"})
                assert not answer["ok"] and answer["code"] == "state" and c.ended(), answer
            for version, code in (2, "unsupported"), ("1", "inval"), (None, "inval"):
                with Raw(hello=False) as c:
                    answer = c.ask({"op": "hello", "version": version})
                    assert not answer["ok"] and answer["code"] == code and c.ended(), answer
            for text in b"", b"[]", b"{", b'{"a":1,"a":2}', b"\xff", b'{"op":"hello","version":1}x', b"[" * 100000:
                with Raw(hello=False) as c:
                    c.send(text)
                    assert c.frame()["ev"] == "error" and c.ended(), text[:20]
            with Raw() as c:  # the largest frame, and one byte more
                text = b'{"id":"x","op":"peers","pad":"'
                c.send(text + b"y" * ((2 << 20) - len(text) - 2) + b'"}')
                assert c.frame()["ok"]
                c.send(text + b"y" * ((2 << 20) - len(text) - 3) + b'"}')
                assert c.frame()["ok"]
                c.socket.sendall(struct.pack(">I", (2 << 20) + 1))
                assert c.frame()["ev"] == "error" and c.ended()
            with Raw() as c:
                for request, code in [
                        ({}, "inval"), ({"op": "frob"}, "unsupported"), ({"op": "publish", "topic": "t"}, "inval"),
                        ({"op": "publish", "data": "t"}, "inval"), ({"op": "publish", "topic": "t", "data": "x", "data_base64": "eA=="}, "inval"),
                        ({"op": "publish", "topic": "t", "data_base64": "eA="}, "inval"), ({"op": "publish", "topic": "", "data": "x"}, "inval"),
                        ({"op": "publish", "topic": "t" * 257, "data": "x"}, "inval"), ({"op": "publish", "topic_hex": "4", "data": "x"}, "inval"),
                        ({"op": "publish", "topic": "t", "data": "x", "wait": -1}, "inval"), ({"op": "publish", "topic": "t", "data": "x", "wait": 1}, "late"),
                        ({"op": "publish", "topic": "t", "data": "x" * 1048577}, "limit"),
                        ({"op": "subscribe"}, "inval"), ({"op": "unsubscribe", "topic": "t"}, "notfound"), ({"op": "credit"}, "inval"),
                        ({"op": "credit", "n": 65537}, "inval"), ({"op": "credit", "n": -1}, "inval"), ({"op": "mesh", "topic": "elsewhere"}, "notfound"),
                        ({"op": "connect"}, "inval"), ({"op": "connect", "addr": "x"}, "malformed"), ({"op": "connect", "addr": node.addr}, "refused"),
                        ({"op": "connect", "addr": "/ip4/127.0.0.1/tcp/1"}, "failed"), ({"op": "disconnect"}, "inval"),
                        ({"op": "disconnect", "peer": "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN"}, "notfound"),
                        ({"op": "log"}, "inval"), ({"op": "log", "level": "loud"}, "inval"), ({"op": "events", "on": 1}, "inval")]:
                    answer = c.ask(request)
                    assert not answer["ok"] and answer["code"] == code and answer["error"], (str(request)[:100], answer)
                assert c.ask({"op": "publish", "topic_hex": "00ff", "data_base64": "AP8="}) == {"id": "x", "ok": True, "recipients": 0}
                assert [t["topic_hex"] for t in c.ask({"op": "topics"})["topics"] if "topic_hex" in t] == ["00ff"]
                for n, credit in (65535, 65535), (1, 65536), (1, 65536):
                    assert c.ask({"op": "credit", "n": n})["credit"] == credit
            assert node.process.poll() is None

    def topics_of_a_client(self):
        """256 topics, and one more; they end with the client."""
        with self.node(), Raw() as other:
            with Raw() as c:
                for i in range(256):
                    assert c.ask({"op": "subscribe", "topic": f"t{i}"})["ok"], i
                assert c.ask({"op": "subscribe", "topic": "t0"})["ok"], "twice is once"
                assert c.ask({"op": "publish", "topic": "t0", "data": "x"})["ok"]
                for op in {"op": "subscribe"}, {"op": "publish", "data": "x"}:
                    assert c.ask({**op, "topic": "more"})["code"] == "limit"
                assert c.ask({"op": "unsubscribe", "topic": "t255"})["ok"] and c.ask({"op": "subscribe", "topic": "more"})["ok"]
                assert len(other.ask({"op": "topics"})["topics"]) == 256
            self.until("the end of its topics", lambda: not any(t["joins"] or t["opens"] for t in other.ask({"op": "topics"})["topics"]))

    def bursts(self):
        """Many requests in one write, more than are answered in a turn, come back in order; 16 dials are under way, and no more."""
        with self.node(), Raw() as c:
            c.socket.sendall(b"".join(struct.pack(">I", len(t)) + t for t in (b'{"id":%d,"op":"credit","n":0}' % i for i in range(1000))))
            assert [c.frame()["id"] for _ in range(1000)] == list(range(1000))
            with socket.create_server(("127.0.0.1", 0), backlog=64) as mute:
                addr = f"/ip4/127.0.0.1/tcp/{mute.getsockname()[1]}"
                for i in range(18):
                    c.send(json.dumps({"id": i, "op": "connect", "addr": addr}).encode())
                assert c.ask({"op": "credit", "n": 0}, early := []) and sorted(e["id"] for e in early) == [16, 17], early
                assert all(e["code"] == "limit" for e in early), early
            with Raw() as other:
                assert other.ask({"op": "peers"})["peers"] == []

    def credit(self):
        """Messages come as far as credit goes; what does not is counted, and told."""
        with self.node(), Raw() as pub, Raw() as sub:
            assert sub.ask({"op": "subscribe", "topic": "t"})["ok"]
            for i in range(3):
                pub.ask({"op": "publish", "topic": "t", "data": f"lost {i}"})
            answer = sub.ask({"op": "credit", "n": 2})
            assert (answer["credit"], answer["dropped"]) == (2, 3), answer
            for i in range(4):
                pub.ask({"op": "publish", "topic": "t", "data": f"m{i}"})
            assert sub.frame() == {"ev": "dropped", "n": 3}
            first = sub.frame()
            assert (first["ev"], first["topic"], first["data"], first["received_from"]) == ("message", "t", "m0", ""), first
            assert len(first["id"]) == 92 and len(first["seqno"]) == 16 and first["from"].startswith("12D3"), first
            assert sub.frame()["data"] == "m1"
            assert sub.ask({"op": "credit", "n": 1})["dropped"] == 5
            pub.ask({"op": "publish", "topic": "t", "data_base64": "AP8="})
            assert sub.frame() == {"ev": "dropped", "n": 2} and sub.frame()["data_base64"] == "AP8="
            assert sub.ask({"op": "unsubscribe", "topic": "t"})["ok"]
            pub.ask({"op": "publish", "topic": "t", "data": "left"})
            assert sub.ask({"op": "credit", "n": 1})["dropped"] == 5

    def does_not_read(self):
        """A client that does not read loses messages of its own; the node, its peers and the other clients go on."""
        size, count = 50000, 400
        with self.node() as node, Raw() as slow, Raw() as good, Raw() as pub:
            for c in slow, good:
                c.ask({"op": "credit", "n": 65536})
                c.ask({"op": "subscribe", "topic": "t"})
            with self.start("sub", "t", "--connect", node.addr, "--count", str(count)) as peer:
                self.until("the peer's subscription", lambda: pub.ask({"op": "publish", "topic": "u", "data": "x"}) and
                           any(t.get("topic") == "t" and t["announced"] for t in pub.ask({"op": "topics"})["topics"]))
                for i in range(count):
                    began = time.monotonic()
                    assert pub.ask({"op": "publish", "topic": "t", "data": "%06d" % i + "x" * size})["ok"]
                    assert time.monotonic() - began < 5
                    assert good.event("message")["data"].startswith("%06d" % i)
                    peer.out.line(f"line {i}")
                assert peer.end() == b""
            for _ in range(60):  # requests are not answered either; they cost no memory, and do no harm
                slow.socket.settimeout(0.02)
                with contextlib.suppress(socket.timeout):
                    slow.send(b'{"op":"state","pad":"' + b"y" * 20000 + b'"}')
            rss = int(re.search(r"VmRSS:\s+(\d+)", open(f"/proc/{node.process.pid}/status").read())[1])
            assert rss < 60000 or os.environ.get("MESHSUB_SANITIZE"), f"{rss} KiB"  # sanitizers keep what was freed
            assert good.ask({"op": "credit", "n": 0})["dropped"] == 0
            slow.socket.settimeout(WITHIN)
            got = 0
            while (frame := slow.frame())["ev"] == "message":
                assert frame["data"].startswith("%06d" % got)
                got += 1
                if got == 20:
                    break
            assert pub.ask({"op": "publish", "topic": "t", "data": "last"})["ok"]
            assert 0 < slow.event("dropped")["n"] < count

    def stalled(self):
        """A client that takes no byte for a minute while some wait is closed, and counted, as what it lost is; who waits for nothing stays."""
        with self.node("--metrics", "127.0.0.1:0") as node, Raw() as slow, Raw() as idle, Raw() as pub:
            url = node.err.line("metrics").decode().split()[-1]

            def count(name):
                with urllib.request.urlopen(url, timeout=WITHIN) as answer:
                    return int(re.search(rf"^socket_{name} (\d+)$", answer.read().decode(), re.M)[1])
            slow.ask({"op": "credit", "n": 65536})
            slow.ask({"op": "subscribe", "topic": "t"})
            for _ in range(100):
                assert pub.ask({"op": "publish", "topic": "t", "data": "x" * 50000})["ok"]
            began = time.monotonic()
            assert count("clients") == 3 and count("messages_dropped_total") > 50 and count("clients_stalled_total") == 0
            while count("clients_stalled_total") == 0:
                assert time.monotonic() - began < 60 + WITHIN
                time.sleep(0.5)
            assert time.monotonic() - began > 55
            assert count("clients") == 2 and idle.ask({"op": "credit", "n": 0})["ok"] and pub.ask({"op": "credit", "n": 0})["ok"]

    def many_clients(self):
        """32 clients, and one more, which is closed; it gets in when one leaves."""
        with self.node(), contextlib.ExitStack() as stack:
            clients = [stack.enter_context(Raw()) for _ in range(31)]
            clients.append(stack.enter_context(Raw()))
            with Raw(hello=None) as more:
                assert more.ended()
            clients[0].__exit__()

            def comes_in():
                with Raw(hello=None) as c:
                    return c.frame() is not None
            self.until("a place", comes_in)

    def commands(self):
        """pub, sub, peers, topics, mesh, connect, disconnect, log, state."""
        with self.node("--topic", "t", path="a.sock") as a, self.node("--heartbeat", "100ms", path="b.sock") as b:
            there = {"A": ["--socket", "a.sock"], "B": ["--socket", "b.sock"]}
            id_of_b = b.addr.split("/p2p/")[1]
            with self.start("log", "--events", "--level", "trace", "--json", *there["A"]) as log:
                said = ""
                with self.start("sub", "t", "--json", "--count", "2", *there["B"]) as sub:
                    self.until("b's topic", lambda: '"t": joined' in self.run("topics", *there["B"]))
                    self.refused(1, "meshsub connect: malformed input\n", "connect", "nowhere", *there["A"])
                    self.refused(1, "meshsub disconnect: not connected to this peer\n", "disconnect", id_of_b, *there["A"])
                    assert self.run("connect", b.addr, *there["A"]) == f"connected {id_of_b}\n"
                    self.until("the mesh", lambda: f"  {id_of_b} mesh" in self.run("mesh", "t", *there["A"]))
                    peers = [json.loads(x) for x in self.run("peers", "--json", *there["A"]).splitlines()]
                    assert len(peers) == 1 and peers[0]["peer"] == id_of_b and peers[0]["outbound"] and peers[0]["protocol"] == "/meshsub/1.3.0", peers
                    assert self.run("peers", *there["A"]).startswith(f"{id_of_b} to {b.addr} /meshsub/1.3.0 \"meshsub/")
                    assert self.run("topics", *there["A"]) == '"t": joined, 1 peers, 1 in the mesh, 0 messages cached\n'
                    os.environ["MESHSUB_SOCKET"] = "a.sock"
                    assert json.loads(self.run("peers", "--json"))["peer"] == id_of_b
                    del os.environ["MESHSUB_SOCKET"]
                    assert self.run("pub", "t", "one", *there["A"]) == "published 1 message to 1 peer\n"
                    assert json.loads(self.run("pub", "t", "-", "--json", *there["A"], stdin=b"\xfftwo\n")) == {"topic": "t", "published": 1, "recipients": 1}
                    got = [json.loads(x) for x in sub.end().splitlines()]
                    assert [m.get("data") for m in got] == ["one", None] and got[1]["data_base64"] == "/3R3bw==", got
                    assert got[0]["received_from"] == a.addr.split("/p2p/")[1], got
                state = json.loads(self.run("state", "--json", *there["A"]))
                assert state["peer"] == a.addr.split("/p2p/")[1] and [s["peer"] for s in state["sessions"]] == [id_of_b], state
                assert json.loads(self.run("state", *there["A"]))["peer"] == state["peer"]
                with self.start("mesh", "--watch", "--every", "100ms", "--json", *there["A"]) as watch:
                    for _ in range(3):
                        assert json.loads(watch.line("topic"))["topic"] == "t"
                    watch.process.send_signal(signal.SIGINT)
                    watch.end()
                self.run("disconnect", id_of_b, *there["A"])
                self.until("the end of the connection", lambda: self.run("peers", *there["A"]) == "")
                with self.start("sub", "u", "--timeout", "300ms", "--count", "1", *there["B"]) as sub:
                    assert sub.end(code=3) == b""
                self.refused(3, 'meshsub pub: fewer than 1 subscribers of "nobody" within 200ms; start them, or raise --timeout\n',
                             "pub", "nobody", "x", "--timeout", "200ms", *there["A"])
                while '"disconnected"' not in said:
                    said = log.line("event")
                log.process.send_signal(signal.SIGINT)
                log.end()

    def example(self):
        """The forty lines of Python."""
        with self.node() as node:
            client = [sys.executable, os.path.join(self.examples, "socket_client.py"), "n.sock", "t"]
            sub = subprocess.Popen(client, stdout=subprocess.PIPE, bufsize=0)
            try:
                out = cli_flow.Lines(sub.stdout, "the example's stdout")
                self.until("its subscription", lambda: '"t": joined' in self.run("topics", "--socket", "n.sock"))
                assert subprocess.check_output([*client, "h\u00e9llo"], timeout=WITHIN) == b"published to 0 peers\n"
                assert out.line("message") == "h\u00e9llo\n".encode()
                self.run("pub", "t", "-", "--connect", node.addr, stdin=b"".join(b"%d\n" % i for i in range(200)))
                got = {int(out.line("message")) for _ in range(60)}
                assert len(got) == 60 and got <= set(range(200)), got
            finally:
                sub.kill()
                sub.wait()
                sub.stdout.close()
        lines = open(os.path.join(self.examples, "socket_client.py")).read().split('"""\n')[1].splitlines()
        assert len([x for x in lines if x.strip()]) <= 42, "it is said to be short"


def main():
    s = Socket(os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2]))
    os.environ.pop("MESHSUB_SOCKET", None)
    if "stalled" in sys.argv[3:]:  # takes a minute
        return cli_flow.run_parts([s.stalled])
    return cli_flow.run_parts([s.one_holder, s.other_things_there, s.greeting_and_errors, s.topics_of_a_client, s.bursts, s.credit, s.does_not_read,
                               s.many_clients, s.commands, s.example], sys.argv[3:])


if __name__ == "__main__":
    sys.exit(main())
