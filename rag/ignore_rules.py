"""The rules of `.gitignore` files: which names below a folder somebody does not want to see.

Understood are comments, `!`, rules for folders only, rules bound to their folder, `*`, `?`, `[…]` and `**`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

LARGEST_FILE_BYTES = 256 * 1024
MOST_RULES = 2_000
LONGEST_RULE = 1_000


class Rule(NamedTuple):
    pattern: re.Pattern[str]
    is_negated: bool
    folders_only: bool


class RuleFile(NamedTuple):
    """The rules of one folder, for paths below it."""

    folder: str
    """Its path from where the walk begins, with a slash behind it; empty for that folder itself. One above it, which
    has rules for all of them, stands as `above`."""
    rules: tuple[Rule, ...]
    above: str = ""
    """For a folder above: the way from it down to where the walk begins, with a slash behind it."""


def is_ignored(path: str, is_folder: bool, files: Sequence[RuleFile]) -> bool:
    """Whether the last rule that fits says so; `files` go from the outermost to the innermost."""
    ignored = False
    for file in files:
        if not path.startswith(file.folder):
            continue
        inside = file.above + path[len(file.folder) :]
        for rule in file.rules:
            if (is_folder or not rule.folders_only) and rule.pattern.fullmatch(inside):
                ignored = not rule.is_negated
    return ignored


def read_rules(file: Path) -> tuple[Rule, ...]:
    """Those of one file; none if it is not there or cannot be read."""
    try:
        with file.open("rb") as opened:
            content = opened.read(LARGEST_FILE_BYTES)
    except OSError:
        return ()
    lines = content.decode("utf-8", "replace").splitlines()[:MOST_RULES]
    return tuple(rule for rule in map(parse_rule, lines) if rule is not None)


def parse_rule(line: str) -> Rule | None:
    line = line.rstrip("\r\n")
    if line.startswith("#") or len(line) > LONGEST_RULE:
        return None
    while line.endswith(" ") and not line.endswith("\\ "):
        line = line[:-1]
    is_negated = line.startswith("!")
    line = line[1:] if is_negated else line
    folders_only = line.endswith("/")
    line = line.rstrip("/") if folders_only else line
    if not line:
        return None
    is_bound = "/" in line
    line = line.removeprefix("/")
    try:
        pattern = re.compile(("" if is_bound else "(?:.*/)?") + regular_expression(line), re.DOTALL)
    except re.error:
        return None
    return Rule(pattern, is_negated, folders_only)


def regular_expression(rule: str) -> str:
    """Of a pattern, for a whole path."""
    made: list[str] = []
    at = 0
    while at < len(rule):
        if rule.startswith("**/", at) and (at == 0 or rule[at - 1] == "/"):
            made.append("(?:.*/)?")
            at += 3
        elif rule.startswith("**", at) and at + 2 == len(rule) and at > 0 and rule[at - 1] == "/":
            made.append(".+")
            at += 2
        elif rule[at] == "*":
            while at < len(rule) and rule[at] == "*":  # a run counts as one, or matching would take for ever
                at += 1
            made.append("[^/]*")
        elif rule[at] == "?":
            made.append("[^/]")
            at += 1
        elif rule[at] == "[" and (end := rule.find("]", at + 2)) > 0:
            inside = rule[at + 1 : end].replace("\\", "\\\\").replace("[", "\\[")
            made.append(f"[{'^' + inside[1:] if inside[0] in '!^' else inside}]")
            at = end + 1
        else:
            at += rule[at] == "\\" and at + 1 < len(rule)
            made.append(re.escape(rule[at]))
            at += 1
    return "".join(made)
