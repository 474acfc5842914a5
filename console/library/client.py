"""The way of a program to the documents' worker: found or started, asked, listened to, and found again if it dies.

    client = await connect(paths)            starts the worker if there is none; with start=False `NoWorker` then
    await client.call("add", paths=[…], collection="manuals")
    async for event in client.events(): …    progress, changes, and {"event": "restarted"} after a crash
    await client.close()

Requests that may be said twice are said again after a crash, once the worker is back; others raise `WorkerFailed`.
A worker that dies again and again is not started any more, and the last line of its log is told.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import subprocess
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

import console
from console.errors import NoWorker, TimeLimit, WorkerFailed
from console.library.once import answered, ask_once
from console.library.place import Place, holder, is_private, worker_place
from console.paths import Paths, private_folder
from rag.errors import RagError
from rag.sockets import LARGEST_FRAME_BYTES, PROTOCOL, frame, is_ours, message

__all__ = ["WorkerClient", "ask_once", "connect"]

REPEATABLE: Final = {
    *("hello", "status", "retrieve", "wait", "check", "add", "add_text", "agree", "tag"),
    *("pause", "resume", "cancel", "watch", "unwatch"),
}
START_LIMIT_S: Final = 20.0
HELLO_LIMIT_S: Final = 10.0
MOST_DEATHS: Final = 3
"""Within `DEATHS_WITHIN_S`; then it is not started again."""
DEATHS_WITHIN_S: Final = 60.0
COMMAND: Final = (sys.executable, "-m", "console.library.worker")
Event: TypeAlias = dict[str, Any]


async def connect(
    paths: Paths,
    *,
    start: bool = True,
    command: Sequence[str] = COMMAND,
    version: str = console.__version__,
    environment: Mapping[str, str] = os.environ,
) -> WorkerClient:
    """`NoWorker` without one and without `start`; `WorkerFailed` when it cannot be started or does not answer.

    One that is started lives in `environment`, and finds settings and documents by it.
    """
    client = WorkerClient(paths, command, version, environment)
    await client._open(start=start)
    return client


class _Died(Exception):
    """The connection ended with a request under way."""


class WorkerClient:
    def __init__(
        self, paths: Paths, command: Sequence[str], version: str, environment: Mapping[str, str] = os.environ
    ) -> None:
        self._paths = paths
        self._place = worker_place(paths, environment)
        self._environment = environment
        self._command = command
        self._version = version
        self._numbers = itertools.count(1)
        self._asked: dict[int, asyncio.Future[Any]] = {}
        self._listeners: set[_Listener] = set()
        self._writer: asyncio.StreamWriter | None = None
        self._receiving: asyncio.Task[None] | None = None
        self._opening = asyncio.Lock()
        self._deaths: deque[float] = deque(maxlen=MOST_DEATHS)
        self._leaving: str | None = None
        self._closed = False
        self.worker_pid = 0
        self.worker_version = ""

    @property
    def is_connected(self) -> bool:
        return self._writer is not None

    async def call(self, do: str, *, time_limit_s: float | None = None, **arguments: object) -> Any:
        """The answer as JSON; raises what the worker raised (`RagError`), `TimeLimit` or `WorkerFailed`."""
        try:
            async with asyncio.timeout(time_limit_s):
                return await self._call(do, arguments)
        except TimeoutError as error:
            raise TimeLimit(f"The documents' worker did not answer within {time_limit_s:g} s.") from error

    async def events(self) -> AsyncIterator[Event]:
        """What the worker tells, for each thing the latest, until this is closed. Listens from the first step on."""
        listener = _Listener()
        self._listeners.add(listener)
        try:
            while (event := await listener.next()) is not None:
                yield event
        finally:
            self._listeners.discard(listener)

    async def close(self) -> None:
        self._closed = True
        for listener in self._listeners:
            listener.end()
        if self._receiving is not None:
            self._receiving.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._receiving
        self._hang_up()

    async def _call(self, do: str, arguments: dict[str, object]) -> Any:
        while True:
            if self._closed:
                raise WorkerFailed("The way to the documents' worker is closed.")
            if self._writer is None:
                await self._open(start=True)
            try:
                return await self._ask(do, arguments)
            except _Died as error:
                if do not in REPEATABLE:
                    raise WorkerFailed(
                        f"The documents' worker ended during {do!r}; it may have been done, or not.",
                        hint="Look at the collection, then ask again.",
                    ) from error

    async def _ask(self, do: str, arguments: dict[str, object]) -> Any:
        number = next(self._numbers)
        line = frame({"id": number, "do": do, "with": arguments})
        if len(line) > LARGEST_FRAME_BYTES:
            raise WorkerFailed(f"A request has more than {LARGEST_FRAME_BYTES >> 20} MB.", hint="Ask in parts.")
        writer = self._writer
        if writer is None:
            raise _Died
        answer = self._asked[number] = asyncio.get_running_loop().create_future()
        try:
            writer.write(line)
            with contextlib.suppress(ConnectionError):
                await writer.drain()
            return answered(await answer)
        except ValueError as error:
            raise WorkerFailed("The documents' worker answers something that is not understood.") from error
        except asyncio.CancelledError:
            if self._writer is writer:
                writer.write(frame({"forget": number}))
            raise
        finally:
            del self._asked[number]

    async def _open(self, *, start: bool) -> None:
        async with self._opening:
            if self._writer is not None:
                return
            if len(self._deaths) == MOST_DEATHS and time.monotonic() - self._deaths[0] < DEATHS_WITHIN_S:
                raise WorkerFailed(
                    f"The documents' worker ended {MOST_DEATHS} times in a row{_last_words(self._place)}",
                    hint=f"The log is {str(self._place.log)!r}.",
                )
            if self._deaths:
                await asyncio.sleep(0.1 * 4 ** (len(self._deaths) - 1))
            deadline = time.monotonic() + START_LIMIT_S
            asked_to_leave = False
            while True:
                reader_writer = await _reach(self._place)
                if reader_writer is None:
                    if not start:
                        raise NoWorker("There is no documents' worker.")
                    if time.monotonic() > deadline:
                        raise WorkerFailed(f"The documents' worker cannot be started{_last_words(self._place)}")
                    await self._start(deadline)
                    continue
                about = await self._greet(*reader_writer)
                if about is None:
                    await asyncio.sleep(0.02)  # it was ending as we came
                    continue
                why = f"version {self._version}" if _is_newer(self._version, about["version"]) else None
                if not about["is_current"]:  # it would go on with the settings that were
                    why = "the settings changed"
                if why is not None and not asked_to_leave:
                    asked_to_leave = True
                    reader_writer[1].write(frame({"id": -1, "do": "leave", "with": {"why": why}}))
                    await _until_it_ends(*reader_writer)
                    continue
                if about["protocol"] != PROTOCOL:
                    reader_writer[1].close()
                    raise WorkerFailed(
                        f"The documents are held by Hawser {about['version']}, this is {self._version}.",
                        hint="Close this window and start Hawser again.",
                    )
                break
            self.worker_pid, self.worker_version = about["pid"], about["version"]
            reader, self._writer = reader_writer
            self._leaving = None
            self._receiving = asyncio.create_task(self._receive(reader, self._writer))

    async def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> dict[str, Any] | None:
        """What it says of itself; None when it ends instead."""
        hello = {"version": self._version, "protocol": PROTOCOL}
        try:
            async with asyncio.timeout(HELLO_LIMIT_S):
                writer.write(frame({"id": 0, "do": "hello", "with": hello}))
                while (said := message(await reader.readuntil(b"\n"))).get("id") != 0:
                    pass
                about = answered(said)
                return {
                    "version": str(about["version"]),
                    "pid": int(about["pid"]),
                    "protocol": about["protocol"],
                    "is_current": about.get("is_current") is not False,
                }
        except (ValueError, TypeError, KeyError, asyncio.LimitOverrunError, RagError) as error:
            writer.close()
            raise WorkerFailed(
                f"What answers for the documents' worker is not understood{_pid_of(self._place)}.",
                hint="End it; the next use starts another.",
            ) from error
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()
            return None
        except TimeoutError as error:
            writer.close()
            raise WorkerFailed(
                f"The documents' worker does not answer{_pid_of(self._place)}.",
                hint=f"End it; the next use starts another. Its log is {str(self._place.log)!r}.",
            ) from error

    async def _start(self, deadline: float) -> None:
        """Start one and wait until it, or the one that was faster, can be met."""
        said = await asyncio.to_thread(_launch, self._place, self._command, self._environment, deadline)
        if said is None:
            raise WorkerFailed(f"The documents' worker cannot be started{_last_words(self._place)}")

    async def _receive(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        died = True
        try:
            while True:
                said = message(await reader.readuntil(b"\n"))
                event, number = said.get("event"), said.get("id")
                if isinstance(event, str):
                    died = died and event != "leaving"
                    self._tell(said)
                elif isinstance(number, int) and (answer := self._asked.get(number)) and not answer.done():
                    answer.set_result(said)
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError, ValueError):
            if died:
                self._deaths.append(time.monotonic())
        finally:
            if self._writer is writer:
                self._hang_up()
        if died and self._listeners and not self._closed:
            # Whoever listens wants to go on hearing; who only asks finds it again with the next question.
            with contextlib.suppress(WorkerFailed):
                await self._open(start=True)
                self._tell({"event": "restarted"})

    def _hang_up(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()
        for answer in self._asked.values():
            if not answer.done():
                answer.set_exception(_Died())

    def _tell(self, event: Event) -> None:
        for listener in self._listeners:
            listener.tell(event)


class _Listener:
    def __init__(self) -> None:
        self._waiting: dict[object, Event] = {}
        self._something = asyncio.Event()
        self._ended = False

    def tell(self, event: Event) -> None:
        self._waiting[event["event"], str(event.get("collection"))] = event
        self._something.set()

    def end(self) -> None:
        self._ended = True
        self._something.set()

    async def next(self) -> Event | None:
        while not self._waiting:
            if self._ended:
                return None
            await self._something.wait()
            self._something.clear()
        return self._waiting.pop(next(iter(self._waiting)))


async def _reach(place: Place) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
    met = await _meet_at(place.socket)
    if met is None and (elsewhere := holder(place)[1]) is not None:
        met = await _meet_at(elsewhere)
    return met


async def _meet_at(path: Path) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
    try:
        if not is_private(path.parent):
            raise WorkerFailed(
                f"The folder {str(path.parent)!r} is not private to you, so that nobody is met there.",
                hint="Remove it, or set XDG_RUNTIME_DIR to a folder of your own.",
            )
        reader, writer = await asyncio.open_unix_connection(str(path), limit=LARGEST_FRAME_BYTES)
    except OSError:
        return None
    if not is_ours(writer.get_extra_info("socket")):
        writer.close()
        raise WorkerFailed(f"The socket {str(path)!r} is another user's.", hint="Remove it.")
    return reader, writer


async def _until_it_ends(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError, TimeoutError):
        async with asyncio.timeout(START_LIMIT_S):
            while True:
                await reader.readuntil(b"\n")
    writer.close()


def _launch(place: Place, command: Sequence[str], environment: Mapping[str, str], deadline: float) -> bytes | None:
    """What the worker says of itself when it can be met, or None when it ended before. Blocks until the deadline."""
    import select

    private_folder(place.log.parent)
    mine, its = os.pipe()
    try:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW
        with os.fdopen(os.open(place.log, flags, 0o600), "ab") as journal:
            process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                command,
                stdin=subprocess.DEVNULL,
                stdout=its,
                stderr=journal,
                start_new_session=True,
                cwd="/",
                env=_with_our_packages(environment),
            )
        os.close(its)
        its = -1
        process.wait(timeout=max(0.1, deadline - time.monotonic()))  # it lets go of us at once
        readable, _, _ = select.select([mine], [], [], max(0.1, deadline - time.monotonic()))
        return (os.read(mine, 64) or None) if readable else None
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return None
    finally:
        os.close(mine)
        if its >= 0:
            os.close(its)


def _with_our_packages(given: Mapping[str, str]) -> dict[str, str]:
    """With the place our own packages were loaded from: it may not be installed."""
    root = str(Path(console.__file__).parent.parent)
    before = given.get("PYTHONPATH")
    environment = {**given, "PYTHONPATH": f"{root}{os.pathsep}{before}" if before else root}
    if home := environment.get("HAWSER_HOME"):
        environment["HAWSER_HOME"] = str(Path(home).expanduser().absolute())  # it works in another folder
    return environment


def _is_newer(version: str, other: object) -> bool:
    def parts(text: str) -> list[tuple[int, str]]:
        return [(int(part), "") if part.isdigit() else (0, part) for part in text.replace("-", ".").split(".")]

    return parts(version) > parts(str(other))


def _last_words(place: Place) -> str:
    """The end of a sentence: the last line of the log, if there is one."""
    from console.text import neutralise

    with contextlib.suppress(OSError):
        lines = place.log.read_bytes()[-4096:].decode("utf-8", "replace").split("\n")
        said = [line for line in lines if line.strip()]
        if said:
            return f"; it said last: {neutralise(said[-1].strip())[:300]}"
    return "."


def _pid_of(place: Place) -> str:
    pid, _ = holder(place)
    return f" (process {pid})" if pid else ""
