"""`hawser vm bid`: changes what is bid for a machine, to a price or to a margin over the market."""

from __future__ import annotations

from decimal import ROUND_UP, Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from console.machines.fleet import Fleet
    from console.machines.records import MachineRecord
    from console.shell import Shell

HELP = "change the bid of a machine that is rented at one"
MARGIN = Decimal("0.10")
LOOK_S = 60.0
"""How often `--follow` looks at the market."""
ENOUGH = Decimal("0.5")
"""A bid is raised when less than this part of its margin is left, and lowered when the margin is twice as large."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from console.arguments import dollars
    from console.commands.vm_wishes import share

    parser.add_argument("machine", metavar="NAME", help="which one")
    parser.add_argument("usd", nargs="?", type=dollars, metavar="USD", help="what to bid per hour")
    parser.add_argument("--auto", action="store_true", help="a margin over the market, up to the machine's ceiling")
    parser.add_argument("--margin", type=share, default=MARGIN, metavar="SHARE", help="the margin of --auto (10%%)")
    parser.add_argument("--follow", action="store_true", help="with --auto: keep the margin until interrupted")
    parser.add_argument("--json", action="store_true", help="the machine as JSON")


def run(arguments: argparse.Namespace, shell: Shell) -> int:
    import asyncio

    return asyncio.run(_bid(arguments, shell))


async def _bid(arguments: argparse.Namespace, shell: Shell) -> int:
    from console.commands import vm_power
    from console.errors import UsageError

    if (arguments.usd is None) != arguments.auto:
        raise UsageError("Say what to bid per hour, or --auto.", hint="As in: hawser vm bid gpu1 0.32")
    if arguments.follow and not arguments.auto:
        raise UsageError("--follow keeps the margin of --auto.", hint="See: hawser vm bid --help")
    async with shell.runtime() as runtime:
        fleet = await runtime.fleet()
        while True:
            record = await _read(fleet, arguments.machine)
            bid = arguments.usd if arguments.usd is not None else wanted_bid(record, arguments.margin)
            if arguments.usd is not None or not arguments.follow or _is_due(record, bid, arguments.margin):
                await _set(fleet, record, bid, shell)
            if not arguments.follow:
                break
            await runtime.clock.sleep(LOOK_S)
        if arguments.json:
            await vm_power.show_json(arguments.machine, runtime, shell)
    return 0


async def _read(fleet: Fleet, name: str) -> MachineRecord:
    from console.errors import CloudSilent, MachineError

    record = await fleet.machine(name)
    for trouble in await fleet.refresh([record.cloud]):
        raise CloudSilent(f"{trouble.cloud} cannot be read: {trouble.text}", hint=trouble.hint)
    record = await fleet.machine(name)
    if record.reading is not None and not record.reading.spot:
        raise MachineError(f"{name!r} is not rented at a bid; its price is fixed.")
    return record


def wanted_bid(record: MachineRecord, margin: Decimal) -> Decimal:
    """A margin over the market, and not above the ceiling."""
    from console.errors import PriceTooHigh, PriceUnknown
    from console.machines.words import per_hour

    market = record.reading.market_usd_per_hour if record.reading is not None else None
    if market is None:
        raise PriceUnknown(f"The cloud does not say what the market asks for {record.name!r}.", hint="Name a price.")
    ceiling = record.ceiling_usd_per_hour
    if ceiling is not None and market > ceiling:
        raise PriceTooHigh(
            f"The market asks {per_hour(market)} for {record.name!r}, which may cost {per_hour(ceiling)} at most.",
            hint=f"Rent another one, or raise max_price_usd_per_hour of [machines.{record.name}].",
        )
    bid = (market * (1 + margin)).quantize(Decimal("0.0001"), ROUND_UP)
    return bid if ceiling is None else min(bid, ceiling)


def _is_due(record: MachineRecord, bid: Decimal, margin: Decimal) -> bool:
    """Whether the bid of now has drifted so far that it is worth a request."""
    reading = record.reading
    if reading is None or reading.bid_usd_per_hour is None or reading.market_usd_per_hour is None:
        return True
    if reading.bid_usd_per_hour == bid:
        return False
    has = reading.bid_usd_per_hour / reading.market_usd_per_hour - 1
    return not margin * ENOUGH <= has <= margin * 2


async def _set(fleet: Fleet, record: MachineRecord, bid: Decimal, shell: Shell) -> None:
    from console.machines.words import per_hour

    await fleet.set_bid(record.name, bid)
    market = record.reading.market_usd_per_hour if record.reading is not None else None
    over = f"; the market asks {per_hour(market)}" if market is not None else ""
    shell.paragraph(f"The bid for {record.name} is {per_hour(bid)}{over}.")
    if market is not None and bid < market:
        shell.paragraph("  That is below the market: it can be taken away at any moment, and does not start.")
