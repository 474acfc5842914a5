"""Rate limits, as clouds have them: a least interval per endpoint, or so many requests in a window of time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple


class MinimumInterval:
    """A request too early is refused and does not count."""

    def __init__(self) -> None:
        self._allowed_at: dict[tuple[str, str], datetime] = {}

    def wait_s(
        self, identity: str, endpoint: str, interval_s: float, now: datetime, *, penalty_s: float = 0.0
    ) -> float:
        """0 when the request may go through, else how much too early it is; `penalty_s` is added to the next wait."""
        key = (identity, endpoint)
        allowed_at = self._allowed_at.get(key)
        if allowed_at is not None and now < allowed_at:
            if penalty_s:
                self._allowed_at[key] = allowed_at = max(allowed_at, now + timedelta(seconds=penalty_s))
            return (allowed_at - now).total_seconds()
        self._allowed_at[key] = now + timedelta(seconds=interval_s)
        return 0.0


class Bucket:
    """So many requests per second in the long run, and at most `burst` of them at once."""

    def __init__(self, per_s: float, burst: int) -> None:
        self._per_s = per_s
        self._burst = burst
        self._left: dict[str, tuple[float, datetime]] = {}

    def wait_s(self, identity: str, now: datetime) -> float:
        """0 when the request may go through, else how much too early it is; such a one does not count."""
        left, at = self._left.get(identity, (float(self._burst), now))
        left = min(self._burst, left + max(0.0, (now - at).total_seconds()) * self._per_s)
        if left < 1:
            return (1 - left) / self._per_s
        self._left[identity] = (left - 1, now)
        return 0.0


class Window(NamedTuple):
    name: str
    requests: int
    length_s: int


class Windows:
    """Fixed windows, all of which a request must fit into."""

    def __init__(self, windows: Sequence[Window]) -> None:
        self.windows = tuple(windows)
        self._counts: dict[tuple[str, str], tuple[int, int]] = {}

    def take(self, identity: str, now: datetime) -> Window | None:
        """Count a request; the window that is full when it is refused."""
        full = next((window for window in self.windows if self.left(identity, window, now) <= 0), None)
        if full is None:
            for window in self.windows:
                number, used = self._used(identity, window, now)
                self._counts[identity, window.name] = (number, used + 1)
        return full

    def left(self, identity: str, window: Window, now: datetime) -> int:
        return window.requests - self._used(identity, window, now)[1]

    @staticmethod
    def reset_s(window: Window, now: datetime) -> int:
        """Whole seconds until the window begins anew, at least 1."""
        return max(1, window.length_s - int(now.timestamp()) % window.length_s)

    def state(self, identity: str, now: datetime) -> Mapping[str, tuple[int, int]]:
        """By window: requests left, seconds until it begins anew."""
        return {
            window.name: (max(0, self.left(identity, window, now)), self.reset_s(window, now))
            for window in self.windows
        }

    def _used(self, identity: str, window: Window, now: datetime) -> tuple[int, int]:
        current = int(now.timestamp()) // window.length_s
        number, used = self._counts.get((identity, window.name), (current, 0))
        return (current, used) if number == current else (current, 0)
