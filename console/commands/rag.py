"""`hawser rag`: documents that questions are answered from. Each word has a module of its own beside this one."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from console.arguments import add_words

if TYPE_CHECKING:
    import argparse

    from console.commands import Command
    from console.shell import Shell

WORDS = {
    "add": "files, folders and pages of the web into a collection",
    "ls": "the collections, or the documents of one",
    "query": "the passages that fit a question; nobody is asked to answer it",
    "rm": "remove documents, or a collection; the files themselves stay",
    "watch": "keep a folder in a collection as its files change",
    "reindex": "read, cut and embed a collection anew, perhaps with another embedder",
    "check": "whether what is kept of documents is whole; --repair puts it right",
    "model": "the built-in embedder: ls, get",
}

HELP = f"documents: {', '.join(WORDS)}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_words(parser, WORDS, lambda word, inner: _module(word).add_arguments(inner))


def run(arguments: argparse.Namespace, shell: Shell) -> int:
    return _module(arguments.action).run(arguments, shell)


def _module(word: str) -> Command:
    module: Command = import_module(f"console.commands.rag_{word}")
    return module
