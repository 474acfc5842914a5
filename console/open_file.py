"""A document of the user's in the program of this computer that shows such files."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

from console.aside import aside
from console.browser import NotOpened, open_url, opener, started

SHOWN = frozenset(
    {".pdf", ".txt", ".md", ".markdown", ".rst", ".log", ".csv", ".tsv", ".json", ".yaml", ".yml", ".toml", ".xml"}
    | {".docx", ".doc", ".odt", ".rtf", ".pptx", ".ppt", ".odp", ".xlsx", ".xls", ".ods", ".epub", ".tex"}
    | {".html", ".htm", ".png", ".jpg", ".jpeg", ".gif", ".webp"}
)
"""Anything else could be a program, which opening would start."""
LIMIT_S = 3.0


async def open_original(path: str, environment: Mapping[str, str]) -> bool:
    """Whether a program was asked to show it; False where nobody would see it, as over SSH. An address goes to the
    browser; of a file in an archive the archive is meant, which is not opened."""
    if "://" in path:
        return await open_url(path, environment)
    file = Path(path)
    if "!/" in path or file.suffix.lower() not in SHOWN:
        raise NotOpened(
            f"{file.name!r} is not opened: it is no kind of document that only shows itself.",
            hint="Its path can be copied with y.",
        )
    try:
        async with asyncio.timeout(LIMIT_S):
            is_there = await aside(file.is_file, "original")
    except TimeoutError:
        is_there = False
    if not is_there:
        raise NotOpened(f"{path!r} is not there any more.", hint="What was read of it is still here.")
    command = opener(environment)
    return command is not None and await started([*command, str(file)])
