"""The files below a folder, for choosing one by its name: near ones first, without what `.gitignore` leaves out.

Bounded in number and time, and stopped when nobody waits any more, so that it may be started in any folder.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from rag.ignore_rules import RuleFile, is_ignored, read_rules

MOST_FILES = 10_000
MOST_ENTRIES = 200_000
LONGEST_S = 3.0
NEVER = frozenset({".git", ".hg", ".svn", "node_modules", "__pycache__", ".venv", ".tox", ".mypy_cache"})
SHOWN_HIDDEN = frozenset({".github", ".gitlab", ".ci", ".config"})
"""Folders that are looked into though their names begin with a dot."""


class FilesHere(NamedTuple):
    names: tuple[str, ...]
    """Paths from the folder, with slashes."""
    is_complete: bool


def files_below(
    folder: Path,
    *,
    stopped: Callable[[], bool] = bool,
    most: int = MOST_FILES,
    monotonic: Callable[[], float] = time.monotonic,
) -> FilesHere:
    """Blocks for up to `LONGEST_S`; call it in a thread. What cannot be read is left out."""
    until = monotonic() + LONGEST_S
    names: list[str] = []
    looked_at = 0
    above = tuple(_rules_above(folder))
    waiting: deque[tuple[str, tuple[RuleFile, ...]]] = deque([("", above)])
    while waiting:
        inside, files = waiting.popleft()
        own = read_rules(folder / inside / ".gitignore")
        if own:
            files = (*files, RuleFile(inside, own))
        for name, is_folder in _entries(folder / inside):
            looked_at += 1
            if len(names) >= most or looked_at > MOST_ENTRIES or stopped() or monotonic() > until:
                return FilesHere(tuple(names), False)
            path = inside + name
            if is_folder:
                if _is_worth(name) and not is_ignored(path, True, files):
                    waiting.append((f"{path}/", files))
            elif not is_ignored(path, False, files):
                names.append(path)
    return FilesHere(tuple(names), True)


def _is_worth(name: str) -> bool:
    return name not in NEVER and (not name.startswith(".") or name in SHOWN_HIDDEN)


def _entries(folder: Path) -> list[tuple[str, bool]]:
    """Names by the alphabet, and whether each is a folder; links to folders are not followed."""
    found: list[tuple[str, bool]] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                try:
                    if entry.is_dir(follow_symlinks=False):
                        found.append((entry.name, True))
                    elif entry.is_file():
                        found.append((entry.name, False))
                except OSError:
                    continue
                if len(found) >= MOST_FILES:
                    break
    except OSError:
        return []
    return sorted(found)


def _rules_above(folder: Path) -> list[RuleFile]:
    """Those of the repository that the folder is in, from its root down to it."""
    inner = folder.absolute()
    rules: list[RuleFile] = []
    way = ""
    for outer in (inner, *inner.parents):
        if outer != inner:
            own = read_rules(outer / ".gitignore")
            if own:
                rules.insert(0, RuleFile("", own, way))
        if (outer / ".git").exists():
            excluded = read_rules(outer / ".git" / "info" / "exclude")
            return [RuleFile("", excluded, way), *rules] if excluded else rules
        way = f"{outer.name}/{way}"
    return []
