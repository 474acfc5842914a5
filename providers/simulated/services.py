"""The simulated services by name, and a `World` that runs several of them together.

    async with SimulatedOllama() as ollama:
        ollama.answers.script("weather", "It rains.")
        ollama.faults.once(FaultKind.CUT, 3)
        ...  # talk to ollama.base_url; then look at ollama.requests

Begin reading with `base.py` (what they share) and one wire: `ollama.py`, `openai.py` or `anthropic.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, Self

from providers.simulated.answers import Answer, Question, Tool, ToolUse, Turn
from providers.simulated.anthropic import SimulatedAnthropic
from providers.simulated.base import Recorded, SimulatedService
from providers.simulated.faults import Fault, FaultKind, Faults
from providers.simulated.models import SimulatedModel
from providers.simulated.ollama import SimulatedOllama
from providers.simulated.openai import SimulatedOpenAI
from providers.simulated.pace import Clock, RealClock, Speed

__all__ = [
    "ENDPOINTS",
    "Answer",
    "Clock",
    "Fault",
    "FaultKind",
    "Faults",
    "Question",
    "RealClock",
    "Recorded",
    "SimulatedAnthropic",
    "SimulatedModel",
    "SimulatedOllama",
    "SimulatedOpenAI",
    "SimulatedService",
    "Speed",
    "Tool",
    "ToolUse",
    "Turn",
    "World",
    "WorldOptions",
]

_WORKSTATION = ("qwen3:32b", "qwen3:30b-a3b", "qwen2.5-coder:14b", "llama3.1:8b", "gpt-oss:20b", "bge-m3:latest")

ENDPOINTS: Mapping[str, tuple[type[SimulatedService], Mapping[str, Any]]] = {
    "inference": (SimulatedOllama, {}),
    "workstation": (SimulatedOllama, {"installed": _WORKSTATION, "vram_bytes": 48_000_000_000}),
    "openai": (SimulatedOpenAI, {}),
    "openrouter": (SimulatedOpenAI, {"flavour": "openrouter"}),
    "anthropic": (SimulatedAnthropic, {}),
    "vllm": (SimulatedOpenAI, {"flavour": "vllm"}),
    "deepseek": (SimulatedOpenAI, {"flavour": "deepseek"}),
}
"""What a world can hold, by name."""

DEFAULT_ENDPOINTS = ("inference", "workstation", "openai", "openrouter", "anthropic")


@dataclass(frozen=True, slots=True)
class WorldOptions:
    endpoints: Sequence[str] = DEFAULT_ENDPOINTS
    speed: Speed = field(default_factory=Speed)
    seed: int = 0
    answer_tokens: int | None = None
    """Length of made-up answers; None for what comes naturally."""
    faults: Mapping[str, Iterable[Fault]] = field(default_factory=dict)
    """By endpoint."""
    ports: Mapping[str, int] = field(default_factory=dict)
    """By endpoint; a free one where it is not named."""


class World:
    """Several services together, started and stopped as one."""

    def __init__(self, options: WorldOptions | None = None, *, clock: Clock | None = None) -> None:
        options = options or WorldOptions()
        self.services: dict[str, SimulatedService] = {}
        for name in options.endpoints:
            kind, traits = ENDPOINTS[name]
            self.services[name] = kind(
                name,
                **traits,
                speed=options.speed,
                seed=options.seed,
                answer_tokens=options.answer_tokens,
                faults=options.faults.get(name, ()),
                port=options.ports.get(name, 0),
                clock=clock,
            )
        self._stack = AsyncExitStack()

    def __getitem__(self, name: str) -> SimulatedService:
        return self.services[name]

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            for service in self.services.values():
                await stack.enter_async_context(service)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def description(self) -> dict[str, Any]:
        """The world as `python -m providers.simulated` prints it."""
        return {
            "schema": 1,
            "clouds": [],
            "endpoints": [service.endpoint() for service in self.services.values()],
            "comfyui": [],
            "machines": [],
        }
