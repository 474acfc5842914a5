"""The sentences of an answer in Markdown that cite numbered sources, whatever way a model writes that."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

MOST_IN_RANGE = 50
"""A range such as [1-999] is no citation."""
LONGEST = 4_000
"""A sentence beyond this is cut; only a text that is none is that long."""

_INNER = r"(?:(?:source|passage|document|doc|ref)s?\.?\s*)?\^?\d{1,3}(?:\s*[-–,;&]\s*\d{1,3}){0,20}"
_MARK = re.compile(rf"\[({_INNER})\](?!\(\S|:\s{{0,4}}\S{{1,20}}://)|【({_INNER})(?:†[^】]{{0,80}})?】", re.IGNORECASE)
_NUMBERS = re.compile(r"(\d{1,3})(?:\s*[-–]\s*(\d{1,3}))?")
_CODE = re.compile(
    r"^ {0,3}(`{3,}+|~{3,}+)[^\n]*+\n.*?(?:^ {0,3}\1[`~]*+[ \t]*+$|\Z)|(?<!`)(`++)[^`]{1,500}+(?<!`)\2(?!`)",
    re.DOTALL | re.MULTILINE,
)
_BREAK = re.compile(
    r"\n[ \t]*\n"  # between paragraphs
    r"|\n(?=[ \t]*(?:[-*+•]|\d{1,3}[.)]|#{1,6}|>|\|)[ \t])"  # before a list's item, a heading, a quotation, a row
    r"|\n(?=[ \t]*\|)"
    r"|(?<=[.!?…。！？])[\"'”’)*_]*(?P<after>(?:\s*(?:\[[^\]\n]{1,60}\]|【[^】\n]{1,90}】))*)[.]?(?:\s+|(?<=[。！？]))"
    r"(?=[\"'“‘„«(*_\[-]*[^\W_a-zà-ÿ]|$)"
)
_SHORT = re.compile(
    r"(?:\b(?i:e\.g|i\.e|cf|vs|dr|mr|mrs|ms|prof|nr|fig|pp?|ca|approx|st|vol|ch|sec|z\.b|bzw)|\bNo|\b[A-Z]|^\s*\d{1,3})\.$"
)
_LEADING = re.compile(r"[ \t]*(?:(?:[-*+•]|\d{1,3}[.)]|#{1,6}|>)[ \t]+)*")


class Sentence(NamedTuple):
    start: int
    end: int
    text: str
    """Without its marks."""
    numbers: tuple[int, ...]


def cited_sentences(text: str) -> Iterator[Sentence]:
    """Those that cite. Marks in code are none; a mark after the full stop belongs to the sentence before it."""
    bare = _CODE.sub(_blank_code, text)
    for start, end in _pieces(bare):
        piece = bare[start:end]
        if "[" not in piece and "【" not in piece:
            continue
        numbers = tuple(dict.fromkeys(number for match in _marks(piece) for number in _numbers(match)))
        if numbers:
            left = _MARK.sub(" ", piece)
            yield Sentence(start, end, " ".join(_LEADING.sub("", left, count=1).split())[:LONGEST], numbers)


def _blank_code(match: re.Match[str]) -> str:
    """Blocks of code are left out; what stands in a line is kept without what would look like a mark."""
    if match[1]:
        return re.sub(r"[^\n]", " ", match[0])
    return match[0].replace("[", "(").replace("]", ")")


def _marks(piece: str) -> Iterator[str]:
    for match in _MARK.finditer(piece):
        yield next(filter(None, match.groups()))


def _numbers(mark: str) -> Iterator[int]:
    for match in _NUMBERS.finditer(mark):
        first, last = int(match[1]), int(match[2] or match[1])
        if first <= last < first + MOST_IN_RANGE:
            yield from range(first, last + 1)
        else:
            yield from (first, last)


def _pieces(text: str) -> Iterator[tuple[int, int]]:
    start = 0
    for match in _BREAK.finditer(text):
        end = match.end("after") if match["after"] is not None else match.start()
        if match["after"] is not None and _SHORT.search(text[max(start, match.start() - 12) : match.start()]):
            continue
        if text[start:end].strip():
            yield _trimmed(text, start, end)
        start = match.end()
    if text[start:].strip():
        yield _trimmed(text, start, len(text))


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end
