"""From the bus to the screens: the only subscriber of what the program tells.

Facts are handed on at once and in order. Samples, of which only the last one counts, are handed on at most thirty times
a second; the bus keeps the newest of each meanwhile.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from textual.message import Message

from console.events import Event, Sample

if TYPE_CHECKING:
    from collections.abc import Callable

    from console.events import Bus

FRAME_S = 1 / 30


class Happened(Message, bubble=False):
    """Something on the bus, as a message to the app and to every room."""

    def __init__(self, event: Event) -> None:
        super().__init__()
        self.event = event


async def carry(bus: Bus, deliver: Callable[[Event], None]) -> None:
    """Hand on all that happens until the bus closes."""
    with bus.subscribe() as events:
        async for event in events:
            deliver(event)
            if isinstance(event, Sample) and not len(events):
                await asyncio.sleep(FRAME_S)
