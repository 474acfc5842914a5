"""An OpenAI-compatible server that answers at once, so that what is measured is the client.

`python -m benchmarks.standin` prints its port and runs until interrupted. The model's name says what it answers:
`tokens-N` N tokens as fast as the socket takes them, each an event and an HTTP chunk of its own; `clock-N` N tokens
10 ms apart, each the monotonic time in nanoseconds at which it was sent.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time


def _event(text: str, finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": {"content": text} if text else {}, "finish_reason": finish}
    chunk = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "standin",
        "choices": [choice],
    }
    return _framed(b"data: " + json.dumps(chunk).encode() + b"\n\n")


def _framed(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


_DONE = _event("", "stop") + _framed(b"data: [DONE]\n\n") + b"0\r\n\r\n"
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
_PLAIN = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
_AT_ONCE = 50
_EVENTS = [_event(f"tok{n} ") for n in range(20_000)]
_BATCHES = [b"".join(_EVENTS[first : first + _AT_ONCE]) for first in range(0, len(_EVENTS), _AT_ONCE)]
"""Made beforehand: a server slower than its client would hide what the client takes."""


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = next(
                (
                    int(line.split(b":")[1])
                    for line in head.split(b"\r\n")
                    if line.lower().startswith(b"content-length:")
                ),
                0,
            )
            body = await reader.readexactly(length)
            if not body:
                models = json.dumps({"object": "list", "data": [{"id": "tokens-20", "object": "model"}]}).encode()
                writer.write(_PLAIN % (len(models), models))
                continue
            await _stream(writer, json.loads(body)["model"])
    except (asyncio.IncompleteReadError, ConnectionError):  # the client left
        pass
    finally:
        writer.close()


async def _stream(writer: asyncio.StreamWriter, model: str) -> None:
    kind, _, count = model.partition("-")
    writer.write(_HEAD)
    if kind == "clock":
        for _ in range(int(count)):
            await asyncio.sleep(0.01)
            writer.write(_event(f"{time.monotonic_ns()}\n"))
            await writer.drain()
    else:
        whole, rest = divmod(int(count), _AT_ONCE)
        for batch in _BATCHES[:whole]:
            writer.write(batch)
            await writer.drain()
        writer.write(b"".join(_EVENTS[whole * _AT_ONCE : whole * _AT_ONCE + rest]))
    writer.write(_DONE)
    await writer.drain()


async def main() -> None:
    server = await asyncio.start_server(_answer, "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        pass
