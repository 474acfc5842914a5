"""Our transport on real sockets: framing, reuse, early ends, limits, trust, proxies."""

from __future__ import annotations

import asyncio
import gzip
import os
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from providers.chat.base import Host
from providers.direct import DirectTransport
from providers.errors import (
    BadReply,
    KeyRefused,
    ProviderError,
    RequestRefused,
    StreamBroken,
    TimedOut,
    TlsFailed,
    Unreachable,
)
from providers.http import client, load_httpx, opened, place, proxy_for, read_body, read_json
from providers.reach import first_to_connect, look_up
from tests.providers.raw import Asked, Play, RawServer, chunked, raw_server, reply

CERTIFICATE = Path(__file__).parents[1] / "data" / "tls" / "loopback.pem"
if TYPE_CHECKING:
    import httpx
else:
    httpx = load_httpx()

SUBJECT_HASH = "a1b44483"  # openssl x509 -subject_hash, which names the file in a folder of authorities
KEY = CERTIFICATE.with_suffix(".key")


async def fetch(server: RawServer, *, method: str = "GET", content: bytes | None = None) -> bytes:
    host = server.host()
    async with client(host) as http, opened(http, host, method, "x", content=content) as response:
        return await read_body(response, host, 1 << 30)


async def failing(server: RawServer) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        await fetch(server)
    return caught.value


