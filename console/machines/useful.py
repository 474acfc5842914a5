"""From a login to a machine that is useful: its service answers, its models are there, the first one is loaded.

Every step looks first whether it is done. Work on the machine is detached: a drop of the link does not end it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from console.clock import Clock
from console.errors import LinkError, MachineError
from console.links.health import Reading as Probe
from console.links.health import probe
from console.machines import words
from console.machines.boot import Phase, Timeline
from console.machines.progress import Progress, Tell
from console.machines.recipes import Recipe, recipe_named
from console.machines.records import MachineRecord
from console.machines.services import Service, read_service, service_named
from console.settings import Settings
from providers.errors import ProviderError

if TYPE_CHECKING:
    from console.links.detached import Detached
    from console.links.links import Links
    from console.links.ways import Ways
    from providers.chat.ollama_admin import OllamaAdmin

_log = logging.getLogger(__name__)

AGAIN_S = 2.0
"""Between two looks at something that is not there yet."""
TRIES = 3
"""How often a pull is taken up again without having come further."""

Admin: TypeAlias = Callable[[str, str], "OllamaAdmin"]
"""The models of a service on a machine."""


class Patience(NamedTuple):
    service_s: float = 900.0
    """How long a service may take in all."""
    alone_s: float = 10.0
    """How long it may come up by itself before the recipe is run over SSH."""


class Useful:
    def __init__(
        self,
        settings: Settings,
        links: Callable[[], Links],
        ways: Callable[[], Ways],
        clock: Clock,
        *,
        admin: Admin,
        patience: Patience | None = None,
    ) -> None:
        self._settings = settings
        self._links, self._ways = links, ways
        self._clock = clock
        self._admin = admin
        self._patience = patience or Patience()

    def services(self, record: MachineRecord) -> list[Service]:
        """What is to answer on a machine: as the settings say, else by its recipe."""
        machine = self._settings.machines.get(record.name)
        if machine is not None and machine.services:
            return [read_service(written) for written in machine.services]
        recipe = self.recipe(record)
        return [service_named(name) for name in recipe.services] if recipe is not None else []

    def recipe(self, record: MachineRecord) -> Recipe | None:
        machine = self._settings.machines.get(record.name)
        name = record.order.get("recipe") or (machine.recipe if machine is not None else None)
        return recipe_named(str(name)) if name else None

    def models(self, record: MachineRecord) -> Sequence[str]:
        machine = self._settings.machines.get(record.name)
        ordered = record.order.get("models")
        models = [str(model) for model in ordered] if isinstance(ordered, list) else []
        return list(dict.fromkeys([*models, *(machine.models if machine is not None else ())]))

    async def make(self, record: MachineRecord, tell: Tell, timeline: Timeline | None, *, warm: bool = False) -> None:
        """Raises what prevents it, as `MachineError`, `LinkError` or `ProviderError`."""
        services = self.services(record)
        recipe = self.recipe(record)
        for service in services:
            its = recipe if recipe is not None and service.name in recipe.services else None
            await self._until_service(record, service, tell, timeline, its)
        models = self.models(record)
        ollama = next((service for service in services if service.wire == "ollama"), None)
        if models and ollama is not None:
            await self._until_models(record, ollama, models, tell, timeline, warm=warm)

    async def _until_service(
        self, record: MachineRecord, service: Service, tell: Tell, timeline: Timeline | None, recipe: Recipe | None
    ) -> None:
        began = self._clock.monotonic()
        said = Progress(tell, record.name, self._clock)
        following: asyncio.Task[None] | None = None
        try:
            while True:
                if timeline is not None:
                    timeline.enter(Phase.SERVICE)
                reading = await self._probe(record.name, service)
                if reading.ok:
                    return
                waited = self._clock.monotonic() - began
                if recipe is not None and following is None and waited >= self._patience.alone_s:
                    tell(f"Setting up {recipe.title} on {record.name}.")
                    following = asyncio.create_task(self._follow(record, recipe, tell))
                if following is not None and following.done():
                    following.result()  # raises what went wrong there
                if waited > self._patience.service_s:
                    raise MachineError(
                        f"{service.label} on {record.name!r} does not answer after {words.span(waited)}:"
                        f" {reading.error}",
                        hint=f"hawser vm logs {record.name} --service {service.name}",
                    )
                said.at(timeline, reading.error or "")
                await self._clock.sleep(AGAIN_S)
        finally:
            if following is not None and not following.done():
                following.cancel()  # the work itself goes on there
                with contextlib.suppress(asyncio.CancelledError):
                    await following

    async def _probe(self, name: str, service: Service) -> Probe:
        try:
            way = await self._ways().way_to(name, service)
        except LinkError as error:
            return Probe(False, None, error.text, self._clock.now())
        return await probe(service, way.local_port, self._clock)

    async def _follow(self, record: MachineRecord, recipe: Recipe, tell: Tell) -> None:
        """Run the recipe there, as work that a drop does not end; its own words are told."""
        jobs = await self._detached(record.name)
        job_id = f"recipe-{recipe.name}-{_started(record)}"
        await jobs.start(job_id, recipe.script)
        rest = b""
        async for piece in jobs.follow(job_id):
            *lines, rest = (rest + piece.content).split(b"\n")
            for line in lines:
                text = line.decode(errors="replace")
                if text.startswith("hawser: "):
                    tell(f"{record.name}: {text.removeprefix('hawser: ')}")
        ended = await jobs.wait(job_id)
        if ended.exit_code != 0:
            raise MachineError(
                f"The recipe {recipe.name!r} failed on {record.name!r}: {recipe.fault(ended.exit_code)}.",
                hint=f"hawser vm logs {record.name} --boot shows what it said.",
            )

    async def _detached(self, name: str) -> Detached:
        from console.links.detached import Detached

        link = await self._links().link(name)
        return Detached(link.connection, machine=name)

    async def _until_models(
        self,
        record: MachineRecord,
        service: Service,
        models: Sequence[str],
        tell: Tell,
        timeline: Timeline | None,
        *,
        warm: bool,
    ) -> None:
        async with self._admin(record.name, service.name) as admin:
            if timeline is not None:
                timeline.enter(Phase.WEIGHTS)
            there = {_full(model.name) for model in await admin.models()}
            for model in models:
                if _full(model) not in there:
                    await self._pull(admin, record, model, tell, timeline)
            if warm:
                if timeline is not None:
                    timeline.enter(Phase.WARM)
                tell(f"Loading {models[0]} on {record.name}.")
                await admin.load(models[0])

    async def _pull(
        self, admin: OllamaAdmin, record: MachineRecord, model: str, tell: Tell, timeline: Timeline | None
    ) -> None:
        """Fetch a model. One that stalls or breaks is taken up again where it was."""
        tell(f"Fetching {model} on {record.name}.")
        said = Progress(tell, record.name, self._clock)
        best, without = -1, 0
        while True:
            try:
                async with contextlib.aclosing(admin.pull(model)) as steps:
                    async for step in steps:
                        if step.total_bytes:
                            news = f"{model}: {step.completed_bytes / 1e9:.1f} of {step.total_bytes / 1e9:.1f} GB"
                            if timeline is not None:
                                timeline.tick(news)
                            said.at(timeline, news)
                            if step.completed_bytes > best:
                                best, without = step.completed_bytes, 0
                return
            except ProviderError as error:
                without += 1
                if not error.may_retry or without > TRIES:
                    raise
                _log.info("A pull is taken up again.", extra={"machine": record.name, "error": error.text})
                await self._clock.sleep(AGAIN_S)


def _started(record: MachineRecord) -> int:
    """Tells one start of a machine from the next, for what has to be done again after each."""
    return int((record.started_at or record.created_at).timestamp())


def _full(model: str) -> str:
    return model if ":" in model else f"{model}:latest"
