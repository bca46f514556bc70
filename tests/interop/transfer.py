"""Exactly-once transfers between two nodes, and the checks on what the receiver reports."""

import itertools
import os
import struct
import time

KIB = 1024
HEADER = struct.Struct(">IIQ")  # seed, message number, time stamp

_seeds = itertools.count(1)


class CheckFailed(Exception):
    """The nodes worked, but what arrived is not what was published."""


def check(condition, text):
    if not condition:
        raise CheckFailed(text)


class Link:
    """Two connected nodes, one topic. Remembers every id each side delivered in its whole life, so
    that a message that comes again after a reconnect is found."""

    def __init__(self, signed, topic="bench"):
        self.signed = signed
        self.topic = topic
        self.delivered = {}  # node name -> ids

    def transfer(self, pub, sub, count, size, window=64, timeout=20.0):
        """Publishes in a closed loop; each message must arrive once, whole, and as its author made it."""
        where = f"{pub.name} to {sub.name}, {count} x {size}"
        portion = 128 if size <= 4 * KIB else 4
        seed = next(_seeds)
        pub.take_inbox(max=portion)
        sub.take_inbox(max=portion)
        sub.request("reset", seed=seed, size=size, expect=count, ack_every=max(1, window // 4),
                    credit=pub.credit, lat=False)
        pub.request("publish", seed=seed, count=count, size=size, window=window, rate=0, receivers=1)
        try:
            sub.event("done", timeout, seed=seed)
        except Exception as e:
            got = sub.request("stats")["recv"] if sub.alive() else "?"
            raise CheckFailed(f"{where}: {got} of {count} arrived within {timeout:g} s\n{e}") from e
        pub.event("published", timeout, seed=seed)
        messages, dropped = self._collect(pub, sub, seed, portion)
        check(dropped == 0, f"{where}: {dropped} messages did not fit the inbox")
        messages = [m for m in messages if m["size"] == size]
        received = sub.request("stats")["recv"]
        check(received == count, f"{where}: {received} counted")
        check(len(messages) == count, f"{where}: {len(messages)} in the inbox")
        self._check_each(where, pub, sub, messages, seed, count, size)
        self._check_bytes(where, pub, messages, size, portion)

    def both_ways(self, a, b, count, size, **more):
        self.transfer(a, b, count, size, **more)
        self.transfer(b, a, count, size, **more)

    def _collect(self, pub, sub, seed, portion):
        """A last marker message, behind the others: when it is there, a second copy of one of them
        that was on its way is there too."""
        marker = HEADER.pack(0xFFFFFFFF, seed, time.monotonic_ns()) + bytes(16)
        pub.request("send", topic=self.topic, data=marker.hex())
        end = time.monotonic() + 10
        messages, dropped = [], 0
        while not any(m["size"] == len(marker) for m in messages):
            check(time.monotonic() < end, f"{pub.name} to {sub.name}: a single message was lost")
            time.sleep(0.01)
            more, lost = sub.take_inbox(max=portion, topic=self.topic, data=True)
            messages += more
            dropped += lost
        time.sleep(0.02)  # signed messages pass parallel verifiers, which may overtake each other
        more, lost = sub.take_inbox(max=portion, topic=self.topic, data=True)
        return messages + more, dropped + lost

    def _check_each(self, where, pub, sub, messages, seed, count, size):
        known = self.delivered.setdefault(sub.name, set())
        for m in messages:
            check(m["id"] not in known, f"{where}: id {m['id']} delivered twice")
            known.add(m["id"])
            check(m["received_from"] == pub.peer, f"{where}: received from {m['received_from']}")
            if self.signed:
                check(m["from"] == pub.peer, f"{where}: author {m['from']!r}")
                check(len(m["seqno"] or "") == 16, f"{where}: seqno {m['seqno']!r}")
                check(m["id"].endswith(m["seqno"]), f"{where}: id {m['id']} is not from + seqno")
            else:
                check(not m["from"] and not m["seqno"], f"{where}: an anonymous message has an author or seqno")
        check(len({m["sha256"] for m in messages}) == count, f"{where}: two messages with the same bytes")
        # A driver that adds the payload lets us look inside.
        payloads = [bytes.fromhex(m["data"]) for m in messages if "data" in m]
        if not payloads:
            return
        heads = [HEADER.unpack_from(p) for p in payloads]
        check({h[0] for h in heads} == {seed}, f"{where}: a payload of another run")
        check(sorted(h[1] for h in heads) == list(range(count)), f"{where}: message numbers are not 0 to {count - 1}")
        check(all(len(p) == size for p in payloads), f"{where}: a payload of another size")
        check(len({p[HEADER.size:] for p in payloads}) == 1, f"{where}: the payload's pattern is damaged")
        if not self.signed:
            check(all(m["id"] == m["data"][:32] for m in messages), f"{where}: an id is not the payload's header")

    @staticmethod
    def _check_bytes(where, pub, messages, size, portion):
        """Where the publisher delivers to itself, its own digests say what the bytes were."""
        own, dropped = pub.take_inbox(max=portion)
        own = {m["sha256"] for m in own if m["size"] == size}
        if own and not dropped:
            check(own == {m["sha256"] for m in messages}, f"{where}: the bytes differ from the published ones")


def run_cases(cases):
    """Runs (name, function) pairs: one line each, a closing line; True when all passed."""
    import sys

    failed = 0
    for name, case in cases:
        begin = time.monotonic()
        try:
            case()
            outcome = f"ok {name} ({time.monotonic() - begin:.2f} s)"
        except Exception as e:  # one broken case must not hide the others
            failed += 1
            reason, _, rest = (str(e) or repr(e)).partition("\n")
            outcome = f"not ok {name}: {reason} ({time.monotonic() - begin:.2f} s)"
            if rest:
                print("\n".join("    " + line for line in rest.splitlines()), file=sys.stderr, flush=True)
        print(outcome, flush=True)
    print(f"{len(cases) - failed} passed, {failed} failed", flush=True)
    return failed == 0


def run_program(doc, cases, more=lambda case: {}):
    """A test program: PATH OF meshsub-peer (or environment MESHSUB_PEER), and words: with them only cases whose names hold one. cases: of the
    binaries, gives (name, function, its arguments behind the binaries); more: keywords for a function. Returns the exit status."""
    import sys

    from gopeer import go_peer

    ours, words = (sys.argv[1], sys.argv[2:]) if len(sys.argv) > 1 else (os.environ.get("MESHSUB_PEER"), [])
    if not ours:
        print(doc.strip(), file=sys.stderr)
        return 2
    if not os.access(ours, os.X_OK):
        print(f"not ok: {ours} is no program", flush=True)
        return 1
    binaries = {"ours": ours, "go": go_peer()}
    chosen = [(name, lambda f=f, a=a: f(binaries, *a, **more(f))) for name, f, a in cases(binaries) if not words or any(w in name for w in words)]
    return 0 if run_cases(chosen) else 1
