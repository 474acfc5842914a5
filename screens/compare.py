"""Several answers to one question side by side: each with its speed and its price, and one of them is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.cells import cell_len
from rich.text import Text
from textual import on
from textual.app import ComposeResult, RenderResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Static

from console.chat.news import AnswerGrew, ChatChanged
from console.errors import ConsoleError
from console.text import neutralise, shorten
from screens import keys
from screens.bridge import Happened
from screens.chat_items import foot_of, foot_of_live, item_of
from screens.widgets.cells import fit, one_line
from screens.widgets.footer import Footer
from screens.widgets.status import StatusLine
from screens.widgets.transcript import Transcript

if TYPE_CHECKING:
    from console.chat.live import Position
    from console.chat.open_chat import OpenChat
    from console.history.messages import StoredMessage
    from screens.app import HawserApp

NARROWEST = 36
"""Columns are no narrower than this; where they would be, one is shown at a time."""
TICK_S = 0.5


class Column(Vertical):
    """One answer."""

    def __init__(self, message_id: str) -> None:
        super().__init__()
        self.message_id = message_id
        self.position: Position | None = None

    def compose(self) -> ComposeResult:
        yield Transcript(self.app.palette)  # type: ignore[attr-defined]

    @property
    def transcript(self) -> Transcript:
        return self.query_one(Transcript)


class Standings(Widget):
    """A line with every answer: who gives it, how fast, for how much; the one that is looked at stands out."""

    DEFAULT_CSS = """
    Standings { height: auto; max-height: 6; padding: 0 1; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._rows: list[tuple[bool, str, str]] = []

    def show(self, rows: list[tuple[bool, str, str]]) -> None:
        """For each answer whether it is looked at, who gives it, and its figures."""
        if rows != self._rows:
            is_other_height = len(rows) != len(self._rows)
            self._rows = rows
            self.refresh(layout=is_other_height)

    def set_palette(self, _palette: object) -> None:
        self.refresh()

    def render(self) -> RenderResult:
        palette = self.app.palette  # type: ignore[attr-defined]
        names = max((cell_len(name) for _, name, _ in self._rows), default=0)
        text = Text(no_wrap=True, overflow="ellipsis")
        for number, (is_here, name, figures) in enumerate(self._rows, 1):
            text.append(f"{'▸' if is_here else ' '} {number}  ", palette.accent)
            text.append(fit(name, min(names, 40)), palette.strong if is_here else palette.text)
            text.append(f"  {figures}\n", palette.muted)
        text.rstrip()
        return text


class CompareScreen(Screen[str | None]):
    """Answers with the message to keep; None leaves the branch as it is."""

    BINDINGS: ClassVar[list[BindingType]] = [*keys.bindings("compare")]
    room_title = "Compare"

    def __init__(self, chat: OpenChat, message_id: str) -> None:
        super().__init__()
        self.chat = chat
        self._message_id = message_id
        self._ids = [each.id for each in chat.siblings(message_id)]
        self._here = max(self._ids.index(message_id), 0) if message_id in self._ids else 0

    @property
    def hawser(self) -> HawserApp:
        from screens.app import HawserApp

        app = self.app
        assert isinstance(app, HawserApp)
        return app

    def compose(self) -> ComposeResult:
        yield StatusLine()
        yield Static(self._question(), id="question", markup=False)
        yield Standings()
        with Horizontal(id="columns"):
            for message_id in self._ids:
                yield Column(message_id)
        yield Footer()

    def _question(self) -> str:
        parent = self.chat.branches.parent(self._message_id)
        question = self.chat.branches.messages.get(parent) if parent is not None else None
        return neutralise(shorten(question.text, 300)) if question is not None else ""

    def on_mount(self) -> None:
        for column in self.query(Column):
            self._draw(column)
        self.set_interval(TICK_S, self._tick)
        self._lay_out()

    def on_resize(self) -> None:
        self._lay_out()

    def _lay_out(self) -> None:
        """All columns where they fit, else the one that is looked at."""
        columns = list(self.query(Column))
        fits = self.size.width // max(len(columns), 1) >= NARROWEST
        for number, column in enumerate(columns):
            column.display = fits or number == self._here
            column.set_class(number == self._here, "-here")
        if columns:
            columns[self._here].transcript.focus()
        self._draw_standings()

    def _draw_standings(self) -> None:
        rows = []
        for number, message_id in enumerate(self._ids):
            message = self._message(message_id)
            if message is None:
                rows.append((number == self._here, "deleted", ""))
                continue
            live = self.chat.lives.get(message_id)
            parts = foot_of(message) if live is None else foot_of_live(live, self.hawser.runtime.clock.monotonic())
            name = one_line((live.model if live is not None else message.model) or "?")
            rows.append((number == self._here, name, " · ".join(one_line(words) for words, _ in parts[1:])))
        self.query_one(Standings).show(rows)

    # ---- what happens

    def on_happened(self, happened: Happened) -> None:
        match happened.event:
            case AnswerGrew(chat=key, message_id=message_id) if key == self.chat.key:
                for column in self.query(Column):
                    if column.message_id == message_id:
                        self._grow(column)
            case ChatChanged(key=key) if key == self.chat.key:
                for column in self.query(Column):
                    self._draw(column)
            case _:
                pass

    def _message(self, message_id: str) -> StoredMessage | None:
        return self.chat.branches.messages.get(message_id)

    def _draw(self, column: Column) -> None:
        from console.chat.open_chat import Entry

        message = self._message(column.message_id)
        if message is None:  # deleted meanwhile
            column.transcript.clear()
            return
        live = self.chat.lives.get(message.id)
        if live is not None:
            *_, column.position = live.since()
        entry = Entry(message, self._ids.index(message.id) + 1, len(self._ids))
        column.transcript.show([item_of(entry, self.hawser.runtime.clock.now(), live)])
        self._draw_standings()

    def _grow(self, column: Column) -> None:
        live = self.chat.lives.get(column.message_id)
        if live is None:
            return
        before = column.position
        text, thinking, position = live.since(before) if before is not None else live.since()
        if before is None or before.era != position.era:
            self._draw(column)
        else:
            column.position = position
            column.transcript.grow(column.message_id, text, thinking)

    def _tick(self) -> None:
        now_s = self.hawser.runtime.clock.monotonic()
        for column in self.query(Column):
            live = self.chat.lives.get(column.message_id)
            if live is not None:
                column.transcript.set_foot(column.message_id, tuple(foot_of_live(live, now_s)))
        self._draw_standings()

    # ---- keys

    def action_side(self, by: int) -> None:
        self._here = (self._here + by) % len(self._ids)
        self._lay_out()

    def action_keep(self) -> None:
        self.dismiss(self._ids[self._here])

    @on(Transcript.Wanted)
    def _wanted(self, wanted: Transcript.Wanted) -> None:
        """Enter on an answer keeps it; what else could be done with a message is for the chat."""
        wanted.stop()
        if wanted.action == "write":
            self.action_keep()

    @on(Transcript.Copied)
    def _copied(self, copied: Transcript.Copied) -> None:
        copied.stop()
        self.hawser.copy(copied.text, copied.what)

    def action_back(self) -> None:
        self.dismiss(None)

    async def action_stop_all(self) -> None:
        try:
            await self.chat.stop()
        except ConsoleError as error:
            self.hawser.tell(error)

    def cancel_something(self) -> bool:
        if self.chat.is_busy:
            self.run_worker(self.action_stop_all(), group="stop")
        else:
            self.action_back()
        return True
