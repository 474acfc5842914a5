"""The table of actions as a reader sees it: docs/keys.md, and the short table in the README.

`python -m screens.keys_page` writes both; a test keeps them current.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from screens.keys import PLACES, TRAPS, Action, Place, actions_of, key_name

BEGIN = "<!-- keys: made by `python -m screens.keys_page` -->"
END = "<!-- /keys -->"
IN_README: Mapping[Place, tuple[str, ...]] = {
    "everywhere": ("help", "palette", "room_chat", "room_machines", "room_logs", "cancel", "quit", "suspend"),
    "chat": ("new_chat", "model", "chats", "search", "parameters", "system", "compare", "sidebar"),
    "composer": ("enter", "newline", "edit_in_editor", "search_history", "leave"),
    "messages": (
        *("older", "newer", "copy", "copy_block", "edit", "regenerate", "go_on", "branch_left", "branch_right"),
        *("branches", "exclude", "thinking", "raw", "details", "find", "write"),
    ),
}
"""What a newcomer needs, in this order; all others are in docs/keys.md."""


def page() -> str:
    """docs/keys.md."""
    parts = [
        "# Keys\n",
        "<!-- Made from the table of actions by `python -m screens.keys_page`; a test keeps it current. -->\n",
        "`?` shows this list in the app where nothing is typed, F1 everywhere. `Ctrl+P` finds an action by its name.\n"
        "Everything can be done with the mouse as well: lists, dialogs, the line of keys at the bottom and the line\n"
        "at the top are all clickable.\n",
    ]
    for place, title in PLACES.items():
        actions = list(actions_of(place))
        if actions:
            parts += [f"## {title}\n", _table(actions)]
    return "\n".join([*parts, _OTHER, _terminals()])


def readme_table() -> str:
    """Between the marks in README.md: a row for each place, the first key of each action that a newcomer needs."""
    rows = ["| where | keys |", "|---|---|"]
    for place, names in IN_README.items():
        actions = {action.name: action for action in actions_of(place)}
        words = " · ".join(f"{_keys_in_short(actions[name])} {_cell(actions[name].words)}" for name in names)
        rows.append(f"| {PLACES[place]} | {words} |")
    return "\n".join([BEGIN, "", *rows, "", END])


def with_table(readme: str) -> str:
    """A README with the present table between its marks; unchanged where it has none."""
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    return f"{before}{readme_table()}{after}" if begin and end else readme


def _table(actions: Iterable[Action]) -> str:
    rows = ["| key | name | what it does |", "|---|---|---|"]
    rows += [
        f"| {_keys(action)} | `{action.id}` | {_cell(action.help)}{' It asks first.' if action.dangerous else ''} |"
        for action in actions
    ]
    return "\n".join(rows) + "\n"


def _keys(action: Action) -> str:
    return " ".join(f"`{_cell(key_name(key))}`" for key in action.keys) or "-"


def _keys_in_short(action: Action) -> str:
    """The first key, or a row of digits as a range."""
    digits = [key for key in action.keys if key.isdigit()]
    return f"`{digits[0]}`–`{digits[-1]}`" if len(digits) > 1 else f"`{_cell(key_name(action.keys[0]))}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


_OTHER = """\
## Other keys

`[keys]` in the settings gives an action other keys, by the name in the tables; the part before the dot may be left out
where only one action has the name. A list gives several, an empty list none:

```toml
[keys]
quit = "ctrl+x"
"chat.stop" = ["escape", "ctrl+s"]
room_logs = []
```

An action that there is not, a key that would not work, and a key that another action has in the same place are refused
at the start with the line of the file. `[screen] read_only = true` binds no key to what costs or destroys.
"""


def _terminals() -> str:
    traps = "\n".join(f"| `{key_name(key)}` | {why} |" for key, why in TRAPS.items())
    return f"""\
## What terminals deliver

Every action has a key that all terminals deliver. Those that follow need more than that:

| keys | where they arrive | else |
|---|---|---|
| F1 to F8 | everywhere, but some desktops keep F1 or F11 for themselves | `?`, `Alt+1` to `Alt+7`, `Ctrl+P` |
| `Alt` and a key | everywhere; in macOS Terminal and iTerm2 once Option is set to send Esc or Meta | `Ctrl+P` |
| `Shift+Enter` | where the kitty keyboard protocol is known; tmux with `extended-keys always` | `Ctrl+J` |
| `Ctrl+Enter`, `Alt+Enter` | where that protocol is known; elsewhere they arrive as Enter | `Ctrl+J` |
| `Ctrl+Z` | everywhere but Windows | a second window |
| mouse | everywhere but a plain console; with Shift held the terminal itself selects | keys |

These keys are nobody's, because they arrive as another one or not at all, and the settings refuse them:

| key | why |
|---|---|
{traps}
"""


def main() -> None:
    from pathlib import Path

    root = Path(__file__).parents[1]
    (root / "docs" / "keys.md").write_text(page())
    readme = root / "README.md"
    readme.write_text(with_table(readme.read_text()))


if __name__ == "__main__":
    main()
