#!/usr/bin/env python3
"""meshsub's error messages, word for word, with their exit codes.

usage: cli_errors.py PATH OF meshsub
"""

import os
import select
import socket
import subprocess
import sys
import tempfile
import time

FAILED, USAGE, LATE = 1, 2, 3
WITHIN = 30  # seconds for whatever is awaited

USAGES = {
    "pub": "meshsub pub TOPIC TEXT | - [options]",
    "sub": "meshsub sub TOPIC... [options]",
    "node": "meshsub node [options]",
    "key": "meshsub key new FILE | show FILE | import PEM FILE | export FILE PEM",
    "key new": "meshsub key new FILE [options]",
    "key show": "meshsub key show FILE [options]",
    "key import": "meshsub key import PEM FILE [options]",
    "key export": "meshsub key export FILE PEM | - [options]",
}
ADDRESS = "write /ip4/HOST/tcp/PORT"


def usage(program, text):
    return f'meshsub {program}: {text}\nusage: {USAGES[program]}\nRun "meshsub {program} --help" for the options.\n'


def static_cases():
    """(arguments, exit code, stderr): nothing is begun in any of them."""
    yield [], USAGE, 'meshsub: a command is missing; run "meshsub --help" for the list\n'
    yield ["pubb"], USAGE, 'meshsub: unknown command "pubb"; did you mean "pub"? Run "meshsub --help" for the list\n'
    yield ["frobnicate"], USAGE, 'meshsub: unknown command "frobnicate"; run "meshsub --help" for the list\n'
    yield ["--frob"], USAGE, 'meshsub: unknown option "--frob"; run "meshsub --help" for the list\n'
    yield ["pub"], USAGE, usage("pub", "TOPIC is missing; name the topic to publish on")
    for topic in ("--topic", "--relay"):
        yield ["node", topic, "news", "--topics-allow", "new", "--topics-regex", "new"], USAGE, usage(
            "node", 'topic "news": neither --topics-allow nor --topics-regex allows it')
    yield ["node", "--topics-regex", "a)(b"], USAGE, usage("node", '--topics-regex "a)(b": Unmatched ( or \\(')
    yield ["pub", "t"], USAGE, usage("pub", "TEXT is missing; give a text, or - for the lines of stdin")
    yield ["pub", "t", "two", "words"], USAGE, usage(
        "pub", '"words" is one word too many; put a text with spaces in quotes')
    yield ["pub", "t", "x"], USAGE, usage("pub", "no way to peers; give --connect ADDR, --listen ADDR or --socket PATH")
    yield ["pub", "t", "x", "--conect", "y"], USAGE, usage(
        "pub", 'unknown option "--conect"; did you mean --connect?')
    yield ["pub", "t", "x", "--connect"], USAGE, usage("pub", "--connect needs a value: --connect ADDR")
    yield ["pub", "t", "x", "--connect", "localhost:4001"], USAGE, usage(
        "pub", f'--connect "localhost:4001": not a multiaddress; {ADDRESS} or /ip6/HOST/tcp/PORT')
    if sys.platform == "linux":
        yield ["node", "--transport", "tcp"], USAGE, usage("node", '--transport "tcp": there are epoll and nng')
    yield ["pub", "t", "x", "--connect", "/ip4/127.0.0.1"], USAGE, usage(
        "pub", '--connect "/ip4/127.0.0.1": no /tcp part; write /ip4/127.0.0.1/tcp/PORT')
    yield ["pub", "t", "x", "--connect", "/ip4/127.0.0.1/udp/4001/quic-v1"], USAGE, usage(
        "pub", f'--connect "/ip4/127.0.0.1/udp/4001/quic-v1": only TCP over IP is spoken here; {ADDRESS}')
    yield ["pub", "t", "x", "--connect", "/ip4/127.0.0.1/tcp/0"], USAGE, usage(
        "pub", '--connect "/ip4/127.0.0.1/tcp/0": port 0 cannot be connected to; write the port that the node listens on')
    yield ["pub", "t", "x", "--timeout", "10", "--connect", "a"], USAGE, usage(
        "pub", '--timeout "10": not a duration; write numbers with units, at least 1ms: 5s, 200ms, 1h30m')
    yield ["pub", "t", "x", "--wait=-1"], USAGE, usage("pub", '--wait "-1": not a number from 0 to 1000000')
    yield ["sub"], USAGE, usage("sub", "TOPIC is missing; name at least one topic")
    yield ["sub", "t" * 257, "--listen", "/ip4/127.0.0.1/tcp/0"], USAGE, usage(
        "sub", "topic tttttttttttttttt...: 257 bytes long; at most 256 are allowed")
    yield ["sub", "", "--listen", "/ip4/127.0.0.1/tcp/0"], USAGE, usage(
        "sub", 'topic "": an empty name; give at least one byte')
    yield ["sub", "t", "--listen", "/dns4/localhost/tcp/0"], USAGE, usage(
        "sub", f'--listen "/dns4/localhost/tcp/0": a name cannot be listened on; {ADDRESS} or /ip6/HOST/tcp/PORT')
    yield ["sub", "t", "--connect", "/dns4/localhost/udp/1"], USAGE, usage(
        "sub", f'--connect "/dns4/localhost/udp/1": only TCP over IP is spoken here; {ADDRESS}')
    yield ["node", "--filter", "deny 10.0.0.1/8"], USAGE, usage(
        "node", '--filter "deny 10.0.0.1/8": bits of the address are set behind its prefix; write "deny accept 192.0.2.0/24", "allow dial 2001:db8::/32"')
    yield ["node", "--discover", "/ip4/127.0.0.1/tcp/1"], 1, (
        "meshsub node: the node cannot start: find_at: an address needs /p2p/ID, unless it is a /dnsaddr\n")
    yield ["node", "--dns-server", "localhost"], 1, (
        "meshsub node: the node cannot start: dns.server is IP:PORT, or [IP6]:PORT\n")
    yield ["sub", "t", "--timeout", "1s", "--listen", "/ip4/127.0.0.1/tcp/0"], USAGE, usage(
        "sub", "--timeout is for --wait or --count; give one of them")
    yield ["sub", "t", "--json=yes"], USAGE, usage("sub", '--json takes no value, but got "yes"')
    ours = "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN"
    yield ["node", "--router", "gosipsub"], USAGE, usage(
        "node", '--router "gosipsub": there are gossipsub, randomsub and floodsub; did you mean gossipsub?')
    yield ["sub", "t", "--router", "none", "--connect", "/ip4/127.0.0.1/tcp/1"], USAGE, usage(
        "sub", '--router "none": there are gossipsub, randomsub and floodsub')
    yield ["node", "--trace=/nonexistent/x"], FAILED, 'meshsub node: --trace="/nonexistent/x": No such file or directory\n'
    yield ["node", "--router", "random"], USAGE, usage(
        "node", '--router "random": there are gossipsub, randomsub and floodsub; did you mean randomsub?')
    yield ["node", "--router", "randomsub", "--d", "3"], USAGE, usage(
        "node", "--d is for gossipsub; --router randomsub has no mesh")
    yield ["node", "--network", "100"], USAGE, usage(
        "node", "--network is for --router randomsub; no other router asks for it")
    yield ["sub", "t", "--router=floodsub", "--network=100", "--listen", "/ip4/127.0.0.1/tcp/0"], USAGE, usage(
        "sub", "--network is for --router randomsub; no other router asks for it")
    yield ["node", "--router=randomsub", "--network=4294967296"], USAGE, usage(
        "node", '--network "4294967296": not a number from 0 to 4294967295')
    yield ["node", "--router", "floodsub", "--px"], USAGE, usage(
        "node", "--px is for gossipsub; --router floodsub has no mesh")
    yield ["pub", "t", "x", "--router=floodsub", "--direct", f"/ip4/127.0.0.1/tcp/1/p2p/{ours}"], USAGE, usage(
        "pub", "--direct is for gossipsub; --router floodsub has no mesh")
    yield ["node", "--d", "4", "--dlo", "5"], USAGE, usage(
        "node", "--dlo 5, --d 4, --dhi 8: they must not fall from left to right, and --d 1 is no mesh")
    yield ["node", "--dhi", "5"], USAGE, usage(
        "node", "--dlo 5, --d 6, --dhi 5: they must not fall from left to right, and --d 1 is no mesh")
    yield ["node", "--d", "1"], USAGE, usage(
        "node", "--dlo 1, --d 1, --dhi 2: they must not fall from left to right, and --d 1 is no mesh")
    yield ["node", "--d", "many"], USAGE, usage("node", '--d "many": not a number from 0 to 2048')
    yield ["node", "--heartbeat", "1"], USAGE, usage(
        "node", '--heartbeat "1": not a duration; write numbers with units, at least 1ms: 5s, 200ms, 1h30m')
    yield ["node", "--heartbeat", "2h"], USAGE, usage("node", '--heartbeat "2h": at most 1h')
    yield ["node", "--direct", "/ip4/127.0.0.1/tcp/1"], USAGE, usage(
        "node", '--direct "/ip4/127.0.0.1/tcp/1": no /p2p/ID at its end; a direct peer is known by its id')
    yield ["sub", "t", "--direct", "localhost"], USAGE, usage(
        "sub", f'--direct "localhost": not a multiaddress; {ADDRESS} or /ip6/HOST/tcp/PORT')
    yield ["pub", "t", "x", "--d", "4"], USAGE, usage("pub", 'unknown option "--d"')
    yield ["node", "--router", "floodsub", "--gater"], USAGE, usage("node", "--gater is for gossipsub; --router floodsub has no mesh")
    yield ["node", "--trace-to", "/ip4/127.0.0.1/tcp/1"], FAILED, (
        'meshsub node: --trace-to "/ip4/127.0.0.1/tcp/1": no /p2p/ID at its end; a collector is known by its id\n')
    yield ["node", "--gater=quiet"], USAGE, usage("node", '--gater="quiet": no value; write NAME=VALUE')
    yield ["node", "--gater=threshhold=1"], USAGE, usage("node", '--gater: no parameter "threshhold"; did you mean threshold?')
    yield ["node", "--gater=quiet=10"], USAGE, usage(
        "node", '--gater: quiet "10": not a duration; write numbers with units, as 90s or 1m30s')
    yield ["node", "--gater=threshold=0.5,reject_weight=0x1"], USAGE, usage("node", '--gater: reject_weight "0x1": not a number')
    yield ["node", "--gater=threshold=0.5,source_decay=1"], USAGE, usage(
        "node", "--gater.source_decay 1: gater: 0 < source_decay < 1 does not hold")
    yield ["pub", "t", "x", "--batch", "3"], USAGE, usage("pub", "--batch is for the lines of stdin; write - for TEXT")
    yield ["pub", "t", "-", "--batch", "4097"], USAGE, usage("pub", '--batch "4097": not a number from 1 to 4096')
    yield ["node", "topic"], USAGE, usage("node", '"topic" is no option; topics are named by --topic')
    yield ["key"], USAGE, usage("key", "what to do is missing; say new, show, import or export")
    yield ["key", "make"], USAGE, usage("key", 'unknown command "make"; there are new, show, import and export')
    yield ["key", "new"], USAGE, usage("key new", "FILE is missing; name the file to make")
    yield ["key", "new", "--type", "rsb", "x"], USAGE, usage(
        "key new", '--type "rsb": there are ed25519, secp256k1, ecdsa and rsa; did you mean rsa?')
    yield ["key", "import", "a"], USAGE, usage("key import", "PEM and FILE are wanted; name the key to read and the file to make")
    yield ["key", "export"], USAGE, usage(
        "key export", "FILE and PEM are wanted; name the key and the file to make, or - for standard output")
    yield ["key", "show", "a", "b"], USAGE, usage("key show", "one FILE only")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def key_cases(binary):
    with open("bad.key", "wb") as f:
        f.write(b"no key at all")
    subprocess.run([binary, "key", "new", "good.key"], check=True, stdout=subprocess.DEVNULL,
                   timeout=WITHIN)
    to = ["--connect", f"/ip4/127.0.0.1/tcp/{free_port()}"]
    yield ["key", "new", "good.key"], FAILED, (
        'meshsub key new: "good.key": exists, and a key is never overwritten; choose another name\n')
    yield ["key", "new", "no/such/folder/x"], FAILED, (
        'meshsub key new: "no/such/folder/x": cannot be made: No such file or directory\n')
    yield ["key", "show", "missing.key"], FAILED, (
        'meshsub key show: "missing.key": cannot be read: No such file or directory; '
        '"meshsub key new FILE" makes a key\n')
    yield ["pub", "t", "x", "--key", "bad.key", *to], FAILED, (
        'meshsub pub: --key "bad.key": not a libp2p private key (malformed input); "meshsub key new FILE" makes one\n')
    yield ["pub", "t", "x", "--key", ".", *to], FAILED, (
        'meshsub pub: --key ".": cannot be read: Is a directory\n')


