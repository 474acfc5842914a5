"""The documents' worker as a process: `python -m console.library.worker`, started by `client.py` when it is needed.

It lets go of whoever started it, becomes the only one for its folder of documents, or leaves it to the one that is
there already, and serves until it is idle, told to leave, or ended by a signal.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from console.library.place import Place, holder, make_private, worker_place, write_holder
from console.paths import Paths, find_paths, private_folder

if TYPE_CHECKING:
    from rag.worker import OpenEngine, Worker

log = logging.getLogger(__name__)
NICENESS = 5
LOCK_WAIT_S = 10.0
"""How long a worker that is ending may keep the lock before its successor gives up."""
READY = b"ready\n"
THERE = b"there\n"
"""Another worker answers for this folder."""


def lock_or_yield(place: Place) -> int | None:
    """Hold the lock of this folder, or None when a worker that answers holds it. It goes with the process."""
    descriptor = os.open(place.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + LOCK_WAIT_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if _answers(place.socket) or _answers(holder(place)[1]) or time.monotonic() > deadline:
                os.close(descriptor)
                return None
            time.sleep(0.02)  # the one that holds it is starting or ending: both take moments
            continue
        write_holder(descriptor, place)
        return descriptor


def _answers(path: Path | None) -> bool:
    if path is None:
        return False
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as connection:
        connection.settimeout(1)
        try:
            connection.connect(str(path))
        except OSError:
            return False
        return True


def listen(place: Place) -> socket.socket:
    """Called by the holder of the lock only: a socket that is there already belongs to nobody."""
    make_private(place.socket.parent)
    place.socket.unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    umask = os.umask(0o177)
    try:
        listening.bind(str(place.socket))
    finally:
        os.umask(umask)
    listening.listen(16)
    listening.setblocking(False)
    return listening


def serve(place: Place, listening: socket.socket, worker: Worker, ready: Callable[[], None]) -> str:
    """Until the worker leaves; returns why."""

    async def until_it_leaves() -> str:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, lambda number=number: worker.leave(signal.Signals(number).name))  # type: ignore[misc]
        return await worker.serve(listening, ready, gone=lambda: place.socket.unlink(missing_ok=True))

    return asyncio.run(until_it_leaves())


def run(paths: Paths, open_engine: OpenEngine, *, version: str, idle_s: float, say: Callable[[bytes], None]) -> str:
    """The life of a worker. `say` tells who started it that it can be met, or that another one is there."""
    from rag.worker import Worker

    place = worker_place(paths)
    private_folder(place.documents)
    if lock_or_yield(place) is None:
        say(THERE)
        return "another worker is there"
    listening = listen(place)
    worker = Worker(
        open_engine,
        version=version,
        idle_s=idle_s,
        pid=os.getpid(),
        can_be_met=place.socket.exists,
    )
    log.info("the documents' worker is up")
    why = serve(place, listening, worker, lambda: say(READY))
    log.info("the documents' worker leaves: %s", why)
    return why


def let_go() -> None:
    """Become a process of its own: who started us is not to reap us."""
    if os.fork():
        os._exit(0)


def _sayer() -> Callable[[bytes], None]:
    """Writes to the standard output, which is a pipe to who started us, and closes it: it is told once."""

    def say(word: bytes) -> None:
        with contextlib.suppress(OSError):
            os.write(1, word)
        os.dup2(2, 1)  # what libraries print goes where errors go: into the log

    return say


def main(open_engine: Callable[[Paths], OpenEngine], version: str, idle_s: Callable[[Paths], float]) -> None:
    let_go()
    code = 1
    try:
        from console.logs import start_log

        os.nice(NICENESS)
        paths = find_paths()
        start_log(worker_place(paths).log, "info")
        run(paths, open_engine(paths), version=version, idle_s=idle_s(paths), say=_sayer())
        code = 0
    except Exception as error:  # the outer edge: the last line of the log tells who started us
        log.critical("the documents' worker ends: %s", error, exc_info=error)
        print(f"{error}", file=sys.stderr)  # noqa: T201 - into the log
    # At once: a thread that waits for something outside must not keep the process, and with it the lock.
    sys.stderr.flush()
    os._exit(code)
