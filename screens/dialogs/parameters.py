"""Set what shapes the answers of a chat: only what the backend that answers now has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from rich.text import Text
from textual import events
from textual.app import ComposeResult, RenderResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Input, Static

from console.chat import parameters
from console.chat.parameters import Backend, Parameter
from console.errors import UsageError
from console.text import neutralise
from screens.dialogs.base import Dialog
from screens.widgets.cells import clip
from screens.widgets.fields import Fields
from screens.widgets.key_line import KeyLine

OWN = "as the model has it"
UNSET = "unset"
KEYS = "Enter saves · ^R resets all · Esc leaves it"


class ChoiceField(Widget, can_focus=True):
    """One of a few words, or none: left and right, Space or a click goes through them."""

    DEFAULT_CSS = """
    ChoiceField { height: 1; width: 1fr; padding: 0 1; background: $panel; }
    ChoiceField:focus { background: $block-cursor-background; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right,space", "step(1)", "Next", show=False),
        Binding("left", "step(-1)", "Previous", show=False),
        Binding("backspace,delete", "clear", "None", show=False),
        Binding("enter", "submit", "Save", show=False),
    ]

    class Changed(Message):
        pass

    class Submitted(Message):
        pass

    def __init__(self, choices: tuple[str, ...], value: str, *, id: str) -> None:  # noqa: A002 - as every widget
        super().__init__(id=id)
        self._choices = ("", *choices)
        self._value = value if value in choices else ""

    @property
    def value(self) -> str:
        return self._value

    @value.setter
    def value(self, value: str) -> None:
        self._value = value
        self.refresh()
        self.post_message(self.Changed())

    def render(self) -> RenderResult:
        palette = self.app.palette  # type: ignore[attr-defined]
        text = Text(no_wrap=True, overflow="ellipsis")
        for choice in self._choices:
            is_it = choice == self._value
            text.append("● " if is_it else "○ ", palette.accent if is_it and choice else palette.faint)
            text.append(f"{choice or UNSET}  ", palette.text if is_it else palette.muted)
        return text

    def action_step(self, by: int) -> None:
        self.value = self._choices[(self._choices.index(self._value) + by) % len(self._choices)]

    def action_clear(self) -> None:
        self.value = ""

    def action_submit(self) -> None:
        self.post_message(self.Submitted())

    def on_click(self, event: events.Click) -> None:
        event.stop()
        x = event.x - self.gutter.left
        for choice in self._choices:
            x -= len(choice or UNSET) + 4
            if x < 0:
                self.value = choice
                return


class ParametersDialog(Dialog[dict[str, Any]]):
    """Answers with all wishes of the chat, those that this backend does not have among them."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s", "save", "Save", show=False),
        Binding("ctrl+r", "reset", "Reset", show=False),
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
            box.border_title = Text(clip(f"Parameters · {self._answers}", 60))
            with Fields(classes="scroll"):
                for each in self.parameters:
                    with Horizontal(classes="row"):
                        yield Static(each.label, classes="label", markup=False)
                        yield self._made(each)
            yield Static("", classes="lines", markup=False)
            yield KeyLine(KEYS)

    def _made(self, parameter: Parameter) -> Widget:
        value, name = parameters.shown(self._wishes.get(parameter.name)), _id_of(parameter)
        if parameter.kind == "choice":
            return ChoiceField(parameter.choices, value, id=name)
        placeholder = f"{parameter.range_words(self._backend)} · {OWN}"
        return Input(value, placeholder=placeholder, id=name, select_on_focus=False)

    def on_mount(self) -> None:
        self._tell()

    def on_resize(self) -> None:
        """The fields get what frame, help and keys leave, and scroll."""
        rest = 5 + self.query_one(".lines").outer_size.height
        self.query_one(".scroll").styles.max_height = max(self.size.height * 9 // 10 - max(rest, 7), 2)

    def on_descendant_focus(self) -> None:
        self._tell()

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        self._tell()

    def on_choice_field_changed(self, event: ChoiceField.Changed) -> None:
        event.stop()
        self._tell()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.action_save()

    def on_choice_field_submitted(self, event: ChoiceField.Submitted) -> None:
        event.stop()
        self.action_save()

    def action_reset(self) -> None:
        """All as the models have it, also what is kept for other backends."""
        self._wishes.clear()
        for each in self.parameters:
            self._field(each).value = ""
        self._tell()

    def action_save(self) -> None:
        for each in self.parameters:
            try:
                parameters.read(each, self._field(each).value)
            except UsageError:
                self._field(each).focus()
                self._tell()
                return
        self.dismiss(self._read())

    def _read(self) -> dict[str, Any]:
        """The wishes as the fields have them; a field with nonsense in it counts as empty."""
        wishes = dict(self._wishes)
        for each in self.parameters:
            try:
                value = parameters.read(each, self._field(each).value)
            except UsageError:
                value = None
            if value is None:
                wishes.pop(each.name, None)
            else:
                wishes[each.name] = value
        return wishes

    def _field(self, parameter: Parameter) -> Input | ChoiceField:
        field = self.query_one(f"#{_id_of(parameter)}")
        assert isinstance(field, (Input, ChoiceField))
        return field

    def _tell(self) -> None:
        """What is wrong; else what the field is for, and what will go otherwise than it was wished."""
        wrong = ""
        help_text = self.parameters[0].help
        for each in self.parameters:
            field = self._field(each)
            if field.has_focus:
                help_text = each.help
            try:
                parameters.read(each, field.value)
            except UsageError as error:
                if not wrong or field.has_focus:
                    wrong = " ".join(filter(None, (error.text, error.hint)))
        lines = [wrong or help_text]
        if self._backend is None:
            lines.append("The name stands for several; each gets what it has.")
        else:
            wishes = self._read()
            lines += parameters.for_wire(wishes, self._backend).notes
            if left_out := parameters.left_out(wishes, self._backend):
                lines.append(f"Kept for other models, not sent to this one: {', '.join(left_out)}.")
        self.query_one(".lines", Static).set_class(bool(wrong), "-wrong").update(neutralise("\n".join(lines)))


def _id_of(parameter: Parameter) -> str:
    return f"set-{parameter.name.replace('_', '-')}"