def network_cases(node, peer):
    port = free_port()
    stranger = "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN"
    closed = f"/ip4/127.0.0.1/tcp/{port}"
    yield ["pub", "t", "x", "--connect", closed], FAILED, (
        f"meshsub pub: cannot connect to {closed}: connection refused; "
        "check the address and that a node listens there\n")
    right, wrong = f"{node}/p2p/{peer}", f"{node}/p2p/{stranger}"
    yield ["pub", "t", "x", "--connect", wrong], FAILED, (
        f"meshsub pub: cannot connect to {wrong}: the peer is not the one that was dialled; "
        "check the id behind /p2p/\n")
    yield ["pub", "elsewhere", "x", "--connect", right, "--timeout", "300ms"], LATE, (
        'meshsub pub: 0 of 1 subscribers of "elsewhere" within 300ms (1 peers connected); '
        "start them, or raise --timeout\n")
    yield ["sub", "t", "--connect", right, "--count", "2", "--timeout", "300ms"], LATE, (
        "meshsub sub: 0 of 2 messages within 300ms; raise --timeout, or lower --count\n")
    yield ["sub", "t", "--connect", right, "--wait", "2", "--timeout", "300ms"], LATE, (
        "meshsub sub: 1 of 2 peers of the topic within 300ms (1 connected); start them, or raise --timeout\n")
    yield ["node", "--listen", node], FAILED, f'meshsub node: --listen "{node}": address in use\n'


