"""How well and how fast passages are found: `python -m benchmarks.retrieval [--tune] [--only quality|speed]`.

Quality: the whole Python documentation, asked the questions of its FAQ (their headings held out of the text) and 400
headings of sections (held out too). Found is what overlaps the section by half of the shorter of both. The questions
are split by a hash: weights were chosen on one half (`--tune` shows it), the table is about the other.

Speed: 10,000 and 100,000 made-up chunks whose words follow the frequencies of a language; everything of a question but
its embedding.
"""

from __future__ import annotations

import argparse
import random
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Collection, Sequence
from contextlib import closing
from hashlib import blake2b
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

from benchmarks.kept_vectors import KeptVectors
from benchmarks.python_docs import Corpus, Question, load
from rag import lexical, schema
from rag.chunks import Rules, cut, embedded_text
from rag.documents import Build, Chunk, Filters, Passage, Span, Wanted
from rag.embedder import Embedder
from rag.retrieve import MEASURED, Near, Weights, retrieve

ROOT = Path(__file__).parents[1]
DOCUMENTATION = ROOT / ".cache" / "python-docs"
CLASSICAL = Rules(chunk_tokens=1000, overlap_tokens=200, by_section=False)
SPLIT = ("the half for tuning", "the other half")
DEPTH = 10
BUDGET_TOKENS = 1_536


class Figures(NamedTuple):
    recall_at_5: float
    mrr_at_10: float
    top_5_tokens: float
    in_budget: float
    """Recall of what fits into the tokens that the product gives passages, however many they are."""


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

        def nearest(builds: Sequence[Build], count: int, only: Collection[int] | None) -> list[tuple[int, float]]:
            best = (-cosines).argsort()[:count]
            return [(int(row) + 1, float(cosines[row])) for row in best]

        return nearest

    def ask(self, question: str, weights: Weights, budget_tokens: int | None = None) -> Sequence[Passage]:
        near = self.near(question) if weights.vectors else None
        wanted = Wanted(question, top_k=DEPTH if budget_tokens is None else 40, budget_tokens=budget_tokens)
        return retrieve(self.connection, wanted, near=near, weights=weights).passages


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


def measure(questions: Sequence[Question], library: Library, weights: Weights) -> Figures:
    recall, in_budget, reciprocal, tokens = 0, 0, 0.0, 0
    for question in questions:
        passages = library.ask(question.text, weights)
        rank = next((at for at, passage in enumerate(passages[:DEPTH], 1) if is_found(question, passage)), None)
        recall += rank is not None and rank <= 5
        reciprocal += 1 / rank if rank else 0
        tokens += sum(passage.tokens for passage in passages[:5])
        in_budget += any(is_found(question, one) for one in library.ask(question.text, weights, BUDGET_TOKENS))
    count = len(questions)
    return Figures(recall / count, reciprocal / count, tokens / count, in_budget / count)


def _of(questions: Sequence[Question], kind: str, is_for_tuning: bool) -> list[Question]:
    return [question for question in questions if (question.kind, question.is_for_tuning) == (kind, is_for_tuning)]


def quality(embedder: Embedder, is_tuning: bool) -> None:
    corpus = load(DOCUMENTATION)
    vectors = KeptVectors(DOCUMENTATION / "vectors.db", embedder)
    sections = Library(corpus, vectors, Rules())
    classical = Library(corpus, vectors, CLASSICAL)
    ways: list[tuple[str, Library, Weights]] = [
        ("hybrid", sections, MEASURED),
        ("vectors only", sections, Weights(1.0, 0.0)),
        ("words only", sections, Weights(0.0, 1.0)),
        ("1000/200, vectors only", classical, Weights(1.0, 0.0)),
    ]
    if is_tuning:
        ways[1:1] = [(f"hybrid, words {worth}", sections, Weights(1.0, worth)) for worth in (0.1, 0.3, 0.7, 1.0)]
    half = SPLIT[0] if is_tuning else SPLIT[1]
    print(f"{len(corpus.pages)} pages, {sum(len(page.text) for page in corpus.pages) / 1e6:.1f} MB; {half}")
    print(f"{'':24}{'FAQ':>28}{'headings':>28}")
    for name, library, weights in ways:
        cells = []
        for kind in ("faq", "title"):
            questions = _of(corpus.questions, kind, is_tuning)
            figures = measure(questions, library, weights)
            cells.append(" ".join(f"{figure:6,.0f}" if figure > 1 else f"{figure:.3f}" for figure in figures))
        print(f"{name:24}{cells[0]:>28}{cells[1]:>28}")
    counts = [len(_of(corpus.questions, kind, is_tuning)) for kind in ("faq", "title")]
    print(f"recall@5, MRR@10, tokens of the first five, recall within {BUDGET_TOKENS:,} tokens; {counts} questions")


