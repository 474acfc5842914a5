"""Ask for a line of text."""

from __future__ import annotations

from collections.abc import Callable

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input, Static

from console.text import neutralise
from screens.dialogs.base import Dialog
from screens.widgets.cells import one_line
from screens.widgets.key_line import KeyLine


class AskDialog(Dialog[str]):
    """Answers with the line. `check` says in a sentence what is wrong with one; empty is right."""

    def __init__(
        self,
        title: str,
        label: str,
        value: str = "",
        *,
        hidden: bool = False,
        keys: str = "Enter takes it · Esc leaves it",
        check: Callable[[str], str] | None = None,
    ) -> None:
        super().__init__()
        self.box_title = title
        self._label = label
        self._value = value if value.isprintable() else one_line(value)
        self._is_hidden = hidden
        self._keys = keys
        self._check = check or (lambda text: "")

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog ask") as box:
            box.border_title = Content(neutralise(self.box_title))
            yield Static(neutralise(self._label), classes="lines", markup=False)
            yield Input(self._value, password=self._is_hidden)
            yield Static("", classes="wrong", markup=False)
            yield KeyLine(self._keys)

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        self._tell(self._check(event.value) if event.value else "")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        if wrong := self._check(event.value):
            self._tell(wrong)
        else:
            self.dismiss(event.value)

    def _tell(self, wrong: str) -> None:
        self.query_one(".wrong", Static).set_class(bool(wrong), "-on").update(neutralise(wrong))
