"""Work for messages in sight that would hold up the loop, done in a thread: colours of finished code, thumbnails."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable

from screens import markdown
from screens.markdown import CodeBlock, Line
from screens.theme import Palette
from screens.widgets.transcript.item import Attached
from screens.widgets.transcript.message import Message

log = logging.getLogger(__name__)

MOST_PICTURES = 4
"""Thumbnails under one message."""


class Aside:
    """`changed` is called on the loop with a message and what is to be done with it."""

    def __init__(self, changed: Callable[[Message, Callable[[Message], None]], None]) -> None:
        self._changed = changed
        self._code: deque[tuple[Message, markdown.Rendering, CodeBlock, Palette]] = deque()
        self._pictures: deque[tuple[Message, tuple[Attached, ...], tuple[int, int, int]]] = deque()
        self._works = False

    def take(self, messages: Iterable[Message], palette: Palette, background: tuple[int, int, int]) -> bool:
        """Note what there is to do for these. True where `work` is to be called for it."""
        for message in messages:
            body = message.body
            if isinstance(body, markdown.Rendering):
                self._code.extend((message, body, block, palette) for block in message.to_colour())
            attachments = message.item.attachments
            if message.pictures is None:
                message.pictures = ()
                if any(each.is_picture and each.content is not None for each in attachments):
                    self._pictures.append((message, attachments, background))
        return not self._works and bool(self._code or self._pictures)

    async def work(self) -> None:
        """Until nothing is left."""
        self._works = True
        try:
            while self._code or self._pictures:
                if self._code:
                    await self._colour(*self._code.popleft())
                else:
                    await self._show_pictures(*self._pictures.popleft())
        finally:
            self._works = False

    async def _colour(self, message: Message, body: markdown.Rendering, block: CodeBlock, palette: Palette) -> None:
        if message.body is not body:
            return
        from screens.markdown.highlight import highlight  # Pygments

        lines = await asyncio.to_thread(highlight, block.text, block.language, palette)
        if message.body is body and lines:
            body.highlighted(block.number, lines)
            self._changed(message, lambda message: None)

    async def _show_pictures(
        self, message: Message, attachments: tuple[Attached, ...], background: tuple[int, int, int]
    ) -> None:
        pictures = await asyncio.to_thread(_thumbnails, attachments, background)
        if message.item.attachments == attachments and message.is_laid and pictures:
            self._changed(message, lambda message: message.show_pictures(pictures))


def _thumbnails(attachments: Iterable[Attached], background: tuple[int, int, int]) -> tuple[list[Line], ...]:
    from screens.widgets.transcript.pictures import NotAPicture, decode, half_blocks  # Pillow

    made: list[list[Line]] = []
    for each in attachments:
        if each.content is None or not each.is_picture or len(made) == MOST_PICTURES:
            continue
        try:
            made.append(half_blocks(decode(each.content(), background), background))
        except (NotAPicture, OSError) as error:
            log.info("no thumbnail: %s", error)
    return tuple(made)
