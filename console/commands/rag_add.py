"""`hawser rag add`: files, folders and pages into a collection."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    from console.library.library import Library
    from console.library.news import LibraryStatus
    from console.runtime import Runtime
    from console.shell import Shell
    from rag.documents import Added, Document, Skipped


_EXAMPLES = """\
  hawser rag add ~/manuals                    a folder with all below it, into the collection "documents"
  hawser rag add contract.pdf -C legal        a file, into a collection of its own
  hawser rag add https://example.org/guide    a page as it is now"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from console.arguments import show_examples

    show_examples(parser, _EXAMPLES)
    parser.add_argument("file", nargs="+", metavar="PATH", help="a file, a folder, or an address (https://…)")
    parser.add_argument(
        "-C", "--collection", default="documents", metavar="NAME", help="into this one (default: documents)"
    )
    waiting = parser.add_mutually_exclusive_group()
    waiting.add_argument("--wait", action="store_true", help="return when they can also be found by meaning")
    waiting.add_argument("--no-wait", action="store_true", help="return at once; they are read in the background")
    parser.add_argument("--tag", action="append", default=[], metavar="TAG", help="give each this tag (repeatable)")
    parser.add_argument("--allow-secrets", action="store_true", help="take files too that look as if they held keys")
    parser.add_argument(
        "--agree-remote", action="store_true", help="their text may be sent to the service that embeds it"
    )
    parser.add_argument("--json", action="store_true", help="print what became of each as JSON")


def run(arguments: argparse.Namespace, shell: Shell) -> int:
    import asyncio

    return asyncio.run(_run(arguments, shell))


async def _run(arguments: argparse.Namespace, shell: Shell) -> int:
    import asyncio

    from console.commands.rag_words import agree, told_progress

    async with shell.runtime() as runtime:
        library = runtime.library
        await agree(library, arguments.collection, shell, is_agreed=arguments.agree_remote)
        ids, skipped = await _add(library, arguments)
        documents: list[Document] = []
        if not arguments.no_wait and ids:
            until = "ready" if arguments.wait else "lexical"
            try:
                documents = await _wait(library, ids, until, told_progress(shell))
            except asyncio.CancelledError:
                shell.note(
                    f"They are read on in the background; hawser rag ls {arguments.collection} shows how far,"
                    f" hawser rag rm {arguments.collection} ends it."
                )
                raise
        if ids and (missing := await asyncio.to_thread(_missing_embedder, runtime)):
            shell.note(missing)
        return _report(arguments, shell, ids, skipped, documents)


def _missing_embedder(runtime: Runtime) -> str | None:
    from console.library.model import model_state
    from rag.embedder import DEFAULT

    if runtime.settings.rag.embedder != DEFAULT:
        return None
    state = model_state(runtime.paths)
    if state.is_ready or state.weights is not None:
        return None
    return "They are found by their words only, until the embedder is here: hawser rag model get"


async def _add(library: Library, arguments: argparse.Namespace) -> tuple[list[int], list[Skipped]]:
    from console.library.pages import is_page

    pages = [path for path in arguments.file if is_page(path)]
    files = [path for path in arguments.file if not is_page(path)]
    added: list[Added] = []
    if files:
        added.append(
            await library.add(files, arguments.collection, tags=arguments.tag, allow_secrets=arguments.allow_secrets)
        )
    added += [await library.add_page(page, arguments.collection, tags=arguments.tag) for page in pages]
    ids = dict.fromkeys(each for one in added for each in one.document_ids)
    return list(ids), [skipped for one in added for skipped in one.skipped]


async def _wait(
    library: Library, ids: Sequence[int], until: str, tell: Callable[[LibraryStatus], None]
) -> list[Document]:
    return await library.wait(ids, "ready" if until == "ready" else "lexical", tell)


def _report(
    arguments: argparse.Namespace, shell: Shell, ids: list[int], skipped: list[Skipped], documents: list[Document]
) -> int:
    """0 when all that was named is in or on its way; 2 when nothing is."""
    from console.commands.rag_words import document_form
    from console.text import plural

    failed = [each for each in documents if each.state == "failed"]
    if arguments.json:
        shell.json(
            {
                "schema": 1,
                "collection": arguments.collection,
                "items": [document_form(each) for each in documents] if documents else [{"id": each} for each in ids],
                "skipped": [{"path": each.path, "why": each.why} for each in skipped],
            }
        )
    else:
        for each in skipped:
            shell.note(f"Left out {each.path}: {each.why}")
        for document in failed:
            shell.note(f"{document.path}: {document.error}" + (f" {document.hint}" if document.hint else ""))
        done = len(ids) - len(failed)
        chunks = sum(each.chunks for each in documents)
        told = f" ({plural(chunks, 'passage')})" if chunks else ", read in the background" if arguments.no_wait else ""
        if done:
            shell.note(f"{plural(done, 'document')} in {arguments.collection}{told}.")
        elif not ids:
            shell.note("There was nothing to add.")
    return 0 if ids and len(failed) < len(ids) else 2
