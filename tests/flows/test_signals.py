"""Ends from outside: Ctrl+C, kill, a closed terminal, and the kill that nothing can be done about."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from providers.simulated.services import Answer, FaultKind, SimulatedOllama
from tests.flows.kit import Hawser, Services, complaint, finish, read_until

PIECES = tuple(f"piece {number}, " for number in range(6))


def begun(hawser: Hawser, ollama: SimulatedOllama, *words: str) -> subprocess.Popen[bytes]:
    """A call whose answer has come half way and then stands still."""
    ollama.answers.queue(Answer(tokens=PIECES))
    ollama.faults.once(FaultKind.STALL, 3)
    process = hawser.start("--prompt", "Count", *words)
    if not words:
        assert process.stdout is not None
        read_until(process.stdout.fileno(), lambda came: came.decode() == "".join(PIECES[:3]))
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_stopped_call_keeps_what_had_come_and_ends_upstream(
    hawser: Hawser, services: Services, ollama: SimulatedOllama, number: signal.Signals
) -> None:
    process = begun(hawser, ollama)

    process.send_signal(number)
    done = finish(process)

    assert complaint(done, 130) == "Interrupted."
    services.until_idle(ollama)
    assert ollama.cancelled_requests == 1
    answer = hawser.last_answer()
    assert (answer.state, answer.text, answer.finish) == ("stopped", "".join(PIECES[:3]), "stopped")
    assert [entry["outcome"] for entry in hawser.ledger()] == ["stopped"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_stopped_json_call_tells_what_had_come(
    hawser: Hawser, services: Services, ollama: SimulatedOllama, number: signal.Signals
) -> None:
    process = begun(hawser, ollama, "--json")
    until_stored(hawser, "".join(PIECES[:3]))

    process.send_signal(number)
    done = finish(process)

    assert done.code == 130
    document = done.json()
    assert (document["finish"], document["text"]) == ("stopped", "".join(PIECES[:3]))
    assert document["error"] == "Interrupted."
    assert [each["outcome"] for each in document["tried"]] == ["stopped"]


def until_stored(hawser: Hawser, text: str) -> None:
    """Wait until a running answer has so much in the store."""
    deadline = time.monotonic() + 30
    while not (hawser.store_file.exists() and text_so_far(hawser) == text):
        assert time.monotonic() < deadline
        os.sched_yield()


def text_so_far(hawser: Hawser) -> str:
    import sqlite3

    try:
        return "".join(message.text for message in hawser.messages() if message.role == "assistant")
    except sqlite3.OperationalError:  # the tables are not made yet
        return ""


def test_killed_call_is_found_by_the_next_one(hawser: Hawser, services: Services, ollama: SimulatedOllama) -> None:
    process = begun(hawser, ollama)
    until_stored(hawser, "".join(PIECES[:3]))

    process.kill()
    assert finish(process).code == -signal.SIGKILL
    services.until_idle(ollama)
    assert hawser.last_answer().state == "streaming"
    following = hawser.ask("echo next")

    assert (following.code, following.out) == (0, b"next")
    assert following.lines == ["hawser: 1 answer cut off by the end of another Hawser: what had come is kept."]
    killed = hawser.messages()[1]
    assert (killed.state, killed.text) == ("failed", "".join(PIECES[:3]))
    assert killed.error is not None
    assert hawser.ask("echo and quiet again").err == ""


def test_running_call_is_not_taken_for_a_dead_one(hawser: Hawser, services: Services, ollama: SimulatedOllama) -> None:
    process = begun(hawser, ollama)
    until_stored(hawser, "".join(PIECES[:3]))

    beside = hawser.ask("echo beside")
    state_meanwhile = hawser.messages()[1].state
    process.terminate()

    assert (beside.code, beside.out, beside.err) == (0, b"beside", "")
    assert state_meanwhile == "streaming"
    assert finish(process).code == 130


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_waiting_for_standard_input_can_be_ended(
    hawser: Hawser, ollama: SimulatedOllama, number: signal.Signals
) -> None:
    silent, end = os.pipe()
    try:
        process = hawser.start("--prompt", "Hello", stdin=silent)
        assert process.stderr is not None
        read_until(process.stderr.fileno(), lambda came: b"Waiting up to 3 s" in came)
        process.send_signal(number)
        done = finish(process)
    finally:
        os.close(silent)
        os.close(end)

    assert (done.code, done.err) == (130, "hawser: Interrupted.\n")
    assert not ollama.requests


def test_second_ctrl_c_takes_nothing_away(hawser: Hawser, services: Services, ollama: SimulatedOllama) -> None:
    process = begun(hawser, ollama)

    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)

    assert complaint(finish(process), 130)
    services.until_idle(ollama)
    assert hawser.ask("echo next").out == b"next"
    answer = hawser.messages()[1]
    assert answer.state in ("stopped", "failed")
    assert answer.text == "".join(PIECES[:3])


def test_ctrl_c_while_it_loads_leaves_no_traceback(hawser: Hawser) -> None:
    """In the middle of an import, where half a module is there."""
    interrupted = (
        "import sys\n"
        "from console.cli import entry\n"
        "when = sys.argv.pop(1)\n"
        "class Interrupt:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == when: raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupt())\n"
        "entry()"
    )
    for module in ("console.shell", "asyncio.tasks", "console.history.store"):
        process = subprocess.Popen(
            [sys.executable, "-c", interrupted, module, "--prompt", "Hello"],
            env=hawser.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        done = finish(process)
        assert (done.code, done.out) == (130, b""), module
        assert "Traceback" not in done.err


def test_call_started_with_nohup_outlives_its_terminal(
    hawser: Hawser, services: Services, ollama: SimulatedOllama
) -> None:
    ollama.faults.once(FaultKind.SLOW, 0.2)
    ollama.answers.queue("done all the same")
    process = hawser.start("--prompt", "Go on", before="trap '' HUP")
    services.until_running(ollama)

    process.send_signal(signal.SIGHUP)

    assert finish(process) == (0, b"done all the same", "")


def test_stop_before_the_first_word_keeps_the_question(
    hawser: Hawser, services: Services, ollama: SimulatedOllama
) -> None:
    ollama.faults.once(FaultKind.SLOW)
    process = hawser.start("--prompt", "Think long")
    services.until_running(ollama)

    process.send_signal(signal.SIGINT)

    assert finish(process).code == 130
    services.until_idle(ollama)
    question, answer = hawser.messages()
    assert question.text == "Think long"
    assert (answer.state, answer.text) == ("stopped", "")
