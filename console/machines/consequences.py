"""What follows from renting, stopping or destroying a machine, in sentences: what is paid for, what is lost, what ends
it. The commands say them before they ask, and so do the screens."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from console.machines import words
from console.machines.lease import Limits
from console.machines.records import MachineRecord
from providers.clouds.base import Bills, Capability, Offer

if TYPE_CHECKING:
    from collections.abc import Collection

    from console.machines.plans import Wanted


def of_renting(name: str, cloud: str, offer: Offer, wanted: Wanted, limits: Limits, now: datetime) -> Iterator[str]:
    bid = wanted.bid_usd_per_hour if wanted.bid_usd_per_hour is not None else offer.usd_per_hour
    price = bid if offer.spot else offer.usd_per_hour
    host = ", ".join(
        part
        for part in (
            offer.region,
            f"there {offer.reliability:.1%} of the time" if offer.reliability is not None else "",
            f"{offer.down_mbps:.0f} Mbit/s down" if offer.down_mbps else "",
        )
        if part
    )
    gpu = words.gpu(offer.gpu, offer.gpu_count, offer.vram_gb)
    yield f"{name}: {gpu}, {wanted.search.disk_gb.normalize():f} GB disk, at {cloud}" + (f" ({host})" if host else "")
    yield f"  Costs {words.per_hour(price)}, {words.per_day(price)} if it runs on." + _stopped(offer.disk_usd_per_hour)
    traffic = [f"{words.usd(each)} per GB {way}" for each, way in _traffic(offer) if each]
    if traffic:
        yield f"  Traffic costs {' and '.join(traffic)}."
    if offer.spot:
        yield "  It is rented at a bid: who bids more takes it away at any moment."
    if wanted.recipe is not None:
        models = f" with {', '.join(wanted.models)}" if wanted.models else ""
        yield f"  Set up as {wanted.recipe.name!r}: {wanted.recipe.title}{models}."
    yield f"  {ends_by_itself(limits, now)}"


def _traffic(offer: Offer) -> tuple[tuple[Decimal | None, str], ...]:
    return (offer.usd_per_gb_down, "down"), (offer.usd_per_gb_up, "up")


def _stopped(usd_per_hour: Decimal) -> str:
    return f" Stopped, its disk goes on costing {words.per_day(usd_per_hour)}." if usd_per_hour else ""


def ends_by_itself(limits: Limits, now: datetime) -> str:
    """What ends it without anybody, and when."""
    if limits.at_end == "nothing":
        return "Nothing ends it but you."
    ended = "stopped" if limits.at_end == "stop" else "DESTROYED with all that is on it"
    hard = f"at {words.clock(now + limits.hard, now)} whatever it does"
    if limits.idle is None:
        return f"It is {ended} {hard}, unless its lease is extended."
    return f"It is {ended} after {words.span(limits.idle.total_seconds())} without work, and {hard}."


def of_stopping(record: MachineRecord, can: Collection[Capability]) -> Iterator[str]:
    """What stops costing, what goes on, and what may not come back."""
    running, stopped = record.usd_per_hour, record.usd_per_hour_stopped
    if record.origin == "settings":
        if running is not None:
            yield f"Its {words.per_hour(running)} ends."
        return
    if record.bills is Bills.EVERYTHING and running is not None:
        saved = running - (stopped or Decimal(0))
        yield f"{words.per_hour(saved)} for the GPU ends once the stop is proved."
    if stopped:
        yield (
            f"Its disk goes on costing {words.per_hour(stopped)}, {words.per_day(stopped)}, until it is destroyed:"
            f" hawser vm destroy {record.name}"
        )
    elif stopped is None:
        yield "Nobody says what its disk costs while it is stopped; hawser vm ls shows what is seen."
    if Capability.STOP_FREES_GPU in can:
        yield "Its GPU is free for others then. If somebody takes it, it cannot be started until they leave."
    if Capability.IMAGE in can:
        yield "It is a container: some clouds keep only its volume over a stop; docs/clouds.md says which."
    if record.reading is not None and record.reading.spot:
        yield "It is rented at a bid: to start again it has to outbid the others of that moment."


def of_destroying(record: MachineRecord) -> Iterator[str]:
    disk = record.reading.disk_gb if record.reading is not None else None
    size = f"{disk.normalize():f} GB " if disk is not None else ""
    yield f"Everything on its {size}disk is lost for good: models, outputs, chats of services, all of it."
    now = {Bills.EVERYTHING: record.usd_per_hour, Bills.DISK: record.usd_per_hour_stopped}.get(record.bills)
    if now is not None:
        yield f"{words.per_hour(now)} ends once it is proved to be gone, and nothing goes on costing."
    elif record.bills is Bills.UNKNOWN and record.usd_per_hour is not None:
        yield f"What it costs, up to {words.per_hour(record.usd_per_hour)}, ends once it is proved to be gone."
