#!/usr/bin/env python3
"""Configuration files of "meshsub node": what they come to, what is refused and how, and what SIGHUP changes.

usage: cli_config.py PATH OF meshsub, PATH OF docs/cli.md
"""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import cli_flow  # noqa: E402

WITHIN = cli_flow.WITHIN
OURS = "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN"
LEVELS = "the levels are off, error, warn, info, debug and trace"
DURATION = "not a duration; write numbers with units, at least 1ms: 5s, 200ms, 1h30m"


def write(text, name="n.yaml"):
    with open(name, "w", encoding="utf-8") as f:
        f.write(text)
    return name


BAD = [
    ("topic: news\n", 1, 'unknown key "topic"; did you mean "topics"?'),
    ("\n\nmesh:\n  dd: 3\n", 4, 'unknown key "dd"; did you mean "d"?'),
    ("log:\n  modules:\n    hots: debug\n", 3, 'unknown key "hots"; did you mean "host"?'),
    ("wholly_unlike_anything: 3\n", 1, 'unknown key "wholly_unlike_anything"; leave it out, or see docs/cli.md for the names'),
    ("quiet: true\nquiet: true\n", 2, '"quiet" stands in line 1 already; leave one of them'),
    ("quiet: yes\n", 1, '"quiet" "yes": write true or false'),
    ("listen: /ip4/127.0.0.1/tcp/0\n", 1, '"listen": a list is wanted here, [ … ]'),
    ("mesh: 6\n", 1, '"mesh": a map of keys and values is wanted here'),
    ("listen:\n- /ip4/127.0.0.1/tcp/0\n- localhost:4001\n", 3, 'listen "localhost:4001": not a multiaddress; write /ip4/HOST/tcp/PORT or /ip6/HOST/tcp/PORT'),
    ("connect: [/ip4/127.0.0.1/tcp/0]\n", 1, 'connect "/ip4/127.0.0.1/tcp/0": port 0 cannot be connected to; write the port that the node listens on'),
    ("quiet: true\ndirect: [/ip4/127.0.0.1/tcp/1]\n", 2, 'direct "/ip4/127.0.0.1/tcp/1": no /p2p/ID at its end; a direct peer is known by its id'),
    ("mesh:\n  d: many\n", 2, 'mesh.d "many": not a number from 0 to 2048'),
    ("mesh: {d: 2049}\n", 1, 'mesh.d "2049": not a number from 0 to 2048'),
    ("mesh:\n  d: 4\n  dlo: 5\n", 3, "mesh.dlo 5, mesh.d 4, --dhi 8: they must not fall from left to right, and mesh.d 1 is no mesh"),
    ("mesh:\n  heartbeat: 1\n", 2, f'mesh.heartbeat "1": {DURATION}'),
    ("router: gosipsub\n", 1, 'router "gosipsub": there are gossipsub, randomsub and floodsub; did you mean gossipsub?'),
    ("router: floodsub\nmesh:\n  px: true\n", 3, "mesh.px is for gossipsub; router floodsub has no mesh"),
    ("network: 3\n", 1, "network is for --router randomsub; no other router asks for it"),
    ("sign: strictsign\n", 1, 'sign "strictsign": no such policy; did you mean strict_sign?'),
    ("topics_regex: a)(b\n", 1, 'topics_regex "a)(b": Unmatched ( or \\('),
    ("topics: [news]\ntopics_allow: [old]\n", 1, 'topic "news": neither topics_allow nor --topics-regex allows it'),
    ("log:\n  level: loud\n", 2, f'log.level "loud": {LEVELS}'),
    ("log:\n  modules:\n    stream: debug\n    host: loud\n", 4, f'log.modules.host "host=loud": {LEVELS}'),
    ("log: {format: xml}\n", 1, 'log.format "xml": there are text and json'),
    ("quiet: true\nfilter: [deny 10.0.0.0/8, permit 10.0.0.0/8]\n", 2,
     'filter "permit 10.0.0.0/8": a rule begins with allow or deny; write "deny accept 192.0.2.0/24", "allow dial 2001:db8::/32"'),
    ("connections:\n  low_water: 9\n  high_water: 8\n", 2, "connections.low_water 9, connections.high_water 8: the first must not be above the second"),
    ("connections: {max_inbound: -1}\n", 1, 'connections.max_inbound "-1": not a number from 0 to 100000'),
    ("", 1, "empty; a map of keys and values is wanted"),
]


