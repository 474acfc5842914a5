"""A small HTTP/1.1 server on loopback that lets its owner misbehave on purpose.

It does what a real one does (keep-alive, pipelining, chunked answers, HEAD, `Expect: 100-continue`, bounded requests)
and tells a handler that its client went away by cancelling it. Beyond that it can do what a healthy server never does:
send half a chunk, close without an end, reset, or close its door and open it again on the same port.
"""

from __future__ import annotations

import asyncio
import http
import json
import logging
import socket
import struct
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import parse_qsl, unquote, urlsplit

import httptools

from providers.simulated.doors import Door

_LOG = logging.getLogger(__name__)

MAX_BODY_BYTES = 64 * 1024 * 1024
MAX_HEAD_BYTES = 64 * 1024
_MAX_PIPELINED = 16
_WRITE_BUFFER_BYTES = 256 * 1024
_CHUNKS_PER_WRITE = 256

Headers = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    """Names in lower case; of a repeated header the last one counts."""
    body: bytes = field(repr=False)

    def json(self) -> Any:
        """The body as JSON; raises ValueError when it is none."""
        return json.loads(self.body)


class Exchange:
    """One request and the answer to it, whole (`reply`) or in chunks (`begin`, `send`, `end`)."""

    def __init__(self, connection: _Connection, request: Request, *, keep_alive: bool, chunked: bool) -> None:
        self.request = request
        self._connection = connection
        self._keep_alive = keep_alive
        self._chunked = chunked
        self._begun = False
        self._ended = False

    @property
    def begun(self) -> bool:
        """Whether the status line is out, so that no other answer is possible."""
        return self._begun

    async def reply(
        self, status: int, body: bytes = b"", *, content_type: str = "application/json", headers: Headers = ()
    ) -> None:
        """Send a whole answer with its length."""
        self._begun = self._ended = True
        head = self._head(status, content_type, [*headers, ("Content-Length", str(len(body)))])
        self._connection.write(head if self.request.method == "HEAD" else head + body)
        await self._connection.drain()
        self._connection.after_answer(keep_alive=self._keep_alive)

    def begin(self, status: int, *, content_type: str, headers: Headers = ()) -> None:
        """Send the head of an answer whose length is not known."""
        assert not self._begun
        self._begun = True
        framing = [("Transfer-Encoding", "chunked")] if self._chunked else []
        if not self._chunked:
            self._keep_alive = False
        self._connection.write(self._head(status, content_type, [*headers, *framing]))

    def send(self, chunks: Sequence[bytes]) -> None:
        """Send each of `chunks` as an HTTP chunk of its own, together in few writes."""
        for first in range(0, len(chunks), _CHUNKS_PER_WRITE):
            self._connection.write(b"".join(map(self.frame, chunks[first : first + _CHUNKS_PER_WRITE])))

    def frame(self, chunk: bytes) -> bytes:
        """`chunk` as it goes over the wire."""
        return b"%x\r\n%b\r\n" % (len(chunk), chunk) if self._chunked else chunk

    def framing(self, size: int) -> tuple[bytes, bytes]:
        """What goes before and after a chunk of `size` bytes."""
        return (b"%x\r\n" % size, b"\r\n") if self._chunked else (b"", b"")

    def send_raw(self, wire_bytes: bytes) -> None:
        """Send bytes as they are, framing included or deliberately missing."""
        self._connection.write(wire_bytes)

    async def drain(self) -> None:
        """Wait while the client reads too slowly."""
        await self._connection.drain()

    async def flush(self) -> None:
        """Wait until everything has left this process."""
        await self._connection.flush()

    async def end(self) -> None:
        """Close the answer properly."""
        self._ended = True
        if self._chunked:
            self._connection.write(b"0\r\n\r\n")
        await self._connection.drain()
        self._connection.after_answer(keep_alive=self._keep_alive)

    async def hang_up(self) -> None:
        """Close the connection in the middle of the answer: what was sent arrives, then the end of the stream."""
        self._ended = True
        await self._connection.flush()
        self._connection.close()

    async def reset(self) -> None:
        """Break the connection in the middle of the answer: what was sent arrives, then "connection reset"."""
        self._ended = True
        await self._connection.flush()
        self._connection.reset()

    def finish_or_break(self) -> None:
        """After the handler: an answer it left open cannot be completed, so the connection ends."""
        if not self._ended:
            self._connection.close()

    def _head(self, status: int, content_type: str, headers: Headers) -> bytes:
        try:
            reason = http.HTTPStatus(status).phrase
        except ValueError:
            reason = ""
        lines = [f"HTTP/1.1 {status} {reason}"]
        if content_type:
            lines.append(f"Content-Type: {content_type}")
        if all(name != "Date" for name, _ in headers):
            lines.append(f"Date: {time.strftime('%a, %d %b %Y %H:%M:%S GMT', time.gmtime())}")
        lines += [f"{name}: {value}" for name, value in headers]
        lines.append(f"Connection: {'keep-alive' if self._keep_alive else 'close'}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


Handle = Callable[[Exchange], Awaitable[None]]


class _Connection(asyncio.Protocol):
    """One client: parses requests, answers them in order, and cancels the answer when the client leaves."""

    def __init__(self, server: HttpServer) -> None:
        self._server = server
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport
        self._waiting: deque[tuple[Request, bool, bool]] = deque()
        self._task: asyncio.Task[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._paused = False
        self._closing = False
        self._lost = False
        self._deaf = False
        self._begin_message()

    def _begin_message(self) -> None:
        self._target = b""
        self._headers: dict[str, str] = {}
        self._head_bytes = 0
        self._body: list[bytes] = []
        self._body_bytes = 0

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=_WRITE_BUFFER_BYTES)
        self._server.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._closing = self._lost = True
        self.resume_writing()
        if self._task is not None:
            self._task.cancel()
        else:
            self._server.connection_ended(self)

    def eof_received(self) -> bool:
        # As Go's server does: a client that closed its side is gone, even if it could still read.
        if self._task is not None:
            self._task.cancel()
        return False

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)

    def data_received(self, data: bytes) -> None:
        if self._closing or self._deaf:
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # We speak nothing else than HTTP/1.1; like most servers, ignore the offer. What follows cannot be parsed.
            self._deaf = True
        except httptools.HttpParserError as error:
            cause = error.__context__  # what one of our callbacks raised
            if isinstance(cause, _TooLargeError):
                self._refuse(cause.status, "request is too large")
            else:
                self._refuse(400, "this is not HTTP")

    # httptools callbacks

    def on_message_begin(self) -> None:
        self._begin_message()

    def on_url(self, url: bytes) -> None:
        self._target += url
        self._count_head(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count_head(len(name) + len(value))
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        if self._headers.get("expect", "").lower() == "100-continue":
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        if self._body_bytes > self._server.max_body_bytes:
            raise _TooLargeError(413)
        self._body.append(body)

    def on_message_complete(self) -> None:
        target = urlsplit(self._target.decode("latin-1"))
        request = Request(
            method=self._parser.get_method().decode("latin-1"),
            path=unquote(target.path),
            query=dict(parse_qsl(target.query, keep_blank_values=True)),
            headers=self._headers,
            body=b"".join(self._body),
        )
        keep_alive = self._parser.should_keep_alive() and not self._parser.should_upgrade()
        self._waiting.append((request, keep_alive, self._parser.get_http_version() != "1.0"))
        if len(self._waiting) > _MAX_PIPELINED:
            raise _TooLargeError(429)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._answer_all())

    def _count_head(self, count: int) -> None:
        self._head_bytes += count
        if self._head_bytes > MAX_HEAD_BYTES:
            raise _TooLargeError(431)

    # answering

    async def _answer_all(self) -> None:
        try:
            while self._waiting and not self._closing:
                request, keep_alive, chunked = self._waiting.popleft()
                exchange = Exchange(self, request, keep_alive=keep_alive, chunked=chunked)
                try:
                    await self._server.handle(exchange)
                except Exception:  # noqa: BLE001 - the outer edge of a request, logged with its traceback
                    _LOG.exception("The simulated service failed at %s %s", request.method, request.path)
                    if not exchange.begun:
                        await exchange.reply(500, b"internal error", content_type="text/plain; charset=utf-8")
                exchange.finish_or_break()
        finally:
            self._task = None
            if self._lost:
                self._server.connection_ended(self)

    def _refuse(self, status: int, text: str) -> None:
        body = text.encode()
        reason = http.HTTPStatus(status).phrase
        self.write(
            f"HTTP/1.1 {status} {reason}\r\nContent-Type: text/plain; charset=utf-8\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
            + body
        )
        self.close()

    def after_answer(self, *, keep_alive: bool) -> None:
        if not keep_alive:
            self.close()

    def write(self, wire_bytes: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(wire_bytes)

    async def drain(self) -> None:
        if self._paused and not self._closing:
            self._writable = asyncio.get_running_loop().create_future()
            try:
                await self._writable
            finally:
                self._writable = None
        if self._transport.is_closing():
            # The client is gone, and the cancellation that tells so is on its way: be as if it had come already.
            raise asyncio.CancelledError

    async def flush(self) -> None:
        self._transport.set_write_buffer_limits(high=0)
        try:
            await self.drain()
        finally:
            self._transport.set_write_buffer_limits(high=_WRITE_BUFFER_BYTES)

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self._transport.close()

    def reset(self) -> None:
        """With no time to linger the kernel answers with RST in place of FIN."""
        if self._closing:
            return
        self._closing = True
        raw = self._transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    def abort(self) -> None:
        self._closing = True
        self._transport.abort()


class _TooLargeError(Exception):
    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class HttpServer:
    """Listens on one loopback port, which stays ours from `start` to `stop` even while the door is closed."""

    def __init__(self, handle: Handle, *, port: int = 0, max_body_bytes: int = MAX_BODY_BYTES) -> None:
        self.handle = handle
        self.max_body_bytes = max_body_bytes
        self.connections: set[_Connection] = set()
        self._door = Door(lambda: _Connection(self), port=port)
        self._nobody = asyncio.Event()

    @property
    def port(self) -> int:
        return self._door.port

    @property
    def is_open(self) -> bool:
        return self._door.is_open

    async def start(self) -> None:
        self._door.take()
        await self._door.open()

    async def open_door(self) -> None:
        await self._door.open()

    async def close_door(self) -> None:
        """Refuse every new connection and break the open ones, as if the process had died."""
        self._door.close()
        self._nobody.clear()
        for connection in list(self.connections):
            connection.abort()
        while self.connections:
            await self._nobody.wait()
            self._nobody.clear()

    async def stop(self) -> None:
        await self.close_door()
        self._door.give_up()

    def connection_ended(self, connection: _Connection) -> None:
        self.connections.discard(connection)
        self._nobody.set()
