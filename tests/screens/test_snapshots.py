"""How the program looks: pictures of every state worth seeing, as text (tests/screens/snapshots.py)."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from textual.pilot import Pilot

from console.errors import ConsoleError
from console.runtime import Runtime
from providers.simulated.services import Answer, Fault, FaultKind, SimulatedOllama, SimulatedOpenAI
from screens.app import HawserApp
from screens.leaving import Concern
from screens.widgets.composer import Composer
from tests.clocks import StillClock
from tests.conftest import run
from tests.flows.kit import Services, endpoint, key_of
from tests.screens.furnished import NOW, RICH, furnish
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
LOGGED = """\
2026-09-01T09:58:01.100Z INFO 41 console.links.link: the rope to gpu1 is up, 21 ms
2026-09-01T09:58:14.020Z WARNING 41 console.links.health: the rope to gpu1 is slow: 840 ms over the last 10 s
2026-09-01T09:59:40.555Z ERROR 41 console.links.link: the rope to gpu1 is lost
  | Traceback (most recent call last):
  |   ConnectionResetError: the other side went away
"""


pytestmark = pytest.mark.timeout(180)  # many pictures of one app; on a busy machine they take their time


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


@asynccontextmanager
async def furnished(home: Path) -> AsyncIterator[tuple[HawserApp, Pilot[int]]]:
    """The app over a store with chats, after its first look at them."""
    clock = StillClock(NOW)

    async def before(runtime: Runtime) -> None:
        await furnish(await runtime.store(), clock)

    async with running(home, ENDPOINT, clock=clock, before=before) as (app, pilot):
        await until(pilot, lambda: "did not answer" in screen_of(app))
        yield app, pilot


def test_a_chat_that_has_not_begun(tmp_path: Path, writes: bool) -> None:
    async def body() -> None:
        clock = StillClock(NOW)
        async with running(tmp_path / "home" / "hawser", ENDPOINT, clock=clock) as (app, pilot):
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
        async with running(tmp_path / "home" / "hawser", clock=StillClock(NOW)) as (app, pilot):
            shots = Shots(app, pilot, writes=writes)
            await until(pilot, lambda: "nobody to ask" in screen_of(app))
            await shots.take("empty-nobody", sizes=(SMALL, USUAL))
            shots.check()

    run(body())


def test_a_long_chat(tmp_path: Path, writes: bool) -> None:
    async def body() -> None:
        async with furnished(tmp_path) as (app, pilot):
            shots = Shots(app, pilot, writes=writes)
            await shots.take("chat-end", sizes=(*EVERY_SIZE, PANE), themes=EVERY_THEME)
            await press(pilot, "alt+up", "g")
            await shots.take("chat-top", sizes=EVERY_SIZE, themes=EVERY_THEME)
            await press(pilot, "t")
            await shots.take("chat-thinking")
            await press(pilot, "t", "w")
            await shots.take("chat-raw")
            await press(pilot, "w", "slash")
            await type_text(pilot, "rope")
            await shots.take("chat-find", sizes=(SMALL, USUAL), themes=BOTH)
            shots.check()

    run(body())


def test_writing(tmp_path: Path, writes: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "work"
    (folder / "notes").mkdir(parents=True)
    for name in ("ropes.csv", "mooring plan.md", "notes/today.md"):
        (folder / name).write_text("nylon,12\n" * 40)
    monkeypatch.chdir(folder)

    async def body() -> None:
        clock = StillClock(NOW)
        async with running(tmp_path / "home" / "hawser", ENDPOINT, clock=clock) as (app, pilot):
            shots = Shots(app, pilot, writes=writes)
            await until(pilot, lambda: "What is it about?" in screen_of(app))
            for size in (SMALL, USUAL):
                await pilot.resize_terminal(*size)
                await press(pilot, "slash")
                await shots.take("popup-commands", sizes=(size,), themes=BOTH)
                await press(pilot, "escape", "backspace", "@")
                await until(pilot, lambda: "ropes.csv" in screen_of(app))
                await shots.take("popup-files", sizes=(size,))
                await press(pilot, "escape", "backspace")
            await type_text(pilot, "Which of these is the strongest?")
            composer = app.screen.query_one(Composer)
            await composer.takes_paste("a rope\n" * 412)
            await composer.takes_paste(str(folder / "ropes.csv"))
            await until(pilot, lambda: "nsert path" in screen_of(app))
            await shots.take("drop-question", sizes=(SMALL, USUAL), themes=BOTH)
            await press(pilot, "a")
            await shots.sees("~1,121 tokens")
            await shots.take("composer-chips", sizes=(SMALL, USUAL, PANE), themes=BOTH)
            await press(pilot, "ctrl+c")
            await type_text(pilot, "/nosuch")
            await press(pilot, "enter")
            await shots.take("composer-note")
            await press(pilot, "ctrl+c", "ctrl+r")
            await until(pilot, lambda: "Past prompts" in screen_of(app))
            await shots.take("popup-history")
            shots.check()

    run(body())


def test_answers_that_arrive(tmp_path: Path, writes: bool) -> None:
    with Services() as services:
        ollama = services.start(SimulatedOllama())
        ollama.faults.always(Fault(FaultKind.STALL, 40))
        ollama.answers.script("rope", Answer(RICH))
        settings = '[chat]\nmodel = "inference/llama3.1:8b"\n' + endpoint("inference", ollama)

        async def body() -> None:
            async with running(tmp_path / "home" / "hawser", settings, clock=StillClock(NOW)) as (app, pilot):
                shots = Shots(app, pilot, writes=writes)
                await until(pilot, lambda: "What is it about?" in screen_of(app))
                await type_text(pilot, "Tell me about rope")
                await press(pilot, "enter")
                await until(pilot, lambda: "breaking_load" in screen_of(app))
                for words in ("And about chain", "And about wire"):
                    await type_text(pilot, words)
                    await press(pilot, "enter")
                await until(pilot, lambda: "2 of 2" in screen_of(app))
                await shots.take("streaming", sizes=(SMALL, USUAL), themes=BOTH)
                await press(pilot, "escape")
                await until(pilot, lambda: "Stopped." in screen_of(app))
                await shots.take("stopped-and-waiting")
                await press(pilot, "ctrl+k")
                shots.check()

        run(body())


SERVED = """
[chat]
model = "inference/llama3.1:8b"
[aliases]
"gpt-4" = ["workstation/qwen3:32b", "openai/gpt-4.1"]
[routes]
code = "workstation/qwen2.5-coder:14b"
"""


async def _with_templates(runtime: Runtime, clock: StillClock) -> None:
    await furnish(await runtime.store(), clock)
    folder = runtime.paths.templates
    folder.mkdir(parents=True)
    (folder / "mooring.md").write_text("Plan the mooring of {{boat}} with {{lines}} lines.")
    (folder / "bosun.toml").write_text('about = "Answers as a bosun would"\nsystem = "You are a bosun."\n')


def test_what_is_chosen(tmp_path: Path, writes: bool) -> None:
    with Services() as services:
        openai = services.start(SimulatedOpenAI())
        settings = "\n".join(
            [
                SERVED,
                endpoint("inference", services.start(SimulatedOllama())),
                endpoint("workstation", services.start(SimulatedOllama(installed=("qwen3:32b", "qwen2.5-coder:14b")))),
                endpoint(
                    "openai",
                    openai,
                    'key = "openai"',
                    'models = ["gpt-4.1", "gpt-4.1-mini"]',
                    "price = {input = 2, output = 8}",
                ),
            ]
        )

        async def body() -> None:
            clock = StillClock(NOW)
            async with running(
                tmp_path / "home" / "hawser",
                settings,
                clock=clock,
                before=lambda runtime: _with_templates(runtime, clock),
                environment=key_of("openai", openai),
            ) as (app, pilot):
                shots = Shots(app, pilot, writes=writes)
                await shots.sees("did not answer")
                await press(pilot, "ctrl+l")
                await shots.sees("inference/llama3.1:8b: ready")
                await shots.take("models", sizes=EVERY_SIZE, themes=EVERY_THEME)
                await press(pilot, "escape", "ctrl+t")
                await shots.sees("Parameters")
                await shots.take("parameters", sizes=(SMALL, USUAL), themes=BOTH)
                await press(pilot, "escape", "ctrl+y")
                await shots.sees("System prompt")
                await shots.take("system", sizes=(SMALL, USUAL))
                await press(pilot, "escape")
                await type_text(pilot, "Which rope?")
                await press(pilot, "ctrl+k")
                await shots.sees("Compare")
                await shots.take("several", sizes=(SMALL, USUAL))
                await press(pilot, "down", "down", "tab", "enter")
                await until(pilot, lambda: screen_of(app).count("tokens") >= 2)
                await shots.take("compare", sizes=(SMALL, USUAL), themes=BOTH)
                await press(pilot, "escape")
                await until(pilot, lambda: not app.screen.query("Column"))
                await type_text(pilot, "/template ")
                await press(pilot, "enter")
                await shots.sees("Templates")
                await shots.take("templates")
                await press(pilot, "escape")
                shots.check()

        run(body())


def test_what_is_found(tmp_path: Path, writes: bool) -> None:
    async def body() -> None:
        async with furnished(tmp_path) as (app, pilot):
            shots = Shots(app, pilot, writes=writes)
            await press(pilot, "ctrl+g")
            await shots.sees("#gpu")
            await shots.take("chats", sizes=EVERY_SIZE, themes=BOTH)
            await type_text(pilot, "rope")
            await shots.sees("with “rope”")
            await shots.take("chats-filtered")
            await press(pilot, "escape", "ctrl+f")
            await shots.sees("Words that were said")
            await shots.take("search-begins")
            await type_text(pilot, "rope")
            await shots.sees("place")
            await shots.take("search", sizes=(SMALL, USUAL), themes=BOTH)
            await press(pilot, "escape", "f1")
            await shots.sees("Keys")
            await shots.take("help", sizes=(*EVERY_SIZE, PANE), themes=BOTH)
            await press(pilot, "escape", "ctrl+p")
            await shots.sees("Commands")
            await shots.take("palette", sizes=(SMALL, USUAL))
            await press(pilot, "escape", "alt+up", "b")
            await shots.sees("Branches")
            await shots.take("branches", sizes=(SMALL, USUAL))
            shots.check()

    run(body())


def test_what_is_asked_and_told(tmp_path: Path, writes: bool) -> None:
    async def body() -> None:
        async with furnished(tmp_path) as (app, pilot):
            shots = Shots(app, pilot, writes=writes)
            await press(pilot, "f9")
            await shots.sees("Rename")
            await shots.take("ask", sizes=(SMALL, USUAL, PANE))
            await press(pilot, "escape")
            app.say("Copied the message: to the clipboard")
            app.warn("Half of today's budget is spent: $2.50 of $5.00.")
            app.tell(ConsoleError("inference does not answer.", hint="Look whether its machine runs: hawser vm ls"))
            await shots.sees("vm ls")
            await shots.take("toasts", sizes=(SMALL, USUAL), themes=BOTH)
            await press(pilot, "escape")
            app.quit_concerns.append(_bills)
            await press(pilot, "ctrl+q")
            await shots.sees("Leave Hawser?")
            await shots.take("leaving", sizes=(SMALL, USUAL, PANE), themes=BOTH)
            await press(pilot, "escape")
            shots.check()

    run(body())


async def _bills(_app: object) -> Concern:
    async def end(_tell: object) -> None:
        raise AssertionError("nobody asked for it")

    lines = ("gpu1 runs: $0.45 an hour, $1.20 since 07:20.",)
    return Concern(lines, stay_words="leave gpu1 running", end_words="stop gpu1", end=end)


def _write_log(file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(LOGGED)


def test_the_other_rooms(tmp_path: Path, writes: bool) -> None:
    async def body() -> None:
        async with running(tmp_path / "home" / "hawser", ENDPOINT, clock=StillClock(NOW)) as (app, pilot):
            shots = Shots(app, pilot, writes=writes)
            for key, name in (("f3", "machines"), ("f4", "documents"), ("f5", "images")):
                await press(pilot, key)
                await until(pilot, lambda name=name: app.current_mode == name)  # type: ignore[misc]
                await shots.take(f"room-{name}", sizes=(SMALL, USUAL) if name == "machines" else (SMALL,))
            _write_log(app.runtime.paths.log_file)
            await press(pilot, "f8", "slash")
            await type_text(pilot, "rope")
            await until(pilot, lambda: "3 entries" in screen_of(app))
            await shots.take("logs", sizes=(*EVERY_SIZE, PANE), themes=BOTH)
            await type_text(pilot, "s of steel")
            await shots.take("logs-empty", sizes=(SMALL, USUAL))
            shots.check()

    run(body())


def test_a_picture_is_read_as_it_was_written(tmp_path: Path) -> None:
    async def body() -> None:
        async with running(tmp_path / "home" / "hawser", size=SMALL, clock=StillClock(NOW)) as (app, _):
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
