"""`hawser rag query`: the passages for a question, with nobody asked to answer it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse

    from console.shell import Shell
    from rag.documents import Passage, Retrieved


_EXAMPLES = """\
  hawser rag query "how long is the notice period" -C legal
  hawser rag query torque --path '*.pdf' --budget 2000 --json"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from console.arguments import positive_count, show_examples

    show_examples(parser, _EXAMPLES)

    parser.add_argument("query", nargs="+", metavar="TEXT", help="the question, or words")
    parser.add_argument(
        "-C",
        "--collection",
        action="append",
        default=[],
        metavar="NAME",
        help="look in this one (repeatable; default: all)",
    )
    much = parser.add_mutually_exclusive_group()
    much.add_argument(
        "-k", "--top", type=positive_count, metavar="N", help="how many passages at most (default: [rag] top_k)"
    )
    much.add_argument(
        "--budget", type=positive_count, metavar="TOKENS", help="as many as have this many tokens together"
    )
    parser.add_argument(
        "--path", action="append", default=[], metavar="GLOB", help="only files whose path fits (repeatable)"
    )
    parser.add_argument(
        "--tag", action="append", default=[], metavar="TAG", help="only documents with this tag (repeatable)"
    )
    parser.add_argument("--json", action="store_true", help="print them with scores and places as JSON")


def run(arguments: argparse.Namespace, shell: Shell) -> int:
    import asyncio

    return asyncio.run(_run(arguments, shell))


async def _run(arguments: argparse.Namespace, shell: Shell) -> int:
    from console.commands.rag_words import NO_DOCUMENTS
    from console.errors import UsageError
    from rag.documents import Filters, Wanted

    question = " ".join(arguments.query).strip()
    if not question:
        raise UsageError("The question is empty.", hint='Write what you look for: hawser rag query "notice period"')
    async with shell.runtime() as runtime:
        wanted = Wanted(
            question,
            tuple(arguments.collection),
            top_k=arguments.top or (1_000 if arguments.budget else runtime.settings.rag.top_k),
            budget_tokens=arguments.budget,
            filters=Filters(paths=tuple(arguments.path), tags=tuple(arguments.tag)),
        )
        found = await runtime.library.retrieve(wanted)
        is_empty = not found.passages and not await runtime.library.collections()
    for note in found.notes:
        shell.note(f"hawser: {note}")
    from console.library.prompt import orders_in

    if arguments.json:
        shell.json(_form(found))
        return 0
    if not found.passages:
        shell.note(NO_DOCUMENTS if is_empty else "Nothing was found.")
    for number, passage in enumerate(found.passages, 1):
        shell.say(_head(number, passage))
        if any(orders_in(passage.text)):
            shell.say("    (holds words that are meant for a model)")
        shell.say("\n".join(f"    {line}" for line in passage.text.strip("\n").splitlines()))
        shell.say()
    return 0


def _head(number: int, passage: Passage) -> str:
    from console.library.prompt import numbered

    (source,) = numbered([passage], number)
    parts = [f"{source.document}, {source.place}", " › ".join(source.headings), source.collection, source.why]
    return f"[{number}] " + " · ".join(filter(None, parts))


def _form(found: Retrieved) -> dict[str, Any]:
    return {
        "schema": 1,
        "items": [_passage(number, each) for number, each in enumerate(found.passages, 1)],
        "considered": [_passage(None, each) for each in found.considered],
        "notes": list(found.notes),
        "tokens": found.tokens,
        "method": found.method,
        "timings_ms": {"embed": round(found.embed_ms, 1), "search": round(found.search_ms, 1)},
    }


def _passage(number: int | None, passage: Passage) -> dict[str, Any]:
    from console.library.prompt import numbered

    (source,) = numbered([passage], number or 0)
    form = source.document_form()
    for name in ("quote_check", "claims", "excluded"):
        del form[name]
    return {**form, "n": number, "document_id": passage.document_id, "tokens": passage.tokens}
