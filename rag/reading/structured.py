"""JSON, YAML, TOML and their like: kept as they were written, with a section for each top-level key of a big one.

JSON that stands on one long line is laid out anew, since nobody can cite its line.
"""

from __future__ import annotations

import json
import re

from rag.documents import Kind
from rag.reading.layout import Reading, clean, one_line, sections_of
from rag.reading.limits import MOST_SECTIONS, Limits

_BIG = 4_000
_SMALL = 300
_LONG_LINE = 2_000
_YAML_KEY = re.compile(r"^([^\s#\-\[{&*!|>'%@`\"][^:\n]{0,200}|\"[^\"\n]{1,200}\"):(?:\s|$)", re.MULTILINE)
_TABLE_HEAD = re.compile(r"^[ \t]*\[\[?([^\]\n]{1,200})\]\]?[ \t]*(?:[#;].*)?$", re.MULTILINE)
_JSON_KEY = r'^{indent}"((?:[^"\\\n]|\\.){{1,200}})"\s*:'


def read_json(name: str, text: str, limits: Limits) -> Reading:
    notes: tuple[str, ...] = ()
    if max(map(len, text[: 4 * _LONG_LINE].split("\n"))) > _LONG_LINE:
        try:
            text = clean(json.dumps(json.loads(text), indent=1, ensure_ascii=False))
            notes = (f"{name!r} stood on one line; it was laid out anew, so its lines are ours.",)
        except (ValueError, RecursionError):
            notes = (f"{name!r} is not whole JSON; it was read as it stands.",)
        if len(text) > limits.characters:
            raise limits.too_many_characters(name)
    first = re.search(r'^([ \t]+)"', text, re.MULTILINE)
    pattern = re.compile(_JSON_KEY.format(indent=first[1]), re.MULTILINE) if first else None
    return _parted("application/json", text, pattern, notes)


def read_yaml(text: str) -> Reading:
    return _parted("application/yaml", text, _YAML_KEY)


def read_toml(text: str) -> Reading:
    return _parted("application/toml", text, _TABLE_HEAD)


def read_lines(text: str) -> Reading:
    """XML and JSON by the line: no keys that could be headings."""
    return _parted("text/plain", text, None)


def _parted(media_type: str, text: str, key: re.Pattern[str] | None, notes: tuple[str, ...] = ()) -> Reading:
    marks: list[tuple[int, tuple[str, ...], Kind]] = [(0, (), "data")]
    if key is not None and len(text) > _BIG:
        keys = [(found.start(), found[1].strip('"')) for found in key.finditer(text)]
        if keys and not text[: keys[0][0]].strip(" \n\t{["):
            keys[0] = (0, keys[0][1])
        ends = [*(start for start, _ in keys[1:]), len(text)][: len(keys)]
        for (start, name), end in zip(keys, ends, strict=True):
            # Small values stay together: a section of one line would be found for nothing else.
            headings = (one_line(name),) if end - start >= _SMALL else ()
            if marks[-1][1] != headings or headings:
                if marks[-1][0] == start:
                    marks.pop()
                marks.append((start, headings, "data"))
            if len(marks) > MOST_SECTIONS:
                break
    return Reading(media_type, text, sections_of(marks, text), notes=notes)
