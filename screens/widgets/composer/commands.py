"""Words that begin with a slash: what the app offers, and which of it is meant."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

_WRITTEN = re.compile(r"/([A-Za-z][\w-]*)(?:[ \t]+(.*))?", re.DOTALL)


class Command(NamedTuple):
    name: str
    words: str
    """What it does, in a few words."""
    arguments: str = ""
    """How its arguments are written, as in `NAME`; empty if it takes none."""
    choices: Callable[[], Sequence[str]] | None = None
    """What its argument can be, asked when it is about to be written."""


def written_command(text: str) -> tuple[str, str] | None:
    """Name and arguments of a text that is a command; a slash within a path is none."""
    match = _WRITTEN.fullmatch(text.strip())
    return None if match is None else (match[1].lower(), (match[2] or "").strip())


def nearest(name: str, commands: Sequence[Command]) -> str | None:
    from difflib import get_close_matches

    return next(iter(get_close_matches(name, [command.name for command in commands], n=1, cutoff=0.6)), None)
