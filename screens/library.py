"""The library: collections at the left, the documents of the chosen one at the right, passages while one searches.

What is done to them is in `library_deeds.py`, how they are drawn in `library_lines.py`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, ClassVar, TypeAlias

from rich.text import Text
from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import Input, Static

from console.errors import ConsoleError, explain
from console.library.news import LibraryChanged, LibraryProgress
from console.text import size_words
from rag.documents import Collection, Document, Folder
from screens import keys, library_deeds, library_lines
from screens.app import Room
from screens.bridge import Happened
from screens.library_lines import Found
from screens.library_pages import Documents
from screens.library_search import Search
from screens.widgets.cells import clip, one_line
from screens.widgets.filter_field import FilterField
from screens.widgets.footer import Footer
from screens.widgets.key_line import KeyLine
from screens.widgets.rows import Painted, Rows
from screens.widgets.status import StatusLine

if TYPE_CHECKING:
    from console.library.library import Library
    from screens.theme import Palette

log = logging.getLogger(__name__)

Shelf: TypeAlias = Collection | Folder
"""A row at the left: a collection, and under it the folders that are watched for it."""

SOON_S = 0.15
"""Many changes are one reading."""
BEGIN = (
    "Nothing is here yet.\n\n"
    "a adds files, a folder or an address; files can be dropped on this window as well. "
    "They are read here, on this computer. "
    "Then ask about them in the chat: type # and the name of the collection."
)
NO_DOCUMENTS = "No documents are in this collection.\n\na adds some; w keeps a folder in it as its files change."
NONE_CALLED = "No document's name has “{words}”.\n\nEsc takes the filter away."
HOW = (
    "What do you want to find?\n\n"
    "Words and meaning both count, so a question does as well as a few words. Tab looks in all collections."
)

SEARCHING = "Enter opens it · ↓ goes to the list · Tab looks in all collections · Esc ends the search"
FILTERING = "Enter goes to the list · Esc takes the filter away"


def _bindings() -> Iterable[Binding]:
    for action, binding in zip(keys.actions_of("library"), keys.bindings("library"), strict=True):
        yield replace(binding, action=f"deed('{action.name}')") if action.name in library_deeds.DEEDS else binding


class LibraryRoom(Room):
    room_title = "Documents"
    BINDINGS: ClassVar[list[BindingType]] = [*_bindings()]

    collections: Rows[Shelf]
    documents: Rows[Document | None]
    passages: Rows[Found]

    def __init__(self) -> None:
        super().__init__()
        self.chosen: str | None = None
        """The name of the collection whose documents are shown."""
        self.shown: Documents | None = None
        self.marked: dict[int, Document] = {}
        self.removed: library_deeds.Removed | None = None
        """What can be brought back."""
        self._folders: list[Folder] = []
        self._known: list[Collection] = []
        self._searches = False
        self._opens_best = False
        """Enter was pressed before anything was found for what is typed."""
        self._in_all = False
        self._matching = ""
        self._is_stale = False
        self._to_do = 0
        self._disk = ""
        self._lacks_model = 0
        """How much it would be to get the model that is not here."""
        self.getting_model = ""
        """How far that is."""
        self._trouble = ""
        self._reading: asyncio.Task[None] | None = None
        self._is_filling = False

    @property
    def library(self) -> Library:
        return self.runtime.library

    def compose(self) -> ComposeResult:
        self.search = Search(
            self.library, self._found, lambda work, group: self.run_worker(work, group=group, exclusive=True)
        )
        self.field = FilterField(typed=self._typed)
        self.collections = Rows(self._paint_shelf, id="collections")
        self.documents = Rows(self._paint_document, id="documents", empty="Reading …")
        self.passages = Rows(self._paint_passage, lines=3, id="passages", empty=HOW)
        yield StatusLine()
        yield self.field
        with Horizontal(id="shelf"):
            yield self.collections
            with Vertical(id="holding"):
                yield Static("", id="holding-head", markup=False)
                yield self.documents
                yield self.passages
                yield Static("", id="holding-about", markup=False)
        yield Static("", id="library-foot", markup=False)
        yield KeyLine(SEARCHING)
        yield Footer()

    def on_mount(self) -> None:
        self.field.display = self.passages.display = self.query_one(KeyLine).display = False
        self.collections.focus()
        self.watch(self.documents, "scroll_y", self._want_more, init=False)
        self._look()
        self._follow()

    async def on_unmount(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait([self._reading])

    def on_screen_resume(self) -> None:
        self.looked_at_again()

    def looked_at_again(self) -> None:
        self._look()

    @work(group="follow")
    async def _follow(self) -> None:
        try:
            await self.library.follow()
        except ConsoleError as error:
            log.info("the worker of the documents does not tell: %s", error.text)
        self._draw_foot()

    # ---- reading what there is

    def on_happened(self, happened: Happened) -> None:
        match happened.event:
            case LibraryChanged():
                self._look()
            case LibraryProgress():
                self._draw_foot()
            case _:
                pass

    def _look(self) -> None:
        """Read the lists again, soon; what changes meanwhile is read once more after that."""
        self._is_stale = True
        if self._reading is None and self.is_attached:
            self._reading = asyncio.get_running_loop().create_task(self._look_on(), name="library")

    async def _look_on(self) -> None:
        try:
            while self._is_stale:
                self._is_stale = False
                await self._read()
                await asyncio.sleep(SOON_S)
        finally:
            self._reading = None

    async def _read(self) -> None:
        library = self.library
        try:
            self._known, self._folders = await library.collections(), await library.folders()
            used = await library.disk_use()
        except ConsoleError as error:
            told = explain(error)
            self._trouble = "\n\n".join(filter(None, (told.text, told.hint)))
            self.collections.show(())
            self.documents.show((), empty=self._trouble)
            return
        self._trouble = ""
        self._lacks_model = await library_deeds.bytes_of_model(self)
        self._disk = library_lines.disk_words(used, self.runtime.paths.documents) if self._known else ""
        rows: list[Shelf] = []
        for each in self._known:
            rows += [each, *(folder for folder in self._folders if folder.collection == each.name)]
        names = {each.name for each in self._known}
        at = None
        if self.chosen not in names:
            self.chosen = None
        elif (row := self.collections.cursor) is None or _name_of(row) != self.chosen:
            at = next(number for number, row in enumerate(rows) if _name_of(row) == self.chosen)
        self.collections.show(rows, keep=_key_of, at=at)
        self._take(self.collections.cursor)
        self._draw_head()
        self._draw_foot()
        await self._read_documents()

    def _take(self, row: Shelf | None) -> None:
        """Whose documents are shown."""
        name = _name_of(row) if row is not None else None
        if name != self.chosen or self.shown is None:
            self.chosen, self.shown = name, None
            self.marked.clear()
            self._matching = ""

    async def _read_documents(self) -> None:
        collection = self.collection
        if collection is None:
            self.documents.show((), empty=self._trouble or BEGIN)
            self._draw_about()
            return
        before, matching = self.shown, self._matching
        in_sight = self.documents.in_sight
        is_same = before is not None and (before.collection, before.matching) == (collection.name, matching)
        try:
            count = await self.library.count(collection.name, matching) if matching else collection.documents
            shown = Documents(collection.name, count, matching)
            rows = range(min(in_sight.start, count), min(max(in_sight.stop, 1), count)) if is_same else range(1)
            while (page := shown.missing(rows)) is not None:
                await shown.read(page, partial(self._bring, shown))
        except ConsoleError as error:
            self.documents.show((), empty=explain(error).text)
            return
        if collection.name != self.chosen:
            return
        self.shown = shown
        empty = NONE_CALLED.format(words=clip(matching, 40)) if matching else NO_DOCUMENTS
        self.documents.show(shown, keep=_id_of if is_same else None, empty=empty)
        self._draw_about()
        self._want_more()

    async def _bring(self, shown: Documents, skip: int, most: int) -> list[Document]:
        return await self.library.documents(shown.collection, matching=shown.matching, skip=skip, most=most)

    def _want_more(self) -> None:
        shown = self.shown
        if shown is not None and not self._is_filling and shown.missing(self._needed) is not None:
            self._is_filling = True
            self._fill(shown)

    @property
    def _needed(self) -> range:
        """The rows in sight; those around the cursor while the list is on its way there."""
        in_sight, at = self.documents.in_sight, self.documents.cursor_index
        return in_sight if at in in_sight else range(at, at + 1)

    @work(group="fill")
    async def _fill(self, shown: Documents) -> None:
        try:
            while self.shown is shown and (page := shown.missing(self._needed)) is not None:
                before = len(shown)
                await shown.read(page, partial(self._bring, shown))
                if self.shown is not shown:
                    break
                if len(shown) != before:
                    self.documents.show(shown, keep=_id_of)
                else:
                    self.documents.repaint()
            self._draw_about()
        except ConsoleError as error:
            self.hawser.tell(error)
            return
        finally:
            self._is_filling = False
        self._want_more()

    # ---- what is chosen

    @property
    def collection(self) -> Collection | None:
        return next((each for each in self._known if each.name == self.chosen), None)

    @property
    def folders(self) -> list[Folder]:
        """The watched ones of the chosen collection."""
        return [each for each in self._folders if each.collection == self.chosen]

    @property
    def names(self) -> list[str]:
        return [each.name for each in self._known]

    @property
    def picked(self) -> list[Document]:
        """What a deed is done to: the marked documents, else the one under the cursor."""
        if self.marked:
            return list(self.marked.values())
        row = self.documents.cursor
        return [row] if row is not None else []

    @property
    def is_on_documents(self) -> bool:
        return self.documents.has_focus or bool(self.marked)

    @on(Rows.Moved, "#collections")
    def _shelf_moved(self, event: Rows.Moved[Shelf]) -> None:
        event.stop()
        before = self.chosen
        self._take(event.row)
        if self.chosen != before:
            self.documents.show((), empty="")
            self._draw_head()
            self._look()
            if self._searches and not self._in_all:
                self._typed()

    @on(Rows.Chosen, "#collections")
    def _shelf_chosen(self, event: Rows.Chosen[Shelf]) -> None:
        event.stop()
        (self.passages if self._searches else self.documents).focus()

    @on(Rows.Moved, "#documents")
    def _document_moved(self, event: Rows.Moved[Document | None]) -> None:
        event.stop()
        self._want_more()
        self._draw_about()

    @on(Rows.Chosen, "#documents")
    def _document_chosen(self, event: Rows.Chosen[Document | None]) -> None:
        event.stop()
        self.action_read()

    @on(Rows.Moved, "#passages")
    def _passage_moved(self, event: Rows.Moved[Found]) -> None:
        event.stop()
        self._draw_about()

    @on(Rows.Chosen, "#passages")
    def _passage_chosen(self, event: Rows.Chosen[Found]) -> None:
        event.stop()
        library_deeds.read_passage(self, [each.passage for each in self.passages.rows], event.row.number - 1)

    # ---- searching

    def action_search(self) -> None:
        if not self._known:
            self.hawser.say("There is nothing to search in yet; a adds documents.")
            return
        self._open_field(is_search=True)
        self.search.begin()

    def action_pick_names(self) -> None:
        if self.chosen is not None:
            self._open_field(is_search=False)

    def _open_field(self, *, is_search: bool) -> None:
        self._searches = is_search
        self.documents.display, self.passages.display = not is_search, is_search
        self.field.display = True
        self.field.placeholder = self._asks if is_search else "Words of the names to show"
        words = self.search.words if is_search else self._matching
        if self.field.value != words:
            self.field.value = words
        self.field.focus()
        self._draw_head()
        self._draw_about()
        self._draw_foot()

    @property
    def _asks(self) -> str:
        return "Search in all collections" if self._in_all else f"Search in {self.chosen}"

    def _typed(self) -> None:
        if not self.field.display:
            return
        self._opens_best = False
        if self._searches:
            self.search.look(self.field.value, () if self._in_all or self.chosen is None else (self.chosen,))
        elif self.field.value.strip() != self._matching:
            self._matching = self.field.value.strip()
            self._look()

    def _found(self) -> None:
        """The search has other passages, or something else to say."""
        search = self.search
        empty = search.trouble or (f"Nothing is found for “{clip(search.words, 60)}”." if search.words else HOW)
        self.passages.show(search.found, empty=empty)
        self._draw_head()
        self._draw_about()
        if self._opens_best and search.is_settled:
            self._open_best()

    def _open_best(self) -> None:
        """Enter opens what is found for the words that are there, and waits for it where it must."""
        self._opens_best = not self.search.is_settled
        if not self._opens_best and self.field.display:
            self.passages.action_choose()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        if self._searches:
            self._open_best()
        else:
            self.documents.focus()

    def on_key(self, event: events.Key) -> None:
        if self.focused is not self.field:
            return
        if event.key == "down":
            event.stop()
            (self.passages if self._searches else self.documents).focus()
        elif event.key == "tab" and self._searches:
            event.stop()
            event.prevent_default()
            self._in_all = not self._in_all
            self.field.placeholder = self._asks
            self._draw_head()
            self._typed()

    def action_back(self) -> None:
        """Out of the field, then out of the search, then the marks go."""
        self._opens_best = False
        if self.field.display:
            self.field.display = False
            if self._searches:
                self._searches = False
                self.documents.display, self.passages.display = True, False
            elif self._matching:
                self._matching = ""
                self._look()
            self.documents.focus()
        elif self.marked:
            self.marked.clear()
            self.documents.repaint()
        else:
            self.collections.focus()
        self._draw_head()
        self._draw_about()
        self._draw_foot()

    def action_other_list(self) -> None:
        if self.collections.has_focus:
            (self.passages if self._searches else self.documents).focus()
        else:
            self.collections.focus()

    # ---- drawing

    def _paint_shelf(self, row: Shelf, width: int, here: bool) -> Painted:
        if isinstance(row, Folder):
            return library_lines.folder_line(row, width, self.hawser.palette, is_cursor=here)
        return library_lines.collection_line(row, width, self.hawser.palette, is_cursor=here)

    def _paint_document(self, row: Document | None, width: int, here: bool) -> Painted:
        is_marked = row is not None and row.id in self.marked
        now, palette = self.runtime.clock.now(), self.hawser.palette
        return library_lines.document_line(row, width, palette, now, is_cursor=here, is_marked=is_marked)

    def _paint_passage(self, row: Found, width: int, here: bool) -> Painted:
        return library_lines.passage_lines(row, width, self.hawser.palette, self.app.console, is_cursor=here)

    def _draw_head(self) -> None:
        parts: list[tuple[str, str]] = []
        collection = self.collection
        if self._searches:
            parts = self.search.told(None if self._in_all else self.chosen)
        elif collection is not None:
            parts = library_lines.collection_head(collection, self.runtime.clock.now())
            if self._matching:
                parts.insert(1, (f"with “{clip(self._matching, 30)}”", "accent"))
        self.query_one("#holding-head", Static).update(self._flow(parts), layout=False)

    def _draw_about(self) -> None:
        lines: list[tuple[str, str]] = []
        if self._searches:
            found = self.passages.cursor
            if found is not None:
                lines = [(library_lines.path_words(found.passage.path), "muted"), (found.passage.why, "text")]
        elif (document := self.documents.cursor) is not None:
            lines = library_lines.document_about(document)
        palette, width = self.hawser.palette, max(self.size.width - 4, 20)
        text = Text("\n", no_wrap=True).join(
            Text(clip(words, width), getattr(palette, colour)) for words, colour in lines[:3]
        )
        self.query_one("#holding-about", Static).update(text, layout=False)

    def show_getting(self, told: str) -> None:
        self.getting_model = told
        self._draw_foot()

    def _draw_foot(self) -> None:
        if not self.is_attached:
            return
        keys = self.query_one(KeyLine)
        keys.display = self.field.display
        self.query_one("#library-foot", Static).display = not self.field.display
        if self.field.display:
            keys.show(SEARCHING if self._searches else FILTERING)
            return
        status = self.library.status
        self._to_do = max(self._to_do, status.to_embed) if status.is_busy or status.is_paused else 0
        parts = library_lines.work_words(status, self._to_do)
        if not parts and self._disk:
            parts = [(self._disk, "faint")]
            if status.is_up and status.index_kind:
                parts.append((f"vectors in {status.index_kind}", "faint"))
            if status.is_up and status.index_trouble:
                parts.append((status.index_trouble, "warn"))
        if self.getting_model:
            parts.insert(0, (self.getting_model, "accent"))
        elif self._lacks_model:
            told = f"M gets the model that compares by meaning ({size_words(self._lacks_model)})"
            parts.insert(0, (told, "muted"))
        self.query_one("#library-foot", Static).update(self._flow(parts), layout=False)

    def _flow(self, parts: list[tuple[str, str]]) -> Text:
        palette = self.hawser.palette
        line = Text(" ", no_wrap=True, overflow="ellipsis")
        for number, (words, colour) in enumerate(parts):
            if number:
                line.append(" · ", palette.faint)
            line.append(one_line(words), getattr(palette, colour))
        return line

    def set_palette(self, _palette: Palette) -> None:
        for rows in self.query(Rows):
            rows.repaint()
        self._draw_head()
        self._draw_about()
        self._draw_foot()

    # ---- what is dropped or pasted

    def on_paste(self, event: events.Paste) -> None:
        if self.focused is self.field:
            return
        event.stop()
        library_deeds.add_pasted(self, event.text)

    # ---- what the keys do

    def action_mark(self) -> None:
        row = self.documents.cursor
        if row is None or not self.documents.has_focus:
            return
        if self.marked.pop(row.id, None) is None:
            self.marked[row.id] = row
        self.documents.repaint(self.documents.cursor_index)
        self.documents.action_move(1)

    def action_read(self) -> None:
        if self._searches:
            self.passages.action_choose()
        elif (row := self.documents.cursor) is not None:
            library_deeds.read(self, row)

    def cancel_something(self) -> bool:
        """Ctrl+C ends a search."""
        if self.field.display:
            self.action_back()
            return True
        return False

    def action_deed(self, name: str) -> None:
        library_deeds.do(self, name)


def _name_of(row: Shelf) -> str:
    return row.collection if isinstance(row, Folder) else row.name


def _key_of(row: Shelf) -> tuple[str, int]:
    return type(row).__name__, row.id


def _id_of(row: Document | None) -> int | None:
    return row.id if row is not None else None
