"""`hawser vm offers`: what can be rented now at all clouds, ranked by what a whole session would cost."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Sequence

    from console.machines.offers import Found, Quote, Trouble
    from console.machines.search import Rentable
    from console.runtime import Runtime
    from console.settings import Settings
    from console.shell import Shell
    from providers.clouds.base import Search

HELP = "what can be rented now, ranked by the cost of a whole session"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from console.arguments import positive_count

    add_wishes(parser)
    parser.add_argument("-n", "--limit", type=positive_count, default=20, metavar="COUNT", help="at most so many (20)")
    parser.add_argument("--all", action="store_true", help="all of them")
    parser.add_argument("--json", action="store_true", help="as JSON")


def add_wishes(parser: argparse.ArgumentParser) -> None:
    """What is wanted of an offer; `vm new` takes the same. What is not typed is None, so that settings can say it."""
    from console.arguments import dollars, positive_count

    parser.add_argument("--gpu", metavar="NAME", help="the GPU, as in 'RTX 4090', 4090 or h100")
    parser.add_argument("--count", type=positive_count, metavar="N", help="how many of them (1)")
    parser.add_argument("--vram", type=amount, metavar="GB", help="the least GPU memory, of all GPUs together")
    parser.add_argument("--max", type=dollars, metavar="USD", help="the most that an hour may cost")
    parser.add_argument("--region", metavar="WHERE", help="a part of the region's name, or a country code")
    parser.add_argument("--disk", type=amount, metavar="GB", help="the size of the disk (40)")
    parser.add_argument("--spot", action="store_true", help="rented at a bid: cheaper, and lost to a higher one")
    parser.add_argument("--reliability", type=share, metavar="SHARE", help="the least, as in 0.99 or 99%%")
    parser.add_argument("--down", type=amount, metavar="MBPS", help="the least download speed of the host, in Mbit/s")
    parser.add_argument("--hours", type=amount, default=Decimal(2), metavar="H", help="how long you will work (2)")
    parser.add_argument(
        "--kept", type=amount, default=Decimal(0), metavar="H", help="how long it is kept stopped afterwards (0)"
    )
    parser.add_argument(
        "--model", action="append", metavar="MODEL", help="what is to run on it; asks for its memory and download"
    )
    parser.add_argument("--cloud", action="append", metavar="NAME", help="this cloud only; may be repeated")


def amount(text: str) -> Decimal:
    import argparse
    from decimal import InvalidOperation

    try:
        number = Decimal(text)
    except InvalidOperation:
        number = Decimal(-1)
    if not number.is_finite() or not 0 <= number < 10_000_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not an amount")
    return number


def share(text: str) -> Decimal:
    import argparse

    number = amount(text.removesuffix("%"))
    number = number / 100 if text.endswith("%") or number > 1 else number
    if number > 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a share such as 0.99 or 99%")
    return number


def wishes(arguments: argparse.Namespace) -> Search:
    from providers.clouds.base import Search

    return Search(
        gpu=arguments.gpu,
        gpu_count=arguments.count or 1,
        disk_gb=arguments.disk if arguments.disk is not None else Decimal(40),
        min_vram_gb=arguments.vram,
        max_usd_per_hour=arguments.max,
        min_down_mbps=arguments.down,
        min_reliability=arguments.reliability,
        region=arguments.region,
        spot=arguments.spot,
        limit=1000,
    )


def run(arguments: argparse.Namespace, shell: Shell) -> int:
    import asyncio

    return asyncio.run(_list(arguments, shell))


async def rentable(runtime: Runtime) -> Rentable:
    from console.chat.catalogue import Catalogue
    from console.machines.search import Rentable

    return Rentable(runtime.clouds.names, runtime.cloud, await runtime.store(), Catalogue(runtime.settings.models))


async def _list(arguments: argparse.Namespace, shell: Shell) -> int:
    async with shell.runtime() as runtime:
        offered = await rentable(runtime)
        accounts = offered.accounts(arguments.cloud or ())
        session = offered.session(arguments.hours, arguments.model or (), kept_hours=arguments.kept)
        found = await offered.find(accounts, wishes(arguments), session)
        tell_troubles(found.troubles, shell)
        if not found.quotes and len(found.troubles) == len(accounts):
            return 4
        quotes = found.quotes if arguments.all or arguments.json else found.quotes[: arguments.limit]
        if arguments.json:
            shell.items([as_json(one) for one in quotes[: None if arguments.all else arguments.limit]])
        elif quotes:
            show(shell, quotes, runtime.settings)
            _show_choices(shell, found, len(quotes), arguments)
        else:
            shell.note("hawser: Nothing that can be rented now is like that.")
            shell.note(f"  {looser(arguments)}")
    return 0


def tell_troubles(troubles: Iterable[Trouble], shell: Shell) -> None:
    for trouble in troubles:
        shell.note(f"hawser: {trouble.text}" + (f" {trouble.hint}" if trouble.hint else ""))


def looser(arguments: argparse.Namespace) -> str:
    """Which wish to let go of."""
    typed = [f"--{name}" for name in ("max", "region", "reliability", "down", "vram", "gpu") if getattr(arguments, name)]
    return f"Try without {typed[0]}." if typed else "Try another cloud, or again in a few minutes."


def name_of(one: Quote) -> str:
    """What `hawser vm new` takes to mean this offer."""
    return f"{one.cloud}:{one.offer.id}"


def show(shell: Shell, quotes: Sequence[Quote], settings: Settings) -> None:
    from console.machines import words

    headings = ("OFFER", "GPU", "PRICE", "SESSION", "READY IN", "DOWN", "RELIABLE", "DISK", "REGION")
    rows = [
        (
            name_of(one) if " " not in name_of(one) else f"'{name_of(one)}'",
            words.gpu(one.offer.gpu, one.offer.gpu_count, one.offer.vram_gb),
            words.per_hour(one.offer.usd_per_hour) + (" bid" if one.offer.spot else ""),
            words.usd(one.total_usd) + (" too small" if one.fits is False else ""),
            ("~" if one.is_guess else "") + words.span(one.ready_s),
            f"{one.offer.down_mbps:.0f} Mb/s" if one.offer.down_mbps else "?",
            f"{one.offer.reliability:.1%}" if one.offer.reliability is not None else "?",
            words.per_hour(one.offer.disk_usd_per_hour) if one.offer.disk_usd_per_hour else "-",
            one.offer.region or "?",
        )
        for one in quotes
    ]
    keep = _columns_that_fit(shell, headings, rows)
    shell.table([headings[at] for at in keep], [[row[at] for at in keep] for row in rows])


def _columns_that_fit(shell: Shell, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[int]:
    from console.commands.vm_table import columns_that_fit

    return columns_that_fit(shell, headings, rows, least=("DISK", "DOWN", "RELIABLE", "REGION", "READY IN"))


def _show_choices(shell: Shell, found: Found, shown: int, arguments: argparse.Namespace) -> None:
    """Three ways to choose, and what the numbers mean."""
    from console.machines import words
    from console.machines.offers import suggestions

    hours = f"{arguments.hours.normalize():f} h"
    models = f" with {', '.join(arguments.model)}" if arguments.model else ""
    shell.note(f"\n{shown} of {len(found.quotes)} offers. SESSION is boot, download and {hours} of work{models}.")
    chosen = suggestions(found.quotes)
    if chosen is None:
        shell.note("The model fits into none of them. Try more --vram, or --count 2.")
        return
    for word, one in chosen._asdict().items():
        price = f"{words.usd(one.total_usd)} for the session, ready in {words.span(one.ready_s)}"
        shell.note(f"  {word:<9} {name_of(one)}  {words.gpu(one.offer.gpu, one.offer.gpu_count)}, {price}")
    shell.note(f"Rent one with: hawser vm new NAME '{name_of(chosen.cheapest)}'")


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
