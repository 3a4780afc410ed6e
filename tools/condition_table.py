#!/usr/bin/env python3
"""The operator's table of conditions in docs/operating.md, from src/base/condition_table.inc.

usage: tools/condition_table.py [--write]
Without --write it only compares, and fails if the page says something else."""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "operating.md"
BEGIN, END = r"(<!-- conditions: begin[^\n]*\n)", r"(<!-- conditions: end -->)"


def table():
    text = (ROOT / "src" / "base" / "condition_table.inc").read_text()
    row = re.compile(r'^COT_CONDITION\(\s*k\w+,\s*"(\w+)",\s*k(\w+),\s*"((?:[^"\\]|\\.)*)",\s*"((?:[^"\\]|\\.)*)"\)', re.M)
    rows = row.findall(text)
    if len(rows) != text.count("\nCOT_CONDITION("):
        sys.exit("condition_table: a row of the table cannot be read")
    order = ["Critical", "Warning", "Notice"]
    rows.sort(key=lambda one: order.index(one[1]))
    lines = ["| condition | severity | what holds | what helps |", "|---|---|---|---|"]
    lines += [f"| `{name}` | {severity.lower()} | {meaning} | {hint} |" for name, severity, meaning, hint in rows]
    return "\n".join(lines) + "\n"


def main():
    page = PAGE.read_text()
    fresh, found = re.subn(BEGIN + ".*?" + END, lambda match: match[1] + table() + match[2], page, flags=re.S)
    if not found:
        sys.exit(f"condition_table: {PAGE.name} has no place for it")
    if fresh == page:
        return
    if "--write" not in sys.argv[1:]:
        sys.exit(f"condition_table: docs/{PAGE.name} differs; run tools/condition_table.py --write")
    PAGE.write_text(fresh)


main()
