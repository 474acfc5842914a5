"""The line under the transcript that words to be found are typed into."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.widgets import Input, Label

if TYPE_CHECKING:
    from screens.widgets.transcript.transcript import Transcript


class FindLine(Horizontal):
    """Finds while one types. Enter goes to the messages and keeps the marks; Esc ends the search."""

    DEFAULT_CSS = """
    FindLine { height: 1; background: $panel; }
    FindLine Label { padding: 0 1; color: $text-muted; }
    FindLine Input { border: none; height: 1; padding: 0; width: 1fr; background: $panel; }
    FindLine Input:focus { border: none; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "End", show=False),
        Binding("down", "step(1)", "Next", show=False),
        Binding("up", "step(-1)", "Previous", show=False),
    ]

    def __init__(self, transcript: Transcript) -> None:
        super().__init__()
        self._transcript = transcript

    def compose(self) -> ComposeResult:
        yield Label("Find")
        yield Input(select_on_focus=True)
        yield Label("", id="found", markup=False)

    def on_mount(self) -> None:
        self.begin()

    def begin(self) -> None:
        self.display = True
        field = self.query_one(Input)
        field.focus()
        self._transcript.find(field.value)

    def count(self) -> None:
        """Say where the search is."""
        at, count = self._transcript.found
        words = self.query_one(Input).value.strip()
        told = f"{at:,} of {count:,} · n N" if count else "nothing found" if words else "case and accents do not matter"
        self.query_one("#found", Label).update(told)

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        self._transcript.find(event.value)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self._transcript.focus()

    def action_step(self, by: int) -> None:
        self._transcript.find_next(by)

    def action_leave(self) -> None:
        self._transcript.end_find()
        self._transcript.focus()
