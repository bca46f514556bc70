#!/usr/bin/env python3
"""js-libp2p in a page of headless Chromium, over WebSocket: it dials us and joins a topic, messages of 1 B to 900 KiB go both ways.

usage: browser_js.py PATH OF meshsub-peer [WORD...]
Exit status: 0 all passed, 1 a case failed, 77 there is no Chromium (or what MESHSUB_CHROMIUM names), or the js peer cannot be built here.
"""

import contextlib
import hashlib
import http.server
import json
import os
import pathlib
import queue
import shutil
import subprocess
import sys
import tempfile
import threading

from control import Node
from gopeer import peer
from gossipsub_go import TOPIC, payload, wait
from transfer import KIB, check, run_cases

PROGRAMS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
WITHIN = 60
SIZES = ((8, 1), (40, KIB), (10, 64 * KIB), (3, 900 * KIB))
PAGE = b"<!doctype html><meta charset=utf-8><title>meshsub</title><script type=module src=/page.js></script>"


class Server(http.server.ThreadingHTTPServer):
    """Serves the page, and hands it what it shall do: each answer of the page is the body of its next question."""

    daemon_threads = True

    def __init__(self, script):
        self.script, self.orders, self.answers = script, queue.Queue(), queue.Queue()
        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def say(self, kind, data):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        if self.path == "/":
            self.say("text/html", PAGE)
        elif self.path == "/page.js":
            self.say("text/javascript", self.server.script)
        else:
            self.send_error(404)

    def do_POST(self):
        self.server.answers.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.say("application/json", json.dumps(self.server.orders.get()).encode())


class Browser(contextlib.ExitStack):
    """One page; request() as that of a Node."""

    def __init__(self, program, script):
        super().__init__()
        self.number = 0
        try:
            self.server = Server(script)
            self.callback(self.server.server_close)
            self.callback(self.server.shutdown)
            profile = self.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
            self.log = self.enter_context(open(os.path.join(profile, "stderr"), "w+"))
            # Its sandbox does not work for root; without a port for a debugger the shell would end when the page is loaded.
            options = ["--headless", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--remote-debugging-port=0", f"--user-data-dir={profile}"]
            if os.geteuid() == 0:
                options.append("--no-sandbox")
            self.process = subprocess.Popen([program, *options, f"http://127.0.0.1:{self.server.server_port}/"], stdin=subprocess.DEVNULL,
                                            stdout=subprocess.DEVNULL, stderr=self.log, start_new_session=True)
            self.callback(self.kill)
            hello = self.answer("page")
            self.peer, self.agent = hello["peer"], hello["agent"]
        except BaseException:
            self.close()
            raise

    def answer(self, what):
        try:
            return self.server.answers.get(timeout=WITHIN)
        except queue.Empty:
            self.log.seek(0)
            check(False, f"browser, {what}: no answer within {WITHIN} s\n{self.log.read()[-2000:]}")

    def request(self, op, **fields):
        self.number += 1
        self.server.orders.put({"id": self.number, "op": op, **fields})
        reply = self.answer(op)
        check(reply.get("id") == self.number and reply["ok"], f"browser, {op}: {reply.get('error')}")
        return reply

    def kill(self):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, 9)  # with those that it started
        self.process.wait()


