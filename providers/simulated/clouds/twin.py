"""What the twins of all clouds share: their life, their door, who may come in, and how faults and physics meet a call.

A cloud's own file says which paths there are and how its answers look. Every call first lives through what is due by
the twin's clock, so that what a client sees is always how things stand at that moment.
"""

from __future__ import annotations

import abc
import asyncio
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import aclosing
from datetime import datetime, timedelta
from decimal import Decimal
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self, cast

from providers.simulated.base import HTML_PAGE, Recorded
from providers.simulated.clouds.account import Account, new_key
from providers.simulated.clouds.berths import Berths
from providers.simulated.clouds.billing import Charge, ChargeKind
from providers.simulated.clouds.faults import ActiveFaults, Call, CloudFault, CloudFaultKind, CloudFaults
from providers.simulated.clouds.hosts import Host, with_stock
from providers.simulated.clouds.market import Market
from providers.simulated.clouds.rental import Phase, Rental, Timings
from providers.simulated.clouds.timeline import Now
from providers.simulated.clouds.wire import (
    Answer,
    Asked,
    Handler,
    Identity,
    Place,
    RefusedError,
    parsed,
    without_keys,
)
from providers.simulated.http_server import Exchange, HttpServer, Request
from providers.simulated.pace import RealClock
from providers.simulated.stream import for_ever
from providers.simulated.watch import Watch

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from providers.simulated.machine import SimulatedMachine

Classify = Callable[[Request, Any], Call]

_LONGEST_NAP_S = 0.25


class Route(NamedTuple):
    method: str
    pattern: re.Pattern[str]
    call: Call | Classify
    handler: Handler
    is_open: bool
    """Whether it asks for no key."""


