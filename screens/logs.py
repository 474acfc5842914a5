"""The log room: our own log file as it is written, with a filter."""

from __future__ import annotations

import asyncio
import textwrap
import time
from typing import ClassVar, NamedTuple

from rich.cells import chop_cells
from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.timer import Timer
from textual.widgets import Input, Static

from console.errors import ConsoleError
from console.log_view import LogEntry, LogView, chosen, write_entries
from console.paths import shown_path
from console.text import plural
from screens.app import Room
from screens.keys import bindings
from screens.widgets.footer import Footer
from screens.widgets.rows import Rows
from screens.widgets.status import StatusLine

EVERY_S = 1.0
"""How often the file is looked at while the room is in sight."""
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
HEAD = 26
"""Cells of time, level and where it comes from."""
NOTHING = "Nothing was logged yet."
NONE_FITS = "No entry fits.\n\nEsc takes the filter away; l shows entries of other levels."
_COLOURS = {"DEBUG": "faint", "INFO": "muted", "WARNING": "warn", "ERROR": "bad", "CRITICAL": "bad"}

_SHORT = {"WARNING": "WARN", "CRITICAL": "FATAL"}


class Piece(NamedTuple):
    """A line of the list: an entry, or a further line of one that is wrapped."""

    entry: LogEntry
    part: int
    text: str


class LogRoom(Room):
    room_title = "Logs"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("log")]

    def __init__(self) -> None:
        super().__init__()
        self._level = "INFO"
        self._words = ""
        self._wraps = False
        self._shown: list[LogEntry] = []
        self._is_reading = False
        self._timer: Timer | None = None

    def compose(self) -> ComposeResult:
        self.view = LogView(self.runtime.paths.log_file)
        yield StatusLine()
        yield Static("", id="log-head", markup=False)
        yield Rows(self._paint, empty=NOTHING, id="log")
        yield Input(placeholder="A pattern, such as link|tunnel", id="log-filter")
        yield Footer()

    def on_mount(self) -> None:
        self.query_one(Input).display = False
        self._rows.focus()
        self._timer = self.set_interval(EVERY_S, self._look)
        self.call_after_refresh(self._look)

    def on_screen_suspend(self) -> None:
        if self._timer is not None:
            self._timer.pause()

    def on_screen_resume(self) -> None:
        if self._timer is not None:
            self._timer.resume()
            self._look()

    def on_resize(self, event: events.Resize) -> None:
        if self._wraps and self.is_mounted:
            self._show()

    @property
    def _rows(self) -> Rows[Piece]:
        return self.query_one("#log", Rows)

    # Reading

    def _look(self) -> None:
        if not self._is_reading:
            self._is_reading = True
            self.run_worker(self._read(), group="log")

    async def _read(self) -> None:
        try:
            new = await asyncio.to_thread(self.view.read)
        except OSError as error:
            self.query_one("#log-head", Static).update(f"The log cannot be read: {error.strerror or error}.")
            return
        finally:
            self._is_reading = False
        if new or not self._shown:
            self._show()

    def _show(self) -> None:
        """The rows anew. Who is at the end stays there; everybody else keeps their place."""
        rows = self._rows
        is_at_end = rows.cursor_index >= len(rows.rows) - 1
        self._shown, wrong = chosen(self.view.entries, self._level, self._words)
        pieces = [piece for entry in self._shown for piece in self._pieces(entry)]
        rows.empty = NONE_FITS if self.view.entries else NOTHING
        if is_at_end:
            rows.show(pieces, at=len(pieces) - 1 if pieces else None)
        else:
            rows.show(pieces, keep=lambda piece: (piece.entry.number, piece.part))
        filtered = f" with “{self._words}”" if self._words else ""
        told = f" {plural(len(self._shown), 'entry', 'entries')} from {self._level.lower()} on{filtered}"
        file = f"   {shown_path(self.runtime.paths.log_file)}"
        palette = self.hawser.palette
        head = Text(no_wrap=True, overflow="ellipsis")
        head.append(told, palette.text)
        head.append(f"   {wrong}" if wrong else file, palette.warn if wrong else palette.faint)
        self.query_one("#log-head", Static).update(head, layout=False)

    def _pieces(self, entry: LogEntry) -> list[Piece]:
        lines = entry.text.split("\n")
        if not self._wraps:
            more = f"  (+{plural(len(lines) - 1, 'line')})" if len(lines) > 1 else ""
            return [Piece(entry, 0, lines[0] + more)]
        width = max(self.size.width - HEAD - 2, 20)
        cut = [piece for line in lines for piece in _cut(line, width)]
        return [Piece(entry, number, text) for number, text in enumerate(cut)]

    def _paint(self, piece: Piece, width: int, here: bool) -> Text:
        palette = self.hawser.palette
        entry = piece.entry
        if piece.part:
            return Text(" " * HEAD + piece.text, palette.text, no_wrap=True)
        colour = getattr(palette, _COLOURS.get(entry.level, "muted"))
        where = entry.who.rpartition(".")[2][:9]
        line = Text(no_wrap=True, overflow="ellipsis")
        line.append(f" {entry.time} ", palette.muted if here else palette.faint)
        line.append(f"{_SHORT.get(entry.level, entry.level)[:5]:<5} ", colour)
        line.append(f"{where:<9} ", palette.tool)
        line.append(piece.text, colour if entry.is_at_least("WARNING") else palette.text)
        line.truncate(width, overflow="ellipsis")
        return line

    def set_palette(self, _palette: object) -> None:
        self._rows.repaint()
        self._show()

    # What the user does

    def action_filter(self) -> None:
        field = self.query_one(Input)
        field.display = True
        field.focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        self._words = event.value
        self._show()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        event.input.display = bool(event.value)
        self._rows.focus()

    def action_all(self) -> None:
        field = self.query_one(Input)
        field.value = ""
        field.display = False
        self._rows.focus()

    def action_level(self) -> None:
        self._level = LEVELS[(LEVELS.index(self._level) + 1) % len(LEVELS)]
        self._show()

    def action_wrap(self) -> None:
        self._wraps = not self._wraps
        self._show()

    def action_copy(self) -> None:
        piece = self._rows.cursor
        if piece is not None:
            self.hawser.copy(piece.entry.line, "the entry")

    def action_copy_all(self) -> None:
        if self._shown:
            self.hawser.copy(self._text, plural(len(self._shown), "line"))

    def action_save(self) -> None:
        from screens.dialogs.ask import AskDialog

        usual = time.strftime("~/hawser-log-%Y%m%d-%H%M%S.txt")
        self.app.push_screen(AskDialog("Save the log", "Into which file?", usual), self._save)

    async def _save(self, name: str | None) -> None:
        if not name:
            return
        entries = self._shown
        try:
            file = await asyncio.to_thread(write_entries, name, entries)
        except ConsoleError as error:
            self.hawser.tell(error)
        else:
            self.hawser.say(f"{plural(len(entries), 'entry', 'entries')} written to {file}")

    @property
    def _text(self) -> str:
        return "\n".join(entry.line for entry in self._shown)

    def on_rows_chosen(self, event: Rows.Chosen[Piece]) -> None:
        from screens.dialogs.read import ReadDialog

        entry = event.row.entry
        self.app.push_screen(ReadDialog(f"{entry.level} {entry.time}", f"{entry.who} ({entry.pid})\n\n{entry.text}"))


def _cut(line: str, width: int) -> list[str]:
    """Between words where that is quick to find, else wherever the width ends."""
    if line.isascii():
        return textwrap.wrap(line, width, replace_whitespace=False, break_on_hyphens=False) or [""]
    return chop_cells(line, width) or [""]
