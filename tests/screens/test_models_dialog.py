"""The list of models over simulated services: what it shows before and after they answer, and what choosing does."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.widgets import Input

from console.history import machines
from console.runtime import Runtime
from providers.clouds.base import Bills, State
from providers.simulated.services import SimulatedAnthropic, SimulatedOllama, SimulatedOpenAI
from screens.dialogs.models import ModelsDialog, Offer
from screens.widgets.rows import Rows
from tests.conftest import run
from tests.console.money_kit import reading, record
from tests.screens.room_kit import RoomKit, box, room

GPU1 = '[machines.gpu1]\ncloud = "vast"\ngpu = "RTX 4090"\nrecipe = "inference"\nmodels = ["qwen3:8b"]\n'
CHAIN = '[aliases]\n"gpt-4" = ["box/qwen3:8b", "hosted/gpt-4.1"]\n'


def here(r: RoomKit) -> str:
    """The name that the cursor is on."""
    row = r.app.screen.query_one(Rows).cursor
    return row.row.name if isinstance(row, Offer) else ""


async def open_list(r: RoomKit) -> None:
    await r.press("ctrl+l")
    await r.until(lambda: isinstance(r.app.screen, ModelsDialog) and r.app.screen.query(Rows))


async def asked_all(r: RoomKit) -> None:
    """Everybody has answered, or will not."""
    on_hand = await r.app.runtime.on_hand()

    def is_over() -> bool:
        groups = on_hand.latest.groups.values()  # they are known before anybody is asked
        return any(g.since is not None for g in groups) and not any(g.is_being_asked for g in groups)

    await r.until(is_over)
    await r.sees_no("asking …")


async def put_off(runtime: Runtime) -> None:
    """A rented machine that was seen stopped."""
    off = record(cloud="vast", reading=reading(Bills.DISK)._replace(state=State.STOPPED))
    await (await runtime.store()).run(lambda c: machines.add(c, off), write=True)


def test_the_list_tells_where_each_model_is_and_how_it_stands(tmp_path: Path) -> None:
    async def body() -> None:
        services = box(), SimulatedOllama("shed"), SimulatedOpenAI("hosted"), SimulatedAnthropic("claude")
        settings = f"{GPU1}{CHAIN}"
        async with room(tmp_path, *services, settings=settings, prices=["hosted", "claude"], before=put_off) as r:
            await r.say("echo aye")
            await services[1].close_door()
            await open_list(r)
            await asked_all(r)
            await r.sees("gpu1  machine · off · up in about", "· $0.40/h")
            await r.sees("box  here", "● llama3.1:8b", "○ mistral:7b", "7.2B", "4.4 GB", "32k")
            await r.sees("shed  here · no answer")
            await r.sees("used lately", "● box/llama3.1:8b")
            assert here(r) == "box/llama3.1:8b"
            await r.press("end")
            await r.press("ctrl+end")
            await r.sees("hosted  paid by the token", "images", "$2 / $8 per M")
            await r.sees("claude  paid by the token", "aliases and routes", "box/qwen3:8b → hosted/gpt-4.1")

            # The shed comes back while the list is open.
            await services[1].open_door()
            await r.press("ctrl+r")
            await asked_all(r)
            await r.press("ctrl+home")
            await r.until(lambda: "shed  here\n" in "\n".join(line.strip("│ ▁▂▃▄▅▆▇█") + "\n" for line in lines_of(r)))

    run(body())


def lines_of(r: RoomKit) -> list[str]:
    return r.screen.splitlines()


def test_typing_finds_and_enter_switches_inside_the_chat(tmp_path: Path) -> None:
    async def body() -> None:
        ollama, hosted = box(), SimulatedOpenAI("hosted")
        async with room(tmp_path, ollama, hosted, prices=["hosted"]) as r:
            await r.say("echo one")
            await open_list(r)
            await asked_all(r)
            await r.type("gp41")
            await r.sees("hosted/gpt-4.1")
            await r.sees_no("mistral")
            await r.press("ctrl+u", *"zzz")
            await r.sees("No name has that in it.")
            await r.press("ctrl+u", *"gpt-4.1", "enter")
            await r.until(lambda: r.chat.model == "hosted/gpt-4.1")
            await r.say("echo two")

            assert [item.head.partition(" · ")[0] for item in r.items[1::2]] == ["llama3.1:8b", "gpt-4.1-2025-04-14"]
            assert r.texts[-1] == "two"
            sent = [request.json for request in hosted.requests if "chat" in request.path][-1]
            assert [turn["content"] for turn in sent["messages"]] == ["echo one", "one", "echo two"]
            assert r.rows("SELECT model FROM chats") == [("hosted/gpt-4.1",)]
            await open_list(r)
            assert here(r) == "hosted/gpt-4.1"
            await r.press("escape")
            await r.until(lambda: not r.app.screen.is_modal)
            assert r.chat.model == "hosted/gpt-4.1"

    run(body())


def test_choosing_says_what_will_happen_without_asking_anybody(tmp_path: Path) -> None:
    async def body() -> None:
        ollama, shed = box(), SimulatedOllama("shed")
        async with room(tmp_path, ollama, shed, settings=GPU1, before=put_off) as r:
            await open_list(r)
            await asked_all(r)
            await r.type("gpu1")
            await r.sees("gpu1 is off: the first question starts it, which takes about", "for $0.40/h.")
            await r.press("enter")
            await r.told("gpu1 is off: the first question starts it")
            await r.until(lambda: r.chat.model == "gpu1/qwen3:8b")

            await shed.close_door()
            await open_list(r)
            await asked_all(r)
            await r.type("shed mistral")
            await r.press("enter")
            await r.told("shed did not answer when it was last asked")
            await r.until(lambda: r.chat.model == "shed/mistral:7b")

            asked = len(ollama.requests)
            await r.write("/model llama3.1")
            await r.press("escape", "enter")
            await r.told("on no endpoint")
            await r.told("Did you mean box/llama3.1:8b")
            assert r.chat.model == "shed/mistral:7b"
            assert len(ollama.requests) > asked  # it might have come since
            await r.write("/model box/llama3.1:8b")
            await r.press("escape", "enter")
            await r.until(lambda: r.chat.model == "box/llama3.1:8b")

    run(body())


@pytest.mark.parametrize("size", [(80, 24), (40, 15)])
def test_the_list_fits_every_terminal_and_a_click_chooses(tmp_path: Path, size: tuple[int, int]) -> None:
    async def body() -> None:
        async with room(tmp_path, box(), SimulatedOpenAI("hosted"), prices=["hosted"], size=size) as r:
            await open_list(r)
            await asked_all(r)
            await r.sees("box/llama3.1:8b" if size[1] > 15 else "llama3.1:8b", "Enter takes it")
            dialog = r.app.screen
            assert isinstance(dialog, ModelsDialog)
            rows = dialog.query_one(Rows)
            assert rows.size.height >= 5
            shown = next(number for number in rows.in_sight if isinstance(rows.rows[number], Offer) and number > 2)
            await r.pilot.click(rows, offset=(6, shown - rows.scroll_offset.y))
            await r.until(lambda: r.chat.model is not None)
            assert (await r.app.runtime.on_hand()).latest.find(r.chat.model or "") is not None

    run(body())


def test_without_any_endpoint_the_list_says_what_to_do(tmp_path: Path) -> None:
    async def body() -> None:
        async with room(tmp_path, model="x/y") as r:
            await open_list(r)
            await r.sees("aliases and routes", "auto")
            await r.press("escape")
            await r.until(lambda: not r.app.screen.is_modal)
            assert not r.app.query(Input) or r.room.composer.has_focus_within

    run(body())
