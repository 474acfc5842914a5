"""Rented machines as the settings would have them: for what looks machines up there, endpoints above all."""

from __future__ import annotations

import json
import sqlite3

from console.settings import Machine


def rented(connection: sqlite3.Connection) -> dict[str, Machine]:
    """The machines of clouds that are not gone, with what was ordered for them."""
    rows = connection.execute(
        "SELECT name, cloud, wanted FROM machines WHERE gone_at IS NULL AND origin <> 'settings' ORDER BY seq"
    ).fetchall()
    return {name: _as_settings(name, cloud, json.loads(wanted)) for name, cloud, wanted in rows}


def _as_settings(name: str, cloud: str, order: dict[str, object]) -> Machine:
    models = order.get("models")
    recipe = order.get("recipe")
    return Machine(
        name=name,
        cloud=cloud,
        recipe=recipe if isinstance(recipe, str) else None,
        models=tuple(str(model) for model in models) if isinstance(models, list) else (),
    )
