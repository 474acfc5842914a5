"""Fetching a file over HTTP: bounded, taken up again where it broke off, and checked before it has its name.

Redirects are followed here and nowhere else, as places that keep large files send everyone on. Nothing secret travels:
there is no key, and no header that another host should not see. https never becomes http.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from providers.chat.base import Host
from providers.errors import BadReply, ProviderError, RequestRefused, ServiceFailed
from providers.http import chunks, client, is_loopback, load_httpx, opened, place, translated
from providers.plain import plain
from providers.refusals import refusal

if TYPE_CHECKING:
    import httpx

SILENCE_S = 30.0
"""How long a server may send nothing."""
TRIES = 4
_MOST_REDIRECTS = 5
_REDIRECTS = (301, 302, 303, 307, 308)
_PARTIAL, _BEYOND_THE_END = 206, 416


class Clock(Protocol):
    async def sleep(self, seconds: float) -> None: ...


class Wanted(NamedTuple):
    url: str
    sha256: str
    most_bytes: int
    """More than this is not taken, whatever the server says."""
    size_bytes: int | None = None
    """Where it is known before."""


Tell = Callable[[int, int | None], None]
"""Told how many bytes there are and how many there will be."""


async def download(wanted: Wanted, target: Path, tell: Tell, clock: Clock) -> None:
    """The file at `target`, or a `ProviderError`. What has come before it breaks off is kept for the next time."""
    partial = target.with_name(f"{target.name}.part")
    for attempt in range(1, TRIES + 1):
        try:
            await _go_on(wanted, partial, tell)
            break
        except ProviderError as error:
            if not error.may_retry or attempt == TRIES:
                raise
        await clock.sleep(2.0 ** (attempt - 1))
    if _sha256(partial) != wanted.sha256:
        _forget(partial)
        raise BadReply(
            f"What came from {_host(wanted.url)} is not what it should be: its checksum is another one.",
            hint="It was thrown away. Fetch it again, or from elsewhere.",
        )
    partial.replace(target)


async def _go_on(wanted: Wanted, partial: Path, tell: Tell) -> None:
    there = _size(partial)
    if wanted.size_bytes is not None and there >= wanted.size_bytes:
        if there == wanted.size_bytes:
            return
        there = 0
    async with _answered(wanted.url, {"range": f"bytes={there}-"} if there else {}) as (response, host, _):
        if response.status_code == _BEYOND_THE_END:
            _forget(partial)
            raise ServiceFailed(f"{place(host)} has nothing beyond what came before; beginning anew.", status=416)
        if not response.is_success:
            raise await refusal(response, host)
        if response.status_code != _PARTIAL or not _begins_at(response, there):
            if response.status_code == _PARTIAL:
                raise BadReply(f"{place(host)} sent another part of the file than the one it was asked for.")
            there = 0
        length = response.headers.get("content-length", "")
        size = there + int(length) if length.isdecimal() else wanted.size_bytes
        expected = wanted.size_bytes
        if (size or 0) > wanted.most_bytes or (expected is not None and size != expected):
            raise BadReply(f"{place(host)} would send {size} bytes, which is not the size of this file.")
        with partial.open("ab" if there else "wb") as file:
            tell(there, size)
            async with contextlib.aclosing(chunks(response, host, limit_s=SILENCE_S)) as parts:
                async for part in parts:
                    there += len(part)
                    if there > (size or wanted.most_bytes):
                        raise BadReply(f"{place(host)} sent more than the file has.")
                    file.write(part)
                    tell(there, size)


def _forget(path: Path) -> None:
    path.unlink(missing_ok=True)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _begins_at(response: httpx.Response, offset: int) -> bool:
    sent: str = response.headers.get("content-range", "")
    return sent.replace(" ", "").startswith(f"bytes{offset}-")


@contextlib.asynccontextmanager
async def _answered(url: str, headers: dict[str, str]) -> AsyncIterator[tuple[httpx.Response, Host, str]]:
    """The head of the answer at the end of all redirects."""
    httpx = load_httpx()
    for _ in range(_MOST_REDIRECTS + 1):
        host = Host(_host(url), url, headers=headers)
        async with (
            client(host) as http,
            opened(http, host, "GET", url, limit_s=SILENCE_S) as response,
        ):
            if response.status_code not in _REDIRECTS:
                yield response, host, url
                return
            with translated(host):
                target = httpx.URL(url).join(response.headers.get("location", ""))
        if target.scheme not in ("http", "https") or (target.scheme == "http" and not _may_be_plain(url, target.host)):
            raise RequestRefused(f"{place(host)} sends us on to {_host(str(target))} by a way that is not secure.")
        url = str(target)
    raise BadReply(f"{_host(url)} sends us on and on.")


def _may_be_plain(url: str, target: str) -> bool:
    return url.startswith("http://") or is_loopback(target)


def _host(url: str) -> str:
    from urllib.parse import urlsplit

    return plain(urlsplit(url).hostname or "an unknown host", 100)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
