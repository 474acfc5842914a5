"""The help: what works where the focus was first, then every key that there is; typing searches, Enter runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rich.text import Text

from screens import fuzzy
from screens.dialogs.pick import PickDialog
from screens.keymap import shown_keys
from screens.keys import ACTIONS, PLACES, Action, actions_of
from screens.widgets.rows import Rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from screens.app import HawserApp

KEY_WIDTH = 16


class Line(NamedTuple):
    """A heading, or an action under it."""

    heading: str
    action: Action | None = None


class HelpDialog(PickDialog[Line]):
    def __init__(self, app: HawserApp) -> None:
        live = dict.fromkeys(each.binding.id for each in app.screen.active_bindings.values() if each.enabled)
        named = {action.id: action for action in ACTIONS if action.place != "everywhere"}
        here = [named[name] for name in live if name in named]  # what has the focus comes first
        lines = [Line("Here"), *(Line("Here", action) for action in here)] if here else []
        for place, title in PLACES.items():
            its = [action for action in actions_of(place) if action not in here]
            if its:
                lines += [Line(title), *(Line(title, action) for action in its)]
        self._keys = app.keys

        def paint(line: Line, width: int, is_here: bool) -> Text:
            palette = app.palette
            if line.action is None:
                return Text(f" {line.heading}", palette.heading)
            keys = list(app.keys[line.action.id]) or ["-"]
            while len(keys) > 1 and len(shown_keys(keys)) > KEY_WIDTH:
                keys.pop()  # all of them are under the list
            key = shown_keys(keys)
            words = Text.assemble((f"   {key:<{KEY_WIDTH}} ", palette.accent), (line.action.help, palette.text))
            words.truncate(width, overflow="ellipsis")
            return words

        super().__init__(
            "Keys",
            lines,
            paint,
            lambda line: (line.heading, line.action and line.action.id),
            self._fitting,
            can_choose=lambda line: line.action is not None,
            placeholder="Type to search",
            hint="Enter does it · Esc leaves it",
            about_lines=2 if app.size.width >= 60 else 3,
        )

    def _fitting(self, words: str, lines: Sequence[Line]) -> list[Line]:
        actions = [line for line in lines if line.action is not None]
        return fuzzy.fitting(words, actions, self._text_of)

    def _text_of(self, line: Line) -> str:
        assert line.action is not None
        keys = shown_keys(self._keys[line.action.id])
        return f"{line.action.words} {keys} {line.action.help} {line.heading}"

    def on_rows_moved(self, event: Rows.Moved[Line]) -> None:
        """What is cut in the row is whole under the list."""
        action = event.row.action if event.row is not None else None
        text = ""
        if action is not None:
            keys = shown_keys(self._keys[action.id])
            text = f"{action.help} ({action.id}{': ' if keys else ''}{keys})"
        self.tell(text)


def open_help(app: HawserApp) -> None:
    async def run(line: Line | None) -> None:
        if line is not None and line.action is not None:
            app.run_worker(app.run_where_it_belongs(line.action), group="palette")

    app.push_screen(HelpDialog(app), run)
