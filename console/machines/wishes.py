"""When a machine may be started because of a prompt: the limits that a user sets, and what they say when they hold."""

from __future__ import annotations

import sqlite3
from datetime import datetime, time

from console.errors import MachineError
from console.history.rows import to_ms
from console.money.days import begins
from console.settings import LeaseSettings

BY_PROMPT = "A prompt wants it."
"""Why a machine was started; counted by `wakes_today`."""


def wakes_today(connection: sqlite3.Connection, now: datetime) -> int:
    """How often machines were started for prompts on this day of the user's calendar."""
    day = begins(now.astimezone().date())
    (count,) = connection.execute(
        "SELECT count(*) FROM deeds WHERE what IN ('create', 'start') AND why = ? AND begun_at >= ?",
        (BY_PROMPT, to_ms(day)),
    ).fetchone()
    return int(count)


def check_wake(name: str, settings: LeaseSettings, wakes: int, now: datetime) -> None:
    """Raises `MachineError` when a prompt may not start a machine now; `vm up` always may."""
    hint = f"hawser vm up {name} starts it all the same."
    if not settings.wake:
        raise MachineError(f"{name!r} is off, and prompts may not start machines (lease.wake is false).", hint=hint)
    if settings.wake_hours is not None and not is_within(settings.wake_hours, now.astimezone().time()):
        raise MachineError(f"{name!r} is off; prompts start machines from {settings.wake_hours} only.", hint=hint)
    if wakes >= settings.wakes_per_day:
        raise MachineError(
            f"{name!r} is off, and prompts have started machines {wakes} times today, of {settings.wakes_per_day}.",
            hint=hint,
        )


def is_within(hours: str, moment: time) -> bool:
    """Whether a time of day lies within `22:00-06:30` and the like; from and to the same is the whole day."""
    since, until = (time.fromisoformat(part) for part in hours.split("-"))
    if since == until:
        return True
    if since < until:
        return since <= moment < until
    return moment >= since or moment < until
