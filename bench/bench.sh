#!/usr/bin/env bash
# Coterie beside etcd, then beside Redis, on this machine; see compare.py and compare_redis.py.
set -euo pipefail
cd "$(dirname "$0")/.."
python3 bench/compare.py "$@"
exec python3 bench/compare_redis.py
