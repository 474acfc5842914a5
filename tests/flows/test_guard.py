"""`hawser guard` as a process: one of all that run guards, and the next takes over when it is killed or frozen."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from tests.flows.kit import Hawser, Services, bare_environment
from tests.flows.machine_kit import GpuBox

HANDED_OVER_S = 15.0


@contextmanager
def guard(user: Hawser) -> Iterator[subprocess.Popen[bytes]]:
    process = user.start("guard", "--jsonl")
    try:
        yield process
    finally:
        process.send_signal(signal.SIGCONT)
        process.terminate()
        process.communicate()


def told(process: subprocess.Popen[bytes], word: str) -> dict[str, Any]:
    """The next event of this kind."""
    assert process.stdout is not None
    for line in process.stdout:
        event: dict[str, Any] = json.loads(line)
        if event["ev"] == word:
            return event
    assert process.stderr is not None
    raise AssertionError(process.stderr.read().decode())


def test_next_process_guards_after_the_first_was_killed(tmp_path: Path) -> None:
    user = Hawser(tmp_path, env=bare_environment())
    with guard(user) as first:
        told(first, "guarding")
        with guard(user) as second:
            assert told(second, "waiting")["process"] == str(first.pid)

            first.kill()
            killed_s = time.monotonic()
            told(second, "guarding")

            assert time.monotonic() - killed_s < HANDED_OVER_S


def test_next_process_guards_after_the_first_froze_which_steps_down_when_it_wakes(tmp_path: Path) -> None:
    user = Hawser(tmp_path, env=bare_environment())
    with guard(user) as first:
        told(first, "guarding")
        with guard(user) as second:
            told(second, "waiting")

            first.send_signal(signal.SIGSTOP)
            frozen_s = time.monotonic()
            told(second, "guarding")
            taken_s = time.monotonic()
            first.send_signal(signal.SIGCONT)
            told(first, "stepped-down")

            assert taken_s - frozen_s < HANDED_OVER_S


def test_interrupted_guard_gives_the_role_back(tmp_path: Path) -> None:
    user = Hawser(tmp_path, env=bare_environment())
    with guard(user) as first:
        told(first, "guarding")
        first.send_signal(signal.SIGINT)
        first.communicate()

        assert first.returncode == 130
    with user.store() as connection:
        assert connection.execute("SELECT count(*) FROM roles WHERE name = 'guard'").fetchone() == (0,)


def test_one_round_with_nothing_to_do_is_a_success(tmp_path: Path) -> None:
    done = Hawser(tmp_path, env=bare_environment()).run("guard", "--once")

    assert (done.code, done.out, done.err) == (0, b"", "")


def test_round_that_cannot_prove_an_end_fails(tmp_path: Path) -> None:
    user = Hawser(tmp_path, env=bare_environment())
    assert user.run("guard", "--once").code == 0
    with closing(sqlite3.connect(user.store_file)) as connection:
        connection.execute(
            "INSERT INTO machines (seq, name, cloud, cloud_id, label, origin, desired, state, state_at, at_end,"
            " created_at, seen_at) VALUES (1, 'gpu1', 'vast', '7', 'hawser-gpu1-7f3k2m9q', 'launched', 'stopped',"
            " 'stopping', 0, 'stop', 0, 0)"
        )
        connection.execute(
            "INSERT INTO deeds (machine, what, why, step, owner, begun_at) VALUES (1, 'stop', 'idle', 'sent', '1:1', 0)"
        )
        connection.commit()

    done = user.run("guard", "--once", "--jsonl")

    assert done.code == 8
    assert any(event["ev"] == "alarm" and event["subject"] == "stop:gpu1" for event in done.json_lines())


def test_unit_runs_the_guard(tmp_path: Path) -> None:
    done = Hawser(tmp_path, env=bare_environment()).run("guard", "--unit")

    assert done.code == 0
    lines = done.out.decode().splitlines()
    assert any(line.startswith("ExecStart=") and line.endswith(" guard") for line in lines)
    assert "Description=Hawser guard of rented machines" in lines


def test_link_to_a_machine_that_is_to_be_ended_guards_as_well(services: Services, tmp_path: Path) -> None:
    box = GpuBox(services, {})
    try:
        user = Hawser(tmp_path).settings(box.settings("[]", 'stop = "true"', 'start = "true"', 'at_end = "stop"'))
        process = user.start("link", "up", box.name, "--jsonl")
        try:
            told(process, "up")
            with guard(user) as second:
                assert told(second, "waiting")["process"] == str(process.pid)
        finally:
            process.terminate()
            process.communicate()
    finally:
        box.close()


def test_link_to_a_machine_that_nobody_ends_does_not_guard(services: Services, tmp_path: Path) -> None:
    box = GpuBox(services, {})
    try:
        user = Hawser(tmp_path).settings(box.settings("[]"))
        process = user.start("link", "up", box.name, "--jsonl")
        try:
            told(process, "up")
            with guard(user) as second:
                told(second, "guarding")
        finally:
            process.terminate()
            process.communicate()
    finally:
        box.close()
