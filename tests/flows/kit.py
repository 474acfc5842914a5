"""Black-box stories: the real `hawser` as a process of its own, the services simulated on loopback in a thread.

    with Services() as services:
        ollama = services.start(SimulatedOllama())
        hawser = Hawser(folder).settings(endpoint("inference", ollama), model="inference/llama3.1:8b")
        done = hawser.run("--prompt", "Hello")

Nothing here waits for luck: every wait is for a condition, with a deadline far beyond what it takes.
"""

from __future__ import annotations

import asyncio
import os
import select
import shlex
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple, Self, TypeAlias, TypeVar

from console.history import messages
from console.history.chats import ChatSummary, summaries
from console.history.messages import StoredMessage
from providers.simulated.services import SimulatedService

T = TypeVar("T")
Service = TypeVar("Service", bound=SimulatedService)

ROOT = Path(__file__).parents[2]
PATIENCE_S = 30.0
"""How long anything may take before a test gives up; a busy machine is not a failure."""

COMMAND = (sys.executable, "-c", "from console.cli import entry; entry()")
CLOSED = "closed"
"""A standard stream that is not there at all, as `<&-` and `>&-` make it."""

Stream: TypeAlias = int | IO[Any] | None


class Services:
    """Simulated services on an event loop in a thread of their own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="services", daemon=True)
        self._running: list[SimulatedService] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for service in reversed(self._running):
            self.do(service.__aexit__(None, None, None))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE_S)
        self._loop.close()

    def do(self, work: Awaitable[T]) -> T:
        """Run something on the services' loop and wait for it."""

        async def body() -> T:
            return await work

        return asyncio.run_coroutine_threadsafe(body(), self._loop).result(PATIENCE_S)

    def start(self, service: Service) -> Service:
        self.do(service.__aenter__())
        self._running.append(service)
        return service

    def until_running(self, service: SimulatedService) -> None:
        self.do(service.until_running())

    def until_idle(self, service: SimulatedService) -> None:
        self.do(service.until_idle())


class Done(NamedTuple):
    """How a process ended."""

    code: int
    out: bytes
    err: str

    @property
    def lines(self) -> list[str]:
        """What was said on stderr, line by line."""
        return self.err.splitlines()

    def json(self) -> dict[str, Any]:
        import json

        document = json.loads(self.out)
        assert isinstance(document, dict)
        return document

    def json_lines(self) -> list[dict[str, Any]]:
        import json

        return [json.loads(line) for line in self.out.splitlines()]


class Hawser:
    """One user: a folder, settings, an environment."""

    def __init__(self, home: Path, *, env: Mapping[str, str] | None = None) -> None:
        self.home = home
        home.mkdir(parents=True, exist_ok=True)
        self.env = {"HAWSER_HOME": str(home), "HAWSER_ISOLATED": "1", **bare_environment(), **(env or {})}

    @property
    def config_file(self) -> Path:
        return self.home / "config" / "config.toml"

    @property
    def store_file(self) -> Path:
        return self.home / "data" / "hawser.db"

    @property
    def log(self) -> str:
        file = self.home / "state" / "hawser.log"
        return file.read_text() if file.exists() else ""

    def settings(self, *tables: str, model: str | None = None) -> Self:
        """Write config.toml: the model of `[chat]`, then tables of settings."""
        self.config_file.parent.mkdir(parents=True, exist_ok=True)
        chat = [f'[chat]\nmodel = "{model}"'] if model else []
        self.config_file.write_text("\n\n".join([*chat, *tables]) + "\n")
        return self

    def start(
        self,
        *words: str,
        stdin: Stream | str = subprocess.DEVNULL,
        stdout: Stream | str = subprocess.PIPE,
        stderr: Stream = subprocess.PIPE,
        env: Mapping[str, str] | None = None,
        before: str = "",
        new_session: bool = False,
    ) -> subprocess.Popen[bytes]:
        """Start it without waiting. `before` is shell that runs first in its process, such as a limit; `env` replaces
        the whole environment."""
        command: Sequence[str] = [*COMMAND, *words]
        ends = ("<&- " if stdin == CLOSED else "") + (">&- " if stdout == CLOSED else "")
        if before or ends:
            command = ["/bin/sh", "-c", f"{before or ':'}; exec {shlex.join(command)} {ends}"]
        return subprocess.Popen(
            command,
            stdin=None if isinstance(stdin, str) else stdin,
            stdout=None if isinstance(stdout, str) else stdout,
            stderr=stderr,
            env=dict(self.env if env is None else env),
            cwd=self.home,
            start_new_session=new_session,
        )

    def run(
        self,
        *words: str,
        stdin: bytes | Stream | str = subprocess.DEVNULL,
        limit_s: float = PATIENCE_S,
        **how: Any,
    ) -> Done:
        """Run it to its end. Bytes for `stdin` come through a pipe that is closed behind them."""
        piped = stdin if isinstance(stdin, bytes) else None
        where: Any = subprocess.PIPE if piped is not None else stdin
        process = self.start(*words, stdin=where, **how)
        return finish(process, piped, limit_s=limit_s)

    def ask(self, prompt: str, *words: str, **how: Any) -> Done:
        return self.run("--prompt", prompt, *words, **how)

    # What it has stored, seen by another process

    @contextmanager
    def store(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(f"file:{self.store_file}?mode=ro", uri=True)) as connection:
            yield connection

    def chats(self) -> list[ChatSummary]:
        """Newest first."""
        with self.store() as connection:
            return summaries(connection, None)

    def messages(self, chat: str | None = None) -> list[StoredMessage]:
        """The messages of a chat, else of all chats, oldest first."""
        with self.store() as connection:
            chats = [chat] if chat else [each.id for each in reversed(summaries(connection, None))]
            return [message for each in chats for message in messages.tree(connection, each)]

    def last_answer(self) -> StoredMessage:
        answers = [message for message in self.messages() if message.role == "assistant"]
        return answers[-1]

    def ledger(self) -> list[dict[str, Any]]:
        with self.store() as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute("SELECT * FROM ledger ORDER BY seq")]


