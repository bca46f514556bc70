#!/usr/bin/env python3
"""IPNS over pubsub between two kinds of nodes, in both directions: publish, update, late joiner, two writers, expiry, restarts, a keeper of ours between.

usage: pairs.py KIND KIND [--ours PATH OF meshsub-peer] [WORD...]      KIND: kubo, helia, ours
Exit status: 0 all passed, 1 a case failed, 77 a peer cannot be built here.
"""

import argparse
import contextlib
import itertools
import sys
import threading
import time

from nodes import KINDS, NodeError, NotResolved, ed25519, eventually, make, topic, value
from records import read

from gopeer import peer
from transfer import check, run_cases

numbers = itertools.count(1)
keys = itertools.count(1)
labels = itertools.count(1)


class Pool(contextlib.ExitStack):
    """Nodes that cases use one after the other, because some take seconds to start. A case finds them without connections, and makes names of its own."""

    def __init__(self, binaries):
        super().__init__()
        self.binaries, self.free = binaries, []

    def take(self, kind):
        for node in self.free:
            if node.kind == kind:
                self.free.remove(node)
                break
        else:
            node = self.enter_context(make(self.binaries, kind))
            node.labels = {}
        eventually("no connection of the case before", lambda: self.alone(node))
        return node

    @staticmethod
    def alone(node):
        """Kubo sometimes dials again by itself."""
        there = node.connected()
        for other in there:
            with contextlib.suppress(NodeError):
                node.disconnect(other)
        return not there

    def give(self, node):
        if not node.alive():
            node.close()
            return
        self.alone(node)
        self.free.append(node)


class Rig(contextlib.ExitStack):
    """The nodes of a case, by names of its own."""

    def __init__(self, pool, **kinds):
        super().__init__()
        self.pool = pool
        try:
            for name, kind in kinds.items():
                setattr(self, name, self.add(kind, name))
        except BaseException:
            self.close()
            raise

    def add(self, kind, name):
        node = self.pool.take(kind)
        self.callback(self.pool.give, node)
        node.name = f"{kind} {name}"
        return node


def link(dialer, listener):
    dialer.connect(listener.addr())
    eventually(f"{listener.name} sees {dialer.name}", lambda: dialer.peer in listener.connected())


def own(node, hexadecimal=None):
    """A name that this node writes. Helia answers for it, and is in its topic, only when it has asked for it itself."""
    label = f"k{next(labels)}"
    name = node.key(label, hexadecimal)
    node.labels[name] = label
    if node.kind == "helia":
        node.follow(name)
    return name


def write(node, name, times=1, **more):
    """So many records of different values; the last one."""
    for _ in range(times):
        path = value(next(numbers))
        node.publish(node.labels[name], path, **more)
    return path


def heard(writer, name, reader):
    """The writer knows that this one follows. Before, Helia publishes to nobody, and says it once."""
    eventually(f"{writer.name} knows that {reader.name} follows", lambda: writer.knows(name, reader.peer))


def shows(node, name, path, within=5):
    eventually(lambda: f"{node.name} shows {path}", lambda: node.resolve(name, within=0.5) == path, within)


def refuses(node, name, within=0.7):
    try:
        got = node.resolve(name, within=within)
    except NotResolved:
        return
    check(False, f"{node.name} resolves {got}")


def publish_resolve(pool, a, b):
    """Whoever dialled."""
    for forth in (True, False):
        with Rig(pool, writer=a, reader=b) as r:
            link(*((r.reader, r.writer) if forth else (r.writer, r.reader)))
            name = own(r.writer)
            path = write(r.writer, name)
            check(r.reader.resolve(name) == path, "another value")
            refuses(r.reader, own(r.writer))


def update(pool, a, b):
    with Rig(pool, writer=a, reader=b) as r:
        link(r.reader, r.writer)
        name = own(r.writer)
        r.reader.follow(name)
        heard(r.writer, name, r.reader)
        for _ in range(4):
            shows(r.reader, name, write(r.writer, name))
        check(r.reader.follows(name), "the reader does not follow")


def waiting(pool, a, b):
    """The reader asks first, then the value comes, or the connection. A node that waits takes no other word: it is the writer who dials."""
    for connected in (True, False):
        with Rig(pool, writer=a, reader=b) as r:
            name, got, addr = own(r.writer), [], r.reader.addr()
            if connected:
                link(r.reader, r.writer)
            else:
                path = write(r.writer, name)
            asks = threading.Thread(target=lambda: got.append(r.reader.resolve(name, within=15)))
            asks.start()
            time.sleep(0.5)
            if connected:
                heard(r.writer, name, r.reader)
                path = write(r.writer, name)
            else:
                r.writer.connect(addr)
            asks.join(20)
            check(got == [path], f"{got} instead of {path}")


def late(pool, a, b):
    """It comes when everything has been said, and has the record by fetch."""
    with Rig(pool, writer=a, reader=b) as r:
        name = own(r.writer)
        path = write(r.writer, name, 2)
        link(r.reader, r.writer)
        check(r.reader.resolve(name) == path, "another value")


