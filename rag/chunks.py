"""A document cut into chunks: pieces small enough for the embedder to see whole, each with its exact place.

The text is first taken apart into sections and pages, these into paragraphs, sentences or lines, and only a word that
is longer than a chunk is broken. The pieces of a whole document are counted in one batch, which is what makes this as
fast as counting tokens is. Then each section is packed into chunks of about equal size, so that none is left with a
scrap. Between two chunks that follow each other stand line breaks and nothing else, so that neighbours can be joined
again without the document.

A long stretch without sections is divided at paragraphs chosen by their own content. A change in it therefore moves
the chunks up to the next such paragraph, and those behind stay what they were.
"""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from typing import NamedTuple
from zlib import crc32

from rag.documents import Chunk, Kind, PageSpan, Section, Span
from rag.embedder import TokenCounter
from rag.readers import DocumentText

VERSION = 1
"""Goes into the name of the rules: chunks of another version are made anew."""

_CHARACTERS_PER_TOKEN = 12
"""A model may see a long string of letters as one unknown token; for the size of a chunk it is worth its length."""
_HEADING_CHARACTERS = 160
_TINY_TOKENS = 24
_ANCHOR_EVERY_CHUNKS = 8
_PARAGRAPH, _SENTENCE, _WORD = 2, 1, 0
_PENALTY = (0.6, 0.15, 0.0)
"""What it costs to end a chunk at a word, a sentence or line, a paragraph; beside it the distance from the goal."""

_BLANK_LINES = re.compile(r"\n[^\S\n]*\n\s*")
_SENTENCE_ENDS = re.compile(r"(?<=[.!?:;…])[\"'”’)\]]*\s+|(?<=[。！？；])|\n\s*(?=[-*•#|>]|\d+[.)] )")
_LINE_ENDS = re.compile(r"\n")
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
_ROUGH = re.compile(rf"[{_UNSPACED}\U00020000-\U0003ffff]|[^\W\d_{_UNSPACED}]{{1,9}}|\d{{1,3}}|[^\w\s]|_")


class Rules(NamedTuple):
    """How documents are cut. 254 is what all-MiniLM-L6-v2 sees of a text; an overlap was measured to bring nothing."""

    chunk_tokens: int = 254
    """The most a chunk may have, its heading included."""
    overlap_tokens: int = 0
    """How much of a chunk's end the next one of the same section begins with."""
    by_section: bool = True
    """False is the classical way: windows over the whole text, whatever stands in it."""
    version: int = VERSION

    @property
    def name(self) -> str:
        """Says by which rules chunks were made; other rules have another name."""
        kind = "sections" if self.by_section else "windows"
        return f"{kind}-{self.chunk_tokens}-{self.overlap_tokens}-v{self.version}"


USUAL = Rules()


class RoughCounter:
    """Counts without a model: about a token for a word, for three digits, for a sign, for a Chinese character."""

    name = "rough"

    def count(self, texts: Sequence[str]) -> list[int]:
        return [len(_ROUGH.findall(text)) for text in texts]

    def offsets(self, text: str) -> list[tuple[int, int]]:
        return [found.span() for found in _ROUGH.finditer(text)]


class _Piece(NamedTuple):
    """What is not divided any more. Pieces of a region follow each other without gaps."""

    start: int
    end: int
    ends: int
    """_PARAGRAPH, _SENTENCE or _WORD."""
    tokens: int
    weight: int


class _Region(NamedTuple):
    """What stands under one heading on one page; chunks do not leave it."""

    start: int
    end: int
    headings: tuple[str, ...]
    kind: Kind
    page: int | None


def embedded_text(chunk: Chunk) -> str:
    """What is embedded and hashed: the text under its own heading, unless it begins with that already."""
    return _under_heading(chunk.headings, chunk.text)


def cut(document: DocumentText, counter: TokenCounter, rules: Rules = USUAL) -> list[Chunk]:
    """The chunks of a document in their order. Every character that is not blank is in one of them."""
    assert rules.chunk_tokens > 0
    assert 0 <= rules.overlap_tokens < rules.chunk_tokens
    text = document.text
    regions = _regions(document, rules)
    room = _room(regions, counter, rules)
    pieces = _counted(text, regions, room, counter, rules)
    parts = list(zip(regions, pieces, room, strict=True))
    place = _Places(text, document.spans)
    chunks = []
    for region, own, most in _with_tiny_ones(parts) if rules.by_section else parts:
        for start, end, tokens in _packed(text, own, most, rules):
            passage = text[start:end]
            seen = _under_heading(region.headings, passage).encode("utf-8", "replace")
            hash_ = hashlib.blake2b(seen, digest_size=16).digest()
            chunks.append(Chunk(passage, region.headings, place.span(start, end), tokens, hash_))
    return chunks


def _under_heading(headings: tuple[str, ...], text: str) -> str:
    if not headings:
        return text
    own = headings[-1][:_HEADING_CHARACTERS].strip()
    return text if not own or own in text[: len(own) + 16] else f"{own}\n{text}"


