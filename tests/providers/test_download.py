"""Fetching files from a real server on loopback that breaks off, sends on and lies."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from providers.download import Wanted, download
from providers.errors import BadReply, ProviderError, RequestRefused
from providers.simulated.http_server import Exchange, HttpServer
from tests.clocks import EagerClock
from tests.conftest import run

CONTENT = bytes(range(256)) * 400
SHA256 = hashlib.sha256(CONTENT).hexdigest()
Handler = Callable[[Exchange], Awaitable[None]]


class Fetched:
    """One download of `CONTENT` from a server that answers with `handler`."""

    def __init__(self, folder: Path) -> None:
        self.target = folder / "file"
        self.partial = folder / "file.part"
        self.told: list[tuple[int, int | None]] = []
        self.ranges: list[str] = []
        self.clock = EagerClock()

    async def go(self, handler: Handler, *, path: str = "/file", size: int | None = len(CONTENT)) -> None:
        async def noted(exchange: Exchange) -> None:
            self.ranges.append(exchange.request.headers.get("range", ""))
            await handler(exchange)

        server = HttpServer(noted)
        await server.start()
        try:
            wanted = Wanted(f"http://127.0.0.1:{server.port}{path}", SHA256, 1_000_000, size)
            await download(wanted, self.target, lambda *told: self.told.append(told), self.clock)
        finally:
            await server.stop()


@pytest.fixture
def fetched(tmp_path: Path) -> Fetched:
    return Fetched(tmp_path)


async def whole(exchange: Exchange) -> None:
    """As servers of files answer, ranges included."""
    asked = exchange.request.headers.get("range")
    if asked is None:
        await exchange.reply(200, CONTENT)
        return
    start = int(asked.removeprefix("bytes=").removesuffix("-"))
    if start >= len(CONTENT):
        await exchange.reply(416)
        return
    headers = [("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")]
    await exchange.reply(206, CONTENT[start:], headers=headers)


def test_a_file_comes_whole_with_progress(fetched: Fetched) -> None:
    run(fetched.go(whole))

    assert fetched.target.read_bytes() == CONTENT
    assert fetched.told[0] == (0, len(CONTENT))
    assert fetched.told[-1] == (len(CONTENT), len(CONTENT))
    assert not fetched.partial.exists()


def test_what_broke_off_is_taken_up_again(fetched: Fetched) -> None:
    async def breaks_off_once(exchange: Exchange) -> None:
        if len(fetched.ranges) > 1:
            await whole(exchange)
            return
        exchange.begin(200, content_type="application/octet-stream")
        exchange.send([CONTENT[:50_000]])
        await exchange.flush()
        await exchange.hang_up()

    run(fetched.go(breaks_off_once))

    assert fetched.target.read_bytes() == CONTENT
    assert fetched.ranges == ["", "bytes=50000-"]
    assert fetched.clock.slept == [1.0]


def test_what_an_earlier_process_fetched_is_not_fetched_again(fetched: Fetched) -> None:
    fetched.partial.write_bytes(CONTENT[:70_000])

    run(fetched.go(whole))

    assert fetched.target.read_bytes() == CONTENT
    assert fetched.ranges == ["bytes=70000-"]
    assert fetched.told[0] == (70_000, len(CONTENT))


def test_a_server_without_ranges_begins_anew(fetched: Fetched) -> None:
    fetched.partial.write_bytes(b"x" * 70_000)

    run(fetched.go(lambda exchange: exchange.reply(200, CONTENT)))

    assert fetched.target.read_bytes() == CONTENT


def test_a_part_longer_than_the_file_is_thrown_away(fetched: Fetched) -> None:
    fetched.partial.write_bytes(b"x" * len(CONTENT) * 2)

    run(fetched.go(whole, size=None))

    assert fetched.target.read_bytes() == CONTENT
    assert fetched.ranges == [f"bytes={len(CONTENT) * 2}-", ""]


def test_another_content_is_thrown_away_with_what_to_do(fetched: Fetched) -> None:
    with pytest.raises(BadReply, match="checksum") as refused:
        run(fetched.go(lambda exchange: exchange.reply(200, b"x" * len(CONTENT))))

    assert "Fetch it again" in (refused.value.hint or "")
    assert list(fetched.target.parent.iterdir()) == []


def test_a_file_of_another_size_is_not_begun(fetched: Fetched) -> None:
    with pytest.raises(BadReply, match="not the size"):
        run(fetched.go(lambda exchange: exchange.reply(200, CONTENT + b"x")))

    assert fetched.told == []


def test_more_than_the_bound_is_not_taken(fetched: Fetched) -> None:
    async def endless(exchange: Exchange) -> None:
        exchange.begin(200, content_type="application/octet-stream")
        for _ in range(40):
            exchange.send([CONTENT])
            await exchange.drain()
        await exchange.end()

    with pytest.raises(BadReply, match="more than the file has"):
        run(fetched.go(endless, size=None))

    assert fetched.partial.stat().st_size <= 1_000_000


def test_redirects_are_followed_to_the_file(fetched: Fetched) -> None:
    async def sends_on(exchange: Exchange) -> None:
        if exchange.request.path == "/file":
            await exchange.reply(302, headers=[("Location", "/elsewhere/file")])
        else:
            await whole(exchange)

    run(fetched.go(sends_on))

    assert fetched.target.read_bytes() == CONTENT


def test_redirects_in_a_circle_end(fetched: Fetched) -> None:
    with pytest.raises(BadReply, match="on and on"):
        run(fetched.go(lambda exchange: exchange.reply(307, headers=[("Location", "/file")])))

    assert len(fetched.ranges) == 6


def test_a_redirect_to_something_else_than_the_web_is_refused(fetched: Fetched) -> None:
    with pytest.raises(RequestRefused, match="not secure"):
        run(fetched.go(lambda exchange: exchange.reply(302, headers=[("Location", "ftp://example.com/file")])))

    assert not fetched.target.exists()


def test_trouble_that_stays_is_said_after_some_tries(fetched: Fetched) -> None:
    with pytest.raises(ProviderError, match="status 503"):
        run(fetched.go(lambda exchange: exchange.reply(503)))

    assert fetched.clock.slept == [1.0, 2.0, 4.0]
