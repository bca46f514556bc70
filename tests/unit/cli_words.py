"""What tests share that compare the command's words: expectations that are counted, and disks that are full."""

import os
import subprocess
import tempfile

WITHIN = 30
failures = skipped = 0


def expect(what, got, wanted):
    global failures
    if got != wanted:
        failures += 1
        print(f"not ok: {what}\n  wanted {wanted!r}\n  got    {got!r}")


def skip(what, why):
    global skipped
    print(f"skipped: {what} ({why})")
    skipped += 1


def run(*command, **more):
    """Exit code, stderr, stdout."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=WITHIN, **more)
    return done.returncode, done.stderr.decode(), done.stdout.decode()


def small_disk(binary, folder):
    """on_disk(OPTIONS, SCRIPT) runs the script with a file system of those options mounted on the folder, in a mount namespace of its own;
    $1 is the command. None: there can be none here."""
    os.mkdir(folder)

    def on_disk(options, script):
        return run("unshare", "-rm", "sh", "-c", f"mount -t tmpfs -o {options} none {folder} && {script}", "sh", binary)
    try:
        code, said, _ = on_disk("size=64k", "true")
    except FileNotFoundError:
        code, said = 127, "no unshare"
    if code == 0:
        return on_disk
    skip("full disk", said.strip())
    return None


def in_a_folder(binary, *parts):
    """Each part, in a new folder; the exit code of the test."""
    binary = os.path.abspath(binary)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for part in parts:
            part(binary)
        os.chdir("/")
    print("all as expected" if not failures else f"{failures} failed", f"({skipped} skipped)" if skipped else "")
    return 1 if failures else 0
