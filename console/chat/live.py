"""An answer while it grows: what has come of it, for readers who fetch as often as they like.

The pieces are kept as they came and never joined as a whole: fetching costs what is new, however long the answer is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from console.chat.context import estimate_tokens
from providers.chat.base import Delta

if TYPE_CHECKING:
    from console.history.sources import Source


class Position(NamedTuple):
    """How far a reader has come. When `era` differs from the one before, all that was fetched earlier is void."""

    text: int = 0
    thinking: int = 0
    era: int = 0


BEGINNING = Position()


class Live:
    def __init__(self, message_id: str, model: str | None, now_s: Callable[[], float], so_far: str = "") -> None:
        """`so_far` is the text of an answer that is being continued."""
        self.message_id = message_id
        self.model = model
        """As it was named, then as it is called where it answers."""
        self.endpoint: str | None = None
        self.machine: str | None = None
        self.status = ""
        """The latest sentence about what it waits for; empty once it writes."""
        self.sources: tuple[Source, ...] = ()
        """The passages that went with the question; there before the first token."""
        self.began = now_s()
        """On the monotonic clock."""
        self.first_token_at: float | None = None
        self.is_stopping = False
        self._now_s = now_s
        self._so_far = so_far
        self._text: list[str] = [so_far] if so_far else []
        self._thinking: list[str] = []
        self._era = 0
        self._counted = BEGINNING
        self._tokens = 0
        self._has_told = False

    def take(self, delta: Delta) -> bool:
        """Add what came; whether readers are to be told of it."""
        if self.first_token_at is None:
            self.first_token_at = self._now_s()
            self.status = ""
            self._counted = Position(len(self._text), len(self._thinking), self._era)
        if delta.text:
            self._text.append(delta.text)
        if delta.thinking:
            self._thinking.append(delta.thinking)
        told, self._has_told = self._has_told, True
        return not told

    def void(self) -> None:
        """Another answer begins in the place of what came."""
        self._text = [self._so_far] if self._so_far else []
        self._thinking = []
        self._era += 1
        self._tokens = 0
        self._counted = Position(len(self._text), 0, self._era)
        self.first_token_at = None

    def since(self, position: Position = BEGINNING) -> tuple[str, str, Position]:
        """Text and thinking that came after `position`, and the position after them."""
        if position.era != self._era:
            position = Position(0, 0, self._era)
        self._has_told = False
        return (
            "".join(self._text[position.text :]),
            "".join(self._thinking[position.thinking :]),
            Position(len(self._text), len(self._thinking), self._era),
        )

    @property
    def text(self) -> str:
        return "".join(self._text)

    @property
    def thinking(self) -> str:
        return "".join(self._thinking)

    @property
    def tokens(self) -> int:
        """About how many have come, thinking included."""
        new = (*self._text[self._counted.text :], *self._thinking[self._counted.thinking :])
        if new:
            self._tokens += estimate_tokens("".join(new))
            self._counted = Position(len(self._text), len(self._thinking), self._era)
        return self._tokens

    @property
    def tokens_per_s(self) -> float | None:
        """About how fast it comes; None until that can be said."""
        if self.first_token_at is None:
            return None
        seconds = self._now_s() - self.first_token_at
        return self.tokens / seconds if seconds >= 0.2 else None
