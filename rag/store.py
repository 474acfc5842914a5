"""The door to `documents.db`: opening it, transactions, and everything that is read for display.

One process writes, the one that owns the documents (`engine.py`); any may read at the same time. A write is one
immediate transaction and done when its block ends. What SQLite says comes out as `LibraryBroken` with a sentence.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING

from rag import rows, schema
from rag.errors import LibraryBroken, UnknownName
from rag.store_trouble import translate, translate_os

if TYPE_CHECKING:
    from rag.documents import Build, Collection, Document, Folder
    from rag.readers import DocumentText

BUSY_S = 10.0
"""How long a call waits for another process to let go of the file."""

_UNREAD = "AND d.state IN ('waiting', 'reading', 'lexical') AND d.state <> 'lexical' AND d.collection_id = ? LIMIT ?"
"""All three states are named because the index over them is of these."""


class DocumentStore:
    """Open it with `open`. May be used from several threads, one at a time; a lock sees to it."""

    def __init__(self, path: Path, connection: sqlite3.Connection, file_id: tuple[int, int] | None) -> None:
        self.path = path
        self.connection = connection
        self._file_id = file_id
        self._lock = RLock()

    @classmethod
    def open(cls, path: Path, *, read_only: bool = False, busy_s: float = BUSY_S) -> DocumentStore:
        """Takes a few milliseconds however large the file is.

        For reading, a file that is not there is an empty store and is not made.
        """
        try:
            connection, file_id = _for_reading(path, busy_s) if read_only else _for_writing(path, busy_s)
        except sqlite3.Error as error:
            raise translate(error, path) from error
        except OSError as error:
            raise translate_os(error, path) from error
        return cls(path, connection, file_id)

    def close(self) -> None:
        with self._lock:
            self.connection.close()

    def is_current(self) -> bool:
        """Whether the file that is open still stands at its path; one that was missing may be there by now."""
        try:
            about = self.path.stat()
        except OSError:
            return self._file_id is None
        return self._file_id == (about.st_dev, about.st_ino)

    @contextmanager
    def write(self, *, durable: bool = False) -> Iterator[sqlite3.Connection]:
        """One transaction, committed at the end of the block and undone if it raises.

        A killed process loses nothing that was committed; with `durable` a power cut does not either.
        """
        with self._lock, self._told():
            self.connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                yield self.connection
                self.connection.execute("COMMIT")
            except BaseException:
                self._undo()
                raise

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """Several statements that see the same state."""
        with self._lock, self._told():
            if self.connection.in_transaction:
                yield self.connection
                return
            self.connection.execute("BEGIN")
            try:
                yield self.connection
            finally:
                self._undo()

    def _undo(self) -> None:
        if self.connection.in_transaction:  # a damaged file or a failing disk may have ended it
            self.connection.execute("ROLLBACK")

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise translate(error, self.path) from error

    # What is read for display

    def collections(self) -> list[Collection]:
        with self.read() as connection:
            return rows.collections(connection, "ORDER BY c.name COLLATE NOCASE")

    def collection(self, name: str) -> Collection:
        """By its name, case aside; `UnknownName` names the ones it may have been meant to be."""
        with self.read() as connection:
            for found in rows.collections(connection, "AND c.name = ?", (name,)):
                return found
            names = [found.name for found in rows.collections(connection, "ORDER BY c.name COLLATE NOCASE")]
        raise unknown_collection(name, names)

    def collection_id(self, name: str) -> int:
        """The same without counting what is in it."""
        with self.read() as connection:
            row = connection.execute("SELECT id FROM collections WHERE name = ?", (name,)).fetchone()
        return int(row[0]) if row is not None else self.collection(name).id

    def embedders_of(self, name: str) -> tuple[str | None, str | None]:
        """What a collection is embedded with, and what its text may be sent to; of one that is not there, nothing."""
        with self.read() as connection:
            row = connection.execute(
                "SELECT b.embedder, c.agreed_embedder FROM collections c LEFT JOIN builds b ON b.id = c.live_build "
                "WHERE c.name = ?",
                (name,),
            ).fetchone()
        return (None, None) if row is None else (row[0], row[1])

    def documents(
        self,
        collection: str | None = None,
        *,
        after: int = 0,
        most: int = 500,
        matching: str = "",
        skip: int = 0,
    ) -> list[Document]:
        """In the order in which they were added; `after` is the id of the last one that is already known, and `skip`
        is how many are passed over after that."""
        ending, values = self._chosen(collection, after, matching)
        with self.read() as connection:
            # The ids first: what is passed over needs none of the figures.
            chosen = f"SELECT d.id FROM documents d WHERE true {ending} ORDER BY d.id LIMIT ? OFFSET ?"  # noqa: S608
            return rows.documents(connection, f"AND d.id IN ({chosen}) ORDER BY d.id", (*values, most, skip))

    def count(self, collection: str, matching: str = "") -> int:
        """How many documents of a collection have these words in their path."""
        ending, values = self._chosen(collection, 0, matching)
        with self.read() as connection:
            found = connection.execute(f"SELECT count(*) FROM documents d WHERE true {ending}", values)  # noqa: S608
            return int(found.fetchone()[0])

    def _chosen(self, collection: str | None, after: int, matching: str) -> tuple[str, list[int | str]]:
        ending = "AND d.id > ?"
        values: list[int | str] = [after]
        if collection is not None:
            ending += " AND d.collection_id = ?"
            values.append(self.collection_id(collection))
        if matching:
            ending += " AND instr(lower(d.path), lower(?)) > 0"
            values.append(matching)
        return ending, values

    def document(self, document_id: int) -> Document:
        with self.read() as connection:
            for found in rows.documents(connection, "AND d.id = ?", (document_id,)):
                return found
        raise UnknownName(f"There is no document {document_id}.", hint="It was probably removed.")

    def at_path(self, collection: str, path: str) -> Document | None:
        with self.read() as connection:
            found = rows.documents(connection, "AND c.name = ? AND d.path = ?", (collection, path))
        return found[0] if found else None

    def unread(self, collection: str, most: int) -> list[Document]:
        """Those that wait to be read, or are being read."""
        with self.read() as connection:
            return rows.documents(connection, _UNREAD, (self.collection_id(collection), most))

    def text(self, document_id: int) -> DocumentText:
        """What was read from a document; `LibraryBroken` if what is stored makes no sense."""
        from rag.layout import unpack

        document = self.document(document_id)
        with self.read() as connection:
            row = connection.execute(
                "SELECT text, layout FROM texts WHERE document_id = ?", (document.same_as or document_id,)
            ).fetchone()
        if row is None:
            raise UnknownName(
                f"The text of {document.name!r} is not there{' yet' if document.state != 'failed' else ''}.",
                hint=document.hint if document.state == "failed" else "It is waiting to be read.",
            )
        return unpack(document.name, row[0], row[1], document.notes)

    def folders(self) -> list[Folder]:
        with self.read() as connection:
            return rows.folders(connection, "ORDER BY f.path")

    def live_builds(self, names: tuple[str, ...] = ()) -> list[Build]:
        """Of the collections of these names, or of all."""
        with self.read() as connection:
            if names:
                ids = [self.collection_id(name) for name in names]
                return [build for each in ids if (build := rows.live_build(connection, each)) is not None]
            return rows.builds(connection, "WHERE id IN (SELECT live_build FROM collections) ORDER BY id")


def unknown_collection(name: str, names: list[str]) -> UnknownName:
    from difflib import get_close_matches

    near = get_close_matches(name.lower(), [each.lower() for each in names], 3, 0.5)
    shown = [each for each in names if each.lower() in near]
    if shown:
        hint = "Did you mean " + " or ".join(repr(each) for each in shown) + "?"
    elif names:
        hint = "There are " + ", ".join(repr(each) for each in names[:8]) + (" and more." if len(names) > 8 else ".")
    else:
        hint = "There are no collections yet; `hawser rag add PATH` makes one."
    return UnknownName(f"There is no collection {name!r}.", hint=hint)


def _for_reading(path: Path, busy_s: float) -> tuple[sqlite3.Connection, tuple[int, int] | None]:
    try:
        about = path.stat()
    except FileNotFoundError:
        empty = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        _make(empty)
        return empty, None
    where = path.absolute().as_uri()
    connection = _connect(f"{where}?mode=ro", busy_s)
    try:
        try:
            _check(connection, path)
        except sqlite3.OperationalError as error:
            # On a disk that cannot be written the shared-memory file of the log cannot be made. Without a log beside
            # it, the file is complete and can be read as it stands.
            unwritable = getattr(error, "sqlite_errorcode", 0) & 0xFF in (
                sqlite3.SQLITE_CANTOPEN,
                sqlite3.SQLITE_READONLY,
            )
            if not unwritable or path.with_name(path.name + "-wal").exists():
                raise
            connection.close()
            connection = _connect(f"{where}?immutable=1", busy_s)
            _check(connection, path)
        if connection.execute("PRAGMA user_version").fetchone()[0] == 0:  # somebody is just making it
            connection.close()
            connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
            _make(connection)
            return connection, None
    except BaseException:
        connection.close()
        raise
    return connection, (about.st_dev, about.st_ino)


def _for_writing(path: Path, busy_s: float) -> tuple[sqlite3.Connection, tuple[int, int]]:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    about = path.stat()
    connection = _connect(path.absolute().as_uri(), busy_s)
    try:
        _check(connection, path)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA fullfsync = ON")  # without it macOS leaves what was synced in the disk's own memory
        connection.execute("PRAGMA journal_size_limit = 67108864")
        if connection.execute("PRAGMA user_version").fetchone()[0] == 0:
            _make(connection)
    except BaseException:
        connection.close()
        raise
    return connection, (about.st_dev, about.st_ino)


def _connect(where: str, busy_s: float) -> sqlite3.Connection:
    return sqlite3.connect(where, timeout=busy_s, isolation_level=None, check_same_thread=False, uri=True)


def _check(connection: sqlite3.Connection, path: Path) -> None:
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if application == schema.APPLICATION_ID and version > schema.VERSION:
        raise LibraryBroken(
            f"The documents {str(path)!r} were written by a later version of this program.",
            hint="Use that version, or set HAWSER_HOME to another folder.",
        )
    if application == schema.APPLICATION_ID and version == schema.VERSION:
        return
    if application or version or connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
        raise LibraryBroken(
            f"{str(path)!r} is a database of another program.", hint="Move it away; it will not be touched."
        )


def _make(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        if connection.execute("PRAGMA user_version").fetchone()[0] == 0:  # nobody else was faster
            for statement in _statements(schema.FRESH):
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {schema.VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _statements(script: str) -> Iterator[str]:
    """One at a time, because `executescript` would commit in between."""
    gathered = ""
    for line in script.splitlines(keepends=True):
        gathered += line
        if sqlite3.complete_statement(gathered):
            yield gathered
            gathered = ""
