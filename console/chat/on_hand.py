"""Every name that can be chosen to answer: models by where they are, aliases and routes, each with its state.

The list is there at once, from the settings and from what the store has seen; nothing waits for a network. `refresh`
asks the endpoints, each with a limit of its own, and tells when one of them has answered.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias, TypeVar

from console.chat import parameters
from console.errors import ConsoleError, NoModel, StoreError
from providers.errors import ProviderError

if TYPE_CHECKING:
    from console.chat.breaker import Breakers
    from console.chat.catalogue import Catalogue
    from console.clock import Clock
    from console.history.models_seen import SeenModel
    from console.machines.outlook import Outlook
    from console.money.prices import Prices
    from console.settings import ChainEntry, Endpoint, Settings
    from providers.chat.base import ChatProvider, ModelInfo

log = logging.getLogger(__name__)

T = TypeVar("T")

ANSWER_S = 4.0
"""How long one endpoint has to say what it has."""
CONNECT_S = 15.0
"""How long one has whose machine must be connected first."""
NAMES = "aliases and routes"
"""The group of the names that stand for others."""
AUTO = "auto"
LATELY = 5

Kind: TypeAlias = Literal["machine", "here", "hosted", "name"]
Standing: TypeAlias = Literal["loaded", "ready", "apart", "off", "silent", "unknown"]
"""In memory; answers; its machine is not connected; its machine is off; did not answer when it was last asked; was
never asked."""


class OnHand(NamedTuple):
    """A name that `-m` and the picker take."""

    name: str
    kind: Kind
    group: str
    """The heading it stands under: a machine, an endpoint, or aliases and routes."""
    label: str
    """The name without its group."""
    standing: Standing
    context_tokens: int | None = None
    size_bytes: int | None = None
    parameters: str | None = None
    sees_images: bool | None = None
    price_input_usd_per_million: Decimal | None = None
    price_output_usd_per_million: Decimal | None = None
    leads_to: str = ""
    """What an alias or a route stands for."""


class Group(NamedTuple):
    """Where some of the names are."""

    name: str
    kind: Kind
    standing: Standing
    since: datetime | None = None
    """When it last said what it has."""
    why_silent: str = ""
    outlook: Outlook | None = None
    """What a question would begin with, where its machine is not connected."""
    is_being_asked: bool = False


class Listing(NamedTuple):
    """All names, group by group: machines, what is here, what is paid for by the token, names of one's own."""

    rows: tuple[OnHand, ...] = ()
    groups: Mapping[str, Group] = MappingProxyType({})
    lately: tuple[str, ...] = ()
    """Those of the names that were chosen or answered lately, the last one first."""

    def find(self, name: str) -> OnHand | None:
        return next((row for row in self.rows if row.name == name), None)

    def having(self, model: str) -> list[OnHand]:
        """The rows of a model that was named without its endpoint."""
        return [row for row in self.rows if row.kind != "name" and row.label in (model, f"{model}:latest")]


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
        *,
        lately: Callable[[int], Awaitable[Sequence[str]]],
        outlooks: Callable[[], Awaitable[Mapping[str, Outlook]]],
    ) -> None:
        """`loaded` asks an Ollama host which models it has in memory; `is_near` tells whether a machine is connected;
        `outlooks` has all machines."""
        self._settings, self._catalogue, self._prices, self._breakers = settings, catalogue, prices, breakers
        self._seen, self._remember, self._provider = seen, remember, provider
        self._is_near, self._ask_loaded, self._clock = is_near, loaded, clock
        self._lately, self._outlooks = lately, outlooks
        self._in_memory: dict[str, frozenset[str]] = {}
        self._answered: dict[str, datetime] = {}
        self._silent: dict[str, str] = {}
        self._asking: list[str] = []
        self._listed = Listing()

    # ---- what there is

    @property
    def latest(self) -> Listing:
        """What there was when it was last listed."""
        return self._listed

    async def listed(self) -> Listing:
        rows: list[OnHand] = []
        groups: dict[str, Group] = {}
        by_endpoint: dict[str, list[SeenModel]] = {}
        seen_models: Sequence[SeenModel] = await self._known(self._seen, [])
        for row in seen_models:
            by_endpoint.setdefault(row.endpoint, []).append(row)
        outlooks: Mapping[str, Outlook] = await self._known(self._outlooks, {})
        for endpoint in self._settings.endpoints.values():
            seen = by_endpoint.get(endpoint.name, [])
            self._prices.learn(endpoint.name, seen)
            groups[endpoint.name] = group = await self._group(endpoint, seen, outlooks)
            rows += self._of_endpoint(endpoint, group, seen)
        order: Mapping[Kind, int] = {"machine": 0, "here": 1, "hosted": 2, "name": 3}
        rows.sort(key=lambda each: order[each.kind])
        rows += self._names()
        groups[NAMES] = Group(NAMES, "name", "ready")
        names = {row.name for row in rows}
        used: Sequence[str] = await self._known(lambda: self._lately(4 * LATELY), [])
        lately = [name for name in used if name in names][:LATELY]
        self._listed = Listing(tuple(rows), groups, tuple(lately))
        return self._listed

    async def _known(self, read: Callable[[], Awaitable[T]], nothing: T) -> T:
        try:
            return await read()
        except StoreError as error:
            log.warning("what was seen of models before is not known: %s", error.text)
            return nothing

    async def _group(self, endpoint: Endpoint, seen: Sequence[SeenModel], outlooks: Mapping[str, Outlook]) -> Group:
        name = endpoint.name
        last = max((row.seen_at for row in seen if row.seen_at is not None), default=None)
        last = self._answered.get(name, last)
        group = Group(name, _kind(endpoint), "ready", last, is_being_asked=name in self._asking)
        why = self._silent.get(name, "")
        if endpoint.machine is not None and not await self._is_near(endpoint):
            outlook = outlooks.get(endpoint.machine)
            is_off = outlook is not None and outlook.state in ("off", "unrented")
            standing: Standing = "off" if is_off else "silent" if why else "apart"
            return group._replace(standing=standing, outlook=outlook, why_silent="" if is_off else why)
        if not why and (left_s := await self._breakers.open_for_s(name)) > 0:
            why = f"It failed several times in a row and is left alone for another {left_s:.0f} s."
        if why:
            return group._replace(standing="silent", why_silent=why)
        return group if last is not None or endpoint.models else group._replace(standing="unknown")

    def _of_endpoint(self, endpoint: Endpoint, group: Group, seen: Sequence[SeenModel]) -> list[OnHand]:
        known = {row.name: row for row in seen}
        in_memory = self._in_memory.get(endpoint.name, frozenset()) if group.standing == "ready" else ()
        return [
            self._model(endpoint, group, name, known.get(name), "loaded" if name in in_memory else group.standing)
            for name in endpoint.models or tuple(known) or endpoint.expected
            if self._catalogue.is_for_chat(name)
        ]

    def _model(self, endpoint: Endpoint, group: Group, name: str, seen: SeenModel | None, standing: Standing) -> OnHand:
        facts = self._catalogue.find(name)
        price = self._prices.price(endpoint, name)
        window = endpoint.context_tokens or (seen.context_tokens if seen else None)
        sees = seen.sees_images if seen else None
        return OnHand(
            name=f"{endpoint.name}/{name}",
            kind=group.kind,
            group=group.name,
            label=name,
            standing=standing,
            context_tokens=window or (facts.context_tokens if facts else None),
            size_bytes=seen.size_bytes if seen else None,
            parameters=seen.parameters if seen else None,
            sees_images=sees if sees is not None else (facts.sees_images if facts else None),
            price_input_usd_per_million=price.input_usd_per_million if price else None,
            price_output_usd_per_million=price.output_usd_per_million if price else None,
        )

    def _names(self) -> list[OnHand]:
        chains = {**self._settings.routes, **self._settings.aliases}
        order = [
            *self._settings.aliases,
            *(name for name in self._settings.routes if name not in self._settings.aliases),
        ]
        rows = [OnHand(name, "name", NAMES, name, "ready", leads_to=_chain(chains[name])) for name in order]
        if AUTO not in chains:
            rows.append(OnHand(AUTO, "name", NAMES, AUTO, "ready", leads_to="the route that the question asks for"))
        return rows

    # ---- asking the endpoints

    async def refresh(
        self, *, connect: bool = False, only: str | None = None, began: Callable[[], None] | None = None
    ) -> AsyncGenerator[str, None]:
        """Ask every endpoint what it has, all at once; yields the name of each that has answered or failed.

        Machines that are not connected are asked only with `connect`, which opens links to those that may be on and
        wakes nobody. `began` is called when it is known who is asked.
        """
        outlooks: Mapping[str, Outlook] = await self._known(self._outlooks, {}) if connect else {}
        limits: dict[str, float] = {}
        for endpoint in self._settings.endpoints.values():
            if only is not None and endpoint.name != only:
                continue
            if endpoint.machine is None or await self._is_near(endpoint):
                limits[endpoint.name] = ANSWER_S
            elif connect:
                outlook = outlooks.get(endpoint.machine)
                if outlook is None or outlook.state not in ("off", "unrented"):
                    limits[endpoint.name] = CONNECT_S
        asked = [self._begin_to_ask(name, limit_s) for name, limit_s in limits.items()]
        if began is not None:
            began()
        try:
            for answer in asyncio.as_completed(asked):
                yield await answer
        finally:
            for task in asked:
                task.cancel()
            await asyncio.gather(*asked, return_exceptions=True)

    def _begin_to_ask(self, name: str, limit_s: float) -> asyncio.Task[str]:
        task = asyncio.create_task(self._ask(self._settings.endpoint(name), limit_s))
        self._asking.append(name)
        task.add_done_callback(lambda _: self._asking.remove(name))  # also if it never took its first step
        return task

    async def _ask(self, endpoint: Endpoint, limit_s: float) -> str:
        name = endpoint.name
        try:
            async with asyncio.timeout(limit_s):
                models = await self._provider(name).models()
                if endpoint.wire == "ollama":
                    self._in_memory[name] = frozenset(await self._ask_loaded(endpoint))
        except TimeoutError:
            self._silent[name] = f"No answer within {limit_s:g} s."
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

    # ---- one name

    async def resolve(self, name: str) -> tuple[str, str]:
        """The name that is meant by what was typed, and what is to be said of it.

        A name that is known costs no network. For another one its endpoint is asked, or all that need no connection;
        raises `NoModel` with the near names if nobody has it.
        """
        listing = await self.listed()
        if listing.find(name) is not None:
            return name, ""
        left, slash, model = name.partition("/")
        endpoint = self._settings.endpoints.get(left)
        if endpoint is None or not slash:
            if not listing.having(name):
                listing = await self._asked()
            return self._the_one(listing, name), ""
        if not model:
            raise NoModel(f"{left!r} is an endpoint; the name of a model is missing.", hint=_near(name, listing))
        listing = await self._asked(left)
        latest = f"{name}:latest"
        if listing.find(name) is not None or endpoint.models:
            return self._the_one(listing, name), ""
        if listing.find(latest) is not None:
            return latest, ""
        if listing.groups[left].standing in ("ready", "loaded"):
            raise NoModel(f"{left} has no model {model!r}.", hint=_near(name, listing))
        return name, f"{left} has not said whether it has {model}; the first question finds out."

    async def _asked(self, only: str | None = None) -> Listing:
        async with aclosing(self.refresh(only=only)) as answers:
            async for _ in answers:
                pass
        return await self.listed()

    def _the_one(self, listing: Listing, name: str) -> str:
        if listing.find(name) is not None:
            return name
        places = listing.having(name)
        if len(places) == 1:
            return places[0].name
        if places:
            forms = " or ".join(row.name for row in places)
            raise NoModel(f"The model {name!r} is on {len(places)} endpoints.", hint=f"Say which: {forms}.")
        raise NoModel(f"The model {name!r} is on no endpoint.", hint=_near(name, listing))

    def backend_of(self, name: str | None) -> parameters.Backend | None:
        """Which parameters who answers has; None for a name that stands for several, and for one nobody knows."""
        settings = self._settings
        name = name or settings.chat.model
        if name in settings.aliases or name in settings.routes or name == AUTO:
            return None
        endpoint = settings.endpoints.get(name.partition("/")[0]) if name is not None and "/" in name else None
        if endpoint is None and name is not None and len(places := self._listed.having(name)) == 1:
            endpoint = settings.endpoints[places[0].group]
        if endpoint is None and len(settings.endpoints) == 1:
            (endpoint,) = settings.endpoints.values()
        return None if endpoint is None else parameters.backend(endpoint.wire, is_own=endpoint.is_own)


def _kind(endpoint: Endpoint) -> Kind:
    if endpoint.machine is not None:
        return "machine"
    return "here" if endpoint.is_own and not endpoint.price_input and not endpoint.price_output else "hosted"


def _chain(entries: Sequence[ChainEntry]) -> str:
    return " → ".join(entry.target for entry in entries)


def _near(name: str, listing: Listing) -> str | None:
    """A hint with the names that are most like a mistyped one: those that have it in them, else those that look it."""
    import difflib  # 2 ms, only for a name that fits nothing

    wanted = name.casefold()
    forms = {row.name.casefold(): row.name for row in listing.rows}
    close = [forms[form] for form in forms if wanted in form]
    if not close:
        labels = {row.label.casefold(): row.name for row in reversed(listing.rows)}
        alike = difflib.get_close_matches(wanted, [*forms, *labels], n=6, cutoff=0.6)
        close = list(dict.fromkeys({**labels, **forms}[form] for form in alike))
    if close:
        return f"Did you mean {' or '.join(close[:3])}?"
    return "^L lists what there is." if listing.rows else None
