#!/usr/bin/env python3
"""Runs the commands that a document shows, so that it cannot lie.

usage: tools/doctest.py [--binary PATH] FILE.md

Every fence opened with ```sh test is run, top to bottom, in one shell at the repository's root. A comment
line `# -> text` after a command says that its output contains text; `# fails N` that its exit code is N
(otherwise 0). `build/release/coterie` in the document stands for --binary. A demo that is left running
at the end is stopped.
"""

import argparse
import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BINARY = "build/release/coterie"
WAIT_SECONDS = 300


def marked_commands(text):
    """(line, command, expected texts, exit code) of each command in the marked fences."""
    commands = []
    inside, pending, first = False, "", 0
    for number, line in enumerate(text.split("\n"), 1):
        if line.startswith("```"):
            inside = not inside and line.split() == ["```sh", "test"]
            continue
        if not inside or not line.strip():
            continue
        if match := re.fullmatch(r"\s*# -> (.*)", line):
            commands[-1][2].append(match.group(1))
        elif match := re.fullmatch(r"\s*# fails (\d+)", line):
            commands[-1][3] = int(match.group(1))
        elif not line.lstrip().startswith("#"):
            first = first if pending else number
            pending += line
            if line.endswith("\\"):
                pending = pending[:-1]
            else:
                commands.append([first, pending.strip(), [], 0])
                pending = ""
    return commands


def script(commands, binary, output):
    """A shell script that runs the commands and stops at the first one that does not do as shown."""
    lines = ["set -uo pipefail"]
    for line, command, texts, code in commands:
        command = command.replace(BINARY, shlex.quote(str(binary)))
        lines.append(f"echo {shlex.quote(f'{line}: {command}')}")
        lines.append(f"{{ {command}\n}} >{output} 2>&1 </dev/null; code=$?")
        lines.append(f"if (( code != {code} )); then cat {output}; "
                     f"echo 'doctest: line {line}: exit code' $code 'instead of {code}'; exit 1; fi")
        for text in texts:
            missing = shlex.quote(f"doctest: line {line}: the output lacks: {text}")
            lines.append(f"grep -qF -- {shlex.quote(text)} {output} || "
                         f"{{ cat {output}; echo {missing}; exit 1; }}")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", default=BINARY)
    parser.add_argument("file")
    options = parser.parse_args()
    binary = (Path.cwd() / options.binary).resolve()
    commands = marked_commands((ROOT / options.file).read_text())
    if not commands:
        print(f"doctest: {options.file} shows no marked commands", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="coterie-doctest-") as directory:
        # A runtime directory of its own: a demo that a person runs is not found, hence not stopped.
        environment = dict(os.environ, XDG_RUNTIME_DIR=directory)
        try:
            done = subprocess.run(["bash", "-c", script(commands, binary, f"{directory}/output")],
                                  cwd=ROOT, env=environment, timeout=WAIT_SECONDS)
            code = done.returncode
        except subprocess.TimeoutExpired:
            print("doctest: the commands did not end", file=sys.stderr)
            code = 1
        subprocess.run([binary, "demo", "--stop"], env=environment, capture_output=True)
    print(f"doctest: {options.file}: {len(commands)} commands {'ok' if code == 0 else 'FAILED'}")
    return code


if __name__ == "__main__":
    sys.exit(main())
