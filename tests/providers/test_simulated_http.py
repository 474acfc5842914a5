"""The HTTP server under the simulated services, spoken to through a bare socket."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from providers.simulated.http_server import Exchange, HttpServer
from providers.simulated.services import Fault, FaultKind, SimulatedOllama, Speed
from tests.conftest import run
from tests.providers.simulated_clients import FrozenClock


class Client:
    """A connection of which every byte is seen."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, text: str) -> None:
        self.writer.write(text.encode())
        await self.writer.drain()

    async def head(self) -> dict[str, str]:
        lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        head = {"status": lines[0]}
        for line in lines[1:]:
            name, _, value = line.partition(": ")
            head[name.lower()] = value
        return head

    async def answer(self) -> tuple[dict[str, str], bytes]:
        """A head and as much of a body as it announces."""
        head = await self.head()
        return head, await self.reader.readexactly(int(head["content-length"]))

    async def chunks(self) -> list[bytes]:
        chunks: list[bytes] = []
        while True:
            size = int(await self.reader.readline(), 16)
            chunk = await self.reader.readexactly(size + 2)
            assert chunk.endswith(b"\r\n")
            if not size:
                return chunks
            chunks.append(chunk[:-2])

    async def ended(self) -> bytes:
        return await self.reader.read()


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024 * 1024)
    try:
        yield Client(reader, writer)
    finally:
        writer.close()
        await asyncio.wait([asyncio.ensure_future(writer.wait_closed())])


@asynccontextmanager
async def echoing(**options: int) -> AsyncIterator[HttpServer]:
    """A server that answers with the method, path and body it was sent."""

    async def echo(exchange: Exchange) -> None:
        request = exchange.request
        if request.path == "/fails":
            raise RuntimeError("on purpose")
        await exchange.reply(200, f"{request.method} {request.path} ".encode() + request.body)

    server = HttpServer(echo, **options)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


def chat(prompt: str) -> str:
    body = json.dumps({"model": "llama3.1:8b", "messages": [{"role": "user", "content": prompt}]})
    return f"POST /api/chat HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n{body}"


