"""How the library looks: pictures as text (tests/screens/snapshots.py)."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from console.errors import NoWorker
from console.history.rows import to_ms
from console.library.library import Library
from console.runtime import Runtime
from screens import library_deeds
from tests.clocks import StillClock
from tests.conftest import run
from tests.console.library_kit import ROPES, put_in
from tests.screens.furnished import NOW
from tests.screens.kit import press, running, screen_of, type_text, until
from tests.screens.library_worker import SETTINGS
from tests.screens.snapshots import LARGE, SMALL, USUAL, Shots

EVERY_SIZE = (SMALL, USUAL, LARGE)
BOTH = ("dark", "light")
YARD = {
    "cranes.txt": "The crane lifts forty tonnes at twelve metres.\n" * 12,
    "dock.md": "# Dry dock\n\nThe gate is closed at high water, and the pumps run for six hours.\n",
}

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def writes(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--write-screens"))


@pytest.fixture(autouse=True)
def _same_everywhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Hours, the home folder, and what differs between file systems."""
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    time.tzset()

    async def disk_use(_library: Library) -> int:
        return 2_345_678

    async def nothing(_room: object) -> int:
        return 0

    monkeypatch.setattr(Library, "disk_use", disk_use)
    monkeypatch.setattr(library_deeds, "bytes_of_model", nothing)
    yield
    os.environ.pop("TZ")
    time.tzset()


async def nobody(*_: Any, **__: Any) -> Any:
    raise NoWorker("No worker is up.")


def furnish(runtime: Runtime) -> None:
    """Two collections; one of them has a document that could not be read, and a folder that is watched."""
    runtime.library._connect = nobody
    paths = runtime.paths
    put_in(paths, "ropes", {**ROPES, "photo.txt": "\0\1\2\3" * 40})
    put_in(paths, "yard", YARD)
    now_ms = to_ms(NOW)
    with closing(sqlite3.connect(paths.documents_file)) as connection, connection:
        connection.execute("UPDATE documents SET added_at = ?, read_at = ?", (now_ms, now_ms))
        connection.execute("UPDATE collections SET created_at = ?, used_at = ?", (now_ms, now_ms - 3_600_000))
        connection.execute("UPDATE documents SET tags = '[\"sea\"]' WHERE name = 'hawsers.md'")
        connection.execute(
            "INSERT INTO folders (collection_id, path, include, exclude, quiet_s)"
            " SELECT id, ?, '[\"*.md\"]', '[]', 2.0 FROM collections WHERE name = 'ropes'",
            (str(Path.home() / "notes"),),
        )


def test_collections_documents_passages_and_a_place(tmp_path: Path, writes: bool) -> None:
    async def body() -> None:
        home = tmp_path / "home" / "hawser"
        async with running(home, SETTINGS, clock=StillClock(NOW), before=furnish) as (app, pilot):
            shots = Shots(app, pilot, writes=writes)
            await press(pilot, "f4")
            await until(pilot, lambda: "hawsers.md" in screen_of(app))
            await press(pilot, "tab")
            await shots.take("library", sizes=EVERY_SIZE, themes=BOTH)
            await press(pilot, "slash")
            await type_text(pilot, "five inches")
            await until(pilot, lambda: "passage" in screen_of(app))
            await shots.take("library-search", sizes=EVERY_SIZE, themes=BOTH)
            await press(pilot, "enter")
            await until(pilot, lambda: "line 1 of" in screen_of(app))
            await shots.take("library-place", sizes=EVERY_SIZE, themes=BOTH)
            shots.check()

    run(body())
