"""What a channel is, and what it is given."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from console.money.verdicts import Level

LONGEST_TEXT = 2000


class Message(NamedTuple):
    """An alert as it is told."""

    subject: str
    level: Level
    text: str
    at: datetime
    cleared: bool = False
    """The trouble is over."""

    @property
    def words(self) -> str:
        """The alert in a line."""
        return f"{'Over' if self.cleared else self.level.capitalize()}: {self.text}"


class Channel(Protocol):
    @property
    def name(self) -> str: ...

    async def send(self, messages: Sequence[Message]) -> None:
        """Deliver them together, within a limit of its own, or raise `ChannelFailed`."""
        ...

    async def close(self) -> None: ...


def title_of(messages: Sequence[Message]) -> str:
    """A heading for what is sent at once."""
    if len(messages) == 1:
        message = messages[0]
        return f"Hawser: {'over' if message.cleared else message.level}"
    return f"Hawser: {len(messages)} alerts"


def body_of(messages: Sequence[Message]) -> str:
    lines = [message.words for message in messages] if len(messages) > 1 else [messages[0].text]
    return "\n".join(lines)[:LONGEST_TEXT]
