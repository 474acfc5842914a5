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


class SourceLine(NamedTuple):
    """One numbered source under an answer, and what became of the sentences that cite it."""

    number: int
    words: str
    """Which document, and where in it."""
    verdict: Literal["exact", "close", "not found", ""] = ""
    """Of the check of quotes; empty where nothing cites it, or nothing is checked yet."""
    doubt: str = ""
    """A sentence that cites it and is not in it."""
    excluded: bool = False


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
    sources: tuple[SourceLine, ...] = ()
    notes: tuple[str, ...] = ()
    """What was said of the documents when the question was asked."""
    tools: tuple[ToolCall, ...] = ()
    sibling: int = 1
    siblings: int = 1
    excluded: bool = False
    error: str | None = None
    hint: str | None = None
    thinking_s: float | None = None
    """How long the model thought before it answered, where that is known."""
