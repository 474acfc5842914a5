"""Ending in order when the system asks: what stays up releases what it holds before it goes."""

from __future__ import annotations

import asyncio
import signal


def stop_on_signals() -> None:
    """The end of a terminal or a service manager's stop ends the running task as Ctrl+C does."""
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
