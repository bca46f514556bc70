"""Scripts of the gossipsub-interop experiments (libp2p/test-plans), in the instructions that their nodes follow, and the checks that its
driver makes of what the nodes wrote. Times are short: there is no Shadow here, the clock is the real one."""

import json
import random

PARTS = 8


def init(n, **params):
    return [only(i, {"type": "initGossipSub", "gossipSubParams": {"HeartbeatInitialDelay": (100 + 0.1 * (i + 1)) * 1e6, **params}})
            for i in range(n)]


def only(node, instruction):
    return {"type": "ifNodeIDEquals", "nodeID": node, "instruction": instruction}


def graph(n, rng):
    """Each node dials up to 20 others, fewer when it has as many already."""
    links = {i: set() for i in range(n)}
    out = []
    for i in range(n):
        others = [j for j in range(n) if j != i and j not in links[i]]
        rng.shuffle(others)
        chosen = others[:max(0, 20 - len(links[i]))]
        for j in chosen:
            links[i].add(j)
            links[j].add(i)
        out.append(only(i, {"type": "connect", "connectTo": chosen}))
    return out


def wait(seconds):
    return {"type": "waitUntil", "elapsedSeconds": seconds}


def subnet_blob_msg(n, seed=1, messages=16):
    rng = random.Random(seed)
    script = init(n) + [wait(2), {"type": "setTopicValidationDelay", "topicID": "a-subnet", "delaySeconds": 0.005}] + graph(n, rng)
    script += [{"type": "subscribeToTopic", "topicID": "a-subnet", "partial": False}, wait(8)]
    for i in range(messages):
        script += [only(rng.randrange(n), {"type": "publish", "messageID": i, "messageSizeBytes": 98304, "topicID": "a-subnet"}), wait(9 + i)]
    return {"script": script + [wait(9 + messages + 3)]}


def partial_messages(n, seed=1):
    """Every node owns random parts, some of them all; each part is owned by one at least. All publish."""
    rng = random.Random(seed)
    owned = [rng.randrange(256) for _ in range(n)]
    for part in range(PARTS):
        owned[rng.randrange(n)] |= 1 << part
    script = init(n) + [wait(2)] + graph(n, rng) + [{"type": "subscribeToTopic", "topicID": "a-subnet", "partial": True}, wait(7)]
    script += [only(i, {"type": "addPartialMessage", "topicID": "a-subnet", "groupID": 42, "parts": parts}) for i, parts in enumerate(owned)]
    script += [{"type": "publishPartial", "topicID": "a-subnet", "groupID": 42}, wait(17)]
    return {"script": script}


def partial_messages_chain(n, groups=16):
    """A path; part j of group g is with node (8 g + j) mod n."""
    script = init(n) + [wait(2)] + [only(i, {"type": "connect", "connectTo": [i + 1]}) for i in range(n - 1)]
    script += [{"type": "subscribeToTopic", "topicID": "a-subnet", "partial": True}, wait(7)]
    for g in range(groups):
        parts = [0] * n
        for j in range(PARTS):
            parts[(8 * g + j) % n] |= 1 << j
        script += [only(i, {"type": "addPartialMessage", "topicID": "a-subnet", "groupID": g, "parts": p}) for i, p in enumerate(parts) if p]
        script += [only(i, {"type": "publishPartial", "topicID": "a-subnet", "groupID": g}) for i, p in enumerate(parts) if p]
        script += [wait(8 + g)]
    return {"script": script + [wait(8 + groups + 10)]}


def partial_messages_fanout(n):
    """Node 0 is not subscribed, owns all, and publishes to the others."""
    script = init(n) + [wait(2)] + [only(0, {"type": "connect", "connectTo": list(range(1, n))})]
    script += [only(i, {"type": "subscribeToTopic", "topicID": "a-subnet", "partial": True}) for i in range(1, n)] + [wait(7)]
    script += [only(0, {"type": "addPartialMessage", "topicID": "a-subnet", "groupID": 7, "parts": 255}),
               only(0, {"type": "publishPartial", "topicID": "a-subnet", "groupID": 7, "publishToNodeIDs": list(range(1, n))}), wait(15)]
    return {"script": script}


def reach(outputs, skip=4):
    """message id -> share of the N - 1 others that it reached, without the first ones."""
    seen = {}
    for node, text in enumerate(outputs):
        for line in text.splitlines():
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if entry.get("msg") == "Received Message":
                seen.setdefault(int(entry["id"]), set()).add(node)
    return {m: min(1.0, len(nodes) / (len(outputs) - 1)) for m, nodes in sorted(seen.items()) if m >= skip}


def whole_groups(text):
    return sum('"msg":"All parts received"' in line for line in text.splitlines())
