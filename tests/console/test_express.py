"""The short way of channel data, against real SSH servers, and what it knows of the inside of asyncssh."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import asyncssh
import pytest
from asyncssh.constants import MSG_CHANNEL_DATA

from console.links.express import MOST_SPACE_BYTES, SPACE_BYTES, TESTED, Express, _unless_seen, fits, shortest_way
from providers.simulated.machine import SimulatedMachine
from tests.conftest import run
from tests.console.ssh_kit import serving
from tests.flows.link_kit import ECHO, Echo
from tests.sshd_kit import SSHD, Sshd

PATIENCE_S = 30.0
GCM = ["aes128-gcm@openssh.com"]
MEGABYTE = 1_000_000


class EchoSession(asyncssh.SSHTCPSession[bytes]):
    """The service at the other end: sends back what it gets, and ends when the client does."""

    def connection_made(self, channel: asyncssh.SSHTCPChannel[bytes]) -> None:
        self.channel = channel

    def data_received(self, data: bytes, datatype: object) -> None:
        self.channel.write(data)

    def eof_received(self) -> bool:
        self.channel.write_eof()
        return True


class Heard(asyncssh.SSHTCPSession[bytes]):
    """Keeps what it is given as it is given, so that it would show if somebody wrote over it later."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.count = 0
        self.is_closed = asyncio.Event()
        self.error: Exception | None = None
        self.has_ended = False
        self._more = asyncio.Event()

    def data_received(self, data: bytes, datatype: object) -> None:
        self.pieces.append(data)
        self.count += len(data)
        self._more.set()

    def eof_received(self) -> bool:
        self.has_ended = True
        self._more.set()
        return True

    def connection_lost(self, error: Exception | None) -> None:
        self.error = error
        self.is_closed.set()
        self._more.set()

    async def until(self, count: int) -> bytes:
        async with asyncio.timeout(PATIENCE_S):
            while self.count < count and not self.is_closed.is_set():
                self._more.clear()
                await self._more.wait()
        return b"".join(self.pieces)

    async def until_end(self) -> bytes:
        async with asyncio.timeout(PATIENCE_S):
            while not self.has_ended and not self.is_closed.is_set():
                self._more.clear()
                await self._more.wait()
        return b"".join(self.pieces)


class Pair(NamedTuple):
    """A connection to a server in this process, and the services that were opened there."""

    connection: asyncssh.SSHClientConnection
    create: Callable[..., Any]
    services: list[EchoSession]
    port: int

    async def open(self, session: Callable[[], Any] = Heard) -> tuple[Any, Any]:
        return await self.create(session, "127.0.0.1", 7, window=2 << 20, max_pktsize=64 << 10)  # type: ignore[no-any-return]

    @property
    def express(self) -> Express:
        way = self.create.__self__  # type: ignore[attr-defined]
        assert isinstance(way, Express)
        return way


@asynccontextmanager
async def pair(*, client: dict[str, Any] | None = None, server: dict[str, Any] | None = None) -> AsyncIterator[Pair]:
    services: list[EchoSession] = []

    class Lets(asyncssh.SSHServer):
        def begin_auth(self, username: str) -> bool:
            return False

        def connection_requested(self, *_: object) -> EchoSession:
            services.append(EchoSession())
            return services[-1]

    async with serving(Lets, **{"encryption_algs": GCM, **(server or {})}) as (port, key):
        connection = await connect(port, key, **(client or {}))
        try:
            yield Pair(connection, shortest_way(connection), services, port)
        finally:
            connection.abort()
            await connection.wait_closed()


async def connect(port: int, key: asyncssh.SSHKey | None = None, **how: Any) -> asyncssh.SSHClientConnection:
    trusted: Any = ([key.convert_to_public()], [], []) if key is not None else None
    options = {"username": "me", "client_keys": None, "agent_path": None, "config": None, "encryption_algs": GCM, **how}
    return await asyncssh.connect("127.0.0.1", port, known_hosts=trusted, **options)


class Chopped(asyncio.Protocol):
    """Passes on what comes from the network in pieces of a size, and changed where a test wants that."""

    def __init__(self, way: Express, size: int, change: Callable[[bytearray], None] | None = None) -> None:
        self._way = way
        self._size = size
        self._change = change

    def data_received(self, data: bytes) -> None:
        changed = bytearray(data)
        if self._change is not None:
            self._change(changed)
        while changed:
            space = self._way.get_buffer(-1)
            count = min(self._size, len(space), len(changed))
            space[:count] = changed[:count]
            self._way.buffer_updated(count)
            del changed[:count]

    def connection_lost(self, error: Exception | None) -> None:
        self._way.connection_lost(error)


