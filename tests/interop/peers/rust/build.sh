#!/bin/sh
# Builds the Rust peer into the cache and prints the path of the binary, and nothing else, on stdout.
# Exit 77: no toolchain or no crates to be had (stderr says why); 1: the build failed.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/meshsub
cd "$here"

say() { echo "rust-peer: $*" >&2; }
skip() { say "skipped: $*"; exit 77; }

hash=$(cat Cargo.toml Cargo.lock src/*.rs | sha256sum | cut -c1-16)
bin=$cache/rust-peer-$hash/msub-rust-peer
if [ -x "$bin" ]; then
    echo "$bin"
    exit 0
fi

need=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
command -v cargo >/dev/null || skip "no cargo on PATH (Debian 12: cargo-web, rustc-web)"
have=$(cargo --version | awk '{ print $2 }')
[ "$(printf '%s\n%s\n' "$need" "$have" | sort -V | head -n 1)" = "$need" ] || skip "cargo $have is older than $need"
say "building with cargo $have"

# The compiled crates stay in the cache: a change of the peer alone takes seconds.
CARGO_TARGET_DIR=$cache/rust-target
export CARGO_TARGET_DIR
mkdir -p "$CARGO_TARGET_DIR"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# Fetching is apart from the compile, because being offline is no failure of ours.
if ! cargo fetch --locked >"$log" 2>&1; then
    cat "$log" >&2
    grep -qiE 'lock file.*needs to be updated|checksum' "$log" && exit 1
    skip "the crates cannot be downloaded"
fi
cargo build --release --locked --offline --quiet >&2 || exit 1
mkdir -p "$(dirname "$bin")"
# Copy, then rename: a second build at the same time never sees half a binary.
cp "$CARGO_TARGET_DIR/release/msub-rust-peer" "$bin.$$"
mv "$bin.$$" "$bin"
echo "$bin"
