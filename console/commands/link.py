"""`hawser link`: SSH links to machines. Each word has a module of its own, `link_WORD.py`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from console.commands import link_pin

if TYPE_CHECKING:
    import argparse

    from console.shell import Shell


class _Word(Protocol):
    def add(self, actions: argparse._SubParsersAction[Any]) -> None: ...

    def run(self, arguments: argparse.Namespace, shell: Shell) -> int: ...


HELP = "SSH links to machines: pin"
_WORDS: Mapping[str, _Word] = {"pin": link_pin}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="|".join(_WORDS))
    for word in _WORDS.values():
        word.add(actions)


def run(arguments: argparse.Namespace, shell: Shell) -> int:
    return _WORDS[arguments.action].run(arguments, shell)
