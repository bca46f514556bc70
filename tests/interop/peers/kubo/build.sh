#!/bin/sh
# Builds Kubo into the cache and prints the path of `ipfs`, and nothing else, on stdout. Cold: some three minutes of two cores and 1.6 GB of Go's caches.
# Exit 77: no toolchain or no modules to be had (stderr says why); 1: the build failed.
#
# Kubo is a tool dependency of the go.mod beside this file, because its own `replace` of go-libp2p by a fork does not count there: it is built with the
# release that the fork stands in for.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
program=kubo pinned=$here pypi_go=1.27.3
. "$here/../go/toolchain.sh"
GOFLAGS=-mod=readonly
export GOFLAGS
cd "$here"

bin=$(cached kubo/ipfs go.mod go.sum build.sh ../go/toolchain.sh)
if [ -x "$bin" ]; then
    echo "$bin"
    exit 0
fi
find_go
# Listing fetches the modules, apart from the compile.
online timeout 900 "$go" list -deps github.com/ipfs/kubo/cmd/ipfs
timeout 1500 "$go" build -trimpath -buildvcs=false -o "$work/ipfs" github.com/ipfs/kubo/cmd/ipfs >&2 || exit 1
keep "$work/ipfs" "$bin"
