"""How prices, ages and GPUs of machines are written, everywhere the same."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal


def usd(amount: Decimal) -> str:
    """An amount that was or would be spent: cents, and for less than ten of them four places."""
    if Decimal("0.00005") <= abs(amount) < Decimal("0.1"):
        return f"${amount:.4f}"
    return f"${amount:,.2f}"


def per_hour(amount: Decimal) -> str:
    """A price: three places, and for cheap things four, without the zeros that say nothing."""
    places = 4 if amount < Decimal("0.1") else 3
    whole, _, rest = f"{amount:.{places}f}".partition(".")
    return f"${whole}.{rest[:2]}{rest[2:].rstrip('0')}/h"


def per_day(usd_per_hour: Decimal) -> str:
    return f"{usd(usd_per_hour * 24)} a day"


def span(seconds: float) -> str:
    """A length of time, in the one or two units that matter."""
    seconds = max(int(seconds), 0)
    if seconds < 100:
        return f"{seconds} s"
    if seconds < 5400:
        return f"{seconds // 60} min"
    if seconds < 172_800:
        hours, minutes = divmod(seconds // 60, 60)
        return f"{hours} h {minutes:02} min" if minutes and hours < 10 else f"{hours} h"
    return f"{seconds // 86_400} days"


def age(now: datetime, moment: datetime) -> str:
    return span((now - moment).total_seconds())


def clock(moment: datetime, now: datetime) -> str:
    """As the user's clock shows it, with the day where it is another one."""
    there, here = moment.astimezone(), now.astimezone()
    if there.date() == here.date():
        return f"{there:%H:%M}"
    return f"{there:%a %H:%M}" if there - here < timedelta(days=6) else f"{there:%Y-%m-%d %H:%M}"


def gpu(name: str, count: int, vram_gb: Decimal | None = None) -> str:
    """As in `2x RTX 4090 24 GB`; an empty text where nothing is known."""
    if not name:
        return ""
    several = f"{count}x " if count > 1 else ""
    memory = "" if vram_gb is None else f" {vram_gb.normalize():f} GB"
    return f"{several}{name}{memory}"
