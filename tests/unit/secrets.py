#!/usr/bin/env python3
"""N-15: secrets are compared in constant time and wiped by what a compiler does not leave out. Reads the sources that see secrets.
  secrets.py ROOT   exit 1 and one line per place that does not hold"""
import pathlib
import re
import sys

SOURCES = ("crypto/*.c", "wire/noise*.c")
# What is compared there is public: the name of a curve, the OID of an algorithm.
PUBLIC = {"crypto/pem.c": ("CURVE",), "crypto/verify.c": ("ec_algorithm",)}
SECRET = re.compile(r"secret|seed|blind|shared|temp\b|ephemeral|passphrase|private", re.I)


def lines_of(text):
    """Numbered lines without comments."""
    text = re.sub(r"/\*.*?\*/", lambda m: "\n" * m.group(0).count("\n"), text, flags=re.S)
    return enumerate(text.splitlines(), 1)


def faults(name, text):
    for number, line in lines_of(text):
        if re.search(r"(?<!sodium_)\b(memcmp|strcmp|strncmp|bcmp)\(", line) and not any(w in line for w in PUBLIC.get(name, ())):
            yield number, "compares in a time that tells where they differ: sodium_memcmp, or say here why it is public"
        found = re.search(r"\b(memset|bzero)\(([^,;]*)", line)
        if found and SECRET.search(found.group(2)):
            yield number, "a wipe that a compiler may leave out: sodium_memzero"
    if SECRET.search(text) and re.search(r"\b(uint8_t|unsigned char) (\w*secret|seed|shared)\[", text) and "sodium_memzero(" not in text:
        yield 1, "holds a secret and wipes none"


def N_15_sources(root):
    files = sorted(p for pattern in SOURCES for p in root.glob(pattern))
    said = [f"{p.relative_to(root)}:{n}: {what}" for p in files for n, what in faults(str(p.relative_to(root)), p.read_text())]
    if len(files) < 8:
        said.append(f"only {len(files)} sources were found")
    return said, len(files)


def N_15_self_test():
    cases = [
        ("if (memcmp(tag, mine, 16)) return;", 1), ("if (sodium_memcmp(a, b, 32)) return;", 0), ("memset(seed, 0, 32);", 1), ("memset(&id, 0, 4);", 0),
        ("/* memcmp(a, b, 2) */", 0), ("if (strcmp(x, y) == 0)", 1), ("uint8_t seed[32];", 1), ("uint8_t seed[32];\nsodium_memzero(seed, 32);", 0),
    ]
    said = [f"self-test: '{text}': {n} wanted" for text, n in cases if len(list(faults("crypto/x.c", text))) != n]
    return said + ([] if list(faults("crypto/pem.c", "strcmp(name, CURVE)")) == [] else ["self-test: what is public"])


def main():
    said, n = N_15_sources(pathlib.Path(sys.argv[1]))
    said += N_15_self_test()
    for line in said:
        print(line, file=sys.stderr)
    if said:
        sys.exit(1)
    print(f"secrets: {n} sources")


main()
