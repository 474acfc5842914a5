"""The library with real files, a real store, and the worker in a process of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from textual import events
from textual.pilot import Pilot

from screens.app import HawserApp
from screens.library import LibraryRoom
from screens.viewer import Viewer
from tests.conftest import run
from tests.screens.kit import press, screen_of, toasts_of, type_text, until
from tests.screens.library_worker import with_library

MOORING = "# Mooring\n\nThe hawser is led through the fairlead.\n\n# Nylon\n\nA nylon rope stretches by a third.\n"
KEY = "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA\n-----END RSA PRIVATE KEY-----\n"

pytestmark = pytest.mark.timeout(120)


class Desk:
    """What a test does in the room."""

    def __init__(self, app: HawserApp, pilot: Pilot[int]) -> None:
        self.app = app
        self.pilot = pilot

    @property
    def screen(self) -> str:
        return screen_of(self.app)

    @property
    def room(self) -> LibraryRoom:
        room = self.app.screen_stack[0]
        assert isinstance(room, LibraryRoom)
        return room

    @property
    def names(self) -> list[str]:
        return [each.name for each in self.room.documents.rows if each is not None]

    async def sees(self, *words: str) -> None:
        await until(self.pilot, lambda: all(word in self.screen for word in words))

    async def told(self, words: str) -> None:
        await until(self.pilot, lambda: any(words in toast for toast in toasts_of(self.app)))

    async def has(self, *names: str) -> None:
        await until(self.pilot, lambda: self.names == list(names))

    async def press(self, *keys: str) -> None:
        await press(self.pilot, *keys)

    async def type(self, text: str) -> None:
        await type_text(self.pilot, text)

    async def paste(self, text: str) -> None:
        self.app.screen.post_message(events.Paste(text))
        await self.pilot.pause()

    async def go_to(self, collection: str) -> None:
        """Put the cursor on a collection."""
        self.room.collections.focus()
        rows = self.room.collections.rows
        self.room.collections.go_to(next(n for n, row in enumerate(rows) if getattr(row, "name", "") == collection))
        await until(self.pilot, lambda: self.room.chosen == collection)


def papers(folder: Path) -> Path:
    folder.mkdir()
    (folder / "mooring.md").write_text(MOORING)
    (folder / "anchors.txt").write_text("An anchor holds by the weight of its chain.\n" * 30)
    return folder


def test_from_nothing_to_the_place_that_was_looked_for(tmp_path: Path, monkeypatch: Any) -> None:
    async def body() -> None:
        async with with_library(tmp_path / "home", monkeypatch) as (app, pilot):
            desk = Desk(app, pilot)
            await desk.press("f4")
            await desk.sees("Nothing is here yet", "a adds files")

            await desk.paste(f"'{papers(tmp_path / 'my papers')}'")
            await desk.told("2 documents added to documents")
            await desk.has("anchors.txt", "mooring.md")
            await until(pilot, lambda: desk.screen.count(" ready ") == 2)

            await desk.press("slash")
            await desk.type("nylon stretches")
            await desk.sees("mooring.md", "meaning #1", "A nylon rope stretches by a third")
            await desk.press("enter")
            await until(pilot, lambda: isinstance(app.screen, Viewer) and "line 1 of" in desk.screen)
            await desk.sees("▌ A nylon rope stretches by a third.", "1 of ")

            await desk.press("slash")
            await desk.type("FAIRLEAD")
            await desk.sees("1 of 1 · n N")
            await desk.press("enter", "escape", "escape", "escape")
            await until(pilot, lambda: app.screen is desk.room and not desk.room.field.display)
            assert desk.names == ["anchors.txt", "mooring.md"]

    run(body())


def test_documents_are_marked_tagged_moved_removed_and_brought_back(tmp_path: Path, monkeypatch: Any) -> None:
    async def body() -> None:
        async with with_library(tmp_path / "home", monkeypatch) as (app, pilot):
            desk = Desk(app, pilot)
            await desk.press("f4")
            await desk.sees("Nothing is here yet")
            await desk.paste(str(papers(tmp_path / "papers")))
            await desk.has("anchors.txt", "mooring.md")

            await desk.press("n")
            await desk.sees("What shall it be called?")
            await desk.type("yard")
            await desk.press("enter")
            await until(pilot, lambda: desk.room.names == ["documents", "yard"])
            await desk.go_to("documents")
            await desk.has("anchors.txt", "mooring.md")

            desk.room.documents.focus()
            await desk.press("t")
            await desk.sees("Of anchors.txt")
            await desk.type("sea old")
            await desk.press("enter")
            await desk.sees("#sea #old")

            await desk.press("space", "space", "m")
            await desk.sees("Move 2 documents to")
            await desk.press("enter")
            await desk.told("2 documents moved to yard")
            await desk.has()
            await desk.go_to("yard")
            await until(pilot, lambda: len(desk.names) == 2)

            desk.room.documents.focus()
            removed = desk.names[0]
            await desk.press("D")
            await desk.told(f"{removed} removed from yard")
            await until(pilot, lambda: removed not in desk.names and len(desk.names) == 1)
            await desk.press("u")
            await until(pilot, lambda: removed in desk.names)

            await desk.go_to("documents")
            await desk.press("r")
            await desk.sees("The name of the collection")
            await desk.press("ctrl+u")
            await desk.type("harbour")
            await desk.press("enter")
            await until(pilot, lambda: desk.room.names == ["harbour", "yard"])
            await desk.go_to("yard")
            await desk.press("D")
            await desk.sees("Type yard to go on")
            await desk.type("yard")
            await desk.press("enter")
            await until(pilot, lambda: desk.room.names == ["harbour"])

    run(body())


def test_secrets_are_pointed_out_before_they_are_added(tmp_path: Path, monkeypatch: Any) -> None:
    async def body() -> None:
        folder = papers(tmp_path / "papers")
        (folder / "id.txt").write_text(KEY)
        async with with_library(tmp_path / "home", monkeypatch) as (app, pilot):
            desk = Desk(app, pilot)
            await desk.press("f4")
            await desk.sees("Nothing is here yet")

            await desk.paste(f"{folder / 'id.txt'}\n{folder / 'mooring.md'}")
            await desk.sees("a private key", "Add only the others")
            await desk.press("o")
            await desk.has("mooring.md")

    run(body())


def test_files_are_chosen_below_a_folder(tmp_path: Path, monkeypatch: Any) -> None:
    async def body() -> None:
        folder = papers(tmp_path / "papers")
        monkeypatch.chdir(tmp_path)
        async with with_library(tmp_path / "home", monkeypatch) as (app, pilot):
            desk = Desk(app, pilot)
            await desk.press("f4")
            await desk.sees("Nothing is here yet")

            await desk.press("a")
            await desk.sees("Add to documents", "papers/")
            await desk.type("pap")
            await desk.press("enter")
            await desk.sees(f"All of {folder.name}/", "anchors.txt", "mooring.md")
            await desk.type("moor")
            await desk.press("enter")
            await desk.has("mooring.md")

            await desk.press("w")
            await desk.sees("Watch a folder")
            await desk.type(f"{folder}/")
            await desk.sees("All of papers/")
            await desk.press("enter")
            await desk.sees("Which files")
            await desk.type("*.txt")
            await desk.press("enter")
            await desk.sees("⟳")
            await until(pilot, lambda: "anchors.txt" in desk.names)

    run(body())
