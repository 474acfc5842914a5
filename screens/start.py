"""The app from the terminal it is given to the exit code of the process."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import select
import signal
import threading
from typing import TYPE_CHECKING

from console.errors import ConsoleError, Exit
from console.runtime import open_runtime

if TYPE_CHECKING:
    from collections.abc import Callable

    from console.runtime import Runtime
    from console.shell import Shell
    from screens.app import HawserApp
    from screens.early import EarlyScreen

log = logging.getLogger(__name__)

CLOSE_S = 5.0
"""How long services may take to close once the app is gone; what they hold is safe before that."""
GRACE_S = 8.0
"""How long an end that was asked for from outside may take before it is taken."""
SETTLED_S = 0.25
"""When the first frame is surely there, and what was made for it is worth leaving out of every later collection."""
AT_REST_S = 1.5
"""After that: the chat that is opened at the start has been read and drawn."""
KEEP_S = 60.0
"""How often the frame is kept, for a process that is killed."""


def prepare(runtime: Runtime) -> None:
    """Say what a process that stays open wants of its links; before the first of them."""
    runtime.stays = True
    runtime.ready = runtime.wake


def run_app(shell: Shell, early: EarlyScreen) -> int:
    """Show the app on the terminal that `early` holds until the user leaves."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        return loop.run_until_complete(_run(shell, early))
    finally:
        # The loop is left as it is: closing it would wait for threads in the middle of a call, and the process ends.
        asyncio.set_event_loop(None)


async def _run(shell: Shell, early: EarlyScreen) -> int:
    notes: list[str] = []
    told: Callable[[str], object] = notes.append

    def tell(text: str) -> None:
        told(text)

    opening = open_runtime(
        shell.paths, shell.environment, tell, discover=not shell.isolated, ends_process=shell.ends_process
    )
    runtime = await opening.__aenter__()
    try:
        from screens.app import HawserApp

        prepare(runtime)
        app = HawserApp(runtime, early)
        told = app.say
        asyncio.get_running_loop().call_later(SETTLED_S, _settle)
        with _Ending(app, early):
            for note in notes:
                app.call_later(app.say, note)
            keeping = asyncio.create_task(_keep(app, shell), name="keep the frame")
            code = await app.run_async()
            keeping.cancel()
        early.close()
        _keep_now(app, shell)
        if app._exception is not None:
            raise _fault(app._exception, shell) from app._exception
        return app.return_code or code or 0
    finally:
        try:
            async with asyncio.timeout(CLOSE_S):
                await opening.__aexit__(None, None, None)
        except TimeoutError:
            log.warning("closing took longer than %.0f s and was given up", CLOSE_S)


def _fault(error: BaseException, shell: Shell) -> ConsoleError:
    if isinstance(error, ConsoleError):
        return error
    words = " ".join(f"{type(error).__name__}: {error}".split())
    return ConsoleError(
        f"Hawser had to close because of a fault of its own ({words[:200]}).",
        hint=f"Nothing that was sent or written is lost. Please report it with the end of {shell.paths.log_file}",
    )


def _settle() -> None:
    gc.collect()  # what starting left behind; what comes next takes its place, or it would be kept for ever
    gc.freeze()
    gc.enable()
    asyncio.get_running_loop().call_later(AT_REST_S, _give_back)


def _give_back() -> None:
    from console.freed_memory import give_back

    give_back()


async def _keep(app: HawserApp, shell: Shell) -> None:
    while True:
        await asyncio.sleep(KEEP_S)
        frame = app.frame()
        await asyncio.to_thread(_write_frame, shell, frame)


def _keep_now(app: HawserApp, shell: Shell) -> None:
    if app.last_frame:
        _write_frame(shell, app.last_frame)


def _write_frame(shell: Shell, frame: bytes) -> None:
    from console.errors import SettingsError
    from console.paths import write_privately

    try:
        write_privately(shell.paths.last_screen, frame)
    except (OSError, SettingsError) as error:  # it only makes the next start look better
        log.info("the frame was not kept: %s", error)


class _Ending:
    """The end of the terminal, a kill or a service manager's stop: the app leaves by itself, in order, and if it cannot
    the terminal is given back and the process ends all the same."""

    def __init__(self, app: HawserApp, early: EarlyScreen) -> None:
        self._app = app
        self._early = early
        self._loop = asyncio.get_running_loop()
        self._last_resort: threading.Timer | None = None

    def __enter__(self) -> None:
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
                # Not the loop's own handlers: those wait for a loop that may itself wait for a terminal that is stuck.
                signal.signal(number, self._asked)

    def __exit__(self, *_: object) -> None:
        if self._last_resort is not None:
            self._last_resort.cancel()

    def _asked(self, number: int, _frame: object) -> None:
        if self._last_resort is None:
            self._last_resort = threading.Timer(GRACE_S, self._take)
            self._last_resort.daemon = True
            self._last_resort.start()
            self._loop.call_soon_threadsafe(self._leave, number)

    def _leave(self, number: int) -> None:
        log.info("leaving because of %s", signal.Signals(number).name)
        self._app.exit(return_code=int(Exit.INTERRUPTED))

    def _take(self) -> None:
        if select.select([], [2], [], 0)[1]:
            self._early.take_back()
        os._exit(int(Exit.INTERRUPTED))
