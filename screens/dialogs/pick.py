"""Pick one of many: a filter to type in, the rows under it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Generic, TypeVar

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input, Static

from console.text import neutralise
from screens import fuzzy
from screens.dialogs.led import LedDialog
from screens.widgets.cells import clip
from screens.widgets.key_line import KeyLine
from screens.widgets.rows import Painted, Rows

T = TypeVar("T")


class PickDialog(LedDialog[T], Generic[T]):
    """Answers with the row that was chosen. `filter` says which rows fit what was typed, the best first."""

    def __init__(
        self,
        title: str,
        rows: Sequence[T],
        paint: Callable[[T, int, bool], Painted],
        key_of: Callable[[T], Hashable],
        filter: Callable[[str, Sequence[T]], Sequence[T]] | None = None,  # noqa: A002 - what it is called everywhere
        *,
        text_of: Callable[[T], str] = str,
        can_choose: Callable[[T], bool] | None = None,
        at: int | None = None,
        lines: int = 1,
        hint: str = "Enter takes it · Esc leaves it",
        about_lines: int = 0,
        empty: str = "Nothing fits.",
        placeholder: str = "Type to filter",
    ) -> None:
        """Without `filter` the words that were typed are looked for in `text_of` a row. `hint` is a line of keys (see
        `KeyLine`); `about_lines` are kept under the rows for what is said of the one under the cursor."""
        super().__init__()
        self.box_title = title
        self.all_rows = rows
        self.key_of = key_of
        self._filter = filter or (lambda words, rows: fuzzy.fitting(words, rows, text_of))
        self._at = at
        self._hint = hint
        self._field = Input(placeholder=placeholder, select_on_focus=False)
        self._about_lines = about_lines
        self._about = ""
        self.rows: Rows[T] = Rows(paint, lines=lines, can_choose=can_choose, empty=empty, classes="-led")

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog pick") as box:
            box.border_title = Content(neutralise(self.box_title))
            yield self._field
            yield self.rows
            box.set_class(bool(self._about_lines), "-about")
            if self._about_lines:
                yield Static("", classes="about", markup=False)
            yield KeyLine(self._hint)

    def on_mount(self) -> None:
        self.show(self.all_rows, at=self._at)

    def on_resize(self) -> None:
        """The rows get what the frame, the field and the lines under them leave."""
        about = self._about_lines + 1 if self._about_lines else 0
        if about:
            self.query_one(".about").styles.height = self._about_lines
            self.call_after_refresh(lambda: self.tell(self._about))
        self.rows.styles.max_height = max(self.size.height * 9 // 10 - about - 6, 1)

    def tell(self, about: str) -> None:
        """Say something of the row under the cursor, cut to the lines that are kept for it."""
        self._about = about
        field = self.query_one(".about", Static)
        if width := field.content_size.width:
            field.update(clip(about, (width - 1) * self._about_lines))

    @property
    def words(self) -> str:
        return self._field.value

    def show(self, rows: Sequence[T], *, at: int | None = None) -> None:
        """Other rows, under the filter that is there; the cursor stays where it is if it can."""
        self.all_rows = rows
        words = self.words.strip()
        shown = self._filter(words, rows) if words else rows
        if at is not None and not words:
            self.rows.show(shown, at=at)
        else:
            self.rows.show(shown, keep=None if words else self.key_of)

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        words = event.value.strip()
        self.rows.show(self._filter(words, self.all_rows) if words else self.all_rows)

    def on_rows_chosen(self, event: Rows.Chosen[T]) -> None:
        event.stop()
        self.dismiss(event.row)
