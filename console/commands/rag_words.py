"""What the words of `hawser rag` share: agreeing to a service, progress on the terminal, documents as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from console.library.library import Library
    from console.library.news import LibraryStatus
    from console.shell import Shell
    from rag.documents import Collection, Document


NO_DOCUMENTS = "There are no documents yet. Add some with: hawser rag add PATH"


async def agree(
    library: Library, collection: str, shell: Shell, *, is_agreed: bool, embedder: str | None = None
) -> None:
    """Text goes to a service only after somebody said yes, once for a collection. `embedder` is to be used for it
    from now on."""
    service = await library.needs_agreement(collection, embedder)
    if service is None:
        return
    from console.errors import NotAgreed

    if not is_agreed and not shell.is_interactive():
        raise NotAgreed(
            f"The text of {collection!r} would be sent to {service!r} to be embedded.",
            hint="Say that it may with --agree-remote, or set another [rag] embedder.",
        )
    if not is_agreed and not shell.confirm(f"The text of {collection!r} will be sent to {service!r}. Is that right?"):
        raise NotAgreed("Nothing was sent.", hint="The built-in embedder keeps it here: set [rag] embedder.")
    if embedder is None:  # naming one for a collection is agreeing to it
        await library.agree(collection)


def told_progress(shell: Shell) -> Callable[[LibraryStatus], None]:
    """Writes how far it is on a terminal, one line that changes; elsewhere nothing."""
    if not shell.stderr.isatty():
        return lambda status: None
    latest = ""

    def tell(status: LibraryStatus) -> None:
        nonlocal latest
        line = progress_line(status)
        if line != latest:
            latest = line
            from console.text import neutralise

            shell.mutter(f"\r\x1b[K{neutralise(line)}" if line else "\r\x1b[K")

    return tell


def progress_line(status: LibraryStatus) -> str:
    from console.text import plural, shorten

    parts = []
    if status.reading is not None:
        parts.append(f"reading {shorten(status.reading, 40)}")
    if status.waiting:
        parts.append(f"{plural(status.waiting, 'document')} to read")
    if status.to_embed:
        parts.append(f"{plural(status.to_embed, 'passage')} to embed")
    if parts and status.eta_s is not None:
        minutes, seconds = divmod(int(status.eta_s), 60)
        parts.append(f"about {minutes}:{seconds:02} left")
    if status.error is not None:
        parts.append(status.error)
    return ", ".join(parts)


def document_form(document: Document) -> dict[str, Any]:
    return {
        "id": document.id,
        "collection": document.collection,
        "name": document.name,
        "path": document.path,
        "media_type": document.media_type,
        "size_bytes": document.size_bytes,
        "pages": document.pages,
        "characters": document.characters,
        "chunks": document.chunks,
        "embedded": document.embedded,
        "state": document.state,
        "error": document.error,
        "hint": document.hint,
        "notes": list(document.notes),
        "tags": list(document.tags),
        "same_as": document.same_as,
        "modified_at": _moment(document.modified_at),
        "added_at": _moment(document.added_at),
        "read_at": _moment(document.read_at),
    }


def collection_form(collection: Collection) -> dict[str, Any]:
    return {
        "name": collection.name,
        "documents": collection.documents,
        "failed": collection.failed,
        "chunks": collection.chunks,
        "embedded": collection.embedded,
        "text_bytes": collection.text_bytes,
        "embedder": collection.embedder,
        "dimension": collection.dimension,
        "building": collection.building,
        "tags": list(collection.tags),
        "created_at": _moment(collection.created_at),
        "used_at": _moment(collection.used_at),
    }


def _moment(at: datetime | None) -> str | None:
    from console.chat.export import moment

    return None if at is None else moment(at)
