"""How well and how fast passages are found: `python -m benchmarks.retrieval [--tune] [--only quality|speed]`.

Quality: the whole Python documentation, asked the questions of its FAQ (their headings held out of the text) and 400
headings of sections (held out too). Found is what overlaps the section by half of the shorter of both. The questions
are split by a hash: weights were chosen on one half (`--tune` shows it), the table is about the other.

Speed: 10,000 and 100,000 made-up chunks whose words follow the frequencies of a language; everything of a question but
its embedding.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.kept_vectors import KeptVectors
from benchmarks.python_docs import Corpus, Question
from rag import lexical, schema
from rag.chunks import Rules, cut, embedded_text
from rag.documents import Build, Chunk, Passage, Wanted
from rag.retrieve import Near, Weights, retrieve

ROOT = Path(__file__).parents[1]
DOCUMENTATION = ROOT / ".cache" / "python-docs"
CLASSICAL = Rules(chunk_tokens=1000, overlap_tokens=200, by_section=False)
SPLIT = ("the half for tuning", "the other half")
DEPTH = 10


class Figures(NamedTuple):
    recall_at_5: float
    mrr_at_10: float
    top_5_tokens: float


class Library:
    """The corpus cut by some rules, in a database as the product has it, with an exact scan as its index."""

    def __init__(self, corpus: Corpus, vectors: KeptVectors, rules: Rules) -> None:
        self.connection = sqlite3.connect(":memory:", isolation_level=None)
        self.connection.executescript(schema.FRESH)
        self.questions = corpus.questions
        self._asked = dict(
            zip((q.text for q in corpus.questions), vectors.of([q.text for q in corpus.questions]), strict=True)
        )
        self.connection.execute("BEGIN")
        _collection(self.connection, rules.name)
        chunks: list[Chunk] = []
        for number, page in enumerate(corpus.pages, 1):
            _document(self.connection, number, page.name)
            own = cut(page, vectors.embedder.counter, rules)
            _insert(self.connection, number, own, len(chunks))
            chunks += own
        self.connection.execute("COMMIT")
        self._vectors = vectors.of([embedded_text(chunk) for chunk in chunks])

    def near(self, question: str) -> Near:
        cosines = self._vectors @ self._asked[question]

        def nearest(builds: Sequence[Build], count: int) -> list[tuple[int, float]]:
            best = (-cosines).argsort()[:count]
            return [(int(row) + 1, float(cosines[row])) for row in best]

        return nearest

    def ask(self, question: str, weights: Weights, top_k: int = DEPTH) -> Sequence[Passage]:
        near = self.near(question) if weights.vectors else None
        return retrieve(self.connection, Wanted(question, top_k=top_k), near=near, weights=weights).passages


def _collection(connection: sqlite3.Connection, chunking: str) -> None:
    connection.execute("INSERT INTO collections (id, name, created_at, live_build) VALUES (1, 'docs', 0, 1)")
    connection.execute("INSERT INTO builds VALUES (1, 1, 'measured', 384, ?, 'stamp', 0)", (chunking,))


def _document(connection: sqlite3.Connection, number: int, name: str) -> None:
    connection.execute(
        "INSERT INTO documents (id, collection_id, path, name, state, added_at) VALUES (?, 1, ?, ?, 'ready', 0)",
        (number, f"/docs/{name}", name),
    )


def _insert(connection: sqlite3.Connection, document: int, chunks: Sequence[Chunk], before: int) -> None:
    connection.executemany(
        "INSERT INTO chunks (id, build_id, document_id, position, text, spaced, headings, char_from, char_to,"
        " line_from, line_to, tokens, hash, indexed) VALUES (?, 1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1)",
        [
            (
                before + position + 1,
                document,
                position,
                chunk.text,
                lexical.spaced(chunk.text),
                "\n".join(chunk.headings),
                *chunk.span[:4],
                chunk.tokens,
                chunk.hash,
            )
            for position, chunk in enumerate(chunks)
        ],
    )


def is_found(question: Question, passage: Passage) -> bool:
    if passage.document != question.page:
        return False
    shared = min(question.end, passage.span.end) - max(question.start, passage.span.start)
    return 2 * shared >= min(question.end - question.start, passage.span.end - passage.span.start)


def measure(questions: Sequence[Question], answer: Callable[[Question], Sequence[Passage]]) -> Figures:
    recall, reciprocal, tokens = 0, 0.0, 0
    for question in questions:
        passages = answer(question)
        rank = next((at for at, passage in enumerate(passages[:DEPTH], 1) if is_found(question, passage)), None)
        recall += rank is not None and rank <= 5
        reciprocal += 1 / rank if rank else 0
        tokens += sum(passage.tokens for passage in passages[:5])
    return Figures(recall / len(questions), reciprocal / len(questions), tokens / len(questions))


def _of(questions: Sequence[Question], kind: str, is_for_tuning: bool) -> list[Question]:
    return [question for question in questions if (question.kind, question.is_for_tuning) == (kind, is_for_tuning)]
