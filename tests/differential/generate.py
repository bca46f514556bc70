"""Cases for the differential run, in the form of the control vectors (tests/vectors/go/README.md), without `expect`.

A case depends on the seed and its number only; nothing but random.random() is drawn from, which is the same in every
version of Python.

    generate.py --seed S --first N --count K [--features scores,extensions,partial] >cases.jsonl
"""

import argparse
import json
import random

PROTOCOLS = [("/floodsub/1.0.0", 1), ("/meshsub/1.0.0", 1), ("/meshsub/1.1.0", 4), ("/meshsub/1.2.0", 4), ("/meshsub/1.3.0", 2)]
TOPICS = ["t", "u", "v"]
FEATURES = ("scores", "extensions", "partial")


class Dice:
    def __init__(self, seed):
        self.r = random.Random(seed)

    def below(self, n):
        return int(self.r.random() * n)

    def between(self, a, b):
        return a + self.below(b - a + 1)

    def chance(self, p):
        return self.r.random() < p

    def one(self, items):
        return items[self.below(len(items))]

    def weighted(self, pairs):
        x = self.r.random() * sum(w for _, w in pairs)
        for item, w in pairs:
            x -= w
            if x < 0:
                return item
        return pairs[-1][0]

    def some(self, items, most):
        left, out = list(items), []
        for _ in range(min(len(left), most)):
            out.append(left.pop(self.below(len(left))))
        return out


def params(d):
    """What differs from the reference's defaults."""
    p = {}
    shape = d.weighted([("default", 5), ("small", 3), ("tight", 2), ("wide", 2), ("bootstrapper", 0.3), ("no outbound", 2)])
    if shape == "small":
        p.update(D=3, Dlo=2, Dhi=5, Dout=0, Dscore=1)
    elif shape == "tight":
        p.update(D=4, Dlo=4, Dhi=4, Dout=1, Dscore=2)
    elif shape == "wide":
        p.update(D=8, Dlo=6, Dhi=16, Dout=d.between(0, 3), Dscore=4)
    elif shape == "bootstrapper":
        p.update(D=0, Dlo=0, Dhi=0, Dout=0, Dscore=0)
    elif shape == "no outbound":
        p.update(Dout=0)
    if d.chance(0.3):
        p["HistoryLength"] = d.between(2, 6)
        p["HistoryGossip"] = d.between(1, p["HistoryLength"])
    if d.chance(0.15):
        p["GossipRetransmission"] = d.between(1, 4)
    if d.chance(0.2):
        p["MaxIHaveLength"] = d.between(1, 6)
    if d.chance(0.2):
        p["MaxIHaveMessages"] = d.between(1, 4)
    if d.chance(0.15):
        p["MaxIDontWantMessages"] = d.between(1, 3)
    if d.chance(0.2):
        p["MaxIDontWantLength"] = d.between(1, 12)
    if d.chance(0.15):
        p["IDontWantMessageTTL"] = d.between(1, 5)
    if d.chance(0.2):
        p["IDontWantMessageThreshold"] = d.one([1, 10, 100, 2000])
    if d.chance(0.2):
        p["FanoutTTL_ms"] = d.one([1000, 2500, 5000])
    if d.chance(0.3):
        p["PruneBackoff_ms"] = d.one([1000, 3000, 10000, 20000])
    if d.chance(0.2):
        p["UnsubscribeBackoff_ms"] = d.one([1000, 2000, 5000])
    if d.chance(0.2):
        p["GraftFloodThreshold_ms"] = d.one([500, 5000])
    if d.chance(0.2):
        p["Dlazy"] = d.between(0, 4)
    if d.chance(0.2):
        p["GossipFactor"] = d.one([0, 0.125, 0.5, 1])
    if d.chance(0.2):
        p["PrunePeers"] = d.between(1, 5)
    if d.chance(0.2):
        p["DirectConnectTicks"] = d.between(2, 6)
    if d.chance(0.3):
        p["OpportunisticGraftTicks"] = d.between(1, 4)
        p["OpportunisticGraftPeers"] = d.between(1, 3)
    return p


def decay(d):
    return d.one([0.5, 0.9, 0.99, 0.9987216039048303])


