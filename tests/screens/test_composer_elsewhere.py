"""Text from one's own editor, images from the clipboard."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from console.chat.drafts import AttachedFile, PastedText
from console.errors import AttachmentRefused
from screens.widgets.composer import Composer
from tests.conftest import run
from tests.pictures import png
from tests.screens.composer_kit import ComposerApp, composing, press, screen_of, type_text, until


class LendingApp(ComposerApp):
    """Its terminal can be lent, which the one of tests cannot; like Textual's own, it is not given back by an error."""

    def __init__(self, composer: Composer) -> None:
        super().__init__(composer)
        self.lent: list[str] = []

    @contextmanager
    def suspend(self) -> Iterator[None]:
        self.lent.append("lent")
        yield
        self.lent.append("back")


def write_editor(folder: Path, script: str) -> str:
    program = folder / "editor"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return str(program)


def test_the_editor_gets_the_text_and_its_text_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VISUAL", write_editor(tmp_path, 'echo "and more" >> "$1"'))

    async def body() -> None:
        async with composing(tmp_path, app_type=LendingApp) as (app, composer, pilot):
            await type_text(pilot, "some words")
            await press(pilot, "ctrl+o")
            await until(pilot, lambda: composer.text != "some words")

            assert composer.text == "some words\nand more"
            assert isinstance(app, LendingApp)
            assert app.lent == ["lent", "back"]
            await press(pilot, "ctrl+underscore")
            assert composer.text == "some words"

    run(body())


def test_a_failed_editor_leaves_the_text_and_gives_the_terminal_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VISUAL", write_editor(tmp_path, 'echo lost > "$1"; exit 1'))

    async def body() -> None:
        async with composing(tmp_path, app_type=LendingApp) as (app, composer, pilot):
            await type_text(pilot, "some words")
            await press(pilot, "ctrl+o")
            await until(pilot, lambda: "ended with code 1" in screen_of(app))

            assert composer.text == "some words"
            assert isinstance(app, LendingApp)
            assert app.lent == ["lent", "back"]

    run(body())


def test_a_book_from_the_editor_is_a_chip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VISUAL", write_editor(tmp_path, 'yes "a line of words" | head -n 10000 > "$1"'))

    async def body() -> None:
        async with composing(tmp_path, app_type=LendingApp) as (_app, composer, pilot):
            await press(pilot, "ctrl+o")
            await until(pilot, lambda: composer.chips)

            assert composer.text == ""
            assert composer.chips == (PastedText("\n".join(["a line of words"] * 10_000)),)

    run(body())


def test_a_terminal_that_cannot_be_lent_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VISUAL", write_editor(tmp_path, ""))

    async def body() -> None:
        async with composing(tmp_path) as (app, composer, pilot):
            await type_text(pilot, "words")
            await press(pilot, "ctrl+o")
            await until(pilot, lambda: "cannot be lent" in screen_of(app))

            assert composer.text == "words"

    run(body())


def test_an_image_in_the_clipboard_becomes_a_chip(tmp_path: Path) -> None:
    image = tmp_path / "clipboard-1.png"
    image.write_bytes(png(32, 16))

    async def take() -> Path | None:
        return image

    async def body() -> None:
        async with composing(tmp_path, image_from_clipboard=take) as (app, composer, pilot):
            await press(pilot, "ctrl+v")
            await until(pilot, lambda: "32×16" in screen_of(app))

            assert composer.chips == (AttachedFile(str(image)),)

    run(body())


def test_without_an_image_what_was_copied_in_here_is_pasted(tmp_path: Path) -> None:
    async def take() -> Path | None:
        return None

    async def body() -> None:
        async with composing(tmp_path, image_from_clipboard=take) as (app, composer, pilot):
            await press(pilot, "ctrl+v")
            await until(pilot, lambda: "no image in the clipboard" in screen_of(app))

            await type_text(pilot, "words")
            await press(pilot, "shift+home", "ctrl+x")
            assert composer.text == ""
            await press(pilot, "ctrl+v")
            await until(pilot, lambda: composer.text == "words")
            assert composer.chips == ()

    run(body())


def test_an_image_that_is_refused_says_why(tmp_path: Path) -> None:
    async def take() -> Path | None:
        raise AttachmentRefused("The image is too large.", hint="Make it smaller first.")

    async def body() -> None:
        async with composing(tmp_path, image_from_clipboard=take) as (app, composer, pilot):
            await press(pilot, "ctrl+v")
            await until(pilot, lambda: "The image is too large. Make it smaller first." in screen_of(app))

            assert composer.chips == ()

    run(body())
