"""`hawser vm lease`: how long a machine may live on, why, and who sees to its end; extended, pinned and unpinned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse
    from datetime import datetime, timedelta

    from console.machines.leases import LeaseView
    from console.shell import Shell

HELP = "how long a machine may live on, and who sees to it"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("machine", metavar="NAME", help="which one")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--extend", type=_span, metavar="TIME", help="move the end that holds whatever it does, as in 1h")
    how.add_argument("--pin", type=_span, metavar="TIME", help="keep it through idleness for so long, as in 2h or 90m")
    how.add_argument("--unpin", action="store_true", help="end the pin")
    parser.add_argument("--why", metavar="TEXT", help="what it is pinned for")
    parser.add_argument("--json", action="store_true", help="as JSON")


def _span(text: str) -> timedelta:
    import argparse
    import re
    from datetime import timedelta

    parts = re.fullmatch(r"(?:(\d{1,3})d)?(?:(\d{1,3})h)?(?:(\d{1,4})m(?:in)?)?", text.replace(" ", ""))
    days, hours, minutes = (int(part or 0) for part in parts.groups()) if parts else (0, 0, 0)
    span = timedelta(days=days, hours=hours, minutes=minutes)
    if not timedelta(0) < span <= timedelta(days=30):
        raise argparse.ArgumentTypeError(f"{text!r} is not a time such as 90m, 2h or 1d")
    return span


def run(arguments: argparse.Namespace, shell: Shell) -> int:
    import asyncio

    return asyncio.run(_lease(arguments, shell))


async def _lease(arguments: argparse.Namespace, shell: Shell) -> int:
    from console.errors import UsageError

    if arguments.why and arguments.pin is None:
        raise UsageError("--why says what a machine is pinned for.", hint="As in: --pin 2h --why training")
    async with shell.runtime() as runtime:
        name = arguments.machine
        await (await runtime.fleet()).machine(name)
        leases = await runtime.leases()
        if not (await runtime.store()).read_only:
            await leases.keep_up()
        if arguments.extend is not None:
            view = await leases.extend(name, arguments.extend)
        elif arguments.pin is not None:
            view = await leases.pin(name, arguments.pin, arguments.why or "asked for")
        elif arguments.unpin:
            view = await leases.unpin(name)
        else:
            view = await leases.show(name)
        now = runtime.clock.now()
        if arguments.json:
            from console.shell import SCHEMA

            shell.json({"schema": SCHEMA, **as_json(view)})
        else:
            for line in lines(view, now):
                shell.say(line)
    return 0


def lines(view: LeaseView, now: datetime) -> list[str]:
    from console.machines import words

    if not view.is_leased:
        if view.at_end == "nothing":
            return [f"{view.name} has no lease: nothing ends it but you."]
        return [f"{view.name} is not running, so its lease rests. It will be ended by: {view.at_end}."]
    end = {"stop": "stopped", "destroy": "destroyed", "nothing": "left alone"}[view.at_end]
    told = []
    if view.ends_at is not None:
        when = "now" if view.is_over else f"at {words.clock(view.ends_at, now)}, if nothing more happens"
        told.append(f"{view.name} is {end} {when}. {view.why[:1].upper()}{view.why[1:]}.")
    if view.hard_until is not None:
        told.append(f"  whatever it does  {words.clock(view.hard_until, now)}")
    if view.pinned_until is not None:
        told.append(f"  pinned until      {words.clock(view.pinned_until, now)}: {view.pin_why}")
    idle = words.span(view.idle_after.total_seconds()) if view.idle_after is not None else "never"
    told.append(f"  idle limit        {idle}")
    for signal in view.signals:
        active = "none seen" if signal.active_at is None else f"last {words.age(now, signal.active_at)} ago"
        detail = f": {signal.detail}" if signal.detail else ""
        unread = ", not known now" if signal.kind in view.unread else ""
        told.append(f"  {signal.kind:<17} {active}{unread}{detail}")
    for kind in view.unread:
        if all(signal.kind != kind for signal in view.signals):
            told.append(f"  {kind:<17} not looked at yet; counts as work")
    if view.protection.word is not None:
        told.append(f"  {view.protection.word:<17} {view.protection.text}")
    return told


def as_json(view: LeaseView) -> dict[str, Any]:
    def moment(value: datetime | None) -> str | None:
        return None if value is None else value.isoformat(timespec="milliseconds")

    return {
        "name": view.name,
        "leased": view.is_leased,
        "at_end": view.at_end,
        "began_at": moment(view.began_at),
        "ends_at": moment(view.ends_at),
        "over": view.is_over,
        "why": view.why or None,
        "hard_until": moment(view.hard_until),
        "idle_after_s": None if view.idle_after is None else view.idle_after.total_seconds(),
        "idle_since": moment(view.idle_since),
        "pinned_until": moment(view.pinned_until),
        "pin_why": view.pin_why or None,
        "signals": [
            {
                "kind": signal.kind,
                "active_at": moment(signal.active_at),
                "seen_at": moment(signal.seen_at),
                "known": signal.kind not in view.unread,
                "detail": signal.detail or None,
            }
            for signal in view.signals
        ],
        "unread": list(view.unread),
        "protection": None if view.protection.word is None else str(view.protection.word),
        "stoppers": [
            {
                "where": stopper.where,
                "proved": stopper.is_proved,
                "text": stopper.text,
                "seen_at": moment(stopper.seen_at),
            }
            for stopper in view.protection.stoppers
        ],
    }
