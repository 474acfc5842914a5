"""Passages as one types: asked for beside the screen, the newest question wins."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING

from console.errors import ConsoleError, explain
from console.text import plural
from rag.documents import Retrieved, Wanted
from screens.library_lines import Found

if TYPE_CHECKING:
    from console.library.library import Library

log = logging.getLogger(__name__)

REST_S = 0.09
"""How long the keys have to rest before somebody is asked."""
MOST = 30


class Search:
    """`changed` is called when there is something else to show; `begin` does something beside the screen, in the place
    of what it was given before under the same name."""

    def __init__(
        self,
        library: Library,
        changed: Callable[[], None],
        begin: Callable[[Coroutine[None, None, None], str], object],
    ) -> None:
        self._library = library
        self._changed = changed
        self._begin = begin
        self._in: tuple[str, ...] = ()
        self.words = ""
        self._found_for: tuple[str, tuple[str, ...]] = ("", ())
        self.found: Sequence[Found] = ()
        self.retrieved: Retrieved | None = None
        self.trouble = ""

    @property
    def is_settled(self) -> bool:
        """Whether what is found is for what is asked."""
        return self._found_for == (self.words, self._in)

    def begin(self) -> None:
        """The worker knows what words mean. It is woken, and until it is up words alone are compared."""
        if not self._library.status.is_up:
            self._begin(self._wake(), "wake")

    async def _wake(self) -> None:
        try:
            if await self._library.follow(start=True) and self.words:
                self._ask()
        except ConsoleError as error:
            log.info("the worker of the documents did not start: %s", error.text)

    def look(self, words: str, collections: tuple[str, ...]) -> None:
        if (words.strip(), collections) == (self.words, self._in):
            return
        self.words, self._in = words.strip(), collections
        self._ask()

    def _ask(self) -> None:
        self._begin(self._find(), "find")

    async def _find(self) -> None:
        if not self.words:
            self.found, self.retrieved, self.trouble = (), None, ""
            self._found_for = self.words, self._in
            self._changed()
            return
        await asyncio.sleep(REST_S)
        asked = self.words, self._in
        words = self.words
        try:
            retrieved = await self._library.retrieve(Wanted(words, self._in, top_k=MOST))
        except ConsoleError as error:
            told = explain(error)
            self.found, self.retrieved = (), None
            self.trouble = "\n\n".join(filter(None, (told.text, told.hint)))
        else:
            self.retrieved, self.trouble = retrieved, ""
            self.found = [Found(each, number, words) for number, each in enumerate(retrieved.passages, 1)]
        self._found_for = asked
        self._changed()

    def told(self, collection: str | None) -> list[tuple[str, str]]:
        """What is said above the passages."""
        parts = [("All collections" if collection is None else collection, "heading")]
        if self.retrieved is None:
            return parts
        parts.append((plural(len(self.found), "passage"), "text"))
        how = "words and meaning" if self.retrieved.method == "hybrid" else "words only"
        parts.append((how, "muted"))
        parts += [(note, "warn") for note in self.retrieved.notes]
        return parts
