"""`hawser cost`: what was spent in a month, in groups; how the budget stands, and until when it lasts."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence
    from datetime import date, datetime
    from decimal import Decimal

    from console.history.books import Grouping, Reconciliation, Spent, Total
    from console.money.compare import Comparison
    from console.money.forecast import Forecast
    from console.money.ledger import LedgerEntry
    from console.money.verdicts import BudgetVerdict
    from console.runtime import Runtime
    from console.shell import Shell

HELP = "what was spent, by machine, model, endpoint or day; plan"
GROUPINGS: Sequence[Grouping] = ("machine", "model", "endpoint", "day")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--by", choices=GROUPINGS, default="model", help="how to group the calls (default: model)")
    parser.add_argument("--month", metavar="YYYY-MM", type=_month, help="a month of your calendar (default: this one)")
    parser.add_argument(
        "--compare", metavar="ENDPOINT/MODEL", help="what the tokens of your machines would have cost there"
    )
    _add_formats(parser)
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    plan = actions.add_parser("plan", help="what hours of machines and use of APIs come to in a month")
    from console.commands import cost_plan

    cost_plan.add_arguments(plan)
    _add_formats(plan, default=argparse.SUPPRESS)  # what was said before the word counts as well


def _add_formats(parser: argparse.ArgumentParser, *, default: object = False) -> None:
    formats = parser.add_mutually_exclusive_group()
    formats.add_argument("--json", action="store_true", default=default, help="as JSON, with amounts to six places")
    formats.add_argument("--csv", action="store_true", default=default, help="as CSV, for a spreadsheet")


def run(arguments: argparse.Namespace, shell: Shell) -> int:
    import asyncio

    if arguments.action == "plan":
        from console.commands import cost_plan

        return asyncio.run(cost_plan.run(arguments, shell))
    found = asyncio.run(_collect(shell, arguments.by, arguments.month, arguments.compare))
    if arguments.json:
        _show_json(shell, found)
    elif arguments.csv:
        _show_csv(shell, found)
    else:
        _show(shell, found)
    return 0


class _Compared(NamedTuple):
    target: str
    month: Comparison
    last_days: Comparison


class _Found(NamedTuple):
    by: Grouping
    month: date
    now: datetime
    groups: list[Total]
    budget: list[tuple[str, Spent, Decimal]]
    verdicts: list[BudgetVerdict]
    forecast: Forecast
    reconciliations: list[Reconciliation]
    projected_usd: Decimal | None
    compared: _Compared | None


async def _collect(shell: Shell, by: Grouping, month: date | None, target: str | None) -> _Found:
    from console.history import books
    from console.money.days import month_of
    from console.money.forecast import projected_month

    async with shell.runtime() as runtime:
        store, budget, now = await runtime.store(), await runtime.budget(), runtime.clock.now()
        shown = month or now.astimezone().date()
        since, until = month_of(shown)
        groups = await store.run(lambda connection: books.totals(connection, since, until, by))
        total = _sum(groups).known_usd
        return _Found(
            by,
            shown,
            now,
            groups,
            await budget.spent(),
            await budget.verdict(),
            await budget.forecast(),
            await store.run(lambda connection: books.reconciliations(connection, since, until)),
            projected_month(total, now, since, until) if since <= now else None,
            None if target is None else await _compare(runtime, target, since, until),
        )


async def _compare(runtime: Runtime, target: str, since: datetime, until: datetime) -> _Compared:
    from datetime import timedelta

    from console.errors import PriceUnknown, UsageError
    from console.history import books
    from console.money.compare import DAYS, compare
    from console.money.meter import unbooked_lines
    from console.money.prices import Prices

    name, slash, model = target.partition("/")
    if not slash or not model:
        raise UsageError(f"{target!r} is not an endpoint and a model.", hint="For example: --compare openai/gpt-4.1")
    store = await runtime.store()
    prices = Prices(runtime.settings.prices)
    prices.learn(name, await store.models_seen(name))
    price = prices.price(runtime.settings.endpoint_or_shipped(name), model)
    if price is None:
        raise PriceUnknown(
            f"The price of {target!r} is not known.", hint=f'Set it in the settings, as [prices."{target}"].'
        )
    if price.is_free:
        raise UsageError(f"{target!r} costs nothing, so there is nothing to compare with.")
    now = runtime.clock.now()

    def look(connection: sqlite3.Connection) -> tuple[list[LedgerEntry], list[LedgerEntry]]:
        waiting = unbooked_lines(connection)
        month = [*books.entries(connection, since, until), *(line for line in waiting if since <= line.at < until)]
        return month, [*books.entries(connection, now - timedelta(days=DAYS), now), *waiting]

    of_month, of_days = await store.run(look)
    return _Compared(target, compare(of_month, price), compare(of_days, price))


def _show(shell: Shell, found: _Found) -> None:
    from console.money.budget import usd
    from console.money.forecast import sentences

    groups = found.groups
    with_hours = any(group.gpu_hours or group.machine_usd for group in groups)
    if not groups:
        shell.say(f"Nothing was asked in {found.month:%B %Y}.")
    else:
        rows = [_row(group.key or _no_key(found.by), group, with_hours) for group in groups]
        if len(groups) > 1:
            rows.append(_row("total", _sum(groups), with_hours))
        hours = ["gpu hours"] if with_hours else []
        shell.table([found.by, "calls", "tokens in", "tokens out", *hours, "cost"], rows)
        total = _sum(groups)
        if total.estimated_calls:
            shell.say(f"~ holds {total.estimated_calls:,} with tokens that were estimated, not reported.")
        if total.estimated_usd:
            shell.say(f"~ holds {usd(total.estimated_usd)} of machine time between readings that lie far apart.")
        for line in _reconciled(found.reconciliations, total):
            shell.say(line)
        shell.say()
    lines = []
    for when, spent, limit_usd in found.budget:
        booked = spent.known_usd - spent.reserved_usd
        share = f" ({booked * 100 / limit_usd:.0f} %)" if limit_usd else ""
        unknown = f" + {spent.unknown_calls:,} unknown" if spent.unknown_calls else ""
        aside = f", {usd(spent.reserved_usd)} reserved" if spent.reserved_usd else ""
        lines.append(f"{usd(booked)}{unknown} of {usd(limit_usd)} {when}{share}{aside}")
    shell.say(f"Budget: {'; '.join(lines)}.")
    for line in sentences(found.forecast, found.now):
        shell.say(line)
    if found.projected_usd:
        shell.say(f"At this pace {found.month:%B} comes to {usd(found.projected_usd)}.")
    if found.compared is not None:
        from console.money import compare

        shell.say()
        for comparison, when in (
            (found.compared.month, f"{found.month:%B %Y}"),
            (found.compared.last_days, compare.last_days(found.now.astimezone())),
        ):
            for line in compare.sentences(comparison, found.compared.target, when):
                shell.say(line)
        days = found.compared.last_days.break_even_days()
        if days is not None:
            pays = "is earned back after" if days <= compare.DAYS else "would need"
            shell.say(f"The rental of {compare.DAYS} days {pays} {days} days of such use.")


def _no_key(by: Grouping) -> str:
    return "(machine time)" if by == "model" else "-"


def _reconciled(reconciliations: list[Reconciliation], total: Total) -> list[str]:
    """Whose count the machines' costs are."""
    from console.money.budget import usd

    lines = []
    compared = [f"{one.cloud} to {one.to:%d %b}" for one in reconciliations if one.by != "count" and one.to is not None]
    if compared:
        by = (
            f", {'+' if total.corrected_usd > 0 else '-'}{usd(abs(total.corrected_usd))}" if total.corrected_usd else ""
        )
        lines.append(f"Corrected by the books of the cloud{by}: {', '.join(compared)}.")
    counted = [one.cloud for one in reconciliations if one.by == "count" or one.to is None]
    if counted:
        lines.append(f"By our own count: {', '.join(counted)}.")
    return lines


