"""`hawser rag watch`: keep a folder in a collection as its files change, until interrupted."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from console.events import Bus
    from console.library.library import Library
    from console.shell import Shell
    from rag.documents import Folder


_EXAMPLES = """\
  hawser rag watch ~/notes --include '*.md'    until Ctrl+C, telling what it does
  hawser rag watch ~/notes -C notes --keep     for good
  hawser rag watch                             the folders that are watched
  hawser rag watch ~/notes --stop              no more"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from console.arguments import show_examples

    show_examples(parser, _EXAMPLES)
    parser.add_argument("file", nargs="?", metavar="PATH", help="the folder; without one, those that are watched")
    parser.add_argument(
        "-C", "--collection", default="documents", metavar="NAME", help="keep it in this one (default: documents)"
    )
    parser.add_argument(
        "--include", action="append", default=[], metavar="GLOB", help="only files that fit (repeatable)"
    )
    parser.add_argument("--exclude", action="append", default=[], metavar="GLOB", help="no files that fit (repeatable)")
    parser.add_argument("--keep", action="store_true", help="watch it for good, in the background, and return")
    parser.add_argument("--stop", action="store_true", help="watch this folder no more; its documents stay")
    parser.add_argument(
        "--agree-remote", action="store_true", help="the text may be sent to the service that embeds it"
    )
    parser.add_argument("--json", action="store_true", help="print the list as JSON")


def run(arguments: argparse.Namespace, shell: Shell) -> int:
    import asyncio

    return asyncio.run(_run(arguments, shell))


async def _run(arguments: argparse.Namespace, shell: Shell) -> int:
    from console.commands.rag_words import agree

    async with shell.runtime() as runtime:
        library = runtime.library
        if arguments.file is None:
            return await _list(arguments, shell, await library.folders())
        if arguments.stop:
            return await _stop(arguments, shell, library)
        await agree(library, arguments.collection, shell, is_agreed=arguments.agree_remote)
        before = {each.id for each in await library.folders()}
        folder = await library.watch(
            arguments.collection, arguments.file, include=arguments.include, exclude=arguments.exclude
        )
        shell.note(f"Watching {folder.path} for {folder.collection}." + ("" if arguments.keep else " Ctrl+C ends it."))
        if arguments.keep:
            return 0
        try:
            await _tell(library, runtime.bus, shell)
        finally:
            if folder.id not in before:  # one that was watched already goes on being watched
                await library.unwatch(folder.id)
                shell.note(f"{folder.path} is not watched any more; its documents stay in {folder.collection}.")
    return 0


async def _tell(library: Library, bus: Bus, shell: Shell) -> None:
    """What the worker does, a line for each thing, until interrupted."""
    from console.commands.rag_words import progress_line
    from console.library.news import LibraryProgress

    told = ""
    with bus.subscribe() as news:
        await library.follow(start=True)
        async for event in news:
            if isinstance(event, LibraryProgress):
                line = progress_line(event.status) or ("nothing to do" if told else "")
                if line and line != told:
                    told = line
                    shell.note(line)


async def _list(arguments: argparse.Namespace, shell: Shell, folders: Sequence[Folder]) -> int:
    from console.chat.export import moment

    if arguments.json:
        shell.items(
            [
                {
                    "id": each.id,
                    "collection": each.collection,
                    "path": each.path,
                    "include": list(each.include),
                    "exclude": list(each.exclude),
                    "quiet_s": each.quiet_s,
                    "scanned_at": None if each.scanned_at is None else moment(each.scanned_at),
                }
                for each in folders
            ]
        )
    elif not folders:
        shell.note("No folder is watched. Watch one with: hawser rag watch PATH")
    else:
        rows = [
            (
                each.path,
                each.collection,
                " ".join(each.include) or "all",
                " ".join(each.exclude) or "-",
                "never" if each.scanned_at is None else f"{each.scanned_at.astimezone():%Y-%m-%d %H:%M}",
            )
            for each in folders
        ]
        shell.table(("FOLDER", "COLLECTION", "FILES", "WITHOUT", "LOOKED AT"), rows)
    return 0


async def _stop(arguments: argparse.Namespace, shell: Shell, library: Library) -> int:
    from pathlib import Path

    from console.errors import NotFound

    path = str(Path(arguments.file).expanduser().absolute())  # noqa: ASYNC240 - no file is touched
    found = [each for each in await library.folders() if each.path == path]
    if not found:
        raise NotFound(f"{path!r} is not watched.", hint="hawser rag watch lists the folders that are.")
    for folder in found:
        await library.unwatch(folder.id)
        shell.note(f"{folder.path} is not watched any more; its documents stay in {folder.collection}.")
    return 0
