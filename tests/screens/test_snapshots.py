"""How the program looks: pictures of every state worth seeing, as text (tests/screens/snapshots.py)."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from console.runtime import Runtime
from screens.widgets.transcript import Transcript
from tests.clocks import StillClock
from tests.conftest import run
from tests.screens.furnished import NOW, furnish
from tests.screens.kit import press, running, screen_of, type_text, until
from tests.screens.snapshots import LARGE, PANE, SMALL, USUAL, Picture, Shots, differences, picture_of, read

BOTH = ("dark", "light")
EVERY_THEME = ("dark", "light", "ansi-dark", "textual-dark")
EVERY_SIZE = (SMALL, USUAL, LARGE)
ENDPOINT = """
[chat]
model = "inference/llama3.1:8b"
[endpoints.inference]
wire = "ollama"
base_url = "http://127.0.0.1:9"
"""


@pytest.fixture
def writes(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--write-screens"))


@pytest.fixture(autouse=True)
def _same_hours(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Times are shown as they are where the user is."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    os.environ.pop("TZ")
    time.tzset()


def test_a_chat_that_has_not_begun(tmp_path: Path, writes: bool) -> None:
    async def body() -> None:
        clock = StillClock(NOW)
        async with running(tmp_path, ENDPOINT, clock=clock) as (app, pilot):
            shots = Shots(app, pilot, writes=writes)
            await until(pilot, lambda: "What is it about?" in screen_of(app))
            await shots.take("empty", sizes=(*EVERY_SIZE, PANE), themes=BOTH)
            await press(pilot, "alt+n")
            await until(pilot, lambda: "Off the record" in screen_of(app))
            await shots.take("empty-off-the-record")
            shots.check()

    run(body())


def test_nobody_to_ask(tmp_path: Path, writes: bool) -> None:
    async def body() -> None:
        async with running(tmp_path, clock=StillClock(NOW)) as (app, pilot):
            shots = Shots(app, pilot, writes=writes)
            await until(pilot, lambda: "nobody to ask" in screen_of(app))
            await shots.take("empty-nobody", sizes=(SMALL, USUAL))
            shots.check()

    run(body())


def test_a_long_chat(tmp_path: Path, writes: bool) -> None:
    async def body() -> None:
        clock = StillClock(NOW)

        async def before(runtime: Runtime) -> None:
            await furnish(await runtime.store(), clock)

        async with running(tmp_path, ENDPOINT, clock=clock, before=before) as (app, pilot):
            shots = Shots(app, pilot, writes=writes)
            await until(pilot, lambda: "did not answer" in screen_of(app))
            await shots.take("chat-end", sizes=(*EVERY_SIZE, PANE), themes=BOTH)
            await shots.take("chat-end", themes=("ansi-dark", "textual-dark"))
            await press(pilot, "alt+up", "g")
            await shots.take("chat-top", sizes=EVERY_SIZE, themes=BOTH)
            await shots.take("chat-top", themes=("ansi-dark", "textual-dark"))
            await press(pilot, "t")
            await shots.take("chat-thinking")
            await press(pilot, "t", "w")
            await shots.take("chat-raw")
            await press(pilot, "w", "slash")
            await type_text(pilot, "rope")
            await shots.take("chat-find", sizes=(SMALL, USUAL), themes=BOTH)
            await press(pilot, "escape")
            assert app.screen.query_one(Transcript).items
            shots.check()

    run(body())


def test_a_picture_is_read_as_it_was_written(tmp_path: Path) -> None:
    async def body() -> None:
        async with running(tmp_path, size=SMALL, clock=StillClock(NOW)) as (app, _):
            picture = picture_of(app)

            assert read(picture.written()) == picture
            assert len(picture.lines) == SMALL[1]
            assert all(sum(run.cells for run in line.runs) == SMALL[0] for line in picture.lines)

    run(body())


def stored_lines(*lines: str) -> Picture:
    return read("\n".join(lines) + "\n")


def test_what_is_another_one_is_told_in_words_and_in_style() -> None:
    old = stored_lines("one", "two", "--------", "    1-2 a3", "--------", "      a red on default")
    words = stored_lines("one", "six", "--------", "    1-2 a3", "--------", "      a red on default")
    style = stored_lines("one", "two", "--------", "1 a3", "2 a1 b2", "--------", "a red on default", "b blue on red")

    assert list(differences(old, old)) == []
    assert list(differences(old, words)) == ["   2 - two", "     + six"]
    assert list(differences(old, style)) == ["   2   two", "     ~ cells 1-2: red on default  ->  blue on red"]
