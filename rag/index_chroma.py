"""The vector index in chromadb, through its public API, in a folder of this computer.

chromadb gives no error for much of what goes wrong (a graph that was deleted or cut short answers nothing), loses
vectors when two processes write, and waits for ever at a lock. Hence: one process opens the folder, under a lock of
ours and within a time limit; `fault` looks whether it finds what was put in; whatever is damaged is removed, because
it can be made anew. Each build has a folder of its own, named after the version of chromadb, the build, its stamp and
a life: what has another name is foreign or stale, and dropping a build gives its space back, which chromadb itself
does not. A folder that is made anew has another life, because chromadb remembers a path that it could not open.

Loads chromadb (0.8 s) with the first vector that is kept or asked for. Only vectors go in, never texts, and never an
embedding function: the library's own would fetch a model.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import sqlite3
import threading
from abc import ABC, abstractmethod
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from rag.documents import Build
from rag.errors import IndexBroken, IndexUnreachable
from rag.index_exact import SAME

if TYPE_CHECKING:
    from chromadb.api import ClientAPI
    from chromadb.api.models.Collection import Collection

    from rag.embedder import Vectors

T = TypeVar("T")
OPEN_LIMIT_S: Final = 20.0
MOST_OPEN: Final = 16
"""Builds that are open at once; each takes 10 MB and five threads."""
MOST_OPEN_VECTORS: Final = 400_000
"""Of all that are open: a graph takes some 3 kB of memory for each vector."""
MOST_AT_ONCE: Final = 128
"""Rows in one call: chromadb keeps the interpreter while it writes, and questions come in between."""
DEAD_ROWS: Final = 1000
SPACE: Final = {"hnsw": {"space": "cosine"}}
NEEDED_BYTES: Final = 32 << 20
MARKER: Final = "hawser.json"
_LOOKING: Final = "looked-at"


class Foreign(Exception):
    """What is there was made for another build."""


class Chroma(ABC):
    """What both ways have in common."""

    kind = "chromadb"

    def __init__(self) -> None:
        self._writing = threading.Lock()

    def add(self, build: Build, ids: Sequence[int], vectors: Vectors) -> None:
        if vectors.shape != (len(ids), build.dimension):
            raise ValueError(f"{vectors.shape} are not {len(ids)} vectors of {build.dimension}")
        with self._writing:
            client, collection = self._collection(build)
            most = min(MOST_AT_ONCE, self._call(build, client.get_max_batch_size))
            for start in range(0, len(ids), most):
                some = [str(number) for number in ids[start : start + most]]
                part = vectors[start : start + most]
                self._call(build, lambda some=some, part=part: collection.upsert(ids=some, embeddings=part))  # type: ignore[misc]
            self._added(build, len(ids))

    def remove(self, build: Build, ids: Sequence[int]) -> None:
        with self._writing:
            if not self.has(build):
                return
            client, collection = self._collection(build)
            most = min(MOST_AT_ONCE, self._call(build, client.get_max_batch_size))
            for start in range(0, len(ids), most):
                some = [str(number) for number in ids[start : start + most]]
                self._call(build, lambda some=some: collection.delete(ids=some))  # type: ignore[misc]

    def nearest(self, build: Build, vector: Vectors, count: int) -> list[tuple[int, float]]:
        if not self.has(build):
            return []
        _, collection = self._collection(build)
        question = vector.reshape(1, -1)
        found = self._call(
            build, lambda: collection.query(query_embeddings=question, n_results=count, include=["distances"])
        )
        distances = found["distances"] or [[]]
        return [(int(number), 1.0 - far) for number, far in zip(found["ids"][0], distances[0], strict=True)]

    def size(self, build: Build) -> int:
        if not self.has(build):
            return 0
        return int(self._call(build, self._collection(build)[1].count))

    def everything(self, build: Build, at_once: int = 5000) -> Iterator[tuple[list[int], Vectors]]:
        """All that is in it, in parts."""
        import numpy as np

        _, collection = self._collection(build)
        for start in range(0, self.size(build), at_once):
            part = self._call(
                build,
                lambda start=start: collection.get(limit=at_once, offset=start, include=["embeddings"]),  # type: ignore[misc]
            )
            yield [int(number) for number in part["ids"]], np.asarray(part["embeddings"], np.float32)

    def fault(self, build: Build, expected: int, samples: Sequence[tuple[int, Vectors]]) -> str | None:
        """Raises `IndexUnreachable` when a server is away: that is no fault of what it keeps."""
        if not expected and not self.has(build):
            return None
        try:
            size = self.size(build)
            if size != expected:
                return f"It holds {size:,} vectors where {expected:,} are stored."
            for number, vector in samples:
                found = self.nearest(build, vector, 1)
                if not found or (found[0][0] != number and found[0][1] < SAME):
                    return "It does not find what is in it."
        except IndexUnreachable:
            raise
        except IndexBroken as error:
            return error.text
        return self._dead(build, size)

    def kind_of(self, build: Build) -> str:
        return self.kind

    @abstractmethod
    def has(self, build: Build) -> bool:
        """Whether anything was ever put in; without it, nothing is opened only to be asked."""

    @abstractmethod
    def _collection(self, build: Build) -> tuple[ClientAPI, Collection]: ...

    @abstractmethod
    def _call(self, build: Build, call: Callable[[], T]) -> T:
        """Whatever goes wrong in it comes out as `IndexBroken`."""

    @abstractmethod
    def _added(self, build: Build, count: int) -> None: ...

    @abstractmethod
    def _dead(self, build: Build, size: int) -> str | None: ...


class _Open(NamedTuple):
    path: Path
    client: ClientAPI
    collection: Collection


class ChromaIndex(Chroma):
    """Folders under one folder, held by this process alone. A `VectorIndex`.

    `IndexBroken` from it means that the build's folder has been removed: it is empty, and wants all its vectors again.
    """

    def __init__(self, folder: Path, *, open_limit_s: float = OPEN_LIMIT_S) -> None:
        super().__init__()
        self._folder = folder
        self._open_limit_s = open_limit_s
        self._opening = threading.RLock()
        self._open: OrderedDict[str, _Open] = OrderedDict()
        self._in_use: Counter[str] = Counter()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._held = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._held)
            raise IndexUnreachable("The vector index is in use by another process.") from error
        self._sweep()

    def has(self, build: Build) -> bool:
        return build.stamp in self._open or self._path(build) is not None

    def fault(self, build: Build, expected: int, samples: Sequence[tuple[int, Vectors]]) -> str | None:
        """Damaged files may end the whole process when they are first looked at. Then a mark is left, and the next
        process makes the index anew instead of looking again."""
        path = self._path(build)
        if path is None:
            return super().fault(build, expected, samples)
        mark = path / _LOOKING
        if mark.exists() and build.stamp not in self._open:
            self._remove(path)
            return "A process ended while it looked at it."
        with suppress(OSError):
            mark.touch()
        try:
            return super().fault(build, expected, samples)
        finally:
            mark.unlink(missing_ok=True)

    def drop(self, build_id: int) -> None:
        for path in self._folder.glob(f"chroma-*-{build_id}-*-*"):
            self._remove(path)

    def close(self) -> None:
        with self._opening:
            for opened in self._open.values():
                close_client(opened.client)
            self._open.clear()
            if self._held >= 0:
                os.close(self._held)
                self._held = -1

    def _sweep(self) -> None:
        """Remove what another version of chromadb made, and what could not be removed before."""
        ours = f"chroma-{_version()}-"
        for path in self._folder.iterdir():
            if path.name.startswith("aside-") or (path.name.startswith("chroma-") and not path.name.startswith(ours)):
                shutil.rmtree(path, ignore_errors=True)

    def _path(self, build: Build) -> Path | None:
        return next(self._folder.glob(f"chroma-{_version()}-{build.id}-{build.stamp}-*"), None)

    def _collection(self, build: Build) -> tuple[ClientAPI, Collection]:
        with self._opening:
            opened = self._open.get(build.stamp)
            if opened is not None:
                self._open.move_to_end(build.stamp)
                return opened.client, opened.collection
            path = self._path(build)
            for other in self._folder.glob(f"chroma-*-{build.id}-*-*"):
                if other != path:  # of another library, or an older life of this one
                    self._remove(other)
            if path is None:
                life = os.urandom(4).hex()
                path = self._folder / f"chroma-{_version()}-{build.id}-{build.stamp}-{life}"
                path.mkdir(mode=0o700)
                _write_marker(path, 0)
            elif _read_marker(path) and not (path / "chroma.sqlite3").exists():
                raise self._broken(path, None, "its database is gone")
            self._close_some()
            try:
                self._probe(path / "chroma.sqlite3")
                client, collection = _open_folder(path, build)
            except Exception as error:  # see `_call`
                raise self._broken(path, None, str(error)) from error
            self._open[build.stamp] = _Open(path, client, collection)
            return client, collection

    def _probe(self, file: Path) -> None:
        """Whether its database can be locked and begins like one. chromadb would wait for ever, and nobody could stop
        it: it keeps the whole interpreter meanwhile. Only before it has opened the file: closing a file here would
        take away the locks that it has on it."""
        if file.exists():
            with closing(sqlite3.connect(file, timeout=self._open_limit_s, isolation_level=None)) as connection:
                connection.execute("BEGIN EXCLUSIVE")
                connection.execute("SELECT count(*) FROM sqlite_master")
                connection.execute("ROLLBACK")

    def _call(self, build: Build, call: Callable[[], T]) -> T:
        with self._opening:
            opened = self._open.get(build.stamp)
            self._in_use[build.stamp] += 1
        try:
            return call()
        except IndexBroken:
            raise
        except Exception as error:  # its errors have no common base, and which of them comes is not said anywhere
            raise self._broken(opened and opened.path, opened, str(error)) from error
        except BaseException as error:
            if type(error).__name__ == "PanicException":  # of its Rust part; no `Exception`
                raise self._broken(opened and opened.path, opened, str(error)) from error
            raise
        finally:
            with self._opening:
                self._in_use[build.stamp] -= 1

    def _broken(self, path: Path | None, opened: _Open | None, why: str) -> IndexBroken:
        if shutil.disk_usage(self._folder).free < NEEDED_BYTES:
            return IndexBroken("The disk is full, so that the vector index cannot be written.", hint="Make room.")
        if path is None or (opened is not None and opened not in self._open.values()):
            return IndexBroken("The vector index was dropped while it was asked.")
        self._remove(path)
        return IndexBroken(f"The vector index was damaged: {' '.join(why.split())[:200].rstrip('.')}.")

    def _remove(self, path: Path) -> None:
        """Out of the way at once, even when a thread hangs in it."""
        with self._opening:
            for name in [name for name, opened in self._open.items() if opened.path == path]:
                close_client(self._open.pop(name).client)
            aside = path.with_name(f"aside-{os.urandom(6).hex()}")
            try:
                path.rename(aside)
            except FileNotFoundError:
                return
        shutil.rmtree(aside, ignore_errors=True)

    def _close_some(self) -> None:
        """Make room for one more: close the longest unused, never those that are in use."""
        added = {name: _read_marker(opened.path) for name, opened in self._open.items()}
        for name in [name for name in self._open if not self._in_use[name]]:
            if len(self._open) < MOST_OPEN and sum(added.values()) < MOST_OPEN_VECTORS:
                return
            del added[name]
            close_client(self._open.pop(name).client)

    def _added(self, build: Build, count: int) -> None:
        if (path := self._path(build)) is not None:
            _write_marker(path, _read_marker(path) + count)

    def _dead(self, build: Build, size: int) -> str | None:
        path = self._path(build)
        added = 0 if path is None else _read_marker(path)
        if added > 2 * size + DEAD_ROWS:
            return f"It takes the room of {added:,} vectors for {size:,}."
        return None


@cache
def _version() -> str:
    """Without loading it."""
    from importlib.metadata import version

    return version("chromadb")


def settings(**more: Any) -> Any:
    from chromadb.config import Settings

    return Settings(anonymized_telemetry=False, **more)


def _open_folder(path: Path, build: Build) -> tuple[ClientAPI, Collection]:
    import chromadb

    client = chromadb.PersistentClient(str(path), settings=settings())
    try:
        return client, collection_of(client, "vectors", build)
    except BaseException:
        close_client(client)
        raise


def collection_of(client: ClientAPI, name: str, build: Build) -> Collection:
    """The collection, made if it is not there."""
    about = {"build": build.id, "stamp": build.stamp}
    collection = client.get_or_create_collection(name, metadata=about, configuration=SPACE, embedding_function=None)
    metadata = collection.metadata or {}
    if metadata.get("stamp") != build.stamp:
        raise Foreign("it is another library's")
    return collection


def close_client(client: ClientAPI) -> None:
    client.close()


def _read_marker(path: Path) -> int:
    try:
        return int(json.loads((path / MARKER).read_bytes())["added"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0


def _write_marker(path: Path, added: int) -> None:
    fresh = path / f"{MARKER}.fresh"
    fresh.write_text(json.dumps({"added": added}))
    fresh.replace(path / MARKER)
