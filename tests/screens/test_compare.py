"""One question to several models, side by side: marked, asked, watched, stopped, kept, and looked at again later."""

from __future__ import annotations

from pathlib import Path

import pytest

from providers.simulated.services import FaultKind, SimulatedOllama, SimulatedOpenAI, Speed
from screens.compare import Column, CompareScreen, Standings
from screens.dialogs.details import DetailsDialog
from screens.dialogs.several import SeveralDialog
from screens.widgets.rows import Rows
from tests.conftest import run
from tests.screens.room_kit import RoomKit, box, room


async def mark(r: RoomKit, *names: str) -> SeveralDialog:
    """Open the list with what is written, and mark these beside the chat's own model."""
    await r.press("ctrl+k")
    await r.until(lambda: isinstance(r.app.screen, SeveralDialog) and r.app.screen.query(Rows))
    dialog = r.app.screen
    assert isinstance(dialog, SeveralDialog)
    on_hand = await r.app.runtime.on_hand()
    await r.until(lambda: all(on_hand.latest.find(name) for name in names))
    await r.until(lambda: not any(each.is_being_asked for each in on_hand.latest.groups.values()))
    for name in names:
        await r.press("ctrl+u", *name, "tab")
    await r.until(lambda: all(name in dialog.marked for name in names))
    return dialog


async def compared(r: RoomKit, *names: str) -> CompareScreen:
    await mark(r, *names)
    await r.press("enter")
    return await side_by_side(r)


async def side_by_side(r: RoomKit) -> CompareScreen:
    await r.until(lambda: isinstance(r.app.screen, CompareScreen) and r.app.screen.query(Column))
    screen = r.app.screen
    assert isinstance(screen, CompareScreen)
    await r.settle(4)
    return screen


def shown(screen: CompareScreen) -> list[int]:
    return [column.number for column in screen.query(Column) if column.display]


async def back(r: RoomKit) -> None:
    await r.until(lambda: r.app.screen is r.room)


def test_they_stream_side_by_side_are_stopped_and_one_is_kept(tmp_path: Path) -> None:
    async def body() -> None:
        services = [SimulatedOllama(name, speed=Speed(tokens_per_second=40)) for name in ("box", "shed", "loft")]
        for service in services:
            service.faults.once(FaultKind.ENDLESS)
        async with room(tmp_path, *services) as r:
            await r.press("ctrl+k")
            await r.sees("Write the question first; then Ctrl+K asks several models at once.")
            await r.write("which knot?")
            dialog = await mark(r, "shed/phi3:latest", "loft/mistral:7b")
            await r.sees("3 of 6 marked: box/llama3.1:8b, shed/phi3:latest, loft/mistral:7b", " ✓")
            assert dialog.marked == ["box/llama3.1:8b", "shed/phi3:latest", "loft/mistral:7b"]
            await r.press("enter")
            screen = await side_by_side(r)
            assert r.written == ""
            await r.sees("which knot?", "▸ 1  llama3.1:8b", "2  phi3:latest", "3  mistral:7b", "tok/s", "tokens")
            assert [service.running_requests for service in services] == [1, 1, 1]
            assert shown(screen) == [1, 2, 3]

            # A storm of sizes while they stream: as many columns as fit, the current one among them.
            for width, columns in ((80, [1, 2]), (50, [1]), (120, [1, 2, 3]), (75, [1, 2])):
                await r.pilot.resize_terminal(width, 24)
                await r.until(lambda columns=columns: shown(screen) == columns)  # type: ignore[misc]
            await r.press("right", "right")
            assert shown(screen) == [2, 3]
            await r.sees("▸ 3  mistral:7b")
            await r.press("tab")
            await r.sees("▸ 1  llama3.1:8b")
            assert r.app.screen is screen

            await r.press("ctrl+c")
            for service in services:
                await service.until_idle()
            await r.sees("stopped")
            await r.until(lambda: not r.chat.is_busy)
            await r.press("l")
            await r.sees("▸ 2  phi3:latest")
            texts = [message.text for message in r.chat.siblings(r.chat.entries[1].message.id)]
            assert all(texts)
            await r.press("enter")
            await back(r)
            await r.until(lambda: r.texts == ["which knot?", texts[1]])
            assert (r.items[1].sibling, r.items[1].siblings) == (2, 3)

            # Later: the same again, from the kept one; Esc changes nothing.
            await r.go_to(-1)
            await r.press("=")
            screen = await side_by_side(r)
            await r.sees("▸ 2  phi3:latest", "stopped")
            await r.press("left", "escape")
            await back(r)
            assert r.texts == ["which knot?", texts[1]]
            assert r.rows("SELECT count(*) FROM messages") == [(4,)]

    run(body())