def keeps(body: bytes) -> Play:
    """An answer after which the connection stays open."""

    async def play(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(reply(body))
        await writer.drain()

    return play


# ---- framing


@pytest.mark.parametrize(
    "answer",
    [
        reply(b"hello", kind="text/plain"),
        chunked("hel", "lo"),
        b"HTTP/1.1 200 OK\r\n\r\nhello",
        b"HTTP/1.0 200 OK\r\nContent-Type: x\r\n\r\nhello",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + reply(b"hello"),
        chunked("hello", end=False) + b"0\r\nTrailer: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;ext=1\r\nhello\r\n0\r\n\r\n",
        reply(gzip.compress(b"hello"), more="Content-Encoding: gzip\r\n"),
    ],
    ids=["length", "chunks", "until-close", "http-1.0", "informational", "trailer", "extension", "gzip"],
)
def test_every_framing_brings_the_same_body(answer: bytes) -> None:
    async def body() -> None:
        async with raw_server(answer) as server:
            assert await fetch(server) == b"hello"

    asyncio.run(body())


def test_body_split_at_every_byte_is_whole() -> None:
    said = chunked("hel", "lo", " you")

    async def drip(asked: Asked, writer: asyncio.StreamWriter) -> None:
        for at_byte in range(len(said)):
            writer.write(said[at_byte : at_byte + 1])
            await writer.drain()
            await asyncio.sleep(0)
        writer.close()

    async def body() -> None:
        async with raw_server(drip) as server:
            assert await fetch(server) == b"hello you"

    asyncio.run(body())


@pytest.mark.parametrize("answer", [chunked("hel", end=False), b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhel"])
def test_body_cut_short_is_never_a_quiet_end(answer: bytes) -> None:
    async def body() -> None:
        async with raw_server(answer) as server:
            error = await failing(server)
            assert isinstance(error, StreamBroken)
            async with httpx.AsyncClient(transport=DirectTransport()) as http:
                with pytest.raises(httpx.RemoteProtocolError):
                    await http.get(server.url)

    asyncio.run(body())


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: nine\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X-Long: " + b"a" * 400_000,
        b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: 1\r\n" % n for n in range(400)) + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX: \xff\x00\r\n\r\n",
    ],
    ids=["not-http", "length", "upgrade", "endless-header", "many-headers", "binary"],
)
def test_what_is_not_http_is_a_bad_reply(answer: bytes) -> None:
    async def body() -> None:
        async with raw_server(answer) as server:
            assert isinstance(await failing(server), BadReply)

    asyncio.run(body())


def test_connection_closed_without_a_word_is_unreachable_and_may_be_retried() -> None:
    async def body() -> None:
        async with raw_server(b"") as server:
            error = await failing(server)
        assert isinstance(error, Unreachable)
        assert error.may_retry

    asyncio.run(body())


# ---- reuse


def test_connection_is_used_again_after_a_whole_answer() -> None:
    async def body() -> None:
        async with raw_server(keeps(b'{"n":1}')) as server, client(server.host()) as http:
            for _ in range(3):
                assert await read_json(http, server.host(), "GET", "x") == {"n": 1}
            assert server.connections == 1
            assert len(server.asked) == 3

    asyncio.run(body())


def test_connection_is_not_used_again_after_stray_bytes() -> None:
    async def stray(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(reply(b"1") + b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n6")
        await writer.drain()

    async def body() -> None:
        async with raw_server(stray) as server, client(server.host()) as http:
            assert await read_json(http, server.host(), "GET", "x") == 1
            assert await read_json(http, server.host(), "GET", "x") == 1
            assert server.connections == 2

    asyncio.run(body())


def test_question_is_not_sent_into_a_connection_that_the_server_has_closed() -> None:
    closed = asyncio.Event()

    async def close_after(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(reply(b"1"))
        await writer.drain()
        writer.close()
        closed.set()

    async def body() -> None:
        async with raw_server(close_after) as server, client(server.host()) as http:
            assert await read_json(http, server.host(), "POST", "x", content=b"{}") == 1
            await closed.wait()
            assert await read_json(http, server.host(), "POST", "x", content=b"{}") == 1
            assert len(server.asked) == 2

    asyncio.run(body())


def test_stale_connection_is_replaced_silently_for_what_may_be_repeated_only() -> None:
    async def drop(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async def body() -> None:
        async with raw_server(keeps(b"1"), drop, keeps(b"2")) as server, client(server.host()) as http:
            assert await read_json(http, server.host(), "GET", "x") == 1
            assert await read_json(http, server.host(), "GET", "x") == 2
            assert len(server.asked) == 3
        async with raw_server(keeps(b"1"), drop, keeps(b"2")) as server, client(server.host()) as http:
            assert await read_json(http, server.host(), "GET", "x") == 1
            with pytest.raises(Unreachable):
                await read_json(http, server.host(), "POST", "x", content=b"{}")
            assert len(server.asked) == 2

    asyncio.run(body())


# ---- ends, limits, pressure


def test_leaving_early_closes_the_socket_at_once() -> None:
    async def endless(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(chunked("first", end=False))
        while True:
            writer.write(b"1\r\nx\r\n")
            await writer.drain()
            await asyncio.sleep(0.01)

    async def body() -> None:
        async with raw_server(endless) as server:
            host = server.host()
            async with client(host) as http:
                async with opened(http, host, "GET", "x") as response:
                    assert response.status_code == 200
                await asyncio.wait_for(server.hung_up.wait(), 2)

    asyncio.run(body())


def test_cancelled_question_closes_the_socket_at_once() -> None:
    heard = asyncio.Event()

    async def silent(asked: Asked, writer: asyncio.StreamWriter) -> None:
        heard.set()
        while True:
            writer.write(b"HTTP/1.1 102 Processing\r\n\r\n")
            await writer.drain()
            await asyncio.sleep(0.01)

    async def body() -> None:
        async with raw_server(silent) as server:
            question = asyncio.create_task(fetch(server))
            await heard.wait()
            question.cancel()
            with pytest.raises(asyncio.CancelledError):
                await question
            await asyncio.wait_for(server.hung_up.wait(), 2)

    asyncio.run(body())


def test_slow_reader_makes_the_server_wait() -> None:
    said = 0

    async def fast(asked: Asked, writer: asyncio.StreamWriter) -> None:
        nonlocal said
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        for _ in range(1000):
            writer.write(b"x" * 100_000)
            await writer.drain()
            said += 100_000
        writer.close()

    async def body() -> None:
        async with raw_server(fast) as server:
            host = server.host()
            async with client(host) as http, opened(http, host, "GET", "x") as response:
                before = -1
                while said != before:
                    before = said
                    await asyncio.sleep(0.1)
                assert said < 50_000_000
                assert len(await read_body(response, host, 1 << 30)) == 100_000_000

    asyncio.run(body())


def test_bytes_of_one_read_come_as_one_chunk() -> None:
    async def body() -> None:
        async with (
            raw_server(chunked(*(f"{n}," for n in range(500)))) as server,
            httpx.AsyncClient(transport=DirectTransport()) as http,
            http.stream("GET", server.url) as response,
        ):
            parts = [part async for part in response.aiter_raw()]
        assert b"".join(parts).count(b",") == 500
        assert len(parts) < 10

    asyncio.run(body())


def test_question_with_a_body_arrives_whole() -> None:
    async def parts() -> AsyncIterator[bytes]:
        for _ in range(50):
            yield b"y" * 100_000

    async def body() -> None:
        async with raw_server(keeps(b"1")) as server, httpx.AsyncClient(transport=DirectTransport()) as http:
            await http.post(server.url, content=b"x" * 3_000_000)
            await http.post(server.url, content=parts())
            assert len(server.asked[0].body) == 3_000_000
            assert server.asked[1].body == b"y" * 5_000_000
            assert server.connections == 1

    asyncio.run(body())


def test_header_with_a_line_break_is_not_sent() -> None:
    async def body() -> None:
        async with raw_server(reply(b"1")) as server:
            host = server.host(headers={"X-Team": "a\r\nX-Evil: 1"})
            async with client(host) as http:
                with pytest.raises(RequestRefused):
                    await read_json(http, host, "GET", "x")
            assert server.asked == []

    asyncio.run(body())


def test_silence_ends_at_the_time_limit() -> None:
    async def silent(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    async def body() -> None:
        async with raw_server(silent) as server, client(server.host()) as http:
            with pytest.raises(TimedOut) as caught:
                await read_json(http, server.host(), "GET", "x", limit_s=0.05)
            assert caught.value.phase == "total"

    asyncio.run(body())


# ---- reaching


def test_nothing_listening_is_said_plainly() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]

        async def body() -> None:
            host = Host("lab", f"http://localhost:{port}")
            async with client(host) as http:
                with pytest.raises(Unreachable) as caught:
                    await read_json(http, host, "GET", "x")
            assert caught.value.text == f"Nothing is listening at lab (localhost:{port}): the connection was refused."

        asyncio.run(body())


def test_localhost_is_found_on_either_family() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(reply(b"6"))
        writer.close()

    async def body() -> None:
        server = await asyncio.start_server(serve, "::1", 0)
        host = Host("lab", f"http://localhost:{server.sockets[0].getsockname()[1]}")
        async with server, client(host) as http:
            assert await read_json(http, host, "GET", "x") == 6

    asyncio.run(body())


def test_unknown_name_is_said_plainly(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_such_name(*_: object, **__: object) -> list[object]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", no_such_name)

    async def body() -> None:
        host = Host("lab", "http://no-such-machine.invalid:80")
        async with client(host) as http:
            with pytest.raises(Unreachable, match="cannot be found"):
                await read_json(http, host, "GET", "x")

    asyncio.run(body())


def test_resolver_that_hangs_ends_at_the_connect_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    free = threading.Event()

    def hang(*_: object, **__: object) -> list[object]:
        free.wait(30)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", hang)

    async def body() -> None:
        host = Host("lab", "http://slow-name.invalid:80", connect_timeout_s=0.05)
        async with client(host) as http:
            with pytest.raises(TimedOut) as caught:
                await read_json(http, host, "GET", "x")
            assert caught.value.phase == "connect"

    try:
        asyncio.run(body())
    finally:
        free.set()


def test_families_alternate_and_a_dead_one_costs_one_stagger(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [
        (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", 1, 0, 0)),
        (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::2", 1, 0, 0)),
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 1)),
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)

    addresses = asyncio.run(look_up("both.invalid", 1))

    assert [where[0] for _, where in addresses] == ["::1", "127.0.0.1", "::2"]


def test_first_address_that_connects_wins() -> None:
    async def body() -> None:
        accepted = asyncio.Event()

        async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.close()
            await writer.wait_closed()
            accepted.set()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server:
            reached = await first_to_connect(
                [(socket.AF_INET6, ("::1", port, 0, 0)), (socket.AF_INET, ("127.0.0.1", port))]
            )
            with reached:
                assert reached.getpeername()[0] == "127.0.0.1"
                await accepted.wait()

    asyncio.run(body())


# ---- trust


def secure() -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(CERTIFICATE, KEY)
    return context


def test_unknown_certificate_is_refused() -> None:
    async def body() -> None:
        async with raw_server(reply(b"1"), tls=secure()) as server:
            error = await failing(server)
        assert isinstance(error, TlsFailed)
        assert "certificate" in error.text
        assert not error.may_retry

    asyncio.run(body())


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_certificate_named_in_the_environment_is_accepted(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, str(CERTIFICATE))

    async def body() -> None:
        async with raw_server(reply(b"1"), chunked("2"), tls=secure()) as server:
            assert await fetch(server) == b"1"
            assert await fetch(server) == b"2"

    asyncio.run(body())


def test_certificate_in_a_named_folder_is_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "authorities"
    folder.mkdir()
    (folder / f"{SUBJECT_HASH}.0").write_bytes(CERTIFICATE.read_bytes())
    monkeypatch.setenv("SSL_CERT_DIR", str(folder))

    async def body() -> None:
        async with raw_server(reply(b"1"), tls=secure()) as server:
            assert await fetch(server) == b"1"

    asyncio.run(body())


def test_file_of_authorities_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "gone.pem"))

    async def body() -> None:
        async with raw_server(reply(b"1"), tls=secure()) as server:
            error = await failing(server)
        assert isinstance(error, TlsFailed)
        assert "gone.pem" in error.text
        assert error.hint is not None
        assert "SSL_CERT_FILE" in error.hint

    asyncio.run(body())


def test_plain_service_asked_for_https_is_a_tls_failure() -> None:
    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async def body() -> None:
        server = await asyncio.start_server(say, "127.0.0.1", 0)
        host = Host("lab", f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        async with server, client(host) as http:
            with pytest.raises(TlsFailed) as caught:
                await read_json(http, host, "GET", "x")
        assert caught.value.hint is not None
        assert "http://" in caught.value.hint

    asyncio.run(body())


# ---- the client


def test_redirect_is_not_followed_so_that_no_key_travels() -> None:
    async def body() -> None:
        moved = reply(b"", status="307 Temporary Redirect", more="Location: http://elsewhere.example/v1\r\n")
        async with raw_server(moved) as server, client(server.host(key="sk-secret")) as http:
            with pytest.raises(BadReply, match=r"elsewhere\.example"):
                await read_json(http, server.host(key="sk-secret"), "GET", "x")
            assert len(server.asked) == 1

    asyncio.run(body())


def test_no_cookie_is_kept() -> None:
    async def body() -> None:
        async with raw_server(reply(b"1", more="Set-Cookie: a=b\r\n")) as server, client(server.host()) as http:
            await read_json(http, server.host(), "GET", "x")
            await read_json(http, server.host(), "GET", "x")
            assert "cookie" not in server.asked[1].headers

    asyncio.run(body())


def test_client_names_itself_and_the_host_may_rename_it() -> None:
    async def body() -> None:
        async with raw_server(reply(b"1")) as server:
            for host in (server.host(), server.host(headers={"User-Agent": "hawser/9", "X-Title": "t"})):
                async with client(host) as http:
                    await read_json(http, host, "GET", "x")
            assert server.asked[0].headers["user-agent"] == "hawser"
            assert server.asked[0].headers["accept-encoding"] == "identity"
            assert server.asked[1].headers["user-agent"] == "hawser/9"
            assert server.asked[1].headers["x-title"] == "t"

    asyncio.run(body())


@pytest.mark.parametrize("key", ["", "sk-\nx", "sk-ключ", "   "])
def test_key_that_cannot_be_one_is_refused_without_being_shown(key: str) -> None:
    with pytest.raises(KeyRefused) as caught:
        client(Host("lab", "http://127.0.0.1:1", key=key))

    assert "sk-" not in str(caught.value)


@pytest.mark.parametrize("address", ["127.0.0.1:11434", "ftp://x", "http://", "http://[::1", ""])
def test_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(RequestRefused, match="base_url"):
        client(Host("lab", address))


def test_place_shows_nothing_secret() -> None:
    assert place(Host("lab", "http://me:secret@box:8000/v1?key=secret")) == "lab (box:8000)"
    assert place(Host("lab", "https://[::1]:8000")) == "lab ([::1]:8000)"
    assert place(Host("lab", "http://x:99999")) == "lab"


# ---- proxies


def at(address: str, **environment: str) -> str | None:
    return proxy_for(httpx.URL(address), environment)


def test_proxy_is_taken_from_the_environment_but_never_for_loopback() -> None:
    assert at("https://a.example", HTTPS_PROXY="proxy:3128") == "http://proxy:3128"
    assert at("http://a.example", https_proxy="http://proxy:3128") is None
    assert at("http://a.example", ALL_PROXY="http://proxy:3128") == "http://proxy:3128"
    for loopback in ("http://localhost:1", "http://127.9.9.9", "http://[::1]:8000", "http://x.localhost"):
        assert at(loopback, ALL_PROXY="http://proxy:3128") is None


@pytest.mark.parametrize(
    ("address", "exceptions", "goes_around"),
    [
        ("http://a.example", "a.example", True),
        ("http://b.a.example", "a.example", True),
        ("http://b.a.example", ".a.example", True),
        ("http://b.a.example", "*.a.example", True),
        ("http://ba.example", "a.example", False),
        ("http://a.example", "*", True),
        ("http://10.1.2.3", "10.0.0.0/8", True),
        ("http://10.1.2.3", "192.168.0.0/16, 10.1.2.3", True),
        ("http://11.1.2.3", "10.0.0.0/8", False),
        ("http://a.example:8080", "a.example:8080", True),
        ("http://a.example:8081", "a.example:8080", False),
        ("http://[fd00::1]", "fd00::/8", True),
        ("http://a.example", " , ", False),
        ("http://a.example", "http://a.example", True),
    ],
)
def test_no_proxy_is_read_as_others_read_it(address: str, exceptions: str, goes_around: bool) -> None:
    found = at(address, HTTP_PROXY="http://proxy:3128", NO_PROXY=exceptions)

    assert (found is None) is goes_around


def test_socks_proxy_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1080")

    with pytest.raises(RequestRefused, match="socks5"):
        client(Host("lab", "https://api.example"))


async def tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, to: int) -> None:
    """The other side of a CONNECT: bytes both ways."""
    far_reader, far_writer = await asyncio.open_connection("127.0.0.1", to)

    async def pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while data := await source.read(65536):
            target.write(data)
            await target.drain()
        target.close()

    try:
        await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer), return_exceptions=True)
    finally:
        far_writer.close()


def test_proxy_carries_plain_and_secure_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    seen: list[str] = []
    handling: list[asyncio.Task[object] | None] = []

    async def body() -> None:
        async with raw_server(reply(b"7"), tls=secure()) as far:

            async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                first = (await reader.readuntil(b"\r\n\r\n")).decode()
                seen.append(first.split("\r\n")[0])
                handling.append(asyncio.current_task())
                if first.startswith("CONNECT"):
                    writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                    await tunnel(reader, writer, far.port)
                else:
                    writer.write(reply(b"8"))
                writer.close()
                await writer.wait_closed()

            server = await asyncio.start_server(proxy, "127.0.0.1", 0)
            monkeypatch.setenv("ALL_PROXY", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
            async with server:
                for address, expected in (("http://api.example/", 8), ("https://localhost.example:9", None)):
                    host = Host("far", address)
                    async with client(host) as http:
                        if expected is None:
                            # The far end is the test's own, so that its name does not fit: the tunnel carried TLS.
                            with pytest.raises(TlsFailed):
                                await read_json(http, host, "GET", "x")
                        else:
                            assert await read_json(http, host, "GET", "x") == expected
                await asyncio.gather(*(task for task in handling if task is not None))

    asyncio.run(body())
    assert seen == ["GET http://api.example/x HTTP/1.1", "CONNECT localhost.example:9 HTTP/1.1"]


# ---- imports


def test_nothing_heavy_is_imported_for_a_direct_answer() -> None:
    program = (
        "import sys, providers.registry, providers.chat.openai, providers.direct\n"
        "heavy = {'rich', 'click', 'httpcore', 'anyio', 'certifi', 'ollama', 'pygments', 'textual', 'pydantic'}\n"
        "print(sorted(heavy & set(sys.modules)), 'httpx._main' in sys.modules)\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": "."},
    )

    assert found.stdout == "[] False\n"
