"""`hawser cost plan`: hours of machines and use of APIs, turned into a month's dollars, one tier beside the other."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from decimal import Decimal

    from console.money.plan import PlannedApi, PlannedMachine, Tier
    from console.runtime import Runtime
    from console.shell import Shell

_MOST = 1_000_000_000_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "MACHINE is NAME=HOURS[,HOURS…][@USD_PER_HOUR[/USD_PER_HOUR_STOPPED]]: the hours in a month, one number for"
        " each tier, as in gpu1=35,60,90@0.35. A machine that is known needs no price."
    )
    parser.add_argument("machines", nargs="*", metavar="MACHINE", help="a machine with its hours in a month")
    parser.add_argument(
        "--api",
        action="append",
        default=[],
        metavar="ENDPOINT/MODEL=IN/OUT",
        help="tokens in and out in a month, as in openai/gpt-4.1=2M/500k[,4M/1M…]; or NAME=$USD[,$USD…]",
    )


async def run(arguments: argparse.Namespace, shell: Shell) -> int:
    from console.money.plan import plan

    async with shell.runtime() as runtime:
        machines = [await _machine(runtime, text) for text in arguments.machines]
        apis = [await _api(runtime, text) for text in arguments.api]
        limit_usd = runtime.settings.budget.month_usd
    tiers = plan(machines, apis)
    if arguments.json or arguments.csv:
        items = [_item(machines, tier, number, limit_usd) for number, tier in enumerate(tiers, 1)]
        if arguments.json:
            shell.items(items)
        else:
            from console.commands.cost import write_csv

            write_csv(shell, [{**item, "hours": " + ".join(map(str, item["hours"].values()))} for item in items])
        return 0
    _show(shell, machines, tiers, limit_usd)
    return 0


def _show(shell: Shell, machines: list[PlannedMachine], tiers: list[Tier], limit_usd: Decimal) -> None:
    from console.money.budget import usd
    from console.money.plan import whole_dollars

    with_apis = any(tier.apis_usd for tier in tiers)
    headings = ["tier", *(f"{machine.name} h" for machine in machines), "machines"]
    shell.table(
        [*headings, *(["apis", "month"] if with_apis else []), "year"],
        [
            [
                str(number),
                *(f"{hours:f}" for hours in tier.hours),
                whole_dollars(tier.machines_usd),
                *([whole_dollars(tier.apis_usd), whole_dollars(tier.month_usd)] if with_apis else []),
                whole_dollars(tier.month_usd * 12),
            ]
            for number, tier in enumerate(tiers, 1)
        ],
    )
    over = [str(number) for number, tier in enumerate(tiers, 1) if tier.month_usd > limit_usd]
    if over:
        word = "Tier" if len(over) == 1 else "Tiers"
        shell.say(f"{word} {', '.join(over)}: over the month's budget of {usd(limit_usd)}.")


def _item(machines: list[PlannedMachine], tier: Tier, number: int, limit_usd: Decimal) -> dict[str, Any]:
    return {
        "tier": number,
        "hours": {machine.name: float(hours) for machine, hours in zip(machines, tier.hours, strict=True)},
        "machines_usd": float(tier.machines_usd),
        "apis_usd": float(tier.apis_usd),
        "month_usd": float(tier.month_usd),
        "year_usd": float(tier.month_usd * 12),
        "within_budget": tier.month_usd <= limit_usd,
    }


async def _machine(runtime: Runtime, text: str) -> PlannedMachine:
    from decimal import Decimal

    from console.errors import UsageError
    from console.history.meters import last_price
    from console.money.plan import PlannedMachine

    name, equals, rest = text.partition("=")
    written, at, prices = rest.partition("@")
    if not name or not equals:
        raise UsageError(f"{text!r} is not a machine with its hours.", hint="As in gpu1=35,60,90@0.35")
    hours = _numbers(written, text, most=744)
    if at:
        running, slash, stopped = prices.partition("/")
        (price,) = _numbers(running, text, most=10_000, one=True)
        (price_stopped,) = _numbers(stopped, text, most=10_000, one=True) if slash else (Decimal(0),)
        return PlannedMachine(name, hours, price, price_stopped)
    setting = runtime.settings.machines.get(name)
    if setting is not None and setting.usd_per_month is not None:
        return PlannedMachine(name, hours, usd_per_month=setting.usd_per_month)
    if setting is not None and setting.usd_per_hour is not None:
        return PlannedMachine(name, hours, setting.usd_per_hour)
    store = await runtime.store()
    known = await store.run(lambda connection: last_price(connection, name))
    if known is not None:
        return PlannedMachine(name, hours, *known)
    raise UsageError(f"The price of {name!r} is not known.", hint=f"Say it: {name}={written}@0.35")


async def _api(runtime: Runtime, text: str) -> PlannedApi:
    from console.errors import PriceUnknown, UsageError
    from console.money.ledger import cost_of
    from console.money.plan import PlannedApi
    from console.money.prices import Prices
    from providers.chat.base import Usage

    target, equals, rest = text.partition("=")
    if not target or not equals or not rest:
        raise UsageError(
            f"{text!r} is not an API with its use in a month.", hint="As in openai/gpt-4.1=2M/500k or openai=$10"
        )
    parts = rest.split(",")
    if all(part.startswith("$") for part in parts):
        return PlannedApi(target, _numbers(rest.replace("$", ""), text, most=1_000_000))
    name, _, model = target.partition("/")
    prices = Prices(runtime.settings.prices)
    store = await runtime.store()
    prices.learn(name, await store.models_seen(name))
    price = prices.price(runtime.settings.endpoint_or_shipped(name), model)
    if price is None:
        raise PriceUnknown(
            f"The price of {target!r} is not known.", hint=f"Say what it comes to in a month: {target}=$10"
        )
    amounts = []
    for part in parts:
        asked, slash, answered = part.partition("/")
        if not slash:
            raise UsageError(f"{part!r} is not tokens in and out.", hint="As in 2M/500k")
        # A month's tokens come in calls of usual length, so the dearer price of very long prompts does not apply.
        usual = price._replace(long_above_tokens=None)
        cost = cost_of(Usage(_tokens(asked, text), _tokens(answered, text)), usual)
        assert cost is not None  # both counts are given
        amounts.append(cost)
    return PlannedApi(target, tuple(amounts))


def _numbers(written: str, text: str, *, most: int, one: bool = False) -> tuple[Decimal, ...]:
    from decimal import Decimal

    from console.errors import UsageError
    from console.money.plan import MOST_TIERS

    parts = written.split(",")
    try:
        numbers = tuple(Decimal(part.strip()) for part in parts)
    except ArithmeticError:
        numbers = ()
    fit = all(number.is_finite() and 0 <= number <= most for number in numbers)
    if not numbers or not fit or len(numbers) > (1 if one else MOST_TIERS):
        raise UsageError(f"{written!r} in {text!r} is not a number, or a list of them, from 0 to {most:,}.")
    return numbers


def _tokens(written: str, text: str) -> int:
    from decimal import Decimal

    from console.errors import UsageError

    factors = {"k": 1_000, "m": 1_000_000, "b": 1_000_000_000}
    digits = written.strip().lower()
    factor = factors.get(digits[-1:], 1)
    try:
        count = Decimal(digits[:-1] if factor > 1 else digits) * factor
    except ArithmeticError:
        count = Decimal(-1)
    if not count.is_finite() or not 0 <= count <= _MOST:
        raise UsageError(f"{written!r} in {text!r} is not a number of tokens such as 500k or 2M.")
    return int(count)
