"""The only place that builds services and the only place that closes them, in reverse order."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from decimal import Decimal
from typing import TYPE_CHECKING

from console import __version__
from console.clock import Clock, SystemClock
from console.errors import NotFound, StoreError
from console.events import Bus
from console.keys import Keys
from console.logs import start_log, stop_log
from console.paths import Paths
from console.settings import Endpoint, Settings, load_settings
from console.text import plural
from providers.chat.base import ChatProvider, Host, ModelInfo
from providers.registry import chat_provider

if TYPE_CHECKING:
    from pathlib import Path

    import asyncssh

    from console.chat.conversation import Conversation
    from console.history.store import Store
    from console.jobs import Jobs
    from console.links.connector import Connector, LoginManners
    from console.links.identity import Target, Whereabouts
    from console.links.links import Links
    from console.links.offers import Offers
    from console.links.remote import Connect
    from console.links.shared import Shared
    from console.links.tunnels import Tunnels
    from console.links.ways import Readied, Ready, Tell, Ways
    from console.machines.clouds import Clouds
    from console.machines.ensure import Ensure, Up
    from console.machines.fleet import Fleet, LaunchPlan
    from console.machines.guard import Guard
    from console.machines.heat import HeatWatch
    from console.machines.leases import Leases
    from console.machines.on_machine import OnHost, OnMachines
    from console.machines.records import MachineRecord
    from console.machines.services import Service
    from console.machines.signals import Signals
    from console.money.budget import Budget
    from console.money.watch import MoneyWatch
    from console.notify import Alerts
    from console.settings import Machine
    from providers.chat.ollama_admin import OllamaAdmin
    from providers.clouds.base import Cloud, Offer, Search
    from providers.reach import Reach

_log = logging.getLogger(__name__)

REACH_S = 15.0
"""How long the guard waits for the link to a machine that it looks at."""


class Runtime:
    """Settings and clock are there at once; the store, providers and jobs are made when first asked for."""

    def __init__(
        self,
        paths: Paths,
        settings: Settings,
        keys: Keys,
        clock: Clock,
        tell: Callable[[str], None],
        *,
        ends_process: bool = False,
        environment: Mapping[str, str] | None = None,
        login_manners: Callable[[], LoginManners] | None = None,
        looks_for_tunnels: bool = True,
    ) -> None:
        """`login_manners` says how links deal with what only a person knows; without it nobody is asked. Without
        `looks_for_tunnels` the store is not opened to find those of other processes."""
        self.paths = paths
        self.settings = settings
        self.keys = keys
        self.clock = clock
        self.bus = Bus()
        self.login_manners = login_manners
        """May be replaced before the first link."""
        self.stays = False
        """Whether this process lives long enough to offer its tunnels to others; said before the first link."""
        self.ready: Ready | None = None
        """What wakes a machine before a link to it is opened for a question; said before the first link."""
        self.ring: Callable[[str], None] | None = None
        """Puts an alert on the terminal; set before the first one, where there is a terminal."""
        self._environment = environment or {}
        self._tell = tell
        self._ends_process = ends_process
        self._store: Store | None = None
        self._opening = asyncio.Lock()
        self._offering = asyncio.Lock()
        self._jobs: Jobs | None = None
        self._connector: Connector | None = None
        self._links: Links | None = None
        self._tunnels: Tunnels | None = None
        self._offers: Offers | None = None
        self._ways: Ways | None = None
        self._published: Shared | None = None
        self._looks_for_tunnels = looks_for_tunnels
        self._conversation: Conversation | None = None
        self._clouds: Clouds | None = None
        self._fleet: Fleet | None = None
        self._ensure: Ensure | None = None
        self._alerts: Alerts | None = None
        self._signals: Signals | None = None
        self._guard: Guard | None = None
        self._guard_links: MachineLinks | None = None
        self._following: asyncio.Task[None] | None = None
        self._providers: dict[str, ChatProvider] = {}

    async def store(self) -> Store:
        async with self._opening:  # several may ask at once, and there is one store
            if self._store is None:
                from console.history.store import Store

                self._store = await Store.open(self.paths, self.clock)
                for notice in self._store.notices:
                    self._tell(notice)
                if not self._store.read_only and (recovered := await self._store.recover()):
                    from console.chat.recovery import book_lost_calls

                    await book_lost_calls(recovered, self._store, self.settings, self.clock)
                    count = plural(len(recovered), "answer")
                    self._tell(f"{count} cut off by the end of another Hawser: what had come is kept.")
        return self._store

    @property
    def jobs(self) -> Jobs:
        if self._jobs is None:
            from console.jobs import Jobs

            self._jobs = Jobs(self.bus)
        return self._jobs

    @property
    def links(self) -> Links:
        """The SSH links of this process. asyncssh is loaded when the first of them connects."""
        if self._links is None:
            from console.links.connector import Connector, LoginManners, Nobody
            from console.links.links import Links

            manners = self.login_manners() if self.login_manners is not None else LoginManners(Nobody())
            self._connector = Connector(
                self.settings, self.paths, self._environment, self.bus, manners, find=self._whereabouts
            )
            self._links = Links(self._connector.to, self.clock, self.bus)
            self._connector.may_ask = self._links.may_ask
        return self._links

    @property
    def tunnels(self) -> Tunnels:
        """The local ports that lead through links."""
        if self._tunnels is None:
            from console.links.tunnels import Tunnels

            self._tunnels = Tunnels(self.bus)
            following = self.signals.follow(self.bus)
            self._following = asyncio.get_running_loop().create_task(following, name="work through tunnels")
        return self._tunnels

    async def offers(self) -> Offers:
        """The tunnels of this process as other processes find them, and theirs as they are found here."""
        async with self._offering:
            if self._offers is None:
                from console.links.offers import Offers
                from console.links.shared import Shared

                self._offers = await Offers(Shared(await self.store(), self.clock), self.clock, self.bus).__aenter__()
        return self._offers

    @property
    def ways(self) -> Ways:
        """How services of machines are reached, by name."""
        if self._ways is None:
            from console.links.ways import Ways

            self._ways = Ways(
                lambda: self.settings.machines,
                self.clock,
                lambda: self.links,
                lambda: self.tunnels,
                shared=self._shared if self._looks_for_tunnels else None,
                offers=self.offers if self.stays else None,
                ready=self.ready,
                is_asking=lambda: self._connector is not None and self._connector.is_asking,
            )
        return self._ways

    async def _shared(self) -> Shared:
        """What other processes have. Looking needs no heartbeat of our own."""
        if self._published is None:
            from console.links.shared import Shared

            self._published = Shared(await self.store(), self.clock)
        return self._published

    def host(self, endpoint: Endpoint, key: str | None = None) -> Host:
        """Where an endpoint is: at its address, or behind the link to its machine."""
        reach: Reach | None = None
        if endpoint.machine is not None:
            reach = self.ways.reach(*self._service_of(endpoint))
        headers = {"user-agent": f"hawser/{__version__}", **endpoint.headers}
        return Host(endpoint.name, endpoint.base_url, key, headers, endpoint.connect_s, reach)

    def provider(self, endpoint: str | Endpoint) -> ChatProvider:
        """The adapter for an endpoint, made once; its key is looked up now, and goes to this endpoint only."""
        if isinstance(endpoint, str):
            endpoint = self.settings.endpoint(endpoint)
        provider = self._providers.get(endpoint.name)
        if provider is None:
            host = self.host(endpoint, self.keys.for_endpoint(endpoint))
            provider = self._providers[endpoint.name] = chat_provider(endpoint.wire, host)
            while self.keys.notes:
                self._tell(self.keys.notes.pop(0))
        return provider

    @property
    def clouds(self) -> Clouds:
        """The accounts at clouds, by settings and keys."""
        if self._clouds is None:
            from console.machines.clouds import Clouds

            headers = {"user-agent": f"hawser/{__version__}"}
            self._clouds = Clouds(
                self.settings, self.keys, self.clock, self.paths, headers=headers, environment=self._environment
            )
        return self._clouds

    def cloud(self, name: str) -> Cloud:
        """The adapter of an account, made once; its key is looked up now."""
        adapter = self.clouds.cloud(name)
        while self.keys.notes:
            self._tell(self.keys.notes.pop(0))
        return adapter

    async def fleet(self) -> Fleet:
        """The machines. However many ask at once, there is one owner of them."""
        store = await self.store()
        if self._fleet is None:  # nothing is awaited from here on
            from console.links.fleet_key import fleet_key
            from console.machines.fleet import Fleet
            from console.money.meter import Meter

            own = {name: machine for name, machine in self.settings.machines.items() if machine.cloud == "ssh"}
            self._fleet = Fleet(
                self.settings,
                store,
                self.cloud,
                self.clock,
                self.bus,
                hooks=(Meter(own),),
                may_spend=self._may_spend,
                public_key=lambda: fleet_key(self.paths).public_line,
                accounts=self.clouds.names,
                keep_key=self._keep_key_of,
            )
        return self._fleet

    async def target(self, name: str, *, ssh_config: Path | None = None) -> Target:
        """Who a machine is and how to log in to it, wherever its name stands: settings, fleet or SSH configuration."""
        from console.links.identity import resolve

        return await resolve(
            name,
            self.settings,
            self.paths,
            ssh_config=ssh_config,
            environment=self._environment,
            find=self._whereabouts,
        )

    async def _whereabouts(self, name: str) -> Whereabouts | None:
        from console.machines.whereabouts import find

        try:
            fleet = await self.fleet()
        except StoreError as error:
            _log.warning("The rented machines are not known: %s", error.text)
            return None
        return await find(fleet, self.clock, name)

    async def ensure(self) -> Ensure:
        """What starts machines and makes them useful."""
        fleet, store = await self.fleet(), await self.store()
        if self._ensure is None:  # nothing is awaited from here on
            from console.machines.ensure import Ensure
            from console.machines.useful import Useful

            useful = Useful(self.settings, lambda: self.links, lambda: self.ways, self.clock, admin=self._models_on)
            self._ensure = Ensure(
                self.settings,
                store,
                fleet,
                lambda: self.links,
                useful,
                self.clock,
                self.bus,
                plan=self._plan,
                protect=self._protect,
            )
        return self._ensure

    def _models_on(self, machine: str, service: str) -> OllamaAdmin:
        """The administration of an Ollama that runs on a machine."""
        from providers.chat.ollama_admin import OllamaAdmin

        its = self.ways.service(machine, service)
        address = f"http://127.0.0.1:{its.port}"
        return OllamaAdmin(Host(machine, address, None, {}, reach=self.ways.reach(machine, its)))

    async def _plan(self, machine: Machine) -> LaunchPlan:
        """What to rent for a machine of the settings."""
        from console.chat.catalogue import Catalogue
        from console.machines import plans

        wanted = plans.wanted_by(machine, Catalogue(self.settings.models), at_end=self.settings.lease.at_end)
        found = await plans.look(wanted, self.offers_of, await self.boot_times())
        quote = plans.best(found, wanted)
        return plans.order(quote, wanted, self.cloud(quote.cloud))

    async def up_or_next(self, name: str, tell: Tell, *, why: str) -> Up:
        """As `Ensure.up`; where it stalls, the next offer is taken too, and the slower machine is destroyed."""
        from console.machines.race import race

        return await race(await self.ensure(), await self.fleet(), self.bus, self._next_plan, name, tell, why=why)

    async def _next_plan(self, record: MachineRecord) -> LaunchPlan:
        """Another offer for what a machine was ordered as."""
        from console.chat.catalogue import Catalogue
        from console.machines import plans

        wanted = plans.wanted_like(record, Catalogue(self.settings.models))
        found = plans.without(await plans.look(wanted, self.offers_of, await self.boot_times()), record)
        quote = plans.best(found, wanted)
        return plans.order(quote, wanted, self.cloud(quote.cloud))

    async def offers_of(self, cloud: str, search: Search) -> list[Offer]:
        """What can be rented at a cloud; for `console/machines/offers.py`."""
        return await self.cloud(cloud).offers(search)

    async def boot_times(self) -> Callable[[str, Offer], float]:
        """What a boot with an offer takes without its downloads, by what was learned."""
        from console.machines import boot

        store = await self.store()
        rows = await store.run(boot.Known)

        def boot_s(cloud: str, offer: Offer) -> float:
            return boot.expected_total_s(rows.expected(cloud, offer.host), boot.WITHOUT_DOWNLOADS)

        return boot_s

    async def _may_spend(self, machine: str, usd_per_hour: Decimal | None) -> None:
        own = self.settings.machines.get(machine)
        if usd_per_hour is None and own is not None and own.cloud == "ssh":
            return  # nobody asks money for it
        await (await self.budget()).allow_machine(usd_per_hour, machine=machine)

    async def _keep_key_of(self, machine: MachineRecord, key: str) -> None:
        """The key with which a machine can end itself, kept where keys are, under the machine's label."""
        self.keys.set(machine.label, key, in_file=True)

    async def learn_rented(self) -> None:
        """Let the settings know the machines that were rented without being written there."""
        store = await self.store()
        from console.machines.rented import rented

        if machines := await store.run(rented):
            self.settings.learn_machines(machines)

    @property
    def signals(self) -> Signals:
        """Where work on machines is noted; nothing is opened before there is some."""
        if self._signals is None:
            from console.machines.signals import Signals

            self._signals = Signals(self.store, self.clock)
        return self._signals

    async def leases(self) -> Leases:
        """How long each machine may live."""
        from console.machines.leases import Leases

        return Leases(self.settings, await self.store(), self.clock)

    async def guard(self) -> Guard:
        """What looks after the machines; for a process that stays, which runs it beside its other work."""
        store, fleet = await self.store(), await self.fleet()
        leases, budget, alerts = await self.leases(), await self.budget(), await self.alerts()
        money, heat = await self.money_watch(), await self.heat_watch()
        if self._guard is None:
            from functools import partial

            from console.machines.guard import Guard, Part
            from console.machines.watch import Watch
            from console.machines.work import read_work

            reach = self._guard_links = self._guard_links or MachineLinks(self)
            read = partial(read_work, gpus=lambda name, gpus: heat.note(name, gpus, self.clock.monotonic()))
            watch = Watch(reach.reach, reach.leave, read, self.signals, self.clock, reached=reach.reached)
            self._guard = Guard(store, fleet, leases, budget, alerts, watch, self.clock, self.bus)
            own = await self._on_machines()

            async def tend() -> None:
                await own.round(await leases.keep_up())

            async def tend_hosts() -> None:
                for host in await self.hosts_that_guard():
                    await host.round(await leases.keep_up())

            self._guard.add(Part("guards on machines", tend, 20.0, 600.0))
            self._guard.add(Part("guards on hosts", tend_hosts, 20.0, 600.0))
            self._guard.add(Part("money", money.round, 300.0, 600.0))
            self._guard.add(Part("heat", heat.round, 5.0))
        return self._guard

    async def _on_machines(self) -> OnMachines:
        """The guards on machines themselves."""
        from console.machines.on_machine import OnMachines

        if self._guard_links is None:
            self._guard_links = MachineLinks(self)
        return OnMachines(await self.store(), self._guard_links.reach, self.clouds.ending, self._key_of, self.clock)

    async def _protect(self, machine: str) -> None:
        """Put the guard onto a machine that has just come up."""
        standing = await (await self.leases()).standing(machine)
        if standing is not None:
            await (await self._on_machines()).attend(standing)

    async def hosts_that_guard(self) -> list[OnHost]:
        """The other hosts of the user's that end machines too."""
        from console.history import leases
        from console.machines.on_machine import OnHost

        store = await self.store()
        hosts = await store.run(leases.stoppers)
        if hosts and self._guard_links is None:
            self._guard_links = MachineLinks(self)
        return [
            OnHost(
                host,
                clouds,
                store,
                self._guard_links.reach,
                self.clouds.ending,
                lambda machine: self.clouds.key(machine.cloud),
                self.clock,
            )
            for host, clouds in hosts.items()
            if self._guard_links is not None
        ]

    def _key_of(self, machine: MachineRecord) -> str | None:
        return self.keys.get(machine.label, search=False)

    async def conversation(self) -> Conversation:
        """The service that answers turns, wired to this runtime."""
        if self._conversation is None:
            await self.learn_rented()
            from console.chat.breaker import Breakers
            from console.chat.catalogue import Catalogue
            from console.chat.conversation import Conversation
            from console.chat.router import Router
            from console.money.prices import Prices

            store = await self.store()
            catalogue = Catalogue(self.settings.models)
            breakers = Breakers(self.clock, self.store)
            router = Router(
                self.settings,
                self.provider,
                catalogue,
                breakers=breakers,
                seen=store.models_seen,
                remember=self.remember_models,
                is_near=self._is_near,
            )
            prices = Prices(self.settings.prices)
            budget = await self.budget()
            self._conversation = Conversation(
                self.settings,
                store,
                router,
                catalogue,
                breakers,
                prices,
                budget,
                self.provider,
                self.clock,
                self.bus,
                make_ready=self._make_ready,
            )
        return self._conversation

    async def _make_ready(self, endpoint: Endpoint, tell: Tell) -> Readied:
        machine, service = self._service_of(endpoint)
        readied = await self.ways.make_ready(machine, service, tell)
        self.signals.soon(machine, "requests", f"a request to {service.label}")
        return readied._replace(usd_per_hour=await self._price_of(machine))

    async def _price_of(self, machine: str) -> Decimal | None:
        """What an hour of a machine costs; one of the user's own is free unless the settings say otherwise."""
        own = self.settings.machines.get(machine)
        if own is not None and own.cloud == "ssh":
            if own.usd_per_month is not None:
                return own.usd_per_month / (365 * 2)  # of 730 hours
            return own.usd_per_hour or Decimal(0)
        with suppress(NotFound, StoreError):
            return (await (await self.fleet()).machine(machine)).usd_per_hour
        return None

    @property
    def woken(self) -> frozenset[str]:
        """The machines that were started for a prompt by this process."""
        return frozenset(self._ensure.woken) if self._ensure is not None else frozenset()

    def wake(self, machine: str, tell: Tell) -> Awaitable[None] | None:
        """What `ready` may be set to: start a machine that is off, within the limits for prompts."""

        async def work() -> None:
            await (await self.ensure()).ready(machine, tell)

        return work() if self._can_start(machine) else None

    def only_if_on(self, machine: str, tell: Tell) -> Awaitable[None] | None:
        """The other: a machine that is off stays off, and that is an error."""

        async def work() -> None:
            await (await self.ensure()).check_on(machine)

        return work() if self._can_start(machine) else None

    def _can_start(self, machine: str) -> bool:
        own = self.settings.machines.get(machine)
        return own is None or own.cloud != "ssh" or own.start is not None

    async def _is_near(self, endpoint: Endpoint) -> bool:
        return await self.ways.is_open(*self._service_of(endpoint))

    def _service_of(self, endpoint: Endpoint) -> tuple[str, Service]:
        assert endpoint.machine is not None
        assert endpoint.service is not None
        return endpoint.machine, self.ways.service(endpoint.machine, endpoint.service)

    async def budget(self) -> Budget:
        """What says yes or no before money is spent."""
        from console.money.budget import Budget

        settings = self.settings
        return Budget(
            settings.budget,
            await self.store(),
            self.clock,
            machine_limits={
                name: machine.day_usd for name, machine in settings.machines.items() if machine.day_usd is not None
            },
            any_machine_usd=settings.alerts.machine_day_stop_usd,
            any_machine_alarm_usd=settings.alerts.machine_day_usd,
        )

    async def alerts(self) -> Alerts:
        """What the user is told about, on every channel."""
        if self._alerts is None:
            from datetime import timedelta

            from console.channels.build import outlets
            from console.notify import Alerts

            settings = self.settings.alerts
            self._alerts = Alerts(
                await self.store(),
                outlets(self.settings, self.keys, self.clock, self._environment, self.ring),
                self.clock,
                self.bus,
                again_after={
                    "alarm": timedelta(minutes=float(settings.alarm_again_min)),
                    "warning": timedelta(minutes=float(settings.warning_again_min)),
                },
            )
        return self._alerts

    async def money_watch(self) -> MoneyWatch:
        """What looks at balances and reconciles the books, for the guard's rounds."""
        from console.money.meter import Meter
        from console.money.reconcile_books import Reconciler
        from console.money.watch import MoneyWatch

        store, fleet = await self.store(), await self.fleet()
        reconciler = Reconciler(store, self.cloud, self.clock, Meter(self.settings.machines))
        return MoneyWatch(await self.budget(), reconciler, fleet.accounts, await self.alerts(), self.clock)

    async def heat_watch(self) -> HeatWatch:
        """What judges the GPU readings that it is given, in the guard's rounds."""
        from console.machines.heat import HeatWatch

        fleet = await self.fleet()

        async def stop(machine: str, why: str) -> None:
            await fleet.stop(machine, why=why)

        return HeatWatch(self.settings.alerts, await self.alerts(), self.clock, self.bus, stop)

    async def remember_models(self, endpoint: str, models: Sequence[ModelInfo]) -> None:
        """Keep what an endpoint has, for completion and for names without an endpoint."""
        from console.history.models_seen import seen

        store = await self.store()
        await store.remember_models(endpoint, [seen(model) for model in models])

    async def close(self) -> None:
        if self._jobs is not None:
            await self._jobs.close()
        if self._guard_links is not None:
            await self._guard_links.close()
        if self._signals is not None:
            await self._signals.close()
        if self._following is not None:
            self._following.cancel()
            await asyncio.wait([self._following])
        if self._clouds is not None:
            await self._clouds.close()
        for provider in self._providers.values():
            await provider.close()
        if self._offers is not None:
            await self._offers.__aexit__()
        if self._tunnels is not None:
            await self._tunnels.close()
        if self._links is not None:
            await self._links.close()
        if self._alerts is not None:
            await self._alerts.close()
        if self._store is not None:
            await self._store.close(leave=self._ends_process)
        self.bus.close()


