#!/usr/bin/env bash
# Installs the load generators that `npm run bench` prefers (Debian packages wrk and nghttp2-client). Needs root.
# Without them the bench uses npm's autocannon for REST and a generator of its own for gRPC, and says so.
set -euo pipefail
if ! command -v apt-get >/dev/null; then
  echo "bench/install-tools.sh: no apt-get here; install wrk and h2load by hand, or run without them" >&2
  exit 1
fi
apt-get update -qq
apt-get install -y -qq wrk nghttp2-client
