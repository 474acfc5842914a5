"""Chats off the record: everything works, and nothing is left but what they cost."""

from __future__ import annotations

from pathlib import Path

from console.chat.attachments import Attachment
from console.chat.questions import Question
from providers.simulated.services import FaultKind
from tests.conftest import run
from tests.console.desk_kit import asked, box, place, q, said

SECRET = "xyzzyhawser"


def test_off_the_record_leaves_only_its_ledger_rows(tmp_path: Path) -> None:
    async def body() -> None:
        ollama = box()
        async with place(tmp_path, ollama) as here:
            chat = here.desk.new(off_the_record=True)
            note = Attachment("note.txt", "text/plain", SECRET.encode(), SECRET)
            await chat.set_system("Be brief.")
            await chat.ask(Question(f"echo {SECRET}", (note,)))
            await chat.ask(q("echo two"))
            await here.until(lambda: not chat.is_busy)

            await chat.edit(chat.entries[0].message.id, f"echo again {SECRET}")
            await chat.settled()
            await chat.regenerate(chat.entries[1].message.id)
            await chat.settled()
            await chat.step(chat.entries[0].message.id, -1)
            await chat.exclude(chat.entries[2].message.id, True)
            await asked(chat, "echo three")
            await chat.rename("Nobody's business")

            assert (chat.id, chat.off_the_record, len(await chat.tree())) == (None, True, 9)
            assert [text for _, _, text in said(chat)][-1] == "three"
            assert [entry.message.excluded for entry in chat.entries] == [False, False, True, True, False, False]
            sent = [request.json["messages"] for request in ollama.requests if request.path == "/api/chat"]
            assert [message["role"] for message in sent[-1]] == ["system", "user", "assistant", "user"]
            assert SECRET in sent[-1][1]["content"].splitlines()[-2]
            await chat.delete_branch(chat.entries[0].message.id)
            assert len(await chat.tree()) == 3

            for table in ("chats", "messages", "parts", "attachments", "drafts", "message_search"):
                assert here.rows(f"SELECT count(*) FROM {table}") == [(0,)], table
            assert here.rows("SELECT outcome, chat_id, message_id FROM ledger") == [("complete", None, None)] * 5

    run(body())
    # Not a byte of it, in whichever file.
    for file in tmp_path.rglob("*"):
        if file.is_file():
            assert SECRET.encode() not in file.read_bytes(), file


def test_off_the_record_goes_on_from_where_it_stopped(tmp_path: Path) -> None:
    async def body() -> None:
        ollama = box()
        ollama.faults.once(FaultKind.ENDLESS)
        async with place(tmp_path, ollama) as here:
            chat = here.desk.new(off_the_record=True)
            await chat.ask(q("go on for ever"))
            await here.until(lambda: any(live.text for live in chat.lives.values()))
            await chat.stop()
            await chat.settled()
            half = chat.entries[1].message
            assert half.state == "stopped"

            await chat.go_on(half.id)
            await chat.settled()

            whole = chat.entries[1].message
            assert (whole.id, whole.state) == (half.id, "complete")
            assert whole.text.startswith(half.text)
            assert ollama.running_requests == 0

    run(body())


def test_settings_that_keep_nothing_are_followed(tmp_path: Path) -> None:
    async def body() -> None:
        async with place(tmp_path, box(), settings="save = false") as here:
            chat = here.desk.new()
            await asked(chat, "echo hello")

            assert chat.off_the_record
            assert here.rows("SELECT count(*) FROM chats") == [(0,)]

    run(body())
