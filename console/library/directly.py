"""A question to what is stored, without a worker: by words, and by meaning where the model that is needed is here.

This is the headless way: nothing is started, and the vectors are looked at one by one, which is exact. Blocks.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from threading import Thread
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
    from rag.store import DocumentStore

    store = DocumentStore.open(documents_file, read_only=True)
    try:
        questions = {
            identity: _Question(manner, identity, wanted.text)
            for identity in dict.fromkeys(build.embedder for build in store.live_builds(wanted.collections))
            if identity is not None
        }
        from rag.retrieve import Weights, retrieve

        def near(builds: Sequence[Build], count: int, only: Collection[int] | None) -> Sequence[tuple[int, float]]:
            question = questions.get(builds[0].embedder or "")
            vector = None if question is None else question.vector()
            if vector is None:
                return ()
            from rag.index_exact import exact

            return exact(connection, builds, vector, count, only)

        weights = Weights(float(manner.vector_weight), float(manner.lexical_weight))
        with store.read() as connection:
            found = retrieve(connection, wanted, near=near, rerank=manner.rerank, weights=weights)
    finally:
        store.close()
    notes = [note for question in questions.values() for note in question.notes]
    embed_ms = sum(question.embed_ms for question in questions.values())
    return found._replace(notes=(*notes, *found.notes), embed_ms=embed_ms)


class _Question:
    """Embedded in a thread, which takes most of the time of all this, while it is looked up by its words."""

    def __init__(self, manner: Manner, identity: str, text: str) -> None:
        self.notes: list[str] = []
        self.embed_ms = 0.0
        """From the beginning; some of it passed beside other work."""
        self._vector: Vectors | None = None
        self._error: Exception | None = None
        self._thread = Thread(target=self._embed, args=(manner, identity, text), name="question", daemon=True)
        self._thread.start()

    def vector(self) -> Vectors | None:
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._vector

    def _embed(self, manner: Manner, identity: str, text: str) -> None:
        began = time.perf_counter()
        try:
            self._vector = _embedded(manner, identity, text, self.notes)
        except Exception as error:  # noqa: BLE001 - raised where it is waited for
            self._error = error
        self.embed_ms = (time.perf_counter() - began) * 1000


def _embedded(manner: Manner, identity: str, text: str, notes: list[str]) -> Vectors | None:
    """The question's vector; without one it is found by words, and a note says why."""
    from rag.embedder import embedded
    from rag.errors import RagError

    try:
        embedder = manner.embedder(identity)
        if embedder is None:
            return None
        try:
            vector: Vectors = embedded(embedder, [text], "question")[0]
            return vector
        finally:
            embedder.close()
    except RagError as error:
        notes.append(f"{error.text} Found by words only.")
        return None