class MachineLinks:
    """The links that the guard looks at machines over: one that this process has up already, or its own.

    Its own ask nobody and tell nobody anything: whoever sits at the terminal of this process wants another one.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._links: Links | None = None

    def reach(self, name: str) -> Connect:
        async def connect() -> asyncssh.SSHClientConnection:
            if self._runtime._links is not None:
                for link in self._runtime._links:
                    if link.name == name and link.is_up:
                        return await link.connection(REACH_S)
            return await (await self._own().link(name)).connection(REACH_S)

        return connect

    def _own(self) -> Links:
        if self._links is None:
            from console.links.connector import Connector, LoginManners, Nobody
            from console.links.links import Links

            runtime = self._runtime
            connector = Connector(
                runtime.settings,
                runtime.paths,
                runtime._environment,
                Bus(),
                LoginManners(Nobody()),
                find=runtime._whereabouts,
            )
            self._links = Links(connector.to, runtime.clock, Bus())
        return self._links

    async def leave(self, name: str) -> None:
        """The machine is off, or about to be."""
        if self._links is not None:
            await self._links.drop(name)

    async def close(self) -> None:
        if self._links is not None:
            await self._links.close()

    async def reached(self, name: str) -> None:
        from console.machines.records import MachineState

        await (await self._runtime.fleet()).reached(name, MachineState.REACHABLE)


@asynccontextmanager
async def open_runtime(
    paths: Paths,
    environment: Mapping[str, str],
    tell: Callable[[str], None],
    *,
    clock: Clock | None = None,
    discover: bool = True,
    ends_process: bool = False,
    login_manners: Callable[[], LoginManners] | None = None,
) -> AsyncIterator[Runtime]:
    """A runtime for the length of a block.

    `tell` gets plain sentences about what was repaired or recovered. With `ends_process` the store is left to the next
    process to tidy up.
    """
    settings = load_settings(paths, environment, discover=discover)
    keys = Keys(paths, environment)
    log_file = start_log(paths.log_file, settings.log.level, keys.secrets)
    runtime = Runtime(
        paths,
        settings,
        keys,
        clock or SystemClock(),
        tell,
        ends_process=ends_process,
        environment=environment,
        login_manners=login_manners,
    )
    for note in settings.notes:
        tell(note)
    try:
        yield runtime
    finally:
        try:
            await runtime.close()
        finally:
            stop_log(log_file)
