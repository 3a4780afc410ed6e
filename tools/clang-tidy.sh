#!/usr/bin/env bash
# clang-tidy over the given files, or over the sources that differ from the main branch.
# usage: tools/clang-tidy.sh BUILD_DIRECTORY [FILE...]
set -euo pipefail
cd "$(dirname "$0")/.."
build=$1
shift
files=("$@")
if ((${#files[@]} == 0)); then
    base=$(git merge-base HEAD main 2>/dev/null || git rev-parse HEAD)
    mapfile -t files < <(git diff --name-only --diff-filter=d "$base" -- 'src/*.cc' 'fuzz/*.cc')
fi
if ((${#files[@]} == 0)); then
    echo "clang-tidy: no sources differ from main; name some with FILES="
    exit 0
fi
printf '%s\0' "${files[@]}" | xargs -0 -n 1 -P "$(nproc)" clang-tidy-19 -p "$build" --quiet
