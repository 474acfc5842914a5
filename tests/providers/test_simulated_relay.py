"""The relay: what passes, what is slow, what freezes, what is lost, and what breaks."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from providers.simulated.relay import Relay
from tests.conftest import run
from tests.providers.machine_clients import within


class Echo:
    """A server that sends back what it gets, and its end after the client's end."""

    def __init__(self) -> None:
        self.port = 0
        self.broken: list[BaseException] = []
        self.ended = 0
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None] | None] = set()

    async def __aenter__(self) -> Echo:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        await within(asyncio.gather(*(task for task in self._serving if task is not None)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._serving.add(asyncio.current_task())
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
            self.ended += 1
        except OSError as error:
            self.broken.append(error)
        finally:
            writer.close()


@asynccontextmanager
async def passing(**options: float) -> AsyncIterator[tuple[Echo, Relay]]:
    async with Echo() as echo, Relay(("127.0.0.1", echo.port), **options) as relay:  # type: ignore[arg-type]
        yield echo, relay


async def dial(relay: Relay) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection(relay.host, relay.port)


async def ping(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, word: bytes = b"ping") -> bytes:
    writer.write(word)
    return await within(reader.readexactly(len(word)))  # type: ignore[no-any-return]


async def silence(reader: asyncio.StreamReader) -> bool:
    """Whether nothing comes for a moment."""
    try:
        await asyncio.wait_for(reader.read(1), 0.1)
    except TimeoutError:
        return True
    return False


def test_bytes_pass_both_ways_and_so_do_halves_of_an_end() -> None:
    async def body() -> None:
        async with passing() as (echo, relay):
            reader, writer = await dial(relay)
            data = os.urandom(3_000_000)
            writer.write(data)
            writer.write_eof()

            assert await within(reader.read()) == data
            writer.close()
            await within(relay.until(lambda: not relay.flows))
            assert (echo.ended, echo.broken) == (1, [])

    run(body())


def test_frozen_relay_goes_on_where_it_was() -> None:
    async def body() -> None:
        async with passing() as (_, relay):
            reader, writer = await dial(relay)
            await ping(reader, writer)
            relay.freeze()
            writer.write(b"held")
            later_reader, later_writer = await within(dial(relay))
            later_writer.write(b"later")

            assert await silence(reader)
            assert relay.accepted == 1
            await relay.thaw()
            assert await within(reader.readexactly(4)) == b"held"
            assert await within(later_reader.readexactly(5)) == b"later"
            writer.close()
            later_writer.close()

    run(body())


def test_lost_flows_stay_silent_and_new_ones_pass() -> None:
    async def body() -> None:
        async with passing() as (echo, relay):
            reader, writer = await dial(relay)
            await ping(reader, writer)
            relay.lose_flows()
            writer.write(b"gone")
            new_reader, new_writer = await dial(relay)

            assert await ping(new_reader, new_writer) == b"ping"
            await relay.thaw()
            assert await silence(reader)
            assert (echo.ended, echo.broken) == (0, [])
            writer.close()
            new_writer.close()

    run(body())


def test_reset_breaks_both_sides() -> None:
    async def body() -> None:
        async with passing() as (echo, relay):
            reader, writer = await dial(relay)
            await ping(reader, writer)
            relay.reset_flows()

            with pytest.raises(ConnectionResetError):
                await within(reader.read())
            await within(relay.until(lambda: not relay.flows))
            writer.close()
            while not echo.broken:
                await asyncio.sleep(0)
            assert isinstance(echo.broken[0], ConnectionResetError)

    run(body())


def test_close_ends_both_sides_in_order() -> None:
    async def body() -> None:
        async with passing() as (echo, relay):
            reader, writer = await dial(relay)
            await ping(reader, writer)
            relay.close_flows()

            assert await within(reader.read()) == b""
            writer.close()
            await within(relay.until(lambda: not relay.flows))
            while not echo.ended:
                await asyncio.sleep(0)
            assert echo.broken == []

    run(body())


def test_refusing_relay_keeps_its_port_and_its_flows() -> None:
    async def body() -> None:
        async with passing() as (_, relay):
            reader, writer = await dial(relay)
            port = relay.port
            relay.refuse()
            with pytest.raises(ConnectionRefusedError):
                await dial(relay)

            assert await ping(reader, writer) == b"ping"
            await relay.accept()
            again_reader, again_writer = await dial(relay)
            assert relay.port == port
            assert await ping(again_reader, again_writer) == b"ping"
            writer.close()
            again_writer.close()

    run(body())


def test_target_that_refuses_is_a_reset() -> None:
    async def body() -> None:
        async with Relay(("127.0.0.1", 1)) as relay:
            reader, writer = await dial(relay)
            with pytest.raises(ConnectionResetError):
                await within(reader.read())
            writer.close()
            await within(relay.until(lambda: not relay.flows))

            assert relay.accepted == 1

    run(body())


def test_target_may_move() -> None:
    async def body() -> None:
        async with passing() as (_, relay), Echo() as other:
            relay.target = ("127.0.0.1", other.port)
            reader, writer = await dial(relay)
            await ping(reader, writer)
            writer.write_eof()
            await within(reader.read())

            assert other.ended == 1
            writer.close()

    run(body())


def test_latency_and_bandwidth_take_their_time_and_lose_nothing() -> None:
    async def body() -> None:
        async with passing(latency_s=0.05, bytes_per_second=1_000_000) as (_, relay):
            loop = asyncio.get_running_loop()
            reader, writer = await dial(relay)
            before = loop.time()
            await ping(reader, writer)
            round_trip_s = loop.time() - before
            data = os.urandom(200_000)
            before = loop.time()
            writer.write(data)

            assert await within(reader.readexactly(len(data))) == data
            assert round_trip_s >= 0.1
            assert loop.time() - before >= 0.3  # two tenths at that speed, and the way there and back
            writer.close()

    run(body())


def test_much_passes_at_a_distance() -> None:
    async def body() -> None:
        async with passing(latency_s=0.02) as (_, relay):
            reader, writer = await dial(relay)
            data = os.urandom(20_000_000)

            async def send() -> None:
                writer.write(data)
                await writer.drain()
                writer.write_eof()

            _, back = await within(asyncio.gather(send(), reader.read()))
            assert back == data
            writer.close()

    run(body())


def test_slow_reader_holds_the_writer_back() -> None:
    async def body() -> None:
        async with passing() as (_, relay):
            reader, writer = await dial(relay)
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            piece = bytes(1_000_000)
            sent = 0
            try:
                while sent < 200:
                    writer.write(piece)
                    await asyncio.wait_for(writer.drain(), 0.2)
                    sent += 1
            except TimeoutError:
                pass

            assert sent < 100
            writer.transport.resume_reading()  # type: ignore[attr-defined]
            assert len(await within(reader.readexactly(sent * len(piece)))) == sent * len(piece)
            writer.transport.abort()

    run(body())


def test_relay_that_ends_ends_frozen_flows_too() -> None:
    async def body() -> None:
        async with passing() as (_, relay):
            reader, writer = await dial(relay)
            await ping(reader, writer)
            relay.freeze()
        with pytest.raises(ConnectionResetError):
            await within(reader.read())
        writer.close()

        assert not relay.flows

    run(body())
