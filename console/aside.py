"""Blocking work beside the event loop, on a thread that the end of the process does not wait for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from threading import Thread
from typing import TypeVar

T = TypeVar("T")


async def aside(work: Callable[[], T], name: str = "aside") -> T:
    """What `work` returns or raises. Whoever stops waiting leaves it running; its result is then thrown away.

    `asyncio.to_thread` will not do where a PDF is parsed or a dead network drive is asked: its threads are joined when
    the loop closes, and leaving the program would wait for them.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if future.done():
            return
        if error is None:
            future.set_result(result)  # type: ignore[arg-type]
        else:
            future.set_exception(error)

    def run() -> None:
        result, failure = None, None
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001 - told to whoever waits
            failure = error
        try:
            loop.call_soon_threadsafe(settle, result, failure)
        except RuntimeError:  # the loop has been closed: nobody waits any more
            return

    Thread(target=run, name=name, daemon=True).start()
    return await future
