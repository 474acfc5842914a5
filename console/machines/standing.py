"""What stands and has to be told: everything about machines that is not as it should be, as one list of alerts.

It is made anew from the rows each time, so that it does not matter which process saw something happen, and what is over
is told to be over.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from console.history import machines
from console.machines.deeds import overdue_text
from console.machines.lifecycle import ALARM_S, SLOW_S
from console.machines.records import Desired, MachineRecord, MachineState
from providers.clouds.base import Bills, State

if TYPE_CHECKING:
    from console.machines.leases import LeaseView
    from console.money.verdicts import BudgetVerdict, Level

LOST_AFTER = timedelta(minutes=5)
ACCOUNT_AFTER = timedelta(minutes=10)
"""How long an account may be unreadable before that is told."""

_KINDS = (
    "create", "start", "stop", "destroy", "outbid", "lost", "paid", "account", "blind", "stopper", "lease", "unended",
    "guard",
)  # fmt: skip
"""What the subjects of all of these alerts begin with."""


class Trouble(NamedTuple):
    subject: str
    level: Level
    text: str


class Report(NamedTuple):
    troubles: tuple[Trouble, ...]
    budgets: frozenset[str] | None = None
    """The subjects of the budget levels that are reached; None while nobody has looked."""

    def with_guard(
        self,
        warned: Mapping[str, str],
        not_ended: Mapping[str, str],
        failing: Mapping[str, str],
        verdicts: Sequence[BudgetVerdict] | None,
    ) -> Report:
        """The same with what the guard found itself."""
        found = [
            *(Trouble(f"lease:{name}", "warning", text) for name, text in warned.items()),
            *(Trouble(f"unended:{name}", "alarm", text) for name, text in not_ended.items()),
            *(
                Trouble(f"guard:{part}", "alarm", f"The guard fails at {part}. {text}")
                for part, text in failing.items()
            ),
        ]
        if verdicts is None:
            return Report((*self.troubles, *found))
        passed = [verdict for verdict in verdicts if verdict.passed]
        found += [Trouble(f"{verdict.subject}:{verdict.passed}", verdict.level, verdict.text) for verdict in passed]
        return Report((*self.troubles, *found), frozenset(f"{verdict.subject}:" for verdict in passed))

    def is_over(self, subject: str) -> bool:
        """Whether an alert of ours no longer holds. A budget's lower level holds while a higher one does."""
        if any(trouble.subject == subject for trouble in self.troubles):
            return False
        kind = subject.partition(":")[0]
        if kind == "budget":
            return self.budgets is not None and not subject.startswith(tuple(self.budgets))
        return kind in _KINDS

    @property
    def unconfirmed(self) -> list[Trouble]:
        """What nobody can call settled: ends without a proof, and machines that nobody can see or end."""
        return [
            trouble
            for trouble in self.troubles
            if trouble.level == "alarm" and not trouble.subject.startswith("budget:")
        ]


def standing_troubles(connection: sqlite3.Connection, views: Sequence[LeaseView], now: datetime) -> Report:
    records = machines.every(connection)
    deeds = machines.open_deeds(connection)
    found: list[Trouble] = []
    for record in records:
        deed = deeds.get(record.seq)
        if deed is not None:
            is_end = deed.what in ("stop", "destroy")
            if now - deed.begun_at >= timedelta(seconds=ALARM_S if is_end else SLOW_S):
                level: Level = "alarm" if is_end else "warning"
                found.append(Trouble(f"{deed.what}:{record.name}", level, overdue_text(record, deed)))
        else:
            found += _taken(record, now)
    for cloud, account in machines.accounts(connection).items():
        mine = [record for record in records if record.cloud == cloud and record.bills is not Bills.NOTHING]
        since = account.read_at or account.failed_at
        if account.error is not None and mine and since is not None and now - since >= ACCOUNT_AFTER:
            names = ", ".join(record.name for record in mine)
            found.append(Trouble(f"account:{cloud}", "alarm", f"{cloud} cannot be read ({names}): {account.error}"))
    for view in views:
        found += _of_lease(view, now)
    return Report(tuple(found))


def _taken(record: MachineRecord, now: datetime) -> list[Trouble]:
    if record.desired is not Desired.RUNNING:
        return _paid(record, now)
    if record.reading is not None and record.reading.state is State.OUTBID:
        return [Trouble(f"outbid:{record.name}", "warning", f"{record.name} was taken away for a higher bid.")]
    if record.state is MachineState.LOST and now - record.state_at >= LOST_AFTER:
        return [Trouble(f"lost:{record.name}", "warning", f"{record.name} is lost. {record.state_why}")]
    return []


def _paid(record: MachineRecord, now: datetime) -> list[Trouble]:
    """What nobody wants to run, nobody here is ending, and is paid in full: as after a stop at its cloud that keeps the
    GPU."""
    if record.bills is not Bills.EVERYTHING or now - record.state_at < timedelta(seconds=ALARM_S):
        return []
    text = f"{record.name} is to be {record.desired} and costs the full price. {record.state_why}".rstrip()
    return [Trouble(f"paid:{record.name}", "alarm", text)]


def _of_lease(view: LeaseView, now: datetime) -> list[Trouble]:
    if not view.is_leased or view.began_at is None or view.hard_until is None:
        return []
    found = []
    is_blind = view.unread and view.idle_after is not None
    if is_blind and view.idle_after is not None and now - _last_look(view, view.began_at) >= view.idle_after:
        ends = view.hard_until.astimezone()
        text = f"Nobody sees whether {view.name} works ({view.why}). It goes on until its lease ends at {ends:%H:%M}."
        found.append(Trouble(f"blind:{view.name}", "warning", text))
    # One without any guard of its own was never better; one that had a guard and lost it is news.
    for stopper in view.protection.stoppers[1:]:
        if not stopper.is_proved and stopper.seen_at is not None:
            text = f"{view.name} has lost a guard ({stopper.where}): {stopper.text}."
            found.append(Trouble(f"stopper:{view.name}", "warning", text))
    return found


def _last_look(view: LeaseView, began_at: datetime) -> datetime:
    """The last time at which all that has to be read was read."""
    looks = [signal.seen_at for signal in view.signals if signal.kind in view.unread]
    return max(began_at, min(looks)) if len(looks) == len(view.unread) else began_at
