"""Work that has to be waited for, with what it tells; leaving it is a choice of its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Literal, TypeAlias

from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Static

from console.errors import ConsoleError, explain
from console.text import neutralise
from providers.errors import ProviderError
from screens.dialogs.base import Dialog
from screens.dialogs.confirm import ChoiceLine

End: TypeAlias = Literal["done", "left"]


class ProgressDialog(Dialog[End]):
    """Answers "done" once the work is, "left" when the user would not wait, None when they went back or it failed."""

    def __init__(self, title: str, work: Callable[[Callable[[str], None]], Awaitable[None]], *, give_up: str) -> None:
        super().__init__()
        self.box_title = title
        self._work = work
        self._give_up = give_up
        self._lines: list[str] = []

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog confirm") as box:
            box.border_title = Content(neutralise(self.box_title))
            with VerticalScroll(can_focus=False, classes="scroll"):
                yield Static("", classes="lines", markup=False)
            yield ChoiceLine(0, "escape", "Stay; it goes on", dangerous=False)
            yield ChoiceLine(1, "l", self._give_up, dangerous=True)

    def on_mount(self) -> None:
        self.query(ChoiceLine).first().focus()
        # On the app, so that it goes on when the user stays.
        self.app.run_worker(self._do(), group="ending", exit_on_error=False)

    def key_l(self) -> None:
        self._answer("left")

    def on_choice_line_taken(self, event: ChoiceLine.Taken) -> None:
        event.stop()
        self._answer("left" if event.line.number else None)

    async def _do(self) -> None:
        try:
            await self._work(self.tell)
        except (ConsoleError, ProviderError) as error:
            told = explain(error)
            self.tell("\n".join(filter(None, (told.text, told.hint))))
            if not self.is_current:
                self.hawser.tell(error)
        else:
            self._answer("done")

    def tell(self, line: str) -> None:
        self._lines.append(line)
        if self.is_current:
            self.query_one(".lines", Static).update(neutralise("\n".join(self._lines[-8:])))

    def _answer(self, answer: End | None) -> None:
        if self.is_current:
            self.dismiss(answer)
