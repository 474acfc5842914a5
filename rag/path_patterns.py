"""Which files somebody means by a path: the file itself, a folder with all that is in it, or a pattern.

A pattern without a slash is about names. One with slashes is about paths, from the root or from any folder: `*` stays
within one name, `**` goes through folders, and a slash at the end stands for all that is below.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterable, Sequence

from rag.ignore_rules import LONGEST_RULE, regular_expression

_SIGNS = re.compile(r"[*?\[]")
_LITERAL = (
    "d.name = ? OR substr(d.path || '/', 1, ?) = ? OR substr(d.path, 1, ?) = ?"
    " OR instr(d.path || '/', ?) > 0 OR instr(d.path, ?) > 0"
)
_NAMED = " OR d.name GLOB ?"


def condition(
    connection: sqlite3.Connection, paths: Sequence[str], collections: Iterable[int]
) -> tuple[str, list[int | str]]:
    """What a document `d` of these collections must fulfil to be meant by any of the paths: SQL and its values."""
    said, values = [], list[int | str]()
    patterns = []
    for path in paths:
        bare = path.rstrip("/") or "/"
        inside = bare if bare == "/" else f"{bare}/"
        values += [bare, len(inside), inside, len(bare) + 2, f"{bare}!/", f"/{bare}/", f"/{bare}!/"]
        said.append(_LITERAL)
        if _SIGNS.search(path) and "/" in path:
            patterns.append(_of_paths(path))
        elif _SIGNS.search(path):
            said[-1] += _NAMED
            values.append(path)
    if patterns:
        fits = re.compile("|".join(patterns), re.DOTALL).fullmatch
        marks = ", ".join("?" * len(owners := list(collections)))
        rows = connection.execute(
            f"SELECT id, path FROM documents WHERE collection_id IN ({marks})",  # noqa: S608
            owners,
        )
        said.append("d.id IN (SELECT value FROM json_each(?))")
        values.append(json.dumps([number for number, path in rows if fits(path)]))
    return " OR ".join(said), values


def _of_paths(path: str) -> str:
    from_anywhere = "" if path.startswith("/") else "(?:.*/)?"
    return from_anywhere + regular_expression(path[:LONGEST_RULE] + ("**" if path.endswith("/") else ""))
