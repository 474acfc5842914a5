"""The text itself: a text area with our keys, which asks its owner first about keys and pastes."""

from __future__ import annotations

from typing import ClassVar, Protocol

from textual import events
from textual.binding import Binding, BindingType
from textual.widgets import TextArea

_EDITING: tuple[tuple[str, str], ...] = (
    ("up", "cursor_up"),
    ("down", "cursor_down"),
    ("left", "cursor_left"),
    ("right", "cursor_right"),
    ("ctrl+left,alt+b", "cursor_word_left"),
    ("ctrl+right,alt+f", "cursor_word_right"),
    ("home", "cursor_line_start"),
    ("end,ctrl+e", "cursor_line_end"),
    ("ctrl+home", "cursor_text_start"),
    ("ctrl+end", "cursor_text_end"),
    ("pageup", "cursor_page_up"),
    ("pagedown", "cursor_page_down"),
    ("ctrl+shift+left", "cursor_word_left(True)"),
    ("ctrl+shift+right", "cursor_word_right(True)"),
    ("shift+home", "cursor_line_start(True)"),
    ("shift+end", "cursor_line_end(True)"),
    ("shift+up", "cursor_up(True)"),
    ("shift+down", "cursor_down(True)"),
    ("shift+left", "cursor_left(True)"),
    ("shift+right", "cursor_right(True)"),
    ("backspace", "delete_left"),
    ("ctrl+w,alt+backspace", "delete_word_left"),
    ("delete,ctrl+d", "delete_right"),
    ("alt+delete,alt+d", "delete_word_right"),
    ("ctrl+x,super+x", "cut"),
    ("super+c", "copy"),
    ("super+a", "select_all"),
)
"""What every text field does. Keys that the rooms own (F6, F7, Ctrl+C, Ctrl+Y, Ctrl+K, Ctrl+Z) are left to them."""


class Owner(Protocol):
    """Who the area asks. Called at once, so that keys and pastes keep their order."""

    def takes_key(self, event: events.Key) -> bool:
        """Whether a list or question that is open wants the key; then it is nobody else's."""
        ...

    async def takes_paste(self, text: str) -> None: ...

    def at_edge(self, step: int) -> None:
        """Up on the first row (-1) or Down on the last one (1)."""
        ...

    def other_enter(self) -> None: ...


class PromptArea(TextArea, inherit_bindings=False):
    BINDINGS: ClassVar[list[BindingType]] = [Binding(keys, action, show=False) for keys, action in _EDITING]

    def __init__(self, owner: Owner) -> None:
        super().__init__(soft_wrap=True, tab_behavior="focus", show_line_numbers=False, compact=True)
        self.highlight_cursor_line = False
        self.match_cursor_bracket = False
        self.cursor_blink = False  # calm to look at, and an app at rest then draws nothing at all
        self._owner = owner

    # Handlers of the base class run after these, unless they are prevented; they must not be called from here.

    async def _on_key(self, event: events.Key) -> None:
        if self._owner.takes_key(event) or (not event.is_printable and await self._runs_own_action(event.key)):
            event.stop()
            event.prevent_default()
        elif event.key == "enter" or event.key.startswith("alt+"):
            event.prevent_default()  # neither a newline nor, as some terminals send Alt, a letter: the bindings decide
        elif event.key.endswith("+\r"):  # Shift+Enter from terminals that send xterm's older form
            event.stop()
            event.prevent_default()
            self._owner.other_enter()

    async def _runs_own_action(self, key: str) -> bool:
        """Do at once what a key is bound to here. By itself it would be done when the key has come up to the app, and
        letters typed right behind it would have been written before."""
        active = self.screen.active_bindings.get(key)
        if active is None or active.node not in (self, self.parent):
            return False
        return await self.app.run_action(active.binding.action, active.node)

    async def _on_paste(self, event: events.Paste) -> None:
        event.stop()
        event.prevent_default()
        await self._owner.takes_paste(event.text)

    # ---- the cursor

    @property
    def row(self) -> int:
        """The row on the screen in which the cursor is, lines being wrapped."""
        return self.wrapped_document.location_to_offset(self.cursor_location).y

    def action_cursor_up(self, select: bool = False) -> None:
        if not select and self.row == 0:
            self._owner.at_edge(-1)
        else:
            super().action_cursor_up(select)

    def action_cursor_down(self, select: bool = False) -> None:
        if not select and self.row >= self.wrapped_document.height - 1:
            self._owner.at_edge(1)
        else:
            super().action_cursor_down(select)

    def action_cursor_text_start(self) -> None:
        self.move_cursor((0, 0))

    def action_cursor_text_end(self) -> None:
        self.move_cursor(self.document.end)

    @property
    def before_cursor(self) -> str:
        """The line up to the cursor."""
        row, column = self.cursor_location
        return self.document.get_line(row)[:column]

    # ---- the text

    def type(self, text: str) -> None:
        """Put text where the cursor is, in place of what is selected, as one step to undo."""
        self.history.checkpoint()
        result = self.replace(text, *self.selection, maintain_selection_offset=False)
        self.move_cursor(result.end_location)
        self.history.checkpoint()

    def replace_all(self, text: str) -> None:
        """Another text, with the way back by undo."""
        self.history.checkpoint()
        self.replace(text, (0, 0), self.document.end, maintain_selection_offset=False)
        self.history.checkpoint()
        self.move_cursor(self.document.end)
