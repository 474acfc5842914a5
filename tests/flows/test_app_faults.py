"""What goes wrong around the app while it works: kills, other windows, old terminals, a store that cannot be used."""

from __future__ import annotations

import re
import signal
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager

import pytest

from benchmarks.pty_drive import PtyProgram
from providers.simulated.answers import count_tokens
from providers.simulated.services import FaultKind, SimulatedOllama
from tests.flows.kit import COMMAND, Hawser, Services

FOOTER = b"New line"
LOOKED_AT_AGAIN = b"\x1b[O\x1b[I"
ENTER, QUIT, CANCEL = b"\r", b"\x11", b"\x03"
LEFT = b"\x1b[?1049l"


def app(
    user: Hawser, *, env: Mapping[str, str] | None = None, size: tuple[int, int] = (120, 36), modern: bool = True
) -> PtyProgram:
    environment = {**user.env, "HOME": str(user.home), **(env or {})}
    return PtyProgram(COMMAND, size=size, environment=environment, folder=user.home, modern=modern)


def ask(program: PtyProgram, words: str) -> None:
    """Have some words said after us, and wait for the figures under them. In a test no two are of one length."""
    since = program.mark()
    program.send(f"echo {words}".encode() + ENTER)
    program.wait_for(f"\N{RIGHTWARDS ARROW} {count_tokens(words)} tokens".encode(), since=since)


def told(words: str) -> Callable[[bytes], bool]:
    """Whether words are on the screen that may be broken over several lines of a box."""
    return lambda came: words.encode() in re.sub(rb"[\s\xe2\x96\x8c]+", b" ", came)


def begin_to_answer(program: PtyProgram, ollama: SimulatedOllama) -> None:
    """Ask, and let the answer stop in the middle with the connection open."""
    ollama.faults.once(FaultKind.STALL, 3)
    program.send(b"echo three words came and the rest did not" + ENTER)
    program.wait_for(b"three words came")


def until_stored(program: PtyProgram, user: Hawser, statement: str, expected: object) -> None:
    """Until a statement finds this in the store, as another process sees it."""

    def is_there(_: bytes) -> bool:
        with user.store() as connection:
            return [row[0] for row in connection.execute(statement)] == expected

    program.wait_for(is_there)


def test_killed_in_the_middle_of_an_answer(hawser: Hawser, ollama: SimulatedOllama, services: Services) -> None:
    with app(hawser) as program:
        program.wait_for(FOOTER)
        begin_to_answer(program, ollama)
        program.send(b"half a question, not sent")
        until_stored(program, hawser, "SELECT text FROM drafts", ["half a question, not sent"])
        until_stored(program, hawser, "SELECT group_concat(text, '') FROM parts", ["three words came"])

        program.signal(signal.SIGKILL)
        assert program.process.wait() == -signal.SIGKILL
        services.until_idle(ollama)

    with app(hawser) as program:
        program.wait_for(FOOTER)
        program.wait_for(b"three words came and the rest did not")
        program.wait_for(b"half a question, not sent")
        program.wait_for(b"The program was ended while this answer arrived.")
        program.wait_for(told("1 answer cut off by the end of another Hawser: what had come is kept."))
        program.send(CANCEL + QUIT)
        assert program.ended() == 0
    question, answer = hawser.messages()
    assert (question.text, answer.text, answer.state) == (
        "echo three words came and the rest did not",
        "three words came",
        "failed",
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_asked_to_end_in_the_middle_of_an_answer(
    hawser: Hawser, ollama: SimulatedOllama, services: Services, number: signal.Signals
) -> None:
    with app(hawser) as program:
        before = program.manner_before
        program.wait_for(FOOTER)
        begin_to_answer(program, ollama)
        program.send(b"next I ask")
        program.wait_for(b"next I ask")

        program.signal(number)

        assert program.ended() == 130
        assert program.manner == before
        assert b"Traceback" not in program.output.rpartition(LEFT)[2]
        services.until_idle(ollama)
    answer = hawser.last_answer()
    assert (answer.text, answer.state) == ("three words came", "stopped")
    with hawser.store() as connection:
        assert [row[0] for row in connection.execute("SELECT text FROM drafts")] == ["next I ask"]


def test_two_windows_on_one_chat(hawser: Hawser) -> None:
    with app(hawser) as first:
        first.wait_for(FOOTER)
        ask(first, "begun")
        with app(hawser) as second:
            second.wait_for(b"begun")
            ask(second, "said in the second")

            # the first sees it as soon as it is looked at
            first.send(LOOKED_AT_AGAIN)
            first.wait_for(b"said in the second")
            ask(first, "and answered in the first")

            # the second deletes the chat under it; what is asked then is not lost
            second.send(b"\x10Delete chat" + ENTER)
            second.wait_for(b"Delete")
            second.wait_for(b"What is it about?")
            since = first.mark()
            first.send(LOOKED_AT_AGAIN)
            first.wait_for(told("This chat is deleted. What you ask next begins a new one."), since=since)
            ask(first, "nothing is lost")
            for program in (second, first):
                program.send(QUIT)
                assert program.ended() == 0
    assert [message.text for message in hawser.messages()] == ["echo nothing is lost", "nothing is lost"]


@pytest.mark.parametrize("term", ["vt100", "linux", "no-such-terminal"])
def test_old_terminals(hawser: Hawser, ollama: SimulatedOllama, services: Services, term: str) -> None:
    """Without answers to questions, brackets around pastes, a mouse or many colours."""
    with app(hawser, env={"TERM": term, "COLORTERM": ""}, size=(80, 24), modern=False) as program:
        before = program.manner_before
        program.wait_for(FOOTER)
        program.send(b"echo two\nlines" + ENTER)
        program.wait_for(b" 3 tokens")
        begin_to_answer(program, ollama)
        program.send(b"\x1b")
        program.wait_for(b"Stopped.")
        services.until_idle(ollama)
        assert b"\x1b[38;2;" not in program.output
        program.send(QUIT)
        assert program.ended() == 0
        assert program.manner == before
    assert hawser.messages()[0].text == "echo two\nlines"


@contextmanager
def held(user: Hawser) -> Iterator[sqlite3.Connection]:
    """The store in the hands of another process that lets nobody else in."""
    connection = sqlite3.connect(user.store_file, isolation_level=None, check_same_thread=False)
    with closing(connection):
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("BEGIN EXCLUSIVE")
        yield connection


def test_store_in_the_hands_of_another(hawser: Hawser) -> None:
    assert hawser.ask("echo from before").code == 0
    with app(hawser) as program:
        with held(hawser) as other:
            program.wait_for(FOOTER)
            program.send(b"written meanwhile")
            program.wait_for(b"written meanwhile")
            other.execute("ROLLBACK")
        program.wait_for(b"from before")
        program.send(CANCEL)
        ask(program, "after all of that")
        program.send(QUIT)
        assert program.ended() == 0
    assert hawser.last_answer().text == "after all of that"


def test_home_that_cannot_be_written(hawser: Hawser) -> None:
    (hawser.home / "data").write_text("a file where a folder belongs")
    with app(hawser) as program:
        program.wait_for(FOOTER)
        program.wait_for(str(hawser.home / "data").encode()[-20:])
        program.send(b"what I wrote stays" + ENTER)
        program.wait_for(b"what I wrote stays")
        program.send(CANCEL + QUIT)
        assert program.ended() == 0
        assert b"Traceback" not in program.output
