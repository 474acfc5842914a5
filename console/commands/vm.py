"""`hawser vm`: machines, yours and rented. Each word has its arguments and its work in a module beside this one, which
is loaded when that word is used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from console.arguments import add_words

if TYPE_CHECKING:
    import argparse

    from console.commands import Command
    from console.shell import Shell

WORDS = {
    "ls": "all machines: state, price, what they cost today and when they end",
    "offers": "what can be rented now, ranked by the cost of a whole session",
    "new": "rent a machine: hawser vm new NAME --gpu 'RTX 4090'",
    "up": "start a machine that is off",
    "stop": "stop a machine, and say what goes on costing money",
    "destroy": "destroy a machine with all that is on it",
    "bid": "change the bid of a machine that is rented at one",
    "ssh": "a shell on a machine, or a command: hawser vm ssh NAME -- nvidia-smi",
    "run": "a command on a machine, also one that goes on without us",
    "logs": "what a machine and its services said",
    "lease": "how long a machine may live on, and who sees to it",
    "audit": "everything that costs money on every account",
    "adopt": "take over a machine that is on an account already",
    "forget": "strike out a machine that is not ours; it lives on",
}
_TOGETHER = {"up": "power", "stop": "power", "destroy": "power", "forget": "adopt"}
"""Words that share a module."""

HELP = f"machines: {', '.join(WORDS)}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_words(parser, WORDS, lambda word, inner: _module(word).add_arguments(inner))


def run(arguments: argparse.Namespace, shell: Shell) -> int:
    return _module(arguments.action).run(arguments, shell)


def _module(word: str) -> Command:
    module: Command = import_module(f"console.commands.vm_{_TOGETHER.get(word, word)}")
    return module
