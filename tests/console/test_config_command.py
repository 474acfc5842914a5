"""`hawser config`: what it shows, and that an edit changes what was asked for and nothing else."""

from __future__ import annotations

import io
import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from console.arguments import new_parser
from console.commands import config as config_command
from console.errors import ConsoleError, SettingsError, UsageError
from console.paths import Paths, find_paths
from console.settings import load_settings
from console.settings_file import changed
from console.settings_texts import starter
from console.shell import Shell

WRITTEN = """\
# my settings
[chat]
model = "general"   # the usual one
save = true

# the box under the desk
[endpoints."vllm.box"]
wire = "openai"
base_url = "http://127.0.0.1:8000/v1"
price = {input = 0.1, output = 0.2}   # a guess

[aliases]
"gpt-4" = ["a", "b"]
"""


class Console:
    def __init__(self, paths: Paths, environment: Mapping[str, str]) -> None:
        self.stdout, self.stderr = io.StringIO(), io.StringIO()
        home = {"HAWSER_HOME": str(paths.config.parent), "HAWSER_ISOLATED": "1", "PATH": os.environ["PATH"]}
        self.shell = Shell(None, self.stdout, self.stderr, {**home, **environment})
        self.file = paths.config_file

    def run(self, *words: str) -> int:
        parser = new_parser("hawser config")
        config_command.add_arguments(parser)
        return config_command.run(parser.parse_args(words), self.shell)

    def refusal(self, *words: str) -> tuple[str, str]:
        with pytest.raises(ConsoleError) as caught:
            self.run(*words)
        return caught.value.text, caught.value.hint or ""


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return find_paths({"HAWSER_HOME": str(tmp_path)})


@pytest.fixture
def console(paths: Paths) -> Console:
    paths.config.mkdir()
    paths.config_file.write_text(WRITTEN)
    return Console(paths, {})


def lines(console: Console) -> list[str]:
    return [" ".join(line.split()) for line in console.stdout.getvalue().splitlines()]


def test_the_settings_in_force_are_shown_with_their_defaults(console: Console) -> None:
    assert console.run("show") == 0

    assert 'chat.model "general"' in lines(console)
    assert "budget.day_usd 5" in lines(console)
    assert "endpoints.vllm.box.price.input 0.1" in lines(console)
    assert 'aliases.gpt-4 ["a", "b"]' in lines(console)
    assert 'routes.quick "mistral:7b"' in lines(console)


def test_the_origin_is_shown_when_asked_for(console: Console) -> None:
    console.shell.environment = {**console.shell.environment, "HAWSER_CHAT_SAVE": "no"}

    assert console.run("show", "chat", "--origin") == 0

    assert 'chat.model "general" config.toml line 3' in lines(console)
    assert "chat.save false HAWSER_CHAT_SAVE" in lines(console)
    assert "chat.load_s 300 default" in lines(console)
    assert not any(line.startswith("budget") for line in lines(console))


def test_json_has_values_and_origins(console: Console) -> None:
    assert console.run("show", "endpoints.vllm.box.price", "--json") == 0

    document = json.loads(console.stdout.getvalue())
    assert document == {
        "schema": 1,
        "items": [
            {
                "name": f"endpoints.vllm.box.price.{side}",
                "value": value,
                "origin": {"kind": "file", "detail": "config.toml line 10"},
            }
            for side, value in (("input", 0.1), ("output", 0.2))
        ],
    }


def test_showing_what_is_not_a_setting_names_the_nearest(console: Console) -> None:
    assert console.refusal("show", "chat.modle")[1] == "Did you mean 'chat.model'?"


def test_the_path_is_told_alone(console: Console) -> None:
    console.run("path")

    assert console.stdout.getvalue() == f"{console.file}\n"


