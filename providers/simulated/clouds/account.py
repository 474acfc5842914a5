"""The account at a cloud: who may call, which SSH keys it has, and the money on it."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple


class SshKey(NamedTuple):
    number: int
    public_key: str
    created_at: datetime
    name: str = ""


class Deposit(NamedTuple):
    moment: datetime
    usd: Decimal


class Account:
    """Prepaid: what was paid in, less what all rentals were charged. It may go below zero, for disks go on billing."""

    def __init__(
        self, opened_at: datetime, balance_usd: Decimal, *, key: str, has_card: bool, grace: timedelta
    ) -> None:
        self.key = key
        self.is_revoked = False
        self.has_card = has_card
        self.grace = grace
        """How long a machine is kept once the money is gone."""
        self.ssh_keys: list[SshKey] = []
        self.deposits = [Deposit(opened_at, balance_usd)]
        self._last_number = 4

    def deposited(self) -> Decimal:
        return sum((deposit.usd for deposit in self.deposits), Decimal(0))

    def add_key(self, public_key: str, now: datetime, name: str = "") -> SshKey:
        self._last_number += 1
        key = SshKey(self._last_number, public_key, now, name)
        self.ssh_keys.append(key)
        return key

    def remove_key(self, number: int) -> bool:
        """Whether there was one."""
        before = len(self.ssh_keys)
        self.ssh_keys = [key for key in self.ssh_keys if key.number != number]
        return len(self.ssh_keys) < before

    def public_keys(self) -> tuple[str, ...]:
        return tuple(key.public_key for key in self.ssh_keys)


def new_key(prefix: str) -> str:
    return prefix + secrets.token_hex(24)