def _row(key: str, group: Total, with_hours: bool) -> list[str]:
    from console.money.budget import usd

    about = "~" if group.estimated_calls else ""
    about_usd = "~" if group.estimated_calls or group.estimated_usd else ""
    cost = usd(group.known_usd) if not group.known_usd else about_usd + _signed(group.known_usd)
    if group.unknown_calls:
        cost = f"≥ {usd(group.known_usd)} + {group.unknown_calls:,} unknown"
    hours = [f"{group.gpu_hours:.1f}" if group.gpu_hours else "-"] if with_hours else []
    return [key, f"{group.calls:,}", f"{about}{group.input_tokens:,}", f"{about}{group.output_tokens:,}", *hours, cost]


def _signed(amount_usd: Decimal) -> str:
    from console.money.budget import usd

    return f"-{usd(-amount_usd)}" if amount_usd < 0 else usd(amount_usd)


def _sum(groups: list[Total]) -> Total:
    from decimal import Decimal

    from console.history.books import Total

    zero = Decimal(0)
    return Total(
        "total",
        sum(group.calls for group in groups),
        sum(group.input_tokens for group in groups),
        sum(group.output_tokens for group in groups),
        sum((group.known_usd for group in groups), zero),
        sum(group.unknown_calls for group in groups),
        sum(group.estimated_calls for group in groups),
        sum((group.gpu_hours for group in groups), zero),
        sum((group.machine_usd for group in groups), zero),
        sum((group.corrected_usd for group in groups), zero),
        sum((group.estimated_usd for group in groups), zero),
    )


