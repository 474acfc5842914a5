"""Chats that are open: asking, stopping, waiting in line, editing, asking again, and branches."""

from __future__ import annotations

from pathlib import Path

import pytest

from console.chat.news import AnswerGrew, ChatChanged
from console.chat.questions import Question
from console.errors import ConsoleError, NotFound
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
            assert [each.key for each in here.desk.busy] == [chat.key]
            await chat.settled()

            assert said(chat) == [("user", "complete", "echo a rope"), ("assistant", "complete", "a rope")]
            assert [(entry.sibling, entry.siblings) for entry in chat.entries] == [(1, 1), (1, 1)]
            assert chat.title == "echo a rope"
            assert not chat.lives
            assert len(here.desk.busy) == 0
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


def test_a_stopped_answer_goes_on_in_the_same_message(tmp_path: Path) -> None:
    async def body() -> None:
        ollama = box()
        ollama.faults.once(FaultKind.ENDLESS)
        async with place(tmp_path, ollama) as here:
            chat = here.desk.new()
            await chat.ask(q("go on for ever"))
            await here.until(lambda: any(live.text for live in chat.lives.values()))
            await chat.stop()
            await chat.settled()
            half = chat.entries[1].message

            await chat.go_on(half.id)
            live = chat.lives[half.id]
            assert live.since()[0] == half.text
            await chat.settled()

            whole = chat.entries[1].message
            assert (whole.id, whole.state, len(chat.entries)) == (half.id, "complete", 2)
            assert whole.text.startswith(half.text)
            assert len(whole.text) > len(half.text)
            assert (whole.output_tokens or 0) > (half.output_tokens or 0)
            store = await here.store()
            assert (await store.message(whole.id)).text == whole.text
            assert (await store.message(whole.id)).output_tokens == whole.output_tokens
            sent = [request.json["messages"] for request in ollama.requests if request.path == "/api/chat"][-1]
            assert [message["role"] for message in sent] == ["user", "assistant", "user"]
            assert sent[1]["content"] == half.text
            assert here.rows("SELECT outcome FROM ledger ORDER BY seq") == [("stopped",), ("complete",)]

    run(body())


def test_excluded_turns_are_not_sent(tmp_path: Path) -> None:
    async def body() -> None:
        ollama = box()
        async with place(tmp_path, ollama) as here:
            chat = here.desk.new()
            await asked(chat, "echo one", "echo two")

            await chat.exclude(chat.entries[1].message.id, True)
            await asked(chat, "echo three")

            assert [entry.message.excluded for entry in chat.entries] == [True, True, False, False, False, False]
            sent = [request.json["messages"] for request in ollama.requests if request.path == "/api/chat"][-1]
            assert [message["content"] for message in sent] == ["echo two", "two", "echo three"]

            await chat.exclude(chat.entries[0].message.id, False)
            await asked(chat, "echo four")
            sent = [request.json["messages"] for request in ollama.requests if request.path == "/api/chat"][-1]
            assert len(sent) == 7

    run(body())


def test_model_instruction_and_parameters_are_the_chats_own(tmp_path: Path) -> None:
    async def body() -> None:
        ollama = box()
        async with place(tmp_path, ollama) as here:
            chat = here.desk.new()
            await chat.set_model("box/phi3:latest")
            await chat.set_system("Be brief.", "bosun")
            await chat.set_params({"temperature": 0.5, "max_tokens": 7})
            await chat.rename("About rope")
            await asked(chat, "hello")
            await chat.set_params({"temperature": 0.1})
            await asked(chat, "hello")

            first, second = [request.json for request in ollama.requests if request.path == "/api/chat"]
            assert (first["model"], first["messages"][0]) == ("phi3:latest", {"role": "system", "content": "Be brief."})
            assert (first["options"]["temperature"], first["options"]["num_predict"]) == (0.5, 7)
            assert second["options"]["temperature"] == 0.1
            assert "num_predict" not in second["options"]
            stored = await (await here.store()).chat(chat.id or "")
            assert (stored.title, stored.titled_by, stored.model) == ("About rope", "person", "box/phi3:latest")
            assert (stored.system, stored.persona, stored.params) == ("Be brief.", "bosun", {"temperature": 0.1})

    run(body())


