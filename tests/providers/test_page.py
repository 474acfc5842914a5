"""Pages of the web, from a real server on loopback that leads on, sends too much and refuses."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from providers.errors import BadReply, ProviderError, RequestRefused, TimedOut, Unreachable
from providers.page import MOST_REDIRECTS, Page, fetch_page
from providers.simulated.http_server import Exchange, HttpServer
from tests.conftest import run

HTML = b"<html><head><title>Ropes</title></head><body><h1>Ropes</h1><p>A hawser is thick.</p></body></html>"


def fetched(
    handler: Callable[[Exchange], Awaitable[None]], path: str = "/ropes", *, longest: int = 10_000, limit_s: float = 20
) -> Page:
    async def body() -> Page:
        server = HttpServer(handler)
        await server.start()
        try:
            return await fetch_page(f"http://127.0.0.1:{server.port}{path}", longest, limit_s=limit_s)
        finally:
            await server.stop()

    return run(body())


async def page(exchange: Exchange) -> None:
    await exchange.reply(200, HTML, content_type="text/html; charset=utf-8")


def test_a_page_has_the_ending_of_its_kind() -> None:
    found = fetched(page, "/guide/ropes?lang=en#top")

    assert (found.name, found.content) == ("ropes.html", HTML)
    assert found.url.endswith("/guide/ropes?lang=en#top")


def test_nothing_of_ours_goes_along() -> None:
    seen: dict[str, str] = {}

    async def note(exchange: Exchange) -> None:
        seen.update(exchange.request.headers)
        await page(exchange)

    fetched(note)

    assert not {"authorization", "cookie", "referer"} & seen.keys()


def test_a_page_that_moved_is_found() -> None:
    async def moved(exchange: Exchange) -> None:
        if exchange.request.path == "/ropes":
            await exchange.reply(301, headers=[("Location", "/new/ropes.html")])
        else:
            await page(exchange)

    found = fetched(moved)

    assert found.name == "ropes.html"
    assert found.url.endswith("/new/ropes.html")


async def for_ever(exchange: Exchange) -> None:
    await exchange.reply(302, headers=[("Location", exchange.request.path + "x")])


async def large(exchange: Exchange) -> None:
    await exchange.reply(200, b"x" * 10_001, content_type="text/plain")


async def picture(exchange: Exchange) -> None:
    await exchange.reply(200, b"\x89PNG", content_type="image/png")


async def missing(exchange: Exchange) -> None:
    await exchange.reply(404)


async def to_a_file(exchange: Exchange) -> None:
    await exchange.reply(302, headers=[("Location", "file:///etc/passwd")])


@pytest.mark.parametrize(
    ("handler", "kind", "words"),
    [
        (for_ever, BadReply, f"more than {MOST_REDIRECTS} times"),
        (large, BadReply, "larger than 10,000 bytes"),
        (picture, BadReply, "image/png, which holds no text"),
        (missing, RequestRefused, "has no such page"),
        (to_a_file, RequestRefused, "is not an address"),
    ],
)
def test_what_cannot_be_a_page_is_a_plain_sentence(
    handler: Callable[[Exchange], Awaitable[None]], kind: type[ProviderError], words: str
) -> None:
    with pytest.raises(kind) as error:
        fetched(handler)

    assert words in error.value.text


def test_a_page_that_does_not_come_has_a_limit() -> None:
    async def begun(exchange: Exchange) -> None:
        exchange.begin(200, content_type="text/plain")

        import asyncio

        await asyncio.Event().wait()

    with pytest.raises(TimedOut):
        fetched(begun, limit_s=0.2)


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/x", "http://", "http://me:word@127.0.0.1/", "http://[", "x" * 5000])
def test_addresses_that_are_none_are_refused(url: str) -> None:
    with pytest.raises(RequestRefused):
        run(fetch_page(url, 1000))


def test_nobody_there_is_told() -> None:
    with pytest.raises(Unreachable):
        run(fetch_page("http://127.0.0.1:9/x", 1000))
