"""The one process that holds the documents' engine, seen from the socket: requests in, answers and progress out.

    request   {"id": 1, "do": "retrieve", "with": {…}}     first of all {"id": 0, "do": "hello", "with": {…}}
    answer    {"id": 1, "ok": …}   or   {"id": 1, "error": {"kind", "text", "hint"}}
    pushed    {"event": "progress" | "changed" | "leaving", …}

The loop only carries: every operation runs in a thread, quick ones apart from slow ones. What is pushed is kept once
for each thing it is about, so that a client that reads slowly gets the latest; one that does not read at all is let
go. The engine is opened beside the first requests, which wait for it.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, Final, Protocol

from rag.documents import Wanted
from rag.errors import RagError
from rag.sockets import LARGEST_FRAME_BYTES, PROTOCOL, frame, is_ours, message
from rag.wire import from_json, to_json

log = logging.getLogger(__name__)

QUICK: Final = frozenset({"retrieve", "status", "pause", "resume", "cancel"})
SLOW: Final = {
    *("add", "add_text", "remove", "create", "rename", "move", "tag", "agree", "forget"),
    *("reindex", "check", "watch", "unwatch"),
}
SILENT: Final = QUICK | {"check", "wait"}
"""After these the collections are as they were."""
MOST_CLIENTS: Final = 64
MOST_AT_ONCE: Final = 16
"""Requests of one client that are under way; further ones wait in its socket."""
MOST_UNREAD_BYTES: Final = 32 << 20
STALLED_S: Final = 60.0
GRACE_S: Final = 3.0
LOOK_S: Final = 5.0


class EngineThere(Protocol):
    """What is needed of `rag.engine.Engine` besides the operations themselves, which are found by their name."""

    def retrieve(self, wanted: Wanted) -> object: ...

    def wait(self, documents: Any, until: Any, seconds: float) -> bool: ...

    def is_busy(self) -> bool: ...

    def start(self) -> None: ...

    def stop(self) -> None: ...


Tell = Callable[[object], None]
OpenEngine = Callable[[Tell], EngineThere]
"""Given whom to tell of progress. Blocks; raises `RagError`."""


class BadRequest(RagError):
    """The other end asks for something that is not understood here."""


class Worker:
    def __init__(
        self,
        open_engine: OpenEngine,
        *,
        version: str,
        idle_s: float,
        pid: int,
        can_be_met: Callable[[], bool],
        stalled_s: float = STALLED_S,
    ) -> None:
        """Without clients, and work that the engine has by itself, for `idle_s` this ends.

        `can_be_met` says whether the socket still stands where others look for it; without it this ends too.
        """
        self._open_engine = open_engine
        self._version = version
        self._idle_s = idle_s
        self._pid = pid
        self._can_be_met = can_be_met
        self._stalled_s = stalled_s
        self._clients: set[_Client] = set()
        self._at_work = 0
        self._asked_at = time.monotonic()
        self._threads = {
            "quick": ThreadPoolExecutor(4, "quick"),
            "slow": ThreadPoolExecutor(2, "slow"),
            "wait": ThreadPoolExecutor(16, "wait"),
        }

    async def serve(self, listening: socket.socket, ready: Callable[[], None], gone: Callable[[], None]) -> str:
        """Answer until told to leave or idle; returns why. `gone` is called as soon as nobody can connect any more."""
        self._loop = asyncio.get_running_loop()
        self._leaving: asyncio.Future[str] = self._loop.create_future()
        self._engine = asyncio.wrap_future(self._threads["slow"].submit(self._open))
        self._engine.add_done_callback(_opened)
        server = await asyncio.start_server(self._meet, sock=listening, limit=LARGEST_FRAME_BYTES)
        ready()
        watching = asyncio.create_task(self._leave_when_idle())
        try:
            why = await self._leaving
        finally:
            watching.cancel()
            server.close()
            gone()
        await self._finish(why)
        return why

    def leave(self, why: str) -> None:
        """From the loop's thread; the first reason stands."""
        if not self._leaving.done():
            self._leaving.set_result(why)

    def _open(self) -> EngineThere:
        engine = self._open_engine(self._progress)
        engine.start()
        return engine

    def _progress(self, progress: object) -> None:
        """From any thread."""
        event = {"event": "progress", "progress": to_json(progress)}
        try:
            self._loop.call_soon_threadsafe(self._push, "progress", event)
        except RuntimeError:  # the loop is closed: nobody is left to be told
            log.debug("progress after the end")

    def _push(self, about: object, event: dict[str, object]) -> None:
        line = frame(event)
        for client in self._clients:
            client.push(about, line)

    async def _finish(self, why: str) -> None:
        """Let what is under way come to its end for a moment, tell everybody, and put the engine down."""
        deadline = time.monotonic() + GRACE_S
        for client in list(self._clients):
            await client.finish(max(0.0, deadline - time.monotonic()))
        self._push("leaving", {"event": "leaving", "why": why})
        for client in list(self._clients):
            await client.close(flush_s=0.5)
        if self._engine.done() and self._engine.exception() is None:
            await asyncio.wrap_future(self._threads["wait"].submit(self._engine.result().stop))
        for threads in self._threads.values():
            threads.shutdown(wait=False, cancel_futures=True)

    async def _leave_when_idle(self) -> None:
        while True:
            await asyncio.sleep(min(LOOK_S, self._idle_s / 4))
            if not self._can_be_met():
                return self.leave("its socket is gone")
            if self._clients or self._at_work or await self._has_work():
                self._asked_at = time.monotonic()
            elif time.monotonic() - self._asked_at >= self._idle_s:
                return self.leave("idle")

    async def _has_work(self) -> bool:
        if not self._engine.done():
            return True
        if self._engine.exception() is not None:
            return False
        return bool(await self._in_thread("wait", self._engine.result().is_busy))

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = writer.get_extra_info("socket")
        if len(self._clients) >= MOST_CLIENTS or not is_ours(peer):
            log.warning("somebody was turned away: %s", "another user" if not is_ours(peer) else "too many")
            writer.close()
            return
        client = _Client(self, reader, writer)
        self._clients.add(client)
        try:
            await client.serve()
        finally:
            self._clients.discard(client)
            self._asked_at = time.monotonic()

    async def answer(self, do: str, arguments: Mapping[str, Any]) -> object:
        """Do one thing in a thread and give what it returned, as JSON."""
        self._at_work += 1
        try:
            if do == "hello":
                return {"version": self._version, "pid": self._pid, "protocol": PROTOCOL}
            if do == "leave":
                self._loop.call_soon(self.leave, str(arguments.get("why", "asked"))[:200])
                return None
            if do == "wait":
                return await self._wait(**arguments)
            if do not in QUICK | SLOW:
                raise BadRequest(f"The documents' worker knows no {do!r:.40}.")
            engine = await asyncio.shield(self._engine)
            kinds = _kinds()
            given = {name: from_json(kinds[name], each) if name in kinds else each for name, each in arguments.items()}
            answer = to_json(await self._in_thread("quick" if do in QUICK else "slow", getattr(engine, do), **given))
            if do not in SILENT:
                collection = given.get("collection")
                self._push(("changed", collection), {"event": "changed", "do": do, "collection": collection})
            return answer
        finally:
            self._at_work -= 1

    async def _wait(self, documents: list[int], until: str, seconds: float) -> bool:
        """In short turns, so that a client that went does not keep a thread."""
        engine = await asyncio.shield(self._engine)
        deadline = time.monotonic() + seconds
        while True:
            turn_s = max(0.0, min(0.5, deadline - time.monotonic()))
            if await self._in_thread("wait", engine.wait, documents, until, turn_s):
                return True
            if time.monotonic() >= deadline:
                return False

    async def _in_thread(self, pool: str, call: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        return await asyncio.wrap_future(self._threads[pool].submit(lambda: call(*arguments, **named)))


@cache
def _kinds() -> dict[str, Any]:
    """Arguments that are more than JSON, by their name."""
    from rag.readers import DocumentText

    return {"wanted": Wanted, "document": DocumentText}


def _opened(engine: asyncio.Future[EngineThere]) -> None:
    if not engine.cancelled() and (error := engine.exception()) is not None:
        log.error("the documents cannot be opened: %s", error, exc_info=error)


class _Client:
    """One connection: what it asks, in order of arrival; what it is told, as fast as it reads."""

    def __init__(self, worker: Worker, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._worker = worker
        self._reader = reader
        self._writer = writer
        self._answers: deque[bytes] = deque()
        self._unread_bytes = 0
        self._news: dict[object, bytes] = {}
        self._something = asyncio.Event()
        self._room = asyncio.Semaphore(MOST_AT_ONCE)
        self._requests: dict[int, asyncio.Task[None]] = {}

    def push(self, about: object, line: bytes) -> None:
        self._news[about] = line
        self._something.set()

    async def serve(self) -> None:
        sending = asyncio.create_task(self._send())
        try:
            await self._receive()
        except (ConnectionError, TimeoutError) as error:
            log.debug("a client went: %s", error)
        finally:
            for task in self._requests.values():
                task.cancel()
            sending.cancel()
            self._writer.close()

    async def _receive(self) -> None:
        while True:
            try:
                line = await self._reader.readuntil(b"\n")
            except asyncio.IncompleteReadError:
                return None
            except asyncio.LimitOverrunError:
                refusal = BadRequest(f"A request has more than {LARGEST_FRAME_BYTES >> 20} MB.")
                self._say({"id": None, "error": _told(refusal)})
                return await self._flush()
            try:
                said = message(line)
            except ValueError as error:
                self._say({"id": None, "error": _told(BadRequest(f"A request is no JSON: {error}."))})
                return await self._flush()
            if isinstance(forgotten := said.get("forget"), int):
                if (task := self._requests.get(forgotten)) is not None:
                    task.cancel()
                continue
            number = said.get("id")
            if not isinstance(number, int):
                self._say({"id": None, "error": _told(BadRequest("A request has no number."))})
                return await self._flush()
            await self._room.acquire()
            task = asyncio.create_task(self._answer(number, said.get("do"), said.get("with")))
            self._requests[number] = task
            task.add_done_callback(lambda done, number=number: self._ended(number, done))  # type: ignore[misc]

    def _ended(self, number: int, task: asyncio.Task[None]) -> None:
        self._room.release()
        if self._requests.get(number) is task:
            del self._requests[number]

    async def _answer(self, number: object, do: object, arguments: object) -> None:
        try:
            given = arguments if isinstance(arguments, dict) else {}
            self._say({"id": number, "ok": await self._worker.answer(str(do), given)})
        except (RagError, TypeError, ValueError) as error:
            if not isinstance(error, RagError):
                log.warning("%s was not understood", do, exc_info=error)
            self._say({"id": number, "error": _told(error)})
        except Exception as error:  # the outer edge of a request: whatever it is, the one who asked hears of it
            log.exception("%s failed", do)
            self._say({"id": number, "error": _told(error)})

    def _say(self, answer: dict[str, object]) -> None:
        line = frame(answer)
        if len(line) > LARGEST_FRAME_BYTES:
            refusal = RagError(f"The answer has more than {LARGEST_FRAME_BYTES >> 20} MB.", hint="Ask for less.")
            line = frame({"id": answer["id"], "error": _told(refusal)})
        self._answers.append(line)
        self._unread_bytes += len(line)
        self._something.set()
        if self._unread_bytes > MOST_UNREAD_BYTES:
            log.warning("a client does not read its answers and is let go")
            self._writer.transport.abort()

    async def _send(self) -> None:
        while True:
            await self._something.wait()
            self._something.clear()
            await self._flush()

    async def _flush(self) -> None:
        try:
            while self._answers or self._news:
                if self._answers:
                    line = self._answers.popleft()
                    self._unread_bytes -= len(line)
                else:
                    line = self._news.pop(next(iter(self._news)))
                self._writer.write(line)
                async with asyncio.timeout(self._worker._stalled_s):
                    await self._writer.drain()
        except (ConnectionError, TimeoutError):
            self._writer.transport.abort()  # the receiving side ends with it

    async def finish(self, within_s: float) -> None:
        if self._requests:
            await asyncio.wait(list(self._requests.values()), timeout=within_s)

    async def close(self, *, flush_s: float) -> None:
        try:
            async with asyncio.timeout(flush_s):
                await self._flush()
        except TimeoutError:
            log.debug("a client does not read")
        self._writer.close()


def _told(error: Exception) -> dict[str, object]:
    if isinstance(error, RagError):
        return {"kind": type(error).__name__, "text": error.text, "hint": error.hint}
    return {"kind": "RagError", "text": f"The documents' worker failed: {error}"[:500], "hint": None}
