#!/bin/sh
# Builds the Go peer into the cache and prints the path of the binary, and nothing else, on stdout.
# Exit 77: no toolchain or no modules to be had (stderr says why); 1: the build failed.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
program=go-peer pinned=$here
. "$here/toolchain.sh"
GOFLAGS=-mod=readonly
export GOFLAGS
cd "$here"

bin=$(cached go-peer/msub-go-peer go.mod go.sum ./*.go)
if [ -x "$bin" ]; then
    echo "$bin"
    exit 0
fi
find_go
# Listing fetches the modules, apart from the compile.
online "$go" list -deps .
"$go" build -trimpath -buildvcs=false -o "$work/msub-go-peer" . >&2 || exit 1
keep "$work/msub-go-peer" "$bin"
