"""Nodes that publish, follow and resolve IPNS names over pubsub: Kubo, Helia and ours, with the same words for each.

Everything is on 127.0.0.1, or in the namespace of a Place, on ports that the system chooses, without bootstrap peers, DHT or multicast; repositories live in a
temporary folder."""

import base64
import contextlib
import http.client
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import uuid

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from control import Node, NodeError  # noqa: E402
from transfer import CheckFailed, check  # noqa: E402

WITHIN = 20  # seconds, for what does not depend on the names
STARTS = 120  # of a program; node reads hundreds of files first


class Place:
    """Where a node stands: the address that it listens on, and what goes before its command."""

    def __init__(self, host="127.0.0.1", prefix=()):
        self.host, self.prefix = host, prefix

    @property
    def listen(self):
        return f"/ip4/{self.host}/tcp/0"


HERE = Place()


class NotResolved(Exception):
    """The name has no value that the node could find in the time."""


class Resolved(str):
    """A value; with `sequence`, `source`, `ns` (the resolve by the node's own clock) and `changed_ns` (when the value came, CLOCK_MONOTONIC) where the node says them."""

    sequence = source = ns = changed_ns = None

    def __new__(cls, value, **more):
        self = super().__new__(cls, value)
        self.__dict__.update(more)
        return self


