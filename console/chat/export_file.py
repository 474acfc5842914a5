"""Exports as files: named after their chat, private, and there as a whole or not at all."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from console.errors import ConsoleError, UsageError

_LONGEST_NAME = 60


def name_for(title: str, otherwise: str) -> str:
    """A file name without its ending: the words of a title, as any file system takes them."""
    words = re.findall(r"[^\W_]+", unicodedata.normalize("NFC", title))
    return "-".join(words)[:_LONGEST_NAME].strip("-").lower() or otherwise


@contextmanager
def whole_file(path: Path, *, force: bool = False, hint: str = "--force replaces it.") -> Iterator[TextIO]:
    """Write beside it first and then put it in place in one step, so that a break leaves no half export."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        if path.exists() and not force:
            raise UsageError(f"{str(path)!r} is there already.", hint=hint)
        # A chat is nobody else's business.
        with open(os.open(beside, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:  # noqa: PTH123
            yield file
        beside.replace(path)
    except OSError as error:
        raise ConsoleError(f"{str(path)!r} cannot be written: {error.strerror or error}.") from error
    finally:
        with suppress(OSError):  # a name that is too long, or a folder that went away
            beside.unlink(missing_ok=True)
