"""Documents into text, chunks and vectors. The rows of `documents.db` are the queue.

One thread reads and cuts, so that a document is found by its words as soon as it was read; another makes vectors
(`vectors.py`). What is to be done is what the rows say, so a killed process loses nothing but the portion that was
under way: a document that is `waiting`, a chunk without a vector, a build that is not live yet.

A chunk that is the same as before keeps its id and its vector; an equal one of another document, collection or build
gets a copy of the vector if the same embedder made it.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from threading import Lock

from rag import rows, writes
from rag.builds import Builds
from rag.documents import Build, Chunk
from rag.errors import LibraryBroken, RagError
from rag.layout import pack
from rag.readers import DocumentText
from rag.rounds import Bell
from rag.store import DocumentStore
from rag.taking import Taken, Taker, Waiting
from rag.vectors import VectorMaker

log = logging.getLogger(__name__)

MOST_ATTEMPTS = 3
"""How often reading one document may end the process."""

_WAITING = (
    "SELECT id, collection_id, path, name, size_bytes, modified_ns, sha256, same_as, secrets_allowed, read_at "
    "FROM documents WHERE state IN ('waiting', 'reading') AND state = 'waiting'"
)
"""The two states are named because the index over what is to do is of these."""

_UNCUT = (
    "SELECT d.id FROM documents d WHERE d.collection_id = ? AND d.id > ? AND d.same_as IS NULL "
    "AND EXISTS (SELECT 1 FROM texts WHERE document_id = d.id) AND NOT EXISTS "
    "(SELECT 1 FROM chunks WHERE chunks.document_id = d.id AND chunks.build_id = ?) ORDER BY d.id LIMIT 1"
)


class Ingest:
    """`work` is called by one thread; the rest by any."""

    def __init__(
        self,
        store: DocumentStore,
        builds: Builds,
        taker: Taker,
        vectors: VectorMaker,
        bell: Bell,
        clock_ms: Callable[[], int],
        on_change: Callable[[], None],
    ) -> None:
        self._store = store
        self._builds = builds
        self._taker = taker
        self._vectors = vectors
        self._bell = bell
        self._clock_ms = clock_ms
        self._on_change = on_change
        self.reading: Waiting | None = None
        self._cut_up_to: dict[int, int] = {}
        """By build: the document that was cut last for one that is made beside a live one."""
        self._lock = Lock()
        """Guards what follows."""
        self._urgent: dict[int, None] = {}
        """Somebody waits for these. Each is looked at once: it is either read next, or was read already."""

    def recover(self) -> None:
        """At the start: what was being read when the last process ended is to be read, unless that is what ends it."""
        with self._store.write() as connection:
            connection.execute(
                "UPDATE documents SET state = 'failed', attempts = 0, read_at = ?, error = printf(?, name), hint = ? "
                "WHERE state = 'reading' AND attempts >= ?",
                (
                    self._clock_ms(),
                    f"The program ended {MOST_ATTEMPTS} times while '%s' was read; it was left out.",
                    "Add it again to have it read once more.",
                    MOST_ATTEMPTS,
                ),
            )
            connection.execute("UPDATE documents SET state = 'waiting' WHERE state = 'reading'")

    def hurry(self, documents: Iterable[int]) -> None:
        """These go before others."""
        with self._lock:
            self._urgent.update(dict.fromkeys(documents))

    def _next_urgent(self) -> int | None:
        with self._lock:
            document_id = next(iter(self._urgent), None)
            if document_id is not None:
                del self._urgent[document_id]
            return document_id

    def interrupt(self, documents: Iterable[int]) -> None:
        """These are not wanted any more."""
        reading = self.reading
        if reading is not None and reading.id in set(documents):
            self._taker.interrupt()

    def work(self) -> bool:
        """One document; False if nothing is to be read or cut."""
        waiting = self._next()
        if waiting is None:
            return self._fill()
        self.reading = waiting
        self._on_change()
        try:
            self._read(waiting)
        finally:
            self.reading = None
        self._on_change()
        return True

    def _next(self) -> Waiting | None:
        with self._store.read() as connection:
            row = connection.execute(f"{_WAITING} LIMIT 1").fetchone()
        if row is None:
            return None
        with self._store.write() as connection:
            row = None
            while row is None and (urgent := self._next_urgent()) is not None:
                row = connection.execute(f"{_WAITING} AND id = ?", (urgent,)).fetchone()
            # One that a process ended with comes last, so that it keeps no other from being read.
            row = row or connection.execute(f"{_WAITING} ORDER BY attempts, id LIMIT 1").fetchone()
            if row is None:
                return None
            connection.execute("UPDATE documents SET state = 'reading', attempts = attempts + 1 WHERE id = ?", row[:1])
        return Waiting(*row)

    def _read(self, waiting: Waiting) -> None:
        try:
            builds = self._builds.of(waiting.collection_id)
            taken = self._taker.take(waiting, is_prepared=self._is_prepared(waiting, builds))
            cuts = [] if taken.text is None else [(each, self._builds.chunks(taken.text, each)) for each in builds]
            missing, removed = self._write(waiting, taken, cuts, builds[0])
        except LibraryBroken:
            self._put_back(waiting.id)
            raise
        except RagError as error:
            self._give_up(waiting.id, error)
            return
        except Exception as error:
            log.exception("document %s could not be prepared", waiting.id)
            self._give_up(
                waiting.id, RagError(f"{waiting.name!r} could not be prepared: {error}.", hint="The log tells more.")
            )
            return
        if removed:
            self._vectors.recount()
        else:
            self._vectors.more(missing)

    def _put_back(self, document_id: int) -> None:
        try:
            with self._store.write() as connection:
                connection.execute(
                    "UPDATE documents SET state = 'waiting', attempts = 0 WHERE id = ? AND state = 'reading'",
                    (document_id,),
                )
        except LibraryBroken as error:  # a full disk refuses this too; `recover` does it then
            log.warning("document %s stays as being read: %s", document_id, error.text)

    def _give_up(self, document_id: int, error: RagError) -> None:
        if self._bell.stopping.is_set():  # it failed because it was interrupted
            self._put_back(document_id)
            return
        with self._store.write() as connection:
            writes.fail(connection, document_id, error.text, error.hint, self._clock_ms())

    def _is_prepared(self, waiting: Waiting, builds: Sequence[Build]) -> bool:
        """Whether it has its chunks wherever it should, and nowhere else."""
        if waiting.same_as is not None:
            return True
        with self._store.read() as connection:
            there = {
                row[0]
                for row in connection.execute(
                    "SELECT DISTINCT build_id FROM chunks WHERE document_id = ?", (waiting.id,)
                )
            }
        return there == {build.id for build in builds}

    def _write(
        self, waiting: Waiting, taken: Taken, cuts: Sequence[tuple[Build, list[Chunk]]], live: Build
    ) -> tuple[int, int]:
        """Returns how many chunks came without a vector, and how many went."""
        packed = None if taken.text is None else pack(taken.text)
        missing = removed = 0
        with self._store.write() as connection:
            if connection.execute("SELECT 1 FROM documents WHERE id = ?", (waiting.id,)).fetchone() is None:
                return 0, 0
            if taken.sha256 is None or taken.sha256 != waiting.sha256 or taken.same_as is not None:
                # Copies go on with what it was.
                removed += writes.bequeath(connection, waiting.id)
            if taken.same_as is not None and taken.same_as != waiting.same_as:
                removed += writes.become_copy(connection, waiting.id, taken.same_as)
            elif taken.text is not None and packed is not None:
                writes.write_text(connection, waiting.id, packed)
                writes.describe(connection, waiting.id, taken.text, _page_count(taken.text))
                for build, chunks in cuts:
                    written = writes.write_chunks(connection, waiting.id, build, chunks)
                    removed += written.removed
                    if build.embedder is not None:
                        missing += written.added - written.copied
                removed += writes.drop_foreign_chunks(connection, waiting.id)
            connection.execute(
                "UPDATE documents SET size_bytes = ?, modified_ns = ?, sha256 = ?, same_as = ?, read_at = ?, "
                "attempts = 0 WHERE id = ?",
                (*taken[:3], taken.same_as, self._clock_ms(), waiting.id),
            )
            if taken.same_as is None:
                writes.settle(connection, waiting.id, live, while_="reading")
            else:
                writes.settle_copy(connection, waiting.id, taken.same_as)
        return missing, removed

    def _fill(self) -> bool:
        """Cut one document for a build that is made beside a live one."""
        with self._store.read() as connection:
            found = next(
                (
                    (row, build)
                    for build in rows.builds(connection, rows.BESIDE)
                    if (row := self._uncut(connection, build))
                ),
                None,
            )
        if found is None:
            return False
        row, build = found
        try:
            chunks = self._builds.chunks(self._store.text(row[0]), build)
        except RagError as error:
            log.warning("the stored text of document %s cannot be used: %s", row[0], error.text)
            self._read_anew(row[0])
            return True
        with self._store.write() as connection:
            is_there = connection.execute(
                "SELECT 1 FROM documents WHERE id = ? AND EXISTS (SELECT 1 FROM builds WHERE id = ?)",
                (row[0], build.id),
            ).fetchone()
            written = writes.write_chunks(connection, row[0], build, chunks) if is_there else None
        if written is not None and build.embedder is not None:
            self._vectors.more(written.added - written.copied)
        self._on_change()
        return True

    def _uncut(self, connection: sqlite3.Connection, build: Build) -> tuple[int] | None:
        """The next one, behind those that were cut already; at the end it is looked once from the beginning."""
        while True:
            cut_up_to = self._cut_up_to.get(build.id, 0)
            row: tuple[int] | None = connection.execute(_UNCUT, (build.collection_id, cut_up_to, build.id)).fetchone()
            if row is not None:
                self._cut_up_to[build.id] = row[0]
                return row
            if not cut_up_to:
                return None
            del self._cut_up_to[build.id]

    def _read_anew(self, document_id: int) -> None:
        with self._store.write() as connection:
            connection.execute("DELETE FROM texts WHERE document_id = ?", (document_id,))
            connection.execute("UPDATE documents SET state = 'waiting', read_at = NULL WHERE id = ?", (document_id,))


def _page_count(text: DocumentText) -> int | None:
    if text.spans:
        return max(len(text.pages), *(page.number for page in text.spans))
    return len(text.pages) or None
