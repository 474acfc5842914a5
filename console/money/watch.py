"""The watch over money beside the budgets: balances that run out, and the daily look into the clouds' own books.

The guard asks for `round` now and then; budgets themselves it asks for directly, since it acts on them.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from console.alarms import Finding, Teller, tell
from console.money.budget import usd
from console.money.forecast import clock_time

if TYPE_CHECKING:
    from datetime import datetime, tzinfo

    from console.clock import Clock
    from console.money.budget import Budget
    from console.money.forecast import Forecast
    from console.money.reconcile_books import Reconciled, Reconciler
    from console.money.verdicts import Level

_log = logging.getLogger(__name__)

EMPTY_WITHIN = (timedelta(hours=2), timedelta(hours=12))
"""A balance that ends this soon is an alarm, or a warning: some clouds destroy machines when it is gone."""
WORTH_TELLING_USD = Decimal(1)
WORTH_TELLING_SHARE = Decimal("0.10")
"""A correction of this much, and of this share of what was counted, is told; `hawser cost` shows every one."""


class MoneyWatch:
    def __init__(
        self,
        budget: Budget,
        reconciler: Reconciler,
        accounts: Callable[[], Awaitable[Sequence[str]]],
        alerts: Teller,
        clock: Clock,
        *,
        zone: tzinfo | None = None,
    ) -> None:
        """`accounts` names those that may have something on them."""
        self._budget = budget
        self._reconciler = reconciler
        self._accounts = accounts
        self._alerts = alerts
        self._clock = clock
        self._zone = zone

    async def round(self) -> None:
        """Tell of balances, and reconcile what is due."""
        await tell(self._alerts, balance_findings(await self._budget.forecast(), self._clock.now(), self._zone))
        reconciled = await self._reconciler.run_due(await self._accounts())
        for one in reconciled:
            if one.note:
                _log.info("%s", one.note)
        await tell(self._alerts, correction_findings(reconciled))


def balance_findings(forecast: Forecast, now: datetime, zone: tzinfo | None = None) -> list[Finding]:
    findings = []
    for one in forecast.emptying:
        text = f"The balance of {one.cloud} ({usd(one.balance_usd)}) is empty at {clock_time(one.at, now, zone)}."
        left = one.at - now
        alarm, warning = EMPTY_WITHIN
        level: Level | None = "alarm" if left <= alarm else "warning" if left <= warning else None
        findings.append(Finding(f"balance:{one.cloud}", level, text))
    return findings


def correction_findings(reconciled: Iterable[Reconciled]) -> list[Finding]:
    """For each account that was compared, whether its own books were far from ours."""
    findings = []
    for one in reconciled:
        if one.charged_usd is None:
            continue
        off_usd = abs(one.charged_usd - one.counted_usd)
        is_far = bool(one.corrections) and off_usd >= max(WORTH_TELLING_USD, one.counted_usd * WORTH_TELLING_SHARE)
        text = (
            f"{one.cloud} charged {usd(one.charged_usd.quantize(Decimal('0.01')))}"
            f" where {usd(one.counted_usd.quantize(Decimal('0.01')))} were counted; the books are corrected."
        )
        findings.append(Finding(f"books:{one.cloud}", "warning" if is_far else None, text))
    return findings
