"""What a dropped file is, found out beside the loop and for a limited time."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from console.library.look import MOST_COUNTED, look, look_at
from console.paths import find_paths
from console.settings import settings_from
from rag.documents import Document
from tests.conftest import run
from tests.console.library_kit import ROPES, library_of, put_in


def unknown(path: str) -> Document | None:
    return None


def test_a_file_tells_its_size_and_what_it_should_not_hold(tmp_path: Path) -> None:
    plain, secret = tmp_path / "rope.md", tmp_path / "notes.md"
    plain.write_text("A rope.")
    secret.write_text("-----BEGIN RSA PRIVATE KEY-----\nabc")
    (tmp_path / ".env").write_text("A=1")

    assert look(str(plain), unknown)[:4] == (str(plain), "rope.md", "file", 7)
    assert look(str(secret), unknown).secret == "a private key"
    assert look(str(tmp_path / ".env"), unknown).secret == "keys or passwords, by its name"
    assert look(str(plain), unknown).secret is None


def test_folders_are_counted_and_archives_known(tmp_path: Path) -> None:
    (tmp_path / "in" / ".git").mkdir(parents=True)
    (tmp_path / "in" / "a.md").write_text("12345")
    (tmp_path / "in" / ".git" / "b").write_text("hidden")
    (tmp_path / "x.zip").write_bytes(b"PK")

    folder = look(str(tmp_path / "in"), unknown)

    assert (folder.looks, folder.files, folder.size_bytes, folder.has_more) == ("folder", 1, 5, False)
    assert look(str(tmp_path / "x.zip"), unknown).looks == "archive"
    assert look("https://example.com/ropes", unknown).looks == "url"


def test_what_is_not_there_or_no_file_is_told(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "empty").touch()

    assert look(str(tmp_path / "none"), unknown).looks == "missing"
    assert "neither a file nor a folder" in (look(str(tmp_path / "pipe"), unknown).error or "")
    assert look(str(tmp_path / "empty"), unknown).error == "'empty' is empty."
    assert look("a\0b", unknown).looks == "other"


def test_counting_has_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("console.library.look.MOST_COUNTED", 3)
    for number in range(5):
        (tmp_path / f"{number}.md").write_text("x")

    found = look(str(tmp_path), unknown)

    assert MOST_COUNTED > 3
    assert (found.files, found.has_more) == (3, True)


def test_a_drive_that_does_not_answer_holds_up_nobody(tmp_path: Path) -> None:
    (tmp_path / "slow.md").write_text("x")
    (tmp_path / "quick.md").write_text("x")
    answers = threading.Event()

    def known(path: str) -> Document | None:
        if path.endswith("slow.md"):
            answers.wait(30)
        return None

    try:
        slow, quick = run(look_at([str(tmp_path / "slow.md"), str(tmp_path / "quick.md")], known, time_limit_s=0.3))
    finally:
        answers.set()

    assert (slow.looks, quick.looks) == ("slow", "file")
    assert "did not answer within 0.3 s" in (slow.error or "")


def test_a_file_that_is_a_document_already_is_known(tmp_path: Path) -> None:
    paths = find_paths({"HAWSER_HOME": str(tmp_path)})
    ids = put_in(paths, "ropes", ROPES)
    file = paths.data / "files" / "ropes" / "hawsers.md"

    async def body() -> None:
        library = library_of(paths, settings_from("", paths, {}, discover=False))
        try:
            (same,) = await library.look_at([file], "ropes")
            (elsewhere,) = await library.look_at([file], "knots")
            file.write_text("Changed.")
            (changed,) = await library.look_at([file], "ropes")
        finally:
            await library.close()

        assert (same.known_as, same.is_unchanged) == (ids[0], True)
        assert elsewhere.known_as is None
        assert (changed.known_as, changed.is_unchanged) == (ids[0], False)

    run(body())
