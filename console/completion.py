"""What could come next on a command line. Names come from settings and the store; nothing here touches the network."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from console.arguments import LateParser, new_parser
from console.cli import COMMANDS, load_command
from console.errors import ConsoleError

if TYPE_CHECKING:
    from console.shell import Shell

FILES = ":files"
"""The word that tells the shell's script to offer file names itself."""

MOST = 200


def complete(line: list[str], shell: Shell) -> list[str]:
    """Words that fit the last, unfinished one of `line`; empty when nothing is known."""
    *before, prefix = line or [""]
    parser = _parser_of(before)
    found = _after(parser, before, prefix, shell)
    if FILES in found:
        return [FILES]
    return sorted({word for word in found if word.startswith(prefix)})[:MOST]


def _parser_of(before: list[str]) -> argparse.ArgumentParser:
    """The parser in charge at this point: the prompt's, a command's, or that of a command's own word."""
    if before and before[0] in COMMANDS:
        command = load_command(before[0])
        parser: argparse.ArgumentParser = new_parser(f"hawser {before[0]}", command.HELP)
        command.add_arguments(parser)
        for word in before[1:]:
            inner = _words_of(parser).get(word)
            if inner is not None:
                parser = inner.filled() if isinstance(inner, LateParser) else inner
        return parser
    from console.prompt_options import make_parser

    return make_parser(COMMANDS)


def _words_of(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def _after(parser: argparse.ArgumentParser, before: list[str], prefix: str, shell: Shell) -> Iterable[str]:
    options = {option: action for action in parser._actions for option in action.option_strings}
    pending = options.get(before[-1]) if before else None
    if pending is not None and pending.nargs != 0:
        return _values(pending, shell)
    if prefix.startswith("-"):
        return [option for option in options if option.startswith("--")]
    if not before:
        return COMMANDS
    words = _words_of(parser)
    if words:
        return words
    for action in parser._actions:
        if not action.option_strings and (values := _values(action, shell)):
            return values
    return []


def _values(action: argparse.Action, shell: Shell) -> Iterable[str]:
    if action.choices is not None:
        return [str(choice) for choice in action.choices]
    source = _SOURCES.get(action.dest)
    if source is None:
        return []
    try:
        return source(shell)
    except ConsoleError:  # a broken settings file or store: completion stays silent, the command itself will tell
        return []


def _models(shell: Shell) -> list[str]:
    async def collect() -> list[str]:
        async with shell.runtime() as runtime:
            settings = runtime.settings
            seen = await (await runtime.store()).models_seen()
            listed = [
                f"{endpoint.name}/{model}"
                for endpoint in settings.endpoints.values()
                for model in (*endpoint.models, *endpoint.expected)
            ]
            return [*settings.aliases, *settings.routes, *listed, *(f"{each.endpoint}/{each.name}" for each in seen)]

    return asyncio.run(collect())


def _chats(shell: Shell) -> list[str]:
    async def collect() -> list[str]:
        async with shell.runtime() as runtime:
            return [chat.id for chat in await (await runtime.store()).chats(limit=MOST)]

    return asyncio.run(collect())


def _endpoints(shell: Shell) -> list[str]:
    async def collect() -> list[str]:
        async with shell.runtime() as runtime:
            return list(runtime.settings.endpoints)

    return asyncio.run(collect())


def _templates(shell: Shell) -> list[str]:
    from console.chat.templates import template_names

    return list(template_names(shell.paths.templates))


def _machines(shell: Shell) -> list[str]:
    from console.history.glance import names

    async def written() -> list[str]:
        async with shell.runtime() as runtime:
            return list(runtime.settings.machines)

    return [*names(shell.paths.store_file), *asyncio.run(written())]


def _collections(shell: Shell) -> list[str]:
    from rag.errors import RagError
    from rag.store import DocumentStore

    try:
        store = DocumentStore.open(shell.paths.documents_file, read_only=True)
    except RagError:  # the command itself will tell
        return []
    try:
        return [each.name for each in store.collections()]
    finally:
        store.close()


def _files(_shell: Shell) -> list[str]:
    return [FILES]


_SOURCES: dict[str, Callable[[Shell], list[str]]] = {
    "attach": _files,
    "chat": _chats,
    "collection": _collections,
    "endpoint": _endpoints,
    "file": _files,
    "machine": _machines,
    "model": _models,
    "output": _files,
    "rag": _collections,
    "schema": _files,
    "template": _templates,
}
"""Which names fit an argument, by the argument's own name; the same name means the same thing in every command."""
