"""The rooms by name, each made when it is first visited, and the honest empty state of those that are yet to come."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from textual.app import ComposeResult
from textual.screen import Screen
from textual.widgets import Static

from screens.app import Room
from screens.widgets.footer import Footer
from screens.widgets.status import StatusLine


class LaterRoom(Room):
    """A room whose part of the program works from the command line so far."""

    def __init__(self, title: str, text: str) -> None:
        super().__init__()
        self.room_title = title
        self.text = text

    def compose(self) -> ComposeResult:
        yield StatusLine()
        yield Static(f"{self.room_title}\n\n{self.text}", id="later", markup=False)
        yield Footer()


def _chat() -> Screen[None]:
    from screens.chat import ChatRoom

    return ChatRoom()


def _later(title: str, text: str) -> Callable[[], Screen[None]]:
    return lambda: LaterRoom(title, text)


ROOMS: Mapping[str, Callable[[], Screen[None]]] = {
    "chat": _chat,
    "machines": _later(
        "Machines",
        "This room is not built yet. From the command line all of it works:\n\n"
        "  hawser vm ls          what there is, and what it costs\n"
        "  hawser vm offers      what can be rented\n"
        "  hawser vm up NAME     start a machine\n"
        "  hawser vm stop NAME   stop it, with proof",
    ),
    "documents": _later(
        "Documents", "This room is not built yet. A file can be attached to a question: @ in the chat."
    ),
    "images": _later("Images", "This room is not built yet."),
    "gateway": _later("Gateway", "This room is not built yet."),
    "costs": _later("Costs", "This room is not built yet. From the command line: hawser cost, hawser cost plan."),
    "logs": _later("Logs", "This room is not built yet."),
}
