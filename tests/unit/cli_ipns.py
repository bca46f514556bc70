#!/usr/bin/env python3
"""meshsub ipns: what it shows of names and records, and why it takes none, word for word.

usage: cli_ipns.py PATH OF meshsub, ipns.json
"""

import json
import os
import sys

from cli_words import expect, in_a_folder, run

NAME = "k51qzi5uqu5dgy8qsq67hbz73jqkw87l3fgf4a91qb0d9b5173tir7n4vxk1oe"
vectors = {}


def write(name, content):
    with open(name, "wb") as f:
        f.write(content)


def shows(binary):
    write("r", bytes.fromhex(vectors["js-v1v2-ed_a"]["record"]))
    expect("a record", run(binary, "ipns", "inspect", "r"),
           (0, "", "value        /ipfs/bafkqaaa\nsequence     1\nvalid until  2126-11-23T00:00:00.000000000Z\nttl          5m\n"))
    expect("as JSON", json.loads(run(binary, "ipns", "inspect", "r", "--json")[2]),
           {"value": "/ipfs/bafkqaaa", "sequence": 1, "valid_until": "2126-11-23T00:00:00.000000000Z", "ttl_ns": 300000000000})
    rsa = vectors["js-v1v2-rsa2048_a"]
    write("rsa", bytes.fromhex(rsa["record"]))
    brings = run(binary, "ipns", "inspect", "rsa", "--json")[2]
    forms = json.loads(run(binary, "ipns", "inspect", "--json", rsa["name"])[2])
    expect("the key that it brings", json.loads(brings)["key"], forms["peer"])
    expect("a binary value", run(binary, "ipns", "inspect", "cid")[1],
           'meshsub ipns inspect: "cid": cannot be read: No such file or directory\n')
    write("cid", bytes.fromhex(vectors["value-binary-cid"]["record"]))
    expect("a binary value", run(binary, "ipns", "inspect", "cid")[2].split("\n")[0].startswith("value        hex 01"), True)
    expect("a name", run(binary, "ipns", "inspect", "/ipns/" + NAME),
           (0, "", f"name         {NAME}\npeer         12D3KooWBtg3aaRMjxwedh83aGiUkwSxDwUZkzuJcfaqUmo7R3pq\n"
            "topic        /record/L2lwbnMvACQIARIgHtHo-uLEoUS4vo_UtHvz07NLhxw8rPYBDw5C1HT84n4\n"
            f"routing key  {vectors['js-v1v2-ed_a']['routing_key']}\n"))


def judges(binary):
    """Every vector that has a name gets the verdict that it should, in one word as JSON and in a sentence."""
    for x in vectors.values():
        if x["reason"] == "bad_name":
            continue
        write("v", bytes.fromhex(x["record"]))
        # The name of the routing key: that of the record may be another.
        code, said, out = run(binary, "ipns", "verify", "v", "--name", x["name"], "--now", x["now"], "--json")
        expect(x["id"], (code, said, json.loads(out)["verdict"]), (0 if x["expected"] == "valid" else 3, "", x["reason"]))

    def why(vector, sentence, *more):
        write("v", bytes.fromhex(vectors[vector]["record"]))
        expect(vector, run(binary, "ipns", "verify", "v", "--name", NAME, *more), (3, f'meshsub ipns verify: "v": {sentence}\n', ""))
    why("expired-v1v2", "expired since 2026-01-01T00:00:00.000000000Z", "--now", "2026-11-23T00:00:00Z")
    why("sig2-bitflip", "signed by another key, or changed since")
    why("v1-only", "it has no data, only fields of before 2021 that prove nothing")
    why("size-10241", "larger than 10,240 bytes")
    why("mismatch-sequence", "its fields for old readers say something else than its data")
    write("v", bytes.fromhex(vectors["js-v1v2-ed_a"]["record"]))
    expect("valid", run(binary, "ipns", "verify", "v", "--name", NAME, "--now", "2026-11-23T00:00:00Z"),
           (0, "", "valid until 2126-11-23T00:00:00.000000000Z, sequence 1\n"))


def refuses(binary):
    def usage(what, sentence, *arguments):
        code, said, out = run(binary, "ipns", *arguments)
        expect(what, (code, said.split("\n")[0], out), (2, sentence, ""))
    usage("nothing", "meshsub ipns: what to do is missing; say publish, resolve, follow, keep, serve, key, inspect or verify")
    usage("a word", 'meshsub ipns: unknown command "get"; there are publish, resolve, follow, keep, serve, key, inspect and verify', "get")
    usage("no file", "meshsub ipns verify: FILE is missing", "verify")
    usage("two files", "meshsub ipns verify: one FILE at a time", "verify", "a", "b", "--name", NAME)
    usage("no name", "meshsub ipns verify: --name is missing: whose record should it be?", "verify", "v")
    usage("no such name", 'meshsub ipns verify: --name "k51": not a name; write k51..., 12D3Koo..., Qm... or bafz...', "verify", "v", "--name", "k51")
    usage("no time", 'meshsub ipns verify: --now "noon": write a time as 2026-11-28T12:00:00Z', "verify", "v", "--name", NAME, "--now", "noon")
    usage("no time of ours", 'meshsub ipns verify: --now "9999-01-01T00:00:00Z": write a time as 2026-11-28T12:00:00Z', "verify", "v", "--name", NAME,
          "--now", "9999-01-01T00:00:00Z")
    write("junk", b"\xff\xff")
    expect("junk", run(binary, "ipns", "inspect", "junk"), (1, 'meshsub ipns inspect: "junk": no record: its protobuf is malformed\n', ""))


if __name__ == "__main__":
    with open(os.path.abspath(sys.argv[2]), encoding="utf-8") as file:
        vectors = {x["id"]: x for x in json.load(file)["vectors"]}
    sys.exit(in_a_folder(sys.argv[1], shows, judges, refuses))
