"""The list of all chats: filter, look, open; rename, pin, tag, export, delete and bring back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import ClassVar, NamedTuple

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.timer import Timer
from textual.widgets import Input, Static

from console.chat import shelf
from console.chat.shelf import ChatList, Shelf
from console.errors import ConsoleError, explain
from console.history.listing import ChatRow
from console.text import plural
from screens.dialogs.ask import AskDialog
from screens.dialogs.base import HELD_FOR_ROWS_S
from screens.dialogs.led import LedDialog
from screens.keys import bindings, key_name
from screens.widgets.cells import clip
from screens.widgets.chat_line import chat_line
from screens.widgets.filter_field import FilterField
from screens.widgets.footer import Footer
from screens.widgets.glimpse import GlimpseView
from screens.widgets.rows import Painted, Rows

REST_S = 0.03
"""How long the cursor rests on a row before its preview is read."""
ALL = "Chats"
PUT_AWAY = "Deleted chats"
NO_CHATS = "There are no chats yet.\n\nEsc goes back; what you ask there is kept here."
NONE_DELETED = "Nothing was deleted in the last seven days."


class Place(NamedTuple):
    """Where to go: a chat, and a message in it."""

    chat_id: str
    message_id: str | None = None


class ChatsDialog(LedDialog[Place]):
    """Answers with the chat to open. What is done to chats here is done at once, and told on the bus."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("chats")]

    def __init__(
        self,
        shelf: Shelf,
        now: Callable[[], datetime],
        *,
        current: str | None = None,
        live: Collection[str] = (),
        folder: Path | None = None,
    ) -> None:
        """`folder` is where exports go unless told otherwise; the one the program was started in without."""
        super().__init__()
        self._shelf = shelf
        self._now = now
        self._current = current
        self._live = frozenset(live)
        self._folder = folder
        self._chats: ChatList | None = None
        self._deleted = False
        self._said = ""
        """What came of the last deed, until something else is typed."""
        self._is_there = asyncio.Event()
        self._filling = False
        self._resting: Timer | None = None
        self.rows: Rows[ChatRow | None] = Rows(self._line, classes="-led")

    def begin(self, *, current: str | None, live: Collection[str]) -> None:
        """Be as new, before it is shown: nothing typed, the chats read anew."""
        self._current, self._live = current, frozenset(live)
        if not self._is_there.is_set():
            return
        self._deleted = False
        self.query_one(".chats").border_title = ALL
        self.query_one(GlimpseView).show(None)
        field = self.query_one(Input)
        field.focus()
        if field.value:
            field.value = ""
        else:
            self._typed()

    def compose(self) -> ComposeResult:
        self._load("")  # while the widgets are made, so that the first frame has the chats
        with Vertical(classes="dialog chats") as box:
            box.border_title = ALL
            yield FilterField(
                placeholder="Type to filter: words of titles, of what was said, or #tag", typed=self._typed
            )
            with Horizontal(classes="beside"):
                yield self.rows
                yield GlimpseView(self.hawser.palette)
            yield Static(classes="status", markup=False)
            yield Footer()

    def on_mount(self) -> None:
        self._is_there.set()

    # The list

    def _load(self, words: str, *, keep: ChatRow | None = None, at: int = 0) -> None:
        """Read the list anew; the cursor goes to the row of `keep`, if it is still there, else to `at`."""
        self.in_background(partial(self._read, words, keep, at), "chats", newest=True)

    async def _read(self, words: str, keep: ChatRow | None, at: int) -> None:
        try:
            chats = await self._shelf.chats(words, deleted=self._deleted)
            await self._is_there.wait()
            if chats is None:
                return  # something else was typed meanwhile
            if (keep is not None and chats.place_of(keep) is None) or at >= len(chats.numbers):
                await self._shelf.complete(chats)
            place = chats.place_of(keep)
            self._show(chats, at if place is None else place)
            if not chats.query and len(chats):
                return  # what is in sight is there; the order of all is read when the cursor goes there
            await self._drawn()
            if await self._shelf.complete(chats) or not len(chats):
                self._show(chats, self.rows.cursor_index)
        except ConsoleError as error:
            await self._is_there.wait()
            self._fail(error)

    async def _drawn(self) -> None:
        """What is in sight comes first; the rest of a list keeps the processor busy for longer than a frame."""
        drawn = asyncio.Event()
        self.call_after_refresh(drawn.set)
        await drawn.wait()

    def _show(self, chats: ChatList, at: int) -> None:
        self._chats = chats
        chats.missed = self._missed
        look = (chats.query, self._current, self._live, self._now().astimezone().date())
        self.rows.show(chats, at=at, empty=self._empty(chats.query) if chats.is_whole else "", look=look)
        self._tell(self._said or self._count(chats))
        self.rows_are_there()
        self._moved()

    def _missed(self, index: int) -> None:
        """A row is drawn that is not there yet."""
        if not self._filling:
            self._filling = True
            self.in_background(self._fill, "fill")

    async def _fill(self) -> None:
        """Read the rows that are in sight, until they are all there."""
        try:
            while (chats := self._chats) is not None:
                in_sight = self.rows.in_sight
                missing = [index for index in in_sight if index not in chats.rows]
                if not missing:
                    break
                brought = await self._shelf.fill(chats, missing[len(missing) // 2])
                if chats is self._chats:
                    self.rows.repaint(brought.start, len(brought))
            self._moved()
        except ConsoleError as error:
            self._fail(error)
        finally:
            self._filling = False

    def _line(self, row: ChatRow | None, width: int, is_cursor: bool) -> Painted:
        palette = self.hawser.palette
        if row is None:
            return Text("  …", palette.faint)
        return chat_line(
            row,
            width,
            palette,
            self._now(),
            query=self._chats.query if self._chats is not None else "",
            is_current=row.id == self._current,
            is_live=row.id in self._live,
            is_cursor=is_cursor,
        )

    def _empty(self, query: str) -> str:
        if query:
            return f"No chat has “{clip(query, 60)}”."
        return NONE_DELETED if self._deleted else NO_CHATS

    def _count(self, chats: ChatList) -> str:
        if chats.is_cut:
            return f"The newest {plural(len(chats), 'chat')} with “{clip(chats.query, 40)}”; there are more."
        if chats.query:
            return f"{plural(len(chats), 'chat')} with “{clip(chats.query, 40)}”"
        if self._deleted:
            return f"{plural(len(chats), 'chat')}; Enter brings one back, after seven days they are gone."
        return plural(len(chats), "chat")

    def _tell(self, words: str, *, wrong: bool = False) -> None:
        self.query_one(".status", Static).set_class(wrong, "-wrong").update(clip(words, 400), layout=False)

    def _fail(self, error: ConsoleError) -> None:
        """A list that cannot be read is a sentence where it would be."""
        told = explain(error)
        self.rows_are_there()
        self._chats = None
        self.rows.show((), empty="\n\n".join(filter(None, (told.text, told.hint))))
        self._tell("")
        self.query_one(GlimpseView).show(None)

    def _typed(self) -> None:
        self.hold_frame(HELD_FOR_ROWS_S)
        self._said = ""
        self._load(self.words)

    def on_rows_chosen(self, event: Rows.Chosen[ChatRow]) -> None:
        event.stop()
        if self._deleted:
            self._do(partial(self._bring_back, event.row), at=self.rows.cursor_index)
        else:
            self.dismiss(Place(event.row.id))

    # The preview

    def on_rows_moved(self, event: Rows.Moved[ChatRow]) -> None:
        event.stop()
        self._moved()

    def _moved(self) -> None:
        if self._resting is not None:
            self._resting.stop()
        self._resting = self.set_timer(REST_S, self._look)

    def _look(self) -> None:
        if self.query_one(GlimpseView).display:
            self.in_background(self._glimpse, "glimpse", newest=True)

    async def _glimpse(self) -> None:
        row, query = self.rows.cursor, self._chats.query if self._chats is not None else ""
        view = self.query_one(GlimpseView)
        if row is None:
            view.show(None)
            return
        try:
            glimpse = await self._shelf.glimpse(row.id, query)
        except ConsoleError as error:
            view.say(explain(error).text)
            return
        if glimpse is not None:
            view.show(glimpse, query)

    def on_resize(self) -> None:
        self._moved()

    # What is done to a chat

    def action_title(self) -> None:
        if row := self.rows.cursor:
            ask = AskDialog("Rename", "The title of the chat", row.title, check=_check_title)
            self._ask(ask, lambda title: self._shelf.rename(row.id, title), keep=row)

    async def action_tags(self) -> None:
        if row := self.rows.cursor:
            try:
                known = [tag.name for tag in await self._shelf.tags()]
            except ConsoleError as error:
                self._refuse(error)
                return
            label = "With blanks or commas between."
            if known:
                label += f" There are: {', '.join(known[:12])}{' …' if len(known) > 12 else ''}"
            between = ", " if any(" " in tag for tag in row.tags) else " "
            ask = AskDialog("Tags", label, between.join(row.tags))
            self._ask(ask, lambda text: self._shelf.tag(row.id, shelf.parse_tags(text)), keep=row)

    def action_pin(self) -> None:
        if row := self.rows.cursor:
            self._do(partial(self._shelf.pin, row.id, not row.pinned), keep=row)

    def action_save_as(self) -> None:
        if row := self.rows.cursor:
            path = shelf.suggested_path(self._folder or Path.cwd(), row.title, row.id)
            label = "Into this file. A name in .md gets the branch that is shown, one in .json all there is."
            ask = AskDialog("Export", label, str(path), check=_check_path)
            self._ask(ask, lambda path: self._save(row, Path(path.strip())), keep=row)

    async def _save(self, row: ChatRow, path: Path) -> str:
        return f"Written to {await self._shelf.export(row.id, path)}."

    def action_remove(self) -> None:
        row = self.rows.cursor
        if row is not None and self._deleted:
            self._tell("It is deleted already; after seven days it is gone for good.")
        elif row is not None:
            self._do(partial(self._remove, row), at=self.rows.cursor_index)

    async def _remove(self, row: ChatRow) -> str:
        await self._shelf.delete(row.id)
        keys = [key for key, active in self.active_bindings.items() if active.binding.id == "chats.bring_back"]
        way_back = f" {key_name(keys[0])} brings it back." if keys else ""
        return f"Deleted {_named(row)}.{way_back}"

    def action_bring_back(self) -> None:
        self._do(self._bring_back, at=self.rows.cursor_index)

    async def _bring_back(self, row: ChatRow | None = None) -> str:
        if row is not None:
            await self._shelf.restore(row.id)
        else:
            row = await self._shelf.undo()
        return f"{_named(row)} is back." if row else "There is nothing to bring back."

    def action_removed(self) -> None:
        """The deleted chats, or the others again."""
        self._deleted = not self._deleted
        self.query_one(".chats").border_title = PUT_AWAY if self._deleted else ALL
        self._said = ""
        self._load(self.words)

    def _ask(self, ask: AskDialog, deed: Callable[[str], Awaitable[str | None]], *, keep: ChatRow) -> None:
        self.app.push_screen(ask, lambda text: None if text is None else self._do(partial(deed, text), keep=keep))

    def _do(self, deed: Callable[[], Awaitable[str | None]], *, keep: ChatRow | None = None, at: int = 0) -> None:
        """Do something, tell what came of it, and read the list again."""

        async def do() -> None:
            try:
                said = await deed()
            except ConsoleError as error:
                self._refuse(error)
                return
            self._said = said or ""
            self._load(self.words, keep=keep, at=at)

        self.in_background(do, "deeds")

    def _refuse(self, error: ConsoleError) -> None:
        told = explain(error)
        self._tell(" ".join(filter(None, (told.text, told.hint))), wrong=True)


def _named(row: ChatRow) -> str:
    return f"“{clip(row.title or 'Untitled', 40)}”"


def _check_title(title: str) -> str:
    return "" if title.strip() else "A title has at least one letter."


def _check_path(path: str) -> str:
    return "" if path.strip() else "Write the name of a file."
