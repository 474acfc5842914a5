"""On which line of a TOML text each key is. The parser of the standard library does not tell."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator


def lines_of(written: str) -> dict[tuple[str, ...], int]:
    """The first line of every table and key of a valid text, by path; keys inside a value count as the value's line."""
    lines: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    for number, statement in _statements(written):
        if statement.startswith("["):
            table = _path(statement.strip("[] \t"))
            path = table
        else:
            path = (*table, *_path(_before_equals(statement)))
        for length in range(1, len(path) + 1):
            lines.setdefault(path[:length], number)
    return lines


def _path(key: str) -> tuple[str, ...]:
    """A key as written, `a."b.c"`, in its parts; read by the parser itself, so that quoting is right."""
    try:
        parsed: object = tomllib.loads(f"{key} = 0")
    except ValueError:
        return ()
    parts = []
    while isinstance(parsed, dict):
        part, parsed = next(iter(parsed.items()))
        parts.append(part)
    return tuple(parts)


def _before_equals(statement: str) -> str:
    quote = ""
    position = 0
    while position < len(statement):
        character = statement[position]
        if quote:
            if character == "\\" and quote == '"':
                position += 1
            elif character == quote:
                quote = ""
        elif character in "\"'":
            quote = character
        elif character == "=":
            break
        position += 1
    return statement[:position]


def _statements(written: str) -> Iterator[tuple[int, str]]:
    """Every table header and key with its line, without the rest of values that go over several lines."""
    depth = 0
    quote = ""
    for number, line in enumerate(written.split("\n"), start=1):
        stripped = line.strip()
        at_start = not depth and not quote
        begins = at_start and stripped and not stripped.startswith("#")
        if begins and stripped.startswith("["):
            yield number, _without_comment(stripped)
            continue
        if begins:
            yield number, stripped
        depth, quote = _follow(line, depth, quote)


def _without_comment(header: str) -> str:
    quote = ""
    for position, character in enumerate(header):
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        elif character == "#":
            return header[:position].rstrip()
    return header


def _follow(line: str, depth: int, quote: str) -> tuple[int, str]:
    """How deep in brackets, and in which kind of quotes, the line leaves us."""
    position = 0
    while position < len(line):
        if quote:
            if line[position] == "\\" and quote[0] == '"':
                position += 2
            elif line.startswith(quote, position):
                position += len(quote)
                if len(quote) == 3:  # up to two quotes may stand before the closing three
                    while position < len(line) and line[position] == quote[0]:
                        position += 1
                quote = ""
            else:
                position += 1
            continue
        character = line[position]
        if character == "#":
            break
        if character in "\"'":
            quote = character * 3 if line.startswith(character * 3, position) else character
            position += len(quote)
            continue
        depth += (character in "[{") - (character in "]}")
        position += 1
    return depth, quote if len(quote) == 3 else ""
