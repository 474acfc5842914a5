"""Exports of other programs, and hostile ones."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import zipfile
from base64 import b64encode
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from console.chat import importers
from console.chat.export import as_document
from console.errors import UsageError
from console.history import chats, imports, messages, schema
from tests.console.store_kit import opened

PNG = b"\x89PNG\r\n\x1a\nrest"

# As ChatGPT writes it: a tree with a hidden root, a regenerated answer, reasoning, an image and a tool in between.
CHATGPT: list[dict[str, Any]] = [
    {
        "title": "Knots",
        "create_time": 1702000000.5,
        "update_time": 1702000100.25,
        "conversation_id": "6f1d7a3e-0000-4000-8000-000000000001",
        "current_node": "a2",
        "mapping": {
            "root": {"id": "root", "message": None, "parent": None, "children": ["sys"]},
            "sys": {
                "id": "sys",
                "parent": "root",
                "children": ["q"],
                "message": {
                    "author": {"role": "system"},
                    "create_time": None,
                    "content": {"content_type": "text", "parts": [""]},
                    "metadata": {"is_visually_hidden_from_conversation": True},
                },
            },
            "q": {
                "id": "q",
                "parent": "sys",
                "children": ["a1", "t"],
                "message": {
                    "author": {"role": "user"},
                    "create_time": 1702000001.0,
                    "status": "finished_successfully",
                    "content": {
                        "content_type": "multimodal_text",
                        "parts": [
                            {"content_type": "image_asset_pointer", "asset_pointer": "file-service://file-AbCd1234"},
                            "Which knot is this?",
                        ],
                    },
                    "metadata": {},
                },
            },
            "a1": {
                "id": "a1",
                "parent": "q",
                "children": [],
                "message": {
                    "author": {"role": "assistant"},
                    "create_time": 1702000002.0,
                    "status": "in_progress",
                    "content": {"content_type": "text", "parts": ["A bow"]},
                    "metadata": {"model_slug": "gpt-4o"},
                },
            },
            "t": {
                "id": "t",
                "parent": "q",
                "children": ["a2"],
                "message": {
                    "author": {"role": "assistant"},
                    "create_time": 1702000003.0,
                    "content": {
                        "content_type": "thoughts",
                        "thoughts": [{"summary": "Looking", "content": "Two loops."}],
                    },
                    "metadata": {"model_slug": "o3"},
                },
            },
            "a2": {
                "id": "a2",
                "parent": "t",
                "children": [],
                "message": {
                    "author": {"role": "assistant"},
                    "create_time": 1702000004.0,
                    "status": "finished_successfully",
                    "content": {"content_type": "text", "parts": ["A bowline."]},
                    "metadata": {"model_slug": "o3"},
                },
            },
        },
    }
]

# As Open WebUI writes it: the chat inside its row, times in seconds, reasoning as HTML in the answer.
OPEN_WEBUI: list[dict[str, Any]] = [
    {
        "id": "b1b2",
        "title": "Tides",
        "created_at": 1719000000,
        "updated_at": 1719000100,
        "chat": {
            "title": "Tides",
            "models": ["llama3.1:8b"],
            "params": {"system": "You are a pilot."},
            "timestamp": 1719000000123,
            "history": {
                "currentId": "m3",
                "messages": {
                    "m1": {
                        "id": "m1",
                        "parentId": None,
                        "childrenIds": ["m2", "m3"],
                        "role": "user",
                        "content": "When is high water?",
                        "timestamp": 1719000001,
                        "files": [
                            {"type": "image", "url": "data:image/png;base64," + b64encode(PNG).decode()},
                            {
                                "type": "file",
                                "name": "tides.txt",
                                "file": {"filename": "tides.txt", "data": {"content": "springs and neaps"}},
                            },
                        ],
                    },
                    "m2": {
                        "id": "m2",
                        "parentId": "m1",
                        "childrenIds": [],
                        "role": "assistant",
                        "content": "",
                        "error": {"content": "model not found"},
                        "model": "llama3.1:8b",
                        "timestamp": 1719000002,
                    },
                    "m3": {
                        "id": "m3",
                        "parentId": "m1",
                        "childrenIds": [],
                        "role": "assistant",
                        "content": '<details type="reasoning" done="true" duration="3">\n<summary>Thought for 3 seconds'
                        "</summary>\n> The moon…\n> pulls.\n</details>\nAt noon.",
                        "model": "qwen3:8b",
                        "done": True,
                        "usage": {"prompt_tokens": 20, "completion_tokens": 5},
                        "timestamp": 1719000003,
                    },
                },
            },
        },
    }
]


def write(path: Path, document: object) -> Path:
    path.write_text(json.dumps(document))
    return path


def bring(home: Path, file: Path) -> tuple[list[str], list[dict[str, Any]]]:
    """Import a file; what became of each chat, and every chat there is, as our own export has it."""

    async def body() -> tuple[list[str], list[dict[str, Any]]]:
        async with opened(home) as store:
            outcomes: list[str] = []
            for chat, tree in importers.read(file).chats:
                outcomes.append(await store.run(partial(imports.bring_in, chat=chat, tree=tree), write=True))
            ids = await store.run(chats.every_id)
            return outcomes, [as_document(await store.chat(each), await store.tree(each)) for each in ids]

    return asyncio.run(body())


def test_a_chatgpt_archive_keeps_branches_reasoning_and_images(tmp_path: Path) -> None:
    archive = tmp_path / "export.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("conversations.json", json.dumps(CHATGPT))
        file.writestr("file-AbCd1234-knot.png", PNG)
        file.writestr("../../escape.txt", "outside")

    outcomes, (chat,) = bring(tmp_path / "home", archive)

    assert outcomes == ["new"]
    assert (chat["title"], chat["created_at"]) == ("Knots", "2023-12-08T01:46:40.500Z")
    question, cut, thought, answer = chat["messages"]
    assert question["text"] == "Which knot is this?"
    assert question["parent_id"] is None
    assert question["attachments"][0]["name"] == "file-AbCd1234-knot.png"
    assert question["attachments"][0]["content"] == b64encode(PNG).decode()
    assert (cut["text"], cut["state"], cut["model"]) == ("A bow", "stopped", "gpt-4o")
    assert (thought["thinking"], thought["parent_id"]) == ("Looking\nTwo loops.", question["id"])
    assert (answer["text"], answer["parent_id"]) == ("A bowline.", thought["id"])
    assert chat["active_leaf"] == answer["id"]
    assert not (tmp_path / "escape.txt").exists()
    assert {path.name for path in tmp_path.iterdir()} == {"export.zip", "home"}


def test_what_is_imported_again_is_known_and_what_was_added_is_not(tmp_path: Path) -> None:
    home, file = tmp_path / "home", tmp_path / "conversations.json"
    assert bring(home, write(file, CHATGPT))[0] == ["new"]
    assert bring(home, write(file, CHATGPT))[0] == ["known"]
    more = json.loads(json.dumps(CHATGPT))
    added = json.loads(json.dumps(more[0]["mapping"]["a2"]))
    added["parent"], added["message"]["content"]["parts"] = "a2", ["And a hitch."]
    more[0]["mapping"]["a3"] = added
    more[0]["current_node"] = "a3"

    outcomes, (chat,) = bring(home, write(file, more))

    assert outcomes == ["grown"]
    assert chat["messages"][-1]["text"] == "And a hitch."
    assert chat["active_leaf"] == chat["messages"][-1]["id"]


def test_an_open_webui_export_keeps_branches_reasoning_and_files(tmp_path: Path) -> None:
    outcomes, (chat,) = bring(tmp_path / "home", write(tmp_path / "chats.json", OPEN_WEBUI))

    assert outcomes == ["new"]
    assert (chat["title"], chat["system"]) == ("Tides", "You are a pilot.")
    question, failed, answer = chat["messages"]
    assert [each["name"] for each in question["attachments"]] == ["image-1.png", "tides.txt"]
    assert question["attachments"][1]["text"] == "springs and neaps"
    assert (failed["state"], failed["error"], failed["parent_id"]) == ("failed", "model not found", question["id"])
    assert (answer["text"], answer["thinking"]) == ("At noon.", "The moon…\npulls.")
    assert answer["usage"] == {"input_tokens": 20, "output_tokens": 5, "estimated": False}
    assert answer["model"] == "qwen3:8b"
    assert chat["active_leaf"] == answer["id"]
    assert answer["created_at"] == "2024-06-21T20:00:03.000Z"


def test_an_open_webui_chat_without_a_tree_is_a_line(tmp_path: Path) -> None:
    document = [
        {
            "chat": {
                "title": "Old",
                "messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}],
            }
        }
    ]

    _, (chat,) = bring(tmp_path / "home", write(tmp_path / "chats.json", document))

    assert [message["text"] for message in chat["messages"]] == ["a", "b"]
    assert chat["messages"][1]["parent_id"] == chat["messages"][0]["id"]


def own(**message: Any) -> dict[str, Any]:
    return {"schema": 1, "kind": "hawser-chats", "chats": [{"title": "t", "messages": [message]}]}


def test_an_answer_exported_while_it_arrived_is_failed_here(tmp_path: Path) -> None:
    document = own(role="assistant", state="streaming", text="half", created_at="2026-01-01T00:00:00Z")

    _, (chat,) = bring(tmp_path / "home", write(tmp_path / "chats.json", document))

    assert (chat["messages"][0]["state"], chat["messages"][0]["text"]) == ("failed", "half")


def test_circles_and_strangers_among_parents_are_cut(tmp_path: Path) -> None:
    names = ["a" * 26, "b" * 26, "c" * 26, "d" * 26]
    parents = [names[1], names[0], "z" * 26, names[3]]
    listed = [{"id": one, "parent_id": other, "text": "x"} for one, other in zip(names, parents, strict=True)]
    document = {"schema": 1, "kind": "hawser-chats", "chats": [{"title": "t", "messages": listed}]}

    _, (chat,) = bring(tmp_path / "home", write(tmp_path / "chats.json", document))

    roots = [message["id"] for message in chat["messages"] if message["parent_id"] is None]
    assert len(chat["messages"]) == 4
    assert set(roots) >= {names[2], names[3]}
    assert len(roots) == 3


def test_a_later_export_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="later version"):
        importers.read(write(tmp_path / "chats.json", {"schema": 2, "kind": "hawser-chats", "chats": []}))


def test_an_archive_that_swells_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = tmp_path / "bomb.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("conversations.json", "[" + " " * 5_000_000 + "]")
    monkeypatch.setattr(importers, "LARGEST_FILE", 1_000_000)

    with pytest.raises(UsageError, match="too large"):
        importers.read(archive)


def test_what_is_no_chat_is_left_out_and_told(tmp_path: Path) -> None:
    source = importers.read(write(tmp_path / "chats.json", [*CHATGPT, 5, {"mapping": {}}]))

    assert len(list(source.chats)) == 1
    assert source.left_out == ["Entry 2 is no chat.", "Chat 3 is empty."]


_JSON = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats() | some.text(max_size=10),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def _mutated(draw: Callable[[Any], Any], value: Any) -> Any:
    """The same document with strange things in some places."""
    if draw(some.integers(0, 12)) == 0:
        return draw(_JSON)
    if isinstance(value, dict):
        return {key: _mutated(draw, inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_mutated(draw, inner) for inner in value]
    return value


OWN = own(
    id="a" * 26,
    parent_id=None,
    role="assistant",
    state="complete",
    text="text",
    usage={"input_tokens": 1},
    cost_usd="0.1",
    timings_ms={"total": 5},
    notes={"a": 1},
    created_at="2026-01-01T00:00:00Z",
    attachments=[{"name": "n", "content": "aGk="}],
)


@settings(max_examples=60, deadline=None)
@given(some.data(), some.sampled_from([CHATGPT, OPEN_WEBUI, OWN]))
def test_no_export_is_an_accident(tmp_path_factory: pytest.TempPathFactory, data: Any, template: Any) -> None:
    document = _mutated(data.draw, template)
    file = tmp_path_factory.mktemp("export") / "chats.json"
    file.write_text(json.dumps(document))
    connection = sqlite3.connect(":memory:", isolation_level=None)
    try:
        connection.execute("PRAGMA foreign_keys = ON")
        schema.create(connection, 0)
        try:
            found = list(importers.read(file).chats)
        except UsageError:
            found = []
        for chat, tree in found:
            connection.execute("BEGIN")
            imports.bring_in(connection, chat, tree)
            connection.execute("COMMIT")
            assert len(messages.tree(connection, chats.get(connection, chat.id).id)) == len(tree)
    finally:
        connection.close()
