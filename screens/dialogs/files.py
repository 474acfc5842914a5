"""Choose files or a folder: a path is typed, and what is in its folder stands below."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, NamedTuple

from rich.segment import Segment
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input, Static

from console.library import browse
from console.text import neutralise, plural, size_words
from screens import fuzzy
from screens.dialogs.led import LedDialog
from screens.widgets.cells import clip, fit
from screens.widgets.filter_field import FilterField
from screens.widgets.key_line import KeyLine
from screens.widgets.rows import Painted, Rows


class Row(NamedTuple):
    entry: browse.Entry
    is_all: bool = False
    """The whole of the folder that is listed."""


class FilesDialog(LedDialog[tuple[str, ...]]):
    """Answers with paths, or with an address that was typed. With `folders` only a folder can be chosen."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "into", "Into", show=False, priority=True),
        Binding("shift+tab", "up", "Up", show=False, priority=True),
        Binding("ctrl+s", "mark", "Mark", show=False, priority=True),
    ]

    def __init__(self, title: str, label: str, *, here: Path, folders: bool = False) -> None:
        super().__init__()
        self.box_title = title
        self._label = label
        self._here = here
        self._folders = folders
        self._listing = browse.Listing("", ())
        self._marked: dict[str, None] = {}
        self.rows: Rows[Row] = Rows(self._paint, classes="-led", empty="Nothing here.")

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog pick files") as box:
            box.border_title = Content(neutralise(self.box_title))
            yield Static(neutralise(self._label), classes="lines", markup=False)
            yield FilterField(placeholder="A path, the beginning of a name, or an address", typed=self._typed)
            yield self.rows
            yield Static("", classes="status", markup=False)
            marks = "" if self._folders else "^S marks several · "
            yield KeyLine(f"Enter takes it · Tab goes into a folder · Shift+Tab up · {marks}Esc leaves it")

    def on_mount(self) -> None:
        super().on_mount()
        self._typed()

    @property
    def is_address(self) -> bool:
        return self.words.startswith(("http://", "https://")) and not self._folders

    def _typed(self) -> None:
        self.run_worker(self._list(), group="list", exclusive=True)

    async def _list(self) -> None:
        if self.is_address:
            self.rows.show((), empty="Enter fetches what is at this address, and keeps its text.")
            self._tell("")
            return
        folder, beginning = browse.parted(self.words, Path.home(), self._here)
        if folder != self._listing.folder:
            listing = await browse.entries_of(folder)
            if (folder, beginning) != browse.parted(self.words, Path.home(), self._here):
                return
            self._listing = listing
        entries = [each for each in self._listing.entries if each.is_folder or not self._folders]
        found = fuzzy.fitting(beginning, entries, lambda each: each.name) if beginning else entries
        whole = browse.Entry(Path(folder).name or folder, folder, True)
        rows = [Row(each) for each in found] if beginning else [Row(whole, is_all=True), *(Row(each) for each in found)]
        at = None if beginning or self._folders or len(rows) < 2 else 1
        self.rows.show(rows, at=at, empty=self._listing.problem or f"Nothing here is called {clip(beginning, 40)}.")
        self._tell(self._listing.problem)

    def _tell(self, words: str) -> None:
        if not words and self._marked:
            words = f"{plural(len(self._marked), 'file')} marked"
        self.query_one(".status", Static).update(words or " ", layout=False)

    def _paint(self, row: Row, width: int, here: bool) -> Painted:
        palette, entry = self.hawser.palette, row.entry
        if row.is_all:
            return [Segment("   "), Segment(clip(f"All of {entry.name}/", width - 4), palette.accent)]
        mark = "✓" if entry.path in self._marked else " "
        if entry.is_folder:
            name = Segment(clip(f"{entry.name}/", width - 4), palette.tool)
            return [Segment(f" {mark} ", palette.accent), name]
        size = size_words(entry.size_bytes) if entry.size_bytes is not None else ""
        return [
            Segment(f" {mark} ", palette.accent),
            Segment(fit(entry.name, max(width - 14, 4)), palette.text),
            Segment(f"{size:>10}", palette.muted if here else palette.faint),
        ]

    # ---- keys

    def action_into(self) -> None:
        row = self.rows.cursor
        if row is None:
            return
        self._write(row.entry.path + ("/" if row.entry.is_folder else ""))

    def action_up(self) -> None:
        folder, beginning = browse.parted(self.words, Path.home(), self._here)
        self._write(folder + "/" if beginning else str(Path(folder).parent).rstrip("/") + "/")

    def _write(self, path: str) -> None:
        field = self.query_one(Input)
        field.value = path
        field.cursor_position = len(path)

    def action_mark(self) -> None:
        row = self.rows.cursor
        if row is None or self._folders or row.is_all:
            return
        if row.entry.path in self._marked:
            del self._marked[row.entry.path]
        else:
            self._marked[row.entry.path] = None
        self.rows.repaint()
        self._tell("")
        self.rows.action_move(1)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        event.prevent_default()  # Enter is not for the row alone here
        if self.is_address:
            self.dismiss((self.words,))
        elif self._marked:
            self.dismiss(tuple(self._marked))
        else:
            self.rows.action_choose()

    def on_rows_chosen(self, event: Rows.Chosen[Row]) -> None:
        event.stop()
        row = event.row
        if self._marked:
            self.action_mark()
        elif row.entry.is_folder and not row.is_all and not self._folders:
            self._write(row.entry.path + "/")
        else:
            self.dismiss((row.entry.path,))
