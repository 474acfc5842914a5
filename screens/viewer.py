"""A document over the room: its text as it was read, the place that is cited lit and in sight.

The places that can be gone through may be in several documents: those of an answer, or of a search.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import Input, Label, Static

from console.errors import ConsoleError, explain
from console.text import neutralise
from screens import keys
from screens.dialogs.base import Dialog
from screens.library_lines import path_words
from screens.widgets.cells import clip, one_line
from screens.widgets.document import DocumentView, Light, LightKind, Moved
from screens.widgets.footer import Footer

if TYPE_CHECKING:
    from rag.readers import DocumentText
    from screens.theme import Palette

MOST_HITS = 10_000


class CitedPlace(NamedTuple):
    """Where something stands, and what is said about it in the line at the top."""

    document_id: int
    document: str
    path: str
    start: int
    end: int
    words: str = ""
    """As in `[2] exact`."""
    quotes: tuple[tuple[int, int], ...] = ()
    """Characters of the document that were quoted."""
    text: str = ""
    """How it read when it was found; a document may have changed since."""


class Viewer(Dialog[None]):
    """`text_of` brings a document's text; `open_original` shows its file elsewhere, and says whether it could."""

    DEFAULT_CSS = """
    Viewer { align: left top; background: $background; }
    Viewer #viewed { height: 1fr; }
    Viewer #viewed-head { height: 1; background: $panel; }
    Viewer #viewed-find { height: 1; background: $panel; display: none; }
    Viewer #viewed-find Label { padding: 0 1; color: $text-muted; }
    Viewer #viewed-find Input { border: none; height: 1; padding: 0; width: 1fr; background: $panel; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [*keys.bindings("viewer")]

    def __init__(
        self,
        places: Sequence[CitedPlace],
        at: int,
        text_of: Callable[[int], Awaitable[DocumentText]],
        open_original: Callable[[str], Awaitable[None]],
        palette: Palette,
    ) -> None:
        super().__init__()
        self._places = places
        self._at = at
        self._text_of = text_of
        self._open_original = open_original
        self.view = DocumentView(palette)
        self._shown: int | None = None
        """The document whose text is shown."""
        self._pages = 0
        self._words = ""
        self._trouble = ""
        self._hits: list[tuple[int, int]] = []
        self._hit = 0

    def compose(self) -> ComposeResult:
        with Vertical(id="viewed"):
            yield Static("", id="viewed-head", markup=False)
            yield self.view
            with Horizontal(id="viewed-find"):
                yield Label("Find")
                yield Input(select_on_focus=True)
                yield Label("", id="viewed-found", markup=False)
        yield Footer()

    def on_mount(self) -> None:
        self.view.focus()
        self._go(self._at)

    @property
    def place(self) -> CitedPlace:
        return self._places[self._at]

    # ---- going to a place

    def _go(self, at: int) -> None:
        self._at = at
        self._draw_head()
        if self.place.document_id == self._shown:
            self._light()
            self.action_here()
        else:
            self.run_worker(self._open(self.place), group="open", exclusive=True)

    async def _open(self, place: CitedPlace) -> None:
        try:
            document = await self._text_of(place.document_id)
        except ConsoleError as error:
            told = explain(error)
            self._trouble = " ".join(filter(None, (told.text, told.hint)))
            self._shown = None
            self._draw_head()
            return
        self._trouble, self._shown = "", place.document_id
        self._pages = max((span.number for span in document.spans), default=0)
        self._hits = []
        self.view.show(document)
        if self._words:
            self._look_for(self._words)
        self._light()
        self.action_here()

    def _light(self) -> None:
        lights = []
        for number, place in enumerate(self._places):
            if place.document_id == self._shown:
                # Where words of it were taken only these are lit; the bar says which passage they are of.
                kind: LightKind = "other" if number != self._at else "bar" if place.quotes else "span"
                lights.append(Light(place.start, place.end, kind))
                if number == self._at:
                    lights += [Light(start, end, "quote") for start, end in place.quotes]
        lights += [Light(*span, "hit here" if number == self._hit else "hit") for number, span in enumerate(self._hits)]
        self.view.light(lights)
        self._draw_head()

    def action_here(self) -> None:
        self.view.go_to(self.place.start, self.place.end)

    def action_next_place(self) -> None:
        self._go((self._at + 1) % len(self._places))

    def action_previous_place(self) -> None:
        self._go((self._at - 1) % len(self._places))

    def action_step(self, by: int) -> None:
        if not self._hits:
            self._go((self._at + by) % len(self._places))
            return
        self._hit = (self._hit + by) % len(self._hits)
        self._light()
        self.view.go_to(*self._hits[self._hit])
        self._count()

    # ---- the line at the top

    def on_document_view_moved(self, event: Moved) -> None:
        event.stop()
        self._draw_head()

    def _draw_head(self) -> None:
        if not self.is_mounted:
            return
        palette, place, view = self.hawser.palette, self.place, self.view
        width = max(self.size.width, 1)
        tail = Text(no_wrap=True)
        if self._trouble:
            tail.append(clip(self._trouble, width * 2 // 3), palette.bad)
        elif view.is_laid:
            top = view.top
            page = view.page_of(top)
            if page is not None:
                tail.append(f"page {page}{f' of {self._pages}' if self._pages else ''} · ", palette.muted)
            tail.append(f"line {view.line_of(top):,} of {view.lines:,}", palette.muted)
        if len(self._places) > 1:
            tail.append(f" · {self._at + 1} of {len(self._places)}", palette.accent)
        tail.append(" ")
        head = Text(" ", no_wrap=True)
        if place.words:
            head.append(f"{one_line(place.words)}  ", palette.accent)
        head.append(one_line(place.document), palette.heading)
        head.append(f"  {one_line(path_words(place.path))}", palette.faint)
        head.truncate(max(width - tail.cell_len - 1, 1), overflow="ellipsis")
        head.append(" " * max(width - head.cell_len - tail.cell_len, 0))
        self.query_one("#viewed-head", Static).update(head.append_text(tail), layout=False)

    def on_resize(self) -> None:
        self._draw_head()

    def set_palette(self, _palette: Palette) -> None:
        self._draw_head()

    # ---- finding

    def action_find(self) -> None:
        self.query_one("#viewed-find").display = True
        self.query_one(Input).focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        self._words = event.value
        self._look_for(event.value)
        self._light()
        if self._hits:
            self.view.go_to(*self._hits[self._hit])

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.view.focus()

    def _look_for(self, words: str) -> None:
        """From the first row in sight on; in any case, and over line breaks."""
        self._hits, self._hit = [], 0
        if words.strip():
            pattern = r"\s+".join(map(re.escape, words.split()))
            for match in re.finditer(pattern, self.view.text, re.IGNORECASE):
                self._hits.append(match.span())
                if len(self._hits) == MOST_HITS:
                    break
            self._hit = bisect_left(self._hits, (self.view.top, 0)) % max(len(self._hits), 1)
        self._count()

    def _count(self) -> None:
        count = len(self._hits)
        more = "+" if count == MOST_HITS else ""
        told = f" {self._hit + 1:,} of {count:,}{more} · n N " if count else " nothing found " if self._words else ""
        self.query_one("#viewed-found", Label).update(told)

    # ---- what else the keys do

    def action_copy(self) -> None:
        place = self.place
        if selected := self.view.selected_text:
            self.hawser.copy(selected, "the selection")
            return
        text = self.view.text[place.start : place.end] or place.text
        page = self.view.page_of(place.start)
        where = f"page {page}" if page is not None else f"line {self.view.line_of(place.start)}"
        self.hawser.copy(f"{neutralise(text).strip()}\n({place.document}, {where})", "the passage")

    def action_original(self) -> None:
        self.app.run_worker(self._open_original(self.place.path), group="original")

    def action_leave(self) -> None:
        find = self.query_one("#viewed-find")
        if find.display:
            find.display = False
            self._words, self._hits = "", []
            self._light()
            self.view.focus()
        else:
            self.dismiss(None)

    def action_close(self) -> None:
        self.action_leave()
