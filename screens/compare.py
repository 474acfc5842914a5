"""Several answers to one question side by side: each with its speed and its price, and one of them is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, NamedTuple

from rich.cells import cell_len
from rich.text import Text
from textual import events, on, work
from textual.actions import SkipAction
from textual.app import ComposeResult, RenderResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.screen import Screen
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Static

from console.chat.news import AnswerGrew, ChatChanged
from console.chat.open_chat import Entry
from console.errors import ConsoleError
from console.text import shorten
from screens import keys
from screens.bridge import Happened
from screens.chat_items import details_of, foot_of, foot_of_live, item_of
from screens.widgets.cells import clip, fit, one_line
from screens.widgets.footer import Footer
from screens.widgets.status import StatusLine
from screens.widgets.transcript import Transcript

if TYPE_CHECKING:
    from console.chat.live import Position
    from console.chat.open_chat import OpenChat
    from console.history.messages import StoredMessage
    from screens.app import HawserApp
    from screens.theme import Palette

NARROWEST = 36
"""Columns are no narrower than this; as many are shown as fit."""
MOST_STANDINGS = 6
TICK_S = 0.5


class AnswerView(Transcript):
    """A transcript of one answer. What is done to messages of a chat is done there, not here."""

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "want":
            return parameters == ("details",)
        return action != "unfold" and super().check_action(action, parameters)  # Enter keeps here, and t unfolds

    def action_want(self, action: str) -> None:
        if action == "details":
            super().action_want(action)


class Column(Vertical):
    """One answer."""

    class Clicked(Message):
        def __init__(self, column: Column) -> None:
            super().__init__()
            self.column = column

    def __init__(self, message_id: str, number: int) -> None:
        super().__init__()
        self.message_id = message_id
        self.number = number
        self.position: Position | None = None

    def compose(self) -> ComposeResult:
        yield AnswerView(self.app.palette)  # type: ignore[attr-defined]

    @property
    def transcript(self) -> Transcript:
        return self.query_one(Transcript)

    def name_it(self, name: str) -> None:
        self.border_title = Text(f"{self.number} {clip(name, NARROWEST - 8)}")

    def on_click(self) -> None:
        self.post_message(self.Clicked(self))


class Standing(NamedTuple):
    """What one answer has come to, in a line."""

    is_here: bool
    name: str
    told: str
    colour: str = "muted"


class Standings(Widget):
    """Every answer in a line: who gives it, how fast, for how much; the one that is looked at stands out."""

    DEFAULT_CSS = """
    Standings { height: auto; padding: 0 1; }
    """

    class Clicked(Message):
        def __init__(self, number: int) -> None:
            super().__init__()
            self.number = number

    def __init__(self) -> None:
        super().__init__()
        self._all: list[Standing] = []

    def show(self, standings: list[Standing]) -> None:
        if standings != self._all:
            is_other_height = len(standings) != len(self._all)
            self._all = standings
            self.refresh(layout=is_other_height)

    def set_palette(self, _palette: object) -> None:
        self.refresh()

    @property
    def first(self) -> int:
        """The number of the first that is shown: where there are many, those around the one that is looked at."""
        here = next((number for number, each in enumerate(self._all) if each.is_here), 0)
        return max(min(here - MOST_STANDINGS // 2, len(self._all) - MOST_STANDINGS), 0)

    def render(self) -> RenderResult:
        palette: Palette = self.app.palette  # type: ignore[attr-defined]
        names = min(max((cell_len(each.name) for each in self._all), default=0), max(self.size.width // 3, 12))
        lines = []
        for number, each in list(enumerate(self._all, 1))[self.first : self.first + MOST_STANDINGS]:
            line = Text.assemble(
                (f"{'▸' if each.is_here else ' '} {number}  ", palette.accent),
                (fit(each.name, names), palette.strong if each.is_here else palette.text),
                (f"  {one_line(each.told)}", getattr(palette, each.colour)),
                no_wrap=True,
            )
            line.truncate(max(self.size.width, 1), overflow="ellipsis")
            lines.append(line)
        return Text("\n", no_wrap=True).join(lines)

    def on_click(self, event: events.Click) -> None:
        event.stop()
        number = self.first + event.y
        if 0 <= number < len(self._all):
            self.post_message(self.Clicked(number))


class CompareScreen(Screen[str | None]):
    """Answers with the message to keep; None leaves the branch as it is."""

    BINDINGS: ClassVar[list[BindingType]] = [*keys.bindings("compare")]
    room_title = "Compare"

    def __init__(self, chat: OpenChat, message_id: str) -> None:
        super().__init__()
        self.chat = chat
        self._message_id = message_id
        self._ids = [each.id for each in chat.siblings(message_id)] or [message_id]
        self._here = self._ids.index(message_id) if message_id in self._ids else 0
        self._names: dict[str, str] = {}
        """Who was asked: an answer that failed before anybody gave it does not say."""
        self._ticker: Timer | None = None

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
            for number, message_id in enumerate(self._ids, 1):
                yield Column(message_id, number)
        yield Footer()

    def _question(self) -> str:
        parent = self.chat.branches.parent(self._message_id)
        question = self.chat.branches.messages.get(parent) if parent is not None else None
        return one_line(shorten(question.text, 300)) if question is not None else ""

    def on_mount(self) -> None:
        self._ticker = self.set_interval(TICK_S, self._tick)
        self._draw_all()
        self._lay_out()

    def on_resize(self) -> None:
        self._lay_out()

    def _lay_out(self) -> None:
        """As many columns as fit, the one that is looked at among them."""
        columns = list(self.query(Column))
        if not columns:
            return
        fits = min(max(self.size.width // NARROWEST, 1), len(columns))
        first = max(min(self._here - fits // 2, len(columns) - fits), 0)
        for number, column in enumerate(columns):
            column.display = first <= number < first + fits
            column.set_class(number == self._here, "-here")
        if not isinstance(self.focused, Transcript) or self.focused is not columns[self._here].transcript:
            columns[self._here].transcript.focus()

    def _go(self, number: int) -> None:
        self._here = number % len(self._ids)
        self._lay_out()
        self._draw_standings()

    def _draw_standings(self) -> None:
        standings = [self._standing(number, message_id) for number, message_id in enumerate(self._ids)]
        for column, standing in zip(self.query(Column), standings, strict=True):
            column.name_it(standing.name)
        self.query_one(Standings).show(standings)

    def _standing(self, number: int, message_id: str) -> Standing:
        message, is_here = self._message(message_id), number == self._here
        if message is None:
            return Standing(is_here, self._names.get(message_id, "?"), "deleted", "warn")
        live = self.chat.lives.get(message_id)
        parts = foot_of(message) if live is None else foot_of_live(live, self.hawser.runtime.clock.monotonic())
        name = (live.model if live is not None else message.model) or self._names.get(message_id, "?")
        self._names[message_id] = name
        if live is None and message.state == "failed":
            return Standing(is_here, name, f"failed: {message.error or 'no reason was given'}", "bad")
        told = " · ".join(one_line(words) for words, _ in parts if words != name)
        if live is None and message.state == "stopped":
            return Standing(is_here, name, f"stopped · {told}".rstrip(" ·"), "warn")
        return Standing(is_here, name, told)

    # ---- what happens

    def on_happened(self, happened: Happened) -> None:
        match happened.event:
            case AnswerGrew(chat=key, message_id=message_id) if key == self.chat.key:
                for column in self.query(Column):
                    if column.message_id == message_id:
                        self._grow(column)
            case ChatChanged(key=key) if key == self.chat.key:
                if any(self._is_unread(message_id) for message_id in self._ids):
                    self._read_again()
                else:
                    self._draw_all()
            case _:
                pass

    def _is_unread(self, message_id: str) -> bool:
        """The chat was read anew, its shown branch first."""
        return message_id in self.chat.branches and message_id not in self.chat.branches.messages

    @work(exclusive=True, group="read")
    async def _read_again(self) -> None:
        try:
            for message_id in filter(self._is_unread, self._ids):
                await self.chat.beside(message_id)
        except ConsoleError as error:
            self.hawser.tell(error)
        self._draw_all()

    def _draw_all(self) -> None:
        for column in self.query(Column):
            self._draw(column)
        self._draw_standings()

    def _message(self, message_id: str) -> StoredMessage | None:
        return self.chat.branches.messages.get(message_id)

    def _draw(self, column: Column) -> None:
        message = self._message(column.message_id)
        if message is None:  # deleted meanwhile
            column.transcript.clear()
            return
        live = self.chat.lives.get(message.id)
        if live is not None:
            *_, column.position = live.since()
            if self._ticker is not None:
                self._ticker.resume()
        item = item_of(Entry(message, 1, 1), self.hawser.runtime.clock.now(), live)
        column.transcript.show([item._replace(hint=_hint(message))])

    def _grow(self, column: Column) -> None:
        live = self.chat.lives.get(column.message_id)
        if live is None:  # it has ended, and the news of that is on its way
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
        lives = self.chat.lives
        for column in self.query(Column):
            live = lives.get(column.message_id)
            if live is not None:
                column.transcript.set_foot(column.message_id, tuple(foot_of_live(live, now_s)))
        self._draw_standings()
        if self._ticker is not None and lives.keys().isdisjoint(self._ids):
            self._ticker.pause()

    # ---- keys and clicks

    def action_side(self, by: int) -> None:
        self._go(self._here + by)

    @on(Column.Clicked)
    def _column_clicked(self, clicked: Column.Clicked) -> None:
        self._go(clicked.column.number - 1)

    @on(Standings.Clicked)
    def _standing_clicked(self, clicked: Standings.Clicked) -> None:
        self._go(clicked.number)

    def action_keep(self) -> None:
        if not isinstance(self.focused, Transcript):  # words to be found are typed: Enter is theirs
            raise SkipAction
        message_id = self._ids[self._here]
        if self._message(message_id) is None:
            self.hawser.say("This answer was deleted; there is nothing to keep.")
        else:
            self.dismiss(message_id)

    @on(Transcript.Wanted)
    async def _wanted(self, wanted: Transcript.Wanted) -> None:
        wanted.stop()
        message = self._message(wanted.item.id)
        if message is not None:
            from screens.dialogs.details import DetailsDialog

            await self.app.push_screen(DetailsDialog("Message", details_of(message)))

    @on(Transcript.Copied)
    def _copied(self, copied: Transcript.Copied) -> None:
        copied.stop()
        self.hawser.copy(copied.text, copied.what)

    @on(Transcript.LinkOpened)
    def _link_opened(self, opened: Transcript.LinkOpened) -> None:
        from screens.chat_messages import open_link

        opened.stop()
        open_link(self, opened.url)

    def action_back(self) -> None:
        self.dismiss(None)

    async def action_stop_all(self) -> None:
        try:
            await self.chat.stop()
        except ConsoleError as error:
            self.hawser.tell(error)

    def cancel_something(self) -> bool:
        """Ctrl+C: what arrives is stopped, else back to the chat."""
        if self.chat.lives.keys().isdisjoint(self._ids):
            self.action_back()
        else:
            self.run_worker(self.action_stop_all(), group="stop")
        return True


def _hint(message: StoredMessage) -> str:
    """What to do about an answer that broke; keys of the chat do not work here."""
    if message.state == "failed":
        return str(message.notes.get("hint") or "Esc, then r asks again.")
    return "Enter keeps it; in the chat c goes on and r asks again."
