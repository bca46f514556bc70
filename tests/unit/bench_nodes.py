#!/usr/bin/env python3
"""meshsub-bench drives nodes in every shape that it knows: each message arrives where it should, and every figure is there.
usage: bench_nodes.py MESHSUB-BENCH"""
import json
import subprocess
import sys


def run(bench, *args):
    out = subprocess.run([bench, "run", *args, "--reps", "1", "--json"], capture_output=True, text=True, timeout=240)
    assert out.returncode == 0, out.stderr
    return {(r["bench"], r["arm"]): r for r in map(json.loads, out.stdout.splitlines())}


def main():
    bench = sys.argv[1]
    arms = ["epoll=ours:epoll", "nng=ours:nng"]
    both = [a for arm in arms for a in ("--arm", arm)]
    got = run(bench, "B1", "B4", "B5", "B6", "--count", "300", *both)
    assert sorted(got) == sorted((b, a.split("=")[0]) for b in ("B1", "B4", "B5", "B6") for a in arms), sorted(got)
    for (kind, _), r in got.items():
        assert r["lost"] == 0 and r["failures"] == 0 and r["n"] == 1, r
        assert r["cpu_us_pub"]["median"] > 0 and r["cpu_us_sub"]["median"] > 0 and r["rate"]["median"] > 0, r
        assert ("cpu_us_relay" in r) == (kind == "B5"), r
        assert ("p50_us" in r) == (kind == "B6"), r
    assert got["B5", "epoll"]["cpu_us_relay"]["median"] > 0, got
    idle = run(bench, "C1", "C2", *both)
    for (kind, arm), r in idle.items():
        assert r["unit"] == ("MiB" if kind == "C1" else "KiB/connection"), r
        # 200 connections take something, and neither a node nor a connection takes a hundred times its usual share. Both grew by what they grew: pages of files
        # may have gone meanwhile.
        assert 0 < r["anonymous"]["median"] <= 1.1 * r["RSS"]["median"] < (200 if kind == "C1" else 1000), r
        assert "rate" not in r, r
    bad = subprocess.run([bench, "run", "B1", "--arm", "x=ours:carrier-pigeon", "--reps", "1"], capture_output=True, text=True, timeout=60)
    assert bad.returncode == 1 and "no transport of this name" in bad.stderr, bad.stderr
    print("8 pairs of benchmark and transport, 2 idle figures of each")


main()