def test_a_question_nobody_can_answer_is_kept_with_the_reason(tmp_path: Path) -> None:
    async def body() -> None:
        async with place(tmp_path, box()) as here:
            chat = here.desk.new()

            await chat.ask(q("hello"), model="nowhere/at-all")
            await chat.settled()

            (_, answer) = chat.entries
            assert (answer.message.state, answer.message.error) == (
                "failed",
                "The model 'nowhere/at-all' is on no endpoint.",
            )
            assert ("failed", answer.message.error) in here.notices()
            assert here.rows("SELECT state, error FROM messages WHERE role = 'assistant'") == [
                ("failed", answer.message.error)
            ]
            assert here.rows("SELECT * FROM ledger") == []

            await chat.regenerate(answer.message.id)
            await chat.settled()
            assert (chat.entries[1].message.state, chat.entries[1].siblings) == ("complete", 2)

    run(body())


def test_a_failure_holds_what_waits(tmp_path: Path) -> None:
    async def body() -> None:
        ollama = box()
        ollama.faults.once(FaultKind.MODEL_GONE)
        async with place(tmp_path, ollama) as here:
            chat = here.desk.new()
            await chat.ask(q("echo one"))
            await chat.ask(q("echo two"))
            await chat.settled()

            assert (chat.waiting, chat.is_held, chat.is_busy) == ((q("echo two"),), True, False)

            await chat.send_waiting()
            await here.until(lambda: not chat.is_busy)
            assert [state for _, state, _ in said(chat)] == ["complete", "failed", "complete", "complete"]

    run(body())


def test_a_stop_holds_what_waits_and_a_second_gives_it_back(tmp_path: Path) -> None:
    async def body() -> None:
        ollama = box()
        ollama.faults.once(FaultKind.ENDLESS)
        async with place(tmp_path, ollama) as here:
            chat = here.desk.new()
            await chat.ask(q("go on for ever"))
            await chat.ask(q("echo two"))
            await here.until(lambda: any(live.text for live in chat.lives.values()))

            first = await chat.stop()
            second = await chat.stop()

            assert (first.answers, first.waiting) == (1, ())
            assert (second.answers, second.waiting) == (0, (q("echo two"),))
            await chat.settled()
            assert here.rows("SELECT count(*) FROM drafts") == [(0,)]
            assert len(chat.entries) == 2

    run(body())


def test_what_is_asked_after_a_stop_is_asked(tmp_path: Path) -> None:
    async def body() -> None:
        ollama = box()
        ollama.faults.once(FaultKind.ENDLESS)
        async with place(tmp_path, ollama) as here:
            chat = here.desk.new()
            await chat.ask(q("go on for ever"))
            await here.until(lambda: any(live.text for live in chat.lives.values()))

            await chat.stop()
            await chat.ask(q("echo rather this"))
            await here.until(lambda: not chat.is_busy)

            assert [state for _, state, _ in said(chat)] == ["complete", "stopped", "complete", "complete"]
            assert said(chat)[-1][2] == "rather this"

    run(body())


def test_what_is_asked_keeps_its_order(tmp_path: Path) -> None:
    async def body() -> None:
        ollama = box()
        ollama.faults.once(FaultKind.ENDLESS)
        async with place(tmp_path, ollama) as here:
            chat = here.desk.new()
            await chat.ask(q("go on for ever"))
            await here.until(lambda: any(live.text for live in chat.lives.values()))
            await chat.stop()
            await chat.ask(q("echo one"))
            await here.until(lambda: not chat.lives)
            await chat.ask(q("echo two"))
            await chat.ask(q("echo three"))
            await chat.settled()

            assert [text for role, _, text in said(chat) if role == "user"][1:] == [
                "echo one",
                "echo two",
                "echo three",
            ]
            assert [text for role, _, text in said(chat) if role == "assistant"][1:] == ["one", "two", "three"]

    run(body())


