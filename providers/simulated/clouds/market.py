"""The physics of a cloud: who gets which GPU when, how a machine comes up and goes down, and what runs up meanwhile.

A cloud's own rules come in as a `Tariff` (what a machine is charged in which state) and a few traits. All of it is a
function of time: `market.advance()` lives through what is due, and whatever the world does begins with that.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from decimal import Decimal

from providers.simulated.clouds.account import Account, Deposit
from providers.simulated.clouds.billing import Bill, Charge, ChargeKind, lasts
from providers.simulated.clouds.hosts import Host
from providers.simulated.clouds.images import image_bytes
from providers.simulated.clouds.rental import ON_THE_WAY, Order, Phase, Rental, Timings
from providers.simulated.clouds.timeline import Now, Timeline

Tariff = Callable[[Rental], Mapping[ChargeKind, Decimal]]
"""What a machine is charged per hour in the state it is in."""

OCI_ERROR = "Error response from daemon: OCI runtime create failed: unresolvable CDI devices"


class NoGpuError(Exception):
    """There is no free GPU for that, at that host and price."""


class Market:
    def __init__(
        self,
        clock: Now,
        hosts: Iterable[Host],
        account: Account,
        tariff: Tariff,
        *,
        timings: Timings | None = None,
        seed: int = 0,
        bills_by: timedelta | None = None,
        new_id: Callable[[], str],
    ) -> None:
        self.timeline = Timeline(clock)
        self.hosts = {host.id: host for host in hosts}
        self.account = account
        self.timings = timings or Timings()
        self.rentals: dict[str, Rental] = {}
        """All there ever were, also those that are gone."""
        self.other_bills: list[Bill] = []
        """What bills besides machines."""
        self.strangers_take_after_s: float | None = None
        """How long a GPU that was freed by a stop waits until somebody else takes it; None for ever."""
        self.expired_are_kept = timedelta(hours=48)
        self.destroys_when_broke: Callable[[Rental], bool] = lambda rental: True
        self.random = random.Random(seed)  # noqa: S311 - a market that can be played again
        self._tariff = tariff
        self._bills_by = bills_by
        self._new_id = new_id
        self._money_generation = 0
        for host in self.hosts.values():
            if host.ends_at is not None:
                self.timeline.at(host.ends_at, lambda host=host: self._delist(host))  # type: ignore[misc]

    # time

    @property
    def now(self) -> datetime:
        return self.timeline.now

    def advance(self) -> None:
        self.timeline.advance()

    def at(self, moment: datetime, deed: Callable[[], object]) -> None:
        """Let something happen later: `market.at(noon, lambda: market.set_min_bid(host, price))`."""
        self.timeline.at(moment, lambda: (deed(), None)[1])

    # what there is

    def alive(self) -> list[Rental]:
        """Machines the cloud still has, oldest first."""
        return [rental for rental in self.rentals.values() if not rental.is_gone]

    def free_gpus(self, host: Host) -> int:
        ours = sum(rental.gpus for rental in self.alive() if rental.host is host and rental.holds_gpu)
        return max(0, host.gpus - host.taken - ours)

    def can_hold(self, host: Host, gpus: int, bid: Decimal | None = None) -> bool:
        """Whether so many GPUs could be had there; who pays the full price displaces those who bid."""
        if not host.is_online or not host.is_listed:
            return False
        if bid is not None:
            least = host.min_bid_per_gpu_hour
            return least is not None and bid >= least * gpus and self.free_gpus(host) >= gpus
        return self.free_gpus(host) + sum(rental.gpus for rental in self._displaceable(host)) >= gpus

    # money

    @property
    def balance_usd(self) -> Decimal:
        return self.account.deposited() - sum((bill.total(self.now) for bill in self._bills()), Decimal(0))

    @property
    def usd_per_hour(self) -> Decimal:
        """What all machines together run up at this moment."""
        return sum((bill.usd_per_hour for bill in self._bills()), Decimal(0))

    def billed(self, machine_id: str) -> Decimal:
        return self.rentals[machine_id].bill.total(self.now)

    def invoice(self) -> list[Charge]:
        return [charge for bill in self._bills() for charge in bill.charges(self.now)]

    def _bills(self) -> Iterator[Bill]:
        yield from (rental.bill for rental in self.rentals.values())
        yield from self.other_bills

    def bill_besides(self, bill: Bill, rates: Mapping[ChargeKind, Decimal]) -> None:
        """Charge for something that is no machine."""
        self.advance()
        bill.charge_at(self.now, rates)
        self.other_bills.append(bill)
        self._money_changed()

    def pay_in(self, usd: Decimal) -> None:
        self.advance()
        self.account.deposits.append(Deposit(self.now, usd))
        self._money_changed()

    def transfer(self, rental: Rental, *, down_gb: Decimal = Decimal(0), up_gb: Decimal = Decimal(0)) -> None:
        """Charge for bytes that went over its line."""
        self.advance()
        if down_gb and rental.host.download_usd_per_gb:
            rental.bill.charge_once(self.now, ChargeKind.DOWNLOAD, down_gb * rental.host.download_usd_per_gb)
        if up_gb and rental.host.upload_usd_per_gb:
            rental.bill.charge_once(self.now, ChargeKind.UPLOAD, up_gb * rental.host.upload_usd_per_gb)
        self._money_changed()

    # what a client asks for

    def rent(
        self, order: Order, *, queues: bool = False, prepare: Callable[[Rental], object] = lambda rental: None
    ) -> Rental:
        """A new machine. Without a free GPU it is queued, or as told NoGpuError is raised and nothing is made.

        `prepare` sees it before its first step.
        """
        can_run = self.can_hold(order.host, order.gpus, order.bid)
        if order.wants_to_run and not can_run and not queues:
            raise NoGpuError(order.host.id)
        machine_id = self._new_id()
        rental = Rental(machine_id, order, self.now, Bill(machine_id, self._bills_by))
        rental.say(self.now, "system", f"created from {rental.image}")
        prepare(rental)
        self.rentals[machine_id] = rental
        if rental.wants_to_run:
            self._start_or_queue(rental)
        if rental.ends_at is not None:
            self.timeline.at(rental.ends_at, lambda: self._expire(rental))
        self._settle()
        return rental

    def start(self, rental: Rental, *, queues: bool = False) -> bool:
        """Whether it has its GPU. Without one it is queued, or as told NoGpuError is raised and nothing changes."""
        if rental.phase not in (Phase.STOPPED, Phase.STOPPING, Phase.QUEUED, Phase.BROKEN):
            rental.wants_to_run = True
            return True
        if rental.phase is Phase.STOPPING:
            self._stopped(rental)
        if not queues and not self._can_start(rental):
            raise NoGpuError(rental.host.id)
        rental.wants_to_run = True
        self._start_or_queue(rental)
        self._settle()
        return rental.phase is not Phase.QUEUED

    def queue(self, rental: Rental, wait_s: float | None = None) -> None:
        """Let it wait for a GPU although there may be one: so long, or until one is given back there."""
        rental.wants_to_run = True
        rental.generation += 1
        rental.enter(Phase.QUEUED, self.now)
        if wait_s is not None:
            self._later(rental, wait_s, lambda rental: self._serve_queue(rental.host))
        self._settle()

    def stop(self, rental: Rental, takes_s: float | None = None, *, keeps_gpu: bool = False) -> None:
        """`keeps_gpu` has it hold its GPU while it is stopped; a later stop without it lets the GPU go."""
        rental.wants_to_run = False
        if rental.phase is Phase.STOPPED and rental.keeps_gpu and not keeps_gpu:
            rental.keeps_gpu = False
            self._freed(rental)
            self._settle()
        rental.keeps_gpu = keeps_gpu and rental.holds_gpu
        if rental.phase in (Phase.STOPPED, Phase.STOPPING, Phase.DESTROYING, Phase.GONE):
            return
        if rental.phase in (Phase.QUEUED, Phase.BROKEN):
            self._stopped(rental)
        else:
            rental.was_running = rental.phase in (Phase.RUNNING, Phase.DIED)
            rental.generation += 1
            rental.enter(Phase.STOPPING, self.now)
            self._later(rental, self.timings.stop_s if takes_s is None else takes_s, self._stopped)
        self._settle()

    def destroy(self, rental: Rental) -> None:
        if rental.phase in (Phase.DESTROYING, Phase.GONE):
            return
        rental.held_gpu = rental.holds_gpu
        if rental.phase is not Phase.STOPPING:
            rental.was_running = rental.phase in (Phase.RUNNING, Phase.DIED)
        rental.wants_to_run = False
        rental.generation += 1
        rental.enter(Phase.DESTROYING, self.now)
        self._later(rental, self.timings.destroy_s, self._gone)
        self._settle()

    def restart(self, rental: Rental, *, afresh: bool = False) -> None:
        """Restart the container and keep the GPU; `afresh` makes a new one of the image."""
        rental.generation += 1
        rental.is_restarting = not afresh
        rental.is_stuck = False
        rental.ssh_up = rental.keys_up = rental.service_up = False
        rental.say(self.now, "system", "container is restarted" if not afresh else "container is made anew")
        rental.enter(Phase.BOOTING, self.now)
        self._later(rental, self.timings.restart_s, self._running)
        self._settle()

    def set_bid(self, rental: Rental, bid: Decimal) -> None:
        rental.bid = rental.usd_per_hour = bid
        self._look_at_bids(rental.host)

    # what the world does

    def take(self, host: Host, gpus: int) -> None:
        """Others rent GPUs at the full price; who only bids has to go."""
        self.advance()
        self._make_room(host, gpus)
        host.taken = min(host.gpus, host.taken + gpus)
        self._settle()

    def give_back(self, host: Host, gpus: int) -> None:
        self.advance()
        host.taken = max(0, host.taken - gpus)
        self._serve_queue(host)
        self._settle()

    def set_price(self, host: Host, usd_per_gpu_hour: Decimal) -> None:
        """For new rentals; those there are keep theirs."""
        host.usd_per_gpu_hour = usd_per_gpu_hour

    def raise_price(self, rental: Rental, usd_per_hour: Decimal) -> None:
        """The host asks more for a rental that is there already."""
        self.advance()
        rental.usd_per_hour = usd_per_hour
        self._settle()

    def set_min_bid(self, host: Host, usd_per_gpu_hour: Decimal) -> None:
        """The market moves: who bids less than this is outbid."""
        self.advance()
        host.min_bid_per_gpu_hour = usd_per_gpu_hour
        self._look_at_bids(host)

    def lose_host(self, host: Host) -> None:
        self.advance()
        host.is_online = False
        self._settle()

    def find_host(self, host: Host) -> None:
        self.advance()
        host.is_online = True
        self._serve_queue(host)
        self._settle()

    def kill_container(self, rental: Rental) -> None:
        """Its main process ends by itself."""
        self.advance()
        if rental.phase is Phase.RUNNING:
            rental.generation += 1
            rental.ssh_up = rental.keys_up = rental.service_up = False
            rental.message = "container exited"
            rental.say(self.now, "container", "container exited")
            rental.enter(Phase.DIED, self.now)
            self._settle()

    def wander(self, host: Host, *, every_s: float, step: Decimal = Decimal("0.02")) -> None:
        """From here on, let price and lowest bid of a host go up and down a step at a time."""

        def move() -> None:
            up = self.random.choice((step, -step))
            host.usd_per_gpu_hour = max(step, host.usd_per_gpu_hour + up)
            if host.min_bid_per_gpu_hour is not None:
                self.set_min_bid(host, max(step, host.min_bid_per_gpu_hour + self.random.choice((step, -step))))
            self.timeline.after(every_s, move)

        self.timeline.after(every_s, move)

    # the way up

    def _start_or_queue(self, rental: Rental) -> None:
        rental.generation += 1
        rental.is_outbid = False
        rental.message = None
        if not self._can_start(rental):
            rental.enter(Phase.QUEUED, self.now)
            rental.say(self.now, "system", "no GPU is free, the start is queued")
            return
        if rental.bid is None and not rental.holds_gpu:
            self._make_room(rental.host, rental.gpus)
        rental.keeps_gpu = False
        rental.starts += 1
        rental.moves += not rental.host.has_static_address
        rental.enter(Phase.PROVISIONING, self.now)
        rental.say(self.now, "system", "host has a GPU for it")
        self._later(rental, self.timings.provision_s, self._pull)

    def _pull(self, rental: Rental) -> None:
        if rental.cannot_start:
            rental.message = OCI_ERROR
            rental.enter(Phase.BROKEN, self.now)
            rental.say(self.now, "system", OCI_ERROR)
            self._serve_queue(rental.host)
            return
        if rental.has_image and not rental.is_stuck:
            self._boot(rental)
            return
        rental.message = "pulling image layers"
        rental.enter(Phase.PULLING, self.now)
        rental.say(self.now, "system", f"pulling {rental.image}")
        if not rental.is_stuck:
            self._later(rental, self.pull_s(rental), self._boot)

    def pull_s(self, rental: Rental) -> float:
        if self.timings.pull_s is not None:
            return self.timings.pull_s
        return image_bytes(rental.image) * 8 / (rental.host.down_mbit_per_s * 1_000_000)

    def _boot(self, rental: Rental) -> None:
        rental.has_image = True
        rental.enter(Phase.BOOTING, self.now)
        rental.say(self.now, "system", "image is here, starting the container")
        self._later(rental, self.timings.boot_s, self._running)

    def _running(self, rental: Rental) -> None:
        rental.has_run = True
        rental.is_restarting = False
        rental.started_at = self.now
        rental.message = f"success, running {rental.image}"
        rental.enter(Phase.RUNNING, self.now)
        rental.say(self.now, "container", "container is running")
        ssh_s = self.timings.ssh_s if rental.ssh_after_s is None else rental.ssh_after_s
        self._later(rental, ssh_s, self._ssh_is_up)
        if rental.dies_after_s is not None:
            self._later(rental, rental.dies_after_s, self.kill_container)

    def _ssh_is_up(self, rental: Rental) -> None:
        rental.ssh_up = rental.order.has_ssh
        self._later(rental, rental.keys_after_s, self._keys_are_there)
        if rental.ssh_up:
            rental.say(self.now, "container", "sshd is listening")
        self._later(rental, self.timings.service_s, self._service_is_up)

    def _keys_are_there(self, rental: Rental) -> None:
        rental.keys_up = True

    def _service_is_up(self, rental: Rental) -> None:
        rental.service_up = True
        rental.say(self.now, "container", "start script has ended")

    # the way down

    def _stopped(self, rental: Rental) -> None:
        had_gpu = rental.holds_gpu
        rental.generation += 1
        rental.ssh_up = rental.keys_up = rental.service_up = rental.is_restarting = False
        rental.message = None
        rental.stopped_at = self.now
        rental.enter(Phase.STOPPED, self.now)
        rental.say(self.now, "system", "stopped")
        if had_gpu and not rental.holds_gpu:
            self._freed(rental)

    def _gone(self, rental: Rental) -> None:
        rental.generation += 1
        rental.ssh_up = rental.keys_up = rental.service_up = False
        rental.enter(Phase.GONE, self.now)
        if rental.held_gpu:
            self._freed(rental)

    def _freed(self, rental: Rental) -> None:
        host = rental.host
        self._serve_queue(host)
        if self.strangers_take_after_s is not None and self.free_gpus(host) >= rental.gpus:
            if self.strangers_take_after_s:
                self.timeline.after(self.strangers_take_after_s, lambda: self.take(host, rental.gpus))
            else:
                host.taken += rental.gpus

    def _expire(self, rental: Rental) -> None:
        if not rental.is_gone:
            self.stop(rental)
            self.timeline.after(self.expired_are_kept.total_seconds(), lambda: self.destroy(rental))

    def is_expired(self, rental: Rental) -> bool:
        return rental.ends_at is not None and self.now >= rental.ends_at

    def _delist(self, host: Host) -> None:
        host.is_listed = False

    # who gets the GPU

    def _can_start(self, rental: Rental) -> bool:
        if rental.holds_gpu:
            return rental.host.is_online
        return self.can_hold(rental.host, rental.gpus, rental.bid)

    def _displaceable(self, host: Host) -> list[Rental]:
        """Those who only bid, the lowest first."""
        bidders = [rental for rental in self.alive() if rental.host is host and rental.holds_gpu and rental.is_spot]
        staying = [rental for rental in bidders if rental.phase in (*ON_THE_WAY, Phase.RUNNING, Phase.DIED)]
        return sorted(staying, key=lambda rental: rental.bid or Decimal(0))

    def _make_room(self, host: Host, gpus: int) -> None:
        for rental in self._displaceable(host):
            if self.free_gpus(host) >= gpus:
                break
            self._outbid(rental)
            self._stopped(rental)

    def _look_at_bids(self, host: Host) -> None:
        least = host.min_bid_per_gpu_hour
        for rental in self._displaceable(host):
            if least is None or (rental.bid or Decimal(0)) < least * rental.gpus:
                self._outbid(rental)
                self.stop(rental)
        self._serve_queue(host)
        self._settle()

    def _outbid(self, rental: Rental) -> None:
        rental.is_outbid = True
        rental.wants_to_run = False
        rental.say(self.now, "system", "outbid")

    def _serve_queue(self, host: Host) -> None:
        for rental in self.alive():
            waits = rental.host is host and rental.phase is Phase.QUEUED and not self.is_expired(rental)
            if waits and self.can_hold(host, rental.gpus, rental.bid) and self.balance_usd > 0:
                self._start_or_queue(rental)

    # time and money

    def _later(self, rental: Rental, seconds: float, step: Callable[[Rental], None]) -> None:
        """Take a step unless something else was decided by then."""
        generation = rental.generation

        def take() -> None:
            if rental.generation == generation:
                step(rental)
                self._settle()

        self.timeline.after(seconds, take)

    def _settle(self) -> None:
        """Charge everybody for the state they are in."""
        has_changed = False
        for rental in self.rentals.values():
            if rental.is_gone and not rental.bill.is_open:
                continue
            rental.bill.label = rental.label
            has_changed |= rental.bill.charge_at(self.now, {} if rental.is_gone else self._tariff(rental))
        if has_changed:
            self._money_changed()

    def _money_changed(self) -> None:
        """Plan for the moment the money is gone."""
        self._money_generation += 1
        generation = self._money_generation
        rate = self.usd_per_hour
        balance = self.balance_usd
        if not rate:
            return
        moment = self.now + lasts(balance, rate) if balance > 0 else self.now

        def run_dry() -> None:
            if generation == self._money_generation:
                self._run_dry()

        if moment > self.now or any(rental.wants_to_run for rental in self.alive()):
            self.timeline.at(moment, run_dry)

    def _run_dry(self) -> None:
        if self.balance_usd > 0:  # billing in steps is not as even as the rate says
            self._money_changed()
            return
        for rental in self.alive():
            if rental.wants_to_run or rental.holds_gpu:
                rental.say(self.now, "system", "no credit left")
                self.stop(rental)
        if not self.account.has_card:
            self.timeline.after(self.account.grace.total_seconds(), self._clear_out)

    def _clear_out(self) -> None:
        if self.balance_usd <= 0:
            for rental in self.alive():
                if self.destroys_when_broke(rental):
                    self.destroy(rental)
