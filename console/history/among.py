"""Which documents a chat asks. Light: the first frame of the app knows it."""

from __future__ import annotations

from typing import NamedTuple


class Among(NamedTuple):
    """The documents that are asked in a chat: whole collections, or certain documents."""

    collections: tuple[str, ...] = ()
    documents: tuple[int, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.collections or self.documents)


NO_DOCUMENTS = Among()
