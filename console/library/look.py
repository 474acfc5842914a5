"""What a file is that somebody is about to add, found out without reading all of it."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

Looks: TypeAlias = Literal["file", "folder", "archive", "url", "missing", "slow", "other"]


class Looked(NamedTuple):
    path: str
    name: str
    looks: Looks
    size_bytes: int | None = None
    """Of all its files, for a folder."""
    files: int | None = None
    """In a folder, as far as they were counted."""
    has_more: bool = False
    """There are more files than were counted."""
    media_type: str | None = None
    secret: str | None = None
    """What it seems to hold that should not be sent to anybody, in words."""
    known_as: int | None = None
    """The document that it is already, by its path."""
    is_unchanged: bool = False
    """And it has the same size and time as when it was read."""
    error: str | None = None
    hint: str | None = None
