"""How fast work goes, lately."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

_WINDOW_S = 20.0


class Pace:
    """Told of finished portions; not safe for several threads."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._portions: deque[tuple[float, float, int]] = deque()

    def add(self, count: int, took_s: float) -> None:
        """A portion that is done at this moment. Time between portions does not count: it was spent on other things."""
        now = self._monotonic()
        self._portions.append((now, took_s, count))
        while now - self._portions[0][0] > _WINDOW_S:
            self._portions.popleft()

    @property
    def per_s(self) -> float | None:
        spent = sum(took_s for _, took_s, _ in self._portions)
        return sum(count for _, _, count in self._portions) / spent if spent > 0 else None
