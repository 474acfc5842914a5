"""One client of a local port and its channel: bytes both ways, each end told of the other.

A stream that the service ended, ends. A stream that was lost is reset, because a plain end would make half an answer
look complete. No exception may leave a callback of the channel: asyncssh would close the whole connection, and with it
every other stream.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, TypeVar

from console.errors import LinkError

if TYPE_CHECKING:
    import asyncssh

    from console.links.leg import Leg

log = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")

EARLY_BYTES = 256 << 10
"""How much of what a client sends before its channel is open is kept; after that it has to wait."""
BUFFER_BYTES = 1 << 20
"""How much is buffered towards a client, or towards the machine, before the other end has to pause."""
BULK_BYTES = 8 << 10
"""Pieces from this size on are collected while one read from the network is taken apart, and written together."""
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER with no time to linger: closing sends RST instead of FIN


class Opens(Protocol):
    """What gives a stream its channel: a link, bound to one host and port."""

    def __call__(self, session: Callable[[], Any]) -> Awaitable[tuple[asyncssh.SSHTCPChannel[bytes], Any, Leg]]: ...


class Accounts(Protocol):
    """Who keeps the figures of a local port."""

    bytes_up: int
    bytes_down: int

    def stream_connected(self, stream: Stream) -> None: ...
    def stream_refused(self, stream: Stream, error: LinkError) -> None: ...
    def stream_ended(self, stream: Stream) -> None: ...


def _guarded(callback: Callable[Concatenate[Stream, P], R]) -> Callable[Concatenate[Stream, P], R | None]:
    def guarded(stream: Stream, /, *arguments: P.args, **named: P.kwargs) -> R | None:
        try:
            return callback(stream, *arguments, **named)
        except Exception:
            log.exception("a stream failed")
            stream.lost("A fault in Hawser")
            return None

    return guarded


class Stream(asyncio.Protocol):
    """The client's side of the bridge. Lives from its accept until both sides are closed."""

    __slots__ = (
        "_accounts",
        "_awaits_answer",
        "_bulk",
        "_channel",
        "_early",
        "_early_end",
        "_far_ended",
        "_is_connected",
        "_leg",
        "_loop",
        "_opening",
        "_opens",
        "_stall",
        "_transport",
        "is_over",
    )

    def __init__(self, opens: Opens, accounts: Accounts, loop: asyncio.AbstractEventLoop) -> None:
        self._opens = opens
        self._accounts = accounts
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._channel: asyncssh.SSHTCPChannel[bytes] | None = None
        self._leg: Leg | None = None
        self._opening: asyncio.Task[None] | None = None
        self._bulk: list[bytes] = []
        self._early = bytearray()
        self._early_end = False
        self._far_ended = False
        self._is_connected = False
        self._awaits_answer = False
        self._stall: asyncio.TimerHandle | None = None
        self.is_over = False

    @property
    def is_held(self) -> bool:
        """Whether it still waits for its channel."""
        return not self._is_connected and not self.is_over

    # From the client

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.set_write_buffer_limits(high=BUFFER_BYTES)
        self._opening = self._loop.create_task(self._open())

    async def _open(self) -> None:
        try:
            channel, _, leg = await self._opens(lambda: Far(self))
        except LinkError as error:
            self._accounts.stream_refused(self, error)
            self._reset_client()
            self._end()
        except Exception:
            log.exception("a stream could not be opened")
            self._reset_client()
            self._end()
        else:
            self._connected(channel, leg)
        finally:
            self._opening = None

    def _connected(self, channel: asyncssh.SSHTCPChannel[bytes], leg: Leg) -> None:
        if self.is_over or leg.is_dead:
            channel.abort()
            self.lost("The connection broke")
            return
        self._channel, self._leg = channel, leg
        self._is_connected = True
        leg.add(self)
        self._accounts.stream_connected(self)
        try:
            channel.set_write_buffer_limits(high=BUFFER_BYTES)
            assert self._transport is not None
            self._transport.resume_reading()
            if self._early:
                self._send(bytes(self._early))
                self._early.clear()
            if self._early_end:
                channel.write_eof()
        except Exception:  # the channel ended while it was being opened
            log.debug("a channel ended as it was opened", exc_info=True)
            self.lost("The connection broke")

    @_guarded
    def data_received(self, data: bytes) -> None:
        if self._channel is not None:
            self._send(data)
        elif not self._is_connected:
            self._early += data
            if len(self._early) >= EARLY_BYTES and self._transport is not None:
                self._transport.pause_reading()

    def _send(self, data: bytes) -> None:
        leg, channel = self._leg, self._channel
        assert leg is not None
        assert channel is not None
        if leg.is_replaced and leg.is_late and not self._awaits_answer:
            # A new request on a kept connection whose leg is out of use: a reset lets the client connect anew at once.
            self.lost("The connection was replaced")
            return
        self._accounts.bytes_up += len(data)
        try:
            channel.write(data)
        except OSError:  # the far side has closed; its own callback tells how it ended
            return
        if not self._awaits_answer:
            self._awaits_answer = True
            self._stall = self._loop.call_later(leg.stall_s, self._stalled)

    def _stalled(self) -> None:
        self._stall = None
        if self._leg is not None:
            self._leg.ask_now()

    def eof_received(self) -> bool:
        if self._channel is None:
            self._early_end = True
        else:
            self._write_end()
        return True

    @_guarded
    def _write_end(self) -> None:
        assert self._channel is not None
        try:
            self._channel.write_eof()
        except OSError:
            pass

    def pause_writing(self) -> None:
        if self._channel is not None:
            self._channel.pause_reading()

    def resume_writing(self) -> None:
        if self._channel is not None:
            self._resume_far()

    @_guarded
    def _resume_far(self) -> None:
        assert self._channel is not None
        self._channel.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:
        """The client is gone. A channel that is still being opened is closed by whoever opens it."""
        if self.is_over:
            return
        if self._opening is not None:
            self._opening.cancel()
        self._abort_channel()
        self._end()

    # From the machine

    @_guarded
    def far_data(self, data: bytes | memoryview) -> None:
        if self._awaits_answer:
            self._answered()
        self._accounts.bytes_down += len(data)
        if isinstance(data, memoryview):
            self._pass_on_bulk()
            if self._transport is not None and not self._transport.is_closing():
                # A view holds on to all the space it lies in, so what has to wait for the client waits as a copy.
                self._transport.write(bytes(data) if self._transport.get_write_buffer_size() else data)
        elif self._bulk:
            self._bulk.append(data)
        elif len(data) >= BULK_BYTES:
            self._bulk.append(data)
            self._loop.call_soon(self._pass_on_bulk)
        elif self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def _pass_on_bulk(self) -> None:
        """Everything that came with one read from the network, in one write."""
        pieces, self._bulk = self._bulk, []
        if pieces and self._transport is not None and not self._transport.is_closing():
            self._transport.write(pieces[0] if len(pieces) == 1 else b"".join(pieces))

    def _answered(self) -> None:
        self._awaits_answer = False
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None

    @_guarded
    def far_ended(self) -> None:
        """The service has no more to say; the client may."""
        self._far_ended = True
        self._pass_on_bulk()
        transport = self._transport
        if transport is not None and not transport.is_closing():
            try:
                transport.write_eof()
            except OSError:  # the client has just gone
                pass

    @_guarded
    def far_closed(self, error: Exception | None) -> None:
        if self.is_over:
            return
        if error is None and self._far_ended and self._leg is not None and not self._leg.is_dead:
            self._channel = None
            self._leg.remove(self)
            self._leg = None
            assert self._transport is not None
            self._pass_on_bulk()
            self._transport.close()  # after what is still buffered; `connection_lost` is the end
        elif error is not None and self._leg is not None:
            self._leg.broke()  # which tells this stream as well
            self.lost("The connection broke")
        else:
            self.lost("The service closed the connection")

    def far_paused(self) -> None:
        if self._transport is not None:
            self._transport.pause_reading()

    def far_resumed(self) -> None:
        if self._transport is not None and not self.is_over:
            self._transport.resume_reading()

    # The end

    def lost(self, reason: str) -> None:
        """Whatever it was carrying is cut off: the client is told so by a reset."""
        if self.is_over:
            return
        log.debug("a stream was reset: %s", reason)
        if self._opening is not None and self._opening is not asyncio.current_task(self._loop):
            self._opening.cancel()
        self._abort_channel()
        self._reset_client()
        self._end()

    def _abort_channel(self) -> None:
        channel, self._channel = self._channel, None
        if channel is None or self._leg is None or self._leg.is_dead:
            return
        try:
            channel.abort()
        except Exception:  # the connection below it has gone in this moment
            log.debug("a channel could not be aborted", exc_info=True)

    def _reset_client(self) -> None:
        if self._transport is not None:
            self._pass_on_bulk()  # what has come counts, even if no more will
            reset(self._transport)

    def _end(self) -> None:
        if self.is_over:
            return
        self.is_over = True
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None
        self._early.clear()
        if self._leg is not None:
            self._leg.remove(self)
        self._accounts.stream_ended(self)


def reset(transport: asyncio.BaseTransport) -> None:
    """Close a connection so that its other side sees an error, and no end."""
    assert isinstance(transport, asyncio.Transport)
    its_socket = transport.get_extra_info("socket")
    try:
        its_socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    except OSError:  # closed already
        pass
    transport.abort()


class Far:
    """The channel's side of the bridge, as asyncssh calls it."""

    __slots__ = ("_stream",)

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def connection_made(self, channel: object) -> None: ...
    def session_started(self) -> None: ...

    def data_received(self, data: bytes | memoryview, datatype: object) -> None:
        self._stream.far_data(data)

    def eof_received(self) -> bool:
        self._stream.far_ended()
        return True  # half open: the client may still be sending

    def connection_lost(self, error: Exception | None) -> None:
        self._stream.far_closed(error)

    def pause_writing(self) -> None:
        self._stream.far_paused()

    def resume_writing(self) -> None:
        self._stream.far_resumed()
