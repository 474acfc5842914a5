"""The command palette: every action by name, with its key; and the choice of colours."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from screens.dialogs.pick import PickDialog
from screens.keymap import FIXED, shown_keys
from screens.keys import ACTIONS, PLACES, Action
from screens.widgets.rows import Rows

if TYPE_CHECKING:
    from screens.app import HawserApp

MOST_RECENT = 12
PASSING = ("chats", "compare")
"""Places that are not always there: what they do is offered while they are."""


def open_palette(app: HawserApp) -> None:
    """Pick an action and run it where it belongs; what was used last comes first."""
    used = {name: number for number, name in enumerate(app.recent_actions)}
    is_read_only = app.runtime.settings.screen.read_only
    offered = [
        action
        for action in ACTIONS
        if not _is_motion(action)
        and not (is_read_only and action.dangerous)
        and (action.place not in PASSING or app.owner_of(action) is not None)
    ]
    offered.sort(key=lambda action: used.get(action.id, len(used)))
    palette = app.palette

    def paint(action: Action, width: int, here: bool) -> Text:
        key = shown_keys(app.keys[action.id])
        place = "" if action.place == "everywhere" else f"{PLACES[action.place]}: "
        words = Text.assemble((" ", palette.text), (place, palette.muted), (action.words, palette.text))
        room = width - len(key) - 2
        if width >= 60 and words.cell_len + 6 < room:
            words.append(f"  {action.help}", palette.muted)
        words.truncate(max(room - 1, 8), overflow="ellipsis", pad=True)
        return Text.assemble(words, " ", (key, palette.accent))

    def run(action: Action | None) -> None:
        if action is not None:
            app.recent_actions = [action.id, *(each for each in app.recent_actions if each != action.id)][:MOST_RECENT]
            app.run_worker(app.run_where_it_belongs(action), group="palette")

    app.push_screen(
        PickDialog(
            "Commands",
            offered,
            paint,
            lambda action: action.id,
            text_of=lambda action: f"{action.words} {PLACES[action.place]} {action.help}",
            placeholder="Type what you want to do",
        ),
        run,
    )


def _is_motion(action: Action) -> bool:
    """Moving in a list by name would be no help, nor would this list."""
    return action.place == "list" or action.name == "palette" or action.name in FIXED


class ThemeDialog(PickDialog[str]):
    """Each theme is shown while the cursor is on it; leaving without a choice brings the old one back."""

    def __init__(self, app: HawserApp) -> None:
        names = sorted(app.available_themes, key=lambda name: (not name.startswith("hawser"), "ansi" in name, name))
        self._before = app.theme

        def paint(name: str, width: int, here: bool) -> Text:
            words = "dark" if app.available_themes[name].dark else "light"
            mark = "•" if name == self._before else " "
            return Text.assemble(
                (f" {mark} {name:<24}", app.palette.text), (words, app.palette.muted), no_wrap=True, overflow="ellipsis"
            )

        super().__init__("Theme", names, paint, str, at=names.index(app.theme), hint="Enter keeps it · Esc goes back")

    def on_rows_moved(self, event: Rows.Moved[str]) -> None:
        if event.row is not None:
            self.hawser.theme = event.row


def open_themes(app: HawserApp) -> None:
    before = app.theme

    async def keep(name: str | None) -> None:
        app.theme = name or before
        if name is not None and name != before:
            await app.remember("screen.theme", name)

    app.push_screen(ThemeDialog(app), keep)
