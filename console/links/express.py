"""The short way for channel data: what asyncssh does for each packet of it, with fewer calls and copies.

asyncssh copies a packet about ten times on its way in, moves everything that came behind it each time, and sends an
empty packet before each that goes out, which AES-GCM has no use for. That is half of what a fast tunnel costs. Here
nothing but plain channel data takes the short way; everything else, and everything unusual, is left to asyncssh byte
for byte: a packet that is not taken is handed over as it came, still encrypted, with all counters untouched.

This leans on private names of asyncssh, and on what they mean. So only a version that it was tested with is treated
this way, and any other is used as it is; tests/console/test_express.py fails when there is another.
"""

from __future__ import annotations

import asyncio
import os
import struct
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import asyncssh
from asyncssh.constants import MSG_CHANNEL_DATA
from asyncssh.encryption import GCMEncryption
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

CreateConnection: TypeAlias = Callable[..., Awaitable[tuple[asyncssh.SSHTCPChannel[bytes], Any]]]

TESTED = "2.24."
"""The versions of asyncssh whose inside is known here."""
SPACE_BYTES, MOST_SPACE_BYTES = 16 << 10, 128 << 10
"""What is read from the network at a time, to begin with and while much comes."""
SEND_BYTES = 256 << 10
"""What is encrypted at a time before it is sent."""
LENT_BYTES = 64 << 10
"""Data from this size on is not copied for its receiver; less would hold on to much space for little data."""
_LONGEST_PADDING = 19
_TAG_BYTES = 16
_BLOCK_BYTES = 16
_LENGTH = struct.Struct(">I")
_HEAD = struct.Struct(">BBII")  # of channel data: padding, type, channel, size
_NONCE = struct.Struct(">4sQ")  # a fixed part, and the number of the packet


def fits(connection: asyncssh.SSHClientConnection) -> bool:
    """Whether this asyncssh and the ciphers of this connection are what the short way is made for."""
    its: Any = connection
    return (
        asyncssh.__version__.startswith(TESTED)
        and hasattr(AESGCM, "decrypt_into")
        and isinstance(its, asyncssh.SSHClientConnection)
        and _is_plain_gcm(its._recv_encryption, its._decompressor)
        and _is_plain_gcm(its._send_encryption, its._compressor)
    )


def shortest_way(connection: asyncssh.SSHClientConnection) -> CreateConnection:
    """What opens channels over a connection from here on: its own `create_connection`, or one that is faster."""
    return Express(connection).create_connection if fits(connection) else connection.create_connection


