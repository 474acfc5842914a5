"""What a list of machines needs of the settings, and no more, so that it can be had without loading them all."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from console.settings import Machine

SSH = "ssh"
_BY_RECIPE = {"inference": ("ollama",), "images": ("comfyui",)}


class Noted(NamedTuple):
    """A machine of the settings."""

    cloud: str
    services: tuple[str, ...] = ()
    recipe: str | None = None
    at_end: str | None = None
    usd_per_hour: Decimal | None = None


def services_of(noted: Noted | None, recipe: str | None) -> tuple[str, ...]:
    """What runs on a machine: as its table says, else as its recipe does."""
    if noted is not None and noted.services:
        return noted.services
    return _BY_RECIPE.get((noted.recipe if noted is not None else None) or recipe or "", ())


def of_settings(machines: Mapping[str, Machine]) -> dict[str, Noted]:
    return {
        name: Noted(each.cloud, _names(each.services), each.recipe, each.at_end, each.usd_per_hour)
        for name, each in machines.items()
    }


def at_a_glance(file: Path) -> dict[str, Noted]:
    """The same from the file, without judging it: what is wrong there is told by whoever loads the settings."""
    import tomllib

    try:
        tables = tomllib.loads(file.read_text(encoding="utf-8"), parse_float=Decimal).get("machines")
    except (OSError, ValueError):
        return {}
    if not isinstance(tables, dict):
        return {}
    return {name: _noted(table) for name, table in tables.items() if isinstance(table, dict)}


def _noted(table: Mapping[str, Any]) -> Noted:
    services = table.get("services")
    return Noted(
        str(table.get("cloud", "")),
        _names(services if isinstance(services, list) else ()),
        _text(table.get("recipe")),
        _text(table.get("at_end")),
        _money(table.get("usd_per_hour")),
    )


def _names(services: Any) -> tuple[str, ...]:
    return tuple(str(each.get("name", "?")) if isinstance(each, Mapping) else str(each) for each in services)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _money(value: object) -> Decimal | None:
    try:
        return None if value is None else Decimal(str(value))
    except InvalidOperation:
        return None
