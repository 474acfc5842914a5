"""`hawser rag ls`: the collections, or the documents of one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncIterator

    from console.library.library import Library
    from console.shell import Shell
    from rag.documents import Document

_AT_ONCE = 500


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "collection", nargs="?", metavar="COLLECTION", help="list its documents; without one, the collections"
    )
    parser.add_argument("--failed", action="store_true", help="only documents that could not be read, and why")
    parser.add_argument("--json", action="store_true", help="print it as JSON")


def run(arguments: argparse.Namespace, shell: Shell) -> int:
    import asyncio

    return asyncio.run(_run(arguments, shell))


async def _run(arguments: argparse.Namespace, shell: Shell) -> int:
    async with shell.runtime() as runtime:
        if arguments.collection is not None or arguments.failed:
            return await _documents(arguments, shell, runtime.library)
        return await _collections(arguments, shell, runtime.library)


async def _collections(arguments: argparse.Namespace, shell: Shell, library: Library) -> int:
    from console.commands.rag_words import NO_DOCUMENTS, collection_form

    found = await library.collections()
    if arguments.json:
        shell.items([collection_form(each) for each in found])
        return 0
    if not found:
        shell.note(NO_DOCUMENTS)
        return 0
    rows = [
        (
            each.name,
            str(each.documents),
            str(each.failed) if each.failed else "-",
            str(each.chunks),
            _share(each.embedded, each.chunks) if each.embedder else "by words",
            each.embedder or "-",
            "-" if each.used_at is None else f"{each.used_at.astimezone():%Y-%m-%d}",
        )
        for each in found
    ]
    shell.table(("COLLECTION", "DOCUMENTS", "FAILED", "PASSAGES", "EMBEDDED", "EMBEDDER", "USED"), rows)
    return 0


async def _documents(arguments: argparse.Namespace, shell: Shell, library: Library) -> int:
    from console.commands.rag_words import document_form

    found = [
        each async for each in _all(library, arguments.collection) if not arguments.failed or each.state == "failed"
    ]
    if arguments.json:
        shell.items([document_form(each) for each in found])
        return 0
    if not found:
        shell.note("No document has failed." if arguments.failed else "It holds no documents.")
        return 0
    rows = [
        (
            str(each.id),
            each.name,
            each.state if each.same_as is None else f"as {each.same_as}",
            "-" if each.pages is None else str(each.pages),
            str(each.chunks),
            each.error or each.path,
        )
        for each in found
    ]
    shell.table(("ID", "NAME", "STATE", "PAGES", "PASSAGES", "WHERE, OR WHAT IS WRONG"), rows)
    return 0


async def _all(library: Library, collection: str | None) -> AsyncIterator[Document]:
    last = 0
    while documents := await library.documents(collection, after=last, most=_AT_ONCE):
        last = documents[-1].id
        for document in documents:
            yield document


def _share(part: int, whole: int) -> str:
    return "-" if not whole else "all" if part >= whole else f"{part * 100 // whole}%"
