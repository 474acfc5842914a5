"""The half of the wiring that is about machines and money: what `Runtime` builds for those who rent.

As there, each service is made when it is first asked for, and its modules are loaded then.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from decimal import Decimal
from typing import TYPE_CHECKING

from console import __version__
from console.clock import Clock
from console.errors import NotFound, StoreError
from console.events import Bus
from console.keys import Keys
from console.paths import Paths
from console.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from console.history.store import Store
    from console.links.identity import Target, Whereabouts
    from console.links.links import Links
    from console.links.ways import Tell, Ways
    from console.machines.clouds import Clouds
    from console.machines.ensure import Ensure, Up
    from console.machines.fleet import Fleet, LaunchPlan
    from console.machines.gpu_watches import GpuWatches
    from console.machines.guard import Guard
    from console.machines.guard_links import GuardLinks
    from console.machines.heat import HeatWatch
    from console.machines.leases import Leases
    from console.machines.on_machine import OnHost, OnMachines
    from console.machines.records import MachineRecord
    from console.machines.signals import Signals
    from console.money.budget import Budget
    from console.money.watch import MoneyWatch
    from console.notify import Alerts
    from console.settings import Machine
    from providers.chat.ollama_admin import OllamaAdmin
    from providers.clouds.base import Cloud, Offer, Search

_log = logging.getLogger(__name__)

HOURS_PER_MONTH = 730
"""Of a usual month, for what one answer costs on a machine that is paid by the month; the books count real ones."""


class MachineRuntime(ABC):
    """What a runtime has for machines. The rest of it, which this stands on, is in `runtime.py`."""

    def __init__(
        self,
        paths: Paths,
        settings: Settings,
        keys: Keys,
        clock: Clock,
        environment: Mapping[str, str],
        tell: Callable[[str], None],
    ) -> None:
        self.paths = paths
        self.settings = settings
        self.keys = keys
        self.clock = clock
        self.bus = Bus()
        self.ring: Callable[[str], None] | None = None
        """Puts an alert on the terminal; set before the first one, where there is a terminal."""
        self.environment = environment
        self._tell = tell
        self._links: Links | None = None
        self._clouds: Clouds | None = None
        self._fleet: Fleet | None = None
        self._ensure: Ensure | None = None
        self._alerts: Alerts | None = None
        self._signals: Signals | None = None
        self._guard: Guard | None = None
        self._guard_links: GuardLinks | None = None
        self._gpu_watches: GpuWatches | None = None

    @abstractmethod
    async def store(self) -> Store: ...

    @property
    @abstractmethod
    def links(self) -> Links: ...

    @property
    @abstractmethod
    def ways(self) -> Ways: ...

    @property
    def clouds(self) -> Clouds:
        """The accounts at clouds, by settings and keys."""
        if self._clouds is None:
            from console.machines.clouds import Clouds

            headers = {"user-agent": f"hawser/{__version__}"}
            self._clouds = Clouds(
                self.settings, self.keys, self.clock, self.paths, headers=headers, environment=self.environment
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
            environment=self.environment,
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
        from providers.chat.base import Host
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
            from console.machines.gpu_watches import GpuWatches
            from console.machines.guard import Guard, Part
            from console.machines.records import REACHED
            from console.machines.watch import Watch
            from console.machines.work import read_work

            reach = self._links_of_guard()
            watch = Watch(reach.reach, reach.leave, read_work, self.signals, self.clock, reached=reach.reached)
            self._guard = Guard(store, fleet, leases, budget, alerts, watch, self.clock, self.bus)
            own = await self._on_machines()
            gpus = self._gpu_watches = GpuWatches(
                reach.reach, self.clock, self.bus, lambda name, seen: heat.note(name, seen, self.clock.monotonic())
            )

            async def watch_gpus() -> None:
                standing = await leases.keep_up()
                await gpus.follow(one.record.name for one in standing if one.record.state in REACHED)

            async def tend() -> None:
                await own.round(await leases.keep_up())

            async def tend_hosts() -> None:
                for host in await self.hosts_that_guard():
                    await host.round(await leases.keep_up())

            self._guard.add(Part("guards on machines", tend, 20.0, 600.0))
            self._guard.add(Part("guards on hosts", tend_hosts, 20.0, 600.0))
            self._guard.add(Part("money", money.round, 300.0, 600.0))
            self._guard.add(Part("GPU readings", watch_gpus, 10.0))
            self._guard.add(Part("heat", heat.round, 5.0))
        return self._guard

    async def _on_machines(self) -> OnMachines:
        """The guards on machines themselves."""
        from console.machines.on_machine import OnMachines

        reach = self._links_of_guard().reach
        return OnMachines(await self.store(), reach, self.clouds.ending, self._key_of, self.clock)

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
        if not hosts:
            return []
        reach = self._links_of_guard().reach
        return [
            OnHost(
                host,
                clouds,
                store,
                reach,
                self.clouds.ending,
                lambda machine: self.clouds.key(machine.cloud),
                self.clock,
            )
            for host, clouds in hosts.items()
        ]

    def _links_of_guard(self) -> GuardLinks:
        if self._guard_links is None:
            from console.machines.guard_links import GuardLinks

            self._guard_links = GuardLinks(lambda: self._links or (), self._quiet_links, self._reached)
        return self._guard_links

    def _quiet_links(self) -> Links:
        """Links of their own that ask nobody and tell nobody anything."""
        from console.links.connector import Connector, LoginManners, Nobody
        from console.links.links import Links

        manners = LoginManners(Nobody())
        connector = Connector(self.settings, self.paths, self.environment, Bus(), manners, find=self._whereabouts)
        return Links(connector.to, self.clock, Bus())

    async def _reached(self, machine: str) -> None:
        from console.machines.records import MachineState

        await (await self.fleet()).reached(machine, MachineState.REACHABLE)

    def _key_of(self, machine: MachineRecord) -> str | None:
        return self.keys.get(machine.label, search=False)

    async def _price_of(self, machine: str) -> Decimal | None:
        """What an hour of a machine costs; one of the user's own is free unless the settings say otherwise."""
        own = self.settings.machines.get(machine)
        if own is not None and own.cloud == "ssh":
            if own.usd_per_month is not None:
                return own.usd_per_month / HOURS_PER_MONTH
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
                outlets(self.settings, self.keys, self.clock, self.environment, self.ring),
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

    async def _close_guard(self) -> None:
        """What works on machines ends before the links do."""
        if self._gpu_watches is not None:
            await self._gpu_watches.close()
        if self._guard_links is not None:
            await self._guard_links.close()
        if self._signals is not None:
            await self._signals.close()
        if self._clouds is not None:
            await self._clouds.close()
