"""What the transcript shows: one message with everything that is drawn around it, as plain values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple, TypeAlias

Role: TypeAlias = Literal["user", "assistant", "system", "note"]
State: TypeAlias = Literal["streaming", "complete", "stopped", "failed"]


class Attached(NamedTuple):
    """A file that goes with a message. `content` is called in a thread, and only for a picture that comes in sight."""

    name: str
    media_type: str
    size_bytes: int
    content: Callable[[], bytes] | None = None

    @property
    def is_picture(self) -> bool:
        return self.media_type.startswith("image/")


class ToolCall(NamedTuple):
    name: str
    arguments: str
    result: str = ""


class Item(NamedTuple):
    """One message. `head` is who and when (`You · 14:02`); `foot` is words and the names of their palette styles."""

    id: str
    role: Role
    text: str
    thinking: str = ""
    state: State = "complete"
    head: str = ""
    foot: tuple[tuple[str, str], ...] = ()
    attachments: tuple[Attached, ...] = ()
    sources: tuple[str, ...] = ()
    tools: tuple[ToolCall, ...] = ()
    sibling: int = 1
    siblings: int = 1
    excluded: bool = False
    error: str | None = None
    hint: str | None = None
    thinking_s: float | None = None
    """How long the model thought before it answered, where that is known."""