def second_hand(pool, a, b):
    """From one who has it from the writer, who is gone."""
    with Rig(pool, writer=a, holder=b) as r:
        link(r.holder, r.writer)
        name = own(r.writer)
        path = write(r.writer, name)
        shows(r.holder, name, path)
        r.writer.kill()
        for kind in dict.fromkeys((a, b)):
            reader = r.add(kind, "reader")
            link(reader, r.holder)
            check(reader.resolve(name) == path, f"{kind}: another value")


def sequence(node, name):
    return read(node.record(name)).sequence


def two_writers(pool, a, b):
    """One key in two hands, apart: on a connection the higher sequence wins, whoever has it."""
    for more in (0, 1):
        with Rig(pool, one=a, two=b) as r:
            key = ed25519(bytes([next(keys)]) * 32)
            name = own(r.one, key)
            check(own(r.two, key) == name, "two names of one key")
            high, low = (r.one, r.two) if more else (r.two, r.one)
            write(low, name, 3)
            last = write(high, name, 4)
            while sequence(high, name) <= sequence(low, name):
                last = write(high, name)
            link(r.one, r.two)
            for node in (r.one, r.two):
                shows(node, name, last)
            heard(low, name, high)
            before = sequence(high, name)  # Kubo counts on from what it published itself, whatever it has heard since
            last = write(low, name)
            while sequence(low, name) <= before:
                last = write(low, name)
            for node in (r.one, r.two):
                shows(node, name, last)


def end_of_life(pool, a, b):
    """The same sequence twice: the later end of life wins."""
    for later in (0, 1):
        with Rig(pool, one=a, two=b) as r:
            key = ed25519(bytes([next(keys)]) * 32)
            name = own(r.one, key)
            own(r.two, key)
            nodes, hours = (r.one, r.two), (2, 1) if later == 0 else (1, 2)
            paths = [write(n, name, lifetime=3600 * h) for n, h in zip(nodes, hours)]
            while (s := [sequence(n, name) for n in nodes])[0] != s[1]:
                i = 0 if s[0] < s[1] else 1
                paths[i] = write(nodes[i], name, lifetime=3600 * hours[i])
            link(r.two, r.one)
            for node in nodes:
                shows(node, name, paths[later])


def expired(pool, a, b):
    with Rig(pool, writer=a, reader=b) as r:
        link(r.reader, r.writer)
        name, begin = own(r.writer), time.monotonic()
        path = write(r.writer, name, lifetime=3, ttl=0.5)
        check(r.reader.resolve(name) == path, "another value")
        check(time.monotonic() - begin < 3, "this machine is too slow")
        time.sleep(max(0, begin + 3.2 - time.monotonic()))
        refuses(r.reader, name)
        late_one = r.add(b, "late")
        link(late_one, r.writer)
        refuses(late_one, name)
        for node in (r.reader, late_one):
            heard(r.writer, name, node)
        path = write(r.writer, name)
        shows(r.reader, name, path)
        shows(late_one, name, path)


def reader_restarts(pool, a, b):
    for hard in (True, False):
        with Rig(pool, writer=a, reader=b) as r:
            link(r.reader, r.writer)
            name = own(r.writer)
            r.reader.follow(name)
            heard(r.writer, name, r.reader)
            path = write(r.writer, name)
            shows(r.reader, name, path)
            r.reader.settle(name)
            r.reader.restart(hard)
            if r.reader.keeps_names:
                check(r.reader.follows(name), "no longer followed")
                check(r.reader.resolve(name) == path, "its own copy is gone")
            path = write(r.writer, name)
            link(r.reader, r.writer)
            shows(r.reader, name, path)
            heard(r.writer, name, r.reader)
            shows(r.reader, name, write(r.writer, name))


def writer_restarts(pool, a, b):
    """What it says afterwards counts: neither its record's sequence nor its messages' numbers go back."""
    for hard in (True, False):
        with Rig(pool, writer=a, reader=b) as r:
            link(r.reader, r.writer)
            name = own(r.writer)
            path = write(r.writer, name, 3)
            shows(r.reader, name, path)
            before = sequence(r.writer, name)
            r.writer.restart(hard)
            if r.writer.keeps_names:  # it serves its name before anybody asks it to
                stranger = r.add(b, "stranger")
                link(stranger, r.writer)
                check(stranger.resolve(name) == path, "another value")
            link(r.writer, r.reader)
            if r.writer.kind == "helia":
                r.writer.follow(name)
            if r.writer.follows(name):
                heard(r.writer, name, r.reader)
            path = write(r.writer, name)
            check(sequence(r.writer, name) == before + 1, f"sequence {sequence(r.writer, name)} after {before}")
            shows(r.reader, name, path)
            shows(r.reader, name, write(r.writer, name))


