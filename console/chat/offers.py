"""Which models the endpoints have: by the settings, by what the store has seen, and at last by their own word.

A machine that is not connected is asked only where nobody else has an answer: connecting takes longer than a short
answer, and a machine may be off. What it had when it was last asked counts all the same.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from console.errors import ConsoleError, StoreError
from providers.chat.base import ChatProvider, ModelInfo
from providers.errors import ProviderError

if TYPE_CHECKING:
    from typing import Protocol

    from console.chat.breaker import Breakers
    from console.settings import Endpoint

    class Seen(Protocol):
        """A model that an endpoint had when it was last asked."""

        @property
        def endpoint(self) -> str: ...
        @property
        def name(self) -> str: ...
        @property
        def sees_images(self) -> bool | None: ...


CONNECT_S = 10.0
"""How long machines have to be connected and to say what they have."""

_log = logging.getLogger(__name__)


class Offers:
    """What can be asked for during one choice; nothing is read or asked before it is needed."""

    def __init__(
        self,
        endpoints: Mapping[str, Endpoint],
        seen: Callable[[], Awaitable[Sequence[Seen]]] | None,
        remember: Callable[[str, Sequence[ModelInfo]], Awaitable[None]] | None,
        provider: Callable[[str], ChatProvider],
        breakers: Breakers | None,
        ask_s: float,
        is_near: Callable[[Endpoint], Awaitable[bool]] | None = None,
        *,
        may_ask: bool = True,
    ) -> None:
        """`is_near` tells whether the machine of an endpoint is connected. Without `may_ask` only what is known counts,
        and no endpoint is asked."""
        self._may_ask = may_ask
        self._is_near = is_near
        self._endpoints, self._seen, self._remember = endpoints, seen, remember
        self._provider, self._breakers, self._ask_s = provider, breakers, ask_s
        # Where settings list the models of an endpoint, that list is all it offers.
        self._models: dict[str, dict[str, bool | None]] = {
            name: dict.fromkeys(endpoint.models) for name, endpoint in endpoints.items() if endpoint.models
        }
        self._has_read = False
        self._asked: set[str] = set()
        self._far: list[str] = []
        """Those whose machine was not connected when they would have been asked."""
        self._silent: dict[str, str] = {}

    def known(self) -> list[tuple[Endpoint, str]]:
        """All that is known so far, in the order of the settings and of each endpoint's own list."""
        return [(self._endpoints[name], model) for name in self._endpoints for model in self._models.get(name, ())]

    def sees_images(self, endpoint: str, model: str) -> bool | None:
        return self._models.get(endpoint, {}).get(model)

    def silence(self) -> str:
        """Who did not say what it has, in a sentence."""
        return " ".join(f"{name} did not say what it has: {why}" for name, why in self._silent.items())

    async def having(self, model: str, *, asks_all: bool = True) -> list[tuple[Endpoint, str]]:
        """The endpoints that have a model. When none is known to, the endpoints are asked: all of them, or only those
        of which nothing was ever seen."""
        await self.read()
        if not self._with(model):
            await self._ask_near(only_unseen=not asks_all)
        if not self._with(model) and asks_all:
            await self._ask(self._far, CONNECT_S)
        return self._with(model)

    async def everything(self) -> list[tuple[Endpoint, str]]:
        """All models there are; endpoints of which nothing was ever seen are asked, machines that are not connected
        only when there is nothing else."""
        await self.read()
        await self._ask_near(only_unseen=True)
        if not self.known():
            await self._ask(self._far, CONNECT_S)
        return self.known()

    async def is_far(self, endpoint: Endpoint) -> bool:
        """Whether its machine would have to be connected first, or even woken."""
        return endpoint.machine is not None and self._is_near is not None and not await self._is_near(endpoint)

    def _with(self, model: str) -> list[tuple[Endpoint, str]]:
        latest = f"{model}:latest"
        return [
            (self._endpoints[name], model if model in models else latest)
            for name, models in ((name, self._models.get(name, {})) for name in self._endpoints)
            if model in models or latest in models
        ]

    async def read(self) -> None:
        """Take in what the store has seen."""
        if self._has_read:
            return
        self._has_read = True
        listed = set(self._models)
        rows: Sequence[Seen] = ()
        try:
            rows = await self._seen() if self._seen is not None else ()
        except StoreError as error:
            _log.warning("The models seen before are not known: %s", error.text)
        for row in rows:
            if row.endpoint in self._endpoints and row.endpoint not in listed:
                self._models.setdefault(row.endpoint, {})[row.name] = row.sees_images
        for name, endpoint in self._endpoints.items():
            if endpoint.expected and name not in self._models:
                self._models[name] = dict.fromkeys(endpoint.expected)

    async def _ask_near(self, *, only_unseen: bool) -> None:
        wanted = [
            (name, endpoint)
            for name, endpoint in self._endpoints.items()
            if not endpoint.models and not (only_unseen and self._models.get(name))
        ]
        await self._ask([name for name, endpoint in wanted if await self._is_connected(endpoint)], self._ask_s)

    async def _is_connected(self, endpoint: Endpoint) -> bool:
        if not await self.is_far(endpoint):
            return True
        if endpoint.name not in self._far:
            self._far.append(endpoint.name)
            self._silent[endpoint.name] = "its machine is not connected."
        return False

    async def _ask(self, names: Sequence[str], limit_s: float) -> None:
        """Ask the endpoints at once, each but once; whoever has not answered within the limit is passed over."""
        names = [name for name in names if name not in self._asked] if self._may_ask else []
        if self._breakers is not None and len(names) > 1:
            names = [name for name in names if not await self._is_left_alone(name, self._breakers)]
        self._asked.update(names)
        tasks = {name: asyncio.ensure_future(self._ask_one(name)) for name in names}
        if not tasks:
            return
        try:
            await asyncio.wait(tasks.values(), timeout=limit_s)
            late = [name for name, task in tasks.items() if not task.done()]
        finally:
            for task in tasks.values():
                task.cancel()
            await asyncio.gather(*tasks.values(), return_exceptions=True)
        self._silent.update(dict.fromkeys(late, f"no answer within {limit_s:g} s."))

    async def _is_left_alone(self, name: str, breakers: Breakers) -> bool:
        left_s = await breakers.open_for_s(name)
        if left_s > 0:
            self._silent[name] = "it failed several times in a row and is left alone for a while."
        return left_s > 0

    async def _ask_one(self, name: str) -> None:
        try:
            models = await self._provider(name).models()
        except (ProviderError, ConsoleError) as error:
            self._silent[name] = error.text
            if self._breakers is not None:
                await self._breakers.failed(name, error)
            return
        self._silent.pop(name, None)
        self._models[name] = {model.name: model.sees_images for model in models}
        if self._remember is not None:
            try:
                await self._remember(name, models)
            except StoreError as error:
                _log.warning("The models of %s are not remembered: %s", name, error.text)
