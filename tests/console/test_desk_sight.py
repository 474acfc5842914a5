"""Chats with images whose model cannot see."""

from __future__ import annotations

from pathlib import Path

import pytest

from console.chat.attachments import Attachment
from console.chat.question import UNSEEN
from console.chat.questions import Question
from console.errors import NoModel
from tests.conftest import run
from tests.console.desk_kit import asked, box, place, q

PIXEL = Attachment("knot.png", "image/png", b"\x89PNG\r\n\x1a\n a picture", "")


def test_an_image_for_a_model_that_cannot_see_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    async def body() -> None:
        ollama = box()
        async with place(tmp_path, ollama) as here:
            chat = here.desk.new()
            with pytest.raises(NoModel, match="cannot see images"):
                await chat.check(Question("what is this?", (PIXEL,)))
            assert ollama.requests == []
            await chat.check(q("without an image"))
            await chat.check(Question("what is this?", (PIXEL,)), model="box/llava:latest")
            await chat.check(Question("what is this?", (PIXEL,)), model="box/nobody knows it")

    run(body())


def test_images_further_up_are_left_out_for_one_that_cannot_see(tmp_path: Path) -> None:
    async def body() -> None:
        ollama = box()
        async with place(tmp_path, ollama, model="box/llava:latest") as here:
            chat = here.desk.new()
            await chat.ask(Question("what is this?", (PIXEL,)))
            await chat.settled()
            assert ollama.requests_to("/api/chat")[-1].json["messages"][0]["images"]

            await chat.set_model("box/llama3.1:8b")
            await asked(chat, "echo and now?")

            first = ollama.requests_to("/api/chat")[-1].json["messages"][0]
            assert "images" not in first
            assert first["content"].endswith(UNSEEN)
            told = [text for kind, text in here.notices() if kind == "context"]
            assert told == ["box/llama3.1:8b cannot see images: those above the question are left out."]
            assert chat.entries[-1].message.text == "and now?"

    run(body())
