"""The terminal: its bell, and a notification by OSC 9 where it shows those."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from console.channels.base import Message, body_of, title_of
from console.errors import ChannelFailed
from console.text import neutralise, shorten

BELL = "\a"
_WIDTH = 200


class Terminal:
    name = "terminal"

    def __init__(self, write: Callable[[str], None] | None, environment: Mapping[str, str]) -> None:
        """`write` puts text on the terminal as it is; None where there is none."""
        self._write = write
        self._environment = environment

    async def send(self, messages: Sequence[Message]) -> None:
        if self._write is None:
            raise ChannelFailed("There is no terminal to ring.")
        try:
            self._write(BELL + self._passed_through(_osc_9(messages)))
        except (OSError, ValueError) as error:  # it was closed meanwhile
            raise ChannelFailed(f"The terminal cannot be written: {error}.") from error

    async def close(self) -> None:
        pass

    def _passed_through(self, sequence: str) -> str:
        """A multiplexer keeps sequences that it does not know to itself, unless it is told to hand them on."""
        if self._environment.get("TMUX"):
            return "\x1bPtmux;" + sequence.replace("\x1b", "\x1b\x1b") + "\x1b\\"
        if self._environment.get("STY"):
            return f"\x1bP{sequence}\x1b\\"
        return sequence


def _osc_9(messages: Sequence[Message]) -> str:
    # Some terminals take a number at the start for another command, so the text never begins with one.
    text = shorten(neutralise(f"{title_of(messages)}: {body_of(messages)}"), _WIDTH)
    return f"\x1b]9;{text}\a"
