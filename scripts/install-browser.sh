#!/usr/bin/env bash
# Installs Chromium for tests/browser, where this machine has none and allows it. Without a browser those tests say that they are skipped.
set -euo pipefail

for browser in "${PORTICO_CHROMIUM:-}" chromium chromium-browser google-chrome; do
  if [ -n "$browser" ] && command -v "$browser" >/dev/null; then
    echo "install-browser: $(command -v "$browser") is here already"
    exit 0
  fi
done
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  echo "install-browser: not installed: this needs root and apt-get; install Chromium yourself, or set PORTICO_CHROMIUM to its path"
  exit 0
fi
export DEBIAN_FRONTEND=noninteractive
if timeout 120 apt-get update -qq && timeout 300 apt-get install -y -qq --no-install-recommends chromium >/dev/null; then
  echo "install-browser: installed $(command -v chromium)"
else
  echo "install-browser: not installed: apt-get failed; the browser tests will be skipped"
fi
