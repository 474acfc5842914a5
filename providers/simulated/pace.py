"""The time the services keep and how fast they answer."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """The time the services keep; `sleep` paces answers, so a test may let it return at once."""

    def now(self) -> datetime: ...

    def monotonic(self) -> float: ...

    async def sleep(self, seconds: float) -> None: ...


class RealClock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


@dataclass(frozen=True, slots=True)
class Speed:
    """How fast a service answers; the default is as fast as it can."""

    tokens_per_second: float = 0.0
    """0 is full speed."""
    first_token_s: float = 0.0
    load_s: float = 0.0
    """Time to bring a model into memory on first use (Ollama)."""
    pull_bytes_per_second: float = 0.0
    """0 is full speed."""
