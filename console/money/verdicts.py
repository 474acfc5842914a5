"""How each budget stands, and what follows from it when one is spent.

A spent budget stops machines, pinned ones too: a pin keeps a machine from being taken for idle, it is no leave to spend
more than was allowed. Rented machines go first, the dearest first; a machine of the user's own is named only if its
settings give it a price by the hour and say how it is ended. What a stopped machine's disk costs goes on, since only
destroying it would end that.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from console.history.meters import Running

Level: TypeAlias = Literal["info", "warning", "alarm"]

LOUD_FROM = Decimal("0.8")
ALL = Decimal(1)


class BudgetVerdict(NamedTuple):
    """One budget: the day's, the month's, or a machine's for the day."""

    subject: str
    """`budget:day`, `budget:month` or `budget:machine:NAME`."""
    spent_usd: Decimal
    limit_usd: Decimal
    passed: Decimal
    """The highest of its levels that is reached, as a share; 0 for none."""
    text: str
    stop: tuple[str, ...] = ()
    """The machines to stop, in this order."""
    block: bool = False
    """Nothing that costs money may begin; `Budget.allow` and `allow_machine` refuse it by themselves."""
    loud_from: Decimal = LOUD_FROM
    """The share from which on it is an alarm."""

    @property
    def level(self) -> Level:
        if not self.passed:
            return "info"
        return "alarm" if self.passed >= self.loud_from else "warning"

    @property
    def machine(self) -> str | None:
        """Of which machine it is the budget."""
        kind, _, name = self.subject.removeprefix("budget:").partition(":")
        return name if kind == "machine" else None


def highest_passed(spent_usd: Decimal, limit_usd: Decimal, levels: Sequence[Decimal]) -> Decimal:
    """The highest share of a budget that is reached. Of a budget of nothing, all is spent from the start."""
    return max((share for share in levels if spent_usd >= share * limit_usd), default=Decimal(0))


def to_stop(running: Iterable[Running]) -> tuple[str, ...]:
    """Which of the running machines a spent budget ends, in order."""
    can_end = [
        one
        for one in running
        if one.gpu and one.desired == "running" and not one.fixed and not (_is_own(one) and one.at_end == "nothing")
    ]
    return tuple(one.name for one in sorted(can_end, key=lambda one: (_is_own(one), -one.usd_per_hour, one.name)))


def _is_own(machine: Running) -> bool:
    return machine.origin == "settings"
