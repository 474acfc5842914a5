"""The list of machines as a table and as JSON, and the sentences about what is wrong with them."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from console.history.glance import Glance
from console.machines import words
from console.machines.noted import SSH, Noted, services_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from console.history.glance import Seen
    from console.machines.leases import LeaseView
    from console.shell import Shell

STALE_S = 90.0
"""A state that was seen longer ago than this is shown with that age."""
OVERDUE_S = {"stop": 120.0, "destroy": 120.0, "create": 900.0, "start": 900.0}
"""How long something may be without its proof before it is shouted about."""
_OFF = ("stopped", "gone", "failed")
_LEAST = ("SERVICES", "CLOUD", "GPU", "GUARD")
"""Columns that a narrow terminal can do without, the first to go first."""


def not_yet_known(noted: Mapping[str, Noted], there: Sequence[Glance], now: datetime) -> Iterator[Glance]:
    """Machines of your own that nobody has looked at yet."""
    names = {each.name for each in there}
    for name, own in noted.items():
        if name in names or own.cloud != SSH:
            continue
        yield Glance(
            0, name, SSH, name, "", "settings", "running", "unknown", now, "", None, 0, own.at_end or "nothing", now,
            None, None, "", 0, None, "", "", "unknown", own.usd_per_hour, None, False, None, None, None, (), Decimal(0),
            None,
        )  # fmt: skip


def show(
    shell: Shell,
    machines: Sequence[Glance],
    noted: Mapping[str, Noted],
    leases: Mapping[str, LeaseView] | None,
    now: datetime,
) -> None:
    """`leases` is None where they were not looked at: then there is no word about who guards."""
    headings = ["NAME", "CLOUD", "STATE", "GPU", "COSTS NOW", "TODAY", "ENDS", "SERVICES"]
    rows = [
        [
            each.name,
            each.cloud,
            state(each, now),
            words.gpu(each.gpu, each.gpu_count) or "-",
            price_now(each),
            words.usd(each.today_usd) if each.today_usd else "-",
            ends(each, (leases or {}).get(each.name), now),
            ", ".join(services_of(noted.get(each.name), each.recipe)) or "-",
        ]
        for each in machines
    ]
    if leases is not None:
        headings.insert(-1, "GUARD")
        for row, each in zip(rows, machines, strict=True):
            row.insert(-1, _guard(leases.get(each.name)))
    keep = columns_that_fit(shell, headings, rows, least=_LEAST)
    shell.table([headings[at] for at in keep], [[row[at] for at in keep] for row in rows])


def columns_that_fit(
    shell: Shell, headings: Sequence[str], rows: Sequence[Sequence[str]], *, least: Sequence[str]
) -> list[int]:
    """Which columns a terminal has room for; `least` are those to go without, the first of them first."""
    keep = list(range(len(headings)))
    if not shell.stdout.isatty():
        return keep
    import shutil

    width = shutil.get_terminal_size().columns
    widths = [max(len(heading), *(len(row[at]) for row in rows)) for at, heading in enumerate(headings)]
    for heading in least:
        if sum(widths[at] + 2 for at in keep) - 2 > width:
            keep.remove(headings.index(heading))
    return keep


def state(each: Glance, now: datetime) -> str:
    """Our word, since when, and how old the news is where that matters."""
    if each.seen_at is None:
        return each.state if each.origin != "settings" else "not looked at yet"
    # One that nobody here has connected to yet runs all the same.
    word = "running" if each.state == "booting" and each.seen_state == "running" else each.state
    word = f"{word} {words.age(now, each.state_at)}"
    seen_s = (now - each.seen_at).total_seconds()
    return word if seen_s < STALE_S or each.gone_at is not None else f"{word}, seen {words.span(seen_s)} ago"


def price_now(each: Glance) -> str:
    """What it costs at this moment, and what for when it is not what one would think."""
    price = each.usd_per_hour_now
    if each.bills == "nothing" or (each.origin == "settings" and price is None):
        return "-"
    if each.bills == "unknown":
        return "unknown" if each.usd_per_hour is None else f"up to {words.per_hour(each.usd_per_hour)}"
    if price is None:
        return "unknown"
    if each.bills == "disk":
        return f"{words.per_hour(price)} disk" if price else "-"
    still = " still billing" if each.state in _OFF or each.desired != "running" else ""
    return f"{words.per_hour(price)}{still}"


def ends(each: Glance, lease: LeaseView | None, now: datetime) -> str:
    """What ends it and when, if nothing more happens; the words are short, for there is little room."""
    if each.at_end == "nothing" or each.gone_at is not None:
        return "-"
    pinned = lease.pinned_until if lease is not None else each.pinned_until
    hard = lease.hard_until if lease is not None else each.hard_until
    if hard is None:
        return "-"
    if pinned is not None and pinned > now:
        return f"pinned to {words.clock(min(pinned, hard), now)}"
    if lease is not None and lease.idle_since is not None and lease.ends_at is not None:
        return f"{each.at_end} {words.clock(lease.ends_at, now)}, idle {words.age(now, lease.idle_since)}"
    return f"{each.at_end} by {words.clock(hard, now)}"


def _guard(lease: LeaseView | None) -> str:
    return "-" if lease is None or lease.protection.word is None else str(lease.protection.word)


def warnings(
    machines: Iterable[Glance],
    accounts: Sequence[Seen],
    hints: Mapping[str, str | None],
    leases: Mapping[str, LeaseView],
    now: datetime,
) -> Iterator[str]:
    """What has to be seen, the most expensive first: what is overdue, under way, lost, and which news are old."""
    for each in machines:
        if each.doing is not None:
            yield _doing(each, now)
        elif each.state in ("lost", "unknown", "failed") and each.seen_at is not None:
            yield f"{each.name} is {each.state}. {each.state_why}".rstrip()
        elif each.bills == "everything" and each.desired != "running" and each.gone_at is None:
            yield f"{each.name} is not wanted and still costs {price_now(each)}."
    alone = [name for name, lease in leases.items() if _guard(lease) == "UNPROTECTED"]
    if alone:
        are, them = ("is", "it") if len(alone) == 1 else ("are", "them")
        yield f"{', '.join(alone)} {are} UNPROTECTED: nobody would end {them}. While it runs, hawser guard does."
    for account in accounts:
        if account.error is None:
            continue
        age = "It was never read."
        if account.read_at is not None:
            age = f"What is shown of it is {words.age(now, account.read_at)} old."
        hint = hints.get(account.cloud)
        yield f"{account.cloud} cannot be read: {account.error} {age}" + (f" {hint}" if hint else "")


_ASKED = {
    "create": "is being rented",
    "start": "is being started",
    "stop": "is being stopped",
    "destroy": "is being destroyed",
}
_NOT_PROVED = {
    "create": "was rented {age} ago and does not run yet; it may cost {price}",
    "start": "was started {age} ago and does not run yet; it may cost {price}",
    "stop": "was told to stop {age} ago, and that is NOT PROVED: it may still cost {price}",
    "destroy": "was to be destroyed {age} ago, and that is NOT PROVED: it may still cost {price}",
}


def _doing(each: Glance, now: datetime) -> str:
    deed = each.doing
    assert deed is not None
    for_s = (now - deed.begun_at).total_seconds()
    why = deed.error or each.state_why
    end = f" {why}" if why else ""
    if for_s < OVERDUE_S[deed.what]:
        tries = f", {deed.tries} tries" if deed.tries > 1 else ""
        return f"{each.name} {_ASKED[deed.what]}, since {words.span(for_s)}{tries}.{end}"
    price = words.per_hour(each.usd_per_hour) if each.usd_per_hour is not None else "money"
    text = _NOT_PROVED[deed.what].format(age=words.span(for_s), price=price)
    return f"OVERDUE: {each.name} {text}.{end}"


def as_json(each: Glance, noted: Noted | None, lease: LeaseView | None, now: datetime) -> dict[str, Any]:
    """`lease` is None where nobody looked, and what it says is null then."""

    def moment(value: datetime | None) -> str | None:
        return None if value is None else value.isoformat(timespec="milliseconds")

    def money(value: Decimal | None) -> float | None:
        return None if value is None else float(value)

    deed = each.doing
    return {
        "name": each.name,
        "cloud": each.cloud,
        "id": each.cloud_id,
        "origin": each.origin,
        "state": each.state,
        "state_since": moment(each.state_at),
        "why": each.state_why or None,
        "wanted": each.desired,
        "cloud_says": each.seen_state or None,
        "seen_at": moment(each.seen_at),
        "seen_age_s": None if each.seen_at is None else round((now - each.seen_at).total_seconds(), 3),
        "gpu": each.gpu or None,
        "gpu_count": each.gpu_count or None,
        "vram_gb": money(each.vram_gb),
        "region": each.region or None,
        "spot": each.spot,
        "bid_usd_per_hour": money(each.bid_usd_per_hour),
        "market_usd_per_hour": money(each.market_usd_per_hour),
        "bills": each.bills,
        "usd_per_hour_now": money(each.usd_per_hour_now),
        "usd_per_hour": money(each.usd_per_hour),
        "usd_per_hour_stopped": money(each.usd_per_hour_stopped),
        "today_usd": money(each.today_usd),
        "at_end": each.at_end,
        "ends_at": moment(lease.ends_at) if lease is not None else None,
        "idle_since": moment(lease.idle_since) if lease is not None else None,
        "hard_until": moment(each.hard_until),
        "pinned_until": moment(each.pinned_until),
        "protection": None if lease is None or lease.protection.word is None else str(lease.protection.word),
        "created_at": moment(each.created_at),
        "started_at": moment(each.started_at),
        "gone_at": moment(each.gone_at),
        "services": list(services_of(noted, each.recipe)),
        "models": list(each.models),
        "doing": None
        if deed is None
        else {
            "what": deed.what,
            "step": deed.step,
            "since": moment(deed.begun_at),
            "tries": deed.tries,
            "error": deed.error or None,
            "overdue": (now - deed.begun_at).total_seconds() >= OVERDUE_S[deed.what],
        },
    }
