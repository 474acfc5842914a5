"""The log file in the state folder: bounded, private, without secrets and without control codes.

`start_log` costs next to nothing: the file is opened, and the patterns are compiled, with the first line that is
written. Several processes write to the same file; whoever finds it full turns it over, the others follow.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from console.text import neutralise

if TYPE_CHECKING:
    import re

OURS: Final = ("console", "providers", "rag", "screens")
LARGEST_BYTES: Final = 1 << 20
KEPT_FILES: Final = 2
LONGEST_ENTRY: Final = 16_384
SHORTEST_SECRET: Final = 6
"""A shorter key would turn half of the log into blanks; no service gives one."""
REMOVED: Final = "[removed]"


class Redactor:
    """Takes secrets out of a text: every known key, as it is or escaped, and whatever looks like one."""

    def __init__(self, secrets: Callable[[], Iterable[str]] = tuple) -> None:
        self._secrets = secrets
        self._patterns: tuple[re.Pattern[str], ...] = ()

    def __call__(self, text: str) -> str:
        for secret in sorted(set(self._secrets()), key=len, reverse=True):
            if len(secret) >= SHORTEST_SECRET:
                for form in _forms(secret):
                    text = text.replace(form, REMOVED)
        if not self._patterns:
            self._patterns = _compile()
        for pattern in self._patterns:
            text = pattern.sub(lambda match: f"{match['before']}{REMOVED}", text)
        return text


def _forms(secret: str) -> set[str]:
    """A secret as it stands, in an address, in JSON, and as Python shows it."""
    import json
    from base64 import b64encode
    from urllib.parse import quote, quote_plus

    return {
        secret,
        quote(secret, safe=""),
        quote(secret),
        quote_plus(secret),
        json.dumps(secret)[1:-1],
        repr(secret)[1:-1],
        b64encode(secret.encode()).decode().rstrip("="),
    }


def _compile() -> tuple[re.Pattern[str], ...]:
    import re

    return tuple(
        re.compile(pattern, re.IGNORECASE)
        for pattern in (
            r"(?P<before>)-----BEGIN [A-Z ]*PRIVATE KEY-----(?s:.*?)(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
            r"(?P<before>\b(?:bearer|basic)\s+)[A-Za-z0-9._~+/=:-]{6,}",
            r"(?P<before>\b(?:proxy-)?authorization\W{1,6}(?:(?:bearer|basic|token)\s+)?)[^\s'\",;]{4,}",
            r"(?P<before>\b[\w-]*(?:api[-_]?key|api[-_]?token|secret|password|passwd|access[-_]?token|auth[-_]?token)"
            r"[\"']?\s*(?:[:=]|,\s*b?(?=[\"']))\s*b?[\"']?)[^\s\"'&,;)}\]]{4,}",
            r"(?P<before>[?&;](?:key|token|sig|signature|auth)=)[^\s&'\"]{4,}",
            r"(?P<before>\b[a-z][a-z0-9+.-]*://)[^\s/@'\"]+(?=@)",
            r"(?P<before>\b)(?:sk|pk|rk)[-_][A-Za-z0-9][A-Za-z0-9_-]{7,}",
            r"(?P<before>\b)(?:gsk_|hf_|rpa_|xai-|ghp_|github_pat_|AIza|AKIA)[A-Za-z0-9_-]{8,}",
        )
    )


class LogFile(logging.Handler):
    """Writes each record as one entry: time, level, process, logger, text; further lines are marked as such."""

    def __init__(self, file: Path, redact: Redactor) -> None:
        super().__init__()
        self.file = file
        self.failure: OSError | None = None
        """Why nothing is written any more: logging must never stop the work it is about."""
        self._redact = redact
        self._descriptor: int | None = None
        self._formatter = logging.Formatter()

    def format(self, record: logging.LogRecord) -> str:
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        text = self._formatter.format(record)
        if len(text) > 4 * LONGEST_ENTRY:
            text = f"{text[: LONGEST_ENTRY * 2]} … {text[-LONGEST_ENTRY * 2 :]}"
        text = neutralise(self._redact(text))
        if len(text) > LONGEST_ENTRY:
            text = f"{text[: LONGEST_ENTRY // 2]} … {text[-LONGEST_ENTRY // 2 :]}"
        text = text.replace("\n", "\n  | ")
        return f"{at}.{int(record.msecs):03}Z {record.levelname} {os.getpid()} {record.name}: {text}\n"

    def emit(self, record: logging.LogRecord) -> None:
        if self.failure is not None:
            return
        try:
            entry = self.format(record)
        except Exception:  # noqa: BLE001 - arguments that do not fit their text, or raise when shown
            self.handleError(record)
            return
        try:
            self._write(entry.encode("utf-8", "backslashreplace"))
        except OSError as error:
            self.failure = error

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the base class's name
        """A record that cannot be shown leaves its place, without its arguments."""
        place = f"{record.levelname} {record.name}: a record from {record.pathname}:{record.lineno} cannot be shown\n"
        try:
            self._write(place.encode("utf-8", "backslashreplace"))
        except OSError as error:
            self.failure = error

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
        super().close()

    def _write(self, entry: bytes) -> None:
        if self._descriptor is None:
            self._descriptor = self._open()
        size = os.fstat(self._descriptor).st_size
        if size and size + len(entry) > LARGEST_BYTES:
            self._turn_over()
        os.write(self._descriptor, entry)

    def _open(self) -> int:
        self.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self.file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        os.fchmod(descriptor, 0o600)
        return descriptor

    def _turn_over(self) -> None:
        """Move the files one place on, unless another process has just done so, and go on in a fresh one."""
        import fcntl

        assert self._descriptor is not None
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        try:
            ours, there = os.fstat(self._descriptor), self.file.stat() if self.file.exists() else None
            same = there is not None and os.path.samestat(ours, there)
            if same:
                for number in range(KEPT_FILES, 0, -1):
                    older = self.file.with_name(f"{self.file.name}.{number - 1}") if number > 1 else self.file
                    if older.exists():
                        older.replace(self.file.with_name(f"{self.file.name}.{number}"))
        finally:
            os.close(self._descriptor)  # which gives the lock back
            self._descriptor = None
        self._descriptor = self._open()


def start_log(file: Path, level: str, secrets: Callable[[], Iterable[str]] = tuple) -> LogFile:
    """Send what our packages log from `level` on, and warnings of libraries, to the file; nothing to the terminal."""
    handler = LogFile(file, Redactor(secrets))
    logging.getLogger().addHandler(handler)
    for name in OURS:
        logging.getLogger(name).setLevel(level.upper())
    logging.raiseExceptions = False  # a fault in a log call is the log's own matter, never the terminal's
    return handler


def stop_log(handler: LogFile) -> None:
    logging.getLogger().removeHandler(handler)
    for name in OURS:
        logging.getLogger(name).setLevel(logging.NOTSET)
    handler.close()
