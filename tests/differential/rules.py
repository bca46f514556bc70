"""What is different on purpose: each rule is a condition on a case's own fields, and says what the recording has to be then."""

import collections
import re


def steps_before(case, i):
    return case["script"][:i]


def ids_of(step):
    if step[1] == "publish":
        return [step[3]]
    return [m[1] for m in step[3].get("publish", [])] if len(step) > 3 and isinstance(step[3], dict) else []


def at(case, t):
    return [e for e in case["expect"] if e["t"] == t]


def repeated_own(case):
    """publish of an id that has come before, and that goes to nobody: no IDONTWANT for it."""
    used = False
    for i, step in enumerate(case["script"]):
        if step[1] != "publish" or not any(step[3] in ids_of(s) for s in steps_before(case, i)):
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


def nobody_left(case, why):
    """The fanout of a topic that no peer has announced any more."""
    found = re.match(r'at (\d+): missing: fanout of "(\w+)"', why)
    return bool(found and any(e["t"] == int(found[1]) and found[2] not in e["state"]["topics"] for e in case["expect"] if "state" in e))


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
    Rule("partial without joining", None, partial_without_joining, "partial messages are for those who joined the topic",
         "include/meshsub/partial.h"),
    Rule("fanout of nobody", None, nobody_left, "a topic that no peer has announced any more has no fanout, without waiting for the heartbeat",
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
