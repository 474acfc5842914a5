"""What an answer was given to read: the passages as they were found, kept with the answer.

A document may change or go; what an old answer cites stays to be seen here.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias, cast, get_args

from console.history.rows import storable
from rag.documents import Span

Verdict: TypeAlias = Literal["exact", "close", "not found"]


class Claim(NamedTuple):
    """A sentence of the answer that names a source, and whether that says so."""

    start: int
    """Characters of the answer, the end excluded."""
    end: int
    verdict: Verdict
    where: tuple[int, int] | None = None
    """What was found for it, as characters of the source's text."""


class Source(NamedTuple):
    """One numbered passage, with the names that its document had when it was found."""

    n: int
    """From 1: the answer cites it as [n]."""
    collection: str
    document_id: int
    document: str
    path: str
    headings: tuple[str, ...]
    span: Span
    text: str
    hashes: tuple[bytes, ...]
    score: float
    lexical_rank: int | None
    lexical_score: float | None
    vector_rank: int | None
    vector_score: float | None
    why: str
    claims: tuple[Claim, ...] = ()
    """The sentences that cite it; empty until the answer is there, and for a source that nothing cites."""
    excluded: bool = False
    """Put away by the reader: it is not to be given to a model again in this chat."""

    @property
    def verdict(self) -> Verdict | None:
        """The worst of its sentences; None where none cites it."""
        found = {claim.verdict for claim in self.claims}
        return "not found" if "not found" in found else "close" if "close" in found else "exact" if found else None

    @property
    def place(self) -> str:
        """Page or lines, in words; empty for a text of one line."""
        span = self.span
        if span.first_page is not None:
            last = span.last_page or span.first_page
            return f"page {span.first_page}" if last == span.first_page else f"pages {span.first_page}-{last}"
        if span.last_line <= span.first_line:
            return f"line {span.first_line}"
        return f"lines {span.first_line}-{span.last_line}"

    def document_form(self) -> dict[str, Any]:
        """As the JSON contract has it."""
        span = self.span
        pages = None if span.first_page is None else [span.first_page, span.last_page or span.first_page]
        return {
            "n": self.n,
            "document": self.document,
            "page": span.first_page,
            "lines": [span.first_line, span.last_line],
            "chars": [span.start, span.end],
            "score": round(self.score, 4),
            "quote_check": self.verdict,
            "collection": self.collection,
            "path": self.path,
            "pages": pages,
            "headings": list(self.headings),
            "text": self.text,
            "lexical": {"rank": self.lexical_rank, "score": self.lexical_score},
            "vector": {"rank": self.vector_rank, "score": self.vector_score},
            "why": self.why,
            "claims": [{"chars": [each.start, each.end], "verdict": each.verdict} for each in self.claims],
            "excluded": self.excluded,
        }

    def lossless(self) -> dict[str, Any]:
        """As an export has it; `from_lossless` reads it."""
        return {
            **self._asdict(),
            "span": list(self.span),
            "hashes": [each.hex() for each in self.hashes],
            "claims": [list(each) for each in self.claims],
        }


_COLUMNS = (
    "n, collection, document_id, document, path, headings, span, text, hashes, score, lexical_rank, lexical_score,"
    " vector_rank, vector_score, why, quote_check, excluded"
)


def put(connection: sqlite3.Connection, message_id: str, sources: Sequence[Source]) -> None:
    """Keep the sources of an answer, in the place of those that it had. What was put away meanwhile stays away."""
    away = {
        tuple(row)
        for row in connection.execute(
            "SELECT n, hashes FROM message_sources WHERE message_id = ? AND excluded", (message_id,)
        )
    }
    rows = [_row(each) for each in sources]
    connection.execute("DELETE FROM message_sources WHERE message_id = ?", (message_id,))
    connection.executemany(
        f"INSERT INTO message_sources (message_id, {_COLUMNS})"  # noqa: S608
        " SELECT id, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ? FROM messages WHERE id = ?",
        [(*row[:-1], int(row[-1] or (row[0], row[8]) in away), message_id) for row in rows],
    )


def exclude(connection: sqlite3.Connection, message_id: str, n: int, excluded: bool) -> None:
    connection.execute(
        "UPDATE message_sources SET excluded = ? WHERE message_id = ? AND n = ?", (int(excluded), message_id, n)
    )


