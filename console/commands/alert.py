"""`hawser alert`: what stands that you should know, and whether you would hear of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from console.errors import Exit, SettingsError, explain

if TYPE_CHECKING:
    import argparse

    from console.history.alerts import Alert
    from console.notify import Told
    from console.shell import Shell

HELP = "alerts: ls, test"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("ls", help="the alerts that stand")
    listing.add_argument("--all", action="store_true", help="also those that are over")
    listing.add_argument("--json", action="store_true", help="as JSON")
    test = actions.add_parser("test", help="send a trial alert on every channel, or on one")
    test.add_argument("channel", nargs="?", help="terminal, desktop, or a name of the settings; default: all")
    test.add_argument("--json", action="store_true", help="as JSON")


def run(arguments: argparse.Namespace, shell: Shell) -> int:
    return asyncio.run(_list(arguments, shell) if arguments.action == "ls" else _test(arguments, shell))


async def _list(arguments: argparse.Namespace, shell: Shell) -> int:
    async with shell.runtime() as runtime:
        alerts = await runtime.alerts()
        found = await (alerts.every() if arguments.all else alerts.open())
    if arguments.json:
        shell.items([_item(alert) for alert in found])
        return Exit.DONE
    if not found:
        shell.say("There is no alert." if arguments.all else "No alert stands.")
        return Exit.DONE
    rows = [
        (
            alert.level if alert.is_open else f"({alert.level})",
            f"{alert.first_at.astimezone():%d %b %H:%M}",
            "" if alert.cleared_at is None else f"{alert.cleared_at.astimezone():%d %b %H:%M}",
            alert.text,
        )
        for alert in found
    ]
    if arguments.all:
        shell.table(("level", "since", "until", "alert"), rows)
    else:
        shell.table(("level", "since", "alert"), [(row[0], row[1], row[3]) for row in rows])
    return Exit.DONE


async def _test(arguments: argparse.Namespace, shell: Shell) -> int:
    async with shell.runtime() as runtime:
        runtime.ring = shell.mutter if shell.stderr.isatty() else None
        alerts = await runtime.alerts()
        if not alerts.channels:
            raise SettingsError(
                "There is no channel that an alert could take: no terminal, no desktop, and none in the settings.",
                hint="Add one, such as a mail address or a webhook, as [channels.NAME]: hawser config edit",
            )
        told = await alerts.test(arguments.channel)
    if arguments.json:
        shell.items([_told_item(one) for one in told])
    else:
        for one in told:
            shell.say(f"{one.channel}: {'delivered' if one.error is None else 'failed'}")
    failed = [one.error for one in told if one.error is not None]
    for one in told:
        if one.error is not None and not arguments.json:
            explanation = explain(one.error)
            shell.note(f"hawser: {one.channel}: {explanation.text}")
            if explanation.hint:
                shell.note(f"  {explanation.hint}")
    return Exit.UNREACHABLE if failed else Exit.DONE


def _item(alert: Alert) -> dict[str, Any]:
    return {
        "subject": alert.subject,
        "level": alert.level,
        "text": alert.text,
        "open": alert.is_open,
        "times": alert.times,
        "first_at": alert.first_at.isoformat(),
        "last_at": alert.last_at.isoformat(),
        "told_at": None if alert.told_at is None else alert.told_at.isoformat(),
        "cleared_at": None if alert.cleared_at is None else alert.cleared_at.isoformat(),
    }


def _told_item(told: Told) -> dict[str, Any]:
    return {
        "channel": told.channel,
        "delivered": told.error is None,
        "error": None if told.error is None else told.error.text,
    }
