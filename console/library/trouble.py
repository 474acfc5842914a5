"""What goes wrong with documents, in the console's own errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from console.errors import ConsoleError, DocumentRefused, EmbedderDown, EmbedderMissing, LibraryError, NotFound

if TYPE_CHECKING:
    from rag.errors import RagError


@contextmanager
def told() -> Iterator[None]:
    """Whatever `rag` raises within comes out as a `ConsoleError` with the same words."""
    from rag.errors import RagError

    try:
        yield
    except RagError as error:
        raise as_console_error(error) from error


def as_console_error(error: RagError) -> ConsoleError:
    from rag import errors

    match error:
        case errors.UnknownName():
            kind: type[ConsoleError] = NotFound
        case errors.NoModel():
            kind = EmbedderMissing
        case errors.EmbedderFailed():
            kind = EmbedderDown
        case (
            errors.Unreadable()
            | errors.TooLarge()
            | errors.Locked()
            | errors.Damaged()
            | errors.NoText()
            | errors.NotText()
        ):
            kind = DocumentRefused
        case _:
            kind = LibraryError
    return kind(error.text, hint=error.hint)
