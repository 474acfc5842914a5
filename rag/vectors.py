"""Making the vectors of chunks that lack one, in portions, by whichever embedder their build has."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from threading import Lock
from typing import NamedTuple

from rag import rows, writes
from rag.builds import Embedders
from rag.chunks import embedded_text
from rag.documents import Build, Chunk, Span
from rag.embedder import embedded
from rag.errors import EmbedderFailed, RagError
from rag.pace import Pace
from rag.rounds import Bell, Troubles
from rag.store import DocumentStore

WINDOW = 256
"""Chunks that are looked up at once, and sorted by length, because a batch takes as long as its longest."""
PORTION_S = 0.4
"""About how long one call of the embedder shall take: it cannot be stopped."""
SMALLEST_PORTION, LARGEST_PORTION = 8, 128
MOST_URGENT = 64
"""Documents that somebody waits for, which are looked at for each window."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0
LONGEST_ASKED_S = 3_600.0
"""How long an embedder that asks for it is left alone."""
WHO = "embedding"


class Pending(NamedTuple):
    """A chunk without its vector."""

    id: int
    document_id: int
    text: str
    headings: str
    tokens: int
    hash: bytes

    def embedded_text(self) -> str:
        headings = tuple(self.headings.split("\n")) if self.headings else ()
        return embedded_text(Chunk(self.text, headings, Span(0, len(self.text), 1, 1), self.tokens, self.hash))


