"""Where the output of machines goes: as it is into files and pipes, and made harmless onto a terminal."""

from __future__ import annotations

import codecs
from typing import BinaryIO

from console.text import neutralise


class Sink:
    """Call it with bytes as they come, in any pieces."""

    def __init__(self, stream: BinaryIO, is_terminal: bool) -> None:
        self._stream = stream
        self._is_terminal = is_terminal
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._return = ""
        """A carriage return whose next character has not come yet: before a newline it is nothing to show."""

    def __call__(self, content: bytes) -> None:
        if self._is_terminal:
            self._show(self._decoder.decode(content))
        else:
            self._stream.write(content)
            self._stream.flush()

    def end(self) -> None:
        """Nothing more comes."""
        if self._is_terminal:
            self._show(self._decoder.decode(b"", final=True), is_end=True)

    def _show(self, text: str, *, is_end: bool = False) -> None:
        text = self._return + text
        self._return = "\r" if text.endswith("\r") and not is_end else ""
        self._stream.write(neutralise(text[: len(text) - len(self._return)]).encode())
        self._stream.flush()
