"""What is wanted of a machine that is to be rented, as words of the command line: for `vm offers` and `vm new`."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Sequence

    from console.machines.offers import Trouble
    from console.machines.plans import Wanted
    from console.runtime import Runtime
    from console.settings import Machine
    from console.shell import Shell

USUAL_DISK_GB = Decimal(40)
USUAL_HOURS = Decimal(2)
MOST_OFFERS = 1000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What is not typed is None, so that the settings of a machine can say it."""
    from console.arguments import dollars, positive_count

    parser.add_argument("--gpu", metavar="NAME", help="the GPU, as in 'RTX 4090', 4090 or h100")
    parser.add_argument("--count", type=positive_count, metavar="N", help="how many of them (1)")
    parser.add_argument("--vram", type=positive, metavar="GB", help="the least GPU memory, of all GPUs together")
    parser.add_argument(
        "--max", "--max-price", dest="max", type=dollars, metavar="USD", help="the most that an hour may cost"
    )
    parser.add_argument("--region", metavar="WHERE", help="a part of the region's name, or a country code")
    parser.add_argument("--disk", type=positive, metavar="GB", help=f"the size of the disk ({USUAL_DISK_GB})")
    parser.add_argument("--spot", action="store_true", help="rented at a bid: cheaper, and lost to a higher one")
    parser.add_argument("--reliability", type=share, metavar="SHARE", help="the least, as in 0.99 or 99%%")
    parser.add_argument("--down", type=positive, metavar="MBPS", help="the least download speed of the host, in Mbit/s")
    parser.add_argument("--hours", type=positive, metavar="H", help=f"how long you will work with it ({USUAL_HOURS})")
    parser.add_argument("--kept", type=positive, metavar="H", help="how long it is kept stopped afterwards (0)")
    parser.add_argument("--recipe", metavar="NAME", help="what is set up on it: inference or images")
    parser.add_argument("--model", action="append", metavar="MODEL", help="a model for it; may be repeated")
    parser.add_argument("--cloud", action="append", metavar="NAME", help="this cloud only; may be repeated")


def positive(text: str) -> Decimal:
    import argparse

    from console.arguments import dollars

    try:
        number = dollars(text) if not text.startswith("$") else Decimal(0)
    except argparse.ArgumentTypeError:
        number = Decimal(0)
    if not 0 < number < 10_000_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above zero")
    return number


def share(text: str) -> Decimal:
    import argparse

    number = positive(text.removesuffix("%"))
    number = number / 100 if text.endswith("%") else number
    if number > 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a share such as 0.99 or 99%")
    return number


def wanted(arguments: argparse.Namespace, runtime: Runtime, own: Machine | None = None) -> Wanted:
    """What was typed, over what the settings of a machine say. Raises `SettingsError` if there is nobody to ask."""
    from console.chat.catalogue import Catalogue
    from console.machines import plans
    from console.settings import Machine

    described = own if own is not None else Machine.read({"cloud": "any"}, given={"name": "any"})
    typed = {
        "gpu": arguments.gpu,
        "count": arguments.count,
        "disk_gb": arguments.disk,
        "min_vram_gb": arguments.vram,
        "region": arguments.region,
        "spot": arguments.spot or None,
        "max_price_usd_per_hour": arguments.max,
        "recipe": arguments.recipe,
        "models": None if arguments.model is None else tuple(arguments.model),
        "at_end": getattr(arguments, "at_end", None),
        "image": getattr(arguments, "image", None),
    }
    described = described.replace(**{name: value for name, value in typed.items() if value is not None})
    if described.models and described.recipe is None:
        described = described.replace(recipe="inference")
    clouds = accounts(runtime, arguments.cloud or ([own.cloud] if own is not None else []))
    catalogue = Catalogue(runtime.settings.models)
    hours = arguments.hours or USUAL_HOURS
    found = plans.wanted_by(described, catalogue, at_end=runtime.settings.lease.at_end, clouds=clouds, hours=hours)
    return found._replace(
        search=found.search._replace(
            min_down_mbps=arguments.down, min_reliability=arguments.reliability, limit=MOST_OFFERS
        ),
        session=found.session._replace(kept_hours=arguments.kept or Decimal(0)),
        bid_usd_per_hour=getattr(arguments, "bid", None),
    )


def accounts(runtime: Runtime, named: Sequence[str]) -> list[str]:
    """The accounts to ask: those that were named, else all that rent anything."""
    from console.errors import SettingsError
    from console.machines.clouds import SSH
    from providers.clouds.base import Capability

    known = [name for name in runtime.clouds.names() if name != SSH]
    for name in named:
        if name not in known:
            hint = f"There are keys for: {', '.join(known)}." if known else f"Store one with: hawser key set {name}"
            raise SettingsError(f"There is no key for the cloud {name!r}.", hint=hint)
    renting = [name for name in named or known if Capability.OFFERS in runtime.cloud(name).capabilities]
    if not renting:
        raise SettingsError(
            "No cloud has a key, so there is nobody to rent from.",
            hint="Store one with: hawser key set vast  (or tensordock, runpod, lambda); try: hawser demo vm offers",
        )
    return renting


def unknown_sizes(wanted: Wanted, runtime: Runtime) -> list[str]:
    """Models whose size nobody knows, so that neither their memory nor their download is in what is told."""
    from console.chat.catalogue import Catalogue

    catalogue = Catalogue(runtime.settings.models)
    return [name for name in wanted.models if (found := catalogue.find(name)) is None or found.size_gb is None]


def tell_troubles(troubles: Iterable[Trouble], shell: Shell) -> None:
    for trouble in troubles:
        shell.paragraph(f"hawser: {trouble.text}" + (f" {trouble.hint}" if trouble.hint else ""))


def looser(arguments: argparse.Namespace) -> str:
    """Which wish to let go of."""
    names = ("max", "region", "reliability", "down", "vram", "gpu")
    typed = [f"--{name}" for name in names if getattr(arguments, name)]
    return f"Try without {typed[0]}." if typed else "Try another cloud, or again in a few minutes."
