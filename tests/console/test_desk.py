"""Chats that are open: asking, stopping, waiting in line, editing, asking again, and branches."""

from __future__ import annotations

from pathlib import Path

from console.chat.news import AnswerGrew, ChatChanged
from console.chat.questions import Question
from providers.simulated.services import FaultKind
from tests.conftest import run
from tests.console.desk_kit import asked, box, place, q, said


def test_a_question_is_kept_and_answered(tmp_path: Path) -> None:
    async def body() -> None:
        async with place(tmp_path, box()) as here:
            chat = here.desk.new()
            assert (chat.id, chat.entries, chat.is_busy) == (None, (), False)

            await chat.ask(q("echo a rope"))

            assert here.rows("SELECT role, state FROM messages ORDER BY seq") == [
                ("user", "complete"),
                ("assistant", "streaming"),
            ]
            assert here.desk.busy == (chat,)
            await chat.settled()

            assert said(chat) == [("user", "complete", "echo a rope"), ("assistant", "complete", "a rope")]
            assert [(entry.sibling, entry.siblings) for entry in chat.entries] == [(1, 1), (1, 1)]
            assert chat.title == "echo a rope"
            assert not chat.lives
            assert not here.desk.busy
            assert here.told(AnswerGrew)
            assert here.told(ChatChanged)
            store = await here.store()
            stored = await store.path(chat.id or "", contents=False)
            shown = [entry.message for entry in chat.entries]
            assert [each._replace(ended_at=None) for each in stored] == [each._replace(ended_at=None) for each in shown]

    run(body())


def test_a_stop_ends_the_request_at_the_other_side_and_keeps_what_came(tmp_path: Path) -> None:
    async def body() -> None:
        ollama = box()
        ollama.faults.always(FaultKind.ENDLESS)
        async with place(tmp_path, ollama) as here:
            chat = here.desk.new()
            await chat.ask(q("go on for ever"))
            await here.until(lambda: any(live.text for live in chat.lives.values()))
            assert ollama.running_requests == 1

            assert (await chat.stop()).answers == 1
            await chat.settled()

            await ollama.until_idle()
            assert (ollama.running_requests, ollama.cancelled_requests) == (0, 1)
            (_, answer) = said(chat)
            assert answer[1] == "stopped"
            assert answer[2]
            assert not await chat.stop()
            assert here.rows("SELECT state FROM messages WHERE role = 'assistant'") == [("stopped",)]
            assert here.rows("SELECT outcome FROM ledger") == [("stopped",)]

    run(body())


def test_a_question_waits_for_its_turn(tmp_path: Path) -> None:
    async def body() -> None:
        ollama = box()
        async with place(tmp_path, ollama) as here:
            chat = here.desk.new()

            await chat.ask(q("echo one"))
            await chat.ask(q("echo two"))
            await chat.ask(q("echo three"))

            assert chat.waiting == (q("echo two"), q("echo three"))
            await here.until(lambda: not chat.waiting and not chat.is_busy)
            assert [text for _, _, text in said(chat)] == ["echo one", "one", "echo two", "two", "echo three", "three"]
            assert here.rows("SELECT count(*) FROM drafts") == [(0,)]

    run(body())


def test_edit_and_regenerate_make_siblings_to_step_through(tmp_path: Path) -> None:
    async def body() -> None:
        async with place(tmp_path, box()) as here:
            chat = here.desk.new()
            await asked(chat, "echo one", "echo two")
            first, answer, *_ = [entry.message.id for entry in chat.entries]

            await chat.edit(first, "echo uno")
            await chat.settled()
            assert [text for _, _, text in said(chat)] == ["echo uno", "uno"]
            assert [(entry.sibling, entry.siblings) for entry in chat.entries] == [(2, 2), (1, 1)]

            await chat.regenerate(chat.entries[1].message.id)
            await chat.settled()
            assert [(entry.sibling, entry.siblings) for entry in chat.entries] == [(2, 2), (2, 2)]
            assert here.rows("SELECT count(*) FROM messages WHERE role = 'user'") == [(3,)]

            await chat.step(chat.entries[0].message.id, -1)
            assert [text for _, _, text in said(chat)] == ["echo one", "one", "echo two", "two"]
            assert chat.entries[1].message.id == answer
            again = await here.desk.open(chat.id or "")
            assert again is chat

    run(body())


def test_material_and_attachments_stay_with_an_edited_question(tmp_path: Path) -> None:
    from console.chat.attachments import Attachment

    async def body() -> None:
        ollama = box()
        async with place(tmp_path, ollama) as here:
            chat = here.desk.new()
            note = Attachment("note.txt", "text/plain", b"hawser", "hawser")
            await chat.ask(Question("read this", (note,), "and this"))
            await chat.settled()

            await chat.edit(chat.entries[0].message.id, "read it again")
            await chat.settled()

            sent = [request.json["messages"][-1]["content"] for request in ollama.requests if request.json]
            assert "and this" in sent[0]
            assert "hawser" in sent[0]
            assert "read it again" in sent[1]
            assert "hawser" in sent[1]

    run(body())
