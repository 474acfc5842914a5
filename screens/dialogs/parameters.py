"""Set what shapes the answers of a chat: only what the backend that answers now has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Input, Static

from console.chat import parameters
from console.chat.parameters import Backend, Parameter
from console.errors import UsageError
from console.text import neutralise
from screens.dialogs.base import Dialog


class ParametersDialog(Dialog[dict[str, Any]]):
    """Answers with all wishes of the chat, those that this backend does not have among them."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s", "save", "Save", show=False, priority=True),
        Binding("down", "app.focus_next", "Down", show=False),
        Binding("up", "app.focus_previous", "Up", show=False),
    ]

    def __init__(self, wishes: Mapping[str, Any], backend: Backend | None, answers: str) -> None:
        """`answers` names who does, for the title. Without a backend all is offered."""
        super().__init__()
        self._wishes = dict(wishes)
        self._backend = backend
        self._answers = answers
        self.parameters = parameters.PARAMETERS if backend is None else parameters.available(backend)

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog parameters") as box:
            box.border_title = Content(neutralise(f"Parameters · {self._answers}"))
            with VerticalScroll(can_focus=False, classes="scroll"):
                for each in self.parameters:
                    with Horizontal(classes="row"):
                        yield Static(each.label, classes="label", markup=False)
                        yield Input(
                            parameters.shown(self._wishes.get(each.name)),
                            placeholder=f"as the model has it ({each.range_words()})",
                            id=f"set-{each.name.replace('_', '-')}",
                            select_on_focus=False,
                        )
            yield Static("", classes="lines", markup=False)
            yield Static("Enter or Ctrl+S saves   Esc leaves it as it was", classes="hint", markup=False)

    def on_mount(self) -> None:
        left_out = () if self._backend is None else parameters.left_out(self._wishes, self._backend)
        if left_out:
            self._tell(f"Kept for other models, not sent to this one: {', '.join(left_out)}.")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.action_save()

    def on_descendant_focus(self) -> None:
        for each in self.parameters:
            if self._field(each).has_focus:
                self.query_one(".hint", Static).update(f"{each.help}   Ctrl+S saves   Esc leaves it")

    def action_save(self) -> None:
        wishes = dict(self._wishes)
        for each in self.parameters:
            try:
                value = parameters.read(each, self._field(each).value)
            except UsageError as error:
                self._tell(" ".join(filter(None, (error.text, error.hint))), wrong=True)
                self._field(each).focus()
                return
            if value is None:
                wishes.pop(each.name, None)
            else:
                wishes[each.name] = value
        self.dismiss(wishes)

    def _field(self, parameter: Parameter) -> Input:
        return self.query_one(f"#set-{parameter.name.replace('_', '-')}", Input)

    def _tell(self, text: str, *, wrong: bool = False) -> None:
        self.query_one(".lines", Static).set_class(wrong, "-wrong").update(neutralise(text))
