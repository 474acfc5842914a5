"""Files dropped on a terminal arrive as pasted text: telling them from words.

Every terminal writes them in its own way: raw, with a blank behind, with backslashes, in single or double quotes, as
`file://` addresses; several are parted by blanks or by lines. A text counts as files only if every piece of it is an
absolute path, or one under `~`, and is there. Everything else is text.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

LONGEST_TEXT = 64 * 1024
MOST_PIECES = 1_000
LONGEST_PATH = 4_096

_BEGINNING = re.compile(r"""\s*(?:['"]?(?:/|~|\\~|file:/|[A-Za-z]:[\\/]|\\\\))""")
_URI = re.compile(r"file:(?://(?P<host>[^/]*))?(?P<path>/.*)", re.IGNORECASE)
_DRIVE = re.compile(r"/[A-Za-z]:/")
_IN_QUOTES = re.compile(r'"([^"]+)"|(\S+)')
_NEXT_PATH = re.compile(r"\s+(?=~?/)")


def may_be_paths(text: str) -> bool:
    """Whether it is worth asking the disk; costs nothing."""
    return len(text) <= LONGEST_TEXT and _BEGINNING.match(text) is not None and "\0" not in text


def dropped_paths(text: str, *, exists: Callable[[Path], bool] | None = None) -> tuple[Path, ...]:
    """The files that a text consists of, each once; empty if it is just text.

    Asks the disk, which may take long on a network drive: call it in a thread.
    """
    if not may_be_paths(text):
        return ()
    there = exists or _is_there
    for pieces in readings(text):
        if not 0 < len(pieces) <= MOST_PIECES:
            continue
        paths = _all_paths(pieces, there)
        if paths:
            return paths
    return ()


def readings(text: str) -> Iterator[list[str]]:
    """The ways in which a text can be cut into paths, the most literal first."""
    whole = text.strip()
    if not whole or "\0" in whole:
        return
    if "\n" not in whole and "\r" not in whole:
        yield [whole]
    lines = [line.strip() for line in re.split(r"[\r\n]+", whole) if line.strip()]
    if len(lines) > 1:
        yield lines
    uris = [_from_uri(word) for word in whole.split() if not word.startswith("#")]
    if uris and all(uri is not None for uri in uris):
        yield [uri for uri in uris if uri is not None]
    yield from filter(None, (_each_line(lines, _shell_words), _each_line(lines, _blanks_escaped)))
    yield [piece for line in lines for piece in _NEXT_PATH.split(line)]
    yield [quoted or bare for quoted, bare in _IN_QUOTES.findall(whole)]


def _each_line(lines: Iterable[str], cut: Callable[[str], list[str] | None]) -> list[str] | None:
    pieces: list[str] = []
    for line in lines:
        words = cut(line)
        if words is None:
            return None
        pieces += (_from_uri(word) or word for word in words)
    return pieces


def _shell_words(line: str) -> list[str] | None:
    import shlex

    try:
        return shlex.split(line)
    except ValueError:  # a quote that is not closed
        return None


def _blanks_escaped(line: str) -> list[str]:
    """Backslashes before blanks only; an apostrophe or another backslash is part of the name."""
    return [word.replace("\\ ", " ").replace("\\\t", "\t") for word in re.split(r"(?<!\\)\s+", line)]


def _from_uri(word: str) -> str | None:
    from urllib.parse import unquote_to_bytes

    match = _URI.fullmatch(word)
    if match is None or (match["host"] or "").lower() not in ("", "localhost", socket.gethostname().lower()):
        return None
    path = match["path"]
    return os.fsdecode(unquote_to_bytes(path[1:] if _DRIVE.match(path) and os.name == "nt" else path))


def _all_paths(pieces: Iterable[str], there: Callable[[Path], bool]) -> tuple[Path, ...]:
    paths: dict[Path, None] = {}
    for piece in pieces:
        if not piece or len(piece) > LONGEST_PATH or "\0" in piece:
            return ()
        path = _absolute(piece)
        if path is None or not there(path):
            return ()
        paths[path] = None
    return tuple(paths)


def _absolute(piece: str) -> Path | None:
    """None for what is relative, and for a bare root or home, which nobody drops but many type."""
    if piece.startswith("~"):
        try:
            path = Path(piece).expanduser()
        except RuntimeError:  # nobody of that name
            return None
        return path if path.is_absolute() and piece.strip("~/") else None
    path = Path(piece)
    return path if path.is_absolute() and path != Path(path.anchor) else None


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name too long, a folder that may not be entered
        return False


def is_remote_session(environment: os._Environ[str] | dict[str, str] = os.environ) -> bool:
    """Whether the terminal is on another machine, whose files are not here to be read."""
    return any(environment.get(name) for name in ("SSH_CONNECTION", "SSH_CLIENT", "SSH_TTY"))
