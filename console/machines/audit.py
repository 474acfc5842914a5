"""Everything that bills, on every account: machines of ours and of nobody, disks of stopped ones, and what the clouds
themselves say that all of it costs. A list for others to print; nothing is changed by it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Literal, NamedTuple, TypeAlias

from console.errors import ConsoleError, explain
from console.machines.events import AccountTrouble
from console.machines.fleet import Fleet
from console.machines.records import Desired, MachineRecord, MachineState
from providers.clouds.base import Bills, Capability, Cloud, Reading, State
from providers.errors import ProviderError

HOURS_PER_WEEK = 168
_CENT = Decimal("0.01")

Owner: TypeAlias = Literal["ours", "stranger", "unexplained"]
"""Known here; on the account and not known here; what the cloud bills beyond all that it names."""


class AuditLine(NamedTuple):
    """Something that costs money, or may."""

    cloud: str
    what: Literal["machine", "disk", "account"]
    """A machine with its GPU, the disk of one that is off, or the account as a whole."""
    owner: Owner
    name: str
    """Ours, else what the cloud calls it."""
    cloud_id: str | None
    state: str
    bills: Bills
    usd_per_hour: Decimal | None
    """What it costs now; None where nobody says."""
    is_wanted: bool
    """Whether somebody here wants what it costs."""
    why: str
    seen_at: datetime | None

    @property
    def usd_per_week(self) -> Decimal | None:
        return None if self.usd_per_hour is None else (self.usd_per_hour * HOURS_PER_WEEK).quantize(_CENT)


class AccountSpend(NamedTuple):
    """What a cloud says of a whole account."""

    cloud: str
    balance_usd: Decimal | None
    usd_per_hour: Decimal | None


class Audit(NamedTuple):
    lines: list[AuditLine]
    """The dearest first."""
    accounts: list[AccountSpend]
    troubles: list[AccountTrouble]
    """Accounts that could not be asked: what is on them may cost money, and is listed as it was last seen."""

    @property
    def unwanted(self) -> list[AuditLine]:
        return [line for line in self.lines if not line.is_wanted]

    @property
    def is_clean(self) -> bool:
        """Whether nothing bills that nobody wants, as far as all accounts could be asked."""
        return not self.unwanted and not self.troubles


async def audit(fleet: Fleet, cloud: Callable[[str], Cloud]) -> Audit:
    """Ask every account now."""
    names = await fleet.accounts()
    answers = await asyncio.gather(*(_ask(fleet, cloud, name) for name in names))
    records = [record for record in await fleet.machines() if record.origin != "settings"]
    lines: list[AuditLine] = []
    accounts, troubles = [], []
    for name, (readings, account, trouble) in zip(names, answers, strict=True):
        mine = [record for record in records if record.cloud == name]
        here = [line for record in mine if (line := _of_ours(record)) is not None]
        known = {record.cloud_id for record in mine}
        here += [_of_a_stranger(name, reading) for reading in readings if reading.id not in known and _costs(reading)]
        if account is not None:
            accounts.append(account)
            here += _unexplained(account, here)
        if trouble is not None:
            troubles.append(trouble)
        lines += here
    lines.sort(key=lambda line: (line.is_wanted, -(line.usd_per_hour if line.usd_per_hour is not None else 10**6)))
    return Audit(lines, accounts, troubles)


async def _ask(
    fleet: Fleet, cloud: Callable[[str], Cloud], name: str
) -> tuple[list[Reading], AccountSpend | None, AccountTrouble | None]:
    try:
        readings = await fleet.found(name)
        adapter = cloud(name)
        if Capability.BALANCE not in adapter.capabilities:
            return readings, None, None
        account = await adapter.account()
    except (ProviderError, ConsoleError) as error:
        return [], None, AccountTrouble(name, error.text, explain(error).hint)
    return readings, AccountSpend(name, account.balance_usd, account.usd_per_hour), None


def _costs(reading: Reading) -> bool:
    return reading.bills is not Bills.NOTHING and reading.state is not State.GONE


def _price(bills: Bills, running: Decimal | None, stopped: Decimal | None) -> Decimal | None:
    match bills:
        case Bills.NOTHING:
            return Decimal(0)
        case Bills.DISK:
            return stopped
        case Bills.EVERYTHING | Bills.UNKNOWN:
            return running


def _of_ours(record: MachineRecord) -> AuditLine | None:
    bills = record.bills
    if bills is Bills.NOTHING:
        return None
    is_wanted, why = _wanted(record, bills)
    return AuditLine(
        cloud=record.cloud,
        what="disk" if bills is Bills.DISK else "machine",
        owner="ours",
        name=record.name,
        cloud_id=record.cloud_id,
        state=record.state,
        bills=bills,
        usd_per_hour=_price(bills, record.usd_per_hour, record.usd_per_hour_stopped),
        is_wanted=is_wanted,
        why=why,
        seen_at=record.seen_at,
    )


def _wanted(record: MachineRecord, bills: Bills) -> tuple[bool, str]:
    """What it costs is wanted while it is to run, or to be kept, and is in a state for that."""
    if record.desired is Desired.GONE:
        return False, "It is to be gone."
    if record.desired is Desired.STOPPED:
        if bills is Bills.DISK:
            return True, "Its disk is kept while it is stopped."
        return False, record.state_why or "It is to be stopped."
    if record.state in (MachineState.FAILED, MachineState.LOST):
        return False, record.state_why or f"It is {record.state}."
    return True, ""


def _of_a_stranger(cloud: str, reading: Reading) -> AuditLine:
    return AuditLine(
        cloud=cloud,
        what="disk" if reading.bills is Bills.DISK else "machine",
        owner="stranger",
        name=reading.label or reading.id,
        cloud_id=reading.id,
        state=reading.state,
        bills=reading.bills,
        usd_per_hour=_price(reading.bills, reading.usd_per_hour, reading.usd_per_hour_stopped),
        is_wanted=False,
        why="Nobody here knows it.",
        seen_at=None,
    )


def _unexplained(account: AccountSpend, lines: list[AuditLine]) -> list[AuditLine]:
    """What the cloud says that everything costs, beyond what the machines it names explain."""
    if account.usd_per_hour is None or any(line.usd_per_hour is None for line in lines):
        return []
    rest = account.usd_per_hour - sum((line.usd_per_hour or Decimal(0) for line in lines), Decimal(0))
    if rest < _CENT:
        return []
    return [
        AuditLine(
            cloud=account.cloud,
            what="account",
            owner="unexplained",
            name=account.cloud,
            cloud_id=None,
            state="",
            bills=Bills.UNKNOWN,
            usd_per_hour=rest,
            is_wanted=False,
            why="The cloud bills this beyond the machines that it names: volumes, or machines that it calls stopped.",
            seen_at=None,
        )
    ]
