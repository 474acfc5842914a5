"""Times as a list shows them: as short as they can be told from each other."""

from __future__ import annotations

from datetime import datetime

# Not strftime: the words of the interface are English whatever the locale.
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip

WIDTH = 8
"""Cells of the longest one."""


def short_time(at: datetime, now: datetime) -> str:
    """14:02 today, Tue within a week, 3 Nov within the year, else Nov 2024; by the clock of this place."""
    at, now = at.astimezone(), now.astimezone()
    days = (now.date() - at.date()).days
    if days == 0:
        return f"{at:%H:%M}"
    if 0 < days < 7:
        return _DAYS[at.weekday()]
    if at.year == now.year:
        return f"{at.day} {_MONTHS[at.month - 1][:3]}"
    return f"{_MONTHS[at.month - 1][:3]} {at.year}"


def group_of(at: datetime, now: datetime) -> str:
    """Under which heading something of this time belongs; what a wrong clock put into the future is of today."""
    at, now = at.astimezone(), now.astimezone()
    days = (now.date() - at.date()).days
    if days <= 0:
        return "Today"
    if days == 1:
        return "Yesterday"
    if days < 7:
        return "This week"
    month = _MONTHS[at.month - 1]
    return month if at.year == now.year else f"{month} {at.year}"
