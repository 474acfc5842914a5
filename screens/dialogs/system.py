"""Write the instruction of a chat, or take one from a persona."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import ClassVar, NamedTuple

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Static, TextArea

from console.chat.context import estimate_tokens
from console.chat.templates import Filled
from console.text import neutralise
from screens.dialogs.base import Dialog
from screens.widgets.composer.pastes import clean
from screens.widgets.key_line import KeyLine


class Persona(NamedTuple):
    """A template that was taken for its instruction."""

    name: str
    filled: Filled


class Written(NamedTuple):
    """What the chat is to begin with; empty takes the instruction away."""

    text: str
    persona: Persona | None = None
    """Whose model and parameters come with it, if one was taken here."""


class SystemDialog(Dialog[Written]):
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s", "save", "Save", show=False),
        Binding("ctrl+t", "persona", "Persona", show=False),
    ]

    def __init__(self, text: str, *, usual: str | None, persona: Callable[[], Awaitable[Persona | None]]) -> None:
        """`usual` is the instruction of the settings, which counts where the chat has none; `persona` asks for one."""
        super().__init__()
        self._text = text
        self._usual = usual
        self._ask_persona = persona
        self._persona: Persona | None = None

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog system -about") as box:
            box.border_title = "System prompt of this chat"
            yield TextArea(clean(self._text), soft_wrap=True, compact=True)
            yield Static("", classes="about", markup=False)
            yield KeyLine("^S saves · ^T takes a persona · Esc leaves it")

    def on_mount(self) -> None:
        area = self.query_one(TextArea)
        area.placeholder = self._usual or "The instruction that this chat starts with."
        area.move_cursor(area.document.end)
        area.focus()
        self._tell()

    def on_text_area_changed(self, event: TextArea.Changed) -> None:
        event.stop()
        self._tell()

    def _tell(self) -> None:
        text = self.query_one(TextArea).text
        if text.strip():
            told = f"~{estimate_tokens(text):,} tokens with every question"
        else:
            told = "Empty: what the settings say counts" if self._usual else "Empty: no instruction is sent"
        if self._persona is not None:
            told = f"{self._persona.name}: {told}"
        self.query_one(".about", Static).update(neutralise(told))

    @work(exclusive=True)
    async def action_persona(self) -> None:
        persona = await self._ask_persona()
        if persona is not None:
            self._persona = persona
            area = self.query_one(TextArea)
            area.load_text(persona.filled.system or "")
            area.move_cursor(area.document.end)
            self._tell()

    def action_save(self) -> None:
        self.dismiss(Written(self.query_one(TextArea).text.strip(), self._persona))