def _regions(document: DocumentText, rules: Rules) -> list[_Region]:
    text = document.text
    if not rules.by_section:
        return [_Region(0, len(text), (), "prose", None)] if text.strip() else []
    sections = document.sections or (Section((), 0, len(text)),)
    page_starts = [page.start for page in document.spans]
    regions = []
    for section in sections:
        at = section.start
        while at < section.end:
            following = bisect_right(page_starts, at)
            end = min(section.end, page_starts[following] if following < len(page_starts) else section.end)
            if text[at:end].strip():
                page = document.spans[following - 1].number if following else None
                regions.append(_Region(at, end, section.headings, section.kind, page))
            at = end
    return regions


def _room(regions: list[_Region], counter: TokenCounter, rules: Rules) -> list[int]:
    """How many tokens of text a chunk of each region may have beside its heading; half of a chunk at least."""
    owns = sorted({region.headings[-1][:_HEADING_CHARACTERS] for region in regions if region.headings})
    tokens = dict(zip(owns, counter.count(owns), strict=True)) if owns else {}
    half = (rules.chunk_tokens + 1) // 2
    return [
        max(half, rules.chunk_tokens - (tokens[region.headings[-1][:_HEADING_CHARACTERS]] if region.headings else 0))
        for region in regions
    ]


