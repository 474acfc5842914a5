"""The terminal of an interactive session: echo, a line editor of the simplest kind, Ctrl-C and the end of the line."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from signal import Signals

from providers.simulated.shell.streams import READ_BYTES, Stream
from providers.simulated.watch import Watch

_LINE_BYTES = 4096


class Terminal(Stream):
    """One stream for input and output, as a terminal is. `send` takes what goes to the person's screen."""

    is_terminal = True

    def __init__(self, send: Callable[[bytes], Awaitable[None]], signal: Callable[[Signals], None]) -> None:
        super().__init__()
        self._send = send
        self._signal = signal
        self._typed = bytearray()
        self._lines = bytearray()
        self._ends = 0
        self._is_closed = False
        self._interrupts = 0
        self._watch = Watch()

    async def typed(self, data: bytes) -> None:
        """What the person typed."""
        echo = bytearray()
        for byte in data:
            echo += self._key(byte)
        if echo:
            await self._send(bytes(echo))
        self._watch.note()

    def hang_up(self) -> None:
        """The person is gone."""
        self._is_closed = True
        self._watch.note()

    async def read(self, size: int = READ_BYTES) -> bytes:
        before = self._interrupts
        await self._watch.until(
            lambda: bool(self._lines) or self._ends > 0 or self._is_closed or self._interrupts != before
        )
        if self._interrupts != before:
            raise InterruptedError(4, "Interrupted")
        if not self._lines:
            self._ends = max(0, self._ends - 1)
            return b""
        end = self._lines.find(b"\n") + 1 or len(self._lines)
        data = bytes(self._lines[: min(size, end)])
        del self._lines[: len(data)]
        return data

    async def write(self, data: bytes) -> None:
        if self._is_closed:
            raise OSError(5, os.strerror(5))
        await self._send(data.replace(b"\n", b"\r\n"))

    def _key(self, byte: int) -> bytes:
        """Take one key; returns the echo."""
        match byte:
            case 3:  # Ctrl-C
                self._drop()
                self._interrupts += 1
                self._signal(Signals.SIGINT)
                return b"^C\r\n"
            case 28:  # Ctrl-\
                self._drop()
                self._signal(Signals.SIGQUIT)
                return b"^\\\r\n"
            case 4:  # Ctrl-D
                if self._typed:
                    self._accept(b"")
                else:
                    self._ends += 1
                return b""
            case 13 | 10:
                self._accept(b"\n")
                return b"\r\n"
            case 8 | 127:
                return self._erase(1)
            case 21:  # Ctrl-U
                return self._erase(len(self._typed))
            case 23:  # Ctrl-W
                kept = bytes(self._typed).rstrip(b" ").rpartition(b" ")
                return self._erase(len(self._typed) - len(kept[0] + kept[1]))
            case _:
                pass
        if len(self._typed) < _LINE_BYTES:
            self._typed.append(byte)
            return bytes([94, byte + 64]) if byte < 32 and byte != 9 else bytes([byte])
        return b"\a"

    def _erase(self, count: int) -> bytes:
        shown = 0
        while count > 0 and self._typed:
            byte = self._typed.pop()
            if byte & 0xC0 == 0x80:  # inside a UTF-8 character
                continue
            count -= 1
            shown += 2 if byte < 32 and byte != 9 else 1
        return b"\b \b" * shown

    def _accept(self, end: bytes) -> None:
        self._lines += self._typed + end
        self._typed.clear()

    def _drop(self) -> None:
        self._typed.clear()
        self._lines.clear()