class CloudTwin(abc.ABC):
    """A cloud on loopback. Use it as an async context manager; it starts in milliseconds.

    `clock` decides what time it is for machines, prices and bills; moved by hand, a week passes at once.
    """

    name: ClassVar[str]
    ssh_user: ClassVar[str] = "root"
    key_prefix: ClassVar[str] = "sim-"
    bills_by: ClassVar[timedelta | None] = None
    """The step to which each stretch of time is rounded up; None for exact."""

    def __init__(
        self,
        *,
        clock: Now | None = None,
        hosts: Iterable[Host] | None = None,
        stock: int | None = None,
        balance_usd: Decimal = Decimal(25),
        has_card: bool = False,
        grace: timedelta = timedelta(hours=24),
        timings: Timings | None = None,
        faults: Iterable[CloudFault] = (),
        seed: int = 0,
        port: int = 0,
        key: str | None = None,
        limits: bool = True,
        with_machines: bool = False,
        real_shell: bool = False,
    ) -> None:
        """`stock` leaves at most so many GPUs free on each host; `limits` says whether rate limits hold."""
        self.clock: Now = clock or RealClock()
        self.key = key or new_key(self.key_prefix)
        self.account = Account(self.clock.now(), balance_usd, key=self.key, has_card=has_card, grace=grace)
        self.seed = seed
        known_hosts = list(self.default_hosts() if hosts is None else hosts)
        self.market = Market(
            self.clock,
            known_hosts if stock is None else with_stock(known_hosts, stock),
            self.account,
            self.tariff,
            timings=timings,
            seed=seed,
            bills_by=self.bills_by,
            new_id=self.new_id,
        )
        self.faults = CloudFaults(faults)
        self.requests: list[Recorded] = []
        """All that came, with keys blanked."""
        self.has_limits = limits
        self.with_machines = with_machines
        self.watch = Watch()
        """Noted whenever something may have changed."""
        self._berths = Berths(
            self.ssh_user, self.environment, lambda: ("127.0.0.1", self.port), seed=seed, real_shell=real_shell
        )
        self._routes: list[Route] = []
        self._server = HttpServer(self._handle, port=port)
        self._settling = asyncio.Lock()
        self._following: asyncio.Task[None] | None = None
        self._last_number = 20_000
        self.add_routes()

    # what a cloud says of itself

    @classmethod
    @abc.abstractmethod
    def default_hosts(cls) -> list[Host]: ...

    @abc.abstractmethod
    def tariff(self, rental: Rental) -> Mapping[ChargeKind, Decimal]:
        """What a machine is charged per hour in the state it is in."""

    @abc.abstractmethod
    def add_routes(self) -> None: ...

    @abc.abstractmethod
    def error(self, status: int, message: str = "", code: str = "") -> Answer:
        """The cloud's own error object; without a message its usual words for that status."""

    def error_inside(self, message: str) -> Answer:
        """An answer that says 200 and means an error."""
        return Answer(200, self.error(400, message).body)

    def rate_limited(self, retry_after_s: float | None) -> Answer:
        answer = self.error(429)
        headers = [] if retry_after_s is None else [("Retry-After", f"{retry_after_s:g}")]
        return answer._replace(headers=[*answer.headers, *headers])

    def limit(self, asked: Asked) -> Answer | None:
        """What a caller is told who asks too often; None to let it through."""
        return None

    def headers(self, asked: Asked) -> list[tuple[str, str]]:
        """What every answer to this caller carries."""
        return []

    def environment(self, rental: Rental) -> Mapping[str, str]:
        """What the first process of a machine finds in its environment."""
        return rental.order.env

    def new_id(self) -> str:
        self._last_number += 1
        return str(self._last_number)

    # life

    async def __aenter__(self) -> Self:
        await self._server.start()
        if self.with_machines:
            self._following = asyncio.get_running_loop().create_task(self._follow())
        return self

    async def __aexit__(self, *_: object) -> None:
        outcome: object = None
        if self._following is not None:
            self._following.cancel()
            (outcome,) = await asyncio.gather(self._following, return_exceptions=True)
        await self._server.stop()
        await self._berths.close()
        if isinstance(outcome, Exception):
            raise outcome

    async def close_door(self) -> None:
        """Be gone: break every connection and refuse further ones. The port stays ours; machines live on."""
        await self._server.close_door()

    async def open_door(self) -> None:
        await self._server.open_door()

    @property
    def port(self) -> int:
        return self._server.port

    @property
    def root_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def base_url(self) -> str:
        """What a client is given as its base URL."""
        return self.root_url

    def description(self) -> dict[str, str]:
        """The cloud as the first line of `python -m providers.simulated` tells it."""
        return {"name": self.name, "base_url": self.base_url, "key": self.key}

    def machine_descriptions(self) -> list[dict[str, object]]:
        """The machines that stand behind its rentals at this moment."""
        rows = []
        for machine_id in self._berths:
            rental, machine = self.rentals[machine_id], self._berths[machine_id].machine
            rows.append(
                {**machine.description(), "name": rental.label or rental.id, "cloud": self.name, "id": rental.id}
            )
        return rows

    # for tests

    @property
    def now(self) -> datetime:
        return self.clock.now()

    @property
    def rentals(self) -> dict[str, Rental]:
        """All machines there ever were, by id, as they stand at this moment."""
        self.market.advance()
        return self.market.rentals

    def billed(self, machine_id: str) -> Decimal:
        """What a machine has cost so far, to the last digit."""
        self.market.advance()
        return self.market.billed(machine_id)

    def invoice(self) -> list[Charge]:
        """All that was charged so far, by machine."""
        self.market.advance()
        return self.market.invoice()

    @property
    def balance_usd(self) -> Decimal:
        self.market.advance()
        return self.market.balance_usd

    def machine(self, machine_id: str) -> SimulatedMachine:
        """The machine behind a rental; KeyError when none stands there."""
        return self._berths[machine_id].machine

    async def settle(self) -> None:
        """Live through what is due, and let the machines follow."""
        async with self._settling:
            self.market.advance()
            if self.with_machines:
                for rental in self.market.rentals.values():
                    await self._berths.follow(rental)
        self.watch.note()

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Return when something is so; looked at whenever somebody calls, and with machines as time goes on."""
        await self.watch.until(is_so)

    async def _follow(self) -> None:
        """Machines come and go when their time has come, also while nobody asks."""
        while True:
            await self.settle()
            due = self.market.timeline.next_at
            nap_s = _LONGEST_NAP_S if due is None else (due - self.clock.now()).total_seconds()
            await asyncio.sleep(min(max(nap_s, 0.005), _LONGEST_NAP_S))

    # where machines are

    def place(self, rental: Rental) -> Place | None:
        """Where a running machine's SSH server is, or will be in a moment; without machines an address to look at."""
        if rental.phase not in (Phase.RUNNING, Phase.STOPPING, Phase.DIED):
            return None
        if self.with_machines:
            return self._berths.place(rental)
        number = sum(rental.id.encode())
        return Place(
            f"203.0.113.{1 + (number + rental.moves) % 250}", 10_000 + (number * 37 + rental.starts * 101) % 50_000
        )

    def direct_place(self, rental: Rental) -> Place | None:
        """What the cloud says where that is, which may be a port that lets nobody in."""
        place = self.place(rental)
        if place is not None and rental.direct_blocked and self.with_machines:
            return Place(place.host, self._berths[rental.id].blocked.port)
        return place

    def service_port(self, rental: Rental, port: int) -> int | None:
        """The port on our side of what listens on a machine's port; made up where nothing does."""
        place = self.place(rental)
        if place is None:
            return None
        return self._berths.service_port(rental, port) or 10_000 + (place.port * 31 + port * 7) % 50_000

    # calls

    def route(self, method: str, path: str, call: Call | Classify, handler: Handler, *, is_open: bool = False) -> None:
        """Let `handler` answer `path`, in which `{name}` stands for one part; a slash at the end may be left out."""
        pattern = re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(path.rstrip("/"))) + "/?"
        self._routes.append(Route(method, re.compile(pattern), call, handler, is_open))

    async def _handle(self, exchange: Exchange) -> None:
        request = exchange.request
        self.requests.append(without_keys(request))
        await self.settle()
        body = parsed(request.body)
        route, parts = self._route_of(request)
        call = Call.OTHER if route is None else _call(route, request, body)
        faults = self.faults.take(call, parts.get("id"), self.clock.now())
        if await self._breaks_before(exchange, faults):
            return
        asked = Asked(request, call, parts, body, faults, Identity(""))
        try:
            if route is None:
                answer = self.no_route(request)
            else:
                asked = asked._replace(identity=self._identity(request, route, faults))
                answer = self._wrong_answer(faults) or self.limit(asked) or await route.handler(asked)
        except RefusedError as refused:
            answer = refused.answer
        await self.settle()
        if await self._breaks_after(exchange, faults):
            return
        await self._send(exchange, answer._replace(headers=[*answer.headers, *self.headers(asked)]), faults)

    def no_route(self, request: Request) -> Answer:
        return self.error(404, "not found")

    def _route_of(self, request: Request) -> tuple[Route | None, dict[str, str]]:
        for route in self._routes:
            if route.method == request.method and (match := route.pattern.fullmatch(request.path)):
                return route, match.groupdict()
        return None, {}

    def _identity(self, request: Request, route: Route, faults: ActiveFaults) -> Identity:
        if route.is_open:
            return Identity("")
        key = self.key_of(request)
        if key is None or self.account.is_revoked or CloudFaultKind.REVOKED in faults:
            raise RefusedError(self.error(401))
        if key == self.account.key:
            return Identity(key)
        for rental in self.market.alive():
            if rental.own_key and key == rental.own_key and CloudFaultKind.SCOPED_KEY_REFUSED not in faults:
                return Identity(key, rental.id)
        raise RefusedError(self.error(401))

    def key_of(self, request: Request) -> str | None:
        """The key a caller shows."""
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        return key.strip() if scheme.lower() == "bearer" and key.strip() else None

    async def _breaks_before(self, exchange: Exchange, faults: ActiveFaults) -> bool:
        if CloudFaultKind.DOWN in faults:
            page = HTML_PAGE.format(status=503).encode()
            await self._send(exchange, Answer(503, page, "text/html"), faults)
            return True
        if CloudFaultKind.SILENT in faults:
            await for_ever()
        if CloudFaultKind.RESET in faults:
            await exchange.reset()
            return True
        return False

    def _wrong_answer(self, faults: ActiveFaults) -> Answer | None:
        if fault := faults.get(CloudFaultKind.HTML):
            status = int(fault.argument or 200)
            return Answer(status, HTML_PAGE.format(status=status).encode(), "text/html")
        if fault := faults.get(CloudFaultKind.STATUS):
            return self.error(int(fault.argument or 500), fault.text or "")
        if fault := faults.get(CloudFaultKind.RATE_LIMIT):
            return self.rate_limited(1.0 if fault.argument is None else fault.argument)
        if CloudFaultKind.RATE_LIMIT_BARE in faults:
            return self.rate_limited(None)
        if CloudFaultKind.RATE_LIMIT_TEXT in faults:
            return Answer(429, b"API requests too frequent", "text/plain")
        if fault := faults.get(CloudFaultKind.ERROR_INSIDE):
            return self.error_inside(fault.text or "something went wrong")
        return None

    async def _breaks_after(self, exchange: Exchange, faults: ActiveFaults) -> bool:
        if CloudFaultKind.SILENT_DONE in faults:
            await for_ever()
        if CloudFaultKind.LOSE_ANSWER in faults:
            await exchange.hang_up()
            return True
        late_s = faults.number(CloudFaultKind.LATE, 5)
        if late_s is not None:
            await asyncio.sleep(late_s)  # the network's time and not the twin's
        return False

    async def _send(self, exchange: Exchange, answer: Answer, faults: ActiveFaults) -> None:
        skew = timedelta(seconds=faults.number(CloudFaultKind.CLOCK_SKEW, 300) or 0)
        date = format_datetime(self.clock.now() + skew, usegmt=True)
        headers = [*answer.headers, ("Date", date)]
        if answer.lines is None:
            content_type = answer.content_type if answer.body else ""
            await exchange.reply(answer.status, answer.body, content_type=content_type, headers=headers)
            return
        exchange.begin(answer.status, content_type=answer.content_type, headers=headers)
        async with aclosing(cast("AsyncGenerator[bytes, None]", answer.lines)) as lines:
            async for line in lines:
                exchange.send([line])
                await exchange.drain()
        await exchange.end()

    # for handlers

    def rental_of(self, asked: Asked) -> Rental | None:
        """The machine a call names, unless it is gone or belongs to somebody else's key."""
        rental = self.market.rentals.get(asked.parts.get("id", ""))
        if rental is None or rental.is_gone:
            return None
        return rental if asked.identity.machine_id in (None, rental.id) else None

    def afflict(self, rental: Rental, faults: ActiveFaults) -> None:
        """Give a machine that is about to start what the faults of the call say."""
        rental.is_stuck = CloudFaultKind.STUCK in faults
        rental.cannot_start = CloudFaultKind.CANNOT_START in faults
        rental.dies_after_s = faults.number(CloudFaultKind.DIES, 60)
        rental.direct_blocked = CloudFaultKind.DIRECT_BLOCKED in faults
        rental.keys_after_s = faults.number(CloudFaultKind.LATE_KEYS, 20) or 0.0
        rental.ssh_after_s = faults.number(CloudFaultKind.SLOW_SSH, 120)


def _call(route: Route, request: Request, body: Any) -> Call:
    return route.call if isinstance(route.call, Call) else route.call(request, body)
