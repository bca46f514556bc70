#!/usr/bin/env python3
"""meshsub ipns publish, resolve, follow, keep, serve and key: names between nodes and over restarts, and what is said when it does not work.

usage: cli_ipns_nodes.py PATH OF meshsub
"""

import contextlib
import fcntl
import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import cli_flow  # noqa: E402
import cli_socket  # noqa: E402  a raw client of the socket

WITHIN = cli_flow.WITHIN
NOBODY = "k51qzi5uqu5dgy8qsq67hbz73jqkw87l3fgf4a91qb0d9b5173tir7n4vxk1oe"
TYPES = {"ed25519": "k51qzi5uqu5d", "secp256k1": "kzwfwj", "ecdsa": "k2k4r8", "rsa": "k2k4r8"}


class Names(cli_flow.Flow):
    @contextlib.contextmanager
    def node(self, *more, command=("ipns", "serve")):
        with self.start(*command, "--listen", cli_flow.LOOPBACK, *more) as node:
            node.addr = node.line("address")
            yield node

    def said(self, code, *arguments):
        """What a command writes on stderr, and stdout; the exit code is checked."""
        done = subprocess.run([self.binary, *arguments], capture_output=True, timeout=WITHIN, stdin=subprocess.DEVNULL)
        assert done.returncode == code, (arguments, done.returncode, done.stderr.decode(), done.stdout.decode())
        return done.stderr.decode(), done.stdout.decode()

    def refused(self, code, sentence, *arguments):
        err, out = self.said(code, *arguments)
        assert err.split("\n")[0] == sentence and out == "", (arguments, err)

    def key(self, label, *where, kind="ed25519"):
        return self.run("ipns", "key", "new", label, "--type", kind, "--bits", "2048", *where).strip()

    def resolve(self, name, *where, code=0):
        return json.loads(self.run("ipns", "resolve", name, "--json", *where, code=code))

    # ---- keys ----

    def keys(self):
        """All four types, in a store and behind a socket; out and in again as protobuf and PEM; modes; never printed, never overwritten."""
        names = {kind: self.key(kind, "--store", "a", kind=kind) for kind in TYPES}
        for kind, begin in TYPES.items():
            assert names[kind].startswith(begin) or kind == "secp256k1", (kind, names[kind])
        listed = [json.loads(x) for x in self.run("ipns", "key", "list", "--store", "a", "--json").splitlines()]
        assert {x["label"]: x["name"] for x in listed} == names and {x["type"] for x in listed} == set(TYPES), listed
        self.refused(1, 'meshsub ipns key new: "rsa": there is a key rsa already, and a key is never overwritten; choose another label',
                     "ipns", "key", "new", "rsa", "--store", "a")
        for kind in TYPES:
            for form in "protobuf", "libp2p-protobuf-cleartext", "pem", "pem-pkcs8-cleartext":
                file, where = f"{kind}.{form}", f"in.{kind}.{form}"
                self.run("ipns", "key", "export", kind, file, "--format", form, "--store", "a")
                assert stat.S_IMODE(os.stat(file).st_mode) == 0o600
                self.refused(1, f'meshsub ipns key export: "{file}": exists, and a key is never overwritten; choose another name',
                             "ipns", "key", "export", kind, file, "--format", form, "--store", "a")
                assert self.run("ipns", "key", "import", "again", file, "--store", where).strip() == names[kind], (kind, form)
                self.refused(1, 'meshsub ipns key import: "twice": this key is there already, as again', "ipns", "key", "import", "twice", file, "--store", where)
                self.run("ipns", "key", "export", names[kind], file + ".2", "--format", form, "--store", where)
                with open(file, "rb") as x, open(file + ".2", "rb") as y:
                    assert x.read() == y.read(), (kind, form)
            if shutil.which("openssl") and kind != "ed25519":
                assert subprocess.run(["openssl", "pkey", "-in", f"{kind}.pem", "-noout"], capture_output=True, check=False).returncode == 0, kind
        with open("secret", "w", encoding="utf-8") as f:
            f.write("open sesame\n")
        self.run("ipns", "key", "export", "ed25519", "locked.pem", "--format", "pem", "--passphrase", "secret", "--store", "a")
        self.refused(1, 'meshsub ipns key import: "locked.pem": is encrypted; name the file of its passphrase with --passphrase FILE',
                     "ipns", "key", "import", "x", "locked.pem", "--store", "b")
        assert self.run("ipns", "key", "import", "x", "locked.pem", "--store", "b", "--passphrase", "secret").strip() == names["ed25519"]
        with open("ed25519.protobuf", "rb") as f:
            private = f.read()
        assert private.startswith(b"\x08\x01\x12\x40") and len(private) == 68
        for dump in self.run("store", "dump", "a"), self.run("store", "dump", "a", "--json"):
            assert "private key" in dump or "secret_bytes" in dump
            assert private[4:36].hex() not in dump and "CAESQ" not in dump, "a key was printed"
        # The same through a node, which holds the store.
        with self.node("--store", "a", "--socket", "n.sock") as node:
            err, _ = self.said(1, "ipns", "key", "list", "--store", "a")
            assert f"process {node.process.pid} has it open" in err, err
            there = {x["label"]: x["name"] for x in map(json.loads, self.run("ipns", "key", "list", "--socket", "n.sock", "--json").splitlines())}
            own = there.pop("self")
            assert there == names and "/p2p/" in node.addr
            shown = json.loads(self.run("ipns", "inspect", own, "--json"))
            assert shown["peer"] == node.addr.rsplit("/", 1)[1], "self is the node's identity"
            self.run("ipns", "key", "export", "rsa", "through.key", "--socket", "n.sock")
            with open("through.key", "rb") as x, open("rsa.protobuf", "rb") as y:
                assert x.read() == y.read() and stat.S_IMODE(os.stat("through.key").st_mode) == 0o600
            second = self.key("second", "--socket", "n.sock")
            self.refused(1, 'meshsub ipns key new: "second": there is a key second already, and a key is never overwritten; choose another label',
                         "ipns", "key", "new", "second", "--socket", "n.sock")
            with cli_socket.Raw() as c:
                made = c.ask({"op": "ipns_key_new", "label": "third", "type": "secp256k1"})
                assert made["ok"] and made["type"] == "secp256k1" and c.ask({"op": "ipns_key_new", "label": "x", "type": "rsa"})["code"] == "inval"
                for label in "", "a b", "../x", "-x", ".x", "x" * 65, NOBODY:
                    assert c.ask({"op": "ipns_key_new", "label": label})["code"] == "inval", label
                assert c.ask({"op": "ipns_key_new", "label": "x" * 64})["ok"]
                assert c.ask({"op": "ipns_key_import", "label": "y", "key_base64": "AAAA"})["code"] == "malformed"
                assert c.ask({"op": "ipns_key_export", "key": "nothing"})["code"] == "notfound"
            node.process.kill()
            node.process.wait()
        there = self.run("ipns", "key", "list", "--store", "a")
        assert second in there and own in there and made["name"] in there, "what was answered outlives a kill"

    def key_of_openssl(self):
        if not shutil.which("openssl"):
            return
        for kind, made in ("ed25519", ["genpkey", "-algorithm", "ed25519"]), ("rsa", ["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]), \
                ("ecdsa", ["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]), \
                ("secp256k1", ["ecparam", "-name", "secp256k1", "-genkey", "-noout"]):
            subprocess.run(["openssl", *made, "-out", f"{kind}.pem"], check=True, capture_output=True, timeout=WITHIN)
            j = json.loads(self.run("ipns", "key", "import", kind, f"{kind}.pem", "--store", "s", "--json"))
            assert j["type"] == kind and j["label"] == kind, j
            self.run("ipns", "publish", kind, "/ipfs/bafkqaaa", "--store", "s")
        with open("junk", "w", encoding="utf-8") as f:
            f.write("no key")
        err, _ = self.said(1, "ipns", "key", "import", "z", "junk", "--store", "s")
        assert err == 'meshsub ipns key import: "junk": neither a libp2p private key (malformed input) nor PEM\n', err

    # ---- names ----

    def ends(self):
        """Publish, resolve, an update, a kill, a restart, resolve again; by all four types of keys."""
        names = {kind: self.key(kind, "--store", "a", kind=kind) for kind in TYPES}
        with self.node("--store", "a", "--socket", "a.sock") as a:
            for kind, name in names.items():
                said = json.loads(self.run("ipns", "publish", kind, "/ipfs/bafkqaaa", "--socket", "a.sock", "--json"))
                assert (said["name"], said["value"], said["sequence"], said["durable"]) == (name, "/ipfs/bafkqaaa", 0, True), said
                there = self.resolve(name, "--connect", a.addr)
                assert (there["value"], there["sequence"], there["source"], there["from"]) == ("/ipfs/bafkqaaa", 0, "fetch", a.addr.rsplit("/", 1)[1]), there
                assert 0 <= there["age_ns"] < WITHIN * 10**9 and not there["expired"], there
            for form in self.forms(names["ed25519"]):
                assert self.run("ipns", "resolve", form, "--connect", a.addr) == "/ipfs/bafkqaaa\n", form
            err, out = self.said(0, "ipns", "resolve", names["rsa"], "--connect", a.addr)
            assert out == "/ipfs/bafkqaaa\n" and re.fullmatch(r"sequence 0, by fetch from \S+, \S+ old, valid until \S+Z\n", err), err
            err, out = self.said(0, "ipns", "resolve", names["rsa"], "--socket", "a.sock")
            assert out == "/ipfs/bafkqaaa\n" and re.fullmatch(r"sequence 0, published here, \S+ old, valid until \S+Z, kept\n", err), err
            self.run("ipns", "publish", "ed25519", "/ipfs/bafkqabb", "--socket", "a.sock", "--sequence", "7")
            a.process.kill()
            a.process.wait()
        with self.node("--store", "a", "--socket", "a.sock") as a2:
            assert a2.addr.rsplit("/", 1)[1] == a.addr.rsplit("/", 1)[1], "the identity is kept"
            for kind, name in names.items():
                there = self.resolve(name, "--connect", a2.addr)
                assert (there["value"], there["sequence"]) == (("/ipfs/bafkqabb", 7) if kind == "ed25519" else ("/ipfs/bafkqaaa", 0)), there
            same = json.loads(self.run("ipns", "publish", "ed25519", "/ipfs/bafkqabb", "--socket", "a.sock", "--json"))
            other = json.loads(self.run("ipns", "publish", names["ed25519"], "/ipfs/bafkqacc", "--socket", "a.sock", "--json", "--ttl", "1m", "--lifetime", "1h"))
            assert (same["sequence"], other["sequence"], other["ttl_ns"]) == (7, 8, 60 * 10**9), (same, other)
            self.refused(1, 'meshsub ipns publish: "ed25519": older than the one that is kept here, which has sequence 8 and is valid until '
                         f'{other["valid_until"]}; publish with a higher sequence', "ipns", "publish", "ed25519", "/ipfs/x", "--sequence", "3", "--socket", "a.sock")
            self.refused(1, 'meshsub ipns publish: "nokey": there is no such key here; "ipns_keys" has them, "ipns_key_new" makes one',
                         "ipns", "publish", "nokey", "/ipfs/x", "--socket", "a.sock")

    def forms(self, name):
        shown = json.loads(self.run("ipns", "inspect", name, "--json"))
        return shown["name"], "/ipns/" + shown["name"], shown["peer"]

    def alone(self):
        """Without a running node of one's own: signs into a store, and hands it to a keeper; both are gone, and the keeper alone serves it after a kill."""
        name = self.key("site", "--store", "mine")
        with self.node("--store", "k", "--keep", name, "--socket", "k.sock") as keeper:
            said = self.run("ipns", "publish", "site", "/ipfs/bafkqaaa", "--store", "mine", "--connect", keeper.addr)
            assert said.startswith(f"published {name}: /ipfs/bafkqaaa, sequence 0, valid until "), said
            self.until_kept("k.sock", name)
            keeper.process.kill()
            keeper.process.wait()
        with self.node("--store", "k") as keeper:
            there = self.resolve(name, "--connect", keeper.addr)
            assert (there["value"], there["source"]) == ("/ipfs/bafkqaaa", "fetch"), there
            self.run("ipns", "keep", name, "--store", "second", "--connect", keeper.addr)
        with self.node("--store", "second") as second:
            assert self.resolve(name, "--connect", second.addr)["value"] == "/ipfs/bafkqaaa"
        self.run("ipns", "keep", name, "--stop", "--store", "second")
        self.refused(1, f'meshsub ipns keep: "{name}": this name was not followed or kept', "ipns", "keep", name, "--stop", "--store", "second")
        # What was signed without anybody there is served as soon as somebody is.
        self.run("ipns", "publish", "site", "/ipfs/bafkqabb", "--store", "mine")
        with self.node("--store", "mine") as mine:
            there = self.resolve(name, "--connect", mine.addr)
            assert (there["value"], there["sequence"]) == ("/ipfs/bafkqabb", 1), there

    def until_kept(self, path, name):
        end = time.monotonic() + WITHIN
        with cli_socket.Raw(path) as c:
            while True:
                known = {x["name"]: x for x in c.ask({"op": "ipns_names"})["names"]}
                if known.get(name, {}).get("durable"):
                    return known[name]
                assert time.monotonic() < end, known
                time.sleep(0.05)

    def open_keeper(self):
        name = self.key("site", "--store", "mine")
        with self.node("--store", "k", "--keep-open", "--socket", "k.sock") as keeper:
            with self.node("--store", "mine", "--socket", "m.sock") as mine:
                self.run("ipns", "publish", "site", "/ipfs/bafkqaaa", "--socket", "m.sock")
                self.run("connect", keeper.addr, "--socket", "m.sock")
                known = self.until_kept("k.sock", name)
                assert known["flags"][0] == "kept_open", known
                mine.process.kill()
                mine.process.wait()
            assert self.resolve(name, "--connect", keeper.addr)["value"] == "/ipfs/bafkqaaa"

    def follows(self):
        """A line per change: through the node, directly, and on the node's own output; followed again after a restart."""
        name = self.key("site", "--store", "a")
        with self.node("--store", "a", "--socket", "a.sock") as a:
            self.run("ipns", "publish", "site", "/ipfs/bafkqaaa", "--socket", "a.sock")
            with self.node("--store", "b", "--socket", "b.sock", "--connect", a.addr) as b, \
                    self.start("ipns", "follow", name, "--socket", "b.sock", "--count", "3", "--json") as through, \
                    self.start("ipns", "follow", name, "--connect", a.addr) as direct:
                got = [json.loads(through.line("first value"))]
                line = direct.line("first value")
                assert re.fullmatch(rf"{name} /ipfs/bafkqaaa sequence 0, by (fetch|pubsub) from \S+, \S+ old, valid until \S+Z", line), line
                for n, value in enumerate(("/ipfs/bafkqabb", "/ipfs/bafkqacc"), 1):
                    self.run("ipns", "publish", "site", value, "--socket", "a.sock")
                    got.append(json.loads(through.line("change")))
                    assert direct.line("change").startswith(f"{name} {value} sequence {n}, by pubsub from ")
                assert through.end() == b"" and [x["value"] for x in got] == ["/ipfs/bafkqaaa", "/ipfs/bafkqabb", "/ipfs/bafkqacc"], got
                assert got[2]["source"] == "pubsub" and got[2]["name"] == name and "ev" not in got[2], got
                direct.process.send_signal(signal.SIGTERM)
                direct.end()
                self.until_kept("b.sock", name)
                b.process.kill()
                b.process.wait()
            with self.node("--store", "b", "--json", "--connect", a.addr) as b:
                self.run("ipns", "publish", "site", "/ipfs/bafkqadd", "--socket", "a.sock")
                while True:
                    line = json.loads(b.line("change"))
                    if line["ev"] == "ipns" and line["value"] == "/ipfs/bafkqadd":
                        assert line["sequence"] == 3 and line["name"] == name, line
                        break

    def found_nothing(self):
        with self.node("--store", "a", "--socket", "a.sock") as a:
            err, out = self.said(3, "ipns", "resolve", NOBODY, "--connect", a.addr, "--timeout", "500ms")
            assert out == "" and err.startswith(f'meshsub ipns resolve: "{NOBODY}": nothing found within ') and err.endswith("connect to a node that follows the name\n"), err
            err, out = self.said(3, "ipns", "resolve", NOBODY, "--socket", "a.sock", "--timeout", "300ms")
            assert out == "" and "nothing found within 3" in err, err
            name = self.key("short", "--socket", "a.sock")
            self.run("ipns", "publish", "short", "/ipfs/bafkqaaa", "--socket", "a.sock", "--lifetime", "1s")
            time.sleep(1.2)
            err, out = self.said(3, "ipns", "resolve", name, "--socket", "a.sock", "--timeout", "300ms")
            assert out == "" and re.search(r': expired since \S+Z \(sequence 0\), and nobody has a newer record; its owner has to publish again\n', err), err
        with socket.create_server(("127.0.0.1", 0)) as nobody:
            port = nobody.getsockname()[1]
        began = time.monotonic()
        err, out = self.said(1, "ipns", "resolve", NOBODY, "--connect", f"/ip4/127.0.0.1/tcp/{port}")
        assert "cannot connect to" in err and time.monotonic() - began < 5, err
        with self.node("--listen", cli_flow.LOOPBACK, "--socket", "p.sock", command=("node",)):
            with cli_socket.Raw("p.sock") as c:
                assert c.ask({"op": "ipns_resolve", "name": NOBODY})["code"] == "unsupported"
                assert c.ask({"op": "ipns_keys"})["code"] == "state"
        began = time.monotonic()
        err, out = self.said(3, "ipns", "resolve", NOBODY, "--store", "alone")
        assert out == "" and "no peer could be asked" in err and time.monotonic() - began < 5, err
        self.key("late", "--store", "late")
        with self.node() as a:
            err, out = self.said(3, "ipns", "publish", "late", "/ipfs/bafkqaaa", "--store", "late", "--connect", a.addr, "--timeout", "500ms")
            assert "signed and kept in the store, but no peer took it within 500ms" in err, err

    # ---- standard output and error that nobody reads ----

    def changes(self, c, count):
        """So many values of a name, each of some length as text or JSON; the node answers to each."""
        for _ in range(count):
            self.changed += 1
            value = "/ipfs/" + '"' * 4050 + str(self.changed)
            said = c.ask({"op": "ipns_publish", "key": "site", "value": value, "v2_only": True, "sequence": self.changed})
            assert said["ok"] and said["sequence"] == self.changed, {k: v for k, v in said.items() if k != "value"}

    def unread(self):
        """A node whose standard output nobody reads goes on, ends when it is told to, and tells what was lost as soon as it is read."""
        self.changed = 0
        for more in ["--json"], []:
            with self.node("--store", "a", "--socket", "n.sock", "--metrics", "127.0.0.1:0", *more) as node, cli_socket.Raw() as c:
                url = re.search(r"http:\S+", node.err.line("address of the metrics").decode())[0]

                def dropped():
                    with urllib.request.urlopen(url, timeout=WITHIN) as got:
                        return int(re.search(r"^output_stdout_dropped_total (\d+)$", got.read().decode(), re.M)[1])

                if more:
                    assert c.ask({"op": "ipns_key_new", "label": "site"})["ok"]
                self.changes(c, 20)
                seen = self.read_changes(node, 20, json_lines=bool(more))
                assert seen == [1] * 20, seen
                self.changes(c, 300)  # 2.4 MiB of them
                lost = dropped()
                assert 100 < lost < 300, lost
                seen = self.read_changes(node, 300, json_lines=bool(more))
                assert [x for x in seen if x != 1] == [lost] and seen[-1] == lost, "the rest was lost at once, and told behind what was there"
                self.changes(c, 1)
                assert self.read_changes(node, 1, json_lines=bool(more)) == [1] and dropped() == lost
                self.changes(c, 10)
                began = time.monotonic()
                node.process.send_signal(signal.SIGTERM)
                node.process.wait(WITHIN)
                assert node.process.returncode == 0 and time.monotonic() - began < 2, "whoever does not read keeps nobody from ending"

    @staticmethod
    def read_changes(node, count, json_lines):
        """For each line of a change 1, for each about lost ones their number; until there are count in all."""
        seen = []
        while sum(seen) < count:
            line = node.line("change")
            if json_lines:
                j = json.loads(line)
                assert j["ev"] in ("ipns", "dropped"), j
                seen.append(1 if j["ev"] == "ipns" else j["n"])
            else:
                lost = re.fullmatch(r"dropped (\d+) lines: nobody read them in time", line)
                assert lost or re.fullmatch(r'name k51\S+ /ipfs/(?:\\")+\d+ sequence \d+, published here, .*, kept', line), line[:100] + line[-100:]
                seen.append(int(lost[1]) if lost else 1)
        return seen

    def unread_errors(self):
        """Neither is it stopped by who does not read its standard error, or closes either."""
        with open("n.yaml", "w", encoding="utf-8") as f:
            f.write("json: true\n")
        with self.node("--store", "a", "--socket", "n.sock", "--config", "n.yaml") as node, cli_socket.Raw() as c:
            fcntl.fcntl(node.process.stderr, fcntl.F_SETPIPE_SZ, 4096)
            count = 200
            for _ in range(count):
                node.process.send_signal(signal.SIGHUP)
                assert c.ask({"op": "ipns_names"})["ok"]
            said = [node.err.line("message")]
            while len(said) < count / 2:
                said.append(node.err.line("message"))
            assert set(said) == {b'meshsub ipns serve: "n.yaml" was read again\n'}, set(said)
            self.changed = 0
            assert c.ask({"op": "ipns_key_new", "label": "site"})["ok"]
            node.process.stdout.close()
            self.changes(c, 5)
            while (line := node.err.line("message")) in said:
                pass
            assert line == b"meshsub ipns serve: nobody reads standard output any more; the node goes on without it\n", line
            node.process.stderr.close()
            for _ in range(5):
                node.process.send_signal(signal.SIGHUP)
                self.changes(c, 1)
            node.process.send_signal(signal.SIGTERM)
            assert node.process.wait(WITHIN) == 0

    def usage(self):
        for sentence, *arguments in (
                ("meshsub ipns resolve: NAME is missing: k51..., 12D3Koo..., Qm... or bafz...", "resolve"),
                ('meshsub ipns resolve: "k51": not a name; write k51..., 12D3Koo..., Qm... or bafz...', "resolve", "k51", "--socket", "x"),
                ('meshsub ipns resolve: no node to do it; give --socket PATH of a running one ("meshsub ipns serve"), or --connect ADDR or --store DIR',
                 "resolve", NOBODY),
                ("meshsub ipns resolve: --socket has the running node do it; --connect, --listen, --store and the like are that node's",
                 "resolve", NOBODY, "--socket", "x", "--store", "y"),
                ("meshsub ipns publish: PATH is missing: what the name is to point to, /ipfs/...", "publish", "site"),
                ('meshsub ipns publish: "ipfs": not a path; write /ipfs/CID or /ipns/NAME', "publish", "site", "ipfs"),
                ('meshsub ipns publish: --connect alone has no keys; give --store DIR as well, where "meshsub ipns key new" made one',
                 "publish", "site", "/ipfs/x", "--connect", "/ip4/127.0.0.1/tcp/1"),
                ("meshsub ipns keep: nothing would be kept: give --store DIR, or --socket PATH of a running node", "keep", NOBODY, "--connect", "/ip4/127.0.0.1/tcp/1"),
                ("meshsub ipns follow: NAME is missing; name at least one", "follow"),
                ('meshsub ipns serve: --keep "x": not a name; write k51..., 12D3Koo..., Qm... or bafz...', "serve", "--keep", "x"),
                ("meshsub ipns key new: where are the keys? Give --store DIR, or --socket PATH of a running node", "key", "new", "x"),
                ('meshsub ipns key new: LABEL "a b": a label is of letters, digits, "_" and, not at its begin, "." and "-"', "key", "new", "a b", "--store", "s"),
                ('meshsub ipns key new: LABEL "self": the node\'s own key, which it makes when it starts with a store first; choose another',
                 "key", "new", "self", "--store", "s"),
                ('meshsub ipns key: unknown command "rm"; there are new, import, export and list', "key", "rm"),
                ('meshsub ipns key export: --format "jwk": there are libp2p-protobuf-cleartext and pem-pkcs8-cleartext', "key", "export", "x", "y", "--format", "jwk")):
            self.refused(2, sentence, "ipns", *arguments)
        assert not os.path.exists("s"), "nothing was begun"


def main():
    os.environ.pop("MESHSUB_SOCKET", None)
    n = Names(os.path.abspath(sys.argv[1]))
    return cli_flow.run_parts([n.keys, n.key_of_openssl, n.ends, n.alone, n.open_keeper, n.follows, n.found_nothing, n.unread, n.unread_errors, n.usage], sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