def test_one_that_fails_or_is_refused_says_so_and_hurts_nobody(tmp_path: Path) -> None:
    async def body() -> None:
        good, bad, paid = box(), SimulatedOllama("bad"), SimulatedOpenAI("paid")
        bad.faults.always(FaultKind.MODEL_GONE)
        settings = "[budget]\nday_usd = 0.000001"
        async with room(tmp_path, good, bad, paid, settings=settings, prices=["paid"]) as r:
            await r.write("echo aye")
            screen = await compared(r, "bad/phi3:latest", "paid/gpt-4.1")
            await r.until(lambda: not r.chat.is_busy)
            await r.sees("failed: ", "budget", "aye", "first")
            standings = r.screen.splitlines()[2:5]
            assert "first" in standings[0]
            assert "$0" in standings[0]
            assert "bad/phi3:latest" in standings[1] or "phi3:latest" in standings[1]
            assert "failed" in standings[1]
            assert "budget" in standings[2]
            assert [request.path for request in paid.requests if "chat" in request.path] == []

            # What is done to messages of a chat is not done here.
            await r.press("e", "r", "t", "w", "w")
            assert r.app.screen is screen
            await r.press("i")
            await r.until(lambda: isinstance(r.app.screen, DetailsDialog))
            await r.press("escape")
            await r.until(lambda: r.app.screen is screen)
            assert len(r.chat.siblings(r.chat.entries[1].message.id)) == 3

            # By mouse: a line of the standings, then a column.
            await r.pilot.click(screen.query_one(Standings), offset=(5, 1))
            await r.sees("▸ 2")
            await r.pilot.click(next(iter(screen.query(Column))).transcript, offset=(5, 3))
            await r.sees("▸ 1")
            await r.press("ctrl+c")  # nothing arrives: back
            await back(r)
            assert r.texts == ["echo aye", "aye"]

    run(body())


def test_marks_have_a_limit_and_one_alone_is_no_comparison(tmp_path: Path) -> None:
    async def body() -> None:
        async with room(tmp_path, box(), size=(80, 24)) as r:
            await r.write("echo aye")
            marking = await mark(r)
            await r.until(lambda marking=marking: len(marking.all_rows) > 8)  # type: ignore[misc]  # all that the endpoint has
            await r.press("enter")
            await r.told("Mark two or more with Tab, then Enter.")
            await r.press("down", *["tab"] * 6)
            await r.told("6 at once are the most.")
            dialog = r.app.screen
            assert isinstance(dialog, SeveralDialog)
            assert len(dialog.marked) == 6
            await r.press("escape")
            await back(r)
            assert r.written == "echo aye"

            # With one mark the row under the cursor is the other.
            marking = await mark(r)
            await r.until(lambda marking=marking: len(marking.all_rows) > 8)  # type: ignore[misc]  # all that the endpoint has
            await r.press(*"phi3", "enter")
            await side_by_side(r)
            await r.until(lambda: not r.chat.is_busy)
            assert [each.model for each in r.chat.siblings(r.chat.entries[1].message.id)] == [
                "llama3.1:8b",
                "phi3:latest",
            ]

    run(body())


def test_while_an_answer_arrives_a_comparison_waits_for_its_turn(tmp_path: Path) -> None:
    async def body() -> None:
        ollama = SimulatedOllama("box", speed=Speed(tokens_per_second=200))
        ollama.faults.once(FaultKind.ENDLESS)
        async with room(tmp_path, ollama) as r:
            await r.ask("go on for ever")
            await r.streams()
            await r.write("echo aye")
            await mark(r, "box/phi3:latest")
            await r.press("enter")
            await r.told("They are asked when this answer has ended")
            assert r.app.screen is r.room
            assert [question.text for question in r.chat.waiting] == ["echo aye"]
            await r.press("escape")
            await r.until(lambda: not r.chat.is_busy)
            await r.chat.send_waiting()
            await r.until(lambda: r.texts[-1] == "aye" and not r.chat.is_busy)
            assert r.items[-1].siblings == 2

    run(body())


@pytest.mark.parametrize("size", [(80, 24), (200, 60)])
def test_words_can_be_found_and_enter_there_does_not_keep(tmp_path: Path, size: tuple[int, int]) -> None:
    async def body() -> None:
        async with room(tmp_path, box(), size=size) as r:
            await r.write("say 60 tokens")
            screen = await compared(r, "box/phi3:latest")
            await r.until(lambda: not r.chat.is_busy)
            await r.press("slash", *"the", "enter")
            assert r.app.screen is screen
            await r.press("enter")
            await back(r)

    run(body())
