"""One question to several models, and what a question would cost."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from console.chat.attachments import Attachment
from console.chat.questions import Question
from console.errors import ConsoleError
from providers.simulated.services import FaultKind, SimulatedOllama, SimulatedOpenAI
from tests.conftest import run
from tests.console.desk_kit import asked, box, place, q, said


def test_several_models_answer_one_question_and_one_is_kept(tmp_path: Path) -> None:
    async def body() -> None:
        one, two = box(), SimulatedOllama("other")
        for service in (one, two):
            service.faults.once(FaultKind.ENDLESS)
        async with place(tmp_path, one, two) as here:
            chat = here.desk.new()
            await chat.compare(q("which knot?"), ["box/llama3.1:8b", "other/phi3:latest"])
            await here.until(lambda: all(live.text for live in chat.lives.values()))
            assert (one.running_requests, two.running_requests) == (1, 1)
            assert [live.endpoint for live in chat.lives.values()] == ["box", "other"]
            assert [(entry.sibling, entry.siblings) for entry in chat.entries] == [(1, 1), (1, 2)]
            first, second = chat.siblings(chat.entries[1].message.id)

            assert (await chat.stop()).answers == 2
            await chat.settled()
            assert [each.state for each in chat.siblings(first.id)] == ["stopped", "stopped"]

            await chat.keep(second.id)
            await asked(chat, "echo and then")
            assert [entry.message.id for entry in chat.entries][1] == second.id
            assert said(chat)[-1][2] == "and then"
            assert here.rows("SELECT count(*) FROM messages WHERE role = 'user'") == [(2,)]

    run(body())


def test_one_that_fails_does_not_hurt_the_others(tmp_path: Path) -> None:
    async def body() -> None:
        good, bad = box(), SimulatedOllama("bad")
        bad.faults.always(FaultKind.MODEL_GONE)
        async with place(tmp_path, good, bad) as here:
            chat = here.desk.new()
            await chat.compare(q("echo aye"), ["box/llama3.1:8b", "bad/llama3.1:8b", "nowhere/x"])
            await chat.ask(q("echo next"))
            await here.until(lambda: not chat.is_busy)

            answers = chat.siblings(chat.entries[1].message.id)
            assert [each.state for each in answers] == ["complete", "failed", "failed"]
            assert [text for _, _, text in said(chat)] == ["echo aye", "aye", "echo next", "next"]

    run(body())


def test_a_budget_that_is_spent_refuses_what_costs_and_no_more(tmp_path: Path) -> None:
    async def body() -> None:
        free, paid = box(), SimulatedOpenAI("paid")
        settings = "[budget]\nday_usd = 0.000001"
        async with place(tmp_path, free, paid, settings=settings, prices=["paid"]) as here:
            chat = here.desk.new()
            await chat.compare(q("echo aye"), ["box/llama3.1:8b", "paid/gpt-4.1"])
            await chat.settled()

            mine, refused = chat.siblings(chat.entries[1].message.id)
            assert (mine.state, refused.state) == ("complete", "failed")
            assert "budget" in (refused.error or "")
            assert [request.path for request in paid.requests if "chat" in request.path] == []

    run(body())


def test_comparing_nobody_is_refused(tmp_path: Path) -> None:
    async def body() -> None:
        async with place(tmp_path, box()) as here:
            chat = here.desk.new()
            with pytest.raises(ConsoleError, match="No model"):
                await chat.compare(q("which?"), [])
            assert chat.entries == ()

    run(body())


def test_an_estimate_counts_all_that_would_be_sent(tmp_path: Path) -> None:
    async def body() -> None:
        ollama, paid = box(), SimulatedOpenAI("paid")
        async with place(tmp_path, ollama, paid, prices=["paid"]) as here:
            chat = here.desk.new()
            empty = await chat.estimate(q(""))
            await asked(chat, "say 50 tokens")
            after = await chat.estimate(q(""))
            longer = await chat.estimate(q("rope " * 100))
            note = Attachment("note.txt", "text/plain", b"", "hawser " * 1000)
            attached = await chat.estimate(Question("", (note,), "cable " * 1000))
            hosted = await chat.estimate(q("hello"), model="paid/gpt-4.1")
            nobody = await chat.estimate(q("hello"), model="nowhere/x")

            assert empty.tokens < 10 < after.tokens
            assert 80 < longer.tokens - after.tokens < 160
            assert attached.tokens - after.tokens > 2000
            assert after.cost_usd == Decimal(0)
            assert hosted.cost_usd is not None
            assert hosted.cost_usd > 0
            assert (hosted.window_tokens or 0) > 100_000
            assert (nobody.window_tokens, nobody.cost_usd) == (None, None)

            await chat.exclude(chat.entries[0].message.id, True)
            assert (await chat.estimate(q(""))).tokens == empty.tokens

    run(body())
