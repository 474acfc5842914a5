"""Writing in one's own editor: small shell scripts stand for the editors."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from console.editor import EditorFailed, edit, editor_command
from tests.conftest import run


def editor(folder: Path, script: str, name: str = "ed it") -> list[str]:
    program = folder / name
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return [str(program)]


def test_what_the_editor_leaves_comes_back(tmp_path: Path) -> None:
    command = editor(tmp_path, f'cat "$1" > {tmp_path}/seen; printf "new\\ntext\\n" > "$1"')

    assert run(edit("old text", command)) == "new\ntext"
    assert (tmp_path / "seen").read_text() == "old text\n"


def test_arguments_of_the_editor_are_given_to_it(tmp_path: Path) -> None:
    program = editor(tmp_path, 'echo "$1 $2" > "$3"')[0]

    command = editor_command({"EDITOR": f"'{program}' --wait 'two words'"})

    assert run(edit("", command)) == "--wait two words"


def test_visual_goes_before_editor(tmp_path: Path) -> None:
    (one,), (two,) = editor(tmp_path, "", "one"), editor(tmp_path, "", "two")

    assert editor_command({"VISUAL": one, "EDITOR": two}) == [one]
    assert editor_command({"VISUAL": " ", "EDITOR": two}) == [two]


def test_without_a_wish_a_usual_editor_is_taken(tmp_path: Path) -> None:
    (vi,) = editor(tmp_path, "", "vi")

    assert editor_command({"PATH": str(tmp_path)}) == [vi]


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"PATH": "/nowhere"}, "No editor"),
        ({"PATH": "/nowhere", "EDITOR": "vim -f"}, "'vim', named by \\$EDITOR, is not there"),
        ({"VISUAL": "vim 'open"}, "\\$VISUAL cannot be read"),
    ],
)
def test_no_editor_is_told_with_what_to_do(environment: dict[str, str], words: str) -> None:
    with pytest.raises(EditorFailed, match=words) as failed:
        editor_command(environment)

    assert failed.value.hint


def test_the_file_is_private_and_gone_afterwards(tmp_path: Path) -> None:
    look = 'stat -c %a "$1" "${1%/*}"; echo "$1"'
    command = editor(tmp_path, f"({look}) > {tmp_path}/seen")

    run(edit("secret", command))

    file_mode, folder_mode, name = (tmp_path / "seen").read_text().splitlines()
    assert (file_mode, folder_mode) == ("600", "700")
    assert not Path(name).exists()


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ('echo lost > "$1"; exit 3', "ended with code 3"),
        ('echo lost > "$1"; kill -TERM $$', "ended by signal 15"),
        ('rm "$1"', "cannot be read"),
        ('printf "\\377\\376\\200" > "$1"', "not UTF-8"),
        ('head -c 10000001 /dev/zero > "$1"', "more than"),
    ],
)
def test_a_failed_editor_raises_and_changes_nothing(tmp_path: Path, script: str, words: str) -> None:
    with pytest.raises(EditorFailed, match=words):
        run(edit("kept by the caller", editor(tmp_path, script)))


def test_a_program_that_cannot_be_started_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("not a program")
    (tmp_path / "plain").chmod(0o755)

    with pytest.raises(EditorFailed, match="did not start"):
        run(edit("", [str(tmp_path / "plain")]))


def test_an_interrupt_in_the_editor_does_not_end_us(tmp_path: Path) -> None:
    command = editor(tmp_path, f'kill -INT {os.getpid()}; printf whole > "$1"')
    before = signal.getsignal(signal.SIGINT)

    assert run(edit("", command)) == "whole"
    assert signal.getsignal(signal.SIGINT) is before


def test_the_loop_goes_on_while_one_writes(tmp_path: Path) -> None:
    ready = tmp_path / "go"
    os.mkfifo(ready)
    command = editor(tmp_path, f'cat {ready} > "$1"')

    async def body() -> str:
        writing = asyncio.create_task(edit("", command))
        await asyncio.to_thread(ready.write_text, "said by the loop")
        return await writing

    assert run(body()) == "said by the loop"


def test_an_editor_is_ended_with_the_one_who_waits_for_it(tmp_path: Path) -> None:
    started = tmp_path / "started"
    os.mkfifo(started)
    command = editor(tmp_path, f"echo $$ > {started}; exec sleep 600")

    async def body() -> int:
        writing = asyncio.create_task(edit("", command))
        process = int(await asyncio.to_thread(started.read_text))
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
        return process

    with pytest.raises(ProcessLookupError):
        os.kill(run(body()), 0)
