"""A server that says exactly the bytes a test wants, so that the nasty cases are really on the wire."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

from providers.chat.base import ChatProvider, ChatRequest, Delta, End, Host, Message


@dataclass
class Asked:
    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, object]:
        parsed = json.loads(self.body)
        assert isinstance(parsed, dict)
        return parsed


Play = Callable[[Asked, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class RawServer:
    """Each request is met by the next answer; the last one stays. Bytes are said and the connection is closed."""

    answers: list[bytes | Play]
    port: int = 0
    asked: list[Asked] = field(default_factory=list)
    connections: int = 0
    hung_up: asyncio.Event = field(default_factory=asyncio.Event)
    scheme: str = "http"
    serving: list[asyncio.Task[None]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def host(self, *, key: str | None = None, **more: object) -> Host:
        return Host("lab", self.url, key=key, **more)  # type: ignore[arg-type]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self.serving.append(task)
        try:
            while True:
                asked = await _read_request(reader)
                self.asked.append(asked)
                answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                if isinstance(answer, bytes):
                    writer.write(answer)
                    await writer.drain()
                    break
                await answer(asked, writer)
                if writer.is_closing():
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            self.hung_up.set()
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                await writer.wait_closed()


async def _read_request(reader: asyncio.StreamReader) -> Asked:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, target, _ = head[0].split(" ", 2)
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
    if headers.get("transfer-encoding") == "chunked":
        body = b""
        while size := int(await reader.readuntil(b"\r\n"), 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readexactly(2)
    else:
        body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Asked(method, target, headers, body)


@contextlib.asynccontextmanager
async def raw_server(*answers: bytes | Play, tls: ssl.SSLContext | None = None) -> AsyncIterator[RawServer]:
    served = RawServer(list(answers), scheme="https" if tls else "http")
    server = await asyncio.start_server(served.serve, "127.0.0.1", 0, ssl=tls)
    served.port = server.sockets[0].getsockname()[1]
    try:
        yield served
    finally:
        server.close()
        for task in served.serving:
            task.cancel()
        await asyncio.gather(*served.serving, return_exceptions=True)
        await server.wait_closed()


def reply(
    body: bytes | str | object, *, status: str = "200 OK", kind: str = "application/json", more: str = ""
) -> bytes:
    """One whole answer, with its length."""
    if not isinstance(body, bytes | str):
        body = json.dumps(body)
    content = body.encode() if isinstance(body, str) else body
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(content)}\r\n{more}\r\n"
    return head.encode() + content


def chunked(*parts: bytes | str, kind: str = "text/event-stream", end: bool = True, more: str = "") -> bytes:
    """An answer in chunks; without `end` it is cut."""
    said = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n{more}\r\n".encode()
    for part in parts:
        content = part.encode() if isinstance(part, str) else part
        said += b"%x\r\n%b\r\n" % (len(content), content)
    return said + (b"0\r\n\r\n" if end else b"")


def ask(text: str = "Hi", **more: object) -> ChatRequest:
    return ChatRequest("tiny", (Message("user", text),), **more)  # type: ignore[arg-type]


@dataclass
class Answer:
    text: str = ""
    thinking: str = ""
    deltas: list[Delta] = field(default_factory=list)
    end: End | None = None
    error: Exception | None = None


async def collect(provider: ChatProvider, request: ChatRequest) -> Answer:
    """The whole answer; an error is kept beside what came before it."""
    got = Answer()
    try:
        async with contextlib.aclosing(provider.stream(request)) as parts:
            async for part in parts:
                assert got.end is None, "nothing follows the end"
                if isinstance(part, End):
                    got.end = part
                else:
                    got.deltas.append(part)
                    got.text += part.text
                    got.thinking += part.thinking
    except Exception as error:
        got.error = error
    finally:
        await provider.close()
    return got
