"""The way to a service of a machine, by name: a tunnel that another process has up already, else one of our own.

    way = await ways.way_to("gpubox", "ollama")       way.local_port leads there now
    ways.reach("gpubox", service)                     what an HTTP client is given: it asks for every connection anew
    await ways.make_ready("gpubox", service, tell)    the same before a question, with the machine started if need be

A number is good for one connection: the tunnel may be another one when the next is made. A tunnel of another process is
used only while its link is up; where it turns out to be dead or cut, this process opens a link of its own, whose errors
say exactly what is wrong. asyncssh is loaded only for that.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from console.clock import Clock
from console.errors import ConsoleError, ForwardRefused, LinkBroken, LinkError, NoWay, StoreError

if TYPE_CHECKING:
    import socket
    from decimal import Decimal

    from console.history.tunnels import Published
    from console.links.link import Link
    from console.links.links import Links
    from console.links.offers import Offers
    from console.links.shared import Shared
    from console.links.tunnels import Tunnel, Tunnels
    from console.machines.services import Service
    from console.settings import Machine
    from providers.errors import ProviderError

_log = logging.getLogger(__name__)

FRESH_S = 1.0
"""For how long the first connection trusts what was found out when it was made ready."""
DISTRUST_S = 60.0
"""For how long a tunnel of another process is left alone that refused a connection, or ended one without an answer."""
SILENT_S = 1.0
"""How long connecting may take before it is told."""

Tell: TypeAlias = Callable[[str], None]
Ready: TypeAlias = Callable[[str, Tell], Awaitable[None] | None]
"""Sees to it that a machine is there to be connected to, and tells meanwhile what goes on; raises what prevents it.
None for a machine that nobody here can start."""


class Way(NamedTuple):
    """How a service is reached at this moment."""

    local_port: int
    theirs: Published | None = None
    """The tunnel of another process that it is; None for our own."""


class Readied(NamedTuple):
    """What it took to get ready."""

    wake_ms: float | None
    """Of the machine; None if there was nothing to wake, because it was connected."""
    connect_ms: float
    usd_per_hour: Decimal | None = None
    """Of the machine, while it runs; None where nobody knows."""


class Ways:
    """One for a process. What it needs is made when it is first needed: most calls need no link, many no machine."""

    def __init__(
        self,
        machines: Callable[[], Mapping[str, Machine]],
        clock: Clock,
        links: Callable[[], Links],
        tunnels: Callable[[], Tunnels],
        *,
        shared: Callable[[], Awaitable[Shared]] | None = None,
        offers: Callable[[], Awaitable[Offers]] | None = None,
        ready: Ready | None = None,
        is_asking: Callable[[], bool] = lambda: False,
    ) -> None:
        """`shared` finds what other processes have; without it every way is our own. `offers` publishes ours: only for
        a process that stays, because a stream of somebody else's would break with the end of this one. `ready` is
        awaited before a link is opened for a question, and not for merely looking at what a machine has. While
        `is_asking`, somebody has a question on the terminal, and nothing is told.
        """
        self._machines = machines
        self._clock = clock
        self._links, self._tunnels = links, tunnels
        self._shared, self._offers, self._ready, self._is_asking = shared, offers, ready, is_asking
        self._opened: dict[tuple[str, str], tuple[Link, Tunnel]] = {}
        self._opening: dict[tuple[str, str], asyncio.Lock] = {}
        self._made: set[str] = set()
        """The machines whose link is here because of us."""
        self._distrusted: dict[tuple[str, int], float] = {}
        self._found: dict[tuple[str, str], tuple[Way, float]] = {}

    # What others ask for

    def service(self, machine: str, name: str) -> Service:
        """A service as the settings of its machine describe it, else one of the table: a machine that was rented by a
        command stands in no settings. Whether there is such a machine is found out on the way to it."""
        from console.machines.services import service_named, services_of

        settings = self._machines().get(machine)
        written = services_of(settings.services, settings.ports) if settings is not None else {}
        return written.get(name) or service_named(name)

    async def way_to(self, machine: str, service: Service | str) -> Way:
        """A local port that leads to a service now. Raises a `LinkError`, at once where the first try tells."""
        if isinstance(service, str):
            service = self.service(machine, service)
        return await self._open_way(machine, service) or await self._own(machine, service)

    async def is_open(self, machine: str, service: Service) -> bool:
        """Whether it can be reached without connecting to the machine first."""
        return await self._open_way(machine, service) is not None

    async def make_ready(self, machine: str, service: Service, tell: Tell) -> Readied:
        """Before a question: wake the machine if it is not connected, and connect. Raises `NoWay`."""
        begun = self._clock.monotonic()
        wake_ms: float | None = None
        slow = asyncio.get_running_loop().call_later(SILENT_S, self._tell_slow, machine, tell)
        try:
            way = await self._open_way(machine, service)
            if way is None:
                waking = self._ready(machine, tell) if self._ready is not None else None
                if waking is not None:
                    slow.cancel()  # it tells what it does
                    await waking
                    woken = self._clock.monotonic()
                    wake_ms, begun = (woken - begun) * 1000, woken
                way = await self._own(machine, service)
        except ConsoleError as error:
            raise NoWay(error) from error
        finally:
            slow.cancel()
        now = self._clock.monotonic()
        self._found[machine, service.name] = way, now
        return Readied(wake_ms, (now - begun) * 1000)

    async def let_go(self, machine: str) -> None:
        """No longer want what was opened to a machine here: it is off, or about to be."""
        going = self._forget(machine)
        if machine in self._made:
            self._made.discard(machine)
            await self._links().drop(machine)  # first, so that whoever comes meanwhile does not get this link
        await self._tunnels().close(going)

    def _tell_slow(self, machine: str, tell: Tell) -> None:
        if not self._is_asking():
            tell(f"Connecting to {machine}.")

    def reach(self, machine: str, service: Service) -> ServiceReach:
        return ServiceReach(self, machine, service)

    # How it is done

    async def _open_way(self, machine: str, service: Service) -> Way | None:
        """What is up already: our own tunnel, or another process's."""
        link, tunnel = self._opened.get((machine, service.name), (None, None))
        if link is not None and tunnel is not None and link.is_up:
            return Way(tunnel.local_port)
        theirs = await self._live(machine, service)
        return None if theirs is None else Way(theirs.local_port, theirs)

    async def _live(self, machine: str, service: Service) -> Published | None:
        if self._shared is None:
            return None
        from console.history.owner import this_process

        try:
            shared = await self._shared()
            there = await shared.live(machine, service.name)
        except StoreError as error:
            _log.warning("Tunnels of other processes are not known: %s", error.text)
            return None
        # One that only waits for its link is of no use: a try of our own tells why, or works.
        if there is None or there.state != "up":
            return None
        if self._clock.monotonic() < self._distrusted.get((there.owner, there.local_port), 0.0):
            return None
        if there.owner == this_process():  # whose link is down, as we know before we have told it
            return None
        return there if there.remote_port == service.port else None

    async def _own(self, machine: str, service: Service) -> Way:
        """Our own tunnel, its link up. Ten who want it make one; each waits no longer than the first try takes."""
        key = machine, service.name
        async with self._opening.setdefault(key, asyncio.Lock()):
            if key in self._opened and self._opened[key][0].state == "closed":
                await self._tunnels().close(self._forget(machine))
            if key not in self._opened:
                self._opened[key] = await self._open(machine, service)
            link, tunnel = self._opened[key]
        try:
            await link.wait_up(is_patient=False)
        except LinkError:
            if not link.was_up:  # a machine that is off is not to be tried for ever because of one question
                await self.let_go(machine)
            raise
        return Way(tunnel.local_port)

    async def _open(self, machine: str, service: Service) -> tuple[Link, Tunnel]:
        links = self._links()
        if all(link.name != machine for link in links):
            self._made.add(machine)
        link = links.make(machine)
        try:
            tunnel = await self._tunnel(link, service)
        except OSError as error:
            raise LinkError(f"No local port can be opened towards {machine}: {error.strerror}.") from error
        await link.start()
        return link, tunnel

    def _forget(self, machine: str) -> list[Tunnel]:
        """Our tunnels to a machine, to be closed."""
        return [self._opened.pop(key)[1] for key in list(self._opened) if key[0] == machine]

    async def _tunnel(self, link: Link, service: Service) -> Tunnel:
        from console.links.tunnels import Forward

        for there in self._tunnels():
            if there.link is link and there.remote_port == service.port:
                return there
        forward = Forward(service.port, service=service.name)
        offers = await self._usable_offers()
        if offers is not None:
            # Other programs look for it where it was before, or where the settings say; for us any port is as good.
            pinned = self._machines()[link.name].ports.get(service.name, 0) if link.name in self._machines() else 0
            forward = forward._replace(remembered_port=pinned or await offers.remembered_port(link.name, forward))
        (tunnel,) = await self._tunnels().open(link, [forward])
        if offers is not None:
            offers.know({service.name: service})
            await offers.offer(link, [tunnel])
        return tunnel

    async def _usable_offers(self) -> Offers | None:
        if self._offers is None:
            return None
        try:
            return await self._offers()
        except StoreError as error:
            _log.warning("Our tunnels are not offered to other processes: %s", error.text)
            return None

    async def _connected(self, machine: str, service: Service) -> tuple[Way, socket.socket]:
        """A connection to a service; a tunnel of another process that is dead costs one refusal."""
        found, found_at = self._found.pop((machine, service.name), (None, 0.0))
        if self._clock.monotonic() - found_at > FRESH_S:
            found = None
        while True:
            way, found = found or await self.way_to(machine, service), None
            try:
                return way, await _connect(way.local_port)
            except OSError as error:
                if way.theirs is None:
                    raise LinkBroken(f"The tunnel to {machine} does not take connections: {error.strerror}.") from error
                self._distrust(way.theirs)

    def _distrust(self, theirs: Published) -> None:
        self._distrusted[theirs.owner, theirs.local_port] = self._clock.monotonic() + DISTRUST_S

    async def _reason(self, machine: str, service: Service, way: Way) -> LinkError | None:
        """Why a connection that this way was given ended without a byte of an answer."""
        if way.theirs is not None:
            self._distrust(way.theirs)
            assert self._shared is not None
            there = [row for row in await (await self._shared()).every() if row.local_port == way.local_port]
            if there and there[0].probe_error is not None:
                return ForwardRefused(f"{service.label} on {machine} does not answer: {there[0].probe_error}")
            return None
        link, tunnel = self._opened[machine, service.name]
        if tunnel.error is not None:
            return tunnel.error
        if not link.is_up:
            return LinkBroken(f"The connection to {machine} broke before {service.label} answered.")
        return None


class ServiceReach:
    """One service of one machine, as `providers/` knows it."""

    def __init__(self, ways: Ways, machine: str, service: Service) -> None:
        self._ways, self._machine, self._service = ways, machine, service
        self._latest: Way | None = None

    @property
    def place(self) -> str:
        return f"port {self._service.port}"

    async def dial(self) -> socket.socket:
        try:
            self._latest, connected = await self._ways._connected(self._machine, self._service)
        except LinkError as error:
            raise NoWay(error) from error
        return connected

    async def reason(self) -> ProviderError | None:
        assert self._latest is not None
        try:
            why = await self._ways._reason(self._machine, self._service, self._latest)
        except StoreError:
            return None
        return None if why is None else NoWay(why)


async def _connect(port: int) -> socket.socket:
    import socket

    from providers.reach import first_to_connect

    return await first_to_connect([(socket.AF_INET, ("127.0.0.1", port))])
