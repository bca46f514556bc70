"""The differential run: the engine and go-libp2p-pubsub take the same scripts, and everything to be seen is compared.

1. generate.py writes cases; 2. the engine runs them and tells what it chose wherever there was a choice; 3. the reference runs
them, choosing the same wherever it may; 4. the engine compares. Ties between choices that leave different traces later (and only
those) are broken at random on the reference's side: what differs is tried again up to ROUNDS + MORE times, and is a difference if no run
of the reference does what the engine did.

With --work the cases are kept there in blocks, and a second call goes on where the first one ended. Exit: 0 clean, 1 differences,
77 no Go."""

import argparse
import collections
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time

import generate
import rules

HERE = os.path.dirname(os.path.abspath(__file__))
ROUNDS = 24  # for what a rule explains: a better choice may show more
MORE = 72  # for what is unexplained: some ties (the order of topics in a heartbeat) are met one time in ten
BLOCK = 50
SHRINK_S = 60


def lines(cases):
    return "".join(json.dumps(c, separators=(",", ":")) + "\n" for c in cases)


class Pair:
    """Both sides."""

    def __init__(self, engine, reference, folder):
        self.engine, self.reference, self.folder = engine, reference, folder

    def path(self, name):
        return os.path.join(self.folder, name)

    def observe(self, cases):
        with open(self.path("cases"), "w") as f:
            f.write(lines(cases))
        subprocess.run([self.engine, "observe", self.path("cases"), self.path("guided")], check=True)
        with open(self.path("guided")) as f:
            return [json.loads(l) for l in f]

    def once(self, guided):
        """[(case with expect, verdict, why)]"""
        with open(self.path("guided"), "w") as f:
            f.write(lines(guided))
        env = dict(os.environ, MESHSUB_CASES=self.path("guided"), MESHSUB_RESULTS=self.path("results"), GOLOG_LOG_LEVEL="panic")
        r = subprocess.run([self.reference, "-test.run", "^TestDifferential$", "-test.timeout", "30m"], env=env, text=True,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if r.returncode:
            sys.stdout.write(r.stdout[-4000:])
            sys.exit("the reference's side failed")
        with open(self.path("results")) as f:
            results = [json.loads(l) for l in f]
        assert len(results) == len(guided)
        return self.judge(results)

    def judge(self, results):
        """The same of cases that have an expect."""
        met = [rules.apply(c) for c in results]
        with open(self.path("results"), "w") as f:
            f.write(lines(results))
        out = subprocess.run([self.engine, "compare", self.path("results")], check=True, text=True, stdout=subprocess.PIPE).stdout
        verdicts = [json.loads(l) for l in out.splitlines()]
        assert len(results) == len(verdicts)
        out = []
        for c, v, m in zip(results, verdicts, met):
            if v["verdict"] == "differs":
                m = m + rules.explain(c, v["why"])
            explained = m and v["verdict"] == "equal" or rules.ends(m)
            out.append((dict(c, rules=m), "rule" if explained else v["verdict"], v.get("why", "")))
        return out

    def run(self, cases, rounds=ROUNDS, more=MORE):
        """{name: (case, verdict, why)}"""
        done, left = {}, self.observe(cases)
        for n in range(1, rounds + more + 1):
            for c, verdict, why in self.once(left):  # what a rule has explained stays so, whatever a worse choice shows later
                if verdict != "differs" or done.get(c["name"], (0, "differs"))[1] == "differs":
                    done[c["name"]] = (c, verdict, why)
            left = [g for g in left if done[g["name"]][1] == "differs" or n < rounds and rules.ends(done[g["name"]][0]["rules"])]
            if not left:
                break
        return done


# ---- smaller ----

def pieces(case):
    """Every way to make the case a little smaller."""
    script = case["script"]
    n = len(script)
    size = max(1, n // 2)
    while size >= 1:
        for at in range(0, n, size):
            yield dict(case, script=script[:at] + script[at + size:])
        if size == 1:
            break
        size = size // 2
    for i, step in enumerate(script):
        if step[1] in ("rpc", "connect") and isinstance(step[2], list) and len(step[2]) > 1:
            for k in range(len(step[2])):
                yield dict(case, script=script[:i] + [[*step[:2], step[2][:k] + step[2][k + 1:], *step[3:]]] + script[i + 1:])
        if len(step) > 3 and isinstance(step[3], dict):
            for key, value in step[3].items():
                rest = {k: v for k, v in step[3].items() if k != key}
                if rest or step[1] == "connect":
                    yield dict(case, script=script[:i] + [[*step[:3], rest] if rest else step[:3]] + script[i + 1:])
                if isinstance(value, list) and len(value) > 1 and key != "partial":
                    for k in range(len(value)):
                        yield dict(case, script=script[:i] + [[*step[:3], dict(step[3], **{key: value[:k] + value[k + 1:]})]] + script[i + 1:])
    for key in case["config"]:
        yield dict(case, config={k: v for k, v in case["config"].items() if k != key})
    for key in case["config"].get("params", {}):
        yield dict(case, config=dict(case["config"], params={k: v for k, v in case["config"]["params"].items() if k != key}))


def valid(case):
    """Whether steps still fit together: nobody speaks who is not connected, and so on."""
    up, deaf, blocked, count, direct = set(), set(), set(), collections.Counter(), set(case["config"].get("direct", []))
    p = dict(D=6, Dlo=5, Dhi=12, Dscore=4, Dout=2, HistoryLength=5, HistoryGossip=3)
    p.update({k: v for k, v in case["config"].get("params", {}).items() if k in p})
    if not (p["Dlo"] <= p["D"] <= p["Dhi"] and p["Dscore"] <= p["Dhi"] and p["HistoryGossip"] <= p["HistoryLength"]):
        return False
    if not (p["Dout"] < p["Dlo"] and p["Dout"] < p["D"] // 2 or p["D"] == p["Dhi"] == 0):
        return False
    older = {n for group in case["peers"] if group[1] != "/meshsub/1.3.0" for n in group[0]}
    met, back, extended = set(), set(), set()
    for step in case["script"]:
        op, what = step[1], step[2] if len(step) > 2 else None
        names = what if isinstance(what, list) else [what]
        if op == "connect":
            back |= met & set(names)
            met.update(names)
        if op == "connect" and older & extended & set(names):
            return False
        if op in ("connect", "rpc") and len(step) > 3 and "ext" in step[3]:
            if older & back & set(names):
                return False
            extended.update(names)
        if op == "connect":
            if any(n in up for n in names):
                return False
            up.update(names)
            deaf.difference_update(names)
        elif op in ("rpc", "close_in", "block", "unblock", "disconnect"):
            if any(n not in up or (n in deaf and op in ("rpc", "close_in")) for n in names):
                return False
            if op in ("block", "unblock"):
                if (what in blocked) != (op == "unblock"):
                    return False
                blocked ^= {what}
            if op == "disconnect":
                up.difference_update(names)
                blocked.difference_update(names)
            if op == "close_in":
                deaf.update(names)
        elif op in ("direct_add", "direct_remove"):
            if (what in direct) != (op == "direct_remove"):
                return False
            direct ^= {what}
        elif op == "app_score":
            if any(n not in up for n in names):
                return False
        elif op in ("join", "relay"):
            count[op, what] += 1
        elif op in ("leave", "unrelay"):
            key = ("join" if op == "leave" else "relay", what)
            count[key] -= 1
            if count[key] < 0:
                return False
    return True


def usable(pair, cases):
    """Without those whose parameters do not fit together: the engine refuses them."""
    def fits(some):
        try:
            return bool(pair.observe(some))
        except subprocess.CalledProcessError:
            return False
    return cases if not cases or fits(cases) else [c for c in cases if fits([c])]


def shrunk(pair, case):
    case = {k: v for k, v in case.items() if k not in ("expect", "choices", "guide", "rules")}
    best, end = None, time.monotonic() + SHRINK_S
    while time.monotonic() < end:
        tries = [c for c in pieces(case) if valid(c) and c != case]
        hit = None
        for at in range(0, len(tries), 40):
            part = [dict(c, name=str(i)) for i, c in enumerate(tries[at:at + 40])]
            part = usable(pair, part)
            done = pair.run(part, 3, 0) if part else {}
            differing = [c for c in part if done[c["name"]][1] == "differs"]
            if differing:
                hit = min(differing, key=lambda c: len(json.dumps(c)))
                best = done[hit["name"]][2]
                break
        if hit is None:
            break
        case = dict(hit, name=case["name"])
    return case, best


# ---- what was covered ----

def cover(of, case):
    """Counts what the case contains and what came of it."""
    for key, value in case["config"].items():
        of["config"][key] += 1
        if key == "params":
            of["params"].update(value.keys())
    for group in case["peers"]:
        of["peers"][f"{group[1]} {group[2]}"] += len(group[0])
    for step in case["script"]:
        of["steps"][step[1]] += 1
        if len(step) > 3 and isinstance(step[3], dict):
            of["parts of RPCs received"].update(step[3].keys())
    for e in case["expect"]:
        of["instants"]["with something to compare"] += 1
        for _, rpcs in e.get("rpc", []):
            for r in rpcs:
                for key, value in r.items():
                    of["parts of RPCs sent"][key] += len(value) if isinstance(value, list) else 1
        of["traced"].update(" ".join([t[0], t[3] if t[0] == "reject" else ""]).strip() for t in e.get("trace", []))
        if "state" in e:
            of["states"].update(k for k, v in e["state"].items() if v)
    of["choices with more candidates than wanted"].update(case["choices"])


def block(pair, seed, first, count, features):
    """Runs so many scripts; what is to be known of them, as plain data."""
    of, verdicts, ruled, missing, failed = collections.defaultdict(collections.Counter), *(collections.Counter() for _ in range(3)), []
    for c, verdict, why in pair.run([generate.case(seed, n, features) for n in range(first, first + count)]).values():
        verdicts[verdict] += 1
        ruled.update(c["rules"] or (["of the recorded vectors"] if verdict == "rule" else []))
        cover(of, c)
        if verdict == "skipped":
            missing[why] += 1
        if verdict == "differs":
            failed.append([generate.case(seed, int(c["name"].split("-")[1]), features), why])
    return {"verdicts": verdicts, "ruled": ruled, "missing": missing, "failed": failed, "coverage": of}


# ---- of the run itself ----

def mutations(case):
    """The recording with one difference, each of another kind."""
    def changed(change):
        c = json.loads(json.dumps(case))
        return c if change(c["expect"]) else None

    def rpcs(expect):
        return [(e, l) for e in expect for l in e.get("rpc", [])]

    def lose_rpc(expect):
        for e, l in rpcs(expect)[:1]:
            e["rpc"].remove(l)
            return True

    def another_peer(expect):
        for _, l in rpcs(expect)[-1:]:
            l[0] = ["nobody"]
            return True

    def later(expect):
        for e, _ in rpcs(expect)[:1]:
            e["t"] += 1
            return True

    def trace(expect):
        for e in expect:
            if e.get("trace"):
                e["trace"].pop()
                return True

    def mesh(expect):
        for e in expect:
            for l in e.get("state", {}).get("mesh", {}).values():
                l.append("nobody")
                return True

    def score(expect):
        for e in expect:
            if "score" in e.get("state", {}):
                e["state"]["score"].append([-1, ["nobody"]])
                return True
    return {f.__name__: c for f in (lose_rpc, another_peer, later, trace, mesh, score) if (c := changed(f))}


def self_check(pair, seed, first, count, features):
    """Of scripts that are equal, every mutation has to be found and left unexplained. Returns how many were not."""
    tried, missed = collections.Counter(), 0
    for c, verdict, _ in pair.run([generate.case(seed, n, features) for n in range(first, first + count)]).values():
        if verdict != "equal" or c["rules"]:
            continue
        for kind, bad in mutations(c).items():
            tried[kind] += 1
            _, got, why = pair.judge([bad])[0]
            if got != "differs":
                missed += 1
                print(f"{c['name']}: mutation {kind} is {got} {why}")
    print("mutations of the recording: " + ", ".join(f"{k} {n}" for k, n in tried.items()) + f"; not found {missed}")
    return missed + sum(k not in tried for k in ("lose_rpc", "another_peer", "later", "trace", "mesh", *(["score"] if "scores" in features else [])))


def kept(path, make):
    """The result that stands at the path, else a new one that is put there."""
    if path and os.path.exists(path):
        with open(path) as f:
            return json.load(f)
    result = make()
    if path:
        with open(path + ".new", "w") as f:
            json.dump(result, f)
        os.replace(path + ".new", path)
    return result


def identity(*files):
    h = hashlib.sha256()
    for name in files:
        with open(name, "rb") as f:
            h.update(f.read())
    return h.hexdigest()[:16]


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--engine", required=True, help="the program differential-engine")
    a.add_argument("--count", type=int, default=50)
    a.add_argument("--first", type=int, default=0)
    a.add_argument("--seed", default="1")
    a.add_argument("--features", default="", help=", ".join(generate.FEATURES))
    a.add_argument("--work", help="folder for the results of every block")
    a.add_argument("--shrink", type=int, default=3, metavar="N", help="so many differences are printed as the smallest case (3)")
    a.add_argument("--self-check", action="store_true", help="changes the recordings: every change has to be found")
    o = a.parse_args()
    built = subprocess.run([os.path.join(HERE, "go", "build.sh")], text=True, stdout=subprocess.PIPE)
    if built.returncode:
        return built.returncode
    reference, features = built.stdout.strip(), [f for f in o.features.split(",") if f]
    keep = None
    if o.work:
        mine = [os.path.join(HERE, n) for n in ("generate.py", "rules.py", "run.py")]
        keep = os.path.join(o.work, f"{identity(o.engine, reference, *mine)}-{o.seed}-{o.features or 'none'}")
        os.makedirs(keep, exist_ok=True)
    verdicts, ruled, missing, failed = *(collections.Counter() for _ in range(3)), []
    of, started = collections.defaultdict(collections.Counter), time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        pair = Pair(o.engine, reference, folder)
        if o.self_check:
            return 1 if self_check(pair, o.seed, o.first, o.count, features) else 0
        for at in range(o.first, o.first + o.count, BLOCK):
            n = min(BLOCK, o.first + o.count - at)
            r = kept(keep and os.path.join(keep, f"{at}-{n}.json"), lambda: block(pair, o.seed, at, n, features))
            verdicts.update(r["verdicts"])
            ruled.update(r["ruled"])
            missing.update(r["missing"])
            for what, counts in r["coverage"].items():
                of[what].update(counts)
            for c, why in r["failed"]:
                print(f"{c['name']}: {why}", flush=True)
            failed += r["failed"]
        for c, why in failed[:o.shrink]:
            small, smaller = shrunk(pair, c)
            print(f"\n{small['name']}, smallest: {smaller or why}\n{json.dumps(small)}")
    print(f"seed {o.seed}, features {o.features or 'none'}, {time.monotonic() - started:.0f} s")
    for what, counts in of.items():
        print(f"  {what}: " + ", ".join(f"{k} {n}" for k, n in sorted(counts.items(), key=lambda x: (-x[1], x[0]))))
    for name, n in sorted(ruled.items()):
        text = next((f"{r.text} ({r.where})" for r in rules.RULES if r.name == name), "see tests/vectors/go_control.c")
        print(f"  by rule \"{name}\", {n} scripts: {text}")
    for what, n in missing.items():
        print(f"  skipped, needs {what}: {n}")
    print(f"differential: {sum(verdicts.values())} scripts, {verdicts['equal']} equal, {verdicts['rule']} by rule, "
          f"{verdicts['skipped']} skipped, unexplained {verdicts['differs']}")
    return 1 if verdicts["differs"] or verdicts["skipped"] else 0


if __name__ == "__main__":
    sys.exit(main())
