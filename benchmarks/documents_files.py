"""Files that are dropped: how soon their text can be cited, and what is made anew when they come again."""

from __future__ import annotations

import os
import sqlite3
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.documents_homes import questions, worker
from benchmarks.documents_rows import Bench, Row, worker_cpu_ms
from console.paths import find_paths
from rag.embedder import Purpose, TokenCounter
from tests.rag.pdfs import pdf as pdf_of

if TYPE_CHECKING:
    from rag.embedder import Vectors

PAGES = 500
CHANGED = 250


def pages(changed: Sequence[int] = ()) -> list[str]:
    """Of some 2,000 characters each, as a printed page has."""
    lines = iter(questions(PAGES * 40 + len(changed), seed=5))
    found = ["\n".join(next(lines) for _ in range(40)) for _ in range(PAGES)]
    for number in changed:
        found[number - 1] += f"\n{next(lines)}"
    return found


def pdf(bench: Bench) -> Iterator[Row]:
    environment = bench.new_home()
    file = bench.folder / "manual.pdf"
    took_ms, cpu_ms = [], []
    with worker(environment) as ask:
        small = bench.folder / "warm.pdf"
        small.write_bytes(pdf_of(["A first page, so that everything is loaded."]))
        ask(
            "wait",
            documents=ask("add", paths=[str(small)], collection="warm")["document_ids"],
            until="ready",
            seconds=60,
        )
        content = pages()
        for number in range(min(bench.rounds, 5)):
            file = bench.folder / f"manual-{number}.pdf"
            file.write_bytes(pdf_of([f"{page}\nEdition {number}" for page in content]))
            before_ms, began = worker_cpu_ms(environment), time.perf_counter()
            added = ask("add", paths=[str(file)], collection=f"manuals-{number}")
            is_there = ask("wait", documents=added["document_ids"], until="lexical", seconds=60)
            took_ms.append((time.perf_counter() - began) * 1000)
            cpu_ms.append(worker_cpu_ms(environment) - before_ms)
            assert is_there
            found = ask(
                "retrieve", wanted={"text": content[CHANGED].split("\n")[7], "collections": [f"manuals-{number}"]}
            )
            assert found["passages"], "it was said to be there and is not found"
            ask("remove", collection=f"manuals-{number}")  # its vectors are not what is measured
            _wait_until_gone(find_paths(environment).documents_file)
    beside = f"{statistics.median(cpu_ms):.0f} ms of CPU"
    yield Row("pdf", f"{PAGES} pages cited by their words", statistics.median(took_ms), "ms", 1500, beside=beside)


def _wait_until_gone(file: Path) -> None:
    """Until nothing is left of what was removed."""
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
        while connection.execute("SELECT count(*) FROM chunks").fetchone()[0] > 1:
            time.sleep(0.05)


class Counting:
    """An embedder that says nothing worth knowing, and counts what it is asked."""

    identity = "counting"
    dimension = 8
    window_tokens = 254
    is_remote = False

    def __init__(self) -> None:
        from rag.chunks import RoughCounter

        self.counter: TokenCounter = RoughCounter()
        self.count = 0

    def embed(self, texts: Sequence[str], purpose: Purpose = "passage") -> Vectors:
        import numpy as np

        self.count += len(texts)
        vectors = np.random.default_rng(1).standard_normal((len(texts), self.dimension)).astype(np.float32)
        unit: Vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return unit

    def close(self) -> None:
        """Nothing is open."""


def again(bench: Bench) -> Iterator[Row]:
    from rag.engine import Engine
    from rag.readers import Reader
    from rag.store import DocumentStore

    folder, embedder = bench.folder / "again", Counting()
    file = bench.folder / "again.pdf"
    engine = Engine(
        folder,
        embedder=lambda identity: embedder,
        default_embedder=embedder.identity,
        index=None,
        reader=Reader,
        clock_ms=lambda: time.time_ns() // 1_000_000,
    )

    def added(content: list[str] | None) -> int:
        """How many chunks were embedded for it."""
        before = embedder.count
        if content is None:
            os.utime(file)
        else:
            file.write_bytes(pdf_of(content))
        engine.add([str(file)], "manuals")
        assert engine.wait_until_idle(120)
        return embedder.count - before

    engine.start()
    try:
        first = added(pages())
        touched = added(None)
        changed = added(pages([CHANGED]))
        with closing(DocumentStore.open(folder / "documents.db", read_only=True)) as store:
            (of_page,) = store.connection.execute(
                "SELECT count(*) FROM chunks WHERE page_from <= ?1 AND page_to >= ?1", (CHANGED,)
            ).fetchone()
    finally:
        engine.stop()
    beside = f"{first:,} at first"
    yield Row("again", "an unchanged file dropped again, embedded", touched, "chunks", 0, beside=beside)
    yield Row(
        "again", f"1 page of {PAGES} changed, embedded", changed, "chunks", of_page, beside=f"{of_page} on the page"
    )
