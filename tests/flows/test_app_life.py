"""The app as a process on a terminal: how it starts, is stopped and goes on, fails, and ends."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from benchmarks.pty_drive import PATIENCE_S, PtyProgram
from tests.flows.kit import CLOSED, COMMAND, ROOT, Hawser, complaint

QUIT, SUSPEND, LOGS = b"\x11", b"\x1a", b"\x1b[19~"
ENTERED, LEFT = b"\x1b[?1049h", b"\x1b[?1049l"
FOOTER = b"New line"
"""A word of the footer: the first frame of the app's own is there."""

FAULT = """
from screens.app import HawserApp
def fail(self):
    raise LookupError("\x1b[31mno such thing")
HawserApp.action_help = fail
from console.cli import entry
entry()
"""


@pytest.fixture
def user(tmp_path: Path) -> Hawser:
    return Hawser(tmp_path / "user").settings()


def app(
    user: Hawser, *words: str, env: Mapping[str, str] | None = None, size: tuple[int, int] = (100, 30)
) -> PtyProgram:
    return PtyProgram(
        [*COMMAND, *words], size=size, environment={**user.env, "HOME": str(user.home), **(env or {})}, folder=user.home
    )


def after_the_screen(program: PtyProgram) -> str:
    """What is said once the terminal is itself again."""
    return program.output.rpartition(LEFT)[2].decode()


def has_left(program: PtyProgram) -> bool:
    return ENTERED in program.output and LEFT in program.output.rpartition(ENTERED)[2]


def test_app_opens_and_leaves_the_terminal_as_it_was(user: Hawser) -> None:
    with app(user) as program:
        before = program.manner_before
        program.wait_for(FOOTER)
        during = program.manner

        program.send(QUIT)

        assert program.ended() == 0
        assert program.manner == before != during
        assert has_left(program)
        assert "Traceback" not in after_the_screen(program)


def test_keys_typed_before_the_app_is_there_are_obeyed(user: Hawser) -> None:
    with app(user) as program:
        program.wait_for(ENTERED, raw=True)

        program.send(QUIT)

        assert program.ended() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_asked_to_end_it_gives_the_terminal_back(user: Hawser, number: signal.Signals) -> None:
    with app(user) as program:
        before = program.manner_before
        program.wait_for(FOOTER)

        program.signal(number)

        assert program.ended() == 130
        assert program.manner == before
        assert has_left(program)


@pytest.mark.parametrize(
    ("happens", "code"),
    [("import signal; signal.raise_signal(signal.SIGTERM)", 130), ("raise KeyboardInterrupt", 130), ("1 / 0", 1)],
    ids=["signal", "interrupt", "fault"],
)
def test_what_ends_it_while_it_starts_gives_the_terminal_back(user: Hawser, happens: str, code: int) -> None:
    standing_in = user.home / "modules" / "textual"
    standing_in.mkdir(parents=True)
    (standing_in / "__init__.py").write_text(happens)
    with app(user, env={"PYTHONPATH": f"{standing_in.parent}:{ROOT}"}) as program:
        before = program.manner_before

        assert program.ended() == code
        assert program.manner == before
        assert has_left(program)


def test_end_of_the_terminal_is_the_end_of_the_app(user: Hawser) -> None:
    with app(user) as program:
        program.wait_for(FOOTER)

        program.hang_up()

        assert program.process.wait(PATIENCE_S) == 130


def test_end_of_a_terminal_that_sends_no_signal_is_the_end_of_the_app(user: Hawser) -> None:
    deaf = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN); from console.cli import entry; entry()"
    with PtyProgram([sys.executable, "-c", deaf], environment=user.env) as program:
        program.wait_for(FOOTER)

        program.hang_up()

        assert program.process.wait(PATIENCE_S) == 130


def test_stopped_by_key_it_goes_on_with_a_whole_screen(user: Hawser) -> None:
    with app(user) as program:
        before = program.manner_before
        program.wait_for(FOOTER)

        program.send(SUSPEND)
        os.waitpid(program.process.pid, os.WUNTRACED)
        program.is_settled()
        manner_while_stopped, left_while_stopped = program.manner, has_left(program)
        again = program.mark()
        program.signal(signal.SIGCONT)

        program.wait_for(FOOTER, since=again)
        program.send(QUIT)
        assert program.ended() == 0
        assert (manner_while_stopped, left_while_stopped) == (before, True)
        assert program.manner == before


def test_stopped_from_outside_it_goes_on_with_a_whole_screen(user: Hawser) -> None:
    with app(user) as program:
        before = program.manner_before
        program.wait_for(FOOTER)
        program.wait_until_quiet()

        program.signal(signal.SIGSTOP)
        os.waitpid(program.process.pid, os.WUNTRACED)
        again = program.mark()
        program.signal(signal.SIGCONT)

        program.wait_for(FOOTER, since=again)
        program.send(QUIT)
        assert program.ended() == 0
        assert program.manner == before


