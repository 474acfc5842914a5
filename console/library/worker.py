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
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from console.library.place import Place, holder, make_private, worker_place, write_holder
from console.paths import Paths, find_paths, private_folder

if TYPE_CHECKING:
    from rag.documents import Finding
    from rag.worker import OpenEngine

log = logging.getLogger(__name__)
LOCK_WAIT_S = 10.0
"""How long a worker that is ending may keep the lock before its successor gives up."""
FileStamp: TypeAlias = tuple[int, int, int] | None
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


class Held(NamedTuple):
    """What a worker has before it does anything else: it is the only one for this folder, and will be met there."""

    paths: Paths
    place: Place
    listening: socket.socket
    say: Callable[[bytes], None]
    settings: FileStamp
    """Of the file of settings, before it was read."""


def file_stamp(path: Path) -> FileStamp:
    """What changes with a file's contents, and when it comes or goes."""
    try:
        about = path.stat()
    except OSError:
        return None
    return about.st_ino, about.st_size, about.st_mtime_ns


def hold(paths: Paths, say: Callable[[bytes], None]) -> Held | None:
    """None when another worker is there, which `say` told to who started us."""
    place = worker_place(paths)
    private_folder(place.documents)
    if lock_or_yield(place) is None:
        say(THERE)
        return None
    return Held(paths, place, listen(place), say, file_stamp(paths.config_file))


async def serve(held: Held, open_engine: OpenEngine, *, version: str, idle_s: float) -> str:
    """The life of a worker, until it leaves; returns why."""
    from rag.worker import Worker

    def begin_anew() -> list[Finding]:
        from rag.salvage import salvage

        return salvage(held.paths.documents_file, time.time_ns() // 1_000_000)

    worker = Worker(
        open_engine,
        version=version,
        idle_s=idle_s,
        pid=os.getpid(),
        can_be_met=held.place.socket.exists,
        is_current=lambda: file_stamp(held.paths.config_file) == held.settings,
        salvage=begin_anew,
    )
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, lambda number=number: worker.leave(signal.Signals(number).name))  # type: ignore[misc]
    log.info("the documents' worker is up")
    why = await worker.serve(
        held.listening, ready=lambda: held.say(READY), gone=lambda: held.place.socket.unlink(missing_ok=True)
    )
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


def main(life: Callable[[Held], Coroutine[Any, Any, object]]) -> None:
    let_go()
    code = 1
    try:
        from console.logs import start_log
        from rag.rounds import HAS_NICE_THREADS, NICENESS

        if not HAS_NICE_THREADS:
            os.nice(NICENESS)
        paths = find_paths()
        start_log(worker_place(paths).log, "info")
        held = hold(paths, _sayer())
        if held is not None:
            asyncio.run(life(held))
        code = 0
    except Exception as error:  # the outer edge: the last line of the log tells who started us
        log.critical("the documents' worker ends: %s", error, exc_info=error)
        print(f"{error}", file=sys.stderr)  # noqa: T201 - into the log
    # At once: a thread that waits for something outside must not keep the process, and with it the lock.
    sys.stderr.flush()
    os._exit(code)


async def live(held: Held) -> None:
    """With the engine that the settings ask for."""
    from console import __version__
    from console.runtime import open_runtime

    async with open_runtime(held.paths, os.environ, log.info) as runtime:
        open_engine = runtime.documents_engine()
        await serve(held, open_engine, version=__version__, idle_s=runtime.settings.rag.idle_min * 60)


if __name__ == "__main__":
    main(live)
