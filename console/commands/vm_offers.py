"""`hawser vm offers`: what can be rented now at all clouds, ranked by what a whole session would cost.

The list is remembered for a while, so that `hawser vm new NAME 3` rents its third line.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from decimal import Decimal
    from pathlib import Path

    from console.machines.offers import Found, Quote
    from console.machines.plans import Wanted
    from console.shell import Shell

HELP = "what can be rented now, ranked by the cost of a whole session"
REMEMBERED = timedelta(hours=1)
_LEAST = ("OFFER", "DISK", "DOWN", "REGION", "READY IN", "RELIABLE")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from console.arguments import positive_count
    from console.commands import vm_wishes

    vm_wishes.add_arguments(parser)
    parser.add_argument("-n", "--limit", type=positive_count, default=20, metavar="COUNT", help="at most so many (20)")
    parser.add_argument("--all", action="store_true", help="all of them")
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(arguments: argparse.Namespace, shell: Shell) -> int:
    import asyncio

    return asyncio.run(_list(arguments, shell))


async def _list(arguments: argparse.Namespace, shell: Shell) -> int:
    from console.commands import vm_wishes
    from console.errors import Exit
    from console.machines import plans

    async with shell.runtime() as runtime:
        wanted = vm_wishes.wanted(arguments, runtime)
        found = await plans.look(wanted, runtime.offers_of, await runtime.boot_times())
        vm_wishes.tell_troubles(found.troubles, shell)
        for model in vm_wishes.unknown_sizes(wanted, runtime):
            shell.paragraph(f"hawser: Nobody knows how large {model!r} is; say its memory with --vram.")
        quotes = found.quotes if arguments.all else found.quotes[: arguments.limit]
        if not found.quotes and len(found.troubles) == len(wanted.clouds):
            return Exit.UNREACHABLE
        remember(shell.paths.cache / "offers.json", quotes, wanted, runtime.clock.now())
        if arguments.json:
            shell.items([as_json(one) for one in quotes])
        elif quotes:
            _show(shell, quotes)
            _show_choices(shell, found, quotes, wanted)
        else:
            shell.paragraph("hawser: Nothing that can be rented now is like that.")
            shell.paragraph(f"  {vm_wishes.looser(arguments)}")
    return Exit.DONE


def name_of(one: Quote) -> str:
    """What `hawser vm new` takes to mean this offer."""
    return f"{one.cloud}:{one.offer.id}"


def _show(shell: Shell, quotes: Sequence[Quote]) -> None:
    from console.commands.vm_table import columns_that_fit
    from console.machines import words

    headings = ("NO", "GPU", "PRICE", "SESSION", "READY IN", "RELIABLE", "DOWN", "DISK", "CLOUD", "REGION", "OFFER")
    rows = [
        (
            str(number),
            words.gpu(one.offer.gpu, one.offer.gpu_count, one.offer.vram_gb),
            words.per_hour(one.offer.usd_per_hour) + (" bid" if one.offer.spot else ""),
            words.usd(one.total_usd) + (" too small" if one.fits is False else ""),
            ("~" if one.is_guess else "") + words.span(one.ready_s),
            f"{one.offer.reliability:.1%}" if one.offer.reliability is not None else "?",
            f"{one.offer.down_mbps:.0f} Mb/s" if one.offer.down_mbps else "?",
            words.per_hour(one.offer.disk_usd_per_hour) if one.offer.disk_usd_per_hour else "-",
            one.cloud,
            one.offer.region or "?",
            one.offer.id,
        )
        for number, one in enumerate(quotes, 1)
    ]
    keep = columns_that_fit(shell, headings, rows, least=_LEAST)
    shell.table([headings[at] for at in keep], [[row[at] for at in keep] for row in rows])


def _show_choices(shell: Shell, found: Found, quotes: Sequence[Quote], wanted: Wanted) -> None:
    """Three ways to choose, and what the numbers mean."""
    from console.machines import words
    from console.machines.offers import suggestions

    hours = f"{wanted.session.hours.normalize():f} h"
    models = f" with {', '.join(wanted.models)}" if wanted.models else ""
    shell.note("")
    shell.paragraph(
        f"{len(quotes)} of {len(found.quotes)} offers. SESSION: boot, downloads and {hours} of work{models}."
    )
    chosen = suggestions(found.quotes)
    if chosen is None:
        shell.paragraph("The model fits into none of them. Ask for more with --vram, or --count 2.")
        return
    for word, one in chosen._asdict().items():
        number = f"no {quotes.index(one) + 1}" if one in quotes else name_of(one)
        price = f"{words.usd(one.total_usd)} for the session, ready in {words.span(one.ready_s)}"
        shell.paragraph(f"  {word + ':':<9} {number}, {words.gpu(one.offer.gpu, one.offer.gpu_count)}, {price}")
    cheapest = quotes.index(chosen.cheapest) + 1 if chosen.cheapest in quotes else 1
    shell.paragraph(f"Rent one by its number: hawser vm new NAME {cheapest}")


# The last list, for `vm new`


class Listed(NamedTuple):
    """An offer of the last list, with what it takes to find it again."""

    cloud: str
    id: str
    gpu: str
    gpu_count: int
    disk_gb: str
    spot: bool


def remember(file: Path, quotes: Sequence[Quote], wanted: Wanted, now: datetime) -> None:
    from console.paths import write_privately

    offers = [
        [one.cloud, one.offer.id, one.offer.gpu, one.offer.gpu_count, str(wanted.search.disk_gb), one.offer.spot]
        for one in quotes
    ]
    write_privately(file, json.dumps({"at": now.isoformat(), "offers": offers}).encode())


def remembered(file: Path, now: datetime) -> list[Listed]:
    """The offers of the last list in their order; none when it is old or cannot be read."""
    try:
        document = json.loads(file.read_bytes())
        if not timedelta(0) <= now - datetime.fromisoformat(document["at"]) <= REMEMBERED:
            return []
        return [Listed(*fields) for fields in document["offers"]]
    except (OSError, ValueError, TypeError, KeyError):
        return []


def as_json(one: Quote) -> dict[str, Any]:
    def number(value: Decimal | None) -> float | None:
        return None if value is None else float(value)

    offer = one.offer
    return {
        "offer": name_of(one),
        "cloud": one.cloud,
        "id": offer.id,
        "gpu": offer.gpu,
        "gpu_count": offer.gpu_count,
        "vram_gb": number(offer.vram_gb),
        "usd_per_hour": number(offer.usd_per_hour),
        "disk_usd_per_hour": number(offer.disk_usd_per_hour),
        "spot": offer.spot,
        "region": offer.region or None,
        "host": offer.host or None,
        "down_mbps": number(offer.down_mbps),
        "up_mbps": number(offer.up_mbps),
        "usd_per_gb_down": number(offer.usd_per_gb_down),
        "usd_per_gb_up": number(offer.usd_per_gb_up),
        "reliability": number(offer.reliability),
        "disk_gb": number(offer.disk_gb),
        "cpus": number(offer.cpus),
        "ram_gb": number(offer.ram_gb),
        "available": offer.available,
        "session_usd": round(float(one.total_usd), 6),
        "ready_s": round(one.ready_s, 1),
        "fits": one.fits,
    }
