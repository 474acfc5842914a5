"""`hawser rag check`: whether what is kept of documents is whole, and putting it right."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from console.shell import Shell


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--repair", action="store_true", help="put right what is found wrong")
    parser.add_argument("--json", action="store_true", help="print what is found as JSON")


def run(arguments: argparse.Namespace, shell: Shell) -> int:
    import asyncio

    return asyncio.run(_run(arguments, shell))


async def _run(arguments: argparse.Namespace, shell: Shell) -> int:
    async with shell.runtime() as runtime:
        found = await runtime.library.check(repair=arguments.repair)
        index = (await runtime.library.ask_status()).index_kind
    if arguments.json:
        shell.items([{"text": each.text, "repaired": each.is_repaired} for each in found])
    for each in found if not arguments.json else ():
        shell.say(f"{'repaired' if each.is_repaired else 'wrong'}  {each.text}")
    if index is not None:
        shell.note(f"Vectors are looked for in: {index}.")
    if not found and not arguments.json:
        shell.note("Everything is in order.")
    elif not arguments.repair and not arguments.json:
        shell.note("Put it right with: hawser rag check --repair")
    return 0 if all(each.is_repaired for each in found) else 1
