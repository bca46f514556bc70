#!/bin/sh
# Installs the JavaScript peer into the cache and prints the path of its launcher, and nothing else, on stdout.
# Exit 77: no toolchain or no packages to be had (stderr says why); 1: the installation failed.
set -eu

cd "$(dirname "$0")"
program=js-peer need=22
. ./toolchain.sh

cached package-lock.json ./*.js ./*.sh
if [ -x "$dir/msub-js-peer" ]; then
    echo "$dir/msub-js-peer"
    exit 0
fi
find_node
install_packages ./*.js
# For a page: everything in one file.
(cd "$work" && "$node" node_modules/esbuild/bin/esbuild browser.js --bundle --format=esm --log-level=warning --outfile=browser.bundle.mjs) >&2 || exit 1
launcher msub-js-peer main.js --expose-gc
launcher msub-js-ws ws.js
keep msub-js-peer
