"""What is done when there is time: bringing a finished build live, and taking away the rows of what was removed.

Removing is acknowledged at once, by making it invisible; its rows go in portions, so that nobody waits for them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from rag import rows
from rag.documents import Build
from rag.indexing import IndexKeeper
from rag.store import DocumentStore

log = logging.getLogger(__name__)

PORTION = 1_000


class Tidying:
    def __init__(self, store: DocumentStore, keeper: IndexKeeper, on_change: Callable[[], None]) -> None:
        self._store = store
        self._keeper = keeper
        self._on_change = on_change

    def work(self) -> bool:
        return self._bring_live() or self._take_away()

    def _bring_live(self) -> bool:
        with self._store.read() as connection:
            made = rows.builds(connection, rows.BESIDE)
        for build in made:
            if not self._is_complete(build) or (self._keeper.trouble is None and self._keeper.is_behind(build)):
                continue
            with self._store.write(durable=True) as connection:
                connection.execute(
                    "UPDATE collections SET live_build = ? WHERE id = ?", (build.id, build.collection_id)
                )
                connection.execute(
                    "UPDATE documents SET state = 'ready', was_ready = 1 WHERE collection_id = ? AND state = 'lexical'",
                    (build.collection_id,),
                )
            log.info("collection %s answers from build %s (%s)", build.collection_id, build.id, build.embedder)
            self._on_change()
            return True
        return False

    def _is_complete(self, build: Build) -> bool:
        with self._store.read() as connection:
            # What an index answers at once comes first: this is asked again and again while a build is made.
            unread = "SELECT 1 FROM documents WHERE state IN ('waiting', 'reading') AND collection_id = ? LIMIT 1"
            if connection.execute(unread, (build.collection_id,)).fetchone() is not None:
                return False
            missing = f"SELECT 1 FROM chunks WHERE build_id = ? AND indexed = 0 AND {rows.NO_VECTOR} LIMIT 1"  # noqa: S608
            if build.embedder is not None and connection.execute(missing, (build.id,)).fetchone() is not None:
                return False
            uncut = connection.execute(
                "SELECT 1 FROM documents d WHERE d.collection_id = ? AND "
                "EXISTS (SELECT 1 FROM texts WHERE document_id = d.id) AND NOT EXISTS "
                "(SELECT 1 FROM chunks WHERE chunks.document_id = d.id AND chunks.build_id = ?) LIMIT 1",
                (build.collection_id, build.id),
            ).fetchone()
            return uncut is None

    def _take_away(self) -> bool:
        """A portion of a build that nobody asks any more, or of a collection that was removed."""
        with self._store.read() as connection:
            row = connection.execute(
                "SELECT b.id FROM builds b JOIN collections c ON c.id = b.collection_id WHERE substr(c.name, 1, 1) = ? "
                "OR (b.id <> c.live_build AND b.id < (SELECT max(id) FROM builds WHERE collection_id = c.id)) LIMIT 1",
                (rows.GONE,),
            ).fetchone()
        if row is not None:
            self._take_build(row[0])
            return True
        with self._store.write() as connection:
            gone = connection.execute(
                "SELECT id FROM collections WHERE substr(name, 1, 1) = ? LIMIT 1", (rows.GONE,)
            ).fetchone()
            if gone is None:
                return False
            went = connection.execute(
                "DELETE FROM documents WHERE id IN (SELECT id FROM documents WHERE collection_id = ? LIMIT ?)",
                (gone[0], PORTION),
            ).rowcount
            if not went:
                connection.execute("DELETE FROM collections WHERE id = ?", gone)
        return True

    def _take_build(self, build_id: int) -> None:
        self._keeper.drop(build_id)
        with self._store.write() as connection:
            went = connection.execute(
                "DELETE FROM chunks WHERE id IN (SELECT id FROM chunks WHERE build_id = ? LIMIT ?)", (build_id, PORTION)
            ).rowcount
            connection.execute("DELETE FROM leaving WHERE build_id = ?", (build_id,))
            if went < PORTION:
                connection.execute("DELETE FROM builds WHERE id = ?", (build_id,))
