"""The tunnels of this process, offered to others: with a heartbeat, their state, and what their services answer.

A probe is sent only while the link is up. During an outage it would be held like any other client, and a link that is
waited for tries without pause: nobody but a user should make it do that.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, NamedTuple, Self

from console.clock import Clock
from console.errors import StoreError
from console.events import Bus
from console.links.events import LinkBlocked, LinkLost, LinkSwitched, LinkUp
from console.links.health import Health
from console.links.shared import LOOK_S, Published, Shared, TunnelState
from console.machines.services import Service, service_on

if TYPE_CHECKING:
    from console.links.link import Link
    from console.links.tunnels import Forward, Tunnel

_log = logging.getLogger(__name__)

TELLING_S = 5.0
"""How long a process may take between listening on a port and saying so."""


class _Offer(NamedTuple):
    link: Link
    service: str
    health: Health | None


class Offers:
    """Open it after the links, and close it before them."""

    def __init__(self, shared: Shared, clock: Clock, bus: Bus) -> None:
        self._shared = shared
        self._clock = clock
        self._bus = bus
        self._offers: list[_Offer] = []
        self._services: dict[str, Service] = {}
        self._watches = AsyncExitStack()
        self._follower: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self._shared.__aenter__()
        self._follower = asyncio.create_task(self._follow(), name="offered tunnels")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._follower is not None:
            self._follower.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._follower
        await self._watches.aclose()
        await self._shared.close()

    def know(self, services: Mapping[str, Service]) -> None:
        """The services of a machine by name, for forwards that name one."""
        self._services.update(services)

    async def taken(self, machine: str, forward: Forward) -> Published | None:
        """The same tunnel, held by another process, where it listens on the port that is wanted here."""
        there = await self._shared.live(machine, service_of(forward).name)
        return there if there is not None and there.local_port == forward.local_port else None

    async def taken_soon(self, machine: str, forward: Forward) -> Published | None:
        """The same, a moment after somebody took it: binding a port and telling of it are two steps."""
        deadline = self._clock.monotonic() + TELLING_S
        while True:
            there = await self.taken(machine, forward)
            if there is not None or self._clock.monotonic() >= deadline:
                return there
            await self._clock.sleep(LOOK_S)

    async def until_gone(self, published: Published) -> None:
        """Wait for its owner's end."""
        await self._shared.until_gone(published)

    async def offer(self, link: Link, tunnels: Sequence[Tunnel]) -> list[Published]:
        """Publish them and watch their services; returns those that another process had published before."""
        others: list[Published] = []
        for tunnel in tunnels:
            service = self._services.get(tunnel.service) or service_of(tunnel.forward)
            if any(offer.link is link and offer.service == service.name for offer in self._offers):
                continue  # a second way to the same; one is enough for others
            try:
                claim = await self._shared.publish(
                    link.name,
                    service.name,
                    remote_port=tunnel.remote_port,
                    local_port=tunnel.local_port,
                    state="up" if link.is_up else "waiting",
                )
                if claim.is_mine:
                    await self._shared.remember_port(link.name, service.name, tunnel.local_port)
                else:
                    others.append(claim.published)
            except StoreError as error:
                _log.warning("A tunnel could not be published.", extra={"link": link.name, "error": str(error)})
            await self._watch(link, service, tunnel)
        return others

    async def remembered_port(self, machine: str, forward: Forward) -> int:
        """The local port that a service had last time; 0 if it never had one."""
        return (await self._shared.remembered_ports()).get((machine, service_of(forward).name), 0)

    async def _watch(self, link: Link, service: Service, tunnel: Tunnel) -> None:
        health: Health | None = None
        if service.probe_path is not None:  # what is known by its number only may not like strangers who say nothing
            health = Health(
                link.name,
                service,
                tunnel.local_port,
                self._clock,
                self._bus,
                hindrance=lambda: None if link.is_up else f"The link to {link.name} is down.",
                tell=lambda reading: self._shared.note(link.name, service.name, reading=reading),
            )
            await self._watches.enter_async_context(health)
        self._offers.append(_Offer(link, service.name, health))
        self._shared.note(
            link.name, service.name, state="up" if link.is_up else "waiting"
        )  # it may have changed by now

    async def _follow(self) -> None:
        """Keep the published state at what the links say."""
        with self._bus.subscribe() as events:
            async for event in events:
                match event:
                    case LinkUp(link=name) | LinkSwitched(link=name):
                        self._tell(name, "up")
                    case LinkLost(link=name):
                        self._tell(name, "waiting")
                    case LinkBlocked(link=name):
                        self._tell(name, "blocked")
                    case _:
                        continue

    def _tell(self, name: str, state: TunnelState) -> None:
        for offer in self._offers:
            if offer.link.name == name:
                self._shared.note(name, offer.service, state=state)
                if offer.health is not None:
                    offer.health.kick()


def service_of(forward: Forward) -> Service:
    """What a forward leads to: the service it names, or what usually is behind such a port."""
    if forward.remote_host not in ("127.0.0.1", "localhost", "::1"):
        name = f"{forward.remote_host}:{forward.remote_port}"
        return Service(forward.service or name, forward.remote_port, None)
    usual = service_on(forward.remote_port)
    return usual._replace(name=forward.service) if forward.service else usual
