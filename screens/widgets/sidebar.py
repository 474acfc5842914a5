"""The chats at the left: pinned ones, then by when something was said in them last.

It is a function of what it is given. The room reads the shelf, and is told what was chosen.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from rich.segment import Segment
from textual.message import Message

from screens.widgets.cells import clip
from screens.widgets.chat_line import chat_line
from screens.widgets.rows import Painted, Rows
from screens.widgets.times import group_of

if TYPE_CHECKING:
    from console.history.listing import ChatRow
    from screens.theme import Palette

SHOWN = 200
"""How many chats it shows; the list of all is a dialog."""


class Heading(NamedTuple):
    words: str


class More(NamedTuple):
    """There are more chats than are shown here."""

    chats: int


Entry: TypeAlias = "Heading | ChatRow | More"


def grouped(chats: Sequence[ChatRow], total: int, now: datetime) -> list[Entry]:
    """The chats with their headings, and what is not shown."""
    entries: list[Entry] = []
    heading = ""
    for chat in chats:
        group = "Pinned" if chat.pinned else group_of(chat.updated_at, now)
        if group != heading:
            entries.append(Heading(group))
            heading = group
        entries.append(chat)
    if total > len(chats):
        entries.append(More(total - len(chats)))
    return entries


class Sidebar(Rows[Entry]):
    """`show_chats` gives it what the shelf has. Hidden in narrow terminals, unless it was asked for."""

    DEFAULT_CSS = """
    Sidebar { width: 30; height: 1fr; background: $surface; }
    Sidebar.-off { display: none; }
    """

    class Picked(Message):
        """A chat was chosen."""

        def __init__(self, chat_id: str) -> None:
            super().__init__()
            self.chat_id = chat_id

    class Shown(Message):
        """It was hidden, and what it has may be old."""

    class AllWanted(Message):
        """The row that leads to the list of all chats was chosen."""

    def __init__(self, palette: Palette, *, id: str | None = None) -> None:  # noqa: A002 - as every widget calls it
        super().__init__(
            self._line,
            can_choose=lambda entry: not isinstance(entry, Heading),
            empty="No chats yet.\n\nWhat you ask is kept here.",
            id=id,
        )
        self._palette = palette
        self._now: datetime | None = None
        self._current: str | None = None
        self._live: frozenset[str] = frozenset()

    def show_chats(
        self,
        chats: Sequence[ChatRow],
        total: int,
        now: datetime,
        *,
        current: str | None = None,
        live: Collection[str] = (),
    ) -> None:
        """`current` is the chat that is open; in those of `live` an answer arrives."""
        is_other = current != self._current
        self._now, self._current, self._live = now, current, frozenset(live)
        entries = grouped(chats, total, now)
        if is_other or not self.rows:
            at = next((n for n, entry in enumerate(entries) if current is not None and _key(entry) == current), 0)
            self.show(entries, at=at)
        else:
            self.show(entries, keep=_key)

    def set_live(self, live: Collection[str]) -> None:
        """Answers began or ended to arrive."""
        if self._live != frozenset(live):
            self._live = frozenset(live)
            self.repaint()

    def say(self, words: str) -> None:
        """Show a sentence where the chats would be: the store cannot be read, say."""
        self.show((), empty=words)

    def set_palette(self, palette: Palette) -> None:
        self._palette = palette
        self.repaint()

    def toggle(self) -> bool:
        """Hide it, or show it also where there is little room; returns whether it is shown."""
        shows = not self.display or self.styles.display == "none"
        self.set_class(not shows, "-off")
        self.set_class(shows, "-on")
        return shows

    def on_show(self) -> None:
        self.post_message(self.Shown())

    def on_rows_chosen(self, event: Rows.Chosen[Entry]) -> None:
        event.stop()
        match event.row:
            case More():
                self.post_message(self.AllWanted())
            case Heading():
                raise AssertionError("a heading cannot be chosen")
            case chat:
                self.post_message(self.Picked(chat.id))

    def _line(self, entry: Entry, width: int, is_cursor: bool) -> Painted:
        match entry:
            case Heading():
                return [Segment(" " + clip(entry.words, width - 1), self._palette.muted)]
            case More():
                return [Segment(clip(f"  {entry.chats:,} more …", width), self._palette.muted)]
            case _:
                assert self._now is not None
                return chat_line(
                    entry,
                    width,
                    self._palette,
                    self._now,
                    is_current=entry.id == self._current,
                    is_live=entry.id in self._live,
                    is_cursor=is_cursor,
                )


def _key(entry: Entry) -> Hashable:
    return entry if isinstance(entry, Heading | More) else entry.id
