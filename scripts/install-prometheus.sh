#!/usr/bin/env bash
# Installs Prometheus for `npm run monitoring`, where this machine has none and allows it. Without it that check says that it did not run.
set -euo pipefail

if command -v prometheus >/dev/null && command -v promtool >/dev/null; then
  echo "install-prometheus: $(command -v prometheus) is here already"
  exit 0
fi
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  echo "install-prometheus: not installed: this needs root and apt-get; install prometheus and promtool yourself"
  exit 0
fi
export DEBIAN_FRONTEND=noninteractive
if timeout 120 apt-get update -qq && timeout 300 apt-get install -y -qq --no-install-recommends prometheus >/dev/null; then
  echo "install-prometheus: installed $(command -v prometheus)"
else
  echo "install-prometheus: not installed: apt-get failed; the dashboards and alerts are not checked"
fi
