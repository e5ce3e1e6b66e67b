#!/usr/bin/env bash
#
# Finds the lines and doc summaries that break the rules for prose:
#
# - No line has more than 100 characters, in Rust, SQL, Markdown and the example of a configuration
#   file. In Markdown, tables, code blocks and lines that hold nothing but a link are exempt.
# - No doc summary begins with a word that makes it a fragment, and neither does a later paragraph or
#   list item of a doc comment, such as the one under `# Errors`.
#
#   scripts/prose.sh           prints each finding as file:line, and fails if there is one
#   scripts/prose.sh --count   prints the number of findings per file and per rule

set -euo pipefail
cd "$(dirname "$0")/.."

exec python3 - "$@" << 'PYTHON'
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

COLUMNS = 100
WIDTH = f"lines over {COLUMNS} columns"
FRAGMENT = "doc paragraphs that begin as a fragment"
DOC = re.compile(r"\s*(///|//!) ?(.*)")
BEGINS_AS_FRAGMENT = re.compile(
    r"(Of|By|In|For|With|Where|What|Whether|As|Those|From|Which|So|At|Only|Not|How|Why|Kept|Escaped"
    r"|None)\b"
)
LIST_ITEM = re.compile(r"\s*([-*]|\d+\.) ")
FENCE = re.compile(r"\s*(```+|~~~+)")
ONLY_A_LINK = re.compile(
    r"\s*([-*] |\d+\. )?\s*(!?\[[^]]*\]\(\S*\)|\[[^]]*\]: \S+|<?https?://\S+>?)[.,;:]?\s*"
)


def too_long(line):
    if len(line) > COLUMNS:
        yield WIDTH, f"{len(line)} columns"


def in_rust(lines):
    # The kind of the comment and its text on the line before, which decide where a paragraph begins.
    block, before, is_code = None, "", False
    for number, line in enumerate(lines, 1):
        for finding in too_long(line):
            yield number, *finding
        doc = DOC.match(line)
        if not doc:
            block, before, is_code = None, "", False
            continue
        is_summary = doc[1] != block
        item = LIST_ITEM.match(doc[2])
        begins = is_summary or item or not before.strip() or before.startswith("#")
        text = doc[2][item.end() :] if item else doc[2]
        if FENCE.match(text):
            is_code = not is_code
        elif begins and not is_code and (word := BEGINS_AS_FRAGMENT.match(text)):
            what = "summary" if is_summary else "list item" if item else "paragraph"
            yield number, FRAGMENT, f"the doc {what} begins with {word[0]}"
        block, before = doc[1], doc[2]


def in_plain_text(lines):
    for number, line in enumerate(lines, 1):
        for finding in too_long(line):
            yield number, *finding


def in_markdown(lines):
    fence = None
    for number, line in enumerate(lines, 1):
        mark = FENCE.match(line)
        if fence:
            if mark and mark[1].startswith(fence):
                fence = None
        elif mark:
            fence = mark[1]
        elif not line.lstrip().startswith("|") and not ONLY_A_LINK.fullmatch(line):
            for finding in too_long(line):
                yield number, *finding


is_count = sys.argv[1:] == ["--count"]
if sys.argv[1:] and not is_count:
    sys.exit("usage: scripts/prose.sh [--count]")
# New files too, so that a finding shows before its commit.
kinds = ["*.rs", "*.md", "*.sql", "config.example.toml"]
command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *kinds]
names = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split("\0")
by_file, by_rule = Counter(), Counter({WIDTH: 0, FRAGMENT: 0})
for path in [Path(name) for name in names if name and Path(name).is_file()]:
    lines = path.read_text(encoding="utf-8").split("\n")
    in_language = {".rs": in_rust, ".md": in_markdown}.get(path.suffix, in_plain_text)
    for number, rule, what in in_language(lines):
        by_file[path] += 1
        by_rule[rule] += 1
        if not is_count:
            print(f"{path}:{number}: {what}")
if is_count:
    for path, count in by_file.most_common():
        print(f"{count:5} {path}")
    for rule, count in by_rule.items():
        print(f"{count:5} {rule}")
elif by_file:
    sys.exit(", ".join(f"{count} {rule}" for rule, count in by_rule.items()))
PYTHON
