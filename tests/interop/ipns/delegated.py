#!/usr/bin/env python3
"""Names over HTTP, without pubsub: Kubo that is configured for delegated routing, Helia's client, and a page in headless Chromium publish and resolve
through `meshsub ipns serve --routing`.

usage: delegated.py PATH OF meshsub [WORD...]
Exit status: 0, 1 a case failed, 77 a peer cannot be built here. Without Chromium the page is left out, and that is said.
"""

import contextlib
import os
import shutil
import sys
import urllib.request

from nodes import Helia, Kubo, NotResolved, eventually, value
from records import read
from served import Served

from browser_js import PROGRAMS, Browser
from gopeer import peer
from transfer import check, run_cases


def kubo_of(ipfs, ours, name="kubo"):
    """Neither DHT nor pubsub: what it knows of names it has from there."""
    return Kubo(ipfs, name, {"Routing": {"Type": "delegated", "DelegatedRouters": [ours.url + "routing/v1/ipns"]},
                             "Ipns": {"UsePubsub": False, "DelegatedPublishers": [ours.url + "routing/v1/ipns"]}})


def kubo(binaries):
    with Served(binaries["meshsub"], "--routing", "127.0.0.1:0") as ours, kubo_of(binaries["kubo"], ours) as one, kubo_of(binaries["kubo"], ours, "another") as two:
        name = one.key("k")
        for number in (1, 2):
            one.publish("k", value(number))
            check(two.resolve(name) == value(number), "another value at Kubo")
            check(ours.meshsub("ipns", "resolve", name) == value(number), "another value here")
        mine = ours.meshsub("ipns", "key", "new", "site")
        ours.meshsub("ipns", "publish", "site", value(3))
        check(two.resolve(mine) == value(3), "our own name has another value at Kubo")
        ours.kill()
        ours.start()
        check(ours.meshsub("ipns", "resolve", name) == value(2), "not durable")


def helia(binaries):
    with Served(binaries["meshsub"], "--routing", "127.0.0.1:0") as ours, Helia(binaries["helia"], delegated=ours.url) as node:
        name = node.key("k")
        for number in (1, 2):
            node.publish("k", value(number))
            check(ours.meshsub("ipns", "resolve", name) == value(number), "another value here")
        mine = ours.meshsub("ipns", "key", "new", "site")
        for number in (3, 4):
            ours.meshsub("ipns", "publish", "site", value(number))
            check(node.resolve(mine) == value(number), "our own name has another value at Helia")
        try:
            node.resolve(ours.meshsub("ipns", "key", "new", "empty"), within=1)
            check(False, "a name without a value was resolved")
        except NotResolved:
            pass


def through(binaries):
    """By HTTP at ours, from there by pubsub: a Kubo without pubsub publishes, one with it resolves, and the other way round."""
    with Served(binaries["meshsub"], "--routing", "127.0.0.1:0") as ours, kubo_of(binaries["kubo"], ours) as one, Kubo(binaries["kubo"], "with pubsub") as two:
        two.connect(ours.addr)
        name = one.key("k")
        one.publish("k", value(1))
        eventually("by pubsub", lambda: two.resolve(name, within=1) == value(1))
        other = two.key("k")
        two.publish("k", value(2))
        check(one.resolve(other, within=10) == value(2), "another value by HTTP")


PAGE = b"""
const post = async line => await (await fetch('/page', { method: 'POST', body: JSON.stringify(line) })).json()
const hex = bytes => Array.from(new Uint8Array(bytes), b => b.toString(16).padStart(2, '0')).join('')
const headers = r => Object.fromEntries(r.headers.entries())
const operations = {
  async get (q) {
    const r = await fetch(q.url, { headers: { accept: 'application/vnd.ipfs.ipns-record' } })
    return { status: r.status, headers: headers(r), body: hex(await r.arrayBuffer()) }
  },
  async put (q) {
    const body = new Uint8Array(q.record.match(/../g).map(b => parseInt(b, 16)))
    const r = await fetch(q.url, { method: 'PUT', headers: { 'content-type': 'application/vnd.ipfs.ipns-record' }, body })
    return { status: r.status }
  }
}
let line = { agent: navigator.userAgent, peer: '' }
for (;;) {
  const q = await post(line)
  try {
    line = { id: q.id, ok: true, ...await operations[q.op](q) }
  } catch (e) {
    line = { id: q.id, ok: false, error: String(e) }
  }
}
"""


def page(binaries):
    """From another origin than ours: the browser asks first whether it may PUT."""
    with contextlib.ExitStack() as stack:
        ours = stack.enter_context(Served(binaries["meshsub"], "--routing", "127.0.0.1:0"))
        other = stack.enter_context(Served(binaries["meshsub"], "--routing", "127.0.0.1:0"))
        browser = stack.enter_context(Browser(binaries["chromium"], PAGE))
        mine = ours.meshsub("ipns", "key", "new", "site")
        where = ours.url + "routing/v1/ipns/"
        for number in (1, 2):
            ours.meshsub("ipns", "publish", "site", value(number))
            got = browser.request("get", url=where + mine)
            check(got["status"] == 200 and got["headers"]["content-type"] == "application/vnd.ipfs.ipns-record", f"{got}")
            # The browser has a cache, and the record says for how long it is good.
            check(read(bytes.fromhex(got["body"])).value in (value(1), value(number)), "another value in the page")
        # A record that a node elsewhere has signed, carried by the page.
        name = other.meshsub("ipns", "key", "new", "far")
        other.meshsub("ipns", "publish", "far", value(5))
        with urllib.request.urlopen(other.url + "routing/v1/ipns/" + name, timeout=20) as answer:
            record = answer.read()
        check(browser.request("put", url=where + name, record=record.hex())["status"] == 200, "PUT by the page")
        check(ours.meshsub("ipns", "resolve", name) == value(5), "another value here")
        check(browser.request("put", url=where + mine, record=record.hex())["status"] == 400, "a record of another name was taken")


def main():
    if len(sys.argv) < 2 or not os.access(sys.argv[1], os.X_OK):
        print(__doc__.strip(), file=sys.stderr)
        return 2
    names = [os.environ["MESHSUB_CHROMIUM"]] if "MESHSUB_CHROMIUM" in os.environ else PROGRAMS
    binaries = {"meshsub": sys.argv[1], "kubo": peer("kubo"), "helia": peer("helia"), "chromium": next(filter(None, map(shutil.which, names)), None)}
    cases = [("Kubo, delegated", kubo), ("Helia's client", helia), ("HTTP on one side, pubsub on the other", through), ("a page in Chromium", page)]
    if binaries["chromium"] is None:
        print("left out: a page, because there is no Chromium", flush=True)
        cases.pop()
    words = sys.argv[2:]
    return 0 if run_cases([(name, lambda f=f: f(binaries)) for name, f in cases if not words or any(w in name for w in words)]) else 1


if __name__ == "__main__":
    sys.exit(main())
