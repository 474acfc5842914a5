"""What happens when: moments and deeds, played up to the clock's time whenever somebody looks.

Nothing waits here. Between two deeds nothing changes but the bill, so a week takes as long as its deeds.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Protocol

Deed = Callable[[], None]


class Now(Protocol):
    """The clock of a twin: an aware UTC time. Moved by hand in tests."""

    def now(self) -> datetime: ...


class Timeline:
    def __init__(self, clock: Now) -> None:
        self._clock = clock
        self._due: list[tuple[datetime, int, Deed]] = []
        self._counter = itertools.count()
        self._is_living = False
        self.now = clock.now()
        """The moment that is being lived; during a deed, the deed's own."""

    @property
    def next_at(self) -> datetime | None:
        """When the next deed is due."""
        return self._due[0][0] if self._due else None

    def at(self, moment: datetime, deed: Deed) -> None:
        """Do `deed` at `moment`, or at once when that is over, on the next `advance`."""
        heapq.heappush(self._due, (max(moment, self.now), next(self._counter), deed))

    def after(self, seconds: float, deed: Deed) -> None:
        self.at(self.now + timedelta(seconds=seconds), deed)

    def advance(self) -> None:
        """Live through all that is due; within a deed there is nothing to do.

        A clock that was set back stands still until it has caught up.
        """
        if self._is_living:
            return
        self._is_living = True
        try:
            until = self._clock.now()
            while self._due and self._due[0][0] <= until:
                moment, _, deed = heapq.heappop(self._due)
                self.now = max(self.now, moment)
                deed()
            self.now = max(self.now, until)
        finally:
            self._is_living = False
