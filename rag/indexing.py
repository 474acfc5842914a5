"""Keeping a vector index as the rows are: what is to be told to it, what it is to forget, and whether it is sound.

Everything said to it may be said twice, so a crash between telling and noting that it was told does no harm. What is
not told yet is found all the same, by looking at the stored vectors.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from threading import Lock, RLock
from typing import TYPE_CHECKING

from rag import rows
from rag.documents import Build
from rag.errors import IndexBroken, IndexUnreachable
from rag.index import VectorIndex
from rag.rounds import Bell
from rag.store import DocumentStore

if TYPE_CHECKING:
    from rag.embedder import Vectors

log = logging.getLogger(__name__)

PORTION = 512
LONGEST_WAIT_S = 3.0
"""A portion that is not full is told after this, or as soon as no vectors are being made."""
SAMPLES = 5
MOST_UNTOLD = 4_096
"""With more vectors than this that the index does not know, it is not asked."""


class IndexKeeper:
    """`work` is called by one thread; `nearest` and `trouble` by any."""

    def __init__(
        self,
        store: DocumentStore,
        make_index: Callable[[], VectorIndex] | None,
        bell: Bell,
        monotonic: Callable[[], float],
        is_embedding: Callable[[], bool],
        on_change: Callable[[], None],
    ) -> None:
        """`on_change` is called when there is trouble, or none any more."""
        self._store = store
        self._make_index = make_index
        self._bell = bell
        self._monotonic = monotonic
        self._is_embedding = is_embedding
        self._on_change = on_change
        self._working = RLock()
        """Held while rows are brought in line with the index, which only one may do."""
        self._lock = Lock()
        """Guards what follows; held for moments, never while the index works."""
        self._index: VectorIndex | None = None
        self._sound: set[int] = set()
        """Builds that were looked at and may be asked."""
        self._doubtful: set[int] = set()
        """Builds that were made anew because of an error, and did not take anything since."""
        self._untold_since: float | None = None
        self.trouble: str | None = None

    def work(self) -> bool:
        """Tell the index one portion; False if there is nothing to tell."""
        if self._make_index is None:
            return False
        with self._store.read() as connection:
            has_vectors = connection.execute("SELECT 1 FROM vectors LIMIT 1").fetchone() is not None
            is_leaving = connection.execute("SELECT 1 FROM leaving LIMIT 1").fetchone() is not None
        if not has_vectors and not is_leaving:
            return False
        try:
            index = self._opened(self._make_index)
            with self._working:
                return self._forget(index) or self._tell(index) or self._look_at_one()
        except IndexBroken as error:
            self._met(error.text)
            raise

    def _met(self, trouble: str | None) -> None:
        before, self.trouble = self.trouble, trouble
        if before != trouble:
            self._on_change()

    def rest_s(self) -> float | None:
        if self._untold_since is None:
            return None
        return max(0.01, self._untold_since + LONGEST_WAIT_S - self._monotonic())

    def close(self) -> None:
        with self._lock:
            index, self._index = self._index, None
            self._sound.clear()
        if index is not None:
            index.close()

    def is_behind(self, build: Build) -> bool:
        """Whether there are vectors of a build that the index does not know; never without an index."""
        if self._make_index is None:
            return False
        with self._store.read() as connection:
            row = connection.execute(
                "SELECT 1 FROM chunks JOIN vectors ON chunk_id = id WHERE build_id = ? AND indexed = 0 LIMIT 1",
                (build.id,),
            ).fetchone()
        return row is not None

    def kind(self) -> str | None:
        """What vectors are looked for in: one kind, or two where collections differ. None while nothing is open."""
        with self._lock:
            index = self._index
        if index is None:
            return None
        with self._store.read() as connection:
            builds = rows.builds(connection, "WHERE id IN (SELECT live_build FROM collections) ORDER BY id")
        kinds = dict.fromkeys(index.kind_of(build) for build in builds if build.embedder is not None)
        return " and ".join(kinds) or None

    def look_again(self) -> None:
        """At the soundness of every build."""
        with self._lock:
            self._sound.clear()
        self._bell.ring()

    def drop(self, build_id: int) -> None:
        with self._working:
            with self._lock:
                index = self._index
                self._sound.discard(build_id)
            if index is not None:
                index.drop(build_id)

    def make_anew(self, build: Build, why: str) -> None:
        """From the stored vectors. Until it is done questions look at these."""
        log.warning("the index of build %s is made anew: %s", build.id, why)
        self._met(f"{why} It is being made anew.")
        with self._working:
            self.drop(build.id)
            with self._store.write() as connection:
                connection.execute("UPDATE chunks SET indexed = 0 WHERE build_id = ? AND indexed = 1", (build.id,))
                connection.execute("DELETE FROM leaving WHERE build_id = ?", (build.id,))
            with self._lock:
                self._sound.add(build.id)
        self._bell.ring()

    def fault(self, build: Build) -> str | None:
        """What is wrong with the index of a build, in a sentence. None as well where there is no index."""
        import numpy as np  # 100 ms

        with self._lock:
            index = self._index
        if index is None:
            return None
        with self._working:
            with self._store.read() as connection:
                expected = connection.execute(
                    "SELECT count(*) FROM chunks WHERE build_id = ? AND indexed = 1", (build.id,)
                ).fetchone()[0]
                step = max(1, expected // SAMPLES)
                taken = connection.execute(
                    "SELECT id, vector FROM (SELECT id, row_number() OVER (ORDER BY id) AS place FROM chunks "
                    "WHERE build_id = ? AND indexed = 1) JOIN vectors ON chunk_id = id WHERE place % ? = 0 "
                    "AND length(vector) = ? LIMIT ?",
                    (build.id, step, 4 * (build.dimension or 0), SAMPLES),
                ).fetchall()
            samples = [(chunk_id, np.frombuffer(vector, "<f4")) for chunk_id, vector in taken]
            return index.fault(build, expected, samples) if expected else None

    def nearest(
        self,
        store: DocumentStore,
        builds: Sequence[Build],
        vector: Vectors,
        count: int,
        only: Collection[int] | None = None,
        tell: Callable[[str], None] = lambda note: None,
    ) -> list[tuple[int, float]]:
        """Over builds of one embedder; through the index where it can be, else over the stored vectors.

        With `only` it is the stored vectors of these chunks, which no index could pick out. `tell` hears of an index
        that does not answer.
        """
        from rag.index_exact import exact  # loads numpy

        if only is not None:
            with store.read() as connection:
                return exact(connection, builds, vector, count, only)
        found: list[tuple[int, float]] = []
        by_looking: list[Build] = []
        for build in builds:
            with self._lock:
                index = self._index if build.id in self._sound else None
            untold = _untold(store, build, MOST_UNTOLD + 1) if index is not None else []
            if index is None or len(untold) > MOST_UNTOLD:
                by_looking.append(build)
                continue
            try:
                found += index.nearest(build, vector, count)
            except IndexBroken as error:
                log.warning("the index did not answer: %s", error.text)
                self._met(error.text)
                tell(f"{error.text} The stored vectors were looked at one by one.")
                if not isinstance(error, IndexUnreachable):
                    self.look_again()
                by_looking.append(build)
                continue
            found += _cosines(untold, vector)
        if by_looking:
            with store.read() as connection:
                found += exact(connection, by_looking, vector, count)
        best: dict[int, float] = {}
        for chunk_id, cosine in found:
            best[chunk_id] = max(cosine, best.get(chunk_id, -1.0))
        return sorted(best.items(), key=lambda pair: (-pair[1], pair[0]))[:count]

    def _opened(self, make_index: Callable[[], VectorIndex]) -> VectorIndex:
        if self._index is None:
            index = make_index()
            with self._lock:
                self._index = index
        return self._index

    def _forget(self, index: VectorIndex) -> bool:
        with self._store.read() as connection:
            row = connection.execute("SELECT build_id FROM leaving LIMIT 1").fetchone()
            if row is None:
                return False
            build_id = row[0]
            build = next(iter(rows.builds(connection, "WHERE id = ?", (build_id,))), None)
            ids = [
                each[0]
                for each in connection.execute(
                    "SELECT chunk_id FROM leaving WHERE build_id = ? LIMIT ?", (build_id, PORTION)
                )
            ]
        if build is not None:
            index.remove(build, ids)
        with self._store.write() as connection:
            if build is None:
                connection.execute("DELETE FROM leaving WHERE build_id = ?", (build_id,))
            connection.executemany("DELETE FROM leaving WHERE chunk_id = ?", [(each,) for each in ids])
        return True

    def _tell(self, index: VectorIndex) -> bool:
        import numpy as np  # 100 ms

        with self._store.read() as connection:
            builds = rows.builds(connection, "WHERE embedder IS NOT NULL ORDER BY id")
        is_waiting = False
        for build in builds:
            untold = _untold(self._store, build, PORTION)
            if not untold:
                continue
            now = self._monotonic()
            if len(untold) < PORTION and self._is_embedding():
                if self._untold_since is None:
                    self._untold_since = now
                if now - self._untold_since < LONGEST_WAIT_S:
                    is_waiting = True
                    continue
            vectors = np.frombuffer(b"".join(vector for _, vector in untold), "<f4").reshape(len(untold), -1)
            ids = [chunk_id for chunk_id, _ in untold]
            try:
                index.add(build, ids, vectors)
            except IndexUnreachable:
                raise
            except IndexBroken as error:
                if build.id in self._doubtful:  # it was just made anew; that is not what helps
                    raise
                self.make_anew(build, error.text)
                self._doubtful.add(build.id)
                return True
            self._doubtful.discard(build.id)
            with self._store.write() as connection:
                connection.executemany("UPDATE chunks SET indexed = 1 WHERE id = ?", [(each,) for each in ids])
                there = "SELECT 1 FROM chunks WHERE id = ?"
                went = [each for each in ids if connection.execute(there, (each,)).fetchone() is None]
            if went:  # in the meantime, and nobody could know that the index has them
                index.remove(build, went)
            self._untold_since = None
            self._bell.ring()
            return True
        if not is_waiting:
            self._untold_since = None
        return False

    def _look_at_one(self) -> bool:
        """Whether a build that was not looked at yet is sound; if not, it is made anew."""
        with self._store.read() as connection:
            builds = rows.builds(connection, "WHERE embedder IS NOT NULL ORDER BY id")
        build = next((each for each in builds if each.id not in self._sound), None)
        if build is None:
            if not self._doubtful:
                self._met(None)
            return False
        fault = self.fault(build)
        if fault is None:
            with self._lock:
                self._sound.add(build.id)
        else:
            self.make_anew(build, fault)
        self._bell.ring()
        return True


def _untold(store: DocumentStore, build: Build, most: int) -> list[tuple[int, bytes]]:
    """Vectors that the index does not know. They are the oldest of those without mark, or nearly."""
    with store.read() as connection:
        return connection.execute(
            "SELECT chunks.id, vector FROM chunks CROSS JOIN vectors ON chunk_id = chunks.id WHERE build_id = ? "
            "AND indexed = 0 AND chunks.id <= (SELECT max(chunk_id) FROM vectors) AND length(vector) = ? "
            "ORDER BY chunks.id LIMIT ?",
            (build.id, 4 * (build.dimension or 0), most),
        ).fetchall()


def _cosines(untold: Sequence[tuple[int, bytes]], vector: Vectors) -> list[tuple[int, float]]:
    if not untold:
        return []
    import numpy as np

    matrix = np.frombuffer(b"".join(each for _, each in untold), "<f4").reshape(len(untold), -1)
    scores = (matrix @ np.asarray(vector, "<f4").ravel()).tolist()
    return [(chunk_id, score) for (chunk_id, _), score in zip(untold, scores, strict=True)]
