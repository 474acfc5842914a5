"""What all tables share: times as milliseconds, ids that sort by time, and row numbers that follow the clock.

A stored row is a `NamedTuple`: as immutable as a frozen dataclass, and a sixth of its cost at start-up.
"""

from __future__ import annotations

import os
import random
import sqlite3
from datetime import UTC, datetime, timedelta

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def to_ms(moment: datetime) -> int:
    return (moment - _EPOCH) // _MILLISECOND


def from_ms(milliseconds: int) -> datetime:
    return _EPOCH + milliseconds * _MILLISECOND


def new_id(now_ms: int) -> str:
    """26 characters that sort by time: 48 bits of milliseconds, then 80 bits of chance."""
    number = (max(now_ms, 0) & (1 << 48) - 1) << 80 | int.from_bytes(os.urandom(10))
    return "".join([_ALPHABET[number >> shift & 31] for shift in range(125, -1, -5)])


def free_seq(connection: sqlite3.Connection, table: str, wanted: int) -> int:
    """The first free row number near `wanted`, going up.

    Row numbers are times, so that "newest first" is the order of the index and needs no sorting. The stride doubles:
    an import where a thousand rows carry one time still finds a place for each in a few steps.
    """
    stride = 1
    while connection.execute(f"SELECT 1 FROM {table} WHERE seq = ?", (wanted,)).fetchone():  # noqa: S608
        wanted += random.randint(1, stride)  # noqa: S311
        stride *= 2
    return wanted


def storable(text: str) -> str:
    """Text that SQLite takes: half of a surrogate pair, as broken JSON may bring, becomes a replacement character."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
