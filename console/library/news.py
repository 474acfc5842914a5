"""What the documents tell on the bus, and how far the work on them is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from console.events import Event

if TYPE_CHECKING:
    from collections.abc import Hashable

What: TypeAlias = Literal["collections", "documents", "folders", "worker"]


class LibraryStatus(NamedTuple):
    """As it was told last. Nothing of it is asked for while somebody looks."""

    is_up: bool = False
    """Whether a worker is there and tells; without one the figures are those of the last."""
    waiting: int = 0
    """Documents that are not read yet."""
    reading: str | None = None
    """The name of the one that is being read."""
    to_embed: int = 0
    """Chunks without their vector."""
    embedded: int = 0
    """Chunks that got theirs since there was last nothing to do."""
    rate_per_s: float | None = None
    """Chunks embedded a second."""
    eta_s: float | None = None
    embedder: str | None = None
    index_kind: str | None = None
    """What vectors are looked for in: `chromadb`, `exact scan`; None before that is known."""
    index_trouble: str | None = None
    """What is wrong with the index, or what is done about it; None when it is in order."""
    error: str | None = None
    hint: str | None = None
    is_paused: bool = False
    collection: str | None = None
    """The one that is worked on."""

    @property
    def is_busy(self) -> bool:
        return self.is_up and not self.is_paused and bool(self.waiting or self.reading or self.to_embed)


class LibraryChanged(Event):
    """A fact: what is kept has changed, here or in another process; lists that are looked at are read again."""

    __slots__ = ("collection", "what")

    def __init__(self, what: What, collection: str | None = None) -> None:
        self.what = what
        self.collection = collection


class LibraryProgress(Event):
    """A sample: how far it is."""

    __slots__ = ("status",)

    def __init__(self, status: LibraryStatus) -> None:
        self.status = status

    @property
    def key(self) -> Hashable:
        return "library"
