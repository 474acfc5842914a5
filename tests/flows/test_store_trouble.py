"""The history under an answer: locked, full, damaged by a kill, out of step with the clock, and very large."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

from providers.simulated.services import Answer, SimulatedOllama, Speed
from tests.flows.kit import COMMAND, Hawser, complaint, finish, unmeasured

YEAR_2100_MS = 4_102_444_800_000


@contextmanager
def locked(hawser: Hawser) -> Iterator[sqlite3.Connection]:
    """Hold the store as a process does that is in the middle of a long write."""
    connection = sqlite3.connect(hawser.store_file, isolation_level=None, check_same_thread=False)
    with closing(connection):
        connection.execute("BEGIN EXCLUSIVE")
        yield connection


def test_locked_store_is_waited_for(hawser: Hawser, ollama: SimulatedOllama) -> None:
    assert hawser.ask("echo first").code == 0

    with locked(hawser) as connection:
        process = hawser.start("--prompt", "echo second")
        release = threading.Timer(1.0, connection.execute, ["ROLLBACK"])
        release.start()
        began = time.monotonic()
        done = finish(process)
        release.join()

    assert (done.code, done.out, done.err) == (0, b"second", "")
    assert time.monotonic() - began >= 0.9
    assert hawser.last_answer().text == "second"


def test_store_locked_for_longer_is_said_and_nothing_is_asked(hawser: Hawser, ollama: SimulatedOllama) -> None:
    """The only story that takes the ten seconds of the contract."""
    assert hawser.ask("echo first").code == 0

    with locked(hawser):
        done = hawser.ask("echo second", "--json")

    assert "did not let go of it for 10 s" in complaint(done, 1)
    assert done.json()["finish"] == "failed"
    assert len(ollama.requests_to("/api/chat")) == 1
    assert hawser.ask("echo third").out == b"third"


def test_disk_that_is_full_under_an_answer_does_not_take_it_from_its_reader(
    hawser: Hawser, ollama: SimulatedOllama
) -> None:
    assert hawser.ask("echo before").code == 0
    text = "0123456789" * 10
    ollama.answers.queue(Answer(tokens=(text,) * 20_000))
    ollama.speed = Speed(tokens_per_second=20_000)
    room = max(file.stat().st_size for file in hawser.store_file.parent.glob("hawser.db*")) + 300_000

    done = hawser.ask("Write much", before=f"ulimit -f {room // 512}", env=unmeasured(hawser.env))

    assert "The disk" in complaint(done, 1)
    assert done.out == text.encode() * 20_000
    # There is room again: what had been stored is there, and things go on.
    ollama.speed = Speed()
    assert hawser.ask("echo after").out == b"after"
    stored = hawser.messages()
    assert [message.text for message in stored if message.role == "user"] == ["echo before", "Write much", "echo after"]
    assert stored[3].state == "failed"
    assert (text * 20_000).startswith(stored[3].text)


def test_no_room_for_the_question_means_that_it_is_not_asked(hawser: Hawser, ollama: SimulatedOllama) -> None:
    done = hawser.ask("Hello", before="ulimit -f 8", env=unmeasured(hawser.env))

    assert "The disk" in complaint(done, 1)
    assert not ollama.requests
    assert hawser.ask("echo there is room again").code == 0


def test_history_that_cannot_be_made_is_said_and_nothing_is_asked(hawser: Hawser, ollama: SimulatedOllama) -> None:
    (hawser.home / "data").write_text("a file where the folder should be")

    done = hawser.ask("Hello")

    assert "cannot be made" in complaint(done, 1)
    assert not ollama.requests_to("/api/chat")


def test_damaged_store_is_set_aside_and_the_question_answered(hawser: Hawser) -> None:
    assert hawser.ask("echo before").code == 0
    for file in hawser.store_file.parent.glob("hawser.db*"):
        if file.suffix != ".lock":
            file.write_bytes(b"this is no database" * 1000)

    done = hawser.ask("echo after")

    assert (done.code, done.out) == (0, b"after")
    assert done.lines
    assert all(line.startswith(("hawser: ", "  ")) for line in done.lines)
    assert list((hawser.home / "data").rglob("*")), "the damaged file is kept"
    assert any(b"this is no database" in file.read_bytes() for file in (hawser.home / "data").rglob("*.db*"))
    assert hawser.last_answer().text == "after"


def test_store_of_a_later_version_is_left_alone(hawser: Hawser, ollama: SimulatedOllama) -> None:
    assert hawser.ask("echo before").code == 0
    with closing(sqlite3.connect(hawser.store_file)) as connection:
        connection.execute("PRAGMA user_version = 999")

    done = hawser.ask("echo after")

    assert "later version" in complaint(done, 1)
    assert len(ollama.requests_to("/api/chat")) == 1


def test_clock_that_was_ahead_does_not_get_in_the_way(hawser: Hawser, ollama: SimulatedOllama) -> None:
    assert hawser.ask("echo written in 2100").code == 0
    with closing(sqlite3.connect(hawser.store_file)) as connection:
        ahead = YEAR_2100_MS - int(time.time() * 1000)
        for table, last in (("chats", "updated_at"), ("messages", "ended_at")):
            connection.execute(
                f"UPDATE {table} SET seq = seq + ?, created_at = created_at + ?, {last} = ?",
                [ahead, ahead, YEAR_2100_MS],
            )
        connection.execute(
            "INSERT INTO breakers (endpoint, failures, failed_at, open_until) VALUES ('inference', 9, ?, ?)",
            [YEAR_2100_MS, YEAR_2100_MS],
        )
        connection.commit()
    future = hawser.chats()[0].id

    first = hawser.ask("echo now", "--json").json()["chat"]
    second = hawser.ask("echo go on", "-c", "--json").json()["chat"]
    revived = hawser.ask("echo and there", "--chat", future, "--json").json()["chat"]

    assert first == second != future
    assert revived == future
    assert [message["content"] for message in ollama.last_json["messages"]] == [
        "echo written in 2100",
        "written in 2100",
        "echo and there",
    ]


def test_many_at_once_all_keep_their_answers(hawser: Hawser, ollama: SimulatedOllama) -> None:
    processes = [hawser.start("--prompt", f"echo number {number}") for number in range(6)]

    done = [finish(process) for process in processes]

    assert [(each.code, each.err) for each in done] == [(0, "")] * 6
    answers = sorted(message.text for message in hawser.messages() if message.role == "assistant")
    assert answers == [f"number {number}" for number in range(6)]
    assert len(hawser.ledger()) == 6


MEASURED = """
import json, resource, subprocess, sys
with open(sys.argv[1], "w") as report:
    code = subprocess.run(sys.argv[2:]).returncode
    json.dump(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, report)
sys.exit(code)
"""
"""A parent of its own, for the peak of a process counts what its parent had when it was made."""


def test_answer_of_a_hundred_megabytes_takes_a_few_times_that(hawser: Hawser, ollama: SimulatedOllama) -> None:
    assert hawser.ask("echo before").code == 0
    piece = ("a line of some words, as models write them\n" * 1600)[:65536]
    ollama.answers.queue(Answer(tokens=(piece,) * 1600))
    report = hawser.home / "peak.json"

    process = subprocess.Popen(
        [sys.executable, "-c", MEASURED, str(report), *COMMAND, "--prompt", "Write very much"],
        env=hawser.env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    came = 0
    while chunk := process.stdout.read(1 << 20):
        came += len(chunk)
    done = finish(process)

    size = 1600 * 65536
    stored = hawser.last_answer()
    peak_mb = json.loads(report.read_text()) / (1024 if sys.platform == "linux" else 1024 * 1024)
    shutil.rmtree(hawser.store_file.parent)  # half a gigabyte that nobody will look at again
    assert (done.code, done.err, came) == (0, "", size)
    assert (stored.state, len(stored.text)) == ("complete", size)
    assert peak_mb < 12 * size / 1e6
