#!/bin/sh
# Installs Helia and the program that drives it into the cache and prints the path of its launcher, and nothing else, on stdout.
# Exit 77: no toolchain or no packages to be had (stderr says why); 1: the installation failed.
set -eu

cd "$(dirname "$0")"
program=helia-peer need=22.15
. ../js/toolchain.sh

cached package-lock.json ./*.js build.sh ../js/toolchain.sh
if [ -x "$dir/msub-helia-peer" ]; then
    echo "$dir/msub-helia-peer"
    exit 0
fi
find_node
install_packages ./*.js
launcher msub-helia-peer main.js --no-warnings
keep msub-helia-peer
