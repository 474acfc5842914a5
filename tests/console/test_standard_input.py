import io
import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from console import standard_input
from console.errors import UsageError
from console.shell import Shell
from console.standard_input import Material, decode, read_instruction, read_material


@contextmanager
def piped(content: bytes, *, stays_open: bool = False) -> Iterator[tuple[Shell, io.StringIO]]:
    reading, writing = os.pipe()
    os.write(writing, content)
    if not stays_open:
        os.close(writing)
    notes = io.StringIO()
    try:
        with open(reading) as stdin:
            yield Shell(stdin, io.StringIO(), notes, {}), notes
    finally:
        if stays_open:
            os.close(writing)


def test_piped_text_is_read_to_its_end() -> None:
    with piped("Grüße\n".encode()) as (shell, notes):
        assert read_material(shell, "auto") == Material("Grüße\n", "read")
        assert notes.getvalue() == ""


def test_an_empty_pipe_is_empty() -> None:
    with piped(b"") as (shell, _):
        assert read_material(shell, "auto") == Material(None, "empty")


def test_an_open_but_silent_pipe_is_skipped_and_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standard_input, "NOTE_AFTER_S", 0.01)
    monkeypatch.setattr(standard_input, "PATIENCE_S", 0.02)
    with piped(b"", stays_open=True) as (shell, notes):
        assert read_material(shell, "auto") == Material(None, "skipped")
        assert "going on without it" in notes.getvalue()


def test_off_never_looks() -> None:
    with piped(b"text") as (shell, _):
        assert read_material(shell, "off") == Material(None, "none")


def test_closed_standard_input_is_nothing() -> None:
    shell = Shell(None, io.StringIO(), io.StringIO(), {})

    assert read_material(shell, "wait") == Material(None, "none")
    with pytest.raises(UsageError, match="closed"):
        read_instruction(shell)


@pytest.mark.parametrize(
    ("content", "text"),
    [(b"\xef\xbb\xbfmark", "mark"), ("wide".encode("utf-16"), "wide"), ("é".encode(), "é")],
)
def test_text_of_known_encodings_is_read(content: bytes, text: str) -> None:
    assert decode(content) == text


@pytest.mark.parametrize("content", [b"\x89PNG\r\n\x1a\n\x00", b"caf\xe9", b"a\x00b"])
def test_binary_input_is_refused_with_a_remedy(content: bytes) -> None:
    with pytest.raises(UsageError) as caught:
        decode(content)

    assert "-a FILE" in (caught.value.hint or "")


def test_input_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standard_input, "MOST_BYTES", 1000)
    with piped(b"x" * 2000) as (shell, _), pytest.raises(UsageError, match="larger than"):
        read_material(shell, "auto")


def test_a_blank_instruction_is_refused() -> None:
    with piped(b" \n") as (shell, _), pytest.raises(UsageError, match="no instruction"):
        read_instruction(shell)
