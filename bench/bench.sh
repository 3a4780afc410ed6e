#!/usr/bin/env bash
# Coterie and etcd side by side on this machine; see compare.py.
set -euo pipefail
cd "$(dirname "$0")/.."
exec python3 bench/compare.py "$@"
