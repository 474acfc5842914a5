"""The exact way to the nearest vectors: looking at all of them.

`exact` reads those that are stored with the documents, for a question without a worker. `ExactIndex` keeps them in
files of their own that are mapped into memory: slower than a graph, but right, and it takes little memory however
many there are. Loads numpy only.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import shutil
import sqlite3
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rag.documents import Build
from rag.errors import IndexBroken

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from rag.embedder import Vectors

ROWS_AT_ONCE = 8192
MOST_RESIDENT_BYTES = 256 << 20
"""What is mapped beyond this is given back to the system after each look; it stays in its cache."""
FETCHED_AT_ONCE = 512
"""Stored rows that are looked at together: they stay in the processor's cache, which halves the time."""
SAME = 0.999
"""The cosine from which on a vector is the one that was stored."""


def exact(
    connection: sqlite3.Connection,
    builds: Sequence[Build],
    vector: Vectors,
    count: int,
    only: Collection[int] | None = None,
) -> list[tuple[int, float]]:
    """Ids of chunks with their cosine, the nearest first, over the stored vectors of all these builds.

    With `only` the chunks of these ids are looked at and no others.
    """
    import numpy as np

    marks = ",".join("?" * len(builds))
    values: list[int | str] = [build.id for build in builds]
    within = ""
    if only is not None:
        # By id, whatever the planner thinks: a few of many are never found by going through a whole build.
        within = "json_each(?) AS wanted CROSS JOIN "
        values.insert(0, json.dumps(sorted(only)))
    rows = connection.execute(
        f"SELECT chunks.id, vectors.vector FROM {within}chunks JOIN vectors ON vectors.chunk_id = chunks.id"  # noqa: S608
        f" WHERE chunks.build_id IN ({marks})" + (" AND chunks.id = wanted.value" if within else ""),
        values,
    )
    question = np.ascontiguousarray(vector, np.float32).ravel()
    length = question.nbytes
    best = _Best(count)
    while some := rows.fetchmany(FETCHED_AT_ONCE):
        fitting = [row for row in some if len(row[1]) == length]
        matrix = np.frombuffer(b"".join(row[1] for row in fitting), "<f4").reshape(len(fitting), -1)
        best.see(np.array([row[0] for row in fitting], np.int64), matrix @ question)
    return best.ranked()


class _Best:
    """The highest of many scores."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._kept: list[tuple[float, int]] = []

    def see(self, ids: NDArray[np.int64], scores: NDArray[np.float32]) -> None:
        import numpy as np

        if len(scores) > self._count:
            highest = np.argpartition(scores, -self._count)[-self._count :]
            ids, scores = ids[highest], scores[highest]
        pairs = zip(scores.tolist(), ids.tolist(), strict=True)
        self._kept += [(score, number) for score, number in pairs if number >= 0]
        self._kept = sorted(self._kept, key=lambda pair: (-pair[0], pair[1]))[: self._count]

    def ranked(self) -> list[tuple[int, float]]:
        return [(number, score) for score, number in self._kept]


class ExactIndex:
    """Files for each build under a folder. A `VectorIndex`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._open: dict[str, _Rows] = {}

    def add(self, build: Build, ids: Sequence[int], vectors: Vectors) -> None:
        with self._lock:
            self._rows(build).add(ids, vectors)

    def remove(self, build: Build, ids: Sequence[int]) -> None:
        with self._lock:
            if self.has(build):
                self._rows(build).remove(ids)

    def nearest(self, build: Build, vector: Vectors, count: int) -> list[tuple[int, float]]:
        with self._lock:
            rows = self._rows(build) if self.has(build) else None
            parts = rows.parts() if rows is not None else None
        if rows is None or parts is None:
            return []
        return rows.nearest(*parts, vector, count)

    def size(self, build: Build) -> int:
        with self._lock:
            return self._rows(build).size if self.has(build) else 0

    def fault(self, build: Build, expected: int, samples: Sequence[tuple[int, Vectors]]) -> str | None:
        try:
            size = self.size(build)
            if size != expected:
                return f"It holds {size:,} vectors where {expected:,} are stored."
            for number, vector in samples:
                found = self.nearest(build, vector, 1)
                if not found or (found[0][0] != number and found[0][1] < SAME):
                    return "It does not find what is in it."
        except IndexBroken as error:
            return error.text
        return None

    def kind_of(self, build: Build) -> str:
        return "exact scan"

    def drop(self, build_id: int) -> None:
        with self._lock:
            for path in self._folder.glob(f"exact-{build_id}-*"):
                if (rows := self._open.pop(path.name, None)) is not None:
                    rows.close()
                shutil.rmtree(path, ignore_errors=True)

    def close(self) -> None:
        with self._lock:
            for rows in self._open.values():
                rows.close()
            self._open.clear()

    @contextlib.contextmanager
    def filling(self, build: Build) -> Iterator[Callable[[Sequence[int], Vectors], None]]:
        """Take in a whole build by the function it gives; it can be asked when all of that went well, not before."""
        assert build.dimension is not None
        path = self._folder / _name(build)
        fresh = path.with_name(path.name + ".fresh")
        shutil.rmtree(fresh, ignore_errors=True)
        rows = _Rows(fresh, build.dimension)
        try:
            yield rows.add
        except BaseException:
            rows.close()
            shutil.rmtree(fresh, ignore_errors=True)
            raise
        rows.close()
        with self._lock:
            fresh.rename(path)

    def has(self, build: Build) -> bool:
        return _name(build) in self._open or (self._folder / _name(build)).is_dir()

    def _rows(self, build: Build) -> _Rows:
        name = _name(build)
        if name not in self._open:
            assert build.dimension is not None
            path = self._folder / name
            for other in self._folder.glob(f"exact-{build.id}-*"):
                if other != path:  # of another library, or an older life of this one
                    shutil.rmtree(other, ignore_errors=True)
            try:
                self._open[name] = _Rows(path, build.dimension)
            except OSError as error:
                raise IndexBroken(f"The file of the exact scan cannot be used: {error.strerror or error}.") from error
        return self._open[name]


