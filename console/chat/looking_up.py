"""Documents for a question: what is still being read is waited for, passages are found, and the reader is told how."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING

from console.chat.attempts import Notice
from console.errors import NotFound
from console.library.asking import standalone
from console.library.prompt import numbered, order_notes
from console.text import plural, shorten

if TYPE_CHECKING:
    from console.history.among import Among
    from console.history.sources import Source
    from console.library.library import Library
    from console.library.news import LibraryStatus

log = logging.getLogger(__name__)

WAIT_S = 120.0
"""How long a question waits for documents to be read before it goes on with what is there."""
TELL_S = 1.0
"""How often it says how far that is."""


class LookUp:
    """One looking up; read `notices` to its end, then `sources` are there."""

    def __init__(
        self,
        library: Library,
        question: str,
        earlier: Sequence[str],
        among: Among,
        without: tuple[bytes, ...],
        *,
        top_k: int,
        budget_tokens: int,
        starts_worker: bool,
        is_remembered: bool = False,
    ) -> None:
        """`is_remembered` says that the chat asks these, and not this question: what was removed is left out then."""
        self.sources: tuple[Source, ...] = ()
        self.notes: list[str] = []
        """What whoever reads the answer should know later too."""
        self.question = standalone(question, earlier)
        """As it is looked up."""
        self._library = library
        self._among = among
        self._without = without
        self._top_k = top_k
        self._budget_tokens = budget_tokens
        self._starts_worker = starts_worker
        self._is_remembered = is_remembered
        self._is_rewritten = self.question != question.strip()

    async def notices(self) -> AsyncGenerator[Notice, None]:
        """Raises `NotFound` for a collection that is not there, and `LibraryError` when nothing can be read."""
        from rag.documents import Filters, Wanted

        if self._is_remembered:
            self._among, removed = await self._what_is_left()
            if removed:
                rest = "the others are asked" if self._among else "the question is asked without documents"
                yield Notice("documents", f"Removed since this chat asks documents: {removed}; {rest}.")
            if not self._among:
                return
        async with aclosing(self._wait_until_read()) as waiting:
            async for notice in waiting:
                yield notice
        collections = self._among.collections
        yield Notice("documents", f"Looking into {_listed(collections) if collections else 'the documents'}.")
        # Whole collections are asked whole; documents of their own narrow it down where no collection is named.
        narrowed = () if collections else self._among.documents
        wanted = Wanted(
            self.question,
            collections,
            top_k=self._top_k,
            budget_tokens=self._budget_tokens,
            filters=Filters(documents=narrowed, without=self._without),
        )
        found = await self._library.retrieve(wanted, start_worker=self._starts_worker)
        self.sources = numbered(found.passages)
        log.debug(
            "%s found for a question in %.0f ms, %s",
            plural(len(self.sources), "passage"),
            found.search_ms,
            found.method,
        )
        if self._is_rewritten:
            yield Notice("documents", f"Looked up as: “{shorten(self.question, 120)}”.")
        self.notes += [*found.notes, *order_notes(self.sources)]
        if not self.sources:
            self.notes.append("Nothing in the documents fits the question; it is asked without them.")
        for note in self.notes:
            yield Notice("documents", note)

    async def _what_is_left(self) -> tuple[Among, str]:
        """What is still there of what the chat asks, and what is not, in words."""
        there = {each.name.lower() for each in await self._library.collections()}
        gone = [name for name in self._among.collections if name.lower() not in there]
        documents = []
        for each in self._among.documents:
            with suppress(NotFound):
                documents.append((await self._library.document(each)).id)
        collections = tuple(name for name in self._among.collections if name not in gone)
        lost = len(self._among.documents) - len(documents)
        words = [_listed(gone)] if gone else []
        if lost:
            words.append(plural(lost, "document"))
        return self._among._replace(collections=collections, documents=tuple(documents)), " and ".join(words)

    async def _wait_until_read(self) -> AsyncGenerator[Notice, None]:
        """The first question after a drop waits until its documents can be found by their words."""
        unread = await self._library.unread(self._among)
        if not unread:
            return
        yield Notice("documents", f"Reading {_documents(unread)} first.")
        latest: LibraryStatus | None = None

        def tell(status: LibraryStatus) -> None:
            nonlocal latest
            latest = status

        waiting = asyncio.ensure_future(self._library.wait([each.id for each in unread], "lexical", tell, WAIT_S))
        try:
            told = ""
            while True:
                done, _ = await asyncio.wait([waiting], timeout=TELL_S)
                if done:
                    break
                text = _progress(latest)
                if text and text != told:
                    told = text
                    yield Notice("documents", text)
        finally:
            waiting.cancel()
            await asyncio.wait([waiting])
        for document in waiting.result():
            if document.state == "failed":
                self.notes.append(f"{document.name!r} cannot be read: {document.error}")
            elif document.state in ("waiting", "reading"):
                self.notes.append(f"{document.name!r} is still being read; it is not in this answer.")


def _documents(unread: Sequence[object]) -> str:
    names = [repr(getattr(each, "name", "")) for each in unread[:2]]
    rest = len(unread) - len(names)
    return " and ".join(names) if not rest else f"{', '.join(names)} and {plural(rest, 'more document')}"


def _progress(status: LibraryStatus | None) -> str:
    if status is None or not (status.waiting or status.reading):
        return ""
    reading = f"{status.reading!r} is being read" if status.reading else "Documents are being read"
    return (
        f"{reading}; {plural(status.waiting, 'document waits', 'documents wait')}." if status.waiting else f"{reading}."
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"#{shorten(name, 40)}" for name in names)
