"""Whether renting pays: what machines cost, beside what the tokens that they made would have cost at an API."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, tzinfo
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, NamedTuple

from console.money.ledger import ZERO, LedgerEntry, cost_of
from providers.chat.base import Usage

if TYPE_CHECKING:
    from console.money.prices import Price

DAYS = 30
_CENT = Decimal("0.01")


class Comparison(NamedTuple):
    machines_usd: Decimal
    """What the machines cost: time, disks, traffic, and what is paid by the month."""
    api_usd: Decimal
    """What their tokens would have cost."""
    calls: int
    uncounted_calls: int
    """Calls whose tokens nobody counted; they are not in `api_usd`."""
    input_tokens: int
    output_tokens: int
    gpu_hours: Decimal
    days_used: int
    """Days on which machines cost something."""
    days_that_paid: int
    """Those of them whose tokens would have cost at least as much."""

    @property
    def savings_usd(self) -> Decimal:
        """What renting saved; less than nothing where the API would have been cheaper."""
        return self.api_usd - self.machines_usd

    @property
    def return_share(self) -> Decimal | None:
        """The savings as a share of what was paid for the machines."""
        return self.savings_usd / self.machines_usd if self.machines_usd else None

    def break_even_days(self, days: int = DAYS) -> Decimal | None:
        """After how many days of such use the tokens were worth what the machines cost in all `days`; more than that
        says that they do not pay. None where no tokens went through them."""
        if not self.api_usd:
            return None
        return (days * self.machines_usd / self.api_usd).quantize(Decimal("0.1"), ROUND_HALF_UP)

    @property
    def break_even_tokens_per_hour(self) -> int | None:
        """How many tokens, mixed as they were, an hour of GPU must see to be worth its price at the API."""
        tokens = self.input_tokens + self.output_tokens
        if not self.api_usd or not tokens or not self.gpu_hours:
            return None
        return int(self.machines_usd / self.gpu_hours * tokens / self.api_usd)


def compare(lines: Iterable[LedgerEntry], price: Price, zone: tzinfo | None = None) -> Comparison:
    """The lines of a span, priced as if their tokens had been bought."""
    machines: dict[date, Decimal] = {}
    worth: dict[date, Decimal] = {}
    calls = uncounted = asked = answered = 0
    seconds = 0
    for line in lines:
        day = line.at.astimezone(zone).date()
        if line.span_from is not None:
            machines[day] = machines.get(day, ZERO) + (line.cost_usd or ZERO)
            if line.task == "gpu" and line.span_to is not None:
                seconds += int((line.span_to - line.span_from).total_seconds())
            continue
        if line.machine is None:
            continue
        calls += 1
        cost = cost_of(Usage(line.input_tokens, line.output_tokens, line.cached_input_tokens), price)
        if cost is None:
            uncounted += 1
            continue
        asked += line.input_tokens or 0
        answered += line.output_tokens or 0
        worth[day] = worth.get(day, ZERO) + cost
    used = [day for day, usd in machines.items() if usd > 0]
    return Comparison(
        sum(machines.values(), ZERO),
        sum(worth.values(), ZERO),
        calls,
        uncounted,
        asked,
        answered,
        Decimal(seconds) / 3600,
        len(used),
        sum(worth.get(day, ZERO) >= machines[day] for day in used),
    )


def sentences(comparison: Comparison, target: str, when: str) -> list[str]:
    """The comparison in words."""
    from console.money.budget import usd
    from console.text import plural

    it = comparison
    cents = [usd(amount.quantize(_CENT)) for amount in (it.machines_usd, it.api_usd, abs(it.savings_usd))]
    lines = [
        f"{when}: machines {cents[0]}; their {it.input_tokens + it.output_tokens:,} tokens at {target} {cents[1]}."
    ]
    if it.uncounted_calls:
        lines.append(f"{plural(it.uncounted_calls, 'call')} without a count of tokens left out.")
    if it.return_share is not None:
        word = "saved" if it.savings_usd >= 0 else "lost"
        lines.append(
            f"Renting {word} {cents[2]}, a return of {it.return_share * 100:+.0f} %;"
            f" it paid on {it.days_that_paid} of {plural(it.days_used, 'day')}."
        )
    if (tokens := it.break_even_tokens_per_hour) is not None:
        lines.append(f"Break-even: {tokens:,} tokens in an hour of GPU, mixed as yours were.")
    return lines


def last_days(now: datetime) -> str:
    return f"The {DAYS} days to {now:%d %b}"
