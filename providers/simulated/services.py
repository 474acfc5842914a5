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
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from providers.simulated.answers import Answer, Question, Tool, ToolUse, Turn
from providers.simulated.anthropic import SimulatedAnthropic
from providers.simulated.base import Recorded, SimulatedService
from providers.simulated.clouds.faults import CloudFault
from providers.simulated.faults import Fault, FaultKind, Faults
from providers.simulated.machine_faults import MachineFault
from providers.simulated.models import SimulatedModel
from providers.simulated.ollama import SimulatedOllama
from providers.simulated.openai import SimulatedOpenAI
from providers.simulated.pace import Clock, RealClock, Speed
from providers.simulated.rerank import SimulatedReranker

if TYPE_CHECKING:
    from providers.simulated.clouds.twin import CloudTwin
    from providers.simulated.machine import SimulatedMachine

__all__ = [
    "ENDPOINTS",
    "Answer",
    "Clock",
    "CloudFault",
    "Fault",
    "FaultKind",
    "Faults",
    "MachineFault",
    "MachineSpec",
    "Question",
    "RealClock",
    "Recorded",
    "SimulatedAnthropic",
    "SimulatedModel",
    "SimulatedOllama",
    "SimulatedOpenAI",
    "SimulatedReranker",
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
    "reranker": (SimulatedReranker, {}),
    "tei": (SimulatedReranker, {"manner": "tei"}),
}
"""What a world can hold, by name."""

DEFAULT_ENDPOINTS = ("inference", "workstation", "openai", "openrouter", "anthropic")


class MachineSpec(NamedTuple):
    """A machine of the world and what it serves: by port on the machine, the name of an endpoint of the world."""

    name: str
    services: Mapping[int, str]


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
    """By endpoint, machine or cloud; a free one where it is not named."""
    machines: Sequence[MachineSpec] = ()
    real_shell: bool = False
    """Whether machines run /bin/sh in place of the built-in shell."""
    machine_faults: Mapping[str, Iterable[MachineFault]] = field(default_factory=dict)
    """By machine."""
    clouds: Sequence[str] = ()
    """Names of `clouds.names.CLOUDS`; machines stand behind all that is rented from them."""
    boot_s: float | None = None
    """From renting to a service that answers; None for what image and host make of it."""
    stock: int | None = None
    """At most so many GPUs are free on each host of a cloud."""
    cloud_faults: Mapping[str, Iterable[CloudFault]] = field(default_factory=dict)
    """By cloud."""


class World:
    """Several services together, started and stopped as one."""

    def __init__(self, options: WorldOptions | None = None, *, clock: Clock | None = None) -> None:
        self._options = options = options or WorldOptions()
        self._clock = clock
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
        self.clouds: dict[str, CloudTwin] = {name: self._cloud(name) for name in options.clouds}
        self.machines: dict[str, SimulatedMachine] = {}
        """Once the world is entered."""
        self._stack = AsyncExitStack()

    def __getitem__(self, name: str) -> SimulatedService:
        return self.services[name]

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            for service in self.services.values():
                await stack.enter_async_context(service)
            for spec in self._options.machines:
                self.machines[spec.name] = await stack.enter_async_context(self._machine(spec))
            for cloud in self.clouds.values():
                await stack.enter_async_context(cloud)
            self._stack = stack.pop_all()
        return self

    def _cloud(self, name: str) -> CloudTwin:
        from providers.simulated.clouds.names import CLOUDS  # only who wants clouds pays for them
        from providers.simulated.clouds.rental import Timings

        options = self._options
        return CLOUDS[name](
            clock=self._clock,
            stock=options.stock,
            timings=None if options.boot_s is None else Timings.booting_in(options.boot_s),
            faults=options.cloud_faults.get(name, ()),
            seed=options.seed,
            port=options.ports.get(name, 0),
            with_machines=True,
            real_shell=options.real_shell,
        )

    def _machine(self, spec: MachineSpec) -> SimulatedMachine:
        from providers.simulated.machine import SimulatedMachine  # loads asyncssh, a third of a second

        return SimulatedMachine(
            spec.name,
            services={port: ("127.0.0.1", self.services[name].port) for port, name in spec.services.items()},
            seed=self._options.seed,
            real_shell=self._options.real_shell,
            port=self._options.ports.get(spec.name, 0),
            faults=self._options.machine_faults.get(spec.name, ()),
            clock=self._clock,
        )

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def description(self) -> dict[str, Any]:
        """The world as `python -m providers.simulated` prints it."""
        return {
            "schema": 1,
            "clouds": [cloud.description() for cloud in self.clouds.values()],
            "endpoints": [service.endpoint() for service in self.services.values()],
            "comfyui": [],
            "machines": [
                *(machine.description() for machine in self.machines.values()),
                *(row for cloud in self.clouds.values() for row in cloud.machine_descriptions()),
            ],
        }