class Config(cli_flow.Flow):
    def printed(self, *arguments):
        return self.run("node", "--print-config", *arguments)

    def refused(self):
        for text, line, said in BAD:
            write(text)
            done = subprocess.run([self.binary, "node", "--config", "n.yaml"], capture_output=True, timeout=WITHIN, stdin=subprocess.DEVNULL)
            wanted = f'meshsub node: "n.yaml", line {line}: {said}\n'
            assert (done.returncode, done.stderr.decode(), done.stdout) == (1, wanted, b""), f"{text!r}: {done.returncode} {done.stderr.decode()!r}"
        for name, said in ("no.yaml", "No such file or directory"), (".", "Is a directory"):
            done = subprocess.run([self.binary, "node", "--config", name], capture_output=True, timeout=WITHIN)
            assert (done.returncode, done.stderr.decode()) == (1, f'meshsub node: "{name}": cannot be read: {said}\n'), done
        # What the command line says is the command line's mistake, with a file too.
        write("topics: [news]\nmesh: {d: 5}\n")
        done = subprocess.run([self.binary, "node", "--config", "n.yaml", "--d", "1"], capture_output=True, timeout=WITHIN)
        assert (done.returncode, done.stderr.decode().split("\n")[0]) == (
            2, "meshsub node: --dlo 1, --d 1, --dhi 2: they must not fall from left to right, and --d 1 is no mesh"), done
        done = subprocess.run([self.binary, "node", "--config"], capture_output=True, timeout=WITHIN)
        assert (done.returncode, done.stderr.decode().split("\n")[0]) == (2, "meshsub node: --config needs a value: --config FILE"), done

    def together(self):
        """The file, the command line over it, and what is printed is read to the same again."""
        write(f"""
listen: [/ip4/127.0.0.1/tcp/0, "/ip6/::1/tcp/0"]
connect:
- /ip4/127.0.0.1/tcp/4001/p2p/{OURS}
topics: [news, "z\u00fcrich \\"x\\""]
relay: [r]
mesh:
  d: 8
  dlo: 7
  heartbeat: 700ms
  px: true
log:
  format: json
  level: warn
  modules: {{host: debug, gossipsub: off}}
socket: a.sock
quiet: true
""")
        text = self.printed("--config", "n.yaml")
        assert text == f"""listen: ["/ip4/127.0.0.1/tcp/0", "/ip6/::1/tcp/0"]
connect: ["/ip4/127.0.0.1/tcp/4001/p2p/{OURS}"]
topics: ["news", "z\\u00FCrich \\"x\\""]
relay: ["r"]
socket: "a.sock"
quiet: true
mesh:
  d: 8
  dlo: 7
  heartbeat: 700ms
  px: true
log:
  format: "json"
  level: warn
  modules:
    host: debug
    gossipsub: off
""", text
        write(text, "again.yaml")
        assert self.printed("--config=again.yaml") == text
        over = self.printed("--config", "n.yaml", "--d", "9", "--topic", "more", "--socket=b.sock", "--log", "error", "--heartbeat=2s")
        assert over == text.replace("d: 8", "d: 9", 1).replace('x\\""]', 'x\\"", "more"]').replace("a.sock", "b.sock").replace("warn", "error").replace(
            "700ms", "2s"), over
        assert self.printed() == 'listen: ["/ip4/127.0.0.1/tcp/0"]\n'
        assert self.printed("--topic", "--config") == 'listen: ["/ip4/127.0.0.1/tcp/0"]\ntopics: ["--config"]\n'
        write('{"topics": ["json"], "mesh": {"d": 5}}', "j.json")
        assert self.printed("--config", "j.json") == 'listen: ["/ip4/127.0.0.1/tcp/0"]\ntopics: ["json"]\nmesh:\n  d: 5\n'

    def documented(self):
        """The file in docs/cli.md is one, and has every key that there is."""
        text = open(self.manual, encoding="utf-8").read().split("A file with every key:\n\n```yaml\n")[1].split("```")[0]
        write(text)
        self.run("key", "new", "node.key")
        shown = self.printed("--config", "n.yaml")
        for line in text.splitlines():
            key = line.split("#")[0].split(":")[0].strip()
            assert not key or f"{key}:" in shown, f"{key} is not in effect"
        source = open(os.path.join(os.path.dirname(self.manual), "../cli/config.c"), encoding="utf-8").read()
        keys = [x.split('"')[1] for x in source.splitlines() if x.startswith("  X(") and x.count('"') == 4]
        assert len(keys) > 20
        for key in keys:
            assert f"{key.split('.')[-1]}:" in text or key == "network", f"{key} is not in docs/cli.md"

    def reload(self):
        """SIGHUP: topics, relays, connections and log change; the rest is named; a bad file changes nothing."""
        with contextlib.ExitStack() as stack:
            other = stack.enter_context(self.start("node", "--topic", "b", "--quiet"))
            to = other.line("address")
            write("topics: [a, b]\nrelay: [r]\nsocket: n.sock\nquiet: true\nlog: {level: error}\n")
            node = stack.enter_context(self.start("node", "--config", "n.yaml", "--topic", "mine"))
            node.line("address")

            def topics():
                lines = self.run("topics", "--json", "--socket", "n.sock").splitlines()
                return {t["topic"]: t["joins"] for t in map(json.loads, lines) if t["joins"]}

            def hup(*said):
                node.process.send_signal(signal.SIGHUP)
                for text in said:
                    line = node.err.line(text).decode()
                    assert line == f"meshsub node: {text}\n", line
            assert set(topics()) == {"a", "b", "mine", "r"}, topics()
            write(f"topics: [b, c]\nconnect: [{to}]\nsocket: n.sock\nmesh: {{d: 7}}\nlog: {{level: debug, format: json}}\n")
            hup('"n.yaml": quiet is gone; that takes a restart', '"n.yaml", line 4: mesh.d has changed; that takes a restart', '"n.yaml" was read again')
            assert set(topics()) == {"b", "c", "mine"}, topics()
            end = time.monotonic() + WITHIN
            while not self.run("peers", "--socket", "n.sock"):
                assert time.monotonic() < end, "it did not connect"
                time.sleep(0.05)
            write("topics: [b\n")
            node.process.send_signal(signal.SIGHUP)
            line = node.err.line("error").decode()
            assert line.startswith('meshsub node: "n.yaml", line ') and ": not YAML: " in line, line
            assert node.err.line("error").decode() == 'meshsub node: "n.yaml": nothing was changed\n'
            write("topics: [c]\nmesh: {d: 1}\nsocket: n.sock\n")
            hup('"n.yaml", line 2: --dlo 1, mesh.d 1, --dhi 2: they must not fall from left to right, and mesh.d 1 is no mesh', '"n.yaml": nothing was changed')
            assert set(topics()) == {"b", "c", "mine"}
            write("topics: [c]\nmesh: {d: 7}\nsocket: n.sock\n")
            hup('"n.yaml" was read again')
            assert set(topics()) == {"c", "mine"}
            end = time.monotonic() + WITHIN
            while self.run("peers", "--socket", "n.sock"):
                assert time.monotonic() < end, "it did not disconnect"
                time.sleep(0.05)
            assert node.process.poll() is None
            node.process.send_signal(signal.SIGTERM)
            node.end()

    def log(self):
        """By module, as text and as JSON: a connection that talks nonsense is a line of the module host, at debug."""
        import socket
        for more, shown in (["--log", "debug"], True), (["--log", "debug", "--log", "host=info"], False), (["--log=host=debug", "--log=error"], True), (
                ["--log", "host=debug", "--log-format", "json"], True), (["-vvv"], True), ([], False):
            with self.start("node", "--quiet", *more) as node:
                host, port = node.line("address").split("/")[2:5:2]
                with socket.create_connection((host, int(port))) as s:
                    s.sendall(b"GET / HTTP/1.0\r\n\r\n" * 100)
                    with contextlib.suppress(OSError):
                        while s.recv(4096):
                            pass
                time.sleep(0.1)
                node.process.send_signal(signal.SIGTERM)
                node.process.wait(WITHIN)
                text = node.process.stderr.read().decode()
                assert ("a handshake failed: " in text) == shown, (more, text)
                if "json" in more:
                    line = json.loads(text.splitlines()[0])
                    assert line["level"] == "debug" and line["module"] == "host" and abs(line["ns"] / 1e9 - time.time()) < 60, line
                elif shown:
                    assert text.startswith("meshsub node: debug host: "), text


    def connections(self):
        """A node that lets one in closes the door to the next, and counts why."""
        write("connections: {max_inbound: 1}\nsocket: n.sock\nmetrics: {listen: '127.0.0.1:0'}\n")
        with contextlib.ExitStack() as stack:
            node = stack.enter_context(self.start("node", "--config", "n.yaml"))
            at = node.err.line("address of the metrics").decode().split()[-1]
            to = node.line("address")
            first = stack.enter_context(self.start("node", "--connect", to, "--quiet", "--seconds", "20"))
            end = time.monotonic() + WITHIN
            while not self.run("peers", "--socket", "n.sock"):
                assert time.monotonic() < end, "it did not connect"
                time.sleep(0.05)
            self.run("pub", "t", "x", "--connect", to, code=1)
            text = urllib.request.urlopen(at, timeout=WITHIN).read().decode()
            assert re.search(r'\nhost_accepts_refused_total\{reason="inbound"\} [1-9]', text), re.findall("\nhost_acc.*", text)
            assert first.process.poll() is None and len(self.run("peers", "--socket", "n.sock").splitlines()) == 1


def main():
    c = Config(os.path.abspath(sys.argv[1]))
    c.manual = os.path.abspath(sys.argv[2])
    return cli_flow.run_parts([c.refused, c.together, c.documented, c.reload, c.log, c.connections], sys.argv[3:])


if __name__ == "__main__":
    sys.exit(main())
