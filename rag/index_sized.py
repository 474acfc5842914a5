"""One index of two kinds: a graph in memory up to a size, an exact scan on disk beyond it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rag.documents import Build

if TYPE_CHECKING:
    from rag.embedder import Vectors
    from rag.index_chroma import ChromaIndex
    from rag.index_exact import ExactIndex

log = logging.getLogger(__name__)
MOST_IN_MEMORY = 250_000
"""Vectors of one build; a graph over them takes some 3 kB of memory each."""


class SizedIndex:
    """A `VectorIndex`. A build that grows beyond what memory allows moves to the scan, and stays there."""

    def __init__(self, graph: ChromaIndex, scan: ExactIndex, most_in_memory: int = MOST_IN_MEMORY) -> None:
        self._graph = graph
        self._scan = scan
        self._most = most_in_memory
        self._writing = threading.Lock()

    def kind_of(self, build: Build) -> str:
        return self._of(build).kind_of(build)

    def add(self, build: Build, ids: Sequence[int], vectors: Vectors) -> None:
        with self._writing:
            if not self._scan.has(build) and self._graph.size(build) + len(ids) > self._most:
                self._move(build)
            (self._scan if self._scan.has(build) else self._graph).add(build, ids, vectors)

    def remove(self, build: Build, ids: Sequence[int]) -> None:
        with self._writing:
            self._of(build).remove(build, ids)

    def nearest(self, build: Build, vector: Vectors, count: int) -> list[tuple[int, float]]:
        return self._of(build).nearest(build, vector, count)

    def size(self, build: Build) -> int:
        return self._of(build).size(build)

    def fault(self, build: Build, expected: int, samples: Sequence[tuple[int, Vectors]]) -> str | None:
        return self._of(build).fault(build, expected, samples)

    def drop(self, build_id: int) -> None:
        self._graph.drop(build_id)
        self._scan.drop(build_id)

    def close(self) -> None:
        self._graph.close()
        self._scan.close()

    def _of(self, build: Build) -> ChromaIndex | ExactIndex:
        return self._scan if self._scan.has(build) else self._graph

    def _move(self, build: Build) -> None:
        """Questions find the graph until all of it is in the scan."""
        log.info("build %s has more vectors than the graph may have in memory; it is scanned from here on", build.id)
        with self._scan.filling(build) as fill:
            for ids, vectors in self._graph.everything(build):
                fill(ids, vectors)
        self._graph.drop(build.id)
