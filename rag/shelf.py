"""The embedders that are open, and which one a collection has."""

from __future__ import annotations

from collections.abc import Callable
from threading import RLock

from rag.embedder import Embedder
from rag.errors import NoModel, RagError
from rag.store import DocumentStore


class EmbedderShelf:
    """By the name they were asked for and by their identity."""

    def __init__(
        self,
        store: DocumentStore,
        make: Callable[[str | None], Embedder | None],
        default: str | None,
        on_trouble: Callable[[RagError | None], None],
    ) -> None:
        """`make` is given a name from the settings or an identity; it returns None or raises `NoModel` without it."""
        self._store = store
        self._make = make
        self._default = default
        self._on_trouble = on_trouble
        self._lock = RLock()
        self._open: dict[str, Embedder] = {}

    @property
    def default_name(self) -> str | None:
        """The one of the settings, as they name it."""
        return self._default

    def default(self) -> Embedder | None:
        if self._default is None:
            return None
        try:
            embedder = self.named(self._default)
        except RagError as error:
            self._on_trouble(error)
            return None
        self._on_trouble(None)
        return embedder

    def named(self, name: str) -> Embedder:
        with self._lock:
            if name not in self._open:
                embedder = self._make(name)
                if embedder is None:
                    raise NoModel(
                        f"The embedder {name!r} is not on this computer.", hint="`hawser rag model get` brings it."
                    )
                self._open[name] = embedder
                self._open.setdefault(embedder.identity, embedder)
            return self._open[name]

    def by_identity(self, identity: str) -> Embedder:
        with self._lock:
            if identity not in self._open and self._default is not None:
                self.default()
            if identity in self._open:
                return self._open[identity]
        embedder = self.named(identity)
        if embedder.identity != identity:
            raise NoModel(
                f"The vectors were made by {identity!r}; what answers to that name is {embedder.identity!r}.",
                hint="`hawser rag reindex` makes them anew.",
            )
        return embedder

    def for_new(self, collection_id: int) -> Embedder | None:
        embedder = self.default()
        if embedder is None or not embedder.is_remote:
            return embedder
        with self._store.read() as connection:
            row = connection.execute(
                "SELECT agreed_embedder FROM collections WHERE id = ?", (collection_id,)
            ).fetchone()
        return embedder if row is not None and row[0] == embedder.identity else None

    @property
    def open_default(self) -> str | None:
        """The identity of the one of the settings, once it was opened."""
        found = None if self._default is None else self._open.get(self._default)
        return None if found is None else found.identity

    def close(self) -> None:
        with self._lock:
            for embedder in {id(each): each for each in self._open.values()}.values():
                embedder.close()
            self._open.clear()
