"""The vector index in chromadb, through its public API: in a folder of this computer, or on a chroma server.

chromadb gives no error for much of what goes wrong (a graph that was deleted or cut short answers nothing), loses
vectors when two processes write, and waits for ever at a lock. Hence: one process opens the folder, under a lock of
ours and within a time limit; `fault` looks whether it finds what was put in; whatever is damaged is removed, because
it can be made anew. Each build has a folder of its own, named after the version of chromadb, the build and its stamp:
what has another name is foreign or stale, and dropping a build gives its space back, which chromadb itself does not.

Loads chromadb (0.8 s) with the first vector that is kept or asked for. Only vectors go in, never texts, and never an
embedding function: the library's own would fetch a model.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import threading
from abc import ABC, abstractmethod
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from rag.documents import Build
from rag.errors import IndexBroken, IndexUnreachable
from rag.index_exact import SAME

if TYPE_CHECKING:
    from chromadb.api import ClientAPI
    from chromadb.api.models.Collection import Collection

    from rag.embedder import Vectors

T = TypeVar("T")
OPEN_LIMIT_S: Final = 20.0
CALL_LIMIT_S: Final = 30.0
"""For one call to a server; chromadb itself waits for ever."""
MOST_OPEN: Final = 16
"""Builds that are open at once; each takes 10 MB and five threads."""
MOST_OPEN_VECTORS: Final = 400_000
"""Of all that are open: a graph takes some 3 kB of memory for each vector."""
MOST_AT_ONCE: Final = 1000
"""Rows in one call, so that questions come in between."""
DEAD_ROWS: Final = 1000
SPACE: Final = {"hnsw": {"space": "cosine"}}
NEEDED_BYTES: Final = 32 << 20
MARKER: Final = "hawser.json"


class _Foreign(Exception):
    """What is there was made for another build."""


class _Chroma(ABC):
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
        return self._call(build, self._collection(build)[1].count)

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


class ChromaIndex(_Chroma):
    """Folders under one folder, held by this process alone. A `VectorIndex`.

    `IndexBroken` from it means that the build's folder has been removed: it is empty, and wants all its vectors again.
    """

    def __init__(self, folder: Path, *, open_limit_s: float = OPEN_LIMIT_S) -> None:
        super().__init__()
        self._folder = folder
        self._open_limit_s = open_limit_s
        self._opening = threading.RLock()
        self._open: OrderedDict[str, tuple[ClientAPI, Collection]] = OrderedDict()
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
        return (self._folder / _folder_name(build)).is_dir()

    def drop(self, build_id: int) -> None:
        with self._opening:
            for path in self._folder.glob(f"chroma-*-{build_id}-*"):
                self._remove(path)

    def close(self) -> None:
        with self._opening:
            for client, _ in self._open.values():
                _close(client)
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

    def _collection(self, build: Build) -> tuple[ClientAPI, Collection]:
        name = _folder_name(build)
        with self._opening:
            if name in self._open:
                self._open.move_to_end(name)
                return self._open[name]
            path = self._folder / name
            for other in self._folder.glob(f"chroma-*-{build.id}-*"):
                if other != path:  # of another library, or an older life of this one
                    self._remove(other)
            if not path.is_dir():
                path.mkdir(mode=0o700)
                _write_marker(path, 0)
            elif (path / MARKER).exists() and not (path / "chroma.sqlite3").exists() and _read_marker(path):
                raise self._broken(name, None, "its database is gone")
            self._close_some()
            opened = self._call(build, lambda: within(self._open_limit_s, lambda: _open_folder(path, build)))
            self._open[name] = opened
            return opened

    def _call(self, build: Build, call: Callable[[], T]) -> T:
        name = _folder_name(build)
        with self._opening:
            before = self._open.get(name)
            self._in_use[name] += 1
        try:
            return call()
        except IndexBroken:
            raise
        except TimeoutError as error:
            raise self._broken(name, before, f"it cannot be opened within {self._open_limit_s:g} s") from error
        except Exception as error:  # its errors have no common base, and which of them comes is not said anywhere
            raise self._broken(name, before, str(error)) from error
        except BaseException as error:
            if type(error).__name__ == "PanicException":  # of its Rust part; no `Exception`
                raise self._broken(name, before, str(error)) from error
            raise
        finally:
            with self._opening:
                self._in_use[name] -= 1

    def _broken(self, name: str, before: object, why: str) -> IndexBroken:
        if shutil.disk_usage(self._folder).free < NEEDED_BYTES:
            return IndexBroken("The disk is full, so that the vector index cannot be written.", hint="Make room.")
        with self._opening:
            if self._open.get(name) is not before:  # it was dropped meanwhile, and may be there anew
                return IndexBroken("The vector index was dropped while it was asked.")
        self._remove(self._folder / name)
        return IndexBroken(f"The vector index was damaged and is made anew: {' '.join(why.split())[:200]}.")

    def _remove(self, path: Path) -> None:
        """Out of the way at once, even when a thread hangs in it."""
        with self._opening:
            opened = self._open.pop(path.name, None)
            aside = path.with_name(f"aside-{os.urandom(6).hex()}")
            try:
                path.rename(aside)
            except FileNotFoundError:
                aside = path
        if opened is not None:
            _close(opened[0])
        shutil.rmtree(aside, ignore_errors=True)

    def _close_some(self) -> None:
        """Make room for one more: close the longest unused, never those that are in use."""
        added = {name: _read_marker(self._folder / name) for name in self._open}
        for name in [name for name in self._open if not self._in_use[name]]:
            if len(self._open) < MOST_OPEN and sum(added.values()) < MOST_OPEN_VECTORS:
                return
            del added[name]
            _close(self._open.pop(name)[0])

    def _added(self, build: Build, count: int) -> None:
        path = self._folder / _folder_name(build)
        _write_marker(path, _read_marker(path) + count)

    def _dead(self, build: Build, size: int) -> str | None:
        added = _read_marker(self._folder / _folder_name(build))
        if added > 2 * size + DEAD_ROWS:
            return f"It takes the room of {added:,} vectors for {size:,}."
        return None


class ChromaServerIndex(_Chroma):
    """Collections on a chroma server, under the name of this library. A `VectorIndex`.

    `IndexUnreachable` when it does not answer: nothing is lost then. Collections of others are never touched.
    """

    def __init__(self, url: str, library: str, *, token: str | None = None, call_limit_s: float = CALL_LIMIT_S) -> None:
        """`library` is letters and digits that no other library on this server has."""
        super().__init__()
        self._url = url
        self._library = library
        self._token = token
        self._call_limit_s = call_limit_s
        self._opening = threading.Lock()
        self._client: ClientAPI | None = None
        self._collections: dict[str, Collection] = {}
        self.kind = f"chroma server at {url}"

    def has(self, build: Build) -> bool:
        return self._name(build) in self._collections or any(each.name == self._name(build) for each in self._listed())

    def drop(self, build_id: int) -> None:
        client = self._connected()
        ours = f"hawser-{self._library}-{build_id}-"
        for each in self._listed():
            if each.name.startswith(ours):
                self._collections.pop(each.name, None)
                self._limited(lambda name=each.name: client.delete_collection(name))  # type: ignore[misc]

    def _added(self, build: Build, count: int) -> None:
        """The server looks after its own space."""

    def _dead(self, build: Build, size: int) -> str | None:
        return None

    def close(self) -> None:
        if self._client is not None:
            _close(self._client)
        self._client = None
        self._collections.clear()

    def _name(self, build: Build) -> str:
        return f"hawser-{self._library}-{build.id}-{build.stamp}"[:63].rstrip("-")

    def _listed(self) -> Sequence[Collection]:
        client = self._connected()

        def every() -> Sequence[Collection]:
            listed: list[Collection] = []
            while some := client.list_collections(limit=500, offset=len(listed)):
                listed += some
            return listed

        return self._limited(every)

    def _connected(self) -> ClientAPI:
        with self._opening:
            if self._client is None:
                self._client = self._limited(lambda: _open_server(self._url, self._token))
            return self._client

    def _collection(self, build: Build) -> tuple[ClientAPI, Collection]:
        client, name = self._connected(), self._name(build)
        if name not in self._collections:
            self._collections[name] = self._call(build, lambda: _get(client, name, build))
        return client, self._collections[name]

    def _call(self, build: Build, call: Callable[[], T]) -> T:
        return self._limited(call, build)

    def _limited(self, call: Callable[[], T], build: Build | None = None) -> T:
        import httpx
        from chromadb.errors import NotFoundError

        try:
            return within(self._call_limit_s, call)
        except IndexBroken:
            raise
        except NotFoundError as error:
            if build is not None:
                self._collections.pop(self._name(build), None)
            raise IndexBroken("The chroma server no longer has this collection; it is made anew.") from error
        except TimeoutError as error:
            text = f"The chroma server at {self._url} did not answer within {self._call_limit_s:g} s."
            raise IndexUnreachable(text, hint="Look at [rag] chroma_url.") from error
        except (httpx.HTTPError, OSError, ValueError) as error:
            text = f"The chroma server at {self._url} cannot be used: {' '.join(str(error).split())[:200]}"
            raise IndexUnreachable(text, hint="Look at [rag] chroma_url.") from error
        except Exception as error:  # its errors have no common base but this
            raise IndexBroken(f"The chroma server refused: {' '.join(str(error).split())[:200]}") from error


def within(limit_s: float, call: Callable[[], T]) -> T:
    """What it returns or raises; `TimeoutError` when it does neither in time. Then its thread is left to itself."""
    done: list[T] = []
    failed: list[BaseException] = []

    def work() -> None:
        try:
            done.append(call())
        except BaseException as error:  # noqa: BLE001 - handed over to the caller
            failed.append(error)

    thread = threading.Thread(target=work, daemon=True, name="chromadb")
    thread.start()
    thread.join(limit_s)
    if failed:
        raise failed[0]
    if not done:
        raise TimeoutError
    return done[0]


def _version() -> str:
    """Without loading it."""
    from importlib.metadata import version

    return version("chromadb")


def _folder_name(build: Build) -> str:
    return f"chroma-{_version()}-{build.id}-{build.stamp}"


def _settings(**more: Any) -> Any:
    from chromadb.config import Settings

    return Settings(anonymized_telemetry=False, **more)


def _open_folder(path: Path, build: Build) -> tuple[ClientAPI, Collection]:
    import chromadb

    client = chromadb.PersistentClient(str(path), settings=_settings())
    try:
        return client, _get(client, "vectors", build)
    except BaseException:
        _close(client)
        raise


def _open_server(url: str, token: str | None) -> ClientAPI:
    from urllib.parse import urlsplit

    import chromadb

    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise IndexUnreachable(f"{url!r} is no address of a chroma server.", hint="Write [rag] chroma_url as http://…")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    secure = parts.scheme == "https"
    port = parts.port or (443 if secure else 8000)
    # Its way to close leaves connections open that are kept for a next call; so none is kept.
    settings = _settings(chroma_http_max_keepalive_connections=0)
    return chromadb.HttpClient(parts.hostname, port, ssl=secure, headers=headers, settings=settings)


def _get(client: ClientAPI, name: str, build: Build) -> Collection:
    """The collection, made if it is not there."""
    about = {"build": build.id, "stamp": build.stamp}
    collection = client.get_or_create_collection(name, metadata=about, configuration=SPACE, embedding_function=None)  # type: ignore[arg-type]
    metadata = collection.metadata or {}
    if metadata.get("stamp") != build.stamp:
        raise _Foreign("it is another library's")
    return collection


def _close(client: ClientAPI) -> None:
    client.close()  # type: ignore[attr-defined]


def _read_marker(path: Path) -> int:
    try:
        return int(json.loads((path / MARKER).read_bytes())["added"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0


def _write_marker(path: Path, added: int) -> None:
    fresh = path / f"{MARKER}.fresh"
    fresh.write_text(json.dumps({"added": added}))
    fresh.replace(path / MARKER)