def _counted(
    text: str, regions: list[_Region], room: list[int], counter: TokenCounter, rules: Rules
) -> list[list[_Piece]]:
    """The pieces of each region, all counted at once; those that turn out too long are divided further."""
    spans: list[tuple[int, int, int]] = []
    bounds = [0]
    for region in regions:
        spans.extend(_divided(text, region.start, region.end, region.kind, rules))
        bounds.append(len(spans))
    tokens = counter.count([text[start:end] for start, end, _ in spans])
    pieces = []
    for number, most in enumerate(room):
        own: list[_Piece] = []
        for at in range(bounds[number], bounds[number + 1]):
            start, end, ends = spans[at]
            weight = max(tokens[at], (end - start) // _CHARACTERS_PER_TOKEN)
            if weight <= most:
                own.append(_Piece(start, end, ends, tokens[at], weight))
            else:
                own.extend(_broken(text, start, end, ends, most, counter))
        pieces.append(own)
    return pieces


def _divided(text: str, start: int, end: int, kind: Kind, rules: Rules) -> Iterator[tuple[int, int, int]]:
    """Paragraphs, and what is inside those that are long: sentences of prose, lines of anything else."""
    long = rules.chunk_tokens * 2
    for from_, to in _split(_BLANK_LINES, text, start, end):
        if to - from_ <= long:
            yield from_, to, _PARAGRAPH
            continue
        inner = _SENTENCE_ENDS if kind == "prose" else _LINE_ENDS
        for first, last in _split(inner, text, from_, to):
            ends = _PARAGRAPH if last == to else _SENTENCE
            if kind == "prose" and last - first > long:
                for line, line_end in _split(_LINE_ENDS, text, first, last):
                    yield from _shortened(text, line, line_end, ends if line_end == last else _WORD, long)
            else:
                yield from _shortened(text, first, last, ends, long)


def _shortened(text: str, start: int, end: int, ends: int, long: int) -> Iterator[tuple[int, int, int]]:
    """A very long line in parts, so that it is counted as fast as others are."""
    while end - start > 4 * long:
        blank = text.rfind(" ", start + long, start + 2 * long) + 1
        to = blank or start + 2 * long
        yield start, to, _WORD
        start = to
    yield start, end, ends


def _split(pattern: re.Pattern[str], text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Stretches that end behind what the pattern finds."""
    at = start
    for found in pattern.finditer(text, start, end):
        if found.end() > at:
            yield at, found.end()
            at = found.end()
    if at < end:
        yield at, end


def _broken(text: str, start: int, end: int, ends: int, most: int, counter: TokenCounter) -> Iterator[_Piece]:
    """What is too long for a chunk, at blanks if there are any, else between tokens, else by its length."""
    passage = text[start:end]
    offsets = counter.offsets(passage)
    longest = most * _CHARACTERS_PER_TOKEN
    at, token = 0, 0
    while at < len(passage):
        last = min(token + most, len(offsets))
        to = offsets[last][0] if last < len(offsets) else len(passage)
        to = max(at + 1, min(to, at + longest))
        if to < len(passage):
            blank = max(passage.rfind(" ", at, to), passage.rfind("\n", at, to), passage.rfind("\t", at, to)) + 1
            if blank > at + (to - at) // 2:
                to = blank
        behind = bisect_left(offsets, (to, 0), lo=token)
        tokens = min(behind - token, most)
        weight = min(most, max(tokens, (to - at) // _CHARACTERS_PER_TOKEN))
        yield _Piece(start + at, start + to, ends if to == len(passage) else _WORD, tokens, weight)
        at, token = to, behind


def _with_tiny_ones(parts: list[tuple[_Region, list[_Piece], int]]) -> list[tuple[_Region, list[_Piece], int]]:
    """Regions with those that are too small to be found joined to their follower under the same parent.

    A heading with nothing under it is joined to its first sub-section, even on the next page.
    """
    merged: list[tuple[_Region, list[_Piece], int]] = []
    waiting: tuple[_Region, list[_Piece], int] | None = None
    is_joined = False
    for region, own, most in parts:
        if waiting is not None:
            before, earlier, _ = waiting
            headings = _common(before.headings, region.headings)
            is_title = headings == before.headings != region.headings and not is_joined
            is_sibling = len(headings) >= len(before.headings) - (not is_joined) and before.page == region.page
            total = sum(piece.weight for piece in earlier) + sum(piece.weight for piece in own)
            if before.kind == region.kind and (is_title or (is_sibling and total <= most)):
                named = region.headings if is_title else headings
                region = _Region(before.start, region.end, named, region.kind, region.page)
                own = earlier + own
                is_joined = not is_title
            else:
                merged.append(waiting)
                is_joined = False
        waiting = (region, own, most)
        if sum(piece.weight for piece in own) >= min(_TINY_TOKENS, most // 8):
            merged.append(waiting)
            waiting, is_joined = None, False
    if waiting is not None:
        merged.append(waiting)
    return merged


def _common(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    shared = 0
    for mine, yours in zip(one, other, strict=False):
        if mine != yours:
            break
        shared += 1
    return one[:shared]


def _packed(text: str, pieces: list[_Piece], most: int, rules: Rules) -> Iterator[tuple[int, int, int]]:
    """Start, end and tokens of chunks over pieces that follow each other."""
    for from_, to in _stretches(text, pieces, most):
        first = from_
        left = sum(piece.weight for piece in pieces[from_:to])
        while first < to:
            behind = _end_of_chunk(pieces, first, to, most, left)
            own = pieces[first:behind]
            start, end = _without_line_breaks(text, own[0].start, own[-1].end)
            if not text[start:end].isspace() and start < end:
                yield start, end, sum(piece.tokens for piece in own)
            if behind == to:
                break
            following = _overlapping(pieces, first, behind, most, rules)
            left -= sum(piece.weight for piece in pieces[first:following])
            first = following


def _stretches(text: str, pieces: list[_Piece], most: int) -> Iterator[tuple[int, int]]:
    """Divides many pieces at paragraphs whose content says so, wherever in the document they stand."""
    every = most * _ANCHOR_EVERY_CHUNKS
    if sum(piece.weight for piece in pieces) <= 2 * every:
        yield 0, len(pieces)
        return
    first, weight = 0, 0
    for at, piece in enumerate(pieces):
        begins_paragraph = at > 0 and pieces[at - 1].ends == _PARAGRAPH
        if begins_paragraph and weight >= every // 2:
            share = max(1, every // (2 * max(1, piece.weight)))
            if weight >= 2 * every or crc32(text[piece.start : piece.end].encode("utf-8", "replace")) % share == 0:
                yield first, at
                first, weight = at, 0
        weight += piece.weight
    yield first, len(pieces)


def _end_of_chunk(pieces: list[_Piece], first: int, to: int, most: int, left: int) -> int:
    """Where the chunk that begins at `first` ends best: near an equal share of what is left, at a paragraph."""
    if left <= most:
        return to
    goal = left / -(-left // most)
    weight, best, least = 0, first + 1, float("inf")
    for at in range(first, to):
        weight += pieces[at].weight
        if weight > most:
            break
        cost = abs(goal - weight) / goal + _PENALTY[pieces[at].ends]
        if cost <= least:
            best, least = at + 1, cost
    return best


def _overlapping(pieces: list[_Piece], first: int, behind: int, most: int, rules: Rules) -> int:
    """The piece that the next chunk begins with: as far back as the overlap allows, and always a step on."""
    following, shared = behind, 0
    while following - 1 > first and shared + pieces[following - 1].weight <= rules.overlap_tokens:
        following -= 1
        shared += pieces[following].weight
    if following < behind and behind < len(pieces) and shared + pieces[behind].weight > most:
        return behind
    return following


def _without_line_breaks(text: str, start: int, end: int) -> tuple[int, int]:
    while start < end and text[start] == "\n":
        start += 1
    while end > start and text[end - 1] == "\n":
        end -= 1
    return start, end


class _Places:
    """Lines and pages of characters."""

    def __init__(self, text: str, pages: Sequence[PageSpan]) -> None:
        self._breaks = [found.start() for found in _LINE_ENDS.finditer(text)]
        self._pages = pages
        self._page_starts = [page.start for page in pages]

    def span(self, start: int, end: int) -> Span:
        first_line = bisect_left(self._breaks, start) + 1
        last_line = bisect_left(self._breaks, end - 1) + 1
        return Span(start, end, first_line, last_line, self._page(start), self._page(end - 1))

    def _page(self, at: int) -> int | None:
        if not self._pages:
            return None
        return self._pages[max(0, bisect_right(self._page_starts, at) - 1)].number
