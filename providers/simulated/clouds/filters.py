"""Filters as Vast has them: `{"field": {"op": value}}`, compared by number where both sides are numbers.

Clients send numbers as strings (`"num_gpus": {"eq": "1"}`), so text that reads as a number is one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from decimal import Decimal
from typing import Any

Row = Mapping[str, Any]


class FilterError(ValueError):
    """A filter that cannot be applied."""


def matches(row: Row, filters: Mapping[str, Any], known: Collection[str]) -> bool:
    """Whether a row passes all filters; FilterError for a field or an operator that does not exist."""
    for field, conditions in filters.items():
        if field not in known:
            raise FilterError(f"invalid column {field}")
        if not isinstance(conditions, Mapping):
            conditions = {"eq": conditions}
        for operator, wanted in conditions.items():
            test = _TESTS.get(operator)
            if test is None:
                raise FilterError(f"invalid operator {operator}")
            if not test(row.get(field), wanted):
                return False
    return True


def sorted_by(rows: Sequence[Row], order: Sequence[tuple[str, bool]]) -> list[Row]:
    """By several fields, each up or down; rows without a value come last."""
    ordered = list(rows)
    for field, is_descending in reversed(order):
        with_value = [row for row in ordered if row.get(field) is not None]
        without = [row for row in ordered if row.get(field) is None]
        ordered = sorted(with_value, key=lambda row: _sortable(row[field]), reverse=is_descending) + without
    return ordered


def _sortable(value: Any) -> tuple[int, float, str]:
    number = _number(value)
    return (1, 0.0, str(value)) if number is None else (0, number, "")


def _number(value: Any) -> float | None:
    if isinstance(value, bool):
        return float(value)
    if isinstance(value, int | float | Decimal):
        return float(value)
    if isinstance(value, str):
        if value.lower() in ("true", "false"):
            return float(value.lower() == "true")
        try:
            return float(value)
        except ValueError:
            return None
    return None


def _same(value: Any, wanted: Any) -> bool:
    if value is None or wanted is None:
        return value is wanted
    left, right = _number(value), _number(wanted)
    if left is not None and right is not None:
        return left == right
    return _words(value) == _words(wanted)


def _words(value: Any) -> str:
    """GPU names are written with spaces on the wire and with underscores in the documentation."""
    return str(value).replace("_", " ")


def _ordered(compare: Callable[[float, float], bool]) -> Callable[[Any, Any], bool]:
    def test(value: Any, wanted: Any) -> bool:
        left, right = _number(value), _number(wanted)
        return left is not None and right is not None and compare(left, right)

    return test


def _among(value: Any, wanted: Any) -> bool:
    if not isinstance(wanted, list):
        raise FilterError("in and notin take a list")
    return any(_same(value, one) for one in wanted)


_TESTS: Mapping[str, Callable[[Any, Any], bool]] = {
    "eq": _same,
    "neq": lambda value, wanted: not _same(value, wanted),
    "gt": _ordered(lambda left, right: left > right),
    "lt": _ordered(lambda left, right: left < right),
    "gte": _ordered(lambda left, right: left >= right),
    "lte": _ordered(lambda left, right: left <= right),
    "in": _among,
    "notin": lambda value, wanted: not _among(value, wanted),
}
