"""The status line, toasts, questions during a login, and the gate at the end."""

from __future__ import annotations

import asyncio
import contextvars
import re
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pytest

from console.events import Event
from console.history import machines
from console.history.alerts import Alert
from console.links.events import LinkBlocked, LinkClosed, LinkLost, LinkUp
from console.links.questions import Challenge, Prompt
from console.machines.guard import GuardTook
from console.notify import AlertRaised
from console.overview import Overview
from console.runtime import Runtime
from providers.clouds.base import Bills
from providers.simulated.pace import Speed
from providers.simulated.services import SimulatedOllama
from screens.dialogs.confirm import ChoiceDialog, ConfirmDialog
from screens.dialogs.login import DialogAsk
from screens.widgets.status import Part, Snapshot, fitting, parts_of
from tests.conftest import run
from tests.console.money_kit import NOON, reading, record
from tests.flows.cloud_kit import cloud, only, renter
from tests.flows.kit import Hawser, Services, endpoint
from tests.screens.kit import SIZES, press, running, screen_of, text_of, toasts_of, type_text, until

CALM = Overview((), 0, (), Decimal(0), 0, Decimal(5), "nobody", ())


async def own(runtime: Runtime, **changes: Any) -> None:
    """A machine that runs, in the store."""
    order = {"recipe": "inference", "models": []}
    seen = record("gpu1", 0, reading=reading(Bills.EVERYTHING), seen_at=NOON, order=order, **changes)
    store = await runtime.store()
    await store.run(lambda connection: machines.add(connection, seen), write=True)


def words(snapshot: Snapshot) -> dict[str, str]:
    return {part.words: part.colour for part in parts_of(snapshot)}


def test_nothing_is_claimed_before_the_store_was_read() -> None:
    assert parts_of(Snapshot()) == []


@pytest.mark.parametrize(
    ("spent", "colour"), [("0", "muted"), ("3.99", "muted"), ("4.00", "warn"), ("5.00", "bad"), ("9", "bad")]
)
def test_money_turns_amber_at_four_fifths_of_the_day(spent: str, colour: str) -> None:
    shown = words(Snapshot(CALM._replace(today_usd=Decimal(spent))))

    assert shown[f"${Decimal(spent):.2f} today"] == colour


def test_links_that_are_worst_off_are_told() -> None:
    links: dict[str, Any] = {"gpu1": "up", "gpu2": "lost", "gpu3": "waiting"}

    assert words(Snapshot(links=links)) == {"⇅ gpu2 lost": "bad"}
    assert words(Snapshot(links={"gpu1": "up"})) == {"⇅ gpu1": "ok"}


def test_alerts_and_strangers_are_told() -> None:
    alert = Alert("stop:gpu1", "alarm", "It runs on.", NOON, NOON, 1, None, None)

    shown = words(Snapshot(CALM._replace(alerts=(alert,), strangers=2)))

    assert shown["▲ 1 alert"] == "bad"
    assert shown["2 strangers!"] == "warn"


def test_where_there_is_little_room_the_heaviest_parts_stay() -> None:
    parts = [Part(10, "light"), Part(90, "heavy"), Part(50, "middling")]

    assert [part.words for part in fitting(parts, 100)] == ["light", "heavy", "middling"]
    assert [part.words for part in fitting(parts, 19)] == ["heavy", "middling"]
    assert [part.words for part in fitting(parts, 8)] == ["heavy"]


@pytest.mark.parametrize("size", SIZES)
def test_a_running_machine_is_in_sight(tmp_path: Path, size: tuple[int, int]) -> None:
    async def body() -> None:
        async with running(tmp_path, size=size, before=own) as (app, pilot):
            await until(pilot, lambda: " gpu1" in text_of(app)[0])  # ready, or unknown once its account was asked for

            assert len(text_of(app)[0]) <= size[0]
            if size[0] >= 80:
                assert "$0.00 today +$0.40/h" in text_of(app)[0]

    run(body())


def test_the_app_guards_what_there_is(tmp_path: Path) -> None:
    async def body() -> None:
        heard: list[object] = []

        def listen(runtime: Runtime) -> Any:
            publish = runtime.bus.publish

            def note(event: Event) -> None:
                heard.append(event)
                publish(event)

            runtime.bus.publish = note  # type: ignore[method-assign]
            return own(runtime)

        async with running(tmp_path, before=listen) as (app, pilot):
            await until(pilot, lambda: "guards" in text_of(app)[0])

            assert any(isinstance(event, GuardTook) for event in heard)

    run(body())


