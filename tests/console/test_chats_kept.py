"""What a person does to a chat: naming, pinning, tagging, deleting with a way back."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from console.chat import importers
from console.chat.export import HEAD, TAIL, to_json
from console.errors import NotFound
from console.history import chats, imports
from tests.conftest import run
from tests.console.store_kit import SetClock, opened, say


def test_a_deleted_chat_is_nowhere_and_comes_back_as_it_was(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path) as store:
            kept = await say(store, "About cables", "Thick.")
            gone = await say(store, "About hawsers", "Thicker.")
            await store.tag_chat(gone, ["rope"])

            await store.put_away_chat(gone)

            assert [chat.id for chat in await store.chats()] == [kept]
            latest = await store.latest_chat()
            assert latest is not None
            assert latest.id == kept
            assert await store.search("hawsers") == []
            assert await store.run(chats.every_id) == [kept]
            with pytest.raises(NotFound):
                await store.chat(gone)
            with pytest.raises(NotFound):
                await store.begin_turn(gone, None, "More?", client="test")
            with pytest.raises(NotFound):
                await store.put_away_chat(gone)

            await store.bring_back_chat(gone)

            assert [hit.chat_id for hit in await store.search("hawsers")] == [gone]
            assert (await store.chat(gone)).tags == ("rope",)

    run(body())


def test_what_was_deleted_long_ago_is_purged(tmp_path: Path) -> None:
    async def body() -> None:
        clock = SetClock()
        async with opened(tmp_path, clock=clock) as store:
            old = await say(store, "old", "old")
            await store.put_away_chat(old)
            clock.at += timedelta(days=30)
            recent = await say(store, "recent", "recent")
            await store.put_away_chat(recent)

            assert await store.purge_chats(clock.at - timedelta(days=7)) == 1

            with pytest.raises(NotFound):
                await store.bring_back_chat(old)
            await store.bring_back_chat(recent)
            assert (await store.chat(recent)).id == recent

    run(body())


def test_nobody_changes_the_title_that_a_person_gave(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path) as store:
            chat = await say(store, "q", "a")

            assert await store.rename_chat(chat, "By a model", "model")
            assert await store.rename_chat(chat, "By hand")
            assert not await store.rename_chat(chat, "By a model again", "model")

            assert (await store.chat(chat)).title == "By hand"
            with pytest.raises(NotFound):
                await store.rename_chat("nobody", "x", "model")

    run(body())


def test_pins_and_tags_are_kept_once(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path) as store:
            chat = await say(store, "q", "a")
            await store.pin_chat(chat, True)
            pinned_at = (await store.chat(chat)).pinned_at
            await store.pin_chat(chat, True)
            await store.tag_chat(chat, ["rope", " rope ", "", "two  words", "x" * 100])

            stored = await store.chat(chat)
            assert stored.pinned_at == pinned_at
            assert stored.tags == ("rope", "two words", "x" * 40)

            await store.pin_chat(chat, False)
            assert (await store.chat(chat)).pinned_at is None

    run(body())


def test_an_export_carries_what_a_person_said_of_a_chat(tmp_path: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path / "here") as store:
            chat_id = await say(store, "q", "a")
            await store.rename_chat(chat_id, "By hand")
            await store.set_model(chat_id, "box/qwen3:8b")
            await store.set_params(chat_id, {"temperature": 0.5})
            await store.set_persona(chat_id, "bosun")
            await store.pin_chat(chat_id, True)
            await store.tag_chat(chat_id, ["rope", "sea"])
            tree = await store.tree(chat_id)
            await store.exclude([tree[0].id], True)
            chat, tree = await store.chat(chat_id), await store.tree(chat_id)
        file = tmp_path / "export.json"
        file.write_text(HEAD + to_json(chat, tree) + TAIL)

        async with opened(tmp_path / "there") as store:
            for brought, messages in importers.read(file).chats:
                await store.run(lambda c, b=brought, m=messages: imports.bring_in(c, b, m), write=True)  # type: ignore[misc]

            assert await store.chat(chat_id) == chat
            assert [message.excluded for message in await store.tree(chat_id)] == [True, False]

            await store.put_away_chat(chat_id)
            for brought, messages in importers.read(file).chats:
                await store.run(lambda c, b=brought, m=messages: imports.bring_in(c, b, m), write=True)  # type: ignore[misc]
            assert await store.chat(chat_id) == chat

    run(body())
