"""What the tests of simulated clouds stand on: a clock moved by hand, and a client that has the twin's key."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import httpx

from providers.simulated.clouds.twin import CloudTwin

START = datetime(2026, 11, 1, 8, 0, tzinfo=UTC)


class HandClock:
    def __init__(self, moment: datetime = START) -> None:
        self.moment = moment

    def now(self) -> datetime:
        return self.moment

    def forward(self, seconds: float = 0, **more: float) -> None:
        self.moment += timedelta(seconds=seconds, **more)


@asynccontextmanager
async def client_of(
    twin: CloudTwin, key: str | None = None, *, timeout_s: float = 20
) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"authorization": f"Bearer {key or twin.key}"}
    async with httpx.AsyncClient(base_url=twin.root_url, headers=headers, trust_env=False, timeout=timeout_s) as client:
        yield client