def topic_score(d):
    return {
        "topic_weight": d.one([0, 0.5, 1, 1]),
        "time_in_mesh_weight": d.one([0, 0.01, 0.5]), "time_in_mesh_quantum_ms": d.one([1000, 1500]), "time_in_mesh_cap": d.one([5, 300]),
        "first_message_deliveries_weight": d.one([0, 1, 2.5]), "first_message_deliveries_decay": decay(d),
        "first_message_deliveries_cap": d.one([3, 100]),
        "mesh_message_deliveries_weight": d.one([0, 0, -0.5, -1]), "mesh_message_deliveries_decay": decay(d),
        "mesh_message_deliveries_cap": d.one([5, 50]), "mesh_message_deliveries_threshold": d.one([1, 2]),
        "mesh_message_deliveries_window_ms": d.one([10, 500]), "mesh_message_deliveries_activation_ms": d.one([1000, 3000]),
        "mesh_failure_penalty_weight": d.one([0, -1]), "mesh_failure_penalty_decay": decay(d),
        "invalid_message_deliveries_weight": d.one([0, -1, -10]), "invalid_message_deliveries_decay": decay(d),
    }


def scores(d, config):
    config["score_params"] = {
        "topic_score_cap": d.one([0, 0, 5, 50]), "app_specific_weight": 1,
        "ip_colocation_factor_weight": d.one([0, 0, -1]), "ip_colocation_factor_threshold": d.between(1, 3),
        "ip_colocation_factor_whitelist": [],
        "behaviour_penalty_weight": d.one([0, -1, -10]), "behaviour_penalty_threshold": d.one([0, 0, 2]),
        "behaviour_penalty_decay": decay(d), "decay_interval_ms": d.one([1000, 1000, 2000]), "decay_to_zero": 0.01,
        "retain_score_ms": d.one([5000, 3600000]), "seen_msg_ttl_ms": 0,
        "topics": {t: topic_score(d) for t in TOPICS if d.chance(0.6)},
    }
    config["thresholds"] = {"gossip": d.one([-1, -10]), "publish": d.one([-10, -20]), "graylist": d.one([-20, -40]),
                            "accept_px": d.one([0, 0, 5]), "opportunistic_graft": d.one([0, 1, 5])}


