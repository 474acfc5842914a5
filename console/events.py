"""The bus: how one part of the program tells the others what happened, without knowing them.

Two grades. A *fact* (an answer ended, money was spent, a machine changed) is never dropped. A *sample* (a GPU figure,
text that grows) matters only as the last one of its `key`: a reader that is slow gets the newest and no other.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Hashable, Iterator
from contextlib import contextmanager
from typing import Protocol, runtime_checkable


class Event:
    """Base of everything on the bus; a plain subclass is a fact."""

    __slots__ = ()


@runtime_checkable
class Sample(Protocol):
    """An event of which only the latest per `key` counts."""

    @property
    def key(self) -> Hashable: ...


class Subscription:
    """One reader's queue. Iterate it; it ends when the bus closes and everything was read."""

    def __init__(self) -> None:
        self._waiting: deque[Event | Hashable] = deque()
        self._latest: dict[Hashable, Event] = {}
        self._something = asyncio.Event()
        self._closed = False

    def _put(self, event: Event) -> None:
        if isinstance(event, Sample):
            token = (type(event), event.key)
            if token not in self._latest:
                self._waiting.append(token)
            self._latest[token] = event
        else:
            self._waiting.append(event)
        self._something.set()

    def _close(self) -> None:
        self._closed = True
        self._something.set()

    def __len__(self) -> int:
        return len(self._waiting)

    async def __aiter__(self) -> AsyncIterator[Event]:
        while True:
            while self._waiting:
                item = self._waiting.popleft()
                yield item if isinstance(item, Event) else self._latest.pop(item)
            if self._closed:
                return
            self._something.clear()
            await self._something.wait()


class Bus:
    """Publish from the loop's thread; publishing never waits and never fails because of a reader."""

    def __init__(self) -> None:
        self._subscriptions: list[Subscription] = []

    def publish(self, event: Event) -> None:
        for subscription in self._subscriptions:
            subscription._put(event)

    @contextmanager
    def subscribe(self) -> Iterator[Subscription]:
        subscription = Subscription()
        self._subscriptions.append(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.remove(subscription)

    def close(self) -> None:
        """Let every reader finish what is queued and end."""
        for subscription in self._subscriptions:
            subscription._close()