class VectorMaker:
    """`work` is called by one thread; the rest by any."""

    def __init__(
        self,
        store: DocumentStore,
        embedders: Embedders,
        bell: Bell,
        troubles: Troubles,
        monotonic: Callable[[], float],
        on_change: Callable[[], None],
    ) -> None:
        self._store = store
        self._embedders = embedders
        self._bell = bell
        self._troubles = troubles
        self._monotonic = monotonic
        self._on_change = on_change
        self._lock = Lock()
        """Guards what follows."""
        self._pace = Pace(monotonic)
        self._to_do = 0
        self._done = 0
        self._urgent: dict[int, None] = {}
        """Documents that somebody waits for, in the order in which they were asked for."""
        self._pauses: dict[str, tuple[float, float]] = {}
        """Until when an embedder that failed is left alone, and for how long that is."""
        self._done_up_to: dict[int, int] = {}
        """By build: every chunk up to this id has its vector."""
        self._missing: dict[int, int] = {}
        """By document: how many of its chunks in the live build lack a vector, for those that were begun."""
        self._counts = 0

    def hurry(self, documents: Iterable[int]) -> None:
        """Somebody waits for these."""
        with self._lock:
            self._urgent.update(dict.fromkeys(documents))

    def more(self, count: int) -> None:
        """So many chunks came without a vector."""
        with self._lock:
            self._to_do += count

    def recount(self) -> None:
        """After anything that takes chunks or vectors away; a portion that is under way is the last of its window."""
        with self._store.read() as connection:
            count = connection.execute(
                f"SELECT count(*) FROM chunks WHERE indexed = 0 AND {rows.NO_VECTOR} AND build_id IN "  # noqa: S608
                "(SELECT id FROM builds WHERE embedder IS NOT NULL)"
            ).fetchone()[0]
        with self._lock:
            self._to_do = count
            self._counts += 1
            self._missing.clear()
            self._done_up_to.clear()

    def try_again(self) -> None:
        """At once: something was done about what failed."""
        with self._lock:
            self._pauses.clear()

    def figures(self) -> tuple[int, int, float | None]:
        """Chunks to do, chunks done since there was last nothing to do, and how many in a second."""
        with self._lock:
            return self._to_do, self._done, self._pace.per_s

    def rest_s(self) -> float | None:
        """Until an embedder that failed is tried again."""
        with self._lock:
            if not self._pauses:
                return None
            return max(0.01, min(until for until, _ in self._pauses.values()) - self._monotonic())

    def work(self) -> bool:
        """One window of one build; False if there is none that can be done."""
        with self._store.read() as connection:
            builds = rows.builds(
                connection,
                "WHERE embedder IS NOT NULL AND (id IN (SELECT live_build FROM collections) OR id = "
                "(SELECT max(b.id) FROM builds b WHERE b.collection_id = builds.collection_id)) ORDER BY id",
            )
        is_left_alone = False
        for build in builds:
            assert build.embedder is not None
            with self._lock:
                until, _ = self._pauses.get(build.embedder, (0.0, 0.0))
            if until > self._monotonic():
                is_left_alone = True
                continue
            window, up_to = self._window(build)
            if window:
                return self._embed(build, build.embedder, window, up_to)
        if not is_left_alone:
            with self._lock:
                self._done = 0
                self._pauses.clear()
        return False

    def _window(self, build: Build) -> tuple[list[Pending], int | None]:
        """Chunks to do next; and up to which id nothing is left to do when they are done."""
        with self._lock:
            urgent = list(self._urgent)[:MOST_URGENT]
            after = self._done_up_to.get(build.id, 0)
        columns = "id, document_id, text, headings, tokens, hash"
        with self._store.read() as connection:
            for document_id in urgent:
                found = connection.execute(
                    f"SELECT {columns} FROM chunks WHERE document_id = ? AND build_id = ? AND indexed = 0 "  # noqa: S608
                    f"AND {rows.NO_VECTOR} ORDER BY position LIMIT ?",
                    (document_id, build.id, WINDOW),
                ).fetchall()
                if found:
                    return [Pending(*row) for row in found], None
                if not rows.unfinished(connection, [document_id], ("ready", "failed")):
                    with self._lock:
                        self._urgent.pop(document_id, None)
            found = connection.execute(
                f"SELECT {columns} FROM chunks WHERE build_id = ? AND indexed = 0 AND id > ? "  # noqa: S608
                f"AND {rows.NO_VECTOR} ORDER BY id LIMIT ?",
                (build.id, after, WINDOW),
            ).fetchall()
        return [Pending(*row) for row in found], found[-1][0] if found else None

    def _embed(self, build: Build, identity: str, window: Sequence[Pending], up_to: int | None) -> bool:
        try:
            embedder = self._embedders.by_identity(identity)
        except RagError as error:
            self._leave_alone(identity, error)
            return False
        with self._lock:
            counts = self._counts
        window = self._without_known(build, identity, window)
        different: dict[bytes, list[Pending]] = {}
        for chunk in sorted(window, key=lambda chunk: chunk.tokens):
            different.setdefault(chunk.hash, []).append(chunk)
        remaining = list(different.values())
        while remaining:
            if self._bell.stopping.is_set() or self._bell.is_paused or self._counts != counts:
                return True
            size = self._portion()
            portion, remaining = remaining[:size], remaining[size:]
            started = self._monotonic()
            try:
                vectors = embedded(embedder, [same[0].embedded_text() for same in portion])
            except RagError as error:
                self._leave_alone(identity, error)
                return False
            took_s = self._monotonic() - started
            pairs = [
                (chunk.id, vector.tobytes()) for same, vector in zip(portion, vectors, strict=True) for chunk in same
            ]
            with self._store.write() as connection:
                writes.write_vectors(connection, pairs)
                self._settle(connection, build, [chunk for same in portion for chunk in same])
            with self._lock:
                self._pace.add(len(portion), took_s)
                self._pauses.pop(identity, None)
            self._did(len(pairs))
        with self._lock:
            if up_to is not None and self._counts == counts:
                self._done_up_to[build.id] = up_to
        return True

    def _without_known(self, build: Build, identity: str, window: Sequence[Pending]) -> Sequence[Pending]:
        """Copy the vectors that there are; what is left are the chunks that need one made."""
        with self._store.write() as connection:
            if not writes.copy_known(connection, identity, [chunk.id for chunk in window]):
                return window
            known = "SELECT 1 FROM vectors WHERE chunk_id = ?"
            left = [chunk for chunk in window if connection.execute(known, (chunk.id,)).fetchone() is None]
            given = set(window).difference(left)
            self._settle(connection, build, list(given))
        self._did(len(given))
        return left

    def _portion(self) -> int:
        rate = self._pace.per_s
        wanted = SMALLEST_PORTION if rate is None else int(rate * PORTION_S) // 8 * 8
        return min(LARGEST_PORTION, max(SMALLEST_PORTION, wanted))

    def _leave_alone(self, identity: str, error: RagError) -> None:
        with self._lock:
            _, last_s = self._pauses.get(identity, (0.0, 0.0))
            pause_s = min(LONGEST_PAUSE_S, max(FIRST_PAUSE_S, 2 * last_s))
            if isinstance(error, EmbedderFailed) and error.retry_after_s is not None:
                pause_s = min(LONGEST_ASKED_S, max(pause_s, error.retry_after_s))
            self._pauses[identity] = (self._monotonic() + pause_s, pause_s)
        self._troubles.met(WHO, error)

    def _did(self, count: int) -> None:
        with self._lock:
            self._to_do = max(0, self._to_do - count)
            self._done += count
        self._bell.ring()
        self._on_change()

    def _settle(self, connection: sqlite3.Connection, build: Build, chunks: Sequence[Pending]) -> None:
        """Documents of the live build whose last vector came are ready. Counted here, and asked only at the end."""
        live = rows.live_build(connection, build.collection_id)
        if live is None or live.id != build.id:
            return
        counts: dict[int, int] = {}
        for chunk in chunks:
            counts[chunk.document_id] = counts.get(chunk.document_id, 0) + 1
        for document_id, count in counts.items():
            left = self._missing.get(document_id, 0) - count
            if left <= 0:
                left = writes.settle(connection, document_id, live, while_="lexical")
            with self._lock:
                if left:
                    self._missing[document_id] = left
                    continue
                self._missing.pop(document_id, None)
                self._urgent.pop(document_id, None)
