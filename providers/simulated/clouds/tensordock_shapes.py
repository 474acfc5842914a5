"""The shapes in which TensorDock's pages, its service and its users show one and the same answer.

The documentation disagrees with itself and with the service, so a twin can be told which of them to be like; a client
that reads leniently gets along with all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

Row = Mapping[str, Any]


class ListShape(StrEnum):
    RESOURCES = "resources"
    """The reference: `data.instances`, each with only a name and a status, under `attributes`."""
    ATTRIBUTES = "attributes"
    """The page for beginners: `data.attributes.instances`, with the region besides."""
    FLAT = "flat"
    """What a user saw: `data` is the list, with address and ports."""


class ShowShape(StrEnum):
    BARE = "bare"
    DATA = "data"
    ATTRIBUTES = "attributes"
    """`data` holds type and id, and the rest under `attributes`."""


class Spelling(StrEnum):
    """How status words are spelled."""

    LOWER = "lower"
    CAMEL = "camel"
    SNAKE = "snake"


_WORDS = {
    "stoppeddisassociated": ("Stopped", "Disassociated"),
}


def spelled(status: str, spelling: Spelling) -> str:
    """A status, known by its lower case word, in a spelling."""
    words = _WORDS.get(status, (status.capitalize(),))
    match spelling:
        case Spelling.LOWER:
            return status
        case Spelling.CAMEL:
            return "".join(words)
        case Spelling.SNAKE:
            return "_".join(words).lower()


def listed(rows: Sequence[Row], shape: ListShape) -> dict[str, Any]:
    match shape:
        case ListShape.RESOURCES:
            return {"data": {"instances": [_resource("VM", row, "name", "status") for row in rows]}}
        case ListShape.ATTRIBUTES:
            instances = [_resource("instance", row, "name", "status", "region") for row in rows]
            return {"data": {"type": "list", "id": "instances", "attributes": {"instances": instances}}}
        case ListShape.FLAT:
            shown = ("id", "name", "status", "ipAddress", "portForwards")
            return {"data": [{"type": "virtualmachine"} | _some(row, *shown) for row in rows]}


def shown(row: Row, shape: ShowShape) -> dict[str, Any]:
    whole = {"type": "instance"} | {name: value for name, value in row.items() if name != "region"}
    match shape:
        case ShowShape.BARE:
            return whole
        case ShowShape.DATA:
            return {"data": whole}
        case ShowShape.ATTRIBUTES:
            attributes = {name: value for name, value in whole.items() if name not in ("type", "id")}
            return {"data": {"type": "instance", "id": row["id"], "attributes": attributes}}


def _resource(kind: str, row: Row, *names: str) -> dict[str, Any]:
    return {"type": kind, "id": row["id"], "attributes": _some(row, *names)}


def _some(row: Row, *names: str) -> dict[str, Any]:
    return {name: row[name] for name in names}