def test_connection_is_kept_for_further_requests() -> None:
    async def body() -> None:
        async with echoing() as server, connected(server.port) as client:
            for path in ("/one", "/two"):
                await client.send(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")
                head, answer = await client.answer()

                assert head["status"] == "HTTP/1.1 200 OK"
                assert head["connection"] == "keep-alive"
                assert answer == f"GET {path} ".encode()

    run(body())


def test_requests_sent_ahead_are_answered_in_order() -> None:
    async def body() -> None:
        async with echoing() as server, connected(server.port) as client:
            await client.send("".join(f"GET /{n} HTTP/1.1\r\nHost: x\r\n\r\n" for n in range(5)))
            answers = [(await client.answer())[1] for _ in range(5)]

            assert answers == [f"GET /{n} ".encode() for n in range(5)]

    run(body())


def test_request_may_come_byte_by_byte_and_in_chunks() -> None:
    async def body() -> None:
        async with echoing() as server, connected(server.port) as client:
            request = (
                "POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
            )
            for letter in request:
                await client.send(letter)
            _, answer = await client.answer()

            assert answer == b"POST /x abcde"

    run(body())


def test_close_is_honoured_and_said() -> None:
    async def body() -> None:
        async with echoing() as server, connected(server.port) as client:
            await client.send("GET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            head, _ = await client.answer()

            assert head["connection"] == "close"
            assert await client.ended() == b""

    run(body())


def test_head_has_the_length_and_no_body() -> None:
    async def body() -> None:
        async with SimulatedOllama() as service, connected(service.port) as client:
            await client.send(
                "HEAD / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
            )
            head = await client.head()
            _, answer = await client.answer()

            assert head["content-length"] == str(len("Ollama is running"))
            assert answer == b"Ollama is running"

    run(body())


def test_client_that_asks_first_is_told_to_go_on() -> None:
    async def body() -> None:
        async with echoing() as server, connected(server.port) as client:
            await client.send("POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
            told = await client.head()
            await client.send("ab")
            _, answer = await client.answer()

            assert told["status"] == "HTTP/1.1 100 Continue"
            assert answer == b"POST /x ab"

    run(body())


def test_offer_of_another_protocol_is_ignored() -> None:
    async def body() -> None:
        async with echoing() as server, connected(server.port) as client:
            await client.send("GET /x HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
            head, answer = await client.answer()

            assert (head["status"], head["connection"]) == ("HTTP/1.1 200 OK", "close")
            assert answer == b"GET /x "

    run(body())


@pytest.mark.parametrize(
    ("request_text", "status"),
    [
        ("nonsense\r\n\r\n", "HTTP/1.1 400 Bad Request"),
        ("POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 999\r\n\r\n" + "a" * 200, "HTTP/1.1 413"),
        ("GET /x HTTP/1.1\r\nHost: x\r\nX: " + "a" * 70_000 + "\r\n\r\n", "HTTP/1.1 431"),
    ],
)
def test_what_is_no_request_or_too_large_is_refused_and_closed(request_text: str, status: str) -> None:
    async def body() -> None:
        async with echoing(max_body_bytes=100) as server, connected(server.port) as client:
            await client.send(request_text)
            answer = (await client.ended()).decode()

            assert answer.startswith(status)
            assert "Connection: close" in answer

    run(body())


def test_failing_handler_is_a_500_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def body() -> None:
        async with echoing() as server, connected(server.port) as client:
            await client.send("GET /fails HTTP/1.1\r\nHost: x\r\n\r\n")
            head, answer = await client.answer()

            assert (head["status"], answer) == ("HTTP/1.1 500 Internal Server Error", b"internal error")
            assert "on purpose" in caplog.text

    run(body())


def test_each_token_is_a_chunk_of_its_own() -> None:
    async def body() -> None:
        async with SimulatedOllama() as service, connected(service.port) as client:
            await client.send(chat("say 600 tokens"))
            head = await client.head()
            chunks = await client.chunks()

            assert head["transfer-encoding"] == "chunked"
            assert len(chunks) == 601
            assert all(json.loads(chunk) and chunk.endswith(b"\n") for chunk in chunks)

    run(body())


def test_old_client_gets_the_answer_without_chunks() -> None:
    async def body() -> None:
        async with SimulatedOllama() as service, connected(service.port) as client:
            await client.send(chat("say 3 tokens").replace("HTTP/1.1", "HTTP/1.0"))
            head = await client.head()
            lines = (await client.ended()).splitlines()

            assert "transfer-encoding" not in head
            assert [json.loads(line)["done"] for line in lines] == [False, False, False, True]

    run(body())


@pytest.mark.parametrize("how", ["close", "reset", "half"])
def test_client_that_leaves_stops_the_answer(how: str) -> None:
    async def body() -> None:
        async with SimulatedOllama(faults=[Fault(FaultKind.ENDLESS)]) as service:
            async with connected(service.port) as client:
                await client.send(chat("go on"))
                await client.head()
                assert service.running_requests == 1
                if how == "reset":
                    raw = client.writer.get_extra_info("socket")
                    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                    client.writer.transport.abort()
                elif how == "half":
                    client.writer.write_eof()
                else:
                    client.writer.close()
                await service.until_idle()

            assert service.cancelled_requests == 1
            await service.until_idle()

    run(body())


def test_nothing_is_written_to_a_client_that_left(caplog: pytest.LogCaptureFixture) -> None:
    async def body() -> None:
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        written = 0
        left = asyncio.Event()

        async def answer(exchange: Exchange) -> None:
            nonlocal written
            exchange.begin(200, content_type="text/plain")
            client.close()  # between two turns of the loop, so that nobody has told us yet
            try:
                for _ in range(100):
                    exchange.send([b"x" * 1_000])
                    await exchange.drain()
                    written += 1
            finally:
                left.set()

        server = HttpServer(answer)
        await server.start()
        client.connect(("127.0.0.1", server.port))
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await left.wait()
        await server.stop()

        assert written < 3
        assert caplog.records == []

    run(body())


def test_client_that_does_not_read_makes_the_server_wait() -> None:
    async def body() -> None:
        async with SimulatedOllama(faults=[Fault(FaultKind.ENDLESS)]) as service, connected(service.port) as client:
            client.writer.transport.pause_reading()  # type: ignore[attr-defined]  # asyncio's own transports have it
            await client.send(chat("go on"))
            sent = -1
            for _ in range(10_000):
                await asyncio.sleep(0)
                if sent == service.tokens_sent > 0:
                    break
                sent = service.tokens_sent
            for _ in range(50):
                await asyncio.sleep(0)

            assert service.tokens_sent == sent
            assert service.running_requests == 1

    run(body())


def test_tokens_come_at_the_chosen_speed() -> None:
    async def body() -> None:
        clock = FrozenClock()
        speed = Speed(tokens_per_second=500, first_token_s=2.0)
        async with SimulatedOllama(speed=speed, clock=clock) as service, connected(service.port) as client:
            await client.send(chat("say 50 tokens"))
            await client.head()
            await client.chunks()

            assert clock.slept_s[0] == 2.0
            assert sum(clock.slept_s[1:]) == pytest.approx(49 / 500, abs=0.01)
            assert max(clock.slept_s[1:]) == pytest.approx(1 / 500, abs=0.001)

    run(body())


def test_port_that_another_has_is_not_shared() -> None:
    async def body() -> None:
        async with SimulatedOllama() as service:
            with pytest.raises(OSError, match="in use"):
                async with SimulatedOllama(port=service.port):
                    pass

            assert service.running_requests == 0

    run(body())


def test_port_is_kept_while_the_door_is_closed() -> None:
    async def body() -> None:
        async with SimulatedOllama() as service:
            await service.close_door()
            with pytest.raises(ConnectionRefusedError):
                async with connected(service.port):
                    pass
            with pytest.raises(OSError, match="in use"):
                async with SimulatedOllama(port=service.port):
                    pass
            await service.open_door()
            async with connected(service.port) as client:
                await client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                _, answer = await client.answer()

            assert answer == b"Ollama is running"

    run(body())


def test_service_that_ends_leaves_nothing_open() -> None:
    async def body() -> None:
        service = SimulatedOllama(faults=[Fault(FaultKind.STALL, 1)])
        await service.__aenter__()
        port = service.port
        async with connected(port) as client, connected(port):
            await client.send(chat("hi"))
            await client.head()
            await service.__aexit__()

            assert service.connections == 0
            assert service.running_requests == 0
        with socket.socket() as free:
            free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            free.bind(("127.0.0.1", port))

    run(body())
