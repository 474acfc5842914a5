"""Passages out of ranked chunks: neighbours joined, the same told once, documents mixed, and all packed to a budget."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

from rag.documents import Passage, Span, Wanted

_CONSIDERED = 20
_MOST_OF_A_DOCUMENT = 3
_SAME_WORDS = 0.85
"""Two texts are the same when they share this much of all their words."""
_WORDS_IN_WHY = 6
_MOST_JOINED_TOKENS = 600
"""Neighbours beyond this are passages of their own: what is cited should be read at a glance."""


class Found(NamedTuple):
    """A chunk with the ranks it was found at."""

    id: int
    score: float
    lexical_rank: int | None = None
    lexical_score: float | None = None
    vector_rank: int | None = None
    vector_score: float | None = None
    moved_from: int | None = None
    """Its place before the reranker."""


class Row(NamedTuple):
    id: int
    document_id: int
    position: int
    text: str
    headings: str
    span: Span
    tokens: int
    hash: bytes
    build_id: int
    collection: str
    document: str
    path: str


class _Draft(NamedTuple):
    """A passage that may still grow by neighbours; it has the ranks of the chunk that brought it."""

    found: Found
    rows: tuple[Row, ...]

    def touches(self, row: Row) -> bool:
        return _follows(self.rows[-1], row) or _follows(row, self.rows[0])


def _follows(one: Row, other: Row) -> bool:
    """Whether the other is the next chunk of the document, with nothing but line breaks between."""
    if (one.document_id, one.build_id, one.position + 1) != (other.document_id, other.build_id, other.position):
        return False
    gap = other.span.start - one.span.end
    return gap <= 0 or gap == other.span.first_line - one.span.last_line


def _tokens(rows: Sequence[Row]) -> int:
    """Of the joined text; what neighbours share counts once."""
    total = sum(row.tokens for row in rows)
    for one, other in pairwise(rows):
        if (shared := one.span.end - other.span.start) > 0:
            total -= round(other.tokens * shared / max(1, len(other.text)))
    return total


def packed(
    found: Sequence[Found], rows: dict[int, Row], wanted: Wanted, words: Sequence[str]
) -> tuple[list[Passage], list[Passage]]:
    """What is given, and the best of what was left out, both best first. `words` are those that `why` may name."""
    drafts: list[_Draft] = []
    left: list[Found] = []
    taken: list[frozenset[str]] = []
    hashes: set[bytes] = set()
    budget = wanted.budget_tokens
    spent = 0
    for one in _spread(found, rows):
        if len(left) == _CONSIDERED:
            break
        row = rows[one.id]
        fingerprint = frozenset(row.text.lower().split())
        if row.hash in hashes or any(_is_same(fingerprint, other) for other in taken):
            continue
        neighbours = [draft for draft in drafts if draft.touches(row)]
        while neighbours and _tokens(_joined(row, neighbours)) > _MOST_JOINED_TOKENS:
            neighbours.pop()
        joined = _joined(row, neighbours)
        cost = _tokens(joined) - sum(_tokens(draft.rows) for draft in neighbours)
        is_full = not neighbours and len(drafts) >= wanted.top_k
        has_most = budget is None and len(hashes) >= 2 * wanted.top_k
        if is_full or has_most or (budget is not None and spent + cost > budget):
            left.append(one)
            continue
        if neighbours:
            # A chunk between two passages makes them one; it stands where the better of them stood.
            drafts[drafts.index(neighbours[0])] = _Draft(neighbours[0].found, joined)
            drafts = [draft for draft in drafts if draft not in neighbours[1:]]
        else:
            drafts.append(_Draft(one, joined))
        hashes.add(row.hash)
        taken.append(fingerprint)
        spent += cost
    passages = [_passage(draft.found, draft.rows, words) for draft in drafts]
    return passages, [_passage(one, [rows[one.id]], words) for one in left]


def _joined(row: Row, drafts: Sequence[_Draft]) -> tuple[Row, ...]:
    return tuple(sorted((row, *(one for draft in drafts for one in draft.rows)), key=lambda one: one.position))


def _spread(found: Iterable[Found], rows: dict[int, Row]) -> list[Found]:
    """Several of one document step back behind others, unless the best of all is of that document."""
    first: list[Found] = []
    later: list[Found] = []
    counts: dict[int, int] = {}
    best: int | None = None
    for one in found:
        row = rows[one.id]
        best = row.document_id if best is None else best
        counts[row.document_id] = counts.get(row.document_id, 0) + 1
        is_too_many = counts[row.document_id] > _MOST_OF_A_DOCUMENT and row.document_id != best
        (later if is_too_many else first).append(one)
    return first + later


def _is_same(one: frozenset[str], other: frozenset[str]) -> bool:
    shared = len(one & other)
    return shared >= _SAME_WORDS * (len(one) + len(other) - shared)


def _passage(found: Found, rows: Sequence[Row], words: Sequence[str]) -> Passage:
    first, last = rows[0], rows[-1]
    text = first.text
    for one, other in pairwise(rows):
        gap = other.span.start - one.span.end
        text += "\n" * gap + other.text if gap >= 0 else other.text[-gap:]
    span = Span(
        first.span.start,
        last.span.end,
        first.span.first_line,
        last.span.last_line,
        first.span.first_page,
        last.span.last_page,
    )
    main = next(row for row in rows if row.id == found.id)
    return Passage(
        main.collection,
        main.document_id,
        main.document,
        main.path,
        tuple(main.headings.split("\n")) if main.headings else (),
        text,
        span,
        _tokens(rows),
        found.score,
        found.lexical_rank,
        found.lexical_score,
        found.vector_rank,
        found.vector_score,
        _why(found, text, main.headings, len(rows), words),
        tuple(row.hash for row in rows),
    )


def _why(found: Found, text: str, headings: str, chunks: int, words: Sequence[str]) -> str:
    said = []
    if found.lexical_rank is not None:
        inside = f"{headings}\n{text}".casefold()
        # The index stems; the beginning of a word is as good as that for telling.
        has = [word for word in words if word.casefold()[: max(4, len(word) - 3)] in inside][:_WORDS_IN_WHY]
        said.append(f"{_nth(found.lexical_rank)} by words" + (f" ({', '.join(has)})" if has else ""))
    if found.vector_rank is not None:
        said.append(f"{_nth(found.vector_rank)} by meaning ({found.vector_score:.2f})")
    if chunks > 1:
        said.append(f"{chunks} neighbours joined")
    if found.moved_from is not None:
        said.append(f"was {_nth(found.moved_from)} before reranking")
    return ", ".join(said)


def _nth(rank: int) -> str:
    ending = "th" if 10 <= rank % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(rank % 10, "th")
    return f"{rank}{ending}"
