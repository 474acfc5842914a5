"""Every name that can be chosen to answer: models by where they are, aliases and routes, each with its state.

The list is there at once, from the settings and from what the store has seen; nothing waits for a network. `refresh`
asks the endpoints, each with a limit of its own, and tells when one of them has answered.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from console.errors import ConsoleError, StoreError
from providers.errors import ProviderError

if TYPE_CHECKING:
    from console.chat.breaker import Breakers
    from console.chat.catalogue import Catalogue
    from console.clock import Clock
    from console.history.models_seen import SeenModel
    from console.money.prices import Prices
    from console.settings import ChainEntry, Endpoint, Settings
    from providers.chat.base import ChatProvider, ModelInfo

log = logging.getLogger(__name__)

ANSWER_S = 4.0
"""How long one endpoint has to say what it has."""

Kind: TypeAlias = Literal["machine", "here", "hosted", "name"]
Standing: TypeAlias = Literal["loaded", "ready", "off", "silent", "unknown"]
"""In memory; answers; its machine is off; did not answer when it was last asked; never asked."""


class OnHand(NamedTuple):
    """A name that `-m` and the picker take."""

    name: str
    kind: Kind
    group: str
    """The heading it stands under: a machine, an endpoint, or aliases and routes."""
    label: str
    """The name without its group."""
    standing: Standing
    since: datetime | None = None
    """When it was last seen."""
    context_tokens: int | None = None
    size_bytes: int | None = None
    parameters: str | None = None
    sees_images: bool | None = None
    price_input_usd_per_million: Decimal | None = None
    price_output_usd_per_million: Decimal | None = None
    leads_to: str = ""
    """What an alias or a route stands for."""


class ModelsOnHand:
    """The names there are. What was found out stays for the life of the process, and in the store."""

    def __init__(
        self,
        settings: Settings,
        catalogue: Catalogue,
        prices: Prices,
        breakers: Breakers,
        seen: Callable[[], Awaitable[Sequence[SeenModel]]],
        remember: Callable[[str, Sequence[ModelInfo]], Awaitable[None]],
        provider: Callable[[str], ChatProvider],
        is_near: Callable[[Endpoint], Awaitable[bool]],
        loaded: Callable[[Endpoint], Awaitable[Iterable[str]]],
        clock: Clock,
    ) -> None:
        """`loaded` asks an Ollama host which models it has in memory."""
        self._settings, self._catalogue, self._prices, self._breakers = settings, catalogue, prices, breakers
        self._seen, self._remember, self._provider = seen, remember, provider
        self._is_near, self._ask_loaded, self._clock = is_near, loaded, clock
        self._in_memory: dict[str, frozenset[str]] = {}
        self._answered: dict[str, datetime] = {}
        self._silent: dict[str, str] = {}

    def why_silent(self, endpoint: str) -> str:
        """Why an endpoint did not answer when it was last asked; empty if it did."""
        return self._silent.get(endpoint, "")

    async def listed(self) -> list[OnHand]:
        """Machines first, then what is here, then what is paid for by the token, then names of one's own."""
        try:
            rows = await self._seen()
        except StoreError as error:
            log.warning("the models seen before are not known: %s", error.text)
            rows = []
        found: list[OnHand] = []
        by_endpoint: dict[str, list[SeenModel]] = {}
        for row in rows:
            by_endpoint.setdefault(row.endpoint, []).append(row)
        for endpoint in self._settings.endpoints.values():
            self._prices.learn(endpoint.name, by_endpoint.get(endpoint.name, ()))
            found += await self._of_endpoint(endpoint, by_endpoint.get(endpoint.name, []))
        order: Mapping[Kind, int] = {"machine": 0, "here": 1, "hosted": 2, "name": 3}
        found.sort(key=lambda each: order[each.kind])
        return found + self._names()

    async def _of_endpoint(self, endpoint: Endpoint, seen: Sequence[SeenModel]) -> list[OnHand]:
        known = {row.name: row for row in seen}
        names = endpoint.models or tuple(known) or endpoint.expected
        kind: Kind = "machine" if endpoint.machine is not None else "here" if _is_free(endpoint) else "hosted"
        standing, since = await self._standing(endpoint, seen)
        in_memory = self._in_memory.get(endpoint.name, frozenset())
        return [
            self._model(endpoint, kind, name, known.get(name), "loaded" if name in in_memory else standing, since)
            for name in names
            if self._catalogue.is_for_chat(name)
        ]

    def _model(
        self,
        endpoint: Endpoint,
        kind: Kind,
        name: str,
        seen: SeenModel | None,
        standing: Standing,
        since: datetime | None,
    ) -> OnHand:
        facts = self._catalogue.find(name)
        price = self._prices.price(endpoint, name)
        window = endpoint.context_tokens or (seen.context_tokens if seen else None)
        sees = seen.sees_images if seen else None
        return OnHand(
            name=f"{endpoint.name}/{name}",
            kind=kind,
            group=endpoint.name,
            label=name,
            standing=standing,
            since=since,
            context_tokens=window or (facts.context_tokens if facts else None),
            size_bytes=seen.size_bytes if seen else None,
            parameters=seen.parameters if seen else None,
            sees_images=sees if sees is not None else (facts.sees_images if facts else None),
            price_input_usd_per_million=price.input_usd_per_million if price else None,
            price_output_usd_per_million=price.output_usd_per_million if price else None,
        )

    async def _standing(self, endpoint: Endpoint, seen: Sequence[SeenModel]) -> tuple[Standing, datetime | None]:
        last = max((row.seen_at for row in seen if row.seen_at is not None), default=None)
        last = self._answered.get(endpoint.name, last)
        if endpoint.machine is not None and not await self._is_near(endpoint):
            return "off", last
        if endpoint.name in self._silent or await self._breakers.open_for_s(endpoint.name) > 0:
            return "silent", last
        return ("ready" if last is not None or endpoint.models else "unknown"), last

    def _names(self) -> list[OnHand]:
        aliases = [
            OnHand(name, "name", "aliases and routes", name, "ready", leads_to=_chain(entries))
            for name, entries in self._settings.aliases.items()
        ]
        routes = [
            OnHand(name, "name", "aliases and routes", name, "ready", leads_to=_chain(entries))
            for name, entries in self._settings.routes.items()
            if name not in self._settings.aliases
        ]
        auto = OnHand(
            "auto", "name", "aliases and routes", "auto", "ready", leads_to="whichever route the question asks for"
        )
        return [*aliases, *routes, *([auto] if "auto" not in {each.name for each in aliases + routes} else [])]

    async def refresh(self, *, connect: bool = False) -> AsyncIterator[str]:
        """Ask every endpoint what it has, all at once; yields the name of each that has answered or failed.

        Machines that are not connected are asked only with `connect`, which opens links but wakes nobody.
        """
        endpoints = [
            endpoint
            for endpoint in self._settings.endpoints.values()
            if connect or endpoint.machine is None or await self._is_near(endpoint)
        ]
        asked = [asyncio.ensure_future(self._ask(endpoint)) for endpoint in endpoints]
        try:
            for answer in asyncio.as_completed(asked):
                yield await answer
        finally:
            for task in asked:
                task.cancel()
            await asyncio.gather(*asked, return_exceptions=True)

    async def _ask(self, endpoint: Endpoint) -> str:
        name = endpoint.name
        try:
            async with asyncio.timeout(ANSWER_S):
                models = await self._provider(name).models()
                if endpoint.wire == "ollama":
                    self._in_memory[name] = frozenset(await self._ask_loaded(endpoint))
        except TimeoutError:
            self._silent[name] = f"no answer within {ANSWER_S:g} s"
        except (ProviderError, ConsoleError) as error:
            self._silent[name] = error.text
        else:
            self._silent.pop(name, None)
            self._answered[name] = self._clock.now()
            try:
                await self._remember(name, models)
            except StoreError as error:
                log.warning("the models of %s are not remembered: %s", name, error.text)
        return name


def _is_free(endpoint: Endpoint) -> bool:
    return endpoint.is_own and not endpoint.price_input and not endpoint.price_output


def _chain(entries: Sequence[ChainEntry]) -> str:
    return " → ".join(entry.target for entry in entries)