def check(binary, arguments, code, text):
    try:
        done = subprocess.run([binary, *arguments], stdin=subprocess.DEVNULL, capture_output=True, timeout=WITHIN)
    except subprocess.TimeoutExpired as e:
        print(f"not ok: meshsub {' '.join(arguments)[:100]}: did not end within {WITHIN} s, stderr {e.stderr!r}")
        return False
    stderr = done.stderr.decode("utf-8", "replace")
    if done.returncode == code and stderr == text and not done.stdout:
        return True
    print(f"not ok: meshsub {' '.join(arguments)[:100]}\n  wanted {code}: {text!r}\n  got    {done.returncode}: "
          f"{stderr!r}" + (f"\n  stdout {done.stdout!r}" if done.stdout else ""))
    return False


def run_node(binary):
    """A node that subscribes to t; yields it with its address and peer id."""
    process = subprocess.Popen([binary, "node", "--quiet", "--topic", "t"], stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE)
    line, end = b"", time.monotonic() + WITHIN
    while not line.endswith(b"\n"):
        ready, _, _ = select.select([process.stdout], [], [], max(0, end - time.monotonic()))
        more = os.read(process.stdout.fileno(), 4096) if ready else b""
        if not more:
            process.kill()
            raise RuntimeError(f"meshsub node: no address within {WITHIN} s, stdout {line!r}")
        line += more
    address, _, peer = line.decode().strip().partition("/p2p/")
    return process, address, peer


def main():
    binary = os.path.abspath(sys.argv[1])
    results = []
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for case in [*static_cases(), *key_cases(binary)]:
            results.append(check(binary, *case))
        process, address, peer = run_node(binary)
        try:
            for case in network_cases(address, peer):
                results.append(check(binary, *case))
        finally:
            process.terminate()
            try:
                process.wait(WITHIN)
            except subprocess.TimeoutExpired:
                process.kill()
                print(f"not ok: meshsub node did not end within {WITHIN} s of SIGTERM")
                results.append(False)
        os.chdir("/")
    print(f"{sum(results)} of {len(results)} messages as expected")
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
