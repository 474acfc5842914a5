"""`hawser cost`: what was spent in a month, in groups, and how the budget stands."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date
    from decimal import Decimal

    from console.history.books import Grouping, Spent, Total
    from console.shell import Shell

HELP = "what was spent, by machine, model, endpoint or day"
GROUPINGS: Sequence[Grouping] = ("machine", "model", "endpoint", "day")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--by", choices=GROUPINGS, default="model", help="how to group the calls (default: model)")
    parser.add_argument("--month", metavar="YYYY-MM", type=_month, help="a month of your calendar (default: this one)")
    parser.add_argument("--json", action="store_true", help="as JSON, with every amount to six places")


def run(arguments: argparse.Namespace, shell: Shell) -> int:
    import asyncio

    groups, budget, month = asyncio.run(_collect(shell, arguments.by, arguments.month))
    if arguments.json:
        _show_json(shell, arguments.by, groups, budget, month)
    else:
        _show(shell, arguments.by, groups, budget, month)
    return 0


async def _collect(
    shell: Shell, by: Grouping, month: date | None
) -> tuple[list[Total], list[tuple[str, Spent, Decimal]], date]:
    from console.history import books
    from console.money.budget import Budget
    from console.money.days import month_of

    async with shell.runtime() as runtime:
        store = await runtime.store()
        shown = month or runtime.clock.now().astimezone().date()
        since, until = month_of(shown)
        groups = await store.run(lambda connection: books.totals(connection, since, until, by))
        return groups, await Budget(runtime.settings.budget, store, runtime.clock).spent(), shown


def _show(
    shell: Shell, by: Grouping, groups: list[Total], budget: list[tuple[str, Spent, Decimal]], month: date
) -> None:
    from console.money.budget import usd

    if not groups:
        shell.say(f"Nothing was asked in {month:%B %Y}.")
    else:
        rows = [_row(group.key or "-", group) for group in groups]
        if len(groups) > 1:
            rows.append(_row("total", _sum(groups)))
        shell.table([by, "calls", "tokens in", "tokens out", "cost"], rows)
        estimated = sum(group.estimated_calls for group in groups)
        if estimated:
            shell.say(f"~ holds {estimated:,} with tokens that were estimated, not reported.")
        shell.say()
    lines = []
    for when, spent, limit_usd in budget:
        booked = spent.known_usd - spent.reserved_usd
        share = f" ({booked * 100 / limit_usd:.0f} %)" if limit_usd else ""
        unknown = f" + {spent.unknown_calls:,} unknown" if spent.unknown_calls else ""
        aside = f", {usd(spent.reserved_usd)} reserved" if spent.reserved_usd else ""
        lines.append(f"{usd(booked)}{unknown} of {usd(limit_usd)} {when}{share}{aside}")
    shell.say(f"Budget: {'; '.join(lines)}.")


def _row(key: str, group: Total) -> list[str]:
    from console.money.budget import usd

    about = "~" if group.estimated_calls else ""
    cost = usd(group.known_usd) if not group.known_usd else about + usd(group.known_usd)
    if group.unknown_calls:
        cost = f"≥ {usd(group.known_usd)} + {group.unknown_calls:,} unknown"
    return [key, f"{group.calls:,}", f"{about}{group.input_tokens:,}", f"{about}{group.output_tokens:,}", cost]


def _sum(groups: list[Total]) -> Total:
    from decimal import Decimal

    from console.history.books import Total

    return Total(
        "total",
        sum(group.calls for group in groups),
        sum(group.input_tokens for group in groups),
        sum(group.output_tokens for group in groups),
        sum((group.known_usd for group in groups), Decimal(0)),
        sum(group.unknown_calls for group in groups),
        sum(group.estimated_calls for group in groups),
    )


def _show_json(
    shell: Shell, by: Grouping, groups: list[Total], budget: list[tuple[str, Spent, Decimal]], month: date
) -> None:
    from console.shell import SCHEMA

    items = [
        {
            by: group.key,
            "calls": group.calls,
            "input_tokens": group.input_tokens,
            "output_tokens": group.output_tokens,
            "known_cost_usd": float(group.known_usd),
            "unknown_cost_calls": group.unknown_calls,
            "estimated_calls": group.estimated_calls,
        }
        for group in groups
    ]
    spans = {
        name: {
            "spent_usd": float(spent.known_usd - spent.reserved_usd),
            "reserved_usd": float(spent.reserved_usd),
            "unknown_cost_calls": spent.unknown_calls,
            "limit_usd": float(limit_usd),
        }
        for name, (_, spent, limit_usd) in zip(("day", "month"), budget, strict=True)
    }
    shell.json({"schema": SCHEMA, "month": f"{month:%Y-%m}", "by": by, "items": items, "budget": spans})


def _month(text: str) -> date:
    from datetime import date

    try:
        if len(text) != 7:
            raise ValueError(text)
        return date.fromisoformat(f"{text}-01")
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a month such as 2026-11") from None
