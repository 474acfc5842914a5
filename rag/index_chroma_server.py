"""The vector index on a chroma server, for collections that one computer does not hold."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, TypeVar

from rag.documents import Build
from rag.errors import IndexBroken, IndexUnreachable
from rag.index_chroma import Chroma, close_client, collection_of, settings

if TYPE_CHECKING:
    from chromadb.api import ClientAPI
    from chromadb.api.models.Collection import Collection

T = TypeVar("T")
CALL_LIMIT_S: Final = 30.0
"""For one call to a server; chromadb itself waits for ever."""


class ChromaServerIndex(Chroma):
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
            close_client(self._client)
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
            self._collections[name] = self._call(build, lambda: collection_of(client, name, build))
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
    keeping_none = settings(chroma_http_max_keepalive_connections=0)
    return chromadb.HttpClient(parts.hostname, port, ssl=secure, headers=headers, settings=keeping_none)