def of(connection: sqlite3.Connection, message_ids: Sequence[str]) -> Mapping[str, tuple[Source, ...]]:
    """The sources of these messages, where they have some."""
    found: dict[str, list[Source]] = {}
    rows = connection.execute(
        f"SELECT message_id, {_COLUMNS} FROM message_sources"  # noqa: S608
        " WHERE message_id IN (SELECT value FROM json_each(?)) ORDER BY message_id, n",
        (json.dumps(list(message_ids)),),
    )
    for message_id, *row in rows:
        found.setdefault(message_id, []).append(_source(row))
    return {message_id: tuple(sources) for message_id, sources in found.items()}


def excluded_hashes(connection: sqlite3.Connection, chat_id: str) -> tuple[bytes, ...]:
    """Of the chunks that the reader put away in this chat."""
    rows = connection.execute(
        "SELECT s.hashes FROM message_sources s JOIN messages m ON m.id = s.message_id"
        " WHERE m.chat_id = ? AND s.excluded",
        (chat_id,),
    )
    return tuple(dict.fromkeys(bytes.fromhex(each) for (packed,) in rows for each in json.loads(packed)))


def _row(source: Source) -> tuple[Any, ...]:
    return (
        source.n,
        storable(source.collection),
        source.document_id,
        storable(source.document),
        storable(source.path),
        json.dumps(source.headings),
        json.dumps(source.span),
        storable(source.text),
        json.dumps([each.hex() for each in source.hashes]),
        source.score,
        source.lexical_rank,
        source.lexical_score,
        source.vector_rank,
        source.vector_score,
        storable(source.why),
        _claims(source.claims),
        int(source.excluded),
    )


def _claims(claims: Sequence[Claim]) -> str | None:
    return json.dumps(claims) if claims else None


def _source(row: Sequence[Any]) -> Source:
    return Source._make(
        (
            *row[:5],
            tuple(json.loads(row[5])),
            Span(*json.loads(row[6])),
            row[7],
            tuple(map(bytes.fromhex, json.loads(row[8]))),
            *row[9:15],
            _read_claims(row[15]),
            bool(row[16]),
        )
    )


def _read_claims(packed: str | None) -> tuple[Claim, ...]:
    return tuple(
        Claim(start, end, verdict, None if where is None else (where[0], where[1]))
        for start, end, verdict, where in json.loads(packed or "[]")
    )


def from_lossless(item: Mapping[str, Any]) -> Source | None:
    """What an export says of a source; None for what makes no sense. Every value is checked: it is a stranger's."""
    try:
        start, end, first_line, last_line, *pages = item["span"]
        span = Span(_number(start), _number(end), _number(first_line), _number(last_line), *map(_number_or_none, pages))
        claims = tuple(
            Claim(_number(start), _number(end), _verdict(verdict), None if where is None else _pair(where))
            for start, end, verdict, where in item["claims"]
        )
        return Source(
            _number(item["n"]),
            _word(item["collection"]),
            _number(item["document_id"]),
            _word(item["document"]),
            _word(item["path"]),
            tuple(map(_word, item["headings"])),
            span,
            _word(item["text"]),
            tuple(bytes.fromhex(_word(each)) for each in item["hashes"]),
            float(item["score"]),
            _number_or_none(item["lexical_rank"]),
            _float_or_none(item["lexical_score"]),
            _number_or_none(item["vector_rank"]),
            _float_or_none(item["vector_score"]),
            _word(item["why"]),
            claims,
            item["excluded"] is True,
        )
    except (KeyError, TypeError, ValueError):
        return None


def _number(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not -(1 << 62) < value < 1 << 62:
        raise ValueError(value)
    return value


def _number_or_none(value: Any) -> int | None:
    return None if value is None else _number(value)


def _float_or_none(value: Any) -> float | None:
    return None if value is None else float(value)


def _word(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def _pair(value: Any) -> tuple[int, int]:
    start, end = value
    return _number(start), _number(end)


def _verdict(value: Any) -> Verdict:
    if value not in get_args(Verdict):
        raise ValueError(value)
    return cast("Verdict", value)
