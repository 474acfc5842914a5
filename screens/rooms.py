"""The rooms by name, each made when it is first visited, and the honest empty state of those that are yet to come."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.screen import Screen
from textual.widgets import Static

from screens.app import Room
from screens.widgets.footer import Footer
from screens.widgets.status import StatusLine


class LaterRoom(Room):
    """A room whose part of the program works from the command line so far."""

    def __init__(self, title: str, about: str, commands: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__()
        self.room_title = title
        self.about = about
        self.commands = commands

    def compose(self) -> ComposeResult:
        yield StatusLine()
        with VerticalScroll(id="later"):
            yield Static(self._text(), markup=False)
        yield Footer()

    def _text(self) -> Table:
        palette = self.hawser.palette
        table = Table.grid(padding=(0, 2))
        table.add_column(justify="left")
        table.add_column(justify="left", ratio=1)
        page = Table.grid(padding=(1, 0))
        page.add_row(Text(self.room_title, palette.heading))
        page.add_row(Text(self.about, palette.text))
        if self.commands:
            page.add_row(Text("From the command line this works today:", palette.muted))
            for command, words in self.commands:
                table.add_row(Text(command, palette.accent, no_wrap=True), Text(words, palette.muted))
            page.add_row(table)
        return page

    def set_palette(self, _palette: object) -> None:
        self.query_one("#later Static", Static).update(self._text())


def _chat() -> Screen[None]:
    from screens.chat import ChatRoom

    return ChatRoom()


def _logs() -> Screen[None]:
    from screens.logs import LogRoom

    return LogRoom()


def _library() -> Screen[None]:
    from screens.library import LibraryRoom

    return LibraryRoom()


def _later(title: str, about: str, *commands: tuple[str, str]) -> Callable[[], Screen[None]]:
    return lambda: LaterRoom(title, about, commands)


ROOMS: Mapping[str, Callable[[], Screen[None]]] = {
    "chat": _chat,
    "machines": _later(
        "Machines",
        "Nothing is drawn here yet. The line at the top shows what runs and what it costs.",
        ("hawser vm ls", "what there is, and what it costs"),
        ("hawser vm offers", "what can be rented"),
        ("hawser vm new NAME", "rent a machine; the price is said before"),
        ("hawser vm up NAME", "start it"),
        ("hawser vm stop NAME", "stop it, with proof"),
        ("hawser vm logs NAME", "what happened to it"),
    ),
    "documents": _library,
    "images": _later("Images", "Making images is not there yet."),
    "gateway": _later("Gateway", "The local endpoint for other programs is not there yet."),
    "costs": _later(
        "Costs",
        "Nothing is drawn here yet. The line at the top shows what today cost.",
        ("hawser cost", "this month, by day, machine, model or endpoint"),
        ("hawser cost plan", "what is cheaper: a machine, or paying by the token"),
    ),
    "logs": _logs,
}
