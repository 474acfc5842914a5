"""`hawser rag rm`: documents out of a collection, or a whole collection. The files stay where they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from console.library.library import Library
    from console.shell import Shell
    from rag.documents import Document

_MOST = 10_000


_EXAMPLES = """\
  hawser rag rm legal contract.pdf    one document, by name, path or id
  hawser rag rm legal                 the collection with all its documents, after a question"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from console.arguments import show_examples

    show_examples(parser, _EXAMPLES)
    parser.add_argument("collection", metavar="COLLECTION", help="out of this one")
    parser.add_argument(
        "document", nargs="*", default=[], metavar="DOCUMENT", help="ids, names or paths; without any, all of it"
    )
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask before a whole collection goes")
    parser.add_argument("--json", action="store_true", help="print how many went as JSON")


def run(arguments: argparse.Namespace, shell: Shell) -> int:
    import asyncio

    return asyncio.run(_run(arguments, shell))


async def _run(arguments: argparse.Namespace, shell: Shell) -> int:
    from console.errors import UsageError
    from console.text import plural

    async with shell.runtime() as runtime:
        library = runtime.library
        collection = await library.collection(arguments.collection)
        found = [await _one(library, collection.name, each) for each in arguments.document]
        if not found and not arguments.yes:
            if not shell.is_interactive():
                raise UsageError("Removing asks first, and there is no terminal to ask on.", hint="--yes does not ask.")
            if not shell.confirm(f"Remove {collection.name} with {plural(collection.documents, 'document')}?"):
                shell.note("Nothing was removed.")
                return 0
        count = await library.remove(collection.name, [each.id for each in found] or None)
        if arguments.json:
            shell.json({"schema": 1, "collection": collection.name, "removed": count})
        else:
            shell.note(f"Removed {plural(count, 'document')} from {collection.name}. The files are untouched.")
    return 0


async def _one(library: Library, collection: str, wanted: str) -> Document:
    from console.errors import NotFound

    like = "" if wanted.isdigit() else wanted
    documents = await library.documents(collection, most=_MOST, matching=like)
    fitting = [each for each in documents if wanted in (str(each.id), each.path)]
    fitting = fitting or [each for each in documents if each.name == wanted]
    if len(fitting) == 1:
        return fitting[0]
    what = "could be several documents" if fitting else "is no document"
    raise NotFound(
        f"{wanted!r} {what} of {collection!r}.", hint=f"hawser rag ls {collection} shows them with their ids."
    )
