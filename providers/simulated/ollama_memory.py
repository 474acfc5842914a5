"""The graphics memory of a simulated Ollama: which models are in it, how they get there and when they leave."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from providers.simulated.base import RefusedError
from providers.simulated.models import SimulatedModel
from providers.simulated.pace import Clock

KEEP_ALIVE_S = 300.0
_FOR_EVER_S = 290 * 365 * 86_400.0
_BYTES_PER_CONTEXT_TOKEN = 131_072
_DURATION = re.compile(r"([\d.]+)(ns|us|µs|ms|s|m|h)")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(slots=True, eq=False)
class LoadedModel:
    model: SimulatedModel
    context_tokens: int
    expires_at: datetime
    ready: asyncio.Event
    used_at_s: float = 0.0
    requests: int = 0
    """How many are being answered with it; a model at work stays."""

    @property
    def size_bytes(self) -> int:
        """The weights and what the context takes."""
        return self.model.size_bytes + self.context_tokens * _BYTES_PER_CONTEXT_TOKEN


class Memory:
    """Models in `vram_bytes`. One that does not fit alone is loaded all the same, partly outside."""

    def __init__(self, clock: Clock, vram_bytes: int) -> None:
        self.vram_bytes = vram_bytes
        self._clock = clock
        self._loaded: dict[str, LoadedModel] = {}

    def ready(self) -> list[LoadedModel]:
        """The models that can answer at once, the one that stays longest first."""
        self._forget_expired()
        ready = [one for one in self._loaded.values() if one.ready.is_set()]
        return sorted(ready, key=lambda one: one.expires_at, reverse=True)

    def unload(self, name: str) -> None:
        self._loaded.pop(name, None)

    @asynccontextmanager
    async def use(
        self, model: SimulatedModel, *, context_tokens: int, keep_alive_s: float, load_s: float
    ) -> AsyncIterator[LoadedModel]:
        """Have `model` in memory for a request, waiting while it comes; it stays `keep_alive_s` after the request."""
        one = await self._load(model, context_tokens, load_s)
        one.requests += 1
        self._stay(one, keep_alive_s)
        try:
            yield one
        finally:
            one.requests -= 1
            self._stay(one, keep_alive_s)

    async def _load(self, model: SimulatedModel, context_tokens: int, load_s: float) -> LoadedModel:
        self._forget_expired()
        one = self._loaded.get(model.name)
        if one is None or one.context_tokens != context_tokens:  # another context size means loading again
            later = self._clock.now() + timedelta(days=1)
            one = self._loaded[model.name] = LoadedModel(model, context_tokens, later, asyncio.Event())
            self._make_room(one)
            try:
                if load_s:
                    await self._clock.sleep(load_s)
            finally:
                # Even if the one who asked has left: a load that began is of use to the next one.
                one.ready.set()
        await one.ready.wait()
        return one

    def _stay(self, one: LoadedModel, keep_alive_s: float) -> None:
        one.used_at_s = self._clock.monotonic()
        one.expires_at = self._clock.now() + timedelta(seconds=min(keep_alive_s, _FOR_EVER_S))

    def _forget_expired(self) -> None:
        now = self._clock.now()
        for name in [name for name, one in self._loaded.items() if one.expires_at <= now and not one.requests]:
            del self._loaded[name]

    def _make_room(self, wanted: LoadedModel) -> None:
        """Put out the models unused for longest until the wanted one fits, or is alone."""
        idle = [one for one in self._loaded.values() if one is not wanted and not one.requests]
        for one in sorted(idle, key=lambda one: one.used_at_s):
            if sum(each.size_bytes for each in self._loaded.values()) <= self.vram_bytes:
                return
            del self._loaded[one.model.name]


def keep_alive_s(given: Any) -> float:
    """Seconds of a number or of Go's duration words ("5m", "1h30m"); below zero is for ever."""
    if given is None:
        return KEEP_ALIVE_S
    if isinstance(given, int | float):
        return _FOR_EVER_S if given < 0 else float(given)
    text = str(given)
    digits = text.lstrip("+-")
    parts = _DURATION.findall(digits)
    if digits != "0" and (not parts or "".join(number + unit for number, unit in parts) != digits):
        what = "missing unit in" if digits.isdecimal() else "invalid"
        raise RefusedError(400, f"time: {what} duration {json.dumps(text)}")
    seconds = sum(float(number) * _SECONDS[unit] for number, unit in parts)
    return _FOR_EVER_S if text.startswith("-") and seconds else seconds
