"""What comes in on standard input, from whatever is connected there."""

from __future__ import annotations

import os
import select
import subprocess
import time
from pathlib import Path

import pytest

from providers.simulated.services import SimulatedOllama
from tests.flows.kit import CLOSED, Hawser, complaint, finish


def asked(ollama: SimulatedOllama) -> str:
    """The question as it arrived at the model."""
    content = ollama.requests_to("/api/chat")[-1].json["messages"][-1]["content"]
    assert isinstance(content, str)
    return content


def test_piped_text_is_the_material_below_the_instruction(hawser: Hawser, ollama: SimulatedOllama) -> None:
    done = hawser.ask("Write a commit message", "--json", stdin="grüne Äpfel\n".encode())

    assert done.json()["stdin"] == "read"
    assert asked(ollama) == "Write a commit message\n\ngrüne Äpfel\n"
    assert hawser.messages()[0].text == "Write a commit message\n\ngrüne Äpfel\n"


def test_file_on_standard_input_is_read(hawser: Hawser, ollama: SimulatedOllama, tmp_path: Path) -> None:
    (tmp_path / "diff").write_bytes(b"+ one line\n")
    with (tmp_path / "diff").open("rb") as file:
        done = hawser.ask("Explain", "--json", stdin=file)

    assert done.json()["stdin"] == "read"
    assert asked(ollama) == "Explain\n\n+ one line\n"


@pytest.mark.parametrize(
    ("stdin", "outcome"), [(CLOSED, "none"), (subprocess.DEVNULL, "empty"), (b"", "empty")], ids=str
)
def test_nothing_on_standard_input_is_nothing(
    hawser: Hawser, ollama: SimulatedOllama, stdin: str | int | bytes, outcome: str
) -> None:
    done = hawser.ask("Hello", "--json", stdin=stdin)

    assert (done.code, done.err) == (0, "")
    assert done.json()["stdin"] == outcome
    assert asked(ollama) == "Hello"


def test_terminal_is_never_read(hawser: Hawser, ollama: SimulatedOllama) -> None:
    ours, theirs = os.openpty()
    try:
        os.write(ours, b"typed ahead\n")
        done = hawser.ask("Hello", "--json", stdin=theirs)
    finally:
        os.close(ours)
        os.close(theirs)

    assert done.json()["stdin"] == "none"
    assert asked(ollama) == "Hello"


def test_silent_pipe_is_given_three_seconds_unless_it_is_to_be_waited_for(
    hawser: Hawser, ollama: SimulatedOllama
) -> None:
    silent, end_of_silent = os.pipe()
    late, end_of_late = os.pipe()
    try:
        waiting = hawser.start("--prompt", "Say it", "--json", "--stdin", stdin=late)
        skipping = finish(hawser.start("--prompt", "Say it", "--json", stdin=silent))
        assert waiting.poll() is None
        os.write(end_of_late, b"late ")
        os.write(end_of_late, b"but there")
        os.close(end_of_late)
        waited = finish(waiting)
    finally:
        os.close(end_of_silent)
        os.close(silent)
        os.close(late)

    assert skipping.json()["stdin"] == "skipped"
    assert skipping.lines == [
        "hawser: Waiting up to 3 s for standard input (--no-stdin skips it, --stdin waits).",
        "hawser: Nothing came on standard input; going on without it.",
    ]
    assert (waited.json()["stdin"], waited.err) == ("read", "")
    assert asked(ollama) == "Say it\n\nlate but there"


def test_pipe_that_does_not_block_is_read_to_its_end(hawser: Hawser, ollama: SimulatedOllama) -> None:
    ours, end = os.pipe()
    os.set_blocking(ours, False)
    try:
        os.write(end, b"a beginning ")
        process = hawser.start("--prompt", "Say it", "--json", stdin=ours)
        while_unread(ours)
        os.write(end, b"and an end")
        os.close(end)
        done = finish(process)
    finally:
        os.close(ours)

    assert (done.json()["stdin"], done.err) == ("read", "")
    assert asked(ollama) == "Say it\n\na beginning and an end"


def while_unread(pipe: int) -> None:
    """Wait until somebody has emptied a pipe."""
    deadline = time.monotonic() + 30
    while select.select([pipe], [], [], 0)[0]:
        assert time.monotonic() < deadline
        os.sched_yield()


def test_silent_pipe_is_not_looked_at_when_told_so(hawser: Hawser, ollama: SimulatedOllama) -> None:
    silent, end = os.pipe()
    try:
        done = hawser.ask("Hello", "--json", "--no-stdin", stdin=silent)
    finally:
        os.close(silent)
        os.close(end)

    assert (done.json()["stdin"], done.err) == ("none", "")


def test_input_that_is_there_stays_unread_when_told_so(hawser: Hawser, ollama: SimulatedOllama) -> None:
    assert hawser.ask("Hello", "--no-stdin", stdin=b"not this").code == 0
    assert asked(ollama) == "Hello"


@pytest.mark.parametrize("content", [b"\x89PNG\r\n\x1a\n\0\0", b"caf\xe9", b"a\0b"], ids=["png", "latin-1", "NUL"])
def test_input_that_is_no_text_is_refused_by_name(hawser: Hawser, ollama: SimulatedOllama, content: bytes) -> None:
    done = hawser.ask("What is this?", stdin=content)

    assert "Standard input is" in complaint(done, 2)
    assert not ollama.requests


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
def test_marked_text_is_read_in_its_encoding(hawser: Hawser, ollama: SimulatedOllama, encoding: str) -> None:
    assert hawser.ask("Explain", stdin="Grüße 東京".encode(encoding)).code == 0
    assert asked(ollama) == "Explain\n\nGrüße 東京"


def test_instruction_itself_can_come_on_standard_input(hawser: Hawser, ollama: SimulatedOllama) -> None:
    done = hawser.ask("-", "--json", stdin=b"echo Frage\n")

    assert (done.json()["text"], done.json()["stdin"]) == ("Frage\n", "read")


@pytest.mark.parametrize("stdin", [b"", b" \n", CLOSED], ids=["empty", "blank", "closed"])
def test_instruction_that_does_not_come_is_said(hawser: Hawser, stdin: bytes | str) -> None:
    assert "Standard input" in complaint(hawser.ask("-", stdin=stdin), 2)


def test_folder_on_standard_input_is_said(hawser: Hawser, ollama: SimulatedOllama, tmp_path: Path) -> None:
    folder = os.open(tmp_path, os.O_RDONLY)
    try:
        done = hawser.ask("Hello", stdin=folder)
    finally:
        os.close(folder)

    # Python itself refuses this before any of our code runs.
    assert (done.code, done.out) == (1, b"")
    assert "<stdin> is a directory" in done.err
    assert not ollama.requests


def test_material_alone_is_a_question(hawser: Hawser, ollama: SimulatedOllama) -> None:
    assert hawser.ask("", stdin=b"echo only this").out == b"only this"


def test_nothing_at_all_is_no_question(hawser: Hawser, ollama: SimulatedOllama) -> None:
    assert "prompt is empty" in complaint(hawser.ask("  ", stdin=b""), 2)
    assert not ollama.requests


def test_input_larger_than_any_prompt_is_refused(hawser: Hawser, ollama: SimulatedOllama, tmp_path: Path) -> None:
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(65 * 1024 * 1024)
    with large.open("rb") as file:
        done = hawser.ask("Explain", stdin=file)

    assert "larger than 64 MiB" in complaint(done, 2)
    assert not ollama.requests
