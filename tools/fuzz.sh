#!/usr/bin/env bash
# Runs every fuzzer in a directory, each for so many seconds, from its corpus in fuzz/corpus/.
# usage: tools/fuzz.sh DIRECTORY SECONDS [TARGET]
set -euo pipefail
cd "$(dirname "$0")/.."
directory=$1 seconds=$2 only=${3:-}
ran=0
for fuzzer in "$directory"/*_fuzz; do
    [[ -x $fuzzer ]] || continue
    name=$(basename "$fuzzer")
    [[ -z $only || $only == "$name" ]] || continue
    found=build/fuzz/corpus/$name
    mkdir -p "$found" build/fuzz/crashes
    corpora=("$found")
    [[ -d fuzz/corpus/$name ]] && corpora+=("fuzz/corpus/$name")
    echo "fuzz: $name for $seconds s"
    "$fuzzer" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
        -artifact_prefix="build/fuzz/crashes/$name-" "${corpora[@]}" </dev/null
    ran=$((ran + 1))
done
if ((ran == 0)); then
    echo "fuzz: no fuzzer${only:+ named $only} in $directory" >&2
    exit 1
fi
