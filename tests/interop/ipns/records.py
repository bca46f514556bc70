"""What a test has to know of an IPNS record: the members of its signed data, without looking at the signature."""

import collections

Record = collections.namedtuple("Record", "value sequence validity ttl")


def varint(data, at):
    n = shift = 0
    while True:
        n |= (data[at] & 0x7F) << shift
        shift += 7
        at += 1
        if not data[at - 1] & 0x80:
            return n, at


def fields(data):
    """The fields of a protobuf by number; the last of those that stand twice."""
    out, at = {}, 0
    while at < len(data):
        tag, at = varint(data, at)
        if tag & 7 == 0:
            out[tag >> 3], at = varint(data, at)
        else:
            assert tag & 7 == 2, f"wire type {tag & 7}"
            n, at = varint(data, at)
            out[tag >> 3], at = data[at:at + n], at + n
    return out


def head(data, at):
    """The major type and the number of a CBOR item's head."""
    first, at = data[at], at + 1
    n = first & 31
    if n >= 24:
        size = 1 << (n - 24)
        n, at = int.from_bytes(data[at:at + size], "big"), at + size
    return first >> 5, n, at


def read(record):
    data = fields(record)[9]
    kind, count, at = head(data, 0)
    assert kind == 5, "no map"
    members = {}
    for _ in range(count):
        _, n, at = head(data, at)
        key, at = data[at:at + n].decode(), at + n
        kind, n, at = head(data, at)
        if kind in (2, 3):
            members[key], at = data[at:at + n], at + n
        else:
            members[key] = n
    return Record(members["Value"].decode(), members["Sequence"], members["Validity"].decode(), members.get("TTL"))
