"""All that is done with documents, in the one process that owns them.

Every method may be called from any thread and blocks. What changes something is kept for good when it returns; what
follows from it (reading, vectors, the index) is done by threads of this engine, as the rows of `documents.db` say.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Collection, Container, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock, RLock
from typing import TYPE_CHECKING, Literal

from rag import rows, writes
from rag.adding import Meant, keep, meant, moves
from rag.builds import Builds
from rag.documents import Added, Build, Finding, Folder, Progress, Retrieved, Wanted
from rag.embedder import embedded
from rag.errors import LibraryBroken, NoModel, RagError, UnknownName, Unreadable
from rag.indexing import IndexKeeper
from rag.ingest import Ingest
from rag.layout import pack
from rag.readers import USUAL, Limits, split_member
from rag.rounds import LONGEST_REST_S, Bell, Rounds, Troubles
from rag.shelf import EmbedderShelf
from rag.store import DocumentStore
from rag.taking import Reads, SecretIn, Taker, is_elsewhere
from rag.tidying import Tidying
from rag.vectors import VectorMaker
from rag.watching import Watching

if TYPE_CHECKING:
    from rag.chunks import Rules
    from rag.embedder import Embedder, Vectors
    from rag.index import VectorIndex
    from rag.readers import DocumentText
    from rag.retrieve import Rerank, Weights

log = logging.getLogger(__name__)

TELL_EVERY_S = 0.25
LONGEST_NAME = 100
MOST_READERS = 8
FILE = "documents.db"


class Engine:
    def __init__(
        self,
        folder: Path,
        *,
        embedder: Callable[[str | None], Embedder | None],
        default_embedder: str | None,
        index: Callable[[], VectorIndex] | None,
        reader: Callable[[], Reads],
        clock_ms: Callable[[], int],
        monotonic: Callable[[], float] = time.monotonic,
        rules: Rules | None = None,
        limits: Limits = USUAL,
        secret_in: SecretIn | None = None,
        rerank: Rerank | None = None,
        weights: Weights | None = None,
        on_progress: Callable[[Progress], None] = lambda progress: None,
    ) -> None:
        """Opens `documents.db` in the folder, or makes it; raises `LibraryBroken`. Work begins with `start`."""
        self._path = folder / FILE
        self._store = DocumentStore.open(self._path)
        self._clock_ms = clock_ms
        self._monotonic = monotonic
        self._on_progress = on_progress
        self._rerank = rerank
        self._weights = weights
        self._secret_in = secret_in
        self._make_reader = reader
        self._limits = limits
        self._told_at = self._tidied_at = monotonic() - TELL_EVERY_S
        self._is_untold = False
        self._telling = Lock()
        self._telling_of_state = RLock()
        """Held while a state is looked up and told, so that the last that is told is the latest."""
        self._used: set[int] = set()
        self._readers: list[DocumentStore] = []
        self._bell = Bell(monotonic)
        self._troubles = Troubles(self._tell_now)
        self._shelf = EmbedderShelf(self._store, embedder, default_embedder, self._embedder_trouble)
        self._vectors = VectorMaker(self._store, self._shelf, self._bell, self._troubles, monotonic, self._tell)
        self._builds = Builds(self._store, self._shelf, rules, clock_ms)
        self._taker = Taker(self._store, reader, limits, secret_in, self._bell.stopping)
        self._ingest = Ingest(self._store, self._builds, self._taker, self._vectors, self._bell, clock_ms, self._tell)
        self._keeper = IndexKeeper(
            self._store, index, self._bell, monotonic, lambda: self._vectors.figures()[0] > 0, self._tell_now
        )
        self._tidying = Tidying(self._store, self._keeper, self._tell_now)
        self._rounds = [
            Rounds("reading", self._bell, self._troubles, self._ingest.work, at_end=self._taker.close),
            Rounds("embedding", self._bell, self._troubles, self._vectors.work, rest_s=self._vectors.rest_s),
            Rounds("index", self._bell, self._troubles, self._keeper.work, rest_s=self._keeper.rest_s),
            Rounds("tidying", self._bell, self._troubles, self._tidy, rest_s=self._tidy_rest_s),
        ]
        self._watching = Watching(self._store, self.rescan, self._bell.stopping, self._troubles)
        self._is_started = False

    # Life

    def start(self) -> None:
        # Once, before there are threads: while one imports it, libraries written in C that another one loads find half
        # of it and fail, and with them the document that was being cut.
        import numpy  # noqa: F401, ICN001 - 100 ms

        self._is_started = True
        self._ingest.recover()
        self._vectors.recount()
        for rounds in self._rounds:
            rounds.start()
        self._watching.refresh()

    def stop(self) -> None:
        """Ends within a portion of work; all that is not done is done after the next start."""
        self._bell.stopping.set()
        self._bell.ring()
        self._taker.interrupt()
        if self._is_started:
            for rounds in self._rounds:
                rounds.join()
        self._watching.join()
        try:
            self._write_use()
        except LibraryBroken as error:
            log.warning("when collections were used last is not kept: %s", error.text)
        self._keeper.close()
        self._shelf.close()
        with self._telling:
            readers, self._readers = self._readers, []
        for store in readers:
            store.close()
        self._store.close()

    def status(self) -> Progress:
        with self._reading() as store, store.read() as connection:
            waiting, unread_bytes = connection.execute(
                "SELECT count(*), total(size_bytes) FROM documents WHERE state IN ('waiting', 'reading')"
            ).fetchone()
            chunks_per_byte = _chunks_per_byte(connection) if waiting else 0.0
            reading = self._ingest.reading
            collection = None
            if reading is not None:
                row = connection.execute(
                    "SELECT name FROM collections WHERE id = ?", (reading.collection_id,)
                ).fetchone()
                collection = row[0] if row is not None else None
        to_embed, embedded, rate = self._vectors.figures()
        left = to_embed + unread_bytes * chunks_per_byte
        trouble = self._troubles.worst
        return Progress(
            waiting=waiting,
            reading=None if reading is None else reading.name,
            to_embed=to_embed,
            embedded=embedded,
            rate_per_s=rate,
            eta_s=left / rate if rate and left else None,
            embedder=self._shelf.open_default,
            index_kind=self._keeper.kind(),
            index_trouble=self._keeper.trouble,
            error=None if trouble is None else trouble.text,
            hint=None if trouble is None else trouble.hint,
            paused=self._bell.is_paused,
            collection=collection,
        )

    def is_busy(self) -> bool:
        """Whether there is work that this engine would do by itself.

        Watched folders are none: what changes in them while nobody is here is found by the walk at the next start.
        """
        if self._bell.is_paused:
            return False
        with self._reading() as store, store.read() as connection:
            waiting = connection.execute(
                "SELECT 1 FROM documents WHERE state IN ('waiting', 'reading') LIMIT 1"
            ).fetchone()
        return waiting is not None or self._vectors.figures()[0] > 0

    def wait(self, documents: Sequence[int], until: Literal["lexical", "ready"], seconds: float) -> bool:
        """Whether all of these can be found, or failed, within the time. They go before others meanwhile."""
        ends = ("ready", "failed") if until == "ready" else ("lexical", "ready", "failed")
        with self._reading() as store, store.read() as connection:
            left = deque(rows.unfinished(connection, documents, ends))
        self._ingest.hurry(left)
        if until == "ready":
            self._vectors.hurry(left)
        self._bell.ring()

        def are_there() -> bool:
            """Each is asked about until it is there and then no more: somebody may wait for many thousands."""
            with self._reading() as store, store.read() as connection:
                while left and not rows.unfinished(connection, [left[0]], ends):
                    left.popleft()
            return not left

        return self._bell.wait_until(are_there, seconds)

    def wait_until(self, is_so: Callable[[], bool], seconds: float) -> bool:
        """Asks whenever something was done; False after the time."""
        return self._bell.wait_until(is_so, seconds)

    def wait_until_idle(self, seconds: float) -> bool:
        """Whether everything there is to do was done within the time: reading, vectors, index and tidying."""
        return self._bell.wait_until(lambda: not self._is_anything_left(), seconds)

    def _is_anything_left(self) -> bool:
        with self._reading() as store, store.read() as connection:
            left = connection.execute(
                "SELECT EXISTS (SELECT 1 FROM documents WHERE state IN ('waiting', 'reading', 'lexical')) "
                "OR EXISTS (SELECT 1 FROM builds b LEFT JOIN collections c ON c.live_build = b.id WHERE c.id IS NULL) "
                "OR EXISTS (SELECT 1 FROM collections WHERE substr(name, 1, 1) = ?) "
                "OR EXISTS (SELECT 1 FROM leaving) ",
                (rows.GONE,),
            ).fetchone()[0]
            builds = rows.builds(connection)
        return bool(left) or any(self._keeper.is_behind(build) for build in builds)

    def pause(self) -> None:
        self._bell.is_paused = True
        self._bell.ring()
        self._tell_now()

    def resume(self) -> None:
        """Also tries again at once what failed: an embedder that did not answer, a model that was not there."""
        self._bell.is_paused = False
        self._troubles.clear()
        self._vectors.try_again()
        self._bell.ring()
        self._tell_now()

    # Collections

    def create(self, collection: str, *, tags: Sequence[str] = ()) -> int:
        """Its id; of the one that is there if there is one of that name."""
        with self._store.write(durable=True) as connection:
            return self._collection(connection, collection, tags)

    def rename(self, collection: str, name: str) -> None:
        found = self._store.collection(collection)
        _check_name(name)
        with self._store.write(durable=True) as connection:
            try:
                connection.execute("UPDATE collections SET name = ? WHERE id = ?", (name, found.id))
            except sqlite3.IntegrityError as error:
                raise RagError(f"There is a collection {name!r} already.", hint="Choose another name.") from error

    def tag(self, collection: str, tags: Sequence[str], documents: Sequence[int] | None = None) -> None:
        """Give a collection, or documents of it, these tags in the place of those it had."""
        found = self._store.collection(collection)
        packed = json.dumps(list(dict.fromkeys(tags)))
        with self._store.write(durable=True) as connection:
            if documents is None:
                connection.execute("UPDATE collections SET tags = ? WHERE id = ?", (packed, found.id))
            else:
                connection.executemany(
                    "UPDATE documents SET tags = ? WHERE id = ? AND collection_id = ?",
                    [(packed, document_id, found.id) for document_id in documents],
                )

    def agree(self, collection: str, embedder: str | None = None) -> None:
        """The texts of this collection may be sent to a remote embedder: this one, or the one of the settings."""
        found = self._store.collection(collection)
        name = self._shelf.default_name if embedder is None else embedder
        if name is None:
            raise NoModel("There is no embedder to agree to.", hint="Set one in [rag] embedder.")
        chosen = self._shelf.named(name)  # one that cannot be reached says so
        with self._store.write(durable=True) as connection:
            connection.execute("UPDATE collections SET agreed_embedder = ? WHERE id = ?", (chosen.identity, found.id))
        self._bell.ring()

    def forget(self, collection: str) -> None:
        """Remove a collection with all that is in it. The files stay."""
        found = self._store.collection(collection)
        with self._store.write(durable=True) as connection:
            connection.execute(
                "UPDATE collections SET name = ? || id || '-' || ?, live_build = NULL WHERE id = ?",
                (rows.GONE, self._clock_ms(), found.id),
            )
            connection.execute("DELETE FROM folders WHERE collection_id = ?", (found.id,))
            gone = [
                row[0] for row in connection.execute("SELECT id FROM documents WHERE collection_id = ?", (found.id,))
            ]
            connection.execute("UPDATE documents SET state = 'failed' WHERE collection_id = ?", (found.id,))
        self._watching.refresh()
        self._after_removal(gone)

    def _collection(self, connection: sqlite3.Connection, name: str, tags: Sequence[str] = ()) -> int:
        row = connection.execute("SELECT id FROM collections WHERE name = ?", (name,)).fetchone()
        if row is not None:
            return int(row[0])
        _check_name(name)
        return writes.add_collection(connection, name, self._clock_ms(), tags)

    # Documents

    def add(
        self,
        paths: Sequence[str],
        collection: str,
        *,
        tags: Sequence[str] = (),
        folder_id: int | None = None,
        allow_secrets: bool = False,
    ) -> Added:
        """Files and folders into a collection, which is made if there is none. Kept for good when this returns."""
        found = self._meant(paths, allow_secrets=allow_secrets)
        if not found.files:
            return Added((), found.skipped)
        with self._store.write(durable=True) as connection:
            collection_id = self._collection(connection, collection)
        moved = moves(self._store, collection_id, found.files, self._bell.stopping.is_set)
        with self._store.write(durable=True) as connection:
            kept = keep(
                connection,
                collection_id,
                found.files,
                self._clock_ms(),
                tags=tags,
                folder_id=folder_id,
                secrets_allowed=allow_secrets,
                moved=moved,
            )
        self._bell.ring()
        self._tell_now()
        return Added(kept.document_ids, found.skipped, len(kept.waiting))

    def _meant(
        self,
        paths: Sequence[str],
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        *,
        allow_secrets: bool = False,
    ) -> Meant:
        return meant(
            paths,
            include=include,
            exclude=exclude,
            make_reader=self._make_reader,
            limits=self._limits,
            secret_in=None if allow_secrets else self._secret_in,
            stopped=self._bell.stopping.is_set,
        )

    def add_text(self, document: DocumentText, url: str, collection: str, *, tags: Sequence[str] = ()) -> Added:
        """A text that was fetched from elsewhere; one of the same address is replaced."""
        if not is_elsewhere(url):
            raise RagError(f"{url!r} is not an address.", hint="Files are added by their path.")
        with self._store.write(durable=True) as connection:
            collection_id = self._collection(connection, collection)
            connection.execute(
                "INSERT INTO documents (collection_id, path, name, size_bytes, state, tags, added_at) "
                "VALUES (?, ?, ?, ?, 'waiting', ?, ?) ON CONFLICT (collection_id, path) "
                "DO UPDATE SET state = 'waiting', read_at = NULL, size_bytes = excluded.size_bytes, "
                "name = excluded.name",
                (
                    collection_id,
                    url,
                    document.name,
                    len(document.text.encode("utf-8", "surrogatepass")),
                    json.dumps(list(tags)),
                    self._clock_ms(),
                ),
            )
            document_id = connection.execute(
                "SELECT id FROM documents WHERE collection_id = ? AND path = ?", (collection_id, url)
            ).fetchone()[0]
            writes.write_text(connection, document_id, pack(document))
            writes.describe(connection, document_id, document, None)
        self._bell.ring()
        self._tell_now()
        return Added((document_id,), (), 1)

    def remove(self, collection: str, documents: Sequence[int] | None = None) -> int:
        """Documents out of a collection, or the whole collection. Returns how many documents; the files stay."""
        found = self._store.collection(collection)
        if documents is None:
            self.forget(collection)
            return found.documents
        removed = 0
        for at in range(0, len(documents), 50):  # in portions, so that others may write in between
            with self._store.write(durable=True) as connection:
                for document_id in documents[at : at + 50]:
                    row = connection.execute(
                        "SELECT 1 FROM documents WHERE id = ? AND collection_id = ?", (document_id, found.id)
                    ).fetchone()
                    if row is not None:
                        writes.remove_document(connection, document_id)
                        removed += 1
        self._after_removal(documents)
        return removed

    def _after_removal(self, documents: Sequence[int]) -> None:
        self._ingest.interrupt(documents)
        self._vectors.recount()
        self._bell.ring()
        self._tell_now()

    def move(self, collection: str, documents: Sequence[int], to: str) -> int:
        """Into another collection, which is made if there is none. Returns how many; those that are there stay."""
        found = self._store.collection(collection)
        count = 0
        with self._store.write(durable=True) as connection:
            target_id = self._collection(connection, to)
            for document_id in documents if target_id != found.id else ():
                row = connection.execute(
                    "SELECT path, same_as FROM documents WHERE id = ? AND collection_id = ?", (document_id, found.id)
                ).fetchone()
                if row is None:
                    continue
                if connection.execute(
                    "SELECT 1 FROM documents WHERE collection_id = ? AND path = ?", (target_id, row[0])
                ).fetchone():
                    continue
                if row[1] is None:
                    writes.bequeath(connection, document_id)
                connection.execute(
                    "UPDATE documents SET collection_id = ?, folder_id = NULL, same_as = NULL, state = 'waiting' "
                    "WHERE id = ?",
                    (target_id, document_id),
                )
                count += 1
        self._bell.ring()
        self._tell_now()
        return count

    def cancel(self, collection: str) -> int:
        """Take out what was added and is not finished, and give up a build under way. Returns how many documents."""
        found = self._store.collection(collection)
        with self._store.write(durable=True) as connection:
            unfinished = [
                row[0]
                for row in connection.execute(
                    "SELECT id FROM documents WHERE collection_id = ? AND was_ready = 0 "
                    "AND state IN ('waiting', 'reading', 'lexical')",
                    (found.id,),
                )
            ]
            live = rows.live_build(connection, found.id)
            newest = rows.newest_build(connection, found.id)
            if live is not None and newest is not None and newest.id != live.id:
                writes.give_up(connection, newest, self._clock_ms())
        return self.remove(collection, unfinished)

    def reindex(self, collection: str, embedder: str | None = None) -> None:
        """Read every document again; with another embedder or other rules than it has, build beside and swap."""
        found = self._store.collection(collection)
        chosen = self._shelf.for_new(found.id) if embedder is None else self._shelf.named(embedder)
        if embedder is not None:
            assert chosen is not None
            with self._store.write(durable=True) as connection:  # naming it for this collection is agreeing to it
                connection.execute(
                    "UPDATE collections SET agreed_embedder = ? WHERE id = ?", (chosen.identity, found.id)
                )
        self._build_beside(found.id, chosen)
        with self._store.write(durable=True) as connection:
            connection.execute(
                "UPDATE documents SET state = 'waiting', read_at = NULL WHERE collection_id = ? AND same_as IS NULL "
                "AND state <> 'reading'",
                (found.id,),
            )
        self._bell.ring()
        self._tell_now()

    def _build_beside(self, collection_id: int, embedder: Embedder | None) -> None:
        """Begin a build unless the newest one is made like that, or the collection has none at all yet."""
        with self._store.read() as connection:
            newest = rows.newest_build(connection, collection_id)
        if newest is None:
            return
        identity = None if embedder is None else embedder.identity
        if (newest.embedder, newest.chunking) != (identity, self._builds.chunking_for(embedder)):
            self._builds.begin(collection_id, embedder)
            self._bell.ring()

    def check(self, repair: bool = False) -> list[Finding]:
        """What is wrong with what is stored; with `repair` it is put right, from the texts or from the files."""
        from rag.checking import check

        findings = check(self._store, self._keeper, repair)
        if any(finding.is_repaired for finding in findings):
            self._vectors.recount()
            self._bell.ring()
        return findings

    # Folders

    def watch(
        self,
        collection: str,
        path: str,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        quiet_s: float = 2.0,
    ) -> Folder:
        """Keep the files below a folder in a collection as they change, once they were quiet for a while."""
        folder = Path(path).expanduser().absolute()
        if not folder.is_dir():
            raise Unreadable(f"{str(folder)!r} is not a folder.", hint="Name a folder that is there.")
        with self._store.write(durable=True) as connection:
            collection_id = self._collection(connection, collection)
            connection.execute(
                "INSERT INTO folders (collection_id, path, include, exclude, quiet_s) VALUES (?, ?, ?, ?, ?) "
                "ON CONFLICT (collection_id, path) DO UPDATE SET include = excluded.include, "
                "exclude = excluded.exclude, quiet_s = excluded.quiet_s",
                (collection_id, str(folder), json.dumps(list(include)), json.dumps(list(exclude)), quiet_s),
            )
            found = rows.folders(connection, "AND f.collection_id = ? AND f.path = ?", (collection_id, str(folder)))[0]
        self._watching.refresh()
        return found

    def unwatch(self, folder_id: int) -> None:
        """Its documents stay as they are."""
        with self._store.write(durable=True) as connection:
            if not connection.execute("DELETE FROM folders WHERE id = ?", (folder_id,)).rowcount:
                raise UnknownName(f"There is no watched folder {folder_id}.", hint="`hawser rag watch` lists them.")
        self._watching.refresh()

    def rescan(self, folder_id: int) -> None:
        """Bring a watched folder's documents up to what lies there: new, changed, moved and deleted files."""
        with self._store.read() as connection:
            folder = next(iter(rows.folders(connection, "AND f.id = ?", (folder_id,))), None)
        if folder is None or not Path(folder.path).is_dir():
            return  # a disk that is not there at the moment is no reason to forget its documents
        found = self._meant([folder.path], folder.include, folder.exclude)
        collection_id = self._store.collection_id(folder.collection)
        moved = moves(self._store, collection_id, found.files, self._bell.stopping.is_set)
        with self._store.write(durable=True) as connection:
            if not rows.folders(connection, "AND f.id = ?", (folder_id,)):
                return  # somebody ended it while it was walked
            kept = keep(connection, collection_id, found.files, self._clock_ms(), folder_id=folder_id, moved=moved)
            connection.execute("UPDATE folders SET scanned_at = ? WHERE id = ?", (self._clock_ms(), folder_id))
            known = connection.execute("SELECT id, path FROM documents WHERE folder_id = ?", (folder_id,)).fetchall()
        here = set(kept.document_ids)
        closed = {skipped.path for skipped in found.skipped}
        gone = [each for each, path in known if each not in here and _is_gone(path, closed)]
        if gone and Path(folder.path).is_dir():
            self.remove(folder.collection, gone)
        self._bell.ring()
        self._tell_now()

    # Questions

    def retrieve(self, wanted: Wanted) -> Retrieved:
        """Passages for a question. Without vectors, or when the embedder fails, by words, and it says so."""
        from rag.retrieve import MEASURED, retrieve

        embed_ms = 0.0
        questions: dict[str, Vectors] = {}
        notes: list[str] = []
        with self._reading() as store:

            def near(builds: Sequence[Build], count: int, only: Collection[int] | None) -> Sequence[tuple[int, float]]:
                nonlocal embed_ms
                identity = builds[0].embedder
                if identity is None or identity in failed:
                    return ()
                try:
                    if identity not in questions:
                        began = self._monotonic()
                        embedder = self._shelf.by_identity(identity)
                        questions[identity] = embedded(embedder, [wanted.text], "question")[0]
                        embed_ms += (self._monotonic() - began) * 1000
                    return self._keeper.nearest(store, builds, questions[identity], count, only, notes.append)
                except RagError as error:
                    log.warning("a question was not embedded: %s", error.text)
                    notes.append(f"Found by words only: {error.text}")
                    failed.add(identity)
                    return ()

            failed: set[str] = set()
            with store.read() as connection:
                retrieved = retrieve(
                    connection, wanted, near=near, rerank=self._rerank, weights=self._weights or MEASURED
                )
                used = {build.collection_id for build in store.live_builds(wanted.collections)}
        self._note_use(used)
        return retrieved._replace(
            notes=(*retrieved.notes, *notes),
            embed_ms=embed_ms,
            search_ms=max(0.0, retrieved.search_ms - embed_ms),
        )

    # Beside

    @contextmanager
    def _reading(self) -> Iterator[DocumentStore]:
        """A connection of one's own, so that readers wait for nobody."""
        with self._telling:
            store = self._readers.pop() if self._readers else None
        if store is None:
            store = DocumentStore.open(self._path, read_only=True)
        try:
            yield store
        finally:
            with self._telling:
                is_wanted = len(self._readers) < MOST_READERS and not self._bell.stopping.is_set()
                if is_wanted:
                    self._readers.append(store)
            if not is_wanted:
                store.close()

    def _tidy(self) -> bool:
        """Seldom enough that it costs nothing beside the work that rings the bell."""
        if self._is_untold:
            self._tell()
        if self._monotonic() - self._tidied_at < TELL_EVERY_S:
            return False
        self._write_use()
        did = self._upgrade_one() or self._tidying.work()
        if not did:
            self._tidied_at = self._monotonic()
        return did

    def _note_use(self, collection_ids: set[int]) -> None:
        """Written soon by the thread that tidies, so that no question waits for it."""
        with self._telling:
            is_new = not collection_ids <= self._used
            self._used |= collection_ids
        if is_new:
            self._bell.ring()

    def _write_use(self) -> None:
        with self._telling:
            used, self._used = self._used, set()
        if used:
            with self._store.write() as connection:
                connection.executemany(
                    "UPDATE collections SET used_at = ? WHERE id = ?", [(self._clock_ms(), each) for each in used]
                )

    def _tidy_rest_s(self) -> float:
        since = self._monotonic() - self._tidied_at
        return max(0.01, TELL_EVERY_S - since) if self._is_untold or since < TELL_EVERY_S else LONGEST_REST_S

    def _upgrade_one(self) -> bool:
        """A collection without vectors gets a build with some once there is an embedder for it."""
        with self._store.read() as connection:
            row = connection.execute(
                "SELECT c.id FROM collections c JOIN builds b ON b.id = c.live_build WHERE b.embedder IS NULL "
                "AND b.id = (SELECT max(id) FROM builds WHERE collection_id = c.id) AND substr(c.name, 1, 1) <> ?",
                (rows.GONE,),
            ).fetchall()
        for (collection_id,) in row:
            embedder = self._shelf.for_new(collection_id)
            if embedder is not None:
                self._build_beside(collection_id, embedder)
                return True
        return False

    def _embedder_trouble(self, error: RagError | None) -> None:
        if error is None:
            self._troubles.over("embedder")
        else:
            self._troubles.met("embedder", error)

    def _tell(self) -> None:
        """At most a few times in a second; the last state is always told."""
        with self._telling:
            now = self._monotonic()
            self._is_untold = now - self._told_at < TELL_EVERY_S
            if self._is_untold:
                return
            self._told_at = now
        self._tell_now()

    def _tell_now(self) -> None:
        if self._bell.stopping.is_set():
            return
        with self._telling_of_state:
            try:
                progress = self.status()
            except RagError as error:  # whoever does the work meets it too; telling of it must not end the work
                log.warning("the state of the documents cannot be told: %s", error.text)
                return
            self._on_progress(progress)


def _is_gone(path: str, closed: Container[str]) -> bool:
    """Of a document that a walk did not meet. Not every one went: it may be ignored since, or in a closed archive."""
    file, inside = split_member(path)
    return not Path(file).exists() or (bool(inside) and file not in closed)


def _check_name(name: str) -> None:
    if not name.strip() or len(name) > LONGEST_NAME or not name.isprintable() or "/" in name:
        raise RagError(
            f"{name[:LONGEST_NAME]!r} cannot be the name of a collection.",
            hint=f"Use up to {LONGEST_NAME} visible characters, without a slash.",
        )


def _chunks_per_byte(connection: sqlite3.Connection) -> float:
    """Of what was read so far; before anything was, of plain text."""
    chunks, read_bytes = connection.execute(
        "SELECT (SELECT count(*) FROM chunks), (SELECT total(size_bytes) FROM documents WHERE read_at IS NOT NULL)"
    ).fetchone()
    return chunks / read_bytes if read_bytes else 0.001
