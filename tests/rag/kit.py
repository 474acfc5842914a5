"""Documents in tests: an embedder and an index whose answers are plain to see, and an engine over a private folder."""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from rag.chunks import RoughCounter, Rules
from rag.documents import Build, Progress
from rag.embedder import Embedder, Purpose, TokenCounter
from rag.engine import Engine
from rag.errors import IndexBroken, RagError
from rag.index import VectorIndex
from rag.readers import USUAL, DocumentText, Limits, read_document
from rag.store import DocumentStore

if TYPE_CHECKING:
    from rag.embedder import Vectors
    from rag.reading.archive import Member

_WORD = re.compile(r"\w+")
PATIENCE_S = 30.0


class HashEmbedder:
    """Each word is a direction of its own: texts with the same words are near. Counts what it was given."""

    def __init__(self, identity: str = "hash", dimension: int = 64, *, is_remote: bool = False) -> None:
        self.identity = identity
        self.dimension = dimension
        self.window_tokens = 254
        self.is_remote = is_remote
        self.counter: TokenCounter = RoughCounter()
        self.passages: list[str] = []
        self.error: RagError | None = None
        """Raised by the next calls, while it is there."""
        self.before: Callable[[Sequence[str]], None] = lambda texts: None
        """Called with the texts before they are embedded; may block or raise."""
        self.is_closed = False

    def embed(self, texts: Sequence[str], purpose: Purpose = "passage") -> Vectors:
        if purpose == "passage":
            self.before(texts)
        if self.error is not None:
            raise self.error
        if purpose == "passage":
            self.passages += texts
        return np.stack([self.vector(text) for text in texts])

    def vector(self, text: str) -> Vectors:
        made = np.zeros(self.dimension, np.float32)
        for word in _WORD.findall(text.lower()):
            hashed = hashlib.blake2b(f"{self.identity} {word}".encode(), digest_size=8).digest()
            made[hashed[0] % self.dimension] += 1.0
            made[hashed[1] % self.dimension] += 0.5
        length = float(np.linalg.norm(made))
        if length == 0:
            made[0] = length = 1.0
        return made / np.float32(length)

    def close(self) -> None:
        self.is_closed = True


class MemoryIndex:
    """A `VectorIndex` that looks at everything. It outlives engines, as the files of a real one do."""

    def __init__(self) -> None:
        self.builds: dict[int, dict[int, Vectors]] = {}
        self.broken: str | None = None
        self.added = 0
        self.asked = 0
        self._lock = Lock()

    def add(self, build: Build, ids: Sequence[int], vectors: Vectors) -> None:
        self._look()
        with self._lock:
            self.added += len(ids)
            self.builds.setdefault(build.id, {}).update(zip(ids, np.array(vectors), strict=True))

    def remove(self, build: Build, ids: Sequence[int]) -> None:
        self._look()
        with self._lock:
            for each in ids:
                self.builds.get(build.id, {}).pop(each, None)

    def nearest(self, build: Build, vector: Vectors, count: int) -> list[tuple[int, float]]:
        self._look()
        with self._lock:
            self.asked += 1
            scored = [(each, float(known @ vector)) for each, known in self.builds.get(build.id, {}).items()]
        return sorted(scored, key=lambda pair: (-pair[1], pair[0]))[:count]

    def size(self, build: Build) -> int:
        return len(self.builds.get(build.id, {}))

    def fault(self, build: Build, expected: int, samples: Sequence[tuple[int, Vectors]]) -> str | None:
        if self.size(build) != expected:
            return f"It holds {self.size(build):,} vectors where {expected:,} are stored."
        return None

    def kind_of(self, build: Build) -> str:
        return "memory"

    def drop(self, build_id: int) -> None:
        with self._lock:
            self.builds.pop(build_id, None)

    def close(self) -> None:
        pass

    def _look(self) -> None:
        if self.broken is not None:
            raise IndexBroken(self.broken)


class DirectReader:
    """Reads in this process: for texts that the test wrote itself."""

    def __init__(self, before: Callable[[str], None] = lambda path: None) -> None:
        self._before = before

    def read(self, path: str, limits: Limits = USUAL) -> DocumentText:
        self._before(path)
        return read_document(Path(path), limits)

    def members(self, path: str, limits: Limits = USUAL) -> Sequence[Member]:
        raise AssertionError("no archive was meant")

    def interrupt(self) -> None:
        pass

    def close(self) -> None:
        pass


def no_embedder(name: str | None) -> Embedder | None:
    return None


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def engine_at(
    folder: Path,
    *embedders: HashEmbedder,
    index: VectorIndex | None = None,
    rules: Rules | None = None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    before_read: Callable[[str], None] = lambda path: None,
    **more: Any,
) -> Engine:
    """Not started. The first embedder is the one of the settings; all are known by their identity."""
    known = {each.identity: each for each in embedders}
    more.setdefault("reader", lambda: DirectReader(before_read))
    return Engine(
        folder,
        embedder=lambda name: known.get(name or ""),
        default_embedder=embedders[0].identity if embedders else None,
        index=None if index is None else lambda: index,
        clock_ms=now_ms,
        rules=rules,
        on_progress=on_progress,
        **more,
    )


@contextmanager
def engine_in(folder: Path, *embedders: HashEmbedder, **options: Any) -> Iterator[Engine]:
    """A started engine; stopped at the end."""
    engine = engine_at(folder, *embedders, **options)
    engine.start()
    try:
        yield engine
    finally:
        engine.stop()


def settle(engine: Engine, *, patience_s: float = PATIENCE_S) -> None:
    """Until nothing is left to do."""
    assert engine.wait_until_idle(patience_s), engine.status()


def write(folder: Path, **texts: str) -> list[Path]:
    """Text files by their name without ending, older than any reading of them could be."""
    folder.mkdir(parents=True, exist_ok=True)
    paths: list[Path] = []
    for name, text in texts.items():
        path = folder / f"{name}.txt"
        fresh = path.with_suffix(".fresh")
        fresh.write_text(text)
        fresh.replace(path)
        os.utime(path, ns=(1_600_000_000_000_000_000, 1_600_000_000_000_000_000 + len(paths)))
        paths.append(path)
    return paths


@contextmanager
def opened(folder: Path) -> Iterator[DocumentStore]:
    """The store of an engine in `folder / "home"`, as another process reads it."""
    store = DocumentStore.open(folder / "home" / "documents.db", read_only=True)
    try:
        yield store
    finally:
        store.close()


def chunk_ids(folder: Path, document_id: int) -> list[int]:
    with opened(folder) as store:
        rows = store.connection.execute("SELECT id FROM chunks WHERE document_id = ? ORDER BY position", (document_id,))
        return [row[0] for row in rows]