class Meeting(contextlib.ExitStack):
    """Ours, which listens for WebSocket, and a page that has dialled it; both in each other's mesh."""

    def __init__(self, program, script, ours):
        super().__init__()
        try:
            self.ours = self.enter_context(Node("ours", ours, timeout=WITHIN))
            self.ours.start(topics=[TOPIC], router="gossipsub", signed=True, heartbeat_ms=300, listen="/ip4/127.0.0.1/tcp/0/ws")
            self.ours.request("subscribe")
            self.page = self.enter_context(Browser(program, script))
            check("Chrom" in self.page.agent, f"agent {self.page.agent}")
            self.page.request("subscribe", topic=TOPIC)
            self.dial()
        except BaseException:
            self.close()
            raise

    def dial(self):
        self.page.request("dial", addr=self.ours.addr())
        wait("ours in the page's mesh", lambda: self.page.request("mesh", topic=TOPIC)["mesh"] == [self.ours.peer])
        wait("the page in the mesh of ours", lambda: self.ours.request("mesh")["mesh_peers"] == [self.page.peer])
        (there,) = self.ours.request("peers")["peers"]
        check(there["inbound"] and "/ws/p2p/" in there["addr"], f"connected to {there['addr']}")

    def arrive(self, take, source, sizes):
        """Each of these, by digest, once, from that author."""
        got = []

        def complete():
            got.extend(m for m in take() if m["from"] == source)
            return len(got) >= len(sizes)

        wait(lambda: f"{len(got)} of {len(sizes)} arrived", complete)
        check(sorted((m["sha256"], m["size"]) for m in got) == sorted(sizes.items()), f"{[m['size'] for m in got]} instead of {sorted(sizes.values())}")
        check(all(m["received_from"] == source for m in got), f"not all received from {source}")

    def take_ours(self):
        return self.ours.take_inbox(max=16)[0]

    def take_page(self):
        return self.page.request("inbox")["messages"]

    def both_ways(self, first, count, size):
        said = {}
        for number in range(first, first + count):
            data = bytes([number & 255]) if size == 1 else payload(number, size)
            self.ours.request("send", topic=TOPIC, data=data.hex())
            said[hashlib.sha256(data).hexdigest()] = size
        self.arrive(self.take_page, self.ours.peer, said)
        said = {self.page.request("send", topic=TOPIC, number=number, size=size)["sha256"]: size for number in range(first, first + count)}
        self.arrive(self.take_ours, self.page.peer, said)


def sizes(*setting):
    with Meeting(*setting) as m:
        for i, (count, size) in enumerate(SIZES):
            m.both_ways(50 * i, count, size)


def comes_and_goes(*setting):
    """Either hangs up and the page dials again; at last the page is gone without a word."""
    with Meeting(*setting) as m:
        m.both_ways(0, 5, KIB)
        m.page.request("disconnect", peer=m.ours.peer)
        m.ours.wait_mesh(timeout=WITHIN, conns=0)
        m.dial()
        m.both_ways(10, 5, KIB)
        m.ours.request("disconnect", peer=m.page.peer)
        wait("the page sees the end", lambda: not m.page.request("mesh", topic=TOPIC)["conns"])
        m.dial()
        m.both_ways(20, 5, KIB)
        m.page.kill()
        m.ours.wait_mesh(timeout=WITHIN, subs=0, conns=0)


def two_pages(*setting):
    """They cannot listen: what one says reaches the other through us."""
    with Meeting(*setting) as m, Browser(setting[0], setting[1]) as other:
        other.request("subscribe", topic=TOPIC)
        other.request("dial", addr=m.ours.addr())
        m.ours.wait_mesh(timeout=WITHIN, mesh=2)
        wait("both in a mesh", lambda: m.page.request("mesh", topic=TOPIC)["mesh"] and other.request("mesh", topic=TOPIC)["mesh"])
        for one, two in ((m.page, other), (other, m.page)):
            digest = one.request("send", topic=TOPIC, number=7 if one is other else 8, size=64 * KIB)["sha256"]
            got = wait("the other's message", lambda: two.request("inbox")["messages"])
            check([(x["sha256"], x["from"], x["received_from"]) for x in got] == [(digest, one.peer, m.ours.peer)], f"{got}")


def main():
    if len(sys.argv) < 2 or not os.access(sys.argv[1], os.X_OK):
        print(__doc__.strip(), file=sys.stderr)
        return 2
    names = [os.environ["MESHSUB_CHROMIUM"]] if "MESHSUB_CHROMIUM" in os.environ else PROGRAMS
    program = next(filter(None, map(shutil.which, names)), None)
    if program is None:
        print(f"skipped: no Chromium, none of {', '.join(names)} is on PATH", flush=True)
        return 77
    script = (pathlib.Path(peer("js")).parent / "browser.bundle.mjs").read_bytes()
    cases = (("1 B to 900 KiB, both ways", sizes), ("the page comes and goes", comes_and_goes), ("two pages", two_pages))
    words = sys.argv[2:]
    return 0 if run_cases([(name, lambda f=f: f(program, script, sys.argv[1])) for name, f in cases if not words or any(w in name for w in words)]) else 1


if __name__ == "__main__":
    sys.exit(main())
