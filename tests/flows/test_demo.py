"""`hawser demo`: the same program on simulated services, and nothing left of it afterwards."""

from __future__ import annotations

import fcntl
import io
import json
import os
import re
import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

from console.cli import run
from console.commands import demo
from console.library.place import worker_place
from console.shell import Shell
from tests.flows.kit import PATIENCE_S, Hawser, finish, read_until

T = TypeVar("T")

FAST = ("demo", "--tokens-per-second", "5000")


@pytest.fixture
def visitor(tmp_path: Path) -> Hawser:
    """Somebody with nothing set up, whose temporary folder can be looked into."""
    (tmp_path / "tmp").mkdir()
    return Hawser(tmp_path / "visitor", env={"TMPDIR": str(tmp_path / "tmp"), "OPENAI_API_KEY": "sk-of-the-user"})


def left_behind(visitor: Hawser) -> list[Path]:
    return [*Path(visitor.env["TMPDIR"]).iterdir(), *visitor.home.rglob("*")]


@pytest.mark.parametrize("dashes", [[], ["--"]], ids=["plain", "dashes"])
def test_one_prompt(visitor: Hawser, dashes: list[str]) -> None:
    assert visitor.run(*FAST, *dashes, "--prompt", "echo hello") == (0, b"hello", "")
    assert left_behind(visitor) == []


def test_one_command(visitor: Hawser) -> None:
    done = visitor.run("demo", "model", "ls")

    assert (done.code, done.err) == (0, "")
    assert b"gpt-4.1" in done.out
    assert b"llama3.1:8b" in done.out


def test_failure_inside_is_the_failure_of_the_demo(visitor: Hawser) -> None:
    done = visitor.run("demo", "chat", "show", "nothing-like-it")

    assert done.code == 2
    assert done.err.startswith("hawser: ")


def test_piped_lines_are_a_conversation(visitor: Hawser) -> None:
    lines = "echo first\n\nchat ls\necho it's second\nhawser --prompt 'echo third' -m openai/gpt-4.1\ncost\ndemo\n"

    done = visitor.run(*FAST, stdin=lines.encode())

    assert done.code == 0
    out = done.out.decode()
    order = ("first", "echo first", "it's second", "third", "gpt-4.1")
    places = [out.index(word) for word in order]
    assert places == sorted(places), out
    assert "simulated services" in done.err
    assert "in the demo already" in done.err
    assert "sk-of-the-user" not in out + done.err
    assert left_behind(visitor) == []


def test_questions_in_it_go_on_with_one_chat(visitor: Hawser) -> None:
    done = visitor.run(*FAST, stdin=b"echo one\necho two\nchat ls --json\n")

    assert done.out.decode().count('"title"') == 1
    assert '"title": "echo one"' in done.out.decode()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL], ids=lambda number: number.name)
def test_end_of_the_demo_is_the_end_of_its_services(visitor: Hawser, number: signal.Signals) -> None:
    lines, end_of_lines = os.pipe()
    process = visitor.start(*FAST, stdin=lines)
    os.close(lines)
    assert process.stdout is not None
    os.write(end_of_lines, b"config show\nconfig path\n")
    shown = read_until(process.stdout.fileno(), lambda came: b"config.toml" in came and b"http://127" in came)
    found = re.search(rb"http://127\.0\.0\.1:(\d+)", shown)
    assert found is not None
    port = int(found[1])

    process.send_signal(number)
    done = finish(process)
    os.close(end_of_lines)

    assert done.code == (-number if number is signal.SIGKILL else 130)
    until_closed(port)
    if number is not signal.SIGKILL:
        assert left_behind(visitor) == []


def until_closed(port: int) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
        except ConnectionRefusedError:
            return
        assert time.monotonic() < deadline, "the simulated services are still there"
        os.sched_yield()


def test_machines_are_rented_from_simulated_clouds(visitor: Hawser) -> None:
    lines = "vm new box --gpu 4090 --cloud tensordock --yes\nvm ls --json\nvm destroy box --yes\n"

    done = visitor.run(*FAST, "--boot-seconds", "1", stdin=lines.encode())

    assert done.code == 0
    (box,) = json.loads(done.out)["items"]
    assert (box["name"], box["cloud"], box["gpu"]) == ("box", "tensordock", "RTX 4090")
    assert "box is being destroyed" in done.err
    assert left_behind(visitor) == []


def test_a_handbook_is_there_to_ask_and_its_process_goes_with_the_demo(tmp_path: Path) -> None:
    environment = Hawser(tmp_path / "visitor").env
    folder = tmp_path / "demo"
    folder.mkdir()
    outer = Shell(None, io.StringIO(), io.StringIO(), environment)
    with demo._simulated_services(5000, 0) as world:
        inner = demo._private_shell(folder, world, outer)
        with demo._handbook(folder, inner):
            until(lambda: "3-machines.md" in asked(inner, "berth port of Ollama 11434"))
        place = worker_place(inner.paths, inner.environment)
        until(lambda: place.lock.exists())
        demo._end_documents(inner)

    until(lambda: is_free(place.lock))
    assert not place.socket.exists()
    assert (folder / "handbook" / "1-welcome.md").read_text().startswith("# Handbook")
    assert not (tmp_path / "visitor" / "data").exists()


def is_free(path: Path) -> bool:
    """Whether no process holds this lock: it is let go when its process is gone."""
    with path.open("r+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def asked(shell: Shell, question: str) -> list[str]:
    """The documents that hold passages for a question in the demo, none while they are not read yet."""
    out = io.StringIO()
    asking = Shell(None, out, io.StringIO(), shell.environment)
    if not shell.paths.documents_file.exists() or run(["rag", "query", question, "--json"], asking) != 0:
        return []
    return [str(each["document"]) for each in json.loads(out.getvalue())["items"]]


def until(is_so: Callable[[], T]) -> T:
    """What it gives as soon as it gives something."""
    deadline = time.monotonic() + 4 * PATIENCE_S
    while not (given := is_so()):
        assert time.monotonic() < deadline, "it never came"
        threading.Event().wait(0.1)
    return given
