"""What is pasted or dropped: written, held as a chip, or asked about when it is made of files.

What tells files and secrets from words is imported when something is pasted, not for the first frame.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path

from textual import events

from console.aside import aside
from console.chat.drafts import AttachedFile, Chip, PastedText
from screens.widgets.composer.area import PromptArea
from screens.widgets.composer.pastes import clean, fits, is_long
from screens.widgets.composer.question import Answer, Dropped, DropQuestion

ASKING_S = 0.5
"""How long a paste waits for the disk to say whether it is made of files."""


class Intake:
    """`add` makes chips, `to_documents` hands files over, `note` says something in one line."""

    def __init__(
        self,
        area: PromptArea,
        question: DropQuestion,
        *,
        has_library: Callable[[], bool],
        add: Callable[..., None],
        to_documents: Callable[[tuple[Path, ...]], None],
        note: Callable[[str, str], None],
    ) -> None:
        self._area = area
        self._question = question
        self._has_library = has_library
        self._add: Callable[..., None] = add
        self._to_documents = to_documents
        self._note = note
        self._kept_as_text = ""
        """A text of paths that shall stay one, and is not asked about again when it is sent."""

    async def paste(self, text: str) -> None:
        """Keys that come after it wait until it has its place."""
        from console.dropped import is_remote_session, may_be_paths
        from console.secret_marks import secret_in

        self.answer("insert")
        text = clean(text)
        if not text:
            return
        paths = await self._paths_in(text)
        if paths:
            self._question.ask(Dropped(text, paths), has_library=self._has_library())
            return
        if may_be_paths(text) and is_remote_session() and len(text.split()) == 1:
            self._note("There is no such file on this machine; yours cannot be dropped over SSH.", "muted")
        if is_long(text) or not fits(self._area, text):
            self._add(PastedText(text))
            return
        self._area.type(text)
        secret = secret_in(text)
        if secret is not None:
            self._note(f"What was pasted looks like {secret}. It is sent to whoever answers.", "warn")

    def may_be_dropped(self, text: str) -> bool:
        """Some terminals type what is dropped on them: a text to be sent that may be nothing but files."""
        from console.dropped import may_be_paths

        return may_be_paths(text) and text != self._kept_as_text

    async def is_dropped(self, text: str) -> bool:
        """Whether a text that was about to be sent is made of files; then it is asked about instead."""
        paths = await self._paths_in(text)
        if self._area.text != text:
            return True  # it was changed meanwhile: nothing is to be sent
        if not paths:
            self._kept_as_text = text
            return False
        self._area.replace_all("")
        self._question.ask(Dropped(text, paths), has_library=self._has_library())
        return True

    def takes_key(self, event: events.Key) -> bool:
        if not self._question.is_open:
            return False
        answer = self._question.answer_of(event)
        if answer is not None:
            self.answer(answer)
            return True
        if event.is_printable:  # going on to write means that the path is part of it
            self.answer("insert")
            return False
        return event.key in ("left", "right", "tab", "shift+tab")

    def answer(self, answer: Answer) -> None:
        """To the question that is open, if one is."""
        if not self._question.is_open:
            return
        text, paths = self._question.close_question()
        match answer:
            case "attach":
                chips: list[Chip] = [AttachedFile(str(path)) for path in paths]
                self._add(*chips)
            case "documents":
                self._to_documents(paths)
            case "insert":
                self._area.type(text)
                self._kept_as_text = self._area.text

    async def _paths_in(self, text: str) -> tuple[Path, ...]:
        """The files that a text consists of; a disk that does not answer soon has none."""
        from console.dropped import dropped_paths, may_be_paths

        if not may_be_paths(text):
            return ()
        try:
            async with asyncio.timeout(ASKING_S):
                return await aside(partial(dropped_paths, text), "dropped")
        except TimeoutError:
            return ()
