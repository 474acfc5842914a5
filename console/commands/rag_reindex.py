"""`hawser rag reindex`: read, cut and embed a collection anew, beside what answers meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from console.shell import Shell


_EXAMPLES = """\
  hawser rag reindex legal                                    after a change of [rag]
  hawser rag reindex legal --embedder box/nomic-embed-text    by a model of the endpoint "box"
  hawser rag reindex legal --embedder none                    found by words only, without vectors"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from console.arguments import show_examples

    show_examples(parser, _EXAMPLES)
    parser.add_argument("collection", metavar="COLLECTION", help="this one")
    parser.add_argument("--embedder", metavar="NAME", help="by this one from now on (default: [rag] embedder)")
    parser.add_argument(
        "--agree-remote", action="store_true", help="the text may be sent to the service that embeds it"
    )
    parser.add_argument("--json", action="store_true", help="print what it is then as JSON")
    parser.add_argument("--no-wait", action="store_true", help="return at once; it is made in the background")


def run(arguments: argparse.Namespace, shell: Shell) -> int:
    import asyncio

    return asyncio.run(_run(arguments, shell))


async def _run(arguments: argparse.Namespace, shell: Shell) -> int:
    import asyncio

    from console.commands.rag_words import agree, collection_form, told_progress

    async with shell.runtime() as runtime:
        library = runtime.library
        name = (await library.collection(arguments.collection)).name
        await agree(library, name, shell, is_agreed=arguments.agree_remote, embedder=arguments.embedder)
        await library.reindex(name, arguments.embedder)
        if arguments.no_wait:
            shell.note(f"{name} is made anew in the background.")
            found = await library.collection(name)
        else:
            try:
                found = await library.settled(name, told_progress(shell))
            except asyncio.CancelledError:
                shell.note(f"{name} is made anew in the background; what it was answers until then.")
                raise
        if arguments.json:
            shell.json({"schema": 1, **collection_form(found)})
        elif arguments.no_wait:
            pass
        elif found.embedder is None:
            shell.note(f"{name} is made anew; its {found.chunks:,} passages are found by words.")
        else:
            shell.note(f"{name} is made anew: {found.embedded:,} of {found.chunks:,} passages by {found.embedder}.")
    return 0
