"""What is different on purpose: each rule is a condition on a case's own fields, and says what the recording has to be then."""

import collections
import re


def steps_before(case, i):
    return case["script"][:i]


def at(case, t):
    return [e for e in case["expect"] if e["t"] == t]


def known(case, i, id):
    """Whether the id was published, or a message of that id looked at, before the step: those of topics not joined are not."""
    return any(s[1] == "publish" and s[3] == id for s in steps_before(case, i)) or any(
        l[0] in ("deliver", "duplicate", "reject") and l[1] == id
        for e in case["expect"] if e["t"] < case["script"][i][0] for l in e.get("trace", []))


def repeated_own(case):
    """publish of an id that has come before, and that goes to nobody: no IDONTWANT for it."""
    used = False
    for i, step in enumerate(case["script"]):
        if step[1] != "publish" or not known(case, i, step[3]):
            continue
        for e in at(case, step[0]):
            if any(t[:2] == ["publish_error", step[3]] for t in e.get("trace", [])):  # judged again, because it was not accepted
                continue
            if any(m[1] == step[3] for _, rpcs in e.get("rpc", []) for r in rpcs for m in r.get("publish", [])):
                continue
            for _, rpcs in e.get("rpc", []):
                for r in rpcs:
                    if any(step[3] in ids for ids in r.get("idontwant", [])):
                        r["idontwant"] = [[x for x in ids if x != step[3]] for ids in r["idontwant"]]
                        used = True
    return used


def blocked(case, peer, t):
    """Whether the node's writes to the peer stand still at t, or go on then."""
    still = False
    for step in case["script"]:
        if step[0] < t and step[1] in ("block", "unblock", "disconnect") and step[2] == peer:
            still = step[1] == "block"
    return still


def grouping(case, why):
    """The queue of a peer whose writes stand still: it counts RPCs."""
    found = re.match(r"at (\d+): (?:unexpected|missing): (?:drop (\w+) |(\w+) gets )", why)
    return bool(found and "outbound_queue" in case["config"] and blocked(case, found[2] or found[3], int(found[1])))


def retried_of_before(case, why):
    """A GRAFT or PRUNE that was dropped, and then another RPC with some to the same peer, of other topics: that one alone is tried again."""
    found = re.match(r"at (\d+): unexpected: (?:drop (\w+)|(\w+) gets) (graft|prune) (\w+)", why)
    if not found:
        return False
    t, peer, kind, topic = int(found[1]), found[2] or found[3], found[4], found[5]
    dropped = [{k: [x[0] if isinstance(x, list) else x for x in l[2].get(k, [])] for k in ("graft", "prune")}
               for e in case["expect"] if e["t"] <= t for l in e.get("trace", []) if l[0] == "drop" and peer in l[1]]
    dropped = [d for d in dropped if d["graft"] or d["prune"]]
    last = max((i for i, d in enumerate(dropped) if topic in d[kind]), default=None)
    return last is not None and last + 1 < len(dropped) and not any(topic in d["graft"] + d["prune"] for d in dropped[last + 1:])


def announced(case):
    """(time, step, {topic: who has announced it}, who is connected) after every step."""
    of, up = collections.defaultdict(set), set()
    for step in case["script"]:
        op, names = step[1], step[2] if len(step) > 2 and isinstance(step[2], list) else step[2:3]
        if op in ("disconnect", "close_in"):
            for who in of.values():
                who.difference_update(names)
        if op == "disconnect":
            up.difference_update(names)
        elif op == "connect":
            up.update(names)
        if op in ("connect", "rpc") and len(step) > 3:
            for topic, wants, *_ in step[3].get("subs", []):
                (of[topic].update if wants else of[topic].difference_update)(names)
        yield step[0], step, of, up


def fanout_of_nobody(case, t, topic):
    """Whether the topic had been published on, and was then announced by nobody at a time between the last heartbeat and t."""
    since, published, nobody = (t - 100) // 1000 * 1000 + 100, False, False
    for at_t, op, of, _ in announced(case):
        if at_t > t:
            break
        published = published or op[1] == "publish" and op[2] == topic
        nobody = published and (not of[topic] if at_t <= since else nobody or not of[topic])
    return nobody


