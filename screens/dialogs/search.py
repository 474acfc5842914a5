"""Search in everything that was said: titles, questions, answers and the text of attachments."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial

from rich.segment import Segment
from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Input, Static

from console.chat.shelf import Shelf
from console.errors import ConsoleError, explain
from console.history.search import Hit
from console.text import plural
from screens.dialogs.base import HELD_FOR_ROWS_S
from screens.dialogs.chats import Place
from screens.dialogs.led import LedDialog
from screens.widgets import times
from screens.widgets.cells import clip
from screens.widgets.chat_line import marked, segments_of
from screens.widgets.filter_field import FilterField
from screens.widgets.key_line import KeyLine
from screens.widgets.rows import Painted, Rows

AT_ONCE = 100
"""Places that are read at once; the next ones when the cursor comes to the end."""
HOW = "All words must stand in one text; the last one may be begun.\nWords in “quotes” stay together."


class SearchDialog(LedDialog[Place]):
    """Answers with the message to go to, or the chat if its title was found."""

    def __init__(self, shelf: Shelf, now: Callable[[], datetime], *, words: str = "") -> None:
        """`words` are looked for at once."""
        super().__init__()
        self._shelf = shelf
        self._now = now
        self._begins_with = words
        self._limit = AT_ONCE
        self.rows: Rows[Hit] = Rows(self._paint, lines=2, classes="-led", empty=HOW)

    def begin(self, words: str = "") -> None:
        """Be as new, before it is shown; `words` are looked for at once."""
        self._begins_with, self._limit = words, AT_ONCE
        if not self.is_mounted:
            return
        field = self.query_one(Input)
        field.focus()
        if field.value != words:
            field.value = words
        else:
            self._typed()
        if words:
            field.action_select_all()

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog search") as box:
            box.border_title = "Search in all chats"
            yield FilterField(self._begins_with, placeholder="Words that were said", typed=self._typed)
            yield self.rows
            yield Static(classes="status", markup=False)
            yield KeyLine("Enter goes there · Esc leaves it")

    def on_mount(self) -> None:
        super().on_mount()
        if self._begins_with:
            self._typed()

    def _typed(self) -> None:
        self.hold_frame(HELD_FOR_ROWS_S)
        self._limit = AT_ONCE
        self._search()

    def _search(self, *, at: int = 0) -> None:
        self.in_background(partial(self._read, at), "search", newest=True)

    async def _read(self, at: int) -> None:
        words = self.words
        if not words:
            self._show([], HOW, "", at)
            return
        try:
            hits = await self._shelf.search(words, limit=self._limit)
        except ConsoleError as error:
            told = explain(error)
            self._show([], "\n\n".join(filter(None, (told.text, told.hint))), "", at)
            return
        if hits is None:
            return  # something else was typed meanwhile
        count = plural(len(hits), "place")
        told_count = f"The newest {count}; there are more." if len(hits) == self._limit else count
        self._show(hits, f"“{clip(words, 60)}” was not said anywhere.\n\n{HOW}", told_count if hits else "", at)

    def _show(self, hits: list[Hit], empty: str, count: str, at: int) -> None:
        self.rows.show(hits, at=at, empty=empty)
        self.rows_are_there()
        self.query_one(".status", Static).update(count, layout=False)

    def on_rows_moved(self, event: Rows.Moved[Hit]) -> None:
        event.stop()
        count = len(self.rows.rows)
        if count == self._limit and self.rows.cursor_index == count - 1:
            self._limit *= 2
            self._search(at=count - 1)

    def on_rows_chosen(self, event: Rows.Chosen[Hit]) -> None:
        event.stop()
        self.dismiss(Place(event.row.chat_id, event.row.message_id))

    def _paint(self, hit: Hit, width: int, is_cursor: bool) -> Painted:
        palette = self.hawser.palette
        match hit.kind:
            case "title":
                what = "title"
            case "attachment":
                what = f"in {clip(hit.name or 'an attachment', 24)}"
            case _:
                what = "you" if hit.role == "user" else hit.role or ""
        tail = f"  {what}  {times.short_time(hit.at, self._now()):>{times.WIDTH}} "
        title = clip(hit.chat_title, max(width - len(tail) - 1, 0)) or "Untitled"
        head = Text.assemble((" ", palette.text), (title, palette.strong))
        gap = width - head.cell_len - len(tail)
        excerpt = marked(hit.excerpt, hit.marks, palette.text if is_cursor else palette.muted, palette.match)
        excerpt.truncate(max(width - 4, 1), overflow="ellipsis")
        head_line = [
            *segments_of(head),
            Segment(" " * max(gap, 0)),
            Segment(tail, palette.muted if is_cursor else palette.faint),
        ]
        return head_line, [Segment("   "), *segments_of(excerpt)]
