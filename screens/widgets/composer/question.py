"""The line that asks what to do with files that were dropped."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal, NamedTuple, TypeAlias

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from console.text import plural
from screens.widgets.cells import clip

Answer: TypeAlias = Literal["attach", "documents", "insert"]

_WORDS: dict[Answer, tuple[str, str, str]] = {
    "attach": ("", "A", "ttach"),
    "documents": ("Add to ", "d", "ocuments"),
    "insert": ("", "I", "nsert path"),
}
"""What stands before its letter, the letter, and what stands behind it."""


class Dropped(NamedTuple):
    text: str
    """As it came."""
    paths: tuple[Path, ...]


class DropQuestion(Widget):
    """Never has the focus: the composer hands it the keys while it is open."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"drop--words", "drop--answer", "drop--here"}
    DEFAULT_CSS = """
    DropQuestion { height: 1; width: 1fr; display: none; }
    DropQuestion .drop--words { color: $text-muted; }
    DropQuestion .drop--answer { background: $panel; color: $foreground; }
    DropQuestion .drop--here { background: $block-cursor-background; color: $block-cursor-foreground; }
    """

    class Answered(Message):
        """By mouse."""

        def __init__(self, answer: Answer) -> None:
            super().__init__()
            self.answer = answer

    def __init__(self) -> None:
        super().__init__()
        self.dropped = Dropped("", ())
        self._answers: tuple[Answer, ...] = ()
        self._here = 0

    @property
    def is_open(self) -> bool:
        return bool(self.display)

    def ask(self, dropped: Dropped, *, has_library: bool) -> None:
        self.dropped = dropped
        self._answers = ("attach", "documents", "insert") if has_library else ("attach", "insert")
        self._here = 0
        self.display = True
        self.refresh()

    def close_question(self) -> Dropped:
        self.display = False
        dropped, self.dropped = self.dropped, Dropped("", ())
        return dropped

    def answer_of(self, event: events.Key) -> Answer | None:
        """What a key says; None for one that only moves, or says nothing."""
        key = event.key
        if key in ("right", "tab", "left", "shift+tab"):
            self._here = (self._here + (1 if key in ("right", "tab") else -1)) % len(self._answers)
            self.refresh()
            return None
        if key == "enter":
            return self._answers[self._here]
        if key == "escape":
            return "insert"
        return next((answer for answer in self._answers if key == answer[0]), None)

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        answers: list[Segment] = []
        for index, answer in enumerate(self._answers):
            name = "drop--here" if index == self._here else "drop--answer"
            style = self.get_component_rich_style(name) + Style(meta={"answer": answer})
            before, letter, behind = _WORDS[answer]
            answers += [
                Segment(f" {before}", style),
                Segment(letter, style + Style(underline=True)),
                Segment(f"{behind} ", style),
                Segment(" ", self.rich_style),
            ]
        paths = self.dropped.paths
        what = paths[0].name if len(paths) == 1 else plural(len(paths), "file")
        room = width - sum(segment.cell_length for segment in answers) - 1
        words = clip(what, room) if room > 2 else ""
        told = Segment(f"{words} " if words else "", self.get_component_rich_style("drop--words"))
        return Strip([told, *answers]).adjust_cell_length(width, self.rich_style)

    async def _on_click(self, event: events.Click) -> None:
        answer = event.style.meta.get("answer")
        if answer in self._answers:
            event.stop()
            self.post_message(self.Answered(answer))
