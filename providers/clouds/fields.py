"""Reading what clouds send: any field may be missing, of another type, or nonsense, and none of that is an error."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, TypeAlias

from providers.plain import plain

Row: TypeAlias = Mapping[str, Any]

EMPTY: Row = {}
HOURS_PER_MONTH = Decimal(720)
"""How the clouds turn a price per month into one per hour."""
_LARGEST = 1e15


def row(value: object) -> Row:
    return value if isinstance(value, dict) else EMPTY


def rows(value: object) -> list[Row]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def number(value: object) -> Decimal | None:
    """A finite number, also one that is written as text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, str):
        try:
            read = Decimal(value.strip())
        except ArithmeticError:
            return None
        return read if read.is_finite() and abs(read) < _LARGEST else None
    return Decimal(repr(value)) if math.isfinite(value) and abs(value) < _LARGEST else None


def price(value: object) -> Decimal | None:
    """A number that is not negative."""
    read = number(value)
    return read if read is not None and read >= 0 else None


def whole(value: object) -> int:
    """A count; 0 where there is none."""
    read = number(value)
    return int(read) if read is not None and read >= 0 else 0


def text(value: object, longest: int = 200) -> str:
    return plain(value, longest) if isinstance(value, str) else ""


def identity(value: object) -> str:
    """An id, which some clouds write as a number; empty for none."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value.strip() if isinstance(value, str) and value.isprintable() and len(value) <= 200 else ""


def moment(value: object) -> datetime | None:
    """Seconds since 1970, or a date as in ISO 8601."""
    if isinstance(value, str) and ("T" in value or "-" in value):
        try:
            read = datetime.fromisoformat(value)
        except ValueError:
            return None
        return read if read.tzinfo else read.replace(tzinfo=UTC)
    seconds = number(value)
    if seconds is None:
        return None
    try:
        return datetime.fromtimestamp(float(seconds), UTC)
    except (OverflowError, ValueError, OSError):
        return None


def kept(fields: Row, names: Iterable[str]) -> dict[str, Any]:
    """The named fields alone: for the raw part of a reading, which must hold no secret."""
    return {name: fields[name] for name in names if name in fields}


def per_hour(usd_per_month: Decimal) -> Decimal:
    return usd_per_month / HOURS_PER_MONTH
