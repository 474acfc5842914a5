"""Prompts kept as files."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.chat.templates import SHIPPED, fill, find_template, template_names, templates
from console.errors import NotFound, SettingsError, UsageError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "templates"
    made.mkdir()
    return made


def write(folder: Path, file: str, text: str) -> None:
    (folder / file).write_text(text, encoding="utf-8")


LETTER = """
system = "You write for {{ company }}."
prompt = "Write a {{tone}} letter about: {{input}}"
model = "general"
[params]
temperature = 0.5
[defaults]
tone = "friendly"
"""


def test_variables_defaults_and_input_find_their_places(folder: Path) -> None:
    write(folder, "letter.toml", LETTER)

    filled = fill(folder, "letter", {"company": "Ropes Ltd"}, "the late delivery")

    assert filled == (
        "Write a friendly letter about: the late delivery",
        "You write for Ropes Ltd.",
        "general",
        {"temperature": 0.5},
    )


def test_missing_variables_are_named_all_at_once(folder: Path) -> None:
    write(folder, "two.toml", 'prompt = "{{first}} {{second}} {{third}} {{first}}"\n[defaults]\nsecond = 2\n')

    with pytest.raises(UsageError, match="needs a value for first, third") as caught:
        fill(folder, "two", {})

    assert caught.value.hint == "Add --var first=… --var third=…"


def test_unknown_variable_names_the_nearest(folder: Path) -> None:
    write(folder, "letter.toml", LETTER)

    with pytest.raises(UsageError, match="no variable 'compny'") as caught:
        fill(folder, "letter", {"compny": "x"})

    assert "company" in (caught.value.hint or "")


def test_markdown_is_the_prompt_and_may_have_settings_in_front(folder: Path) -> None:
    write(folder, "plain.md", "Be kind.\r\n")
    write(folder, "rich.md", '+++\nmodel = "quick"\n[defaults]\nto = "me"\n+++\nWrite to {{to}}.\n\n+++ not the end\n')

    assert fill(folder, "plain", {}, "Hello?") == ("Be kind.\n\nHello?", None, None, {})
    assert fill(folder, "rich", {}, None) == ("Write to me.\n\n+++ not the end", None, "quick", {})


def test_template_with_only_an_instruction_leaves_the_prompt_alone(folder: Path) -> None:
    write(folder, "pirate.toml", 'system = "You are a pirate."')

    assert fill(folder, "pirate", {}, "{{hello}}") == ("{{hello}}", "You are a pirate.", None, {})


@given(st.text(max_size=50), st.text(max_size=50))
def test_values_are_never_expanded_again(tmp_path_factory: pytest.TempPathFactory, value: str, typed: str) -> None:
    folder = tmp_path_factory.mktemp("templates")
    write(folder, "t.toml", 'prompt = "<{{a}}|{{input}}>"')

    assert (
        fill(folder, "t", {"a": value + "{{input}}"}, typed + "{{a}}").prompt
        == f"<{value}{{{{input}}}}|{typed}{{{{a}}}}>"
    )


@pytest.mark.parametrize(
    "name", ["../secret", "a/b", "..", ".hidden", "", "a\\b", "/etc/passwd", "nul\0", "x" * 101, "no-such"]
)
def test_name_never_leads_out_of_the_folder(folder: Path, name: str) -> None:
    write(folder.parent, "secret.toml", 'prompt = "secret"')

    with pytest.raises(NotFound, match="There is no template"):
        fill(folder, name, {})


def test_mistyped_name_gets_the_nearest(folder: Path) -> None:
    with pytest.raises(NotFound) as caught:
        find_template(folder, "sumarise")

    assert "summarise" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("file", "text", "reason"),
    [
        ("t.toml", "prompt = ", "is not TOML"),
        ("t.toml", "promt = 'x'", "unknown setting 'promt'"),
        ("t.toml", "prompt = 3", "prompt must be a text"),
        ("t.toml", "defaults = 3", "defaults must be a table"),
        ("t.toml", "[defaults]\na = [1]", "default of 'a'"),
        ("t.md", "+++\nmodel = 'x'\n", "have no end"),
        ("t.md", "+++\nprompt = 'x'\n+++\ntext", "prompt twice"),
    ],
)
def test_broken_template_names_its_file(folder: Path, file: str, text: str, reason: str) -> None:
    write(folder, file, text)

    with pytest.raises(SettingsError, match=reason) as caught:
        fill(folder, "t", {})

    assert file in caught.value.text


def test_template_that_is_no_text_is_refused(folder: Path) -> None:
    (folder / "t.md").write_bytes(b"\xff\xfe\x00")
    (folder / "u.md").write_bytes(b"x" * ((1 << 20) + 1))

    with pytest.raises(SettingsError, match="not UTF-8"):
        find_template(folder, "t")
    with pytest.raises(SettingsError, match="larger than"):
        find_template(folder, "u")


def test_own_template_goes_before_the_shipped_one(folder: Path) -> None:
    write(folder, "summarise.md", "Mine: {{input}}")

    assert fill(folder, "summarise", {}, "x").prompt == "Mine: x"
    assert template_names(folder).count("summarise") == 1


def test_only_template_files_are_listed(folder: Path) -> None:
    write(folder, "mine.toml", "")
    write(folder, "notes.txt", "")
    write(folder, ".hidden.md", "")
    (folder / "folder.md").mkdir()

    assert set(template_names(folder)) - set(template_names(folder / "missing")) == {"mine"}


def test_shipped_templates_are_complete(folder: Path) -> None:
    shipped = {template.name: template for template in templates(folder)}

    assert {"summarise", "explain", "commit-message", "translate", "review"} <= set(shipped)
    for name, template in shipped.items():
        assert template.file.parent == SHIPPED
        assert template.about
        values = {variable: "French" for variable in template.variables if variable not in template.defaults}
        filled = fill(folder, name, values, "the text")
        assert "the text" in filled.prompt
        assert "{{" not in filled.prompt + (filled.system or "")
    assert shipped["translate"].variables == ("to",)
