"""`hawser rag reindex`: read, cut and embed a collection anew, beside what answers meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from console.shell import Shell

HELP = "read, cut and embed a collection anew, perhaps with another embedder"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("collection", metavar="COLLECTION", help="its name")
    parser.add_argument("--embedder", metavar="NAME", help="with this one, as in [rag] embedder")
    parser.add_argument("--agree-remote", action="store_true", help="the text may go to the service that embeds it")
    parser.add_argument("--no-wait", action="store_true", help="return at once")


def run(arguments: argparse.Namespace, shell: Shell) -> int:
    import asyncio

    return asyncio.run(_run(arguments, shell))


async def _run(arguments: argparse.Namespace, shell: Shell) -> int:
    from console.commands.rag_words import agree, told_progress

    async with shell.runtime() as runtime:
        library = runtime.library
        name = (await library.collection(arguments.collection)).name
        await agree(library, name, shell, is_agreed=arguments.agree_remote, embedder=arguments.embedder)
        await library.reindex(name, arguments.embedder)
        if arguments.no_wait:
            shell.note(f"{name} is made anew in the background.")
            return 0
        found = await library.settled(name, told_progress(shell))
        if found.embedder is None:
            shell.note(f"{name} is made anew; its {found.chunks:,} passages are found by words.")
        else:
            shell.note(f"{name} is made anew: {found.embedded:,} of {found.chunks:,} passages by {found.embedder}.")
    return 0
