"""Markdown: the text as it was written, with a section for each heading. Headings in code blocks are none."""

from __future__ import annotations

import re
from collections.abc import Iterator

from rag.documents import Kind
from rag.reading.layout import Reading, one_line, sections_of
from rag.reading.limits import MOST_SECTIONS

_ATX = re.compile(r" {0,3}(#{1,6})(?:[ \t]+|$)(.*)")
_UNDERLINE = re.compile(r" {0,3}(=+|-+)[ \t]*$")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})([^\n]*)$")
_NO_PARAGRAPH = re.compile(r"[ \t]*(?:[-*+>#|]|\d{1,9}[.)]|$)|    ")
_TITLE = re.compile(r"""title\s*[:=]\s*["']?(.*?)["']?\s*$""")
_IDENTIFIER = re.compile(r"\s*\{[#.][^{}]*\}\s*$")
_LONGEST_LINE = 1_000
"""Of a heading that is looked at."""


def headings(text: str) -> Iterator[tuple[int, int, str]]:
    """Where each heading's line begins, its level and words."""
    position, before, before_start, fence = 0, "", 0, ""
    front_end = front_matter(text)[0]
    for line in text.splitlines(keepends=True):
        bare = line.rstrip("\n")
        if position < front_end:
            bare = ""
        elif fence:
            closing = _FENCE.match(bare)
            if closing and closing[1].startswith(fence) and not closing[2].strip():
                fence = ""
            bare = ""
        elif (opening := _FENCE.match(bare)) and ("`" not in opening[2] or opening[1][0] == "~"):
            fence, bare = opening[1], ""
        elif atx := _ATX.match(bare):
            words = re.sub(r"(?:^|[ \t]+)#+[ \t]*$", "", atx[2][:_LONGEST_LINE])
            yield position, len(atx[1]), words
            bare = ""
        elif before and (underline := _UNDERLINE.match(bare)):
            yield before_start, 1 if underline[1][0] == "=" else 2, before
            bare = ""
        before = "" if _NO_PARAGRAPH.match(bare) else bare
        before_start = position
        position += len(line)


def front_matter(text: str) -> tuple[int, str]:
    """Where what stands before the document ends, and the title in it."""
    for mark in ("---", "+++"):
        if not text.startswith(mark + "\n"):
            continue
        end = re.compile(rf"^(?:{re.escape(mark)}|\.\.\.)[ \t]*$", re.MULTILINE).search(text, len(mark) + 1, 20_000)
        if end is not None:
            for line in text[len(mark) + 1 : end.start()].splitlines():
                if title := _TITLE.match(line):
                    return min(end.end() + 1, len(text)), title[1]
            return min(end.end() + 1, len(text)), ""
    return 0, ""


def marks(text: str) -> tuple[list[tuple[int, tuple[str, ...], Kind]], str]:
    """Where each section begins with its path of headings, and the title."""
    found: list[tuple[int, tuple[str, ...], Kind]] = [(0, (), "prose")]
    front_end, title = front_matter(text)
    if front_end:
        found = [(0, (), "data"), (front_end, (), "prose")]
    path: list[tuple[int, str]] = []
    for position, level, words in headings(text):
        if len(found) > MOST_SECTIONS:
            break
        while path and path[-1][0] >= level:
            path.pop()
        heading = one_line(_IDENTIFIER.sub("", words[:_LONGEST_LINE]))
        if not heading:
            continue
        path.append((level, heading))
        title = title or heading
        if found[-1][0] == position:
            found.pop()
        found.append((position, tuple(words for _, words in path), "prose"))
    return found, title


def read(text: str) -> Reading:
    found, title = marks(text)
    return Reading("text/markdown", text, sections_of(found, text), title=one_line(title))