def chop(each: Pair, size: int, change: Callable[[bytearray], None] | None = None) -> None:
    transport: Any = each.connection._transport
    transport.set_protocol(Chopped(each.express, size, change))


# What it knows of asyncssh


def test_asyncssh_is_of_a_version_whose_inside_is_known() -> None:
    assert asyncssh.__version__.startswith(TESTED)


CONNECTION_NAMES = """_channels _compressor _decompressor _inpbuf _kex_complete _max_recv_pktlen _pktlen _recv_blocksize
    _recv_encryption _recv_handler _recv_packet _recv_pkthdr _recv_seq _rekey_bytes _rekey_bytes_sent _rekey_seconds
    _rekey_time _send _send_encryption _send_seq _transport _update_recv_pktlen data_received internal_error"""
CHANNEL_NAMES = """_accept_data _flush_send_buf _recv_paused _recv_state _recv_window _send_buf _send_buf_len _send_chan
    _send_pktsize _send_state _send_window connect"""


def test_asyncssh_still_has_the_private_names_that_the_short_way_leans_on() -> None:
    async def body() -> None:
        async with pair() as each:
            channel, _ = await each.open()
            connection: Any = each.connection
            cipher = connection._recv_encryption._cipher

            assert fits(connection)
            assert [name for name in CONNECTION_NAMES.split() if not hasattr(connection, name)] == []
            assert [name for name in CHANNEL_NAMES.split() if not hasattr(channel, name)] == []
            assert (len(cipher._iv), len(cipher._key)) == (12, 16)
            before = cipher._iv
            cipher._update_iv()
            assert int.from_bytes(cipher._iv[4:]) == int.from_bytes(before[4:]) + 1
            assert cipher._iv[:4] == before[:4]

    run(body())


def test_another_version_of_asyncssh_is_used_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body() -> None:
        async with pair() as each:
            monkeypatch.setattr(asyncssh, "__version__", "2.99.0")

            assert not fits(each.connection)
            assert shortest_way(each.connection) == each.connection.create_connection

    run(body())


@pytest.mark.parametrize("cipher", ["chacha20-poly1305@openssh.com", "aes256-ctr"])
def test_other_ciphers_go_the_usual_way(cipher: str) -> None:
    async def body() -> None:
        options = {"encryption_algs": [cipher]}
        async with pair(client=options, server=options) as each:
            assert each.create == each.connection.create_connection
            channel, heard = await each.open()
            channel.write(b"x" * MEGABYTE)
            assert await heard.until(MEGABYTE) == b"x" * MEGABYTE

    run(body())


def test_compression_goes_the_usual_way() -> None:
    async def body() -> None:
        options = {"compression_algs": ["zlib@openssh.com"]}
        async with pair(client=options, server=options) as each:
            assert not fits(each.connection)

    run(body())


# What it does


def test_channel_data_goes_round_asyncssh_both_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body() -> None:
        async with pair() as each:
            channel, heard = await each.open()
            connection: Any = each.connection
            seen = 0
            sent: list[int] = []
            its_data_received, its_send_packet = connection.data_received, connection.send_packet

            def data_received(data: bytes) -> None:
                nonlocal seen
                seen += len(data)
                its_data_received(data)

            def send_packet(kind: int, *pieces: bytes, handler: Any = None) -> None:
                sent.append(kind)
                its_send_packet(kind, *pieces, handler=handler)

            monkeypatch.setattr(connection, "data_received", data_received)
            monkeypatch.setattr(connection, "send_packet", send_packet)
            text = os.urandom(8 * MEGABYTE)
            channel.write(text)
            channel.write_eof()

            assert await heard.until_end() == text
            assert seen < len(text) / 100
            assert MSG_CHANNEL_DATA not in sent
            far_side: Any = each.services[0].channel.get_connection()
            assert (connection._recv_seq, connection._send_seq) == (far_side._send_seq, far_side._recv_seq)

    run(body())