def test_an_edit_keeps_comments_and_layout(console: Console) -> None:
    assert console.run("edit", "chat.model=qwen3:8b", "endpoints.vllm.box.price.input=0.35", "chat.save=no") == 0

    expected = WRITTEN.replace('"general"', '"qwen3:8b"').replace("0.1,", "0.35,").replace("true", "false")
    assert console.file.read_text() == expected


def test_new_groups_and_names_can_be_made_in_one_go(console: Console, paths: Paths) -> None:
    console.run(
        "edit",
        "endpoints.a.b.wire=ollama",
        "endpoints.a.b.base_url=http://127.0.0.1:5",
        "budget.warn_at=0.1,0.9",
        'aliases.gpt-4.1=["a/x", {model = "b", timeout = 3}]',
        "prices.openai/gpt-4.1.input=2",
        "prices.openai/gpt-4.1.output=8",
        'machines.gpu.cloud="vast"',
        "machines.gpu.gpu=RTX 4090",
        'lease.at_end="stop"',
    )

    found = load_settings(paths, {}, discover=False)
    assert found.endpoints["a.b"].base_url == "http://127.0.0.1:5"
    assert found.aliases["gpt-4.1"][1].timeout_s == 3
    assert found.prices["openai/gpt-4.1"].output == 8
    assert (found.machines["gpu"].cloud, found.machines["gpu"].gpu) == ("vast", "RTX 4090")
    assert found.lease.at_end == "stop"
    assert console.file.read_text().startswith(WRITTEN[:200])


def test_values_can_be_taken_out(console: Console, paths: Paths) -> None:
    console.run("edit", "--unset", "chat.model", "--unset", "endpoints.vllm.box", "--unset", "aliases")

    found = load_settings(paths, {}, discover=False)
    assert (found.chat.model, found.endpoints, found.aliases) == (None, {}, {})
    assert "# my settings" in console.file.read_text()


@pytest.mark.parametrize(
    ("words", "text", "hint"),
    [
        (("chat.modle=x",), "chat.modle is not a setting", "'model'"),
        (("chta.model=x",), "chta.model is not a setting", "'chat'"),
        (("chat=x",), "chat is a group", "chat.NAME=VALUE"),
        (("chat.max_tokens=many",), "chat.max_tokens must be a whole number", ""),
        (("chat.after_break=restrat",), "must be one of", "'restart'"),
        (("endpoints.new.wire=openai",), "needs the setting 'base_url'", ""),
        (("endpoints.vllm.box.wrie=openai",), "endpoints.vllm.box.wrie is not a setting", "'wire'"),
        (("endpoints.vllm.box.base_url=ftp://x",), "must be an address", ""),
        (("chat.model",), "not of the form KEY=VALUE", "chat.model=general"),
        (("--unset", "chat.system"), "nothing to unset", ""),
        (("--unset", "endpoints.vllm.box.wire"), "Nothing was changed, because then", ""),
    ],
)
def test_a_wrong_edit_changes_nothing(console: Console, words: tuple[str, ...], text: str, hint: str) -> None:
    found, found_hint = console.refusal("edit", *words)

    assert text in found
    assert hint in found_hint
    assert console.file.read_text() == WRITTEN


def test_one_wrong_value_among_several_changes_nothing(console: Console) -> None:
    console.refusal("edit", "chat.model=other", "chat.max_tokens=0")

    assert console.file.read_text() == WRITTEN


def test_a_file_that_is_a_link_stays_one(console: Console, tmp_path: Path) -> None:
    kept = tmp_path / "dotfiles.toml"
    console.file.replace(kept)
    console.file.symlink_to(kept)

    console.run("edit", "chat.model=other")

    assert console.file.is_symlink()
    assert '"other"' in kept.read_text()


def test_a_file_that_cannot_be_written_is_named(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, content: bytes) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("console.settings_file.write_privately", refuse)

    assert "cannot be written: Read-only file system" in console.refusal("edit", "chat.model=other")[0]


