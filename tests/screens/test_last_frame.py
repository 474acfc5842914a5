"""The frame that the next start begins with: what is on screen, unless that is to leave no trace."""

from __future__ import annotations

from pathlib import Path

from console.chat.drafts import Draft
from screens.app import HawserApp
from screens.chat import ChatRoom
from tests.conftest import run
from tests.screens.kit import press, running, until


def room_of(app: HawserApp) -> ChatRoom:
    assert isinstance(app.screen, ChatRoom)
    return app.screen


def content_of(frame: bytes) -> str:
    return frame.partition(b"\n")[2].decode()


def test_frame_is_what_is_on_screen(tmp_path: Path) -> None:
    async def body() -> None:
        async with running(tmp_path) as (app, pilot):
            await until(pilot, lambda: room_of(app).chat is not None)
            room_of(app).composer.set_draft(Draft("a word in public"))
            await until(pilot, lambda: "a word in public" in content_of(app.frame()))

            assert app.frame().startswith(b"hawser-screen 1 120x40 ")

    run(body())


def test_chat_off_the_record_leaves_only_colours(tmp_path: Path) -> None:
    async def body() -> None:
        async with running(tmp_path) as (app, pilot):
            await until(pilot, lambda: room_of(app).chat is not None)

            await press(pilot, "alt+n")
            await until(pilot, lambda: room_of(app).is_private)

            assert content_of(app.frame()) == ""
            assert b"#10161d" in app.frame()

    run(body())
