"""What can be completed at the cursor: a command, its argument, a file or a collection."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

from console.aside import aside
from screens.fuzzy import fitting
from screens.widgets.composer.choices import Choice
from screens.widgets.composer.commands import Command

MOST_SHOWN = 50
FRESH_S = 10.0
"""For how long a list of files is good enough."""

_COMMAND = re.compile(r"/([\w-]*)")
_ARGUMENT = re.compile(r"/([\w-]+)[ \t]+(\S*)")
_COLLECTION = re.compile(r"(?:^|(?<=[\s(\[{<\"'`,;:]))#([\w.-]*)$")
_FILE = re.compile(r"(?:^|(?<=[\s(\[{<\"'`,;:]))@([^\s@]*)$")


class Token(NamedTuple):
    """What is being written, from `start` in its line to the cursor."""

    kind: Literal["command", "argument", "file", "collection"]
    row: int
    start: int
    words: str
    command: str = ""

    @property
    def place(self) -> tuple[str, int, int]:
        """It stays the same while more is written."""
        return self.kind, self.row, self.start


def token_at(row: int, before: str) -> Token | None:
    """What the line up to the cursor ends in, if it is something to complete."""
    if row == 0 and before.startswith("/"):
        if match := _COMMAND.fullmatch(before):
            return Token("command", row, 1, match[1])
        if match := _ARGUMENT.fullmatch(before):
            return Token("argument", row, match.start(2), match[2], match[1].lower())
    if match := _FILE.search(before):
        return Token("file", row, match.start(1), match[1])
    if match := _COLLECTION.search(before):
        return Token("collection", row, match.start(1) - 1, match[1])
    return None


def command_choices(words: str, commands: Sequence[Command]) -> list[Choice]:
    """Those whose names begin so stand before those that only contain it."""
    return [
        Choice(command.name, f"/{command.name} {command.arguments}".rstrip(), command.words)
        for command in fitting(words, commands, lambda command: command.name)
    ]


def argument_choices(token: Token, commands: Sequence[Command]) -> list[Choice]:
    command = next((command for command in commands if command.name == token.command), None)
    if command is None or command.choices is None:
        return []
    found = fitting(token.words, command.choices(), str)[:MOST_SHOWN]
    return [] if found == [token.words] else [Choice(value, value) for value in found]


class Files:
    """The files below a folder, listed beside the loop when they are first wanted and again when the list is old."""

    def __init__(self, folder: Path, listed: Callable[[], None]) -> None:
        self._folder = folder
        self._listed = listed
        self._names: Sequence[str] = ()
        self._listed_at = float("-inf")
        self._task: asyncio.Task[None] | None = None
        self._last: tuple[str, Sequence[str]] = ("", ())
        self._is_stopped = False

    @property
    def is_listing(self) -> bool:
        return self._task is not None

    def want(self) -> None:
        loop = asyncio.get_running_loop()
        if self._task is None and loop.time() - self._listed_at > FRESH_S:
            self._is_stopped = False
            self._task = loop.create_task(self._list(), name="files")

    def stop(self) -> None:
        """Nobody waits for the list any more."""
        self._is_stopped = True

    async def close(self) -> None:
        self.stop()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _list(self) -> None:
        from console.files_here import files_below  # not before somebody wants a file

        try:
            work = partial(files_below, self._folder, stopped=lambda: self._is_stopped)
            found = await aside(work, "files")
            if self._is_stopped and not found.is_complete:
                return
            self._names = found.names
            self._listed_at = asyncio.get_running_loop().time()
            self._last = ("", ())
        finally:
            self._task = None
        self._listed()

    def choices(self, words: str) -> list[Choice]:
        """The best for these letters. Going on with a word looks only among what fitted before."""
        before, fitted = self._last
        among = fitted if before and words.startswith(before) else self._names
        found = fitting(words, among, str)
        self._last = (words, found)
        return [Choice(name, name) for name in found[:MOST_SHOWN]]

    def path(self, name: str) -> Path:
        return self._folder / name
