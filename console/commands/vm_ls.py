"""`hawser vm ls`: all machines of all accounts, what they cost now, and what is wrong.

With `--cached` only what is remembered is shown, in a moment: no network, no event loop, nothing written.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    from console.history.glance import View
    from console.machines.events import AccountTrouble
    from console.machines.leases import LeaseView
    from console.machines.noted import Noted
    from console.shell import Shell

HELP = "all machines: state, price, what they cost today and when they end"
FRESH_S = 5.0
"""How old a list may be that another process asked for a moment ago."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("machine", nargs="*", metavar="NAME", help="these machines only")
    parser.add_argument("--cached", action="store_true", help="what is remembered, at once, asking nobody")
    parser.add_argument("--all", action="store_true", help="also those that are gone")
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(arguments: argparse.Namespace, shell: Shell) -> int:
    if arguments.cached:
        return _cached(arguments, shell)
    import asyncio

    return asyncio.run(_asked(arguments, shell))


def _cached(arguments: argparse.Namespace, shell: Shell) -> int:
    from console.history.glance import View, look_into
    from console.machines.noted import at_a_glance

    view: View | None = View([], [])
    if shell.paths.store_file.exists():
        view = look_into(shell.paths.store_file, midnight(datetime.now(UTC)), gone=arguments.all)
    if view is None:
        import asyncio

        view = asyncio.run(_remembered(arguments, shell))
    return _show(arguments, shell, at_a_glance(shell.paths.config_file), view, datetime.now(UTC))


async def _remembered(arguments: argparse.Namespace, shell: Shell) -> View:
    from console.history.glance import look

    async with shell.runtime() as runtime:
        today = midnight(runtime.clock.now())
        return await (await runtime.store()).run(lambda c: look(c, today, gone=arguments.all))


async def _asked(arguments: argparse.Namespace, shell: Shell) -> int:
    from console.errors import Exit
    from console.history.glance import View, look
    from console.machines.noted import of_settings

    async with shell.runtime() as runtime:
        noted = of_settings(runtime.settings.machines)
        if not runtime.clouds.names() and not shell.paths.store_file.exists():
            return _show(arguments, shell, noted, View([], []), runtime.clock.now())
        fleet, store = await runtime.fleet(), await runtime.store()
        troubles = await fleet.refresh(max_age_s=FRESH_S)
        leases = await runtime.leases()
        if not store.read_only:
            await fleet.reconcile()  # what was begun goes on, whoever began it
            await leases.keep_up()
        views = {each.name: each for each in await leases.every()}
        now = runtime.clock.now()
        view = await store.run(lambda c: look(c, midnight(now), gone=arguments.all))
        code = _show(arguments, shell, noted, view, now, views, troubles)
        return Exit.UNREACHABLE if troubles and len(troubles) == len(await fleet.accounts()) else code


def midnight(now: datetime) -> datetime:
    """When the user's day began."""
    from console.money.days import begins

    return begins(now.astimezone().date())


def _show(
    arguments: argparse.Namespace,
    shell: Shell,
    noted: Mapping[str, Noted],
    view: View,
    now: datetime,
    leases: Mapping[str, LeaseView] | None = None,
    troubles: Sequence[AccountTrouble] = (),
) -> int:
    from console.commands import vm_table

    machines = [*view.machines, *vm_table.not_yet_known(noted, view.machines, now)]
    if arguments.machine:
        names = {each.name for each in machines}
        for name in arguments.machine:
            if name not in names:
                _complain(name, names)
        machines = [each for each in machines if each.name in arguments.machine]
    if arguments.json:
        shell.items(
            [vm_table.as_json(each, noted.get(each.name), (leases or {}).get(each.name), now) for each in machines]
        )
    elif machines:
        vm_table.show(shell, machines, noted, leases, now)
    else:
        shell.paragraph("There are no machines yet. See what can be rented with: hawser vm offers")
    hints = {each.cloud: each.hint for each in troubles}
    for line in vm_table.warnings(machines, view.accounts, hints, leases or {}, now):
        shell.paragraph(f"hawser: {line}")
    return 0


def _complain(name: str, names: set[str]) -> None:
    from difflib import get_close_matches

    from console.errors import NotFound

    nearest = get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"Did you mean {nearest[0]!r}?" if nearest else "hawser vm ls shows what there is."
    raise NotFound(f"There is no machine {name!r}.", hint=hint)