def _item(by: Grouping, group: Total) -> dict[str, Any]:
    return {
        by: group.key,
        "calls": group.calls,
        "input_tokens": group.input_tokens,
        "output_tokens": group.output_tokens,
        "known_cost_usd": float(group.known_usd),
        "unknown_cost_calls": group.unknown_calls,
        "estimated_calls": group.estimated_calls,
        "gpu_hours": round(float(group.gpu_hours), 6),
        "machine_cost_usd": float(group.machine_usd),
        "corrected_usd": float(group.corrected_usd),
        "estimated_usd": float(group.estimated_usd),
    }


def _show_csv(shell: Shell, found: _Found) -> None:
    write_csv(shell, [_item(found.by, group) for group in found.groups])


def write_csv(shell: Shell, items: Sequence[dict[str, Any]]) -> None:
    """Rows with a heading. A text that a spreadsheet would take for a formula is made a text."""
    import csv

    if not items:
        return
    writer = csv.writer(shell.stdout, lineterminator="\n")
    writer.writerow(items[0])
    for item in items:
        writer.writerow([_cell(value) for value in item.values()])


def _cell(value: object) -> object:
    from console.text import neutralise

    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6f}"
    if isinstance(value, str):
        text = neutralise(value)
        return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text
    return value


def _show_json(shell: Shell, found: _Found) -> None:
    from console.shell import SCHEMA

    spans: dict[str, Any] = {
        name: {
            "spent_usd": float(spent.known_usd - spent.reserved_usd),
            "reserved_usd": float(spent.reserved_usd),
            "unknown_cost_calls": spent.unknown_calls,
            "limit_usd": float(limit_usd),
        }
        for name, (_, spent, limit_usd) in zip(("day", "month"), found.budget, strict=True)
    }
    spans["machines"] = [
        {
            "machine": verdict.subject.removeprefix("budget:machine:"),
            "spent_usd": float(verdict.spent_usd),
            "limit_usd": float(verdict.limit_usd),
        }
        for verdict in found.verdicts
        if verdict.subject.startswith("budget:machine:")
    ]
    forecast = found.forecast
    shell.json(
        {
            "schema": SCHEMA,
            "month": f"{found.month:%Y-%m}",
            "by": found.by,
            "items": [_item(found.by, group) for group in found.groups],
            "budget": spans,
            "forecast": {
                "usd_per_hour": float(forecast.usd_per_hour),
                "has_unknown_price": forecast.has_unknown_price,
                "budgets_reached": [
                    {"budget": one.when, "limit_usd": float(one.limit_usd), "at": one.at.isoformat()}
                    for one in forecast.reaching
                ],
                "balances_empty": [
                    {"cloud": one.cloud, "balance_usd": float(one.balance_usd), "at": one.at.isoformat()}
                    for one in forecast.emptying
                ],
                "morning": forecast.morning.isoformat(),
                "until_morning_usd": round(float(forecast.until_morning_usd), 6),
                "month_usd": None if found.projected_usd is None else float(found.projected_usd),
            },
            "reconciled": [
                {"cloud": one.cloud, "by": one.by, "to": None if one.to is None else one.to.isoformat()}
                for one in found.reconciliations
            ],
            "compare": None if found.compared is None else _compared_json(found.compared),
        }
    )


def _compared_json(compared: _Compared) -> dict[str, Any]:
    from console.money.compare import DAYS

    def one(comparison: Comparison) -> dict[str, Any]:
        share = comparison.return_share
        return {
            "machines_usd": float(comparison.machines_usd),
            "api_usd": float(comparison.api_usd),
            "savings_usd": float(comparison.savings_usd),
            "return_share": None if share is None else round(float(share), 6),
            "calls": comparison.calls,
            "uncounted_calls": comparison.uncounted_calls,
            "input_tokens": comparison.input_tokens,
            "output_tokens": comparison.output_tokens,
            "gpu_hours": round(float(comparison.gpu_hours), 6),
            "days_used": comparison.days_used,
            "days_that_paid": comparison.days_that_paid,
            "break_even_tokens_per_hour": comparison.break_even_tokens_per_hour,
        }

    days = compared.last_days.break_even_days()
    return {
        "target": compared.target,
        "month": one(compared.month),
        f"last_{DAYS}_days": {**one(compared.last_days), "break_even_days": None if days is None else float(days)},
    }


def _month(text: str) -> date:
    from datetime import date

    try:
        if len(text) != 7:
            raise ValueError(text)
        return date.fromisoformat(f"{text}-01")
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a month such as 2026-11") from None
