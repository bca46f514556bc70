#!/usr/bin/env python3
"""meshsub check-params: the shipped profiles, the exit codes, and its messages word for word.

usage: cli_params.py PATH OF meshsub, FOLDER OF THE PROFILES
"""

import json
import os
import subprocess
import sys
import tempfile

OK, FAILED, USAGE, REFUSED = 0, 1, 2, 3
P = "meshsub check-params: "

# Two topics: "paid" gives 1 x (0.5 x 10 + 2 x 50) = 105; of "owed" a silent member has 2 x (0.25 x 40 - 3 x 4^2) = -76.
TOPIC = {
    "topic_weight": 1, "time_in_mesh_weight": 0.5, "time_in_mesh_quantum_ms": 1000, "time_in_mesh_cap": 10,
    "first_message_deliveries_weight": 2, "first_message_deliveries_decay": 0.9, "first_message_deliveries_cap": 50,
    "invalid_message_deliveries_weight": -1, "invalid_message_deliveries_decay": 0.9,
}
OWED = dict(TOPIC, topic_weight=2, time_in_mesh_weight=0.25, time_in_mesh_cap=40, first_message_deliveries_weight=0,
            mesh_message_deliveries_weight=-3, mesh_message_deliveries_decay=0.9, mesh_message_deliveries_cap=100,
            mesh_message_deliveries_threshold=4, mesh_message_deliveries_window_ms=10,
            mesh_message_deliveries_activation_ms=20000)
ALL = {"decay_interval_ms": 1000, "decay_to_zero": 0.01, "retain_score_ms": 10000,
       "thresholds": {"gossip": -10, "publish": -20, "graylist": -30}}

failures = 0


