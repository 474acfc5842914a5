"""The log room."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from textual.widgets import Input

from tests.conftest import run
from tests.screens.kit import SIZES, press, running, screen_of, text_of, toasts_of, type_text, until

log = logging.getLogger("console.test")


@pytest.mark.parametrize("size", SIZES)
def test_what_is_logged_appears_and_the_end_is_followed(tmp_path: Path, size: tuple[int, int]) -> None:
    async def body() -> None:
        async with running(tmp_path, size=size) as (app, pilot):
            for number in range(100):
                log.warning("entry %d", number)
            await press(pilot, "f8")
            await until(pilot, lambda: "entry 99" in screen_of(app))
            log.warning("one more")
            await until(pilot, lambda: "one more" in screen_of(app))
            await press(pilot, "home")
            await until(pilot, lambda: "entry 0" in screen_of(app))
            log.warning("yet another")
            await until(pilot, lambda: "102 entries" in screen_of(app) or size[0] < 50)

            assert "entry 0" in screen_of(app)

    run(body())


def test_filters(tmp_path: Path) -> None:
    async def body() -> None:
        async with running(tmp_path) as (app, pilot):
            log.info("a tunnel is up")
            log.error("a link is lost")
            await press(pilot, "f8")
            await until(pilot, lambda: "a tunnel is up" in screen_of(app))
            await press(pilot, "l", "l")
            await until(pilot, lambda: "a tunnel is up" not in screen_of(app))
            assert "a link is lost" in screen_of(app)
            await press(pilot, "l", "l", "slash")
            await type_text(pilot, "tun+el")
            await until(pilot, lambda: "a link is lost" not in screen_of(app))
            assert "a tunnel is up" in screen_of(app)
            await type_text(pilot, "[")
            await until(pilot, lambda: "Not a pattern" in screen_of(app))
            await press(pilot, "escape")
            await until(pilot, lambda: "a link is lost" in screen_of(app))

            assert not app.screen.query_one(Input).display

    run(body())


def test_long_entries_are_cut_wrapped_and_read(tmp_path: Path) -> None:
    async def body() -> None:
        async with running(tmp_path, size=(80, 24)) as (app, pilot):
            log.warning("%s the end", "word " * 30)
            await press(pilot, "f8")
            await until(pilot, lambda: "word word" in screen_of(app))
            assert "the end" not in screen_of(app)
            await press(pilot, "w")
            await until(pilot, lambda: "the end" in screen_of(app))
            await press(pilot, "w", "enter")
            await until(pilot, lambda: app.screen.is_modal)
            assert "the end" in screen_of(app)
            await press(pilot, "escape")

            assert not app.screen.is_modal

    run(body())


def test_entries_are_copied_and_saved(tmp_path: Path) -> None:
    async def body() -> None:
        async with running(tmp_path, '[screen]\nclipboard = "file"\n') as (app, pilot):
            log.warning("keep me")
            await press(pilot, "f8")
            await until(pilot, lambda: "keep me" in screen_of(app))
            await press(pilot, "y")
            await until(pilot, lambda: any("Copied the entry" in toast for toast in toasts_of(app)))
            await press(pilot, "Y")
            await until(pilot, lambda: any(" line" in toast for toast in toasts_of(app)))
            await press(pilot, "s")
            await until(pilot, lambda: app.screen.is_modal)
            app.screen.query_one(Input).value = str(tmp_path / "saved.txt")
            await press(pilot, "enter")
            await until(pilot, lambda: (tmp_path / "saved.txt").exists())

            assert "keep me" in (tmp_path / "saved.txt").read_text()

    run(body())


def test_hostile_entries_are_harmless(tmp_path: Path) -> None:
    async def body() -> None:
        async with running(tmp_path) as (app, pilot):
            log.warning("\x1b]0;title\x07 [bold]text[/bold]")
            await press(pilot, "f8")
            await until(pilot, lambda: "[bold]text[/bold]" in screen_of(app))

            assert all("\x1b" not in line for line in text_of(app))

    run(body())
