"""The frame: it starts, it goes from room to room, it ends."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual import events
from textual.color import Color
from textual.css.stylesheet import Stylesheet
from textual.geometry import Region
from textual.widgets import TextArea

from screens.life import LivingApp
from screens.widgets.ground import Down
from tests.conftest import run
from tests.screens.kit import SIZES, press, running, screen_of, text_of, until


@pytest.mark.parametrize("size", SIZES)
def test_first_frame_shows_the_frame_at_every_size(tmp_path: Path, size: tuple[int, int]) -> None:
    async def body() -> None:
        async with running(tmp_path, size=size) as (app, _):
            lines = text_of(app)

            assert len(lines) == size[1]
            assert "hawser" in lines[0]
            assert "F1" in lines[-1] or "^q" in lines[-1].lower()

    run(body())


def test_what_is_typed_before_the_first_frame_is_on_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    load, drawn = LivingApp.on_load, LivingApp._first_frame_drawn

    def typed(app: LivingApp) -> None:
        load(app)
        for letter in "knots":
            app.post_message(events.Key(letter, letter))

    def note(app: LivingApp) -> None:
        assert isinstance(app.focused, TextArea)
        written.append(app.focused.text)
        drawn(app)

    monkeypatch.setattr(LivingApp, "on_load", typed)
    monkeypatch.setattr(LivingApp, "_first_frame_drawn", note)

    async def body() -> None:
        async with running(tmp_path) as (app, _):
            assert written == ["knots"]
            assert "knots" in screen_of(app)

    run(body())


@pytest.mark.parametrize("no_color", [False, True])
def test_the_ground_is_one_row_in_the_colours_of_the_frame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_color: bool
) -> None:
    if no_color:
        monkeypatch.setenv("NO_COLOR", "1")

    async def body() -> None:
        async with running(tmp_path) as (app, _):
            ground = app.screen.query_one("#talk", Down)
            rows = ground.render_lines(Region(0, 0, 30, 5))

            assert [row is rows[0] for row in rows] == [True] * 5
            assert (rows[0].text, rows[0].cell_length) == (" " * 30, 30)
            (blank,) = rows[0]
            assert blank.style is not None
            paper = None if no_color else Color.parse("#10161d").rich_color
            assert blank.style.bgcolor == paper

    run(body())


def test_style_rules_are_read_once_until_the_colours_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    reparse = Stylesheet.reparse

    def counting(stylesheet: Stylesheet) -> None:
        read.append("again")
        reparse(stylesheet)

    monkeypatch.setattr(Stylesheet, "reparse", counting)

    async def body() -> None:
        async with running(tmp_path, '[screen]\ntheme = "hawser-light"\n') as (app, pilot):
            await press(pilot, "f3")
            await until(pilot, lambda: app.current_mode == "machines")
            assert read == []
            assert app.screen.styles.background == Color.parse("#faf8f3")

            app.theme = "hawser-dark"
            await until(pilot, lambda: app.screen.styles.background == Color.parse("#10161d"))
            assert read == ["again"]

            await press(pilot, "f2")
            await until(pilot, lambda: app.current_mode == "chat")
            await until(pilot, lambda: app.screen.styles.background == Color.parse("#10161d"))
            assert read == ["again"]

    run(body())


def test_function_keys_go_to_the_rooms(tmp_path: Path) -> None:
    async def body() -> None:
        async with running(tmp_path) as (app, pilot):
            for key, room in (("f3", "machines"), ("f4", "documents"), ("alt+6", "costs"), ("f2", "chat")):
                await press(pilot, key)
                await until(pilot, lambda room=room: app.current_mode == room)  # type: ignore[misc]

            assert app.current_mode == "chat"

    run(body())


def test_help_tells_the_keys(tmp_path: Path) -> None:
    async def body() -> None:
        async with running(tmp_path) as (app, pilot):
            await press(pilot, "f1")

            assert "Everywhere" in screen_of(app)

    run(body())
