"""`hawser rag`: documents that questions are answered from. Each word has a module of its own beside this one."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from console.commands import Command
    from console.shell import Shell

HELP = "documents: add, ls, query, rm, watch, reindex, check, model"
WORDS = ("add", "ls", "query", "rm", "watch", "reindex", "check", "model")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="|".join(WORDS))
    for word in WORDS:
        module = _module(word)
        module.add_arguments(actions.add_parser(word, help=module.HELP))


def run(arguments: argparse.Namespace, shell: Shell) -> int:
    return _module(arguments.action).run(arguments, shell)


def _module(word: str) -> Command:
    module: Command = import_module(f"console.commands.rag_{word}")
    return module
