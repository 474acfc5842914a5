"""HTTP/1.1 over sockets of our own: the httpx transport for every connection without a proxy.

httpx's stock transport imports httpcore and anyio, which takes longer than a whole short answer; this one needs asyncio
and llhttp (`httptools`), both cheap. It does what a client of APIs needs and no more: http and https, kept-alive
connections, bodies with a length or in chunks, answers in every framing of HTTP/1.1.

All that one read from the socket brought is handed on as one chunk, so that a fast stream is not paid per token. A
slow reader makes the socket pause. A body that ends short of its framing is a `RemoteProtocolError`, never a quiet end.
Closing a response that is not at its end closes the socket at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, cast

import httptools

from providers.http import load_httpx, trust
from providers.reach import addresses, first_to_connect

if TYPE_CHECKING:
    import socket
    import ssl

    import httpx

    from providers.reach import Reach
else:
    httpx = load_httpx()

MAX_HEAD = 128 * 1024
"""How much may come without one byte of a body in it: heads, trailers, chunk extensions."""
MAX_HEADERS = 256
HIGH_WATER = 256 * 1024
IDLE_S = 30.0
MAX_IDLE = 4
REPEATABLE = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})

Origin = tuple[str, str, int]


class DirectTransport(httpx.AsyncBaseTransport):
    def __init__(self, reach: Reach | None = None) -> None:
        self._reach = reach
        self._idle: dict[Origin, list[_Connection]] = {}
        self._busy: set[_Connection] = set()
        self._trust: ssl.SSLContext | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        limits: dict[str, float | None] = request.extensions.get("timeout", {})
        head = _head(request)
        # What must not arrive twice gets a fresh connection: on one that the server may be closing in this moment,
        # nobody could say afterwards whether it arrived at all.
        connection = None if request.extensions.get("once") else self._take(_origin(request.url))
        while True:
            reused = connection is not None
            if connection is None:
                connection = await self._connect(request.url, limits.get("connect"))
            self._busy.add(connection)
            try:
                await connection.ask(request, head, limits.get("write"))
                await connection.head(limits.get("read"))
            except BaseException as error:
                self._release(connection, None)
                # A server may close an idle connection in the moment we use it. Asking once more on a fresh one is
                # safe only for what may be done twice; for the rest the caller decides.
                stale = (
                    reused and not connection.answered and isinstance(error, httpx.NetworkError | httpx.ProtocolError)
                )
                if stale and request.method in REPEATABLE and isinstance(request.stream, httpx.ByteStream):
                    connection = None
                    continue
                if self._reach is not None and not connection.answered and isinstance(error, httpx.TransportError):
                    reason = await self._reach.reason()
                    if reason is not None:
                        raise reason from error
                raise
            body = _Body(self, connection, _origin(request.url), limits.get("read"))
            return httpx.Response(
                status_code=connection.status,
                headers=connection.headers,
                stream=body,
                extensions={
                    "http_version": b"HTTP/1.1",
                    "read": body.read,
                    "connect_ms": None if reused else connection.connect_ms,
                },
            )

    async def aclose(self) -> None:
        for connection in [*self._busy, *(one for several in self._idle.values() for one in several)]:
            connection.abort()
        self._busy.clear()
        self._idle.clear()
        # The loop closes an aborted socket on its next round.
        await asyncio.sleep(0)

    def _take(self, origin: Origin) -> _Connection | None:
        """An idle connection that nothing has happened on since it was put away; the others are closed."""
        idle = self._idle.get(origin, [])
        now = asyncio.get_running_loop().time()
        while idle:
            connection = idle.pop()
            if not connection.lost and now - connection.idle_since < IDLE_S and connection.is_quiet():
                return connection
            connection.abort()
        return None

    def _release(self, connection: _Connection, origin: Origin | None) -> None:
        self._busy.discard(connection)
        idle = self._idle.setdefault(origin, []) if origin is not None else []
        if origin is None or not connection.is_reusable or len(idle) >= MAX_IDLE:
            connection.abort()
            return
        connection.idle_since = asyncio.get_running_loop().time()
        idle.append(connection)

    async def _connect(self, url: httpx.URL, limit_s: float | None) -> _Connection:
        if url.scheme not in ("http", "https"):
            raise httpx.UnsupportedProtocol(f"{url.scheme!r} is not a protocol of the web")
        if url.scheme == "https" and self._trust is None:
            self._trust = trust()
        secure = self._trust if url.scheme == "https" else None
        _, host, port = _origin(url)
        loop = asyncio.get_running_loop()
        begun_s = loop.time()
        reached: socket.socket | None = None
        if self._reach is not None:
            reached = await self._reach.dial()
        try:
            async with asyncio.timeout(limit_s):
                if reached is None:
                    reached = await first_to_connect(await addresses(host, port))
                _, connection = await loop.create_connection(
                    _Connection, sock=reached, ssl=secure, server_hostname=host if secure else None
                )
        except TimeoutError as error:
            raise httpx.ConnectTimeout("no connection in time") from error
        except (OSError, UnicodeError) as error:
            raise httpx.ConnectError(str(error) or type(error).__name__) from error
        connection.connect_ms = (loop.time() - begun_s) * 1000
        return connection


class _Body(httpx.AsyncByteStream):
    def __init__(
        self, transport: DirectTransport, connection: _Connection, origin: Origin, limit_s: float | None
    ) -> None:
        self._transport = transport
        self._connection: _Connection | None = connection
        self._origin = origin
        self._limit_s = limit_s

    async def read(self) -> bytes:
        """What has come since the last read, waiting for it; empty at the end."""
        return b"" if self._connection is None else await self._connection.read(self._limit_s)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while chunk := await self.read():
            yield chunk

    async def aclose(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self._transport._release(connection, self._origin)


class _Connection(asyncio.Protocol):
    """One socket, one exchange at a time. The `on_` methods are called by the parser, from `data_received`."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiter: asyncio.Future[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._parser: httptools.HttpResponseParser | None = None
        self.lost = False
        self.connect_ms: float | None = None
        self.idle_since = 0.0
        self._begin()

    def _begin(self) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.answered = False
        self._has_head = False
        self._complete = False
        self._keeps_alive = False
        self._ends_with_connection = False
        self._error: httpx.TransportError | None = None
        self._pieces: list[bytes] = []
        self._held = 0
        self._dry = 0
        self._paused = False
        self._sent = False

    # ---- what the transport asks for

    async def ask(self, request: httpx.Request, head: bytes, limit_s: float | None) -> None:
        self._begin()
        self._parser = httptools.HttpResponseParser(self)
        in_chunks = "transfer-encoding" in request.headers
        parts = cast("httpx.AsyncByteStream", request.stream)
        try:
            async with asyncio.timeout(limit_s):
                async for part in parts:
                    if not part:
                        continue
                    framed = b"%x\r\n%b\r\n" % (len(part), part) if in_chunks else part
                    self._transport.write(head + framed)
                    head = b""
                    if self._writable is not None:
                        await self._writable
                    if self._has_head or self._error is not None:
                        return  # it answers before it has heard all; the rest would be thrown away there
                self._transport.write(head + (b"0\r\n\r\n" if in_chunks else b""))
        except TimeoutError as error:
            raise httpx.WriteTimeout("the request was not taken in time") from error
        self._sent = True

    async def head(self, limit_s: float | None) -> None:
        while not self._has_head:
            if self._error is not None:
                raise self._error
            await self._wait(limit_s)

    async def read(self, limit_s: float | None) -> bytes:
        """Everything that has come since the last read; empty at the end of the answer."""
        while not self._pieces:
            if self._complete:
                return b""
            if self._error is not None:
                raise self._error
            await self._wait(limit_s)
        chunk = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        self._held = 0
        if self._paused:
            self._paused = False
            if not self.lost:
                self._transport.resume_reading()
        return chunk

    @property
    def is_reusable(self) -> bool:
        return self._complete and self._keeps_alive and self._sent and not self.lost

    def is_quiet(self) -> bool:
        """Whether neither an end nor stray bytes wait in the socket, unseen by the loop."""
        import select

        descriptor = self._transport.get_extra_info("socket").fileno()
        if descriptor < 0 or self._transport.is_closing():
            return False
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        return not poll.poll(0)

    def abort(self) -> None:
        self._parser = None
        self.lost = True
        self._transport.abort()

    async def _wait(self, limit_s: float | None) -> None:
        self._waiter = self._loop.create_future()
        try:
            if limit_s is None:
                await self._waiter
            else:
                async with asyncio.timeout(limit_s):
                    await self._waiter
        except TimeoutError as error:
            raise httpx.ReadTimeout("nothing came in time") from error
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # ---- what the loop tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self._parser is None or self._complete:
            # Nothing was asked: a connection that talks by itself cannot be trusted with another request.
            self.abort()
            return
        self.answered = True
        self._dry += len(data)
        self._parse(self._parser, data)
        self._wake()

    def _parse(self, parser: httptools.HttpResponseParser, data: bytes) -> None:
        try:
            parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._fail("it changed to another protocol")
        except httptools.HttpParserError as error:
            if self._complete:
                self._keeps_alive = False
            else:
                self._fail(str(error.__context__ or error))
        if self._complete:
            self._parser = None
        elif self._dry > MAX_HEAD:
            self._fail("its head has no end")
        elif self._held > HIGH_WATER and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self.lost = True
        self._parser = None
        self.resume_writing()
        if not self._complete and self._error is None:
            if self._has_head and self._ends_with_connection and error is None:
                self._complete = True
            elif error is not None:
                self._error = httpx.ReadError(str(error) or type(error).__name__)
                self._error.__cause__ = error
            elif not self.answered:
                self._error = httpx.RemoteProtocolError("Server disconnected without sending a response.")
            else:
                self._error = httpx.RemoteProtocolError("Server disconnected before the answer was complete.")
        self._wake()

    def pause_writing(self) -> None:
        self._writable = self._loop.create_future()

    def resume_writing(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None

    def _fail(self, reason: str) -> None:
        if self._error is None:
            self._error = httpx.RemoteProtocolError(reason)
        self.abort()

    # ---- what the parser finds

    def on_message_begin(self) -> None:
        if self._complete:
            raise httpx.RemoteProtocolError("more came than was asked for")

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._has_head:
            return
        self.headers.append((name, value))
        if len(self.headers) > MAX_HEADERS:
            raise httpx.RemoteProtocolError("too many headers")

    def on_headers_complete(self) -> None:
        assert self._parser is not None
        status = self._parser.get_status_code()
        if status == 101:
            raise httpx.RemoteProtocolError("it changed to another protocol")
        if 100 <= status < 200:
            return
        self.status = status
        self._has_head = True
        self.resume_writing()
        framing = {name.lower(): value.lower() for name, value in self.headers}
        if b"transfer-encoding" in framing:
            self._ends_with_connection = not framing[b"transfer-encoding"].rstrip().endswith(b"chunked")
        else:
            self._ends_with_connection = b"content-length" not in framing

    def on_body(self, body: bytes) -> None:
        self._dry = 0
        self._held += len(body)
        self._pieces.append(body)

    def on_message_complete(self) -> None:
        if not self._has_head:
            # A 1xx answer came first; the real one follows.
            self.headers.clear()
            return
        assert self._parser is not None
        self._complete = True
        self._keeps_alive = self._parser.should_keep_alive()


def _origin(url: httpx.URL) -> Origin:
    return url.scheme, url.raw_host.decode("ascii").strip("[]"), url.port or (443 if url.scheme == "https" else 80)


def _head(request: httpx.Request) -> bytes:
    if request.method == "HEAD" or not request.method.isalpha():
        raise httpx.LocalProtocolError(f"{request.method!r} requests are not made here")
    lines = [request.method.encode("ascii"), b" ", request.url.raw_path, b" HTTP/1.1\r\n"]
    for name, value in request.headers.raw:
        if b"\n" in value or b"\r" in value or b"\0" in value:
            raise httpx.LocalProtocolError(f"the header {name.decode('latin-1')!r} holds a line break")
        lines += (name, b": ", value, b"\r\n")
    lines.append(b"\r\n")
    return b"".join(lines)
