"""The documents as the rest of the program uses them: what is there, adding to it, and passages for a question.

What is there is read from `documents.db` by a thread of this process. Whatever changes it goes to the worker, which is
started when it is first needed. A question goes to the worker if one is up, and otherwise straight to what is stored.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from console.library.news import LibraryStatus

if TYPE_CHECKING:
    from rag.engine import Added, Finding

    from console.history.chats import Chat
    from console.library.look import Looked
    from rag.documents import Collection, Document, Folder, Retrieved, Wanted
    from rag.readers import DocumentText

USUAL = "documents"
"""The collection of whatever was added without naming one."""


class Library:
    # ---- what is there; none of these starts a worker

    @property
    def status(self) -> LibraryStatus:
        """As it was told last; never waits."""
        raise AssertionError

    async def follow(self, *, start: bool = False) -> bool:
        """Hear of changes and progress from the worker that is up, if one is; with `start` one is started.
        They come as `LibraryChanged` and `LibraryProgress` on the bus. Calling it again does nothing."""
        raise AssertionError

    async def collections(self) -> list[Collection]:
        raise AssertionError

    async def collection(self, name: str) -> Collection:
        """`NotFound` with names near it."""
        raise AssertionError

    async def documents(
        self, collection: str, *, after: Document | None = None, most: int = 200, matching: str = ""
    ) -> list[Document]:
        """By name, a page at a time."""
        raise AssertionError

    async def document(self, document_id: int) -> Document:
        raise AssertionError

    async def text(self, document_id: int) -> DocumentText:
        raise AssertionError

    async def folders(self) -> list[Folder]:
        raise AssertionError

    async def disk_use(self) -> int:
        """Bytes of everything that is kept of documents here."""
        raise AssertionError

    async def look_at(self, paths: Sequence[str | Path], collection: str = USUAL) -> list[Looked]:
        """What these files are: beside the loop and for a limited time; what took longer says so."""
        raise AssertionError

    async def names_like(self, beginning: str) -> list[str]:
        """Names of collections for completion."""
        raise AssertionError

    async def default_collection(self, chat: Chat | None) -> str:
        """Where what is dropped into this chat belongs."""
        raise AssertionError

    async def needs_agreement(self, collection: str) -> str | None:
        """The name of the service that would get text of this collection, if nobody has agreed to that yet."""
        raise AssertionError

    # ---- a question

    async def retrieve(self, wanted: Wanted, *, start_worker: bool = False) -> Retrieved:
        """Passages. `NotFound` for a collection that is not there, `LibraryError` when nothing can be read."""
        raise AssertionError

    # ---- changes; each starts the worker if none is up

    async def agree(self, collection: str) -> None:
        """The text of this collection may go to the service that embeds it."""
        raise AssertionError

    async def create(self, collection: str, *, tags: Sequence[str] = ()) -> None:
        raise AssertionError

    async def add(
        self,
        paths: Sequence[str | Path],
        collection: str = USUAL,
        *,
        tags: Sequence[str] = (),
        allow_secrets: bool = False,
    ) -> Added:
        """Files, folders and URLs. When it returns they are in the queue for good."""
        raise AssertionError

    async def wait(
        self,
        document_ids: Sequence[int],
        until: Literal["lexical", "ready"] = "lexical",
        tell: Callable[[LibraryStatus], None] | None = None,
        seconds: float | None = None,
    ) -> list[Document]:
        """Until they can be found by their words, or also by their meaning; a failed one is not waited for.
        The documents as they are then, also after `seconds`."""
        raise AssertionError

    async def remove(self, collection: str, document_ids: Sequence[int] | None = None) -> int:
        """These documents, or the collection with all of them; how many documents went."""
        raise AssertionError

    async def rename(self, collection: str, name: str) -> None:
        raise AssertionError

    async def move(self, document_ids: Sequence[int], collection: str) -> None:
        raise AssertionError

    async def tag(
        self, tags: Sequence[str], *, collection: str | None = None, document_ids: Sequence[int] = ()
    ) -> None:
        """Give these tags, in the place of those there were."""
        raise AssertionError

    async def export(self, collection: str, folder: Path) -> int:
        """The text of each document as a file; how many there are."""
        raise AssertionError

    async def reindex(self, collection: str, embedder: str | None = None) -> None:
        """Cut and embed anew beside what answers meanwhile; vectors of unchanged chunks are kept."""
        raise AssertionError

    async def check(self, *, repair: bool = False) -> list[Finding]:
        raise AssertionError

    async def watch(
        self, collection: str, path: str | Path, *, include: Sequence[str] = (), exclude: Sequence[str] = ()
    ) -> Folder:
        raise AssertionError

    async def unwatch(self, folder_id: int) -> None:
        raise AssertionError

    async def cancel(self, collection: str | None = None) -> None:
        """Leave what waits to be read or embedded; what is there stays."""
        raise AssertionError

    async def pause(self) -> None:
        raise AssertionError

    async def resume(self) -> None:
        raise AssertionError

    async def close(self) -> None:
        raise AssertionError


Agree = Callable[[str], Awaitable[bool]]
"""Asks a person whether text may go to the service of this name."""
