"""Processes that a test started on the side and left behind: a documents' worker outlives whoever called it."""

from __future__ import annotations

import os
import select
import signal
from pathlib import Path

PATIENCE_S = 20.0
"""For one that was told to leave and is on its way."""


def end_leftovers(runtime: Path) -> list[int]:
    """Processes of this runtime folder that do not leave by themselves; they are killed."""
    if not (runtime / "hawser").exists():  # no worker was ever called
        return []
    staying = []
    for pid in _processes_of(runtime):
        try:
            process = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        waiting = select.poll()
        waiting.register(process, select.POLLIN)
        if not waiting.poll(PATIENCE_S * 1000):
            signal.pidfd_send_signal(process, signal.SIGKILL)
            waiting.poll()
            staying.append(pid)
        os.close(process)
    return staying


def _processes_of(runtime: Path) -> list[int]:
    """All that run with this runtime folder, but those of the test itself."""
    mark = b"XDG_RUNTIME_DIR=" + os.fsencode(runtime)
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        try:
            variables = (folder / "environ").read_bytes().split(b"\0")
        except OSError:  # gone meanwhile, or of somebody else
            continue
        if mark in variables:
            found.append(int(folder.name))
    return found
