"""The whole chat as a tree: where it forks, which branch is shown, and what each says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType

from console.chat.export import speaker
from screens.dialogs.pick import PickDialog
from screens.widgets.cells import clip

if TYPE_CHECKING:
    from console.chat.branches import Branch


class BranchesDialog(PickDialog["Branch"]):
    """Answers with the branch to show; `is_to_be_deleted` says that something else was meant."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("ctrl+d", "delete", "Delete", show=False, priority=True)]

    def __init__(self, tree: Sequence[Branch], current: str) -> None:
        self.is_to_be_deleted = False
        at = next((number for number, branch in enumerate(tree) if branch.message.id == current), 0)
        super().__init__(
            "Branches",
            tree,
            self._paint,
            lambda branch: branch.message.id,
            text_of=lambda branch: f"{speaker(branch.message)} {branch.message.text[:300]}",
            at=at,
            hint="Enter shows the branch · ^D deletes it · Esc leaves it",
            placeholder="Words of a message",
        )

    def action_delete(self) -> None:
        row = self.rows.cursor
        if row is not None:
            self.is_to_be_deleted = True
            self.dismiss(row)

    def _paint(self, branch: Branch, width: int, here: bool) -> Text:
        palette = self.hawser.palette
        indent = "  " * min(branch.depth, max(width // 6, 1))
        mark = "●" if branch.is_active else "○"
        who = speaker(branch.message)
        state = "" if branch.message.state == "complete" else f" ({branch.message.state})"
        text = Text.assemble(
            (f" {indent}{mark} ", palette.accent if branch.is_active else palette.faint),
            (f"{clip(who, 24)}{state}: ", palette.user if branch.message.role == "user" else palette.assistant),
            (clip(branch.message.text, width), palette.text if branch.is_active else palette.muted),
            no_wrap=True,
        )
        text.truncate(width, overflow="ellipsis")
        return text