class Script:
    def __init__(self, d, number, features):
        self.d, self.number, self.features = d, number, features
        self.steps, self.t, self.ids, self.joined, self.relayed = [], 0, [], {}, {}
        self.of = {}  # the topic of an id: an id belongs to one
        self.config = self.make_config()
        self.peers = self.make_peers()
        self.names = [n for group in self.peers for n in group[0]]
        self.up, self.deaf, self.blocked = set(), set(), {}  # connected; without a stream to us; until when
        self.older = {n for group in self.peers if group[1] != "/meshsub/1.3.0" for n in group[0]}
        self.met, self.back, self.extended = set(), set(), set()  # connected before; again; announced extensions
        self.gone = {}  # the heartbeat in which a peer went
        self.direct = set(self.config.get("direct", []))

    def make_config(self):
        d, c = self.d, {}
        p = params(d)
        if p:
            c["params"] = p
        for key, chance in (("flood_publish", 0.2), ("peer_exchange", 0.35), ("validator", 0.3)):
            if d.chance(chance):
                c[key] = True
        if d.chance(0.2):
            c["outbound_queue"] = d.between(2, 6)
        if d.chance(0.1):
            c["max_message_size"] = d.between(1024, 3000)
            c["max_control_message_size"] = d.between(120, 400)
        if "scores" in self.features and d.chance(0.5):
            scores(d, c)
        if "extensions" in self.features and d.chance(0.3):
            c["test_extension"] = True
        if "partial" in self.features and d.chance(0.3):
            c["partial"] = {t: d.one(["requests", "supports"]) for t in TOPICS if d.chance(0.6)} or {"t": "supports"}
        return c

    def make_peers(self):
        d, out, made = self.d, [], 0
        crowd = d.weighted([(3, 2), (6, 4), (10, 3), (18, 2), (28, 1)])
        one_ip = self.config.get("score_params", {}).get("ip_colocation_factor_weight", 0) != 0
        while made < crowd:
            n = min(crowd - made, d.between(1, 6))
            group = [[f"p{made + i}" for i in range(n)], d.weighted(PROTOCOLS), "out" if d.chance(0.3) else "in"]
            if one_ip and d.chance(0.5):
                group.append(d.one(["192.0.2.1", "192.0.2.2", "2001:db8::1"]))
            out.append(group)
            made += n
        if d.chance(0.25):
            self.config["direct"] = [f"p{i}" for i in d.some(range(crowd), 2)]
        return out

    # ---- parts of an RPC ----

    def topic(self):
        return self.d.weighted([("t", 6), ("u", 3), ("v", 1.5), ("w", 0.5)])

    def new_id(self, topic):
        d = self.d
        prefix = d.weighted([("m", 8), ("bad", 0.7), ("ign", 0.7), ("loc", 0.5)])
        self.ids.append(f"{prefix}{len(self.ids)}")
        self.of[self.ids[-1]] = topic
        return self.ids[-1]

    def any_id(self, topic=None):
        known = [i for i in self.ids if topic is None or self.of[i] == topic]
        if known and not self.d.chance(0.2):
            return self.d.one(known[-8:] if self.d.chance(0.7) else known)
        return f"x{self.d.below(10)}{topic or self.topic()}"

    def some_ids(self, most, topic=None):
        return sorted({self.any_id(topic) for _ in range(self.d.between(1, most))})

    def message(self, topic, new):
        return [topic, self.new_id(topic) if self.d.chance(new) else self.any_id(topic), self.size()]

    def size(self):
        n = self.d.weighted([(9, 5), (120, 2), (1023, 0.5), (1024, 1), (1500, 2)])
        return min(n, self.config.get("max_message_size", 5000) - 50)  # an own message over the limit is refused here, lost there

    def subs(self):
        e = [self.topic(), not self.d.chance(0.2)]
        if "partial" in self.config and e[1] and self.d.chance(0.5):
            e += [self.d.chance(0.5), self.d.chance(0.5)]
        return e

    def prune(self):
        d = self.d
        backoff = d.weighted([(None, 2), (0, 1), (1, 2), (3, 2), (60, 3), (3600, 0.5), (100000, 0.3), ("18446744073709551615", 0.2),
                              ("1099511627776", 0.2)])
        px = []
        if d.chance(0.3):
            px = [[n] for n in sorted({d.one(self.names + ["q0", "q1", "q2", "q3", "q4", "q5", "q6"]) for _ in range(d.between(1, 6))})]
        return [self.topic(), backoff, px]

    def part(self, kind):
        d = self.d
        if kind == "subs":
            return [self.subs() for _ in range(d.between(1, 3))]
        if kind == "publish":
            return [self.message(self.topic(), 0.7) for _ in range(d.weighted([(1, 6), (3, 1)]))]
        if kind == "ihave":
            if "score_params" in self.config:  # one id of an IWANT is the promise, and which one nobody sees
                t = self.topic()
                return [[t, [self.any_id(t)]]]
            topics = [self.topic() for _ in range(d.between(1, 2))]
            return [[t, self.some_ids(7, t)] for t in topics]
        if kind == "iwant":
            return [self.some_ids(6) for _ in range(d.between(1, 2))]
        if kind == "idontwant":
            return [self.some_ids(8) for _ in range(d.between(1, 2))]
        if kind == "graft":
            return sorted({self.topic() for _ in range(d.between(1, 3))})
        if kind == "prune":
            return [self.prune() for _ in range(d.weighted([(1, 5), (2, 1)]))]
        if kind == "empty_control":
            return True
        if kind == "ext":
            return [e for e in ("test", "partial") if d.chance(0.6)]
        if kind == "test_ext":
            return True
        assert kind == "partial"
        return [self.topic(), f"g{d.below(4)}", d.one(["", "data"]), d.one(["", "meta"])]

    def rpc(self, first=False):
        d, out = self.d, {}
        kinds = [("subs", 2), ("publish", 5), ("ihave", 3), ("iwant", 3), ("idontwant", 2), ("graft", 4), ("prune", 2.5),
                 ("empty_control", 0.3)]
        if "extensions" in self.features:
            kinds += [("ext", 0.4), ("test_ext", 0.3)]
        if "partial" in self.config:
            kinds += [("partial", 1.5)]
        if first:
            if not d.chance(0.9):
                return None
            out["subs"] = [[t, True] + ([d.chance(0.5), d.chance(0.5)] if "partial" in self.config and d.chance(0.5) else [])
                           for t in TOPICS[:2] if d.chance(0.85)] or [["t", True]]
            if "extensions" in self.features and d.chance(0.5):
                out["ext"] = self.part("ext")
            return out
        for _ in range(d.weighted([(1, 6), (2, 2), (4, 1)])):
            kind = d.weighted(kinds)
            out[kind] = self.part(kind)
        self.once(out)
        if "empty_control" in out and len(out) > 1:
            del out["empty_control"]
        if "max_message_size" in self.config:  # an RPC that breaks the limits ends the stream: not here
            size = len(json.dumps({k: v for k, v in out.items() if k != "publish"})) + sum(m[2] + 40 for m in out.get("publish", []))
            control = len(json.dumps({k: v for k, v in out.items() if k != "publish"})) + 40 * len(out.get("publish", []))
            if size > self.config["max_message_size"] or control > self.config["max_control_message_size"]:
                return {"subs": [["t", True]]}
        return out

    def once(self, rpc):
        """An id stands in one place of an RPC, and messages that change scores through a validator stand alone: the reference looks at
        its validation of a message after the rest of the RPC, and notices a second copy in silence. What an RPC does to itself is
        not compared."""
        if "score_params" in self.config and "validator" in self.config and "publish" in rpc:
            for key in [k for k in rpc if k != "publish"]:
                del rpc[key]
        seen = set()
        rpc["publish"] = [m for m in rpc.get("publish", []) if m[1] not in seen and not seen.add(m[1])]
        rpc["ihave"] = [[t, l] for t, l in ((t, [i for i in l if i not in seen]) for t, l in rpc.get("ihave", [])) if l]
        rpc["iwant"] = [l for l in ([i for i in l if i not in seen] for l in rpc.get("iwant", [])) if l]
        for key in ("publish", "ihave", "iwant"):
            if not rpc[key]:
                del rpc[key]
        if not rpc:
            rpc["graft"] = self.part("graft")

    # ---- steps ----

    def add(self, *step):
        self.steps.append([self.t, *step])

    def keep_ext(self, names, rpc):
        """The reference keeps what a peer older than v1.3 announced in its first RPC, even if nothing, for ever, and blames the same in
        a later connection; here it ends with the stream. Such a peer announces extensions in its first connection or comes back."""
        if rpc and "ext" in rpc:
            if self.older & self.back & set(names):
                del rpc["ext"]
            else:
                self.extended.update(names)

    def listening(self):
        return sorted(self.up - self.deaf)

    def connect(self, names):
        for n in names:
            self.up.add(n)
            self.deaf.discard(n)
        self.back |= self.met & set(names)
        self.met.update(names)
        rpc = self.rpc(first=True)
        self.keep_ext(names, rpc)
        self.add("connect", names, *([rpc] if rpc else []))

    def step(self):
        d = self.d
        # What was counted of a peer in a heartbeat is the connection's here, the peer's there: who goes comes back after the next.
        down = [n for n in self.names if n not in self.up and self.gone.get(n, -1) < (self.t - 100) // 1000
                and n not in self.older & self.extended]
        talk = self.listening()
        may = [("state", 1.5), ("publish", 3)]
        if down:
            may.append(("connect", 3))
        if talk:
            may += [("rpc", 22), ("close_in", 0.2)]
        if self.up:
            may += [("disconnect", 0.7), ("direct", 0.4)]
        if "score_params" in self.config and self.up:
            may.append(("app_score", 3))
        if not self.blocked:  # announcements that meet a full queue are tried again at a random time
            may += [("join", 1.2), ("leave", 0.6), ("relay", 0.3), ("unrelay", 0.3)]
        if "outbound_queue" in self.config and [n for n in self.up if n not in self.blocked]:
            may.append(("block", 2))
        op = d.weighted(may)
        if op == "connect":
            self.connect(d.some(down, d.weighted([(1, 3), (3, 2), (len(down), 1)])))
        elif op == "rpc":
            names = d.some(talk, d.weighted([(1, 8), (3, 2), (len(talk), 1)]))
            rpc = self.rpc()
            if set(names) & set(self.blocked):  # a queue counts RPCs: what asks for several parts of an answer is not comparable
                kind = d.one([k for k in ("graft", "prune", "subs", "publish", "idontwant", "iwant", "ihave") if k in rpc] or ["graft"])
                rpc = {kind: self.part(kind)[:1]}
                if kind == "iwant":
                    rpc[kind] = [rpc[kind][0][:1]]
            if len(names) > 1 or len(rpc.get("prune", [])) > 1:  # who chose which peers of several lists is not to be seen
                most = self.config.get("params", {}).get("PrunePeers", 16)
                rpc["prune"] = [[t, s, px[:most]] for t, s, px in rpc.get("prune", [])]
                if not rpc["prune"]:
                    del rpc["prune"]
            self.keep_ext(names, rpc)
            if not rpc:
                rpc["subs"] = [["t", True]]
            self.add("rpc", names if len(names) > 1 else names[0], rpc)
        elif op == "publish":
            topic = d.weighted([("t", 5), ("u", 4), ("v", 2)])
            self.add("publish", *self.message(topic, 1 if self.blocked else 0.85))
        elif op == "state":
            self.add("state")
        elif op == "close_in":
            n = d.one(talk)
            self.deaf.add(n)
            self.add("close_in", n)
        elif op == "disconnect":
            n = d.one(sorted(self.up))
            self.up.discard(n)
            self.deaf.discard(n)
            self.blocked.pop(n, None)
            self.gone[n] = (self.t - 100) // 1000
            self.add("disconnect", n)
        elif op == "direct":
            n = d.one(self.names)
            self.add("direct_remove" if n in self.direct else "direct_add", n)
            self.direct ^= {n}
        elif op == "app_score":
            self.add("app_score", d.some(sorted(self.up), d.between(1, 3)), d.one([-50, -25, -15, -5, -1, -0.5, 0, 0, 1, 4, 10]))
        elif op == "block":
            n = d.one([n for n in sorted(self.up) if n not in self.blocked])
            self.blocked[n] = self.t + d.between(200, 6000)
            self.add("block", n)
        else:
            topic = d.weighted([("t", 5), ("u", 3), ("v", 1)])
            have = self.joined if op in ("join", "leave") else self.relayed
            if op in ("join", "relay"):
                have[topic] = have.get(topic, 0) + 1
            elif have.get(topic, 0) == 0:
                return
            else:
                have[topic] -= 1
            self.add(op, topic)

    def advance(self, by):
        """To a time when the node itself does nothing."""
        self.t += by
        while self.t % 100 == 0 or self.t % 1000 == 100:
            self.t += 7

    def release(self):
        for n, until in sorted(self.blocked.items()):
            if until <= self.t:
                del self.blocked[n]
                self.add("unblock", n)
                self.advance(3)

    def make(self):
        d = self.d
        for topic in TOPICS[:2]:
            if d.chance(0.65):
                self.advance(3)
                self.joined[topic] = 1
                self.add("join", topic)
        self.advance(5)
        if d.chance(0.8):
            self.connect(d.some(self.names, max(1, len(self.names) - d.below(3))))
        pace = d.one([20, 150, 400, 400, 1500])
        for _ in range(d.between(8, 60)):
            self.advance(d.between(1, pace))
            self.release()
            self.step()
            if self.t > 115000:
                break
        for n in sorted(self.blocked):
            self.advance(3)
            self.add("unblock", n)
        self.advance(1200)
        self.add("state")
        self.advance(1000)
        return {"name": f"script-{self.number}", "seed": self.number + 1, "config": self.config, "peers": self.peers,
                "script": self.steps, "end": self.t + 50}


def case(seed, number, features):
    return Script(Dice(f"{seed}/{number}"), number, features).make()


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--seed", default="1")
    a.add_argument("--first", type=int, default=0)
    a.add_argument("--count", type=int, default=50)
    a.add_argument("--features", default="")
    o = a.parse_args()
    features = [f for f in o.features.split(",") if f]
    assert all(f in FEATURES for f in features), f"features: {FEATURES}"
    for n in range(o.first, o.first + o.count):
        print(json.dumps(case(o.seed, n, features), separators=(",", ":")))


if __name__ == "__main__":
    main()
