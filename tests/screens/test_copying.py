"""Copying from the app: the best way is taken, and a toast says which."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import run
from tests.screens.kit import running, toasts_of, until


def test_toast_says_how_much_was_copied_and_how(tmp_path: Path) -> None:
    async def body() -> None:
        async with running(tmp_path, '[screen]\nclipboard = "file"') as (app, pilot):
            app.copy("x" * 1200, "the message")

            await until(pilot, lambda: toasts_of(app))

            place = tmp_path / "state" / "clipboard.txt"
            assert toasts_of(app) == [f"Copied the message: 1.2 kB to {place}"]
            assert place.read_text() == "x" * 1200
            assert app.clipboard == "x" * 1200

    run(body())


def test_toast_says_when_nothing_takes_it(tmp_path: Path) -> None:
    async def body() -> None:
        async with running(tmp_path, '[screen]\nclipboard = "native"') as (app, pilot):
            app.copy_to_clipboard("text")

            await until(pilot, lambda: toasts_of(app))

            assert "no way to the clipboard" in toasts_of(app)[0]

    run(body())