def run(binary, *arguments):
    done = subprocess.run([binary, "check-params", *arguments], stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def expect(what, got, wanted):
    global failures
    if got != wanted:
        failures += 1
        print(f"not ok: {what}\n  wanted {wanted!r}\n  got    {got!r}")


def profile(name, **parts):
    with open(name, "w") as f:
        json.dump({**ALL, **parts}, f)
    return name


def write(text, name="given.yaml"):
    with open(name, "wb") as f:
        f.write(text.encode() if isinstance(text, str) else text)
    return name


def shipped(binary, folder):
    eth = os.path.join(folder, "ethereum-2022.yaml")
    code, out, err = run(binary, eth)
    expect("ethereum-2022", code, REFUSED)
    expect("ethereum-2022, first line", err.split("; make ")[0], (
        P + eth + ' refused: topic "/eth2/4a26c58b/beacon_attestation_0/ssz_snappy": a member that forwards nothing keeps a positive total for ever: '
        "-2.61973 there (0.015625 x (10 - 0.015625 x 106.632^2)), up to 106.719 on the other topics, 53.75 in all"))
    lines = out.splitlines()
    expect("ethereum-2022, topics", (len(lines), sum(x.startswith("refused: ") for x in lines)), (69, 64))
    # What the first line says to do, done.
    weight = err.split("at most ")[1].split(",")[0]
    text = open(eth).read()
    old = "    mesh_message_deliveries_weight: -0.015625\n"
    expect("ethereum-2022, the weight of subnets", text.count(old), 1)
    expect("ethereum-2022, mended", run(binary, write(text.replace(old, f"    mesh_message_deliveries_weight: {weight}\n")))[0], OK)

    fil = os.path.join(folder, "filecoin-2022.yaml")
    code, out, err = run(binary, fil)
    expect("filecoin-2022", (code, len(out.splitlines())), (OK, 4))
    expect("filecoin-2022, warning", err, (
        P + f"warning: {fil}: on 4 of 4 topics a silent member is never below zero; give them mesh_message_deliveries_weight and _threshold\n"))
    expect("filecoin-2022 --strict", run(binary, "--strict", fil)[0], REFUSED)

    code, out, err = run(binary, "--default", "--strict")
    expect("--default --strict", (code, err), (OK, ""))
    expect("--default --strict, text", out.startswith('good: "(any other topic)": '), True)


def by_hand(binary):
    code, out, err = run(binary, profile("two.json", topics={"paid": TOPIC, "owed": OWED}))
    expect("two topics", code, REFUSED)
    expect("two topics, stderr", err, (
        P + 'two.json refused: topic "owed": a member that forwards nothing keeps a positive total for ever: -76 there (2 x (10 - 3 x 4^2)), up to '
        "105 on the other topics, 29 in all; make mesh_message_deliveries_weight there at most -3.9063, or set cap_what_is_positive and a low topic_score_cap\n"))
    expect("two topics, stdout", out, (
        'warning: "paid": a member that forwards nothing has 5 here, up to 20 on other topics, 25 in all; by this topic alone it is never below zero\n'
        'refused: "owed": a member that forwards nothing has -76 here, up to 105 on other topics, 29 in all; by this topic alone it is below zero after 21 heartbeats\n'))
    # 125 - w x 32 = 0 at 3.90625.
    for weight, code in (-3.9062, REFUSED), (-3.9063, OK):
        expect(f"weight {weight}", run(binary, profile("two.json", topics={
            "paid": TOPIC, "owed": dict(OWED, mesh_message_deliveries_weight=weight)}))[0], code)
    # A cap on the sum changes nothing, one on what is positive does: 10 + 76 > 0 at a cap of 77, not at 76.
    for cap, positive, code in (1, False, REFUSED), (77, True, REFUSED), (76, True, OK):
        expect(f"cap {cap}", run(binary, profile("two.json", topics={"paid": TOPIC, "owed": OWED}, topic_score_cap=cap,
                                                 cap_what_is_positive=positive))[0], code)
    expect("heartbeats of 700 ms", '"heartbeats":30}' in run(
        binary, profile("two.json", topics={"paid": TOPIC, "owed": OWED}), "--json", "--heartbeat", "700ms")[1], True)
    # Parameters for topics without a name hold for any number of them.
    code, out, err = run(binary, profile("any.json", other_topics=OWED), "--json")
    expect("any other topic", (code, json.loads(out.splitlines()[0])), (REFUSED, {
        "topic": "(any other topic)", "verdict": "refused", "here": -76.0, "others": None, "total": None, "heartbeats": 21}))
    expect("any other topic, stderr", err.endswith("; set topic_score_cap and cap_what_is_positive, so that there is a bound\n"), True)
    code, out, err = run(binary, profile("any.json", other_topics=OWED, topic_score_cap=70, cap_what_is_positive=True), "--json")
    expect("any other topic, a cap", (code, json.loads(out.splitlines()[0])["total"]), (OK, -6.0))
    # With a share: deficit = sqrt((20 + 70) / 6) = 3.87298 of the threshold 4; the median needs 1/0.5 of that.
    share = dict(OWED, mesh_message_deliveries_share=0.5)
    code, out, err = run(binary, profile("any.json", other_topics=share, topic_score_cap=70, cap_what_is_positive=True), "--json")
    expect("a share", (code, round(json.loads(out.splitlines()[0])["median"], 6)), (OK, 7.745967))
    expect("a share, summary", json.loads(out.splitlines()[1]), {
        "profile": "any.json", "verdict": "good", "topics": 1, "refused": 0, "never": 0})
    code, out, err = run(binary, profile("none.json", topics={}))
    expect("no topics", (code, out, err), (OK, "good: no topic is scored; the scores are those of P5, P6 and P7\n", ""))
    # The same in YAML, with durations as text, an alias and a prefix.
    code, out, err = run(binary, write('''
decay_interval: 1s
decay_to_zero: 0.01
ip_colocation_factor_weight: -1
ip_colocation_factor_threshold: 2
ip_colocation_factor_whitelist: [192.0.2.0/24, "2001:db8::/32"]
thresholds: {gossip: -10, publish: -20, graylist: -30}
topics:
  a: &t
    topic_weight: 2
    time_in_mesh_weight: 0.25
    time_in_mesh_quantum: 1s
    time_in_mesh_cap: 40
    mesh_message_deliveries_weight: -3
    mesh_message_deliveries_decay: 0.9
    mesh_message_deliveries_cap: 100
    mesh_message_deliveries_threshold: 4
    mesh_message_deliveries_activation: 20s
    invalid_message_deliveries_decay: 0.9
  "b c": *t
'''), "--json")
    expect("yaml", (code, [json.loads(x).get("here") for x in out.splitlines()[:2]], err), (OK, [-76.0, -76.0], ""))


def documented(binary, folder):
    """The file in docs/cli.md has every key."""
    text = open(os.path.join(folder, "../../docs/cli.md")).read().split("```yaml\n")[-1].split("```")[0]
    code, out, err = run(binary, "--strict", write(text))
    expect("docs/cli.md", (code, [x.split(":")[0] for x in out.splitlines() if x[0] != " "], err), (OK, ["good"] * 3, ""))


BAD = [
    ("decay_interval_ms: 1000\ntopic_scorecap: 3\n", ', line 2: unknown key "topic_scorecap"; did you mean "topic_score_cap"?'),
    ("nothing_like_it_at_all_here: 3\n", ', line 1: unknown key "nothing_like_it_at_all_here"; leave it out, or see docs/cli.md for the names'),
    ("topics:\n  x:\n    mesh_message_delivery_threshold: 3\n",
     ', line 3: unknown key "mesh_message_delivery_threshold"; did you mean "mesh_message_deliveries_threshold"?'),
    ("thresholds:\n  gosip: -1\n", ', line 2: unknown key "gosip"; did you mean "gossip"?'),
    ("decay_to_zero: 0.1\ndecay_to_zero: 0.2\n", ', line 2: "decay_to_zero" stands in line 1 already; leave one of them'),
    ("topics:\n  a: {}\n  a: {}\n", ', line 3: "a" stands in line 2 already; leave one of them'),
    ("decay_to_zero: much\n", ', line 1: "decay_to_zero" "much": not a number'),
    ("decay_to_zero: 0x1\n", ', line 1: "decay_to_zero" "0x1": not a number'),
    ("decay_to_zero: .nan\n", ', line 1: "decay_to_zero" ".nan": not a number'),
    ("decay_to_zero: [1]\n", ', line 1: "decay_to_zero": one value is wanted here'),
    ("cap_what_is_positive: yes\n", ', line 1: "cap_what_is_positive" "yes": write true or false'),
    ("topics: 3\n", ', line 1: "topics": a map of keys and values is wanted here'),
    ("topics:\n  a: 3\n", ', line 2: "a": a map of keys and values is wanted here'),
    ('topics:\n  "": {}\n', ', line 2: "": a name has 1 to 256 bytes, none of them 0'),
    ('topics:\n  "a\\0b": {}\n', ', line 2: "a": a name has 1 to 256 bytes, none of them 0'),
    ("ip_colocation_factor_whitelist: 10.0.0.0/8\n", ', line 1: "ip_colocation_factor_whitelist": a list is wanted here, [ … ]'),
    ("ip_colocation_factor_whitelist: [10.0.0.0/33]\n",
     ': ip_colocation_factor_whitelist "10.0.0.0/33": not a prefix; write 192.0.2.0/24 or 2001:db8::/32'),
    ("ip_colocation_factor_threshold: 1.5\n", ": ip_colocation_factor_threshold 1.5: a number of peers, without a fraction"),
    ("decay_interval: 12\n", ': decay_interval "12": not a duration; write numbers with units, as "700ms" or "1m30s", or decay_interval_ms: NUMBER'),
    ("decay_interval: 1s\ndecay_interval_ms: 1000\n", ": decay_interval and decay_interval_ms: leave one of them"),
    ("retain_score_ms: -1\n", ": retain_score_ms -1: not a duration; write 0 or more milliseconds"),
    ("topics:\n  a:\n    time_in_mesh_quantum: soon\n",
     ': topic "a": time_in_mesh_quantum "soon": not a duration; write numbers with units, as "700ms" or "1m30s", or time_in_mesh_quantum_ms: NUMBER'),
    ("decay_interval: 1ms\ndecay_to_zero: 0.1\n", ": decay_interval 1ms: at least 1 s; change it in the file"),
    ("decay_interval: 1s\ndecay_to_zero: 1.5\n", ": decay_to_zero 1.5: between 0 and 1; change it in the file"),
    ("decay_interval: 1s\ndecay_to_zero: 0.1\nthresholds: {gossip: 1}\n", ": thresholds: gossip 1: must not be positive; change it in the file"),
    ("decay_interval: 1s\ndecay_to_zero: 0.1\ntopics:\n  a:\n    topic_weight: -1\n",
     ': topic "a": topic_weight -1: must not be negative; change it in the file'),
    ("decay_interval: 1s\ndecay_to_zero: 0.1\nother_topics:\n    topic_weight: 1\n",
     ": other_topics: time_in_mesh_quantum 0s: must not be 0; change it in the file"),
    ("[1, 2]\n", ", line 1: a map of keys and values is wanted"),
    ("", ", line 1: empty; a map of keys and values is wanted"),
    ("--- {}\n--- {}\n", ", line 2: a second document; one is wanted in a file"),
]


def bad(binary):
    for text, said in BAD:
        expect(f"refused: {text!r}", run(binary, write(text)), (FAILED, "", f'{P}"given.yaml"{said}\n'))
    code, out, err = run(binary, write("a: [\n"))
    expect("no yaml", (code, out, err.startswith(f'{P}"given.yaml", line ') and ": not YAML: " in err), (FAILED, "", True))
    # An alias may not bring in what the schema does not have; nor does nesting or size bring anything down.
    for text in ("thresholds: &x {gossip: -1}\ntopics: {a: *x}\n", "thresholds: &x {skip_atomic_validation: *x}\n", "topics: *none\n",
                 "topics: " + "[" * 5000, "topics: " + "{a: " * 5000, "&a a: *a\n", "? {a: b}\n: c\n", b"\xff\xfe\x00", b"topics: {\x00}"):
        code, out, err = run(binary, write(text))
        expect(f"{text[:40]!r}", (code, out, err.startswith(P + '"given.yaml"')), (FAILED, "", True))
    # The bounds: a file of 1 MiB, and one byte more; 4,095 topics, and one more; 64 prefixes, and one more.
    head = "decay_interval: 1s\ndecay_to_zero: 0.1\n"
    expect("1 MiB", run(binary, write(head + "#" * ((1 << 20) - len(head))))[0], OK)
    expect("1 MiB and a byte", run(binary, write(head + "#" * ((1 << 20) + 1 - len(head)))),
           (FAILED, "", f'{P}"given.yaml": longer than 1048576 bytes, the most that is read\n'))
    topics = head + "topics:\n  t0: &t {time_in_mesh_quantum: 1s, invalid_message_deliveries_decay: 0.5}\n"
    for n, code in (4094, OK), (4095, OK), (4096, FAILED):
        expect(f"{n} topics", run(binary, write(topics + "".join(f"  t{i}: *t\n" for i in range(1, n))))[0], code)
    for n, code in (63, OK), (64, OK), (65, FAILED):
        expect(f"{n} prefixes", run(binary, write(head + f"ip_colocation_factor_whitelist: [{', '.join(['10.0.0.1'] * n)}]\n"))[0], code)
    for n, code in (256, OK), (257, FAILED):
        expect(f"a name of {n} bytes", run(binary, write(head + f'topics: {{"{"n" * n}": {{time_in_mesh_quantum: 1s, invalid_message_deliveries_decay: 0.5}}}}\n'))[0], code)
    expect("missing", run(binary, "no.yaml"), (FAILED, "", f'{P}"no.yaml": cannot be read: No such file or directory\n'))
    expect("a folder", run(binary, "."), (FAILED, "", f'{P}".": cannot be read: Is a directory\n'))


def usage(binary):
    def text(said):
        return f'{P}{said}\nusage: meshsub check-params FILE | --default [options]\nRun "meshsub check-params --help" for the options.\n'
    expect("nothing", run(binary), (USAGE, "", text("FILE is missing; name a profile, or say --default")))
    expect("two files", run(binary, "a", "b"), (USAGE, "", text("one FILE only")))
    expect("both", run(binary, "--default", "b"), (USAGE, "", text("--default goes without a FILE")))
    code, out, err = run(binary, "--help")
    expect("help", (code, err, out.startswith("usage: meshsub check-params FILE | --default [options]\n")), (OK, "", True))


def main():
    binary, folder = (os.path.abspath(x) for x in sys.argv[1:3])
    with tempfile.TemporaryDirectory() as folder_of_ours:
        os.chdir(folder_of_ours)
        shipped(binary, folder)
        by_hand(binary)
        documented(binary, folder)
        bad(binary)
        usage(binary)
        os.chdir("/")
    print("all as expected" if not failures else f"{failures} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
