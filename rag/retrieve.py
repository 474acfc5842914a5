"""Passages for a question: words and vectors asked together, one ranking over all collections, packed to a budget.

Ranks are fused, not scores: a BM25 and a cosine cannot be compared, nor can cosines of two embedders. Weights were
measured (docs/documents-search.md). Neighbours in a document become one passage; the same text is not given twice; one
document does not fill the answer unless the best passage is its own.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import time
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple, TypeAlias

from rag import lexical
from rag.documents import Build, Retrieved, Span, Wanted
from rag.errors import RagError
from rag.passages import Found, Row, packed
from rag.rows import GONE
from rag.store import unknown_collection

log = logging.getLogger(__name__)

Near: TypeAlias = Callable[[Sequence[Build], int, Collection[int] | None], Sequence[tuple[int, float]]]
"""Chunk ids with the question's cosine over these builds, best first; of the given chunks alone where there are any
given. All builds of a call have one embedder."""
Rerank: TypeAlias = Callable[[str, Sequence[str]], Sequence[float]]
"""A score for each passage of a question; higher is better."""

_DEPTH = 60
"""How far down each ranking is looked at."""
_NEAREST_AT_MOST = 4_000
"""How many nearest ones are asked for when a filter lets few of them through."""
_FEW = 2_000
"""Chunks that are compared one by one sooner than that; it takes about 0.02 ms each."""
_LOOKED_AT = 32
"""Chunks beside three for each passage that are read from the store: enough for those that fall out or are joined."""
_RERANKED = 30
_RANK_OFFSET = 5
_UNFINISHED = (
    "SELECT state, count(*) FROM documents WHERE state IN ('waiting', 'reading', 'lexical')"
    " AND collection_id IN (SELECT value FROM json_each(?)) GROUP BY state"
)


class Weights(NamedTuple):
    """What a first rank is worth in each ranking."""

    vectors: float = 1.0
    words: float = 0.5


MEASURED = Weights()


def retrieve(
    connection: sqlite3.Connection,
    wanted: Wanted,
    *,
    near: Near | None,
    rerank: Rerank | None = None,
    weights: Weights = MEASURED,
) -> Retrieved:
    """The passages, best first. Raises `UnknownName` for a collection that is not there, and nothing for a text."""
    began = time.perf_counter()
    collections = _collections(connection, wanted.collections)
    builds = [build for _, build in collections]
    notes = _unfinished(connection, builds)
    scope = lexical.Scope(connection, builds, wanted.filters)
    by_words = lexical.ranked(connection, wanted.text, scope, _DEPTH)
    by_vectors = _by_vectors(builds, near, scope)
    if any(build.embedder for build in builds) and not by_vectors and not scope.is_empty:
        notes.append("Found by words only; there are no vectors to compare with.")
    found = _fused(by_words, by_vectors, weights)[: _LOOKED_AT + 3 * wanted.top_k]
    rows = _rows(connection, [one.id for one in found])
    found = [one for one in found if one.id in rows]
    if rerank is not None and found:
        found, note = _reranked(rerank, wanted.text, found, rows)
        notes += note
    words = [term.label for term in lexical.terms(wanted.text)]
    passages, considered = packed(found, rows, wanted, words)
    return Retrieved(
        tuple(passages),
        tuple(considered),
        tuple(notes),
        sum(passage.tokens for passage in passages),
        "hybrid" if by_vectors else "lexical",
        0.0,
        (time.perf_counter() - began) * 1000,
    )


def _collections(connection: sqlite3.Connection, names: Sequence[str]) -> list[tuple[str, Build]]:
    rows = connection.execute(
        "SELECT c.name, b.id, b.collection_id, b.embedder, b.dimension, b.chunking, b.stamp"
        " FROM collections c LEFT JOIN builds b ON b.id = c.live_build ORDER BY c.id"
    ).fetchall()
    known = {name.casefold(): name for name, *_ in rows}
    for name in names:
        if name.casefold() not in known:
            raise unknown_collection(name, [each for each in known.values() if not each.startswith(GONE)])
    chosen = {name.casefold() for name in names} or set(known)
    return [(name, Build(*build)) for name, *build in rows if name.casefold() in chosen and build[0] is not None]


def _unfinished(connection: sqlite3.Connection, builds: Sequence[Build]) -> list[str]:
    """What of these collections cannot be found yet."""
    if not builds:
        return []
    counts = dict(connection.execute(_UNFINISHED, (json.dumps([build.collection_id for build in builds]),)).fetchall())
    notes = []
    if unread := counts.get("waiting", 0) + counts.get("reading", 0):
        notes.append(f"{_documents(unread)} not read yet.")
    if (half := counts.get("lexical", 0)) and any(build.embedder for build in builds):
        notes.append(f"{_documents(half)} found by words only until the vectors are there.")
    return notes


def _documents(count: int) -> str:
    return "1 document is" if count == 1 else f"{count:,} documents are"


def _by_vectors(builds: Sequence[Build], near: Near | None, scope: lexical.Scope) -> list[list[tuple[int, float]]]:
    """A ranking for each embedder: cosines of different ones cannot be compared."""
    if near is None or scope.is_empty:
        return []
    rankings = []
    for embedder in dict.fromkeys(build.embedder for build in builds if build.embedder is not None):
        own = [build for build in builds if build.embedder == embedder]
        count = _DEPTH
        while True:
            nearest = near(own, count, None)
            cosines = dict(nearest)
            allowed = scope.allowed(list(cosines))
            if len(allowed) >= _DEPTH // 2 or len(nearest) < count:
                break
            # Filters are not known to an index. Few chunks are looked at one by one; of many, it is asked for more.
            if scope.few is not None and (len(scope.few) <= _FEW or count == _NEAREST_AT_MOST):
                cosines = dict(near(own, _DEPTH, scope.few))
                allowed = scope.allowed(list(cosines))
                break
            if count == _NEAREST_AT_MOST:
                break
            count = min(count * 8, _NEAREST_AT_MOST)
        if allowed:
            rankings.append([(chunk, cosines[chunk]) for chunk in allowed[:_DEPTH]])
    return rankings


def _fused(
    by_words: Sequence[tuple[int, float]], by_vectors: Sequence[Sequence[tuple[int, float]]], weights: Weights
) -> list[Found]:
    """All that were found, by the sum of what their ranks are worth; 1 is the first place everywhere."""
    best = (weights.words if by_words else 0.0) + (weights.vectors if by_vectors else 0.0) or 1.0
    found: dict[int, Found] = {}
    for ranking in by_vectors:
        for rank, (chunk, cosine) in enumerate(ranking, 1):
            worth = weights.vectors * _worth(rank) / best
            found[chunk] = Found(chunk, worth, vector_rank=rank, vector_score=cosine)
    for rank, (chunk, score) in enumerate(by_words, 1):
        one = found.get(chunk, Found(chunk, 0.0))
        worth = one.score + weights.words * _worth(rank) / best
        found[chunk] = one._replace(score=worth, lexical_rank=rank, lexical_score=score)
    return sorted(found.values(), key=lambda one: (-one.score, one.id))


def _worth(rank: int) -> float:
    return (_RANK_OFFSET + 1) / (_RANK_OFFSET + rank)


def _rows(connection: sqlite3.Connection, ids: Sequence[int]) -> dict[int, Row]:
    rows = connection.execute(
        "SELECT k.id, k.document_id, k.position, k.text, k.headings, k.char_from, k.char_to, k.line_from, k.line_to,"
        " k.page_from, k.page_to, k.tokens, k.hash, k.build_id, c.name, d.name, d.path"
        " FROM chunks k JOIN documents d ON d.id = k.document_id JOIN collections c ON c.id = d.collection_id"
        " WHERE k.id IN (SELECT value FROM json_each(?))",
        (json.dumps(list(ids)),),
    )
    return {row[0]: Row._make((*row[:5], Span._make(row[5:11]), *row[11:])) for row in rows}


def _reranked(
    rerank: Rerank, question: str, found: Sequence[Found], rows: dict[int, Row]
) -> tuple[list[Found], list[str]]:
    """The first ones in the reranker's order; whatever it fails with, the fused order stands and a note says so."""
    first = found[:_RERANKED]
    texts = [_with_headings(rows[one.id]) for one in first]
    try:
        scores = [float(score) for score in rerank(question, texts)]
    except RagError as error:
        log.warning("reranking %d passages failed: %s", len(texts), error.text)
        return list(found), [f"{error.text} The order is without the reranker."]
    except Exception as error:  # noqa: BLE001 - a reranker may be anything, and must not cost the answer
        log.warning("reranking %d passages failed: %s", len(texts), error)
        return list(found), [f"The reranker failed ({type(error).__name__}); the order is without it."]
    if len(scores) != len(first):
        return list(found), [
            f"The reranker gave {len(scores)} scores for {len(first)} passages; the order is without it."
        ]
    order = sorted(range(len(first)), key=lambda at: -scores[at])
    moved = [first[at]._replace(moved_from=at + 1) for at in order]
    ids = {one.id for one in first}
    return [*moved, *(one for one in found if one.id not in ids)], []


def _with_headings(row: Row) -> str:
    return f"{row.headings}\n{row.text}" if row.headings else row.text