class Express(asyncio.BufferedProtocol):
    """Stands between a connection and its socket, and takes the channel data out of what comes."""

    def __init__(self, connection: asyncssh.SSHClientConnection) -> None:
        self._its: Any = connection
        self._space = bytearray(SPACE_BYTES)
        self._view = memoryview(self._space)
        self._start = self._end = 0
        self._plain = bytearray(SPACE_BYTES)
        self._packet = bytearray()
        self._sealed = bytearray()
        self._opens = _Key()
        self._seals = _Key()
        set_protocol = getattr(self._its._transport, "set_protocol", None)
        if set_protocol is not None:  # it is None where one connection runs through another
            set_protocol(self)

    async def create_connection(
        self, session: Callable[[], Any], host: str, port: int, *, window: int, max_pktsize: int
    ) -> tuple[ExpressChannel, Any]:
        """As that of asyncssh, except that the session may be given a memoryview of what came."""
        self._its._update_recv_pktlen(max_pktsize)
        channel = ExpressChannel(self, self._its, asyncio.get_running_loop(), None, "strict", window, max_pktsize)
        return channel, await channel.connect(session, host, port, "", 0)

    # From the socket

    def connection_lost(self, error: Exception | None) -> None:
        self._its.connection_lost(error)

    def eof_received(self) -> None:
        self._its.eof_received()

    def pause_writing(self) -> None:
        self._its.pause_writing()

    def resume_writing(self) -> None:
        self._its.resume_writing()

    def get_buffer(self, sizehint: int) -> memoryview:
        left = self._end - self._start
        if self._end == len(self._space) < MOST_SPACE_BYTES:
            space = bytearray(len(self._space) * 2)
            space[:left] = self._view[self._start : self._end]
            self._space, self._view = space, memoryview(space)
            self._plain = bytearray(len(space))
        elif self._start:
            self._view[:left] = self._view[self._start : self._end]
        self._start, self._end = 0, left
        return self._view[left:]

    def buffer_updated(self, count: int) -> None:
        its = self._its
        self._end += count
        while (left := self._end - self._start) and its._transport is not None:
            foreign = self._wanted_by_asyncssh(left) or self._take()
            if not foreign:
                return
            begin, self._start = self._start, min(self._start + foreign, self._end)
            its.data_received(bytes(self._view[begin : self._start]))
        if its._transport is None:  # it has ended, and what is left is for nobody
            self._start = self._end = 0

    def _wanted_by_asyncssh(self, left: int) -> int:
        """How many bytes asyncssh needs to get to the end of a packet it has begun; 0 if it has begun none."""
        its = self._its
        if _is_plain_gcm(its._recv_encryption, its._decompressor):
            begun = len(its._inpbuf)
            if its._recv_handler == its._recv_pkthdr:
                return int(its._recv_blocksize - begun) if begun else 0
            if its._recv_handler == its._recv_packet:
                return int(_LENGTH.size + its._pktlen + _TAG_BYTES - its._recv_blocksize - begun)
        return left  # it waits for something before it goes on, as while keys are exchanged

    def _take(self) -> int:
        """Take the channel data at the start; returns the size of the packet behind it if that is for asyncssh.

        A packet is decrypted to where its head lies over the last bytes of the data before it, which are put back. So
        the data of all packets that came together lie together, and reach the client in one write.
        """
        its = self._its
        cipher = its._recv_encryption._cipher
        decrypt_into = self._opens.of(cipher).decrypt_into
        fixed, number = _NONCE.unpack(cipher._iv)
        view, start, end = self._view, self._start, self._end
        longest = min(its._max_recv_pktlen, MOST_SPACE_BYTES - _LENGTH.size - _TAG_BYTES)
        runs = _Runs(its._channels)
        last = _HEAD.size
        taken = foreign = 0
        with memoryview(self._plain) as plain:
            while end - start >= _LENGTH.size:
                (length,) = _LENGTH.unpack_from(view, start)
                body = start + _LENGTH.size
                after = body + length + _TAG_BYTES
                if length > longest or length < _HEAD.size:
                    foreign = after - start
                    break
                if after > end:
                    break
                head = last - _HEAD.size
                behind = bytes(plain[head:last])
                nonce = _NONCE.pack(fixed, number)
                try:
                    decrypt_into(nonce, view[body:after], view[start:body], plain[head : head + length])
                    padding, kind, channel, count = _HEAD.unpack_from(plain, head)
                except InvalidTag:
                    kind = -1
                finally:
                    plain[head:last] = behind
                if (
                    kind != MSG_CHANNEL_DATA
                    or _HEAD.size + count + padding != length
                    or not runs.add(channel, last, count)
                ):
                    foreign = after - start
                    break
                taken += 1
                number = (number + 1) & 0xFFFFFFFFFFFFFFFF
                last += count
                start = after
            if taken:
                self._start = start
                cipher._iv = _NONCE.pack(fixed, number)
                its._recv_seq = (its._recv_seq + taken) & 0xFFFFFFFF
                for each, begin, its_end in runs.finished():
                    self._deliver(each, plain[begin:its_end])
        if taken:
            self._plain = _unless_seen(self._plain)
        return foreign

    def _deliver(self, channel: Any, data: memoryview) -> None:
        is_lent = len(data) >= LENT_BYTES and isinstance(channel, ExpressChannel) and not channel._recv_paused
        try:
            channel._accept_data(data if is_lent else bytes(data))
        except Exception:  # noqa: BLE001 - ends the connection and is logged there, as from any packet
            self._its.internal_error()

    # To the socket

    def send(self, number: int, view: memoryview, packet_bytes: int) -> int:
        """Send data over a channel; returns how much of it was sent, which is none if it has to go the usual way."""
        its = self._its
        if (
            not _is_plain_gcm(its._send_encryption, its._compressor)
            or not its._kex_complete
            or its._rekey_bytes_sent >= its._rekey_bytes
            or (its._rekey_seconds and time.monotonic() >= its._rekey_time)
        ):
            return 0
        cipher = its._send_encryption._cipher
        encrypt_into = self._seals.of(cipher).encrypt_into
        all_bytes = min(len(view), SEND_BYTES)
        self._make_room(all_bytes, packet_bytes)
        random = os.urandom(_LONGEST_PADDING)
        sent = end = 0
        with memoryview(self._sealed) as sealed, memoryview(self._packet) as packet:
            while sent < all_bytes:
                count = min(all_bytes - sent, packet_bytes)
                padding = 4 + -(_HEAD.size + count + 4) % _BLOCK_BYTES
                length = _HEAD.size + count + padding
                _HEAD.pack_into(packet, 0, padding, MSG_CHANNEL_DATA, number, count)
                packet[_HEAD.size : _HEAD.size + count] = view[sent : sent + count]
                packet[_HEAD.size + count : length] = random[:padding]
                _LENGTH.pack_into(sealed, end, length)
                body, after = end + _LENGTH.size, end + _LENGTH.size + length + _TAG_BYTES
                encrypt_into(cipher._iv, packet[:length], sealed[end:body], sealed[body:after])
                cipher._update_iv()
                its._send_seq = (its._send_seq + 1) & 0xFFFFFFFF
                its._rekey_bytes_sent += length
                sent, end = sent + count, after
            its._send(sealed[:end])
        self._sealed = _unless_seen(self._sealed)
        return sent

    def _make_room(self, all_bytes: int, packet_bytes: int) -> None:
        beside = _LENGTH.size + _HEAD.size + _LONGEST_PADDING + _TAG_BYTES
        sealed_bytes = all_bytes + beside * -(-all_bytes // packet_bytes)
        if len(self._sealed) < sealed_bytes:
            self._sealed = bytearray(sealed_bytes)
        if len(self._packet) < (bytes_at_once := min(all_bytes, packet_bytes) + beside):
            self._packet = bytearray(bytes_at_once)


class ExpressChannel(asyncssh.SSHTCPChannel[bytes]):
    """A channel that sends its data the short way."""

    def __init__(self, way: Express, *how: Any) -> None:
        super().__init__(*how)
        self._way = way

    def write(self, data: bytes, datatype: int | None = None) -> None:
        sent = 0
        if self._send_state == "open" and not self._send_buf and datatype is None:
            sent = self._send_short(data)
        if sent < len(data) or not data:
            super().write(data[sent:], datatype)

    def _flush_send_buf(self) -> None:
        while self._send_buf:
            waiting, datatype = self._send_buf[0]
            sent = self._send_short(waiting) if datatype is None else 0
            if not sent:
                break
            del waiting[:sent]
            self._send_buf_len -= sent
            if not waiting:
                del self._send_buf[0]
        super()._flush_send_buf()

    def _send_short(self, data: bytes | bytearray) -> int:
        sent = 0
        with memoryview(data) as view:
            while (count := min(len(data) - sent, self._send_window)) and self._send_chan is not None:
                just_sent = self._way.send(self._send_chan, view[sent : sent + count], self._send_pktsize)
                if not just_sent:
                    break
                sent += just_sent
                self._send_window -= just_sent
        return sent


class _Runs:
    """What came for each channel, as long as it lies together: channel, begin and end."""

    __slots__ = ("_begin", "_channel", "_channels", "_end", "_number", "_room", "_runs")

    def __init__(self, channels: dict[int, Any]) -> None:
        self._channels = channels
        self._runs: list[tuple[Any, int, int]] = []
        self._channel: Any = None
        self._number = -1
        self._room = self._begin = self._end = 0

    def add(self, number: int, begin: int, count: int) -> bool:
        """Note data for a channel, if it may get that much."""
        if number != self._number:
            self.finished()
            self._channel, self._number = self._channels.get(number), number
            self._begin = self._end = begin
            self._room = -1
            if self._channel is not None and self._channel._recv_state == "open":
                waiting = sum(its_end - its for each, its, its_end in self._runs if each is self._channel)
                self._room = self._channel._recv_window - waiting
        if count > self._room:
            return False
        self._room -= count
        self._end = begin + count
        return True

    def finished(self) -> list[tuple[Any, int, int]]:
        if self._end > self._begin:
            self._runs.append((self._channel, self._begin, self._end))
            self._begin = self._end
        return self._runs


class _Key:
    """The key of a cipher, made ready once for all packets until keys are exchanged."""

    __slots__ = ("_cipher", "_ready")

    def __init__(self) -> None:
        self._cipher: Any = None
        self._ready: AESGCM | None = None

    def of(self, cipher: Any) -> AESGCM:
        if self._ready is None or cipher is not self._cipher:
            self._cipher, self._ready = cipher, AESGCM(cipher._key)
        return self._ready


def _is_plain_gcm(encryption: object, compression: object) -> bool:
    return type(encryption) is GCMEncryption and compression is None


def _unless_seen(space: bytearray) -> bytearray:
    """The same space if nobody looks at it any more, else another: a transport may keep what it could not send."""
    try:
        space.append(space.pop())  # refused while there is a view of it
    except BufferError:
        return bytearray(len(space))
    return space