def test_a_stop_before_the_first_step_asks_nobody(tmp_path: Path) -> None:
    async def body() -> None:
        ollama = box()
        async with place(tmp_path, ollama) as here:
            chat = here.desk.new()
            await chat.ask(q("hello"))
            await chat.stop()
            await chat.settled()

            assert chat.entries[1].message.state == "stopped"
            assert here.rows("SELECT state FROM messages WHERE role = 'assistant'") == [("stopped",)]
            assert [request.path for request in ollama.requests] == []

    run(body())


def test_a_branch_is_cut_with_all_below_it(tmp_path: Path) -> None:
    async def body() -> None:
        async with place(tmp_path, box()) as here:
            chat = here.desk.new()
            await asked(chat, "echo one", "echo two")
            first = chat.entries[0].message.id
            await chat.edit(first, "echo uno")
            await chat.settled()
            outline = await chat.tree()
            assert [(branch.depth, branch.is_active, branch.message.text) for branch in outline] == [
                (0, False, "echo one"),
                (0, False, "one"),
                (0, False, "echo two"),
                (0, False, "two"),
                (0, True, "echo uno"),
                (0, True, "uno"),
            ]

            await chat.delete_branch(chat.entries[0].message.id)

            assert [text for _, _, text in said(chat)] == ["echo one", "one", "echo two", "two"]
            assert here.rows("SELECT count(*) FROM messages") == [(4,)]
            assert here.rows("SELECT count(*) FROM ledger") == [(3,)]
            await chat.delete_branch(first)
            assert (chat.entries, here.rows("SELECT count(*) FROM messages")) == ((), [(0,)])
            await asked(chat, "echo again")
            assert [text for _, _, text in said(chat)] == ["echo again", "again"]

    run(body())


def test_asking_again_stops_what_still_answers_the_question(tmp_path: Path) -> None:
    async def body() -> None:
        ollama = box()
        ollama.faults.once(FaultKind.ENDLESS)
        async with place(tmp_path, ollama) as here:
            chat = here.desk.new()
            await chat.ask(q("go on for ever"))
            await here.until(lambda: any(live.text for live in chat.lives.values()))
            question, answer = [entry.message.id for entry in chat.entries]

            await chat.regenerate(answer, "box/phi3:latest")
            await here.until(lambda: not chat.is_busy)

            assert [each.state for each in chat.siblings(chat.entries[1].message.id)] == ["stopped", "complete"]
            assert (chat.entries[1].message.model, chat.entries[1].sibling) == ("phi3:latest", 2)
            assert chat.entries[0].message.id == question
            await ollama.until_idle()
            assert ollama.cancelled_requests == 1

    run(body())


def test_an_attachment_is_fetched_when_it_is_wanted(tmp_path: Path) -> None:
    from console.chat.attachments import Attachment

    async def body() -> None:
        async with place(tmp_path, box()) as here:
            picture = Attachment("knot.png", "image/png", b"\x89PNG\r\n\x1a\n" + bytes(16))
            for chat in (here.desk.new(), here.desk.new(off_the_record=True)):
                await chat.ask(Question("which knot?", (picture,)), model="box/llava:7b")
                await chat.settled()
                (attached,) = chat.entries[0].message.attachments

                assert (attached.name, attached.media_type) == ("knot.png", "image/png")
                assert await chat.content(attached) == picture.content

    run(body())


def test_only_questions_are_edited_and_only_answers_continued(tmp_path: Path) -> None:
    async def body() -> None:
        async with place(tmp_path, box()) as here:
            chat = here.desk.new()
            await asked(chat, "echo one")
            question, answer = [entry.message.id for entry in chat.entries]

            with pytest.raises(ConsoleError, match="Only a question"):
                await chat.edit(answer, "no")
            with pytest.raises(ConsoleError, match="no answer"):
                await chat.go_on(question)
            with pytest.raises(NotFound):
                await chat.regenerate("nobody")
            with pytest.raises(NotFound):
                await chat.show("nobody")
            assert here.rows("SELECT count(*) FROM messages") == [(2,)]

    run(body())
