"""Our values as JSON and back, for what crosses from one process to another.

A NamedTuple becomes an object by its fields, a time ISO text, bytes hex. Reading back goes by the declared types, and
whatever does not fit them raises `ValueError`: what comes in may be of another version.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")


def to_json(value: object) -> Any:
    match value:
        case None | bool() | int() | float() | str():
            return value
        case bytes():
            return value.hex()
        case datetime():
            return value.isoformat()
        case tuple() if hasattr(value, "_fields"):
            return {name: to_json(part) for name, part in zip(value._fields, value, strict=True)}
        case tuple() | list() | set() | frozenset():
            return [to_json(part) for part in value]
        case Mapping():
            return {str(name): to_json(part) for name, part in value.items()}
        case _:
            raise TypeError(f"A {type(value).__name__} cannot be sent.")


def from_json(kind: type[T], value: object) -> T:
    """The value as one of `kind`. Fields that are missing take their default; unknown ones are left out."""
    read: T = _read(kind, value)
    return read


def _read(kind: Any, value: object) -> Any:
    if kind is Any or kind is object:
        return value
    origin = get_origin(kind)
    if origin in (Union, UnionType):
        return _read_one_of(get_args(kind), value)
    if origin is Literal:
        if value in get_args(kind):
            return value
        raise ValueError(f"{value!r:.80} is none of {get_args(kind)!r}")
    if origin is tuple and isinstance(value, list):
        inner = get_args(kind)
        if len(inner) == 2 and inner[1] is Ellipsis:
            return tuple(_read(inner[0], part) for part in value)
        return tuple(_read(one, part) for one, part in zip(inner, value, strict=True))
    if origin is list and isinstance(value, list):
        return [_read(get_args(kind)[0], part) for part in value]
    if origin is dict and isinstance(value, dict):
        return {name: _read(get_args(kind)[1], part) for name, part in value.items()}
    if hasattr(kind, "_fields") and isinstance(value, dict):
        try:
            return kind(**{name: _read(field, value[name]) for name, field in _fields(kind).items() if name in value})
        except TypeError as error:
            raise ValueError(f"this is no {kind.__name__}: {error}") from error
    if kind is bytes and isinstance(value, str):
        return bytes.fromhex(value)
    if kind is datetime and isinstance(value, str):
        return datetime.fromisoformat(value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind is NoneType and value is None:
        return None
    if isinstance(kind, type) and type(value) is kind:
        return value
    raise ValueError(f"{value!r:.80} is no {getattr(kind, '__name__', kind)}")


def _read_one_of(kinds: tuple[Any, ...], value: object) -> Any:
    if value is None and NoneType in kinds:
        return None
    for kind in kinds:
        try:
            return _read(kind, value)
        except ValueError:
            continue
    raise ValueError(f"{value!r:.80} is none of {kinds!r}")


@cache
def _fields(kind: Any) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {name: hints[name] for name in kind._fields}
