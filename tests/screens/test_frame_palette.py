"""Help, palette, footer, colours."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.color import Color as RichColor
from textual.color import Color
from textual.theme import BUILTIN_THEMES

from console.settings import load_settings
from screens.fuzzy import fitting
from screens.keys import ACTIONS
from screens.theme import DARK, LIGHT, THEMES, Palette, palette
from screens.widgets.footer import Footer
from tests.conftest import run
from tests.screens.kit import SIZES, press, running, screen_of, text_of, type_text, until

ROWS = ("Quit", "Go to the costs", "Copy all", "Chat: Compare")


def test_words_are_found_anywhere_and_letters_in_their_order() -> None:
    assert fitting("", ROWS, str) == list(ROWS)
    assert fitting("co", ROWS, str) == ["Copy all", "Go to the costs", "Chat: Compare"]
    assert fitting("costs go", ROWS, str) == ["Go to the costs"]
    assert fitting("cpl", ROWS, str) == ["Copy all"]
    assert fitting("zebra", ROWS, str) == []


@pytest.mark.parametrize("size", SIZES)
def test_palette_runs_an_action_and_remembers_it(tmp_path: Path, size: tuple[int, int]) -> None:
    async def body() -> None:
        async with running(tmp_path, size=size) as (app, pilot):
            await press(pilot, "ctrl+p")
            await type_text(pilot, "costs")
            await until(pilot, lambda: "Costs" in screen_of(app))
            await press(pilot, "enter")
            await until(pilot, lambda: app.current_mode == "costs")
            await press(pilot, "ctrl+p")
            await until(pilot, lambda: app.screen.is_modal)
            rows = [line for line in text_of(app) if "F7" in line or "F1" in line]

            assert "Costs" in rows[0]

    run(body())


def test_palette_goes_to_the_room_of_an_action(tmp_path: Path) -> None:
    async def body() -> None:
        async with running(tmp_path) as (app, pilot):
            await press(pilot, "ctrl+p")
            await type_text(pilot, "break long")
            await press(pilot, "enter")
            await until(pilot, lambda: app.current_mode == "logs")

            assert "from info on" in screen_of(app)

    run(body())


def test_palette_offers_every_action_but_motions(tmp_path: Path) -> None:
    async def body() -> None:
        async with running(tmp_path, size=(120, 200)) as (app, pilot):
            await press(pilot, "ctrl+p")
            await until(pilot, lambda: app.screen.is_modal)
            offered = {action.id for action in app.screen.all_rows}  # type: ignore[attr-defined]

            missing = {action.id for action in ACTIONS if action.id not in offered}
            motions = {action.id for action in ACTIONS if action.place in ("list", "chats", "compare")}
            assert missing == motions | {"everywhere.palette", "messages.copy_block"}

    run(body())


def test_read_only_mode_offers_nothing_dangerous(tmp_path: Path) -> None:
    async def body() -> None:
        async with running(tmp_path, "[screen]\nread_only = true\n") as (app, pilot):
            await press(pilot, "ctrl+p")
            await until(pilot, lambda: app.screen.is_modal)

            assert not any(action.dangerous for action in app.screen.all_rows)  # type: ignore[attr-defined]

    run(body())


@pytest.mark.parametrize("size", SIZES)
def test_help_tells_what_works_here_first_and_finds(tmp_path: Path, size: tuple[int, int]) -> None:
    async def body() -> None:
        async with running(tmp_path, size=size) as (app, pilot):
            await press(pilot, "f8")
            await until(pilot, lambda: app.current_mode == "logs")
            await press(pilot, "question_mark")
            await until(pilot, lambda: "Here" in screen_of(app))
            await type_text(pilot, "break long")
            await until(pilot, lambda: "log_wrap" in screen_of(app))
            await press(pilot, "enter")
            await until(pilot, lambda: not app.screen.is_modal)

            assert app.current_mode == "logs"

    run(body())


def test_a_click_in_the_footer_presses_the_key(tmp_path: Path) -> None:
    async def body() -> None:
        async with running(tmp_path) as (app, pilot):
            await pilot.click(app.screen.query_one(Footer), offset=(text_of(app)[-1].index("Help"), 0))
            await until(pilot, lambda: app.screen.is_modal)

            assert "Type to search" in screen_of(app)

    run(body())


@pytest.mark.parametrize("size", SIZES)
def test_the_footer_is_never_cut_in_the_middle(tmp_path: Path, size: tuple[int, int]) -> None:
    async def body() -> None:
        async with running(tmp_path, size=size) as (app, pilot):
            await press(pilot, "f8")
            await until(pilot, lambda: "/ Filter" in text_of(app)[-1])

            assert text_of(app)[-1].endswith("F1 Help")
            assert len(text_of(app)[-1]) <= size[0]

    run(body())


def test_themes_are_shown_while_choosing_and_remembered(tmp_path: Path) -> None:
    async def body() -> None:
        async with running(tmp_path, "# mine\n[chat]\nsave = true\n") as (app, pilot):
            await app.run_action("choose_theme")
            await until(pilot, lambda: app.screen.is_modal)
            await press(pilot, "down")
            await until(pilot, lambda: app.theme == LIGHT)
            await press(pilot, "escape")
            await until(pilot, lambda: app.theme == DARK)
            await app.run_action("choose_theme")
            await type_text(pilot, "light")
            await press(pilot, "enter")
            await until(pilot, lambda: "theme" in app.runtime.paths.config_file.read_text())

            assert app.theme == LIGHT
            assert app.runtime.paths.config_file.read_text().startswith("# mine\n")
            assert load_settings(app.runtime.paths, {}, discover=False).screen.theme == LIGHT

            light = app.palette
            app.theme = DARK
            dark = app.palette  # before the news of it goes round
            assert dark == palette(app.get_css_variables(), dark=True) != light

    run(body())


def test_an_unknown_theme_is_told(tmp_path: Path) -> None:
    async def body() -> None:
        async with running(tmp_path, '[screen]\ntheme = "pink"\n') as (app, pilot):
            await until(pilot, lambda: "There is no theme 'pink'" in screen_of(app))

            assert app.theme == DARK

    run(body())


@pytest.mark.parametrize("theme", [DARK, LIGHT, *BUILTIN_THEMES])
def test_every_theme_draws_every_room(tmp_path: Path, theme: str) -> None:
    async def body() -> None:
        async with running(tmp_path, theme=theme, size=(80, 24)) as (app, pilot):
            await press(pilot, "f7")
            await until(pilot, lambda: "hawser cost" in screen_of(app))

            assert app.palette.text.color is not None

    run(body())


# Contrast, as the WCAG reckons it


def luminance(colour: Color) -> float:
    def linear(part: int) -> float:
        share = part / 255
        return share / 12.92 if share <= 0.04045 else float(((share + 0.055) / 1.055) ** 2.4)

    red, green, blue = (linear(part) for part in colour.rgb)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: Color, other: Color) -> float:
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def inks(styles: Palette) -> Iterator[tuple[str, Color]]:
    for name, style in styles._asdict().items():
        if isinstance(style.color, RichColor) and style.bgcolor is None:
            yield name, Color.from_rich_color(style.color)


QUIET = {"faint", "rule"}
"""Decoration: nothing has to be read from it."""
SECOND = {"muted", "thinking", "syntax_comment", "syntax_operator", "quote"}


@pytest.mark.parametrize("theme", THEMES, ids=lambda theme: theme.name)
def test_text_can_be_read_on_all_grounds(theme: object) -> None:
    from textual.theme import Theme

    assert isinstance(theme, Theme)
    variables = theme.to_color_system().generate() | theme.variables
    styles = palette(variables, dark=theme.dark)
    grounds = {name: Color.parse(variables[name]) for name in ("background", "surface", "panel")}

    weak = [
        (name, on, round(contrast(colour, ground), 2))
        for name, colour in inks(styles)
        if name not in QUIET
        for on, ground in grounds.items()
        if contrast(colour, ground) < (3 if name in SECOND else 4.5)
    ]
    assert weak == []
    for name in ("code_block", "match_here"):
        style = getattr(styles, name)
        assert contrast(Color.from_rich_color(style.color), Color.from_rich_color(style.bgcolor)) >= 4.5
    selected = Color.parse(variables["block-cursor-background"])
    assert contrast(Color.parse(variables["block-cursor-foreground"]), selected) >= 4.5
