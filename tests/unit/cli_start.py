#!/usr/bin/env python3
"""What stops a start: identities that cannot be read, disks that are full. Always with the reason, never with another identity.

usage: cli_start.py PATH OF meshsub
"""

import os
import subprocess
import sys

from cli_words import WITHIN, expect, in_a_folder, run, skip, small_disk


def identities(binary):
    """Exit code 1, the reason, nothing on stdout (a node that runs prints its address), and the file as it was."""
    good = subprocess.run([binary, "key", "new", "--stdout"], capture_output=True, check=True, timeout=WITHIN).stdout
    makes = '"meshsub key new FILE" makes one'
    cases = [
        (b"", f"not a libp2p private key (malformed input); {makes}"),
        (good[:-1], f"not a libp2p private key (malformed input); {makes}"),
        (good + b"x", f"not a libp2p private key (malformed input); {makes}"),
        (b"-----BEGIN NONSENSE-----\n", None),
        (b"\x08\x01" + b"y" * 8191, f"not a libp2p private key (malformed input); {makes}"),
        (None, 'cannot be read: No such file or directory; "meshsub key new FILE" makes a key'),
    ]
    for content, reason in cases:
        if content is not None:
            with open("node.key", "wb") as f:
                f.write(content)
        elif os.path.exists("node.key"):
            os.unlink("node.key")
        for way in (["--key", "node.key"], ["--config", "n.yaml"]):
            with open("n.yaml", "w", encoding="utf-8") as f:
                f.write("key: node.key\n")
            code, said, out = run(binary, "node", *way)
            expect(f"{content!r:.40}: code, stdout", (code, out), (1, ""))
            if reason is None:
                expect(f"{content!r:.40}: stderr", (said.startswith('meshsub node: --key "node.key": '), said.count("\n")), (True, 1))
            else:
                expect(f"{content!r:.40}: stderr", said, f'meshsub node: --key "node.key": {reason}\n')
            after = None
            if os.path.exists("node.key"):
                with open("node.key", "rb") as f:
                    after = f.read()
            expect(f"{content!r:.40}: the file", after, content)
    with open("node.key", "wb") as f:
        f.write(good)
    os.chmod("node.key", 0)
    more = {}
    if os.geteuid() == 0:  # whom rights do not stop
        os.chmod(".", 0o755)
        more = {"user": 65534, "group": 65534, "extra_groups": []}
    try:
        code, said, out = run(binary, "node", "--key", "node.key", **more)
    except PermissionError:
        skip("without rights", "the program cannot be run by another user here")
    else:
        if code == 126 or "loading shared libraries" in said:
            skip("without rights", "the libraries cannot be read by another user here")
        else:
            expect("without rights", (code, said, out), (1, 'meshsub node: --key "node.key": cannot be read: Permission denied\n', ""))
    expect("a folder", run(binary, "node", "--key", "."), (1, 'meshsub node: --key ".": cannot be read: Is a directory\n', ""))


def full_disk(binary):
    """A file system of a few inodes or bytes, in a mount namespace of its own."""
    on_disk = small_disk(binary, "d")
    if not on_disk:
        return
    full = "No space left on device"
    expect("a key", on_disk("size=4k", '{ dd if=/dev/zero of=d/fill bs=4096 count=1 2>/dev/null; "$1" key new d/k; code=$?; ls d; exit $code; }'),
           (1, f'meshsub key new: "d/k": cannot be written: {full}\n', "fill\n"))
    expect("a lock", on_disk("nr_inodes=1", '"$1" node --socket d/s'), (1, f'meshsub node: --socket "d/s": its lock cannot be made: {full}\n', ""))
    expect("a socket", on_disk("nr_inodes=2", '{ "$1" node --socket d/s; code=$?; ls d; exit $code; }'),
           (1, f'meshsub node: --socket "d/s": cannot be made: {full}\n', ""))
    expect("a trace", on_disk("nr_inodes=1", '"$1" node --trace=d/t.jsonl'), (1, f'meshsub node: --trace="d/t.jsonl": {full}\n', ""))


def no_room_for_a_file(binary):
    """The same without rights: a limit of the size of files."""
    code, said, out = run("sh", "-c", 'trap "" XFSZ; ulimit -f 0; exec "$1" key new k.key', "sh", binary)
    expect("a key", (code, said, out), (1, 'meshsub key new: "k.key": cannot be written: File too large\n', ""))
    expect("no half of it", os.path.exists("k.key"), False)


if __name__ == "__main__":
    sys.exit(in_a_folder(sys.argv[1], identities, full_disk, no_room_for_a_file))
