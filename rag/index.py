"""Finding the nearest vectors: the promise that every index keeps, whatever holds it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rag.documents import Build
    from rag.embedder import Vectors


class VectorIndex(Protocol):
    """Vectors by the id of their chunk, a set for each build. Blocks; raises `IndexBroken`.

    Adding what is there and removing what is not there are both fine: after a crash the same is said again.
    """

    def add(self, build: Build, ids: Sequence[int], vectors: Vectors) -> None: ...

    def remove(self, build: Build, ids: Sequence[int]) -> None: ...

    def nearest(self, build: Build, vector: Vectors, count: int) -> list[tuple[int, float]]:
        """Ids with their cosine, the nearest first."""

    def size(self, build: Build) -> int: ...

    def kind_of(self, build: Build) -> str:
        """What holds the vectors of a build, in the user's words: `chromadb`, `exact scan`."""

    def fault(self, build: Build, expected: int, samples: Sequence[tuple[int, Vectors]]) -> str | None:
        """What is wrong with it, in a sentence: another count, another stamp, samples that do not find themselves."""

    def drop(self, build_id: int) -> None: ...

    def close(self) -> None: ...
