"""How long to wait before the next try: longer each time, never the same, and hardly at all while somebody waits."""

from __future__ import annotations

import random
from collections.abc import Callable

LONGEST_S = 30.0
URGENT_S = 0.5
"""The longest pause between tries while a connection waits for the link."""


class Backoff:
    """The pauses between tries of one link. Any success and every sign of change starts them over."""

    __slots__ = ("_random", "_tries")

    def __init__(self, random_share: Callable[[], float] = random.random) -> None:
        self._random = random_share
        self._tries = 0

    def next_s(self) -> float:
        """The pause after one more failure: half of it is chance, so that many links do not try in step."""
        self._tries = min(self._tries + 1, 10)
        longest = min(LONGEST_S, 0.25 * 2.0**self._tries)
        return longest * (0.5 + 0.5 * self._random())

    def urgent_s(self) -> float:
        return URGENT_S * (0.5 + 0.5 * self._random())

    def reset(self) -> None:
        self._tries = 0