def nobody_left(case, why):
    """The fanout of a topic that no peer has announced any more, even if somebody did again before the heartbeat."""
    found = re.match(r'at (\d+): missing: fanout of "(\w+)"', why)
    return bool(found and fanout_of_nobody(case, int(found[1]), found[2]))


def nobody_left_to_graft(case, why):
    """Such a topic is joined: who was in the fanout, and is still connected, is grafted."""
    found = re.match(r"at (\d+): missing: (\w+) gets graft (\w+)$", why)
    if not found:
        return False
    t, peer, topic = int(found[1]), found[2], found[3]
    joined = any(s[0] == t and s[1] in ("join", "relay") and s[2] == topic for s in case["script"])
    there = [peer in up for at_t, _, _, up in announced(case) if at_t <= t][-1:]
    return joined and there == [True] and fanout_of_nobody(case, t, topic)


def published_to_nobody(case, why):
    """Such a topic is published on: the reference sends to who was in the fanout, here it is filled anew."""
    found = re.match(r"at (\d+): (missing|unexpected): (\w+) gets publish (\w+) ", why)
    if not found or not any(s[0] == int(found[1]) and s[1] == "publish" and s[2] == found[4] for s in case["script"]):
        return False
    t, peer, topic = int(found[1]), found[3], found[4]
    now = [(peer in of[topic], peer in up) for at_t, _, of, up in announced(case) if at_t <= t][-1:]
    return now == [(found[2] == "unexpected", True)] and fanout_of_nobody(case, t, topic)


def partial_without_joining(case, why):
    """A partial message of a topic that the node has a handle of, and has not joined."""
    found = re.match(r"at (\d+): missing: partial_received \w+ (\w+) ", why)
    if not found:
        return False
    n = sum((s[1] in ("join", "relay")) - (s[1] in ("leave", "unrelay")) for s in case["script"]
            if s[0] < int(found[1]) and s[1] in ("join", "relay", "leave", "unrelay") and s[2] == found[2])
    return n == 0


# change(case): makes the recording what it has to be here, and tells whether it did. explain(case, difference): whether it is the
# reason for the difference; the rest of the script is not compared then.
Rule = collections.namedtuple("Rule", "name change explain text where")
RULES = [
    Rule("repeated own message", repeated_own, None,
         "an own message whose id was accepted before goes to nobody, and is not announced as unwanted either", "docs/conformance.md, Messages"),
    Rule("grouping", None, grouping,
         "a full queue drops RPCs, and what is put together into one RPC is not prescribed: IHAVEs of several topics, GRAFT and PRUNE tried again",
         "gossipsub.md 5.2, 'Retries are coalesced'; tests/vectors/go/README.md, Comparing"),
    Rule("retries of before", None, retried_of_before,
         "of several RPCs that were dropped every GRAFT and PRUNE is tried again, the reference tries those of the last one",
         "gossipsub.md 5.2, 'Retries are coalesced'"),
    Rule("message to the fanout of nobody", None, published_to_nobody,
         "nor is anything sent to such a fanout when the topic is announced again before the heartbeat: it is filled anew",
         "gossipsub.md 5.2, 'a topic entry without peers and without local interest does not exist'"),
    Rule("partial without joining", None, partial_without_joining, "partial messages are for those who joined the topic",
         "include/meshsub/partial.h"),
    Rule("fanout of nobody", None, nobody_left, "a topic that no peer has announced any more has no fanout, without waiting for the heartbeat",
         "gossipsub.md 5.2, 'a topic entry without peers and without local interest does not exist'"),
    Rule("graft from the fanout of nobody", None, nobody_left_to_graft,
         "nor is anybody grafted from such a fanout when the topic is joined before the heartbeat",
         "gossipsub.md 5.2, 'a topic entry without peers and without local interest does not exist'"),
]


def apply(case):
    """The names of the rules that the case met; its recording is changed."""
    return [r.name for r in RULES if r.change and r.change(case)]


def explain(case, why):
    return [r.name for r in RULES if r.explain and r.explain(case, why)]


def ends(names):
    """Whether the comparison ended at a difference that a rule explains."""
    return any(r.explain and r.name in names for r in RULES)
