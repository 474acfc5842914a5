"""Telling dropped files from words, in every form that terminals write them in."""

from __future__ import annotations

import shlex
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.dropped import dropped_paths, is_remote_session, may_be_paths

ONE = "/home/ann/report.pdf"
BLANKS = "/home/ann/My Papers/the report (final).pdf"
APOSTROPHE = "/home/ann/it's mine.txt"
BACKSLASH = "/home/ann/odd\\name.txt"
THERE = {Path(path) for path in (ONE, BLANKS, APOSTROPHE, BACKSLASH, "/home/ann/äöü%20.txt", "/home/ann")}


def found(text: str) -> list[str]:
    return [str(path) for path in dropped_paths(text, exists=THERE.__contains__)]


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        (ONE, [ONE]),
        (f"{ONE} ", [ONE]),
        (f"{ONE}\n", [ONE]),
        (f"{ONE}\r\n", [ONE]),
        (BLANKS, [BLANKS]),
        ("/home/ann/My\\ Papers/the\\ report\\ \\(final\\).pdf", [BLANKS]),
        ("/home/ann/My\\ Papers/the\\ report\\ (final).pdf", [BLANKS]),
        (f"'{BLANKS}'", [BLANKS]),
        (f"'{BLANKS}' ", [BLANKS]),
        ("'/home/ann/it'\\''s mine.txt'", [APOSTROPHE]),
        ("/home/ann/it's\\ mine.txt", [APOSTROPHE]),
        ("/home/ann/it\\'s\\ mine.txt", [APOSTROPHE]),
        (APOSTROPHE, [APOSTROPHE]),
        (f'"{APOSTROPHE}"', [APOSTROPHE]),
        (BACKSLASH, [BACKSLASH]),
        ("/home/ann/odd\\\\name.txt", [BACKSLASH]),
        ("file:///home/ann/report.pdf", [ONE]),
        ("file://localhost/home/ann/report.pdf", [ONE]),
        ("file:/home/ann/report.pdf", [ONE]),
        ("file:///home/ann/My%20Papers/the%20report%20(final).pdf", [BLANKS]),
        ("file:///home/ann/%C3%A4%C3%B6%C3%BC%2520.txt\r\n", ["/home/ann/äöü%20.txt"]),
        (f"file://{ONE}\nfile://{quote(BLANKS)}\n", [ONE, BLANKS]),
        (f"file://{ONE} file://{quote(BLANKS)}", [ONE, BLANKS]),
        (f"{ONE}\n{BLANKS}", [ONE, BLANKS]),
        (f"{ONE}\r{BLANKS}\r", [ONE, BLANKS]),
        (f"'{ONE}' '{BLANKS}'", [ONE, BLANKS]),
        (f"'{ONE}'\n'{BLANKS}'", [ONE, BLANKS]),
        (f'"{ONE}" "{BLANKS}"', [ONE, BLANKS]),
        (f'{ONE} "{APOSTROPHE}"', [ONE, APOSTROPHE]),
        (f"{ONE} /home/ann/My\\ Papers/the\\ report\\ \\(final\\).pdf ", [ONE, BLANKS]),
        (f"{BLANKS} {ONE}", [BLANKS, ONE]),
        (f"{ONE} {ONE}", [ONE]),
        ("/home/ann", ["/home/ann"]),
    ],
)
def test_every_form_of_a_drop_is_recognised(text: str, paths: list[str]) -> None:
    assert found(text) == paths


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "/",
        "~",
        "~/",
        "report.pdf",
        "./report.pdf",
        "/home/ann/not there.pdf",
        f"{ONE} and some words",
        f"look at {ONE}",
        f"{ONE}\nwhat is in it?",
        f"{ONE} /home/ann/gone.txt",
        "file://elsewhere.example/home/ann/report.pdf",
        "https://example.org/home/ann/report.pdf",
        f"file://{ONE} please",
        f"{ONE}\0",
        "'" + ONE,
        "/model general",
        "~nobody-of-that-name/x",
        f"{ONE} " * 3_000,
    ],
)
def test_everything_else_is_text(text: str) -> None:
    assert found(text) == []


def test_home_is_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "my notes.md").write_text("x")

    assert dropped_paths("~/my\\ notes.md") == (tmp_path / "my notes.md",)
    assert dropped_paths("~/other.md") == ()


def test_the_disk_is_not_asked_about_words() -> None:
    def never(_path: Path) -> bool:
        raise AssertionError("asked")

    for text in ("hello", "what is /etc/hosts?", "a/b", "x" * 100_000, "/" + "x" * 100_000):
        assert dropped_paths(text, exists=never) == ()


def test_a_name_too_long_for_the_disk_is_text() -> None:
    assert dropped_paths("/" + "x" * 3_000) == ()


def test_other_machines_are_told_by_the_session() -> None:
    assert is_remote_session({"SSH_CONNECTION": "10.0.0.1 5 10.0.0.2 22"})
    assert not is_remote_session({"TERM": "xterm"})


NAMES = st.text(
    st.characters(min_codepoint=33, max_codepoint=0x2FF, exclude_characters="/\x7f", exclude_categories=["C", "Z"])
    | st.just(" "),
    min_size=1,
    max_size=12,
).filter(lambda name: name == name.strip() and "  " not in name and name not in (".", ".."))


def _escaped(path: str) -> str:
    return "".join(f"\\{letter}" if not letter.isalnum() and letter not in "/._-" else letter for letter in path)


@given(st.lists(NAMES, min_size=1, max_size=4, unique=True), st.sampled_from(["quoted", "escaped", "uris", "lines"]))
def test_any_names_are_recognised_in_every_form(names: list[str], form: str) -> None:
    paths = [f"/d/{name}" for name in names]
    there = set(map(Path, paths))
    match form:
        case "quoted":
            text = " ".join("'" + path.replace("'", "'\\''") + "'" for path in paths)
        case "escaped":
            text = " ".join(map(_escaped, paths)) + " "
        case "uris":
            text = "\r\n".join(f"file://{quote(path)}" for path in paths)
        case _:
            text = "\n".join(paths)

    assert dropped_paths(text, exists=there.__contains__) == tuple(map(Path, paths))


@given(st.text(max_size=200))
def test_no_text_is_too_odd(text: str) -> None:
    answer = dropped_paths(f"/{text}", exists=lambda _path: False)

    assert answer == ()
    assert may_be_paths(shlex.quote(f"/x{text}")) == ("\0" not in text)