def _name(build: Build) -> str:
    return f"exact-{build.id}-{build.stamp}"


class _Rows:
    """Two files: ids (-1 where one went) and vectors. Written in this order: vectors, ids."""

    def __init__(self, folder: Path, dimension: int) -> None:
        import numpy as np

        self._folder = folder
        self._dimension = dimension
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._id_file = os.open(folder / "ids", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._vector_file = os.open(folder / "vectors", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        # What a crash left half-written is cut off; it will be said again.
        rows = min(os.fstat(self._id_file).st_size // 8, os.fstat(self._vector_file).st_size // (4 * dimension))
        os.ftruncate(self._id_file, rows * 8)
        os.ftruncate(self._vector_file, rows * 4 * dimension)
        stored = os.pread(self._id_file, rows * 8, 0)
        self._ids: NDArray[np.int64] = np.frombuffer(bytearray(stored), np.int64)
        self._count = rows
        self.size = int((self._ids >= 0).sum())
        self._map: mmap.mmap | None = None

    def add(self, ids: Sequence[int], vectors: Vectors) -> None:
        import numpy as np

        fresh = np.asarray(ids, np.int64)
        matrix = np.ascontiguousarray(vectors, "<f4")
        if matrix.shape != (len(fresh), self._dimension):
            raise ValueError(f"{matrix.shape} are not {len(fresh)} vectors of {self._dimension}")
        if not len(fresh):
            return
        self.remove(ids)
        try:
            _write(self._vector_file, matrix.tobytes(), self._count * 4 * self._dimension)
            _write(self._id_file, fresh.tobytes(), self._count * 8)
        except OSError as error:
            raise IndexBroken(f"The file of the exact scan cannot be written: {error.strerror or error}.") from error
        if self._count + len(fresh) > len(self._ids):
            grown = np.full(max(1024, len(self._ids) * 2, self._count + len(fresh)), -1, np.int64)
            grown[: self._count] = self._ids[: self._count]
            self._ids = grown
        self._ids[self._count : self._count + len(fresh)] = fresh
        self._count += len(fresh)
        self.size += len(fresh)

    def remove(self, ids: Sequence[int]) -> None:
        import numpy as np

        there = self._ids[: self._count]
        if not len(there) or not len(ids) or min(ids) > there.max():
            return
        rows = np.flatnonzero(np.isin(there, np.asarray(ids, np.int64)))
        there[rows] = -1
        gone = np.int64(-1).tobytes()
        for row in rows.tolist():
            _write(self._id_file, gone, row * 8)
        self.size -= len(rows)
        if self._count > 1024 and self.size < self._count // 2:
            self._compact()

    def parts(self) -> tuple[NDArray[np.int64], mmap.mmap] | None:
        """What a look needs; later changes do not move it."""
        if not self._count:
            return None
        wanted = self._count * 4 * self._dimension
        if self._map is None or len(self._map) < wanted:
            # An older map is closed when the last look over it has ended.
            self._map = mmap.mmap(self._vector_file, wanted, prot=mmap.PROT_READ)
        return self._ids[: self._count], self._map

    def nearest(
        self, ids: NDArray[np.int64], mapped: mmap.mmap, vector: Vectors, count: int
    ) -> list[tuple[int, float]]:
        import numpy as np

        matrix = np.frombuffer(mapped, "<f4", len(ids) * self._dimension).reshape(len(ids), self._dimension)
        question = np.ascontiguousarray(vector, np.float32).ravel()
        best = _Best(count)
        for start in range(0, len(ids), ROWS_AT_ONCE * 4):
            some = ids[start : start + ROWS_AT_ONCE * 4]
            scores = matrix[start : start + len(some)] @ question
            scores[some < 0] = -2
            best.see(some, scores)
        if len(mapped) > MOST_RESIDENT_BYTES:
            mapped.madvise(mmap.MADV_DONTNEED)
        return best.ranked()

    def close(self) -> None:
        for descriptor in (self._id_file, self._vector_file):
            with contextlib.suppress(OSError):
                os.close(descriptor)
        self._map = None

    def _compact(self) -> None:
        """Write what lives anew, in the place of both files."""
        import numpy as np

        parts = self.parts()
        assert parts is not None
        ids, mapped = parts
        rows = np.flatnonzero(ids >= 0)
        matrix = np.frombuffer(mapped, "<f4", len(ids) * self._dimension).reshape(len(ids), self._dimension)
        fresh = self._folder.with_name(self._folder.name + ".fresh")
        shutil.rmtree(fresh, ignore_errors=True)
        compacted = _Rows(fresh, self._dimension)
        for some in _slices(rows):
            compacted.add(ids[some].tolist(), matrix[some])
        old = self._folder.with_name(self._folder.name + ".old")
        self.close()
        self._folder.rename(old)
        fresh.rename(self._folder)
        shutil.rmtree(old, ignore_errors=True)
        compacted._folder = self._folder
        self.__dict__.update(compacted.__dict__)


def _slices(rows: NDArray[Any]) -> Iterator[NDArray[Any]]:
    for start in range(0, len(rows), ROWS_AT_ONCE):
        yield rows[start : start + ROWS_AT_ONCE]


def _write(descriptor: int, content: bytes, offset: int) -> None:
    while content:
        written = os.pwrite(descriptor, content, offset)
        content, offset = content[written:], offset + written
