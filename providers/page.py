"""One page of the web, fetched because somebody asked for it: bounded in size, time and in how far it is led on."""

from __future__ import annotations

import asyncio
from typing import NamedTuple
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit

from providers.chat.base import Host
from providers.errors import BadReply, ProviderError, RequestRefused, TimedOut
from providers.http import client, is_loopback, opened, place, read_body, translated

MOST_REDIRECTS = 5
LIMIT_S = 60.0
LONGEST_URL = 4_000
_ENDINGS = {
    "text/html": ".html",
    "application/xhtml+xml": ".html",
    "application/pdf": ".pdf",
    "text/markdown": ".md",
    "application/json": ".json",
    "text/csv": ".csv",
    "application/epub+zip": ".epub",
    "application/xml": ".xml",
    "text/xml": ".xml",
}
_NO_TEXT = ("image/", "audio/", "video/", "font/")


class Page(NamedTuple):
    url: str
    """Where it was in the end."""
    name: str
    """With the ending of its kind, whatever it was called."""
    content: bytes


async def fetch_page(url: str, longest: int, *, limit_s: float = LIMIT_S) -> Page:
    """Raises `ProviderError`; no key, cookie or header of ours goes along."""
    try:
        async with asyncio.timeout(limit_s):
            for _ in range(MOST_REDIRECTS + 1):
                page = await _fetch(url, longest)
                if isinstance(page, Page):
                    return page
                if _is_here(page) and not _is_here(url):
                    raise RequestRefused(f"{_host(url)} leads to an address on this computer, which is not followed.")
                url = page
    except TimeoutError as error:
        raise TimedOut(
            f"{_host(url)} did not send the page within {limit_s:g} s.", phase="total", limit_s=limit_s
        ) from error
    raise BadReply(f"{_host(url)} leads on more than {MOST_REDIRECTS} times.")


async def _fetch(url: str, longest: int) -> Page | str:
    """The page, or the address that it is at."""
    try:
        parts = urlsplit(url)
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname) and len(url) <= LONGEST_URL
    except ValueError:
        is_address = False
    if not is_address or parts.username is not None:
        raise RequestRefused(f"{url[:200]!r} is not an address that a page can be fetched from.")
    origin = urlunsplit((parts.scheme, parts.netloc, "/", "", ""))
    host = Host(parts.hostname or "", origin)
    target = urlunsplit((parts.scheme, parts.netloc, parts.path or "/", parts.query, ""))
    with translated(host):
        http = client(host)
    async with http, opened(http, host, "GET", target) as response:
        if response.is_redirect:
            return str(urljoin(url, response.headers.get("location", "")))
        if response.status_code != 200:
            raise _refused(response.status_code, url)
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind.startswith(_NO_TEXT):
            raise BadReply(f"{place(host)} sent {kind}, which holds no text.")
        content = await read_body(response, host, longest + 1)
    if len(content) > longest:
        raise BadReply(
            f"The page at {place(host)} is larger than {longest:,} bytes.", hint="Download it and add the file."
        )
    return Page(url, _name(parts.path, kind, parts.hostname or ""), content)


def _refused(status: int, url: str) -> ProviderError:
    what = {401: "wants a login", 403: "refuses", 404: "has no such page", 410: "has that page no more"}
    return RequestRefused(f"{_host(url)} {what.get(status, f'answered with status {status}')}.")


def _name(path: str, kind: str, host: str) -> str:
    last = unquote(path.rstrip("/").rpartition("/")[2]) or host
    name = "".join(each for each in last if each.isprintable() and each not in '/\\:"')[:120] or host
    ending = _ENDINGS.get(kind, "")
    return name if not ending or name.lower().endswith(ending) else name + ending


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or "The address"
    except ValueError:
        return "The address"


def _is_here(url: str) -> bool:
    return is_loopback((_host(url)).rstrip("."))
