"""Our log file as entries, from its end on: a bounded number of them, followed as it grows and as it is turned over."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from console.text import neutralise

KEPT = 5_000
"""Entries in memory; older ones are in the file."""
FIRST_BYTES = 512 * 1024
"""How much of the file's end is read at first."""
MOST_BYTES = 256 * 1024
"""How much is read at once later."""
LONGEST = 4_000
"""Characters of one entry that are kept."""
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")

_ENTRY = re.compile(r"(?P<at>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\.\d{3}Z (?P<level>[A-Z]+) (?P<pid>\d+) (?P<who>\S+): ")
_CONTINUED = "  | "


class LogEntry(NamedTuple):
    number: int
    """Counted from the first one that was read."""
    at: str
    """UTC, as the file has it."""
    level: str
    pid: int
    who: str
    text: str
    """With its further lines."""

    @property
    def time(self) -> str:
        return self.at[11:]

    @property
    def line(self) -> str:
        """As the file has it."""
        return f"{self.at}Z {self.level} {self.pid} {self.who}: {self.text}"

    def is_at_least(self, level: str) -> bool:
        return _rank(self.level) >= _rank(level)


class LogView:
    """`read` is called in a thread, by one caller at a time."""

    def __init__(self, file: Path, *, kept: int = KEPT) -> None:
        self.file = file
        self.entries: deque[LogEntry] = deque(maxlen=kept)
        self._at = 0
        self._identity: tuple[int, int] | None = None
        self._rest = b""
        self._count = 0

    def read(self) -> list[LogEntry]:
        """What was written since the last time; at first the end of the file. An absent file has no entries."""
        try:
            with self.file.open("rb") as log:
                about = self.file.stat()
                identity = (about.st_dev, about.st_ino)
                is_first = self._identity is None
                if identity != self._identity or about.st_size < self._at:
                    self._identity, self._at, self._rest = identity, 0, b""
                limit = FIRST_BYTES if is_first else MOST_BYTES
                skipped = about.st_size - self._at > limit
                if skipped:
                    self._at, self._rest = about.st_size - limit, b""
                log.seek(self._at)
                content = log.read(limit)
        except FileNotFoundError:
            return []
        self._at += len(content)
        content = self._rest + content
        if skipped:
            content = content.partition(b"\n")[2]
        whole, _, self._rest = content.rpartition(b"\n")
        new = self._entries(whole.decode("utf-8", "replace").split("\n")) if whole else []
        self.entries.extend(new)
        return new

    def _entries(self, lines: Iterable[str]) -> list[LogEntry]:
        found: list[LogEntry] = []
        for line in lines:
            line = neutralise(line)
            head = _ENTRY.match(line)
            if head is not None:
                text = line[head.end() :][:LONGEST]
                found.append(LogEntry(self._count, head["at"], head["level"], int(head["pid"]), head["who"], text))
                self._count += 1
            elif found and len(found[-1].text) < LONGEST:
                last = found[-1]
                found[-1] = last._replace(text=f"{last.text}\n{line.removeprefix(_CONTINUED)}"[:LONGEST])
        return found


def chosen(entries: Iterable[LogEntry], level: str, words: str) -> tuple[list[LogEntry], str]:
    """Those of at least this level in which a pattern is found, and what is wrong with the pattern; one that is not a
    pattern is looked for as it stands."""
    wrong = ""
    try:
        pattern = re.compile(words, re.IGNORECASE)
    except (re.error, OverflowError, RecursionError) as error:
        wrong = f"Not a pattern ({error}); looked for as it stands."
        pattern = re.compile(re.escape(words), re.IGNORECASE)
    fitting = [each for each in entries if each.is_at_least(level)]
    return ([each for each in fitting if pattern.search(each.line)] if words else fitting), wrong


def write_entries(name: str, entries: Iterable[LogEntry]) -> Path:
    """Put them into a file that is not there yet; returns it."""
    from console.errors import UsageError
    from console.paths import write_privately

    file = Path(name).expanduser()
    if file.exists():
        raise UsageError(f"{file} is there already; nothing was written.")
    try:
        write_privately(file, "".join(f"{entry.line}\n" for entry in entries).encode())
    except OSError as error:
        raise UsageError(f"{file} cannot be written: {error.strerror or error}.") from error
    return file


def _rank(level: str) -> int:
    return LEVELS.index(level) if level in LEVELS else len(LEVELS)