def bare_environment() -> dict[str, str]:
    """What a process needs to be our program at all, where the test's own workers meet, and what measures its
    coverage."""
    passed_on = {
        name: value for name, value in os.environ.items() if name.startswith("COVERAGE_") or name == "XDG_RUNTIME_DIR"
    }
    return {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error", **passed_on}


def unmeasured(env: Mapping[str, str]) -> dict[str, str]:
    """An environment without what measures coverage, which loads modules and writes a file of its own."""
    return {name: value for name, value in env.items() if not name.startswith("COVERAGE_")}


def finish(process: subprocess.Popen[bytes], piped: bytes | None = None, *, limit_s: float = PATIENCE_S) -> Done:
    """The rest of a process that was started; ended by force, and a failure, if that takes for ever."""
    try:
        out, err = process.communicate(piped, timeout=limit_s)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        raise AssertionError(f"it did not end; so far: {out[-500:]!r} {(err or b'')[-2000:]!r}") from None
    return Done(process.returncode, out or b"", (err or b"").decode())


def read_until(descriptor: int, is_enough: Callable[[bytes], bool]) -> bytes:
    """Read a pipe or terminal until there is enough, or nothing more comes."""
    came = b""
    deadline = time.monotonic() + PATIENCE_S
    while not is_enough(came):
        left_s = deadline - time.monotonic()
        if left_s <= 0 or not select.select([descriptor], [], [], left_s)[0]:
            raise AssertionError(f"only {came!r} came")
        try:
            piece = os.read(descriptor, 65536)
        except OSError:  # a terminal whose other side is closed
            return came
        if not piece:
            return came
        came += piece
    return came


def endpoint(name: str, service: SimulatedService | str, *lines: str, wire: str | None = None) -> str:
    """The settings of an endpoint; a service's key is named after the endpoint (see `key_of`)."""
    if isinstance(service, str):
        base_url, wire = service, wire or "openai"
    else:
        base_url, wire = service.base_url, wire or service.wire
    return "\n".join([f"[endpoints.{name}]", f'wire = "{wire}"', f'base_url = "{base_url}"', *lines])


def key_of(name: str, service: SimulatedService) -> dict[str, str]:
    """The environment variable that holds the key of an endpoint."""
    assert service.key is not None
    return {f"HAWSER_KEY_{name.upper()}": service.key}


def complaint(done: Done, code: int) -> str:
    """The one sentence of a failure: the right exit code, one line at the end, a hint at most, and no more."""
    assert done.code == code, (done.code, done.err)
    assert "Traceback" not in done.err
    assert "fault in Hawser" not in done.err
    ours = [number for number, line in enumerate(done.lines) if line.startswith("hawser: ")]
    assert ours, done.err
    after = done.lines[ours[-1] + 1 :]
    assert len(after) <= 1, done.err
    assert all(line.startswith("  ") for line in after), done.err
    sentence = done.lines[ours[-1]].removeprefix("hawser: ")
    assert sentence.endswith((".", "?")), sentence
    return sentence
