"""The messages of a chat as one line-rendering view: show, append, grow, find, select, copy."""

from screens.widgets.transcript.item import Attached, Item, Role, SourceLine, State, ToolCall
from screens.widgets.transcript.transcript import Transcript

__all__ = ["Attached", "Item", "Role", "SourceLine", "State", "ToolCall", "Transcript"]
