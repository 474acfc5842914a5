"""`hawser vm adopt` and `forget`: take over a machine that is on an account, or strike out one that is not ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from console.shell import Shell

HELP = "take over a machine that is on an account already, or strike one out"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    if parser.prog.endswith(" forget"):
        parser.add_argument("machine", metavar="NAME", help="which one")
        return
    parser.add_argument("cloud", metavar="CLOUD", help="the account it is on")
    parser.add_argument("id", metavar="ID", help="what that cloud calls it; hawser vm audit shows all")
    parser.add_argument("name", metavar="NAME", nargs="?", help="what it will be called here; else as there")
    parser.add_argument(
        "--at-end",
        choices=("stop", "destroy", "nothing"),
        default="nothing",
        help="what ends it when it is idle or its lease is over (nothing)",
    )
    parser.add_argument("--json", action="store_true", help="the machine as JSON")


def run(arguments: argparse.Namespace, shell: Shell) -> int:
    import asyncio

    return asyncio.run((_forget if arguments.action == "forget" else _adopt)(arguments, shell))


async def _adopt(arguments: argparse.Namespace, shell: Shell) -> int:
    from console.commands import vm_power, vm_wishes
    from console.machines import words
    from console.machines.labels import free_name, name_in

    async with shell.runtime() as runtime:
        fleet = await runtime.fleet()
        vm_wishes.accounts(runtime, [arguments.cloud])
        name = arguments.name
        if name is None:
            readings = await fleet.found(arguments.cloud)
            label = next((reading.label for reading in readings if reading.id == arguments.id), "")
            taken = {record.name for record in await fleet.machines()}
            name = free_name(name_in(label or f"{arguments.cloud}-{arguments.id}"), taken)
        record = await fleet.adopt(arguments.cloud, arguments.id, name, at_end=arguments.at_end)
        if arguments.json:
            await vm_power.show_json(record.name, runtime, shell)
            return 0
        price = f" It costs {words.per_hour(record.usd_per_hour)}." if record.usd_per_hour is not None else ""
        shell.paragraph(f"{arguments.id} on {arguments.cloud} is known as {record.name}; it is {record.state}.{price}")
        if record.at_end == "nothing":
            shell.paragraph("  Nothing ends it but you. Nothing was changed on it, so your own key has to open it.")
    return 0


async def _forget(arguments: argparse.Namespace, shell: Shell) -> int:
    async with shell.runtime() as runtime:
        fleet = await runtime.fleet()
        record = await fleet.machine(arguments.machine)
        await fleet.forget(arguments.machine)
        shell.paragraph(f"{arguments.machine} is forgotten. It lives on at {record.cloud} as {record.cloud_id}.")
    return 0
