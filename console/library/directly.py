"""A question to what is stored, without a worker: by words, and by meaning where the model that is needed is here.

This is the headless way: nothing is started, and the vectors are looked at one by one, which is exact. Blocks.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from decimal import Decimal

    from rag.documents import Build, Retrieved, Wanted
    from rag.embedder import Embedder, Vectors
    from rag.retrieve import Rerank


class Manner(NamedTuple):
    """How it is asked."""

    embedder: Callable[[str], Embedder | None]
    """What made the vectors of a build, by its identity; None where the question may not or cannot be embedded."""
    vector_weight: Decimal
    lexical_weight: Decimal
    rerank: Rerank | None = None


def retrieve_directly(documents_file: Path, wanted: Wanted, manner: Manner) -> Retrieved:
    from rag.index_exact import exact
    from rag.retrieve import Weights, retrieve
    from rag.store import DocumentStore

    store = DocumentStore.open(documents_file, read_only=True)
    try:
        questions: dict[str, Vectors | None] = {}
        notes: list[str] = []
        embed_ms = 0.0

        def near(builds: Sequence[Build], count: int) -> Sequence[tuple[int, float]]:
            nonlocal embed_ms
            identity = builds[0].embedder
            if identity is None:
                return ()
            if identity not in questions:
                began = time.perf_counter()
                questions[identity] = _embedded(manner, identity, wanted.text, notes)
                embed_ms += (time.perf_counter() - began) * 1000
            question = questions[identity]
            return () if question is None else exact(connection, builds, question, count)

        weights = Weights(float(manner.vector_weight), float(manner.lexical_weight))
        with store.read() as connection:
            found = retrieve(connection, wanted, near=near, rerank=manner.rerank, weights=weights)
    finally:
        store.close()
    return found._replace(notes=(*notes, *found.notes), embed_ms=embed_ms)


def _embedded(manner: Manner, identity: str, text: str, notes: list[str]) -> Vectors | None:
    """The question's vector; without one it is found by words, and a note says why."""
    from rag.errors import RagError

    try:
        embedder = manner.embedder(identity)
        if embedder is None:
            return None
        try:
            vectors: Vectors = embedder.embed([text], "question")[0]
            return vectors
        finally:
            embedder.close()
    except RagError as error:
        notes.append(f"{error.text} Found by words only.")
        return None
