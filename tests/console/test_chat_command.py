"""`hawser chat` from its words to what it prints."""

from __future__ import annotations

import asyncio
import io
import json
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from console.cli import run
from console.history.messages import StoredAttachment
from console.shell import Shell
from tests.console.store_kit import SetClock, opened, say


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def hawser(home: Path, *words: str, typed: str | None = None) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of `hawser chat …`; `typed` is what is answered on a terminal."""
    stdin, stderr = (Terminal(typed), Terminal()) if typed is not None else (io.StringIO(), io.StringIO())
    shell = Shell(stdin, io.StringIO(), stderr, {"HAWSER_HOME": str(home), "HAWSER_ISOLATED": "1"})
    code = run(["chat", *words], shell)
    assert isinstance(shell.stdout, io.StringIO)
    return code, shell.stdout.getvalue(), stderr.getvalue()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Two chats: a forked one with an attachment and a failed answer, and one with control codes in it."""

    async def body() -> None:
        async with opened(tmp_path, clock=SetClock(datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC))) as store:
            note = StoredAttachment("plan.txt", "text/plain", b"\x00\xffplan", "a secret harbour plan")
            first = await store.begin_turn(
                None, None, "How thick?", client="prompt", title="Ropes", system="Be brief.", attachments=[note]
            )
            await store.end_answer(first.answer_id, state="complete", text="Five inches.", model="qwen3:8b")
            again = await store.begin_answer(first.chat_id, first.question_id, model="gpt-4.1", endpoint="openai")
            await store.end_answer(again, state="failed", text="About", error="The stream broke.")
            await say(store, "evil \x1b[31m question", "evil \x1b]0;title\x07 answer \x9b31m")

    asyncio.run(body())
    return tmp_path


def ids(home: Path) -> dict[str, str]:
    items = json.loads(hawser(home, "ls", "--json")[1])["items"]
    return {item["title"]: item["id"] for item in items}


def test_ls_shows_the_latest_first(home: Path) -> None:
    code, out, err = hawser(home, "ls")

    assert code == 0
    assert err == ""
    heading, *lines = out.splitlines()
    assert heading.split() == ["CHAT", "CHANGED", "MESSAGES", "MODEL", "TITLE"]
    assert [line.split()[-1] for line in lines] == ["rope", "Ropes"]
    assert hawser(home, "show", lines[1].split()[0])[1].startswith('---\ntitle: "Ropes"')
    (only,) = json.loads(hawser(home, "ls", "--json", "-n", "1")[1])["items"]
    assert only["title"] == "About rope"
    assert only["messages"] == 2


def test_ls_of_nothing_says_how_to_begin(tmp_path: Path) -> None:
    code, out, err = hawser(tmp_path, "ls")

    assert (code, out) == (0, "")
    assert "hawser --prompt" in err
    assert json.loads(hawser(tmp_path, "ls", "--json")[1]) == {"schema": 1, "items": []}


def test_show_prints_the_active_branch_as_markdown(home: Path) -> None:
    code, out, _ = hawser(home, "show", ids(home)["Ropes"][:20])

    assert code == 0
    assert out == (
        '---\ntitle: "Ropes"\nid: "' + ids(home)["Ropes"] + '"\n'
        'created: "2026-02-03T04:05:06.002Z"\nupdated: "2026-02-03T04:05:06.005Z"\nmodels: ["gpt-4.1"]\n---\n\n'
        "## Instructions\n\nBe brief.\n\n## You\n\n*Attached: plan.txt*\n\nHow thick?\n\n"
        "## gpt-4.1\n\nAbout\n\n*(failed: The stream broke.)*\n"
    )


def test_show_tree_has_every_branch(home: Path) -> None:
    _, out, _ = hawser(home, "show", ids(home)["Ropes"], "--tree")

    title, question, one, other = out.splitlines()
    assert title == "Ropes"
    assert question.startswith("  - You: How thick?")
    assert one.startswith("    - qwen3:8b: Five inches.")
    assert other.startswith("    * gpt-4.1 (failed): About")


@pytest.mark.parametrize("words", [["show"], ["export", "--format", "md"], ["search", "evil"]])
def test_control_codes_stay_in_the_store(home: Path, words: list[str]) -> None:
    where = [] if words[0] == "search" else [ids(home)["About rope"]]

    _, out, _ = hawser(home, *words, *where)

    assert "evil" in out
    assert not any(code in out for code in "\x1b\x07\x9b")


def test_search_prints_the_newest_first(home: Path) -> None:
    code, out, _ = hawser(home, "search", "thick")
    assert code == 0
    first, second = out.splitlines()
    assert first.startswith(ids(home)["Ropes"])
    assert first.endswith("user  Ropes")
    assert second == "    How thick?"

    items = json.loads(hawser(home, "search", "secret", "harbour", "--json")[1])["items"]
    assert [(item["kind"], item["attachment"], item["chat"]) for item in items] == [
        ("attachment", "plan.txt", ids(home)["Ropes"])
    ]
    assert items[0]["marks"] == [[2, 8], [9, 16]]
    assert hawser(home, "search", "evil", "--chat", ids(home)["Ropes"])[2] == "Nothing was found.\n"
    assert hawser(home, "search", "(((")[0] == 0


def test_an_unknown_chat_is_a_usage_error(home: Path) -> None:
    for words in (["show", "zzz"], ["rm", "zzz", "--yes"], ["export", "zzz"], ["search", "x", "--chat", "zzz"]):
        code, out, err = hawser(home, *words)
        assert (code, out) == (2, "")
        assert "There is no chat 'zzz'." in err