def keeper(pool, a, b):
    """A keeper of ours: the writer goes, others come; it is killed itself, and comes back."""
    with Rig(pool, writer=a, keeper="ours") as r:
        name = own(r.writer)
        r.keeper.keep(name)
        link(r.keeper, r.writer)
        if r.writer.follows(name):
            heard(r.writer, name, r.keeper)
        path = write(r.writer, name, 2)
        shows(r.keeper, name, path)
        r.keeper.settle(name)
        r.writer.kill()
        for again in (False, True):
            reader = r.add(b, "reader")
            link(reader, r.keeper)
            check(reader.resolve(name) == path, "another value")
            if not again:
                r.keeper.restart()


def numbered(pool, reader_kind, work):
    """Records of two names that one node of ours signs, which no other hears of, and the messages that another one of ours carries them in, to a reader who follows both."""
    with Rig(pool, owner="ours", sender="ours", reader=reader_kind) as r:
        names = [own(r.owner), own(r.owner)]
        link(r.sender, r.reader)
        for name in names:
            r.reader.follow(name)
            heard(r.sender, name, r.reader)
        work(r, *names)


def message(r, name, seqno=None):
    """A better record than all before, in a message with this sequence number, or with the sender's next; value and number."""
    path = write(r.owner, name)
    record = r.owner.record(name)
    r.sender.ask("send", topic=topic(name), data=record.hex(), **({} if seqno is None else {"seqno": seqno}))
    sent = [m for m in r.sender.ask("inbox", topic=topic(name), data=True)["messages"] if m["data"] == record.hex()]
    check(len(sent) == 1, f"{len(sent)} messages with the record")
    return path, int(sent[0]["seqno"], 16)


def not_taken(r, name, other, had, seqno, higher):
    """A message with this number changes nothing: neither before nor after another one, with a higher number on another topic, has come through behind it."""
    lost, _ = message(r, name, seqno)
    shows(r.reader, other, message(r, other, higher)[0])
    got = r.reader.resolve(name, within=0.5)
    check(got == had, f"{r.reader.name} shows {got}: {'the record of a message that it should refuse' if got == lost else 'something else'}")


def lower_numbers(pool, a, b):
    """A better record in a message whose number is not above all that were seen of its author, on whatever topic, is not taken; the same with a higher one is. A restart of the
    reader changes nothing."""

    def work(r, name, other):
        had, first = message(r, name)
        shows(r.reader, name, had)
        check(message(r, name, first + 10)[1] == first + 10, "another number than was asked for")
        for again in (False, True):
            if again:
                r.reader.restart(hard=False)
                link(r.sender, r.reader)
                for each in (name, other):
                    r.reader.follow(each)
                    heard(r.sender, each, r.reader)
            high = first + (200 if again else 100)
            had, _ = message(r, name, high)
            shows(r.reader, name, had)
            not_taken(r, name, other, had, high - 1, high + 1)
            not_taken(r, name, other, had, first + 1 + again, high + 2)
            shows(r.reader, name, message(r, name, high + 3)[0])

    numbered(pool, b, work)


def numbers_after_a_kill(pool, a, b):
    """The sender is killed and comes back under its identity: its next message is above all that it sent, and is taken; one with a number of before is not."""

    def work(r, name, other):
        had, before = message(r, name)
        shows(r.reader, name, had)
        for _ in range(3):
            r.sender.restart()
            link(r.sender, r.reader)
            for each in (name, other):
                heard(r.sender, each, r.reader)
            had, after = message(r, name)
            check(after > before, f"number {after} after {before}")
            shows(r.reader, name, had)
            not_taken(r, name, other, had, before + 1, None)
            had, before = message(r, name)
            shows(r.reader, name, had)

    numbered(pool, b, work)


CASES = (("publish, resolve", publish_resolve), ("update, seen", update), ("asked before it is there", waiting), ("late joiner, by fetch", late),
         ("second hand", second_hand), ("two writers, higher sequence", two_writers), ("same sequence, later end of life", end_of_life),
         ("expired", expired), ("the reader restarts", reader_restarts), ("the writer restarts", writer_restarts))


def main():
    p = argparse.ArgumentParser(usage=__doc__)
    p.add_argument("kinds", nargs=2, choices=KINDS)
    p.add_argument("--ours")
    p.add_argument("words", nargs="*")
    args = p.parse_args()
    binaries = {"ours": args.ours} | {kind: peer(kind) for kind in ("kubo", "helia") if kind in args.kinds}
    cases = list(CASES) + ([("a keeper of ours between", keeper)] if args.ours else [])
    judged = [("a message with a lower number", lower_numbers), ("numbers after a kill", numbers_after_a_kill)]
    with Pool(binaries) as pool:
        chosen = []
        for a, b in dict.fromkeys((tuple(args.kinds), tuple(reversed(args.kinds)))):
            # Kubo alone judges by numbers, and we alone can send any.
            for name, case in cases + (judged if (a, b) == ("ours", "kubo") else []):
                text = f"{a} to {b}: {name}"
                if not args.words or any(w in text for w in args.words):
                    chosen.append((text, lambda case=case, a=a, b=b: case(pool, a, b)))
        return 0 if run_cases(chosen) else 1


if __name__ == "__main__":
    sys.exit(main())
