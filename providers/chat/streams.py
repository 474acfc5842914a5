"""Incremental readers of the two ways in which answers are streamed: server-sent events and JSON lines.

Push parsers: `feed` takes what the network brought and gives what is complete by then, `finish` gives what the end
completes. The same bytes give the same result however they are split. A line, an event and so the memory held are
bounded; over the bound is a `BadReply`, raised after everything before it was given.
"""

from __future__ import annotations

from collections.abc import Iterator

from providers.errors import BadReply

MAX_LINE = 8 * 1024 * 1024
BOM = b"\xef\xbb\xbf"


class Lines:
    """Bytes in, whole lines out; `\\n`, `\\r\\n` and, where `lone_cr` says so, `\\r` end a line."""

    def __init__(self, *, lone_cr: bool = False) -> None:
        self._tail = bytearray()
        self._lone_cr = lone_cr
        self._cut_after_cr = False
        self._at_start = True

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        if self._lone_cr:
            if self._cut_after_cr and chunk:
                self._cut_after_cr = False
                chunk = chunk.removeprefix(b"\n")
            if b"\r" in chunk:
                self._cut_after_cr = chunk.endswith(b"\r")
                chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if b"\n" not in chunk:
            self._tail += chunk
        else:
            lines = chunk.split(b"\n")
            if self._tail:
                self._tail += lines[0]
                lines[0] = bytes(self._tail)
            self._tail = bytearray(lines.pop())
            if self._at_start:
                self._at_start = False
                lines[0] = lines[0].removeprefix(BOM)
            for line in lines:
                if len(line) > MAX_LINE:
                    raise _too_long()
                yield line
        if len(self._tail) > MAX_LINE:
            raise _too_long()

    def finish(self) -> Iterator[bytes]:
        """The last line, if nothing ended it."""
        tail, self._tail = bytes(self._tail), bytearray()
        if self._at_start:
            tail = tail.removeprefix(BOM)
        if tail:
            yield tail


class ServerSentEvents:
    """`(event name, data)` for every event that has data; comments, ids and unknown fields are passed over."""

    def __init__(self) -> None:
        self._lines = Lines(lone_cr=True)
        self._data: list[bytes] = []
        self._size = 0
        self._name = b""

    def feed(self, chunk: bytes) -> Iterator[tuple[bytes, bytes]]:
        return self._events(self._lines.feed(chunk))

    def finish(self) -> Iterator[tuple[bytes, bytes]]:
        """What is left, also when the blank line that should end it never came."""
        yield from self._events(self._lines.finish())
        yield from self._events(iter((b"",)))

    def _events(self, lines: Iterator[bytes]) -> Iterator[tuple[bytes, bytes]]:
        data = self._data
        for line in lines:
            if line.startswith(b"data:"):
                value = line[6:] if line[5:6] == b" " else line[5:]
                data.append(value)
                if len(data) > 1:
                    self._size += len(value) + 64  # what keeping a line costs, however short it is
                    if self._size > MAX_LINE:
                        raise _too_long()
            elif not line:
                if data:
                    yield self._name, data[0] if len(data) == 1 else b"\n".join(data)
                    data.clear()
                    self._size = 0
                self._name = b""
            elif line.startswith(b"event:"):
                self._name = line[6:].strip()


class JsonLines:
    """One JSON text per line; blank lines are passed over."""

    def __init__(self) -> None:
        self._lines = Lines()

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        return (line for line in self._lines.feed(chunk) if line and not line.isspace())

    def finish(self) -> Iterator[bytes]:
        return (line for line in self._lines.finish() if not line.isspace())


def _too_long() -> BadReply:
    return BadReply(f"The answer has a line of more than {MAX_LINE // (1024 * 1024)} MiB, which no answer has.")