def test_links_are_followed(tmp_path: Path) -> None:
    async def body() -> None:
        async with running(tmp_path) as (app, pilot):
            bus = app.runtime.bus
            bus.publish(LinkUp("gpu1"))
            await until(pilot, lambda: "⇅ gpu1" in text_of(app)[0])
            bus.publish(LinkLost("gpu1", "The line is dead."))
            await until(pilot, lambda: "gpu1 lost" in text_of(app)[0])
            bus.publish(LinkClosed("gpu1"))
            await until(pilot, lambda: "gpu1" not in text_of(app)[0])

    run(body())


def test_alerts_become_toasts_that_are_said_once_and_taken_away_with_escape(tmp_path: Path) -> None:
    async def body() -> None:
        async with running(tmp_path) as (app, pilot):
            for _ in range(3):
                app.runtime.bus.publish(AlertRaised("stop:gpu1", "alarm", "gpu1 runs on.", NOON))
            await until(pilot, lambda: toasts_of(app))
            assert toasts_of(app) == ["gpu1 runs on."]
            for number in range(5):
                app.say(f"Number {number}")
            await until(pilot, lambda: toasts_of(app) == ["Number 2", "Number 3", "Number 4"])
            assert "gpu1 runs on." not in screen_of(app)
            await press(pilot, "escape")

            assert toasts_of(app) == []

    run(body())


def test_a_blocked_link_says_what_to_do(tmp_path: Path) -> None:
    async def body() -> None:
        from console.errors import LinkUnreachable

        async with running(tmp_path) as (app, pilot):
            error = LinkUnreachable("It is gone.")
            app.runtime.bus.publish(LinkBlocked("gpu1", "It is \x1b[31mgone.", "Look for it.", error))
            await until(pilot, lambda: "Look for it." in screen_of(app))

            assert "\x1b" not in screen_of(app)

    run(body())


class Target:
    name = "gpu1"
    address = "10.0.0.1:22"


def test_what_a_login_asks_is_asked_by_dialogs(tmp_path: Path) -> None:
    async def body() -> None:
        async with running(tmp_path) as (app, pilot):
            ask = DialogAsk(app)
            target: Any = Target()
            pinning = asyncio.create_task(ask.accept_host_key(target, "SHA256:abc"))
            await until(pilot, lambda: "SHA256:abc" in screen_of(app))
            await press(pilot, "y")
            assert await pinning is True

            challenge = Challenge(("Welcome.",), (Prompt("Code:", is_shown=True), Prompt("Word:", is_shown=False)))
            answering = asyncio.create_task(ask.answers(target, challenge))
            await until(pilot, lambda: "gpu1 asks: Code:" in screen_of(app))
            await type_text(pilot, "123")
            await press(pilot, "enter")
            await until(pilot, lambda: "gpu1 asks: Word:" in screen_of(app))
            await type_text(pilot, "xyzzy")
            assert "xyzzy" not in screen_of(app)
            await press(pilot, "enter")

            assert await answering == ["123", "xyzzy"]

    run(body())


def test_a_task_that_knows_nothing_of_the_app_may_ask(tmp_path: Path) -> None:
    async def body() -> None:
        async with running(tmp_path) as (app, pilot):
            nowhere, target = contextvars.Context(), cast("Any", Target())
            pinning = asyncio.get_running_loop().create_task(
                DialogAsk(app).accept_host_key(target, "SHA256:abc"), context=nowhere
            )
            await until(pilot, lambda: "SHA256:abc" in screen_of(app))
            await press(pilot, "enter")

            assert await pinning is False

    run(body())


def test_a_question_that_is_withdrawn_goes_away(tmp_path: Path) -> None:
    async def body() -> None:
        async with running(tmp_path) as (app, pilot):
            asking = asyncio.create_task(DialogAsk(app).passphrase("/keys/mine"))
            await until(pilot, lambda: "/keys/mine" in screen_of(app))
            asking.cancel()
            await until(pilot, lambda: not app.screen.is_modal)

            assert asking.cancelled()

    run(body())


