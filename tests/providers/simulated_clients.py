"""Clients of the simulated services, opened and closed properly, and clocks for them that are moved by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import anthropic
import httpx
import ollama
import openai

from providers.simulated.services import SimulatedAnthropic, SimulatedOllama, SimulatedOpenAI, SimulatedService


@asynccontextmanager
async def ollama_client(service: SimulatedOllama, **headers: str) -> AsyncIterator[ollama.AsyncClient]:
    async with ollama.AsyncClient(host=service.base_url, headers=headers, trust_env=False) as client:
        yield client


@asynccontextmanager
async def openai_client(service: SimulatedService, key: str | None = None) -> AsyncIterator[openai.AsyncOpenAI]:
    """For an Ollama host this is its OpenAI-compatible face."""
    base_url = service.base_url if isinstance(service, SimulatedOpenAI) else f"{service.base_url}/v1"
    async with openai.AsyncOpenAI(
        base_url=base_url, api_key=key or service.key or "any", max_retries=0, timeout=20
    ) as client:
        yield client


@asynccontextmanager
async def anthropic_client(
    service: SimulatedAnthropic, key: str | None = None
) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with anthropic.AsyncAnthropic(
        base_url=service.base_url, api_key=key or service.key, max_retries=0, timeout=20
    ) as client:
        yield client


@asynccontextmanager
async def http_client(service: SimulatedService) -> AsyncIterator[httpx.AsyncClient]:
    """Plain HTTP with the service's key in every header that any wire looks at."""
    headers = {"authorization": f"Bearer {service.key}", "anthropic-version": "2023-06-01"}
    if service.wire == "anthropic" and service.key:
        headers |= {"x-api-key": service.key}
    async with httpx.AsyncClient(base_url=service.base_url, headers=headers, trust_env=False, timeout=20) as client:
        yield client


class FrozenClock:
    """A clock moved by hand; sleeping moves it and returns at once."""

    def __init__(self) -> None:
        self.moment = datetime(2026, 1, 2, 3, 4, 5, 678_900, UTC)
        self.slept_s: list[float] = []

    def now(self) -> datetime:
        return self.moment

    def monotonic(self) -> float:
        return self.moment.timestamp()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)
        self.slept_s.append(seconds)
        self.moment += timedelta(seconds=seconds)


class HeldClock(FrozenClock):
    """A clock on which every sleep lasts until `go` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.go = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        await self.go.wait()
        await super().sleep(seconds)
