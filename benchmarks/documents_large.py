"""Large libraries in a real worker: how soon a question is answered, and how much memory that takes."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.documents_files import pages
from benchmarks.documents_homes import COLLECTION, fill, questions, wait_until_told, worker, worker_pid
from benchmarks.documents_rows import Bench, Row, percentile, worker_cpu_ms
from console.paths import find_paths
from rag.index_exact import ExactIndex
from tests.rag.pdfs import pdf as pdf_of

ASKED = 200
ASKED_BY_LOOKING = 20
"""A look at every vector takes a second."""


def resident(bench: Bench) -> Iterator[Row]:
    yield from _asked(bench, 10_000, 10)


def large(bench: Bench) -> Iterator[Row]:
    yield from _asked(bench, 100_000, 25, 600)


def _asked(bench: Bench, count: int, most_ms: float, most_mib: float | None = None) -> Iterator[Row]:
    environment = bench.filled_home(count)
    with worker(environment) as ask:
        wait_until_told(find_paths(environment))
        times_ms, cpu_ms = _times(ask, environment)
        memory = _memory(environment)
    beside = f"{statistics.median(times_ms):.1f} ms the median; {cpu_ms:.1f} ms of the worker's CPU for each"
    part = "resident" if most_mib is None else "large"
    yield Row(part, f"hybrid over {count:,} chunks, 95 %", percentile(times_ms, 95), "ms", most_ms, beside=beside)
    beside = f"{memory['RssAnon']:.0f} MiB its own, {memory['RssFile']:.0f} MiB of files"
    yield Row(part, f"the worker with {count:,} chunks and the model", memory["VmRSS"], "MiB", most_mib, beside=beside)


def _times(ask: Callable[..., Any], environment: Mapping[str, str], count: int = ASKED) -> tuple[list[float], float]:
    """Milliseconds of each question as the worker counts them, without embedding it; and the worker's CPU for one."""
    asked = questions(count + 5)
    for text in asked[:5]:
        ask("retrieve", wanted={"text": text, "collections": [COLLECTION], "budget_tokens": 1536})
    before_ms, times_ms = worker_cpu_ms(environment), []
    for text in asked[5:]:
        found = ask("retrieve", wanted={"text": text, "collections": [COLLECTION], "budget_tokens": 1536})
        assert found["method"] == "hybrid", found["notes"]
        times_ms.append(found["search_ms"])
    return times_ms, (worker_cpu_ms(environment) - before_ms) / count


def _memory(environment: Mapping[str, str]) -> dict[str, float]:
    """MiB of the worker, in all and by what it is."""
    lines = Path(f"/proc/{worker_pid(environment)}/status").read_text().splitlines()
    parts = (line.partition(":") for line in lines)
    return {name: int(size.split()[0]) / 1024 for name, _, size in parts if "Rss" in name or name == "VmRSS"}


def million(bench: Bench) -> Iterator[Row]:
    """Filled without the worker, straight into the scan that a library of this size is moved to."""
    count = 1_000_000
    environment = bench.new_home()
    paths = find_paths(environment)
    bench.tell(f"filling a library of {count:,} chunks")
    (paths.documents / "index").mkdir(parents=True, mode=0o700)
    index = ExactIndex(paths.documents / "index")
    fill(paths, count, words_in_chunk=60, made=index.add)
    index.close()
    with worker(environment) as ask:
        wait_until_told(paths)
        times_ms, cpu_ms = _times(ask, environment, ASKED_BY_LOOKING)
        file = bench.folder / "one-more.pdf"
        file.write_bytes(pdf_of(pages()[:50]))
        began = time.perf_counter()
        added = ask("add", paths=[str(file)], collection=COLLECTION)["document_ids"]
        assert ask("wait", documents=added, until="lexical", seconds=600)
        took_ms = (time.perf_counter() - began) * 1000
        assert ask("wait", documents=added, until="ready", seconds=600)
        memory = _memory(environment)
        using = ask("status")["index_kind"]
    beside = f"{statistics.median(times_ms):.0f} ms the median; {cpu_ms:.0f} ms of the worker's CPU for each"
    yield Row(
        "million", f"hybrid over {count:,} chunks by the {using}, 95 %", percentile(times_ms, 95), "ms", beside=beside
    )
    yield Row("million", "50 pages more cited by their words", took_ms, "ms")
    beside = f"{memory['RssAnon']:.0f} MiB its own, {memory['RssFile']:.0f} MiB of files"
    yield Row(
        "million", "the worker with the model, while asked and added to", memory["VmRSS"], "MiB", 1536, beside=beside
    )