def test_fault_is_one_sentence_on_a_terminal_that_is_itself_again(user: Hawser) -> None:
    with PtyProgram([sys.executable, "-c", FAULT], environment=user.env) as program:
        before = program.manner_before
        program.wait_for(FOOTER)

        program.send(b"\x1bOP")

        assert program.ended() == 1
        assert program.manner == before
        said = after_the_screen(program)
        assert "hawser: Hawser had to close because of a fault of its own (LookupError: ␛[31mno such thing)." in said
        assert "hawser.log" in said
        assert "Traceback" not in said
        assert "Traceback" in user.log


def test_wrong_settings_are_told_once_the_terminal_is_itself_again(user: Hawser) -> None:
    user.settings("[chatt]\nmodel = 1")
    with app(user) as program:
        before = program.manner_before

        assert program.ended() == 3
        assert program.manner == before
        assert has_left(program)
        assert "chatt is not a group of settings" in after_the_screen(program)


def test_dumb_terminal_is_told_what_else_there_is(user: Hawser) -> None:
    with app(user, env={"TERM": "dumb"}) as program:
        assert program.ended() == 2
        said = program.output.decode()
        assert "cannot be drawn on this terminal" in said
        assert "--prompt" in said
        assert "\x1b" not in said


@pytest.mark.parametrize("stdin", [subprocess.DEVNULL, CLOSED], ids=["null", "closed"])
def test_without_a_terminal_it_says_so(user: Hawser, stdin: int | str) -> None:
    done = user.run(stdin=stdin)

    assert complaint(done, 2) == "The terminal app needs a terminal, and standard input is none."
    assert done.out == b""


def test_complaints_may_go_to_a_file(user: Hawser) -> None:
    script = ["/bin/sh", "-c", 'exec "$@" 2>complaints', "sh", sys.executable, "-c", FAULT]
    with PtyProgram(script, environment=user.env, folder=user.home) as program:
        program.wait_for(FOOTER)

        program.send(b"\x1bOP")

        assert program.ended() == 1
        assert has_left(program)
        assert "hawser: Hawser had to close" in (user.home / "complaints").read_text()
        assert "hawser: Hawser had to close" not in program.output.decode()


def test_output_may_go_to_a_file(user: Hawser) -> None:
    script = ["/bin/sh", "-c", 'exec "$@" >output', "sh", *COMMAND]
    with PtyProgram(script, size=(90, 20), environment=user.env, folder=user.home) as program:
        program.wait_for(FOOTER)
        program.send(QUIT)

        assert program.ended() == 0
        assert b"\x1b[20;1H" in program.output
        assert b"\x1b[21;1H" not in program.output
        assert (user.home / "output").read_bytes() == b""


def test_two_at_once(user: Hawser) -> None:
    with app(user) as first, app(user) as second:
        first.wait_for(FOOTER)
        second.wait_for(FOOTER)

        first.send(QUIT)
        second.send(QUIT)

        assert (first.ended(), second.ended()) == (0, 0)


def test_no_colour_is_none(user: Hawser) -> None:
    with app(user, env={"NO_COLOR": "1"}) as program:
        program.wait_for(FOOTER)
        program.send(LOGS)
        program.send(QUIT)

        assert program.ended() == 0
        assert not [each for each in colours_in(program.output) if each not in (b"39", b"49")]


def colours_in(output: bytes) -> list[bytes]:
    """The codes that set a colour, without those of manners such as bold."""
    codes = [code for run in re.findall(rb"\x1b\[([0-9;]*)m", output) for code in run.split(b";")]
    return [code for code in codes if code and (30 <= int(code) <= 49 or 90 <= int(code) <= 107)]


def test_next_start_begins_with_the_last_frame(user: Hawser) -> None:
    with app(user) as program:
        program.wait_for(FOOTER)
        program.wait_until_quiet()
        program.send(QUIT)
        assert program.ended() == 0
    kept = user.home / "state" / "last-screen"
    content = kept.read_bytes().partition(b"\n")[2]

    with app(user) as program:
        program.wait_for(FOOTER)

        assert content in program.output.partition(b"\x1b[?2026h")[0]
    assert kept.stat().st_mode & 0o777 == 0o600


def test_frame_of_another_size_is_not_shown(user: Hawser) -> None:
    with app(user) as program:
        program.wait_for(FOOTER)
        program.wait_until_quiet()
        program.send(QUIT)
        assert program.ended() == 0

    with app(user, size=(80, 24)) as program:
        program.wait_for(FOOTER)

        early = program.output.partition(b"\x1b[?2026h")[0]
        assert b"Hawser" in early
        assert FOOTER not in early
