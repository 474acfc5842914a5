"""Walking through past prompts with Up and Down: what was being written comes back at the end, edits on the way too."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from console.chat.drafts import Draft


class Walk:
    def __init__(self, recent: Callable[[], Sequence[Draft]]) -> None:
        self._recent = recent
        self._past: Sequence[Draft] = ()
        self._at = 0
        self._left: dict[int, Draft] = {}

    @property
    def is_on(self) -> bool:
        return self._at > 0

    def step(self, present: Draft, by: int) -> Draft | None:
        """What stands one further back (by 1) or forward (by -1), or None where there is nothing more."""
        if not self.is_on:
            if by < 0:
                return None
            self._past = tuple(each for each in self._recent() if each != present)
        at = self._at + by
        if not 0 <= at <= len(self._past):
            return None
        self._left[self._at] = present
        self._at = at
        return self._left.get(at) or (self._past[at - 1] if at else Draft())

    def end(self) -> None:
        self._at = 0
        self._past = ()
        self._left.clear()
