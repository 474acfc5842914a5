"""The models each endpoint offered when last asked: for completion and routing, which never wait for a network."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from console.history.rows import from_ms, storable

if TYPE_CHECKING:
    from providers.chat.base import ModelInfo


class SeenModel(NamedTuple):
    name: str
    endpoint: str = ""
    """Filled in by the store, as is `seen_at`."""
    size_bytes: int | None = None
    context_tokens: int | None = None
    family: str | None = None
    parameters: str | None = None
    quantization: str | None = None
    digest: str | None = None
    sees_images: bool | None = None
    price_input_usd_per_million: Decimal | None = None
    price_output_usd_per_million: Decimal | None = None
    seen_at: datetime | None = None


def remember(connection: sqlite3.Connection, now_ms: int, endpoint: str, models: Sequence[SeenModel]) -> None:
    """Replace what was known of an endpoint."""
    connection.execute("DELETE FROM models_seen WHERE endpoint = ?", (endpoint,))
    connection.executemany(
        "INSERT OR IGNORE INTO models_seen (endpoint, name, size_bytes, context_tokens, family, parameters,"
        " quantization, digest, sees_images, price_input, price_output, seen_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                endpoint,
                storable(model.name),
                *model[2:9],
                *(None if price is None else str(price) for price in model[9:11]),
                now_ms,
            )
            for model in models
        ],
    )


def every(connection: sqlite3.Connection, endpoint: str | None = None) -> list[SeenModel]:
    rows = connection.execute(
        "SELECT name, endpoint, size_bytes, context_tokens, family, parameters, quantization, digest, sees_images,"
        " price_input, price_output, seen_at FROM models_seen WHERE ? IS NULL OR endpoint = ? ORDER BY endpoint, seq",
        (endpoint, endpoint),
    )
    return [
        SeenModel(
            name=row[0],
            endpoint=row[1],
            size_bytes=row[2],
            context_tokens=row[3],
            family=row[4],
            parameters=row[5],
            quantization=row[6],
            digest=row[7],
            sees_images=None if row[8] is None else bool(row[8]),
            price_input_usd_per_million=None if row[9] is None else Decimal(row[9]),
            price_output_usd_per_million=None if row[10] is None else Decimal(row[10]),
            seen_at=from_ms(row[11]),
        )
        for row in rows
    ]


_LATELY = """
SELECT name FROM (
    SELECT endpoint || '/' || model AS name, at FROM (
        SELECT endpoint, model, at, task, outcome FROM ledger ORDER BY seq DESC LIMIT 300)
    WHERE task = 'chat' AND outcome <> 'failed'
    UNION ALL
    SELECT model, updated_at FROM (
        SELECT model, updated_at, deleted_at FROM chats ORDER BY updated_at DESC LIMIT 200)
    WHERE model IS NOT NULL AND deleted_at IS NULL
) GROUP BY name ORDER BY max(at) DESC LIMIT ?
"""


def lately(connection: sqlite3.Connection, most: int) -> list[str]:
    """The names that were chosen or have answered lately, the last one first. Looks back a few hundred calls."""
    return [name for (name,) in connection.execute(_LATELY, (most,))]


def seen(model: ModelInfo) -> SeenModel:
    """A line of a host's list as it is kept."""
    return SeenModel(
        name=model.name,
        size_bytes=model.size_bytes,
        context_tokens=model.context_tokens,
        family=model.family,
        parameters=model.parameters,
        quantization=model.quantization,
        digest=model.digest,
        sees_images=model.sees_images,
        price_input_usd_per_million=model.price_input_usd_per_million,
        price_output_usd_per_million=model.price_output_usd_per_million,
    )