def test_leaving_asks_nothing_when_nothing_bills(tmp_path: Path) -> None:
    async def body() -> None:
        async with running(tmp_path) as (app, pilot):
            await press(pilot, "ctrl+q")
            await until(pilot, lambda: not app.is_running)

            assert app.return_value == 0

    run(body())


def test_ctrl_c_leaves_on_the_second_press(tmp_path: Path) -> None:
    async def body() -> None:
        async with running(tmp_path) as (app, pilot):
            await press(pilot, "ctrl+c")
            assert "once more" in toasts_of(app)[0]
            await press(pilot, "ctrl+c")
            await until(pilot, lambda: not app.is_running)

            assert app.return_value == 0

    run(body())


@pytest.mark.parametrize(("key", "leaves"), [("enter", False), ("escape", False), ("l", True)])
def test_leaving_says_what_bills_and_what_ends_it(tmp_path: Path, key: str, leaves: bool) -> None:
    async def body() -> None:
        async with running(tmp_path, before=own) as (app, pilot):
            await press(pilot, "ctrl+q")
            await until(pilot, lambda: isinstance(app.screen, ChoiceDialog))
            text = " ".join(screen_of(app).replace("│", " ").split())
            assert re.search(r"gpu1 is (ready|unknown), \$0\.40/h\.", text)
            assert "It is stopped after 30 min without work" in text
            await press(pilot, key)
            await until(pilot, lambda: not app.is_running if leaves else not app.screen.is_modal)

            assert app.is_running is not leaves

    run(body())


def test_a_concern_that_hangs_does_not_hold_up_the_end(tmp_path: Path) -> None:
    async def body() -> None:
        async def hangs(_app: object) -> None:
            await asyncio.Event().wait()

        async with running(tmp_path) as (app, pilot):
            app.quit_concerns.append(hangs)
            await press(pilot, "ctrl+q")
            await until(pilot, lambda: not app.is_running)

            assert app.return_value == 0

    run(body())


def test_stop_and_leave_waits_for_the_proof(tmp_path: Path) -> None:
    with Services() as services, cloud(services) as twin:
        user = renter(tmp_path / "user", twin)
        new = user.run("vm", "new", "gpu1", "--yes", "--wait", limit_s=60)
        assert new.code == 0, new.err

        async def body() -> None:
            async with running(user.home, environment=user.env) as (app, pilot):
                await press(pilot, "ctrl+q")
                await until(pilot, lambda: "Stop gpu1 and leave" in screen_of(app))
                await press(pilot, "s")
                await until(pilot, lambda: not app.is_running)

                assert app.return_value == 0

        run(body())
        services.do(twin.settle())
        assert only(twin).phase.value == "stopped"


def test_consequences_are_read_before_a_confirmation(tmp_path: Path) -> None:
    async def body() -> None:
        async with running(tmp_path, size=(40, 15)) as (app, pilot):
            await app.push_screen(ConfirmDialog("Destroy", [f"Line {number}." for number in range(30)], "Destroy it"))
            await until(pilot, lambda: "Destroy it" in screen_of(app))

            assert "Line 0." in screen_of(app)
            assert "Leave it" in screen_of(app)

    run(body())


def test_an_answer_that_comes_is_in_sight_and_said_before_leaving(tmp_path: Path) -> None:
    with Services() as services:
        ollama = services.start(SimulatedOllama(speed=Speed(tokens_per_second=20)))
        written = Hawser(tmp_path / "user").settings(endpoint("box", ollama), model="box/llama3.1:8b")

        async def body() -> None:
            async with running(written.home, environment=written.env) as (app, pilot):
                await type_text(pilot, "Tell me all about ropes")
                await press(pilot, "enter")
                await until(pilot, lambda: "tok/s" in text_of(app)[0])
                await press(pilot, "ctrl+q")
                await until(pilot, lambda: "An answer is still coming." in screen_of(app))
                await press(pilot, "escape")
                await until(pilot, lambda: not app.screen.is_modal)
                assert app.runtime.desk.busy
                await press(pilot, "ctrl+q")
                await until(pilot, lambda: app.screen.is_modal)
                await press(pilot, "l")
                await until(pilot, lambda: not app.is_running)

                assert app.return_value == 0

        run(body())
        services.until_idle(ollama)
        answer = written.last_answer()
        assert answer.state == "stopped"
        assert answer.text
