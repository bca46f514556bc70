#!/usr/bin/env python3
"""There is a manual page for each command; it is installed, renders without a warning, and says what --help says.

usage: cli_man.py PATH OF meshsub, BUILD FOLDER
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile


def run(*command):
    done = subprocess.run(command, capture_output=True, timeout=60, stdin=subprocess.DEVNULL)
    assert done.returncode == 0 and not done.stderr, (command, done.returncode, done.stderr.decode())
    return done.stdout.decode()


def words(text):
    """Without what only lays it out: the bytes of the words."""
    return re.sub(r"\s+", " ", text).strip()


def plain(roff):
    """The words of a page; its requests are left out."""
    lines = [re.sub(r'^\.SH "(.*)"$', r"\1", x) for x in roff.splitlines() if not x.startswith((".TH", ".TP", ".PP"))]
    text = "\n".join(lines)
    for a, b in ("\\fB", ""), ("\\fR", ""), ("\\&...", "\u2026"), ("\\&", ""), ("\\-", "-"), ("\\e", "\\"):
        text = text.replace(a, b)
    return words(text)


def main():
    binary, build = (os.path.abspath(x) for x in sys.argv[1:3])
    commands = re.findall(r"^  ([a-z-]+) {2,}", run(binary, "--help"), re.M)
    assert len(commands) >= 12 and "node" in commands, commands
    pages = {"meshsub": ["--help"]}
    pages.update({f"meshsub-key-{c}": ["key", c, "--help"] for c in ("new", "show", "import", "export")})
    pages.update({f"meshsub-ipns-{c}": ["ipns", c, "--help"] for c in ("follow", "inspect", "keep", "publish", "resolve", "serve", "verify")})
    pages["meshsub-ipns-key"] = ["ipns", "key", "--help"]
    pages.update({f"meshsub-ipns-key-{c}": ["ipns", "key", c, "--help"] for c in ("new", "import", "export", "list")})
    if subprocess.run([binary, "store", "check", "--help"], capture_output=True, check=False, timeout=60).returncode == 0:  # else built without it
        pages.update({f"meshsub-store-{c}": ["store", c, "--help"] for c in ("check", "compact", "dump")})
    pages.update({f"meshsub-{c}": [c, "--help"] for c in commands})
    with tempfile.TemporaryDirectory() as prefix:
        subprocess.run(["cmake", "--install", build, "--component", "meshsub-tools", "--prefix", prefix], check=True, stdout=subprocess.DEVNULL,
                       timeout=60, env={**os.environ, "DESTDIR": ""})
        folder = next(f"{root}/man1" for root, folders, _ in os.walk(prefix) if "man1" in folders)
        assert sorted(os.listdir(folder)) == sorted(f"{page}.1" for page in pages), "pages and commands are not the same"
        options = 0
        for page, arguments in pages.items():
            with open(f"{folder}/{page}.1", encoding="utf-8") as f:
                roff = f.read()
            assert roff == run(binary, *arguments[:-1], "--man"), f"{page} was not made by this program"
            text, said = plain(roff), run(binary, *arguments)
            if shutil.which("groff"):
                assert run("groff", "-man", "-ww", "-Tutf8", "-z", f"{folder}/{page}.1") == ""
            if page == "meshsub":
                for name, about in re.findall(r"^  ([a-z-]+) {2,}(.*)$", said, re.M):
                    assert f"{name} {about}" in text, f"{page}: {name}"
                continue
            head, _, rows = said.partition("\n\nOptions:\n")
            usage, _, about = head.partition("\n\n")
            assert usage.replace("usage: ", "") in text and words(about) in text, f"{page}: {about}"
            rows, _, after = rows.partition("\n\n")
            assert words(after) in text, f"{page}: {after}"
            for row in re.split(r"\n(?=  -)", rows):
                if not row.strip().startswith("--help"):
                    assert words(row) in text, f"{page}: {words(row)}"
                    options += 1
        assert options > 80, options
    print(f"{len(pages)} pages, {options} options")


if __name__ == "__main__":
    main()
