"""`hawser vm new`: rents a machine, after saying what it costs, what ends it and when."""

from __future__ import annotations

from decimal import ROUND_UP, Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from console.machines.offers import Quote
    from console.machines.plans import Wanted
    from console.machines.records import MachineRecord
    from console.runtime import Runtime
    from console.shell import Shell

HELP = "rent a machine: hawser vm new NAME --gpu 'RTX 4090'"
MARGIN = Decimal("1.1")
"""A bid that nobody named is so much above the least one."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from console.arguments import dollars
    from console.commands import vm_power, vm_wishes

    parser.add_argument("name", metavar="NAME", help="what it will be called; [machines.NAME] may say what it is")
    parser.add_argument(
        "offer",
        nargs="?",
        metavar="OFFER",
        help="a number of the last `vm offers`, or CLOUD:ID; else the best is taken",
    )
    vm_wishes.add_arguments(parser)
    parser.add_argument("--bid", type=dollars, metavar="USD", help="what to bid per hour; implies --spot")
    parser.add_argument("--image", metavar="IMAGE", help="the container image, where the cloud runs containers")
    parser.add_argument(
        "--at-end",
        choices=("stop", "destroy", "nothing"),
        help="what ends it when it is idle or its lease is over (stop)",
    )
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")
    vm_power.add_waiting(parser, "wait until it runs and its recipe is done")
    vm_power.add_coming_up(parser)
    parser.add_argument("--json", action="store_true", help="the machine as JSON")


def run(arguments: argparse.Namespace, shell: Shell) -> int:
    import asyncio

    return asyncio.run(_rent(arguments, shell))


async def rent_as_written(name: str, given: argparse.Namespace, shell: Shell) -> int:
    """For `vm up`: rent a machine as the settings describe it, asking as `vm new` does."""
    import argparse

    parser = argparse.ArgumentParser()
    add_arguments(parser)
    arguments = parser.parse_args([name])
    for option in ("yes", "wait", "or_next", "timeout", "json"):
        setattr(arguments, option, getattr(given, option))
    return await _rent(arguments, shell)


async def _rent(arguments: argparse.Namespace, shell: Shell) -> int:
    from console.commands import vm_power, vm_wishes
    from console.errors import Exit, MachineBusy, NotFound, UsageError
    from console.machines import plans

    async with shell.runtime() as runtime:
        fleet = await runtime.fleet()
        own = runtime.settings.machines.get(arguments.name)
        if own is not None and own.cloud == "ssh":
            raise UsageError(
                f"{arguments.name!r} stands in the settings as a machine of your own.", hint="Choose another name."
            )
        try:
            record = await fleet.machine(arguments.name)
        except NotFound:
            pass
        else:
            hint = f"Start it with: hawser vm up {record.name}" if record.state == "stopped" else "Choose another name."
            raise MachineBusy(f"There is a machine {record.name!r} already; it is {record.state}.", hint=hint)
        _take_over_offer(arguments, shell, runtime)
        wanted = vm_wishes.wanted(arguments, runtime, own)
        wanted = _without_those_that_cannot_stop(wanted, arguments, runtime, shell)
        found = await plans.look(wanted, runtime.offers_of, await runtime.boot_times())
        vm_wishes.tell_troubles(found.troubles, shell)
        if not found.quotes and len(found.troubles) == len(wanted.clouds):
            return Exit.UNREACHABLE
        quote = _named(arguments, found.quotes, wanted) if arguments.offer else plans.best(found, wanted)
        wanted = _with_bid(wanted, quote)
        plan = plans.order(quote, wanted, runtime.cloud(quote.cloud))
        if plan.bid_usd_per_hour is None and quote.offer.spot:
            plan = plan._replace(bid_usd_per_hour=wanted.bid_usd_per_hour)
        await _ask(arguments, quote, wanted, runtime, shell)
        record = await fleet.launch(arguments.name, plan, why="hawser vm new")
        if not arguments.json:
            shell.paragraph(f"Rented: {record.name} is {record.cloud_id} at {record.cloud}, and comes up.")
        if arguments.wait:
            record = await vm_power.bring_up(record.name, arguments, runtime, shell)
        await _tell_rented(record, wanted, own is not None, arguments, runtime, shell)
    return 0


def _take_over_offer(arguments: argparse.Namespace, shell: Shell, runtime: Runtime) -> None:
    """What is known of a named offer becomes what is searched for, so that it is found again."""
    from console.commands.vm_offers import remembered
    from console.errors import UsageError

    if arguments.bid is not None:
        arguments.spot = True
    if not arguments.offer:
        return
    listed = remembered(shell.paths.cache / "offers.json", runtime.clock.now())
    if arguments.offer.isdecimal():
        number = int(arguments.offer)
        if not 1 <= number <= len(listed):
            raise UsageError(
                f"There is no offer number {number} in a list of the last hour.",
                hint="List them again with: hawser vm offers",
            )
        known = listed[number - 1]
        arguments.offer = f"{known.cloud}:{known.id}"
    cloud, colon, cloud_id = arguments.offer.partition(":")
    if not colon:
        raise UsageError(
            f"{arguments.offer!r} is not an offer.", hint="Write CLOUD:ID, or a number of the last `hawser vm offers`."
        )
    arguments.cloud = [cloud]
    for known in listed:
        if (known.cloud, known.id) == (cloud, cloud_id):
            arguments.gpu, arguments.count = known.gpu, arguments.count or known.gpu_count
            arguments.spot = arguments.spot or known.spot
            arguments.disk = arguments.disk or Decimal(known.disk_gb)
            break


def _without_those_that_cannot_stop(
    wanted: Wanted, arguments: argparse.Namespace, runtime: Runtime, shell: Shell
) -> Wanted:
    """Clouds that can only destroy are for those who said that they want that."""
    from console.errors import CloudCannot
    from providers.clouds.base import Capability

    if wanted.at_end != "stop":
        return wanted
    stopping = [name for name in wanted.clouds if Capability.STOP in runtime.cloud(name).capabilities]
    left_out = ", ".join(name for name in wanted.clouds if name not in stopping)
    if left_out and not stopping:
        raise CloudCannot(
            f"{left_out} cannot stop machines, only destroy them with all that is on them.",
            hint="If that is how it may end, say so: --at-end destroy",
        )
    if left_out and not arguments.json:
        shell.paragraph(
            f"hawser: {left_out} is left out, because it cannot stop machines; --at-end destroy takes it in."
        )
    return wanted._replace(clouds=tuple(stopping))


def _named(arguments: argparse.Namespace, quotes: list[Quote], wanted: Wanted) -> Quote:
    from console.commands.vm_offers import name_of
    from console.errors import GivenUp

    for quote in quotes:
        if name_of(quote) == arguments.offer:
            return quote
    ceiling = wanted.ceiling_usd_per_hour
    limit = f" for at most ${ceiling} an hour" if ceiling is not None else ""
    raise GivenUp(
        f"The offer {arguments.offer!r} is not to be had now{limit}.",
        hint="Somebody may have taken it. See: hawser vm offers",
    )


def _with_bid(wanted: Wanted, quote: Quote) -> Wanted:
    if not quote.offer.spot or wanted.bid_usd_per_hour is not None:
        return wanted
    bid = (quote.offer.usd_per_hour * MARGIN).quantize(Decimal("0.0001"), ROUND_UP)
    if wanted.ceiling_usd_per_hour is not None:
        bid = min(bid, wanted.ceiling_usd_per_hour)
    return wanted._replace(bid_usd_per_hour=bid)


async def _ask(arguments: argparse.Namespace, quote: Quote, wanted: Wanted, runtime: Runtime, shell: Shell) -> None:
    """Say what it will cost and what ends it, and go on only with a yes. A budget says its no before that."""
    from datetime import timedelta

    from console.commands import vm_wishes
    from console.errors import UsageError
    from console.machines import consequences, words
    from console.machines.lease import Limits

    budget = await runtime.budget()
    price = wanted.bid_usd_per_hour if quote.offer.spot else quote.offer.usd_per_hour
    notices = await budget.allow_machine(price, machine=arguments.name)
    own, settings = runtime.settings.machines.get(arguments.name), runtime.settings
    idle = own.stop_after_min if own is not None and own.stop_after_min is not None else settings.idle.stop_after_min
    hard = own.hard_h if own is not None and own.hard_h is not None else settings.lease.hard_h
    limits = Limits(
        None if idle == "off" else timedelta(minutes=float(idle)), timedelta(hours=float(hard)), wanted.at_end
    )
    for line in consequences.of_renting(arguments.name, quote.cloud, quote.offer, wanted, limits, runtime.clock.now()):
        shell.paragraph(line)
    stands = [f"{words.usd(sum_.known_usd)} of {words.usd(limit)} {when}" for when, sum_, limit in await budget.spent()]
    shell.paragraph(f"  Spent so far: {', '.join(stands)}.")
    for notice in notices:
        shell.paragraph(f"  {notice}")
    for model in vm_wishes.unknown_sizes(wanted, runtime):
        shell.paragraph(f"  Nobody knows how large {model!r} is, so nobody checked that it fits.")
    if arguments.yes:
        return
    if not shell.is_interactive():
        raise UsageError("Renting costs money, and there is no terminal to ask on.", hint="Say --yes to go ahead.")
    if not shell.confirm("Rent it?"):
        raise UsageError("Nothing was rented.")


async def _tell_rented(
    record: MachineRecord,
    wanted: Wanted,
    is_written: bool,
    arguments: argparse.Namespace,
    runtime: Runtime,
    shell: Shell,
) -> None:
    from console.commands import vm_power

    if arguments.json:
        await vm_power.show_json(record.name, runtime, shell)
        return
    if arguments.wait:
        shell.paragraph(f"{record.name} is {record.state}. A shell there: hawser vm ssh {record.name}")
    else:
        shell.paragraph(f"  Follow it with: hawser vm up {record.name} --wait   or: hawser vm ls")
    if is_written:
        return
    shell.paragraph(
        "  It is remembered here. To rent the like of it by this name again, write with hawser config edit:"
    )
    for line in _as_settings(record, wanted):
        shell.note(f"    {line}")


def _as_settings(record: MachineRecord, wanted: Wanted) -> list[str]:
    """The table that describes it, for those who want to write it down."""
    import json

    search = wanted.search
    lines = [
        f"[machines.{json.dumps(record.name) if '.' in record.name else record.name}]",
        f'cloud = "{record.cloud}"',
    ]
    lines.append(f"gpu = {json.dumps(record.order.get('gpu') or search.gpu or '')}")
    if search.gpu_count != 1:
        lines.append(f"count = {search.gpu_count}")
    lines.append(f"disk_gb = {search.disk_gb.normalize():f}")
    if wanted.ceiling_usd_per_hour is not None:
        lines.append(f"max_price_usd_per_hour = {wanted.ceiling_usd_per_hour}")
    if search.spot:
        lines.append("spot = true")
    if wanted.recipe is not None:
        lines.append(f'recipe = "{wanted.recipe.name}"')
    if wanted.models:
        lines.append(f"models = {json.dumps(list(wanted.models))}")
    if wanted.at_end != "stop":
        lines.append(f'at_end = "{wanted.at_end}"')
    return lines