@pytest.mark.parametrize("value", ["", "'x", "[1", "a = b", '"""', "x # y", "\\", 'q"q', "1979-05-27", "ünïcode"])
def test_any_text_is_kept_as_it_was_typed(paths: Paths, value: str) -> None:
    if not value:
        with pytest.raises(SettingsError, match="must be a text"):
            changed(WRITTEN, [("chat.model", value)], [])
        return

    paths.config.mkdir()
    paths.config_file.write_text(changed(WRITTEN, [("chat.model", value)], []))

    assert load_settings(paths, {}, discover=False).chat.model == value


_PRINTABLE = some.text(some.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=20)


@given(_PRINTABLE, _PRINTABLE)
@settings(max_examples=100, deadline=None)
def test_any_name_and_value_make_a_file_that_says_just_that(name: str, value: str) -> None:
    import tomllib

    if name[0] in "\"'" or value[0] in "\"'[{":
        name, value = f"n{name}", f"v{value}"

    document: dict[str, Any] = tomllib.loads(changed(WRITTEN, [(f"aliases.{name}", value)], []))

    assert document["aliases"][name] == value
    assert document["chat"] == {"model": "general", "save": True}


# With an editor


def editor(tmp_path: Path, *bodies: str) -> str:
    """An editor that does one thing when it is first opened, another the next time, and so on."""
    count = tmp_path / "count"
    cases = "\n".join(f"{number}) {body} ;;" for number, body in enumerate(bodies, start=1))
    script = tmp_path / "my editor"
    script.write_text(
        f'#!/bin/sh\nn=$(cat "{count}" 2>/dev/null || echo 0)\nn=$((n+1))\necho $n > "{count}"\n'
        f"case $n in\n{cases}\nesac\n"
    )
    script.chmod(0o700)
    return f"'{script}' --wait"


def test_the_editor_opens_a_file_that_explains_itself(paths: Paths, tmp_path: Path) -> None:
    console = Console(paths, {"VISUAL": editor(tmp_path, 'test "$1" = --wait'), "EDITOR": "/nonexistent"})

    assert console.run("edit") == 0

    assert console.file.read_text() == starter()
    assert stat.S_IMODE(console.file.stat().st_mode) == 0o600


def test_an_edit_that_breaks_the_settings_is_told_and_kept(console: Console, paths: Paths, tmp_path: Path) -> None:
    broken = Console(paths, {"EDITOR": editor(tmp_path, """echo '[chta]' > "$2" """)})

    text, hint = broken.refusal("edit")

    assert f"{console.file}:1: chta is not a group" in text
    assert hint == "Did you mean 'chat'?"
    assert console.file.read_text() == "[chta]\n"


def test_on_a_terminal_a_broken_edit_can_be_mended_at_once(
    paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = editor(tmp_path, """echo '[chta]' > "$2" """, """echo '[chat]' > "$2" """)
    console = Console(paths, {"EDITOR": words})
    monkeypatch.setattr(Shell, "is_interactive", lambda shell: True)
    monkeypatch.setattr(Shell, "confirm", lambda shell, question: True)

    assert console.run("edit") == 0
    assert "chta is not a group" in console.stderr.getvalue()
    assert console.file.read_text() == "[chat]\n"


@pytest.mark.parametrize(
    ("words", "text"),
    [("/nonexistent/editor", "cannot be run"), ("false", "ended with exit code 1"), ("'unclosed", "cannot be read")],
)
def test_an_editor_that_does_not_work_is_told(paths: Paths, words: str, text: str) -> None:
    assert text in Console(paths, {"EDITOR": words}).refusal("edit")[0]


def test_without_any_editor_the_file_is_named(paths: Paths) -> None:
    text, hint = Console(paths, {"PATH": "/nonexistent"}).refusal("edit")

    assert text == "There is no editor."
    assert str(paths.config_file) in hint


def test_the_command_needs_an_action() -> None:
    parser = new_parser("hawser config")
    config_command.add_arguments(parser)

    with pytest.raises(UsageError):
        parser.parse_args([])