def value(number):
    """A path that nothing stands behind, another one for each number: the identity CID of its digits."""
    digits = f"{number:06d}".encode()
    bytes_ = bytes([1, 0x55, 0, len(digits)]) + digits  # CIDv1, raw, identity
    alphabet = "abcdefghijklmnopqrstuvwxyz234567"
    bits = int.from_bytes(bytes_, "big") << (-8 * len(bytes_) % 5)
    count = -(-8 * len(bytes_) // 5)
    return "/ipfs/b" + "".join(alphabet[bits >> 5 * (count - 1 - i) & 31] for i in range(count))


def topic(name):
    """Of a name in base36."""
    number, digits = int(name[1:], 36), "0123456789abcdefghijklmnopqrstuvwxyz"
    assert name[0] == "k" and all(c in digits for c in name)
    key = number.to_bytes(-(-number.bit_length() // 8), "big")[2:]  # behind the CID's version and codec
    return "/record/" + base64.urlsafe_b64encode(b"/ipns/" + key).decode().rstrip("=")


def eventually(what, condition, within=WITHIN, pause=0.02):
    """What the condition answered when it was first true. An exception of a node counts as not yet."""
    end = time.monotonic() + within
    last = None
    while True:
        try:
            last = condition()
            if last:
                return last
        except (NotResolved, NodeError) as e:
            last = e
        if time.monotonic() > end:
            raise CheckFailed(f"{what() if callable(what) else what}: not within {within} s, last {last!r}")
        time.sleep(pause)


def duration(seconds):
    return f"{round(seconds * 1000)}ms"


class Kubo(contextlib.ExitStack):
    """A Kubo daemon with IPNS over pubsub, driven over its RPC. Its sequence-number validator is on, as it comes."""

    kind = "kubo"
    keeps_names = False  # after a restart it follows nothing and serves nothing until its republisher runs

    def __init__(self, program, name="kubo", config=None, place=HERE):
        super().__init__()
        self.name, self.program, self.place, self.process, self.api = name, program, place, None, None
        self.repo = pathlib.Path(self.enter_context(tempfile.TemporaryDirectory(prefix="msub-kubo-", ignore_cleanup_errors=True)))
        self.env = {**os.environ, "IPFS_PATH": str(self.repo), "IPFS_TELEMETRY": "off"}
        self.callback(self.kill)
        try:
            self.command("init", "--empty-repo")
            self.configure(config or {})
            self.start()
        except BaseException:
            self.close()
            raise

    def command(self, *args, data=None, timeout=60):
        """One `ipfs` command; its stdout."""
        done = subprocess.run([self.program, *args], env=self.env, input=data, capture_output=True, timeout=timeout)
        if done.returncode != 0:
            raise NodeError(f"{self.name}, ipfs {' '.join(args)}: {done.stderr.decode(errors='replace').strip()}")
        return done.stdout

    def configure(self, more):
        path = self.repo / "config"
        config = json.loads(path.read_text())
        listen = self.place.listen
        settings = {
            "Addresses": {"Swarm": [listen], "API": listen, "Gateway": listen, "Announce": [], "AppendAnnounce": [], "NoAnnounce": []},
            "Bootstrap": [], "AutoConf": {"Enabled": False}, "AutoNAT": {"ServiceMode": "disabled"}, "AutoTLS": {"Enabled": False},
            "DNS": {"Resolvers": {}}, "Discovery": {"MDNS": {"Enabled": False}}, "HTTPRetrieval": {"Enabled": False},
            "Ipns": {"UsePubsub": True, "DelegatedPublishers": []}, "Provide": {"Enabled": False}, "Routing": {"Type": "none", "DelegatedRouters": []},
            "Swarm": {
                "DisableNatPortMap": True, "EnableHolePunching": False, "RelayClient": {"Enabled": False}, "RelayService": {"Enabled": False},
                "Transports": {"Network": {"QUIC": False, "Relay": False, "WebTransport": False, "WebRTCDirect": False, "Websocket": False}}},
            "Version": {"SwarmCheckEnabled": False},
        }
        for changes in (settings, more):
            merge(config, changes)
        path.write_text(json.dumps(config))

    # The process.

    def start(self):
        self.log = open(self.repo / "daemon.log", "ab")
        (self.repo / "api").unlink(missing_ok=True)
        self.process = subprocess.Popen([*self.place.prefix, self.program, "daemon", "--migrate=false"], env=self.env, stdin=subprocess.DEVNULL, stdout=self.log,
                                        stderr=subprocess.STDOUT)
        self.api = None
        end = time.monotonic() + STARTS
        while True:
            if self.process.poll() is not None or time.monotonic() > end:
                raise NodeError(f"{self.name}: the daemon does not start\n{(self.repo / 'daemon.log').read_text(errors='replace')[-2000:]}")
            try:
                self.api = (self.repo / "api").read_text().strip().split("/")[-1]
                self.id = self.rpc("id")
                break
            except (OSError, ValueError, http.client.HTTPException):
                time.sleep(0.005)
        self.peer = self.id["ID"]

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        self.process.wait(timeout=60)
        self.log.close()

    def kill(self):
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
            self.log.close()

    def alive(self):
        return self.process.poll() is None

    def restart(self, hard=True):
        self.kill() if hard else self.stop()
        self.start()

    # The RPC.

    def rpc(self, what, *args, timeout=WITHIN, body=None, raw=False, **options):
        query = urllib.parse.urlencode([("arg", a) for a in args] + [(k.replace("_", "-"), str(v).lower() if isinstance(v, bool) else v)
                                                                    for k, v in options.items() if v is not None])
        local = threading.current_thread()
        connection = getattr(local, f"kubo_{self.api}", None)
        if connection is None:
            connection = http.client.HTTPConnection(self.place.host, int(self.api))
            setattr(local, f"kubo_{self.api}", connection)
        connection.timeout = timeout
        if connection.sock is not None:
            connection.sock.settimeout(timeout)
        headers = {}
        if body is not None:
            boundary = uuid.uuid4().hex
            headers["Content-Type"] = f"multipart/form-data; boundary={boundary}"
            body = (f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="file"\r\nContent-Type: application/octet-stream\r\n\r\n'
                    ).encode() + body + f"\r\n--{boundary}--\r\n".encode()
        try:
            connection.request("POST", f"/api/v0/{what}?{query}", body=body, headers=headers)
            answer = connection.getresponse()
            data = answer.read()
        except (OSError, http.client.HTTPException):
            connection.close()
            raise
        if answer.status != 200:
            with contextlib.suppress(ValueError):
                data = json.loads(data)["Message"].encode()
            raise NodeError(f"{self.name}, {what}: {data.decode(errors='replace').strip()}")
        return data if raw else json.loads(data) if data.strip() else {}

    def addr(self):
        return eventually(f"{self.name} listens", lambda: next((a for a in self.rpc("id")["Addresses"] or [] if "/tcp/" in a), None))

    def connect(self, addr):
        self.rpc("swarm/connect", addr)

    def disconnect(self, peer):
        self.rpc("swarm/disconnect", f"/p2p/{peer}")

    def connected(self):
        return [p["Peer"] for p in self.rpc("swarm/peers")["Peers"] or []]

    # Keys and names.

    def key(self, label, protobuf=None):
        """The name of a new key, or of one that is imported from hex."""
        if protobuf is None:
            return self.rpc("key/gen", label, type="ed25519", ipns_base="base36")["Id"]
        return self.rpc("key/import", label, body=bytes.fromhex(protobuf), ipns_base="base36", format="libp2p-protobuf-cleartext",
                        allow_any_key_type=True)["Id"]

    def publish(self, label, path, lifetime=None, ttl=None, sequence=None):
        options = {"lifetime": lifetime and duration(lifetime), "ttl": ttl and duration(ttl), "sequence": sequence}
        self.rpc("name/publish", path, key=label, resolve=False, allow_offline=True, quieter=True, **options)

    def resolve(self, name, within=5):
        """What the network says; its cache, which an update that has arrived does not reach, is passed by."""
        try:
            return Resolved(self.rpc("name/resolve", name, nocache=True, recursive=False, dht_timeout=duration(within), timeout=within + WITHIN)["Path"])
        except NodeError as e:
            raise NotResolved(str(e)) from e

    def follow(self, name):
        with contextlib.suppress(NotResolved):
            self.resolve(name, within=0.1)

    def follows(self, name):
        return f"/ipns/{name}" in (self.rpc("name/pubsub/subs", ipns_base="base36")["Strings"] or [])

    def knows(self, name, peer):
        """Whether it has heard that this peer follows the name."""
        return peer in (self.rpc("pubsub/peers", "u" + base64.urlsafe_b64encode(topic(name).encode()).decode().rstrip("="))["Strings"] or [])

    def record(self, name):
        """The bytes it holds of a name, or None."""
        with contextlib.suppress(NodeError):
            return self.rpc("name/get", name, raw=True) or None

    def put(self, name, record):
        self.rpc("name/put", name, body=record)

    def settle(self, name):
        """Until it is durable; what this one learns from others never is."""


def merge(into, changes):
    for key, change in changes.items():
        if isinstance(change, dict) and isinstance(into.get(key), dict):
            merge(into[key], change)
        else:
            into[key] = change


class Program(contextlib.ExitStack):
    """A node that is driven by lines of JSON, with a folder of its own that outlives its process."""

    def __init__(self, program, name, cfg, place):
        super().__init__()
        self.name, self.program, self.cfg, self.place, self.node = name, program, cfg, place, None
        self.repo = pathlib.Path(self.enter_context(tempfile.TemporaryDirectory(prefix=f"msub-{self.kind}-", ignore_cleanup_errors=True)))
        self.callback(self.kill)
        try:
            self.start()
        except BaseException:
            self.close()
            raise

    def start(self):
        self.node = Node(self.name, [*self.place.prefix, self.program], timeout=STARTS)
        self.begin()
        self.node.timeout = WITHIN
        self.peer = self.node.peer

    def stop(self):
        self.node.stop()

    def kill(self):
        if self.node is not None:
            self.node.kill()

    def alive(self):
        return self.node.alive()

    def restart(self, hard=True):
        self.kill() if hard else self.stop()
        self.start()

    def ask(self, op, **fields):
        return self.node.request(op, **fields)

    def addr(self):
        return self.node.addr()

    def connect(self, addr):
        self.ask("dial", addr=addr)

    def disconnect(self, peer):
        self.ask("disconnect", peer=peer)

    def connected(self):
        return [p["peer"] for p in self.ask("peers")["peers"]]

    def publish(self, label, path, lifetime=None, ttl=None, sequence=None):
        more = {k: v for k, v in (("lifetime_ns", lifetime and round(lifetime * 1e9)), ("ttl_ns", ttl and round(ttl * 1e9)), ("sequence", sequence)) if v is not None}
        return self.ask("ipns_publish", label=label, value=path, **more)

    def resolve(self, name, within=5):
        try:
            answer = self.node.request("ipns_resolve", timeout=within + WITHIN, name=name, timeout_ms=round(within * 1000))
        except NodeError as e:
            if not self.node.alive():
                raise
            raise NotResolved(str(e)) from e
        return Resolved(answer["value"], **{k: answer[k] for k in ("sequence", "source", "ns", "changed_ns") if k in answer})

    def follow(self, name):
        self.ask("ipns_follow", name=name)

    def follows(self, name):
        return name in self.ask("ipns_names")["follows"]

    def knows(self, name, peer):
        return peer in self.ask("ipns_names", name=name)["subscribers"]

    def record(self, name):
        record = self.ask("ipns_record", name=name).get("record")
        return bytes.fromhex(record) if record else None

    def put(self, name, record):
        self.ask("ipns_put", name=name, record=record.hex())

    def key(self, label, protobuf=None):
        return self.ask("ipns_key", label=label, **({"key": protobuf} if protobuf else {}))["name"]


class Helia(Program):
    """Helia on node, with the pubsub router of @helia/ipns and its fetch."""

    kind = "helia"
    keeps_names = False

    def __init__(self, program, name="helia", place=HERE, **cfg):
        super().__init__(program, name, cfg, place)

    def begin(self):
        self.node.start(repo=str(self.repo), listen=self.place.listen, **self.cfg)

    def settle(self, name):
        """Its datastore writes files; a kill right after may cost the last one."""


class Ours(Program):
    """meshsub-peer with its cap ipns."""

    kind = "ours"
    keeps_names = True

    def __init__(self, program, name="ours", place=HERE, **cfg):
        self.keys = {}
        super().__init__(program, name, {"key": ed25519(os.urandom(32)), **cfg}, place)

    def key(self, label, protobuf=None):
        answer = self.ask("ipns_key", label=label, **({"key": protobuf} if protobuf else {}))
        self.keys[label] = answer["key"]
        return answer["name"]

    def keep(self, name):
        self.ask("ipns_keep", name=name)

    def settle(self, name):
        """What others said is shown before it is durable."""
        eventually("durable", lambda: self.ask("ipns_record", name=name)["durable"])

    def begin(self):
        self.node.start(signed=True, listen=self.place.listen, ipns={"store": str(self.repo / "store"), **self.cfg.get("ipns", {})},
                        **{"topics": ["none"], "flood_publish": True, **{k: v for k, v in self.cfg.items() if k != "ipns"}})
        for label, key in self.keys.items():  # the program keeps them, not the library
            self.ask("ipns_key", label=label, key=key)


KINDS = {"kubo": Kubo, "helia": Helia, "ours": Ours}


def make(binaries, kind, name=None, **more):
    return KINDS[kind](binaries[kind], name or kind, **more)


def ed25519(seed):
    """The private key of a seed as hex of libp2p's protobuf, made with openssl."""
    pkcs8 = bytes.fromhex("302e020100300506032b657004220420") + seed
    public = subprocess.run(["openssl", "pkey", "-inform", "DER", "-pubout", "-outform", "DER"], input=pkcs8, capture_output=True, check=True).stdout[-32:]
    return (bytes.fromhex("08011240") + seed + public).hex()
