"""The watch over money: how budgets and balances stand, as alerts, and what is to be stopped for them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from console.alarms import Finding, Teller, tell
from console.money.budget import usd
from console.money.forecast import clock_time

if TYPE_CHECKING:
    from datetime import datetime, tzinfo

    from console.clock import Clock
    from console.money.budget import Budget
    from console.money.forecast import Forecast
    from console.money.verdicts import BudgetVerdict, Level

EMPTY_WITHIN = (timedelta(hours=2), timedelta(hours=12))
"""A balance that ends this soon is an alarm, or a warning: some clouds destroy machines when it is gone."""


class MoneyWatch:
    """Asked once in a round of the guard."""

    def __init__(self, budget: Budget, alerts: Teller, clock: Clock, *, zone: tzinfo | None = None) -> None:
        self._budget = budget
        self._alerts = alerts
        self._clock = clock
        self._zone = zone
        self._machines: dict[str, BudgetVerdict] = {}

    async def round(self) -> list[BudgetVerdict]:
        """Raise and clear the alerts about money. Whoever asked stops the machines that the verdicts name."""
        verdicts = await self._budget.verdict()
        forecast = await self._budget.forecast()
        now = self._clock.now()
        findings = [*budget_findings(verdicts, forecast, now, self._zone)]
        findings += balance_findings(forecast, now, self._zone)
        findings += self._no_longer([verdict for verdict in verdicts if verdict.machine is not None])
        await tell(self._alerts, findings)
        return verdicts

    def _no_longer(self, verdicts: Sequence[BudgetVerdict]) -> list[Finding]:
        """Alerts about machines that were there in the last round and cost nothing in this one."""
        before, self._machines = self._machines, {verdict.subject: verdict for verdict in verdicts}
        return [
            Finding(f"{subject}:{share}", None, f"{verdict.machine} costs nothing any more.")
            for subject, verdict in before.items()
            if subject not in self._machines
            for share in verdict.levels
        ]


def budget_findings(
    verdicts: Iterable[BudgetVerdict], forecast: Forecast, now: datetime, zone: tzinfo | None = None
) -> list[Finding]:
    """For each level of each budget whether it is reached. Only the highest is raised: who heard of all of it needs no
    word of half."""
    reaching = {one.when: one for one in forecast.reaching}
    findings = []
    for verdict in verdicts:
        text = verdict.text
        soon = reaching.get(verdict.when)
        if soon is not None and 0 < verdict.passed < 1:
            text += f" It reaches {usd(soon.limit_usd)} at {clock_time(soon.at, now, zone)}."
        for share in verdict.levels:
            if share == verdict.passed:
                findings.append(Finding(f"{verdict.subject}:{share}", verdict.level, text))
            elif share > verdict.passed:
                findings.append(Finding(f"{verdict.subject}:{share}", None, text))
    return findings


def balance_findings(forecast: Forecast, now: datetime, zone: tzinfo | None = None) -> list[Finding]:
    findings = []
    for one in forecast.emptying:
        text = f"The balance of {one.cloud} ({usd(one.balance_usd)}) is empty at {clock_time(one.at, now, zone)}."
        left = one.at - now
        alarm, warning = EMPTY_WITHIN
        level: Level | None = "alarm" if left <= alarm else "warning" if left <= warning else None
        findings.append(Finding(f"balance:{one.cloud}", level, text))
    return findings


def to_stop(verdicts: Sequence[BudgetVerdict]) -> tuple[str, ...]:
    """All machines that some budget ends, each once, in the order to stop them."""
    return tuple(dict.fromkeys(name for verdict in verdicts for name in verdict.stop))
