"""How a collection is cut and embedded: which build is live, which is made beside it, and by whose rules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from rag import rows, writes
from rag.chunks import RoughCounter, Rules, cut
from rag.documents import Build, Chunk
from rag.embedder import Embedder
from rag.errors import NoText, RagError
from rag.readers import DocumentText
from rag.store import DocumentStore


class Embedders(Protocol):
    """Who has the embedders."""

    def for_new(self, collection_id: int) -> Embedder | None:
        """The one that a collection shall have; None while there is none, or it was not agreed to."""

    def by_identity(self, identity: str) -> Embedder:
        """Raises `RagError` when it is not at hand."""


class Builds:
    def __init__(
        self, store: DocumentStore, embedders: Embedders, rules: Rules | None, clock_ms: Callable[[], int]
    ) -> None:
        """Without rules, chunks are as long as the embedder sees, up to the usual length."""
        self._store = store
        self._embedders = embedders
        self._rules = rules
        self._clock_ms = clock_ms

    def rules_for(self, embedder: Embedder | None) -> Rules:
        if self._rules is not None:
            return self._rules
        usual = Rules()
        if embedder is None:
            return usual
        return usual._replace(chunk_tokens=min(usual.chunk_tokens, embedder.window_tokens))

    def chunking_for(self, embedder: Embedder | None) -> str:
        return f"{self.rules_for(embedder).name} {RoughCounter.name if embedder is None else embedder.counter.name}"

    def of(self, collection_id: int) -> tuple[Build, ...]:
        """The live build, made if there is none yet; and the one that is made beside it, if there is."""
        with self._store.read() as connection:
            live = rows.live_build(connection, collection_id)
            newest = rows.newest_build(connection, collection_id)
        if live is None:
            return (self.begin(collection_id, self._embedders.for_new(collection_id), live=True),)
        return (live,) if newest is None or newest.id == live.id else (live, newest)

    def begin(self, collection_id: int, embedder: Embedder | None, *, live: bool = False) -> Build:
        with self._store.write(durable=True) as connection:
            build = writes.add_build(
                connection,
                collection_id,
                None if embedder is None else embedder.identity,
                None if embedder is None else embedder.dimension,
                self.chunking_for(embedder),
                self._clock_ms(),
            )
            if live:
                connection.execute("UPDATE collections SET live_build = ? WHERE id = ?", (build.id, collection_id))
        return build

    def chunks(self, text: DocumentText, build: Build) -> list[Chunk]:
        embedder = None
        if build.embedder is not None:
            try:
                embedder = self._embedders.by_identity(build.embedder)
            except RagError:  # words need no embedder; whoever makes the vectors says what is wrong
                embedder = None
        chunks = cut(text, RoughCounter() if embedder is None else embedder.counter, self.rules_for(embedder))
        if not chunks:
            raise NoText(f"{text.name!r} holds no text.")
        return chunks
