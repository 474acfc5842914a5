"""What was found for a question: the passages that were given, with scores and why, and those that were left out."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple, TypeAlias

from rich.segment import Segment
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Static

from console.errors import ConsoleError, explain
from console.text import plural
from screens.dialogs.base import Dialog
from screens.library_lines import place_words, scores_of
from screens.widgets.cells import clip, one_line
from screens.widgets.chat_line import segments_of
from screens.widgets.key_line import KeyLine
from screens.widgets.rows import Painted, Rows
from screens.widgets.transcript.rows import VERDICTS

if TYPE_CHECKING:
    from console.history.among import Among
    from console.history.messages import StoredMessage
    from console.history.sources import Source
    from console.library.library import Library
    from rag.documents import Passage, Retrieved
    from screens.theme import Palette

MOST_LEFT_OUT = 10
LEAST_QUESTION = 12
"""With less room than this the head is without the question."""
Deed: TypeAlias = Literal["open", "put away", "take in"]


class SourceDeed(NamedTuple):
    deed: Deed
    number: int


class Row(NamedTuple):
    """A source, or a passage that was not given to the model."""

    passage: Source | Passage
    number: int | None


class SourcesDialog(Dialog[SourceDeed]):
    """Answers with what to do with a source."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("x", "put_away", "Put away", show=False),
        Binding("v", "open", "Open", show=False),
        Binding("y", "copy", "Copy", show=False),
        Binding("s,q", "close", "Close", show=False),
        *(Binding(str(number), f"number({number})", "Open", show=False) for number in range(1, 10)),
    ]

    def __init__(self, library: Library, message: StoredMessage, question: str, among: Among) -> None:
        super().__init__()
        self._library = library
        self._message = message
        self._question = question
        self._among = among
        self._note = ""
        self.rows: Rows[Row] = Rows(self._paint, lines=3, can_choose=lambda row: row.number is not None)

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog pick sources") as box:
            box.border_title = "Sources"
            yield Static("", classes="lines", markup=False, id="sources-head")
            yield self.rows
            yield Static("", classes="about", markup=False)
            yield KeyLine("Enter opens it · x puts it away and asks again · y copies · Esc closes")

    def on_mount(self) -> None:
        self.rows.focus()
        self.rows.show([Row(source, source.n) for source in self._message.sources])
        self._draw_head()
        self.run_worker(self._look_for_others(), group="others")

    async def _look_for_others(self) -> None:
        """What was near and not taken, by asking once more; documents may have changed since."""
        from rag.documents import Filters, Wanted

        narrowed = () if self._among.collections else self._among.documents
        count = len(self._message.sources) + MOST_LEFT_OUT
        wanted = Wanted(self._question, self._among.collections, top_k=count, filters=Filters(documents=narrowed))
        if not self._question.strip() or not self._among:
            return
        try:
            retrieved = await self._library.retrieve(wanted)
        except ConsoleError as error:
            self._note = explain(error).text
        else:
            self._show_others(retrieved)
        self._draw_head()

    def _show_others(self, retrieved: Retrieved) -> None:
        given = {each for source in self._message.sources for each in source.hashes}
        others = [each for each in (*retrieved.passages, *retrieved.considered) if not given.intersection(each.hashes)][
            :MOST_LEFT_OUT
        ]
        rows = [Row(source, source.n) for source in self._message.sources]
        self.rows.show([*rows, *(Row(each, None) for each in others)], keep=_key_of)
        self._note = f"{len(others)} more were near and left out" if others else ""

    def _draw_head(self) -> None:
        sources = self._message.sources
        palette = self.hawser.palette
        about = sum(len(source.text) for source in sources) // 4
        head = Text(f"{plural(len(sources), 'passage')} of about {about:,} tokens went with", palette.muted)
        said = f" · {self._note}" if self._note else ""
        room = self.rows.size.width - head.cell_len - len(said) - 5
        if room >= LEAST_QUESTION:
            head.append(f" “{clip(self._question, room)}”", palette.text)
        else:
            head = Text(head.plain.removesuffix(" went with"), palette.muted)
        head.append(said, palette.muted)
        head.no_wrap, head.overflow = True, "ellipsis"
        self.query_one("#sources-head", Static).update(head, layout=False)

    def on_resize(self) -> None:
        self._draw_head()

    def _paint(self, row: Row, width: int, here: bool) -> Painted:
        palette, passage = self.hawser.palette, row.passage
        quiet = palette.muted if here else palette.faint
        verdict, colour = "", "muted"
        if row.number is None:
            verdict, colour = "left out", "faint"
        elif (source := self._source(row.number)) is not None and source.excluded:
            verdict, colour = "put away", "warn"
        elif source is not None and source.verdict is not None:
            verdict, colour = VERDICTS[source.verdict]
        elif source is not None:
            verdict, colour = "not cited", "faint"
        mark = f"[{row.number}] " if row.number is not None else "    "
        head = Text(no_wrap=True)
        head.append(f" {mark}", palette.accent)
        head.append(clip(passage.document, max(width // 2, 10)), palette.strong if row.number else palette.muted)
        head.append(f"  {place_words(passage.span)}", palette.muted)
        if passage.headings:
            head.append(f"  {one_line(' › '.join(passage.headings))}", quiet)
        head.truncate(max(width - len(verdict) - 3, 1), overflow="ellipsis")
        gap = Segment(" " * max(width - head.cell_len - len(verdict) - 1, 1))
        scores = Text("     ")
        for number, (words, _) in enumerate(scores_of(passage)):
            scores.append(" · " if number else "", palette.faint)
            scores.append(words, palette.accent if not number else palette.muted)
        if more := _more_of(passage.why):
            scores.append(f" · {one_line(more)}", quiet)
        scores.truncate(max(width - 1, 1), overflow="ellipsis")
        excerpt = Segment(f"     {clip(passage.text, max(width - 7, 1))}", palette.text if here else palette.muted)
        return [*segments_of(head), gap, Segment(verdict, getattr(palette, colour))], segments_of(scores), [excerpt]

    def _source(self, number: int) -> Source | None:
        return next((each for each in self._message.sources if each.n == number), None)

    def set_palette(self, _palette: Palette) -> None:
        self.rows.repaint()
        self._draw_head()

    # ---- keys

    def on_rows_chosen(self, event: Rows.Chosen[Row]) -> None:
        event.stop()
        if event.row.number is not None:
            self.dismiss(SourceDeed("open", event.row.number))

    def action_open(self) -> None:
        self.rows.action_choose()

    def action_number(self, number: int) -> None:
        if self._source(number) is not None:
            self.dismiss(SourceDeed("open", number))

    def action_put_away(self) -> None:
        row = self.rows.cursor
        source = self._source(row.number) if row is not None and row.number is not None else None
        if source is not None:
            self.dismiss(SourceDeed("take in" if source.excluded else "put away", source.n))

    def action_copy(self) -> None:
        row = self.rows.cursor
        if row is not None:
            where = f"({row.passage.document}, {place_words(row.passage.span)})"
            self.hawser.copy(f"{row.passage.text}\n{where}", "the passage")


def _more_of(why: str) -> str:
    """Why a passage was found, without the ranks, which stand before it."""
    words = re.search(r"by words \(([^)]*)\)", why)
    rest = re.sub(r"\d+\w\w by (?:words|meaning)(?: \([^)]*\))?(?:, )?", "", why)
    return " · ".join(filter(None, (words[1] if words else "", rest)))


def _key_of(row: Row) -> tuple[int | None, tuple[bytes, ...]]:
    return row.number, row.passage.hashes
