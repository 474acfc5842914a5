"""How Vast words its answers, and how it reads numbers and cuts lists into pages."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from decimal import Decimal, InvalidOperation
from typing import Any

from providers.simulated.clouds.wire import Answer, as_json


def said(status: int, code: str, message: str) -> Answer:
    return as_json({"success": False, "error": code, "msg": message}, status)


def no_such_ask(status: int, number: str) -> Answer:
    if status == 410:
        code, text = "no_such_ask", f"error 410/3907: no_such_ask Instance type {number} is no longer available."
    else:
        code, text = "invalid_args", f"error 404/3603: no_such_ask Instance type by id {number} is not available."
    ask_id = int(number) if number.isdecimal() else number
    return as_json({"success": False, "error": code, "msg": text, "ask_id": ask_id}, status)


def decimal(value: Any) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def page(rows: list[Any], limit: int, token: str | None) -> tuple[list[Any], str | None]:
    """One page of rows that have an `id`, and the token of the next one."""
    first = 0
    if token:
        try:
            last_id, position = json.loads(urlsafe_b64decode(token))
        except (ValueError, TypeError):
            last_id, position = None, len(rows)
        first = next((index + 1 for index, row in enumerate(rows) if row["id"] == last_id), min(position, len(rows)))
    page = rows[first : first + limit]
    end = first + len(page)
    if end >= len(rows) or not page:
        return page, None
    return page, urlsafe_b64encode(json.dumps([page[-1]["id"], end]).encode()).decode()
