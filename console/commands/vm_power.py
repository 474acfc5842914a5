"""`hawser vm up`, `stop` and `destroy`: what follows is said first, and what was asked for is not called done before
there is a proof."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from console.machines.fleet import Fleet
    from console.machines.records import MachineRecord
    from console.runtime import Runtime
    from console.shell import Shell

HELP = "start, stop or destroy machines"
PROOF_S = 900.0
"""How long `--wait` waits for the proof of a stop or a destruction, unless it is told."""
UP_S = 3600.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    word = parser.prog.rpartition(" ")[2]
    if word == "stop":
        parser.add_argument("machine", nargs="*", metavar="NAME", help="which ones")
        parser.add_argument("--all", action="store_true", help="every machine that runs or comes up")
    else:
        parser.add_argument("machine", metavar="NAME", help="which one")
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")
    if word == "up":
        add_coming_up(parser)
    told = "wait until its services answer" if word == "up" else "wait for the proof, with progress on standard error"
    add_waiting(parser, told)
    parser.add_argument("--json", action="store_true", help="how it stands then, as JSON")


def add_waiting(parser: argparse.ArgumentParser, told: str) -> None:
    from console.arguments import positive_seconds

    parser.add_argument("--wait", action="store_true", help=told)
    parser.add_argument("--timeout", type=positive_seconds, metavar="S", help="wait so long at most; exit code 8 then")


def add_coming_up(parser: argparse.ArgumentParser) -> None:
    """What the commands share that bring a machine up."""
    parser.add_argument(
        "--or-next",
        action="store_true",
        help="with --wait: where it stalls, rent the next offer too, keep the faster one and destroy the other",
    )


def run(arguments: argparse.Namespace, shell: Shell) -> int:
    import asyncio

    words = {"up": _up, "stop": _stop, "destroy": _destroy}
    return asyncio.run(words[arguments.action](arguments, shell))


# Up


async def _up(arguments: argparse.Namespace, shell: Shell) -> int:
    from console.errors import NotFound
    from console.machines import words

    async with shell.runtime() as runtime:
        fleet, name = await runtime.fleet(), arguments.machine
        record: MachineRecord | None = None
        try:
            record = await fleet.machine(name)
        except NotFound:
            if name not in runtime.settings.machines:
                raise
    if record is None:  # it stands in the settings, and is not rented
        from console.commands import vm_new

        return await vm_new.rent_as_written(name, arguments, shell)
    async with shell.runtime() as runtime:
        fleet = await runtime.fleet()
        before = record.state
        if arguments.wait:
            record = await bring_up(name, arguments, runtime, shell)
        else:
            record = await fleet.start(name, why="hawser vm up")
        if arguments.json:
            await show_json(name, runtime, shell)
            return 0
        price = f", for {words.per_hour(record.usd_per_hour)}" if record.usd_per_hour is not None else ""
        if await fleet.deed(name) is not None:
            shell.paragraph(f"The start of {name} is accepted{price}; that it runs is not proved yet.")
            shell.paragraph(f"  Wait for it with: hawser vm up {name} --wait   or look with: hawser vm ls")
        else:
            already = " already" if before == record.state else ""
            shell.paragraph(f"{name} is {record.state}{already}{price}. A shell there: hawser vm ssh {name}")
    return 0


async def bring_up(name: str, arguments: argparse.Namespace, runtime: Runtime, shell: Shell) -> MachineRecord:
    """Start a machine and wait until it is of use, with progress on standard error."""
    import asyncio

    from console.errors import MachineError

    limit_s = arguments.timeout or UP_S

    def tell(text: str) -> None:
        shell.paragraph(f"hawser: {text}")

    try:
        async with asyncio.timeout(limit_s):
            if arguments.or_next:
                up = await runtime.up_or_next(name, tell, why="hawser vm up")
            else:
                up = await (await runtime.ensure()).up(name, tell, why="hawser vm up")
    except asyncio.CancelledError:
        shell.paragraph(
            f"hawser: {name} goes on coming up without us, and may cost money. End it: hawser vm stop {name}"
        )
        raise
    except TimeoutError:
        raise MachineError(
            f"{name!r} is not ready after {limit_s:.0f} s; it may cost money.",
            hint=f"Look with: hawser vm ls {name}   or end it: hawser vm destroy {name}",
        ) from None
    return up.record


# Stop and destroy


async def _stop(arguments: argparse.Namespace, shell: Shell) -> int:
    from console.errors import UsageError
    from console.machines import consequences

    if bool(arguments.machine) == arguments.all:
        raise UsageError("Name the machines to stop, or say --all.", hint="See: hawser vm ls")
    async with shell.runtime() as runtime:
        fleet = await runtime.fleet()
        records = await _to_stop(arguments, fleet, shell)
        if not records:
            shell.paragraph("Nothing runs that could be stopped.")
            await _show_all([], arguments, runtime, shell)
            return 0
        for record in records:
            cloud = runtime.cloud(record.cloud)
            can = cloud.capabilities if record.cloud_id is None else cloud.capabilities_of(record.cloud_id)
            shell.paragraph(f"{record.name} ({record.cloud}, {record.state}):")
            for line in consequences.of_stopping(record, can):
                shell.paragraph(f"  {line}")
        if not arguments.yes and shell.is_interactive():
            what = records[0].name if len(records) == 1 else f"these {len(records)} machines"
            if not shell.confirm(f"Stop {what}?"):
                raise UsageError("Nothing was stopped.")
        return await _end(records, "stop", arguments, runtime, shell)


async def _to_stop(arguments: argparse.Namespace, fleet: Fleet, shell: Shell) -> list[MachineRecord]:
    from console.errors import CloudCannot
    from console.machines.records import Desired, MachineState
    from providers.clouds.base import Bills

    if not arguments.all:
        records = [await fleet.machine(name) for name in dict.fromkeys(arguments.machine)]
        await fleet.refresh(list({record.cloud for record in records}))
        return [await fleet.machine(record.name) for record in records]
    for trouble in await fleet.refresh():
        shell.paragraph(f"hawser: {trouble.cloud} cannot be read: {trouble.text}")
    records = []
    for record in await fleet.machines():
        comes_up = record.desired is Desired.RUNNING and record.state is not MachineState.STOPPED
        if record.bills not in (Bills.EVERYTHING, Bills.UNKNOWN) and not comes_up:
            continue
        try:
            fleet.check_action(record, "stop")
        except CloudCannot as error:
            if record.origin != "settings":
                shell.paragraph(f"hawser: {error.text} {record.name} goes on. {error.hint or ''}".rstrip())
            continue
        records.append(record)
    return records


async def _destroy(arguments: argparse.Namespace, shell: Shell) -> int:
    from console.errors import UsageError
    from console.machines import consequences

    async with shell.runtime() as runtime:
        fleet = await runtime.fleet()
        record = await fleet.machine(arguments.machine)
        fleet.check_action(record, "destroy")
        await fleet.refresh([record.cloud])
        record = await fleet.machine(arguments.machine)
        shell.paragraph(f"{record.name} ({record.cloud}, {record.state}):")
        for line in consequences.of_destroying(record):
            shell.paragraph(f"  {line}")
        if not arguments.yes:
            if not shell.is_interactive():
                raise UsageError(
                    f"Destroying {record.name!r} cannot be undone, and there is no terminal to ask on.",
                    hint="Say --yes to go ahead.",
                )
            if shell.ask("Type the name of the machine to destroy it: ") != record.name:
                raise UsageError("That is not its name; nothing was destroyed.")
        return await _end([record], "destroy", arguments, runtime, shell)


async def _end(
    records: Sequence[MachineRecord], what: str, arguments: argparse.Namespace, runtime: Runtime, shell: Shell
) -> int:
    """Send what was asked for, to all at once, and wait for the proofs if that is wanted."""
    import asyncio

    from console.cli import tell
    from console.commands import vm_waiting
    from console.errors import ConsoleError
    from providers.errors import ProviderError

    fleet = await runtime.fleet()
    act = fleet.stop if what == "stop" else fleet.destroy

    async def one(record: MachineRecord) -> int:
        code = 0
        try:
            await act(record.name, why=f"hawser vm {what}")
        except (ConsoleError, ProviderError) as error:
            code = tell(error, shell)
            deed = await fleet.deed(record.name)
            if deed is None or deed.what != what:
                return code
            shell.paragraph(f"  The {what} of {record.name} stays wished, and is sent again while a Hawser runs.")
        if arguments.wait:
            return await vm_waiting.until_proved(record, what, arguments.timeout or PROOF_S, runtime, shell)
        if code == 0:
            await vm_waiting.tell_how_it_stands(record, what, runtime, shell)
        return code

    codes = await asyncio.gather(*map(one, records))
    await _show_all([record.name for record in records], arguments, runtime, shell)
    return max(codes)


# What is shown at the end


async def show_json(name: str, runtime: Runtime, shell: Shell) -> None:
    """The machine as `vm ls --json` shows it, as one object."""
    from console.shell import SCHEMA

    for document in await _documents([name], runtime):
        shell.json({"schema": SCHEMA, **document})


async def _show_all(names: Sequence[str], arguments: argparse.Namespace, runtime: Runtime, shell: Shell) -> None:
    if arguments.json:
        shell.items(await _documents(names, runtime))


async def _documents(names: Sequence[str], runtime: Runtime) -> list[dict[str, Any]]:
    from console.commands import vm_table
    from console.commands.vm_ls import midnight
    from console.history.glance import look
    from console.machines.noted import of_settings

    now = runtime.clock.now()
    view = await (await runtime.store()).run(lambda c: look(c, midnight(now), gone=True))
    leases = {each.name: each for each in await (await runtime.leases()).every()}
    noted = of_settings(runtime.settings.machines)
    newest = {each.name: each for each in view.machines}  # the last of a name is the one that counts
    known = [newest[name] for name in names if name in newest]
    return [vm_table.as_json(each, noted.get(each.name), leases.get(each.name), now) for each in known]
