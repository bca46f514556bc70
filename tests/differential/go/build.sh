#!/bin/sh
# Builds the Go side of the differential run into the cache and prints the path of the binary, and nothing else, on stdout.
# It is a test inside go-libp2p-pubsub's own package: the module's files are laid over an empty directory, with ours beside them.
# Exit 77: no toolchain or no modules to be had (stderr says why); 1: the build failed.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
module=github.com/libp2p/go-libp2p-pubsub
program=go-differential pinned=$here/../../interop/peers/go # the go.mod there pins the module's version
. "$pinned/toolchain.sh"

bin=$(cached go-differential/differential.test "$pinned/go.mod" "$pinned/go.sum" "$here"/*.go "$here/build.sh")
if [ -x "$bin" ]; then
    echo "$bin"
    exit 0
fi
find_go
cd "$pinned"
online env GOFLAGS=-mod=readonly "$go" mod download "$module"
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
changed gossipsub.go 1 '/^func (gs \*GossipSubRouter) Leave(/,/^}/s/for p := range gmap/for _, p := range guideLeave(topic, gmap)/'
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
online "$go" test -c -vet=off -overlay "$work/overlay.json" -mod=readonly -trimpath -buildvcs=false -o "$work/differential.test" .
keep "$work/differential.test" "$bin"