def speed(count: int) -> None:
    """Words by rank as in a language, some to each document, so that questions have rare and common ones."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "documents.db"
        with closing(sqlite3.connect(file, isolation_level=None)) as connection:
            words, often = vocabulary()
            _fill(connection, count, words, often)
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
            for name, filters in (
                ("everything", Filters()),
                ("one folder of fifty", Filters(paths=("/docs/7",))),
                ("without ten hashes", Filters(without=tuple(bytes([at]) * 16 for at in range(10)))),
            ):
                _timed(connection, count, words, often, name, filters)


def vocabulary() -> tuple[list[str], list[float]]:
    chance = random.Random(1)
    words: dict[str, None] = {}
    while len(words) < 60_000:
        syllables = (
            chance.choice("bcdfghklmnprstvw") + chance.choice("aeiou") for _ in range(chance.choice((2, 2, 3, 4)))
        )
        words["".join(syllables) + chance.choice(("", "n", "r", "ing", "ed", "s"))] = None
    return list(words), list(accumulate(1 / (rank + 2.7) for rank in range(60_000)))


def _fill(connection: sqlite3.Connection, count: int, words: list[str], often: list[float]) -> None:
    chance = random.Random(2)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = OFF")
    connection.executescript(schema.FRESH)
    connection.execute("BEGIN")
    _collection(connection, "made up")
    for document in range(1, count // 40 + 1):
        _document(connection, document, f"{document % 50}/{document}.md")
        matter = chance.sample(words[300:], 40)
        texts = [
            " ".join(chance.choices(words, cum_weights=often, k=110) + chance.choices(matter, k=20)) for _ in range(40)
        ]
        chunks = [
            Chunk(
                text,
                (f"Document {document}", " ".join(matter[:2])),
                Span(at * 1_000, at * 1_000 + len(text), at * 2 + 1, at * 2 + 1),
                190,
                blake2b(text.encode(), digest_size=16).digest(),
            )
            for at, text in enumerate(texts)
        ]
        _insert(connection, document, chunks, (document - 1) * 40)
    connection.execute("COMMIT")


def _timed(
    connection: sqlite3.Connection, count: int, words: list[str], often: list[float], name: str, filters: Filters
) -> None:
    chance = random.Random(3)
    took_ms = []
    for _ in range(200):
        asked = chance.choices(words[100:], cum_weights=often[100:], k=chance.choice((1, 2, 3, 4, 6, 8, 10)))
        nearest = [(chunk, 1 - at / 1_000) for at, chunk in enumerate(chance.sample(range(1, count + 1), 500))]
        wanted = Wanted(" ".join(asked), budget_tokens=1_536, filters=filters)
        began = time.perf_counter()
        retrieve(connection, wanted, near=_first(nearest))
        took_ms.append((time.perf_counter() - began) * 1000)
    cuts = statistics.quantiles(took_ms, n=20)
    print(f"{count:>9,} chunks, {name:22} p50 {statistics.median(took_ms):6.1f} ms  p95 {cuts[18]:6.1f} ms")


def _first(nearest: list[tuple[int, float]]) -> Near:
    return lambda builds, most, only: nearest[:most]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=("quality", "speed"))
    parser.add_argument("--tune", action="store_true", help="other weights, on the half that they are chosen on")
    options = parser.parse_args()
    if options.only != "speed":
        quality(_embedder(), options.tune)
    if options.only != "quality":
        for count in (10_000, 100_000):
            speed(count)


def _embedder() -> Embedder:
    from rag.minilm import MiniLM
    from rag.model_files import ready_model

    embedders = ROOT / ".cache" / "embedders"
    embedders.mkdir(parents=True, exist_ok=True)
    return MiniLM(ready_model(embedders), threads=2)


if __name__ == "__main__":
    main()
