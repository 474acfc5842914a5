"""A look at a file that is to be a document: is it what is stored, has another the same bytes, or what does it hold?"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, NamedTuple, Protocol

from rag.errors import RagError, Unreadable
from rag.readers import DocumentText, Limits, split_member
from rag.store import DocumentStore
from rag.walk import Found, look

if TYPE_CHECKING:
    from rag.reading.archive import Member

TRIES = 3
"""How often a file is read that changes meanwhile."""
_FRESH_NS = 2_000_000_000
"""A file changed so shortly before it was read may have changed again without a later time."""
_PIECE = 1 << 20


class Reads(Protocol):
    """A `rag.readers.Reader`."""

    def read(self, path: str, limits: Limits = ...) -> DocumentText: ...

    def members(self, path: str, limits: Limits = ...) -> Sequence[Member]: ...

    def interrupt(self) -> None:
        """While another thread reads, which then fails."""

    def close(self) -> None: ...


SecretIn = Callable[[str, str | None], str | None]
"""Given a path, and the text once it is there: what kind of secret it seems to hold, in words."""


class Waiting(NamedTuple):
    """A document that is to be read."""

    id: int
    collection_id: int
    path: str
    name: str
    size_bytes: int | None
    modified_ns: int | None
    sha256: str | None
    same_as: int | None
    secrets_allowed: int
    read_at: int | None
    """None also when it shall be read again whatever it holds."""


class Taken(NamedTuple):
    size_bytes: int | None
    modified_ns: int | None
    sha256: str | None
    text: DocumentText | None = None
    """None if it has the bytes of `same_as`, or is stored and prepared already."""
    same_as: int | None = None


def is_unchanged(file: Found, size_bytes: int | None, modified_ns: int | None, read_at_ms: int | None) -> bool:
    """Whether a file is surely what it was when it was read, by its looks."""
    return (
        read_at_ms is not None
        and (file.size_bytes, file.modified_ns) == (size_bytes, modified_ns)
        and file.modified_ns < read_at_ms * 1_000_000 - _FRESH_NS
    )


def is_elsewhere(path: str) -> bool:
    """Whether a document is no file of this computer; its text was given."""
    return "://" in path


def file_of(path: str) -> str:
    """The file in which a document is: for one in an archive, the archive."""
    return split_member(path)[0]


class Taker:
    """Used by one thread; `interrupt` by others."""

    def __init__(
        self,
        store: DocumentStore,
        make_reader: Callable[[], Reads],
        limits: Limits,
        secret_in: SecretIn | None,
        stopping: Event,
    ) -> None:
        self._store = store
        self._make_reader = make_reader
        self._limits = limits
        self._secret_in = secret_in
        self._stopping = stopping
        self._reader: Reads | None = None

    def take(self, waiting: Waiting, *, is_prepared: bool) -> Taken:
        """`is_prepared` says that it has its chunks in every build. Raises `RagError` with the reason."""
        taken = self._look(waiting, is_prepared)
        if taken.text is not None and self._secret_in is not None and not waiting.secrets_allowed:
            secret = self._secret_in(waiting.path, taken.text.text)
            if secret is not None:
                raise Unreadable(
                    f"{waiting.name!r} seems to hold {secret}; it was left out.",
                    hint="Add it again and allow secrets if it shall be found.",
                )
        return taken

    def interrupt(self) -> None:
        """Let what is being read fail."""
        reader = self._reader
        if reader is not None:
            reader.interrupt()

    def close(self) -> None:
        """By the thread that takes."""
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()

    def _look(self, waiting: Waiting, is_prepared: bool) -> Taken:
        as_stored = Taken(waiting.size_bytes, waiting.modified_ns, waiting.sha256)
        if is_elsewhere(waiting.path):
            is_fresh = waiting.read_at is None or not is_prepared
            return as_stored._replace(text=self._store.text(waiting.id) if is_fresh else None)
        stored = None if is_prepared or waiting.same_as is not None else self._stored(waiting.id)
        file, inside = split_member(waiting.path)
        is_member = bool(inside)
        for turn in range(1, TRIES + 1):
            try:
                before = _as_of(waiting, look(file), is_member)
            except OSError as error:
                if stored is not None:
                    return as_stored._replace(text=stored)  # it went, and nobody asked to forget it
                raise _unreadable(waiting.path, error.strerror or str(error)) from error
            except ValueError as error:
                raise _unreadable(waiting.path, str(error)) from error
            seen = Taken(before.size_bytes, before.modified_ns, None)
            has_own = is_prepared or stored is not None
            if has_own and is_unchanged(before, waiting.size_bytes, waiting.modified_ns, waiting.read_at):
                return as_stored._replace(text=stored, same_as=waiting.same_as)
            if not is_member and before.size_bytes <= self._limits.size_bytes:
                seen = seen._replace(sha256=self._hash(file))
                if (same_as := self._same_bytes(waiting, seen.sha256)) is not None:
                    return seen._replace(same_as=same_as)
                if has_own and waiting.same_as is None and waiting.read_at and seen.sha256 == waiting.sha256:
                    return seen._replace(text=stored)
            text = self._read(waiting.path)
            try:
                after: Found | None = _as_of(waiting, look(file), is_member)
            except (OSError, ValueError):
                after = None  # gone, but read
            if after is None or after == before:
                return seen._replace(text=text)
            if turn == TRIES:
                note = "It changed while it was read; add it again when it is finished."
                return seen._replace(text=text._replace(notes=(*text.notes, note)), sha256=None)
        raise AssertionError("the last turn returns")

    def _read(self, path: str) -> DocumentText:
        reader = self._reader
        if reader is None:
            reader = self._reader = self._make_reader()
        if self._stopping.is_set():
            raise Unreadable("The program ends.")
        return reader.read(path, self._limits)

    def _stored(self, document_id: int) -> DocumentText | None:
        try:
            return self._store.text(document_id)
        except RagError:  # not there, or damaged: the file is read again
            return None

    def _same_bytes(self, waiting: Waiting, sha256: str | None) -> int | None:
        """Another document of the collection that was read and holds the same."""
        with self._store.read() as connection:
            row = connection.execute(
                "SELECT id FROM documents WHERE collection_id = ? AND sha256 = ? AND id <> ? AND same_as IS NULL "
                "AND state IN ('lexical', 'ready') ORDER BY id LIMIT 1",
                (waiting.collection_id, sha256, waiting.id),
            ).fetchone()
        return None if row is None else int(row[0])

    def _hash(self, file: str) -> str:
        try:
            return hash_of(file, self._stopping.is_set)
        except OSError as error:
            raise _unreadable(file, error.strerror or str(error)) from error


def _as_of(waiting: Waiting, file: Found, is_member: bool) -> Found:
    """A file in an archive is as new as the archive; its own size was told with its name."""
    return file._replace(size_bytes=waiting.size_bytes or 0) if is_member else file


def hash_of(file: str, stopped: Callable[[], bool] = bool) -> str:
    made = hashlib.sha256()
    with Path(file).open("rb") as opened:
        while piece := opened.read(_PIECE):
            made.update(piece)
            if stopped():
                raise Unreadable("The program ends.")
    return made.hexdigest()


def _unreadable(path: str, reason: str) -> Unreadable:
    return Unreadable(f"{path!r} cannot be read: {reason}.", hint="It may have been moved; add it where it is.")