def test_an_ambiguous_beginning_names_the_chats(home: Path) -> None:
    code, _, err = hawser(home, "show", "01")

    assert code == 2
    assert "Ropes" in err
    assert "About rope" in err


@pytest.mark.parametrize("words", [["--all"], ["one"]])
def test_an_export_comes_back_as_it_was(home: Path, tmp_path: Path, words: list[str]) -> None:
    chosen = words if words == ["--all"] else [ids(home)["Ropes"]]
    file, other = tmp_path / "chats.json", tmp_path / "other"
    _, exported, _ = hawser(home, "export", *chosen)
    file.write_text(exported)
    assert exported.isascii()

    code, out, _ = hawser(other, "import", str(file))

    assert code == 0
    assert out == f"{'2 chats' if words == ['--all'] else '1 chat'} from Hawser imported.\n"
    assert hawser(other, "export", *chosen)[1] == exported
    assert "known" in hawser(other, "import", str(file), "--json")[1]
    assert hawser(other, "import", str(file))[1].endswith("here already.\n")
    assert hawser(other, "export", *chosen)[1] == exported
    assert len(json.loads(hawser(other, "search", "harbour", "--json")[1])["items"]) == 1


def test_an_export_that_grew_is_brought_up_to_date(home: Path, tmp_path: Path) -> None:
    document: dict[str, Any] = json.loads(hawser(home, "export", ids(home)["Ropes"])[1])
    whole = tmp_path / "whole.json"
    whole.write_text(json.dumps(document))
    document["chats"][0]["messages"] = document["chats"][0]["messages"][:1]
    part = tmp_path / "part.json"
    part.write_text(json.dumps(document))

    assert "1 chat from Hawser imported." in hawser(tmp_path / "other", "import", str(part))[1]
    assert "1 brought up to date" in hawser(tmp_path / "other", "import", str(whole))[1]

    assert len(json.loads(hawser(tmp_path / "other", "show", "01", "--json")[1])["messages"]) == 3


def test_export_to_a_file_replaces_none_without_force(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "out.md"
    file.write_text("precious")
    words = ["export", "--all", "--format", "md", "-o", str(file)]

    code, _, err = hawser(home, *words)
    assert code == 2
    assert "--force" in err
    assert file.read_text() == "precious"

    code, out, err = hawser(home, *words, "--force")
    assert (code, out) == (0, "")
    assert "2 chats written" in err
    assert file.read_text().count("---\ntitle:") == 2
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".out")] == []
    assert hawser(home, "export", "--all", "-o", str(tmp_path / "no" / "where"))[0] == 1


def test_export_needs_one_chat_or_all(home: Path) -> None:
    assert hawser(home, "export")[0] == 2
    assert hawser(home, "export", "01", "--all")[0] == 2
    assert json.loads(hawser(home / "empty", "export", "--all")[1])["chats"] == []


def test_rm_asks_on_a_terminal_and_needs_yes_without_one(home: Path) -> None:
    chat = ids(home)["Ropes"]

    code, _, err = hawser(home, "rm", chat)
    assert code == 2
    assert "--yes" in err
    code, _, err = hawser(home, "rm", chat, typed="n\n")
    assert code == 0
    assert "Remove Ropes?" in err
    assert "Nothing was removed." in err
    assert set(ids(home)) == {"Ropes", "About rope"}

    kept_screen = home / "state" / "last-screen"
    kept_screen.parent.mkdir(exist_ok=True)
    kept_screen.write_text("what was said")
    code, _, err = hawser(home, "rm", chat, typed="y\n")
    assert code == 0
    assert "Removed Ropes with 3 messages." in err
    assert not kept_screen.exists()
    assert hawser(home, "rm", "--yes", ids(home)["About rope"])[0] == 0
    assert ids(home) == {}


def test_a_file_that_is_no_export_is_told(home: Path, tmp_path: Path) -> None:
    for content in ("", "[]", "{", '{"a": 1}', '[{"title": "x"}]', "\x00", "[" * 100_000):
        file = tmp_path / "file.json"
        file.write_text(content)
        code, out, err = hawser(home, "import", str(file))
        assert (code, out) == (2, ""), content[:20]
        assert "file.json" in err
    assert hawser(home, "import", str(tmp_path / "nowhere.json"))[0] == 2
    assert hawser(home, "import", str(tmp_path))[0] == 2


def test_chats_deleted_in_the_app_are_listed_apart_and_brought_back(home: Path) -> None:
    chat_id = ids(home)["Ropes"]

    async def put_away() -> None:
        async with opened(home) as store:
            await store.put_away_chat(chat_id)

    assert hawser(home, "ls", "--deleted")[2] == "Nothing was deleted in the last week.\n"
    asyncio.run(put_away())
    assert "Ropes" not in ids(home)
    assert hawser(home, "search", "inches")[2] == "Nothing was found.\n"

    heading, line = hawser(home, "ls", "--deleted")[1].splitlines()
    assert heading.split() == ["CHAT", "DELETED", "MESSAGES", "MODEL", "TITLE"]
    assert line.split()[-1] == "Ropes"
    (item,) = json.loads(hawser(home, "ls", "--deleted", "--json")[1])["items"]
    assert (item["id"], item["title"], item["messages"]) == (chat_id, "Ropes", 3)
    assert item["deleted_at"].endswith("Z")
    code, _, err = hawser(home, "restore", "nothing")
    assert (code, "is no deleted chat" in err, "ls --deleted" in err) == (2, True, True)
    assert hawser(home, "restore", line.split()[0]) == (0, "", "Ropes is back.\n")
    assert ids(home)["Ropes"] == chat_id