@pytest.mark.parametrize(("size", "count"), [(1, 20_000), (7, 90_000), (1000, MEGABYTE), (70_001, 4 * MEGABYTE)])
def test_packets_arrive_whole_in_whatever_pieces_they_come(size: int, count: int) -> None:
    async def body() -> None:
        async with pair() as each:
            channel, heard = await each.open()
            chop(each, size)
            text = os.urandom(count)
            channel.write(text)
            channel.write_eof()

            assert await heard.until_end() == text

    run(body())


@pytest.mark.parametrize("size", [13, 256 << 10])
@pytest.mark.parametrize("who", ["client", "server"])
def test_keys_are_exchanged_while_bytes_flow(who: str, size: int) -> None:
    async def body() -> None:
        options: dict[str, Any] = {who: {"rekey_bytes": 100_000}}
        async with pair(**options) as each:
            connection: Any = each.connection
            channel, heard = await each.open()
            chop(each, size)
            first = connection._recv_encryption
            keys = {id(first): first}
            text = os.urandom(2 * MEGABYTE)
            for begin in range(0, len(text), 50_000):
                channel.write(text[begin : begin + 50_000])
                await heard.until(begin // 2)
                keys[id(connection._recv_encryption)] = connection._recv_encryption
            channel.write_eof()

            assert await heard.until_end() == text
            assert len(keys) > 3

    run(body())


def test_the_data_of_many_channels_is_told_apart() -> None:
    async def body() -> None:
        async with pair() as each:
            opened = [await each.open() for _ in range(20)]
            texts = [os.urandom(1 + 13_001 * number) for number in range(20)]
            for begin in range(0, max(map(len, texts)), 9_000):
                for (channel, _), text in zip(opened, texts, strict=True):
                    channel.write(text[begin : begin + 9_000])
                await asyncio.sleep(0)
            for (_, heard), text in zip(opened, texts, strict=True):
                assert await heard.until(len(text)) == text

    run(body())


def test_more_than_the_window_of_the_other_side_waits_for_it() -> None:
    async def body() -> None:
        async with pair() as each:
            channel, heard = await each.open()
            await asyncio.sleep(0)
            each.services[0].channel.pause_reading()
            text = os.urandom(5 * MEGABYTE)
            channel.write(text)
            channel.write_eof()

            assert channel._send_window == 0
            assert channel.get_write_buffer_size() == len(text) - (2 << 20)
            each.services[0].channel.resume_reading()
            assert await heard.until_end() == text

    run(body())


def test_a_changed_packet_ends_the_connection_and_its_data_reaches_nobody() -> None:
    async def body() -> None:
        async with pair() as each:
            channel, heard = await each.open()
            passed = 0

            def change(data: bytearray) -> None:
                nonlocal passed
                if passed <= 700_000 < passed + len(data):
                    data[700_000 - passed] ^= 1
                passed += len(data)

            chop(each, 1 << 20, change)
            text = os.urandom(2 * MEGABYTE)
            channel.write(text)
            got = await heard.until(len(text))

            assert isinstance(heard.error, asyncssh.MACError)
            assert len(got) < 700_000
            assert text.startswith(got)

    run(body())


def test_a_packet_beyond_the_window_is_for_asyncssh_to_refuse() -> None:
    async def body() -> None:
        async with pair() as each:
            channel, heard = await each.open()
            await asyncio.sleep(0)
            channel.pause_reading()
            service: Any = each.services[0].channel
            service._send_window = 1 << 30
            service.write(bytes(3 << 20))

            async with asyncio.timeout(PATIENCE_S):
                await heard.is_closed.wait()
            assert isinstance(heard.error, asyncssh.ProtocolError)
            assert "Window exceeded" in str(heard.error)

    run(body())


def test_a_packet_that_is_too_long_is_for_asyncssh_to_refuse() -> None:
    async def body() -> None:
        async with pair() as each:
            _, heard = await each.open()
            await asyncio.sleep(0)
            each.express.get_buffer(-1)[:4] = (1 << 20).to_bytes(4)
            each.express.get_buffer(-1)[4:20] = bytes(16)
            each.express.buffer_updated(20)

            async with asyncio.timeout(PATIENCE_S):
                await heard.is_closed.wait()
            assert "Max packet size exceeded" in str(heard.error)

    run(body())


def test_an_exception_of_a_session_ends_the_connection_as_it_does_with_asyncssh() -> None:
    class Fails(Heard):
        def data_received(self, data: bytes, datatype: object) -> None:
            raise ZeroDivisionError

    async def body() -> None:
        async with pair() as each:
            channel, heard = await each.open(Fails)
            channel.write(b"x" * 100_000)

            async with asyncio.timeout(PATIENCE_S):
                await heard.is_closed.wait()
            assert isinstance(heard.error, ZeroDivisionError)

    run(body())


def test_what_a_paused_channel_gets_is_kept_as_small_as_it_is() -> None:
    async def body() -> None:
        async with pair() as each:
            channel, heard = await each.open()
            await asyncio.sleep(0)
            service = each.services[0].channel
            service.write(bytes(MEGABYTE))
            await heard.until(MEGABYTE)
            channel.pause_reading()
            room = channel._recv_window
            service.write(bytes(room))
            async with asyncio.timeout(PATIENCE_S):
                while channel._recv_window:
                    await asyncio.sleep(0)

            assert memoryview in {type(data) for data in heard.pieces}
            assert {type(data) for data, _ in channel._recv_buf} == {bytes}
            channel.resume_reading()
            assert len(await heard.until(MEGABYTE + room)) == MEGABYTE + room

    run(body())


def test_space_that_somebody_looks_at_is_left_to_him() -> None:
    space = bytearray(b"abc")
    look = memoryview(space)[1:]

    other = _unless_seen(space)
    look.release()

    assert (other, space) == (bytearray(3), bytearray(b"abc"))
    assert other is not space
    assert _unless_seen(space) is space
    assert space == b"abc"


def test_space_grows_with_what_comes() -> None:
    async def body() -> None:
        async with pair() as each:
            channel, heard = await each.open()
            channel.write(b"x" * 1000)
            await heard.until(1000)
            assert len(each.express._space) == SPACE_BYTES

            channel.write(b"x" * 4 * MEGABYTE)
            await heard.until(4 * MEGABYTE)
            assert len(each.express._space) == MOST_SPACE_BYTES

    run(body())


def test_a_connection_through_another_sends_the_short_way() -> None:
    async def body() -> None:
        async with pair() as outer:
            address = ("127.0.0.1", outer.port)

            class Through(asyncssh.SSHServer):
                def begin_auth(self, username: str) -> bool:
                    return False

                def connection_requested(self, host: str, port: int, *_: object) -> bool:
                    return (host, port) == address

            async with serving(Through) as (port, key):
                way = await connect(port, key)
                inner = await connect(outer.port, tunnel=way)
                channel, heard = await Pair(inner, shortest_way(inner), [], 0).open()
                text = os.urandom(3 * MEGABYTE)
                channel.write(text)

                assert fits(inner)
                assert await heard.until(len(text)) == text
                inner.abort()
                await inner.wait_closed()
                way.abort()
                await way.wait_closed()

    run(body())


@asynccontextmanager
async def simulated(folder: Path, echo: Echo) -> AsyncIterator[tuple[asyncssh.SSHClientConnection, tuple[str, int]]]:
    async with SimulatedMachine("berth", services={ECHO: echo.address}) as machine:
        key = asyncssh.import_public_key(machine.host_key)
        how = {"username": machine.user, "client_keys": [str(machine.key_file)], "rekey_bytes": 1 << 20}
        connection = await connect(machine.port, key, **how)
        try:
            yield connection, ("127.0.0.1", ECHO)
        finally:
            connection.abort()
            await connection.wait_closed()


@asynccontextmanager
async def openssh(folder: Path, echo: Echo) -> AsyncIterator[tuple[asyncssh.SSHClientConnection, tuple[str, int]]]:
    with Sshd(folder / "sshd", options=["RekeyLimit 1M"]) as sshd:
        connection = await sshd.connect(encryption_algs=GCM)
        try:
            yield connection, echo.address
        finally:
            connection.abort()
            await connection.wait_closed()


@pytest.mark.parametrize(
    "server", [simulated, *([openssh] if SSHD is not None else [])], ids=lambda make: make.__name__
)
def test_every_server_takes_it_and_exchanges_keys_meanwhile(server: Callable[..., Any], tmp_path: Path) -> None:
    async def body() -> None:
        async with Echo() as echo, server(tmp_path, echo) as (connection, address):
            first = connection._recv_encryption
            channel, heard = await shortest_way(connection)(Heard, *address, window=2 << 20, max_pktsize=64 << 10)
            text = os.urandom(12 * MEGABYTE)
            channel.write(text)
            channel.write_eof()

            assert await heard.until_end() == text
            assert connection._recv_encryption is not first

    run(body())
