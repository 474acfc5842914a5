"""Ask before something that costs or destroys, with its consequences; the default does nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Generic, NamedTuple, TypeVar

from rich.text import Text
from textual import events
from textual.app import ComposeResult, RenderResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Input, Static

from console.text import neutralise
from screens.dialogs.base import Dialog

T = TypeVar("T")


class Choice(NamedTuple, Generic[T]):
    """One thing to choose, and the key that chooses it."""

    key: str
    words: str
    value: T
    dangerous: bool = False


class ChoiceLine(Widget, can_focus=True):
    """A choice as a line: chosen with its key, with Enter when it has the focus, or with a click."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "choose", "Choose", show=False),
        Binding("up,left", "app.focus_previous", "Up", show=False),
        Binding("down,right", "app.focus_next", "Down", show=False),
    ]

    class Taken(Message):
        def __init__(self, line: ChoiceLine) -> None:
            super().__init__()
            self.line = line

    def __init__(self, number: int, key: str, words: str, *, dangerous: bool) -> None:
        super().__init__()
        self.number = number
        self._key = key
        self._words = words
        self._is_dangerous = dangerous

    def render(self) -> RenderResult:
        palette = self.app.palette  # type: ignore[attr-defined]
        mark = "› " if self.has_focus else "  "
        key = Text(f"{mark}{'Esc' if self._key == 'escape' else self._key:>3}", palette.accent)
        words = palette.muted if self.disabled else palette.bad if self._is_dangerous else palette.text
        return Text.assemble(key, "  ", (neutralise(self._words), words), overflow="ellipsis", no_wrap=True)

    def action_choose(self) -> None:
        self.post_message(self.Taken(self))

    def on_click(self, event: events.Click) -> None:
        event.stop()
        if not self.disabled:
            self.action_choose()


class ChoiceDialog(Dialog[T], Generic[T]):
    """Answers with the value of the choice. The first choice has the focus. With `typed`, dangerous choices can be
    taken only after this was typed: a name."""

    def __init__(
        self, title: str, lines: Sequence[str], choices: Sequence[Choice[T]], *, typed: str | None = None
    ) -> None:
        super().__init__()
        self.box_title = title
        self._lines = lines
        self.choices = choices
        self._typed = typed

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog confirm") as box:
            box.border_title = Content(neutralise(self.box_title))
            with VerticalScroll(can_focus=False, classes="scroll"):
                yield Static(neutralise("\n".join(self._lines)), classes="lines", markup=False)
            if self._typed is not None:
                yield Static(f"Type {neutralise(self._typed)} to go on:", classes="lines", markup=False)
                yield Input()
            for number, choice in enumerate(self.choices):
                line = ChoiceLine(number, choice.key, choice.words, dangerous=choice.dangerous)
                line.disabled = self._typed is not None and choice.dangerous
                yield line

    def on_mount(self) -> None:
        if self._typed is None:
            self.query(ChoiceLine).first().focus()
        else:
            self.query_one(Input).focus()

    def on_key(self, event: events.Key) -> None:
        if isinstance(self.focused, Input) and event.is_printable:
            return
        for number, choice in enumerate(self.choices):
            if choice.key in (event.key, event.character):
                event.stop()
                event.prevent_default()
                self._take(number)
                return

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        for line in self.query(ChoiceLine):
            line.disabled = self.choices[line.number].dangerous and event.value.strip() != self._typed
            line.refresh()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        if event.value.strip() == self._typed:
            self._take(next(number for number, choice in enumerate(self.choices) if choice.dangerous))

    def on_choice_line_taken(self, event: ChoiceLine.Taken) -> None:
        event.stop()
        self._take(event.line.number)

    def _take(self, number: int) -> None:
        if not self.query(ChoiceLine)[number].disabled:
            self.dismiss(self.choices[number].value)


class ConfirmDialog(ChoiceDialog[bool]):
    """Yes or no. None, as when it is left with Esc, is no as well."""

    def __init__(
        self,
        title: str,
        lines: Sequence[str],
        yes: str,
        typed: str | None = None,
        *,
        key: str = "y",
        no: str = "Leave it",
    ) -> None:
        choices = (Choice("n", no, False), Choice(key, yes, True, dangerous=True))
        super().__init__(title, lines, choices, typed=typed)
