"""The table of actions, and `[keys]` of the settings."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from console.errors import SettingsError
from console.paths import find_paths
from console.settings import Settings, load_settings
from screens.app import HawserApp
from screens.chat import ChatRoom
from screens.compare import CompareScreen
from screens.dialogs.chats import ChatsDialog
from screens.keymap import keymap_of, keys_of
from screens.keys import ACTIONS, PLACES, TRAPS, Action, key_name
from screens.keys_page import page, readme_table, with_table
from screens.library import LibraryRoom
from screens.logs import LogRoom
from screens.viewer import Viewer
from screens.widgets.composer import Composer
from screens.widgets.document import DocumentView
from screens.widgets.rows import Rows
from screens.widgets.transcript import Transcript
from tests.conftest import run
from tests.screens.kit import press, running, text_of, until

ROOT = Path(__file__).parents[2]


def settings(home: Path, written: str) -> Settings:
    env = {"HAWSER_HOME": str(home)}
    paths = find_paths(env)
    paths.config_file.parent.mkdir(parents=True, exist_ok=True)
    paths.config_file.write_text(written)
    return load_settings(paths, env, discover=False)


def test_every_action_is_told_and_in_a_place_that_there_is() -> None:
    for action in ACTIONS:
        assert action.place in PLACES
        assert action.words
        assert not action.words.endswith(".")
        assert action.help.endswith(".")
    assert [name for name, count in Counter(action.id for action in ACTIONS).items() if count > 1] == []


def test_no_action_sits_on_a_trap_key() -> None:
    assert [action.id for action in ACTIONS if set(action.keys) & set(TRAPS)] == []


@pytest.mark.parametrize("place", PLACES)
def test_no_key_does_two_things_at_once(place: str) -> None:
    live = [key for action in ACTIONS if action.place in (place, "everywhere") for key in action.keys]

    assert [key for key, count in Counter(live).items() if count > 1] == []


def test_what_is_dangerous_needs_more_than_a_small_letter() -> None:
    bare = [
        action.id
        for action in ACTIONS
        if action.dangerous and any(len(key) == 1 and not key.isupper() for key in action.keys)
    ]

    assert bare == []


def test_keys_read_as_people_write_them() -> None:
    written = {
        "ctrl+p": "^P",
        "alt+n": "Alt+N",
        "f1": "F1",
        "escape": "Esc",
        "left_square_bracket": "[",
        "ctrl+backslash": "^\\",
        "G": "G",
        "g": "g",
        "up": "↑",
        "shift+enter": "Shift+Enter",
        "slash": "/",
    }

    assert {key: key_name(key) for key in written} == written


def test_settings_give_an_action_other_keys(tmp_path: Path) -> None:
    given = settings(tmp_path, '[keys]\nquit = "Ctrl+X"\n"chat.stop" = ["esc", "ctrl+s"]\nchat.rename = []\n')

    keys = keys_of(given)

    assert keys["everywhere.quit"] == ("ctrl+x",)
    assert keys["chat.stop"] == ("escape", "ctrl+s")
    assert keys["chat.rename"] == ()
    assert keymap_of(given)["chat.stop"] == "escape,ctrl+s"


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ('quti = "ctrl+x"', "'quit'"),
        ('quit = "ctrl+i"', "terminals send it as Tab"),
        ('quit = "hyper+x"', "'hyper'"),
        ('quit = "ctrl+nonsense"', "names no key"),
        ('quit = "ctrl+n"', "chat.new_chat"),
        ("quit = 7", "a key such as"),
        ('copy_block = "x"', "has keys that stay"),
    ],
)
def test_mistaken_keys_are_refused_with_their_place(tmp_path: Path, written: str, told: str) -> None:
    with pytest.raises(SettingsError) as refused:
        keys_of(settings(tmp_path, f"[keys]\n{written}\n"))

    sentence = f"{refused.value.text} {refused.value.hint}"
    assert told in sentence
    assert "config.toml" in sentence


def test_remapped_keys_work_and_are_shown(tmp_path: Path) -> None:
    async def body() -> None:
        async with running(tmp_path, '[keys]\nroom_costs = "ctrl+e"\nhelp = "ctrl+x"\n') as (app, pilot):
            await press(pilot, "f7")
            assert app.current_mode == "chat"
            await press(pilot, "ctrl+e")
            await until(pilot, lambda: app.current_mode == "costs")

            assert "^X Help" in text_of(app)[-1]

    run(body())


def test_read_only_mode_binds_nothing_dangerous(tmp_path: Path) -> None:
    keymap = keymap_of(settings(tmp_path, "[screen]\nread_only = true\n"))

    assert all(keymap[action.id].startswith("none-") for action in ACTIONS if action.dangerous)


def test_the_pages_say_what_the_table_says() -> None:
    readme = (ROOT / "README.md").read_text()

    assert (ROOT / "docs" / "keys.md").read_text() == page(), "run: python -m screens.keys_page"
    assert readme_table() in readme, "run: python -m screens.keys_page"
    assert with_table(readme) == readme


def test_settings_decide_what_enter_does(tmp_path: Path) -> None:
    assert settings(tmp_path, "").chat.enter_sends
    assert not settings(tmp_path, "[chat]\nenter_sends = false\n").chat.enter_sends


@pytest.mark.parametrize("written", ["theme = 7", 'clipboard = "telepathy"', 'animations = "some"', "colour = 1"])
def test_mistaken_screen_settings_are_refused(tmp_path: Path, written: str) -> None:
    with pytest.raises(SettingsError, match=r"screen\."):
        settings(tmp_path, f"[screen]\n{written}\n")


OWNERS: dict[str, type] = {
    "everywhere": HawserApp,
    "chat": ChatRoom,
    "composer": Composer,
    "messages": Transcript,
    "compare": CompareScreen,
    "chats": ChatsDialog,
    "list": Rows,
    "library": LibraryRoom,
    "reading": DocumentView,
    "viewer": Viewer,
    "log": LogRoom,
}


def test_every_place_has_its_owner() -> None:
    assert set(OWNERS) == set(PLACES)


@pytest.mark.parametrize("action", ACTIONS, ids=lambda each: each.id)
def test_every_action_has_a_method_where_it_belongs(action: Action) -> None:
    owner: Any = OWNERS[action.place]
    does = {binding.id: binding.action for binding in owner.BINDINGS}.get(action.id, action.name)

    assert callable(getattr(owner, f"action_{does.partition('(')[0]}", None))
