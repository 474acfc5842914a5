"""Quotes and lists that a line stands in, and what kind of block a line begins."""

from __future__ import annotations

import re
from typing import NamedTuple, TypeAlias

DEEPEST = 24
"""Quotes and lists inside each other beyond this are read as text, or as no more quotes."""


class Quote(NamedTuple):
    """A quote mark at the beginning of lines."""


class Item(NamedTuple):
    """A list item. Indents are columns from where the enclosing container's content begins."""

    indent: int
    content: int
    sign: str
    """The bullet, or the dot or bracket after a number."""
    number: int | None
    task: bool | None = None
    """For an entry of a task list: whether it is done."""
    depth: int = 0


Container: TypeAlias = Quote | Item

_LEADING = re.compile("[ \t]*")
_MARKER = re.compile(r"(?:([-+*])|(\d{1,9})([.)]))(?:[ \t]|$)")
_TASK = re.compile(r"\[([ xX])\](?:[ \t]+|$)")
_FENCE = re.compile(r"(`{3,})([^`]*)$|(~{3,})(.*)$")
_HEADING = re.compile(r"(#{1,6})(?:[ \t]|$)")
_DELIMITERS = re.compile(r"\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$")
_HTML = re.compile(
    r"</?(?:address|article|aside|base|blockquote|body|caption|center|col|colgroup|dd|details|dialog|dir|div|dl|dt|fieldset|"
    r"figcaption|figure|footer|form|frame|frameset|h[1-6]|head|header|hr|html|iframe|legend|li|link|main|menu|menuitem|nav|"
    r"noframes|ol|optgroup|option|p|param|pre|script|search|section|style|summary|svg|table|tbody|td|textarea|tfoot|th|thead|"
    r"title|tr|track|ul)(?=[\s/>]|$)|<!--|<\?|<![A-Za-z]",
    re.IGNORECASE,
)
_DEFINITION = re.compile(
    r"""\[([^\[\]^][^\[\]]{0,199})\]:[ \t]*(?:<([^<>]{1,2000})>|([^\s<>]{1,2000}))"""
    r"""(?:[ \t]+("[^"]{0,500}"|'[^']{0,500}'|\([^()]{0,500}\)))?[ \t]*$"""
)
_UNESCAPED_BAR = re.compile(r"(?<!\\)\|")


def leading(line: str) -> tuple[int, str]:
    """The columns of blank before a line's text, and the text. Tabs go to every fourth column."""
    found = _LEADING.match(line)
    assert found is not None
    blank = found[0]
    columns = len(blank.expandtabs(4)) if "\t" in blank else len(blank)
    return columns, line[found.end() :]


def without_columns(line: str, columns: int) -> str:
    """The line without so many columns of blank at its beginning; a tab that reaches further leaves blanks behind."""
    used = position = 0
    while used < columns and position < len(line):
        if line[position] == " ":
            used += 1
        elif line[position] == "\t":
            used += 4 - used % 4
        else:
            break
        position += 1
    return " " * (used - columns) + line[position:]


class Marker(NamedTuple):
    sign: str
    number: int | None
    width: int
    """Columns from the marker to the content."""
    rest: str
    task: bool | None


def marker(text: str) -> Marker | None:
    """The list marker that a text begins with."""
    found = _MARKER.match(text)
    if not found:
        return None
    sign = found[1] or found[3]
    size = len(found[1] or found[2] + found[3])
    blank, rest = leading(text[size:])
    width = size + (blank if 1 <= blank <= 4 and rest else 1)
    rest = without_columns(text[size:], width - size) if rest else ""
    task = _TASK.match(rest)
    if task:
        rest = rest[task.end() :]
    return Marker(sign, int(found[2]) if found[2] else None, width, rest, task[1] in "xX" if task else None)


def is_rule(text: str) -> bool:
    """Three or more of one sign, with any blanks."""
    sign = text[:1]
    return sign in ("-", "*", "_") and set(text) <= {sign, " ", "\t"} and text.count(sign) >= 3


def underline(text: str) -> int:
    """The level of the heading whose underline this is, or 0."""
    signs = text.rstrip(" \t")
    if signs and signs == "=" * len(signs):
        return 1
    return 2 if signs and signs == "-" * len(signs) else 0


def fence(text: str) -> tuple[str, str] | None:
    """The signs and the words after them, of a line that opens a fence."""
    found = _FENCE.match(text) if text[:3] in ("```", "~~~") else None
    if not found:
        return None
    return (found[1] or found[3]), (found[2] or found[4] or "").strip()


def closes_fence(text: str, signs: str) -> bool:
    text = text.strip(" \t")
    return len(text) >= len(signs) and text == signs[0] * len(text)


def heading(text: str) -> tuple[int, str] | None:
    """The level and the words of a heading with number signs."""
    found = _HEADING.match(text) if text.startswith("#") else None
    if not found:
        return None
    words = text[len(found[1]) :].strip(" \t")
    bare = words.rstrip("#")
    if bare != words and (not bare or bare[-1] in " \t"):
        words = bare.rstrip(" \t")
    return len(found[1]), words


def definition(text: str) -> tuple[str, str, str] | None:
    """Label, address and title of a reference definition."""
    found = _DEFINITION.match(text) if text.startswith("[") else None
    return (found[1], found[2] or found[3], (found[4] or "")[1:-1]) if found else None


def starts_html(text: str) -> bool:
    return text.startswith("<") and _HTML.match(text) is not None


def alignments(text: str) -> tuple[str, ...] | None:
    """What a table's second line says about its columns: "l", "r", "c", or "" for none. None if it is no such line."""
    if "-" not in text or not ("|" in text or ":" in text) or set(text) - set("|-: \t") or not _DELIMITERS.match(text):
        return None
    cells = text.strip(" \t").removeprefix("|").removesuffix("|").split("|")
    return tuple([_alignment(cell.strip(" \t")) for cell in cells])


def _alignment(cell: str) -> str:
    if cell.endswith(":"):
        return "c" if cell.startswith(":") else "r"
    return "l" if cell.startswith(":") else ""


def split_cells(text: str) -> list[str]:
    """The cells of a table row. A bar after a backslash is a character of its cell."""
    text = text.strip(" \t").removeprefix("|")
    if text.endswith("|") and not text.endswith("\\|"):
        text = text[:-1]
    return [cell.strip(" \t").replace("\\|", "|") for cell in _UNESCAPED_BAR.split(text)]
